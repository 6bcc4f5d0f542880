//! `fdfs_file_info`: what the id says, and for appenders and slaves what a storage says.

use fdfs_core::fileid::{Kind, Source};
use fdfs_core::wire::storage::info_flags;

use serde_json::{Value, json};

use super::format::local_time;
use super::{Ended, with_client};
use crate::client::Client;
use crate::error::ClientError;
use crate::file_id::FileId;

pub(super) const USAGE: &str = "[-s] [-n] <config_file> <file_id>\n\t-s: keep silent, the storage does not log a \
                                missing file\n\t-n: no crc for appender and slave files";

pub(super) fn run(args: &[String]) -> Ended {
    let mut flags = 0;
    let mut rest = args;
    while let [option, others @ ..] = rest
        && option.starts_with('-')
    {
        flags |= match option.as_str() {
            "-s" => info_flags::SILENT,
            "-n" => info_flags::NO_CRC,
            "-sn" | "-ns" => info_flags::SILENT | info_flags::NO_CRC,
            _ => return Ended::Usage,
        };
        rest = others;
    }
    let [conf, id] = rest else { return Ended::Usage };
    match with_client("query file info", conf, async |client| describe(client, &id.parse()?, flags).await) {
        Ok((text, value)) => Ended::Said(text + "\n", value),
        Err(ended) => ended,
    }
}

async fn describe(client: &Client, id: &FileId, flags: u8) -> Result<(String, Value), ClientError> {
    let none = || ClientError::invalid("query file info", format!("{id} carries no information"));
    let name = id.file_name().ok_or_else(none)?;
    let blob = name.blob().ok_or_else(none)?;
    let kind = match (name.is_slave(), blob.kind()) {
        (true, _) => "slave",
        (_, Kind::Appender) => "appender",
        _ => "normal",
    };
    let (number, ip) = match blob.source {
        Source::Id(number) => (number, String::new()),
        Source::Ip(ip) => (0, ip.to_string()),
    };
    let asked = !name.is_normal() || ip.is_empty();
    let (time, size, crc, ip) = if asked {
        let info = client.file_info(id, flags).await?;
        (info.mtime, info.size, info.crc32, info.source_ip.as_str().to_owned())
    } else {
        (i64::from(blob.timestamp), blob.size(), blob.crc32, ip)
    };
    // The time of creation is in the name; a storage tells the last change.
    let time = if asked && name.is_normal() { time } else { i64::from(blob.timestamp) };
    let mut text = format!(
        "GET FROM SERVER: {asked}\n\nfile type: {kind}\nsource storage id: {number}\nsource ip address: {ip}\n\
         file create timestamp: {}\nfile size: {size}\n",
        local_time(time)
    );
    if flags & info_flags::NO_CRC == 0 || crc != 0 {
        text += &format!("file crc32: {} (0x{crc:08x})\n", crc.cast_signed());
    }
    let value = json!({
        "id": id.to_string(), "from_server": asked, "type": kind, "source_id": number, "source_ip": ip,
        "created": time, "size": size, "crc32": crc,
    });
    Ok((text, value))
}
