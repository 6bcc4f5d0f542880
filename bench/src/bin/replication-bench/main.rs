//! How fast the members of a group replicate.
//!
//!     replication-bench [--programs target/release] [--dir /dev/shm] [--sets 20000x4096,2000x65536,8x67108864]
//!                       [--compare] [--join 100000] [--recover 100000] [--verify 1000000]
//!
//! Starts a tracker and two storages on loopback addresses. Without one of the last four, uploads each set to the first at
//! full speed, and tells how long after the last answer the second has everything, the lag of each file while uploading, and
//! the CPU time of both.
//! `--compare`: the same uploads to a storage that is alone, to one of two, and to that with answers that wait for both, in turn.
//! `--join N`: N files of 4 KiB on one storage, then a second one joins: the time of the full copy.
//! `--recover N`: N files of 4 KiB on both, then the second loses its store path: the time until it has all again.
//! `--verify N`: N small files on both, compared by `fdfs_verify`: time, CPU and memory.

mod compare;
mod copies;
mod sets;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use bench::group::{Failure, Group, Place};
use clap::Parser;

#[derive(Parser)]
struct Args {
    /// Folder with the programs.
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
    /// Uploads without and with a second member, and with answers that wait for it.
    #[arg(long)]
    compare: bool,
    /// Files that are there when the second storage joins.
    #[arg(long)]
    join: Option<usize>,
    /// Files in the store path that is lost.
    #[arg(long)]
    recover: Option<usize>,
    /// Files on both members that are compared.
    #[arg(long)]
    verify: Option<usize>,
    /// Lines for the configuration of the storages.
    #[arg(long, default_value = "")]
    conf: String,
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

fn run(args: &Args) -> Result<(), Failure> {
    let (programs, dir, conf) = (args.programs.clone(), args.dir.clone(), args.conf.clone());
    let mut group = Group::start(&Place { programs, dir, conf })?;
    match (args.join, args.recover, args.verify) {
        (Some(files), _, _) => copies::join(&mut group, files, args.connections),
        (_, Some(files), _) => copies::recover(&mut group, files, args.connections),
        (_, _, Some(files)) => verify::run(&mut group, &args.programs, files, args.connections),
        _ if args.compare => compare::run(&mut group),
        _ => sets::run(&mut group, &args.sets, args.connections),
    }
}
