//! What a tracker missed while it was down, from the files of another (tracker 7.6): members that came, members that were removed.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::identity::address_id;
use super::members::retire;
use super::{Cause, ChangeLine, Cluster, Effects, Group, MEMBERS_MAX, Storage, change_log_line};
use crate::ident::{GroupName, StorageId, StorageStatus};

/// How far the clocks of two trackers may differ, seconds: a sign of life so soon after a removal may be older than that.
const SKEW_S: i64 = 900;

/// When members were removed last, or got another address: the contents of a change log (tracker 8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removals(HashMap<(GroupName, StorageId), Removal>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Removal {
    /// Unix seconds.
    at: i64,
    status: StorageStatus,
    /// The new address, if that is the reason.
    arg: String,
}

impl Removal {
    /// Under which address the member goes on.
    fn new_addr(&self) -> Option<(IpAddr, StorageId)> {
        let new = self.arg.parse().ok().filter(|_| self.status == StorageStatus::IpChanged)?;
        Some((new, address_id(new)?))
    }
}

impl Removals {
    /// Reads lines `time group id status arg`; others are left out, and so is a last one without its end.
    pub fn parse(log: &[u8]) -> Self {
        let line = |line: &[u8]| {
            let line = ChangeLine::parse(std::str::from_utf8(line).ok()?)?;
            let who = (line.group.parse().ok()?, line.id.parse().ok()?);
            let gone = matches!(line.status, StorageStatus::Deleted | StorageStatus::IpChanged);
            gone.then(|| (who, Removal { at: line.at, status: line.status, arg: line.arg.to_owned() }))
        };
        let whole =
            log.iter().rposition(|byte| *byte == b'\n').and_then(|end| log.get(..end)).unwrap_or_default();
        Self(whole.split(|byte| *byte == b'\n').filter_map(line).collect())
    }

    /// The removal of `member`, unless it has been alive since.
    fn holds(&self, group: &GroupName, member: &Storage) -> Option<&Removal> {
        self.0
            .get(&(*group, member.id))
            .filter(|removal| member.last_beat() <= removal.at.saturating_add(SKEW_S))
    }
}

/// What one tracker learned from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Missed {
    /// Members that were not known.
    pub added: usize,
    /// Members that are gone.
    pub removed: usize,
}

impl Cluster {
    /// Takes over from `theirs` what is not known here, but nothing that was removed here; and removes who was removed there, unless
    /// the member has been seen since. A member that is connected here stays: it knows better.
    pub fn reconcile(
        &mut self,
        theirs: Self,
        there: &Removals,
        here: &Removals,
        out: &mut Effects,
    ) -> Missed {
        let mut missed = Missed { removed: self.remove_missed(&theirs, there, out), added: 0 };
        for (name, group) in theirs.groups {
            missed.added += self.add_missed(name, &group, here, out);
        }
        out.save |= missed != Missed::default();
        missed
    }

    fn remove_missed(&mut self, theirs: &Self, there: &Removals, out: &mut Effects) -> usize {
        let mut removed = 0;
        let names: Vec<GroupName> = self.groups.keys().copied().collect();
        for name in names {
            let (Some(group), their_group) = (self.group(&name), theirs.group(&name)) else { continue };
            let gone = |member: &&Storage| {
                member.session == 0
                    && !member.is_gone()
                    && their_group.is_none_or(|group| group.storage(&member.id).is_none())
            };
            let found: Vec<(StorageId, Removal)> = group
                .in_join_order()
                .filter(gone)
                .filter_map(|member| there.holds(&name, member).map(|removal| (member.id, removal.clone())))
                .collect();
            // Who has missed nothing is not told anything.
            let Some(group) = self.group_mut(&name).filter(|_| !found.is_empty()) else { continue };
            for (id, removal) in &found {
                match removal.new_addr() {
                    Some((new, new_id)) if group.at(&new_id).is_none() => {
                        group.readdress(id, new, removal.at)
                    }
                    _ => retire(group, id, removal.status, Cause::OtherTracker, removal.at),
                }
                out.changelog.push_str(&change_log_line(
                    removal.at,
                    &name,
                    id.as_str(),
                    removal.status,
                    &removal.arg,
                ));
                out.info(format!(
                    "storage server {name}::{id} is {} at another tracker, while this one did not run",
                    removal.status
                ));
            }
            removed += found.len();
            let nobody = group.in_join_order().all(Storage::is_gone);
            group.changed();
            if nobody && their_group.is_none() {
                self.groups.remove(&name);
                out.info(format!("group {name} is unknown at another tracker, and has no member any more"));
            }
        }
        removed
    }

    fn add_missed(
        &mut self,
        name: GroupName,
        theirs: &Arc<Group>,
        here: &Removals,
        out: &mut Effects,
    ) -> usize {
        let mut ours = match self.groups.get(&name) {
            Some(ours) => Group::clone(ours),
            None => Group { members: Vec::new(), synced: HashMap::new(), ..Group::clone(theirs) },
        };
        let mut added = 0;
        for member in &theirs.members {
            let known = ours.at(&member.id).is_some() || ours.members.len() >= MEMBERS_MAX;
            if known || here.holds(&name, member).is_some() {
                continue;
            }
            let mut member = Storage::clone(member);
            // Where it stands in the other tracker's change log says nothing here.
            member.changelog_offset = self.changelog_size;
            (member.cause, member.since) = (Cause::OtherTracker, 0);
            out.info(format!(
                "storage server {name}::{} is new, status {}: known to another tracker",
                member.id, member.status
            ));
            ours.members.push(Arc::new(member));
            added += 1;
        }
        let known = |id: &StorageId| ours.members.iter().any(|member| member.id == *id);
        let times: Vec<_> = theirs.synced.iter().filter(|((from, to), _)| known(from) && known(to)).collect();
        for (pair, at) in times {
            ours.synced.entry(*pair).or_insert(*at);
        }
        if added > 0 {
            ours.forget_unknown_sources();
            ours.changed();
            self.groups.insert(name, Arc::new(ours));
        }
        added
    }
}
