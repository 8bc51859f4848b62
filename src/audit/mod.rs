//! The audit log: one line for each decision, written before the answer begins and before the storage hears of anything.
//!
//! A request fills an [`Entry`] and hands it to the [`Trail`]; one thread makes lines of entries, chains them and writes them.
//! What the trail gives back, [`Recorded`], is what the way to the storage asks for.

mod chain;
mod collector;
mod entry;
mod event_id;
mod file;
mod json;
mod line;
mod queue;
mod unproven;
mod verify;
mod writer;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

pub use self::{
    collector::CollectorSettings,
    entry::{Answered, CLIENT_GONE, Decided, Entry, Method, Resource, Service, Who},
    file::FileError,
    verify::{Broken, Report, verify},
};
use self::{
    entry::Message,
    queue::{Place, Queue},
    unproven::Unproven,
    writer::Losses,
};
use crate::{clock::Clock, telemetry::metrics::AuditSeen};

/// The event that says how many could not be recorded.
const AUDIT_LOSS: &str = "AuditLoss";
/// The event that counts refused requests of nobody proven.
const AUDIT_SUMMARY: &str = "AuditSummary";
/// What the writer needs to end by itself when the time to close is over, and how often it is looked whether it did.
const GRACE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(5);

/// Where lines go.
#[derive(Debug, Clone)]
pub enum Destination {
    File(PathBuf),
    Stdout,
    Collector(Box<CollectorSettings>),
}

/// How decisions are recorded.
#[derive(Debug, Clone)]
pub struct Settings {
    pub destination: Destination,
    /// A request waits until its lines are written, and is refused when they cannot be.
    pub strict: bool,
    /// How many lines may wait to be written; of requests of many lines half as many beside them, at least 1,000.
    pub queue: usize,
    /// How many refused requests of nobody proven have a line of their own each second; more are counted in one.
    pub unproven_per_second: usize,
    /// A line counts as written once it is on the disk.
    pub sync: bool,
    /// How long a request waits for its lines, with `strict`; how long closing takes at the most, about.
    pub timeout: Duration,
}

/// Proof that a decision is recorded as the configuration wants it. Only a [`Trail`] makes one.
#[derive(Debug)]
pub struct Recorded(());

/// With `strict`: it could not be recorded.
#[derive(Debug, thiserror::Error)]
#[error("the decision could not be recorded in the audit log")]
pub struct Unrecorded;

/// Why there is no trail.
#[derive(Debug, thiserror::Error)]
pub enum TrailError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}")]
    Collector(String),
    #[error("the system gives no random numbers")]
    Random,
    #[error("its thread cannot start: {0}")]
    Thread(#[from] std::io::Error),
}

/// Where decisions are recorded; one for the life of the process.
#[derive(Debug)]
pub struct Trail(Option<Running>);

#[derive(Debug)]
struct Running {
    strict: bool,
    timeout: Duration,
    queue: Arc<Queue>,
    unproven: Arc<Unproven>,
    losses: Arc<Losses>,
    messages: Sender<Message>,
    writing: Mutex<Option<JoinHandle<()>>>,
}

impl Trail {
    /// Records nothing, and says of everything that it is recorded as it should be.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the destination and starts the thread.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>, seen: Arc<AuditSeen>) -> Result<Self, TrailError> {
        let losses = Arc::new(Losses::new(seen.clone()));
        let (strict, timeout) = (settings.strict, settings.timeout);
        let queue = Arc::new(Queue::new(settings.queue, seen.clone()));
        let unproven = Arc::new(Unproven::new(settings.unproven_per_second));
        let writer = writer::Writer::open(settings, clock, seen, losses.clone(), unproven.clone())?;
        let (sender, receiver): (_, Receiver<Message>) = channel();
        let run = move || writer.run(&receiver);
        let writing = thread::Builder::new().name("daypass-audit".to_owned()).spawn(run)?;
        Ok(Self(Some(Running {
            strict,
            timeout,
            queue,
            unproven,
            losses,
            messages: sender,
            writing: Mutex::new(Some(writing)),
        })))
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Records what was decided about one request. `None`: it was recorded before, which must not be taken for this time.
    pub async fn record(&self, entry: Option<Box<Entry>>) -> Result<Recorded, Unrecorded> {
        let Some(running) = &self.0 else { return Ok(Recorded(())) };
        let mut entry = entry.ok_or(Unrecorded)?;
        entry.cut();
        if running.counts_only(&entry) {
            return Ok(Recorded(()));
        }
        let place = running.queue.enter(&entry);
        if !running.strict {
            if place.is_none() && entry.has_many_lines() {
                // Rare.
                Box::pin(running.wait(entry)).await;
            } else {
                running.submit(entry, place, None);
            }
            return Ok(Recorded(()));
        }
        let (done, written) = oneshot::channel();
        if !running.submit(entry, place, Some(done)) {
            return Err(Unrecorded);
        }
        // Rarely asked for, so it does not make the future of every request larger.
        match Box::pin(tokio::time::timeout(running.timeout, written)).await {
            Ok(Ok(true)) => Ok(Recorded(())),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(Unrecorded),
        }
    }

    /// Records what was never decided, because its client went away: nobody waits for it.
    pub fn record_gone(&self, mut entry: Box<Entry>) {
        if let Some(running) = &self.0 {
            entry.cut();
            running.submit_gone(entry);
        }
    }

    /// Leaves the file for the one that has its name now.
    pub fn reopen(&self) {
        if let Some(running) = &self.0 {
            running.send(Message::Reopen);
        }
    }

    /// Writes what waits, and ends. Blocks until then, not longer than the timeout and a moment.
    pub fn close(&self) {
        let Some(running) = &self.0 else { return };
        let deadline = *running.losses.deadline.get_or_init(|| Instant::now() + running.timeout);
        running.send(Message::Close);
        let writing = running.writing.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(writing) = writing else { return };
        while !writing.is_finished() && Instant::now() < deadline + GRACE {
            thread::sleep(LOOK);
        }
        if writing.is_finished() {
            // A panic of the writer has nothing more to write.
            let _ = writing.join();
        } else {
            // A pipe that nobody reads, or a disk that does not answer.
            let lines = running.queue.waiting();
            running.losses.lose(lines, "the destination takes nothing");
            tracing::error!(lines, "stopping, although the destination of the audit log takes nothing");
        }
    }
}

impl Running {
    /// Whether it is in the queue.
    fn submit(&self, entry: Box<Entry>, place: Option<Place>, done: Option<oneshot::Sender<bool>>) -> bool {
        let lines = entry.lines();
        let Some(place) = place else {
            self.losses.lose(lines, "the queue is full");
            return false;
        };
        let sent = self.send(Message::Entry(entry, place, done));
        if !sent {
            self.losses.lose(lines, "the audit log is closed");
        }
        sent
    }

    fn submit_gone(&self, entry: Box<Entry>) {
        if !self.counts_only(&entry) {
            let place = self.queue.enter(&entry);
            self.submit(entry, place, None);
        }
    }

    /// Whether it is one of too many of nobody proven. It is counted then, and nobody waits for the line that does: the request
    /// is refused anyway.
    fn counts_only(&self, entry: &Entry) -> bool {
        let code = entry.decided.as_ref().map_or("", |decided| decided.error_code);
        entry.is_refused_stranger() && !self.unproven.has_line(code, self.queue.has_room_for_unproven())
    }

    /// Submits an entry of many lines once there is room, within the timeout.
    async fn wait(&self, entry: Box<Entry>) {
        let lines = entry.lines();
        let mut waiting = Waiting { running: self, entry: Some(entry) };
        let place = tokio::time::timeout(self.timeout, self.queue.wait(lines)).await;
        if let Some(entry) = waiting.entry.take() {
            self.submit(entry, place.ok().flatten(), None);
        }
    }

    fn send(&self, message: Message) -> bool {
        self.messages.send(message).is_ok()
    }
}

/// An entry whose request may be dropped before there is room for it.
struct Waiting<'r> {
    running: &'r Running,
    entry: Option<Box<Entry>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.running.submit_gone(entry.client_gone());
        }
    }
}

#[cfg(test)]
mod tests;
