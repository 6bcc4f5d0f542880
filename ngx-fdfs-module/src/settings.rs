//! `mod_fastdfs.conf` at configuration time, in the form that requests use.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fdfs_core::http::{LocalGroup, Site, TokenRules};
use fdfs_core::settings::{ModSettings, ResponseMode};

/// One `mod_fastdfs.conf`.
pub struct SiteConf {
    /// Tells apart what workers know for different files, also across reloads.
    pub number: u64,
    /// Which URL is which file.
    pub site: Site,
    /// Whom to ask for members.
    pub trackers: Vec<SocketAddr>,
    /// Longest wait for a connection to a storage.
    pub connect_timeout: Duration,
    /// Longest wait for a read from or write to a storage.
    pub network_timeout: Duration,
    /// Requests need a token.
    pub tokens: Option<TokenRules>,
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

/// Reads `path` with its includes. No settings when one of the troubles is fatal.
pub fn read(path: &str) -> (Option<SiteConf>, Vec<Trouble>) {
    let fatal = |text: String| Trouble { fatal: true, text };
    let (settings, warnings) = match ModSettings::load(path) {
        Ok(loaded) => loaded,
        Err(error) => return (None, vec![fatal(error.to_string())]),
    };
    let mut notes: Vec<String> = warnings.iter().map(ToString::to_string).collect();
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
        site: site(&settings),
        trackers,
        connect_timeout: Duration::from_secs(settings.connect_timeout.0),
        network_timeout: Duration::from_secs(settings.network_timeout.0),
        tokens: tokens(&settings),
        redirect: settings.response_mode == ResponseMode::Redirect,
        flv_extension: settings.flv_support.then(|| settings.flv_extension.clone()),
    };
    let missing =
        site.site.groups.iter().flat_map(|group| &group.paths).filter(|store| !Path::new(store).is_dir());
    if let Some(file) = site.tokens.as_ref().and_then(|rules| rules.fail_file.as_ref())
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

fn tokens(settings: &ModSettings) -> Option<TokenRules> {
    let header = settings.anti_steal_bypass_header_name.clone().filter(|name| !name.is_empty());
    settings.http.tokens().then(|| TokenRules {
        secret: settings.http.secret_key.clone().unwrap_or_default(),
        ttl_s: settings.http.token_ttl.0,
        fail_file: settings.http.token_check_fail.clone().filter(|file| !file.is_empty()),
        bypass: header.map(|name| (name, settings.anti_steal_bypass_header_value.clone())),
    })
}
