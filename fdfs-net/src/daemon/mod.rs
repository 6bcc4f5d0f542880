//! A daemon's process: command line, background, pid file, signals, readiness (protocol 9).

mod args;
mod detach;
mod notify;
mod pid;
mod run_by;
mod signals;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use fdfs_core::conf::ConfError;
use tokio_util::sync::CancellationToken;

use crate::log::{self, LogConf, LogFile};
use args::{Action, Args, Parsed};
use detach::Outcome;
pub use pid::Held;
use pid::PidFile;
pub use run_by::RunBy;
use signals::Signal;

/// Stands in the place of a daemon, so that it cannot start: for a tool that changes its files. Refused while it runs.
pub fn hold(base_path: &Path, program: &'static str) -> Result<Held, Refusal> {
    let pid_file = PidFile::new(base_path, program);
    match pid_file.running() {
        Some(pid) => Err(Refusal::new(17, format!("{program} is running, pid {pid}: stop it first"))),
        None => pid_file.write(),
    }
}

/// Who a daemon is.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// `fdfs_trackerd` or `fdfs_storaged`; names the pid file and is what "running" is told by.
    pub name: &'static str,
    /// What `-V` prints after the name.
    pub version: &'static str,
    /// Name of the log file, without `.log`.
    pub log_name: &'static str,
}

/// Why a daemon does not start, or had to end.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// One line for the operator.
    pub text: String,
    /// Exit code, never 0.
    pub code: u8,
}

impl Refusal {
    /// With an exit code.
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self { text: text.into(), code: code.max(1) }
    }

    /// A failed system call while `doing` something.
    pub fn io(doing: impl std::fmt::Display, error: &std::io::Error) -> Self {
        let code = error.raw_os_error().and_then(|errno| u8::try_from(errno).ok()).unwrap_or(5);
        Self::new(code, format!("{doing}: {error}"))
    }
}

impl From<ConfError> for Refusal {
    fn from(error: ConfError) -> Self {
        Self::new(error.exit_code(), error.to_string())
    }
}

/// A config file that was read.
pub struct Loaded<S> {
    /// The settings.
    pub settings: S,
    /// Folder with `data` and `logs`.
    pub base_path: PathBuf,
    /// The log.
    pub log: LogConf,
    /// Lines to write into the log once it is open.
    pub warnings: Vec<String>,
    /// Whom the process becomes when the sockets are open.
    pub run_by: RunBy,
}

/// A daemon's hold on its process.
pub struct Running {
    /// Cancelled by SIGTERM, SIGINT and SIGQUIT.
    pub stop: CancellationToken,
    hooks: Arc<Hooks>,
    outcome: Outcome,
    conf: PathBuf,
    base_path: PathBuf,
    other: Option<run_by::Other>,
}

type Hook = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Hooks {
    log: Option<Arc<LogFile>>,
    dump: Mutex<Option<Hook>>,
    rotate: Mutex<Option<Hook>>,
}

impl Running {
    /// Says that requests are being taken: the command that started the daemon ends, and systemd is told.
    pub fn ready(&mut self) {
        self.outcome.ready();
        notify::send("READY=1");
    }

    /// Becomes the user and group of the configuration, if it names others. To be called when the sockets are open, before
    /// anything is written below `folders`; those, and the folders of state and log, are given to the new owner.
    pub fn drop_privileges(&mut self, folders: &[PathBuf]) -> Result<(), Refusal> {
        let Some(other) = self.other.take() else { return Ok(()) };
        let own = [self.base_path.join("data"), self.base_path.join("logs")];
        other.become_it(&[&own, folders].concat())?;
        if let Err(error) = File::open(&self.conf) {
            tracing::warn!(%error, conf = %self.conf.display(), "the config file cannot be read any more: SIGHUP will change nothing");
        }
        Ok(())
    }

    /// What SIGUSR1 and SIGUSR2 do: write the state into the log.
    pub fn on_dump(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.hooks.dump.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }

    /// What SIGHUP does besides rotating the error log.
    pub fn on_rotate(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.hooks.rotate.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(hook));
    }
}

/// The `main` of a daemon: follows the command line, and for `start` calls `serve` in the background (or here, with
/// `-N`). Must be called before any thread is started.
pub fn main<S>(
    program: Program,
    load: impl FnOnce(&Path) -> Result<Loaded<S>, Refusal>,
    serve: impl FnOnce(S, &mut Running) -> Result<(), Refusal>,
) -> ExitCode {
    let args = match args::parse(program.name, std::env::args_os().skip(1)) {
        Parsed::Run(args) => args,
        Parsed::Version => {
            println!("\n{} V{}\n", program.name, program.version);
            return ExitCode::SUCCESS;
        }
        Parsed::Usage { code, text, to_stdout } => {
            if to_stdout {
                print!("{text}");
            } else {
                eprint!("{text}");
            }
            return ExitCode::from(code);
        }
    };
    match act(program, &args, load, serve) {
        Ok(code) => ExitCode::from(code),
        Err(refusal) => {
            eprintln!("{}: {}", program.name, refusal.text);
            ExitCode::from(refusal.code)
        }
    }
}

fn act<S>(
    program: Program,
    args: &Args,
    load: impl FnOnce(&Path) -> Result<Loaded<S>, Refusal>,
    serve: impl FnOnce(S, &mut Running) -> Result<(), Refusal>,
) -> Result<u8, Refusal> {
    let conf = std::path::absolute(&args.conf).unwrap_or_else(|_| args.conf.clone());
    let loaded = load(&conf)?;
    let file = PidFile::new(&loaded.base_path, program.name);
    match args.action {
        Action::Status => {
            return Ok(match file.running() {
                Some(pid) => {
                    println!("Running, pid: {pid}");
                    0
                }
                None => {
                    println!("NOT running");
                    2
                }
            });
        }
        Action::Stop => return file.stop().map(|()| 0),
        Action::Restart => {
            match file.stop() {
                Err(refusal) if refusal.code == pid::NO_PID_FILE => {}
                done => done?,
            }
            eprintln!("starting ...");
        }
        Action::Start => {}
    }
    if let Some(pid) = file.running() {
        return Err(Refusal::new(17, format!("process {} already running, pid: {pid}", program.name)));
    }
    start(program, args.foreground, &conf, loaded, &file, serve)
}

fn start<S>(
    program: Program,
    foreground: bool,
    conf: &Path,
    loaded: Loaded<S>,
    file: &PidFile,
    serve: impl FnOnce(S, &mut Running) -> Result<(), Refusal>,
) -> Result<u8, Refusal> {
    let other = loaded.run_by.find()?;
    let mut outcome = Outcome::foreground();
    if !foreground {
        match detach::detach().map_err(|error| Refusal::io("cannot go to the background", &error))? {
            detach::Side::Parent(ended) => return ended,
            detach::Side::Child(child) => outcome = child,
        }
    }
    match run(program, (conf, other), loaded, file, &mut outcome, serve) {
        Ok(()) => Ok(0),
        // The command that started us prints it; if it has gone already, the log has it.
        Err(refusal) => {
            tracing::error!("{refusal}");
            outcome.failed(&refusal);
            if foreground { Err(refusal) } else { Ok(refusal.code) }
        }
    }
}

fn run<S>(
    program: Program,
    (conf, other): (&Path, Option<run_by::Other>),
    loaded: Loaded<S>,
    file: &PidFile,
    outcome: &mut Outcome,
    serve: impl FnOnce(S, &mut Running) -> Result<(), Refusal>,
) -> Result<(), Refusal> {
    let log = log::init(&loaded.log).map_err(|error| Refusal::io("log", &error))?;
    let stop = CancellationToken::new();
    let hooks = Arc::new(Hooks { log, ..Hooks::default() });
    let handler = {
        let (stop, hooks) = (stop.clone(), Arc::clone(&hooks));
        move |signal| on_signal(signal, &stop, &hooks)
    };
    signals::watch(handler).map_err(|error| Refusal::io("signals", &error))?;
    let _held = file.write()?;
    tracing::info!(version = program.version, pid = std::process::id(), "{} starts", program.name);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut running = Running {
        stop,
        hooks,
        outcome: std::mem::replace(outcome, Outcome::foreground()),
        conf: conf.to_owned(),
        base_path: loaded.base_path,
        other,
    };
    let result = serve(loaded.settings, &mut running);
    *outcome = running.outcome;
    notify::send("STOPPING=1");
    if result.is_ok() {
        tracing::info!("{} exits", program.name);
    }
    result
}

fn on_signal(signal: Signal, stop: &CancellationToken, hooks: &Hooks) {
    match signal {
        Signal::Stop(name) => {
            tracing::info!("{name} received, stopping");
            stop.cancel();
        }
        Signal::Hup => {
            if let Some(log) = hooks.log.as_ref().filter(|log| log.rotates_daily())
                && let Err(error) = log.rotate()
            {
                tracing::error!(%error, "the log could not be rotated");
            }
            tracing::info!("SIGHUP received");
            call(&hooks.rotate);
        }
        Signal::User => {
            tracing::info!("state asked for by signal");
            call(&hooks.dump);
        }
    }
}

fn call(hook: &Mutex<Option<Hook>>) {
    if let Some(hook) = &*hook.lock().unwrap_or_else(PoisonError::into_inner) {
        hook();
    }
}
