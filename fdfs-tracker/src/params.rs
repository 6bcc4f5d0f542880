//! The cluster parameters that storages and clients ask for (tracker 3.9, protocol 3.9.1).

use fdfs_core::settings::TrackerSettings;
use fdfs_core::wire::AddrWidth;

/// The answer of PARAMETER_REQ. Its readers hold less than 1024 bytes.
pub fn text(conf: &TrackerSettings, width: AddrWidth) -> String {
    let bool = |on: bool| u8::from(on).to_string();
    let time = |at: fdfs_core::settings::TimeOfDay| format!("{:02}:{:02}", at.hour, at.minute);
    let lines: [(&str, String); 26] = [
        ("use_storage_id", bool(conf.use_storage_id)),
        ("id_type_in_filename", conf.id_type_in_filename.to_string()),
        ("trust_storage_server_id", bool(conf.trust_storage_server_id)),
        ("response_ip_addr_size", width.field().to_string()),
        ("storage_ip_changed_auto_adjust", bool(conf.storage_ip_changed_auto_adjust)),
        ("storage_sync_file_max_delay", conf.storage_sync_file_max_delay.to_string()),
        ("store_path", conf.store_path.to_string()),
        ("reserved_storage_space", conf.reserved_storage_space.to_string()),
        ("use_trunk_file", bool(conf.use_trunk_file)),
        ("slot_min_size", conf.slot_min_size.0.to_string()),
        ("slot_max_size", conf.slot_max().0.to_string()),
        ("trunk_alloc_alignment_size", conf.trunk_alloc_alignment_size.to_string()),
        ("trunk_file_size", conf.trunk_file_size.0.to_string()),
        ("trunk_create_file_advance", bool(conf.trunk_create_file_advance)),
        ("trunk_create_file_time_base", time(conf.trunk_create_file_time_base)),
        ("trunk_create_file_interval", conf.trunk_create_file_interval.to_string()),
        ("trunk_create_file_space_threshold", conf.trunk_create_file_space_threshold.0.to_string()),
        ("trunk_init_check_occupying", bool(conf.trunk_init_check_occupying)),
        ("trunk_init_reload_from_binlog", bool(conf.trunk_init_reload_from_binlog)),
        ("trunk_free_space_merge", bool(conf.trunk_free_space_merge)),
        ("delete_unused_trunk_files", bool(conf.delete_unused_trunk_files)),
        ("trunk_compress_binlog_min_interval", conf.trunk_compress_binlog_min_interval.to_string()),
        ("trunk_compress_binlog_interval", conf.trunk_compress_binlog_interval.to_string()),
        ("trunk_compress_binlog_time_base", time(conf.trunk_compress_binlog_time_base)),
        ("trunk_binlog_max_backups", conf.trunk_binlog_max_backups.to_string()),
        ("store_slave_file_use_link", bool(conf.store_slave_file_use_link)),
    ];
    lines.iter().map(|(key, value)| format!("{key}={value}\n")).collect()
}
