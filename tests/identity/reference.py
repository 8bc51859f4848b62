"""MinIO with its own STS before the same Keycloak, directory, authority and webhook: what Daypass's answers are compared with."""

import shutil

import directory
import rig
from component import Component, fetch, run
from keycloak import CLIENT_SECRETS
from webhook import AUTHORIZATION


class Reference(Component):
    """`with_directory`: with LDAP, else with everything else; MinIO has no users of its own beside a directory."""

    patience = 60.0

    def __init__(self, folder, authority, keycloak, people, webhook, with_directory):
        self.name = "minio-ldap" if with_directory else "minio-openid"
        super().__init__(folder)
        self.authority, self.keycloak, self.people, self.webhook, self.with_directory = authority, keycloak, people, webhook, with_directory
        self.port = rig.free_port()
        self.endpoint = f"https://127.0.0.1:{self.port}"
        certificates = folder / f"{self.name}-certificates"
        (certificates / "CAs").mkdir(parents=True)
        shutil.copy(authority.cert, certificates / "public.crt")
        shutil.copy(authority.key, certificates / "private.key")
        shutil.copy(authority.ca, certificates / "CAs/ca.pem")

    def command(self):
        return [rig.BIN / "minio", "server", "--quiet", "--address", f"127.0.0.1:{self.port}", "--certs-dir", self.folder / f"{self.name}-certificates",
                self.folder / f"{self.name}-data"]

    def environment(self):
        common = {"MINIO_ROOT_USER": rig.ROOT_KEY, "MINIO_ROOT_PASSWORD": rig.ROOT_SECRET, "HOME": self.folder}
        if self.with_directory:
            settings = {
                "SERVER_ADDR": f"127.0.0.1:{self.people.tls}", "LOOKUP_BIND_DN": directory.SERVICE, "LOOKUP_BIND_PASSWORD": directory.SERVICE_PASSWORD,
                "USER_DN_SEARCH_BASE_DN": directory.PEOPLE, "USER_DN_SEARCH_FILTER": "(uid=%s)",
                "GROUP_SEARCH_BASE_DN": directory.GROUPS, "GROUP_SEARCH_FILTER": "(&(objectClass=groupOfNames)(member=%d))"}
            return rig.clean_environment(**common, **{f"MINIO_IDENTITY_LDAP_{key}": value for key, value in settings.items()})
        return rig.clean_environment(
            **common, MINIO_IDENTITY_OPENID_CONFIG_URL=self.keycloak.discovery, MINIO_IDENTITY_OPENID_CLIENT_ID="daypass",
            MINIO_IDENTITY_OPENID_CLIENT_SECRET=CLIENT_SECRETS["daypass"], MINIO_IDENTITY_OPENID_CLAIM_NAME="policy",
            MINIO_IDENTITY_TLS_ENABLE="on", MINIO_IDENTITY_PLUGIN_URL=self.webhook.url, MINIO_IDENTITY_PLUGIN_AUTH_TOKEN=AUTHORIZATION,
            MINIO_IDENTITY_PLUGIN_ROLE_POLICY="readwrite", MINIO_IDENTITY_PLUGIN_ROLE_ID="webhook")

    def is_ready(self):
        # "live" comes before its IAM is loaded, which waits for the provider.
        return fetch(f"{self.endpoint}/minio/health/ready", self.authority.trust)[0] == 200 and self.mc("admin", "policy", "info", "here", "readwrite")

    def prepare(self):
        if self.with_directory:
            for rdn in ("cn=analysts", "cn=outer"):
                self.mc("idp", "ldap", "policy", "attach", "here", "readwrite", "--group", directory.group(rdn))
        else:
            self.mc("admin", "user", "add", "here", rig.USER_KEY, rig.USER_SECRET)
            self.mc("admin", "policy", "attach", "here", "readwrite", "--user", rig.USER_KEY)

    def mc(self, *arguments):
        host = self.endpoint.replace("://", f"://{rig.ROOT_KEY}:{rig.ROOT_SECRET}@")
        environment = rig.clean_environment(MC_HOST_here=host, MC_CONFIG_DIR=self.folder / "mc", SSL_CERT_FILE=self.authority.ca)
        try:
            return run(rig.BIN / "mc", "--quiet", *arguments, environment=environment)
        except AssertionError as error:
            if self.process.poll() is None and "info" in arguments:
                raise OSError(error) from None
            raise
