//! The mark that ties a store path to its storage (storage 6.4).

use std::net::IpAddr;

/// What is in a mark: address, port, path index and time in 56 bytes, as base64 without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathMark(pub String);

impl PathMark {
    /// A new one.
    pub fn new(ip: IpAddr, port: u16, index: u8, unix_secs: u32) -> Self {
        use base64::Engine;
        let mut bytes = [0u8; 56];
        let text = ip.to_string();
        for (to, from) in bytes.iter_mut().take(45).zip(text.bytes()) {
            *to = from;
        }
        bytes[46..48].copy_from_slice(&port.to_le_bytes());
        bytes[48] = index;
        bytes[52..56].copy_from_slice(&unix_secs.to_le_bytes());
        Self(ENGINE.encode(bytes))
    }

    /// The text of `.fastdfs_vars`.
    pub fn file(&self) -> String {
        format!("store_path_mark={}\n", self.0)
    }

    /// Reads `.fastdfs_vars`.
    pub fn parse_file(text: &str) -> Option<Self> {
        let line = text.lines().filter_map(|line| line.split_once('=')).find(|(key, _)| key.trim() == KEY)?;
        let mark = line.1.trim();
        (!mark.is_empty()).then(|| Self(mark.to_owned()))
    }
}

const KEY: &str = "store_path_mark";
const ENGINE: base64::engine::GeneralPurpose =
    base64::engine::GeneralPurpose::new(&base64::alphabet::URL_SAFE, base64::engine::general_purpose::NO_PAD);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_have_75_characters() {
        let mark = PathMark::new([10, 77, 0, 21].into(), 23000, 0, 1_795_332_974);
        assert_eq!(mark.0.len(), 75);
        assert_eq!(PathMark::parse_file(&mark.file()), Some(mark));
        assert_eq!(PathMark::parse_file("store_path_mark=\n"), None);
        assert_eq!(PathMark::parse_file("sto"), None);
    }
}
