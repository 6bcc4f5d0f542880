//! Several trackers, as real processes: one leads, and when it is killed or frozen another one does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use fdfs_core::wire::cmd;
use rustix::process::Signal;

use crate::daemon::{Daemon, free_port};
use crate::support::{Client, named, until};

/// A storage that joins every tracker, again and again, and beats.
struct Member {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    fn start(ip: &'static str, trackers: Vec<SocketAddr>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut links: Vec<Option<Client>> = trackers.iter().map(|_| None).collect();
            while !stopped.load(Ordering::Relaxed) {
                for (link, tracker) in links.iter_mut().zip(&trackers) {
                    match link.take() {
                        None => *link = joined(ip, *tracker, &trackers),
                        Some(mut client) => {
                            if client.try_call(cmd::STORAGE_BEAT, &[]).is_some_and(|(status, _)| status == 0)
                            {
                                *link = Some(client);
                            }
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

fn joined(ip: &str, tracker: SocketAddr, trackers: &[SocketAddr]) -> Option<Client> {
    let mut client = Client::try_from(tracker, ip).ok()?;
    client.stream.set_read_timeout(Some(Duration::from_secs(6))).ok()?;
    let body = client.join_body(trackers, "group1", |head| (head.init_flag, head.status) = (0, 7));
    let (status, _) = client.try_call(cmd::STORAGE_JOIN, &body)?;
    if status != 0 {
        return None;
    }
    Some(client)
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Addresses of one free port on loopback.
fn addrs(hosts: &[&str]) -> Vec<SocketAddr> {
    let port = free_port();
    hosts.iter().map(|host| SocketAddr::new(host.parse().unwrap(), port)).collect()
}

fn agreed(trackers: &[&Daemon]) -> SocketAddr {
    until("the trackers to agree on a leader", || {
        let leaders: Vec<_> = trackers.iter().map(|tracker| tracker.leader()).collect();
        leaders[0].filter(|first| leaders.iter().all(|leader| *leader == Some(*first)))
    })
}

#[test]
fn a_killed_leader_is_replaced_and_returns_as_follower() {
    let addrs = addrs(&["127.0.0.61", "127.0.0.62"]);
    let mut daemons: Vec<Daemon> = addrs.iter().map(|addr| Daemon::start(*addr)).collect();
    let _member = Member::start("127.0.0.71", addrs.clone());
    let first = agreed(&[&daemons[0], &daemons[1]]);
    let at = daemons.iter().position(|daemon| daemon.addr == first).unwrap();
    daemons[at].kill();
    let other = &daemons[1 - at];
    until("the other tracker to lead", || (other.leader() == Some(other.addr)).then_some(()));
    let second = other.addr;
    daemons[at].again();
    assert_eq!(agreed(&[&daemons[0], &daemons[1]]), second, "the first returns as a follower");
    let stat = Client::from(second, "127.0.0.1").call(cmd::TRACKER_CLUSTER_STAT, &[0; 3]);
    assert_eq!((stat.0, stat.1.len(), stat.1[0]), (0, 1 + 2 * 90, 2));
}

#[test]
fn a_frozen_tracker_holds_nobody_up() {
    let addrs = addrs(&["127.0.0.63", "127.0.0.64", "127.0.0.65"]);
    let daemons: Vec<Daemon> = addrs.iter().map(|addr| Daemon::start(*addr)).collect();
    let _member = Member::start("127.0.0.72", addrs.clone());
    let first = agreed(&[&daemons[0], &daemons[1], &daemons[2]]);
    let at = daemons.iter().position(|daemon| daemon.addr == first).unwrap();
    daemons[at].signal(Signal::STOP);
    let others: Vec<&Daemon> = daemons.iter().filter(|daemon| daemon.addr != first).collect();
    let second = until("the others to agree on a new leader", || {
        let leaders: Vec<_> = others.iter().map(|tracker| tracker.leader()).collect();
        leaders[0].filter(|one| *one != first && leaders[1] == Some(*one))
    });
    daemons[at].signal(Signal::CONT);
    assert_eq!(
        agreed(&[&daemons[0], &daemons[1], &daemons[2]]),
        second,
        "a leader that stood still steps down"
    );
}

#[test]
fn a_new_tracker_takes_the_groups_of_the_others() {
    let addrs = addrs(&["127.0.0.66", "127.0.0.67"]);
    let old = Daemon::start(addrs[0]);
    let _one = Member::start("127.0.0.73", vec![addrs[0]]);
    let members = |tracker: &Daemon| {
        let mut client = Client::try_from(tracker.addr, "127.0.0.1").ok()?;
        let (_, body) = client.try_call(cmd::LIST_STORAGE, &named("group1", &[]))?;
        Some(body.len() / 487)
    };
    until("the first member", || members(&old).filter(|count| *count == 1));
    let new = Daemon::start(addrs[1]);
    let _two = Member::start("127.0.0.74", addrs.clone());
    until("both members at the new tracker", || members(&new).filter(|count| *count == 2));
}
