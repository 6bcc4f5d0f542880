//! The log file: `[YYYY-MM-DD hh:mm:ss] LEVEL - text key=value`, or one JSON object a line.

mod file;
mod time;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use fdfs_core::settings::{LogFormat, LogLevel, LogSettings};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{DefaultFields, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;

pub use file::LogFile;
pub use time::{LocalTime, local_time};

/// Where a daemon's log goes.
#[derive(Debug, Clone)]
pub struct LogConf {
    /// The file, `base_path/logs/NAME.log`; `None` for stderr.
    pub path: Option<PathBuf>,
    /// Lines below this level are not written.
    pub level: LogLevel,
    /// Classic text or JSON.
    pub format: LogFormat,
    /// Rotation and clean-up.
    pub settings: LogSettings,
}

impl LogConf {
    /// `base_path/logs/NAME.log`.
    pub fn file_of(base_path: &Path, name: &str) -> PathBuf {
        base_path.join("logs").join(format!("{name}.log"))
    }
}

/// Opens the log and makes it the one of this process. The handle rotates it.
pub fn init(conf: &LogConf) -> std::io::Result<Option<Arc<LogFile>>> {
    let file = match &conf.path {
        Some(path) => Some(Arc::new(LogFile::open(path, conf.settings.clone())?)),
        None => None,
    };
    let sink = Sink(file.clone());
    let (level, change) = reload::Layer::new(filter(conf.level));
    let registry = tracing_subscriber::registry().with(level);
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(sink);
    let set = match conf.format {
        LogFormat::Json => {
            tracing::subscriber::set_global_default(registry.with(layer.json().flatten_event(true)))
        }
        _ => tracing::subscriber::set_global_default(registry.with(layer.event_format(Classic))),
    };
    if set.is_ok() {
        let _ = CHANGE.set(Box::new(move |level| drop(change.reload(filter(level)))));
    }
    // A second daemon in the same process (tests) writes to the log of the first.
    drop(set);
    Ok(file)
}

/// Changes the level of the log of this process.
pub fn set_level(level: LogLevel) {
    if let Some(change) = CHANGE.get() {
        change(level);
    }
}

static CHANGE: OnceLock<Box<dyn Fn(LogLevel) + Send + Sync>> = OnceLock::new();

/// The lines that are at least as urgent as `level`.
pub fn filter(level: LogLevel) -> LevelFilter {
    match level.name().to_ascii_lowercase().as_str() {
        "debug" => LevelFilter::DEBUG,
        "info" | "notice" => LevelFilter::INFO,
        "warn" | "warning" => LevelFilter::WARN,
        _ => LevelFilter::ERROR,
    }
}

/// Where lines go.
struct Sink(Option<Arc<LogFile>>);

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Box<dyn std::io::Write + 'a>;
    fn make_writer(&'a self) -> Self::Writer {
        match &self.0 {
            Some(file) => Box::new(&**file),
            None => Box::new(std::io::stderr()),
        }
    }
}

/// The layout that operators grep.
struct Classic;

impl<S, N> FormatEvent<S, N> for Classic
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            _ => "DEBUG",
        };
        write!(writer, "[{}] {level} - ", local_time())?;
        DefaultFields::new().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_classic_and_files_rotate() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/x.log");
        let file = Arc::new(LogFile::open(&path, LogSettings::default()).unwrap());
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(Sink(Some(Arc::clone(&file))))
            .event_format(Classic)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(peer = %"10.0.0.1", n = 3, "two words");
            file.rotate().unwrap();
            tracing::info!("after");
        });
        let now = std::fs::read_to_string(&path).unwrap();
        assert!(now.ends_with("] INFO - after\n"), "{now}");
        let old: Vec<_> = std::fs::read_dir(dir.path().join("logs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|other| *other != path)
            .collect();
        assert_eq!(old.len(), 1);
        let text = std::fs::read_to_string(&old[0]).unwrap();
        let (stamp, rest) = text.split_at(21);
        assert_eq!(rest, " WARNING - two words peer=10.0.0.1 n=3\n");
        assert!(stamp.starts_with("[20") && stamp.ends_with(']') && stamp.as_bytes()[11] == b' ', "{stamp}");
    }
}
