//! Bounded waits.

use std::future::Future;
use std::time::Duration;

use crate::error::ConnError;

/// `work`, or [`ConnError::TimedOut`] after `limit`. Work that is ready at once sets no timer.
pub(crate) async fn within<T, E: Into<ConnError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, ConnError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(ConnError::TimedOut(limit.as_secs())),
    }
}
