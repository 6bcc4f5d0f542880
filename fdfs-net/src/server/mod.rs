//! The accept loop and the workers: one acceptor hands sockets to one thread per core, each with its own
//! current-thread runtime; a connection never changes threads.

#[cfg(not(feature = "sim"))]
mod accept;
mod connection;
mod live;
#[cfg(not(feature = "sim"))]
mod run;
#[cfg(feature = "sim")]
mod simulated;
#[cfg(not(feature = "sim"))]
mod trim;
#[cfg(not(feature = "sim"))]
mod worker;

use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::wire::Header;
use tokio_util::sync::CancellationToken;

use crate::allow::AllowHosts;
use crate::conn::Conn;
use crate::error::ConnError;
use crate::metrics::{Requests, Traffic};

#[cfg(not(feature = "sim"))]
pub(crate) use accept::listen;
pub use live::Live;
#[cfg(not(feature = "sim"))]
pub use run::{Bound, Server};
#[cfg(feature = "sim")]
pub use simulated::{Bound, Server};

/// What to do with the connection after a request. The reply is written in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Wait for the next request.
    Keep,
    /// Close. Unread bytes of the body are thrown away, never read as a request.
    Close,
}

/// What a daemon answers.
pub trait Service: Send + Sync + 'static {
    /// State of one connection; lives on its worker thread.
    type Session: 'static;

    /// A peer has connected.
    fn connected(self: &Arc<Self>, peer: SocketAddr, local: SocketAddr) -> Self::Session;

    /// Answers one request. Its body has not been read: exactly `head.len` bytes of it are to be taken, or
    /// [`Flow::Close`] returned. `head.len` is not negative.
    fn handle(
        self: &Arc<Self>,
        session: &mut Self::Session,
        conn: &mut Conn,
        head: Header,
    ) -> impl Future<Output = Result<Flow, ConnError>>;

    /// As [`Service::handle`], without a future, for requests that have arrived and need no waiting. `None`: nothing was taken.
    fn handle_now(self: &Arc<Self>, _: &mut Self::Session, _: &mut Conn, _: &Header) -> Option<Flow> {
        None
    }

    /// The connection has ended, for whatever reason.
    fn closed(self: &Arc<Self>, _session: &mut Self::Session) {}
}

/// Limits and addresses of a [`Server`].
#[derive(Clone)]
pub struct ServerConf {
    /// Addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// Worker threads, at least 1.
    pub workers: usize,
    /// Connections at the same time.
    pub max_connections: usize,
    /// Of those, kept for cluster peers.
    pub reserved_peers: usize,
    /// Longest wait for one read or write.
    pub network_timeout: Duration,
    /// Largest body that is read as a whole, in bytes.
    pub buff_size: usize,
    /// Longest wait for requests under way when the daemon stops.
    pub drain: Duration,
    /// Whether an ACTIVE_TEST with a body, which is answered with 22, ends the connection: it does on storages.
    pub close_on_bad_test: bool,
    /// Who may connect.
    pub allow: AllowHosts,
    /// What changes of both while it runs.
    pub live: Arc<Live>,
    /// Counts connections.
    pub traffic: Arc<Traffic>,
    /// Counts requests, when somebody wants to know.
    pub requests: Option<Arc<Requests>>,
    /// Whether an address is a cluster peer and may use the reserved slots.
    pub is_peer: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl ServerConf {
    /// Defaults of the existing daemons on these addresses.
    pub fn new(listen: Vec<SocketAddr>) -> Self {
        Self {
            listen,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            max_connections: 256,
            reserved_peers: 0,
            network_timeout: Duration::from_secs(60),
            buff_size: 256 << 10,
            drain: Duration::from_secs(10),
            close_on_bad_test: true,
            allow: AllowHosts::anyone(),
            live: Arc::default(),
            traffic: Arc::default(),
            requests: None,
            is_peer: Arc::new(|_| false),
        }
    }
}

/// The addresses to listen on for `bind_addr` (comma separated, empty for all) and `port`.
pub fn listen_addrs(bind_addr: &[IpAddr], port: u16) -> Vec<SocketAddr> {
    match bind_addr {
        [] => vec![SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)],
        addrs => addrs.iter().map(|&ip| SocketAddr::new(ip, port)).collect(),
    }
}

/// What acceptor and workers share.
struct Shared {
    conf: ServerConf,
    stop: CancellationToken,
}
