//! What is allowed in a configuration and is still likely a mistake: `daypass check` says so.

use std::{collections::HashSet, fmt};

use crate::{
    config::Config,
    iam::{Action, Effect, Policy, Statement},
    identity::{IdentityRule, Way, ldap::Transport},
    s3::operation::{self, Level},
};

/// A likely mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What it is about: ``policy `read-logs`, statement 1``.
    pub about: String,
    pub what: String,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.about, self.what)
    }
}

/// Everything that looks odd, policies first.
pub fn hints(config: &Config) -> Vec<Hint> {
    let principals = &config.principals;
    let directory = &principals.directory;
    let mut hints = Vec::new();
    let mut named: Vec<(&str, &Policy)> = principals.policies.iter().collect();
    named.sort_by_key(|(name, _)| *name);
    let used: HashSet<&str> = directory
        .users()
        .flat_map(|user| &user.policies)
        .chain(directory.roles().flat_map(|role| &role.policies))
        .chain(principals.of_identities().names())
        .map(String::as_str)
        .collect();
    // Which policies a claim or a common name may name is not known here.
    let named_by_others = config.ways.oidc.iter().any(|provider| provider.policy_claim.is_some())
        || config.ways.certificate.as_ref().is_some_and(|certificate| certificate.policy_from_cn);
    for (name, policy) in named {
        for (index, statement) in policy.statements().iter().enumerate() {
            let place = statement
                .sid()
                .map_or_else(|| format!("statement {index}"), |sid| format!("statement `{sid}`"));
            let about = format!("policy `{name}`, {place}");
            hints.extend(of_statement(statement).into_iter().map(|what| Hint { about: about.clone(), what }));
        }
        if !used.contains(name) && !named_by_others {
            let what = "no user and no role has it; a session can still name it in PolicyArns".to_owned();
            hints.push(Hint { about: format!("policy `{name}`"), what });
        }
    }
    let mut roles: Vec<_> = directory.roles().collect();
    roles.sort_by_key(|role| &role.name);
    for role in roles {
        let assumed = !role.trust.is_empty() || directory.users().any(|user| user.roles.contains(&role.name));
        if !assumed {
            let what =
                "nobody can assume it: list it in a user's roles, or give it a [[role.trust]]".to_owned();
            hints.push(Hint { about: format!("role `{}`", role.name), what });
        }
        for rule in role.trust.iter().filter_map(|rule| rule.identity.as_ref()) {
            let about = || format!("role `{}`", role.name);
            hints.extend(of_trust(rule).map(|what| Hint { about: about(), what }));
        }
    }
    hints.extend(of_ways(config));
    hints
}

/// A trust rule that lets in more than its author may have thought.
fn of_trust(rule: &IdentityRule) -> Option<String> {
    let everybody = rule.claims.is_empty() && rule.ldap_group.is_none() && rule.ldap_user.is_none();
    let everything =
        rule.claims.iter().any(|claim| claim.any_of.iter().any(|wanted| wanted.to_string() == "*"));
    let whom = match &rule.way {
        Way::Oidc(name) => format!("everybody to whom `{name}` gives a token for one of its client_ids"),
        Way::Ldap => "everybody in the directory".to_owned(),
        Way::Certificate => "every certificate of listen.tls.client_ca_file".to_owned(),
        Way::Webhook => "everybody whom the webhook proves".to_owned(),
    };
    if everybody {
        return Some(format!("a trust rule lets in {whom}: name claims if that is not meant"));
    }
    everything.then(|| "a trust rule asks for a claim of `*`, which asks only whether it is there".to_owned())
}

fn of_ways(config: &Config) -> Vec<Hint> {
    let hint = |about: String, what: &str| Hint { about, what: what.to_owned() };
    let mut hints = Vec::new();
    for provider in &config.ways.oidc {
        let about = || format!("oidc.{}", provider.name);
        if provider.http.allow_http {
            hints.push(hint(
                about(),
                "allow_http: whoever can change what the provider answers can make tokens",
            ));
        }
        let mut roles = config.principals.directory.roles().flat_map(|role| &role.trust);
        let way = Way::Oidc(provider.name.clone());
        let trusted = roles.any(|rule| rule.identity.as_ref().is_some_and(|rule| rule.way == way));
        if !trusted && provider.policy_claim.is_none() {
            let what =
                "no role trusts it and there is no policy_claim: nobody can get anything by its tokens";
            hints.push(hint(about(), what));
        }
    }
    if config.ways.ldap.as_ref().is_some_and(|ldap| ldap.transport == Transport::Plaintext) {
        hints.push(hint("ldap".to_owned(), "allow_plaintext: passwords cross the network in the clear"));
    }
    if !config.ways.oidc.is_empty() || config.ways.ldap.is_some() || config.ways.webhook.is_some() {
        let by_itself = config.listen.tls.is_some() || config.listen.address.ip().is_loopback();
        if !by_itself && config.listen.trusted_proxies.is_empty() {
            let what = "tokens and passwords come in without TLS: give listen.tls, or put a proxy before it";
            hints.push(hint("listen".to_owned(), what));
        }
    }
    hints
}

fn of_statement(statement: &Statement) -> Vec<String> {
    let written = statement.written();
    let mut hints = Vec::new();
    for action in &written.actions {
        hints.extend(unknown_action(action));
    }
    for resource in &written.resources {
        if !can_match(resource) {
            hints.push(format!(
                "the resource {resource:?} can never match: here are arn:aws:s3:::BUCKET, arn:aws:s3:::BUCKET/KEY, \
                 arn:aws:iam::ACCOUNT:role/NAME and arn:aws:iam::ACCOUNT:user/NAME"
            ));
        }
    }
    let everything =
        |list: &[String]| list.iter().any(|text| matches!(text.as_str(), "*" | "s3:*" | "arn:aws:s3:::*"));
    if statement.effect() == Effect::Allow
        && !statement.has_conditions()
        && everything(&written.actions)
        && everything(&written.resources)
        && !written.not_action
        && !written.not_resource
    {
        hints.push("it allows everything on everything".to_owned());
    }
    if !written.not_action && !written.not_resource {
        hints.extend(wrong_level(&written.actions, &written.resources));
    }
    hints
}

/// An action that selects nothing, with one that may have been meant.
fn unknown_action(pattern: &str) -> Option<String> {
    let lower = pattern.to_ascii_lowercase();
    let (service, _) = lower.split_once(':')?;
    if !matches!(service, "s3" | "sts") {
        return Some(format!("the action {pattern:?} is of a service that is not here; it never matches"));
    }
    if Action::matching(pattern).next().is_some() {
        return None;
    }
    let distance = |action: &Action| strsim::levenshtein(&action.name().to_ascii_lowercase(), &lower);
    let near = Action::all().min_by_key(distance).filter(|action| distance(action) <= 4);
    Some(match near {
        Some(near) => format!("there is no action {pattern:?}; did you mean {:?}?", near.name()),
        None => format!("there is no action {pattern:?}"),
    })
}

/// Whether some resource of this place could have such an ARN.
fn can_match(resource: &str) -> bool {
    let literal = resource.split(['*', '?']).next().unwrap_or_default();
    let literal = literal.split("${").next().unwrap_or_default();
    if let Some(path) = resource.strip_prefix("arn:aws:s3:::") {
        // No bucket is named by nothing, by part of an ARN or with a slash before it; no key is empty.
        let (bucket, key) = path.split_once('/').map_or((path, None), |(bucket, key)| (bucket, Some(key)));
        let bucket = bucket.split("${").next().unwrap_or_default();
        return !(path.is_empty() || path.starts_with('/') || key == Some("") || bucket.contains(':'));
    }
    ["arn:aws:s3:::", "arn:aws:iam::", "arn:aws:sts::"]
        .iter()
        .any(|prefix| literal.starts_with(prefix) || prefix.starts_with(literal))
}

/// Actions on buckets beside objects alone, or actions on objects beside buckets alone.
fn wrong_level(actions: &[String], resources: &[String]) -> Option<String> {
    let level = |action: Action| {
        let spec = operation::all().find(|spec| {
            spec.actions.contains(&action.name()) || spec.version_actions.contains(&action.name())
        })?;
        Some(if spec.name == "DeleteObjects" { Level::Object } else { spec.level })
    };
    let levels: HashSet<Level> =
        actions.iter().flat_map(|pattern| Action::matching(pattern)).filter_map(level).collect();
    let is_object =
        |resource: &String| resource.strip_prefix("arn:aws:s3:::").is_some_and(|path| path.contains('/'));
    let is_bucket = |resource: &String| {
        resource.strip_prefix("arn:aws:s3:::").is_some_and(|path| !path.contains(['/', '*', '?', '$']))
    };
    let only = |level: Level| levels.len() == 1 && levels.contains(&level);
    let is_some_bucket = |resource: &String| is_bucket(resource) || is_object(resource);
    if only(Level::Service) && resources.iter().all(is_some_bucket) {
        return Some("its actions are on no bucket and its resources are: write \"*\"".to_owned());
    }
    if only(Level::Bucket) && resources.iter().all(is_object) {
        return Some(
            "its actions are on buckets and its resources are objects: write arn:aws:s3:::BUCKET without a slash \
             (MinIO lets BUCKET/* stand for it, AWS does not)"
                .to_owned(),
        );
    }
    if only(Level::Object) && resources.iter().all(is_bucket) {
        return Some(
            "its actions are on objects and its resources are buckets: write arn:aws:s3:::BUCKET/*"
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(statement: &str) -> Vec<String> {
        let policy =
            Policy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#)).unwrap();
        policy.statements().iter().flat_map(of_statement).collect()
    }

    #[test]
    fn what_is_likely_a_mistake_is_named() {
        for (statement, says) in [
            (
                r#"{"Effect":"Allow","Action":"s3:GetObjects","Resource":"arn:aws:s3:::b/*"}"#,
                "did you mean \"s3:GetObject\"",
            ),
            (
                r#"{"Effect":"Allow","Action":"s3:Fetch*","Resource":"arn:aws:s3:::b/*"}"#,
                "there is no action",
            ),
            (r#"{"Effect":"Allow","Action":"ec2:RunInstances","Resource":"*"}"#, "never matches"),
            (
                r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws-cn:s3:::b/*"}"#,
                "can never match",
            ),
            (
                r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:us-east-1:0:b/*"}"#,
                "can never match",
            ),
            (r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#, "everything on everything"),
            (r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::*"}"#, "everything on everything"),
            (r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/"}"#, "can never match"),
            (
                r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::/b/*"}"#,
                "can never match",
            ),
            (
                r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b:k"}"#,
                "can never match",
            ),
            (
                r#"{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"arn:aws:s3:::b"}"#,
                "on no bucket",
            ),
            (
                r#"{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::b/*"}"#,
                "its actions are on buckets",
            ),
            (
                r#"{"Effect":"Allow","Action":["s3:GetObject","s3:PutObject"],"Resource":"arn:aws:s3:::b"}"#,
                "its actions are on objects",
            ),
        ] {
            let hints = of(statement);
            assert!(hints.iter().any(|hint| hint.contains(says)), "{statement}: {hints:?}");
        }
    }

    #[test]
    fn a_role_that_nobody_can_assume_and_a_policy_that_nobody_has_are_named() {
        let read = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}}"#;
        let toml = format!(
            r#"
[[policy]]
name = "read"
document = '{read}'
[[policy]]
name = "unused"
document = '{read}'
[[role]]
name = "reader"
policies = ["read"]
[[role]]
name = "orphan"
policies = ["read"]
[[user]]
name = "alice"
access_key_id = "ALICEACCESSKEY000001"
secret_access_key = "alice-secret-alice-secret"
roles = ["reader"]
"#
        );
        let config = crate::config::loaded(&toml);
        let shown: Vec<String> = hints(&config).iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert!(shown[0].starts_with("policy `unused`: no user and no role has it"), "{shown:?}");
        assert!(shown[1].starts_with("role `orphan`: nobody can assume it"), "{shown:?}");
    }

    #[test]
    fn trust_that_lets_everybody_in_is_named() {
        let toml = r#"
[listen]
address = "0.0.0.0:9000"
[[policy]]
name = "read"
document = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}}'
[[role]]
name = "reader"
policies = ["read"]
[[role.trust]]
oidc = "idp"
[[role.trust]]
oidc = "idp"
claims = { groups = ["a", "*"] }
[[role.trust]]
oidc = "idp"
claims = { groups = "a*" }
[[oidc]]
name = "idp"
issuer = "http://id.example.org"
allow_http = true
client_ids = ["daypass"]
[[oidc]]
name = "idle"
issuer = "https://idle.example.org"
client_ids = ["daypass"]
"#;
        let config = crate::config::loaded(toml);
        let shown: Vec<String> = hints(&config).iter().map(ToString::to_string).collect();
        let says = [
            "role `reader`: a trust rule lets in everybody to whom `idp` gives a token",
            "role `reader`: a trust rule asks for a claim of `*`",
            "oidc.idp: allow_http",
            "oidc.idle: no role trusts it",
            "listen: tokens and passwords come in without TLS",
        ];
        assert_eq!(shown.len(), says.len(), "{shown:#?}");
        assert!(shown.iter().zip(says).all(|(hint, says)| hint.starts_with(says)), "{shown:#?}");
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        for statement in [
            r#"{"Effect":"Allow","Action":["s3:GetObject","s3:ListBucket"],"Resource":["arn:aws:s3:::b","arn:aws:s3:::b/*"]}"#,
            r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#,
            r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b*"}"#,
            r#"{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}"#,
            r#"{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"arn:aws:iam::000000000000:role/x"}"#,
            r#"{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::home/${aws:username}/*"}"#,
        ] {
            assert_eq!(of(statement), Vec::<String>::new(), "{statement}");
        }
    }
}
