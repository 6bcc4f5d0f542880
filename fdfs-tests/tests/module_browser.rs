//! A browser behind the gateway: a form with progress, pages of pictures, a film that is jumped about in; from an nginx that has the
//! files, and from one that fetches them.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use fdfs_tests::cluster::Cluster;
use fdfs_tests::{http, programs};
use serde_json::{Value, json};

const UPLOAD: &str = "location = /upload { fastdfs_upload on; client_max_body_size 100m; CONF }";

/// `/other` leads to the nginxes of the other group.
const PAGE: &str = r#"
    types { text/html html; image/png png; video/webm webm; }
    location = /page.html {
        return 200 "<!doctype html><title>files</title><form action=/upload><input name=files type=file multiple></form>";
    }
    location = /upload {
        client_max_body_size 100m; proxy_request_buffering off; proxy_http_version 1.1; proxy_pass http://fdfs_group1;
    }
    location /other/group1/ { proxy_pass http://fdfs_group2/group1/; }
    location /other/group2/ { proxy_pass http://fdfs_group1/group2/; }
"#;

#[test]
fn a_browser_uploads_shows_and_plays() {
    let mut cluster = Cluster::start("browser", 2);
    (0..4).for_each(|index| cluster.start_nginx_serving(index, "", UPLOAD));
    let gateway = cluster.start_gateway_serving(PAGE);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/browser.py");
    let mut browser = Command::new(programs::python());
    browser.arg(script).arg(format!("http://{gateway}/page.html")).arg("/other");
    let out = browser.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let found: Value = serde_json::from_slice(&out.stdout).unwrap();

    assert_eq!(found["shown"], json!(vec![true; 50]), "pictures that are what was drawn");
    for id in found["pictures"].as_array().unwrap() {
        let answer = http::get(gateway, &format!("/{}", id.as_str().unwrap()));
        assert!(answer.status == 200 && answer.body.starts_with(b"\x89PNG"), "{id}");
    }
    let url = found["video"]["url"].as_str().unwrap();
    let size = found["video"]["size"].as_u64().unwrap();
    assert!(size > 10 << 20, "a film that a browser does not take as a whole: {size}");
    for (way, prefix) in [("here", ""), ("there", "/other")] {
        // Ten frames a second, in a cycle of ten.
        assert_eq!(found[way], json!({"duration": 30, "found": [0, 2, 7, 9, 3]}), "{way}");
        let full = format!("http://{gateway}{prefix}{url}");
        let starts: Vec<u64> = found["parts"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|part| part[0] == full.as_str() && part[1] == 206)
            .map(|part| start(part[2].as_str().unwrap(), size))
            .collect();
        assert!(starts.iter().any(|start| *start > size / 2), "{way}: {starts:?}");
        assert!(starts.len() >= 3, "{way}: {starts:?}");
    }
}

/// Where a `Content-Range` of a file of this size begins.
fn start(range: &str, size: u64) -> u64 {
    let (part, whole) = range.strip_prefix("bytes ").unwrap().split_once('/').unwrap();
    assert_eq!(whole, size.to_string());
    part.split_once('-').unwrap().0.parse().unwrap()
}
