//! `fdfs_delete_file`: prints nothing.

use super::{Ended, with_client};
use crate::file_id::FileId;

pub(super) const USAGE: &str = "<config_file> <file_id>";

pub(super) fn run(args: &[String]) -> Ended {
    let [conf, id] = args else { return Ended::Usage };
    let done = with_client("delete file", conf, async |client| {
        let id: FileId = id.parse()?;
        client.delete(&id).await
    });
    match done {
        Ok(()) => Ended::Done,
        Err(ended) => ended,
    }
}
