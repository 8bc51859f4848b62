//! One event, one line: as text or as JSON. What a client sent is escaped, so that it can neither end a line nor colour one.

use std::{
    cell::RefCell,
    fmt::{self, Write as _},
    io::Write as _,
    time::{SystemTime, UNIX_EPOCH},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, layer::Context};

use super::{lines::LineWriter, log::Format};
use crate::{clock::Timestamp, excerpt::is_plain};

/// Writes events.
#[derive(Debug)]
pub(super) struct LineLayer {
    format: Format,
    writer: LineWriter,
}

impl LineLayer {
    pub(super) fn new(format: Format, writer: LineWriter) -> Self {
        Self { format, writer }
    }
}

thread_local! {
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            // Writing to a string does not fail.
            let _ = self.write(line, event);
            let _ = self.writer.clone().write_all(line.as_bytes());
        });
    }
}

impl LineLayer {
    fn write(&self, line: &mut String, event: &Event<'_>) -> fmt::Result {
        let level = event.metadata().level().as_str();
        match self.format {
            Format::Text => {
                write_time(line);
                write!(line, " {level:>5}")?;
                event.record(&mut TextFields(line));
            }
            Format::Json => {
                line.push_str("{\"timestamp\":\"");
                write_time(line);
                line.extend(["\",\"level\":\"", level, "\""]);
                event.record(&mut JsonFields(line));
                line.push('}');
            }
        }
        line.push('\n');
        Ok(())
    }
}

/// `2026-11-24T01:36:52.123456Z`
#[expect(clippy::disallowed_methods, reason = "a line says when it was written; nothing is decided by it")]
fn write_time(line: &mut String) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = Timestamp::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX)).rfc3339();
    // Without its `Z`.
    line.push_str(at.get(..at.len() - 1).unwrap_or_default());
    line.push('.');
    let micros = since.subsec_micros();
    for place in [100_000, 10_000, 1_000, 100, 10, 1] {
        line.push(char::from_digit(micros / place % 10, 10).unwrap_or('0'));
    }
    line.push('Z');
}

struct TextFields<'l>(&'l mut String);

impl TextFields<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push(' ');
        if field.name() != "message" {
            self.0.push_str(field.name());
            self.0.push('=');
        }
    }
}

impl Visit for TextFields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        let _ = write!(Escaped { line: self.0, json: false }, "{value:?}");
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        if is_plain(value) {
            // As `Debug` has it.
            return self.0.extend(["\"", value, "\""]);
        }
        let _ = write!(self.0, "{value:?}");
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }
}

struct JsonFields<'l>(&'l mut String);

impl JsonFields<'_> {
    fn name(&mut self, field: &Field) {
        self.0.push_str(",\"");
        self.0.push_str(field.name());
        self.0.push_str("\":");
    }
}

impl Visit for JsonFields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        self.0.push('"');
        let _ = write!(Escaped { line: self.0, json: true }, "{value:?}");
        self.0.push('"');
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        self.0.push('"');
        let _ = Escaped { line: self.0, json: true }.write_str(value);
        self.0.push('"');
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        let _ = write!(self.0, "{value}");
    }
}

/// What moves a terminal's cursor or turns the direction of text, so that a line would show as another.
fn steers(character: char) -> bool {
    let turns = matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    turns || character.is_control()
}

/// What steers as `\u001b`; for JSON also its own two.
struct Escaped<'l> {
    line: &'l mut String,
    json: bool,
}

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let special = |character: char| steers(character) || (self.json && matches!(character, '"' | '\\'));
        if is_plain(text) || !text.contains(special) {
            self.line.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            match character {
                '"' | '\\' if self.json => self.line.extend(['\\', character]),
                other if steers(other) => write!(self.line, "\\u{:04x}", u32::from(other))?,
                other => self.line.push(other),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::telemetry::lines;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format) -> String {
        let sink = Sink::default();
        let (writer, guard) = lines::start(sink.clone());
        let subscriber = tracing_subscriber::registry().with(LineLayer::new(format, writer));
        tracing::subscriber::with_default(subscriber, || {
            let evil = "a\"b\\\n\u{1b}[31m\u{202e}";
            tracing::info!(key = ?evil, shown = %evil, word = evil, bytes = 7_u64, "request {}", "done");
        });
        drop(guard);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_text_line_is_one_line_whatever_a_client_sent() {
        let line = logged(Format::Text);
        let rest = line.split_once("Z  INFO ").unwrap().1;
        assert_eq!(
            rest,
            "request done key=\"a\\\"b\\\\\\n\\u{1b}[31m\\u{202e}\" shown=a\"b\\\\u000a\\u001b[31m\\u202e \
             word=\"a\\\"b\\\\\\n\\u{1b}[31m\\u{202e}\" bytes=7\n"
        );
    }

    #[test]
    fn a_json_line_reads_back_as_what_was_logged() {
        let line = logged(Format::Json);
        assert!(!line.contains(['\u{1b}', '\u{202e}']), "{line:?}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["message"], "request done");
        assert_eq!(value["level"], "INFO");
        assert_eq!(value["shown"], "a\"b\\\n\u{1b}[31m\u{202e}");
        assert_eq!(value["word"], "a\"b\\\n\u{1b}[31m\u{202e}");
        assert_eq!(value["bytes"], 7);
        assert!(value["timestamp"].as_str().unwrap().ends_with('Z'));
    }
}
