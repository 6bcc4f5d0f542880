//! Start and end of a tracker.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use fdfs_core::cluster::Rules;
use fdfs_core::cluster::persist::TrackerStatus;
use fdfs_core::conf::ConfError;
use fdfs_core::settings::{AddressFamily, StorageIds, TrackerSettings};
use fdfs_net::{AllowHosts, Bound, CancellationToken, Server, ServerConf, raise_open_files};

use crate::files::DataDir;
use crate::owner::{Owner, State};
use crate::refusals::Refusals;
use crate::saver::Saver;
use crate::service::{Gauge, Shared, Tracker};
use crate::{admin, elect, meet, params, trunk};

/// Open files besides the connections: sockets, data files, log, runtimes.
pub(crate) const OWN_FILES: u64 = 128;

/// A tracker that may be started.
pub struct Start {
    conf: TrackerSettings,
    ids: Option<StorageIds>,
    /// Lines for the log.
    pub warnings: Vec<String>,
}

/// Why a tracker does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `storage_ids.conf`.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// An address of the configuration.
    #[error("{0}")]
    Address(String),
    /// A failed system call.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl StartError {
    /// Exit code of the daemon.
    pub fn code(&self) -> u8 {
        match self {
            Self::Conf(error) => error.exit_code(),
            Self::Address(_) => 22,
            Self::Io { source, .. } => source.raw_os_error().and_then(|e| u8::try_from(e).ok()).unwrap_or(5),
        }
    }

    fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Io { doing, source }
    }
}

impl Start {
    /// Reads `storage_ids.conf`, if it is in use; names in it are resolved now, once.
    pub fn new(conf: TrackerSettings) -> Result<Self, StartError> {
        let mut warnings = Vec::new();
        let ids = read_ids(&conf, &mut warnings)?;
        Ok(Self { conf, ids, warnings })
    }

    /// Opens the sockets and loads the state; requests wait until [`Ready::run`].
    pub fn bind(self) -> Result<Ready, StartError> {
        let (bound, listen) = addresses(&self.conf)?;
        raise_open_files(u64::from(self.conf.max_connections) + OWN_FILES);
        let rules = Rules::new(&self.conf, self.ids);
        let base = Path::new(&self.conf.base_path);
        let dir = DataDir::open(base).map_err(StartError::io(format!("{}/data", base.display())))?;
        let (cluster, wrong) = dir.load(&rules).map_err(StartError::io("cannot read the data files"))?;
        wrong.iter().for_each(|line| tracing::warn!("{line}"));
        let state = State { cluster, trunk_chg: 1, ..State::default() };
        let saver = Saver::start(dir.clone(), rules.ids.is_some()).map_err(StartError::io("save thread"))?;
        #[cfg_attr(feature = "sim", expect(unused_variables, clippy::let_unit_value))]
        let (owner, owner_thread) = Owner::start(state, saver).map_err(StartError::io("cluster thread"))?;
        let port = listen.first().map_or(self.conf.port, SocketAddr::port);
        #[cfg_attr(feature = "sim", expect(unused_mut))]
        let mut server = server_conf(&self.conf, listen, &owner);
        #[cfg(not(feature = "sim"))]
        let figures = Figures::bind(&self.conf, &mut server).map_err(StartError::io("metrics"))?;
        #[cfg(not(feature = "sim"))]
        let live = Arc::clone(&server.live);
        let server = Server::bind(server).map_err(StartError::io(format!("cannot listen on port {port}")))?;
        let port = server.local_addrs().first().map_or(port, SocketAddr::port);
        let last_run = dir.last_run();
        let started = crate::now();
        let shared = Shared {
            params: ArcSwap::from_pointee(params::text(&self.conf, rules.width)),
            conf: self.conf,
            rules: ArcSwap::from_pointee(rules),
            owner,
            dir,
            bound,
            port,
            started,
            last_run,
            refusals: Refusals::default(),
            connections: Gauge::default(),
            wake: tokio::sync::Notify::new(),
            fetched: Default::default(),
            meetings: Default::default(),
            sys_files: Default::default(),
        };
        Ok(Ready {
            shared: Arc::new(shared),
            server,
            #[cfg(not(feature = "sim"))]
            live,
            #[cfg(not(feature = "sim"))]
            figures,
            #[cfg(not(feature = "sim"))]
            owner_thread,
        })
    }
}

/// The metrics endpoint and what it counts.
#[cfg(not(feature = "sim"))]
struct Figures {
    endpoint: fdfs_net::metrics::Endpoint,
    traffic: Arc<fdfs_net::metrics::Traffic>,
    requests: Arc<fdfs_net::metrics::Requests>,
}

#[cfg(not(feature = "sim"))]
impl Figures {
    /// Opens its socket, if a port is configured; then `server` counts requests too.
    fn bind(conf: &TrackerSettings, server: &mut ServerConf) -> io::Result<Option<Self>> {
        use fdfs_net::metrics::{Endpoint, Requests};
        let Some(endpoint) = Endpoint::bind(conf.metrics_port, conf.metrics_bind_addr, &server.listen)?
        else {
            return Ok(None);
        };
        let requests = Requests::new(server.workers);
        server.requests = Some(Arc::clone(&requests));
        Ok(Some(Self { endpoint, traffic: Arc::clone(&server.traffic), requests }))
    }
}

/// A tracker whose sockets are open.
pub struct Ready {
    shared: Arc<Shared>,
    server: Bound,
    #[cfg(not(feature = "sim"))]
    live: Arc<fdfs_net::Live>,
    #[cfg(not(feature = "sim"))]
    figures: Option<Figures>,
    #[cfg(not(feature = "sim"))]
    owner_thread: std::thread::JoinHandle<()>,
}

impl Ready {
    /// What its connections share, for tests without connections.
    #[cfg(test)]
    pub(crate) fn shared_mut(&mut self) -> &mut Arc<Shared> {
        &mut self.shared
    }

    /// Where it listens.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.server.local_addrs()
    }

    /// Takes what has changed in the config file `conf`: for SIGHUP.
    #[cfg(not(feature = "sim"))]
    pub fn reload(&self, conf: std::path::PathBuf) -> impl Fn() + Send + Sync + 'static {
        let reload = crate::reload::Reload::new(conf, &self.shared, Arc::clone(&self.live));
        move || reload.run()
    }

    /// Writes members, trackers and refused requests to the log: for SIGUSR1.
    pub fn dump(&self) -> impl Fn() + Send + Sync + 'static {
        // Not the owner itself: a hook that outlives the daemon must not keep the owner thread alive.
        let shared = Arc::downgrade(&self.shared);
        move || {
            if let Some(shared) = shared.upgrade() {
                admin::dump(&shared.owner.view());
                shared.refusals.dump();
            }
        }
    }

    /// Serves until `stop`, in the tasks of a simulated machine.
    #[cfg(feature = "sim")]
    pub async fn run(self, stop: CancellationToken) -> Result<(), StartError> {
        let election = elect::run(Arc::clone(&self.shared), stop.clone());
        let serving = self.server.run(Arc::new(Tracker(Arc::clone(&self.shared))), stop.clone());
        let trunk = trunk::run(Arc::clone(&self.shared), stop.clone());
        let meeting = meet::run(Arc::clone(&self.shared), stop);
        let (served, (), (), ()) = tokio::join!(serving, election, meeting, trunk);
        self.shared.save_status(crate::now());
        served.map_err(StartError::io("cannot serve"))
    }

    /// Serves until `stop`; then the state is saved.
    #[cfg(not(feature = "sim"))]
    pub fn run(self, stop: CancellationToken) -> Result<(), StartError> {
        let shared = self.shared;
        let election = {
            let (shared, stop) = (Arc::clone(&shared), stop.clone());
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(StartError::io("runtime of the election"))?;
            let run = move || {
                let meeting = meet::run(Arc::clone(&shared), stop.clone());
                let trunk = trunk::run(Arc::clone(&shared), stop.clone());
                runtime.block_on(async { tokio::join!(elect::run(shared, stop), meeting, trunk) });
            };
            std::thread::Builder::new()
                .name("election".into())
                .spawn(run)
                .map_err(StartError::io("election thread"))?
        };
        if let Some(Figures { endpoint, traffic, requests }) = self.figures {
            let page = crate::metrics::page(&shared, traffic, requests);
            // It ends by itself with the daemon.
            endpoint.start(page, stop.clone()).map_err(StartError::io("metrics"))?;
        }
        let served = self.server.run(Arc::new(Tracker(Arc::clone(&shared))), stop.clone());
        stop.cancel();
        if election.join().is_err() {
            tracing::error!("the election thread panicked");
        }
        shared.save_status(crate::now());
        // The owner thread ends with the last way to it.
        drop(shared);
        if self.owner_thread.join().is_err() {
            tracing::error!("the thread that owns the cluster panicked");
        }
        served.map_err(StartError::io("cannot serve"))
    }
}

impl Shared {
    /// Writes `.tracker_status`.
    pub fn save_status(&self, now: i64) {
        let status = TrackerStatus { up_time: self.started, last_check_time: now };
        if let Err(error) = self.dir.save_status(status) {
            tracing::error!(%error, ".tracker_status cannot be written");
        }
    }
}

fn server_conf(conf: &TrackerSettings, listen: Vec<SocketAddr>, owner: &Owner) -> ServerConf {
    let (allow, warnings) = AllowHosts::parse(&conf.allow_hosts);
    warnings.iter().for_each(|line| tracing::warn!("{line}"));
    let max = usize::try_from(conf.max_connections).unwrap_or(usize::MAX);
    let view = owner.clone();
    let is_peer = move |ip: IpAddr| {
        let state = view.view();
        state.cluster.has_ip(ip) || state.trackers.list().iter().any(|tracker| tracker.ips.contains(&ip))
    };
    ServerConf {
        workers: usize::try_from(conf.work_threads).unwrap_or(1),
        max_connections: max,
        // Storages and trackers get in even when clients use up the rest.
        reserved_peers: (max / 8).min(64),
        network_timeout: conf.network_timeout.duration(),
        buff_size: conf.max_package().saturating_sub(fdfs_core::wire::Header::SIZE),
        allow,
        close_on_bad_test: false,
        is_peer: Arc::new(is_peer),
        ..ServerConf::new(listen)
    }
}

/// The addresses that the operator bound, and those to listen on.
fn addresses(conf: &TrackerSettings) -> Result<(Vec<IpAddr>, Vec<SocketAddr>), StartError> {
    let pairs = match (conf.inner_bind_addr.as_str(), conf.outer_bind_addr.as_str()) {
        ("", "") => conf.bind_addr.split(',').map(|host| (host, conf.port)).collect(),
        (inner, outer) => {
            vec![(inner, conf.inner_port.unwrap_or(conf.port)), (outer, conf.outer_port.unwrap_or(conf.port))]
        }
    };
    let mut listen = Vec::new();
    for (host, port) in pairs {
        let host = host.trim().trim_matches(['[', ']']);
        if host.is_empty() {
            continue;
        }
        let mut found = (host, port)
            .to_socket_addrs()
            .map_err(|error| StartError::Address(format!("bind_addr {host}: {error}")))?;
        listen.extend(found.next());
    }
    if listen.is_empty() {
        let any = match conf.address_family {
            AddressFamily::V6 | AddressFamily::Both => fdfs_net::listen_addrs(&[], conf.port),
            AddressFamily::Auto | AddressFamily::V4 => vec![SocketAddr::from(([0, 0, 0, 0], conf.port))],
        };
        return Ok((Vec::new(), any));
    }
    let bound = listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_unspecified()).collect();
    Ok((bound, listen))
}

/// `storage_ids.conf`, if it is in use.
pub(crate) fn read_ids(
    conf: &TrackerSettings,
    warnings: &mut Vec<String>,
) -> Result<Option<StorageIds>, StartError> {
    let Some((mut ids, told)) = conf.storage_ids()? else { return Ok(None) };
    warnings.extend(told.iter().map(ToString::to_string));
    resolve(&mut ids, warnings);
    Ok(Some(ids))
}

/// Host names of `storage_ids.conf` become addresses.
fn resolve(ids: &mut StorageIds, warnings: &mut Vec<String>) {
    for entry in &mut ids.entries {
        for host in &mut entry.hosts {
            if host.parse::<IpAddr>().is_ok() {
                continue;
            }
            match (host.as_str(), 0).to_socket_addrs().ok().and_then(|mut found| found.next()) {
                Some(addr) => *host = addr.ip().to_string(),
                None => warnings.push(format!("{}: {host} has no address", entry.at)),
            }
        }
    }
}
