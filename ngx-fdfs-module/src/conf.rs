//! Directives, and one `mod_fastdfs.conf` read per path and configuration cycle.

use core::ffi::{c_char, c_void};
use core::ptr;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use fdfs_core::http::{Member, Standing, TokenRules};
use fdfs_core::ident::GroupName;
use ngx::ffi::*;

use crate::directives::TokenChoice;
use crate::guard::guard;
use crate::nginx::{self, CONF_ERROR, CONF_OK, OK};
use crate::redirect::Target;
use crate::settings::{self, Inline, SiteConf};
use crate::work::Rights;
use crate::{balancer, buffer, cache, directives, handler};

const DEFAULT_PATH: &[u8] = b"/etc/fdfs/mod_fastdfs.conf";
const DEFAULT_PORT: u16 = 23000;

/// Files read in this cycle.
pub struct MainConf {
    sites: Vec<(Source, Arc<SiteConf>)>,
    peers: Vec<StaticPeer>,
    /// Shared counters; null when no location tells them.
    pub zone: *mut ngx_shm_zone_t,
    /// Pointers to the caches of `fastdfs_cache_path`.
    pub caches: ngx_array_t,
}

/// Where settings come from.
struct Source {
    path: Option<Vec<u8>>,
    inline: Vec<Inline>,
}

impl MainConf {
    /// Configurations of all locations, each file once.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<SiteConf>> {
        self.sites.iter().map(|(_, site)| site)
    }

    /// Storages of `fastdfs_peer`, of all blocks.
    pub fn peers(&self) -> &[StaticPeer] {
        &self.peers
    }
}

/// A storage named by `fastdfs_peer`.
#[derive(Clone, Copy)]
pub struct StaticPeer {
    pub group: GroupName,
    pub member: Member,
}

/// A location's settings. Zeroed memory is a valid value.
#[repr(C)]
pub struct LocationConf {
    /// For nginx's upstream code.
    pub upstream: ngx_http_upstream_conf_t,
    /// The same with a cache; without a zone there is none.
    pub cached: ngx_http_upstream_conf_t,
    /// `fastdfs_cache off`.
    pub cache_off: bool,
    /// A private upstream, known to no directive; only its `peer.init` is used.
    pub balancer: ngx_http_upstream_srv_conf_t,
    path: ngx_str_t,
    /// Requests are ours.
    enabled: bool,
    /// `ngx_fastdfs_module`: GET and HEAD are answered.
    serves: bool,
    rights: *mut Rights,
    peers: *mut Vec<StaticPeer>,
    redirect: *mut Target,
    inline: *mut Vec<Inline>,
    token_choice: *mut TokenChoice,
    rules: *const TokenRules,
    site: *const SiteConf,
}

impl LocationConf {
    /// Storages of `fastdfs_peer` for this location.
    pub fn peers(&self) -> &[StaticPeer] {
        // SAFETY: null, or kept by the cycle's pool, which outlives every location.
        unsafe { self.peers.as_ref() }.map_or(&[], Vec::as_slice)
    }

    /// Requests need a token by these rules.
    pub fn tokens(&self) -> Option<&TokenRules> {
        // SAFETY: null, or kept by the cycle's pool or by `site`.
        unsafe { self.rules.as_ref() }
    }

    /// Where redirects lead.
    pub fn redirect(&self) -> Target {
        // SAFETY: as above.
        unsafe { self.redirect.as_ref() }.copied().unwrap_or_default()
    }

    /// GET and HEAD are answered.
    pub fn serves(&self) -> bool {
        self.serves
    }

    /// What clients may change.
    pub fn rights(&self) -> Option<&Rights> {
        // SAFETY: null, or kept by the cycle's pool.
        unsafe { self.rights.as_ref() }.filter(|rights| rights.any())
    }

    /// Rights of this block, to set.
    pub fn rights_mut(&mut self) -> &mut *mut Rights {
        &mut self.rights
    }

    /// Keys of `fastdfs_set` in this block, to add to.
    pub fn inline(&mut self) -> &mut *mut Vec<Inline> {
        &mut self.inline
    }

    /// Token directives of this block, to set.
    pub fn token_choice(&mut self) -> &mut *mut TokenChoice {
        &mut self.token_choice
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
    // SAFETY: nginx passes a live configuration context; the elements of the array stay in its pool.
    guard(ptr::null_mut(), || unsafe {
        let Some(caches) = ngx_array_create((*cf).pool, 1, size_of::<*mut ngx_http_file_cache_t>()).as_ref()
        else {
            return ptr::null_mut();
        };
        let main = MainConf { sites: Vec::new(), peers: Vec::new(), zone: ptr::null_mut(), caches: *caches };
        nginx::keep((*cf).pool, main).cast()
    })
}

pub unsafe extern "C" fn create_location(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: as above; the structure is plain C plus pointers and bools, for which zero is valid.
    guard(ptr::null_mut(), || unsafe {
        let location = nginx::zeroed::<LocationConf>((*cf).pool);
        if let Some(location) = location.as_mut() {
            cache::unset(&mut location.cached);
        }
        location.cast()
    })
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
            handle_location(cf);
            (*conf.cast::<LocationConf>()).serves = true;
        }
        CONF_OK
    })
}

/// The requests of the location that is being read are ours.
///
/// # Safety
/// Only inside a directive handler, in a location.
pub unsafe fn handle_location(cf: *mut ngx_conf_t) {
    // SAFETY: as promised by the caller, nginx's contexts are those of the location.
    unsafe {
        (*core_location(cf)).handler = Some(handler::handle);
        let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        (*(*(*context).loc_conf.add(nginx::index())).cast::<LocationConf>()).enabled = true;
    }
}

/// nginx's own settings of the block that is being read or merged.
///
/// # Safety
/// Only while the http block is read.
pub unsafe fn core_location(cf: *mut ngx_conf_t) -> *mut ngx_http_core_loc_conf_t {
    // SAFETY: the core module has a configuration in every block.
    unsafe {
        let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        let core = (*ptr::addr_of!(ngx_http_core_module)).ctx_index;
        (*(*context).loc_conf.add(core)).cast()
    }
}

/// `fastdfs_conf PATH|off;`
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
            if nginx::bytes(&path) == b"off" {
                return CONF_OK;
            }
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
            main(cf).peers.push(peer);
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
        // SAFETY: both are null or kept by the pool of this cycle.
        unsafe {
            conf.inline = directives::merge_inline(cf, parent.inline, conf.inline);
            conf.token_choice = directives::merge_tokens(cf, parent.token_choice, conf.token_choice);
        }
        // SAFETY: nginx merges the settings of this module.
        if unsafe { cache::merge(cf, parent, conf) }.is_err() {
            return CONF_ERROR;
        }
        // SAFETY: while blocks are merged, the context is that of the inner one.
        let core = unsafe { &mut *core_location(cf) };
        // `if` and `limit_except` are a part of their location.
        if core.noname() != 0 && parent.enabled && !conf.enabled {
            (conf.enabled, conf.serves, conf.rights) = (true, parent.serves, parent.rights);
            if core.lmt_excpt() != 0 && core.handler.is_none() {
                core.handler = Some(handler::handle);
            }
        }
        if !conf.enabled {
            return CONF_OK;
        }
        // SAFETY: path and keys live as long as the cycle.
        let (path, inline) =
            unsafe { (nginx::bytes(&conf.path), conf.inline.as_ref().map_or(&[][..], Vec::as_slice)) };
        let path = match path {
            b"" => Some(DEFAULT_PATH),
            b"off" => None,
            path => Some(path),
        };
        let Some(site) = site(cf, path, inline) else { return CONF_ERROR };
        // SAFETY: as above; the rules live as long as the cycle.
        let rules = unsafe { directives::rules(cf, conf.token_choice, &site) };
        let Ok(rules) = rules else { return CONF_ERROR };
        conf.rules = rules;
        set_upstream(conf, &site);
        conf.site = Arc::as_ptr(&site);
        if conf.rights().is_some() && site.trackers.is_empty() {
            complain(
                cf,
                NGX_LOG_EMERG,
                "fastdfs_upload, fastdfs_delete and fastdfs_tus need a tracker_server",
            );
            return CONF_ERROR;
        }
        if conf.rights().is_some_and(|rights| rights.tus && rights.tus_key.is_empty()) {
            complain(cf, NGX_LOG_EMERG, "fastdfs_tus needs a fastdfs_tus_key");
            return CONF_ERROR;
        }
        CONF_OK
    })
}

/// The main configuration of the cycle that is being read.
///
/// # Safety
/// Only while the http block is read.
pub unsafe fn main<'a>(cf: *mut ngx_conf_t) -> &'a mut MainConf {
    // SAFETY: as promised by the caller, the context's main configuration of this module is set.
    unsafe {
        let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        &mut *(*(*context).main_conf.add(nginx::index())).cast::<MainConf>()
    }
}

/// The file at `path` with the `inline` keys, read once per cycle. Complaints go to nginx's log, that is to `nginx -t`.
fn site(cf: *mut ngx_conf_t, path: Option<&[u8]>, inline: &[Inline]) -> Option<Arc<SiteConf>> {
    // SAFETY: the http block is being read.
    let main = unsafe { main(cf) };
    let same = |known: &Source| known.path.as_deref() == path && known.inline == inline;
    if let Some((_, site)) = main.sites.iter().find(|(known, _)| same(known)) {
        return Some(Arc::clone(site));
    }
    let text = path.map(String::from_utf8_lossy);
    let (site, troubles) = settings::read(text.as_deref(), inline);
    for trouble in troubles {
        complain(cf, if trouble.fatal { NGX_LOG_EMERG } else { NGX_LOG_WARN }, &trouble.text);
    }
    let site = Arc::new(site?);
    let source = Source { path: path.map(<[u8]>::to_vec), inline: inline.to_vec() };
    main.sites.push((source, Arc::clone(&site)));
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
    // What the answer is read into first, the request's `Buffer`, is all: nginx adds none.
    upstream.buffer_size = buffer::SIZE;
    upstream.bufs = ngx_bufs_t { num: 0, size: buffer::SIZE };
    upstream.busy_buffers_size = buffer::SIZE;
    // Never to disk: a slow client slows the storage's answer down instead.
    upstream.max_temp_file_size = 0;
    upstream.temp_file_write_size = buffer::SIZE;
    upstream.socket_keepalive = 1;
    upstream.module = nginx::constant(c"fastdfs");
    conf.balancer.peer.init = Some(balancer::init);
    conf.balancer.host = nginx::constant(c"fastdfs");
    upstream.upstream = &mut conf.balancer;
    conf.cached = cache::over(&conf.upstream, &conf.cached);
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
pub unsafe fn argument(cf: *mut ngx_conf_t, n: usize) -> Option<ngx_str_t> {
    // SAFETY: nginx sets `args` to an array of strings for the handler's call.
    unsafe { (*(*cf).args).as_slice::<ngx_str_t>().get(n).copied() }
}

/// Writes a line about the directive that is being read.
pub fn complain(cf: *mut ngx_conf_t, level: u32, text: &str) {
    // SAFETY: nginx's live configuration context; `%*s` takes a length and a pointer.
    unsafe {
        ngx_conf_log_error(level as ngx_uint_t, cf, 0, c"%*s".as_ptr(), text.len(), text.as_ptr());
    }
}
