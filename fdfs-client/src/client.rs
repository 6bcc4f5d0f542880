//! What can be asked of a cluster.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use fdfs_core::ident::{Extension, GroupName};
use fdfs_core::metadata::Metadata;
use fdfs_core::settings::ClientSettings;
use fdfs_core::wire::cmd;
use fdfs_core::wire::list::{GroupRecord, StorageRecord};
use fdfs_core::wire::query::{FetchTarget, FileQuery, StoreTarget, put_group};
use fdfs_core::wire::storage::{FileInfo, GroupAndName, MetaMode, SetMetadata};
use fdfs_net::{Peer, Timeouts};

use crate::error::ClientError;
use crate::file_id::FileId;
use crate::trackers::{Trackers, timeouts};
use crate::transfer::{self, Content};

/// Largest metadata of a file.
const METADATA_MAX: usize = 64 << 20;

/// A cluster.
pub struct Client {
    trackers: Trackers,
    timeouts: Timeouts,
}

/// Where an upload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The storage.
    pub addr: SocketAddr,
    /// The store path; `None` lets the storage choose.
    pub path: Option<u8>,
}

impl Client {
    /// With the trackers of these settings; nothing is connected yet.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        Ok(Self { trackers: Trackers::new(settings)?, timeouts: timeouts(settings) })
    }

    /// The trackers, sorted.
    pub fn trackers(&self) -> &[SocketAddr] {
        self.trackers.addrs()
    }

    /// A storage for a new file, of `group` or of the group that the tracker chooses.
    pub async fn store(&self, group: Option<GroupName>) -> Result<Target, ClientError> {
        const DOING: &str = "tracker_query_storage";
        let mut body = Vec::new();
        let command = match group {
            None => cmd::QUERY_STORE_WITHOUT_GROUP_ONE,
            Some(group) => {
                put_group(&mut body, group);
                cmd::QUERY_STORE_WITH_GROUP_ONE
            }
        };
        let (tracker, answer) = self.trackers.ask(DOING, command, &body).await?;
        let target = StoreTarget::parse(&answer).map_err(|bad| ClientError::answer(DOING, tracker, &bad))?;
        let path = (target.path != 0xFF).then_some(target.path);
        Ok(Target { addr: target.addr, path })
    }

    /// Uploads bytes.
    pub async fn upload(
        &self,
        target: Target,
        content: &[u8],
        ext: Extension,
    ) -> Result<FileId, ClientError> {
        self.upload_as(cmd::UPLOAD_FILE, target, Content::Bytes(content), ext).await
    }

    /// Uploads a local file; its extension is that of its name.
    pub async fn upload_file(
        &self,
        target: Target,
        path: &Path,
        appender: bool,
    ) -> Result<FileId, ClientError> {
        let failed = |error: std::io::Error| ClientError::local("upload file", path, &error);
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(ClientError::invalid(
                "upload file",
                format!("{} is no regular file", path.display()),
            ));
        }
        let ext = Extension::of_path(&path.to_string_lossy());
        let command = if appender { cmd::UPLOAD_APPENDER_FILE } else { cmd::UPLOAD_FILE };
        self.upload_as(command, target, Content::File(&file, meta.len()), ext).await
    }

    async fn upload_as(
        &self,
        command: u8,
        target: Target,
        content: Content<'_>,
        ext: Extension,
    ) -> Result<FileId, ClientError> {
        let mut storage = self.connect("upload file", target.addr).await?;
        transfer::upload(&mut storage, command, target.path, content, ext).await
    }

    /// Downloads into memory; `count` 0 is all from `offset`.
    pub async fn download(&self, id: &FileId, offset: u64, count: u64) -> Result<Vec<u8>, ClientError> {
        let mut storage = self.connect("download file", self.fetch(cmd::QUERY_FETCH_ONE, id).await?).await?;
        let mut content = Vec::new();
        let mut all = |bytes: &[u8]| {
            content.extend_from_slice(bytes);
            Ok(())
        };
        transfer::download(&mut storage, id, offset, count, &mut all).await?;
        Ok(content)
    }

    /// Downloads to a local file, which appears when it is whole.
    pub async fn download_to(
        &self,
        id: &FileId,
        path: &Path,
        offset: u64,
        count: u64,
    ) -> Result<u64, ClientError> {
        let mut storage = self.connect("download file", self.fetch(cmd::QUERY_FETCH_ONE, id).await?).await?;
        transfer::download_to(&mut storage, id, path, offset, count).await
    }

    /// Deletes a file and its metadata.
    pub async fn delete(&self, id: &FileId) -> Result<(), ClientError> {
        self.simple("delete file", cmd::QUERY_UPDATE, cmd::DELETE_FILE, 0, id, 0).await.map(drop)
    }

    /// A file's metadata.
    pub async fn metadata(&self, id: &FileId) -> Result<Metadata, ClientError> {
        let text =
            self.simple("get metadata", cmd::QUERY_UPDATE, cmd::GET_METADATA, 0, id, METADATA_MAX).await?;
        Ok(Metadata::parse(&text))
    }

    /// Sets a file's metadata.
    pub async fn set_metadata(
        &self,
        id: &FileId,
        mode: MetaMode,
        metadata: &Metadata,
    ) -> Result<(), ClientError> {
        const DOING: &str = "set metadata";
        let mut storage = self.connect(DOING, self.fetch(cmd::QUERY_UPDATE, id).await?).await?;
        let text = metadata.encode();
        let mut body = Vec::new();
        let file = GroupAndName { group: id.group, name: id.name.as_bytes() };
        SetMetadata { mode, file, text: &text }.put(&mut body);
        storage.ask(cmd::SET_METADATA, &body, 0).await.map_err(ClientError::call(DOING)).map(drop)
    }

    /// What a storage knows of a file; `flags` of [`fdfs_core::wire::storage::info_flags`].
    pub async fn file_info(&self, id: &FileId, flags: u8) -> Result<FileInfo, ClientError> {
        const DOING: &str = "query file info";
        let addr = self.fetch(cmd::QUERY_FETCH_ONE, id).await?;
        let answer = self.at(addr, DOING, cmd::QUERY_FILE_INFO, flags, id, 256).await?;
        FileInfo::parse(&answer).map_err(|bad| ClientError::answer(DOING, addr, &bad))
    }

    /// All groups.
    pub async fn groups(&self) -> Result<(SocketAddr, Vec<GroupRecord>), ClientError> {
        const DOING: &str = "list groups";
        let (tracker, answer) = self.trackers.ask(DOING, cmd::LIST_ALL_GROUPS, b"").await?;
        let all =
            GroupRecord::parse_list(&answer).map_err(|bad| ClientError::answer(DOING, tracker, &bad))?;
        Ok((tracker, all))
    }

    /// The storages of a group.
    pub async fn storages(&self, group: GroupName) -> Result<Vec<StorageRecord>, ClientError> {
        const DOING: &str = "list storages";
        let mut body = Vec::new();
        put_group(&mut body, group);
        let (tracker, answer) = self.trackers.ask(DOING, cmd::LIST_STORAGE, &body).await?;
        StorageRecord::parse_list(&answer).map_err(|bad| ClientError::answer(DOING, tracker, &bad))
    }

    async fn fetch(&self, command: u8, id: &FileId) -> Result<SocketAddr, ClientError> {
        const DOING: &str = "tracker_query_storage";
        let mut body = Vec::new();
        FileQuery { group: id.group, name: id.name.as_bytes() }.put(&mut body);
        let (tracker, answer) = self.trackers.ask(DOING, command, &body).await?;
        let target = FetchTarget::parse(&answer).map_err(|bad| ClientError::answer(DOING, tracker, &bad))?;
        Ok(target.addr)
    }

    async fn simple(
        &self,
        doing: &'static str,
        query: u8,
        command: u8,
        status: u8,
        id: &FileId,
        max: usize,
    ) -> Result<Bytes, ClientError> {
        let addr = self.fetch(query, id).await?;
        self.at(addr, doing, command, status, id, max).await
    }

    async fn at(
        &self,
        addr: SocketAddr,
        doing: &'static str,
        command: u8,
        status: u8,
        id: &FileId,
        max: usize,
    ) -> Result<Bytes, ClientError> {
        let mut storage = self.connect(doing, addr).await?;
        let mut body = Vec::new();
        GroupAndName { group: id.group, name: id.name.as_bytes() }.put(&mut body);
        let reply = storage.call(command, status, &body, max).await.map_err(ClientError::call(doing))?;
        match reply.status.is_ok() {
            true => Ok(reply.body),
            false => {
                Err(ClientError { doing, server: Some(addr), kind: crate::ErrorKind::Status(reply.status) })
            }
        }
    }

    async fn connect(&self, doing: &'static str, addr: SocketAddr) -> Result<Peer, ClientError> {
        Peer::connect(addr, self.timeouts, None).await.map_err(ClientError::call(doing))
    }
}
