//! The program itself as a process: what only it does, such as taking signals and ending with a code.

use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
    time::Duration,
};

use daypass::clock::{Clock as _, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

use super::{Backend, Builder, Call, Keys, Reply, call, keys_of};

/// `daypass serve` before a recording backend; its time is the system's.
pub struct Program {
    child: Child,
    address: SocketAddr,
    out: Output,
    log: Output,
    backend: Backend,
    folder: tempfile::TempDir,
}

impl Builder {
    /// Starts the program and waits until it serves.
    pub async fn spawn(self) -> Program {
        self.spawn_by("exec \"$0\" \"$@\"").await
    }

    /// By lines of a shell that end in `exec "$0" "$@"`.
    pub async fn spawn_by(self, shell: &str) -> Program {
        let backend = Backend::start().await;
        let endpoint = format!("endpoint = \"http://{}\"", backend.address());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daypass.toml");
        std::fs::write(&file, self.text(&endpoint)).unwrap();
        for (name, content) in &self.files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let mut command = Command::new("sh");
        command.args(["-c", shell, env!("CARGO_BIN_EXE_daypass"), "serve", "--config"]).arg(&file);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = Output::of(child.stdout.take().unwrap());
        let log = Output::of(child.stderr.take().unwrap());
        let serving = log.line_with("serving").await;
        let (_, address) = serving.split_once("address=").unwrap();
        let address = address.split_whitespace().next().unwrap().parse().unwrap();
        Program { child, address, out, log, backend, folder }
    }
}

impl Program {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it writes to standard error.
    pub fn log(&self) -> &Output {
        &self.log
    }

    /// What the system lets it have.
    pub fn limits(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/limits", self.child.id())).unwrap()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub async fn send(&self, keys: &Keys, call: Call) -> Reply {
        call.at(SystemClock.now()).sign(keys, self.address).send(self.address).await
    }

    /// Temporary keys of alice.
    pub async fn session(&self) -> Keys {
        let call = call("POST", "/")
            .service("sts")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("Action=GetSessionToken&Version=2011-06-15");
        let reply =
            self.send(&Keys::long_term("ALICEACCESSKEY000001", "alice-secret-alice-secret"), call).await;
        reply.is_ok();
        keys_of(&reply)
    }

    /// Waits until it has ended; gives its code, what it wrote, its log, and its folder, which lasts as long as the value.
    pub async fn ended(mut self) -> Ended {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                let (out, log) = (self.out.whole(), self.log.whole());
                let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
                return Ended { status, out, log, folder };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not end: {}", self.log.text());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is left of the program.
pub struct Ended {
    pub status: ExitStatus,
    pub out: String,
    pub log: String,
    pub folder: tempfile::TempDir,
}

/// What the program writes, line by line.
pub struct Output {
    text: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
}

impl Output {
    fn of(from: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let into = text.clone();
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                let line = line.unwrap();
                into.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Self { text, reading: Some(reading) }
    }

    pub fn text(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn whole(&mut self) -> String {
        self.reading.take().unwrap().join().unwrap();
        self.text()
    }

    /// The first line that has these words, once it is there.
    pub async fn line_with(&self, words: &str) -> String {
        for _ in 0..600 {
            if let Some(line) = self.text().lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no line with {words:?}: {}", self.text());
    }
}
