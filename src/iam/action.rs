//! The actions that exist here: those of S3 and STS in AWS's service authorization reference.
//!
//! A policy's patterns are matched against this list once, when it is compiled; a request then asks for one bit.

use std::{collections::HashMap, sync::LazyLock};

use super::pattern::Pattern;

/// An action that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Action(u8);

impl Action {
    /// By the name that IAM gives it, in any case: `s3:GetObject`.
    pub fn named(name: &str) -> Option<Self> {
        static BY_NAME: LazyLock<HashMap<&'static str, Action>> =
            LazyLock::new(|| Action::all().map(|action| (action.name(), action)).collect());
        if let Some(action) = BY_NAME.get(name) {
            return Some(*action);
        }
        Self::all().find(|action| action.name().eq_ignore_ascii_case(name))
    }

    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    pub fn all() -> impl Iterator<Item = Self> {
        (0..=u8::MAX).take(NAMES.len()).map(Self)
    }

    /// Those that a policy's pattern selects.
    pub fn matching(pattern: &str) -> impl Iterator<Item = Self> + use<> {
        let mut set = ActionSet::default();
        set.add(&Pattern::new(&pattern.to_ascii_lowercase()));
        Self::all().filter(move |action| set.contains(*action))
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Some of the actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct ActionSet([u64; 4]);

impl ActionSet {
    /// Those that a pattern selects, which is written in lower case: upper and lower case are the same in actions.
    pub(super) fn add(&mut self, pattern: &Pattern) {
        static LOWER: LazyLock<Vec<String>> =
            LazyLock::new(|| NAMES.iter().map(|name| name.to_ascii_lowercase()).collect());
        for (at, _) in LOWER.iter().enumerate().filter(|(_, name)| pattern.matches(name)) {
            if let Some(word) = self.0.get_mut(at / 64) {
                *word |= 1 << (at % 64);
            }
        }
    }

    pub(super) fn inverted(mut self) -> Self {
        for word in &mut self.0 {
            *word = !*word;
        }
        self
    }

    pub(super) fn either(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.word(at) | other.word(at)))
    }

    pub(super) fn both(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.word(at) & other.word(at)))
    }

    fn word(self, at: usize) -> u64 {
        self.0.get(at).copied().unwrap_or_default()
    }

    /// Whether it has any action of a service: `s3:`.
    pub(super) fn has_any_of(self, service: &str) -> bool {
        Action::all().any(|action| action.name().starts_with(service) && self.contains(action))
    }

    pub(super) fn contains(self, action: Action) -> bool {
        self.0.get(action.index() / 64).is_some_and(|word| word >> (action.index() % 64) & 1 == 1)
    }
}

/// Actions on S3 Express, Outposts, access points and batch jobs are left out: no request here needs them.
const NAMES: &[&str] = &[
    "s3:AbortMultipartUpload",
    "s3:BypassGovernanceRetention",
    "s3:CreateBucket",
    "s3:CreateBucketMetadataTableConfiguration",
    "s3:DeleteBucket",
    "s3:DeleteBucketMetadataTableConfiguration",
    "s3:DeleteBucketPolicy",
    "s3:DeleteBucketWebsite",
    "s3:DeleteObject",
    "s3:DeleteObjectTagging",
    "s3:DeleteObjectVersion",
    "s3:DeleteObjectVersionTagging",
    "s3:GetAccelerateConfiguration",
    "s3:GetAnalyticsConfiguration",
    "s3:GetBucketAbac",
    "s3:GetBucketAcl",
    "s3:GetBucketCORS",
    "s3:GetBucketLocation",
    "s3:GetBucketLogging",
    "s3:GetBucketMetadataTableConfiguration",
    "s3:GetBucketNotification",
    "s3:GetBucketObjectLockConfiguration",
    "s3:GetBucketOwnershipControls",
    "s3:GetBucketPolicy",
    "s3:GetBucketPolicyStatus",
    "s3:GetBucketPublicAccessBlock",
    "s3:GetBucketRequestPayment",
    "s3:GetBucketTagging",
    "s3:GetBucketVersioning",
    "s3:GetBucketWebsite",
    "s3:GetEncryptionConfiguration",
    "s3:GetIntelligentTieringConfiguration",
    "s3:GetInventoryConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetMetricsConfiguration",
    "s3:GetObject",
    "s3:GetObjectAcl",
    "s3:GetObjectAttributes",
    "s3:GetObjectLegalHold",
    "s3:GetObjectRetention",
    "s3:GetObjectTagging",
    "s3:GetObjectTorrent",
    "s3:GetObjectVersion",
    "s3:GetObjectVersionAcl",
    "s3:GetObjectVersionAttributes",
    "s3:GetObjectVersionForReplication",
    "s3:GetObjectVersionTagging",
    "s3:GetObjectVersionTorrent",
    "s3:GetReplicationConfiguration",
    "s3:ListAllMyBuckets",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
    "s3:ListMultipartUploadParts",
    "s3:ObjectOwnerOverrideToBucketOwner",
    "s3:PutAccelerateConfiguration",
    "s3:PutAnalyticsConfiguration",
    "s3:PutBucketAbac",
    "s3:PutBucketAcl",
    "s3:PutBucketCORS",
    "s3:PutBucketLogging",
    "s3:PutBucketNotification",
    "s3:PutBucketObjectLockConfiguration",
    "s3:PutBucketOwnershipControls",
    "s3:PutBucketPolicy",
    "s3:PutBucketPublicAccessBlock",
    "s3:PutBucketRequestPayment",
    "s3:PutBucketTagging",
    "s3:PutBucketVersioning",
    "s3:PutBucketWebsite",
    "s3:PutEncryptionConfiguration",
    "s3:PutIntelligentTieringConfiguration",
    "s3:PutInventoryConfiguration",
    "s3:PutLifecycleConfiguration",
    "s3:PutMetricsConfiguration",
    "s3:PutObject",
    "s3:PutObjectAcl",
    "s3:PutObjectLegalHold",
    "s3:PutObjectRetention",
    "s3:PutObjectTagging",
    "s3:PutObjectVersionAcl",
    "s3:PutObjectVersionTagging",
    "s3:PutReplicationConfiguration",
    "s3:ReplicateDelete",
    "s3:ReplicateObject",
    "s3:ReplicateTags",
    "s3:RestoreObject",
    "s3:UpdateBucketMetadataInventoryTableConfiguration",
    "s3:UpdateBucketMetadataJournalTableConfiguration",
    "s3:UpdateObjectEncryption",
    "s3-object-lambda:WriteGetObjectResponse",
    "s3express:CreateSession",
    "sts:AssumeRole",
    "sts:AssumeRoleWithCertificate",
    "sts:AssumeRoleWithClientGrants",
    "sts:AssumeRoleWithCustomToken",
    "sts:AssumeRoleWithLDAPIdentity",
    "sts:AssumeRoleWithWebIdentity",
    "sts:DecodeAuthorizationMessage",
    "sts:GetAccessKeyInfo",
    "sts:GetCallerIdentity",
    "sts:GetFederationToken",
    "sts:GetSessionToken",
    "sts:SetSourceIdentity",
    "sts:TagSession",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_one_place_and_fits_a_set() {
        assert!(NAMES.len() <= 256);
        let mut names = NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), NAMES.len());
        for action in Action::all() {
            assert_eq!(Action::named(action.name()), Some(action));
        }
        assert_eq!(Action::named("S3:getobject"), Action::named("s3:GetObject"));
        assert_eq!(Action::named("s3:GetObjects"), None);
    }

    #[test]
    fn a_pattern_selects_its_actions_and_no_others() {
        let mut set = ActionSet::default();
        set.add(&Pattern::new("s3:getobject*"));
        let selected: Vec<&str> =
            Action::all().filter(|action| set.contains(*action)).map(Action::name).collect();
        assert!(selected.contains(&"s3:GetObject") && selected.contains(&"s3:GetObjectVersionAcl"));
        assert!(selected.iter().all(|name| name.starts_with("s3:GetObject")));
        assert!(set.inverted().contains(Action::named("sts:TagSession").unwrap()));
        assert!(!set.inverted().contains(Action::named("s3:GetObject").unwrap()));
    }
}
