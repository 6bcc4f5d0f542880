"""Opens a page in a headless Chromium and runs browser.js there: browser.py URL OTHER. Prints what it found, and every answer that
was a part of a file (URL, status, Content-Range), as one line of JSON."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

page, other = sys.argv[1:]
program = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium"))), None)
if not program:
    sys.exit("no Chromium: apt-get install chromium-headless-shell (or ci/packages test)")

# Chromium's debugging pipe: commands come from its descriptor 3, answers go to 4; a NUL ends each.
commands, give = os.pipe()
take, answers = os.pipe()
parts = []


def messages():
    rest = b""
    while data := os.read(take, 1 << 16):
        *whole, rest = (rest + data).split(b"\0")
        yield from map(json.loads, whole)
    sys.exit("Chromium ended, or took too long")


incoming = messages()


def ask(method, session=None, **params):
    ask.last += 1
    message = {"id": ask.last, "method": method, "params": params} | ({"sessionId": session} if session else {})
    os.write(give, json.dumps(message).encode() + b"\0")
    for message in incoming:
        if message.get("method") == "Network.responseReceived":
            answer = message["params"]["response"]
            headers = {name.lower(): value for name, value in answer["headers"].items()}
            if "content-range" in headers:
                parts.append([answer["url"], answer["status"], headers["content-range"]])
        if message.get("id") == ask.last:
            if "error" in message:
                sys.exit(f"{method}: {message['error']}")
            return message["result"]


ask.last = 0

with tempfile.TemporaryDirectory(prefix="fdfs-browser-", ignore_cleanup_errors=True) as profile:
    browser = subprocess.Popen(
        ["sh", "-c", f'exec "$0" "$@" 3<&{commands} 4>&{answers}', program, "--headless", "--remote-debugging-pipe",
         f"--user-data-dir={profile}", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server",
         "--autoplay-policy=no-user-gesture-required", "about:blank"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(commands, answers), start_new_session=True)
    os.close(commands)
    os.close(answers)
    watchdog = threading.Timer(150, browser.kill)
    watchdog.start()
    try:
        target = ask("Target.createTarget", url="about:blank")["targetId"]
        session = ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        ask("Network.enable", session)
        # Chromium's cache makes parts itself.
        ask("Network.setCacheDisabled", session, cacheDisabled=True)
        ask("Page.navigate", session, url=page)
        script = pathlib.Path(__file__).with_name("browser.js").read_text()
        done = ask("Runtime.evaluate", session, expression=f"{script}\nrun({json.dumps(other)})", awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            sys.exit(json.dumps(done["exceptionDetails"]))
        ask("Browser.close")
        browser.wait(30)
        print(json.dumps(done["result"]["value"] | {"parts": parts}))
    finally:
        watchdog.cancel()
        # Its helpers write into the profile until they end.
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                os.killpg(browser.pid, signal.SIGKILL)
            except ProcessLookupError:
                break
            browser.poll()
            time.sleep(0.01)
        browser.wait()
