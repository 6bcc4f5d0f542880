//! The cluster as a whole: which server, and what to do when it does not answer.

use std::net::SocketAddr;
use std::time::Duration;

use fdfs_core::ident::GroupName;
use fdfs_core::settings::ClientSettings;
use fdfs_core::wire::query::{
    FetchTarget, FileQuery, StoreTarget, parse_fetch_all, parse_store_all, put_group,
};
use fdfs_core::wire::{MinCopies, Status, cmd};
use fdfs_net::Timeouts;
use zerocopy::IntoBytes;

use crate::error::{ClientError, ErrorKind};
use crate::file_id::FileId;
use crate::pool::Pool;
use crate::trackers::{Trackers, timeouts};
use crate::work::{Ask, Work};

/// How long [`Client::connect`] keeps an idle connection: less than daemons keep it (`network_timeout`, 30 s and more).
const IDLE_MAX: Duration = Duration::from_secs(25);

/// What failures of a tracker's choice of a storage are called; the tools print it.
pub(crate) const QUERY: &str = "tracker_query_storage";

/// A cluster. Calls may be made from several tasks at once.
///
/// A tracker that does not answer is stepped over. A storage that cannot be reached is replaced by another one where
/// that is safe: for reads always, for uploads while nothing has been sent. A change that was sent and not answered is
/// reported as failed, and never sent twice.
pub struct Client {
    pub(crate) trackers: Trackers,
    pub(crate) pool: Pool,
    /// What changes wait for; nothing: as each storage is configured.
    copies: Option<MinCopies>,
}

/// Where an upload goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// The storage.
    pub addr: SocketAddr,
    /// The store path; `None` lets the storage choose.
    pub path: Option<u8>,
}

/// Whether a request may be sent a second time when its connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// It changes nothing.
    Safe,
    /// It may have happened.
    Never,
}

impl Client {
    /// With the trackers of these settings; nothing is connected yet. Idle connections to storages are kept when
    /// `use_connection_pool` says so.
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        let idle_max =
            settings.use_connection_pool.then(|| settings.connection_pool_max_idle_time.duration());
        let client = Self {
            trackers: Trackers::new(settings)?,
            pool: Pool::new(timeouts(settings), idle_max),
            copies: None,
        };
        let ClientSettings { min_copies, min_copies_timeout, min_copies_on_timeout, .. } = settings;
        if *min_copies == 0 {
            return Ok(client);
        }
        Ok(client.min_copies(MinCopies::new(
            *min_copies,
            min_copies_timeout.duration(),
            *min_copies_on_timeout,
        )))
    }

    /// With these trackers, 10 s for a connection and 30 s for an answer, and kept connections; nothing is connected yet.
    ///
    /// ```
    /// use fdfs_client::Client;
    /// let client = Client::connect(&["127.0.0.1:22122".parse()?, "127.0.0.2:22122".parse()?])?;
    /// assert_eq!(client.trackers().len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn connect(trackers: &[SocketAddr]) -> Result<Self, ClientError> {
        let timeouts = Timeouts { connect: Duration::from_secs(10), network: Duration::from_secs(30) };
        let trackers = Trackers::of(trackers.to_vec(), timeouts)?;
        Ok(Self { trackers, pool: Pool::new(timeouts, Some(IDLE_MAX)), copies: None })
    }

    /// Changes are answered when so many members of the group have them, or a time is over. Storages that are not of this
    /// implementation refuse the question, with status 22, and nothing is changed there.
    ///
    /// ```
    /// use std::time::Duration;
    /// use fdfs_client::{Client, MinCopies, OnTimeout};
    /// let wanted = MinCopies::new(2, Duration::from_secs(3), Some(OnTimeout::Fail));
    /// let client = Client::connect(&["127.0.0.1:22122".parse()?])?.min_copies(wanted);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn min_copies(mut self, wanted: MinCopies) -> Self {
        self.copies = Some(wanted);
        self
    }

    /// The trackers, sorted.
    pub fn trackers(&self) -> &[SocketAddr] {
        self.trackers.addrs()
    }

    /// A storage for a new file, of `group` or of the group that the tracker chooses (101, 104).
    pub async fn store(&self, group: Option<GroupName>) -> Result<Target, ClientError> {
        let (command, body) = match group {
            None => (cmd::QUERY_STORE_WITHOUT_GROUP_ONE, Vec::new()),
            Some(group) => (cmd::QUERY_STORE_WITH_GROUP_ONE, group_body(group)),
        };
        let (tracker, answer) = self.trackers.ask(QUERY, command, &body).await?;
        let target = StoreTarget::parse(&answer).map_err(|bad| ClientError::answer(QUERY, tracker, &bad))?;
        Ok(Target { addr: target.addr, path: path(target.path) })
    }

    /// All storages of a group that take new files (106, 107).
    pub async fn stores(&self, group: Option<GroupName>) -> Result<Vec<Target>, ClientError> {
        let (command, body) = match group {
            None => (cmd::QUERY_STORE_WITHOUT_GROUP_ALL, Vec::new()),
            Some(group) => (cmd::QUERY_STORE_WITH_GROUP_ALL, group_body(group)),
        };
        let (tracker, answer) = self.trackers.ask(QUERY, command, &body).await?;
        let (_, addrs, index) =
            parse_store_all(&answer).map_err(|bad| ClientError::answer(QUERY, tracker, &bad))?;
        Ok(addrs.into_iter().map(|addr| Target { addr, path: path(index) }).collect())
    }

    /// The storage to fetch a file from (102), or with `update` the one to change it at (103).
    pub async fn locate(&self, id: &FileId, update: bool) -> Result<SocketAddr, ClientError> {
        let command = if update { cmd::QUERY_UPDATE } else { cmd::QUERY_FETCH_ONE };
        let (tracker, answer) = self.trackers.ask(QUERY, command, &file_body(id)).await?;
        let target = FetchTarget::parse(&answer).map_err(|bad| ClientError::answer(QUERY, tracker, &bad))?;
        Ok(target.addr)
    }

    /// All storages that have a file (105).
    pub async fn locate_all(&self, id: &FileId) -> Result<Vec<SocketAddr>, ClientError> {
        let (tracker, answer) = self.trackers.ask(QUERY, cmd::QUERY_FETCH_ALL, &file_body(id)).await?;
        let (_, addrs) = parse_fetch_all(&answer).map_err(|bad| ClientError::answer(QUERY, tracker, &bad))?;
        Ok(addrs)
    }

    /// Runs `work` on a connection to a storage, a kept one if there is one.
    pub(crate) async fn on<W: Work>(
        &self,
        addr: SocketAddr,
        again: Again,
        work: &W,
    ) -> Result<W::Output, ClientError> {
        // Reads do not care.
        let copies = self.copies.filter(|_| again == Again::Never);
        if let Some(mut peer) = self.pool.take(addr, copies.is_some()) {
            let done = work.run(&mut peer).await;
            match &done {
                Err(error) if !error.is_answer() && again == Again::Safe => {}
                Err(error) if !error.is_answer() => return done,
                _ => {
                    self.pool.give(peer, copies.is_some());
                    return done;
                }
            }
        }
        let mut peer = self.pool.connect(addr).await.map_err(ClientError::connect(work.doing()))?;
        if let Some(copies) = copies {
            let ask = Ask {
                doing: "ask for min_copies",
                command: cmd::MIN_COPIES,
                flags: 0,
                body: copies.as_bytes().to_vec(),
                max: 0,
            };
            ask.run(&mut peer).await?;
        }
        let done = work.run(&mut peer).await;
        if done.as_ref().map_or_else(ClientError::is_answer, |_| true) {
            self.pool.give(peer, copies.is_some());
        }
        done
    }

    /// Runs a read at the storage that the tracker names, and at the others that have the file while it fails there: one
    /// that does not answer, or that lost the file.
    pub(crate) async fn read<W: Work>(&self, id: &FileId, work: &W) -> Result<W::Output, ClientError> {
        let first = self.locate(id, false).await?;
        let error = match self.on(first, Again::Safe, work).await {
            Err(error) if error.elsewhere() => error,
            done => return done,
        };
        // The first error says more than that of the last resort.
        // One tracker may have started a moment ago, and name only who has come back to it.
        let mut tried = vec![first];
        for tracker in self.trackers.each() {
            let asked = self.trackers.ask_at(QUERY, tracker, cmd::QUERY_FETCH_ALL, &file_body(id)).await;
            let named = asked.ok().and_then(|answer| parse_fetch_all(&answer).ok());
            for addr in named.map(|(_, addrs)| addrs).unwrap_or_default() {
                if tried.contains(&addr) {
                    continue;
                }
                tried.push(addr);
                match self.on(addr, Again::Safe, work).await {
                    Err(error) if error.elsewhere() => {}
                    done => return done,
                }
            }
        }
        Err(error)
    }
}

impl ClientError {
    /// Whether another storage may do better.
    fn elsewhere(&self) -> bool {
        match &self.kind {
            ErrorKind::Status(status) => [Status::NOENT, Status::IO, Status::BUSY].contains(status),
            ErrorKind::Network(..) | ErrorKind::Connect(..) => true,
            ErrorKind::Local(..) | ErrorKind::Invalid(_) => false,
        }
    }
}

fn path(index: u8) -> Option<u8> {
    (index != 0xFF).then_some(index)
}

fn group_body(group: GroupName) -> Vec<u8> {
    let mut body = Vec::new();
    put_group(&mut body, group);
    body
}

fn file_body(id: &FileId) -> Vec<u8> {
    let mut body = Vec::new();
    FileQuery { group: id.group, name: id.name.as_bytes() }.put(&mut body);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::{Content, UploadOptions};

    /// Calls can be made from tasks of a runtime with several threads.
    #[test]
    fn calls_can_move_between_threads() {
        fn movable<T: Send>(_: T) {}
        let client = Client::connect(&["127.0.0.1:1".parse().unwrap()]).unwrap();
        let id: FileId = "group1/M00/00/00/CkIAFmsCn7SAImKbAAAADg4Qul0611.txt".parse().unwrap();
        movable(client.upload(b"", "txt".parse().unwrap()));
        movable(client.upload_with(None, Content::Bytes(b""), &UploadOptions::default()));
        movable(client.download(&id, 0, 0));
        movable(client.download_to(&id, "/nowhere".as_ref(), 0, 0, None));
        movable(client.append(&id, &Content::Bytes(b""), None));
        movable(client.delete(&id));
    }
}
