//! The command-line tools (protocol 8). Each has the arguments and the output that scripts know; exit codes are honest:
//! 0 only when what was asked has happened.

mod crc32;
mod delete_file;
mod download_file;
mod file_info;
mod format;
mod monitor;
mod upload_file;

use std::path::Path;

use fdfs_core::settings::ClientSettings;

use crate::client::Client;
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
    Tool { name: "fdfs_download_file", usage: download_file::USAGE, run: download_file::run },
    Tool { name: "fdfs_delete_file", usage: delete_file::USAGE, run: delete_file::run },
    Tool { name: "fdfs_file_info", usage: file_info::USAGE, run: file_info::run },
    Tool { name: "fdfs_monitor", usage: monitor::USAGE, run: monitor::run },
    Tool { name: "fdfs_crc32", usage: crc32::USAGE, run: crc32::run },
];

/// How a tool ended.
enum Ended {
    /// As asked.
    Done,
    /// The arguments are wrong.
    Usage,
    /// Something failed; the line is for stderr.
    Failed(String, u8),
}

impl Ended {
    /// `WHAT fail, error no: N, error info: TEXT`, the line that scripts look for, with more behind it.
    fn failed(what: &str, error: &ClientError) -> Self {
        let status = error.status();
        let line = format!("{what} fail, error no: {}, error info: {} ({error})", status.0, status.text());
        Self::Failed(line, status.0.max(1))
    }
}

impl Tool {
    /// Runs it; answers its exit code.
    pub fn run(&self, args: &[String]) -> u8 {
        if matches!(args, [one] if one == "--help") {
            println!("Usage: {} {}", self.name, self.usage);
            return 0;
        }
        if matches!(args, [one] if one == "-V" || one == "--version") {
            println!("{} V{}", self.name, env!("CARGO_PKG_VERSION"));
            return 0;
        }
        match (self.run)(args) {
            Ended::Done => 0,
            Ended::Usage => {
                eprintln!("Usage: {} {}", self.name, self.usage);
                1
            }
            Ended::Failed(line, code) => {
                eprintln!("{line}");
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
    let (settings, warnings) = ClientSettings::load(Path::new(conf))
        .map_err(|error| Ended::Failed(error.to_string(), error.exit_code().max(1)))?;
    for warning in warnings {
        eprintln!("{warning}");
    }
    let failed = |error: ClientError| Ended::failed(if error.doing == QUERY { QUERY } else { what }, &error);
    let client = Client::new(&settings).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Ended::Failed(error.to_string(), 5))?;
    runtime.block_on(work(&client)).map_err(failed)
}

/// What a failure of the tracker is called.
const QUERY: &str = "tracker_query_storage";
