//! `fdfs_rebuild_binlog`: adds what is missing in a lost or cut replication log.

use std::path::Path;
use std::process::ExitCode;

use fdfs_core::settings::StorageSettings;
use fdfs_net::daemon;
use fdfs_storage::rebuild::{Rebuilt, rebuild};

const USAGE: &str = "Usage: fdfs_rebuild_binlog <storage.conf> [--check]
Gives each file in the store paths that the replication log (base_path/data/sync) does not tell of a record there, and has the
storage offer everything to the other members at its next start. The storage must not run.
  --check   tells what is missing and changes nothing
Exit code: 0 nothing is missing (any more), 1 something is (with --check), 2 not done.";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (conf, check) = match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["-h" | "--help"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [conf] if !conf.starts_with('-') => (*conf, false),
        [conf, "--check"] | ["--check", conf] => (*conf, true),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(conf, check) {
        Ok(done) => {
            println!(
                "{} files; without a record: {}{}; peers that will be offered everything: {}; lines that are no records: {}; \
                 links that lead elsewhere: {}; container files, whose slots are not told: {}",
                done.files,
                done.missing,
                if check { "" } else { ", added" },
                done.peers,
                done.bad_lines,
                done.outside,
                done.containers
            );
            ExitCode::from(u8::from(check && done.missing > 0))
        }
        Err(text) => {
            eprintln!("{text}");
            ExitCode::from(2)
        }
    }
}

fn run(conf: &str, check: bool) -> Result<Rebuilt, String> {
    let (settings, _) = StorageSettings::load(Path::new(conf)).map_err(|error| error.to_string())?;
    let _alone = daemon::hold(Path::new(&settings.base_path), "fdfs_storaged").map_err(|error| error.text)?;
    rebuild(&settings, !check).map_err(|error| format!("{conf}: {error}"))
}
