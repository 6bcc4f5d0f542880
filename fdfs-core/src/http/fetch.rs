//! One file from one storage: what to send and what its answers mean (nginx-module 13, protocol 4.7 and 4.8).

use super::args::{FLV_HEAD, FlvPart};
use super::conditions::{Conditions, Verdict};
use super::plan::{Validators, Wanted};
use super::range::Ranges;
use crate::wire::storage::{Download, FileInfo, GroupAndName, info_flags};
use crate::wire::{Header, Status, cmd};

/// What the client wants.
#[derive(Debug, Clone)]
pub struct Job {
    /// The file.
    pub file: Wanted,
    /// HEAD: the answer has no body.
    pub head: bool,
    /// The `Range` header.
    pub range: Option<Vec<u8>>,
    /// nginx's `max_ranges`.
    pub ranges_max: usize,
    /// Part of an FLV file, for a player.
    pub flv: Option<FlvPart>,
    /// Conditional headers.
    pub conditions: Conditions,
}

impl Job {
    /// GET of the whole file.
    pub fn whole(file: Wanted) -> Self {
        let conditions = Conditions::default();
        Self { file, head: false, range: None, ranges_max: usize::MAX, flv: None, conditions }
    }
}

/// Talks to one storage at a time; [`Fetch::restart`] before the next one.
#[derive(Debug)]
pub struct Fetch {
    job: Job,
    phase: Phase,
}

#[derive(Debug, Clone)]
enum Phase {
    Info,
    Download(Part),
}

/// What downloads must bring.
#[derive(Debug, Clone)]
struct Part {
    file: Validators,
    /// One after the other; empty for the whole file.
    ranges: Vec<(u64, u64)>,
    /// Index of the one under way.
    at: usize,
    /// The client is a player, and gets 200.
    flv: bool,
}

/// What to do after some bytes of the storage arrived.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for more.
    More,
    /// Forget `consumed` bytes, send `request`, read on.
    Ask {
        /// Bytes understood.
        consumed: usize,
        /// Next request on the same connection.
        request: Vec<u8>,
    },
    /// Answer the client. `body` bytes of content follow the `consumed` ones.
    Answer {
        /// Bytes understood.
        consumed: usize,
        /// Bytes of content that follow on this connection.
        body: u64,
        /// What the client gets.
        answer: Answer,
    },
    /// This storage has no such file.
    Missing {
        /// Bytes understood.
        consumed: usize,
    },
    /// Do not use this storage, nor its connection.
    Bad(Fault),
}

/// Head of the answer to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200, 206, 304, 400, 412 or 416.
    pub status: u16,
    /// Of the whole file.
    pub file: Validators,
    /// First and last byte of each part of a 206, or of the part of an FLV file.
    pub ranges: Vec<(u64, u64)>,
    /// [`FLV_HEAD`] goes first.
    pub flv_head: bool,
}

impl Answer {
    /// `Content-Length`; `None` where the answer has none, or where the frame around several parts counts too.
    pub fn length(&self) -> Option<u64> {
        let head = if self.flv_head { FLV_HEAD.len() as u64 } else { 0 };
        match (self.status, self.ranges.as_slice()) {
            (200, []) => Some(self.file.size),
            (200 | 206, [(first, last)]) => Some(head + last - first + 1),
            _ => None,
        }
    }

    /// `Content-Range` of a 206 with one part.
    pub fn content_range(&self) -> Option<String> {
        match (self.status, self.ranges.as_slice()) {
            (206, [(first, last)]) => Some(format!("bytes {first}-{last}/{}", self.file.size)),
            _ => None,
        }
    }
}

/// Why a storage's answer is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not the command byte of an answer.
    #[error("answer with command {0} instead of 100")]
    Command(u8),
    /// Negative body length.
    #[error("answer with a negative length")]
    Negative,
    /// Refused for another reason than a missing file.
    #[error("status {0}")]
    Refused(u8),
    /// An error with a body.
    #[error("status {0} with a body of {1} bytes")]
    ErrorBody(u8, u64),
    /// The file info has another length than documented.
    #[error("file info of {0} bytes")]
    Info(u64),
    /// The file there has another size than its id says.
    #[error("file of {got} bytes, its id says {want}")]
    Size {
        /// As the storage says.
        got: u64,
        /// As the id says.
        want: u64,
    },
    /// Not as many bytes as asked for.
    #[error("{got} bytes announced, {want} asked for")]
    Length {
        /// Announced.
        got: u64,
        /// Asked for.
        want: u64,
    },
    /// Bytes behind a complete answer.
    #[error("bytes behind the end of the answer")]
    Trailing,
}

impl Fetch {
    /// Starts a job.
    pub fn new(job: Job) -> Self {
        let phase = first_phase(&job);
        Self { job, phase }
    }

    /// Forgets what the previous storage said.
    pub fn restart(&mut self) {
        self.phase = first_phase(&self.job);
    }

    /// The job.
    pub const fn job(&self) -> &Job {
        &self.job
    }

    /// The first request, header and body. Equal for every storage.
    pub fn request(&self) -> Vec<u8> {
        match first_phase(&self.job) {
            Phase::Info => self.info_request(),
            Phase::Download(part) => self.download_request(&part),
        }
    }

    /// Looks at all bytes received and not yet consumed.
    pub fn feed(&mut self, bytes: &[u8]) -> Step {
        let Some(head) = Header::peek(bytes) else { return Step::More };
        if head.cmd != cmd::RESPONSE {
            return Step::Bad(Fault::Command(head.cmd));
        }
        let Some(len) = head.body() else { return Step::Bad(Fault::Negative) };
        match Status(head.status) {
            Status::OK => {}
            _ if len != 0 => return Step::Bad(Fault::ErrorBody(head.status, len)),
            Status::NOENT if bytes.len() > Header::SIZE => return Step::Bad(Fault::Trailing),
            Status::NOENT => return Step::Missing { consumed: Header::SIZE },
            Status(status) => return Step::Bad(Fault::Refused(status)),
        }
        match &self.phase {
            Phase::Info => self.info(bytes, len),
            Phase::Download(part) => content(part, self.job.flv, len),
        }
    }

    /// The request for the next part, when the one before it has come whole; `None` behind the last.
    pub fn next_part(&mut self) -> Option<Vec<u8>> {
        let Phase::Download(part) = &mut self.phase else { return None };
        part.at += 1;
        let Phase::Download(part) = &self.phase else { return None };
        part.ranges.get(part.at).map(|_| self.download_request(part))
    }

    /// Checks the header that comes before a later part: the bytes of content that follow it.
    pub fn part_head(&self, head: &[u8; Header::SIZE]) -> Result<u64, Fault> {
        let head = Header::decode(head);
        let Phase::Download(part) = &self.phase else { return Err(Fault::Trailing) };
        let want = part.length();
        match (head.cmd, head.status, head.body()) {
            (cmd::RESPONSE, 0, Some(len)) if len == want => Ok(len),
            (cmd::RESPONSE, 0, Some(got)) => Err(Fault::Length { got, want }),
            (cmd::RESPONSE, 0, None) => Err(Fault::Negative),
            (cmd::RESPONSE, status, _) => Err(Fault::Refused(status)),
            (other, ..) => Err(Fault::Command(other)),
        }
    }

    /// Reads again what a storage had said, from the first byte up to the content of the whole `file`.
    pub fn recall(file: Wanted, mut said: &[u8]) -> Option<Answer> {
        let mut fetch = Self::new(Job::whole(file));
        loop {
            let end = match fetch.phase {
                Phase::Info => Header::SIZE + usize::try_from(Header::peek(said)?.body()?).ok()?,
                Phase::Download(_) => said.len(),
            };
            match fetch.feed(said.get(..end)?) {
                Step::Ask { consumed, .. } => said = said.get(consumed..)?,
                Step::Answer { consumed, answer, .. } if consumed == said.len() && answer.status == 200 => {
                    return Some(answer);
                }
                _ => return None,
            }
        }
    }

    fn info(&mut self, bytes: &[u8], len: u64) -> Step {
        if len != 40 && len != 70 {
            return Step::Bad(Fault::Info(len));
        }
        let consumed = Header::SIZE + len as usize;
        let Some(body) = bytes.get(Header::SIZE..consumed) else { return Step::More };
        if bytes.len() > consumed {
            return Step::Bad(Fault::Trailing);
        }
        let Ok(info) = FileInfo::parse(body) else { return Step::Bad(Fault::Info(len)) };
        let file = match self.job.file.known {
            Some(known) if known.size != info.size && !self.job.file.may_be_link => {
                return Step::Bad(Fault::Size { got: info.size, want: known.size });
            }
            Some(known) if known.size == info.size => known,
            _ if info.size > i64::MAX as u64 || info.mtime < 0 => return Step::Bad(Fault::Info(len)),
            _ => Validators { mtime: info.mtime, size: info.size },
        };
        let part = match outcome(&self.job, file) {
            Outcome::Part(part) => part,
            Outcome::Done(status) => {
                let answer = Answer { status, file, ranges: Vec::new(), flv_head: false };
                return Step::Answer { consumed, body: 0, answer };
            }
        };
        if self.job.head || file.size == 0 {
            return Step::Answer { consumed, body: 0, answer: part.answer(self.job.flv) };
        }
        let request = self.download_request(&part);
        self.phase = Phase::Download(part);
        Step::Ask { consumed, request }
    }

    fn info_request(&self) -> Vec<u8> {
        let name = self.job.file.wire_name();
        let mut body = Vec::with_capacity(160);
        GroupAndName { group: self.job.file.group, name: &name }.put(&mut body);
        framed(cmd::QUERY_FILE_INFO, info_flags::NO_CRC | info_flags::SILENT, &body)
    }

    fn download_request(&self, part: &Part) -> Vec<u8> {
        let name = self.job.file.wire_name();
        let (offset, count) = match part.ranges.get(part.at) {
            Some((first, last)) => (*first, last - first + 1),
            // To the end, so that a longer file than the id says is noticed.
            None if self.job.file.known.is_some() => (0, 0),
            // The file may have grown since its info; the client is told the size of then.
            None => (0, part.file.size),
        };
        let mut body = Vec::with_capacity(160);
        let file = GroupAndName { group: self.job.file.group, name: &name };
        Download { offset, count, file }.put(&mut body);
        framed(cmd::DOWNLOAD_FILE, 0, &body)
    }
}

/// Content is asked for at once only where the id alone settles the answer.
fn first_phase(job: &Job) -> Phase {
    match job.file.known {
        Some(file) if file.size > 0 && !job.head && !job.file.may_be_link => match outcome(job, file) {
            Outcome::Part(part) => Phase::Download(part),
            // Whether the file exists is still to be seen.
            Outcome::Done(_) => Phase::Info,
        },
        _ => Phase::Info,
    }
}

enum Outcome {
    Part(Part),
    Done(u16),
}

fn outcome(job: &Job, file: Validators) -> Outcome {
    let part = |ranges, flv| Outcome::Part(Part { file, ranges, at: 0, flv });
    let ranged = match job.conditions.judge(&file) {
        Verdict::Proceed { range } => range,
        Verdict::NotModified => return Outcome::Done(304),
        Verdict::Failed => return Outcome::Done(412),
    };
    if let Some(flv) = job.flv.filter(|_| job.range.is_none()) {
        return flv.resolve(file.size).map_or(Outcome::Done(400), |range| part(vec![range], true));
    }
    let header = job.range.as_ref().filter(|_| ranged);
    match header.map_or(Ranges::Whole, |header| Ranges::parse(header, file.size, job.ranges_max)) {
        Ranges::Whole => part(Vec::new(), false),
        Ranges::Unsatisfiable => Outcome::Done(416),
        Ranges::Parts(ranges) => part(ranges, false),
    }
}

impl Part {
    /// Content of the download under way, bytes.
    fn length(&self) -> u64 {
        self.ranges.get(self.at).map_or(self.file.size, |(first, last)| last - first + 1)
    }

    fn answer(&self, flv: Option<FlvPart>) -> Answer {
        let status = if self.ranges.is_empty() || self.flv { 200 } else { 206 };
        let flv_head = self.flv && flv.is_some_and(FlvPart::has_head);
        Answer { status, file: self.file, ranges: self.ranges.clone(), flv_head }
    }
}

fn content(part: &Part, flv: Option<FlvPart>, len: u64) -> Step {
    let want = part.length();
    if len != want {
        return Step::Bad(Fault::Length { got: len, want });
    }
    Step::Answer { consumed: Header::SIZE, body: len, answer: part.answer(flv) }
}

fn framed(cmd: u8, status: u8, body: &[u8]) -> Vec<u8> {
    let mut out = Header { status, ..Header::request(cmd, body.len() as u64) }.encode().to_vec();
    out.extend_from_slice(body);
    out
}
