//! What the trackers tell of the cluster, and its administration.

use std::net::SocketAddr;

use fdfs_core::cluster::Facts;
use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::wire::cluster_stat::{StorageStats, TrackerStat, VolumeStats};
use fdfs_core::wire::explain::{self, ExplainHead};
use fdfs_core::wire::lag::{self, LagRecord};
use fdfs_core::wire::list::{GroupRecord, StorageRecord};
use fdfs_core::wire::query::put_group_and_id;
use fdfs_core::wire::{BadMessage, Status, Text, cmd};

use crate::client::{Again, Client};
use crate::error::ClientError;
use crate::work::Ask;

impl Client {
    /// All groups, and the tracker that told.
    pub async fn groups(&self) -> Result<(SocketAddr, Vec<GroupRecord>), ClientError> {
        const DOING: &str = "list groups";
        let (tracker, answer) = self.trackers.ask(DOING, cmd::LIST_ALL_GROUPS, b"").await?;
        let all =
            GroupRecord::parse_list(&answer).map_err(|bad| ClientError::answer(DOING, tracker, &bad))?;
        Ok((tracker, all))
    }

    /// The storages of a group.
    pub async fn storages(&self, group: GroupName) -> Result<Vec<StorageRecord>, ClientError> {
        let body = group_and_id(group, None);
        self.told("list storages", cmd::LIST_STORAGE, &body, StorageRecord::parse_list).await
    }

    /// The address of the leader of the trackers; status 2 while there is none.
    pub async fn leader(&self) -> Result<SocketAddr, ClientError> {
        self.told("find the leader", cmd::GET_LEADER, b"", |text| {
            let addr = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
            addr.ok_or(BadMessage::Field("address"))
        })
        .await
    }

    /// The trackers as the leader sees them: all, or with `active` and `leader` only those for which it is so.
    pub async fn tracker_stats(
        &self,
        active: Option<bool>,
        leader: Option<bool>,
    ) -> Result<Vec<TrackerStat>, ClientError> {
        const DOING: &str = "tracker_cluster_stat";
        let addr = self.leader().await?;
        let by = u8::from(active.is_some()) | u8::from(leader.is_some()) << 1;
        let body = [by, is(active), is(leader)];
        let answer = self.trackers.ask_at(DOING, addr, cmd::TRACKER_CLUSTER_STAT, &body).await?;
        TrackerStat::parse_all(&answer).map_err(|bad| ClientError::answer(DOING, addr, &bad))
    }

    /// The storages: all, or those that are (not) trunk servers and whose status is (`=`) or is not (`!`) this one.
    pub async fn storage_stats(
        &self,
        trunk: Option<bool>,
        status: Option<(bool, u8)>,
    ) -> Result<StorageStats, ClientError> {
        let by = u8::from(trunk.is_some()) | u8::from(status.is_some()) << 1;
        let (op, number) =
            status.map_or((b'=', 0), |(same, number)| (if same { b'=' } else { b'!' }, number));
        let body = [by, op, number, is(trunk)];
        self.told("storage_cluster_stat", cmd::STORAGE_CLUSTER_STAT, &body, StorageStats::parse).await
    }

    /// The groups: all, or those whose disks, trunk files, or either, (do not) take uploads.
    pub async fn volume_stats(
        &self,
        disk: Option<bool>,
        trunk: Option<bool>,
        space: Option<bool>,
    ) -> Result<VolumeStats, ClientError> {
        let by = u8::from(disk.is_some()) | u8::from(trunk.is_some()) << 1 | u8::from(space.is_some()) << 2;
        let body = [by, is(disk), is(trunk), is(space)];
        self.told("storage_volumn_stat", cmd::STORAGE_VOLUMN_STAT, &body, VolumeStats::parse).await
    }

    /// Removes a storage, or without an id an empty group, at one tracker (93, 108).
    pub async fn delete_member(
        &self,
        tracker: SocketAddr,
        group: GroupName,
        id: Option<StorageId>,
    ) -> Result<(), ClientError> {
        let (doing, command) = match id {
            Some(_) => ("delete the storage", cmd::DELETE_STORAGE),
            None => ("delete the group", cmd::DELETE_GROUP),
        };
        self.trackers.ask_at(doing, tracker, command, &group_and_id(group, id)).await.map(drop)
    }

    /// Makes a storage the trunk server of its group, or lets the leader choose (94); answers its id.
    pub async fn set_trunk_server(
        &self,
        group: GroupName,
        id: Option<StorageId>,
    ) -> Result<String, ClientError> {
        let leader = self.leader().await?;
        let body = group_and_id(group, id);
        let answer =
            self.trackers.ask_at("set the trunk server", leader, cmd::SET_TRUNK_SERVER, &body).await?;
        let text = answer.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    /// What the peers of one storage do not have yet, and the time there, Unix s (208). A storage of another implementation
    /// answers 22.
    pub async fn lag_at(&self, storage: SocketAddr) -> Result<(i64, Vec<LagRecord>), ClientError> {
        let ask = Ask { doing: "lag", command: cmd::LAG, flags: 0, body: Vec::new(), max: 64 << 10 };
        self.on(storage, Again::Safe, &ask).await?.parse(lag::parse)
    }

    /// From now on asks this tracker alone, `host` or `host:port`; `false` when it is none of the configured ones.
    pub fn pin(&self, tracker: &str) -> bool {
        self.trackers.pin(tracker)
    }

    /// The tracker that is asked first: of [`Self::pin`], else the one that answered last.
    pub fn current_tracker(&self) -> Option<SocketAddr> {
        self.trackers.current()
    }

    /// What one tracker knows of every member's status and its reason (206). The existing tracker answers 22; what its
    /// lists (95, 91, 92) tell is less, and put together here with `now` for its clock.
    pub async fn explain_at(
        &self,
        tracker: SocketAddr,
        now: i64,
    ) -> Result<(ExplainHead, Vec<Facts>), ClientError> {
        const DOING: &str = "explain";
        let bad = |bad: BadMessage| ClientError::answer(DOING, tracker, &bad);
        match self.trackers.ask_at(DOING, tracker, cmd::EXPLAIN, b"").await {
            Ok(answer) => {
                let (head, records) = explain::parse(&answer).map_err(bad)?;
                Ok((head, records.iter().map(Facts::from_record).collect::<Result<_, _>>().map_err(bad)?))
            }
            Err(error) if error.is_answer() && error.status() == Status::INVAL => {
                self.lists_at(tracker, now).await
            }
            Err(error) => Err(error),
        }
    }

    async fn lists_at(
        &self,
        tracker: SocketAddr,
        now: i64,
    ) -> Result<(ExplainHead, Vec<Facts>), ClientError> {
        const DOING: &str = "explain";
        let bad = |bad: BadMessage| ClientError::answer(DOING, tracker, &bad);
        let ask = async |command, body: &[u8]| self.trackers.ask_at(DOING, tracker, command, body).await;
        let leader = match ask(cmd::GET_LEADER, b"").await {
            Err(error) if !error.is_answer() => return Err(error),
            // It knows none.
            Err(_) => Default::default(),
            Ok(text) => text,
        };
        let mut facts = Vec::new();
        for group in GroupRecord::parse_list(&ask(cmd::LIST_ALL_GROUPS, b"").await?).map_err(bad)? {
            let Ok(name) = GroupName::new(group.name.bytes()) else { continue };
            let members = ask(cmd::LIST_STORAGE, &group_and_id(name, None)).await?;
            for member in StorageRecord::parse_list(&members).map_err(bad)? {
                facts.push(Facts::from_list(&group, &member).map_err(bad)?);
            }
        }
        let zero = 0.into();
        Ok((
            ExplainHead { now: now.into(), started: zero, check_active: zero, leader: Text::cut(&leader) },
            facts,
        ))
    }

    async fn told<T>(
        &self,
        doing: &'static str,
        command: u8,
        body: &[u8],
        parse: impl FnOnce(&[u8]) -> Result<T, BadMessage>,
    ) -> Result<T, ClientError> {
        let (tracker, answer) = self.trackers.ask(doing, command, body).await?;
        parse(&answer).map_err(|bad| ClientError::answer(doing, tracker, &bad))
    }
}

fn is(wanted: Option<bool>) -> u8 {
    u8::from(wanted == Some(true))
}

/// `group 16 | optional id` of the commands on groups and storages.
pub(crate) fn group_and_id(group: GroupName, id: Option<StorageId>) -> Vec<u8> {
    let mut body = Vec::new();
    put_group_and_id(&mut body, group, id);
    body
}
