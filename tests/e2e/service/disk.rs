//! What the disk does: it is full, it is read-only, and what was answered 202 is on it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection;
use tokio::io::AsyncBufReadExt;

use crate::support::alerts::{PENDING, builtin, in_group};
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::postgres::Postgres;
use crate::support::service::{Home, Service, program, run};
use crate::support::{Fault, contract, eventually_async, tools};

/// A small disk in memory; gone with this.
struct Disk {
    folder: tempfile::TempDir,
}

impl Disk {
    /// None where this account may not mount: the test then says that it tests nothing, and fails where it should.
    fn of(size: &str) -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"], disk.path());
        if !mounted {
            tools::untested("FIRSTLOOK_REQUIRE_MOUNT", "this account may not mount a tmpfs");
            return None;
        }
        Some(disk)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn store(&self) -> String {
        format!("sqlite:{}", self.path().join("firstlook.db").display())
    }

    fn again(&self, options: &str) {
        assert!(mount(&["-o", &format!("remount,{options}")], self.path()), "{options}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn mount(arguments: &[&str], at: &Path) -> bool {
    Command::new("mount").args(arguments).arg(at).status().is_ok_and(|status| status.success())
}

fn name(number: usize) -> String {
    format!("Full{number:04}")
}

/// Digits that no database makes shorter.
fn noise(length: usize, seed: usize) -> String {
    let mut state = seed as u64 + 1;
    let digit = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from_digit((state >> 60) as u32, 16).unwrap()
    };
    (0..length).map(digit).collect()
}

/// An alert that takes a few kilobytes.
fn large(number: usize) -> Value {
    let mut body = in_group(PENDING, &format!("full-{number}"));
    for alert in body["alerts"].as_array_mut().unwrap() {
        alert["annotations"]["description"] = noise(15_000, number).into();
        alert["labels"]["alertname"] = name(number).into();
    }
    body
}

/// Sends until one is refused; how many were taken, and what the refused one was told.
async fn fill(service: &Service) -> (usize, u16, Value) {
    for number in 0..2_000 {
        let (status, answer) = service.post(large(number).to_string()).await;
        if status != 202 {
            let refused = "firstlook_webhook_requests_total{route=\"alertmanager\",status=\"5xx\"}";
            assert_eq!(service.metric(refused).await, Some(1.0), "who watches the metrics sees it");
            return (number, status, answer);
        }
    }
    panic!("it never fills up");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_on_a_full_disk_new_alerts_are_refused_old_ones_stay_and_it_goes_on_when_there_is_space() {
    let Some(disk) = Disk::of("4m") else { return };
    let home = Home::new(&json!({"store": disk.store(), "channels": []}));
    let service = home.serve().await;
    let (taken, status, answer) = fill(&service).await;
    assert!(taken > 10, "{taken}");
    assert_eq!(status, 503, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("send it again"), "{answer}");
    assert!(service.log().contains("full"), "{}", service.log());
    let healthy = service.request(reqwest::Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(healthy.status(), 200);
    let each = large(0)["alerts"].as_array().unwrap().len();
    assert_eq!(contract::balance(&service).await.accepted, (taken * each) as u64, "what was taken is there");

    disk.again("size=64m");
    let taken_again = || async { service.post(large(taken).to_string()).await.0 == 202 };
    eventually_async("there is space again", 20, taken_again).await;
    let balance = contract::holds(&service, (taken + 1) * each, 5).await;
    assert_eq!(service.incidents().await.len(), (taken + 1).min(500), "{balance:?}");
    drop(service);
}

/// The same on PostgreSQL: the server's tablespace is on the small disk, its log is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_on_a_full_tablespace_of_postgresql_new_alerts_are_refused_and_it_goes_on_when_there_is_space() {
    let Some(disk) = Disk::of("20m") else { return };
    let Some(server) = Postgres::start().await else { return };
    // PostgreSQL makes its folder itself, below one that it may write to and that others may enter.
    server.owns(disk.path());
    let place = disk.path().join("small");
    std::fs::create_dir(&place).unwrap();
    server.owns(&place);
    server.run(&format!("CREATE TABLESPACE small LOCATION '{}'", place.display())).await;
    let store = server.database("filled", "TABLESPACE small").await;
    let home = Home::new(&json!({"store": store, "channels": []}));
    let service = home.serve().await;
    let (taken, status, answer) = fill(&service).await;
    assert!(taken > 10, "{taken}");
    assert_eq!(status, 503, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("send it again"), "{answer}");
    assert!(service.log().contains("No space left"), "{}", service.log());
    let healthy = service.request(reqwest::Method::GET, "/healthz").send().await.unwrap();
    assert_eq!(healthy.status(), 200);
    let each = large(0)["alerts"].as_array().unwrap().len();
    assert_eq!(contract::balance(&service).await.accepted, (taken * each) as u64, "what was taken is there");

    disk.again("size=80m");
    let taken_again = || async { service.post(large(taken).to_string()).await.0 == 202 };
    eventually_async("there is space again", 20, taken_again).await;
    let balance = contract::holds(&service, (taken + 1) * each, 5).await;
    assert_eq!(service.incidents().await.len(), (taken + 1).min(500), "{balance:?}");
    drop(service);
}

/// The same with people who wait: what was taken is told when it can be noted again, and twice only where a message was
/// under way when the disk was full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_what_was_taken_before_the_disk_was_full_is_told_when_there_is_space_again() {
    let Some(disk) = Disk::of("4m") else { return };
    let feishu = Feishu::start().await;
    // Busy for so long that messages wait when the disk is full.
    feishu.fail((0..4).map(|_| Fault::Code(9499, "too many request")));
    let home = Home::new(&json!({
        "store": disk.store(), "mcp": builtin(PENDING),
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
    }));
    let service = home.serve().await;
    let (taken, status, answer) = fill(&service).await;
    assert!(taken > 10 && status == 503, "{taken} {status} {answer}");
    let each = large(0)["alerts"].as_array().unwrap().len();
    assert_eq!(contract::balance(&service).await.accepted, (taken * each) as u64);
    // Long enough for whatever is under way to meet the full disk.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(contract::balance(&service).await.pending > 0, "some of it waits");

    disk.again("size=64m");
    let taken_again = || async { service.post(large(taken).to_string()).await.0 == 202 };
    eventually_async("there is space again", 20, taken_again).await;
    let balance = contract::holds(&service, (taken + 1) * each, 120).await;
    assert_eq!(balance.sent, ((taken + 1) * each) as u64, "{balance:?}");
    let messages: Vec<String> = feishu.accepted().iter().map(Value::to_string).collect();
    let told: Vec<usize> =
        (0..=taken).map(|number| messages.iter().filter(|message| message.contains(&name(number))).count()).collect();
    assert!(told.iter().all(|times| *times >= 1), "{told:?}");
    println!("{} incidents in {} messages", taken + 1, messages.len());
    drop(service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_on_a_read_only_disk_it_refuses_to_start_and_says_what_to_do() {
    let Some(disk) = Disk::of("8m") else { return };
    let home = Home::new(&json!({"store": disk.store(), "channels": []}));
    let service = home.serve().await;
    service.accept(&in_group(PENDING, "before")).await;
    assert_eq!(service.terminate().await.code(), Some(0));
    let before = std::fs::read(disk.path().join("firstlook.db")).unwrap();

    disk.again("ro");
    let mut command = program();
    command.args(["serve", "--config"]).arg(home.config());
    let ended = run(command).await;
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains("firstlook.db") && last.to_lowercase().contains("read-only"), "{last}");

    disk.again("rw");
    assert_eq!(std::fs::read(disk.path().join("firstlook.db")).unwrap(), before, "nothing was changed");
    let service = home.serve().await;
    assert_eq!(service.incidents().await.len(), 1);
    contract::holds(&service, in_group(PENDING, "before")["alerts"].as_array().unwrap().len(), 5).await;
}

/// A later version was here and is gone again: its tables are not touched, and that version finds everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f15_a_store_of_a_newer_version_is_refused_and_left_as_it_is() {
    on_every_engine(async || {
        let home = Home::new(&json!({"channels": []}));
        let service = home.serve().await;
        service.accept(&in_group(PENDING, "before")).await;
        assert_eq!(service.terminate().await.code(), Some(0));
        sqlx::any::install_default_drivers();
        let mut store = sqlx::AnyConnection::connect(home.store()).await.unwrap();
        let later = "INSERT INTO _sqlx_migrations
                     SELECT 9999, 'later', installed_on, success, checksum, execution_time FROM _sqlx_migrations
                     WHERE version = 1";
        sqlx::raw_sql(later).execute(&mut store).await.unwrap();

        let mut command = program();
        command.args(["serve", "--config"]).arg(home.config());
        let ended = run(command).await;
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        let last = ended.stderr.lines().last().unwrap();
        assert!(
            last.contains("newer firstlook") && last.contains("9999") && last.contains("Run that version"),
            "{last}"
        );
        let migrations = "SELECT CAST(MAX(version) AS BIGINT) FROM _sqlx_migrations";
        let version: i64 = sqlx::query_scalar(migrations).fetch_one(&mut store).await.unwrap();
        assert_eq!(version, 9999, "nothing was taken back");

        sqlx::raw_sql("DELETE FROM _sqlx_migrations WHERE version = 9999").execute(&mut store).await.unwrap();
        store.close().await.unwrap();
        let service = home.serve().await;
        assert_eq!(service.incidents().await.len(), 1);
        contract::holds(&service, in_group(PENDING, "before")["alerts"].as_array().unwrap().len(), 5).await;
    })
    .await;
}

/// Writes down every call of a process that syncs or sends, in order; none where this account may not trace.
async fn traced(pid: u32, file: PathBuf) -> Option<tokio::process::Child> {
    let mut strace = tokio::process::Command::new(tools::strace());
    strace.args(["-f", "-y", "-s", "40", "-e", "trace=fsync,fdatasync,write,writev,sendto,sendmsg", "-o"]);
    strace.arg(&file).args(["-p", &pid.to_string()]).stderr(std::process::Stdio::piped()).kill_on_drop(true);
    let mut child = strace.spawn().unwrap();
    let mut said = tokio::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let attached = tokio::time::timeout(std::time::Duration::from_secs(10), said.next_line()).await;
    let line = attached.expect("strace attaches").unwrap().unwrap_or_default();
    if line.contains("Operation not permitted") {
        tools::untested("FIRSTLOOK_REQUIRE_STRACE", &format!("this account may not trace a process: {line}"));
        return None;
    }
    assert!(line.contains("attached"), "{line}");
    tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
    Some(child)
}

/// A loss of power is not simulated; that the log is on disk before the 202 is seen from outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_a_202_is_said_after_its_commit_was_synced() {
    let home = Home::new(&json!({"channels": []}));
    let service = home.serve().await;
    service.accept(&in_group(PENDING, "warm")).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    let Some(strace) = traced(service.pid(), file.clone()).await else { return };
    for number in 0..5 {
        service.accept(&in_group(PENDING, &format!("synced-{number}"))).await;
    }
    let trace = || std::fs::read_to_string(&file).unwrap_or_default();
    let answers = |trace: &str| trace.lines().filter(|line| line.contains("HTTP/1.1 202")).count();
    eventually_async("the answers are in the trace", 10, || async { answers(&trace()) >= 5 }).await;
    drop(strace);
    let trace = trace();
    let mut synced = false;
    for line in trace.lines() {
        if line.contains("firstlook.db-wal") && (line.contains("fdatasync(") || line.contains("fsync(")) {
            synced = true;
        } else if line.contains("HTTP/1.1 202") {
            assert!(std::mem::take(&mut synced), "a 202 without a sync before it:\n{trace}");
        }
    }
    contract::holds(&service, 6 * in_group(PENDING, "warm")["alerts"].as_array().unwrap().len(), 5).await;
}

/// Nightingale sends a list of many events at once and gives up after ten seconds: on a disk that takes its time for each
/// sync they must not be as many commits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f50_a_list_of_two_hundred_events_is_a_few_commits() {
    let home = Home::new(&json!({"channels": []}));
    let service = home.serve().await;
    let event: Value = serde_json::from_str(include_str!("../../payloads/nightingale.json")).unwrap();
    let numbered = |number: usize| {
        let mut event = event.clone();
        (event["hash"], event["rule_id"]) = (format!("hash{number}").into(), number.into());
        event
    };
    let events: Vec<Value> = (0..200).map(numbered).collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace");
    let Some(strace) = traced(service.pid(), file.clone()).await else { return };
    let post = service.request(reqwest::Method::POST, "/webhooks/nightingale").json(&events).send().await.unwrap();
    assert_eq!(post.status(), 200);
    let answer: Value = post.json().await.unwrap();
    assert_eq!(answer["groups"].as_array().unwrap().len(), 200);
    drop(strace);
    let trace = std::fs::read_to_string(&file).unwrap();
    let synced =
        |line: &&str| line.contains("firstlook.db-wal") && (line.contains("fdatasync(") || line.contains("fsync("));
    let commits = trace.lines().filter(synced).count();
    assert!((1..40).contains(&commits), "{commits} commits for 200 events");
    contract::holds(&service, 200, 5).await;
}
