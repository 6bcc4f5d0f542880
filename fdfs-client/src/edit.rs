//! Changes of files that exist.

use fdfs_core::ident::Extension;
use fdfs_core::metadata::Metadata;
use fdfs_core::wire::edit::{Append, CreateLink, Modify, Truncate};
use fdfs_core::wire::storage::{GroupAndName, MetaMode, SetMetadata};
use fdfs_core::wire::{Text, cmd};

use crate::client::{Again, Client};
use crate::error::ClientError;
use crate::file_id::FileId;
use crate::upload::{Content, Progress, SILENT};
use crate::work::{Answer, Ask, Put};

const LINK: &str = "create link";

impl Client {
    /// Appends to an appender file.
    ///
    /// ```no_run
    /// # async fn example(client: fdfs_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// use fdfs_client::{Content, UploadOptions};
    /// let options = UploadOptions { appender: true, ext: "log".parse()?, ..Default::default() };
    /// let id = client.upload_with(None, Content::Bytes(b"one\n"), &options).await?;
    /// client.append(&id, &Content::Bytes(b"two\n"), None).await?;
    /// client.modify(&id, 0, &Content::Bytes(b"ONE")).await?;
    /// client.truncate(&id, 4).await?;
    /// let fixed = client.regenerate(&id).await?;
    /// assert_eq!(client.download(&fixed, 0, 0).await?, b"ONE\n");
    /// # Ok(()) }
    /// ```
    pub async fn append(
        &self,
        id: &FileId,
        content: &Content<'_>,
        progress: Option<Progress<'_>>,
    ) -> Result<(), ClientError> {
        let mut head = Vec::new();
        Append { size: content.size(), name: id.name.as_bytes() }.put(&mut head);
        self.write("append file", cmd::APPEND_FILE, id, head, content, progress.unwrap_or(SILENT)).await
    }

    /// Overwrites an appender file from `offset`, which is at most its size.
    pub async fn modify(&self, id: &FileId, offset: u64, content: &Content<'_>) -> Result<(), ClientError> {
        let mut head = Vec::new();
        Modify { offset, size: content.size(), name: id.name.as_bytes() }.put(&mut head);
        self.write("modify file", cmd::MODIFY_FILE, id, head, content, SILENT).await
    }

    /// Sets the length of an appender file; a longer one ends in zeros.
    pub async fn truncate(&self, id: &FileId, size: u64) -> Result<(), ClientError> {
        let mut body = Vec::new();
        Truncate { size, name: id.name.as_bytes() }.put(&mut body);
        self.change("truncate file", cmd::TRUNCATE_FILE, id, body).await.map(drop)
    }

    /// Turns an appender file into an ordinary one, whose name carries size and crc; answers the new id.
    pub async fn regenerate(&self, id: &FileId) -> Result<FileId, ClientError> {
        let body = id.name.as_bytes().to_vec();
        self.change("regenerate file ID", cmd::REGENERATE_APPENDER_FILENAME, id, body).await?.id()
    }

    /// Makes a link to a file, or with a master and a prefix a slave's name that shows it; answers its id (storage
    /// 11.12). Storages make these themselves for duplicates; `signature` is that of storage 13, and may be empty.
    pub async fn create_link(
        &self,
        source: &FileId,
        master: Option<(&FileId, &str)>,
        ext: Extension,
        signature: &[u8],
    ) -> Result<FileId, ClientError> {
        let too_long = |_| ClientError::invalid(LINK, "a prefix has at most 16 characters");
        let prefix = Text::new(master.map_or("", |(_, prefix)| prefix).as_bytes()).map_err(too_long)?;
        let mut body = Vec::new();
        let master = master.map_or(&[][..], |(id, _)| id.name.as_bytes());
        let source_name = source.name.as_bytes();
        CreateLink { group: source.group, prefix, ext, master, source: source_name, signature }
            .put(&mut body);
        self.change(LINK, cmd::CREATE_LINK, source, body).await?.id()
    }

    /// Deletes a file and its metadata.
    pub async fn delete(&self, id: &FileId) -> Result<(), ClientError> {
        self.change("delete file", cmd::DELETE_FILE, id, id.body()).await.map(drop)
    }

    /// Sets a file's metadata.
    pub async fn set_metadata(
        &self,
        id: &FileId,
        mode: MetaMode,
        metadata: &Metadata,
    ) -> Result<(), ClientError> {
        let text = metadata.encode();
        let mut body = Vec::new();
        let file = GroupAndName { group: id.group, name: id.name.as_bytes() };
        SetMetadata { mode, file, text: &text }.put(&mut body);
        self.change("set metadata", cmd::SET_METADATA, id, body).await.map(drop)
    }

    /// A change with a short body, at the storage that the tracker names for changes.
    async fn change(
        &self,
        doing: &'static str,
        command: u8,
        id: &FileId,
        body: Vec<u8>,
    ) -> Result<Answer, ClientError> {
        let addr = self.locate(id, true).await?;
        self.on(addr, Again::Never, &Ask { doing, command, flags: 0, body, max: 512 }).await
    }

    /// A change with content.
    async fn write(
        &self,
        doing: &'static str,
        command: u8,
        id: &FileId,
        head: Vec<u8>,
        content: &Content<'_>,
        progress: Progress<'_>,
    ) -> Result<(), ClientError> {
        let addr = self.locate(id, true).await?;
        self.on(addr, Again::Never, &Put { doing, command, head, content, progress }).await.map(drop)
    }
}
