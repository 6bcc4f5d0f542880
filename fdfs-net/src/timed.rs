//! Bounded waits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::error::ConnError;

/// `work`, or [`ConnError::TimedOut`] after `limit`. Work that is ready at once asks for no timer and no time.
pub(crate) async fn within<T, E: Into<ConnError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, ConnError> {
    let mut work = pin!(work);
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        return done.map_err(Into::into);
    }
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(ConnError::TimedOut(limit.as_secs())),
    }
}
