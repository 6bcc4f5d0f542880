"""The namespaces: an outer one without a way out, in it a bridge and one network, pid and mount namespace per host."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from .shape import Shape

FOLDER = os.environ.get("FDFS_LAB", "run/lab")
ROOT = os.environ.get("FDFS_ROOT", os.getcwd())
STATE = os.path.join(FOLDER, "state.json")


class LabError(Exception):
    """Something of the lab, rather than of what is tested, does not work."""


def run(*args, check=True, **more):
    done = subprocess.run(args, capture_output=True, text=True, **more)
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(args)}: {done.returncode}: {(done.stdout + done.stderr).strip()}")
    return done


def wait_for(what, condition, seconds=60.0, pause=0.05):
    """Answers the seconds it took and what the condition answered."""
    began = time.monotonic()
    while True:
        found = condition()
        took = time.monotonic() - began
        if found:
            return took, found
        if took > seconds:
            raise AssertionError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)


# Outside: the outer namespace.


def child_of(pid):
    def found():
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                return [int(text) for text in file.read().split()]
        except FileNotFoundError as error:
            raise LabError("unshare ended: this kernel does not permit the namespaces") from error

    return wait_for("a process in the new namespaces", found, 20)[1][0]


def start_outer():
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    keeper = subprocess.Popen(
        ["unshare", *user, "--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc",
         "sh", "-c", "trap '' CHLD; exec sleep infinity"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    time.sleep(0.1)
    if keeper.poll() is not None:
        raise LabError(f"namespaces are not permitted here: {keeper.stderr.read().decode().strip()}")
    state = {"unshare": keeper.pid, "init": child_of(keeper.pid), "user": bool(user)}
    # The keeper has changed namespaces when its child has /proc of its own.
    wait_for("the outer namespace", lambda: nsenter(state, "true").returncode == 0, 20)
    with open(STATE, "w") as file:
        json.dump(state, file)
    return state


def load_state():
    try:
        with open(STATE) as file:
            state = json.load(file)
        os.kill(state["unshare"], 0)
        return state
    except (FileNotFoundError, ProcessLookupError):
        return None


def entering(state):
    user = ["--user", "--preserve-credentials"] if state["user"] else []
    return ["nsenter", "--target", str(state["init"]), *user, "--mount", "--net", "--pid"]


def nsenter(state, *args):
    return subprocess.run([*entering(state), "--", *args], capture_output=True)


def end(state):
    """Ends the first process of the outer pid namespace, and with it every other."""
    for pid in (state["init"], state["unshare"]):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def gone():
        try:
            os.kill(state["unshare"], 0)
        except ProcessLookupError:
            return True
        try:
            return os.waitpid(state["unshare"], os.WNOHANG)[0] != 0
        except ChildProcessError:
            return False

    wait_for("the end of the lab", gone, 20)
    if os.path.exists(STATE):
        os.unlink(STATE)


# Inside.


def prove_closed(hosts=None):
    """No interface but the lab's own, no route out of it, nothing that forwards."""
    links = [line.split()[1].rstrip(":").split("@")[0] for line in run("ip", "-o", "link").stdout.splitlines()]
    known = {"lo", "br0"} | {f"v{host.name}" for host in hosts or []}
    # Tunnel devices that some kernels make in every namespace are down and lead nowhere.
    strange = [name for name in links if name not in known and is_up(name)]
    assert not strange, f"interfaces that are not the lab's: {strange}"
    for family in ("-4", "-6"):
        routes = [line for line in run("ip", family, "route").stdout.splitlines() if not line.startswith("fe80::/64 dev")]
        assert not routes, f"the outer namespace has routes: {routes}"
    with open("/proc/sys/net/ipv4/ip_forward") as file:
        assert file.read().strip() == "0", "the outer namespace forwards packets"
    # An address of a documentation network stands for the world; this asks the routing table and sends nothing.
    assert run("ip", "route", "get", "203.0.113.1", check=False).returncode != 0, "there is a way out"


def is_up(name):
    return "UP" in run("ip", "-o", "link", "show", "dev", name).stdout.split("<")[1].split(">")[0].split(",")


class Machine:
    """A host that runs."""

    def __init__(self, host, pid):
        self.host, self.pid = host, pid

    def command(self, *args):
        return ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", "--root", "--wd", "--", *args]

    def run(self, script, check=True, timeout=120):
        """A line of shell in the project's folder."""
        line = f"cd {ROOT} && {script}"
        # Files, not pipes: a daemon that keeps its stderr would keep a pipe open.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            done = subprocess.run(self.command("sh", "-ec", line), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                  timeout=timeout)
            out.seek(0)
            err.seek(0)
            said, wrong = out.read(), err.read()
        if check and done.returncode != 0:
            raise AssertionError(f"{self.host.name}: {script}: {done.returncode}: {(said + wrong).strip()}")
        return said

    def start(self, *args, **more):
        return subprocess.Popen(self.command(*args), **more)

    def kill(self, name, how="KILL"):
        """Signals every process of that name; the host has a pid namespace of its own."""
        self.run(f"pkill -{how} -x {name}")

    def plug(self, connected):
        run("ip", "link", "set", f"v{self.host.name}", "up" if connected else "down")

    def read(self, path):
        return self.run(f"cat {path} 2>/dev/null || true")


class World:
    """All hosts, seen from inside the outer namespace."""

    def __init__(self, shape, pids):
        self.shape = shape
        self.machines = {host.name: Machine(host, pids[host.name]) for host in shape.hosts()}

    def __getitem__(self, name):
        return self.machines[name]

    def of(self, role):
        return [self.machines[host.name] for host in self.shape.of(role)]

    def group(self, number):
        return [self.machines[host.name] for host in self.shape.group(number)]

    @property
    def client(self):
        return self.machines["client"]

    @classmethod
    def load(cls):
        with open(os.path.join(FOLDER, "hosts.json")) as file:
            told = json.load(file)
        return cls(Shape.read(told["shape"]), told["pids"])

    @classmethod
    def start(cls, shape):
        prove_closed()
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "link", "set", "br0", "up")
        pids = {host.name: start_host(host) for host in shape.hosts()}
        world = cls(shape, pids)
        for host in shape.hosts():
            plug_in(host, pids[host.name])
        prove_closed(shape.hosts())
        for machine in world.machines.values():
            routes = machine.run("ip route").splitlines()
            assert all(line.startswith("192.168.1.0/24 dev eth0") for line in routes), routes
            assert "unreachable" in machine.run("ip route get 203.0.113.1 2>&1 || true").lower()
        with open(os.path.join(FOLDER, "hosts.json"), "w") as file:
            json.dump({"shape": shape.text(), "pids": pids}, file)
        return world


def start_host(host):
    folder = os.path.join(FOLDER, "hosts", host.name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "boot.log"), "w") as log:
        boot = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child=SIGKILL",
             sys.executable, "-m", "lab.root", make_root(folder), os.path.join(FOLDER, "dest")],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    pid = child_of(boot.pid)

    def ready():
        if boot.poll() is not None:
            with open(os.path.join(folder, "boot.log")) as file:
                raise LabError(f"host {host.name} does not start: {file.read()}")
        with open(f"/proc/{pid}/cmdline") as file:
            return file.read().startswith("sleep")

    wait_for(f"host {host.name}", ready, 60)
    return pid


def make_root(folder):
    root = os.path.join(folder, "root")
    os.makedirs(root, exist_ok=True)
    return root


def plug_in(host, pid):
    run("ip", "link", "add", f"v{host.name}", "type", "veth", "peer", "name", "eth0", "netns", str(pid))
    run("ip", "link", "set", f"v{host.name}", "master", "br0", "up")
    inside = ["nsenter", "--target", str(pid), "--net", "--", "ip"]
    run(*inside, "address", "add", f"{host.ip}/24", "dev", "eth0")
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "link", "set", "eth0", "up")
