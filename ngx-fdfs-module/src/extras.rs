//! What arguments of the URL change: the name of an attachment, the part of an FLV file that a player wants.

use fdfs_core::http::{FlvPart, Wanted, disposition};
use ngx::ffi::*;

use crate::nginx;

/// Adds `Content-Disposition` when the URL asks for it; false when there is no memory.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn attach(r: *mut ngx_http_request_t) -> bool {
    // SAFETY: as promised by the caller.
    unsafe {
        let args = nginx::bytes(&(*r).args);
        args.is_empty()
            || disposition(args)
                .is_none_or(|value| !nginx::push_header(r, c"Content-Disposition", &value).is_null())
    }
}

/// The part of `file` that a player asks for: with `flv_support`, for the configured extension, without a `Range`.
///
/// # Safety
/// `r` must be live.
pub unsafe fn flv(r: *mut ngx_http_request_t, file: &Wanted) -> Option<FlvPart> {
    // SAFETY: as promised by the caller.
    unsafe {
        let args = nginx::bytes(&(*r).args);
        if args.is_empty() || !(*r).headers_in.range.is_null() {
            return None;
        }
        let extension = nginx::location(r).site()?.flv_extension.as_ref()?;
        let name = file.name.file_part();
        let dot = name.iter().rposition(|byte| *byte == b'.')?;
        let same = name.get(dot + 1..)? == extension.as_bytes();
        same.then(|| FlvPart::of(args)).flatten()
    }
}
