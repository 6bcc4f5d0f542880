//! Members of a group in one process, without trackers: real sockets, real files.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fdfs_core::binlog::{Mark, Op, Record};
use fdfs_core::dist::Dist;
use fdfs_core::fileid::{Blob, FileName, Kind, Source, StorePath, crc32};
use fdfs_core::ident::{Extension, GroupName, StorageId, StorageStatus};
use fdfs_core::settings::{Reserve, StorageIds, StorageSettings, StorePathConf};
use fdfs_core::wire::{Header, cmd};
use fdfs_net::{CancellationToken, Part, Server, ServerConf};
use fdfs_storage::binlog::Binlog;
use fdfs_storage::disk::StorePaths;
use fdfs_storage::identity::{Identity, Params};
use fdfs_storage::link::Calls;
use fdfs_storage::service::StorageService;
use fdfs_storage::state::{InitFlag, Stat};
use fdfs_storage::{Member as Known, Storage, sync};

pub const GROUP: &str = "group1";
/// Longest wait for anything.
pub const LIMIT: Duration = Duration::from_secs(150);

/// A member that serves, and sends when told to.
pub struct Member {
    pub addr: SocketAddr,
    pub storage: Arc<Storage>,
    pub base: PathBuf,
    stop: CancellationToken,
    serving: Option<JoinHandle<()>>,
    sending: Option<(CancellationToken, Part<()>)>,
}

impl Member {
    /// Member `n`, in a folder below `dir`: as before if it was there before.
    pub fn start(dir: &Path, n: u8) -> Self {
        Self::start_with(dir, n, |_| {})
    }

    pub fn start_with(dir: &Path, n: u8, change: impl FnOnce(&mut StorageSettings)) -> Self {
        let base = dir.join(format!("member{n}"));
        std::fs::create_dir_all(base.join("data")).unwrap();
        let path = StorePathConf { path: base.to_str().unwrap().into(), readonly: false };
        let mut settings = StorageSettings {
            base_path: base.to_str().unwrap().into(),
            subdir_count_per_path: 4,
            store_path_count: 1,
            store_paths: vec![path],
            ..StorageSettings::default()
        };
        change(&mut settings);
        let params = Params {
            use_storage_id: true,
            id_in_names: false,
            trust_server_id: false,
            store_path: 0,
            reserve: Reserve::Bytes(0),
            wide_addresses: false,
            ip_changed_auto_adjust: false,
            ids: StorageIds::default(),
        };
        let identity = Identity {
            group: GroupName::new(GROUP.as_bytes()).unwrap(),
            id: id(n),
            ips: vec![[10, 66, 0, n].into()],
            port: 23000,
            source: Source::Ip([10, 66, 0, n].into()),
            up_time: 1,
        };
        Self::start_as(settings, identity, params)
    }

    /// As who it is, wherever it is configured to be.
    pub fn start_as(settings: StorageSettings, identity: Identity, params: Params) -> Self {
        let base = PathBuf::from(&settings.base_path);
        let data = base.join("data");
        let store = StorePaths::open(&settings.store_paths, settings.subdir_count_per_path).unwrap();
        let binlog = Binlog::open(&data.join("sync")).unwrap();
        let init = InitFlag::open(&data, 1).unwrap();
        let mut conf = ServerConf::new(vec!["127.0.0.1:0".parse().unwrap()]);
        conf.workers = 2;
        conf.buff_size = settings.buffer();
        let stat = Stat::new(&[0; 42]);
        let storage =
            Storage::new(settings, identity, params, store, binlog, stat, Dist::default(), init).unwrap();
        let bound = Server::bind(conf).unwrap();
        let addr = bound.local_addrs()[0];
        let stop = CancellationToken::new();
        let (service, stopped) = (Arc::new(StorageService(Arc::clone(&storage))), stop.clone());
        let serving = Some(std::thread::spawn(move || bound.run(service, stopped).unwrap()));
        Self { addr, storage, base, stop, serving, sending: None }
    }

    /// From now on it sends to the members at these addresses; to those without a mark, from the beginning of its log.
    pub fn send_to(&mut self, peers: &[(u8, SocketAddr)]) {
        self.stop_sending();
        let mut list =
            vec![Known { id: self.storage.identity.id, addr: self.addr, status: StorageStatus::Active }];
        for &(n, addr) in peers {
            list.push(Known { id: id(n), addr, status: StorageStatus::Active });
            let mark = self.mark_file(n);
            if !mark.exists() {
                std::fs::write(&mark, Mark::default().to_string()).unwrap();
            }
        }
        self.storage.members.set(list);
        let stop = CancellationToken::new();
        let (storage, stopped) = (Arc::clone(&self.storage), stop.clone());
        let part = Part::start("sync".into(), move || async move {
            sync::run(&storage, &Calls::new(&storage, &[]), &stopped).await;
        });
        self.sending = Some((stop, part.unwrap()));
    }

    pub fn stop_sending(&mut self) {
        if let Some((stop, part)) = self.sending.take() {
            stop.cancel();
            part.join().unwrap();
        }
    }

    pub fn mark_file(&self, n: u8) -> PathBuf {
        self.base.join(format!("data/sync/{}.mark", id(n)))
    }

    pub fn mark(&self, n: u8) -> Mark {
        Mark::parse(&std::fs::read_to_string(self.mark_file(n)).unwrap()).unwrap()
    }

    /// Waits until this member has sent everything to `peers`.
    pub fn wait_sent(&self, peers: usize) {
        let end = Instant::now() + LIMIT;
        loop {
            let lags = self.storage.peers.lags();
            let log = self.storage.binlog.end();
            if lags.len() == peers && lags.iter().all(|(_, lag)| lag.confirmed == log && lag.connected) {
                return;
            }
            assert!(Instant::now() < end, "not everything is sent up to {log}: {lags:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn path_of(&self, name: &str) -> PathBuf {
        self.base.join("data").join(&name[4..])
    }

    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        std::fs::read(self.path_of(name)).ok()
    }

    /// A change as a client's: the file first here, as no other change of it is under way.
    pub fn log(&self, op: Op, name: &str, more: Option<String>) {
        let timestamp = fdfs_storage::now();
        self.log_at(timestamp, op, name, more);
    }

    pub fn log_at(&self, timestamp: i64, op: Op, name: &str, more: Option<String>) {
        let pending = if matches!(op, Op::Create | Op::Update | Op::Link) {
            let name = FileName::parse(name.as_bytes(), 1).unwrap();
            self.storage.log(timestamp, op, &name, more)
        } else {
            let record = Record { timestamp, op, replica: false, name: name.to_owned(), more };
            self.storage.binlog.append(&record)
        };
        pending.unwrap().settle();
    }

    /// A file with a name that may have been deleted before; its time is that of its record.
    pub fn make(&self, op: Op, name: &str, content: &[u8]) {
        let checked = FileName::parse(name.as_bytes(), 1).unwrap();
        let pending = self.storage.log(fdfs_storage::now(), op, &checked, None).unwrap();
        std::fs::write(self.path_of(name), content).unwrap();
        fdfs_storage::disk::set_mtime(&self.storage.paths, &checked, pending.time()).unwrap();
        pending.settle();
    }

    /// A new file with a generated name.
    pub fn create(&self, kind: Kind, content: &[u8]) -> String {
        let name = name_of(self.storage.identity.source, kind, content);
        std::fs::write(self.path_of(&name), content).unwrap();
        self.log(Op::Create, &name, None);
        name
    }

    /// As the daemon does it: alone, record first. `false`: the file is gone.
    fn alone(
        &self,
        name: &str,
        change: impl FnOnce(Vec<u8>) -> (Op, String, Option<String>, Option<Vec<u8>>),
    ) -> bool {
        let checked = FileName::parse(name.as_bytes(), 1).unwrap();
        let _alone = self.storage.lock_name(&checked);
        let Some(content) = self.read(name) else { return false };
        let (op, logged, more, content) = change(content);
        // A delete is later than the file.
        let mtime = std::fs::metadata(self.path_of(name)).unwrap().modified().unwrap();
        let mtime = i64::try_from(mtime.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let least = if op == Op::Delete { mtime + 1 } else { 0 };
        let timestamp = fdfs_storage::now().max(least);
        let record = Record { timestamp, op, replica: false, name: logged.clone(), more };
        let pending = self.storage.binlog.append(&record).unwrap();
        match content {
            Some(content) => std::fs::write(self.path_of(name), content).unwrap(),
            None if op == Op::Rename => std::fs::rename(self.path_of(name), self.path_of(&logged)).unwrap(),
            None => std::fs::remove_file(self.path_of(name)).unwrap(),
        }
        pending.settle();
        true
    }

    pub fn append(&self, name: &str, bytes: &[u8]) -> bool {
        self.alone(name, |mut content| {
            let more = format!("{} {}", content.len(), bytes.len());
            content.extend_from_slice(bytes);
            (Op::Append, name.to_owned(), Some(more), Some(content))
        })
    }

    pub fn modify(&self, name: &str, start: usize, bytes: &[u8]) -> bool {
        self.alone(name, |mut content| {
            content.resize(content.len().max(start + bytes.len()), 0);
            content[start..start + bytes.len()].copy_from_slice(bytes);
            (Op::Modify, name.to_owned(), Some(format!("{start} {}", bytes.len())), Some(content))
        })
    }

    pub fn truncate(&self, name: &str, size: usize) -> bool {
        self.alone(name, |mut content| {
            let more = format!("{} {size}", content.len());
            content.resize(size, 0);
            (Op::Truncate, name.to_owned(), Some(more), Some(content))
        })
    }

    pub fn rename(&self, old: &str) -> String {
        self.try_rename(old).unwrap()
    }

    pub fn try_rename(&self, old: &str) -> Option<String> {
        let mut new = String::new();
        let source = self.storage.identity.source;
        let done = self.alone(old, |content| {
            new = name_of(source, Kind::Normal, &content);
            (Op::Rename, new.clone(), Some(old.to_owned()), None)
        });
        done.then_some(new)
    }

    pub fn delete(&self, name: &str) -> bool {
        self.alone(name, |_| (Op::Delete, name.to_owned(), None, None))
    }

    /// Records of this member's log, without their times.
    pub fn records(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.base.join("data/sync/binlog.000")).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some((stop, part)) = self.sending.take() {
            stop.cancel();
            let _ = part.join();
        }
        self.stop.cancel();
        if let Some(thread) = self.serving.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

pub fn id(n: u8) -> StorageId {
    StorageId::new(format!("10000{n}").as_bytes()).unwrap()
}

pub fn name_of(source: Source, kind: Kind, content: &[u8]) -> String {
    let now = u32::try_from(fdfs_storage::now()).unwrap();
    let blob = Blob::new(source, now, kind, content.len() as u64, crc32(content), fastrand::u32(..));
    let path = StorePath::new(0, 1).unwrap();
    FileName::generate(path, (0, 1), &blob, Extension::new(b"txt").unwrap(), fastrand::u32(..)).logic()
}

/// A server of the existing kind: `answer` says status and body for each request, which is the number of the connection and
/// the whole message. It closes after a status 22, and after the list of a store path (26), whose length it does not say.
pub fn existing(answer: impl Fn(usize, &[u8]) -> (u8, Vec<u8>) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            std::thread::spawn(move || {
                loop {
                    let mut request = vec![0; Header::SIZE];
                    if stream.read_exact(&mut request).is_err() {
                        return;
                    }
                    let len = Header::decode(request.first_chunk().unwrap()).len;
                    request.resize(Header::SIZE + usize::try_from(len).unwrap(), 0);
                    if stream.read_exact(&mut request[Header::SIZE..]).is_err() {
                        return;
                    }
                    let (status, body) = answer(number, &request);
                    let list = request[8] == cmd::FETCH_ONE_PATH_BINLOG;
                    let len = if list { 1 << 58 } else { body.len() as i64 };
                    let head = Header { len, cmd: cmd::RESPONSE, status };
                    let told = stream.write_all(&[&head.encode()[..], &body].concat());
                    if told.is_err() || status == 22 || list {
                        return;
                    }
                }
            });
        }
    });
    addr
}

pub fn until(what: impl std::fmt::Display, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
