//! Policies and requests that have something to do with each other.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// One question.
#[derive(Debug)]
pub struct Case {
    pub policy: Value,
    pub session: Option<Value>,
    pub action: &'static str,
    pub resource: &'static str,
    pub context: BTreeMap<&'static str, Vec<&'static str>>,
}

/// Random numbers (splitmix64), the same for the same seed.
#[derive(Debug)]
pub struct Source {
    state: u64,
    /// Only what MinIO's policy language has too.
    portable: bool,
}

const OBJECT_ACTIONS: &[&str] = &[
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:GetObjectVersion",
    "s3:PutObjectTagging",
    "s3:DeleteObjectVersion",
];
const BUCKET_ACTIONS: &[&str] = &["s3:ListBucket", "s3:ListBucketVersions", "s3:GetBucketLocation"];
const ACTION_PATTERNS: &[&str] = &[
    "*",
    "s3:*",
    "s3:Get*",
    "s3:GetObject",
    "S3:getobject",
    "s3:?etObject*",
    "s3:ListBucket",
    "s3:List*",
    "s3:DeleteObject",
    "s3:Put*Tagging",
    "s3:PutObject",
    "s3:*Object",
    "s3:*Version",
];
const OBJECTS: &[&str] = &[
    "arn:aws:s3:::logs/a",
    "arn:aws:s3:::logs/aab1",
    "arn:aws:s3:::logs/x/y/z",
    "arn:aws:s3:::home/bob/x",
    "arn:aws:s3:::home/bobby/x",
    "arn:aws:s3:::home/*/x",
    "arn:aws:s3:::team/red/x",
    "arn:aws:s3:::team/none/x",
    "arn:aws:s3:::Logs/a",
];
const BUCKETS: &[&str] = &["arn:aws:s3:::logs", "arn:aws:s3:::home", "arn:aws:s3:::team"];
const RESOURCE_PATTERNS: &[&str] = &[
    "*",
    "arn:aws:s3:::*",
    "arn:aws:s3:::logs",
    "arn:aws:s3:::logs/*",
    "arn:aws:s3:::lo*s/a*b?",
    "arn:aws:s3:::????/*",
    "arn:aws:s3:::home/${aws:username}/*",
    "arn:aws:s3:::team/${aws:PrincipalTag/team, 'none'}/*",
    "arn:aws:s3:::team/${aws:PrincipalTag/team}/*",
    "arn:aws:s3:::home/${*}/x",
    "arn:aws-cn:s3:::logs/*",
    "arn:aws:s3:::*/x",
    "arn:aws:s3:::logs/x/*/z",
];
/// Operators of a family, a key, the values a policy may write, the values a request may have.
type Family = (&'static [&'static str], &'static str, &'static [&'static str], &'static [&'static str]);
const TEXT: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
];
const NUMBER: &[&str] = &[
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
];
const DATE: &[&str] = &[
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
];
const FAMILIES: &[Family] = &[
    (
        TEXT,
        "s3:prefix",
        &["home/*", "home/${aws:username}/*", "HOME/bob/", "shared", "home/${aws:userid}/", "*"],
        &["home/bob/", "shared", "home/alice/x", "red", ""],
    ),
    (TEXT, "aws:UserAgent", &["curl*", "aws-cli/2.?", "curl"], &["curl", "curl/8", "aws-cli/2.1", "CURL"]),
    (TEXT, "aws:username", &["bob", "b*", "${aws:userid}", "alice"], &["bob", "bobby"]),
    (NUMBER, "s3:max-keys", &["10", "100", "9", "0"], &["10", "9", "100", "101"]),
    (
        DATE,
        "aws:CurrentTime",
        &["2026-11-24T00:00:00Z", "2026-11-23T23:00:00Z"],
        &["2026-11-24T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-25T00:00:00Z"],
    ),
    (&["Bool"], "aws:SecureTransport", &["true", "false"], &["true", "false"]),
    (
        &["IpAddress", "NotIpAddress"],
        "aws:SourceIp",
        &["203.0.113.0/24", "10.0.0.0/8", "2001:db8::/32", "203.0.113.9/32"],
        &["203.0.113.9", "203.0.113.10", "10.1.2.3", "2001:db8::1", "198.51.100.1"],
    ),
    (&["Null"], "s3:prefix", &["true", "false"], &["home/bob/", "shared"]),
    // From here on MinIO does not follow.
    (&["Null"], "aws:PrincipalTag/team", &["true", "false"], &["red"]),
    (NUMBER, "s3:max-keys", &["10", "9.5", "-1"], &["10", "9.5", "many"]),
    (
        TEXT,
        "s3:prefix",
        &["${aws:PrincipalTag/team}", "${aws:PrincipalTag/team, 'shared'}"],
        &["red", "shared"],
    ),
    (
        &["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"],
        "aws:PrincipalArn",
        &[
            "arn:aws:iam::000000000000:user/*",
            "arn:aws:iam::*:user/b?b",
            "arn:aws:sts::000000000000:assumed-role/x/*",
        ],
        &[
            "arn:aws:iam::000000000000:user/bob",
            "arn:aws:iam::000000000000:user/bobby",
            "arn:aws:sts::000000000000:assumed-role/x/y",
        ],
    ),
];
const PORTABLE_FAMILIES: usize = 8;
const PORTABLE_ACTIONS: &[&str] = &[
    "s3:*",
    "s3:Get*",
    "s3:GetObject",
    "s3:ListBucket",
    "s3:List*",
    "s3:DeleteObject",
    "s3:PutObject",
    "s3:*Object",
];
const PORTABLE_RESOURCES: &[&str] = &[
    "arn:aws:s3:::*",
    "arn:aws:s3:::logs",
    "arn:aws:s3:::logs/*",
    "arn:aws:s3:::lo*s/a*b?",
    "arn:aws:s3:::????/*",
    "arn:aws:s3:::home/${aws:username}/*",
    "arn:aws:s3:::*/x",
    "arn:aws:s3:::logs/x/*/z",
    "arn:aws:s3:::home",
];
const MANY: Family =
    (TEXT, "aws:TagKeys", &["team", "cost*", "Owner", "a"], &["team", "cost-center", "owner", "TEAM"]);

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

impl Source {
    pub fn new(seed: u64) -> Self {
        // Mixed, because the streams of neighbouring seeds would overlap.
        Self { state: mix(seed ^ 0x5EED_0F0A_11C4_5E5A), portable: !seed.is_multiple_of(5) }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        usize::try_from(mix(self.state) % u64::try_from(bound).unwrap()).unwrap()
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        list[self.below(list.len())]
    }

    fn some(&mut self, list: &[&'static str]) -> Value {
        let count = 1 + self.below(3);
        let mut chosen: Vec<&str> = (0..count).map(|_| self.pick(list)).collect();
        chosen.sort_unstable();
        chosen.dedup();
        if chosen.len() == 1 && self.one_in(2) { json!(chosen[0]) } else { json!(chosen) }
    }

    pub fn case(&mut self) -> Case {
        let (action, resource) = if self.one_in(3) {
            (self.pick(BUCKET_ACTIONS), self.pick(BUCKETS))
        } else {
            (self.pick(OBJECT_ACTIONS), self.pick(OBJECTS))
        };
        let policy = self.policy(5);
        let session = self.one_in(4).then(|| self.policy(2));
        Case { policy, session, action, resource, context: self.context() }
    }

    /// Statements that each select little, so that dozens of them do not all match.
    pub fn narrow_policy(&mut self) -> Value {
        let statements: Vec<Value> = (0..2)
            .map(|_| {
                let mut statement = json!({
                    "Effect": if self.one_in(3) { "Deny" } else { "Allow" },
                    "Action": self.pick(&["s3:GetObject", "s3:PutObject", "s3:DeleteObject*", "s3:List*", "s3:*Tagging"]),
                    "Resource": self.some(&RESOURCE_PATTERNS[2..]),
                });
                if self.one_in(40) {
                    statement["Resource"] = json!("*");
                }
                if !self.one_in(4) {
                    let (operator, key, values) = self.condition();
                    statement["Condition"] = json!({ operator: { key: values } });
                }
                statement
            })
            .collect();
        json!({ "Version": "2012-10-17", "Statement": statements })
    }

    fn policy(&mut self, most: usize) -> Value {
        let count = 1 + self.below(most);
        let statements: Vec<Value> = (0..count).map(|_| self.statement()).collect();
        json!({ "Version": "2012-10-17", "Statement": statements })
    }

    fn statement(&mut self) -> Value {
        let mut statement = Map::new();
        statement.insert("Effect".into(), json!(if self.one_in(4) { "Deny" } else { "Allow" }));
        let action = if self.one_in(8) { "NotAction" } else { "Action" };
        let patterns = if self.portable { PORTABLE_ACTIONS } else { ACTION_PATTERNS };
        statement.insert(action.into(), self.some(patterns));
        let resource = if self.one_in(8) { "NotResource" } else { "Resource" };
        let patterns = if self.portable { PORTABLE_RESOURCES } else { RESOURCE_PATTERNS };
        statement.insert(resource.into(), self.some(patterns));
        if self.one_in(2) {
            let mut block = Map::new();
            for _ in 0..=self.below(2) {
                let (operator, key, values) = self.condition();
                if self.portable && key.starts_with("s3:") {
                    // MinIO takes these for actions that list and for no other.
                    statement.remove("NotAction");
                    statement.insert("Action".into(), json!("s3:ListBucket"));
                }
                block
                    .entry(operator)
                    .or_insert_with(|| json!({}))
                    .as_object_mut()
                    .unwrap()
                    .insert(key.into(), values);
            }
            statement.insert("Condition".into(), Value::Object(block));
        }
        Value::Object(statement)
    }

    fn condition(&mut self) -> (String, &'static str, Value) {
        if !self.portable && self.one_in(6) {
            let (operators, key, values, _) = MANY;
            let quantifier = self.pick(&["ForAllValues:", "ForAnyValue:"]);
            return (format!("{quantifier}{}", self.pick(operators)), key, self.some(values));
        }
        let families = if self.portable { &FAMILIES[..PORTABLE_FAMILIES] } else { FAMILIES };
        let (operators, key, values, _) = families[self.below(families.len())];
        let operator = self.pick(operators);
        let suffix = if !self.portable && operator != "Null" && self.one_in(4) { "IfExists" } else { "" };
        let single = ["Null", "Bool", "Numeric", "Date"].iter().any(|single| {
            operator.starts_with(single) && (self.portable || matches!(*single, "Null" | "Bool"))
        });
        let values = if single { json!(self.pick(values)) } else { self.some(values) };
        (format!("{operator}{suffix}"), key, values)
    }

    fn context(&mut self) -> BTreeMap<&'static str, Vec<&'static str>> {
        let mut context = BTreeMap::new();
        for (_, key, _, values) in FAMILIES {
            if !self.one_in(3) && !context.contains_key(key) {
                context.insert(*key, vec![self.pick(values)]);
            }
        }
        let (_, key, _, values) = MANY;
        let count = self.below(4);
        if count > 0 {
            let mut chosen: Vec<&str> = (0..count).map(|_| self.pick(values)).collect();
            chosen.dedup();
            context.insert(key, chosen);
        }
        if self.one_in(2) {
            context.insert("aws:userid", vec!["bob"]);
        }
        context
    }
}
