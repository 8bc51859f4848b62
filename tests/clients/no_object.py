"""A body that fails any check leaves no object and no change on real storages, in every form of a body.

    python tests/clients/no_object.py [--backends minio,versitygw]
"""

import argparse
import base64
import datetime
import hashlib
import hmac
import pathlib
import socket
import sys
import threading
import time
import zlib

import botocore.exceptions

import rig
from checks import Place
from run import session_of

SIZE = 1_000_000
BODY = bytes(range(256)) * (SIZE // 256 + 1)
BODY = BODY[:SIZE]
BEFORE = b"what was there before"
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Put:
    """A signed PUT of which every part can be bent; the signer is this file's own."""

    def __init__(self, place, key, payload, headers=()):
        self.place, self.at = place, datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        host = place.endpoint.split("//")[1]
        access, secret, token = place.keys
        self.scope = f"{self.at[:8]}/us-east-1/s3/aws4_request"
        signed = {"host": host, "x-amz-content-sha256": payload, "x-amz-date": self.at, "x-amz-security-token": token} | dict(headers)
        names = ";".join(sorted(signed))
        canonical = f"PUT\n/{place.bucket}/{key}\n\n" + "".join(f"{name}:{signed[name]}\n" for name in sorted(signed)) + f"\n{names}\n{payload}"
        self.key = ("AWS4" + secret).encode()
        for part in self.scope.split("/"):
            self.key = digest(self.key, part)
        self.signature = self.sign(f"AWS4-HMAC-SHA256\n{self.at}\n{self.scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}")
        self.head = f"PUT /{place.bucket}/{key} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        self.head += f"authorization: AWS4-HMAC-SHA256 Credential={access}/{self.scope}, SignedHeaders={names}, Signature={self.signature}\r\n"

    def sign(self, text):
        return digest(self.key, text).hex()

    def chunks(self, data, size=65536, wrong=None, trailer=None):
        previous, body, empty = self.signature, b"", hashlib.sha256(b"").hexdigest()
        parts = [data[at:at + size] for at in range(0, len(data), size)] + [b""]
        for number, part in enumerate(parts):
            previous = self.sign(f"AWS4-HMAC-SHA256-PAYLOAD\n{self.at}\n{self.scope}\n{previous}\n{empty}\n{hashlib.sha256(part).hexdigest()}")
            shown = previous if number - len(parts) != wrong else "0" * 64
            body += f"{len(part):x};chunk-signature={shown}\r\n".encode() + part + (b"\r\n" if part or not trailer else b"")
        if trailer:
            signature = self.sign(f"AWS4-HMAC-SHA256-TRAILER\n{self.at}\n{self.scope}\n{previous}\n{hashlib.sha256((trailer + chr(10)).encode()).hexdigest()}")
            body += f"{trailer}\r\nx-amz-trailer-signature:{'0' * 64 if wrong == 'trailer' else signature}\r\n\r\n".encode()
        return body

    def send(self, body, length=None, stop_after=None):
        host, port = self.place.endpoint.split("//")[1].split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            head = self.head + f"content-length: {len(body) if length is None else length}\r\nconnection: close\r\n\r\n"
            try:
                connection.sendall(head.encode() + (body if stop_after is None else body[:stop_after]))
                if stop_after is not None:
                    time.sleep(0.2)
                    return None
                answer = b""
                while piece := connection.recv(65536):
                    answer += piece
            except (ConnectionResetError, BrokenPipeError):
                answer = locals().get("answer", b"")
        return int(answer.split(b" ", 2)[1]) if answer else None


def checksum(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def unsigned_trailer(data, trailer):
    return f"{len(data):x}\r\n".encode() + data + f"\r\n0\r\n{trailer}\r\n\r\n".encode()


DECODED = ("x-amz-decoded-content-length", str(SIZE))
CRC = ("x-amz-trailer", "x-amz-checksum-crc32")


def good_forms(place, key):
    """Each form of a body as it should be: they must become objects, or the rest proves nothing."""
    trailer = f"x-amz-checksum-crc32:{checksum(BODY)}"
    yield lambda: Put(place, key, hashlib.sha256(BODY).hexdigest()).send(BODY)
    yield lambda: Put(place, key, "UNSIGNED-PAYLOAD").send(BODY)
    put = Put(place, key, SIGNED, [DECODED])
    yield lambda: put.send(put.chunks(BODY))
    with_trailer = Put(place, key, SIGNED + "-TRAILER", [DECODED, CRC])
    yield lambda: with_trailer.send(with_trailer.chunks(BODY, trailer=trailer))
    yield lambda: Put(place, key, UNSIGNED_TRAILER, [DECODED, CRC]).send(unsigned_trailer(BODY, trailer))


def hash_of_other_bytes(place, key):
    Put(place, key, hashlib.sha256(BODY[:-1] + b"x").hexdigest()).send(BODY)


def signed_chunks_last_chunk(place, key):
    put = Put(place, key, SIGNED, [DECODED])
    put.send(put.chunks(BODY, wrong=-2))


def signed_chunks_final_chunk(place, key):
    put = Put(place, key, SIGNED, [DECODED])
    put.send(put.chunks(BODY, wrong=-1))


def signed_trailer_wrong_signature(place, key):
    put = Put(place, key, SIGNED + "-TRAILER", [DECODED, CRC])
    put.send(put.chunks(BODY, wrong="trailer", trailer=f"x-amz-checksum-crc32:{checksum(BODY)}"))


def signed_trailer_wrong_checksum(place, key):
    put = Put(place, key, SIGNED + "-TRAILER", [DECODED, CRC])
    put.send(put.chunks(BODY, trailer=f"x-amz-checksum-crc32:{checksum(b'other')}"))


def unsigned_trailer_wrong_checksum(place, key):
    body = unsigned_trailer(BODY, f"x-amz-checksum-crc32:{checksum(b'other')}")
    Put(place, key, UNSIGNED_TRAILER, [DECODED, CRC]).send(body)


def unsigned_trailer_missing(place, key):
    body = f"{SIZE:x}\r\n".encode() + BODY + b"\r\n0\r\n\r\n"
    Put(place, key, UNSIGNED_TRAILER, [DECODED, CRC]).send(body)


def checksum_header(place, key):
    headers = [("x-amz-checksum-crc32", checksum(b"other"))]
    Put(place, key, "UNSIGNED-PAYLOAD", headers).send(BODY)


def content_md5(place, key):
    Put(place, key, "UNSIGNED-PAYLOAD", [("content-md5", base64.b64encode(hashlib.md5(b"other").digest()).decode())]).send(BODY)


def length_too_short(place, key):
    put = Put(place, key, SIGNED, [("x-amz-decoded-content-length", str(SIZE - 1))])
    put.send(put.chunks(BODY))


def length_too_long(place, key):
    put = Put(place, key, SIGNED, [("x-amz-decoded-content-length", str(SIZE + 1))])
    put.send(put.chunks(BODY))


def client_goes_away(place, key):
    trailer = f"x-amz-checksum-crc32:{checksum(BODY)}"
    Put(place, key, hashlib.sha256(BODY).hexdigest()).send(BODY, stop_after=SIZE - 1)
    Put(place, key, "UNSIGNED-PAYLOAD").send(BODY, stop_after=SIZE - 1)
    put = Put(place, key, SIGNED, [DECODED])
    put.send(put.chunks(BODY), stop_after=SIZE)
    whole = unsigned_trailer(BODY, trailer)
    Put(place, key, UNSIGNED_TRAILER, [DECODED, CRC]).send(whole, stop_after=len(whole) - 1)


def gateway_is_killed(place, _):
    """By kill -9, while both keys are being written; it is gone afterwards."""
    if place.gateway.process.poll() is not None:
        return
    puts = [Put(place, key, "UNSIGNED-PAYLOAD") for key in ("new", "old")]
    sending = [threading.Thread(target=put.send, args=(BODY,), kwargs={"stop_after": SIZE - 1}) for put in puts]
    for thread in sending:
        thread.start()
    time.sleep(0.1)
    place.gateway.stop(kill=True)
    for thread in sending:
        thread.join()


WRONG = [hash_of_other_bytes, signed_chunks_last_chunk, signed_chunks_final_chunk, signed_trailer_wrong_signature, signed_trailer_wrong_checksum,
         unsigned_trailer_wrong_checksum, unsigned_trailer_missing, checksum_header, content_md5, length_too_short, length_too_long, client_goes_away,
         gateway_is_killed]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", default="minio,versitygw")
    failures = []
    with rig.folder() as folder:
        folder = pathlib.Path(folder)
        for kind in parser.parse_args().backends.split(","):
            for trust_link in ("true", "false"):
                home = folder / f"{kind}-{trust_link}"
                home.mkdir()
                with rig.Backend(kind, home) as backend, rig.Gateway(backend, home, trust_link=trust_link) as gateway:
                    place = Place("wrong", gateway.endpoint, "wrong", session_of(gateway, None), home, None, gateway)
                    direct = Place("direct", backend.endpoint, "wrong", (rig.ROOT_KEY, rig.ROOT_SECRET, None), home).boto()
                    direct.create_bucket(Bucket="wrong")
                    for number, send in enumerate(good_forms(place, "good")):
                        status = send()
                        if status != 200 or direct.get_object(Bucket="wrong", Key="good")["Body"].read() != BODY:
                            failures.append(f"{kind}: a good body of form {number} was answered with {status}")
                        direct.delete_object(Bucket="wrong", Key="good")
                    direct.put_object(Bucket="wrong", Key="old", Body=BEFORE)
                    for wrong in WRONG:
                        wrong(place, "new")
                        wrong(place, "old")
                        time.sleep(0.1)
                        try:
                            direct.head_object(Bucket="wrong", Key="new")
                            left = direct.get_object(Bucket="wrong", Key="new")["Body"].read()
                            failures.append(f"{kind}, trust_link = {trust_link}: {wrong.__name__} left an object of {len(left)} bytes")
                            direct.delete_object(Bucket="wrong", Key="new")
                        except botocore.exceptions.ClientError:
                            pass
                        if direct.get_object(Bucket="wrong", Key="old")["Body"].read() != BEFORE:
                            failures.append(f"{kind}, trust_link = {trust_link}: {wrong.__name__} changed an object")
                            direct.put_object(Bucket="wrong", Key="old", Body=BEFORE)
                    left = [item["Key"] for item in direct.list_objects_v2(Bucket="wrong").get("Contents", [])]
                    if left != ["old"]:
                        failures.append(f"{kind}: left are {left}")
                print(f"  {kind}, trust_link = {trust_link}: {len(WRONG)} ways to be wrong, no object, no change", flush=True)
    if failures:
        print("\n".join(failures))
        sys.exit(1)


if __name__ == "__main__":
    main()
