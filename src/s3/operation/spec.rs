//! One row of the table of operations.

use http::{HeaderMap, Method};

use super::{
    super::{
        copy_source,
        error::{ErrorCode, S3Error},
        headers::Group,
        target::Target,
    },
    Query,
};

/// The methods that S3 has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Head,
    Put,
    Post,
    Delete,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    pub(crate) fn to_http(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Put => Method::PUT,
            Self::Post => Method::POST,
            Self::Delete => Method::DELETE,
        }
    }
}

/// What an operation acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    Service,
    Bucket,
    Object,
}

impl Level {
    pub(super) fn of(target: &Target) -> Self {
        match (target.bucket(), target.key()) {
            (None, _) => Self::Service,
            (Some(_), None) => Self::Bucket,
            (Some(_), Some(_)) => Self::Object,
        }
    }
}

/// What body an operation takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// None; a request with one is refused.
    Empty,
    /// The bytes of an object: streamed, in any of the payload forms.
    Object,
    /// A small document, read whole up to this many bytes before it is sent.
    Document(u64),
}

/// What makes an operation more than its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// It has a source, named in `x-amz-copy-source`.
    Copy,
    /// Each key in its body is decided on its own.
    MultiDelete,
    /// Its signature and its key are in a form.
    Form,
}

/// A query parameter by which a request names the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// `?acl`
    Bare(&'static str),
    /// `?uploadId=…`
    Valued(&'static str),
    /// `?list-type=2`
    Exactly(&'static str, &'static str),
}

impl Selector {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bare(name) | Self::Valued(name) | Self::Exactly(name, _) => name,
        }
    }

    pub(super) fn is_in(self, parameters: &[(&str, &str)]) -> bool {
        parameters.iter().any(|(name, value)| match self {
            Self::Exactly(known, wanted) => *name == known && *value == wanted,
            Self::Bare(known) | Self::Valued(known) => *name == known,
        })
    }

    /// The form in which it selects is the only one that is taken.
    pub(super) fn check(self, query: &Query) -> Result<(), S3Error> {
        let value = query.iter().find(|(name, _)| name == self.name()).map_or("", |(_, value)| value);
        let why = match self {
            Self::Bare(name) if !value.is_empty() => format!("The query parameter {name} takes no value."),
            Self::Valued(name) if value.is_empty() => format!("The query parameter {name} needs a value."),
            _ => return Ok(()),
        };
        Err(S3Error::new(ErrorCode::InvalidArgument, why).with("ArgumentName", self.name()))
    }
}

/// One operation.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// As the S3 API names it.
    pub name: &'static str,
    pub method: Verb,
    pub level: Level,
    pub kind: Kind,
    pub selectors: &'static [Selector],
    /// The other parameters that it takes.
    pub parameters: &'static [&'static str],
    /// The IAM actions on the target.
    pub actions: &'static [&'static str],
    /// The actions in their place when a `versionId` is given; empty: it takes none.
    pub version_actions: &'static [&'static str],
    /// The groups of request headers that it takes.
    pub headers: Group,
    pub body: BodyKind,
    /// It takes the `x-amz-checksum-…` of its own body.
    pub checks_body: bool,
    /// Conditions may ask for what its document says, so it is read before the decision.
    pub describes: bool,
    /// Why it is not offered.
    pub refused: Option<&'static str>,
}

impl Spec {
    pub(super) const fn new(
        name: &'static str,
        method: Verb,
        level: Level,
        actions: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            method,
            level,
            kind: Kind::Plain,
            selectors: &[],
            parameters: &[],
            actions,
            version_actions: &[],
            headers: Group::NONE,
            body: BodyKind::Empty,
            checks_body: true,
            describes: false,
            refused: None,
        }
    }

    pub(super) const fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    pub(super) const fn by(self, selectors: &'static [Selector]) -> Self {
        Self { selectors, ..self }
    }

    pub(super) const fn takes(self, parameters: &'static [&'static str]) -> Self {
        Self { parameters, ..self }
    }

    pub(super) const fn or_version(self, version_actions: &'static [&'static str]) -> Self {
        Self { version_actions, ..self }
    }

    pub(super) const fn headers(self, headers: Group) -> Self {
        Self { headers, ..self }
    }

    pub(super) const fn body(self, body: BodyKind) -> Self {
        Self { body, ..self }
    }

    /// The `x-amz-checksum-…` headers are about an object, not about the body of this request.
    pub(super) const fn checksums_are_of_the_object(self) -> Self {
        Self { checks_body: false, ..self }
    }

    pub(super) const fn describes(self) -> Self {
        Self { describes: true, ..self }
    }

    pub(super) const fn refused(self, why: &'static str) -> Self {
        Self { refused: Some(why), ..self }
    }

    /// The known name of a parameter that it takes.
    pub(super) fn parameter(&self, name: &str) -> Option<&'static str> {
        let version = (!self.version_actions.is_empty()).then_some("versionId");
        self.selectors
            .iter()
            .map(|selector| selector.name())
            .chain(self.parameters.iter().copied())
            .chain(version)
            .find(|known| *known == name)
    }

    pub(super) fn is_named_by(&self, headers: &HeaderMap) -> bool {
        match self.kind {
            Kind::Copy => headers.contains_key(copy_source::HEADER),
            Kind::Form => headers
                .get(http::header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .is_some_and(|value| value.to_ascii_lowercase().starts_with("multipart/form-data")),
            Kind::Plain | Kind::MultiDelete => true,
        }
    }

    /// How much of a request it takes to name this operation.
    pub(super) fn precision(&self) -> usize {
        self.selectors.len() * 2 + usize::from(matches!(self.kind, Kind::Copy | Kind::Form))
    }
}
