#!/bin/sh
# A token of Keycloak for keys of S3, with aws-cli, which renews them as long as the file has a token that is good.
# TOKEN_FILE: an ID or access token whose audience is daypass.
set -eu
endpoint=${ENDPOINT:-http://127.0.0.1:9000}
bucket=${BUCKET:-team}
folder=${FOLDER:-alice}
export AWS_WEB_IDENTITY_TOKEN_FILE="${TOKEN_FILE:?a file with a token of Keycloak}"
export AWS_ROLE_ARN="${ROLE_ARN:-arn:aws:iam::000000000000:role/analyst}"
export AWS_ROLE_SESSION_NAME=example AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL="$endpoint"

echo "hello" | aws s3 cp - "s3://$bucket/$folder/hello.txt"
aws s3 cp "s3://$bucket/$folder/hello.txt" -
aws s3 ls "s3://$bucket/$folder/"
