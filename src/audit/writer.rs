//! The one thread that makes lines of entries, chains them and writes them.

use std::{
    io::Write as _,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::rand::SystemRandom;
use tokio::sync::oneshot;

use super::{
    AUDIT_LOSS, AUDIT_SUMMARY, Destination, Settings, TrailError,
    chain::Chain,
    collector::Collector,
    entry::{Entry, Message},
    event_id::EventIds,
    file::{FileSink, Found},
    json::Json,
    line,
    queue::Place,
    unproven::{Gathered, Unproven},
};
use crate::{clock::Clock, telemetry::metrics::AuditSeen};

/// How often a file is looked after that nothing is written to.
const LOOK: Duration = Duration::from_secs(1);
/// Nobody waits for a line without `strict`: lines gather, and whoever adds one need not wake the thread.
const GATHER: Duration = Duration::from_millis(5);
/// How many lines are written together at the most, but for those of one request.
const MOST_TOGETHER: usize = 1000;
/// How often a loss that goes on is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// What could not be recorded, until the chain and the log have said so.
#[derive(Debug)]
pub(super) struct Losses {
    seen: Arc<AuditSeen>,
    untold: AtomicU64,
    unlogged: AtomicU64,
    started: Instant,
    /// In seconds since the start, and one more; 0: never.
    logged: AtomicU64,
    /// When the gateway stops: until when what waits may be written.
    pub(super) deadline: OnceLock<Instant>,
}

impl Losses {
    pub(super) fn new(seen: Arc<AuditSeen>) -> Self {
        Self {
            seen,
            untold: AtomicU64::new(0),
            unlogged: AtomicU64::new(0),
            started: Instant::now(),
            logged: AtomicU64::new(0),
            deadline: OnceLock::new(),
        }
    }

    pub(super) fn lose(&self, lines: usize, why: &str) {
        let lines = lines as u64;
        self.seen.lost(lines);
        self.untold.fetch_add(lines, Relaxed);
        self.unlogged.fetch_add(lines, Relaxed);
        self.log(why);
    }

    /// At once, and then not more often than each minute.
    fn log(&self, why: &str) {
        let now = self.started.elapsed().as_secs() + 1;
        let last = self.logged.load(Relaxed);
        let is_time = last == 0 || now >= last + LOG_EVERY.as_secs();
        if is_time && self.logged.compare_exchange(last, now, Relaxed, Relaxed).is_ok() {
            let count = self.unlogged.swap(0, Relaxed);
            if count > 0 {
                tracing::error!(lost = count, "decisions are not in the audit log: {why}");
            }
        }
    }

    fn log_the_rest(&self) {
        if self.unlogged.load(Relaxed) > 0 {
            self.log("they were lost within the last minute");
        }
    }
}

#[derive(Debug)]
enum Sink {
    File(FileSink),
    Stdout,
    Collector(Box<Collector>),
}

/// What the log says of itself.
#[derive(Debug)]
enum Note {
    Start,
    Resume,
    Repair { bytes: u64, kept_in: String },
    Stop,
}

pub(super) struct Writer {
    sink: Sink,
    strict: bool,
    clock: Arc<dyn Clock>,
    seen: Arc<AuditSeen>,
    losses: Arc<Losses>,
    unproven: Arc<Unproven>,
    event_ids: EventIds,
    chain: Chain,
    notes: Vec<Note>,
    buffer: Vec<u8>,
    failing: bool,
    ended: bool,
}

/// Entries with their places in the queue and those who wait for them.
type Group = Vec<(Box<Entry>, Place, Option<oneshot::Sender<bool>>)>;
/// What the buffer keeps between groups, in bytes.
const BUFFER: usize = 1024 * 1024;

impl Writer {
    pub(super) fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        seen: Arc<AuditSeen>,
        losses: Arc<Losses>,
        unproven: Arc<Unproven>,
    ) -> Result<Self, TrailError> {
        let random = SystemRandom::new();
        let mut chain = Chain::begin(&random).map_err(|_| TrailError::Random)?;
        let mut notes = Vec::new();
        let sink = match settings.destination {
            Destination::File(path) => {
                let (sink, Found { chain: found, broken_off }) = FileSink::open(path, settings.sync)?;
                notes.push(if found.is_some() { Note::Resume } else { Note::Start });
                chain = found.unwrap_or(chain);
                notes.extend(broken_off.map(|(bytes, kept_in)| Note::Repair { bytes, kept_in }));
                Sink::File(sink)
            }
            Destination::Stdout => Sink::Stdout,
            Destination::Collector(settings) => {
                let collector = Collector::new(*settings).map_err(TrailError::Collector)?;
                Sink::Collector(Box::new(collector))
            }
        };
        if notes.is_empty() {
            notes.push(Note::Start);
        }
        let strict = settings.strict;
        let buffer = Vec::new();
        Ok(Self {
            sink,
            strict,
            clock,
            seen,
            losses,
            unproven,
            event_ids: EventIds::new(random),
            chain,
            notes,
            buffer,
            failing: false,
            ended: false,
        })
    }

    /// Until nobody can send any more, and everything that was sent is written.
    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        self.write(Vec::new());
        while !self.ended {
            match messages.recv_timeout(LOOK) {
                Ok(first) => self.take(first, messages),
                Err(RecvTimeoutError::Timeout) => self.look(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if !self.strict && self.seen.queued() < MOST_TOGETHER {
                std::thread::sleep(GATHER);
            }
        }
        self.ended = true;
        self.write(Vec::new());
        self.notes.push(Note::Stop);
        self.write(Vec::new());
        self.losses.log_the_rest();
    }

    fn take(&mut self, first: Message, messages: &Receiver<Message>) {
        let mut group = Group::new();
        let mut lines = 0;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Reopen => self.reopen(),
                Message::Close => self.ended = true,
                // Also when nobody waits for it any more: the request was there.
                Message::Entry(entry, place, done) => {
                    lines += entry.lines();
                    group.push((entry, place, done));
                }
            }
            next = if lines < MOST_TOGETHER || self.ended { messages.try_recv().ok() } else { None };
        }
        self.write(group);
    }

    /// While nothing comes.
    fn look(&mut self) {
        let is_gone = matches!(&self.sink, Sink::File(file) if file.is_gone());
        let untold = self.losses.untold.load(Relaxed) > 0 || self.unproven.waits();
        if is_gone || untold || !self.notes.is_empty() {
            self.write(Vec::new());
        }
        self.losses.log_the_rest();
    }

    fn reopen(&mut self) {
        let Sink::File(file) = &mut self.sink else { return };
        match file.reopen() {
            Ok(Found { chain, broken_off }) => {
                // Lines that were written before a failure could be taken back.
                let ahead =
                    chain.filter(|found| found.id == self.chain.id && found.sequence > self.chain.sequence);
                self.chain = ahead.unwrap_or_else(|| self.chain.clone());
                self.notes.extend(broken_off.map(|(bytes, kept_in)| Note::Repair { bytes, kept_in }));
            }
            Err(cause) => self.failed(&cause),
        }
    }

    fn failed(&mut self, cause: &dyn std::fmt::Display) {
        self.seen.failed();
        if !self.failing {
            tracing::error!("the audit log: {cause}");
        }
        self.failing = true;
    }

    /// Writes a group, and what the log has to say of itself, all or nothing.
    fn write(&mut self, group: Group) {
        if matches!(&self.sink, Sink::File(file) if file.is_gone()) {
            self.reopen();
        }
        let untold = self.losses.untold.load(Relaxed);
        let gathered = self.unproven.take(self.ended);
        let mut written = self.try_write(&group, untold, &gathered);
        if written.is_err() && matches!(&self.sink, Sink::File(_)) {
            self.reopen();
            written = self.try_write(&group, untold, &gathered);
        }
        let counted: u64 = gathered.values().sum();
        match &written {
            Ok(()) => {
                self.losses.untold.fetch_sub(untold, Relaxed);
                self.notes.clear();
                for decided in group.iter().flat_map(|(entry, ..)| entry.all()) {
                    self.seen.recorded(decided.allow);
                }
                self.seen.counted(counted);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the audit log is written again");
                }
            }
            Err(cause) => {
                self.failed(cause);
                let lines: usize = group.iter().map(|(entry, ..)| entry.lines()).sum();
                let lost = lines.saturating_add(usize::try_from(counted).unwrap_or(usize::MAX));
                if lost > 0 {
                    self.losses.lose(lost, cause);
                }
            }
        }
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER);
        for (_, place, done) in group {
            drop(place);
            if let Some(done) = done {
                // Whoever waited may be gone.
                let _ = done.send(written.is_ok());
            }
        }
    }

    fn try_write(&mut self, group: &Group, untold: u64, gathered: &Gathered) -> Result<(), String> {
        let before = self.chain.clone();
        self.buffer.clear();
        let now = self.clock.now();
        for note in &self.notes {
            let id = self.event_ids.next();
            self.chain.append(&mut self.buffer, |json| note.members(json, now, &id));
        }
        if untold > 0 {
            let id = self.event_ids.next();
            self.chain.append(&mut self.buffer, |json| {
                own(json, now, &id, AUDIT_LOSS, |json| json.number("lostEvents", untold));
            });
        }
        if !gathered.is_empty() {
            let id = self.event_ids.next();
            self.chain.append(&mut self.buffer, |json| {
                own(json, now, &id, AUDIT_SUMMARY, |json| summary(json, gathered));
            });
        }
        for (entry, ..) in group {
            for decided in entry.all() {
                let id = self.event_ids.next();
                self.chain.append(&mut self.buffer, |json| line::decision(json, &id, entry, decided));
            }
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = match &mut self.sink {
            Sink::File(file) => file.write(&self.buffer).map_err(|cause| cause.to_string()),
            Sink::Stdout => {
                let mut to = std::io::stdout().lock();
                to.write_all(&self.buffer)
                    .and_then(|()| to.flush())
                    .map_err(|cause| format!("standard output: {cause}"))
            }
            Sink::Collector(collector) => {
                let failed = |cause: &str| {
                    self.seen.failed();
                    self.losses.log_the_rest();
                    tracing::error!("the audit log: {cause}");
                };
                collector.deliver(&self.buffer, &self.losses.deadline, failed)
            }
        };
        if written.is_err() {
            self.chain = before;
        }
        written
    }
}

impl Note {
    fn members(&self, json: &mut Json<'_>, now: crate::clock::Timestamp, id: &str) {
        let version = |json: &mut Json<'_>| json.string("version", env!("CARGO_PKG_VERSION"));
        match self {
            Self::Start => own(json, now, id, "AuditStart", version),
            Self::Resume => own(json, now, id, "AuditResume", version),
            Self::Stop => own(json, now, id, "AuditStop", |_| {}),
            Self::Repair { bytes, kept_in } => own(json, now, id, "AuditRepair", |json| {
                json.number("brokenOffBytes", *bytes);
                json.string("keptIn", kept_in);
            }),
        }
    }
}

fn summary(json: &mut Json<'_>, gathered: &Gathered) {
    json.string("decision", "deny");
    json.number("gatheredEvents", gathered.values().sum());
    json.object("errorCodes", |json| {
        for (code, count) in gathered {
            json.number(code, *count);
        }
    });
}

/// A line that is about the log itself.
fn own(
    json: &mut Json<'_>,
    now: crate::clock::Timestamp,
    id: &str,
    name: &str,
    more: impl FnOnce(&mut Json<'_>),
) {
    line::head(json, now, id, "daypass", name);
    json.string("eventType", "AwsServiceEvent");
    json.string("eventCategory", "Management");
    json.object("additionalEventData", more);
}
