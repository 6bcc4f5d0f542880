//! The content handler: URL in, answer or upstream out.

use fdfs_core::http::{BadToken, Plan, TokenKind, TokenRules, Wanted, plan};
use ngx::ffi::*;

use crate::flags;
use crate::guard::guard;
use crate::local::{self, Local};
use crate::nginx::{self, DONE, OK, status};
use crate::parked;
use crate::remote::{self, Start};
use crate::work;

/// nginx enters here.
pub unsafe extern "C" fn handle(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx calls a content handler with a live request and keeps it until it is finalized.
    guard(status(NGX_HTTP_INTERNAL_SERVER_ERROR), || unsafe { answer(r) })
}

/// # Safety
/// `r` must be live.
unsafe fn answer(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: the request is live during the whole call; so are its URI and its location's configuration.
    unsafe {
        let location = nginx::location(r);
        if let Some(rights) = location.rights()
            && work::tus::takes(r, rights, location.serves())
        {
            return work::tus::start(r, rights);
        }
        if (*r).method & (NGX_HTTP_GET | NGX_HTTP_HEAD) as ngx_uint_t == 0 {
            return match location.rights() {
                Some(rights) => work::start(r, rights),
                None => status(NGX_HTTP_NOT_ALLOWED),
            };
        }
        if !location.serves() {
            return status(NGX_HTTP_NOT_ALLOWED);
        }
        let rc = ngx_http_discard_request_body(r);
        if rc != OK {
            return rc;
        }
        let Some(conf) = nginx::location(r).site() else { return status(NGX_HTTP_INTERNAL_SERVER_ERROR) };
        let plan = plan(&conf.site, nginx::bytes(&(*r).uri));
        if let (Some(rules), Plan::Local { file, .. } | Plan::Remote { file }) =
            (nginx::location(r).tokens(), &plan)
            && let Some(rc) = refuse(r, rules, file)
        {
            return rc;
        }
        let (file, here) = match plan {
            Plan::BadRequest(why) => {
                nginx::log_request(NGX_LOG_INFO, r, &format!("400: {why}"));
                return status(NGX_HTTP_BAD_REQUEST);
            }
            Plan::NotFound => return status(NGX_HTTP_NOT_FOUND),
            Plan::Remote { file } => (file, NGX_HTTP_NOT_FOUND),
            Plan::Local { mut file, place } => match local::serve(r, &place, &mut file) {
                Local::Answered(rc) => return rc,
                Local::Absent(code) => (file, code),
            },
        };
        match remote::start(r, &file, here) {
            Start::Finished(rc) => rc,
            Start::Upstream => {
                flags::hold(r);
                ngx_http_upstream_init(r);
                DONE
            }
            Start::Wait => {
                flags::hold(r);
                parked::park(r, file, here);
                DONE
            }
        }
    }
}

/// The answer to a request without a good token; `None` when it has one.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn refuse(r: *mut ngx_http_request_t, rules: &TokenRules, file: &Wanted) -> Option<ngx_int_t> {
    // SAFETY: the request is live; nginx sets its clock before it handles any request.
    unsafe {
        if let Some((name, _)) = &rules.bypass
            && nginx::request_header(r, name.as_bytes()).is_some_and(|value| rules.bypassed(value))
        {
            return None;
        }
        let now = (*ngx_cached_time).sec;
        let bad = rules.check(&file.group, &file.wire_name(), nginx::bytes(&(*r).args), now).err()?;
        let code = match rules.kind {
            TokenKind::Md5 => NGX_HTTP_BAD_REQUEST,
            TokenKind::Hmac => NGX_HTTP_FORBIDDEN,
        };
        nginx::log_request(NGX_LOG_INFO, r, &format!("{code}: {bad}"));
        let instead = rules.fail_file.as_ref().filter(|_| bad != BadToken::Missing);
        if let Some(path) = instead {
            // The content type is that of the file that is sent.
            let ext = path.rsplit_once('.').map_or("", |(_, ext)| ext);
            if let Some(ext) = nginx::copy((*r).pool, ext.as_bytes()) {
                (*r).exten = ext;
            }
            if let Local::Answered(rc) = local::serve_as_it_is(r, path.as_bytes()) {
                return Some(rc);
            }
        }
        Some(status(code))
    }
}
