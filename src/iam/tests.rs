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
    let action = Action::named(action).unwrap();
    let resource = format!("arn:aws:s3:::{resource}");
    match policies.evaluate(&Request { action, resource: &resource, context: &NoContext }) {
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
    let action = Action::named("s3:GetObject").unwrap();
    assert!(
        !nothing.evaluate(&Request { action, resource: "arn:aws:s3:::b/k", context: &NoContext }).is_allow()
    );
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>
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

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session>
#[test]
fn a_session_policy_only_narrows() {
    assert_eq!(decide(READ, Some(ALL), "s3:PutObject", "logs/a"), "no Identity");
    assert_eq!(decide(ALL, Some(READ), "s3:PutObject", "logs/a"), "no Session");
    assert!(decide(ALL, Some(READ), "s3:GetObject", "logs/a").starts_with("allow"));
    assert!(decide(READ, Some(READ), "s3:GetObject", "logs/a").starts_with("allow"));
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notresource.html>
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
        (r#"{"Effect":"Allow","Action":"s3.GetObject","Resource":"*"}"#, "/Statement/0/Action"),
        (r#"{"Effect":"Allow","Action":"*:*","Resource":"*"}"#, "/Statement/0/Action"),
        (r#"{"Effect":"Allow","Action":"s3:","Resource":"*"}"#, "/Statement/0/Action"),
        (r#"{"Effect":"Allow","Action":"*","Resource":"logs/*"}"#, "/Statement/0/Resource"),
        (
            r#"{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:usernam}/*"}"#,
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
fn an_empty_sid_is_none_and_another_stands_once() {
    let of =
        |sid: &str| format!(r#"{{"Sid":"{sid}","Effect":"Allow","Action":"s3:GetObject","Resource":"*"}}"#);
    let unnamed = policy(&format!("{},{}", of(""), of(""))).unwrap();
    assert!(unnamed.statements().iter().all(|statement| statement.sid().is_none()));
    let refused = policy(&format!("{},{}", of("One"), of("One"))).unwrap_err();
    assert_eq!(refused.place, "/Statement/1/Sid");
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
