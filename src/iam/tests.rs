use proptest::prelude::*;

use super::*;

fn policy(statements: &str) -> Result<Policy, PolicyError> {
    Policy::parse(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#))
}

fn set(name: &str, statements: &str) -> Arc<PolicySet> {
    let registry = PolicyRegistry::new([(name.to_owned(), policy(statements).unwrap())]);
    Arc::new(registry.resolve(&[name.to_owned()]).unwrap())
}

fn decide(identity: &str, session: Option<&str>, action: &str, resource: &str) -> String {
    let policies =
        EffectivePolicies { identity: set("p", identity), session: session.map(|text| set("s", text)) };
    match policies.evaluate(&Request { action, resource: &format!("arn:aws:s3:::{resource}") }) {
        Decision::Allow(statement) => format!("allow by {statement}"),
        Decision::ExplicitDeny(statement, by) => format!("deny by {statement} ({by:?})"),
        Decision::ImplicitDeny(by) => format!("no {by:?}"),
    }
}

const READ: &str =
    r#"{"Sid":"Read","Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::logs/*"}"#;
const ALL: &str = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
const NO_SECRETS: &str =
    r#"{"Sid":"NoSecrets","Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::logs/secret/*"}"#;

#[test]
fn nothing_that_allows_is_a_no() {
    assert_eq!(decide(READ, None, "s3:GetObject", "logs/a"), "allow by statement `Read` of p");
    assert_eq!(decide(READ, None, "s3:PutObject", "logs/a"), "no Identity");
    assert_eq!(decide(READ, None, "s3:GetObject", "logs"), "no Identity");
    assert_eq!(decide(READ, None, "s3:GetObject", "other/a"), "no Identity");
    let nothing = EffectivePolicies { identity: Arc::default(), session: None };
    assert!(!nothing.evaluate(&Request { action: "s3:GetObject", resource: "arn:aws:s3:::b/k" }).is_allow());
}

#[test]
fn an_explicit_deny_wins_wherever_it_stands() {
    for both in [format!("{ALL},{NO_SECRETS}"), format!("{NO_SECRETS},{ALL}")] {
        assert_eq!(
            decide(&both, None, "s3:GetObject", "logs/secret/a"),
            "deny by statement `NoSecrets` of p (Identity)"
        );
        assert!(decide(&both, None, "s3:GetObject", "logs/a").starts_with("allow"));
    }
    assert_eq!(
        decide(ALL, Some(&format!("{ALL},{NO_SECRETS}")), "s3:GetObject", "logs/secret/a"),
        "deny by statement `NoSecrets` of s (Session)"
    );
}

#[test]
fn a_session_policy_only_narrows() {
    assert_eq!(decide(READ, Some(ALL), "s3:PutObject", "logs/a"), "no Identity");
    assert_eq!(decide(ALL, Some(READ), "s3:PutObject", "logs/a"), "no Session");
    assert!(decide(ALL, Some(READ), "s3:GetObject", "logs/a").starts_with("allow"));
    assert!(decide(READ, Some(READ), "s3:GetObject", "logs/a").starts_with("allow"));
}

#[test]
fn not_action_and_not_resource_select_everything_else() {
    let not_action = r#"{"Effect":"Allow","NotAction":"s3:Delete*","Resource":"*"}"#;
    assert!(decide(not_action, None, "s3:GetObject", "b/k").starts_with("allow"));
    assert_eq!(decide(not_action, None, "s3:DeleteObject", "b/k"), "no Identity");
    let not_resource = format!(r#"{ALL},{{"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::b/*"}}"#);
    assert!(decide(&not_resource, None, "s3:GetObject", "b/k").starts_with("allow"));
    assert!(decide(&not_resource, None, "s3:GetObject", "c/k").starts_with("deny"));
}

#[test]
fn actions_ignore_case_and_resources_do_not() {
    let statement = r#"{"Effect":"Allow","Action":"S3:GETOBJECT","Resource":"arn:aws:s3:::Logs/*"}"#;
    assert!(decide(statement, None, "s3:GetObject", "Logs/a").starts_with("allow"));
    assert_eq!(decide(statement, None, "s3:GetObject", "logs/a"), "no Identity");
}

#[test]
fn a_name_without_a_policy_gives_no_set_at_all() {
    let registry = PolicyRegistry::new([("p".to_owned(), policy(ALL).unwrap())]);
    assert!(registry.resolve(&["p".to_owned()]).is_some());
    assert!(registry.resolve(&["p".to_owned(), "gone".to_owned()]).is_none());
}

#[test]
fn whatever_is_not_understood_is_refused_with_its_place() {
    for (document, place) in [
        ("", "line 1 column 0"),
        ("[]", "/"),
        ("{}", "/"),
        (r#"{"Version":"2012-10-17"}"#, "/"),
        (r#"{"Version":"2012-10-17","Statement":[]}"#, "/Statement"),
        (r#"{"Version":"2020-01-01","Statement":[]}"#, "/Version"),
        (r#"{"Version":2012,"Statement":[]}"#, "/Version"),
        (r#"{"Version":"2012-10-17","Version":"2012-10-17"}"#, "line 1 column 47"),
        (r#"{"Version":"2012-10-17","Statements":[]}"#, "/Statements"),
        (r#"{"Version":"2012-10-17","Statement":["x"]}"#, "/Statement/0"),
    ] {
        let refused = Policy::parse(document).unwrap_err();
        assert_eq!(refused.place, place, "{document}: {refused}");
    }
    for (statement, place) in [
        (r#"{"Effect":"Allow","Action":"*"}"#, "/Statement/0"),
        (r#"{"Effect":"Allow","Resource":"*"}"#, "/Statement/0"),
        (r#"{"Action":"*","Resource":"*"}"#, "/Statement/0"),
        (r#"{"Effect":"allow","Action":"*","Resource":"*"}"#, "/Statement/0/Effect"),
        (r#"{"Effect":"Allow","Action":[],"Resource":"*"}"#, "/Statement/0/Action"),
        (r#"{"Effect":"Allow","Action":[1],"Resource":"*"}"#, "/Statement/0/Action/0"),
        (r#"{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}"#, "/Statement/0/NotAction"),
        (r#"{"Effect":"Allow","Action":"*","Resource":"*","NotResource":"*"}"#, "/Statement/0/NotResource"),
        (r#"{"Effect":"Allow","Action":"ec2:Run","Resource":"*"}"#, "/Statement/0/Action"),
        (r#"{"Effect":"Allow","Action":"s3:","Resource":"*"}"#, "/Statement/0/Action"),
        (r#"{"Effect":"Allow","Action":"*","Resource":"logs/*"}"#, "/Statement/0/Resource"),
        (
            r#"{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username}/*"}"#,
            "/Statement/0/Resource",
        ),
        (r#"{"Effect":"Allow","Action":"*","Resource":"*","Condition":{}}"#, "/Statement/0/Condition"),
        (r#"{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}"#, "/Statement/0/Principal"),
        (r#"{"Effect":"Allow","Action":"*","Resource":"*","Sid":"a b"}"#, "/Statement/0/Sid"),
        (r#"{"Effect":"Allow","Actions":"*","Resource":"*"}"#, "/Statement/0/Actions"),
    ] {
        let refused = policy(statement).unwrap_err();
        assert_eq!(refused.place, place, "{statement}: {refused}");
    }
}

#[test]
fn a_misspelt_element_is_named_with_the_one_that_was_meant() {
    let refused = policy(r#"{"Effect":"Allow","Actions":"*","Resource":"*"}"#).unwrap_err();
    assert!(refused.problem.contains("did you mean `Action`"), "{refused}");
}

#[test]
fn a_policy_has_a_size_and_a_depth() {
    assert!(Policy::parse(&format!("{:30000}", "{")).is_err());
    assert!(Policy::parse(&"[".repeat(10_000)).is_err());
}

/// The rules again, as slow and plain as can be.
fn reference(statements: &[(bool, bool, &str, bool, &str)], action: &str, resource: &str) -> Option<bool> {
    fn glob(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                glob(rest, text) || text.split_first().is_some_and(|(_, tail)| glob(pattern, tail))
            }
            (Some((b'?', rest)), Some((_, tail))) => glob(rest, tail),
            (Some((p, rest)), Some((t, tail))) => p == t && glob(rest, tail),
            _ => false,
        }
    }
    let mut verdict = None;
    for (allow, not_action, actions, not_resource, resources) in statements {
        let lower = (actions.to_lowercase(), action.to_lowercase());
        let action_selected = glob(lower.0.as_bytes(), lower.1.as_bytes()) != *not_action;
        let resource_selected = glob(resources.as_bytes(), resource.as_bytes()) != *not_resource;
        if action_selected && resource_selected {
            verdict = Some(verdict.unwrap_or(true) && *allow);
        }
    }
    verdict
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn the_engine_decides_as_the_slow_reference_does(
        statements in proptest::collection::vec(
            (any::<bool>(), any::<bool>(), "s3:[GPgp*?]{1,3}", any::<bool>(), "arn:aws:s3:::[ab/*?]{0,5}"), 1..5),
        action in "s3:[GP]{1,3}",
        resource in "arn:aws:s3:::[ab/]{0,5}",
    ) {
        let statements: Vec<_> = statements.iter().map(|(a, b, c, d, e)| (*a, *b, c.as_str(), *d, e.as_str())).collect();
        let json: Vec<String> = statements.iter().map(|(allow, not_action, actions, not_resource, resources)| format!(
            r#"{{"Effect":"{}","{}":"{actions}","{}":"{resources}"}}"#,
            if *allow { "Allow" } else { "Deny" },
            if *not_action { "NotAction" } else { "Action" },
            if *not_resource { "NotResource" } else { "Resource" },
        )).collect();
        let policies = EffectivePolicies { identity: set("p", &json.join(",")), session: None };
        let decided = policies.evaluate(&Request { action: &action, resource: &resource });
        let expected = reference(&statements, &action, &resource);
        match decided {
            Decision::Allow(_) => prop_assert_eq!(expected, Some(true)),
            Decision::ExplicitDeny(..) => prop_assert_eq!(expected, Some(false)),
            Decision::ImplicitDeny(_) => prop_assert_eq!(expected, None),
        }
    }

    #[test]
    fn arbitrary_documents_never_panic(document in ".{0,200}") {
        let _ = Policy::parse(&document);
    }
}
