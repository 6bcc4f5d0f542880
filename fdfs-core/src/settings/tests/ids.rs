//! `storage_ids.conf`.

use super::*;
use crate::ident::{ReadWrite, StorageId};

fn entry(line: &str) -> StorageIdEntry {
    StorageIds::parse("ids", line).unwrap_or_else(|error| panic!("{error}")).0.entries.remove(0)
}

#[test]
fn lines_are_read() {
    let text = "# comment\r\n\n 100001  group1\t10.0.0.1 \r\n100002 group1 10.0.0.2 RW=ReadOnly\n100003 g2 storage3\n";
    let (ids, warnings) = StorageIds::parse("ids", text).unwrap();
    assert!(warnings.is_empty() && ids.entries.len() == 3 && !ids.has_ipv6());
    let first = ids.by_id(&StorageId::new(b"100001").unwrap()).unwrap();
    assert_eq!((first.number, first.group.as_str(), first.port_or_default()), (100_001, "group1", 23000));
    assert_eq!(first.at.to_string(), "ids:3");
    assert_eq!(ids.by_number(100_002).unwrap().rw, ReadWrite::Read);
    assert_eq!(ids.by_addr("10.0.0.2".parse().unwrap(), 5).unwrap().number, 100_002);
    assert!(ids.by_addr("10.0.0.9".parse().unwrap(), 5).is_none());
}

#[test]
fn addresses_have_many_forms() {
    for (host, hosts, port) in [
        ("1.2.3.4", vec!["1.2.3.4"], None),
        ("10.0.0.1:23001", vec!["10.0.0.1"], Some(23001)),
        ("8.8.8.8,10.0.0.1", vec!["10.0.0.1", "8.8.8.8"], None),
        ("[10.0.0.1,2001:0db8::0001]:23000", vec!["10.0.0.1", "2001:db8::1"], Some(23000)),
        ("[2001:db8::1]", vec!["2001:db8::1"], None),
        ("a.example,10.0.0.1:5", vec!["a.example", "10.0.0.1"], Some(5)),
    ] {
        let entry = entry(&format!("1 g {host}"));
        assert_eq!(
            (entry.hosts, entry.port),
            (hosts.iter().map(|host| host.to_string()).collect(), port),
            "{host}"
        );
    }
    let (ids, warnings) = StorageIds::parse("ids", "1 g [2001:db8::1,2001:db8::2]").unwrap();
    assert!(ids.has_ipv6() && warnings.first().unwrap().text.contains("of one kind"));
    let (ids, _) = StorageIds::parse("ids", "1 g 127.0.0.1:1\n2 g 127.0.0.1:2").unwrap();
    assert_eq!(ids.by_addr("127.0.0.1".parse().unwrap(), 2).unwrap().number, 2);
}

#[test]
fn modes() {
    for (option, mode) in [
        ("rw=none", ReadWrite::None),
        ("rw=read", ReadWrite::Read),
        ("rw=write", ReadWrite::Write),
        ("rw=writeonly", ReadWrite::Write),
        ("RW=ALL", ReadWrite::Both),
        ("", ReadWrite::Both),
    ] {
        assert_eq!(entry(&format!("1 g 10.0.0.1 {option}")).rw, mode, "{option}");
    }
}

#[test]
fn bad_lines_say_what_is_expected() {
    for (text, why) in [
        ("1 g", "expected ID GROUP ADDRESS"),
        ("0 g a", "expected a number 1..16777215"),
        ("01 g a", "expected a number 1..16777215"),
        ("16777216 g a", "expected a number 1..16777215"),
        ("1 g-1 a", "a group name has"),
        ("1 g 10.0.0.300", "expected ADDRESS"),
        ("1 g 10.1.2.33,2409:8a20::1", "expected ADDRESS"),
        ("1 g a:0", "expected ADDRESS"),
        ("1 g 10.0.0.1,10.0.0.1", "two different addresses"),
        ("1 g a #comment", "expected rw=none"),
        ("1 g a rw=both # comment", "at most one option"),
        ("1 g b\n1 g a", "storage id 1 is in line 1 already"),
        ("1 g a\n2 g b:5", "a port in every line or in none, as in line 1"),
        ("1 g a\n2 g a", "address a is in line 1 already"),
        ("1 g 2001:db8::1\n2 g [2001:db8:0::1]", "address 2001:db8::1 is in line 1 already"),
    ] {
        let error = StorageIds::parse("ids", text).unwrap_err();
        assert!(error.to_string().starts_with("ids:") && error.to_string().contains(why), "{text}: {error}");
        assert_eq!(error.exit_code(), 22);
    }
    let none = StorageIds::parse("ids", "# nothing\n").unwrap().0;
    assert_eq!(none.required("ids").unwrap_err().exit_code(), 2);
}

#[test]
fn long_group_names_are_cut() {
    let (ids, warnings) = StorageIds::parse("ids", "1 abcdefghijklmnopqrst a").unwrap();
    assert_eq!((ids.entries.first().unwrap().group.as_str(), warnings.len()), ("abcdefghijklmnop", 1));
}
