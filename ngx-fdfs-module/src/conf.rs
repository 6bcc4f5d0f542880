//! Directives, and one `mod_fastdfs.conf` read per path and configuration cycle.

use core::ffi::{c_char, c_void};
use core::ptr;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fdfs_core::http::{Member, Standing};
use fdfs_core::ident::GroupName;
use ngx::ffi::*;

use crate::guard::guard;
use crate::nginx::{self, CONF_ERROR, CONF_OK, OK};
use crate::redirect::Target;
use crate::settings::{self, SiteConf};
use crate::{balancer, handler};

const DEFAULT_PATH: &[u8] = b"/etc/fdfs/mod_fastdfs.conf";
const DEFAULT_PORT: u16 = 23000;

/// Bytes per buffer between storage and client; a request that comes from a storage holds at most eight.
const BUFFER_SIZE: usize = 64 * 1024;
const BUFFERS: ngx_int_t = 8;

/// Files read in this cycle.
#[derive(Default)]
pub struct MainConf {
    sites: Vec<(Vec<u8>, Arc<SiteConf>)>,
}

impl MainConf {
    /// Configurations of all locations, each file once.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<SiteConf>> {
        self.sites.iter().map(|(_, site)| site)
    }
}

/// A storage named by `fastdfs_peer`.
#[derive(Clone, Copy)]
pub struct StaticPeer {
    pub group: GroupName,
    pub member: Member,
}

/// A location's settings. Zeroed memory is a valid value: nothing set.
#[repr(C)]
pub struct LocationConf {
    /// For nginx's upstream code.
    pub upstream: ngx_http_upstream_conf_t,
    /// A private upstream, known to no directive; only its `peer.init` is used.
    pub balancer: ngx_http_upstream_srv_conf_t,
    path: ngx_str_t,
    enabled: bool,
    peers: *mut Vec<StaticPeer>,
    redirect: *mut Target,
    site: *const SiteConf,
}

impl LocationConf {
    /// Storages of `fastdfs_peer` for this location.
    pub fn peers(&self) -> &[StaticPeer] {
        // SAFETY: null, or kept by the cycle's pool, which outlives every location.
        unsafe { self.peers.as_ref() }.map_or(&[], Vec::as_slice)
    }

    /// Where redirects lead.
    pub fn redirect(&self) -> Target {
        // SAFETY: as above.
        unsafe { self.redirect.as_ref() }.copied().unwrap_or_default()
    }

    /// What `mod_fastdfs.conf` says; `None` in locations without the module.
    pub fn site(&self) -> Option<&SiteConf> {
        // SAFETY: null, or kept by the main configuration of the same cycle.
        unsafe { self.site.as_ref() }
    }
}

/// Configurations of the running cycle.
pub fn sites_of(cycle: *mut ngx_cycle_t) -> Vec<Arc<SiteConf>> {
    // SAFETY: nginx passes its live cycle; without an http block the slot is null.
    unsafe {
        let slot = (*cycle).conf_ctx.add((*ptr::addr_of!(ngx_http_module)).index);
        let Some(http) = (*slot).cast::<ngx_http_conf_ctx_t>().as_ref() else { return Vec::new() };
        let main = (*http.main_conf.add(nginx::index())).cast::<MainConf>();
        main.as_ref().map_or_else(Vec::new, |main| main.sites().cloned().collect())
    }
}

pub unsafe extern "C" fn create_main(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx passes a live configuration context.
    guard(ptr::null_mut(), || unsafe { nginx::keep((*cf).pool, MainConf::default()).cast() })
}

pub unsafe extern "C" fn create_location(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: as above; the structure is plain C plus pointers and a bool, for which zero is valid.
    guard(ptr::null_mut(), || unsafe { nginx::zeroed::<LocationConf>((*cf).pool).cast() })
}

/// `ngx_fastdfs_module;`
pub unsafe extern "C" fn set_module(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: in a location, nginx passes its contexts and our `LocationConf`.
        unsafe {
            let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
            let core = (*ptr::addr_of!(ngx_http_core_module)).ctx_index;
            let core = (*(*context).loc_conf.add(core)).cast::<ngx_http_core_loc_conf_t>();
            (*core).handler = Some(handler::handle);
            (*conf.cast::<LocationConf>()).enabled = true;
        }
        CONF_OK
    })
}

/// `fastdfs_conf PATH;`
pub unsafe extern "C" fn set_path(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx passes our `LocationConf` and two arguments, as the directive's type demands.
        unsafe {
            let conf = &mut *conf.cast::<LocationConf>();
            if !conf.path.data.is_null() {
                return c"is duplicate".as_ptr().cast_mut();
            }
            let Some(path) = argument(cf, 1) else { return CONF_ERROR };
            conf.path = path;
            if ngx_conf_full_name((*cf).cycle, &mut conf.path, 1) != OK { CONF_ERROR } else { CONF_OK }
        }
    })
}

/// `fastdfs_peer GROUP ADDRESS[:PORT];`
pub unsafe extern "C" fn set_peer(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx passes our `LocationConf` and three arguments, which live as long as the cycle.
        unsafe {
            let conf = &mut *conf.cast::<LocationConf>();
            let (Some(group), Some(address)) = (argument(cf, 1), argument(cf, 2)) else { return CONF_ERROR };
            let peer = match static_peer(nginx::bytes(&group), nginx::bytes(&address)) {
                Ok(peer) => peer,
                Err(why) => {
                    complain(cf, NGX_LOG_EMERG, &why);
                    return CONF_ERROR;
                }
            };
            if conf.peers.is_null() {
                conf.peers = nginx::keep((*cf).pool, Vec::new());
            }
            let Some(peers) = conf.peers.as_mut() else { return CONF_ERROR };
            peers.push(peer);
            CONF_OK
        }
    })
}

/// `fastdfs_redirect SCHEME [PORT];`
pub unsafe extern "C" fn set_redirect(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx passes our `LocationConf` and two or three arguments, which live as long as the cycle.
        unsafe {
            let conf = &mut *conf.cast::<LocationConf>();
            if !conf.redirect.is_null() {
                return c"is duplicate".as_ptr().cast_mut();
            }
            let Some(scheme) = argument(cf, 1) else { return CONF_ERROR };
            let port = argument(cf, 2);
            match Target::parse(nginx::bytes(&scheme), port.as_ref().map(|port| nginx::bytes(port))) {
                Ok(target) => conf.redirect = nginx::keep((*cf).pool, target),
                Err(why) => complain(cf, NGX_LOG_EMERG, &format!("fastdfs_redirect: {why}")),
            }
            if conf.redirect.is_null() { CONF_ERROR } else { CONF_OK }
        }
    })
}

pub unsafe extern "C" fn merge_location(
    cf: *mut ngx_conf_t,
    parent: *mut c_void,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx passes two of our `LocationConf`.
        let (parent, conf) = unsafe { (&*parent.cast::<LocationConf>(), &mut *conf.cast::<LocationConf>()) };
        if conf.path.data.is_null() {
            conf.path = parent.path;
        }
        if conf.peers.is_null() {
            conf.peers = parent.peers;
        }
        if conf.redirect.is_null() {
            conf.redirect = parent.redirect;
        }
        if !conf.enabled {
            return CONF_OK;
        }
        // SAFETY: the path lives as long as the cycle.
        let path = unsafe { nginx::bytes(&conf.path) };
        let path = if path.is_empty() { DEFAULT_PATH } else { path };
        match site(cf, path) {
            Some(site) => {
                set_upstream(conf, &site);
                conf.site = Arc::as_ptr(&site);
                CONF_OK
            }
            None => CONF_ERROR,
        }
    })
}

/// The file at `path`, read once per cycle. Complaints go to nginx's log, that is to `nginx -t`.
fn site(cf: *mut ngx_conf_t, path: &[u8]) -> Option<Arc<SiteConf>> {
    // SAFETY: while the http block is read, the context's main configuration of this module is set.
    let main = unsafe {
        let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        &mut *(*(*context).main_conf.add(nginx::index())).cast::<MainConf>()
    };
    if let Some((_, site)) = main.sites.iter().find(|(known, _)| known == path) {
        return Some(Arc::clone(site));
    }
    let (site, troubles) = settings::read(&String::from_utf8_lossy(path));
    for trouble in troubles {
        complain(cf, if trouble.fatal { NGX_LOG_EMERG } else { NGX_LOG_WARN }, &trouble.text);
    }
    let site = Arc::new(site?);
    main.sites.push((path.to_vec(), Arc::clone(&site)));
    Some(site)
}

/// Everything not set here is right as zero.
fn set_upstream(conf: &mut LocationConf, site: &SiteConf) {
    let upstream = &mut conf.upstream;
    upstream.connect_timeout = site.connect_timeout.as_millis() as ngx_msec_t;
    upstream.send_timeout = site.network_timeout.as_millis() as ngx_msec_t;
    upstream.read_timeout = upstream.send_timeout;
    // However many members a group has, a client waits for two of them at most.
    upstream.next_upstream_timeout = 2 * (upstream.connect_timeout + upstream.read_timeout);
    upstream.next_upstream = (NGX_CONF_BITMASK_SET
        | NGX_HTTP_UPSTREAM_FT_ERROR
        | NGX_HTTP_UPSTREAM_FT_TIMEOUT
        | NGX_HTTP_UPSTREAM_FT_INVALID_HEADER
        | NGX_HTTP_UPSTREAM_FT_HTTP_404) as ngx_uint_t;
    upstream.intercept_errors = 1;
    upstream.set_intercept_404(1);
    upstream.buffering = 1;
    upstream.buffer_size = BUFFER_SIZE;
    upstream.bufs = ngx_bufs_t { num: BUFFERS, size: BUFFER_SIZE };
    upstream.busy_buffers_size = 2 * BUFFER_SIZE;
    // Never to disk: a slow client slows the storage's answer down instead.
    upstream.max_temp_file_size = 0;
    upstream.temp_file_write_size = BUFFER_SIZE;
    upstream.socket_keepalive = 1;
    upstream.module = nginx::constant(c"fastdfs");
    conf.balancer.peer.init = Some(balancer::init);
    conf.balancer.host = nginx::constant(c"fastdfs");
    upstream.upstream = &mut conf.balancer;
}

fn static_peer(group: &[u8], address: &[u8]) -> Result<StaticPeer, String> {
    let group = GroupName::new(group).map_err(|bad| bad.to_string())?;
    let text = String::from_utf8_lossy(address);
    let addr = text
        .parse::<SocketAddr>()
        .or_else(|_| {
            let ip = text.trim_start_matches('[').trim_end_matches(']');
            ip.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, DEFAULT_PORT))
        })
        .map_err(|_| format!("\"{text}\" is no IP address, expected ADDRESS or ADDRESS:PORT"))?;
    if addr.port() == 0 {
        return Err(format!("\"{text}\" has port 0"));
    }
    Ok(StaticPeer { group, member: Member { id: None, addr, standing: Standing::Serving } })
}

/// Argument `n` of the directive that is being read.
///
/// # Safety
/// Only inside a directive handler.
unsafe fn argument(cf: *mut ngx_conf_t, n: usize) -> Option<ngx_str_t> {
    // SAFETY: nginx sets `args` to an array of strings for the handler's call.
    unsafe { (*(*cf).args).as_slice::<ngx_str_t>().get(n).copied() }
}

fn complain(cf: *mut ngx_conf_t, level: u32, text: &str) {
    // SAFETY: nginx's live configuration context; `%*s` takes a length and a pointer.
    unsafe {
        ngx_conf_log_error(level as ngx_uint_t, cf, 0, c"%*s".as_ptr(), text.len(), text.as_ptr());
    }
}
