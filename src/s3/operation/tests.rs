//! The table against itself.

use std::collections::HashSet;

use http::{HeaderMap, Method};

use super::{BodyKind, Call, Kind, Level, all};
use crate::s3::{ErrorCode, profile::Profile, target::Target};

fn target(level: Level) -> Target {
    let profile = Profile::named("generic").unwrap();
    match level {
        Level::Service => Target::default(),
        Level::Bucket => Target::of("bucket", None, profile).unwrap(),
        Level::Object => Target::of("bucket", Some("key"), profile).unwrap(),
    }
}

#[test]
fn names_are_unique() {
    let mut seen = HashSet::new();
    for spec in all() {
        assert!(seen.insert(spec.name), "{}", spec.name);
    }
}

#[test]
fn every_operation_is_found_by_what_names_it() {
    for spec in all() {
        let parameters: Vec<(&str, &str)> = spec
            .selectors
            .iter()
            .map(|selector| match selector {
                super::Selector::Bare(name) => (*name, ""),
                super::Selector::Valued(name) => (*name, "1"),
                super::Selector::Exactly(name, value) => (*name, *value),
            })
            .collect();
        let mut headers = HeaderMap::new();
        if spec.kind == Kind::Copy {
            headers.insert("x-amz-copy-source", "b/k".parse().unwrap());
        }
        if spec.kind == Kind::Form {
            headers.insert("content-type", "multipart/form-data; boundary=x".parse().unwrap());
        }
        let method = Method::from_bytes(spec.method.as_str().as_bytes()).unwrap();
        let found = Call::classify(&method, target(spec.level), parameters.into_iter(), &headers);
        match spec.refused {
            None => assert_eq!(found.unwrap().spec().name, spec.name),
            Some(_) => {
                let error = found.unwrap_err();
                assert_eq!(error.code, ErrorCode::NotImplemented);
                assert!(error.message.contains(spec.name), "{}", error.message);
            }
        }
    }
}

#[test]
fn what_reads_takes_no_body_and_what_is_versioned_says_so() {
    for spec in all() {
        if matches!(spec.method.as_str(), "GET" | "HEAD" | "DELETE") {
            assert_eq!(spec.body, BodyKind::Empty, "{}", spec.name);
        }
        assert!(spec.version_actions.is_empty() || spec.level == Level::Object, "{}", spec.name);
    }
}

#[test]
fn a_parameter_of_no_operation_is_not_implemented_and_one_of_another_is_invalid() {
    for (name, code) in [("surprise", ErrorCode::NotImplemented), ("uploadId", ErrorCode::InvalidArgument)] {
        let call =
            Call::classify(&Method::GET, target(Level::Bucket), [(name, "1")].into_iter(), &HeaderMap::new());
        assert_eq!(call.unwrap_err().code, code, "{name}");
    }
    let for_logs = Call::classify(
        &Method::GET,
        target(Level::Object),
        [("x-id", "GetObject")].into_iter(),
        &HeaderMap::new(),
    );
    assert!(for_logs.unwrap().query().is_empty());
    let no_delimiter = Call::classify(
        &Method::GET,
        target(Level::Bucket),
        [("delimiter", "")].into_iter(),
        &HeaderMap::new(),
    );
    assert!(no_delimiter.unwrap().query().is_empty());
}
