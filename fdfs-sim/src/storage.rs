//! A scripted storage: joins every tracker, beats, and remembers who leads.

use std::rc::Rc;
use std::time::Duration;

use fdfs_core::wire::report::{Changes, JoinHead};
use fdfs_core::wire::{IpField, Text, cmd};
use fdfs_net::{CallError, Peer, Timeouts};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use zerocopy::IntoBytes;

use crate::truth::{Shared, TRACKERS, group_of, tracker_addr};

/// Beats come so often; real ones every 30 s.
const BEAT: Duration = Duration::from_secs(5);
const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(2), network: Duration::from_secs(3) };
const ANSWER_MAX: usize = 4096;

/// The machine, for as long as it is not killed.
pub async fn run(at: usize, truth: Shared) -> turmoil::Result {
    truth.borrow_mut().leader_of_storage.remove(&at);
    let lost = Rc::new(Notify::new());
    for tracker in 0..TRACKERS {
        tokio::task::spawn_local(keep(at, tracker, Rc::clone(&truth), Rc::clone(&lost)));
    }
    std::future::pending().await
}

async fn keep(at: usize, tracker: usize, truth: Shared, lost: Rc<Notify>) {
    loop {
        let _ = talk(at, tracker, &truth, &lost).await;
        let was_leader = truth.borrow().leader_of_storage.get(&at) == Some(&tracker_addr(tracker));
        if was_leader {
            truth.borrow_mut().leader_of_storage.remove(&at);
            lost.notify_waiters();
        }
        sleep(Duration::from_secs(1)).await;
    }
}

async fn talk(at: usize, tracker: usize, truth: &Shared, lost: &Notify) -> Result<(), CallError> {
    let addr = tracker_addr(tracker);
    let mut peer = Peer::connect(addr, TIMEOUTS, None).await?;
    peer.ask(cmd::STORAGE_JOIN, &join_body(at, tracker), ANSWER_MAX).await?;
    let usage = [200_000i64.to_be_bytes(), 100_000i64.to_be_bytes()].concat();
    let answer = peer.ask(cmd::REPORT_DISK_USAGE, &usage, ANSWER_MAX).await?;
    take(at, tracker, truth, &answer);
    loop {
        let answer = peer.ask(cmd::STORAGE_BEAT, &[], ANSWER_MAX).await?;
        take(at, tracker, truth, &answer);
        let leaderless = !truth.borrow().leader_of_storage.contains_key(&at);
        let next = Instant::now() + if leaderless { Duration::from_secs(1) } else { BEAT };
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(next) => {}
            () = lost.notified() => {}
        }
    }
}

fn take(at: usize, tracker: usize, truth: &Shared, answer: &[u8]) {
    let changes = match Changes::parse(answer) {
        Ok(changes) => changes,
        Err(bad) => {
            return truth.borrow_mut().history.fail(format!("tracker {tracker} sent a bad answer: {bad}"));
        }
    };
    let Some(leader) = changes.leader else { return };
    let addr = leader
        .ip
        .ip()
        .map(|ip| std::net::SocketAddr::new(ip, u16::try_from(leader.port.get()).unwrap_or_default()));
    let mut truth = truth.borrow_mut();
    truth.history.note(&format!("storage {at} hears from tracker {tracker} that {addr:?} leads"));
    match addr {
        Some(addr) => truth.leader_of_storage.insert(at, addr),
        None => truth.leader_of_storage.remove(&at),
    };
}

fn join_body(at: usize, tracker: usize) -> Vec<u8> {
    let head = JoinHead {
        group: Text::cut(group_of(at).as_bytes()),
        port: 23000.into(),
        store_path_count: 1.into(),
        subdir_count: 4.into(),
        upload_priority: 10.into(),
        join_time: 1_700_000_000.into(),
        up_time: fdfs_net::unix_now().into(),
        version: Text::cut(b"6.16.1"),
        init_flag: 0,
        status: 7,
        id: Text::EMPTY,
        tracker_ip: IpField::of(tracker_addr(tracker).ip()),
        tracker_count: (TRACKERS as i64).into(),
    };
    let lines: String = (0..TRACKERS).map(|tracker| format!("{}\n", tracker_addr(tracker))).collect();
    [head.as_bytes(), lines.as_bytes()].concat()
}
