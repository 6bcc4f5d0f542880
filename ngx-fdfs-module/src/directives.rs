//! Directives that change single settings: `fastdfs_set`, `fastdfs_token`, `fastdfs_token_key`.

use core::ffi::{c_char, c_void};
use std::sync::Arc;

use fdfs_core::conf::Origin;
use fdfs_core::http::{TokenKind, TokenRules};
use ngx::ffi::*;

use crate::conf::{LocationConf, argument, complain};
use crate::guard::guard;
use crate::nginx::{self, CONF_ERROR, CONF_OK};
use crate::settings::{Inline, SiteConf};

/// What the token directives of a block say.
#[derive(Debug, Clone, Default)]
pub struct TokenChoice {
    /// `None`: nothing. `Some(None)`: off.
    kind: Option<Option<TokenKind>>,
    keys: Vec<String>,
}

/// `fastdfs_set KEY VALUE;`
pub unsafe extern "C" fn set_value(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx passes our `LocationConf`, three arguments, and the file that it reads.
        unsafe {
            let (Some(key), Some(value)) = (argument(cf, 1), argument(cf, 2)) else { return CONF_ERROR };
            let text = |text: &ngx_str_t| String::from_utf8_lossy(nginx::bytes(text)).into_owned();
            let file = &*(*cf).conf_file;
            let at = Origin { file: Arc::from(text(&file.file.name)), line: file.line as u32 };
            let entry = Inline { key: text(&key), value: text(&value), at };
            match own((*cf).pool, (*conf.cast::<LocationConf>()).inline()) {
                Some(inline) => inline.push(entry),
                None => return CONF_ERROR,
            }
            CONF_OK
        }
    })
}

/// `fastdfs_token off|md5|hmac;`
pub unsafe extern "C" fn set_token(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx passes our `LocationConf` and two arguments.
        unsafe {
            let Some(choice) = own((*cf).pool, (*conf.cast::<LocationConf>()).token_choice()) else {
                return CONF_ERROR;
            };
            if choice.kind.is_some() {
                return c"is duplicate".as_ptr().cast_mut();
            }
            choice.kind = match argument(cf, 1).as_ref().map(|text| nginx::bytes(text)) {
                Some(b"off") => Some(None),
                Some(b"md5") => Some(Some(TokenKind::Md5)),
                Some(b"hmac") => Some(Some(TokenKind::Hmac)),
                _ => {
                    complain(cf, NGX_LOG_EMERG, "fastdfs_token: expected off, md5 or hmac");
                    return CONF_ERROR;
                }
            };
            CONF_OK
        }
    })
}

/// `fastdfs_token_key KEY|file:PATH;`
pub unsafe extern "C" fn set_token_key(
    cf: *mut ngx_conf_t,
    _: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx passes our `LocationConf` and two arguments.
        unsafe {
            let Some(choice) = own((*cf).pool, (*conf.cast::<LocationConf>()).token_choice()) else {
                return CONF_ERROR;
            };
            let Some(text) = argument(cf, 1) else { return CONF_ERROR };
            match read_key(nginx::bytes(&text)) {
                Ok(key) => choice.keys.push(key),
                Err(why) => complain(cf, NGX_LOG_EMERG, &format!("fastdfs_token_key: {why}")),
            }
            if choice.keys.is_empty() { CONF_ERROR } else { CONF_OK }
        }
    })
}

/// A key as a directive gives it: itself, or `file:PATH`.
pub fn read_key(text: &[u8]) -> Result<String, String> {
    let text = String::from_utf8_lossy(text).into_owned();
    let key = match text.strip_prefix("file:") {
        None => text,
        Some(path) => {
            let key = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
            key.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    if key.is_empty() { Err("the key is empty".into()) } else { Ok(key) }
}

/// The keys of this level, and those of the level above that it does not have.
///
/// # Safety
/// Both must be null or kept by the pool of `cf`.
pub unsafe fn merge_inline(
    cf: *mut ngx_conf_t,
    parent: *mut Vec<Inline>,
    own: *mut Vec<Inline>,
) -> *mut Vec<Inline> {
    // SAFETY: as promised by the caller.
    unsafe {
        match (parent.as_ref(), own.as_ref()) {
            (_, None) => parent,
            (None, Some(_)) => own,
            (Some(above), Some(here)) => {
                let here_too = |entry: &&Inline| here.iter().any(|other| other.key == entry.key);
                let kept = above.iter().filter(|entry| !here_too(entry)).chain(here).cloned();
                nginx::keep((*cf).pool, kept.collect())
            }
        }
    }
}

/// What this level says; where it is silent, the level above.
///
/// # Safety
/// Both must be null or kept by the pool of `cf`.
pub unsafe fn merge_tokens(
    cf: *mut ngx_conf_t,
    parent: *mut TokenChoice,
    own: *mut TokenChoice,
) -> *mut TokenChoice {
    // SAFETY: as promised by the caller.
    unsafe {
        match (parent.as_ref(), own.as_ref()) {
            (_, None) => parent,
            (None, Some(_)) => own,
            (Some(above), Some(here)) => {
                let keys = if here.keys.is_empty() { above.keys.clone() } else { here.keys.clone() };
                nginx::keep((*cf).pool, TokenChoice { kind: here.kind.or(above.kind), keys })
            }
        }
    }
}

/// The rules of a location; null when its requests need no token. `Err` after a complaint.
///
/// # Safety
/// `choice` must be null or kept by the pool of `cf`; the result must not outlive it and `site`.
pub unsafe fn rules(
    cf: *mut ngx_conf_t,
    choice: *const TokenChoice,
    site: &SiteConf,
) -> Result<*const TokenRules, ()> {
    let as_the_file_says = if site.check_token { &raw const site.tokens } else { core::ptr::null() };
    // SAFETY: as promised by the caller.
    unsafe {
        let Some(choice) = choice.as_ref() else { return Ok(as_the_file_says) };
        let kind = match choice.kind {
            Some(None) => return Ok(core::ptr::null()),
            Some(Some(kind)) => kind,
            None if !site.check_token => return Ok(core::ptr::null()),
            None => site.tokens.kind,
        };
        let keys = if choice.keys.is_empty() { site.tokens.keys.clone() } else { choice.keys.clone() };
        if keys.is_empty() {
            complain(
                cf,
                NGX_LOG_EMERG,
                "fastdfs_token needs a fastdfs_token_key, or http.anti_steal.secret_key",
            );
            return Err(());
        }
        let rules: *const TokenRules =
            nginx::keep((*cf).pool, TokenRules { kind, keys, ..site.tokens.clone() });
        if rules.is_null() { Err(()) } else { Ok(rules) }
    }
}

/// The value of this block, made when there is none; `None` when there is no memory.
///
/// # Safety
/// `pool` must be live, and the slot null or filled by this function.
pub unsafe fn own<T: Default>(pool: *mut ngx_pool_t, slot: &mut *mut T) -> Option<&mut T> {
    // SAFETY: as promised by the caller.
    unsafe {
        if slot.is_null() {
            *slot = nginx::keep(pool, T::default());
        }
        slot.as_mut()
    }
}
