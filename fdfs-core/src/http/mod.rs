//! What the nginx module decides, as plain functions: which file a URL names, who may have it, what to answer.
//!
//! Source: nginx-module 4, 12, 13 and 15; protocol 3.6, 4.7, 4.8 and 5. The module itself only moves bytes.

mod args;
mod conditions;
mod fetch;
mod peers;
mod plan;
mod poll;
mod range;
mod slot;
mod status;
mod token;
pub mod work;

pub use args::{FLV_HEAD, FlvPart, argument, disposition, percent_encode, redirect_url};
pub use conditions::{Conditions, IfModifiedSince, Verdict};
pub use fetch::{Answer, Fault, Fetch, Job, Step};
pub use peers::{Health, Member, Peers, Standing, candidates, source_of};
pub use plan::{LocalGroup, Place, Plan, Refusal, Site, Validators, Wanted, link_target, plan};
pub use poll::{Poll, PollFault, PollStep};
pub use range::{Multipart, Ranges};
pub use slot::{Held, Slot};
pub use status::{Counters, MemberStatus, Origin, Report, SiteStatus, TrackerStatus};
pub use token::{BadToken, TokenKind, TokenRules, signature_of, token_of};

/// Feeds any bytes to every parser of this module that reads from outside: none may panic, and what they
/// accept must hold together. Body of a fuzz target.
pub fn check_any_bytes(bytes: &[u8]) {
    let site = Site {
        url_has_group: bytes.len().is_multiple_of(2),
        groups: GroupNameSample::get()
            .map(|name| LocalGroup { name, paths: vec!["/s0".into(), "/s1".into()] })
            .into_iter()
            .collect(),
    };
    if let Plan::Local { file, place: Place { path, .. } } = plan(&site, bytes) {
        let _ = link_target(&site, &file, bytes);
        let inside = path.starts_with(b"/s0/data/") || path.starts_with(b"/s1/data/");
        assert!(inside && !path.windows(3).any(|part| part == b"/.."), "a path left its store");
    }
    if let Ranges::Parts(parts) = Ranges::parse(bytes, 1000, 20) {
        let inside = parts.iter().all(|(first, last)| first <= last && *last < 1000);
        assert!(inside && (1..=20).contains(&parts.len()), "a range left its file");
    }
    if let Some(name) = disposition(&[b"filename=", bytes].concat()) {
        assert!(!name.iter().any(u8::is_ascii_control), "a file name ends a header line");
    }
    if let Some((first, last)) = FlvPart::of(bytes).and_then(|part| part.resolve(1000)) {
        assert!(first <= last && last < 1000, "a part left its file");
    }
    let _ = Conditions { if_none_match: Some(bytes.to_vec()), ..Conditions::default() }
        .judge(&Validators { mtime: 1, size: 2 });
    if let Some((head, body)) = bytes.split_first()
        && let Ok(mut form) = work::Form::new(b"multipart/form-data; boundary=b")
    {
        for piece in body.chunks(usize::from(*head).max(1)) {
            if form.feed(piece, |_| Ok::<_, work::BadForm>(())).is_err() {
                break;
            }
        }
    }
    if let Some(name) = GroupNameSample::get() {
        let mut poll = Poll::new(vec![name]);
        let _ = poll.feed(bytes);
        let _ = poll.feed(bytes);
    }
}

/// A fixed group name for [`check_any_bytes`].
struct GroupNameSample;

impl GroupNameSample {
    fn get() -> Option<crate::ident::GroupName> {
        crate::ident::GroupName::new(b"group1").ok()
    }
}

#[cfg(test)]
mod tests;
