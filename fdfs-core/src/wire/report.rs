//! What storages tell trackers: join, heart beat, disk usage, sync negotiation (tracker 3).

use bytes::BufMut;
use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BadMessage, IpField, Text};

/// A server in 67 bytes: answers to beats, status reports (tracker 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct Brief {
    /// Number of [`crate::ident::StorageStatus`].
    pub status: u8,
    /// Port.
    pub port: I32,
    /// Id, empty for trackers that are known by address alone.
    pub id: Text<16>,
    /// Address.
    pub ip: IpField,
}

const _: () = assert!(size_of::<Brief>() == 67);

impl Brief {
    /// All zero: "none".
    pub const NONE: Self = Self { status: 0, port: I32::ZERO, id: Text::EMPTY, ip: Text::EMPTY };

    /// Reads a whole number of records, of 67 bytes, or of 37 as before version 6.11 (at most 32 of them: no length
    /// means both).
    pub fn parse_any(body: &[u8]) -> Result<Vec<Self>, BadMessage> {
        if !body.len().is_multiple_of(size_of::<Self>())
            && let Ok(old) = <[OldBrief]>::ref_from_bytes(body)
        {
            return Ok(old.iter().map(OldBrief::widen).collect());
        }
        Self::parse_list(body).map(<[Self]>::to_vec)
    }

    /// Reads a whole number of records.
    pub fn parse_list(body: &[u8]) -> Result<&[Self], BadMessage> {
        <[Self]>::ref_from_bytes(body)
            .map_err(|_| BadMessage::Length { got: body.len() as u64, want: "n x 67" })
    }
}

/// A server as versions before 6.11 write it, 37 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct OldBrief {
    status: u8,
    port: I32,
    id: Text<16>,
    ip: Text<16>,
}

const _: () = assert!(size_of::<OldBrief>() == 37);

impl OldBrief {
    fn widen(&self) -> Brief {
        Brief { status: self.status, port: self.port, id: self.id, ip: Text::cut(self.ip.bytes()) }
    }
}

/// Fixed part of JOIN (81), 145 bytes; the tracker lines follow (tracker 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct JoinHead {
    /// Group; the first 16 bytes count.
    pub group: Text<17>,
    /// Port of the storage.
    pub port: I64,
    /// Store paths.
    pub store_path_count: I64,
    /// Subdirectories per level.
    pub subdir_count: I64,
    /// Smaller is preferred; may be negative.
    pub upload_priority: I64,
    /// Time of the first start, s.
    pub join_time: I64,
    /// Time of this start, s.
    pub up_time: I64,
    /// Version text.
    pub version: Text<8>,
    /// 1 until the first sync negotiation is done.
    pub init_flag: u8,
    /// Status the storage believes it has; -1: do not create me.
    pub status: i8,
    /// Storage id, empty without ids.
    pub id: Text<16>,
    /// Address of this tracker as the storage dialled it.
    pub tracker_ip: IpField,
    /// Number of tracker lines.
    pub tracker_count: I64,
}

const _: () = assert!(size_of::<JoinHead>() == 145);

/// Bytes before the trackers in a JOIN of older versions (tracker 12). They hold an HTTP port and a domain name too; where is not
/// known, so that no such storage can join.
const OLD_JOINS: [(usize, &str); 4] = [
    (217, "form of JOIN: 217 bytes and trackers, of version 5; storages join since 6.13"),
    (233, "form of JOIN: 233 bytes and trackers, of 6.00 to 6.10; storages join since 6.13"),
    (279, "form of JOIN: 279 bytes and trackers, of 6.11; storages join since 6.13"),
    (281, "form of JOIN: 281 bytes and trackers, of 6.12; storages join since 6.13"),
];

/// Which older form a JOIN has: the number of trackers comes last, and they are 22 bytes each in version 5, then lines.
fn old_join(body: &[u8]) -> Option<BadMessage> {
    let is = |fixed: usize| {
        let (head, trackers) = body.split_at_checked(fixed)?;
        let count = usize::try_from(i64::from_be_bytes(*head.last_chunk()?)).ok()?;
        let lines = trackers.iter().filter(|byte| **byte == b'\n').count();
        let fits = if fixed == 217 { trackers.len() == 22 * count } else { lines == count };
        (fits && (1..=16).contains(&count)).then_some(())
    };
    OLD_JOINS.into_iter().find(|(fixed, _)| is(*fixed).is_some()).map(|(_, what)| BadMessage::Field(what))
}

impl JoinHead {
    /// Splits a JOIN body into its fixed part and the text of the tracker lines.
    pub fn parse(body: &[u8]) -> Result<(&Self, &[u8]), BadMessage> {
        if let Some(old) = old_join(body) {
            return Err(old);
        }
        let wrong = BadMessage::Length { got: body.len() as u64, want: "145 + tracker lines" };
        let (head, lines) = Self::ref_from_prefix(body).map_err(|_| wrong.clone())?;
        let count = head.tracker_count.get();
        if !(1..=16).contains(&count) {
            return Err(BadMessage::Field("tracker count"));
        }
        if lines.len() as u64 > 100 * count.unsigned_abs() {
            return Err(wrong);
        }
        Ok((head, lines))
    }
}

/// Answer of JOIN, 17 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct JoinAnswer {
    /// Status at this tracker.
    pub status: u8,
    /// Recorded sync source, empty for none.
    pub source_id: Text<16>,
}

const _: () = assert!(size_of::<JoinAnswer>() == 17);

/// Source of the old files and the time up to which they are old: 24 bytes of 86 to 88 and 79.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SyncSource {
    /// Id of the source, empty for none.
    pub source_id: Text<16>,
    /// Files up to this time belong to the full copy, s.
    pub until: I64,
}

const _: () = assert!(size_of::<SyncSource>() == 24);

/// Request of SYNC_SRC_REQ (86), 32 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SyncSrcRequest {
    /// Group.
    pub group: Text<16>,
    /// Member that may need a full copy.
    pub dest_id: Text<16>,
}

const _: () = assert!(size_of::<SyncSrcRequest>() == 32);

/// Space of one store path, 16 bytes of REPORT_DISK_USAGE (84).
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct PathUsage {
    /// Total MB.
    pub total_mb: I64,
    /// MB available to an ordinary user.
    pub free_mb: I64,
}

const _: () = assert!(size_of::<PathUsage>() == 16);

/// One entry of SYNC_REPORT (89), 20 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SyncedFrom {
    /// Source.
    pub source_id: Text<16>,
    /// Everything up to this time (source's clock, s) has arrived.
    pub timestamp: I32,
}

const _: () = assert!(size_of::<SyncedFrom>() == 20);

/// Request of REPORT_STATUS (76), 83 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StatusReport {
    /// Group.
    pub group: Text<16>,
    /// The member and its status.
    pub brief: Brief,
}

const _: () = assert!(size_of::<StatusReport>() == 83);

impl StatusReport {
    /// Reads the body: 83 bytes, or 53 as before version 6.11.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let wrong = BadMessage::Length { got: body.len() as u64, want: "83 or 53" };
        if let Ok(report) = Self::read_from_bytes(body) {
            return Ok(report);
        }
        let (group, brief) = Text::<16>::read_from_prefix(body).map_err(|_| wrong.clone())?;
        let brief = OldBrief::read_from_bytes(brief).map_err(|_| wrong)?.widen();
        Ok(Self { group, brief })
    }
}

/// Request of REPORT_IP_CHANGED (78), 108 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct IpChange {
    /// Group.
    pub group: Text<16>,
    /// Address before.
    pub old: IpField,
    /// Address now.
    pub new: IpField,
}

const _: () = assert!(size_of::<IpChange>() == 108);

impl IpChange {
    /// Reads the body: 108 bytes, or 48 as before version 6.11.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        if let Ok([group, old, new]) = <[Text<16>; 3]>::read_from_bytes(body) {
            return Ok(Self { group, old: Text::cut(old.bytes()), new: Text::cut(new.bytes()) });
        }
        let wrong = BadMessage::Length { got: body.len() as u64, want: "108 or 48" };
        Self::read_from_bytes(body).map_err(|_| wrong)
    }
}

/// News in the answers of 83, 84 and 89 (tracker 3.2). Followers send none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// New leader; [`Brief::NONE`] when there is none.
    pub leader: Option<Brief>,
    /// New trunk server; [`Brief::NONE`] when there is none.
    pub trunk_server: Option<Brief>,
    /// All members of the group, sorted by id.
    pub members: Option<Vec<Brief>>,
}

impl Changes {
    const LEADER: u8 = 1;
    const TRUNK: u8 = 2;
    const MEMBERS: u8 = 4;
    /// The most briefs an answer may hold: 32 members, leader and trunk server.
    pub const BRIEFS_MAX: usize = 34;

    /// Nothing new: the single byte 0.
    pub fn is_empty(&self) -> bool {
        self.leader.is_none() && self.trunk_server.is_none() && self.members.is_none()
    }

    /// Writes the body.
    pub fn put(&self, out: &mut impl BufMut) {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        out.put_u8(
            flag(self.leader.is_some(), Self::LEADER)
                | flag(self.trunk_server.is_some(), Self::TRUNK)
                | flag(self.members.is_some(), Self::MEMBERS),
        );
        for brief in self.leader.iter().chain(&self.trunk_server).chain(self.members.iter().flatten()) {
            out.put_slice(brief.as_bytes());
        }
    }

    /// Reads the body; an empty one says nothing new.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let Some((flags, rest)) = body.split_first() else { return Ok(Self::default()) };
        let mut briefs = Brief::parse_list(rest)?;
        if briefs.len() > Self::BRIEFS_MAX {
            return Err(BadMessage::Length { got: body.len() as u64, want: "at most 1 + 34 x 67" });
        }
        let mut next = |bit: u8| -> Result<Option<Brief>, BadMessage> {
            if flags & bit == 0 {
                return Ok(None);
            }
            let (first, rest) = briefs.split_first().ok_or(BadMessage::Field("change flags"))?;
            briefs = rest;
            Ok(Some(*first))
        };
        let leader = next(Self::LEADER)?;
        let trunk_server = next(Self::TRUNK)?;
        let members = (flags & Self::MEMBERS != 0).then(|| briefs.to_vec());
        Ok(Self { leader, trunk_server, members })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn join_offsets() {
        use std::mem::offset_of;
        assert_eq!(offset_of!(JoinHead, upload_priority), 41);
        assert_eq!(offset_of!(JoinHead, init_flag), 73);
        assert_eq!(offset_of!(JoinHead, id), 75);
        assert_eq!(offset_of!(JoinHead, tracker_ip), 91);
        assert_eq!(offset_of!(JoinHead, tracker_count), 137);
    }

    #[test]
    fn requests_of_old_versions() {
        let brief =
            Brief { status: 7, port: 23000.into(), id: Text::cut(b"100001"), ip: Text::cut(b"10.0.0.1") };
        let old =
            OldBrief { status: 7, port: 23000.into(), id: Text::cut(b"100001"), ip: Text::cut(b"10.0.0.1") };
        let group = Text::<16>::cut(b"group1");
        for bytes in [brief.as_bytes(), old.as_bytes()] {
            let report = StatusReport::parse(&[group.raw(), bytes].concat()).unwrap();
            assert_eq!((report.group, report.brief), (group, brief));
            for count in [1, 2, 32] {
                assert_eq!(Brief::parse_any(&bytes.repeat(count)).unwrap(), vec![brief; count]);
            }
            assert!(Brief::parse_any(&bytes[1..]).is_err());
            assert!(StatusReport::parse(bytes).is_err());
        }
        assert_eq!(Brief::parse_any(&[]), Ok(vec![]));
        let change = IpChange { group, old: Text::cut(b"10.0.0.1"), new: Text::cut(b"10.0.0.2") };
        assert_eq!(IpChange::parse(change.as_bytes()), Ok(change));
        let short: [Text<16>; 3] = [group, Text::cut(b"10.0.0.1"), Text::cut(b"10.0.0.2")];
        assert_eq!(IpChange::parse(short.as_bytes()), Ok(change));
        assert!(IpChange::parse(&[0; 49]).is_err());
    }

    #[test]
    fn join_bounds_its_tracker_lines() {
        let mut body = vec![0; 145 + 100];
        body[144] = 1;
        assert_eq!(JoinHead::parse(&body).unwrap().1.len(), 100);
        body.push(0);
        assert!(JoinHead::parse(&body).is_err());
        body[144] = 0;
        assert!(JoinHead::parse(&body).is_err());
        assert!(JoinHead::parse(&[0; 144]).is_err());
    }

    #[test]
    fn joins_of_old_versions_are_named() {
        for (fixed, trackers, version) in [
            (217, vec![b'1'; 2 * 22], "of version 5;"),
            (233, b"10.0.0.1:22122\n10.0.0.2:22122\n".to_vec(), "of 6.00 to 6.10;"),
            (279, b"10.0.0.1:22122\n10.0.0.2:22122\n".to_vec(), "of 6.11;"),
            (281, b"10.0.0.1:22122\n10.0.0.2:22122\n".to_vec(), "of 6.12;"),
        ] {
            // Whatever lies where the number of trackers lies now.
            for other in [0, 1, 2] {
                let mut body = vec![0; fixed];
                body[144] = other;
                body[fixed - 1] = 2;
                body.extend_from_slice(&trackers);
                let Err(BadMessage::Field(what)) = JoinHead::parse(&body) else { panic!("{fixed}") };
                assert!(what.contains(version) && what.contains(&fixed.to_string()), "{fixed}: {what}");
            }
        }
    }

    #[test]
    fn changes_round_trip() {
        let brief =
            Brief { status: 7, port: 23000.into(), id: Text::cut(b"100001"), ip: Text::cut(b"10.0.0.1") };
        for changes in [
            Changes::default(),
            Changes { leader: Some(Brief::NONE), ..Changes::default() },
            Changes { members: Some(vec![brief, brief]), ..Changes::default() },
            Changes { leader: Some(brief), trunk_server: Some(brief), members: Some(vec![]) },
        ] {
            let mut out = Vec::new();
            changes.put(&mut out);
            assert_eq!(Changes::parse(&out).unwrap(), changes);
        }
        assert!(Changes::parse(&[1]).is_err());
        assert!(Changes::parse(&[4, 0]).is_err());
        assert_eq!(Changes::parse(&[]).unwrap(), Changes::default());
    }
}
