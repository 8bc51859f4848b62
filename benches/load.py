"""Sends a request again and again: by wrk, or by examples/load.rs where wrk cannot."""

import json
import re
import subprocess

import rig

UNITS = {"us": 1, "ms": 1000, "s": 1_000_000}


class Failed(RuntimeError):
    """A request was not answered as it should be."""


def done(command, what):
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise Failed(f"{what}: {' '.join(map(str, command))}: {ended.stderr.strip()[-2000:]}")
    return ended.stdout


def wrk(folder, signed, seconds):
    """How many were answered in that time, how many of them in a second, and what 99 of 100 waited at the most, in µs."""
    what = f"{signed.work.name} at {signed.url}"
    command = ["wrk", "-t1", f"-c{signed.work.connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", signed.script(folder), signed.url]
    printed = done(command, what)
    if "Non-2xx" in printed:
        raise Failed(f"{what}: {printed}")
    requests = int(re.search(r"(\d+) requests in", printed)[1])
    if not requests:
        raise Failed(f"{what}: no request was answered in {seconds} s")
    latency = re.search(r"99%\s+([\d.]+)(us|ms|s)", printed)
    return {"requests": requests, "seconds": seconds, "p99": float(latency[1]) * UNITS[latency[2]]}


def own(port, file, *more, connections=32, seconds=3):
    """The same by our own tool, with more percentiles; the file holds as many requests as one likes."""
    tool = rig.DAYPASS.parent / "examples/load"
    command = [tool, f"127.0.0.1:{port}", file, "--connections", connections, "--seconds", seconds, *more]
    return json.loads(done(command, f"the load on port {port}"))


def prepared(folder, signed):
    """The request in a file for `own`."""
    wire = signed.wire()
    file = folder / "request.bin"
    file.write_bytes(len(wire).to_bytes(4, "little") + wire)
    return file


def repeat(folder, signed, seconds):
    """By the tool that the work asks for."""
    if signed.work.tool == "wrk":
        return wrk(folder, signed, seconds)
    return own(signed.host.rsplit(":", 1)[1], prepared(folder, signed), connections=signed.work.connections, seconds=seconds)
