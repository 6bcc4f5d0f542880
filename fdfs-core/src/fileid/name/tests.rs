use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::super::{Source, crc32};
use super::*;

fn name(text: &str) -> FileName {
    FileName::parse(text.as_bytes(), 256).unwrap()
}

/// Worked examples of protocol 5.9: name, source, timestamp, size, crc, kind.
#[test]
fn worked_examples_decode() {
    let ip = |a, b, c, d| Source::Ip(Ipv4Addr::new(a, b, c, d));
    let rows = [
        (
            "M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg",
            ip(192, 168, 1, 207),
            1_528_901_661,
            18235,
            0xbc7a_e423,
            Kind::Normal,
        ),
        (
            "M00/00/00/wKgB0FshMB2AIBQXAABHO7x65CM071.jpg",
            ip(192, 168, 1, 208),
            1_528_901_661,
            18235,
            0xbc7a_e423,
            Kind::Normal,
        ),
        (
            "M00/00/00/fwAAFWsCnHKAMyWJAAAACw1KEYU158.txt",
            ip(127, 0, 0, 21),
            0x6b02_9c72,
            11,
            0x0d4a_1185,
            Kind::Normal,
        ),
        (
            "M00/00/00/fwAAFWsCnHKAKv2vAAAACw1KEYU.tar.gz",
            ip(127, 0, 0, 21),
            0x6b02_9c72,
            11,
            0x0d4a_1185,
            Kind::Normal,
        ),
        (
            "M00/00/00/fwAAFWsCnHKAAm7aAAAACw1KEYU8646138",
            ip(127, 0, 0, 21),
            0x6b02_9c72,
            11,
            0x0d4a_1185,
            Kind::Normal,
        ),
        (
            "M00/00/00/fwAAFWsCnJ6EWml9AAAAADYQpoY591.txt",
            ip(127, 0, 0, 21),
            0x6b02_9c9e,
            0,
            0x3610_a686,
            Kind::Appender,
        ),
        (
            "M00/00/00/fwAAFWsCnKCALB9lAAAAFFiUnhc591.txt",
            ip(127, 0, 0, 21),
            0x6b02_9ca0,
            20,
            0x5894_9e17,
            Kind::Normal,
        ),
        (
            "M00/50/67/oYYBAGsCnTGAETNyABAAABU7nDI667.txt",
            Source::Id(100_001),
            0x6b02_9d31,
            1_048_576,
            0x153b_9c32,
            Kind::Normal,
        ),
        (
            "M00/55/61/oYYBAGsCnTCIFRNxAAAAZF4OXY8AAAAAQAAAgAAAAEA411.txt",
            Source::Id(100_001),
            0x6b02_9d30,
            100,
            0x5e0e_5d8f,
            Kind::Trunk,
        ),
    ];
    for (text, source, timestamp, size, crc, kind) in rows {
        let name = name(text);
        let blob = name.blob().unwrap();
        assert_eq!(
            (blob.source, blob.timestamp, blob.size(), blob.crc32, blob.kind()),
            (source, timestamp, size, crc, kind),
            "{text}"
        );
        assert_eq!(name.to_string(), text);
        assert!(!name.is_slave());
        assert_eq!(name.is_appender(), kind == Kind::Appender);
        assert_eq!(super::super::encode27(&blob.encode()), name.file_part()[..27]);
    }
}

#[test]
fn slaves_that_look_normal() {
    for (text, certain) in [
        ("M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg", true),
        ("M00/00/00/CkIAFWsCn3KAO61UAAALuI_6wY0.tar.gz", true),
        ("M00/00/00/CkIAFWsCn2CAc_NUAAAQAK8Xsgs1585363", true),
        // Prefixes `_big`, `_b` and `-1` without extension.
        ("M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887_big", false),
        ("M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887_b", false),
        ("M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887-1.a", false),
    ] {
        let name = name(text);
        assert!(name.is_normal(), "{text}");
        assert_eq!(name.describes_content(), certain, "{text}");
    }
}

#[test]
fn trunk_slots_and_slaves_of_trunk_files() {
    let trunk = name("M00/55/61/oYYBAGsCnTCIFRNxAAAAZF4OXY8AAAAAQAAAgAAAAEA411.txt");
    let slot = trunk.trunk_slot().unwrap();
    assert_eq!(slot, TrunkSlot { file: 1, offset: 512, size: 256 });
    assert_eq!(slot.encode(), trunk.file_part()[27..43]);
    let slave = name("M00/55/61/oYYBAGsCnTCITxrrAAAABTYQpoYAAAAAQAKwAAAAAEA767_s.jpg");
    assert!(slave.is_slave() && !slave.is_normal());
    assert_eq!(slave.trunk_slot(), Some(TrunkSlot { file: 1, offset: 0xac000, size: 256 }));
    assert_eq!(name("M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg").trunk_slot(), None);
}

#[test]
fn names_that_are_refused() {
    let rows: [(&[u8], BadName); 12] = [
        (b"M00/00/00/", BadName::Length),
        (b"M00/00/00", BadName::Length),
        (&[b'a'; 128], BadName::Length),
        (b"Mxx/00/00/abc", BadName::Path),
        (b"M0x/00/00/abc", BadName::Path),
        (b"M02/00/00/abc", BadName::NoSuchPath),
        (b"M00/0a/00/abc", BadName::Directories),
        (b"M00/00/00/a/c", BadName::Directories),
        (b"M00/../00/abc", BadName::Directories),
        (b"M00/00/00/..", BadName::FilePart),
        (b"M00/00/00/a\0c", BadName::FilePart),
        (b"group1/M00/00/00/abc", BadName::Directories),
    ];
    for (text, why) in rows {
        assert_eq!(FileName::parse(text, 2), Err(why), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn old_names_and_lower_case_paths_are_read() {
    let old = name("00/0C/wKgBz1shMB2Abls1AABHO7x65CM887.jpg");
    assert_eq!((old.path().index(), old.dir()), (0, (0, 12)));
    let lower = FileName::parse(b"M0a/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg", 11).unwrap();
    assert_eq!(lower.path().index(), 10);
    assert_eq!(lower.logic(), "M0A/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg");
}

#[test]
fn slave_names() {
    let master = name("M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg");
    let ext = |text: &[u8]| Extension::new(text).unwrap();
    let make = |prefix: &[u8], e: &[u8]| slave_name(&master, prefix, ext(e)).map(|n| n.logic());
    assert_eq!(make(b"_small", b"jpg").unwrap(), "M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887_small.jpg");
    assert_eq!(make(b"-150x150", b".png").unwrap(), "M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887-150x150.png");
    assert_eq!(make(b"_noext", b"").unwrap(), "M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887_noext");
    for (prefix, e) in [(&b""[..], &b"jpg"[..]), (b"-m", b""), (b"a/b", b"jpg"), (b"12345678901234567", b"")]
    {
        assert_eq!(make(prefix, e), Err(BadName::Slave));
    }
    assert_eq!(make(b"-m", b"jpg").unwrap().len(), 46);
    let long = name(&format!("M00/00/00/{}", "x".repeat(110)));
    assert_eq!(slave_name(&long, b"_12345678", ext(b"")), Err(BadName::Length));
}

#[test]
fn metadata_names() {
    let file = name("M00/00/00/wKgBz1shMB2Abls1AABHO7x65CM887.jpg");
    let meta = file.metadata().unwrap();
    assert!(meta.is_metadata() && !file.is_metadata());
    assert_eq!(meta.logic(), format!("{file}-m"));
    assert_eq!(name(&format!("M00/00/00/{}", "x".repeat(116))).metadata(), None);
}

#[test]
fn tails_are_seven_characters() {
    let blob = Blob::new(Source::Id(1), 1, Kind::Normal, 1, 1, 1);
    let path = StorePath::default();
    for ext in ["", "a", "txt", "tar.gz"] {
        let made =
            FileName::generate(path, (0, 0xFF), &blob, Extension::new(ext.as_bytes()).unwrap(), 1_234_567);
        assert_eq!(made.logic_len(), FileName::ORDINARY);
        assert!(made.logic().starts_with("M00/00/FF/"));
        assert!(ext.is_empty() || made.logic().ends_with(&format!(".{ext}")));
    }
}

proptest! {
    #[test]
    fn generated_names_decode_to_what_they_were_made_of(
        id in 1_u32..=Source::ID_MAX, timestamp: u32, size in 0_u64..1 << 58, crc: u32, random: u32, digits: u32,
        dir: (u8, u8), index: u8, ext in "[a-zA-Z0-9_-]{0,6}", appender: bool,
    ) {
        let kind = if appender { Kind::Appender } else { Kind::Normal };
        let blob = Blob::new(Source::Id(id), timestamp, kind, size, crc, random);
        let path = StorePath::new(index, 256).unwrap();
        let made = FileName::generate(path, dir, &blob, Extension::new(ext.as_bytes()).unwrap(), digits);
        let read = FileName::parse(made.logic().as_bytes(), 256).unwrap();
        prop_assert_eq!(read, made);
        prop_assert_eq!(read.dir(), dir);
        let back = read.blob().unwrap();
        prop_assert_eq!(back, blob);
        prop_assert_eq!(back.kind(), kind);
        if kind == Kind::Normal { prop_assert_eq!(back.size(), size); }
        prop_assert_eq!(read.is_normal(), !appender);
    }

    #[test]
    fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200), paths in 0_usize..257) {
        if let Ok(name) = FileName::parse(&bytes, paths) {
            prop_assert!(name.path().index() < paths);
            prop_assert!(!name.file_part().contains(&b'/') && name.file_part() != b"..");
            let _ = (name.blob(), name.trunk_slot(), name.is_slave(), name.metadata(), name.logic());
        }
    }
}

/// Every id of the captured clusters decodes to what the file-info command said.
#[test]
fn captured_ids_decode() {
    let Some(dir) = crate::testing::vectors() else { return };
    let mut seen = 0;
    for set in ["plain", "ids-trunk", "multi"] {
        let text = std::fs::read_to_string(dir.join(set).join("ids.jsonl")).unwrap();
        for line in text.lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let id = row["id"].as_str().unwrap();
            let (_, logic) = super::super::split_id(id).unwrap();
            let name = name(logic);
            let blob = name.blob().unwrap();
            let bytes: String = blob.encode().iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(row["name_bytes"].as_str(), Some(bytes.as_str()), "{id}");
            let kind = match row["kind"].as_str().unwrap() {
                k if k.contains("slave") => "slave",
                k if k.contains("appender") => "appender",
                _ => "normal",
            };
            let answered = row["status"] == 0;
            if kind == "normal"
                && name.is_normal()
                && answered
                && !row["kind"].as_str().unwrap().contains("link")
            {
                assert_eq!(row["size"].as_u64(), Some(blob.size()), "{id}");
                assert_eq!(row["crc32"].as_u64(), Some(blob.crc32.into()), "{id}");
            }
            seen += 1;
        }
    }
    assert!(seen > 100);
    assert_eq!(crc32(b"hello world"), 0x0d4a_1185);
}

#[test]
fn names_that_a_log_could_not_carry() {
    for part in ["two words.txt", "line\nend", "nul\0", "t\u{e4}xt.jpg", "\x7f"] {
        let text = format!("M00/00/00/{part:_<12}");
        assert_eq!(FileName::parse(text.as_bytes(), 1), Err(BadName::FilePart), "{text:?}");
    }
    assert_eq!(FileName::parse(b"50/E5/E\x85\x85\x85\x85\x85", 1), Err(BadName::FilePart));
}
