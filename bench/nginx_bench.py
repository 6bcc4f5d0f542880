#!/usr/bin/env python3
"""Requests a second and CPU per request of (a) stock nginx on plain files, (b) the module on the same files, (c) the module that
fetches them from a member, in turn in one run; one worker each. Needs wrk and a finished `ci/build`.

    bench/nginx_bench.py [--dir /dev/shm] [--seconds 3] [--rounds 2] [--sizes 4096,65536] [--connections 16,64] [--cache]

`--cache` switches open_file_cache on for (a) and (b). CPU is that of the worker, for (c) also that of the two storages behind it.
"""
import argparse
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

root = pathlib.Path(__file__).resolve().parent.parent
built = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target")) / os.environ.get("PROFILE", "fast")
net = f"127.{40 + os.getpid() // 200 % 200}.{1 + os.getpid() % 200}"
started = []


def start(*command):
    process = subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    started.append(process)
    return process.pid


def wait_for(what, done):
    end = time.monotonic() + 60
    while not done():
        if time.monotonic() > end:
            sys.exit(f"not within 60 s: {what}")
        time.sleep(0.02)


def listens(host, port):
    try:
        socket.create_connection((host, port), 1).close()
        return True
    except OSError:
        return False


def cpu(pids):
    """CPU time of all threads, seconds, from the scheduler's accounting."""
    total = 0
    for pid in pids:
        for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def worker_of(master):
    children = lambda: pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()  # noqa: E731
    wait_for("the worker", children)
    return int(children()[0])


def nginx(home, server, cache):
    home.mkdir()
    temp = "".join(f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    cached = "open_file_cache max=1000; open_file_cache_valid 60s;" if cache else ""
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(
        f"load_module {built}/ngx_http_fastdfs_module.so;\n{user} daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;\n"
        f"events {{ worker_connections 1024; }}\nhttp {{ access_log off; sendfile on; keepalive_requests 1000000000; {temp} {cached}\n"
        f"{server}\n}}\n")
    return start("nginx", "-e", home / "error.log", "-p", home, "-c", home / "nginx.conf")


def wrk(url, connections, seconds):
    said = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url], capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        sys.exit(f"{url}: {said}")
    return int(re.search(r"(\d+) requests in", said)[1]), float(re.search(r"Requests/sec: +([\d.]+)", said)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=pathlib.Path, default="/dev/shm")
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sizes", default="4096,65536,1048576,16777216")
    parser.add_argument("--connections", default="16,64")
    parser.add_argument("--cache", action="store_true")
    args = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("no wrk: apt-get install wrk")
    home = pathlib.Path(tempfile.mkdtemp(prefix="nginx-bench-", dir=args.dir))
    try:
        run(args, home)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)
        shutil.rmtree(home)


def run(args, home):
    base = {name: home / name for name in ("tracker", "21", "22", "empty")}
    for folder in base.values():
        folder.mkdir()
    tracker = f"{net}.11"
    (base["tracker"] / "tracker.conf").write_text(
        f"bind_addr={tracker}\nport=22122\nbase_path={base['tracker']}\nreserved_storage_space=0\nlog_level=warn\n")
    start(built / "fdfs_trackerd", "-N", base["tracker"] / "tracker.conf")
    wait_for("the tracker", lambda: listens(tracker, 22122))
    storages = []
    for name in ("21", "22"):
        (base[name] / "storage.conf").write_text(
            f"group_name=group1\nbind_addr={net}.{name}\nport=23000\nbase_path={base[name]}\nstore_path0={base[name]}\n"
            f"tracker_server={tracker}:22122\nheart_beat_interval=1\nsubdir_count_per_path=4\nlog_level=warn\n")
        storages.append(start(built / "fdfs_storaged", "-N", base[name] / "storage.conf"))
    client = home / "client.conf"
    client.write_text(f"tracker_server={tracker}:22122\n")
    active = lambda: subprocess.run([built / "fdfs", "fdfs_monitor", client], capture_output=True, text=True).stdout  # noqa: E731
    wait_for("both storages", lambda: active().count("ACTIVE") >= 2)

    for name, folder in (("local", base["21"]), ("empty", base["empty"])):
        (home / f"mod_{name}.conf").write_text(
            f"group_name=group1\nurl_have_group_name=true\nbase_path={folder}\nstore_path0={folder}\ntracker_server={tracker}:22122\n")
    here = nginx(home / "here", f"""
server {{ listen {net}.31:80 backlog=1024; location /group1/M00/ {{ alias {base['21']}/data/; }} }}
server {{ listen {net}.32:80 backlog=1024; location / {{ ngx_fastdfs_module; fastdfs_conf {home}/mod_local.conf; }} }}""", args.cache)
    away = nginx(home / "away", f"""
server {{ listen {net}.33:80 backlog=1024; location / {{ ngx_fastdfs_module; fastdfs_conf {home}/mod_empty.conf; }} }}""", False)
    for host in ("31", "32", "33"):
        wait_for("nginx", lambda host=host: listens(f"{net}.{host}", 80))
    local, remote = worker_of(here), worker_of(away)
    variants = [("a", "31", [local], []), ("b", "32", [local], []), ("c", "33", [remote], storages)]
    print(f"{'size':>9} {'conns':>5}  " + "  ".join(f"{name} req/s   CPU us" for name in ("(a)", "(b)", "(c)"))
          + "  b/a req/s  b/a CPU  c/a CPU  c: nginx + storages us")
    for size in map(int, args.sizes.split(",")):
        file = home / "file.bin"
        file.write_bytes(os.urandom(size))
        id = subprocess.run([built / "fdfs", "fdfs_upload_file", client, file], capture_output=True, text=True, check=True).stdout.strip()
        path = id.split("/", 2)[2]
        wait_for("both copies", lambda: all((base[name] / "data" / path).exists() for name in ("21", "22")))
        for connections in map(int, args.connections.split(",")):
            sums = {name: [0, 0.0, 0.0, 0.0] for name, *_ in variants}
            for _ in range(args.rounds):
                for name, host, workers, behind in variants:
                    before = cpu(workers), cpu(behind)
                    count, rate = wrk(f"http://{net}.{host}/{id}", connections, args.seconds)
                    one = sums[name]
                    one[0] += count
                    one[1] += rate / args.rounds
                    one[2] += cpu(workers) - before[0]
                    one[3] += cpu(behind) - before[1]
            each = {name: (rate, used / count * 1e6, behind / count * 1e6) for name, (count, rate, used, behind) in sums.items()}
            a, b, c = each["a"], each["b"], each["c"]
            print(f"{size:>9} {connections:>5}  " + "  ".join(f"{one[0]:>9.0f} {one[1]:>8.1f}" for one in (a, b, c))
                  + f"  {b[0] / a[0]:>9.2f} {b[1] / a[1]:>8.2f} {c[1] / a[1]:>8.2f}  {c[1] + c[2]:>10.1f}", flush=True)


main()
