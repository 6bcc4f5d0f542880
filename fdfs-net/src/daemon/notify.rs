//! Readiness for systemd: one datagram to the socket that NOTIFY_SOCKET names.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends a state such as `READY=1`; nothing without a NOTIFY_SOCKET.
pub(super) fn send(state: &str) {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = to(name.as_bytes(), state)
    {
        tracing::warn!(%error, "NOTIFY_SOCKET");
    }
}

fn to(name: &[u8], state: &str) -> std::io::Result<()> {
    let addr = match name.split_first() {
        Some((b'@', rest)) => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &addr)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("fdfs-net-test-{}", std::process::id());
        let plain = UnixDatagram::bind(&path).unwrap();
        let hidden =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
        to(path.as_os_str().as_bytes(), "READY=1").unwrap();
        to(format!("@{name}").as_bytes(), "STOPPING=1").unwrap();
        let mut buf = [0; 32];
        let got = plain.recv(&mut buf).unwrap();
        assert_eq!(&buf[..got], b"READY=1");
        let got = hidden.recv(&mut buf).unwrap();
        assert_eq!(&buf[..got], b"STOPPING=1");
    }
}
