//! The names of condition operators: `ForAllValues:StringNotLikeIfExists` and what is in it.

/// How many of a key's values must satisfy the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantifier {
    ForAllValues,
    ForAnyValue,
}

/// Which of two must be the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// What is compared, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    StringEquals,
    StringEqualsIgnoreCase,
    StringLike,
    Numeric(Order),
    Date(Order),
    Bool,
    Binary,
    IpAddress,
    Arn,
    Null,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Operator {
    family: Family,
    negated: bool,
    if_exists: bool,
    quantifier: Option<Quantifier>,
}

/// Every operator; `ArnEquals` and `ArnLike` are the same by AWS's definition.
const NAMES: &[(&str, Family, bool)] = &[
    ("StringEquals", Family::StringEquals, false),
    ("StringNotEquals", Family::StringEquals, true),
    ("StringEqualsIgnoreCase", Family::StringEqualsIgnoreCase, false),
    ("StringNotEqualsIgnoreCase", Family::StringEqualsIgnoreCase, true),
    ("StringLike", Family::StringLike, false),
    ("StringNotLike", Family::StringLike, true),
    ("NumericEquals", Family::Numeric(Order::Equal), false),
    ("NumericNotEquals", Family::Numeric(Order::Equal), true),
    ("NumericLessThan", Family::Numeric(Order::Less), false),
    ("NumericLessThanEquals", Family::Numeric(Order::LessOrEqual), false),
    ("NumericGreaterThan", Family::Numeric(Order::Greater), false),
    ("NumericGreaterThanEquals", Family::Numeric(Order::GreaterOrEqual), false),
    ("DateEquals", Family::Date(Order::Equal), false),
    ("DateNotEquals", Family::Date(Order::Equal), true),
    ("DateLessThan", Family::Date(Order::Less), false),
    ("DateLessThanEquals", Family::Date(Order::LessOrEqual), false),
    ("DateGreaterThan", Family::Date(Order::Greater), false),
    ("DateGreaterThanEquals", Family::Date(Order::GreaterOrEqual), false),
    ("Bool", Family::Bool, false),
    ("BinaryEquals", Family::Binary, false),
    ("IpAddress", Family::IpAddress, false),
    ("NotIpAddress", Family::IpAddress, true),
    ("ArnEquals", Family::Arn, false),
    ("ArnLike", Family::Arn, false),
    ("ArnNotEquals", Family::Arn, true),
    ("ArnNotLike", Family::Arn, true),
    ("Null", Family::Null, false),
];

impl Operator {
    pub(super) fn parse(name: &str) -> Result<Self, String> {
        let (quantifier, rest) = match name.split_once(':') {
            None => (None, name),
            Some(("ForAllValues", rest)) => (Some(Quantifier::ForAllValues), rest),
            Some(("ForAnyValue", rest)) => (Some(Quantifier::ForAnyValue), rest),
            Some((other, _)) => {
                return Err(format!(
                    "`{other}:` is no set operator; there are `ForAllValues:` and `ForAnyValue:`"
                ));
            }
        };
        let (base, if_exists) = match rest.strip_suffix("IfExists") {
            Some(base) => (base, true),
            None => (rest, false),
        };
        let Some((_, family, negated)) = NAMES.iter().find(|(known, ..)| *known == base) else {
            let likely =
                NAMES.iter().map(|(known, ..)| *known).min_by_key(|known| strsim::levenshtein(known, base));
            let likely = likely.filter(|known| strsim::levenshtein(known, base) <= 4);
            return Err(match likely {
                Some(known) => format!("`{name}` is no condition operator; did you mean `{known}`?"),
                None => format!("`{name}` is no condition operator"),
            });
        };
        if *family == Family::Null && (if_exists || quantifier.is_some()) {
            return Err("`Null` stands alone: it already asks whether the key is there".to_owned());
        }
        Ok(Self { family: *family, negated: *negated, if_exists, quantifier })
    }

    pub(super) fn family(self) -> Family {
        self.family
    }

    pub(super) fn is_null(self) -> bool {
        self.family == Family::Null
    }

    pub(super) fn is_negated(self) -> bool {
        self.negated
    }

    pub(super) fn if_exists(self) -> bool {
        self.if_exists
    }

    pub(super) fn quantifier(self) -> Option<Quantifier> {
        self.quantifier
    }
}
