//! Base64 with `-` and `_`, no padding written (protocol 5.1).

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

// Ids of other writers may leave bits in the last character; they still name the file.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// 20 bytes as 27 characters.
pub fn encode27(bytes: &[u8; 20]) -> [u8; 27] {
    let mut out = [0; 27];
    // The sizes fit each other by definition of base64.
    let written = ENGINE.encode_slice(bytes, &mut out);
    debug_assert_eq!(written, Ok(27));
    out
}

/// 27 characters back to 20 bytes.
pub fn decode27(text: &[u8; 27]) -> Option<[u8; 20]> {
    decode(text)
}

/// 12 bytes as 16 characters.
pub(super) fn encode16(bytes: &[u8; 12]) -> [u8; 16] {
    let mut out = [0; 16];
    let written = ENGINE.encode_slice(bytes, &mut out);
    debug_assert_eq!(written, Ok(16));
    out
}

/// 16 characters back to 12 bytes.
pub(super) fn decode16(text: &[u8; 16]) -> Option<[u8; 12]> {
    decode(text)
}

fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut out = [0; N];
    match ENGINE.decode_slice_unchecked(text, &mut out) {
        Ok(len) if len == N => Some(out),
        _ => None,
    }
}
