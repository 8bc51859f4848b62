//! A denial with all that was known, for whoever may read it: AWS's encoded authorization message.

use serde::Serialize;

use super::{
    action::Action,
    context::{Context, Values},
    evaluate::Decision,
    key::{ConditionKey, Plain},
    principal::Principal,
};

/// What was asked, what decided, and what the request said of itself. Serialised in the shape that AWS documents for
/// `DecodeAuthorizationMessage`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Denial {
    allowed: bool,
    #[serde(rename = "explicitDeny")]
    pub explicit: bool,
    matched_statements: Items<Matched>,
    context: Asked,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Matched {
    statement_id: String,
    policy: String,
    effect: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Asked {
    principal: AskedBy,
    action: &'static str,
    resource: String,
    conditions: Items<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct AskedBy {
    id: String,
    arn: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Condition {
    key: String,
    values: Items<Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Value {
    value: String,
}

impl Denial {
    pub fn new(
        action: Action,
        resource: &str,
        decision: Decision<'_>,
        context: &dyn Context,
        principal: &Principal,
    ) -> Self {
        let matched = match decision {
            Decision::ExplicitDeny(statement, _) => Some(Matched {
                statement_id: statement.sid.map_or_else(|| statement.index.to_string(), str::to_owned),
                policy: statement.policy.to_owned(),
                effect: "DENY",
            }),
            Decision::Allow(_) | Decision::ImplicitDeny(_) => None,
        };
        let conditions = Plain::ALL.iter().filter_map(|plain| said(&ConditionKey::Plain(*plain), context));
        let tags = principal
            .tags
            .iter()
            .filter_map(|(tag, _)| said(&ConditionKey::PrincipalTag(tag.as_str().into()), context));
        Self {
            allowed: false,
            explicit: matched.is_some(),
            matched_statements: Items { items: matched.into_iter().collect() },
            context: Asked {
                principal: AskedBy { id: principal.user_id.clone(), arn: principal.arn.clone() },
                action: action.name(),
                resource: resource.to_owned(),
                conditions: Items { items: conditions.chain(tags).collect() },
            },
        }
    }
}

impl Denial {
    /// What was asked about, as IAM names it.
    pub fn action(&self) -> &'static str {
        self.context.action
    }

    /// Its ARN.
    pub fn resource(&self) -> &str {
        &self.context.resource
    }
}

fn said(key: &ConditionKey, context: &dyn Context) -> Option<Condition> {
    let values = match context.values(key) {
        Values::Missing => return None,
        Values::One(value) => vec![Value { value: value.into_owned() }],
        Values::Many(values) => values.into_iter().map(|value| Value { value: value.into_owned() }).collect(),
    };
    Some(Condition { key: key.to_string(), values: Items { items: values } })
}
