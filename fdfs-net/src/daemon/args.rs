//! `NAME [options] CONFIG [start | stop | restart | status]`

use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    Stop,
    Restart,
    Status,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Args {
    pub conf: PathBuf,
    pub action: Action,
    pub foreground: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Run(Args),
    Version,
    Usage { code: u8, text: String, to_stdout: bool },
}

pub(super) fn parse(name: &str, args: impl Iterator<Item = OsString>) -> Parsed {
    let wrong = |code, why: String| Parsed::Usage { code, text: why + &usage(name), to_stdout: false };
    let (mut conf, mut action, mut foreground) = (None, None, false);
    for arg in args {
        match arg.to_str() {
            Some("-h" | "--help") => return Parsed::Usage { code: 0, text: usage(name), to_stdout: true },
            Some("-V" | "--version") => return Parsed::Version,
            Some("-N" | "--no-daemon") => foreground = true,
            Some(option) if option.starts_with('-') => {
                return wrong(22, format!("unknown option: {option}\n"));
            }
            _ if conf.is_none() => conf = Some(PathBuf::from(arg)),
            Some(word) if action.is_none() => match word {
                "start" => action = Some(Action::Start),
                "stop" => action = Some(Action::Stop),
                "restart" => action = Some(Action::Restart),
                "status" => action = Some(Action::Status),
                _ => return wrong(22, format!("invalid action: {word}\n")),
            },
            _ => return wrong(22, format!("unexpected argument: {}\n", arg.display())),
        }
    }
    match conf {
        Some(conf) => Parsed::Run(Args { conf, action: action.unwrap_or(Action::Start), foreground }),
        None => wrong(1, String::new()),
    }
}

fn usage(name: &str) -> String {
    format!(
        "Usage: {name} [options] <config_file> [start | stop | restart | status]\n\n\
         options:\n\
         \t-N, --no-daemon: stay in the foreground\n\
         \t-V, --version: show the version\n\
         \t-h, --help: show this text\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Parsed {
        parse("x", args.iter().map(OsString::from))
    }

    #[test]
    fn forms() {
        let run = |action, foreground| Parsed::Run(Args { conf: "c".into(), action, foreground });
        assert_eq!(parsed(&["c"]), run(Action::Start, false));
        assert_eq!(parsed(&["-N", "c"]), run(Action::Start, true));
        assert_eq!(parsed(&["c", "restart", "--no-daemon"]), run(Action::Restart, true));
        assert_eq!(parsed(&["c", "-V"]), Parsed::Version);
        let code = |args: &[&str]| match parsed(args) {
            Parsed::Usage { code, .. } => code,
            other => panic!("{other:?}"),
        };
        assert_eq!((code(&[]), code(&["-h"]), code(&["c", "jump"]), code(&["-x"])), (1, 0, 22, 22));
    }
}
