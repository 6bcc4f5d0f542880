//! The files of the lists, one after the other on a connection for each list.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::FileName;
use fdfs_core::ident::GroupName;
use fdfs_core::wire::storage::{Download, GroupAndName};
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::{CallError, CallErrorKind, Peer, same_clock};
use tokio::time::Instant;

use super::source::Group;
use super::state::State;
use super::{Broken, Ended};
use crate::disk::{self, NewFile};
use crate::dups;
use crate::storage::Storage;
use crate::sync::{bind_addr, timeouts};

/// Lines between two marks.
const SAVE_EVERY: u64 = 1000;
/// How often the log tells the progress.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What was done.
#[derive(Default)]
struct Count {
    files: u64,
    missing: u64,
}

/// Works through all lists. An error leaves the marks where they are.
pub(super) async fn all(storage: &Arc<Storage>, state: &State, group: &Group) -> Result<Ended, Broken> {
    let mut jobs = tokio::task::JoinSet::new();
    for index in 0..state.threads() {
        // Each list from another member, as far as there are others.
        let at = usize::try_from(index).unwrap_or(0) % group.sources.len();
        let (storage, source) = (Arc::clone(storage), group.sources[at]);
        let work = Work { list: state.list(index), offset: state.offset(index), index };
        let state = State::open(&storage, state.path)?;
        jobs.spawn_local(same_clock(async move { one(&storage, &state, work, source).await }));
    }
    let (mut files, mut missing, mut failed) = (0, 0, None);
    while let Some(done) = jobs.join_next().await {
        match done.map_err(io::Error::other)? {
            Ok(count) => (files, missing) = (files + count.files, missing + count.missing),
            Err(error) => failed = Some(error),
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(Ended::Done { files, missing }),
    }
}

struct Work {
    list: std::path::PathBuf,
    offset: u64,
    index: i64,
}

async fn one(storage: &Arc<Storage>, state: &State, work: Work, source: SocketAddr) -> Result<Count, Broken> {
    let mut file = File::open(&work.list)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(work.offset))?;
    let mut lines = BufReader::new(file);
    let mut peer = Peer::connect(source, timeouts(storage), bind_addr(storage)).await?;
    let (mut offset, mut count, mut told) = (work.offset, Count::default(), Instant::now());
    let (mut line, mut done) = (Vec::new(), 0);
    while lines.read_until(b'\n', &mut line)? > 0 {
        if let Ok(record) = Record::parse(line.strip_suffix(b"\n").unwrap_or(&line)) {
            match bring(storage, &mut peer, &record).await {
                Ok(true) => count.files += 1,
                Ok(false) => count.missing += 1,
                Err(error) => {
                    state.save_offset(work.index, offset)?;
                    return Err(error);
                }
            }
        }
        offset += line.len() as u64;
        line.clear();
        done += 1;
        if done % SAVE_EVERY == 0 {
            state.save_offset(work.index, offset)?;
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let percent = offset * 100 / size.max(1);
            tracing::info!(list = work.index, percent, files = count.files, "recovery goes on");
        }
    }
    state.save_offset(work.index, offset)?;
    Ok(count)
}

/// One line; `false` when the source has no such file any more.
async fn bring(storage: &Arc<Storage>, peer: &mut Peer, record: &Record) -> Result<bool, Broken> {
    let Ok(name) = FileName::parse(record.name.as_bytes(), storage.paths.count()) else { return Ok(false) };
    if record.op == Op::Link {
        let target =
            record.source().and_then(|target| FileName::parse(target.as_bytes(), storage.paths.count()).ok());
        let Some(target) = target else { return Ok(false) };
        let changing = dups::linking(storage, &name, &target).await.map_err(|refused| refused.into_io())?;
        let made = disk::make_link(&storage.paths, &name, &target)
            .and_then(|()| disk::set_mtime(&storage.paths, &name, record.timestamp));
        dups::finish(storage, changing).await;
        return match made {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
            _ => Ok(true),
        };
    }
    // Of a trunk file the whole container.
    let name = match name.trunk_slot() {
        Some(slot) => {
            let (high, low) = name.dir();
            let text = format!("M{:02X}/{high:02X}/{low:02X}/{:06}", name.path().byte(), slot.file);
            match FileName::parse(text.as_bytes(), storage.paths.count()) {
                Ok(name) => name,
                Err(_) => return Ok(false),
            }
        }
        None => name,
    };
    if disk::lstat(&storage.paths, &name).is_ok() {
        return Ok(true);
    }
    copy_file(storage, peer, &name, Some(record.timestamp)).await
}

/// Fetches a file from a member and publishes it if it is what its name says and nothing has that name. `false`: the
/// member does not have it.
pub(crate) async fn copy_file(
    storage: &Arc<Storage>,
    peer: &mut Peer,
    name: &FileName,
    mtime: Option<i64>,
) -> Result<bool, Broken> {
    let Some(mut file) = download(storage, peer, storage.identity.group, name).await? else {
        return Ok(false);
    };
    if let Some(mtime) = mtime {
        file.set_mtime(mtime)?;
    }
    let _alone = storage.lock_name(name);
    if storage.binlog.tombs().forbid(name, mtime.unwrap_or(i64::MAX)) {
        return Ok(true);
    }
    match file.publish(name) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(true),
    }
}

/// The content of a file at a member, not published; verified if the name carries its crc.
pub(crate) async fn download(
    storage: &Storage,
    peer: &mut Peer,
    group: GroupName,
    name: &FileName,
) -> Result<Option<NewFile>, Broken> {
    let logic = name.logic();
    let mut body = Vec::new();
    let file = GroupAndName { group, name: logic.as_bytes() };
    Download { offset: 0, count: 0, file }.put(&mut body);
    peer.send(Header::request(cmd::DOWNLOAD_FILE, body.len() as u64), &[&body]).await?;
    let head = peer.recv_head().await?;
    let len = head.body().unwrap_or(0);
    match Status(head.status) {
        Status::OK => {}
        Status::NOENT => {
            drop(peer.recv_exact(usize::try_from(len).unwrap_or(0).min(1024)).await?);
            return Ok(None);
        }
        // Since 6.15.4 the existing daemon refuses an empty file so.
        Status::INVAL if name.describes_content() && name.blob().is_some_and(|blob| blob.size() == 0) => {
            let addr = peer.addr();
            *peer = Peer::connect(addr, timeouts(storage), bind_addr(storage)).await?;
            return Ok(Some(NewFile::create(&storage.paths, name.path())?));
        }
        status => {
            let kind = CallErrorKind::Status(status);
            return Err(CallError { addr: peer.addr(), doing: "download", kind }.into());
        }
    }
    let mut file = NewFile::create(&storage.paths, name.path())?;
    let (mut left, mut crc) = (len, crc32fast::Hasher::new());
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(256 << 10);
        let bytes = peer.recv_chunk(most).await?;
        left -= bytes.len() as u64;
        crc.update(&bytes);
        file.write_all(&bytes)?;
    }
    if let Some(blob) = name.blob().filter(|_| name.describes_content() && name.trunk_slot().is_none())
        && (blob.size(), blob.crc32) != (len, crc.finalize())
        && !crate::scrub::is_old_crc(&file.reopen()?, &blob)?
    {
        let text = format!("{}: its {name} is not what the name says", peer.addr());
        tracing::error!("{text}");
        return Ok(None);
    }
    Ok(Some(file))
}
