//! Access for everybody: ACLs and bucket policies at the backend that would let anonymous callers in, past this gateway.

use std::{borrow::Cow, collections::HashSet};

use http::HeaderMap;
use quick_xml::{Reader, events::Event};

use super::{
    error::{ErrorCode, S3Error},
    operation::Spec,
    xml_text,
};

/// The groups that stand for everybody and for everybody with an account of any kind.
const EVERYBODY: [&str; 2] = ["allusers", "authenticatedusers"];

/// Refuses what would make something public. What cannot be read cannot be shown not to.
pub fn refuse_public(spec: &Spec, headers: &HeaderMap, document: &[u8]) -> Result<(), S3Error> {
    let named = |value: &[u8]| {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        EVERYBODY.iter().any(|group| value.contains(group))
    };
    for (name, value) in headers {
        let public = match name.as_str() {
            "x-amz-acl" => !matches!(
                value.as_bytes(),
                b"private"
                    | b"bucket-owner-read"
                    | b"bucket-owner-full-control"
                    | b"aws-exec-read"
                    | b"log-delivery-write"
            ),
            name if name.starts_with("x-amz-grant-") => named(value.as_bytes()),
            _ => false,
        };
        if public {
            return Err(refused("ACL"));
        }
    }
    match spec.name {
        "PutBucketAcl" | "PutObjectAcl" if acl_names_everybody(document)? => Err(refused("ACL")),
        "PutBucketPolicy" if policy_names_everybody(document)? => Err(refused("policy")),
        _ => Ok(()),
    }
}

fn refused(what: &str) -> S3Error {
    S3Error::new(
        ErrorCode::AccessDenied,
        format!(
            "Access Denied: a public {what} would let anybody in past this gateway, which is blocked here."
        ),
    )
    .caused_by("blocked by backend.allow_public = false")
}

fn acl_names_everybody(document: &[u8]) -> Result<bool, S3Error> {
    let malformed =
        || S3Error::new(ErrorCode::MalformedACLError, "The ACL that you provided was not well formed.");
    let text = xml_text::read(document).ok_or_else(malformed)?;
    let mut reader = Reader::from_str(text);
    let mut gathered = String::new();
    loop {
        match reader.read_event().map_err(|_| malformed())? {
            Event::Text(piece) => gathered.push_str(&piece),
            Event::CData(piece) => gathered.push_str(&piece),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(character)) => gathered.push(character),
                Ok(None) => {}
                Err(_) => return Err(malformed()),
            },
            Event::DocType(_) => return Err(malformed()),
            Event::Start(_) | Event::Empty(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::End(_) => gathered.push('\n'),
            Event::Eof => {
                let gathered = gathered.to_ascii_lowercase();
                return Ok(EVERYBODY.iter().any(|group| gathered.contains(group)));
            }
        }
    }
}

/// Names are compared without regard to case, because some backends read them so; for those a name that stands twice in two
/// spellings has two readings.
fn policy_names_everybody(document: &[u8]) -> Result<bool, S3Error> {
    let malformed =
        || S3Error::new(ErrorCode::MalformedPolicy, "Policies must be valid JSON, each name given once.");
    let text = std::str::from_utf8(document).map_err(|_| malformed())?;
    let policy = crate::iam::read_json(text).filter(|json| !has_two_spellings(json)).ok_or_else(malformed)?;
    let statements = member(&policy, "statement");
    let list: Cow<'_, [serde_json::Value]> = match statements {
        Some(serde_json::Value::Array(list)) => Cow::Borrowed(list),
        Some(single) => Cow::Owned(vec![single.clone()]),
        None => Cow::Borrowed(&[]),
    };
    Ok(list.iter().any(|statement| {
        let denies = member(statement, "effect").and_then(|effect| effect.as_str()) == Some("Deny");
        !denies
            && (member(statement, "notprincipal").is_some()
                || member(statement, "principal").is_some_and(holds_a_star))
    }))
}

fn member<'j>(json: &'j serde_json::Value, name: &str) -> Option<&'j serde_json::Value> {
    json.as_object()?.iter().find(|(known, _)| folded(known) == name).map(|(_, value)| value)
}

fn has_two_spellings(json: &serde_json::Value) -> bool {
    match json {
        serde_json::Value::Array(list) => list.iter().any(has_two_spellings),
        serde_json::Value::Object(members) => {
            let mut names = HashSet::new();
            members.iter().any(|(name, value)| !names.insert(folded(name)) || has_two_spellings(value))
        }
        _ => false,
    }
}

/// What Unicode takes for the same letter: Go's JSON reader takes a long s for an s and the sign of Kelvin for a k.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

fn holds_a_star(json: &serde_json::Value) -> bool {
    match json {
        serde_json::Value::String(text) => text.contains('*'),
        serde_json::Value::Array(list) => list.iter().any(holds_a_star),
        serde_json::Value::Object(members) => members.values().any(holds_a_star),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::operation;

    fn outcome(operation: &str, headers: &[(&'static str, &str)], document: &str) -> Result<(), ErrorCode> {
        let spec = operation::all().find(|spec| spec.name == operation).unwrap();
        let headers =
            headers.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        refuse_public(spec, &headers.collect(), document.as_bytes()).map_err(|error| error.code)
    }

    #[test]
    fn a_public_acl_is_refused_however_it_is_written() {
        let refused = Err(ErrorCode::AccessDenied);
        for acl in ["public-read", "public-read-write", "authenticated-read", "something-new"] {
            assert_eq!(outcome("PutObject", &[("x-amz-acl", acl)], ""), refused, "{acl}");
        }
        for acl in ["private", "bucket-owner-full-control"] {
            assert_eq!(outcome("PutObject", &[("x-amz-acl", acl)], ""), Ok(()), "{acl}");
        }
        let group = "uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"";
        assert_eq!(
            outcome("PutBucketAcl", &[("x-amz-grant-read", group)], "<AccessControlPolicy/>"),
            refused
        );
        for uri in [
            "http://acs.amazonaws.com/groups/global/AllUsers",
            "http://acs.amazonaws.com/groups/global/All&#85;sers",
        ] {
            let document =
                format!("<AccessControlPolicy><Grantee><URI>{uri}</URI></Grantee></AccessControlPolicy>");
            assert_eq!(outcome("PutBucketAcl", &[], &document), refused);
        }
        assert_eq!(
            outcome("PutObjectAcl", &[], "<AccessControlPolicy><ID>me</ID></AccessControlPolicy>"),
            Ok(())
        );
        // Some storages read UTF-16 and UTF-7, where the name of the group has other bytes.
        let wide: String = "<URI>AllUsers</URI>".chars().flat_map(|character| [character, '\0']).collect();
        let named = "<?xml version=\"1.0\" encoding=\"UTF-7\"?><URI>All+AFU-sers</URI>";
        for document in [wide.as_str(), named] {
            assert_eq!(outcome("PutBucketAcl", &[], document), Err(ErrorCode::MalformedACLError));
        }
    }

    #[test]
    fn a_policy_for_everybody_is_refused_and_one_that_denies_everybody_is_not() {
        for (statement, expected) in [
            (
                r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"*"}"#,
                Err(ErrorCode::AccessDenied),
            ),
            (r#"{"effect":"Allow","principal":{"AWS":["*"]}}"#, Err(ErrorCode::AccessDenied)),
            (r#"{"Effect":"Allow","NotPrincipal":{"AWS":"x"}}"#, Err(ErrorCode::AccessDenied)),
            (r#"{"Effect":"Deny","Principal":"*"}"#, Ok(())),
            (r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:user/x"}}"#, Ok(())),
            (r#"{"Effect":"Deny","Effect":"Allow","Principal":"*"}"#, Err(ErrorCode::MalformedPolicy)),
            (r#"{"Effect":"Deny","effect":"Allow","Principal":"*"}"#, Err(ErrorCode::MalformedPolicy)),
            (
                r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::1:user/x"},"principal":"*"}"#,
                Err(ErrorCode::MalformedPolicy),
            ),
        ] {
            let document = format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#);
            assert_eq!(outcome("PutBucketPolicy", &[], &document), expected, "{statement}");
        }
        assert_eq!(outcome("PutBucketPolicy", &[], "no"), Err(ErrorCode::MalformedPolicy));
        let public = r#"[{"Effect":"Allow","Principal":"*"}]"#;
        // Go's JSON reader takes a long s for an s.
        let long_s = format!("{{\"\u{17f}tatement\":{public}}}");
        assert_eq!(outcome("PutBucketPolicy", &[], &long_s), Err(ErrorCode::AccessDenied));
        let twice = format!("{{\"Statement\":[],\"\u{17f}tatement\":{public}}}");
        assert_eq!(outcome("PutBucketPolicy", &[], &twice), Err(ErrorCode::MalformedPolicy));
    }
}
