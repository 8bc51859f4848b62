//! The `daypass` command: arguments in, exit code out. Everything else is in the library.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command answers on standard output and error"
)]

mod arguments;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::{CommandFactory as _, Parser as _};
use daypass::{
    admin_client::Listener,
    app::{self, Source},
    audit,
    clock::{Clock as _, SystemClock},
    config::{self, Config},
    credentials,
    explain::{self, Who},
    health, lint,
    online::{self, Finding},
    revoke, telemetry,
};

use self::arguments::{Arguments, Audit, Command, ConfigFile, Explain, Revoke};

/// Many small allocations a request: this one costs less CPU than the system's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

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

const NO_ADMIN: &str = "the configuration has no [admin], so there is nobody to ask";

/// Reads nothing else of the configuration, so that whoever asks need not be able to read its keys.
fn admin_listener(file: &ConfigFile) -> anyhow::Result<Listener> {
    config::admin_listener(&file.config)?.context(NO_ADMIN)
}

fn health(file: &ConfigFile, live: bool) -> anyhow::Result<ExitCode> {
    let listener = admin_listener(file)?;
    let health = runtime()?.block_on(health::ask(&listener, live))?;
    print!("{}", health.says);
    Ok(if health.is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn revoke(asked: Revoke) -> anyhow::Result<ExitCode> {
    let (listener, token) = match asked.certificate()? {
        Some(certificate) => (admin_listener(&asked.file)?.showing(certificate)?, None),
        None => {
            let Some(config) = load(&asked.file) else { return Ok(ExitCode::FAILURE) };
            let admin = config.admin.context(NO_ADMIN)?;
            let needs = "[admin] has no token, which this command needs, or --certificate and --private-key";
            (admin.listener(), Some(admin.token.context(needs)?))
        }
    };
    match runtime()?.block_on(revoke::run(&listener, token.as_ref(), asked.task()))? {
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
