//! The server on real sockets: framing, limits, a calm stop.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod echo;
mod limits;
mod requests;
