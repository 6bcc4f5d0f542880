//! Reads: content, metadata, file info.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use fdfs_core::metadata::Metadata;
use fdfs_core::wire::storage::{Download, FileInfo, GroupAndName};
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::Peer;

use crate::client::Client;
use crate::error::{ClientError, ErrorKind};
use crate::file_id::FileId;
use crate::upload::{Progress, SILENT};
use crate::work::{Ask, Work};

/// Bytes of a download that are held at a time.
const CHUNK: usize = 256 << 10;
/// Largest metadata of a file.
const METADATA_MAX: usize = 64 << 20;
const DOING: &str = "download file";

impl Client {
    /// Downloads into memory; `count` 0 is all from `offset`.
    pub async fn download(&self, id: &FileId, offset: u64, count: u64) -> Result<Vec<u8>, ClientError> {
        let content = Mutex::new(Vec::new());
        self.read(id, &Get { id, offset, count, sink: &content, progress: SILENT }).await?;
        Ok(content.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Downloads to a local file, which appears when it is whole; answers its length. A pipe or a device gets the bytes
    /// as they come.
    pub async fn download_to(
        &self,
        id: &FileId,
        path: &Path,
        offset: u64,
        count: u64,
        progress: Option<Progress<'_>>,
    ) -> Result<u64, ClientError> {
        let progress = progress.unwrap_or(SILENT);
        let failed = |error: std::io::Error| ClientError::local(DOING, path, &error);
        if fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir()) {
            let file = Out::new(File::options().write(true).open(path).map_err(failed)?);
            return self.read(id, &Get { id, offset, count, sink: &file, progress }).await;
        }
        let mut temp = path.as_os_str().to_owned();
        temp.push(format!(".{}.part", std::process::id()));
        let temp = Path::new(&temp);
        let done = async {
            let file = Out::new(File::create(temp).map_err(failed)?);
            let len = self.read(id, &Get { id, offset, count, sink: &file, progress }).await?;
            fs::rename(temp, path).map_err(failed)?;
            Ok(len)
        }
        .await;
        if done.is_err() {
            let _ = fs::remove_file(temp);
        }
        done
    }

    /// A file's metadata. None is status 2.
    pub async fn metadata(&self, id: &FileId) -> Result<Metadata, ClientError> {
        let ask = Ask {
            doing: "get metadata",
            command: cmd::GET_METADATA,
            flags: 0,
            body: id.body(),
            max: METADATA_MAX,
        };
        Ok(Metadata::parse(&self.read(id, &ask).await?.body))
    }

    /// What a storage knows of a file; `flags` of [`fdfs_core::wire::storage::info_flags`].
    pub async fn file_info(&self, id: &FileId, flags: u8) -> Result<FileInfo, ClientError> {
        let ask =
            Ask { doing: "query file info", command: cmd::QUERY_FILE_INFO, flags, body: id.body(), max: 256 };
        self.read(id, &ask).await?.parse(FileInfo::parse)
    }
}

/// Where content goes. A second try starts over.
trait Sink: Sync {
    fn restart(&self) -> std::io::Result<()>;
    fn put(&self, bytes: &[u8]) -> std::io::Result<()>;
}

impl Sink for Mutex<Vec<u8>> {
    fn restart(&self) -> std::io::Result<()> {
        self.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(())
    }

    fn put(&self, bytes: &[u8]) -> std::io::Result<()> {
        self.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(())
    }
}

/// A local file, or a pipe or device that cannot start over once it has bytes.
struct Out(Mutex<(File, bool)>);

impl Out {
    fn new(file: File) -> Self {
        Self(Mutex::new((file, false)))
    }
}

impl Sink for Out {
    fn restart(&self) -> std::io::Result<()> {
        let (file, has_bytes) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match file.metadata()?.is_file() {
            true => file.set_len(0).and_then(|()| file.rewind()),
            false if *has_bytes => {
                Err(std::io::Error::other("the transfer broke off, and a pipe cannot start over"))
            }
            false => Ok(()),
        }
    }

    fn put(&self, bytes: &[u8]) -> std::io::Result<()> {
        let (file, has_bytes) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *has_bytes = true;
        file.write_all(bytes)
    }
}

/// A download; its output is the number of bytes.
struct Get<'a, S> {
    id: &'a FileId,
    offset: u64,
    count: u64,
    sink: &'a S,
    progress: Progress<'a>,
}

impl<S: Sink> Work for Get<'_, S> {
    type Output = u64;

    fn doing(&self) -> &'static str {
        DOING
    }

    async fn run(&self, storage: &mut Peer) -> Result<u64, ClientError> {
        let local = |error: std::io::Error| ClientError::local(DOING, Path::new("local file"), &error);
        self.sink.restart().map_err(local)?;
        let mut body = Vec::new();
        let file = GroupAndName { group: self.id.group, name: self.id.name.as_bytes() };
        Download { offset: self.offset, count: self.count, file }.put(&mut body);
        let failed = ClientError::call(DOING);
        let header = Header::request(cmd::DOWNLOAD_FILE, body.len() as u64);
        storage.send(header, &[&body]).await.map_err(&failed)?;
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
            self.sink.put(&piece).map_err(local)?;
            left -= piece.len() as u64;
            (self.progress)(len - left, len);
        }
        Ok(len)
    }
}
