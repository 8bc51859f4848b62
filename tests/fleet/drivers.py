"""Real clients behind one set of calls. None of them tries again: what fails is seen."""

import http.client
import io
import json
import subprocess
import threading
import time
import urllib.parse

import boto3
import botocore.config
import botocore.exceptions
import minio
import urllib3
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fleet import BUCKET, ROLE, rig

MIB = 1024 * 1024
# Longer than anything that is promised to be answered.
PATIENCE = 90
# A session of boto3 reads its models once; it may not be shared.
OF_THREAD = threading.local()


class Answered(Exception):
    """An error that was answered."""

    def __init__(self, status, code, message=""):
        super().__init__(f"{status} {code} {message[:200]}")
        self.status, self.code = status, code


class NoAnswer(Exception):
    """The connection ended, or never was."""


class Driver:
    """`mark` gives each HTTP request its User-Agent when it is sent."""

    def __init__(self, endpoint, keys, mark, folder):
        self.endpoint, self.keys, self.mark, self.folder = endpoint, keys, mark, folder

    def close(self):
        """Ends its connections."""


class Boto(Driver):
    def __init__(self, *given):
        super().__init__(*given)
        self.s3 = boto_client("s3", self.endpoint, self.keys, self.mark)

    def close(self):
        self.s3.close()

    def call(self, name, **more):
        return boto_call(getattr(self.s3, name), **more)

    def put(self, key, body):
        self.call("put_object", Bucket=BUCKET, Key=key, Body=body)

    def get(self, key):
        return absent_is_none(lambda: boto_call(lambda: self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()))

    def head(self, key):
        return absent_is_none(lambda: self.call("head_object", Bucket=BUCKET, Key=key)["ContentLength"])

    def delete(self, key):
        self.call("delete_object", Bucket=BUCKET, Key=key)

    def delete_many(self, keys):
        """The keys that were not deleted."""
        answer = self.call("delete_objects", Bucket=BUCKET, Delete={"Objects": [{"Key": key} for key in keys]})
        return [error["Key"] for error in answer.get("Errors", [])]

    def copy(self, source, key):
        self.call("copy_object", Bucket=BUCKET, Key=key, CopySource={"Bucket": BUCKET, "Key": source})

    def page(self, prefix, token=None):
        """({key: size}, token of the next page)."""
        more = {"ContinuationToken": token} if token else {}
        answer = self.call("list_objects_v2", Bucket=BUCKET, Prefix=prefix, MaxKeys=100, **more)
        return {item["Key"]: item["Size"] for item in answer.get("Contents", [])}, answer.get("NextContinuationToken")

    def create(self, key):
        return self.call("create_multipart_upload", Bucket=BUCKET, Key=key)["UploadId"]

    def part(self, key, upload, number, body):
        return self.call("upload_part", Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=body)["ETag"]

    def complete(self, key, upload, tags):
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        self.call("complete_multipart_upload", Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


class Presigned(Driver):
    """URLs that boto3 signs and plain HTTP fetches."""

    def __init__(self, *given):
        super().__init__(*given)
        self.s3 = boto_client("s3", self.endpoint, self.keys, self.mark)

    def close(self):
        self.s3.close()

    def url(self, method, key):
        return self.s3.generate_presigned_url(method, Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=300)

    def put(self, key, body):
        plain("PUT", self.url("put_object", key), self.mark(), [body], len(body))

    def put_slowly(self, key, body, seconds):
        """In ten pieces over so many seconds."""
        size = max(1, len(body) // 10)

        def pieces():
            for start in range(0, len(body), size):
                yield body[start:start + size]
                time.sleep(seconds / 10)
        plain("PUT", self.url("put_object", key), self.mark(), pieces(), len(body))

    def get(self, key):
        return absent_is_none(lambda: plain("GET", self.url("get_object", key), self.mark()))

    def head(self, key):
        return absent_is_none(lambda: plain("HEAD", self.url("head_object", key), self.mark()))

    def delete(self, key):
        plain("DELETE", self.url("delete_object", key), self.mark())


class MinioPy(Driver):
    def __init__(self, *given):
        super().__init__(*given)
        mark = self.mark

        class Pool(urllib3.PoolManager):
            def urlopen(self, method, url, redirect=True, **more):
                more["headers"]["User-Agent"] = mark()
                return super().urlopen(method, url, redirect=False, retries=False, timeout=PATIENCE, **more)

        address = urllib.parse.urlsplit(self.endpoint).netloc
        self.client = minio.Minio(address, *self.keys, secure=False, region="us-east-1", http_client=Pool())

    def close(self):
        self.client._http.clear()

    def call(self, function):
        try:
            return function()
        except minio.error.S3Error as error:
            raise Answered(error.response.status, error.code, error.message or "") from error
        except (minio.error.ServerError, minio.error.InvalidResponseError) as error:
            raise Answered(getattr(error, "status_code", None) or getattr(error, "_code", 502), "not XML", str(error)) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NoAnswer(repr(error)[:300]) from error

    def put(self, key, body):
        self.call(lambda: self.client.put_object(BUCKET, key, io.BytesIO(body), len(body), part_size=5 * MIB))

    def get(self, key):
        def whole():
            answer = self.client.get_object(BUCKET, key)
            try:
                return answer.read()
            finally:
                answer.close()
                answer.release_conn()
        return absent_is_none(lambda: self.call(whole))

    def head(self, key):
        return absent_is_none(lambda: self.call(lambda: self.client.stat_object(BUCKET, key).size))

    def delete(self, key):
        self.call(lambda: self.client.remove_object(BUCKET, key))


class AwsCli(Driver):
    """A process for each call, as scripts do it."""

    def aws(self, *command):
        key, secret, token = self.keys
        environment = rig.clean_environment(AWS_ACCESS_KEY_ID=key, AWS_SECRET_ACCESS_KEY=secret, AWS_SESSION_TOKEN=token, AWS_MAX_ATTEMPTS=1,
                                            AWS_DEFAULT_REGION="us-east-1", HOME=self.folder, AWS_EC2_METADATA_DISABLED="true",
                                            AWS_SDK_UA_APP_ID=self.mark().replace("/", "-"))
        aws = rig.CACHE / "venv/bin/aws"
        done = subprocess.run([aws, "--endpoint-url", self.endpoint, "s3api", *command], env=environment, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode == 0:
            return json.loads(done.stdout) if done.stdout.strip() else {}
        said = done.stderr.strip()
        if "An error occurred (" in said:
            code = said.split("An error occurred (")[1].split(")")[0]
            raise Answered(int(code) if code.isdigit() else {"AccessDenied": 403, "NoSuchKey": 404}.get(code, 500), code, said)
        raise NoAnswer(said[-300:])

    def put(self, key, body):
        file = self.folder / "given"
        file.write_bytes(body)
        self.aws("put-object", "--bucket", BUCKET, "--key", key, "--body", str(file))

    def get(self, key):
        file = self.folder / "taken"

        def whole():
            self.aws("get-object", "--bucket", BUCKET, "--key", key, str(file))
            return file.read_bytes()
        return absent_is_none(whole)

    def head(self, key):
        return absent_is_none(lambda: self.aws("head-object", "--bucket", BUCKET, "--key", key)["ContentLength"])

    def delete(self, key):
        self.aws("delete-object", "--bucket", BUCKET, "--key", key)


def absent_is_none(call):
    try:
        return call()
    except Answered as error:
        if error.status == 404:
            return None
        raise


def boto_client(service, endpoint, keys, mark):
    # Without s3v4 boto3 signs URLs the old way.
    version = "s3v4" if service == "s3" else "v4"
    config = botocore.config.Config(signature_version=version, s3={"addressing_style": "path"}, retries={"total_max_attempts": 1},
                                    connect_timeout=5, read_timeout=PATIENCE, parameter_validation=False)
    if not hasattr(OF_THREAD, "session"):
        OF_THREAD.session = boto3.session.Session()
    client = OF_THREAD.session.client(service, endpoint_url=endpoint, region_name="us-east-1", config=config, aws_access_key_id=keys[0],
                                            aws_secret_access_key=keys[1], aws_session_token=keys[2])

    def marked(request, **_):
        request.headers["User-Agent"] = mark()
    client.meta.events.register(f"before-send.{service}", marked)
    return client


def boto_call(function, **more):
    try:
        return function(**more)
    except botocore.exceptions.ClientError as error:
        raise Answered(error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"], error.response["Error"].get("Message", "")) from error
    except (botocore.exceptions.BotoCoreError, urllib3.exceptions.HTTPError, OSError) as error:
        raise NoAnswer(repr(error)[:300]) from error


def login(endpoint, mark, seconds=3600, name="fleet"):
    """Temporary keys of the role, from AssumeRole."""
    sts = boto_client("sts", endpoint, (rig.USER_KEY, rig.USER_SECRET, None), mark)
    keys = boto_call(sts.assume_role, RoleArn=ROLE, RoleSessionName=name, DurationSeconds=seconds)["Credentials"]
    return keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]


def presigned_get(endpoint, keys, key, seconds=300):
    request = AWSRequest("GET", f"{endpoint}/{BUCKET}/{key}")
    S3SigV4QueryAuth(Credentials(*keys), "s3", "us-east-1", seconds).add_auth(request)
    return request.url


def plain(method, url, agent, pieces=None, length=None, more=None):
    """The body of the answer to a request on a connection of its own; its length for HEAD."""
    parts = urllib.parse.urlsplit(url)
    headers = {"User-Agent": agent, "Connection": "close"} | ({"Content-Length": str(length)} if length is not None else {}) | (more or {})
    connection = http.client.HTTPConnection(parts.netloc, timeout=PATIENCE)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", pieces, headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswer(repr(error)[:300]) from error
    finally:
        connection.close()
    if answer.status // 100 != 2:
        code = body.split(b"<Code>")[1].split(b"<")[0].decode() if b"<Code>" in body else "none"
        raise Answered(answer.status, code, body[:300].decode(errors="replace"))
    return int(answer.headers["Content-Length"]) if method == "HEAD" else body
