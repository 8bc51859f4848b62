"""What the benchmark sends: one signed request of each kind, good for fifteen minutes, repeated by wrk."""

import base64
import dataclasses
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
    # Those who can take it; the first is what the others are compared with.
    candidates: tuple = ("nginx", "haproxy", "bare hyper", "daypass", "versitygw")
    # What daypass may cost, as a multiple of nginx; None: no goal.
    goal: float | None = None

    @property
    def is_large(self):
        return self.size >= 1 << 20


# Without HEAD: wrk waits for the body that its Content-Length announces.
SMALL, LARGE = 1 << 10, 64 << 20
VERIFYING, PLAIN = ("nginx", "daypass", "versitygw"), ("nginx", "bare hyper", "daypass")
GET = Work("GET 1 KiB", "GET", "/bench/small", goal=1.4)
WORKS = [
    GET,
    dataclasses.replace(GET, name="GET 1 KiB, 1 connection", connections=1, candidates=PLAIN, goal=None),
    dataclasses.replace(GET, name="GET 1 KiB, 512 connections", connections=512, candidates=PLAIN, goal=None),
    dataclasses.replace(GET, name="GET 1 KiB over TLS", tls=True, candidates=("nginx", "daypass"), goal=1.3),
    dataclasses.replace(GET, name="GET 1 KiB, presigned", payload="presigned", candidates=VERIFYING, goal=None),
    Work("ListObjectsV2, 1,000 keys", "GET", "/bench?list-type=2", candidates=("nginx", "daypass")),
    Work("PUT 1 KiB, unsigned payload", "PUT", "/bench/put", SMALL, "unsigned", candidates=PLAIN),
    Work("PUT 1 KiB, hex hash", "PUT", "/bench/put", SMALL, "hex", candidates=PLAIN),
    Work("PUT 1 KiB, signed chunks", "PUT", "/bench/put", SMALL, "chunks", candidates=("nginx", "daypass")),
    Work("PUT 1 KiB, unsigned, CRC32 trailer", "PUT", "/bench/put", SMALL, "trailer", candidates=("nginx", "daypass")),
    Work("GET 64 MiB", "GET", "/bench/large", connections=4, candidates=PLAIN, goal=1.1),
    Work("PUT 64 MiB, unsigned payload", "PUT", "/bench/put", LARGE, "unsigned", connections=4, candidates=PLAIN),
    Work("PUT 64 MiB, unsigned, CRC32 trailer", "PUT", "/bench/put", LARGE, "trailer", connections=4, candidates=("nginx", "daypass"), goal=1.25),
    Work("PUT 64 MiB, signed chunks", "PUT", "/bench/put", LARGE, "chunks", connections=4, candidates=("nginx", "daypass")),
    Work("PUT 64 MiB, hex hash", "PUT", "/bench/put", LARGE, "hex", connections=4, candidates=("nginx", "daypass")),
    Work("AssumeRole", "POST", "/", payload="sts", candidates=("daypass",)),
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

    def as_trailer(self):
        data = content(self.work.size)
        checksum = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
        pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in chunks(data)]
        self.body = b"".join(pieces) + f"0\r\nx-amz-checksum-crc32:{checksum}\r\n\r\n".encode()
        self.sign(headers=self.streaming("STREAMING-UNSIGNED-PAYLOAD-TRAILER") | {"x-amz-trailer": "x-amz-checksum-crc32"})

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


def chunks(data):
    return (data[start:start + CHUNK] for start in range(0, len(data), CHUNK))


def signing_key(secret, scope):
    date, region, service, _ = scope.split("/")
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
