//! Condition keys: what a request can say of itself here. A key that it can never say is refused when the policy is loaded.

use std::fmt;

/// A condition key that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionKey {
    /// Without a part of its own after a slash; by its place in the table.
    Plain(Plain),
    /// `aws:PrincipalTag/<tag>`
    PrincipalTag(Box<str>),
    /// `aws:RequestTag/<tag>`: a session tag that is asked for.
    RequestTag(Box<str>),
    /// `s3:RequestObjectTag/<tag>`: a tag that a new object gets.
    RequestObjectTag(Box<str>),
    /// `jwt:<claim>`, `ldap:<attribute>`, `certificate:<field>` or `webhook:<claim>`: what the proof of identity said.
    Claim(Box<str>),
}

macro_rules! plain_keys {
    ($($variant:ident $name:literal $several:literal;)*) => {
        /// The keys that have no part of their own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Plain { $($variant,)* }

        impl Plain {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As AWS writes it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            fn has_several_values(self) -> bool {
                match self { $(Self::$variant => $several,)* }
            }
        }
    };
}

plain_keys! {
    CurrentTime "aws:CurrentTime" false;
    EpochTime "aws:EpochTime" false;
    PrincipalAccount "aws:PrincipalAccount" false;
    PrincipalArn "aws:PrincipalArn" false;
    PrincipalType "aws:PrincipalType" false;
    Referer "aws:Referer" false;
    RequestedRegion "aws:RequestedRegion" false;
    ResourceAccount "aws:ResourceAccount" false;
    SecureTransport "aws:SecureTransport" false;
    SourceIp "aws:SourceIp" false;
    TagKeys "aws:TagKeys" true;
    TokenIssueTime "aws:TokenIssueTime" false;
    UserAgent "aws:UserAgent" false;
    UserId "aws:userid" false;
    Username "aws:username" false;

    AuthType "s3:authType" false;
    Delimiter "s3:delimiter" false;
    IfMatch "s3:if-match" false;
    IfNoneMatch "s3:if-none-match" false;
    LocationConstraint "s3:LocationConstraint" false;
    MaxKeys "s3:max-keys" false;
    ObjectLockLegalHold "s3:object-lock-legal-hold" false;
    ObjectLockMode "s3:object-lock-mode" false;
    ObjectLockRemainingDays "s3:object-lock-remaining-retention-days" false;
    ObjectLockRetainUntilDate "s3:object-lock-retain-until-date" false;
    Prefix "s3:prefix" false;
    RequestObjectTagKeys "s3:RequestObjectTagKeys" true;
    S3ResourceAccount "s3:ResourceAccount" false;
    SignatureAge "s3:signatureAge" false;
    SignatureVersion "s3:signatureversion" false;
    VersionId "s3:VersionId" false;
    XAmzAcl "s3:x-amz-acl" false;
    XAmzContentSha256 "s3:x-amz-content-sha256" false;
    XAmzCopySource "s3:x-amz-copy-source" false;
    XAmzGrantFullControl "s3:x-amz-grant-full-control" false;
    XAmzGrantRead "s3:x-amz-grant-read" false;
    XAmzGrantReadAcp "s3:x-amz-grant-read-acp" false;
    XAmzGrantWrite "s3:x-amz-grant-write" false;
    XAmzGrantWriteAcp "s3:x-amz-grant-write-acp" false;
    XAmzMetadataDirective "s3:x-amz-metadata-directive" false;
    XAmzObjectOwnership "s3:x-amz-object-ownership" false;
    XAmzServerSideEncryption "s3:x-amz-server-side-encryption" false;
    XAmzServerSideEncryptionKmsKeyId "s3:x-amz-server-side-encryption-aws-kms-key-id" false;
    XAmzServerSideEncryptionCustomerAlgorithm "s3:x-amz-server-side-encryption-customer-algorithm" false;
    XAmzStorageClass "s3:x-amz-storage-class" false;
    XAmzWebsiteRedirectLocation "s3:x-amz-website-redirect-location" false;

    StsDurationSeconds "sts:DurationSeconds" false;
    StsExternalId "sts:ExternalId" false;
    StsRoleSessionName "sts:RoleSessionName" false;
    StsTransitiveTagKeys "sts:TransitiveTagKeys" true;
}

/// Keys of AWS that nothing here can answer, and what to write in their place.
const UNANSWERABLE: &[(&str, &str)] = &[
    (
        "s3:existingobjecttag",
        "the tags of a stored object are the storage's; separate objects by prefix or bucket",
    ),
    ("s3:inventoryaccessibleoptionalfields", "allow or deny s3:PutInventoryConfiguration as a whole"),
    ("s3:accessgrantsinstancearn", "there are no access grants; write the grant as a statement"),
    ("s3:accesspointnetworkorigin", "there are no access points; use aws:SourceIp"),
    ("s3:dataaccesspointaccount", "there are no access points; name the bucket"),
    ("s3:dataaccesspointarn", "there are no access points; name the bucket"),
    ("s3:isreplicationpauserequest", "allow or deny s3:PutReplicationConfiguration as a whole"),
    ("s3:jobsuspendedcause", "there are no batch jobs"),
    ("s3:bucketnamespace", "name the bucket"),
    ("s3:buckettag", "the tags of a bucket are the storage's; name the bucket"),
    (
        "aws:multifactorauthpresent",
        "no identity here says so; let the identity provider require it and use its claim, as jwt:amr",
    ),
    (
        "aws:multifactorauthage",
        "no identity here says so; let the identity provider require it and use its claim, as jwt:auth_time",
    ),
    ("aws:sourcevpc", "there are no VPCs here; use aws:SourceIp"),
    ("aws:sourcevpce", "there are no VPC endpoints here; use aws:SourceIp"),
    ("aws:vpcsourceip", "there are no VPC endpoints here; use aws:SourceIp"),
    ("aws:sourcearn", "no service calls for somebody else here; use aws:PrincipalArn"),
    ("aws:sourceaccount", "no service calls for somebody else here; use aws:PrincipalArn"),
    ("aws:sourceorgid", "there is one account here; use aws:PrincipalArn"),
    ("aws:principalorgid", "there is one account here; use aws:PrincipalArn"),
    ("aws:principalorgpaths", "there is one account here; use aws:PrincipalArn"),
    ("aws:resourceorgid", "there is one account here; use aws:ResourceAccount"),
    ("aws:resourceorgpaths", "there is one account here; use aws:ResourceAccount"),
    ("aws:resourcetag", "the tags of a resource are the storage's; name the resource"),
    ("aws:calledvia", "no service calls for somebody else here"),
    ("aws:calledviafirst", "no service calls for somebody else here"),
    ("aws:calledvialast", "no service calls for somebody else here"),
    ("aws:viaawsservice", "no service calls for somebody else here"),
    ("aws:principalisawsservice", "no service calls for somebody else here"),
    ("aws:principalservicename", "no service calls for somebody else here"),
    ("aws:federatedprovider", "use jwt:iss"),
    ("aws:sourceidentity", "use aws:userid or sts:RoleSessionName"),
    ("aws:groups", "use jwt:groups or ldap:groups, whichever proves who asks"),
    ("s3:accesspointtag", "there are no access points; name the bucket"),
    ("s3:accessgrantslocationscope", "there are no access grants; write the grant as a statement"),
    ("s3:accessgrantscope", "there are no access grants; write the grant as a statement"),
    (
        "s3:destinationregion",
        "the storage knows no regions; allow or deny s3:PutReplicationConfiguration as a whole",
    ),
    ("s3:existingjoboperation", "there are no batch jobs"),
    ("s3:existingjobpriority", "there are no batch jobs"),
    ("s3:requestjoboperation", "there are no batch jobs"),
    ("s3:requestjobpriority", "there are no batch jobs"),
    ("s3:objectcreationoperation", "name the actions that create objects, as s3:PutObject"),
    ("aws:assumedroot", "there is no root user here; use aws:PrincipalArn"),
    ("aws:chatbotsourcearn", "no service calls for somebody else here; use aws:PrincipalArn"),
    ("aws:ec2instancesourceprivateipv4", "there are no instances here; use aws:SourceIp"),
    ("aws:principalservicenameslist", "no service calls for somebody else here"),
    ("aws:signinsessionarn", "there is no console here; use aws:PrincipalArn"),
    ("aws:sourceorgpaths", "there is one account here; use aws:PrincipalArn"),
    ("aws:sourcevpcarn", "there are no VPCs here; use aws:SourceIp"),
    ("aws:viaawsmcpservice", "no service calls for somebody else here"),
    ("aws:vpceaccount", "there are no VPC endpoints here; use aws:SourceIp"),
    ("aws:vpceorgid", "there are no VPC endpoints here; use aws:SourceIp"),
    ("aws:vpceorgpaths", "there are no VPC endpoints here; use aws:SourceIp"),
    ("sts:awsservicename", "no service calls for somebody else here; use aws:PrincipalArn"),
    ("sts:requestcontext", "no identity here brings it; use its claim, as jwt:sub"),
    ("sts:requestcontextproviders", "no identity here brings it; use its claim, as jwt:iss"),
    ("sts:sourceidentity", "use aws:userid or sts:RoleSessionName"),
    ("sts:taskpolicyarn", "there is no root user here; use aws:PrincipalArn"),
    ("svc:durationseconds", "there are no service accounts here; use sts:DurationSeconds"),
    ("s3:tlsversion", "the listener takes TLS 1.2 and 1.3 alone; use aws:SecureTransport"),
    ("aws:ec2instancesourcevpc", "there are no instances here; use aws:SourceIp"),
];

impl ConditionKey {
    /// Upper and lower case are the same in the name, not in what follows the slash of a tag key (AWS: "Tag keys ... are
    /// not case-sensitive" when compared, so tags are kept in lower case).
    pub fn parse(name: &str) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        if let Some(plain) = Plain::ALL.iter().find(|plain| plain.name().eq_ignore_ascii_case(name)) {
            return Ok(Self::Plain(*plain));
        }
        let (family, part) = lower.split_once('/').unwrap_or((&lower, ""));
        let of_tag: Option<fn(Box<str>) -> Self> = match family {
            "aws:principaltag" => Some(Self::PrincipalTag),
            "aws:requesttag" => Some(Self::RequestTag),
            "s3:requestobjecttag" => Some(Self::RequestObjectTag),
            _ => None,
        };
        if let Some(of_tag) = of_tag {
            return match part {
                "" => Err(format!("`{name}` needs the key of a tag, as in `{name}/project`")),
                // The tags of an object are compared as they are (S3: "tag keys and values are case sensitive").
                _ if family == "s3:requestobjecttag" => {
                    Ok(Self::RequestObjectTag(name.split_once('/').map_or("", |(_, tag)| tag).into()))
                }
                tag => Ok(of_tag(tag.into())),
            };
        }
        let of_identity = |family: &str| ["jwt", "ldap", "certificate", "webhook"].contains(&family);
        if let Some((_, claim)) = lower.split_once(':').filter(|(family, _)| of_identity(family)) {
            let good = !claim.is_empty() && claim.bytes().all(|byte| byte.is_ascii_graphic());
            return if good {
                Ok(Self::Claim(lower.into()))
            } else {
                Err(format!("`{name}` names no claim"))
            };
        }
        Err(refusal(name, family))
    }

    pub(super) fn has_several_values(&self) -> bool {
        matches!(self, Self::Plain(plain) if plain.has_several_values())
    }
}

fn refusal(name: &str, family: &str) -> String {
    if let Some((_, instead)) = UNANSWERABLE.iter().find(|(key, _)| *key == family) {
        return format!("`{name}` cannot be answered here: {instead}");
    }
    // The claims of an identity provider: `accounts.google.com:sub`, `saml:aud`.
    if let Some((provider, claim)) = family.split_once(':')
        && (provider.contains('.') || provider == "saml")
    {
        return format!(
            "`{name}` cannot be answered here: use jwt:{claim}, with jwt:iss where it matters whose it is"
        );
    }
    let likely = Plain::ALL
        .iter()
        .map(|plain| plain.name())
        .min_by_key(|known| strsim::levenshtein(&known.to_ascii_lowercase(), family))
        .filter(|known| strsim::levenshtein(&known.to_ascii_lowercase(), family) <= 3);
    match likely {
        Some(known) => format!("`{name}` is no condition key that is known here; did you mean `{known}`?"),
        None => format!("`{name}` is no condition key that is known here"),
    }
}

impl fmt::Display for ConditionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(plain) => f.write_str(plain.name()),
            Self::PrincipalTag(tag) => write!(f, "aws:PrincipalTag/{tag}"),
            Self::RequestTag(tag) => write!(f, "aws:RequestTag/{tag}"),
            Self::RequestObjectTag(tag) => write!(f, "s3:RequestObjectTag/{tag}"),
            Self::Claim(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_say_what_was_meant() {
        assert_eq!(ConditionKey::parse("AWS:SOURCEIP"), Ok(ConditionKey::Plain(Plain::SourceIp)));
        assert_eq!(
            ConditionKey::parse("aws:PrincipalTag/Team"),
            Ok(ConditionKey::PrincipalTag("team".into()))
        );
        assert_eq!(
            ConditionKey::parse("s3:RequestObjectTag/Team"),
            Ok(ConditionKey::RequestObjectTag("Team".into()))
        );
        assert_eq!(ConditionKey::parse("jwt:Groups"), Ok(ConditionKey::Claim("jwt:groups".into())));
        for plain in Plain::ALL {
            assert_eq!(ConditionKey::parse(plain.name()), Ok(ConditionKey::Plain(*plain)));
        }
        for (name, says) in [
            ("aws:SourceIpp", "did you mean `aws:SourceIp`"),
            ("s3:ExistingObjectTag/team", "cannot be answered here"),
            ("aws:MultiFactorAuthPresent", "jwt:amr"),
            ("accounts.google.com:sub", "use jwt:sub"),
            ("saml:aud", "use jwt:aud"),
            ("sts:RequestContext/x", "jwt:sub"),
            ("aws:PrincipalTag/", "needs the key of a tag"),
            ("aws:PrincipalTag", "needs the key of a tag"),
            ("ec2:Region", "no condition key"),
            ("jwt:", "names no claim"),
        ] {
            let refused = ConditionKey::parse(name).unwrap_err();
            assert!(refused.contains(says), "{name}: {refused}");
        }
    }
}
