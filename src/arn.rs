//! Amazon Resource Names, as far as a gateway writes and reads them.

use std::fmt;

/// Twelve digits, as AWS writes an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountId([u8; 12]);

impl AccountId {
    pub fn parse(text: &str) -> Option<Self> {
        let digits = <[u8; 12]>::try_from(text.as_bytes()).ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    pub fn as_str(&self) -> &str {
        // They are digits.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub fn user(&self, name: &str) -> String {
        ["arn:aws:iam::", self.as_str(), ":user/", name].concat()
    }

    pub fn role(&self, name: &str) -> String {
        ["arn:aws:iam::", self.as_str(), ":role/", name].concat()
    }

    pub fn federated_user(&self, name: &str) -> String {
        ["arn:aws:sts::", self.as_str(), ":federated-user/", name].concat()
    }

    pub fn policy(&self, name: &str) -> String {
        format!("arn:aws:iam::{self}:policy/{name}")
    }

    pub fn assumed_role(&self, role: &str, session_name: &str) -> String {
        // Written on every request.
        ["arn:aws:sts::", self.as_str(), ":assumed-role/", role, "/", session_name].concat()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The `RoleArn` of an STS request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleArn<'a> {
    /// `arn:aws:iam::<account>:role/<path and name>`
    Role { account: &'a str, name: &'a str },
    /// Another partition, service or shape, as MinIO's clients send for lack of a better one.
    Foreign,
}

impl<'a> RoleArn<'a> {
    /// `None`: no ARN at all.
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut fields = text.splitn(6, ':');
        let fields: [&str; 6] = std::array::from_fn(|_| fields.next().unwrap_or_default());
        let [arn, partition, service, region, account, resource] = fields;
        if arn != "arn" || partition.is_empty() || service.is_empty() || account.len() + resource.len() == 0 {
            return None;
        }
        match resource.strip_prefix("role/") {
            Some(name) if partition == "aws" && service == "iam" && region.is_empty() && !name.is_empty() => {
                Some(Self::Role { account, name })
            }
            _ => Some(Self::Foreign),
        }
    }
}

/// What the ARNs of buckets begin with.
pub const S3: &str = "arn:aws:s3:::";

/// The ARN of a bucket.
pub fn bucket(name: &str) -> String {
    [S3, name].concat()
}

/// The ARN of an object.
pub fn object(bucket: &str, key: &str) -> String {
    [S3, bucket, "/", key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_arn_names_an_account_and_a_role() {
        assert_eq!(
            RoleArn::parse("arn:aws:iam::000000000000:role/team/analyst"),
            Some(RoleArn::Role { account: "000000000000", name: "team/analyst" })
        );
    }

    #[test]
    fn placeholders_of_minio_clients_are_arns_of_something_else() {
        for foreign in [
            "arn:minio:iam:::role/dummy-internal",
            "arn:xxx:xxx:xxx:xxxx",
            "arn:xxx:xxx:xxx:xxxx:role/x",
            "arn:aws:iam::1:user/x",
        ] {
            assert_eq!(RoleArn::parse(foreign), Some(RoleArn::Foreign), "{foreign}");
        }
    }

    #[test]
    fn other_texts_are_no_arns() {
        for text in ["", "role/x", "arn:aws:iam", "arn:aws:iam::", "ARN:aws:iam::1:role/x"] {
            assert_eq!(RoleArn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_account_has_twelve_digits() {
        assert!(AccountId::parse("123456789012").is_some());
        for text in ["", "12345678901", "1234567890123", "12345678901a"] {
            assert!(AccountId::parse(text).is_none(), "{text}");
        }
    }
}
