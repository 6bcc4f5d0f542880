//! How fast a pair of storages replicates.
//!
//!     replication-bench --programs target/release [--dir /dev/shm] [--sets 20000x4096,2000x65536,8x67108864] [--join 100000]
//!
//! Starts a tracker and two storages on loopback addresses, uploads each set to the first at full speed, and tells how long after
//! the last answer the second has everything, the lag of each file while uploading, and the CPU time of both. With `--join
//! N`: N files of 4 KiB on one storage, then a second one joins: the time of the full copy.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bench::load::{Load, Operation};
use bench::process::cpu_time;
use clap::Parser;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
struct Args {
    /// Folder with fdfs_trackerd and fdfs_storaged.
    #[arg(long, default_value = "target/release")]
    programs: PathBuf,
    /// Where the data go; a folder of its own is made and removed there.
    #[arg(long, default_value = "/dev/shm")]
    dir: PathBuf,
    /// Files and their size in bytes.
    #[arg(long, value_delimiter = ',', default_value = "20000x4096,2000x65536,8x67108864")]
    sets: Vec<String>,
    /// Uploading connections.
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Files that are there when the second storage joins.
    #[arg(long)]
    join: Option<usize>,
    /// Lines for the configuration of the storages.
    #[arg(long, default_value = "")]
    conf: String,
    /// Only the first storage, to compare the uploads.
    #[arg(long)]
    alone: bool,
}

/// Length of a record: time, letter, logic name with the extension `bin`.
const LINE: u64 = 10 + 3 + 44 + 1;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// A process that ends with this one's interest in it.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Cluster<'a> {
    args: &'a Args,
    dir: PathBuf,
    net: u8,
    daemons: Vec<Daemon>,
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        self.daemons.clear();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl<'a> Cluster<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let dir = args.dir.join(format!("replication-bench-{}", std::process::id()));
        fs::create_dir(&dir)?;
        let mut cluster = Self { args, dir, net: (std::process::id() % 200) as u8 + 20, daemons: Vec::new() };
        let (base, addr) = (cluster.base("tracker")?, cluster.addr(1, 22122));
        let text = format!(
            "bind_addr={}\nport=22122\nbase_path={}\nreserved_storage_space=1%\n",
            addr.ip(),
            base.display()
        );
        cluster.start("fdfs_trackerd", &base.join("tracker.conf"), &text)?;
        Ok(cluster)
    }

    fn base(&self, name: &str) -> Result<PathBuf, Failure> {
        let base = self.dir.join(name);
        fs::create_dir(&base)?;
        Ok(base)
    }

    fn addr(&self, host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([127, 230, self.net, host], port))
    }

    fn start(&mut self, program: &str, conf: &Path, text: &str) -> Result<u32, Failure> {
        fs::write(conf, text)?;
        let mut command = Command::new(self.args.programs.join(program));
        let child = command.arg("-N").arg(conf).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let pid = child.id();
        self.daemons.push(Daemon(child));
        Ok(pid)
    }

    /// Starts a storage and waits until it serves.
    fn storage(&mut self, host: u8) -> Result<u32, Failure> {
        let (base, addr) = (self.base(&format!("storage{host}"))?, self.addr(host, 23000));
        let text = format!(
            "group_name=group1\nbind_addr={}\nport=23000\nbase_path={b}\nstore_path0={b}\ntracker_server={}\n\
             heart_beat_interval=1\nsubdir_count_per_path=16\nnetwork_timeout=60\n{}\n",
            addr.ip(),
            self.addr(1, 22122),
            self.args.conf.replace(',', "\n"),
            b = base.display()
        );
        let pid = self.start("fdfs_storaged", &base.join("storage.conf"), &text)?;
        wait("the storage serves", || std::net::TcpStream::connect(addr).is_ok())?;
        Ok(pid)
    }

    fn log(&self, host: u8) -> PathBuf {
        self.dir.join(format!("storage{host}/data/sync/binlog.000"))
    }

    fn records(&self, host: u8) -> u64 {
        fs::metadata(self.log(host)).map_or(0, |meta| meta.len() / LINE)
    }

    fn upload(&self, files: usize, size: usize) -> Result<bench::load::Taken, Failure> {
        let (addr, connections) = (self.addr(21, 23000), self.args.connections.min(files));
        Ok(Load::new(addr, Operation::Upload, files, connections, size).run()?)
    }
}

fn wait(what: &str, mut done: impl FnMut() -> bool) -> Result<(), Failure> {
    let began = Instant::now();
    while !done() {
        if began.elapsed() > Duration::from_secs(300) {
            return Err(format!("not within 300 s: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn run(args: &Args) -> Result<(), Failure> {
    let mut cluster = Cluster::new(args)?;
    let one = cluster.storage(21)?;
    if let Some(files) = args.join {
        return join(&mut cluster, files);
    }
    let mut pids = vec![one];
    if !args.alone {
        pids.push(cluster.storage(22)?);
        // Between the full copy and the beat that makes the new member active nothing flows.
        let mut flowing = 0;
        wait("files flow to the second storage", || {
            let before = cluster.records(21);
            let sent = cluster.upload(1, 100).is_ok();
            std::thread::sleep(Duration::from_millis(100));
            flowing = if sent && cluster.records(22) > before { flowing + 1 } else { 0 };
            flowing == 30
        })?;
    }
    println!(
        "{:<14} {:>9} {:>9} {:>9} {:>10} {:>9} {:>9} {:>9} {:>12}",
        "files", "uploads/s", "up p50", "up p99", "complete", "lag p50", "lag p99", "lag max", "CPU/file"
    );
    for set in &args.sets {
        let (files, size) = set.split_once('x').ok_or("a set is FILESxBYTES")?;
        measure(&cluster, &pids, files.parse()?, size.parse()?)?;
    }
    if !args.alone {
        idle(&cluster)?;
    }
    Ok(())
}

fn cpu(pids: &[u32]) -> Result<Duration, Failure> {
    let mut sum = Duration::ZERO;
    for pid in pids {
        sum += cpu_time(*pid)?;
    }
    Ok(sum)
}

fn measure(cluster: &Cluster<'_>, pids: &[u32], files: usize, size: usize) -> Result<(), Failure> {
    let before = cluster.records(21);
    let files = files / cluster.args.connections.min(files) * cluster.args.connections.min(files);
    let cpu_before = cpu(pids)?;
    let stop = Arc::new(AtomicBool::new(false));
    let sampler = {
        let (stop, logs) = (Arc::clone(&stop), [cluster.log(21), cluster.log(22)]);
        std::thread::spawn(move || sample(&stop, &logs))
    };
    let taken = cluster.upload(files, size)?;
    let uploaded = Instant::now();
    let pair = pids.len() > 1;
    if pair {
        wait("the second storage has all", || cluster.records(22) >= before + files as u64)?;
    }
    let complete = uploaded.elapsed();
    stop.store(true, Relaxed);
    let samples = sampler.join().map_err(|_| "the sampler panicked")?;
    let lags = lags(&samples, before, before + files as u64);
    let at = |percent: usize| {
        lags.get((lags.len().saturating_sub(1)) * percent / 100).copied().unwrap_or_default()
    };
    let cpu = (cpu(pids)? - cpu_before) / u32::try_from(files)?;
    println!(
        "{:<14} {:>9.0} {:>9.1?} {:>9.1?} {:>10.1?} {:>9.1?} {:>9.1?} {:>9.1?} {:>12.1?}",
        format!("{files} x {size}"),
        taken.rate(),
        taken.percentile(50),
        taken.percentile(99),
        complete,
        at(50),
        at(99),
        at(100),
        cpu
    );
    Ok(())
}

/// One file after the other, each when the one before has arrived.
fn idle(cluster: &Cluster<'_>) -> Result<(), Failure> {
    let mut lags = Vec::new();
    for _ in 0..200 {
        let before = cluster.records(22);
        cluster.upload(1, 4096)?;
        let began = Instant::now();
        while cluster.records(22) == before {
            if began.elapsed() > Duration::from_secs(10) {
                return Err("an idle pair does not replicate".into());
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        lags.push(began.elapsed());
        std::thread::sleep(Duration::from_millis(5));
    }
    lags.sort();
    println!("idle: lag p50 {:.1?}, p99 {:.1?}, max {:.1?}", lags[100], lags[198], lags[199]);
    Ok(())
}

/// Records in both logs, again and again.
fn sample(stop: &AtomicBool, logs: &[PathBuf; 2]) -> Vec<(Instant, [u64; 2])> {
    let mut samples = Vec::new();
    let count = |path: &PathBuf| fs::metadata(path).map_or(0, |meta| meta.len() / LINE);
    loop {
        let last = stop.load(Relaxed);
        samples.push((Instant::now(), [count(&logs[0]), count(&logs[1])]));
        if last {
            return samples;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Of each record between `from` and `to`: when the second log had as many, less when the first had. Sorted.
fn lags(samples: &[(Instant, [u64; 2])], from: u64, to: u64) -> Vec<Duration> {
    let (mut sent, mut arrived) = (0, 0);
    let mut lags = Vec::new();
    for record in from + 1..=to {
        while sent < samples.len() && samples[sent].1[0] < record {
            sent += 1;
        }
        while arrived < samples.len() && samples[arrived].1[1] < record {
            arrived += 1;
        }
        if let (Some((one, _)), Some((other, _))) = (samples.get(sent), samples.get(arrived)) {
            lags.push(other.saturating_duration_since(*one));
        }
    }
    lags.sort();
    lags
}

fn join(cluster: &mut Cluster<'_>, files: usize) -> Result<(), Failure> {
    let files = files / cluster.args.connections * cluster.args.connections;
    let taken = cluster.upload(files, 4096)?;
    println!("{files} files of 4096 bytes uploaded in {:.1?}", taken.time);
    let began = Instant::now();
    cluster.storage(22)?;
    let serves = began.elapsed();
    wait("the first file", || cluster.records(22) > 0)?;
    let first = began.elapsed();
    wait("the full copy", || cluster.records(22) >= files as u64)?;
    println!(
        "the new member serves after {serves:.1?}, has its first file after {first:.1?}, all after {:.1?}",
        began.elapsed()
    );
    Ok(())
}
