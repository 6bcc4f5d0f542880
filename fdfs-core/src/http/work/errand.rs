//! One operation: a tracker is asked who does it, then that storage. Requests go out, answers come in.

use std::net::SocketAddr;

use crate::fileid::FileName;
use crate::ident::{Extension, GroupName};
use crate::wire::edit::Modify;
use crate::wire::query::{self, FetchTarget, FileQuery, StoreTarget};
use crate::wire::storage::{FileInfo, GroupAndName, Upload, info_flags};
use crate::wire::{Header, Status, cmd};

/// A file of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its group.
    pub group: GroupName,
    /// Its name without the group, as on the wire.
    pub name: Vec<u8>,
}

impl Named {
    /// Group and name as one text.
    pub fn id(&self) -> String {
        format!("{}/{}", self.group.as_str(), String::from_utf8_lossy(&self.name))
    }

    fn wire(&self) -> GroupAndName<'_> {
        GroupAndName { group: self.group, name: &self.name }
    }
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A new file.
    Store {
        /// Its group; `None`: the tracker chooses.
        group: Option<GroupName>,
        /// Its extension.
        ext: Extension,
        /// It can be changed later.
        appender: bool,
        /// Bytes of content.
        size: u64,
    },
    /// More content for an appender file, at this place: twice is the same as once.
    Write {
        /// The file.
        file: Named,
        /// Its first byte to write; at most its size.
        offset: u64,
        /// Bytes of content.
        size: u64,
    },
    /// Size and time of a file.
    Info(Named),
    /// A file goes.
    Delete(Named),
}

/// A request to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Whom to connect to.
    pub to: SocketAddr,
    /// What to send first.
    pub head: Vec<u8>,
    /// Bytes of content that follow.
    pub content: u64,
    /// Whether `to` is a tracker.
    pub tracker: bool,
}

/// What was achieved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The file's id and the storage that has it.
    Stored(Named, SocketAddr),
    /// Content was written.
    Written,
    /// What the file is.
    Info(FileInfo),
    /// The file is gone.
    Deleted,
}

/// Why nothing was achieved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No tracker or no storage could be asked.
    #[error("no tracker or storage can be reached")]
    Unreachable,
    /// No storage takes files now, or the group is unknown.
    #[error("no storage takes files")]
    NoStorage,
    /// There is no such file.
    #[error("no such file")]
    Missing,
    /// No room.
    #[error("no space left on the storages")]
    NoSpace,
    /// The storage says no.
    #[error("the storage refuses with status {0}")]
    Refused(u8),
    /// The connection broke in the middle.
    #[error("the storage did not finish")]
    Broken,
    /// The storage was too slow.
    #[error("the storage did not answer in time")]
    TimedOut,
    /// An answer that is not understood.
    #[error("the answer is not understood")]
    Nonsense,
}

impl Failure {
    /// HTTP status for the client.
    pub fn status(self) -> u16 {
        match self {
            Self::Unreachable | Self::NoStorage => 503,
            Self::Missing => 404,
            Self::NoSpace => 507,
            Self::Refused(_) | Self::Broken | Self::Nonsense => 502,
            Self::TimedOut => 504,
        }
    }
}

/// How a request ended without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken {
    /// All of it had been sent: the server may have done it.
    pub whole: bool,
    /// Content was sent that cannot be had again.
    pub spent: bool,
    /// The time was over.
    pub timed_out: bool,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask a server.
    Ask(Ask),
    /// It is done.
    Done(Done),
    /// It cannot be done.
    Failed(Failure),
}

/// An operation under way.
#[derive(Debug)]
pub struct Errand {
    goal: Goal,
    trackers: Vec<SocketAddr>,
    /// Index of the tracker that is asked.
    tracker: usize,
    /// What the last tracker said that had no storage.
    unknown: Option<Failure>,
    state: State,
    /// Storages that failed.
    failed: Vec<SocketAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A tracker chooses a storage.
    Choosing,
    /// A tracker lists all storages of this group, as the one chosen failed.
    Listing(GroupName),
    /// A storage works, with this path.
    Working { at: SocketAddr, path: Option<u8>, group: GroupName },
}

impl Errand {
    /// Storages that are tried.
    pub const STORAGES_MAX: usize = 3;
    /// Longest answer that is read: all members of a group, bytes.
    pub const ANSWER_MAX: u64 = 4096;

    /// Asks `trackers` in order.
    pub fn new(goal: Goal, trackers: Vec<SocketAddr>) -> Self {
        Self { goal, trackers, tracker: 0, unknown: None, state: State::Choosing, failed: Vec::new() }
    }

    /// At a known storage, without a tracker.
    pub fn at(goal: Goal, at: SocketAddr, group: GroupName) -> Self {
        let state = State::Working { at, path: None, group };
        Self { goal, trackers: Vec::new(), tracker: 0, unknown: None, state, failed: Vec::new() }
    }

    /// The request of now; the first one at the start.
    pub fn step(&self) -> Step {
        match self.state {
            State::Working { at, path, .. } => Step::Ask(self.work(at, path)),
            State::Choosing | State::Listing(_) => match self.trackers.get(self.tracker) {
                Some(to) => Step::Ask(self.query(*to)),
                None => Step::Failed(self.unknown.unwrap_or(Failure::Unreachable)),
            },
        }
    }

    /// The server has answered. `spent` as in [`Broken`].
    pub fn answered(&mut self, status: u8, body: &[u8], spent: bool) -> Step {
        let status = Status(status);
        match self.state {
            State::Choosing | State::Listing(_) if status == Status::OK => self.chosen(body),
            State::Choosing | State::Listing(_) => {
                // A tracker that started a moment ago knows nobody yet.
                self.unknown = Some(match (status, &self.goal) {
                    (Status::NOSPC, _) => Failure::NoSpace,
                    (_, Goal::Store { .. }) => Failure::NoStorage,
                    (Status::NOENT, _) => Failure::Missing,
                    (Status(other), _) => Failure::Refused(other),
                });
                self.tracker += 1;
                self.step()
            }
            State::Working { at, group, .. } => match status {
                Status::OK => self.achieved(at, body).map_or(Step::Failed(Failure::Nonsense), Step::Done),
                Status::NOENT => Step::Failed(Failure::Missing),
                Status::NOSPC if !spent => self.another(at, group, Failure::NoSpace),
                Status::NOSPC => Step::Failed(Failure::NoSpace),
                Status(other) => Step::Failed(Failure::Refused(other)),
            },
        }
    }

    /// The server did not answer.
    pub fn broken(&mut self, how: Broken) -> Step {
        match self.state {
            State::Choosing | State::Listing(_) => {
                self.tracker += 1;
                self.step()
            }
            State::Working { at, group, .. } => {
                let why = if how.timed_out { Failure::TimedOut } else { Failure::Broken };
                // What may have happened must not happen twice; a delete may.
                let again =
                    !how.spent && (!how.whole || matches!(self.goal, Goal::Delete(_) | Goal::Info(_)));
                if again { self.another(at, group, why) } else { Step::Failed(why) }
            }
        }
    }

    /// A storage did not do it: is there another one?
    fn another(&mut self, failed: SocketAddr, group: GroupName, why: Failure) -> Step {
        self.failed.push(failed);
        self.unknown = Some(why);
        // Changes of a file are made at the storage that the tracker names, so that they stay in order.
        let bound = matches!(self.goal, Goal::Write { .. });
        if bound || self.failed.len() >= Self::STORAGES_MAX || self.trackers.is_empty() {
            return Step::Failed(why);
        }
        // The tracker that chose it is asked who else there is.
        self.state = State::Listing(group);
        self.step()
    }

    fn query(&self, to: SocketAddr) -> Ask {
        let mut body = Vec::with_capacity(160);
        let listing = matches!(self.state, State::Listing(_));
        let command = match &self.goal {
            Goal::Store { group, .. } => {
                let group = if let State::Listing(group) = self.state { Some(group) } else { *group };
                if let Some(group) = group {
                    query::put_group(&mut body, group);
                }
                match (listing, group) {
                    (true, _) => cmd::QUERY_STORE_WITH_GROUP_ALL,
                    (false, Some(_)) => cmd::QUERY_STORE_WITH_GROUP_ONE,
                    (false, None) => cmd::QUERY_STORE_WITHOUT_GROUP_ONE,
                }
            }
            Goal::Write { file, .. } | Goal::Info(file) | Goal::Delete(file) => {
                FileQuery { group: file.group, name: &file.name }.put(&mut body);
                if listing { cmd::QUERY_FETCH_ALL } else { cmd::QUERY_UPDATE }
            }
        };
        Ask { to, head: framed(command, 0, &body, 0), content: 0, tracker: true }
    }

    fn work(&self, to: SocketAddr, path: Option<u8>) -> Ask {
        let mut body = Vec::with_capacity(160);
        let (command, flags, content) = match &self.goal {
            Goal::Store { ext, appender, size, .. } => {
                Upload { path, size: *size, ext: *ext }.put(&mut body);
                (if *appender { cmd::UPLOAD_APPENDER_FILE } else { cmd::UPLOAD_FILE }, 0, *size)
            }
            Goal::Write { file, offset, size } => {
                Modify { offset: *offset, size: *size, name: &file.name }.put(&mut body);
                (cmd::MODIFY_FILE, 0, *size)
            }
            Goal::Info(file) => {
                file.wire().put(&mut body);
                (cmd::QUERY_FILE_INFO, info_flags::NO_CRC | info_flags::SILENT, 0)
            }
            Goal::Delete(file) => {
                file.wire().put(&mut body);
                (cmd::DELETE_FILE, 0, 0)
            }
        };
        Ask { to, head: framed(command, flags, &body, content), content, tracker: false }
    }

    /// A tracker has named storages.
    fn chosen(&mut self, body: &[u8]) -> Step {
        let named = match (&self.goal, self.state) {
            (Goal::Store { .. }, State::Listing(_)) => query::parse_store_all(body)
                .map(|(group, addrs, path)| (group, addrs, (path != Upload::ANY_PATH).then_some(path))),
            (Goal::Store { .. }, _) => StoreTarget::parse(body).map(|target| {
                let path = (target.path != Upload::ANY_PATH).then_some(target.path);
                (target.group, vec![target.addr], path)
            }),
            (_, State::Listing(_)) => query::parse_fetch_all(body).map(|(group, addrs)| (group, addrs, None)),
            _ => FetchTarget::parse(body).map(|target| (target.group, vec![target.addr], None)),
        };
        let Ok((group, addrs, path)) = named else {
            self.unknown = Some(Failure::Nonsense);
            self.tracker += 1;
            return self.step();
        };
        match addrs.into_iter().find(|addr| addr.port() != 0 && !self.failed.contains(addr)) {
            Some(at) => {
                self.state = State::Working { at, path, group };
                self.step()
            }
            None => Step::Failed(self.unknown.unwrap_or(Failure::NoStorage)),
        }
    }

    fn achieved(&self, at: SocketAddr, body: &[u8]) -> Option<Done> {
        match &self.goal {
            Goal::Store { .. } => {
                let file = GroupAndName::parse(body).ok()?;
                FileName::parse(file.name, PATHS_MAX).ok()?;
                Some(Done::Stored(Named { group: file.group, name: file.name.to_vec() }, at))
            }
            Goal::Write { .. } => Some(Done::Written),
            Goal::Info(_) => FileInfo::parse(body).ok().map(Done::Info),
            Goal::Delete(_) => Some(Done::Deleted),
        }
    }
}

/// Store paths a group can have.
const PATHS_MAX: usize = 256;

fn framed(command: u8, flags: u8, body: &[u8], content: u64) -> Vec<u8> {
    let len = (body.len() as u64).saturating_add(content);
    let mut out = Header { status: flags, ..Header::request(command, len) }.encode().to_vec();
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::AddrWidth;

    fn group() -> GroupName {
        GroupName::new(b"group1").unwrap()
    }

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn store() -> Errand {
        let goal =
            Goal::Store { group: None, ext: Extension::new(b"jpg").unwrap(), appender: false, size: 5 };
        Errand::new(goal, vec![addr("10.0.0.1:22122"), addr("10.0.0.2:22122")])
    }

    fn asked(step: Step) -> (String, u8, u64) {
        match step {
            Step::Ask(ask) => (ask.to.to_string(), Header::peek(&ask.head).unwrap().cmd, ask.content),
            other => panic!("{other:?}"),
        }
    }

    fn target(ip: &str) -> Vec<u8> {
        let mut out = Vec::new();
        StoreTarget { group: group(), addr: addr(ip), path: 1 }.put(&mut out, AddrWidth::V4);
        out
    }

    const CUT: Broken = Broken { whole: false, spent: false, timed_out: false };
    const NAME: &[u8] = b"M00/00/00/CkIAFWqfzXGAVZhOAAAABf1dNqU123.jpg";

    #[test]
    fn a_tracker_chooses_and_a_storage_stores() {
        let mut errand = store();
        assert_eq!(asked(errand.step()), ("10.0.0.1:22122".into(), 101, 0));
        let Step::Ask(ask) = errand.answered(0, &target("10.0.0.7:23000"), false) else { panic!() };
        assert_eq!((ask.to.to_string(), ask.content, ask.tracker), ("10.0.0.7:23000".into(), 5, false));
        assert_eq!(
            ask.head,
            [&[0, 0, 0, 0, 0, 0, 0, 20, 11, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5][..], b"jpg\0\0\0"].concat()
        );
        let mut answer = Vec::new();
        GroupAndName { group: group(), name: NAME }.put(&mut answer);
        let done = Done::Stored(Named { group: group(), name: NAME.to_vec() }, ask.to);
        assert_eq!(errand.answered(0, &answer, true), Step::Done(done));
        // A name that could end a header line is none.
        answer.truncate(16);
        answer.extend(b"M00/00/00/CkIAFWqfzXGAVZhOAAAABf1dNqU123.\r\nj");
        assert_eq!(errand.answered(0, &answer, true), Step::Failed(Failure::Nonsense));
    }

    #[test]
    fn trackers_are_asked_in_turn() {
        let mut errand = store();
        assert_eq!(asked(errand.broken(CUT)).0, "10.0.0.2:22122");
        assert_eq!(errand.answered(2, &[], false), Step::Failed(Failure::NoStorage));
        let mut errand = store();
        assert_eq!(asked(errand.answered(0, b"what", false)).0, "10.0.0.2:22122");
        assert_eq!(errand.broken(CUT), Step::Failed(Failure::Nonsense));
        assert_eq!(Errand::new(errand.goal, vec![]).step(), Step::Failed(Failure::Unreachable));
    }

    #[test]
    fn another_storage_takes_over_as_long_as_nothing_can_happen_twice() {
        let mut list = Vec::new();
        let all = ["10.0.0.7:23000", "10.0.0.8:23000"].map(addr);
        query::put_store_all(&mut list, group(), &all, 0, AddrWidth::V6);
        for first in [Step::Failed(Failure::Broken), Step::Failed(Failure::NoSpace)] {
            let mut errand = store();
            errand.answered(0, &target("10.0.0.7:23000"), false);
            let again = match first {
                Step::Failed(Failure::NoSpace) => errand.answered(28, &[], false),
                _ => errand.broken(CUT),
            };
            assert_eq!(asked(again), ("10.0.0.1:22122".into(), 107, 0));
            assert_eq!(asked(errand.answered(0, &list, false)), ("10.0.0.8:23000".into(), 11, 5));
            errand.broken(CUT);
            assert_eq!(errand.answered(0, &list, false), Step::Failed(Failure::Broken));
        }
        for how in [Broken { whole: true, ..CUT }, Broken { spent: true, ..CUT }] {
            let mut errand = store();
            errand.answered(0, &target("10.0.0.7:23000"), false);
            assert_eq!(errand.broken(how), Step::Failed(Failure::Broken));
        }
        let mut errand = store();
        errand.answered(0, &target("10.0.0.7:23000"), false);
        assert_eq!(errand.answered(28, &[], true), Step::Failed(Failure::NoSpace));
    }

    #[test]
    fn deletes_go_where_the_tracker_says() {
        let file = Named { group: group(), name: NAME.to_vec() };
        let mut errand = Errand::new(Goal::Delete(file.clone()), vec![addr("10.0.0.1:22122")]);
        assert_eq!(asked(errand.step()).1, 103);
        let mut answer = Vec::new();
        FetchTarget { group: group(), addr: addr("10.0.0.7:23000") }.put(&mut answer, AddrWidth::V6);
        assert_eq!(asked(errand.answered(0, &answer, false)), ("10.0.0.7:23000".into(), 12, 0));
        assert_eq!(errand.answered(0, &[], false), Step::Done(Done::Deleted));
        assert_eq!(errand.answered(2, &[], false), Step::Failed(Failure::Missing));
        assert_eq!(asked(errand.broken(Broken { whole: true, ..CUT })).1, 105, "it may be deleted twice");
        let mut errand = Errand::new(Goal::Write { file, offset: 0, size: 3 }, vec![addr("10.0.0.1:22122")]);
        errand.answered(0, &answer, false);
        assert_eq!(errand.broken(CUT), Step::Failed(Failure::Broken), "no other storage may write");
    }
}
