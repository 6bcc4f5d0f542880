//! A bar on a terminal for transfers that take a while.

use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter transfers are over before anybody could read a bar.
const SHOWN_FROM: u64 = 8 << 20;
const STYLE: &str = "{msg} [{bar:32}] {bytes}/{total_bytes} {bytes_per_sec} eta {eta}";

/// One transfer. Shows nothing unless stderr is a terminal.
pub(super) struct Bar {
    name: String,
    bar: Mutex<Option<ProgressBar>>,
}

impl Bar {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), bar: Mutex::default() }
    }

    /// `done` of `total` bytes are through.
    pub fn at(&self, done: u64, total: u64) {
        if total < SHOWN_FROM {
            return;
        }
        let mut bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        bar.get_or_insert_with(|| start(&self.name, total)).set_position(done);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        let bar = self.bar.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }
}

fn start(name: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(STYLE) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.with_message(name.to_owned())
}
