//! The `#@` directives that work on whole lines, before any key is read (tracker 9.1):
//! `#@set`, `#@if` … `#@else` … `#@endif`, `#@for` … `#@endfor`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::condition;
use super::env::Env;
use super::error::{ConfError, Origin, Warning};
use super::value::{BLANKS, parse_int};

/// Bytes of text, all includes and repetitions together, that one configuration may have.
pub(super) const MAX_TEXT: usize = 4 << 20;
/// Bytes of a variable's value; more is cut.
const MAX_VARIABLE: usize = 255;

/// What `#@set` has set.
pub(super) type Variables = HashMap<String, String>;

/// A line that is left for the reader.
pub(super) struct Line {
    pub number: u32,
    pub text: String,
}

/// State that outlives one file.
pub(super) struct Preprocessor<'a> {
    pub env: &'a Env,
    pub variables: Variables,
    pub warnings: Vec<Warning>,
    /// Bytes that may still be read.
    pub budget: usize,
}

/// An `#@if` that is open.
struct Open {
    at: Origin,
    /// Lines of the present branch count.
    active: bool,
    else_seen: bool,
}

impl Preprocessor<'_> {
    /// The lines of `text` that count.
    pub fn run(&mut self, file: &Arc<str>, text: &str) -> Result<Vec<Line>, ConfError> {
        let mut queue: VecDeque<Line> = text
            .split('\n')
            .zip(1..)
            .map(|(line, number)| Line { number, text: line.trim_matches(BLANKS).to_owned() })
            .collect();
        let mut lines = Vec::new();
        let mut open: Option<Open> = None;
        while let Some(line) = queue.pop_front() {
            let at = Origin { file: Arc::clone(file), line: line.number };
            self.spend(&at, line.text.len())?;
            let active = open.as_ref().is_none_or(|open| open.active);
            let Some((word, rest)) = directive(&line.text) else {
                if active {
                    lines.push(line);
                }
                continue;
            };
            match word.as_str() {
                "if" if open.is_some() => return Err(syntax(at, "#@if inside #@if is not supported")),
                "if" => {
                    let active = condition::holds(rest, self.env, &self.variables)
                        .map_err(|why| syntax(at.clone(), why))?;
                    open = Some(Open { at, active, else_seen: false });
                }
                "else" => match &mut open {
                    Some(open) if !open.else_seen => {
                        (open.active, open.else_seen) = (!open.active, true);
                    }
                    _ => return Err(syntax(at, "#@else without #@if before it")),
                },
                "endif" if open.take().is_none() => {
                    return Err(syntax(at, "#@endif without #@if before it"));
                }
                "endif" => {}
                _ if !active => {}
                "for" => self.repeat(&at, rest, &mut queue)?,
                "endfor" => return Err(syntax(at, "#@endfor without #@for before it")),
                "set" => self.set(at, rest)?,
                "function" => lines.push(line),
                "add_annotation" => self.warnings.push(Warning::new(
                    at,
                    "#@add_annotation is ignored: code from shared objects is not loaded",
                )),
                _ => self.warnings.push(Warning::new(at, format!("unknown directive #@{word} is ignored"))),
            }
        }
        match open {
            Some(open) => Err(syntax(open.at, "#@if without #@endif")),
            None => Ok(lines),
        }
    }

    fn spend(&mut self, at: &Origin, bytes: usize) -> Result<(), ConfError> {
        match self.budget.checked_sub(bytes.saturating_add(1)) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => {
                Err(syntax(at.clone(), format!("the configuration has more than {} MiB", MAX_TEXT >> 20)))
            }
        }
    }

    /// `name = value`
    fn set(&mut self, at: Origin, rest: &str) -> Result<(), ConfError> {
        let Some((name, value)) = rest.split_once('=') else {
            return Err(syntax(at, "expected #@set NAME = VALUE"));
        };
        let (name, value) = (name.trim_matches(BLANKS), value.trim_matches(BLANKS));
        if name.is_empty() {
            return Err(syntax(at, "expected #@set NAME = VALUE"));
        }
        let value = if value.starts_with("$(") {
            let text = format!("#@set {name}: commands are not run, the variable is empty");
            self.warnings.push(Warning::new(at, text));
            String::new()
        } else {
            let value = condition::replace(value, self.env, &self.variables);
            match cut(&value, MAX_VARIABLE) {
                short if short.len() == value.len() => value,
                short => {
                    let text = format!("#@set {name}: cut to {MAX_VARIABLE} bytes");
                    self.warnings.push(Warning::new(at, text));
                    short.to_owned()
                }
            }
        };
        self.variables.insert(name.to_owned(), value);
        Ok(())
    }

    /// Puts the body of a loop, once per value, back in front of the queue.
    fn repeat(&mut self, at: &Origin, head: &str, queue: &mut VecDeque<Line>) -> Result<(), ConfError> {
        let Some((name, from, to, step)) = loop_head(head) else {
            return Err(syntax(at.clone(), "expected #@for NAME from NUMBER to NUMBER [step NUMBER]"));
        };
        let mut body = Vec::new();
        loop {
            let Some(line) = queue.pop_front() else {
                return Err(syntax(at.clone(), "#@for without #@endfor"));
            };
            match directive(&line.text).map(|(word, _)| word).as_deref() {
                Some("endfor") => break,
                Some("for") => {
                    let at = Origin { file: Arc::clone(&at.file), line: line.number };
                    return Err(syntax(at, "#@for inside #@for is not supported"));
                }
                _ => body.push(line),
            }
        }
        let marker = format!("{{${name}}}");
        let mut made = Vec::new();
        let mut value = Some(from);
        while let Some(now) = value.filter(|&now| if step > 0 { now <= to } else { now >= to }) {
            self.spend(at, 0)?;
            for line in &body {
                let text = line.text.replace(&marker, &now.to_string());
                self.spend(at, text.len())?;
                made.push(Line { number: line.number, text });
            }
            value = now.checked_add(step);
        }
        for line in made.into_iter().rev() {
            queue.push_front(line);
        }
        Ok(())
    }
}

/// `#@word rest` as the word in small letters and the rest.
pub(super) fn directive(line: &str) -> Option<(String, &str)> {
    let text = line.strip_prefix("#@")?;
    let end = text.find(BLANKS).unwrap_or(text.len());
    let (word, rest) = text.split_at_checked(end)?;
    Some((word.to_ascii_lowercase(), rest.trim_matches(BLANKS)))
}

/// `i from A to B [step S]`
fn loop_head(head: &str) -> Option<(&str, i64, i64, i64)> {
    let words: Vec<&str> = head.split_whitespace().collect();
    let is = |at: usize, word: &str| words.get(at).is_some_and(|found| found.eq_ignore_ascii_case(word));
    let number = |at: usize| words.get(at).and_then(|word| parse_int(word));
    let step = match words.len() {
        5 => 1,
        7 if is(5, "step") => number(6)?,
        _ => return None,
    };
    if !is(1, "from") || !is(3, "to") || step == 0 {
        return None;
    }
    Some((words.first()?, number(2)?, number(4)?, step))
}

/// The first `max` bytes, or fewer where a character would be split.
pub(super) fn cut(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

pub(super) fn syntax(at: Origin, why: impl Into<String>) -> ConfError {
    ConfError::Syntax { at, why: why.into() }
}
