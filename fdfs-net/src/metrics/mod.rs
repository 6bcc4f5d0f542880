//! Figures for monitoring: counted per worker, summed when somebody asks, told over HTTP as Prometheus text.

mod histogram;
#[cfg(not(feature = "sim"))]
mod http;
mod page;
mod requests;
mod traffic;

pub use histogram::Histogram;
#[cfg(not(feature = "sim"))]
pub use http::Endpoint;
pub use page::{Labels, Page};
pub use requests::{Recorder, Requests};
pub use traffic::Traffic;
