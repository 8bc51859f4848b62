//! Requests of any method, path, query and headers: classifying and deciding one never panics; what is classified asks for
//! actions that exist; what is allowed under a policy without rights is nothing.
#![no_main]

use std::{net::Ipv4Addr, sync::Arc};

use daypass::{
    arn::AccountId,
    clock::Timestamp,
    iam::{Action, EffectivePolicies, Policy, PolicySet, Principal, PrincipalType},
    s3::{Arrival, Call, Described, Place, Subject, Target, authorize, profile::Profile},
    sigv4::{Mechanism, PayloadHash, decode_query},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u8, &str, &str, Vec<(&str, &str)>)| {
    let (method, path, query, pairs) = data;
    let methods = [Method::GET, Method::PUT, Method::POST, Method::DELETE, Method::HEAD, Method::OPTIONS];
    let method = &methods[usize::from(method) % methods.len()];
    let Some(profile) = Profile::named("minio") else { return };
    let Ok(target) = Target::read(&Place::Gateway, &format!("/{path}"), profile) else { return };
    let Ok(parameters) = decode_query(query) else { return };
    let mut headers = HeaderMap::new();
    for (name, value) in pairs.iter().take(20) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        {
            headers.append(name, value);
        }
    }
    let given = parameters.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
    let Ok(call) = Call::classify(method, target.clone(), given, &headers) else { return };
    assert!(call.spec().refused.is_none());
    assert!(call.query().len() <= parameters.len());
    assert!(!call.spec().actions.is_empty());
    for action in call.spec().actions.iter().chain(call.spec().version_actions) {
        assert!(Action::named(action).is_some(), "{action}");
    }
    let Some(account) = AccountId::parse("000000000000") else { return };
    let principal = Principal {
        arn: "arn:aws:iam::000000000000:user/fuzz".into(),
        account,
        kind: PrincipalType::User,
        user_id: "AIDA".to_owned(),
        username: Some("fuzz".to_owned()),
        tags: Vec::new(),
        claims: Vec::new(),
        issued_at: None,
    };
    let now = Timestamp::from_unix(1_795_435_200);
    let policies = EffectivePolicies { identity: Arc::new(rights()), session: None };
    let subject = Subject {
        principal: &principal,
        policies: &policies,
        profile,
        arrival: Arrival {
            address: Ipv4Addr::LOCALHOST.into(),
            tls: false,
            now,
            mechanism: Mechanism::Header,
            signed_at: now,
            region: "us-east-1",
            payload: &PayloadHash::Unsigned,
        },
    };
    if let Ok(permit) = authorize(call, &headers, &Described::default(), subject) {
        assert_ne!(permit.target().bucket(), Some("payroll"));
        assert_eq!(permit.target(), &target);
    }
});

/// Everything, with conditions that look at the request, and nothing in one bucket.
fn rights() -> PolicySet {
    let document = r#"{"Version":"2012-10-17","Statement":[
        {"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringNotLike":{"s3:prefix":"no*","s3:x-amz-copy-source":"payroll/*"}}},
        {"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAllValues:StringEquals":{"s3:RequestObjectTagKeys":["a"]}}},
        {"Effect":"Deny","Action":"*","Resource":["arn:aws:s3:::payroll","arn:aws:s3:::payroll/*"]}]}"#;
    match Policy::parse(document) {
        Ok(policy) => PolicySet::inline(Arc::new(policy)),
        Err(problem) => panic!("{problem}"),
    }
}
