//! The acceptor: admits connections and deals them to the workers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};

use super::Shared;
use super::worker::{Handle, Task};

const BACKLOG: i32 = 1024;
/// Pause after an error of accept(2) that will not go away by itself, such as no free descriptors.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A listening socket; `[::]` falls back to `0.0.0.0` on machines without IPv6.
pub(crate) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let any6 = matches!(addr.ip(), IpAddr::V6(ip) if ip.is_unspecified());
    match open(addr, any6) {
        Err(error) if any6 && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), addr.port()), false)
        }
        done => done,
    }
    .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))
}

fn open(addr: SocketAddr, both: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!both)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(addr))?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

pub(super) fn run(listeners: Vec<TcpListener>, workers: Vec<Handle>, shared: &Shared) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listeners =
            listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<Vec<_>>>()?;
        let acceptor = Acceptor { workers: &workers, shared };
        let all = listeners.iter().map(|listener| Box::pin(acceptor.accept_all(listener)));
        tokio::select! {
            () = shared.stop.cancelled() => (),
            () = join(all.collect()) => (),
            () = super::trim::watch(shared) => (),
        }
        Ok(())
    })
}

/// Polls all of them; none ever ends.
async fn join(mut all: Vec<std::pin::Pin<Box<impl Future<Output = ()>>>>) {
    std::future::poll_fn(|cx| {
        for one in &mut all {
            let _ = one.as_mut().poll(cx);
        }
        std::task::Poll::<()>::Pending
    })
    .await;
}

struct Acceptor<'a> {
    workers: &'a [Handle],
    shared: &'a Shared,
}

impl Acceptor<'_> {
    async fn accept_all(&self, listener: &tokio::net::TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%error, "accept failed");
                    self.shared.conf.traffic.failed.fetch_add(1, Relaxed);
                    self.make_room(1);
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Deals the connection to the worker with the fewest, or closes it.
    fn admit(&self, stream: tokio::net::TcpStream, peer: SocketAddr) {
        let conf = &self.shared.conf;
        if !conf.live.allows(&conf.allow, peer.ip()) {
            tracing::error!(%peer, "connection refused: not in allow_hosts");
            conf.traffic.not_allowed.fetch_add(1, Relaxed);
            return;
        }
        let open = conf.traffic.open.load(Relaxed);
        let most = conf.live.max_connections(conf.max_connections);
        let limit = match (conf.is_peer)(peer.ip().to_canonical()) {
            true => most,
            false => most.saturating_sub(conf.reserved_peers).max(1),
        };
        // Room is made before it is needed: a storm finds the oldest idle connections gone.
        if open >= limit.saturating_sub(limit / 16) {
            self.make_room(1);
        }
        if open >= limit {
            tracing::warn!(%peer, open, limit, "connection refused: max_connections reached");
            conf.traffic.full.fetch_add(1, Relaxed);
            return;
        }
        let Ok(stream) = stream.into_std().and_then(|stream| tune(stream, conf.network_timeout)) else {
            return;
        };
        conf.traffic.enter();
        if let Some(worker) = self.workers.iter().min_by_key(|worker| worker.open())
            && !worker.send(Task::Serve(stream, peer))
        {
            conf.traffic.leave();
        }
    }

    /// Asks the worker with the most connections to close its `n` longest idle ones.
    fn make_room(&self, n: usize) {
        if let Some(worker) = self.workers.iter().max_by_key(|worker| worker.open()) {
            worker.send(Task::Reap(n));
        }
    }
}

fn tune(stream: TcpStream, timeout: Duration) -> io::Result<TcpStream> {
    let socket = Socket::from(stream);
    socket.set_tcp_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(timeout * 2 + Duration::from_secs(1))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    Ok(socket.into())
}

/// Errors that belong to the connection that was about to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
