//! Replacing a damaged or missing file by the copy of another member.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use fdfs_core::fileid::{FileName, StorePath};
use fdfs_core::ident::{GroupName, StorageId, StorageStatus};
use fdfs_core::wire::{Header, Status};
use fdfs_net::{Conn, Peer};
use rustix::fs::Mode;

use crate::disk;
use crate::recovery::download;
use crate::service::{Answer, Body, Refused};
use crate::storage::Storage;
use crate::sync::{bind_addr, timeouts};

/// Folder below `data` for damaged files. Nothing serves it.
const DAMAGED: &str = ".fdfs.damaged";

/// Takes a damaged file out of the tree and keeps it for the operator.
pub fn quarantine(storage: &Storage, name: &FileName) -> io::Result<()> {
    let data = storage.paths.data(name.path());
    match rustix::fs::mkdirat(data, DAMAGED, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let flat = String::from_utf8_lossy(name.true_name()).replace('/', "_");
    Ok(rustix::fs::renameat(data, name.true_name(), data, format!("{DAMAGED}/{flat}"))?)
}

/// Files of a store path that were taken out of the tree and are not there again.
pub(super) fn quarantined(storage: &Storage, path: StorePath) -> Vec<FileName> {
    let dir = storage.paths.base(path).join("data").join(DAMAGED);
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let flat = entry.file_name().to_str()?.replacen('_', "/", 2);
            let logic = format!("M{:02X}/{flat}", path.byte());
            FileName::parse(logic.as_bytes(), storage.paths.count()).ok()
        })
        .filter(|name| disk::lstat(&storage.paths, name).is_err())
        .collect()
}

/// Fetches the file from the first member that has a good copy. `replace`: in place of what is here.
///
/// [`Status::NOENT`]: nobody has it. [`Status::EXIST`]: it is here already, or was deleted.
pub async fn heal(
    storage: &Arc<Storage>,
    name: &FileName,
    from: Option<StorageId>,
    replace: bool,
) -> io::Result<Status> {
    let here = disk::lstat(&storage.paths, name);
    let mtime = here.as_ref().ok().map(|found| found.st_mtime);
    if (here.is_ok() && !replace) || storage.binlog.tombs().forbid(name, i64::MAX) {
        return Ok(Status::EXIST);
    }
    let mut last = None;
    for addr in sources(storage, name, from) {
        let fetched = async {
            let mut peer = Peer::connect(addr, timeouts(storage), bind_addr(storage)).await?;
            download(storage, &mut peer, storage.identity.group, name).await
        };
        match fetched.await {
            Ok(Some(mut file)) => {
                let time = mtime.or_else(|| name.blob().map(|blob| i64::from(blob.timestamp)));
                if let Some(time) = time {
                    file.set_mtime(time)?;
                }
                let _alone = storage.lock_name(name);
                if replace {
                    file.replace(name)?;
                } else if let Err(error) = file.publish(name) {
                    return match error.kind() {
                        io::ErrorKind::AlreadyExists => Ok(Status::EXIST),
                        _ => Err(error),
                    };
                }
                tracing::info!(%name, source = %addr, "the file is here again, from another member");
                return Ok(Status::OK);
            }
            Ok(None) => {}
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(io::Error::other(error.to_string())),
        None => Ok(Status::NOENT),
    }
}

/// Members to ask: the one that was named, else the file's source first.
fn sources(storage: &Storage, name: &FileName, from: Option<StorageId>) -> Vec<SocketAddr> {
    let source = name.blob().map(|blob| blob.source.to_string());
    let members = storage.members.list();
    let mut found: Vec<_> = members
        .iter()
        .filter(|member| member.id != storage.identity.id)
        .filter(|member| match from {
            Some(from) => member.id == from,
            None => member.status == StorageStatus::Active,
        })
        .collect();
    let is_source = |addr: &SocketAddr, id: &StorageId| {
        source.as_deref().is_some_and(|source| source == addr.ip().to_string() || source == id.as_str())
    };
    found.sort_by_key(|member| !is_source(&member.addr, &member.id));
    found.into_iter().map(|member| member.addr).collect()
}

/// REPAIR (205): group 16, id of the member to fetch from 16 (empty: any), logic name. Header status 1: in place of what is
/// here, which is kept aside if its name says that it is damaged.
pub(crate) async fn repair(storage: &Arc<Storage>, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let request = body.whole(conn, &head).await?;
    let wrong = || Refused::invalid("32 bytes of group and member, and a name");
    let (group, rest) = request.split_at_checked(16).ok_or_else(wrong)?;
    let (from, name) = rest.split_at_checked(16).ok_or_else(wrong)?;
    let group = GroupName::from_field(group).map_err(|_| wrong())?;
    let name = storage.name(group, name)?;
    let from = StorageId::from_field(from).map_err(|_| wrong())?;
    let done = heal(storage, &name, from, head.status != 0).await;
    conn.reply_status(done.map_err(|error| Refused::io("repair", name, &error))?);
    Ok(())
}
