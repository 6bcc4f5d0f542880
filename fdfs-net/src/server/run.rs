//! The server on the machine's sockets: an acceptor and workers.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{ServerConf, Service, Shared, accept, worker};

/// A server that does not listen yet.
pub struct Server;

impl Server {
    /// Opens the listening sockets. `[::]` takes IPv4 as well; a machine without IPv6 gets `0.0.0.0` instead.
    pub fn bind(conf: ServerConf) -> io::Result<Bound> {
        let listeners = conf.listen.iter().map(|&addr| accept::listen(addr)).collect::<io::Result<_>>()?;
        Ok(Bound { conf, listeners })
    }
}

/// A server whose sockets are open; connections wait in the backlog until it runs.
pub struct Bound {
    conf: ServerConf,
    listeners: Vec<TcpListener>,
}

impl Bound {
    /// Where it listens, with the ports that the system chose.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Says which addresses are cluster peers, when that is known only after the sockets were opened.
    pub fn with_peers(mut self, is_peer: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        self.conf.is_peer = Arc::new(is_peer);
        self
    }

    /// Serves until `stop`, then closes idle connections at once, lets requests under way finish for at most the
    /// drain time, and returns. Blocks the calling thread, which is the acceptor.
    pub fn run<S: Service>(self, service: Arc<S>, stop: CancellationToken) -> io::Result<()> {
        let shared = Arc::new(Shared { conf: self.conf, stop });
        let workers = (0..shared.conf.workers.max(1))
            .map(|index| worker::spawn(index, Arc::clone(&service), Arc::clone(&shared)))
            .collect::<io::Result<Vec<_>>>()?;
        let (handles, threads): (Vec<_>, Vec<_>) = workers.into_iter().unzip();
        let result = accept::run(self.listeners, handles, &shared);
        // A failed acceptor ends the workers too.
        shared.stop.cancel();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        result
    }
}
