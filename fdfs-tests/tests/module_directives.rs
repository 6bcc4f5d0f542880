//! The module's own directives and variables: settings and token rules per location, what logs can tell.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fdfs_core::fileid::Kind;
use fdfs_core::http::{signature_of, token_of};
use fdfs_core::ident::GroupName;
use fdfs_tests::module::id;
use fdfs_tests::module::member::Member;
use fdfs_tests::module::server::{Nginx, Setup};
use fdfs_tests::{content, wait_for};

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

#[test]
fn settings_stand_in_nginx_conf() {
    let member = Member::start("127.0.3.71");
    // No file at all; each location adds to what the server says.
    let more = format!(
        "location /group1/ {{ ngx_fastdfs_module; fastdfs_conf off; fastdfs_peer group1 {}; }}\n\
         location /M00/ {{ ngx_fastdfs_module; fastdfs_conf off; fastdfs_set url_have_group_name false; \
         fastdfs_set flv_support yes; fastdfs_set flv_extension txt; fastdfs_peer group1 {}; }}",
        member.addr, member.addr
    );
    let http = "fastdfs_set group_name group1; fastdfs_set url_have_group_name true; fastdfs_set store_path0 ROOT/store; \
                fastdfs_set network_timeout 2;";
    let nginx = Nginx::with("inline", &Setup { at: "/unused", http, more: &more, ..Setup::default() });
    let data = content(1000, 1);
    let (here, there) = (id(&data, Kind::Normal, "127.0.3.71", 1), id(&data, Kind::Normal, "127.0.3.71", 2));
    nginx.store(&here, &data);
    member.store(&there, &data);
    for name in [&here, &there] {
        assert_eq!(nginx.get(&format!("/group1/{name}"), &[]).body, data);
        assert_eq!(nginx.get(&format!("/group1/{name}?start=900"), &[]).body, data);
        assert_eq!(nginx.get(&format!("/{name}"), &[]).body, data);
        assert_eq!(nginx.get(&format!("/{name}?start=900"), &[]).body[13..], data[900..]);
    }
}

#[test]
fn mistakes_are_told_before_the_start() {
    for (location, told) in [
        ("fastdfs_set netwrok_timeout 2;", "netwrok_timeout"),
        ("fastdfs_set network_timeout 2; fastdfs_set network_timeout 3;", "given 2 times"),
        ("fastdfs_set network_timeout soon;", "network_timeout = soon"),
        ("fastdfs_token sha1;", "expected off, md5 or hmac"),
        ("fastdfs_token hmac;", "needs a fastdfs_token_key"),
        ("fastdfs_token md5; fastdfs_token off;", "is duplicate"),
        ("fastdfs_token_key file:/nonexistent/key;", "/nonexistent/key"),
        ("fastdfs_token_key '';", "the key is empty"),
        ("fastdfs_redirect ftp;", "expected http or https"),
        ("fastdfs_redirect https 0;", "expected a port"),
        ("fastdfs_redirect https 80; fastdfs_redirect http;", "is duplicate"),
        ("fastdfs_conf off;", "is duplicate"),
        ("fastdfs_upload yes;", "fastdfs_upload: expected on or off"),
        ("fastdfs_upload on;", "need a tracker_server"),
        ("fastdfs_upload off; fastdfs_upload off;", "is duplicate"),
        ("fastdfs_upload_group a/b;", "fastdfs_upload_group: "),
        ("fastdfs_upload_url 'a b';", "no blanks"),
        ("fastdfs_tus on; fastdfs_set tracker_server 127.0.0.1:1;", "needs a fastdfs_tus_key"),
        ("fastdfs_tus_key '';", "the key is empty"),
        ("fastdfs_tus_max_size 10x;", "expected a size"),
    ] {
        let (content, said) = Nginx::test("mistake", &Setup { location, ..Setup::default() });
        assert!(!content && said.contains(told) && said.contains("nginx.conf:"), "{location}: {said}");
    }
    let (content, said) =
        Nginx::test("right", &Setup { location: "fastdfs_set store_path0 ROOT/store;", ..Setup::default() });
    assert!(content, "{said}");
}

#[test]
fn each_location_has_its_own_token_rules() {
    let member = Member::start("127.0.3.72");
    let more = "location /open/ { rewrite ^/open(/.*)$ $1 break; MODULE fastdfs_token off; }\n\
                location /signed/ { rewrite ^/signed(/.*)$ $1 break; MODULE fastdfs_token hmac; \
                fastdfs_token_key next; fastdfs_token_key file:ROOT/key; }\n\
                location /shared/ { rewrite ^/shared(/.*)$ $1 break; MODULE fastdfs_token_key other; fastdfs_token_key secret; }";
    let settings = "http.anti_steal.check_token = true\nhttp.anti_steal.secret_key = secret\n\
                    anti_steal_bypass_header_name = X-Inside\nanti_steal_bypass_header_value = yes\n";
    // nginx reads the key when it reads its configuration: the folder must hold it before.
    let key = std::env::temp_dir().join(format!("fdfs-key-{}", std::process::id()));
    std::fs::write(&key, "from a file\n").unwrap();
    let more = more.replace("ROOT/key", &key.display().to_string());
    let nginx =
        Nginx::with("rules", &Setup { members: &[&member], settings, more: &more, ..Setup::default() });
    std::fs::remove_file(&key).unwrap();
    let (data, group) = (content(1000, 2), GroupName::new(b"group1").unwrap());
    let (here, there) = (id(&data, Kind::Normal, "127.0.3.72", 1), id(&data, Kind::Normal, "127.0.3.72", 2));
    nginx.store(&here, &data);
    member.store(&there, &data);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    for name in [&here, &there] {
        let url = format!("group1/{name}");
        let md5 = |key: &str| format!("token={}&ts={}", text(&token_of(name.as_bytes(), key, now())), now());
        let hmac = |key: &str, until: i64| {
            format!("sig={}&expires={until}", text(&signature_of(&group, name.as_bytes(), key, until)))
        };
        let get = |at: &str, args: &str| nginx.get(&format!("{at}/{url}?{args}"), &[]).status;
        assert_eq!((get("", ""), get("", &md5("secret")), get("", &md5("other"))), (400, 200, 400));
        assert_eq!((get("/open", ""), get("/open", "token=x&ts=1")), (200, 200));
        assert_eq!(
            (get("/shared", &md5("other")), get("/shared", &md5("secret")), get("/shared", &md5("x"))),
            (200, 200, 400)
        );
        let until = now() + 100;
        assert_eq!(
            (get("/signed", &hmac("next", until)), get("/signed", &hmac("from a file", until))),
            (200, 200)
        );
        for bad in [String::new(), md5("secret"), hmac("secret", until), hmac("next", now() - 1)] {
            assert_eq!(get("/signed", &bad), 403, "{bad}");
        }
        let signed = nginx.get(&format!("/signed/{url}"), &["X-Inside: yes"]);
        assert_eq!(signed.status, 200, "the header counts for every kind");
    }
}

#[test]
fn the_log_tells_where_a_file_came_from() {
    let (first, second) = (Member::start("127.0.3.73"), Member::start("127.0.3.74"));
    let http = "log_format where '$status $fdfs_group $fdfs_file_source $fdfs_peer $fdfs_fetch_time'; access_log ROOT/where where;";
    let more = "location /sent/ { rewrite ^/sent(/.*)$ $1 break; MODULE fastdfs_set response_mode redirect; }\n\
                location = /other { return 204; }";
    let setup = Setup { members: &[&first, &second], http, more, ..Setup::default() };
    let nginx = Nginx::with("where", &setup);
    let data = content(1000, 3);
    let name = |random| format!("group1/{}", id(&data, Kind::Normal, "127.0.3.73", random));
    nginx.store(&id(&data, Kind::Normal, "127.0.3.73", 1), &data);
    second.store(&id(&data, Kind::Normal, "127.0.3.73", 2), &data);
    let mut line = 0;
    let mut ask = |url: &str, headers: &[&str]| {
        nginx.get(url, headers);
        line += 1;
        let mut text = String::new();
        wait_for("a line in the log", Duration::from_secs(5), || {
            text = std::fs::read_to_string(nginx.dir().join("where")).unwrap_or_default();
            text.ends_with('\n') && text.lines().count() == line
        });
        text.lines().last().unwrap().to_owned()
    };
    assert_eq!(ask(&format!("/{}", name(1)), &[]), "200 group1 local - -");
    assert_eq!(ask(&format!("/{}", name(1)), &["Range: bytes=5000-"]), "416 group1 local - -");
    let fetched = ask(&format!("/{}", name(2)), &[]);
    let (start, took) = fetched.rsplit_once(' ').unwrap();
    assert_eq!(start, format!("200 group1 peer {}", second.addr));
    assert!(took.parse::<f64>().unwrap() < 2.0, "{took}");
    let missing = ask(&format!("/{}", name(3)), &[]);
    assert!(missing.starts_with("404 group1 peer 127.0.3.74:"), "{missing}");
    let failed = ask(&format!("/{}", name(2)), &["If-Match: \"x\""]);
    assert!(failed.starts_with("412 group1 "), "{failed}");
    assert_eq!(ask(&format!("/sent/{}", name(3)), &[]), "302 group1 redirect - -");
    assert_eq!(ask("/group1/M00/no", &[]), "400 - - - -");
    assert_eq!(ask("/other", &[]), "204 - - - -");
}
