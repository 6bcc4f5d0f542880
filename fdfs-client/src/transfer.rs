//! Content to and from a storage.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;

use fdfs_core::ident::Extension;
use fdfs_core::wire::storage::{Download, GroupAndName, Upload};
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::Peer;

use crate::error::{ClientError, ErrorKind};
use crate::file_id::FileId;

/// Bytes of a download that are held at a time.
const CHUNK: usize = 256 << 10;

pub(crate) enum Content<'a> {
    Bytes(&'a [u8]),
    /// A file and its size in bytes.
    File(&'a File, u64),
}

pub(crate) async fn upload(
    storage: &mut Peer,
    command: u8,
    path: Option<u8>,
    content: Content<'_>,
    ext: Extension,
) -> Result<FileId, ClientError> {
    const DOING: &str = "upload file";
    let size = match content {
        Content::Bytes(bytes) => bytes.len() as u64,
        Content::File(_, size) => size,
    };
    let mut fixed = Vec::with_capacity(Header::SIZE + Upload::HEAD);
    Upload { path, size, ext }.put(&mut fixed);
    let head = Header::request(command, fixed.len() as u64 + size);
    let sent = match content {
        Content::Bytes(bytes) => storage.send(head, &[&fixed, bytes]).await,
        Content::File(file, size) => {
            let before = [&head.encode()[..], &fixed].concat();
            storage.send_file(&before, file.as_fd(), 0, size).await
        }
    };
    // A storage that refuses answers before it has read everything: its answer says more than a broken pipe.
    let answer = storage.recv(512).await;
    let reply = match (sent, answer) {
        (_, Ok(reply)) => reply,
        (Err(error), Err(_)) | (Ok(()), Err(error)) => return Err(ClientError::call(DOING)(error)),
    };
    let refused = |kind| ClientError { doing: DOING, server: Some(storage.addr()), kind };
    if !reply.status.is_ok() {
        return Err(refused(ErrorKind::Status(reply.status)));
    }
    let id =
        GroupAndName::parse(&reply.body).map_err(|bad| ClientError::answer(DOING, storage.addr(), &bad))?;
    Ok(FileId::new(id.group, id.name))
}

/// Hands the content to `sink` piece by piece; answers its length.
pub(crate) async fn download(
    storage: &mut Peer,
    id: &FileId,
    offset: u64,
    count: u64,
    sink: &mut impl FnMut(&[u8]) -> Result<(), ClientError>,
) -> Result<u64, ClientError> {
    const DOING: &str = "download file";
    let mut body = Vec::new();
    let file = GroupAndName { group: id.group, name: id.name.as_bytes() };
    Download { offset, count, file }.put(&mut body);
    let failed = ClientError::call(DOING);
    storage.send(Header::request(cmd::DOWNLOAD_FILE, body.len() as u64), &[&body]).await.map_err(&failed)?;
    let head = storage.recv_head().await.map_err(&failed)?;
    if head.status != 0 {
        let kind = ErrorKind::Status(Status(head.status));
        return Err(ClientError { doing: DOING, server: Some(storage.addr()), kind });
    }
    let len = head.body().unwrap_or(0);
    let mut left = len;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let piece = storage.recv_chunk(most).await.map_err(&failed)?;
        sink(&piece)?;
        left -= piece.len() as u64;
    }
    Ok(len)
}

/// To a temporary file beside `path`, which takes its name when it is whole.
pub(crate) async fn download_to(
    storage: &mut Peer,
    id: &FileId,
    path: &Path,
    offset: u64,
    count: u64,
) -> Result<u64, ClientError> {
    let failed = |error: std::io::Error| ClientError::local("download file", path, &error);
    let mut temp = path.as_os_str().to_owned();
    temp.push(format!(".{}.part", std::process::id()));
    let temp = Path::new(&temp);
    let done = async {
        let mut file = File::create(temp).map_err(failed)?;
        let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(failed);
        let len = download(storage, id, offset, count, &mut write).await?;
        fs::rename(temp, path).map_err(failed)?;
        Ok(len)
    }
    .await;
    if done.is_err() {
        let _ = fs::remove_file(temp);
    }
    done
}
