//! Upload (11), upload of an appender (23) and of a slave (21).

use std::io::Write;
use std::sync::Arc;

use bytes::BufMut;
use fdfs_core::fileid::{Blob, FileName, Kind, StorePath, slave_name};
use fdfs_core::ident::Extension;
use fdfs_core::wire::list::stat;
use fdfs_core::wire::storage::{GroupAndName, NAME_MAX, Upload};
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::Conn;

use super::{Answer, Body, Buffer, Refused};
use crate::disk::{self, Choose, Claim, Dir, NewFile, Use};
use crate::dups::{self, New, Signer, Stored};
use crate::publish::{Naming, publish};
use crate::stages::{Stage, Stages};
use crate::storage::Storage;

pub(super) async fn upload(storage: &Arc<Storage>, conn: &mut Conn, head: Header, body: &mut Body) -> Answer {
    let total = body.left;
    let fixed = body.take(conn, Upload::HEAD).await?;
    let request = Upload::parse(&fixed, total)?;
    let kind = if head.cmd == cmd::UPLOAD_APPENDER_FILE { Kind::Appender } else { Kind::Normal };
    let stages = storage.stages.as_ref();
    let placing = place(storage, request.path, request.size);
    let (mut claim, mut file) = Stages::time(stages, Stage::Place, placing).await?;
    let looking = storage.dups.as_ref().filter(|dups| dups.looks() && kind == Kind::Normal);
    let mut signer = looking.map(|_| Signer::new(&storage.settings.file_signature_method));
    let receiving = receive(storage, conn, body, &mut file, Some(&mut claim), signer.as_mut());
    let received = Stages::time(stages, Stage::Receive, receiving).await;
    storage.stat.count(stat::FILE_WRITE, received.is_ok());
    if let (Some(dups), Some(signer), Ok(crc)) = (looking, signer, &received) {
        let new = New { size: request.size, crc: *crc, signature: signer.finish(), ext: request.ext };
        let stored = dups::store(storage, dups, file, new).await;
        if !matches!(stored, Ok(Stored::Not(_))) {
            storage.stat.count(stat::CREATE_LINK, stored.is_ok());
        }
        match stored? {
            Stored::Link(name) => {
                body.names(|| name.logic());
                body.copied(storage, conn, || [name]).await?;
                reply_name(storage, conn, &name);
                return Ok(());
            }
            Stored::Not(kept) => file = kept,
        }
    }
    let done = match received {
        Ok(crc) => finish(storage, file, kind, request.size, crc, request.ext).await,
        Err(refused) => Err(refused),
    };
    storage.stat.count(stat::UPLOAD, done.is_ok());
    storage.stat.count_bytes(stat::UPLOAD_BYTES, request.size - body.left.min(request.size), done.is_ok());
    let name = done?;
    body.names(|| name.logic());
    body.copied(storage, conn, || [name]).await?;
    reply_name(storage, conn, &name);
    Ok(())
}

async fn finish(
    storage: &Arc<Storage>,
    file: NewFile,
    kind: Kind,
    size: u64,
    crc: u32,
    ext: Extension,
) -> Result<FileName, Refused> {
    let path = file.path();
    let name = move |storage: &Storage, mtime| {
        let timestamp = u32::try_from(mtime).unwrap_or(u32::MAX);
        let blob = Blob::new(storage.identity.source, timestamp, kind, size, crc, fastrand::u32(..));
        let dir = storage.next_dir(&fdfs_core::fileid::encode27(&blob.encode()));
        FileName::generate(path, dir, &blob, ext, fastrand::u32(..))
    };
    let done = publish(storage, file, Naming::Made(name)).await;
    done.map_err(|error| Refused::io("publish", "a new file", &error))
}

pub(super) async fn slave(storage: &Arc<Storage>, conn: &mut Conn, _: Header, body: &mut Body) -> Answer {
    const HEAD: usize = 8 + 8 + 16 + 6;
    let total = body.left;
    let fixed = body.take(conn, HEAD).await?;
    let (master_len, size) = lengths(&fixed, total, HEAD as u64)?;
    let master = body.take(conn, master_len).await?;
    let prefix = fixed[16..32].split(|&byte| byte == 0).next().unwrap_or_default();
    let ext = fixed.last_chunk::<6>().copied().unwrap_or_default();
    let ext = Extension::from_field(&ext).map_err(|bad| Refused::invalid(format!("bad {}", bad.what())))?;
    let master = storage.name(storage.identity.group, &master)?;
    let name = slave_name(&master, prefix, ext).map_err(|bad| Refused::invalid(bad.to_string()))?;
    if name.true_name() == master.true_name() {
        return Err(Refused::invalid("the slave's name is its master's"));
    }
    disk::stat(&storage.paths, &master).map_err(|error| Refused::io("stat", master, &error))?;
    if disk::lstat(&storage.paths, &name).is_ok() {
        return Err(Refused::new(Status::EXIST, format!("{name} exists")));
    }
    let mut claim = choose_path(storage, Some(master.path().byte()), size)?;
    if claim.path() != master.path() {
        return Err(Refused::new(Status::NOSPC, "the store path of the master takes no new files"));
    }
    let mut file = new_file(storage, claim.path()).await?;
    let receiving = receive(storage, conn, body, &mut file, Some(&mut claim), None);
    let done = match Stages::time(storage.stages.as_ref(), Stage::Receive, receiving).await {
        Ok(_) => finish_slave(storage, name, file).await,
        Err(refused) => Err(refused),
    };
    storage.stat.count(stat::FILE_WRITE, done.is_ok());
    storage.stat.count(stat::UPLOAD, done.is_ok());
    storage.stat.count_bytes(stat::UPLOAD_BYTES, size - body.left.min(size), done.is_ok());
    done?;
    body.names(|| name.logic());
    body.copied(storage, conn, || [name]).await?;
    reply_name(storage, conn, &name);
    Ok(())
}

async fn finish_slave(storage: &Arc<Storage>, name: FileName, file: NewFile) -> Result<(), Refused> {
    let naming = Naming::<fn(&Storage, i64) -> FileName>::Exactly(name);
    let done = publish(storage, file, naming).await;
    done.map(drop).map_err(|error| Refused::io("publish", name, &error))
}

/// Master length and content size of a slave upload.
fn lengths(fixed: &[u8], total: u64, head: u64) -> Result<(usize, u64), Refused> {
    let number = |at: usize| {
        let bytes = fixed.get(at..at + 8).and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
        bytes.and_then(|bytes| u64::try_from(i64::from_be_bytes(bytes)).ok())
    };
    let wrong = || Refused::invalid("lengths inside the body do not add up");
    let (master, size) = number(0).zip(number(8)).ok_or_else(wrong)?;
    if head.checked_add(master).and_then(|sum| sum.checked_add(size)) != Some(total) {
        return Err(wrong());
    }
    let master =
        usize::try_from(master).ok().filter(|len| *len > 10 && *len <= NAME_MAX).ok_or_else(wrong)?;
    Ok((master, size))
}

fn choose_path(storage: &Storage, wanted: Option<u8>, size: u64) -> Result<Claim, Refused> {
    let wanted = match wanted {
        None => None,
        Some(index) => Some(
            StorePath::new(index, storage.paths.count())
                .ok_or_else(|| Refused::invalid(format!("no store path {index}")))?,
        ),
    };
    let params = storage.params.load();
    let choose = if params.store_path == 2 { Choose::MostFree } else { Choose::InTurn };
    storage
        .paths
        .choose(wanted, choose, params.reserve, size)
        .ok_or_else(|| Refused::new(Status::NOSPC, "no store path with room above its reserve"))
}

/// A store path and a file there. A path whose disk turns out to be in trouble is replaced by another one.
async fn place(storage: &Arc<Storage>, wanted: Option<u8>, size: u64) -> Result<(Claim, NewFile), Refused> {
    let mut left = storage.paths.count();
    loop {
        let claim = choose_path(storage, wanted, size)?;
        left -= 1;
        match new_file(storage, claim.path()).await {
            Err(_) if left > 0 && !storage.paths.dir(claim.path()).takes_files() => {}
            done => return Ok((claim, done?)),
        }
    }
}

async fn new_file(storage: &Arc<Storage>, path: StorePath) -> Result<NewFile, Refused> {
    let file = storage.paths.run(path, Use::Write, NewFile::create_in).await;
    storage.stat.count(stat::FILE_OPEN, file.is_ok());
    file.map_err(|error| Refused::io("create", storage.paths.base(path).display(), &error))
}

/// The rest of the body into the file; its crc.
pub(crate) async fn receive(
    storage: &Arc<Storage>,
    conn: &mut Conn,
    body: &mut Body,
    file: &mut NewFile,
    mut claim: Option<&mut Claim>,
    mut signer: Option<&mut Signer>,
) -> Result<u32, Refused> {
    let mut crc = crc32fast::Hasher::new();
    let most = usize::try_from(body.left).unwrap_or(usize::MAX);
    let mut buffer = Buffer::get(storage.settings.buffer().min(most));
    while body.left > 0 {
        // Whole buffers go to the file, whatever the pieces in which they arrive.
        let mut filled = 0;
        while body.left > 0 && filled < buffer.bytes.len() {
            filled += body.read(conn, &mut buffer.bytes[filled..]).await?;
        }
        crc.update(&buffer.bytes[..filled]);
        if let Some(signer) = &mut signer {
            signer.update(&buffer.bytes[..filled]);
        }
        buffer = write(storage, file, buffer, filled).await?;
        if let Some(claim) = &mut claim {
            claim.written(filled as u64);
        }
    }
    Ok(crc.finalize())
}

/// Appends the first `filled` bytes of a buffer.
async fn write(
    storage: &Storage,
    file: &mut NewFile,
    buffer: Buffer,
    filled: usize,
) -> Result<Buffer, Refused> {
    let to = file.share();
    let work = move |_: &Arc<Dir>| (&*to).write_all(&buffer.bytes[..filled]).map(|()| buffer);
    let done = storage.paths.run(file.path(), Use::Write, work).await;
    done.map_err(|error| Refused::io("write", "a new file", &error))
}

pub(super) fn reply_name(storage: &Storage, conn: &mut Conn, name: &FileName) {
    let logic = name.logic();
    let answer = GroupAndName { group: storage.identity.group, name: logic.as_bytes() };
    conn.reply_head(16 + logic.len() as u64);
    let out = conn.out();
    out.reserve(16 + logic.len());
    answer.put(&mut out.limit(usize::MAX));
}
