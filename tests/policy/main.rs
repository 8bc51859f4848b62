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

fn ours(case: &Case) -> &'static str {
    let set = |document: &Value| {
        let policy =
            Policy::parse(&document.to_string()).unwrap_or_else(|error| panic!("{error}: {document}"));
        Arc::new(PolicySet::inline(Arc::new(policy)))
    };
    let policies = EffectivePolicies { identity: set(&case.policy), session: case.session.as_ref().map(set) };
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

#[test]
fn both_engines_decide_alike() {
    #[expect(clippy::disallowed_methods, reason = "how long to look is not the product's configuration")]
    let (cases, file) = (env::var("POLICY_CASES").ok(), env::var("POLICY_CASES_FILE").ok());
    let cases: u64 = cases.map_or(20_000, |cases| cases.parse().expect("POLICY_CASES is a number"));
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
