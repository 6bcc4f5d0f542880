//! The one wrapper around everything that nginx calls.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; a panic in it becomes `fallback`. The panic's message goes to stderr, which is the error log.
///
/// State that a panic may leave half changed is per request, and the request ends with `fallback`.
pub fn guard<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(fallback)
}
