"""How many instructions each piece of a request takes, counted by callgrind, beside those in benches/instructions.json.

Machines that run the same program count the same, however busy they are; a piece that takes 5 % more or less than is written down fails,
unless that is less than a thousand: so much moves between the pieces when the compiler draws the line between two of its units elsewhere.

    python benches/instructions.py            compares
    python benches/instructions.py --accept   writes down what it counts; say in the commit why it changed
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
STORED = ROOT / "benches" / "instructions.json"
PROGRAM = ROOT / "target" / "release" / "examples" / "instructions"
MARGIN = 0.05
# An unrelated line elsewhere took 662 off one piece of 11,601.
MOVES = 1_000


def collected(piece, runs):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", PROGRAM, piece, str(runs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        raise RuntimeError(f"{piece}: {done.stderr[-2000:]}")
    return int(found[1])


def count(piece, runs):
    """The difference between so many runs and twice as many is the piece alone, without what comes before it."""
    return round((collected(piece, 2 * runs) - collected(piece, runs)) / runs)


def counted():
    listed = subprocess.run([PROGRAM, "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    pieces = {name: int(runs) for name, runs in (line.split("\t") for line in listed)}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(pieces, pool.map(count, pieces, pieces.values())))


def compare(found, known):
    """One line a piece; whether all are as they were."""
    good = True
    for piece in [*found, *(gone for gone in known if gone not in found)]:
        now, then = found.get(piece), known.get(piece)
        is_close = now is not None and then is not None and abs(now - then) <= max(MARGIN * then, MOVES)
        good &= is_close
        change = f"{(now / then - 1) * 100:+6.1f} %" if now and then else ""
        shown = f"{now:,}" if now is not None else "gone"
        print(f"  {piece:48} {shown:>12} {f'{then:,}' if then is not None else 'new':>12} {change:9} {'' if is_close or then is None else 'CHANGED'}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accept", action="store_true", help="write down what is counted")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        sys.exit("valgrind is missing: scripts/setup installs it")
    subprocess.run(["cargo", "build", "--quiet", "--release", "--example", "instructions"], check=True, cwd=ROOT)
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    stored, machine = json.loads(STORED.read_text()) if STORED.exists() else {}, platform.machine()
    known = stored.get(machine, {"rustc": rustc, "pieces": {}})
    print(f"instructions a run on {machine}, now (rustc {rustc}) and as written down (rustc {known['rustc']})")
    found = counted()
    good = compare(found, known["pieces"])
    if arguments.accept:
        STORED.write_text(json.dumps(stored | {machine: {"rustc": rustc, "pieces": found}}, indent=2) + "\n")
        print(f"written to {STORED.relative_to(ROOT)}")
    elif machine not in stored:
        print(f"NOTHING WAS COMPARED: there are no figures for {machine} yet; make instructions ACCEPT=1 writes them")
    elif not good:
        sys.exit(f"a piece changed by more than {MARGIN:.0%}: find out why, or, if it is meant, make instructions ACCEPT=1")


if __name__ == "__main__":
    main()
