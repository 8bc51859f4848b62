use std::{fs, path::Path, sync::Arc, time::Instant};

use futures_util::FutureExt as _;

use super::*;
use crate::clock::{ManualClock, Timestamp};

fn settings(file: &Path) -> Settings {
    Settings {
        destination: Destination::File(file.to_owned()),
        strict: true,
        queue: 100_000,
        unproven_per_second: 100_000,
        sync: false,
        timeout: Duration::from_secs(5),
    }
}

fn open(settings: Settings) -> Result<Trail, TrailError> {
    Trail::open(settings, Arc::new(ManualClock::at(Timestamp::from_unix(1_795_435_200))), Arc::default())
}

fn entry(key: &str) -> Box<Entry> {
    Box::new(Entry {
        at: Timestamp::from_unix(1_795_435_200),
        service: Service::S3,
        operation: "GetObject",
        read_only: true,
        region: "us-east-1".into(),
        address: [203, 0, 113, 9].into(),
        user_agent: "aws-cli/2.17.0".to_owned(),
        request_id: 7,
        account: Arc::from("000000000000"),
        method: Some(Method::Header),
        tls: true,
        who: Who::Unknown { claimed: "AKIAIOSFODNN7EXAMPLE".to_owned() },
        parameters: Vec::new(),
        answered: None,
        decided: Some(Decided {
            action: "s3:GetObject".into(),
            resource: Resource::Object { bucket: "data".into(), key: key.into(), version_id: None },
            allow: true,
            error_code: "",
            error_message: "".into(),
            reason: String::new(),
        }),
        more: Vec::new(),
    })
}

/// A file of one chain: the start, lines for these keys, the stop.
async fn written(file: &Path, keys: &[&str]) {
    let trail = open(settings(file)).unwrap();
    for key in keys {
        trail.record(Some(entry(key))).await.unwrap();
    }
    trail.close();
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_changed_removed_moved_or_repeated_line_is_found_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    written(&file, &["a", "b", "c", "d"]).await;
    let whole = lines(&file);
    assert_eq!(verify(&[&file]).unwrap().lines, 6);
    let check = |lines: &[String]| {
        let other = folder.path().join("other.jsonl");
        fs::write(&other, lines.join("\n") + "\n").unwrap();
        verify(&[&other])
    };
    let found = |lines: &[String]| match check(lines) {
        Err(Broken::Line { line, what, .. }) => (line, what),
        other => panic!("{other:?}"),
    };
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] = changed[at].replacen("us-east-1", "us-east-2", 1).replacen("0.1.0", "0.1.1", 1);
        changed[at] = changed[at].replacen("AuditStop", "AuditStap", 1);
        assert_eq!(
            found(&changed),
            (at as u64 + 1, "its own hash is wrong: the line was changed".to_owned())
        );
    }
    for at in 1..whole.len() - 1 {
        let mut removed = whole.clone();
        removed.remove(at);
        let (line, what) = found(&removed);
        assert_eq!(line, at as u64 + 1);
        assert!(what.starts_with("1 lines are missing"), "{what}");
        let mut moved = whole.clone();
        moved.swap(at, at - 1);
        assert!(found(&moved).0 <= at as u64 + 1);
        let mut repeated = whole.clone();
        repeated.insert(at, whole[at - 1].clone());
        let (line, what) = found(&repeated);
        assert_eq!(line, at as u64 + 1);
        assert!(what.contains("repeated, or in the wrong place"), "{what}");
    }
    // A line made anew with a hash of its own is betrayed by the one after it.
    let mut forged = whole.clone();
    let mut chain = chain::Line::read(whole[1].as_bytes()).unwrap().chain();
    let mut buffer = Vec::new();
    chain.append(&mut buffer, |json| {
        line::head(json, Timestamp::from_unix(0), "", "s3.amazonaws.com", "GetObject");
    });
    forged[2] = String::from_utf8(buffer).unwrap().trim_end().to_owned();
    assert_eq!(
        found(&forged),
        (4, "line 3 of the chain, before this one, is not the one that was written".to_owned())
    );
    assert!(found(&[whole.clone(), vec!["{}".to_owned()]].concat()).1.contains("no line of an audit log"));
    // What a chain cannot show: the end is cut off. The last hash is another then.
    let cut = check(&whole[..4]).unwrap();
    assert_ne!(cut.last_hash, verify(&[&file]).unwrap().last_hash);
    // The beginning is in a file that was not given.
    assert_eq!(check(&whole[3..]).unwrap().chains[0].1, 4);
}

#[tokio::test]
async fn an_end_that_was_broken_off_is_told_apart_kept_and_said_in_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    written(&file, &["a"]).await;
    let half = "{\"chainID\":\"half of a li";
    fs::write(&file, format!("{}{half}", fs::read_to_string(&file).unwrap())).unwrap();
    assert!(matches!(verify(&[&file]), Err(Broken::BrokenOff { line: 4, .. })));
    written(&file, &["b"]).await;
    let report = verify(&[&file]).unwrap();
    assert_eq!((report.chains.len(), report.lines), (1, 7));
    let repair: serde_json::Value = serde_json::from_str(&lines(&file)[4]).unwrap();
    assert_eq!(repair["eventName"], "AuditRepair");
    assert_eq!(repair["additionalEventData"]["brokenOffBytes"], half.len());
    let kept = folder.path().join(repair["additionalEventData"]["keptIn"].as_str().unwrap());
    assert_eq!(fs::read_to_string(kept).unwrap(), half);
}

#[tokio::test]
async fn a_file_of_something_else_or_of_another_process_is_not_written_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    fs::write(&file, "not a log\n").unwrap();
    let refused = open(settings(&file)).unwrap_err();
    assert!(refused.to_string().contains("not of an audit log"), "{refused}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "not a log\n");
    fs::remove_file(&file).unwrap();
    let first = open(settings(&file)).unwrap();
    let refused = open(settings(&file)).unwrap_err();
    assert!(refused.to_string().contains("another process"), "{refused}");
    first.close();
    open(settings(&file)).unwrap().close();
    assert!(open(settings(&folder.path().join("no/such/folder"))).is_err());
}

#[test]
fn the_greatest_number_ends_no_chain_and_panics_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let mut chain = chain::Chain { id: "a".repeat(32), sequence: u64::MAX - 2, hash: "0".repeat(64) };
    let mut bytes = Vec::new();
    for _ in 0..2 {
        chain.append(&mut bytes, |json| {
            line::head(json, Timestamp::from_unix(0), "", "daypass", AUDIT_LOSS);
            json.object("additionalEventData", |json| json.number("lostEvents", u64::MAX));
        });
    }
    fs::write(&file, &bytes).unwrap();
    assert_eq!(verify(&[&file]).unwrap().lost_events, u64::MAX);
    chain.append(&mut bytes, |json| line::head(json, Timestamp::from_unix(0), "", "daypass", "AuditStop"));
    fs::write(&file, &bytes).unwrap();
    assert!(verify(&[&file]).is_err());
    let refused = open(settings(&file)).unwrap_err();
    assert!(refused.to_string().contains("not of an audit log"), "{refused}");
}

#[tokio::test]
async fn what_is_off_records_everything_and_what_was_recorded_is_not_recorded_again() {
    assert!(Trail::off().record(None).await.is_ok());
    let folder = tempfile::tempdir().unwrap();
    let trail = open(settings(&folder.path().join("audit.jsonl"))).unwrap();
    assert!(trail.record(None).await.is_err());
    trail.close();
    assert!(trail.record(Some(entry("late"))).await.is_err());
}

#[test]
fn the_log_that_is_off_costs_no_allocation() {
    let trail = Trail::off();
    let mut recorded = None;
    let memory = allocation_counter::measure(|| recorded = trail.record(None).now_or_never());
    assert!(matches!(recorded, Some(Ok(_))));
    assert_eq!(memory.count_total, 0);
}

#[tokio::test]
async fn what_waits_is_written_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let trail = open(Settings { strict: false, ..settings(&file) }).unwrap();
    for number in 0..10_000 {
        trail.record(Some(entry(&number.to_string()))).await.unwrap();
    }
    trail.close();
    let report = verify(&[&file]).unwrap();
    assert_eq!((report.lines, report.losses), (10_002, 0));
}

/// A destination that takes about 64 KiB until somebody reads it.
struct Pipe {
    folder: tempfile::TempDir,
    reader: fs::File,
}

impl Pipe {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        // Opened for both, so that opening waits for nobody.
        let reader = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        Self { folder, reader }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("pipe")
    }

    /// Reads until the line that says that the log ends.
    fn drain(&self) -> JoinHandle<Vec<serde_json::Value>> {
        let reader = self.reader.try_clone().unwrap();
        thread::spawn(move || {
            let mut lines = Vec::new();
            for line in std::io::BufRead::lines(std::io::BufReader::new(reader)) {
                let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
                let ends = line["eventName"] == "AuditStop";
                lines.push(line);
                if ends {
                    break;
                }
            }
            lines
        })
    }
}

fn many(lines: usize) -> Box<Entry> {
    let mut all = entry("0");
    for number in 1..lines {
        all.more.extend(entry(&number.to_string()).decided);
    }
    all
}

fn count(lines: &[serde_json::Value], name: &str, code: &str) -> usize {
    let has = |line: &&serde_json::Value| {
        line["eventName"] == name && line["errorCode"].as_str().unwrap_or_default() == code
    };
    lines.iter().filter(has).count()
}

async fn a_while() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

#[tokio::test]
async fn requests_of_many_lines_wait_for_each_other_and_leave_room_for_the_lines_of_others() {
    let pipe = Pipe::new();
    let trail = Arc::new(open(Settings { strict: false, queue: 4, ..settings(&pipe.path()) }).unwrap());
    let record = |entry| {
        let trail = trail.clone();
        tokio::spawn(async move { trail.record(Some(entry)).await })
    };
    record(many(600)).await.unwrap().unwrap();
    let waiting = record(many(600));
    a_while().await;
    assert!(!waiting.is_finished());
    for number in 0..3 {
        record(entry(&number.to_string())).await.unwrap().unwrap();
    }
    // One whose client goes away meanwhile has one line, which says so.
    let gone = record(many(600));
    a_while().await;
    gone.abort();
    assert!(gone.await.is_err());
    let reading = pipe.drain();
    waiting.await.unwrap().unwrap();
    let trail = trail.clone();
    tokio::task::spawn_blocking(move || trail.close()).await.unwrap();
    let lines = reading.join().unwrap();
    assert_eq!(count(&lines, "GetObject", ""), 1203);
    assert_eq!(count(&lines, "GetObject", CLIENT_GONE), 1);
    assert_eq!(count(&lines, "AuditLoss", ""), 0);
}

#[tokio::test]
async fn strict_refuses_the_request_of_many_lines_alone_when_there_are_too_many() {
    let pipe = Pipe::new();
    let trail = Arc::new(open(Settings { queue: 4, ..settings(&pipe.path()) }).unwrap());
    let record = |entry| {
        let trail = trail.clone();
        tokio::spawn(async move { trail.record(Some(entry)).await })
    };
    let first = record(many(600));
    a_while().await;
    let started = Instant::now();
    assert!(record(many(600)).await.unwrap().is_err());
    assert!(started.elapsed() < Duration::from_secs(1));
    let single = record(entry("1"));
    a_while().await;
    let reading = pipe.drain();
    first.await.unwrap().unwrap();
    single.await.unwrap().unwrap();
    let trail = trail.clone();
    tokio::task::spawn_blocking(move || trail.close()).await.unwrap();
    let lines = reading.join().unwrap();
    assert_eq!(count(&lines, "GetObject", ""), 601);
}

fn refused(code: &'static str) -> Box<Entry> {
    let mut refused = entry("x");
    if let Some(decided) = &mut refused.decided {
        decided.allow = false;
        decided.error_code = code;
    }
    refused
}

#[tokio::test]
async fn refused_requests_of_nobody_have_lines_up_to_a_rate_and_are_counted_beyond() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let trail = open(Settings { unproven_per_second: 5, ..settings(&file) }).unwrap();
    for _ in 0..20 {
        trail.record(Some(refused("SignatureDoesNotMatch"))).await.unwrap();
        trail.record(Some(refused("InvalidAccessKeyId"))).await.unwrap();
    }
    // Whatever is allowed has its line.
    trail.record(Some(entry("allowed"))).await.unwrap();
    trail.close();
    let lines: Vec<serde_json::Value> =
        lines(&file).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let with = |code| count(&lines, "GetObject", code) as u64;
    assert_eq!(with(""), 1);
    let own = with("SignatureDoesNotMatch") + with("InvalidAccessKeyId");
    assert!((5..=20).contains(&own), "{own}");
    let report = verify(&[&file]).unwrap();
    assert_eq!(own + report.gathered_events, 40);
    let mut counted = 0;
    for summary in lines.iter().filter(|line| line["eventName"] == AUDIT_SUMMARY) {
        let codes = &summary["additionalEventData"]["errorCodes"];
        counted += codes["SignatureDoesNotMatch"].as_u64().unwrap_or_default();
    }
    assert_eq!(with("SignatureDoesNotMatch") + counted, 20);
    assert_eq!(lines.last().unwrap()["eventName"], "AuditStop");
}

#[tokio::test]
async fn refused_requests_of_nobody_take_half_of_the_queue_and_lose_nothing() {
    let pipe = Pipe::new();
    let trail = Arc::new(open(Settings { strict: false, queue: 10, ..settings(&pipe.path()) }).unwrap());
    trail.record(Some(many(600))).await.unwrap();
    a_while().await;
    for _ in 0..100 {
        trail.record(Some(refused("InvalidAccessKeyId"))).await.unwrap();
    }
    for _ in 0..5 {
        trail.record(Some(entry("allowed"))).await.unwrap();
    }
    let reading = pipe.drain();
    tokio::task::spawn_blocking(move || trail.close()).await.unwrap();
    let lines = reading.join().unwrap();
    assert_eq!(count(&lines, "GetObject", ""), 605);
    assert_eq!(count(&lines, "GetObject", "InvalidAccessKeyId"), 5);
    let summary = lines.iter().find(|line| line["eventName"] == AUDIT_SUMMARY).unwrap();
    assert_eq!(summary["additionalEventData"]["gatheredEvents"], 95);
    assert_eq!(count(&lines, AUDIT_LOSS, ""), 0);
}

async fn closes_in_time(trail: Trail) {
    let started = Instant::now();
    tokio::task::spawn_blocking(move || trail.close()).await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
}

#[tokio::test]
async fn closing_takes_no_longer_than_the_timeout_whoever_does_not_take_the_lines() {
    let timeout = Duration::from_millis(600);
    let pipe = Pipe::new();
    let trail = open(Settings { strict: false, timeout, ..settings(&pipe.path()) }).unwrap();
    trail.record(Some(many(600))).await.unwrap();
    a_while().await;
    closes_in_time(trail).await;
    // Connections are made, nothing is read.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/audit", silent.local_addr().unwrap()).parse().unwrap();
    let http = crate::identity::HttpSettings {
        ca_pem: None,
        timeout,
        allow_http: true,
        named_hosts: vec!["127.0.0.1".to_owned()],
    };
    let collector = CollectorSettings { url, auth_token: None, http };
    let destination = Destination::Collector(Box::new(collector));
    let trail = open(Settings { strict: false, timeout, destination, ..settings(&pipe.path()) }).unwrap();
    for number in 0..5_000 {
        trail.record(Some(entry(&number.to_string()))).await.unwrap();
    }
    closes_in_time(trail).await;
}

#[tokio::test]
async fn a_line_is_written_although_nobody_waits_for_it_any_more() {
    let pipe = Pipe::new();
    let timeout = Duration::from_millis(200);
    let trail = Arc::new(open(Settings { timeout, ..settings(&pipe.path()) }).unwrap());
    assert!(trail.record(Some(many(600))).await.is_err());
    assert!(trail.record(Some(entry("late"))).await.is_err());
    let reading = pipe.drain();
    tokio::task::spawn_blocking(move || trail.close()).await.unwrap();
    let lines = reading.join().unwrap();
    assert_eq!(count(&lines, "GetObject", ""), 601);
    assert_eq!(count(&lines, "AuditLoss", ""), 0);
}

/// `cargo test --release --lib audit::tests::cost -- --ignored --nocapture`
#[tokio::test]
#[ignore = "a measurement"]
async fn cost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    let trail = open(Settings { strict: false, ..settings(&file) }).unwrap();
    let count = 50_000_u32;
    let started = Instant::now();
    for _ in 0..count {
        trail.record(Some(entry("folder/object-of-1-kib"))).await.unwrap();
    }
    let handed_over = started.elapsed();
    trail.close();
    println!(
        "{:?} to fill and hand over, {:?} until written, each",
        handed_over / count,
        started.elapsed() / count
    );
    let started = Instant::now();
    verify(&[&file]).unwrap();
    println!("{:?} to verify, each", started.elapsed() / count);
}
