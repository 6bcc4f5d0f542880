//! Buffers for content on its way between a socket and a disk.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}
/// Buffers that a thread keeps for the next uploads.
const KEPT: usize = 8;
/// Bytes that all buffers in use may have together before new ones are small.
const ROOM: usize = 16 << 20;
/// Bytes of a small one: thousands of clients at once need little memory, and more writes.
const LITTLE: usize = 8 << 10;

static IN_USE: AtomicUsize = AtomicUsize::new(0);

/// A buffer of this thread, for the time of one upload.
pub struct Buffer {
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Buffer {
    /// One of `size` bytes or more, or of less while very many are in use; never empty, if `size` is not 0.
    pub fn get(size: usize) -> Self {
        let room = IN_USE.load(Relaxed).saturating_add(size) <= ROOM;
        let size = if room { size } else { size.min(LITTLE) };
        let mut bytes = BUFFERS.with_borrow_mut(Vec::pop).unwrap_or_default();
        if bytes.len() < size {
            // What is in a smaller one is not worth to be copied.
            bytes = vec![0; size];
        }
        IN_USE.fetch_add(bytes.len(), Relaxed);
        Self { bytes }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        IN_USE.fetch_sub(bytes.len(), Relaxed);
        BUFFERS.with_borrow_mut(|kept| {
            if kept.len() < KEPT {
                kept.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_at_once_are_small() {
        let size = 256 << 10;
        let many: Vec<Buffer> = (0..2000).map(|_| Buffer::get(size)).collect();
        let bytes: usize = many.iter().map(|buffer| buffer.bytes.len()).sum();
        assert!(bytes <= ROOM + 2000 * LITTLE, "{bytes}");
        assert!(many.iter().all(|buffer| buffer.bytes.len() >= LITTLE));
        drop(many);
        assert_eq!(Buffer::get(size).bytes.len(), size);
    }
}
