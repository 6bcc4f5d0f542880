//! What holds at any time, and what holds when everything has arrived.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Sum, sum};
use super::world::{World, parse};

/// Files that were looked at and never change: member, its start, name.
pub type Seen = BTreeSet<(usize, String)>;

/// Nothing acknowledged is gone from its source, and no file is there in part.
pub fn always(world: &mut World, seen: &mut Seen) {
    let mut wrong = Vec::new();
    for (name, file) in &world.model.files {
        let home = &world.members[file.home];
        let Some(content) = world.model.certain(name).filter(|_| !home.empty) else { continue };
        match std::fs::read(home.path(name)) {
            Ok(found) if found[..] == content[..] => {}
            Ok(found) => wrong.push(format!(
                "member {} has {} bytes of {name}, and acknowledged {}",
                file.home,
                found.len(),
                content.len()
            )),
            Err(error) => wrong.push(format!("member {} has lost {name}: {error}", file.home)),
        }
    }
    for (at, member) in world.members.iter().enumerate() {
        for (name, path) in member.tree() {
            let blob = parse(&name).filter(|name| name.describes_content()).and_then(|name| name.blob());
            let Some(blob) = blob else { continue };
            if !seen.insert((at, name.clone())) {
                continue;
            }
            let found = std::fs::read(&path).map(|content| sum(&content)).ok();
            if found != Some((blob.size(), blob.crc32)) {
                wrong.push(format!("member {at} shows {name} with {found:?}"));
            }
        }
    }
    for text in wrong {
        world.history.fail(text);
    }
}

/// All members that were started have the same, and it is what the clients were told.
pub fn agree(world: &mut World) {
    let trees: BTreeMap<usize, BTreeMap<String, Sum>> = world
        .members
        .iter()
        .enumerate()
        .filter(|(_, member)| member.started)
        .map(|(at, member)| {
            let read = |path| std::fs::read(path).map(|content| sum(&content)).unwrap_or_default();
            (at, member.tree().into_iter().map(|(name, path)| (name, read(path))).collect())
        })
        .collect();
    let mut names: BTreeSet<&String> = world.model.files.keys().collect();
    names.extend(trees.values().flat_map(BTreeMap::keys));
    let mut wrong = Vec::new();
    for name in names {
        let found: Vec<(usize, Option<Sum>)> =
            trees.iter().map(|(at, tree)| (*at, tree.get(name).copied())).collect();
        let same = found.windows(2).all(|two| two[0].1 == two[1].1);
        if same && found.iter().all(|(_, found)| world.model.allows(name, *found)) {
            continue;
        }
        let may: Option<Vec<Option<Sum>>> = world
            .model
            .files
            .get(name)
            .map(|file| file.may.iter().map(|content| content.as_deref().map(sum)).collect());
        wrong.push(format!("the members differ in {name}: {found:?}, the clients were told {may:?}"));
        if wrong.len() <= 3 {
            for (at, member) in world.members.iter().enumerate() {
                wrong.push(format!("member {at} has logged {:?}", member.records(name)));
            }
        }
    }
    // The first is the reason; it comes last, so that what was logged stands before it.
    for text in wrong.iter().skip(1) {
        world.history.note(text);
    }
    if let Some(first) = wrong.into_iter().next() {
        world.history.fail(first);
    }
}
