"""A Keycloak over TLS with the realm of realm.json."""

import base64
import json
import pathlib
import shutil

import rig
from component import HERE, Component, fetch_json

HOME = sorted(rig.CACHE.glob("keycloak-*/.built"))
ADMIN, ADMIN_PASSWORD = "admin", "keycloak-admin-password-1"
CLIENT_SECRETS = {"daypass": "daypass-client-secret-1", "daypass-short": "daypass-short-client-secret-1", "daypass-gone": "daypass-gone-client-secret-1",
                  "machine": "machine-client-secret-1"}
PASSWORDS = {"alice": "alice-keycloak-password-1", "bob": "bob-keycloak-password-1", "carol": "carol-keycloak-password-1"}


class Keycloak(Component):
    name, patience = "keycloak", 120.0

    def __init__(self, folder, authority):
        super().__init__(folder)
        self.authority = authority
        self.port, self.management = rig.free_port(), rig.free_port()
        self.address = f"https://127.0.0.1:{self.port}"
        self.issuer = f"{self.address}/realms/main"
        self.discovery = f"{self.issuer}/.well-known/openid-configuration"
        self.secrets = {*CLIENT_SECRETS.values(), *PASSWORDS.values(), ADMIN_PASSWORD}

    def command(self):
        return [HOME[-1].parent / "bin/kc.sh", "start", "--optimized", "--cache=local", f"--hostname={self.address}", "--http-enabled=false",
                "--http-host=127.0.0.1", f"--https-port={self.port}", f"--http-management-port={self.management}",
                f"--https-certificate-file={self.authority.cert}", f"--https-certificate-key-file={self.authority.key}",
                f"--db-url=jdbc:h2:file:{self.folder}/keycloak-db;NON_KEYWORDS=VALUE"]

    def environment(self):
        java = pathlib.Path(shutil.which("java")).resolve().parents[1]
        # The first compiler alone: a test does not run long enough for the second one to pay.
        return rig.clean_environment(JAVA_HOME=java, KC_BOOTSTRAP_ADMIN_USERNAME=ADMIN, KC_BOOTSTRAP_ADMIN_PASSWORD=ADMIN_PASSWORD,
                                     JAVA_OPTS_APPEND="-XX:TieredStopAtLevel=1")

    def is_ready(self):
        return fetch_json(f"https://127.0.0.1:{self.management}/health/ready", self.authority.trust)["status"] == "UP"

    def prepare(self):
        self.admin("POST", "", json.loads((HERE / "realm.json").read_text()))

    def admin(self, method, path, body=None):
        """A call of the administration API below /admin/realms."""
        token = fetch_json(f"{self.address}/realms/master/protocol/openid-connect/token", self.authority.trust, form={
            "grant_type": "password", "client_id": "admin-cli", "username": ADMIN, "password": ADMIN_PASSWORD})["access_token"]
        self.secrets.add(token)
        return fetch_json(f"{self.address}/admin/realms{path}", self.authority.trust, method=method, body=body,
                          headers={"Authorization": f"Bearer {token}"})

    def token(self, client="daypass", user=None, kind="access_token"):
        """The answer of the token endpoint: of a client for itself, or of a user who logs in with a password."""
        form = {"grant_type": "password", "username": user, "password": PASSWORDS[user], "scope": "openid"} if user else {"grant_type": "client_credentials"}
        answer = fetch_json(f"{self.issuer}/protocol/openid-connect/token", self.authority.trust,
                            form=form | {"client_id": client, "client_secret": CLIENT_SECRETS[client]})
        self.secrets.update(value for name, value in answer.items() if name.endswith("_token"))
        return answer[kind]

    def rotate_keys(self, kind):
        """A new signing key, RS256 or ES256, that is used from now on; the old ones stay published."""
        realm = self.admin("GET", "/main")["id"]
        found = self.admin("GET", "/main/keys")
        priority = max(key["providerPriority"] for key in found["keys"]) + 100
        provider, config = {"RS256": ("rsa-generated", {"keySize": ["2048"], "algorithm": ["RS256"]}),
                            "ES256": ("ecdsa-generated", {"ecdsaEllipticCurveKey": ["P-256"]})}[kind]
        self.admin("POST", "/main/components", {"name": f"{kind}-{priority}", "providerId": provider, "providerType": "org.keycloak.keys.KeyProvider",
                                                "parentId": realm, "config": config | {"priority": [str(priority)], "enabled": ["true"], "active": ["true"]}})
        if kind == "ES256":
            self.admin("PUT", "/main", {"defaultSignatureAlgorithm": "ES256"})

    def withdraw_old_keys(self, kind):
        """Takes all keys of this kind but the newest out of what is published."""
        providers = [one for one in self.admin("GET", "/main/components?type=org.keycloak.keys.KeyProvider")
                     if one["providerId"] == {"RS256": "rsa-generated", "ES256": "ecdsa-generated"}[kind]]
        for old in sorted(providers, key=lambda one: int(one["config"]["priority"][0]))[:-1]:
            self.admin("DELETE", f"/main/components/{old['id']}")


def parts_of(token):
    """(header, claims) of a JWT, unverified."""
    return tuple(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2])
