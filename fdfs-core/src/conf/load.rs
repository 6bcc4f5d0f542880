//! The one place that reads config files.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::env::Env;
use super::error::{ConfError, Warning};
use super::ini::Ini;
use super::parse::{Included, parse};
use super::preprocess::MAX_TEXT;
use super::toml_form;

/// Reads a config file: TOML when its name ends in `.toml`, else the classic form with its includes, which
/// are relative to the folder of `path`.
pub fn load(path: &Path, env: &Env) -> Result<(Ini, Vec<Warning>), ConfError> {
    let name = path.to_string_lossy();
    let text = read_text(path)?;
    if is_toml(&name) {
        return toml_form::parse(&name, &text);
    }
    let dir = path.parent().unwrap_or(Path::new(""));
    parse(&name, &text, env, &mut |from, target| {
        let mut file = dir.join(target);
        let beside = Path::new(from).parent().unwrap_or(dir).join(target);
        if !file.exists() && beside.exists() {
            file = beside; // beside the file that includes it, as nginx-module 2 has it
        }
        Ok(Included { name: file.to_string_lossy().into_owned(), text: read_text(&file)? })
    })
}

/// Whether a file of this name holds TOML.
pub fn is_toml(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|ext| ext.eq_ignore_ascii_case("toml"))
}

/// Text of a file. Bytes that are not UTF-8, as in comments written long ago, become U+FFFD.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfError> {
    let failed = |source| ConfError::Read { path: path.to_string_lossy().into_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > MAX_TEXT {
        return Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    Ok(match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(bad) => String::from_utf8_lossy(bad.as_bytes()).into_owned(),
    })
}
