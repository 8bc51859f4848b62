"""The figures as tables for people, and their place in docs/performance.md."""

import datetime
import os
import pathlib
import platform
import re
import statistics
import subprocess

from candidates import CANDIDATES
from measure import middle, ratios, spread
from works import WORKS

ROOT = pathlib.Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- make bench: from here -->", "<!-- make bench: to here -->"
GOALS = {"sessions": 1.1, "bytes": 600, "plain": 20, "TLS": 45}
NOT_SCALING = ("**Not the real thing: this machine has fewer than four cores, so the load and the storage take from the gateway's. "
               "Only requests in a second of CPU mean something here; how it scales needs a larger machine.**")
NOTES = ("`minio` is no proxy but a storage of its own, in memory: what a request costs there without anything before it. "
         "Uploads of `versitygw` go to the storage over TLS, the others' do not: it sends no body over a plain link.")


def output(*command):
    """What a program says of itself, on either stream."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, cwd=ROOT)
    return (done.stdout + done.stderr).strip()


def pinned(name):
    """The version of a Go module in scripts/setup: these programs do not know their own."""
    return re.search(rf"^{name}=\S+@v?(\S+)$", (ROOT / "scripts/setup").read_text(), re.MULTILINE)[1]


def about(options):
    model = re.search(r"^model name\s*: (.+)$", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "command": "make bench" if options.is_whole else "a part of make bench",
        "date": datetime.date.today().isoformat(),
        "machine": f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}",
        "rounds": options.rounds,
        "seconds": options.seconds,
        "versions": {
            "daypass": output("git", "describe", "--always", "--dirty"),
            "rustc": output("rustc", "--version").split()[1],
            "nginx": output("nginx", "-v").rsplit("/", 1)[1],
            "haproxy": output("haproxy", "-v").split()[2],
            "versitygw": pinned("VERSITYGW"),
            "MinIO": pinned("MINIO"),
            "wrk": output("wrk", "-v").split()[1],
        },
    }


def shown(micros):
    return f"{micros / 1000:.1f} ms" if micros > 2000 else f"{micros:.1f} µs"


def head_of(part):
    if part != "works":
        return ""
    return f"| | {' | '.join(CANDIDATES)} | goal |\n|---|{'---|' * len(CANDIDATES)}---|"


def work_line(work, found):
    """CPU per request of each, and the ratio of each to nginx."""
    base, cells = found.get("nginx"), []
    for name in CANDIDATES:
        if name not in found:
            cells.append("")
            continue
        ratio = f" · {spread(ratios(found[name], base))}" if base and name != "nginx" else ""
        cells.append(shown(middle(found[name])) + ratio)
    return f"| {work.name} | {' | '.join(cells)} | {f'≤ {work.goal}' if work.goal else ''} |"


def work_lines(found):
    return [NOTES, "", head_of("works"), *(work_line(work, found[work.name]) for work in WORKS if work.name in found)]


def latency_lines(part):
    keys = {"p50": "p50", "p99": "p99", "p999": "p99.9", "timer_p50": "of it the timer, p50"}
    lines = [f"{part['capacity'] / 2:.0f} requests in a second, half of what daypass answers at the most here, on {part['connections']} connections.\n",
             f"| | {' | '.join(keys.values())} |\n|---|{'---|' * len(keys)}"]
    for name, found in part["found"].items():
        lines.append(f"| {name} | {' | '.join(between(found, key) for key in keys)} |")
    return lines


def between(found, key):
    values = [one[key] for one in found if one[key] is not None]
    return f"{statistics.median(values):.0f} µs ({min(values):.0f} – {max(values):.0f})" if values else "–"


def statement_lines(found):
    lines = ["| statements | CPU per GET | ratio to nginx | ratio to one statement |\n|---|---|---|---|"]
    ours = {name.split()[1]: rows for name, rows in found.items() if name != "nginx"}
    for count, rows in ours.items():
        lines.append(f"| {int(count):,} | {shown(middle(rows))} | {spread(ratios(rows, found['nginx']))} | {spread(ratios(rows, ours['1']))} |")
    return lines


def session_lines(found):
    lines = [f"| sessions | CPU per GET | ratio to nginx | ratio to the fewest (goal ≤ {GOALS['sessions']}) | bytes a session (goal ≤ {GOALS['bytes']}) |\n|---|---|---|---|---|"]
    first = next(iter(found.values()))
    for row in found.values():
        # What the file of requests costs everybody falls out with nginx.
        mine, fewest = ratios(row["daypass"], row["nginx"]), ratios(first["daypass"], first["nginx"])
        grown = spread([one / other for one, other in zip(mine, fewest)])
        memory = f"{row['bytes']:.0f}" if row["bytes"] is not None else "too few to tell"
        lines.append(f"| {row['sessions']:,} | {shown(middle(row['daypass']))} | {spread(mine)} | {grown} | {memory} |")
    return lines


def idle_lines(found):
    lines = [f"| | plain (goal ≤ {GOALS['plain']}) | TLS (goal ≤ {GOALS['TLS']}) |\n|---|---|---|"]
    return lines + [f"| {name} | {kinds['plain']:.1f} KiB | {kinds['TLS']:.1f} KiB |" for name, kinds in found.items()]


def core_lines(part):
    lines = ([] if part["apart"] else [NOT_SCALING, ""]) + ["| cores | requests in a second | in a second of CPU |\n|---|---|---|"]
    for name, rows in part["found"].items():
        lines.append(f"| {name.split()[1]} | {middle(rows, 'rps'):,.0f} | {1e6 / middle(rows):,.0f} |")
    one, two = part["found"].values()
    more = ratios(two, one, "rps")
    return [*lines, "", f"The second core adds {(statistics.median(more) - 1) * 100:.0f} % of requests."]


LINES = {"works": work_lines, "latency": latency_lines, "statements": statement_lines, "sessions": session_lines, "idle": idle_lines, "cores": core_lines}
HEADINGS = {
    "works": "CPU per request, and its ratio to nginx in the same round: median (least – greatest)",
    "latency": "What a request of 1 KiB waits, from when it was due",
    "statements": "Statements of a policy",
    "sessions": "Sessions in use, each request another one's",
    "idle": "Memory of an idle connection, after one request; buffers of the kernel are not in it",
    "cores": "Cores",
}


def page(about, found):
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = [f"`{about['command']}` on {about['date']}: {about['machine']}; {about['rounds']} rounds of {about['seconds']} s. {versions}."]
    if "works" in found:
        lines += ["", "![Daypass beside nginx](performance.svg)"]
    for name, part in found.items():
        lines += ["", f"### {HEADINGS[name]}", "", *LINES[name](part)]
    return "\n".join(lines) + "\n"


def put_into(path, text):
    """Between the two marks, and nowhere else."""
    before, rest = path.read_text().split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
