//! The index meets a disk that changed without it: a process was killed, another daemon ran here, the index was lost.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fdfs_core::binlog::{Op, Pos, Record};
use fdfs_core::fileid::FileName;
use fdfs_net::CancellationToken;

use super::Dups;
use super::changing::{Changing, drop_content, finish, linking, removing};
use super::index::Content;
use super::name::is_content;
use super::signature::{Signature, Signer};
use crate::disk;
use crate::service::Refused;
use crate::storage::Storage;

/// Between two savings of the index. What is not saved is in its journal.
const EVERY: Duration = Duration::from_secs(5);
/// As [`EVERY`], when only other files changed.
const REST: Duration = Duration::from_secs(60);

/// Finishes what a killed process was doing. To be called before clients are served.
pub fn settle(storage: &Arc<Storage>) -> io::Result<()> {
    let Some(dups) = &storage.dups else { return Ok(()) };
    let unfinished = dups.index.unfinished()?;
    if unfinished.is_empty() {
        return Ok(());
    }
    tracing::info!(links = unfinished.len(), "index of equal content: finishing what was under way");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        for (link, content) in unfinished {
            let parse = |text: &str| FileName::parse(text.as_bytes(), storage.paths.count()).ok();
            if let Some((link, content)) = parse(&link).zip(parse(&content)) {
                // Nobody else is at work: any lock does.
                let alone = dups.alone(&[0; 24]).await;
                finish(storage, Some(Changing { link, content, alone })).await;
            }
        }
    });
    Ok(())
}

/// Takes from the binlog what the index does not know, then saves the index now and then. Blocks.
pub fn run(storage: &Arc<Storage>, stop: &CancellationToken) -> io::Result<()> {
    let Some(dups) = &storage.dups else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let to = *storage.binlog.readable().borrow();
    let caught_up = match catch_up(storage, dups, &runtime, to, stop) {
        Ok(whole) => whole,
        Err(error) => {
            tracing::error!(%error, "index of equal content: the binlog cannot be read; the next start tries again");
            false
        }
    };
    let (mut seen, mut saved_at) = (to, Instant::now());
    let mut save = |rest: Duration| {
        let end = *storage.binlog.readable().borrow();
        if !dups.index.store().is_dirty() && (end == seen || saved_at.elapsed() < rest) {
            return;
        }
        let noted = if caught_up { dups.index.see(end) } else { Ok(()) };
        match noted.and_then(|()| dups.save()) {
            Ok(()) => (seen, saved_at) = (end, Instant::now()),
            Err(error) => tracing::error!(%error, "index of equal content: it cannot be saved"),
        }
    };
    while runtime.block_on(async { tokio::time::timeout(EVERY, stop.cancelled()).await.is_err() }) {
        save(REST);
    }
    save(Duration::ZERO);
    Ok(())
}

/// Reads the binlog from where the index has seen it to `to`; `false` when it was stopped.
fn catch_up(
    storage: &Arc<Storage>,
    dups: &Dups,
    runtime: &tokio::runtime::Runtime,
    to: Pos,
    stop: &CancellationToken,
) -> io::Result<bool> {
    let seen = dups.index.seen()?.filter(|seen| *seen <= to);
    let from = seen.unwrap_or(Pos { index: 0, offset: 0 });
    let began = Instant::now();
    let (mut reader, mut links, mut records) = (storage.binlog.reader(from), 0u64, 0u64);
    let mut adopted = false;
    while let Some(item) = reader.read()? {
        if item.start >= to {
            break;
        }
        if stop.is_cancelled() {
            return Ok(false);
        }
        records += 1;
        if let Ok(record) = &item.record {
            links += u64::from(runtime.block_on(take(storage, dups, record, &mut adopted))?);
        }
    }
    if adopted {
        for (name, content) in dups.index.unshown()? {
            let Ok(name) = FileName::parse(name.as_bytes(), storage.paths.count()) else { continue };
            runtime.block_on(drop_unshown(storage, dups, name, content));
        }
    }
    dups.index.see(to)?;
    if seen.is_none() && records > 0 {
        tracing::info!(
            records,
            links,
            seconds = began.elapsed().as_secs(),
            "index of equal content: made from the binlog"
        );
    } else if links > 0 {
        tracing::info!(records, links, "index of equal content: took what another process did");
    }
    Ok(true)
}

/// Whether a link of this record is new to the index.
async fn take(storage: &Arc<Storage>, dups: &Dups, record: &Record, adopted: &mut bool) -> io::Result<bool> {
    let parse = |text: &str| FileName::parse(text.as_bytes(), storage.paths.count()).ok();
    let Some(name) = parse(&record.name) else { return Ok(false) };
    match record.op {
        Op::Delete => {
            if disk::lstat(&storage.paths, &name).is_err() {
                finish(storage, removing(storage, &name).await).await;
            }
            Ok(false)
        }
        Op::Link => {
            let Some(target) = record.source().and_then(parse) else { return Ok(false) };
            let ours = target.blob().is_some_and(|blob| blob.source == storage.identity.source);
            if !ours || !is_content(&target) {
                return Ok(false);
            }
            let (link, content) = (name.logic(), target.logic());
            if dups.index.shown_by(&link)?.is_some() {
                return Ok(false);
            }
            if dups.index.content(&content)?.is_none() {
                let Some(signature) = sign(storage, &target)? else { return Ok(false) };
                let _alone = dups.alone(&signature).await;
                if dups.index.content(&content)?.is_none() {
                    dups.index.adopt(&content, signature)?;
                    *adopted = true;
                }
            }
            // The content of a link that is gone is known all the same: it may have been the last one.
            if disk::link_target(&storage.paths, &name).ok().flatten().as_ref() != Some(&target) {
                return Ok(false);
            }
            let changing = linking(storage, &name, &target).await.map_err(Refused::into_io)?;
            finish(storage, changing).await;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Removes a content that no link shows, unless there is one by now.
async fn drop_unshown(storage: &Arc<Storage>, dups: &Dups, name: FileName, content: Content) {
    let _alone = dups.alone(&content.signature).await;
    let now = dups.index.content(&name.logic()).ok().flatten();
    if now == Some(content)
        && let Err(Refused::Status { why, .. }) =
            drop_content(storage, dups, name, content, String::new()).await
    {
        tracing::warn!(%name, why, "index of equal content: a file that no link shows stays");
    }
}

/// `None` for a file that is not here.
fn sign(storage: &Storage, name: &FileName) -> io::Result<Option<Signature>> {
    let file = match disk::open(&storage.paths, name) {
        Ok(file) => std::fs::File::from(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut signer = Signer::new(&storage.settings.file_signature_method);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match io::Read::read(&mut &file, &mut buffer)? {
            0 => return Ok(Some(signer.finish())),
            n => signer.update(&buffer[..n]),
        }
    }
}
