//! Conditional requests for files that come from a storage: judged as nginx judges its own files, since it judges
//! the local ones. Where that is not RFC 9110 13: both of `If-None-Match` and `If-Modified-Since` must hold for a 304,
//! and an `If-Unmodified-Since` that is no time fails.

use super::plan::Validators;

/// nginx's `if_modified_since`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IfModifiedSince {
    /// The header is ignored.
    Off,
    /// Not modified when the times are equal.
    #[default]
    Exact,
    /// Not modified when the file is not younger.
    Before,
}

/// The conditional headers of a request; times parsed, -1 when malformed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`.
    pub if_match: Option<Vec<u8>>,
    /// `If-None-Match`.
    pub if_none_match: Option<Vec<u8>>,
    /// `If-Modified-Since`, s.
    pub if_modified_since: Option<i64>,
    /// `If-Unmodified-Since`, s.
    pub if_unmodified_since: Option<i64>,
    /// `If-Range` as an entity tag.
    pub if_range_tag: Option<Vec<u8>>,
    /// `If-Range` as a time, s.
    pub if_range_time: Option<i64>,
    /// The answer has an `ETag` (nginx's `etag on`).
    pub tagged: bool,
    /// How `If-Modified-Since` compares.
    pub mode: IfModifiedSince,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            if_match: None,
            if_none_match: None,
            if_modified_since: None,
            if_unmodified_since: None,
            if_range_tag: None,
            if_range_time: None,
            tagged: true,
            mode: IfModifiedSince::Exact,
        }
    }
}

/// Outcome of the conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Answer the request; `range` says whether its `Range` holds.
    Proceed {
        /// `If-Range` is absent or matches.
        range: bool,
    },
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

impl Conditions {
    /// Compares with the file.
    pub fn judge(&self, file: &Validators) -> Verdict {
        let tag = self.tagged.then(|| file.etag());
        let tag = tag.as_ref().map(String::as_bytes);
        if self.if_unmodified_since.is_some_and(|time| time < file.mtime) {
            return Verdict::Failed;
        }
        if self.if_match.as_ref().is_some_and(|list| !matches(list, tag, false)) {
            return Verdict::Failed;
        }
        let same_time = self.if_modified_since.map(|time| self.unmodified_since(time, file.mtime));
        let same_tag = self.if_none_match.as_ref().map(|list| matches(list, tag, true));
        if (same_time, same_tag) != (None, None) && same_time != Some(false) && same_tag != Some(false) {
            return Verdict::NotModified;
        }
        let tag_holds = self.if_range_tag.as_ref().is_none_or(|given| Some(given.as_slice()) == tag);
        let time_holds = self.if_range_time.is_none_or(|time| time == file.mtime);
        Verdict::Proceed { range: tag_holds && time_holds }
    }

    fn unmodified_since(&self, time: i64, mtime: i64) -> bool {
        match self.mode {
            IfModifiedSince::Off => false,
            IfModifiedSince::Exact => time == mtime,
            IfModifiedSince::Before => time >= mtime,
        }
    }
}

/// Whether `tag` is in the list; `*` alone stands for every tag. Our tags hold no comma.
fn matches(list: &[u8], tag: Option<&[u8]>, weak: bool) -> bool {
    if list == b"*" {
        return true;
    }
    let Some(tag) = tag else { return false };
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    list.split(|byte| *byte == b',').any(|item| {
        let from = item.iter().position(|byte| !blank(byte)).unwrap_or(item.len());
        let item = item.get(from..).unwrap_or_default();
        let item = if weak { item.strip_prefix(b"W/").unwrap_or(item) } else { item };
        item.strip_prefix(tag).is_some_and(|rest| rest.iter().all(blank))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Validators = Validators { mtime: 0x100, size: 0x20 };
    const PROCEED: Verdict = Verdict::Proceed { range: true };

    fn judge(edit: impl Fn(&mut Conditions)) -> Verdict {
        let mut conditions = Conditions::default();
        edit(&mut conditions);
        conditions.judge(&FILE)
    }

    #[test]
    fn tags_and_times_must_both_hold() {
        assert_eq!(FILE.etag(), "\"100-20\"");
        assert_eq!(judge(|_| {}), PROCEED);
        assert_eq!(judge(|c| c.if_none_match = Some(b"\"x\", W/\"100-20\"".to_vec())), Verdict::NotModified);
        assert_eq!(judge(|c| c.if_none_match = Some(b"*".to_vec())), Verdict::NotModified);
        assert_eq!(
            judge(|c| {
                c.if_none_match = Some(b"\"x\"".to_vec());
                c.if_modified_since = Some(0x100);
            }),
            PROCEED
        );
        assert_eq!(
            judge(|c| {
                c.if_none_match = Some(b"\"100-20\"".to_vec());
                c.if_modified_since = Some(1);
            }),
            PROCEED
        );
        assert_eq!(judge(|c| c.if_none_match = Some(b"\"x\", *".to_vec())), PROCEED);
        let untagged = judge(|c| {
            c.tagged = false;
            c.if_none_match = Some(b"\"100-20\"".to_vec());
        });
        assert_eq!(untagged, PROCEED);
        assert_eq!(judge(|c| c.if_match = Some(b"W/\"100-20\"".to_vec())), Verdict::Failed);
        assert_eq!(judge(|c| c.if_match = Some(b"\"100-20\"".to_vec())), PROCEED);
    }

    #[test]
    fn times_compare_as_nginx_is_told() {
        for (mode, time, want) in [
            (IfModifiedSince::Exact, 0x100, Verdict::NotModified),
            (IfModifiedSince::Exact, 0x101, PROCEED),
            (IfModifiedSince::Before, 0x101, Verdict::NotModified),
            (IfModifiedSince::Before, 0xff, PROCEED),
            (IfModifiedSince::Before, -1, PROCEED),
            (IfModifiedSince::Off, 0x100, PROCEED),
        ] {
            let got = judge(|c| {
                c.mode = mode;
                c.if_modified_since = Some(time);
            });
            assert_eq!(got, want, "{mode:?} {time}");
        }
        assert_eq!(judge(|c| c.if_unmodified_since = Some(0xff)), Verdict::Failed);
        assert_eq!(judge(|c| c.if_unmodified_since = Some(-1)), Verdict::Failed);
        assert_eq!(judge(|c| c.if_unmodified_since = Some(0x100)), PROCEED);
    }

    #[test]
    fn if_range_that_differs_drops_the_range() {
        assert_eq!(judge(|c| c.if_range_tag = Some(b"\"no\"".to_vec())), Verdict::Proceed { range: false });
        assert_eq!(judge(|c| c.if_range_tag = Some(b"\"100-20\"".to_vec())), PROCEED);
        assert_eq!(judge(|c| c.if_range_time = Some(1)), Verdict::Proceed { range: false });
    }
}
