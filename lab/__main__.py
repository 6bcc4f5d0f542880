"""The commands of ci/lab."""
import argparse
import os
import subprocess
import sys
import time

from . import article, deploy
from .faults import Faults
from .report import Report
from .shape import Shape
from .world import FOLDER, LabError, World, end, entering, load_state, run, start_outer


def main():
    parser = argparse.ArgumentParser(prog="ci/lab")
    parser.add_argument("command", choices=["up", "article", "faults", "status", "shell", "down", "test"])
    parser.add_argument("host", nargs="?")
    for name, usual in (("groups", 2), ("members", 2), ("trackers", 2), ("paths", 1)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    try:
        return inside(told) if told.inside else outside(told)
    except LabError as error:
        print(f"ci/lab: {error}", file=sys.stderr)
        return 1


def outside(told):
    state = load_state()
    if told.command == "down":
        if state:
            end(state)
        return 0
    if told.command in ("up", "test"):
        if state:
            raise LabError("a lab is up already: ci/lab down ends it")
        began = time.monotonic()
        state = start_outer()
        try:
            code = again(state, sys.argv[1:])
        finally:
            if told.command == "test":
                end(state)
        if told.command == "test":
            print(f"the lab took {time.monotonic() - began:.0f} s; report: {FOLDER}/report")
        elif code != 0:
            end(state)
        return code
    if not state:
        raise LabError("no lab is up: ci/lab up")
    return again(state, sys.argv[1:])


def again(state, args):
    """The same command, inside the outer namespace."""
    return subprocess.run([*entering(state), "--", sys.executable, "-m", "lab", *args, "--inside"]).returncode


def inside(told):
    shape = Shape(told.groups, told.members, told.trackers, told.paths)
    if told.command == "shell":
        machine = World.load().machines.get(told.host or "client")
        if not machine:
            raise LabError(f"no host {told.host}")
        return subprocess.run(machine.command("env", f"PS1={machine.host.name}# ", "bash", "--norc")).returncode
    if told.command == "status":
        return status(World.load())
    report = Report(os.path.join(FOLDER, "report"))
    try:
        if told.command in ("up", "test"):
            began = time.monotonic()
            world = World.start(shape)
            print(f"  {len(world.machines)} hosts, no way out", flush=True)
            deploy.deploy(world)
            report.figure("hosts and deployment up", time.monotonic() - began, "s")
        else:
            world = World.load()
        if told.command == "article" or (told.command == "test" and shape.is_reference()):
            article.run(world, report)
        if told.command in ("faults", "test"):
            Faults(world, report).run()
    except AssertionError as error:
        print(f"ci/lab: FAILED: {error}", file=sys.stderr)
        logs(world)
        return 1
    finally:
        report.write()
    return 0


def status(world):
    for machine in world.machines.values():
        names = machine.run("ps -o comm= -e | sort | uniq -c | awk '{print $2\"*\"$1}' | grep -v '^\\(ps\\|sh\\|sort\\|uniq\\|awk\\|grep\\|sleep\\)\\*' || true")
        print(f"{machine.host.name:8}{machine.host.ip:16}{machine.host.role:9}{' '.join(names.split())}")
    print(world.client.run("fdfs_monitor /etc/fdfs/client.conf 2>&1 | grep -E 'group name|host =' || true"), end="")
    print(run("ip", "-br", "link").stdout, end="")
    return 0


def logs(world):
    """The last lines of every daemon, for whoever looks into a failure."""
    for machine in world.of("tracker") + world.of("storage"):
        kind = machine.host.role
        tail = machine.run(f"tail -n 15 /data/fastdfs/{kind}/logs/{kind}d.log 2>/dev/null || true", check=False)
        print(f"--- {machine.host.name} {kind}\n{tail}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
