//! Bodies of the fuzz targets in `fuzz/`, as plain functions, so that the tests run them too.
//!
//! Each takes any bytes and panics only when a promise is broken.

use crate::conf::{self, ConfError, Env, GLOBAL, Included, Ini, Warning};
use crate::settings::{ClientSettings, ModSettings, StorageIds, StorageSettings, TrackerSettings};

/// The classic form: any text gets an answer in bounded memory; what was read, printed and read again is equal.
pub fn conf_ini(bytes: &[u8]) {
    let Ok((ini, _)) = classic(bytes) else { return };
    let entries = || ini.sections().iter().flat_map(|section| &section.entries);
    assert!(entries().all(|entry| entry.key.len() <= conf::MAX_KEY && entry.value.len() <= conf::MAX_VALUE));
    // A key that begins like another kind of line cannot be printed as a key.
    let odd =
        |text: &str| text.starts_with(['#', '[', '\u{feff}']) || text.contains('\n') || text.contains('\r');
    let sections_ok =
        ini.sections().iter().all(|section| !odd(&section.name) && !section.name.contains('\0'));
    if !sections_ok || entries().any(|entry| odd(&entry.key) || odd(&entry.value)) {
        return;
    }
    let Ok((again, _)) = conf::parse("again", &ini.to_string(), &env(), &mut |_, name| Err(missing(name)))
    else {
        panic!("what was printed is refused");
    };
    assert_eq!(ini.to_string(), again.to_string(), "what was printed reads back differently");
}

/// TOML: any text gets an answer.
pub fn conf_toml(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok((ini, _)) = conf::parse_toml("fuzz.toml", text)
    {
        all_settings(&ini);
    }
}

/// The settings structs: any text gets settings within their ranges, or an error that names the file.
pub fn conf_settings(bytes: &[u8]) {
    if let Ok((ini, _)) = classic(bytes) {
        all_settings(&ini);
    }
}

/// `storage_ids.conf`: any text gets an answer; ids are unique and in range.
pub fn storage_ids(bytes: &[u8]) {
    let Ok((ids, _)) = StorageIds::parse("fuzz", &String::from_utf8_lossy(bytes)) else { return };
    for entry in &ids.entries {
        assert!((1..=0xff_ffff).contains(&entry.number) && matches!(entry.hosts.len(), 1 | 2));
        assert_eq!(ids.by_number(entry.number).map(|found| found.at.line), Some(entry.at.line));
        assert_eq!(ids.by_id(&entry.id).map(|found| found.at.line), Some(entry.at.line));
    }
}

/// Requests and answers: any bytes get a message or an error, and a message writes itself as it was read.
pub fn wire(bytes: &[u8]) {
    use crate::wire::{
        Header, cluster_stat, edit, explain, identity, list, peer, query, report, storage, sync,
    };
    let Some((head, body)) = bytes.split_first_chunk::<{ Header::SIZE }>() else { return };
    let head = Header::decode(head);
    assert_eq!(Header::decode(&head.encode()), head);
    let _ = query::parse_group(body);
    if let Ok(query) = query::FileQuery::parse(body) {
        written(body, |out| query.put(out));
    }
    let _ = query::StoreTarget::parse(body);
    let _ = query::FetchTarget::parse(body);
    let _ = query::parse_store_all(body);
    let _ = query::parse_fetch_all(body);
    let _ = (peer::next_leader(body), peer::Ping::parse(body), explain::parse(body));
    let _ = (identity::NamedAddr::parse(body), identity::MyIp::parse(body), identity::IdsPage::parse(body));
    let _ = identity::GroupOf::parse(body).map(|asked| asked.addr());
    if let Ok(lines) = identity::IdsLines::parse(body) {
        written(body, |out| lines.put(out));
    }
    if let Ok(piece) = peer::SysFilePiece::parse(body) {
        written(body, |out| piece.put(out));
    }
    let _ =
        (report::Brief::parse_any(body), report::StatusReport::parse(body), report::IpChange::parse(body));
    let _ = list::GroupRecord::parse_list(body);
    let _ = list::StorageRecord::parse_list(body);
    let _ = report::Brief::parse_list(body);
    let _ = report::JoinHead::parse(body);
    let _ = report::Changes::parse(body);
    if let Ok(upload) = storage::Upload::parse(body, u64::try_from(head.len).unwrap_or(0)) {
        assert!(upload.size <= head.len.unsigned_abs(), "more content than body");
    }
    if let Ok(name) = storage::GroupAndName::parse(body) {
        written(body, |out| name.put(out));
    }
    if let Ok(download) = storage::Download::parse(body) {
        written(body, |out| download.put(out));
    }
    let _ = storage::SetMetadata::parse(body);
    let _ = storage::FileInfo::parse(body);
    let all = body.len() as u64;
    if let Ok(append) = edit::Append::parse(body, all) {
        assert!(append.size <= all && append.name.len() <= storage::NAME_MAX);
    }
    if let Ok(modify) = edit::Modify::parse(body, all) {
        assert!(modify.size <= all && modify.offset.checked_add(modify.size).is_some());
    }
    if let Ok(truncate) = edit::Truncate::parse(body) {
        written(body, |out| truncate.put(out));
    }
    if let Ok(slave) = edit::UploadSlave::parse(body, all) {
        assert!(slave.size <= all && !slave.prefix.is_empty());
    }
    if let Ok(link) = edit::CreateLink::parse(body) {
        written(body, |out| link.put(out));
    }
    let _ = cluster_stat::TrackerStat::parse_all(body);
    let _ = cluster_stat::StorageStats::parse(body);
    let _ = cluster_stat::VolumeStats::parse(body);
    let _ = sync::SyncRange::parse(body, body.len() as u64);
    let _ = sync::SyncTruncate::parse(body);
    let _ = sync::SyncPair::parse(body);
    let _ = sync::Probe::parse(body);
    let _ = sync::SyncCopy::parse(body, head);
    if let Ok(delete) = sync::SyncDelete::parse(body) {
        written(body, |out| delete.put(out));
    }
}

/// What was read, written and read again means the same; groups may have been padded with other bytes than NUL.
fn written(body: &[u8], put: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    put(&mut out);
    assert_eq!(out.len(), body.len(), "a message of another length");
}

/// File ids: any text gets a name or an error; a name stays inside its store path and is printed as it was read.
pub fn file_id(bytes: &[u8]) {
    use crate::fileid::{FileName, split_id};
    if let Some(Ok((group, name))) = std::str::from_utf8(bytes).ok().map(split_id) {
        assert!(group.as_str().len() <= 16 && bytes.ends_with(name.as_bytes()));
    }
    let Ok(name) = FileName::parse(bytes, 3) else { return };
    assert!(name.path().index() < 3);
    let mut parts = name.true_name().split(|&byte| byte == b'/');
    assert!(!parts.any(|part| part == b".." || part.is_empty()), "a name left its store path");
    assert_eq!(name.logic().len(), name.logic_len());
    let again = FileName::parse(name.logic().as_bytes(), 3);
    assert_eq!(again.ok().map(|again| again.logic()), Some(name.logic()));
    let _ = (name.blob(), name.trunk_slot(), name.metadata(), name.is_slave(), name.is_normal());
}

/// Binlog lines, mark files, metadata: any bytes get an answer; what is read is written the same.
pub fn binlog(bytes: &[u8]) {
    use crate::binlog::{Mark, Record};
    use crate::metadata::Metadata;
    if let Ok(record) = Record::parse(bytes) {
        let line = record.to_string();
        assert!(line.len() <= bytes.len() + 1 || line.len() < Record::LINE_MAX);
        assert_eq!(Record::parse(line.trim_end_matches('\n').as_bytes()), Ok(record));
    }
    if let Ok(mark) = Mark::parse(&String::from_utf8_lossy(bytes)) {
        assert_eq!(Mark::parse(&mark.to_string()), Ok(mark));
    }
    let metadata = Metadata::parse(bytes);
    assert_eq!(Metadata::parse(&metadata.encode()), metadata);
}

/// What the nginx module reads: URLs, ranges, answers of trackers.
pub fn http(bytes: &[u8]) {
    crate::http::check_any_bytes(bytes);
}

/// The text up to the first NUL as the main file, what follows as the file that it may include.
fn classic(bytes: &[u8]) -> Result<(Ini, Vec<Warning>), ConfError> {
    let text = String::from_utf8_lossy(bytes);
    let (main, other) = text.split_once('\0').unwrap_or((&text, ""));
    conf::parse("fuzz", main, &env(), &mut |_, name| {
        if other.is_empty() {
            return Err(missing(name));
        }
        Ok(Included { name: name.to_owned(), text: other.to_owned() })
    })
}

fn env() -> Env {
    let ips = [[10, 0, 0, 1], [8, 8, 8, 8]].map(Into::into).to_vec();
    Env { local_ips: Some(ips), host: Some("host".into()) }
}

fn missing(name: &str) -> ConfError {
    ConfError::Read { path: name.to_owned(), source: std::io::ErrorKind::NotFound.into() }
}

fn all_settings(ini: &Ini) {
    let named = |error: ConfError| {
        let text = error.to_string();
        let file = ini.place_of(GLOBAL).file;
        assert!(!text.is_empty() && !file.is_empty(), "an error without a place");
    };
    match TrackerSettings::from_ini(ini.clone(), Vec::new()) {
        Ok((tracker, _)) => {
            assert!(tracker.port > 0 && tracker.work_threads > 0 && tracker.max_package() >= 8192);
            assert!(
                tracker.store_lookup <= 2 && tracker.slot_min_size.0 > 0 && !tracker.base_path.is_empty()
            );
        }
        Err(error) => named(error),
    }
    match StorageSettings::from_ini(ini.clone(), Vec::new()) {
        Ok((storage, _)) => {
            let (least, most) = storage.sync_threads();
            assert!(1 <= least && least <= most && most <= 256);
            assert!(!storage.tracker_server.is_empty() && storage.subdir_count_per_path > 0);
            assert_eq!(Ok(storage.store_paths.len()), usize::try_from(storage.store_path_count));
        }
        Err(error) => named(error),
    }
    if let Err(error) = ClientSettings::from_ini(ini.clone(), Vec::new()) {
        named(error);
    }
    match ModSettings::from_ini(ini.clone(), Vec::new()) {
        Ok((module, _)) => assert!(!module.groups.is_empty()),
        Err(error) => named(error),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Lines that are nearly right, of every kind of file.
    fn lines() -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            "(port|inner_port|buff_size|slot_max_size|trunk_file_size|store_path_count|sync_max_threads|use_trunk_file|\
              log_level|reserved_storage_space|group_count|store_lookup|sync_start_time|max_buff_size|min_buff_size) = \
              (-?[0-9]{1,20}|[0-9]{1,4}[KMGTkmgt]B?|[0-9]{1,2}:[0-9]{1,2}|[0-9.]{1,4}%|true|auto|\\PC{0,10})",
            Just("base_path = /b".to_owned()),
            Just("tracker_server = 10.0.0.1:22122".to_owned()),
            Just("group_name = group1".to_owned()),
            Just("url_have_group_name = true".to_owned()),
            "store_path[0-3](_readonly)? = (/[a-z]{0,5}|true)",
            "\\[(error-log|access-log|group[0-3]|)\\]",
            "[0-9]{1,9} group[0-9] [0-9.:,\\[\\]a-f]{1,20}( rw=(none|read|both|x))?",
            "#@(if|else|endif|for|endfor|set|function)( [%{}$a-zA-Z0-9_ =\\[\\],]{0,30})?",
            Just("#include x\0".to_owned()),
            "[a-z.]{1,6} = (\\[[0-9, \"]{0,10}\\]|\"[a-z]{0,4}\")",
            "\\PC{0,30}",
        ];
        // Half of the texts hold what every file must, so that the later checks are reached too.
        let head = prop_oneof![
            Just(""),
            Just("base_path = /b\ntracker_server = 10.0.0.1\ngroup_name = g\n"),
            Just("base_path = \"/b\"\ntracker_server = [\"10.0.0.1\"]\ngroup_name = \"g\"\n"),
        ];
        let text = (head, proptest::collection::vec(line, 0..25))
            .prop_map(|(head, lines)| format!("{head}{}", lines.join("\n")).into_bytes());
        prop_oneof![4 => text, 1 => proptest::collection::vec(any::<u8>(), 0..300)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn bodies_of_the_fuzz_targets(bytes in lines()) {
            conf_ini(&bytes);
            conf_toml(&bytes);
            conf_settings(&bytes);
            storage_ids(&bytes);
        }

        #[test]
        fn bodies_on_messages(bytes in proptest::collection::vec(any::<u8>(), 0..700)) {
            wire(&bytes);
            binlog(&bytes);
        }

        #[test]
        fn bodies_on_lines(line in "([0-9]{1,11} [CcDdUuAaMmTtLlRrXx] \\PC{0,140}|\\PC{0,60})") {
            binlog(line.as_bytes());
        }

        #[test]
        fn bodies_on_names(
            name in "(group[0-9]/)?M0[0-9A-F]/[0-9A-F]{2}/[0-9A-F]{2}/[A-Za-z0-9_-]{27}[a-z0-9.-]{0,12}|\\PC{0,60}",
        ) {
            file_id(name.as_bytes());
            file_id(name.trim_start_matches("group1/").as_bytes());
            http(name.as_bytes());
        }
    }
}
