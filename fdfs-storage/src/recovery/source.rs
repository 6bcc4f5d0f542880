//! Who has the files.

use std::net::SocketAddr;
use std::sync::Arc;

use fdfs_core::ident::{StorageId, StorageStatus};
use fdfs_core::wire::cmd;
use fdfs_core::wire::list::StorageRecord;

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
    /// Active ones among them.
    pub sources: Vec<SocketAddr>,
}

impl Group {
    /// Asks all trackers; of the own status the furthest one counts.
    pub async fn ask(storage: &Arc<Storage>, calls: &Calls) -> Result<Self, Broken> {
        let mut group = Self { own_status: None, others: 0, sources: Vec::new() };
        let mut last = None;
        let mut answered = false;
        for &addr in calls.addrs() {
            let body = storage.identity.group.field();
            let asked = async {
                let mut tracker = calls.connect(addr).await?;
                tracker.ask(cmd::LIST_STORAGE, body.raw(), LIST_MAX).await
            };
            match asked.await {
                Ok(list) => {
                    answered = true;
                    group.learn(storage, &list);
                }
                Err(error) => last = Some(error),
            }
        }
        match (answered, last) {
            (false, Some(error)) => Err(error.into()),
            (false, None) => Err(Broken::Source("no tracker".into())),
            _ => Ok(group),
        }
    }

    fn learn(&mut self, storage: &Storage, list: &[u8]) {
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
            if let Some((ip, port)) = addr
                && status == StorageStatus::Active
                && !self.sources.contains(&SocketAddr::new(ip, port))
            {
                self.sources.push(SocketAddr::new(ip, port));
            }
        }
        self.others = self.others.max(others);
    }
}
