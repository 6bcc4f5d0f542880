//! A storage that comes back with another address: known by it to the trackers and to its group, with all files, and replicated from
//! where it was.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use fdfs_tests::cluster::{Cluster, split};
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, wait_for};

const LIMIT: Duration = Duration::from_secs(60);
const UPLOAD: u8 = 11;
const IP_CHANGED: u8 = 3;
const ACTIVE: u8 = 7;

fn upload(cluster: &Cluster, member: usize, data: &[u8]) -> String {
    let mut storage = Raw::connect(cluster.members[member].addr);
    let answer = storage.ask(UPLOAD, &raw::upload(0, "bin", data)).unwrap();
    assert_eq!(answer.status, 0);
    let name = String::from_utf8(answer.body[16..].to_vec()).unwrap();
    format!("group1/{name}")
}

fn on_disk(cluster: &Cluster, member: usize, id: &str, data: &[u8]) -> bool {
    let (_, name) = split(id);
    std::fs::read(cluster.members[member].base.join("data").join(&name[4..])).is_ok_and(|bytes| bytes == data)
}

/// Status of the member with this address, as the first tracker lists it.
fn status(cluster: &Cluster, ip: IpAddr) -> Option<u8> {
    let mut tracker = Raw::connect(cluster.tracker(0));
    let answer = tracker.ask(92, &raw::field("group1", 16)).unwrap();
    let ip = raw::field(&ip.to_string(), 16);
    answer.body.chunks_exact(487).find(|record| record[2..18] == ip[..]).map(|record| record[0])
}

/// Full copies that the second member began, as its log tells.
fn copies(cluster: &Cluster) -> usize {
    let log = std::fs::read_to_string(cluster.members[1].base.join("logs/storaged.log")).unwrap();
    log.matches("full_copy=true").count()
}

#[test]
fn a_member_returns_with_another_address() {
    let mut cluster = Cluster::start("address", 1);
    let old = cluster.members[0].addr;
    let IpAddr::V4(ip) = old.ip() else { panic!("{old}") };
    let [a, b, c, _] = ip.octets();
    let new = SocketAddr::new(IpAddr::from([a, b, c, 77]), old.port());
    let sent: Vec<(String, Vec<u8>)> = (0..20)
        .map(|n| {
            let data = content(2000 + n, n as u64);
            (upload(&cluster, n % 2, &data), data)
        })
        .collect();
    for (id, data) in &sent {
        wait_for("the copies", LIMIT, || (0..2).all(|member| on_disk(&cluster, member, id, data)));
    }

    let copied = copies(&cluster);

    // While it is away the other member takes files for it.
    assert!(cluster.storage(0).stop().success());
    wait_for("the member to be offline", LIMIT, || status(&cluster, old.ip()) != Some(ACTIVE));
    let meanwhile: Vec<(String, Vec<u8>)> = (0..20)
        .map(|n| {
            let data = content(3000 + n, 100 + n as u64);
            (upload(&cluster, 1, &data), data)
        })
        .collect();
    cluster.members[0].addr = new;
    cluster.start_storage_with(0, "storage_ip_changed_auto_adjust = true\n");
    cluster.wait_active();
    assert!(matches!(status(&cluster, old.ip()), None | Some(IP_CHANGED)), "the old address is gone");

    for (id, data) in &meanwhile {
        wait_for("what came meanwhile", LIMIT, || on_disk(&cluster, 0, id, data));
    }
    let after = content(5000, 7);
    let id = upload(&cluster, 0, &after);
    wait_for("a new file of the member that moved", LIMIT, || on_disk(&cluster, 1, &id, &after));
    let after = content(6000, 8);
    let id = upload(&cluster, 1, &after);
    wait_for("a new file for the member that moved", LIMIT, || on_disk(&cluster, 0, &id, &after));

    // Ids that carry the old address lead to both members.
    for (id, data) in &sent {
        let output = cluster.tool("fdfs_download_file", &[id, cluster.dir().join("back").to_str().unwrap()]);
        assert!(output.status.success(), "{id}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(std::fs::read(cluster.dir().join("back")).unwrap() == *data);
        let (group, name) = split(id);
        for member in &cluster.members {
            let answer =
                Raw::connect(member.addr).ask(raw::DOWNLOAD, &raw::download(0, 0, group, name)).unwrap();
            assert!(answer.status == 0 && answer.body == *data);
        }
    }
    // The other member goes on from its mark: under the new name, and nothing was sent twice as a full copy.
    let sync = cluster.members[1].base.join("data/sync");
    let mark = |ip: IpAddr| sync.join(format!("{ip}_23000.mark")).exists();
    wait_for("the mark under the new name", LIMIT, || mark(new.ip()) && !mark(old.ip()));
    assert_eq!(copies(&cluster), copied, "full copies");
}
