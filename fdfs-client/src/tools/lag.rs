//! `fdfs_monitor lag`: what each storage has that its peers do not have yet, asked of the storages themselves.

use std::fmt::Write;
use std::net::SocketAddr;

use fdfs_core::ident::GroupName;
use fdfs_core::wire::Status;
use fdfs_core::wire::lag::LagRecord;
use fdfs_core::wire::list::StorageRecord;
use serde_json::{Value, json};

use super::format::{bytes, words};
use super::{Ended, failure};
use crate::client::Client;
use crate::error::ClientError;

/// What one storage told.
struct View {
    group: GroupName,
    id: String,
    addr: Option<SocketAddr>,
    told: Result<(i64, Vec<LagRecord>), ClientError>,
}

/// Asks every storage of the cluster, or of one group.
pub(super) async fn lag(client: &Client, only: Option<GroupName>) -> Result<Ended, ClientError> {
    let mut views = Vec::new();
    for group in client.groups().await?.1 {
        let Ok(name) = GroupName::new(group.name.bytes()) else { continue };
        if only.is_some_and(|only| only != name) {
            continue;
        }
        for member in client.storages(name).await? {
            views.push(view(client, name, &member).await);
        }
    }
    if let Some(group) = only.filter(|_| views.is_empty()) {
        return Err(ClientError::invalid("lag", format!("there is no storage of {group}")));
    }
    let (text, value) = (text(&views), Value::Array(views.iter().map(value).collect()));
    let failed = views.into_iter().find_map(|view| view.told.err());
    Ok(match failed {
        None => Ended::Said(text, value),
        Some(error) => {
            let (line, code) = failure("lag", &error);
            Ended::Partly(text, value, vec![line], code)
        }
    })
}

async fn view(client: &Client, group: GroupName, member: &StorageRecord) -> View {
    let port = u16::try_from(member.tail.port.get()).ok();
    let addr = member.ip.ip().zip(port).map(|(ip, port)| SocketAddr::new(ip, port));
    let told = match addr {
        Some(addr) => client.lag_at(addr).await,
        None => Err(ClientError::invalid("lag", "the tracker tells no address of it")),
    };
    View { group, id: member.head.id.as_str().to_owned(), addr, told }
}

fn text(views: &[View]) -> String {
    let (mut text, mut group) = (String::new(), None);
    for view in views {
        if group.replace(view.group) != Some(view.group) {
            let _ = writeln!(text, "Group {}:", view.group);
        }
        let addr = view.addr.map_or(String::new(), |addr| format!(" at {addr}"));
        let _ = writeln!(text, "  Storage {}{addr}", view.id);
        match &view.told {
            Ok((_, peers)) if peers.is_empty() => text.push_str("    sends to nobody\n"),
            Ok((now, peers)) => peers.iter().for_each(|peer| peer_text(&mut text, *now, peer)),
            Err(error) if error.is_answer() && error.status() == Status::INVAL => {
                text.push_str("    is not of this implementation, and does not tell\n");
            }
            Err(error) => drop(writeln!(text, "    does not tell: {error}")),
        }
    }
    text
}

fn peer_text(text: &mut String, now: i64, peer: &LagRecord) {
    let _ = write!(text, "    to {}: ", peer.peer.as_str());
    if peer.records.get() == 0 {
        text.push_str("it has everything");
    } else {
        let (log, content) = (bytes(peer.log_bytes.get()), bytes(peer.content_bytes.get()));
        let _ = write!(text, "{} records behind, {log} of the log", peer.records);
        if peer.oldest.get() > 0 {
            let _ = write!(text, ", the oldest of {} ago", words(now - peer.oldest.get()));
        }
        if peer.content_bytes.get() > 0 {
            let _ = write!(text, "; {content} of content on the way");
        }
    }
    for (set, what) in
        [(peer.connected == 0, "not connected"), (peer.full_copy != 0, "it gets its full copy")]
    {
        if set {
            let _ = write!(text, "; {what}");
        }
    }
    if peer.aside.get() > 0 {
        let _ = write!(text, "; refused and tried again: {}", peer.aside);
    }
    text.push('\n');
    if !peer.error.is_empty() {
        let _ = writeln!(text, "      last error: {}", peer.error.as_str());
    }
}

fn value(view: &View) -> Value {
    let addr = view.addr.map(|addr| addr.to_string());
    let mut value = json!({ "group": view.group.as_str(), "storage": view.id, "addr": addr });
    match &view.told {
        Ok((now, peers)) => {
            value["now"] = json!(now);
            value["peers"] = peers.iter().map(peer_value).collect();
        }
        Err(error) => value["error"] = json!(error.to_string()),
    }
    value
}

fn peer_value(peer: &LagRecord) -> Value {
    json!({
        "peer": peer.peer.as_str(),
        "connected": peer.connected != 0,
        "full_copy": peer.full_copy != 0,
        "records": peer.records.get(),
        "log_bytes": peer.log_bytes.get(),
        "content_bytes": peer.content_bytes.get(),
        "oldest": Some(peer.oldest.get()).filter(|oldest| *oldest > 0),
        "set_aside": peer.aside.get(),
        "error": Some(peer.error.as_str()).filter(|error| !error.is_empty()),
    })
}
