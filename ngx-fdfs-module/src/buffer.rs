//! Memory that content passes on its way from a storage to a client. A worker uses the same pieces again and again: they stay
//! mapped, and in the processor's cache when clients are fast.

use std::cell::RefCell;
use std::mem::MaybeUninit;

use ngx::ffi::ngx_buf_t;

use crate::nginx;

/// Bytes; a request that comes from a storage holds one.
pub const SIZE: usize = 128 * 1024;
/// Unused ones that a worker keeps.
const KEPT: usize = 32;

thread_local! {
    static FREE: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

type Memory = Box<[MaybeUninit<u8>]>;

/// One piece of memory; it goes back to the worker when dropped.
pub struct Buffer(Memory);

impl Buffer {
    /// The piece that was used last.
    pub fn take() -> Self {
        let used = FREE.with_borrow_mut(Vec::pop);
        Self(used.unwrap_or_else(|| Box::new_uninit_slice(SIZE)))
    }

    /// Makes it the empty memory of `buffer`, which must not outlive it.
    pub fn lend(&mut self, buffer: &mut ngx_buf_t) {
        let memory = self.0.as_mut_ptr_range();
        buffer.start = memory.start.cast();
        buffer.pos = buffer.start;
        buffer.last = buffer.start;
        buffer.end = memory.end.cast();
        buffer.set_temporary(1);
        buffer.tag = nginx::tag();
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.0);
        FREE.with_borrow_mut(|free| {
            if free.len() < KEPT {
                free.push(memory);
            }
        });
    }
}
