//! `fdfs_appender_test`, `fdfs_appender_test1`: upload of an appender, append, modify, truncate (protocol 8.4).

use std::fmt::Write;
use std::fs::File;
use std::path::Path;

use fdfs_core::ident::Extension;
use serde_json::Value;

use super::{Ended, with_client};
use crate::client::Client;
use crate::error::ClientError;
use crate::upload::{Content, UploadOptions};

pub(super) const USAGE: &str = "<config_file> <local_filename> [FILE | BUFF | CALLBACK]";

pub(super) fn run(args: &[String]) -> Ended {
    let (conf, name, kind) = match args {
        [conf, name] => (conf, name, "FILE"),
        [conf, name, kind] => (conf, name, kind.as_str()),
        _ => return Ended::Usage,
    };
    match with_client("appender test", conf, async |client| all(client, name, kind).await) {
        Ok(text) => Ended::Said(text, Value::Null),
        Err(ended) => ended,
    }
}

async fn all(client: &Client, name: &str, kind: &str) -> Result<String, ClientError> {
    let path = Path::new(name);
    let failed = |error: std::io::Error| ClientError::local("upload file", path, &error);
    let file = File::open(path).map_err(failed)?;
    let bytes = std::fs::read(path).map_err(failed)?;
    let content = match kind {
        "FILE" | "CALLBACK" => Content::of(&file, path)?,
        "BUFF" => Content::Bytes(&bytes),
        _ => return Err(ClientError::invalid("upload file", "expected FILE, BUFF or CALLBACK")),
    };
    let size = content.size();
    let mut text = String::new();
    let options = UploadOptions { appender: true, ext: Extension::of_path(name), progress: None };
    let target = client.store(None).await?;
    let id = client.upload_to(target, &content, &options).await?;
    let _ = writeln!(text, "upload appender file success, file id: {id}");
    let mut check = async |what: &str, expected: u64| {
        let info = client.file_info(&id, 0).await?;
        let _ = writeln!(text, "{what} success, file size={}, crc32={}", info.size, info.crc32);
        match info.size == expected {
            true => Ok(()),
            false => {
                Err(ClientError::invalid("appender test", format!("{what}: expected a size of {expected}")))
            }
        }
    };
    check("query file info", size).await?;
    client.append(&id, &content, None).await?;
    check("append file", size * 2).await?;
    client.modify(&id, size, &content).await?;
    check("modify file", size * 2).await?;
    client.truncate(&id, size).await?;
    check("truncate file", size).await?;
    Ok(text)
}
