#!/bin/sh
# A name and a password of the directory for keys of S3. The password comes from a file and is on no command line.
set -eu
endpoint=${ENDPOINT:-https://s3.example.org}
user=${LDAP_USER:?a name in the directory}
file=${PASSWORD_FILE:?a file with the password alone}
bucket=${BUCKET:-team}
role=${ROLE_ARN:-}

answer=$(curl -sS --fail-with-body "$endpoint" -d Action=AssumeRoleWithLDAPIdentity -d Version=2011-06-15 \
    ${role:+-d RoleArn="$role"} --data-urlencode "LDAPUsername=$user" --data-urlencode "LDAPPassword@$file") || { echo "$answer" >&2; exit 1; }
element() { printf '%s' "$answer" | sed -n "s:.*<$1>\(.*\)</$1>.*:\1:p"; }
AWS_ACCESS_KEY_ID=$(element AccessKeyId)
AWS_SECRET_ACCESS_KEY=$(element SecretAccessKey)
AWS_SESSION_TOKEN=$(element SessionToken)
export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL="$endpoint"

echo "hello" | aws s3 cp - "s3://$bucket/$user/hello.txt"
aws s3 cp "s3://$bucket/$user/hello.txt" -
