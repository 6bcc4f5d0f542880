//! Statuses of members: who becomes active, offline, deleted, and why (tracker 3.7, 4 and 5).

use super::join::configured;
use super::{Cause, Cluster, Effects, Group, Joined, MEMBERS_MAX, Refusal, Rules, Storage, change_log_line};
use crate::ident::{GroupName, StorageId, StorageStatus};
use crate::wire::report::Brief;
use crate::wire::{Status, list::StatBlock};

impl Cluster {
    /// The end of the connection of a joined storage. A connection that was replaced by a later one changes nothing.
    pub fn closed(&mut self, who: &Joined, now: i64, out: &mut Effects) {
        use StorageStatus::{Active, Offline, Online};
        let Some(group) = self.group_mut(&who.group) else { return };
        let Some(member) = group.storage_mut(&who.id).filter(|member| member.session == who.session) else {
            return;
        };
        member.up_time = 0;
        member.session = 0;
        member.sent_chg = 0;
        member.sent_trunk_chg = 0;
        if matches!(member.status, Online | Active) {
            member.turn(Offline, Cause::Closed, now);
            group.changed();
            out.info(format!("storage server {}::{} offline: its connection ended", who.group, who.id));
        }
    }

    /// The wall clock was set by `by` seconds and is `now`: what was noted before moves along, so that nobody seems silent
    /// for that reason, and nobody who is silent seems not to be.
    pub fn clock_moved(&mut self, by: i64, now: i64) {
        let before = |seen: i64| if by < 0 { seen > now } else { seen <= now.saturating_sub(by) + 1 };
        let names: Vec<GroupName> = self.groups.keys().copied().collect();
        for name in names {
            let Some(group) = self.group_mut(&name) else { continue };
            let moved: Vec<StorageId> =
                group.storages().filter(|member| before(member.last_seen)).map(|member| member.id).collect();
            for id in moved {
                if let Some(member) = group.storage_mut(&id).filter(|member| member.last_seen != 0) {
                    member.last_seen = member.last_seen.saturating_add(by);
                }
            }
        }
    }

    /// Active members that were silent for longer than `check_active_interval` go offline.
    pub fn check_alive(&mut self, rules: &Rules, now: i64, out: &mut Effects) {
        let names: Vec<GroupName> = self.groups.keys().copied().collect();
        for name in names {
            let silent: Vec<StorageId> = self
                .group(&name)
                .into_iter()
                .flat_map(Group::storages)
                .filter(|member| member.status == StorageStatus::Active)
                .filter(|member| now.saturating_sub(member.last_seen) > rules.check_active)
                .map(|member| member.id)
                .collect();
            let Some(group) = self.group_mut(&name).filter(|_| !silent.is_empty()) else { continue };
            for id in silent {
                if let Some(member) = group.storage_mut(&id) {
                    member.turn(StorageStatus::Offline, Cause::Silent, now);
                    out.warn(format!("storage server {name}::{id} idle too long, status change to offline!"));
                }
            }
            group.changed();
        }
    }

    /// REPORT_STATUS (76).
    pub fn report_status(
        &mut self,
        rules: &Rules,
        name: &GroupName,
        brief: &Brief,
        now: i64,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        let group = self.group_mut(name).ok_or(Refusal::unknown_group())?;
        group.merge(rules, brief, now, out)
    }

    /// REPLICA_CHG (85): the leader knows better, a follower merges.
    pub fn replica_changes(
        &mut self,
        rules: &Rules,
        who: &Joined,
        briefs: &[Brief],
        (leader, now): (bool, i64),
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        if briefs.is_empty() || briefs.len() > MEMBERS_MAX {
            return Err(Refusal::new(Status::INVAL, "between 1 and 32 members expected"));
        }
        if leader {
            return Ok(());
        }
        let group = self.group_mut(&who.group).ok_or(Refusal::unknown_group())?;
        briefs.iter().try_for_each(|brief| group.merge(rules, brief, now, out))
    }

    /// CHANGE_STATUS (59): what the leader thinks of the sender.
    pub fn change_status(
        &mut self,
        who: &Joined,
        new: u8,
        now: i64,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        use StorageStatus::{Active, Offline, Online};
        let new = StorageStatus::from_wire(new)
            .ok()
            .filter(|new| *new != StorageStatus::None)
            .ok_or(Refusal::new(Status::INVAL, "no such storage status"))?;
        let group = self.joined(who)?;
        let live = |status| matches!(status, Offline | Online | Active);
        let Some(member) = group.storage_mut(&who.id) else { return Err(Refusal::unknown_storage()) };
        let old = member.status;
        if old == new || (live(old) && live(new)) {
            return Ok(());
        }
        let after = if live(new) { Offline } else { new };
        member.turn(after, Cause::ByLeader, now);
        group.changed();
        out.save = true;
        out.info(format!(
            "storage server {}::{} status {old} -> {after}: the leader has {new}",
            who.group, who.id
        ));
        Ok(())
    }

    /// BEAT (83) with the counters, if they changed.
    pub fn beat(
        &mut self,
        who: &Joined,
        now: i64,
        stats: Option<&StatBlock>,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        use crate::wire::list::stat::{LAST_HEART_BEAT, LAST_SYNCED};
        let member = self.joined_member(who)?;
        if let Some(new) = stats {
            let synced = member.stat.counters[LAST_SYNCED];
            member.stat = *new;
            member.stat.counters[LAST_SYNCED] = synced;
        }
        member.stat.counters[LAST_HEART_BEAT] = now.into();
        member.last_seen = now;
        self.activate(who, now, out);
        if stats.is_some() {
            self.beats += 1;
            // Counters are worth a save now and then, not at every beat.
            out.save |= self.beats.is_multiple_of(1000);
        }
        Ok(())
    }

    /// DELETE_STORAGE (93).
    pub fn delete_storage(
        &mut self,
        now: i64,
        name: &GroupName,
        id: &StorageId,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        use StorageStatus::{Active, Deleted, IpChanged, Online, Recovery};
        let group = self.group_mut(name).ok_or(Refusal::unknown_group())?;
        let member = group.storage_mut(id).ok_or(Refusal::unknown_storage())?;
        match member.status {
            IpChanged => return Err(Refusal::unknown_storage()),
            Online | Active | Recovery => {
                return Err(Refusal::new(Status::BUSY, "the storage is in use"));
            }
            Deleted => return Err(Refusal::new(Status::ALREADY, "the storage is deleted already")),
            _ => {}
        }
        retire(group, id, Deleted, Cause::Deleted, now);
        group.changed();
        out.save = true;
        out.changelog.push_str(&change_log_line(now, name, id.as_str(), Deleted, ""));
        out.info(format!("storage server {name}::{id} deleted by an administrator"));
        Ok(())
    }

    /// DELETE_GROUP (108).
    pub fn delete_group(&mut self, name: &GroupName, out: &mut Effects) -> Result<(), Refusal> {
        let group = self.group(name).ok_or(Refusal::unknown_group())?;
        if !group.members.is_empty() {
            return Err(Refusal::new(Status::BUSY, "the group still has members"));
        }
        self.groups.remove(name);
        out.save = true;
        out.info(format!("group {name} deleted by an administrator"));
        Ok(())
    }

    /// OFFLINE and ONLINE become ACTIVE by a report of the storage itself. A deleted or recovering one does not.
    pub(super) fn activate(&mut self, who: &Joined, now: i64, out: &mut Effects) {
        use StorageStatus::{Active, Offline, Online};
        let Some(group) = self.group_mut(&who.group) else { return };
        let Some(member) = group.storage_mut(&who.id) else { return };
        // A connection that a later one replaced says nothing about the storage's present state.
        if member.session == who.session && matches!(member.status, Offline | Online) {
            member.turn(Active, Cause::Reported, now);
            group.changed();
            out.info(format!("storage server {}::{} now active: it reports again", who.group, who.id));
        }
    }

    /// The group and the member of a connection.
    pub(super) fn joined(&mut self, who: &Joined) -> Result<&mut Group, Refusal> {
        let group = self.group_mut(&who.group).ok_or(Refusal::unknown_group())?;
        group.at(&who.id).map(|_| ()).ok_or(Refusal::unknown_storage())?;
        Ok(group)
    }

    /// The member of a connection.
    pub(super) fn joined_member(&mut self, who: &Joined) -> Result<&mut Storage, Refusal> {
        let group = self.group_mut(&who.group).ok_or(Refusal::unknown_group())?;
        group.storage_mut(&who.id).ok_or(Refusal::unknown_storage())
    }
}

/// Makes a member one that is gone: what was known of it is forgotten, and nobody waits for files from it.
pub(super) fn retire(group: &mut Group, id: &StorageId, status: StorageStatus, cause: Cause, now: i64) {
    let Some(member) = group.storage_mut(id) else { return };
    let mut gone = Storage::new(member.id, member.ips.clone(), member.rw);
    gone.turn(status, cause, now);
    gone.port = member.port;
    gone.session = member.session;
    *member = gone;
    group.forget_source(id);
}

impl Group {
    /// One record of what another server thinks of a member (tracker 3.7).
    fn merge(&mut self, rules: &Rules, brief: &Brief, now: i64, out: &mut Effects) -> Result<(), Refusal> {
        use StorageStatus::{Active, Deleted, Init, IpChanged, None as Unknown, Online, Recovery};
        let status = StorageStatus::from_wire(brief.status)
            .map_err(|_| Refusal::new(Status::INVAL, "no such storage status"))?;
        if status == Unknown {
            return Ok(());
        }
        let id = StorageId::from_field(brief.id.raw())
            .ok()
            .flatten()
            .ok_or(Refusal::new(Status::INVAL, "bad storage id"))?;
        let name = self.name;
        if let Some(member) = self.storage_mut(&id) {
            let known = member.status;
            // A late report about a deleted member does not bring it back; its own JOIN does.
            if status == known || matches!(known, Init | Online | Active | Recovery | Deleted | IpChanged) {
                return Ok(());
            }
            if matches!(status, Deleted | IpChanged) || status > known {
                member.turn(status, Cause::ByPeer, now);
                self.changed();
                // The existing tracker forgets this at a restart, and the member would wait for its copy again.
                out.save = true;
                out.info(format!(
                    "storage server {name}::{id} status {known} -> {status}: reported by a peer"
                ));
            }
            return Ok(());
        }
        if matches!(status, Deleted | IpChanged | Active | Online) {
            return Ok(());
        }
        if self.members.len() >= MEMBERS_MAX {
            return Err(Refusal::new(Status::NOSPC, "the group has 32 members already"));
        }
        let (mut ips, rw) = configured(rules, &id);
        if rules.ids.is_some() && ips.is_empty() {
            return Err(Refusal::new(Status::NOENT, "id is not in storage_ids.conf"));
        }
        if ips.is_empty() {
            ips.extend(brief.ip.ip());
        }
        if ips.is_empty() {
            return Err(Refusal::new(Status::INVAL, "bad address of a member"));
        }
        let mut storage = Storage::new(id, ips, rw);
        storage.turn(status, Cause::ByPeer, now);
        storage.port = u16::try_from(brief.port.get()).unwrap_or(0);
        self.add(storage);
        self.changed();
        out.info(format!("storage server {name}::{id} is new, status {status}: reported by a peer"));
        Ok(())
    }

    /// Nobody has a source that is no member.
    pub(super) fn forget_unknown_sources(&mut self) -> Vec<(StorageId, StorageId)> {
        let ids: Vec<StorageId> = self.in_join_order().map(|member| member.id).collect();
        let unknown = |member: &Storage| {
            member.source.filter(|source| !ids.contains(source)).map(|source| (member.id, source))
        };
        let orphans: Vec<_> = self.in_join_order().filter_map(unknown).collect();
        for (id, _) in &orphans {
            if let Some(member) = self.storage_mut(id) {
                member.source = None;
            }
        }
        orphans
    }

    /// Members whose source is gone have none.
    pub(super) fn forget_source(&mut self, id: &StorageId) {
        let orphans: Vec<StorageId> =
            self.storages().filter(|member| member.source == Some(*id)).map(|member| member.id).collect();
        for orphan in orphans {
            if let Some(member) = self.storage_mut(&orphan) {
                member.source = None;
                member.sync_until = 0;
            }
        }
    }
}
