//! With a long-term key and what it is traded for.

use std::time::Duration;

use super::{ANALYST, OBJECT, TEXT, Tour};
use crate::demo::client::Keys;

/// The lifetime of the key that the tour watches die.
const SHORT: Duration = Duration::from_secs(2);

impl Tour<'_> {
    pub(super) async fn assume_role(&mut self) -> anyhow::Result<Keys> {
        self.begin(
            "Alice proves who she is and asks for keys that live for 15 minutes",
            "sts:AssumeRole analyst",
        );
        let session = self.assume(900).await?;
        self.got_keys(&session);
        Ok(session)
    }

    async fn assume(&self, seconds: u64) -> anyhow::Result<Keys> {
        let form = format!(
            "Action=AssumeRole&Version=2011-06-15&RoleArn={ANALYST}&RoleSessionName=demo&DurationSeconds={seconds}"
        );
        Keys::of(&self.client.sts(&self.scene.alice, &form).await?)
    }

    pub(super) async fn store(&mut self, session: &Keys) -> anyhow::Result<()> {
        self.begin("With these keys she writes an object", &format!("PUT {OBJECT}"));
        let put = self.client.s3(session, "PUT", OBJECT, TEXT).await?;
        self.end(
            put.status.is_success(),
            &format!("{}: verified, allowed by policy `reports`, re-signed, stored", put.status.as_u16()),
        );

        self.begin("reads it back", &format!("GET {OBJECT}"));
        let got = self.client.s3(session, "GET", OBJECT, "").await?;
        self.end(got.body == TEXT, &format!("{}: {:?}", got.status.as_u16(), got.body.trim_end()));

        self.begin("and lists the bucket", "GET /reports?list-type=2");
        let list = self.client.s3(session, "GET", "/reports?list-type=2", "").await?;
        let key = list.element("Key").unwrap_or("no key").to_owned();
        self.end(
            list.status.is_success() && OBJECT.ends_with(&key),
            &format!("{}: {key}", list.status.as_u16()),
        );
        Ok(())
    }

    pub(super) async fn refuse(&mut self, session: &Keys) -> anyhow::Result<()> {
        self.begin("The temporary keys do not open what the role does not name", "GET /payroll?list-type=2");
        let denied = self.client.s3(session, "GET", "/payroll?list-type=2", "").await?;
        self.refused(&denied, 403, "AccessDenied");

        self.begin(
            "Alice's long-term key opens nothing by itself: it is good for STS alone",
            &format!("GET {OBJECT}"),
        );
        let long_term = self.client.s3(&self.scene.alice, "GET", OBJECT, "").await?;
        self.refused(&long_term, 403, "AccessDenied");
        Ok(())
    }

    pub(super) async fn share(&mut self, session: &Keys) -> anyhow::Result<()> {
        self.begin(
            "Alice hands out a link that reads this one object for a minute",
            &format!("presigned GET {OBJECT}, X-Amz-Expires=60"),
        );
        let url = self.client.presign(session, OBJECT, Duration::from_secs(60))?;
        let shared = self.client.unsigned(&url).await?;
        self.end(shared.body == TEXT, &format!("{}: anybody with the link reads it", shared.status.as_u16()));

        self.begin(
            "The same link, pointed at another object by its holder",
            "`november` in the URL replaced by `december`",
        );
        let bent = self.client.unsigned(&url.replace("november", "december")).await?;
        self.refused(&bent, 403, "SignatureDoesNotMatch");

        self.begin("A stranger without any keys", &format!("GET {OBJECT}"));
        let stranger = self.client.unsigned(&format!("http://{}{OBJECT}", self.scene.gateway())).await?;
        self.refused(&stranger, 403, "AccessDenied");
        Ok(())
    }

    pub(super) async fn expire(&mut self) -> anyhow::Result<()> {
        let seconds = SHORT.as_secs();
        self.begin(
            &format!("Keys that live for {seconds} seconds, used after {} seconds", seconds + 1),
            &format!("sts:AssumeRole DurationSeconds={seconds}, then GET {OBJECT} twice"),
        );
        let short = self.assume(seconds).await?;
        let before = self.client.s3(&short, "GET", OBJECT, "").await?;
        tokio::time::sleep(SHORT + Duration::from_secs(1)).await;
        let dead = self.client.s3(&short, "GET", OBJECT, "").await?;
        if !before.status.is_success() {
            self.refused(&before, 200, "");
        }
        self.refused(&dead, 400, "ExpiredToken");
        Ok(())
    }
}
