//! `fdfs_upload_file`, `fdfs_upload_appender`: prints a file id per file.

use std::fs::File;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use fdfs_core::ident::{Extension, GroupName};
use fdfs_core::settings::{ClientSettings, STORAGE_PORT};
use fdfs_core::wire::MinCopies;
use serde_json::{Value, json};

use super::progress::Bar;
use super::{Ended, failure, with_changed};
use crate::client::{Client, Target};
use crate::error::ClientError;
use crate::file_id::FileId;
use crate::upload::{Content, UploadOptions, spool};

pub(super) const USAGE: &str = "<config_file> <local_filename> [storage_ip:port] [store_path_index]\n\
       fdfs_upload_file [-g group] [-e extension] [-c copies] <config_file> <local_filename>...\n\
       a local_filename of - is standard input";
pub(super) const APPENDER: &str = "[-g group] [-e extension] [-c copies] <config_file> <local_filename>...\n\
       a local_filename of - is standard input";

pub(super) fn run(args: &[String]) -> Ended {
    upload(args, false)
}

pub(super) fn run_appender(args: &[String]) -> Ended {
    upload(args, true)
}

#[derive(Default)]
struct Wish {
    group: Option<GroupName>,
    ext: Option<Extension>,
    target: Option<Target>,
    appender: bool,
    /// Members that shall have it.
    copies: Option<u32>,
}

fn upload(args: &[String], appender: bool) -> Ended {
    let mut wish = Wish { appender, ..Wish::default() };
    let mut rest = args;
    while let [option, value, others @ ..] = rest
        && let "-g" | "-e" | "-c" = option.as_str()
    {
        let good = match option.as_str() {
            "-g" => value.parse().map(|group| wish.group = Some(group)),
            "-e" => value.parse().map(|ext| wish.ext = Some(ext)),
            _ => match value.parse().ok().filter(|copies| (1..=MinCopies::MOST).contains(copies)) {
                Some(copies) => {
                    wish.copies = Some(copies);
                    Ok(())
                }
                None => {
                    return Ended::Failed(format!("{value}: expected 1 to {} copies", MinCopies::MOST), 22);
                }
            },
        };
        if let Err(bad) = good {
            return Ended::Failed(format!("{value}: {bad}"), 22);
        }
        rest = others;
    }
    let Some((conf, files)) = rest.split_first().filter(|(_, files)| !files.is_empty()) else {
        return Ended::Usage;
    };
    let files = match direct(files) {
        Ok((target, files)) => {
            wish.target = target;
            files
        }
        Err(ended) => return ended,
    };
    let copies = wish.copies;
    let change = |settings: &mut ClientSettings| {
        settings.min_copies = copies.unwrap_or(settings.min_copies);
    };
    let done = with_changed("upload file", conf, change, async |client| {
        let mut done = Vec::new();
        for name in files {
            done.push((name, one(client, &wish, name).await));
        }
        Ok(done)
    });
    match done {
        Ok(done) => report(done),
        Err(ended) => ended,
    }
}

/// The old form `file ip:port [index]`, or a list of files.
fn direct(files: &[String]) -> Result<(Option<Target>, &[String]), Ended> {
    let [_, storage, index @ ..] = files else { return Ok((None, files)) };
    if index.len() > 1 || Path::new(storage).exists() {
        return Ok((None, files));
    }
    let Some(addr) = address(storage) else { return Ok((None, files)) };
    let path = match index.first().map(|text| text.parse::<i16>()) {
        None | Some(Ok(-1)) => None,
        Some(Ok(index)) if (0..=254).contains(&index) => u8::try_from(index).ok(),
        Some(_) => return Err(Ended::Failed("expected a store path index -1..254".into(), 22)),
    };
    Ok((Some(Target { addr, path }), files.get(..1).unwrap_or_default()))
}

/// `ip`, `ip:port` or `host:port`.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip, STORAGE_PORT));
    }
    let (_, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    text.to_socket_addrs().ok()?.next()
}

async fn one(client: &Client, wish: &Wish, name: &str) -> Result<(FileId, u64), ClientError> {
    let path = Path::new(name);
    let file = match name {
        "-" => spool(&mut std::io::stdin().lock(), &std::env::temp_dir())?,
        _ => File::open(path).map_err(|error| ClientError::local("upload file", path, &error))?,
    };
    let content = Content::of(&file, path)?;
    let ext = wish.ext.unwrap_or_else(|| Extension::of_path(name));
    let bar = Bar::new(name);
    let progress = |done, total| bar.at(done, total);
    let options = UploadOptions { appender: wish.appender, ext, progress: Some(&progress) };
    let size = content.size();
    let id = match wish.target {
        Some(target) => client.upload_to(target, &content, &options).await?,
        None => client.upload_with(wish.group, content, &options).await?,
    };
    Ok((id, size))
}

/// An id and its size, or why there is none.
type Outcome = Result<(FileId, u64), ClientError>;

fn report(done: Vec<(&String, Outcome)>) -> Ended {
    let several = done.len() > 1;
    let (mut text, mut values, mut lines, mut first) = (String::new(), Vec::new(), Vec::new(), None);
    for (name, result) in done {
        match result {
            Ok((id, size)) => {
                text += &format!("{id}\n");
                values.push(json!({ "file": name, "id": id.to_string(), "size": size }));
            }
            Err(error) => {
                let (line, code) = failure("upload file", &error);
                first = first.or(Some(code));
                values.push(json!({ "file": name, "error": line, "error_no": code }));
                lines.push(if several { format!("{name}: {line}") } else { line });
            }
        }
    }
    let value = match (several, values.pop()) {
        (false, Some(one)) => one,
        (_, last) => Value::Array(values.into_iter().chain(last).collect()),
    };
    match first {
        None => Ended::Said(text, value),
        Some(code) => Ended::Partly(text, value, lines, code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(files: &[&str]) -> (Option<Target>, usize) {
        let files: Vec<String> = files.iter().map(|name| (*name).to_owned()).collect();
        let Ok((target, rest)) = direct(&files) else { panic!("{files:?}") };
        (target, rest.len())
    }

    #[test]
    fn the_old_form_is_told_from_a_list_of_files() {
        let addr = "127.0.0.1:23001".parse().unwrap();
        assert_eq!(parts(&["a.jpg", "127.0.0.1:23001"]), (Some(Target { addr, path: None }), 1));
        assert_eq!(parts(&["a.jpg", "127.0.0.1:23001", "3"]), (Some(Target { addr, path: Some(3) }), 1));
        let addr = "127.0.0.1:23000".parse().unwrap();
        assert_eq!(parts(&["a.jpg", "127.0.0.1", "-1"]), (Some(Target { addr, path: None }), 1));
        assert_eq!(parts(&["a.jpg", "b.jpg"]), (None, 2));
        assert_eq!(parts(&["a.jpg", "b.jpg", "c.jpg"]), (None, 3));
        assert_eq!(parts(&["a.jpg"]), (None, 1));
        let bad: Vec<String> = ["a.jpg", "127.0.0.1:1", "300"].map(str::to_owned).into();
        assert!(direct(&bad).is_err());
    }
}
