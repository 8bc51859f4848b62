//! The request context of IAM for S3: what a request says of itself under the names of condition keys.
//!
//! Every answer comes from what was parsed and is sent on: the decoded query, the headers that were signed, the document that
//! was proven. A header named like a condition key means nothing.

use std::{borrow::Cow, net::IpAddr};

use http::{HeaderMap, HeaderName};

use super::{
    copy_source::CopySource,
    described::Described,
    error::{ErrorCode, S3Error},
    operation::Query,
};
use crate::{
    clock::Timestamp,
    iam::{ConditionKey, Context, Plain, Principal, Values},
    sigv4::{Mechanism, Pairs, PayloadHash, decode_query},
};

const TAGGING: HeaderName = HeaderName::from_static("x-amz-tagging");

/// How a request came.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// The client's address: of the connection, or what a trusted proxy says.
    pub address: IpAddr,
    pub tls: bool,
    pub now: Timestamp,
    pub mechanism: Mechanism,
    pub signed_at: Timestamp,
    /// As the signature has it.
    pub region: &'a str,
    pub payload: &'a PayloadHash,
}

impl Arrival<'_> {
    fn value(&self, key: Plain) -> Option<Values<'_>> {
        use Plain as K;
        Some(match key {
            K::CurrentTime => Values::owned(Some(self.now.rfc3339())),
            K::EpochTime => Values::owned(Some(self.now.unix().to_string())),
            K::RequestedRegion => Values::of(Some(self.region)),
            K::SecureTransport => Values::of(Some(if self.tls { "true" } else { "false" })),
            K::SourceIp => Values::owned(Some(self.address.to_canonical().to_string())),
            K::AuthType => Values::of(Some(match self.mechanism {
                Mechanism::Header => "REST-HEADER",
                Mechanism::Query { .. } => "REST-QUERY-STRING",
                Mechanism::Form => "POST",
            })),
            K::SignatureVersion => Values::of(Some("AWS4-HMAC-SHA256")),
            K::SignatureAge => Values::owned(Some(self.now.distance(self.signed_at).as_millis().to_string())),
            K::XAmzContentSha256 => Values::One(self.payload.as_str()),
            _ => return None,
        })
    }
}

/// A request, as policies see it.
#[derive(Debug, Clone, Copy)]
pub struct RequestContext<'a> {
    pub principal: &'a Principal,
    pub arrival: Arrival<'a>,
    pub headers: &'a HeaderMap,
    pub query: &'a Query,
    pub copy_source: Option<&'a CopySource>,
    /// Of the object that is asked about: the target's, the copy source's, or that of one key of a multi-delete.
    pub version_id: Option<&'a str>,
    pub described: &'a Described,
}

impl Context for RequestContext<'_> {
    fn values<'c>(&'c self, key: &ConditionKey) -> Values<'c> {
        if let Some(values) = self.principal.values(key) {
            return values;
        }
        match key {
            ConditionKey::Plain(plain) => self.plain(*plain),
            ConditionKey::RequestObjectTag(tag) => {
                let value = self.tags().into_iter().find(|(key, _)| *key == **tag).map(|(_, value)| value);
                value.map_or(Values::Missing, Values::One)
            }
            ConditionKey::PrincipalTag(_) | ConditionKey::RequestTag(_) | ConditionKey::Claim(_) => {
                Values::Missing
            }
        }
    }
}

impl RequestContext<'_> {
    fn plain(&self, key: Plain) -> Values<'_> {
        use Plain as K;
        match key {
            K::Referer => self.header("referer"),
            K::UserAgent => self.header("user-agent"),
            K::ResourceAccount | K::S3ResourceAccount => Values::of(Some(self.principal.account.as_str())),
            K::Delimiter => self.parameter("delimiter"),
            K::MaxKeys => self.parameter("max-keys"),
            K::Prefix => self.parameter("prefix"),
            K::VersionId => Values::of(self.version_id),
            K::LocationConstraint => Values::of(self.described.location.as_deref()),
            K::RequestObjectTagKeys => match self.tags() {
                tags if tags.is_empty() => Values::Missing,
                tags => Values::Many(tags.into_iter().map(|(key, _)| key).collect()),
            },
            K::ObjectLockMode => {
                self.header_or("x-amz-object-lock-mode", self.described.lock_mode.as_deref())
            }
            K::ObjectLockRetainUntilDate => Values::of(self.retain_until()),
            K::ObjectLockRemainingDays => {
                Values::owned(self.retain_until().and_then(|until| self.days_until(until)))
            }
            K::ObjectLockLegalHold => {
                self.header_or("x-amz-object-lock-legal-hold", self.described.legal_hold.as_deref())
            }
            K::XAmzCopySource => {
                Values::owned(self.copy_source.map(|source| format!("{}/{}", source.bucket, source.key)))
            }
            _ => self.arrival.value(key).unwrap_or_else(|| self.header_of(key)),
        }
    }

    /// The keys of S3 that are named like the header that they are about.
    fn header_of(&self, key: Plain) -> Values<'_> {
        let header = key
            .name()
            .strip_prefix("s3:")
            .filter(|name| name.starts_with("x-amz-") || name.starts_with("if-"));
        header.map_or(Values::Missing, |name| self.header(name))
    }

    fn header(&self, name: &str) -> Values<'_> {
        self.header_or(name, None)
    }

    fn header_or<'c>(&'c self, name: &str, otherwise: Option<&'c str>) -> Values<'c> {
        match self.headers.get(name) {
            // A value that is no text is still a value.
            Some(value) => Values::One(String::from_utf8_lossy(value.as_bytes())),
            None => Values::of(otherwise),
        }
    }

    fn parameter(&self, name: &str) -> Values<'_> {
        Values::of(self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()))
    }

    fn retain_until(&self) -> Option<&str> {
        let header =
            self.headers.get("x-amz-object-lock-retain-until-date").and_then(|value| value.to_str().ok());
        header.or(self.described.retain_until.as_deref())
    }

    /// Whole days that are left; a date that cannot be read has none.
    fn days_until(&self, until: &str) -> Option<String> {
        let until = Timestamp::parse_rfc3339(until)?;
        Some(((until.unix() - self.arrival.now.unix()) / 86_400).to_string())
    }

    /// The tags that an object gets: from the header of an upload, or from the document that sets them.
    fn tags(&self) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
        // A header that cannot be read was refused before.
        let of_header = header_tags(self.headers).unwrap_or_default();
        let of_document = self.described.tags.iter();
        of_header
            .into_iter()
            .chain(
                of_document.map(|(key, value)| (Cow::Borrowed(key.as_str()), Cow::Borrowed(value.as_str()))),
            )
            .collect()
    }
}

/// The tags of `x-amz-tagging`. A key that is given twice, a `;` and a broken escape are read in two ways by two storages.
pub(super) fn header_tags(headers: &HeaderMap) -> Result<Pairs<'_>, S3Error> {
    let Some(header) = headers.get(TAGGING) else { return Ok(Vec::new()) };
    let refused = || {
        S3Error::new(
            ErrorCode::InvalidArgument,
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name \
             duplicates.",
        )
        .with("ArgumentName", "x-amz-tagging")
    };
    let text = header.to_str().map_err(|_| refused())?;
    let tags = decode_query(text).map_err(|_| refused())?;
    let twice = tags
        .iter()
        .enumerate()
        .any(|(index, (key, _))| tags.iter().take(index).any(|(before, _)| before == key));
    if twice || text.contains(';') || tags.iter().any(|(key, _)| key.is_empty()) {
        return Err(refused());
    }
    Ok(tags)
}
