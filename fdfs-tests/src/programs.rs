//! Where the programs under test are.

use std::path::{Path, PathBuf};

fn find(variable: &str, default: &str, how: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| target().join(default), PathBuf::from);
    assert!(path.exists(), "{} is missing: {how}, or set {variable}", path.display());
    path
}

fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    target.join("fast")
}

pub fn trackerd() -> PathBuf {
    find("FDFS_TRACKERD", "fdfs_trackerd", "build it with ci/build")
}

pub fn storaged() -> PathBuf {
    find("FDFS_STORAGED", "fdfs_storaged", "build it with ci/build")
}

pub fn module() -> PathBuf {
    let path = find("FDFS_NGINX_MODULE", "ngx_http_fastdfs_module.so", "build it with ci/build-module");
    path.canonicalize().unwrap()
}

pub fn nginx() -> PathBuf {
    let found = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"]
        .iter()
        .find(|path| Path::new(path).exists());
    find("FDFS_NGINX", found.copied().unwrap_or("nginx"), "install nginx")
}

pub fn python() -> PathBuf {
    let default = target().parent().unwrap().join("venv/bin/python");
    find("FDFS_PYTHON", &default.to_string_lossy(), "make it with ci/venv")
}

/// Program and first arguments of a tool such as `upload_file`.
pub fn tool(name: &str) -> (PathBuf, Vec<String>) {
    let tools = find("FDFS_TOOLS", "fdfs", "build it with ci/build");
    if tools.is_dir() {
        (tools.join(format!("fdfs_{name}")), Vec::new())
    } else {
        (tools, vec![name.to_owned()])
    }
}

/// `fdfs_rebuild_binlog`.
pub fn rebuild_binlog() -> PathBuf {
    find("FDFS_REBUILD_BINLOG", "fdfs_rebuild_binlog", "build it with ci/build")
}

/// `fdfs_verify`.
pub fn verify() -> PathBuf {
    find("FDFS_VERIFY", "fdfs_verify", "build it with ci/build")
}

/// The library that gives a process another wall clock.
pub fn faketime() -> PathBuf {
    let arch = std::env::consts::ARCH;
    let found = format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketime.so.1");
    find("FDFS_FAKETIME", &found, "install libfaketime")
}
