//! `fdfs_append_file`: prints nothing.

use std::fs::File;
use std::path::Path;

use serde_json::json;

use super::progress::Bar;
use super::{Ended, with_client};
use crate::error::ClientError;
use crate::file_id::FileId;
use crate::upload::{Content, spool};

pub(super) const USAGE: &str =
    "<config_file> <appender_file_id> <local_filename>\n       a local_filename of - is standard input";

pub(super) fn run(args: &[String]) -> Ended {
    let [conf, id, name] = args else { return Ended::Usage };
    let done = with_client("append file", conf, async |client| {
        let appender: FileId = id.parse()?;
        let path = Path::new(name);
        let file = match name.as_str() {
            "-" => spool(&mut std::io::stdin().lock(), &std::env::temp_dir())?,
            _ => File::open(path).map_err(|error| ClientError::local("append file", path, &error))?,
        };
        let bar = Bar::new(name);
        let content = Content::of(&file, path)?;
        client.append(&appender, &content, Some(&|done, total| bar.at(done, total))).await?;
        Ok(content.size())
    });
    match done {
        Ok(size) => Ended::Said(String::new(), json!({ "id": id, "appended": size })),
        Err(ended) => ended,
    }
}
