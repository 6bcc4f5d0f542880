//! `mod_fastdfs.conf` at configuration time, in the form that requests use.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fdfs_core::conf::{self, Env, Ini, Origin};
use fdfs_core::http::{LocalGroup, Site, TokenKind, TokenRules};
use fdfs_core::settings::{ModSettings, ResponseMode};

/// One `mod_fastdfs.conf`.
pub struct SiteConf {
    /// Tells apart what workers know for different files, also across reloads.
    pub number: u64,
    /// Path of the file, or `fastdfs_set`.
    pub path: String,
    /// Which URL is which file.
    pub site: Site,
    /// Whom to ask for members.
    pub trackers: Vec<SocketAddr>,
    /// Longest wait for a connection to a storage.
    pub connect_timeout: Duration,
    /// Longest wait for a read from or write to a storage.
    pub network_timeout: Duration,
    /// Requests need a token, unless the location says otherwise.
    pub check_token: bool,
    /// How tokens are checked. No keys when none are configured.
    pub tokens: TokenRules,
    /// `response_mode = redirect`: the client is sent to the member that has the file.
    pub redirect: bool,
    /// `flv_support`: extension of files of which players ask for parts.
    pub flv_extension: Option<String>,
}

/// A line for the error log.
pub struct Trouble {
    /// Whether nginx must not start.
    pub fatal: bool,
    /// File, line, key, meaning.
    pub text: String,
}

/// A key that nginx's own configuration gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inline {
    /// Key of `mod_fastdfs.conf`.
    pub key: String,
    /// Its value.
    pub value: String,
    /// File and line of the directive.
    pub at: Origin,
}

/// Reads `path` with its includes; the `inline` keys stand instead of those of the file. No path: they are all there is. No
/// settings when one of the troubles is fatal.
pub fn read(path: Option<&str>, inline: &[Inline]) -> (Option<SiteConf>, Vec<Trouble>) {
    let fatal = |text: String| Trouble { fatal: true, text };
    let loaded = match path {
        Some(path) => conf::load(Path::new(path), &Env::default()),
        None => Ok((Ini::new("fastdfs_set"), Vec::new())),
    };
    let loaded = loaded.and_then(|(mut ini, warnings)| {
        inline.iter().for_each(|entry| ini.unset(&entry.key));
        inline.iter().for_each(|entry| ini.add(&entry.key, &entry.value, entry.at.clone()));
        ModSettings::from_ini(ini, warnings)
    });
    let (settings, warnings) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return (None, vec![fatal(error.to_string())]),
    };
    // In a file an unknown key may be of another version; here it is a mistake.
    if let Some(unknown) = warnings.iter().find(|warning| inline.iter().any(|entry| entry.at == warning.at)) {
        return (None, vec![fatal(unknown.to_string())]);
    }
    let mut notes: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let path = path.unwrap_or("fastdfs_set");
    let mut trackers = Vec::new();
    for tracker in &settings.tracker_server {
        for host in &tracker.hosts {
            match (host.as_str(), tracker.port).to_socket_addrs() {
                Ok(found) => trackers.extend(found.take(1)),
                Err(error) => notes.push(format!("{path}: tracker_server: {host}: {error}")),
            }
        }
    }
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let site = SiteConf {
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        path: path.to_owned(),
        site: site(&settings),
        trackers,
        connect_timeout: Duration::from_secs(settings.connect_timeout.0),
        network_timeout: Duration::from_secs(settings.network_timeout.0),
        check_token: settings.http.tokens(),
        tokens: tokens(&settings),
        redirect: settings.response_mode == ResponseMode::Redirect,
        flv_extension: settings.flv_support.then(|| settings.flv_extension.clone()),
    };
    let missing =
        site.site.groups.iter().flat_map(|group| &group.paths).filter(|store| !Path::new(store).is_dir());
    if let Some(file) = &site.tokens.fail_file
        && !Path::new(file).is_file()
    {
        notes.push(format!(
            "{path}: http.anti_steal.token_check_fail: {file} is no file: the answer will be 400"
        ));
    }
    notes.extend(missing.map(|store| format!("{path}: store path {store} is no directory")));
    (Some(site), notes.into_iter().map(|text| Trouble { fatal: false, text }).collect())
}

fn site(settings: &ModSettings) -> Site {
    let groups = settings.groups.iter().map(|group| LocalGroup {
        name: group.group_name,
        paths: group.store_paths.iter().map(|store| store.path.clone()).collect(),
    });
    Site { url_has_group: settings.url_have_group_name, groups: groups.collect() }
}

fn tokens(settings: &ModSettings) -> TokenRules {
    let header = settings.anti_steal_bypass_header_name.clone().filter(|name| !name.is_empty());
    TokenRules {
        kind: TokenKind::Md5,
        keys: settings.http.secret_key.clone().into_iter().filter(|key| !key.is_empty()).collect(),
        ttl_s: settings.http.token_ttl.0,
        fail_file: settings.http.token_check_fail.clone().filter(|file| !file.is_empty()),
        bypass: header.map(|name| (name, settings.anti_steal_bypass_header_value.clone())),
    }
}
