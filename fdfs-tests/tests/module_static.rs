//! Files of this machine and files that come from a member are answered exactly as stock nginx answers the same
//! bytes as a static file: head and body, request by request.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use fdfs_core::fileid::{Blob, FileName, Kind, Source, StorePath, TrunkSlot, crc32};
use fdfs_core::ident::Extension;
use fdfs_tests::content;
use fdfs_tests::module::member::{Lie, Member};
use fdfs_tests::module::server::{Nginx, Setup, free_port, raw, write_at};
use fdfs_tests::module::{TIME, id};

const MODIFIED: &str = "Tue, 12 Sep 2023 06:06:56 GMT";

/// Lines behind the request line, for GET and HEAD, with HTTP/1.1. `TAG` and `TIME` are the file's.
const HEADERS: &[&str] = &[
    "",
    "Range: bytes=0-0",
    "Range: bytes=0-99",
    "Range: bytes=500-",
    "Range: bytes=-7",
    "Range: bytes=-0",
    "Range: bytes=-99999",
    "Range: bytes=0-",
    "Range: bytes=999-999",
    "Range: bytes=999-5000",
    "Range: bytes=1000-",
    "Range: bytes=5000-6000",
    "Range: bytes=9-1",
    "Range: bytes=abc",
    "Range: bytes=",
    "Range: bytes",
    "Range: bytes=1-2x",
    "Range: bytes= 5 - 9 ",
    "Range: BYTES=5-9",
    "Range: items=5-9",
    "Range: bytes=5-9\r\nRange: bytes=20-29",
    "Range: bytes=18446744073709551616-",
    "Range: bytes=0-9223372036854775807",
    "Range: bytes=0-9,20-29",
    "Range: bytes=20-29,0-9",
    "Range: bytes=0-9,5-14",
    "Range: bytes=0-9, -10",
    "Range: bytes=0-9,5000-",
    "Range: bytes=5000-,6000-",
    "Range: bytes=0-999,0-0",
    "Range: bytes=0-600,300-900",
    "Range: bytes=0-9,x",
    "Range: bytes=0-9,",
    "Range: bytes=1-1,3-3,5-5,7-7,9-9,11-11,13-13,15-15,17-17,19-19",
    "If-Modified-Since: TIME",
    "If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT",
    "If-Modified-Since: Thu, 01 Jan 2015 00:00:00 GMT",
    "If-Modified-Since: yesterday",
    "If-Modified-Since: TIME\r\nRange: bytes=0-9",
    "If-Modified-Since: Tuesday, 12-Sep-23 06:06:56 GMT",
    "If-Unmodified-Since: TIME",
    "If-Unmodified-Since: Thu, 01 Jan 2015 00:00:00 GMT",
    "If-Unmodified-Since: yesterday",
    "If-Unmodified-Since: TIME\r\nRange: bytes=0-9",
    "If-None-Match: TAG",
    "If-None-Match: W/TAG",
    "If-None-Match: \"other\"",
    "If-None-Match: \"other\", TAG",
    "If-None-Match: \"other\",TAG ,\"third\"",
    "If-None-Match: *",
    "If-None-Match: \"other\", *",
    "If-None-Match: TAG\r\nIf-Modified-Since: TIME",
    "If-None-Match: TAG\r\nIf-Modified-Since: Thu, 01 Jan 2015 00:00:00 GMT",
    "If-None-Match: \"other\"\r\nIf-Modified-Since: TIME",
    "If-Match: TAG",
    "If-Match: *",
    "If-Match: \"other\"",
    "If-Match: W/TAG",
    "If-Match: TAG\r\nIf-Unmodified-Since: Thu, 01 Jan 2015 00:00:00 GMT",
    "If-Range: TAG\r\nRange: bytes=0-9",
    "If-Range: TAG\r\nRange: bytes=0-9,20-29",
    "If-Range: W/TAG\r\nRange: bytes=0-9",
    "If-Range: \"other\"\r\nRange: bytes=0-9",
    "If-Range: TIME\r\nRange: bytes=0-9",
    "If-Range: Thu, 01 Jan 2015 00:00:00 GMT\r\nRange: bytes=0-9",
    "If-Range: yesterday\r\nRange: bytes=5000-",
    "If-Range: TAG",
    "Accept: text/html;q=0.1\r\nAccept-Encoding: gzip, br\r\nAccept-Language: de",
    "Cache-Control: no-cache\r\nPragma: no-cache",
    "Content-Length: 5\r\n\r\nhello",
    "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0",
    "Cookie: a=b; c=d\r\nAuthorization: Basic eDp5",
    "X-Odd_: 1\r\nX--: 2\r\nEmpty:",
    "Expect: 100-continue",
];

/// Whole requests; `URL` is the file's.
const REQUESTS: &[&str] = &[
    "GET URL HTTP/1.0\r\n\r\n",
    "GET URL HTTP/1.0\r\nRange: bytes=0-9\r\n\r\n",
    "GET URL HTTP/1.0\r\nRange: bytes=0-9,20-29\r\n\r\n",
    "GET URL?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET URL? HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET /URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET /x/../URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET http://x/URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET URL HTTP/1.1\r\nConnection: close\r\n\r\n",
    "GET URL HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
    "GET  URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "get URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "POST URL HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "POST URL HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
    "PUT URL HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "DELETE URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "OPTIONS URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "PATCH URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "TRACE URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "PROPFIND URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    // Two on one connection: the second one must find the answer of the first one whole, with its body thrown away.
    "GET URL HTTP/1.1\r\nHost: x\r\n\r\nGET URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET URL HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9,20-29\r\n\r\nHEAD URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET URL HTTP/1.1\r\nHost: x\r\nRange: bytes=5000-\r\n\r\nGET URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET URL HTTP/1.1\r\nHost: x\r\nIf-Modified-Since: TIME\r\n\r\nGET URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "GET URL HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
];

fn requests() -> Vec<String> {
    let mut all: Vec<String> = REQUESTS.iter().map(|text| (*text).to_owned()).collect();
    for method in ["GET", "HEAD"] {
        for headers in HEADERS {
            all.push(format!("{method} URL HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n\r\n"));
        }
    }
    all
}

/// The answer without what differs between any two answers of one nginx: `Date`, the number of a boundary, and
/// the order of headers.
fn comparable(raw: &[u8]) -> String {
    let mut text: String = raw.iter().map(|byte| char::from(*byte)).collect();
    while let Some(at) = text.find("boundary=0") {
        let boundary = text[at + 9..at + 29].to_owned();
        text = text.replace(&boundary, "BOUNDARY");
    }
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some((head, body)) = rest.split_once("\r\n\r\n").filter(|_| rest.starts_with("HTTP/1.")) {
        let mut lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("Date: ")).collect();
        lines[1..].sort_unstable();
        out += &lines.join("\n");
        out += "\n\n";
        let next = body.find("HTTP/1.").unwrap_or(body.len());
        out += &body[..next];
        rest = &body[next..];
    }
    out + rest
}

#[test]
fn as_stock_nginx_answers_the_same_bytes() {
    compare("");
    compare("etag off; gzip on; gzip_types *; gzip_min_length 1;");
    compare("if_modified_since before; max_ranges 2; gzip on; gzip_types *; gzip_min_length 1;");
    compare("if_modified_since off; max_ranges 0;");
}

fn compare(more: &str) {
    let member = Member::start("127.0.3.61");
    let plain = free_port();
    let http = format!("{more} server {{ listen 127.0.0.1:{plain}; root ROOT/plain; }}");
    let here = Nginx::with("static-here", &Setup { http: &http, ..Setup::default() });
    let there = Nginx::with("static-there", &Setup { members: &[&member], http: more, ..Setup::default() });
    let source = Member::start("127.0.3.67");
    let cache = format!("{more} fastdfs_cache_path ROOT/cache keys_zone=files:1m;");
    let setup =
        Setup { members: &[&source], http: &cache, location: "fastdfs_cache files;", ..Setup::default() };
    let kept = Nginx::with("static-kept", &setup);
    let (data, empty) = (content(1000, 5), Vec::new());
    let files =
        [(&data, Kind::Normal), (&data, Kind::Appender), (&empty, Kind::Normal), (&empty, Kind::Appender)];
    let mut compared = 0;
    for (row, (data, kind)) in files.into_iter().enumerate() {
        let name = id(data, kind, "127.0.3.61", row as u32);
        here.store_at(&name, data, Some(TIME));
        write_at(&here.dir().join("plain/group1").join(&name), data, Some(TIME));
        member.store_at(&name, data, TIME.into());
        source.tell(None);
        source.store_at(&name, data, TIME.into());
        assert_eq!(kept.get(&format!("/group1/{name}"), &[]).body, *data);
        source.tell((kind == Kind::Normal).then_some(Lie::Close));
        let tag = format!("\"{TIME:x}-{:x}\"", data.len());
        for request in requests() {
            let url = format!("/group1/{name}");
            let request = request.replace("URL", &url).replace("TAG", &tag).replace("TIME", MODIFIED);
            let want = comparable(&raw(plain, request.as_bytes()));
            for (place, port) in [("local", here.port), ("from a member", there.port), ("kept", kept.port)] {
                let got = comparable(&raw(port, request.as_bytes()));
                assert_eq!(got, want, "{kind:?} of {} bytes, {place}, {more}: {request}", data.len());
                compared += 1;
            }
        }
    }
    assert!(compared > 1000, "{compared}");
    assert!(!there.log().contains("[alert]") && !here.log().contains("[alert]"), "{}", there.log());
}

#[test]
fn several_ranges_of_a_long_file() {
    let member = Member::start("127.0.3.62");
    let nginx = Nginx::start("ranges", &[&member]);
    let data = content(3_000_000, 6);
    let name = id(&data, Kind::Normal, "127.0.3.62", 1);
    member.store(&name, &data);
    let url = format!("/group1/{name}");
    // Longer than all buffers of a request, shorter than a header's rest, one byte, and many of them.
    let many: Vec<(usize, usize)> = (0..30).map(|i| (i * 1000, i * 1000 + 1)).collect();
    for parts in [vec![(100_000, 1_499_999), (5, 14), (1_500_000, 2_999_999), (0, 0)], many] {
        let range: Vec<String> = parts.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let answer = nginx.get(&url, &[&format!("Range: bytes={}", range.join(","))]);
        assert_eq!((answer.status, answer.cut), (206, false));
        let boundary = answer.header("content-type").unwrap().split_once("boundary=").unwrap().1;
        let mut want: Vec<u8> = Vec::new();
        for (first, last) in parts {
            let head = "Content-Type: application/octet-stream\r\nContent-Range: bytes";
            want.extend(format!("\r\n--{boundary}\r\n{head} {first}-{last}/3000000\r\n\r\n").as_bytes());
            want.extend_from_slice(&data[first..=last]);
        }
        want.extend(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert!(answer.body == want, "{range:?}");
    }
    assert_eq!(member.connections(), 1, "all over one connection");
    let too_many: Vec<String> = (0..65).map(|i| format!("{i}-{i}")).collect();
    let answer = nginx.get(&url, &[&format!("Range: bytes={}", too_many.join(","))]);
    assert!(answer.status == 200 && answer.body == data, "as many requests to a storage are refused");
}

#[test]
fn names_of_attachments_and_parts_for_players() {
    let member = Member::start("127.0.3.63");
    let setup = Setup { settings: "flv_support = true\nflv_extension = txt\n", ..Setup::default() };
    let here = Nginx::with("extras-here", &setup);
    let there = Nginx::with("extras-there", &Setup { members: &[&member], ..setup });
    let data = content(200_000, 7);
    for (row, kind) in [Kind::Normal, Kind::Appender].into_iter().enumerate() {
        let name = id(&data, kind, "127.0.3.63", row as u32);
        here.store_at(&name, &data, Some(TIME));
        member.store_at(&name, &data, TIME.into());
        for nginx in [&here, &there] {
            let get = |args: &str, headers: &[&str]| nginx.get(&format!("/group1/{name}?{args}"), headers);
            let named = get("filename=a%0d%0aX-Evil:1%22.txt", &[]);
            let want = "attachment; filename=\"a__X-Evil:1_.txt\"; filename*=UTF-8''a__X-Evil%3A1%22.txt";
            assert_eq!((named.status, named.header("content-disposition")), (200, Some(want)));
            assert!(named.header("x-evil").is_none() && named.body == data);
            assert!(get("filename=", &[]).header("content-disposition").is_none());
            let part = get("start=100000&filename=x.flv", &["X: y"]);
            let want = [b"FLV\x01\x01\0\0\0\x09\0\0\0\x09", &data[100_000..]].concat();
            assert!(part.status == 200 && !part.cut && part.body == want, "{} {kind:?}", part.body.len());
            assert_eq!(part.header("etag"), get("", &[]).header("etag"));
            assert_eq!(get("end=1", &[]).body, &data[..1]);
            assert_eq!(get("start=10&end=13", &[]).body[13..], data[10..13]);
            assert_eq!(get("start=200000", &[]).status, 400);
            assert_eq!(get("start=x", &[]).body, data);
            assert_eq!(get("start=10", &["Range: bytes=0-1"]).body, &data[..2]);
            let head = nginx.ask("HEAD", &format!("/group1/{name}?start=199999"), &[]);
            assert_eq!((head.status, head.header("content-length")), (200, Some("14")));
        }
    }
    assert!(!there.log().contains("[alert]"), "{}", there.log());
}

#[test]
fn redirects_lead_to_members_and_never_in_circles() {
    let (source, other) = (Member::start("127.0.3.64"), Member::start("127.0.3.65"));
    let settings = "response_mode = redirect\n";
    let base = Setup { settings, members: &[&other, &source], ..Setup::default() };
    let nginx = Nginx::with("redirect", &base);
    let secure = Nginx::with("redirect-port", &Setup { location: "fastdfs_redirect https 8443;", ..base });
    let usual = Nginx::with("redirect-443", &Setup { location: "fastdfs_redirect https 443;", ..base });
    let myself = Member::start("127.0.0.1");
    let alone = Nginx::with("redirect-alone", &Setup { members: &[&myself], ..base });
    let data = content(1000, 8);
    let name = id(&data, Kind::Normal, "127.0.3.64", 1);
    let url = format!("/group1/{name}");
    let to = |nginx: &Nginx, url: &str| {
        let answer = nginx.get(url, &["Range: bytes=0-9"]);
        assert_eq!((answer.status, answer.cut), (302, false), "{url}");
        answer.header("location").unwrap().to_owned()
    };
    assert_eq!(to(&nginx, &url), format!("http://127.0.3.64:{}{url}?redirect=1", nginx.port));
    assert_eq!(
        to(&secure, &format!("{url}?token=a&b")),
        format!("https://127.0.3.64:8443{url}?token=a&b&redirect=1")
    );
    assert_eq!(
        to(&usual, &format!("{url}?filename=%0d%0aX:y")),
        format!("https://127.0.3.64{url}?filename=%0d%0aX:y&redirect=1")
    );
    // A made-up source leads to a member all the same.
    let stranger = id(&data, Kind::Normal, "127.0.3.99", 2);
    assert!(to(&nginx, &format!("/group1/{stranger}")).starts_with("http://127.0.3.65:"));
    assert_eq!(nginx.get(&url, &["If-None-Match: \"65000000-3e8\""]).status, 304);
    assert_eq!((source.connections(), other.connections()), (0, 0));

    // Who was sent here gets the file, from whoever has it.
    other.store(&name, &data);
    let again = nginx.get(&format!("{url}?redirect=1"), &[]);
    assert!(again.status == 200 && again.body == data);
    myself.store(&name, &data);
    let answer = alone.get(&url, &[]);
    assert!(answer.status == 200 && answer.body == data, "nobody else is there to be sent to");
    nginx.store(&name, &data);
    assert_eq!(nginx.get(&url, &[]).body, data, "what is here is served here");
}

#[test]
fn links_and_freed_slots_of_a_container() {
    let member = Member::start("127.0.3.66");
    let setup = Setup {
        members: &[&member],
        location: "directio 512; open_file_cache max=10; open_file_cache_valid 1s;",
        ..Setup::default()
    };
    let nginx = Nginx::with("links", &setup);
    let data = content(5000, 9);
    let blob = |len: usize, crc| {
        Blob::new(Source::Ip("127.0.3.66".parse().unwrap()), TIME, Kind::Trunk, len as u64, crc, 7)
    };
    let (path, ext) = (StorePath::new(0, 1).unwrap(), Extension::new(b"txt").unwrap());
    let mut container = vec![0; 65536];
    let mut place = |offset: u32, kind: u8, content: &[u8]| {
        let (blob, slot) = (blob(content.len(), crc32(content)), TrunkSlot { file: 1, offset, size: 8192 });
        let name = FileName::generate_trunk(path, (0, 0), &blob, &slot, ext, 123);
        let mut slot = vec![kind];
        for number in [8192, content.len() as u32, blob.crc32, TIME] {
            slot.extend(number.to_be_bytes());
        }
        slot.extend(&name.true_name()[49..]);
        slot.extend(content);
        container[offset as usize..][..slot.len()].copy_from_slice(&slot);
        name.logic()
    };
    let file = place(100, b'F', &data);
    let target = id(&data, Kind::Normal, "127.0.3.66", 3);
    let to_file = place(8300, b'L', target.as_bytes());
    let to_slot = place(16500, b'L', file.as_bytes());
    let to_link = place(24700, b'L', to_slot.as_bytes());
    let freed = place(32900, 0, &data);
    let unknown = place(41100, b'X', &data);
    let short = place(57344, b'F', b"short");
    nginx.store("M00/00/00/000001", &container);
    let get = |name: &str| nginx.get(&format!("/group1/{name}"), &[]);
    for name in [&file, &to_slot] {
        assert!(get(name).status == 200 && get(name).body == data, "{name}");
    }
    assert_eq!(get(&short).body, b"short");
    assert_eq!(get(&to_file).status, 404, "its target is nowhere");
    member.store(&target, &data);
    assert!(get(&to_file).body == data, "the target comes from a member");
    nginx.store(&target, &data);
    let before = member.requests();
    assert!(get(&to_file).body == data && member.requests() == before, "the target is here");
    for name in [&to_link, &freed, &unknown] {
        assert_eq!(get(name).status, 404, "{name}");
    }
    member.store(&freed, &data);
    assert!(get(&freed).body == data, "a slot that is not filled here yet");
    // A container that ends in the middle of a slot.
    nginx.store("M00/00/00/000001", &container[..1000]);
    member.store(&file, &data);
    let cached = Instant::now() + Duration::from_secs(5);
    let before = member.requests();
    while member.requests() == before {
        assert!(get(&file).status == 200 && Instant::now() < cached);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(get(&file).body == data);
}
