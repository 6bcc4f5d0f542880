//! The requests that were recorded at the existing tracker get the same answers here.

use std::path::PathBuf;

use fdfs_core::settings::{AddrWidth, Reserve, TrackerSettings};
use fdfs_core::wire::{Text, cmd};

use crate::support::{Client, Running};

/// Answers that are equal to the last byte; of the others status and length are.
const EXACT: [&str; 6] = [
    "query-fetch-one",
    "query-update",
    "query-fetch-all",
    "storage-parameters",
    "group-name-with-ip",
    "ping",
];
/// Deliberately different, or about other addresses than the test's.
const OTHER: [(&str, &str); 21] = [
    ("storage-status-ip-15", "requests without a port, as before 6.16, are answered here"),
    ("storage-status-ip-16", "the same"),
    ("storage-status-ip-45", "the same"),
    ("storage-status-ip-46", "the same"),
    ("storage-status-ip-var", "the same"),
    ("server-id-ip-15", "the same"),
    ("server-id-ip-16", "the same"),
    ("server-id-ip-45", "the same"),
    ("server-id-ip-46", "the same"),
    ("server-id-ip-var", "the same"),
    ("err-server-id-unknown", "the same"),
    ("err-status-unknown", "the same"),
    ("ping-leader-by-stranger", "an empty ping, as before 6.15.5, is no wrong length"),
    ("err-length-huge", "a length above 32 bits closes the connection here"),
    ("storage-ids-from-0", "the request of older versions is answered here"),
    ("get-leader", "names the test's own tracker"),
    ("sys-file-0-from-0", "depends on what is saved"),
    ("sys-file-1-from-0", "depends on what is saved"),
    ("sys-file-2-from-0", "depends on what is saved"),
    ("tracker-status", "checked elsewhere"),
    ("err-ping-with-body", "closes here, where the storage closes too"),
];

fn vectors() -> Option<PathBuf> {
    let dir = std::env::var_os("FDFS_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors"),
        PathBuf::from,
    );
    if !dir.is_dir() {
        eprintln!("captured vectors are absent ({}): this test checked nothing", dir.display());
    }
    dir.is_dir().then_some(dir)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

#[test]
fn recorded_requests_get_the_recorded_answers() {
    let Some(dir) = vectors() else { return };
    let base = tempfile::tempdir().unwrap();
    let ids = dir.join("multi/conf/t1/storage_ids.conf");
    let tracker = Running::start(base.path(), |conf: &mut TrackerSettings| {
        conf.use_storage_id = true;
        conf.storage_ids_path = Some(ids);
        conf.response_ip_addr_size = AddrWidth::Wide;
        conf.reserved_storage_space = Reserve::Percent(1.0);
    });
    let mut members = Vec::new();
    for (id, group) in [("100001", "group1"), ("100002", "group1"), ("100003", "group2")] {
        let mut member = Client::from(tracker.addr, "127.0.0.1");
        let change = |head: &mut fdfs_core::wire::report::JoinHead| {
            head.id = Text::cut(id.as_bytes());
            (head.init_flag, head.status) = (0, 7);
            head.store_path_count = 2.into();
            head.subdir_count = 6.into();
        };
        member.join(&[tracker.addr], group, change).unwrap();
        assert_eq!(member.disk(2), 0);
        members.push(member);
    }
    // Both members of the first group have everything: the recorded tracker named both as well.
    let entry = |id: &[u8]| [Text::<16>::cut(id).raw().as_slice(), &i32::MAX.to_be_bytes()].concat();
    assert_eq!(members[0].call(cmd::SYNC_REPORT, &entry(b"100002")).0, 0);
    assert_eq!(members[1].call(cmd::SYNC_REPORT, &entry(b"100001")).0, 0);
    let mut client = tracker.client();
    let mut compared = 0;
    let recorded = std::fs::read_to_string(dir.join("multi/client.jsonl")).unwrap();
    for line in recorded.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()) {
        let (name, server) = (line["name"].as_str().unwrap(), line["server"].as_str().unwrap());
        if server != "10.66.0.11:22122" || OTHER.iter().any(|(other, _)| *other == name) {
            continue;
        }
        client.send(&bytes(line["request"].as_str().unwrap()));
        let answer = client.receive();
        match line["status"].as_u64() {
            None => {
                assert_eq!(answer, None, "{name} closes the connection");
                client = tracker.client();
            }
            Some(status) => {
                let (got, body) = answer.unwrap_or_else(|| panic!("{name}: the connection was closed"));
                let expected = bytes(line["response"].as_str().unwrap()).split_off(10);
                assert_eq!(u64::from(got), status, "{name}");
                assert_eq!(body.len(), expected.len(), "{name}");
                if EXACT.contains(&name) {
                    assert_eq!(String::from_utf8_lossy(&body), String::from_utf8_lossy(&expected), "{name}");
                }
            }
        }
        compared += 1;
    }
    assert!(compared > 60, "only {compared} exchanges were found");
}
