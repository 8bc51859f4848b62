"""What the benchmark sends: one signed request of each kind, good for fifteen minutes, repeated by wrk or by examples/load.rs."""

import base64
import dataclasses
import functools
import hashlib
import hmac
import urllib.parse
import zlib

import botocore.auth
import botocore.awsrequest
import botocore.credentials

REGION = "us-east-1"
CHUNK = 64 * 1024
EMPTY = hashlib.sha256(b"").hexdigest()


@dataclasses.dataclass(frozen=True)
class Work:
    """One kind of request. `payload` is the form of an upload's body."""

    name: str
    method: str
    path: str
    size: int = 0
    payload: str = ""
    connections: int = 32
    tls: bool = False
    logged: bool = False
    # Those who can take it; the first is what the others are compared with.
    candidates: tuple = ("nginx", "haproxy", "bare hyper", "daypass", "versitygw")
    # What daypass may cost, as a multiple of nginx; None: no goal.
    goal: float | None = None
    # wrk waits for the body that the Content-Length of an answer to HEAD announces; ours does not.
    tool: str = "wrk"

    @property
    def is_large(self):
        return self.size >= 1 << 20


SMALL, LARGE = 1 << 10, 64 << 20
VERIFYING, PLAIN = ("nginx", "daypass", "versitygw"), ("nginx", "bare hyper", "daypass")
PAIR = ("nginx", "daypass")
GET = Work("GET 1 KiB", "GET", "/bench/small", candidates=("nginx", "haproxy", "bare hyper", "daypass", "versitygw", "minio"), goal=1.4)
PUT = Work("PUT 1 KiB, unsigned payload", "PUT", "/bench/put", SMALL, "unsigned", candidates=("nginx", "bare hyper", "daypass", "versitygw", "minio"))
BIG = Work("PUT 64 MiB, unsigned payload", "PUT", "/bench/put", LARGE, "unsigned", connections=4, candidates=("nginx", "bare hyper", "daypass", "minio"))
WORKS = [
    GET,
    dataclasses.replace(GET, name="GET 1 KiB, 1 connection", connections=1, candidates=PLAIN, goal=None),
    dataclasses.replace(GET, name="GET 1 KiB, 512 connections", connections=512, candidates=PLAIN, goal=None),
    dataclasses.replace(GET, name="GET 1 KiB over TLS", tls=True, candidates=PAIR, goal=1.3),
    dataclasses.replace(GET, name="GET 1 KiB, with a log of requests", logged=True, candidates=PAIR, goal=None),
    dataclasses.replace(GET, name="GET 1 KiB, presigned", payload="presigned", candidates=VERIFYING, goal=None),
    dataclasses.replace(GET, name="HEAD", method="HEAD", candidates=(*PLAIN, "minio"), goal=None, tool="load"),
    Work("ListObjectsV2, 1,000 keys", "GET", "/bench?list-type=2", candidates=PAIR),
    PUT,
    dataclasses.replace(PUT, name="PUT 1 KiB, hex hash", payload="hex", candidates=PLAIN),
    dataclasses.replace(PUT, name="PUT 1 KiB, signed chunks", payload="chunks", candidates=PAIR),
    dataclasses.replace(PUT, name="PUT 1 KiB, unsigned, CRC32 trailer", payload="crc32", candidates=PAIR),
    Work("GET 64 MiB", "GET", "/bench/large", LARGE, connections=4, candidates=(*PLAIN, "minio"), goal=1.1),
    BIG,
    dataclasses.replace(BIG, name="PUT 64 MiB, unsigned, CRC32 trailer", payload="crc32", candidates=PAIR, goal=1.25),
    dataclasses.replace(BIG, name="PUT 64 MiB, unsigned, CRC64NVME trailer", payload="crc64nvme", candidates=PAIR, goal=1.25),
    dataclasses.replace(BIG, name="PUT 64 MiB, signed chunks", payload="chunks", candidates=PAIR),
    dataclasses.replace(BIG, name="PUT 64 MiB, hex hash", payload="hex", candidates=PAIR),
    Work("AssumeRole", "POST", "/", payload="sts", candidates=("daypass",)),
    Work("AssumeRoleWithWebIdentity, RS256", "POST", "/", payload="web_identity", candidates=("daypass",)),
]


class DeclaredPayload(botocore.auth.S3SigV4Auth):
    """Signs the payload that the header declares; botocore would hash the body, which it does not have."""

    declared = EMPTY

    def payload(self, request):
        return self.declared


class Signed:
    """A request as it goes to the wire."""

    def __init__(self, work, endpoint, keys):
        self.work, self.keys, self.host = work, keys, urllib.parse.urlsplit(endpoint).netloc
        self.url, self.headers, self.body = endpoint + work.path, {}, b""
        getattr(self, f"as_{work.payload or 'plain'}")()

    def sign(self, signer=None, service="s3", body=b"", headers=None, **more):
        request = botocore.awsrequest.AWSRequest(self.work.method, self.url, headers=headers or {}, data=body)
        auth = (signer or DeclaredPayload)(botocore.credentials.Credentials(*self.keys), service, REGION, **more)
        auth.declared = (headers or {}).get("x-amz-content-sha256", EMPTY)
        auth.add_auth(request)
        self.url, self.headers = request.url, dict(request.headers.items())
        return auth, request

    def as_plain(self):
        self.sign()

    def as_presigned(self):
        self.sign(botocore.auth.S3SigV4QueryAuth, expires=900)

    def as_hex(self):
        self.body = content(self.work.size)
        self.sign(body=self.body, headers={"x-amz-content-sha256": hashlib.sha256(self.body).hexdigest()})

    def as_unsigned(self):
        self.body = content(self.work.size)
        self.sign(headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"})

    def as_crc32(self):
        self.with_trailer("crc32", zlib.crc32(content(self.work.size)).to_bytes(4, "big"))

    def as_crc64nvme(self):
        self.with_trailer("crc64nvme", crc64nvme(self.work.size).to_bytes(8, "big"))

    def with_trailer(self, name, checksum):
        pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in chunks(content(self.work.size))]
        self.body = b"".join(pieces) + f"0\r\nx-amz-checksum-{name}:{base64.b64encode(checksum).decode()}\r\n\r\n".encode()
        self.sign(headers=self.streaming("STREAMING-UNSIGNED-PAYLOAD-TRAILER") | {"x-amz-trailer": f"x-amz-checksum-{name}"})

    def as_chunks(self):
        auth, request = self.sign(headers=self.streaming("STREAMING-AWS4-HMAC-SHA256-PAYLOAD"))
        previous = self.headers["Authorization"].rsplit("Signature=", 1)[1]
        stamp, scope = request.context["timestamp"], auth.credential_scope(request)
        key = signing_key(self.keys[1], scope)
        pieces = []
        for piece in [*chunks(content(self.work.size)), b""]:
            text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, previous, EMPTY, hashlib.sha256(piece).hexdigest()])
            previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
            pieces.append(b"%x;chunk-signature=%b\r\n%b\r\n" % (len(piece), previous.encode(), piece))
        self.body = b"".join(pieces)

    def streaming(self, payload):
        return {"x-amz-content-sha256": payload, "x-amz-decoded-content-length": str(self.work.size), "content-encoding": "aws-chunked"}

    def as_sts(self):
        form = {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": "arn:aws:iam::000000000000:role/everything", "RoleSessionName": "bench"}
        self.body = urllib.parse.urlencode(form).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self.sign(botocore.auth.SigV4Auth, "sts", self.body, headers)

    def as_web_identity(self):
        """Nobody signs: the token, which takes the place of the keys, says who it is."""
        form = {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "WebIdentityToken": self.keys, "DurationSeconds": "3600"}
        self.body = urllib.parse.urlencode(form).encode()
        self.headers = {"Content-Type": "application/x-www-form-urlencoded"}

    def wire(self):
        """The request as bytes."""
        parts = urllib.parse.urlsplit(self.url)
        headers = {"Host": self.host} | {name: value for name, value in self.headers.items() if name.lower() not in ("content-length", "host")}
        if self.body or self.work.method in ("PUT", "POST"):
            headers["Content-Length"] = str(len(self.body))
        lines = [f"{self.work.method} {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + self.body

    def script(self, folder):
        """The request in wrk's language."""
        parts = urllib.parse.urlsplit(self.url)
        body = folder / "body"
        body.write_bytes(self.body)
        lines = [f'wrk.method = "{self.work.method}"', f'wrk.path = "{parts.path}{"?" + parts.query if parts.query else ""}"']
        lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in self.headers.items() if name.lower() != "content-length"]
        if self.body:
            lines += [f'local file = io.open("{body}", "rb")', 'wrk.body = file:read("*a")', "file:close()"]
        script = folder / "wrk.lua"
        script.write_text("\n".join(lines) + "\n")
        return script


def content(size):
    block = bytes(range(256)) * 256
    return (block * (size // len(block) + 1))[:size]


@functools.cache
def crc64nvme(size):
    """Of that content: the polynomial of NVMe, reflected. Python takes some seconds for 64 MiB, once."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x9A6C9329AC4BC9B5 if value & 1 else 0)
        table.append(value)
    crc = 0xFFFFFFFFFFFFFFFF
    for byte in content(size):
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFFFFFFFFFF


def chunks(data):
    return (data[start:start + CHUNK] for start in range(0, len(data), CHUNK))


def signing_key(secret, scope):
    date, region, service, _ = scope.split("/")
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
