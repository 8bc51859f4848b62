//! `x-amz-copy-source`: the other object that a copy reads.

use http::{HeaderMap, HeaderName};

use super::{
    error::{ErrorCode, S3Error},
    operation::{Kind, Spec},
    profile::Profile,
    target::Target,
};
use crate::sigv4::{decode_path, encode_component, encode_path};

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-amz-copy-source");

/// The source of a copy, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopySource {
    pub bucket: String,
    pub key: String,
    pub version_id: Option<String>,
}

impl CopySource {
    /// The source of a request; a request that is no copy must not have one.
    pub fn of(spec: &Spec, headers: &HeaderMap, profile: &Profile) -> Result<Option<Self>, S3Error> {
        match (headers.get(HEADER), spec.kind) {
            (None, Kind::Copy) => {
                Err(invalid("Copy Source must mention the source bucket and key: sourcebucket/sourcekey."))
            }
            (None, _) => Ok(None),
            (Some(value), Kind::Copy) => {
                let text = value.to_str().map_err(|_| invalid("The copy source must be URL-encoded."))?;
                Self::parse(text, profile).map(Some)
            }
            (Some(_), _) => Err(invalid("You can only specify a copy source header for copy requests.")),
        }
    }

    /// Reads `bucket/key?versionId=…`, percent-encoded, with or without a slash before it. The question mark is looked for
    /// before decoding: an encoded one is part of the key.
    fn parse(text: &str, profile: &Profile) -> Result<Self, S3Error> {
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let decoded =
            decode_path(&path).map_err(|_| invalid("The copy source is not properly URL-encoded."))?;
        let (bucket, key) = decoded.trim_start_matches('/').split_once('/').unwrap_or_default();
        if bucket.is_empty() || key.is_empty() || path.starts_with("//") {
            return Err(invalid(
                "Copy Source must mention the source bucket and key: sourcebucket/sourcekey.",
            ));
        }
        Target::of(bucket, Some(key), profile)?;
        let version_id = query.map(version).transpose()?;
        Ok(Self { bucket: bucket.to_owned(), key: key.to_owned(), version_id })
    }

    /// The header's value for the backend, written from what was authorised.
    pub fn to_header(&self) -> String {
        let mut value = format!("/{}/{}", self.bucket, encode_path(&self.key));
        if let Some(version_id) = &self.version_id {
            value.push_str("?versionId=");
            value.push_str(&encode_component(version_id));
        }
        value
    }
}

fn version(query: &str) -> Result<String, S3Error> {
    let id = query.strip_prefix("versionId=").filter(|id| !id.is_empty() && !id.contains('&'));
    let id = id.ok_or_else(|| {
        invalid("After the key of a copy source only ?versionId= may follow, once and not empty.")
    })?;
    let path = format!("/{id}");
    let decoded = decode_path(&path).map_err(|_| invalid("The copy source is not properly URL-encoded."))?;
    Ok(decoded.trim_start_matches('/').to_owned())
}

fn invalid(why: &'static str) -> S3Error {
    S3Error::new(ErrorCode::InvalidArgument, why).with("ArgumentName", HEADER.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<CopySource, ErrorCode> {
        let profile = Profile::named("generic").unwrap();
        CopySource::parse(text, profile).map_err(|error| error.code)
    }

    fn source(bucket: &str, key: &str, version_id: Option<&str>) -> CopySource {
        CopySource { bucket: bucket.into(), key: key.into(), version_id: version_id.map(str::to_owned) }
    }

    #[test]
    fn a_source_is_read_in_one_way_and_written_from_what_was_read() {
        for (text, expected, header) in [
            ("src-bucket/a/b", source("src-bucket", "a/b", None), "/src-bucket/a/b"),
            ("/src-bucket/a%20b", source("src-bucket", "a b", None), "/src-bucket/a%20b"),
            ("src-bucket%2Fk", source("src-bucket", "k", None), "/src-bucket/k"),
            ("src-bucket/a+b", source("src-bucket", "a+b", None), "/src-bucket/a%2Bb"),
            (
                "src-bucket/k%3FversionId=1",
                source("src-bucket", "k?versionId=1", None),
                "/src-bucket/k%3FversionId%3D1",
            ),
            (
                "src-bucket/k?versionId=a%2Fb",
                source("src-bucket", "k", Some("a/b")),
                "/src-bucket/k?versionId=a%2Fb",
            ),
        ] {
            let read = parse(text).unwrap();
            assert_eq!(read, expected, "{text}");
            assert_eq!(read.to_header(), header, "{text}");
            assert_eq!(parse(header).unwrap(), expected, "{header}");
        }
    }

    #[test]
    fn other_sources_are_refused() {
        for (text, code) in [
            ("", ErrorCode::InvalidArgument),
            ("/", ErrorCode::InvalidArgument),
            ("x", ErrorCode::InvalidArgument),
            ("bucket", ErrorCode::InvalidArgument),
            ("bucket/", ErrorCode::InvalidArgument),
            ("//bucket/k", ErrorCode::InvalidArgument),
            ("bucket/k?versionId=", ErrorCode::InvalidArgument),
            ("bucket/k?versionId=1&versionId=2", ErrorCode::InvalidArgument),
            ("bucket/k?acl", ErrorCode::InvalidArgument),
            ("bucket/k%", ErrorCode::InvalidArgument),
            ("bucket/k%00", ErrorCode::InvalidArgument),
            ("https://host/bucket/k", ErrorCode::InvalidBucketName),
            ("arn:aws:s3:::bucket/k", ErrorCode::InvalidBucketName),
            ("bucket/../k", ErrorCode::InvalidURI),
            (".minio.sys/config/k", ErrorCode::InvalidBucketName),
        ] {
            assert_eq!(parse(text), Err(code), "{text}");
        }
    }
}
