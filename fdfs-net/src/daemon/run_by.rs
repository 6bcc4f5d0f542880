//! `run_by_user` and `run_by_group`: the daemon begins as root and goes on as somebody else.
//!
//! All ids change for good, in all threads, once the sockets are open. Before that the folders in which the daemon
//! writes are given to the new owner.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{AtFlags, CWD};
use rustix::process::{Gid, Uid};

use super::Refusal;

/// Exit codes: no such user or group, not allowed.
const NOENT: u8 = 2;
const PERM: u8 = 1;
/// Longest entry of a user or group.
const ENTRY: usize = 64 << 10;

/// What the config file says; empty: unchanged.
#[derive(Debug, Clone, Default)]
pub struct RunBy {
    /// `run_by_user`.
    pub user: String,
    /// `run_by_group`.
    pub group: String,
}

/// Whom the process is to become.
#[derive(Debug, Clone)]
pub(super) struct Other {
    names: RunBy,
    /// With the name: its further groups come along.
    user: Option<(CString, Uid)>,
    gid: Gid,
}

impl RunBy {
    /// Looks the names up. `None` when the process is that already; refused when it may not become it.
    pub(super) fn find(&self) -> Result<Option<Other>, Refusal> {
        let user = match self.user.as_str() {
            "" => None,
            name => {
                let text = CString::new(name).map_err(|_| unknown("run_by_user", name, "user"))?;
                let (uid, gid) = user(&text)
                    .map_err(|error| Refusal::io(format!("run_by_user = {name}"), &error))?
                    .ok_or_else(|| unknown("run_by_user", name, "user"))?;
                Some((text, uid, gid))
            }
        };
        let gid = match self.group.as_str() {
            "" => user.as_ref().map(|(_, _, gid)| *gid),
            name => {
                let text = CString::new(name).map_err(|_| unknown("run_by_group", name, "group"))?;
                let gid = group(&text)
                    .map_err(|error| Refusal::io(format!("run_by_group = {name}"), &error))?
                    .ok_or_else(|| unknown("run_by_group", name, "group"))?;
                Some(gid)
            }
        };
        let Some(gid) = gid else { return Ok(None) };
        let user = user.map(|(name, uid, _)| (name, uid));
        let now = (rustix::process::geteuid(), rustix::process::getegid());
        let same = user.as_ref().is_none_or(|(_, uid)| *uid == now.0) && gid == now.1;
        if same && (!now.0.is_root() || user.is_none()) {
            return Ok(None);
        }
        if !now.0.is_root() {
            let text =
                format!("{self}: only root can become somebody else, and this is user id {}", now.0.as_raw());
            return Err(Refusal::new(PERM, text));
        }
        Ok(Some(Other { names: self.clone(), user, gid }))
    }
}

impl std::fmt::Display for RunBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.user.as_str(), self.group.as_str()) {
            (user, "") => write!(f, "run_by_user = {user}"),
            ("", group) => write!(f, "run_by_group = {group}"),
            (user, group) => write!(f, "run_by_user = {user}, run_by_group = {group}"),
        }
    }
}

fn unknown(key: &str, name: &str, kind: &str) -> Refusal {
    Refusal::new(NOENT, format!("{key} = {name}: there is no {kind} of this name"))
}

impl Other {
    /// Gives these folders away, makes those that are missing, and becomes the other for good.
    pub fn become_it(&self, folders: &[PathBuf]) -> Result<(), Refusal> {
        for folder in folders {
            self.give(folder).map_err(|error| {
                Refusal::io(format!("{}: cannot give {} away", self.names, folder.display()), &error)
            })?;
        }
        self.switch().map_err(|error| Refusal::io(&self.names, &error))?;
        tracing::info!(
            user = self.names.user,
            group = self.names.group,
            uid = rustix::process::geteuid().as_raw(),
            gid = rustix::process::getegid().as_raw(),
            "privileges are dropped"
        );
        Ok(())
    }

    /// State files each time; the tree of payload files, which is large, only when the folder itself has another owner.
    fn give(&self, folder: &Path) -> io::Result<()> {
        match fs::create_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let all = !self.owns(folder)?;
        let (began, mut count) = (Instant::now(), 0);
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if all || !is_payload(&path) {
                self.give_tree(&path, &mut count)?;
            }
        }
        // Last: a start that was interrupted begins again.
        self.give_one(folder, &mut count)?;
        if all && count > 0 {
            tracing::info!(folder = %folder.display(), count, seconds = began.elapsed().as_secs(), "{}: given away", self.names);
        }
        Ok(())
    }

    fn give_tree(&self, path: &Path, count: &mut u64) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.give_tree(&entry?.path(), count)?;
            }
        }
        self.give_one(path, count)
    }

    fn give_one(&self, path: &Path, count: &mut u64) -> io::Result<()> {
        if !self.owns(path)? {
            let uid = self.user.as_ref().map(|(_, uid)| *uid);
            rustix::fs::chownat(CWD, path, uid, Some(self.gid), AtFlags::SYMLINK_NOFOLLOW)?;
            *count += 1;
        }
        Ok(())
    }

    fn owns(&self, path: &Path) -> io::Result<bool> {
        let found = rustix::fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
        let user = self.user.as_ref().is_none_or(|(_, uid)| uid.as_raw() == found.st_uid);
        Ok(user && self.gid.as_raw() == found.st_gid)
    }

    fn switch(&self) -> io::Result<()> {
        let done = |result: libc::c_int| match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        };
        let gid = self.gid.as_raw();
        // The functions of the C library change all threads, the system calls one.
        // SAFETY: `name` ends in NUL and lives through the call; `gid` is one number, as the count says.
        done(unsafe {
            match &self.user {
                Some((name, _)) => libc::initgroups(name.as_ptr(), gid),
                None => libc::setgroups(1, &raw const gid),
            }
        })?;
        // SAFETY: no memory is involved.
        done(unsafe { libc::setresgid(gid, gid, gid) })?;
        if let Some((_, uid)) = &self.user {
            let uid = uid.as_raw();
            // SAFETY: no memory is involved.
            done(unsafe { libc::setresuid(uid, uid, uid) })?;
        }
        Ok(())
    }
}

/// Whether this is one of the folders `00` to `FF`.
fn is_payload(path: &Path) -> bool {
    let name = path.file_name().map(std::ffi::OsStr::as_encoded_bytes).unwrap_or_default();
    name.len() == 2 && name.iter().all(u8::is_ascii_hexdigit)
}

/// Ids of a user.
fn user(name: &CStr) -> io::Result<Option<(Uid, Gid)>> {
    let mut text = vec![0u8; ENTRY];
    // SAFETY: all zeros is a value of this structure of numbers and pointers.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: `name` ends in NUL; the other pointers are to memory of this function, of the length given.
    let error = unsafe {
        libc::getpwnam_r(name.as_ptr(), &raw mut entry, text.as_mut_ptr().cast(), text.len(), &raw mut found)
    };
    let ids = || (Uid::from_raw(entry.pw_uid), Gid::from_raw(entry.pw_gid));
    answer(error, !found.is_null(), ids)
}

/// Id of a group.
fn group(name: &CStr) -> io::Result<Option<Gid>> {
    let mut text = vec![0u8; ENTRY];
    // SAFETY: all zeros is a value of this structure of numbers and pointers.
    let mut entry: libc::group = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: as above.
    let error = unsafe {
        libc::getgrnam_r(name.as_ptr(), &raw mut entry, text.as_mut_ptr().cast(), text.len(), &raw mut found)
    };
    answer(error, !found.is_null(), || Gid::from_raw(entry.gr_gid))
}

/// Of a look-up: some systems answer an unknown name with an error.
fn answer<T>(error: libc::c_int, found: bool, value: impl FnOnce() -> T) -> io::Result<Option<T>> {
    match error {
        _ if found => Ok(Some(value())),
        0 | libc::ENOENT | libc::ESRCH => Ok(None),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(user: &str, group: &str) -> RunBy {
        RunBy { user: user.into(), group: group.into() }
    }

    #[test]
    fn names_are_looked_up() {
        assert!(by("", "").find().unwrap().is_none());
        for (names, text) in [
            (by("no such user", ""), "run_by_user = no such user: there is no user of this name"),
            (by("", "no such group"), "run_by_group = no such group: there is no group of this name"),
            (by("root", "no such group"), "run_by_group = no such group: there is no group of this name"),
            (by("a\0b", ""), "run_by_user = a\0b: there is no user of this name"),
        ] {
            let refusal = names.find().unwrap_err();
            assert_eq!((refusal.text.as_str(), refusal.code), (text, NOENT));
        }
        let root = CString::new("root").unwrap();
        assert_eq!(user(&root).unwrap(), Some((Uid::ROOT, Gid::ROOT)));
        assert_eq!(group(&root).unwrap(), Some(Gid::ROOT));
    }

    #[test]
    fn only_root_becomes_somebody_else() {
        let found = by("nobody", "").find();
        if rustix::process::geteuid().is_root() {
            assert_eq!(found.unwrap().unwrap().user.unwrap().1, user(c"nobody").unwrap().unwrap().0);
        } else if rustix::process::geteuid() != user(c"nobody").unwrap().unwrap().0 {
            let refusal = found.unwrap_err();
            assert!(refusal.code == PERM && refusal.text.contains("only root"), "{refusal}");
        }
    }

    #[test]
    fn payload_folders() {
        for (name, payload) in [("00", true), ("FF", true), ("sync", false), ("0G", false), ("000", false)] {
            assert_eq!(is_payload(Path::new("/x/data").join(name).as_path()), payload);
        }
    }
}
