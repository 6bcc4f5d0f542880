//! The log to one peer, many records at once.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::binlog::{Mark, Op, Pos, Record, Ticket, Window};
use fdfs_core::ident::{StorageId, StorageStatus};
use fdfs_net::{CancellationToken, Peer};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use super::agree::Start;
use super::lane::{Job, Lane, Outbox, is_peers_trouble};
use super::mark;
use super::pace::{self, Rate};
use super::peer::{connect, hello};
use super::probe::{Known, Prober};
use super::progress::Progress;
use super::request::{Outcome, Way};
use super::sender::{Broken, End};
use crate::binlog::{Item, Reader};
use crate::link::Calls;
use crate::storage::{Storage, now};

/// Records that wait in memory behind one that the peer refuses.
const HELD_MAX: usize = 100_000;
/// Records that wait in memory for others of the same file.
const WAITING_MAX: usize = 10_000;
/// Requests under way on a connection to a peer of this implementation.
const DEPTH: usize = 128;
/// Another connection is made when each has this much to do.
const BUSY_RECORDS: usize = 48;
const BUSY_BYTES: u64 = 2 << 20;
/// Connections to a peer of this implementation when the configuration leaves the number open.
const LANES: usize = 4;
/// Streams to others when the configuration leaves the number open.
const STREAMS_MIN: u16 = 4;
/// Marks, times and signs of life are looked after this often.
const TICK: Duration = Duration::from_millis(200);
/// How often the mark is saved while records flow.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How often an idle peer is told that it has everything.
const TIME_EVERY: Duration = Duration::from_secs(1);
/// A refused record is tried again after this time, then after twice of it, and so on.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(10);
/// So many refusals in a row that speak of the peer's disk end the turn.
const TROUBLE_MAX: usize = 32;
/// How long what is under way may take at an end.
const DRAIN: Duration = Duration::from_secs(2);
/// When only so many records were new, those of the next moment go together: a wake-up for each costs more than the record.
/// A change after a pause goes at once all the same, and so does one whose answer waits for copies.
const FEW: usize = 2;
const GATHER: Duration = Duration::from_millis(1);
/// Largest difference between the time of a change and the moment its record is written, s.
const MARGIN: i64 = 2;

/// Whether an operation changes a part of a file.
fn is_inside(op: Op) -> bool {
    matches!(op, Op::Append | Op::Modify | Op::Truncate)
}

pub struct Stream<'a> {
    storage: &'a Arc<Storage>,
    peer: &'a StorageId,
    addr: SocketAddr,
    progress: &'a Progress,
    /// The peer is of this implementation.
    own: bool,
    /// What its connections belong to then.
    number: u64,
    mark: Mark,
    saved: Mark,
    saved_at: Instant,
    window: Window,
    reader: Reader,
    next: Option<Item>,
    /// End of the last record in the window.
    added: Pos,
    lanes: Vec<Lane>,
    lanes_max: usize,
    outbox: Rc<Outbox>,
    rate: Rc<RefCell<Rate>>,
    probe_until: Pos,
    prober: Prober,
    /// Files that went as a whole: records that end before this place are part of it.
    whole: HashMap<String, Pos>,
    /// The same of those that are under way.
    going: HashMap<String, Pos>,
    /// Files that were gone when a change of their content was to be sent: deleted, or renamed.
    lost: HashSet<String>,
    /// Lines from the first place of this stream to the end of the log when it began, less those of this process
    /// before: with what was appended since, what is behind.
    lines: u64,
    retry_at: Instant,
    retry_after: Duration,
    trouble: usize,
    told: i64,
    told_at: Instant,
    pause_until: Option<Instant>,
    gather_until: Option<Instant>,
}

impl<'a> Stream<'a> {
    pub fn new(
        storage: &'a Arc<Storage>,
        peer: &'a StorageId,
        addr: SocketAddr,
        start: Start,
        number: Option<u64>,
        first: Peer,
        progress: &'a Progress,
    ) -> Result<Self, Broken> {
        let own = number.is_some();
        let (_, most) = storage.settings.sync_threads();
        let open = storage.settings.sync_max_threads.0.is_none();
        let lanes_max = match (own, open) {
            (true, true) => LANES,
            (false, true) => usize::from(most.max(STREAMS_MIN)),
            (true, false) => usize::from(most).min(16),
            (false, false) => usize::from(most),
        };
        let mark = start.mark;
        let appended = storage.binlog.records();
        let (lines, _) =
            storage.binlog.behind(mark.pos).map_err(|error| Broken::Io("read the log", error))?;
        let outbox = Rc::new(Outbox::default());
        let rate = Rc::new(RefCell::new(Rate::new(storage.schedule.load().sync_bandwidth)));
        let now = Instant::now();
        Ok(Self {
            storage,
            peer,
            addr,
            progress,
            own,
            number: number.unwrap_or(0),
            saved: mark.clone(),
            saved_at: now,
            window: Window::new(mark.pos),
            reader: storage.binlog.reader(mark.pos),
            added: mark.pos,
            mark,
            next: None,
            lanes: vec![Lane::start(storage, first, &outbox, &rate)],
            lanes_max,
            outbox,
            rate,
            probe_until: if own { start.probe_until } else { Pos::default() },
            prober: Prober::default(),
            whole: HashMap::new(),
            going: HashMap::new(),
            lost: HashSet::new(),
            lines: lines.wrapping_sub(appended),
            retry_at: now,
            retry_after: RETRY_MIN,
            trouble: 0,
            told: 0,
            told_at: now,
            pause_until: None,
            gather_until: None,
        })
    }

    pub async fn run(&mut self, calls: &Calls, stop: &CancellationToken) -> Result<End, Broken> {
        let mut changes = self.storage.members.follow();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let outbox = Rc::clone(&self.outbox);
        let mut news = self.storage.binlog.news();
        let progress = self.progress;
        self.report();
        loop {
            self.fill().await?;
            self.tell();
            if self.caught_up() {
                self.full_copy_done(calls).await?;
            }
            // Records of own changes tell of themselves; the others are looked at with every tick.
            let may_read = self.next.is_none() && self.may_fill();
            let gather_until = self.gather_until;
            let gathered = async {
                match gather_until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = outbox.wait() => self.collect()?,
                _ = news.changed(), if may_read => {}
                () = progress.asked() => self.gather_until = None,
                () = gathered => self.gather_until = None,
                _ = changes.changed() => {
                    let status = self.storage.members.get(self.peer).map(|member| member.status);
                    if !matches!(status, Some(StorageStatus::Active | StorageStatus::Syncing)) {
                        self.drain().await;
                        return Ok(End::NotActive);
                    }
                }
                _ = tick.tick() => {
                    let schedule = **self.storage.schedule.load();
                    self.rate.borrow_mut().set(schedule.sync_bandwidth);
                    if !pace::is_open(&schedule) {
                        tracing::info!(peer = %self.peer, "outside of sync_start_time to sync_end_time");
                        self.drain().await;
                        return Ok(End::NotActive);
                    }
                    self.tick().await?;
                }
                () = stop.cancelled() => {
                    self.drain().await;
                    return Ok(End::NotActive);
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        self.window.under_way() < self.depth() * self.lanes_max
    }

    fn may_fill(&self) -> bool {
        self.has_room()
            && self.window.len() < HELD_MAX
            && self.window.waiting() < WAITING_MAX
            && self.pause_until.is_none_or(|until| until <= Instant::now())
            && self.gather_until.is_none()
    }

    fn depth(&self) -> usize {
        if self.own { DEPTH } else { 1 }
    }

    /// Starts to send what may go now.
    async fn fill(&mut self) -> Result<(), Broken> {
        let mut sent = 0;
        while self.has_room()
            && let Some((ticket, record, end)) = self.window.next_ready()
        {
            self.dispatch(ticket, record, end).await?;
        }
        while self.may_fill() {
            let Some(item) = self.next_item().await? else {
                if (1..=FEW).contains(&sent) {
                    self.gather_until = Some(Instant::now() + GATHER);
                }
                break;
            };
            match item.record {
                Ok(record) if !self.wants(&record) => self.skip(item.end),
                Ok(record) if !self.own && self.window.is_ahead(&record) => {
                    self.next = Some(Item { record: Ok(record), ..item });
                    break;
                }
                Ok(record) => {
                    let record = match self.known(record, item.end) {
                        Some(record) => record,
                        None => continue,
                    };
                    self.mark.scanned += 1;
                    self.added = item.end;
                    if let Some((ticket, record)) = self.window.add(record, item.end) {
                        self.dispatch(ticket, record, item.end).await?;
                    }
                    sent += 1;
                }
                Err(error) => {
                    tracing::error!(peer = %self.peer, pos = %item.start, "a line of the log is stepped over: {error}");
                    self.skip(item.end);
                }
            }
            let pause = self.storage.schedule.load().sync_pause;
            if pause > Duration::ZERO && sent >= self.lanes_max {
                self.pause_until = Some(Instant::now() + pause);
            }
        }
        Ok(())
    }

    fn skip(&mut self, end: Pos) {
        self.mark.scanned += 1;
        self.added = end;
        self.window.skip(end);
    }

    /// The next line; in the part of the log that the peer may have by another way, many are read at once and asked for.
    async fn next_item(&mut self) -> Result<Option<Item>, Broken> {
        if let Some(item) = self.next.take().or_else(|| self.prober.pop()) {
            return Ok(Some(item));
        }
        let failed = |error| Broken::Io("read the log", error);
        if self.reader.pos() >= self.probe_until {
            return self.reader.read().map_err(failed);
        }
        let mut items = Vec::new();
        while items.len() < Prober::BATCH
            && let Some(item) = self.reader.read().map_err(failed)?
        {
            items.push(item);
        }
        let wanted: Vec<bool> =
            items.iter().map(|item| item.record.as_ref().is_ok_and(|record| self.wants(record))).collect();
        self.prober.ask(self.storage, self.addr, self.number, items, &wanted).await?;
        Ok(self.prober.pop())
    }

    /// The record, unless the peer is known to have what it tells.
    fn known(&mut self, record: Record, end: Pos) -> Option<Record> {
        let known = self.prober.known(self.storage, &record);
        match known {
            Known::Nothing | Known::Missing => Some(record),
            Known::Same => {
                self.skip(end);
                None
            }
        }
    }

    /// Own changes always; copies of others' changes within a full copy, and those of old files that arrived here too
    /// late for it (replication 7.2 and 12).
    fn wants(&self, record: &Record) -> bool {
        if !record.replica {
            return true;
        }
        let copied = matches!(record.op, Op::Create | Op::Delete | Op::Update | Op::Link | Op::Rename);
        let mark = &self.mark;
        copied && mark.need_sync_old && (!mark.sync_old_done || record.timestamp <= mark.until_timestamp)
    }

    async fn dispatch(&mut self, ticket: Ticket, record: Record, end: Pos) -> Result<(), Broken> {
        if is_inside(record.op) && self.whole.get(&record.name).is_some_and(|whole| end <= *whole) {
            self.window.confirm(ticket);
            return Ok(());
        }
        // What came from another member must not replace what that member sent itself.
        let way = match record.source() {
            _ if self.own && record.replica => Way::Offer,
            // Its last changes went nowhere, as it had no longer its name: what the peer would rename is older.
            Some(old) if record.op == Op::Rename && self.lost.remove(old) => Way::Whole,
            _ => Way::Ordinary,
        };
        self.push(Job { ticket, record, way }).await
    }

    async fn push(&mut self, job: Job) -> Result<(), Broken> {
        self.lanes.retain(|lane| !lane.has_ended());
        let load =
            |lane: &Lane| lane.bytes() / BUSY_BYTES.max(1) * BUSY_RECORDS as u64 + lane.records() as u64;
        let busy = if self.own { BUSY_RECORDS as u64 } else { 1 };
        let free = self.lanes.iter().map(load).min();
        if free.is_none_or(|free| free >= busy) && self.lanes.len() < self.lanes_max {
            let mut peer = connect(self.storage, self.addr).await?;
            if self.own {
                hello(self.storage, &mut peer, self.number).await?;
            }
            self.lanes.push(Lane::start(self.storage, peer, &self.outbox, &self.rate));
            self.lanes.retain(|lane| !lane.has_ended());
        }
        if job.way == Way::Whole {
            self.going.insert(job.record.name.clone(), *self.storage.binlog.readable().borrow());
        }
        match self.lanes.iter().min_by_key(|lane| load(lane)) {
            Some(lane) => lane.push(job),
            // All ended while a new one was made.
            None => self.window.set_aside(job.ticket, job.record),
        }
        Ok(())
    }

    /// Takes what lanes have finished.
    fn collect(&mut self) -> Result<(), Broken> {
        let mut again = Vec::new();
        while let Some((job, outcome)) = self.outbox.pop() {
            if let Some(job) = self.finished(job, outcome)? {
                again.push(job);
            }
        }
        if let Some(error) = self.outbox.broken() {
            return Err(error.into());
        }
        for job in again {
            self.lanes.retain(|lane| !lane.has_ended());
            self.retry_job(job);
        }
        self.mark.pos = self.window.pos();
        self.progress.confirm(self.mark.pos);
        self.tell();
        Ok(())
    }

    /// Tells those who wait for copies.
    fn tell(&self) {
        self.progress.tell(self.added, |file| self.window.holds(file));
    }

    fn finished(&mut self, job: Job, outcome: Outcome) -> Result<Option<Job>, Broken> {
        let whole = if job.way == Way::Whole { self.going.remove(&job.record.name) } else { None };
        match outcome {
            Outcome::Confirmed => {
                self.trouble = 0;
                self.mark.synced += 1;
                if let Some(pos) = whole {
                    self.whole.insert(job.record.name, pos);
                }
                self.window.confirm(job.ticket);
            }
            Outcome::Stale => {
                if is_inside(job.record.op) && self.lost.len() < WAITING_MAX {
                    self.lost.insert(job.record.name);
                }
                self.window.confirm(job.ticket);
            }
            Outcome::Again(way) => return Ok(Some(Job { way, ..job })),
            Outcome::Lost => return Ok(Some(job)),
            Outcome::Refused(status) => {
                self.aside(job, &format!("the peer refuses it with {}, {}", status.0, status.text()));
                self.trouble = if is_peers_trouble(status) { self.trouble + 1 } else { 0 };
                if self.trouble >= TROUBLE_MAX {
                    return Err(Broken::Refusing(status));
                }
            }
            Outcome::Unsendable(why) => self.aside(job, &why),
        }
        Ok(None)
    }

    fn aside(&mut self, job: Job, why: &str) {
        let (peer, name, op) = (self.peer, &job.record.name, job.record.op);
        let text = format!("{op:?} of {name}: {why}");
        // Once for each file and reason; it is visible in the state for as long as it lasts.
        if self.progress.lag().error.as_deref() != Some(&text) {
            tracing::error!(%peer, "a change is set aside and tried again later: {text}");
        }
        self.progress.update(|lag| lag.error = Some(text));
        self.retry_at = Instant::now() + self.retry_after;
        self.window.set_aside(job.ticket, job.record);
    }

    /// A job that goes on another way or another lane.
    fn retry_job(&mut self, job: Job) {
        if job.way == Way::Whole {
            self.going.insert(job.record.name.clone(), *self.storage.binlog.readable().borrow());
        }
        let free = |lane: &&Lane| self.own || lane.records() == 0;
        match self.lanes.iter().filter(free).min_by_key(|lane| lane.records()) {
            Some(lane) => lane.push(job),
            // The next look finds a connection for it.
            None => self.window.set_aside(job.ticket, job.record),
        }
    }

    async fn tick(&mut self) -> Result<(), Broken> {
        let now = Instant::now();
        if self.pause_until.is_some_and(|until| until <= now) {
            self.pause_until = None;
        }
        if self.window.aside() > 0 && self.retry_at <= now {
            self.retry_after = (self.retry_after * 2).min(RETRY_MAX);
            self.retry_at = now + self.retry_after;
            while self.has_room()
                && let Some((ticket, record)) = self.window.retry()
            {
                self.dispatch(ticket, record, Pos { index: u32::MAX, offset: 0 }).await?;
            }
        } else if self.window.aside() == 0 {
            self.retry_after = RETRY_MIN;
        }
        if self.saved_at + SAVE_EVERY <= now && self.window.pos() != self.saved.pos {
            self.save().await?;
        }
        if self.whole.len() > 1000 {
            let pos = self.window.pos();
            self.whole.retain(|_, whole| *whole > pos);
        }
        self.tell_time(now);
        self.report();
        Ok(())
    }

    /// Tells the peer up to when it has everything; while nothing happens too, so that an idle member's files count as
    /// replicated. To others than this implementation's, a sign of life.
    fn tell_time(&mut self, at: Instant) {
        let Some(lane) = self.lanes.iter().find(|lane| !lane.has_ended()) else { return };
        if !self.own {
            if at.duration_since(self.told_at) >= self.storage.settings.heart_beat_interval.duration() {
                self.told_at = at;
                self.lanes.iter().filter(|lane| lane.records() == 0).for_each(Lane::ping);
            }
            return;
        }
        let mut time = self.window.time();
        if at.duration_since(self.told_at) >= TIME_EVERY {
            let before = now() - MARGIN;
            if self.storage.binlog.end() == self.window.pos() && !self.full_copy() {
                time = time.max(before);
            }
        }
        if time > self.told {
            (self.told, self.told_at) = (time, at);
            lane.tell_time(time);
        }
    }

    fn full_copy(&self) -> bool {
        self.mark.need_sync_old && !self.mark.sync_old_done
    }

    /// Makes the lag visible.
    fn report(&mut self) {
        let end = *self.storage.binlog.readable().borrow();
        let pos = self.window.pos();
        let counted = self.storage.binlog.records();
        let total = self.lines.wrapping_add(counted);
        let records = if pos >= end { 0 } else { total.saturating_sub(self.window.passed()).max(1) };
        let log_bytes =
            if pos.index == end.index { end.offset.saturating_sub(pos.offset) } else { records * 60 };
        let oldest = self.window.oldest();
        let content_bytes = self.lanes.iter().map(Lane::bytes).sum();
        let (aside, full_copy) = (self.window.aside(), self.full_copy());
        self.progress.update(|lag| {
            let error = lag.error.take().filter(|_| aside > 0);
            *lag = super::Lag {
                connected: true,
                full_copy,
                confirmed: pos,
                records,
                counted,
                log_bytes,
                content_bytes,
                oldest,
                aside,
                error,
            };
        });
    }

    /// Waits for what is under way; errors no longer matter, what is not confirmed is sent again.
    async fn drain(&mut self) {
        let end = Instant::now() + DRAIN;
        while self.lanes.iter().any(|lane| lane.records() > 0) {
            if tokio::time::timeout_at(end, self.outbox.wait()).await.is_err() || self.collect().is_err() {
                return;
            }
        }
        let _ = self.collect();
    }

    fn caught_up(&self) -> bool {
        self.next.is_none()
            && self.prober.is_empty()
            && self.window.is_empty()
            && self.window.pos() >= *self.storage.binlog.readable().borrow()
    }

    /// The end of the log was reached: a full copy is complete.
    async fn full_copy_done(&mut self, calls: &Calls) -> Result<(), Broken> {
        if !self.full_copy() {
            return Ok(());
        }
        self.mark.sync_old_done = true;
        self.save().await?;
        tracing::info!(peer = %self.peer, records = self.mark.synced, "the full copy is complete");
        if self.storage.members.get(self.peer).is_some_and(|member| member.status == StorageStatus::Syncing) {
            calls.report_status(self.peer, self.addr, StorageStatus::Offline).await;
            self.storage.members.set_status(self.peer, StorageStatus::Offline);
        }
        Ok(())
    }

    /// Saves the mark.
    pub async fn save(&mut self) -> Result<(), Broken> {
        self.mark.pos = self.window.pos();
        self.saved_at = Instant::now();
        if self.mark != self.saved {
            let done = mark::store(self.storage, self.peer, &self.mark).await;
            done.map_err(|error| Broken::Io("mark", error))?;
            self.saved = self.mark.clone();
        }
        Ok(())
    }
}
