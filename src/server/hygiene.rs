//! A request head that can be read in one way only. Whatever two parties could read differently is refused here, before
//! anything is decided.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header, request::Parts, uri::Authority,
};

/// The parts of the head that everything after reads.
#[derive(Debug, Clone, Copy)]
pub struct CleanHead<'r> {
    /// `Host`, or HTTP/2's `:authority`.
    pub host: &'r str,
    /// As on the wire.
    pub path: &'r str,
    /// As on the wire, without the question mark; empty for none.
    pub query: &'r str,
}

/// Bounds on a head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    pub max_uri: usize,
    pub max_head_size: usize,
}

/// Why a request is not taken, in S3's codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("The specified method is not allowed against this resource.")]
    Method,
    #[error("The request URI is longer than {most} bytes.")]
    UriTooLong { most: usize },
    #[error("Couldn't parse the specified URI.")]
    Uri,
    #[error("Your request header section exceeds the maximum allowed size of {most} bytes.")]
    HeadTooLarge { most: usize },
    #[error("The request must have exactly one Host, and one that is a host name.")]
    Host,
    #[error("The request names two different hosts.")]
    TwoHosts,
    #[error("The header {0} must not be given more than once.")]
    Repeated(HeaderName),
    #[error("The length of the body is not given in exactly one way.")]
    Framing,
    #[error("The header {0} is not accepted here.")]
    NotAccepted(HeaderName),
    #[error("Connection names the header {0}, which must reach the gateway.")]
    DroppedByConnection(String),
    #[error("The value of the header {0} has bytes that are not visible ASCII.")]
    Value(HeaderName),
    #[error("The expectation is not 100-continue.")]
    Expectation,
}

impl Problem {
    /// S3's code for it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Method => "MethodNotAllowed",
            Self::Uri => "InvalidURI",
            Self::UriTooLong { .. } => "RequestUriTooLong",
            Self::HeadTooLarge { .. } => "RequestHeaderSectionTooLarge",
            Self::Repeated(_) | Self::NotAccepted(_) | Self::DroppedByConnection(_) | Self::Value(_) => {
                "InvalidArgument"
            }
            Self::Host | Self::TwoHosts | Self::Framing => "InvalidRequest",
            Self::Expectation => "ExpectationFailed",
        }
    }

    pub fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::UriTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Checks a head.
pub fn check(parts: &Parts, limits: HeadLimits) -> Result<CleanHead<'_>, Problem> {
    check_method(&parts.method)?;
    let (path, query) = target(parts, limits.max_uri)?;
    let size: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if size > limits.max_head_size {
        return Err(Problem::HeadTooLarge { most: limits.max_head_size });
    }
    check_names(&parts.headers)?;
    check_singletons(&parts.headers)?;
    check_framing(parts)?;
    check_connection(&parts.headers)?;
    if let Some(expectation) = parts.headers.get(header::EXPECT)
        && !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Problem::Expectation);
    }
    Ok(CleanHead { host: host(parts)?, path, query })
}

fn check_method(method: &Method) -> Result<(), Problem> {
    let known = [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::DELETE, Method::OPTIONS];
    if known.contains(method) { Ok(()) } else { Err(Problem::Method) }
}

fn target(parts: &Parts, max_uri: usize) -> Result<(&str, &str), Problem> {
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or_default());
    if path.len() + query.len() > max_uri {
        return Err(Problem::UriTooLong { most: max_uri });
    }
    if !path.starts_with('/') || parts.uri.path_and_query().is_none() {
        return Err(Problem::Uri);
    }
    Ok((path, query))
}

/// Names that some server reads as another name, and headers that make some server act on another request than this one.
fn check_names(headers: &HeaderMap) -> Result<(), Problem> {
    const REWRITERS: [&str; 8] = [
        "upgrade",
        "http2-settings",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-rewrite-url",
        "x-original-host",
    ];
    for (name, value) in headers {
        if name.as_str().bytes().any(|byte| byte == b'_') || REWRITERS.contains(&name.as_str()) {
            return Err(Problem::NotAccepted(name.clone()));
        }
        let is_metadata = name.as_str().starts_with("x-amz-meta-");
        let plain = |byte: &u8| (b' '..=b'~').contains(byte) || *byte == b'\t';
        if name.as_str().starts_with("x-amz-") && !is_metadata && !value.as_bytes().iter().all(plain) {
            return Err(Problem::Value(name.clone()));
        }
    }
    Ok(())
}

/// Every header of ours once: a second one could be the one that somebody else reads.
fn check_singletons(headers: &HeaderMap) -> Result<(), Problem> {
    for name in headers.keys() {
        let text = name.as_str();
        let once = matches!(
            text,
            "host"
                | "authorization"
                | "content-length"
                | "content-type"
                | "content-md5"
                | "content-range"
                | "date"
                | "expect"
                | "if-match"
                | "if-none-match"
                | "if-modified-since"
                | "if-unmodified-since"
                | "range"
                | "transfer-encoding"
        ) || (text.starts_with("x-amz-") && !text.starts_with("x-amz-meta-"));
        if once && headers.get_all(name).iter().count() > 1 {
            return Err(if name == header::HOST { Problem::Host } else { Problem::Repeated(name.clone()) });
        }
    }
    Ok(())
}

fn check_framing(parts: &Parts) -> Result<(), Problem> {
    let length = parts.headers.get(header::CONTENT_LENGTH);
    if length.is_some_and(|value| value.is_empty() || !value.as_bytes().iter().all(u8::is_ascii_digit)) {
        return Err(Problem::Framing);
    }
    match parts.headers.get(header::TRANSFER_ENCODING) {
        None => Ok(()),
        Some(_) if length.is_some() || parts.version != Version::HTTP_11 => Err(Problem::Framing),
        Some(coding) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        Some(_) => Err(Problem::Framing),
    }
}

/// A proxy that obeys `Connection` would drop these, we and the backend would not.
fn check_connection(headers: &HeaderMap) -> Result<(), Problem> {
    for value in headers.get_all(header::CONNECTION) {
        let text = value.to_str().map_err(|_| Problem::Value(header::CONNECTION))?;
        for token in text.split(',').map(|token| token.trim().to_ascii_lowercase()) {
            if !matches!(token.as_str(), "" | "close" | "keep-alive" | "te") {
                return Err(Problem::DroppedByConnection(token));
            }
        }
    }
    Ok(())
}

fn host(parts: &Parts) -> Result<&str, Problem> {
    let in_header = match parts.headers.get(header::HOST) {
        Some(value) => Some(clean_host(value)?),
        None => None,
    };
    let in_target = parts.uri.authority().map(Authority::as_str);
    match (in_header, in_target) {
        (Some(header), Some(target)) if !header.eq_ignore_ascii_case(target) => Err(Problem::TwoHosts),
        (Some(header), _) => Ok(header),
        // In HTTP/2 the `:authority` takes the place of `Host`; in HTTP/1.1 `Host` must be there whatever the target is.
        (None, Some(target)) if parts.version == Version::HTTP_2 && !target.contains('@') => Ok(target),
        (None, _) => Err(Problem::Host),
    }
}

fn clean_host(value: &HeaderValue) -> Result<&str, Problem> {
    let text = value.to_str().map_err(|_| Problem::Host)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']');
    if !text.is_empty() && text.bytes().all(allowed) { Ok(text) } else { Err(Problem::Host) }
}
