"""The memory that large and many transfers take: 5 GiB up and down, then 1,000 transfers of 1 MiB at once.

    python benches/memory.py [--gib 5] [--transfers 1000]
"""

import argparse
import asyncio
import os
import pathlib
import sys
import time

import botocore.auth
import botocore.awsrequest
import botocore.credentials

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/clients"))
os.environ.setdefault("DAYPASS_PROFILE", "release")

import rig  # noqa: E402
from run import session_of  # noqa: E402

MIB = 1024 * 1024
PIECE = bytes(MIB)


async def serve(reader, writer):
    """A storage that swallows what it gets and gives zeros: `/bucket/<bytes>`."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            lines = head.decode().split("\r\n")
            method, path, _ = lines[0].split(" ")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
            left = int(headers.get("content-length", 0))
            while left:
                left -= len(await reader.read(min(left, MIB)))
            size = int(path.rsplit("/", 1)[1]) if method == "GET" else 0
            writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {size}\r\netag: \"0\"\r\n\r\n".encode())
            while size:
                writer.write(PIECE[:min(size, MIB)])
                size -= min(size, MIB)
                await writer.drain()
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass
    finally:
        writer.close()


def status(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


async def transfer(gateway, keys, method, size):
    url = f"http://127.0.0.1:{gateway.port}/bucket/{size}"
    request = botocore.awsrequest.AWSRequest(method, url)
    request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    request.context["payload_signing_enabled"] = False
    signer = botocore.auth.SigV4Auth(botocore.credentials.Credentials(*keys), "s3", "us-east-1")
    signer.payload = lambda _: "UNSIGNED-PAYLOAD"
    signer.add_auth(request)
    head = f"{method} /bucket/{size} HTTP/1.1\r\nhost: 127.0.0.1:{gateway.port}\r\nconnection: close\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    head += f"content-length: {size}\r\n\r\n" if method == "PUT" else "\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=MIB)
    writer.write(head.encode())
    left = size if method == "PUT" else 0
    while left:
        writer.write(PIECE[:min(left, MIB)])
        left -= min(left, MIB)
        await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 " in answer.split(b"\r\n")[0], answer
    got = 0
    while piece := await reader.read(MIB):
        got += len(piece)
    writer.close()
    assert got == (size if method == "GET" else 0), got


async def measure(gateway, what, work):
    pid = gateway.process.pid
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
    before, started = status(pid, "VmRSS"), time.time()
    await work
    peak = status(pid, "VmHWM")
    print(f"  {what:48} {time.time() - started:6.1f} s   resident {before:6.1f} MiB before, {peak:6.1f} MiB at the most, + {peak - before:.1f} MiB", flush=True)
    return before, peak


async def run(gib, transfers):
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=MIB, backlog=2048)

    class Backend:
        kind, endpoint = "minio", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    failures = []
    with rig.folder() as folder:
        gateway = rig.Gateway(Backend, pathlib.Path(folder), limits='max_object_size = "64GiB"')
        await asyncio.to_thread(gateway.wait_until_it_listens)
        try:
            keys = await asyncio.to_thread(session_of, gateway, None)
            await transfer(gateway, keys, "PUT", MIB)
            for method, way in (("PUT", "up"), ("GET", "down")):
                before, peak = await measure(gateway, f"{gib} GiB {way}", transfer(gateway, keys, method, gib * 1024 * MIB))
                if peak - before >= 32:
                    failures.append(f"{way}: {peak - before:.1f} MiB more, not less than 32")
            for method, way in (("PUT", "up"), ("GET", "down")):
                work = asyncio.gather(*(transfer(gateway, keys, method, MIB) for _ in range(transfers)))
                _, peak = await measure(gateway, f"{transfers} transfers of 1 MiB {way} at once", work)
                if peak >= 256:
                    failures.append(f"{transfers} {way}: {peak:.1f} MiB, not less than 256")
        finally:
            gateway.stop()
    server.close()
    return failures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=int, default=5)
    parser.add_argument("--transfers", type=int, default=1000)
    arguments = parser.parse_args()
    failures = asyncio.run(run(arguments.gib, arguments.transfers))
    print("\n".join(failures))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
