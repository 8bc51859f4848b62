//! Logs by `tracing`: one line a request, as text or JSON, on standard error.

use std::{io, str::FromStr};

use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::{
    line_layer::LineLayer,
    lines::{self, Lines},
};

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

impl Level {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Error => LevelFilter::ERROR,
            Self::Warn => LevelFilter::WARN,
            Self::Info => LevelFilter::INFO,
            Self::Debug => LevelFilter::DEBUG,
            Self::Trace => LevelFilter::TRACE,
        }
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
    let filter = Targets::new().with_default(others.filter()).with_target("daypass", level.filter());
    let (writer, guard) = lines::start(io::stderr());
    let layer = LineLayer::new(format, writer).with_filter(filter);
    let installed = tracing_subscriber::registry().with(layer).try_init();
    if installed.is_err() {
        tracing::debug!("a log subscriber is already installed");
    }
    guard
}
