//! From a URL to a file (nginx-module 4.2 and 4.3).

use super::slot::Slot;
use crate::fileid::{BadName, FileName, Kind, Source};
use crate::ident::GroupName;

/// A group whose files lie on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalGroup {
    /// Its name.
    pub name: GroupName,
    /// Store paths in order of their index, without a slash at the end.
    pub paths: Vec<String>,
}

/// What a location serves: the part of `mod_fastdfs.conf` that decides about URLs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// `url_have_group_name`: the URL starts with `/group/`.
    pub url_has_group: bool,
    /// Groups on this machine. The first one is meant when the URL names none.
    pub groups: Vec<LocalGroup>,
}

impl Site {
    /// Argument of a URL to which a member has redirected the client.
    pub const REDIRECTED: &[u8] = b"redirect";
}

/// The file that a URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its group.
    pub group: GroupName,
    /// Its checked name.
    pub name: FileName,
    /// Storage that received the upload.
    pub source: Source,
    /// Size and time when the name carries them: neither slave nor appender.
    pub known: Option<Validators>,
    /// A name of a slot that is short enough for a link: then size and time are those of the file it leads to.
    pub may_be_link: bool,
}

/// What `ETag` and `Last-Modified` are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validators {
    /// Time of the upload, or of the last change, s.
    pub mtime: i64,
    /// Bytes.
    pub size: u64,
}

impl Validators {
    /// The entity tag, in the form nginx gives its own files.
    pub fn etag(&self) -> String {
        format!("\"{:x}-{:x}\"", self.mtime, self.size)
    }
}

/// Why a URL cannot name a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Does not start with `/group/`, though it must.
    #[error("the URL must start with /GROUP/ (url_have_group_name = true)")]
    NoGroup,
    /// The group part is no group name.
    #[error("the first part of the URL is no group name")]
    BadGroup,
    /// No group is configured and the URL names none.
    #[error("no group_name is configured")]
    NoGroupConfigured,
    /// Not a name.
    #[error("{0}")]
    Name(BadName),
    /// Shorter than a generated name, or its first 27 characters are not base64.
    #[error("the name is no file id")]
    NoFileId,
}

/// Decision about a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// The file belongs on this machine; when it is not there, ask the members of its group.
    Local {
        /// The file.
        file: Wanted,
        /// Where it lies.
        place: Place,
    },
    /// The file is of another group: ask the members of its group.
    Remote {
        /// The file.
        file: Wanted,
    },
    /// Answer 400.
    BadRequest(Refusal),
    /// Answer 404: a name that is never shown, such as that of a file's metadata.
    NotFound,
}

/// Store paths a group can have; those of another machine are not known here.
const PATHS_MAX: usize = 256;

/// Decides what the normalised, decoded path `uri` names.
pub fn plan(site: &Site, uri: &[u8]) -> Plan {
    let (group, name) = match split(site, uri) {
        Ok(parts) => parts,
        Err(refusal) => return Plan::BadRequest(refusal),
    };
    let local = site.groups.iter().find(|local| local.name == group);
    let name = match FileName::parse(name, local.map_or(PATHS_MAX, |local| local.paths.len())) {
        Ok(name) => name,
        Err(bad) => return Plan::BadRequest(Refusal::Name(bad)),
    };
    let Some(blob) = name.blob().filter(|_| name.logic_len() >= FileName::ORDINARY) else {
        return Plan::BadRequest(Refusal::NoFileId);
    };
    if name.is_metadata() {
        return Plan::NotFound;
    }
    let known = (name.is_normal() && has_generated_end(&name))
        .then(|| Validators { mtime: i64::from(blob.timestamp), size: blob.size() });
    let may_be_link = Slot::of(&name).is_some_and(|slot| slot.size <= Slot::LINK_MAX);
    let file = Wanted { group, name, source: blob.source, known, may_be_link };
    match local.and_then(|local| local.paths.get(name.path().index())) {
        Some(store) => Plan::Local { file, place: Place::of(store, &name) },
        None => Plan::Remote { file },
    }
}

/// Where a file lies on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, or the container that holds it.
    pub path: Vec<u8>,
    /// Where in a container.
    pub slot: Option<Slot>,
}

impl Place {
    fn of(store: &str, name: &FileName) -> Self {
        let slot = Slot::of(name);
        let file = slot.map_or_else(|| name.true_name().to_vec(), |slot| slot.file(name).into_bytes());
        Self { path: [store.as_bytes(), b"/data/", &file].concat(), slot }
    }
}

/// The file that a link in a slot of `link` names: its logic name is the link's content. Links lead to files of the
/// same group, and not to other links.
pub fn link_target(site: &Site, link: &Wanted, content: &[u8]) -> Option<(Wanted, Place)> {
    let end = content.iter().position(|byte| *byte == 0).unwrap_or(content.len());
    let mut uri = Vec::new();
    if site.url_has_group {
        uri.extend([b"/", link.group.bytes()].concat());
    }
    uri.push(b'/');
    uri.extend_from_slice(content.get(..end)?);
    match plan(site, &uri) {
        Plan::Local { file, place } if file.group == link.group && file.name != link.name => {
            Some((file, place))
        }
        _ => None,
    }
}

/// Whether the last 7 characters are digits and an extension. A slave's name of 44 characters, which otherwise
/// passes for an ordinary one, mostly has a prefix there; its size is then unknown (protocol 5.1 and 5.5).
fn has_generated_end(name: &FileName) -> bool {
    let end = name.true_name().iter().rev().take(7).rev();
    end.take_while(|c| **c != b'.').all(|c| c.is_ascii_digit() || *c == b':')
}

fn split<'a>(site: &Site, uri: &'a [u8]) -> Result<(GroupName, &'a [u8]), Refusal> {
    let path = uri.strip_prefix(b"/").unwrap_or(uri);
    if !site.url_has_group {
        let group = site.groups.first().ok_or(Refusal::NoGroupConfigured)?;
        return Ok((group.name, path));
    }
    let slash = memchr::memchr(b'/', path).ok_or(Refusal::NoGroup)?;
    let (group, name) = path.split_at_checked(slash).ok_or(Refusal::NoGroup)?;
    let group = GroupName::new(group).map_err(|_| Refusal::BadGroup)?;
    // Most likely `url_have_group_name` does not fit the URLs, and no group has such a name.
    let store_path =
        matches!(group.bytes(), [b'M', hex @ ..] if hex.len() == 2 && hex.iter().all(u8::is_ascii_hexdigit));
    if store_path && !site.groups.iter().any(|local| local.name == group) {
        return Err(Refusal::NoGroup);
    }
    Ok((group, name.strip_prefix(b"/").unwrap_or_default()))
}

impl Wanted {
    /// The name as it travels to a storage: `Mpp/HH/HH/name`.
    pub fn wire_name(&self) -> Vec<u8> {
        let mut name = format!("M{:02X}/", self.name.path().byte()).into_bytes();
        name.extend_from_slice(self.name.true_name());
        name
    }

    /// CRC32 of its content, as the name tells it. Names from before FastDFS 5.12 tell another one (protocol 5.4).
    pub fn crc32(&self) -> Option<u32> {
        self.known.filter(|_| !self.may_be_link)?;
        self.name.blob().map(|blob| blob.crc32)
    }

    /// Its content stays: no appender file, and no slave of one.
    pub fn is_immutable(&self) -> bool {
        self.name.blob().is_some_and(|blob| blob.kind() != Kind::Appender)
    }
}
