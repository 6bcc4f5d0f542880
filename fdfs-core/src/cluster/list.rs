//! Records of the list commands (protocol 3.5, 3.6 and 3.8).

use super::{Group, Rules, Storage};
use crate::wire::Text;
use crate::wire::list::{GroupRecord, StorageRecord, StorageRecordHead, StorageRecordTail};

impl Group {
    /// The record of commands 90 and 91.
    pub fn record(&self, rules: &Rules) -> GroupRecord {
        let count = |n: usize| (n as i64).into();
        GroupRecord {
            name: Text::cut(self.name.bytes()),
            total_mb: self.total_mb.into(),
            free_mb: self.free_mb.into(),
            reserved_mb: reserved(rules, self.total_mb).into(),
            trunk_free_mb: self.trunk_free_mb.into(),
            storage_count: count(self.members.len()),
            storage_port: self.port.number().into(),
            readable_count: count(self.readable.len()),
            writable_count: count(self.writable.len()),
            current_write_server: count(self.write_turn.get()),
            store_path_count: count(self.path_count),
            subdir_count: self.subdir_count.into(),
            current_trunk_file_id: if rules.use_trunk { self.trunk_file_id } else { -1 }.into(),
        }
    }

    /// The record of command 92.
    pub fn storage_record(
        &self,
        rules: &Rules,
        member: &Storage,
        receiver: std::net::IpAddr,
    ) -> StorageRecord {
        let count = |n: usize| (n as i64).into();
        StorageRecord {
            head: StorageRecordHead {
                status: member.status.wire(),
                rw_mode: member.rw as u8,
                id: member.id.field(),
            },
            ip: Text::cut(member.ip_for(receiver).to_string().as_bytes()),
            tail: StorageRecordTail {
                source_id: crate::ident::StorageId::field_of(member.source),
                version: member.version,
                join_time: member.join_time.into(),
                up_time: member.up_time.into(),
                total_mb: member.total_mb.into(),
                free_mb: member.free_mb.into(),
                reserved_mb: reserved(rules, member.total_mb).into(),
                upload_priority: member.upload_priority.into(),
                store_path_count: count(member.path_count),
                subdir_count: member.subdir_count.into(),
                current_write_path: count(member.write_path.get()),
                port: i64::from(member.port).into(),
                stat: member.stat,
                is_trunk_server: u8::from(self.trunk_server == Some(member.id)),
            },
        }
    }

    /// Space as `fdfs_volumn_stat` shows it: reserved and available MiB, and whether disk and trunk files have space.
    pub fn volume(&self, rules: &Rules) -> (i64, i64, bool, bool) {
        let kept = reserved(rules, self.total_mb);
        let available = self.free_mb.saturating_sub(kept).max(0);
        let trunk = rules.use_trunk && self.has_space(rules, true);
        (kept, available, self.has_space(rules, false), trunk)
    }
}

/// What uploads leave free of `total_mb`, MiB.
pub(super) fn reserved(rules: &Rules, total_mb: i64) -> i64 {
    let total = u64::try_from(total_mb).unwrap_or(0);
    i64::try_from(rules.reserve.mib_of(total)).unwrap_or(i64::MAX)
}
