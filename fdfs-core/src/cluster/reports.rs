//! Disk usage, sync progress and trunk figures that members report (tracker 3.4, 3.5 and 3.10).

use super::{Cluster, Effects, Group, Joined, PathSpace, Refusal, Rules};
use crate::ident::{StorageId, StorageStatus};
use crate::wire::Status;
use crate::wire::list::stat;
use crate::wire::report::{PathUsage, SyncedFrom};

impl Cluster {
    /// REPORT_DISK_USAGE (84).
    pub fn disk_usage(
        &mut self,
        rules: &Rules,
        who: &Joined,
        now: i64,
        usage: &[PathUsage],
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        let group = self.joined(who)?;
        // A member that has got one more serves with those that the group has, until all have it.
        let usage = usage.get(..group.path_count).filter(|usage| !usage.is_empty());
        let usage = usage.ok_or(Refusal::new(Status::INVAL, "not one entry per store path of the group"))?;
        let Some(member) = group.storage_mut(&who.id) else { return Err(Refusal::unknown_storage()) };
        let grew_from = member.free_mb;
        member.paths = usage
            .iter()
            .map(|path| PathSpace { total_mb: path.total_mb.get(), free_mb: path.free_mb.get() })
            .collect();
        let sum = |of: fn(&PathSpace) -> i64| member.paths.iter().map(of).fold(0, i64::saturating_add);
        let (total_mb, free_mb) = (sum(|path| path.total_mb), sum(|path| path.free_mb));
        (member.total_mb, member.free_mb) = (total_mb, free_mb);
        member.last_seen = now;
        if rules.store_path == 2 {
            let (mut best, mut most) = (member.write_path.get(), None);
            for (at, path) in member.paths.iter().enumerate() {
                if most.is_none_or(|most| path.free_mb > most) {
                    (best, most) = (at, Some(path.free_mb));
                }
            }
            member.write_path.set(best);
        }
        self.activate(who, now, out);
        let group = self.joined(who)?;
        group.update_space(total_mb, free_mb, grew_from);
        self.balance(rules);
        Ok(())
    }

    /// SYNC_REPORT (89): up to when the sender has everything, per source.
    pub fn sync_report(
        &mut self,
        rules: &Rules,
        who: &Joined,
        entries: &[SyncedFrom],
        now: i64,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        if entries.is_empty() {
            return Err(Refusal::new(Status::INVAL, "no entries"));
        }
        let group = self.joined(who)?;
        let mut accepted = Vec::new();
        for entry in entries {
            let Ok(Some(source)) = StorageId::from_field(entry.source_id.raw()) else { continue };
            let active = group.storage(&source).is_some_and(|s| s.status == StorageStatus::Active);
            if entry.timestamp.get() > 0 && active && source != who.id {
                group.synced.insert((source, who.id), entry.timestamp.get());
                accepted.push(i64::from(entry.timestamp.get()));
            }
        }
        let Some(member) = group.storage_mut(&who.id) else { return Err(Refusal::unknown_storage()) };
        member.last_seen = now;
        let synced = match rules.store_server {
            0 => accepted.iter().copied().min(),
            _ => accepted.iter().copied().max().map(|most| most.max(member.last_synced())),
        };
        if let Some(synced) = synced {
            member.stat.counters[stat::LAST_SYNCED] = synced.into();
        }
        self.sync_reports += 1;
        out.save |= self.sync_reports.is_multiple_of(1000);
        Ok(())
    }

    /// REPORT_TRUNK_FID (73).
    pub fn trunk_file_id(&mut self, who: &Joined, id: i32, out: &mut Effects) -> Result<(), Refusal> {
        let group = self.as_trunk_server(who, i64::from(id))?;
        if i64::from(id) > group.trunk_file_id {
            group.trunk_file_id = i64::from(id);
            out.save = true;
        }
        Ok(())
    }

    /// REPORT_TRUNK_FREE (74).
    pub fn trunk_free(&mut self, rules: &Rules, who: &Joined, free_mb: i64) -> Result<(), Refusal> {
        self.as_trunk_server(who, free_mb)?.trunk_free_mb = free_mb;
        self.balance(rules);
        Ok(())
    }

    fn as_trunk_server(&mut self, who: &Joined, number: i64) -> Result<&mut Group, Refusal> {
        let group = self.joined(who)?;
        if number < 0 {
            return Err(Refusal::new(Status::INVAL, "negative number"));
        }
        if group.trunk_server != Some(who.id) {
            return Err(Refusal::new(Status::INVAL, "the sender is not the trunk server"));
        }
        Ok(group)
    }

    /// Makes `id` the trunk server of a group.
    pub fn set_trunk_server(
        &mut self,
        name: &crate::ident::GroupName,
        id: Option<StorageId>,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        let group = self.group_mut(name).ok_or(Refusal::unknown_group())?;
        if group.trunk_server == id {
            return Ok(());
        }
        group.trunk_server = id;
        group.last_trunk_server = id.or(group.last_trunk_server);
        group.trunk_chg = group.trunk_chg.wrapping_add(1);
        out.save = true;
        match id.and_then(|id| group.storage(&id)) {
            Some(member) => out.info(format!(
                "group: {name}, trunk server set to {}({}:{})",
                member.id,
                member.ip(),
                member.port
            )),
            None => out.info(format!("group: {name}, trunk server set to none")),
        }
        Ok(())
    }

    /// After it was lost, and nobody took its place, the next one is the first.
    pub fn forget_last_trunk_server(&mut self, name: &crate::ident::GroupName) {
        if let Some(group) = self.group_mut(name) {
            group.last_trunk_server = None;
        }
    }

    /// Checks of SET_TRUNK_SERVER (94): the member that is, or is to become, trunk server; `None`: one is to be elected.
    pub fn trunk_choice(
        &self,
        name: &crate::ident::GroupName,
        wish: Option<StorageId>,
    ) -> Result<Option<StorageId>, Refusal> {
        let group = self.group(name).ok_or(Refusal::unknown_group())?;
        let active = |id: &StorageId| group.storage(id).is_some_and(|s| s.status == StorageStatus::Active);
        let present = group.trunk_server.filter(active);
        let Some(wish) = wish else {
            return Ok(present);
        };
        match present {
            Some(id) if id == wish => {
                return Err(Refusal::new(Status::ALREADY, "it is the trunk server already"));
            }
            Some(_) => return Err(Refusal::new(Status::EXIST, "another trunk server is active")),
            None => {}
        }
        let member = group.storage(&wish).ok_or(Refusal::unknown_storage())?;
        if member.status != StorageStatus::Active {
            return Err(Refusal::new(Status::NONET, "the storage is not active"));
        }
        if !member.writable() {
            return Err(Refusal::new(Status::ACCES, "the storage must not be written"));
        }
        Ok(Some(wish))
    }
}
