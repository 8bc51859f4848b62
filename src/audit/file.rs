//! Lines in a file that is only added to, and that others may move away.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::chain::{Chain, Line};

/// No line is longer.
const MAX_LINE: u64 = 1024 * 1024;

/// Why a file cannot be written on.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{file} cannot be opened: {cause}")]
    Open { file: String, cause: io::Error },
    #[error("{file} is written by another process")]
    Taken { file: String },
    #[error("{file} ends with a line that is not of an audit log; move it away")]
    Foreign { file: String },
    #[error("{file} cannot be written: {cause}")]
    Write { file: String, cause: io::Error },
}

/// What came with a file that is opened.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The chain of the last whole line.
    pub(super) chain: Option<Chain>,
    /// A line at the end that was broken off: its length and where it is kept now.
    pub(super) broken_off: Option<(u64, String)>,
}

#[derive(Debug)]
pub(super) struct FileSink {
    path: PathBuf,
    sync: bool,
    /// `None`: it could not be opened, or not be written on.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Who it is, to see whether it is still the one under its name; `None`: not a file, as a device or a pipe.
    identity: Option<(u64, u64)>,
    /// Up to the end of the last line.
    length: u64,
}

impl FileSink {
    /// Opens it and reads where its chain stands.
    pub(super) fn open(path: PathBuf, sync: bool) -> Result<(Self, Found), FileError> {
        let mut sink = Self { path, sync, open: None };
        let found = sink.reopen()?;
        Ok((sink, found))
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// Whether the file was moved, removed or emptied by others since, or is not open at all.
    pub(super) fn is_gone(&self) -> bool {
        let Some(open) = &self.open else { return true };
        let Some(identity) = open.identity else { return false };
        let now = fs::metadata(&self.path).ok();
        now.is_none_or(|now| (now.dev(), now.ino()) != identity || now.len() < open.length)
    }

    /// Leaves the file that is open for the one that has its name now; makes it with mode 600.
    pub(super) fn reopen(&mut self) -> Result<Found, FileError> {
        self.open = None;
        let failed = |cause| FileError::Open { file: self.shown(), cause };
        let options = || {
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600);
            options
        };
        let is_device = fs::metadata(&self.path).is_ok_and(|metadata| !metadata.is_file());
        let mut file = options().read(!is_device).open(&self.path).map_err(failed)?;
        if is_device {
            self.open = Some(Open { file, identity: None, length: 0 });
            return Ok(Found::default());
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FileError::Taken { file: self.shown() }),
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
        }
        let metadata = file.metadata().map_err(failed)?;
        let (last, ends) = last_line(&mut file, metadata.len()).map_err(failed)?;
        let chain = match last {
            None => None,
            Some(bytes) => {
                // Nothing can come after the greatest number, and no log of ours has it.
                let line = Line::read(&bytes).ok().filter(|line| line.sequence < u64::MAX);
                Some(line.ok_or_else(|| FileError::Foreign { file: self.shown() })?.chain())
            }
        };
        let mut broken_off = None;
        if ends < metadata.len() {
            let kept = self.set_aside(&mut file, ends, chain.as_ref()).map_err(failed)?;
            file.set_len(ends).map_err(failed)?;
            broken_off = Some((metadata.len() - ends, kept));
        }
        let identity = Some((metadata.dev(), metadata.ino()));
        self.open = Some(Open { file, identity, length: ends });
        Ok(Found { chain, broken_off })
    }

    /// Keeps what stands after the last whole line in a file of its own.
    fn set_aside(&self, file: &mut File, from: u64, chain: Option<&Chain>) -> io::Result<String> {
        let sequence = chain.map_or(0, |chain| chain.sequence);
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".broken-after-{sequence}"));
        let aside = Path::new(&name);
        file.seek(SeekFrom::Start(from))?;
        let mut to = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(aside)?;
        io::copy(file, &mut to)?;
        to.sync_all()?;
        Ok(aside.file_name().unwrap_or_default().to_string_lossy().into_owned())
    }

    /// Writes whole lines, all or none of them.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), FileError> {
        let shown = self.shown();
        let failed = |cause| FileError::Write { file: shown.clone(), cause };
        let Some(open) = &mut self.open else { return Err(failed(io::ErrorKind::NotConnected.into())) };
        let mut written = open.file.write_all(lines);
        if written.is_ok() && self.sync && open.identity.is_some() {
            written = open.file.sync_data();
        }
        match written {
            Ok(()) => {
                open.length += lines.len() as u64;
                Ok(())
            }
            Err(cause) => {
                // Half of a line must not stand before the next one. Where it cannot be taken back, opening it again sets it aside.
                if open.identity.is_some() && open.file.set_len(open.length).is_err() {
                    self.open = None;
                }
                Err(failed(cause))
            }
        }
    }
}

/// The last whole line without its line break, and where it ends.
fn last_line(file: &mut File, length: u64) -> io::Result<(Option<Vec<u8>>, u64)> {
    let from = length.saturating_sub(2 * MAX_LINE);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(2 * MAX_LINE).read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        // Not even the longest line is so long.
        return if from == 0 { Ok((None, 0)) } else { Err(io::ErrorKind::InvalidData.into()) };
    };
    let lines = tail.get(..end).unwrap_or_default();
    let begin = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok((lines.get(begin..).map(<[u8]>::to_vec), from + end as u64 + 1))
}
