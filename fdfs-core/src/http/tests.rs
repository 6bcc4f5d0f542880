//! The module's decisions, row by row.

use proptest::prelude::*;

use super::*;
use crate::fileid::Source;
use crate::ident::GroupName;
use crate::wire::storage::FileInfo;
use crate::wire::{AddrWidth, Header, Text, cmd};

const NORMAL: &str = "M00/00/00/fwAAFWsCnHKAMyWJAAAACw1KEYU158.txt";
const APPENDER: &str = "M00/00/00/fwAAFWsCnJ6EWml9AAAAADYQpoY591.txt";
const SLAVE: &str = "M00/00/00/fwAAFWsCnHKAMyWJAAAACw1KEYU_ab.jpg";
const TRUNK: &str = "M00/55/61/oYYBAGsCnTCIFRNxAAAAZF4OXY8AAAAAQAAAgAAAAEA411.txt";

fn group(name: &str) -> GroupName {
    GroupName::new(name.as_bytes()).unwrap()
}

fn site(url_has_group: bool, groups: &[(&str, usize)]) -> Site {
    let groups = groups
        .iter()
        .map(|(name, paths)| LocalGroup {
            name: group(name),
            paths: (0..*paths).map(|i| format!("/{name}/s{i}")).collect(),
        })
        .collect();
    Site { url_has_group, groups }
}

fn show(site: &Site, uri: &str) -> String {
    match plan(site, uri.as_bytes()) {
        Plan::Local { place: Place { path, slot }, .. } => {
            let at = slot.map_or_else(String::new, |slot| format!(" at {}", slot.offset));
            String::from_utf8(path).unwrap() + &at
        }
        Plan::Remote { file } => format!("remote {}", file.group),
        Plan::BadRequest(_) => "400".into(),
        Plan::NotFound => "404".into(),
    }
}

#[test]
fn urls_name_files() {
    let plain = site(false, &[("group1", 2)]);
    let named = site(true, &[("group1", 2)]);
    let several = site(true, &[("group1", 1), ("group2", 2)]);
    let true_name = &NORMAL[4..];
    for (site, uri, want) in [
        (&plain, format!("/{NORMAL}"), format!("/group1/s0/data/{true_name}")),
        (&plain, format!("/M01/{true_name}"), format!("/group1/s1/data/{true_name}")),
        (&plain, format!("/{true_name}"), format!("/group1/s0/data/{true_name}")),
        (&plain, format!("/M02/{true_name}"), "400".into()),
        (&plain, format!("/group1/{NORMAL}"), "400".into()),
        (&named, format!("/group1/{NORMAL}"), format!("/group1/s0/data/{true_name}")),
        (&named, format!("/{NORMAL}"), "400".into()),
        (&named, format!("/group2/{NORMAL}"), "remote group2".into()),
        (&named, format!("/group2/M7f/{true_name}"), "remote group2".into()),
        (&named, format!("/gr-up/{NORMAL}"), "400".into()),
        (&named, format!("/group1/{TRUNK}"), "/group1/s0/data/55/61/000001 at 512".into()),
        (&named, format!("/group2/{TRUNK}"), "remote group2".into()),
        (&several, format!("/group1/M01/{true_name}"), "400".into()),
        (&several, format!("/group2/M01/{true_name}"), format!("/group2/s1/data/{true_name}")),
        (&several, format!("/group1/{APPENDER}"), format!("/group1/s0/data/{}", &APPENDER[4..])),
    ] {
        assert_eq!(show(site, &uri), want, "{uri}");
    }
}

#[test]
fn links_in_slots_lead_to_files_of_the_group() {
    let (named, plain) = (site(true, &[("group1", 2), ("group2", 2)]), site(false, &[("group1", 2)]));
    let link = Wanted { name: crate::fileid::FileName::parse(TRUNK.as_bytes(), 1).unwrap(), ..wanted(TRUNK) };
    for site in [&named, &plain] {
        let to = |name: &str| {
            let target = link_target(site, &link, name.as_bytes());
            target.map(|(_, place)| String::from_utf8(place.path).unwrap())
        };
        assert_eq!(to(NORMAL), Some(format!("/group1/s0/data/{}", &NORMAL[4..])));
        assert_eq!(to(&format!("{NORMAL}\0\0")), Some(format!("/group1/s0/data/{}", &NORMAL[4..])));
        for bad in [TRUNK, "", "../../../etc/passwd", "/group2/M00/00/00/x", &NORMAL.replace("M00", "M02")] {
            assert_eq!(to(bad), None, "{bad}");
        }
    }
}

#[test]
fn urls_that_are_no_file_are_refused() {
    let named = site(true, &[("group1", 1)]);
    let long = format!("/group1/{NORMAL}{}", "x".repeat(200));
    for uri in [
        "",
        "/",
        "/group1",
        "/group1/",
        "/group1/M00",
        "/group1/M00/00/00/",
        "/group1/M00/00/00/short.txt",
        "/group1/M00/../../etc/passwd-passwd-passwd-passwd-passwd",
        "/group1/M00/00/00/../../../../../etc/passwd/aaaaaaaaaaaaaaaaaa",
        "/group1/M00/0g/00/fwAAFWsCnHKAMyWJAAAACw1KEYU158.txt",
        "/group1/M00/aa/00/fwAAFWsCnHKAMyWJAAAACw1KEYU158.txt",
        "/group1/MZZ/00/00/fwAAFWsCnHKAMyWJAAAACw1KEYU158.txt",
        "/group1/M00/00/00/fwAAFWsCnHKAMyWJAAAA!!1KEYU158.txt",
        "/group1/M00/00/00/fwAAFWsCnHKAMyWJAAAACw1KEYU158/txt",
        "/group1/M00/00/00/fwAAFWsCnHKAMyWJ\0AAACw1KEYU158.txt",
        long.as_str(),
    ] {
        assert_eq!(show(&named, uri), "400", "{uri}");
    }
    assert_eq!(show(&named, &format!("/group1/{NORMAL}-m")), "404");
    assert_eq!(show(&site(false, &[]), &format!("/{NORMAL}")), "400");
}

fn wanted(name: &str) -> Wanted {
    match plan(&site(true, &[]), format!("/group1/{name}").as_bytes()) {
        Plan::Remote { file } => file,
        other => panic!("{other:?}"),
    }
}

#[test]
fn ids_tell_size_and_time_of_normal_files_only() {
    assert_eq!(wanted(NORMAL).known, Some(Validators { mtime: 0x6b02_9c72, size: 11 }));
    assert_eq!(wanted(NORMAL).source, Source::Ip("127.0.0.21".parse().unwrap()));
    assert_eq!(wanted(TRUNK).known.unwrap().size, 100);
    assert_eq!(wanted(APPENDER).known, None);
    assert_eq!(wanted(SLAVE).known, None);
    assert!(wanted("M00/00/00/fwAAFWsCnHKAKv2vAAAACw1KEYU.tar.gz").known.is_some());
    assert!(wanted("M00/00/00/fwAAFWsCnHKAAm7aAAAACw1KEYU8646138").known.is_some());
    assert_eq!(wanted(NORMAL).wire_name(), NORMAL.as_bytes());
    let slave_of_appender = APPENDER.replace(".", "_150x150.");
    assert!([NORMAL, TRUNK, SLAVE].iter().all(|name| wanted(name).is_immutable()));
    assert_eq!(wanted(NORMAL).crc32(), Some(0x0d4a_1185));
    assert!([TRUNK, SLAVE, APPENDER].iter().all(|name| wanted(name).crc32().is_none()));
    assert!([APPENDER, slave_of_appender.as_str()].iter().all(|name| !wanted(name).is_immutable()));
}

fn job(name: &str, edit: impl Fn(&mut Job)) -> Fetch {
    let mut job = Job::whole(wanted(name));
    edit(&mut job);
    Fetch::new(job)
}

fn ranged(header: &str) -> impl Fn(&mut Job) {
    move |job: &mut Job| job.range = Some(header.as_bytes().to_vec())
}

fn reply(len: i64, status: u8) -> Vec<u8> {
    Header { len, cmd: cmd::RESPONSE, status }.encode().to_vec()
}

fn info_reply(size: u64, mtime: i64) -> Vec<u8> {
    let mut out = reply(40, 0);
    FileInfo { size, mtime, crc32: 0, source_ip: Text::EMPTY }.put(&mut out, AddrWidth::V4);
    out
}

#[test]
fn a_normal_file_takes_one_round_trip() {
    let mut fetch = job(NORMAL, |_| {});
    let request = fetch.request();
    assert_eq!((request[8], request.len()), (cmd::DOWNLOAD_FILE, 10 + 32 + 44));
    assert_eq!(fetch.feed(&reply(11, 0)[..9]), Step::More);
    let file = fetch.job().file.known.unwrap();
    let answer = Answer { status: 200, file, ranges: Vec::new(), flv_head: false };
    assert_eq!(fetch.feed(&reply(11, 0)), Step::Answer { consumed: 10, body: 11, answer });
}

#[test]
fn a_range_is_asked_as_a_range() {
    let mut fetch = job(NORMAL, ranged("bytes=2-5"));
    assert_eq!(fetch.request()[10..26], [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4]);
    let Step::Answer { body, answer, .. } = fetch.feed(&reply(4, 0)) else { panic!() };
    assert_eq!((body, answer.status, answer.length()), (4, 206, Some(4)));
    assert_eq!(answer.content_range().as_deref(), Some("bytes 2-5/11"));
    fetch.restart();
    assert_eq!(fetch.feed(&reply(11, 0)), Step::Bad(Fault::Length { got: 11, want: 4 }));
}

#[test]
fn head_and_empty_files_and_bad_ranges_ask_for_the_info() {
    let status = |edit: fn(&mut Job)| {
        let mut fetch = job(NORMAL, edit);
        let request = fetch.request();
        assert_eq!((request[8], request[9]), (cmd::QUERY_FILE_INFO, 3));
        let Step::Answer { consumed: 50, body: 0, answer } = fetch.feed(&info_reply(11, 5)) else { panic!() };
        (answer.status, answer.length(), answer.content_range())
    };
    assert_eq!(status(|job| job.head = true), (200, Some(11), None));
    let range = |job: &mut Job| job.range = Some(b"bytes=11-".to_vec());
    assert_eq!(status(range), (416, None, None));
}

#[test]
fn several_ranges_are_asked_one_after_the_other() {
    let mut fetch = job(NORMAL, ranged("bytes=7-,0-1,4-4"));
    assert_eq!(fetch.request()[10..26], [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 4]);
    let Step::Answer { body: 4, answer, .. } = fetch.feed(&reply(4, 0)) else { panic!() };
    assert_eq!((answer.status, answer.ranges.len(), answer.length()), (206, 3, None));
    let head = |len: i64, status| *reply(len, status).first_chunk::<10>().unwrap();
    let next = fetch.next_part().unwrap();
    assert_eq!(next[10..26], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(fetch.part_head(&head(2, 0)), Ok(2));
    assert_eq!(fetch.part_head(&head(3, 0)), Err(Fault::Length { got: 3, want: 2 }));
    assert_eq!(fetch.part_head(&head(0, 2)), Err(Fault::Refused(2)));
    assert_eq!(fetch.part_head(&head(-1, 0)), Err(Fault::Negative));
    assert!(fetch.next_part().is_some() && fetch.part_head(&head(1, 0)) == Ok(1));
    assert_eq!(fetch.next_part(), None);
    fetch.restart();
    assert!(matches!(fetch.feed(&reply(4, 0)), Step::Answer { body: 4, .. }), "from the first part again");
}

#[test]
fn a_player_gets_the_rest_behind_a_new_head() {
    let player = |args: &'static str| move |job: &mut Job| job.flv = FlvPart::of(args.as_bytes());
    let mut fetch = job(NORMAL, player("start=4"));
    let Step::Answer { body: 7, answer, .. } = fetch.feed(&reply(7, 0)) else { panic!() };
    assert_eq!((answer.status, answer.flv_head, answer.length()), (200, true, Some(20)));
    let mut fetch = job(NORMAL, player("start=11"));
    let Step::Answer { body: 0, answer, .. } = fetch.feed(&info_reply(11, 5)) else { panic!() };
    assert_eq!(answer.status, 400);
    let mut fetch = job(NORMAL, |job| {
        player("start=4")(job);
        ranged("bytes=0-1")(job);
    });
    assert!(matches!(fetch.feed(&reply(2, 0)), Step::Answer { body: 2, .. }), "a range goes first");
}

#[test]
fn a_short_slot_may_hold_a_link() {
    let mut fetch = job(TRUNK, |_| {});
    assert_eq!(fetch.request()[8], cmd::QUERY_FILE_INFO);
    let Step::Ask { .. } = fetch.feed(&info_reply(5000, 9)) else { panic!() };
    let Step::Answer { body: 5000, answer, .. } = fetch.feed(&reply(5000, 0)) else { panic!() };
    assert_eq!(answer.file, Validators { mtime: 9, size: 5000 });
    let mut fetch = job(TRUNK, |_| {});
    let Step::Ask { .. } = fetch.feed(&info_reply(100, 9)) else { panic!() };
    let Step::Answer { answer, .. } = fetch.feed(&reply(100, 0)) else { panic!() };
    assert_eq!(answer.file.mtime, 0x6b02_9d30, "no link: as the id says");
}

#[test]
fn a_file_of_unknown_size_takes_two_round_trips() {
    let mut fetch = job(APPENDER, ranged("bytes=-3"));
    let mut got = info_reply(10, 77);
    let Step::Ask { consumed: 50, request } = fetch.feed(&got) else { panic!() };
    assert_eq!(request[10..26], [0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 3]);
    got = reply(3, 0);
    let Step::Answer { answer, .. } = fetch.feed(&got) else { panic!() };
    assert_eq!(answer.file, Validators { mtime: 77, size: 10 });
    assert_eq!(answer.status, 206);

    let mut fetch = job(APPENDER, |job| job.conditions.if_modified_since = Some(77));
    let Step::Answer { answer, .. } = fetch.feed(&info_reply(10, 77)) else { panic!() };
    assert_eq!(answer.status, 304);
    let mut fetch = job(APPENDER, |_| {});
    let Step::Answer { answer, .. } = fetch.feed(&info_reply(0, 77)) else { panic!() };
    assert_eq!((answer.status, answer.length()), (200, Some(0)));
}

#[test]
fn what_a_storage_said_can_be_read_again() {
    let size = |name: &str, said: &[u8]| Fetch::recall(wanted(name), said).map(|answer| answer.file.size);
    let download = |size| reply(size, 0);
    let both = [info_reply(5000, 9), download(5000)].concat();
    assert_eq!(size(NORMAL, &download(11)), Some(11));
    assert_eq!(size(TRUNK, &both), Some(5000));
    assert_eq!(size(SLAVE, &both), Some(5000));
    assert_eq!(size(SLAVE, &info_reply(0, 9)), Some(0));
    for wrong in [&[][..], &download(11)[..9], &download(12), &reply(0, 2), &[0; 10], &both] {
        assert_eq!(size(NORMAL, wrong), None);
    }
    for wrong in [&[][..], &info_reply(5000, 9), &both[..59], &[&both[..], b"x"].concat(), &download(11)] {
        assert_eq!(size(SLAVE, wrong), None);
    }
}

#[test]
fn lying_storages_are_not_believed() {
    let download = |bytes: &[u8]| job(NORMAL, |_| {}).feed(bytes);
    let info = |bytes: &[u8]| job(NORMAL, |job| job.head = true).feed(bytes);
    let mut wrong_cmd = reply(11, 0);
    wrong_cmd[8] = 14;
    assert_eq!(download(&wrong_cmd), Step::Bad(Fault::Command(14)));
    assert_eq!(download(&reply(-1, 0)), Step::Bad(Fault::Negative));
    assert_eq!(download(&reply(i64::MIN, 0)), Step::Bad(Fault::Negative));
    assert_eq!(download(&reply(10, 0)), Step::Bad(Fault::Length { got: 10, want: 11 }));
    assert_eq!(download(&reply(i64::MAX, 0)), Step::Bad(Fault::Length { got: i64::MAX as u64, want: 11 }));
    assert_eq!(download(&reply(0, 22)), Step::Bad(Fault::Refused(22)));
    assert_eq!(download(&reply(11, 2)), Step::Bad(Fault::ErrorBody(2, 11)));
    assert_eq!(download(&reply(0, 2)), Step::Missing { consumed: 10 });
    assert_eq!(info(&info_reply(12, 0)), Step::Bad(Fault::Size { got: 12, want: 11 }));
    assert_eq!(info(&reply(41, 0)), Step::Bad(Fault::Info(41)));
    assert_eq!(info(&reply(i64::MAX, 0)), Step::Bad(Fault::Info(i64::MAX as u64)));
    assert_eq!(info(&[info_reply(11, 0), vec![0]].concat()), Step::Bad(Fault::Trailing));
    let appender = |bytes: &[u8]| job(APPENDER, |_| {}).feed(bytes);
    assert!(matches!(appender(&info_reply(u64::MAX, 0)), Step::Bad(Fault::Info(40))));
    assert!(matches!(appender(&info_reply(5, -1)), Step::Bad(Fault::Info(40))));
}

fn storage_record(id: &str, ip: &str, status: u8, port: i64) -> Vec<u8> {
    let mut record = vec![0; 487];
    record[0] = status;
    record[2..2 + id.len()].copy_from_slice(id.as_bytes());
    record[18..18 + ip.len()].copy_from_slice(ip.as_bytes());
    record[130..138].copy_from_slice(&port.to_be_bytes());
    record
}

#[test]
fn a_poll_learns_the_groups_and_their_members() {
    let mut poll = Poll::new(vec![group("group1")]);
    assert_eq!(poll.start()[8], cmd::LIST_ALL_GROUPS);
    let mut groups = reply(226, 0);
    for name in ["group1", "group2"] {
        let mut record = vec![0; 113];
        record[..name.len()].copy_from_slice(name.as_bytes());
        groups.extend(record);
    }
    assert_eq!(poll.feed(&groups[..100]), PollStep::More);
    let PollStep::Ask(request) = poll.feed(&groups) else { panic!() };
    assert_eq!((request[8], &request[10..16]), (cmd::LIST_STORAGE, &b"group1"[..]));
    let mut members = reply(3 * 487, 0);
    members.extend(storage_record("100001", "10.0.0.1", 7, 23000));
    members.extend(storage_record("100002", "10.0.0.2", 5, 23000));
    members.extend(storage_record("100003", "10.0.0.3", 4, 23000));
    let PollStep::Ask(_) = poll.feed(&members) else { panic!() };
    let PollStep::Done(peers) = poll.feed(&reply(0, 2)) else { panic!() };
    let known = peers.of(&group("group1")).unwrap();
    assert_eq!(known.len(), 2);
    assert_eq!((known[0].standing, known[1].standing), (Standing::Serving, Standing::Doubtful));
    assert!(peers.of(&group("group2")).is_none());

    let mut poll = Poll::new(vec![]);
    assert_eq!(poll.feed(&reply(i64::MAX, 0)), PollStep::Bad(PollFault::Length(i64::MAX)));
    assert_eq!(poll.feed(&reply(-5, 0)), PollStep::Bad(PollFault::Length(-5)));
}

proptest! {
    #[test]
    fn any_bytes_get_a_decision(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_any_bytes(&bytes);
    }

    #[test]
    fn near_ids_stay_inside_their_store(
        name in "/(group1|group2)?/?M0[0-2]/[0-9A-F.]{2}/[0-9A-F.]{2}/[A-Za-z0-9_./-]{0,140}"
    ) {
        check_any_bytes(name.as_bytes());
    }

    #[test]
    fn a_storage_never_makes_an_answer_longer_than_the_file(bytes in prop::collection::vec(any::<u8>(), 10..90)) {
        let mut bytes = bytes;
        bytes[8] = cmd::RESPONSE;
        bytes[9] = 0;
        for name in [NORMAL, APPENDER] {
            if let Step::Answer { consumed, body, answer } = job(name, |_| {}).feed(&bytes) {
                prop_assert!(consumed <= bytes.len());
                prop_assert!(body == 0 || Some(body) == answer.length());
                prop_assert!(name == APPENDER || answer.file.size == 11);
            }
        }
    }
}
