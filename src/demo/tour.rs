//! The steps of the tour: each really happens, and is printed with what came back.

use std::{net::SocketAddr, time::Duration};

use anyhow::anyhow;

use super::client::{DemoClient, Keys, Reply};

const ROLE: &str = "arn:aws:iam::000000000000:role/analyst";
const OBJECT: &str = "/reports/2026/november.txt";
const TEXT: &str = "Revenue is up, and nobody needed a permanent key to write this.\n";
/// The lifetime of the key that the tour watches die.
const SHORT: Duration = Duration::from_secs(2);

pub(super) fn introduce(backend: SocketAddr, gateway: SocketAddr) {
    println!(
        "\n  Daypass demo\n\n  \
         storage   an S3 store in this process, http://{backend}\n            \
         its root keys were made a moment ago and are known to the gateway alone\n  \
         gateway   STS and S3 on one address, http://{gateway}\n  \
         people    alice, who has a long-term key that opens nothing, and may assume the role `analyst`\n"
    );
}

/// Counts the steps and what became of them.
struct Steps {
    number: u32,
    failed: u32,
}

impl Steps {
    fn begin(&mut self, title: &str, call: &str) {
        self.number += 1;
        println!("  {}  {title}\n     {call}", self.number);
    }

    /// Prints what came back and whether it is what should have.
    fn end(&mut self, as_expected: bool, answer: &str) {
        let mark = if as_expected { "✓" } else { "✗ NOT AS IT SHOULD BE:" };
        println!("     {mark} {answer}\n");
        if !as_expected {
            self.failed += 1;
        }
    }

    fn refused(&mut self, reply: &Reply, status: u16, code: &str) {
        let given = reply.element("Code").unwrap_or("no code");
        let message = reply.element("Message").unwrap_or(&reply.body);
        self.end(
            reply.status.as_u16() == status && given == code,
            &format!("{} {given}: {message}", reply.status.as_u16()),
        );
    }
}

/// `true`: every step went as it should.
pub(super) async fn walk(client: &DemoClient, gateway: SocketAddr, alice: &Keys) -> anyhow::Result<bool> {
    let mut steps = Steps { number: 0, failed: 0 };

    steps.begin(
        "Alice proves who she is and asks for keys that live for 15 minutes",
        "sts:AssumeRole analyst",
    );
    let session = assume(client, alice, 900).await?;
    let token = session.token.as_deref().unwrap_or_default();
    steps.end(
        session.access_key_id.starts_with("ASIA") && !token.is_empty(),
        &format!(
            "{} with a session token of {} characters, dead after {}",
            session.access_key_id,
            token.len(),
            session.expiration
        ),
    );

    store(&mut steps, client, &session).await?;
    share(&mut steps, client, gateway, &session).await?;
    refuse(&mut steps, client, alice, &session).await?;
    expire(&mut steps, client, alice).await?;

    if steps.failed == 0 {
        println!("  All {} steps went as they should.\n", steps.number);
    } else {
        println!("  {} of {} steps did not go as they should.\n", steps.failed, steps.number);
    }
    Ok(steps.failed == 0)
}

async fn store(steps: &mut Steps, client: &DemoClient, session: &Keys) -> anyhow::Result<()> {
    steps.begin("With these keys she writes an object", &format!("PUT {OBJECT}"));
    let put = client.s3(session, "PUT", OBJECT, TEXT).await?;
    steps.end(
        put.status.is_success(),
        &format!("{}: verified, allowed by policy `reports`, re-signed, stored", put.status.as_u16()),
    );

    steps.begin("reads it back", &format!("GET {OBJECT}"));
    let got = client.s3(session, "GET", OBJECT, "").await?;
    steps.end(got.body == TEXT, &format!("{}: {:?}", got.status.as_u16(), got.body.trim_end()));

    steps.begin("and lists the bucket", "GET /reports?list-type=2");
    let list = client.s3(session, "GET", "/reports?list-type=2", "").await?;
    let key = list.element("Key").unwrap_or("no key").to_owned();
    steps
        .end(list.status.is_success() && OBJECT.ends_with(&key), &format!("{}: {key}", list.status.as_u16()));
    Ok(())
}

async fn share(
    steps: &mut Steps,
    client: &DemoClient,
    gateway: SocketAddr,
    session: &Keys,
) -> anyhow::Result<()> {
    steps.begin(
        "She hands out a link that reads this one object for a minute",
        "presigned GET, X-Amz-Expires=60",
    );
    let url = client.presign(session, OBJECT, Duration::from_secs(60))?;
    let shared = client.unsigned(&url).await?;
    steps.end(shared.body == TEXT, &format!("{}: anybody with the link reads it", shared.status.as_u16()));

    steps.begin("The same link, pointed at another object by its holder", "one byte of the URL changed");
    let bent = client.unsigned(&url.replace("november", "december")).await?;
    steps.refused(&bent, 403, "SignatureDoesNotMatch");

    steps.begin("A stranger without any keys", &format!("GET {OBJECT}"));
    let stranger = client.unsigned(&format!("http://{gateway}{OBJECT}")).await?;
    steps.refused(&stranger, 403, "AccessDenied");
    Ok(())
}

async fn refuse(steps: &mut Steps, client: &DemoClient, alice: &Keys, session: &Keys) -> anyhow::Result<()> {
    steps.begin("The temporary keys do not open what the role does not name", "GET /payroll?list-type=2");
    let denied = client.s3(session, "GET", "/payroll?list-type=2", "").await?;
    steps.refused(&denied, 403, "AccessDenied");

    steps.begin(
        "Alice's long-term key opens nothing by itself: it is good for STS alone",
        &format!("GET {OBJECT}"),
    );
    let long_term = client.s3(alice, "GET", OBJECT, "").await?;
    steps.refused(&long_term, 403, "AccessDenied");
    Ok(())
}

async fn expire(steps: &mut Steps, client: &DemoClient, alice: &Keys) -> anyhow::Result<()> {
    let seconds = SHORT.as_secs();
    steps.begin(
        &format!("Keys that live for {seconds} seconds, used after {} seconds", seconds + 1),
        &format!("sts:AssumeRole DurationSeconds={seconds}, then GET {OBJECT} twice"),
    );
    let short = assume(client, alice, seconds).await?;
    let before = client.s3(&short, "GET", OBJECT, "").await?;
    tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
    let dead = client.s3(&short, "GET", OBJECT, "").await?;
    if !before.status.is_success() {
        steps.refused(&before, 200, "");
    }
    steps.refused(&dead, 400, "ExpiredToken");
    Ok(())
}

async fn assume(client: &DemoClient, alice: &Keys, seconds: u64) -> anyhow::Result<Keys> {
    let form = format!(
        "Action=AssumeRole&Version=2011-06-15&RoleArn={ROLE}&RoleSessionName=demo&DurationSeconds={seconds}"
    );
    let reply = client.sts(alice, &form).await?;
    let element = |name: &str| {
        reply
            .element(name)
            .map(str::to_owned)
            .ok_or_else(|| anyhow!("AssumeRole answered {}: {}", reply.status, reply.body))
    };
    Ok(Keys {
        access_key_id: element("AccessKeyId")?,
        secret: element("SecretAccessKey")?,
        token: Some(element("SessionToken")?),
        expiration: element("Expiration")?,
    })
}

/// Lines for the tools that the newcomer already has.
pub(super) fn lines_to_paste(gateway: SocketAddr, alice: &Keys) {
    println!(
        r#"  The gateway stays up until Ctrl-C. To try it yourself:

  aws-cli
    export AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION=us-east-1
    aws --endpoint-url http://{gateway} sts assume-role --role-arn {ROLE} --role-session-name me
    # put the three values of the answer into AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, then
    aws --endpoint-url http://{gateway} s3 ls s3://reports --recursive

  boto3
    import boto3
    here = dict(endpoint_url="http://{gateway}", region_name="us-east-1")
    keys = boto3.client("sts", aws_access_key_id="{id}", aws_secret_access_key="{secret}", **here).assume_role(
        RoleArn="{ROLE}", RoleSessionName="me")["Credentials"]
    s3 = boto3.client("s3", aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"], **here)
    print(s3.list_objects_v2(Bucket="reports")["Contents"])

  mc (with the three values of an AssumeRole answer)
    export MC_HOST_demo=http://ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN@{gateway}
    mc ls --recursive demo/reports
"#,
        id = alice.access_key_id,
        secret = alice.secret,
    );
}
