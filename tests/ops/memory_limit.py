"""A gateway in 256 MiB, which the kernel kills when it takes more: logins with large session policies, slow downloads and uploads,
forms that are held whole, and a good client beside them. New requests get SlowDown first, those under way finish, nothing is killed, and
it recovers by itself. Where no control group can be made, `limits.max_memory` takes its place, which kills nobody.

    python tests/ops/memory_limit.py [--transfers 500] [--without-group]
"""

import argparse
import asyncio
import json
import os
import pathlib
import re
import resource
import sys
import time
import urllib.request

import boto3
import botocore.auth
import botocore.awsrequest
import botocore.config
import botocore.credentials

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/clients"), str(ROOT / "benches")]
os.environ.setdefault("DAYPASS_PROFILE", "debug")

import memory  # noqa: E402
import rig  # noqa: E402
from run import session_of  # noqa: E402

KIB, MIB = 1024, 1024 * 1024
LIMIT = 256 * MIB
# Of a transfer: so much in so many turns.
TURN, TURNS = 64 * KIB, 44
EVERY = 0.5
# More than there is room for beside the rest.
FORMS, FORM = 40, 7 * MIB


class Group:
    """A control group of version 1 or 2 with the limit; `path` is None when none can be made."""

    def __init__(self, wanted):
        self.path = None
        if not wanted:
            return
        top = pathlib.Path("/sys/fs/cgroup")
        self.two = (top / "cgroup.controllers").exists()
        self.path = (top if self.two else top / "memory") / f"daypass-memory-{os.getpid()}"
        try:
            if self.two and "memory" not in (top / "cgroup.subtree_control").read_text().split():
                (top / "cgroup.subtree_control").write_text("+memory")
            self.path.mkdir()
            (self.path / ("memory.max" if self.two else "memory.limit_in_bytes")).write_text(str(LIMIT))
        except OSError as error:
            print(f"  NO CONTROL GROUP CAN BE MADE ({error}): limits.max_memory takes its place, and nothing is killed by the kernel", flush=True)
            self.remove()
            self.path = None

    def kills(self):
        text = (self.path / ("memory.events" if self.two else "memory.oom_control")).read_text()
        return int(re.search(r"oom_kill (\d+)", text)[1])

    def used(self, pid):
        """In MiB, without the file cache, which the kernel gives up by itself; without a group what is resident."""
        if not self.path:
            return memory.status(pid, "VmRSS")
        usage = int((self.path / ("memory.current" if self.two else "memory.usage_in_bytes")).read_text())
        cached = re.search(rf"^{'file' if self.two else 'total_cache'} (\d+)$", (self.path / "memory.stat").read_text(), re.M)
        return (usage - int(cached[1])) / MIB

    def program(self, folder):
        """What starts the gateway within it."""
        script = folder / "within"
        script.write_text(f'#!/bin/sh\necho $$ > {self.path}/cgroup.procs\nexec {rig.DAYPASS} "$@"\n')
        script.chmod(0o755)
        return script

    def remove(self):
        for _ in range(50):
            try:
                return self.path.rmdir()
            except FileNotFoundError:
                return None
            except OSError:
                time.sleep(0.1)


def signed(gateway, keys, method, target, service="s3", body=b"", **headers):
    """The bytes of a request but for an upload's body."""
    url = f"http://127.0.0.1:{gateway.port}{target}"
    request = botocore.awsrequest.AWSRequest(method, url, data=body, headers=headers)
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(*keys), service, "us-east-1")
    if service == "s3":
        request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
        signer.payload = lambda _: "UNSIGNED-PAYLOAD"
    signer.add_auth(request)
    lines = [f"{method} {target} HTTP/1.1", f"host: 127.0.0.1:{gateway.port}", *(f"{name}: {value}" for name, value in request.headers.items())]
    return ("\r\n".join(lines) + "\r\n").encode()


async def answer(reader):
    """Status and body of one reply that says its length."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = int(re.search(r"content-length: (\d+)", head)[1])
    return int(head.split(" ", 2)[1]), await reader.readexactly(length)


class Clients:
    """All of them, in one loop."""

    def __init__(self, gateway, keys):
        self.gateway, self.keys, self.over, self.used = gateway, keys, asyncio.Event(), []
        self.good, self.logins, self.forms, self.wrong = [], {}, {}, []

    def connect(self):
        return asyncio.open_connection("127.0.0.1", self.gateway.port, limit=TURN)

    async def transfer(self, method):
        """One that goes slowly from before the shortage to after it."""
        reader, writer = await self.connect()
        size = TURN * TURNS
        more = f"content-length: {size}\r\n" if method == "PUT" else ""
        writer.write(signed(self.gateway, self.keys, method, f"/bucket/{size}") + f"{more}connection: close\r\n\r\n".encode())
        try:
            got = 0
            if method == "GET":
                status = int((await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1])
            for _ in range(TURNS):
                if method == "PUT":
                    writer.write(memory.PIECE[:TURN])
                    await writer.drain()
                else:
                    got += len(await reader.readexactly(TURN))
                await asyncio.sleep(EVERY)
            if method == "PUT":
                status, got = (await answer(reader))[0], size
            if (status, got) != (200, size):
                self.wrong.append(f"a {method} under way: {status}, {got} bytes")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            self.wrong.append(f"a {method} under way: {error!r}")
        writer.close()

    async def ask(self):
        """A new connection and a small object; its status and code."""
        reader, writer = await self.connect()
        writer.write(signed(self.gateway, self.keys, "GET", "/bucket/10") + b"connection: close\r\n\r\n")
        status, body = await asyncio.wait_for(answer(reader), 30)
        writer.close()
        return status if status == 200 else f"{status} {re.search(rb'<Code>(.*?)</Code>', body)[1].decode()}"

    async def be_good(self):
        while not self.over.is_set():
            try:
                what = await self.ask()
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                what = repr(error)
            self.good.append((time.monotonic(), what))
            await asyncio.sleep(0.05)

    async def watch(self, group):
        while not self.over.is_set():
            self.used.append(group.used(self.gateway.process.pid))
            await asyncio.sleep(0.05)

    async def log_in(self):
        """The same signed call again and again: each makes a session of its own."""
        statements = [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::bucket/{number:03}/*"} for number in range(22)]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
        body = "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/everything&RoleSessionName=flood"
        body += f"&Policy={urllib.request.quote(policy)}"
        head = signed(self.gateway, (rig.USER_KEY, rig.USER_SECRET), "POST", "/", "sts", body.encode(), **{"Content-Type": "application/x-www-form-urlencoded"})
        call = head + f"content-length: {len(body)}\r\n\r\n{body}".encode()
        while not self.over.is_set():
            try:
                reader, writer = await self.connect()
                for _ in range(200):
                    writer.write(call)
                    status, _ = await answer(reader)
                    self.logins[status] = self.logins.get(status, 0) + 1
                    if status != 200 or self.over.is_set():
                        break
                writer.close()
            except (OSError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.05)

    async def hold_a_form(self, after, seconds):
        """Its file is held whole by the gateway: all of it comes but the end of the form."""
        await asyncio.sleep(after)
        s3 = boto3.client("s3", endpoint_url=self.gateway.endpoint, region_name="us-east-1", aws_access_key_id=self.keys[0],
                          aws_secret_access_key=self.keys[1], aws_session_token=self.keys[2], config=botocore.config.Config(signature_version="s3v4"))
        fields = s3.generate_presigned_post("bucket", "form")["fields"]
        parts = [f'--frontier\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
        body = ("".join(parts) + '--frontier\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n').encode() + bytes(FORM)
        end = b"\r\n--frontier--\r\n"
        head = f"POST /bucket HTTP/1.1\r\nhost: 127.0.0.1:{self.gateway.port}\r\ncontent-type: multipart/form-data; boundary=frontier\r\n"
        head += f"content-length: {len(body) + len(end)}\r\nconnection: close\r\n\r\n"
        reader, writer = await self.connect()
        what = "held"
        try:
            writer.write(head.encode() + body)
            first = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), seconds)
            what = int(first.split(b" ", 2)[1])
        except asyncio.TimeoutError:
            pass
        except (OSError, asyncio.IncompleteReadError):
            what = "cut"
        self.forms[what] = self.forms.get(what, 0) + 1
        writer.transport.abort()


def metric(admin, name):
    page = urllib.request.urlopen(f"http://127.0.0.1:{admin}/metrics", timeout=10).read().decode()
    return float(re.search(rf"^{re.escape(name)} (\S+)$", page, re.M)[1])


async def go_through(gateway, keys, transfers, admin, group):
    """The clients, and when each part of it was."""
    clients, at = Clients(gateway, keys), {}
    beside = [asyncio.create_task(clients.be_good()), asyncio.create_task(clients.watch(group))]
    under_way = [asyncio.create_task(clients.transfer(("GET", "PUT")[number % 2])) for number in range(transfers)]
    await asyncio.sleep(4)
    at["shortage"] = time.monotonic()
    logins = [asyncio.create_task(clients.log_in()) for _ in range(16)]
    forms = [asyncio.create_task(clients.hold_a_form(number * 0.15, 8)) for number in range(FORMS)]
    await asyncio.gather(*forms)
    at["over"] = time.monotonic()
    await asyncio.gather(*under_way)
    clients.over.set()
    await asyncio.gather(*beside, *logins)
    for _ in range(100):
        if (what := await clients.ask()) == 200:
            break
        await asyncio.sleep(0.1)
    answered = [when for when, status in clients.good if when > at["over"] and status == 200] + [time.monotonic()] * (what == 200)
    at["recovered"], at["last answer"] = min(answered, default=None), what
    at["by memory"] = await asyncio.to_thread(metric, admin, 'daypass_throttled_total{cause="memory"}')
    return clients, at


def judged(clients, at, gateway, group, transfers):
    """Prints the figures; gives what is wrong."""
    seen, problems = {}, list(clients.wrong[:5])
    if gateway.process.poll() is not None:
        return [f"the gateway ended with {gateway.process.returncode}", *problems]
    if group.path and group.kills():
        problems.append(f"the kernel has killed {group.kills()} times")
    for _, what in clients.good:
        seen[what] = seen.get(what, 0) + 1
    early = [what for when, what in clients.good if when < at["shortage"] and what != 200]
    other = [what for what in seen if what not in (200, "503 SlowDown")]
    problems += [f"the good client got {what}" for what in early[:3] + other[:3]]
    if not at["by memory"]:
        problems.append("memory did not run short: nothing was shown")
    if at["recovered"] is None or at["recovered"] - at["over"] > 10 or at["last answer"] != 200:
        problems.append(f"it did not recover within 10 s: {at['last answer']}")
    peak = max(clients.used)
    # limits.max_memory says when to refuse, not what nobody can pass.
    if peak >= LIMIT / MIB * (1 if group.path else 1.1):
        problems.append(f"{peak:.0f} MiB are no less than the limit")
    back = f"{at['recovered'] - at['over']:.1f} s" if at["recovered"] else "never"
    by = "the control group" if group.path else "limits.max_memory"
    print(f"  {LIMIT // MIB} MiB by {by}; taken before {clients.used[0]:.1f}, at the most {peak:.1f}, at the end {clients.used[-1]:.1f} MiB")
    print(f"  {transfers} slow transfers under way: {transfers - len(clients.wrong)} whole, {len(clients.wrong)} not")
    print(f"  good client: {seen}; the first good answer {back} after the forms had gone")
    print(f"  logins: {clients.logins}; forms: {clients.forms}; refused for memory: {at['by memory']:.0f}", flush=True)
    return problems


async def all_of_it(folder, group, transfers):
    storage = await asyncio.start_server(memory.serve, "127.0.0.1", 0, limit=MIB, backlog=1024)
    backend = type("Backend", (), {"kind": "minio", "endpoint": f"http://127.0.0.1:{storage.sockets[0].getsockname()[1]}"})
    admin = rig.free_port()
    limits = 'session_cache = "128MiB"\n' + ("" if group.path else f'max_memory = "{LIMIT // MIB}MiB"\n')
    if group.path:
        rig.DAYPASS = group.program(folder)
    gateway = rig.Gateway(backend, folder, limits=f'{limits}[admin]\naddress = "127.0.0.1:{admin}"\n')
    try:
        await asyncio.to_thread(gateway.wait_until_it_listens)
        keys = await asyncio.to_thread(session_of, gateway, None)
        try:
            clients, at = await go_through(gateway, keys, transfers, admin, group)
        except OSError as error:
            kills = f", killed by the kernel {group.kills()} times" if group.path else ""
            return [f"the gateway is gone ({error!r}{kills}): {gateway.log.read_text()[-1500:]}"]
        return judged(clients, at, gateway, group, transfers)
    finally:
        await asyncio.to_thread(gateway.stop)
        storage.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transfers", type=int, default=500)
    parser.add_argument("--without-group", action="store_true", help="limits.max_memory instead")
    arguments = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print("memory limit")
    group = Group(not arguments.without_group)
    try:
        with rig.folder() as name:
            problems = asyncio.run(all_of_it(pathlib.Path(name), group, arguments.transfers))
    finally:
        if group.path:
            group.remove()
    if problems:
        sys.exit("\n".join(["", *problems]))
    print("  ok")


if __name__ == "__main__":
    main()
