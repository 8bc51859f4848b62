//! The configuration of the demo's gateway, as an operator would write it.

use std::net::SocketAddr;

use secrecy::ExposeSecret;

use super::{
    KeyPair,
    directory::{AUDITORS, Directory, GROUPS, PEOPLE, SERVICE},
    provider::{AUDIENCE, Provider},
};
use crate::credentials::Keyring;

/// In the folder of the configuration.
pub(super) const DIRECTORY_CA: &str = "directory-ca.pem";

/// Everything that the gateway has to know of its neighbours.
pub(super) struct Neighbours<'n> {
    pub(super) backend: SocketAddr,
    pub(super) root: &'n KeyPair,
    pub(super) alice: &'n KeyPair,
    pub(super) provider: &'n Provider,
    pub(super) directory: &'n Directory,
}

impl Neighbours<'_> {
    /// The whole file, for a gateway on this port.
    pub(super) fn configuration(&self, port: u16) -> anyhow::Result<String> {
        Ok([self.gateway(port)?, self.ways(), POLICIES.to_owned(), self.people()].join("\n"))
    }

    fn gateway(&self, port: u16) -> anyhow::Result<String> {
        Ok(format!(
            r#"[listen]
address = "127.0.0.1:{port}"

[backend]
endpoint = "http://{backend}"
access_key_id = "{root}"
secret_access_key = "{root_secret}"
trust_link = true                  # the backend is in this process

[sts]
sealing_keys = "{sealing_key}"
min_duration = "1s"                # so that the tour can watch a key die
"#,
            backend = self.backend,
            root = self.root.id,
            root_secret = self.root.secret.expose(),
            sealing_key = Keyring::generate_line()?,
        ))
    }

    fn ways(&self) -> String {
        format!(
            r#"[[oidc]]
name = "demo"
issuer = "{issuer}"
allow_http = true                  # the provider is in this process
client_ids = ["{AUDIENCE}"]
policy_claim = "policy"            # MinIO's way: the token of a machine names its policies

[ldap]
url = "ldaps://{directory}"
ca_file = "{DIRECTORY_CA}"
bind_dn = "{SERVICE}"
bind_password = "{password}"
user_base = "{PEOPLE}"
group_base = "{GROUPS}"
"#,
            issuer = self.provider.issuer(),
            directory = self.directory.address(),
            password = self.directory.service_password.expose_secret(),
        )
    }

    fn people(&self) -> String {
        format!(
            r#"[[role]]
name = "analyst"
policies = ["reports"]

[[role]]
name = "finance"
policies = ["own-folder"]
[[role.trust]]
oidc = "demo"
claims = {{ groups = "finance", email_verified = true }}

[[role]]
name = "auditor"
policies = ["audit"]
[[role.trust]]
ldap_group = "{AUDITORS}"

[[user]]
name = "alice"
access_key_id = "{id}"
secret_access_key = "{secret}"
roles = ["analyst"]
"#,
            id = self.alice.id,
            secret = self.alice.secret.expose(),
        )
    }
}

const POLICIES: &str = r#"[[policy]]
name = "reports"
document = '''
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::reports"},
  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::reports/*"}
]}'''

[[policy]]
name = "own-folder"
document = '''
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::reports",
   "Condition": {"StringLike": {"s3:prefix": "people/${jwt:preferred_username}/*"}}},
  {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"],
   "Resource": "arn:aws:s3:::reports/people/${jwt:preferred_username}/*"}
]}'''

[[policy]]
name = "write-backups"
document = '''
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::backups/*"}
]}'''

[[policy]]
name = "audit"
document = '''
{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": ["arn:aws:s3:::reports", "arn:aws:s3:::payroll"]},
  {"Effect": "Allow", "Action": "s3:GetObject", "Resource": ["arn:aws:s3:::reports/*", "arn:aws:s3:::payroll/*"]}
]}'''
"#;
