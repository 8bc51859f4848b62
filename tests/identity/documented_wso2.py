"""A token endpoint in the shape of WSO2's: client credentials by HTTP Basic for a JWT, or for an opaque token and its introspection."""

import base64
import http.server
import json
import secrets
import ssl
import subprocess
import threading
import time
import urllib.parse

import rig

CLIENT_ID, CLIENT_SECRET = "wso2AppClientId00000000000a", "wso2-client-secret-1"
SHAPE = rig.ROOT / "tests/shapes/wso2.json"


def encoded(value):
    given = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(given).decode().rstrip("=")


class Wso2:
    def __init__(self, authority):
        self.key = authority.key
        self.opaque = {}
        wso2 = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(200, wso2.keys() if self.path == "/oauth2/jwks" else {})

            def do_POST(self):
                form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                kind, _, pair = self.headers.get("Authorization", "").partition(" ")
                client, _, secret = base64.b64decode(pair).decode().partition(":")
                if kind != "Basic" or urllib.parse.unquote_plus(secret) != CLIENT_SECRET:
                    self.answer(401, {"error": "invalid_client"})
                elif self.path == "/oauth2/introspect":
                    self.answer(200, wso2.opaque.get(form.get("token"), {"active": False}))
                elif client == CLIENT_ID and form.get("grant_type") == "client_credentials":
                    scope = form.get("scope", "default")
                    self.answer(200, {"access_token": wso2.token(scope), "scope": scope, "token_type": "Bearer", "expires_in": 3600})
                else:
                    self.answer(400, {"error": "unsupported_grant_type"})

            def answer(self, status, said):
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(authority.cert, authority.key)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.address = f"https://127.0.0.1:{self.server.server_port}"

    def keys(self):
        done = subprocess.run(["openssl", "rsa", "-in", self.key, "-noout", "-modulus"], capture_output=True, check=True, text=True)
        modulus = bytes.fromhex(done.stdout.strip().removeprefix("Modulus="))
        return {"keys": [{"kty": "RSA", "e": "AQAB", "use": "sig", "kid": "made-up", "alg": "RS256", "n": encoded(modulus)}]}

    def token(self, scope):
        now, shape = int(time.time()), json.loads(SHAPE.read_text())
        claims = shape["claims"] | {"iss": f"{self.address}/oauth2/token", "scope": scope, "iat": now, "nbf": now, "exp": now + 3600}
        if "opaque" in scope.split():
            token = secrets.token_hex(16)
            kept = {name: claims[name] for name in ("scope", "iat", "nbf", "exp", "client_id", "aut")}
            self.opaque[token] = {"active": True, "token_type": "Bearer"} | kept
            return token
        signed = f"{encoded(shape['header'] | {'alg': 'RS256', 'kid': 'made-up'})}.{encoded(claims)}"
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=signed.encode(), capture_output=True, check=True).stdout
        return f"{signed}.{encoded(signature)}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
