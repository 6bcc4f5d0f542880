//! The access log: a line per request of a client (storage 16).

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fdfs_core::settings::{LogFormat, StorageSettings, TimePrecision};
use fdfs_core::wire::cmd;
use fdfs_net::log::{LocalTime, LogFile};

/// Bytes that are gathered before they are written, at the latest by [`AccessLog::flush`].
const GATHERED: usize = 64 << 10;

/// `base_path/logs/storage_access.log`.
pub struct AccessLog {
    file: LogFile,
    micros: bool,
    json: bool,
    lines: Mutex<String>,
}

/// What a line tells.
pub struct Line<'a> {
    /// Begin of the handling.
    pub at: SystemTime,
    /// The client.
    pub client: IpAddr,
    /// See [`action`].
    pub action: &'static str,
    /// The file, once it is known.
    pub name: Option<&'a str>,
    /// What was answered.
    pub status: u8,
    /// How long it took.
    pub took: Duration,
    /// Bytes of the request, header included.
    pub request: u64,
    /// Bytes of the answer, header included.
    pub answer: u64,
}

/// The word for a command; `None`: it is not logged.
pub fn action(command: u8) -> Option<&'static str> {
    Some(match command {
        cmd::UPLOAD_FILE | cmd::UPLOAD_APPENDER_FILE | cmd::UPLOAD_SLAVE_FILE => "upload",
        cmd::APPEND_FILE => "append",
        cmd::MODIFY_FILE => "modify",
        cmd::TRUNCATE_FILE => "truncate",
        cmd::DOWNLOAD_FILE => "download",
        cmd::DELETE_FILE => "delete",
        cmd::GET_METADATA => "get_metadata",
        cmd::SET_METADATA => "set_metadata",
        cmd::QUERY_FILE_INFO => "status",
        cmd::REGENERATE_APPENDER_FILENAME => "rename",
        _ => return None,
    })
}

impl AccessLog {
    /// Opens it, if it is switched on.
    pub fn open(settings: &StorageSettings) -> io::Result<Option<Self>> {
        if !settings.access_log.enabled {
            return Ok(None);
        }
        let path = Path::new(&settings.base_path).join("logs/storage_access.log");
        let micros = settings.access_log.time_precision == TimePrecision::Micros;
        let log = Self {
            file: LogFile::open(&path, settings.access_log.file())?,
            micros,
            json: settings.log_format == LogFormat::Json,
            lines: Mutex::default(),
        };
        if std::fs::metadata(&path)?.len() == 0 && !log.json {
            let unit = if micros { "us" } else { "ms" };
            let columns = format!("client_ip action filename status time_used_{unit} req_len resp_len\n");
            log.add(&(log.time(SystemTime::now()) + &columns));
        }
        Ok(Some(log))
    }

    /// Adds a line.
    pub fn note(&self, line: &Line<'_>) {
        let name = line.name.unwrap_or("-");
        let took = if self.micros { line.took.as_micros() } else { line.took.as_millis() };
        let (client, action, status) = (line.client, line.action, line.status);
        let mut text = String::with_capacity(160);
        if self.json {
            let unit = if self.micros { "us" } else { "ms" };
            let at = line.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            // No part can hold a character that JSON would have to escape.
            let _ = writeln!(
                text,
                "{{\"time\":{at:.6},\"client\":\"{client}\",\"action\":\"{action}\",\"name\":\"{name}\",\
                 \"status\":{status},\"took_{unit}\":{took},\"request\":{},\"answer\":{}}}",
                line.request, line.answer
            );
        } else {
            text += &self.time(line.at);
            let _ =
                writeln!(text, "{client} {action} {name} {status} {took} {} {}", line.request, line.answer);
        }
        self.add(&text);
    }

    /// Writes what is gathered.
    pub fn flush(&self) -> io::Result<()> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        if lines.is_empty() { Ok(()) } else { (&self.file).write_all(lines.as_bytes()) }
    }

    /// Starts a new file.
    pub fn rotate(&self) -> io::Result<()> {
        self.flush()?;
        self.file.rotate()
    }

    /// Whether SIGHUP starts a new file.
    pub fn rotates(&self) -> bool {
        self.file.rotates_daily()
    }

    fn add(&self, line: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_str(line);
        if lines.len() >= GATHERED {
            let full = std::mem::take(&mut *lines);
            // Under the lock, so that lines stay in order.
            if let Err(error) = (&self.file).write_all(full.as_bytes()) {
                tracing::error!(%error, "the access log cannot be written");
            }
        }
    }

    /// `[YYYY-MM-DD hh:mm:ss.fff] ` in local time.
    fn time(&self, at: SystemTime) -> String {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let local = LocalTime::of(i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        match self.micros {
            true => format!("[{local}.{:06}] ", since.subsec_micros()),
            false => format!("[{local}.{:03}] ", since.subsec_millis()),
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}
