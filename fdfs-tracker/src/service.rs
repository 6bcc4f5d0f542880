//! What happens with a request: read its body, find who answers, write the answer.

#[cfg(all(test, not(feature = "sim")))]
mod replay;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};

use arc_swap::{ArcSwap, Guard};
use bytes::{Bytes, BytesMut};
use fdfs_core::cluster::persist::TrackerStatus;
use fdfs_core::cluster::{Joined, Refusal, Rules};
use fdfs_core::settings::TrackerSettings;
use fdfs_core::wire::{Header, Status};
use fdfs_net::{Conn, ConnError, Flow, Service};
use tokio::sync::Notify;

use crate::files::DataDir;
use crate::meet::{Fetched, Meetings};
use crate::owner::{Owner, State};
use crate::queries;
use crate::refusals::Refusals;
use crate::transfer::{Latest, SysFiles};

/// What every connection shares.
pub struct Shared {
    /// Settings.
    pub conf: TrackerSettings,
    /// Those of them that decide; SIGHUP swaps them.
    pub rules: ArcSwap<Rules>,
    /// Cluster state.
    pub owner: Owner,
    /// Folder of the data files.
    pub dir: DataDir,
    /// Addresses that the operator bound; empty when all are.
    pub bound: Vec<IpAddr>,
    /// Port that it listens on.
    pub port: u16,
    /// Start, Unix seconds.
    pub started: i64,
    /// The run before.
    pub last_run: TrackerStatus,
    /// Answer of PARAMETER_REQ.
    pub params: ArcSwap<String>,
    /// Refused requests.
    pub refusals: Refusals,
    /// Open connections and their peak.
    pub connections: Gauge,
    /// Wakes the election when the first tracker list arrives.
    pub wake: Notify,
    /// The files of another tracker, fetched at most once.
    pub fetched: Fetched,
    /// Other trackers whose files are to be read.
    pub meetings: Meetings,
    /// The files for other trackers.
    pub sys_files: Latest,
}

impl Shared {
    /// The rules in force.
    pub fn rules(&self) -> Guard<Arc<Rules>> {
        self.rules.load()
    }
}

/// A number of connections.
#[derive(Debug, Default)]
pub struct Gauge {
    open: AtomicI32,
    peak: AtomicI32,
}

impl Gauge {
    fn enter(&self) {
        self.peak.fetch_max(self.open.fetch_add(1, Relaxed) + 1, Relaxed);
    }
    /// Allocated, open now, most ever open.
    pub fn figures(&self) -> [i32; 3] {
        let (open, peak) = (self.open.load(Relaxed), self.peak.load(Relaxed));
        [peak, open, peak]
    }
}

impl Shared {
    /// Seconds from the last sign of the run before to this start.
    pub fn restart_interval(&self) -> i64 {
        match self.last_run.last_check_time {
            0 => 0,
            seen => self.started.saturating_sub(seen),
        }
    }
}

/// What is remembered of a connection.
pub struct Session {
    /// Other end.
    pub peer: SocketAddr,
    /// This end.
    pub local: SocketAddr,
    /// The storage that joined on it.
    pub joined: Option<Joined>,
    /// The follower that joined on it, by its address in the tracker list.
    pub follower: Option<SocketAddr>,
    /// Leader change that it was told last.
    pub leader_chg: u32,
    /// Trunk server change that it was told last, of a follower.
    pub trunk_chg: u32,
    /// Files that another tracker is reading.
    pub files: Option<Arc<SysFiles>>,
}

impl Session {
    /// The joined storage; commands that need one are refused without.
    pub fn storage(&self) -> Result<Joined, Refusal> {
        self.joined.ok_or(Refusal::new(Status::ACCES, "the connection has not joined as a storage"))
    }
}

/// One request.
pub struct Request<'a> {
    /// What every connection shares.
    pub shared: &'a Arc<Shared>,
    /// Command number.
    pub cmd: u8,
    /// Body.
    pub body: Bytes,
}

/// How a request ends: answered, refused, or the connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Closed.
    #[error(transparent)]
    Conn(#[from] ConnError),
}

impl From<fdfs_core::wire::BadMessage> for Stop {
    fn from(bad: fdfs_core::wire::BadMessage) -> Self {
        Self::Refused(bad.into())
    }
}

/// Checks a fixed body length.
pub fn exact(body: &[u8], len: usize) -> Result<(), Refusal> {
    if body.len() == len { Ok(()) } else { Err(Refusal::new(Status::INVAL, "wrong body length")) }
}

/// The tracker as a service.
pub struct Tracker(pub Arc<Shared>);

impl Service for Tracker {
    type Session = Session;

    fn connected(self: &Arc<Self>, peer: SocketAddr, local: SocketAddr) -> Session {
        self.0.connections.enter();
        Session { peer, local, joined: None, follower: None, leader_chg: 0, trunk_chg: 0, files: None }
    }

    async fn handle(
        self: &Arc<Self>,
        session: &mut Session,
        conn: &mut Conn,
        head: Header,
    ) -> Result<Flow, ConnError> {
        let body = conn.body(&head).await?;
        let request = Request { shared: &self.0, cmd: head.cmd, body };
        let at = conn.begin();
        let done = match answer_from_view(session, &request, conn.out()) {
            Some(done) => done.map_err(Stop::Refused),
            None => Box::pin(answer_by_owner(session, &request, conn.out())).await,
        };
        match done {
            Ok(()) => self.finish(session, conn, &request, at, Ok(())),
            Err(Stop::Refused(refusal)) => self.finish(session, conn, &request, at, Err(refusal)),
            Err(Stop::Conn(error)) => {
                conn.out().truncate(at);
                return Err(error);
            }
        }
        Ok(Flow::Keep)
    }

    fn handle_now(self: &Arc<Self>, session: &mut Session, conn: &mut Conn, head: &Header) -> Option<Flow> {
        let kind = queries::Kind::of(head.cmd)?;
        let body = conn.arrived_body(head)?;
        let request = Request { shared: &self.0, cmd: head.cmd, body };
        let at = conn.begin();
        let done = queries::answer(kind, &self.0.owner.view(), session, &request, conn.out());
        self.finish(session, conn, &request, at, done);
        Some(Flow::Keep)
    }

    fn closed(self: &Arc<Self>, session: &mut Session) {
        self.0.connections.open.fetch_sub(1, Relaxed);
        if let Some(joined) = session.joined.take() {
            self.0.owner.tell(move |state: &mut State, out| state.cluster.closed(&joined, crate::now(), out));
        }
    }
}

impl Tracker {
    /// Completes an answer that began `at`.
    fn finish(
        &self,
        session: &Session,
        conn: &mut Conn,
        request: &Request<'_>,
        at: usize,
        done: Result<(), Refusal>,
    ) {
        let status = match done {
            Ok(()) => Status::OK,
            Err(refusal) => {
                self.0.refusals.count(request.cmd, refusal, session.peer);
                refusal.status
            }
        };
        conn.finish(at, status);
    }
}

/// Queries, answered at once from the latest snapshot. `None`: not a query.
fn answer_from_view(
    session: &Session,
    request: &Request<'_>,
    out: &mut BytesMut,
) -> Option<Result<(), Refusal>> {
    let state = &*request.shared.owner.view();
    match queries::Kind::of(request.cmd) {
        Some(kind) => Some(queries::answer(kind, state, session, request, out)),
        None => crate::admin::answer(state, session, request, out),
    }
}

/// Everything that changes the state or waits.
async fn answer_by_owner(
    session: &mut Session,
    request: &Request<'_>,
    out: &mut BytesMut,
) -> Result<(), Stop> {
    if let Some(done) = crate::reports::answer(session, request, out).await {
        return done;
    }
    if let Some(done) = crate::peers::answer(session, request, out).await {
        return done;
    }
    Err(Refusal::new(Status::INVAL, "unknown command").into())
}
