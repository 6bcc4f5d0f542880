//! What each peer of a storage does not have yet: command 208, of this implementation's storages only.
//!
//! Request: empty. Answer: the storage's clock, Unix s in 8 bytes, then one record of 260 bytes per peer. Error: 22 wrong length; the
//! existing storage, which knows no such command, answers 22 too.

use bytes::BufMut;
use zerocopy::byteorder::big_endian::{I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{BadMessage, Text};

/// One peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct LagRecord {
    /// Id, or address without storage ids.
    pub peer: Text<16>,
    /// 1 while changes flow to it.
    pub connected: u8,
    /// 1 while it gets its first, full copy.
    pub full_copy: u8,
    /// Zero.
    pub spare: [u8; 2],
    /// Changes that it refused and that are tried again.
    pub aside: U32,
    /// Records of the log that it does not have.
    pub records: U64,
    /// Their bytes in the log.
    pub log_bytes: U64,
    /// Bytes of content that were sent and are not confirmed.
    pub content_bytes: U64,
    /// Time of the oldest of those records, Unix s; 0: there is none.
    pub oldest: I64,
    /// Why replication was interrupted or a change refused last, in words; empty: nothing is wrong.
    pub error: Text<204>,
}

const _: () = assert!(size_of::<LagRecord>() == 260);

/// Writes an answer.
pub fn put(out: &mut impl BufMut, now: i64, records: &[LagRecord]) {
    out.put_i64(now);
    out.put_slice(records.as_bytes());
}

/// Reads a whole answer.
pub fn parse(body: &[u8]) -> Result<(i64, Vec<LagRecord>), BadMessage> {
    let bad = || BadMessage::Length { got: body.len() as u64, want: "8 + n x 260" };
    let (now, rest) = body.split_first_chunk::<8>().ok_or_else(bad)?;
    let records = <[LagRecord]>::ref_from_bytes(rest).map_err(|_| bad())?;
    Ok((i64::from_be_bytes(*now), records.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_round_trip_and_others_are_refused() {
        let record = LagRecord {
            peer: Text::cut(b"100001"),
            connected: 1,
            full_copy: 0,
            spare: [0; 2],
            aside: U32::new(2),
            records: U64::new(3),
            log_bytes: U64::new(180),
            content_bytes: U64::new(4096),
            oldest: I64::new(1_795_000_000),
            error: Text::cut(b"the peer refuses it"),
        };
        let mut out = Vec::new();
        put(&mut out, 1_795_000_005, &[record, record]);
        assert_eq!(parse(&out).unwrap(), (1_795_000_005, vec![record, record]));
        for len in [0, 7, 9, 267, 269] {
            assert!(parse(&vec![0; len]).is_err(), "{len}");
        }
    }
}
