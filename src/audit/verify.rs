//! `daypass audit verify`: whether the lines of one or several files are one chain, read as a stream.

use std::{
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read as _},
    path::Path,
};

use super::chain::{Line, NoLine};

/// A line that is longer is none: keys, names and headers are all bounded.
const MAX_LINE: u64 = 1024 * 1024;

/// What was found in files whose chain holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    pub lines: u64,
    /// How many chains begin or go on in these files, each with the sequence number of its first line here.
    pub chains: Vec<(String, u64)>,
    pub first_time: String,
    pub last_time: String,
    pub last_sequence: u64,
    /// To be compared with one that is kept elsewhere.
    pub last_hash: String,
    /// What the lines themselves say of events that could not be recorded: how often, and how many.
    pub losses: u64,
    pub lost_events: u64,
    /// Refused requests of nobody proven that have no line of their own, but are counted in one.
    pub gathered_events: u64,
}

/// The first place where the chain does not hold.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error("{file}: {cause}")]
    Unreadable { file: String, cause: std::io::Error },
    #[error("{file}:{line}: {what}")]
    Line { file: String, line: u64, what: String },
    #[error("{file}:{line}: the line is broken off: whoever wrote it was stopped, or is still writing")]
    BrokenOff { file: String, line: u64 },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lines:      {}", self.lines)?;
        writeln!(f, "first time: {}", self.first_time)?;
        writeln!(f, "last time:  {}", self.last_time)?;
        writeln!(f, "chains:     {}", self.chains.len())?;
        for (id, first) in &self.chains {
            let since = if *first == 1 {
                String::new()
            } else {
                " (what was before is not in these files)".to_owned()
            };
            writeln!(f, "            {id} from line {first}{since}")?;
        }
        writeln!(f, "gaps:       {} ({} events could not be recorded)", self.losses, self.lost_events)?;
        writeln!(f, "gathered:   {} requests of nobody proven, counted together", self.gathered_events)?;
        writeln!(f, "last line:  {}", self.last_sequence)?;
        writeln!(f, "last hash:  {}", self.last_hash)
    }
}

/// Reads files in their order: the oldest first.
pub fn verify<P: AsRef<Path>>(files: &[P]) -> Result<Report, Broken> {
    let mut report = Report::default();
    let mut before: Option<Line> = None;
    for file in files {
        let shown = file.as_ref().display().to_string();
        let unreadable = |cause| Broken::Unreadable { file: shown.clone(), cause };
        let mut reader = BufReader::with_capacity(256 * 1024, File::open(file).map_err(unreadable)?);
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let read = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut bytes).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            let broken = |what: String| Broken::Line { file: shown.clone(), line: number, what };
            let Some(text) = bytes.strip_suffix(b"\n") else {
                if bytes.len() as u64 == MAX_LINE {
                    return Err(broken(NoLine::Foreign.to_string()));
                }
                return Err(Broken::BrokenOff { file: shown, line: number });
            };
            let line = Line::read(text).map_err(|why| broken(why.to_string()))?;
            follows(before.as_ref(), &line).map_err(broken)?;
            report.count(before.as_ref(), &line);
            before = Some(line);
        }
    }
    Ok(report)
}

/// Whether a line is the one that comes after another.
fn follows(before: Option<&Line>, line: &Line) -> Result<(), String> {
    let begins = line.sequence == 1 && line.previous_hash.bytes().all(|byte| byte == b'0');
    let Some(before) = before else { return Ok(()) };
    let (last, found) = (before.sequence, line.sequence);
    if line.chain_id != before.chain_id {
        return if begins {
            Ok(())
        } else {
            Err(format!("line {found} of another chain stands after line {last}"))
        };
    }
    if found <= last {
        return Err(format!(
            "line {found} of the chain stands after line {last}: repeated, or in the wrong place"
        ));
    }
    if found - last > 1 {
        return Err(format!(
            "{} lines are missing: line {found} of the chain stands after line {last}",
            found - last - 1
        ));
    }
    if line.previous_hash != before.hash {
        return Err(format!("line {last} of the chain, before this one, is not the one that was written"));
    }
    Ok(())
}

impl Report {
    fn count(&mut self, before: Option<&Line>, line: &Line) {
        if before.is_none_or(|before| before.chain_id != line.chain_id) {
            self.chains.push((line.chain_id.clone(), line.sequence));
        }
        if self.lines == 0 {
            self.first_time.clone_from(&line.event_time);
        }
        self.lines += 1;
        self.last_time.clone_from(&line.event_time);
        self.last_sequence = line.sequence;
        self.last_hash.clone_from(&line.hash);
        if line.event_name == super::AUDIT_SUMMARY {
            let gathered = line.additional_event_data.gathered_events;
            self.gathered_events = self.gathered_events.saturating_add(gathered);
        }
        if line.event_name == super::AUDIT_LOSS {
            self.losses += 1;
            self.lost_events = self.lost_events.saturating_add(line.additional_event_data.lost_events);
        }
    }
}
