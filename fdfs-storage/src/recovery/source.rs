//! Who has the files.

use std::net::SocketAddr;
use std::sync::Arc;

use fdfs_core::ident::{StorageId, StorageStatus};
use fdfs_core::wire::cmd;
use fdfs_core::wire::list::{GroupRecord, StorageRecord};
use fdfs_net::CallError;

use super::Broken;
use crate::link::Calls;
use crate::storage::Storage;

/// Longest list of members, bytes.
const LIST_MAX: usize = 64 << 10;

/// The group as a tracker lists it.
pub(super) struct Group {
    pub own_status: Option<StorageStatus>,
    /// Members besides this one.
    pub others: usize,
    /// Active ones among them; if there are none, those that recover: they serve what they have.
    pub sources: Vec<SocketAddr>,
    /// Store paths that the group has.
    pub paths: usize,
}

impl Group {
    /// Asks all trackers; of the own status the furthest one counts.
    pub async fn ask(storage: &Arc<Storage>, calls: &Calls) -> Result<Self, Broken> {
        let mut group = Self { own_status: None, others: 0, sources: Vec::new(), paths: 0 };
        let mut recovering = Vec::new();
        let mut last = None;
        let mut answered = false;
        for &addr in calls.addrs() {
            let body = storage.identity.group.field();
            let asked = async {
                let mut tracker = calls.connect(addr).await?;
                let record = tracker.ask(cmd::LIST_ONE_GROUP, body.raw(), LIST_MAX).await?;
                Ok((record, tracker.ask(cmd::LIST_STORAGE, body.raw(), LIST_MAX).await?))
            };
            let asked: Result<_, CallError> = asked.await;
            match asked {
                Ok((record, list)) => {
                    answered = true;
                    let paths = GroupRecord::parse_list(&record).unwrap_or_default();
                    let paths =
                        paths.first().and_then(|group| usize::try_from(group.store_path_count.get()).ok());
                    group.paths = group.paths.max(paths.unwrap_or(0));
                    group.learn(storage, &list, &mut recovering);
                }
                Err(error) => last = Some(error),
            }
        }
        match (answered, last) {
            (false, Some(error)) => Err(error.into()),
            (false, None) => Err(Broken::Source("no tracker".into())),
            _ => {
                if group.sources.is_empty() {
                    group.sources = recovering;
                }
                Ok(group)
            }
        }
    }

    fn learn(&mut self, storage: &Storage, list: &[u8], recovering: &mut Vec<SocketAddr>) {
        let records = StorageRecord::parse_list(list).unwrap_or_default();
        let mut others = 0;
        for record in records {
            let Ok(status) = StorageStatus::from_wire(record.head.status) else { continue };
            let id = StorageId::new(record.head.id.bytes()).ok();
            if id == Some(storage.identity.id) {
                let further = self.own_status.is_none_or(|known| known.wire() < status.wire());
                self.own_status = if further { Some(status) } else { self.own_status };
                continue;
            }
            others += usize::from(!matches!(status, StorageStatus::Deleted | StorageStatus::IpChanged));
            let addr = record.ip.as_str().parse().ok().zip(u16::try_from(record.tail.port.get()).ok());
            let Some((ip, port)) = addr else { continue };
            let into = match status {
                StorageStatus::Active => &mut self.sources,
                StorageStatus::Recovery => &mut *recovering,
                _ => continue,
            };
            if !into.contains(&SocketAddr::new(ip, port)) {
                into.push(SocketAddr::new(ip, port));
            }
        }
        self.others = self.others.max(others);
    }
}
