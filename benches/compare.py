"""CPU seconds per request of Daypass beside proxies that verify nothing (nginx, haproxy, bare hyper), one that does (versitygw s3) and a storage (MinIO).

All candidates run in turn in one run, before the same in-memory origin, under the same load from the same machine. The figure is the
CPU time of the candidate's processes from /proc, divided by the requests that were answered; what is quoted is its ratio to nginx in
the same round, because machines differ and vary. Metrics and the audit log are on.

    python benches/compare.py                                  all of it (30 minutes); rewrites docs/performance.md, .json and .svg
    python benches/compare.py --quick                          all of it in short rounds, to try it; writes to target/bench alone
    python benches/compare.py --parts works --works "GET 1 KiB" [--rounds 1] [--seconds 1] [--without haproxy,minio]
"""

import argparse
import json
import os
import pathlib
import shutil
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
os.environ.setdefault("DAYPASS_PROFILE", "release")
# Debian's haproxy and nginx.
os.environ["PATH"] += ":/usr/sbin"

import rig  # noqa: E402
import candidates  # noqa: E402
import chart  # noqa: E402
import growth  # noqa: E402
import report  # noqa: E402
from latency import latency  # noqa: E402
from measure import rounds, running  # noqa: E402
from provider import Provider  # noqa: E402
from works import WORKS  # noqa: E402

OUT = ROOT / "target" / "bench"
DOCS = ROOT / "docs"
SYSTEM_TOOLS = ("wrk", "nginx", "haproxy", "openssl", "taskset")


def works(ground, options):
    found = {}
    for work in options.works:
        starters = {name: candidates.starter(name, work) for name in work.candidates if name not in options.without}
        with running(ground.for_tls(work.tls).for_log(work.logged), starters) as places:
            found[work.name] = rounds(places, options.rounds, lambda place: place.cost(work, options.seconds))
        print(report.work_line(work, found[work.name]), flush=True)
    return found


PARTS = {"works": works, "latency": latency, "statements": growth.statements, "sessions": growth.sessions, "idle": growth.idle, "cores": growth.cores}


def missing():
    """What to install, loudly, before the first minute is spent."""
    absent = [f"{tool}: scripts/setup bench" for tool in SYSTEM_TOOLS if not shutil.which(tool)]
    absent += [f"{rig.BIN / tool}: scripts/setup bench" for tool in ("versitygw", "minio") if not (rig.BIN / tool).exists()]
    programs = [rig.DAYPASS, *(rig.DAYPASS.parent / "examples" / name for name in ("bare_proxy", "load", "many_sessions"))]
    return absent + [f"{program}: cargo build --release --bins --examples" for program in programs if not program.exists()]


def run(options, folder, files):
    ground = candidates.Ground(folder, files, candidates.Certificate(folder), Provider(folder))
    found = {}
    with candidates.origin(ground) as source:
        ground.source, ground.upstream = source, source.port
        for name in options.parts:
            # These two say themselves when they want TLS.
            plain = ground if name in ("works", "idle") else ground.for_tls(False)
            print(f"\n## {name}\n{report.head_of(name)}", flush=True)
            found[name] = PARTS[name](plain, options)
            if name != "works":
                print("\n".join(report.LINES[name](found[name])), flush=True)
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int)
    parser.add_argument("--quick", action="store_true", help="rounds=1, seconds=1, fewer sessions and connections; changes no document")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of these, with commas")
    parser.add_argument("--works", default="", help="those whose names begin so")
    parser.add_argument("--without", default="", help="candidates, with commas")
    options = parser.parse_args()
    options.is_whole = not (options.quick or options.works or options.without) and options.parts == ",".join(PARTS)
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 3)
    options.sessions = (10, 1_000, 20_000) if options.quick else (10, 10_000, 1_000_000)
    options.connections = 200 if options.quick else 2_000
    options.parts, options.without = options.parts.split(","), options.without.split(",")
    options.works = [work for work in WORKS if work.name.startswith(options.works)]
    if unknown := [name for name in options.parts if name not in PARTS]:
        parser.error(f"no such part: {', '.join(unknown)}")
    return options


def main():
    options = arguments()
    if absent := missing():
        sys.exit("missing, each with what brings it:\n  " + "\n  ".join(absent))
    OUT.mkdir(parents=True, exist_ok=True)
    files = pathlib.Path(tempfile.mkdtemp(prefix="daypass-bench-", dir=candidates.MEMORY))
    # The workers of nginx are nobody.
    files.chmod(0o755)
    try:
        with rig.folder() as folder:
            found = run(options, pathlib.Path(folder), files)
    finally:
        shutil.rmtree(files)
    about = report.about(options)
    targets = [OUT, DOCS] if options.is_whole else [OUT]
    for target in targets:
        (target / "performance.json").write_text(json.dumps({"about": about, **found}, indent=1) + "\n")
        if "works" in found:
            chart.draw(options.works, found["works"], target / "performance.svg")
    text = report.page(about, found)
    (OUT / "performance.md").write_text(text)
    if options.is_whole:
        report.put_into(DOCS / "performance.md", text)
    print(f"\nwritten to {', '.join(str(target.relative_to(ROOT)) for target in targets)}")


if __name__ == "__main__":
    main()
