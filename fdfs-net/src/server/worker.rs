//! One worker: a thread, its runtime, its connections.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use tokio_util::task::TaskTracker;

use super::connection::{self, Table};
use super::{Service, Shared};

/// What the acceptor asks of a worker.
pub(super) enum Task {
    /// Serve this connection.
    Serve(TcpStream, SocketAddr),
    /// Close that many connections, those idle longest.
    Reap(usize),
}

/// The acceptor's end of a worker.
pub(super) struct Handle {
    tasks: UnboundedSender<Task>,
    open: Arc<AtomicUsize>,
}

impl Handle {
    /// Connections it has.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// `false` when the worker is gone.
    pub fn send(&self, task: Task) -> bool {
        let serve = matches!(task, Task::Serve(..));
        let sent = self.tasks.send(task).is_ok();
        if serve && sent {
            self.open.fetch_add(1, Relaxed);
        }
        sent
    }
}

pub(super) fn spawn<S: Service>(
    index: usize,
    service: Arc<S>,
    shared: Arc<Shared>,
) -> io::Result<(Handle, JoinHandle<()>)> {
    let (tasks, inbox) = unbounded_channel();
    let open = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let handle = Handle { tasks, open: Arc::clone(&open) };
    let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
        let local = LocalSet::new();
        local.block_on(&runtime, work(index, service, shared, open, inbox));
    })?;
    Ok((handle, thread))
}

async fn work<S: Service>(
    index: usize,
    service: Arc<S>,
    shared: Arc<Shared>,
    open: Arc<AtomicUsize>,
    mut inbox: UnboundedReceiver<Task>,
) {
    let (table, tracker) = (Rc::new(Table::default()), TaskTracker::new());
    let recorder = shared.conf.requests.as_ref().map(|requests| requests.recorder(index));
    loop {
        let task = tokio::select! {
            biased;
            () = shared.stop.cancelled() => break,
            task = inbox.recv() => task,
        };
        match task {
            None => break,
            Some(Task::Reap(n)) => {
                let reaped = table.reap(n, |ip| (shared.conf.is_peer)(ip));
                shared.conf.traffic.reaped.fetch_add(reaped as u64, Relaxed);
            }
            Some(Task::Serve(stream, peer)) => {
                let guard = Count { all: Arc::clone(&shared), mine: Arc::clone(&open) };
                // Dropping the guard uncounts a socket that the runtime does not take.
                let Ok(stream) = tokio::net::TcpStream::from_std(stream) else { continue };
                let (service, table, recorder) = (Arc::clone(&service), Rc::clone(&table), recorder.clone());
                tracker.spawn_local(async move {
                    connection::serve(service, &guard.all, &table, recorder, stream, peer).await;
                });
            }
        }
    }
    drain(&tracker, &shared, &table).await;
}

async fn drain(tracker: &TaskTracker, shared: &Shared, table: &Table) {
    let began = Instant::now();
    table.leave_all();
    tracker.close();
    if tokio::time::timeout(shared.conf.drain, tracker.wait()).await.is_err() {
        let waited_secs = began.elapsed().as_secs();
        tracing::warn!(left = tracker.len(), waited_secs, "stopped with requests under way");
    }
}

/// Counts a connection while it lives.
struct Count {
    all: Arc<Shared>,
    mine: Arc<AtomicUsize>,
}

impl Drop for Count {
    fn drop(&mut self) {
        self.all.conf.traffic.leave();
        self.mine.fetch_sub(1, Relaxed);
    }
}
