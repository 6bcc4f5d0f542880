//! The access log.

use fdfs_core::settings::{LogFormat, TimePrecision};

use crate::bodies;
use crate::support::{Running, name_of};

fn lines(running: &Running) -> Vec<String> {
    running.storage.access.as_ref().unwrap().flush().unwrap();
    let path = running.storage.data_dir().parent().unwrap().join("logs/storage_access.log");
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// Some requests; the names they were about.
fn requests(running: &Running) -> (String, String) {
    let mut client = running.client();
    let name = client.upload("txt", b"hello");
    assert_eq!(client.download(&name, 1, 3), (0, b"ell".to_vec()));
    assert_eq!(client.set_metadata(&name, b'O', b"a\x02b"), 0);
    assert_eq!(client.get_metadata(&name).0, 0);
    assert_eq!(client.call(22, &bodies::name(&name)).0, 0);
    assert_eq!(client.delete(&name), 0);
    assert_eq!(client.delete(&name), 2);
    client.ping();
    let (_, body) = client.call(23, &bodies::upload(0xFF, "log", b"x"));
    let old = name_of(&body);
    let (_, body) = client.call(38, old.as_bytes());
    assert_eq!(running.client().call(12, b"short").0, 22);
    (name, format!("{old}=>{}", name_of(&body)))
}

#[test]
fn a_line_per_request() {
    let running = Running::with(1, |settings, _| {
        settings.access_log.enabled = true;
        settings.access_log.time_precision = TimePrecision::Micros;
    });
    let (name, renamed) = requests(&running);
    let lines = lines(&running);
    let said: Vec<&str> = lines
        .iter()
        .map(|line| {
            let (time, rest) = line.split_once("] ").unwrap();
            // [2026-11-22 07:35:23.583336
            assert!(time.len() == 27 && time.starts_with("[20") && time.as_bytes()[20] == b'.', "{line}");
            rest
        })
        .collect();
    assert_eq!(said[0], "client_ip action filename status time_used_us req_len resp_len");
    let len = name.len();
    let expected = [
        format!("upload {name} 0 {} {}", 10 + 15 + 5, 10 + 16 + len),
        format!("download {name} 0 {} 13", 10 + 32 + len),
        format!("set_metadata {name}-m 0 {} 10", 10 + 33 + len + 3),
        format!("get_metadata {name} 0 {} 13", 10 + 16 + len),
        format!("status {name} 0 {} 50", 10 + 16 + len),
        format!("delete {name} 0 {} 10", 10 + 16 + len),
        format!("delete {name} 2 {} 10", 10 + 16 + len),
    ];
    for (line, expected) in said[1..].iter().zip(&expected) {
        let parts: Vec<&str> = line.split(' ').collect();
        let [client, action, name, status, took, request, answer] = parts[..] else { panic!("{line}") };
        assert_eq!(
            (client, &format!("{action} {name} {status} {request} {answer}")),
            ("127.0.0.1", expected)
        );
        assert!(took.parse::<u64>().is_ok());
    }
    assert!(said[9].starts_with(&format!("127.0.0.1 rename {renamed} 0 ")), "{}", said[9]);
    assert!(said[10].starts_with("127.0.0.1 delete - 22 ") && said[10].ends_with(" 15 10"), "{}", said[10]);
    assert_eq!(said.len(), 11, "{said:?}");
}

#[test]
fn as_json() {
    let running = Running::with(1, |settings, _| {
        settings.access_log.enabled = true;
        settings.log_format = LogFormat::Json;
    });
    let (name, _) = requests(&running);
    let lines = lines(&running);
    assert!(lines[0].starts_with("{\"time\":") && lines[0].ends_with("}"), "{}", lines[0]);
    let fields = format!(
        "\"client\":\"127.0.0.1\",\"action\":\"upload\",\"name\":\"{name}\",\"status\":0,\"took_ms\":"
    );
    assert!(lines[0].contains(&fields), "{}", lines[0]);
    assert_eq!(lines.len(), 10);
}
