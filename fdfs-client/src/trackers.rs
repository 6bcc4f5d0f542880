//! The trackers of `client.conf`: asked in turn, one that fails last.

use std::cell::Cell;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use fdfs_core::settings::{ClientSettings, TRACKER_PORT};
use fdfs_core::wire::Status;
use fdfs_net::{Peer, Timeouts};

use crate::error::ClientError;

/// Largest answer of a tracker: all groups or members.
const ANSWER_MAX: usize = 4 << 20;

pub(crate) struct Trackers {
    addrs: Vec<SocketAddr>,
    timeouts: Timeouts,
    /// Only the current one is asked.
    pinned: AtomicBool,
    /// Index of the one that answered last, and a connection to it.
    current: Mutex<(usize, Option<Peer>)>,
}

impl Trackers {
    pub fn new(settings: &ClientSettings) -> Result<Self, ClientError> {
        let mut addrs: Vec<SocketAddr> = Vec::new();
        for tracker in &settings.tracker_server {
            let found = tracker.hosts.iter().filter_map(|host| {
                (host.as_str(), tracker.port).to_socket_addrs().ok().and_then(|mut all| all.next())
            });
            addrs.extend(found);
        }
        Self::of(addrs, timeouts(settings))
    }

    pub fn of(mut addrs: Vec<SocketAddr>, timeouts: Timeouts) -> Result<Self, ClientError> {
        addrs.sort();
        addrs.dedup();
        if addrs.is_empty() {
            return Err(ClientError::invalid("find a tracker", "no tracker_server has an address"));
        }
        Ok(Self { addrs, timeouts, pinned: AtomicBool::new(false), current: Mutex::new((0, None)) })
    }

    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Leaves the other trackers alone from now on.
    pub fn pin(&self, tracker: &str) -> bool {
        let named = |addr: &SocketAddr| addr.to_string() == tracker || addr.ip().to_string() == tracker;
        let by_name = || {
            let found =
                tracker.to_socket_addrs().or_else(|_| (tracker, TRACKER_PORT).to_socket_addrs()).ok()?;
            found.into_iter().find_map(|found| self.addrs.iter().position(|addr| *addr == found))
        };
        let Some(index) = self.addrs.iter().position(named).or_else(by_name) else { return false };
        self.pinned.store(true, Relaxed);
        *self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = (index, None);
        true
    }

    /// The one that is asked first.
    pub fn current(&self) -> Option<SocketAddr> {
        self.addrs.get(self.start()).copied()
    }

    /// Those that may be asked, the current one first.
    pub fn each(&self) -> Vec<SocketAddr> {
        self.addrs.iter().cycle().skip(self.start()).take(self.count()).copied().collect()
    }

    fn start(&self) -> usize {
        self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    fn count(&self) -> usize {
        if self.pinned.load(Relaxed) { 1 } else { self.addrs.len() }
    }

    /// Asks one tracker.
    pub async fn ask_at(
        &self,
        doing: &'static str,
        addr: SocketAddr,
        cmd: u8,
        body: &[u8],
    ) -> Result<Bytes, ClientError> {
        let mut peer = Peer::connect(addr, self.timeouts, None).await.map_err(ClientError::connect(doing))?;
        peer.ask(cmd, body, ANSWER_MAX).await.map_err(ClientError::call(doing))
    }

    /// Asks the current tracker, then the others. An answer is an answer, even a refusal; but a tracker that knows no such
    /// thing may have started a moment ago, and the others are asked too.
    pub async fn ask(
        &self,
        doing: &'static str,
        cmd: u8,
        body: &[u8],
    ) -> Result<(SocketAddr, Bytes), ClientError> {
        let (start, kept) = {
            let mut current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            (current.0, current.1.take())
        };
        // A connection that was kept may have been closed meanwhile: then it is made anew.
        if let Some(mut peer) = kept.filter(|peer| !peer.is_stale()) {
            let addr = peer.addr();
            match peer.ask(cmd, body, ANSWER_MAX).await {
                Ok(answer) => {
                    self.keep(start, peer);
                    return Ok((addr, answer));
                }
                Err(error) if error.status().is_some_and(|status| status != Status::NOENT) => {
                    self.keep(start, peer);
                    return Err(ClientError::call(doing)(error));
                }
                Err(_) => {}
            }
        }
        let last = Cell::new(None);
        let mut unknown = None;
        for step in 0..self.count() {
            let index = (start + step) % self.addrs.len();
            let addr = self.addrs[index];
            let asked = async {
                let mut peer = Peer::connect(addr, self.timeouts, None).await?;
                let answer = peer.ask(cmd, body, ANSWER_MAX).await;
                Ok((peer, answer))
            };
            match asked.await {
                Ok((peer, Ok(answer))) => {
                    self.keep(index, peer);
                    return Ok((addr, answer));
                }
                Ok((_, Err(error))) if error.status() == Some(Status::NOENT) => {
                    unknown = unknown.or(Some(ClientError::call(doing)(error)));
                }
                Ok((peer, Err(error))) if error.status().is_some() => {
                    self.keep(index, peer);
                    return Err(ClientError::call(doing)(error));
                }
                Ok((_, Err(error))) | Err(error) => {
                    let error = ClientError::call(doing)(error);
                    if self.addrs.len() > 1 {
                        tracing::warn!("tracker {addr} does not answer, asking the next one: {error}");
                    }
                    last.set(Some(error));
                }
            }
        }
        Err(unknown.or(last.into_inner()).unwrap_or_else(|| ClientError::invalid(doing, "no tracker")))
    }

    fn keep(&self, index: usize, peer: Peer) {
        *self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = (index, Some(peer));
    }
}

pub(crate) fn timeouts(settings: &ClientSettings) -> Timeouts {
    Timeouts { connect: settings.connect_timeout.duration(), network: settings.network_timeout.duration() }
}
