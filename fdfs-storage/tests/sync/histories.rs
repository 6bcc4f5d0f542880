//! Random histories: changes of all kinds on all members, with restarts, cuts, standstills and lost marks in between. In the
//! end every member has what the model has.
//!
//! `FDFS_HISTORY=operations,seed` runs one of another length; the seeds of a run are printed.

use std::collections::BTreeMap;
use std::path::Path;

use fdfs_core::binlog::Op;
use fdfs_core::fileid::Kind;

use crate::proxy::Proxy;
use crate::support::{LIMIT, Member, until};

const MEMBERS: u8 = 3;

struct File {
    home: usize,
    kind: Kind,
    content: Vec<u8>,
}

struct World<'a> {
    dir: &'a Path,
    random: fastrand::Rng,
    members: Vec<Option<Member>>,
    proxies: Vec<Proxy>,
    /// Every file that was not deleted, by name.
    files: BTreeMap<String, File>,
    marks: BTreeMap<(usize, u8), Vec<u8>>,
    done: BTreeMap<&'static str, u32>,
}

impl<'a> World<'a> {
    fn new(dir: &'a Path, seed: u64) -> Self {
        let members: Vec<_> = (0..MEMBERS).map(|n| Some(Member::start(dir, n + 1))).collect();
        let proxies = members.iter().flatten().map(|member| Proxy::start(member.addr)).collect();
        let random = fastrand::Rng::with_seed(seed);
        let mut world = Self {
            dir,
            random,
            members,
            proxies,
            files: BTreeMap::new(),
            marks: BTreeMap::new(),
            done: BTreeMap::new(),
        };
        (0..usize::from(MEMBERS)).for_each(|index| world.connect(index));
        world
    }

    fn member(&self, index: usize) -> &Member {
        self.members[index].as_ref().unwrap()
    }

    fn connect(&mut self, index: usize) {
        let peers: Vec<_> = (0..MEMBERS)
            .filter(|n| usize::from(*n) != index)
            .map(|n| (n + 1, self.proxies[usize::from(n)].addr))
            .collect();
        self.members[index].as_mut().unwrap().send_to(&peers);
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let len = self.random.usize(..most);
        let byte = self.random.u8(..);
        (0..len).map(|n| byte.wrapping_add((n % 251) as u8)).collect()
    }

    fn step(&mut self) {
        let index = self.random.usize(..usize::from(MEMBERS));
        let what = match self.random.u8(..100) {
            0..28 => self.create(index),
            28..40 => self.delete(index),
            40..80 => self.change(),
            80..86 => self.metadata(),
            86..90 => self.slave(),
            90..93 => self.restart(index),
            93..95 => self.replay(index),
            95..97 => {
                self.proxies[index].cut(self.random.bool());
                "cut"
            }
            97 => {
                self.proxies[index].still(true);
                "standstill"
            }
            _ => {
                self.proxies.iter().for_each(Proxy::pass);
                "pass"
            }
        };
        *self.done.entry(what).or_default() += 1;
        if self.random.u8(..10) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(self.random.u64(..15)));
        }
    }

    fn create(&mut self, home: usize) -> &'static str {
        let kind = if self.random.bool() { Kind::Normal } else { Kind::Appender };
        let most = if self.random.u8(..20) == 0 { 400_000 } else { 3000 };
        let content = self.bytes(most);
        let name = self.member(home).create(kind, &content);
        self.files.insert(name, File { home, kind, content });
        "create"
    }

    /// A file that its home has, with its name.
    fn some_file(&mut self, fits: impl Fn(&File) -> bool) -> Option<String> {
        let fitting: Vec<&String> =
            self.files.iter().filter(|(_, file)| fits(file)).map(|(name, _)| name).collect();
        (!fitting.is_empty()).then(|| fitting[self.random.usize(..fitting.len())].clone())
    }

    /// Deletes a file where it is there, wherever it is from.
    fn delete(&mut self, index: usize) -> &'static str {
        let Some(name) = self.some_file(|_| true) else { return "nothing" };
        let plain = name.ends_with("-m") || name.contains("_slave");
        // Slaves and metadata may be made again: their home knows in which order.
        let index = if plain { self.files[&name].home } else { index };
        if !self.member(index).delete(&name) {
            return "not there yet";
        }
        let metadata = format!("{name}-m");
        self.member(index).delete(&metadata);
        self.files.remove(&name);
        self.files.remove(&metadata);
        "delete"
    }

    fn change(&mut self) -> &'static str {
        let Some(name) = self.some_file(|file| file.kind == Kind::Appender) else { return "nothing" };
        let home = self.files[&name].home;
        // Deleted elsewhere, as the home has heard meanwhile, are not in the model any more.
        let Some(now) = self.member(home).read(&name) else { return "nothing" };
        let what = match self.random.u8(..10) {
            0..5 => {
                let most = if self.random.u8(..15) == 0 { 600_000 } else { 500 };
                let bytes = self.bytes(most);
                if bytes.is_empty() {
                    return "nothing";
                }
                if self.member(home).append(&name, &bytes) { "append" } else { "nothing" }
            }
            5..7 => {
                let start = self.random.usize(..=now.len());
                let bytes = self.bytes(400);
                if bytes.is_empty() {
                    return "nothing";
                }
                if self.member(home).modify(&name, start, &bytes) { "modify" } else { "nothing" }
            }
            7..9 => {
                let size = self.random.usize(..now.len().max(1) + 50);
                if size == now.len() {
                    return "nothing";
                }
                if self.member(home).truncate(&name, size) { "truncate" } else { "nothing" }
            }
            _ => {
                // The metadata of an appender stay under its old name: none here.
                if self.files.contains_key(&format!("{name}-m")) {
                    return "nothing";
                }
                let Some(new) = self.member(home).try_rename(&name) else { return "nothing" };
                let mut file = self.files.remove(&name).unwrap();
                (file.kind, file.content) = (Kind::Normal, now);
                self.files.insert(new, file);
                return "rename";
            }
        };
        if let Some(now) = self.member(home).read(&name) {
            self.files.get_mut(&name).unwrap().content = now;
        }
        what
    }

    fn metadata(&mut self) -> &'static str {
        let Some(name) = self.some_file(|file| file.kind == Kind::Normal) else { return "nothing" };
        if name.ends_with("-m") || name.contains("_slave") {
            return "nothing";
        }
        let home = self.files[&name].home;
        let metadata = format!("{name}-m");
        let member = self.member(home);
        if member.read(&name).is_none() {
            return "nothing";
        }
        let op = if member.read(&metadata).is_some() { Op::Update } else { Op::Create };
        let content = format!("a\x02{}", self.random.u32(..)).into_bytes();
        self.member(home).make(op, &metadata, &content);
        self.files.insert(metadata, File { home, kind: Kind::Trunk, content });
        "metadata"
    }

    fn slave(&mut self) -> &'static str {
        let Some(name) = self.some_file(|file| file.kind == Kind::Normal) else { return "nothing" };
        let slave = name.replace(".txt", "_slave.txt");
        if name.ends_with("-m") || name.contains("_slave") || self.files.contains_key(&slave) {
            return "nothing";
        }
        let home = self.files[&name].home;
        let content = self.bytes(500);
        self.member(home).make(Op::Create, &slave, &content);
        self.files.insert(slave, File { home, kind: Kind::Trunk, content });
        "slave"
    }

    fn restart(&mut self, index: usize) -> &'static str {
        self.members[index] = None;
        let member = Member::start(self.dir, u8::try_from(index).unwrap() + 1);
        self.proxies[index].cut(false);
        self.proxies[index].set_target(member.addr);
        self.members[index] = Some(member);
        self.connect(index);
        "restart"
    }

    /// A mark of long ago is all that a crash has left: the same records are sent again.
    fn replay(&mut self, index: usize) -> &'static str {
        let peer = u8::try_from((index + 1) % usize::from(MEMBERS)).unwrap() + 1;
        let file = self.member(index).mark_file(peer);
        self.members[index].as_mut().unwrap().stop_sending();
        let now = std::fs::read(&file).unwrap();
        if let Some(before) = self.marks.insert((index, peer), now) {
            std::fs::write(&file, before).unwrap();
        }
        self.connect(index);
        "replay"
    }

    fn check(&mut self) {
        self.proxies.iter().for_each(Proxy::pass);
        // A delete may reach a member after it has changed the file once more: until nobody has news for anybody.
        let quiet = |world: &Self| {
            (0..usize::from(MEMBERS)).all(|index| {
                let storage = &world.member(index).storage;
                let (end, lags) = (storage.binlog.end(), storage.peers.lags());
                lags.len() + 1 == usize::from(MEMBERS)
                    && lags.iter().all(|(_, lag)| lag.connected && lag.confirmed == end)
            })
        };
        until("all is sent", || quiet(self) && quiet(self));
        let model: BTreeMap<String, Vec<u8>> =
            self.files.iter().map(|(name, file)| (name.clone(), file.content.clone())).collect();
        for index in 0..usize::from(MEMBERS) {
            let found = tree(self.member(index));
            let (all, equal) =
                (found.keys().chain(model.keys()), |name: &&String| found.get(*name) == model.get(*name));
            let other: Vec<&String> = all.filter(|name| !equal(name)).collect();
            for name in other.iter().take(3) {
                let size = |content: Option<&Vec<u8>>| content.map(Vec::len);
                eprintln!(
                    "member {}: {name}: {:?}, model {:?}",
                    index + 1,
                    size(found.get(*name)),
                    size(model.get(*name))
                );
                for member in self.members.iter().flatten() {
                    let records: Vec<String> =
                        member.records().into_iter().filter(|line| line.contains(name.as_str())).collect();
                    eprintln!("  {} {records:?}", member.storage.identity.id);
                }
            }
            assert!(other.is_empty(), "{} names differ at member {}", other.len(), index + 1);
        }
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        self.proxies.iter().for_each(Proxy::pass);
        self.members.clear();
        self.proxies.iter().for_each(Proxy::end);
    }
}

fn tree(member: &Member) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let dir = member.base.join("data/00/01");
    for entry in std::fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = format!("M00/00/01/{}", entry.file_name().to_string_lossy());
        found.insert(name, std::fs::read(entry.path()).unwrap());
    }
    found
}

fn history(operations: usize, seed: u64) {
    println!("history of {operations} operations, seed {seed}, every wait at most {LIMIT:?}");
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(dir.path(), seed);
    for n in 0..operations {
        world.step();
        if n % 1000 == 999 {
            world.check();
        }
    }
    world.check();
    println!("{:?}", world.done);
}

#[test]
fn all_members_agree() {
    if let Ok(text) = std::env::var("FDFS_HISTORY") {
        let (operations, seed) = text.split_once(',').unwrap();
        return history(operations.parse().unwrap(), seed.parse().unwrap());
    }
    for seed in 1..=2 {
        history(300, seed);
    }
}
