//! Variables for logs and headers: `$fdfs_group`, `$fdfs_file_source`, `$fdfs_peer`, `$fdfs_fetch_time`.

use fdfs_core::http::{Plan, plan};
use ngx::ffi::*;

use crate::flags;
use crate::guard::guard;
use crate::nginx::{self, ERROR, OK};
use crate::remote::upstream;

type Getter = unsafe extern "C" fn(*mut ngx_http_request_t, *mut ngx_variable_value_t, usize) -> ngx_int_t;

/// Called before nginx reads the http block.
pub unsafe extern "C" fn add(cf: *mut ngx_conf_t) -> ngx_int_t {
    guard(ERROR, || {
        let all: [(ngx_str_t, Getter); 4] = [
            (nginx::constant(c"fdfs_group"), group),
            (nginx::constant(c"fdfs_file_source"), source),
            (nginx::constant(c"fdfs_peer"), peer),
            (nginx::constant(c"fdfs_fetch_time"), fetch_time),
        ];
        for (mut name, getter) in all {
            // SAFETY: nginx passes a live context; it copies the name.
            unsafe {
                let variable = ngx_http_add_variable(cf, &mut name, NGX_HTTP_VAR_NOCACHEABLE as ngx_uint_t);
                if variable.is_null() {
                    return ERROR;
                }
                (*variable).get_handler = Some(getter);
            }
        }
        OK
    })
}

/// The group of the file that the URL names.
unsafe extern "C" fn group(r: *mut ngx_http_request_t, v: *mut ngx_variable_value_t, _: usize) -> ngx_int_t {
    // SAFETY: nginx passes a live request and a value to fill, here and below.
    guard(ERROR, || unsafe {
        let site = nginx::location(r).site();
        let found = site.and_then(|conf| match plan(&conf.site, nginx::bytes(&(*r).uri)) {
            Plan::Local { file, .. } | Plan::Remote { file } => Some(file.group),
            _ => None,
        });
        set(r, v, found.as_ref().map(|group| group.bytes()))
    })
}

/// `peer`, `cache`, `redirect` or `local`; nothing for requests that were refused before a file was looked for.
unsafe extern "C" fn source(r: *mut ngx_http_request_t, v: *mut ngx_variable_value_t, _: usize) -> ngx_int_t {
    // SAFETY: as above.
    guard(ERROR, || unsafe {
        let asked = upstream(r).is_some();
        let here = nginx::location(r).site().is_some();
        let found: Option<&[u8]> = match (*r).headers_out.status as u32 {
            _ if asked && flags::cached(r) != 0 => Some(b"cache"),
            _ if asked => Some(b"peer"),
            NGX_HTTP_MOVED_TEMPORARILY if here => Some(b"redirect"),
            NGX_HTTP_OK | NGX_HTTP_PARTIAL_CONTENT | NGX_HTTP_NOT_MODIFIED if here => Some(b"local"),
            NGX_HTTP_PRECONDITION_FAILED | NGX_HTTP_RANGE_NOT_SATISFIABLE if here => Some(b"local"),
            _ => None,
        };
        set(r, v, found)
    })
}

/// Address and port of the member that was asked last.
unsafe extern "C" fn peer(r: *mut ngx_http_request_t, v: *mut ngx_variable_value_t, _: usize) -> ngx_int_t {
    // SAFETY: as above; the name of a peer lives as long as its request.
    guard(ERROR, || unsafe {
        let state = upstream(r).and_then(|upstream| upstream.state.as_ref());
        let name = state.and_then(|state| state.peer.as_ref());
        set(r, v, name.map(|name| nginx::bytes(name)))
    })
}

/// Seconds with milliseconds that members took, all tries together.
unsafe extern "C" fn fetch_time(
    r: *mut ngx_http_request_t,
    v: *mut ngx_variable_value_t,
    _: usize,
) -> ngx_int_t {
    // SAFETY: as above; the states of an upstream are an array of `ngx_http_upstream_state_t`.
    guard(ERROR, || unsafe {
        let states = upstream(r).and_then(|_| (*r).upstream_states.as_ref());
        let text = states.map(|states| {
            let states = states.as_slice::<ngx_http_upstream_state_t>();
            // A try that is under way has no time yet.
            let took = states.iter().map(|state| state.response_time).filter(|ms| *ms != ngx_msec_t::MAX);
            let ms: ngx_msec_t = took.sum();
            format!("{}.{:03}", ms / 1000, ms % 1000)
        });
        set(r, v, text.as_ref().map(String::as_bytes))
    })
}

/// # Safety
/// `r` must be live and `v` its variable.
unsafe fn set(r: *mut ngx_http_request_t, v: *mut ngx_variable_value_t, value: Option<&[u8]>) -> ngx_int_t {
    // SAFETY: as promised by the caller; the copy lives as long as the request.
    unsafe {
        let v = &mut *v;
        let Some(value) = value else {
            v.set_not_found(1);
            return OK;
        };
        let Some(text) = nginx::copy((*r).pool, value) else { return ERROR };
        v.set_len(text.len as u32);
        v.data = text.data;
        v.set_valid(1);
        v.set_no_cacheable(0);
        v.set_not_found(0);
        OK
    }
}
