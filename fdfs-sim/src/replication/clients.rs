//! Clients: each asks for one thing after the other, and notes in the model what it was told.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use fdfs_core::fileid::slave_name;
use fdfs_core::ident::Extension;
use fdfs_core::metadata::Metadata;
use fdfs_core::wire::edit::{Append, Modify, Truncate, UploadSlave};
use fdfs_core::wire::storage::{Download, GroupAndName, MetaMode, SetMetadata, Upload};
use fdfs_core::wire::{Header, Status, Text, cmd};
use fdfs_net::{Peer, Timeouts};
use tokio::time::sleep;

use super::model::{Content, Kind, sum};
use super::world::{Shared, group, member_addr, parse};

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(1), network: Duration::from_secs(2) };
const ANSWER_MAX: usize = 4 << 20;

/// How a request ended.
enum Ended {
    /// It was done.
    Done(Vec<u8>),
    /// It was refused: nothing has changed.
    Refused(Status),
    /// It never reached the member.
    NotAsked,
    /// Nobody knows.
    Unknown,
}

/// A client with its own choices.
pub struct Client {
    pub world: Shared,
    pub rng: fastrand::Rng,
    /// Longest pause between two requests, ms.
    pub pause_ms: u64,
}

impl Client {
    /// Asks until the end of the simulation.
    pub async fn run(mut self) {
        loop {
            sleep(Duration::from_millis(self.rng.u64(1..=self.pause_ms))).await;
            if self.world.borrow().quiet {
                continue;
            }
            self.world.borrow_mut().asking += 1;
            self.step().await;
            self.world.borrow_mut().asking -= 1;
        }
    }

    async fn step(&mut self) {
        match self.rng.u8(..100) {
            0..30 => self.upload().await,
            30..60 => self.edit().await,
            60..70 => self.metadata().await,
            70..76 => self.slave().await,
            76..88 => self.delete().await,
            _ => self.download().await,
        }
    }

    fn serves(&self, at: usize) -> bool {
        self.world.borrow().members[at].serving().is_some()
    }

    /// Some member that may be asked.
    fn member(&mut self) -> Option<usize> {
        let count = self.world.borrow().members.len();
        let serving: Vec<usize> = (0..count).filter(|at| self.serves(*at)).collect();
        (!serving.is_empty()).then(|| serving[self.rng.usize(..serving.len())])
    }

    /// A file that is certain, taken with its metadata; with its home and content.
    fn take(&mut self, kinds: &[Kind]) -> Option<(String, usize, Rc<[u8]>)> {
        let mut world = self.world.borrow_mut();
        let name = world.model.some(&mut self.rng, |file| kinds.contains(&file.kind))?;
        let content = Rc::clone(world.model.certain(&name)?);
        let file = world.model.files.get_mut(&name)?;
        let home = file.home;
        world.members[home].serving()?;
        world.model.hold(&name, true);
        Some((name, home, content))
    }

    /// Gives it back, unless what happened to it is unknown.
    fn give(&self, name: &str, ended: &Ended) {
        self.world.borrow_mut().model.hold(name, matches!(ended, Ended::Unknown));
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let (len, first) = (self.rng.usize(1..most), self.rng.u8(..));
        (0..len).map(|n| first.wrapping_add((n % 251) as u8)).collect()
    }

    async fn ask(&self, at: usize, what: &str, cmd: u8, body: &[&[u8]]) -> Ended {
        let ended = ask(member_addr(at), cmd, &body.concat()).await;
        let mut world = self.world.borrow_mut();
        let text = match &ended {
            Ended::Done(_) => "done".to_owned(),
            Ended::Refused(status) => format!("refused with {}", status.0),
            Ended::NotAsked => "not reached".to_owned(),
            Ended::Unknown => "no answer".to_owned(),
        };
        world.done += u64::from(matches!(ended, Ended::Done(_)));
        world.unanswered += u64::from(matches!(ended, Ended::Unknown));
        world.history.note(&format!("member {at}: {what}: {text}"));
        ended
    }

    /// What a file becomes with a change that ended so.
    fn becomes(&self, name: &str, ended: &Ended, after: Content) {
        let mut world = self.world.borrow_mut();
        let Some(file) = world.model.files.get_mut(name) else { return };
        match ended {
            Ended::Done(_) => file.may = vec![after],
            Ended::Unknown => file.may.push(after),
            Ended::Refused(Status::NOENT) if file.may != [None] => {
                world.history.fail(format!("{name} is gone from its home"));
            }
            Ended::Refused(_) | Ended::NotAsked => {}
        }
    }

    async fn upload(&mut self) {
        let Some(at) = self.member() else { return };
        let (kind, cmd) = match self.rng.bool() {
            true => (Kind::Normal, cmd::UPLOAD_FILE),
            false => (Kind::Appender, cmd::UPLOAD_APPENDER_FILE),
        };
        let most = if self.rng.u8(..15) == 0 { 300_000 } else { 2000 };
        let content = self.bytes(most);
        let mut head = Vec::new();
        let Ok(ext) = Extension::new(b"txt") else { return };
        Upload { path: None, size: content.len() as u64, ext }.put(&mut head);
        let what = format!("upload of {kind:?}, {} bytes", content.len());
        let ended = self.ask(at, &what, cmd, &[&head, &content]).await;
        let mut world = self.world.borrow_mut();
        match ended {
            Ended::Done(answer) => match GroupAndName::parse(&answer) {
                Ok(file) => {
                    let name = String::from_utf8_lossy(file.name).into_owned();
                    world.history.note(&format!("member {at}: it is {name}"));
                    world.model.put(&name, at, kind, vec![Some(content.into())]);
                }
                Err(bad) => world.history.fail(format!("member {at} answers an upload with {bad}")),
            },
            Ended::Unknown => drop(world.model.strays.insert(sum(&content))),
            Ended::Refused(_) | Ended::NotAsked => {}
        }
    }

    async fn edit(&mut self) {
        let Some((name, home, before)) = self.take(&[Kind::Appender]) else { return };
        let (mut head, mut after) = (Vec::new(), before.to_vec());
        let most = if self.rng.u8(..15) == 0 { 100_000 } else { 400 };
        let ended = match self.rng.u8(..10) {
            0..5 => {
                let bytes = self.bytes(most);
                Append { size: bytes.len() as u64, name: name.as_bytes() }.put(&mut head);
                after.extend_from_slice(&bytes);
                self.ask(home, &format!("append to {name}"), cmd::APPEND_FILE, &[&head, &bytes]).await
            }
            5..7 => {
                let (start, bytes) = (self.rng.usize(..=before.len()), self.bytes(most));
                let modify = Modify { offset: start as u64, size: bytes.len() as u64, name: name.as_bytes() };
                modify.put(&mut head);
                after.resize(before.len().max(start + bytes.len()), 0);
                after[start..start + bytes.len()].copy_from_slice(&bytes);
                self.ask(home, &format!("modify {name}"), cmd::MODIFY_FILE, &[&head, &bytes]).await
            }
            7..9 => {
                let size = self.rng.usize(..before.len() + 50);
                Truncate { size: size as u64, name: name.as_bytes() }.put(&mut head);
                after.resize(size, 0);
                self.ask(home, &format!("truncate {name}"), cmd::TRUNCATE_FILE, &[&head]).await
            }
            _ => return self.rename(&name, home, before).await,
        };
        self.becomes(&name, &ended, Some(after.into()));
        self.give(&name, &ended);
    }

    async fn rename(&mut self, name: &str, home: usize, content: Rc<[u8]>) {
        let what = format!("rename {name}");
        let ended = self.ask(home, &what, cmd::REGENERATE_APPENDER_FILENAME, &[name.as_bytes()]).await;
        self.becomes(name, &ended, None);
        let mut world = self.world.borrow_mut();
        match &ended {
            Ended::Done(answer) => match GroupAndName::parse(answer) {
                Ok(file) => {
                    let new = String::from_utf8_lossy(file.name).into_owned();
                    world.history.note(&format!("member {home}: it is {new}"));
                    world.model.put(&new, home, Kind::Normal, vec![Some(content)]);
                }
                Err(bad) => world.history.fail(format!("member {home} answers a rename with {bad}")),
            },
            Ended::Unknown => drop(world.model.strays.insert(sum(&content))),
            Ended::Refused(_) | Ended::NotAsked => {}
        }
        drop(world);
        self.give(name, &ended);
    }

    async fn metadata(&mut self) {
        let Some((name, home, _)) = self.take(&[Kind::Normal]) else { return };
        let pair = (b"a".to_vec(), self.rng.u32(..).to_string().into_bytes());
        let text = Metadata::of([pair]).encode();
        let file = GroupAndName { group: group(), name: name.as_bytes() };
        let mut body = Vec::new();
        SetMetadata { mode: MetaMode::Overwrite, file, text: &text }.put(&mut body);
        let ended = self.ask(home, &format!("metadata of {name}"), cmd::SET_METADATA, &[&body]).await;
        if matches!(ended, Ended::Refused(Status::NOENT)) {
            self.world.borrow_mut().history.fail(format!("{name} is gone from its home"));
        }
        self.beside(&format!("{name}-m"), home, Kind::Metadata, &ended, text);
        self.give(&name, &ended);
    }

    async fn slave(&mut self) {
        let Some((master, home, _)) = self.take(&[Kind::Normal]) else { return };
        let content = self.bytes(400);
        let prefix = Text::cut(if self.rng.bool() { b"_small" } else { b"_large" });
        let (mut head, Ok(ext)) = (Vec::new(), Extension::new(b"txt")) else { return };
        let named = parse(&master).and_then(|master| slave_name(&master, prefix.bytes(), ext).ok());
        let Some(name) = named.map(|name| name.logic()) else { return };
        UploadSlave { size: content.len() as u64, prefix, ext, master: master.as_bytes() }.put(&mut head);
        let taken = self.world.borrow().model.files.get(&name).is_some_and(|file| file.may != [None]);
        let ended = match taken {
            true => Ended::NotAsked,
            false => {
                self.ask(home, &format!("slave {name}"), cmd::UPLOAD_SLAVE_FILE, &[&head, &content]).await
            }
        };
        self.beside(&name, home, Kind::Slave, &ended, content);
        self.give(&master, &ended);
    }

    /// A file beside another one, which is taken.
    fn beside(&self, name: &str, home: usize, kind: Kind, ended: &Ended, content: Vec<u8>) {
        let mut world = self.world.borrow_mut();
        let mut may = world.model.files.get(name).map_or(vec![None], |file| file.may.clone());
        match ended {
            Ended::Done(_) => may = vec![Some(content.into())],
            Ended::Unknown => may.push(Some(content.into())),
            Ended::Refused(_) | Ended::NotAsked => return,
        }
        world.model.put(name, home, kind, may);
    }

    async fn delete(&mut self) {
        let Some((name, home, _)) = self.take(&[Kind::Normal, Kind::Appender, Kind::Slave]) else { return };
        let kind = self.world.borrow().model.files.get(&name).map(|file| file.kind);
        // Slaves may be made again: their home knows in which order.
        let at = if kind == Some(Kind::Slave) { home } else { self.member().unwrap_or(home) };
        let file = GroupAndName { group: group(), name: name.as_bytes() };
        let mut body = Vec::new();
        file.put(&mut body);
        let ended = self.ask(at, &format!("delete {name}"), cmd::DELETE_FILE, &[&body]).await;
        match ended {
            // Not there yet.
            Ended::Refused(Status::NOENT) if at != home => {}
            _ => self.becomes(&name, &ended, None),
        }
        let metadata = format!("{name}-m");
        if !matches!(ended, Ended::Refused(_)) {
            self.becomes(&metadata, &ended, None);
        }
        self.give(&name, &ended);
    }

    async fn download(&mut self) {
        let Some((name, home, content)) = self.take(&[Kind::Normal, Kind::Appender]) else { return };
        let kind = self.world.borrow().model.files.get(&name).map(|file| file.kind);
        // An appender elsewhere may be an older one.
        let at = if kind == Some(Kind::Appender) { home } else { self.member().unwrap_or(home) };
        let file = GroupAndName { group: group(), name: name.as_bytes() };
        let mut body = Vec::new();
        Download { offset: 0, count: 0, file }.put(&mut body);
        let ended = self.ask(at, &format!("download {name}"), cmd::DOWNLOAD_FILE, &[&body]).await;
        match &ended {
            Ended::Done(got) if got[..] != content[..] => {
                let text = format!("member {at} gives {} bytes for {name}, not its own", got.len());
                self.world.borrow_mut().history.fail(text);
            }
            Ended::Refused(Status::NOENT) if at == home => {
                self.world.borrow_mut().history.fail(format!("{name} is gone from its home"));
            }
            _ => {}
        }
        // Nothing was changed.
        self.give(&name, &Ended::NotAsked);
    }
}

async fn ask(addr: SocketAddr, cmd: u8, body: &[u8]) -> Ended {
    let Ok(mut peer) = Peer::connect(addr, TIMEOUTS, None).await else { return Ended::NotAsked };
    if peer.send(Header::request(cmd, body.len() as u64), &[body]).await.is_err() {
        return Ended::Unknown;
    }
    match peer.recv(ANSWER_MAX).await {
        Ok(reply) if reply.status.is_ok() => Ended::Done(reply.body.to_vec()),
        Ok(reply) => Ended::Refused(reply.status),
        Err(_) => Ended::Unknown,
    }
}
