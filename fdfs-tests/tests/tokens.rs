//! Tokens in URLs, in stock nginx: for local files and for files of another member.
#![allow(clippy::unwrap_used)]

use std::time::{SystemTime, UNIX_EPOCH};

use fdfs_core::http::token_of;
use fdfs_tests::cluster::Cluster;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, http};

const SECRET: &str = "FastDFS1234567890";

#[test]
fn good_late_wrong_and_replaced() {
    let mut cluster = Cluster::start("tokens", 1);
    let fail = cluster.dir().join("anti-steal.txt");
    std::fs::write(&fail, b"not from here").unwrap();
    let rules = format!(
        "http.anti_steal.check_token = true\nhttp.anti_steal.secret_key = {SECRET}\n\
         anti_steal_bypass_header_name = X-Inside\nanti_steal_bypass_header_value = yes\n"
    );
    cluster.start_nginx_with(0, &rules);
    cluster.start_nginx_with(1, &format!("{rules}http.anti_steal.token_check_fail = {}\n", fail.display()));
    // Only on the first member: the second fetches it.
    cluster.storage(1).signal(libc::SIGSTOP);
    let data = content(30_000, 1);
    let answer =
        Raw::connect(cluster.members[0].addr).ask(raw::UPLOAD, &raw::upload(0, "bin", &data)).unwrap();
    let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let url = |time: i64| {
        let token = token_of(name.as_bytes(), SECRET, time);
        format!("/group1/{name}?token={}&ts={time}", std::str::from_utf8(&token).unwrap())
    };
    let nginx = [cluster.members[0].nginx_addr, cluster.members[1].nginx_addr];
    for server in nginx {
        for time in [now, now - 100, 0] {
            let page = http::get(server, &url(time));
            assert!(page.status == 200 && page.body == data, "{server}: {time}: {}", page.status);
        }
        assert_eq!(http::get(server, &format!("/group1/{name}")).status, 400, "no token");
        let inside = http::get_with(server, &format!("/group1/{name}"), "x-inside: yes\r\n");
        assert!(inside.status == 200 && inside.body == data);
        assert_eq!(http::get_with(server, &format!("/group1/{name}"), "X-Inside: no\r\n").status, 400);
    }
    for bad in [url(now - 5000), url(now).replace("token=", "token=0"), url(now).replace("&ts=", "&ts=1")] {
        assert_eq!(http::get(nginx[0], &bad).status, 400, "{bad}");
        let instead = http::get(nginx[1], &bad);
        assert!(instead.status == 200 && instead.body == b"not from here", "{bad}");
    }
    cluster.storage(1).signal(libc::SIGCONT);
}
