//! What is known of each kind of backend: a table, not code.

/// A kind of backend.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    pub name: &'static str,
    /// First path segments that are the backend's own surface and can never be buckets: with the root keys they would be
    /// an administration API.
    pub reserved: &'static [&'static str],
    /// It understands `STREAMING-…-TRAILER` uploads and keeps the checksum of the trailer.
    pub checksum_trailers: bool,
    /// It is proven that a body which breaks off before its declared length becomes no object. Where it is not, a body that
    /// carries no hash goes in signed chunks: without the last chunk it is never whole.
    pub refuses_short_bodies: bool,
    /// Its object names are file names: `//`, a leading or trailing dot segment or a backslash would fold into another name.
    pub folds_slashes: bool,
}

const MINIO_OWN: &[&str] = &["minio", ".minio.sys", ".minio.sys.bak", "health", "crossdomain.xml"];

static PROFILES: [Profile; 8] = [
    Profile {
        name: "generic",
        reserved: &["minio", ".minio.sys", "admin", "swift"],
        checksum_trailers: false,
        refuses_short_bodies: false,
        folds_slashes: true,
    },
    Profile {
        name: "minio",
        reserved: MINIO_OWN,
        checksum_trailers: true,
        refuses_short_bodies: true,
        folds_slashes: true,
    },
    Profile {
        name: "rustfs",
        reserved: &["minio", "rustfs", ".rustfs.sys", ".minio.sys"],
        checksum_trailers: false,
        refuses_short_bodies: false,
        folds_slashes: true,
    },
    Profile {
        name: "ceph",
        reserved: &["admin", "swift", "auth"],
        checksum_trailers: false,
        refuses_short_bodies: false,
        folds_slashes: false,
    },
    Profile {
        name: "garage",
        reserved: &[],
        checksum_trailers: false,
        refuses_short_bodies: false,
        folds_slashes: false,
    },
    Profile {
        name: "seaweedfs",
        reserved: &[".uploads", "buckets", "status", "healthz"],
        checksum_trailers: false,
        refuses_short_bodies: false,
        folds_slashes: true,
    },
    Profile {
        name: "versitygw",
        reserved: &[
            "create-user",
            "delete-user",
            "update-user",
            "list-users",
            "change-bucket-owner",
            "list-buckets",
            "admin",
            ".sgwtmp",
        ],
        checksum_trailers: true,
        refuses_short_bodies: false,
        folds_slashes: true,
    },
    Profile {
        name: "aws",
        reserved: &[],
        checksum_trailers: true,
        refuses_short_bodies: true,
        folds_slashes: false,
    },
];

impl Profile {
    pub fn named(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    pub fn names() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().map(|profile| profile.name)
    }

    /// Whether this name is the backend's own.
    pub fn is_reserved(&self, bucket: &str) -> bool {
        self.reserved.iter().any(|reserved| reserved.eq_ignore_ascii_case(bucket))
    }
}
