"""On the client host: downloads through the address and uploads, until it is told to stop. argv: FOLDER.

FOLDER/ids: lines `ID SHA256`, to download. FOLDER/stop: made by who wants it to end. FOLDER/requests.jsonl: a line per request with
its begin (Unix s), its duration in ms, and `error` in words when it failed.
"""
import hashlib
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time

from lab.shape import VIP

FOLDER = sys.argv[1]
READERS = 4
# A person would have gone by then.
PATIENCE = 30
LIMIT = 900

lock = threading.Lock()
with open(os.path.join(FOLDER, "ids")) as file:
    known = [line.split() for line in file]
log = open(os.path.join(FOLDER, "requests.jsonl"), "w")
ends_at = time.monotonic() + LIMIT


def stopped():
    return os.path.exists(os.path.join(FOLDER, "stop")) or time.monotonic() > ends_at


def note(kind, began, error, **more):
    line = {"kind": kind, "at": began, "ms": round((time.time() - began) * 1000, 1), **more}
    if error:
        line["error"] = error
    with lock:
        log.write(json.dumps(line) + "\n")
        log.flush()


def get(id, sha):
    connection = http.client.HTTPConnection(VIP, 80, timeout=PATIENCE)
    try:
        connection.request("GET", f"/{id}")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        connection.close()
    if answer.status != 200:
        return f"status {answer.status}"
    return None if hashlib.sha256(body).hexdigest() == sha else "other bytes"


def read():
    while not stopped():
        with lock:
            id, sha = random.choice(known)
        began = time.time()
        note("get", began, get(id, sha), id=id)
        time.sleep(0.01)


def write():
    n = 0
    while not stopped():
        n += 1
        content = os.urandom(2000 + n * 997 % 40_000)
        began = time.time()
        done = subprocess.run(["fdfs_upload_file", "-e", "bin", "/etc/fdfs/client.conf", "-"], input=content,
                              capture_output=True, timeout=120)
        id, sha = done.stdout.decode().strip(), hashlib.sha256(content).hexdigest()
        if done.returncode == 0:
            note("put", began, None, id=id, sha=sha)
            # Right after the upload, through whichever member the gateway takes.
            began = time.time()
            note("fresh", began, get(id, sha), id=id)
        else:
            note("put", began, done.stderr.decode().strip())
        time.sleep(0.1)


threads = [threading.Thread(target=read) for _ in range(READERS)] + [threading.Thread(target=write)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
