"""A host's own view of the file system, over the one of this machine; runs as the first process of the host.

argv: FOLDER DEST. The new root is a tmpfs. Folders that a host writes to, or that hold what was installed for it, are its own;
everything else is a link to this machine's files, which are seen under /.host.
"""
import os
import signal
import subprocess
import sys

# Folders that become folders of the host's own, with links to the entries of this machine's ones.
FARMS = ["/", "/usr", "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib/nginx", "/usr/lib/nginx/modules", "/usr/local",
         "/etc", "/var", "/var/lib"]
# Folders that start empty.
EMPTY = ["/tmp", "/run", "/data", "/etc/fdfs", "/etc/keepalived", "/usr/local/nginx", "/var/log", "/var/log/nginx",
         "/var/lib/nginx", "/var/tmp", "/proc", "/sys", "/dev", "/.host"]


def mount(*args):
    subprocess.run(["mount", *args], check=True)


def build(root, dest):
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "lab", root)
    own = set(FARMS + EMPTY)
    for folder in FARMS:
        os.makedirs(root + folder, exist_ok=True)
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            path = os.path.join(folder, name)
            if path in own:
                continue
            # Relative links and links to other links lead to the right place in the new root too.
            target = os.readlink(path) if os.path.islink(path) else "/.host" + path
            os.symlink(target, root + path)
    for folder in EMPTY:
        os.makedirs(root + folder, exist_ok=True)
    os.chmod(root + "/tmp", 0o1777)
    if os.path.isdir(dest):
        for folder, _, names in os.walk(dest):
            # Samples in /etc/fdfs are left out: each host gets its files from the document.
            if "/etc" in folder[len(dest):]:
                continue
            for name in names:
                at = root + os.path.join(folder, name)[len(dest):]
                if os.path.lexists(at):
                    os.unlink(at)
                os.symlink("/.host" + os.path.join(folder, name), at)
    mount("--rbind", "/", root + "/.host")
    mount("--rbind", "/dev", root + "/dev")
    mount("--rbind", "/sys", root + "/sys")
    mount("-t", "proc", "proc", root + "/proc")


if __name__ == "__main__":
    build(sys.argv[1], sys.argv[2])
    os.chroot(sys.argv[1])
    os.chdir("/")
    # Whoever ignores SIGCHLD needs not wait for processes that lost their parents.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.execv("/bin/sleep", ["sleep", "infinity"])
