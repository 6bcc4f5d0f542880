//! All tools in one program: the name it is called by, or its first argument, says which.

use std::process::ExitCode;

use fdfs_client::tools::{TOOLS, Tool};

fn main() -> ExitCode {
    let mut args = std::env::args();
    let called = args.next().unwrap_or_default();
    let called = called.rsplit('/').next().unwrap_or_default().to_owned();
    let args: Vec<String> = args.collect();
    if let Some(tool) = find(&called) {
        return ExitCode::from(tool.run(&args));
    }
    match args.split_first() {
        Some((first, _)) if first == "--list" => {
            for tool in TOOLS {
                println!("{}", tool.name);
            }
            ExitCode::SUCCESS
        }
        Some((first, rest)) => match find(first).or_else(|| find(&format!("fdfs_{first}"))) {
            Some(tool) => ExitCode::from(tool.run(rest)),
            None => usage(first != "--help" && first != "-h"),
        },
        None => usage(true),
    }
}

fn find(name: &str) -> Option<&'static Tool> {
    TOOLS.iter().find(|tool| tool.name == name)
}

fn usage(wrong: bool) -> ExitCode {
    let mut text = "Usage: fdfs <tool> [arguments]; each tool is also a program of its own name\n".to_owned();
    for tool in TOOLS {
        let short = tool.name.strip_prefix("fdfs_").unwrap_or(tool.name);
        text += &format!("  {short} {}\n", tool.usage);
    }
    if wrong {
        eprint!("{text}");
        ExitCode::FAILURE
    } else {
        print!("{text}");
        ExitCode::SUCCESS
    }
}
