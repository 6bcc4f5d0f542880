//! `fastdfs_status`: counters that all workers share, and what the answering worker knows of trackers and members.

use core::ffi::{c_char, c_void};
use core::ptr;

use fdfs_core::http::{Counters, MemberStatus, Origin, Report, SiteStatus, Standing, argument};
use ngx::ffi::*;

use crate::conf::{self, LocationConf, MainConf};
use crate::flags;
use crate::guard::guard;
use crate::nginx::{self, CONF_ERROR, CONF_OK, ERROR, OK, status};
use crate::remote::upstream;
use crate::settings::SiteConf;
use crate::work::reply;
use crate::{tracker, worker};

/// Shared memory for the counters: nginx's own structures take a few pages of it.
const ZONE_SIZE: usize = 64 * 1024;

/// `fastdfs_status;`
pub unsafe extern "C" fn set(cf: *mut ngx_conf_t, _: *mut ngx_command_t, _: *mut c_void) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: in a location, nginx passes its contexts; the zone lives as long as the cycle.
        unsafe {
            (*conf::core_location(cf)).handler = Some(handle);
            let mut name = nginx::constant(c"fastdfs_status");
            let zone = ngx_shared_memory_add(cf, &mut name, ZONE_SIZE, nginx::tag());
            if zone.is_null() {
                return CONF_ERROR;
            }
            (*zone).init = Some(init_zone);
            conf::main(cf).zone = zone;
            CONF_OK
        }
    })
}

/// Counters go on after a reload.
unsafe extern "C" fn init_zone(zone: *mut ngx_shm_zone_t, data: *mut c_void) -> ngx_int_t {
    // SAFETY: nginx passes its zone with a slab pool at its start, and what an earlier cycle kept in `data`.
    guard(ERROR, || unsafe {
        let pool = (*zone).shm.addr.cast::<ngx_slab_pool_t>();
        if data.is_null() && (*zone).shm.exists == 0 {
            (*pool).data = ngx_slab_calloc(pool, size_of::<Counters>());
        }
        (*zone).data = if data.is_null() { (*pool).data } else { data };
        if (*zone).data.is_null() { ERROR } else { OK }
    })
}

/// The counters; `None` when no location tells them.
///
/// # Safety
/// `r` must be live.
pub unsafe fn counters<'a>(r: *mut ngx_http_request_t) -> Option<&'a Counters> {
    // SAFETY: the module has a main configuration; zeroed memory is a valid value, and shared by atomic operations only.
    unsafe {
        let main = (*(*r).main_conf.add(nginx::index())).cast::<MainConf>().as_ref()?;
        main.zone.as_ref()?.data.cast::<Counters>().as_ref()
    }
}

/// Counts requests, when there is somebody to tell.
pub unsafe extern "C" fn install(cf: *mut ngx_conf_t) -> ngx_int_t {
    guard(ERROR, || {
        // SAFETY: nginx passes the context of the http block, whose core configuration has an array per phase.
        unsafe {
            if conf::main(cf).zone.is_null() {
                return OK;
            }
            let context = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
            let core = (*ptr::addr_of!(ngx_http_core_module)).ctx_index;
            let core = (*(*context).main_conf.add(core)).cast::<ngx_http_core_main_conf_t>();
            let phase = ngx_http_phases_NGX_HTTP_LOG_PHASE as usize;
            let Some(phase) = (*core).phases.get_mut(phase) else { return ERROR };
            let slot = ngx_array_push(&mut phase.handlers).cast::<ngx_http_handler_pt>();
            if slot.is_null() {
                return ERROR;
            }
            *slot = Some(count);
            OK
        }
    })
}

unsafe extern "C" fn count(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a request whose answer has been sent; it is still live.
    guard((), || unsafe {
        let location = nginx::location(r);
        if location.site().is_none() {
            return;
        }
        if let Some(counters) = counters(r) {
            let code = (*r).headers_out.status.max((*r).err_status) as u32;
            let sent = u64::try_from((*(*r).connection).sent).unwrap_or(0);
            counters.request(origin(r, location, code), code, sent);
        }
    });
    OK
}

/// Where the answer to a request of ours came from.
///
/// # Safety
/// `r` must be live.
unsafe fn origin(r: *mut ngx_http_request_t, location: &LocationConf, code: u32) -> Origin {
    // SAFETY: as promised by the caller.
    unsafe {
        let asks = (*r).method as u32 & (NGX_HTTP_GET | NGX_HTTP_HEAD) != 0;
        match code {
            _ if upstream(r).is_some() && flags::cached(r) != 0 => Origin::Cache,
            _ if upstream(r).is_some() => Origin::Peer,
            NGX_HTTP_CREATED | NGX_HTTP_NO_CONTENT => Origin::Change,
            NGX_HTTP_MOVED_TEMPORARILY => Origin::Redirect,
            NGX_HTTP_OK | NGX_HTTP_PARTIAL_CONTENT | NGX_HTTP_NOT_MODIFIED if asks && location.serves() => {
                Origin::Local
            }
            NGX_HTTP_PRECONDITION_FAILED | NGX_HTTP_RANGE_NOT_SATISFIABLE if asks && location.serves() => {
                Origin::Local
            }
            _ => Origin::Refused,
        }
    }
}

unsafe extern "C" fn handle(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls a content handler with a live request.
    guard(status(NGX_HTTP_INTERNAL_SERVER_ERROR), || unsafe {
        if (*r).method as u32 & (NGX_HTTP_GET | NGX_HTTP_HEAD) == 0 {
            return status(NGX_HTTP_NOT_ALLOWED);
        }
        let rc = ngx_http_discard_request_body(r);
        if rc != OK {
            return rc;
        }
        let Some(counters) = counters(r) else { return status(NGX_HTTP_INTERNAL_SERVER_ERROR) };
        let main = (*(*r).main_conf.add(nginx::index())).cast::<MainConf>();
        let sites = (*main).sites().map(|site| of_site(site, &*main)).collect();
        let report = Report { worker: std::process::id(), counters, sites };
        match argument(nginx::bytes(&(*r).args), b"format").as_deref() {
            None | Some(b"json") => reply::send(r, NGX_HTTP_OK, c"application/json", &report.json()),
            Some(b"prometheus") => {
                reply::send(r, NGX_HTTP_OK, c"text/plain; version=0.0.4", &report.prometheus())
            }
            Some(_) => status(NGX_HTTP_BAD_REQUEST),
        }
    })
}

fn of_site(site: &SiteConf, main: &MainConf) -> SiteStatus {
    let now = nginx::now_ms();
    let told = worker::peers(site).map(|peers| peers.all()).unwrap_or_default();
    let fixed = main.peers().iter().map(|peer| (peer.group, peer.member));
    let mut members: Vec<MemberStatus> = Vec::new();
    for (group, member) in told.into_iter().chain(fixed) {
        let (group, addr) = (group.as_str().to_owned(), member.addr.to_string());
        if members.iter().any(|known| known.group == group && known.addr == addr) {
            continue;
        }
        members.push(MemberStatus {
            id: member.id.map_or_else(|| member.addr.ip().to_string(), |id| id.as_str().to_owned()),
            serving: member.standing == Standing::Serving,
            resting_ms: worker::with_health(|health| health.rests_for(member.addr, now)),
            group,
            addr,
        });
    }
    let (trackers, members_age_ms) = tracker::view(site);
    SiteStatus { conf: site.path.clone(), trackers, members_age_ms, members }
}
