//! The life of one connection: header, request, reply, until an end.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use fdfs_core::wire::{Status, cmd};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Flow, Service, Shared};
use crate::conn::Conn;
use crate::error::ConnError;
use crate::metrics::Recorder;
use crate::net::TcpStream;

/// The connections of a worker, to find those that are idle.
#[derive(Default)]
pub(super) struct Table {
    all: RefCell<Vec<Rc<Entry>>>,
    leaving: Cell<bool>,
}

struct Entry {
    peer: IpAddr,
    leave: CancellationToken,
    /// Since when it waits for a request; `None` while one is under way.
    idle: Cell<Option<Instant>>,
}

impl Table {
    /// Closes the `n` connections that are idle longest, but none of a cluster peer: those are idle most of the time, and
    /// room for a client is not worth a member.
    #[cfg_attr(feature = "sim", expect(dead_code))]
    pub fn reap(&self, n: usize, is_peer: impl Fn(IpAddr) -> bool) -> usize {
        let all = self.all.borrow();
        let mut idle: Vec<_> = all
            .iter()
            .filter(|entry| !entry.leave.is_cancelled())
            .filter(|entry| !is_peer(entry.peer))
            .filter_map(|entry| Some((entry.idle.get()?, entry)))
            .collect();
        idle.sort_by_key(|(since, _)| *since);
        idle.truncate(n);
        idle.iter().for_each(|(_, entry)| entry.leave.cancel());
        idle.len()
    }

    /// Every connection ends after the request that is under way.
    pub fn leave_all(&self) {
        self.leaving.set(true);
        for entry in self.all.borrow().iter() {
            entry.leave.cancel();
        }
    }

    fn enter(&self, peer: IpAddr) -> Rc<Entry> {
        let entry = Rc::new(Entry { peer, leave: CancellationToken::new(), idle: Cell::new(None) });
        if self.leaving.get() {
            entry.leave.cancel();
        }
        self.all.borrow_mut().push(Rc::clone(&entry));
        entry
    }

    fn remove(&self, entry: &Rc<Entry>) {
        let mut all = self.all.borrow_mut();
        if let Some(at) = all.iter().position(|other| Rc::ptr_eq(other, entry)) {
            all.swap_remove(at);
        }
    }
}

pub(super) async fn serve<S: Service>(
    service: Arc<S>,
    shared: &Shared,
    table: &Table,
    recorder: Option<Recorder>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let Ok(local) = stream.local_addr() else { return };
    let (peer, local) = (canonical(peer), canonical(local));
    let mut conn = Conn::new(stream, peer, local, shared.conf.network_timeout, shared.conf.buff_size);
    let mut session = service.connected(peer, local);
    let entry = table.enter(peer.ip());
    match requests(&service, shared, recorder.as_ref(), &mut session, &mut conn, &entry).await {
        Ok(Flow::Close) => conn.close().await,
        Ok(Flow::Keep) => {}
        Err(ConnError::Closed) => tracing::debug!(%peer, "connection closed in the middle of a request"),
        Err(error) => {
            tracing::warn!(%peer, %error, "connection given up");
            shared.conf.traffic.given_up.fetch_add(1, Relaxed);
        }
    }
    table.remove(&entry);
    service.closed(&mut session);
}

/// `Keep`: the peer closed between requests, or sent what gets no reply; `Close`: we end it after a reply.
async fn requests<S: Service>(
    service: &Arc<S>,
    shared: &Shared,
    recorder: Option<&Recorder>,
    session: &mut S::Session,
    conn: &mut Conn,
    entry: &Entry,
) -> Result<Flow, ConnError> {
    let mut leave = pin!(entry.leave.cancelled());
    let mut first = true;
    loop {
        let idle = || entry.idle.set(Some(Instant::now()));
        // What has arrived needs no futures, whose making and moving costs as much as a short answer.
        let head = match conn.arrived_header() {
            Some(head) => head,
            None => match conn.next_header(first, leave.as_mut(), idle).await {
                Ok(Some(head)) => head,
                Ok(None) => return Ok(Flow::Keep),
                Err(ConnError::Closed | ConnError::TimedOut(_)) if first => return Ok(Flow::Keep),
                Err(error) => return Err(error),
            },
        };
        (first, _) = (false, entry.idle.set(None));
        let Some(body) = head.body() else {
            tracing::warn!(peer = %conn.peer(), cmd = head.cmd, len = head.len, "negative body length");
            shared.conf.traffic.given_up.fetch_add(1, Relaxed);
            return Ok(Flow::Keep);
        };
        let began = recorder.map(|recorder| (recorder, Instant::now()));
        let done = match head.cmd {
            cmd::QUIT => return Ok(Flow::Keep),
            cmd::ACTIVE_TEST => active_test(conn, body, shared.conf.close_on_bad_test).await,
            _ => match service.handle_now(session, conn, &head) {
                Some(flow) => Ok(flow),
                None => service.handle(session, conn, head).await,
            },
        };
        if let Some((recorder, began)) = began {
            let answered = conn.take_answered().filter(|_| done.is_ok());
            recorder.record(head.cmd, answered, began.elapsed());
        }
        let flow = done?;
        if flow == Flow::Close {
            return Ok(Flow::Close);
        }
        if entry.leave.is_cancelled() {
            conn.flush().await?;
            return Ok(Flow::Close);
        }
    }
}

async fn active_test(conn: &mut Conn, body: u64, close: bool) -> Result<Flow, ConnError> {
    if body == 0 {
        conn.reply_status(Status::OK);
        return Ok(Flow::Keep);
    }
    tracing::warn!(peer = %conn.peer(), body, "an active test has no body");
    let close = close || body > conn.max_body();
    if !close {
        conn.discard(body).await?;
    }
    conn.reply_status(Status::INVAL);
    Ok(if close { Flow::Close } else { Flow::Keep })
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
