"""What a long run leaves behind: memory and file descriptors of each life of a gateway, and its audit log."""

import collections
import json
import os
import pathlib
import re
import statistics
import subprocess
import threading
import time

from fleet import rig

MIB = 1024 * 1024
# How much more memory the last quarter of a life may have than its second quarter.
TOLERANCE, ALLOWANCE = 0.10, 8 * MIB
# Of which length a life tells something.
LONG = 120.0
# The User-Agent of a request; the AWS CLI takes no slash.
MARKER = re.compile(r"soak[-/]([a-z0-9-]+)[-/](\d+)")


def rss(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Samples(threading.Thread):
    """Looks at each replica's process, every so many seconds."""

    def __init__(self, replicas, every):
        super().__init__(daemon=True)
        self.replicas, self.every = replicas, every
        self.over = threading.Event()
        # (replica, pid): [(when, bytes, descriptors)]
        self.lives = collections.defaultdict(list)

    def run(self):
        while not self.over.wait(self.every):
            for replica in self.replicas:
                process = replica.process
                try:
                    self.lives[replica.name, process.pid].append((time.monotonic(), rss(process.pid), descriptors(process.pid)))
                except (AttributeError, OSError):
                    # It is between two lives.
                    pass

    def rows(self):
        for (name, _), samples in self.lives.items():
            seconds = samples[-1][0] - samples[0][0]
            if seconds < LONG or len(samples) < 8:
                continue
            quarter = len(samples) // 4
            second, last = samples[quarter:2 * quarter], samples[-quarter:]
            memory = [statistics.mean(one[1] for one in part) for part in (second, last)]
            files = [statistics.mean(one[2] for one in part) for part in (second, last)]
            yield {"gateway": name, "lived s": round(seconds), "memory, 2nd quarter": f"{memory[0] / MIB:.1f} MiB", "last quarter": f"{memory[1] / MIB:.1f} MiB",
                   "descriptors, 2nd quarter": round(files[0], 1), "descriptors, last": round(files[1], 1), "flat": memory[1] <= memory[0] * (1 + TOLERANCE) + ALLOWANCE}


def knows_audit():
    return subprocess.run([rig.DAYPASS, "audit", "--help"], capture_output=True).returncode == 0


def verified(files):
    """What `daypass audit verify` says is wrong."""
    done = subprocess.run([rig.DAYPASS, "audit", "verify", *files], capture_output=True, text=True)
    return None if done.returncode == 0 else f"{done.returncode}: {(done.stdout + done.stderr)[-2000:]}"


def marked_lines(files):
    """How many lines of the audit files each marker has."""
    counts = collections.Counter()
    for file in files:
        for line in file.read_text(errors="replace").splitlines():
            try:
                found = MARKER.search(json.loads(line).get("userAgent") or "")
            except ValueError:
                continue
            if found:
                counts[f"soak/{found[1]}/{found[2]}"] += 1
    return counts


def compared(journal, counts):
    """(figures, what differs): an answered request has as many lines as it has decisions, one in doubt has those or none, or one that says ClientGone."""
    differs = []
    for marker, (operation, answered, lines) in journal.items():
        found = counts.get(marker, 0)
        if found not in ({lines} if answered else {0, 1, lines}):
            differs.append(f"{marker} ({operation}, {'answered' if answered else 'not answered'}): {found} lines, not {lines}")
    unknown = counts.keys() - journal.keys()
    differs += [f"{marker}: nobody sent it" for marker in sorted(unknown)]
    answered = sum(1 for _, was, _ in journal.values() if was)
    figures = {"requests answered": answered, "requests not answered": len(journal) - answered, "audit lines": sum(counts.values())}
    return figures, differs
