//! What the module tells about itself: counters that all workers share, and what the answering worker knows of others.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file of this machine.
    Local,
    /// A member was asked.
    Peer,
    /// A file that had been fetched before.
    Cache,
    /// The client was sent to a member.
    Redirect,
    /// The client brought or took away a file.
    Change,
    /// None of these: the request was refused.
    Refused,
}

impl Origin {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Local, "local"),
        (Self::Peer, "peer"),
        (Self::Cache, "cache"),
        (Self::Redirect, "redirect"),
        (Self::Change, "change"),
        (Self::Refused, "refused"),
    ];
}

/// Counters in memory that processes share. All zero bytes are a valid value.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Counters {
    /// By origin and class of status; class 0: no status, the client left.
    requests: [[AtomicU64; 6]; 6],
    /// Bytes to clients, heads included.
    sent: [AtomicU64; 6],
    stored_files: AtomicU64,
    stored_bytes: AtomicU64,
    deleted_files: AtomicU64,
}

impl Counters {
    /// A request has ended. `status`: HTTP's; `sent`: bytes to the client.
    pub fn request(&self, origin: Origin, status: u32, sent: u64) {
        let at = origin as usize;
        // nginx's own 499 tells of a client that left.
        let class = if status == 499 || status >= 600 { 0 } else { (status / 100) as usize };
        if let Some(count) = self.requests.get(at).and_then(|classes| classes.get(class)) {
            count.fetch_add(1, Relaxed);
        }
        if let Some(bytes) = self.sent.get(at) {
            bytes.fetch_add(sent, Relaxed);
        }
    }

    /// Files were stored.
    pub fn stored(&self, files: u64, bytes: u64) {
        self.stored_files.fetch_add(files, Relaxed);
        self.stored_bytes.fetch_add(bytes, Relaxed);
    }

    /// A file was deleted.
    pub fn deleted(&self) {
        self.deleted_files.fetch_add(1, Relaxed);
    }
}

/// What one worker knows now.
#[derive(Debug, Clone, Serialize)]
pub struct SiteStatus {
    /// Path of the `mod_fastdfs.conf`, or `fastdfs_set`.
    pub conf: String,
    /// Trackers that are asked for members.
    pub trackers: Vec<TrackerStatus>,
    /// Age of the list of members, ms; `None`: no tracker has answered yet.
    pub members_age_ms: Option<u64>,
    /// Members of all groups.
    pub members: Vec<MemberStatus>,
}

/// A tracker.
#[derive(Debug, Clone, Serialize)]
pub struct TrackerStatus {
    /// Address and port.
    pub addr: String,
    /// It is the one that is asked.
    pub current: bool,
    /// The last try failed, for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// A storage.
#[derive(Debug, Clone, Serialize)]
pub struct MemberStatus {
    /// Its group.
    pub group: String,
    /// Its id, where ids are in use; else its address.
    pub id: String,
    /// Address and port.
    pub addr: String,
    /// ACTIVE, or named in the configuration.
    pub serving: bool,
    /// It failed and is left alone for so long, ms.
    pub resting_ms: u64,
}

/// All of it.
#[derive(Debug)]
pub struct Report<'a> {
    /// Process id of the worker that answers.
    pub worker: u32,
    /// Of all workers.
    pub counters: &'a Counters,
    /// As this worker knows them.
    pub sites: Vec<SiteStatus>,
}

#[derive(Serialize)]
struct Json<'a> {
    worker: u32,
    requests: std::collections::BTreeMap<&'static str, std::collections::BTreeMap<String, u64>>,
    stored: Amount,
    deleted: u64,
    sites: &'a [SiteStatus],
}

#[derive(Serialize)]
struct Amount {
    files: u64,
    bytes: u64,
}

impl Report<'_> {
    /// For people and programs.
    pub fn json(&self) -> Vec<u8> {
        let of_origin = |origin: Origin| {
            let classes = (0..6).map(|class| (class_name(class), self.requests(origin, class)));
            classes.chain([("bytes".to_owned(), self.sent(origin))]).collect()
        };
        let answer = Json {
            worker: self.worker,
            requests: Origin::ALL.into_iter().map(|(origin, name)| (name, of_origin(origin))).collect(),
            stored: Amount {
                files: self.counters.stored_files.load(Relaxed),
                bytes: self.counters.stored_bytes.load(Relaxed),
            },
            deleted: self.counters.deleted_files.load(Relaxed),
            sites: &self.sites,
        };
        // Strings and numbers only: it cannot fail.
        serde_json::to_vec_pretty(&answer).unwrap_or_default()
    }

    /// Prometheus' text format, version 0.0.4.
    pub fn prometheus(&self) -> Vec<u8> {
        let mut page = Page::default();
        page.head(
            "fdfs_nginx_requests_total",
            "counter",
            "Requests by where the answer came from, and class of status.",
        );
        for (origin, name) in Origin::ALL {
            for class in 0..6 {
                let labels = [("source", name), ("status", &class_name(class))];
                page.line("fdfs_nginx_requests_total", &labels, self.requests(origin, class));
            }
        }
        page.head("fdfs_nginx_sent_bytes_total", "counter", "Bytes to clients, heads included.");
        for (origin, name) in Origin::ALL {
            page.line("fdfs_nginx_sent_bytes_total", &[("source", name)], self.sent(origin));
        }
        for (name, help, counter) in [
            ("fdfs_nginx_stored_files_total", "Files that clients brought.", &self.counters.stored_files),
            ("fdfs_nginx_stored_bytes_total", "Bytes that clients brought.", &self.counters.stored_bytes),
            ("fdfs_nginx_deleted_files_total", "Files that clients deleted.", &self.counters.deleted_files),
        ] {
            page.head(name, "counter", help);
            page.line(name, &[], counter.load(Relaxed));
        }
        page.head(
            "fdfs_nginx_members_age_seconds",
            "gauge",
            "Age of the list of members, in the worker that answers.",
        );
        for site in &self.sites {
            if let Some(age) = site.members_age_ms {
                page.line("fdfs_nginx_members_age_seconds", &[("conf", &site.conf)], age / 1000);
            }
        }
        page.head("fdfs_nginx_tracker_ok", "gauge", "0: the last try to ask this tracker failed.");
        for site in &self.sites {
            for tracker in &site.trackers {
                let labels = [("conf", site.conf.as_str()), ("tracker", &tracker.addr)];
                page.line("fdfs_nginx_tracker_ok", &labels, u64::from(tracker.trouble.is_none()));
            }
        }
        page.head("fdfs_nginx_member_ok", "gauge", "0: the storage does not serve, or failed a moment ago.");
        for site in &self.sites {
            for member in &site.members {
                let labels =
                    [("conf", site.conf.as_str()), ("group", &member.group), ("member", &member.addr)];
                let ok = member.serving && member.resting_ms == 0;
                page.line("fdfs_nginx_member_ok", &labels, u64::from(ok));
            }
        }
        page.0.into_bytes()
    }

    fn requests(&self, origin: Origin, class: usize) -> u64 {
        let counter = self.counters.requests.get(origin as usize).and_then(|classes| classes.get(class));
        counter.map_or(0, |count| count.load(Relaxed))
    }

    fn sent(&self, origin: Origin) -> u64 {
        self.counters.sent.get(origin as usize).map_or(0, |bytes| bytes.load(Relaxed))
    }
}

fn class_name(class: usize) -> String {
    if class == 0 { "left".to_owned() } else { format!("{class}xx") }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> =
            labels.iter().map(|(key, text)| format!("{key}=\"{}\"", escape(text))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_tell_the_same() {
        let counters = Counters::default();
        counters.request(Origin::Local, 206, 1000);
        counters.request(Origin::Local, 304, 10);
        counters.request(Origin::Peer, 499, 5);
        counters.request(Origin::Refused, 99_999, 0);
        counters.stored(2, 70);
        counters.deleted();
        let member = MemberStatus {
            group: "group1".into(),
            id: "100001".into(),
            addr: "10.0.0.1:23000".into(),
            serving: true,
            resting_ms: 500,
        };
        let tracker = |addr: &str, trouble| TrackerStatus { addr: addr.into(), current: true, trouble };
        let site = SiteStatus {
            conf: "/a\"b".into(),
            trackers: vec![
                tracker("10.0.0.9:22122", None),
                tracker("10.0.0.8:22122", Some("refused".into())),
            ],
            members_age_ms: Some(2500),
            members: vec![member],
        };
        let report = Report { worker: 7, counters: &counters, sites: vec![site] };
        let json: serde_json::Value = serde_json::from_slice(&report.json()).unwrap();
        assert_eq!(json["requests"]["local"]["2xx"], 1);
        assert_eq!(json["requests"]["local"]["bytes"], 1010);
        assert_eq!(json["requests"]["peer"]["left"], 1);
        assert_eq!(json["requests"]["refused"]["left"], 1);
        assert_eq!(
            (&json["stored"]["files"], &json["stored"]["bytes"], &json["deleted"]),
            (&2.into(), &70.into(), &1.into())
        );
        assert_eq!(json["sites"][0]["members"][0]["resting_ms"], 500);
        let text = String::from_utf8(report.prometheus()).unwrap();
        for line in [
            "fdfs_nginx_requests_total{source=\"local\",status=\"3xx\"} 1",
            "fdfs_nginx_sent_bytes_total{source=\"local\"} 1010",
            "fdfs_nginx_stored_bytes_total 70",
            "fdfs_nginx_members_age_seconds{conf=\"/a\\\"b\"} 2",
            "fdfs_nginx_tracker_ok{conf=\"/a\\\"b\",tracker=\"10.0.0.8:22122\"} 0",
            "fdfs_nginx_member_ok{conf=\"/a\\\"b\",group=\"group1\",member=\"10.0.0.1:23000\"} 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line}:\n{text}");
        }
    }
}
