//! Who leads (tracker 7.2): a thread of its own selects, watches and follows. No request waits for it.

use std::sync::Arc;
use std::time::Duration;

use fdfs_core::cluster::{Leader, PeerStatus, TrackerAddr, winner};
use fdfs_core::wire::{Status, cmd};
use fdfs_net::CancellationToken;
use tokio::time::Instant;

use crate::admin::own_status;
use crate::follow::{Followed, Link};
use crate::link::{Outcome, ask_all};
use crate::service::Shared;

/// Period of the loop.
const TICK: Duration = Duration::from_secs(1);
/// Until a leader that did not answer is asked again.
const RETRY: Duration = Duration::from_millis(250);
/// From the first tracker list to the first election: the storages reach every tracker in this time.
const SETTLE: Duration = Duration::from_millis(300);
/// A leader whose round took so long, or that waited so long for its next one, stood still: another one may lead by now. Longer than
/// any round, shorter than the others need to replace it (3.2 s).
const FROZEN: Duration = Duration::from_millis(2500);
/// Checks in a row that find another leader, before the rank decides: one that was frozen steps down by itself within one.
const RIVALRY: u32 = 3;
/// Rounds to wait for the candidate that ranks first, before it is left out.
const PATIENCE: u32 = 5;
/// Difference of wall clock and passed time that is no change of the clock, seconds.
const CLOCK_SLACK_S: i64 = 2;
/// Wall-clock period of the status file, seconds.
const STATUS_PERIOD_S: i64 = 300;

/// The loop until `stop`.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut work = Work {
        shared,
        link: None,
        waited: (None, 0),
        last_tick: Instant::now(),
        rivalry: 0,
        last_took: Duration::ZERO,
        ticks: 0,
        checked: Instant::now(),
        wall_offset: crate::now(),
        began: Instant::now(),
        status_period: crate::now() / STATUS_PERIOD_S,
    };
    let mut settled = false;
    loop {
        let pause = work.pause();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
            () = work.shared.wake.notified() => {}
        }
        if !settled && work.shared.owner.view().trackers.myself().is_some() {
            tokio::time::sleep(SETTLE).await;
            settled = true;
            let view = work.shared.owner.view();
            view.trackers.others().for_each(|tracker| work.shared.meetings.arrange(tracker.first()));
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = work.tick() => {}
        }
    }
}

struct Work {
    shared: Arc<Shared>,
    /// Connection to the leader.
    link: Option<Link>,
    /// The candidate that is waited for, and for how many rounds.
    waited: (Option<TrackerAddr>, u32),
    /// End of the last round.
    last_tick: Instant,
    /// Checks in a row that found another leader.
    rivalry: u32,
    /// How long it took.
    last_took: Duration,
    ticks: u64,
    /// When the members were looked at last.
    checked: Instant,
    /// Wall clock minus the time that passed since the start, in seconds, when both were compared last.
    wall_offset: i64,
    /// Start of this loop.
    began: Instant,
    /// The period in which the status file was written last.
    status_period: i64,
}

impl Work {
    /// Without a leader soon again, but not in step with the other trackers.
    fn pause(&self) -> Duration {
        let view = self.shared.owner.view();
        match (&view.trackers.leader, view.trackers.myself()) {
            (Leader::Unknown, Some(me)) => {
                let spread =
                    u64::from(me.port) + me.first().ip().to_string().bytes().map(u64::from).sum::<u64>();
                Duration::from_millis(400 + (spread * 37 + self.ticks * 61) % 400)
            }
            (Leader::Other(_), _) if self.link.as_ref().is_some_and(Link::troubled) => RETRY,
            _ => TICK,
        }
    }

    async fn tick(&mut self) {
        let stood_still = self.last_tick.elapsed() > FROZEN || self.last_took > FROZEN;
        let began = Instant::now();
        self.ticks += 1;
        self.housekeeping();
        self.follow_or_lead(stood_still).await;
        self.last_tick = Instant::now();
        self.last_took = began.elapsed();
    }

    async fn follow_or_lead(&mut self, stood_still: bool) {
        let view = self.shared.owner.view().clone();
        let Some(me) = view.trackers.myself().cloned() else { return };
        match view.trackers.leader {
            Leader::Unknown => {
                self.link = None;
                self.select(&me).await;
            }
            Leader::Myself => {
                self.link = None;
                let alone = view.trackers.others().next().is_none();
                if !alone && (stood_still || self.ticks.is_multiple_of(2)) {
                    self.look_for_rivals(&me, stood_still).await;
                }
            }
            Leader::Other(addr) => {
                let link = self.link.take().filter(|link| link.leader() == addr);
                let mut link = link.unwrap_or_else(|| Link::new(addr));
                match link.ping(&self.shared).await {
                    Followed::Fine | Followed::Trouble => self.link = Some(link),
                    Followed::Lost(why) => self.set(Leader::Unknown, why).await,
                }
            }
        }
    }

    /// Work by the clock that is not about leaders.
    fn housekeeping(&mut self) {
        let offset = crate::now() - i64::try_from(self.began.elapsed().as_secs()).unwrap_or(0);
        let moved = offset - self.wall_offset;
        // Rounding makes a second of difference, a clock that is steered no more in a round.
        if moved.abs() > CLOCK_SLACK_S {
            self.wall_offset = offset;
            tracing::warn!("the clock was set by {moved} s: the silence of members is measured without that");
            self.shared.owner.tell(move |state, _| state.cluster.clock_moved(moved, crate::now()));
        }
        let shared = &self.shared;
        // A fifth of the interval: a member is offline after at most 1.2 intervals of silence.
        let period = u64::try_from(shared.rules().check_active / 5).unwrap_or(1).max(1);
        if self.checked.elapsed() >= Duration::from_secs(period) {
            self.checked = Instant::now();
            let rules = shared.rules.load_full();
            shared.owner.tell(move |state, out| state.cluster.check_alive(&rules, crate::now(), out));
        }
        let now = crate::now();
        if now / STATUS_PERIOD_S != self.status_period {
            self.status_period = now / STATUS_PERIOD_S;
            shared.save_status(now);
        }
    }

    async fn set(&self, leader: Leader, why: &'static str) {
        let changed = self.shared.owner.apply(move |state, _| state.trackers.set_leader(leader)).await;
        if changed.unwrap_or(false) {
            tracing::warn!("the tracker leader is given up: {why}");
        }
    }

    /// Step 1 of tracker 7.2.
    async fn select(&mut self, me: &TrackerAddr) {
        let view = self.shared.owner.view().clone();
        let others: Vec<TrackerAddr> = view.trackers.others().cloned().collect();
        let Some(own) = own_status(&view, &self.shared) else { return };
        if !others.is_empty() {
            tracing::info!("selecting tracker leader...");
        }
        let answers = statuses(ask_all(&self.shared, &others, cmd::TRACKER_GET_STATUS, Vec::new()).await);
        let patient =
            |tracker: &TrackerAddr| self.waited.0.as_ref() != Some(tracker) || self.waited.1 < PATIENCE;
        let ranked = answers
            .iter()
            .filter(|(tracker, status)| status.leader || patient(tracker))
            .map(|(tracker, status)| (tracker, *status));
        let first = winner(ranked.chain([(me, own)])).cloned().unwrap_or_else(|| me.clone());
        if first == *me {
            if self.elect(me, &answers).await {
                self.waited = (None, 0);
            }
            return;
        }
        if answers.iter().any(|(tracker, status)| *tracker == first && status.leader) {
            let addr = first.first();
            let set = self.shared.owner.apply(move |state, _| match state.trackers.leader {
                Leader::Unknown => state.trackers.set_leader(Leader::Other(addr)),
                _ => false,
            });
            if set.await.unwrap_or(false) {
                tracing::info!("the tracker leader {addr}");
                self.shared.wake.notify_one();
            }
            self.waited = (None, 0);
            return;
        }
        tracing::info!("waiting for the candidate tracker leader {} notify ...", first.first());
        self.waited = match self.waited.0.take() {
            Some(same) if same == first => (Some(same), self.waited.1 + 1),
            _ => (Some(first), 1),
        };
    }

    /// Both phases, with the trackers that told their status a moment ago. One that does not answer any more is
    /// left out; one that objects ends the attempt.
    async fn elect(&self, me: &TrackerAddr, voters: &[(TrackerAddr, PeerStatus)]) -> bool {
        let named = me.first();
        let text = named.to_string().into_bytes();
        let mut voters: Vec<TrackerAddr> = voters.iter().map(|(tracker, _)| tracker.clone()).collect();
        let noted = self.shared.owner.apply(move |state, _| state.trackers.notify(named)).await;
        if !matches!(noted, Ok(Ok(()))) {
            return false;
        }
        for phase in [cmd::TRACKER_NOTIFY_NEXT_LEADER, cmd::TRACKER_COMMIT_NEXT_LEADER] {
            let answers = ask_all(&self.shared, &voters, phase, text.clone()).await;
            for (tracker, outcome) in &answers {
                if let Outcome::Refused(status) = outcome
                    // It has no list yet and will find the leader when it has one.
                    && *status != Status::NOENT
                {
                    tracing::warn!(tracker = %tracker.first(), status = status.0, "a tracker objects to the new leader");
                    return false;
                }
            }
            voters = answers
                .into_iter()
                .filter(|(_, outcome)| matches!(outcome, Outcome::Answered(_)))
                .map(|(tracker, _)| tracker)
                .collect();
        }
        let committed = self.shared.owner.apply(move |state, _| state.trackers.commit(named)).await;
        match committed {
            Ok(Ok(_)) => tracing::info!("I am the new tracker leader {named}"),
            _ => return false,
        }
        true
    }

    /// After a partition, or when a frozen leader woke up, there may be two: the one that ranks higher stays,
    /// but one that stood still yields to whoever replaced it.
    async fn look_for_rivals(&mut self, me: &TrackerAddr, yields: bool) {
        let view = self.shared.owner.view().clone();
        let Some(own) = own_status(&view, &self.shared) else { return };
        let others: Vec<TrackerAddr> = view.trackers.others().cloned().collect();
        let answers = statuses(ask_all(&self.shared, &others, cmd::TRACKER_GET_STATUS, Vec::new()).await);
        let rivals: Vec<(TrackerAddr, PeerStatus)> =
            answers.into_iter().filter(|(_, status)| status.leader).collect();
        self.rivalry = if rivals.is_empty() { 0 } else { self.rivalry + 1 };
        if rivals.is_empty() || (self.rivalry < RIVALRY && !yields) {
            return;
        }
        self.rivalry = 0;
        let all = rivals.iter().map(|(tracker, status)| (tracker, *status)).chain([(me, own)]);
        let replaced = rivals.first().filter(|_| yields).map(|(tracker, _)| tracker);
        let stays = replaced.or_else(|| winner(all)).cloned().unwrap_or_else(|| me.clone());
        tracing::warn!("two leaders occur, new leader is {}", stays.first());
        if stays == *me {
            let losers: Vec<TrackerAddr> = rivals.into_iter().map(|(tracker, _)| tracker).collect();
            ask_all(&self.shared, &losers, cmd::TRACKER_NOTIFY_RESELECT_LEADER, Vec::new()).await;
        } else {
            self.set(Leader::Unknown, "another tracker leads as well, and ranks higher or replaced this one")
                .await;
        }
    }
}

fn statuses(answers: Vec<(TrackerAddr, Outcome)>) -> Vec<(TrackerAddr, PeerStatus)> {
    let status = |(tracker, outcome)| match outcome {
        Outcome::Answered(body) => PeerStatus::decode(&body).map(|status| (tracker, status)),
        _ => None,
    };
    answers.into_iter().filter_map(status).collect()
}
