//! When nothing happens: what became of the changes without an answer, and whether everything else is as the model says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use fdfs_core::fileid::FileName;
use fdfs_core::metadata::Metadata;

use super::client::{Client, Doubt, File, Kind};
use super::disk::{self, Entry};
use crate::raw::{self, Raw};

/// What lies at `base`, the store path of the member at `addr`, is what these clients left. Answers how many changes had no
/// answer.
pub fn settle(clients: &mut [Client], addr: SocketAddr, base: &Path) -> usize {
    let entries = disk::entries(base);
    let mut doubts = Vec::new();
    for (index, client) in clients.iter_mut().enumerate() {
        for doubt in std::mem::take(&mut client.doubts) {
            known_name(client, &doubt, &entries, base);
            doubts.push((index, doubt));
        }
    }
    let count = doubts.len();
    for (index, doubt) in doubts {
        unknown_name(clients, index, doubt, &entries, base);
    }
    for client in &*clients {
        client.files.keys().for_each(|name| check(client, name, &entries, base));
        for (name, _) in &client.gone {
            assert!(!entries.contains_key(name), "{name} was deleted and is there");
        }
    }
    let more = unexplained(clients, &entries);
    assert!(more.is_empty(), "nobody knows of {more:?}");
    assert_eq!(disk::leftovers(base), [""; 0]);
    // Some of it as a client sees it.
    let mut storage = Raw::connect(addr);
    for client in &*clients {
        for name in client.files.keys().take(3) {
            let answer = storage.ask(raw::DOWNLOAD, &raw::download(0, 0, "group1", name)).unwrap();
            match client.content_of(name) {
                Some(content) => assert!(answer.status == 0 && answer.body == *content, "download of {name}"),
                None => assert_eq!(answer.status, 2, "download of {name}"),
            }
        }
    }
    count
}

/// A change of a file whose name is known is there whole, or not at all.
fn known_name(client: &mut Client, doubt: &Doubt, entries: &BTreeMap<String, Entry>, base: &Path) {
    match doubt {
        Doubt::New(_) | Doubt::Regenerate(_) => {}
        Doubt::Slave(name, file) => {
            if entries.contains_key(name) {
                client.made_slave(name.clone(), file.clone());
            }
        }
        Doubt::Content(name, after) => {
            let found = std::fs::read(disk::path(base, name)).unwrap();
            let file = client.files.get_mut(name).unwrap();
            if found != file.content {
                assert!(
                    found == *after,
                    "{name}: {} bytes, neither before ({}) nor after ({}) a change",
                    found.len(),
                    file.content.len(),
                    after.len()
                );
                file.content = found;
            }
        }
        Doubt::Delete(name) => {
            if !entries.contains_key(name) {
                client.deleted(name.clone(), client.files[name].home);
            }
        }
        Doubt::Metadata(name, after) => {
            let found = metadata(base, name);
            let file = client.files.get_mut(name).unwrap();
            if found != file.metadata {
                assert_eq!(found, *after, "{name}: metadata neither before nor after a change");
                file.metadata = found;
            }
        }
    }
}

/// A change that makes a name which nobody was told: it is looked for among the names that nobody knows.
fn unknown_name(
    clients: &mut [Client],
    index: usize,
    doubt: Doubt,
    entries: &BTreeMap<String, Entry>,
    base: &Path,
) {
    match doubt {
        Doubt::New(file) => {
            let found = unknown(clients, entries).into_iter().find(|name| {
                let parsed = FileName::parse(name.as_bytes(), 1).unwrap();
                clients[index].is_of(&parsed, file.home) && is_new(name, &parsed, &file, entries, base)
            });
            if let Some(name) = found {
                clients[index].files.insert(name, file);
            }
        }
        Doubt::Regenerate(old) if !entries.contains_key(&old) => {
            let content = clients[index].files[&old].content.clone();
            let same = |name: &String| {
                let normal = FileName::parse(name.as_bytes(), 1).unwrap().describes_content();
                normal && std::fs::read(disk::path(base, name)).unwrap() == content
            };
            let new = unknown(clients, entries).into_iter().find(same);
            let new = new.unwrap_or_else(|| panic!("{old} is gone, and under no new name"));
            clients[index].renamed(&old, new);
        }
        _ => {}
    }
}

fn is_new(
    name: &str,
    parsed: &FileName,
    file: &File,
    entries: &BTreeMap<String, Entry>,
    base: &Path,
) -> bool {
    match (file.kind, &file.target) {
        (Kind::Link, Some(target)) => name.ends_with(".lnk") && entries[name] == Entry::Link(target.clone()),
        (kind, _) => {
            let fits = match kind {
                Kind::Appender => parsed.is_appender(),
                _ => parsed.describes_content() && !name.ends_with(".lnk") && !parsed.is_metadata(),
            };
            fits && std::fs::read(disk::path(base, name)).is_ok_and(|found| found == file.content)
        }
    }
}

/// Names that no client knows, those of links first; contents that a known link shows are no names of a client.
fn unknown(clients: &[Client], entries: &BTreeMap<String, Entry>) -> Vec<String> {
    let mut shown = BTreeSet::new();
    for (name, entry) in entries {
        if let Entry::Link(target) = entry
            && clients.iter().any(|client| client.files.contains_key(name))
        {
            shown.insert(target);
        }
    }
    let known = |name: &String| {
        let file = name.strip_suffix("-m").unwrap_or(name);
        clients.iter().any(|client| client.files.contains_key(file)) || shown.contains(name)
    };
    let mut found: Vec<String> = entries.keys().filter(|name| !known(name)).cloned().collect();
    found.sort_by_key(|name| entries[name] == Entry::File);
    found
}

fn unexplained(clients: &[Client], entries: &BTreeMap<String, Entry>) -> Vec<String> {
    unknown(clients, entries)
}

fn metadata(base: &Path, name: &str) -> Option<Metadata> {
    let text = std::fs::read(disk::path(base, &format!("{name}-m"))).ok()?;
    let found = Metadata::parse(&text);
    assert_eq!(found.encode(), text, "metadata of {name}");
    Some(found)
}

fn check(client: &Client, name: &str, entries: &BTreeMap<String, Entry>, base: &Path) {
    let file = &client.files[name];
    let entry = entries.get(name).unwrap_or_else(|| panic!("{name} is lost: {:?}", file.kind));
    match (&file.target, entry) {
        (Some(target), entry) => assert_eq!(*entry, Entry::Link(target.clone()), "{name}"),
        (None, Entry::Link(_)) => assert_eq!(file.kind, Kind::Normal, "{name} is a link"),
        (None, Entry::File) => {}
    }
    if let Some(content) = client.content_of(name) {
        let found = std::fs::read(disk::path(base, name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(found == *content, "{name}: {} bytes, not the {} that it had", found.len(), content.len());
    }
    assert_eq!(metadata(base, name), file.metadata, "metadata of {name}");
}
