//! `storage_sync_timestamp.dat`: a line per member, `group,id,t1,...,tn`; tk is up to when the k-th member has its files.

use std::collections::HashMap;
use std::fmt::Write;

use super::servers::reference;
use crate::cluster::{Cluster, Group, Rules};
use crate::ident::{GroupName, StorageId};
use crate::wire::list::stat;

pub(super) fn encode(cluster: &Cluster) -> String {
    let mut out = String::new();
    for group in cluster.groups() {
        let ids: Vec<StorageId> = members(group);
        for source in &ids {
            let _ = write!(out, "{},{source}", group.name);
            for dest in &ids {
                let _ = write!(out, ",{}", group.synced.get(&(*source, *dest)).copied().unwrap_or(0));
            }
            out.push('\n');
        }
    }
    out
}

fn members(group: &Group) -> Vec<StorageId> {
    group.in_join_order().filter(|member| !member.is_gone()).map(|member| member.id).collect()
}

pub(super) fn decode(cluster: &mut Cluster, rules: &Rules, text: &str, wrong: &mut Vec<String>) {
    let mut rows: HashMap<GroupName, Vec<(StorageId, Vec<i32>)>> = HashMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match row(rules, line) {
            Some((group, id, times)) => rows.entry(group).or_default().push((id, times)),
            None => wrong.push(format!("{}: line not understood: {line:?}", super::SYNCED_FILE)),
        }
    }
    for (name, rows) in rows {
        let Some(group) = cluster.group_mut(&name) else {
            wrong.push(format!("{}: unknown group {name}", super::SYNCED_FILE));
            continue;
        };
        // The columns are the members in the order of the file's own rows.
        let ids: Vec<StorageId> = rows.iter().map(|(id, _)| *id).collect();
        let known: Vec<StorageId> = members(group);
        for (source, times) in rows.iter().filter(|(id, _)| known.contains(id)) {
            for (dest, time) in ids.iter().zip(times).filter(|(dest, time)| **time > 0 && *dest != source) {
                if known.contains(dest) {
                    group.synced.insert((*source, *dest), *time);
                }
            }
        }
        recompute(rules, group);
    }
}

fn row(rules: &Rules, line: &str) -> Option<(GroupName, StorageId, Vec<i32>)> {
    let mut fields = line.trim().split(',');
    let group = fields.next()?.parse().ok()?;
    let id = reference(rules, fields.next()?, 0).ok()?;
    let times: Result<Vec<i32>, _> = fields.map(str::parse).collect();
    Some((group, id, times.ok()?))
}

/// Last synced time of each member: the least of its column with rotation, else the greatest (tracker 8).
fn recompute(rules: &Rules, group: &mut Group) {
    for id in members(group) {
        let column =
            group.synced.iter().filter(|((_, dest), _)| *dest == id).map(|(_, time)| i64::from(*time));
        let time = if rules.store_server == 0 { column.min() } else { column.max() };
        if let (Some(time), Some(member)) = (time, group.storage_mut(&id)) {
            member.stat.counters[stat::LAST_SYNCED] = time.into();
        }
    }
}
