//! News for the members of a group in the answers of their reports (tracker 3.2).

use std::net::IpAddr;

use super::{Cluster, Group, Joined, MEMBERS_MAX, Storage};
use crate::wire::report::{Brief, Changes};
use crate::wire::{IpField, Text};

impl Cluster {
    /// What the leader has to tell `who`, who asks from `peer`. Told once: the counters are set equal.
    pub fn changes(&mut self, who: &Joined, peer: IpAddr, leader: Option<Brief>) -> Changes {
        let mut news = Changes { leader, ..Changes::default() };
        let Some(group) = self.group_mut(&who.group) else { return news };
        let Some(member) = group.storage(&who.id) else { return news };
        let (chg, trunk_chg) = (group.chg, group.trunk_chg);
        if member.sent_trunk_chg != trunk_chg {
            let server = group.trunk_server.and_then(|id| group.storage(&id));
            news.trunk_server = Some(server.map_or(Brief::NONE, |server| server.brief(peer)));
        }
        if member.sent_chg != chg {
            news.members = Some(group.storages().take(MEMBERS_MAX).map(|other| other.brief(peer)).collect());
        }
        if (news.trunk_server.is_some() || news.members.is_some())
            && let Some(member) = group.storage_mut(&who.id)
        {
            member.sent_chg = chg;
            member.sent_trunk_chg = trunk_chg;
        }
        news
    }
}

impl Storage {
    /// The record for `receiver`.
    pub fn brief(&self, receiver: IpAddr) -> Brief {
        Brief {
            status: self.status.wire(),
            port: i32::from(self.port).into(),
            id: self.id.field(),
            ip: IpField::of(self.ip_for(receiver)),
        }
    }
}

impl Group {
    /// The trunk server's record; [`Brief::NONE`] when there is none.
    pub fn trunk_brief(&self, receiver: IpAddr) -> Brief {
        let server = self.trunk_server.and_then(|id| self.storage(&id));
        server.map_or(Brief::NONE, |server| server.brief(receiver))
    }

    /// The pair of PING_LEADER's answer: group and trunk server (tracker 7.4).
    pub fn trunk_pair(&self) -> (Text<16>, Text<16>) {
        (self.name.field(), crate::ident::StorageId::field_of(self.trunk_server))
    }
}
