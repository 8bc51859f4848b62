"""Temporary keys for boto3 that renew themselves: the long-term key is only ever used with STS."""

import os

import boto3
from botocore.credentials import RefreshableCredentials
from botocore.session import get_session

ENDPOINT = os.environ.get("ENDPOINT", "http://127.0.0.1:9000")
ROLE = os.environ.get("ROLE_ARN", "arn:aws:iam::000000000000:role/analyst")
BUCKET = os.environ.get("BUCKET", "reports")


def fresh_keys():
    sts = boto3.client("sts", endpoint_url=ENDPOINT, region_name="us-east-1")
    keys = sts.assume_role(RoleArn=ROLE, RoleSessionName="example", DurationSeconds=900)["Credentials"]
    return {"access_key": keys["AccessKeyId"], "secret_key": keys["SecretAccessKey"], "token": keys["SessionToken"],
            "expiry_time": keys["Expiration"].isoformat()}


session = get_session()
session._credentials = RefreshableCredentials.create_from_metadata(fresh_keys(), refresh_using=fresh_keys, method="sts-assume-role")
s3 = boto3.Session(botocore_session=session, region_name="us-east-1").client("s3", endpoint_url=ENDPOINT)

s3.put_object(Bucket=BUCKET, Key="example/boto3.txt", Body=b"hello from boto3")
print(s3.get_object(Bucket=BUCKET, Key="example/boto3.txt")["Body"].read().decode())
print([item["Key"] for item in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])])
