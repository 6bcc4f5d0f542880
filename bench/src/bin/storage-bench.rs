//! Uploads and downloads on one storage, beside the cost of the same bytes without a protocol.
//!
//!     storage-bench --storage 127.0.0.21:23000 --pid PID [--operations 20000] [--connections 8] [--sizes 4096,65536]
//!
//! For each operation and size: operations a second, latency, CPU time of the storage per operation, and, with `--calls`, its
//! system calls per operation (a pass of its own under strace). The floor is a loop in this process that makes the same
//! files with open, write, close: what the kernel asks for the work itself.

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bench::load::{Load, Operation};
use bench::process::{Calls, cpu_time};
use clap::Parser;

#[derive(Parser)]
struct Args {
    /// Address of the storage.
    #[arg(long)]
    storage: SocketAddr,
    /// Its process.
    #[arg(long)]
    pid: u32,
    /// Operations of each kind and size.
    #[arg(long, default_value_t = 20_000)]
    operations: usize,
    /// Connections.
    #[arg(long, default_value_t = 8)]
    connections: usize,
    /// File sizes in bytes.
    #[arg(long, value_delimiter = ',', default_value = "4096,65536,1048576")]
    sizes: Vec<usize>,
    /// Count system calls too.
    #[arg(long)]
    calls: bool,
    /// Folder for the files of the floor; the file system of the store path makes the comparison fair.
    #[arg(long, default_value = "/tmp")]
    floor: std::path::PathBuf,
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

fn run(args: &Args) -> Result<(), Box<dyn std::error::Error>> {
    println!("{:<22} {:>10} {:>10} {:>10} {:>12}", "operation", "ops/s", "p50", "p99", "CPU/op");
    measure(args, Operation::ActiveTest, 0, args.operations)?;
    for &size in &args.sizes {
        // Large files: as many bytes as 64 KiB files would be.
        let operations = args.operations.min((args.operations << 16) / size.max(1)).max(args.connections);
        floor(args, size, operations)?;
        measure(args, Operation::Upload, size, operations)?;
        measure(args, Operation::Download, size, operations)?;
    }
    Ok(())
}

fn measure(
    args: &Args,
    operation: Operation,
    size: usize,
    operations: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let load = Load { addr: args.storage, operation, operations, connections: args.connections, size };
    let before = cpu_time(args.pid)?;
    let taken = load.run()?;
    let cpu = (cpu_time(args.pid)? - before) / u32::try_from(taken.latencies.len().max(1))?;
    let name = format!("{operation:?} {size}");
    line(&name, taken.rate(), taken.percentile(50), taken.percentile(99), cpu);
    if args.calls {
        let few = operations.min(2000);
        let counting = Calls::begin(args.pid)?;
        Load { operations: few, ..load }.run()?;
        let text: Vec<String> = counting
            .end()?
            .into_iter()
            .filter(|(_, calls)| *calls * 20 > few as u64)
            .map(|(name, calls)| format!("{name} {:.2}", calls as f64 / few as f64))
            .collect();
        println!("  system calls per operation: {}", text.join(", "));
    }
    Ok(())
}

/// The same files by the shortest way.
fn floor(args: &Args, size: usize, operations: usize) -> Result<(), Box<dyn std::error::Error>> {
    let dir = args.floor.join(format!("storage-bench-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let content = vec![7; size];
    let (began, cpu) = (Instant::now(), cpu_time(std::process::id())?);
    let mut latencies = Vec::with_capacity(operations);
    for n in 0..operations {
        let began = Instant::now();
        File::create(dir.join(n.to_string()))?.write_all(&content)?;
        latencies.push(began.elapsed());
    }
    let (time, cpu) = (began.elapsed(), cpu_time(std::process::id())? - cpu);
    std::fs::remove_dir_all(&dir)?;
    latencies.sort();
    let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
    let rate = operations as f64 / time.as_secs_f64();
    line(&format!("floor: write {size}"), rate, at(50), at(99), cpu / u32::try_from(operations)?);
    Ok(())
}

fn line(name: &str, rate: f64, p50: Duration, p99: Duration, cpu: Duration) {
    println!("{name:<22} {rate:>10.0} {p50:>10.1?} {p99:>10.1?} {cpu:>12.2?}");
}
