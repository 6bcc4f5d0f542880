//! The list of files of a store path, from a member that has them (command 26).

use std::fs::{self, File};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::{CallErrorKind, ConnError, Peer, Timeouts};

use super::Broken;
use super::source::Group;
use super::state::State;
use crate::storage::Storage;
use crate::sync::{bind_addr, timeouts};

/// The source reads its whole log before it is done.
const PATIENCE: Duration = Duration::from_secs(600);
/// Bytes behind the lines: their length.
const TRAILER: usize = 8;

/// Fetches it to the list of the first thread.
pub(super) async fn fetch(storage: &Arc<Storage>, state: &mut State, group: &Group) -> Result<(), Broken> {
    let mut last = Broken::Source("no other member is active".into());
    for &addr in &group.sources {
        let Timeouts { connect, network } = timeouts(storage);
        let patient = Timeouts { connect, network: network.max(PATIENCE) };
        let temp = state.dir().join(".binlog.recovery.tmp");
        let fetched = async {
            let peer = Peer::connect(addr, patient, bind_addr(storage)).await?;
            lines(storage, peer, state.path.byte(), File::create(&temp)?).await
        };
        match fetched.await {
            Ok(bytes) => {
                fs::rename(&temp, state.list(0))?;
                state.save_offset(0, 0)?;
                state.set_lists(1)?;
                tracing::info!(source = %addr, bytes, "the list of files to recover is here");
                return Ok(());
            }
            Err(error) => {
                let _ = fs::remove_file(&temp);
                last = error;
            }
        }
    }
    Err(last)
}

async fn lines(storage: &Storage, mut peer: Peer, path: u8, mut file: File) -> Result<u64, Broken> {
    let mut request = storage.identity.group.field().raw().to_vec();
    request.push(path);
    peer.send(Header::request(cmd::FETCH_ONE_PATH_BINLOG, request.len() as u64), &[&request]).await?;
    let head = peer.recv_head().await?;
    if head.status != 0 {
        let status = Status(head.status);
        return Err(Broken::Source(format!("{} answers {}", peer.addr(), status.text())));
    }
    let (mut held, mut written): (Vec<u8>, u64) = (Vec::new(), 0);
    loop {
        match peer.recv_chunk(64 << 10).await {
            Ok(bytes) => held.extend_from_slice(&bytes),
            Err(error) if matches!(error.kind, CallErrorKind::Conn(ConnError::Closed)) => break,
            Err(error) => return Err(error.into()),
        }
        let ready = held.len().saturating_sub(TRAILER);
        file.write_all(&held[..ready])?;
        written += ready as u64;
        held.drain(..ready);
    }
    let trailer: Option<[u8; TRAILER]> = held.as_slice().try_into().ok();
    if trailer.map(u64::from_be_bytes) != Some(written) {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the list of files is cut off").into());
    }
    file.sync_all()?;
    Ok(written)
}
