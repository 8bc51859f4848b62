"""CPU seconds per request of Daypass beside proxies that verify nothing (nginx, haproxy, bare hyper) and one that does (versitygw s3).

All candidates run in turn in one run, before the same in-memory origin, under the same load from the same machine. The figure is the
CPU time of the candidate's processes from /proc, divided by the requests that were answered; what is quoted is its ratio to nginx in
the same round, because machines differ and vary. Metrics and the audit log are on.

    python benches/compare.py [--rounds 5] [--seconds 4] [--works "GET 1 KiB"]
"""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
os.environ.setdefault("DAYPASS_PROFILE", "release")

import rig  # noqa: E402
import candidates  # noqa: E402
import chart  # noqa: E402
from candidates import CANDIDATES, cpu_seconds  # noqa: E402
from run import session_of  # noqa: E402
from works import WORKS, Signed  # noqa: E402

RESULT = ROOT / "target" / "compare.json"
UNITS = {"us": 1, "ms": 1000, "s": 1_000_000}


def load(folder, signed, seconds):
    """How many were answered in that time, how many of them so many, and what 99 of 100 waited at the most, in µs."""
    command = ["wrk", "-t1", f"-c{signed.work.connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", signed.script(folder), signed.url]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout:
        raise RuntimeError(f"{signed.work.name} at {signed.url}: {done.stdout}")
    requests = int(re.search(r"(\d+) requests in", done.stdout)[1])
    if not requests:
        raise RuntimeError(f"{signed.work.name} at {signed.url}: no request was answered in {seconds} s")
    latency = re.search(r"99%\s+([\d.]+)(us|ms|s)", done.stdout)
    return requests, float(latency[1]) * UNITS[latency[2]]


class Place:
    """A candidate that runs, with keys for it."""

    def __init__(self, name, tls, process):
        self.process = process
        self.endpoint = f"http{'s' if tls else ''}://{'localhost' if tls else '127.0.0.1'}:{process.port}"
        self.root = (rig.ROOT_KEY, rig.ROOT_SECRET, None)
        self.verifies = name == "daypass"
        self.session = None

    def keys(self, work, certificate):
        if not self.verifies:
            return self.root
        if work.payload == "sts":
            return rig.USER_KEY, rig.USER_SECRET, None
        if self.session is None:
            class Authority:
                ca = certificate.cert

            self.session = session_of(self, Authority if self.endpoint.startswith("https") else None)
        return self.session


def measure(folder, place, work, certificate, seconds):
    # Afresh each time: a signature is good for fifteen minutes.
    signed = Signed(work, place.endpoint, place.keys(work, certificate))
    load(folder, signed, 1)
    before = cpu_seconds(place.process)
    requests, p99 = load(folder, signed, seconds)
    used = cpu_seconds(place.process) - before
    return {"micros": used / requests * 1e6, "rps": requests / seconds, "p99": p99}


def run(arguments, folder, files):
    certificate = candidates.Certificate(folder)
    works = [work for work in WORKS if work.name.startswith(arguments.works)]
    rows = {work.name: {} for work in works}
    with candidates.origin(folder, files) as source:
        for work in works:
            names = [name for name in work.candidates if name not in arguments.without.split(",")]
            places = {}
            try:
                for name in names:
                    process = CANDIDATES[name](folder, source.port, certificate if work.tls else None).wait_until_it_listens()
                    places[name] = Place(name, work.tls, process)
                for round_number in range(arguments.rounds):
                    for name, place in places.items():
                        rows[work.name].setdefault(name, []).append(measure(folder, place, work, certificate, arguments.seconds))
                print(line(work, rows[work.name]), flush=True)
            finally:
                for place in places.values():
                    place.process.stop()
                (folder / "audit.jsonl").unlink(missing_ok=True)
    return works, rows


def middle(found, what="micros"):
    return statistics.median(one[what] for one in found)


def ratios(found, base):
    return [mine["micros"] / theirs["micros"] for mine, theirs in zip(found, base)]


def line(work, found):
    """One line of the table: CPU per request of each, and the ratio of each to the first."""
    base = found[work.candidates[0]] if work.candidates[0] in found else None
    cells = []
    for name in CANDIDATES:
        if name not in found:
            cells.append("")
            continue
        micros = middle(found[name])
        shown = f"{micros / 1000:.1f} ms" if work.is_large or micros > 2000 else f"{micros:.1f} µs"
        if base and name != work.candidates[0]:
            each = ratios(found[name], base)
            shown += f" · {statistics.median(each):.2f} ({min(each):.2f} – {max(each):.2f})"
        cells.append(shown)
    goal = f"≤ {work.goal}" if work.goal else ""
    return f"| {work.name} | {' | '.join(cells)} | {goal} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--works", default="", help="those whose names begin so")
    parser.add_argument("--without", default="", help="candidates, with commas")
    arguments = parser.parse_args()
    files = pathlib.Path(tempfile.mkdtemp(prefix="daypass-bench-", dir=candidates.MEMORY))
    # The workers of nginx are nobody.
    files.chmod(0o755)
    try:
        with rig.folder() as folder:
            print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores; medians of {arguments.rounds} rounds of {arguments.seconds} s; CPU per request, and its ratio to nginx (min – max)\n")
            print(f"| | {' | '.join(CANDIDATES)} | goal |\n|---|{'---|' * len(CANDIDATES)}---|")
            works, rows = run(arguments, pathlib.Path(folder), files)
    finally:
        shutil.rmtree(files)
    RESULT.write_text(json.dumps(rows, indent=1))
    if not arguments.works:
        chart.draw(works, rows, ROOT / "docs" / "performance.svg")


if __name__ == "__main__":
    main()
