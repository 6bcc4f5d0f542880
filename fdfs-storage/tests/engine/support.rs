//! A storage, and a client that says exactly the bytes it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fdfs_core::dist::Dist;
use fdfs_core::fileid::{FileName, Source};
use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::settings::{Reserve, StorageIds, StorageSettings, StorePathConf};
use fdfs_core::wire::Header;
use fdfs_net::{CancellationToken, Server, ServerConf};
use fdfs_storage::Storage;
use fdfs_storage::binlog::Binlog;
use fdfs_storage::disk::StorePaths;
use fdfs_storage::identity::{Identity, Params};
use fdfs_storage::service::StorageService;
use fdfs_storage::state::{InitFlag, Stat};

pub const GROUP: &str = "group1";
/// Longest wait for anything.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct Running {
    pub addr: SocketAddr,
    pub storage: Arc<Storage>,
    pub bases: Vec<PathBuf>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Running {
    pub fn start() -> Self {
        Self::with(1, |_, _| {})
    }

    /// A storage of `paths` store paths, 4 x 4 folders in each.
    pub fn with(paths: u32, change: impl FnOnce(&mut StorageSettings, &mut Params)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bases: Vec<PathBuf> = (0..paths).map(|n| dir.path().join(format!("path{n}"))).collect();
        for base in &bases {
            std::fs::create_dir(base).unwrap();
        }
        Self::on(dir, bases, change)
    }

    pub fn on(
        dir: tempfile::TempDir,
        bases: Vec<PathBuf>,
        change: impl FnOnce(&mut StorageSettings, &mut Params),
    ) -> Self {
        let path = |base: &PathBuf| StorePathConf { path: base.to_str().unwrap().into(), readonly: false };
        let mut settings = StorageSettings {
            base_path: dir.path().to_str().unwrap().into(),
            subdir_count_per_path: 4,
            store_path_count: bases.len() as u32,
            store_paths: bases.iter().map(path).collect(),
            ..StorageSettings::default()
        };
        let mut params = Params {
            use_storage_id: false,
            id_in_names: false,
            trust_server_id: false,
            store_path: 0,
            reserve: Reserve::Bytes(0),
            wide_addresses: false,
            ip_changed_auto_adjust: false,
            ids: StorageIds::default(),
        };
        change(&mut settings, &mut params);
        let identity = Identity {
            group: GroupName::new(GROUP.as_bytes()).unwrap(),
            id: StorageId::new(b"10.66.0.21").unwrap(),
            ips: vec![[10, 66, 0, 21].into()],
            port: 23000,
            source: match params.id_in_names {
                true => Source::Id(100_001),
                false => Source::Ip([10, 66, 0, 21].into()),
            },
            up_time: 1,
        };
        let data = Path::new(&settings.base_path).join("data");
        std::fs::create_dir_all(&data).unwrap();
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
        let thread = std::thread::spawn(move || bound.run(service, stopped).unwrap());
        Self { addr, storage, bases, stop, thread: Some(thread), _dir: dir }
    }

    pub fn client(&self) -> Client {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client(stream)
    }

    /// Where a file is on disk.
    pub fn file(&self, name: &str) -> PathBuf {
        let name = FileName::parse(name.as_bytes(), self.bases.len()).unwrap();
        let true_name = std::str::from_utf8(name.true_name()).unwrap();
        self.bases[name.path().index()].join("data").join(true_name)
    }

    /// Every file below the store paths, except the state files of the base path.
    pub fn tree(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for base in &self.bases {
            walk(&base.join("data"), &mut found);
        }
        found.sort();
        found
    }

    /// The lines of the replication log without their times.
    pub fn log(&self) -> Vec<String> {
        let path = self.storage.data_dir().join("sync/binlog.000");
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found.push(path);
        }
    }
}

pub fn mtime(path: &Path) -> i64 {
    std::fs::metadata(path).unwrap().mtime()
}

/// Waits for `done`.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !done() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub struct Client(pub TcpStream);

impl Client {
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next answer: status and body.
    pub fn answer(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; Header::SIZE];
        self.0.read_exact(&mut head).unwrap();
        let head = Header::decode(&head);
        assert_eq!(head.cmd, 100);
        let mut body = vec![0; usize::try_from(head.len).unwrap()];
        self.0.read_exact(&mut body).unwrap();
        (head.status, body)
    }

    pub fn call(&mut self, cmd: u8, body: &[u8]) -> (u8, Vec<u8>) {
        self.send(&request(cmd, body));
        self.answer()
    }

    /// Whether the server has closed, after everything it sent was read.
    pub fn closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 1]), Ok(0))
    }

    pub fn ping(&mut self) {
        assert_eq!(self.call(111, b""), (0, vec![]));
    }

    pub fn upload(&mut self, ext: &str, content: &[u8]) -> String {
        let (status, body) = self.call(11, &crate::bodies::upload(0xFF, ext, content));
        assert_eq!(status, 0);
        name_of(&body)
    }

    pub fn download(&mut self, name: &str, offset: i64, count: i64) -> (u8, Vec<u8>) {
        self.call(14, &crate::bodies::download(name, offset, count))
    }

    pub fn get_metadata(&mut self, name: &str) -> (u8, Vec<u8>) {
        self.call(15, &crate::bodies::name(name))
    }

    pub fn set_metadata(&mut self, name: &str, flag: u8, text: &[u8]) -> u8 {
        self.call(13, &crate::bodies::metadata(name, flag, text)).0
    }

    pub fn delete(&mut self, name: &str) -> u8 {
        self.call(12, &crate::bodies::name(name)).0
    }
}

pub fn request(cmd: u8, body: &[u8]) -> Vec<u8> {
    [&Header::request(cmd, body.len() as u64).encode()[..], body].concat()
}

/// The name in the answer of an upload.
pub fn name_of(body: &[u8]) -> String {
    assert_eq!(&body[..16], b"group1\0\0\0\0\0\0\0\0\0\0");
    String::from_utf8(body[16..].to_vec()).unwrap()
}
