//! What is refused, and in which words.

use super::*;

const TRACKER: &str = "base_path = /b\n";
const STORAGE: &str = "base_path = /b\ntracker_server = 10.0.0.1\n";

fn error<T: Settings>(text: &str) -> String {
    classic::<T>(text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn bad_values_name_file_line_key_and_what_is_expected() {
    for (line, wanted) in [
        ("port = abc", "test.conf:2: port = abc: expected a port number 1..65535"),
        ("port = 0", "test.conf:2: port = 0: expected a port number 1..65535"),
        ("port = 70000", "test.conf:2: port = 70000: expected a port number 1..65535"),
        ("max_connections = 1K", "test.conf:2: max_connections = 1K: expected a whole number 0..4294967295"),
        ("work_threads = 0", "test.conf:2: work_threads = 0: expected a whole number 1..4294967295"),
        ("use_trunk_file = maybe", "test.conf:2: use_trunk_file = maybe: expected true or false"),
        ("use_trunk_file =", "test.conf:2: use_trunk_file is empty: expected true or false"),
        (
            "connect_timeout = -1",
            "test.conf:2: connect_timeout = -1: expected a whole number of seconds 0..2147483647",
        ),
        (
            "buff_size = 1.5MB",
            "test.conf:2: buff_size = 1.5MB: expected a size in bytes such as 512, 256KB, 64MB or 1G",
        ),
        ("slot_min_size = 0", "test.conf:2: slot_min_size = 0: expected a size above 0 and up to 64KB"),
        (
            "slot_max_size = 10",
            "test.conf:2: slot_max_size = 10: expected a size above slot_min_size (256), at most 32MB",
        ),
        (
            "reserved_storage_space = 100%",
            "test.conf:2: reserved_storage_space = 100%: expected a size such as 1GB, or a share of the disk such as 20%",
        ),
        (
            "log_level = loud",
            "test.conf:2: log_level = loud: expected emerg, alert, crit, error, warn, notice, info or debug",
        ),
        (
            "store_lookup = 3",
            "test.conf:2: store_lookup = 3: expected 0 (in turn), 1 (store_group) or 2 (most free space)",
        ),
        (
            "store_lookup = 1",
            "test.conf:2: store_group is missing: expected the group for uploads, because store_lookup = 1",
        ),
        ("store_path = 1", "test.conf:2: store_path = 1: expected 0 (in turn) or 2 (most free space)"),
        (
            "store_group = a-b",
            "test.conf:2: store_group = a-b: expected a group name of 1 to 16 characters A-Z, a-z and 0-9",
        ),
        (
            "trunk_create_file_time_base = 25:00",
            "test.conf:2: trunk_create_file_time_base = 25:00: expected a time of day such as 02:00, hour 0..23 and minute 0..59",
        ),
        (
            "use_storage_id = true",
            "test.conf:2: storage_ids_filename is missing: expected the name of storage_ids.conf, because use_storage_id is true",
        ),
        (
            "address_family = IPv6",
            "test.conf:2: address_family = IPv6: expected IPv4 or auto: IPv6 needs use_storage_id = true and id_type_in_filename = id",
        ),
        (
            "connection_pool_max_idle_time = 0",
            "test.conf:2: connection_pool_max_idle_time = 0: expected a whole number 1..2147483647 (seconds)",
        ),
        (
            "allow_hosts =",
            "test.conf:2: allow_hosts is empty: expected * for everybody, a host name, an address, or a network",
        ),
        (
            "response_ip_addr_size_for = 10.0.0.0/8",
            "test.conf:2: response_ip_addr_size_for = 10.0.0.0/8: expected a network and 16 or 46, as in 10.0.0.0/8 16",
        ),
        (
            "[error-log]\nlog_file_keep_days = x",
            "test.conf:3: [error-log] log_file_keep_days = x: expected a whole number 0..4294967295",
        ),
    ] {
        assert_eq!(error::<TrackerSettings>(&format!("{TRACKER}{line}\n")), wanted);
    }
}

#[test]
fn what_is_missing_names_the_end_of_the_file() {
    assert_eq!(
        error::<TrackerSettings>("port = 22122\n"),
        "test.conf:1: base_path is missing: expected the folder for data and logs"
    );
    let trackers = "tracker_server is missing: expected 1 to 16 lines tracker_server = HOST:PORT, one per tracker of the cluster";
    assert_eq!(error::<StorageSettings>("base_path = /b\n\n# end\n"), format!("test.conf:3: {trackers}"));
    assert_eq!(error::<ClientSettings>(""), format!("test.conf:0: {trackers}"));
    let load = "base_path = /b\ngroup_name = g\nload_fdfs_parameters_from_tracker = true\n";
    assert_eq!(error::<ModSettings>(load), format!("test.conf:3: {trackers}"));
    let codes: Vec<u8> = ["", "base_path = /b\nport = x"]
        .iter()
        .map(|text| classic::<TrackerSettings>(text).map(|_| ()).unwrap_err().exit_code())
        .collect();
    assert_eq!(codes, [2, 22]);
}

#[test]
fn storages_are_checked() {
    for (line, wanted) in [
        (
            "store_path_count = 2",
            "test.conf:3: store_path1 is missing: expected the folder of store path 1, because store_path_count = 2",
        ),
        ("store_path_count = 0", "test.conf:3: store_path_count = 0: expected a whole number 1..256"),
        (
            "store_path_count = 2\nstore_path1 = /b/",
            "test.conf:4: store_path1 = /b/: expected a folder that no other store path has",
        ),
        ("store_path0_readonly = x", "test.conf:3: store_path0_readonly = x: expected true or false"),
        (
            "group_name =",
            "test.conf:3: group_name is empty: expected a group name of 1 to 16 characters A-Z, a-z and 0-9",
        ),
        (
            "group_name = g_1",
            "test.conf:3: group_name = g_1: expected a group name of 1 to 16 characters A-Z, a-z and 0-9",
        ),
        (
            "server_id = 012",
            "test.conf:3: server_id = 012: expected a number 1..16777215 without zeros in front, or nothing",
        ),
        (
            "subdir_count_per_path = 257",
            "test.conf:3: subdir_count_per_path = 257: expected a whole number 1..256",
        ),
        (
            "sync_max_threads = 257",
            "test.conf:3: sync_max_threads = 257: expected a whole number 1..256, or auto",
        ),
        (
            "disk_reader_threads = 0",
            "test.conf:3: disk_reader_threads = 0: expected a whole number 1..4294967295",
        ),
        (
            "tracker_server = 10.0.0.1:x",
            "test.conf:3: tracker_server = 10.0.0.1:x: expected HOST, HOST:PORT, IP1,IP2:PORT or [IPv6,IPv6]:PORT, at most two addresses",
        ),
    ] {
        assert_eq!(error::<StorageSettings>(&format!("{STORAGE}{line}\n")), wanted);
    }
    let many = "tracker_server = 10.0.0.2\n".repeat(16);
    assert!(error::<StorageSettings>(&format!("{STORAGE}{many}")).contains("expected 1 to 16 lines"));
}

#[test]
fn modules_are_checked() {
    for (text, wanted) in [
        (
            "base_path = /b\n",
            "test.conf:1: group_name is missing: expected the group of this machine's storage, or group_count = N and sections [group1] to [groupN]",
        ),
        (
            "group_name = g\n",
            "test.conf:1: store_path0 is missing: expected the folder of store path 0, because store_path_count = 1",
        ),
        (
            "group_count = 1\n[group1]\n",
            "test.conf:2: url_have_group_name is missing: expected true, because group_count is not 0: only the URL can say which group is meant",
        ),
        (
            "group_count = 2\nurl_have_group_name = 1\n[group1]\ngroup_name = a\nstore_path0 = /a\n",
            "test.conf:1: group_count = 2: expected sections [group1] to [group2]; [group2] is not there",
        ),
        (
            "group_count = 1\nurl_have_group_name = 1\n[group1]\n",
            "test.conf:3: [group1] group_name is missing: expected the name of a group",
        ),
        (
            "group_count = 1\nurl_have_group_name = 1\n[group1]\ngroup_name = a\n",
            "test.conf:3: [group1] store_path0 is missing: expected the folder of store path 0, because store_path_count = 1",
        ),
        (
            "group_count = 1\nurl_have_group_name = 1\n[group1]\nstorage_server_port = x\n",
            "test.conf:4: [group1] storage_server_port = x: expected a port number 1..65535",
        ),
        (
            "base_path = /b\ngroup_name = g\nresponse_mode = proxi\n",
            "test.conf:3: response_mode = proxi: expected proxy or redirect",
        ),
        (
            "base_path = /b\ngroup_name = g\nhttp.anti_steal.check_token = true\n",
            "test.conf:3: http.anti_steal.secret_key is missing: expected the secret that tokens are made with, because http.anti_steal.check_token is true",
        ),
    ] {
        assert_eq!(error::<ModSettings>(text), wanted);
    }
}

#[test]
fn unknown_keys_are_warnings_with_a_hint() {
    let (_, warnings) = tracker(
        "max_conections = 5\nstore_path9 = /x\nzzz = 1\nuse_io_uring = true\nhttp.server_port = 8080\n[error-log]\n\
         log_file_keep_day = 3\nport = 1\n[other]\nport = 2\n",
    );
    let wanted = [
        "test.conf:2: unknown key max_conections is not read, did you mean max_connections?",
        "test.conf:3: unknown key store_path9 is not read, did you mean store_path?",
        "test.conf:4: unknown key zzz is not read",
        "test.conf:5: use_io_uring is not needed: the daemon chooses how to read and write by itself",
        "test.conf:6: http.server_port is not needed: the daemons have no web server any more",
        "test.conf:8: unknown key log_file_keep_day is not read, did you mean log_file_keep_days?",
        "test.conf:9: port stands behind [error-log] and is therefore not read: move it in front of the section, or \
         put a line [] before it",
        "test.conf:10: unknown section [other]: its keys are not read; a line [] leads back to the global keys",
    ];
    assert_eq!(texts(&warnings), wanted);
}

#[test]
fn arrays_are_for_lists_alone() {
    let (ini, warnings) = crate::conf::parse_toml("t.toml", "base_path = '/b'\nport = [1, 2]\n").unwrap();
    let error = TrackerSettings::from_ini(ini, warnings).unwrap_err().to_string();
    assert_eq!(error, "t.toml:2: port = 2: expected one value, not a list");
}
