//! A file from a storage: the native download protocol as an nginx upstream. What bytes mean is decided by
//! [`fdfs_core::http::Fetch`]; here they are moved.

use std::net::SocketAddr;

use fdfs_core::http::{
    Answer, Conditions, Fault, Fetch, IfModifiedSince, Job, Multipart, Step, Validators, Verdict, Wanted,
    candidates,
};
use ngx::ffi::*;

use crate::balancer::Candidates;
use crate::buffer::Buffer;
use crate::guard::guard;
use crate::header::Refusal;
use crate::nginx::{self, AGAIN, ERROR, OK, status};
use crate::pipe::{self, Around};
use crate::splice::Splice;
use crate::{cache, extras, flags, redirect, worker};

pub const INVALID_HEADER: ngx_int_t = NGX_HTTP_UPSTREAM_INVALID_HEADER as ngx_int_t;

/// How a request goes on after [`start`].
pub enum Start {
    /// Return or finalize with this.
    Finished(ngx_int_t),
    /// Call `ngx_http_upstream_init`.
    Upstream,
    /// No peer is known yet, but the trackers have not answered either.
    Wait,
}

/// State of one request; its pool owns it.
pub struct Context {
    /// The request itself.
    pub r: *mut ngx_http_request_t,
    /// What to send and what answers mean.
    pub fetch: Fetch,
    /// Whom to ask, and who failed.
    pub candidates: Candidates,
    /// Why the storage asked last is not believed.
    pub fault: Option<Fault>,
    /// What answers are read into.
    pub buffer: Buffer,
    /// The rest of a large content.
    pub splice: Option<Splice>,
    /// What is put around the content.
    pub around: Around,
    /// The answer is no content, but what nginx makes of this.
    pub refusal: Option<Refusal>,
}

/// Decides how to get `file` from its group. `here` is the status when there is nobody to ask.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn start(r: *mut ngx_http_request_t, file: &Wanted, here: u32) -> Start {
    const FAILED: Start = Start::Finished(NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
    // SAFETY: the request is live; the upstream is created before it is used.
    unsafe {
        let location = nginx::location(r);
        let Some(conf) = location.site() else { return FAILED };
        let job = job(r, file);
        if let Some(verdict) = settled(&job) {
            return Start::Finished(answer_without_body(r, &job, verdict));
        }
        let view = worker::peers(conf);
        let known = location.peers().iter().filter(|peer| peer.group == file.group).map(|peer| peer.member);
        let members = view.as_ref().and_then(|peers| peers.of(&file.group));
        let now = nginx::now_ms();
        let order = worker::with_health(|health| {
            let all = known.chain(members.unwrap_or_default().iter().copied());
            candidates(all, file.source, |addr| health.resting(addr, now))
        });
        if order.is_empty() {
            return match (conf.trackers.is_empty(), &view, members) {
                (true, ..) => Start::Finished(status(here)),
                (false, None, _) => Start::Wait,
                (false, Some(_), None) => Start::Finished(status(here)),
                (false, Some(_), Some(_)) => without_members(r, file, "no member of the group serves"),
            };
        }
        if conf.redirect
            && let Some(rc) = redirect::answer(r, location.redirect(), order.iter().copied())
        {
            return Start::Finished(rc);
        }
        ask(r, job, order)
    }
}

/// The answer where there is nobody to ask: out of the cache, else 503 that says `why`.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn without_members(r: *mut ngx_http_request_t, file: &Wanted, why: &str) -> Start {
    // SAFETY: as promised by the caller.
    unsafe {
        let job = job(r, file);
        if cache::serves(nginx::location(r), &job) {
            ask(r, job, Vec::new())
        } else {
            Start::Finished(unavailable(r, why))
        }
    }
}

/// Gives nginx an upstream with the members in `order`.
///
/// # Safety
/// `r` must be live and its header not yet sent.
unsafe fn ask(r: *mut ngx_http_request_t, job: Job, order: Vec<SocketAddr>) -> Start {
    const FAILED: Start = Start::Finished(NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
    // SAFETY: the request is live; the upstream is created before it is used.
    unsafe {
        let location = nginx::location(r);
        let conf = if cache::serves(location, &job) { &mut location.cached } else { &mut location.upstream };
        if ngx_http_set_content_type(r) != OK || ngx_http_upstream_create(r) != OK {
            return FAILED;
        }
        let context = Context {
            r,
            fetch: Fetch::new(job),
            candidates: Candidates::new(order),
            fault: None,
            buffer: Buffer::take(),
            splice: None,
            around: Around::default(),
            refusal: None,
        };
        let context = nginx::keep((*r).pool, context);
        let pipe = nginx::zeroed::<ngx_event_pipe_t>((*r).pool);
        if context.is_null() || pipe.is_null() {
            return FAILED;
        }
        nginx::set_context(r, context);
        let upstream = &mut *(*r).upstream;
        upstream.schema = nginx::constant(c"fastdfs://");
        upstream.output.tag = nginx::tag();
        upstream.conf = conf;
        upstream.create_key = Some(cache::create_key);
        upstream.set_buffering(1);
        upstream.create_request = Some(create_request);
        upstream.reinit_request = Some(reinit_request);
        upstream.process_header = Some(process_header);
        upstream.abort_request = Some(abort_request);
        upstream.finalize_request = Some(finalize_request);
        (*pipe).input_filter = Some(pipe::filter);
        (*pipe).input_ctx = r.cast();
        upstream.pipe = pipe;
        (*context).buffer.lend(&mut upstream.buffer);
        upstream.input_filter_init = Some(pipe::init);
        upstream.input_filter_ctx = r.cast();
        Start::Upstream
    }
}

/// 503, with the advice to come back.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn unavailable(r: *mut ngx_http_request_t, why: &str) -> ngx_int_t {
    // SAFETY: as promised by the caller.
    unsafe {
        nginx::log_request(NGX_LOG_ERR, r, &format!("503: {why}"));
        nginx::push_header(r, c"Retry-After", b"2");
        status(NGX_HTTP_SERVICE_UNAVAILABLE)
    }
}

/// What the client asked for.
///
/// # Safety
/// `r` must be live.
unsafe fn job(r: *mut ngx_http_request_t, file: &Wanted) -> Job {
    // SAFETY: header fields are null or point into the live request.
    unsafe {
        let headers = &(*r).headers_in;
        let text = |header: *mut ngx_table_elt_t| header.as_ref().map(|header| nginx::bytes(&header.value));
        let time = |text: &[u8]| ngx_parse_http_time(text.as_ptr().cast_mut(), text.len());
        let if_range = text(headers.if_range);
        let is_tag = |text: &&[u8]| text.ends_with(b"\"");
        let conditions = Conditions {
            if_match: text(headers.if_match).map(<[u8]>::to_vec),
            if_none_match: text(headers.if_none_match).map(<[u8]>::to_vec),
            if_modified_since: text(headers.if_modified_since).map(time),
            if_unmodified_since: text(headers.if_unmodified_since).map(time),
            if_range_tag: if_range.filter(is_tag).map(<[u8]>::to_vec),
            if_range_time: if_range.filter(|text| !is_tag(text)).map(time),
            tagged: nginx::core_location(r).etag != 0,
            mode: match nginx::core_location(r).if_modified_since as u32 {
                NGX_HTTP_IMS_OFF => IfModifiedSince::Off,
                NGX_HTTP_IMS_BEFORE => IfModifiedSince::Before,
                _ => IfModifiedSince::Exact,
            },
        };
        let head = (*r).method & NGX_HTTP_HEAD as ngx_uint_t != 0;
        let range = text(headers.range).map(<[u8]>::to_vec);
        let ranges_max = nginx::core_location(r).max_ranges;
        let flv = extras::flv(r, file);
        Job { file: *file, head, range, ranges_max, flv, conditions }
    }
}

/// 304 and 412 of a file whose id tells size and time need no storage.
fn settled(job: &Job) -> Option<Verdict> {
    let verdict = job.conditions.judge(&job.file.known?);
    (!matches!(verdict, Verdict::Proceed { .. })).then_some(verdict)
}

/// # Safety
/// `r` must be live and its header not yet sent.
unsafe fn answer_without_body(r: *mut ngx_http_request_t, job: &Job, verdict: Verdict) -> ngx_int_t {
    // SAFETY: as promised by the caller.
    unsafe {
        let Some(file) = job.file.known.filter(|_| verdict == Verdict::NotModified) else {
            return status(NGX_HTTP_PRECONDITION_FAILED);
        };
        (*r).headers_out.status = NGX_HTTP_NOT_MODIFIED as ngx_uint_t;
        if !tag(r, &file) {
            return status(NGX_HTTP_INTERNAL_SERVER_ERROR);
        }
        (*r).headers_out.last_modified_time = file.mtime;
        (*r).headers_out.content_length_n = -1;
        ngx_http_send_header(r)
    }
}

/// Sets `ETag`, unless `etag off`; false when there is no memory.
///
/// # Safety
/// `r` must be live and its header not yet sent.
unsafe fn tag(r: *mut ngx_http_request_t, file: &Validators) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        if nginx::core_location(r).etag == 0 {
            return true;
        }
        (*r).headers_out.etag = nginx::push_header(r, c"ETag", file.etag().as_bytes());
        !(*r).headers_out.etag.is_null()
    }
}

unsafe extern "C" fn create_request(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls this once per upstream, with the context set by `start`.
    guard(ERROR, || unsafe {
        let Some(context) = nginx::context::<Context>(r) else { return ERROR };
        let request = context.fetch.request();
        let buffer = ngx_create_temp_buf((*r).pool, request.len());
        let link = ngx_alloc_chain_link((*r).pool);
        if buffer.is_null() || link.is_null() {
            return ERROR;
        }
        core::ptr::copy_nonoverlapping(request.as_ptr(), (*buffer).last, request.len());
        (*buffer).last = (*buffer).last.add(request.len());
        (*link).buf = buffer;
        (*link).next = core::ptr::null_mut();
        (*(*r).upstream).request_bufs = link;
        OK
    })
}

unsafe extern "C" fn reinit_request(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: as above.
    guard(ERROR, || unsafe {
        let Some(context) = nginx::context::<Context>(r) else { return ERROR };
        context.fetch.restart();
        context.fault = None;
        OK
    })
}

unsafe extern "C" fn abort_request(_: *mut ngx_http_request_t) {}

unsafe extern "C" fn finalize_request(_: *mut ngx_http_request_t, _: ngx_int_t) {}

unsafe extern "C" fn process_header(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls this with the upstream and context set by `start`.
    guard(INVALID_HEADER, || unsafe { if flags::cached(r) != 0 { cache::head(r) } else { read_answer(r) } })
}

/// # Safety
/// `r` must be live, with upstream and context.
unsafe fn read_answer(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: `pos..last` of the upstream's buffer is what has arrived.
    unsafe {
        let Some(context) = nginx::context::<Context>(r) else { return INVALID_HEADER };
        let upstream = &mut *(*r).upstream;
        loop {
            let buffer = &mut upstream.buffer;
            let arrived = buffer.last.offset_from(buffer.pos).unsigned_abs();
            let rest = |consumed: usize| arrived.saturating_sub(consumed);
            match context.fetch.feed(nginx::between(buffer.pos, buffer.last)) {
                Step::More => return AGAIN,
                Step::Ask { consumed, request } => {
                    buffer.pos = buffer.pos.add(consumed.min(arrived));
                    if !send(upstream.peer.connection, &request) {
                        return INVALID_HEADER;
                    }
                }
                Step::Missing { consumed } => {
                    buffer.pos = buffer.pos.add(consumed.min(arrived));
                    if context.candidates.is_last_and_doubtful() {
                        let text = "the file is missing where it could be asked for, other members failed";
                        nginx::log_request(NGX_LOG_ERR, r, text);
                        return INVALID_HEADER;
                    }
                    upstream.set_keepalive(1);
                    return head(upstream, NGX_HTTP_NOT_FOUND, 0);
                }
                Step::Answer { consumed, body, answer } => {
                    buffer.pos = buffer.pos.add(consumed.min(arrived));
                    if body == 0 {
                        upstream.set_keepalive(u32::from(rest(consumed) == 0));
                    }
                    context.around = Around::plain(body);
                    return answer_head(r, context, &answer);
                }
                Step::Bad(fault) => {
                    nginx::log_request(NGX_LOG_ERR, r, &format!("storage not believed: {fault}"));
                    context.fault = Some(fault);
                    return INVALID_HEADER;
                }
            }
        }
    }
}

/// A second request on the connection; it is short enough for any socket buffer.
///
/// # Safety
/// `connection` must be the upstream's live connection.
pub unsafe fn send(connection: *mut ngx_connection_t, request: &[u8]) -> bool {
    // SAFETY: nginx sets `send` on every connection; it does not write to the buffer.
    unsafe {
        let Some(send) = (*connection).send else { return false };
        send(connection, request.as_ptr().cast_mut(), request.len()) == request.len() as isize
    }
}

/// # Safety
/// The upstream must have a state, as nginx gives it before it calls `process_header`.
unsafe fn head(upstream: &mut ngx_http_upstream_t, code: u32, length: i64) -> ngx_int_t {
    upstream.headers_in.status_n = code as ngx_uint_t;
    upstream.headers_in.content_length_n = length;
    // SAFETY: as promised by the caller.
    unsafe { (*upstream.state).status = code as ngx_uint_t };
    OK
}

/// # Safety
/// `r` must be live, its header not yet sent, and `context` its own.
unsafe fn answer_head(r: *mut ngx_http_request_t, context: &mut Context, answer: &Answer) -> ngx_int_t {
    // SAFETY: as promised by the caller. A null header means there is no memory: the request fails.
    unsafe {
        let upstream = &mut *(*r).upstream;
        let out = &mut (*r).headers_out;
        context.refusal = match answer.status {
            200 | 206 => None,
            304 | 412 | 416 => Some(Refusal::ByNginx),
            other => Some(Refusal::Status(u32::from(other))),
        };
        let job = context.fetch.job();
        let whole = answer.status == 200 && answer.ranges.is_empty() && !job.head;
        if !whole {
            upstream.set_cacheable(0);
        }
        let crc = job.file.crc32().filter(|_| upstream.cacheable() != 0);
        context.around.check = crc.map(|crc| (crc32fast::Hasher::new(), crc));
        if !describe(r, &answer.file) {
            return ERROR;
        }
        if answer.status == 200 && nginx::core_location(r).max_ranges != 0 {
            out.accept_ranges = nginx::push_header(r, c"Accept-Ranges", b"bytes");
            if out.accept_ranges.is_null() {
                return ERROR;
            }
        }
        if let Some(range) = answer.content_range() {
            out.content_range = nginx::push_header(r, c"Content-Range", range.as_bytes());
            if out.content_range.is_null() {
                return ERROR;
            }
        }
        context.around.flv_head = answer.flv_head;
        if answer.status == 206 && answer.ranges.len() > 1 {
            let number = ngx_next_temp_number(0) as u64;
            let content_type = nginx::bytes(&out.content_type);
            let frame = Multipart::new(number, content_type, answer.file.size, &answer.ranges);
            let Some(text) = nginx::copy((*r).pool, frame.content_type().as_bytes()) else { return ERROR };
            out.content_type = text;
            out.content_type_len = text.len;
            out.content_type_lowcase = core::ptr::null_mut();
            let length = frame.length();
            context.around.frame = Some(frame);
            return head(upstream, 206, i64::try_from(length).unwrap_or(0));
        }
        let code = if context.refusal.is_some() { 200 } else { u32::from(answer.status) };
        let length = answer.length().unwrap_or(answer.file.size);
        head(upstream, code, i64::try_from(length).unwrap_or(0))
    }
}

/// The head of an answer out of the cache.
///
/// # Safety
/// `r` must be live, its header not yet sent, and the content of the whole file ready.
pub unsafe fn kept_head(r: *mut ngx_http_request_t, file: Validators) -> ngx_int_t {
    // SAFETY: as promised by the caller.
    unsafe {
        if !describe(r, &file) {
            return ERROR;
        }
        flags::set_allow_ranges(r, 1);
        let headers = &mut (*(*r).upstream).headers_in;
        headers.status_n = NGX_HTTP_OK as ngx_uint_t;
        headers.content_length_n = i64::try_from(file.size).unwrap_or(0);
        OK
    }
}

/// Headers that an answer has wherever its content comes from; false when there is no memory.
///
/// # Safety
/// `r` must be live and its header not yet sent.
unsafe fn describe(r: *mut ngx_http_request_t, file: &Validators) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        (*r).headers_out.last_modified_time = file.mtime;
        tag(r, file) && extras::attach(r)
    }
}

/// The upstream of a request that asked members, or their cache.
///
/// # Safety
/// `r` must be live.
pub unsafe fn upstream<'a>(r: *mut ngx_http_request_t) -> Option<&'a ngx_http_upstream_t> {
    // SAFETY: as promised by the caller.
    unsafe { (*r).upstream.as_ref().filter(|upstream| core::ptr::eq(upstream.output.tag, nginx::tag())) }
}
