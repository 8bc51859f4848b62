//! Without any key: with tokens of the OpenID provider, and passwords of the directory.

use secrecy::{ExposeSecret, SecretString};

use super::{AUDITOR_ROLE, FINANCE, OBJECT, Tour};
use crate::demo::{
    SALARIES,
    client::{Keys, Reply},
    directory::{AUDITOR, NOBODY_SPECIAL},
};

const NOTES: &str = "/reports/people/alice/notes.txt";
const OTHERS_NOTES: &str = "/reports/people/bob/notes.txt";
const BACKUP: &str = "/backups/november.tar";
const PAYROLL: &str = "/payroll?list-type=2";

impl Tour<'_> {
    pub(super) async fn web_identity(&mut self) -> anyhow::Result<()> {
        let token = self.client.id_token(&self.scene.provider).await?;
        self.begin(
            "Alice leaves her key at home: she logs in at the provider, and its token says that she is in `finance`",
            &format!("sts:AssumeRoleWithWebIdentity finance, WebIdentityToken={}", shown(&token)),
        );
        let form = format!(
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn={FINANCE}&RoleSessionName=demo&WebIdentityToken={token}"
        );
        let session = Keys::of(&self.client.sts_without_keys(&form).await?)?;
        self.got_keys(&session);

        self.begin(
            "The role's policy names a folder by her claim: people/${jwt:preferred_username}/*",
            &format!("PUT and GET {NOTES}"),
        );
        let put = self.client.s3(&session, "PUT", NOTES, "Mine.\n").await?;
        let got = self.client.s3(&session, "GET", NOTES, "").await?;
        self.end(
            put.status.is_success() && got.body == "Mine.\n",
            &format!("{} and {}: {:?}", put.status.as_u16(), got.status.as_u16(), got.body.trim_end()),
        );

        self.begin("Somebody else's folder stays closed", &format!("GET {OTHERS_NOTES}"));
        let denied = self.client.s3(&session, "GET", OTHERS_NOTES, "").await?;
        self.refused(&denied, 403, "AccessDenied");
        Ok(())
    }

    pub(super) async fn client_grants(&mut self) -> anyhow::Result<()> {
        let token = self.client.machine_token(&self.scene.provider).await?;
        self.begin(
            "A machine, MinIO's way: its token of the provider has the claim policy=write-backups, and no role is needed",
            &format!("sts:AssumeRoleWithClientGrants, Token={}", shown(&token)),
        );
        let form = format!("Action=AssumeRoleWithClientGrants&Version=2011-06-15&Token={token}");
        let session = Keys::of(&self.client.sts_without_keys(&form).await?)?;
        self.got_keys(&session);

        self.begin("It leaves its backup", &format!("PUT {BACKUP}"));
        let put = self.client.s3(&session, "PUT", BACKUP, "All of it.\n").await?;
        self.end(put.status.is_success(), &format!("{}: stored", put.status.as_u16()));

        self.begin("and could not read it again, should somebody steal its keys", &format!("GET {BACKUP}"));
        let denied = self.client.s3(&session, "GET", BACKUP, "").await?;
        self.refused(&denied, 403, "AccessDenied");
        Ok(())
    }

    pub(super) async fn directory(&mut self) -> anyhow::Result<()> {
        let call = |name: &str| format!("sts:AssumeRoleWithLDAPIdentity auditor, LDAPUsername={name}");
        self.begin("Bob of the directory, with a wrong password", &call(AUDITOR));
        let wrong = self.log_in(AUDITOR, &SecretString::from("guessed")).await?;
        self.refused(&wrong, 403, "AccessDenied");

        self.begin("With the right one; the role asks for the group `auditors`", &call(AUDITOR));
        let right = self.log_in(AUDITOR, &self.scene.directory.auditor_password).await?;
        let session = Keys::of(&right)?;
        self.got_keys(&session);

        self.begin("An auditor sees what was closed to alice", &format!("GET {PAYROLL}"));
        let list = self.client.s3(&session, "GET", PAYROLL, "").await?;
        let key = list.element("Key").unwrap_or("no key").to_owned();
        self.end(
            list.status.is_success() && SALARIES.ends_with(&key),
            &format!("{}: {key}", list.status.as_u16()),
        );

        self.begin("reads, and does not write", &format!("PUT {OBJECT}"));
        let denied = self.client.s3(&session, "PUT", OBJECT, "Revenue is down.\n").await?;
        self.refused(&denied, 403, "AccessDenied");

        self.begin(
            "Carol's password is right, but she is in no group: nobody learns which of the two it was",
            &call(NOBODY_SPECIAL),
        );
        let carol = self.log_in(NOBODY_SPECIAL, &self.scene.directory.other_password).await?;
        self.refused(&carol, 403, "AccessDenied");
        Ok(())
    }

    async fn log_in(&self, name: &str, password: &SecretString) -> anyhow::Result<Reply> {
        let password = password.expose_secret();
        let form = format!(
            "Action=AssumeRoleWithLDAPIdentity&Version=2011-06-15&RoleArn={AUDITOR_ROLE}&LDAPUsername={name}&LDAPPassword={password}"
        );
        self.client.sts_without_keys(&form).await
    }
}

/// The beginning of a token, which is the same for all of one kind.
fn shown(token: &str) -> String {
    format!("{}… ({} characters)", token.get(..8).unwrap_or_default(), token.len())
}
