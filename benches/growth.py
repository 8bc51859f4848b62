"""What grows with what there is more of: sessions, statements of a policy, idle connections, cores."""

import functools
import os
import resource
import socket
import ssl
import subprocess
import time

import load
import rig
from candidates import CORES, daypass, pids, plain_nginx, resident
from measure import rounds, running
from works import GET, SMALL, Signed

STATEMENTS = (1, 100, 1000)


def statements(ground, options):
    """CPU of a GET under a role of so many statements, beside nginx."""
    starters = {"nginx": plain_nginx} | {f"daypass {count}": functools.partial(daypass, statements=count) for count in STATEMENTS}
    with running(ground, starters) as places:
        return rounds(places, options.rounds, lambda place: place.cost(GET, options.seconds))


def sessions(ground, options):
    """CPU of a GET when so many sessions are in use, all of them in the cache, and the memory that each takes there."""
    found = {}
    gateway = functools.partial(daypass, limits='session_cache = "8GiB"')
    with running(ground, {"nginx": plain_nginx} | {f"daypass {count}": gateway for count in options.sessions}) as places:
        nginx, *gateways = places.values()
        files = {}
        for count, place in zip(options.sessions, gateways):
            files[place.name] = requests_of(ground, place, count)
            found[place.name] = {"sessions": count, "bytes": filled(place, files[place.name], count), "daypass": [], "nginx": []}
        for _ in range(options.rounds):
            for place in gateways:
                # nginx gets the same file: reading it here takes caches of the processor from everybody.
                for who, one in (("nginx", nginx), ("daypass", place)):
                    send = functools.partial(load.own, one.process.port, files[place.name], seconds=options.seconds)
                    found[place.name][who].append(one.counted(send))
    for file in files.values():
        file.unlink()
    return found


def requests_of(ground, place, count):
    """Signed requests of so many sessions in a file, made under the sealing keys of the gateway."""
    tool, file = rig.DAYPASS.parent / "examples/many_sessions", ground.files / f"{count}.bin"
    load.done([tool, place.process.configuration, count, f"127.0.0.1:{place.process.port}", GET.path, file], f"requests of {count} sessions")
    return file


def filled(place, file, count):
    """Bytes of memory that each session adds, when each has sent one request; a few say nothing."""
    signed = Signed(GET, place.endpoint, place.keys(GET))
    load.own(place.process.port, load.prepared(place.ground.folder, signed), seconds=1)
    before = settled(place.process)
    load.own(place.process.port, file, "--once")
    after = settled(place.process)
    return (after - before) * 1024 / count if count >= 10_000 else None


def settled(process):
    """Its memory once the audit log is written and buffers are given back."""
    time.sleep(2)
    return resident(process)


def idle(ground, options):
    """KiB for each connection that has had one answer and waits."""
    found = {}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * options.connections + 500:
        raise SystemExit(f"the limit of open files is {hard}: raise it (ulimit -Hn) above {2 * options.connections + 500} for the idle connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * options.connections + 500), hard))
    for kind, tls in (("plain", False), ("TLS", True)):
        with running(ground.for_tls(tls), {"nginx": plain_nginx, "daypass": daypass}) as places:
            for place in places.values():
                found.setdefault(place.name, {})[kind] = kib_of_connection(place, options.connections)
    return found


def kib_of_connection(place, count):
    """One after the other: what a crowd that comes at once takes besides is not idle."""
    wire, opened = place.signed(GET).wire(), []
    try:
        for _ in range(50):
            opened.append(asked(place, wire))
        before = settled(place.process)
        for _ in range(count):
            opened.append(asked(place, wire))
        return (settled(place.process) - before) / count
    finally:
        for one in opened:
            one.close()


def asked(place, wire):
    """A connection that has had an answer."""
    one = socket.create_connection(("127.0.0.1", place.process.port), timeout=10)
    if place.ground.certificate:
        context = ssl.create_default_context(cafile=place.ground.certificate.cert)
        one = context.wrap_socket(one, server_hostname="localhost")
    one.sendall(wire)
    answer = b""
    while len(answer.partition(b"\r\n\r\n")[2]) < SMALL:
        more = one.recv(65536)
        if not more or not answer and not more.startswith(b"HTTP/1.1 200"):
            raise load.Failed(f"{place.name}: {more!r}")
        answer += more
    return one


def cores(ground, options):
    """Requests in a second, and in a second of CPU, with one core and with two. It scales only where others leave these two alone."""
    apart = CORES >= 4
    if apart:
        rest = set(range(2, CORES))
        for pid in pids(ground.source):
            os.sched_setaffinity(pid, rest)
    starters = {f"daypass {count}": functools.partial(daypass, prefix=("taskset", "-c", ",".join(map(str, range(count))))) for count in (1, 2)}
    before = os.sched_getaffinity(0)
    try:
        if apart:
            os.sched_setaffinity(0, rest)
        with running(ground, starters) as places:
            return {"apart": apart, "found": rounds(places, options.rounds, lambda place: place.cost(GET, options.seconds))}
    finally:
        os.sched_setaffinity(0, before)
