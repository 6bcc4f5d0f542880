//! Pages of metrics, read by Prometheus' own parser.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::programs;

/// Name, labels, value.
pub type Sample = (String, BTreeMap<String, String>, f64);

/// The samples of a page.
pub fn samples(page: &[u8]) -> Vec<Sample> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/metrics.py");
    let mut reader = Command::new(programs::python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    reader.stdin.take().unwrap().write_all(page).unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(page));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
