//! Form uploads: a signed policy in a form's fields.
//!
//! AWS: "Browser-Based Uploads Using POST (AWS Signature Version 4)".

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::{
    authorization::{ALGORITHM, parse_credential},
    claim::Claim,
    error::{Error, Mismatch},
    key::{CredentialScope, SigningKey},
    payload::parse_lower_hex,
    request::{Mechanism, Rules, VerifiedSignature},
};
use crate::clock::Timestamp;

/// How old a signature may be: as long as a presigned URL may live.
const LONGEST: Duration = Duration::from_secs(604_800);
/// Of a field, in bytes: errors name it, and no header that is sent on has a longer one.
const MAX_NAME: usize = 128;

/// The fields of a form that come before its file, names in lower case.
#[derive(Debug, Default)]
pub struct FormFields(Vec<(String, String)>);

impl FormFields {
    /// Takes one more; a name that is given twice is refused, in whatever case.
    pub fn push(&mut self, name: &str, value: String) -> Result<(), PolicyProblem> {
        if name.len() > MAX_NAME {
            return Err(PolicyProblem::LongName);
        }
        let name = name.to_ascii_lowercase();
        if self.value(&name).is_some() {
            return Err(PolicyProblem::RepeatedField(name));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// By its name in lower case.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// Why a form is no upload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    #[error("The name of a field is longer than 128 bytes.")]
    LongName,
    #[error("The form has the field {0} more than once.")]
    RepeatedField(String),
    #[error("Invalid Policy: {0}.")]
    Malformed(&'static str),
    #[error("Invalid according to Policy: Policy expired.")]
    Expired,
    #[error("Invalid according to Policy: Policy Condition failed: {0}")]
    ConditionFailed(String),
    #[error("Invalid according to Policy: Extra input fields: {0}")]
    ExtraField(String),
}

/// What the holder of the key allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct PostPolicy {
    expiration: Timestamp,
    conditions: Vec<Condition>,
    length: Option<(u64, u64)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Condition {
    /// In lower case, without the dollar sign.
    field: String,
    value: String,
    is_prefix: bool,
}

impl PostPolicy {
    fn parse(base64: &str) -> Result<Self, PolicyProblem> {
        let malformed = PolicyProblem::Malformed;
        let bytes = STANDARD.decode(base64).map_err(|_| malformed("it is not base64"))?;
        let document: Value = serde_json::from_slice(&bytes).map_err(|_| malformed("it is not JSON"))?;
        let Value::Object(members) = document else { return Err(malformed("it is not an object")) };
        if members.keys().any(|name| name != "expiration" && name != "conditions") {
            return Err(malformed("it has a member other than expiration and conditions"));
        }
        let expiration = members.get("expiration").and_then(Value::as_str).and_then(Timestamp::parse_rfc3339);
        let expiration = expiration.ok_or_else(|| malformed("it has no expiration"))?;
        let Some(Value::Array(entries)) = members.get("conditions") else {
            return Err(malformed("it has no list of conditions"));
        };
        let mut policy = Self { expiration, conditions: Vec::new(), length: None };
        for entry in entries {
            policy.add(entry)?;
        }
        Ok(policy)
    }

    fn add(&mut self, entry: &Value) -> Result<(), PolicyProblem> {
        let malformed = || PolicyProblem::Malformed("a condition is not of a known form");
        match entry {
            Value::Object(members) if members.len() == 1 => {
                for (field, value) in members {
                    let value = value.as_str().ok_or_else(malformed)?;
                    self.conditions.push(Condition {
                        field: field.to_ascii_lowercase(),
                        value: value.to_owned(),
                        is_prefix: false,
                    });
                }
            }
            Value::Array(parts) => {
                let [operator, first, second] = parts.as_slice() else { return Err(malformed()) };
                let operator = operator.as_str().ok_or_else(malformed)?.to_ascii_lowercase();
                if operator == "content-length-range" {
                    let (least, most) =
                        (first.as_u64().ok_or_else(malformed)?, second.as_u64().ok_or_else(malformed)?);
                    if self.length.replace((least, most)).is_some() {
                        return Err(PolicyProblem::Malformed("it has two content-length-range conditions"));
                    }
                    return Ok(());
                }
                let is_prefix = match operator.as_str() {
                    "eq" => false,
                    "starts-with" => true,
                    _ => return Err(malformed()),
                };
                let field = first.as_str().and_then(|name| name.strip_prefix('$')).ok_or_else(malformed)?;
                let value = second.as_str().ok_or_else(malformed)?.to_owned();
                self.conditions.push(Condition { field: field.to_ascii_lowercase(), value, is_prefix });
            }
            _ => return Err(malformed()),
        }
        Ok(())
    }

    /// Whether every condition holds and every field has one. `key` is the final one; bucket and key must be conditioned.
    pub fn check(
        &self,
        fields: &FormFields,
        bucket: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<(), PolicyProblem> {
        if now >= self.expiration {
            return Err(PolicyProblem::Expired);
        }
        for condition in &self.conditions {
            let value = match condition.field.as_str() {
                "bucket" => bucket,
                "key" => key,
                other => fields.value(other).unwrap_or_default(),
            };
            let holds = if condition.is_prefix {
                value.starts_with(&condition.value)
            } else {
                value == condition.value
            };
            if !holds {
                let operator = if condition.is_prefix { "starts-with" } else { "eq" };
                let shown = format!("[\"{operator}\", \"${}\", \"{}\"]", condition.field, condition.value);
                return Err(PolicyProblem::ConditionFailed(shown));
            }
        }
        let named = fields.iter().map(|(name, _)| name).chain(["bucket", "key"]);
        for name in named.filter(|name| !goes_without(name)) {
            if !self.conditions.iter().any(|condition| condition.field == name) {
                return Err(PolicyProblem::ExtraField(name.to_owned()));
            }
        }
        Ok(())
    }

    /// The lengths that a file may have, if the policy says so.
    pub fn length_range(&self) -> Option<(u64, u64)> {
        self.length
    }
}

/// The fields that a policy need not name.
fn goes_without(name: &str) -> bool {
    matches!(name, "x-amz-signature" | "file" | "policy") || name.starts_with("x-ignore-")
}

/// A form that claims to be signed.
#[derive(Debug)]
pub struct SignedForm<'f> {
    policy_base64: &'f str,
    policy: PostPolicy,
    access_key_id: &'f str,
    scope: CredentialScope<'f>,
    signature: &'f str,
    signed_at: Timestamp,
    session_token: Option<&'f str>,
}

impl<'f> SignedForm<'f> {
    /// Reads the fields that authenticate. `None`: there are none of them.
    pub fn parse(fields: &'f FormFields) -> Result<Self, FormError> {
        let bad = |why: &str| Error::AuthorizationQueryParametersError(why.to_owned());
        let (Some(policy_base64), Some(signature)) =
            (fields.value("policy"), fields.value("x-amz-signature"))
        else {
            return Err(Error::MissingCredentials.into());
        };
        if fields.value("x-amz-algorithm") != Some(ALGORITHM) {
            return Err(Error::UnsupportedMechanism.into());
        }
        let credential =
            fields.value("x-amz-credential").ok_or_else(|| bad("The form has no field x-amz-credential"))?;
        let (access_key_id, scope) = parse_credential(credential).map_err(bad)?;
        let date = fields.value("x-amz-date").ok_or(Error::MissingDate)?;
        let signed_at = Timestamp::parse_amz_date(date).ok_or(Error::MissingDate)?;
        if date.get(..8) != Some(scope.date) {
            return Err(bad("The date in the credential is not the day of x-amz-date").into());
        }
        Ok(Self {
            policy_base64,
            policy: PostPolicy::parse(policy_base64)?,
            access_key_id,
            scope,
            signature,
            signed_at,
            session_token: fields.value("x-amz-security-token"),
        })
    }

    pub fn policy(&self) -> &PostPolicy {
        &self.policy
    }
}

impl Claim for SignedForm<'_> {
    fn access_key_id(&self) -> &str {
        self.access_key_id
    }

    fn session_token(&self) -> Option<&str> {
        self.session_token
    }

    fn scope(&self) -> CredentialScope<'_> {
        self.scope
    }

    fn signed_at(&self) -> Timestamp {
        self.signed_at
    }

    fn check_place_and_time(&self, rules: &Rules, now: Timestamp) -> Result<(), Error> {
        if self.scope.service != rules.service
            || !rules.regions.iter().any(|region| region == self.scope.region)
        {
            return Err(Error::AuthorizationQueryParametersError(
                "The credential of the form is for another region or service".to_owned(),
            ));
        }
        if self.signed_at > now.plus(rules.max_skew) {
            return Err(Error::NotYetValid { begins: self.signed_at, server: now });
        }
        if now >= self.signed_at.plus(LONGEST) {
            return Err(Error::Expired { ended: self.signed_at.plus(LONGEST), server: now });
        }
        Ok(())
    }

    /// The string to sign of a form is its policy, as sent.
    fn verify(&self, key: &SigningKey, rules: &Rules, now: Timestamp) -> Result<VerifiedSignature, Error> {
        self.check_place_and_time(rules, now)?;
        let provided = parse_lower_hex(self.signature);
        let equal = key.sign(self.policy_base64).ct_eq(&provided.unwrap_or_default());
        if provided.is_none() || !bool::from(equal) {
            return Err(Error::SignatureDoesNotMatch(Box::new(Mismatch {
                access_key_id: self.access_key_id.to_owned(),
                signature_provided: self.signature.to_owned(),
                string_to_sign: self.policy_base64.to_owned(),
                canonical_request: String::new(),
            })));
        }
        Ok(VerifiedSignature::of_form(Mechanism::Form))
    }
}

/// Why a form proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    #[error(transparent)]
    Signature(#[from] Error),
    #[error(transparent)]
    Policy(#[from] PolicyProblem),
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_unix(1_795_435_200);

    fn policy(conditions: &str) -> Result<PostPolicy, PolicyProblem> {
        let json = format!(r#"{{"expiration":"2026-11-23T12:00:01Z","conditions":[{conditions}]}}"#);
        PostPolicy::parse(&STANDARD.encode(json))
    }

    fn fields(pairs: &[(&str, &str)]) -> FormFields {
        let mut fields = FormFields::default();
        for (name, value) in pairs {
            fields.push(name, (*value).to_owned()).unwrap();
        }
        fields
    }

    const PLACE: &str = r#"{"bucket":"b"},["starts-with","$Key","user/"]"#;

    #[test]
    fn every_condition_must_hold() {
        let policy = policy(&format!(r#"{PLACE},["eq","$Content-Type","a/b"],{{"acl":"private"}}"#)).unwrap();
        let good = fields(&[("key", "x"), ("content-type", "a/b"), ("ACL", "private"), ("x-ignore-me", "1")]);
        assert_eq!(policy.check(&good, "b", "user/k", NOW), Ok(()));
        for (bucket, key, content_type) in
            [("c", "user/k", "a/b"), ("b", "other/k", "a/b"), ("b", "user/k", "a/bc")]
        {
            let form = fields(&[("content-type", content_type), ("acl", "private")]);
            let failed = policy.check(&form, bucket, key, NOW);
            assert!(matches!(failed, Err(PolicyProblem::ConditionFailed(_))), "{failed:?}");
        }
        let missing = policy.check(&fields(&[("acl", "private")]), "b", "user/k", NOW);
        assert!(matches!(missing, Err(PolicyProblem::ConditionFailed(_))));
    }

    #[test]
    fn every_field_must_have_a_condition() {
        let policy = policy(PLACE).unwrap();
        let extra = policy.check(&fields(&[("x-amz-meta-a", "1")]), "b", "user/k", NOW);
        assert_eq!(extra, Err(PolicyProblem::ExtraField("x-amz-meta-a".into())));
        for place in [r#"{"bucket":"b"}"#, r#"{"key":"user/k"}"#] {
            let unplaced = PostPolicy::parse(
                &STANDARD
                    .encode(format!(r#"{{"expiration":"2026-11-23T12:00:01Z","conditions":[{place}]}}"#)),
            )
            .unwrap();
            assert!(matches!(
                unplaced.check(&fields(&[]), "b", "user/k", NOW),
                Err(PolicyProblem::ExtraField(_))
            ));
        }
    }

    #[test]
    fn a_policy_ends_at_its_expiration() {
        let policy = policy(PLACE).unwrap();
        assert_eq!(
            policy.check(&fields(&[]), "b", "user/k", NOW.plus(Duration::from_secs(1))),
            Err(PolicyProblem::Expired)
        );
    }

    #[test]
    fn the_length_range_is_read_once() {
        assert_eq!(policy(r#"["content-length-range",1,10]"#).unwrap().length_range(), Some((1, 10)));
        for conditions in [
            r#"["content-length-range",1,10],["content-length-range",0,99]"#,
            r#"["content-length-range",-1,10]"#,
            r#"["content-length-range","1","10"]"#,
            r#"["ends-with","$key","x"]"#,
            r#"["eq","key","x"]"#,
            r#"["eq","$key"]"#,
            r#"{"a":"1","b":"2"}"#,
            r#"{"a":1}"#,
            r#""a""#,
        ] {
            assert!(matches!(policy(conditions), Err(PolicyProblem::Malformed(_))), "{conditions}");
        }
    }

    #[test]
    fn the_name_of_a_field_has_bounds() {
        let mut form = FormFields::default();
        assert_eq!(form.push(&"n".repeat(128), String::new()), Ok(()));
        assert_eq!(form.push(&"n".repeat(129), String::new()), Err(PolicyProblem::LongName));
    }

    #[test]
    fn a_field_is_given_once_in_whatever_case() {
        let mut form = fields(&[("Key", "a")]);
        assert_eq!(form.push("KEY", "b".into()), Err(PolicyProblem::RepeatedField("key".into())));
    }
}
