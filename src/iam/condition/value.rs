//! The values of conditions: read once when the policy is loaded, compared with what a request says.

use std::{borrow::Cow, net::IpAddr, ops::Deref};

use base64::{Engine, engine::general_purpose::STANDARD};
use ipnet::{IpNet, Ipv4Net};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    super::{
        context::Context,
        pattern::{MAX_VARIABLES, Pattern},
        variable::Variable,
    },
    operator::{Family, Order},
};

/// A variable stands for nothing in this request: the statement does not match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Unresolved;

/// The values of a policy for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Matcher {
    Text(Vec<Pattern>),
    TextIgnoringCase(Vec<Pattern>),
    Number(Order, Vec<i128>),
    Date(Order, Vec<i128>),
    Bool(Vec<bool>),
    Bytes(Vec<Vec<u8>>),
    Networks(Vec<IpNet>),
    Arns(Vec<ArnPattern>),
}

impl Matcher {
    pub(super) fn compile(family: Family, texts: &[String]) -> Result<Self, String> {
        fn all<T>(texts: &[String], read: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
            texts.iter().map(|text| read(text)).collect()
        }
        Ok(match family {
            Family::StringEquals => Self::Text(all(texts, |text| Pattern::with_variables(text, false))?),
            Family::StringLike => Self::Text(all(texts, |text| Pattern::with_variables(text, true))?),
            Family::StringEqualsIgnoreCase => {
                Self::TextIgnoringCase(all(texts, |text| Pattern::with_variables(text, false))?)
            }
            Family::Numeric(order) => Self::Number(
                order,
                all(texts, |text| number(text).ok_or_else(|| format!("{text:?} is not a number")))?,
            ),
            Family::Date(order) => {
                Self::Date(
                    order,
                    all(texts, |text| {
                        date(text).ok_or_else(|| {
                        format!("{text:?} is not a date as \"2026-11-24T00:00:00Z\" is, nor seconds since 1970")
                    })
                    })?,
                )
            }
            Family::Bool | Family::Null => Self::Bool(all(texts, boolean)?),
            Family::Binary => Self::Bytes(all(texts, |text| {
                STANDARD.decode(text).map_err(|_| format!("{text:?} is not base64"))
            })?),
            Family::IpAddress => Self::Networks(all(texts, |text| {
                network(text).ok_or_else(|| {
                    format!("{text:?} is not an address or a network as \"203.0.113.0/24\" or \"2001:db8::/32\" are")
                })
            })?),
            Family::Arn => Self::Arns(all(texts, ArnPattern::parse)?),
        })
    }

    /// The variables that stand in its values.
    pub(super) fn variables(&self) -> Vec<&Variable> {
        let patterns: Vec<&Pattern> = match self {
            Self::Text(patterns) | Self::TextIgnoringCase(patterns) => patterns.iter().collect(),
            Self::Arns(arns) => arns.iter().flat_map(ArnPattern::parts).collect(),
            Self::Number(..) | Self::Date(..) | Self::Bool(_) | Self::Bytes(_) | Self::Networks(_) => {
                Vec::new()
            }
        };
        patterns.into_iter().flat_map(Pattern::variables).collect()
    }

    /// Whether a value of the request fits one of the policy's. One of the wrong type fits none.
    pub(super) fn matches(&self, given: &str, context: &dyn Context) -> Result<bool, Unresolved> {
        Ok(match self {
            Self::Text(patterns) => {
                any(patterns, |pattern| Ok(pattern.matches_with(given, &resolve(pattern, context)?)))?
            }
            Self::TextIgnoringCase(patterns) => {
                any(patterns, |pattern| Ok(pattern.equals_ignoring_case(given, &resolve(pattern, context)?)))?
            }
            Self::Number(order, known) => fits(*order, number(given), known),
            Self::Date(order, known) => fits(*order, date(given), known),
            Self::Bool(known) => truth(given).is_some_and(|given| known.contains(&given)),
            Self::Bytes(known) => known.iter().any(|bytes| bytes == given.as_bytes()),
            Self::Networks(known) => given
                .parse::<IpAddr>()
                .is_ok_and(|given| known.iter().any(|network| network.contains(&given.to_canonical()))),
            Self::Arns(known) => any(known, |pattern| pattern.matches(given, context))?,
        })
    }
}

fn any<T>(list: &[T], test: impl Fn(&T) -> Result<bool, Unresolved>) -> Result<bool, Unresolved> {
    let mut unresolved = false;
    for item in list {
        match test(item) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(Unresolved) => unresolved = true,
        }
    }
    if unresolved { Err(Unresolved) } else { Ok(false) }
}

/// What a pattern's variables stand for.
pub(in super::super) fn resolve<'c>(
    pattern: &'c Pattern,
    context: &'c dyn Context,
) -> Result<Resolved<'c>, Unresolved> {
    if pattern.variables().is_empty() {
        return Ok(Resolved(None));
    }
    let mut values = <[Cow<'_, str>; MAX_VARIABLES]>::default();
    for (place, variable) in values.iter_mut().zip(pattern.variables()) {
        *place = variable.value(context).ok_or(Unresolved)?;
    }
    Ok(Resolved(Some(values)))
}

/// The values of a pattern's variables. Most patterns have none, and whoever has some has few: there is nothing to allocate.
pub(in super::super) struct Resolved<'c>(Option<[Cow<'c, str>; MAX_VARIABLES]>);

impl<'c> Deref for Resolved<'c> {
    type Target = [Cow<'c, str>];

    fn deref(&self) -> &[Cow<'c, str>] {
        self.0.as_ref().map_or(&[], |values| values.as_slice())
    }
}

fn fits(order: Order, given: Option<i128>, known: &[i128]) -> bool {
    given.is_some_and(|given| {
        known.iter().any(|known| match order {
            Order::Equal => given == *known,
            Order::Less => given < *known,
            Order::LessOrEqual => given <= *known,
            Order::Greater => given > *known,
            Order::GreaterOrEqual => given >= *known,
        })
    })
}

/// A decimal number in thousand-millionths, so that nothing is rounded.
fn number(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let good = |part: &str, most: usize| {
        !part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !good(whole, 20) || !good(fraction, 9) {
        return None;
    }
    let places = u32::try_from(fraction.len()).ok()?;
    let fraction = fraction.parse::<i128>().ok()? * 10_i128.pow(9 - places);
    let value = whole.parse::<i128>().ok()? * 1_000_000_000 + fraction;
    Some(if negative { -value } else { value })
}

/// Nanoseconds since 1970 of a date in one of the forms of ISO 8601 that W3C's profile has, or of a number of seconds.
fn date(text: &str) -> Option<i128> {
    if let Some(seconds) = number(text) {
        // `2026` alone is a year in W3C's profile and seconds for AWS; AWS's own keys never write a year alone.
        return Some(seconds);
    }
    let whole = match text.len() {
        7 => format!("{text}-01T00:00:00Z"),
        10 => format!("{text}T00:00:00Z"),
        _ => match text.split_once('T') {
            // Without seconds.
            Some((day, time)) if time.get(5..6).is_some_and(|next| next != ":") => {
                format!("{day}T{}:00{}", time.get(..5)?, time.get(5..)?)
            }
            _ => text.to_owned(),
        },
    };
    OffsetDateTime::parse(&whole, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp_nanos)
}

pub(super) fn boolean(text: &str) -> Result<bool, String> {
    truth(text).ok_or_else(|| format!("{text:?} is neither true nor false"))
}

fn truth(text: &str) -> Option<bool> {
    [("true", true), ("false", false)]
        .into_iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text))
        .map(|(_, truth)| truth)
}

/// An address is a network of one. IPv4 written as IPv6 is IPv4.
fn network(text: &str) -> Option<IpNet> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(IpNet::from(address.to_canonical()));
    }
    let network: IpNet = text.parse().ok()?;
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_canonical() {
            IpAddr::V4(v4) => Ipv4Net::new(v4, v6.prefix_len() - 96).ok().map(IpNet::V4),
            IpAddr::V6(_) => Some(network),
        },
        _ => Some(network),
    }
}

/// An ARN whose six parts are compared one by one: a wildcard does not reach over a colon but in the last of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ArnPattern {
    Any,
    Parts(Box<[Pattern; 6]>),
}

impl ArnPattern {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let mut parts = Vec::new();
        let (mut start, mut depth) = (0, 0_usize);
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'{' if text.get(..at).is_some_and(|before| before.ends_with('$')) => depth = 1,
                b'}' => depth = 0,
                b':' if depth == 0 && parts.len() < 5 => {
                    parts.push(text.get(start..at).unwrap_or_default());
                    start = at + 1;
                }
                _ => {}
            }
        }
        parts.push(text.get(start..).unwrap_or_default());
        let parts: Result<Vec<Pattern>, String> =
            parts.into_iter().map(|part| Pattern::with_variables(part, true)).collect();
        let parts: [Pattern; 6] = parts?.try_into().map_err(|_| {
            format!("{text:?} is not an ARN as \"arn:aws:iam::000000000000:role/analyst\" is")
        })?;
        Ok(Self::Parts(Box::new(parts)))
    }

    fn parts(&self) -> &[Pattern] {
        match self {
            Self::Any => &[],
            Self::Parts(parts) => parts.as_slice(),
        }
    }

    fn matches(&self, given: &str, context: &dyn Context) -> Result<bool, Unresolved> {
        let Self::Parts(patterns) = self else { return Ok(true) };
        let mut parts = given.splitn(6, ':');
        let mut all = true;
        for pattern in patterns.iter() {
            let values = resolve(pattern, context)?;
            all &= parts.next().is_some_and(|part| pattern.matches_with(part, &values));
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_bounded() {
        assert_eq!(number("12"), Some(12_000_000_000));
        assert_eq!(number("-0.5"), Some(-500_000_000));
        assert!(number("99999999999999999999").is_some());
        for bad in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1e3",
            "+1",
            " 1",
            "0x1",
            "1,0",
            "NaN",
            "999999999999999999999",
            "1.0000000001",
        ] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }

    #[test]
    fn dates_are_read_in_the_forms_of_the_w3c_profile_and_as_seconds() {
        let expected = date("2026-11-24T00:00:00Z");
        assert!(expected.is_some());
        for same in [
            "2026-11-24",
            "2026-11-24T00:00Z",
            "2026-11-24T01:00:00+01:00",
            "2026-11-24T01:00+01:00",
            "1795478400",
        ] {
            assert_eq!(date(same), expected, "{same}");
        }
        assert_eq!(date("2026-11"), date("2026-11-01T00:00:00Z"));
        for bad in [
            "",
            "yesterday",
            "2026-13-01",
            "2026-11-24T25:00:00Z",
            "24.11.2026",
            "2026-11-24 00:00:00",
            "2026-11-24T00:00:00",
        ] {
            assert_eq!(date(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_the_clothes_of_ipv6() {
        for (network_text, address, expected) in [
            ("203.0.113.0/24", "203.0.113.9", true),
            ("203.0.113.0/24", "::ffff:203.0.113.9", true),
            ("::ffff:203.0.113.0/120", "203.0.113.9", true),
            ("203.0.113.0/24", "203.0.114.9", false),
            ("203.0.113.9", "203.0.113.9", true),
            ("0.0.0.0/0", "198.51.100.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:1::", true),
        ] {
            let contained =
                network(network_text).unwrap().contains(&address.parse::<IpAddr>().unwrap().to_canonical());
            assert_eq!(contained, expected, "{address} in {network_text}");
        }
        for bad in
            ["", "203.0.113", "203.0.113.0/33", "203.0.113.0/", "::/129", "all", "203.0.113.0-203.0.113.9"]
        {
            assert_eq!(network(bad), None, "{bad}");
        }
    }
}
