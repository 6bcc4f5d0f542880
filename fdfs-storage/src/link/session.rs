//! The conversation with one tracker, for as long as the daemon runs.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fdfs_core::ident::StorageStatus;
use fdfs_core::wire::cmd;
use fdfs_core::wire::list::StatBlock;
use fdfs_core::wire::report::{Brief, Changes, PathUsage, StatusReport, SyncedFrom};
use fdfs_net::{CallError, CallErrorKind, CancellationToken, ConnError, Peer};
use tokio::time::Instant;
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{I32, I64};

use super::calls::own_status;
use super::join::{join, notify};
use super::merge::{is_living, merge};
use super::moved::{self, CHANGELOG_MAX};
use super::refresh::refresh;
use super::trackers::Trackers;
use crate::storage::Storage;

/// While something in the group is not settled, beats come at least this often.
const SOON: Duration = Duration::from_secs(1);
/// Age up to which a conversation has a beat every [`SOON`].
const YOUNG: Duration = Duration::from_secs(60);
/// The leader is tested so often between beats.
const PROBE: Duration = Duration::from_secs(3);
/// Longest wait for its answer.
const PROBE_ANSWER: Duration = Duration::from_secs(5);
/// Longest wait for the answer to a beat or a report, whatever the configuration allows to clients.
const ANSWER_TIME: Duration = Duration::from_secs(10);
/// Longest answer: flag, leader, trunk server, 32 members.
const ANSWER_MAX: usize = 1 + 67 * Changes::BRIEFS_MAX;

/// Talks to the tracker until `stop`; connects again whenever the connection breaks.
pub(super) async fn keep(trackers: Rc<Trackers>, index: usize, stop: CancellationToken) {
    let addr = trackers.addr(index);
    let mut said = String::new();
    loop {
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = talk(&trackers, index, &mut said) => ended,
        };
        if let Err(error) = ended {
            let text = error.to_string();
            if text != said {
                tracing::error!(tracker = %addr, "the conversation with the tracker ended: {text}");
                said = text;
            }
        }
        trackers.statuses.borrow_mut()[index] = None;
        if trackers.leader() == Some(addr) {
            trackers.set_leader(addr, None);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(SOON) => {}
        }
    }
}

async fn talk(trackers: &Trackers, index: usize, said: &mut String) -> Result<(), CallError> {
    let mut tracker = trackers.connect(trackers.addr(index)).await?;
    tracing::info!(tracker = %tracker.addr(), "successfully connect to tracker server {}", tracker.addr());
    refresh(&trackers.storage, &mut tracker).await?;
    let settled = join(trackers, index, &mut tracker).await?;
    said.clear();
    let mut session = Session { settled, ..Session::new(trackers, index, tracker) };
    loop {
        session.step().await?;
        if session.rejoin {
            return Ok(());
        }
    }
}

struct Session<'a> {
    trackers: &'a Trackers,
    index: usize,
    storage: &'a Arc<Storage>,
    tracker: Peer,
    beat_at: Instant,
    disk_at: Instant,
    /// Changes in the condition of the disks, which the trackers learn at once.
    disks: tokio::sync::watch::Receiver<u64>,
    sent: Option<StatBlock>,
    synced: u64,
    rejoin: bool,
    /// Whether the tracker has been told who brings the old files.
    settled: bool,
    since: Instant,
}

impl<'a> Session<'a> {
    fn new(trackers: &'a Trackers, index: usize, tracker: Peer) -> Self {
        let now = Instant::now();
        let storage = &trackers.storage;
        Self {
            trackers,
            index,
            storage,
            tracker,
            beat_at: now,
            disk_at: now,
            disks: storage.paths.changes(),
            sent: None,
            synced: 0,
            rejoin: false,
            settled: false,
            since: now,
        }
    }

    async fn step(&mut self) -> Result<(), CallError> {
        let mut changes = self.storage.members.follow();
        let mut soon = self.beat_at.min(self.disk_at);
        let leads = self.trackers.leader() == Some(self.trackers.addr(self.index));
        if leads {
            soon = soon.min(Instant::now() + PROBE);
        }
        tokio::select! {
            () = tokio::time::sleep_until(soon) => {}
            () = self.trackers.leader_lost() => self.beat_at = Instant::now(),
            // A change of the group is news that this tracker may have more of.
            _ = self.disks.changed() => self.disk_at = Instant::now(),
            _ = changes.changed() => self.beat_at = self.beat_at.min(Instant::now() + SOON),
        }
        if leads && Instant::now() < self.beat_at.min(self.disk_at) {
            self.probe().await?;
        }
        self.correct().await?;
        if Instant::now() >= self.disk_at {
            self.disk().await?;
            self.disk_at = Instant::now() + self.storage.settings.stat_report_interval.duration();
        }
        if Instant::now() >= self.beat_at {
            if !self.settled {
                self.settled = notify(self.trackers, self.index, &mut self.tracker).await?;
            }
            self.beat().await?;
            self.report_synced().await?;
            self.beat_at = Instant::now() + self.pause();
        }
        Ok(())
    }

    /// Whether the leader is alive: one that is frozen is noticed long before the next beat.
    async fn probe(&mut self) -> Result<(), CallError> {
        self.ask_within(PROBE_ANSWER, cmd::ACTIVE_TEST, &[], 0).await.map(drop)
    }

    /// Asks the tracker, which has nothing to do but to answer.
    async fn ask(&mut self, command: u8, body: &[u8], max: usize) -> Result<Bytes, CallError> {
        self.ask_within(ANSWER_TIME, command, body, max).await
    }

    async fn ask_within(
        &mut self,
        limit: Duration,
        command: u8,
        body: &[u8],
        max: usize,
    ) -> Result<Bytes, CallError> {
        within(limit, self.tracker.addr(), self.tracker.ask(command, body, max)).await
    }

    /// Tells a follower what the leader thinks of this storage (command 59): one that was away may believe that old
    /// files are still missing here.
    async fn correct(&mut self) -> Result<(), CallError> {
        let addr = self.trackers.addr(self.index);
        let Some(leader) = self.trackers.leader().filter(|leader| *leader != addr) else { return Ok(()) };
        let ours = self.storage.members.get(&self.storage.identity.id).map(|member| member.status);
        let theirs = self.trackers.statuses.borrow()[self.index];
        let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(()) };
        if agree(ours, theirs) {
            return Ok(());
        }
        // That is what they said a while ago: since then the source may have told them that its copy is complete.
        let asked = own_status(self.storage, &mut self.tracker);
        let Some(theirs) = within(ANSWER_TIME, addr, asked).await? else {
            tracing::warn!(tracker = %addr, "the tracker has forgotten this storage: it joins again");
            self.rejoin = true;
            return Ok(());
        };
        self.trackers.statuses.borrow_mut()[self.index] = Some(theirs);
        let asked = async { own_status(self.storage, &mut self.trackers.connect(leader).await?).await };
        let Ok(Some(ours)) = within(ANSWER_TIME, leader, asked).await else { return Ok(()) };
        if agree(ours, theirs) {
            return Ok(());
        }
        tracing::info!(tracker = %addr, leader = ours.name(), follower = theirs.name(), "the tracker is told our status");
        self.ask(cmd::CHANGE_STATUS, &[ours.wire()], 64).await?;
        // What is in service is OFFLINE to the tracker now, until the beat that follows.
        let told = if in_service(ours) { StorageStatus::Offline } else { ours };
        self.trackers.statuses.borrow_mut()[self.index] = Some(told);
        self.beat_at = Instant::now();
        Ok(())
    }

    /// A leader that was restarted may believe that this storage still waits for its old files. If it was told of as
    /// active in the life of this process, the copy was complete: it is told so, and the next beat makes it active.
    /// (Others must not say that of a member: it may have been wiped and be waiting indeed.)
    async fn correct_leader(&mut self, told: &[Brief]) -> Result<(), CallError> {
        use StorageStatus::{Active, Offline, Syncing, WaitSync};
        let me = &self.storage.identity.id;
        let Some(brief) = told.iter().find(|brief| brief.id == me.field()) else { return Ok(()) };
        let waiting =
            StorageStatus::from_wire(brief.status).is_ok_and(|status| matches!(status, WaitSync | Syncing));
        let was_active = self.storage.members.get(me).is_some_and(|member| member.status == Active);
        if waiting && was_active {
            let report = StatusReport {
                group: self.storage.identity.group.field(),
                brief: Brief { status: Offline.wire(), ..*brief },
            };
            tracing::info!(tracker = %self.tracker.addr(), "the leader is told that our full copy was complete");
            self.ask(cmd::REPORT_STATUS, report.as_bytes(), 64).await?;
        }
        Ok(())
    }

    /// Until the next beat.
    fn pause(&self) -> Duration {
        let list = self.storage.members.list();
        let settled = !list.is_empty()
            && list.iter().all(|member| member.status == StorageStatus::Active || member.status.is_gone())
            && self.trackers.leader().is_some()
            // A group that is just being set up: its other members join in these moments.
            && self.since.elapsed() > YOUNG;
        let normal = self.storage.settings.heart_beat_interval.duration().max(SOON);
        if settled { normal } else { SOON }
    }

    async fn beat(&mut self) -> Result<(), CallError> {
        let block = self.storage.stat.block([0; 3]);
        let body = if self.sent == Some(block) { &[][..] } else { block.as_bytes() };
        let answer = self.ask(cmd::STORAGE_BEAT, body, ANSWER_MAX).await?;
        self.sent = Some(block);
        self.take(&answer).await?;
        let members = self.storage.members.list();
        self.follow_moves(|id| members.iter().any(|one| one.id.as_str() == id && !one.status.is_gone())).await
    }

    /// Reads what is new in the change log. What it says of members that are `living` was undone since.
    async fn follow_moves(&mut self, living: impl Fn(&str) -> bool) -> Result<(), CallError> {
        let params = self.storage.params.load_full();
        if params.ip_changed_auto_adjust && !params.use_storage_id {
            let lines = self.ask(cmd::CHANGELOG_REQ, b"", CHANGELOG_MAX).await?;
            moved::apply(self.storage, &String::from_utf8_lossy(&lines), living);
        }
        Ok(())
    }

    async fn disk(&mut self) -> Result<(), CallError> {
        let number = |n: u64| I64::new(i64::try_from(n).unwrap_or(i64::MAX));
        let body: Vec<u8> = self
            .storage
            .paths
            .indexes()
            .flat_map(|path| {
                let space = self.storage.paths.reported(path);
                let usage = PathUsage { total_mb: number(space.total_mib), free_mb: number(space.free_mib) };
                usage.as_bytes().to_vec()
            })
            .collect();
        let answer = self.ask(cmd::REPORT_DISK_USAGE, &body, ANSWER_MAX).await?;
        self.take(&answer).await
    }

    async fn report_synced(&mut self) -> Result<(), CallError> {
        let changes = self.storage.synced.changes();
        if changes == self.synced {
            return Ok(());
        }
        let body: Vec<u8> = self
            .storage
            .synced
            .times()
            .into_iter()
            .flat_map(|(id, time)| {
                let timestamp = I32::new(i32::try_from(time).unwrap_or(i32::MAX));
                SyncedFrom { source_id: id.field(), timestamp }.as_bytes().to_vec()
            })
            .collect();
        let answer = self.ask(cmd::SYNC_REPORT, &body, ANSWER_MAX).await?;
        self.synced = changes;
        self.take(&answer).await
    }

    /// News in an answer.
    async fn take(&mut self, answer: &[u8]) -> Result<(), CallError> {
        let changes = Changes::parse(answer).map_err(|bad| CallError {
            addr: self.tracker.addr(),
            doing: "read the tracker's news",
            kind: CallErrorKind::BadAnswer(bad.to_string()),
        })?;
        if let Some(leader) = &changes.leader {
            self.trackers.set_leader(self.tracker.addr(), addr_of(leader));
        }
        let Some(told) = &changes.members else { return Ok(()) };
        self.correct_leader(told).await?;
        // Before senders learn of it: one that ends puts its mark aside, and one without a mark copies everything.
        self.follow_moves(|id| is_living(told, id)).await?;
        let merged = self.storage.members.update(|list| {
            let merged = merge(list, told, &self.storage.identity.id);
            for member in &merged.list {
                let before = list.iter().find(|old| old.id == member.id).map(|old| old.status);
                if before != Some(member.status) {
                    tracing::info!(member = %member.id, addr = %member.addr, status = member.status.name(),
                        before = before.map_or("unknown", StorageStatus::name), "member of the group");
                }
            }
            list.clone_from(&merged.list);
            merged
        });
        if !merged.tell.is_empty() {
            let body: Vec<u8> = merged.tell.iter().flat_map(|brief| brief.as_bytes().to_vec()).collect();
            self.ask(cmd::REPLICA_CHG, &body, 64).await?;
        }
        self.rejoin |= merged.rejoin;
        Ok(())
    }
}

async fn within<T>(
    limit: Duration,
    addr: SocketAddr,
    asked: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout(limit, asked).await.unwrap_or_else(|_| {
        let kind = ConnError::TimedOut(limit.as_secs()).into();
        Err(CallError { addr, doing: "wait for the answer", kind })
    })
}

/// Has its files: such statuses follow each other by beats and connections alone.
fn in_service(status: StorageStatus) -> bool {
    matches!(status, StorageStatus::Offline | StorageStatus::Online | StorageStatus::Active)
}

fn agree(one: StorageStatus, other: StorageStatus) -> bool {
    one == other || (in_service(one) && in_service(other))
}

fn addr_of(brief: &Brief) -> Option<SocketAddr> {
    let port = u16::try_from(brief.port.get()).ok()?;
    Some(SocketAddr::new(brief.ip.ip()?, port))
}
