//! The command-line tools (protocol 8). Each has the arguments and the output that scripts know; exit codes are honest:
//! 0 only when what was asked has happened.

mod append_file;
mod appender_test;
mod crc32;
mod delete_file;
mod download_file;
mod explain;
mod file_info;
mod format;
mod lag;
mod listing;
mod monitor;
mod progress;
mod regenerate_filename;
mod stat;
mod test_client;
mod upload_file;

use std::path::Path;

use fdfs_core::settings::{ClientSettings, LogLevel};
use serde_json::{Value, json};

use crate::client::{Client, QUERY};
use crate::error::ClientError;

/// A tool.
pub struct Tool {
    /// Name of the program.
    pub name: &'static str,
    /// Arguments, for the usage line.
    pub usage: &'static str,
    run: fn(&[String]) -> Ended,
}

/// All tools.
pub const TOOLS: &[Tool] = &[
    Tool { name: "fdfs_upload_file", usage: upload_file::USAGE, run: upload_file::run },
    Tool { name: "fdfs_upload_appender", usage: upload_file::APPENDER, run: upload_file::run_appender },
    Tool { name: "fdfs_append_file", usage: append_file::USAGE, run: append_file::run },
    Tool { name: "fdfs_download_file", usage: download_file::USAGE, run: download_file::run },
    Tool { name: "fdfs_delete_file", usage: delete_file::USAGE, run: delete_file::run },
    Tool {
        name: "fdfs_regenerate_filename",
        usage: regenerate_filename::USAGE,
        run: regenerate_filename::run,
    },
    Tool { name: "fdfs_file_info", usage: file_info::USAGE, run: file_info::run },
    Tool { name: "fdfs_monitor", usage: monitor::USAGE, run: monitor::run },
    Tool { name: "fdfs_crc32", usage: crc32::USAGE, run: crc32::run },
    Tool { name: "fdfs_tracker_stat", usage: stat::TRACKER, run: stat::trackers },
    Tool { name: "fdfs_storage_stat", usage: stat::STORAGE, run: stat::storages },
    Tool { name: "fdfs_volumn_stat", usage: stat::VOLUME, run: stat::volumes },
    Tool { name: "fdfs_test", usage: test_client::USAGE, run: test_client::run },
    Tool { name: "fdfs_test1", usage: test_client::USAGE1, run: test_client::run1 },
    Tool { name: "fdfs_appender_test", usage: appender_test::USAGE, run: appender_test::run },
    Tool { name: "fdfs_appender_test1", usage: appender_test::USAGE, run: appender_test::run },
];

/// How a tool ended.
enum Ended {
    /// As asked; what it has to say as text for people and scripts, and for `--json`.
    Said(String, Value),
    /// As asked; it has printed what it has to say.
    Done,
    /// The arguments are wrong.
    Usage,
    /// Something failed; the line is for stderr.
    Failed(String, u8),
    /// Some of several things failed: what was done, for stdout, and the lines for stderr.
    Partly(String, Value, Vec<String>, u8),
}

impl Ended {
    /// `WHAT fail, error no: N, error info: TEXT`, the line that scripts look for, with more behind it.
    fn failed(what: &str, error: &ClientError) -> Self {
        let (line, code) = failure(what, error);
        Self::Failed(line, code)
    }
}

fn failure(what: &str, error: &ClientError) -> (String, u8) {
    let what = if error.doing == QUERY { QUERY } else { what };
    let status = error.status();
    let line = format!("{what} fail, error no: {}, error info: {} ({error})", status.0, status.text());
    (line, status.0.max(1))
}

impl Tool {
    /// Runs it; answers its exit code. `--json`, anywhere, prints the result as one line of JSON.
    pub fn run(&self, args: &[String]) -> u8 {
        if matches!(args, [one] if one == "--help") {
            println!("Usage: {} {}", self.name, self.usage);
            return 0;
        }
        if matches!(args, [one] if one == "-V" || one == "--version") {
            println!("{} V{}", self.name, env!("CARGO_PKG_VERSION"));
            return 0;
        }
        let json = args.iter().any(|arg| arg == "--json");
        let rest: Vec<String> = args.iter().filter(|arg| *arg != "--json").cloned().collect();
        let print = |text: &str, value: Value| match json {
            true => println!("{value}"),
            false => print!("{text}"),
        };
        match (self.run)(&rest) {
            Ended::Done => 0,
            Ended::Said(text, Value::Null) => {
                print!("{text}");
                0
            }
            Ended::Said(text, value) => {
                print(&text, value);
                0
            }
            Ended::Usage => {
                eprintln!("Usage: {} {}", self.name, self.usage);
                1
            }
            Ended::Failed(line, code) => {
                if json {
                    println!("{}", json!({ "error": line, "error_no": code }));
                }
                eprintln!("{line}");
                code
            }
            Ended::Partly(text, value, lines, code) => {
                print(&text, value);
                lines.iter().for_each(|line| eprintln!("{line}"));
                code
            }
        }
    }
}

/// Reads `client.conf` and runs `work` with a client of it.
fn with_client<T>(
    what: &str,
    conf: &str,
    work: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
) -> Result<T, Ended> {
    with_changed(what, conf, |_| {}, work)
}

/// As [`with_client`], with settings that the command line changes.
fn with_changed<T>(
    what: &str,
    conf: &str,
    change: impl FnOnce(&mut ClientSettings),
    work: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
) -> Result<T, Ended> {
    let (mut settings, warnings) = ClientSettings::load(Path::new(conf))
        .map_err(|error| Ended::Failed(error.to_string(), error.exit_code().max(1)))?;
    log_to_stderr(settings.log_level);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    change(&mut settings);
    let failed = |error: ClientError| Ended::failed(what, &error);
    let client = Client::new(&settings).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Ended::Failed(error.to_string(), 5))?;
    runtime.block_on(work(&client)).map_err(failed)
}

/// Lines as urgent as `level`, or more, without times: a person reads them.
fn log_to_stderr(level: LogLevel) {
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(fdfs_net::log::filter(level))
        .without_time();
    // A second call, in a test, leaves the first in force.
    let _ = lines.with_target(false).try_init();
}
