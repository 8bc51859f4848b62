"""A provider of identities without a server: its keys are a file that the origin gives away, its tokens are made here."""

import base64
import json
import re
import subprocess
import time

CLIENT = "bench"


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """Signs RS256 with a key of 2048 bits."""

    issuer = "http://127.0.0.1/bench-provider"

    def __init__(self, folder):
        self.key = folder / "provider.key"
        subprocess.run(["openssl", "genrsa", "-out", self.key, "2048"], check=True, capture_output=True)

    def keys(self):
        shown = subprocess.run(["openssl", "rsa", "-in", self.key, "-noout", "-modulus"], check=True, capture_output=True, text=True).stdout
        modulus = bytes.fromhex(re.search(r"Modulus=([0-9A-F]+)", shown)[1])
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "bench", "n": encoded(modulus), "e": encoded((65537).to_bytes(3, "big"))}
        return json.dumps({"keys": [key]})

    def token(self):
        """Good for an hour; with the number of claims that a realm of Keycloak gives."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "3f0c2f6e-bench", "iat": now, "exp": now + 3600, "policy": "all", "azp": CLIENT,
                  "preferred_username": "bench", "email": "bench@example.org", "email_verified": True, "groups": ["analysts", "writers"], "scope": "openid profile"}
        parts = [encoded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT", "kid": "bench"}, claims)]
        text = ".".join(parts)
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", self.key], input=text.encode(), check=True, capture_output=True).stdout
        return f"{text}.{encoded(signature)}"
