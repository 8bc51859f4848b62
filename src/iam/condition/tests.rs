//! Every operator against what a request may say, as
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html> and
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html>
//! have it.

use super::{super::context::GivenContext, *};

/// What a request says of the key.
#[derive(Clone, Copy, Debug)]
enum Said<'s> {
    Missing,
    One(&'s str),
    Many(&'s [&'s str]),
}

fn holds(operator: &str, key: &str, values: &str, said: Said<'_>) -> Option<bool> {
    let json = serde_json::from_str(&format!(r#"{{"{operator}":{{"{key}":{values}}}}}"#)).unwrap();
    let conditions = Condition::compile(json, "").unwrap_or_else(|error| panic!("{operator}: {error}"));
    let mut context = GivenContext::default();
    context.add("aws:username", "bob").unwrap();
    match said {
        Said::Missing => {}
        Said::One(value) => context.add(key, value).unwrap(),
        Said::Many([]) => context.add_empty(key).unwrap(),
        Said::Many(values) => values.iter().for_each(|value| context.add(key, value).unwrap()),
    }
    conditions
        .iter()
        .map(|condition| condition.holds(&context).ok())
        .collect::<Option<Vec<_>>>()
        .map(|all| all.iter().all(|held| *held))
}

/// (operator, key, the policy's values, a value that fits, one that does not), from the sections `#Conditions_String`,
/// `#Conditions_Numeric`, `#Conditions_Date`, `#Conditions_Boolean`, `#Conditions_BinaryEquals`, `#Conditions_IPAddress` and
/// `#Conditions_ARN` of <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>.
const OPERATORS: &[(&str, &str, &str, &str, &str)] = &[
    ("StringEquals", "aws:UserAgent", r#"["a","B"]"#, "B", "b"),
    ("StringEqualsIgnoreCase", "aws:UserAgent", r#"["a","B"]"#, "b", "c"),
    ("StringLike", "s3:prefix", r#"["home/?ob/*","x"]"#, "home/bob/deep/er", "home/bob"),
    ("NumericEquals", "s3:max-keys", r#"["10","20.50"]"#, "20.5", "11"),
    ("NumericLessThan", "s3:max-keys", r#""10""#, "9.9", "10"),
    ("NumericLessThanEquals", "s3:max-keys", "10", "10", "10.1"),
    ("NumericGreaterThan", "s3:max-keys", r#""10""#, "10.000000001", "10"),
    ("NumericGreaterThanEquals", "s3:max-keys", r#""10""#, "10", "9"),
    ("DateEquals", "aws:CurrentTime", r#""2026-11-24T00:00:00Z""#, "1795478400", "2026-11-24T00:00:01Z"),
    (
        "DateLessThan",
        "aws:CurrentTime",
        r#""2026-11-24T00:00:00Z""#,
        "2026-11-23T23:59:59Z",
        "2026-11-24T00:00:00Z",
    ),
    (
        "DateLessThanEquals",
        "aws:CurrentTime",
        r#""2026-11-24""#,
        "2026-11-24T00:00:00Z",
        "2026-11-24T00:00:01Z",
    ),
    ("DateGreaterThan", "aws:EpochTime", r#""1795478400""#, "1795478401", "1795478400"),
    (
        "DateGreaterThanEquals",
        "aws:CurrentTime",
        r#""2026-11-24T01:00:00+01:00""#,
        "2026-11-24T00:00:00Z",
        "2026-11-23T23:59:59Z",
    ),
    ("Bool", "aws:SecureTransport", r#""true""#, "true", "false"),
    ("BinaryEquals", "aws:UserAgent", r#""QmluYXJ5""#, "Binary", "binary"),
    ("IpAddress", "aws:SourceIp", r#"["203.0.113.0/24","2001:db8::/32"]"#, "2001:db8::1", "203.0.114.1"),
    (
        "ArnEquals",
        "aws:PrincipalArn",
        r#""arn:aws:iam::1:user/b*""#,
        "arn:aws:iam::1:user/bob",
        "arn:aws:iam::12:user/bob",
    ),
    (
        "ArnLike",
        "aws:PrincipalArn",
        r#""arn:aws:*::1:user/b?b""#,
        "arn:aws:iam::1:user/bob",
        "arn:aws:a:b:1:user/bob",
    ),
];

/// The negated form of an operator, where there is one.
fn negated(operator: &str) -> Option<String> {
    match operator {
        "IpAddress" => Some("NotIpAddress".to_owned()),
        "StringEquals" | "StringEqualsIgnoreCase" | "StringLike" => {
            Some(operator.replacen("String", "StringNot", 1))
        }
        "NumericEquals" => Some("NumericNotEquals".to_owned()),
        "DateEquals" => Some("DateNotEquals".to_owned()),
        "ArnEquals" | "ArnLike" => Some(operator.replacen("Arn", "ArnNot", 1)),
        _ => None,
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html>
#[test]
fn a_plain_operator_wants_the_key_and_one_value_that_fits() {
    for (operator, key, values, fits, other) in OPERATORS.iter().copied() {
        let holds = |said: Said<'_>| holds(operator, key, values, said);
        assert_eq!(holds(Said::Missing), Some(false), "{operator}");
        assert_eq!(holds(Said::One(fits)), Some(true), "{operator} {fits}");
        assert_eq!(holds(Said::One(other)), Some(false), "{operator} {other}");
        assert_eq!(holds(Said::One("")), Some(false), "{operator} and an empty value");
        assert_eq!(holds(Said::Many(&[other, fits])), Some(true), "{operator}");
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-logic-multiple-context-keys-or-values.html>
#[test]
fn a_negated_operator_holds_without_the_key_and_when_no_value_fits() {
    for (operator, key, values, fits, other) in OPERATORS.iter().copied() {
        let Some(operator) = negated(operator) else { continue };
        let holds = |said: Said<'_>| holds(&operator, key, values, said);
        assert_eq!(holds(Said::Missing), Some(true), "{operator}");
        assert_eq!(holds(Said::One(fits)), Some(false), "{operator} {fits}");
        assert_eq!(holds(Said::One(other)), Some(true), "{operator} {other}");
        assert_eq!(holds(Said::Many(&[other, fits])), Some(false), "{operator}");
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_IfExists>
#[test]
fn if_exists_holds_without_the_key_and_changes_nothing_else() {
    for (operator, key, values, fits, other) in OPERATORS.iter().copied() {
        for (operator, fitting) in [(Some(operator.to_owned()), true), (negated(operator), false)] {
            let Some(operator) = operator else { continue };
            let holds = |said: Said<'_>| holds(&format!("{operator}IfExists"), key, values, said);
            assert_eq!(holds(Said::Missing), Some(true), "{operator}");
            assert_eq!(holds(Said::One(fits)), Some(fitting), "{operator}");
            assert_eq!(holds(Said::One(other)), Some(!fitting), "{operator}");
            assert_eq!(holds(Said::Many(&[other, fits])), Some(fitting), "{operator}");
            assert_eq!(holds(Said::Many(&[other, other])), Some(!fitting), "{operator}");
        }
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html#reference_policies_condition-multi-valued-context-keys>
#[test]
fn for_all_values_wants_every_value_to_satisfy_and_none_is_every() {
    for (operator, key, values, fits, other) in OPERATORS.iter().copied() {
        for (name, fitting) in [(Some(operator.to_owned()), true), (negated(operator), false)] {
            let Some(name) = name else { continue };
            for suffix in ["", "IfExists"] {
                let holds =
                    |said: Said<'_>| holds(&format!("ForAllValues:{name}{suffix}"), key, values, said);
                assert_eq!(holds(Said::Missing), Some(true), "{name}");
                assert_eq!(holds(Said::Many(&[])), Some(true), "{name}");
                assert_eq!(holds(Said::One("")), Some(true), "{name}: an empty value is a null data set");
                assert_eq!(holds(Said::Many(&[fits, fits])), Some(fitting), "{name}");
                assert_eq!(holds(Said::Many(&[fits, other])), Some(false), "{name}");
                assert_eq!(holds(Said::Many(&[other])), Some(!fitting), "{name}");
            }
        }
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html#reference_policies_condition-multi-valued-context-keys>
#[test]
fn for_any_value_wants_one_value_that_satisfies_and_none_is_not_one() {
    for (operator, key, values, fits, other) in OPERATORS.iter().copied() {
        for (name, fitting) in [(Some(operator.to_owned()), true), (negated(operator), false)] {
            let Some(name) = name else { continue };
            let any = |said: Said<'_>| holds(&format!("ForAnyValue:{name}"), key, values, said);
            assert_eq!(any(Said::Missing), Some(false), "{name}");
            assert_eq!(any(Said::Many(&[])), Some(false), "{name}");
            assert_eq!(any(Said::One("")), Some(false), "{name}: an empty value is a null data set");
            assert_eq!(any(Said::Many(&[fits, other])), Some(true), "{name}");
            assert_eq!(any(Said::Many(&[fits])), Some(fitting), "{name}");
            assert_eq!(any(Said::Many(&[other])), Some(!fitting), "{name}");
            let if_exists = format!("ForAnyValue:{name}IfExists");
            assert_eq!(holds(&if_exists, key, values, Said::Missing), Some(true), "{if_exists}");
            assert_eq!(holds(&if_exists, key, values, Said::Many(&[fits])), Some(fitting), "{if_exists}");
        }
    }
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html#Conditions_Null>
#[test]
fn null_asks_whether_the_key_is_there() {
    for (value, said, expected) in [
        (r#""true""#, Said::Missing, true),
        (r#""true""#, Said::One("x"), false),
        (r#""true""#, Said::One(""), false),
        (r#""false""#, Said::Missing, false),
        (r#""false""#, Said::One("x"), true),
        ("false", Said::One(""), true),
        (r#""true""#, Said::Many(&[]), true),
    ] {
        assert_eq!(holds("Null", "aws:TagKeys", value, said), Some(expected), "{value} {said:?}");
    }
}

#[test]
fn a_value_of_the_wrong_type_fits_nothing() {
    for (operator, key, values, said) in [
        ("NumericLessThan", "s3:max-keys", r#""10""#, "many"),
        ("NumericLessThan", "s3:max-keys", r#""10""#, "1e1"),
        ("NumericLessThan", "s3:max-keys", r#""10""#, "-99999999999999999999999"),
        ("DateLessThan", "aws:CurrentTime", r#""2026-11-24""#, "yesterday"),
        ("IpAddress", "aws:SourceIp", r#""0.0.0.0/0""#, "localhost"),
        ("Bool", "aws:SecureTransport", r#""true""#, "yes"),
        ("ArnLike", "aws:PrincipalArn", r#""arn:*:*:*:*:*""#, "bob"),
    ] {
        assert_eq!(holds(operator, key, values, Said::One(said)), Some(false), "{operator} {said}");
    }
    assert_eq!(holds("NumericNotEquals", "s3:max-keys", r#""10""#, Said::One("many")), Some(true));
}

/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html>
#[test]
fn variables_stand_for_the_requests_own_values() {
    let like = |values: &str, said| holds("StringLike", "s3:prefix", values, Said::One(said));
    assert_eq!(like(r#""home/${aws:username}/*""#, "home/bob/x"), Some(true));
    assert_eq!(like(r#""home/${aws:username}/*""#, "home/bobby/x"), Some(false));
    assert_eq!(like(r#""home/${aws:PrincipalTag/team, 'none'}/*""#, "home/none/x"), Some(true));
    // Without a value and without a default nothing can be said.
    assert_eq!(like(r#""home/${jwt:sub}/*""#, "home/bob/x"), None);
    assert_eq!(like(r#"["home/${jwt:sub}/*","other"]"#, "other"), Some(true));
    let not_equal = |values: &str| holds("StringNotEquals", "s3:prefix", values, Said::One("x"));
    assert_eq!(not_equal(r#""${jwt:sub}""#), None);
    assert_eq!(
        holds(
            "ArnLike",
            "aws:PrincipalArn",
            r#""arn:aws:iam::1:user/${aws:username}""#,
            Said::One("arn:aws:iam::1:user/bob")
        ),
        Some(true)
    );
    assert_eq!(
        holds("StringEqualsIgnoreCase", "s3:prefix", r#""Home/${aws:username}""#, Said::One("hOME/BOB")),
        Some(true)
    );
}

#[test]
fn what_cannot_be_a_condition_is_refused() {
    for (document, says) in [
        (r#"{"StringEqual":{"aws:username":"a"}}"#, "did you mean `StringEquals`"),
        (r#"{"stringequals":{"aws:username":"a"}}"#, "did you mean `StringEquals`"),
        (r#"{"ForSomeValues:StringEquals":{"aws:username":"a"}}"#, "ForAnyValue"),
        (r#"{"NullIfExists":{"aws:username":"true"}}"#, "stands alone"),
        (r#"{"ForAllValues:Null":{"aws:username":"true"}}"#, "stands alone"),
        (r#"{"StringEquals":{"aws:usernam":"a"}}"#, "did you mean `aws:username`"),
        (r#"{"StringEquals":{"s3:ExistingObjectTag/a":"b"}}"#, "cannot be answered here"),
        (r#"{"StringEquals":{"aws:username":"a","AWS:USERNAME":"b"}}"#, "twice"),
        (r#"{"StringEquals":{"aws:username":[]}}"#, "empty"),
        (r#"{"StringEquals":{}}"#, "empty"),
        ("{}", "empty"),
        (r#"{"StringEquals":"a"}"#, "must be an object"),
        (r#"{"StringEquals":{"aws:username":{"a":"b"}}}"#, "a value is a string"),
        (r#"{"NumericEquals":{"s3:max-keys":"ten"}}"#, "not a number"),
        (r#"{"DateEquals":{"aws:CurrentTime":"soon"}}"#, "not a date"),
        (r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/33"}}"#, "not an address"),
        (r#"{"Bool":{"aws:SecureTransport":"yes"}}"#, "neither true nor false"),
        (r#"{"BinaryEquals":{"aws:username":"!"}}"#, "not base64"),
        (r#"{"ArnLike":{"aws:PrincipalArn":"user/bob"}}"#, "not an ARN"),
        (r#"{"StringLike":{"aws:username":"${aws:username"}}"#, "closing brace"),
        (r#"{"StringLike":{"aws:username":"${aws:TagKeys}"}}"#, "several values"),
        (r#"{"StringLike":{"aws:username":"${aws:username, nobody}"}}"#, "single quotes"),
        (r#"{"NumericEquals":{"s3:max-keys":"${aws:username}"}}"#, "not a number"),
    ] {
        let refused = Condition::compile(serde_json::from_str(document).unwrap(), "").unwrap_err();
        assert!(refused.to_string().contains(says), "{document}: {refused}");
    }
}
