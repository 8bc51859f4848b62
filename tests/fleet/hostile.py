"""Who sends what must not be done: uploads that are not what was signed or break off, wrong signatures, revoked keys."""

import http.client
import socket
import urllib.parse

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from actors import Actor
from drivers import Answered, NoAnswer, Presigned
from fleet import BUCKET


class HostileActor(Actor):
    """None of its uploads may change what is stored; between them it looks."""

    driver_class, pause = Presigned, 0.2
    operations = {"put": 4, "get": 6, "another_body": 3, "breaks_off": 3, "breaks_off_signed": 3, "wrong_signature": 3, "unknown_key": 1, "forbidden": 1}

    def signed(self, key, body, keys=None):
        """(host, target, headers) of a PUT of this body."""
        url = f"{self.driver.endpoint}/{BUCKET}/{urllib.parse.quote(key)}"
        request = AWSRequest("PUT", url, data=body)
        S3SigV4Auth(Credentials(*(keys or self.driver.keys)), "s3", "us-east-1").add_auth(request)
        parts = urllib.parse.urlsplit(url)
        return parts.netloc, parts.path, dict(request.headers.items())

    def send(self, key, body, sent=None, headers=None, keys=None):
        host, path, signed = self.signed(key, body, keys)
        sent = body if sent is None else sent
        connection = http.client.HTTPConnection(host, timeout=90)
        try:
            connection.request("PUT", path, sent, signed | (headers or {}) | {"User-Agent": self.mark(), "Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise NoAnswer(repr(error)) from error
        finally:
            connection.close()
        if answer.status != 200:
            raise Answered(answer.status, text.split("<Code>")[-1].split("<")[0], text)

    def must_be_refused(self, operation, call, *codes):
        try:
            self.attempt(operation, call)
        except Answered as error:
            if error.code not in codes:
                self.ledger.wrong(f"{self.name}: {operation} was refused with {error}, not {codes}")
            return
        self.ledger.wrong(f"{self.name}: {operation} was taken")

    def another_body(self, key):
        body = self.random.randbytes(20_000)
        self.must_be_refused("another body", lambda: self.send(key, body, body[::-1]), "XAmzContentSHA256Mismatch")

    def wrong_signature(self, key):
        wrong = lambda: self.send(key, b"x", keys=(self.driver.keys[0], "another-secret", self.driver.keys[2]))
        self.must_be_refused("wrong signature", wrong, "SignatureDoesNotMatch")

    def unknown_key(self, key):
        self.must_be_refused("unknown key", lambda: self.send(key, b"x", keys=("AKIAUNKNOWN000000001", "a-secret", None)), "InvalidAccessKeyId")

    def breaks_off(self, key):
        """A presigned upload whose connection is cut within the body."""
        url = urllib.parse.urlsplit(self.driver.url("put_object", key))
        self.cut(url.netloc, f"{url.path}?{url.query}", {"Host": url.netloc, "Content-Length": "100000"})

    def breaks_off_signed(self, key):
        host, path, headers = self.signed(key, self.random.randbytes(100_000))
        self.cut(host, path, headers | {"Host": host, "Content-Length": "100000"})

    def cut(self, host, target, headers):
        self.operation, self.lines, self.sent = "cut", 1, []
        lines = [f"PUT {target} HTTP/1.1"] + [f"{name}: {value}" for name, value in (headers | {"User-Agent": self.mark()}).items()]
        address, port = host.split(":")
        try:
            with socket.create_connection((address, int(port)), timeout=10) as connection:
                connection.sendall("\r\n".join([*lines, "", ""]).encode() + self.random.randbytes(self.random.choice((0, 1, 50_000, 99_999))))
                if self.random.random() < 0.5:
                    # A reset, as when a machine goes.
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        except OSError:
            # The gateway is away.
            pass
