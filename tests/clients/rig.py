"""Starts real storages and the gateway before them, each on a free port of the loopback."""

import base64
import os
import pathlib
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
BIN = CACHE / "bin"
PROFILE = os.environ.get("DAYPASS_PROFILE", "debug")
DAYPASS = ROOT / "target" / PROFILE / "daypass"
STORAGE = ROOT / "target" / PROFILE / "examples" / "storage"
ROOT_KEY, ROOT_SECRET = "rigrootkey00000001", "rig-root-secret-0123456789"
USER_KEY, USER_SECRET = "AKIARIGUSER000000001", "rig-user-secret-0123456789"
ALL = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'
BACKENDS = ("minio", "versitygw", "s3s-fs")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment(**more):
    """Ours, without what the machine may have set for AWS and for TLS."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("AWS_", "MINIO_", "MC_", "RCLONE_"))
            and name not in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS",
                             "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY")}
    return kept | {name: str(value) for name, value in more.items()}


class Process:
    """A program that runs until the end of the `with`."""

    def __init__(self, command, port, environment, log):
        self.port, self.log = port, log
        self.out = open(log, "ab")
        self.process = subprocess.Popen([str(part) for part in command], env=environment, stdout=self.out, stderr=self.out,
                                        cwd=log.parent)

    def wait_until_it_listens(self):
        for _ in range(600):
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.process.args[0]} ended:\n{self.log.read_text()[-2000:]}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise RuntimeError(f"{self.process.args[0]} does not listen")

    def stop(self, kill=False):
        if self.process.poll() is None:
            self.process.kill() if kill else self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.out.close()

    def __enter__(self):
        return self.wait_until_it_listens()

    def __exit__(self, *_):
        self.stop()


class Backend(Process):
    """A storage of this kind over a new folder."""

    def __init__(self, kind, folder):
        self.kind = kind
        self.data = folder / f"data-{kind}"
        self.data.mkdir()
        self.versions = folder / f"versions-{kind}"
        self.versions.mkdir()
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        environment = clean_environment(
            MINIO_ROOT_USER=ROOT_KEY, MINIO_ROOT_PASSWORD=ROOT_SECRET, ROOT_ACCESS_KEY=ROOT_KEY, ROOT_SECRET_KEY=ROOT_SECRET,
            AWS_ACCESS_KEY_ID=ROOT_KEY, AWS_SECRET_ACCESS_KEY=ROOT_SECRET, HOME=folder)
        command = {
            "minio": [BIN / "minio", "server", "--quiet", "--address", f"127.0.0.1:{port}", self.data],
            "versitygw": [BIN / "versitygw", "--port", f"127.0.0.1:{port}", "--quiet", "posix", "--versioning-dir", self.versions, self.data],
            "s3s-fs": [STORAGE, self.data, f"127.0.0.1:{port}"],
        }[kind]
        super().__init__(command, port, environment, folder / f"{kind}.log")

    def wait_until_it_listens(self):
        super().wait_until_it_listens()
        if self.kind == "minio":
            for _ in range(100):
                try:
                    urllib.request.urlopen(f"{self.endpoint}/minio/health/ready", timeout=2)
                    break
                except OSError:
                    time.sleep(0.1)
        return self


class Certificates:
    """A certificate authority for this run, and a certificate for the loopback."""

    def __init__(self, folder):
        self.folder = folder
        self.ca, self.cert, self.key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
        self.trust_store = folder / "trust.p12"
        run = lambda *command: subprocess.run(command, check=True, cwd=folder, capture_output=True)
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2",
            "-subj", "/CN=rig", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
        (folder / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
        run("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-out", "server.pem", "-extfile", "ext")
        self.key.chmod(0o600)
        if shutil.which("keytool"):
            run("keytool", "-importcert", "-noprompt", "-alias", "rig", "-file", "ca.pem", "-keystore", "trust.p12",
                "-storetype", "PKCS12", "-storepass", "changeit")


class Gateway(Process):
    """Daypass before a storage."""

    def __init__(self, backend, folder, certificates=None, sealing_keys=None, **more):
        port = free_port()
        self.scheme = "https" if certificates else "http"
        self.host = "localhost" if certificates else "127.0.0.1"
        self.endpoint = f"{self.scheme}://{self.host}:{port}"
        self.configuration = folder / f"daypass-{port}.toml"
        tls = f'[listen.tls]\ncertificate_file = "{certificates.cert}"\nprivate_key_file = "{certificates.key}"\n' if certificates else ""
        sealing_keys = sealing_keys or f"{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(32)).decode()}"
        profile = {"s3s-fs": "generic"}.get(backend.kind, backend.kind)
        self.configuration.write_text(f'''
[listen]
address = "127.0.0.1:{port}"
{tls}
[backend]
endpoint = "{backend.endpoint}"
profile = "{profile}"
access_key_id = "{ROOT_KEY}"
secret_access_key = "{ROOT_SECRET}"
trust_link = {more.get("trust_link", "true")}
[sts]
sealing_keys = """{sealing_keys}"""
{more.get("sts", "")}
[[policy]]
name = "all"
document = \'\'\'{ALL}\'\'\'
[[role]]
name = "everything"
policies = ["all"]
[[user]]
name = "rig"
access_key_id = "{USER_KEY}"
secret_access_key = "{USER_SECRET}"
policies = ["all"]
roles = ["everything"]
[limits]
max_connections_per_address = 0
{more.get("limits", "")}
''')
        super().__init__([DAYPASS, "serve", "--config", self.configuration], port, clean_environment(), folder / f"daypass-{port}.log")


def folder():
    return tempfile.TemporaryDirectory(prefix="daypass-rig-")
