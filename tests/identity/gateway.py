"""Daypass over TLS before a storage, knowing every provider, the directory, the authority and the webhook of this run."""

import base64
import json
import re
import secrets

import directory
import rig
from component import Component
from oidc_provider import CLIENT_SECRET
from webhook import AUTHORIZATION

ROLE = "arn:aws:iam::000000000000:role/"
READ_ONLY = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::*"}]})
# How long a session of the role "short" lives: shorter than any client thinks it has left before it looks for new keys.
SHORT = 4
# What is promised about a provider or a directory that is down or does not answer.
PATIENCE = 5


class Gateway(Component):
    patience = 20.0

    def __init__(self, folder, world, backend, name=None, start_tls=False):
        self.name = name or f"daypass-{backend.kind}"
        super().__init__(folder)
        self.world, self.backend = world, backend
        self.port = rig.free_port()
        self.endpoint = f"https://127.0.0.1:{self.port}"
        self.secrets = {rig.ROOT_SECRET, rig.USER_SECRET}
        key = base64.b64encode(secrets.token_bytes(32)).decode()
        self.secrets.add(key)
        self.admin_port, self.admin_token = rig.free_port(), secrets.token_hex(16)
        self.admin = f"http://127.0.0.1:{self.admin_port}"
        self.secrets.add(self.admin_token)
        self.audit, self.revocations = folder / f"{self.name}-audit.jsonl", folder / f"{self.name}-revocations.jsonl"
        self.configuration = folder / f"{self.name}.toml"
        self.configuration.write_text(self.settings(key, start_tls))
        self.configuration.chmod(0o600)

    def settings(self, key, start_tls):
        world, authority = self.world, self.world.authority
        ca = f'ca_file = "{authority.ca}"'
        people = world.people
        return f'''
[listen]
address = "127.0.0.1:{self.port}"
[listen.tls]
certificate_file = "{authority.cert}"
private_key_file = "{authority.key}"
client_ca_file = "{authority.ca}"
[admin]
address = "127.0.0.1:{self.admin_port}"
token = "{self.admin_token}"
[revocation]
file = "{self.revocations}"
[audit]
file = "{self.audit}"
[backend]
endpoint = "{self.backend.endpoint}"
profile = "{self.backend.kind}"
access_key_id = "{rig.ROOT_KEY}"
secret_access_key = "{rig.ROOT_SECRET}"
trust_link = true
[sts]
sealing_keys = """{secrets.token_hex(4)}:{key}"""
min_duration = "1s"
max_duration = "12h"
ignore_unknown_role_arn = true
[[policy]]
name = "readwrite"
document = \'\'\'{rig.ALL}\'\'\'
[[policy]]
name = "readonly"
document = \'\'\'{READ_ONLY}\'\'\'
[[user]]
name = "rig"
access_key_id = "{rig.USER_KEY}"
secret_access_key = "{rig.USER_SECRET}"
policies = ["readwrite"]
[[role]]
name = "analyst"
policies = ["readwrite"]
  [[role.trust]]
  oidc = "keycloak"
  claims = {{ groups = "analysts", email_verified = true }}
  [[role.trust]]
  ldap_group = {json.dumps(directory.group("cn=analysts"))}
  [[role.trust]]
  certificate = {{ san_uri = "spiffe://example.org/ns/jobs/*" }}
  [[role.trust]]
  webhook = true
  claims = {{ team = "red" }}
[[role]]
name = "short"
policies = ["readwrite"]
max_duration = "{SHORT}s"
  [[role.trust]]
  oidc = "keycloak"
  claims = {{ groups = "analysts" }}
[[role]]
name = "nested"
policies = ["readwrite"]
  [[role.trust]]
  ldap_group = {json.dumps(directory.group("cn=outer"))}
[[oidc]]
name = "keycloak"
issuer = "{world.keycloak.issuer}"
client_ids = ["daypass"]
policy_claim = "policy"
{ca}
timeout = "{PATIENCE - 2}s"
refresh_cooldown = "1s"
refresh_interval = "10s"
[[oidc]]
name = "oidc-provider"
issuer = "{world.provider.issuer}"
client_ids = ["daypass"]
algorithms = ["RS256", "PS256", "ES256", "ES384", "EdDSA"]
policy_claim = "policy"
{ca}
  [oidc.introspection]
  client_id = "daypass"
  client_secret = "{CLIENT_SECRET}"
[ldap]
url = "{people.start_tls_url if start_tls else people.url}"
{"start_tls = true" if start_tls else ""}
bind_dn = "{directory.SERVICE}"
bind_password = "{directory.SERVICE_PASSWORD}"
{ca}
user_base = "{directory.PEOPLE}"
user_filter = "(uid={{username}})"
group_base = "{directory.GROUPS}"
group_filter = "(&(objectClass=groupOfNames)(member={{dn}}))"
nested_groups = 3
timeout = "{PATIENCE - 2}s"
recheck_interval = "1s"
  [[ldap.policy]]
  dn = {json.dumps(directory.group("cn=analysts"))}
  policies = ["readwrite"]
  [[ldap.policy]]
  dn = {json.dumps(directory.group("cn=outer"))}
  policies = ["readwrite"]
[certificate]
policy_from_cn = true
[webhook]
url = "{world.webhook.url}"
auth_token = "{AUTHORIZATION}"
{ca}
policies = ["readwrite"]
timeout = "{PATIENCE - 2}s"
[limits]
max_connections_per_address = 0
[log]
level = "trace"
'''

    def command(self):
        return [rig.DAYPASS, "serve", "--config", self.configuration]

    def is_ready(self):
        # Its own health is on another listener; an answer of any kind is enough here.
        return self.world.ask(self.endpoint, path="/")[0] > 0

    def logins(self):
        """How many logins by a token it has granted."""
        return len(re.findall(r'operation="?AssumeRoleWithWebIdentity"? .*status=200', self.log.read_text(errors="replace")))
