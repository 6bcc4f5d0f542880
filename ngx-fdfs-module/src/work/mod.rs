//! PUT, POST and DELETE: files come from clients and go to the storages that a tracker chooses. What is asked of whom is
//! decided by [`fdfs_core::http::work`]; here bytes are moved.
//!
//! [`tus`] is the protocol of uploads that go on after an interruption.
//!
//! A body of known length goes straight from the client's connection to the storage's. The protocol wants the length of a file
//! before its content, so forms and chunked bodies wait in a [`Spool`] until they are there as a whole.

mod body;
mod link;
mod plan;
pub mod reply;
mod settings;
mod spool;
pub mod tus;

use std::net::SocketAddr;

use fdfs_core::http::Counters;
use fdfs_core::http::work::{Ask, BadForm, Broken, Done, Errand, FormEvent, Goal, Named, Step, Stored};
use fdfs_core::ident::Extension;
use ngx::ffi::*;

pub use settings::{Rights, set};

use crate::flags;
use crate::guard::guard;
use crate::nginx::{self, DONE, OK, status};
use crate::settings::SiteConf;
use crate::worker;
use body::Body;
use link::{Link, Lost, Reply};
use plan::{File, Intake};
use reply::Finish;
use spool::{Part, Spool};
use tus::Tus;

/// Bytes that one request moves before others get their turn.
const BUDGET: u64 = 4 << 20;
/// The client has gone: nginx's own status for its log.
const CLIENT_LEFT: ngx_int_t = status(NGX_HTTP_CLIENT_CLOSED_REQUEST);

/// A request that changes files; its pool owns it, and nginx holds pointers to it.
pub struct Work {
    r: *mut ngx_http_request_t,
    timer: ngx_event_t,
    body: Body,
    stage: Stage,
    /// Content that had to wait.
    spool: Option<Spool>,
    /// What is to be stored, in order.
    files: Vec<File>,
    /// What has been stored, and where.
    stored: Vec<(Named, SocketAddr)>,
    /// The client left while a storage was at work.
    client_left: bool,
    /// Why what was stored goes again.
    undo: Option<ngx_int_t>,
    /// The timer stands for a turn of others, not for a limit.
    yielded: bool,
    budget: u64,
    /// A request of the resumable protocol.
    tus: Option<Tus>,
}

enum Stage {
    /// The body goes to the spool.
    Spooling(Intake),
    /// A piece of an upload that can be resumed goes to the spool.
    Filling,
    /// A server is asked.
    Talking(Box<Talk>),
    /// Nothing is under way.
    Idle,
}

struct Talk {
    errand: Errand,
    ask: Ask,
    link: Option<Link>,
    /// Bytes of the head and of the content that were sent.
    head_sent: usize,
    sent: u64,
}

/// Where an exchange with a server stands.
enum Progress {
    /// The server has to do something.
    Server,
    /// The client has to send more.
    Client,
    /// Others get their turn.
    Budget,
    /// The server has answered.
    Reply(Reply),
}

/// Why it ended.
enum Trouble {
    /// The connection to the server.
    Server,
    /// The client, with this status.
    Client(ngx_int_t),
}

impl From<Lost> for Trouble {
    fn from(Lost: Lost) -> Self {
        Self::Server
    }
}

/// Where a step of the work leaves it.
enum Turn {
    /// Go on at once.
    Again,
    /// An event comes.
    Wait,
    /// Others get their turn.
    Yield,
    /// The request ends.
    End(Finish),
}

/// Takes over a request with another method than GET and HEAD.
///
/// # Safety
/// `r` must be live, in its content phase.
pub unsafe fn start(r: *mut ngx_http_request_t, rights: &Rights) -> ngx_int_t {
    // SAFETY: the request is live; the work lives in its pool.
    unsafe {
        let method = (*r).method as u32;
        let deletes = method & NGX_HTTP_DELETE != 0 && rights.delete;
        let brings = method & (NGX_HTTP_PUT | NGX_HTTP_POST) != 0 && rights.upload;
        if !deletes && !brings {
            return status(NGX_HTTP_NOT_ALLOWED);
        }
        let stage = if deletes { plan::delete(r) } else { plan::upload(r, rights) };
        let (stage, files, spool) = match stage {
            Ok(plan) => plan,
            Err(rc) => return rc,
        };
        let work = Work::keep(r, stage, files, spool, None);
        if work.is_null() {
            return status(NGX_HTTP_INTERNAL_SERVER_ERROR);
        }
        if deletes {
            let rc = ngx_http_discard_request_body(r);
            if rc != OK {
                return rc;
            }
            return begin_without_body(r);
        }
        read_body(r)
    }
}

/// # Safety
/// `r` must be live, in its content phase, and have a work.
unsafe fn begin_without_body(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: as promised by the caller.
    unsafe {
        flags::hold(r);
        begin(r);
    }
    DONE
}

/// # Safety
/// `r` must be live, in its content phase, and have a work.
unsafe fn read_body(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: as promised by the caller.
    unsafe {
        flags::set_request_body_no_buffering(r, 1);
        flags::set_request_body_in_file_only(r, 0);
        flags::set_request_body_in_single_buf(r, 0);
        let rc = ngx_http_read_client_request_body(r, Some(begin));
        if rc >= status(NGX_HTTP_SPECIAL_RESPONSE) { rc } else { DONE }
    }
}

/// nginx has begun to read the body, or there is none.
unsafe extern "C" fn begin(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes the live request of `start`.
    guard((), || unsafe {
        let Some(work) = nginx::context::<Work>(r) else { return };
        (*r).read_event_handler = Some(on_client);
        (*r).write_event_handler = Some(ngx_http_request_empty_handler);
        run(work, Work::go_on);
    });
}

/// Something happened on the client's connection.
unsafe extern "C" fn on_client(r: *mut ngx_http_request_t) {
    // SAFETY: nginx passes the live request that `begin` was given.
    guard((), || unsafe {
        let Some(work) = nginx::context::<Work>(r) else { return };
        run(work, |work| {
            let c = &mut *(*r).connection;
            let reading = flags::reading_body(r) != 0;
            if reading && (*c.read).timedout() != 0 {
                c.set_timedout(1);
                return work.client_failed(status(NGX_HTTP_REQUEST_TIME_OUT));
            }
            work.client_left |= !reading && body::client_left(r);
            work.go_on()
        });
    });
}

/// Something happened on the connection to a tracker or storage.
unsafe extern "C" fn on_server(event: *mut ngx_event_t) {
    // SAFETY: the connection's `data` is its work, whose link closes it before the work ends.
    guard((), || unsafe {
        let c = &mut *(*event).data.cast::<ngx_connection_t>();
        run_and_post(c.data.cast(), Work::go_on);
    });
}

/// A server is too slow, or others have had their turn.
unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    // SAFETY: the timer's `data` is its work, which stops it at its end.
    guard((), || unsafe {
        run_and_post((*event).data.cast::<Work>(), |work| {
            if std::mem::take(&mut work.yielded) {
                return work.go_on();
            }
            work.too_slow()
        });
    });
}

/// [`run`], then what it has left to nginx, as nginx itself does behind events of clients. Never inside a content handler: what is
/// left may be the end of the request.
///
/// # Safety
/// `work` must be live.
unsafe fn run_and_post(work: *mut Work, step: impl FnOnce(&mut Work) -> Turn) {
    // SAFETY: as promised by the caller; the connection outlives the request.
    unsafe {
        let connection = (*(*work).r).connection;
        run(work, step);
        ngx_http_run_posted_requests(connection);
    }
}

/// Takes a step and those that follow. The work may be gone afterwards.
///
/// # Safety
/// `work` must be live.
unsafe fn run(work: *mut Work, step: impl FnOnce(&mut Work) -> Turn) {
    // SAFETY: as promised by the caller. The work is not touched once its request has been answered.
    unsafe {
        (*work).budget = BUDGET;
        let mut turn = step(&mut *work);
        while matches!(turn, Turn::Again) {
            turn = (*work).go_on();
        }
        match turn {
            Turn::Again | Turn::Wait => {}
            Turn::Yield => {
                (*work).arm(0);
                (*work).yielded = true;
            }
            Turn::End(finish) => {
                let r = (*work).r;
                (*work).close();
                (*r).read_event_handler = Some(ngx_http_block_reading);
                finish.apply(r);
            }
        }
    }
}

impl Work {
    /// A work for a request, in its pool and its context; null when there is no memory.
    ///
    /// # Safety
    /// `r` must be live.
    unsafe fn keep(
        r: *mut ngx_http_request_t,
        stage: Stage,
        files: Vec<File>,
        spool: Option<Spool>,
        tus: Option<Tus>,
    ) -> *mut Self {
        // SAFETY: as promised by the caller; an event of all zero bytes is nginx's initial state.
        unsafe {
            let work = Self {
                r,
                timer: core::mem::zeroed(),
                body: Body::new(r),
                stage,
                spool,
                files,
                stored: Vec::new(),
                client_left: false,
                undo: None,
                yielded: false,
                budget: 0,
                tus,
            };
            let work = nginx::keep((*r).pool, work);
            if !work.is_null() {
                (*work).timer.data = work.cast();
                (*work).timer.handler = Some(on_timer);
                (*work).timer.log = (*(*r).connection).log;
                // The slot is read as an upstream's context only where there is an upstream of ours.
                nginx::set_context(r, work);
            }
            work
        }
    }

    /// One step.
    fn go_on(&mut self) -> Turn {
        match &self.stage {
            Stage::Spooling(_) => self.spool_some(),
            Stage::Filling => self.fill(),
            Stage::Talking(_) => self.talk(),
            Stage::Idle => self.next(),
        }
    }

    /// Chooses what is done next.
    fn next(&mut self) -> Turn {
        if let Some(rc) = self.undo {
            let Some((file, at)) = self.stored.pop() else { return Turn::End(Finish::Status(rc)) };
            let group = file.group;
            return self.follow(Errand::at(Goal::Delete(file), at, group), None);
        }
        if self.tus.is_some() {
            return self.next_of_tus();
        }
        if self.client_left {
            return self.give_up(CLIENT_LEFT);
        }
        // SAFETY: the request is live as long as its work.
        let location = unsafe { nginx::location(self.r) };
        let (Some(conf), Some(rights)) = (location.site(), location.rights()) else {
            return self.give_up(status(NGX_HTTP_INTERNAL_SERVER_ERROR));
        };
        match self.files.get(self.stored.len()) {
            Some(file) => {
                let goal =
                    Goal::Store { group: rights.group, ext: file.ext, appender: false, size: file.size };
                self.follow(Errand::new(goal, trackers(conf)), None)
            }
            None => {
                let told = |((named, _), file): (&(Named, SocketAddr), &File)| Stored {
                    name: file.name.clone(),
                    field: file.field.clone(),
                    ..Stored::new(named, file.size, &rights.url, conf.site.url_has_group)
                };
                let bytes = self.files.iter().map(|file| file.size).sum();
                self.tell(|counters| counters.stored(self.files.len() as u64, bytes));
                Turn::End(Finish::Stored(self.stored.iter().zip(&self.files).map(told).collect()))
            }
        }
    }

    /// Does what the errand wants next; without a `step` it is at its start.
    fn follow(&mut self, errand: Errand, step: Option<Step>) -> Turn {
        match step.unwrap_or_else(|| errand.step()) {
            Step::Ask(ask) => {
                self.stage = Stage::Talking(Box::new(Talk::new(errand, ask)));
                Turn::Again
            }
            Step::Done(done) if self.tus.is_some() => self.done_of_tus(done),
            Step::Done(Done::Stored(file, at)) => {
                self.stored.push((file, at));
                Turn::Again
            }
            Step::Done(_) if self.undo.is_some() => Turn::Again,
            Step::Done(_) => {
                self.tell(Counters::deleted);
                Turn::End(Finish::Deleted)
            }
            Step::Failed(why) => {
                // SAFETY: the request is live as long as its work.
                unsafe { nginx::log_request(NGX_LOG_ERR, self.r, &why.to_string()) };
                self.give_up(status(u32::from(why.status())))
            }
        }
    }

    /// What was stored goes again, then the request ends with `rc`.
    fn give_up(&mut self, rc: ngx_int_t) -> Turn {
        self.stage = Stage::Idle;
        self.stop_timer();
        self.undo.get_or_insert(rc);
        Turn::Again
    }

    /// Takes what has come of a body that has to wait.
    fn spool_some(&mut self) -> Turn {
        let (Stage::Spooling(intake), Some(spool)) = (&mut self.stage, &mut self.spool) else {
            return self.give_up(status(NGX_HTTP_INTERNAL_SERVER_ERROR));
        };
        // SAFETY: the request is live and its body is being read.
        let bytes = match unsafe { self.body.peek() } {
            Ok(bytes) => bytes,
            Err(rc) => return self.give_up(rc),
        };
        let took = bytes.len();
        let done = match (intake, took) {
            // SAFETY: as above.
            (_, 0) if unsafe { !body::is_over(self.r) } => return Turn::Wait,
            (Intake::Raw, 0) => {
                self.files.iter_mut().for_each(|file| file.size = spool.len());
                Ok(true)
            }
            (Intake::Form(form), 0) => form.finish().map(|()| true).map_err(Unusable::from),
            (Intake::Raw, _) => spool.write(bytes).map(|()| false).map_err(Unusable::Spool),
            (Intake::Form(form), _) => {
                form.feed(bytes, |event| take_part(event, &mut self.files, spool)).map(|()| false)
            }
        };
        // SAFETY: as above.
        unsafe { self.body.consume(took) };
        match done {
            Ok(true) => {
                self.stage = Stage::Idle;
                // A field in which no file was chosen.
                self.files.retain(|file| file.size > 0 || file.name.as_deref() != Some(""));
                if self.files.is_empty() { self.refuse(&Unusable::NoFile) } else { Turn::Again }
            }
            Ok(false) => self.spend(took as u64),
            Err(why) => self.refuse(&why),
        }
    }

    fn refuse(&mut self, why: &Unusable) -> Turn {
        let (code, level) = match why {
            Unusable::Spool(_) => (NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_LOG_CRIT),
            Unusable::Form(_) | Unusable::NoFile => (NGX_HTTP_BAD_REQUEST, NGX_LOG_INFO),
        };
        // SAFETY: the request is live as long as its work.
        unsafe { nginx::log_request(level, self.r, &format!("{code}: {why}")) };
        self.give_up(status(code))
    }

    fn spend(&mut self, bytes: u64) -> Turn {
        self.budget = self.budget.saturating_sub(bytes);
        if self.budget == 0 { Turn::Yield } else { Turn::Again }
    }

    /// Goes on with the exchange that is under way.
    fn talk(&mut self) -> Turn {
        let Stage::Talking(mut talk) = std::mem::replace(&mut self.stage, Stage::Idle) else {
            return Turn::Again;
        };
        let before = talk.sum();
        match self.exchange(&mut talk) {
            Ok(Progress::Reply(reply)) => {
                self.stop_timer();
                worker::with_health(|health| health.answered(talk.ask.to));
                let spent = self.is_spent(&talk);
                let mut errand = talk.errand;
                drop(talk.link);
                let step = errand.answered(reply.status, &reply.body, spent);
                self.follow(errand, Some(step))
            }
            Ok(Progress::Budget) => {
                self.stage = Stage::Talking(talk);
                Turn::Yield
            }
            Ok(Progress::Client) => {
                self.stop_timer();
                self.stage = Stage::Talking(talk);
                Turn::Wait
            }
            Ok(Progress::Server) => {
                if talk.sum() != before || self.timer.timer_set() == 0 {
                    self.arm(self.limit(&talk));
                }
                self.stage = Stage::Talking(talk);
                Turn::Wait
            }
            Err(Trouble::Client(rc)) => self.give_up(rc),
            Err(Trouble::Server) => self.broken(*talk, false),
        }
    }

    /// Sends and receives what can be.
    fn exchange(&mut self, talk: &mut Talk) -> Result<Progress, Trouble> {
        if self.client_left
            && self.undo.is_none()
            && self.tus.is_none()
            && (talk.ask.tracker || !talk.is_whole())
        {
            return Err(Trouble::Client(CLIENT_LEFT));
        }
        if talk.link.is_none() {
            let data = (&raw mut *self).cast();
            // SAFETY: the work never moves, and drops the link before it ends; the request's log lives as long.
            talk.link =
                Some(unsafe { Link::open(talk.ask.to, Some(on_server), data, (*(*self.r).connection).log)? });
        }
        let Some(link) = talk.link.as_mut() else { return Err(Trouble::Server) };
        while let Some(rest) = talk.ask.head.get(talk.head_sent..).filter(|rest| !rest.is_empty()) {
            match link.send(rest)? {
                0 => return Ok(Progress::Server),
                sent => talk.head_sent += sent,
            }
        }
        while talk.sent < talk.ask.content {
            let left = talk.ask.content - talk.sent;
            let sent = match &self.spool {
                Some(spool) => {
                    let from = self.files.get(self.stored.len()).map_or(0, |file| file.from) + talk.sent;
                    match spool.part(from, left) {
                        Part::Bytes(bytes) => link.send(bytes),
                        Part::File(file) => link.send_file(file, from, left),
                    }
                }
                None => {
                    // SAFETY: the request is live and its body is being read.
                    let bytes = unsafe { self.body.peek() }.map_err(Trouble::Client)?;
                    if bytes.is_empty() {
                        // SAFETY: as above.
                        if unsafe { body::is_over(self.r) } {
                            return Err(Trouble::Client(status(NGX_HTTP_BAD_REQUEST)));
                        }
                        // A storage may say no at any time.
                        return Ok(link.receive()?.map_or(Progress::Client, Progress::Reply));
                    }
                    let left = usize::try_from(left).unwrap_or(usize::MAX);
                    let sent = link.send(bytes.get(..left.min(bytes.len())).unwrap_or_default());
                    // SAFETY: as above.
                    unsafe { self.body.consume(*sent.as_ref().unwrap_or(&0)) };
                    sent
                }
            };
            match sent {
                Ok(0) => return Ok(link.receive()?.map_or(Progress::Server, Progress::Reply)),
                Ok(sent) => {
                    talk.sent += sent as u64;
                    self.budget = self.budget.saturating_sub(sent as u64);
                    if self.budget == 0 {
                        return Ok(Progress::Budget);
                    }
                }
                // It may have said why.
                Err(Lost) => return link.receive()?.map(Progress::Reply).ok_or(Trouble::Server),
            }
        }
        Ok(link.receive()?.map_or(Progress::Server, Progress::Reply))
    }

    /// The server did not answer: is there another way?
    fn broken(&mut self, talk: Talk, timed_out: bool) -> Turn {
        self.stop_timer();
        let how = Broken { whole: talk.is_whole(), spent: self.is_spent(&talk), timed_out };
        let what = if timed_out { "does not answer in time" } else { "cannot be asked" };
        // SAFETY: the request is live as long as its work.
        unsafe { nginx::log_request(NGX_LOG_ERR, self.r, &format!("{} {what}", talk.ask.to)) };
        worker::with_health(|health| health.failed(talk.ask.to, nginx::now_ms()));
        let mut errand = talk.errand;
        drop(talk.link);
        let step = errand.broken(how);
        self.follow(errand, Some(step))
    }

    fn too_slow(&mut self) -> Turn {
        match std::mem::replace(&mut self.stage, Stage::Idle) {
            Stage::Talking(talk) => self.broken(*talk, true),
            other => {
                self.stage = other;
                Turn::Wait
            }
        }
    }

    /// Content of the client went away with a connection.
    fn is_spent(&self, talk: &Talk) -> bool {
        self.spool.is_none() && talk.sent > 0
    }

    /// Counts something.
    fn tell(&self, what: impl FnOnce(&Counters)) {
        // SAFETY: the request is live as long as its work.
        if let Some(counters) = unsafe { crate::status::counters(self.r) } {
            what(counters);
        }
    }

    /// Longest wait for the server, ms.
    fn limit(&self, talk: &Talk) -> ngx_msec_t {
        // SAFETY: the request is live as long as its work.
        let conf = unsafe { nginx::location(self.r) }.site();
        let connected = talk.link.as_ref().is_some_and(|link| link.connected);
        conf.map_or(0, |conf| {
            (if connected { conf.network_timeout } else { conf.connect_timeout }).as_millis() as ngx_msec_t
        })
    }

    fn arm(&mut self, ms: ngx_msec_t) {
        self.stop_timer();
        self.yielded = false;
        // SAFETY: the timer never moves, and is stopped before the work ends.
        unsafe { ngx_add_timer(&mut self.timer, ms) };
    }

    fn stop_timer(&mut self) {
        if self.timer.timer_set() != 0 {
            // SAFETY: armed, as tested.
            unsafe { ngx_del_timer(&mut self.timer) };
        }
    }

    /// No event comes any more.
    fn close(&mut self) {
        self.stage = Stage::Idle;
        self.stop_timer();
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.close();
    }
}

impl Talk {
    fn new(errand: Errand, ask: Ask) -> Self {
        Self { errand, ask, link: None, head_sent: 0, sent: 0 }
    }

    /// Whether the server has got all of the request.
    fn is_whole(&self) -> bool {
        self.head_sent == self.ask.head.len() && self.sent == self.ask.content
    }

    /// Grows with whatever happens.
    fn sum(&self) -> u64 {
        let received = self.link.as_ref().map_or(0, Link::received);
        self.head_sent as u64 + self.sent + received as u64
    }
}

/// Why a body is of no use.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{0}")]
    Form(#[from] BadForm),
    #[error("the form has no file")]
    NoFile,
    #[error("the body cannot be kept: {0}")]
    Spool(std::io::Error),
}

/// A piece of a form.
fn take_part(event: FormEvent<'_>, files: &mut Vec<File>, spool: &mut Spool) -> Result<(), Unusable> {
    match event {
        FormEvent::File { field, name } => {
            let (ext, from) = (Extension::of_path(&name), spool.len());
            files.push(File { ext, field: Some(field), name: Some(name), from, size: 0 });
        }
        FormEvent::Content(bytes) => {
            spool.write(bytes).map_err(Unusable::Spool)?;
            if let Some(file) = files.last_mut() {
                file.size += bytes.len() as u64;
            }
        }
    }
    Ok(())
}

/// Trackers of a location, those that failed lately last.
fn trackers(conf: &SiteConf) -> Vec<SocketAddr> {
    let now = nginx::now_ms();
    let mut all = conf.trackers.clone();
    worker::with_health(|health| all.sort_by_key(|addr| health.resting(*addr, now)));
    all
}
