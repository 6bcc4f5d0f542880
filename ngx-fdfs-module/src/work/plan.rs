//! What a request wants, before anything is read or asked.

use std::path::PathBuf;

use fdfs_core::http::work::{Errand, Form, Goal, Named, Step};
use fdfs_core::http::{Plan, argument, plan};
use fdfs_core::ident::Extension;
use ngx::ffi::*;

use super::settings::Rights;
use super::{Spool, Stage, Talk, trackers};
use crate::handler;
use crate::nginx::{self, status};

/// A file that is to be stored.
pub struct File {
    /// Extension of its id.
    pub ext: Extension,
    /// Its field of the form.
    pub field: Option<String>,
    /// Its name at the client.
    pub name: Option<String>,
    /// Where its content begins in the spool.
    pub from: u64,
    /// Bytes of content.
    pub size: u64,
}

/// How a body that goes to the spool is read.
pub enum Intake {
    /// It is the content of a file.
    Raw,
    /// It is a form.
    Form(Box<Form>),
}

type Planned = Result<(Stage, Vec<File>, Option<Spool>), ngx_int_t>;

/// For PUT and POST.
///
/// # Safety
/// `r` must be live.
pub unsafe fn upload(r: *mut ngx_http_request_t, rights: &Rights) -> Planned {
    // SAFETY: header fields are null or point into the live request.
    unsafe {
        let headers = &(*r).headers_in;
        let content_type =
            headers.content_type.as_ref().map_or(&[][..], |header| nginx::bytes(&header.value));
        if Form::is_form(content_type) {
            let form = Form::new(content_type).map_err(|bad| {
                nginx::log_request(NGX_LOG_INFO, r, &format!("400: {bad}"));
                status(NGX_HTTP_BAD_REQUEST)
            })?;
            return Ok((Stage::Spooling(Intake::Form(Box::new(form))), Vec::new(), Some(spool(r))));
        }
        let told = argument(nginx::bytes(&(*r).args), b"filename");
        let name = told.map(|name| String::from_utf8_lossy(&name).into_owned());
        let uri = String::from_utf8_lossy(nginx::bytes(&(*r).uri));
        let ext = Extension::of_path(name.as_deref().unwrap_or(&uri));
        let known = u64::try_from(headers.content_length_n).ok().filter(|_| !rights.buffering);
        let file = File { ext, field: None, name, from: 0, size: known.unwrap_or(0) };
        Ok(match known {
            Some(_) => (Stage::Idle, vec![file], None),
            None => (Stage::Spooling(Intake::Raw), vec![file], Some(spool(r))),
        })
    }
}

/// For DELETE.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn delete(r: *mut ngx_http_request_t) -> Planned {
    // SAFETY: as promised by the caller.
    unsafe {
        let location = nginx::location(r);
        let Some(conf) = location.site() else { return Err(status(NGX_HTTP_INTERNAL_SERVER_ERROR)) };
        let file = match plan(&conf.site, nginx::bytes(&(*r).uri)) {
            Plan::Local { file, .. } | Plan::Remote { file } => file,
            Plan::NotFound => return Err(status(NGX_HTTP_NOT_FOUND)),
            Plan::BadRequest(why) => {
                nginx::log_request(NGX_LOG_INFO, r, &format!("400: {why}"));
                return Err(status(NGX_HTTP_BAD_REQUEST));
            }
        };
        if let Some(rc) = location.tokens().and_then(|rules| handler::refuse(r, rules, &file)) {
            return Err(rc);
        }
        let goal = Goal::Delete(Named { group: file.group, name: file.wire_name() });
        let errand = Errand::new(goal, trackers(conf));
        match errand.step() {
            Step::Ask(ask) => Ok((Stage::Talking(Box::new(Talk::new(errand, ask))), Vec::new(), None)),
            _ => Err(status(NGX_HTTP_SERVICE_UNAVAILABLE)),
        }
    }
}

/// In the folder and from the size on that nginx is told for its own bodies.
///
/// # Safety
/// `r` must be live.
pub unsafe fn spool(r: *mut ngx_http_request_t) -> Spool {
    // SAFETY: nginx sets both in every location.
    unsafe {
        let core = nginx::core_location(r);
        let dir = core.client_body_temp_path.as_ref().map_or(&[][..], |path| nginx::bytes(&path.name));
        let dir = PathBuf::from(String::from_utf8_lossy(dir).into_owned());
        Spool::new(dir, core.client_body_buffer_size)
    }
}
