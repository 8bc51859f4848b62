//! IAM's rules again, as AWS's documentation words them and with no thought for time: JSON is walked for every question,
//! wildcards by recursion, nothing is compiled.

use std::{borrow::Cow, net::IpAddr};

use serde_json::Value;

use super::generate::Case;

/// A character of a pattern: as it is, or a wildcard.
#[derive(Clone, Copy)]
enum Piece {
    Plain(char),
    Any,
    Run,
}

pub fn decide(case: &Case) -> &'static str {
    let policies: Vec<&Value> = [Some(&case.policy), case.session.as_ref()].into_iter().flatten().collect();
    let matching = |policy: &Value, effect: &str| {
        list(&policy["Statement"])
            .iter()
            .any(|statement| statement["Effect"] == effect && applies(statement, case))
    };
    if policies.iter().any(|policy| matching(policy, "Deny")) {
        return "deny";
    }
    if policies.iter().all(|policy| matching(policy, "Allow")) { "allow" } else { "implicit" }
}

fn list(value: &Value) -> Cow<'_, [Value]> {
    match value {
        Value::Array(list) => Cow::Borrowed(list),
        other => Cow::Owned(vec![other.clone()]),
    }
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn given<'c>(case: &'c Case, key: &str) -> &'c [&'static str] {
    case.context.get(key).map_or(&[], Vec::as_slice)
}

fn applies(statement: &Value, case: &Case) -> bool {
    let lower = |text: &str| text.to_lowercase();
    let action = |patterns: &Value| {
        texts(patterns).iter().any(|pattern| glob(&wild(&lower(pattern)), &lower(case.action)))
    };
    let selected = match statement.get("Action") {
        Some(patterns) => action(patterns),
        None => !action(&statement["NotAction"]),
    };
    let resource = |patterns: &Value| {
        let outcomes: Vec<Option<bool>> = texts(patterns)
            .iter()
            .map(|pattern| Some(glob(&expand(pattern, true, case)?, case.resource)))
            .collect();
        any(&outcomes)
    };
    let named = match statement.get("Resource") {
        Some(patterns) => resource(patterns) == Some(true),
        None => resource(&statement["NotResource"]) == Some(false),
    };
    selected && named && conditions_hold(statement, case)
}

/// Some true: true. Else one that cannot be said: nothing can be said.
fn any(outcomes: &[Option<bool>]) -> Option<bool> {
    if outcomes.contains(&Some(true)) {
        return Some(true);
    }
    if outcomes.contains(&None) { None } else { Some(false) }
}

fn conditions_hold(statement: &Value, case: &Case) -> bool {
    let Some(block) = statement.get("Condition") else { return true };
    block.as_object().unwrap().iter().all(|(operator, keys)| {
        keys.as_object()
            .unwrap()
            .iter()
            .all(|(key, values)| holds(operator, key, &texts(values), case) == Some(true))
    })
}

fn holds(operator: &str, key: &str, policy: &[String], case: &Case) -> Option<bool> {
    let (quantifier, operator) = match operator.split_once(':') {
        Some((quantifier, operator)) => (Some(quantifier), operator),
        None => (None, operator),
    };
    let (operator, if_exists) = match operator.strip_suffix("IfExists") {
        Some(operator) => (operator, true),
        None => (operator, false),
    };
    let request = given(case, key);
    if operator == "Null" {
        return Some(policy.iter().any(|value| (value == "true") == request.is_empty()));
    }
    let negated = operator.contains("Not");
    let positive = operator.replace("Not", "");
    let missing =
        request.is_empty() || (quantifier.is_some() && request.iter().all(|value| value.is_empty()));
    if missing {
        return Some(match quantifier {
            Some("ForAllValues") => true,
            Some(_) => if_exists,
            None => if_exists || negated,
        });
    }
    let mut satisfied = Vec::new();
    for value in request {
        let fits: Vec<Option<bool>> =
            policy.iter().map(|known| compare(&positive, known, value, case)).collect();
        satisfied.push(any(&fits)? != negated);
    }
    Some(match quantifier {
        Some("ForAllValues") => satisfied.iter().all(|held| *held),
        Some(_) => satisfied.iter().any(|held| *held),
        None if negated => satisfied.iter().all(|held| *held),
        None => satisfied.iter().any(|held| *held),
    })
}

fn compare(operator: &str, policy: &str, request: &str, case: &Case) -> Option<bool> {
    let plain = |pieces: Vec<Piece>| -> String {
        pieces
            .into_iter()
            .map(|piece| if let Piece::Plain(character) = piece { character } else { panic!("a wildcard") })
            .collect()
    };
    let order = |a: Option<f64>, b: Option<f64>| {
        let Some((request, policy)) = a.zip(b) else { return false };
        match operator.trim_start_matches("Numeric").trim_start_matches("Date") {
            "Equals" => (request - policy).abs() < 1e-9,
            "LessThan" => request < policy,
            "LessThanEquals" => request <= policy,
            "GreaterThan" => request > policy,
            "GreaterThanEquals" => request >= policy,
            other => panic!("{other}"),
        }
    };
    Some(match operator {
        "StringEquals" => plain(expand(policy, false, case)?) == request,
        "StringEqualsIgnoreCase" => {
            plain(expand(policy, false, case)?).to_lowercase() == request.to_lowercase()
        }
        "StringLike" => glob(&expand(policy, true, case)?, request),
        "Bool" => policy == request,
        "IpAddress" => within(policy, request),
        "ArnEquals" | "ArnLike" => {
            let (policy, request): (Vec<_>, Vec<_>) =
                (policy.splitn(6, ':').collect(), request.splitn(6, ':').collect());
            policy.len() == request.len()
                && policy.iter().zip(request).all(|(pattern, part)| glob(&wild(pattern), part))
        }
        _ if operator.starts_with("Numeric") => order(request.parse().ok(), policy.parse().ok()),
        _ if operator.starts_with("Date") => order(seconds(request), seconds(policy)),
        other => panic!("{other}"),
    })
}

fn seconds(date: &str) -> Option<f64> {
    let at = time::OffsetDateTime::parse(date, &time::format_description::well_known::Rfc3339).ok()?;
    f64::from(i32::try_from(at.unix_timestamp()).ok()?).into()
}

fn within(network: &str, address: &str) -> bool {
    let (base, length) =
        network.split_once('/').map_or((network, None), |(base, length)| (base, length.parse().ok()));
    let bits = |text: &str| match text.parse().unwrap() {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)), 32_u32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let ((base, width), (address, other_width)) = (bits(base), bits(address));
    let shift = width - length.unwrap_or(width);
    width == other_width && base >> shift == address >> shift
}

fn wild(pattern: &str) -> Vec<Piece> {
    let piece = |character| match character {
        '*' => Piece::Run,
        '?' => Piece::Any,
        other => Piece::Plain(other),
    };
    pattern.chars().map(piece).collect()
}

/// A text of a policy with its variables replaced; `None`: one of them stands for nothing.
fn expand(text: &str, wildcards: bool, case: &Case) -> Option<Vec<Piece>> {
    let plain = |text: &str| text.chars().map(Piece::Plain).collect::<Vec<_>>();
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        pieces.extend(if wildcards { wild(before) } else { plain(before) });
        let end = start + rest[start..].find('}').unwrap();
        let inside = &rest[start + 2..end];
        if ["*", "?", "$"].contains(&inside) {
            pieces.extend(plain(inside));
        } else {
            let (key, default) = inside
                .split_once(',')
                .map_or((inside, None), |(key, default)| (key, Some(default.trim().trim_matches('\''))));
            let value = given(case, key).first().copied().or(default)?;
            pieces.extend(plain(value));
        }
        rest = &rest[end + 1..];
    }
    pieces.extend(if wildcards { wild(rest) } else { plain(rest) });
    Some(pieces)
}

fn glob(pattern: &[Piece], text: &str) -> bool {
    let mut rest = text.chars();
    match (pattern.split_first(), rest.next()) {
        (None, None) => true,
        (Some((Piece::Run, after)), next) => {
            glob(after, text) || (next.is_some() && glob(pattern, rest.as_str()))
        }
        (Some((Piece::Any, after)), Some(_)) => glob(after, rest.as_str()),
        (Some((Piece::Plain(wanted), after)), Some(found)) => *wanted == found && glob(after, rest.as_str()),
        _ => false,
    }
}
