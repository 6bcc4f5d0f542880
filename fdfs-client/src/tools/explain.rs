//! `fdfs_monitor explain`: what the status of each storage waits for, since when, and who must act; each tracker's view
//! where they differ.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::net::SocketAddr;

use fdfs_core::cluster::{Facts, verdict};
use fdfs_core::ident::{GroupName, StorageId, StorageStatus};
use fdfs_core::wire::explain::ExplainHead;
use serde_json::{Value, json};

use super::format::{local_time, words};
use super::{Ended, failure};
use crate::client::Client;
use crate::error::ClientError;

/// What one tracker told.
struct View {
    tracker: SocketAddr,
    head: ExplainHead,
    facts: Vec<Facts>,
}

/// Asks every tracker, or the one that was named.
pub(super) async fn explain(
    client: &Client,
    tracker: Option<SocketAddr>,
    only: Option<GroupName>,
) -> Result<Ended, ClientError> {
    let (mut views, mut failed) = (Vec::new(), Vec::new());
    for &addr in client.trackers().iter().filter(|addr| tracker.is_none_or(|tracker| **addr == tracker)) {
        match client.explain_at(addr, fdfs_net::unix_now()).await {
            Ok((head, facts)) => views.push(View { tracker: addr, head, facts }),
            Err(error) => failed.push((addr, error)),
        }
    }
    let all = views.iter().flat_map(|view| &view.facts);
    let members: BTreeSet<(GroupName, StorageId)> = all
        .map(|facts| (facts.group, facts.id))
        .filter(|(group, _)| only.is_none_or(|only| only == *group))
        .collect();
    if let Some(group) = only.filter(|_| members.is_empty() && !views.is_empty()) {
        return Err(ClientError::invalid("explain", format!("no tracker knows a storage of {group}")));
    }
    let text = trackers_text(&views, &failed) + &members_text(&views, &members);
    let value = json!({
        "trackers": trackers_json(&views, &failed),
        "storages": members.iter().map(|member| member_json(&views, member)).collect::<Vec<_>>(),
    });
    Ok(match failed.into_iter().next() {
        None => Ended::Said(text, value),
        Some((_, error)) if views.is_empty() => return Err(error),
        Some((_, error)) => {
            let (line, code) = failure("explain", &error);
            Ended::Partly(text, value, vec![line], code)
        }
    })
}

fn trackers_text(views: &[View], failed: &[(SocketAddr, ClientError)]) -> String {
    let mut text = String::new();
    for view in views {
        let said = match view.head.leader.as_str() {
            "" => "knows no leader".to_owned(),
            leader if leader == view.tracker.to_string() => "leads".to_owned(),
            leader => format!("follows {leader}"),
        };
        let _ = writeln!(text, "tracker {} {said}", view.tracker);
    }
    for (addr, error) in failed {
        let _ = writeln!(text, "tracker {addr} does not tell: {error}");
    }
    let leaders: BTreeSet<&str> = views.iter().map(|view| view.head.leader.as_str()).collect();
    if leaders.len() > 1 {
        text.push_str(
            "the trackers disagree on who leads: they settle it within seconds of reaching each other\n",
        );
    }
    text
}

/// What a view has of a member.
fn seen<'a>(view: &'a View, (group, id): &(GroupName, StorageId)) -> Option<&'a Facts> {
    view.facts.iter().find(|facts| facts.group == *group && facts.id == *id)
}

/// Whether all trackers have the same status, and the same reason to wait.
fn agreed(views: &[View], member: &(GroupName, StorageId)) -> bool {
    let essence = |view: &View| seen(view, member).map(|facts| (facts.status, verdict(facts, &view.facts)));
    let mut all = views.iter().map(essence);
    let first = all.next();
    all.all(|other| Some(other) == first)
}

fn members_text(views: &[View], members: &BTreeSet<(GroupName, StorageId)>) -> String {
    let (mut text, mut group) = (String::new(), None);
    for member in members {
        if group.replace(member.0) != Some(member.0) {
            let _ = writeln!(text, "\nGroup {}:", member.0);
        }
        let host = views.iter().find_map(|view| seen(view, member)).map_or("", |facts| facts.host.as_str());
        let _ = writeln!(text, "  Storage {} at {host}", member.1);
        if agreed(views, member) {
            // The leader decides; where all agree, its reasons count.
            let leads = |view: &&View| view.head.leader.as_str() == view.tracker.to_string();
            let view = views.iter().find(leads).or(views.first());
            view.into_iter().for_each(|view| status_text(&mut text, view, member, "    "));
            continue;
        }
        text.push_str("    the trackers disagree:\n");
        for view in views {
            let _ = writeln!(text, "    tracker {}", view.tracker);
            status_text(&mut text, view, member, "      ");
        }
    }
    text
}

fn status_text(text: &mut String, view: &View, member: &(GroupName, StorageId), indent: &str) {
    let Some(facts) = seen(view, member) else {
        let _ = writeln!(
            text,
            "{indent}does not know it\n{indent}waits for: it to join there\n{indent}must act: storage {}",
            member.1
        );
        return;
    };
    let now = view.head.now.get();
    let _ = writeln!(text, "{indent}{}{}", facts.status, since(facts, &view.head));
    if facts.status != StorageStatus::Active && facts.last_seen > 0 {
        let _ = writeln!(text, "{indent}last heard of: {} ago", words(now - facts.last_seen));
    }
    let found = verdict(facts, &view.facts);
    let _ = writeln!(text, "{indent}waits for: {}\n{indent}must act: {}", found.waits_for, found.actor);
}

fn since(facts: &Facts, head: &ExplainHead) -> String {
    let reason = facts.cause.map_or(String::new(), |cause| format!(": {cause}"));
    match (facts.since, head.started.get()) {
        // An existing tracker tells neither.
        (0, 0) => reason,
        (0, started) => format!(" since before {} (start of the tracker){reason}", local_time(started)),
        (since, _) => format!(" since {} ({}){reason}", local_time(since), words(head.now.get() - since)),
    }
}

fn trackers_json(views: &[View], failed: &[(SocketAddr, ClientError)]) -> Vec<Value> {
    let told = views.iter().map(|view| {
        json!({
            "tracker": view.tracker.to_string(),
            "leader": Some(view.head.leader.as_str()).filter(|leader| !leader.is_empty()),
            "now": view.head.now.get(),
        })
    });
    let silent =
        failed.iter().map(|(addr, error)| json!({ "tracker": addr.to_string(), "error": error.to_string() }));
    told.chain(silent).collect()
}

fn member_json(views: &[View], member: &(GroupName, StorageId)) -> Value {
    let known = |number: i64| Some(number).filter(|number| *number != 0);
    let one = |view: &View| {
        let tracker = view.tracker.to_string();
        let Some(facts) = seen(view, member) else {
            return json!({ "tracker": tracker, "status": Value::Null });
        };
        let found = verdict(facts, &view.facts);
        json!({
            "tracker": tracker,
            "host": facts.host,
            "status": facts.status.name(),
            "since": known(facts.since),
            "cause": facts.cause.map(fdfs_core::cluster::Cause::words),
            "connected": facts.connected,
            "last_seen": known(facts.last_seen),
            "source": facts.source.map(|id| id.to_string()),
            "waits_for": found.waits_for,
            "must_act": found.actor,
        })
    };
    json!({
        "group": member.0.as_str(),
        "id": member.1.as_str(),
        "agreed": agreed(views, member),
        "views": views.iter().map(one).collect::<Vec<_>>(),
    })
}
