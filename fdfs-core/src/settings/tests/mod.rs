//! Settings structs on real files, on odd values, and in both forms.

mod errors;
mod files;
mod forms;
mod ids;
mod values;

use super::*;
use crate::conf::parse;

/// Settings of a classic file with this text.
fn classic<T: Settings>(text: &str) -> Result<(T, Vec<Warning>), ConfError> {
    let (ini, warnings) = parse("test.conf", text, &Env::default(), &mut |_, name| {
        Err(ConfError::Read { path: name.into(), source: std::io::ErrorKind::NotFound.into() })
    })?;
    build(ini, warnings)
}

fn tracker(lines: &str) -> (TrackerSettings, Vec<Warning>) {
    classic(&format!("base_path = /b\n{lines}")).unwrap()
}

fn storage(lines: &str) -> (StorageSettings, Vec<Warning>) {
    classic(&format!("base_path = /b\ntracker_server = 10.0.0.1\n{lines}")).unwrap()
}

fn module(lines: &str) -> (ModSettings, Vec<Warning>) {
    classic(&format!("base_path = /b\ngroup_name = group1\n{lines}")).unwrap()
}

fn texts(warnings: &[Warning]) -> Vec<String> {
    warnings.iter().map(Warning::to_string).collect()
}
