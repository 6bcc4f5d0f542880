//! The classic form and TOML give equal settings.

use proptest::prelude::*;

use super::*;
use crate::conf::parse_toml;

#[derive(Debug, Clone)]
enum Written {
    Text(String),
    Number(u32),
    Switch(bool),
    List(Vec<String>),
}

impl Written {
    fn classic(&self, key: &str) -> String {
        match self {
            Self::Text(text) => format!("{key} = {text}\n"),
            Self::Number(number) => format!("{key} = {number}\n"),
            Self::Switch(on) => format!("{key} = {}\n", if *on { "yes" } else { "no" }),
            Self::List(items) => items.iter().map(|item| format!("{key} = {item}\n")).collect(),
        }
    }

    fn toml(&self, key: &str) -> String {
        match self {
            Self::Text(text) => format!("{key:?} = {text:?}\n"),
            Self::Number(number) => format!("{key:?} = {number}\n"),
            Self::Switch(on) => format!("{key:?} = {on}\n"),
            Self::List(items) => match &items[..] {
                [one] => format!("{key:?} = {one:?}\n"),
                items => format!("{key:?} = {items:?}\n"),
            },
        }
    }
}

type Key = (&'static str, BoxedStrategy<Written>);

fn text(pattern: &'static str) -> BoxedStrategy<Written> {
    pattern.prop_map(Written::Text).boxed()
}
fn number(max: u32) -> BoxedStrategy<Written> {
    (0..=max).prop_map(Written::Number).boxed()
}
fn switch() -> BoxedStrategy<Written> {
    any::<bool>().prop_map(Written::Switch).boxed()
}
fn list(pattern: &'static str) -> BoxedStrategy<Written> {
    proptest::collection::vec(pattern, 1..4).prop_map(Written::List).boxed()
}
fn size() -> BoxedStrategy<Written> {
    prop_oneof![number(1 << 30), text("[1-9][0-9]{0,2} ?[KMGkmg]B?")].boxed()
}

/// Some of the keys, each at most once, as both forms write them; `section` is put in front of the log keys.
fn both_forms(keys: Vec<Key>, log: Vec<Key>, section: &'static str) -> BoxedStrategy<(String, String)> {
    let some = |keys: Vec<Key>| -> BoxedStrategy<(String, String)> {
        keys.into_iter().fold(Just((String::new(), String::new())).boxed(), |made, (key, values)| {
            (made, proptest::option::of(values))
                .prop_map(move |((mut classic, mut toml), value)| {
                    if let Some(value) = value {
                        classic.push_str(&value.classic(key));
                        toml.push_str(&value.toml(key));
                    }
                    (classic, toml)
                })
                .boxed()
        })
    };
    (some(keys), some(log))
        .prop_map(move |(global, log)| {
            (format!("{}[{section}]\n{}", global.0, log.0), format!("{}[{section}]\n{}", global.1, log.1))
        })
        .boxed()
}

fn log_keys() -> Vec<Key> {
    vec![
        ("log_file_keep_days", number(100)),
        ("log_file_rotate_on_size", size()),
        ("log_file_delete_old_time", text("[01][0-9]:[0-5][0-9]")),
        ("log_file_rotate_everyday", switch()),
    ]
}

fn tracker_keys() -> Vec<Key> {
    vec![
        ("base_path", text("/[a-z]{1,8}/?")),
        ("port", number(70000)),
        ("max_connections", number(5000)),
        ("buff_size", size()),
        ("use_trunk_file", switch()),
        ("slot_min_size", size()),
        ("reserved_storage_space", prop_oneof![size(), text("[1-9][0-9]?(\\.5)?%")].boxed()),
        ("log_level", text("emerg|error|WARN|info|debug|loud")),
        ("allow_hosts", list("10\\.0\\.0\\.[1-9]")),
        ("response_ip_addr_size_for", list("10\\.0\\.0\\.[0-9]/[0-9]{1,2} (16|46|7)")),
        ("store_group", text("[a-z0-9]{1,20}")),
        ("store_lookup", number(3)),
        ("trunk_create_file_time_base", text("[012]?[0-9]:[0-9]{1,2}")),
        ("unknown", text("[a-z]{1,5}")),
    ]
}

fn storage_keys() -> Vec<Key> {
    vec![
        ("base_path", text("/[a-z]{1,8}")),
        ("tracker_server", list("10\\.0\\.0\\.[1-9](:[1-9][0-9]{0,4})?")),
        ("group_name", text("[a-z0-9]{1,18}")),
        ("store_path_count", number(3)),
        ("store_path0", text("/[a-z]{1,4}")),
        ("store_path1", text("/[a-z]{1,4}")),
        ("store_path1_readonly", switch()),
        ("sync_max_threads", prop_oneof![number(300), text("auto|AUTO")].boxed()),
        ("sync_wait_msec", number(1000)),
        ("network_timeout", number(100)),
        ("upload_priority", number(100)),
        ("check_store_path_mark", switch()),
    ]
}

/// What is left of a result when places and spellings are taken away.
fn outcome<T: Settings>(ini: Result<(Ini, Vec<Warning>), ConfError>) -> Result<T, ()> {
    ini.and_then(|(ini, warnings)| build::<T>(ini, warnings)).map(|(settings, _)| settings).map_err(|_| ())
}

fn read_classic(text: &str) -> Result<(Ini, Vec<Warning>), ConfError> {
    parse("c.conf", text, &Env::default(), &mut |_, _| panic!("no includes here"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn trackers((classic, toml) in both_forms(tracker_keys(), log_keys(), "error-log")) {
        let classic: Result<TrackerSettings, ()> = outcome(read_classic(&classic));
        prop_assert_eq!(&classic, &outcome(parse_toml("c.toml", &toml)));
    }

    #[test]
    fn storages((classic, toml) in both_forms(storage_keys(), log_keys(), "access-log")) {
        let classic: Result<StorageSettings, ()> = outcome(read_classic(&classic));
        prop_assert_eq!(&classic, &outcome(parse_toml("c.toml", &toml)));
    }
}

#[test]
fn a_toml_file_is_loaded_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mod_fastdfs.toml");
    let text = "url_have_group_name = true\ngroup_count = 1\nuse_storage_id = true\nstorage_ids_filename = 'ids'\n\
                [group1]\ngroup_name = 'g'\nstore_path_count = 2\nstore_path0 = '/a'\nstore_path1 = '/b'\n\
                [http]\nanti_steal.check_token = true\nanti_steal.secret_key = 'x'\n";
    std::fs::write(&path, text).unwrap();
    let (found, warnings) = ModSettings::load(&path).unwrap();
    assert!(warnings.is_empty(), "{:?}", texts(&warnings));
    assert_eq!(found.groups.first().unwrap().store_paths.len(), 2);
    assert!(found.http.tokens());
    assert_eq!(found.storage_ids_path, Some(dir.path().join("ids")));
}

#[test]
fn the_structs_also_read_from_a_plain_toml_table() {
    let text = "port = 5\nbuff_size = 1024\nlog_level = 'debug'\nallow_hosts = ['a']\nslot_max_size = '1MB'";
    let found: TrackerSettings = toml::from_str(text).unwrap();
    assert_eq!((found.port, found.buff_size, found.log_level), (5, Size(1024), LogLevel::Debug));
    assert_eq!(found.slot_max_size, Some(Size(1 << 20)));
}
