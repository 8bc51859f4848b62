//! Which headers cross the gateway. What is not here does not.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{
    described::{LEGAL_HOLDS, LOCK_MODES},
    error::{ErrorCode, S3Error},
    operation::Spec,
};
use crate::clock::Timestamp;

/// A set of groups of request headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group(u32);

impl Group {
    pub const NONE: Self = Self(0);
    /// `if-match` and its like.
    pub const CONDITIONS: Self = Self(1);
    pub const RANGE: Self = Self(1 << 1);
    /// What is stored beside the bytes: type, encoding, caching.
    pub const CONTENT: Self = Self(1 << 2);
    pub const METADATA: Self = Self(1 << 3);
    /// Checksums and how they are made.
    pub const CHECKSUM: Self = Self(1 << 4);
    pub const ENCRYPTION: Self = Self(1 << 5);
    /// The customer key of an existing object.
    pub const CUSTOMER_KEY: Self = Self(1 << 6);
    pub const COPY: Self = Self(1 << 7);
    pub const ACL: Self = Self(1 << 8);
    pub const TAGGING: Self = Self(1 << 9);
    pub const LOCK: Self = Self(1 << 10);
    pub const BYPASS_GOVERNANCE: Self = Self(1 << 11);
    pub const STORAGE_CLASS: Self = Self(1 << 12);
    pub const REDIRECT: Self = Self(1 << 13);
    pub const NEW_BUCKET: Self = Self(1 << 14);
    pub const ATTRIBUTES: Self = Self(1 << 15);
    pub const LIFECYCLE: Self = Self(1 << 16);
    pub const NOTIFICATION: Self = Self(1 << 17);
    pub const LISTED_ATTRIBUTES: Self = Self(1 << 18);
    pub const BUCKET_POLICY: Self = Self(1 << 19);

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// What becomes of a request header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It crosses with operations that take its group.
    Crosses(Group),
    /// It was for us, or means nothing to a backend.
    Ends,
    /// It would make the backend do what no policy was asked about.
    Refused(&'static str),
    /// An `x-amz-…` that is not known here.
    Unknown,
}

/// Prefixes by which backends take orders from those who hold their keys, as we do.
const BACKEND_ORDERS: [&str; 8] = [
    "x-minio-",
    "x-rustfs-",
    "rgwx-",
    "x-rgw-",
    "x-seaweedfs-",
    "x-amz-meta-x-minio-",
    "x-amz-meta-x-rustfs-",
    // MinIO unpacks an archive into objects that no policy was asked about.
    "x-amz-meta-snowball-",
];

#[rustfmt::skip]
fn fate(name: &str) -> Fate {
    if BACKEND_ORDERS.iter().any(|prefix| name.starts_with(prefix)) {
        return Fate::Refused("is an order to the storage behind this gateway");
    }
    if name.starts_with("x-amz-meta-") {
        return Fate::Crosses(Group::METADATA);
    }
    if name.starts_with("x-amz-grant-") {
        return Fate::Crosses(Group::ACL);
    }
    if name.starts_with("x-amz-copy-source-server-side-encryption-customer-") {
        return Fate::Crosses(Group::COPY);
    }
    if name.starts_with("x-amz-server-side-encryption-customer-") {
        return Fate::Crosses(Group::ENCRYPTION.and(Group::CUSTOMER_KEY));
    }
    match name {
        "if-match" | "if-none-match" | "if-modified-since" | "if-unmodified-since" => Fate::Crosses(Group::CONDITIONS),
        "range" => Fate::Crosses(Group::RANGE),
        "content-type" | "cache-control" | "content-disposition" | "content-encoding" | "content-language" | "expires" => Fate::Crosses(Group::CONTENT),
        "x-amz-checksum-crc32" | "x-amz-checksum-crc32c" | "x-amz-checksum-crc64nvme" | "x-amz-checksum-sha1" | "x-amz-checksum-sha256"
        | "x-amz-checksum-algorithm" | "x-amz-checksum-mode" | "x-amz-checksum-type" | "x-amz-mp-object-size" => Fate::Crosses(Group::CHECKSUM),
        "x-amz-server-side-encryption" | "x-amz-server-side-encryption-aws-kms-key-id" | "x-amz-server-side-encryption-bucket-key-enabled"
        | "x-amz-server-side-encryption-context" => Fate::Crosses(Group::ENCRYPTION),
        "x-amz-copy-source-if-match" | "x-amz-copy-source-if-none-match" | "x-amz-copy-source-if-modified-since"
        | "x-amz-copy-source-if-unmodified-since" | "x-amz-copy-source-range" | "x-amz-metadata-directive" | "x-amz-tagging-directive" => Fate::Crosses(Group::COPY),
        "x-amz-acl" => Fate::Crosses(Group::ACL),
        "x-amz-tagging" => Fate::Crosses(Group::TAGGING),
        "x-amz-object-lock-mode" | "x-amz-object-lock-retain-until-date" | "x-amz-object-lock-legal-hold" => Fate::Crosses(Group::LOCK),
        "x-amz-bypass-governance-retention" => Fate::Crosses(Group::BYPASS_GOVERNANCE),
        "x-amz-storage-class" => Fate::Crosses(Group::STORAGE_CLASS),
        "x-amz-website-redirect-location" => Fate::Crosses(Group::REDIRECT),
        "x-amz-bucket-object-lock-enabled" | "x-amz-object-ownership" => Fate::Crosses(Group::NEW_BUCKET),
        "x-amz-object-attributes" | "x-amz-max-parts" | "x-amz-part-number-marker" => Fate::Crosses(Group::ATTRIBUTES),
        "x-amz-transition-default-minimum-object-size" => Fate::Crosses(Group::LIFECYCLE),
        "x-amz-skip-destination-validation" => Fate::Crosses(Group::NOTIFICATION),
        "x-amz-optional-object-attributes" => Fate::Crosses(Group::LISTED_ATTRIBUTES),
        "x-amz-confirm-remove-self-bucket-access" => Fate::Crosses(Group::BUCKET_POLICY),
        // Rebuilt by us, or read by us alone.
        "x-amz-date" | "x-amz-content-sha256" | "x-amz-security-token" | "x-amz-decoded-content-length" | "x-amz-trailer"
        | "x-amz-copy-source" | "x-amz-sdk-checksum-algorithm" | "x-amz-te" | "x-amz-user-agent" | "x-amz-request-payer"
        | "x-amz-expected-bucket-owner" | "x-amz-source-expected-bucket-owner" | "x-amz-api-version" => Fate::Ends,
        "x-amz-mfa" => Fate::Refused("is a second factor of the storage's own account"),
        "x-amz-write-offset-bytes" => Fate::Refused("asks to append, which is not supported"),
        other if other.starts_with("x-amz-") => Fate::Unknown,
        _ => Fate::Ends,
    }
}

/// The request headers that go to the backend with an operation. Hop-by-hop headers, credentials, cookies and whatever else is
/// not on the list end here; an `x-amz-…` that the operation does not have is refused, since somebody meant something by it.
pub(super) fn crossing(spec: &Spec, headers: &HeaderMap) -> Result<HeaderMap, S3Error> {
    let mut crossing = HeaderMap::new();
    let mut metadata = 0;
    for (name, value) in headers {
        match fate(name.as_str()) {
            Fate::Crosses(group) if spec.headers.has(group) => {
                check_value(name, value)?;
                if group == Group::METADATA {
                    metadata += name.as_str().len() - "x-amz-meta-".len() + value.len();
                }
                if let Some(value) = stored(name, value) {
                    crossing.append(name, value);
                }
            }
            Fate::Ends => {}
            Fate::Crosses(_) if !name.as_str().starts_with("x-amz-") => {}
            // Every upload form of SDKs may come with these, whatever the operation.
            Fate::Crosses(Group::CHECKSUM | Group::METADATA) => {}
            Fate::Crosses(_) => {
                return Err(refused(
                    ErrorCode::InvalidArgument,
                    name,
                    &format!("has no meaning for {}", spec.name),
                ));
            }
            Fate::Refused(why) => return Err(refused(ErrorCode::InvalidArgument, name, why)),
            Fate::Unknown => {
                return Err(refused(
                    ErrorCode::NotImplemented,
                    name,
                    "implies functionality that is not known here",
                ));
            }
        }
    }
    if metadata > MAX_METADATA {
        return Err(S3Error::new(
            ErrorCode::MetadataTooLarge,
            "Your metadata headers exceed the maximum allowed metadata size",
        )
        .with("Size", metadata.to_string())
        .with("MaxSizeAllowed", MAX_METADATA.to_string()));
    }
    Ok(crossing)
}

/// Headers whose values S3 lists, where policies are asked with the value. Some storages take other spellings of them, as MinIO
/// takes `compliance` for `COMPLIANCE`, and a denial of the one would not know the other.
const LISTED_VALUES: &[(&str, &[&str])] = &[
    (
        "x-amz-acl",
        &[
            "private",
            "public-read",
            "public-read-write",
            "authenticated-read",
            "aws-exec-read",
            "bucket-owner-read",
            "bucket-owner-full-control",
            "log-delivery-write",
        ],
    ),
    ("x-amz-metadata-directive", &["COPY", "REPLACE"]),
    ("x-amz-object-lock-legal-hold", LEGAL_HOLDS),
    ("x-amz-object-lock-mode", LOCK_MODES),
    ("x-amz-object-ownership", &["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"]),
    ("x-amz-server-side-encryption", &["AES256", "aws:fsx", "aws:kms", "aws:kms:dsse"]),
    ("x-amz-server-side-encryption-customer-algorithm", &["AES256"]),
    ("x-amz-tagging-directive", &["COPY", "REPLACE"]),
];

fn check_value(name: &HeaderName, value: &HeaderValue) -> Result<(), S3Error> {
    let text = value.to_str().unwrap_or_default();
    let known = match LISTED_VALUES.iter().find(|(listed, _)| name == listed) {
        Some((_, values)) => values.contains(&text),
        None if name == "x-amz-object-lock-retain-until-date" => Timestamp::parse_rfc3339(text).is_some(),
        None => true,
    };
    if known {
        return Ok(());
    }
    Err(refused(ErrorCode::InvalidArgument, name, "has a value that S3 does not have"))
}

/// Of user metadata, names and values together (S3 user guide, "Working with object metadata").
const MAX_METADATA: usize = 2048;

fn refused(code: ErrorCode, name: &HeaderName, why: &str) -> S3Error {
    S3Error::new(code, format!("The header {name} {why}.")).with("Header", name.as_str())
}

/// `aws-chunked` is a form of the upload, not of the object; what it stood beside is the object's.
fn stored(name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue> {
    if name != header::CONTENT_ENCODING {
        return Some(value.clone());
    }
    let Ok(text) = value.to_str() else { return Some(value.clone()) };
    let codings: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    if codings.is_empty() { None } else { HeaderValue::from_str(&codings.join(",")).ok() }
}

/// Whether a request says that its body is aws-chunked.
pub fn is_aws_chunked(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("aws-chunked"))
}

/// Whether a header of the backend's reply goes to the client.
pub fn returns(name: &str) -> bool {
    name.starts_with("x-amz-meta-")
        || name.starts_with("x-amz-checksum-")
        || name.starts_with("x-amz-server-side-encryption")
        || name.starts_with("x-amz-object-lock-")
        || matches!(
            name,
            "accept-ranges"
                | "cache-control"
                | "content-disposition"
                | "content-encoding"
                | "content-language"
                | "content-length"
                | "content-range"
                | "content-type"
                | "etag"
                | "expires"
                | "last-modified"
                | "x-amz-abort-date"
                | "x-amz-abort-rule-id"
                | "x-amz-bucket-region"
                | "x-amz-copy-source-version-id"
                | "x-amz-delete-marker"
                | "x-amz-expiration"
                | "x-amz-missing-meta"
                | "x-amz-mp-parts-count"
                | "x-amz-object-size"
                | "x-amz-replication-status"
                | "x-amz-restore"
                | "x-amz-restore-output-path"
                | "x-amz-storage-class"
                | "x-amz-tagging-count"
                | "x-amz-transition-default-minimum-object-size"
                | "x-amz-version-id"
                | "x-amz-website-redirect-location"
        )
}
