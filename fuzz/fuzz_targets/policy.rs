//! Policies of any bytes: reading one never panics, and what was read decides the same twice, allows nothing without a
//! statement that allows, and is never widened by a session policy.
#![no_main]

use std::sync::Arc;

use daypass::iam::{Action, Decision, EffectivePolicies, GivenContext, Policy, PolicySet, Request};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&str, &str, u8, &str)| {
    let (document, resource, action, prefix) = data;
    // Most of a random document is no policy; its statements alone are read more often.
    let wrapped = format!(r#"{{"Version":"2012-10-17","Statement":[{document}]}}"#);
    for text in [document, wrapped.as_str()] {
        let Ok(policy) = Policy::parse(text) else { continue };
        let policy = Arc::new(policy);
        let set = || Arc::new(PolicySet::inline(policy.clone()));
        let alone = EffectivePolicies { identity: set(), session: None };
        let narrowed = EffectivePolicies { identity: set(), session: Some(set()) };
        let mut context = GivenContext::default();
        for (key, value) in
            [("s3:prefix", prefix), ("aws:username", resource), ("aws:SourceIp", "203.0.113.9")]
        {
            assert!(context.add(key, value).is_ok());
        }
        let Some(action) = Action::all().nth(usize::from(action) % Action::all().count()) else { return };
        let request = Request { action, resource, context: &context };
        let decision = alone.evaluate(&request);
        assert_eq!(decision, alone.evaluate(&request));
        assert_eq!(decision.is_allow(), narrowed.evaluate(&request).is_allow());
        let considered = alone.consider(&request);
        let denies = considered.iter().any(|one| one.applies() && one.effect == daypass::iam::Effect::Deny);
        let allows = considered.iter().any(|one| one.applies() && one.effect == daypass::iam::Effect::Allow);
        match decision {
            Decision::Allow(_) => assert!(allows && !denies),
            Decision::ExplicitDeny(..) => assert!(denies),
            Decision::ImplicitDeny(_) => assert!(!allows && !denies),
        }
    }
});
