"""boto3 as a program of its own: its keys come from what the environment says, as they do in a pod.

    python boto.py SECONDS    puts, gets and lists for that long, at least once; prints the keys that it had: [[id, secret, token, first used]]
"""

import json
import os
import sys
import time

import boto3
import botocore.config

seconds, bucket = float(sys.argv[1]), os.environ["BUCKET"]
session = boto3.Session()
s3 = session.client("s3", config=botocore.config.Config(s3={"addressing_style": "path"}))
started, seen, rounds = time.monotonic(), {}, 0
while not rounds or time.monotonic() - started < seconds:
    body = f"from boto3 {rounds}".encode()
    s3.put_object(Bucket=bucket, Key="boto3/a é+", Body=body)
    found = s3.get_object(Bucket=bucket, Key="boto3/a é+")["Body"].read()
    assert found == body, found
    names = [item["Key"] for item in s3.list_objects_v2(Bucket=bucket, Prefix="boto3/")["Contents"]]
    assert names == ["boto3/a é+"], names
    rounds += 1
    keys = session.get_credentials().get_frozen_credentials()
    seen.setdefault(keys.access_key, [*keys[:3], round(time.monotonic() - started, 1)])
print(json.dumps({"rounds": rounds, "seen": list(seen.values())}))
