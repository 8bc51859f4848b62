"""Everybody who says who somebody is, started once for a run."""

import concurrent.futures
import contextlib
import http.client
import ssl
import time
import urllib.parse
import xml.etree.ElementTree

import boto3
import botocore.config

from component import Authority
from directory import Directory
from keycloak import Keycloak, parts_of
from oidc_provider import OidcProvider
from reference import Reference
from webhook import Webhook

LEEWAY = 60
VERSION = "2011-06-15"
NAMESPACE = "{https://sts.amazonaws.com/doc/2011-06-15/}"


class World(contextlib.ExitStack):
    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.secrets = set()
        self.gateways = []
        self.authority = Authority(folder / "authority")
        # Who may do what is in the names: the first by its common name, as MinIO has it, the others by trust rules.
        self.certificates = {
            "by common name": self.authority.client("by-cn", "/O=Example/CN=readwrite"),
            "by SPIFFE id": self.authority.client("by-uri", "/O=Example/CN=job", "URI:spiffe://example.org/ns/jobs/nightly"),
            "by two names": self.authority.client("by-two-names", "/O=Example/CN=readwrite,readonly"),
            "of nobody": self.authority.client("of-nobody", "/O=Example/CN=nobody"),
            "of a server": self.authority.client("of-a-server", "/O=Example/CN=readwrite", usage="serverAuth"),
        }

    def __enter__(self):
        super().__enter__()
        try:
            self.keycloak = Keycloak(self.folder, self.authority)
            self.provider = OidcProvider(self.folder, self.authority)
            self.people = Directory(self.folder, self.authority)
            self.webhook = self.enter_context(Webhook(self.authority))
            with concurrent.futures.ThreadPoolExecutor() as pool:
                for part in (self.keycloak, self.provider, self.people):
                    self.callback(part.stop)
                for started in [pool.submit(part.start) for part in (self.keycloak, self.provider, self.people)]:
                    started.result()
            self.short_lived = self.keycloak.token("daypass-gone", user="alice")
            self.minio = self.enter_context(Reference(self.folder, self.authority, self.keycloak, self.people, self.webhook, with_directory=False))
            self.minio_ldap = self.enter_context(Reference(self.folder, self.authority, self.keycloak, self.people, self.webhook, with_directory=True))
        except BaseException:
            self.close()
            raise
        return self

    def expired(self):
        """A token that was good once, and is over by more than clocks may differ."""
        time.sleep(max(0.0, parts_of(self.short_lived)[1]["exp"] + LEEWAY + 2 - time.time()))
        return self.short_lived

    def all_secrets(self, *more):
        return self.secrets.union(*(part.secrets for part in (self.keycloak, self.provider, self.people, self.webhook, *more)))

    def ask(self, endpoint, form=None, query=None, path="/", certificate=None, timeout=30, headers=None):
        """(status, headers, body) of an STS call without a signature; 0 when TLS ends it. The keys in it are kept for the search at the end."""
        place = urllib.parse.urlsplit(endpoint)
        trust = ssl.create_default_context(cafile=str(self.authority.ca))
        if certificate:
            trust.load_cert_chain(*certificate)
        connection = http.client.HTTPSConnection(place.hostname, place.port, timeout=timeout, context=trust)
        try:
            target = path + ("?" + urllib.parse.urlencode(query) if query else "")
            body = urllib.parse.urlencode(form) if form is not None else None
            type_of_form = {"Content-Type": "application/x-www-form-urlencoded"} if form is not None else {}
            connection.request("POST", target, body, type_of_form | (headers or {}))
            answer = connection.getresponse()
            text = answer.read()
        except ssl.SSLError:
            # A certificate that the server refuses in the handshake; with TLS 1.3 the client learns it when it reads.
            return 0, {}, b""
        finally:
            connection.close()
        given = Answer(answer.status, text)
        if given.keys:
            self.secrets.update(given.keys[1:])
        return answer.status, answer.headers, text

    def boto(self, service, endpoint, keys):
        return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1", verify=str(self.authority.ca), aws_access_key_id=keys[0],
                            aws_secret_access_key=keys[1], aws_session_token=keys[2],
                            config=botocore.config.Config(retries={"max_attempts": 1}, **({"s3": {"addressing_style": "path"}} if service == "s3" else {})))

    def login(self, endpoint, action, certificate=None, way="form", timeout=30, **parameters):
        parameters = {name: value for name, value in ({"Action": action, "Version": VERSION} | parameters).items() if value is not None}
        status, _, body = self.ask(endpoint, certificate=certificate, timeout=timeout, **{way: parameters})
        return Answer(status, body)


class Answer:
    """What came back of an STS call: root element, paths of elements, code."""

    def __init__(self, status, body):
        self.status, self.body = status, body
        self.root, self.texts = None, {}
        try:
            tree = xml.etree.ElementTree.fromstring(body)
        except xml.etree.ElementTree.ParseError:
            tree = None
        if tree is not None:
            self.root = tree.tag
            self.collect(tree, "")

    def collect(self, element, path):
        for child in element:
            name = f"{path}/{child.tag.removeprefix(NAMESPACE)}".lstrip("/")
            self.texts[name] = child.text or ""
            self.collect(child, name)

    @property
    def paths(self):
        """Without what the action is called."""
        return {path.partition("Result/")[2] or path for path in self.texts if not path.endswith("Result")}

    def value(self, name):
        return next((text for path, text in self.texts.items() if path.endswith("/" + name) or path == name), None)

    @property
    def code(self):
        return self.value("Code")

    @property
    def keys(self):
        return tuple(self.value(name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")) if self.value("SessionToken") else None

    def __str__(self):
        return f"{self.status or 'TLS'} {self.code or self.root}: {self.value('Message') or ''}"
