//! Which bucket and key a request names: read once, and the only reading there is.

use std::{net::Ipv4Addr, sync::Arc};

use super::{
    error::{ErrorCode, S3Error},
    profile::Profile,
};
use crate::sigv4::decode_path;

/// The longest key, in bytes (S3 user guide, "Naming objects").
const MAX_KEY: usize = 1024;

/// The names under which the gateway is known. `BUCKET.name` is virtual-host style.
#[derive(Debug, Clone, Default)]
pub struct PublicHosts(Vec<String>);

/// What a host name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The gateway itself: the bucket is in the path.
    Gateway,
    /// This bucket.
    Bucket(String),
}

impl PublicHosts {
    /// With no names at all, any host is the gateway and buckets are in the path.
    pub fn new(names: Vec<String>) -> Self {
        Self(names.into_iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Reads a `Host`. One that is not ours is refused: in it a bucket could be meant that we do not see.
    pub fn place(&self, host: &str) -> Result<Place, S3Error> {
        if self.0.is_empty() {
            return Ok(Place::Gateway);
        }
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        if self.0.contains(&name) {
            return Ok(Place::Gateway);
        }
        let bucket = self.0.iter().find_map(|ours| name.strip_suffix(ours)?.strip_suffix('.'));
        match bucket {
            Some(bucket) => Ok(Place::Bucket(bucket.to_owned())),
            None => Err(S3Error::new(
                ErrorCode::InvalidRequest,
                "The host of the request is not one of this gateway's names. Its operator sets them in listen.hosts.",
            )),
        }
    }
}

/// The bucket and the key, shared by all who keep them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    bucket: Option<Arc<str>>,
    key: Option<Arc<str>>,
}

impl Target {
    /// Reads a place and a path as on the wire.
    pub fn read(place: &Place, raw_path: &str, profile: &Profile) -> Result<Self, S3Error> {
        let path = decode_path(raw_path).map_err(|cause| {
            S3Error::new(ErrorCode::InvalidURI, format!("Couldn't parse the specified URI: {cause}."))
        })?;
        let path = path.strip_prefix('/').unwrap_or(&path);
        let (bucket, key) = match place {
            Place::Bucket(bucket) => (bucket.as_str(), path),
            Place::Gateway => path.split_once('/').unwrap_or((path, "")),
        };
        if bucket.is_empty() {
            return if key.is_empty() && !path.contains('/') {
                Ok(Self { bucket: None, key: None })
            } else {
                Err(S3Error::new(
                    ErrorCode::InvalidURI,
                    "Couldn't parse the specified URI: it has no bucket.",
                ))
            };
        }
        Self::of(bucket, Some(key).filter(|key| !key.is_empty()), profile)
    }

    /// A bucket and a key as they are named elsewhere: in a copy source, a form.
    pub fn of(bucket: &str, key: Option<&str>, profile: &Profile) -> Result<Self, S3Error> {
        check_bucket(bucket, profile)?;
        if let Some(key) = key {
            check_key(key, profile)?;
        }
        Ok(Self { bucket: Some(bucket.into()), key: key.map(Arc::from) })
    }

    pub fn bucket(&self) -> Option<&str> {
        self.bucket.as_deref()
    }

    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// The same two, for who keeps them.
    pub fn shared(&self) -> (Option<Arc<str>>, Option<Arc<str>>) {
        (self.bucket.clone(), self.key.clone())
    }

    /// `/bucket/key`, decoded.
    pub fn path(&self) -> String {
        match (&self.bucket, &self.key) {
            (Some(bucket), Some(key)) => ["/", bucket, "/", key].concat(),
            (Some(bucket), None) => ["/", bucket].concat(),
            (None, _) => "/".to_owned(),
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        // An IPv6 address without a port ends in a bracket.
        Some((name, port)) if !port.ends_with(']') => name,
        _ => host,
    }
}

/// S3 user guide, "Bucket naming rules".
fn check_bucket(bucket: &str, profile: &Profile) -> Result<(), S3Error> {
    let of_right_bytes = bucket
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let fine = (3..=63).contains(&bucket.len())
        && of_right_bytes
        && ends(bucket.bytes().next())
        && ends(bucket.bytes().last())
        && !bucket.as_bytes().array_windows().any(|pair| pair == b"..")
        && bucket.parse::<Ipv4Addr>().is_err();
    if !fine || profile.is_reserved(bucket) {
        return Err(S3Error::new(ErrorCode::InvalidBucketName, "The specified bucket is not valid.")
            .with("BucketName", bucket.to_owned()));
    }
    Ok(())
}

/// Keys that a backend could read as another key are refused, never normalised: the policy would decide about one name
/// and the backend act on another.
pub(super) fn check_key(key: &str, profile: &Profile) -> Result<(), S3Error> {
    if key.len() > MAX_KEY {
        return Err(S3Error::new(ErrorCode::KeyTooLongError, "Your key is too long.")
            .with("Size", key.len().to_string())
            .with("MaxSizeAllowed", MAX_KEY.to_string()));
    }
    let refused = |why: &'static str| Err(S3Error::new(ErrorCode::InvalidURI, why));
    if key.bytes().any(|byte| byte.is_ascii_control()) {
        return refused("A key must not hold control characters.");
    }
    if key.split('/').any(|segment| matches!(segment, "." | "..")) {
        return refused("A key must not have a segment `.` or `..`.");
    }
    if profile.folds_slashes
        && (key.as_bytes().array_windows().any(|pair| pair == b"//")
            || key.starts_with('/')
            || key.contains('\\'))
    {
        return refused(
            "A key must not begin with a slash or hold `//` or a backslash: this storage would fold it into another key.",
        );
    }
    Ok(())
}
