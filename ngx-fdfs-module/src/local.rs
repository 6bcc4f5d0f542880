//! A file on this machine, through nginx's own file machinery: ranges, conditions, sendfile, caches are nginx's.

use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd};

use fdfs_core::http::{FLV_HEAD, FlvPart, Held, Place, Slot, Validators, Wanted, link_target};
use ngx::ffi::*;

use crate::extras;
use crate::flags;
use crate::nginx::{self, ERROR, OK, status};

/// Outcome of looking for a file here.
pub enum Local {
    /// Answered; return this to nginx.
    Answered(ngx_int_t),
    /// Not usable here; this status if nobody else can be asked.
    Absent(u32),
}

/// Serves `file` from `place`, or the part of it that a player wants. A link in a slot makes `file` the one it leads to.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn serve(r: *mut ngx_http_request_t, place: &Place, file: &mut Wanted) -> Local {
    // SAFETY: as promised by the caller.
    unsafe {
        let flv = extras::flv(r, file);
        let found = match find(r, place, file.known) {
            Ok(Found::Content(content)) => return send(r, content, flv),
            Ok(Found::Link(name)) => name,
            Err(code) => return Local::Absent(code),
        };
        let site = nginx::location(r).site();
        let Some((target, place)) = site.and_then(|conf| link_target(&conf.site, file, &found)) else {
            return Local::Absent(NGX_HTTP_NOT_FOUND);
        };
        *file = target;
        match find(r, &place, file.known) {
            Ok(Found::Content(content)) => send(r, content, flv),
            Ok(Found::Link(_)) => Local::Absent(NGX_HTTP_NOT_FOUND),
            Err(code) => Local::Absent(code),
        }
    }
}

/// Serves a file of the configuration.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn serve_as_it_is(r: *mut ngx_http_request_t, path: &[u8]) -> Local {
    let place = Place { path: path.to_vec(), slot: None };
    // SAFETY: as promised by the caller.
    unsafe {
        match find(r, &place, None) {
            Ok(Found::Content(content)) => send(r, content, None),
            _ => Local::Absent(NGX_HTTP_NOT_FOUND),
        }
    }
}

/// An open file, and where in it the content is.
struct Content {
    name: ngx_str_t,
    fd: ngx_fd_t,
    is_directio: u32,
    from: i64,
    size: i64,
    mtime: i64,
}

enum Found {
    Content(Content),
    /// The name of the file that is meant.
    Link(Vec<u8>),
}

/// Opens what lies at `place`, and checks that it is the file. `Err` is a status.
///
/// # Safety
/// `r` must be live.
unsafe fn find(r: *mut ngx_http_request_t, place: &Place, known: Option<Validators>) -> Result<Found, u32> {
    // SAFETY: the request and its pool are live.
    unsafe {
        let path = &place.path;
        let Some(mut name) = nginx::copy((*r).pool, path) else { return Err(NGX_HTTP_INTERNAL_SERVER_ERROR) };
        let opened = open(r, &mut name, place.slot.is_some())?;
        let mut content = Content {
            name,
            fd: opened.fd,
            is_directio: opened.is_directio(),
            from: 0,
            size: opened.size,
            // Equal on every member, unlike the time of the file.
            mtime: known.map_or(opened.mtime, |known| known.mtime),
        };
        if let Some(slot) = &place.slot {
            let mut head = [0; Slot::HEAD];
            let held = read(opened.fd, &mut head, slot.offset).then(|| slot.holds(&head));
            (content.from, content.size) = (slot.content() as i64, slot.size as i64);
            return match held {
                _ if content.from + content.size > opened.size => Err(NGX_HTTP_NOT_FOUND),
                Some(Held::File) => Ok(Found::Content(content)),
                Some(Held::Link) => {
                    let mut target = vec![0; slot.size as usize];
                    let complete = read(opened.fd, &mut target, slot.content());
                    if complete { Ok(Found::Link(target)) } else { Err(NGX_HTTP_NOT_FOUND) }
                }
                _ => Err(NGX_HTTP_NOT_FOUND),
            };
        }
        if let Some(known) = known.filter(|known| known.size != opened.size as u64) {
            let text = format!("{} has {} bytes, its id says {}", lossy(path), opened.size, known.size);
            nginx::log_request(NGX_LOG_ERR, r, &text);
            return Err(NGX_HTTP_NOT_FOUND);
        }
        Ok(Found::Content(content))
    }
}

/// Fills `bytes` from `offset` on.
fn read(fd: ngx_fd_t, bytes: &mut [u8], offset: u64) -> bool {
    // SAFETY: the open cache keeps the descriptor open while the request lives.
    let file = unsafe { BorrowedFd::borrow_raw(fd) };
    let Ok(offset) = i64::try_from(offset) else { return false };
    // SAFETY: the buffer is as long as it says.
    let got = unsafe { libc::pread(file.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), offset) };
    got == bytes.len() as isize
}

/// # Safety
/// `r` must be live and its header not yet sent.
unsafe fn send(r: *mut ngx_http_request_t, content: Content, flv: Option<FlvPart>) -> Local {
    const FAILED: Local = Local::Answered(NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
    // SAFETY: the request and its pool are live; buffers and files are plain C, zero is their initial state.
    unsafe {
        let part = match flv.map(|flv| flv.resolve(content.size as u64)) {
            None => 0..content.size,
            Some(Some((first, last))) => first as i64..last as i64 + 1,
            Some(None) => return Local::Answered(status(NGX_HTTP_BAD_REQUEST)),
        };
        let mut length = part.end - part.start;
        let flv_head = flv.is_some_and(FlvPart::has_head);
        if flv_head {
            length += FLV_HEAD.len() as i64;
        }
        (*(*(*r).connection).log).action = c"sending response to client".as_ptr().cast_mut();
        (*r).headers_out.status = NGX_HTTP_OK as ngx_uint_t;
        (*r).headers_out.content_length_n = content.size;
        (*r).headers_out.last_modified_time = content.mtime;
        if ngx_http_set_etag(r) != OK || ngx_http_set_content_type(r) != OK || !extras::attach(r) {
            return FAILED;
        }
        (*r).headers_out.content_length_n = length;
        flags::set_allow_ranges(r, 1);
        let buffer = nginx::zeroed::<ngx_buf_t>((*r).pool);
        let source = nginx::zeroed::<ngx_file_t>((*r).pool);
        if buffer.is_null() || source.is_null() {
            return FAILED;
        }
        let rc = ngx_http_send_header(r);
        // Without this check a 304 would be followed by a body.
        if rc == ERROR || rc > OK || flags::header_only(r) != 0 {
            return Local::Answered(rc);
        }
        (*source).fd = content.fd;
        (*source).name = content.name;
        (*source).log = (*(*r).connection).log;
        (*source).set_directio(content.is_directio);
        (*buffer).file = source;
        (*buffer).file_pos = content.from + part.start;
        (*buffer).file_last = content.from + part.end;
        (*buffer).set_in_file(u32::from(content.size > 0));
        (*buffer).set_last_buf(u32::from(ptr::eq(r, (*r).main)));
        (*buffer).set_last_in_chain(1);
        (*buffer).set_sync(u32::from(content.size == 0 && !ptr::eq(r, (*r).main)));
        let mut chain = ngx_chain_t { buf: buffer, next: ptr::null_mut() };
        if !flv_head {
            return Local::Answered(ngx_http_output_filter(r, &mut chain));
        }
        let head = nginx::zeroed::<ngx_buf_t>((*r).pool);
        if head.is_null() {
            return Local::Answered(ERROR);
        }
        (*head).pos = FLV_HEAD.as_ptr().cast_mut();
        (*head).last = (*head).pos.add(FLV_HEAD.len());
        (*head).set_memory(1);
        let mut first = ngx_chain_t { buf: head, next: &mut chain };
        Local::Answered(ngx_http_output_filter(r, &mut first))
    }
}

/// Opens through nginx's cache of open files; the descriptor belongs to the request's pool. `Err` is a status.
///
/// # Safety
/// `r` must be live and `name` end with NUL.
unsafe fn open(
    r: *mut ngx_http_request_t,
    name: &mut ngx_str_t,
    container: bool,
) -> Result<ngx_open_file_info_t, u32> {
    // SAFETY: as for `serve`.
    unsafe {
        let core = nginx::core_location(r);
        let mut info: ngx_open_file_info_t = core::mem::zeroed();
        info.read_ahead = core.read_ahead;
        // Slots begin anywhere, and are small.
        info.directio = if container { NGX_OPEN_FILE_DIRECTIO_OFF as off_t } else { core.directio };
        info.valid = core.open_file_cache_valid;
        info.min_uses = core.open_file_cache_min_uses;
        info.set_errors(core.open_file_cache_errors as u32);
        info.set_events(core.open_file_cache_events as u32);
        if ngx_http_set_disable_symlinks(r, core, name, &mut info) != OK {
            return Err(NGX_HTTP_INTERNAL_SERVER_ERROR);
        }
        if ngx_open_cached_file(core.open_file_cache, name, &mut info, (*r).pool) == OK {
            return if info.is_file() != 0 { Ok(info) } else { Err(NGX_HTTP_NOT_FOUND) };
        }
        let code = match info.err {
            libc::ENOENT | libc::ENOTDIR | libc::ENAMETOOLONG => return Err(NGX_HTTP_NOT_FOUND),
            libc::EACCES | libc::EMLINK | libc::ELOOP => NGX_HTTP_FORBIDDEN,
            _ => NGX_HTTP_INTERNAL_SERVER_ERROR,
        };
        let error = std::io::Error::from_raw_os_error(info.err);
        let text = format!("cannot open {}: {error}", lossy(nginx::bytes(name)));
        nginx::log_request(NGX_LOG_ERR, r, &text);
        Err(code)
    }
}

fn lossy(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}
