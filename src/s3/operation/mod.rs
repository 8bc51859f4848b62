//! Every operation of S3 as data: how a request names it, what it may carry, which actions it needs.
//!
//! What is not in the table does not exist here: 501, never forwarded.

mod spec;
mod table;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, cmp::Ordering, sync::LazyLock};

use http::{HeaderMap, Method};

pub use self::spec::{BodyKind, Kind, Level, Selector, Spec, Verb};
use super::{
    error::{ErrorCode, S3Error},
    target::Target,
};

/// The parameters of a request, decoded, each name once.
pub type Query = Vec<(Cow<'static, str>, String)>;

/// SDKs name the operation in the query for their own logs; it means nothing.
const MEANS_NOTHING: &str = "x-id";

/// A request that was understood: which operation, on what, with which parameters.
#[derive(Debug)]
pub struct Call {
    pub(super) spec: &'static Spec,
    pub(super) target: Target,
    pub(super) query: Query,
}

impl Call {
    /// Finds the one operation that the request names.
    pub fn classify<'q>(
        method: &Method,
        target: Target,
        parameters: impl Iterator<Item = (&'q str, &'q str)>,
        headers: &HeaderMap,
    ) -> Result<Self, S3Error> {
        let mut parameters: Vec<(&str, &str)> =
            parameters.filter(|(name, _)| *name != MEANS_NOTHING).collect();
        refuse_repeated(&mut parameters)?;
        let spec = find(method, Level::of(&target), &parameters, headers)?;
        let query = parameters
            .iter()
            // No delimiter, in the words of MinIO's clients; some storages split at every character then.
            .filter(|pair| **pair != ("delimiter", ""))
            .map(|(name, value)| {
                let name = spec.parameter(name).ok_or_else(|| misplaced(spec, name))?;
                check_number(name, value)?;
                Ok((Cow::Borrowed(name), (*value).to_owned()))
            })
            .collect::<Result<Query, S3Error>>()?;
        for selector in spec.selectors {
            selector.check(&query)?;
        }
        if let Some(why) = spec.refused {
            return Err(not_implemented(format!("{} is not supported: {why}", spec.name)));
        }
        Ok(Self { spec, target, query })
    }

    /// The upload that a form asks for: to every rule and to the backend a `PutObject`.
    pub fn upload_by_form(target: Target) -> Result<Self, S3Error> {
        let spec = all().find(|spec| spec.name == "PutObject" && target.key().is_some());
        let spec = spec.ok_or_else(|| S3Error::internal("a form upload without a key"))?;
        Ok(Self { spec, target, query: Query::new() })
    }

    pub fn spec(&self) -> &'static Spec {
        self.spec
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn query(&self) -> &Query {
        &self.query
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Every operation that is known, also those that are refused.
pub fn all() -> impl Iterator<Item = &'static Spec> {
    table::all()
}

/// As logs and metrics name them, with the form upload, which is none of its own to every rule.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|spec| spec.name).chain(["PostObject"])
}

/// Two values for one name are two readings of one request. Names that differ in case alone are as bad: no operation has
/// them, and some server may take one for the other.
fn refuse_repeated(parameters: &mut [(&str, &str)]) -> Result<(), S3Error> {
    if parameters.len() > 64 {
        return Err(S3Error::new(ErrorCode::InvalidArgument, "The request has too many query parameters."));
    }
    for (index, (name, _)) in parameters.iter().enumerate() {
        if parameters.iter().take(index).any(|(before, _)| before.eq_ignore_ascii_case(name)) {
            return Err(S3Error::new(
                ErrorCode::InvalidArgument,
                "A query parameter is given more than once.",
            )
            .with("ArgumentName", (*name).to_owned()));
        }
    }
    Ok(())
}

/// How many are asked for is written in digits: some storages read `+1000` as a number, which a condition does not.
fn check_number(name: &'static str, value: &str) -> Result<(), S3Error> {
    let is_number = || value.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<i32>().is_ok();
    if !name.starts_with("max-") || value.is_empty() || is_number() {
        return Ok(());
    }
    let message = format!("Provided {name} not an integer or within integer range");
    Err(S3Error::new(ErrorCode::InvalidArgument, message).with("ArgumentName", name))
}

/// The operation with the most selectors that the request satisfies; two that are as good contradict each other.
fn find(
    method: &Method,
    level: Level,
    parameters: &[(&str, &str)],
    headers: &HeaderMap,
) -> Result<&'static Spec, S3Error> {
    let fitting = at_home(method, level).iter().copied().filter(|spec| {
        spec.selectors.iter().all(|selector| selector.is_in(parameters)) && spec.is_named_by(headers)
    });
    let (mut best, mut as_good): (Option<&'static Spec>, _) = (None, None);
    for spec in fitting {
        match best.map(|best| spec.precision().cmp(&best.precision())) {
            None | Some(Ordering::Greater) => (best, as_good) = (Some(spec), None),
            Some(Ordering::Equal) => as_good = as_good.or(Some(spec)),
            Some(Ordering::Less) => {}
        }
    }
    match (best, as_good) {
        (None, _) => Err(unknown_method(level, parameters)),
        (Some(first), Some(second)) => Err(S3Error::new(
            ErrorCode::InvalidArgument,
            format!("The request names two operations at once: {} and {}.", first.name, second.name),
        )),
        (Some(best), None) => Ok(best),
    }
}

/// The operations of a method and a level: few, where the whole table is long.
fn at_home(method: &Method, level: Level) -> &'static [&'static Spec] {
    type Home = ((Method, Level), Vec<&'static Spec>);
    // Few enough to look through.
    static HOMES: LazyLock<Vec<Home>> = LazyLock::new(|| {
        let mut homes: Vec<Home> = Vec::new();
        for spec in all() {
            let place = (spec.method.to_http(), spec.level);
            match homes.iter_mut().find(|(known, _)| *known == place) {
                Some((_, specs)) => specs.push(spec),
                None => homes.push((place, vec![spec])),
            }
        }
        homes
    });
    let home = HOMES.iter().find(|((known, at), _)| *at == level && known == method);
    home.map_or(&[], |(_, specs)| specs.as_slice())
}

fn unknown_method(level: Level, parameters: &[(&str, &str)]) -> S3Error {
    let known_elsewhere = all().any(|spec| {
        spec.level == level
            && !spec.selectors.is_empty()
            && spec.selectors.iter().all(|selector| selector.is_in(parameters))
    });
    if known_elsewhere || parameters.is_empty() {
        return S3Error::new(
            ErrorCode::MethodNotAllowed,
            "The specified method is not allowed against this resource.",
        );
    }
    not_implemented("The request names no operation of S3 that is known here.".to_owned())
}

/// A parameter that the operation does not have: one of another operation, or of none.
fn misplaced(spec: &Spec, name: &str) -> S3Error {
    let error = if all().any(|other| other.parameter(name).is_some()) {
        S3Error::new(
            ErrorCode::InvalidArgument,
            format!("{} does not take the query parameter {name}.", spec.name),
        )
    } else {
        not_implemented(format!("The query parameter {name} is not known here."))
    };
    error.with("ArgumentName", name.to_owned())
}

fn not_implemented(message: String) -> S3Error {
    S3Error::new(ErrorCode::NotImplemented, message)
}
