#!/bin/sh
# Temporary keys for aws-cli: assume a role, then work with what it allows.
# AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: the long-term key of a user.
set -eu
endpoint=${ENDPOINT:-http://127.0.0.1:9000}
role=${ROLE_ARN:-arn:aws:iam::000000000000:role/analyst}
bucket=${BUCKET:-reports}
export AWS_DEFAULT_REGION=us-east-1

# shellcheck disable=SC2046
set -- $(aws --endpoint-url "$endpoint" sts assume-role --role-arn "$role" --role-session-name example --duration-seconds 900 \
    --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text)
export AWS_ACCESS_KEY_ID="$1" AWS_SECRET_ACCESS_KEY="$2" AWS_SESSION_TOKEN="$3"

echo "hello" | aws --endpoint-url "$endpoint" s3 cp - "s3://$bucket/example/hello.txt"
aws --endpoint-url "$endpoint" s3 ls "s3://$bucket/" --recursive
aws --endpoint-url "$endpoint" s3 cp "s3://$bucket/example/hello.txt" -
