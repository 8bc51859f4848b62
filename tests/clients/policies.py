"""The same policies at MinIO itself and at Daypass before MinIO: who may do what must come out alike.

    python tests/clients/policies.py [--verbose]

Each policy is the session policy of an AssumeRole without a role by a user who may do everything, at both. Each operation is then tried with
both sessions. A difference must be one of those that docs/policy.md explains; another one fails.
"""

import argparse
import collections
import json
import pathlib
import re
import subprocess
import sys

import boto3
import botocore.config
import botocore.exceptions

import rig

BUCKETS = ("logs", "data", "home")
KEYS = ("a", "b", "red/x", "bob/x", "bobby/x", "secret/x")
MC = rig.ROOT / ".cache/bin/mc"
QUICK = botocore.config.Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}, signature_version="s3v4")
ACCOUNT = "arn:aws:s3:::"


def allow(action, resource, **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource} | more


def deny(action, resource, **more):
    return {"Effect": "Deny", "Action": action, "Resource": resource} | more


def when(operator, key, value):
    return {"Condition": {operator: {key: value}}}


ALL_S3 = allow("s3:*", f"{ACCOUNT}*")
LOGS, LOGS_OBJECTS = f"{ACCOUNT}logs", f"{ACCOUNT}logs/*"

# What a policy says is its name.
POLICIES = [
    [ALL_S3],
    [allow("s3:GetObject", LOGS_OBJECTS)],
    [allow(["s3:GetObject", "s3:ListBucket"], [LOGS, LOGS_OBJECTS])],
    [allow("s3:Get*", f"{ACCOUNT}*")],
    [allow("s3:List*", f"{ACCOUNT}*")],
    [allow("s3:Put*", f"{ACCOUNT}*")],
    [allow("s3:Delete*", f"{ACCOUNT}*")],
    [allow("s3:*", [LOGS, LOGS_OBJECTS])],
    [allow("s3:*", LOGS)],
    [allow("s3:*", LOGS_OBJECTS)],
    [allow("s3:*", f"{ACCOUNT}lo*")],
    [allow("s3:*", f"{ACCOUNT}????/*")],
    [allow("s3:*", f"{ACCOUNT}*/red/*")],
    [allow("s3:GetObject", f"{ACCOUNT}home/bob/*")],
    [allow("s3:GetObject", f"{ACCOUNT}home/bob*")],
    [allow("s3:GetObject", f"{ACCOUNT}home/b?b/*")],
    [allow("s3:ListAllMyBuckets", f"{ACCOUNT}*")],
    [allow("s3:ListBucket", LOGS)],
    [allow("s3:ListBucket", LOGS, **when("StringEquals", "s3:prefix", "red/"))],
    [allow("s3:ListBucket", LOGS, **when("StringLike", "s3:prefix", ["red/*", "blue/*"]))],
    [allow("s3:ListBucket", LOGS, **when("StringNotEquals", "s3:prefix", "red/"))],
    [allow("s3:ListBucket", LOGS, **when("StringNotLike", "s3:prefix", "red*"))],
    [allow("s3:ListBucket", LOGS, **when("StringEqualsIgnoreCase", "s3:prefix", "RED/"))],
    [allow("s3:ListBucket", LOGS, **when("NumericLessThanEquals", "s3:max-keys", "10"))],
    [allow("s3:ListBucket", LOGS, **when("NumericEquals", "s3:max-keys", "10"))],
    [allow("s3:ListBucket", LOGS, **when("StringEquals", "s3:delimiter", "/"))],
    [ALL_S3, deny("s3:DeleteObject", f"{ACCOUNT}*")],
    [ALL_S3, deny("s3:Delete*", f"{ACCOUNT}*")],
    [ALL_S3, deny("s3:*", f"{ACCOUNT}*/secret/*")],
    [deny("s3:*", f"{ACCOUNT}*/secret/*"), ALL_S3],
    [ALL_S3, deny("s3:PutObject", LOGS_OBJECTS)],
    [ALL_S3, deny("s3:ListBucket", LOGS)],
    [ALL_S3, deny("s3:ListBucket", LOGS, **when("StringNotLike", "s3:prefix", "red*"))],
    [ALL_S3, deny("s3:PutObjectTagging", f"{ACCOUNT}*")],
    [ALL_S3, deny("s3:GetObjectVersion", f"{ACCOUNT}*")],
    [ALL_S3, deny("s3:DeleteObjectVersion", f"{ACCOUNT}*")],
    [ALL_S3, deny("s3:GetObject", f"{ACCOUNT}data/*")],
    [ALL_S3, deny("s3:AbortMultipartUpload", f"{ACCOUNT}*")],
    [ALL_S3, deny("s3:GetBucketLocation", f"{ACCOUNT}*")],
    [{"Effect": "Allow", "NotAction": "s3:Delete*", "Resource": f"{ACCOUNT}*"}],
    [{"Effect": "Allow", "NotAction": ["s3:PutObject", "s3:GetObject"], "Resource": f"{ACCOUNT}*"}],
    [{"Effect": "Allow", "Action": "s3:*", "NotResource": LOGS_OBJECTS}],
    [ALL_S3, {"Effect": "Deny", "Action": "s3:*", "NotResource": [LOGS, LOGS_OBJECTS]}],
    [ALL_S3, {"Effect": "Deny", "NotAction": ["s3:GetObject", "s3:ListBucket"], "Resource": f"{ACCOUNT}*"}],
    [allow("s3:*", f"{ACCOUNT}*", **when("IpAddress", "aws:SourceIp", "127.0.0.0/8"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("IpAddress", "aws:SourceIp", "10.0.0.0/8"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("NotIpAddress", "aws:SourceIp", "10.0.0.0/8"))],
    [ALL_S3, deny("s3:*", f"{ACCOUNT}*", **when("NotIpAddress", "aws:SourceIp", "127.0.0.0/8"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("Bool", "aws:SecureTransport", "false"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("Bool", "aws:SecureTransport", "true"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("DateGreaterThan", "aws:CurrentTime", "2020-01-01T00:00:00Z"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("DateLessThan", "aws:CurrentTime", "2020-01-01T00:00:00Z"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("StringLike", "aws:UserAgent", "*Boto3*"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("StringLike", "aws:UserAgent", "curl*"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("StringNotLike", "aws:UserAgent", "curl*"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("StringEquals", "aws:username", "rig"))],
    [allow("s3:*", f"{ACCOUNT}*", **when("StringEquals", "aws:username", "somebody"))],
    [allow("s3:GetObject", f"{ACCOUNT}*", **when("StringEquals", "s3:authType", "REST-HEADER"))],
    [allow("s3:GetObject", f"{ACCOUNT}*", **when("StringEquals", "s3:signatureversion", "AWS4-HMAC-SHA256"))],
    [allow("s3:PutObject", f"{ACCOUNT}*", **when("Null", "s3:x-amz-server-side-encryption", "true"))],
    [allow("s3:PutObject", f"{ACCOUNT}*", **when("StringEquals", "s3:x-amz-server-side-encryption", "AES256"))],
    [allow(["s3:PutObject", "s3:PutObjectTagging"], f"{ACCOUNT}*", **when("StringEquals", "s3:RequestObjectTag/team", "red"))],
    [allow(["s3:PutObject", "s3:PutObjectTagging"], f"{ACCOUNT}*", **when("ForAllValues:StringEquals", "s3:RequestObjectTagKeys", ["team"]))],
    [allow(["s3:PutObject", "s3:GetObject"], f"{ACCOUNT}*", **when("StringLike", "s3:x-amz-copy-source", "data/*")), allow("s3:GetObject", f"{ACCOUNT}data/*")],
    [allow("s3:PutObject", f"{ACCOUNT}*")],
    [allow(["s3:PutObject", "s3:GetObject"], LOGS_OBJECTS)],
    [allow(["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"], LOGS_OBJECTS)],
    [allow(["s3:GetObjectVersion"], f"{ACCOUNT}*")],
    [allow(["s3:ListBucketVersions"], f"{ACCOUNT}*")],
    [allow(["s3:DeleteObject"], LOGS_OBJECTS)],
    [allow(["s3:DeleteObjectVersion"], f"{ACCOUNT}*")],
    [allow(["s3:GetObjectTagging", "s3:PutObjectTagging"], f"{ACCOUNT}*")],
    [allow("s3:*", f"{ACCOUNT}home/${{aws:username}}/*")],
    [allow("*", f"{ACCOUNT}logs/*")],
]


class Place:
    """MinIO itself, or Daypass before it, and a session there."""

    def __init__(self, endpoint, keys):
        self.endpoint, self.keys = endpoint, keys

    def client(self, service, keys):
        access, secret, token = keys
        return boto3.client(service, endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=access,
                            aws_secret_access_key=secret, aws_session_token=token, config=QUICK if service == "s3" else None)

    def session(self, policy):
        """An S3 client narrowed by the policy; None: it is refused here."""
        try:
            given = self.client("sts", (*self.keys, None)).assume_role(
                RoleArn="arn:xxx:xxx:xxx:xxxx", RoleSessionName="rig", DurationSeconds=3600, Policy=policy)
        except botocore.exceptions.ClientError:
            return None
        keys = given["Credentials"]
        return self.client("s3", (keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"]))


def outcome(work):
    """What came of it, as far as rights are concerned."""
    try:
        return work() or "allowed"
    except botocore.exceptions.ClientError as error:
        code, status = error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
        return "denied" if code == "AccessDenied" or status == 403 else "allowed"


def operations(versions):
    def multi_delete(s3):
        answer = s3.delete_objects(Bucket="logs", Delete={"Objects": [{"Key": "no/" + key} for key in ("a", "b")] + [{"Key": "secret/none"}]})
        return ",".join(sorted(one["Key"] for one in answer.get("Deleted", []))) or "denied"

    def multipart(s3):
        upload = s3.create_multipart_upload(Bucket="logs", Key="parts")["UploadId"]
        s3.upload_part(Bucket="logs", Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
        s3.abort_multipart_upload(Bucket="logs", Key="parts", UploadId=upload)

    return {
        "ListBuckets": lambda s3: ",".join(one["Name"] for one in s3.list_buckets()["Buckets"] if one["Name"] in BUCKETS) or "none",
        "HeadBucket": lambda s3: s3.head_bucket(Bucket="logs") and None,
        "GetBucketLocation": lambda s3: s3.get_bucket_location(Bucket="logs") and None,
        "GetBucketVersioning": lambda s3: s3.get_bucket_versioning(Bucket="data") and None,
        "GetBucketPolicy": lambda s3: s3.get_bucket_policy(Bucket="logs") and None,
        "GetBucketTagging": lambda s3: s3.get_bucket_tagging(Bucket="logs") and None,
        "ListObjectsV2": lambda s3: s3.list_objects_v2(Bucket="logs") and None,
        "ListObjectsV2 red/": lambda s3: s3.list_objects_v2(Bucket="logs", Prefix="red/", MaxKeys=10) and None,
        "ListObjectsV2 Red/": lambda s3: s3.list_objects_v2(Bucket="logs", Prefix="Red/", Delimiter="/") and None,
        "ListObjects": lambda s3: s3.list_objects(Bucket="logs", Prefix="blue/", MaxKeys=11) and None,
        "ListObjectVersions": lambda s3: s3.list_object_versions(Bucket="data") and None,
        "ListMultipartUploads": lambda s3: s3.list_multipart_uploads(Bucket="logs") and None,
        "GetObject": lambda s3: s3.get_object(Bucket="logs", Key="a") and None,
        "GetObject red/x": lambda s3: s3.get_object(Bucket="logs", Key="red/x") and None,
        "GetObject secret/x": lambda s3: s3.get_object(Bucket="logs", Key="secret/x") and None,
        "GetObject home/bob/x": lambda s3: s3.get_object(Bucket="home", Key="bob/x") and None,
        "GetObject home/bobby/x": lambda s3: s3.get_object(Bucket="home", Key="bobby/x") and None,
        "GetObject version": lambda s3: s3.get_object(Bucket="data", Key="a", VersionId=versions["a"]) and None,
        "HeadObject": lambda s3: s3.head_object(Bucket="logs", Key="a") and None,
        "PutObject": lambda s3: s3.put_object(Bucket="logs", Key="new", Body=b"x") and None,
        "PutObject tagged": lambda s3: s3.put_object(Bucket="logs", Key="new", Body=b"x", Tagging="team=red") and None,
        "PutObject tagged otherwise": lambda s3: s3.put_object(Bucket="logs", Key="new", Body=b"x", Tagging="team=blue&x=y") and None,
        "PutObjectTagging": lambda s3: s3.put_object_tagging(Bucket="logs", Key="b", Tagging={"TagSet": [{"Key": "team", "Value": "red"}]}) and None,
        "GetObjectTagging": lambda s3: s3.get_object_tagging(Bucket="logs", Key="b") and None,
        "CopyObject": lambda s3: s3.copy_object(Bucket="logs", Key="copy", CopySource="data/a") and None,
        "CopyObject secret/x": lambda s3: s3.copy_object(Bucket="logs", Key="copy", CopySource="logs/secret/x") and None,
        "Multipart": multipart,
        "DeleteObject": lambda s3: s3.delete_object(Bucket="logs", Key="nothing") and None,
        "DeleteObject version": lambda s3: s3.delete_object(Bucket="data", Key="gone", VersionId=versions["b"]) and None,
        "DeleteObjects": multi_delete,
    }


def text_of(policy):
    return json.dumps({"Version": "2012-10-17", "Statement": policy}, separators=(",", ":"))


def explained(name, policy, minio, ours):
    """The line of docs/policy.md that a difference belongs to; None: there is none."""
    text = text_of(policy)
    wider = minio != "denied" and ours == "denied"
    narrower = minio == "denied" and ours != "denied"
    denies = '"Deny"' in text or "NotResource" in text
    on_buckets = name in ("HeadBucket", "ListBuckets") or name.startswith(("GetBucket", "List"))
    if name == "ListBuckets":
        return "ListBuckets shows the buckets with any right in them"
    if on_buckets and (wider or denies) and re.search(r'arn:aws:s3:::[^"]*/', text):
        return "MinIO lets BUCKET/* stand for the bucket"
    if name == "ListObjectVersions" and (wider or denies) and "s3:List" in text:
        return "MinIO lets s3:ListBucket list versions"
    if name == "HeadBucket" and wider and re.search(r"s3:(Get|\*)", text):
        return "MinIO lets s3:GetBucketLocation head a bucket"
    if name.startswith("PutObject tagged") and wider:
        return "MinIO does not ask for s3:PutObjectTagging when an upload brings tags"
    of_versions = re.search(r"s3:(Get|Delete)Object(Version)?\"", text)
    if ("version" in name and (wider or of_versions)) or ("s3:GetObjectVersion" in text and name.startswith(("Get", "Head", "Copy"))):
        return "MinIO lets an action and its version's stand for each other"
    if '"Action":"*"' in text and (wider or narrower and denies):
        return "MinIO does not look at the resources of a statement with the action *"
    return None


def prepare(storage):
    root = boto3.client("s3", endpoint_url=storage.endpoint, region_name="us-east-1", aws_access_key_id=rig.ROOT_KEY,
                        aws_secret_access_key=rig.ROOT_SECRET, config=QUICK)
    for bucket in BUCKETS:
        root.create_bucket(Bucket=bucket)
        for key in KEYS:
            root.put_object(Bucket=bucket, Key=key, Body=b"x")
    root.put_bucket_versioning(Bucket="data", VersioningConfiguration={"Status": "Enabled"})
    versions = {key: root.put_object(Bucket="data", Key=key, Body=b"y")["VersionId"] for key in ("a", "b")}
    environment = rig.clean_environment(MC_HOST_here=storage.endpoint.replace("://", f"://{rig.ROOT_KEY}:{rig.ROOT_SECRET}@"))
    for arguments in (["user", "add", "here", "rig", rig.USER_SECRET], ["policy", "attach", "here", "readwrite", "--user", "rig"]):
        subprocess.run([MC, "admin", *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
    return versions


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verbose", action="store_true")
    verbose = parser.parse_args().verbose
    reasons, alike, refused, failures, allowed = collections.Counter(), 0, 0, [], 0
    with rig.folder() as name:
        folder = pathlib.Path(name)
        with rig.Backend("minio", folder) as storage:
            versions = prepare(storage)
            with rig.Gateway(storage, folder, sts="ignore_unknown_role_arn = true") as gateway:
                minio, daypass = Place(storage.endpoint, ("rig", rig.USER_SECRET)), Place(gateway.endpoint, (rig.USER_KEY, rig.USER_SECRET))
                for policy in POLICIES:
                    sessions = [place.session(text_of(policy)) for place in (minio, daypass)]
                    if None in sessions:
                        refused += 1
                        print(f"  refused by {'MinIO' if sessions[0] is None else 'Daypass'}: {text_of(policy)}")
                        if sessions[1] is None:
                            failures.append(f"Daypass refuses {text_of(policy)}")
                        continue
                    for operation, work in operations(versions).items():
                        theirs, ours = (outcome(lambda session=session: work(session)) for session in sessions)
                        allowed += ours != "denied"
                        if theirs == ours:
                            alike += 1
                            continue
                        reason = explained(operation, policy, theirs, ours)
                        reasons[reason or "UNEXPLAINED"] += 1
                        line = f"{operation}: MinIO {theirs}, Daypass {ours}: {text_of(policy)}"
                        if not reason:
                            failures.append(line)
                        if verbose:
                            print("  " + line)
    print(f"{len(POLICIES)} policies, {refused} of them not taken by both; {alike} outcomes alike, {sum(reasons.values())} not; {allowed} allowed here")
    for reason, count in reasons.most_common():
        print(f"  {count:5} {reason}")
    for line in failures:
        print("  " + line)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
