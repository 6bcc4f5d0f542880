//! What values become.

use super::*;

#[test]
fn defaults_are_those_of_the_struct() {
    let (found, warnings) = tracker("");
    assert_eq!(found, TrackerSettings { base_path: "/b".into(), ..TrackerSettings::default() });
    assert_eq!((found.max_package(), found.slot_max()), (256 << 10, Size(8 << 20)));
    assert!(warnings.is_empty());
    let (found, warnings) = storage("");
    let path = StorePathConf { path: "/b".into(), readonly: false };
    let wanted = StorageSettings {
        base_path: "/b".into(),
        tracker_server: vec!["10.0.0.1".parse().unwrap()],
        store_paths: vec![path],
        ..StorageSettings::default()
    };
    assert_eq!(found, wanted);
    assert_eq!((found.peer_timeout().as_secs(), found.client_timeout().as_secs()), (30, 60));
    assert_eq!((found.sync_threads(), found.sync_always(), found.buffer()), ((1, 2), true, 256 << 10));
    assert!(warnings.is_empty());
    let (found, _) = module("");
    assert_eq!(found.groups.first().unwrap().store_paths.first().unwrap().path, "/b");
    let found: ClientSettings = classic("tracker_server = a\n").unwrap().0;
    assert_eq!(found.base_path, "/tmp");
}

#[test]
fn every_kind_of_value() {
    let (found, warnings) = tracker(
        "port = 22123\nuse_trunk_file = YES\nslot_max_size = 1 mb\ntrunk_create_file_time_base = 4:05:06\n\
         reserved_storage_space = 12.5 %\nlog_level = LOG_WARNING\nid_type_in_filename = ID\n\
         response_ip_addr_size = ipv6\nallow_hosts = 10.0.0.1\nallow_hosts = 10.1.0.0/16\nlog_format = json\n\
         store_group = g2\nrun_by_user = \ninner_port = 5\nmin_buff_size = 8KB\nmax_buff_size = 1MB\n",
    );
    assert_eq!(texts(&warnings), Vec::<String>::new());
    assert_eq!((found.port, found.inner_port, found.use_trunk_file), (22123, Some(5), true));
    assert_eq!((found.slot_max(), found.store_server), (Size(1 << 20), 1), "slots need one server");
    assert_eq!(found.trunk_create_file_time_base.seconds(), 4 * 3600 + 5 * 60 + 6);
    assert_eq!((found.reserved_storage_space, found.log_level), (Reserve::Percent(12.5), LogLevel::Warn));
    assert_eq!((found.id_type_in_filename, found.response_ip_addr_size), (IdType::Id, AddrWidth::Wide));
    assert_eq!(
        (found.allow_hosts.join(" "), found.log_format),
        ("10.0.0.1 10.1.0.0/16".into(), LogFormat::Json)
    );
    assert_eq!(found.store_group.unwrap().as_str(), "g2");
    assert_eq!(found.max_package(), 1 << 20);
}

#[test]
fn store_paths_are_gathered() {
    let (found, warnings) = storage(
        "store_path_count = 3\nstore_path0 = /d0/\nstore_path1=/d1\nstore_path2=/d2//\nstore_path1_readonly = on\n\
         store_path3 = /d3\nsync_max_threads = 0\nsync_min_threads = 4\n",
    );
    let paths: Vec<(&str, bool)> = found.store_paths.iter().map(|p| (p.path.as_str(), p.readonly)).collect();
    assert_eq!(paths, [("/d0", false), ("/d1", true), ("/d2", false)]);
    assert_eq!(found.sync_threads(), (4, 6));
    assert_eq!(texts(&warnings), ["test.conf:8: store_path3 is not used: store_path_count is 3"]);
}

#[test]
fn trackers_may_be_loopback_addresses() {
    let (found, warnings) = storage("tracker_server = 127.0.0.1:22122\ntracker_server = [::1]:1\n");
    let all: Vec<String> = found.tracker_server.iter().map(Addrs::to_string).collect();
    assert_eq!(all, ["10.0.0.1:22122", "127.0.0.1:22122", "[::1]:1"]);
    assert!(warnings.is_empty());
    let (_, warnings) = storage("tracker_server = 10.0.0.1,10.0.0.2:5\n");
    assert!(texts(&warnings).concat().starts_with("test.conf:3: tracker_server = 10.0.0.1,10.0.0.2:5: both"));
}

#[test]
fn log_keys_of_a_section_hide_the_global_ones() {
    let (found, warnings) = storage(
        "log_file_keep_days = 3\nsync_log_buff_interval = 2\nlog_file_rotate_on_size = 1MB\n[error-log]\n\
         log_file_keep_days = 4\n[access-log]\nenabled = true\nlog_file_keep_days = 5\ntime_precision = us\n",
    );
    assert!(warnings.is_empty(), "{warnings:?}");
    let (error, access) = (&found.error_log, &found.access_log);
    assert_eq!((error.log_file_keep_days, access.log_file_keep_days), (4, 5));
    assert_eq!((error.sync_log_buff_interval, access.sync_log_buff_interval), (Secs(2), Secs(2)));
    assert_eq!(access.file().log_file_rotate_on_size, Size(1 << 20));
    assert_eq!((access.enabled, access.time_precision), (true, TimePrecision::Micros));
    // These two stand in the section alone.
    let (found, warnings) = storage("enabled = true\n");
    assert!(!found.access_log.enabled);
    assert!(texts(&warnings).concat().contains("unknown key enabled"));
}

#[test]
fn old_log_keys_still_count() {
    let (found, warnings) = storage(
        "use_access_log = true\nrotate_access_log = false\naccess_log_rotate_time = 02:00\nrotate_error_log = false\n\
         rotate_error_log_size = 2MB\n[error-log]\nlog_file_rotate_everyday = true\n",
    );
    assert!(found.access_log.enabled && !found.access_log.log_file_rotate_everyday);
    assert_eq!(found.access_log.log_file_rotate_time, TimeOfDay::new(2, 0));
    assert!(found.error_log.log_file_rotate_everyday, "the new key wins");
    assert_eq!(found.error_log.log_file_rotate_on_size, Size(2 << 20));
    assert_eq!(warnings.len(), 5);
    assert!(warnings.iter().all(|warning| warning.severity == Severity::Note), "{warnings:?}");
    let (found, _) = tracker("compress_old_error_log = yes\n");
    assert!(found.error_log.log_file_compress_old);
}

#[test]
fn values_out_of_range_are_moved_with_a_warning() {
    let (found, warnings) = tracker(
        "connect_timeout = 0\nbuff_size = 1KB\nthread_stack_size = 1\nslot_min_size = 1MB\ntrunk_file_size = 1MB\n\
         [error-log]\nlog_file_rotate_on_size = 1TB\nsync_log_buff_interval = 0\n",
    );
    assert_eq!((found.connect_timeout, found.buff_size), (Secs(10), Size(8192)));
    assert_eq!((found.slot_min_size, found.trunk_file_size), (Size(64 << 10), Size(4 << 20)));
    assert_eq!(found.error_log.log_file_rotate_on_size, Size(64 << 30));
    let wanted = [
        "test.conf:2: connect_timeout = 0: the default 10 is used",
        "test.conf:3: buff_size = 1KB: 8KB is used instead",
        "test.conf:4: thread_stack_size = 1: 64KB is used instead",
        "test.conf:9: [error-log] sync_log_buff_interval = 0: 1 is used instead",
        "test.conf:8: [error-log] log_file_rotate_on_size = 1TB: 64GB is used instead",
        "test.conf:5: slot_min_size = 1MB: 64KB is used instead",
        "test.conf:6: trunk_file_size = 1MB: 4MB is used instead",
    ];
    assert_eq!(texts(&warnings), wanted);
}

#[test]
fn comments_behind_values_are_dropped_where_no_value_holds_them() {
    let (found, warnings) = module(
        "url_have_group_name = true   #why\ngroup_name=group2\t# name\nconnect_timeout=5 #s\nstore_path0 = /a #b\n\
         http.anti_steal.secret_key = a #b\n",
    );
    assert!(found.url_have_group_name);
    assert_eq!(found.connect_timeout, Secs(5));
    let group = found.groups.first().unwrap();
    assert_eq!(
        (group.group_name.as_str(), group.store_paths.first().unwrap().path.as_str()),
        ("group2", "/a #b")
    );
    assert_eq!(found.http.secret_key.as_deref(), Some("a #b"));
    // Three comments, and a second group_name.
    assert_eq!(warnings.len(), 4, "{:?}", texts(&warnings));
    assert!(texts(&warnings).iter().any(|text| {
        text.contains("test.conf:4: group_name is given 2 times, first at test.conf:2: this last one counts")
    }));
}

#[test]
fn long_group_names_are_cut() {
    let (found, warnings) = storage("group_name = abcdefghijklmnopqrst\n");
    assert_eq!(found.group_name.unwrap().as_str(), "abcdefghijklmnop");
    assert!(texts(&warnings).concat().contains("cut to 16 bytes"));
}

#[test]
fn groups_of_signature_servers() {
    let (found, warnings) = storage(
        "check_file_duplicate = 1\nkey_namespace = FastDFS\ngroup_count = 2\ngroup0 = a:1\ngroup0 = b:1\ngroup1 = c:1\n",
    );
    assert_eq!(found.dht_groups, [vec!["a:1", "b:1"], vec!["c:1"]]);
    assert!(warnings.is_empty());
}

#[test]
fn words_print_as_they_read() {
    for text in ["0", "512", "1KB", "1025", "64MB", "3GB", "2TB"] {
        assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
    }
    assert_eq!("1GB".parse::<Reserve>().unwrap().to_string(), "1024MB");
    assert_eq!("20 %".parse::<Reserve>().unwrap().to_string(), "20.00%");
    assert_eq!(Reserve::Percent(20.0).mib_of(1000), 200);
    assert_eq!(Reserve::Bytes(3 << 20).mib_of(1000), 3);
    assert_eq!("1:2:3".parse::<TimeOfDay>().unwrap().to_string(), "01:02:03");
    for (text, level) in
        [("warning", LogLevel::Warn), ("LOG_ERR", LogLevel::Error), ("Debug", LogLevel::Debug)]
    {
        let parsed: Result<LogLevel, _> = text.parse();
        match text {
            "LOG_ERR" => assert!(parsed.is_err(), "only longer words are known"),
            _ => assert_eq!(parsed, Ok(level)),
        }
    }
    for threads in ["auto", "7"] {
        assert_eq!(threads.parse::<SyncThreads>().unwrap().to_string(), threads);
    }
}
