//! What a storage asks before it serves: its own addresses, the parameters, its id (storage 4 and 5).

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::settings::StorageSettings;
use fdfs_core::wire::cmd;
use fdfs_core::wire::identity::{GroupOf, IdsLines, IdsPage, MyIp, NamedAddr};
use fdfs_net::{CallError, CallErrorKind, Peer, Timeouts};

use super::answers::Answers;
use crate::identity::{Identity, Params};

/// Between two rounds over the trackers.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest wait for the trackers when what they say was kept.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is known before this storage serves.
pub struct Bootstrap {
    /// Who this storage is.
    pub identity: Identity,
    /// What the trackers decide.
    pub params: Params,
    /// What they said.
    pub answers: Answers,
    /// It was said at an earlier start: no tracker has answered yet.
    pub remembered: bool,
}

/// The addresses of one tracker, the first of which stands for it.
pub type TrackerAddrs = Vec<SocketAddr>;

/// Addresses of the trackers in the order of the file, and the names without one; names are resolved once.
pub fn resolve(settings: &StorageSettings) -> (Vec<TrackerAddrs>, Vec<String>) {
    let (mut all, mut unknown): (Vec<TrackerAddrs>, Vec<String>) = (Vec::new(), Vec::new());
    for tracker in &settings.tracker_server {
        let found = tracker.hosts.iter().filter_map(|host| {
            (host.as_str(), tracker.port).to_socket_addrs().ok().and_then(|mut found| found.next())
        });
        let found: TrackerAddrs = found.collect();
        match found.first() {
            None => unknown.push(tracker.to_string()),
            Some(_) if all.iter().flatten().any(|known| found.contains(known)) => {}
            Some(_) => all.push(found),
        }
    }
    (all, unknown)
}

impl Bootstrap {
    /// Asks the trackers in turn until one has answered everything. When none does, what was said at an earlier start
    /// counts. An error is an answer that forbids to start.
    pub async fn ask(
        settings: &StorageSettings,
        trackers: &[TrackerAddrs],
        up_time: i64,
        remembered: Option<Answers>,
    ) -> Result<Self, String> {
        let Some(answers) = remembered else {
            let answers = ask_all(settings, trackers, true).await?;
            return Self::from(answers.ok_or("no tracker")?, up_time, false);
        };
        match tokio::time::timeout(PATIENCE, ask_all(settings, trackers, false)).await {
            Ok(Ok(Some(answers))) => Self::from(answers, up_time, false),
            Ok(Err(text)) => Err(text),
            Ok(Ok(None)) | Err(_) => Self::from(answers, up_time, true),
        }
    }

    fn from(answers: Answers, up_time: i64, remembered: bool) -> Result<Self, String> {
        let params = answers.params()?;
        let identity = answers.identity(&params, up_time)?;
        Ok(Self { identity, params, answers, remembered })
    }
}

/// One round over the trackers, or as many as it takes.
async fn ask_all(
    settings: &StorageSettings,
    trackers: &[TrackerAddrs],
    for_ever: bool,
) -> Result<Option<Answers>, String> {
    let mut said = String::new();
    loop {
        for &addr in trackers.iter().flatten() {
            match ask_one(settings, addr).await {
                Ok(found) => return Ok(Some(found)),
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
        if !for_ever {
            return Ok(None);
        }
        tokio::time::sleep(PAUSE).await;
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

async fn ask_one(settings: &StorageSettings, addr: SocketAddr) -> Result<Answers, Failed> {
    let timeouts = Timeouts {
        connect: settings.connect_timeout.duration().clamp(Duration::from_secs(1), Duration::from_secs(5)),
        network: settings.peer_timeout(),
    };
    let bind = settings.bind_addr.split(',').next().and_then(|ip| ip.trim().parse().ok());
    let mut tracker = Peer::connect(addr, timeouts, bind.filter(|_| settings.client_bind)).await?;
    let text = tracker.ask(cmd::PARAMETER_REQ, b"", 4096).await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let params = Params::parse(&text);
    let group = match settings.group_name {
        Some(group) => group,
        None => group_of(&mut tracker, settings.port).await?,
    };
    let ips = own_ips(&mut tracker, group, settings.port).await?;
    let first = ips.first().copied().ok_or_else(|| bad(addr, "own address", "an empty answer"))?;
    let (id, ids) = if params.use_storage_id {
        let id = own_id(&mut tracker, settings, &params, group, first).await?;
        (id, all_ids(&mut tracker).await?)
    } else {
        let id = StorageId::new(first.to_string().as_bytes()).map_err(|_| {
            Failed::Refused(format!("the address {first} is too long for an id: use storage ids"))
        })?;
        (id, String::new())
    };
    Ok(Answers { group, id, ips, port: settings.port, params: text, ids })
}

async fn group_of(tracker: &mut Peer, port: u16) -> Result<GroupName, Failed> {
    let mut request = Vec::new();
    GroupOf { ip: &[], port: Some(port) }.put(&mut request);
    let body = tracker.ask(cmd::GET_GROUP_NAME, &request, 64).await;
    let body = body.map_err(|error| match error.status() {
        Some(_) => Failed::Refused(format!("group_name is not configured, and no tracker knows it: {error}")),
        None => Failed::Call(error),
    })?;
    GroupName::from_field(&body).map_err(|_| bad(tracker.addr(), "group name", "no group name"))
}

pub(super) async fn own_ips(
    tracker: &mut Peer,
    group: GroupName,
    port: u16,
) -> Result<Vec<IpAddr>, CallError> {
    let mut request = Vec::new();
    MyIp { group: Some(group), port: Some(port) }.put(&mut request);
    let body = tracker.ask(cmd::GET_MY_IP, &request, 256).await?;
    let text = String::from_utf8_lossy(&body);
    let ips =
        text.trim_end_matches('\0').split(',').map(|ip| ip.trim().parse()).collect::<Result<Vec<_>, _>>();
    ips.map_err(|_| bad_call(tracker.addr(), "own address", "no address"))
}

/// By the configured number, or by the address and port.
async fn own_id(
    tracker: &mut Peer,
    settings: &StorageSettings,
    params: &Params,
    group: GroupName,
    ip: IpAddr,
) -> Result<StorageId, Failed> {
    let configured = settings.server_id.as_deref().filter(|id| !id.is_empty());
    if configured.is_some() && !params.trust_server_id {
        tracing::warn!("server_id is not taken: the trackers have trust_storage_server_id = false");
    }
    if let Some(id) = configured.filter(|_| params.trust_server_id) {
        return StorageId::new(id.as_bytes())
            .map_err(|_| Failed::Refused(format!("server_id {id} is no id")));
    }
    let mut request = Vec::new();
    NamedAddr { group: Some(group), ip: Some(ip), port: Some(settings.port) }.put(&mut request);
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
pub(super) async fn all_ids(tracker: &mut Peer) -> Result<String, CallError> {
    let (mut text, mut known) = (String::new(), 0);
    loop {
        let mut request = Vec::new();
        IdsPage { start: Some(known), allow_empty: false }.put(&mut request);
        let body = tracker.ask(cmd::FETCH_STORAGE_IDS, &request, 1 << 20).await?;
        let page = IdsLines::parse(&body);
        let page = page.map_err(|bad| bad_call(tracker.addr(), "storage ids", &bad.to_string()))?;
        text += &String::from_utf8_lossy(page.lines);
        known = known.saturating_add(page.here);
        if page.here == 0 || known >= page.total {
            break;
        }
    }
    Ok(text)
}

fn bad_call(addr: SocketAddr, doing: &'static str, what: &str) -> CallError {
    CallError { addr, doing, kind: CallErrorKind::BadAnswer(what.to_owned()) }
}

fn bad(addr: SocketAddr, doing: &'static str, what: &str) -> Failed {
    Failed::Call(bad_call(addr, doing, what))
}
