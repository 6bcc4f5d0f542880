//! IPv4, IPv6 and both: which connections get in, and who the tracker says they are.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use fdfs_core::settings::AddressFamily;
use fdfs_core::wire::report::JoinHead;
use fdfs_core::wire::{IpField, cmd};
use zerocopy::{FromBytes, IntoBytes};

use crate::support::{Client, Running, named};

/// Connects without a choice of the own address.
fn connect(host: &str, port: u16) -> Option<Client> {
    let tracker = SocketAddr::new(host.parse().unwrap(), port);
    let stream = TcpStream::connect_timeout(&tracker, Duration::from_secs(5)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    Some(Client { stream, tracker })
}

/// A machine may be without IPv6.
fn has_ipv6() -> bool {
    match TcpListener::bind("[::1]:0") {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            println!("this machine has no IPv6");
            false
        }
        Err(error) => {
            println!("this machine has no IPv6: {error}");
            false
        }
    }
}

/// Joins with the wide layout and reads the members in the same.
fn joins_as(client: &mut Client, ip: &str) {
    let trackers = [client.tracker];
    let mut body = client.join_body(&trackers, "group1", |head| (head.init_flag, head.status) = (0, 7));
    let (mut head, rest) = JoinHead::read_from_prefix(&body).unwrap();
    head.tracker_ip = IpField::of(client.tracker.ip());
    body = [head.as_bytes(), rest].concat();
    assert_eq!(client.call(cmd::STORAGE_JOIN, &body).0, 0, "{ip}");
    let (status, list) = client.call(cmd::LIST_STORAGE, &named("group1", &[]));
    assert_eq!(status, 0);
    assert!(list.windows(ip.len()).any(|text| text == ip.as_bytes()), "{ip} is in the list");
}

#[test]
fn ipv4_alone() {
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), |conf| {
        (conf.bind_addr, conf.address_family) = (String::new(), AddressFamily::V4);
    });
    assert!(tracker.addr.is_ipv4());
    joins_as(&mut connect("127.0.0.1", tracker.addr.port()).unwrap(), "127.0.0.1");
    assert!(connect("::1", tracker.addr.port()).is_none());
}

#[test]
fn ipv6_alone() {
    if !has_ipv6() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), |conf| conf.bind_addr = "::1".into());
    joins_as(&mut connect("::1", tracker.addr.port()).unwrap(), "::1");
    assert!(connect("127.0.0.1", tracker.addr.port()).is_none());
}

#[test]
fn both_on_one_socket() {
    if !has_ipv6() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let tracker = Running::start(base.path(), |conf| {
        (conf.bind_addr, conf.address_family) = (String::new(), AddressFamily::Both);
    });
    // An IPv4 peer of an IPv6 socket is known by its IPv4 address.
    joins_as(&mut connect("127.0.0.1", tracker.addr.port()).unwrap(), "127.0.0.1");
    assert_eq!(connect("::1", tracker.addr.port()).unwrap().call(cmd::LIST_ALL_GROUPS, &[]).0, 0);
}

#[test]
fn two_bound_addresses() {
    if !has_ipv6() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap().port();
    let tracker = Running::start(base.path(), |conf| {
        (conf.bind_addr, conf.port) = ("127.0.0.94,::1".into(), port);
    });
    assert_eq!(connect("127.0.0.94", tracker.addr.port()).unwrap().call(cmd::LIST_ALL_GROUPS, &[]).0, 0);
    assert_eq!(connect("::1", port).unwrap().call(cmd::LIST_ALL_GROUPS, &[]).0, 0);
}
