//! Asking a peer what it has, before files go that it may have by another way.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use fdfs_core::binlog::{Op, Record};
use fdfs_core::fileid::FileName;
use fdfs_core::wire::cmd;
use fdfs_core::wire::sync::Probe;
use fdfs_net::{CallError, CallErrorKind, Peer};

use super::peer::{connect, hello};
use crate::binlog::Item;
use crate::disk;
use crate::storage::Storage;

/// What is known of a record's file at the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// It was not asked.
    Nothing,
    /// It is not there, or not the same.
    Missing,
    /// Nothing is to be done.
    Same,
}

/// Lines of the log, and what the peer said of their files.
#[derive(Default)]
pub struct Prober {
    items: VecDeque<Item>,
    sizes: HashMap<String, i64>,
    peer: Option<Peer>,
}

impl Prober {
    /// Names in one question.
    pub const BATCH: usize = 512;

    pub fn pop(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Asks for the files of the records that are wanted.
    pub async fn ask(
        &mut self,
        storage: &Arc<Storage>,
        addr: SocketAddr,
        stream: u64,
        items: Vec<Item>,
        wanted: &[bool],
    ) -> Result<(), CallError> {
        self.sizes.clear();
        let mut body = storage.identity.group.field().raw().to_vec();
        let mut names: Vec<String> = Vec::new();
        for (item, _) in items.iter().zip(wanted).filter(|(_, wanted)| **wanted) {
            if let Ok(record) = &item.record
                && FileName::parse(record.name.as_bytes(), storage.paths.count()).is_ok()
            {
                Probe::put_name(&mut body, record.name.as_bytes());
                names.push(record.name.clone());
            }
        }
        self.items = items.into();
        if names.is_empty() {
            return Ok(());
        }
        let mut peer = match self.peer.take().filter(|peer| !peer.is_stale()) {
            Some(peer) => peer,
            None => {
                let mut peer = connect(storage, addr).await?;
                hello(storage, &mut peer, stream).await?;
                peer
            }
        };
        let answer = peer.ask(cmd::SYNC_PROBE, &body, names.len() * 8).await?;
        let sizes = answer.chunks_exact(8).filter_map(|size| Some(i64::from_be_bytes(*size.first_chunk()?)));
        self.sizes = names.into_iter().zip(sizes).collect();
        if answer.len() % 8 != 0 {
            let kind = CallErrorKind::BadAnswer("not 8 bytes for each name".into());
            return Err(CallError { addr, doing: "ask what the peer has", kind });
        }
        self.peer = Some(peer);
        Ok(())
    }

    /// What is known. An answer counts once: what is sent changes it.
    pub fn known(&mut self, storage: &Storage, record: &Record) -> Known {
        let Some(theirs) = self.sizes.remove(&record.name) else { return Known::Nothing };
        match (record.op, theirs) {
            // The old name may be there, or come by another way.
            (Op::Rename, _) if !record.replica => return Known::Nothing,
            (_, Probe::DELETED) => return Known::Same,
            // Its create may come later, from another member: the peer has to know.
            (Op::Delete, Probe::ABSENT) if !record.replica => return Known::Nothing,
            (Op::Delete, Probe::ABSENT) => return Known::Same,
            (_, Probe::ABSENT) => return Known::Missing,
            _ => {}
        }
        let Ok(name) = FileName::parse(record.name.as_bytes(), storage.paths.count()) else {
            return Known::Nothing;
        };
        let same_size = || {
            disk::lstat(&storage.paths, &name)
                .is_ok_and(|found| disk::is_file(&found) && i64::try_from(disk::size(&found)) == Ok(theirs))
        };
        match record.op {
            // A copy of another member's file: that member sends its changes itself.
            Op::Create | Op::Update | Op::Rename if record.replica => Known::Same,
            Op::Create if name.describes_content() && same_size() => Known::Same,
            _ => Known::Nothing,
        }
    }
}
