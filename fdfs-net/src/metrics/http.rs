//! The endpoint that a Prometheus asks: HTTP/1.1, GET and HEAD of `/metrics`, one answer per connection.
//!
//! It has a thread of its own: whoever asks, and however slowly, takes nothing from requests.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::page::Page;

/// Longest head of a request, bytes.
const HEAD_MAX: usize = 8 << 10;
/// Conversations at once; more wait in the backlog.
const AT_ONCE: usize = 16;
/// A conversation is over after that time.
const LIMIT: Duration = Duration::from_secs(10);
/// Pause after accept(2) failed.
const BACK_OFF: Duration = Duration::from_millis(100);

type Fill = dyn Fn(&mut Page<'_>) -> fmt::Result + Send + Sync;

/// A metrics endpoint whose socket is open.
pub struct Endpoint {
    listener: TcpListener,
}

impl Endpoint {
    /// Opens the socket on `port`, at `ip` or else the first address of the daemon itself. `None` with port 0.
    pub fn bind(port: u16, ip: Option<IpAddr>, daemon: &[SocketAddr]) -> io::Result<Option<Self>> {
        if port == 0 {
            return Ok(None);
        }
        let first = daemon.first().map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), SocketAddr::ip);
        let listener = crate::server::listen(SocketAddr::new(ip.unwrap_or(first), port))?;
        Ok(Some(Self { listener }))
    }

    /// Answers with the page that `fill` writes until `stop`, on a thread of its own.
    pub fn start(
        self,
        fill: impl Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static,
        stop: CancellationToken,
    ) -> io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener)?
        };
        let fill: Arc<Fill> = Arc::new(fill);
        let run = move || {
            runtime.block_on(stop.run_until_cancelled(answer_all(listener, fill)));
        };
        std::thread::Builder::new().name("metrics".into()).spawn(run)
    }
}

async fn answer_all(listener: tokio::net::TcpListener, fill: Arc<Fill>) {
    let (slots, mut under_way) = (Arc::new(Semaphore::new(AT_ONCE)), JoinSet::new());
    loop {
        // Never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let fill = Arc::clone(&fill);
                under_way.spawn(async move {
                    if let Ok(Err(error)) = tokio::time::timeout(LIMIT, answer(stream, &fill)).await {
                        tracing::debug!(%peer, %error, "metrics were asked for and not delivered");
                    }
                    drop(slot);
                });
                while under_way.try_join_next().is_some() {}
            }
            Err(error) => {
                tracing::debug!(%error, "accept of the metrics endpoint failed");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

async fn answer(mut stream: TcpStream, fill: &Arc<Fill>) -> io::Result<()> {
    let mut head = Vec::with_capacity(1024);
    let said = loop {
        if let Some(said) = read(&head) {
            break said;
        }
        if head.len() >= HEAD_MAX {
            break Said::Other(431, "Request Header Fields Too Large");
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let (status, kind, body, show) = match said {
        Said::Metrics { head_only } => {
            let fill = Arc::clone(fill);
            match Page::text(move |page| fill(page)) {
                Ok(text) => ("200 OK".to_owned(), Page::CONTENT_TYPE, text, !head_only),
                Err(_) => {
                    ("500 Internal Server Error".to_owned(), "text/plain", "no figures\n".to_owned(), true)
                }
            }
        }
        Said::Other(code, why) => {
            (format!("{code} {why}"), "text/plain", format!("{why}; figures are at /metrics\n"), true)
        }
    };
    let length = body.len();
    let allow = if status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{allow}Connection: close\r\n\r\n"
    );
    if show {
        text += &body;
    }
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Metrics { head_only: bool },
    Other(u16, &'static str),
}

/// `None`: the head is not whole yet.
fn read(head: &[u8]) -> Option<Said> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Partial) => return None,
        Ok(httparse::Status::Complete(_)) => {}
        Err(_) => return Some(Said::Other(400, "Bad Request")),
    }
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    Some(match (request.method.unwrap_or_default(), path) {
        ("GET", "/metrics") => Said::Metrics { head_only: false },
        ("HEAD", "/metrics") => Said::Metrics { head_only: true },
        (_, "/metrics") => Said::Other(405, "Method Not Allowed"),
        _ => Said::Other(404, "Not Found"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        assert_eq!(
            read(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"),
            Some(Said::Metrics { head_only: false })
        );
        assert_eq!(read(b"HEAD /metrics?x HTTP/1.0\r\n\r\n"), Some(Said::Metrics { head_only: true }));
        assert_eq!(read(b"POST /metrics HTTP/1.1\r\n\r\n"), Some(Said::Other(405, "Method Not Allowed")));
        assert_eq!(read(b"GET / HTTP/1.1\r\n\r\n"), Some(Said::Other(404, "Not Found")));
        assert_eq!(read(b"GET /metrics HTTP/1.1\r\nHost"), None);
        assert_eq!(read(b"\0\0\0\0\0\0\0\0\x6f\0"), Some(Said::Other(400, "Bad Request")));
    }
}
