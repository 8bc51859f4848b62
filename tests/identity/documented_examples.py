"""The examples that a component of the rig can serve, run as their README says: only names, addresses and authorities are changed."""

import base64
import contextlib
import json
import secrets

import boto3
import botocore.config

import directory
import rig
from component import Component, fetch, run
from documented_wso2 import CLIENT_ID, CLIENT_SECRET, Wso2
from keycloak import CLIENT_SECRETS

FOLDER = rig.ROOT / "examples"

class Example(Component):
    """Daypass with the configuration of an example."""

    def __init__(self, name, world, backend, bucket, changes, tls=False):
        self.name = f"example-{name}"
        super().__init__(world.folder / self.name)
        self.folder.mkdir(exist_ok=True)
        self.log = world.folder / f"{self.name}.log"
        self.world, self.backend, self.bucket = world, backend, bucket
        self.port = rig.free_port()
        self.endpoint = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        text = (FOLDER / name / "daypass.toml").read_text()
        address = "0.0.0.0:9000" if tls else "127.0.0.1:9000"
        common = {f'address = "{address}"': f'address = "127.0.0.1:{self.port}"', "http://127.0.0.1:9002": backend.endpoint}
        for old, new in (common | changes).items():
            assert old in text, f"{name}: there is no {old}"
            text = text.replace(old, new)
        self.configuration = self.folder / "daypass.toml"
        self.configuration.write_text(text)
        (self.folder / "secrets").mkdir(exist_ok=True)
        key = self.folder / "secrets/sealing.keys"
        key.write_text(f"{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(32)).decode()}\n")
        key.chmod(0o600)

    def command(self):
        return [rig.DAYPASS, "serve", "--config", self.configuration]

    def environment(self):
        return rig.clean_environment(DAYPASS_BACKEND_ACCESS_KEY_ID=rig.ROOT_KEY, DAYPASS_BACKEND_SECRET_ACCESS_KEY=rig.ROOT_SECRET,
                                     DAYPASS_LDAP_PASSWORD=directory.SERVICE_PASSWORD, DAYPASS_WSO2_INTROSPECTION_SECRET=CLIENT_SECRET)

    def is_ready(self):
        return fetch(self.endpoint, self.world.authority.trust)[0] > 0

    def prepare(self):
        root = boto3.client("s3", endpoint_url=self.backend.endpoint, region_name="us-east-1", aws_access_key_id=rig.ROOT_KEY,
                            aws_secret_access_key=rig.ROOT_SECRET, config=botocore.config.Config(s3={"addressing_style": "path"}))
        with contextlib.suppress(root.exceptions.BucketAlreadyOwnedByYou):
            root.create_bucket(Bucket=self.bucket)

    def run(self, *command, **environment):
        """What the example's program prints."""
        ca = self.world.authority.ca
        path = f"{rig.CACHE / 'venv/bin'}:{rig.clean_environment()['PATH']}"
        return run(*command, environment=rig.clean_environment(
            PATH=path, HOME=self.folder, ENDPOINT=self.endpoint, AWS_EC2_METADATA_DISABLED="true", AWS_MAX_ATTEMPTS="1", CURL_CA_BUNDLE=ca, AWS_CA_BUNDLE=ca, **environment))

    def secret(self, name, text):
        file = self.folder / name
        file.write_text(text)
        file.chmod(0o600)
        return file


def authorities(world):
    return f'ca_file = "{world.authority.ca}"'


def keycloak(world, backend):
    changes = {'"https://id.example.org/realms/main"': f'"{world.keycloak.issuer}"', '# ca_file = "tls/idp-ca.pem"': authorities(world)}
    with Example("keycloak", world, backend, "team", changes) as example:
        program = FOLDER / "keycloak/login.sh"
        # The realm has a client of this name; the one of the example stands beside it, with a login that needs no browser.
        client = json.loads((FOLDER / "keycloak/client.json").read_text())
        CLIENT_SECRETS["example"] = "example-client-secret-1"
        world.keycloak.admin("POST", "/main/clients", client | {"clientId": "example", "secret": CLIENT_SECRETS["example"], "directAccessGrantsEnabled": True})
        for token in (world.keycloak.token("example", user="alice"), world.keycloak.token(user="alice", kind="id_token")):
            token = example.secret("token.jwt", token)
            assert "hello\n" in example.run(program, TOKEN_FILE=token)
        # She has her own folder alone; carol is in no such group.
        refused(example, program, "AccessDenied", TOKEN_FILE=token, FOLDER="bob")
        refused(example, program, "AccessDenied", TOKEN_FILE=example.secret("carol.jwt", world.keycloak.token(user="carol")), FOLDER="carol")


def client_grants(world, backend):
    with Wso2(world.authority) as wso2:
        changes = {
            'issuer = "https://id.example.org/realms/main"\n': f'issuer = "{world.keycloak.issuer}"\n{authorities(world)}\n',
            "https://wso2.example.org:9443": wso2.address, '# ca_file = "tls/wso2-ca.pem"': authorities(world)}
        with Example("client-grants", world, backend, "jobs", changes) as example:
            program = FOLDER / "client-grants/client_grants.py"
            role = {"ROLE_ARN": "arn:aws:iam::000000000000:role/batch", "CA_FILE": world.authority.ca}
            at_keycloak = {"TOKEN_ENDPOINT": f"{world.keycloak.issuer}/protocol/openid-connect/token", "CLIENT_ID": "machine",
                           "CLIENT_SECRET_FILE": example.secret("machine", CLIENT_SECRETS["machine"])}
            at_wso2 = {"TOKEN_ENDPOINT": f"{wso2.address}/oauth2/token", "CLIENT_ID": CLIENT_ID, "CLIENT_SECRET_FILE": example.secret("wso2", CLIENT_SECRET)}
            for given in (at_keycloak | role, at_keycloak | {"CA_FILE": world.authority.ca}, at_wso2 | role | {"SCOPE": "s3"}, at_wso2 | role | {"SCOPE": "s3 opaque"}):
                assert "hello from a program" in example.run(program, **given)
            refused(example, program, "403", **at_wso2, **role, SCOPE="other")
            # TLS is verified.
            refused(example, program, "CERTIFICATE_VERIFY_FAILED", **at_keycloak, ROLE_ARN=role["ROLE_ARN"])


def openldap(world, backend):
    changes = {'"ldaps://ldap.example.org"': f'"{world.people.url}"', '# ca_file = "tls/ldap-ca.pem"': authorities(world)}
    with Example("openldap", world, backend, "team", changes) as example:
        program = FOLDER / "openldap/login.sh"
        password = lambda login: example.secret(f"password-{login}", directory.PASSWORDS[login])
        lead = "arn:aws:iam::000000000000:role/team-lead"
        assert "hello\n" in example.run(program, LDAP_USER="alice", PASSWORD_FILE=password("alice"))
        assert "hello\n" in example.run(program, LDAP_USER="alice", PASSWORD_FILE=password("alice"), ROLE_ARN=lead)
        assert "hello\n" in example.run(program, LDAP_USER="nested", PASSWORD_FILE=password("nested"), ROLE_ARN=lead)
        refused(example, program, "AccessDenied", LDAP_USER="bob", PASSWORD_FILE=password("bob"))
        refused(example, program, "AccessDenied", LDAP_USER="jane", PASSWORD_FILE=password("jane"), ROLE_ARN=lead)
        refused(example, program, "AccessDenied", LDAP_USER="alice", PASSWORD_FILE=example.secret("wrong", "wrong"))


def spiffe(world, backend):
    authority = world.authority
    changes = {'"tls/server.pem"': f'"{authority.cert}"', '"tls/server.key"': f'"{authority.key}"', '"tls/bundle.pem"': f'"{authority.ca}"'}
    with Example("spiffe", world, backend, "results", changes, tls=True) as example:
        program = FOLDER / "spiffe/login.sh"
        certificate, key = world.certificates["by SPIFFE id"]
        assert "hello\n" in example.run(program, CERTIFICATE=certificate, KEY=key)
        certificate, key = world.certificates["of nobody"]
        refused(example, program, "AccessDenied", CERTIFICATE=certificate, KEY=key)


def refused(example, program, code, **environment):
    try:
        printed = example.run(program, **environment)
    except AssertionError as error:
        assert code in str(error), error
    else:
        raise AssertionError(f"it was let in: {printed}")


EXAMPLES = {"example-keycloak": keycloak, "example-client-grants": client_grants, "example-openldap": openldap, "example-spiffe": spiffe}
