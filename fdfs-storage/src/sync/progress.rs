//! How far each peer is, for whoever asks: the log, metrics, the monitor, answers that wait for copies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fdfs_core::binlog::Pos;
use fdfs_core::ident::StorageId;
use tokio::sync::{Notify, mpsc, watch};

/// Questions of one peer after which those that nobody waits for any more are forgotten.
const FORGET: usize = 64;

/// What a peer does not have yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lag {
    /// Whether changes flow now.
    pub connected: bool,
    /// Whether it gets its first, full copy.
    pub full_copy: bool,
    /// Everything before it is with the peer.
    pub confirmed: Pos,
    /// Records of the log after that.
    pub records: u64,
    /// Records that this process had appended when they were counted.
    pub counted: u64,
    /// Bytes of the log after that.
    pub log_bytes: u64,
    /// Bytes of content that were sent and are not confirmed.
    pub content_bytes: u64,
    /// Time of the oldest record that is not confirmed, s; `None`: there is none.
    pub oldest: Option<i64>,
    /// Records that the peer refused and that are tried again.
    pub aside: usize,
    /// Why replication was interrupted, or a record refused, last.
    pub error: Option<String>,
}

/// All peers.
#[derive(Default)]
pub struct Peers(Mutex<BTreeMap<String, Arc<Progress>>>);

impl Peers {
    /// The lag of each peer that replication runs to.
    pub fn lags(&self) -> Vec<(StorageId, Lag)> {
        self.lock().values().map(|progress| (progress.peer, progress.lag())).collect()
    }

    /// Where each peer is, to wait for.
    pub fn confirmed(&self) -> Vec<watch::Receiver<Pos>> {
        self.lock().values().map(|progress| progress.confirmed.subscribe()).collect()
    }

    /// Keeps the time of the oldest record that a peer which is away does not have.
    pub(crate) fn set_oldest(&self, peer: &StorageId, oldest: Option<i64>) {
        if let Some(progress) = self.lock().get(peer.as_str()) {
            progress.update(|lag| {
                if !lag.connected {
                    lag.oldest = oldest;
                }
            });
        }
    }

    /// Asks each peer for which `counts` to tell when it has all changes of some files ([`Window::key`]) before `pos`.
    ///
    /// [`Window::key`]: fdfs_core::binlog::Window::key
    pub fn ask(
        &self,
        files: &Arc<[u64]>,
        pos: Pos,
        counts: impl Fn(&StorageId) -> bool,
    ) -> mpsc::Receiver<()> {
        let peers: Vec<_> =
            self.lock().values().filter(|progress| counts(&progress.peer)).map(Arc::clone).collect();
        let (tell, told) = mpsc::channel(peers.len().max(1));
        for peer in peers {
            peer.ask(Ask { files: Arc::clone(files), pos, tell: tell.clone() });
        }
        told
    }

    pub(super) fn enter(&self, peer: &StorageId) -> Arc<Progress> {
        let progress = Arc::new(Progress {
            peer: *peer,
            asks: Mutex::default(),
            asked: Notify::new(),
            lag: Mutex::default(),
            confirmed: watch::Sender::new(Pos::default()),
        });
        self.lock().insert(peer.as_str().to_owned(), Arc::clone(&progress));
        progress
    }

    pub(super) fn leave(&self, peer: &StorageId) {
        self.lock().remove(peer.as_str());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One peer.
pub(super) struct Progress {
    peer: StorageId,
    asks: Mutex<Asks>,
    asked: Notify,
    lag: Mutex<Lag>,
    confirmed: watch::Sender<Pos>,
}

/// Somebody waits until the peer has the changes of some files.
struct Ask {
    files: Arc<[u64]>,
    pos: Pos,
    tell: mpsc::Sender<()>,
}

#[derive(Default)]
struct Asks {
    open: Vec<Ask>,
    /// With so many, those that nobody waits for are forgotten.
    forget: usize,
}

impl Progress {
    fn ask(&self, ask: Ask) {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        if asks.open.len() >= asks.forget.max(FORGET) {
            asks.open.retain(|ask| !ask.tell.is_closed());
            asks.forget = asks.open.len() * 2;
        }
        asks.open.push(ask);
        drop(asks);
        self.asked.notify_one();
    }

    /// Returns when something was asked since the last time.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Tells those who wait: the log was read up to `read`, and the peer has all of it but changes of files that are `held`.
    pub fn tell(&self, read: Pos, held: impl Fn(u64) -> bool) {
        let mut asks = self.asks.lock().unwrap_or_else(PoisonError::into_inner);
        asks.open.retain(|ask| {
            let has = read >= ask.pos && !ask.files.iter().any(|file| held(*file));
            if has {
                // Whoever gave up waiting needs no answer.
                let _ = ask.tell.try_send(());
            }
            !has
        });
    }

    pub fn lag(&self) -> Lag {
        self.lag.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut Lag)) {
        change(&mut self.lag.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The peer has everything before `pos`.
    pub fn confirm(&self, pos: Pos) {
        self.confirmed.send_if_modified(|old| {
            let moved = *old != pos;
            *old = pos;
            moved
        });
    }
}
