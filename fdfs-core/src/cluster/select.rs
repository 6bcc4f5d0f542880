//! Who stores and who serves (tracker 6, protocol 3.3 and 3.4). Everything runs on an immutable snapshot.

use super::{Cluster, FileFacts, Group, Refusal, Rules, Storage};
use crate::fileid::Source;
use crate::ident::{GroupName, StorageId};
use crate::wire::Status;

/// Where to store.
#[derive(Debug)]
pub struct StoreChoice<'a> {
    /// The group.
    pub group: &'a Group,
    /// One member, or all that may be written.
    pub servers: Vec<&'a Storage>,
    /// Index of the store path on the first of them.
    pub path: u8,
}

const NOBODY: Refusal = Refusal::new(Status::NOENT, "no member may be written");
const FULL: Refusal = Refusal::new(Status::NOSPC, "no space above the reserve");

impl Cluster {
    /// Where to store: in `name`, or in any group; one member, or with `all` every one.
    pub fn query_store(
        &self,
        rules: &Rules,
        name: Option<&GroupName>,
        all: bool,
    ) -> Result<StoreChoice<'_>, Refusal> {
        let group = match (name, rules.store_lookup) {
            (Some(name), _) => self.store_group(rules, name)?,
            (None, 1) => {
                let name = rules.store_group.ok_or(Refusal::unknown_group())?;
                self.store_group(rules, &name)?
            }
            (None, _) => self.any_group(rules)?,
        };
        if group.path_count == 0 {
            return Err(Refusal::new(Status::NOENT, "the group has no store path yet"));
        }
        let servers: Vec<&Storage> =
            if all { group.writable().collect() } else { group.next_writable(rules).into_iter().collect() };
        let first = servers.first().ok_or(NOBODY)?;
        let path = group.store_path(rules, first).ok_or(FULL)?;
        Ok(StoreChoice { group, servers, path })
    }

    /// A member that serves `file`, rotating.
    pub fn query_fetch(
        &self,
        rules: &Rules,
        now: i64,
        name: &GroupName,
        file: &FileFacts,
    ) -> Result<&Storage, Refusal> {
        let group = self.readable_group(name)?;
        let source = group.source(rules, file);
        let mut found = None;
        if !file.normal || rules.download_server == 1 {
            found = source.filter(|member| member.readable());
        }
        if file.normal && found.is_none() {
            let count = group.readable.len();
            let start = Some(group.read_turn.get()).filter(|at| *at < count).unwrap_or(0);
            let all = || group.readable().enumerate();
            let mut in_turn = all().skip(start).chain(all().take(start));
            if let Some((at, member)) = in_turn.find(|(_, member)| serves(rules, now, member, source, file)) {
                group.read_turn.set((at + 1) % count);
                found = Some(member);
            }
        }
        found.or_else(|| group.fallback(rules)).ok_or(NO_READER)
    }

    /// Every member that serves `file`, by id.
    pub fn query_fetch_all(
        &self,
        rules: &Rules,
        now: i64,
        name: &GroupName,
        file: &FileFacts,
    ) -> Result<Vec<&Storage>, Refusal> {
        let group = self.readable_group(name)?;
        let source = group.source(rules, file);
        let mut found: Vec<&Storage> = match file.normal {
            true => group.readable().filter(|member| serves(rules, now, member, source, file)).collect(),
            false => source.filter(|member| member.readable()).into_iter().collect(),
        };
        if found.is_empty() {
            found.extend(group.fallback(rules));
        }
        if found.is_empty() { Err(NO_READER) } else { Ok(found) }
    }

    /// The member at which `file` is changed.
    pub fn query_update(
        &self,
        rules: &Rules,
        name: &GroupName,
        file: &FileFacts,
    ) -> Result<&Storage, Refusal> {
        let group = self.group(name).ok_or(Refusal::unknown_group())?;
        let source = group.source(rules, file).filter(|member| member.writable());
        source.or_else(|| group.next_writable(rules)).ok_or(NOBODY)
    }

    fn store_group(&self, rules: &Rules, name: &GroupName) -> Result<&Group, Refusal> {
        let group = self.group(name).ok_or(Refusal::unknown_group())?;
        if group.writable.is_empty() {
            return Err(NOBODY);
        }
        if group.has_any_space(rules) { Ok(group) } else { Err(FULL) }
    }

    fn readable_group(&self, name: &GroupName) -> Result<&Group, Refusal> {
        let group = self.group(name).ok_or(Refusal::unknown_group())?;
        if group.readable.is_empty() { Err(NO_READER) } else { Ok(group) }
    }

    /// Tracker 6.2: the current group, else those behind it, cyclically.
    fn any_group(&self, rules: &Rules) -> Result<&Group, Refusal> {
        let count = self.groups.len();
        let start = Some(self.write_group.get()).filter(|at| *at < count).unwrap_or(0);
        let fits = |(at, group): &(usize, &Group)| {
            let trunk = rules.store_lookup == 2 && *at == start && rules.use_trunk;
            let space = group.has_space(rules, false) || (trunk && group.has_space(rules, true));
            !group.writable.is_empty() && space
        };
        // Without a list of them: mostly the first one fits.
        let all = || self.groups().enumerate();
        if let Some((at, group)) = all().skip(start).chain(all().take(start)).find(fits) {
            self.write_group.set(if rules.store_lookup == 0 { (at + 1) % count } else { at });
            return Ok(group);
        }
        if self.groups().all(|group| group.writable.is_empty()) {
            return Err(NOBODY);
        }
        let with_trunk_space =
            |group: &&Group| rules.use_trunk && !group.writable.is_empty() && group.has_space(rules, true);
        self.groups().find(with_trunk_space).ok_or(FULL)
    }
}

const NO_READER: Refusal = Refusal::new(Status::NOENT, "no member can serve the file");

impl Group {
    /// Tracker 6.3.
    fn next_writable(&self, rules: &Rules) -> Option<&Storage> {
        match rules.store_server {
            0 => {
                let at = self.write_turn.advance(self.writable.len());
                self.writable().nth(at)
            }
            other => self.store_server(other),
        }
    }

    /// The store server regardless of sync state, when nobody else qualifies.
    fn fallback(&self, rules: &Rules) -> Option<&Storage> {
        self.store_server(rules.store_server).filter(|member| member.readable())
    }

    /// The member that the name gives as source.
    fn source(&self, rules: &Rules, file: &FileFacts) -> Option<&Storage> {
        match file.source? {
            Source::Id(number) => self.storage(&StorageId::new(number.to_string().as_bytes()).ok()?),
            Source::Ip(ip) => {
                let ip = ip.into();
                let port = u16::try_from(self.port.number()).unwrap_or(0);
                let configured = rules.ids.as_ref().and_then(|ids| ids.by_addr(ip, port));
                match configured.filter(|entry| entry.group == self.name) {
                    Some(entry) => self.storage(&entry.id),
                    None => self.storages().find(|member| member.ip() == ip),
                }
            }
        }
    }
}

/// Whether `member` has received the normal file `file` (tracker 6.6).
fn serves(rules: &Rules, now: i64, member: &Storage, source: Option<&Storage>, file: &FileFacts) -> bool {
    let synced = member.last_synced();
    source.is_some_and(|source| source.id == member.id)
        || file.timestamp < now.saturating_sub(rules.sync_max_delay)
        || synced > file.timestamp
        || (synced.saturating_add(1) >= file.timestamp
            && now.saturating_sub(file.timestamp) > rules.sync_max_time)
}
