//! The reader of the classic form: lines, sections, includes, `#@function` (tracker 9.1).

use std::net::IpAddr;
use std::sync::Arc;

use super::condition;
use super::env::{Env, is_private};
use super::error::{ConfError, Origin, Warning};
use super::ini::{Entry, GLOBAL, Ini};
use super::preprocess::{Line, MAX_TEXT, Preprocessor, Variables, cut, directive, syntax};
use super::value::{BLANKS, parse_int};

/// Bytes of a key that count.
pub const MAX_KEY: usize = 63;
/// Bytes of a value that count.
pub const MAX_VALUE: usize = 255;
/// Files that may be open inside one another.
const MAX_DEPTH: usize = 16;
/// Includes of one configuration.
const MAX_INCLUDES: usize = 256;

/// A file that an `#include` line names.
pub struct Included {
    /// Path, for messages and to recognise a file that includes itself.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// Finds the file of an `#include` line: gets the including file and the name as written, without `file://`.
pub type Resolver<'a> = &'a mut dyn FnMut(&str, &str) -> Result<Included, ConfError>;

/// Reads `text` as the file `name`.
pub fn parse(
    name: &str,
    text: &str,
    env: &Env,
    resolve: Resolver<'_>,
) -> Result<(Ini, Vec<Warning>), ConfError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let pre = Preprocessor { env, variables: Variables::new(), warnings: Vec::new(), budget: MAX_TEXT };
    let mut parser = Parser { pre, resolve, ini: Ini::new(name), stack: Vec::new(), includes: 0 };
    parser.file(name, text)?;
    parser.ini.end_at(u32::try_from(text.lines().count()).unwrap_or(u32::MAX));
    Ok((parser.ini, parser.pre.warnings))
}

struct Parser<'a> {
    pre: Preprocessor<'a>,
    resolve: Resolver<'a>,
    ini: Ini,
    /// The files under way, outermost first.
    stack: Vec<Arc<str>>,
    includes: usize,
}

/// The section every file starts in.
const TOP: usize = 0;

impl Parser<'_> {
    fn file(&mut self, name: &str, text: &str) -> Result<(), ConfError> {
        let file: Arc<str> = Arc::from(name);
        self.stack.push(Arc::clone(&file));
        let mut section = TOP;
        let mut function: Option<String> = None;
        for Line { number, text } in self.pre.run(&file, text)? {
            let at = Origin { file: Arc::clone(&file), line: number };
            let called = function.take();
            if text.is_empty() {
            } else if let Some(target) = include_target(&text) {
                self.include(at, target)?;
                section = TOP;
            } else if text.starts_with('#') {
                function = directive(&text).map(|(_, name)| name.to_owned());
            } else if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                let name = name.trim_matches(BLANKS);
                section = if name == GLOBAL { TOP } else { self.ini.open(name, at) };
            } else {
                self.entry(section, &text, at, called.as_deref())?;
            }
        }
        self.stack.pop();
        Ok(())
    }

    fn include(&mut self, at: Origin, target: &str) -> Result<(), ConfError> {
        let lower = target.to_ascii_lowercase();
        if lower.starts_with("http://") || lower.starts_with("https://") {
            let why = format!(
                "#include {target}: files are not fetched over HTTP, so that a start never hangs on another \
                 server; copy the file here and include it by its name"
            );
            return Err(syntax(at, why));
        }
        let target = if lower.starts_with("file://") { target.get(7..).unwrap_or_default() } else { target };
        if self.stack.len() >= MAX_DEPTH || self.includes >= MAX_INCLUDES {
            return Err(syntax(at, format!("#include {target}: includes are nested too deep or too many")));
        }
        self.includes += 1;
        let from = Arc::clone(&at.file);
        let file = (self.resolve)(&from, target)
            .map_err(|why| syntax(at.clone(), format!("#include {target}: {why}")))?;
        if self.stack.iter().any(|open| **open == *file.name) {
            return Err(syntax(at, format!("#include {target}: the file includes itself")));
        }
        self.file(&file.name, file.text.strip_prefix('\u{feff}').unwrap_or(&file.text))
    }

    /// `key = value`, behind `#@function` perhaps.
    fn entry(
        &mut self,
        section: usize,
        text: &str,
        at: Origin,
        function: Option<&str>,
    ) -> Result<(), ConfError> {
        let Some((key, value)) = text.split_once('=') else {
            self.warn(at, format!("{:?} is ignored: expected key = value", cut(text, MAX_KEY)));
            return Ok(());
        };
        let (key, value) = (key.trim_matches(BLANKS), value.trim_matches(BLANKS));
        if key.is_empty() {
            self.warn(at, "a value without a key is ignored");
            return Ok(());
        }
        let key = self.shorten(&at, key, key, MAX_KEY);
        match function.map(str::to_ascii_uppercase).as_deref() {
            None => self.push(section, key, value, at),
            Some("REPLACE_VARS") => {
                let value = condition::replace(value, self.pre.env, &self.pre.variables);
                self.push(section, key, &value, at);
            }
            Some("LOCAL_IP_GET") => {
                let ips = local_ips(value, self.pre.env)
                    .map_err(|why| syntax(at.clone(), format!("{key} = {value}: {why}")))?;
                for ip in ips {
                    self.push(section, key.clone(), &ip.to_string(), at.clone());
                }
            }
            Some(name) => {
                let why = if name == "SHELL_EXEC" { "commands are not run" } else { "unknown function" };
                self.warn(at.clone(), format!("#@function {name}: {why}, {key} is taken as written"));
                self.push(section, key, value, at);
            }
        }
        Ok(())
    }

    fn push(&mut self, section: usize, key: String, value: &str, at: Origin) {
        let value = self.shorten(&at, &key, value, MAX_VALUE);
        if value.contains('\u{fffd}') {
            self.warn(at.clone(), format!("{key}: the value is not UTF-8 text"));
        }
        self.ini.push(section, Entry { key, value, at, in_array: false });
    }

    fn shorten(&mut self, at: &Origin, key: &str, text: &str, max: usize) -> String {
        let short = cut(text, max).trim_matches(BLANKS);
        if short.len() < text.len() {
            let what = if max == MAX_KEY { "key" } else { "value" };
            self.warn(at.clone(), format!("{}: the {what} is cut to {max} bytes", cut(key, MAX_KEY)));
        }
        short.to_owned()
    }

    fn warn(&mut self, at: Origin, text: impl Into<String>) {
        self.pre.warnings.push(Warning::new(at, text));
    }
}

/// The name behind `#include` and one blank.
fn include_target(line: &str) -> Option<&str> {
    let (word, rest) = line.split_at_checked("#include".len())?;
    let named = word.eq_ignore_ascii_case("#include") && rest.starts_with([' ', '\t']);
    named.then(|| rest.trim_matches(BLANKS))
}

/// `inner`, `private` or anything else, with an index in brackets perhaps.
fn local_ips(value: &str, env: &Env) -> Result<Vec<IpAddr>, String> {
    let (which, index) = match value.split_once('[') {
        None => (value, None),
        Some((which, index)) => {
            let index = index.strip_suffix(']').and_then(|index| parse_int(index.trim_matches(BLANKS)));
            (which.trim_matches(BLANKS), Some(index.ok_or("expected a number in the brackets")?))
        }
    };
    let private = ["inner", "private"].iter().any(|word| which.eq_ignore_ascii_case(word));
    let local =
        env.local_ips.as_ref().ok_or("the addresses of this machine are not known to this program")?;
    let found: Vec<IpAddr> = local.iter().filter(|ip| is_private(ip) == private).copied().collect();
    let kind = if private { "private" } else { "public" };
    let wanted = match index {
        None => found,
        Some(-1) => found.last().copied().into_iter().collect(),
        Some(index) => {
            usize::try_from(index).ok().and_then(|index| found.get(index)).copied().into_iter().collect()
        }
    };
    if wanted.is_empty() { Err(format!("this machine has no such {kind} address")) } else { Ok(wanted) }
}
