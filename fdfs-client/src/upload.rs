//! New files: ordinary, appender and slave.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use fdfs_core::ident::{Extension, GroupName};
use fdfs_core::wire::edit::UploadSlave;
use fdfs_core::wire::storage::Upload;
use fdfs_core::wire::{Header, Status, Text, cmd};

use crate::client::{Again, Client, Target};
use crate::error::{ClientError, ErrorKind};
use crate::file_id::FileId;
use crate::work::Put;

const DOING: &str = "upload file";
const SLAVE: &str = "upload slave file";

/// What is uploaded or appended.
pub enum Content<'a> {
    /// Bytes in memory.
    Bytes(&'a [u8]),
    /// An open file and how many of its bytes, from its start.
    File(&'a File, u64),
}

/// Told how many bytes of how many have gone through.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// No report.
pub(crate) const SILENT: Progress<'static> = &|_, _| ();

impl<'a> Content<'a> {
    /// The whole of an open regular file.
    pub fn of(file: &'a File, name: &Path) -> Result<Self, ClientError> {
        let meta = file.metadata().map_err(|error| ClientError::local(DOING, name, &error))?;
        match meta.is_file() {
            true => Ok(Self::File(file, meta.len())),
            false => Err(ClientError::invalid(DOING, format!("{} is no regular file", name.display()))),
        }
    }

    /// Length in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_, size) => *size,
        }
    }
}

/// How a file is uploaded.
#[derive(Default)]
pub struct UploadOptions<'a> {
    /// An appender file, which can be changed later.
    pub appender: bool,
    /// The extension of the new name, without a dot.
    pub ext: Extension,
    /// Told of the progress.
    pub progress: Option<Progress<'a>>,
}

impl Client {
    /// Uploads bytes to a storage that the tracker chooses.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use fdfs_client::Client;
    /// let client = Client::connect(&["127.0.0.1:22122".parse()?])?;
    /// let id = client.upload(b"hello", "txt".parse()?).await?;
    /// assert_eq!(client.download(&id, 0, 0).await?, b"hello");
    /// client.delete(&id).await?;
    /// # Ok(()) }
    /// ```
    pub async fn upload(&self, content: &[u8], ext: Extension) -> Result<FileId, ClientError> {
        self.upload_with(None, Content::Bytes(content), &UploadOptions { ext, ..Default::default() }).await
    }

    /// Uploads a local file; its extension is that of its name.
    pub async fn upload_file(&self, path: &Path) -> Result<FileId, ClientError> {
        let file = File::open(path).map_err(|error| ClientError::local(DOING, path, &error))?;
        let ext = Extension::of_path(&path.to_string_lossy());
        self.upload_with(None, Content::of(&file, path)?, &UploadOptions { ext, ..Default::default() }).await
    }

    /// Uploads to a storage of `group`, or of any. A storage that cannot be reached or is full is replaced by another one
    /// of the group.
    pub async fn upload_with(
        &self,
        group: Option<GroupName>,
        content: Content<'_>,
        options: &UploadOptions<'_>,
    ) -> Result<FileId, ClientError> {
        let first = self.store(group).await?;
        let error = match self.upload_to(first, &content, options).await {
            Err(error) if replaceable(&error) => error,
            done => return done,
        };
        let Ok(others) = self.stores(group).await else { return Err(error) };
        for target in others.into_iter().filter(|target| target.addr != first.addr) {
            match self.upload_to(target, &content, options).await {
                Err(error) if replaceable(&error) => {}
                done => return done,
            }
        }
        Err(error)
    }

    /// Uploads to one storage.
    pub async fn upload_to(
        &self,
        target: Target,
        content: &Content<'_>,
        options: &UploadOptions<'_>,
    ) -> Result<FileId, ClientError> {
        let command = if options.appender { cmd::UPLOAD_APPENDER_FILE } else { cmd::UPLOAD_FILE };
        let mut head = Vec::with_capacity(Header::SIZE + Upload::HEAD);
        Upload { path: target.path, size: content.size(), ext: options.ext }.put(&mut head);
        let progress = options.progress.unwrap_or(SILENT);
        let put = Put { doing: DOING, command, head, content, progress };
        self.on(target.addr, Again::Never, &put).await?.id()
    }

    /// Uploads a slave: a file whose name is its master's with `prefix` and the extension, say a thumbnail.
    pub async fn upload_slave(
        &self,
        master: &FileId,
        prefix: &str,
        ext: Extension,
        content: &Content<'_>,
    ) -> Result<FileId, ClientError> {
        let prefix = Text::new(prefix.as_bytes())
            .map_err(|_| ClientError::invalid(SLAVE, "a prefix has at most 16 characters"))?;
        let mut head = Vec::new();
        UploadSlave { size: content.size(), prefix, ext, master: master.name.as_bytes() }.put(&mut head);
        let addr = self.locate(master, true).await?;
        let put = Put { doing: SLAVE, command: cmd::UPLOAD_SLAVE_FILE, head, content, progress: SILENT };
        self.on(addr, Again::Never, &put).await?.id()
    }
}

/// Reads what has no length beforehand, as standard input, into a file without a name in `dir`.
pub fn spool(input: &mut impl Read, dir: &Path) -> Result<File, ClientError> {
    let failed = |error: std::io::Error| ClientError::local(DOING, dir, &error);
    let mut file = tempfile::tempfile_in(dir).map_err(failed)?;
    std::io::copy(input, &mut file).map_err(failed)?;
    Ok(file)
}

/// Another storage may be tried: this one was never reached, or it refused for want of space.
fn replaceable(error: &ClientError) -> bool {
    match &error.kind {
        ErrorKind::Connect(..) => true,
        ErrorKind::Status(status) => *status == Status::NOSPC,
        _ => false,
    }
}
