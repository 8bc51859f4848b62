//! A signed request: parsed, then verified.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderName, Method, header};
use subtle::ConstantTimeEq;

use super::{
    authorization::Authorization,
    canonical::{Canonical, canonical_query, string_to_sign},
    chunked::ChunkSigner,
    claim::Claim,
    encoding::{Pairs, decode_path, decode_query, encode_path},
    error::{Error, Mismatch},
    head::{check_coverage, request_time, singleton},
    key::{CredentialScope, SigningKey},
    payload::{PayloadHash, parse_lower_hex},
    presigned::{PresignedQuery, authenticates, is_presigned, signed_pairs},
};
use crate::clock::Timestamp;

const X_AMZ_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The parts of a request that a signature covers, borrowed as they came.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'r> {
    pub method: &'r Method,
    /// As on the wire.
    pub path: &'r str,
    /// As on the wire, without the question mark; empty for none.
    pub query: &'r str,
    pub headers: &'r HeaderMap,
    /// The `Host` header or HTTP/2's `:authority`; the caller has seen to it that there are not two of them.
    pub host: &'r str,
}

/// Where the signature was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// The `Authorization` header.
    Header,
    /// The query: a presigned URL.
    Query { expires: Duration },
    /// The fields of a form: a signed policy.
    Form,
}

/// What a valid signature must say of this place.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The regions of a credential scope that are taken; the first is named in errors.
    pub regions: Vec<String>,
    pub service: &'static str,
    /// How far the request's time may lie from ours; AWS: 15 minutes.
    pub max_skew: Duration,
}

/// A request that claims to be signed; nothing of it is verified.
#[derive(Debug)]
pub struct SignedRequest<'r> {
    head: RequestHead<'r>,
    path: Cow<'r, str>,
    pairs: Pairs<'r>,
    mechanism: Mechanism,
    access_key_id: Cow<'r, str>,
    scope: (Cow<'r, str>, Cow<'r, str>, Cow<'r, str>),
    signed_headers: Cow<'r, str>,
    signature: Cow<'r, str>,
    amz_date: String,
    signed_at: Timestamp,
    session_token: Option<Cow<'r, str>>,
    payload: PayloadHash,
}

impl<'r> SignedRequest<'r> {
    /// Reads an S3 request: exactly one mechanism, every `x-amz-*` header signed.
    pub fn parse(head: RequestHead<'r>) -> Result<Self, Error> {
        let pairs = decode_query(head.query).map_err(Error::InvalidUri)?;
        let authorization = singleton(head.headers, &header::AUTHORIZATION, "Authorization")?;
        if pairs.iter().any(|(name, _)| name == "AWSAccessKeyId") {
            // SigV2, which aws-cli still presigns with unless it is told otherwise.
            return Err(Error::UnsupportedMechanism);
        }
        match (authorization, is_presigned(&pairs)) {
            (None, false) => Err(Error::MissingCredentials),
            (Some(_), true) => Err(Error::SeveralMechanisms),
            (Some(authorization), false) => {
                let payload = match singleton(head.headers, &X_AMZ_CONTENT_SHA256, "x-amz-content-sha256")? {
                    None => return Err(Error::MissingPayloadHash),
                    Some(text) => PayloadHash::parse(text).ok_or(Error::InvalidPayloadHash)?,
                };
                Self::from_header(head, pairs, authorization, payload)
            }
            (None, true) => Self::from_query(head, pairs),
        }
    }

    /// Reads an STS request. Its payload hash is that of the body, whatever `x-amz-content-sha256` says; STS clients of
    /// AWS do not send that header, MinIO's do.
    pub fn parse_sts(head: RequestHead<'r>, body_sha256: [u8; 32]) -> Result<Self, Error> {
        let pairs = decode_query(head.query).map_err(Error::InvalidUri)?;
        if is_presigned(&pairs) {
            return Err(Error::UnsupportedMechanism);
        }
        let authorization = singleton(head.headers, &header::AUTHORIZATION, "Authorization")?
            .ok_or(Error::MissingCredentials)?;
        if let Some(text) = singleton(head.headers, &X_AMZ_CONTENT_SHA256, "x-amz-content-sha256")? {
            match PayloadHash::parse(text).ok_or(Error::InvalidPayloadHash)? {
                PayloadHash::Sha256(declared) if declared == body_sha256 => {}
                PayloadHash::Unsigned => {}
                _ => return Err(Error::PayloadHashMismatch),
            }
        }
        Self::from_header(head, pairs, authorization, PayloadHash::Sha256(body_sha256))
    }

    fn from_header(
        head: RequestHead<'r>,
        pairs: Pairs<'r>,
        authorization: &'r str,
        payload: PayloadHash,
    ) -> Result<Self, Error> {
        let authorization = Authorization::parse(authorization)?;
        let (amz_date, signed_at) = request_time(head.headers)?;
        if amz_date.get(..8) != Some(authorization.scope.date) {
            return Err(Error::AuthorizationHeaderMalformed(
                "the date in the Credential is not the day of the request's date".to_owned(),
            ));
        }
        check_coverage(head.headers, authorization.signed_headers)?;
        let session_token =
            singleton(head.headers, &X_AMZ_SECURITY_TOKEN, "x-amz-security-token")?.map(Cow::Borrowed);
        Ok(Self {
            path: canonical_path(head.path)?,
            head,
            pairs,
            mechanism: Mechanism::Header,
            access_key_id: authorization.access_key_id.into(),
            scope: (
                authorization.scope.date.into(),
                authorization.scope.region.into(),
                authorization.scope.service.into(),
            ),
            signed_headers: authorization.signed_headers.into(),
            signature: authorization.signature.into(),
            amz_date,
            signed_at,
            session_token,
            payload,
        })
    }

    fn from_query(head: RequestHead<'r>, pairs: Pairs<'r>) -> Result<Self, Error> {
        let query = PresignedQuery::parse(&pairs)?;
        let in_header = singleton(head.headers, &X_AMZ_CONTENT_SHA256, "x-amz-content-sha256")?;
        if in_header.is_some() && query.payload.is_some() && in_header != query.payload {
            return Err(Error::ContradictoryPayloadHash);
        }
        let payload = match in_header.or(query.payload) {
            None => PayloadHash::Unsigned,
            Some(text) => PayloadHash::parse(text).ok_or(Error::InvalidPayloadHash)?,
        };
        if head.headers.contains_key(X_AMZ_SECURITY_TOKEN) {
            return Err(Error::SeveralMechanisms);
        }
        let signed_at = Timestamp::parse_amz_date(query.date).ok_or_else(|| {
            Error::AuthorizationQueryParametersError(
                "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"".to_owned(),
            )
        })?;
        let Authorization { access_key_id, scope, signed_headers, signature } = query.authorization;
        if query.date.get(..8) != Some(scope.date) {
            return Err(Error::AuthorizationQueryParametersError(
                "The date in the Credential is not the day of X-Amz-Date".to_owned(),
            ));
        }
        check_coverage(head.headers, signed_headers)?;
        Ok(Self {
            path: canonical_path(head.path)?,
            head,
            mechanism: Mechanism::Query { expires: query.expires },
            access_key_id: access_key_id.to_owned().into(),
            scope: (
                scope.date.to_owned().into(),
                scope.region.to_owned().into(),
                scope.service.to_owned().into(),
            ),
            signed_headers: signed_headers.to_owned().into(),
            signature: signature.to_owned().into(),
            amz_date: query.date.to_owned(),
            signed_at,
            session_token: query.security_token.map(|token| token.to_owned().into()),
            payload,
            pairs,
        })
    }

    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    pub fn payload(&self) -> &PayloadHash {
        &self.payload
    }

    /// The parameters of the query that are the operation's, decoded.
    pub fn operation_parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.other_pairs().filter(|(name, _)| !self.is_hoisted(name))
    }

    /// The headers that a presigned URL carries as parameters of its query, as SDKs write them: signed like any other.
    pub fn hoisted_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.other_pairs().filter(|(name, _)| self.is_hoisted(name))
    }

    fn other_pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs
            .iter()
            .filter(|(name, _)| !authenticates(name))
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    fn is_hoisted(&self, name: &str) -> bool {
        matches!(self.mechanism, Mechanism::Query { .. })
            && name.get(..6).is_some_and(|prefix| prefix.eq_ignore_ascii_case("x-amz-"))
    }

    fn check_scope(&self, rules: &Rules) -> Result<(), Error> {
        let in_query = matches!(self.mechanism, Mechanism::Query { .. });
        let scope = self.scope();
        if scope.service != rules.service {
            let why = format!(
                "incorrect service \"{}\". This endpoint belongs to \"{}\"",
                scope.service, rules.service
            );
            return Err(if in_query {
                Error::AuthorizationQueryParametersError(why)
            } else {
                Error::AuthorizationHeaderMalformed(why)
            });
        }
        if !rules.regions.iter().any(|region| region == scope.region) {
            return Err(Error::WrongRegion {
                in_query,
                message: if in_query {
                    "Error parsing the X-Amz-Credential parameter"
                } else {
                    "The authorization header is malformed"
                },
                given: scope.region.to_owned(),
                expected: rules.regions.first().cloned().unwrap_or_default(),
            });
        }
        Ok(())
    }

    fn check_time(&self, rules: &Rules, now: Timestamp) -> Result<(), Error> {
        match self.mechanism {
            Mechanism::Header if self.signed_at.distance(now) > rules.max_skew => {
                Err(Error::RequestTimeTooSkewed { request: self.signed_at, server: now })
            }
            Mechanism::Query { .. } if self.signed_at > now.plus(rules.max_skew) => {
                Err(Error::NotYetValid { begins: self.signed_at, server: now })
            }
            Mechanism::Query { expires } if now >= self.signed_at.plus(expires) => {
                Err(Error::Expired { ended: self.signed_at.plus(expires), server: now })
            }
            Mechanism::Header | Mechanism::Query { .. } | Mechanism::Form => Ok(()),
        }
    }

    fn canonical_request(&self) -> Result<Vec<u8>, Error> {
        let query = canonical_query(signed_pairs(&self.pairs));
        let canonical = Canonical {
            method: self.head.method.as_str(),
            path: &self.path,
            query: &query,
            headers: self.head.headers,
            host: self.head.host,
            signed_headers: &self.signed_headers,
            payload: &self.payload.as_str(),
        };
        canonical.request().ok_or_else(|| {
            Error::AuthorizationHeaderMalformed(
                "SignedHeaders names a header that the request does not have".to_owned(),
            )
        })
    }
}

impl Claim for SignedRequest<'_> {
    fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    fn scope(&self) -> CredentialScope<'_> {
        CredentialScope { date: &self.scope.0, region: &self.scope.1, service: &self.scope.2 }
    }

    fn signed_at(&self) -> Timestamp {
        self.signed_at
    }

    fn verify(&self, key: &SigningKey, rules: &Rules, now: Timestamp) -> Result<VerifiedSignature, Error> {
        self.check_place_and_time(rules, now)?;
        let canonical_request = self.canonical_request()?;
        let string_to_sign = string_to_sign(&self.amz_date, self.scope(), &canonical_request);
        let computed = key.sign(&string_to_sign);
        let provided = parse_lower_hex(&self.signature);
        // A signature that is no 32 bytes is compared all the same, so that it takes the same time.
        let equal = computed.ct_eq(&provided.unwrap_or_default());
        if provided.is_none() || !bool::from(equal) {
            return Err(Error::SignatureDoesNotMatch(Box::new(Mismatch {
                access_key_id: self.access_key_id.clone().into_owned(),
                signature_provided: self.signature.clone().into_owned(),
                string_to_sign,
                canonical_request: String::from_utf8_lossy(&canonical_request).into_owned(),
            })));
        }
        Ok(VerifiedSignature {
            payload: self.payload.clone(),
            mechanism: self.mechanism,
            chunks: self.payload.has_signed_chunks().then(|| {
                ChunkSigner::new(
                    key.clone(),
                    self.amz_date.clone(),
                    self.scope().to_string(),
                    self.signature.clone().into_owned(),
                )
            }),
        })
    }

    fn check_place_and_time(&self, rules: &Rules, now: Timestamp) -> Result<(), Error> {
        self.check_scope(rules)?;
        self.check_time(rules, now)
    }
}

/// Proof that the holder of the key signed this request, here and now.
#[derive(Debug)]
pub struct VerifiedSignature {
    payload: PayloadHash,
    mechanism: Mechanism,
    chunks: Option<ChunkSigner>,
}

impl VerifiedSignature {
    pub(super) fn of_form(mechanism: Mechanism) -> Self {
        Self { payload: PayloadHash::Unsigned, mechanism, chunks: None }
    }

    pub fn payload(&self) -> &PayloadHash {
        &self.payload
    }

    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// What verifies the chunks of the body, for the forms whose chunks are signed.
    pub fn chunk_signer(&self) -> Option<ChunkSigner> {
        self.chunks.clone()
    }
}

fn canonical_path(raw: &str) -> Result<Cow<'_, str>, Error> {
    let decoded = decode_path(raw).map_err(Error::InvalidUri)?;
    Ok(match decoded {
        Cow::Borrowed(path) => encode_path(path),
        Cow::Owned(path) => encode_path(&path).into_owned().into(),
    })
}
