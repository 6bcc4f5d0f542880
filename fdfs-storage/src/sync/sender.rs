//! Streams the log to one peer (replication 7).

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::binlog::{Mark, Op, Pos, Record, Ticket, Window};
use fdfs_core::ident::{StorageId, StorageStatus};
use fdfs_net::{CallError, CancellationToken, Peer};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::mark;
use super::push::{Pushed, connect, push};
use crate::binlog::{Item, Reader};
use crate::link::Trackers;
use crate::storage::Storage;

/// Records that wait in memory behind one that the peer refuses.
const HELD_MAX: usize = 100_000;
/// Streams when the configuration leaves the number open.
const STREAMS_MIN: u16 = 4;
/// How often the mark is saved while records flow.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How often a refused record is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(30);
const BACK_OFF: Duration = Duration::from_millis(200);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);

/// Sends everything to `peer` for as long as it is a member.
pub async fn send_to(
    storage: Arc<Storage>,
    peer: StorageId,
    trackers: Rc<Trackers>,
    stop: CancellationToken,
) {
    let mut back_off = BACK_OFF;
    let mut said = String::new();
    loop {
        let turn = tokio::select! {
            () = stop.cancelled() => return,
            turn = turn(&storage, &peer, &trackers, &stop) => turn,
        };
        match turn {
            Ok(End::Gone) => return tracing::info!(%peer, "no member any more, replication to it ends"),
            Ok(End::NotActive) => {
                said.clear();
                back_off = BACK_OFF;
            }
            Err(error) => {
                let text = error.to_string();
                // A peer that stays away is one line, not one a second.
                if text != said {
                    tracing::warn!(%peer, "replication is interrupted: {text}");
                    said = text;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(back_off) => {}
        }
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}

/// Why a turn ended without an error.
enum End {
    Gone,
    NotActive,
}

#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("{0}: {1}")]
    Io(&'static str, io::Error),
    #[error("a sending task panicked")]
    Panic,
}

/// From a member that may be sent to, until it may not be, or something breaks.
async fn turn(
    storage: &Arc<Storage>,
    peer: &StorageId,
    trackers: &Trackers,
    stop: &CancellationToken,
) -> Result<End, Broken> {
    let mut changes = storage.members.follow();
    let status = loop {
        match storage.members.get(peer).map(|member| member.status) {
            None | Some(StorageStatus::Deleted | StorageStatus::IpChanged | StorageStatus::None) => {
                return Ok(End::Gone);
            }
            Some(status @ (StorageStatus::WaitSync | StorageStatus::Syncing | StorageStatus::Active)) => {
                break status;
            }
            Some(_) => {
                let _ = changes.changed().await;
            }
        }
    };
    let Some(member) = storage.members.get(peer) else { return Ok(End::Gone) };
    // Known to be reachable before anything is asked of a tracker or said to one.
    let first = connect(storage, member.addr).await?;
    let found = mark::load(storage, peer).map_err(|error| Broken::Io("mark", error))?;
    let mark = agree(storage, peer, trackers, status, found).await?;
    if !mark.need_sync_old && status != StorageStatus::Active {
        // Another member brings it the old files; ours follow when it is active.
        let _ = changes.changed().await;
        return Ok(End::NotActive);
    }
    if status == StorageStatus::WaitSync {
        trackers.report_status(peer, member.addr, StorageStatus::Syncing).await;
        storage.members.set_status(peer, StorageStatus::Syncing);
    }
    tracing::info!(%peer, addr = %member.addr, pos = %mark.pos, full_copy = mark.need_sync_old && !mark.sync_old_done,
        "replication starts");
    let mut stream = Stream::new(storage, peer, member.addr, mark, first);
    let ended = stream.run(trackers, stop).await;
    stream.save().await?;
    ended
}

/// Where to begin (replication 7.1).
async fn agree(
    storage: &Arc<Storage>,
    peer: &StorageId,
    trackers: &Trackers,
    status: StorageStatus,
    found: Option<Mark>,
) -> Result<Mark, Broken> {
    let usable = found.filter(|_| status != StorageStatus::WaitSync);
    if let Some(mark) = &usable
        && (status == StorageStatus::Active || mark.need_sync_old)
    {
        return Ok(mark.clone());
    }
    let source = trackers.source_of(peer).await?;
    let need_sync_old = source.as_ref().is_some_and(|(id, _)| *id == storage.identity.id);
    if let Some(mark) = usable.filter(|_| !need_sync_old) {
        return Ok(mark);
    }
    let until = source.map_or(0, |(_, until)| until);
    let mut mark = Mark { need_sync_old, until_timestamp: until, ..Mark::default() };
    if !need_sync_old && until > 0 {
        mark.pos = first_since(storage, until).map_err(|error| Broken::Io("read the log", error))?;
    }
    mark::store(storage, peer, &mark).await.map_err(|error| Broken::Io("mark", error))?;
    Ok(mark)
}

/// Start of the first record that is not older than `until`.
fn first_since(storage: &Storage, until: i64) -> io::Result<Pos> {
    let mut reader = storage.binlog.reader(Pos::default());
    while let Some(item) = reader.read()? {
        if item.record.is_ok_and(|record| record.timestamp >= until) {
            return Ok(item.start);
        }
    }
    Ok(reader.pos())
}

/// A task that sent a record: its connection if it is still good, and how it went.
type Sent = (Option<Peer>, Ticket, Record, Result<Pushed, CallError>);

struct Stream<'a> {
    storage: &'a Arc<Storage>,
    peer: &'a StorageId,
    addr: SocketAddr,
    mark: Mark,
    saved: Mark,
    window: Window,
    reader: Reader,
    next: Option<Item>,
    idle: Vec<Peer>,
    tasks: JoinSet<Sent>,
    streams: usize,
}

impl<'a> Stream<'a> {
    fn new(
        storage: &'a Arc<Storage>,
        peer: &'a StorageId,
        addr: SocketAddr,
        mark: Mark,
        first: Peer,
    ) -> Self {
        let (_, most) = storage.settings.sync_threads();
        let streams = usize::from(if storage.settings.sync_max_threads.0.is_none() {
            most.max(STREAMS_MIN)
        } else {
            most
        });
        Self {
            storage,
            peer,
            addr,
            saved: mark.clone(),
            window: Window::new(mark.pos),
            reader: storage.binlog.reader(mark.pos),
            mark,
            next: None,
            idle: vec![first],
            tasks: JoinSet::new(),
            streams,
        }
    }

    async fn run(&mut self, trackers: &Trackers, stop: &CancellationToken) -> Result<End, Broken> {
        let mut changes = self.storage.members.follow();
        let mut save_at = Instant::now() + SAVE_EVERY;
        let mut retry_at = Instant::now() + RETRY_EVERY;
        loop {
            self.start_tasks()?;
            if self.caught_up() {
                self.full_copy_done(trackers).await?;
            }
            let may_read =
                self.next.is_none() && self.tasks.len() < self.streams && self.window.len() < HELD_MAX;
            tokio::select! {
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    let done = done.map_err(|_| Broken::Panic)?;
                    if let Err(error) = self.finished(done) {
                        self.drain().await;
                        return Err(error);
                    }
                }
                () = self.reader.wait(), if may_read => {}
                _ = changes.changed() => {
                    let status = self.storage.members.get(self.peer).map(|member| member.status);
                    if !matches!(status, Some(StorageStatus::Active | StorageStatus::Syncing)) {
                        self.drain().await;
                        return Ok(End::NotActive);
                    }
                }
                () = tokio::time::sleep_until(save_at), if self.mark_moved() => {
                    self.save().await?;
                    save_at = Instant::now() + SAVE_EVERY;
                }
                () = tokio::time::sleep_until(retry_at), if self.window.aside() > 0 => {
                    retry_at = Instant::now() + RETRY_EVERY;
                    while let Some((ticket, record)) = self.window.retry() {
                        self.spawn(ticket, record);
                    }
                }
                () = stop.cancelled() => {
                    self.drain().await;
                    return Ok(End::NotActive);
                }
            }
        }
    }

    /// Starts to send what may go now.
    fn start_tasks(&mut self) -> Result<(), Broken> {
        while self.tasks.len() < self.streams && self.window.len() < HELD_MAX {
            let item = match self.next.take() {
                Some(item) => item,
                None => match self.reader.read().map_err(|error| Broken::Io("read the log", error))? {
                    Some(item) => item,
                    None => return Ok(()),
                },
            };
            match &item.record {
                Ok(record) if !self.wants(record) => {
                    self.mark.scanned += 1;
                    self.window.skip(item.end);
                }
                Ok(record) if self.window.may_send(record) => {
                    self.mark.scanned += 1;
                    let ticket = self.window.send(record, item.end);
                    let record = record.clone();
                    self.spawn(ticket, record);
                }
                Ok(_) => {
                    self.next = Some(item);
                    return Ok(());
                }
                Err(error) => {
                    tracing::error!(peer = %self.peer, pos = %item.start, "a line of the log is stepped over: {error}");
                    self.mark.scanned += 1;
                    self.window.skip(item.end);
                }
            }
        }
        Ok(())
    }

    /// Own changes always; copies of others' changes only within a full copy (replication 7.2).
    fn wants(&self, record: &Record) -> bool {
        if !record.replica {
            return true;
        }
        let old = matches!(record.op, Op::Create | Op::Delete | Op::Update | Op::Link | Op::Rename);
        let full_copy = self.mark.need_sync_old && !self.mark.sync_old_done;
        old && full_copy && record.timestamp <= self.mark.until_timestamp
    }

    fn spawn(&mut self, ticket: Ticket, record: Record) {
        let (storage, addr) = (Arc::clone(self.storage), self.addr);
        let mut idle = None;
        while let Some(peer) = self.idle.pop() {
            if !peer.is_stale() {
                idle = Some(peer);
                break;
            }
        }
        self.tasks.spawn_local(async move {
            let mut peer = match idle {
                Some(peer) => peer,
                None => match connect(&storage, addr).await {
                    Ok(peer) => peer,
                    Err(error) => return (None, ticket, record, Err(error)),
                },
            };
            match push(&storage, &mut peer, &record).await {
                Ok(Pushed::Refused(status)) => {
                    // A refusing peer may have closed the connection.
                    (None, ticket, record, Ok(Pushed::Refused(status)))
                }
                Ok(pushed) => (Some(peer), ticket, record, Ok(pushed)),
                Err(error) => (None, ticket, record, Err(error)),
            }
        });
    }

    fn finished(&mut self, (peer, ticket, record, result): Sent) -> Result<(), Broken> {
        self.idle.extend(peer);
        match result? {
            Pushed::Confirmed => {
                self.mark.synced += 1;
                self.window.confirm(ticket);
            }
            Pushed::Stale => self.window.confirm(ticket),
            Pushed::Refused(status) => {
                tracing::error!(peer = %self.peer, name = record.name, status = status.0,
                    "the peer refuses a change ({}), it is tried again later", status.text());
                self.window.set_aside(ticket, record);
            }
            Pushed::Unsendable(why) => {
                tracing::error!(peer = %self.peer, name = record.name, "a change cannot be sent, it is tried again later: {why}");
                self.window.set_aside(ticket, record);
            }
        }
        Ok(())
    }

    /// Waits for what is under way; errors no longer matter, what is not confirmed is sent again.
    async fn drain(&mut self) {
        while let Some(done) = self.tasks.join_next().await {
            if let Ok(sent) = done {
                let _ = self.finished(sent);
            }
        }
    }

    fn caught_up(&self) -> bool {
        self.next.is_none() && self.window.is_empty() && self.tasks.is_empty()
    }

    /// The end of the log was reached: a full copy is complete.
    async fn full_copy_done(&mut self, trackers: &Trackers) -> Result<(), Broken> {
        if !self.mark.need_sync_old || self.mark.sync_old_done {
            return Ok(());
        }
        self.mark.sync_old_done = true;
        self.save().await?;
        tracing::info!(peer = %self.peer, records = self.mark.synced, "the full copy is complete");
        if self.storage.members.get(self.peer).is_some_and(|member| member.status == StorageStatus::Syncing) {
            trackers.report_status(self.peer, self.addr, StorageStatus::Offline).await;
            self.storage.members.set_status(self.peer, StorageStatus::Offline);
        }
        Ok(())
    }

    fn mark_moved(&self) -> bool {
        self.window.pos() != self.saved.pos
    }

    async fn save(&mut self) -> Result<(), Broken> {
        self.mark.pos = self.window.pos();
        if self.mark != self.saved {
            let done = mark::store(self.storage, self.peer, &self.mark).await;
            done.map_err(|error| Broken::Io("mark", error))?;
            self.saved = self.mark.clone();
        }
        Ok(())
    }
}
