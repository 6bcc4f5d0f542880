//! `fdfs_storaged [options] <config_file> [start | stop | restart | status]`

use std::process::ExitCode;

use fdfs_net::daemon::{self, Program};

fn main() -> ExitCode {
    let program = Program {
        name: "fdfs_storaged",
        version: env!("CARGO_PKG_VERSION"),
        log_name: fdfs_storage::LOG_NAME,
    };
    daemon::main(program, fdfs_storage::load, fdfs_storage::run)
}
