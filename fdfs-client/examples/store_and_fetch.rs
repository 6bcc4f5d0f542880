//! Stores a text, fetches it and a part of it, describes it, and takes it away again.
//!
//!     cargo run -p fdfs-client --example store_and_fetch -- 127.0.0.11:22122 127.0.0.12:22122

use std::net::SocketAddr;

use fdfs_client::{Client, ErrorKind, FileId};

type Failure = Box<dyn std::error::Error>;

/// The example, with the addresses of the trackers; the id that the file had.
pub async fn run(trackers: &[SocketAddr]) -> Result<FileId, Failure> {
    let client = Client::connect(trackers)?;
    let id = client.upload(b"hello, file store", "txt".parse()?).await?;
    println!("stored as {id}");

    let all = client.download(&id, 0, 0).await?;
    let part = client.download(&id, 7, 4).await?;
    println!("{} bytes, of which {:?}", all.len(), String::from_utf8_lossy(&part));
    let info = client.file_info(&id, 0).await?;
    println!("{} bytes with the crc {:08x}", info.size, info.crc32);

    client.delete(&id).await?;
    match client.download(&id, 0, 0).await {
        Err(error) if matches!(error.kind, ErrorKind::Status(_)) => println!("gone: {error}"),
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("a deleted file was fetched".into()),
    }
    Ok(id)
}

#[tokio::main(flavor = "current_thread")]
#[allow(dead_code)]
async fn main() -> Result<(), Failure> {
    let trackers = std::env::args().skip(1).map(|addr| addr.parse()).collect::<Result<Vec<_>, _>>()?;
    run(&trackers).await.map(drop)
}
