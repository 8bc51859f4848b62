//! Lines for the tools that the newcomer already has.

use std::path::Path;

use secrecy::ExposeSecret;

use super::{
    Scene,
    directory::AUDITOR,
    tour::{ANALYST, AUDITOR_ROLE, FINANCE},
};

pub(super) fn lines(scene: &Scene, token_file: &Path) {
    let gateway = scene.gateway();
    println!("  The gateway stays up until Ctrl-C. To try it yourself:\n");
    println!(
        r#"  aws-cli
    export AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION=us-east-1
    aws --endpoint-url http://{gateway} sts assume-role --role-arn {ANALYST} --role-session-name me
    # put the three values of the answer into AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, then
    aws --endpoint-url http://{gateway} s3 ls s3://reports --recursive

  boto3
    import boto3
    here = dict(endpoint_url="http://{gateway}", region_name="us-east-1")
    keys = boto3.client("sts", aws_access_key_id="{id}", aws_secret_access_key="{secret}", **here).assume_role(
        RoleArn="{ANALYST}", RoleSessionName="me")["Credentials"]
    s3 = boto3.client("s3", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"], **here)
    print(s3.list_objects_v2(Bucket="reports")["Contents"])

  mc (with the three values of an AssumeRole answer)
    export MC_HOST_demo=http://ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN@{gateway}
    mc ls --recursive demo/reports
"#,
        id = scene.alice.access_key_id,
        secret = scene.alice.secret,
    );
    println!(
        r"  aws-cli without any key: it trades alice's token of the OpenID provider itself, and again when its keys end
    unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN
    export AWS_WEB_IDENTITY_TOKEN_FILE={token_file} AWS_ROLE_ARN={FINANCE} AWS_ENDPOINT_URL=http://{gateway} AWS_DEFAULT_REGION=us-east-1
    aws s3 ls s3://reports/people/alice/

  curl as bob of the directory (his password was made for this demo and ends with it; a real one belongs in no command line)
    curl http://{gateway}/ -d Version=2011-06-15 -d Action=AssumeRoleWithLDAPIdentity -d RoleArn={AUDITOR_ROLE} -d LDAPUsername={AUDITOR} -d LDAPPassword={password}
",
        token_file = token_file.display(),
        password = scene.directory.auditor_password.expose_secret(),
    );
}
