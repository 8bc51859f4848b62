//! What the system says of this process. Linux alone says it here.

use std::{fs, str::FromStr, time::Duration};

/// A tick of `/proc` is 1/100 s on every Linux.
const TICK: Duration = Duration::from_millis(10);
/// Fields of `/proc/self/stat` after the name of the program, by their numbers in proc(5) less 3.
const UTIME: usize = 11;
const STIME: usize = 12;
const STARTTIME: usize = 19;

#[derive(Debug)]
pub(super) struct Process {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) open_fds: u64,
    pub(super) max_fds: u64,
    /// In Unix time.
    pub(super) started_at: u64,
}

impl Process {
    pub(super) fn look() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name may hold blanks and brackets.
        let (_, fields) = stat.rsplit_once(") ")?;
        let ticks = |field: usize| fields.split(' ').nth(field)?.parse::<u32>().ok();
        let cpu = TICK.saturating_mul(ticks(UTIME)?.saturating_add(ticks(STIME)?));
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let limits = fs::read_to_string("/proc/self/limits").ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        let booted: u64 = after(&system, "btime")?;
        Some(Self {
            cpu_seconds: cpu.as_secs_f64(),
            resident_bytes: after::<u64>(&status, "VmRSS:")?.saturating_mul(1024),
            virtual_bytes: after::<u64>(&status, "VmSize:")?.saturating_mul(1024),
            open_fds: u64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
            max_fds: after(&limits, "Max open files").unwrap_or(u64::MAX),
            started_at: booted.saturating_add(TICK.saturating_mul(ticks(STARTTIME)?).as_secs()),
        })
    }
}

/// The first word after the name of a line.
fn after<T: FromStr>(text: &str, name: &str) -> Option<T> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}
