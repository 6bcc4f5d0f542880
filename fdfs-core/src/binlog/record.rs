//! One line of the binlog: `timestamp op name[ more]\n` (replication 2.2).

use std::fmt;

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// Created: upload, slave, new metadata.
    Create,
    /// Bytes appended: `name start length`.
    Append,
    /// Range overwritten: `name start length`.
    Modify,
    /// Truncated or extended: `name old_size new_size`.
    Truncate,
    /// Metadata overwritten.
    Update,
    /// Deleted.
    Delete,
    /// Symbolic link: `link source`.
    Link,
    /// Appender became a normal file: `new old`.
    Rename,
}

impl Op {
    const ALL: [(Self, u8); 8] = [
        (Self::Create, b'C'),
        (Self::Append, b'A'),
        (Self::Modify, b'M'),
        (Self::Truncate, b'T'),
        (Self::Update, b'U'),
        (Self::Delete, b'D'),
        (Self::Link, b'L'),
        (Self::Rename, b'R'),
    ];

    /// The upper-case letter.
    pub fn letter(self) -> u8 {
        Self::ALL.iter().find(|(op, _)| *op == self).map_or(b'?', |(_, letter)| *letter)
    }

    fn of(letter: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == letter).map(|(op, _)| *op)
    }
}

/// One line. Written in upper case by the member that a client talked to, in lower case by the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Seconds since 1970: the file's mtime, or the time of the change.
    pub timestamp: i64,
    /// What happened.
    pub op: Op,
    /// Whether it arrived from another member.
    pub replica: bool,
    /// Logic name that it is about.
    pub name: String,
    /// Everything behind the name.
    pub more: Option<String>,
}

/// Why a line is not a record. The line is stepped over, and said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// 256 bytes and more.
    #[error("a record has at most 255 bytes")]
    Long,
    /// Not text.
    #[error("a record is ASCII text")]
    Text,
    /// Fewer than three columns, or an empty one.
    #[error("a record has a time, a letter and a name")]
    Columns,
    /// Not a number.
    #[error("a record begins with its time in seconds")]
    Time,
    /// Not one of the letters.
    #[error("an unknown operation")]
    Op,
    /// More than 127 bytes behind the letter.
    #[error("the names of a record have at most 127 bytes")]
    Names,
}

impl Record {
    /// Longest line with its end, in bytes.
    pub const LINE_MAX: usize = 256;
    /// Longest text behind the letter, in bytes.
    pub const NAMES_MAX: usize = 127;

    /// Reads a line without its end.
    pub fn parse(line: &[u8]) -> Result<Self, BadRecord> {
        if line.len() >= Self::LINE_MAX {
            return Err(BadRecord::Long);
        }
        let text = std::str::from_utf8(line).ok().filter(|text| text.is_ascii()).ok_or(BadRecord::Text)?;
        let mut columns = text.splitn(3, ' ');
        let (Some(time), Some(letter), Some(names)) = (columns.next(), columns.next(), columns.next()) else {
            return Err(BadRecord::Columns);
        };
        let &[letter] = letter.as_bytes() else { return Err(BadRecord::Op) };
        if names.len() > Self::NAMES_MAX {
            return Err(BadRecord::Names);
        }
        let (name, more) = match names.split_once(' ') {
            Some((name, more)) => (name, Some(more.to_owned())),
            None => (names, None),
        };
        if name.is_empty() || names.contains(|c: char| c.is_ascii_control()) {
            return Err(BadRecord::Columns);
        }
        Ok(Self {
            timestamp: time.parse().map_err(|_| BadRecord::Time)?,
            op: Op::of(letter.to_ascii_uppercase()).ok_or(BadRecord::Op)?,
            replica: letter.is_ascii_lowercase(),
            name: name.to_owned(),
            more,
        })
    }

    /// The two numbers of an append, modify or truncate.
    pub fn range(&self) -> Option<(u64, u64)> {
        let (one, other) = self.more.as_deref()?.split_once(' ')?;
        Some((one.parse().ok()?, other.parse().ok()?))
    }

    /// The second name of a link or rename.
    pub fn source(&self) -> Option<&str> {
        match self.op {
            Op::Link | Op::Rename => self.more.as_deref(),
            _ => None,
        }
    }
}

/// The line with its end.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = char::from(self.op.letter());
        let letter = if self.replica { letter.to_ascii_lowercase() } else { letter };
        write!(f, "{} {letter} {}", self.timestamp, self.name)?;
        if let Some(more) = &self.more {
            write!(f, " {more}")?;
        }
        f.write_str("\n")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_every_kind() {
        for line in [
            "1795332974 C M00/00/00/Ck0AFWsCm26EXQA0AAAAAKaEx8Y393.txt",
            "1795332977 A M00/00/00/Ck0AFWsCm26EXQA0AAAAAKaEx8Y393.txt 10 5",
            "1795332993 d M00/00/00/Ck0AFWsCm32AEHtFAAAAC_3EqRQ870.txt-m",
            "1 R M00/00/00/a M00/00/00/b",
        ] {
            let record = Record::parse(line.as_bytes()).unwrap();
            assert_eq!(record.to_string(), format!("{line}\n"));
        }
        let append = Record::parse(b"1 A M00/00/00/x 10 5").unwrap();
        assert_eq!((append.range(), append.source()), (Some((10, 5)), None));
    }

    #[test]
    fn lines_that_are_none() {
        let bad = |line: &str| Record::parse(line.as_bytes()).unwrap_err();
        // What versions 6.13.0 to 6.16.1 write for links.
        assert_eq!(bad("1795332974 L  M00/00/00/x"), BadRecord::Columns);
        assert_eq!(bad("1795332974 l "), BadRecord::Columns);
        assert_eq!(bad("1795332974 C"), BadRecord::Columns);
        assert_eq!(bad("x C M00/00/00/x"), BadRecord::Time);
        assert_eq!(bad("1 X M00/00/00/x"), BadRecord::Op);
        assert_eq!(bad("1 CC M00/00/00/x"), BadRecord::Op);
        assert_eq!(bad(&format!("1 C {}", "x".repeat(128))), BadRecord::Names);
        assert_eq!(bad(&"1".repeat(256)), BadRecord::Long);
    }

    proptest! {
        #[test]
        fn any_line_gets_an_answer(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(record) = Record::parse(&line) {
                let again = record.to_string();
                prop_assert_eq!(Record::parse(again.trim_end_matches('\n').as_bytes()), Ok(record));
            }
        }
    }
}
