//! What a tracker tells a Prometheus.

use std::fmt;
use std::sync::Arc;

use fdfs_core::cluster::{Group, Storage};
use fdfs_core::ident::StorageStatus;
use fdfs_core::wire::cmd;
use fdfs_net::metrics::{Labels, Page, Requests, Traffic};

use crate::owner::State;
use crate::refusals::Refusals;
use crate::service::Shared;

const PREFIX: &str = "fdfs_tracker";
const MIB: i64 = 1 << 20;
const STATUSES: [StorageStatus; 8] = [
    StorageStatus::Init,
    StorageStatus::WaitSync,
    StorageStatus::Syncing,
    StorageStatus::IpChanged,
    StorageStatus::Offline,
    StorageStatus::Online,
    StorageStatus::Active,
    StorageStatus::Recovery,
];

/// Writes the page.
pub fn write(page: &mut Page<'_>, shared: &Shared, traffic: &Traffic, requests: &Requests) -> fmt::Result {
    let view = shared.owner.view();
    page.gauge("fdfs_tracker_start_time_seconds", "Start, Unix time.", shared.started)?;
    leader(page, &view)?;
    groups(page, &view, shared)?;
    members(page, &view)?;
    traffic.write(page, PREFIX)?;
    requests.write(page, PREFIX)?;
    refusals(page, &shared.refusals)
}

fn leader(page: &mut Page<'_>, state: &State) -> fmt::Result {
    let trackers = &state.trackers;
    page.gauge("fdfs_tracker_is_leader", "1: this tracker leads.", trackers.leading().into())?;
    page.gauges(
        "fdfs_tracker_leader",
        "1 for the tracker that this one takes for the leader; no row: none is known.",
        trackers.leader_addr().map(|addr| (vec![("leader", addr.to_string())], 1)),
    )?;
    page.counter(
        "fdfs_tracker_leader_changes_total",
        "How often another tracker became the leader, as this one sees it.",
        u64::from(trackers.leader_chg),
    )?;
    page.gauge("fdfs_tracker_trackers", "Trackers of the cluster.", count(trackers.list().len()))
}

fn groups(page: &mut Page<'_>, state: &State, shared: &Shared) -> fmt::Result {
    let rules = shared.rules();
    page.gauge("fdfs_tracker_groups", "Groups.", count(state.cluster.groups().count()))?;
    let each = |of: &dyn Fn(&Group) -> i64| -> Vec<(Labels, i64)> {
        state.cluster.groups().map(|group| (vec![("group", group.name.to_string())], of(group))).collect()
    };
    let mib = |n: i64| n.saturating_mul(MIB);
    page.gauges(
        "fdfs_tracker_group_readable_members",
        "Members that may be read.",
        each(&|group| count(group.readable().count())),
    )?;
    page.gauges(
        "fdfs_tracker_group_writable_members",
        "Members that take uploads.",
        each(&|group| count(group.writable().count())),
    )?;
    page.gauges(
        "fdfs_tracker_group_size_bytes",
        "Size of the disks of the writable member with least free space.",
        each(&|group| mib(group.total_mb)),
    )?;
    page.gauges("fdfs_tracker_group_free_bytes", "Its free space.", each(&|group| mib(group.free_mb)))?;
    page.gauges(
        "fdfs_tracker_group_reserved_bytes",
        "What uploads leave free.",
        each(&|group| mib(group.volume(&rules).0)),
    )?;
    page.gauges(
        "fdfs_tracker_group_available_bytes",
        "What uploads may use.",
        each(&|group| mib(group.volume(&rules).1)),
    )?;
    page.gauges(
        "fdfs_tracker_group_trunk_free_bytes",
        "Free space inside containers.",
        each(&|group| mib(group.trunk_free_mb)),
    )
}

fn members(page: &mut Page<'_>, state: &State) -> fmt::Result {
    let by_status = state.cluster.groups().flat_map(|group| {
        STATUSES.map(|status| {
            let labels = vec![("group", group.name.to_string()), ("status", status.name().to_owned())];
            (labels, count(group.storages().filter(|member| member.status == status).count()))
        })
    });
    page.gauges("fdfs_tracker_members", "Members by status.", by_status)?;
    let each = |of: &dyn Fn(&Storage) -> i64| -> Vec<(Labels, i64)> {
        let members = state.cluster.groups().flat_map(|group| group.storages().map(move |one| (group, one)));
        members
            .filter(|(_, member)| !member.is_gone())
            .map(|(group, member)| {
                let labels = vec![
                    ("group", group.name.to_string()),
                    ("storage", member.id.to_string()),
                    ("ip", member.ip().to_string()),
                ];
                (labels, of(member))
            })
            .collect()
    };
    let active = |member: &Storage| i64::from(member.status == StorageStatus::Active);
    page.gauges("fdfs_tracker_member_active", "1: the member is ACTIVE.", each(&active))?;
    page.gauges(
        "fdfs_tracker_member_free_bytes",
        "Free space of all its store paths.",
        each(&|member| member.free_mb.saturating_mul(MIB)),
    )?;
    page.gauges(
        "fdfs_tracker_member_last_beat_seconds",
        "Its last heart beat, Unix time.",
        each(&Storage::last_beat),
    )?;
    page.gauges(
        "fdfs_tracker_member_last_synced_seconds",
        "Everything of other members up to this Unix time is there.",
        each(&Storage::last_synced),
    )
}

fn refusals(page: &mut Page<'_>, refusals: &Refusals) -> fmt::Result {
    let rows = refusals.all().into_iter().map(|((command, status, why), count)| {
        let name = cmd::name(command).map_or_else(|| command.to_string(), str::to_owned);
        (vec![("command", name), ("status", status.to_string()), ("reason", why.to_owned())], count)
    });
    page.counters("fdfs_tracker_refusals_total", "Refused requests with the reason in words.", rows)
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// What the page is written from.
pub fn page(
    shared: &Arc<Shared>,
    traffic: Arc<Traffic>,
    requests: Arc<Requests>,
) -> impl Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static {
    // Not the owner itself: an endpoint that outlives the daemon must not keep the owner thread alive.
    let shared = Arc::downgrade(shared);
    move |page| match shared.upgrade() {
        Some(shared) => write(page, &shared, &traffic, &requests),
        None => Ok(()),
    }
}
