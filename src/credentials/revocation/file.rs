//! The revocations of one gateway in a file: a line of JSON for each, added and synced before it is answered for.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::{
    entry::{Entry, EntryId},
    set::Set,
};
use crate::clock::Timestamp;

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Revoke(Entry),
    Lift(EntryId),
}

impl Line {
    pub(super) fn id(&self) -> EntryId {
        match self {
            Self::Revoke(entry) => entry.id,
            Self::Lift(id) => *id,
        }
    }
}

/// How many lines may say nothing any more before the file is written anew.
const SLACK: usize = 1000;

/// Why a file cannot be gone by.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{} cannot be read: {cause}", path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error("{}:{line}: is no revocation: {cause}; mend or remove the line", path.display())]
    Line { path: PathBuf, line: usize, cause: serde_json::Error },
}

impl State {
    /// A last line that broke off is what a power cut leaves; nobody was told that it holds.
    fn read(&mut self, path: &Path) -> Result<Set, FileError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(cause) => return Err(FileError::Read { path: path.to_owned(), cause }),
        };
        let mut set = Set::default();
        *self = Self { bytes: bytes.len() as u64, ..Self::default() };
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.lines += 1;
            if !line.ends_with(b"\n") {
                tracing::warn!(file = %path.display(), line = self.lines, "revocations: the last line broke off and was left out");
                self.must_rewrite = true;
                break;
            }
            match serde_json::from_slice(line) {
                Ok(line) => set.take_in(line),
                Err(cause) => {
                    return Err(FileError::Line { path: path.to_owned(), line: self.lines, cause });
                }
            }
        }
        Ok(set)
    }
}

/// The file. It is made by the first revocation, and one gateway alone writes it.
#[derive(Debug)]
pub(super) struct FileStore {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Opened and locked by the first change.
    file: Option<File>,
    lines: usize,
    /// How long it was when it was read.
    bytes: u64,
    /// A line without its end, which the next one must not be joined to.
    must_rewrite: bool,
}

impl FileStore {
    /// Reads what is there.
    pub(super) fn open(path: PathBuf) -> Result<(Self, Set), FileError> {
        let mut state = State::default();
        let set = state.read(&path)?;
        Ok((Self { path, state: Mutex::new(state) }, set))
    }

    /// Makes the file this gateway's own, which it stays; what somebody else has added since it was read.
    pub(super) fn take(&self) -> io::Result<Option<Set>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.file.is_some() {
            return Ok(None);
        }
        let taken = self.try_take(&mut state);
        // What is in memory is not what is in the file.
        state.must_rewrite |= !matches!(taken, Ok(None));
        taken
    }

    fn try_take(&self, state: &mut State) -> io::Result<Option<Set>> {
        let file = locked(open(&self.path, false)?)?;
        let others = file.metadata()?.len() != state.bytes;
        let set = others.then(|| state.read(&self.path)).transpose().map_err(io::Error::other)?;
        state.file = Some(file);
        Ok(set)
    }

    /// Adds a line; `after`: what the file must hold in all. When this returns, the disk has it.
    pub(super) fn write(&self, line: &Line, after: &Set, now: Timestamp) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.try_write(&mut state, line, after, now);
        // What a failed write left behind is not known.
        state.must_rewrite = written.is_err();
        written
    }

    fn try_write(&self, state: &mut State, line: &Line, after: &Set, now: Timestamp) -> io::Result<()> {
        if state.must_rewrite || state.lines > 2 * after.len() + SLACK {
            return self.rewrite(state, after, now);
        }
        let Some(file) = &mut state.file else { return Err(io::Error::other("the file is not open")) };
        file.write_all(&bytes_of(line)?)?;
        file.sync_data()?;
        if state.lines == 0 {
            sync_folder(&self.path)?;
        }
        state.lines += 1;
        Ok(())
    }

    /// Writes the file anew beside itself and puts it in its place.
    fn rewrite(&self, state: &mut State, after: &Set, now: Timestamp) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = self.path.with_file_name(name);
        let mut file = locked(open(&beside, true)?)?;
        let mut bytes = Vec::new();
        let mut lines = 0;
        for entry in after.entries().filter(|entry| !entry.is_over(now)) {
            bytes.extend(bytes_of(&Line::Revoke(Entry::clone(entry)))?);
            lines += 1;
        }
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        sync_folder(&self.path)?;
        *state = State { file: Some(file), lines, ..State::default() };
        Ok(())
    }
}

fn bytes_of(line: &Line) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn open(path: &Path, anew: bool) -> io::Result<File> {
    OpenOptions::new().create(true).append(!anew).write(true).truncate(anew).mode(0o600).open(path)
}

fn locked(file: File) -> io::Result<File> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another gateway writes it")),
        Err(TryLockError::Error(cause)) => Err(cause),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
