//! Requests by command and answer, and how long they took.
//!
//! Each worker writes numbers of its own, so that counting costs two looks at the clock and a few plain stores.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fdfs_core::wire::{Status, cmd};

use super::histogram::Histogram;
use super::page::{Labels, Page};

/// One command on one worker.
struct Command {
    /// By status.
    answers: [AtomicU64; 256],
    /// The connection ended before the answer.
    unanswered: AtomicU64,
    times: Histogram,
}

impl Default for Command {
    fn default() -> Self {
        Self {
            answers: std::array::from_fn(|_| AtomicU64::new(0)),
            unanswered: AtomicU64::new(0),
            times: Histogram::default(),
        }
    }
}

/// Adds to a number that only this thread writes.
fn add(to: &AtomicU64, n: u64) {
    to.store(to.load(Relaxed).wrapping_add(n), Relaxed);
}

/// One worker: commands that never came take no memory.
struct Worker([OnceLock<Box<Command>>; 256]);

/// The requests of all workers.
pub struct Requests(Box<[Worker]>);

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Requests").field(&self.0.len()).finish()
    }
}

impl Requests {
    /// For so many workers.
    pub fn new(workers: usize) -> Arc<Self> {
        Arc::new(Self(
            (0..workers.max(1)).map(|_| Worker(std::array::from_fn(|_| OnceLock::new()))).collect(),
        ))
    }

    /// What the worker `index` counts with: one thread at a time.
    pub fn recorder(self: &Arc<Self>, index: usize) -> Recorder {
        Recorder { all: Arc::clone(self), worker: index % self.0.len() }
    }

    /// Writes `{prefix}_requests_total` and `{prefix}_request_seconds`. Commands that no daemon knows are one row.
    pub fn write(&self, page: &mut Page<'_>, prefix: &str) -> fmt::Result {
        let (mut answers, mut times) = (Vec::new(), Vec::new());
        for command in 0..=u8::MAX {
            let seen: Vec<&Command> = self
                .0
                .iter()
                .filter_map(|worker| worker.0[usize::from(command)].get())
                .map(AsRef::as_ref)
                .collect();
            if seen.is_empty() {
                continue;
            }
            let sum = |of: &dyn Fn(&Command) -> &AtomicU64| -> u64 {
                seen.iter().map(|command| of(command).load(Relaxed)).sum()
            };
            let name = cmd::name(command).map_or_else(|| command.to_string(), str::to_owned);
            for status in 0..=u8::MAX {
                let count = sum(&|command| &command.answers[usize::from(status)]);
                if count > 0 {
                    let error = if status == 0 { String::new() } else { Status(status).text().to_owned() };
                    let labels =
                        vec![("command", name.clone()), ("status", status.to_string()), ("error", error)];
                    answers.push((labels, count));
                }
            }
            let count = sum(&|command| &command.unanswered);
            if count > 0 {
                let error = "connection ended before the answer".to_owned();
                answers.push((
                    vec![("command", name.clone()), ("status", String::new()), ("error", error)],
                    count,
                ));
            }
            let (took, buckets) = Histogram::sum(seen.iter().map(|command| &command.times));
            times.push((vec![("command", name)] as Labels, took, buckets));
        }
        page.counters(
            &format!("{prefix}_requests_total"),
            "Requests by command and status answered; without a status those whose connection ended before the answer.",
            answers,
        )?;
        page.histograms(
            &format!("{prefix}_request_seconds"),
            "Time from the header of a request until its answer is ready, with the receipt of its body.",
            times,
        )
    }
}

/// Counts the requests of one worker.
#[derive(Debug, Clone)]
pub struct Recorder {
    all: Arc<Requests>,
    worker: usize,
}

impl Recorder {
    /// One request; `None`: its connection ended before the answer.
    pub fn record(&self, command: u8, answer: Option<Status>, took: Duration) {
        let Some(worker) = self.all.0.get(self.worker) else { return };
        let command = worker.0[usize::from(command)].get_or_init(Box::default);
        match answer {
            Some(status) => add(&command.answers[usize::from(status.0)], 1),
            None => add(&command.unanswered, 1),
        }
        command.times.record(took);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_summed_and_silent_commands_left_out() {
        let all = Requests::new(2);
        all.recorder(0).record(cmd::UPLOAD_FILE, Some(Status::OK), Duration::from_micros(50));
        all.recorder(1).record(cmd::UPLOAD_FILE, Some(Status::OK), Duration::from_micros(51));
        all.recorder(1).record(cmd::UPLOAD_FILE, Some(Status::NOSPC), Duration::from_secs(60));
        all.recorder(1).record(cmd::UPLOAD_FILE, None, Duration::ZERO);
        let text = Page::text(move |page| all.write(page, "x")).unwrap_or_default();
        let has = |line: &str| assert!(text.lines().any(|one| one == line), "{line} is not in\n{text}");
        has("x_requests_total{command=\"upload_file\",status=\"0\",error=\"\"} 2");
        has(&format!(
            "x_requests_total{{command=\"upload_file\",status=\"28\",error=\"{}\"}} 1",
            Status::NOSPC.text()
        ));
        has(
            "x_requests_total{command=\"upload_file\",status=\"\",error=\"connection ended before the answer\"} 1",
        );
        has("x_request_seconds_bucket{command=\"upload_file\",le=\"5e-05\"} 2");
        has("x_request_seconds_bucket{command=\"upload_file\",le=\"0.0001\"} 3");
        has("x_request_seconds_bucket{command=\"upload_file\",le=\"+Inf\"} 4");
        has("x_request_seconds_count{command=\"upload_file\"} 4");
        assert!(!text.contains("download"), "{text}");
    }
}
