//! A client from PyPI, as a process that takes one request a line.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::programs;

/// A running client.
pub struct Driver {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Driver {
    /// `kind` is `py3fdfs` or `fastdfs-client`.
    pub fn start(kind: &str, tracker: SocketAddr) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/driver.py");
        let mut child = Command::new(programs::python())
            .arg(script)
            .args([kind, &tracker.ip().to_string(), &tracker.port().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn ask(&mut self, request: &Value) -> Result<String, String> {
        writeln!(self.input, "{request}").map_err(|error| error.to_string())?;
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
        match answer["ok"].as_str() {
            Some(ok) => Ok(ok.to_owned()),
            None => Err(answer["error"].as_str().unwrap_or("no answer").to_owned()),
        }
    }

    /// Uploads the content of a file from memory, with an extension or none.
    pub fn upload(&mut self, path: &Path, ext: Option<&str>) -> Result<String, String> {
        self.ask(&json!({"op": "upload", "path": path, "ext": ext}))
    }

    /// Uploads a file by its name; the only way these clients have for an empty one.
    pub fn upload_file(&mut self, path: &Path) -> Result<String, String> {
        self.ask(&json!({"op": "upload_file", "path": path}))
    }

    pub fn download(&mut self, id: &str, path: &Path) -> Result<String, String> {
        self.ask(&json!({"op": "download", "id": id, "path": path}))
    }

    pub fn delete(&mut self, id: &str) -> Result<String, String> {
        self.ask(&json!({"op": "delete", "id": id}))
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
