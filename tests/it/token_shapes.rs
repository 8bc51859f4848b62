//! Tokens of the shape that services issue, at the rules of the examples: the one that they are written for gets in, one that
//! differs a little does not.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::support::{Gateway, NOW, Provider, Reply, SigningKey, call, keys_of};

/// A token, and what the example's rule makes of it.
struct Shape {
    file: &'static str,
    example: &'static str,
    role: &'static str,
    /// What the role may write, and what it may not.
    allowed: &'static str,
    denied: &'static str,
    /// Places in the claims, and what would be somebody else's.
    others: &'static [(&'static str, &'static str)],
}

fn read(path: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&file).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()))
}

/// Providers, policies and roles of an example, with this provider in place of the one that the token names: it has no TLS, its
/// keys are where discovery says, and nobody asks it about opaque tokens.
fn rules(example: &str, issuer: &str, provider: &Provider) -> String {
    let text = read(&format!("examples/{example}/daypass.toml"));
    let theirs = format!("issuer = \"{issuer}\"");
    assert_eq!(text.matches(&theirs).count(), 1, "{example} does not name {issuer}");
    let text = text.replace(&theirs, &format!("allow_http = true\nissuer = \"{}\"", provider.issuer()));
    let mut rules = String::new();
    for section in text[text.find("[[oidc]]").unwrap()..].split_inclusive("\n\n") {
        let section = section.split("  [oidc.introspection]").next().unwrap();
        let elsewhere = ["jwks_url", "ca_file", "bearer_token_file"];
        for line in section.lines().filter(|line| !elsewhere.iter().any(|key| line.starts_with(key))) {
            rules.push_str(&format!("{line}\n"));
        }
    }
    rules
}

struct Issuer {
    key: SigningKey,
    provider: Provider,
    header: Value,
    claims: Value,
}

impl Issuer {
    fn token(&self, changes: &[(&str, Value)]) -> String {
        let mut claims = self.claims.clone();
        for (place, value) in changes {
            *claims.pointer_mut(place).unwrap_or_else(|| panic!("there is no {place}")) = value.clone();
        }
        self.key.token_of(&self.header.to_string(), &claims.to_string())
    }
}

async fn start(shape: &Shape) -> (Gateway, Issuer) {
    let key = SigningKey::new("a", "RS256");
    let provider = Provider::start(&[&key]).await;
    let recorded: Value = serde_json::from_str(&read(&format!("tests/shapes/{}.json", shape.file))).unwrap();
    let (mut header, mut claims) = (recorded["header"].clone(), recorded["claims"].clone());
    header["alg"] = json!("RS256");
    header["kid"] = json!("a");
    let toml = rules(shape.example, claims["iss"].as_str().unwrap(), &provider);
    claims["iss"] = json!(provider.issuer());
    for (name, at) in [("iat", -5), ("nbf", -5), ("exp", 3600)] {
        if let Some(time) = claims.get_mut(name) {
            *time = json!(NOW.unix() + at);
        }
    }
    (Gateway::builder().toml(&toml).start().await, Issuer { key, provider, header, claims })
}

async fn login(gateway: &Gateway, role: &str, token: &str) -> Reply {
    let role = format!("arn:aws:iam::000000000000:role/{role}");
    gateway
        .unsigned_sts("AssumeRoleWithWebIdentity", &[("WebIdentityToken", token), ("RoleArn", &role)])
        .await
}

/// The shape gets in and has the rights of the example, no other; each of the others stays outside.
async fn try_it(shape: Shape) {
    let (gateway, issuer) = start(&shape).await;
    let reply = login(&gateway, shape.role, &issuer.token(&[])).await;
    reply.is_ok();
    let keys = keys_of(&reply);
    gateway.send(&keys, call("PUT", shape.allowed).body("x")).await.is_ok();
    gateway.send(&keys, call("PUT", shape.denied).body("x")).await.is_error(403, "AccessDenied");
    for (place, value) in shape.others {
        let value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
        let reply = login(&gateway, shape.role, &issuer.token(&[(place, value)])).await;
        if *place == "/aud" {
            reply.is_error(400, "InvalidIdentityToken");
        } else {
            reply.is_error(403, "AccessDenied");
        }
    }
    assert!(issuer.provider.asked("/keys") > 0);
}

#[tokio::test]
async fn a_person_of_keycloak_gets_in_by_group() {
    try_it(Shape {
        file: "keycloak",
        example: "keycloak",
        role: "analyst",
        allowed: "/team/alice/x",
        denied: "/team/bob/x",
        others: &[
            ("/groups", r#"["staff"]"#),
            ("/groups", r#"["/analysts"]"#),
            ("/email_verified", "false"),
            ("/email_verified", "\"yes\""),
            ("/aud", "account"),
        ],
    })
    .await;
}

#[tokio::test]
async fn a_program_of_keycloak_gets_in_by_its_client() {
    try_it(Shape {
        file: "keycloak-program",
        example: "client-grants",
        role: "batch",
        allowed: "/jobs/x",
        denied: "/team/x",
        others: &[("/azp", "daypass"), ("/azp", "machine2"), ("/aud", "account")],
    })
    .await;
}

#[tokio::test]
async fn an_application_of_wso2_gets_in_by_its_client_and_scope() {
    try_it(Shape {
        file: "wso2",
        example: "client-grants",
        role: "batch",
        allowed: "/jobs/x",
        denied: "/team/x",
        others: &[
            ("/aut", "APPLICATION_USER"),
            ("/scope", "default s3x"),
            ("/aud", "wso2AppClientId00000000000b"),
        ],
    })
    .await;
}

#[tokio::test]
async fn a_pod_gets_in_by_namespace_and_service_account_and_has_the_folder_of_its_namespace() {
    try_it(Shape {
        file: "kubernetes",
        example: "kubernetes",
        role: "backup",
        allowed: "/backups/shop/x",
        denied: "/backups/billing/x",
        others: &[
            ("/kubernetes.io/namespace", "kube-system"),
            ("/kubernetes.io/namespace", "shop2"),
            ("/kubernetes.io", r#"{"kubernetes.io/namespace": "shop"}"#),
            ("/sub", "system:serviceaccount:shop:default"),
            ("/aud", r#"["https://kubernetes.default.svc.cluster.local"]"#),
        ],
    })
    .await;
}

#[tokio::test]
async fn a_workflow_of_github_gets_in_by_repository_and_branch() {
    try_it(Shape {
        file: "github-actions",
        example: "github-actions",
        role: "release",
        allowed: "/releases/octo-org/octo-repo/x",
        denied: "/releases/octo-org/other/x",
        others: &[
            ("/repository", "octo-org/octo-repo-fork"),
            ("/repository", "octo-org2/octo-repo"),
            ("/repository_owner_id", "\"66\""),
            ("/ref", "refs/heads/main2"),
            ("/ref", "refs/pull/1/merge"),
            ("/event_name", "pull_request_target"),
            ("/aud", "https://github.com/octo-org"),
        ],
    })
    .await;
}

#[tokio::test]
async fn a_job_of_gitlab_gets_in_by_project_and_protected_branch() {
    try_it(Shape {
        file: "gitlab",
        example: "gitlab",
        role: "release",
        allowed: "/artifacts/shop/backend/x",
        denied: "/artifacts/shop/frontend/x",
        others: &[
            ("/project_path", "shop/backend-fork"),
            ("/project_path", "alice/backend"),
            ("/ref_protected", "\"false\""),
            ("/ref_type", "tag"),
            ("/ref", "main2"),
            ("/aud", "https://gitlab.example.org"),
        ],
    })
    .await;
}

#[tokio::test]
async fn an_application_of_entra_id_gets_in_by_its_app_role() {
    try_it(Shape {
        file: "entra-id",
        example: "more-providers",
        role: "writer",
        allowed: "/team/x",
        denied: "/other/x",
        others: &[
            ("/roles", r#"["S3.Read"]"#),
            ("/roles", "[]"),
            ("/tid", "00000000-0000-4000-8000-00000000000d"),
            ("/aud", "00000000-0000-4000-8000-00000000000b"),
        ],
    })
    .await;
}

#[tokio::test]
async fn a_person_of_okta_gets_in_by_group_and_scope() {
    try_it(Shape {
        file: "okta",
        example: "more-providers",
        role: "writer",
        allowed: "/team/x",
        denied: "/other/x",
        others: &[("/groups", r#"["Everyone"]"#), ("/scp", r#"["openid"]"#), ("/aud", "api://default")],
    })
    .await;
}

#[tokio::test]
async fn a_person_of_authentik_gets_in_by_group() {
    try_it(Shape {
        file: "authentik",
        example: "more-providers",
        role: "writer",
        allowed: "/team/x",
        denied: "/other/x",
        others: &[("/groups", r#"["authentik Admins"]"#), ("/email_verified", "false"), ("/aud", "grafana")],
    })
    .await;
}
