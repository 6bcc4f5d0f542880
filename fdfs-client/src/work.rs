//! What is done on a connection to a storage: values that can be run once more, on another connection.

use std::future::Future;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use bytes::Bytes;
use fdfs_core::wire::storage::GroupAndName;
use fdfs_core::wire::{BadMessage, Header};
use fdfs_net::{CallError, Peer};

use crate::error::{ClientError, ErrorKind};
use crate::file_id::FileId;
use crate::upload::{Content, Progress};

/// Bytes handed to the kernel between two reports of progress.
const STEP: u64 = 4 << 20;

/// One exchange with a storage.
pub(crate) trait Work: Sync {
    /// What comes out.
    type Output: Send;
    /// What it is called in errors.
    fn doing(&self) -> &'static str;
    /// Does it.
    fn run(&self, peer: &mut Peer) -> impl Future<Output = Result<Self::Output, ClientError>> + Send;
}

/// The body of an answer, and who gave it.
pub(crate) struct Answer {
    pub body: Bytes,
    from: SocketAddr,
    doing: &'static str,
}

impl Answer {
    /// Reads it.
    pub fn parse<T>(&self, parse: impl FnOnce(&[u8]) -> Result<T, BadMessage>) -> Result<T, ClientError> {
        parse(&self.body).map_err(|bad| ClientError::answer(self.doing, self.from, &bad))
    }

    /// Reads a file id.
    pub fn id(&self) -> Result<FileId, ClientError> {
        let id = GroupAndName::parse(&self.body);
        let id = id.map_err(|bad| ClientError::answer(self.doing, self.from, &bad))?;
        Ok(FileId::new(id.group, id.name))
    }
}

/// A short request.
pub(crate) struct Ask {
    pub doing: &'static str,
    pub command: u8,
    /// Status byte of the request.
    pub flags: u8,
    pub body: Vec<u8>,
    /// Longest answer that is taken, bytes.
    pub max: usize,
}

impl Work for Ask {
    type Output = Answer;

    fn doing(&self) -> &'static str {
        self.doing
    }

    async fn run(&self, peer: &mut Peer) -> Result<Answer, ClientError> {
        let reply = peer.call(self.command, self.flags, &self.body, self.max).await;
        finish(self.doing, peer, reply)
    }
}

/// A request with content behind its head.
pub(crate) struct Put<'a> {
    pub doing: &'static str,
    pub command: u8,
    pub head: Vec<u8>,
    pub content: &'a Content<'a>,
    pub progress: Progress<'a>,
}

impl Work for Put<'_> {
    type Output = Answer;

    fn doing(&self) -> &'static str {
        self.doing
    }

    async fn run(&self, peer: &mut Peer) -> Result<Answer, ClientError> {
        let header = Header::request(self.command, self.head.len() as u64 + self.content.size());
        let sent = match self.content {
            Content::Bytes(bytes) => peer.send(header, &[&self.head, bytes]).await,
            Content::File(file, size) => self.send_file(peer, header, file.as_fd(), *size).await,
        };
        // A storage that refuses answers before it has read everything: its answer says more than a broken pipe.
        let answer = peer.recv(512).await;
        let reply = match (sent, answer) {
            (_, Ok(reply)) => Ok(reply),
            (Err(error), Err(_)) | (Ok(()), Err(error)) => Err(error),
        };
        finish(self.doing, peer, reply)
    }
}

impl Put<'_> {
    async fn send_file(
        &self,
        peer: &mut Peer,
        header: Header,
        file: std::os::fd::BorrowedFd<'_>,
        size: u64,
    ) -> Result<(), CallError> {
        let before = [&header.encode()[..], &self.head].concat();
        let mut at = size.min(STEP);
        peer.send_file(&before, file, 0, at).await?;
        (self.progress)(at, size);
        while at < size {
            let step = (size - at).min(STEP);
            peer.send_file(&[], file, at, step).await?;
            at += step;
            (self.progress)(at, size);
        }
        Ok(())
    }
}

fn finish(
    doing: &'static str,
    peer: &Peer,
    reply: Result<fdfs_net::Reply, CallError>,
) -> Result<Answer, ClientError> {
    let from = peer.addr();
    let reply = reply.map_err(ClientError::call(doing))?;
    match reply.status.is_ok() {
        true => Ok(Answer { body: reply.body, from, doing }),
        false => Err(ClientError { doing, server: Some(from), kind: ErrorKind::Status(reply.status) }),
    }
}
