//! `fdfs_download_file`: prints nothing.

use std::path::Path;

use serde_json::json;

use super::progress::Bar;
use super::{Ended, with_client};
use crate::file_id::FileId;

pub(super) const USAGE: &str =
    "<config_file> <file_id> [local_filename] [<download_offset> <download_bytes>]";

pub(super) fn run(args: &[String]) -> Ended {
    let (conf, id, local, range) = match args {
        [conf, id] => (conf, id, None, None),
        [conf, id, local] => (conf, id, Some(local), None),
        [conf, id, local, offset, bytes] => (conf, id, Some(local), Some((offset, bytes))),
        _ => return Ended::Usage,
    };
    let (offset, bytes) = match range.map(|(offset, bytes)| (offset.parse(), bytes.parse())) {
        None => (0, 0),
        Some((Ok(offset), Ok(bytes))) => (offset, bytes),
        Some(_) => return Ended::Failed("expected an offset and a number of bytes".into(), 22),
    };
    let local = local.map_or_else(|| id.rsplit('/').next().unwrap_or(id), String::as_str);
    let done = with_client("download file", conf, async |client| {
        let id: FileId = id.parse()?;
        let bar = Bar::new(local);
        client
            .download_to(&id, Path::new(local), offset, bytes, Some(&|done, total| bar.at(done, total)))
            .await
    });
    match done {
        Ok(size) => Ended::Said(String::new(), json!({ "id": id, "file": local, "size": size })),
        Err(ended) => ended,
    }
}
