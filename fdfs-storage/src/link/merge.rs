//! What the leader's list of members means for the local one (replication 6.3).

use std::net::{IpAddr, SocketAddr};

use fdfs_core::ident::{StorageId, StorageStatus};
use fdfs_core::wire::report::Brief;

use super::calls::brief;
use crate::members::Member;

/// Most members of a group.
const MEMBERS_MAX: usize = 32;

/// The outcome.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    /// The new list.
    pub list: Vec<Member>,
    /// What the trackers do not know, for command 85.
    pub tell: Vec<Brief>,
    /// The tracker takes this storage for less than it is: join again.
    pub rejoin: bool,
}

/// Merges the list of a tracker's leader into the local one.
pub(super) fn merge(local: &[Member], told: &[Brief], me: &StorageId) -> Merged {
    use StorageStatus::{
        Active, Deleted, Init, IpChanged, None as Nothing, Offline, Online, Syncing, WaitSync,
    };
    let mut merged = Merged { list: local.to_vec(), ..Merged::default() };
    for told in told {
        let Some((id, addr, theirs)) = read(told) else { continue };
        let Some(member) = merged.list.iter_mut().find(|member| member.id == id) else {
            let gone = matches!(theirs, Deleted | IpChanged);
            if !gone && merged.list.len() < MEMBERS_MAX {
                merged.list.push(Member { id, addr, status: theirs });
            }
            continue;
        };
        member.addr = addr;
        let ours = member.status;
        match (ours, theirs) {
            (ours, theirs) if ours == theirs => {}
            (Active | Online, Offline) => member.status = Offline,
            (Nothing | Init, Offline) | (Nothing, Deleted | IpChanged) => {}
            (_, Offline) => merged.tell.push(brief(&id, addr, ours)),
            // A member that was deleted and comes again, and one that has lost its data, wait for files like new ones.
            // Of itself alone a storage knows better.
            (Offline | Nothing | Deleted | IpChanged, _) => member.status = theirs,
            (ours, WaitSync | Syncing) if ours > theirs && id == *me => {
                merged.tell.push(brief(&id, addr, ours));
                merged.rejoin = true;
            }
            _ => member.status = theirs,
        }
    }
    for member in local {
        if !told.iter().any(|told| read(told).is_some_and(|(id, ..)| id == member.id)) {
            merged.tell.push(brief(&member.id, member.addr, member.status));
        }
    }
    merged.list.sort_by(|one, other| one.id.as_str().cmp(other.id.as_str()));
    merged
}

/// Whether the list has a member with this id.
pub(super) fn is_living(told: &[Brief], id: &str) -> bool {
    told.iter().filter_map(read).any(|(one, _, status)| one.as_str() == id && !status.is_gone())
}

fn read(brief: &Brief) -> Option<(StorageId, SocketAddr, StorageStatus)> {
    let id = StorageId::from_field(brief.id.raw()).ok().flatten()?;
    let ip: IpAddr = brief.ip.ip()?;
    let port = u16::try_from(brief.port.get()).ok()?;
    Some((id, SocketAddr::new(ip, port), StorageStatus::from_wire(brief.status).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use StorageStatus::{Active, Deleted, Offline, Online, Syncing, WaitSync};

    fn id(n: u8) -> StorageId {
        StorageId::new(format!("10.0.0.{n}").as_bytes()).unwrap()
    }

    fn addr(n: u8) -> SocketAddr {
        format!("10.0.0.{n}:23000").parse().unwrap()
    }

    fn statuses(
        local: &[(u8, StorageStatus)],
        told: &[(u8, StorageStatus)],
    ) -> (Vec<StorageStatus>, usize, bool) {
        let local: Vec<Member> =
            local.iter().map(|&(n, status)| Member { id: id(n), addr: addr(n), status }).collect();
        let told: Vec<Brief> = told.iter().map(|&(n, status)| brief(&id(n), addr(n), status)).collect();
        let merged = merge(&local, &told, &id(1));
        (merged.list.iter().map(|member| member.status).collect(), merged.tell.len(), merged.rejoin)
    }

    #[test]
    fn the_table() {
        assert_eq!(statuses(&[], &[(2, Active), (1, Online)]), (vec![Online, Active], 0, false));
        assert_eq!(statuses(&[], &[(1, Deleted)]), (vec![], 0, false));
        assert_eq!(statuses(&[(1, Active)], &[(1, Offline)]), (vec![Offline], 0, false));
        assert_eq!(statuses(&[(1, Offline)], &[(1, Active)]), (vec![Active], 0, false));
        assert_eq!(statuses(&[(1, Syncing)], &[(1, Offline)]), (vec![Syncing], 1, false));
        assert_eq!(statuses(&[(1, Active)], &[(1, WaitSync)]), (vec![Active], 1, true));
        assert_eq!(statuses(&[(2, Active)], &[(2, WaitSync)]), (vec![WaitSync], 0, false));
        assert_eq!(statuses(&[(2, Deleted)], &[(2, WaitSync)]), (vec![WaitSync], 0, false));
        assert_eq!(statuses(&[(2, Deleted)], &[(2, Offline)]), (vec![Deleted], 1, false));
        assert_eq!(statuses(&[(2, WaitSync)], &[(2, Syncing)]), (vec![Syncing], 0, false));
        assert_eq!(statuses(&[(1, Active), (2, Active)], &[(1, Active)]), (vec![Active, Active], 1, false));
    }
}
