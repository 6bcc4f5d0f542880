//! Whole files: captured ones, the article's, and the samples of this project.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::testing::vectors;

/// Loads a file by its name.
fn load_any(path: &Path) -> Result<Vec<Warning>, ConfError> {
    Ok(match path.file_name().unwrap().to_str().unwrap() {
        "tracker.conf" => TrackerSettings::load(path)?.1,
        "storage.conf" => StorageSettings::load(path)?.1,
        "client.conf" => ClientSettings::load(path)?.1,
        "mod_fastdfs.conf" => ModSettings::load(path)?.1,
        "storage_ids.conf" => StorageIds::load(path)?.1,
        other => panic!("no settings for {other}"),
    })
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn captured_files_load() {
    let Some(vectors) = vectors() else { return };
    let mut count = 0;
    for set in fs::read_dir(vectors).unwrap() {
        let conf = set.unwrap().path().join("conf");
        for path in if conf.is_dir() { files_below(&conf) } else { Vec::new() } {
            let warnings = load_any(&path).unwrap_or_else(|error| panic!("{error}"));
            let loud: Vec<_> = warnings.iter().filter(|w| w.severity > Severity::Note).collect();
            assert!(loud.is_empty(), "{loud:?}");
            count += 1;
        }
    }
    assert!(count >= 27, "only {count} files");
}

#[test]
fn captured_settings_are_what_the_files_say() {
    let Some(vectors) = vectors() else { return };
    let (tracker, _) = TrackerSettings::load(vectors.join("ids-trunk/conf/t1/tracker.conf")).unwrap();
    assert_eq!(
        (tracker.bind_addr.as_str(), tracker.reserved_storage_space),
        ("10.66.0.11", Reserve::Percent(1.0))
    );
    assert_eq!((tracker.slot_max(), tracker.trunk_file_size), (Size(64 << 10), Size(4 << 20)));
    assert_eq!((tracker.id_type_in_filename, tracker.store_server), (IdType::Id, 1));
    let (ids, _) = tracker.storage_ids().unwrap().unwrap();
    assert_eq!(ids.by_number(100_003).unwrap().group.as_str(), "group2");
    let (storage, _) = StorageSettings::load(vectors.join("multi/conf/s11/storage.conf")).unwrap();
    assert_eq!((storage.store_paths.len(), storage.file_distribute_path_mode), (2, 1));
    assert_eq!((storage.subdir_count_per_path, storage.sync_threads()), (6, (1, 4)));
    assert_eq!(storage.tracker_server.len(), 2);
}

/// The changes the article makes, with the comments it has behind its values.
const ARTICLE: &str = "base_path=/data/fastdfs/storage
connect_timeout=10                        #保留默认值也可以
tracker_server=192.168.1.209:22122
tracker_server=192.168.1.210:22122
url_have_group_name = true                #url中是否加上group名
store_path0=/data/fastdfs/storage
group_name=group2                        #当前storage所属的组名
group_count = 2                    #组的数量，示例中共两组：group1、group2

[group1]
group_name=group1
storage_server_port=23000
store_path_count=1
store_path0=/data/fastdfs/storage

[group2]
group_name=group2
storage_server_port=23000
store_path_count=1
store_path0=/data/fastdfs/storage
";

#[test]
fn the_file_of_the_article_loads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mod_fastdfs.conf");
    fs::write(&path, ARTICLE).unwrap();
    let (found, warnings) = ModSettings::load(&path).unwrap();
    assert!(found.url_have_group_name);
    let groups: Vec<_> = found.groups.iter().map(|group| group.group_name.to_string()).collect();
    assert_eq!((groups.join(" "), found.group_count), ("group1 group2".into(), 2));
    assert_eq!(found.tracker_server.len(), 2);
    assert_eq!(warnings.len(), 4, "one per comment: {:?}", texts(&warnings));
}

#[test]
fn the_samples_load_without_a_word() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nginx-conf/fdfs");
    for name in ["tracker.conf", "storage.conf", "client.conf", "mod_fastdfs.conf", "storage_ids.conf"] {
        let warnings = load_any(&dir.join(name)).unwrap_or_else(|error| panic!("{error}"));
        assert!(warnings.is_empty(), "{:?}", texts(&warnings));
    }
    let (ids, _) = StorageIds::load(dir.join("storage_ids.conf")).unwrap();
    assert_eq!(ids.entries.len(), 4);
}

#[test]
fn the_samples_say_the_defaults() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nginx-conf/fdfs");
    let (found, _) = TrackerSettings::load(dir.join("tracker.conf")).unwrap();
    let wanted = TrackerSettings {
        base_path: found.base_path.clone(),
        max_connections: 1024,
        slot_max_size: Some(Size(8 << 20)),
        storage_ids_filename: found.storage_ids_filename.clone(),
        storage_ids_path: found.storage_ids_path.clone(),
        ..TrackerSettings::default()
    };
    assert_eq!(found, wanted);
    let (found, _) = StorageSettings::load(dir.join("storage.conf")).unwrap();
    let wanted = StorageSettings {
        base_path: found.base_path.clone(),
        group_name: found.group_name,
        max_connections: 1024,
        network_timeout: Some(Secs(60)),
        stat_report_interval: Secs(60),
        sync_binlog_buff_interval: Secs(1),
        tracker_server: found.tracker_server.clone(),
        store_paths: found.store_paths.clone(),
        ..StorageSettings::default()
    };
    assert_eq!(found, wanted);
}

#[test]
fn the_samples_name_every_key_that_may_be_set() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../nginx-conf/fdfs");
    // Keys for rare set-ups, which docs/configuration.md describes, not the samples.
    let rare = [
        "inner_bind_addr",
        "outer_bind_addr",
        "inner_port",
        "outer_port",
        "tcp_quick_ack",
        "min_buff_size",
        "max_buff_size",
        "file_signature_method",
        "key_namespace",
        "keep_alive",
        "store_group",
        "response_ip_addr_size_for",
        "http",
        "error-log",
        "access-log",
    ];
    for (name, keys) in [
        ("tracker.conf", fields_of::<TrackerSettings>()),
        ("storage.conf", fields_of::<StorageSettings>()),
        ("client.conf", fields_of::<ClientSettings>()),
    ] {
        let text = fs::read_to_string(dir.join(name)).unwrap();
        for key in keys.iter().filter(|key| !rare.contains(key)) {
            let there = text.lines().any(|line| line.split('=').next().unwrap().trim() == *key);
            assert!(there, "{name} does not name {key}");
        }
    }
}

#[test]
fn the_document_has_a_row_for_each_key() {
    // Read apart from the struct, because their number is open.
    let numbered = ["store_path0", "store_path0_readonly", "group_count", "group0"];
    let storage = fields_of::<StorageSettings>().iter().copied().chain(numbered).collect();
    assert_eq!(rows("storage.conf"), storage);
    assert_eq!(rows("tracker.conf"), fields_of::<TrackerSettings>().iter().copied().collect());
}

/// The keys that the table of a file names.
fn rows(file: &str) -> std::collections::BTreeSet<&'static str> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let text: &'static str = fs::read_to_string(path).unwrap().leak();
    let section = text.split("\n## ").find(|section| section.starts_with(file)).unwrap();
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`').map(|(key, _)| key)).collect()
}

/// Field names of a settings struct, as serde hands them to a format.
fn fields_of<T: Settings>() -> &'static [&'static str] {
    use serde::de::value::Error;
    use serde::de::{Deserializer, Visitor};
    struct Names<'a>(&'a mut &'static [&'static str]);
    impl<'de> Deserializer<'de> for Names<'_> {
        type Error = Error;
        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_unit()
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            visitor: V,
        ) -> Result<V::Value, Error> {
            *self.0 = fields;
            visitor.visit_unit()
        }
        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let mut names: &'static [&'static str] = &[];
    let _ = T::deserialize(Names(&mut names)).map(|_| ());
    names
}
