//! The election of a group's trunk server, as values (tracker 7.5, trunk 11): when, whom to ask, who wins, what is noted.

use super::{Group, Rules, Storage};
use crate::ident::StorageId;

/// Intervals of `check_active_interval` for which a trunk server that runs for some time may be silent.
const PATIENCE: i64 = 2;
/// Intervals after its start in which it may be silent for longer: it reads its trunk binlog.
const FRESH: i64 = 10;

/// Why a trunk server is to be elected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrunkNeed {
    /// The group has none.
    Missing,
    /// It is silent, or no member any more: without a winner the group has none.
    Lost,
}

impl Group {
    /// Whether an election is due. Nobody counts as silent for the time before `watched_since` (s), when this tracker did not
    /// run or did not lead.
    pub fn trunk_need(&self, rules: &Rules, now: i64, watched_since: i64) -> Option<TrunkNeed> {
        if !rules.use_trunk {
            return None;
        }
        let Some(id) = self.trunk_server else {
            return self.writable().next().map(|_| TrunkNeed::Missing);
        };
        let Some(server) = self.storage(&id).filter(|server| !server.is_gone()) else {
            return Some(TrunkNeed::Lost);
        };
        let fresh = now.saturating_sub(server.up_time) < FRESH.saturating_mul(rules.check_active);
        let patience = if fresh { rules.trunk_patience } else { PATIENCE };
        let silent = now.saturating_sub(server.last_seen.max(watched_since));
        (silent > patience.saturating_mul(rules.check_active)).then_some(TrunkNeed::Lost)
    }

    /// Whom to ask for the size of the trunk binlog: the store server, then the other writable members by id. Not
    /// one that is to be replaced because it is silent.
    pub fn trunk_candidates(&self, rules: &Rules, need: TrunkNeed) -> Vec<&Storage> {
        let lost = self.trunk_server.filter(|_| need == TrunkNeed::Lost);
        let fit = |member: &&Storage| Some(member.id) != lost;
        let first = self.store_server(rules.store_server).filter(fit).or(self.writable().find(fit));
        let id = first.map(|member| member.id);
        first.into_iter().chain(self.writable().filter(fit).filter(|member| Some(member.id) != id)).collect()
    }

    /// A member that may become trunk server still may.
    pub fn fits_as_trunk_server(&self, id: &StorageId) -> bool {
        self.storage(id).is_some_and(Storage::writable)
    }

    /// How `logs/trunk_server_change.log` names a trunk server: `ip:port`, with ids `id/ip:port`; `-` or `-/-` for none.
    pub fn trunk_name(&self, rules: &Rules, id: Option<StorageId>) -> String {
        let with_ids = rules.ids.is_some();
        let Some(id) = id else { return if with_ids { "-/-" } else { "-" }.to_owned() };
        let addr = self.storage(&id).map(|member| std::net::SocketAddr::new(member.ip(), member.port));
        match (with_ids, addr) {
            (true, Some(addr)) => format!("{id}/{addr}"),
            (true, None) => format!("{id}/-"),
            (false, Some(addr)) => addr.to_string(),
            (false, None) => id.to_string(),
        }
    }
}

/// The winner among those that were asked, in this order, with their sizes: the largest trunk binlog, of equal ones the first.
/// Without an answer of the first there is none. (The existing tracker takes the last one that is larger than the first.)
pub fn trunk_winner(answers: &[(StorageId, Option<i64>)]) -> Option<StorageId> {
    let (first, size) = answers.first()?;
    let mut best = (*first, (*size)?);
    for (id, size) in answers {
        if let Some(size) = size.filter(|size| *size > best.1) {
            best = (*id, size);
        }
    }
    Some(best.0)
}
