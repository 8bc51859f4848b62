//! Log lines on their way to standard error: gathered by whoever logs, written by a thread of their own.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long lines are gathered before they are written together.
const GATHER: Duration = Duration::from_millis(20);
/// What may wait; beyond it whoever logs waits too, and no line is lost.
const MOST: usize = 4 * 1024 * 1024;

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    ended: bool,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Something came in, or went out.
    changed: Condvar,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'q>(&self, waiting: MutexGuard<'q, Waiting>) -> MutexGuard<'q, Waiting> {
        self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where lines go in.
#[derive(Debug, Clone)]
pub(super) struct LineWriter(Arc<Queue>);

/// The thread that writes. It writes what is left when this value goes.
#[derive(Debug)]
#[must_use = "lines that were not written yet go with it"]
pub struct Lines {
    queue: Arc<Queue>,
    writing: Option<JoinHandle<()>>,
}

/// Starts the thread.
pub(super) fn start(mut to: impl Write + Send + 'static) -> (LineWriter, Lines) {
    let queue = Arc::new(Queue::default());
    let shared = queue.clone();
    let writing = thread::Builder::new().name("daypass-log".to_owned()).spawn(move || {
        let mut batch = Vec::new();
        loop {
            let mut waiting = shared.lock();
            while waiting.bytes.is_empty() && !waiting.ended {
                waiting = shared.wait(waiting);
            }
            let ended = waiting.ended;
            drop(waiting);
            if !ended {
                thread::sleep(GATHER);
            }
            std::mem::swap(&mut batch, &mut shared.lock().bytes);
            shared.changed.notify_all();
            // Nobody is left to tell that standard error is gone.
            let _ = to.write_all(&batch).and_then(|()| to.flush());
            batch.clear();
            if ended {
                return;
            }
        }
    });
    (LineWriter(queue.clone()), Lines { queue, writing: writing.ok() })
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.queue.lock().ended = true;
        self.queue.changed.notify_all();
        if let Some(writing) = self.writing.take() {
            // A panic of the writer has nothing more to write.
            let _ = writing.join();
        }
    }
}

impl Write for LineWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock();
        while waiting.bytes.len() > MOST && !waiting.ended {
            waiting = self.0.wait(waiting);
        }
        let was_empty = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(bytes);
        drop(waiting);
        if was_empty {
            self.0.changed.notify_all();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn every_line_is_written_whole_and_the_last_ones_at_the_end() {
        let sink = Sink::default();
        let (writer, lines) = start(sink.clone());
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let mut writer = writer.clone();
                thread::spawn(move || {
                    for line in 0..1000 {
                        writer.write_all(format!("{thread} {line}\n").as_bytes()).unwrap();
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        drop(lines);
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 4000);
        for thread in 0..4 {
            let own: Vec<&str> =
                text.lines().filter(|line| line.starts_with(&format!("{thread} "))).collect();
            assert_eq!(own.len(), 1000);
            assert_eq!(own[999], format!("{thread} 999"));
        }
    }
}
