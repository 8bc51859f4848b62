#!/bin/sh
# An X.509-SVID for keys of S3. `spire-agent api fetch x509 -write DIR` writes svid.0.pem and svid.0.key.
set -eu
endpoint=${ENDPOINT:-https://s3.example.org}
certificate=${CERTIFICATE:-svid.0.pem}
key=${KEY:-svid.0.key}
bucket=${BUCKET:-results}

answer=$(curl -sS --fail-with-body --cert "$certificate" --key "$key" "$endpoint" \
    -d Action=AssumeRoleWithCertificate -d Version=2011-06-15 -d "RoleArn=${ROLE_ARN:-arn:aws:iam::000000000000:role/job}") || { echo "$answer" >&2; exit 1; }
element() { printf '%s' "$answer" | sed -n "s:.*<$1>\(.*\)</$1>.*:\1:p"; }
AWS_ACCESS_KEY_ID=$(element AccessKeyId)
AWS_SECRET_ACCESS_KEY=$(element SecretAccessKey)
AWS_SESSION_TOKEN=$(element SessionToken)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL="$endpoint"

echo "hello" | aws s3 cp - "s3://$bucket/hello.txt"
aws s3 cp "s3://$bucket/hello.txt" -
