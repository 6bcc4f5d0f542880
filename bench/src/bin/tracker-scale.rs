//! Many storages on two trackers: memory, CPU time and the latency of queries meanwhile, the time until every storage knows the next
//! leader, and a restart with that state.
//!
//!     tracker-scale [--groups 512] [--members 32] [--seconds 20] [--beat 30]
//!
//! Each storage is a connection to each tracker from this process, which therefore needs 2 descriptors for each; `--trackers 1` halves
//! that (and leaves the change of the leader out).

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bench::load::Taken;
use bench::process::cpu_time;
use bench::tracker::{Tracker, join_body, usage_body};
use clap::Parser;
use fdfs_core::wire::cmd;
use fdfs_core::wire::list::GroupRecord;
use fdfs_core::wire::report::Changes;
use fdfs_net::{CallError, Peer, Timeouts};
use tokio::task::LocalSet;

#[derive(Parser, Clone)]
struct Args {
    /// Groups.
    #[arg(long, default_value_t = 64)]
    groups: usize,
    /// Members of each.
    #[arg(long, default_value_t = 32)]
    members: usize,
    /// Trackers, 1 or 2.
    #[arg(long, default_value_t = 2)]
    trackers: usize,
    /// Seconds of measuring.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Seconds between two beats of a storage.
    #[arg(long, default_value_t = 30)]
    beat: u64,
}

type Failure = Box<dyn std::error::Error>;
const WAIT: Timeouts = Timeouts { connect: Duration::from_secs(30), network: Duration::from_secs(30) };
/// Longest wait for all storages to join, or to know the leader.
const LONGEST: Duration = Duration::from_secs(240);

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The storages as one picture.
#[derive(Default)]
struct Crowd {
    joined: Cell<usize>,
    /// Leader that each storage was told last.
    leaders: RefCell<Vec<Option<SocketAddr>>>,
}

fn run(args: &Args) -> Result<(), Failure> {
    let storages = args.groups * args.members;
    let needed = (storages * args.trackers + 200) as u64;
    fdfs_net::raise_open_files(needed);
    // A server closes idle connections when a sixteenth of them is left.
    let more = format!("max_connections = {}\nmin_buff_size = 64KB\n", storages * 17 / 16 + 400);
    let mut trackers: Vec<Tracker> = (0..args.trackers)
        .map(|at| Tracker::start(["127.0.5.1", "127.0.5.2"][at.min(1)], &more))
        .collect::<io::Result<_>>()?;
    let empty = trackers[0].memory()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let crowd = Rc::new(Crowd::default());
    crowd.leaders.borrow_mut().resize(storages, None);
    LocalSet::new().block_on(&runtime, async {
        let addrs: Vec<SocketAddr> = trackers.iter().map(|tracker| tracker.addr).collect();
        let began = Instant::now();
        for at in 0..storages {
            for to in 0..addrs.len() {
                let (crowd, addrs, args) = (Rc::clone(&crowd), addrs.clone(), args.clone());
                tokio::task::spawn_local(async move {
                    loop {
                        let _ = storage(&args, at, to, &addrs, &crowd).await;
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                });
            }
            // A storm, but not a flood: the backlog of a socket is limited.
            if at % 200 == 199 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        until("all storages to join", || crowd.joined.get() >= storages * addrs.len()).await?;
        println!("{storages} storages joined {} trackers in {:.1?}", addrs.len(), began.elapsed());
        until("all to know one leader", || one_leader(&crowd).is_some()).await?;
        let leader = one_leader(&crowd).ok_or("no leader")?;
        let at = addrs.iter().position(|addr| *addr == leader).ok_or("a strange leader")?;
        check_groups(leader, args.groups).await?;
        let grown = trackers[at].memory()?.saturating_sub(empty);
        println!("memory of the leader: {} MiB, {} bytes for each member", grown >> 20, grown / storages as u64);

        let (cpu, began) = (cpu_time(trackers[at].pid())?, Instant::now());
        let taken = queries(leader, Duration::from_secs(args.seconds)).await?;
        let used = (cpu_time(trackers[at].pid())? - cpu).as_secs_f64() / began.elapsed().as_secs_f64();
        println!(
            "meanwhile {} queries for a store server: p50 {:.1?}, p99 {:.1?}; the leader used {:.1} % of a core",
            taken.latencies.len(),
            taken.percentile(50),
            taken.percentile(99),
            used * 100.0
        );
        if addrs.len() == 2 {
            let other = addrs[1 - at];
            let began = Instant::now();
            trackers[at].kill()?;
            until("all to know the next leader", || one_leader(&crowd) == Some(other)).await?;
            println!("{:.1?} after the leader was killed, every storage knows the next one", began.elapsed());
            check_groups(other, args.groups).await?;
        } else {
            trackers[at].stop()?;
        }
        let took = trackers[at].again()?;
        let began = Instant::now();
        check_groups(leader, args.groups).await?;
        println!("restart with that state: {took:.1?} until it accepts, {:.1?} more until it lists all groups", began.elapsed());
        Ok(())
    })
}

/// One conversation of a storage with a tracker.
async fn storage(
    args: &Args,
    at: usize,
    to: usize,
    addrs: &[SocketAddr],
    crowd: &Crowd,
) -> Result<(), CallError> {
    let number = u8::try_from(at % 250).unwrap_or(0) + 1;
    let ip = IpAddr::from([127, 16, u8::try_from(at / 250).unwrap_or(0), number]);
    let mut peer = Peer::connect(addrs[to], WAIT, Some(ip)).await?;
    let body = join_body(&format!("group{}", at / args.members + 1), "", addrs, addrs[to]);
    peer.ask(cmd::STORAGE_JOIN, &body, 64).await?;
    let answer = peer.ask(cmd::REPORT_DISK_USAGE, &usage_body(), 8192).await?;
    crowd.joined.set(crowd.joined.get() + 1);
    let ended = beats(args, at, addrs[to], &mut peer, crowd, answer).await;
    crowd.joined.set(crowd.joined.get() - 1);
    let mut leaders = crowd.leaders.borrow_mut();
    if leaders[at] == Some(addrs[to]) {
        leaders[at] = None;
    }
    ended
}

async fn beats(
    args: &Args,
    at: usize,
    addr: SocketAddr,
    peer: &mut Peer,
    crowd: &Crowd,
    first: bytes::Bytes,
) -> Result<(), CallError> {
    let mut answer = first;
    loop {
        if Changes::parse(&answer).is_ok_and(|changes| changes.leader.is_some()) {
            // Only the leader tells.
            crowd.leaders.borrow_mut()[at] = Some(addr);
        }
        let next = Instant::now() + Duration::from_secs(args.beat);
        // As a storage does: without a leader the others are asked every second, and a leader is tested every 3 s.
        for second in 1.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let leader = crowd.leaders.borrow()[at];
            if leader.is_none() || Instant::now() >= next {
                break;
            }
            if leader == Some(addr) && second % 3 == 0 {
                peer.ask(cmd::ACTIVE_TEST, &[], 0).await?;
            }
        }
        answer = peer.ask(cmd::STORAGE_BEAT, &[], 8192).await?;
    }
}

/// The leader that all know.
fn one_leader(crowd: &Crowd) -> Option<SocketAddr> {
    let leaders = crowd.leaders.borrow();
    let first = leaders.first().copied().flatten()?;
    leaders.iter().all(|leader| *leader == Some(first)).then_some(first)
}

async fn until(what: &str, done: impl Fn() -> bool) -> Result<(), Failure> {
    let end = Instant::now() + LONGEST;
    while !done() {
        if Instant::now() > end {
            return Err(format!("waited too long for {what}").into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Every group is listed.
async fn check_groups(tracker: SocketAddr, groups: usize) -> Result<(), Failure> {
    let mut peer = Peer::connect(tracker, WAIT, None).await?;
    let list = GroupRecord::parse_list(&peer.ask(cmd::LIST_ALL_GROUPS, &[], 1 << 20).await?)?;
    if list.len() == groups {
        Ok(())
    } else {
        Err(format!("{} of {groups} groups are listed", list.len()).into())
    }
}

/// One query after the other.
async fn queries(tracker: SocketAddr, time: Duration) -> Result<Taken, Failure> {
    let mut peer = Peer::connect(tracker, WAIT, None).await?;
    let (began, mut latencies) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        let asked = Instant::now();
        peer.ask(cmd::QUERY_STORE_WITHOUT_GROUP_ONE, &[], 256).await?;
        latencies.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    latencies.sort();
    Ok(Taken { time: began.elapsed(), latencies, files: Vec::new() })
}
