//! Changes of addresses, own and of others (storage 5.5). Only without storage ids.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use fdfs_core::cluster::ChangeLine;
use fdfs_core::ident::{GroupName, StorageStatus};
use fdfs_core::settings::StorageSettings;
use fdfs_core::wire::report::IpChange;
use fdfs_core::wire::{IpField, Status, cmd};
use fdfs_net::{CallError, Peer, Timeouts};
use zerocopy::IntoBytes;

use super::bootstrap::TrackerAddrs;
use crate::storage::Storage;

/// Longest answer with lines of the change log.
pub(super) const CHANGELOG_MAX: usize = 64 << 10;
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the trackers that this storage has another address, until one of them has taken it.
pub async fn report_move(
    settings: &StorageSettings,
    trackers: &[TrackerAddrs],
    group: GroupName,
    old: IpAddr,
    new: IpAddr,
) {
    let change = IpChange { group: group.field(), old: IpField::of(old), new: IpField::of(new) };
    loop {
        let mut taken = false;
        for addr in trackers.iter().filter_map(|one| one.first()) {
            match tell(settings, *addr, &change).await {
                Ok(status) => {
                    tracing::info!(tracker = %addr, %old, %new, status = status.0, "the tracker knows the new address");
                    taken = true;
                }
                Err(error) => tracing::warn!(%old, %new, "the new address is not told: {error}"),
            }
        }
        if taken {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What was done before, and what the tracker has no member for, is done.
async fn tell(settings: &StorageSettings, addr: SocketAddr, change: &IpChange) -> Result<Status, CallError> {
    let timeouts = Timeouts { connect: Duration::from_secs(5), network: settings.peer_timeout() };
    let bind = settings.bind_addr.split(',').next().and_then(|ip| ip.trim().parse().ok());
    let mut tracker = Peer::connect(addr, timeouts, bind.filter(|_| settings.client_bind)).await?;
    let reply = tracker.call(cmd::REPORT_IP_CHANGED, 0, change.as_bytes(), 64).await?;
    match reply.status {
        Status::OK | Status::ALREADY | Status::NOENT | Status::EXIST | Status::BUSY => Ok(reply.status),
        status => Err(CallError {
            addr,
            doing: "tell the new address",
            kind: fdfs_net::CallErrorKind::Status(status),
        }),
    }
}

/// What a line of the change log says of a member of this group.
#[derive(Debug, PartialEq, Eq)]
enum Change<'a> {
    Deleted { id: &'a str },
    Moved { id: &'a str, to: &'a str },
}

/// What happened to an id that is `living` again is history.
fn change<'a>(line: &'a str, group: &str, living: impl Fn(&str) -> bool) -> Option<Change<'a>> {
    let ChangeLine { id, status, arg: to, .. } =
        ChangeLine::parse(line).filter(|line| line.group == group && !living(line.id))?;
    match status {
        StorageStatus::Deleted => Some(Change::Deleted { id }),
        StorageStatus::IpChanged if !to.is_empty() => Some(Change::Moved { id, to }),
        _ => None,
    }
}

/// Follows the change log: marks of members that moved get their new name, those of deleted ones go.
pub(super) fn apply(storage: &Storage, lines: &str, living: impl Fn(&str) -> bool) {
    let group = storage.identity.group.to_string();
    let (dir, port) = (storage.data_dir().join("sync"), storage.identity.port);
    for change in lines.lines().filter_map(|line| change(line, &group, &living)) {
        tracing::info!(?change, "change log of the trackers");
        if let Err(error) = follow(&dir, port, &change) {
            tracing::error!(%error, ?change, "a mark cannot be changed");
        }
        let done = storage.update_init(|init| match change {
            Change::Deleted { id } if init.sync_src_server == id => init.sync_src_server.clear(),
            Change::Moved { id, to } if init.sync_src_server == id => init.sync_src_server = to.to_owned(),
            _ => {}
        });
        if let Err(error) = done {
            tracing::error!("{error}");
        }
    }
}

fn follow(dir: &Path, port: u16, change: &Change<'_>) -> std::io::Result<()> {
    for extension in ["mark", "peer"] {
        let file = |id: &str| dir.join(format!("{id}_{port}.{extension}"));
        let done = match change {
            Change::Deleted { id } => std::fs::remove_file(file(id)),
            // A mark under the new name is of a member that began anew there: it is right.
            Change::Moved { to, .. } if file(to).exists() => Ok(()),
            Change::Moved { id, to } => std::fs::rename(file(id), file(to)),
        };
        match done {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_change_log() {
        let change = |line| change(line, "group1", |id| id == "10.0.0.5");
        let moved = change("1795332970 group1 10.0.0.1 3 10.0.0.9");
        assert_eq!(moved, Some(Change::Moved { id: "10.0.0.1", to: "10.0.0.9" }));
        assert_eq!(change("1795332970 group1 10.0.0.1 4"), Some(Change::Deleted { id: "10.0.0.1" }));
        let living = ["1 group1 10.0.0.5 4", "1 group1 10.0.0.5 3 10.0.0.9"];
        let others = ["", "1 group2 10.0.0.1 4", "1 group1 10.0.0.1 3", "1 group1 10.0.0.1 7 x"];
        for other in living.iter().chain(&others) {
            assert_eq!(change(other), None, "{other}");
        }
    }

    #[test]
    fn marks_follow() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| dir.path().join(name);
        std::fs::write(file("10.0.0.1_23000.mark"), "mark").unwrap();
        std::fs::write(file("10.0.0.2_23000.mark"), "other").unwrap();
        follow(dir.path(), 23000, &Change::Moved { id: "10.0.0.1", to: "10.0.0.9" }).unwrap();
        assert_eq!(std::fs::read(file("10.0.0.9_23000.mark")).unwrap(), b"mark");
        follow(dir.path(), 23000, &Change::Moved { id: "10.0.0.2", to: "10.0.0.9" }).unwrap();
        assert_eq!(std::fs::read(file("10.0.0.9_23000.mark")).unwrap(), b"mark");
        follow(dir.path(), 23000, &Change::Deleted { id: "10.0.0.2" }).unwrap();
        assert!(!file("10.0.0.2_23000.mark").exists() && !file("10.0.0.1_23000.mark").exists());
    }
}
