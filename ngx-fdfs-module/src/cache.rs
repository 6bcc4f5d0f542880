//! Fetched files in nginx's own cache (`fastdfs_cache`). In front of the content nginx keeps what the storage had said, and has
//! it read again for an answer out of the cache. Ranges and conditions of such answers are nginx's own.

use core::ffi::{c_char, c_void};

use fdfs_core::http::{Fetch, Job};
use ngx::ffi::*;

use crate::conf::{LocationConf, MainConf, argument, complain};
use crate::guard::guard;
use crate::nginx::{self, CONF_ERROR, CONF_OK, ERROR, OK};
use crate::remote::{self, Context, INVALID_HEADER};

/// `NGX_CONF_UNSET` of each type.
const UNSET: ngx_flag_t = -1;
const UNSET_UINT: ngx_uint_t = ngx_uint_t::MAX;
const UNSET_MSEC: ngx_msec_t = ngx_msec_t::MAX;
const UNSET_ARRAY: *mut ngx_array_t = usize::MAX as *mut ngx_array_t;

/// How long a kept file is used where `fastdfs_cache_valid` is silent, s.
const VALID: time_t = 3600;

/// What `fastdfs_cache_use_stale` knows.
pub static mut STALE: [ngx_conf_bitmask_t; 7] = [
    stale(ngx::ngx_string!("error"), NGX_HTTP_UPSTREAM_FT_ERROR),
    stale(ngx::ngx_string!("timeout"), NGX_HTTP_UPSTREAM_FT_TIMEOUT),
    stale(ngx::ngx_string!("invalid_header"), NGX_HTTP_UPSTREAM_FT_INVALID_HEADER),
    stale(ngx::ngx_string!("updating"), NGX_HTTP_UPSTREAM_FT_UPDATING),
    stale(ngx::ngx_string!("http_404"), NGX_HTTP_UPSTREAM_FT_HTTP_404),
    stale(ngx::ngx_string!("off"), NGX_HTTP_UPSTREAM_FT_OFF),
    stale(ngx_str_t { len: 0, data: core::ptr::null_mut() }, 0),
];

const fn stale(name: ngx_str_t, mask: u32) -> ngx_conf_bitmask_t {
    ngx_conf_bitmask_t { name, mask: mask as ngx_uint_t }
}

/// `fastdfs_cache_path PATH keys_zone=NAME:SIZE ...;`
pub unsafe extern "C" fn set_path(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx passes our `MainConf`, to whose `caches` the directive's offset leads.
        unsafe {
            let rc = ngx_http_file_cache_set_slot(cf, command, conf);
            let caches = (*conf.cast::<MainConf>()).caches.as_slice::<*mut ngx_http_file_cache_t>();
            if let (CONF_OK, Some(cache)) = (rc, caches.last()) {
                // A file grows beside its last place: it is moved there by a rename, never by a copy.
                (**cache).use_temp_path = 0;
            }
            rc
        }
    })
}

/// `fastdfs_cache ZONE|off;`
pub unsafe extern "C" fn set(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx passes our `LocationConf` and two arguments; the zone lives as long as the cycle.
        unsafe {
            let conf = &mut *conf.cast::<LocationConf>();
            if conf.cache_off || !conf.cached.cache_zone.is_null() {
                return c"is duplicate".as_ptr().cast_mut();
            }
            let Some(mut zone) = argument(cf, 1) else { return CONF_ERROR };
            if nginx::bytes(&zone) == b"off" {
                conf.cache_off = true;
                return CONF_OK;
            }
            conf.cached.cache_zone = ngx_shared_memory_add(cf, &mut zone, 0, nginx::tag());
            if conf.cached.cache_zone.is_null() { CONF_ERROR } else { CONF_OK }
        }
    })
}

/// Settings that no directive has touched yet.
pub fn unset(cached: &mut ngx_http_upstream_conf_t) {
    cached.cache_min_uses = UNSET_UINT;
    cached.cache_lock = UNSET;
    cached.cache_lock_timeout = UNSET_MSEC;
    cached.cache_lock_age = UNSET_MSEC;
    cached.cache_valid = UNSET_ARRAY;
}

/// What a level does not say is as on the level above. `Err` after a complaint.
///
/// # Safety
/// Only while levels are merged; both must be settings of this module.
pub unsafe fn merge(cf: *mut ngx_conf_t, above: &LocationConf, conf: &mut LocationConf) -> Result<(), ()> {
    fn take<T: Copy + PartialEq>(own: &mut T, above: T, unset: T, default: T) {
        if *own == unset {
            *own = if above == unset { default } else { above };
        }
    }
    if !conf.cache_off && conf.cached.cache_zone.is_null() {
        (conf.cache_off, conf.cached.cache_zone) = (above.cache_off, above.cached.cache_zone);
    }
    let (own, above) = (&mut conf.cached, &above.cached);
    take(&mut own.cache_min_uses, above.cache_min_uses, UNSET_UINT, 1);
    take(&mut own.cache_lock, above.cache_lock, UNSET, 0);
    take(&mut own.cache_lock_timeout, above.cache_lock_timeout, UNSET_MSEC, 5000);
    take(&mut own.cache_lock_age, above.cache_lock_age, UNSET_MSEC, 5000);
    let off = (NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_OFF) as ngx_uint_t;
    take(&mut own.cache_use_stale, above.cache_use_stale, 0, off);
    if own.cache_use_stale & NGX_HTTP_UPSTREAM_FT_OFF as ngx_uint_t != 0 {
        own.cache_use_stale = off;
    }
    if own.cache_use_stale & NGX_HTTP_UPSTREAM_FT_ERROR as ngx_uint_t != 0 {
        own.cache_use_stale |= NGX_HTTP_UPSTREAM_FT_NOLIVE as ngx_uint_t;
    }
    // SAFETY: a zone's name and the pool live as long as the cycle; a new element is set as a whole.
    unsafe {
        if let Some(zone) = own.cache_zone.as_ref().filter(|zone| zone.data.is_null()) {
            let name = String::from_utf8_lossy(nginx::bytes(&zone.shm.name)).into_owned();
            complain(
                cf,
                NGX_LOG_EMERG,
                &format!("fastdfs_cache: no fastdfs_cache_path has the zone \"{name}\""),
            );
            return Err(());
        }
        take(&mut own.cache_valid, above.cache_valid, UNSET_ARRAY, core::ptr::null_mut());
        if own.cache_valid.is_null() {
            own.cache_valid = ngx_array_create((*cf).pool, 1, size_of::<ngx_http_cache_valid_t>());
            if own.cache_valid.is_null() {
                return Err(());
            }
            let valid = ngx_array_push(own.cache_valid).cast::<ngx_http_cache_valid_t>();
            valid.write(ngx_http_cache_valid_t { status: NGX_HTTP_OK as ngx_uint_t, valid: VALID });
        }
    }
    Ok(())
}

/// The settings of `upstream`, and those of the cache in `own`.
pub fn over(upstream: &ngx_http_upstream_conf_t, own: &ngx_http_upstream_conf_t) -> ngx_http_upstream_conf_t {
    let mut conf = ngx_http_upstream_conf_t {
        cache_zone: own.cache_zone,
        cache_valid: own.cache_valid,
        cache_min_uses: own.cache_min_uses,
        cache_use_stale: own.cache_use_stale,
        cache_lock: own.cache_lock,
        cache_lock_timeout: own.cache_lock_timeout,
        cache_lock_age: own.cache_lock_age,
        cache_methods: (NGX_HTTP_GET | NGX_HTTP_HEAD) as ngx_uint_t,
        // A range of a file that is not kept is fetched as a range, and not kept.
        cache_max_range_offset: 0,
        ..*upstream
    };
    conf.set_cache(i32::from(!own.cache_zone.is_null()));
    conf
}

/// Whether the answer to this job may come out of the cache, or go into it.
pub fn serves(conf: &LocationConf, job: &Job) -> bool {
    !conf.cached.cache_zone.is_null() && job.file.is_immutable() && job.flv.is_none()
}

/// The key is the id.
pub unsafe extern "C" fn create_key(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls this with the context that `remote` has set, and a cache with a list of keys.
    guard(ERROR, || unsafe {
        let Some(context) = nginx::context::<Context>(r) else { return ERROR };
        let file = &context.fetch.job().file;
        let id = [file.group.bytes(), b"/", &file.wire_name()].concat();
        let key = ngx_array_push(&mut (*(*r).cache).keys).cast::<ngx_str_t>();
        match nginx::copy((*r).pool, &id).filter(|_| !key.is_null()) {
            Some(id) => {
                key.write(id);
                OK
            }
            None => ERROR,
        }
    })
}

/// The head of an answer out of the cache.
///
/// # Safety
/// `r` must be live, with an upstream whose buffer holds the beginning of a kept file.
pub unsafe fn head(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: as promised by the caller; nginx has read at least `body_start` bytes of the kept file.
    unsafe {
        let (Some(context), Some(kept)) = (nginx::context::<Context>(r), (*r).cache.as_ref()) else {
            return INVALID_HEADER;
        };
        let upstream = &mut *(*r).upstream;
        let buffer = &mut upstream.buffer;
        let read = nginx::between(buffer.pos, buffer.last);
        let said = kept.body_start.checked_sub(kept.header_start).and_then(|len| read.get(..len));
        let answer = said.and_then(|said| Fetch::recall(context.fetch.job().file, said));
        let content = u64::try_from(kept.length).ok().and_then(|all| all.checked_sub(kept.body_start as u64));
        match answer.filter(|answer| Some(answer.file.size) == content) {
            Some(answer) => {
                buffer.pos = buffer.start.add(kept.body_start);
                remote::kept_head(r, answer.file)
            }
            None => INVALID_HEADER,
        }
    }
}
