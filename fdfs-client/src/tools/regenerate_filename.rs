//! `fdfs_regenerate_filename`: prints the new id.

use serde_json::json;

use super::{Ended, with_client};

pub(super) const USAGE: &str = "<config_file> <appender_file_id>";

pub(super) fn run(args: &[String]) -> Ended {
    let [conf, id] = args else { return Ended::Usage };
    match with_client("regenerate file ID", conf, async |client| client.regenerate(&id.parse()?).await) {
        Ok(new) => Ended::Said(format!("{new}\n"), json!({ "old_id": id, "id": new.to_string() })),
        Err(ended) => ended,
    }
}
