"""Brings the deployment up: the article's shape by the document, other shapes by the same files with other addresses."""
import os
import re

from . import document
from .shape import NET, VIP
from .world import ROOT, wait_for

DOCUMENT = os.path.join(ROOT, "docs/deploy.md")
REFERENCE = os.path.join(ROOT, "nginx-conf/reference")
NGINX = "/usr/local/nginx/sbin/nginx -c /usr/local/nginx/conf"


def deploy(world):
    if world.shape.is_reference():
        for who, text in document.blocks(DOCUMENT):
            if who.startswith("procedure "):
                continue
            if who == "client":
                wait_until_active(world)
            for machine in document.machines(world, who):
                machine.run(text)
    else:
        scaled(world)
    wait_until_active(world)
    wait_for("the address at a gateway", lambda: holder(world), 60)


def holder(world):
    """The gateway that has the address."""
    return [gateway for gateway in world.of("gateway") if f" {VIP}/" in gateway.run("ip -4 -o address show dev eth0")]


def wait_until_active(world, seconds=120):
    """Every tracker says so of every storage."""
    storages = len(world.shape.of("storage"))

    def all_active():
        for tracker in world.shape.of("tracker"):
            said = world.client.run(
                f"printf 'base_path=/tmp\\ntracker_server={tracker.ip}:22122\\n' >/tmp/{tracker.name}.conf; "
                f"fdfs_monitor /tmp/{tracker.name}.conf list 2>/dev/null || true")
            if len(re.findall(r"^\t\thost = \S+  ACTIVE$", said, re.M)) != storages:
                return False
        return True

    return wait_for("every storage is ACTIVE", all_active, seconds, 0.2)[0]


def scaled(world):
    """The files of the reference deployment for any number of hosts."""
    shape = world.shape
    trackers = "\n".join(f"tracker_server={host.ip}:22122" for host in shape.of("tracker"))
    paths = [f"/data/fastdfs/storage{n or ''}" for n in range(shape.paths)]
    store = f"store_path_count={len(paths)}\n" + "\n".join(f"store_path{n}={path}" for n, path in enumerate(paths))
    client = f"base_path=/tmp\n{trackers}\n"
    for machine in world.of("tracker"):
        put(machine, "/etc/fdfs/tracker.conf", read("tracker/tracker.conf"))
        machine.run("mkdir -p /data/fastdfs/tracker; fdfs_trackerd /etc/fdfs/tracker.conf restart")
    groups = range(1, shape.groups + 1)
    sections = "\n".join(f"[group{n}]\ngroup_name=group{n}\nstorage_server_port=23000\n{store}" for n in groups)
    for machine in world.of("storage"):
        group = f"group{machine.host.group}"
        put(machine, "/etc/fdfs/storage.conf", f"base_path={paths[0]}\n{store}\n{trackers}\ngroup_name={group}\n")
        put(machine, "/etc/fdfs/mod_fastdfs.conf",
            f"base_path={paths[0]}\n{trackers}\nurl_have_group_name=true\n{store}\ngroup_name={group}\n"
            f"group_count={shape.groups}\n{sections}\n")
        nginx = read("group1/nginx-fdfs-205.conf").replace(f"{NET}.205", machine.host.ip)
        put(machine, "/usr/local/nginx/conf/nginx-fdfs.conf",
            nginx.replace("~/group[1]/M00/", f"~/{group}/M"))
        machine.run(f"mkdir -p {' '.join(paths)} /usr/local/nginx/sbin; ln -sf /usr/sbin/nginx /usr/local/nginx/sbin/nginx; "
                    f"fdfs_storaged /etc/fdfs/storage.conf; {NGINX}/nginx-fdfs.conf")
    upstreams = "".join(
        f"upstream fdfs_group{n} {{\n" + "".join(
            f"server {host.ip}:8888 weight=1 max_fails=2 fail_timeout=30s;\n" for host in shape.group(n)) + "}\n"
        for n in groups)
    places = "".join(f"location /group{n}/M {{ proxy_pass http://fdfs_group{n}; }}\n" for n in groups)
    for machine, kind in zip(world.of("gateway"), ("master", "backup")):
        put(machine, "/usr/local/nginx/conf/nginx.conf",
            "user root;\nworker_processes 1;\nevents { worker_connections 1024; }\nhttp {\nproxy_connect_timeout 2s;\n"
            f"{upstreams}server {{ listen 80;\n{places}}}\n}}\n")
        machine.run(f"mkdir -p /usr/local/nginx/sbin; ln -sf /usr/sbin/nginx /usr/local/nginx/sbin/nginx; {NGINX}/nginx.conf; "
                    f"cp {REFERENCE}/gateway/check_nginx.sh /etc/keepalived/; "
                    f"cp {REFERENCE}/gateway/keepalived-{kind}.conf /etc/keepalived/keepalived.conf; "
                    "keepalived -f /etc/keepalived/keepalived.conf")
    put(world.client, "/etc/fdfs/client.conf", client)


def read(name):
    with open(os.path.join(REFERENCE, name)) as file:
        return file.read()


def put(machine, path, text):
    machine.run(f"mkdir -p {os.path.dirname(path)}; cat >{path} <<'END_OF_FILE'\n{text}\nEND_OF_FILE")
