//! What clients and peers ask of a storage (storage 8, 11, 12).

mod buffer;
mod delete;
mod download;
mod edit;
mod info;
mod link;
mod metadata;
mod refuse;
mod upload;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use fdfs_core::fileid::{FileName, StorePath};
use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::wire::{Header, MinCopies, Status, cmd};
use fdfs_net::{Conn, ConnError, Flow, Service};

use crate::access::{self, AccessLog, Line};
use crate::copies::Wish;
use crate::disk::Use;
use crate::lag;
use crate::storage::Storage;
use crate::sync;
pub use buffer::Buffer;
pub(crate) use delete::{complete as complete_delete, deleted, earliest_delete, remove, unlink};
pub(crate) use link::make as make_link;
pub use refuse::Refused;
pub(crate) use upload::receive as receive_content;

/// The service of a storage.
pub struct StorageService(pub Arc<Storage>);

/// A connection.
#[derive(Default)]
pub struct Session {
    /// Who connected.
    client: Option<IpAddr>,
    /// The member that it said to be (command 9).
    pub peer: Option<StorageId>,
    /// It tells up to when its changes are here (command 201), other than by the times of its records.
    pub tells_times: bool,
    /// How many copies its changes wait for.
    pub wish: Option<Wish>,
    /// The stream that the connection belongs to.
    pub fence: crate::sync::Fence,
}

/// How a request ended when it did not fail with the connection.
pub type Answer = Result<(), Refused>;

impl Service for StorageService {
    type Session = Session;

    fn connected(self: &Arc<Self>, peer: SocketAddr, _: SocketAddr) -> Session {
        let wish = Wish::configured(&self.0.settings);
        Session { client: Some(peer.ip()), wish, ..Session::default() }
    }

    async fn handle(
        self: &Arc<Self>,
        session: &mut Session,
        conn: &mut Conn,
        head: Header,
    ) -> Result<Flow, ConnError> {
        let storage = &self.0;
        let left = head.body().unwrap_or(0);
        let (logged, wish) = (storage.access.is_some(), session.wish);
        let mut body = Body { left, name: None, sent: 0, logged, wish };
        let begin = body.logged.then(|| (SystemTime::now(), Instant::now(), conn.out().len()));
        let answer = match head.cmd {
            cmd::UPLOAD_FILE | cmd::UPLOAD_APPENDER_FILE => {
                upload::upload(storage, conn, head, &mut body).await
            }
            cmd::UPLOAD_SLAVE_FILE => upload::slave(storage, conn, head, &mut body).await,
            cmd::DOWNLOAD_FILE => download::download(storage, conn, head, &mut body).await,
            cmd::APPEND_FILE => edit::append(storage, conn, &mut body).await,
            cmd::MODIFY_FILE => edit::modify(storage, conn, &mut body).await,
            cmd::TRUNCATE_FILE => edit::truncate(storage, conn, head, &mut body).await,
            cmd::REGENERATE_APPENDER_FILENAME => edit::regenerate(storage, conn, head, &mut body).await,
            cmd::CREATE_LINK => link::create(storage, conn, head, &mut body).await,
            cmd::DELETE_FILE => delete::delete(storage, conn, head, &mut body).await,
            cmd::SET_METADATA => metadata::set(storage, conn, head, &mut body).await,
            cmd::GET_METADATA => metadata::get(storage, conn, head, &mut body).await,
            cmd::QUERY_FILE_INFO => info::query(storage, conn, head, &mut body).await,
            cmd::LAG => lag::tell(storage, conn, head, &mut body).await,
            cmd::MIN_COPIES => min_copies(storage, session, conn, head, &mut body).await,
            _ => sync::receive(storage, session, conn, head, &mut body).await,
        };
        if let (Some(log), Some(begin)) = (&storage.access, begin) {
            note(log, session, &head, &body, begin, &answer, conn.out().len());
        }
        match answer {
            Ok(()) => Ok(Flow::Keep),
            Err(Refused::Conn(error)) => Err(error),
            Err(Refused::Status { status, why }) => {
                let pipelined = session.tells_times;
                refuse::answer(conn, &head, &body, status, &why, pipelined).await
            }
        }
    }
}

/// How many copies the changes on this connection wait for from now on.
async fn min_copies(
    storage: &Storage,
    session: &mut Session,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let asked = MinCopies::parse(&body.whole(conn, &head).await?)?;
    session.wish = Wish::asked(&storage.settings, asked);
    conn.reply_status(Status::OK);
    Ok(())
}

/// A line for the access log.
fn note(
    log: &AccessLog,
    session: &Session,
    head: &Header,
    body: &Body,
    (at, since, before): (SystemTime, Instant, usize),
    answer: &Answer,
    after: usize,
) {
    let (Some(action), Some(client)) = (access::action(head.cmd), session.client) else { return };
    let status = match answer {
        Ok(()) => Status::OK,
        Err(Refused::Status { status, .. }) => *status,
        Err(Refused::Conn(_)) => Status::CONNRESET,
    };
    let request = Header::SIZE as u64 + head.body().unwrap_or(0);
    // A refusal is a header alone.
    let answer = match answer {
        Ok(()) => (after.saturating_sub(before) as u64).max(Header::SIZE as u64) + body.sent,
        Err(_) => Header::SIZE as u64,
    };
    let name = body.name.as_deref();
    log.note(&Line { at, client, action, name, status: status.0, took: since.elapsed(), request, answer });
}

/// How much of a body has not been taken, and what is known of the request.
pub struct Body {
    /// Bytes.
    pub left: u64,
    /// The file, for the access log.
    name: Option<String>,
    /// Bytes of the answer that went to the client by another way than its buffer.
    sent: u64,
    logged: bool,
    /// Copies that the answer to a change waits for.
    wish: Option<Wish>,
}

impl Body {
    /// Tells the access log which file it is.
    fn names(&mut self, name: impl FnOnce() -> String) {
        if self.logged {
            self.name = Some(name());
        }
    }

    /// To be called when `files` are changed, before the answer: waits until as many members as wanted have it.
    async fn copied<F: IntoIterator<Item = FileName>>(
        &self,
        storage: &Storage,
        conn: &mut Conn,
        files: impl FnOnce() -> F,
    ) -> Result<(), Refused> {
        let Some(wish) = self.wish else { return Ok(()) };
        // Answers to earlier requests do not wait.
        conn.flush().await?;
        storage.wait_copies(wish, files()).await
    }

    /// The whole body, which is small.
    pub async fn whole(&mut self, conn: &mut Conn, head: &Header) -> Result<bytes::Bytes, Refused> {
        let body = match conn.body(head).await {
            Err(ConnError::TooLong { len, max }) => {
                return Err(Refused::invalid(format!("a body of {len} bytes, at most {max} are taken")));
            }
            done => done?,
        };
        self.left = 0;
        Ok(body)
    }

    /// The next `n` bytes.
    pub async fn take(&mut self, conn: &mut Conn, n: usize) -> Result<bytes::Bytes, Refused> {
        if self.left < n as u64 {
            return Err(Refused::invalid(format!("a body with {} of {n} bytes of its head", self.left)));
        }
        let bytes = conn.take(n).await?;
        self.left -= n as u64;
        Ok(bytes)
    }

    /// Up to `buf.len()` bytes of what is left.
    pub async fn read(&mut self, conn: &mut Conn, buf: &mut [u8]) -> Result<usize, Refused> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let got = conn.read_into(&mut buf[..most]).await?;
        self.left -= got as u64;
        Ok(got)
    }

    /// Reads and forgets the rest.
    pub async fn discard(&mut self, conn: &mut Conn) -> Result<(), Refused> {
        conn.discard(self.left).await?;
        self.left = 0;
        Ok(())
    }
}

impl Storage {
    /// Runs disk work on a path where its disk allows, see [`crate::disk::StorePaths::run`].
    pub async fn on_path<T: Send + 'static>(
        self: &Arc<Self>,
        path: StorePath,
        usage: Use,
        work: impl FnOnce(&Arc<Self>) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Refused> {
        let storage = Arc::clone(self);
        let done = self.paths.run(path, usage, move |_| work(&storage)).await;
        done.map_err(|error| Refused::io("work on", self.paths.base(path).display(), &error))
    }

    /// As [`Storage::on_path`] for work that locks a file: while another thread holds the lock, perhaps for a large change, the
    /// path's threads wait for it and not this one.
    pub async fn on_file<T: Send + 'static>(
        self: &Arc<Self>,
        name: &FileName,
        work: impl FnOnce(&Arc<Self>) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Refused> {
        if !self.is_locked(name) {
            return self.on_path(name.path(), Use::Write, work).await;
        }
        let storage = Arc::clone(self);
        let done =
            self.paths.hand_over(self.paths.dir(name.path()), Use::Write, move |_| work(&storage)).await;
        done.map_err(|error| Refused::io("work on", name, &error))
    }

    /// A name of this group that came from outside.
    pub fn name(&self, group: GroupName, name: &[u8]) -> Result<FileName, Refused> {
        if group != self.identity.group {
            let own = self.identity.group;
            return Err(Refused::invalid(format!("group {group}, this storage belongs to {own}")));
        }
        FileName::parse(name, self.paths.count()).map_err(|error| Refused::Status {
            status: error.status(),
            why: format!("{error}: {}", String::from_utf8_lossy(name)),
        })
    }
}

/// Refuses what no part of this storage answers.
pub fn unknown(head: &Header) -> Refused {
    Refused::Status { status: Status::INVAL, why: format!("unknown command {}", head.cmd) }
}
