//! The floor for a server of short requests: the same framing, one read and one write for whatever has arrived, and answers that
//! are ready beforehand.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use fdfs_core::wire::Header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

/// Serves until the process ends; one thread per core, as the daemons have. Each answer has as many bytes of body as the
/// first two bytes of the request's body say.
pub fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut queues = Vec::new();
    for _ in 0..threads {
        let (queue, mut streams) = tokio::sync::mpsc::unbounded_channel::<std::net::TcpStream>();
        queues.push(queue);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::spawn(move || {
            LocalSet::new().block_on(&runtime, async move {
                while let Some(stream) = streams.recv().await {
                    if let Ok(stream) = TcpStream::from_std(stream) {
                        tokio::task::spawn_local(answer(stream));
                    }
                }
            });
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        for at in 0_usize.. {
            let (stream, _): (TcpStream, SocketAddr) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let sent = queues
                .get(at % threads)
                .map(|queue| queue.send(stream.into_std()?).map_err(io::Error::other));
            sent.transpose()?;
        }
        Ok(())
    })
}

async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let (mut input, mut out) = (BytesMut::with_capacity(64 << 10), BytesMut::with_capacity(64 << 10));
    let content = vec![7; 64 << 10];
    loop {
        input.reserve(4 << 10);
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        while let Some(head) = Header::peek(&input) {
            let body = usize::try_from(head.len).unwrap_or(0);
            if input.len() < Header::SIZE + body {
                break;
            }
            input.advance(Header::SIZE);
            let size = input.first_chunk().map_or(0, |size| usize::from(u16::from_be_bytes(*size)));
            input.advance(body);
            out.extend_from_slice(&Header::success(size as u64).encode());
            out.extend_from_slice(content.get(..size).unwrap_or_default());
        }
        stream.write_all(&out).await?;
        out.clear();
    }
}
