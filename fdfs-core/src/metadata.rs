//! A file's metadata: records `name 0x02 value` joined by 0x01, sorted by name (storage 6.5 and 11.6).

/// Between two records.
pub const RECORD: u8 = 1;
/// Between a name and its value.
pub const FIELD: u8 = 2;
/// Longest name in bytes; what is longer is cut.
pub const NAME_MAX: usize = 64;
/// Longest value in bytes; what is longer is cut.
pub const VALUE_MAX: usize = 256;

/// Names and values, sorted by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata(Vec<(Vec<u8>, Vec<u8>)>);

impl Metadata {
    /// Reads the text of a request or a file. Records without a separator are dropped; of equal names the last
    /// one counts. A single NUL, which one client sends for an empty set, is empty.
    pub fn parse(text: &[u8]) -> Self {
        let mut all = Vec::new();
        for record in text.split(|&byte| byte == RECORD) {
            let Some(at) = memchr::memchr(FIELD, record) else { continue };
            let (name, value) = record.split_at(at);
            let value = value.get(1..).unwrap_or_default();
            all.push((cut(name, NAME_MAX), cut(value, VALUE_MAX)));
        }
        let mut metadata = Self::default();
        metadata.add(all);
        metadata
    }

    /// Adds the records of `newer`; equal names get its values.
    pub fn merge(&mut self, newer: Self) {
        self.add(newer.0);
    }

    fn add(&mut self, newer: Vec<(Vec<u8>, Vec<u8>)>) {
        self.0.extend(newer);
        // Stable: of equal names the newest is last, and is the one that stays.
        self.0.sort_by(|one, other| one.0.cmp(&other.0));
        self.0.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                std::mem::swap(next, kept);
            }
            same
        });
    }

    /// Of these names and values.
    pub fn of(pairs: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let mut metadata = Self::default();
        let cut = |(name, value): (Vec<u8>, Vec<u8>)| (cut(&name, NAME_MAX), cut(&value, VALUE_MAX));
        metadata.add(pairs.into_iter().map(cut).collect());
        metadata
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// The text of the file.
    pub fn encode(&self) -> Vec<u8> {
        let records: Vec<Vec<u8>> =
            self.iter().map(|(name, value)| [name, &[FIELD], value].concat()).collect();
        records.join(&[RECORD][..])
    }
}

fn cut(text: &[u8], most: usize) -> Vec<u8> {
    text.get(..most).unwrap_or(text).to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sorted_and_the_last_counts() {
        let mut metadata = Metadata::parse(b"width\x02160\x01author\x02x\x01broken\x01width\x02170");
        assert_eq!(metadata.encode(), b"author\x02x\x01width\x02170");
        metadata.merge(Metadata::parse(b"height\x0280\x01author\x02y"));
        assert_eq!(metadata.encode(), b"author\x02y\x01height\x0280\x01width\x02170");
        assert!(Metadata::parse(b"\0").is_empty() && Metadata::parse(b"").is_empty());
    }

    #[test]
    fn long_ones_are_cut() {
        let text = [&[b'n'; 70][..], &[FIELD], &[b'v'; 300]].concat();
        assert_eq!(Metadata::parse(&text).encode().len(), 64 + 1 + 256);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(text in proptest::collection::vec(0u8..6, 0..200)) {
            let metadata = Metadata::parse(&text);
            prop_assert_eq!(&Metadata::parse(&metadata.encode()), &metadata);
            prop_assert!(metadata.0.is_sorted());
        }
    }
}
