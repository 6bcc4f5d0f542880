//! Small helpers for what nginx offers as C macros only. All of them are cheap and none of them waits.

use core::ffi::{CStr, c_char, c_void};
use core::{ptr, slice};

use ngx::ffi::*;

use crate::conf::LocationConf;

pub const OK: ngx_int_t = NGX_OK as ngx_int_t;
pub const ERROR: ngx_int_t = NGX_ERROR as ngx_int_t;
pub const AGAIN: ngx_int_t = NGX_AGAIN as ngx_int_t;
pub const DONE: ngx_int_t = NGX_DONE as ngx_int_t;
pub const CONF_OK: *mut c_char = ptr::null_mut();
pub const CONF_ERROR: *mut c_char = usize::MAX as *mut c_char;

/// An HTTP status as the return value of a handler.
pub const fn status(code: u32) -> ngx_int_t {
    code as ngx_int_t
}

/// The bytes of an nginx string.
///
/// # Safety
/// The string's memory must live for `'a` and not change meanwhile.
pub unsafe fn bytes<'a>(text: &ngx_str_t) -> &'a [u8] {
    if text.data.is_null() || text.len == 0 {
        return &[];
    }
    // SAFETY: nginx keeps `len` bytes at `data`; the lifetime is the caller's promise.
    unsafe { slice::from_raw_parts(text.data, text.len) }
}

/// The bytes from `from` up to `to`.
///
/// # Safety
/// Both must point into one buffer, `from` not behind `to`; it must live for `'a` and not change meanwhile.
pub unsafe fn between<'a>(from: *const u8, to: *const u8) -> &'a [u8] {
    if from.is_null() {
        return &[];
    }
    // SAFETY: as promised by the caller.
    unsafe { slice::from_raw_parts(from, to.offset_from(from).unsigned_abs()) }
}

/// A string whose memory is static.
pub const fn constant(text: &'static CStr) -> ngx_str_t {
    ngx_str_t { len: text.to_bytes().len(), data: text.as_ptr() as *mut u8 }
}

/// Copies `text` into a pool, with a NUL behind it. `None` when there is no memory.
///
/// # Safety
/// `pool` must be live.
pub unsafe fn copy(pool: *mut ngx_pool_t, text: &[u8]) -> Option<ngx_str_t> {
    // SAFETY: the pool is live; the new block has one byte more than `text`.
    unsafe {
        let data = ngx_pnalloc(pool, text.len() + 1).cast::<u8>();
        if data.is_null() {
            return None;
        }
        ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
        data.add(text.len()).write(0);
        Some(ngx_str_t { len: text.len(), data })
    }
}

/// Zeroed memory of a pool for a plain C structure. Null when there is none.
///
/// # Safety
/// `pool` must be live and all zero bytes must be a valid `T`.
pub unsafe fn zeroed<T>(pool: *mut ngx_pool_t) -> *mut T {
    // SAFETY: the pool is live; pool memory is aligned for any C structure.
    unsafe { ngx_pcalloc(pool, size_of::<T>()).cast() }
}

/// Gives a Rust value to a pool, which drops it at its end. Null when there is no memory.
///
/// # Safety
/// `pool` must be live; the pointer must not be used after the pool's end.
pub unsafe fn keep<T>(pool: *mut ngx_pool_t, value: T) -> *mut T {
    unsafe extern "C" fn drop_value<T>(data: *mut c_void) {
        // SAFETY: nginx calls a cleanup once, with the pointer `keep` stored.
        crate::guard::guard((), || drop(unsafe { Box::from_raw(data.cast::<T>()) }));
    }
    // SAFETY: the pool is live; the cleanup takes over the box.
    unsafe {
        let cleanup = ngx_pool_cleanup_add(pool, 0);
        if cleanup.is_null() {
            return ptr::null_mut();
        }
        let value = Box::into_raw(Box::new(value));
        (*cleanup).data = value.cast();
        (*cleanup).handler = Some(drop_value::<T>);
        value
    }
}

/// Index of this module in the context arrays.
pub fn index() -> usize {
    // SAFETY: nginx writes the index once, before any request; afterwards it is only read.
    unsafe { (*ptr::addr_of!(crate::ngx_http_fastdfs_module)).ctx_index }
}

/// Tag of buffers that belong to this module.
pub fn tag() -> *mut c_void {
    ptr::addr_of_mut!(crate::ngx_http_fastdfs_module).cast()
}

/// The location's configuration of this module.
///
/// # Safety
/// `r` must be live.
pub unsafe fn location<'a>(r: *mut ngx_http_request_t) -> &'a mut LocationConf {
    // SAFETY: nginx created one `LocationConf` per location with `create_location`.
    unsafe { &mut *(*(*r).loc_conf.add(index())).cast() }
}

/// The location's core configuration.
///
/// # Safety
/// `r` must be live.
pub unsafe fn core_location<'a>(r: *mut ngx_http_request_t) -> &'a mut ngx_http_core_loc_conf_t {
    // SAFETY: the core module has a configuration in every location.
    unsafe { &mut *(*(*r).loc_conf.add((*ptr::addr_of!(ngx_http_core_module)).ctx_index)).cast() }
}

/// This module's context of a request.
///
/// # Safety
/// `r` must be live, and the context set with the same type.
pub unsafe fn context<'a, T>(r: *mut ngx_http_request_t) -> Option<&'a mut T> {
    // SAFETY: the slot holds null or what `set_context` stored.
    unsafe { (*(*r).ctx.add(index())).cast::<T>().as_mut() }
}

/// Sets this module's context of a request.
///
/// # Safety
/// `r` must be live and `value` must live as long as the request.
pub unsafe fn set_context<T>(r: *mut ngx_http_request_t, value: *mut T) {
    // SAFETY: the array has a slot for every module.
    unsafe { *(*r).ctx.add(index()) = value.cast() }
}

/// Writes a line to an error log.
///
/// # Safety
/// `log` must be live.
pub unsafe fn log(level: u32, log: *mut ngx_log_t, text: &str) {
    // SAFETY: the log is live; `%*s` takes a length and a pointer.
    unsafe {
        if level as ngx_uint_t <= (*log).log_level {
            let format = c"fastdfs: %*s".as_ptr();
            ngx_log_error_core(level as ngx_uint_t, log, 0, format, text.len(), text.as_ptr());
        }
    }
}

/// Writes a line to the error log of a request.
///
/// # Safety
/// `r` must be live.
pub unsafe fn log_request(level: u32, r: *mut ngx_http_request_t, text: &str) {
    // SAFETY: a live request has a connection with a log.
    unsafe { log(level, (*(*r).connection).log, text) }
}

/// The log of the running cycle, for work outside requests.
pub fn cycle_log() -> *mut ngx_log_t {
    // SAFETY: `ngx_cycle` is set before any worker code runs.
    unsafe { (*ngx_cycle).log }
}

/// Milliseconds of nginx's cached monotonic clock.
pub fn now_ms() -> u64 {
    // SAFETY: written by this thread's event loop only.
    unsafe { ngx_current_msec as u64 }
}

/// The value of the first request header of this name, whatever its case.
///
/// # Safety
/// `r` must be live during `'a`.
pub unsafe fn request_header<'a>(r: *mut ngx_http_request_t, name: &[u8]) -> Option<&'a [u8]> {
    // SAFETY: the list of a live request holds `nelts` whole elements in each part.
    unsafe {
        let mut part: *const ngx_list_part_t = &(*r).headers_in.headers.part;
        while !part.is_null() {
            let all = (*part).elts.cast::<ngx_table_elt_t>();
            for n in 0..(*part).nelts {
                let header = &*all.add(n);
                if bytes(&header.key).eq_ignore_ascii_case(name) {
                    return Some(bytes(&header.value));
                }
            }
            part = (*part).next;
        }
        None
    }
}

/// Adds an answer header; its place in the list, null when there is no memory.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn push_header(
    r: *mut ngx_http_request_t,
    key: &'static CStr,
    value: &[u8],
) -> *mut ngx_table_elt_t {
    // SAFETY: the list and the pool belong to the live request; all fields are set before anyone reads them.
    unsafe {
        let Some(value) = copy((*r).pool, value) else { return ptr::null_mut() };
        let header = ngx_list_push(&mut (*r).headers_out.headers).cast::<ngx_table_elt_t>();
        if header.is_null() {
            return header;
        }
        ptr::write_bytes(header, 0, 1);
        (*header).hash = 1;
        (*header).key = constant(key);
        (*header).value = value;
        header
    }
}
