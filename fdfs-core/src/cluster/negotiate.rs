//! Who copies the old files to a new member (tracker 3.6).

use super::{Cause, Cluster, Effects, Joined, Refusal};
use crate::ident::{GroupName, StorageId, StorageStatus};
use crate::wire::Status;
use crate::wire::report::SyncSource;

impl Cluster {
    /// SYNC_DEST_REQ (87): the source that was chosen, `None` when there is nothing to copy.
    pub fn request_source(
        &mut self,
        who: &Joined,
        now: i64,
        out: &mut Effects,
    ) -> Result<Option<SyncSource>, Refusal> {
        use StorageStatus::{Active, Offline, Online, WaitSync};
        let group = self.joined(who)?;
        let settled = group
            .storages()
            .any(|other| other.id != who.id && matches!(other.status, Offline | Online | Active));
        let source = group.writable().map(|other| other.id).find(|id| *id != who.id);
        if settled && source.is_none() {
            return Err(Refusal::new(Status::NOENT, "no active member can copy the old files yet"));
        }
        let Some(member) = group.storage_mut(&who.id) else { return Err(Refusal::unknown_storage()) };
        let answer = match source.filter(|_| settled) {
            Some(id) => {
                member.source = Some(id);
                member.sync_until = now;
                member.turn(WaitSync, Cause::SourceChosen, now);
                out.info(format!(
                    "storage server {}::{} status WAIT_SYNC: {id} copies the files up to {now}",
                    who.group, who.id
                ));
                Some(SyncSource { source_id: id.field(), until: now.into() })
            }
            None => {
                member.turn(Online, Cause::NothingToCopy, now);
                out.info(format!(
                    "storage server {}::{} status ONLINE: no other member has files to copy",
                    who.group, who.id
                ));
                None
            }
        };
        group.changed();
        out.save = true;
        Ok(answer)
    }

    /// SYNC_NOTIFY (88): what another tracker answered to 87.
    pub fn source_chosen(
        &mut self,
        who: &Joined,
        told: &SyncSource,
        now: i64,
        out: &mut Effects,
    ) -> Result<(), Refusal> {
        use StorageStatus::{Init, Online, Syncing, WaitSync};
        let source = StorageId::from_field(told.source_id.raw())
            .map_err(|_| Refusal::new(Status::INVAL, "bad storage id"))?;
        let group = self.joined(who)?;
        if let Some(source) = source {
            let other = group.storage(&source).ok_or(Refusal::unknown_storage())?;
            let recorded = group.storage(&who.id).is_some_and(|member| member.source.is_some());
            if other.is_gone() && !recorded {
                return Err(Refusal::new(Status::NOENT, "the source is deleted"));
            }
        }
        let Some(member) = group.storage_mut(&who.id) else { return Err(Refusal::unknown_storage()) };
        let before = member.status;
        let mut save = false;
        match source {
            None if matches!(before, Init | WaitSync | Syncing) => {
                member.turn(Online, Cause::SettledElsewhere, now);
            }
            None => {}
            Some(source) => {
                if before == Init {
                    member.turn(WaitSync, Cause::SettledElsewhere, now);
                }
                if member.source.is_none() {
                    member.source = Some(source);
                    member.sync_until = told.until.get();
                    save = true;
                }
            }
        }
        let after = member.status;
        if after != before {
            save = true;
            group.changed();
            out.info(format!(
                "storage server {}::{} status {before} -> {after}: it settled its source with another tracker",
                who.group, who.id
            ));
        }
        out.save |= save;
        Ok(())
    }

    /// SYNC_DEST_QUERY (79): what is recorded for the asker.
    pub fn recorded_source(&self, who: &Joined) -> Result<Option<SyncSource>, Refusal> {
        let group = self.group(&who.group).ok_or(Refusal::unknown_group())?;
        let member = group.storage(&who.id).ok_or(Refusal::unknown_storage())?;
        Ok(member.source.map(|id| SyncSource { source_id: id.field(), until: member.sync_until.into() }))
    }

    /// SYNC_SRC_REQ (86), asked by a possible source before it copies to `dest`.
    pub fn source_of(
        &mut self,
        name: &GroupName,
        dest: &StorageId,
        out: &mut Effects,
    ) -> Result<Option<SyncSource>, Refusal> {
        use StorageStatus::{Active, Deleted, Init, IpChanged, Offline, Online, Recovery};
        let group = self.group_mut(name).ok_or(Refusal::unknown_group())?;
        let member = group.storage(dest).ok_or(Refusal::unknown_storage())?;
        if matches!(member.status, Init | Deleted | IpChanged) {
            return Err(Refusal::new(Status::NOENT, "the destination has not negotiated yet"));
        }
        let Some(source) = member.source else { return Ok(None) };
        let alive = group
            .storage(&source)
            .is_some_and(|source| matches!(source.status, Offline | Online | Active | Recovery));
        if alive {
            return Ok(Some(SyncSource { source_id: source.field(), until: member.sync_until.into() }));
        }
        if let Some(member) = group.storage_mut(dest) {
            member.source = None;
            member.sync_until = 0;
        }
        out.save = true;
        out.info(format!("storage server {name}::{dest} lost its source {source}, which is not in service"));
        Ok(None)
    }
}
