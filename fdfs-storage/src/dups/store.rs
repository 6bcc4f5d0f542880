//! A table of keys and values on disk whose changes wait for no disk.
//!
//! A change is one write(2) to a journal and an entry in memory. [`Store::save`] brings the entries to the table, on a
//! thread that may wait, and removes the journal. What a killed process had not saved is read from the journal.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadableDatabase, TableDefinition};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("equal content");
const FILE: &str = "index.redb";
const JOURNAL: &str = "changes.";
/// Memory for pages of the table.
const CACHE: usize = 16 << 20;
/// Entries that may wait in memory. With more the disk of the table is in trouble.
const WAITING: usize = 200_000;
/// Bytes of a journal's entry before its content: length and crc.
const HEAD: usize = 8;

/// A key and its value; none: removed.
pub type Change = (Vec<u8>, Option<Vec<u8>>);
type Entries = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The table.
pub struct Store {
    dir: PathBuf,
    table: Database,
    state: Mutex<State>,
    /// Held while the table is written.
    saving: Mutex<()>,
}

struct State {
    /// In the journal, and not in `older`.
    fresh: Entries,
    /// On the way to the table.
    older: Arc<Entries>,
    journal: File,
    number: u64,
    /// Its length when its last entry was whole.
    len: u64,
    torn: bool,
}

impl Store {
    /// Whether there is one.
    pub fn exists(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// Opens it with what a killed process left. One that cannot be read is put aside, and it is empty.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let (table, new) = open_table(dir)?;
        let journals = journals(dir)?;
        let (mut entries, mut whole) = (Entries::new(), 0);
        // Without the table that it changes a journal says nothing.
        for (_, path) in journals.iter().filter(|_| !new) {
            whole += replay(path, &mut entries)?;
        }
        if whole > 0 {
            tracing::info!(changes = whole, "index of equal content: took what was not saved");
        }
        write(&table, &entries)?;
        for (_, path) in &journals {
            fs::remove_file(path)?;
        }
        let number = journals.last().map_or(0, |(number, _)| number + 1);
        let journal = File::options().create(true).append(true).open(journal(dir, number))?;
        let state =
            State { fresh: Entries::new(), older: Arc::default(), journal, number, len: 0, torn: false };
        Ok(Self { dir: dir.to_owned(), table, state: Mutex::new(state), saving: Mutex::new(()) })
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        {
            let state = self.lock();
            if let Some(value) = state.fresh.get(key).or_else(|| state.older.get(key)) {
                return Ok(value.clone());
            }
        }
        // What left memory before that look is in the table by now.
        let read = self.table.begin_read().map_err(other)?;
        let table = read.open_table(TABLE).map_err(other)?;
        let value = table.get(key).map_err(other)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// Makes changes, all or none of them.
    pub fn apply(&self, changes: Vec<Change>) -> io::Result<()> {
        let entry = encode(&changes)?;
        let mut state = self.lock();
        if state.fresh.len() >= WAITING {
            return Err(io::Error::other("too many changes wait for the disk"));
        }
        if state.torn {
            state.journal.set_len(state.len)?;
            state.torn = false;
        }
        if let Err(error) = state.journal.write_all(&entry) {
            state.torn = state.journal.set_len(state.len).is_err();
            return Err(error);
        }
        state.len += entry.len() as u64;
        state.fresh.extend(changes);
        Ok(())
    }

    /// Keys with this first byte and their values, in the table and in memory.
    pub fn all(&self, first: u8) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
        self.save()?;
        let read = self.table.begin_read().map_err(other)?;
        let table = read.open_table(TABLE).map_err(other)?;
        let (from, to) = ([first], [first + 1]);
        let range = table.range::<&[u8]>(&from[..]..&to[..]).map_err(other)?;
        range
            .map(|row| row.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())).map_err(other))
            .collect()
    }

    /// Whether something waits to be saved.
    pub fn is_dirty(&self) -> bool {
        let state = self.lock();
        !state.fresh.is_empty() || !state.older.is_empty()
    }

    /// Brings all changes to the table and to the disk. Others go on meanwhile.
    pub fn save(&self) -> io::Result<()> {
        let _alone = self.saving.lock().unwrap_or_else(PoisonError::into_inner);
        let (entries, before) = {
            let mut state = self.lock();
            // What could not be saved the last time is kept, with what came since.
            if state.older.is_empty() {
                if state.fresh.is_empty() {
                    return Ok(());
                }
                let number = state.number + 1;
                state.journal = File::options().create(true).append(true).open(journal(&self.dir, number))?;
                (state.number, state.len, state.torn) = (number, 0, false);
                state.older = Arc::new(std::mem::take(&mut state.fresh));
            }
            (Arc::clone(&state.older), state.number)
        };
        write(&self.table, &entries)?;
        self.lock().older = Arc::default();
        for (number, path) in journals(&self.dir)? {
            if number < before {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the table; `true` when there was none that can be read.
fn open_table(dir: &Path) -> io::Result<(Database, bool)> {
    let path = dir.join(FILE);
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_repair_callback(|_| {
        tracing::warn!("index of equal content: it was not closed, all of it is checked");
    });
    let there = path.exists();
    if there {
        match builder.open(&path) {
            Ok(table) => {
                // Made and never written.
                let begun = table.begin_read().map_err(other)?.open_table(TABLE).is_ok();
                return Ok((table, !begun));
            }
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => {
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "another process has it open"));
            }
            Err(error) => {
                let aside = dir.join("index.redb.unreadable");
                fs::rename(&path, &aside)?;
                tracing::error!(%error, kept = %aside.display(), "index of equal content: it cannot be read and is made anew");
            }
        }
    }
    let table = builder.create(&path).map_err(other)?;
    Ok((table, true))
}

/// One transaction, on the disk when it returns.
fn write(table: &Database, entries: &Entries) -> io::Result<()> {
    let mut write = table.begin_write().map_err(other)?;
    // A start after a kill does not read all of the table.
    write.set_quick_repair(true);
    {
        let mut table = write.open_table(TABLE).map_err(other)?;
        for (key, value) in entries {
            match value {
                Some(value) => drop(table.insert(&key[..], &value[..]).map_err(other)?),
                None => drop(table.remove(&key[..]).map_err(other)?),
            }
        }
    }
    write.commit().map_err(other)
}

fn journal(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{JOURNAL}{number}"))
}

/// All journals in order.
fn journals(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(number) =
            name.and_then(|name| name.strip_prefix(JOURNAL)).and_then(|text| text.parse().ok())
        {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Entry of a journal: length and crc of what follows; per change length of the key, key, length of the value plus one
/// (0: removed), value.
fn encode(changes: &[Change]) -> io::Result<Vec<u8>> {
    let mut out = vec![0; HEAD];
    let number = |len: usize| u16::try_from(len).map_err(|_| io::Error::other("too long"));
    for (key, value) in changes {
        out.extend(number(key.len())?.to_be_bytes());
        out.extend(key);
        let len = value.as_ref().map_or(Ok(0), |value| number(value.len() + 1))?;
        out.extend(len.to_be_bytes());
        out.extend(value.iter().flatten());
    }
    let len = u32::try_from(out.len() - HEAD).map_err(io::Error::other)?;
    let crc = crc32fast::hash(&out[HEAD..]);
    out[..4].copy_from_slice(&len.to_be_bytes());
    out[4..HEAD].copy_from_slice(&crc.to_be_bytes());
    Ok(out)
}

/// Takes the whole entries of a journal; the last one may be torn.
fn replay(path: &Path, into: &mut Entries) -> io::Result<u64> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    let (mut left, mut whole) = (&bytes[..], 0);
    while let Some((changes, rest)) = decode(left) {
        into.extend(changes);
        left = rest;
        whole += 1;
    }
    if !left.is_empty() {
        tracing::warn!(file = %path.display(), bytes = left.len(), "index of equal content: a torn change is left out");
    }
    Ok(whole)
}

fn decode(bytes: &[u8]) -> Option<(Vec<Change>, &[u8])> {
    let (len, bytes) = bytes.split_first_chunk::<4>()?;
    let (crc, bytes) = bytes.split_first_chunk::<4>()?;
    let (mut left, rest) = bytes.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
    if crc32fast::hash(left) != u32::from_be_bytes(*crc) || left.is_empty() {
        return None;
    }
    let mut changes = Vec::new();
    while !left.is_empty() {
        let (len, more) = left.split_first_chunk::<2>()?;
        let (key, more) = more.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
        let (len, more) = more.split_first_chunk::<2>()?;
        let value = match u16::from_be_bytes(*len) {
            0 => None,
            len => Some(more.split_at_checked(usize::from(len - 1))?.0.to_vec()),
        };
        left = &more[value.as_ref().map_or(0, Vec::len)..];
        changes.push((key.to_vec(), value));
    }
    Some((changes, rest))
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Change {
        (key.into(), Some(value.into()))
    }

    fn open(dir: &Path) -> Store {
        Store::open(dir).unwrap()
    }

    fn get(store: &Store, key: &str) -> Option<String> {
        store.get(key.as_bytes()).unwrap().map(|value| String::from_utf8(value).unwrap())
    }

    fn files(dir: &Path) -> Vec<String> {
        let mut all: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        all.sort();
        all
    }

    #[test]
    fn what_was_not_saved_is_there_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        {
            let store = open(dir.path());
            assert!(!store.is_dirty());
            store.apply(vec![put("l1", "a"), put("l2", "")]).unwrap();
            store.save().unwrap();
            assert!(!store.is_dirty());
            store.apply(vec![put("l3", "c"), ("l1".into(), None)]).unwrap();
            assert_eq!((get(&store, "l1"), get(&store, "l2")), (None, Some(String::new())));
        }
        {
            let store = open(dir.path());
            let all = store.all(b'l').unwrap();
            assert_eq!(all, [(b"l2".to_vec(), vec![]), (b"l3".to_vec(), b"c".to_vec())]);
            assert_eq!(get(&store, "l1"), None);
        }
        assert_eq!(files(dir.path()), ["changes.2", "index.redb"]);
    }

    #[test]
    fn a_torn_journal_gives_what_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        {
            let store = open(dir.path());
            for n in 0..3 {
                store.apply(vec![put(&format!("k{n}"), "v"), put(&format!("m{n}"), "v")]).unwrap();
            }
        }
        let journal = dir.path().join("changes.0");
        let whole = fs::read(&journal).unwrap();
        for cut in 0..whole.len() {
            let copy = tempfile::tempdir().unwrap();
            fs::copy(dir.path().join(FILE), copy.path().join(FILE)).unwrap();
            fs::write(copy.path().join("changes.7"), &whole[..cut]).unwrap();
            let store = open(copy.path());
            for n in 0..3 {
                let there = (n + 1) * whole.len() / 3 <= cut;
                assert_eq!(get(&store, &format!("k{n}")).is_some(), there, "cut at {cut}");
                assert_eq!(get(&store, &format!("m{n}")).is_some(), there, "cut at {cut}");
            }
        }
        let mut bent = whole.clone();
        bent[whole.len() / 2] ^= 1;
        assert!(decode(&bent[whole.len() / 3..]).is_none());
    }

    #[test]
    fn a_table_that_is_none_is_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"no table at all").unwrap();
        let store = open(dir.path());
        store.apply(vec![put("k", "v")]).unwrap();
        store.save().unwrap();
        assert_eq!(files(dir.path()), ["changes.1", "index.redb", "index.redb.unreadable"]);
    }
}
