//! What a proof said, as far as policies and trust rules may ask.
//!
//! A token can say more than fits into a header. So a session keeps the claims that the configuration or its session policy asks
//! for, and a few that tell who it is.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Way;

/// The kept claims may take this much, written as JSON: they are part of a token that goes with every request.
const MAX_BYTES: usize = 6 * 1024;

/// The value of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Claim {
    One(String),
    Many(Vec<String>),
}

impl Claim {
    pub fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }

    /// Texts, numbers and truth values, and lists of them. Whatever else a proof says can be reached by a pointer alone.
    fn of(value: &Value) -> Option<Self> {
        if let Value::Array(list) = value {
            // What of a list is no value is left out: a denial must not end because something stands beside what it names.
            return Some(Self::Many(list.iter().filter_map(text).collect()));
        }
        text(value).map(Self::One)
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// By condition key, in lower case: `jwt:sub`, `jwt:/realm_access/roles`, `ldap:username`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Claims(BTreeMap<String, Claim>);

impl Claims {
    pub fn get(&self, key: &str) -> Option<&Claim> {
        self.0.get(key)
    }

    pub(super) fn replace(&mut self, key: &str, claim: Claim) {
        self.0.insert(key.to_owned(), claim);
    }

    /// Roughly what they take in memory.
    pub(super) fn size(&self) -> usize {
        let values = |claim: &Claim| claim.values().iter().map(|value| value.len() + 24).sum::<usize>();
        self.0.iter().map(|(key, claim)| key.len() + 72 + values(claim)).sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Claim)> {
        self.0.iter().map(|(key, claim)| (key.as_str(), claim))
    }
}

/// Why the claims of a proof cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TooManyClaims {
    #[error("the claims that policies and trust rules ask for take more than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("the claim {0} is there more than once, in upper and lower case")]
    Ambiguous(String),
}

/// What is kept of every proof, whatever the configuration asks.
const ALWAYS: &[&str] =
    &["jwt:iss", "jwt:sub", "jwt:aud", "ldap:user", "ldap:username", "certificate:cn", "webhook:user"];

/// What the configuration may ask of an identity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedClaims {
    /// Condition keys in lower case.
    keys: BTreeSet<String>,
    /// Canonical DNs.
    groups: BTreeSet<String>,
}

impl AskedClaims {
    pub fn new(keys: impl IntoIterator<Item = String>, groups: impl IntoIterator<Item = String>) -> Self {
        let keys = keys.into_iter().map(|key| key.to_ascii_lowercase());
        Self {
            keys: keys.chain(ALWAYS.iter().map(|key| (*key).to_owned())).collect(),
            groups: groups.into_iter().collect(),
        }
    }

    /// With those that a session policy asks for too.
    #[must_use]
    pub fn and(&self, keys: impl IntoIterator<Item = String>) -> Self {
        let mut all = self.clone();
        all.keys.extend(keys.into_iter().map(|key| key.to_ascii_lowercase()));
        all
    }

    /// Those of the groups that may be asked for.
    pub fn groups(&self, all: &[String]) -> Vec<String> {
        all.iter().filter(|dn| self.groups.contains(*dn)).cloned().collect()
    }

    pub(super) fn select(&self, way: &Way, said: &Map<String, Value>) -> Result<Claims, TooManyClaims> {
        let prefix = format!("{}:", way.namespace());
        let mut kept = BTreeMap::new();
        let mut size = 0_usize;
        for key in &self.keys {
            let Some(name) = key.strip_prefix(&prefix) else { continue };
            let Some(claim) = find(said, name)?.and_then(Claim::of) else { continue };
            // OAuth writes a list of scopes as one text (RFC 6749, 3.3).
            let claim = match claim {
                Claim::One(text) if matches!(name, "scope" | "scp") => Claim::Many(
                    text.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
                ),
                claim => claim,
            };
            size += key.len() + claim.values().iter().map(|value| value.len() + 4).sum::<usize>();
            kept.insert(key.clone(), claim);
        }
        if size > MAX_BYTES {
            return Err(TooManyClaims::TooLarge);
        }
        Ok(Claims(kept))
    }
}

/// A member by its name, or by a JSON pointer (RFC 6901). Condition keys ignore case, so names do too; two names that
/// differ in case alone cannot be told apart.
fn find<'v>(said: &'v Map<String, Value>, name: &str) -> Result<Option<&'v Value>, TooManyClaims> {
    let Some(pointer) = name.strip_prefix('/') else { return member(said, name) };
    let mut at: Option<&Value> = None;
    for (depth, segment) in pointer.split('/').enumerate() {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        let object = match (depth, at) {
            (0, _) => said,
            (_, Some(Value::Object(object))) => object,
            _ => return Ok(None),
        };
        at = member(object, &segment)?;
    }
    Ok(at)
}

fn member<'v>(object: &'v Map<String, Value>, name: &str) -> Result<Option<&'v Value>, TooManyClaims> {
    let mut fitting = object.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    let first = fitting.next();
    if fitting.next().is_some() {
        return Err(TooManyClaims::Ambiguous(name.to_owned()));
    }
    Ok(first.map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(keys: &[&str], said: &str) -> Result<Claims, TooManyClaims> {
        let Value::Object(said) = serde_json::from_str(said).unwrap() else { panic!("no object") };
        AskedClaims::new(keys.iter().map(|key| (*key).to_owned()), []).select(&Way::Oidc("p".into()), &said)
    }

    fn values(claims: &Claims, key: &str) -> Option<Vec<String>> {
        claims.get(key).map(|claim| claim.values().to_vec())
    }

    #[test]
    fn only_what_is_asked_is_kept_and_what_tells_who_it_is() {
        let claims = select(&["jwt:groups"], r#"{"sub":"a","groups":["x","y"],"email":"a@b"}"#).unwrap();
        assert_eq!(values(&claims, "jwt:groups"), Some(vec!["x".into(), "y".into()]));
        assert_eq!(values(&claims, "jwt:sub"), Some(vec!["a".into()]));
        assert_eq!(values(&claims, "jwt:email"), None);
    }

    #[test]
    fn a_pointer_reaches_into_objects_and_case_is_ignored() {
        let said = r#"{"Realm_access":{"roles":["r"]},"https://e.org/team":"red","a/b":1,"ok":true}"#;
        let keys = [
            "jwt:/realm_access/Roles",
            "jwt:https://e.org/team",
            "jwt:/a~1b",
            "jwt:OK",
            "jwt:/realm_access/none/x",
        ];
        let claims = select(&keys, said).unwrap();
        assert_eq!(values(&claims, "jwt:/realm_access/roles"), Some(vec!["r".into()]));
        assert_eq!(values(&claims, "jwt:https://e.org/team"), Some(vec!["red".into()]));
        assert_eq!(values(&claims, "jwt:/a~1b"), Some(vec!["1".into()]));
        assert_eq!(values(&claims, "jwt:ok"), Some(vec!["true".into()]));
        assert_eq!(values(&claims, "jwt:/realm_access/none/x"), None);
    }

    #[test]
    fn a_claim_that_is_there_in_two_cases_is_refused() {
        assert_eq!(
            select(&["jwt:groups"], r#"{"groups":"a","Groups":"b"}"#),
            Err(TooManyClaims::Ambiguous("groups".into()))
        );
    }

    #[test]
    fn objects_are_no_values_and_are_left_out_of_lists() {
        let claims = select(&["jwt:a", "jwt:b", "jwt:c"], r#"{"a":{"x":1},"b":["x",{}],"c":null}"#).unwrap();
        assert_eq!((values(&claims, "jwt:a"), values(&claims, "jwt:c")), (None, None));
        assert_eq!(values(&claims, "jwt:b"), Some(vec!["x".into()]));
    }

    #[test]
    fn scopes_are_a_list() {
        let claims = select(&["jwt:scope"], r#"{"scope":"openid  s3"}"#).unwrap();
        assert_eq!(values(&claims, "jwt:scope"), Some(vec!["openid".into(), "s3".into()]));
    }

    #[test]
    fn more_than_a_header_can_carry_is_refused() {
        let groups: Vec<String> = (0..1000).map(|number| format!("group-{number}")).collect();
        let said = serde_json::json!({ "groups": groups }).to_string();
        assert_eq!(select(&["jwt:groups"], &said), Err(TooManyClaims::TooLarge));
        assert!(select(&[], &said).is_ok());
    }
}
