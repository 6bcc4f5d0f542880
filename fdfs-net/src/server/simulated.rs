//! The server on a simulated network: one thread, a task per connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::connection::{self, Table};
use super::{ServerConf, Service, Shared};
use crate::net::{TcpListener, same_clock};

/// A server that does not listen yet.
pub struct Server;

impl Server {
    /// Nothing is opened before the server runs: sockets belong to the simulated machine.
    pub fn bind(conf: ServerConf) -> io::Result<Bound> {
        Ok(Bound { conf })
    }
}

/// A server that may run.
pub struct Bound {
    conf: ServerConf,
}

impl Bound {
    /// Where it is going to listen.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.conf.listen.clone()
    }

    /// Says which addresses are cluster peers.
    pub fn with_peers(mut self, is_peer: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        self.conf.is_peer = Arc::new(is_peer);
        self
    }

    /// Serves on the first address until `stop`. Has to be called on a simulated machine, in a `LocalSet`.
    pub async fn run<S: Service>(self, service: Arc<S>, stop: CancellationToken) -> io::Result<()> {
        let addr = self.conf.listen.first().copied();
        let addr = addr.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address"))?;
        let listener = TcpListener::bind(addr).await?;
        let shared = Rc::new(Shared { conf: self.conf, stop });
        let table = Rc::new(Table::default());
        loop {
            let (stream, peer) = tokio::select! {
                biased;
                () = shared.stop.cancelled() => break,
                accepted = listener.accept() => accepted?,
            };
            let (service, shared, table) = (Arc::clone(&service), Rc::clone(&shared), Rc::clone(&table));
            tokio::task::spawn_local(same_clock(async move {
                connection::serve(service, &shared, &table, None, stream, peer).await;
            }));
        }
        table.leave_all();
        Ok(())
    }
}
