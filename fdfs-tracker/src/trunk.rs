//! The election of trunk servers by the leader (tracker 7.5, trunk 11): a task beside the one that watches the trackers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fdfs_core::cluster::{Effects, Rules, TrunkNeed, trunk_winner};
use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::wire::cmd;
use fdfs_net::CancellationToken;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::link::connect;
use crate::owner::State;
use crate::service::Shared;

/// Period of the look at the groups.
const TICK: Duration = Duration::from_secs(1);
/// Longest wait for a storage.
const STORAGE_TIME: Duration = Duration::from_secs(2);
/// Log of the changes, in `base_path/logs`.
const LOG_FILE: &str = "trunk_server_change.log";

/// Looks for groups that need a trunk server, until `stop`.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    // Change counter of the group at the last attempt, which is repeated when that moves on, or after `check_active_interval`.
    let mut tried: HashMap<GroupName, (u32, Instant)> = HashMap::new();
    let mut watched_since = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
        let (view, rules) = (shared.owner.view().clone(), shared.rules.load_full());
        if !view.trackers.leading() || !rules.use_trunk {
            tried.clear();
            watched_since = None;
            continue;
        }
        let since = *watched_since.get_or_insert_with(crate::now);
        let again = Duration::from_secs(u64::try_from(rules.check_active).unwrap_or(1));
        for group in view.cluster.groups() {
            let Some(need) = group.trunk_need(&rules, crate::now(), since) else {
                tried.remove(&group.name);
                continue;
            };
            let known = tried.get(&group.name);
            if known.is_some_and(|(chg, at)| *chg == group.chg && at.elapsed() < again) {
                continue;
            }
            tried.insert(group.name, (group.chg, Instant::now()));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                _ = elect(&shared, &rules, group.name, need) => {}
            }
        }
    }
}

/// Elects; answers the trunk server. Storages are asked side by side, so that it ends within seconds.
pub async fn elect(
    shared: &Arc<Shared>,
    rules: &Rules,
    name: GroupName,
    need: TrunkNeed,
) -> Option<StorageId> {
    let view = shared.owner.view().clone();
    let group = view.cluster.group(&name)?;
    let asked: Vec<(StorageId, SocketAddr)> = group
        .trunk_candidates(rules, need)
        .into_iter()
        .map(|member| (member.id, SocketAddr::new(member.ip(), member.port)))
        .collect();
    let winner = trunk_winner(&sizes(shared, &asked).await);
    let addr = |id| asked.iter().find(|(asked, _)| *asked == id).map(|(_, addr)| *addr);
    let Some((winner, addr)) = winner.and_then(|id| Some((id, addr(id)?))) else {
        tracing::warn!(
            "group: {name}, no trunk server can be elected: the first candidate does not tell its trunk binlog"
        );
        if need == TrunkNeed::Lost {
            appoint(shared, name, group.trunk_server, None).await;
        }
        return None;
    };
    // Its marks are of a time when it was trunk server before.
    if group.last_trunk_server.is_some_and(|last| last != winner)
        && ask(shared, addr, cmd::TRUNK_DELETE_BINLOG_MARKS, 0).await.is_none()
    {
        tracing::warn!(
            "group: {name}, {winner} cannot become trunk server: it does not delete the marks of its trunk binlog"
        );
        return None;
    }
    appoint(shared, name, group.trunk_server, Some(winner)).await.then_some(winner)
}

/// Makes `new` the trunk server, if `old` still is it and nothing speaks against it any more; and notes it.
async fn appoint(
    shared: &Arc<Shared>,
    name: GroupName,
    old: Option<StorageId>,
    new: Option<StorageId>,
) -> bool {
    let rules = shared.rules.load_full();
    let change = move |state: &mut State, out: &mut Effects| {
        let group = state.cluster.group(&name).filter(|group| group.trunk_server == old)?;
        let fits = new.is_none_or(|id| group.fits_as_trunk_server(&id));
        if !fits || !state.trackers.leading() {
            return None;
        }
        state.set_trunk_server(&rules, name, new, out)
    };
    let changed = shared.owner.apply(change).await.ok().flatten();
    changed.map(|line| note(shared, line)).is_some()
}

impl State {
    /// Sets it, and counts the change; answers the line for the log of changes, without its time.
    pub fn set_trunk_server(
        &mut self,
        rules: &Rules,
        name: GroupName,
        new: Option<StorageId>,
        out: &mut Effects,
    ) -> Option<String> {
        let group = self.cluster.group(&name)?;
        let (old, last) = (group.trunk_server, group.last_trunk_server);
        let text = |id| group.trunk_name(rules, id);
        let line = format!("{name}  {}  =>  {}", text(last), text(new));
        self.cluster.set_trunk_server(&name, new, out).ok()?;
        if new.is_none() {
            self.cluster.forget_last_trunk_server(&name);
        }
        if old != new {
            self.trunk_chg = self.trunk_chg.wrapping_add(1);
        }
        Some(if last == new { String::new() } else { line })
    }
}

/// Appends a line to the log of changes; a disk that does not take it holds nobody up.
pub fn note(shared: &Arc<Shared>, line: String) {
    if line.is_empty() {
        return;
    }
    let folder = std::path::Path::new(&shared.conf.base_path).join("logs");
    let line = format!("[{}] {line}\n", fdfs_net::log::local_time());
    let write = move || {
        use std::io::Write;
        let done = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::OpenOptions::new().append(true).create(true).open(folder.join(LOG_FILE)))
            .and_then(|mut file| file.write_all(line.as_bytes()));
        if let Err(error) = done {
            tracing::warn!(%error, "{LOG_FILE} cannot be written");
        }
    };
    drop(tokio::task::spawn_blocking(write));
}

/// The sizes of the trunk binlogs, in the order of `asked`.
async fn sizes(shared: &Arc<Shared>, asked: &[(StorageId, SocketAddr)]) -> Vec<(StorageId, Option<i64>)> {
    let mut calls = JoinSet::new();
    for (at, (id, addr)) in asked.iter().copied().enumerate() {
        let shared = Arc::clone(shared);
        calls.spawn(async move {
            let answer = ask(&shared, addr, cmd::TRUNK_GET_BINLOG_SIZE, 8).await;
            let size = answer.and_then(|body| Some(i64::from_be_bytes(*body.first_chunk()?)));
            (at, id, size.filter(|size| *size >= 0))
        });
    }
    let mut made = calls.join_all().await;
    made.sort_by_key(|(at, ..)| *at);
    made.into_iter().map(|(_, id, size)| (id, size)).collect()
}

/// One empty request to a storage.
async fn ask(shared: &Shared, addr: SocketAddr, command: u8, max: usize) -> Option<bytes::Bytes> {
    let talk = async {
        let mut peer = connect(shared, addr).await?;
        peer.ask(command, &[], max).await
    };
    match timeout(STORAGE_TIME, talk).await {
        Ok(Ok(body)) => Some(body),
        Ok(Err(error)) => {
            tracing::warn!(%error, command, "a storage does not answer for the election of a trunk server");
            None
        }
        Err(_) => {
            tracing::warn!(%addr, command, "a storage does not answer in time for the election of a trunk server");
            None
        }
    }
}
