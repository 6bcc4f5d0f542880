//! Parameters, identities and statistics, answered from a snapshot (protocol 3.8 and 3.9, tracker 3.9).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use fdfs_core::cluster::{Group, PeerStatus, Refusal, Storage, storage_ids_page};
use fdfs_core::ident::{GroupName, StorageStatus};
use fdfs_core::settings::{StorageIdEntry, StorageIds};
use fdfs_core::wire::cluster_stat::{StorageStat, TrackerStat, VolumeStat};
use fdfs_core::wire::list::stat;
use fdfs_core::wire::{Status, Text, cmd};
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{I32, I64};

use crate::PROTOCOL_VERSION;
use crate::owner::State;
use crate::queries::known_name;
use crate::service::{Request, Session, exact};

/// Seconds after its last ping for which a follower counts as active.
const FOLLOWER_ACTIVE_S: i64 = 3;

/// Answers; `None` when the command is none of these.
pub fn answer(
    state: &State,
    session: &Session,
    request: &Request<'_>,
    out: &mut BytesMut,
) -> Option<Result<(), Refusal>> {
    let admin = Admin { state, session, request };
    Some(match request.cmd {
        cmd::PARAMETER_REQ => {
            exact(&request.body, 0).map(|()| out.put_slice(request.shared.params.load().as_bytes()))
        }
        cmd::FETCH_STORAGE_IDS => admin.storage_ids(out),
        cmd::GET_GROUP_NAME => admin.group_name(out),
        cmd::GET_SERVER_ID => admin.server_id(out),
        cmd::GET_STATUS => admin.storage_status(out),
        cmd::GET_MY_IP => admin.my_ip(out),
        cmd::GET_LEADER => admin.leader(out),
        cmd::TRACKER_GET_STATUS => admin.tracker_status(out),
        cmd::TRACKER_CLUSTER_STAT => admin.trackers(out),
        cmd::STORAGE_CLUSTER_STAT => admin.storages(out),
        cmd::STORAGE_VOLUMN_STAT => admin.volumes(out),
        cmd::FETCH_TRUNK_FID => admin.trunk_file_id(out),
        cmd::SYNC_DEST_QUERY => admin.recorded_source(out),
        cmd::EXPLAIN => crate::explain::answer(state, session.peer.ip(), request, out),
        _ => return None,
    })
}

/// This tracker's own status; unknown while it has no group.
pub fn own_status(state: &State, shared: &crate::service::Shared) -> Option<PeerStatus> {
    let running = crate::now().saturating_sub(shared.started);
    let status = PeerStatus::new(state.trackers.leading(), running, shared.restart_interval());
    (!state.cluster.is_empty()).then_some(status)
}

struct Admin<'a> {
    state: &'a State,
    session: &'a Session,
    request: &'a Request<'a>,
}

impl Admin<'_> {
    fn ids(&self) -> Option<Arc<StorageIds>> {
        self.request.shared.rules().ids.clone()
    }

    /// Versions before 6.12 leave out the last byte.
    fn storage_ids(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let wrong = Refusal::new(Status::INVAL, "wrong body length");
        let (start, rest) = self.request.body.split_first_chunk::<4>().ok_or(wrong)?;
        let allow_empty = match rest {
            [] => false,
            [flag] => *flag != 0,
            _ => return Err(wrong),
        };
        let Some(ids) = self.ids() else {
            if allow_empty {
                out.put_bytes(0, 8);
                return Ok(());
            }
            return Err(Refusal::new(Status::OPNOTSUPP, "storage ids are not in use"));
        };
        let start = usize::try_from(i32::from_be_bytes(*start)).unwrap_or(usize::MAX);
        if start >= ids.entries.len() {
            return Err(Refusal::new(Status::INVAL, "no such index"));
        }
        // The readers' buffers hold 8 KiB, less the two counts and the header.
        let (count, text) = storage_ids_page(&ids, start, 8000);
        out.put_i32(i32::try_from(ids.entries.len()).unwrap_or(i32::MAX));
        out.put_i32(i32::try_from(count).unwrap_or(i32::MAX));
        out.put_slice(text.as_bytes());
        Ok(())
    }

    fn group_name(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let ids = self.ids().ok_or(Refusal::new(Status::OPNOTSUPP, "storage ids are not in use"))?;
        let wrong = Refusal::new(Status::INVAL, "wrong body length");
        let (text, port) = self.request.body.split_last_chunk::<4>().ok_or(wrong)?;
        if text.len() >= 46 {
            return Err(Refusal::new(Status::NAMETOOLONG, "address text too long"));
        }
        let unknown = Refusal::new(Status::NOENT, "address is not in storage_ids.conf");
        let ip = match text {
            [] => self.session.peer.ip(),
            text => Text::<46>::cut(text).ip().ok_or(unknown)?,
        };
        let port = u16::try_from(i32::from_be_bytes(*port)).map_err(|_| unknown)?;
        let entry = by_addr(&ids, ip, port).ok_or(unknown)?;
        out.put_slice(entry.group.field().raw());
        Ok(())
    }

    /// `group 16 | ip:port` of commands 70 and 71.
    fn named_addr(&self) -> Result<(GroupName, SocketAddr), Refusal> {
        let bad = Refusal::new(Status::INVAL, "a group and ip:port expected");
        let (group, text) = self.request.body.split_at_checked(16).ok_or(bad)?;
        let addr = std::str::from_utf8(text).ok().filter(|text| text.len() <= 52);
        let addr = addr.and_then(|text| text.parse::<SocketAddr>().ok()).ok_or(bad)?;
        Ok((known_name(group)?, addr))
    }

    fn find(&self, group: &GroupName, addr: SocketAddr) -> Option<(&Group, &Storage)> {
        let found = self.state.cluster.group(group)?;
        let storage = match self.ids() {
            Some(ids) => {
                let entry = by_addr(&ids, addr.ip(), addr.port()).filter(|entry| entry.group == *group)?;
                found.storage(&entry.id)
            }
            None => found.storage(&addr.ip().to_string().parse().ok()?),
        };
        storage.map(|storage| (found, storage))
    }

    fn server_id(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let (group, addr) = self.named_addr()?;
        let Some(ids) = self.ids() else {
            out.put_slice(addr.ip().to_string().as_bytes());
            return Ok(());
        };
        let entry = by_addr(&ids, addr.ip(), addr.port())
            .filter(|entry| entry.group == group)
            .ok_or(Refusal::new(Status::NOENT, "address is not in storage_ids.conf"))?;
        out.put_slice(entry.id.bytes());
        Ok(())
    }

    fn storage_status(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let (group, addr) = self.named_addr()?;
        let (_, storage) = self.find(&group, addr).ok_or(Refusal::new(Status::NOENT, "unknown storage"))?;
        let mut brief = storage.brief(self.session.peer.ip());
        brief.ip = fdfs_core::wire::IpField::of(storage.ips.first().copied().unwrap_or(addr.ip()));
        out.put_slice(brief.as_bytes());
        Ok(())
    }

    /// Since 6.16 with a port, 21 bytes; before the group alone, 16.
    fn my_ip(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let body = &self.request.body;
        let peer = self.session.peer.ip();
        let port = match body.len() {
            16 => None,
            21 => body.last_chunk::<4>().and_then(|port| u16::try_from(i32::from_be_bytes(*port)).ok()),
            _ => return Err(Refusal::new(Status::INVAL, "wrong body length")),
        };
        let group = body.get(..16).map(known_name).transpose()?;
        let ids = self.ids();
        let port = port.unwrap_or(fdfs_core::settings::STORAGE_PORT);
        let entry = ids.as_deref().and_then(|ids| by_addr(ids, peer, port));
        match entry.filter(|entry| Some(entry.group) == group) {
            Some(entry) => {
                let ips: Vec<String> = entry.ips().map(|ip| ip.to_string()).collect();
                out.put_slice(ips.join(",").as_bytes());
            }
            None => out.put_slice(peer.to_string().as_bytes()),
        }
        Ok(())
    }

    fn leader(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        exact(&self.request.body, 0)?;
        let addr = self.state.trackers.leader_addr();
        let addr = addr.ok_or(Refusal::new(Status::NOENT, "no leader is known"))?;
        out.put_slice(addr.to_string().as_bytes());
        Ok(())
    }

    fn tracker_status(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        exact(&self.request.body, 0)?;
        let status = own_status(self.state, self.request.shared);
        out.put_slice(&status.ok_or(Refusal::new(Status::NOENT, "no group is known"))?.encode());
        Ok(())
    }

    fn trackers(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        exact(&self.request.body, 3)?;
        let &[by, active_only, leader_only] = self.request.body.as_ref() else { return Ok(()) };
        if !self.state.trackers.leading() {
            return Err(Refusal::new(Status::OPNOTSUPP, "this tracker does not lead"));
        }
        let (shared, now, at) = (self.request.shared, crate::now(), out.len());
        out.put_u8(0);
        let mut count = 0u8;
        for tracker in self.state.trackers.list() {
            let addr = tracker.first();
            let leads = self.state.trackers.leader_addr() == Some(addr);
            let mut told = self.state.followers.get(&addr).copied().unwrap_or_default();
            if leads {
                told.connections = shared.connections.figures();
                told.version = version();
                (told.up_time, told.last_ping) = (shared.started, now);
            }
            let active = leads || now.saturating_sub(told.last_ping) <= FOLLOWER_ACTIVE_S;
            let dropped =
                (by & 1 != 0 && active != (active_only != 0)) || (by & 2 != 0 && leads != (leader_only != 0));
            if dropped {
                continue;
            }
            count = count.saturating_add(1);
            let stat = TrackerStat {
                host: host(addr),
                is_leader: leads.into(),
                is_active: active.into(),
                connections: told.connections.map(I32::new),
                version: Text::cut(&told.version),
                up_time: I64::new(told.up_time),
                last_heartbeat: I64::new(told.last_ping),
            };
            out.put_slice(stat.as_bytes());
        }
        set(out, at, &[count]);
        Ok(())
    }

    fn storages(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        exact(&self.request.body, 4)?;
        let &[by, op, status, trunk] = self.request.body.as_ref() else { return Ok(()) };
        let conf = &self.request.shared.conf;
        out.put_slice(&[u8::from(conf.use_storage_id), u8::from(conf.use_trunk_file)]);
        let (at, mut count) = (out.len(), 0i32);
        out.put_i32(0);
        for group in self.state.cluster.groups() {
            for storage in group.storages() {
                let is_trunk = group.trunk_server == Some(storage.id);
                let same = storage.status.wire() == status;
                let by_status = if op == b'!' { !same } else { same };
                if (by & 1 != 0 && is_trunk != (trunk != 0)) || (by & 2 != 0 && !by_status) {
                    continue;
                }
                count = count.saturating_add(1);
                let told = StorageStat {
                    id: storage.id.field(),
                    host: host(storage.addr_for(self.session.peer.ip())),
                    is_trunk_server: is_trunk.into(),
                    status: storage.status.wire(),
                    connections: storage.stat.connections,
                    version: Text::cut(storage.version.raw()),
                    up_time: I64::new(storage.up_time),
                    last_heartbeat: storage.stat.counters[stat::LAST_HEART_BEAT],
                };
                out.put_slice(told.as_bytes());
            }
        }
        set(out, at, &count.to_be_bytes());
        Ok(())
    }

    fn volumes(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        exact(&self.request.body, 4)?;
        let &[by, disk_only, trunk_only, space_only] = self.request.body.as_ref() else { return Ok(()) };
        let rules = &self.request.shared.rules();
        out.put_u8(u8::from(rules.use_trunk));
        let (at, mut count) = (out.len(), 0i32);
        out.put_i32(0);
        for group in self.state.cluster.groups() {
            let (reserved, available, disk, trunk) = group.volume(rules);
            let dropped = (by & 1 != 0 && disk != (disk_only != 0))
                || (by & 2 != 0 && trunk != (trunk_only != 0))
                || (by & 4 != 0 && (disk || trunk) != (space_only != 0));
            if dropped {
                continue;
            }
            count = count.saturating_add(1);
            let told = VolumeStat {
                name: Text::cut(group.name.bytes()),
                total_mb: I64::new(group.total_mb),
                free_mb: I64::new(group.free_mb),
                reserved_mb: I64::new(reserved),
                available_mb: I64::new(available),
                trunk_free_mb: I64::new(group.trunk_free_mb),
                disk_available: disk.into(),
                trunk_available: trunk.into(),
            };
            out.put_slice(told.as_bytes());
        }
        set(out, at, &count.to_be_bytes());
        Ok(())
    }

    fn trunk_file_id(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let who = self.session.storage()?;
        exact(&self.request.body, 0)?;
        let group = self.state.cluster.group(&who.group);
        out.put_i32(group.and_then(|group| i32::try_from(group.trunk_file_id).ok()).unwrap_or(0));
        Ok(())
    }

    fn recorded_source(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let who = self.session.storage()?;
        exact(&self.request.body, 0)?;
        if let Some(source) = self.state.cluster.recorded_source(&who)? {
            out.put_slice(source.as_bytes());
        }
        Ok(())
    }
}

/// The entry of an address; ports count when they are written, else any storage has the usual one.
fn by_addr(ids: &StorageIds, ip: IpAddr, port: u16) -> Option<&StorageIdEntry> {
    ids.by_addr(ip, port)
}

/// A `host` field of 52 bytes.
fn host(addr: SocketAddr) -> Text<52> {
    Text::cut(addr.to_string().as_bytes())
}

/// Overwrites a count once it is known.
fn set(out: &mut BytesMut, at: usize, count: &[u8]) {
    if let Some(field) = out.get_mut(at..at + count.len()) {
        field.copy_from_slice(count);
    }
}

/// The version field.
pub fn version() -> [u8; 8] {
    *Text::<8>::cut(PROTOCOL_VERSION.as_bytes()).raw()
}

/// Whether a member counts as in service, for the state that is dumped into the log.
pub fn dump(state: &State) {
    for group in state.cluster.groups() {
        for storage in group.storages() {
            let active = storage.status == StorageStatus::Active;
            tracing::info!(group = %group.name, id = %storage.id, status = %storage.status, active,
                last_beat = storage.last_beat(), synced = storage.last_synced(), free_mb = storage.free_mb, "member");
        }
    }
    for tracker in state.trackers.list() {
        tracing::info!(tracker = %tracker.first(), leader = ?state.trackers.leader_addr(), "tracker");
    }
}
