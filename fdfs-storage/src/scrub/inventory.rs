//! What is in the folders of a store path, for `fdfs_verify`.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use bytes::BufMut;
use fdfs_core::fileid::{FileName, StorePath};
use fdfs_core::ident::GroupName;
use fdfs_core::wire::Header;
use fdfs_net::Conn;

use crate::disk;
use crate::service::{Answer, Body, Refused};
use crate::storage::Storage;

/// Bytes read between two turns of other connections.
const TURN: u64 = 1 << 20;

/// INVENTORY (204): group 16, store path 1, first directory 1, deep 1. The answer has, for each file: length of its name 1, kind 1 (`f`,
/// `l`), size 8, mtime 8, crc 4, true name. The crc is that of the content where the name does not tell it and `deep` asks for it, else 0.
pub(crate) async fn inventory(
    storage: &Arc<Storage>,
    conn: &mut Conn,
    head: Header,
    body: &mut Body,
) -> Answer {
    let request = body.whole(conn, &head).await?;
    let wrong = || Refused::invalid("19 bytes: group, store path, directory, deep");
    let (group, rest) = request.split_at_checked(16).ok_or_else(wrong)?;
    let &[path, high, deep] = rest else { return Err(wrong()) };
    if GroupName::from_field(group).ok() != Some(storage.identity.group) {
        return Err(Refused::invalid("another group"));
    }
    let path = StorePath::new(path, storage.paths.count()).ok_or_else(wrong)?;
    let mut answer = Vec::new();
    for low in 0..storage.settings.subdir_count_per_path {
        let dir = format!("{high:02X}/{low:02X}");
        let at = storage.paths.base(path).join("data").join(&dir);
        let Ok(entries) = std::fs::read_dir(at) else { continue };
        for entry in entries.flatten() {
            let file = entry.file_name();
            let logic = [format!("M{:02X}/{dir}/", path.byte()).as_bytes(), file.as_encoded_bytes()].concat();
            let Ok(name) = FileName::parse(&logic, storage.paths.count()) else { continue };
            let Ok(meta) = entry.metadata() else { continue };
            let crc = if deep != 0 && meta.is_file() && !name.describes_content() {
                crc_of(storage, &name).await
            } else {
                0
            };
            answer.put_u8(u8::try_from(name.true_name().len()).unwrap_or(0));
            answer.put_u8(if meta.is_symlink() { b'l' } else { b'f' });
            answer.put_u64(meta.len());
            answer.put_i64(meta.mtime());
            answer.put_u32(crc);
            answer.put_slice(name.true_name());
        }
        tokio::task::yield_now().await;
    }
    conn.reply(&answer);
    Ok(())
}

/// 0 when it cannot be read: it is then reported as different.
async fn crc_of(storage: &Storage, name: &FileName) -> u32 {
    let Ok(fd) = disk::open(&storage.paths, name) else { return 0 };
    let (mut file, mut crc, mut turn) = (File::from(fd), crc32fast::Hasher::new(), 0);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return crc.finalize(),
            Ok(got) => {
                crc.update(&buffer[..got]);
                turn += got as u64;
            }
            Err(_) => return 0,
        }
        if turn >= TURN {
            turn = 0;
            tokio::task::yield_now().await;
        }
    }
}
