//! `fdfs_verify`: compares what two members of a group have, and repairs it on request.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use fdfs_core::fileid::FileName;
use fdfs_core::ident::GroupName;
use fdfs_core::wire::{Header, Status, cmd};
use fdfs_net::{CallError, Peer, Timeouts};

const USAGE: &str = "Usage: fdfs_verify <group> <storage ip:port> <storage ip:port> [--deep] [--repair]
Compares the files of two members of a group by name, size and the crc that the names carry. Both have to be of this
implementation.
  --deep    also compares the content of files whose names carry no crc (they are read)
  --repair  has each member fetch what it lacks from the other; of different files, the copy of the member that the file was
            uploaded to is taken
Exit code: 0 the same, 1 different, 2 not compared.";

/// Longest answer about one directory, bytes.
const ANSWER_MAX: usize = 1 << 30;
/// Directories of the first level, store paths at most.
const LEVEL: u8 = 255;

struct Args {
    group: GroupName,
    members: [SocketAddr; 2],
    deep: bool,
    repair: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    kind: u8,
    size: u64,
    crc: u32,
}

type Failure = Box<dyn std::error::Error>;
type Entries<'a> = BTreeMap<&'a [u8], Entry>;

/// What the members have in a directory of the first level.
struct Listed {
    path: u8,
    answers: [Bytes; 2],
}

#[derive(Default)]
struct Found {
    files: u64,
    missing: [u64; 2],
    different: u64,
    repaired: u64,
    deleted: u64,
    /// Connections for repairs, beside those that list.
    repairers: [Option<Peer>; 2],
}

fn main() -> ExitCode {
    let Some(args) = parse(std::env::args().skip(1).collect()) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(compare(&args)) {
        Ok(found) => {
            let [first, second] = found.missing;
            let different = first + second + found.different;
            println!(
                "{} files; missing at {}: {first}; missing at {}: {second}; different: {}; repaired: {}; deleted at one, left \
                 over at the other: {}",
                found.files, args.members[0], args.members[1], found.different, found.repaired, found.deleted
            );
            ExitCode::from(u8::from(different + found.deleted > found.repaired))
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: Vec<String>) -> Option<Args> {
    let (options, plain): (Vec<&String>, Vec<&String>) = args.iter().partition(|arg| arg.starts_with("--"));
    let &[group, one, other] = plain.as_slice() else { return None };
    let known = |option: &&&String| matches!(option.as_str(), "--deep" | "--repair");
    if options.iter().filter(known).count() != options.len() {
        return None;
    }
    let has = |name: &str| options.iter().any(|option| *option == name);
    Some(Args {
        group: GroupName::new(group.as_bytes()).ok()?,
        members: [one.parse().ok()?, other.parse().ok()?],
        deep: has("--deep"),
        repair: has("--repair"),
    })
}

async fn compare(args: &Args) -> Result<Found, Failure> {
    let [one, other] = args.members;
    let (mut one, mut other) = (connect(one).await?, connect(other).await?);
    let mut found = Found::default();
    let mut listed = None;
    for (path, high) in (0..=LEVEL).flat_map(|path| (0..=LEVEL).map(move |high| (path, high))) {
        // The members list the next directory while this one is compared.
        let asking =
            async { tokio::join!(ask(args, &mut one, path, high), ask(args, &mut other, path, high)) };
        let ((first, second), done) = tokio::join!(asking, directory(args, listed.take(), &mut found));
        done?;
        match (first?, second?) {
            (Some(first), Some(second)) => listed = Some(Listed { path, answers: [first, second] }),
            (None, None) => break,
            (first, _) => {
                let lacks = args.members[usize::from(first.is_some())];
                return Err(format!("{lacks} has no store path M{path:02X}, the other member has").into());
            }
        }
    }
    directory(args, listed, &mut found).await?;
    Ok(found)
}

async fn connect(member: SocketAddr) -> Result<Peer, CallError> {
    // A deep look at many large files takes its time.
    let wait = Timeouts { connect: Duration::from_secs(10), network: Duration::from_secs(600) };
    Peer::connect(member, wait, None).await
}

/// The files of one directory; `None`: no such store path.
async fn ask(args: &Args, peer: &mut Peer, path: u8, high: u8) -> Result<Option<Bytes>, CallError> {
    let mut body = args.group.field().raw().to_vec();
    body.extend_from_slice(&[path, high, u8::from(args.deep)]);
    match peer.ask(cmd::INVENTORY, &body, ANSWER_MAX).await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if path > 0 && high == 0 && error.status() == Some(Status::INVAL) => Ok(None),
        Err(error) => Err(error),
    }
}

/// An answer by true names.
fn entries(answer: &[u8]) -> Entries<'_> {
    let mut entries = Entries::new();
    let mut rest = answer;
    while let Some((head, after)) = rest.split_first_chunk::<22>() {
        let Some((name, after)) = after.split_at_checked(usize::from(head[0])) else { break };
        let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| head[at + i]));
        let crc = u32::from_be_bytes([head[18], head[19], head[20], head[21]]);
        // A link's size is the length of its target's path, which may differ.
        let size = if head[1] == b'l' { 0 } else { number(2) };
        entries.insert(name, Entry { kind: head[1], size, crc });
        rest = after;
    }
    entries
}

async fn directory(args: &Args, listed: Option<Listed>, found: &mut Found) -> Result<(), CallError> {
    let Some(Listed { path, answers: [first, second] }) = listed else { return Ok(()) };
    let (mut first, second) = (entries(&first), entries(&second));
    let logic = |name: &[u8]| format!("M{path:02X}/{}", String::from_utf8_lossy(name));
    for (name, theirs) in second {
        found.files += 1;
        match first.remove(name) {
            None => missing(args, 0, &logic(name), found).await?,
            Some(ours) if ours == theirs => {}
            Some(ours) => different(args, &logic(name), [&ours, &theirs], found).await?,
        }
    }
    for name in first.into_keys() {
        found.files += 1;
        missing(args, 1, &logic(name), found).await?;
    }
    Ok(())
}

/// The member `at` lacks a file of the other.
async fn missing(args: &Args, at: usize, name: &str, found: &mut Found) -> Result<(), CallError> {
    found.missing[at] += 1;
    say(&format!("missing at {}: {name}", args.members[at]));
    if args.repair {
        match repair(args, at, name, false, found).await? {
            Status::OK => found.repaired += 1,
            Status::EXIST => {
                found.deleted += 1;
                found.missing[at] -= 1;
                say(&format!(
                    "deleted at {}, left over at {}: {name}",
                    args.members[at],
                    args.members[1 - at]
                ));
            }
            status => say(&format!("not repaired, {}: {name}", status.text())),
        }
    }
    Ok(())
}

async fn different(
    args: &Args,
    name: &str,
    entries: [&Entry; 2],
    found: &mut Found,
) -> Result<(), CallError> {
    found.different += 1;
    let text = |entry: &Entry| format!("{} {} bytes", char::from(entry.kind), entry.size);
    say(&format!("different: {name}: {}, {}", text(entries[0]), text(entries[1])));
    if !args.repair {
        return Ok(());
    }
    // The one that is not what the name says, else the one that is not the source.
    let blob = FileName::parse(name.as_bytes(), 256)
        .ok()
        .and_then(|name| name.blob().map(|blob| (blob, name.describes_content())));
    let Some((blob, described)) = blob else { return Ok(()) };
    let bad = if described && entries.iter().any(|entry| entry.size == blob.size()) {
        usize::from(entries[0].size == blob.size())
    } else {
        let source = blob.source.to_string();
        usize::from(args.members[0].ip().to_string() == source)
    };
    match repair(args, bad, name, true, found).await? {
        Status::OK => found.repaired += 1,
        status => say(&format!("not repaired, {}: {name}", status.text())),
    }
    Ok(())
}

async fn repair(
    args: &Args,
    at: usize,
    name: &str,
    replace: bool,
    found: &mut Found,
) -> Result<Status, CallError> {
    let mut body = args.group.field().raw().to_vec();
    body.extend_from_slice(&[0; 16]);
    body.extend_from_slice(name.as_bytes());
    let head = Header { status: u8::from(replace), ..Header::request(cmd::REPAIR, body.len() as u64) };
    let peer = match &mut found.repairers[at] {
        Some(peer) => peer,
        none => none.insert(connect(args.members[at]).await?),
    };
    peer.send(head, &[&body]).await?;
    Ok(peer.recv(1024).await?.status)
}

/// One line; the reader of a pipe may have gone.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
