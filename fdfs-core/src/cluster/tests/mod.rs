//! The rules with values: one small cluster, events with explicit times.

mod explain;
mod files;
mod oracle;
mod reconcile;
mod selection;
mod table;
mod trackers;
mod transitions;
mod trunk;

use std::net::IpAddr;

use super::*;
use crate::ident::{GroupName, StorageId, StorageStatus};
use crate::settings::{Reserve, StorageIds, TrackerSettings};
use crate::wire::report::{JoinHead, PathUsage};
use crate::wire::{IpField, Text};

pub(super) fn group(name: &str) -> GroupName {
    name.parse().unwrap()
}

pub(super) fn id(text: &str) -> StorageId {
    text.parse().unwrap()
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn rules() -> Rules {
    let conf =
        TrackerSettings { reserved_storage_space: Reserve::Bytes(100 << 20), ..TrackerSettings::default() };
    Rules::new(&conf, None)
}

pub(super) fn rules_with_ids() -> Rules {
    let (ids, _) = StorageIds::parse(
        "ids",
        "100001 group1 10.66.0.21\n100002 group1 10.66.0.22\n100003 group2 10.66.0.31\n",
    )
    .unwrap();
    Rules::new(&TrackerSettings { use_storage_id: true, ..TrackerSettings::default() }, Some(ids))
}

pub(super) fn head(name: &str) -> JoinHead {
    JoinHead {
        group: Text::cut(name.as_bytes()),
        port: 23000.into(),
        store_path_count: 2.into(),
        subdir_count: 256.into(),
        upload_priority: 10.into(),
        join_time: 1000.into(),
        up_time: 1000.into(),
        version: Text::cut(b"6.16.1"),
        init_flag: 1,
        status: -1,
        id: Text::EMPTY,
        tracker_ip: IpField::EMPTY,
        tracker_count: 1.into(),
    }
}

/// A cluster with its rules.
pub(super) struct World {
    pub rules: Rules,
    pub cluster: Cluster,
    pub out: Effects,
}

impl World {
    pub(super) fn new(rules: Rules) -> Self {
        Self { rules, cluster: Cluster::default(), out: Effects::default() }
    }

    pub(super) fn join(&mut self, name: &str, addr: &str) -> Result<Joined, Refusal> {
        self.join_as(&head(name), addr)
    }

    pub(super) fn join_as(&mut self, head: &JoinHead, addr: &str) -> Result<Joined, Refusal> {
        self.cluster.join(&self.rules, 1000, head, ip(addr), &mut self.out)
    }

    pub(super) fn usage(&mut self, who: &Joined, paths: &[(i64, i64)]) -> Result<(), Refusal> {
        let paths: Vec<PathUsage> = paths
            .iter()
            .map(|(total, free)| PathUsage { total_mb: (*total).into(), free_mb: (*free).into() })
            .collect();
        self.cluster.disk_usage(&self.rules, who, 1000, &paths, &mut self.out)
    }

    /// A member that is active with 1000 of 2000 MB free.
    pub(super) fn active(&mut self, name: &str, addr: &str) -> Joined {
        let who = self.join(name, addr).unwrap();
        self.cluster.request_source(&who, 1000, &mut self.out).unwrap();
        if self.status(&who) == StorageStatus::WaitSync {
            self.report(name, addr, StorageStatus::Syncing);
            self.report(name, addr, StorageStatus::Offline);
        }
        self.usage(&who, &[(1000, 500), (1000, 500)]).unwrap();
        assert_eq!(self.status(&who), StorageStatus::Active);
        who
    }

    pub(super) fn report(&mut self, name: &str, addr: &str, status: StorageStatus) {
        let brief = crate::wire::report::Brief {
            status: status.wire(),
            port: 23000.into(),
            id: id(addr).field(),
            ip: IpField::of(ip(addr)),
        };
        self.cluster.report_status(&self.rules, &group(name), &brief, 1500, &mut self.out).unwrap();
    }

    pub(super) fn status(&self, who: &Joined) -> StorageStatus {
        self.cluster.group(&who.group).unwrap().storage(&who.id).unwrap().status
    }
}
