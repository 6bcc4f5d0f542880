//! Parameters, identities and statistics, answered from a snapshot (protocol 3.8 and 3.9, tracker 3.9).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use fdfs_core::cluster::{PeerStatus, Refusal, storage_ids_page};
use fdfs_core::ident::{GroupName, StorageId, StorageStatus};
use fdfs_core::settings::{STORAGE_PORT, StorageIds};
use fdfs_core::wire::cluster_stat::{StorageStat, StorageStats, TrackerStat, VolumeStat, VolumeStats};
use fdfs_core::wire::identity::{GroupOf, IdsLines, IdsPage, MyIp, NamedAddr};
use fdfs_core::wire::list::stat;
use fdfs_core::wire::{Status, Text, cmd};
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::{I32, I64};

use crate::PROTOCOL_VERSION;
use crate::owner::State;
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

    fn storage_ids(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let asked = IdsPage::parse(&self.request.body)?;
        let Some(ids) = self.ids() else {
            if asked.allow_empty {
                IdsLines { total: 0, here: 0, lines: &[] }.put(out);
                return Ok(());
            }
            return Err(Refusal::new(Status::OPNOTSUPP, "storage ids are not in use"));
        };
        let start = asked.start.filter(|start| *start < ids.entries.len());
        let start = start.ok_or(Refusal::new(Status::INVAL, "no such index"))?;
        // The readers' buffers hold 8 KiB, less the two counts and the header.
        let (count, text) = storage_ids_page(&ids, start, 8000);
        IdsLines { total: ids.entries.len(), here: count, lines: text.as_bytes() }.put(out);
        Ok(())
    }

    fn group_name(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let ids = self.ids().ok_or(Refusal::new(Status::OPNOTSUPP, "storage ids are not in use"))?;
        let asked = GroupOf::parse(&self.request.body)?;
        if asked.ip.len() >= 46 {
            return Err(Refusal::new(Status::NAMETOOLONG, "address text too long"));
        }
        let unknown = Refusal::new(Status::NOENT, "address is not in storage_ids.conf");
        let ip = match asked.ip {
            [] => self.session.peer.ip(),
            _ => asked.addr().ok_or(unknown)?,
        };
        let entry = asked.port.and_then(|port| ids.by_addr(ip, port)).ok_or(unknown)?;
        out.put_slice(entry.group.field().raw());
        Ok(())
    }

    /// The storage that commands 70 and 71 name, and its address. Without a port, as before 6.16, the usual one is meant,
    /// or the only one of the address.
    fn named(&self) -> Result<(GroupName, IpAddr, Option<StorageId>), Refusal> {
        let asked = NamedAddr::parse(&self.request.body)?;
        let group = asked.group.ok_or(Refusal::new(Status::NOENT, "no group has such a name"))?;
        let ip = asked.ip.unwrap_or(self.session.peer.ip());
        let Some(ids) = self.ids() else {
            return Ok((group, ip, StorageId::new(ip.to_string().as_bytes()).ok()));
        };
        let usual = ids.by_addr(ip, asked.port.unwrap_or(STORAGE_PORT)).filter(|entry| entry.group == group);
        let mut here =
            ids.entries.iter().filter(|entry| entry.group == group && entry.ips().any(|own| own == ip));
        let only = here.next().filter(|_| asked.port.is_none() && here.next().is_none());
        Ok((group, ip, usual.or(only).map(|entry| entry.id)))
    }

    fn server_id(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let (_, ip, id) = self.named()?;
        match self.ids() {
            None => out.put_slice(ip.to_string().as_bytes()),
            Some(_) => {
                let unknown = Refusal::new(Status::NOENT, "address is not in storage_ids.conf");
                out.put_slice(id.ok_or(unknown)?.bytes());
            }
        }
        Ok(())
    }

    fn storage_status(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let (group, ip, id) = self.named()?;
        let storage = id.and_then(|id| self.state.cluster.group(&group)?.storage(&id));
        let storage = storage.ok_or(Refusal::new(Status::NOENT, "unknown storage"))?;
        let mut brief = storage.brief(self.session.peer.ip());
        brief.ip = fdfs_core::wire::IpField::of(storage.ips.first().copied().unwrap_or(ip));
        out.put_slice(brief.as_bytes());
        Ok(())
    }

    fn my_ip(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        let asked = MyIp::parse(&self.request.body)?;
        let group = asked.group.ok_or(Refusal::new(Status::NOENT, "no group has such a name"))?;
        let (peer, ids) = (self.session.peer.ip(), self.ids());
        let port = asked.port.unwrap_or(STORAGE_PORT);
        let entry = ids.as_deref().and_then(|ids| ids.by_addr(peer, port));
        match entry.filter(|entry| entry.group == group) {
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
        let (shared, now) = (self.request.shared, crate::now());
        let mut all = Vec::new();
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
            all.push(TrackerStat {
                host: host(addr),
                is_leader: leads.into(),
                is_active: active.into(),
                connections: told.connections.map(I32::new),
                version: Text::cut(&told.version),
                up_time: I64::new(told.up_time),
                last_heartbeat: I64::new(told.last_ping),
            });
        }
        TrackerStat::put_all(&all, out);
        Ok(())
    }

    fn storages(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        exact(&self.request.body, 4)?;
        let &[by, op, status, trunk] = self.request.body.as_ref() else { return Ok(()) };
        let conf = &self.request.shared.conf;
        let mut storages = Vec::new();
        for group in self.state.cluster.groups() {
            for storage in group.storages() {
                let is_trunk = group.trunk_server == Some(storage.id);
                let same = storage.status.wire() == status;
                let by_status = if op == b'!' { !same } else { same };
                if (by & 1 != 0 && is_trunk != (trunk != 0)) || (by & 2 != 0 && !by_status) {
                    continue;
                }
                storages.push(StorageStat {
                    id: storage.id.field(),
                    host: host(storage.addr_for(self.session.peer.ip())),
                    is_trunk_server: is_trunk.into(),
                    status: storage.status.wire(),
                    connections: storage.stat.connections,
                    version: Text::cut(storage.version.raw()),
                    up_time: I64::new(storage.up_time),
                    last_heartbeat: storage.stat.counters[stat::LAST_HEART_BEAT],
                });
            }
        }
        StorageStats { storage_ids: conf.use_storage_id, trunk: conf.use_trunk_file, storages }.put(out);
        Ok(())
    }

    fn volumes(&self, out: &mut BytesMut) -> Result<(), Refusal> {
        exact(&self.request.body, 4)?;
        let &[by, disk_only, trunk_only, space_only] = self.request.body.as_ref() else { return Ok(()) };
        let rules = &self.request.shared.rules();
        let mut volumes = Vec::new();
        for group in self.state.cluster.groups() {
            let (reserved, available, disk, trunk) = group.volume(rules);
            let dropped = (by & 1 != 0 && disk != (disk_only != 0))
                || (by & 2 != 0 && trunk != (trunk_only != 0))
                || (by & 4 != 0 && (disk || trunk) != (space_only != 0));
            if dropped {
                continue;
            }
            volumes.push(VolumeStat {
                name: Text::cut(group.name.bytes()),
                total_mb: I64::new(group.total_mb),
                free_mb: I64::new(group.free_mb),
                reserved_mb: I64::new(reserved),
                available_mb: I64::new(available),
                trunk_free_mb: I64::new(group.trunk_free_mb),
                disk_available: disk.into(),
                trunk_available: trunk.into(),
            });
        }
        VolumeStats { trunk: rules.use_trunk, volumes }.put(out);
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

/// A `host` field of 52 bytes.
fn host(addr: SocketAddr) -> Text<52> {
    Text::cut(addr.to_string().as_bytes())
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
