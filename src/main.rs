//! The `daypass` command: arguments in, exit code out. Everything else is in the library.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers on standard output and error"
)]

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use daypass::{
    app,
    clock::SystemClock,
    config::{self, Config},
    credentials, explain, lint, telemetry,
};

/// Many small allocations a request: this one costs less CPU than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Temporary credentials for any S3 storage.
///
/// Daypass stands in front of an S3 backend. It answers STS, verifies the signature of every request against unexpired
/// temporary credentials, decides by IAM policies, re-signs with the backend's root keys and streams on.
#[derive(Debug, Parser)]
#[command(name = "daypass", version, max_term_width = 100, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway.
    ///
    /// SIGTERM and SIGINT stop it gracefully: no new connections, requests under way finish within `limits.drain_timeout`.
    Serve(ConfigFile),
    /// Check a configuration file whole and print every problem with its place and its mend.
    ///
    /// Exits with 0 when the gateway would start with it, with 1 otherwise. Hints name what is allowed and likely a mistake:
    /// actions that do not exist, resources that can never match, roles that nobody can assume. Nothing is contacted.
    Check(ConfigFile),
    /// Say whether a request would be allowed, and why.
    ///
    /// Prints the decision, the statement that made it, and for every statement how far it went. Exits with 0 when it would be
    /// allowed, with 3 when it would be denied.
    Explain(Box<Explain>),
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
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file (TOML); paths within it are relative to it.
    #[arg(long, short, value_name = "FILE", env = "DAYPASS_CONFIG", default_value = "config/daypass.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Explain {
    #[command(flatten)]
    file: ConfigFile,
    /// Ask for a session of this role.
    #[arg(long, value_name = "NAME", conflicts_with = "user", required_unless_present = "user")]
    role: Option<String>,
    /// Ask for a user without a role.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// As IAM names it: s3:GetObject.
    #[arg(long)]
    action: String,
    /// An ARN: `arn:aws:s3:::bucket/key`, or `arn:aws:s3:::bucket` for an action on a bucket.
    #[arg(long, value_name = "ARN")]
    resource: String,
    /// What the request says of itself, as aws:SourceIp=203.0.113.9; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    context: Vec<String>,
    /// A session policy (JSON) that narrows the session.
    #[arg(long, value_name = "FILE")]
    session_policy: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Two TLS stacks in one build would make rustls refuse to choose at the first connection; choosing here cannot fail
    // before anything else has chosen.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match run(arguments.command) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("daypass: {failure:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(file) => {
            let Some(config) = load(&file) else { return Ok(ExitCode::FAILURE) };
            let _lines = telemetry::log::install(config.log.format, config.log.level);
            app::serve(config, Arc::new(SystemClock))?;
        }
        Command::Check(file) => {
            let Some(config) = load(&file) else { return Ok(ExitCode::FAILURE) };
            app::check(&config)?;
            let hints = lint::hints(&config);
            for hint in &hints {
                println!("hint: {hint}");
            }
            println!("{}: no problems, {} hints", file.config.display(), hints.len());
        }
        Command::Explain(asked) => {
            let Some(config) = load(&asked.file) else { return Ok(ExitCode::FAILURE) };
            let session_policy = match &asked.session_policy {
                None => None,
                Some(file) => {
                    Some(std::fs::read_to_string(file).with_context(|| file.display().to_string())?)
                }
            };
            let Explain { role, user, action, resource, context, .. } = *asked;
            let question = explain::Question { role, user, action, resource, context, session_policy };
            let answer = explain::explain(&config, &question).map_err(anyhow::Error::msg)?;
            print!("{}", answer.text);
            return Ok(if answer.allowed { ExitCode::SUCCESS } else { ExitCode::from(3) });
        }
        Command::Keygen { user: false } => println!("{}", credentials::Keyring::generate_line()?),
        Command::Keygen { user: true } => {
            let (access_key_id, secret) = credentials::generate_user_keys()?;
            println!("access_key_id = \"{access_key_id}\"\nsecret_access_key = \"{}\"", secret.expose());
        }
        #[cfg(feature = "demo")]
        Command::Demo { once } => {
            let went_well = runtime()?.block_on(daypass::demo::run(once))?;
            return Ok(if went_well { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn load(file: &ConfigFile) -> Option<Config> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment is handed to config here and nowhere else"
    )]
    let environment = |name: &str| std::env::var(name).ok();
    match config::load(&file.config, &environment) {
        Ok(config) => Some(config),
        Err(problems) => {
            eprintln!("{problems}");
            None
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot start")
}
