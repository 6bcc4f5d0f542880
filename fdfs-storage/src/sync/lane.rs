//! A connection to a peer with requests under way on it. One task sends, another reads the answers, in order.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::binlog::{Op, Record, Ticket};
use fdfs_core::wire::list::stat;
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::{CallError, CallErrorKind, ConnError, Peer, PeerReader, PeerWriter, same_clock};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::pace::Rate;
use super::request::{Outcome, Request, Way, judge, prepare};
use crate::storage::Storage;

/// Requests are gathered to one write of about this many bytes.
const WRITE: usize = 128 << 10;
/// Bytes of a file that go at once when the rate is limited.
const SLICE: u64 = 256 << 10;
/// The existing daemon echoes a request in one answer.
const ANSWER_MAX: usize = 1024;

/// A record on its way.
pub struct Job {
    pub ticket: Ticket,
    pub record: Record,
    pub way: Way,
}

/// What is asked of a lane.
enum Task {
    Record(Job),
    /// Everything up to this time has arrived.
    Time(i64),
    Ping,
}

/// What waits for an answer.
struct Flying {
    job: Option<Job>,
    content: u64,
}

/// What lanes have finished.
#[derive(Default)]
pub struct Outbox {
    done: RefCell<VecDeque<(Job, Outcome)>>,
    broken: RefCell<Option<CallError>>,
    notify: Notify,
}

impl Outbox {
    /// Waits until there is something.
    pub async fn wait(&self) {
        self.notify.notified().await;
    }

    pub fn pop(&self) -> Option<(Job, Outcome)> {
        self.done.borrow_mut().pop_front()
    }

    /// Why a lane ended by itself.
    pub fn broken(&self) -> Option<CallError> {
        self.broken.borrow_mut().take()
    }

    fn push(&self, job: Job, outcome: Outcome) {
        self.done.borrow_mut().push_back((job, outcome));
        self.notify.notify_one();
    }
}

struct Shared {
    storage: Arc<Storage>,
    outbox: Rc<Outbox>,
    rate: Rc<RefCell<Rate>>,
    queue: RefCell<VecDeque<Task>>,
    flight: RefCell<VecDeque<Flying>>,
    to_send: Notify,
    to_read: Notify,
    records: Cell<usize>,
    bytes: Cell<u64>,
    /// The last answer was a refusal: then the peer may close, and that is no fault of the connection.
    refused: Cell<bool>,
    ended: Cell<bool>,
}

/// A connection with its tasks, which end with it.
pub struct Lane {
    shared: Rc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Lane {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Lane {
    pub fn start(storage: &Arc<Storage>, peer: Peer, outbox: &Rc<Outbox>, rate: &Rc<RefCell<Rate>>) -> Self {
        let shared = Rc::new(Shared {
            storage: Arc::clone(storage),
            outbox: Rc::clone(outbox),
            rate: Rc::clone(rate),
            queue: RefCell::default(),
            flight: RefCell::default(),
            to_send: Notify::new(),
            to_read: Notify::new(),
            records: Cell::new(0),
            bytes: Cell::new(0),
            refused: Cell::new(false),
            ended: Cell::new(false),
        });
        let (reader, writer) = peer.into_split();
        let (one, other) = (Rc::clone(&shared), Rc::clone(&shared));
        let tasks = [
            tokio::task::spawn_local(same_clock(async move {
                if let Err(error) = send(&one, writer).await {
                    one.end(error);
                }
            })),
            tokio::task::spawn_local(same_clock(async move {
                let error = read(&other, reader).await;
                other.end(error);
            })),
        ];
        Self { shared, tasks }
    }

    /// Records that are not finished.
    pub fn records(&self) -> usize {
        self.shared.records.get()
    }

    /// Bytes of content that were sent and are not confirmed.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.get()
    }

    pub fn has_ended(&self) -> bool {
        self.shared.ended.get()
    }

    pub fn push(&self, job: Job) {
        self.shared.records.set(self.shared.records.get() + 1);
        self.shared.queue.borrow_mut().push_back(Task::Record(job));
        self.shared.to_send.notify_one();
    }

    /// Tells up to when everything has arrived.
    pub fn tell_time(&self, time: i64) {
        self.shared.queue.borrow_mut().push_back(Task::Time(time));
        self.shared.to_send.notify_one();
    }

    /// Asks for a sign of life.
    pub fn ping(&self) {
        self.shared.queue.borrow_mut().push_back(Task::Ping);
        self.shared.to_send.notify_one();
    }
}

impl Shared {
    fn finish(&self, job: Job, outcome: Outcome) {
        self.records.set(self.records.get() - 1);
        self.outbox.push(job, outcome);
    }

    /// The connection is of no use any more: what was on it is given back.
    fn end(&self, error: CallError) {
        let before = self.ended.replace(true);
        let closed = matches!(error.kind, CallErrorKind::Conn(ConnError::Closed));
        let no_fault = closed && self.refused.get();
        if !before && !no_fault {
            *self.outbox.broken.borrow_mut() = Some(error);
        }
        let flying: Vec<Flying> = self.flight.borrow_mut().drain(..).collect();
        let queued: Vec<Task> = self.queue.borrow_mut().drain(..).collect();
        self.bytes.set(0);
        for job in flying.into_iter().filter_map(|flying| flying.job) {
            self.finish(job, Outcome::Lost);
        }
        for task in queued {
            if let Task::Record(job) = task {
                self.finish(job, Outcome::Lost);
            }
        }
        self.outbox.notify.notify_one();
    }

    fn fly(&self, job: Option<Job>, content: u64) {
        self.bytes.set(self.bytes.get() + content);
        self.flight.borrow_mut().push_back(Flying { job, content });
    }

    async fn pay(&self, bytes: u64) {
        let wait = self.rate.borrow_mut().take(bytes);
        if wait > Duration::ZERO {
            tokio::time::sleep(wait).await;
        }
    }
}

async fn send(lane: &Shared, mut writer: PeerWriter) -> Result<(), CallError> {
    let mut out: Vec<u8> = Vec::with_capacity(WRITE);
    loop {
        out.clear();
        while out.len() < WRITE {
            let task = lane.queue.borrow_mut().pop_front();
            match task {
                None => break,
                Some(Task::Record(job)) => record(lane, &mut writer, job, &mut out).await?,
                Some(Task::Time(time)) => {
                    out.extend_from_slice(&Header::request(cmd::SYNC_TIME, 8).encode());
                    out.extend_from_slice(&time.to_be_bytes());
                    lane.fly(None, 0);
                }
                Some(Task::Ping) => {
                    out.extend_from_slice(&Header::request(cmd::ACTIVE_TEST, 0).encode());
                    lane.fly(None, 0);
                }
            }
        }
        if out.is_empty() {
            lane.to_send.notified().await;
            continue;
        }
        lane.pay(out.len() as u64).await;
        lane.to_read.notify_one();
        writer.send_raw(&out).await?;
        if out.capacity() > 4 * WRITE {
            out = Vec::with_capacity(WRITE);
        }
    }
}

/// Gathers a record's request, or sends it if its content is large.
async fn record(
    lane: &Shared,
    writer: &mut PeerWriter,
    job: Job,
    out: &mut Vec<u8>,
) -> Result<(), CallError> {
    let at = out.len();
    match prepare(&lane.storage, &job.record, job.way, out) {
        Request::Settled(outcome) => {
            out.truncate(at);
            lane.finish(job, outcome);
        }
        Request::Ready { content } => lane.fly(Some(job), content),
        Request::File { file, start, len } => {
            lane.fly(Some(job), len);
            lane.to_read.notify_one();
            let limited = lane.rate.borrow().is_limited();
            let (mut start, mut left) = (start, len);
            while left > 0 {
                let slice = if limited { left.min(SLICE) } else { left };
                lane.pay(slice + out.len() as u64).await;
                writer.send_file(out, std::os::fd::AsFd::as_fd(&file), start, slice).await?;
                out.clear();
                (start, left) = (start + slice, left - slice);
            }
        }
    }
    Ok(())
}

async fn read(lane: &Shared, mut reader: PeerReader) -> CallError {
    loop {
        if lane.flight.borrow().is_empty() {
            lane.to_read.notified().await;
            continue;
        }
        let answer = match reader.recv(ANSWER_MAX).await {
            Ok(answer) => answer,
            Err(error) => return error,
        };
        let Some(flying) = lane.flight.borrow_mut().pop_front() else { continue };
        lane.bytes.set(lane.bytes.get() - flying.content);
        lane.refused.set(false);
        let Some(job) = flying.job else { continue };
        let outcome = judge(job.record.op, job.way, answer.status);
        lane.refused.set(matches!(outcome, Outcome::Refused(_)));
        if copies(job.record.op) && outcome != Outcome::Confirmed {
            lane.storage.stat.count_bytes(stat::SYNC_OUT_BYTES, flying.content, false);
        } else if flying.content > 0 {
            lane.storage.stat.count_bytes(stat::SYNC_OUT_BYTES, flying.content, true);
        }
        lane.finish(job, outcome);
    }
}

fn copies(op: Op) -> bool {
    !matches!(op, Op::Delete | Op::Link)
}

/// Whether this status says something about the peer rather than about one file.
pub fn is_peers_trouble(status: Status) -> bool {
    matches!(status, Status::NOSPC | Status::IO) || status.0 == 30
}
