//! File ids: `group/Mpp/HH/HH/name` (protocol 5, storage 9).
//!
//! [`FileName`] is a checked logic name; [`Blob`] the twenty bytes behind its first 27 characters.

mod base64;
mod blob;
mod crc;
mod name;
mod split;

pub use self::base64::{decode27, encode27};
pub use blob::{Blob, Kind, Source, TrunkSlot};
pub use crc::{Crc32Legacy, crc32, crc32_legacy};
pub use name::{BadName, FileName, StorePath, slave_name};
pub use split::split_id;
