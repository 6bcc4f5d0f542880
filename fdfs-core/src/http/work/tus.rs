//! Resumable uploads by tus 1.0.0 (<https://tus.io/protocols/resumable-upload>) on appender files: which requests mean
//! what. How far an upload is, is the size of its file; its length and a signature stand in its URL, so that no server has to
//! remember anything and only who got that URL can go on with it.

use base64::Engine;

use super::errand::Named;
use crate::fileid::FileName;
use crate::http::args::argument;
use crate::http::token::{equal, upload_signature_of};
use crate::ident::{Extension, GroupName};

/// Version of the protocol.
pub const TUS_VERSION: &str = "1.0.0";
/// Extensions of the protocol that are there.
pub const TUS_EXTENSIONS: &str = "creation,creation-with-upload,termination";

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TusMethod {
    /// What can be done here?
    Options,
    /// A new upload.
    Post,
    /// How far is it?
    Head,
    /// More of it.
    Patch,
    /// It is given up.
    Delete,
}

impl TusMethod {
    /// By its name.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"OPTIONS" => Self::Options,
            b"POST" => Self::Post,
            b"HEAD" => Self::Head,
            b"PATCH" => Self::Patch,
            b"DELETE" => Self::Delete,
            _ => return None,
        })
    }
}

/// What a request says.
#[derive(Debug, Clone, Copy, Default)]
pub struct TusHead<'a> {
    /// Decoded path of the URL.
    pub uri: &'a [u8],
    /// Its arguments.
    pub args: &'a [u8],
    /// `Tus-Resumable`.
    pub version: Option<&'a [u8]>,
    /// `Upload-Length`.
    pub length: Option<&'a [u8]>,
    /// `Upload-Offset`.
    pub offset: Option<&'a [u8]>,
    /// `Upload-Metadata`.
    pub metadata: Option<&'a [u8]>,
    /// `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// `Content-Length`; `None` when it is not known.
    pub body: Option<u64>,
}

/// A file that is being uploaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TusUpload {
    /// The appender file.
    pub file: Named,
    /// Its checked name.
    pub name: FileName,
    /// Bytes that it will have.
    pub length: u64,
}

/// What a request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TusWish {
    /// 204 and what can be done.
    Options,
    /// A new file, with this much content in the same request.
    Create {
        /// Bytes that the file will have.
        length: u64,
        /// Its extension.
        ext: Extension,
        /// Bytes of content in this request.
        body: u64,
    },
    /// Size and length.
    Head(TusUpload),
    /// Content from `offset` on.
    Patch {
        /// Whose.
        upload: TusUpload,
        /// Its size up to now, as the client knows it.
        offset: u64,
        /// Bytes of content in this request.
        body: u64,
    },
    /// The file goes.
    Terminate(TusUpload),
}

/// Why a request is refused: the status and a word for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTus {
    /// Another version of the protocol, or none.
    #[error("Tus-Resumable is not 1.0.0")]
    Version,
    /// A header is missing or no number.
    #[error("{0} is missing or no number")]
    Header(&'static str),
    /// The content is no upload.
    #[error("the content type is not application/offset+octet-stream")]
    Type,
    /// A body of unknown length.
    #[error("the length of the body is not told")]
    Unmeasured,
    /// More than is allowed, or than was announced.
    #[error("more bytes than the upload may have")]
    TooLarge,
    /// The URL is not one that was given out here.
    #[error("the URL names no upload")]
    Unknown,
}

impl BadTus {
    /// HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Version => 412,
            Self::Header(_) => 400,
            Self::Type => 415,
            Self::Unmeasured => 411,
            Self::TooLarge => 413,
            Self::Unknown => 404,
        }
    }
}

/// Decides what a request wants. `max`: largest upload, bytes.
pub fn tus_wish(
    method: TusMethod,
    head: &TusHead<'_>,
    key: &str,
    max: Option<u64>,
) -> Result<TusWish, BadTus> {
    if method == TusMethod::Options {
        return Ok(TusWish::Options);
    }
    if head.version != Some(TUS_VERSION.as_bytes()) {
        return Err(BadTus::Version);
    }
    let typed = head
        .content_type
        .is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/offset+octet-stream"));
    let upload = || upload_of(head.uri, head.args, key).ok_or(BadTus::Unknown);
    match method {
        TusMethod::Options => Ok(TusWish::Options),
        TusMethod::Head => Ok(TusWish::Head(upload()?)),
        TusMethod::Delete => Ok(TusWish::Terminate(upload()?)),
        TusMethod::Post => {
            let length = number(head.length).ok_or(BadTus::Header("Upload-Length"))?;
            let body = head.body.unwrap_or(0);
            if body > 0 && !typed {
                return Err(BadTus::Type);
            }
            if max.is_some_and(|max| length > max) || body > length {
                return Err(BadTus::TooLarge);
            }
            let name = head.metadata.and_then(file_name).unwrap_or_default();
            Ok(TusWish::Create { length, ext: Extension::of_path(&name), body })
        }
        TusMethod::Patch => {
            let upload = upload()?;
            let offset = number(head.offset).ok_or(BadTus::Header("Upload-Offset"))?;
            if !typed {
                return Err(BadTus::Type);
            }
            let body = head.body.ok_or(BadTus::Unmeasured)?;
            let end = offset.checked_add(body).filter(|end| *end <= upload.length);
            end.ok_or(BadTus::TooLarge)?;
            Ok(TusWish::Patch { upload, offset, body })
        }
    }
}

/// The URL of an upload below the one that created it.
pub fn tus_url(base: &str, file: &Named, length: u64, key: &str) -> String {
    let signature = upload_signature_of(&file.id(), length, key);
    let signature = String::from_utf8_lossy(&signature);
    format!("{}/{}?length={length}&sig={signature}", base.trim_end_matches('/'), file.id())
}

/// The upload of a URL; `None` when it was not made with `key`.
fn upload_of(uri: &[u8], args: &[u8], key: &str) -> Option<TusUpload> {
    // The last five parts: group, path, two folders, name.
    let mut parts: Vec<&[u8]> = uri.rsplitn(6, |byte| *byte == b'/').take(5).collect();
    parts.reverse();
    let (group, rest) = parts.split_first()?;
    let name = rest.join(&b'/');
    let file = Named { group: GroupName::new(group).ok()?, name };
    let length = number(Some(&argument(args, b"length")?))?;
    let signature = argument(args, b"sig")?;
    if !equal(&signature, &upload_signature_of(&file.id(), length, key)) {
        return None;
    }
    let name = FileName::parse(&file.name, 256).ok()?;
    Some(TusUpload { file, name, length })
}

fn number(text: Option<&[u8]>) -> Option<u64> {
    let text = std::str::from_utf8(text?.trim_ascii()).ok()?;
    // `parse` takes a sign too.
    let number = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())??;
    i64::try_from(number).is_ok().then_some(number)
}

/// `filename` or `name` of `Upload-Metadata`: pairs of a key and base64, with commas between them.
fn file_name(metadata: &[u8]) -> Option<String> {
    let value = |wanted: &[u8]| {
        metadata.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).find_map(|pair| {
            let (key, value) = pair.split_at_checked(pair.iter().position(|byte| *byte == b' ')?)?;
            let bytes = base64::engine::general_purpose::STANDARD.decode(value.trim_ascii()).ok()?;
            (key == wanted).then(|| String::from_utf8_lossy(&bytes).into_owned())
        })
    };
    value(b"filename").or_else(|| value(b"name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"M00/00/00/CkIAFWqfzXGEVZhOAAAAAAAAAAA123.mp4";

    fn file() -> Named {
        Named { group: GroupName::new(b"group1").unwrap(), name: NAME.to_vec() }
    }

    fn wish(method: TusMethod, url: &str, change: impl FnOnce(&mut TusHead<'_>)) -> Result<TusWish, BadTus> {
        let (uri, args) = url.split_once('?').unwrap_or((url, ""));
        let mut head = TusHead { version: Some(b"1.0.0"), ..TusHead::default() };
        change(&mut head);
        tus_wish(method, &TusHead { uri: uri.as_bytes(), args: args.as_bytes(), ..head }, "key", Some(1000))
    }

    #[test]
    fn a_new_upload_tells_length_and_name() {
        let create = |length: &'static [u8], metadata: &'static [u8], body, kind: Option<&'static [u8]>| {
            wish(TusMethod::Post, "/files/", |head| {
                *head = TusHead {
                    length: Some(length),
                    metadata: Some(metadata),
                    body,
                    content_type: kind,
                    ..*head
                };
            })
        };
        let ext = |text: &str| text.parse().unwrap();
        let typed = Some(&b"application/offset+octet-stream"[..]);
        assert_eq!(
            create(b"1000", b"type dmlkZW8=, filename YS5tcDQ=", None, None),
            Ok(TusWish::Create { length: 1000, ext: ext("mp4"), body: 0 })
        );
        assert_eq!(
            create(b"5", b"is_confidential", Some(5), typed),
            Ok(TusWish::Create { length: 5, ext: ext(""), body: 5 })
        );
        assert_eq!(create(b"1001", b"", None, None), Err(BadTus::TooLarge));
        assert_eq!(create(b"5", b"", Some(6), typed), Err(BadTus::TooLarge));
        assert_eq!(create(b"5", b"", Some(5), None), Err(BadTus::Type));
        for bad in [&b"+5"[..], b"-1", b"", b"5x", b"18446744073709551615"] {
            assert_eq!(create(bad, b"", None, None), Err(BadTus::Header("Upload-Length")));
        }
        assert_eq!(wish(TusMethod::Post, "/", |head| head.version = Some(b"0.2")), Err(BadTus::Version));
        assert_eq!(wish(TusMethod::Options, "/", |head| head.version = None), Ok(TusWish::Options));
    }

    #[test]
    fn only_urls_that_were_given_out_name_uploads() {
        let url = tus_url("/files/", &file(), 500, "key");
        assert!(url.starts_with("/files/group1/M00/00/00/CkIA"), "{url}");
        let Ok(TusWish::Head(upload)) = wish(TusMethod::Head, &url, |_| ()) else { panic!() };
        assert_eq!((&upload.file, upload.length), (&file(), 500));
        let longer = url.replace("length=500", "length=501");
        let other = url.replace("group1", "group2");
        let unsigned = url.split('&').next().unwrap().to_owned();
        for bad in [longer, other, unsigned, tus_url("/files/", &file(), 500, "another"), "/files/".into()] {
            assert_eq!(wish(TusMethod::Head, &bad, |_| ()), Err(BadTus::Unknown), "{bad}");
        }
        let patch = |offset: &'static [u8], body, kind: &'static [u8]| {
            wish(TusMethod::Patch, &url, |head| {
                *head = TusHead { offset: Some(offset), body, content_type: Some(kind), ..*head };
            })
        };
        let kind = b"application/offset+octet-stream";
        assert_eq!(
            patch(b"10", Some(490), kind),
            Ok(TusWish::Patch { upload: upload.clone(), offset: 10, body: 490 })
        );
        assert_eq!(patch(b"10", Some(491), kind), Err(BadTus::TooLarge));
        assert_eq!(patch(b"x", Some(1), kind), Err(BadTus::Header("Upload-Offset")));
        assert_eq!(patch(b"0", None, kind), Err(BadTus::Unmeasured));
        assert_eq!(patch(b"0", Some(1), b"text/plain"), Err(BadTus::Type));
        assert_eq!(wish(TusMethod::Delete, &url, |_| ()), Ok(TusWish::Terminate(upload)));
    }
}
