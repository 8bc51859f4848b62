//! How near the process is to its limit of memory, looked at every 100 ms, so that requests are refused before it is killed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Between two looks.
const INTERVAL: Duration = Duration::from_millis(100);
/// In percent of the limit: from here on; and under which it is over, so that it does not change with every look.
const SHORT: (u64, u64) = (90, 85);
const FULL: (u64, u64) = (97, 92);

/// How long it may be short before a few are let in again. By then all is given up that can be: what is left is in use, or the
/// allocator keeps it for requests to come, which then cost nothing, and make it give back the rest.
const FEW_AFTER: Duration = Duration::from_secs(1);

/// What the memory allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Enough,
    /// No new requests.
    Short,
    /// No new connections either.
    Full,
}

/// The memory of this process against a limit.
#[derive(Debug)]
pub struct Memory {
    level: AtomicU8,
    used: AtomicU64,
    /// 0: there is none.
    limit: AtomicU64,
    source: Mutex<Source>,
    /// Since when it is short.
    short_since: Mutex<Option<Instant>>,
}

/// Each limit is compared with what it limits.
#[derive(Debug)]
enum Source {
    /// A limit of the configuration: what this process holds.
    Process,
    /// The limit of the control group, by which the kernel kills: what the group holds, with the buffers of its sockets, which
    /// are not in the process, and without the file cache, which the kernel gives up by itself.
    Group { usage: PathBuf, stat: PathBuf, cache: &'static str },
    /// A figure for tests of what follows from it.
    Fixed,
}

impl Default for Memory {
    /// Without a limit.
    fn default() -> Self {
        Self {
            level: AtomicU8::new(Level::Enough as u8),
            used: AtomicU64::default(),
            limit: AtomicU64::default(),
            source: Mutex::new(Source::Process),
            short_since: Mutex::default(),
        }
    }
}

impl Memory {
    /// A limit from now on, in bytes; `None`: that of the control group, or none when it has none.
    pub fn limit_to(&self, most: Option<u64>) {
        let group = || group(&fs::read_to_string("/proc/self/cgroup").ok()?, Path::new("/sys/fs/cgroup"));
        let (source, limit) = match most {
            Some(limit) => (Source::Process, limit),
            None => group().unwrap_or((Source::Process, 0)),
        };
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = source;
        self.limit.store(limit, Relaxed);
    }

    /// Looks again and again, and has what can be spared given up as long as it is short: one go may not free all of it, and
    /// nobody else tidies up while requests are turned away. Never ends.
    pub async fn watch(self: Arc<Self>, give_up: impl Fn()) {
        loop {
            self.look();
            if self.level() > Level::Enough {
                give_up();
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// For tests: this much is used of this limit from now on.
    #[doc(hidden)]
    pub fn pretend(&self, used: u64, limit: u64) {
        *self.source.lock().unwrap_or_else(PoisonError::into_inner) = Source::Fixed;
        self.limit.store(limit, Relaxed);
        self.used.store(used, Relaxed);
        self.look();
    }

    pub fn level(&self) -> Level {
        match self.level.load(Relaxed) {
            0 => Level::Enough,
            1 => Level::Short,
            _ => Level::Full,
        }
    }

    /// Whether a few requests may be served though memory is short.
    pub fn allows_a_few(&self) -> bool {
        let since = self.short_since.lock().unwrap_or_else(PoisonError::into_inner);
        self.level() == Level::Short && since.is_some_and(|since| since.elapsed() >= FEW_AFTER)
    }

    /// What is used and the limit, in bytes; `None`: there is no limit.
    pub fn figures(&self) -> Option<(u64, u64)> {
        let limit = self.limit.load(Relaxed);
        (limit > 0).then(|| (self.used.load(Relaxed), limit))
    }

    /// Counts bytes that a request is about to hold, until the next look finds them: many requests that hold much would pass the limit
    /// between two looks.
    pub fn takes(&self, bytes: usize) {
        if self.limit.load(Relaxed) > 0 {
            self.used.fetch_add(bytes as u64, Relaxed);
            self.judge();
        }
    }

    fn look(&self) {
        if let Some(used) = self.source.lock().unwrap_or_else(PoisonError::into_inner).used() {
            self.used.store(used, Relaxed);
        }
        self.judge();
    }

    fn judge(&self) {
        let before = self.level();
        let level = self
            .figures()
            .map_or(Level::Enough, |(used, limit)| next(before, used.saturating_mul(100) / limit));
        // Several threads may find out at once; one says so.
        if self.level.swap(level as u8, Relaxed) == level as u8 {
            return;
        }
        let mut since = self.short_since.lock().unwrap_or_else(PoisonError::into_inner);
        *since = (level > Level::Enough).then(|| since.unwrap_or_else(Instant::now));
        drop(since);
        let (used, limit) = self.figures().unwrap_or_default();
        match level {
            Level::Enough => {
                tracing::info!(used, limit, "there is enough memory again: all requests are served");
            }
            Level::Short => {
                tracing::warn!(used, limit, "memory runs short: new requests get SlowDown, all but a few");
            }
            Level::Full => tracing::error!(used, limit, "memory is nearly full: no connections are accepted"),
        }
    }
}

fn next(before: Level, percent: u64) -> Level {
    let is = |(from, over): (u64, u64), level: Level| percent >= if before >= level { over } else { from };
    if is(FULL, Level::Full) {
        Level::Full
    } else if is(SHORT, Level::Short) {
        Level::Short
    } else {
        Level::Enough
    }
}

impl Source {
    /// `None`: it cannot be read, and the last figure stays.
    fn used(&self) -> Option<u64> {
        match self {
            Self::Process => {
                // In KiB; the pages of statm have another size on each machine.
                let status = fs::read_to_string("/proc/self/status").ok()?;
                let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
                resident.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
            }
            Self::Group { usage, stat, cache } => {
                let usage = number(usage)?;
                let stat = fs::read_to_string(stat).ok()?;
                let cache = stat.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse().ok());
                Some(usage.saturating_sub(cache.unwrap_or(0)))
            }
            Self::Fixed => None,
        }
    }
}

/// The lowest limit of the control group that `/proc/self/cgroup` names and of those around it.
fn group(own: &str, root: &Path) -> Option<(Source, u64)> {
    let of = |prefix: &str| own.lines().find_map(|line| line.strip_prefix(prefix));
    // Version 1 has a hierarchy for each controller.
    let first = own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == "memory").then_some(path)
    });
    let (base, path, [limit, usage], cache) = match first {
        Some(path) => {
            (root.join("memory"), path, ["memory.limit_in_bytes", "memory.usage_in_bytes"], "total_cache ")
        }
        None => (root.to_owned(), of("0::")?, ["memory.max", "memory.current"], "file "),
    };
    // Within a container the path may be that of the host, and the container's own group is the root that it sees.
    let within = path.trim_start_matches('/');
    let own = base.join(within);
    let own = if own.join(usage).exists() { own } else { base.clone() };
    let groups = own.ancestors().take_while(|folder| folder.starts_with(&base));
    let limited = groups.filter_map(|folder| Some((folder.to_owned(), number(&folder.join(limit))?)));
    let (folder, most) = limited.filter(|(_, most)| *most < UNLIMITED).min_by_key(|(_, most)| *most)?;
    let source = Source::Group { usage: folder.join(usage), stat: folder.join("memory.stat"), cache };
    Some((source, most))
}

/// Version 1 says no limit by a number that no machine has.
const UNLIMITED: u64 = 1 << 60;

fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_began_at_a_mark_ends_five_percent_below_it() {
        let mut level = Level::Enough;
        let path = [
            (89, Level::Enough),
            (90, Level::Short),
            (86, Level::Short),
            (84, Level::Enough),
            (89, Level::Enough),
            (96, Level::Short),
            (97, Level::Full),
            (93, Level::Full),
            (91, Level::Short),
            (96, Level::Short),
            (140, Level::Full),
            (10, Level::Enough),
        ];
        for (percent, wanted) in path {
            level = next(level, percent);
            assert_eq!(level, wanted, "{percent}");
        }
    }

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, content) in files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
    }

    #[test]
    fn the_lowest_limit_of_the_groups_around_counts_without_the_file_cache() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("pod/memory.max", "1000000\n"),
                ("pod/memory.current", "700000\n"),
                ("pod/memory.stat", "anon 300000\nfile 250000\nfile_mapped 7\n"),
                ("pod/one/memory.max", "max\n"),
                ("pod/one/memory.current", "1\n"),
            ],
        );
        let (source, limit) = group("0::/pod/one\n", root.path()).unwrap();
        assert_eq!((source.used(), limit), (Some(450_000), 1_000_000));
        // A path of the host: the group is what the container sees as the root.
        write(
            root.path(),
            &[("memory.max", "5000"), ("memory.current", "4000"), ("memory.stat", "file 0\n")],
        );
        let (source, limit) = group("0::/../../kubepods/x\n", root.path()).unwrap();
        assert_eq!((source.used(), limit), (Some(4000), 5000));
        write(root.path(), &[("memory.max", "max\n")]);
        assert!(group("0::/\n", root.path()).is_none());
    }

    #[test]
    fn version_1_is_read_too() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("memory/docker/a/memory.limit_in_bytes", "2000"),
                ("memory/docker/a/memory.usage_in_bytes", "1500"),
                ("memory/docker/a/memory.stat", "cache 1\ntotal_cache 500\n"),
                ("memory/memory.limit_in_bytes", "9223372036854771712"),
            ],
        );
        let own = "3:cpu,cpuacct:/docker/a\n2:memory:/docker/a\n0::/\n";
        let (source, limit) = group(own, root.path()).unwrap();
        assert_eq!((source.used(), limit), (Some(1000), 2000));
    }

    #[test]
    fn what_requests_take_between_two_looks_counts_at_once() {
        let memory = Memory::default();
        memory.takes(1 << 40);
        assert_eq!((memory.level(), memory.figures()), (Level::Enough, None));
        memory.pretend(80, 100);
        for (bytes, wanted) in [(9, Level::Enough), (1, Level::Short), (6, Level::Short), (1, Level::Full)] {
            memory.takes(bytes);
            assert_eq!(memory.level(), wanted, "{:?}", memory.figures());
        }
        memory.pretend(80, 100);
        assert_eq!(memory.level(), Level::Enough);
    }

    #[test]
    fn a_process_sees_its_own_memory_and_a_limit_that_is_taken_away_ends_everything() {
        let memory = Memory::default();
        memory.limit_to(Some(1 << 10));
        memory.look();
        assert_eq!(memory.level(), Level::Full);
        assert!(memory.figures().unwrap().0 > 1 << 20);
        memory.limit_to(Some(1 << 50));
        memory.look();
        assert_eq!(memory.level(), Level::Enough);
    }
}
