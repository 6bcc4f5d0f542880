//! Addresses and ids: changed addresses, the change log, pages of `storage_ids.conf` (tracker 3.8, 3.9 and 8).

use std::net::IpAddr;

use super::{Cause, Cluster, Effects, Refusal, Rules, Storage};
use crate::ident::{GroupName, ReadWrite, StorageId, StorageStatus};
use crate::settings::StorageIds;
use crate::wire::Status;

impl Cluster {
    /// REPORT_IP_CHANGED (78): the record of `old` continues as `new`.
    pub fn ip_changed(
        &mut self,
        rules: &Rules,
        now: i64,
        name: &GroupName,
        (old, new): (IpAddr, IpAddr),
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        use StorageStatus::{Active, Deleted, IpChanged, Online, Recovery};
        if rules.ids.is_some() {
            return Err(Refusal::new(Status::OPNOTSUPP, "addresses are not identities here"));
        }
        let id = |ip| address_id(ip).ok_or(Refusal::new(Status::INVAL, "bad address"));
        let (old_id, new_id) = (id(old)?, id(new)?);
        let group = self.group_mut(name).ok_or(Refusal::unknown_group())?;
        let known = group.storage(&new_id).is_some();
        let member = group.storage(&old_id).ok_or(Refusal::unknown_storage())?;
        match member.status {
            Deleted => return Err(Refusal::unknown_storage()),
            Online | Active | Recovery => return Err(Refusal::new(Status::BUSY, "the storage is in use")),
            IpChanged => return Err(Refusal::new(Status::ALREADY, "the address is changed already")),
            _ if known => return Err(Refusal::new(Status::EXIST, "the new address is a member already")),
            _ => {}
        }
        group.readdress(&old_id, new, now);
        group.changed();
        out.save = true;
        out.changelog.push_str(&change_log_line(now, name, old_id.as_str(), IpChanged, new_id.as_str()));
        out.info(format!("storage server {name}::{old} has the address {new} now"));
        Ok(())
    }

    /// Moves the read position of a storage's change log; the caller sent the bytes before it.
    pub fn changelog_read(&mut self, name: &GroupName, id: &StorageId, offset: u64, out: &mut Effects) {
        if let Some(member) = self.group_mut(name).and_then(|group| group.storage_mut(id)) {
            member.changelog_offset = offset;
            out.save = true;
        }
    }
}

/// Without ids in use a member's address is its id.
pub(super) fn address_id(ip: IpAddr) -> Option<StorageId> {
    StorageId::new(ip.to_string().as_bytes()).ok()
}

impl super::Group {
    /// The record of the member `old` continues with the address `new`; the caller checked that this is no member.
    pub(super) fn readdress(&mut self, old: &StorageId, new: IpAddr, now: i64) {
        let (Some(new_id), Some(member)) = (address_id(new), self.storage_mut(old)) else { return };
        let mut left = Storage::new(*old, std::mem::replace(&mut member.ips, vec![new]), ReadWrite::Both);
        left.turn(StorageStatus::IpChanged, Cause::Readdressed, now);
        left.port = member.port;
        member.id = new_id;
        member.current_ip = 0;
        self.add(left);
        self.rename(*old, new_id);
    }

    /// References to `old` mean `new`.
    fn rename(&mut self, old: StorageId, new: StorageId) {
        let renamed = |id: StorageId| if id == old { new } else { id };
        self.trunk_server = self.trunk_server.map(renamed);
        self.last_trunk_server = self.last_trunk_server.map(renamed);
        self.synced = self.synced.drain().map(|((a, b), at)| ((renamed(a), renamed(b)), at)).collect();
        let ids: Vec<StorageId> = self.storages().map(|member| member.id).collect();
        for id in ids {
            if let Some(member) = self.storage_mut(&id) {
                member.source = member.source.map(renamed);
            }
        }
    }
}

/// A line of `storage_changelog.dat`.
pub fn change_log_line(now: i64, group: &GroupName, id: &str, status: StorageStatus, arg: &str) -> String {
    format!("{now} {group} {id} {} {arg}\n", status.wire())
}

/// The fields of a line of `storage_changelog.dat` (tracker 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeLine<'a> {
    /// Unix seconds.
    pub at: i64,
    /// Group.
    pub group: &'a str,
    /// The member that is gone: its id, or its old address.
    pub id: &'a str,
    /// DELETED or IP_CHANGED.
    pub status: StorageStatus,
    /// The new address; empty when there is none.
    pub arg: &'a str,
}

impl<'a> ChangeLine<'a> {
    /// Reads a line, without or with its end.
    pub fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let at = fields.next()?.parse().ok()?;
        let (group, id) = (fields.next()?, fields.next()?);
        let status = StorageStatus::from_wire(fields.next()?.parse().ok()?).ok()?;
        Some(Self { at, group, id, status, arg: fields.next().unwrap_or_default() })
    }
}

/// Lines of FETCH_STORAGE_IDS (69) from entry `start` on, sorted by id, in at most `room` bytes; with their number.
pub fn storage_ids_page(ids: &StorageIds, start: usize, room: usize) -> (usize, String) {
    let mut sorted: Vec<_> = ids.entries.iter().collect();
    sorted.sort_by_key(|entry| entry.id);
    let (mut count, mut text) = (0, String::new());
    for entry in sorted.into_iter().skip(start) {
        let hosts = entry.hosts.join(",");
        let hosts = if hosts.contains(':') { format!("[{hosts}]") } else { hosts };
        let rw = match entry.rw {
            ReadWrite::Both => "",
            ReadWrite::None => " rw=none",
            ReadWrite::Read => " rw=read",
            ReadWrite::Write => " rw=write",
        };
        let line = format!("{} {} {hosts}:{}{rw}\n", entry.id, entry.group, entry.port_or_default());
        if count > 0 && text.len() + line.len() > room {
            break;
        }
        text.push_str(&line);
        count += 1;
    }
    (count, text)
}
