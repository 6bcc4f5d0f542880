//! From the config file to the end of the process.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::ident::GroupName;
use fdfs_core::settings::StorageSettings;
use fdfs_net::daemon::{Loaded, Refusal, RunBy, Running};
use fdfs_net::log::LogConf;
use fdfs_net::metrics::{Endpoint, Requests, Traffic};
use fdfs_net::{AllowHosts, CancellationToken, Live, Part, Server, ServerConf, raise_open_files};

use crate::compress;
use crate::dups;
use crate::link::{self, Answers, Bootstrap, TrackerAddrs};
use crate::metrics;
use crate::parts;
use crate::reload::Reload;
use crate::scrub;
use crate::service::StorageService;
use crate::start::{self, Opened};
use crate::storage::{Storage, now};

/// Name of the log file, as the existing daemon has it.
pub const LOG_NAME: &str = "storaged";

/// A tracker that does not answer for this long no longer holds up the command that started the daemon.
const READY_AFTER: Duration = Duration::from_secs(5);
/// Connections that peers and trackers find free when clients have taken all others.
const RESERVED: usize = 16;
/// Open files besides two for each connection (socket and file).
pub(crate) const OWN_FILES: u64 = 1024;

/// What a daemon starts with.
pub struct Start {
    /// The config file.
    pub conf: PathBuf,
    /// What is in it.
    pub settings: StorageSettings,
}

/// Reads `storage.conf`.
pub fn load(path: &Path) -> Result<Loaded<Start>, Refusal> {
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
    let run_by = RunBy { user: settings.run_by_user.clone(), group: settings.run_by_group.clone() };
    let settings = Start { conf: path.to_owned(), settings };
    Ok(Loaded { settings, base_path, log, warnings, run_by })
}

/// Serves until the process is told to stop.
pub fn run(started: Start, running: &mut Running) -> Result<(), Refusal> {
    let Start { conf, settings } = started;
    let up_time = now();
    raise_open_files(u64::from(settings.max_connections) * 2 + OWN_FILES);
    for text in not_applied(&settings) {
        tracing::warn!("{text}");
    }
    let Sockets { listen, bound, live, endpoint } = bind(&settings)?;
    // A store path that is not there is refused by name below.
    let stores = settings.store_paths.iter().map(|store| PathBuf::from(&store.path));
    let folders: Vec<PathBuf> = stores.filter(|path| path.is_dir()).map(|path| path.join("data")).collect();
    running.drop_privileges(&folders)?;
    let opened = Opened::open(&settings, up_time)?;
    let (trackers, unknown) = link::resolve(&settings);
    for name in &unknown {
        tracing::warn!("tracker_server {name}: the name has no address");
    }
    if trackers.is_empty() {
        return Err(Refusal::new(2, "no tracker_server has an address"));
    }
    let kept = Answers::load(&opened.data, &settings);
    let Some(found) = ask_trackers(&settings, &trackers, up_time, kept.clone(), running)? else {
        return Ok(());
    };
    let identity = &found.identity;
    tracing::info!(group = %identity.group, id = %identity.id, listen = ?listen, "this storage");
    if !found.params.use_storage_id
        && found.params.ip_changed_auto_adjust
        && let Some((old, new)) = start::moved(&opened.init, identity)
        && !tell_move(&settings, &trackers, identity.group, (old, new), running)?
    {
        return Ok(());
    }
    let storage = opened.storage(settings, found, kept.as_ref())?;
    let reload = Reload::new(conf, &storage, live);
    let rotating = Arc::downgrade(&storage);
    running.on_rotate(move || {
        reload.run();
        let storage = rotating.upgrade();
        if let Some(log) =
            storage.as_ref().and_then(|storage| storage.access.as_ref()).filter(|log| log.rotates())
            && let Err(error) = log.rotate()
        {
            tracing::error!(%error, "the access log cannot begin a new file");
        }
    });
    if let Some(Figures { endpoint, traffic, requests }) = endpoint {
        let page = metrics::page(&storage, traffic, requests);
        // It ends by itself with the daemon.
        endpoint.start(page, running.stop.clone()).map_err(|error| Refusal::io("metrics", &error))?;
    }
    serve(&storage, trackers, bound, running)
}

/// `false` when the daemon is stopped before a tracker has taken it.
fn tell_move(
    settings: &StorageSettings,
    trackers: &[TrackerAddrs],
    group: GroupName,
    (old, new): (IpAddr, IpAddr),
    running: &Running,
) -> Result<bool, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Refusal::io("runtime", &error))?;
    let told = link::report_move(settings, trackers, group, old, new);
    Ok(runtime.block_on(running.stop.run_until_cancelled(told)).is_some())
}

/// What is configured and has no effect in this version.
fn not_applied(settings: &StorageSettings) -> Vec<&'static str> {
    [(
        settings.check_file_duplicate && !settings.dht_groups.is_empty(),
        "FastDHT servers are not asked: equal content is found in an index of this storage's own",
    )]
    .into_iter()
    .filter_map(|(set, text)| set.then_some(text))
    .collect()
}

/// The sockets of the daemon.
struct Sockets {
    listen: Vec<SocketAddr>,
    bound: fdfs_net::Bound,
    live: Arc<Live>,
    endpoint: Option<Figures>,
}

/// The metrics endpoint and what it counts.
struct Figures {
    endpoint: Endpoint,
    traffic: Arc<Traffic>,
    requests: Arc<Requests>,
}

fn bind(settings: &StorageSettings) -> Result<Sockets, Refusal> {
    let mut conf = ServerConf::new(start::listen(settings)?);
    let (allow, warnings) = AllowHosts::parse(&settings.allow_hosts);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    conf.allow = allow;
    conf.max_connections = usize::try_from(settings.max_connections).unwrap_or(usize::MAX);
    conf.network_timeout = settings.client_timeout();
    conf.buff_size = settings.buffer();
    conf.reserved_peers = RESERVED.min(conf.max_connections / 4);
    let live = Arc::clone(&conf.live);
    let endpoint = Endpoint::bind(settings.metrics_port, settings.metrics_bind_addr, &conf.listen)
        .map_err(|error| Refusal::io("metrics", &error))?
        .map(|endpoint| {
            let (traffic, requests) = (Arc::clone(&conf.traffic), Requests::new(conf.workers));
            Figures { endpoint, traffic, requests }
        });
    conf.requests = endpoint.as_ref().map(|figures| Arc::clone(&figures.requests));
    let bound = Server::bind(conf).map_err(|error| Refusal::io("network", &error))?;
    Ok(Sockets { listen: bound.local_addrs(), bound, live, endpoint })
}

/// `None` when the daemon is stopped before a tracker has answered.
fn ask_trackers(
    settings: &StorageSettings,
    trackers: &[TrackerAddrs],
    up_time: i64,
    kept: Option<Answers>,
    running: &mut Running,
) -> Result<Option<Bootstrap>, Refusal> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Refusal::io("runtime", &error))?;
    let stop = running.stop.clone();
    runtime.block_on(async {
        let mut asking = std::pin::pin!(Bootstrap::ask(settings, trackers, up_time, kept));
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
    trackers: Vec<TrackerAddrs>,
    bound: fdfs_net::Bound,
    running: &mut Running,
) -> Result<(), Refusal> {
    let tracker_ips: Vec<IpAddr> = trackers.iter().flatten().map(SocketAddr::ip).collect();
    let peers = Arc::clone(storage);
    let bound = bound.with_peers(move |ip| tracker_ips.contains(&ip) || peers.members.has_ip(ip));
    let stop = running.stop.clone();
    let dumped = Arc::clone(storage);
    running.on_dump(move || dump(&dumped));
    running.ready();
    let parts = parts::start(storage, &trackers, &stop)?;
    let scrub = spawn("scrub", storage, &stop, scrub::run)?;
    let compress = spawn("compress", storage, &stop, compress::run)?;
    let dups = spawn("duplicates", storage, &stop, dups::run)?;
    let served = bound.run(Arc::new(StorageService(Arc::clone(storage))), stop.clone());
    stop.cancel();
    let others = [scrub, compress, dups].into_iter().map(|thread| thread.join().ok());
    for ended in parts.into_iter().map(Part::join).chain(others) {
        match ended {
            Some(Ok(())) => {}
            Some(Err(error)) => tracing::error!("{error}"),
            None => tracing::error!("a thread panicked"),
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
    for (peer, lag) in storage.lags() {
        tracing::info!(%peer, ?lag, "state: what this peer does not have yet");
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
