//! A thousand files of all sizes through both clients: equal bytes everywhere, soon.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use fdfs_core::fileid::{FileName, crc32};
use fdfs_core::ident::Extension;
use fdfs_tests::cluster::{Cluster, split};
use fdfs_tests::driver::Driver;
use fdfs_tests::raw::{self, Raw};
use fdfs_tests::{content, http, wait_for};

const FILES: usize = 1000;

/// Mostly small ones, a few large ones, 0 bytes and 32 MiB among them.
fn size(n: usize) -> usize {
    match n {
        _ if n % 100 == 7 => 0,
        500 => 32 << 20,
        _ if n % 250 == 3 => 8 << 20,
        _ if n % 50 == 9 => 1_000_000 + n,
        _ if n.is_multiple_of(3) => 200 + n,
        _ => 5_000 + n * 37 % 60_000,
    }
}

#[test]
fn every_byte_everywhere() {
    let mut cluster = Cluster::start("mixed", 2);
    for index in 0..4 {
        cluster.start_nginx(index);
    }
    let gateway = cluster.start_gateway();
    let trackers = [("py3fdfs", cluster.tracker(0)), ("fastdfs-client", cluster.tracker(1))];
    let members: Vec<_> = cluster.members.iter().map(|member| (member.group.clone(), member.addr)).collect();
    let began = Instant::now();
    let uploaded: Vec<(usize, String)> = std::thread::scope(|scope| {
        let threads: Vec<_> = trackers
            .iter()
            .enumerate()
            .map(|(half, (kind, tracker))| {
                let (members, dir) = (&members, cluster.dir());
                scope.spawn(move || {
                    let mut client = Driver::start(kind, *tracker);
                    (half..FILES)
                        .step_by(2)
                        .map(|n| {
                            let id = upload(&mut client, &dir.join(format!("up-{half}.dat")), n);
                            if n % 3 == 0 {
                                set_metadata(members, &id, n);
                            }
                            (n, id)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let uploading = began.elapsed();
    assert_eq!(uploaded.len(), FILES);

    // Both members of the group: milliseconds after the last upload, as the line at the end tells; the limit is for machines
    // that are busy with other things.
    let paths = |id: &str| {
        let (group, name) = split(id);
        let bases = cluster.members.iter().filter(|member| member.group == group);
        bases.map(|member| member.base.join("data").join(&name[4..])).collect::<Vec<_>>()
    };
    let limit = Duration::from_secs(20);
    let lag = wait_for("all files on both members", limit, || {
        uploaded
            .iter()
            .all(|(n, id)| paths(id).iter().all(|path| path.exists() && (n % 3 != 0 || meta(path).exists())))
    });
    for (n, id) in &uploaded {
        let data = content(size(*n), *n as u64);
        let name = FileName::parse(split(id).1.as_bytes(), 1).unwrap();
        let blob = name.blob().unwrap();
        assert_eq!((blob.size(), blob.crc32), (data.len() as u64, crc32(&data)), "{id}");
        for path in paths(id) {
            assert!(std::fs::read(&path).unwrap() == data, "{} differs", path.display());
            if n % 3 == 0 {
                assert_eq!(std::fs::read(meta(&path)).unwrap(), format!("n\x02{n}").as_bytes());
            }
        }
        let nginx = cluster
            .members
            .iter()
            .filter(|member| member.group == split(id).0)
            .map(|member| member.nginx_addr);
        for server in nginx.chain([gateway]) {
            let page = http::get(server, &format!("/{id}"));
            assert!(
                page.status == 200 && page.body == data,
                "{server}/{id}: {}, {} bytes",
                page.status,
                page.body.len()
            );
        }
    }
    println!("{FILES} files uploaded in {uploading:.1?}; all on both members {lag:.0?} after the last");
}

fn upload(client: &mut Driver, local: &std::path::Path, n: usize) -> String {
    std::fs::write(local, content(size(n), n as u64)).unwrap();
    // A name without an extension, or empty content, in the way that these clients can do it.
    let ext = (!n.is_multiple_of(4)).then_some(["jpg", "txt", "tar.gz"][n % 3]);
    let id = if size(n) == 0 { client.upload_file(local) } else { client.upload(local, ext) };
    let id = id.unwrap_or_else(|error| panic!("upload {n}: {error}"));
    if size(n) > 0 {
        let dot = ext.map_or_else(String::new, |ext| format!(".{ext}"));
        assert!(id.ends_with(&dot), "{id} should end with {dot}");
        assert!(Extension::new(ext.unwrap_or_default().as_bytes()).is_ok());
    }
    id
}

/// By hand: both clients fail to build this request on Python 3.
fn set_metadata(members: &[(String, std::net::SocketAddr)], id: &str, n: usize) {
    let (group, name) = split(id);
    let file = FileName::parse(name.as_bytes(), 1).unwrap();
    let Some(fdfs_core::fileid::Source::Ip(ip)) = file.blob().map(|blob| blob.source) else { panic!("{id}") };
    let (_, addr) = members.iter().find(|(_, addr)| addr.ip() == ip).unwrap();
    let body = raw::set_metadata(b'O', group, name, format!("n\x02{n}").as_bytes());
    assert_eq!(Raw::connect(*addr).ask(raw::SET_METADATA, &body).unwrap().status, 0);
}

fn meta(path: &std::path::Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-m");
    name.into()
}
