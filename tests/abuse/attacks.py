"""What abusers do over HTTP/1.1, TLS and bare TCP. Each of these runs in a process of its own and says what became of it."""

import asyncio
import concurrent.futures
import re
import secrets
import select
import socket
import ssl
import struct
import subprocess
import threading
import time

from beside import connections, descriptors, head_of, signed_head, signed_headers


def client_hello():
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


async def drip(port, piece_by_piece, every):
    """Seconds until the other end closes on a client that sends so slowly; nothing at all if there is nothing to send."""
    loop, begun = asyncio.get_running_loop(), time.monotonic()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        begun = time.monotonic()
        closed = asyncio.ensure_future(loop.sock_recv(client, 65536))
        try:
            for piece in piece_by_piece:
                await loop.sock_sendall(client, piece)
                if (await asyncio.wait([closed], timeout=every))[0]:
                    break
            # What comes before the end, such as a TLS alert, is not the end.
            while await asyncio.wait_for(closed, 60):
                closed = asyncio.ensure_future(loop.sock_recv(client, 65536))
        except OSError:
            pass
        if not closed.done():
            closed.cancel()
        return time.monotonic() - begun


async def slow_heads(port, count, whole):
    """Half of them silent, half of them a byte now and then."""
    pieces = [whole[at:at + 1] for at in range(len(whole))]
    took = await asyncio.gather(*(drip(port, pieces if index % 2 else [], 0.2) for index in range(count)))
    return {"first": min(took), "last": max(took)}


def idle(port, head, count, ca, idle_timeout):
    """Connections that have made one request and then stay."""
    context = ssl.create_default_context(cafile=ca) if ca else None
    held, lock = [], threading.Lock()

    def some(first, many):
        for index in range(many):
            # From more than one address: one of them has not ports enough for everybody.
            client = socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.0.{2 + first}", 0))
            if context:
                client = context.wrap_socket(client, server_hostname="localhost")
            client.sendall(head)
            answer = client.recv(16)
            assert b" 200 " in answer, answer
            client.settimeout(10)
            while not answer.endswith(b"x" * 1024):
                answer += client.recv(65536)
            with lock:
                held.append(client)

    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda first: some(first, count // 4), range(4)))
    opened = time.monotonic() - begun
    # Not poll(): each call of it looks at all of them, 15 ms in one go that the good client on this core waits for.
    watched, closed = select.epoll(), 0
    for client in held:
        watched.register(client.fileno(), select.EPOLLIN | select.EPOLLRDHUP)
    deadline = time.monotonic() + idle_timeout + 15
    while closed < len(held) and time.monotonic() < deadline:
        for descriptor, _ in watched.poll(1, 64):
            watched.unregister(descriptor)
            closed += 1
    return {"opened_in": opened, "closed": closed}


def wrong_heads(endpoint, keys, each=250):
    """A good key with a wrong secret, an access key that nobody has, a token that nobody sealed, a token with one byte changed."""
    access, secret, token = keys
    url = f"{endpoint}/bench/00000001"
    for _ in range(each):
        at = secrets.randbelow(len(token) - 20) + 10
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1:]
        for wrong in ((access, secrets.token_urlsafe(30), token), (f"AKIA{secrets.token_hex(8).upper()}", secret, None),
                      (f"ASIA{secrets.token_hex(8).upper()}", secret, secrets.token_urlsafe(300)), (access, secret, changed)):
            yield signed_head("GET", url, wrong)


WRK = """
local heads, at = {}, 0
for head in io.open("HEADS", "rb"):read("*a"):gmatch("[^%z]+") do heads[#heads + 1] = head end
request = function() at = at % #heads + 1; return heads[at] end
"""


def flood(folder, endpoint, keys, seconds, connections=64):
    """As many requests that prove nothing as the machine gives."""
    (folder / "heads").write_bytes(b"\0".join(wrong_heads(endpoint, keys)))
    (folder / "flood.lua").write_text(WRK.replace("HEADS", str(folder / "heads")))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", folder / "flood.lua", endpoint]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    broken = re.search(r"Socket errors: (.*)", said)
    return {"requests": int(re.search(r"(\d+) requests in", said)[1]), "refused": int(refused[1]) if refused else 0,
            "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]), "errors": broken[1] if broken else ""}


def huge_heads(endpoint, keys, user):
    """STS, DeleteObjects and CompleteMultipartUpload, with 4 GiB announced and with chunks without an end."""
    for framing in ({"content-length": str(4 << 30)}, {"transfer-encoding": "chunked"}):
        form = {"content-type": "application/x-www-form-urlencoded"}
        yield "STS", head_of("POST", f"{endpoint}/", signed_headers("POST", f"{endpoint}/", user, "sts", **form) | framing)
        unproven = {"host": endpoint.split("/")[2]} | form
        yield "STS, nobody's", head_of("POST", f"{endpoint}/", unproven | framing)
        for name, target in (("DeleteObjects", "bucket?delete="), ("CompleteMultipartUpload", "bucket/key?uploadId=1")):
            headers = signed_headers("POST", f"{endpoint}/{target}", keys, **{"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
            yield name, head_of("POST", f"{endpoint}/{target}", headers | framing)


async def pour(port, name, head):
    """What is taken of a body without an end, and what is answered."""
    loop, poured = asyncio.get_running_loop(), 0
    piece = b"a" * 65536 if b"content-length" in head else b"10000\r\n" + b"a" * 65536 + b"\r\n"
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        answer = asyncio.ensure_future(loop.sock_recv(client, 4096))
        try:
            await loop.sock_sendall(client, head)
            while not answer.done() and poured < 4 << 30:
                await loop.sock_sendall(client, piece)
                poured += len(piece)
        except OSError:
            pass
        try:
            said = (await asyncio.wait_for(answer, 20))[:16].decode()
        except OSError as error:
            said = type(error).__name__
    return name, said, poured


async def huge_bodies(port, heads, seconds):
    """All of them at once, again and again."""
    until, answers = time.monotonic() + seconds, []
    while time.monotonic() < until:
        answers += await asyncio.gather(*(pour(port, name, head) for name, head in heads))
    return answers


async def take(clients, seconds, each_second):
    """Reads so many bytes a second from each."""
    for _ in range(seconds * 8):
        await asyncio.sleep(1 / 8)
        for client in clients:
            try:
                client.recv(each_second // 8)
            except OSError:
                # Nothing is there, or the other end has closed.
                pass


async def slow_readers(port, head, count, pid, reading, stall_timeout):
    """All take 1 KiB a second for a while; then half of them take more, and half of them stop wholly."""
    loop, before, clients = asyncio.get_running_loop(), descriptors(pid), []
    for _ in range(count):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, head)
        clients.append(client)
    await take(clients, reading, 1024)
    held = connections(port)
    # The gateway hears of room in steps of 64 KiB: they have taken that long before their time is up.
    await take(clients[::2], stall_timeout + 3, 32 * 1024)
    return {"held": held, "stayed": connections(port), "descriptors": descriptors(pid) - before}


def churn(port, seconds, half_heads):
    """Connections one after another as fast as it goes, closed at once by a reset; some after half a head."""
    reset, count, until = struct.pack("ii", 1, 0), 0, time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
            client.connect(("127.0.0.1", port))
            if count % half_heads == 0:
                client.sendall(b"GET / HTTP/1.1\r\nho")
        count += 1
    return {"rate": count / seconds}


def hold(port, count, seconds, cpu_of, pid):
    """More connections than the process has descriptors."""
    clients = []
    for _ in range(count):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(("127.0.0.1", port))
        clients.append(client)
    time.sleep(1)
    before, most = cpu_of(), descriptors(pid)
    time.sleep(seconds)
    used = cpu_of() - before
    for client in clients:
        client.close()
    return {"cpu": used / seconds, "descriptors": most}
