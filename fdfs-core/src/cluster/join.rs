//! JOIN (tracker 3.1): who it is, does it fit its group, what is it now.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Cause, Cluster, Effects, Group, GroupPort, MEMBERS_MAX, Refusal, Rules, Storage};
use crate::ident::{GroupName, ReadWrite, StorageId, StorageStatus};
use crate::wire::Status;
use crate::wire::report::JoinHead;

/// Greatest number of store paths, and of subdirectories per level.
const DIRS_MAX: i64 = 256;

/// A storage that joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Its group.
    pub group: GroupName,
    /// Its identity.
    pub id: StorageId,
    /// Number of this joining: a later connection of the same storage has a higher one.
    pub session: u64,
    /// What it is at this tracker.
    pub status: StorageStatus,
    /// Recorded source of its old files.
    pub source: Option<StorageId>,
}

/// The checked fields of a JOIN.
struct Request {
    group: GroupName,
    port: u16,
    paths: usize,
    subdirs: i64,
    /// Status it says it has; `None`: do not create me.
    status: Option<StorageStatus>,
    init: bool,
}

impl Cluster {
    /// Steps 2 and 7 to 16 of tracker 3.1; tracker lines are [`super::parse_lines`]. A refused storage leaves no group behind.
    pub fn join(
        &mut self,
        rules: &Rules,
        now: i64,
        head: &JoinHead,
        peer: IpAddr,
        out: &mut Effects,
    ) -> Result<Joined, Refusal> {
        let request = Request::check(head)?;
        let id = identify(rules, &request, head, peer)?;
        let mut group = match self.groups.get(&request.group) {
            Some(group) => Group::clone(group),
            None => Group::new(request.group),
        };
        let known = group.at(&id).is_some();
        if !known {
            group.add(create(rules, &group, &request, (id, peer), now)?);
        }
        let session = self.sessions + 1;
        let size = self.changelog_size;
        let fits = fill(rules, now, &mut group, &request, head, &id, peer)
            .and_then(|()| settle(&mut group, &request, &id, known, session, (size, now)));
        // The new port or path count of a known member is kept even when it does not fit yet:
        // the group follows once all of its members agree.
        let before = self.groups.get(&request.group).map(Arc::clone);
        if fits.is_ok() || known {
            group.refresh();
            self.groups.insert(request.group, Arc::new(group));
        }
        let joined = fits?;
        self.sessions = session;
        out.save |= !known || before.as_ref().is_some_and(|before| self.layout_differs(before));
        let was = before.as_deref().and_then(|group| group.storage(&id)).map(|member| member.status);
        if let Some(was) = was.filter(|was| *was != joined.status) {
            out.info(format!(
                "storage server {}::{id} status {was} -> {}: it joined",
                request.group, joined.status
            ));
        }
        let name = request.group;
        if known {
            out.debug(format!(
                "storage server {name}::{} join in, remain changelog bytes: {}",
                id,
                self.unread(&name, &id)
            ));
        } else {
            out.info(format!(
                "storage server {name}::{id} ({peer}:{}) is new, status {}",
                request.port, joined.status
            ));
        }
        Ok(joined)
    }

    fn layout_differs(&self, before: &Group) -> bool {
        self.group(&before.name).is_some_and(|now| {
            (now.port, now.path_count, now.subdir_count)
                != (before.port, before.path_count, before.subdir_count)
        })
    }

    fn unread(&self, group: &GroupName, id: &StorageId) -> u64 {
        let member = self.group(group).and_then(|group| group.storage(id));
        member.map_or(0, |member| self.changelog_size.saturating_sub(member.changelog_offset))
    }
}

impl Request {
    fn check(head: &JoinHead) -> Result<Self, Refusal> {
        let bad = |why| Refusal::new(Status::INVAL, why);
        let group = GroupName::from_field(head.group.raw()).map_err(|_| bad("bad group name"))?;
        let port = u16::try_from(head.port.get()).ok().filter(|port| *port != 0);
        let count = |n: i64| (1..=DIRS_MAX).contains(&n);
        if !count(head.store_path_count.get()) {
            return Err(bad("bad store path count"));
        }
        if !count(head.subdir_count.get()) {
            return Err(bad("bad subdirectory count"));
        }
        Ok(Self {
            group,
            port: port.ok_or(bad("bad port"))?,
            paths: head.store_path_count.get() as usize,
            subdirs: head.subdir_count.get(),
            status: u8::try_from(head.status).ok().and_then(|s| StorageStatus::from_wire(s).ok()),
            init: head.init_flag != 0,
        })
    }
}

/// Step 8: the configured id, or the peer's address.
fn identify(rules: &Rules, request: &Request, head: &JoinHead, peer: IpAddr) -> Result<StorageId, Refusal> {
    let Some(ids) = &rules.ids else {
        return StorageId::new(peer.to_string().as_bytes())
            .map_err(|_| Refusal::new(Status::INVAL, "an IPv6 storage needs storage ids"));
    };
    let sent = StorageId::from_field(head.id.raw())
        .map_err(|_| Refusal::new(Status::INVAL, "bad storage id"))?
        .filter(|_| rules.trust_id);
    let entry = match sent {
        Some(id) => ids.by_id(&id).ok_or(Refusal::new(Status::NOENT, "id is not in storage_ids.conf"))?,
        None => ids
            .by_addr(peer, request.port)
            .filter(|entry| entry.group == request.group)
            .ok_or(Refusal::new(Status::NOENT, "address is not in storage_ids.conf"))?,
    };
    if entry.group != request.group {
        return Err(Refusal::new(Status::INVAL, "storage_ids.conf has this id in another group"));
    }
    Ok(entry.id)
}

/// Steps 10, 11 and 15.
fn create(
    rules: &Rules,
    group: &Group,
    request: &Request,
    (id, peer): (StorageId, IpAddr),
    now: i64,
) -> Result<Storage, Refusal> {
    use StorageStatus::{Active, Deleted, Init, IpChanged, None as Unknown, Online};
    if group.members.len() >= MEMBERS_MAX {
        return Err(Refusal::new(Status::NOSPC, "the group has 32 members already"));
    }
    let status = match request.status {
        _ if request.init => Init,
        Option::None | Some(IpChanged | Deleted | Unknown) => {
            return Err(Refusal::new(Status::FAULT, "an unknown storage that must not be created yet"));
        }
        Some(Active) => Online,
        Some(status) => status,
    };
    let (ips, rw) = configured(rules, &id);
    let mut storage = Storage::new(id, if ips.is_empty() { vec![peer] } else { ips }, rw);
    storage.turn(status, Cause::New, now);
    Ok(storage)
}

/// Addresses and mode of an id in `storage_ids.conf`.
pub(super) fn configured(rules: &Rules, id: &StorageId) -> (Vec<IpAddr>, ReadWrite) {
    let entry = rules.ids.as_ref().and_then(|ids| ids.by_id(id));
    entry.map_or((Vec::new(), ReadWrite::Both), |entry| (entry.ips().collect(), entry.rw))
}

/// Steps 9, 12 to 14: fields of the member, and whether they fit the group.
fn fill(
    rules: &Rules,
    now: i64,
    group: &mut Group,
    request: &Request,
    head: &JoinHead,
    id: &StorageId,
    peer: IpAddr,
) -> Result<(), Refusal> {
    let Some(member) = group.storage_mut(id) else { return Err(Refusal::unknown_storage()) };
    if let Some(at) = member.ips.iter().position(|ip| *ip == peer) {
        member.current_ip = at;
    }
    member.port = request.port;
    member.path_count = request.paths;
    member.subdir_count = request.subdirs;
    member.upload_priority = head.upload_priority.get();
    member.join_time = head.join_time.get();
    member.up_time = head.up_time.get();
    // It is written into a file of lines.
    member.version = head.version.graphic();
    member.last_seen = now;
    let all = |group: &Group, same: &dyn Fn(&Storage) -> bool| {
        group.in_join_order().filter(|member| !member.is_gone()).all(same)
    };
    group.port = match group.port {
        GroupPort::One(port) if port == request.port => group.port,
        GroupPort::Unknown => GroupPort::One(request.port),
        GroupPort::Mixed if rules.mixed_ports() => GroupPort::Mixed,
        GroupPort::Mixed => GroupPort::One(request.port),
        GroupPort::One(_) if rules.mixed_ports() => GroupPort::Mixed,
        GroupPort::One(_) if all(group, &|member| member.port == request.port) => {
            GroupPort::One(request.port)
        }
        GroupPort::One(_) => return Err(Refusal::new(Status::INVAL, "port differs from its group's")),
    };
    if group.path_count != request.paths {
        let agreed = all(group, &|member| member.path_count == request.paths);
        if group.path_count == 0 || agreed {
            group.path_count = request.paths;
        } else if request.paths < group.path_count {
            return Err(Refusal::new(Status::INVAL, "fewer store paths than its group"));
        }
    }
    if group.subdir_count != request.subdirs {
        let agreed = all(group, &|member| member.subdir_count == request.subdirs);
        if group.subdir_count != 0 && !agreed {
            return Err(Refusal::new(Status::INVAL, "subdirectory count differs from its group's"));
        }
        group.subdir_count = request.subdirs;
    }
    Ok(())
}

/// Step 16 and the session.
fn settle(
    group: &mut Group,
    request: &Request,
    id: &StorageId,
    known: bool,
    session: u64,
    (changelog_size, now): (u64, i64),
) -> Result<Joined, Refusal> {
    use StorageStatus::{Deleted, Init, IpChanged, Offline, Online, Recovery};
    let Some(member) = group.storage_mut(id) else { return Err(Refusal::unknown_storage()) };
    let before = member.status;
    if known && matches!(before, Deleted | IpChanged) {
        member.turn(Init, Cause::Joined, now);
    }
    if matches!(member.status, Offline | Recovery) {
        member.turn(Online, Cause::Joined, now);
    }
    if member.status == Init {
        member.changelog_offset = changelog_size;
    }
    member.session = session;
    member.sent_chg = 0;
    member.sent_trunk_chg = 0;
    let joined =
        Joined { group: request.group, id: *id, session, status: member.status, source: member.source };
    if !known || before != joined.status {
        group.changed();
    }
    Ok(joined)
}
