//! An ext4 file system in a file.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Whether disks can be mounted here. Who is not root is told so; with `FDFS_DISKS=required`, as in CI, the tests run and
/// fail.
pub fn possible() -> bool {
    let possible = rustix::process::geteuid().is_root();
    if !possible {
        eprintln!("only root can mount disks: this test checked nothing");
    }
    possible || std::env::var("FDFS_DISKS").is_ok_and(|value| value == "required")
}

/// A mounted image; unmounted and removed when dropped.
pub struct Ext4 {
    mounted: bool,
    dir: tempfile::TempDir,
}

impl Ext4 {
    /// Makes and mounts one of `mib` MiB.
    pub fn new(mib: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = std::fs::File::create(dir.path().join("image")).unwrap();
        image.set_len(mib << 20).unwrap();
        std::fs::create_dir(dir.path().join("mount")).unwrap();
        let mut made = Self { mounted: false, dir };
        run("mkfs.ext4", &[Path::new("-q"), Path::new("-m0"), &made.image()]);
        made.mount();
        made
    }

    /// Where it is mounted.
    pub fn at(&self) -> PathBuf {
        self.dir.path().join("mount")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    pub fn mount(&mut self) {
        run("mount", &[Path::new("-oloop"), &self.image(), &self.at()]);
        self.mounted = true;
    }

    /// Waits until nothing is being written.
    pub fn remount(&self, how: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        let options = format!("remount,{how}");
        loop {
            let done = Command::new("mount").args(["-o", &options]).arg(self.at()).output().unwrap();
            if done.status.success() {
                return;
            }
            assert!(Instant::now() < end, "{}", String::from_utf8_lossy(&done.stderr));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until nothing uses it any more.
    pub fn unmount(&mut self) {
        let end = Instant::now() + Duration::from_secs(60);
        while !Command::new("umount").arg(self.at()).output().is_ok_and(|done| done.status.success()) {
            assert!(Instant::now() < end, "{} stays in use", self.at().display());
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mounted = false;
    }

    /// What a power cut does: nothing more reaches the disk.
    pub fn cut_power(&self) {
        /// `EXT4_IOC_SHUTDOWN`, with the journal as it is on the disk.
        const SHUTDOWN: libc::c_ulong = 0x8004_587D;
        let how: u32 = 2;
        let folder = std::fs::File::open(self.at()).unwrap();
        // SAFETY: the call reads one u32 and keeps nothing of it.
        let done = unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&folder), SHUTDOWN, &raw const how) };
        assert_eq!(done, 0, "EXT4_IOC_SHUTDOWN: {}", std::io::Error::last_os_error());
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        if self.mounted && std::thread::panicking() {
            let _ = Command::new("umount").arg("-l").arg(self.at()).output();
        } else if self.mounted {
            self.unmount();
        }
    }
}

fn run(program: &str, args: &[&Path]) {
    let done = Command::new(program).args(args).output();
    let done = done.unwrap_or_else(|error| panic!("{program}: {error}; see ci/packages test"));
    let text = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {args:?} needs root and a loop device: {}", text.trim());
}
