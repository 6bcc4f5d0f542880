//! Where to store and fetch, and the lists: answered from a snapshot (protocol 3.3 to 3.6).

use std::net::SocketAddr;

use bytes::{BufMut, BytesMut};
use fdfs_core::cluster::{FileFacts, Refusal, Rules, Storage};
use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::wire::query::{FetchTarget, StoreTarget, put_fetch_all, put_store_all};
use fdfs_core::wire::{AddrWidth, Status, cmd};
use zerocopy::IntoBytes;

use crate::owner::State;
use crate::service::{Request, Session, exact};

/// What is asked.
#[derive(Clone, Copy)]
pub enum Kind {
    /// Members that take a file: of the group that is named or chosen, one or all.
    Store { named: bool, all: bool },
    /// A member that has a file, or that changes it.
    Fetch,
    /// All members that have a file.
    FetchAll,
    /// A group.
    Group,
    /// All groups.
    Groups,
    /// Members of a group.
    Storages,
}

impl Kind {
    /// Of a command; `None`: it is no query.
    pub fn of(command: u8) -> Option<Self> {
        Some(match command {
            cmd::QUERY_STORE_WITHOUT_GROUP_ONE => Self::Store { named: false, all: false },
            cmd::QUERY_STORE_WITHOUT_GROUP_ALL => Self::Store { named: false, all: true },
            cmd::QUERY_STORE_WITH_GROUP_ONE => Self::Store { named: true, all: false },
            cmd::QUERY_STORE_WITH_GROUP_ALL => Self::Store { named: true, all: true },
            cmd::QUERY_FETCH_ONE | cmd::QUERY_UPDATE => Self::Fetch,
            cmd::QUERY_FETCH_ALL => Self::FetchAll,
            cmd::LIST_ONE_GROUP => Self::Group,
            cmd::LIST_ALL_GROUPS => Self::Groups,
            cmd::LIST_STORAGE => Self::Storages,
            _ => return None,
        })
    }
}

/// Answers a query of this kind.
pub fn answer(
    kind: Kind,
    state: &State,
    session: &Session,
    request: &Request<'_>,
    out: &mut BytesMut,
) -> Result<(), Refusal> {
    let query = Query { state, session, request };
    match kind {
        Kind::Store { named, all } => query.store(named, all, out),
        Kind::Fetch => query.fetch(out),
        Kind::FetchAll => query.fetch_all(out),
        Kind::Group => query.list_group(out),
        Kind::Groups => query.list_groups(out),
        Kind::Storages => query.list_storages(out),
    }
}

struct Query<'a> {
    state: &'a State,
    session: &'a Session,
    request: &'a Request<'a>,
}

/// A name that no group can have names an unknown group.
pub fn known_name(field: &[u8]) -> Result<GroupName, Refusal> {
    GroupName::from_field(field).map_err(|_| Refusal::new(Status::NOENT, "no group has such a name"))
}

/// Group and the text behind it, at most `most` bytes.
pub fn group_and_text(body: &[u8], most: usize) -> Result<(GroupName, &[u8]), Refusal> {
    let wrong = Refusal::new(Status::INVAL, "wrong body length");
    let (group, rest) = body.split_at_checked(16).ok_or(wrong)?;
    if rest.len() > most {
        return Err(wrong);
    }
    Ok((known_name(group)?, rest))
}

/// The optional storage id behind a group.
pub fn storage_id(text: &[u8]) -> Result<Option<StorageId>, Refusal> {
    StorageId::from_field(text).map_err(|_| Refusal::new(Status::NOENT, "no storage has such an id"))
}

impl Query<'_> {
    fn addr(&self, storage: &Storage) -> SocketAddr {
        storage.addr_for(self.session.peer.ip())
    }

    fn width(&self, rules: &Rules) -> AddrWidth {
        rules.width_for(self.session.peer.ip())
    }

    fn store(&self, named: bool, all: bool, out: &mut BytesMut) -> Result<(), Refusal> {
        let body = &self.request.body;
        exact(body, if named { 16 } else { 0 })?;
        let name = if named { Some(known_name(body)?) } else { None };
        let rules = &self.request.shared.rules();
        let choice = self.state.cluster.query_store(rules, name.as_ref(), all)?;
        let (group, path, width) = (choice.group.name, choice.path, self.width(rules));
        match choice.servers.as_slice() {
            [one] => StoreTarget { group, addr: self.addr(one), path }.put(out, width),
            several => {
                let addrs: Vec<SocketAddr> = several.iter().map(|storage| self.addr(storage)).collect();
                put_store_all(out, group, &addrs, path, width);
            }
        }
        Ok(())
    }

    fn file(&self) -> Result<(GroupName, FileFacts), Refusal> {
        let wrong = Refusal::new(Status::INVAL, "16 bytes of group and a name of 22 to 127 expected");
        let (group, name) = self.request.body.split_at_checked(16).ok_or(wrong)?;
        if !(22..=127).contains(&name.len()) {
            return Err(wrong);
        }
        Ok((known_name(group)?, FileFacts::of(name)))
    }

    fn fetch(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let (group, file) = self.file()?;
        let (cluster, rules) = (&self.state.cluster, &self.request.shared.rules());
        let storage = match self.request.cmd {
            cmd::QUERY_UPDATE => cluster.query_update(rules, &group, &file)?,
            _ => cluster.query_fetch(rules, crate::now(), &group, &file)?,
        };
        FetchTarget { group, addr: self.addr(storage) }.put(out, self.width(rules));
        Ok(())
    }

    fn fetch_all(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let (group, file) = self.file()?;
        let rules = &self.request.shared.rules();
        let found = self.state.cluster.query_fetch_all(rules, crate::now(), &group, &file)?;
        let addrs: Vec<SocketAddr> = found.into_iter().map(|storage| self.addr(storage)).collect();
        put_fetch_all(out, group, &addrs, self.width(rules), rules.fetch_all);
        Ok(())
    }

    fn list_group(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        exact(&self.request.body, 16)?;
        let name = known_name(&self.request.body)?;
        let group = self.state.cluster.group(&name).ok_or(Refusal::new(Status::NOENT, "unknown group"))?;
        out.put_slice(group.record(&self.request.shared.rules()).as_bytes());
        Ok(())
    }

    fn list_groups(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        exact(&self.request.body, 0)?;
        for group in self.state.cluster.groups() {
            out.put_slice(group.record(&self.request.shared.rules()).as_bytes());
        }
        Ok(())
    }

    fn list_storages(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let (name, text) = group_and_text(&self.request.body, 15)?;
        let id = storage_id(text)?;
        let rules = &self.request.shared.rules();
        let group = self.state.cluster.group(&name).ok_or(Refusal::new(Status::NOENT, "unknown group"))?;
        let (mut found, width) = (false, self.width(rules));
        for storage in group.storages().filter(|storage| id.is_none_or(|id| storage.id == id)) {
            group.storage_record(rules, storage, self.session.peer.ip()).put(out, width);
            found = true;
        }
        if id.is_some() && !found {
            return Err(Refusal::new(Status::NOENT, "unknown storage"));
        }
        Ok(())
    }
}
