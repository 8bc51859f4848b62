"""Several Daypass with what they stand between: HAProxy, a storage and a Valkey or Redis, each of which may die and come back."""

import csv
import http.client
import json
import os
import pathlib
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path += [str(HERE.parent / "clients"), str(HERE.parent / "identity")]

import rig  # noqa: E402: the rig of tests/clients is ours too
from component import Component  # noqa: E402

EXAMPLE = rig.ROOT / "examples/fleet/haproxy.cfg"
TOKEN = secrets.token_hex(32)
BUCKET = "fleet"
ROLE = "arn:aws:iam::000000000000:role/app"
# What the clients may: everything in one bucket but what lies under forbidden/.
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]},
    {"Effect": "Deny", "Action": "s3:*", "Resource": f"arn:aws:s3:::{BUCKET}/forbidden/*"}]})
SERVER = shutil.which("valkey-server") or "redis-server"
# Not in everybody's PATH.
HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"


def get(url, headers=None, data=None, seconds=5):
    """(status, bytes); a status is a result, no error."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers or {}), timeout=seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def sealing_key():
    return subprocess.run([rig.DAYPASS, "keygen"], capture_output=True, text=True, check=True).stdout.strip()


class Storage(Component):
    """MinIO, which keeps its folder and its port over a restart."""

    name = "minio"

    def __init__(self, folder):
        super().__init__(folder)
        self.port = rig.free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def command(self):
        return [rig.BIN / "minio", "server", "--quiet", "--address", f"127.0.0.1:{self.port}", self.folder / "data"]

    def environment(self):
        return rig.clean_environment(MINIO_ROOT_USER=rig.ROOT_KEY, MINIO_ROOT_PASSWORD=rig.ROOT_SECRET, HOME=self.folder)

    def is_ready(self):
        return get(f"{self.endpoint}/minio/health/ready")[0] == 200


class Shared(Component):
    """Valkey or Redis over TLS with a password, its changes kept on the disk as docs/operations.md advises."""

    name = "valkey"

    def __init__(self, folder, certificates):
        super().__init__(folder)
        self.port, self.password, self.certificates = rig.free_port(), secrets.token_hex(16), certificates
        self.url = f"rediss://localhost:{self.port}/1"
        (folder / "valkey.conf").write_text(f"requirepass {self.password}\n")

    def command(self):
        authority = self.certificates
        return [SERVER, self.folder / "valkey.conf", "--port", "0", "--tls-port", self.port, "--bind", "127.0.0.1", "--save", "",
                "--appendonly", "yes", "--dir", self.folder, "--tls-cert-file", authority.cert, "--tls-key-file", authority.key,
                "--tls-ca-cert-file", authority.ca, "--tls-auth-clients", "no"]

    def is_ready(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True


class Replica(Component):
    """One Daypass. Its sealing keys are a file of its own, as on a machine of its own."""

    patience = 20.0

    def __init__(self, folder, number, fleet, more=""):
        self.name = f"daypass-{number}"
        (folder / self.name).mkdir()
        super().__init__(folder / self.name)
        self.fleet, self.more = fleet, more
        self.port, self.admin = rig.free_port(), rig.free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.configuration, self.keys = self.folder / "daypass.toml", self.folder / "sealing.keys"
        self.use_keys(fleet.keys)
        self.configure()

    def put(self, file, text):
        """Replaces a file at once, as a deployment does."""
        fresh = file.with_suffix(".fresh")
        fresh.write_text(text)
        fresh.chmod(0o600)
        os.replace(fresh, file)

    def use_keys(self, keys):
        self.put(self.keys, "\n".join(keys) + "\n")

    def configure(self, duration="1h"):
        fleet = self.fleet
        self.put(self.configuration, f'''
[listen]
address = "127.0.0.1:{self.port}"
trusted_proxies = ["127.0.0.1/32"]
[admin]
address = "127.0.0.1:{self.admin}"
token = "{TOKEN}"
[revocation]
url = "{fleet.shared.url}"
password = "{fleet.shared.password}"
ca_file = "{fleet.certificates.ca}"
timeout = "1s"
[backend]
endpoint = "{fleet.storage.endpoint}"
profile = "minio"
access_key_id = "{rig.ROOT_KEY}"
secret_access_key = "{rig.ROOT_SECRET}"
trust_link = true
[sts]
sealing_keys_file = "{self.keys}"
min_duration = "1s"
default_duration = "{duration}"
[[policy]]
name = "app"
document = \'\'\'{POLICY}\'\'\'
[[role]]
name = "app"
policies = ["app"]
[[user]]
name = "rig"
access_key_id = "{rig.USER_KEY}"
secret_access_key = "{rig.USER_SECRET}"
policies = ["app"]
roles = ["app"]
[limits]
max_connections_per_address = 0
drain_delay = "2s"
{self.more}
''')

    def command(self):
        return [rig.DAYPASS, "serve", "--config", self.configuration]

    def is_ready(self):
        return get(f"http://127.0.0.1:{self.admin}/health/ready")[0] == 200

    def generation(self):
        return json.loads(get(f"http://127.0.0.1:{self.admin}/health/ready?verbose")[1])["configuration_generation"]

    def reload(self):
        """Tells it to read its files again, without waiting."""
        os.kill(self.process.pid, signal.SIGHUP)

    def reload_and_wait(self):
        before = self.generation()
        self.reload()
        until = time.monotonic() + 10
        while self.generation() == before:
            if time.monotonic() > until:
                self.fail("does not take another configuration")
            time.sleep(0.02)

    def revoke(self, **wanted):
        """(status, entry) of a revocation that is said here."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        connection.request("POST", "/v1/revocations", json.dumps(wanted), {"Authorization": f"Bearer {TOKEN}"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def defects(self):
        """Lines of the log that no fault from outside explains."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if re.search(r"panicked|defect", line)]


class Balancer(Component):
    """HAProxy with the example's own file, but for the addresses."""

    name = "haproxy"

    def __init__(self, folder, replicas):
        super().__init__(folder)
        self.port, self.stats = rig.free_port(), rig.free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        text = EXAMPLE.read_text().replace("bind 127.0.0.1:9000", f"bind 127.0.0.1:{self.port}")
        text = text.replace("bind 127.0.0.1:8404", f"bind 127.0.0.1:{self.stats}")
        for number, replica in enumerate(replicas, 1):
            text = text.replace(f"10.0.0.1{number}:9000 port 9001", f"127.0.0.1:{replica.port} port {replica.admin}")
        assert "10.0.0." not in text, text
        self.configuration = folder / "haproxy.cfg"
        self.configuration.write_text(text)

    def command(self):
        return [HAPROXY, "-db", "-f", self.configuration]

    def is_ready(self):
        return self.servers() and all(row["status"].startswith("UP") for row in self.servers().values())

    def servers(self):
        """What it says of each Daypass, by its name."""
        text = get(f"http://127.0.0.1:{self.stats}/stats;csv")[1].decode().removeprefix("# ")
        return {row["svname"]: row for row in csv.DictReader(text.splitlines()) if row["pxname"] == "daypass" and row["svname"] != "BACKEND"}

    def wait_for(self, name, status):
        until = time.monotonic() + 15
        while not self.servers()[name]["status"].startswith(status):
            if time.monotonic() > until:
                self.fail(f"does not find {name} {status}")
            time.sleep(0.05)


class Fleet:
    """All of it, running for the time of a `with`."""

    def __init__(self, folder, replicas=3, balanced=True, more=""):
        self.folder, self.keys = folder, [sealing_key()]
        (folder / "tls").mkdir()
        self.certificates = rig.Certificates(folder / "tls")
        self.storage, self.shared = Storage(folder), Shared(folder, self.certificates)
        self.replicas = [Replica(folder, number, self, more) for number in range(1, replicas + 1)]
        self.balancer = Balancer(folder, self.replicas) if balanced else None

    def all(self):
        return [self.storage, self.shared, *self.replicas] + ([self.balancer] if self.balancer else [])

    def __enter__(self):
        try:
            for one in self.all():
                one.start()
            for one in self.all():
                # Somebody else may have taken its port, and answered in its place.
                if one.process.poll() is not None:
                    one.fail("ended")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for one in reversed(self.all()):
            # The gateways end in order: what they write is looked at.
            one.stop(kill=not isinstance(one, Replica))
