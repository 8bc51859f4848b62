"""Executes every command of docs/operations.md, in order, at a gateway that the document itself starts, before a real MinIO.

    python tests/ops/operations_docs.py

After each block stands what it must have brought about: a function here with the block's name, `_` for `-`. A block without one is an error, and so is one
without a name; what cannot run here stands in CANNOT_RUN with the reason.
"""

import base64
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "identity"))

import boto3  # noqa: E402
import botocore.config  # noqa: E402
import botocore.exceptions  # noqa: E402
import component  # noqa: E402: finds the rig, too
import documents  # noqa: E402
import rig  # noqa: E402

DOCUMENT = rig.ROOT / "docs/operations.md"
# Blocks that say test=no, by their first line, and why.
CANNOT_RUN = {}
READ_LOGS = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": ["arn:aws:s3:::logs", "arn:aws:s3:::logs/*"]},
    {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}]}


class Keys:
    def __init__(self, credentials):
        self.id, self.secret, self.token = (credentials[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken"))


class Desk:
    """The folder that the document talks about."""

    def __init__(self, folder, backend):
        self.folder, self.backend = folder, backend
        self.authority = component.Authority(folder / "authority")
        self.port, self.admin_port = rig.free_port(), rig.free_port()
        self.endpoint, self.admin = f"https://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.admin_port}"
        self.more = {}
        for name in ("secrets", "policies", "tls"):
            (folder / name).mkdir()
        self.user_key, self.user_secret = self.new_user_keys()
        self.root_keys = [self.root_pair(), self.root_pair()]
        self.write_files()
        self.write_configuration()
        os.link(rig.DAYPASS, folder / "daypass.new") if same_device(rig.DAYPASS, folder) else shutil.copy(rig.DAYPASS, folder / "daypass.new")

    def write(self, name, text, mode=0o600):
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)

    def new_user_keys(self):
        printed = component.run(rig.DAYPASS, "keygen", "--user")
        return [re.search(rf'{name} = "(.*)"', printed)[1] for name in ("access_key_id", "secret_access_key")]

    def mc(self, *command):
        environment = rig.clean_environment(HOME=self.folder, MC_HOST_minio=self.backend.endpoint.replace("//", f"//{rig.ROOT_KEY}:{rig.ROOT_SECRET}@"))
        return component.run(rig.BIN / "mc", "--json", *command, environment=environment)

    def root_pair(self):
        """Keys that may do all at the storage and can be taken away again."""
        made = json.loads(self.mc("admin", "user", "svcacct", "add", "minio", rig.ROOT_KEY))
        return made["accessKey"], made["secretKey"]

    def write_files(self):
        self.write("secrets/sealing.keys", component.run(rig.DAYPASS, "keygen"))
        self.write("secrets/admin.token", base64.b16encode(os.urandom(20)).decode())
        self.write("secrets/backend-access-key-id", self.root_keys[0][0])
        self.write("secrets/backend-secret-access-key", self.root_keys[0][1])
        self.write("new-access-key-id", self.root_keys[1][0])
        self.write("new-secret-access-key", self.root_keys[1][1])
        self.write("secrets/user-backup", self.user_secret)
        self.write("policies/read-logs.json", json.dumps(READ_LOGS))
        shutil.copy(self.authority.cert, self.folder / "tls/server.pem")
        shutil.copy(self.authority.key, self.folder / "tls/server.key")
        certificate, key = self.authority.client("new", "/CN=localhost", "DNS:localhost,IP:127.0.0.1", usage="serverAuth")
        shutil.copy(certificate, self.folder / "new.pem")
        shutil.copy(key, self.folder / "new.key")

    def write_configuration(self):
        self.write("daypass.toml", f"""
[listen]
address = "127.0.0.1:{self.port}"
[listen.tls]
certificate_file = "tls/server.pem"
private_key_file = "tls/server.key"
[admin]
address = "127.0.0.1:{self.admin_port}"
token_file = "secrets/admin.token"
[backend]
endpoint = "{self.backend.endpoint}"
profile = "minio"
access_key_id_file = "secrets/backend-access-key-id"
secret_access_key_file = "secrets/backend-secret-access-key"
trust_link = true
[sts]
sealing_keys_file = "secrets/sealing.keys"
[[policy]]
name = "read-logs"
file = "policies/read-logs.json"
[[role]]
name = "analyst"
policies = ["read-logs"]
[[role]]
name = "deputy"
policies = ["read-logs"]
  [[role.trust]]
  roles = ["analyst"]
[[user]]
name = "backup"
access_key_id = "{self.user_key}"
secret_access_key_file = "secrets/user-backup"
policies = ["read-logs"]
roles = ["analyst"]
[[user]]
name = "other"
access_key_id = "{rig.USER_KEY}"
secret_access_key = "{rig.USER_SECRET}"
policies = ["read-logs"]
[audit]
file = "audit.jsonl"
[limits]
drain_timeout = "60s"
[log]
format = "json"
""")

    # What people have.

    def client(self, service, keys):
        config = botocore.config.Config(retries={"max_attempts": 0}, **({"s3": {"addressing_style": "path"}} if service == "s3" else {}))
        identity = dict(zip(("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), keys))
        return boto3.client(service, endpoint_url=self.endpoint, region_name="us-east-1", verify=str(self.authority.ca), config=config, **identity)

    def login(self, who="backup"):
        pair = (self.user_key, self.user_secret) if who == "backup" else (rig.USER_KEY, rig.USER_SECRET)
        return Keys(self.client("sts", pair).get_session_token()["Credentials"])

    def assume(self, role, keys=None):
        pair = (keys.id, keys.secret, keys.token) if keys else (self.user_key, self.user_secret)
        arn = f"arn:aws:iam::000000000000:role/{role}"
        return Keys(self.client("sts", pair).assume_role(RoleArn=arn, RoleSessionName="docs")["Credentials"])

    def get(self, keys, key="app/1"):
        """The body of an object, or the error's code."""
        try:
            return self.client("s3", (keys.id, keys.secret, keys.token)).get_object(Bucket="logs", Key=key)["Body"].read()
        except botocore.exceptions.ClientError as error:
            return error.response["Error"]["Code"]

    def lives(self, keys):
        found = self.get(keys)
        assert found == b"one", f"a session that should live gets {found}"

    def is_dead(self, keys):
        found = self.get(keys)
        assert found == "InvalidToken", f"a session that should be dead gets {found}"

    # What the operator does.

    def environment(self):
        path = f"{rig.DAYPASS.parent}:{rig.CACHE / 'venv/bin'}:{rig.clean_environment()['PATH']}"
        session = self.more.get("aws")
        keys = dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"), (session.id, session.secret, session.token))) if session else {}
        given = {name: value for name, value in self.more.items() if name != "aws"}
        return rig.clean_environment(PATH=path, HOME=self.folder, DAYPASS_CONFIG="daypass.toml", ADMIN=self.admin, S3=self.endpoint, AWS_DEFAULT_REGION="us-east-1",
                                     AWS_EC2_METADATA_DISABLED="true", CURL_CA_BUNDLE=self.authority.ca, AWS_CA_BUNDLE=self.authority.ca, **keys, **given)

    def execute(self, text):
        return component.run("bash", "-euo", "pipefail", "-c", text, folder=self.folder, environment=self.environment())

    def pid(self):
        return int((self.folder / "daypass.pid").read_text())

    def is_running(self):
        file = self.folder / "daypass.pid"
        if not file.exists():
            return False
        # Its parent is gone; what has ended and nobody waited for is no more than a name.
        status = pathlib.Path(f"/proc/{self.pid()}/status")
        return status.exists() and "State:\tZ" not in status.read_text()

    def stop(self):
        if self.is_running():
            os.kill(self.pid(), signal.SIGTERM)
            wait_until(lambda: not self.is_running(), "the gateway ends")

    def generation(self):
        _, _, page = component.fetch(f"{self.admin}/metrics", None)
        return int(re.search(r"^daypass_configuration_generation (\d+)", page.decode(), re.MULTILINE)[1])

    def revocations(self):
        token = (self.folder / "secrets/admin.token").read_text().strip()
        return component.fetch_json(f"{self.admin}/v1/revocations", None, headers={"Authorization": f"Bearer {token}"})["revocations"]

    def sealed_by(self, keys):
        """The id of the key that sealed a token, as it stands in the file."""
        token = base64.urlsafe_b64decode(keys.token + "=" * (-len(keys.token) % 4))
        return token[1:5].hex()

    def key_ids(self):
        return [line.split(":")[0] for line in (self.folder / "secrets/sealing.keys").read_text().splitlines()]


def same_device(one, other):
    return one.stat().st_dev == other.stat().st_dev


def wait_until(holds, what, seconds=20):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"it does not come about that {what}"
        time.sleep(0.1)


class Effects:
    """What each block must have brought about. `given_…` makes what a block is about."""

    def __init__(self, desk):
        self.desk = desk

    def start(self, printed):
        assert "no problems" in printed and printed.endswith("ready\n"), printed
        self.old = self.desk.login()
        self.desk.lives(self.old)

    def stop(self, printed):
        assert printed == "stopped\n" and not self.desk.is_running(), printed
        self.desk.execute(self.blocks["start"])
        self.desk.lives(self.old)

    def change(self, printed):
        assert "no problems" in printed, printed
        wait_until(lambda: self.desk.generation() > self.generation, "the new configuration runs")
        assert 'drain_timeout = "30s"' in (self.desk.folder / "daypass.toml").read_text()

    def changed(self, printed):
        assert "limits changed" in printed and f"daypass_configuration_generation {self.generation}" in printed, printed

    def explain(self, printed):
        assert "allow" in printed.lower(), printed

    def upgrade_before(self, printed):
        assert "no problems" in printed and (self.desk.folder / "before.metrics").stat().st_size > 1000, printed

    def given_upgrade(self):
        self.was = self.desk.pid()

    def upgrade(self, printed):
        assert printed == "ready\n" and self.desk.pid() != self.was, printed
        executable = pathlib.Path(os.readlink(f"/proc/{self.desk.pid()}/exe"))
        assert executable.name == "daypass.new", executable
        self.desk.lives(self.old)

    def upgrade_after(self, printed):
        version = component.run(rig.DAYPASS, "--version").split()[1]
        assert printed.splitlines() == ["true", version, "true", "no failures"], printed

    def rotate_sealing_known(self, _):
        self.ids = self.desk.key_ids()
        assert len(self.ids) == 2
        wait_until(lambda: self.desk.generation() > self.generation, "the new configuration runs")
        self.desk.lives(self.old)
        assert self.desk.sealed_by(self.desk.login()) == self.ids[0]

    def rotate_sealing_seals(self, _):
        assert self.desk.key_ids() == self.ids[::-1]
        wait_until(lambda: self.desk.sealed_by(self.desk.login()) == self.ids[1], "the new key seals")
        self.desk.lives(self.old)
        self.new = self.desk.login()
        self.desk.lives(self.new)

    def rotate_sealing_old(self, _):
        assert self.desk.key_ids() == [self.ids[1]]
        wait_until(lambda: self.desk.get(self.old) == "InvalidToken", "the old key opens nothing")
        self.desk.lives(self.new)

    def given_rotate_root(self):
        self.desk.more["aws"] = self.desk.login()

    def rotate_root(self, printed):
        assert printed.split()[-1] == "2", printed
        self.desk.mc("admin", "user", "svcacct", "rm", "minio", self.desk.root_keys[0][0])
        self.desk.lives(self.new)

    def given_rotate_user(self):
        self.desk.more["OLD_KEY"] = self.desk.user_key

    def rotate_user(self, _):
        desk, old = self.desk, (self.desk.user_key, self.desk.user_secret)
        wait_until(lambda: desk.generation() > self.generation, "the new keys are known")
        found = (desk.folder / "backup.new").read_text()
        desk.user_key, desk.user_secret = (re.search(rf'{name} = "(.*)"', found)[1] for name in ("access_key_id", "secret_access_key"))
        assert desk.user_key != old[0]
        desk.lives(desk.login())
        desk.lives(self.new)
        try:
            desk.client("sts", old).get_session_token()
            raise AssertionError("the old key still makes sessions")
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidClientTokenId", error

    def rotate_tls(self, printed):
        serial = component.run("openssl", "x509", "-noout", "-serial", "-in", self.desk.folder / "new.pem")
        assert serial.strip() in printed and "notAfter" in printed, printed
        self.desk.lives(self.new)

    def given_rotate_admin_token(self):
        self.admin_token = (self.desk.folder / "secrets/admin.token").read_text().strip()

    def rotate_admin_token(self, _):
        status, _, _ = component.fetch(f"{self.desk.admin}/v1/revocations", None, headers={"Authorization": f"Bearer {self.admin_token}"})
        assert status == 401 and self.desk.revocations() == []
        self.desk.lives(self.new)

    def given_revoke_session(self):
        self.leaked, self.sibling = self.desk.assume("analyst"), self.desk.assume("analyst")
        self.desk.lives(self.leaked)
        self.desk.more["SESSION"] = self.leaked.id

    def revoke_session(self, printed):
        assert printed.startswith("revoked: "), printed
        self.desk.is_dead(self.leaked)
        self.desk.lives(self.sibling)
        self.desk.lives(self.new)

    def given_revoke(self):
        self.others = self.desk.login("other")
        self.desk.more["USER_KEY"] = self.desk.user_key

    def revoke(self, printed):
        kinds = {entry["kind"] for entry in self.desk.revocations()}
        assert kinds == {"session", "user", "user_key", "identity", "role", "provider", "everything"}, kinds
        assert printed.endswith("7 revocations\n"), printed
        for keys in (self.leaked, self.sibling, self.new):
            self.desk.is_dead(keys)
        self.desk.lives(self.others)
        try:
            self.desk.login()
            raise AssertionError("a revoked key makes sessions")
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidClientTokenId", error

    def lift(self, printed):
        assert printed.startswith("lifted: ") and "user_key" not in {entry["kind"] for entry in self.desk.revocations()}, printed
        time.sleep(1.1)
        self.desk.lives(self.desk.login())

    def revoke_curl(self, printed):
        assert printed.strip() == "6", printed

    def given_incident_who(self):
        """A thief has what somebody made of a login, makes more of it and reads; another user works meanwhile."""
        desk = self.desk
        time.sleep(1.1)
        desk.more["SINCE"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.first = desk.login()
        self.leaked = desk.assume("analyst", self.first)
        self.below = desk.assume("deputy", self.leaked)
        self.others = desk.login("other")
        desk.lives(self.leaked)
        desk.lives(self.others)
        assert desk.get(self.below, "app/2") == b"two"
        # Somebody who knows no more than the id claims it.
        forged = Keys({"AccessKeyId": self.leaked.id, "SecretAccessKey": "guessed", "SessionToken": self.leaked.token})
        assert desk.get(forged) == "SignatureDoesNotMatch"
        desk.more["LEAKED"] = self.leaked.id

    def incident_who(self, printed):
        assert "assumed-role/analyst/docs" in printed and "user/backup" in printed and "127.0.0.1" in printed, printed
        assert "other" not in printed, printed

    def incident_login(self, printed):
        lines = printed.splitlines()
        assert [line.split("\t")[0] for line in lines] == [self.leaked.id, self.first.id, self.desk.user_key], printed
        assert "GetSessionToken" in lines[1] and "role/analyst" in lines[0], printed

    def incident_below(self, printed):
        assert printed.split() == [self.leaked.id, self.below.id], printed

    def incident_end(self, printed):
        assert printed.startswith("revoked: ") and "user backup" in printed, printed
        for keys in (self.first, self.leaked, self.below):
            self.desk.is_dead(keys)
        self.desk.lives(self.others)

    def incident_close(self, printed):
        assert f"user_key {self.desk.user_key}" in printed, printed
        try:
            self.desk.login()
            raise AssertionError("the way is open")
        except botocore.exceptions.ClientError as error:
            assert error.response["Error"]["Code"] == "InvalidClientTokenId", error

    def incident_touched(self, printed):
        for what in ("GetObject arn:aws:s3:::logs/app/1", "GetObject arn:aws:s3:::logs/app/2", "AssumeRole "):
            assert what in printed, f"{what} is not in {printed}"
        assert re.search(r"\tlogs\tapp/2\t200\t3$", printed, re.MULTILINE), printed

    def given_incident_dead(self):
        time.sleep(1.1)
        self.desk.is_dead(self.leaked)
        self.desk.lives(self.others)

    def incident_dead(self, printed):
        assert "allow" not in printed and re.search(r"\d+ deny\tInvalidToken\t127.0.0.1", printed), printed

    def incident_record(self, printed):
        files = {"leaked.keys", "touched.tsv", "chain.txt", "revocations.txt"}
        assert {line.split()[1] for line in printed.splitlines()} == files, printed
        assert "last hash" in (self.desk.folder / "incident/chain.txt").read_text()
        assert "user backup" in (self.desk.folder / "incident/revocations.txt").read_text()

    def watch(self, printed):
        assert '"ready": true' in printed and "daypass_requests_in_flight 0" in printed and "InvalidToken" in printed, printed

    def storage(self, printed):
        assert "no problems" in printed and '"up":true' in printed, printed

    def capacity(self, printed):
        for pattern in (r"VmRSS:\s+\d+ kB", r"VmHWM:\s+\d+ kB", r"descriptors: \d+ of \d+", r"process_open_fds \d+", r"daypass_connections_open \d+",
                        r"daypass_sessions_cached \d+"):
            assert re.search(pattern, printed), f"{pattern} is not in {printed}"

    def given_capacity_cpu(self):
        body = "import sys, time\n" + "end = time.time() + 12\nimport urllib.request\nwhile time.time() < end:\n" \
            f"    try: urllib.request.urlopen('http://127.0.0.1:{self.desk.admin_port}/health/live').read()\n    except OSError: pass\n"
        self.load = subprocess.Popen([sys.executable, "-c", body])
        self.desk.lives(self.others)

    def capacity_cpu(self, printed):
        self.load.terminate()
        self.load.wait()
        assert re.fullmatch(r"\d+\.\d\d cores, \d+\.\d requests/s, \d+ us each\n", printed), printed

    def traces(self, printed):
        found = json.loads(printed.splitlines()[-1])
        assert found[1] == 403 and found[0], printed


def main():
    document = DOCUMENT.read_text()
    found = documents.blocks(document)
    wrong = documents.complaints(document)
    assert documents.complaints(document + "```sh\ncurl\n```\n") != wrong, "a block without a name would not be seen"
    names = [name for language, name, _ in found if language in documents.RUNNABLE and name]
    wrong += [f"nothing is said of what {name} must bring about" for name in names if name != "no" and not hasattr(Effects, name.replace("-", "_"))]
    unable = [text.splitlines()[0] for _, name, text in found if name == "no"]
    wrong += [f"no reason is given why `{line}` cannot run" for line in unable if line not in CANNOT_RUN]
    with rig.folder() as folder, rig.Backend("minio", pathlib.Path(folder)) as backend:
        desk = Desk(pathlib.Path(folder), backend)
        prepare(desk)
        wrong += wrong or run_all(desk, found)
    if wrong:
        sys.exit("\nWrong:\n" + "\n".join(wrong))
    print(f"\nAll {len(names) - len(unable)} blocks of docs/operations.md do what they say.")


def prepare(desk):
    storage = boto3.client("s3", endpoint_url=desk.backend.endpoint, aws_access_key_id=rig.ROOT_KEY, aws_secret_access_key=rig.ROOT_SECRET, region_name="us-east-1")
    storage.create_bucket(Bucket="logs")
    storage.put_object(Bucket="logs", Key="app/1", Body=b"one")
    storage.put_object(Bucket="logs", Key="app/2", Body=b"two")


def run_all(desk, found):
    """The first failure ends it: what comes after builds upon it."""
    effects = Effects(desk)
    effects.blocks = {name: text for _, name, text in found}
    try:
        for language, name, text in found:
            if language not in documents.RUNNABLE or name == "no":
                continue
            effect = name.replace("-", "_")
            getattr(effects, f"given_{effect}", lambda: None)()
            effects.generation = desk.generation() if desk.is_running() else 0
            try:
                getattr(effects, effect)(desk.execute(text))
            except Exception as error:  # noqa: BLE001: any failure is a result
                print(f"  {name:28} FAILED", flush=True)
                log = (desk.folder / "daypass.log").read_text()[-1500:] if (desk.folder / "daypass.log").exists() else ""
                return [f"{name}: {type(error).__name__}: {error}\n{log}"]
            print(f"  {name:28} ok", flush=True)
    finally:
        desk.stop()
    return []


if __name__ == "__main__":
    main()
