"""What fails, one after the other, while the client downloads and uploads."""
import contextlib
import hashlib
import json
import os
import time

from . import document
from .article import START_TRACKER, STOP_TRACKER, on_disk
from .deploy import DOCUMENT, NGINX, holder, wait_until_active
from .shape import VIP
from .world import wait_for

LOAD = "/tmp/load"
STORAGE_NGINX = f"{NGINX}/nginx-fdfs.conf"
GATEWAY_NGINX = f"{NGINX}/nginx.conf"
# Of the time that an address takes to move: more than any machine needs, and a sign that it does not move at all.
MOVE_MAX = 30


def may_drop_groups():
    """False in a user namespace that somebody without privileges made."""
    with open("/proc/self/setgroups") as file:
        return file.read().strip() == "allow"


class Faults:
    def __init__(self, world, report):
        self.world, self.report = world, report

    def run(self):
        self.start_load()
        try:
            self.quiet()
            self.storage_nginx_killed()
            self.storage_daemon_killed()
            self.host_unplugged()
            self.trackers_down()
            if may_drop_groups():
                self.gateway_killed()
            else:
                self.report.say("nginx of a gateway was not killed: keepalived runs its check of nginx with setgroups,"
                                " which this user namespace denies")
            self.gateway_host_gone()
            self.rolling_restart()
        finally:
            requests = self.stop_load()
        self.report.judge(requests)
        self.nothing_lost(requests)

    # The load.

    def start_load(self):
        client = self.world.client
        client.run(f"rm -rf {LOAD}; mkdir -p {LOAD}")
        lines = []
        for n in range(20):
            for group in range(1, self.world.shape.groups + 1):
                name = f"{LOAD}/seed"
                client.run(f"head -c {3000 + n * 4000} /dev/urandom >{name}")
                id = client.run(f"fdfs_upload_file -g group{group} -e jpg /etc/fdfs/client.conf {name}").strip()
                lines.append(f"{id} {client.run(f'sha256sum {name}').split()[0]}")
        client.run(f"cat >{LOAD}/ids <<'END'\n" + "\n".join(lines) + "\nEND")
        self.load = client.start("sh", "-c", f"cd {os.environ['FDFS_ROOT']} && exec python3 -m lab.load {LOAD}")
        wait_for("the load", lambda: len(self.requests()) > 50, 60)

    def requests(self):
        text = self.world.client.read(f"{LOAD}/requests.jsonl")
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    def stop_load(self):
        self.world.client.run(f"touch {LOAD}/stop")
        assert self.load.wait(180) == 0
        return self.requests()

    @contextlib.contextmanager
    def fault(self, name, allowed=0):
        """Requests between begin and end belong to it; `allowed` in words may fail."""
        began = time.time()
        print(f"  {name}", flush=True)
        yield
        self.report.fault(name, began, time.time(), allowed)

    def served_for(self, seconds):
        """Lets the load go on for a while."""
        began = time.monotonic()
        wait_for("some load", lambda: time.monotonic() - began > seconds, seconds + 5, 0.1)

    # The faults.

    def quiet(self):
        with self.fault("no fault"):
            self.served_for(3)

    def storage_nginx_killed(self):
        victim = self.world.group(1)[0]
        with self.fault(f"nginx of storage {victim.host.name} killed", "in flight"):
            victim.kill("nginx")
            self.served_for(4)
            victim.run(f"rm -f /run/nginx.pid; {STORAGE_NGINX}")

    def storage_daemon_killed(self):
        victim = self.world.group(1)[1]
        with self.fault(f"fdfs_storaged of {victim.host.name} killed", "in flight"):
            victim.kill("fdfs_storaged")
            self.served_for(4)
            began = time.monotonic()
            victim.run("/usr/bin/fdfs_storaged /etc/fdfs/storage.conf")
            wait_until_active(self.world)
            took = time.monotonic() - began
        self.report.figure(f"storage {victim.host.name} is ACTIVE again after its start", took, "s")

    def host_unplugged(self):
        victim, other = self.world.group(2)[:2]
        with self.fault(f"host {victim.host.name} unplugged", "in flight"):
            victim.plug(False)
            self.served_for(8)
            sent = self.world.client.run(
                f"fdfs_upload_file /etc/fdfs/client.conf {LOAD}/seed {other.host.ip}:23000").strip()
            victim.plug(True)
            began = time.monotonic()
            wait_for("what was uploaded meanwhile", lambda: victim.run(f"test -e {on_disk(sent)} && echo there || true"), 120)
            took = time.monotonic() - began
        self.report.figure(f"host {victim.host.name} has caught up after its return", took, "s")
        wait_until_active(self.world)

    def trackers_down(self):
        with self.fault("all trackers stopped"):
            for tracker in self.world.of("tracker"):
                tracker.run(STOP_TRACKER)
            self.served_for(4)
            for tracker in self.world.of("tracker"):
                tracker.run(START_TRACKER)
            wait_until_active(self.world)

    def gateway_killed(self):
        victim = holder(self.world)[0]
        with self.fault(f"nginx of gateway {victim.host.name} killed", "until the address moves"):
            victim.kill("nginx")
            took = self.moved(victim)
            self.served_for(2)
            victim.run(f"rm -f /run/nginx.pid; {GATEWAY_NGINX}")
            wait_for("the master has the address again", lambda: holder(self.world) == [victim], MOVE_MAX)
            self.served_for(1)
        self.report.figure("the address moved, after nginx of its gateway was killed", took, "s", target=3)

    def gateway_host_gone(self):
        wait_for("one gateway has the address", lambda: len(holder(self.world)) == 1, 60)
        victim = holder(self.world)[0]
        with self.fault(f"gateway host {victim.host.name} unplugged", "until the address moves"):
            victim.plug(False)
            took = self.moved(victim)
            self.served_for(2)
            victim.plug(True)
            wait_for("one gateway has the address", lambda: len(holder(self.world)) == 1, 60)
            self.served_for(1)
        self.report.figure("the address moved, after its gateway was unplugged", took, "s", target=3)

    def moved(self, victim):
        others = [gateway for gateway in self.world.of("gateway") if gateway is not victim]
        has = lambda: any(f" {VIP}/" in gateway.run("ip -4 -o address show dev eth0") for gateway in others)  # noqa: E731
        return wait_for("the address at the other gateway", has, MOVE_MAX)[0]

    def rolling_restart(self):
        upgrade = document.procedure(DOCUMENT, "upgrade-nginx")
        with self.fault("rolling restart of every process"):
            for tracker in self.world.of("tracker"):
                tracker.run("/usr/bin/restart.sh /usr/bin/fdfs_trackerd /etc/fdfs/tracker.conf")
                wait_until_active(self.world)
            for storage in self.world.of("storage"):
                storage.run("/usr/bin/fdfs_storaged /etc/fdfs/storage.conf restart")
                wait_until_active(self.world)
            for machine in self.world.of("storage") + self.world.of("gateway"):
                machine.run(upgrade)

    # Afterwards.

    def nothing_lost(self, requests):
        """Every acknowledged upload is whole on every member of its group."""
        acknowledged = [(line["id"], line["sha"]) for line in requests if line["kind"] == "put" and "error" not in line]
        for group in range(1, self.world.shape.groups + 1):
            mine = [(id, sha) for id, sha in acknowledged if id.startswith(f"group{group}/")]
            check = "\n".join(f"{sha}  {on_disk(id)}" for id, sha in mine)
            if not mine:
                continue
            for storage in self.world.group(group):
                def whole():
                    script = f"sha256sum --check --quiet - <<'END' 2>&1 | tail -n 3\n{check}\nEND"
                    return storage.run(script).strip() == ""
                wait_for(f"every acknowledged file on {storage.host.name}", whole, 120, 0.5)
        self.report.say(f"{len(acknowledged)} acknowledged uploads, none lost: all whole on every member of their group")
        assert len(acknowledged) > 20, "too few uploads to say anything"
        assert hashlib.sha256(b"").hexdigest() not in {sha for _, sha in acknowledged}
