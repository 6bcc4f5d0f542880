//! Load of short requests: some connections, each with a number of requests under way.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::load::Taken;

/// What is sent, and how.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Server.
    pub addr: SocketAddr,
    /// One request.
    pub request: Vec<u8>,
    /// Bytes of its answer, header included.
    pub answer: usize,
    /// Connections.
    pub connections: usize,
    /// Requests that are sent together on a connection, before their answers are read.
    pub depth: usize,
    /// Requests over all connections.
    pub requests: usize,
}

impl Pipeline {
    /// Runs it on this thread. A latency is that of all requests that were sent together.
    pub fn run(&self) -> io::Result<Taken> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, async {
            let mut streams = Vec::new();
            for _ in 0..self.connections {
                let stream = TcpStream::connect(self.addr).await?;
                stream.set_nodelay(true)?;
                streams.push(stream);
            }
            let rounds = (self.requests / self.connections / self.depth).max(1);
            let began = Instant::now();
            let tasks: Vec<_> = streams
                .into_iter()
                .map(|stream| {
                    let (sent, expected) = (self.request.repeat(self.depth), self.answer * self.depth);
                    tokio::task::spawn_local(one(stream, sent, expected, rounds))
                })
                .collect();
            let mut latencies = Vec::new();
            for task in tasks {
                latencies.extend(task.await.map_err(io::Error::other)??);
            }
            let time = began.elapsed();
            latencies.sort();
            Ok(Taken { time, latencies, files: Vec::new() })
        })
    }
}

async fn one(
    mut stream: TcpStream,
    sent: Vec<u8>,
    expected: usize,
    rounds: usize,
) -> io::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(rounds);
    let mut answers = vec![0; expected];
    for _ in 0..rounds {
        let began = Instant::now();
        let round = async {
            stream.write_all(&sent).await?;
            stream.read_exact(&mut answers).await
        };
        tokio::time::timeout(Duration::from_secs(30), round).await??;
        latencies.push(began.elapsed());
        if answers.get(9) != Some(&0) {
            return Err(io::Error::other(format!("answered with status {:?}", answers.get(9))));
        }
    }
    Ok(latencies)
}
