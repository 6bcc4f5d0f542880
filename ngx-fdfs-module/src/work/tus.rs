//! Resumable uploads: the requests of [`fdfs_core::http::work::tus_wish`]. Content is collected in pieces, and each piece is
//! written to the file as a whole. What a client sent before it left is written too: it goes on from there.

use std::net::SocketAddr;

use fdfs_core::http::work::{
    BadTus, Done, Errand, Goal, Named, TUS_EXTENSIONS, TUS_VERSION, TusHead, TusMethod, TusUpload, TusWish,
    tus_url, tus_wish,
};
use fdfs_core::http::{Counters, source_of};
use fdfs_core::ident::Extension;
use ngx::ffi::*;

use super::reply::Finish;
use super::settings::Rights;
use super::{Stage, Turn, Work, body, plan, trackers};
use crate::flags;
use crate::nginx::{self, OK, status};
use crate::{remote, worker};

/// Bytes that are collected before they are written to the file.
const PIECE: u64 = 4 << 20;

/// A request of the protocol.
pub struct Tus {
    phase: Phase,
    answer: Answer,
    /// The file and its storage, once they are known.
    file: Option<(Named, SocketAddr)>,
    /// Bytes that the file will have.
    length: u64,
    /// Its size.
    offset: u64,
    /// Bytes of this request that are still to come.
    left: u64,
    /// The client failed, with this status: what has come is written, and that is all.
    client_failed: Option<ngx_int_t>,
}

enum Phase {
    /// A new file.
    Create(Extension),
    /// How large is it?
    Ask,
    /// Content is collected.
    Fill,
    /// A piece has been collected.
    Write,
    /// It goes.
    Terminate,
    /// The client gets its answer.
    Over,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Answer {
    Created,
    Size,
    Patched,
}

/// Whether a request is one of this protocol.
///
/// # Safety
/// `r` must be live.
pub unsafe fn takes(r: *mut ngx_http_request_t, rights: &Rights, serves: bool) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        let mixed = rights.upload || rights.delete || serves;
        rights.tus
            && (*r).method as u32 & NGX_HTTP_GET == 0
            && (!mixed
                || (*r).method as u32 & (NGX_HTTP_PATCH | NGX_HTTP_OPTIONS) != 0
                || nginx::request_header(r, b"Tus-Resumable").is_some())
    }
}

/// Takes over such a request.
///
/// # Safety
/// `r` must be live, in its content phase.
pub unsafe fn start(r: *mut ngx_http_request_t, rights: &Rights) -> ngx_int_t {
    // SAFETY: the request is live; the work lives in its pool.
    unsafe {
        if nginx::push_header(r, c"Tus-Resumable", TUS_VERSION.as_bytes()).is_null() {
            return status(NGX_HTTP_INTERNAL_SERVER_ERROR);
        }
        let header = |name: &[u8]| nginx::request_header(r, name);
        let method = header(b"X-HTTP-Method-Override").unwrap_or(nginx::bytes(&(*r).method_name));
        let Some(method) = TusMethod::parse(method) else { return status(NGX_HTTP_NOT_ALLOWED) };
        let head = TusHead {
            uri: nginx::bytes(&(*r).uri),
            args: nginx::bytes(&(*r).args),
            version: header(b"Tus-Resumable"),
            length: header(b"Upload-Length"),
            offset: header(b"Upload-Offset"),
            metadata: header(b"Upload-Metadata"),
            content_type: header(b"Content-Type"),
            body: u64::try_from((*r).headers_in.content_length_n).ok(),
        };
        let tus = match tus_wish(method, &head, &rights.tus_key, rights.tus_max) {
            Ok(TusWish::Options) => return options(r, rights),
            Ok(TusWish::Create { length, ext, body }) => {
                Tus::new(Phase::Create(ext), Answer::Created, None, (length, 0, body))
            }
            Ok(wish) => match existing(r, wish) {
                Some(tus) => tus,
                None => return remote::unavailable(r, "the source of the upload is not known"),
            },
            Err(bad) => return refuse(r, bad),
        };
        let reads = tus.left > 0;
        let spool = Some(plan::spool(r));
        let work = Work::keep(r, Stage::Idle, Vec::new(), spool, Some(tus));
        if work.is_null() {
            return status(NGX_HTTP_INTERNAL_SERVER_ERROR);
        }
        if reads {
            return super::read_body(r);
        }
        let rc = ngx_http_discard_request_body(r);
        if rc == OK { super::begin_without_body(r) } else { rc }
    }
}

/// # Safety
/// `r` must be live and its header not yet sent.
unsafe fn refuse(r: *mut ngx_http_request_t, bad: BadTus) -> ngx_int_t {
    // SAFETY: as promised by the caller.
    unsafe {
        nginx::log_request(NGX_LOG_INFO, r, &format!("{}: {bad}", bad.status()));
        if bad == BadTus::Version {
            nginx::push_header(r, c"Tus-Version", TUS_VERSION.as_bytes());
        }
        status(u32::from(bad.status()))
    }
}

/// # Safety
/// `r` must be live and its header not yet sent.
unsafe fn options(r: *mut ngx_http_request_t, rights: &Rights) -> ngx_int_t {
    // SAFETY: as promised by the caller.
    unsafe {
        let rc = ngx_http_discard_request_body(r);
        if rc != OK {
            return rc;
        }
        nginx::push_header(r, c"Tus-Version", TUS_VERSION.as_bytes());
        nginx::push_header(r, c"Tus-Extension", TUS_EXTENSIONS.as_bytes());
        if let Some(max) = rights.tus_max {
            nginx::push_header(r, c"Tus-Max-Size", max.to_string().as_bytes());
        }
        (*r).headers_out.status = NGX_HTTP_NO_CONTENT as ngx_uint_t;
        flags::set_header_only(r, 1);
        ngx_http_send_header(r)
    }
}

/// A request for a file that is there. Only the storage that received it is asked: its size there is the true one, and changes
/// made there are in order. `None` when that storage is not known.
///
/// # Safety
/// `r` must be live.
unsafe fn existing(r: *mut ngx_http_request_t, wish: TusWish) -> Option<Tus> {
    let known = |upload: TusUpload, phase, answer, offset, body| {
        // SAFETY: as promised by the caller.
        let location = unsafe { nginx::location(r) };
        let group = upload.file.group;
        let fixed = location.peers().iter().filter(|peer| peer.group == group).map(|peer| peer.member);
        let view = worker::peers(location.site()?);
        let told = view.as_ref().and_then(|peers| peers.of(&group)).unwrap_or_default();
        let at = source_of(fixed.chain(told.iter().copied()), upload.name.blob()?.source)?;
        Some(Tus::new(phase, answer, Some((upload.file, at)), (upload.length, offset, body)))
    };
    match wish {
        TusWish::Head(upload) => known(upload, Phase::Ask, Answer::Size, 0, 0),
        TusWish::Patch { upload, offset, body } => known(upload, Phase::Ask, Answer::Patched, offset, body),
        TusWish::Terminate(upload) => known(upload, Phase::Terminate, Answer::Patched, 0, 0),
        TusWish::Options | TusWish::Create { .. } => None,
    }
}

impl Tus {
    fn new(
        phase: Phase,
        answer: Answer,
        file: Option<(Named, SocketAddr)>,
        (length, offset, left): (u64, u64, u64),
    ) -> Self {
        Self { phase, answer, file, length, offset, left, client_failed: None }
    }
}

impl Work {
    /// Chooses what is done next.
    pub(super) fn next_of_tus(&mut self) -> Turn {
        let failed = status(NGX_HTTP_INTERNAL_SERVER_ERROR);
        let Some(tus) = &mut self.tus else { return self.give_up(failed) };
        // SAFETY: the request is live as long as its work.
        let location = unsafe { nginx::location(self.r) };
        let (Some(conf), Some(rights)) = (location.site(), location.rights()) else {
            return self.give_up(failed);
        };
        let at = |goal: fn(Named, u64, u64) -> Goal, size| {
            let (file, at) = tus.file.clone()?;
            let group = file.group;
            Some(Errand::at(goal(file, tus.offset, size), at, group))
        };
        let size = self.spool.as_ref().map_or(0, super::Spool::len);
        let errand = match tus.phase {
            Phase::Create(ext) => {
                let goal = Goal::Store { group: rights.group, ext, appender: true, size: 0 };
                Some(Errand::new(goal, trackers(conf)))
            }
            Phase::Ask => at(|file, _, _| Goal::Info(file), 0),
            Phase::Terminate => at(|file, _, _| Goal::Delete(file), 0),
            Phase::Write => at(|file, offset, size| Goal::Write { file, offset, size }, size),
            Phase::Fill => {
                self.stage = Stage::Filling;
                return Turn::Again;
            }
            Phase::Over => return self.answer_tus(),
        };
        match errand {
            Some(errand) => self.follow(errand, None),
            None => self.give_up(failed),
        }
    }

    /// A server did what it was asked for.
    pub(super) fn done_of_tus(&mut self, done: Done) -> Turn {
        let failed = status(NGX_HTTP_INTERNAL_SERVER_ERROR);
        let size = self.spool.as_ref().map_or(0, super::Spool::len);
        match &done {
            Done::Stored(..) => self.tell(|counters| counters.stored(1, 0)),
            Done::Written => self.tell(|counters| counters.stored(0, size)),
            Done::Deleted => self.tell(Counters::deleted),
            Done::Info(_) => {}
        }
        let Some(tus) = &mut self.tus else { return self.give_up(failed) };
        match done {
            Done::Stored(file, at) => {
                tus.file = Some((file, at));
            }
            Done::Info(info) if tus.answer == Answer::Size => tus.offset = info.size,
            Done::Info(info) if info.size != tus.offset => return self.give_up(status(NGX_HTTP_CONFLICT)),
            Done::Info(_) => {}
            Done::Written => {
                tus.offset += size;
                // SAFETY: the request is live as long as its work.
                self.spool = Some(unsafe { plan::spool(self.r) });
            }
            Done::Deleted => {
                return Turn::End(Finish::Deleted);
            }
        }
        tus.phase = if tus.left > 0 { Phase::Fill } else { Phase::Over };
        if let Some(rc) = tus.client_failed {
            return self.give_up(rc);
        }
        Turn::Again
    }

    /// Collects a piece.
    pub(super) fn fill(&mut self) -> Turn {
        let (Some(tus), Some(spool)) = (&mut self.tus, &mut self.spool) else {
            return self.give_up(status(NGX_HTTP_INTERNAL_SERVER_ERROR));
        };
        let room = PIECE.saturating_sub(spool.len()).min(tus.left);
        if room == 0 {
            tus.phase = Phase::Write;
            self.stage = Stage::Idle;
            return Turn::Again;
        }
        // SAFETY: the request is live and its body is being read.
        let bytes = match unsafe { self.body.peek() } {
            Ok(bytes) => bytes,
            Err(rc) => return self.client_failed(rc),
        };
        let bytes = bytes.get(..bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
        let bytes = bytes.unwrap_or_default();
        if bytes.is_empty() {
            // SAFETY: as above.
            return match unsafe { body::is_over(self.r) } {
                true => self.client_failed(status(NGX_HTTP_BAD_REQUEST)),
                false => Turn::Wait,
            };
        }
        let took = bytes.len();
        let kept = spool.write(bytes);
        tus.left -= took as u64;
        // SAFETY: as above.
        unsafe { self.body.consume(took) };
        match kept {
            Ok(()) => self.spend(took as u64),
            Err(error) => self.refuse(&super::Unusable::Spool(error)),
        }
    }

    /// The client does not send what it should, or has left.
    pub(super) fn client_failed(&mut self, rc: ngx_int_t) -> Turn {
        let Some(tus) = &mut self.tus else { return self.give_up(rc) };
        tus.client_failed = Some(rc);
        match self.stage {
            Stage::Filling if self.spool.as_ref().is_some_and(|spool| spool.len() > 0) => {
                tus.phase = Phase::Write;
                self.stage = Stage::Idle;
                Turn::Again
            }
            // A piece is under way.
            Stage::Talking(_) => Turn::Wait,
            _ => self.give_up(rc),
        }
    }

    fn answer_tus(&mut self) -> Turn {
        let failed = status(NGX_HTTP_INTERNAL_SERVER_ERROR);
        // SAFETY: the request is live, and its header not yet sent.
        unsafe {
            let Some(rights) = nginx::location(self.r).rights() else { return self.give_up(failed) };
            let Some(Tus { file: Some((file, _)), answer, length, offset, .. }) = &self.tus else {
                return self.give_up(failed);
            };
            let r = self.r;
            let mut headers = vec![
                (c"Upload-Offset", offset.to_string()),
                (c"Fastdfs-Id", file.id()),
                (c"Cache-Control", "no-store".to_owned()),
            ];
            let code = match answer {
                Answer::Created => {
                    let base = String::from_utf8_lossy(nginx::bytes(&(*r).uri)).into_owned();
                    headers.push((c"Location", tus_url(&base, file, *length, &rights.tus_key)));
                    NGX_HTTP_CREATED
                }
                Answer::Size => {
                    headers.push((c"Upload-Length", length.to_string()));
                    NGX_HTTP_OK
                }
                Answer::Patched => NGX_HTTP_NO_CONTENT,
            };
            for (key, value) in headers {
                if nginx::push_header(r, key, value.as_bytes()).is_null() {
                    return self.give_up(failed);
                }
            }
            Turn::End(Finish::Empty(code))
        }
    }
}
