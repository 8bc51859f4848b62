//! The policy engine against a second one, written from the specification and as slow as it likes, over generated policies
//! and requests. `POLICY_CASES` says how many; `POLICY_CASES_FILE` writes them down with our decision, one JSON a line, for
//! evaluators in other languages.
#![expect(clippy::unwrap_used, clippy::panic, unreachable_pub, reason = "a test that cannot go on fails")]

mod generate;
mod reference;

use std::{env, fs::File, io::Write, sync::Arc};

use daypass::iam::{
    Action, ConditionKey, Context, Decision, EffectivePolicies, GivenContext, Policy, PolicySet, Request,
    Values,
};
use serde_json::{Value, json};

use self::generate::{Case, Source};

struct Tagged;

impl Context for Tagged {
    fn values<'c>(&'c self, _: &ConditionKey) -> Values<'c> {
        Values::of(Some("team"))
    }
}

#[test]
fn an_allowed_request_allocates_nothing() {
    for statements in [1, 10, 200] {
        let list: Vec<String> = (0..statements)
            .map(|number| {
                format!(
                    r#"{{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b{number}/${{aws:PrincipalTag/x}}/*","Condition":{{"StringLike":{{"aws:UserAgent":"t*"}},"Bool":{{"aws:SecureTransport":"false"}}}}}},
                    {{"Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3:::b{number}/${{aws:PrincipalTag/x}}/*","Condition":{{"StringNotLike":{{"aws:UserAgent":"x*"}}}}}}"#
                )
            })
            .collect();
        // A policy has an upper size.
        let sets = list.chunks(20).map(|chunk| {
            let document = format!(r#"{{"Version":"2012-10-17","Statement":[{}]}}"#, chunk.join(","));
            (Arc::from("p"), Arc::new(Policy::parse(&document).unwrap()))
        });
        let policies =
            EffectivePolicies { identity: Arc::new(PolicySet::new(sets.collect())), session: None };
        let action = Action::named("s3:GetObject").unwrap();
        let request = Request { action, resource: "arn:aws:s3:::b0/team/object", context: &Tagged };
        let mut allowed = false;
        let asked = allocation_counter::measure(|| allowed = policies.evaluate(&request).is_allow());
        assert!(allowed);
        assert_eq!(asked.count_total, 0, "{statements} statements");
    }
}

fn parse(document: &Value) -> Arc<Policy> {
    Arc::new(Policy::parse(&document.to_string()).unwrap_or_else(|error| panic!("{error}: {document}")))
}

fn ours(case: &Case) -> &'static str {
    let set = |document: &Value| Arc::new(PolicySet::inline(parse(document)));
    let policies = EffectivePolicies { identity: set(&case.policy), session: case.session.as_ref().map(set) };
    decide(case, &policies)
}

fn decide(case: &Case, policies: &EffectivePolicies) -> &'static str {
    let mut context = GivenContext::default();
    for (key, values) in &case.context {
        for value in values {
            context.add(key, value).unwrap();
        }
    }
    let action = Action::named(case.action).unwrap();
    match policies.evaluate(&Request { action, resource: case.resource, context: &context }) {
        Decision::Allow(_) => "allow",
        Decision::ExplicitDeny(..) => "deny",
        Decision::ImplicitDeny(_) => "implicit",
    }
}

#[expect(clippy::disallowed_methods, reason = "how long to look is not the product's configuration")]
fn cases_wanted() -> u64 {
    env::var("POLICY_CASES").map_or(20_000, |cases| cases.parse().unwrap())
}

/// So many statements that they are looked up in the index.
#[test]
fn both_engines_decide_alike_about_large_roles() {
    let mut seen = std::collections::HashMap::new();
    for seed in 0..cases_wanted() / 20 {
        let mut case = Source::new(seed).case();
        let policies: Vec<Value> =
            (0..20).map(|more| Source::new(u64::MAX / 2 + seed * 20 + more).narrow_policy()).collect();
        let sets = policies.iter().map(|policy| (Arc::from("p"), parse(policy))).collect();
        let statements: Vec<Value> =
            policies.iter().flat_map(|policy| policy["Statement"].as_array().unwrap().clone()).collect();
        assert!(statements.len() >= 40, "{}", statements.len());
        case.policy = json!({ "Version": "2012-10-17", "Statement": statements });
        case.session = None;
        let role = EffectivePolicies { identity: Arc::new(PolicySet::new(sets)), session: None };
        let expected = reference::decide(&case);
        assert_eq!(decide(&case, &role), expected, "{case:#?}");
        *seen.entry(expected).or_insert(0_u64) += 1;
    }
    for decision in ["allow", "deny", "implicit"] {
        assert!(seen.get(decision).is_some_and(|count| count * 400 > cases_wanted()), "{seen:?}");
    }
}

#[test]
fn both_engines_decide_alike() {
    #[expect(clippy::disallowed_methods, reason = "where to write is not the product's configuration")]
    let file = env::var("POLICY_CASES_FILE").ok();
    let cases = cases_wanted();
    let mut file = file.map(|file| std::io::BufWriter::new(File::create(file).unwrap()));
    let mut seen = std::collections::HashMap::new();
    for seed in 0..cases {
        let case = Source::new(seed).case();
        let expected = reference::decide(&case);
        let decided = ours(&case);
        assert_eq!(decided, expected, "{case:#?}");
        *seen.entry(decided).or_insert(0_u64) += 1;
        if let Some(file) = &mut file {
            let line = json!({
                "policy": case.policy, "session": case.session, "action": case.action, "resource": case.resource,
                "context": case.context, "decision": decided,
            });
            writeln!(file, "{line}").unwrap();
        }
    }
    // A generator that always denies would prove nothing.
    for decision in ["allow", "deny", "implicit"] {
        assert!(seen.get(decision).is_some_and(|count| count * 20 > cases), "{seen:?}");
    }
}
