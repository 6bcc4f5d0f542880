//! Uploads, downloads, appends and deletes on one storage, in turn with the same on a floor: a server that does only the system calls
//! that cannot be avoided, on the same file system.
//!
//!     cargo build --profile fast -p bench -p fdfs-tracker -p fdfs-storage
//!     target/fast/storage-bench [--dir /dev/shm] [--connections 1,16] [--sizes 4096,65536] [--calls]
//!
//! Starts both (the daemons that lie beside it). A line per operation, size and number of connections: operations a second, latencies,
//! CPU time per operation of the storage and of the floor, their ratio; with `--calls` the system calls per operation, counted in a pass of
//! its own under strace. Every figure but the CPU time contains the work of the clients, which share the cores.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use bench::load::{Load, Operation, Taken};
use bench::process::{Calls, cpu_time, memory};
use bench::storage::Storage;
use clap::Parser;

type Failure = Box<dyn std::error::Error>;

/// Most bytes that the files of one measurement may have together.
const BYTES_MAX: usize = 4 << 30;
/// From the last operation until the storage counts as idle.
const IDLE: Duration = Duration::from_secs(5);

#[derive(Parser)]
struct Args {
    /// Where the data go; folders of its own are made and removed there.
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
    /// Operations of each kind, for sizes up to 64 KiB; fewer for larger ones.
    #[arg(long, default_value_t = 20_000)]
    operations: usize,
    /// Numbers of connections.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    connections: Vec<usize>,
    /// Sizes in bytes.
    #[arg(long, value_delimiter = ',', default_value = "4096,65536,1048576,67108864")]
    sizes: Vec<usize>,
    /// How often storage and floor take turns.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Count system calls too.
    #[arg(long)]
    calls: bool,
    /// Lines for the configuration of the storage.
    #[arg(long, default_value = "")]
    conf: String,
    /// Be the floor.
    #[arg(long, hide = true)]
    serve_floor: Option<SocketAddr>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A server under measurement.
struct Target {
    addr: SocketAddr,
    pid: u32,
}

/// The floor's process; it ends, and its files go, when this is dropped.
struct Floor(Child, PathBuf);

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let most = args.connections.iter().copied().max().unwrap_or(1);
    if let Some(addr) = args.serve_floor {
        return Ok(bench::floor::serve(TcpListener::bind(addr)?, &args.dir, most + 1)?);
    }
    fdfs_net::raise_open_files(2 * most as u64 + 200);
    let dir = |name: &str| args.dir.join(format!("storage-bench-{}-{name}", std::process::id()));
    let storage = Storage::start(&dir("storage"), &args.conf.replace("\\n", "\n"))?;
    let (floor, addr) = start_floor(dir("floor"), most)?;
    let targets = [Target { addr: storage.addr, pid: storage.pid() }, Target { addr, pid: floor.0.id() }];
    println!(
        "{:<18} {:>5} {:>9} {:>8} {:>9} {:>9} {:>9} {:>10} {:>10} {:>6}",
        "operation", "conns", "ops/s", "MiB/s", "p50", "p99", "p99.9", "CPU", "floor", "ratio"
    );
    for &connections in &args.connections {
        let operations = args.operations.max(connections);
        measure(args, &targets, &[Operation::ActiveTest], 0, connections, operations)?;
        for &size in &args.sizes {
            // Large files: as many bytes as 64 KiB files would be.
            let fit = |operations: usize| operations.min(BYTES_MAX / size.max(1));
            let operations = fit(args.operations.min((args.operations << 16) / size.max(1)).max(connections));
            if operations < connections {
                println!(
                    "{:<18} {connections:>5} more than {} MiB: left out",
                    size_text(size),
                    BYTES_MAX >> 20
                );
                continue;
            }
            measure(args, &targets, &[Operation::Upload, Operation::Delete], size, connections, operations)?;
            measure(args, &targets, &[Operation::Download], size, connections, operations)?;
            measure(args, &targets, &[Operation::Append], size, connections, operations)?;
        }
    }
    let (peak, _) = memory(storage.pid())?;
    std::thread::sleep(IDLE);
    let (_, now) = memory(storage.pid())?;
    let mib = |bytes: u64| bytes as f64 / 1048576.0;
    println!("memory of the storage: {:.1} MiB at its peak, {:.1} MiB when idle", mib(peak), mib(now));
    Ok(())
}

fn start_floor(dir: PathBuf, connections: usize) -> Result<(Floor, SocketAddr), Failure> {
    std::fs::create_dir(&dir)?;
    let addr = TcpListener::bind("127.0.6.3:0")?.local_addr()?;
    let child = Command::new(std::env::current_exe()?)
        .args(["--serve-floor", &addr.to_string(), "--connections", &connections.to_string(), "--dir"])
        .arg(&dir)
        .stdin(Stdio::null())
        .spawn()?;
    let floor = Floor(child, dir);
    let end = Instant::now() + Duration::from_secs(10);
    while let Err(error) = std::net::TcpStream::connect(addr) {
        if Instant::now() > end {
            return Err(error.into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok((floor, addr))
}

/// What several rounds of one operation took.
#[derive(Default)]
struct Sum {
    taken: Option<Taken>,
    cpu: Duration,
    count: u32,
}

/// `operations`, one after the other, on both in turn: what the first makes, the second deletes.
fn measure(
    args: &Args,
    targets: &[Target; 2],
    kinds: &[Operation],
    size: usize,
    connections: usize,
    operations: usize,
) -> Result<(), Failure> {
    let mut sums: Vec<[Sum; 2]> = kinds.iter().map(|_| Default::default()).collect();
    for _ in 0..args.rounds {
        for (side, target) in targets.iter().enumerate() {
            let mut files = Vec::new();
            for (kind, sums) in kinds.iter().zip(&mut sums) {
                let load = Load { files, ..Load::new(target.addr, *kind, operations, connections, size) };
                let before = cpu_time(target.pid)?;
                let mut taken = load.run()?;
                let sum = &mut sums[side];
                sum.cpu += cpu_time(target.pid)?.saturating_sub(before);
                sum.count += u32::try_from(taken.latencies.len())?;
                files = std::mem::take(&mut taken.files);
                sum.taken = Some(match sum.taken.take() {
                    None => taken,
                    Some(earlier) => earlier.and(taken),
                });
            }
        }
    }
    for (kind, [ours, floor]) in kinds.iter().zip(&sums) {
        let Some(taken) = &ours.taken else { continue };
        let cpu = [ours, floor].map(|sum| sum.cpu.as_secs_f64() * 1e6 / f64::from(sum.count.max(1)));
        println!(
            "{:<18} {connections:>5} {:>9.0} {:>8.0} {:>9.1?} {:>9.1?} {:>9.1?} {:>7.1} us {:>7.1} us {:>6.2}",
            format!("{kind:?} {}", size_text(size)),
            taken.rate(),
            if *kind == Operation::Delete { 0.0 } else { taken.rate() * size as f64 / 1048576.0 },
            taken.per_mille(500),
            taken.per_mille(990),
            taken.per_mille(999),
            cpu[0],
            cpu[1],
            cpu[0] / cpu[1],
        );
    }
    if args.calls {
        calls(&targets[0], kinds, size, connections, operations.min(2000).max(connections))?;
    }
    Ok(())
}

/// System calls of the storage per operation.
fn calls(
    target: &Target,
    kinds: &[Operation],
    size: usize,
    connections: usize,
    operations: usize,
) -> Result<(), Failure> {
    let mut files = Vec::new();
    for kind in kinds {
        let load = Load { files, ..Load::new(target.addr, *kind, operations, connections, size) };
        let counting = Calls::begin(target.pid)?;
        let taken = load.run()?;
        let text: Vec<String> = counting
            .end()?
            .into_iter()
            .filter(|(_, calls)| *calls * 20 > operations as u64)
            .map(|(name, calls)| format!("{name} {:.2}", calls as f64 / taken.latencies.len() as f64))
            .collect();
        println!("  system calls of {kind:?}: {}", text.join(", "));
        files = taken.files;
    }
    Ok(())
}

fn size_text(size: usize) -> String {
    match size {
        0 => String::new(),
        size if size.is_multiple_of(1 << 20) => format!("{} MiB", size >> 20),
        size => format!("{} KiB", size >> 10),
    }
}
