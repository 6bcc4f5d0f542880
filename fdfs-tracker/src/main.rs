//! `fdfs_trackerd`: command line and process of the tracker.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use fdfs_core::settings::TrackerSettings;
use fdfs_net::daemon::{self, Loaded, Program, Refusal, RunBy, Running};
use fdfs_net::log::LogConf;
use fdfs_tracker::{PROTOCOL_VERSION, Start, StartError};

const PROGRAM: Program = Program { name: "fdfs_trackerd", version: PROTOCOL_VERSION, log_name: "trackerd" };
/// Exit code of a daemon that its configuration disables.
const DISABLED: u8 = 125;

fn main() -> ExitCode {
    daemon::main(PROGRAM, load, serve)
}

fn load(path: &Path) -> Result<Loaded<(Start, PathBuf)>, Refusal> {
    let (conf, warnings) = TrackerSettings::load(path)?;
    if conf.disabled {
        return Err(Refusal::new(DISABLED, format!("{}: disabled = true", path.display())));
    }
    let base_path = PathBuf::from(&conf.base_path);
    let log = LogConf {
        path: Some(LogConf::file_of(&base_path, PROGRAM.log_name)),
        level: conf.log_level,
        format: conf.log_format,
        settings: conf.error_log.clone(),
    };
    let run_by = RunBy { user: conf.run_by_user.clone(), group: conf.run_by_group.clone() };
    let settings = Start::new(conf).map_err(refusal)?;
    let warnings = warnings.iter().map(ToString::to_string).chain(settings.warnings.clone()).collect();
    Ok(Loaded { settings: (settings, path.to_owned()), base_path, log, warnings, run_by })
}

fn serve((start, conf): (Start, PathBuf), running: &mut Running) -> Result<(), Refusal> {
    let ready = start.bind().map_err(refusal)?;
    running.drop_privileges(&[])?;
    running.on_dump(ready.dump());
    running.on_rotate(ready.reload(conf));
    running.ready();
    ready.run(running.stop.clone()).map_err(refusal)
}

fn refusal(error: StartError) -> Refusal {
    Refusal::new(error.code(), error.to_string())
}
