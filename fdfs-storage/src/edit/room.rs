//! How much content may wait in memory until its change is made: many connections at once must not need much.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Content up to this size waits in memory if there is room, bytes.
const SMALL: u64 = 256 << 10;
/// Room of the whole process, bytes.
const ROOM: usize = 8 << 20;

static FREE: Semaphore = Semaphore::const_new(ROOM);

/// Room for `len` bytes until it is dropped; `None`: they go to a file first.
pub(crate) fn room(len: u64) -> Option<SemaphorePermit<'static>> {
    let len = u32::try_from(len).ok().filter(|len| u64::from(*len) <= SMALL)?;
    FREE.try_acquire_many(len).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_limited_and_given_back() {
        assert!(room(SMALL + 1).is_none());
        // Other tests of this process do not take any.
        let taken: Vec<_> = std::iter::from_fn(|| room(SMALL)).collect();
        assert_eq!(taken.len() as u64 * SMALL, ROOM as u64);
        assert!(room(1).is_none());
        drop(taken);
        assert!(room(SMALL).is_some());
    }
}
