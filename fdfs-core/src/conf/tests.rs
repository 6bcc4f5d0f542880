//! A test per habit of the classic form (tracker 9.1), and properties of the reader.

use std::fs;
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn env() -> Env {
    let ips: Vec<IpAddr> = ["10.1.2.3", "203.0.113.9", "192.168.7.8", "2001:db8::5"]
        .iter()
        .map(|ip| ip.parse().unwrap())
        .collect();
    Env { local_ips: Some(ips), host: Some("storage-1".into()) }
}

/// Reads text whose includes are `files`.
fn read_with(text: &str, files: &[(&str, &str)]) -> Result<(Ini, Vec<Warning>), ConfError> {
    parse("main.conf", text, &env(), &mut |_, name| match files.iter().find(|(file, _)| *file == name) {
        Some((name, text)) => Ok(Included { name: (*name).into(), text: (*text).into() }),
        None => Err(ConfError::Read { path: name.into(), source: std::io::ErrorKind::NotFound.into() }),
    })
}

fn ini(text: &str) -> Ini {
    read_with(text, &[]).unwrap().0
}

fn error(text: &str) -> String {
    read_with(text, &[]).unwrap_err().to_string()
}

fn warnings(text: &str) -> Vec<String> {
    read_with(text, &[]).unwrap().1.iter().map(Warning::to_string).collect()
}

fn all(ini: &Ini, section: &str, key: &str) -> Vec<String> {
    ini.all(section, key).map(|entry| entry.value.clone()).collect()
}

#[test]
fn lines_are_trimmed_and_split_at_the_first_sign() {
    let ini = ini("\u{feff}a=1\r\n \t b \t=\t two words \r\n c = x = y # no comment\nd =\n;e = 5\n");
    for (key, value) in [("a", "1"), ("b", "two words"), ("c", "x = y # no comment"), ("d", ""), (";e", "5")]
    {
        assert_eq!(ini.get(GLOBAL, key).unwrap().value, value, "{key}");
    }
    let place = ini.get(GLOBAL, "c").unwrap().at.to_string();
    assert_eq!(place, "main.conf:3");
    assert_eq!(ini.place_of(GLOBAL).to_string(), "main.conf:5");
}

#[test]
fn comments_and_lines_without_a_key_are_skipped() {
    let text = "# a = 1\n   #b = 2\n#includes.conf = 3\n\nno sign\n= 4\nA = 5\n";
    let ini = ini(text);
    assert_eq!(ini.sections().iter().map(|section| section.entries.len()).sum::<usize>(), 1);
    assert!(ini.get(GLOBAL, "a").is_none(), "keys are case-sensitive");
    let warnings = warnings(text);
    assert!(warnings.first().unwrap().starts_with("main.conf:5: \"no sign\" is ignored"), "{warnings:?}");
    assert!(warnings.get(1).unwrap().starts_with("main.conf:6: a value without a key"), "{warnings:?}");
}

#[test]
fn the_last_of_several_counts_and_lists_keep_their_order() {
    let ini = ini("port = 1\ntracker_server = b\ntracker_server = a\nport = 2\n");
    assert_eq!(ini.get(GLOBAL, "port").unwrap().value, "2");
    assert_eq!(all(&ini, GLOBAL, "tracker_server"), ["b", "a"]);
}

#[test]
fn sections_open_close_and_merge() {
    let ini = ini("a = 1\n[ one ]\na = 2\n[]\nb = 3\n[two]\na = 4\n[one]\na = 5\n[one\n");
    assert_eq!(all(&ini, GLOBAL, "a"), ["1"]);
    assert_eq!(all(&ini, GLOBAL, "b"), ["3"]);
    assert_eq!(all(&ini, "one", "a"), ["2", "5"]);
    assert_eq!(ini.place_of("one").to_string(), "main.conf:2");
    assert_eq!(ini.sections().len(), 3);
}

#[test]
fn long_keys_and_values_are_cut() {
    let (key, value) = ("k".repeat(70), "v".repeat(300));
    let text = format!("{key} = {value}\n");
    let ini = ini(&text);
    assert_eq!(ini.get(GLOBAL, &"k".repeat(63)).unwrap().value.len(), 255);
    assert_eq!(warnings(&text).len(), 2);
    // Never inside a character.
    let umlauts = "ä".repeat(200);
    assert_eq!(self::ini(&format!("a = {umlauts}")).get(GLOBAL, "a").unwrap().value, "ä".repeat(127));
}

#[test]
fn includes_reset_the_section_before_and_after() {
    let (ini, _) = read_with(
        "[s]\n#INCLUDE\tsub.conf\nb = 2\n#include file://other.conf\n",
        &[
            ("sub.conf", "a = 1\n[s]\nc = 3\n#include deep.conf\nd = 4\n"),
            ("deep.conf", "e = 5\n"),
            ("other.conf", "f = 6"),
        ],
    )
    .unwrap();
    for (key, at) in [("a", "sub.conf:1"), ("b", "main.conf:3"), ("d", "sub.conf:5"), ("e", "deep.conf:1")] {
        assert_eq!(ini.get(GLOBAL, key).unwrap().at.to_string(), at);
    }
    assert!(ini.get(GLOBAL, "f").is_some());
    assert_eq!(all(&ini, "s", "c"), ["3"]);
}

#[test]
fn includes_that_cannot_be_followed_say_why() {
    assert_eq!(
        error("\n#include gone.conf"),
        "main.conf:2: #include gone.conf: gone.conf: cannot be read: entity not found"
    );
    for url in ["http://h/x.conf", "HTTPS://h/x.conf"] {
        assert!(error(&format!("#include {url}")).contains("not fetched over HTTP"));
    }
    let looped =
        read_with("#include a", &[("a", "#include b"), ("b", "\n#include a")]).unwrap_err().to_string();
    assert_eq!(looped, "b:2: #include a: the file includes itself");
    let deep: Vec<(String, String)> =
        (0..20).map(|n| (format!("f{n}"), format!("#include f{}", n + 1))).collect();
    let deep: Vec<(&str, &str)> = deep.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    assert!(read_with("#include f0", &deep).unwrap_err().to_string().contains("nested too deep"));
    // Twice is no loop.
    assert_eq!(
        all(&read_with("#include a\n#include a", &[("a", "k = 1")]).unwrap().0, GLOBAL, "k"),
        ["1", "1"]
    );
}

#[test]
fn conditions_choose_lines() {
    for (condition, holds) in [
        ("%{LOCAL_IP} in [10.1.2.3]", true),
        ("%{LOCAL_IP} in [10.9.9.9, 203.0.113.9]", true),
        ("%{LOCAL_IP} in [10.0.0.0/8]", true),
        ("%{LOCAL_IP} in [172.16.0.0/12,10.2.0.0/16]", false),
        ("%{LOCAL_IP} in [2001:db8::/32]", true),
        ("%{LOCAL_HOST} IN [storage-2,storage-1]", true),
        ("%{LOCAL_HOST} in [storage]", false),
        ("%{role} in [big,small]", true),
        ("%{role} in [small]", false),
    ] {
        let ini = ini(&format!("#@set role = big\n#@if {condition}\na = 1\n#@else\na = 0\n#@endif\nb = 2"));
        assert_eq!(ini.get(GLOBAL, "a").unwrap().value == "1", holds, "{condition}");
        assert_eq!(ini.get(GLOBAL, "b").unwrap().at.line, 7);
    }
    for (text, why) in [
        ("#@if", "expected #@if"),
        ("#@if %{x} in [1]\n#@endif", "not set"),
        ("#@if %{LOCAL_IP} in [10.0.0]\n#@endif", "expected an IP address"),
        ("#@if %{LOCAL_IP} in [10.0.0.0/33]\n#@endif", "expected an IP address"),
        ("#@if %{LOCAL_HOST} in [a]", "without #@endif"),
        ("#@else", "without #@if"),
        ("#@endif", "without #@if"),
        ("#@if %{LOCAL_HOST} in [a]\n#@if %{LOCAL_HOST} in [a]\n", "inside #@if"),
        ("#@if %{LOCAL_HOST} in [a]\n#@else\n#@else\n#@endif", "without #@if"),
    ] {
        assert!(error(text).contains(why), "{text}: {}", error(text));
    }
    let many = vec!["1.2.3.4"; 33].join(",");
    assert!(error(&format!("#@if %{{LOCAL_IP}} in [{many}]\n#@endif")).contains("at most 32"));
    let unknown =
        parse("m", "#@if %{LOCAL_IP} in [1.2.3.4]\n#@endif", &Env::default(), &mut |_, _| unreachable!());
    assert!(unknown.unwrap_err().to_string().contains("not known to this program"));
}

#[test]
fn loops_repeat_lines() {
    let ini = ini(
        "#@for i from 0 to 2\nstore_path{$i} = /data/{$i}\n#@endfor\n#@for n from 5 TO 1 STEP -2\nx = {$n}\n#@endfor",
    );
    assert_eq!(ini.get(GLOBAL, "store_path2").unwrap().value, "/data/2");
    assert_eq!(ini.get(GLOBAL, "store_path2").unwrap().at.line, 2);
    assert_eq!(all(&ini, GLOBAL, "x"), ["5", "3", "1"]);
    for (text, why) in [
        ("#@for i from 1 to 2\na = 1", "without #@endfor"),
        ("#@for i from 1 to\n#@endfor", "expected #@for"),
        ("#@for i from 1 to 2 step 0\n#@endfor", "expected #@for"),
        ("#@for i from 1 to 2\n#@for j from 1 to 2\n#@endfor\n#@endfor", "inside #@for"),
        ("#@endfor", "without #@for"),
        ("#@for i from 0 to 9000000000\na = {$i}\n#@endfor", "more than 4 MiB"),
        ("#@for i from 0 to 9000000000\n#@endfor", "more than 4 MiB"),
    ] {
        assert!(error(text).contains(why), "{text}: {}", error(text));
    }
}

#[test]
fn functions_change_the_next_value() {
    let text = "#@set a = 1\n#@set b = %{a}2\n#@function REPLACE_VARS\nx = <%{b}%{no}%{LOCAL_HOST}>\ny = %{b}\n\
                #@function LOCAL_IP_GET\nin = inner\n#@function LOCAL_IP_GET\nfirst = private[0]\n\
                #@function local_ip_get\nlast = inner[-1]\n#@function LOCAL_IP_GET\nout = outer[0]\n\
                #@function REPLACE_VARS\n# between\nz = %{b}";
    let ini = ini(text);
    for (key, values) in [
        ("x", &["<12%{no}storage-1>"][..]),
        ("y", &["%{b}"]),
        ("in", &["10.1.2.3", "192.168.7.8"]),
        ("first", &["10.1.2.3"]),
        ("last", &["192.168.7.8"]),
        ("out", &["203.0.113.9"]),
        ("z", &["%{b}"]),
    ] {
        assert_eq!(all(&ini, GLOBAL, key), values, "{key}");
    }
    for bad in ["inner[2]", "inner[x]", "inner[-2]"] {
        assert!(
            error(&format!("#@function LOCAL_IP_GET\nk = {bad}")).starts_with("main.conf:2: k = "),
            "{bad}"
        );
    }
}

#[test]
fn nothing_is_run() {
    let text = "#@set a = $(id)\n#@function SHELL_EXEC\nx = id\n#@function REPLACE_VARS\ny = <%{a}>\n\
                #@add_annotation X lib.so\n#@strange\n";
    let ini = ini(text);
    assert_eq!(ini.get(GLOBAL, "x").unwrap().value, "id");
    assert_eq!(ini.get(GLOBAL, "y").unwrap().value, "<>");
    let warnings = warnings(text);
    assert_eq!(warnings.len(), 4, "{warnings:?}");
}

#[test]
fn variables_do_not_grow_without_bound() {
    let mut text = String::from("#@set a = xxxxxxxxxxxxxxxx\n");
    text.push_str(&"#@set a = %{a}%{a}%{a}%{a}\n".repeat(500));
    text.push_str("#@function REPLACE_VARS\nx = %{a}");
    assert_eq!(ini(&text).get(GLOBAL, "x").unwrap().value.len(), 255);
}

#[test]
fn files_are_read_from_the_folder_of_the_main_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("sub")).unwrap();
    fs::write(path("main.conf"), "#include sub/one.conf\n#include two.conf\n").unwrap();
    fs::write(path("sub/one.conf"), "a = 1\n#include two.conf\n#include three.conf\n").unwrap();
    fs::write(path("two.conf"), b"b = 2\n# GBK: \xd6\xd0\n").unwrap();
    fs::write(path("sub/three.conf"), b"c = \xd6\n").unwrap();
    let (ini, warnings) = load(&path("main.conf"), &Env::default()).unwrap();
    assert_eq!(all(&ini, GLOBAL, "b"), ["2", "2"]);
    assert_eq!(all(&ini, GLOBAL, "a"), ["1"]);
    assert!(ini.get(GLOBAL, "c").is_some(), "beside the including file");
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(warning.text.contains("not UTF-8"));
    let gone = load(&path("gone.conf"), &Env::default()).unwrap_err();
    assert_eq!(gone.exit_code(), 2);
    assert!(gone.to_string().contains("gone.conf: cannot be read"));
    assert!(load(dir.path(), &Env::default()).is_err());
}

#[test]
fn toml_becomes_the_same_keys() {
    let text = "port = 0x10\nbuff_size = \"256KB\"\non = true\nat = 02:30:00\n\"a.b\" = 1.5\n\
                tracker_server = [\n  \"a\",\n  \"b\",\n]\n[error-log]\nx = 1\n[http]\nserver_port = 80\n\
                anti_steal.check_token = true\n";
    let (ini, _) = parse_toml("c.toml", text).unwrap();
    for (section, key, value, line) in [
        (GLOBAL, "port", "16", 1),
        (GLOBAL, "buff_size", "256KB", 2),
        (GLOBAL, "on", "true", 3),
        (GLOBAL, "at", "02:30:00", 4),
        (GLOBAL, "a.b", "1.5", 5),
        (GLOBAL, "tracker_server", "b", 8),
        ("error-log", "x", "1", 11),
        (GLOBAL, "http.server_port", "80", 13),
        (GLOBAL, "http.anti_steal.check_token", "true", 14),
    ] {
        let entry = ini.get(section, key).unwrap_or_else(|| panic!("{key}"));
        assert_eq!((entry.value.as_str(), entry.at.line), (value, line), "{key}");
    }
    assert_eq!(ini.place_of("error-log").line, 10);
    for (text, why) in [
        ("a = \n", "c.toml:1: "),
        ("\na = [[1]]\n", "c.toml:2: a: expected a list"),
        ("a = 99999999999999999999", "c.toml:1: "),
        ("a = 1\na = 2\n", "c.toml:2: duplicate"),
    ] {
        let error = parse_toml("c.toml", text).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }
    let deep = format!("{}a = 1", "x.".repeat(100_000));
    assert!(parse_toml("c.toml", &deep).is_err());
    let deep = format!("[{}a]\nb = 1", "x.".repeat(100_000));
    assert!(parse_toml("c.toml", &deep).is_err());
}

/// Pieces of which odd files are made.
fn odd_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("#@if %{LOCAL_IP} in [10.0.0.0/8]\n".to_owned()),
        Just("#@else\n".to_owned()),
        Just("#@endif\n".to_owned()),
        Just("#@for i from 0 to 3\n".to_owned()),
        Just("#@endfor\n".to_owned()),
        Just("#@set a = %{a}%{b}\n".to_owned()),
        Just("#@function LOCAL_IP_GET\n".to_owned()),
        Just("#@function REPLACE_VARS\n".to_owned()),
        Just("#include a\n".to_owned()),
        Just("[error-log]\n".to_owned()),
        Just("[".to_owned()),
        Just(" = ".to_owned()),
        "\\PC{0,20}",
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

/// Sections with the keys and values that the classic form can hold.
fn plain_ini() -> impl Strategy<Value = Ini> {
    let key = "[a-zA-Z_][a-zA-Z0-9_. -]{0,20}[a-z]";
    let value = "([!-~]([ -~]{0,40}[!-~])?)?";
    let entries = proptest::collection::vec((key, value), 0..6);
    (entries.clone(), proptest::collection::vec(("[a-z]{1,8}", entries), 0..4)).prop_map(
        |(global, sections)| {
            let mut ini = Ini::new("main.conf");
            let at = Origin { file: "main.conf".into(), line: 0 };
            for (name, entries) in std::iter::once((String::new(), global)).chain(sections) {
                let index = ini.open(&name, at.clone());
                for (key, value) in entries {
                    ini.push(index, Entry { key, value, at: at.clone(), in_array: false });
                }
            }
            ini
        },
    )
}

fn without_places(ini: &Ini) -> Vec<(String, Vec<(String, String)>)> {
    ini.sections()
        .iter()
        .map(|section| {
            let entries = section.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone()));
            (section.name.clone(), entries.collect())
        })
        .collect()
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in odd_text(), file in odd_text()) {
        let _ = read_with(&text, &[("a", &file)]);
        let _ = parse_toml("c.toml", &text);
    }

    #[test]
    fn what_is_printed_reads_back(ini in plain_ini()) {
        let (again, warnings) = read_with(&ini.to_string(), &[]).unwrap();
        prop_assert_eq!(without_places(&again), without_places(&ini));
        prop_assert_eq!(warnings, vec![]);
        let twice = read_with(&again.to_string(), &[]).unwrap().0;
        prop_assert_eq!(without_places(&twice), without_places(&ini));
    }
}
