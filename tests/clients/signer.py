"""A second independent signer: whatever botocore signs over odd keys and queries is verified by the gateway and arrives as it is.

    python tests/clients/signer.py
"""

import http.client
import http.server
import itertools
import pathlib
import random
import threading
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials

import rig
from run import session_of

PIECES = ["a", " ", "+", "%", "%20", "%2F", "é", "日本", "~", "!", "*", "'", "(", ")", "&", "=", "?", "#", ";", ":", "@", ",", "$", ".", "-", "_", "\U0001f600", '"', "<", ">", "|", "^", "`", "{", "[", "]"]
VALUES = ["", "a", "a b", "a+b", "é", "%", "a/b", "a&b=c", "=", "~"]


class Recorder(http.server.BaseHTTPRequestHandler):
    """A storage that keeps the last path and says yes."""

    protocol_version = "HTTP/1.1"
    last = None

    def do_GET(self):
        Recorder.last = self.path
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    class Backend:
        kind, endpoint = "minio", f"http://127.0.0.1:{server.server_address[1]}"

    random.seed(4)
    keys = ["".join(pair) for pair in itertools.product(PIECES, PIECES)] + [f"dir/{piece}/" for piece in PIECES if piece != "."]
    keys += ["".join(random.choices(PIECES, k=12)) for _ in range(300)]
    keys = [key for key in keys if not {".", ".."} & set(key.split("/"))]
    with rig.folder() as folder, rig.Gateway(Backend, pathlib.Path(folder)) as gateway:
        access, secret, token = session_of(gateway, None)
        credentials = botocore.credentials.Credentials(access, secret, token)
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port)

        def send(url, signer):
            request = botocore.awsrequest.AWSRequest("GET", url)
            signer.add_auth(request)
            target = request.prepare().url.split(gateway.endpoint, 1)[1]
            connection.request("GET", target, headers=dict(request.headers.items()))
            reply = connection.getresponse()
            text = reply.read()
            assert reply.status == 200, f"{target}: {reply.status} {text.decode()}"

        def header():
            return botocore.auth.S3SigV4Auth(credentials, "s3", "us-east-1")

        def query():
            return botocore.auth.S3SigV4QueryAuth(credentials, "s3", "us-east-1", expires=60)

        for key in keys:
            for signer in (header(), query()):
                send(f"{gateway.endpoint}/bucket/{urllib.parse.quote(key, safe='/~')}", signer)
                assert urllib.parse.unquote(Recorder.last) == f"/bucket/{key}", (key, Recorder.last)
        for prefix, marker in itertools.product(VALUES, VALUES):
            pairs = urllib.parse.urlencode([("prefix", prefix), ("list-type", "2"), ("start-after", marker)], quote_via=urllib.parse.quote)
            for signer in (header(), query()):
                send(f"{gateway.endpoint}/bucket?{pairs}", signer)
                found = dict(urllib.parse.parse_qsl(Recorder.last.split("?", 1)[1], keep_blank_values=True))
                assert found == {"prefix": prefix, "list-type": "2", "start-after": marker}, Recorder.last
    print(f"  botocore: {len(keys)} odd keys and {len(VALUES) ** 2} queries, in the header and presigned: verified, and the same at the storage")


if __name__ == "__main__":
    main()
