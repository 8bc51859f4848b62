"""What clients do, as checks that run alike against a storage and through the gateway before it."""

import filecmp
import hashlib
import io
import json
import os
import pathlib
import subprocess
import urllib.request

import boto3
import botocore.config
import botocore.exceptions
import minio
import minio.commonconfig
import minio.credentials
import urllib3

import rig

MIB = 1024 * 1024


class Place:
    """Where the checks run and with which keys."""

    def __init__(self, name, endpoint, bucket, keys, folder, certificates=None, gateway=None):
        self.name, self.endpoint, self.bucket, self.keys, self.folder = name, endpoint, bucket, keys, folder
        self.certificates, self.gateway = certificates, gateway

    def boto(self, **more):
        config = botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, **more)
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", config=config,
                            verify=str(self.certificates.ca) if self.certificates else None,
                            aws_access_key_id=self.keys[0], aws_secret_access_key=self.keys[1], aws_session_token=self.keys[2])

    def environment(self):
        key, secret, token = self.keys
        more = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret, "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
                "ENDPOINT": self.endpoint, "BUCKET": self.bucket, "HOME": self.folder, "AWS_EC2_METADATA_DISABLED": "true"}
        if token:
            more["AWS_SESSION_TOKEN"] = token
        if self.certificates:
            ca = self.certificates.ca
            more |= {"AWS_CA_BUNDLE": ca, "SSL_CERT_FILE": ca, "NODE_EXTRA_CA_CERTS": ca, "REQUESTS_CA_BUNDLE": ca, "CURL_CA_BUNDLE": ca}
        return rig.clean_environment(**more)

    def run(self, *command, **more):
        done = subprocess.run([str(part) for part in command], env=self.environment() | more.pop("env", {}), capture_output=True,
                              cwd=self.folder, timeout=600, **more)
        if done.returncode != 0:
            raise AssertionError(f"{command[0]} {command[1] if len(command) > 1 else ''}: exit code {done.returncode}\n"
                                 f"{done.stdout.decode(errors='replace')[-1500:]}{done.stderr.decode(errors='replace')[-1500:]}")
        return done.stdout.decode(errors="replace")


CHECKS = {}


def check(function):
    CHECKS[function.__name__] = function
    return function


def same(found, wanted, what="value"):
    if found != wanted:
        raise AssertionError(f"{what}: {str(found)[:300]!r}, not {str(wanted)[:300]!r}")


def refused(call, *codes):
    try:
        call()
    except botocore.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        assert code in codes, f"{code}, not one of {codes}"
        return
    raise AssertionError(f"was not refused with {codes}")


# boto3

def put_and_get(place, key, body, **more):
    s3 = place.boto()
    s3.put_object(Bucket=place.bucket, Key=key, Body=body, **more)
    reply = s3.get_object(Bucket=place.bucket, Key=key)
    same(reply["Body"].read(), body, key)
    return reply


@check
def boto3_put_get_head_delete(place):
    s3 = place.boto()
    reply = put_and_get(place, "boto/plain", b"hello", ContentType="text/x", Metadata={"who": "boto"}, CacheControl="no-cache")
    same((reply["ContentType"], reply["Metadata"], reply["CacheControl"]), ("text/x", {"who": "boto"}, "no-cache"))
    same(s3.head_object(Bucket=place.bucket, Key="boto/plain")["ContentLength"], 5)
    put_and_get(place, "boto/empty", b"")
    s3.delete_object(Bucket=place.bucket, Key="boto/plain")
    refused(lambda: s3.get_object(Bucket=place.bucket, Key="boto/plain"), "NoSuchKey")
    refused(lambda: s3.head_object(Bucket=place.bucket, Key="boto/plain"), "404")


@check
def boto3_odd_keys(place):
    for key in ("a b", "a+b", "é", "e\u0301", "a%20b", "a&b=c?d#e", "~!*'()", "日本/語", "trailing dot.", "a:b@c,d;e", "\U0001f600"):
        put_and_get(place, f"boto/odd/{key}", key.encode())


@check
def boto3_range_and_conditions(place):
    s3 = place.boto()
    etag = put_and_get(place, "boto/range", b"0123456789")["ETag"]
    same(s3.get_object(Bucket=place.bucket, Key="boto/range", Range="bytes=2-4")["Body"].read(), b"234")
    same(s3.get_object(Bucket=place.bucket, Key="boto/range", IfMatch=etag)["Body"].read(), b"0123456789")
    refused(lambda: s3.get_object(Bucket=place.bucket, Key="boto/range", IfMatch='"0"'), "PreconditionFailed")


@check
def boto3_not_modified(place):
    etag = put_and_get(place, "boto/etag", b"x")["ETag"]
    refused(lambda: place.boto().get_object(Bucket=place.bucket, Key="boto/etag", IfNoneMatch=etag), "304", "NotModified")


@check
def boto3_checksums(place):
    for algorithm in ("CRC32", "SHA1", "SHA256"):
        put_and_get(place, f"boto/sum/{algorithm}", b"checked", ChecksumAlgorithm=algorithm)


@check
def boto3_upload_and_download_a_large_file(place):
    large = os.urandom(20 * MIB)
    s3 = place.boto()
    s3.upload_fileobj(io.BytesIO(large), place.bucket, "boto/large")
    back = io.BytesIO()
    s3.download_fileobj(place.bucket, "boto/large", back)
    same(hashlib.sha256(back.getvalue()).hexdigest(), hashlib.sha256(large).hexdigest(), "boto/large")


@check
def boto3_multipart_by_hand(place):
    s3 = place.boto()
    upload = s3.create_multipart_upload(Bucket=place.bucket, Key="boto/parts", ContentType="text/x")["UploadId"]
    parts = [s3.upload_part(Bucket=place.bucket, Key="boto/parts", UploadId=upload, PartNumber=n, Body=bytes([n]) * 5 * MIB) for n in (1, 2)]
    same(len(s3.list_parts(Bucket=place.bucket, Key="boto/parts", UploadId=upload)["Parts"]), 2, "parts")
    s3.complete_multipart_upload(Bucket=place.bucket, Key="boto/parts", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": n, "ETag": part["ETag"]} for n, part in enumerate(parts, 1)]})
    same(s3.head_object(Bucket=place.bucket, Key="boto/parts")["ContentLength"], 10 * MIB)
    abandoned = s3.create_multipart_upload(Bucket=place.bucket, Key="boto/abandoned")["UploadId"]
    s3.abort_multipart_upload(Bucket=place.bucket, Key="boto/abandoned", UploadId=abandoned)
    refused(lambda: s3.list_parts(Bucket=place.bucket, Key="boto/abandoned", UploadId=abandoned), "NoSuchUpload")


@check
def boto3_part_copy(place):
    s3 = place.boto()
    put_and_get(place, "boto/source", b"s" * 5 * MIB)
    upload = s3.create_multipart_upload(Bucket=place.bucket, Key="boto/from-copy")["UploadId"]
    part = s3.upload_part_copy(Bucket=place.bucket, Key="boto/from-copy", UploadId=upload, PartNumber=1,
                               CopySource={"Bucket": place.bucket, "Key": "boto/source"})
    s3.complete_multipart_upload(Bucket=place.bucket, Key="boto/from-copy", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["CopyPartResult"]["ETag"]}]})
    same(s3.head_object(Bucket=place.bucket, Key="boto/from-copy")["ContentLength"], 5 * MIB)


@check
def boto3_copy(place):
    s3 = place.boto()
    put_and_get(place, "boto/source é+", b"copied", Metadata={"a": "1"})
    s3.copy_object(Bucket=place.bucket, Key="boto/copy", CopySource={"Bucket": place.bucket, "Key": "boto/source é+"})
    same(s3.get_object(Bucket=place.bucket, Key="boto/copy")["Body"].read(), b"copied")
    s3.copy_object(Bucket=place.bucket, Key="boto/copy2", CopySource={"Bucket": place.bucket, "Key": "boto/copy"},
                   MetadataDirective="REPLACE", Metadata={"b": "2"})
    same(s3.head_object(Bucket=place.bucket, Key="boto/copy2")["Metadata"], {"b": "2"})


@check
def boto3_multi_delete(place):
    s3 = place.boto()
    keys = [f"boto/gone/{n} & <é>" for n in range(20)]
    for key in keys:
        s3.put_object(Bucket=place.bucket, Key=key, Body=b"x")
    reply = s3.delete_objects(Bucket=place.bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    same(len(reply.get("Deleted", [])), 20, "deleted")
    same(s3.list_objects_v2(Bucket=place.bucket, Prefix="boto/gone/")["KeyCount"], 0, "left")


@check
def boto3_object_tagging(place):
    s3 = place.boto()
    put_and_get(place, "boto/tagged", b"x", Tagging="a=1")
    same(s3.get_object_tagging(Bucket=place.bucket, Key="boto/tagged")["TagSet"], [{"Key": "a", "Value": "1"}])
    s3.put_object_tagging(Bucket=place.bucket, Key="boto/tagged", Tagging={"TagSet": [{"Key": "b", "Value": "2"}]})
    same(s3.get_object_tagging(Bucket=place.bucket, Key="boto/tagged")["TagSet"], [{"Key": "b", "Value": "2"}])
    s3.delete_object_tagging(Bucket=place.bucket, Key="boto/tagged")


@check
def boto3_list(place):
    s3 = place.boto()
    for n in range(7):
        s3.put_object(Bucket=place.bucket, Key=f"boto/list/{n % 2}/{n}", Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix="boto/list/", PaginationConfig={"PageSize": 3})
    same(len([item for page in pages for item in page["Contents"]]), 7, "keys")
    grouped = s3.list_objects_v2(Bucket=place.bucket, Prefix="boto/list/", Delimiter="/")
    same([group["Prefix"] for group in grouped["CommonPrefixes"]], ["boto/list/0/", "boto/list/1/"])
    same(len(s3.list_objects(Bucket=place.bucket, Prefix="boto/list/", MaxKeys=4)["Contents"]), 4, "first page")
    assert place.bucket in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    s3.head_bucket(Bucket=place.bucket)


@check
def boto3_buckets(place):
    s3 = place.boto()
    bucket = f"{place.bucket}-made"
    s3.create_bucket(Bucket=bucket)
    s3.get_bucket_location(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    refused(lambda: s3.head_bucket(Bucket=bucket), "404", "NoSuchBucket")


@check
def boto3_versions(place):
    s3 = place.boto()
    bucket = f"{place.bucket}-versions"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=bucket, Key="k", Body=b"1")["VersionId"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"2")
    same(s3.get_object(Bucket=bucket, Key="k", VersionId=first)["Body"].read(), b"1")
    same(len(s3.list_object_versions(Bucket=bucket)["Versions"]), 2, "versions")


@check
def boto3_bucket_policy_and_tags(place):
    s3 = place.boto()
    bucket = f"{place.bucket}-configured"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": [{"Key": "a", "Value": "1"}]})
    same(s3.get_bucket_tagging(Bucket=bucket)["TagSet"], [{"Key": "a", "Value": "1"}])
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Principal": {"AWS": ["*"]}, "Action": ["s3:DeleteBucket"], "Resource": [f"arn:aws:s3:::{bucket}"]}]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    assert "DeleteBucket" in s3.get_bucket_policy(Bucket=bucket)["Policy"]
    s3.delete_bucket_policy(Bucket=bucket)


def fetch(place, url, method="GET", body=None, headers=None):
    pool = urllib3.PoolManager(ca_certs=str(place.certificates.ca)) if place.certificates else urllib3.PoolManager()
    return pool.request(method, url, body=body, headers=headers or {})


@check
def boto3_presigned_get_and_put(place):
    s3 = place.boto(signature_version="s3v4")
    put = s3.generate_presigned_url("put_object", {"Bucket": place.bucket, "Key": "boto/signed é"}, ExpiresIn=60)
    same(fetch(place, put, "PUT", b"by link").status, 200, "put")
    get = s3.generate_presigned_url("get_object", {"Bucket": place.bucket, "Key": "boto/signed é", "ResponseContentType": "text/odd"}, ExpiresIn=60)
    reply = fetch(place, get)
    same((reply.status, reply.data, reply.headers["content-type"]), (200, b"by link", "text/odd"))
    same(fetch(place, get.replace("signed", "stolen")).status, 403, "bent")


@check
def boto3_post_form(place):
    s3 = place.boto(signature_version="s3v4")
    form = s3.generate_presigned_post(place.bucket, "boto/form/${filename}", Fields={"Content-Type": "text/x"}, Conditions=[
        ["starts-with", "$key", "boto/form/"], {"Content-Type": "text/x"}, ["content-length-range", 1, 100]], ExpiresIn=60)
    body, content_type = urllib3.encode_multipart_formdata(list(form["fields"].items()) + [("file", ("up.txt", b"by form", "text/plain"))])
    reply = fetch(place, form["url"], "POST", body, {"Content-Type": content_type})
    same(reply.status, 204, f"post {reply.data[:300]}")
    same(s3.get_object(Bucket=place.bucket, Key="boto/form/up.txt")["Body"].read(), b"by form")


# Command line tools

def aws(place, *arguments):
    return place.run(rig.CACHE / "venv/bin/aws", "--endpoint-url", place.endpoint, *arguments)


@check
def aws_cli(place):
    large, back = pathlib.Path(place.folder) / "large", pathlib.Path(place.folder) / "back"
    if not large.exists():
        large.write_bytes(os.urandom(100 * MIB))
    aws(place, "s3", "cp", "--only-show-errors", large, f"s3://{place.bucket}/cli/large")
    aws(place, "s3", "cp", "--only-show-errors", f"s3://{place.bucket}/cli/large", back)
    assert filecmp.cmp(large, back, shallow=False), "other bytes came back"
    tree = pathlib.Path(place.folder) / "tree"
    for n in range(5):
        (tree / f"d{n}").mkdir(parents=True, exist_ok=True)
        (tree / f"d{n}" / f"file {n}.txt").write_text(str(n))
    aws(place, "s3", "sync", "--only-show-errors", tree, f"s3://{place.bucket}/cli/tree")
    assert "file 3.txt" in aws(place, "s3", "ls", "--recursive", f"s3://{place.bucket}/cli/tree/")
    # Without this it presigns with SigV2 for us-east-1.
    aws(place, "configure", "set", "default.s3.signature_version", "s3v4")
    link = aws(place, "s3", "presign", f"s3://{place.bucket}/cli/tree/d3/file 3.txt").strip()
    same(fetch(place, link).data, b"3", "presigned")
    aws(place, "s3", "rm", "--only-show-errors", "--recursive", f"s3://{place.bucket}/cli/")
    same(place.boto().list_objects_v2(Bucket=place.bucket, Prefix="cli/")["KeyCount"], 0, "left")


@check
def s3cmd(place):
    key, secret, token = place.keys
    host = place.endpoint.split("//")[1]
    options = [f"--access_key={key}", f"--secret_key={secret}", f"--host={host}", f"--host-bucket={host}", "--config=/dev/null",
               "--ssl" if place.certificates else "--no-ssl"] + ([f"--access_token={token}"] if token else [])
    options += [f"--ca-certs={place.certificates.ca}"] if place.certificates else []
    tool = lambda *arguments: place.run(rig.CACHE / "venv/bin/s3cmd", *options, *arguments)
    source = pathlib.Path(place.folder) / "s3cmd"
    source.write_bytes(os.urandom(17 * MIB))
    tool("put", "--multipart-chunk-size-mb=5", source, f"s3://{place.bucket}/s3cmd/a b")
    tool("get", "--force", f"s3://{place.bucket}/s3cmd/a b", f"{source}.back")
    assert filecmp.cmp(source, f"{source}.back", shallow=False), "other bytes came back"
    assert "s3cmd/a b" in tool("ls", f"s3://{place.bucket}/s3cmd/")
    tool("cp", f"s3://{place.bucket}/s3cmd/a b", f"s3://{place.bucket}/s3cmd/c")
    tool("del", f"s3://{place.bucket}/s3cmd/a b", f"s3://{place.bucket}/s3cmd/c")


@check
def rclone(place):
    key, secret, token = place.keys
    environment = {"RCLONE_CONFIG_X_TYPE": "s3", "RCLONE_CONFIG_X_PROVIDER": "Other", "RCLONE_CONFIG_X_ENDPOINT": place.endpoint,
                   "RCLONE_CONFIG_X_ACCESS_KEY_ID": key, "RCLONE_CONFIG_X_SECRET_ACCESS_KEY": secret, "RCLONE_CONFIG_X_REGION": "us-east-1"}
    environment |= {"RCLONE_CONFIG_X_SESSION_TOKEN": token} if token else {}
    # Its own setting; the one of the AWS SDK below it contradicts.
    environment |= {"RCLONE_CA_CERT": str(place.certificates.ca), "AWS_CA_BUNDLE": ""} if place.certificates else {}
    tool = lambda *arguments: place.run("rclone", "--retries", "1", "--low-level-retries", "1", *arguments, env=environment)
    tree = pathlib.Path(place.folder) / "rclone"
    (tree / "sub").mkdir(parents=True, exist_ok=True)
    (tree / "sub" / "odd + é.txt").write_text("odd")
    (tree / "large").write_bytes(os.urandom(12 * MIB))
    tool("copy", "--s3-upload-cutoff", "6Mi", "--s3-chunk-size", "5Mi", tree, f"X:{place.bucket}/rclone")
    tool("check", "--download", tree, f"X:{place.bucket}/rclone")
    same(tool("cat", f"X:{place.bucket}/rclone/sub/odd + é.txt"), "odd")
    tool("delete", f"X:{place.bucket}/rclone")


@check
def mc(place):
    key, secret, token = place.keys
    scheme, host = place.endpoint.split("://")
    environment = {"MC_HOST_x": f"{scheme}://{key}:{secret}{':' + token if token else ''}@{host}", "MC_CONFIG_DIR": str(place.folder)}
    tool = lambda *arguments: place.run(rig.BIN / "mc", "--quiet", *arguments, env=environment)
    source = pathlib.Path(place.folder) / "mc"
    source.write_bytes(os.urandom(18 * MIB))
    tool("cp", source, f"x/{place.bucket}/mc/large file")
    assert "large file" in tool("ls", f"x/{place.bucket}/mc/")
    tool("cp", f"x/{place.bucket}/mc/large file", f"{source}.back")
    assert filecmp.cmp(source, f"{source}.back", shallow=False), "other bytes came back"
    tool("stat", f"x/{place.bucket}/mc/large file")
    tool("cp", f"x/{place.bucket}/mc/large file", f"x/{place.bucket}/mc/copy")
    tool("rm", "--recursive", "--force", f"x/{place.bucket}/mc/")


# SDKs of other languages

@check
def minio_py(place):
    scheme, host = place.endpoint.split("://")
    http = urllib3.PoolManager(ca_certs=str(place.certificates.ca)) if place.certificates else urllib3.PoolManager()
    if place.gateway:
        # Its own provider: it calls AssumeRole itself, without a role, and again before the keys end.
        keys = minio.credentials.AssumeRoleProvider(
            sts_endpoint=place.endpoint, access_key=rig.USER_KEY, secret_key=rig.USER_SECRET, duration_seconds=3600, http_client=http)
    else:
        keys = minio.credentials.StaticProvider(*place.keys)
    client = minio.Minio(host, credentials=keys, secure=scheme == "https", http_client=http, region="us-east-1")
    client.put_object(place.bucket, "minio-py/a é", io.BytesIO(b"hello"), 5, metadata={"who": "py"})
    same(client.get_object(place.bucket, "minio-py/a é").data, b"hello")
    large = os.urandom(11 * MIB)
    client.put_object(place.bucket, "minio-py/large", io.BytesIO(large), len(large), part_size=5 * MIB)
    same(client.get_object(place.bucket, "minio-py/large").data, large, "large")
    client.copy_object(place.bucket, "minio-py/copy", minio.commonconfig.CopySource(place.bucket, "minio-py/a é"))
    same(fetch(place, client.presigned_get_object(place.bucket, "minio-py/copy")).data, b"hello", "presigned")
    names = {item.object_name for item in client.list_objects(place.bucket, prefix="minio-py/", recursive=True)}
    same(names, {"minio-py/a é", "minio-py/large", "minio-py/copy"})
    from minio.deleteobjects import DeleteObject
    same(list(client.remove_objects(place.bucket, [DeleteObject(name) for name in names])), [], "errors")


@check
def aws_sdk_js(place):
    program = rig.CACHE / "js" / "client.mjs"
    program.write_text((rig.ROOT / "tests/clients/js/client.mjs").read_text())
    place.run("node", program)


@check
def minio_go(place):
    place.run(rig.BIN / "client-go")


@check
def aws_sdk_java(place):
    trust = [f"-Djavax.net.ssl.trustStore={place.certificates.trust_store}", "-Djavax.net.ssl.trustStorePassword=changeit"] if place.certificates else []
    place.run("java", *trust, "-jar", rig.CACHE / "java/client.jar")


@check
def aws_sdk_rust(place):
    place.run(rig.ROOT / "target" / rig.PROFILE / "client-rust")
