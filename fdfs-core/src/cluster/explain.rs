//! What a member's status waits for, and who must act: a sentence for an operator, out of values.

use std::net::IpAddr;

use super::list::reserved;
use super::{Cause, Group, Rules, Storage};
use crate::ident::{GroupName, ReadWrite, StorageId, StorageStatus};
use crate::wire::explain::ExplainRecord;
use crate::wire::list::{GroupRecord, StorageRecord, stat};
use crate::wire::{BadMessage, Text};

/// What one tracker knows of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its group.
    pub group: GroupName,
    /// Its id.
    pub id: StorageId,
    /// `ip:port`.
    pub host: String,
    /// Its status.
    pub status: StorageStatus,
    /// What it may be used for.
    pub rw: ReadWrite,
    /// Why it has its status; existing trackers do not tell.
    pub cause: Option<Cause>,
    /// Since when, Unix s; 0 unknown.
    pub since: i64,
    /// Whether it is connected to this tracker.
    pub connected: bool,
    /// Its last report, Unix s; 0 none.
    pub last_seen: i64,
    /// The member that copies, or copied, the old files to it.
    pub source: Option<StorageId>,
    /// Files up to this time are old ones, Unix s.
    pub until: i64,
    /// Sum over its store paths, MiB.
    pub total_mb: i64,
    /// Sum over its store paths, MiB.
    pub free_mb: i64,
    /// What uploads leave free, MiB.
    pub reserved_mb: i64,
    /// Its store paths, and those of its group; 0 unknown.
    pub paths: (i64, i64),
}

/// What a status waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What has to happen.
    pub waits_for: String,
    /// Who makes it happen.
    pub actor: String,
}

impl Facts {
    /// What this tracker knows of `member`, its host as `receiver` reaches it.
    pub fn of(rules: &Rules, group: &Group, member: &Storage, receiver: IpAddr) -> Self {
        let count = |n: usize| i64::try_from(n).unwrap_or(0);
        Self {
            group: group.name,
            id: member.id,
            host: member.addr_for(receiver).to_string(),
            status: member.status,
            rw: member.rw,
            cause: Some(member.cause),
            since: member.since,
            connected: member.session != 0,
            last_seen: member.last_seen,
            source: member.source,
            until: member.sync_until,
            total_mb: member.total_mb,
            free_mb: member.free_mb,
            reserved_mb: reserved(rules, member.total_mb),
            paths: (count(member.path_count), count(group.path_count)),
        }
    }

    /// As the answer of command 206 carries it.
    pub fn record(&self) -> ExplainRecord {
        let narrow = |n: i64| i32::try_from(n).unwrap_or(i32::MAX).into();
        ExplainRecord {
            group: self.group.field(),
            id: self.id.field(),
            host: Text::cut(self.host.as_bytes()),
            status: self.status.wire(),
            rw: self.rw as u8,
            cause: self.cause.map_or(u8::MAX, Cause::wire),
            connected: self.connected.into(),
            since: self.since.into(),
            last_seen: self.last_seen.into(),
            source: StorageId::field_of(self.source),
            until: self.until.into(),
            total_mb: self.total_mb.into(),
            free_mb: self.free_mb.into(),
            reserved_mb: self.reserved_mb.into(),
            paths: narrow(self.paths.0),
            group_paths: narrow(self.paths.1),
            spare: [0; 8],
        }
    }

    /// Out of an answer of command 206.
    pub fn from_record(record: &ExplainRecord) -> Result<Self, BadMessage> {
        Ok(Self {
            cause: Cause::from_wire(record.cause),
            since: record.since.get(),
            connected: record.connected != 0,
            last_seen: record.last_seen.get(),
            until: record.until.get(),
            total_mb: record.total_mb.get(),
            free_mb: record.free_mb.get(),
            reserved_mb: record.reserved_mb.get(),
            paths: (record.paths.get().into(), record.group_paths.get().into()),
            ..Self::named(
                record.group.raw(),
                &record.id,
                record.host.as_str(),
                record.status,
                record.rw,
                &record.source,
            )?
        })
    }

    /// Out of the list answers (91 and 92) of a tracker that does not know command 206.
    pub fn from_list(group: &GroupRecord, member: &StorageRecord) -> Result<Self, BadMessage> {
        let (head, tail) = (&member.head, &member.tail);
        let host = format!("{}:{}", member.ip.as_str(), tail.port);
        Ok(Self {
            connected: tail.up_time.get() != 0,
            last_seen: tail.stat.counters[stat::LAST_HEART_BEAT].get(),
            total_mb: tail.total_mb.get(),
            free_mb: tail.free_mb.get(),
            reserved_mb: tail.reserved_mb.get(),
            paths: (tail.store_path_count.get(), group.store_path_count.get()),
            ..Self::named(group.name.raw(), &head.id, &host, head.status, head.rw_mode, &tail.source_id)?
        })
    }

    fn named(
        group: &[u8],
        id: &Text<16>,
        host: &str,
        status: u8,
        rw: u8,
        source: &Text<16>,
    ) -> Result<Self, BadMessage> {
        let id = StorageId::from_field(id.raw()).ok().flatten().ok_or(BadMessage::Field("storage id"))?;
        Ok(Self {
            group: GroupName::from_field(group).map_err(|_| BadMessage::Field("group name"))?,
            id,
            host: host.to_owned(),
            status: StorageStatus::from_wire(status).map_err(|_| BadMessage::Field("storage status"))?,
            rw: ReadWrite::from_wire(rw).unwrap_or_default(),
            cause: None,
            since: 0,
            connected: false,
            last_seen: 0,
            source: StorageId::from_field(source.raw()).map_err(|_| BadMessage::Field("source id"))?,
            until: 0,
            total_mb: 0,
            free_mb: 0,
            reserved_mb: 0,
            paths: (0, 0),
        })
    }

    fn can_copy(&self) -> bool {
        self.status == StorageStatus::Active && self.rw.can_write()
    }
}

/// What `me` waits for; `all` are the members of all groups, as the same tracker knows them.
pub fn verdict(me: &Facts, all: &[Facts]) -> Verdict {
    let storage = format!("storage {}", me.id);
    let operator = "the operator";
    let is = |waits_for: String, actor: &str| Verdict { waits_for, actor: actor.to_owned() };
    let others = || all.iter().filter(|other| other.group == me.group && other.id != me.id);
    if !me.connected && !matches!(me.status, StorageStatus::Recovery) && !gone(me.status) {
        return is(
            format!("a connection: start it at {}, or see in its log why it cannot connect", me.host),
            operator,
        );
    }
    match me.status {
        StorageStatus::Init => match others().find(|other| other.can_copy()) {
            Some(_) => is("its question who copies the old files to it".into(), &storage),
            None if others().any(|other| !gone(other.status)) => is(
                "another member of the group that is active and may be written: none can copy the old files to it now".into(),
                operator,
            ),
            None => is("its question who copies the old files to it; it is alone, nobody has to".into(), &storage),
        },
        StorageStatus::WaitSync | StorageStatus::Syncing => copying(me, others()),
        StorageStatus::Offline | StorageStatus::Online => is("its next heart beat or disk report".into(), &storage),
        StorageStatus::Active => active(me),
        StorageStatus::Recovery => is(
            "the files of a lost store path, which it fetches from another member before it joins again; its log tells how far it is".into(),
            &storage,
        ),
        StorageStatus::Deleted => is("nothing: it is deleted; started again, it joins as a new member".into(), "nobody"),
        StorageStatus::IpChanged => is("nothing: it goes on under its new address".into(), "nobody"),
        StorageStatus::None => is("its first word to this tracker".into(), &storage),
    }
}

fn gone(status: StorageStatus) -> bool {
    matches!(status, StorageStatus::Deleted | StorageStatus::IpChanged)
}

fn copying<'a>(me: &Facts, mut others: impl Iterator<Item = &'a Facts>) -> Verdict {
    let Some(id) = me.source else {
        return Verdict {
            waits_for: "a new choice of who copies the old files to it: none is recorded; restart it".into(),
            actor: "the operator".into(),
        };
    };
    let source = others.find(|other| other.id == id);
    match source {
        Some(source) if source.status == StorageStatus::Active => Verdict {
            waits_for: match me.status {
                StorageStatus::WaitSync => format!("{id} to begin to copy the old files to it"),
                _ => format!("{id}, which copies the old files to it"),
            },
            actor: format!("storage {id}"),
        },
        Some(source) if !gone(source.status) => Verdict {
            waits_for: format!(
                "{id}, which is to copy the old files to it and is {}: start it at {}, or delete it when it is lost",
                source.status, source.host
            ),
            actor: "the operator".into(),
        },
        _ => Verdict {
            waits_for: format!(
                "a new choice of who copies the old files to it: {id} is no member any more; restart it"
            ),
            actor: "the operator".into(),
        },
    }
}

fn active(me: &Facts) -> Verdict {
    let (own, group) = me.paths;
    let (waits_for, actor) = if own != 0 && group != 0 && own != group {
        let what = format!("all members to have {own} store paths: until then it serves with {group}");
        (what, "the operator")
    } else if me.rw != ReadWrite::Both {
        (format!("nothing: it is {} by storage_ids.conf", me.rw.name()), "nobody")
    } else if me.total_mb > 0 && me.free_mb <= me.reserved_mb {
        let what = format!(
            "space: {} MiB are free, {} MiB are reserved, so that it takes no uploads",
            me.free_mb, me.reserved_mb
        );
        (what, "the operator")
    } else {
        ("nothing: it serves".to_owned(), "nobody")
    };
    Verdict { waits_for, actor: actor.into() }
}
