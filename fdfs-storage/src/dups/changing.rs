//! A link is made or removed, and the index counts it.

use std::io;
use std::sync::Arc;

use fdfs_core::fileid::FileName;
use tokio::sync::OwnedMutexGuard;

use super::Dups;
use super::index::{Content, Index};
use crate::disk::{self, Use};
use crate::service::{Refused, remove};
use crate::storage::Storage;

/// A link that is being made or removed: the index knows of it, whatever happens. To be given to [`finish`].
pub struct Changing {
    pub(super) link: FileName,
    pub(super) content: FileName,
    pub(super) alone: OwnedMutexGuard<()>,
}

/// To be called before a file is removed; `None` when it is no link that is counted.
pub async fn removing(storage: &Storage, name: &FileName) -> Option<Changing> {
    let dups = storage.dups.as_ref().filter(|_| !name.is_metadata())?;
    let begun = begin(storage, dups, name, Begin::Remove).await;
    begun.unwrap_or_else(|error| {
        tracing::warn!(%error, %name, "index of equal content: the content behind this link may stay when it goes");
        None
    })
}

/// To be called before a link to `target` is made; `None` when that is no content that is counted.
pub async fn linking(
    storage: &Storage,
    link: &FileName,
    target: &FileName,
) -> Result<Option<Changing>, Refused> {
    let Some(dups) = &storage.dups else { return Ok(None) };
    let begun = begin(storage, dups, link, Begin::Add(*target)).await;
    // A link that is not counted could lose its content.
    begun.map_err(|error| Refused::io("count a link to", target, &error))
}

#[derive(Clone, Copy)]
enum Begin {
    Remove,
    Add(FileName),
}

async fn begin(storage: &Storage, dups: &Dups, link: &FileName, what: Begin) -> io::Result<Option<Changing>> {
    let text = link.logic();
    let look = move |index: &Index| -> io::Result<Option<(String, Content)>> {
        let name = match what {
            Begin::Remove => index.shown_by(&text)?,
            Begin::Add(target) => Some(target.logic()),
        };
        let Some(name) = name else { return Ok(None) };
        Ok(index.content(&name)?.map(|content| (name, content)))
    };
    let Some((name, content)) = dups.on(look.clone()).await? else { return Ok(None) };
    let alone = dups.alone(&content.signature).await;
    let text = link.logic();
    let entered = move |index: &Index| {
        // It may have gone while the lock was waited for.
        let Some((found, content)) = look(index)?.filter(|(found, _)| *found == name) else {
            return Ok(None);
        };
        match what {
            Begin::Remove => index.begin_remove(&found, &text)?,
            Begin::Add(_) => index.begin_more(&found, content, &text)?,
        }
        Ok(Some(found))
    };
    let Some(found) = dups.on(entered).await? else { return Ok(None) };
    let content = FileName::parse(found.as_bytes(), storage.paths.count()).map_err(io::Error::other)?;
    Ok(Some(Changing { link: *link, content, alone }))
}

/// Looks at the disk for what became of the link. A content without links is removed.
pub async fn finish(storage: &Arc<Storage>, changing: Option<Changing>) {
    let (Some(dups), Some(Changing { link, content, alone })) = (&storage.dups, changing) else { return };
    if let Err(Refused::Status { why, .. }) = settle(storage, dups, link, content).await {
        tracing::warn!(%link, %content, why, "index of equal content: left to the next start");
    }
    drop(alone);
}

async fn settle(storage: &Arc<Storage>, dups: &Dups, link: FileName, name: FileName) -> Result<(), Refused> {
    let text = link.logic();
    let failed = |error: io::Error| Refused::io("count the links to", name, &error);
    if is_there(storage, link).await? {
        return dups.on(move |index| index.made(&text)).await.map_err(failed);
    }
    let (link, logic) = (text.clone(), name.logic());
    let last = dups.on(move |index| index.removed(&logic, &link)).await.map_err(failed)?;
    let Some(content) = last else { return Ok(()) };
    drop_content(storage, dups, name, content, text).await
}

/// Removes a content that no link shows; `link` was the last one.
pub(super) async fn drop_content(
    storage: &Arc<Storage>,
    dups: &Dups,
    name: FileName,
    content: Content,
    link: String,
) -> Result<(), Refused> {
    if is_there(storage, name).await? {
        storage.on_file(&name, move |storage| Ok(remove(storage, &[name]))).await??;
    }
    let logic = name.logic();
    let forgotten = dups.on(move |index| index.forget(&logic, &content, &link)).await;
    forgotten.map_err(|error| Refused::io("forget", name, &error))
}

async fn is_there(storage: &Arc<Storage>, name: FileName) -> Result<bool, Refused> {
    let look = move |storage: &Arc<Storage>| match disk::lstat(&storage.paths, &name) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    };
    storage.on_path(name.path(), Use::Read, look).await
}
