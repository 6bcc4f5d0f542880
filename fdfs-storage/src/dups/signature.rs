//! What tells content from other content.

use md5::Md5;
use sha2::{Digest, Sha256};

/// Size, and 16 bytes of a digest. Equal signatures are a reason to compare, not more.
pub type Signature = [u8; 24];

/// Computes it from content in any pieces.
pub enum Signer {
    /// `file_signature_method = md5`.
    Md5(u64, Md5),
    /// `hash`.
    Sha256(u64, Sha256),
}

impl Signer {
    /// For a `file_signature_method`.
    pub fn new(method: &str) -> Self {
        match method {
            "md5" => Self::Md5(0, Md5::new()),
            _ => Self::Sha256(0, Sha256::new()),
        }
    }

    /// The next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(size, digest) => {
                *size += bytes.len() as u64;
                digest.update(bytes);
            }
            Self::Sha256(size, digest) => {
                *size += bytes.len() as u64;
                digest.update(bytes);
            }
        }
    }

    /// Of all pieces.
    pub fn finish(self) -> Signature {
        let mut signature = [0; 24];
        let (head, tail) = signature.split_at_mut(8);
        match self {
            Self::Md5(size, digest) => {
                head.copy_from_slice(&size.to_be_bytes());
                tail.copy_from_slice(&digest.finalize());
            }
            Self::Sha256(size, digest) => {
                head.copy_from_slice(&size.to_be_bytes());
                tail.copy_from_slice(&digest.finalize()[..16]);
            }
        }
        signature
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_matter() {
        for method in ["md5", "hash"] {
            let sign = |pieces: &[&[u8]]| {
                let mut signer = Signer::new(method);
                pieces.iter().for_each(|piece| signer.update(piece));
                signer.finish()
            };
            let whole = sign(&[b"dup content"]);
            assert_eq!(sign(&[b"dup", b"", b" content"]), whole);
            assert_ne!(sign(&[b"dup contents"]), whole);
            assert_eq!(whole[..8], 11u64.to_be_bytes());
        }
    }
}
