//! An upload whose content may be here already.

use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use fdfs_core::fileid::{Blob, FileName, Kind, StorePath, encode27};
use fdfs_core::ident::Extension;

use super::Dups;
use super::changing::{Changing, finish};
use super::name::{TRIES, content_name};
use super::signature::Signature;
use crate::disk::{self, NewFile, Use};
use crate::publish::{Naming, publish};
use crate::service::{Refused, make_link};
use crate::storage::{Storage, now};

/// Bytes compared in one call on a store path's thread.
const STEP: u64 = 32 << 20;
/// Up to this many bytes are compared on this thread.
const SMALL: u64 = 128 << 10;

/// What is known of new content.
#[derive(Clone, Copy)]
pub struct New {
    /// Bytes.
    pub size: u64,
    /// Of its bytes.
    pub crc: u32,
    /// Of its bytes.
    pub signature: Signature,
    /// That the client wants.
    pub ext: Extension,
}

/// What became of an upload.
pub enum Stored {
    /// This link shows it.
    Link(FileName),
    /// The index does not work: to be stored as any other file.
    Not(NewFile),
}

/// Stores content unless it is here, and makes a link to it.
pub async fn store(storage: &Arc<Storage>, dups: &Dups, file: NewFile, new: New) -> Result<Stored, Refused> {
    let alone = dups.alone(&new.signature).await;
    let known = dups.on(move |index| {
        let Some(name) = index.find(&new.signature)? else { return Ok(None) };
        Ok(index.content(&name)?.map(|content| (name, content)))
    });
    let known = match known.await {
        Ok(known) => known,
        Err(error) => return Ok(given_up(file, &error)),
    };
    if let Some((text, content)) = known
        && let Ok(name) = FileName::parse(text.as_bytes(), storage.paths.count())
        && storage.paths.dir(name.path()).takes_files()
        && same(storage, &name, &file, new.size).await
    {
        let [link] = names(storage, name.path(), new, None).await?;
        let entered = link.logic();
        if let Err(error) = dups.on(move |index| index.begin_more(&text, content, &entered)).await {
            return Ok(given_up(file, &error));
        }
        return show(storage, dups, Changing { link, content: name, alone }).await;
    }
    let [name, link] = names(storage, file.path(), new, Some(&file)).await?;
    let (text, entered) = (name.logic(), link.logic());
    if let Err(error) = dups.on(move |index| index.begin_first(&text, new.signature, &entered)).await {
        return Ok(given_up(file, &error));
    }
    let changing = Changing { link, content: name, alone };
    let naming = Naming::<fn(&Storage, i64) -> FileName>::Exactly(name);
    if let Err(error) = publish(storage, file, naming).await {
        // Of one that hangs it is not known whether the file will appear: the next start looks.
        if error.kind() != io::ErrorKind::TimedOut {
            finish(storage, Some(changing)).await;
        }
        return Err(Refused::io("publish", "a new file", &error));
    }
    show(storage, dups, changing).await
}

fn given_up(file: NewFile, error: &io::Error) -> Stored {
    tracing::warn!(%error, "index of equal content: an upload is stored without it");
    Stored::Not(file)
}

/// Makes the link, which is in the index.
async fn show(storage: &Arc<Storage>, dups: &Dups, changing: Changing) -> Result<Stored, Refused> {
    let (link, content) = (changing.link, changing.content);
    let make = move |storage: &Arc<Storage>| Ok(make_link(storage, &link, &content));
    match storage.on_path(link.path(), Use::Write, make).await.flatten() {
        Ok(()) => {
            let text = link.logic();
            if let Err(error) = dups.on(move |index| index.made(&text)).await {
                tracing::warn!(%error, %link, "index of equal content: left to the next start");
            }
            drop(changing);
            let kept = storage.durable.commit(link.path()).await;
            kept.map_err(|error| Refused::io("make the link", link, &error))?;
            Ok(Stored::Link(link))
        }
        Err(refused) => {
            finish(storage, Some(changing)).await;
            Err(refused)
        }
    }
}

/// Free names: of a link, preceded by that of a file if there is one.
async fn names<const N: usize>(
    storage: &Arc<Storage>,
    path: StorePath,
    new: New,
    file: Option<&NewFile>,
) -> Result<[FileName; N], Refused> {
    let file = file.map(NewFile::share);
    let find = move |storage: &Arc<Storage>| {
        let mtime = file.map(|file| rustix::fs::fstat(&*file)).transpose()?.map(|stat| stat.st_mtime);
        let mut found = Vec::new();
        if let Some(mtime) = mtime {
            found.push(free_name(storage, path, new, mtime, true)?);
        }
        found.push(free_name(storage, path, new, now(), false)?);
        found.try_into().map_err(|_| rustix::io::Errno::EXIST.into())
    };
    storage.on_path(path, Use::Write, find).await
}

fn free_name(
    storage: &Storage,
    path: StorePath,
    new: New,
    timestamp: i64,
    content: bool,
) -> io::Result<FileName> {
    let timestamp = u32::try_from(timestamp).unwrap_or(u32::MAX);
    let source = storage.identity.source;
    for tried in 0..TRIES {
        let blob = Blob::new(source, timestamp, Kind::Normal, new.size, new.crc, fastrand::u32(..));
        let dir = storage.next_dir(&encode27(&blob.encode()));
        let name = match content {
            true => content_name(path, dir, (source, timestamp), (new.size, new.crc), tried),
            false => FileName::generate(path, dir, &blob, new.ext, fastrand::u32(..)),
        };
        match disk::lstat(&storage.paths, &name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(name),
            Err(error) => return Err(error),
            Ok(_) => {}
        }
    }
    Err(rustix::io::Errno::EXIST.into())
}

/// Whether a file has exactly these bytes. One that cannot be read has not.
async fn same(storage: &Arc<Storage>, name: &FileName, file: &NewFile, size: u64) -> bool {
    let opened = || -> io::Result<_> {
        let known = std::fs::File::from(disk::open(&storage.paths, name)?);
        let found = known.metadata()?;
        Ok((found.is_file() && found.len() == size).then_some((Arc::new(known), Arc::new(file.reopen()?))))
    };
    let compared = async {
        let Some((known, new)) = opened()? else { return Ok(false) };
        let mut at = 0;
        while at < size {
            let (known, new) = (Arc::clone(&known), Arc::clone(&new));
            let work = move || equal(&known, &new, at, size.min(at + STEP));
            let equal = match size <= SMALL {
                true => storage.paths.run(name.path(), Use::Read, move |_| work()).await?,
                false => {
                    let dir = storage.paths.dir(name.path());
                    storage.paths.hand_over(dir, Use::Read, move |_| work()).await?
                }
            };
            if !equal {
                return Ok(false);
            }
            at += STEP;
        }
        Ok(true)
    };
    match compared.await {
        Ok(true) => true,
        Ok(false) => {
            tracing::warn!(%name, "index of equal content: this file is not what it was; an upload like it is stored anew");
            false
        }
        Err(error) => {
            let error: io::Error = error;
            tracing::warn!(%error, %name, "index of equal content: this file cannot be read; an upload like it is stored anew");
            false
        }
    }
}

fn equal(one: &std::fs::File, other: &std::fs::File, from: u64, to: u64) -> io::Result<bool> {
    const PIECE: usize = 64 << 10;
    let (mut a, mut b) = ([0; PIECE], [0; PIECE]);
    let mut at = from;
    while at < to {
        let len = usize::try_from(to - at).unwrap_or(PIECE).min(PIECE);
        one.read_exact_at(&mut a[..len], at)?;
        other.read_exact_at(&mut b[..len], at)?;
        if a[..len] != b[..len] {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}
