//! Logs by `tracing`: one line a request, as text or JSON, on standard error.

use std::{fmt, io, str::FromStr};

use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan};

use super::lines::{self, Lines};

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// A level for our own lines. Other crates' lines stay at `info` or above at the most: some of them write canonical
/// requests at `trace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "error" => Self::Error,
            "warn" => Self::Warn,
            "info" => Self::Info,
            "debug" => Self::Debug,
            "trace" => Self::Trace,
            other => return Err(format!("`{other}` is not a level: use error, warn, info, debug or trace")),
        })
    }
}

/// Sends log lines to standard error from now on, by a thread of its own so that no request waits for them. A second call
/// leaves the first in place.
pub fn install(format: Format, level: Level) -> Lines {
    let others = if matches!(level, Level::Error | Level::Warn) { level } else { Level::Warn };
    let filter = EnvFilter::new(format!("{others},daypass={level}"));
    let (writer, guard) = lines::start(io::stderr());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_span_events(FmtSpan::NONE)
        .with_target(false)
        .with_writer(writer);
    let installed = match format {
        Format::Text => lines.with_ansi(false).try_init(),
        Format::Json => lines.json().flatten_event(true).try_init(),
    };
    if installed.is_err() {
        tracing::debug!("a log subscriber is already installed");
    }
    guard
}
