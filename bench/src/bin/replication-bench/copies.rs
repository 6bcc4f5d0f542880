//! All files of a member to one that has none: a new member, and one that lost a store path.

use std::fs;
use std::time::{Duration, Instant};

use bench::group::{Failure, Group, wait};

/// A second storage joins one with files.
pub fn join(group: &mut Group, files: usize, connections: usize) -> Result<(), Failure> {
    let files = files / connections * connections;
    let one = group.storage(1)?;
    let taken = group.upload(one, files, connections, 4096)?;
    println!("{files} files of 4096 bytes uploaded in {:.1?}", taken.time);
    let (began, before) = (Instant::now(), group.cpu(&[one])?);
    let other = group.storage(1)?;
    let serves = began.elapsed();
    wait("the first file", || group.records(other) > 0)?;
    let first = began.elapsed();
    wait("the full copy", || group.records(other) >= files as u64)?;
    println!(
        "the new member serves after {serves:.1?}, has its first file after {first:.1?}, all after {:.1?}",
        began.elapsed()
    );
    tell(files, began.elapsed() - first, group.cpu(&[one])? - before, group.cpu(&[other])?);
    Ok(())
}

/// The second of two storages loses its store path.
pub fn recover(group: &mut Group, files: usize, connections: usize) -> Result<(), Failure> {
    let files = files / connections * connections;
    let [one, other] = group.pair()?;
    let before = group.records(one);
    group.upload(one, files, connections, 4096)?;
    wait("both have all", || group.records(other) >= before + files as u64)?;
    group.stop(other)?;
    fs::remove_dir_all(group.store_path(other).join("data"))?;
    let (began, before) = (Instant::now(), group.cpu(&[one])?);
    group.again(other)?;
    let serves = began.elapsed();
    let flag = group.store_path(other).join("data/.recovery.flag");
    wait("the recovery begins", || flag.exists())?;
    let begins = began.elapsed();
    wait("the recovery ends", || !flag.exists())?;
    let all = began.elapsed();
    println!("it serves after {serves:.1?}, recovers after {begins:.1?}, has all after {all:.1?}");
    tell(files, all - begins, group.cpu(&[one])? - before, group.cpu(&[other])?);
    let log = fs::read_to_string(group.log(other))?;
    log.lines().filter(|line| line.contains("recover")).for_each(|line| println!("{line}"));
    Ok(())
}

fn tell(files: usize, time: Duration, from: Duration, to: Duration) {
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / files as f64;
    println!(
        "{:.0} files/s; CPU per file {:.1} us at the source, {:.1} us at the member",
        files as f64 / time.as_secs_f64(),
        each(from),
        each(to)
    );
}
