"""The article, step by step, each with what it shows."""
import hashlib
import os
import re

from .deploy import holder, wait_until_active
from .shape import VIP
from .world import ROOT, wait_for

PICTURE = os.path.join(ROOT, "ci/lib/picture.png")
STORAGED_LOG = "/data/fastdfs/storage/logs/storaged.log"
STOP_TRACKER = "/usr/bin/stop.sh /usr/bin/fdfs_trackerd /etc/fdfs/tracker.conf"
START_TRACKER = "/usr/bin/fdfs_trackerd /etc/fdfs/tracker.conf"


def run(world, report):
    connected(world, report)
    tracker_fails(world, report)
    ids = two_uploads(world, report)
    pictures(world, report, ids)
    not_replicated_yet(world, report)
    configuration_is_clean(world, report)


def leader(world):
    """As the trackers say: `ip:port`, or nothing."""
    said = world.client.run("fdfs_tracker_stat -c /etc/fdfs/client.conf -L 2>/dev/null || true")
    found = [line.split(",")[0] for line in said.splitlines() if "is_leader: 1" in line]
    return found[0] if found else None


def connected(world, report):
    trackers = [host.ip for host in world.shape.of("tracker")]
    _, first = wait_for("a leader", lambda: leader(world), 60)
    for storage in world.of("storage"):
        def told():
            log = storage.read(STORAGED_LOG)
            return (all(f"successfully connect to tracker server {ip}:22122" in log for ip in trackers)
                    and names_leader(log, first))
        wait_for(f"{storage.host.name} names both trackers and the leader in its log", told, 60)
    report.say(f"storages are connected to {len(trackers)} trackers, {first} leads")


def names_leader(log, addr):
    """The last line that names a leader names this one."""
    told = re.findall(r"leader is (?:#\d+\. )?([\d.]+:\d+)", log)
    return bool(told) and told[-1] == addr


def tracker_fails(world, report):
    before = leader(world)
    stopped = machine_at(world, before)
    stopped.run(STOP_TRACKER)
    took, after = wait_for("another leader", lambda: (now := leader(world)) != before and now, 60)
    report.figure("another tracker leads, after the leader was stopped", took, "s", target=5)
    for storage in world.of("storage"):
        wait_for(f"{storage.host.name} says so", lambda: names_leader(storage.read(STORAGED_LOG), after), 90)
    counts = {s.host.name: s.read(STORAGED_LOG).count(f"successfully connect to tracker server {before}")
              for s in world.of("storage")}
    stopped.run(START_TRACKER)
    for storage in world.of("storage"):
        def again():
            line = f"successfully connect to tracker server {before}"
            return storage.read(STORAGED_LOG).count(line) > counts[storage.host.name]
        wait_for(f"{storage.host.name} is connected to {before} again", again, 90)
    wait_until_active(world)
    assert leader(world) == after, "the tracker that came back follows"
    report.say(f"{before} was stopped: {after} leads; {before} came back as a follower")


def machine_at(world, addr):
    ip = addr.rsplit(":", 1)[0]
    return next(machine for machine in world.machines.values() if machine.host.ip == ip)


def upload(world, *files):
    """Through a client from PyPI."""
    python = os.environ["FDFS_PYTHON"]
    tracker = world.shape.of("tracker")[0].ip
    return world.client.run(f"{python} -m lab.upload {tracker} {' '.join(files)}").split()


def two_uploads(world, report):
    ids = upload(world, PICTURE, PICTURE)
    groups = {id.split("/")[0] for id in ids}
    assert len(ids) == 2 and len(groups) == 1, f"two uploads in one group: {ids}"
    group = int(groups.pop().removeprefix("group"))
    for id in ids:
        path = on_disk(id)
        for storage in world.group(group):
            wait_for(f"{id} on {storage.host.name}", lambda: storage.run(f"cmp {path} {PICTURE} 2>&1 && echo same || true").strip() == "same", 60)
        for storage in world.of("storage"):
            if storage.host.group != group:
                assert storage.run(f"test -e {path} && echo there || true") == "", f"{id} on {storage.host.name}"
    report.say(f"two uploads of one picture: {' '.join(ids)}; on both members of group{group}, on no other")
    return ids


def on_disk(id):
    """Path of a file on a storage."""
    _, path, name = id.split("/", 2)
    number = int(path[1:], 16)
    return f"/data/fastdfs/storage{number or ''}/data/{name}"


def pictures(world, report, ids):
    with open(PICTURE, "rb") as file:
        sha = hashlib.sha256(file.read()).hexdigest()
    for id in ids:
        said = world.client.run(f"curl --fail --silent --max-time 20 http://{VIP}/{id} | sha256sum")
        assert said.split()[0] == sha, f"http://{VIP}/{id}: other bytes"
    report.say(f"http://{VIP}/{ids[0]}: the picture, byte for byte, through {holder(world)[0].host.name}")


def not_replicated_yet(world, report):
    """The receiving member is stopped while a file is uploaded; its nginx answers all the same."""
    source, other = world.group(1)[:2]
    other.kill("fdfs_storaged", "STOP")
    try:
        id = world.client.run(f"fdfs_upload_file /etc/fdfs/client.conf {PICTURE} {source.host.ip}:23000").strip()
        assert other.run(f"test -e {on_disk(id)} && echo there || true") == ""
        said = world.client.run(f"curl --fail --silent --max-time 60 http://{other.host.ip}:8888/{id} | cmp - {PICTURE} && echo same")
        assert said.strip() == "same"
    finally:
        other.kill("fdfs_storaged", "CONT")
    wait_for("the copy", lambda: other.run(f"cmp {on_disk(id)} {PICTURE} 2>&1 && echo same || true").strip() == "same", 90)
    wait_until_active(world)
    report.say(f"{id} asked from {other.host.name}, which has no copy yet: served")


def configuration_is_clean(world, report):
    """No line of a log, and none of `nginx -t`, asks the operator to change one of the article's files."""
    for machine in world.of("tracker") + world.of("storage"):
        kind = "tracker" if machine.host.role == "tracker" else "storage"
        log = machine.read(f"/data/fastdfs/{kind}/logs/{kind}d.log")
        bad = [line for line in log.splitlines() if f"/etc/fdfs/{kind}.conf" in line and ("WARN" in line or "ERROR" in line)]
        assert not bad, bad
    for machine in world.of("storage"):
        said = machine.run("/usr/local/nginx/sbin/nginx -t -c /usr/local/nginx/conf/nginx-fdfs.conf 2>&1")
        bad = [line for line in said.splitlines() if "warn" in line or "error" in line]
        assert not bad, bad
    report.say("no warning about a key of the article's files")
