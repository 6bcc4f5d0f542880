//! `fdfs_tracker_stat`, `fdfs_storage_stat`, `fdfs_volumn_stat` (protocol 8.3).

use fdfs_core::ident::StorageStatus;
use fdfs_core::wire::Text;
use fdfs_core::wire::cluster_stat::{StorageStat, StorageStats, TrackerStat, VolumeStat, VolumeStats};
use serde_json::{Value, json};
use zerocopy::byteorder::big_endian::I32;

use super::format::{local_time, mib};
use super::{Ended, with_client};
use crate::client::Client;
use crate::error::ClientError;

const CONF: &str = "/etc/fdfs/client.conf";

pub(super) const TRACKER: &str = "[-c config_file] [-A|-N] [-L|-F] [-d]\n\t-A: active ones, -N: the others\n\
                                  \t-L: the leader, -F: the followers\n\t-d: detail";
pub(super) const STORAGE: &str = "[-c config_file] [-A|-N] [-T|-t] [-d]\n\t-A: active ones, -N: the others\n\
                                  \t-T: trunk servers, -t: the others\n\t-d: detail";
pub(super) const VOLUME: &str = "[-c config_file] [-A|-N|-F] [-D|-d] [-T|-t]\n\t-A: groups that take files, -N or -F: \
                                 the others\n\t-D: disk space available, -d: not\n\t-T: trunk space available, -t: not";

pub(super) fn trackers(args: &[String]) -> Ended {
    run(args, "AN LF d", TRACKER, "tracker_cluster_stat", async |client, chosen| {
        let all = client.tracker_stats(chosen.of('A', 'N'), chosen.of('L', 'F')).await?;
        Ok((tracker_text(&all, chosen.has('d')), all.iter().map(tracker_value).collect()))
    })
}

pub(super) fn storages(args: &[String]) -> Ended {
    run(args, "AN Tt d", STORAGE, "storage_cluster_stat", async |client, chosen| {
        let status = chosen.of('A', 'N').map(|active| (active, StorageStatus::Active.wire()));
        let all = client.storage_stats(chosen.of('T', 't'), status).await?;
        let value = all.storages.iter().map(storage_value).collect();
        Ok((storage_text(&all, chosen.has('d')), value))
    })
}

pub(super) fn volumes(args: &[String]) -> Ended {
    run(args, "ANF Dd Tt", VOLUME, "storage_volumn_stat", async |client, chosen| {
        let space = chosen.of('A', 'N').or(chosen.has('F').then_some(false));
        let all = client.volume_stats(chosen.of('D', 'd'), chosen.of('T', 't'), space).await?;
        Ok((volume_text(&all), all.volumes.iter().map(volume_value).collect()))
    })
}

/// The letters that were given.
struct Chosen(String);

impl Chosen {
    fn has(&self, letter: char) -> bool {
        self.0.contains(letter)
    }

    fn of(&self, yes: char, no: char) -> Option<bool> {
        if self.has(yes) { Some(true) } else { self.has(no).then_some(false) }
    }
}

/// `letters` are the known ones; of those that stand together at most one may be given.
fn run(
    args: &[String],
    letters: &str,
    usage: &str,
    what: &str,
    ask: impl AsyncFnOnce(&Client, &Chosen) -> Result<(String, Value), ClientError>,
) -> Ended {
    let (mut conf, mut chosen, mut rest) = (CONF, Chosen(String::new()), args);
    while let Some((arg, others)) = rest.split_first() {
        rest = others;
        match (arg.as_str(), arg.strip_prefix('-')) {
            ("-h", _) => {
                eprintln!("Usage: {usage}");
                return Ended::Done;
            }
            ("-c", _) => {
                let Some((name, others)) = rest.split_first() else { return Ended::Usage };
                (conf, rest) = (name, others);
            }
            (_, Some(given))
                if !given.is_empty() && given.chars().all(|c| c != ' ' && letters.contains(c)) =>
            {
                chosen.0 += given;
            }
            _ => return Ended::Usage,
        }
    }
    let twice = |set: &str| set.chars().filter(|letter| chosen.has(*letter)).count() > 1;
    if letters.split(' ').any(twice) {
        return Ended::Usage;
    }
    match with_client(what, conf, async |client| ask(client, &chosen).await) {
        Ok((text, value)) => Ended::Said(text, value),
        Err(ended) => ended,
    }
}

fn connections(of: &[I32; 3]) -> String {
    let [alloc, current, max] = of.map(|n| n.get());
    format!("connections {{alloc: {alloc}, current: {current}, max: {max}}}")
}

fn tracker_text(all: &[TrackerStat], detail: bool) -> String {
    let mut text = String::from("\n");
    for tracker in all {
        let said = connections(&tracker.connections);
        let (host, leads) = (tracker.host.as_str(), tracker.is_leader);
        text += &format!("{host}, is_leader: {leads}, is_active: {}, {said}\n", tracker.is_active);
        if detail {
            text += &format!(
                "  version: {}, up_time: {}",
                shown(&tracker.version),
                local_time(tracker.up_time.get())
            );
            if leads == 0 {
                text += &format!(", last_heartbeat_time: {}", local_time(tracker.last_heartbeat.get()));
            }
            text += "\n\n";
        }
    }
    text + &format!("\ntracker server count: {}\n\n", all.len())
}

fn storage_text(all: &StorageStats, detail: bool) -> String {
    let mut text = String::from("\n");
    for storage in &all.storages {
        if all.storage_ids {
            text += &format!("{} ", storage.id.as_str());
        }
        text += &format!("{} {}, ", storage.host.as_str(), status(storage.status));
        if all.trunk {
            text += &format!("is_trunk_server: {}, ", storage.is_trunk_server);
        }
        text += &format!("{}\n", connections(&storage.connections));
        if detail {
            text += &format!(
                "  version: {}, up_time: {}, last_heartbeat_time: {}\n\n",
                shown(&storage.version),
                local_time(storage.up_time.get()),
                local_time(storage.last_heartbeat.get())
            );
        }
    }
    text + &format!("\nstorage server count: {}\n\n", all.storages.len())
}

fn volume_text(all: &VolumeStats) -> String {
    let mut text = String::from("\n");
    let mut sum = Sum::default();
    for volume in &all.volumes {
        let one = Sum::of(volume);
        text += &format!("{}{}\n\n", volume.name.as_str(), one.text(all.trunk));
        sum.add(&one);
    }
    if let [_] = all.volumes.as_slice() {
        return text + "storage volumn / group count: 1\n\n";
    }
    let line = "=".repeat(32);
    text += &format!("{line} VOLUMNS SUMMARY {line}\n{}\n\n", sum.text(all.trunk));
    let available = all.volumes.iter().filter(|v| v.disk_available != 0 || v.trunk_available != 0).count();
    text + &format!("volumn / group counts {{total: {}, available: {available}}}\n\n", all.volumes.len())
}

/// Figures of one group or of all, MB.
#[derive(Default)]
struct Sum {
    total: i64,
    free: i64,
    reserved: i64,
    available: i64,
    trunk_free: i64,
    disk: bool,
    trunk: bool,
}

impl Sum {
    fn of(volume: &VolumeStat) -> Self {
        Self {
            total: volume.total_mb.get(),
            free: volume.free_mb.get(),
            reserved: volume.reserved_mb.get(),
            available: volume.available_mb.get(),
            trunk_free: volume.trunk_free_mb.get(),
            disk: volume.disk_available != 0,
            trunk: volume.trunk_available != 0,
        }
    }

    fn add(&mut self, other: &Self) {
        let sums = [
            (&mut self.total, other.total),
            (&mut self.free, other.free),
            (&mut self.reserved, other.reserved),
            (&mut self.available, other.available),
            (&mut self.trunk_free, other.trunk_free),
        ];
        sums.into_iter().for_each(|(sum, more)| *sum = sum.saturating_add(more));
        self.disk |= other.disk;
        self.trunk |= other.trunk;
    }

    fn text(&self, trunk: bool) -> String {
        let usable = self.total.saturating_sub(self.reserved);
        let percent = |part: i64| match usable > 0 {
            true => part as f64 * 100.0 / usable as f64,
            false => 0.0,
        };
        let mut text = format!(" disk_available: {}", u8::from(self.disk));
        if trunk {
            text += &format!(", trunk_available: {}", u8::from(self.trunk));
        }
        text += &format!(
            ", disk space {{total: {}, free: {}, reserved: {}, avail: {}, util: {:.2}%}}",
            mib(self.total),
            mib(self.free),
            mib(self.reserved),
            mib(self.available),
            percent(usable.saturating_sub(self.available))
        );
        if trunk {
            let all = self.available.saturating_add(self.trunk_free);
            text += &format!(
                ", trunk free space: {}, total available {{space: {}, ratio: {:.2}%}}",
                mib(self.trunk_free),
                mib(all),
                percent(all)
            );
        }
        text
    }
}

fn shown<const N: usize>(field: &Text<N>) -> &str {
    field.as_str().trim_end()
}

fn status(number: u8) -> String {
    StorageStatus::from_wire(number).map_or_else(|_| "UNKNOWN".into(), |status| status.to_string())
}

fn tracker_value(tracker: &TrackerStat) -> Value {
    json!({
        "host": tracker.host.as_str(), "is_leader": tracker.is_leader != 0, "is_active": tracker.is_active != 0,
        "connections": tracker.connections.map(|n| n.get()), "version": shown(&tracker.version),
        "up_time": tracker.up_time.get(), "last_heartbeat_time": tracker.last_heartbeat.get(),
    })
}

fn storage_value(storage: &StorageStat) -> Value {
    json!({
        "id": storage.id.as_str(), "host": storage.host.as_str(), "status": status(storage.status),
        "is_trunk_server": storage.is_trunk_server != 0, "connections": storage.connections.map(|n| n.get()),
        "version": shown(&storage.version), "up_time": storage.up_time.get(),
        "last_heartbeat_time": storage.last_heartbeat.get(),
    })
}

fn volume_value(volume: &VolumeStat) -> Value {
    json!({
        "group": volume.name.as_str(), "disk_available": volume.disk_available != 0,
        "trunk_available": volume.trunk_available != 0, "total_mb": volume.total_mb.get(),
        "free_mb": volume.free_mb.get(), "reserved_mb": volume.reserved_mb.get(),
        "available_mb": volume.available_mb.get(), "trunk_free_mb": volume.trunk_free_mb.get(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;
    use zerocopy::byteorder::big_endian::I64;

    /// Two groups as in the recordings of existing tools.
    fn volume(name: &[u8], trunk_mb: i64) -> VolumeStat {
        let mut volume = VolumeStat::new_zeroed();
        volume.name = Text::cut(name);
        (volume.total_mb, volume.free_mb) = (I64::new(252 * 1024), I64::new(74 * 1024));
        (volume.reserved_mb, volume.available_mb) = (I64::new(2580), I64::new(73 * 1024 - 2000));
        volume.trunk_free_mb = I64::new(trunk_mb);
        volume.disk_available = 1;
        volume
    }

    #[test]
    fn several_groups_have_a_summary() {
        let all = VolumeStats { trunk: false, volumes: vec![volume(b"group1", 0), volume(b"group2", 0)] };
        let text = volume_text(&all);
        assert!(text.starts_with(
            "\ngroup1 disk_available: 1, disk space {total: 252 GB, free: 74 GB, reserved: 2.5 GB, "
        ));
        let line = "=".repeat(32);
        assert!(text.contains(&format!(
            "\n\n{line} VOLUMNS SUMMARY {line}\n disk_available: 1, disk space {{total: 504 GB"
        )));
        assert!(text.ends_with("%}\n\nvolumn / group counts {total: 2, available: 2}\n\n"), "{text}");
    }

    #[test]
    fn one_group_has_none() {
        let all = VolumeStats { trunk: true, volumes: vec![volume(b"group1", 3)] };
        let text = volume_text(&all);
        assert!(text.contains(", trunk_available: 0, disk space {"), "{text}");
        assert!(text.contains(", trunk free space: 3.0 MB, total available {space: "), "{text}");
        assert!(text.ends_with("%}\n\nstorage volumn / group count: 1\n\n"));
    }

    #[test]
    fn options_that_exclude_each_other_are_refused() {
        for args in [&["-A", "-N"][..], &["-x"], &["-c"], &["file"]] {
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            assert!(matches!(storages(&args), Ended::Usage), "{args:?}");
        }
    }
}
