"""Who says who the bearer of a custom token is, after MinIO's contract: POST URL?token=…, 200 with a user or 403 with a reason."""

import http.server
import json
import ssl
import threading
import time
import urllib.parse

AUTHORIZATION = "Bearer webhook-authorization-secret-1"
REASON = "reason-that-stays-with-the-operator"
# token: (status, answer, seconds until it comes)
TOKENS = {
    "custom-token-of-alice-1": (200, {"user": "alice", "maxValiditySeconds": 3600, "claims": {"team": "red", "level": 3}}, 0),
    "custom-token-of-bob-1": (200, {"user": "bob", "maxValiditySeconds": 3600, "claims": {"team": "blue"}}, 0),
    "custom-token-for-900-seconds-1": (200, {"user": "alice", "maxValiditySeconds": 900, "claims": {"team": "red"}}, 0),
    "custom-token-without-user-1": (200, {"user": "", "maxValiditySeconds": 3600, "claims": {}}, 0),
    "custom-token-for-no-time-1": (200, {"user": "alice", "maxValiditySeconds": 0, "claims": {}}, 0),
    "custom-token-refused-1": (403, {"reason": REASON}, 0),
    "custom-token-nonsense-1": (200, "<html>", 0),
    "custom-token-broken-1": (500, {}, 0),
    "custom-token-huge-1": (200, {"user": "alice", "maxValiditySeconds": 3600, "claims": {"x": "y" * 4_000_000}}, 0),
    "custom-token-slow-1": (200, {"user": "alice", "maxValiditySeconds": 3600, "claims": {}}, 20),
}


class Webhook:
    def __init__(self, authority):
        self.secrets = {AUTHORIZATION.split()[1], *TOKENS}
        self.asked = []
        webhook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.answer(200, b"")

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                token = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query).get("token", [""])[0]
                webhook.asked.append((token, self.headers.get("Authorization")))
                status, answer, wait = TOKENS.get(token, (403, {"reason": REASON}, 0))
                if self.headers.get("Authorization") != AUTHORIZATION:
                    status, answer, wait = 401, {}, 0
                time.sleep(wait)
                self.answer(status, json.dumps(answer).encode() if isinstance(answer, dict) else answer.encode())

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                """A client that does not wait for the end is part of the test."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.cert, authority.key)
        self.server = Server(("127.0.0.1", 0), Handler)
        # The handshake belongs to the thread of its connection, not to the one that accepts.
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self.server.server_port}/s3"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
