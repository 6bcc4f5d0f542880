//! `fdfs_monitor`: lists, explains and changes the cluster (protocol 8.2).

use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::wire::Status;
use serde_json::json;

use super::listing::{Listing, head};
use super::{Ended, explain, failure, lag, with_client};
use crate::client::Client;
use crate::error::ClientError;

pub(super) const USAGE: &str = "[config_file] [-h tracker_host[:port]] [list [group_name]]\n\
       fdfs_monitor [config_file] [-h tracker_host[:port]] explain [group_name]\n\
       fdfs_monitor [config_file] [-h tracker_host[:port]] lag [group_name]\n\
       fdfs_monitor [config_file] delete <group_name> [storage_id]\n\
       fdfs_monitor [config_file] set_trunk_server <group_name> [storage_id]";
const DEFAULT_CONF: &str = "/etc/fdfs/client.conf";

/// What is asked.
#[derive(Debug, PartialEq)]
enum Command {
    List(Option<GroupName>),
    Explain(Option<GroupName>),
    Lag(Option<GroupName>),
    Delete(GroupName, Option<StorageId>),
    SetTrunkServer(GroupName, Option<StorageId>),
}

#[derive(Debug, PartialEq)]
struct Wish<'a> {
    conf: &'a str,
    tracker: Option<&'a str>,
    command: Command,
}

pub(super) fn run(args: &[String]) -> Ended {
    let wish = match parse(args) {
        Ok(wish) => wish,
        Err(ended) => return ended,
    };
    let done = with_client("list groups", wish.conf, async |client| {
        if let Some(tracker) = wish.tracker
            && !client.pin(tracker)
        {
            return Ok(Ended::Failed(format!("tracker server: {tracker} not exists!"), 2));
        }
        match &wish.command {
            Command::List(group) => {
                let listing = listing(client, *group).await?;
                Ok(Ended::Said(listing.text(), listing.json()))
            }
            Command::Explain(group) => {
                let tracker = wish.tracker.and_then(|_| client.current_tracker());
                explain::explain(client, tracker, *group).await
            }
            Command::Lag(group) => lag::lag(client, *group).await,
            Command::Delete(group, id) => Ok(delete(client, *group, *id).await),
            Command::SetTrunkServer(group, id) => Ok(set_trunk_server(client, *group, *id).await),
        }
    });
    match done {
        Ok(ended) | Err(ended) => ended,
    }
}

fn parse(args: &[String]) -> Result<Wish<'_>, Ended> {
    let (mut tracker, mut words) = (None, Vec::new());
    let mut rest = args.iter().map(String::as_str);
    while let Some(arg) = rest.next() {
        match arg.strip_prefix("-h") {
            Some("") => tracker = Some(rest.next().ok_or(Ended::Usage)?),
            Some(host) => tracker = Some(host),
            None => words.push(arg),
        }
    }
    let is_command = |word: &str| matches!(word, "list" | "explain" | "lag" | "delete" | "set_trunk_server");
    let (conf, words) = match words.split_first() {
        Some((first, others)) if !is_command(first) => (*first, others),
        _ => (DEFAULT_CONF, &words[..]),
    };
    let group = |text: &str| {
        let why = || Ended::Failed("expected a group name of 1 to 16 letters and digits".into(), 22);
        text.parse::<GroupName>().map_err(|_| why())
    };
    let id = |text: &str| {
        let why = || Ended::Failed("expected a storage id of 1 to 15 characters".into(), 22);
        StorageId::new(text.as_bytes()).map_err(|_| why())
    };
    let command = match words {
        [] | ["list"] => Command::List(None),
        ["list", name] => Command::List(Some(group(name)?)),
        ["explain"] => Command::Explain(None),
        ["explain", name] => Command::Explain(Some(group(name)?)),
        ["lag"] => Command::Lag(None),
        ["lag", name] => Command::Lag(Some(group(name)?)),
        ["delete", name] => Command::Delete(group(name)?, None),
        ["delete", name, storage] => Command::Delete(group(name)?, Some(id(storage)?)),
        ["set_trunk_server", name] => Command::SetTrunkServer(group(name)?, None),
        ["set_trunk_server", name, storage] => Command::SetTrunkServer(group(name)?, Some(id(storage)?)),
        [command, ..] => {
            if !is_command(command) {
                eprintln!("Invalid command {command}");
            }
            return Err(Ended::Usage);
        }
    };
    Ok(Wish { conf, tracker, command })
}

/// Tells every tracker; one that could not be told is named, and the exit code is that of its error.
async fn delete(client: &Client, group: GroupName, id: Option<StorageId>) -> Ended {
    let what = match id {
        Some(id) => format!("delete storage server {group}::{id}"),
        None => format!("delete group: {group}"),
    };
    let mut failed = Vec::new();
    for &tracker in client.trackers() {
        if let Err(error) = client.delete_member(tracker, group, id).await {
            failed.push(error);
        }
    }
    let trackers = client.trackers();
    let text = head(trackers, 0);
    // One that had learned it from another tracker already is content.
    let happened = failed.len() < trackers.len();
    failed.retain(|error| !(happened && matches!(error.status(), Status::NOENT | Status::ALREADY)));
    let Some(first) = failed.first() else {
        return Ended::Said(format!("{text}{what} success\n"), json!({ "done": what }));
    };
    let (line, code) = failure(&what, first);
    let said = if happened { format!("{text}{what} success\n") } else { format!("{text}{line}\n") };
    let lines = failed.iter().map(ToString::to_string).collect();
    Ended::Partly(said, json!({ "error": line, "error_no": code }), lines, code)
}

async fn set_trunk_server(client: &Client, group: GroupName, id: Option<StorageId>) -> Ended {
    let text = head(client.trackers(), 0);
    let what = match id {
        Some(id) => format!("set trunk server {group}::{id}"),
        None => format!("set trunk server {group}::"),
    };
    match client.set_trunk_server(group, id).await {
        Ok(new) => {
            let text = format!("{text}{what} success, new trunk server: {new}\n");
            Ended::Said(text, json!({ "trunk_server": new }))
        }
        Err(error) => {
            let (line, code) = failure(&what, &error);
            let said = format!("{text}{line}\n");
            Ended::Partly(said, json!({ "error": line, "error_no": code }), vec![error.to_string()], code)
        }
    }
}

/// Asks for what the list shows.
async fn listing(client: &Client, only: Option<GroupName>) -> Result<Listing, ClientError> {
    let (tracker, all) = client.groups().await?;
    let index = client.trackers().iter().position(|addr| *addr == tracker).unwrap_or(0);
    let mut groups = Vec::new();
    for record in all {
        let Ok(name) = GroupName::new(record.name.bytes()) else { continue };
        if only.is_none_or(|only| only == name) {
            groups.push((record, client.storages(name).await?));
        }
    }
    match only {
        Some(group) if groups.is_empty() => {
            Err(ClientError::invalid("list groups", format!("there is no group {group}")))
        }
        _ => Ok(Listing { trackers: client.trackers().to_vec(), index, only: only.is_some(), groups }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<'a>(args: &'a [String]) -> Wish<'a> {
        let Ok(wish) = parse(args) else { panic!("{args:?}") };
        wish
    }

    #[test]
    fn every_form_of_the_arguments() {
        let args = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let group: GroupName = "group1".parse().unwrap();
        let id = StorageId::new(b"100001").unwrap();
        let all = [
            ("", DEFAULT_CONF, None, Command::List(None)),
            ("c.conf", "c.conf", None, Command::List(None)),
            ("list group1", DEFAULT_CONF, None, Command::List(Some(group))),
            ("c.conf -h 10.0.0.1 list", "c.conf", Some("10.0.0.1"), Command::List(None)),
            ("-h10.0.0.1:22122 c.conf", "c.conf", Some("10.0.0.1:22122"), Command::List(None)),
            ("c.conf delete group1 100001", "c.conf", None, Command::Delete(group, Some(id))),
            ("c.conf delete group1", "c.conf", None, Command::Delete(group, None)),
            ("c.conf explain", "c.conf", None, Command::Explain(None)),
            ("explain group1", DEFAULT_CONF, None, Command::Explain(Some(group))),
            ("lag group1", DEFAULT_CONF, None, Command::Lag(Some(group))),
            ("c.conf lag", "c.conf", None, Command::Lag(None)),
            ("set_trunk_server group1", DEFAULT_CONF, None, Command::SetTrunkServer(group, None)),
        ];
        for (text, conf, tracker, command) in all {
            assert_eq!(parsed(&args(text)), Wish { conf, tracker, command }, "{text}");
        }
        for text in ["c.conf frobnicate", "c.conf delete", "-h", "set_trunk_server", "c.conf list a b"] {
            assert!(matches!(parse(&args(text)), Err(Ended::Usage)), "{text}");
        }
        assert!(matches!(parse(&args("c.conf list ../x")), Err(Ended::Failed(_, 22))));
    }
}
