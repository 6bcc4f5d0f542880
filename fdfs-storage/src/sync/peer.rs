//! Connections to other servers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fdfs_core::wire::cmd;
use fdfs_core::wire::sync::{Hello, HelloAnswer};
use fdfs_net::{CallError, CallErrorKind, Peer, Timeouts};
use zerocopy::byteorder::big_endian::{U32, U64};
use zerocopy::{FromBytes, IntoBytes};

use crate::storage::Storage;

/// Version of the commands among members of this implementation.
pub const VERSION: u32 = 1;

/// Connects and says who we are.
pub async fn connect(storage: &Storage, addr: SocketAddr) -> Result<Peer, CallError> {
    let mut peer = Peer::connect(addr, timeouts(storage), bind_addr(storage)).await?;
    peer.ask(cmd::REPORT_SERVER_ID, storage.identity.id.field().as_bytes(), 0).await?;
    Ok(peer)
}

/// Asks whether the peer is of this implementation; `None`: it is not, and has closed the connection.
pub async fn hello(
    storage: &Storage,
    peer: &mut Peer,
    stream: u64,
) -> Result<Option<HelloAnswer>, CallError> {
    let hello = Hello {
        stream: U64::new(stream),
        version: U32::new(VERSION),
        group: storage.identity.group.field(),
        id: storage.identity.id.field(),
    };
    match peer.ask(cmd::SYNC_HELLO, hello.as_bytes(), 64).await {
        Ok(body) => Ok(HelloAnswer::read_from_prefix(&body).ok().map(|(answer, _)| answer)),
        Err(error) if error.status().is_some() => Ok(None),
        Err(error) if matches!(error.kind, CallErrorKind::BadAnswer(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Timeouts of connections to other servers.
pub fn timeouts(storage: &Storage) -> Timeouts {
    let connect = storage.settings.connect_timeout.duration().max(Duration::from_secs(1));
    Timeouts { connect, network: storage.settings.peer_timeout() }
}

/// Source address of connections to other servers.
pub fn bind_addr(storage: &Storage) -> Option<IpAddr> {
    let first = storage.settings.bind_addr.split(',').next()?.trim();
    first.parse().ok().filter(|_| storage.settings.client_bind)
}
