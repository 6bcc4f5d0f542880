//! The leader of the trackers is killed, or frozen: every storage learns of the next one and says so in its log.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::Raw;
use fdfs_tests::wait_for;

const GET_LEADER: u8 = 95;
const LIMIT: Duration = Duration::from_secs(60);
const RARE_CHECK: &str = "check_active_interval = 2000\n";
const RARE_BEAT: &str = "heart_beat_interval = 1000\nstat_report_interval = 1000\n";

/// Who leads, as this tracker says.
fn leader(tracker: SocketAddr) -> Option<SocketAddr> {
    let stream = TcpStream::connect_timeout(&tracker, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let answer = Raw(stream).ask(GET_LEADER, &[]).ok()?;
    std::str::from_utf8(&answer.body).ok()?.trim_end_matches('\0').parse().ok()
}

/// How often the logs of both members say that this tracker leads.
fn told(cluster: &Cluster, leader: SocketAddr) -> [usize; 2] {
    let line = format!("set tracker leader: {leader}");
    [0, 1].map(|member| {
        let log = cluster.members[member].base.join("logs/storaged.log");
        std::fs::read_to_string(log).unwrap_or_default().matches(&line).count()
    })
}

fn both_more(cluster: &Cluster, leader: SocketAddr, before: [usize; 2]) -> bool {
    told(cluster, leader).iter().zip(before).all(|(now, before)| *now > before)
}

#[test]
fn storages_learn_of_the_next_leader() {
    let mut cluster = Cluster::start("leader", 1);
    // Beats so rare that whoever waits for the next one fails.
    for index in 0..2 {
        cluster.storage(index).stop();
        cluster.tracker_process(index).stop();
    }
    for index in 0..2 {
        cluster.start_tracker_with(index, RARE_CHECK);
        cluster.start_storage_with(index, RARE_BEAT);
    }
    cluster.wait_active();
    let trackers = [cluster.tracker(0), cluster.tracker(1)];
    let agreed = || Some(leader(trackers[0])?).filter(|found| leader(trackers[1]) == Some(*found));
    wait_for("both trackers agree", LIMIT, || agreed().is_some());
    let first = agreed().unwrap();
    wait_for("both storages know the leader", LIMIT, || both_more(&cluster, first, [0, 0]));
    let at = trackers.iter().position(|addr| *addr == first).unwrap();
    let other = 1 - at;

    let before = told(&cluster, trackers[other]);
    cluster.tracker_process(at).kill();
    let leads =
        wait_for("the other tracker leads", LIMIT, || leader(trackers[other]) == Some(trackers[other]));
    let known = wait_for("storages know it", LIMIT, || both_more(&cluster, trackers[other], before));
    println!("killed: another leads after {leads:?}, the storages know after {known:?} more");
    cluster.start_tracker_with(at, RARE_CHECK);
    wait_for("the first follows", LIMIT, || leader(trackers[at]) == Some(trackers[other]));

    let before = told(&cluster, trackers[at]);
    cluster.tracker_process(other).signal(libc::SIGSTOP);
    let leads = wait_for("the first leads again", LIMIT, || leader(trackers[at]) == Some(trackers[at]));
    let known = wait_for("storages know it", LIMIT, || both_more(&cluster, trackers[at], before));
    println!("frozen: another leads after {leads:?}, the storages know after {known:?} more");
    cluster.tracker_process(other).signal(libc::SIGCONT);
    wait_for("the thawed one follows", LIMIT, || agreed() == Some(trackers[at]));
    cluster.wait_active();
}
