//! How long the stages of requests take, for whoever looks for what makes them slow.

use std::future::Future;
use std::time::Instant;

use fdfs_net::metrics::{Histogram, Labels, Page};

use crate::state::{SHARDS, shard};

/// A stage of a request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Choice of a store path, and a new file there.
    Place,
    /// The content: from the socket into the file.
    Receive,
    /// The record in the log and the name in the directory.
    Publish,
    /// What a power cut may not take: nothing with `durability = os`.
    Commit,
    /// Open a file for a download.
    Open,
    /// The content of a file to the socket.
    Send,
}

const NAMES: [&str; 6] = ["place", "receive", "publish", "commit", "open", "send"];

/// The times of all stages, by thread.
pub struct Stages(Box<[[Histogram; NAMES.len()]; SHARDS]>);

impl Stages {
    /// For `metrics_port`; `None` when nobody asks.
    pub fn new(port: u16) -> Option<Self> {
        (port != 0).then(|| Self(Box::default()))
    }

    /// Does the work of a stage.
    pub async fn time<T>(stages: Option<&Self>, stage: Stage, work: impl Future<Output = T>) -> T {
        let Some(stages) = stages else { return work.await };
        let began = Instant::now();
        let done = work.await;
        stages.0[shard()][stage as usize].record(began.elapsed());
        done
    }

    /// Writes the times.
    pub fn write(&self, page: &mut Page<'_>) -> std::fmt::Result {
        let rows = NAMES.iter().enumerate().map(|(at, name)| {
            let (took, buckets) = Histogram::sum(self.0.iter().map(|stages| &stages[at]));
            (vec![("stage", (*name).to_owned())] as Labels, took, buckets)
        });
        page.histograms("fdfs_storage_stage_seconds", "Time of the stages of uploads and downloads.", rows)
    }
}
