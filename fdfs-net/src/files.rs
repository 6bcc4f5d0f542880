//! The limit of open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit of open files to `need` if it is lower. One that cannot be raised so far is a warning: the
/// daemon serves with what there is, and its acceptor waits when descriptors run out.
pub fn raise_open_files(need: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= need) {
        return;
    }
    let current = Some(limit.maximum.map_or(need, |most| most.min(need)));
    if setrlimit(Resource::Nofile, Rlimit { current, ..limit }).is_err() || current < Some(need) {
        tracing::warn!(need, have = ?getrlimit(Resource::Nofile).current, "the limit of open files is too low");
    }
}
