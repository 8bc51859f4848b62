"""A gateway on cores of its own, a good client beside whoever abuses it, and what both of them cost and suffer."""

import asyncio
import gc
import inspect
import mmap
import multiprocessing
import os
import pathlib
import ssl
import statistics
import sys
import time
import urllib.request

import botocore.auth
import botocore.awsrequest
import botocore.credentials

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/clients"), str(ROOT / "benches")]
os.environ.setdefault("DAYPASS_PROFILE", "release")

import candidates  # noqa: E402
import rig  # noqa: E402
from candidates import GATEWAY_CORES, OTHER_CORES, on  # noqa: E402
from run import session_of  # noqa: E402

MIB = 1024 * 1024
BIG = 64 * MIB
FORK = multiprocessing.get_context("fork")


def content(path):
    """What the storage has at a path: no two objects are the same."""
    return path.encode() + b"x" * 1024


def storage(folder):
    """nginx with objects that are their own name, and one of 64 MiB.

    Its send buffers are bounded. The system would let each grow to megabytes on loopback: 500 slow readers made it 1.5 GiB, which is
    past `tcp_mem`, and then the whole machine's TCP loses segments and the storage copies for seconds instead of answering."""
    # Workers of nginx are nobody: they may pass through the folder, not look around in it.
    folder.chmod(0o711)
    (folder / "bench").mkdir()
    with open(folder / "bench/big", "w+b") as file:
        file.truncate(BIG)
        # From here on it is in memory.
        while file.read(MIB):
            pass
    return candidates.nginx(folder, "origin", f"""
  server {{
    listen 127.0.0.1:PORT backlog=4096 sndbuf=256k;
    sendfile on;
    location = /bench/big {{ root {folder}; }}
    location / {{ default_type application/octet-stream; add_header ETag '"0123456789abcdef0123456789abcdef"'; return 200 "${{uri}}{'x' * 1024}"; }}
  }}""")


def signed_headers(method, url, keys, service="s3", body=b"", **headers):
    """Lower-case names; with the host, which botocore leaves to the client."""
    request = botocore.awsrequest.AWSRequest(method, url, data=body, headers=headers)
    signer = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    signer(botocore.credentials.Credentials(*keys), service, "us-east-1").add_auth(request)
    return {"host": url.split("/")[2]} | {name.lower(): value for name, value in request.headers.items()}


def head_of(method, url, headers):
    target = "/" + url.split("/", 3)[3]
    return (f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n").encode()


def signed_head(method, url, keys, service="s3", body=b"", **headers):
    return head_of(method, url, signed_headers(method, url, keys, service, body, **headers))


async def read_reply(reader):
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(head.split("content-length: ", 1)[1].split("\r\n", 1)[0])
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)


class Good:
    """Signed GETs at a steady rate, whether or not the ones before were answered; each `fresh_every`th on a connection of its own."""

    def __init__(self, endpoint, keys, ca=None, rate=200, fresh_every=4):
        self.endpoint, self.keys, self.ca, self.rate, self.fresh_every = endpoint, keys, ca, rate, fresh_every
        self.results = []

    def __enter__(self):
        self.stopped = FORK.Event()
        self.told, telling = FORK.Pipe(duplex=False)
        self.process = FORK.Process(target=self._drive, args=(telling,))
        with on(OTHER_CORES):
            self.process.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        if self.told.poll(30):
            self.results = self.told.recv()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()

    def _drive(self, telling):
        gc.disable()
        telling.send(asyncio.run(self._all()))

    async def _all(self):
        self.kept, self.tls = [], ssl.create_default_context(cafile=self.ca) if self.ca else None
        tasks, number, begun = set(), 0, time.monotonic()
        while not self.stopped.is_set():
            due = begun + number / self.rate
            await asyncio.sleep(max(0, due - time.monotonic()))
            task = asyncio.create_task(self._one(number, due))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
        await asyncio.gather(*tasks)
        return self.results

    async def _one(self, number, due):
        url = f"{self.endpoint}/bench/{number:08}"
        head = signed_head("GET", url, self.keys)
        fresh = self.fresh_every and number % self.fresh_every == 0
        begun, wrong = time.monotonic(), None
        try:
            async with asyncio.timeout(15):
                reader, writer = await self._connection(fresh)
                writer.write(head)
                status, body = await read_reply(reader)
            if status != 200 or body != content(f"/bench/{number:08}"):
                wrong = f"{status} {body[:200]}"
            if fresh:
                writer.close()
            else:
                self.kept.append((time.monotonic(), reader, writer))
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            wrong = f"{type(error).__name__}: {error}"
        self.results.append((begun, time.monotonic() - begun, begun - due, wrong))

    async def _connection(self, fresh):
        # One that has been idle could be closed at this moment: a good client does not take it.
        while self.kept and self.kept[0][0] < time.monotonic() - 1.5:
            self.kept.pop(0)[2].close()
        if self.kept and not fresh:
            return self.kept.pop()[1:]
        host, port = self.endpoint.split("/")[2].split(":")
        return await asyncio.open_connection("127.0.0.1", int(port), ssl=self.tls, server_hostname=host if self.tls else None)

    def slower(self, than, start, end):
        """When those were sent that took more than so many milliseconds, in seconds after the start."""
        return [begun - start for begun, latency, *_ in sorted(self.results) if start <= begun < end and latency * 1000 > than]

    def seen(self, start, end):
        """Milliseconds of the requests that were sent in this time, and what went wrong."""
        within = [result for result in self.results if start <= result[0] < end]
        taken = sorted(latency * 1000 for _, latency, _, _ in within) or [0.0]
        return {"requests": len(within), "p50": statistics.median(taken), "p99": taken[min(len(taken) - 1, int(len(taken) * 0.99))], "max": taken[-1],
                "lag": sorted([lag for _, _, lag, _ in within] or [0])[int(len(within) * 0.99) - 1] * 1000, "wrong": [wrong for *_, wrong in within if wrong]}


def memory(pid, field="VmRSS"):
    """MiB."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def descriptors(pid):
    # Since Linux 6.2 the folder's size is their number; before it is 0, and listing thousands takes time that is the good client's.
    return os.stat(f"/proc/{pid}/fd").st_size or len(os.listdir(f"/proc/{pid}/fd"))


def sockets(port, side=1):
    """The established connections of this port's clients, from the port's side (2: from theirs), as the system has them."""
    end = f":{port:04X}"
    fields = (line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])
    return [line for line in fields if line[side].endswith(end) and line[3] == "01"]


def connections(port):
    return len(sockets(port))


def kept(port, storage):
    """MiB that the system keeps for the gateway: what its clients have not taken, and what it has not taken from the storage."""
    unsent = sum(int(line[4].split(":")[0], 16) for line in sockets(port))
    return (unsent + sum(int(line[4].split(":")[1], 16) for line in sockets(storage, side=2))) / MIB


def tcp_troubles():
    """What delays connections and is nobody's processor: counts of the whole machine since it started."""
    names, values = (line.split()[1:] for line in pathlib.Path("/proc/net/netstat").read_text().splitlines()[:2])
    counts = dict(zip(names, map(int, values)))
    return {name: counts[name] for name in ("ListenOverflows", "TCPMemoryPressures", "TCPTimeouts")}


def backed_memory(mib):
    """Memory that the machine has. Of a virtual one a host may have taken what is free, and gives it back at the first touch: 4 ms
    for each 2 MiB were measured, 70 ms for 1,000 connections. Whoever closes it leaves it to the next who needs some."""
    memory = mmap.mmap(-1, mib * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    for at in range(0, len(memory), mmap.PAGESIZE):
        memory[at] = 1
    return memory


def waited(pid):
    """Seconds that its threads were ready and had no processor."""
    return sum(int(file.read_text().split()[1]) for file in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def run_abuse(telling, abuse, arguments):
    # Whoever else is ready has the processor at once: a lower priority alone would hold the good client up by some milliseconds.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    try:
        result = abuse(*arguments)
        telling.send((asyncio.run(result) if inspect.iscoroutine(result) else result, None))
    except Exception as error:  # noqa: BLE001: an abuse that does not run is a failed test, whatever the reason
        telling.send((None, f"{type(error).__name__}: {error}"))


class Trial:
    """A fresh gateway with a good client: calm, under abuse, after it."""

    def __init__(self, name, place, limits="", tls=False, calm=4, buffers=False, **good):
        self.name, self.place, self.calm_seconds, self.buffers, self.good_settings = name, place, calm, buffers, good
        self.certificates = place.certificates if tls else None
        self.admin = rig.free_port()
        limits += f'\n[admin]\naddress = "127.0.0.1:{self.admin}"\n'
        with on(GATEWAY_CORES):
            self.gateway = self.start(limits)
        self.result = None

    def start(self, limits):
        return rig.Gateway(self.place.backend, self.place.folder, self.certificates, limits=limits)

    def keys_of(self):
        return session_of(self.gateway, self.certificates)

    @property
    def endpoint(self):
        return self.gateway.endpoint

    @property
    def pid(self):
        return self.gateway.process.pid

    def __enter__(self):
        self.gateway.wait_until_it_listens()
        self.keys = self.keys_of()
        self.good = Good(self.endpoint, self.keys, self.certificates and self.certificates.ca, **self.good_settings).__enter__()
        self.memory = backed_memory(1024 if self.buffers else 256)
        time.sleep(1)
        self.began = time.monotonic()
        time.sleep(self.calm_seconds)
        pathlib.Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        self.before = (memory(self.pid), descriptors(self.pid))
        return self

    def under(self, abuse, *arguments):
        """Runs it in a process of its own, with what the good client leaves of the processor; gives what it gives."""
        told, telling = FORK.Pipe(duplex=False)
        process = FORK.Process(target=run_abuse, args=(telling, abuse, arguments))
        self.memory.close()
        cpu, wait, troubles, self.abuse_began = candidates.cpu_seconds(self.gateway), waited(self.pid), tcp_troubles(), time.monotonic()
        with on(OTHER_CORES):
            process.start()
        self.peak_descriptors, self.peak_kept = self.before[1], 0
        # Reading the table of all connections takes a while too.
        while not told.poll(0.5 if self.buffers else 0.1):
            if self.buffers:
                self.peak_kept = max(self.peak_kept, kept(self.gateway.port, self.place.port))
            self.peak_descriptors = max(self.peak_descriptors, descriptors(self.pid))
            if not process.is_alive() and not told.poll(0):
                raise RuntimeError(f"{self.name}: the abuse ended without a word")
        self.abuse_ended = time.monotonic()
        self.cpu, self.waited = candidates.cpu_seconds(self.gateway) - cpu, waited(self.pid) - wait
        self.troubles = {name: count - troubles[name] for name, count in tcp_troubles().items() if count > troubles[name]}
        self.result, wrong = told.recv()
        process.join()
        if wrong:
            raise RuntimeError(f"{self.name}: {wrong}")
        return self.result

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                time.sleep(3)
                self.alive = self.gateway.process.poll() is None
                self.peak = memory(self.pid, "VmHWM")
                self.good.__exit__()
                until = time.monotonic() + 10
                while connections(self.gateway.port) and time.monotonic() < until:
                    time.sleep(0.1)
                self.after = (memory(self.pid), descriptors(self.pid), connections(self.gateway.port))
                self.calm = self.good.seen(self.began, self.abuse_began)
                self.abused = self.good.seen(self.abuse_began, self.abuse_ended)
                self.later = self.good.seen(self.abuse_ended + 0.5, time.monotonic())
            else:
                self.good.__exit__()
        finally:
            self.gateway.stop()

    def metric(self, name):
        page = urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=10).read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith((name + " ", name + "{")))


class NginxTrial(Trial):
    """The same before nginx as a plain proxy, which verifies nothing: what a shared machine does to anybody."""

    def start(self, _):
        ground = candidates.Ground(self.place.folder, self.place.folder, None, None, upstream=self.place.port)
        return candidates.plain_nginx(ground)

    def keys_of(self):
        return rig.ROOT_KEY, rig.ROOT_SECRET, None

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.gateway.port}"
