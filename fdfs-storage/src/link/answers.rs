//! What the trackers answered at start, kept so that a member serves after a restart while no tracker is there.

use std::fmt::Write;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use fdfs_core::fileid::Source;
use fdfs_core::ident::{GroupName, StorageId};
use fdfs_core::settings::{StorageIds, StorageSettings};

use crate::identity::{Identity, Params};
use crate::state::save;

/// The answers of a tracker, as it gave them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// The group.
    pub group: GroupName,
    /// The id.
    pub id: StorageId,
    /// Own addresses, at least one.
    pub ips: Vec<IpAddr>,
    /// Own port when it was asked.
    pub port: u16,
    /// Text of the parameters.
    pub params: String,
    /// Text of `storage_ids.conf`, empty without storage ids.
    pub ids: String,
}

const PARAMS: &str = "\n[parameters]\n";
const IDS: &str = "\n[storage-ids]\n";

impl Answers {
    /// The parameters. An error is text for an operator.
    pub fn params(&self) -> Result<Params, String> {
        let mut params = Params::parse(&self.params);
        if params.use_storage_id {
            let parsed = StorageIds::parse("storage ids of the tracker", &self.ids);
            params.ids = parsed.map(|(ids, _)| ids).map_err(|error| error.to_string())?;
        }
        Ok(params)
    }

    /// Who this storage is (storage 5.2).
    pub fn identity(&self, params: &Params, up_time: i64) -> Result<Identity, String> {
        let first = self.ips.first().copied().ok_or("no own address")?;
        let source = match (params.use_storage_id && params.id_in_names, first) {
            (true, _) => {
                let number = self.id.as_str().parse().ok();
                let number = number.filter(|number| (1..=Source::ID_MAX).contains(number));
                Source::Id(number.ok_or_else(|| format!("{} is no storage id", self.id))?)
            }
            (false, IpAddr::V4(ip)) => Source::Ip(ip),
            (false, IpAddr::V6(ip)) => {
                let octets = ip.octets();
                Source::Ip(Ipv4Addr::new(octets[8], octets[9], octets[10], octets[11]))
            }
        };
        let (group, id, ips, port) = (self.group, self.id, self.ips.clone(), self.port);
        Ok(Identity { group, id, ips, port, source, up_time })
    }

    /// Keeps them.
    pub fn save(&self, data: &Path) -> io::Result<()> {
        save(&file(data), self.text().as_bytes())
    }

    /// What an earlier start kept, if it was for the same group and port.
    pub fn load(data: &Path, settings: &StorageSettings) -> Option<Self> {
        let found = Self::parse(&std::fs::read_to_string(file(data)).ok()?)?;
        let same = settings.group_name.is_none_or(|group| group == found.group);
        (same && found.port == settings.port).then_some(found)
    }

    fn text(&self) -> String {
        let ips: Vec<String> = self.ips.iter().map(ToString::to_string).collect();
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "group={}\nid={}\nips={}\nport={}\n{PARAMS}{}{IDS}{}",
            self.group,
            self.id,
            ips.join(","),
            self.port,
            self.params,
            self.ids
        );
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let (head, rest) = text.split_once(PARAMS)?;
        let (params, ids) = rest.split_once(IDS)?;
        let value = |key: &str| {
            head.lines().filter_map(|line| line.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v)
        };
        Some(Self {
            group: value("group")?.parse().ok()?,
            id: StorageId::new(value("id")?.as_bytes()).ok()?,
            ips: value("ips")?.split(',').map(|ip| ip.parse().ok()).collect::<Option<Vec<_>>>()?,
            port: value("port")?.parse().ok()?,
            params: params.to_owned(),
            ids: ids.to_owned(),
        })
    }
}

fn file(data: &Path) -> PathBuf {
    data.join(".fdfs_trackers_said")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Answers {
        Answers {
            group: "group1".parse().unwrap(),
            id: StorageId::new(b"100001").unwrap(),
            ips: vec!["10.0.0.1".parse().unwrap(), "192.168.0.1".parse().unwrap()],
            port: 23000,
            params: "use_storage_id=1\nid_type_in_filename=id\nstore_path=2\n".into(),
            ids: "100001 group1 10.0.0.1,192.168.0.1\n".into(),
        }
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = StorageSettings::default();
        assert_eq!(Answers::load(dir.path(), &settings), None);
        sample().save(dir.path()).unwrap();
        assert_eq!(Answers::load(dir.path(), &settings), Some(sample()));
        settings.group_name = Some("group2".parse().unwrap());
        assert_eq!(Answers::load(dir.path(), &settings), None);
        settings = StorageSettings { port: 23001, ..StorageSettings::default() };
        assert_eq!(Answers::load(dir.path(), &settings), None);
        for torn in [
            "",
            "group=group1\nid=1\n",
            "group=group1\nid=100001\nips=x\nport=23000\n\n[parameters]\n\n[storage-ids]\n",
        ] {
            std::fs::write(file(dir.path()), torn).unwrap();
            assert_eq!(Answers::load(dir.path(), &StorageSettings::default()), None);
        }
    }

    #[test]
    fn names_carry_the_id_or_the_address() {
        let mut answers = sample();
        let params = answers.params().unwrap();
        assert_eq!((params.store_path, params.ids.by_number(100_001).is_some()), (2, true));
        assert_eq!(answers.identity(&params, 5).unwrap().source, Source::Id(100_001));
        answers.params = String::new();
        let params = answers.params().unwrap();
        assert_eq!(answers.identity(&params, 5).unwrap().source, Source::Ip(Ipv4Addr::new(10, 0, 0, 1)));
        answers.ips = vec!["fd66::a:b:c:d".parse().unwrap()];
        assert_eq!(answers.identity(&params, 5).unwrap().source, Source::Ip(Ipv4Addr::new(0, 10, 0, 11)));
    }
}
