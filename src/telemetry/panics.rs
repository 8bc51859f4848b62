//! Panics: counted, logged by their place and without their message, which may hold whatever the code had in hand.

use std::{
    io::{self, Write as _},
    panic::{self, PanicHookInfo},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    thread,
};

/// Of the process, whatever thread and task they were in.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Every panic from now on is reported by [`report`] alone.
pub fn install() {
    panic::set_hook(Box::new(report));
}

/// One line of the log, or of standard error where there is no log.
pub fn report(info: &PanicHookInfo<'_>) {
    PANICS.fetch_add(1, Relaxed);
    let location = info.location().map_or_else(|| "somewhere".to_owned(), ToString::to_string);
    let thread = thread::current();
    let thread = thread.name().unwrap_or("-");
    if tracing::dispatcher::has_been_set() {
        tracing::error!(location, thread, "a defect of the gateway: it panicked");
    } else {
        // Not by a macro, which would panic when it cannot be written.
        let line = format!("daypass: a defect: it panicked at {location} in thread {thread}\n");
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// How many there were.
pub fn count() -> u64 {
    PANICS.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::telemetry::{line_layer::LineLayer, lines, log::Format};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const SECRET: &str = "a-secret-that-the-code-had-in-hand";

    #[test]
    fn a_panic_is_one_line_with_its_place_and_without_its_message() {
        // Other tests say what failed.
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() == Some(SECRET) { report(info) } else { before(info) }
        }));
        let sink = Sink::default();
        let (writer, guard) = lines::start(sink.clone());
        let subscriber = tracing_subscriber::registry().with(LineLayer::new(Format::Text, writer));
        let counted = count();
        tracing::subscriber::with_default(subscriber, || {
            let panicked = panic::catch_unwind(|| panic!("{SECRET}"));
            assert!(panicked.is_err());
        });
        drop(guard);
        assert_eq!(count(), counted + 1);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("ERROR") && text.contains("src/telemetry/panics.rs:"), "{text}");
        assert!(!text.contains(SECRET), "{text}");
    }
}
