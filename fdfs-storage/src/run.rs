//! From the config file to the end of the process.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fdfs_core::settings::StorageSettings;
use fdfs_core::wire::Status;
use fdfs_net::daemon::{Loaded, Refusal, Running};
use fdfs_net::log::LogConf;
use fdfs_net::{AllowHosts, CancellationToken, Server, ServerConf, listen_addrs, raise_open_files};

use crate::binlog::Binlog;
use crate::disk::{PathMark, StorePaths, Threads};
use crate::link::{self, Bootstrap, Calls};
use crate::recovery;
use crate::scrub;
use crate::service::StorageService;
use crate::state::{self, InitFlag, Stat, read_saved};
use crate::storage::{Storage, now};
use crate::sync;

/// Name of the log file, as the existing daemon has it.
pub const LOG_NAME: &str = "storaged";

/// A tracker that does not answer for this long no longer holds up the command that started the daemon.
const READY_AFTER: Duration = Duration::from_secs(5);
/// Connections that peers and trackers find free when clients have taken all others.
const RESERVED: usize = 16;
/// Open files besides two for each connection (socket and file).
const OWN_FILES: u64 = 1024;
/// Between two looks at what is to be saved.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Reads `storage.conf`.
pub fn load(path: &Path) -> Result<Loaded<StorageSettings>, Refusal> {
    let (settings, warnings) = StorageSettings::load(path)?;
    if settings.disabled {
        return Err(Refusal::new(
            125,
            format!("{}: disabled = true: this storage is switched off", path.display()),
        ));
    }
    let base_path = PathBuf::from(&settings.base_path);
    let log = LogConf {
        path: Some(LogConf::file_of(&base_path, LOG_NAME)),
        level: settings.log_level,
        format: settings.log_format,
        settings: settings.error_log.clone(),
    };
    let warnings = warnings.iter().map(ToString::to_string).collect();
    Ok(Loaded { settings, base_path, log, warnings })
}

/// Serves until the process is told to stop.
pub fn run(settings: StorageSettings, running: &mut Running) -> Result<(), Refusal> {
    let up_time = now();
    raise_open_files(u64::from(settings.max_connections) * 2 + OWN_FILES);
    for text in not_applied(&settings) {
        tracing::warn!("{text}");
    }
    let (listen, bound) = bind(&settings)?;
    let threads = Threads { read: settings.readers(), write: settings.writers() };
    let paths = StorePaths::with_threads(&settings.store_paths, settings.subdir_count_per_path, threads)
        .map_err(|error| Refusal::new(Status::from_io(&error).0, format!("cannot use a {error}")))?;
    let data = PathBuf::from(&settings.base_path).join("data");
    state::clean(&data, &settings.store_paths).map_err(|error| Refusal::io("leftovers", &error))?;
    let init = InitFlag::open(&data, up_time).map_err(|error| Refusal::io("init flag", &error))?;
    let binlog = Binlog::open(&data.join("sync")).map_err(|error| Refusal::io("binlog", &error))?;
    let saved = match std::fs::read(data.join("storage_stat.dat")) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Refusal::io("storage_stat.dat", &error)),
    };
    let (counters, dist) = read_saved(&saved);
    let (trackers, unknown) = link::resolve(&settings);
    for name in &unknown {
        tracing::warn!("tracker_server {name}: the name has no address");
    }
    if trackers.is_empty() {
        return Err(Refusal::new(2, "no tracker_server has an address"));
    }
    let Some(found) = ask_trackers(&settings, &trackers, up_time, running)? else { return Ok(()) };
    let identity = found.identity;
    tracing::info!(group = %identity.group, id = %identity.id, listen = ?listen, "this storage");
    let storage =
        Storage::new(settings, identity, found.params, paths, binlog, Stat::new(&counters), dist, init)
            .map_err(|error| Refusal::io("storage", &error))?;
    check_marks(&storage)?;
    save_addresses(&storage)?;
    serve(&storage, trackers, bound, running)
}

/// What is configured and has no effect in this version.
fn not_applied(settings: &StorageSettings) -> Vec<&'static str> {
    let user = !settings.run_by_user.is_empty() || !settings.run_by_group.is_empty();
    [
        (user, "run_by_user and run_by_group are not applied: start the daemon as that user"),
        (settings.access_log.enabled, "[access-log] enabled is not applied: no access log is written"),
        (
            settings.check_file_duplicate,
            "check_file_duplicate is not applied: equal content is stored each time",
        ),
        (
            !settings.inner_bind_addr.is_empty() || !settings.outer_bind_addr.is_empty(),
            "inner_bind_addr and outer_bind_addr are not applied: bind_addr is",
        ),
        (settings.compress_binlog, "compress_binlog is not applied: old binlog files stay as they are"),
    ]
    .into_iter()
    .filter_map(|(set, text)| set.then_some(text))
    .collect()
}

fn bind(settings: &StorageSettings) -> Result<(Vec<SocketAddr>, fdfs_net::Bound), Refusal> {
    let ips = addresses(&settings.bind_addr)?;
    let mut conf = ServerConf::new(listen_addrs(&ips, settings.port));
    let (allow, warnings) = AllowHosts::parse(&settings.allow_hosts);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    conf.allow = allow;
    conf.max_connections = usize::try_from(settings.max_connections).unwrap_or(usize::MAX);
    conf.network_timeout = settings.client_timeout();
    conf.buff_size = settings.buffer();
    conf.reserved_peers = RESERVED.min(conf.max_connections / 4);
    let bound = Server::bind(conf).map_err(|error| Refusal::io("network", &error))?;
    Ok((bound.local_addrs(), bound))
}

/// The addresses of `bind_addr`.
fn addresses(text: &str) -> Result<Vec<IpAddr>, Refusal> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.trim_matches(['[', ']']).parse()).collect::<Result<_, _>>().map_err(|_| {
        Refusal::new(22, format!("bind_addr = {text}: expected one IP address, or two with a comma"))
    })
}

/// `None` when the daemon is stopped before a tracker has answered.
fn ask_trackers(
    settings: &StorageSettings,
    trackers: &[SocketAddr],
    up_time: i64,
    running: &mut Running,
) -> Result<Option<Bootstrap>, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Refusal::io("runtime", &error))?;
    let stop = running.stop.clone();
    runtime.block_on(async {
        let mut asking = std::pin::pin!(Bootstrap::ask(settings, trackers, up_time));
        let mut waiting = std::pin::pin!(tokio::time::sleep(READY_AFTER));
        let mut waited = false;
        loop {
            tokio::select! {
                found = &mut asking => return found.map(Some).map_err(|text| Refusal::new(2, text)),
                () = stop.cancelled() => return Ok(None),
                () = &mut waiting, if !waited => {
                    waited = true;
                    running.ready();
                    tracing::warn!("serving begins when a tracker answers");
                }
            }
        }
    })
}

fn serve(
    storage: &Arc<Storage>,
    trackers: Vec<SocketAddr>,
    bound: fdfs_net::Bound,
    running: &mut Running,
) -> Result<(), Refusal> {
    let tracker_ips: Vec<IpAddr> = trackers.iter().map(SocketAddr::ip).collect();
    let peers = Arc::clone(storage);
    let bound = bound.with_peers(move |ip| tracker_ips.contains(&ip) || peers.members.has_ip(ip));
    let stop = running.stop.clone();
    let dumped = Arc::clone(storage);
    running.on_dump(move || dump(&dumped));
    running.ready();
    let calls = Calls::new(storage, &trackers);
    let links = {
        let calls = calls.clone();
        spawn("cluster", storage, &stop, move |storage, stop| {
            recovery::run(storage, &calls, stop)?;
            link::run(storage, calls, stop)
        })?
    };
    let senders = spawn("sync", storage, &stop, move |storage, stop| sync::run(storage, &calls, stop))?;
    let saver = spawn("state", storage, &stop, keep_stat)?;
    let scrub = spawn("scrub", storage, &stop, scrub::run)?;
    let served = bound.run(Arc::new(StorageService(Arc::clone(storage))), stop.clone());
    stop.cancel();
    for thread in [links, senders, saver, scrub] {
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!("{error}"),
            Err(_) => tracing::error!("a thread panicked"),
        }
    }
    storage.save_stat().map_err(|error| Refusal::io("counters", &error))?;
    served.map_err(|error| Refusal::io("network", &error))
}

/// The state, for an operator who asks by signal.
fn dump(storage: &Storage) {
    let counters = storage.stat.sums();
    tracing::info!(end = %storage.binlog.end(), ?counters, "state: binlog and counters");
    for member in storage.members.list().iter() {
        tracing::info!(member = %member.id, addr = %member.addr, status = member.status.name(), "state: member");
    }
    for (source, time) in storage.synced.times() {
        tracing::info!(%source, time, "state: changes of this member have arrived up to");
    }
    for path in storage.paths.indexes() {
        tracing::info!(path = %storage.paths.base(path).display(), space = ?storage.paths.space(path),
            condition = %storage.paths.condition(path), "state: store path");
    }
}

fn spawn(
    name: &str,
    storage: &Arc<Storage>,
    stop: &CancellationToken,
    work: impl FnOnce(&Arc<Storage>, &CancellationToken) -> io::Result<()> + Send + 'static,
) -> Result<std::thread::JoinHandle<io::Result<()>>, Refusal> {
    let (storage, stop) = (Arc::clone(storage), stop.clone());
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || work(&storage, &stop))
        .map_err(|error| Refusal::io("cannot start a thread", &error))
}

/// Brings the binlog to the disk every `sync_binlog_buff_interval`, and the counters every `sync_stat_file_interval`,
/// when they have changed.
fn keep_stat(storage: &Arc<Storage>, stop: &CancellationToken) -> io::Result<()> {
    let every = storage.settings.sync_stat_file_interval.duration().max(Duration::from_secs(1));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut last = storage.stat.sums();
    let mut saved = Instant::now();
    let binlog_every = storage.settings.sync_binlog_buff_interval.duration();
    let (mut synced, mut synced_at) = (storage.binlog.end(), Instant::now());
    while runtime.block_on(async { tokio::time::timeout(LOOK_EVERY, stop.cancelled()).await.is_err() }) {
        let end = storage.binlog.end();
        if end != synced && synced_at.elapsed() >= binlog_every {
            (synced, synced_at) = (end, Instant::now());
            if let Err(error) = storage.binlog.sync() {
                tracing::error!(%error, "the binlog cannot be brought to the disk");
            }
        }
        if saved.elapsed() < every {
            continue;
        }
        saved = Instant::now();
        let sums = storage.stat.sums();
        if sums != last {
            last = sums;
            if let Err(error) = storage.save_stat() {
                tracing::error!("{error}");
            }
        }
    }
    Ok(())
}

/// Refuses a store path that was made for another storage (storage 6.4).
fn check_marks(storage: &Storage) -> Result<(), Refusal> {
    if !storage.settings.check_store_path_mark {
        return Ok(());
    }
    for path in storage.paths.indexes() {
        let file = storage.paths.base(path).join("data/.fastdfs_vars");
        let on_path = std::fs::read_to_string(&file).ok().and_then(|text| PathMark::parse_file(&text));
        let ours = storage.init().marks.get(&path.index()).cloned();
        match (&ours, &on_path) {
            (Some(ours), Some(found)) if ours == found => continue,
            (_, Some(_)) => {
                let text = format!(
                    "{} was made for another storage: its mark in {} is not the one in {}",
                    storage.paths.base(path).display(),
                    file.display(),
                    storage.data_dir().join(".data_init_flag").display()
                );
                return Err(Refusal::new(22, text));
            }
            (Some(_), None) if !storage.paths.is_fresh(path) => {
                tracing::warn!(file = %file.display(), "the mark of the store path is missing and made anew");
            }
            _ => {}
        }
        let identity = &storage.identity;
        let ip = identity.ips.first().copied().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let mark = PathMark::new(ip, identity.port, path.byte(), u32::try_from(now()).unwrap_or(0));
        // A mark that only the flag file has is made anew by the next start; one that only the path has is refused.
        storage
            .update_init(|init| drop(init.marks.insert(path.index(), mark.clone())))
            .and_then(|()| state::save(&file, mark.file().as_bytes()))
            .map_err(|error| Refusal::io("mark of a store path", &error))?;
    }
    Ok(())
}

fn save_addresses(storage: &Storage) -> Result<(), Refusal> {
    let ips: Vec<String> = storage.identity.ips.iter().map(ToString::to_string).collect();
    let (ips, port) = (ips.join(","), storage.identity.port);
    storage
        .update_init(|init| {
            init.last_ip_addr = ips;
            init.last_server_port = port;
        })
        .map_err(|error| Refusal::io("init flag", &error))
}
