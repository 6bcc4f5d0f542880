//! Steps of the start.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use fdfs_core::dist::Dist;
use fdfs_core::settings::{AddressFamily, StorageSettings};
use fdfs_core::wire::Status;
use fdfs_net::daemon::Refusal;

use crate::binlog::Binlog;
use crate::disk::{PathMark, StorePaths, Threads};
use crate::dups;
use crate::edit;
use crate::identity::Identity;
use crate::link::{Answers, Bootstrap};
use crate::state::{self, InitFlag, Stat, read_saved};
use crate::storage::{Storage, now};

/// Where to listen: `inner_bind_addr` and `outer_bind_addr` with their ports if one of them is there, else `bind_addr`,
/// else every address of the family.
pub fn listen(settings: &StorageSettings) -> Result<Vec<SocketAddr>, Refusal> {
    let port = settings.port;
    let sides = [
        ("inner_bind_addr", &settings.inner_bind_addr, settings.inner_port),
        ("outer_bind_addr", &settings.outer_bind_addr, settings.outer_port),
    ];
    let mut found = Vec::new();
    for (key, text, own) in sides {
        found.extend(addresses(key, text)?.into_iter().map(|ip| SocketAddr::new(ip, own.unwrap_or(port))));
    }
    if found.is_empty() {
        found.extend(
            addresses("bind_addr", &settings.bind_addr)?.into_iter().map(|ip| SocketAddr::new(ip, port)),
        );
    }
    if found.is_empty() {
        let any: IpAddr = match settings.address_family {
            AddressFamily::V4 => Ipv4Addr::UNSPECIFIED.into(),
            // Takes IPv4 as well.
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        found.push(SocketAddr::new(any, port));
    }
    found.dedup();
    Ok(found)
}

/// What a storage has on its disks.
pub struct Opened {
    /// `base_path/data`.
    pub data: PathBuf,
    paths: StorePaths,
    /// What was agreed with the trackers.
    pub init: InitFlag,
    binlog: Arc<Binlog>,
    stat: Stat,
    dist: Dist,
}

impl Opened {
    /// Opens all of it; what a killed process left is removed.
    pub fn open(settings: &StorageSettings, up_time: i64) -> Result<Self, Refusal> {
        let threads = Threads { read: settings.readers(), write: settings.writers() };
        let paths = StorePaths::with_threads(&settings.store_paths, settings.subdir_count_per_path, threads)
            .map_err(|error| Refusal::new(Status::from_io(&error).0, format!("cannot use a {error}")))?;
        let data = PathBuf::from(&settings.base_path).join("data");
        state::clean(&data, &settings.store_paths).map_err(|error| Refusal::io("leftovers", &error))?;
        let init = InitFlag::open(&data, up_time).map_err(|error| Refusal::io("init flag", &error))?;
        let binlog = Binlog::open(&data.join("sync")).map_err(|error| Refusal::io("binlog", &error))?;
        let saved = match std::fs::read(data.join("storage_stat.dat")) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Refusal::io("storage_stat.dat", &error)),
        };
        let (counters, dist) = read_saved(&saved);
        Ok(Self { data, paths, init, binlog, stat: Stat::new(&counters), dist })
    }

    /// The storage that the trackers know, with `kept` of what they said before, once what was under way when a process was
    /// killed is completed.
    pub fn storage(
        self,
        settings: StorageSettings,
        found: Bootstrap,
        kept: Option<&Answers>,
    ) -> Result<Arc<Storage>, Refusal> {
        let Bootstrap { identity, params, answers, remembered } = found;
        if remembered {
            tracing::warn!("no tracker answers: serving with what they said at an earlier start");
        } else if kept != Some(&answers)
            && let Err(error) = answers.save(&self.data)
        {
            // On a full disk, say. Only a start without any tracker would need it.
            tracing::error!(%error, "what the trackers said cannot be kept");
        }
        let Self { paths, binlog, stat, dist, init, .. } = self;
        let storage = Storage::new(settings, identity, params, paths, binlog, stat, dist, init)
            .map_err(|error| Refusal::io("storage", &error))?;
        storage.said.store(Some(Arc::new(answers)));
        check_marks(&storage)?;
        edit::replay(&storage).map_err(|error| Refusal::io("changes under way", &error))?;
        dups::settle(&storage).map_err(|error| Refusal::io("index of equal content", &error))?;
        save_addresses(&storage)?;
        Ok(storage)
    }
}

fn addresses(key: &str, text: &str) -> Result<Vec<IpAddr>, Refusal> {
    let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
    items.map(|item| item.trim_matches(['[', ']']).parse()).collect::<Result<_, _>>().map_err(|_| {
        Refusal::new(22, format!("{key} = {text}: expected one IP address, or two with a comma"))
    })
}

/// The address before and now, when it is another one than at the last start.
#[cfg_attr(feature = "sim", allow(dead_code))]
pub fn moved(init: &InitFlag, identity: &Identity) -> Option<(IpAddr, IpAddr)> {
    let old = init.last_ip_addr.split(',').next()?.trim().parse().ok()?;
    let new = *identity.ips.first()?;
    (old != new).then_some((old, new))
}

/// Refuses a store path that was made for another storage (storage 6.4).
fn check_marks(storage: &Storage) -> Result<(), Refusal> {
    if !storage.settings.check_store_path_mark {
        return Ok(());
    }
    for path in storage.paths.indexes() {
        let file = storage.paths.base(path).join("data/.fastdfs_vars");
        let on_path = std::fs::read_to_string(&file).ok().and_then(|text| PathMark::parse_file(&text));
        let ours = storage.init().marks.get(&path.index()).cloned();
        match (&ours, &on_path) {
            (Some(ours), Some(found)) if ours == found => continue,
            (_, Some(_)) => {
                let text = format!(
                    "{} was made for another storage: its mark in {} is not the one in {}",
                    storage.paths.base(path).display(),
                    file.display(),
                    storage.data_dir().join(".data_init_flag").display()
                );
                return Err(Refusal::new(22, text));
            }
            (Some(_), None) if !storage.paths.is_fresh(path) => {
                tracing::warn!(file = %file.display(), "the mark of the store path is missing and made anew");
            }
            _ => {}
        }
        let identity = &storage.identity;
        let ip = identity.ips.first().copied().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let mark = PathMark::new(ip, identity.port, path.byte(), u32::try_from(now()).unwrap_or(0));
        // A mark that only the flag file has is made anew by the next start; one that only the path has is refused.
        storage
            .update_init(|init| drop(init.marks.insert(path.index(), mark.clone())))
            .and_then(|()| state::save(&file, mark.file().as_bytes()))
            .map_err(|error| Refusal::io("mark of a store path", &error))?;
    }
    Ok(())
}

fn save_addresses(storage: &Storage) -> Result<(), Refusal> {
    let ips: Vec<String> = storage.identity.ips.iter().map(ToString::to_string).collect();
    let (ips, port) = (ips.join(","), storage.identity.port);
    storage
        .update_init(|init| {
            init.last_ip_addr = ips;
            init.last_server_port = port;
        })
        .map_err(|error| Refusal::io("init flag", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        let listen = |change: fn(&mut StorageSettings)| {
            let mut settings = StorageSettings::default();
            change(&mut settings);
            let found = listen(&settings).map_err(|refusal| refusal.text);
            found.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(listen(|_| {}).unwrap(), "[::]:23000");
        assert_eq!(listen(|s| s.address_family = AddressFamily::V4).unwrap(), "0.0.0.0:23000");
        assert_eq!(
            listen(|s| s.bind_addr = "10.0.0.1,[fd66::1]".into()).unwrap(),
            "10.0.0.1:23000 [fd66::1]:23000"
        );
        let two = listen(|s| {
            s.bind_addr = "10.9.9.9".into();
            s.inner_bind_addr = "10.0.0.1".into();
            s.outer_bind_addr = "8.8.8.8".into();
            s.outer_port = Some(80);
        });
        assert_eq!(two.unwrap(), "10.0.0.1:23000 8.8.8.8:80");
        assert!(
            listen(|s| s.outer_bind_addr = "nowhere".into())
                .unwrap_err()
                .contains("outer_bind_addr = nowhere")
        );
    }
}
