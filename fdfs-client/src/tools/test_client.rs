//! `fdfs_test`, `fdfs_test1`: every operation of a client in turn, for trying out a cluster by hand (protocol 8.4).

use std::fmt::Write;
use std::fs::File;
use std::path::Path;

use fdfs_core::ident::Extension;
use fdfs_core::metadata::Metadata;
use fdfs_core::wire::storage::MetaMode;
use serde_json::Value;

use super::format::local_time;
use super::{Ended, with_client};
use crate::client::Client;
use crate::error::ClientError;
use crate::file_id::FileId;
use crate::upload::{Content, UploadOptions};

pub(super) const USAGE: &str = "<config_file> upload <local_filename> [FILE | BUFF | CALLBACK]\n\
       fdfs_test <config_file> download | getmeta | delete | query_servers <group> <filename> [local_filename]\n\
       fdfs_test <config_file> setmeta <group> <filename> <O | M> <name1=value1,name2=value2,...>";
pub(super) const USAGE1: &str = "<config_file> upload <local_filename> [FILE | BUFF | CALLBACK]\n\
       fdfs_test1 <config_file> download | getmeta | delete | query_servers <file_id> [local_filename]\n\
       fdfs_test1 <config_file> setmeta <file_id> <O | M> <name1=value1,name2=value2,...>";

pub(super) fn run(args: &[String]) -> Ended {
    let [conf, operation, rest @ ..] = args else { return Ended::Usage };
    match (operation.as_str(), rest) {
        ("upload", _) => operate(conf, operation, None, rest),
        (_, [group, name, rest @ ..]) => operate(conf, operation, Some(format!("{group}/{name}")), rest),
        _ => missing(),
    }
}

pub(super) fn run1(args: &[String]) -> Ended {
    let [conf, operation, rest @ ..] = args else { return Ended::Usage };
    match (operation.as_str(), rest) {
        ("upload", _) => operate(conf, operation, None, rest),
        (_, [id, rest @ ..]) => operate(conf, operation, Some(id.clone()), rest),
        _ => missing(),
    }
}

fn missing() -> Ended {
    Ended::Failed("an operand is missing".into(), 22)
}

fn operate(conf: &str, operation: &str, id: Option<String>, rest: &[String]) -> Ended {
    let done = with_client(operation, conf, async |client| {
        let id = id.map(|id| id.parse::<FileId>()).transpose()?;
        let mut text =
            format!("fdfs_test V{}, the operations of a client in turn\n\n", env!("CARGO_PKG_VERSION"));
        match (operation, id, rest) {
            ("upload", None, [file]) => upload(client, &mut text, file, "FILE").await?,
            ("upload", None, [file, kind]) => upload(client, &mut text, file, kind).await?,
            ("download", Some(id), _) => download(client, &mut text, &id, rest.first()).await?,
            ("getmeta", Some(id), _) => {
                let all = client.metadata(&id).await?;
                let _ = writeln!(text, "get meta data success, meta count={}", all.len());
                for (name, value) in all.iter() {
                    let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
                    let _ = writeln!(text, "{name}={value}");
                }
            }
            ("setmeta", Some(id), [mode, items]) => {
                let mode = match mode.as_str() {
                    "O" => MetaMode::Overwrite,
                    "M" => MetaMode::Merge,
                    _ => return Err(ClientError::invalid("setmeta", "expected O (overwrite) or M (merge)")),
                };
                client.set_metadata(&id, mode, &items_of(items)).await?;
                text += "set meta data success\n";
            }
            ("delete", Some(id), _) => {
                client.delete(&id).await?;
                text += "delete file success\n";
            }
            ("query_servers", Some(id), _) => {
                let all = client.locate_all(&id).await?;
                let _ = writeln!(text, "server list ({}):", all.len());
                for addr in all {
                    let _ = writeln!(text, "\t{addr}");
                }
            }
            ("upload" | "setmeta", ..) => {
                return Err(ClientError::invalid("read the operands", "one is missing"));
            }
            _ => return Err(ClientError::invalid("read the operation", format!("{operation} is none"))),
        }
        Ok(text)
    });
    match done {
        Ok(text) => Ended::Said(text, Value::Null),
        Err(ended) => ended,
    }
}

/// `n=v,n=v`
fn items_of(text: &str) -> Metadata {
    let pairs = text.split(',').filter_map(|item| item.split_once('='));
    Metadata::of(pairs.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())))
}

/// Uploads the file and a slave of it, from memory or from the disk.
async fn upload(client: &Client, text: &mut String, name: &str, kind: &str) -> Result<(), ClientError> {
    let path = Path::new(name);
    let failed = |error: std::io::Error| ClientError::local("upload file", path, &error);
    let file = File::open(path).map_err(failed)?;
    let bytes = std::fs::read(path).map_err(failed)?;
    let (content, prefix) = match kind {
        "FILE" => (Content::of(&file, path)?, "_big"),
        "BUFF" => (Content::Bytes(&bytes), "1024x1024"),
        "CALLBACK" => (Content::of(&file, path)?, "-small"),
        _ => return Err(ClientError::invalid("upload file", "expected FILE, BUFF or CALLBACK")),
    };
    let stores = client.stores(None).await?;
    for (n, target) in stores.iter().enumerate() {
        let _ = writeln!(text, "\tserver {}. {}", n + 1, target.addr);
    }
    let target = client.store(None).await?;
    let ext = Extension::of_path(name);
    let id = client.upload_to(target, &content, &UploadOptions { ext, ..Default::default() }).await?;
    let items = items_of("ext_name=jpg,width=160,height=80,file_size=115120");
    client.set_metadata(&id, MetaMode::Overwrite, &items).await?;
    describe(client, text, &id).await?;
    let slave = client.upload_slave(&id, prefix, ext, &content).await?;
    describe(client, text, &slave).await
}

async fn describe(client: &Client, text: &mut String, id: &FileId) -> Result<(), ClientError> {
    let info = client.file_info(id, 0).await?;
    let _ = writeln!(text, "group_name={}, remote_filename={}", id.group, id.name);
    let _ = writeln!(text, "source ip address: {}", info.source_ip.as_str());
    let _ = writeln!(text, "file timestamp={}", local_time(info.mtime));
    let _ = writeln!(text, "file size={}", info.size);
    let _ = writeln!(text, "file crc32={}", info.crc32);
    let _ = writeln!(text, "example file url: http://{}/{id}", info.source_ip.as_str());
    Ok(())
}

async fn download(
    client: &Client,
    text: &mut String,
    id: &FileId,
    local: Option<&String>,
) -> Result<(), ClientError> {
    let name = id.name.rsplit('/').next().unwrap_or(&id.name);
    let local = local.map_or(name, String::as_str);
    let size = match local {
        "CALLBACK" => client.download(id, 0, 0).await?.len() as u64,
        _ => client.download_to(id, Path::new(local), 0, 0, None).await?,
    };
    let _ = writeln!(text, "download file success, file size={size}, file save to {local}");
    Ok(())
}
