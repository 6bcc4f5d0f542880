//! `fdfs_upload_file`, `fdfs_upload_appender`: prints the file id.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use fdfs_core::settings::STORAGE_PORT;

use super::{Ended, with_client};
use crate::client::Target;

pub(super) const USAGE: &str = "<config_file> <local_filename> [storage_ip:port] [store_path_index]";
pub(super) const APPENDER: &str = "<config_file> <local_filename>";

pub(super) fn run(args: &[String]) -> Ended {
    let (conf, file, target) = match args {
        [conf, file] => (conf, file, None),
        [conf, file, storage] | [conf, file, storage, _] => {
            let Some(addr) = address(storage) else {
                return Ended::Failed(format!("{storage}: expected the address of a storage, ip:port"), 22);
            };
            let path = match args.get(3).map(|text| text.parse::<i16>()) {
                None | Some(Ok(-1)) => None,
                Some(Ok(index)) if (0..=254).contains(&index) => u8::try_from(index).ok(),
                Some(_) => return Ended::Failed("expected a store path index -1..254".into(), 22),
            };
            (conf, file, Some(Target { addr, path }))
        }
        _ => return Ended::Usage,
    };
    upload(conf, file, target, false)
}

pub(super) fn run_appender(args: &[String]) -> Ended {
    match args {
        [conf, file] => upload(conf, file, None, true),
        _ => Ended::Usage,
    }
}

fn upload(conf: &str, file: &str, target: Option<Target>, appender: bool) -> Ended {
    let done = with_client("upload file", conf, async |client| {
        let target = match target {
            Some(target) => target,
            None => client.store(None).await?,
        };
        client.upload_file(target, Path::new(file), appender).await
    });
    match done {
        Ok(id) => {
            println!("{id}");
            Ended::Done
        }
        Err(ended) => ended,
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    let with_port = text.to_socket_addrs().ok().and_then(|mut all| all.next());
    with_port.or_else(|| (text, STORAGE_PORT).to_socket_addrs().ok()?.next())
}
