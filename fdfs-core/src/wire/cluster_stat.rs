//! Statistics of trackers, storages and groups: commands 96, 97 and 98 (protocol 3.8).

use bytes::BufMut;
use zerocopy::byteorder::big_endian::{I32, I64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BadMessage, Text};

/// One tracker in the answer of 96, 90 bytes; a count of one byte stands before the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct TrackerStat {
    /// `ip:port` or `[ip6]:port`.
    pub host: Text<52>,
    /// 1 for the leader.
    pub is_leader: u8,
    /// 1 when it pinged the leader within 3 s.
    pub is_active: u8,
    /// Connections allocated, open now, and the most that were open.
    pub connections: [I32; 3],
    /// Version text.
    pub version: Text<8>,
    /// Start, Unix s.
    pub up_time: I64,
    /// Last ping of a follower, Unix s.
    pub last_heartbeat: I64,
}

/// One storage in the answer of 97, 106 bytes; `use storage id 1 | use trunk 1 | count 4` stand before the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct StorageStat {
    /// Id, or address without storage ids.
    pub id: Text<16>,
    /// `ip:port`.
    pub host: Text<52>,
    /// 1 for the trunk server of its group.
    pub is_trunk_server: u8,
    /// Status number.
    pub status: u8,
    /// Connections allocated, open now, and the most that were open.
    pub connections: [I32; 3],
    /// Version text.
    pub version: Text<8>,
    /// Start, Unix s.
    pub up_time: I64,
    /// Last beat, Unix s.
    pub last_heartbeat: I64,
}

/// One group in the answer of 98, 59 bytes; `use trunk 1 | count 4` stand before the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct VolumeStat {
    /// Group name.
    pub name: Text<17>,
    /// MB in all.
    pub total_mb: I64,
    /// MB free.
    pub free_mb: I64,
    /// MB kept free.
    pub reserved_mb: I64,
    /// MB that uploads may take.
    pub available_mb: I64,
    /// MB free inside trunk files.
    pub trunk_free_mb: I64,
    /// 1 while the disks take uploads.
    pub disk_available: u8,
    /// 1 while trunk files take uploads.
    pub trunk_available: u8,
}

const _: () = assert!(size_of::<TrackerStat>() == 90);
const _: () = assert!(size_of::<StorageStat>() == 106);
const _: () = assert!(size_of::<VolumeStat>() == 59);

/// Answer of 97.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageStats {
    /// Storage ids are in use.
    pub storage_ids: bool,
    /// Trunk files are in use.
    pub trunk: bool,
    /// The storages.
    pub storages: Vec<StorageStat>,
}

/// Answer of 98.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeStats {
    /// Trunk files are in use.
    pub trunk: bool,
    /// The groups.
    pub volumes: Vec<VolumeStat>,
}

impl TrackerStat {
    /// Reads the answer of 96.
    pub fn parse_all(body: &[u8]) -> Result<Vec<Self>, BadMessage> {
        let wrong = wrong(body, "1 + n x 90");
        let (count, rest) = body.split_first().ok_or_else(|| wrong.clone())?;
        records(rest, usize::from(*count), wrong)
    }

    /// Writes the answer of 96.
    pub fn put_all(all: &[Self], out: &mut impl BufMut) {
        out.put_u8(u8::try_from(all.len()).unwrap_or(u8::MAX));
        out.put_slice(all.as_bytes());
    }
}

impl StorageStats {
    /// Reads the answer.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let wrong = wrong(body, "6 + n x 106");
        let (&[ids, trunk], rest) = body.split_first_chunk::<2>().ok_or_else(|| wrong.clone())?;
        let (count, rest) = counted(rest, &wrong)?;
        Ok(Self { storage_ids: ids != 0, trunk: trunk != 0, storages: records(rest, count, wrong)? })
    }

    /// Writes the answer.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_slice(&[self.storage_ids.into(), self.trunk.into()]);
        out.put_i32(i32::try_from(self.storages.len()).unwrap_or(i32::MAX));
        out.put_slice(self.storages.as_bytes());
    }
}

impl VolumeStats {
    /// Reads the answer.
    pub fn parse(body: &[u8]) -> Result<Self, BadMessage> {
        let wrong = wrong(body, "5 + n x 59");
        let (trunk, rest) = body.split_first().ok_or_else(|| wrong.clone())?;
        let (count, rest) = counted(rest, &wrong)?;
        Ok(Self { trunk: *trunk != 0, volumes: records(rest, count, wrong)? })
    }

    /// Writes the answer.
    pub fn put(&self, out: &mut impl BufMut) {
        out.put_u8(self.trunk.into());
        out.put_i32(i32::try_from(self.volumes.len()).unwrap_or(i32::MAX));
        out.put_slice(self.volumes.as_bytes());
    }
}

fn wrong(body: &[u8], want: &'static str) -> BadMessage {
    BadMessage::Length { got: body.len() as u64, want }
}

fn counted<'a>(body: &'a [u8], wrong: &BadMessage) -> Result<(usize, &'a [u8]), BadMessage> {
    let (count, rest) = body.split_first_chunk::<4>().ok_or_else(|| wrong.clone())?;
    let count = usize::try_from(i32::from_be_bytes(*count)).map_err(|_| wrong.clone())?;
    Ok((count, rest))
}

fn records<T: FromBytes + Immutable + KnownLayout + Unaligned + Copy>(
    body: &[u8],
    count: usize,
    wrong: BadMessage,
) -> Result<Vec<T>, BadMessage> {
    match <[T]>::ref_from_bytes(body) {
        Ok(all) if all.len() == count => Ok(all.to_vec()),
        _ => Err(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_lengths_agree() {
        let volume = VolumeStat::read_from_bytes(&[1; 59]).unwrap();
        let mut body = vec![1, 0, 0, 0, 1];
        body.extend_from_slice(volume.as_bytes());
        assert_eq!(VolumeStats::parse(&body).unwrap().volumes, [volume]);
        assert!(VolumeStats::parse(&body[..body.len() - 1]).is_err());
        body[1] = 0xFF;
        assert!(VolumeStats::parse(&body).is_err());
        assert!(VolumeStats::parse(&[]).is_err());
        assert_eq!(StorageStats::parse(&[1, 0, 0, 0, 0, 0]).unwrap().storages, []);
        assert!(StorageStats::parse(&[1, 0, 0, 0, 0, 1]).is_err());
        assert_eq!(TrackerStat::parse_all(&[0]).unwrap(), []);
        assert!(TrackerStat::parse_all(&[2]).is_err());
    }
}
