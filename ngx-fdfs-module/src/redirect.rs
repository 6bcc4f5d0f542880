//! `response_mode = redirect`: the client fetches the file itself, from the web server beside a member that has it.

use core::ffi::c_void;
use std::net::{IpAddr, SocketAddr};

use fdfs_core::http::{Site, argument, redirect_url};
use ngx::ffi::*;

use crate::nginx::{self, OK, status};

/// Where redirects lead: `fastdfs_redirect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Target {
    /// `https` instead of the scheme of the request.
    pub https: Option<bool>,
    /// Instead of the port that the request came to.
    pub port: Option<u16>,
}

impl Target {
    /// From `http` or `https`, and a port.
    pub fn parse(scheme: &[u8], port: Option<&[u8]>) -> Result<Self, &'static str> {
        let https = match scheme {
            b"http" => false,
            b"https" => true,
            _ => return Err("expected http or https"),
        };
        let number =
            port.map(|text| std::str::from_utf8(text).ok().and_then(|text| text.parse::<u16>().ok()));
        match number {
            Some(None | Some(0)) => Err("expected a port behind the scheme"),
            number => Ok(Self { https: Some(https), port: number.flatten() }),
        }
    }
}

/// 302 to the first of `members` that is another machine; `None` when there is none, or when the request was redirected
/// already: then the file is fetched, so that no client is sent in circles.
///
/// # Safety
/// `r` must be live and its header not yet sent.
pub unsafe fn answer(
    r: *mut ngx_http_request_t,
    target: Target,
    members: impl IntoIterator<Item = SocketAddr>,
) -> Option<ngx_int_t> {
    // SAFETY: as promised by the caller; a live request has a connection.
    unsafe {
        let args = nginx::bytes(&(*r).args);
        if argument(args, Site::REDIRECTED).is_some() {
            return None;
        }
        let here = local_address((*r).connection)?;
        let member = members.into_iter().find(|member| member.ip() != here.ip())?;
        let https = target.https.unwrap_or(!(*(*r).connection).ssl.is_null());
        let there = SocketAddr::new(member.ip(), target.port.unwrap_or(here.port()));
        let url = redirect_url(https, there, nginx::bytes(&(*r).uri), args);
        let header = nginx::push_header(r, c"Location", url.as_bytes());
        if header.is_null() {
            return Some(status(NGX_HTTP_INTERNAL_SERVER_ERROR));
        }
        (*r).headers_out.location = header;
        Some(status(NGX_HTTP_MOVED_TEMPORARILY))
    }
}

/// The address that the client connected to; `None` for a UNIX socket.
///
/// # Safety
/// `connection` must be live.
unsafe fn local_address(connection: *mut ngx_connection_t) -> Option<SocketAddr> {
    // SAFETY: nginx fills the address in; the family says which structure it is.
    unsafe {
        if ngx_connection_local_sockaddr(connection, core::ptr::null_mut(), 0) != OK {
            return None;
        }
        let raw: *const c_void = (*connection).local_sockaddr.cast();
        match i32::from((*raw.cast::<libc::sockaddr>()).sa_family) {
            libc::AF_INET => {
                let addr = &*raw.cast::<libc::sockaddr_in>();
                let ip = IpAddr::from(addr.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::new(ip, u16::from_be(addr.sin_port)))
            }
            libc::AF_INET6 => {
                let addr = &*raw.cast::<libc::sockaddr_in6>();
                let ip = IpAddr::from(addr.sin6_addr.s6_addr);
                Some(SocketAddr::new(ip.to_canonical(), u16::from_be(addr.sin6_port)))
            }
            _ => None,
        }
    }
}
