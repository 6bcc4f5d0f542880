//! A header filter for answers that come from a storage: 304, 412 and 416 are made by nginx itself, so that they are the
//! same as for a local file. Without it nginx would not look at conditions and ranges of an upstream's answer.

use core::cell::Cell;

use ngx::ffi::*;

use crate::flags;
use crate::guard::guard;
use crate::nginx::{self, ERROR, OK, status};
use crate::remote::{self, Context};

thread_local! {
    /// The filter behind ours. Set while nginx reads its configuration, in the process that workers are forked from.
    static NEXT: Cell<ngx_http_output_header_filter_pt> = const { Cell::new(None) };
}

/// What is left to nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The conditions or the ranges of the request, as for a file of this size and time.
    ByNginx,
    /// This status.
    Status(u32),
}

/// Puts the filter before all others.
pub unsafe extern "C" fn install(_: *mut ngx_conf_t) -> ngx_int_t {
    guard(ERROR, || {
        // SAFETY: nginx reads its configuration in one thread, and no request runs meanwhile in this process's filters.
        unsafe {
            NEXT.set(ngx_http_top_header_filter);
            ngx_http_top_header_filter = Some(filter);
        }
        OK
    })
}

unsafe extern "C" fn filter(r: *mut ngx_http_request_t) -> ngx_int_t {
    guard(ERROR, || {
        let Some(next) = NEXT.get() else { return ERROR };
        // SAFETY: nginx passes a live request; with an upstream of ours the slot holds null or a `Context`.
        unsafe {
            let refusal = remote::upstream(r)
                .and_then(|_| nginx::context::<Context>(r))
                .and_then(|context| context.refusal.take());
            match refusal {
                None => next(r),
                Some(Refusal::Status(code)) => status(code),
                Some(Refusal::ByNginx) => {
                    flags::set_disable_not_modified(r, 0);
                    flags::set_allow_ranges(r, 1);
                    flags::set_single_range(r, 0);
                    let rc = next(r);
                    let refused = rc == ERROR || rc > OK || flags::header_only(r) != 0;
                    if !refused {
                        // A content length without content: the connection must end.
                        nginx::log_request(NGX_LOG_ALERT, r, "nginx takes the request for a good one");
                        return ERROR;
                    }
                    rc
                }
            }
        }
    })
}
