//! Every message that was recorded between existing programs, requests and answers: read by our types, and written again as it was.
//!
//! Exempt: what existing programs leave behind the end of a group's name ([`cleared`]), [`echo`], [`NO_TYPE`] and [`NO_GROUP`].

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::cluster_stat::{StorageStats, TrackerStat, VolumeStats};
use super::edit::{Append, CreateLink, Modify, Truncate, UploadSlave};
use super::identity::{GroupOf, IdsLines, IdsPage, MyIp, NamedAddr};
use super::list::{GroupRecord, StatBlock, StorageRecord};
use super::peer::{JoinLeader, Ping, SysFilePiece, SysFileRequest, TrunkPair, next_leader};
use super::query::{
    FetchAllForm, FetchTarget, FileQuery, StoreTarget, parse_fetch_all, parse_group, parse_store_all,
    put_fetch_all, put_group, put_group_and_id, put_store_all,
};
use super::report::{Brief, Changes, JoinAnswer, JoinHead, PathUsage, StatusReport, SyncSource};
use super::report::{SyncSrcRequest, SyncedFrom};
use super::storage::{Download, FileInfo, GroupAndName, SetMetadata, Upload};
use super::sync::{SyncCopy, SyncDelete, SyncPair, SyncRange, SyncTruncate};
use super::{AddrWidth, BadMessage, Header, cmd};
use crate::binlog::Record;
use crate::cluster::{ChangeLine, PeerStatus, parse_lines};
use crate::ident::{GroupName, StorageId, StorageStatus};

type Again = Result<Vec<u8>, BadMessage>;

/// Slots inside trunk files (27, 28), and the log of them (30, 33): these storages give out none.
const NO_TYPE: [u64; 4] = [27, 28, 30, 33];

/// Asks for a group without a name: answered with 2, as one that is not known.
const NO_GROUP: &str = "err-query-store-group-empty";

const OTHER: BadMessage = BadMessage::Field("message");

fn empty(body: &[u8]) -> Again {
    if body.is_empty() { Ok(Vec::new()) } else { Err(OTHER) }
}

/// One layout.
fn one<T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned>(body: &[u8]) -> Again {
    T::read_from_bytes(body).map(|value| value.as_bytes().to_vec()).map_err(|_| OTHER)
}

/// A layout, again and again.
fn many<T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned>(body: &[u8]) -> Again {
    <[T]>::ref_from_bytes(body).map(|all| all.as_bytes().to_vec()).map_err(|_| OTHER)
}

/// Text that says a value.
fn text<T: std::str::FromStr + ToString>(body: &[u8]) -> Again {
    let value = std::str::from_utf8(body).ok().and_then(|text| text.parse::<T>().ok());
    value.map(|value| value.to_string().into_bytes()).ok_or(OTHER)
}

fn written(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out);
    out
}

/// What precedes the content, and the content.
fn with(rest: &[u8], put: impl FnOnce(&mut Vec<u8>)) -> Again {
    let mut out = written(put);
    out.extend_from_slice(rest.get(out.len()..).ok_or(OTHER)?);
    Ok(out)
}

/// A request; of one that was cut in the recording the beginning.
fn request(head: Header, body: &[u8]) -> Again {
    let len = head.body().ok_or(OTHER)?;
    Ok(match head.cmd {
        cmd::TRACKER_GET_SYS_FILES_START
        | cmd::TRACKER_GET_SYS_FILES_END
        | cmd::TRACKER_GET_STATUS
        | cmd::FETCH_TRUNK_FID
        | cmd::PARAMETER_REQ
        | cmd::QUIT
        | cmd::SYNC_DEST_REQ
        | cmd::LIST_ALL_GROUPS
        | cmd::GET_LEADER
        | cmd::QUERY_STORE_WITHOUT_GROUP_ONE
        | cmd::QUERY_STORE_WITHOUT_GROUP_ALL
        | cmd::ACTIVE_TEST
        | cmd::TRUNK_GET_BINLOG_SIZE => empty(body)?,
        cmd::STORAGE_BEAT => empty(body).or_else(|_| one::<StatBlock>(body))?,
        cmd::REPORT_DISK_USAGE => many::<PathUsage>(body)?,
        cmd::SYNC_REPORT => many::<SyncedFrom>(body)?,
        cmd::REPLICA_CHG => Brief::parse_any(body)?.as_bytes().to_vec(),
        cmd::REPORT_STATUS => StatusReport::parse(body)?.as_bytes().to_vec(),
        cmd::CHANGE_STATUS => match body {
            [status] => vec![StorageStatus::from_wire(*status).map_err(|_| OTHER)?.wire()],
            _ => return Err(OTHER),
        },
        cmd::SYNC_SRC_REQ => one::<SyncSrcRequest>(body)?,
        cmd::SYNC_NOTIFY => one::<SyncSource>(body)?,
        cmd::CHANGELOG_REQ => empty(body).or_else(|_| one::<SyncSrcRequest>(body))?,
        cmd::STORAGE_JOIN => {
            let (head, lines) = JoinHead::parse(body)?;
            let trackers = parse_lines(lines, head.tracker_count.get() as usize).map_err(|_| OTHER)?;
            let lines: String = trackers.iter().map(|tracker| format!("{}\n", tracker.first())).collect();
            [head.as_bytes(), lines.as_bytes()].concat()
        }
        cmd::REPORT_TRUNK_FID => one::<[u8; 4]>(body)?,
        cmd::REPORT_TRUNK_FREE => one::<[u8; 8]>(body)?,
        cmd::GET_MY_IP => {
            let asked = MyIp::parse(body)?;
            written(|out| asked.put(out))
        }
        cmd::FETCH_STORAGE_IDS => {
            let page = IdsPage::parse(body)?;
            written(|out| page.put(out))
        }
        cmd::GET_SERVER_ID | cmd::GET_STATUS => {
            let named = NamedAddr::parse(body)?;
            written(|out| named.put(out))
        }
        cmd::GET_GROUP_NAME => {
            let asked = GroupOf::parse(body)?;
            written(|out| asked.put(out))
        }
        cmd::LIST_ONE_GROUP
        | cmd::QUERY_STORE_WITH_GROUP_ONE
        | cmd::QUERY_STORE_WITH_GROUP_ALL
        | cmd::DELETE_GROUP => {
            let group = parse_group(body)?;
            written(|out| put_group(out, group))
        }
        cmd::LIST_STORAGE | cmd::DELETE_STORAGE | cmd::SET_TRUNK_SERVER => {
            let (group, id) = body.split_at_checked(16).ok_or(OTHER)?;
            let (group, id) = (parse_group(group)?, StorageId::from_field(id)?);
            written(|out| put_group_and_id(out, group, id))
        }
        cmd::QUERY_FETCH_ONE | cmd::QUERY_UPDATE | cmd::QUERY_FETCH_ALL => {
            let query = FileQuery::parse(body)?;
            written(|out| query.put(out))
        }
        cmd::TRACKER_CLUSTER_STAT => one::<[u8; 3]>(body)?,
        cmd::STORAGE_CLUSTER_STAT | cmd::STORAGE_VOLUMN_STAT => one::<[u8; 4]>(body)?,
        cmd::TRACKER_JOIN_LEADER => one::<JoinLeader>(body)?,
        cmd::TRACKER_GET_ONE_SYS_FILE => one::<SysFileRequest>(body)?,
        cmd::TRACKER_PING_LEADER => Ping::parse(body)?.map_or_else(Vec::new, |ping| ping.as_bytes().to_vec()),
        cmd::TRACKER_NOTIFY_NEXT_LEADER | cmd::TRACKER_COMMIT_NEXT_LEADER => {
            next_leader(body)?.to_string().into_bytes()
        }
        cmd::REPORT_SERVER_ID => StorageId::field_of(StorageId::from_field(body)?).raw().to_vec(),
        cmd::UPLOAD_FILE | cmd::UPLOAD_APPENDER_FILE => {
            let upload = Upload::parse(body.get(..Upload::HEAD).ok_or(OTHER)?, len)?;
            with(body, |out| upload.put(out))?
        }
        cmd::DELETE_FILE | cmd::GET_METADATA | cmd::QUERY_FILE_INFO => {
            let name = GroupAndName::parse(body)?;
            written(|out| name.put(out))
        }
        cmd::SET_METADATA => {
            let set = SetMetadata::parse(body)?;
            written(|out| set.put(out))
        }
        cmd::DOWNLOAD_FILE => {
            let download = Download::parse(body)?;
            written(|out| download.put(out))
        }
        cmd::CREATE_LINK => {
            let link = CreateLink::parse(body)?;
            written(|out| link.put(out))
        }
        cmd::UPLOAD_SLAVE_FILE => {
            let slave = UploadSlave::parse(body, len)?;
            with(body, |out| slave.put(out))?
        }
        cmd::APPEND_FILE => {
            let append = Append::parse(body, len)?;
            with(body, |out| append.put(out))?
        }
        cmd::MODIFY_FILE => {
            let modify = Modify::parse(body, len)?;
            with(body, |out| modify.put(out))?
        }
        cmd::TRUNCATE_FILE => {
            let truncate = Truncate::parse(body)?;
            written(|out| truncate.put(out))
        }
        cmd::REGENERATE_APPENDER_FILENAME => body.to_vec(),
        cmd::SYNC_CREATE_FILE | cmd::SYNC_UPDATE_FILE => {
            let (fixed, rest) = body.split_at_checked(SyncCopy::HEAD).ok_or(OTHER)?;
            let copy = SyncCopy::parse(fixed, head)?;
            let name = rest.get(..copy.name_len.into()).ok_or(OTHER)?;
            with(body, |out| SyncCopy::put(out, copy.group, copy.timestamp, name, copy.size))?
        }
        cmd::SYNC_DELETE_FILE => {
            let delete = SyncDelete::parse(body)?;
            written(|out| delete.put(out))
        }
        cmd::SYNC_APPEND_FILE | cmd::SYNC_MODIFY_FILE => {
            let (fixed, rest) = body.split_at_checked(SyncRange::HEAD).ok_or(OTHER)?;
            let range = SyncRange::parse(fixed, len)?;
            let name = rest.get(..range.name_len.into()).ok_or(OTHER)?;
            let SyncRange { group, timestamp, start, len, .. } = range;
            with(body, |out| SyncRange::put(out, group, timestamp, name, start, len))?
        }
        cmd::SYNC_TRUNCATE_FILE => {
            let truncate = SyncTruncate::parse(body)?;
            written(|out| truncate.put(out))
        }
        cmd::SYNC_RENAME_FILE | cmd::SYNC_CREATE_LINK => {
            let pair = SyncPair::parse(body)?;
            written(|out| pair.put(out))
        }
        cmd::FETCH_ONE_PATH_BINLOG => {
            let (group, path) = body.split_at_checked(16).ok_or(OTHER)?;
            let mut out = GroupName::from_field(group)?.field().raw().to_vec();
            out.extend_from_slice(&one::<u8>(path)?);
            out
        }
        _ => return Err(BadMessage::Field("command")),
    })
}

/// An answer with status 0.
fn answer(command: u8, body: &[u8]) -> Again {
    // `group 16`, records of 23 or 53 bytes, for commands to store at one byte more.
    let width = |more: usize| match body.len().checked_sub(16 + more) {
        Some(records) if records.is_multiple_of(53) => AddrWidth::V6,
        _ => AddrWidth::V4,
    };
    Ok(match command {
        cmd::STORAGE_JOIN => one::<JoinAnswer>(body)?,
        cmd::STORAGE_BEAT | cmd::REPORT_DISK_USAGE | cmd::SYNC_REPORT => {
            let changes = Changes::parse(body)?;
            written(|out| changes.put(out))
        }
        cmd::SYNC_SRC_REQ | cmd::SYNC_DEST_REQ => empty(body).or_else(|_| one::<SyncSource>(body))?,
        // Lines `key=value`.
        cmd::PARAMETER_REQ => {
            let text = std::str::from_utf8(body).map_err(|_| OTHER)?;
            let pairs: Option<Vec<_>> = text.lines().map(|line| line.split_once('=')).collect();
            let lines = pairs.ok_or(OTHER)?.into_iter().map(|(key, value)| format!("{key}={value}\n"));
            lines.collect::<String>().into_bytes()
        }
        cmd::FETCH_STORAGE_IDS => {
            let lines = IdsLines::parse(body)?;
            written(|out| lines.put(out))
        }
        cmd::GET_MY_IP => text::<IpAddr>(body)?,
        cmd::FETCH_TRUNK_FID => one::<[u8; 4]>(body)?,
        cmd::CHANGELOG_REQ => {
            let text = std::str::from_utf8(body).map_err(|_| OTHER)?;
            if text.lines().any(|line| ChangeLine::parse(line).is_none()) {
                return Err(OTHER);
            }
            body.to_vec()
        }
        cmd::LIST_ONE_GROUP | cmd::LIST_ALL_GROUPS => GroupRecord::parse_list(body)?.as_bytes().to_vec(),
        cmd::LIST_STORAGE => {
            let records = StorageRecord::parse_list(body)?;
            let wide = body.len() == records.len() * StorageRecord::size(AddrWidth::V6);
            let width = if wide { AddrWidth::V6 } else { AddrWidth::V4 };
            written(|out| records.iter().for_each(|record| record.put(out, width)))
        }
        cmd::SET_TRUNK_SERVER => {
            let id = StorageId::from_field(body)?.ok_or(OTHER)?;
            [id.bytes(), &[0]].concat()
        }
        cmd::GET_LEADER => text::<SocketAddr>(body)?,
        cmd::TRACKER_CLUSTER_STAT => {
            let all = TrackerStat::parse_all(body)?;
            written(|out| TrackerStat::put_all(&all, out))
        }
        cmd::STORAGE_CLUSTER_STAT => {
            let stats = StorageStats::parse(body)?;
            written(|out| stats.put(out))
        }
        cmd::STORAGE_VOLUMN_STAT => {
            let stats = VolumeStats::parse(body)?;
            written(|out| stats.put(out))
        }
        cmd::QUERY_STORE_WITHOUT_GROUP_ONE | cmd::QUERY_STORE_WITH_GROUP_ONE => {
            let target = StoreTarget::parse(body)?;
            written(|out| target.put(out, width(1)))
        }
        cmd::QUERY_STORE_WITHOUT_GROUP_ALL | cmd::QUERY_STORE_WITH_GROUP_ALL => {
            let (group, addrs, path) = parse_store_all(body)?;
            written(|out| put_store_all(out, group, &addrs, path, width(1)))
        }
        cmd::QUERY_FETCH_ONE | cmd::QUERY_UPDATE => {
            let target = FetchTarget::parse(body)?;
            written(|out| target.put(out, width(0)))
        }
        cmd::QUERY_FETCH_ALL => {
            let (group, addrs) = parse_fetch_all(body)?;
            written(|out| put_fetch_all(out, group, &addrs, width(0), FetchAllForm::EachPort))
        }
        cmd::GET_GROUP_NAME => {
            let group = parse_group(body)?;
            written(|out| put_group(out, group))
        }
        cmd::TRACKER_GET_STATUS => PeerStatus::decode(body).ok_or(OTHER)?.encode().to_vec(),
        cmd::TRACKER_GET_ONE_SYS_FILE => {
            let piece = SysFilePiece::parse(body)?;
            written(|out| piece.put(out))
        }
        cmd::TRACKER_PING_LEADER => many::<TrunkPair>(body)?,
        cmd::UPLOAD_FILE
        | cmd::UPLOAD_APPENDER_FILE
        | cmd::UPLOAD_SLAVE_FILE
        | cmd::REGENERATE_APPENDER_FILENAME => {
            let name = GroupAndName::parse(body)?;
            written(|out| name.put(out))
        }
        cmd::QUERY_FILE_INFO => {
            let info = FileInfo::parse(body)?;
            let width = if body.len() == 70 { AddrWidth::V6 } else { AddrWidth::V4 };
            written(|out| info.put(out, width))
        }
        // Content, and metadata as they were sent.
        cmd::DOWNLOAD_FILE | cmd::GET_METADATA => body.to_vec(),
        cmd::FETCH_ONE_PATH_BINLOG => {
            let (lines, count) = body.split_last_chunk::<8>().ok_or(OTHER)?;
            if *count != (lines.len() as u64).to_be_bytes() {
                return Err(OTHER);
            }
            let records = lines.split_inclusive(|byte| *byte == b'\n').map(|line| {
                Record::parse(line.strip_suffix(b"\n").unwrap_or(line)).map(|record| record.to_string())
            });
            let lines: String = records.collect::<Result<_, _>>().map_err(|_| OTHER)?;
            [lines.as_bytes(), count].concat()
        }
        cmd::TRUNK_GET_BINLOG_SIZE => one::<[u8; 8]>(body)?,
        _ => empty(body)?,
    })
}

/// The request without what existing storages leave behind the group's name.
fn cleared(command: u8, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    let at = match command {
        cmd::SYNC_DELETE_FILE => 4,
        cmd::SYNC_CREATE_FILE | cmd::SYNC_UPDATE_FILE | cmd::SYNC_RENAME_FILE => 20,
        cmd::SYNC_APPEND_FILE | cmd::SYNC_MODIFY_FILE | cmd::SYNC_TRUNCATE_FILE => 28,
        _ => return body,
    };
    if let Some(field) = body.get_mut(at..at + 16)
        && let Some(end) = field.iter().position(|byte| *byte == 0)
    {
        field[end..].fill(0);
    }
    body
}

/// Existing storages answer appends and modifications of nothing, truncations to the same size and renames with the request.
fn echo(command: u8, request: &[u8], answer: &[u8]) -> bool {
    let echoes = [cmd::APPEND_FILE, cmd::MODIFY_FILE, cmd::TRUNCATE_FILE, cmd::SYNC_RENAME_FILE];
    echoes.contains(&command) && !answer.is_empty() && request == answer
}

fn message(line: &Value, key: &str) -> Vec<u8> {
    let hex = line[key].as_str().unwrap_or_default();
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn every_recorded_message() {
    let Some(dir) = crate::testing::vectors() else { return };
    let (mut requests, mut answers, mut refused, mut wrong) = (0, 0, 0, Vec::new());
    for file in ["plain", "ids-trunk", "multi"]
        .into_iter()
        .flat_map(|set| ["client.jsonl", "servers.jsonl"].map(|file| dir.join(set).join(file)))
    {
        let lines = std::fs::read_to_string(&file).unwrap();
        for (number, line) in (1..).zip(lines.lines()) {
            let line: Value = serde_json::from_str(line).unwrap();
            if NO_TYPE.contains(&line["cmd"].as_u64().unwrap()) {
                continue;
            }
            let mut check = |what: &str, again: Again, recorded: &[u8]| {
                if again.as_deref() != Ok(recorded) {
                    wrong.push(format!(
                        "{}:{number} {}: {what} {again:02x?} of {recorded:02x?}",
                        file.display(),
                        line["cmd"]
                    ));
                }
            };
            let (asked, answered) = (message(&line, "request"), message(&line, "response"));
            let (head, body) = asked.split_first_chunk().unwrap();
            let head = Header::decode(head);
            assert_eq!(Header::decode(&head.encode()), head);
            // What a client sent wrong, on purpose, need not be understood.
            let unanswered = line["status"].is_null() && line.get("from").is_none();
            if line["status"] == 22 || unanswered || line["name"] == NO_GROUP {
                refused += 1;
            } else {
                requests += 1;
                check("request", request(head, body), &cleared(head.cmd, body));
            }
            let Some((start, told)) = answered.split_first_chunk() else { continue };
            let start = Header::decode(start);
            assert_eq!(
                (u64::from(start.status), start.cmd),
                (line["status"].as_u64().unwrap(), cmd::RESPONSE)
            );
            if start.status != 0 || echo(head.cmd, body, told) {
                continue;
            }
            answers += 1;
            check("answer", answer(head.cmd, told), told);
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), requests + answers, wrong.join("\n"));
    println!("{requests} requests and {answers} answers, {refused} refused or unanswered");
    assert_eq!((requests, answers), (997, 847));
}
