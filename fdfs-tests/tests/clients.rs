//! Every method of the clients from PyPI (`clients/api.py`); the tools' own arguments are tried in `tools.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::process::Command;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::programs;

#[test]
fn every_method() {
    let cluster = Cluster::start("clients", 1);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/api.py");
    let mut wrong = Vec::new();
    for (index, kind) in ["py3fdfs", "fastdfs-client"].into_iter().enumerate() {
        let tracker = cluster.tracker(index);
        let output = Command::new(programs::python())
            .arg(&script)
            .args([kind, &tracker.ip().to_string(), &tracker.port().to_string()])
            .arg(cluster.dir())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("== {kind}\n{said}{}", String::from_utf8_lossy(&output.stderr));
        let lines: Vec<&str> = said.lines().collect();
        assert!(lines.len() >= 10, "{kind} stopped: {}", String::from_utf8_lossy(&output.stderr));
        wrong
            .extend(lines.iter().filter(|line| !line.contains(": ok")).map(|line| format!("{kind}: {line}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
