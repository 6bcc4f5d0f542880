//! Load on one storage: connections that each do one operation after the other.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fdfs_core::ident::{Extension, GroupName};
use fdfs_core::settings::OnTimeout;
use fdfs_core::wire::storage::{Download, GroupAndName, Upload};
use fdfs_core::wire::{Header, MinCopies, cmd};
use fdfs_net::{CallError, Peer, Timeouts};
use tokio::task::LocalSet;
use zerocopy::IntoBytes;

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Upload of a new file.
    Upload,
    /// Download of a file that is in the page cache.
    Download,
    /// Append to a file of the connection's own.
    Append,
    /// Delete of one of the files that an upload made.
    Delete,
    /// A request without work, the floor of the protocol.
    ActiveTest,
}

/// How much of it.
#[derive(Debug, Clone)]
pub struct Load {
    /// The storage.
    pub addr: SocketAddr,
    /// What is done.
    pub operation: Operation,
    /// Operations over all connections.
    pub operations: usize,
    /// Connections.
    pub connections: usize,
    /// Bytes of a file, or of an append.
    pub size: usize,
    /// Files to delete: what an answer to an upload named.
    pub files: Vec<Bytes>,
    /// Members that have a change before its answer; 0: as configured.
    pub copies: u32,
}

/// What it took.
#[derive(Debug, Clone)]
pub struct Taken {
    /// From the first request to the last answer.
    pub time: Duration,
    /// Of each operation, sorted.
    pub latencies: Vec<Duration>,
    /// The answers to uploads: group and name.
    pub files: Vec<Bytes>,
}

impl Taken {
    /// Operations a second.
    pub fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.time.as_secs_f64()
    }

    /// The latency that `percent` of the operations did not exceed.
    pub fn percentile(&self, percent: usize) -> Duration {
        self.per_mille(percent * 10)
    }

    /// Both, one after the other.
    pub fn and(mut self, later: Self) -> Self {
        self.time += later.time;
        self.latencies.extend(later.latencies);
        self.latencies.sort();
        self
    }

    /// The same in thousandths.
    pub fn per_mille(&self, part: usize) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * part / 1000).copied().unwrap_or_default()
    }
}

impl Load {
    /// Of everything but deletes.
    pub fn new(
        addr: SocketAddr,
        operation: Operation,
        operations: usize,
        connections: usize,
        size: usize,
    ) -> Self {
        Self { addr, operation, operations, connections, size, files: Vec::new(), copies: 0 }
    }

    /// Runs it on this thread. For downloads and appends, one file for each connection is uploaded before and deleted afterwards.
    pub fn run(&self) -> Result<Taken, CallError> {
        let failed = |error: std::io::Error| CallError {
            addr: self.addr,
            doing: "start",
            kind: fdfs_net::CallErrorKind::Conn(error.into()),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        LocalSet::new().block_on(&runtime, self.all())
    }

    async fn all(&self) -> Result<Taken, CallError> {
        let mut lanes = Vec::new();
        let each = (self.operations / self.connections.max(1)).max(1);
        let mut files = self.files.chunks(each);
        for _ in 0..self.connections {
            let wait = Duration::from_secs(60);
            let mut peer = Peer::connect(self.addr, Timeouts { connect: wait, network: wait }, None).await?;
            if self.copies > 0 {
                let wish = MinCopies::new(self.copies, wait, Some(OnTimeout::Fail));
                peer.ask(cmd::MIN_COPIES, wish.as_bytes(), 0).await?;
            }
            let lane = Lane { peer, command: self.command(), body: Vec::new(), own: Bytes::new() };
            let files = files.next().unwrap_or_default().to_vec();
            lanes.push(lane.prepare(self, files).await?);
        }
        let began = Instant::now();
        let keep = self.operation == Operation::Upload;
        let tasks: Vec<_> = lanes
            .into_iter()
            .map(|(lane, requests)| tokio::task::spawn_local(lane.run(requests, each, keep)))
            .collect();
        let mut taken =
            Taken { time: Duration::ZERO, latencies: Vec::with_capacity(self.operations), files: Vec::new() };
        let mut lanes = Vec::new();
        for task in tasks {
            if let Ok(done) = task.await {
                let (lane, latencies, files) = done?;
                taken.latencies.extend(latencies);
                taken.files.extend(files);
                lanes.push(lane);
            }
        }
        taken.time = began.elapsed();
        taken.latencies.sort();
        for mut lane in lanes {
            lane.clean().await?;
        }
        Ok(taken)
    }

    fn command(&self) -> u8 {
        match self.operation {
            Operation::Upload => cmd::UPLOAD_FILE,
            Operation::Download => cmd::DOWNLOAD_FILE,
            Operation::Append => cmd::APPEND_FILE,
            Operation::Delete => cmd::DELETE_FILE,
            Operation::ActiveTest => cmd::ACTIVE_TEST,
        }
    }
}

/// One connection.
struct Lane {
    peer: Peer,
    command: u8,
    /// What each request says, unless they differ.
    body: Vec<u8>,
    /// The connection's own file.
    own: Bytes,
}

impl Lane {
    /// Makes the file that it needs; the requests, if they differ.
    async fn prepare(mut self, load: &Load, files: Vec<Bytes>) -> Result<(Self, Vec<Bytes>), CallError> {
        let content = vec![7; load.size];
        self.body = match load.operation {
            Operation::Upload => upload(&content),
            Operation::Download => {
                self.upload(cmd::UPLOAD_FILE, &content).await?;
                download(&self.own)
            }
            Operation::Append => {
                self.upload(cmd::UPLOAD_APPENDER_FILE, &[]).await?;
                append(&self.own, &content)
            }
            Operation::Delete | Operation::ActiveTest => Vec::new(),
        };
        Ok((self, files))
    }

    async fn upload(&mut self, command: u8, content: &[u8]) -> Result<(), CallError> {
        send(&mut self.peer, command, &upload(content)).await?;
        self.own = self.peer.recv(256).await?.body;
        Ok(())
    }

    async fn run(
        mut self,
        requests: Vec<Bytes>,
        count: usize,
        keep: bool,
    ) -> Result<(Self, Vec<Duration>, Vec<Bytes>), CallError> {
        let (mut latencies, mut files) = (Vec::with_capacity(count), Vec::new());
        let mut requests = requests.into_iter();
        for _ in 0..count {
            let own;
            let body = match requests.next() {
                Some(request) => {
                    own = request;
                    own.as_ref()
                }
                None if self.command == cmd::DELETE_FILE => break,
                None => &self.body,
            };
            let began = Instant::now();
            send(&mut self.peer, self.command, body).await?;
            if keep {
                let answer = self.peer.recv(256).await?;
                latencies.push(began.elapsed());
                files.push(answer.body);
                continue;
            }
            let mut left = self.peer.recv_head().await?.body().unwrap_or(0);
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                left -= self.peer.recv_chunk(most.min(256 << 10)).await?.len() as u64;
            }
            latencies.push(began.elapsed());
        }
        Ok((self, latencies, files))
    }

    async fn clean(&mut self) -> Result<(), CallError> {
        if !self.own.is_empty() {
            send(&mut self.peer, cmd::DELETE_FILE, &self.own).await?;
            self.peer.recv(0).await?;
        }
        Ok(())
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

/// The same for an append.
fn append(answer: &[u8], content: &[u8]) -> Vec<u8> {
    let (_, name) = answer.split_at_checked(16).unwrap_or_default();
    let mut body = Vec::with_capacity(16 + name.len() + content.len());
    body.extend_from_slice(&(name.len() as u64).to_be_bytes());
    body.extend_from_slice(&(content.len() as u64).to_be_bytes());
    body.extend_from_slice(name);
    body.extend_from_slice(content);
    body
}
