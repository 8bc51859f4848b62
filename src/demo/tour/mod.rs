//! The steps of the tour: each really happens, and is printed with what came back.

mod keys;
mod proofs;

use super::{
    Scene,
    client::{DemoClient, Keys, Reply},
};

pub(super) const ANALYST: &str = "arn:aws:iam::000000000000:role/analyst";
pub(super) const FINANCE: &str = "arn:aws:iam::000000000000:role/finance";
pub(super) const AUDITOR_ROLE: &str = "arn:aws:iam::000000000000:role/auditor";
const OBJECT: &str = "/reports/2026/november.txt";
const TEXT: &str = "Revenue is up, and nobody needed a permanent key to write this.\n";

pub(super) fn introduce(scene: &Scene) {
    println!(
        "\n  Daypass demo\n\n  \
         storage    an S3 store in this process, http://{}\n             \
         its root keys were made a moment ago and are known to the gateway alone\n  \
         gateway    STS and S3 on one address, http://{}\n  \
         provider   an OpenID provider in this process, {}\n  \
         directory  an LDAP directory in this process, ldaps://{}\n  \
         people     alice, who has a long-term key that opens nothing, and an account at the provider\n             \
         bob and carol of the directory, of whom bob is an auditor\n",
        scene.backend.address(),
        scene.gateway(),
        scene.provider.issuer(),
        scene.directory.address(),
    );
}

/// `true`: every step went as it should.
pub(super) async fn walk(client: &DemoClient, scene: &Scene) -> anyhow::Result<bool> {
    let mut tour = Tour { client, scene, number: 0, failed: 0 };
    let session = tour.assume_role().await?;
    tour.store(&session).await?;
    tour.refuse(&session).await?;
    tour.web_identity().await?;
    tour.client_grants().await?;
    tour.directory().await?;
    tour.share(&session).await?;
    tour.expire().await?;

    let Tour { number, failed, .. } = tour;
    if failed == 0 {
        println!("  All {number} steps went as they should.\n");
    } else {
        println!("  {failed} of {number} steps did not go as they should.\n");
    }
    Ok(failed == 0)
}

/// On its way, it counts the steps and what became of them.
struct Tour<'s> {
    client: &'s DemoClient,
    scene: &'s Scene,
    number: u32,
    failed: u32,
}

impl Tour<'_> {
    fn begin(&mut self, title: &str, call: &str) {
        self.number += 1;
        println!("  {:<2} {title}\n     {call}", self.number);
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

    /// Of the keys that came back only their id is shown.
    fn got_keys(&mut self, keys: &Keys) {
        let token = keys.token.as_deref().unwrap_or_default();
        self.end(
            keys.access_key_id.starts_with("ASIA") && !token.is_empty(),
            &format!(
                "{} with a session token of {} characters, dead after {}",
                keys.access_key_id,
                token.len(),
                keys.expiration
            ),
        );
    }
}
