//! `daypass explain`: why a request would be decided as it would be.

mod identity;

use std::{fmt::Write as _, sync::Arc};

pub use self::identity::{Answer, Who, explain_identity};

use crate::{
    config::Config,
    credentials::role_id,
    iam::{
        Action, Considered, Decision, DeniedBy, Effect, EffectivePolicies, GivenContext, Policy, PolicySet,
        Request, nearest,
    },
};

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Question {
    pub role: Option<String>,
    pub user: Option<String>,
    pub action: String,
    pub resource: String,
    /// `key=value`; a key that is given again has several values.
    pub context: Vec<String>,
    /// The JSON of a session policy.
    pub session_policy: Option<String>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub allowed: bool,
    /// For people to read.
    pub text: String,
}

/// Decides as the gateway would, and says why.
pub fn explain(config: &Config, question: &Question) -> Result<Explanation, String> {
    let action = Action::named(&question.action).ok_or_else(|| {
        format!("{:?} is no action of S3 or STS; actions are written as s3:GetObject", question.action)
    })?;
    let context = context(config, question)?;
    let policies = policies(config, question)?;
    let request = Request { action, resource: &question.resource, context: &context };
    let decision = policies.evaluate(&request);
    let considered = policies.consider(&request);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write(&mut text, decision, &considered, &request);
    Ok(Explanation { allowed: decision.is_allow(), text })
}

fn policies(config: &Config, question: &Question) -> Result<EffectivePolicies, String> {
    let principals = &config.principals;
    let identity = match (&question.role, &question.user) {
        (Some(role), None) => principals.of_role(role).ok_or_else(|| format!("there is no role `{role}`"))?,
        (None, Some(user)) => principals.of_user(user).ok_or_else(|| format!("there is no user `{user}`"))?,
        _ => return Err("give exactly one of a role and a user".to_owned()),
    };
    let session = match &question.session_policy {
        None => None,
        Some(document) => {
            let policy =
                Policy::parse(document).map_err(|problem| format!("the session policy: {problem}"))?;
            Some(Arc::new(PolicySet::inline(Arc::new(policy))))
        }
    };
    Ok(EffectivePolicies { identity: identity.clone(), session })
}

/// What was given, and who asks unless that was given too.
fn context(config: &Config, question: &Question) -> Result<GivenContext, String> {
    let mut context = GivenContext::default();
    for pair in &question.context {
        let (key, value) =
            pair.split_once('=').ok_or_else(|| format!("{pair:?} is not of the form key=value"))?;
        context.add(key, value)?;
    }
    let account = &config.principals.account;
    let mut facts =
        vec![("aws:PrincipalAccount", account.to_string()), ("aws:ResourceAccount", account.to_string())];
    match (&question.role, &question.user) {
        (Some(role), _) => facts.extend([
            ("aws:PrincipalArn", account.role(role)),
            ("aws:PrincipalType", "AssumedRole".to_owned()),
            ("aws:userid", format!("{}:explain", role_id(role))),
        ]),
        (None, Some(user)) => facts.extend([
            ("aws:PrincipalArn", account.user(user)),
            ("aws:PrincipalType", "User".to_owned()),
            ("aws:username", user.clone()),
        ]),
        (None, None) => {}
    }
    for (key, value) in facts {
        context.add_default(key, &value)?;
    }
    Ok(context)
}

fn write(
    text: &mut String,
    decision: Decision<'_>,
    considered: &[Considered<'_>],
    request: &Request<'_>,
) -> std::fmt::Result {
    let asked = format!("{} on {}", request.action.name(), request.resource);
    let kind = |by: DeniedBy| if by == DeniedBy::Session { "the session policy" } else { "no policy" };
    match decision {
        Decision::Allow(statement) => writeln!(text, "allowed: {asked}\n  by {statement}")?,
        Decision::ExplicitDeny(statement, _) => {
            writeln!(text, "denied: {asked}\n  by the explicit deny of {statement}")?;
        }
        Decision::ImplicitDeny(by) => {
            let does_not = if by == DeniedBy::Session { "does not allow" } else { "allows" };
            writeln!(text, "denied: {asked}\n  {} {does_not} it", kind(by))?;
            match nearest(considered, by == DeniedBy::Session) {
                None => writeln!(text, "  there is no statement that allows anything")?,
                Some(near) => writeln!(text, "  the nearest is {}: {near}", near.statement)?,
            }
        }
    }
    let applying: Vec<&Considered<'_>> = considered.iter().filter(|one| one.applies()).collect();
    for one in applying.iter().flat_map(|one| &one.conditions) {
        let values = one.values.as_ref().map_or_else(|| "missing".to_owned(), |values| values.join(", "));
        writeln!(text, "  {}: {} is {values}", one.condition, one.key)?;
    }
    writeln!(text, "statements:")?;
    for one in considered {
        let effect = if one.effect == Effect::Allow { "Allow" } else { "Deny" };
        writeln!(text, "  {effect:5} {}: {one}", one.statement)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn answer(role: &str, action: &str, resource: &str, context: &[&str]) -> Result<Explanation, String> {
        let toml = r#"
[[policy]]
name = "home"
document = '''{"Version":"2012-10-17","Statement":[
  {"Sid":"List","Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::home","Condition":{"StringLike":{"s3:prefix":"me/*"}}},
  {"Sid":"Read","Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::home/*"},
  {"Sid":"NoKeys","Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::home/keys/*"}]}'''
[[role]]
name = "reader"
policies = ["home"]
[[user]]
name = "alice"
access_key_id = "ALICEACCESSKEY000001"
secret_access_key = "alice-secret-alice-secret"
roles = ["reader"]
"#;
        let config = config::loaded(toml);
        let question = Question {
            role: Some(role.to_owned()),
            action: action.to_owned(),
            resource: resource.to_owned(),
            context: context.iter().map(|pair| (*pair).to_owned()).collect(),
            ..Question::default()
        };
        explain(&config, &question)
    }

    #[test]
    fn the_statement_that_decides_is_named() {
        let allowed = answer("reader", "s3:GetObject", "arn:aws:s3:::home/x", &[]).unwrap();
        assert!(allowed.allowed && allowed.text.contains("by statement `Read` of home"), "{}", allowed.text);
        let denied = answer("reader", "s3:GetObject", "arn:aws:s3:::home/keys/x", &[]).unwrap();
        assert!(
            !denied.allowed && denied.text.contains("the explicit deny of statement `NoKeys`"),
            "{}",
            denied.text
        );
    }

    #[test]
    fn the_nearest_statement_says_what_it_lacks() {
        let missing = answer("reader", "s3:ListBucket", "arn:aws:s3:::home", &[]).unwrap();
        assert!(missing.text.contains("the nearest is statement `List` of home"), "{}", missing.text);
        assert!(missing.text.contains("the request has no s3:prefix"), "{}", missing.text);
        let other = answer("reader", "s3:ListBucket", "arn:aws:s3:::home", &["s3:prefix=you/"]).unwrap();
        assert!(other.text.contains("s3:prefix is you/"), "{}", other.text);
        let held = answer("reader", "s3:ListBucket", "arn:aws:s3:::home", &["s3:prefix=me/x"]).unwrap();
        assert!(held.allowed && held.text.contains("s3:prefix is me/x"), "{}", held.text);
    }

    #[test]
    fn a_question_that_makes_no_sense_is_told_so() {
        for (role, action, context, says) in [
            ("nobody", "s3:GetObject", "", "no role `nobody`"),
            ("reader", "s3:GetObjects", "", "no action"),
            ("reader", "s3:GetObject", "s3:prefix", "key=value"),
            ("reader", "s3:GetObject", "s3:prefx=1", "did you mean `s3:prefix`"),
        ] {
            let context: Vec<&str> = Some(context).filter(|pair| !pair.is_empty()).into_iter().collect();
            let refused = answer(role, action, "arn:aws:s3:::home", &context).unwrap_err();
            assert!(refused.contains(says), "{refused}");
        }
    }
}
