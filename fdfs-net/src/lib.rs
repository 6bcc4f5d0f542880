//! What both daemons and the client share of the network and of the process around it.
//!
//! - [`Server`] accepts connections, [`Service`] answers requests on them through [`Conn`];
//! - [`Part`] is a part of a daemon beside the others;
//! - [`Peer`] is a connection to another server;
//! - [`daemon`] is the command line, the background, signals and the pid file;
//! - [`log`] is the log file;
//! - [`metrics`] counts, and tells it over HTTP.

mod allow;
mod conn;
pub mod daemon;
mod error;
mod files;
pub mod log;
#[cfg_attr(feature = "sim", allow(dead_code, unused_imports))]
pub mod metrics;
mod net;
mod part;
mod peer;
mod server;
mod timed;

pub use allow::AllowHosts;
pub use conn::Conn;
pub use error::{CallError, CallErrorKind, ConnError};
pub use files::raise_open_files;
pub use net::{SLICE, blocking, same_clock, unix_now, unix_time};
#[cfg(feature = "sim")]
pub use net::{Skew, with_clock};
pub use part::Part;
pub use peer::{Peer, PeerReader, PeerWriter, Reply, Timeouts};
pub use server::{Bound, Flow, Live, Server, ServerConf, Service, listen_addrs};
pub use tokio_util::sync::CancellationToken;
