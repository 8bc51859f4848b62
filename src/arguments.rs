//! What the command takes. These comments are its `--help` and its manual pages.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use daypass::{
    credentials::revocation::{Kind, Wanted},
    outbound_tls::ClientCertificate,
    revoke::Task,
};

/// Temporary credentials for any S3 storage.
///
/// Daypass stands in front of an S3 backend. It answers STS, verifies the signature of every request against unexpired
/// temporary credentials, decides by IAM policies, re-signs with the backend's root keys and streams on.
#[derive(Debug, Parser)]
#[command(name = "daypass", version, max_term_width = 100, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway.
    ///
    /// SIGHUP reads the configuration again, and so does a changed file: the new one is swapped at once, or refused whole and the old one
    /// runs on. SIGTERM and SIGINT stop it gracefully: not ready for `limits.drain_delay`, then no new connections, requests under way finish
    /// within `limits.drain_timeout`.
    Serve(ConfigFile),
    /// Check a configuration file whole and print every problem with its place and its mend.
    ///
    /// Exits with 0 when the gateway would start with it, with 1 otherwise. Hints name what is allowed and likely a mistake:
    /// actions that do not exist, resources that can never match, roles that nobody can assume. Nothing is contacted without
    /// `--online`.
    Check {
        #[command(flatten)]
        file: ConfigFile,
        /// Connect to each address of the storage, ask each OpenID provider, the directory and the webhook once, and say what is wrong.
        #[arg(long)]
        online: bool,
    },
    /// Say whether a request would be allowed, and why; or who the bearer of a token or a user of the directory is here.
    ///
    /// With a role or a user: prints the decision, the statement that made it, and for every statement how far it went. Exits with 0
    /// when it would be allowed, with 3 when it would be denied.
    ///
    /// With `--token` or `--ldap-user`: asks the provider or the directory, prints claims or groups, and for each role whether it is
    /// granted or which condition of its trust fails. Exits with 0 when something is granted, with 3 when nothing is.
    Explain(Box<Explain>),
    /// End sessions before their time, or list and lift what was ended.
    ///
    /// Asks the running gateway at `admin.address` with the token of the configuration, or a certificate. Exits with 0 when it was done, with 3 when there
    /// is nothing to lift, with 1 otherwise.
    Revoke(Box<Revoke>),
    /// Look into audit logs.
    #[command(subcommand)]
    Audit(Audit),
    /// Ask the running gateway whether requests should come to it.
    ///
    /// Asks `/health/ready` at `admin.address`, and reads nothing else of the configuration but how to speak to it. Prints what it
    /// says; exits with 0 when it is ready, with 1 when it is not or does not answer within 5 seconds.
    Health {
        #[command(flatten)]
        file: ConfigFile,
        /// Ask only whether it answers, as who restarts it should.
        #[arg(long)]
        live: bool,
    },
    /// Make key material from the system's random source.
    ///
    /// Without options: one line for `sts.sealing_keys_file`, newest key first. Keep the file at mode 600.
    Keygen {
        /// A key pair for a `[[user]]` instead: an access key id and a secret access key as TOML.
        #[arg(long)]
        user: bool,
    },
    /// See it work: an embedded backend, real STS, verified requests; no file, no account, no network.
    ///
    /// Walks through what the gateway does, printing what came back at each step, then stays up with lines to paste.
    #[cfg(feature = "demo")]
    Demo {
        /// Exit after the tour: with 0 only if every step went as it should.
        #[arg(long)]
        once: bool,
    },
    /// Print what completes commands and options in a shell.
    #[command(hide = true)]
    Completions { shell: Shell },
    /// Write the manual pages into a folder.
    #[command(hide = true)]
    Man { folder: PathBuf },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check that no line of an audit log was changed, removed, moved or repeated.
    ///
    /// Reads the files in the order that is given, the oldest first, and prints how many lines there are, from when to when, what they
    /// themselves say is missing, and the last hash. Exits with 0 when the chain holds, with 1 and the first place where it does not.
    /// That nothing was cut off at the end is seen only by a last hash that was kept elsewhere.
    Verify {
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file (TOML); paths within it are relative to it.
    #[arg(long, short, value_name = "FILE", env = "DAYPASS_CONFIG", default_value = "config/daypass.toml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// One session, by the access key id of its temporary keys.
    #[arg(long, value_name = "AKID", group = "what")]
    pub(crate) session: Option<String>,
    /// The sessions of somebody proven by another: oidc/PROVIDER/SUBJECT, ldap/DN, certificate/NAME, webhook/USER.
    #[arg(long, value_name = "PATH", group = "what")]
    pub(crate) identity: Option<String>,
    /// The sessions of a user.
    #[arg(long, value_name = "NAME", group = "what")]
    pub(crate) user: Option<String>,
    /// A user's long-term key: it is refused until the entry is lifted.
    #[arg(long, value_name = "AKID", group = "what")]
    pub(crate) user_key: Option<String>,
    /// The sessions of a role, and those that were reached through it.
    #[arg(long, value_name = "NAME", group = "what")]
    pub(crate) role: Option<String>,
    /// The sessions of everybody whom a provider proved; or ldap, certificate, webhook.
    #[arg(long, value_name = "NAME", group = "what")]
    pub(crate) provider: Option<String>,
    /// Every session.
    #[arg(long, group = "what")]
    pub(crate) everything: bool,
    /// Only sessions that were issued before this time (RFC 3339); without it: before now.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["session", "user_key", "list", "lift"])]
    pub(crate) issued_before: Option<String>,
    /// Print what is revoked.
    #[arg(long, group = "what")]
    pub(crate) list: bool,
    /// Take a revocation back.
    #[arg(long, value_name = "ID", group = "what")]
    pub(crate) lift: Option<String>,
    /// A certificate of `admin.tls.client_ca_file` (PEM), shown in place of the token; then nothing of the configuration is read but
    /// how to speak to `admin.address`.
    #[arg(long, value_name = "FILE", requires = "private_key")]
    pub(crate) certificate: Option<PathBuf>,
    /// The key to the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) private_key: Option<PathBuf>,
}

impl Revoke {
    /// What is shown in place of the token.
    pub(crate) fn certificate(&self) -> anyhow::Result<Option<ClientCertificate>> {
        let (Some(chain), Some(key)) = (&self.certificate, &self.private_key) else { return Ok(None) };
        let read = |file: &PathBuf| std::fs::read(file).with_context(|| file.display().to_string());
        let certificate = ClientCertificate::from_pem(&read(chain)?, &read(key)?);
        Ok(Some(certificate.context("--certificate and --private-key are no PEM files of them")?))
    }

    pub(crate) fn task(self) -> Task {
        if let Some(id) = self.lift {
            return Task::Lift(id);
        }
        let named = [
            (Kind::Session, self.session),
            (Kind::Identity, self.identity),
            (Kind::User, self.user),
            (Kind::UserKey, self.user_key),
            (Kind::Role, self.role),
            (Kind::Provider, self.provider),
            (Kind::Everything, self.everything.then(String::new)),
        ];
        let wanted = named.into_iter().find_map(|(kind, value)| value.map(|value| (kind, value)));
        match wanted {
            Some((kind, value)) => Task::Revoke(Wanted { kind, value, issued_before: self.issued_before }),
            None => Task::List,
        }
    }
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("who").required(true))]
pub(crate) struct Explain {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Ask for a session of this role.
    #[arg(long, value_name = "NAME", group = "who")]
    pub(crate) role: Option<String>,
    /// Ask for a user without a role.
    #[arg(long, value_name = "NAME", group = "who")]
    pub(crate) user: Option<String>,
    /// Ask about the bearer of the token in this file; - is standard input.
    #[arg(long, value_name = "FILE", group = "who")]
    pub(crate) token: Option<PathBuf>,
    /// The provider to ask about a token that is no JWT, when several are asked about such ones.
    #[arg(long, value_name = "NAME", requires = "token")]
    pub(crate) provider: Option<String>,
    /// Ask about a user of the directory.
    #[arg(long, value_name = "NAME", group = "who")]
    pub(crate) ldap_user: Option<String>,
    /// As IAM names it: s3:GetObject.
    #[arg(long, required_unless_present_any = ["token", "ldap_user"], conflicts_with_all = ["token", "ldap_user"])]
    pub(crate) action: Option<String>,
    /// An ARN: `arn:aws:s3:::bucket/key`, or `arn:aws:s3:::bucket` for an action on a bucket.
    #[arg(long, value_name = "ARN", required_unless_present_any = ["token", "ldap_user"], conflicts_with_all = ["token", "ldap_user"])]
    pub(crate) resource: Option<String>,
    /// What the request says of itself, as aws:SourceIp=203.0.113.9; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) context: Vec<String>,
    /// A session policy (JSON) that narrows the session.
    #[arg(long, value_name = "FILE")]
    pub(crate) session_policy: Option<PathBuf>,
}
