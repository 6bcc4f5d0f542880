"""What was seen: as text and as one picture."""
import html
import os
import time

WIDTH, LEFT, RIGHT = 1200, 20, 20


class Report:
    def __init__(self, folder):
        self.folder, self.lines, self.faults, self.figures, self.requests = folder, [], [], [], []
        os.makedirs(folder, exist_ok=True)

    def say(self, text):
        print(f"  {text}", flush=True)
        self.lines.append(text)

    def figure(self, what, value, unit, target=None):
        self.figures.append((what, value, unit, target))
        aim = "" if target is None else f" (target {target} {unit}{', missed' if value > target else ''})"
        self.say(f"{what}: {value:.1f} {unit}{aim}")

    def fault(self, name, began, ended, allowed):
        self.faults.append({"name": name, "began": began, "ended": ended, "allowed": allowed})

    def judge(self, requests):
        """Counts what failed during each fault, and asserts that it may."""
        self.requests = requests
        bad = []
        for fault in self.faults:
            mine = [line for line in requests if fault["began"] <= line["at"] < fault["ended"]]
            reads = [line for line in mine if line["kind"] != "put"]
            fault["ok"] = sum("error" not in line for line in reads)
            failed = [line for line in reads if "error" in line]
            puts = [line for line in mine if line["kind"] == "put"]
            fault["failed"], fault["puts"] = len(failed), len(puts)
            fault["puts_failed"] = sum("error" in line for line in puts)
            fault["why"] = sorted({line["error"] for line in failed})
            fault["puts_why"] = sorted({line["error"][-160:] for line in puts if "error" in line})
            fault["slowest"] = max((line["ms"] for line in reads), default=0)
            may = {0: 0, "in flight": 4}.get(fault["allowed"], 10_000)
            self.say(f"{fault['name']}: {fault['ok']} downloads, {fault['failed']} failed, slowest {fault['slowest']:.0f} ms; "
                     f"{fault['puts']} uploads, {fault['puts_failed']} refused")
            # A file that only the killed member has yet may be missing for a moment; one that is on both may never be.
            wrong = any(line["error"] == "other bytes" or (line["kind"], line["error"]) == ("get", "status 404") for line in failed)
            if fault["failed"] > may or wrong:
                bad.append(f"{fault['name']}: {fault['failed']} failed downloads, {may} may fail: {fault['why'][:5]}")
            if fault["ok"] == 0:
                bad.append(f"{fault['name']}: no download at all")
        assert not bad, "\n".join(bad)

    def write(self):
        text = "\n".join(["The lab's report", ""] + self.lines) + "\n"
        for fault in self.faults:
            if fault.get("why"):
                text += f"{fault['name']}: failures: {', '.join(fault['why'][:5])}\n"
            if fault.get("puts_why"):
                text += f"{fault['name']}: refused uploads: {' | '.join(fault['puts_why'][:5])}\n"
        with open(os.path.join(self.folder, "report.txt"), "w") as file:
            file.write(text)
        if self.faults and self.requests:
            with open(os.path.join(self.folder, "report.svg"), "w") as file:
                file.write(picture(self.faults, self.requests))


def picture(faults, requests):
    """Downloads per half second, failures in red below, a band for each fault."""
    start = min(line["at"] for line in requests)
    end = max(line["at"] for line in requests) + 0.5
    scale = (WIDTH - LEFT - RIGHT) / (end - start)
    x = lambda at: LEFT + (at - start) * scale  # noqa: E731
    slots = [[0, 0] for _ in range(int((end - start) * 2) + 1)]
    for line in requests:
        if line["kind"] != "put":
            slots[int((line["at"] - start) * 2)]["error" in line] += 1
    most = max(sum(slot) for slot in slots) or 1
    rows, top = len(faults), 40
    base = top + 22 * rows + 160
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{base + 90}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="16">Downloads through the address while things fail '
           f'({time.strftime("%Y-%m-%d")}; green: served, red: failed)</text>']
    for row, fault in enumerate(faults):
        left, right, y = x(fault["began"]), x(fault["ended"]), top + 22 * row
        failed = fault.get("failed", 0)
        label = f"{fault['name']}: {fault.get('ok', 0)} served, {failed} failed"
        out.append(f'<rect x="{left:.1f}" y="{y}" width="{max(right - left, 2):.1f}" height="16" fill="{"#f3c1bb" if failed else "#cfe3f7"}"/>')
        out.append(f'<line x1="{left:.1f}" y1="{y + 16}" x2="{left:.1f}" y2="{base}" stroke="#ddd"/>')
        place = f'x="{left - 4:.1f}" text-anchor="end"' if left > WIDTH / 2 else f'x="{right + 4:.1f}"'
        out.append(f'<text {place} y="{y + 12}">{html.escape(label)}</text>')
    for n, (ok, failed) in enumerate(slots):
        at, width = LEFT + n * scale / 2, max(scale / 2 - 0.5, 0.5)
        height = 130 * ok / most
        out.append(f'<rect x="{at:.1f}" y="{base - height:.1f}" width="{width:.1f}" height="{height:.1f}" fill="#5fa55a"/>')
        if failed:
            height = 4 + 36 * min(failed / most, 1)
            out.append(f'<rect x="{at:.1f}" y="{base + 2}" width="{width:.1f}" height="{height:.1f}" fill="#d0342c"/>')
    out.append(f'<line x1="{LEFT}" y1="{base}" x2="{WIDTH - RIGHT}" y2="{base}" stroke="black"/>')
    step = next(step for step in (5, 10, 20, 60, 120) if (end - start) / step <= 16 or step == 120)
    for second in range(0, int(end - start) + 1, step):
        out.append(f'<text x="{x(start + second):.1f}" y="{base + 60}" text-anchor="middle">{second} s</text>')
    out.append(f'<text x="{LEFT}" y="{base + 80}">at most {most * 2} downloads per second</text></svg>')
    return "\n".join(out) + "\n"
