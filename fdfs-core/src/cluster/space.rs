//! Is there space? (tracker 6.1, 6.4 and 6.5)

use super::{Cluster, Group, Rules, Storage};
use crate::settings::Reserve;

impl Group {
    /// Free space above the reserve on every writable member; `trunk`: with the free space inside trunk files.
    pub(super) fn has_space(&self, rules: &Rules, trunk: bool) -> bool {
        let free = self.free_mb.saturating_add(if trunk { self.trunk_free_mb } else { 0 });
        enough(rules.reserve, 1, self.total_mb, free)
    }

    /// [`Self::has_space`], or with trunk files in use enough space inside them.
    pub(super) fn has_any_space(&self, rules: &Rules) -> bool {
        self.has_space(rules, false) || (rules.use_trunk && self.has_space(rules, true))
    }

    /// Space of the group after a member reported, which had `before` MiB free.
    pub(super) fn update_space(&mut self, total_mb: i64, free_mb: i64, before: i64) {
        if self.free_mb == 0 || free_mb < self.free_mb {
            (self.total_mb, self.free_mb) = (total_mb, free_mb);
        } else if free_mb > before
            && let Some(least) = self.writable().min_by_key(|member| member.free_mb)
        {
            (self.total_mb, self.free_mb) = (least.total_mb, least.free_mb);
        }
    }

    /// Index of the store path for an upload to `member`; `None` when all are full.
    pub(super) fn store_path(&self, rules: &Rules, member: &Storage) -> Option<u8> {
        let count = self.path_count;
        let start = Some(member.write_path.get()).filter(|at| *at < count).unwrap_or(0);
        let find = |extra: i64| {
            (0..count).map(|step| (start + step) % count).find(|at| {
                member.paths.get(*at).is_some_and(|path| {
                    let free = path.free_mb.saturating_add(extra);
                    enough(rules.reserve, count, path.total_mb, free)
                })
            })
        };
        let at = find(0).or_else(|| if rules.use_trunk { find(self.trunk_free_mb) } else { None })?;
        let next = if rules.store_path == 0 { (at + 1) % count } else { at };
        member.write_path.set(next);
        u8::try_from(at).ok()
    }
}

impl Cluster {
    /// With `store_lookup = 2`: the group with most free space becomes current.
    pub(super) fn balance(&mut self, rules: &Rules) {
        if rules.store_lookup != 2 {
            return;
        }
        let best = |free: fn(&Group) -> i64| {
            let writable = self.groups().enumerate().filter(|(_, group)| !group.writable.is_empty());
            // The first by name wins a tie, so that the maximum is searched backwards.
            writable
                .map(|(at, group)| (free(group), at))
                .max_by_key(|(free, at)| (*free, std::cmp::Reverse(*at)))
        };
        let Some((_, mut at)) = best(|group| group.free_mb) else { return };
        let full = self.groups().nth(at).is_some_and(|group| !group.has_space(rules, false));
        if full && rules.use_trunk {
            at = best(|group| group.trunk_free_mb).map_or(at, |(_, at)| at);
        }
        self.write_group.set(at);
    }
}

/// Strictly more than the reserve, of which one path takes its share.
fn enough(reserve: Reserve, paths: usize, total_mb: i64, free_mb: i64) -> bool {
    match reserve {
        Reserve::Bytes(bytes) => {
            let mb = i64::try_from(bytes >> 20).unwrap_or(i64::MAX);
            free_mb > mb / i64::try_from(paths.max(1)).unwrap_or(1)
        }
        Reserve::Percent(percent) => total_mb > 0 && free_mb as f64 / total_mb as f64 > percent / 100.0,
    }
}
