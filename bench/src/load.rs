//! Load on one storage: connections that each do one operation after the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use fdfs_core::ident::{Extension, GroupName};
use fdfs_core::wire::storage::{Download, GroupAndName, Upload};
use fdfs_core::wire::{Header, cmd};
use fdfs_net::{CallError, Peer, Timeouts};
use tokio::task::LocalSet;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Upload of a new file.
    Upload,
    /// Download of a file that is in the page cache.
    Download,
    /// A request without work, the floor of the protocol.
    ActiveTest,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The storage.
    pub addr: SocketAddr,
    /// What is done.
    pub operation: Operation,
    /// Operations over all connections.
    pub operations: usize,
    /// Connections.
    pub connections: usize,
    /// Bytes of a file.
    pub size: usize,
}

/// What it took.
#[derive(Debug, Clone)]
pub struct Taken {
    /// From the first request to the last answer.
    pub time: Duration,
    /// Of each operation, sorted.
    pub latencies: Vec<Duration>,
}

impl Taken {
    /// Operations a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.time.as_secs_f64()
    }

    /// The latency that `percent` of the operations did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl Load {
    /// Runs it on this thread. For downloads, one file for each connection is uploaded before.
    pub fn run(self) -> Result<Taken, CallError> {
        let failed = |error: std::io::Error| CallError {
            addr: self.addr,
            doing: "start",
            kind: fdfs_net::CallErrorKind::Conn(error.into()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        LocalSet::new().block_on(&runtime, self.all())
    }

    async fn all(self) -> Result<Taken, CallError> {
        let mut peers = Vec::new();
        for _ in 0..self.connections {
            let wait = Duration::from_secs(30);
            let mut peer = Peer::connect(self.addr, Timeouts { connect: wait, network: wait }, None).await?;
            let content = vec![7; self.size];
            let request = match self.operation {
                Operation::Upload => upload(&content),
                Operation::Download => {
                    send(&mut peer, cmd::UPLOAD_FILE, &upload(&content)).await?;
                    let answer = peer.recv(256).await?;
                    download(&answer.body)
                }
                Operation::ActiveTest => Vec::new(),
            };
            peers.push((peer, request));
        }
        let began = Instant::now();
        let each = self.operations / self.connections.max(1);
        let tasks: Vec<_> = peers
            .into_iter()
            .map(|(peer, request)| tokio::task::spawn_local(self.one(peer, request, each)))
            .collect();
        let mut latencies = Vec::with_capacity(self.operations);
        for task in tasks {
            if let Ok(done) = task.await {
                latencies.extend(done?);
            }
        }
        let time = began.elapsed();
        latencies.sort();
        Ok(Taken { time, latencies })
    }

    async fn one(self, mut peer: Peer, request: Vec<u8>, count: usize) -> Result<Vec<Duration>, CallError> {
        let command = match self.operation {
            Operation::Upload => cmd::UPLOAD_FILE,
            Operation::Download => cmd::DOWNLOAD_FILE,
            Operation::ActiveTest => cmd::ACTIVE_TEST,
        };
        let mut latencies = Vec::with_capacity(count);
        for _ in 0..count {
            let began = Instant::now();
            send(&mut peer, command, &request).await?;
            let mut left = peer.recv_head().await?.body().unwrap_or(0);
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                left -= peer.recv_chunk(most.min(256 << 10)).await?.len() as u64;
            }
            latencies.push(began.elapsed());
        }
        Ok(latencies)
    }
}

async fn send(peer: &mut Peer, command: u8, body: &[u8]) -> Result<(), CallError> {
    peer.send(Header::request(command, body.len() as u64), &[body]).await
}

fn upload(content: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(Upload::HEAD + content.len());
    Upload { path: None, size: content.len() as u64, ext: Extension::new(b"bin").unwrap_or_default() }
        .put(&mut body);
    body.extend_from_slice(content);
    body
}

/// From the answer of an upload.
fn download(answer: &[u8]) -> Vec<u8> {
    let (group, name) = answer.split_at_checked(16).unwrap_or_default();
    let mut body = Vec::new();
    if let Ok(group) = GroupName::from_field(group) {
        Download { offset: 0, count: 0, file: GroupAndName { group, name } }.put(&mut body);
    }
    body
}
