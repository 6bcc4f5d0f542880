//! Conditional requests for files that come from a storage (RFC 9110 13); local ones are nginx's own business.

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// How `If-Modified-Since` compares.
    pub mode: IfModifiedSince,
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
        let tag = file.etag();
        match (&self.if_match, self.if_unmodified_since) {
            (Some(list), _) if !matches(list, &tag, false) => return Verdict::Failed,
            (None, Some(time)) if time >= 0 && file.mtime > time => return Verdict::Failed,
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(list), _) if matches(list, &tag, true) => return Verdict::NotModified,
            (None, Some(time)) if self.unmodified_since(time, file.mtime) => return Verdict::NotModified,
            _ => {}
        }
        let tag_holds = self.if_range_tag.as_ref().is_none_or(|given| given == tag.as_bytes());
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

/// Whether `tag` is in the list. Our tags hold no comma, so a list splits at commas.
fn matches(list: &[u8], tag: &str, weak: bool) -> bool {
    list.split(|c| *c == b',').map(<[u8]>::trim_ascii).any(|item| {
        let item = if weak { item.strip_prefix(b"W/").unwrap_or(item) } else { item };
        item == b"*" || item == tag.as_bytes()
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
    fn tags_go_before_times() {
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
        assert_eq!(judge(|c| c.if_unmodified_since = Some(0x100)), PROCEED);
    }

    #[test]
    fn if_range_that_differs_drops_the_range() {
        assert_eq!(judge(|c| c.if_range_tag = Some(b"\"no\"".to_vec())), Verdict::Proceed { range: false });
        assert_eq!(judge(|c| c.if_range_tag = Some(b"\"100-20\"".to_vec())), PROCEED);
        assert_eq!(judge(|c| c.if_range_time = Some(1)), Verdict::Proceed { range: false });
    }
}
