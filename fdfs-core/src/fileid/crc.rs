//! CRC32 of content, and the variant of FastDFS before 5.12 (protocol 5.4).

/// The zlib CRC32, as in every id written since 5.12.
pub fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// CRC32 with an arithmetic shift of a signed register, as ids from before 5.12 carry it.
pub fn crc32_legacy(bytes: &[u8]) -> u32 {
    let mut crc = Crc32Legacy::default();
    crc.update(bytes);
    crc.finish()
}

/// The same in pieces.
#[derive(Debug, Clone, Copy)]
pub struct Crc32Legacy(i32);

impl Default for Crc32Legacy {
    fn default() -> Self {
        Self(-1)
    }
}

impl Crc32Legacy {
    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |register, byte| {
            let index = usize::from(register.to_le_bytes()[0] ^ byte);
            TABLE.get(index).copied().unwrap_or_default().cast_signed() ^ (register >> 8)
        });
    }

    /// The value of all bytes so far.
    pub fn finish(self) -> u32 {
        !self.0.cast_unsigned()
    }
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_variants_match_the_published_values() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"hello world"), 0x0d4a_1185);
        assert_eq!(crc32_legacy(b"123456789"), 0x206a_f85b);
        assert_eq!(crc32_legacy(b"hello world"), 0x03fd_3389);
        assert_eq!((crc32(b""), crc32_legacy(b"")), (0, 0));
    }
}
