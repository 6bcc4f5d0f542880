//! Queries on a tracker, beside a server with the same framing and no work at all, both in turn.
//!
//!     tracker-bench [--requests 200000] [--connections 1,16,64,256] [--depths 1,16] [--rounds 3] [--calls]
//!
//! Starts the tracker that lies beside it, with 2 groups of 3 members. For each query, number of connections and depth of
//! pipelining: requests a second, latency (of the requests sent together), CPU time of the server per request, and that
//! of the echo server with answers of the same size. With `--calls` also system calls per request, a pass of its own.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use bench::load::Taken;
use bench::pipeline::Pipeline;
use bench::process::{Calls, cpu_time};
use bench::tracker::{Tracker, join_body, usage_body};
use clap::Parser;
use fdfs_core::wire::{Header, Text, cmd};
use fdfs_net::{Peer, Timeouts};

#[derive(Parser)]
struct Args {
    /// Requests of each line and round.
    #[arg(long, default_value_t = 200_000)]
    requests: usize,
    /// Numbers of connections.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    connections: Vec<usize>,
    /// Requests under way on each connection.
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    depths: Vec<usize>,
    /// Each line is the median of so many rounds, in which both servers take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Count system calls too.
    #[arg(long)]
    calls: bool,
    /// Be the echo server.
    #[arg(long, hide = true)]
    echo: bool,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let args = Args::parse();
    match if args.echo { echo() } else { run(&args) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Tells its address, and serves until the standard input ends.
fn echo() -> Result<(), Failure> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    io::stdout().flush()?;
    std::thread::spawn(move || bench::echo::serve(listener));
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

struct Echo(Child);

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_echo() -> Result<(Echo, SocketAddr), Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    let child = command.arg("--echo").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut echo = Echo(child);
    let mut text = String::new();
    let out = echo.0.stdout.take().ok_or("no output")?;
    io::BufRead::read_line(&mut io::BufReader::new(out), &mut text)?;
    Ok((echo, text.trim().parse()?))
}

fn run(args: &Args) -> Result<(), Failure> {
    // As many threads as the echo server has: the fewer connections a thread has, the more often it sleeps.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let conf = format!("check_active_interval = 36000\nmax_connections = 1024\nwork_threads = {threads}\n");
    let tracker = Tracker::start("127.0.0.1", &conf)?;
    let (echo, echo_addr) = start_echo()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _members = runtime.block_on(join(tracker.addr))?;
    let group = Text::<16>::cut(b"group1");
    let file = b"M00/00/00/CkIAFWsCn2CABdBAAAAAAGx7YPd02288.jpg";
    let queries = [
        ("query store", cmd::QUERY_STORE_WITHOUT_GROUP_ONE, Vec::new()),
        ("query fetch", cmd::QUERY_FETCH_ONE, [&group.raw()[..], file].concat()),
        ("list groups", cmd::LIST_ALL_GROUPS, Vec::new()),
    ];
    println!(
        "{:<12} {:>5} {:>6} {:>11} {:>10} {:>10} {:>10} {:>10} {:>7}",
        "query", "conns", "depth", "requests/s", "p50", "p99", "CPU us", "echo us", "ratio"
    );
    for (name, command, body) in queries {
        let request = [&Header::request(command, body.len() as u64).encode()[..], &body].concat();
        let answer = runtime.block_on(async {
            let mut peer = Peer::connect(tracker.addr, WAIT, None).await?;
            peer.ask(command, &body, 64 << 10).await
        })?;
        let size = u16::try_from(answer.len())?;
        // As many bytes as the query has, at least the two that tell the size of the answer.
        let mut echoed = size.to_be_bytes().to_vec();
        echoed.resize(body.len().max(2), 0);
        let floor = [&Header::request(1, echoed.len() as u64).encode()[..], &echoed].concat();
        for &connections in &args.connections {
            for &depth in &args.depths {
                let load = |addr, request: &Vec<u8>| Pipeline {
                    addr,
                    request: request.clone(),
                    answer: Header::SIZE + usize::from(size),
                    connections,
                    depth,
                    requests: args.requests,
                };
                let (queries, floors) = (load(tracker.addr, &request), load(echo_addr, &floor));
                let (mut ours, mut theirs) = (Vec::new(), Vec::new());
                for _ in 0..args.rounds.max(1) {
                    ours.push(measure(&queries, tracker.pid())?);
                    theirs.push(measure(&floors, echo.0.id())?);
                }
                let ((taken, ours), (_, theirs)) = (median(ours)?, median(theirs)?);
                println!(
                    "{name:<12} {connections:>5} {depth:>6} {:>11.0} {:>10.1?} {:>10.1?} {ours:>10.2} {theirs:>10.2} {:>7.2}",
                    taken.rate() * depth as f64,
                    taken.percentile(50),
                    taken.percentile(99),
                    ours / theirs
                );
                if args.calls {
                    println!(
                        "  calls: {}; echo: {}",
                        calls(&queries, tracker.pid())?,
                        calls(&floors, echo.0.id())?
                    );
                }
            }
        }
    }
    Ok(())
}

const WAIT: Timeouts = Timeouts { connect: Duration::from_secs(10), network: Duration::from_secs(10) };

async fn join(tracker: SocketAddr) -> Result<Vec<Peer>, Failure> {
    let mut members = Vec::new();
    for at in 0..6_u8 {
        let ip = IpAddr::from([127, 0, 7, at + 1]);
        let mut peer = Peer::connect(tracker, WAIT, Some(ip)).await?;
        let body = join_body(&format!("group{}", at / 3 + 1), "", &[tracker], tracker);
        peer.ask(cmd::STORAGE_JOIN, &body, 64).await?;
        peer.ask(cmd::REPORT_DISK_USAGE, &usage_body(), 4096).await?;
        members.push(peer);
    }
    Ok(members)
}

/// Also CPU time of the server per request, us.
fn measure(load: &Pipeline, pid: u32) -> Result<(Taken, f64), Failure> {
    let before = cpu_time(pid)?;
    let taken = load.run()?;
    let requests = taken.latencies.len() * load.depth;
    let cpu = (cpu_time(pid)? - before).as_secs_f64() * 1e6 / requests as f64;
    Ok((taken, cpu))
}

fn median(mut rounds: Vec<(Taken, f64)>) -> Result<(Taken, f64), Failure> {
    rounds.sort_by(|one, two| one.1.total_cmp(&two.1));
    let middle = rounds.len() / 2;
    rounds.into_iter().nth(middle).ok_or_else(|| "no round".into())
}

fn calls(load: &Pipeline, pid: u32) -> Result<String, Failure> {
    let few = Pipeline { requests: load.requests.min(20_000), ..load.clone() };
    let counting = Calls::begin(pid)?;
    let taken = few.run()?;
    let requests = taken.latencies.len() * few.depth;
    let counted = counting.end()?.into_iter().filter(|(_, calls)| *calls * 200 > requests as u64);
    let texts: Vec<String> =
        counted.map(|(name, calls)| format!("{name} {:.2}", calls as f64 / requests as f64)).collect();
    Ok(texts.join(", "))
}
