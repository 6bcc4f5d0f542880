//! Command numbers (protocol 3.1 and 4.1, tracker 3 and 7.1, replication 8).

/// Command byte of every answer.
pub const RESPONSE: u8 = 100;
/// Close the connection; no answer.
pub const QUIT: u8 = 82;
/// Empty request, empty answer: is the peer alive?
pub const ACTIVE_TEST: u8 = 111;

// Storage, clients.
/// Names the peer of a connection between storages.
pub const REPORT_SERVER_ID: u8 = 9;
/// Upload an ordinary file.
pub const UPLOAD_FILE: u8 = 11;
/// Delete a file.
pub const DELETE_FILE: u8 = 12;
/// Set metadata.
pub const SET_METADATA: u8 = 13;
/// Download.
pub const DOWNLOAD_FILE: u8 = 14;
/// Get metadata.
pub const GET_METADATA: u8 = 15;
/// Create a symbolic link.
pub const CREATE_LINK: u8 = 20;
/// Upload a slave of another file.
pub const UPLOAD_SLAVE_FILE: u8 = 21;
/// Size, time, crc and source of a file.
pub const QUERY_FILE_INFO: u8 = 22;
/// Upload an appender file.
pub const UPLOAD_APPENDER_FILE: u8 = 23;
/// Append to an appender file.
pub const APPEND_FILE: u8 = 24;
/// Overwrite a range of an appender file.
pub const MODIFY_FILE: u8 = 34;
/// Truncate an appender file.
pub const TRUNCATE_FILE: u8 = 36;
/// Turn an appender file into an ordinary one.
pub const REGENERATE_APPENDER_FILENAME: u8 = 38;

// Storage to storage.
/// Copy of a created file.
pub const SYNC_CREATE_FILE: u8 = 16;
/// A deleted file.
pub const SYNC_DELETE_FILE: u8 = 17;
/// Copy of an overwritten file.
pub const SYNC_UPDATE_FILE: u8 = 18;
/// A created link.
pub const SYNC_CREATE_LINK: u8 = 19;
/// Appended bytes.
pub const SYNC_APPEND_FILE: u8 = 25;
/// The creates of one store path, for disk recovery.
pub const FETCH_ONE_PATH_BINLOG: u8 = 26;
/// Overwritten range.
pub const SYNC_MODIFY_FILE: u8 = 35;
/// Truncation.
pub const SYNC_TRUNCATE_FILE: u8 = 37;
/// Renamed appender file.
pub const SYNC_RENAME_FILE: u8 = 40;

// Tracker to storage.
/// Size of the trunk binlog.
pub const TRUNK_GET_BINLOG_SIZE: u8 = 31;
/// Forget how far the trunk binlog was sent.
pub const TRUNK_DELETE_BINLOG_MARKS: u8 = 32;

// Storage to storage, this implementation only.
/// Both ends are of this implementation: requests may be pipelined.
pub const SYNC_HELLO: u8 = 200;
/// Everything of the sender up to this time, s in 8 bytes, has arrived.
pub const SYNC_TIME: u8 = 201;
/// Which of these files are there?
pub const SYNC_PROBE: u8 = 202;
/// As [`SYNC_CREATE_FILE`], only if there is no such file.
pub const SYNC_OFFER_FILE: u8 = 203;
/// What is in one folder of a store path.
pub const INVENTORY: u8 = 204;
/// Fetch the good copy of a file from another member.
pub const REPAIR: u8 = 205;

/// How many members shall have a change before it is answered on this connection ([`super::MinCopies`]); this
/// implementation only.
pub const MIN_COPIES: u8 = 207;

/// What each peer of a storage does not have yet ([`super::lag`]); this implementation only.
pub const LAG: u8 = 208;

// Storage to tracker.
/// A storage tells a follower what the leader thinks of it.
pub const CHANGE_STATUS: u8 = 59;
/// Which addresses does the tracker see?
pub const GET_MY_IP: u8 = 60;
/// Storage ids of the cluster.
pub const FETCH_STORAGE_IDS: u8 = 69;
/// Id of a storage by address.
pub const GET_SERVER_ID: u8 = 70;
/// Status of a storage by address.
pub const GET_STATUS: u8 = 71;
/// Current trunk file id.
pub const FETCH_TRUNK_FID: u8 = 72;
/// Reports the current trunk file id.
pub const REPORT_TRUNK_FID: u8 = 73;
/// Reports the free space inside trunk files.
pub const REPORT_TRUNK_FREE: u8 = 74;
/// Cluster parameters.
pub const PARAMETER_REQ: u8 = 75;
/// Reports the status of a storage.
pub const REPORT_STATUS: u8 = 76;
/// Change log since the last request.
pub const CHANGELOG_REQ: u8 = 77;
/// A storage changed its address.
pub const REPORT_IP_CHANGED: u8 = 78;
/// Recorded sync source of the asking storage.
pub const SYNC_DEST_QUERY: u8 = 79;
/// A storage joins.
pub const STORAGE_JOIN: u8 = 81;
/// Heart beat.
pub const STORAGE_BEAT: u8 = 83;
/// Disk usage per store path.
pub const REPORT_DISK_USAGE: u8 = 84;
/// Members whose status the tracker seems not to know.
pub const REPLICA_CHG: u8 = 85;
/// Asked by a source before it copies old files.
pub const SYNC_SRC_REQ: u8 = 86;
/// Asked by a new member: who copies the old files to me?
pub const SYNC_DEST_REQ: u8 = 87;
/// Tells other trackers the answer of 87.
pub const SYNC_NOTIFY: u8 = 88;
/// How far the sender has received from each source.
pub const SYNC_REPORT: u8 = 89;

// Tracker, clients and administration.
/// One group record.
pub const LIST_ONE_GROUP: u8 = 90;
/// All group records.
pub const LIST_ALL_GROUPS: u8 = 91;
/// Storage records of a group.
pub const LIST_STORAGE: u8 = 92;
/// Remove a storage.
pub const DELETE_STORAGE: u8 = 93;
/// Choose the trunk server.
pub const SET_TRUNK_SERVER: u8 = 94;
/// Address of the leader.
pub const GET_LEADER: u8 = 95;
/// Statistics of the trackers.
pub const TRACKER_CLUSTER_STAT: u8 = 96;
/// Statistics of the storages.
pub const STORAGE_CLUSTER_STAT: u8 = 97;
/// Statistics of the groups.
pub const STORAGE_VOLUMN_STAT: u8 = 98;
/// Where to store, any group.
pub const QUERY_STORE_WITHOUT_GROUP_ONE: u8 = 101;
/// Where to fetch a file.
pub const QUERY_FETCH_ONE: u8 = 102;
/// Where to change a file.
pub const QUERY_UPDATE: u8 = 103;
/// Where to store, given group.
pub const QUERY_STORE_WITH_GROUP_ONE: u8 = 104;
/// All servers that can serve a file.
pub const QUERY_FETCH_ALL: u8 = 105;
/// All servers to store at, any group.
pub const QUERY_STORE_WITHOUT_GROUP_ALL: u8 = 106;
/// All servers to store at, given group.
pub const QUERY_STORE_WITH_GROUP_ALL: u8 = 107;
/// Remove a group.
pub const DELETE_GROUP: u8 = 108;
/// Group of an address.
pub const GET_GROUP_NAME: u8 = 109;
/// What each member's status waits for ([`super::explain`]); this implementation only.
pub const EXPLAIN: u8 = 206;

// Tracker to tracker.
/// A follower joins its leader.
pub const TRACKER_JOIN_LEADER: u8 = 58;
/// Starts the transfer of the tracker's files.
pub const TRACKER_GET_SYS_FILES_START: u8 = 61;
/// Ends it.
pub const TRACKER_GET_SYS_FILES_END: u8 = 62;
/// One piece of one file.
pub const TRACKER_GET_ONE_SYS_FILE: u8 = 63;
/// Is leader, running time, restart interval.
pub const TRACKER_GET_STATUS: u8 = 64;
/// A follower's heart beat.
pub const TRACKER_PING_LEADER: u8 = 65;
/// First phase of an election.
pub const TRACKER_NOTIFY_NEXT_LEADER: u8 = 66;
/// Second phase.
pub const TRACKER_COMMIT_NEXT_LEADER: u8 = 67;
/// Two leaders were seen.
pub const TRACKER_NOTIFY_RESELECT_LEADER: u8 = 68;

/// The name of a command for people, its constant in small letters.
pub const fn name(command: u8) -> Option<&'static str> {
    Some(match command {
        RESPONSE => "response",
        QUIT => "quit",
        ACTIVE_TEST => "active_test",
        REPORT_SERVER_ID => "report_server_id",
        UPLOAD_FILE => "upload_file",
        DELETE_FILE => "delete_file",
        SET_METADATA => "set_metadata",
        DOWNLOAD_FILE => "download_file",
        GET_METADATA => "get_metadata",
        CREATE_LINK => "create_link",
        UPLOAD_SLAVE_FILE => "upload_slave_file",
        QUERY_FILE_INFO => "query_file_info",
        UPLOAD_APPENDER_FILE => "upload_appender_file",
        APPEND_FILE => "append_file",
        MODIFY_FILE => "modify_file",
        TRUNCATE_FILE => "truncate_file",
        REGENERATE_APPENDER_FILENAME => "regenerate_appender_filename",
        TRUNK_GET_BINLOG_SIZE => "trunk_get_binlog_size",
        TRUNK_DELETE_BINLOG_MARKS => "trunk_delete_binlog_marks",
        SYNC_CREATE_FILE => "sync_create_file",
        SYNC_DELETE_FILE => "sync_delete_file",
        SYNC_UPDATE_FILE => "sync_update_file",
        SYNC_CREATE_LINK => "sync_create_link",
        SYNC_APPEND_FILE => "sync_append_file",
        FETCH_ONE_PATH_BINLOG => "fetch_one_path_binlog",
        SYNC_MODIFY_FILE => "sync_modify_file",
        SYNC_TRUNCATE_FILE => "sync_truncate_file",
        SYNC_RENAME_FILE => "sync_rename_file",
        SYNC_HELLO => "sync_hello",
        SYNC_TIME => "sync_time",
        SYNC_PROBE => "sync_probe",
        SYNC_OFFER_FILE => "sync_offer_file",
        INVENTORY => "inventory",
        REPAIR => "repair",
        MIN_COPIES => "min_copies",
        LAG => "lag",
        CHANGE_STATUS => "change_status",
        GET_MY_IP => "get_my_ip",
        FETCH_STORAGE_IDS => "fetch_storage_ids",
        GET_SERVER_ID => "get_server_id",
        GET_STATUS => "get_status",
        FETCH_TRUNK_FID => "fetch_trunk_fid",
        REPORT_TRUNK_FID => "report_trunk_fid",
        REPORT_TRUNK_FREE => "report_trunk_free",
        PARAMETER_REQ => "parameter_req",
        REPORT_STATUS => "report_status",
        CHANGELOG_REQ => "changelog_req",
        REPORT_IP_CHANGED => "report_ip_changed",
        SYNC_DEST_QUERY => "sync_dest_query",
        STORAGE_JOIN => "storage_join",
        STORAGE_BEAT => "storage_beat",
        REPORT_DISK_USAGE => "report_disk_usage",
        REPLICA_CHG => "replica_chg",
        SYNC_SRC_REQ => "sync_src_req",
        SYNC_DEST_REQ => "sync_dest_req",
        SYNC_NOTIFY => "sync_notify",
        SYNC_REPORT => "sync_report",
        LIST_ONE_GROUP => "list_one_group",
        LIST_ALL_GROUPS => "list_all_groups",
        LIST_STORAGE => "list_storage",
        DELETE_STORAGE => "delete_storage",
        SET_TRUNK_SERVER => "set_trunk_server",
        GET_LEADER => "get_leader",
        TRACKER_CLUSTER_STAT => "tracker_cluster_stat",
        STORAGE_CLUSTER_STAT => "storage_cluster_stat",
        STORAGE_VOLUMN_STAT => "storage_volumn_stat",
        QUERY_STORE_WITHOUT_GROUP_ONE => "query_store_without_group_one",
        QUERY_FETCH_ONE => "query_fetch_one",
        QUERY_UPDATE => "query_update",
        QUERY_STORE_WITH_GROUP_ONE => "query_store_with_group_one",
        QUERY_FETCH_ALL => "query_fetch_all",
        QUERY_STORE_WITHOUT_GROUP_ALL => "query_store_without_group_all",
        QUERY_STORE_WITH_GROUP_ALL => "query_store_with_group_all",
        DELETE_GROUP => "delete_group",
        GET_GROUP_NAME => "get_group_name",
        EXPLAIN => "explain",
        TRACKER_JOIN_LEADER => "tracker_join_leader",
        TRACKER_GET_SYS_FILES_START => "tracker_get_sys_files_start",
        TRACKER_GET_SYS_FILES_END => "tracker_get_sys_files_end",
        TRACKER_GET_ONE_SYS_FILE => "tracker_get_one_sys_file",
        TRACKER_GET_STATUS => "tracker_get_status",
        TRACKER_PING_LEADER => "tracker_ping_leader",
        TRACKER_NOTIFY_NEXT_LEADER => "tracker_notify_next_leader",
        TRACKER_COMMIT_NEXT_LEADER => "tracker_commit_next_leader",
        TRACKER_NOTIFY_RESELECT_LEADER => "tracker_notify_reselect_leader",
        _ => return None,
    })
}
