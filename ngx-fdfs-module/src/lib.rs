//! `ngx_http_fastdfs_module`: serves the files of FastDFS groups from a stock nginx.
//!
//! Decisions are made in [`fdfs_core::http`]; here are the directives and the edge to nginx. Every function
//! that nginx calls runs inside [`guard::guard`]: a panic costs one request, not the worker.
//!
//! - [`conf`], [`directives`]: directives, `mod_fastdfs.conf` per configuration cycle; [`variables`]
//! - [`handler`]: the content handler; [`local`] and [`remote`] answer, [`redirect`] sends the client elsewhere, [`parked`] waits for the first peer list
//! - [`work`]: files that clients bring or take away
//! - [`cache`]: what came from a storage is kept, and read again
//! - [`header`], [`pipe`]: head and content of an answer that comes from a storage; [`extras`]: what URL arguments change
//! - [`balancer`], [`keepalive`]: which storage, over which connection
//! - [`tracker`]: who is in the groups, asked in the background
//! - [`status`]: counters, and what is known of others
//! - [`nginx`]: the few macros of nginx that have no binding; [`flags`]: bits of a request

mod balancer;
mod buffer;
mod cache;
mod conf;
mod directives;
mod extras;
mod flags;
mod guard;
mod handler;
mod header;
mod keepalive;
mod local;
mod nginx;
mod parked;
mod pipe;
mod redirect;
mod remote;
mod settings;
mod splice;
mod status;
mod tracker;
mod variables;
mod work;
mod worker;

use core::ffi::c_char;
use core::mem::offset_of;
use core::ptr;

use ngx::ffi::{
    NGX_CONF_1MORE, NGX_CONF_2MORE, NGX_CONF_FLAG, NGX_CONF_NOARGS, NGX_CONF_TAKE1, NGX_CONF_TAKE2,
    NGX_CONF_TAKE12, NGX_HTTP_LOC_CONF, NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF,
    NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_MODULE, NGX_HTTP_SRV_CONF, ngx_command_t, ngx_conf_set_bitmask_slot,
    ngx_conf_set_flag_slot, ngx_conf_set_msec_slot, ngx_conf_set_num_slot,
    ngx_http_file_cache_valid_set_slot, ngx_http_module_t, ngx_module_t, ngx_str_t, ngx_uint_t,
};

use conf::{LocationConf, MainConf};

type Setter = unsafe extern "C" fn(
    *mut ngx::ffi::ngx_conf_t,
    *mut ngx_command_t,
    *mut core::ffi::c_void,
) -> *mut c_char;

const ANYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

static mut COMMANDS: [ngx_command_t; 24] = [
    directive(ngx::ngx_string!("ngx_fastdfs_module"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, conf::set_module),
    directive(ngx::ngx_string!("fastdfs_conf"), ANYWHERE | NGX_CONF_TAKE1, conf::set_path),
    directive(ngx::ngx_string!("fastdfs_peer"), ANYWHERE | NGX_CONF_TAKE2, conf::set_peer),
    directive(ngx::ngx_string!("fastdfs_redirect"), ANYWHERE | NGX_CONF_TAKE12, conf::set_redirect),
    directive(ngx::ngx_string!("fastdfs_set"), ANYWHERE | NGX_CONF_TAKE2, directives::set_value),
    directive(ngx::ngx_string!("fastdfs_token"), ANYWHERE | NGX_CONF_TAKE1, directives::set_token),
    directive(ngx::ngx_string!("fastdfs_token_key"), ANYWHERE | NGX_CONF_TAKE1, directives::set_token_key),
    directive(ngx::ngx_string!("fastdfs_upload"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, work::set),
    directive(ngx::ngx_string!("fastdfs_delete"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, work::set),
    directive(ngx::ngx_string!("fastdfs_upload_group"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, work::set),
    directive(ngx::ngx_string!("fastdfs_upload_url"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, work::set),
    directive(ngx::ngx_string!("fastdfs_upload_buffering"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, work::set),
    directive(ngx::ngx_string!("fastdfs_tus"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, work::set),
    directive(ngx::ngx_string!("fastdfs_tus_key"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, work::set),
    directive(ngx::ngx_string!("fastdfs_tus_max_size"), NGX_HTTP_LOC_CONF | NGX_CONF_TAKE1, work::set),
    directive(ngx::ngx_string!("fastdfs_status"), NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS, status::set),
    ngx_command_t {
        conf: NGX_HTTP_MAIN_CONF_OFFSET,
        offset: offset_of!(MainConf, caches),
        post: ptr::addr_of_mut!(ngx_http_fastdfs_module).cast(),
        ..directive(
            ngx::ngx_string!("fastdfs_cache_path"),
            NGX_HTTP_MAIN_CONF | NGX_CONF_2MORE,
            cache::set_path,
        )
    },
    directive(ngx::ngx_string!("fastdfs_cache"), ANYWHERE | NGX_CONF_TAKE1, cache::set),
    ngx_command_t {
        offset: offset_of!(LocationConf, cached.cache_valid),
        ..directive(
            ngx::ngx_string!("fastdfs_cache_valid"),
            ANYWHERE | NGX_CONF_TAKE1,
            ngx_http_file_cache_valid_set_slot,
        )
    },
    ngx_command_t {
        offset: offset_of!(LocationConf, cached.cache_min_uses),
        ..directive(
            ngx::ngx_string!("fastdfs_cache_min_uses"),
            ANYWHERE | NGX_CONF_TAKE1,
            ngx_conf_set_num_slot,
        )
    },
    ngx_command_t {
        offset: offset_of!(LocationConf, cached.cache_lock),
        ..directive(ngx::ngx_string!("fastdfs_cache_lock"), ANYWHERE | NGX_CONF_FLAG, ngx_conf_set_flag_slot)
    },
    ngx_command_t {
        offset: offset_of!(LocationConf, cached.cache_lock_timeout),
        ..directive(
            ngx::ngx_string!("fastdfs_cache_lock_timeout"),
            ANYWHERE | NGX_CONF_TAKE1,
            ngx_conf_set_msec_slot,
        )
    },
    ngx_command_t {
        offset: offset_of!(LocationConf, cached.cache_use_stale),
        post: ptr::addr_of_mut!(cache::STALE).cast(),
        ..directive(
            ngx::ngx_string!("fastdfs_cache_use_stale"),
            ANYWHERE | NGX_CONF_1MORE,
            ngx_conf_set_bitmask_slot,
        )
    },
    ngx_command_t::empty(),
];

const fn directive(name: ngx_str_t, kind: u32, set: Setter) -> ngx_command_t {
    ngx_command_t {
        name,
        type_: kind as ngx_uint_t,
        set: Some(set),
        conf: NGX_HTTP_LOC_CONF_OFFSET,
        offset: 0,
        post: ptr::null_mut(),
    }
}

/// nginx has read the http block.
unsafe extern "C" fn install(cf: *mut ngx::ffi::ngx_conf_t) -> ngx::ffi::ngx_int_t {
    // SAFETY: nginx's own context goes on to both.
    unsafe {
        match header::install(cf) {
            nginx::OK => status::install(cf),
            failed => failed,
        }
    }
}

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(variables::add),
    postconfiguration: Some(install),
    create_main_conf: Some(conf::create_main),
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(conf::create_location),
    merge_loc_conf: Some(conf::merge_location),
};

/// The module, under the name that existing configurations and packages know. nginx writes its index into it.
#[allow(non_upper_case_globals)]
pub(crate) static mut ngx_http_fastdfs_module: ngx_module_t = ngx_module_t {
    ctx: ptr::addr_of!(CONTEXT) as _,
    commands: ptr::addr_of_mut!(COMMANDS) as _,
    type_: NGX_HTTP_MODULE as ngx_uint_t,
    init_process: Some(worker::start),
    exit_process: Some(worker::stop),
    ..ngx_module_t::default()
};

/// A table of pointers that nginx reads and never writes.
#[repr(transparent)]
pub struct Table<T, const N: usize>([*const T; N]);

// SAFETY: the pointers lead to statics that are valid for the life of the library.
unsafe impl<T, const N: usize> Sync for Table<T, N> {}

/// Modules of this library, for `load_module`.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ngx_modules: Table<ngx_module_t, 2> = Table([ptr::addr_of!(ngx_http_fastdfs_module), ptr::null()]);

/// Their names.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ngx_module_names: Table<c_char, 2> = Table([c"ngx_http_fastdfs_module".as_ptr(), ptr::null()]);

/// Their order: none wanted.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
pub static ngx_module_order: Table<c_char, 1> = Table([ptr::null()]);
