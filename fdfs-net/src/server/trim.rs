//! Memory of connections that are gone goes back to the system: the C library keeps what was freed between things that live on.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::Shared;

/// Period of the check.
const PERIOD: Duration = Duration::from_secs(2);
/// Fewer connections are not worth it.
const MANY: usize = 128;

/// Watches the number of connections; never ends.
pub(super) async fn watch(shared: &Shared) {
    let mut most = 0;
    loop {
        tokio::time::sleep(PERIOD).await;
        let open = shared.conf.traffic.open.load(Relaxed);
        most = most.max(open);
        if most >= MANY && open <= most / 4 {
            give_back();
            most = open;
        }
    }
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: malloc_trim(3) may be called by any thread at any time, and takes nothing that is in use.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn give_back() {}
