#!/usr/bin/env python3
"""A program's own token (OAuth 2.0 client credentials, HTTP Basic) for keys of S3; then it puts an object.

    TOKEN_ENDPOINT   https://wso2.example.org:9443/oauth2/token, https://id.example.org/realms/main/protocol/openid-connect/token
    CLIENT_ID, CLIENT_SECRET_FILE   of the program, at the provider
    SCOPE            when the provider gives a scope only to who asks
    ENDPOINT         Daypass; ROLE_ARN when a role shall be had, BUCKET, KEY
    CA_FILE          the authority of both, when it is not the system's

Needs `pip install minio`. The certificates of both are verified.
"""

import base64
import io
import json
import os
import ssl
import urllib.parse
import urllib.request
import xml.etree.ElementTree

import minio
import urllib3

CA_FILE = os.environ.get("CA_FILE")
TRUST = ssl.create_default_context(cafile=CA_FILE)
STS = "{https://sts.amazonaws.com/doc/2011-06-15/}"


def post(url, form, headers=None):
    request = urllib.request.Request(url, urllib.parse.urlencode(form).encode(), headers or {})
    with urllib.request.urlopen(request, timeout=30, context=TRUST) as answer:
        return answer.read()


def access_token():
    """The answer of the token endpoint: access_token, expires_in."""
    with open(os.environ["CLIENT_SECRET_FILE"], encoding="utf-8") as file:
        secret = file.read().strip()
    # RFC 6749, 2.3.1: both are encoded as in a form before they are joined.
    pair = ":".join(urllib.parse.quote_plus(text) for text in (os.environ["CLIENT_ID"], secret))
    basic = "Basic " + base64.b64encode(pair.encode()).decode()
    form = {"grant_type": "client_credentials"}
    if scope := os.environ.get("SCOPE"):
        form["scope"] = scope
    return json.loads(post(os.environ["TOKEN_ENDPOINT"], form, {"Authorization": basic, "Accept": "application/json"}))


def keys(token):
    """AssumeRoleWithClientGrants; a lifetime that is out of bounds counts as the nearest that is not."""
    form = {"Action": "AssumeRoleWithClientGrants", "Version": "2011-06-15", "Token": token["access_token"], "DurationSeconds": token.get("expires_in", 3600)}
    if role := os.environ.get("ROLE_ARN"):
        form["RoleArn"] = role
    answer = xml.etree.ElementTree.fromstring(post(os.environ["ENDPOINT"], form))
    print("logged in as", answer.findtext(f".//{STS}SubjectFromToken"))
    return {name: answer.findtext(f".//{STS}{name}") for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}


def main():
    given = keys(access_token())
    place = urllib.parse.urlsplit(os.environ["ENDPOINT"])
    pool = urllib3.PoolManager(ca_certs=CA_FILE, cert_reqs="CERT_REQUIRED", ssl_context=TRUST)
    client = minio.Minio(place.netloc, access_key=given["AccessKeyId"], secret_key=given["SecretAccessKey"], session_token=given["SessionToken"],
                         secure=place.scheme == "https", region="us-east-1", http_client=pool)
    bucket, key, body = os.environ.get("BUCKET", "jobs"), os.environ.get("KEY", "hello.txt"), b"hello from a program"
    client.put_object(bucket, key, io.BytesIO(body), len(body))
    found = client.get_object(bucket, key).data
    print(f"put and got s3://{bucket}/{key}: {found.decode()}")


if __name__ == "__main__":
    main()
