//! Asks the trackers who is in the groups: at the worker's start and every few seconds, without ever waiting.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

use fdfs_core::http::{Poll, PollStep, TrackerStatus};
use ngx::ffi::*;

use crate::guard::guard;
use crate::nginx::{self, AGAIN, OK};
use crate::settings::SiteConf;
use crate::{balancer, worker};

/// Between two rounds, ms.
const PAUSE_MS: ngx_msec_t = 5000;
/// Between two rounds as long as no tracker has ever answered, ms.
const HURRY_MS: ngx_msec_t = 1000;
/// Whole conversation with one tracker, ms.
const LIMIT_MS: ngx_msec_t = 3000;

/// One per `mod_fastdfs.conf` and worker. nginx holds pointers to its timer, so it never moves; it lives as long as
/// the worker.
struct Watch {
    timer: ngx_event_t,
    site: Arc<SiteConf>,
    /// Index of the tracker that is asked, or goes next.
    tracker: usize,
    /// Trackers that failed in this round.
    failed: usize,
    /// Whether the trouble of this round has been logged already.
    complained: bool,
    talk: Option<Talk>,
    /// When the list came, on nginx's clock, ms.
    answered_ms: Option<u64>,
    /// What the last try with each tracker failed of.
    troubles: Vec<Option<String>>,
}

struct Talk {
    connection: *mut ngx_connection_t,
    poll: Poll,
    received: Vec<u8>,
    to_send: Vec<u8>,
}

thread_local! {
    static WATCHES: RefCell<Vec<*mut Watch>> = const { RefCell::new(Vec::new()) };
}

/// Starts to watch the trackers of `site`.
pub fn watch(site: Arc<SiteConf>) {
    // SAFETY: an event of all zero bytes is nginx's initial state.
    let timer: ngx_event_t = unsafe { core::mem::zeroed() };
    let troubles = vec![None; site.trackers.len()];
    let watch = Watch {
        timer,
        site,
        tracker: 0,
        failed: 0,
        complained: false,
        talk: None,
        answered_ms: None,
        troubles,
    };
    let watch = Box::into_raw(Box::new(watch));
    WATCHES.with_borrow_mut(|all| all.push(watch));
    // SAFETY: just created.
    let watch = unsafe { &mut *watch };
    watch.timer.data = (&raw mut *watch).cast();
    watch.timer.handler = Some(on_timer);
    watch.timer.log = nginx::cycle_log();
    // A worker that shuts down does not wait for it.
    watch.timer.set_cancelable(1);
    watch.ask();
}

/// The trackers of `site` as this worker knows them, and the age of their list of members, ms.
pub fn view(site: &SiteConf) -> (Vec<TrackerStatus>, Option<u64>) {
    let all = WATCHES.with_borrow(Clone::clone);
    // SAFETY: entries of the list are live; nobody else holds a reference while a request is answered.
    let watch =
        all.into_iter().map(|watch| unsafe { &*watch }).find(|watch| watch.site.number == site.number);
    let Some(watch) = watch else { return (Vec::new(), None) };
    let tracker = |(n, addr): (usize, &SocketAddr)| TrackerStatus {
        addr: addr.to_string(),
        current: n == watch.tracker,
        trouble: watch.troubles.get(n).cloned().flatten(),
    };
    let trackers = site.trackers.iter().enumerate().map(tracker).collect();
    (trackers, watch.answered_ms.map(|ms| nginx::now_ms().saturating_sub(ms)))
}

/// Ends all watches, at the end of the worker.
pub fn close_all() {
    for watch in WATCHES.take() {
        // SAFETY: entries of the list are live boxes; nobody else holds a reference now, and no event leads to one any more.
        let mut watch = unsafe { Box::from_raw(watch) };
        watch.hang_up();
        watch.disarm();
    }
}

impl Watch {
    /// Connects to the next tracker that can be connected to.
    fn ask(&mut self) {
        self.hang_up();
        while let Some(addr) = self.site.trackers.get(self.tracker).copied() {
            match connect(addr) {
                Ok(connection) => return self.begin(connection),
                Err(error) => {
                    self.complain(&format!("cannot connect: {error}"));
                    if !self.advance() {
                        return;
                    }
                }
            }
        }
    }

    fn begin(&mut self, connection: *mut ngx_connection_t) {
        let groups = self.site.site.groups.iter().map(|group| group.name).collect();
        let poll = Poll::new(groups);
        let to_send = poll.start();
        // SAFETY: the connection is new and open; `self` never moves and closes it before it ends.
        unsafe {
            let c = &mut *connection;
            c.data = (&raw mut *self).cast();
            (*c.read).handler = Some(on_event);
            (*c.write).handler = Some(on_event);
            // So that nginx closes it at once when the worker is told to leave.
            c.set_idle(1);
        }
        self.talk = Some(Talk { connection, poll, received: Vec::new(), to_send });
        self.arm(LIMIT_MS);
    }

    /// Goes on as far as the socket allows.
    fn proceed(&mut self) {
        let Some(talk) = self.talk.as_mut() else { return };
        match talk.proceed() {
            Ok(None) => {}
            Ok(Some(peers)) => {
                self.hang_up();
                self.failed = 0;
                self.complained = false;
                self.answered_ms = Some(nginx::now_ms());
                self.note(None);
                self.arm(PAUSE_MS);
                let site = Arc::clone(&self.site);
                worker::set_peers(&site, peers);
            }
            Err(why) => self.give_up(&why),
        }
    }

    fn give_up(&mut self, why: &str) {
        self.complain(why);
        if self.advance() {
            self.ask();
        }
    }

    /// Moves on to the next tracker; `false` when all failed in this round, and a pause has begun.
    fn advance(&mut self) -> bool {
        self.hang_up();
        self.tracker = (self.tracker + 1) % self.site.trackers.len().max(1);
        self.failed += 1;
        if self.failed < self.site.trackers.len() {
            return true;
        }
        self.failed = 0;
        self.complained = true;
        self.arm(if worker::peers(&self.site).is_some() { PAUSE_MS } else { HURRY_MS });
        false
    }

    fn note(&mut self, trouble: Option<&str>) {
        if let Some(slot) = self.troubles.get_mut(self.tracker) {
            *slot = trouble.map(str::to_owned);
        }
    }

    /// One line per tracker, not one per round.
    fn complain(&mut self, why: &str) {
        self.note(Some(why));
        if self.complained {
            return;
        }
        let addr = self.site.trackers.get(self.tracker).map_or_else(String::new, SocketAddr::to_string);
        // SAFETY: the cycle's log is live.
        unsafe { nginx::log(NGX_LOG_WARN, nginx::cycle_log(), &format!("tracker {addr}: {why}")) };
    }

    fn hang_up(&mut self) {
        if let Some(talk) = self.talk.take() {
            // SAFETY: open until here, and without a pool of its own.
            unsafe { ngx_close_connection(talk.connection) };
        }
    }

    fn disarm(&mut self) {
        if self.timer.timer_set() != 0 {
            // SAFETY: armed, as tested.
            unsafe { ngx_del_timer(&mut self.timer) };
        }
    }

    fn arm(&mut self, ms: ngx_msec_t) {
        self.disarm();
        // SAFETY: the timer never moves. A leaving worker sets no new one.
        unsafe {
            if ngx_exiting == 0 && ngx_terminate == 0 {
                self.timer.log = nginx::cycle_log();
                ngx_add_timer(&mut self.timer, ms);
            }
        }
    }
}

impl Talk {
    /// `Ok(Some)` when the tracker has told everything.
    fn proceed(&mut self) -> Result<Option<fdfs_core::http::Peers>, String> {
        loop {
            self.send()?;
            if !self.receive()? {
                return Ok(None);
            }
            match self.poll.feed(&self.received) {
                PollStep::More => {}
                PollStep::Ask(request) => {
                    self.received.clear();
                    self.to_send = request;
                }
                PollStep::Done(peers) => return Ok(Some(peers)),
                PollStep::Bad(fault) => return Err(fault.to_string()),
            }
        }
    }

    fn send(&mut self) -> Result<(), String> {
        // SAFETY: the connection is open; `send` does not write to the buffer.
        unsafe {
            let c = &mut *self.connection;
            while !self.to_send.is_empty() && (*c.write).ready() != 0 {
                let Some(send) = c.send else { return Err("no send function".into()) };
                let sent = send(c, self.to_send.as_mut_ptr(), self.to_send.len());
                match usize::try_from(sent) {
                    Ok(sent) => drop(self.to_send.drain(..sent.min(self.to_send.len()))),
                    Err(_) if sent == AGAIN => break,
                    Err(_) => return Err(std::io::Error::last_os_error().to_string()),
                }
            }
            if ngx_handle_write_event(c.write, 0) == OK { Ok(()) } else { Err("cannot wait".into()) }
        }
    }

    /// `false` when nothing is there.
    fn receive(&mut self) -> Result<bool, String> {
        let mut piece = [0_u8; 16 * 1024];
        // SAFETY: the connection is open; `recv` writes at most the length given.
        let (got, lost) = unsafe {
            let c = &mut *self.connection;
            let Some(recv) = c.recv else { return Err("no receive function".into()) };
            let got = recv(c, piece.as_mut_ptr(), piece.len());
            let lost = std::io::Error::last_os_error();
            if ngx_handle_read_event(c.read, 0) != OK {
                return Err("cannot wait".into());
            }
            (got, lost)
        };
        match usize::try_from(got) {
            Ok(0) => Err("closed the connection".into()),
            Ok(got) => {
                self.received.extend_from_slice(piece.get(..got).unwrap_or_default());
                if self.received.len() > Poll::BODY_MAX + piece.len() {
                    return Err("answer too long".into());
                }
                Ok(true)
            }
            Err(_) if got == AGAIN => Ok(false),
            Err(_) => Err(lost.to_string()),
        }
    }
}

/// A new connection; it may still be under way.
pub fn connect(addr: SocketAddr) -> Result<*mut ngx_connection_t, &'static str> {
    let (mut raw, len) = balancer::raw(addr);
    let mut text = addr.to_string().into_bytes();
    let mut name = ngx_str_t { len: text.len(), data: text.as_mut_ptr() };
    // SAFETY: nginx reads the address and the name only during the call; the rest of the structure is unused.
    unsafe {
        let mut pc: ngx_peer_connection_t = core::mem::zeroed();
        pc.sockaddr = (&raw mut raw).cast();
        pc.socklen = len;
        pc.name = &mut name;
        pc.get = Some(ngx_event_get_peer);
        pc.log = nginx::cycle_log();
        // The watch logs its own line.
        pc.set_log_error(ngx_connection_log_error_e_NGX_ERROR_INFO);
        let rc = ngx_event_connect_peer(&mut pc);
        if (rc == OK || rc == AGAIN) && !pc.connection.is_null() {
            return Ok(pc.connection);
        }
        if !pc.connection.is_null() {
            ngx_close_connection(pc.connection);
        }
    }
    Err("refused")
}

unsafe extern "C" fn on_event(event: *mut ngx_event_t) {
    // SAFETY: the connection's `data` is its watch, which closes it before it ends.
    guard((), || unsafe {
        let c = &mut *(*event).data.cast::<ngx_connection_t>();
        let watch = &mut *c.data.cast::<Watch>();
        if c.close() != 0 {
            watch.hang_up();
        } else {
            watch.proceed();
        }
    });
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    // SAFETY: the timer's `data` is its watch.
    guard((), || unsafe {
        let watch = (*event).data.cast::<Watch>();
        if ngx_exiting != 0 {
            (*watch).hang_up();
        } else if (*watch).talk.is_some() {
            (*watch).give_up("no answer within 3 s");
        } else {
            (*watch).ask();
        }
    });
}
