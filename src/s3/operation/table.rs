//! The operations of the S3 API reference, with the actions of the service authorization reference.

use super::{
    super::headers::Group,
    spec::{
        BodyKind::{Document, Object as Bytes},
        Kind,
        Level::{Bucket, Object, Service},
        Selector::{Bare, Exactly, Valued},
        Spec,
        Verb::{self, Delete as DELETE, Get as GET, Head as HEAD, Post as POST, Put as PUT},
    },
};

/// Configuration documents; the largest of them, a lifecycle of 1,000 rules, stays below.
const CONFIGURATION: super::BodyKind = Document(1024 * 1024);

const READ: Group = Group::CONDITIONS.and(Group::RANGE).and(Group::CHECKSUM).and(Group::CUSTOMER_KEY);
const NEW_OBJECT: Group = Group::CONTENT
    .and(Group::METADATA)
    .and(Group::CHECKSUM)
    .and(Group::ENCRYPTION)
    .and(Group::ACL)
    .and(Group::TAGGING)
    .and(Group::LOCK)
    .and(Group::STORAGE_CLASS)
    .and(Group::REDIRECT);

const RESPONSE_OVERRIDES: &[&str] = &[
    "partNumber",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
];

/// A document in a subresource of a bucket.
const fn config(
    name: &'static str,
    method: Verb,
    by: &'static [super::Selector],
    actions: &'static [&'static str],
) -> Spec {
    let spec = Spec::new(name, method, Bucket, actions).by(by);
    if matches!(spec.method, Verb::Put) {
        return spec.body(CONFIGURATION).headers(Group::CONTENT);
    }
    spec
}

#[rustfmt::skip]
static OBJECTS: &[Spec] = &[
    Spec::new("ListBuckets", GET, Service, &["s3:ListAllMyBuckets"]).takes(&["bucket-region", "continuation-token", "max-buckets", "prefix"]),

    Spec::new("CreateBucket", PUT, Bucket, &["s3:CreateBucket"]).body(CONFIGURATION).headers(Group::ACL.and(Group::NEW_BUCKET).and(Group::CONTENT)).describes(),
    Spec::new("HeadBucket", HEAD, Bucket, &["s3:ListBucket"]),
    Spec::new("DeleteBucket", DELETE, Bucket, &["s3:DeleteBucket"]),
    Spec::new("ListObjects", GET, Bucket, &["s3:ListBucket"]).headers(Group::LISTED_ATTRIBUTES)
        .takes(&["delimiter", "encoding-type", "marker", "max-keys", "prefix"]),
    Spec::new("ListObjectsV2", GET, Bucket, &["s3:ListBucket"]).by(&[Exactly("list-type", "2")]).headers(Group::LISTED_ATTRIBUTES)
        .takes(&["continuation-token", "delimiter", "encoding-type", "fetch-owner", "max-keys", "prefix", "start-after"]),
    Spec::new("ListObjectVersions", GET, Bucket, &["s3:ListBucketVersions"]).by(&[Bare("versions")]).headers(Group::LISTED_ATTRIBUTES)
        .takes(&["delimiter", "encoding-type", "key-marker", "max-keys", "prefix", "version-id-marker"]),
    Spec::new("ListMultipartUploads", GET, Bucket, &["s3:ListBucketMultipartUploads"]).by(&[Bare("uploads")])
        .takes(&["delimiter", "encoding-type", "key-marker", "max-uploads", "prefix", "upload-id-marker"]),
    Spec::new("DeleteObjects", POST, Bucket, &["s3:DeleteObject"]).by(&[Bare("delete")]).kind(Kind::MultiDelete)
        .body(Document(8 * 1024 * 1024)).headers(Group::BYPASS_GOVERNANCE),

    Spec::new("GetObject", GET, Object, &["s3:GetObject"]).or_version(&["s3:GetObjectVersion"]).takes(RESPONSE_OVERRIDES).headers(READ),
    Spec::new("HeadObject", HEAD, Object, &["s3:GetObject"]).or_version(&["s3:GetObjectVersion"]).takes(RESPONSE_OVERRIDES).headers(READ),
    Spec::new("GetObjectAttributes", GET, Object, &["s3:GetObject", "s3:GetObjectAttributes"]).by(&[Bare("attributes")])
        .or_version(&["s3:GetObjectVersion", "s3:GetObjectVersionAttributes"]).headers(Group::ATTRIBUTES.and(Group::CUSTOMER_KEY)),
    Spec::new("GetObjectTorrent", GET, Object, &["s3:GetObjectTorrent"]).by(&[Bare("torrent")]),
    Spec::new("SelectObjectContent", POST, Object, &["s3:GetObject"]).by(&[Bare("select"), Exactly("select-type", "2")])
        .body(Document(256 * 1024)).headers(Group::CUSTOMER_KEY),
    Spec::new("RestoreObject", POST, Object, &["s3:RestoreObject"]).by(&[Bare("restore")]).or_version(&["s3:RestoreObject"]).body(CONFIGURATION),
    Spec::new("PutObject", PUT, Object, &["s3:PutObject"]).body(Bytes).headers(NEW_OBJECT.and(Group::CONDITIONS)),
    Spec::new("CopyObject", PUT, Object, &["s3:PutObject"]).kind(Kind::Copy).headers(NEW_OBJECT.and(Group::COPY).and(Group::CONDITIONS)),
    Spec::new("DeleteObject", DELETE, Object, &["s3:DeleteObject"]).or_version(&["s3:DeleteObjectVersion"])
        .headers(Group::BYPASS_GOVERNANCE.and(Group::CONDITIONS)),

    Spec::new("CreateMultipartUpload", POST, Object, &["s3:PutObject"]).by(&[Bare("uploads")]).headers(NEW_OBJECT),
    Spec::new("UploadPart", PUT, Object, &["s3:PutObject"]).by(&[Valued("partNumber"), Valued("uploadId")]).body(Bytes)
        .headers(Group::CHECKSUM.and(Group::CUSTOMER_KEY)),
    Spec::new("UploadPartCopy", PUT, Object, &["s3:PutObject"]).by(&[Valued("partNumber"), Valued("uploadId")]).kind(Kind::Copy)
        .headers(Group::COPY.and(Group::CUSTOMER_KEY)),
    Spec::new("CompleteMultipartUpload", POST, Object, &["s3:PutObject"]).by(&[Valued("uploadId")]).body(Document(4 * 1024 * 1024))
        .headers(Group::CHECKSUM.and(Group::CUSTOMER_KEY).and(Group::CONDITIONS)).checksums_are_of_the_object(),
    Spec::new("AbortMultipartUpload", DELETE, Object, &["s3:AbortMultipartUpload"]).by(&[Valued("uploadId")]).headers(Group::CONDITIONS),
    Spec::new("ListParts", GET, Object, &["s3:ListMultipartUploadParts"]).by(&[Valued("uploadId")])
        .takes(&["encoding-type", "max-parts", "part-number-marker"]).headers(Group::CUSTOMER_KEY),

    Spec::new("GetObjectAcl", GET, Object, &["s3:GetObjectAcl"]).by(&[Bare("acl")]).or_version(&["s3:GetObjectVersionAcl"]),
    Spec::new("PutObjectAcl", PUT, Object, &["s3:PutObjectAcl"]).by(&[Bare("acl")]).or_version(&["s3:PutObjectVersionAcl"])
        .body(CONFIGURATION).headers(Group::ACL.and(Group::CONTENT)),
    Spec::new("GetObjectTagging", GET, Object, &["s3:GetObjectTagging"]).by(&[Bare("tagging")]).or_version(&["s3:GetObjectVersionTagging"]),
    Spec::new("PutObjectTagging", PUT, Object, &["s3:PutObjectTagging"]).by(&[Bare("tagging")]).or_version(&["s3:PutObjectVersionTagging"])
        .body(CONFIGURATION).headers(Group::CONTENT).describes(),
    Spec::new("DeleteObjectTagging", DELETE, Object, &["s3:DeleteObjectTagging"]).by(&[Bare("tagging")]).or_version(&["s3:DeleteObjectVersionTagging"]),
    Spec::new("GetObjectRetention", GET, Object, &["s3:GetObjectRetention"]).by(&[Bare("retention")]).or_version(&["s3:GetObjectRetention"]),
    Spec::new("PutObjectRetention", PUT, Object, &["s3:PutObjectRetention"]).by(&[Bare("retention")]).or_version(&["s3:PutObjectRetention"])
        .body(CONFIGURATION).headers(Group::BYPASS_GOVERNANCE.and(Group::CONTENT)).describes(),
    Spec::new("GetObjectLegalHold", GET, Object, &["s3:GetObjectLegalHold"]).by(&[Bare("legal-hold")]).or_version(&["s3:GetObjectLegalHold"]),
    Spec::new("PutObjectLegalHold", PUT, Object, &["s3:PutObjectLegalHold"]).by(&[Bare("legal-hold")]).or_version(&["s3:PutObjectLegalHold"])
        .body(CONFIGURATION).headers(Group::CONTENT).describes(),
];

#[rustfmt::skip]
static CONFIGURATIONS: &[Spec] = &[
    config("GetBucketLocation", GET, &[Bare("location")], &["s3:GetBucketLocation"]),
    config("GetBucketAcl", GET, &[Bare("acl")], &["s3:GetBucketAcl"]),
    config("PutBucketAcl", PUT, &[Bare("acl")], &["s3:PutBucketAcl"]).headers(Group::ACL.and(Group::CONTENT)),
    config("GetBucketPolicy", GET, &[Bare("policy")], &["s3:GetBucketPolicy"]),
    config("GetBucketPolicyStatus", GET, &[Bare("policyStatus")], &["s3:GetBucketPolicyStatus"]),
    config("PutBucketPolicy", PUT, &[Bare("policy")], &["s3:PutBucketPolicy"]).headers(Group::BUCKET_POLICY.and(Group::CONTENT)),
    config("DeleteBucketPolicy", DELETE, &[Bare("policy")], &["s3:DeleteBucketPolicy"]),
    config("GetBucketVersioning", GET, &[Bare("versioning")], &["s3:GetBucketVersioning"]),
    config("PutBucketVersioning", PUT, &[Bare("versioning")], &["s3:PutBucketVersioning"]),
    config("GetBucketTagging", GET, &[Bare("tagging")], &["s3:GetBucketTagging"]),
    config("PutBucketTagging", PUT, &[Bare("tagging")], &["s3:PutBucketTagging"]),
    config("DeleteBucketTagging", DELETE, &[Bare("tagging")], &["s3:PutBucketTagging"]),
    config("GetBucketCors", GET, &[Bare("cors")], &["s3:GetBucketCORS"]),
    config("PutBucketCors", PUT, &[Bare("cors")], &["s3:PutBucketCORS"]),
    config("DeleteBucketCors", DELETE, &[Bare("cors")], &["s3:PutBucketCORS"]),
    config("GetBucketLifecycleConfiguration", GET, &[Bare("lifecycle")], &["s3:GetLifecycleConfiguration"]),
    config("PutBucketLifecycleConfiguration", PUT, &[Bare("lifecycle")], &["s3:PutLifecycleConfiguration"]).headers(Group::LIFECYCLE.and(Group::CONTENT)),
    config("DeleteBucketLifecycle", DELETE, &[Bare("lifecycle")], &["s3:PutLifecycleConfiguration"]),
    config("GetBucketEncryption", GET, &[Bare("encryption")], &["s3:GetEncryptionConfiguration"]),
    config("PutBucketEncryption", PUT, &[Bare("encryption")], &["s3:PutEncryptionConfiguration"]),
    config("DeleteBucketEncryption", DELETE, &[Bare("encryption")], &["s3:PutEncryptionConfiguration"]),
    config("GetBucketReplication", GET, &[Bare("replication")], &["s3:GetReplicationConfiguration"]),
    config("PutBucketReplication", PUT, &[Bare("replication")], &["s3:PutReplicationConfiguration"]),
    config("DeleteBucketReplication", DELETE, &[Bare("replication")], &["s3:PutReplicationConfiguration"]),
    config("GetBucketNotificationConfiguration", GET, &[Bare("notification")], &["s3:GetBucketNotification"]),
    config("PutBucketNotificationConfiguration", PUT, &[Bare("notification")], &["s3:PutBucketNotification"]).headers(Group::NOTIFICATION.and(Group::CONTENT)),
    config("GetBucketWebsite", GET, &[Bare("website")], &["s3:GetBucketWebsite"]),
    config("PutBucketWebsite", PUT, &[Bare("website")], &["s3:PutBucketWebsite"]),
    config("DeleteBucketWebsite", DELETE, &[Bare("website")], &["s3:DeleteBucketWebsite"]),
    config("GetBucketLogging", GET, &[Bare("logging")], &["s3:GetBucketLogging"]),
    config("PutBucketLogging", PUT, &[Bare("logging")], &["s3:PutBucketLogging"]),
    config("GetBucketRequestPayment", GET, &[Bare("requestPayment")], &["s3:GetBucketRequestPayment"]),
    config("PutBucketRequestPayment", PUT, &[Bare("requestPayment")], &["s3:PutBucketRequestPayment"]),
    config("GetBucketAccelerateConfiguration", GET, &[Bare("accelerate")], &["s3:GetAccelerateConfiguration"]),
    config("PutBucketAccelerateConfiguration", PUT, &[Bare("accelerate")], &["s3:PutAccelerateConfiguration"]),
    config("GetBucketOwnershipControls", GET, &[Bare("ownershipControls")], &["s3:GetBucketOwnershipControls"]),
    config("PutBucketOwnershipControls", PUT, &[Bare("ownershipControls")], &["s3:PutBucketOwnershipControls"]),
    config("DeleteBucketOwnershipControls", DELETE, &[Bare("ownershipControls")], &["s3:PutBucketOwnershipControls"]),
    config("GetPublicAccessBlock", GET, &[Bare("publicAccessBlock")], &["s3:GetBucketPublicAccessBlock"]),
    config("PutPublicAccessBlock", PUT, &[Bare("publicAccessBlock")], &["s3:PutBucketPublicAccessBlock"]),
    config("DeletePublicAccessBlock", DELETE, &[Bare("publicAccessBlock")], &["s3:PutBucketPublicAccessBlock"]),
    config("GetObjectLockConfiguration", GET, &[Bare("object-lock")], &["s3:GetBucketObjectLockConfiguration"]),
    config("PutObjectLockConfiguration", PUT, &[Bare("object-lock")], &["s3:PutBucketObjectLockConfiguration"]),

    config("ListBucketInventoryConfigurations", GET, &[Bare("inventory")], &["s3:GetInventoryConfiguration"]).takes(&["continuation-token"]),
    config("GetBucketInventoryConfiguration", GET, &[Bare("inventory"), Valued("id")], &["s3:GetInventoryConfiguration"]),
    config("PutBucketInventoryConfiguration", PUT, &[Bare("inventory"), Valued("id")], &["s3:PutInventoryConfiguration"]),
    config("DeleteBucketInventoryConfiguration", DELETE, &[Bare("inventory"), Valued("id")], &["s3:PutInventoryConfiguration"]),
    config("ListBucketMetricsConfigurations", GET, &[Bare("metrics")], &["s3:GetMetricsConfiguration"]).takes(&["continuation-token"]),
    config("GetBucketMetricsConfiguration", GET, &[Bare("metrics"), Valued("id")], &["s3:GetMetricsConfiguration"]),
    config("PutBucketMetricsConfiguration", PUT, &[Bare("metrics"), Valued("id")], &["s3:PutMetricsConfiguration"]),
    config("DeleteBucketMetricsConfiguration", DELETE, &[Bare("metrics"), Valued("id")], &["s3:PutMetricsConfiguration"]),
    config("ListBucketAnalyticsConfigurations", GET, &[Bare("analytics")], &["s3:GetAnalyticsConfiguration"]).takes(&["continuation-token"]),
    config("GetBucketAnalyticsConfiguration", GET, &[Bare("analytics"), Valued("id")], &["s3:GetAnalyticsConfiguration"]),
    config("PutBucketAnalyticsConfiguration", PUT, &[Bare("analytics"), Valued("id")], &["s3:PutAnalyticsConfiguration"]),
    config("DeleteBucketAnalyticsConfiguration", DELETE, &[Bare("analytics"), Valued("id")], &["s3:PutAnalyticsConfiguration"]),
    config("ListBucketIntelligentTieringConfigurations", GET, &[Bare("intelligent-tiering")], &["s3:GetIntelligentTieringConfiguration"])
        .takes(&["continuation-token"]),
    config("GetBucketIntelligentTieringConfiguration", GET, &[Bare("intelligent-tiering"), Valued("id")], &["s3:GetIntelligentTieringConfiguration"]),
    config("PutBucketIntelligentTieringConfiguration", PUT, &[Bare("intelligent-tiering"), Valued("id")], &["s3:PutIntelligentTieringConfiguration"]),
    config("DeleteBucketIntelligentTieringConfiguration", DELETE, &[Bare("intelligent-tiering"), Valued("id")], &["s3:PutIntelligentTieringConfiguration"]),
];

const ONLY_AWS: &str = "it is a feature of AWS's own storage classes that no policy here can describe.";
const OBJECT_LAMBDA: &str = "Object Lambda runs inside AWS.";

#[rustfmt::skip]
static REFUSED: &[Spec] = &[
    config("CreateSession", GET, &[Bare("session")], &["s3express:CreateSession"]).refused("sessions are given by STS here."),
    config("GetBucketAbac", GET, &[Bare("abac")], &["s3:GetBucketAbac"]).refused(ONLY_AWS),
    config("PutBucketAbac", PUT, &[Bare("abac")], &["s3:PutBucketAbac"]).refused(ONLY_AWS),
    config("CreateBucketMetadataConfiguration", POST, &[Bare("metadataConfiguration")], &["s3:CreateBucketMetadataTableConfiguration"]).refused(ONLY_AWS),
    config("GetBucketMetadataConfiguration", GET, &[Bare("metadataConfiguration")], &["s3:GetBucketMetadataTableConfiguration"]).refused(ONLY_AWS),
    config("DeleteBucketMetadataConfiguration", DELETE, &[Bare("metadataConfiguration")], &["s3:DeleteBucketMetadataTableConfiguration"]).refused(ONLY_AWS),
    config("CreateBucketMetadataTableConfiguration", POST, &[Bare("metadataTable")], &["s3:CreateBucketMetadataTableConfiguration"]).refused(ONLY_AWS),
    config("GetBucketMetadataTableConfiguration", GET, &[Bare("metadataTable")], &["s3:GetBucketMetadataTableConfiguration"]).refused(ONLY_AWS),
    config("DeleteBucketMetadataTableConfiguration", DELETE, &[Bare("metadataTable")], &["s3:DeleteBucketMetadataTableConfiguration"]).refused(ONLY_AWS),
    config("UpdateBucketMetadataInventoryTableConfiguration", PUT, &[Bare("metadataInventoryTable")], &["s3:UpdateBucketMetadataInventoryTableConfiguration"])
        .refused(ONLY_AWS),
    config("UpdateBucketMetadataJournalTableConfiguration", PUT, &[Bare("metadataJournalTable")], &["s3:UpdateBucketMetadataJournalTableConfiguration"])
        .refused(ONLY_AWS),
    Spec::new("RenameObject", PUT, Object, &["s3express:CreateSession"]).by(&[Bare("renameObject")]).refused(ONLY_AWS),
    Spec::new("UpdateObjectEncryption", PUT, Object, &["s3:UpdateObjectEncryption"]).by(&[Bare("encryption")]).refused(ONLY_AWS),
    Spec::new("WriteGetObjectResponse", POST, Object, &["s3-object-lambda:WriteGetObjectResponse"]).by(&[Bare("WriteGetObjectResponse")])
        .refused(OBJECT_LAMBDA),
];

/// The one operation whose target is not in the URI.
pub(super) static POST_OBJECT: Spec =
    Spec::new("PostObject", POST, Bucket, &["s3:PutObject"]).kind(Kind::Form).body(Bytes).headers(NEW_OBJECT);

/// Every operation.
pub(super) fn all() -> impl Iterator<Item = &'static Spec> {
    [OBJECTS, CONFIGURATIONS, REFUSED].into_iter().flatten().chain([&POST_OBJECT])
}
