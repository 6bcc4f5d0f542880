//! `multipart/form-data` (RFC 7578) in pieces of any size: parts with a file name are files, other fields are passed over.

use memchr::memmem;

/// Why a body is no form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadForm {
    /// No boundary of 1 to 70 characters in the content type.
    #[error("the content type names no boundary")]
    Boundary,
    /// The head of a part is longer than [`Form::HEAD_MAX`].
    #[error("the head of a part is too long")]
    Head,
    /// Something else than a line end behind a boundary.
    #[error("a boundary line is malformed")]
    Line,
    /// It ends before its last boundary.
    #[error("the form is cut off")]
    Cut,
    /// More than [`Form::FILES_MAX`] files.
    #[error("too many files")]
    Files,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormEvent<'a> {
    /// A file begins. Both are as the client sent them.
    File {
        /// Name of the field.
        field: String,
        /// Name of the file, without folders; empty when no file was chosen.
        name: String,
    },
    /// More of its content.
    Content(&'a [u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    Line,
    Head,
    File,
    Field,
    End,
}

/// A form that is being read.
#[derive(Debug)]
pub struct Form {
    finder: memmem::Finder<'static>,
    state: State,
    /// What has come and is not yet used up.
    held: Vec<u8>,
    files: usize,
}

impl Form {
    /// Longest head of a part, bytes.
    pub const HEAD_MAX: usize = 8192;
    /// Files in one form.
    pub const FILES_MAX: usize = 256;

    /// For a body with this `Content-Type`.
    pub fn new(content_type: &[u8]) -> Result<Self, BadForm> {
        let boundary = parameter(content_type, b"boundary").filter(|text| (1..=70).contains(&text.len()));
        let delimiter = [b"\r\n--", boundary.ok_or(BadForm::Boundary)?.as_slice()].concat();
        let finder = memmem::Finder::new(&delimiter).into_owned();
        // The first boundary stands at the start of a line too.
        Ok(Self { finder, state: State::Preamble, held: b"\r\n".to_vec(), files: 0 })
    }

    /// Whether a content type is that of a form.
    pub fn is_form(content_type: &[u8]) -> bool {
        let kind = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"multipart/form-data")
    }

    /// Takes the next bytes; tells `sink` what they bring. An error of `sink` ends it.
    pub fn feed<E: From<BadForm>>(
        &mut self,
        bytes: &[u8],
        mut sink: impl FnMut(FormEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.state == State::End {
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let rest = held.get(at..).unwrap_or_default();
            let (used, more) = self.advance(rest, &mut sink)?;
            at += used;
            if !more {
                break;
            }
        }
        held.drain(..at.min(held.len()));
        self.held = held;
        Ok(())
    }

    /// The body has ended.
    pub fn finish(&self) -> Result<(), BadForm> {
        if self.state == State::End { Ok(()) } else { Err(BadForm::Cut) }
    }

    /// How many bytes of `rest` are used up, and whether more can be done with those behind them.
    fn advance<E: From<BadForm>>(
        &mut self,
        rest: &[u8],
        sink: &mut impl FnMut(FormEvent<'_>) -> Result<(), E>,
    ) -> Result<(usize, bool), E> {
        match self.state {
            State::End => Ok((rest.len(), false)),
            State::Preamble | State::File | State::Field => {
                let (content, found) = match self.finder.find(rest) {
                    Some(at) => (at, true),
                    // A boundary may have begun.
                    None => (rest.len().saturating_sub(self.finder.needle().len() - 1), false),
                };
                let bytes = rest.get(..content).unwrap_or_default();
                if self.state == State::File && !bytes.is_empty() {
                    sink(FormEvent::Content(bytes))?;
                }
                if found {
                    self.state = State::Line;
                    return Ok((content + self.finder.needle().len(), true));
                }
                Ok((content, false))
            }
            State::Line => {
                if rest.starts_with(b"--") {
                    self.state = State::End;
                    return Ok((2, true));
                }
                let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
                match rest.get(blanks..).unwrap_or_default() {
                    // The line end stays: the head may be empty.
                    [b'\r', b'\n', ..] => {
                        self.state = State::Head;
                        Ok((blanks, true))
                    }
                    [] | [b'\r'] | [b'-'] if rest.len() < Self::HEAD_MAX => Ok((0, false)),
                    _ => Err(BadForm::Line.into()),
                }
            }
            State::Head => match memmem::find(rest, b"\r\n\r\n") {
                Some(end) if end <= Self::HEAD_MAX => {
                    match file_of(rest.get(..end).unwrap_or_default()) {
                        Some((field, name)) => {
                            self.files += 1;
                            if self.files > Self::FILES_MAX {
                                return Err(BadForm::Files.into());
                            }
                            self.state = State::File;
                            sink(FormEvent::File { field, name })?;
                        }
                        None => self.state = State::Field,
                    }
                    Ok((end + 4, true))
                }
                None if rest.len() <= Self::HEAD_MAX => Ok((0, false)),
                _ => Err(BadForm::Head.into()),
            },
        }
    }
}

/// Field and file name of a part's head; `None` when it is no file.
fn file_of(head: &[u8]) -> Option<(String, String)> {
    let line = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find_map(|line| {
        let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
        name.trim_ascii().eq_ignore_ascii_case(b"content-disposition").then(|| value.get(1..))?
    })?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let name = text(parameter(line, b"filename")?);
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    Some((parameter(line, b"name").map(text).unwrap_or_default(), name))
}

/// The value of a parameter behind the first `;`, without quotes.
fn parameter(header: &[u8], wanted: &[u8]) -> Option<Vec<u8>> {
    let mut rest = header.get(header.iter().position(|byte| *byte == b';')?..)?;
    while let [b';', tail @ ..] = rest {
        let equals = tail.iter().position(|byte| matches!(byte, b'=' | b';'))?;
        let (key, after) = tail.split_at_checked(equals)?;
        let (value, left) = match after {
            [b'=', b'"', quoted @ ..] => unquote(quoted)?,
            [b'=', plain @ ..] => {
                let end = plain.iter().position(|byte| *byte == b';').unwrap_or(plain.len());
                let (value, left) = plain.split_at_checked(end)?;
                (value.trim_ascii().to_vec(), left)
            }
            left => (Vec::new(), left),
        };
        if key.trim_ascii().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = left.trim_ascii_start();
    }
    None
}

/// The text up to the closing quote, and what follows it. A backslash counts only before a quote or another one:
/// browsers send those of a path as they are.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (mut out, mut rest) = (Vec::new(), text);
    loop {
        match rest {
            [b'\\', escaped @ (b'"' | b'\\'), tail @ ..] => {
                out.push(*escaped);
                rest = tail;
            }
            [b'"', tail @ ..] => return Some((out, tail)),
            [byte, tail @ ..] => {
                out.push(*byte);
                rest = tail;
            }
            [] => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Files = Vec<(String, String, Vec<u8>)>;

    fn read(content_type: &[u8], body: &[u8], piece: usize) -> Result<Files, BadForm> {
        let mut form = Form::new(content_type)?;
        let mut files = Files::new();
        for piece in body.chunks(piece) {
            form.feed(piece, |event| {
                match event {
                    FormEvent::File { field, name } => files.push((field, name, Vec::new())),
                    FormEvent::Content(bytes) => files.last_mut().unwrap().2.extend_from_slice(bytes),
                }
                Ok::<_, BadForm>(())
            })?;
        }
        form.finish().map(|()| files)
    }

    const TYPE: &[u8] = b"multipart/form-data; boundary=\"xx\"";

    #[test]
    fn files_are_told_from_fields() {
        let body = b"preamble\r\n--xx\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nnot a file\r\n\
            --xx \r\ncontent-type: image/png\r\ncontent-disposition: form-data; name=\"pic;ture\"; filename=\"C:\\a\\\"b.png\"\r\n\r\n\
            \r\n--x\r\n--\r\n--xx\r\nContent-Disposition: form-data; name=empty; filename=\"\"\r\n\r\n\r\n--xx\r\n\r\nno head\r\n--xx--\r\nepilogue";
        for piece in 1..body.len() {
            let files = read(TYPE, body, piece).unwrap();
            let expected = [
                ("pic;ture".to_owned(), "a\"b.png".to_owned(), b"\r\n--x\r\n--".to_vec()),
                ("empty".to_owned(), String::new(), Vec::new()),
            ];
            assert_eq!(files, expected, "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        assert_eq!(read(b"multipart/form-data", b"", 1), Err(BadForm::Boundary));
        assert_eq!(read(b"multipart/form-data; boundary=", b"", 1), Err(BadForm::Boundary));
        assert_eq!(read(TYPE, b"--xx\r\n\r\nabc", 4), Err(BadForm::Cut));
        assert_eq!(read(TYPE, b"--xxyy\r\n\r\nabc\r\n--xx--", 4), Err(BadForm::Line));
        let long = [b"--xx\r\n", vec![b'a'; 9000].as_slice()].concat();
        assert_eq!(read(TYPE, &long, 100), Err(BadForm::Head));
        let part = b"--xx\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n\r\n".repeat(257);
        assert_eq!(read(TYPE, &part, 1000), Err(BadForm::Files));
        assert!(Form::is_form(b"Multipart/Form-Data ;boundary=a") && !Form::is_form(b"multipart/mixed"));
    }

    proptest! {
        #[test]
        fn content_comes_through_whole(
            parts in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n-xXa".to_vec()), 0..60), 0..4),
            piece in 1..40_usize,
        ) {
            let clash = parts.iter().any(|part| memmem::find(&[b"\r\n", part.as_slice()].concat(), b"\r\n--xx").is_some());
            prop_assume!(!clash);
            let mut body = Vec::new();
            for part in &parts {
                body.extend(b"--xx\r\nContent-Disposition: form-data; name=\"f\"; filename=\"n\"\r\n\r\n");
                body.extend(part);
                body.extend(b"\r\n");
            }
            body.extend(b"--xx--\r\n");
            let files = read(TYPE, &body, piece).unwrap();
            prop_assert_eq!(files.into_iter().map(|file| file.2).collect::<Vec<_>>(), parts);
        }

        #[test]
        fn nothing_panics(body in prop::collection::vec(prop::sample::select(b"\r\n-x:;=\"\\ a".to_vec()), 0..200), piece in 1..30_usize) {
            let _ = read(TYPE, &body, piece);
            let _ = parameter(&body, b"a");
        }
    }
}
