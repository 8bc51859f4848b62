//! Names, headers and multi-deletes, without a gateway around them.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    ErrorCode, Place, PublicHosts, Target,
    headers::{crossing, is_aws_chunked},
    multi_delete::DeleteList,
    operation::all,
    profile::Profile,
};

fn profile(name: &str) -> &'static Profile {
    Profile::named(name).unwrap()
}

#[test]
fn a_host_is_the_gateway_or_a_bucket_of_it() {
    let hosts = PublicHosts::new(vec!["s3.example.org".into(), "storage.internal".into()]);
    for (host, place) in [
        ("s3.example.org", Some(Place::Gateway)),
        ("S3.EXAMPLE.ORG:9000", Some(Place::Gateway)),
        ("photos.storage.internal", Some(Place::Bucket("photos".into()))),
        ("a.b.s3.example.org", Some(Place::Bucket("a.b".into()))),
        ("xs3.example.org", None),
        ("example.org", None),
        ("127.0.0.1:9000", None),
    ] {
        assert_eq!(hosts.place(host).ok(), place, "{host}");
    }
    assert_eq!(PublicHosts::default().place("anything:1").unwrap(), Place::Gateway);
}

#[test]
fn a_path_is_read_the_same_in_both_styles() {
    let minio = profile("minio");
    let in_path = Target::read(&Place::Gateway, "/photos/2026/a%20b", minio).unwrap();
    let in_host = Target::read(&Place::Bucket("photos".into()), "/2026/a%20b", minio).unwrap();
    assert_eq!(in_path, in_host);
    assert_eq!(in_path.path(), "/photos/2026/a b");
    for path in ["/", "/photos", "/photos/"] {
        let target = Target::read(&Place::Gateway, path, minio).unwrap();
        assert_eq!(
            (target.bucket(), target.key()),
            (Some("photos").filter(|_| path.len() > 1), None),
            "{path}"
        );
    }
    assert_eq!(Target::read(&Place::Gateway, "//key", minio).unwrap_err().code, ErrorCode::InvalidURI);
}

#[test]
fn only_storages_that_keep_keys_as_they_are_get_double_slashes() {
    for (name, taken) in [("aws", true), ("ceph", true), ("minio", false), ("generic", false)] {
        for key in ["a//b", "/a", "a\\b"] {
            assert_eq!(Target::of("bucket", Some(key), profile(name)).is_ok(), taken, "{name} {key}");
        }
        assert!(Target::of("bucket", Some("../a"), profile(name)).is_err());
    }
}

fn header_map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect()
}

#[test]
fn headers_cross_by_the_group_of_the_operation() {
    let spec = |name: &str| all().find(|spec| spec.name == name).unwrap();
    let headers = header_map(&[
        ("range", "bytes=0-1"),
        ("content-type", "a/b"),
        ("if-match", "x"),
        ("cookie", "c"),
        ("x-amz-date", "d"),
    ]);
    let crossed = |name: &str| {
        let map = crossing(spec(name), &headers).unwrap();
        let mut names: Vec<String> = map.keys().map(ToString::to_string).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(crossed("GetObject"), "if-match range");
    assert_eq!(crossed("PutObject"), "content-type if-match");
    assert_eq!(crossed("ListObjectsV2"), "");
    assert!(crossing(spec("GetObject"), &header_map(&[("x-amz-acl", "private")])).is_err());
    assert!(is_aws_chunked(&header_map(&[("content-encoding", "gzip, AWS-Chunked")])));
    assert!(!is_aws_chunked(&header_map(&[("content-encoding", "gzip")])));
}

#[test]
fn a_multi_delete_keeps_keys_as_they_are() {
    let body = "<?xml version=\"1.0\"?><!-- c --><Delete xmlns=\"x\"><Quiet>true</Quiet><Object><Key>a &amp; b&#x20;&lt;c&gt;</Key></Object>\
                <Object><Key><![CDATA[d & e]]></Key><VersionId>v1</VersionId></Object></Delete>";
    let list = DeleteList::parse(body.as_bytes(), profile("aws")).unwrap();
    let keys: Vec<_> =
        list.objects.iter().map(|object| (object.key.as_str(), object.version_id.as_deref())).collect();
    assert_eq!(keys, [("a & b <c>", None), ("d & e", Some("v1"))]);
    assert!(list.quiet);
}
