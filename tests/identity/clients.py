"""Every client that can log in by itself, as checks: each logs in its own way, then puts, gets and lists."""

import io
import json
import pathlib
import shutil
import threading
import time
import urllib.parse

import botocore.exceptions
import minio
import minio.credentials
import urllib3

import directory
import rig
from component import HERE, run
from gateway import ROLE, SHORT
from webhook import TOKENS

VENV = rig.CACHE / "venv/bin"
CUSTOM_TOKEN = next(iter(TOKENS))
# What the reference calls the role of its webhook; at Daypass it is a role that does not exist, and taken as none.
WEBHOOK_ROLE = "arn:minio:iam:::role/idmp-webhook"


class Place:
    """Where a client logs in and works: Daypass before a storage, or the reference."""

    def __init__(self, world, server, name, has_roles):
        self.world, self.endpoint, self.name, self.has_roles = world, server.endpoint, name, has_roles
        self.server = server
        self.bucket = name
        self.folder = world.folder / f"clients-{name}"
        self.folder.mkdir()
        world.boto("s3", self.endpoint, rig_keys(server)).create_bucket(Bucket=self.bucket)

    def environment(self, **more):
        ca = self.world.authority.ca
        return rig.clean_environment(
            HOME=self.folder, AWS_REGION="us-east-1", AWS_DEFAULT_REGION="us-east-1", AWS_EC2_METADATA_DISABLED="true", AWS_CA_BUNDLE=ca,
            SSL_CERT_FILE=ca, NODE_EXTRA_CA_CERTS=ca, AWS_ENDPOINT_URL_STS=self.endpoint, AWS_ENDPOINT_URL_S3=self.endpoint,
            AWS_MAX_ATTEMPTS="1", ENDPOINT=self.endpoint, BUCKET=self.bucket, **more)

    def web_identity(self, role="analyst", token=None):
        """What the AWS SDKs look for: a file with a token, and a role."""
        file = self.folder / f"token-{time.monotonic_ns()}"
        file.write_text(token or self.world.keycloak.token(user="alice"))
        return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ROLE_ARN": ROLE + role, "AWS_ROLE_SESSION_NAME": "rig"}


def rig_keys(server):
    """Keys that may make buckets: the root's at the reference, at Daypass those of a user's AssumeRole."""
    if not hasattr(server, "configuration"):
        return rig.ROOT_KEY, rig.ROOT_SECRET, None
    keys = server.world.boto("sts", server.endpoint, (rig.USER_KEY, rig.USER_SECRET, None)).assume_role(
        RoleArn="arn:xxx:xxx:xxx:xxxx", RoleSessionName="rig")["Credentials"]
    server.world.secrets.update((keys["SecretAccessKey"], keys["SessionToken"]))
    return keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]


CHECKS = {}


def check(at):
    """`at`: where it can run beside Daypass: the reference with OpenID, the one with the directory, or nowhere (it wants a role)."""
    def note(function):
        CHECKS[function.__name__] = (function, at)
        return function
    return note


# MinIO's Go SDK

def go(place, kind, **task):
    task = {"Kind": kind, "STS": place.endpoint, "Endpoint": place.endpoint, "Bucket": place.bucket} | task
    keys = json.loads(run(rig.BIN / "login-go", given=json.dumps(task), environment=place.environment()))
    place.world.secrets.update(keys[1:])


@check(at="minio-openid")
def go_assume_role(place):
    go(place, "AssumeRole", AccessKey=rig.USER_KEY, SecretKey=rig.USER_SECRET, Duration=3600)


@check(at="minio-openid")
def go_web_identity(place):
    go(place, "WebIdentity", Token=place.world.keycloak.token(user="alice", kind="id_token"), Duration=3600)


@check(at="minio-openid")
def go_web_identity_from_a_file_with_a_role(place):
    aws = place.web_identity()
    go(place, "WebIdentityFile", TokenFile=aws["AWS_WEB_IDENTITY_TOKEN_FILE"], Role=aws["AWS_ROLE_ARN"])


@check(at="minio-openid")
def go_client_grants(place):
    go(place, "ClientGrants", Token=place.world.keycloak.token("machine"), ExpiresIn=1800)


@check(at="minio-ldap")
def go_ldap(place):
    go(place, "LDAPIdentity", User="alice", Password=directory.PASSWORDS["alice"], Duration=3600)


@check(at="minio-openid")
def go_certificate(place):
    certificate, key = place.world.certificates["by common name"]
    go(place, "Certificate", Certificate=str(certificate), Key=str(key))


@check(at="minio-openid")
def go_custom_token(place):
    go(place, "CustomToken", Token=CUSTOM_TOKEN, Role=WEBHOOK_ROLE, Duration=3600)


# MinIO's Python SDK

def python(place, name, make):
    pool = urllib3.PoolManager(ca_certs=str(place.world.authority.ca), retries=False)
    provider = make(sts_endpoint=place.endpoint, http_client=pool)
    given = provider.retrieve()
    place.world.secrets.update((given.secret_key, given.session_token))
    client = minio.Minio(urllib.parse.urlsplit(place.endpoint).netloc, credentials=provider, http_client=pool, region="us-east-1")
    body = f"from minio-py, {name}".encode()
    client.put_object(place.bucket, f"py-{name}/a é+", io.BytesIO(body), len(body))
    found = client.get_object(place.bucket, f"py-{name}/a é+").data
    assert found == body, f"other bytes came back: {found[:100]!r}"
    names = [item.object_name for item in client.list_objects(place.bucket, prefix=f"py-{name}/", recursive=True)]
    assert names == [f"py-{name}/a é+"], names


@check(at="minio-openid")
def py_assume_role(place):
    python(place, "AssumeRole", lambda **to: minio.credentials.AssumeRoleProvider(access_key=rig.USER_KEY, secret_key=rig.USER_SECRET, **to))


@check(at="minio-openid")
def py_web_identity(place):
    token = {"id_token": place.world.keycloak.token(user="alice", kind="id_token"), "expires_in": "1800"}
    python(place, "WebIdentity", lambda **to: minio.credentials.WebIdentityProvider(jwt_provider_func=lambda: token, **to))


@check(at="minio-openid")
def py_client_grants(place):
    token = {"access_token": place.world.keycloak.token("machine"), "expires_in": "1800"}
    python(place, "ClientGrants", lambda **to: minio.credentials.ClientGrantsProvider(jwt_provider_func=lambda: token, **to))


@check(at="minio-ldap")
def py_ldap_with_odd_names(place):
    # The longest way for a name: query, filter, DN of the bind, filter for the groups, policy by DN.
    for number, login in enumerate(login for login in directory.PERSONS if login not in ("bob", "nested")):
        python(place, f"LDAP-{number}", lambda **to: minio.credentials.LdapIdentityProvider(
            ldap_username=login, ldap_password=directory.PASSWORDS[login], **to))


@check(at="minio-openid")
def py_certificate(place):
    certificate, key = place.world.certificates["by common name"]

    def make(sts_endpoint, **_):
        pool = urllib3.PoolManager(ca_certs=str(place.world.authority.ca), cert_file=str(certificate), key_file=str(key), retries=False)
        return minio.credentials.CertificateIdentityProvider(sts_endpoint=sts_endpoint, http_client=pool)
    python(place, "Certificate", make)


# AWS's clients, by a file with a token

@check(at="minio-openid")
def aws_cli(place):
    environment = place.environment(**place.web_identity())
    aws = lambda *arguments: run(VENV / "aws", *arguments, environment=environment)
    (place.folder / "up").write_text("from aws-cli")
    aws("s3", "cp", "--only-show-errors", place.folder / "up", f"s3://{place.bucket}/cli/a é+")
    assert aws("s3", "cp", "--only-show-errors", f"s3://{place.bucket}/cli/a é+", "-") == "from aws-cli"
    assert "a é+" in aws("s3", "ls", f"s3://{place.bucket}/cli/")
    if place.has_roles:
        assert ":assumed-role/analyst/rig" in aws("sts", "get-caller-identity"), "another role"


def boto3_for(place, seconds, aws):
    done = json.loads(run(VENV / "python", HERE / "boto.py", seconds, environment=place.environment(**aws)))
    for _, secret, token, _ in done["seen"]:
        place.world.secrets.update((secret, token))
    return done


@check(at="minio-openid")
def boto3_by_environment(place):
    assert len(boto3_for(place, 0, place.web_identity())["seen"]) == 1


@check(at=None)
def boto3_refreshes_by_itself(place):
    """Sessions of a few seconds: botocore must fetch new ones, with the token that the file holds then, while requests go on."""
    fresh = lambda: place.world.keycloak.token("daypass-short", user="alice")
    aws, done = place.web_identity("short", fresh()), threading.Event()

    def renew():
        while not done.wait(2):
            # Whole at any time, as a kubelet does it.
            file = pathlib.Path(aws["AWS_WEB_IDENTITY_TOKEN_FILE"])
            file.with_suffix(".new").write_text(fresh())
            file.with_suffix(".new").replace(file)

    renewer = threading.Thread(target=renew)
    renewer.start()
    try:
        seen = boto3_for(place, 3 * SHORT, aws)
    finally:
        done.set()
        renewer.join()
    assert len(seen["seen"]) >= 3 and seen["rounds"] >= 5 and seen["seen"][-1][3] > SHORT, [(one[0], one[3]) for one in seen["seen"]]
    try:
        place.world.boto("s3", place.endpoint, seen["seen"][0][:3]).list_objects_v2(Bucket=place.bucket)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "ExpiredToken", error
    else:
        raise AssertionError("the first session has not ended")


@check(at=None)
def aws_cli_refreshes_by_itself(place):
    """One command that lasts longer than a session."""
    environment = place.environment(**place.web_identity("short"))
    large = place.folder / "large"
    large.write_bytes(b"x" * 24 * 1024 * 1024)
    for name, value in (("max_bandwidth", "2500KB/s"), ("max_concurrent_requests", "1"), ("multipart_threshold", "1MB"), ("multipart_chunksize", "5MB")):
        run(VENV / "aws", "configure", "set", f"default.s3.{name}", value, environment=environment)
    before, started = place.server.logins(), time.monotonic()
    run(VENV / "aws", "s3", "cp", "--only-show-errors", large, f"s3://{place.bucket}/cli/large", environment=environment)
    took = time.monotonic() - started
    (place.folder / ".aws/config").unlink()
    assert took > 2 * SHORT, f"it took {took:.1f} s only"
    assert place.server.logins() - before >= 3, f"{place.server.logins() - before} logins in {took:.1f} s"


@check(at="minio-openid")
def js(place):
    program = rig.CACHE / "js" / "login.mjs"
    shutil.copyfile(HERE / "js/login.mjs", program)
    for way in ("fromTokenFile", "fromWebToken", "environment"):
        keys = json.loads(run("node", program, way, environment=place.environment(**place.web_identity())))
        place.world.secrets.update(keys)


@check(at=None)
def rust(place):
    # MinIO's own STS is no reference here: the SDK refuses its empty AssumedRoleUser/Arn.
    assert "ok" in run(rig.ROOT / "target" / rig.PROFILE / "client-rust", environment=place.environment(**place.web_identity(), RUST_BACKTRACE=0))


@check(at="minio-openid")
def rclone(place):
    settings = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": place.endpoint, "ENV_AUTH": "true", "REGION": "us-east-1", "NO_CHECK_BUCKET": "true"}
    environment = place.environment(**place.web_identity(), **{f"RCLONE_CONFIG_X_{name}": value for name, value in settings.items()},
                                    RCLONE_CA_CERT=place.world.authority.ca) | {"AWS_CA_BUNDLE": ""}
    tool = lambda *arguments: run("rclone", "--retries", "1", "--low-level-retries", "1", *arguments, environment=environment)
    (place.folder / "rclone").mkdir()
    (place.folder / "rclone/a é+").write_text("from rclone")
    tool("copy", place.folder / "rclone", f"X:{place.bucket}/rclone")
    assert tool("cat", f"X:{place.bucket}/rclone/a é+") == "from rclone"
    assert tool("lsf", f"X:{place.bucket}/rclone").split("\n")[0] == "a é+"
