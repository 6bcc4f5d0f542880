//! What a storage asks before it serves: its own addresses, the parameters, its id (storage 4 and 5).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use fdfs_core::fileid::Source;
use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::settings::{StorageIds, StorageSettings};
use fdfs_core::wire::report::MyIpRequest;
use fdfs_core::wire::{Text, cmd};
use fdfs_net::{CallError, CallErrorKind, Peer, Timeouts};
use zerocopy::IntoBytes;
use zerocopy::byteorder::big_endian::I32;

use crate::identity::{Identity, Params};

/// Between two rounds over the trackers.
const PAUSE: Duration = Duration::from_secs(1);

/// What the trackers said.
pub struct Bootstrap {
    /// Who this storage is.
    pub identity: Identity,
    /// What the trackers decide.
    pub params: Params,
}

/// Addresses of the trackers in the order of the file; names are resolved once.
pub fn resolve(settings: &StorageSettings) -> (Vec<SocketAddr>, Vec<String>) {
    let (mut addrs, mut unknown) = (Vec::new(), Vec::new());
    for tracker in &settings.tracker_server {
        // A tracker with two addresses is dialled at its first.
        let found = tracker.hosts.iter().find_map(|host| {
            (host.as_str(), tracker.port).to_socket_addrs().ok().and_then(|mut found| found.next())
        });
        match found {
            Some(addr) if !addrs.contains(&addr) => addrs.push(addr),
            Some(_) => {}
            None => unknown.push(tracker.to_string()),
        }
    }
    (addrs, unknown)
}

impl Bootstrap {
    /// Asks the trackers in turn until one has answered everything. An error is an answer that forbids to start.
    pub async fn ask(
        settings: &StorageSettings,
        trackers: &[SocketAddr],
        up_time: i64,
    ) -> Result<Self, String> {
        let mut said = String::new();
        loop {
            for &addr in trackers {
                match ask_one(settings, addr, up_time).await {
                    Ok(found) => return Ok(found),
                    Err(Failed::Call(error)) => {
                        let text = error.to_string();
                        if text != said {
                            tracing::warn!("no tracker has answered yet: {text}");
                            said = text;
                        }
                    }
                    Err(Failed::Refused(text)) => return Err(text),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

enum Failed {
    /// Try the next tracker.
    Call(CallError),
    /// No use to go on.
    Refused(String),
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

async fn ask_one(settings: &StorageSettings, addr: SocketAddr, up_time: i64) -> Result<Bootstrap, Failed> {
    let timeouts = Timeouts {
        connect: settings.connect_timeout.duration().clamp(Duration::from_secs(1), Duration::from_secs(5)),
        network: settings.peer_timeout(),
    };
    let bind = settings.bind_addr.split(',').next().and_then(|ip| ip.trim().parse().ok());
    let mut tracker = Peer::connect(addr, timeouts, bind.filter(|_| settings.client_bind)).await?;
    let text = tracker.ask(cmd::PARAMETER_REQ, b"", 4096).await?;
    let mut params = Params::parse(&String::from_utf8_lossy(&text));
    let group = match settings.group_name {
        Some(group) => group,
        None => group_of(&mut tracker, settings.port).await?,
    };
    let ips = own_ips(&mut tracker, group, settings.port).await?;
    let first = ips.first().copied().ok_or_else(|| bad(addr, "own address", "an empty answer"))?;
    let mut id = StorageId::new(first.to_string().as_bytes()).map_err(|_| {
        Failed::Refused(format!("the address {first} is too long for an id: use storage ids"))
    })?;
    if params.use_storage_id {
        id = own_id(&mut tracker, settings, group, first).await?;
        params.ids = all_ids(&mut tracker).await?;
    }
    let source = match (params.use_storage_id && params.id_in_names, first) {
        (true, _) => {
            let number = id.as_str().parse().ok().filter(|number| (1..=Source::ID_MAX).contains(number));
            Source::Id(number.ok_or_else(|| Failed::Refused(format!("{id} is no storage id")))?)
        }
        (false, IpAddr::V4(ip)) => Source::Ip(ip),
        (false, IpAddr::V6(ip)) => {
            let octets = ip.octets();
            Source::Ip(Ipv4Addr::new(octets[8], octets[9], octets[10], octets[11]))
        }
    };
    let identity = Identity { group, id, ips, port: settings.port, source, up_time };
    Ok(Bootstrap { identity, params })
}

async fn group_of(tracker: &mut Peer, port: u16) -> Result<GroupName, Failed> {
    let body = tracker.ask(cmd::GET_GROUP_NAME, &i32::from(port).to_be_bytes(), 64).await;
    let body = body.map_err(|error| match error.status() {
        Some(_) => Failed::Refused(format!("group_name is not configured, and no tracker knows it: {error}")),
        None => Failed::Call(error),
    })?;
    GroupName::from_field(&body).map_err(|_| bad(tracker.addr(), "group name", "no group name"))
}

async fn own_ips(tracker: &mut Peer, group: GroupName, port: u16) -> Result<Vec<IpAddr>, Failed> {
    let request = MyIpRequest { group: Text::cut(group.bytes()), port: I32::new(i32::from(port)) };
    let body = tracker.ask(cmd::GET_MY_IP, request.as_bytes(), 256).await?;
    let text = String::from_utf8_lossy(&body);
    let ips =
        text.trim_end_matches('\0').split(',').map(|ip| ip.trim().parse()).collect::<Result<Vec<_>, _>>();
    ips.map_err(|_| bad(tracker.addr(), "own address", "no address"))
}

/// By the configured number, or by the address and port.
async fn own_id(
    tracker: &mut Peer,
    settings: &StorageSettings,
    group: GroupName,
    ip: IpAddr,
) -> Result<StorageId, Failed> {
    if let Some(id) = settings.server_id.as_deref().filter(|id| !id.is_empty()) {
        return StorageId::new(id.as_bytes())
            .map_err(|_| Failed::Refused(format!("server_id {id} is no id")));
    }
    let mut request = group.field().raw().to_vec();
    request.extend_from_slice(SocketAddr::new(ip, settings.port).to_string().as_bytes());
    let body = tracker.ask(cmd::GET_SERVER_ID, &request, 64).await.map_err(|error| match error.status() {
        Some(_) => {
            Failed::Refused(format!("{ip}:{} of {group} is not in storage_ids.conf: {error}", settings.port))
        }
        None => Failed::Call(error),
    })?;
    let text = body.split(|&byte| byte == 0).next().unwrap_or_default();
    StorageId::new(text).map_err(|_| bad(tracker.addr(), "storage id", "no id"))
}

/// The whole `storage_ids.conf`, in as many answers as it takes (protocol 3.9).
async fn all_ids(tracker: &mut Peer) -> Result<StorageIds, Failed> {
    let (mut text, mut known) = (String::new(), 0i32);
    loop {
        let body = tracker.ask(cmd::FETCH_STORAGE_IDS, &known.to_be_bytes(), 1 << 20).await?;
        let head = body.first_chunk::<8>().copied();
        let Some([a, b, c, d, e, f, g, h]) = head else {
            return Err(bad(tracker.addr(), "storage ids", "too short"));
        };
        let (total, here) = (i32::from_be_bytes([a, b, c, d]), i32::from_be_bytes([e, f, g, h]));
        text += &String::from_utf8_lossy(body.get(8..).unwrap_or_default());
        known = known.saturating_add(here);
        if here <= 0 || known >= total {
            break;
        }
    }
    StorageIds::parse("storage ids of the tracker", &text)
        .map(|(ids, _)| ids)
        .map_err(|error| Failed::Refused(error.to_string()))
}

fn bad(addr: SocketAddr, doing: &'static str, what: &str) -> Failed {
    Failed::Call(CallError { addr, doing, kind: CallErrorKind::BadAnswer(what.to_owned()) })
}
