//! The `daypass` command: arguments in, exit code out. Everything else is in the library.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers on standard output and error"
)]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use daypass::{
    app::{self, Source},
    audit,
    clock::{Clock as _, SystemClock},
    config::{self, Config},
    credentials::{
        self,
        revocation::{Kind, Wanted},
    },
    explain::{self, Who},
    health, lint,
    online::{self, Finding},
    revoke::{self, Task},
    telemetry,
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
    /// Asks the running gateway at `admin.address` with the token of the configuration. Exits with 0 when it was done, with 3 when there
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
enum Audit {
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
struct ConfigFile {
    /// The configuration file (TOML); paths within it are relative to it.
    #[arg(long, short, value_name = "FILE", env = "DAYPASS_CONFIG", default_value = "config/daypass.toml")]
    config: PathBuf,
}

#[derive(Debug, Args)]
#[group(skip)]
#[command(group = clap::ArgGroup::new("what").required(true))]
struct Revoke {
    #[command(flatten)]
    file: ConfigFile,
    /// One session, by the access key id of its temporary keys.
    #[arg(long, value_name = "AKID", group = "what")]
    session: Option<String>,
    /// The sessions of somebody proven by another: oidc/PROVIDER/SUBJECT, ldap/DN, certificate/NAME, webhook/USER.
    #[arg(long, value_name = "PATH", group = "what")]
    identity: Option<String>,
    /// The sessions of a user.
    #[arg(long, value_name = "NAME", group = "what")]
    user: Option<String>,
    /// A user's long-term key: it is refused until the entry is lifted.
    #[arg(long, value_name = "AKID", group = "what")]
    user_key: Option<String>,
    /// The sessions of a role, and those that were reached through it.
    #[arg(long, value_name = "NAME", group = "what")]
    role: Option<String>,
    /// The sessions of everybody whom a provider proved; or ldap, certificate, webhook.
    #[arg(long, value_name = "NAME", group = "what")]
    provider: Option<String>,
    /// Every session.
    #[arg(long, group = "what")]
    everything: bool,
    /// Only sessions that were issued before this time (RFC 3339); without it: before now.
    #[arg(long, value_name = "TIME", conflicts_with_all = ["session", "user_key", "list", "lift"])]
    issued_before: Option<String>,
    /// Print what is revoked.
    #[arg(long, group = "what")]
    list: bool,
    /// Take a revocation back.
    #[arg(long, value_name = "ID", group = "what")]
    lift: Option<String>,
}

impl Revoke {
    fn task(self) -> Task {
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
struct Explain {
    #[command(flatten)]
    file: ConfigFile,
    /// Ask for a session of this role.
    #[arg(long, value_name = "NAME", group = "who")]
    role: Option<String>,
    /// Ask for a user without a role.
    #[arg(long, value_name = "NAME", group = "who")]
    user: Option<String>,
    /// Ask about the bearer of the token in this file; - is standard input.
    #[arg(long, value_name = "FILE", group = "who")]
    token: Option<PathBuf>,
    /// The provider to ask about a token that is no JWT, when several are asked about such ones.
    #[arg(long, value_name = "NAME", requires = "token")]
    provider: Option<String>,
    /// Ask about a user of the directory.
    #[arg(long, value_name = "NAME", group = "who")]
    ldap_user: Option<String>,
    /// As IAM names it: s3:GetObject.
    #[arg(long, required_unless_present_any = ["token", "ldap_user"], conflicts_with_all = ["token", "ldap_user"])]
    action: Option<String>,
    /// An ARN: `arn:aws:s3:::bucket/key`, or `arn:aws:s3:::bucket` for an action on a bucket.
    #[arg(long, value_name = "ARN", required_unless_present_any = ["token", "ldap_user"], conflicts_with_all = ["token", "ldap_user"])]
    resource: Option<String>,
    /// What the request says of itself, as aws:SourceIp=203.0.113.9; may be given again.
    #[arg(long, value_name = "KEY=VALUE")]
    context: Vec<String>,
    /// A session policy (JSON) that narrows the session.
    #[arg(long, value_name = "FILE")]
    session_policy: Option<PathBuf>,
}

fn main() -> ExitCode {
    telemetry::panics::install();
    let arguments = Arguments::parse();
    // Two TLS stacks in one build would make rustls refuse to choose at the first connection; choosing here cannot fail
    // before anything else has chosen.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
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
            let source = Source { path: file.config, environment: Box::new(environment) };
            app::serve(config, source, Arc::new(SystemClock))?;
        }
        Command::Check { file, online } => return check(&file, online),
        Command::Explain(asked) => return explain(*asked),
        Command::Revoke(asked) => return revoke(*asked),
        Command::Audit(Audit::Verify { files }) => print!("{}", audit::verify(&files)?),
        Command::Health { file, live } => return health(&file, live),
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
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "daypass", &mut script);
            std::io::stdout().write_all(&script)?;
        }
        Command::Man { folder } => write_manual(&folder)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The day that the manual pages bear: of the last change to the commands.
const MANUAL_OF: &str = "2026-11-27";

/// A page of the program and one of each command that help lists.
fn write_manual(folder: &Path) -> anyhow::Result<()> {
    let mut program = Arguments::command().disable_help_subcommand(true);
    program.build();
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    for described in std::iter::once(&program).chain(commands) {
        let name = described.get_display_name().unwrap_or("daypass").to_owned();
        // A date of the build would make two builds differ.
        let page = clap_mangen::Man::new(described.clone()).title(&name).date(MANUAL_OF).manual("Daypass");
        let source = concat!("daypass ", env!("CARGO_PKG_VERSION"));
        let mut roff = Vec::new();
        page.source(source).render(&mut roff)?;
        std::fs::write(folder.join(format!("{name}.1")), roff)?;
    }
    Ok(())
}

fn check(file: &ConfigFile, online: bool) -> anyhow::Result<ExitCode> {
    let Some(config) = load(file) else { return Ok(ExitCode::FAILURE) };
    let hints = lint::hints(&config);
    for hint in &hints {
        println!("hint: {hint}");
    }
    let ways = config.ways.open()?;
    let backend = app::check(config, Arc::new(SystemClock))?;
    println!("{}: no problems, {} hints", file.config.display(), hints.len());
    if !online {
        return Ok(ExitCode::SUCCESS);
    }
    let findings = runtime()?.block_on(online::check(&backend, &ways, SystemClock.now()));
    for Finding { about, result } in &findings {
        match result {
            Ok(good) => println!("{about}: {good}"),
            Err(wrong) => println!("{about}: problem: {wrong}"),
        }
    }
    let good = findings.iter().all(|finding| finding.result.is_ok());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn explain(asked: Explain) -> anyhow::Result<ExitCode> {
    let Some(config) = load(&asked.file) else { return Ok(ExitCode::FAILURE) };
    let read = |file: &PathBuf| std::fs::read_to_string(file).with_context(|| file.display().to_string());
    let who = match (&asked.token, asked.ldap_user) {
        (Some(file), _) if file.as_os_str() == "-" => {
            let token = std::io::read_to_string(std::io::stdin()).context("standard input")?;
            Some(Who::Token { token, provider: asked.provider })
        }
        (Some(file), _) => Some(Who::Token { token: read(file)?, provider: asked.provider }),
        (None, name) => name.map(Who::LdapUser),
    };
    let (text, good) = if let Some(who) = who {
        let ways = config.ways.open()?;
        let answer = runtime()?.block_on(explain::explain_identity(&config, &ways, &who, SystemClock.now()));
        (answer.text, answer.granted)
    } else {
        let session_policy = asked.session_policy.as_ref().map(read).transpose()?;
        let (action, resource) = (asked.action.unwrap_or_default(), asked.resource.unwrap_or_default());
        let (role, user, context) = (asked.role, asked.user, asked.context);
        let question = explain::Question { role, user, action, resource, context, session_policy };
        let answer = explain::explain(&config, &question).map_err(anyhow::Error::msg)?;
        (answer.text, answer.allowed)
    };
    print!("{text}");
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(3) })
}

fn health(file: &ConfigFile, live: bool) -> anyhow::Result<ExitCode> {
    let listener = config::admin_listener(&file.config)?;
    let listener = listener.context("the configuration has no [admin], so there is nobody to ask")?;
    let health = runtime()?.block_on(health::ask(&listener, live))?;
    print!("{}", health.says);
    Ok(if health.is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn revoke(asked: Revoke) -> anyhow::Result<ExitCode> {
    let Some(config) = load(&asked.file) else { return Ok(ExitCode::FAILURE) };
    let admin = config.admin.context("the configuration has no [admin], so there is nobody to ask")?;
    let listener = admin.listener();
    let token = admin.token.context("[admin] has no token, which this command needs")?;
    match runtime()?.block_on(revoke::run(&listener, &token, asked.task()))? {
        Some(done) => {
            print!("{done}");
            Ok(ExitCode::SUCCESS)
        }
        None => {
            eprintln!("daypass: there is no such revocation; --list shows those that there are");
            Ok(ExitCode::from(3))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the environment is handed to config here and nowhere else")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn load(file: &ConfigFile) -> Option<Config> {
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
