//! `daypass check --online`: whether the storage, the providers, the directory and the webhook can be used, in words for operators.

use crate::{backend::Backend, clock::Timestamp, identity::Ways};

/// One neighbour and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// As the configuration names it: `oidc.keycloak`.
    pub about: String,
    /// What is good, or what is wrong.
    pub result: Result<String, String>,
}

/// Asks every neighbour of the configuration once.
pub async fn check(backend: &Backend, ways: &Ways, now: Timestamp) -> Vec<Finding> {
    // Nothing is asked of the storage: whether it takes the root keys is seen by the first request.
    let reached = backend.reach().await.into_iter();
    let mut findings: Vec<Finding> = reached
        .map(|(address, result)| Finding {
            about: format!("backend {address}"),
            result: result.map(|()| "a connection can be made".to_owned()),
        })
        .collect();
    let providers = ways.oidc.check(now).await.into_iter();
    findings.extend(providers.map(|(name, result)| Finding { about: format!("oidc.{name}"), result }));
    if let Some(directory) = &ways.ldap {
        let problems = directory.check().await;
        let good = "people and groups can be searched".to_owned();
        let result = if problems.is_empty() { Ok(good) } else { Err(problems.join("; ")) };
        findings.push(Finding { about: "ldap".to_owned(), result });
    }
    if let Some(webhook) = &ways.webhook {
        let result = webhook.check().await.map(|()| "it answers".to_owned());
        findings.push(Finding { about: "webhook".to_owned(), result });
    }
    findings
}
