//! What happens to the database under a loaded service: it is locked for a minute, the machine loses its power, its server
//! is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::sync::mpsc;

use crate::support::alerts::{PENDING, builtin, in_group, one_alert};
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::postgres::Postgres;
use crate::support::service::{Home, Service};
use crate::support::{contract, eventually_async};

/// One channel that hears of everything.
fn parts(store: Option<&str>, feishu: &Feishu) -> Value {
    let mut parts = json!({
        // Nobody follows anybody, so no message names another's alert.
        "mcp": builtin(PENDING), "triage": {"cooldown": "0s"},
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
    });
    if let Some(store) = store {
        parts["store"] = store.into();
    }
    parts
}

/// An alert of this name, in a group of its own.
fn named(name: &str) -> Value {
    let mut body = one_alert(name, &json!({"alertname": name}));
    body["alerts"][0]["fingerprint"] = name.into();
    body
}

/// How many messages name this.
fn messages_of(feishu: &Feishu, name: &str) -> usize {
    feishu.accepted().iter().filter(|message| message.to_string().contains(name)).count()
}

/// A minute is longer than every limit of ours: what was under way when the lock came, what is sent meanwhile, and what
/// comes after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_a_store_that_is_locked_for_a_minute_refuses_in_time_and_loses_nothing() {
    on_every_engine(async || {
        let feishu = Feishu::start().await.without_rate_limit();
        let home = Home::new(&parts(None, &feishu));
        let service = home.serve().await;
        sqlx::any::install_default_drivers();
        let mut other = sqlx::AnyConnection::connect(home.store()).await.unwrap();
        for number in 0..5 {
            service.accept(&named(&format!("Before{number}"))).await;
        }
        // Their investigations and messages are under way.
        let lock = match home.store().starts_with("sqlite:") {
            true => "BEGIN EXCLUSIVE",
            false => "BEGIN; LOCK TABLE incident, delivery, outbox, investigation IN ACCESS EXCLUSIVE MODE",
        };
        sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
        let begun = Instant::now();
        let mut refused = 0;
        while begun.elapsed() < Duration::from_secs(60) {
            let asked = Instant::now();
            let (status, answer) = service.post(named("Meanwhile").to_string()).await;
            assert_eq!(status, 503, "{answer}");
            assert!(
                asked.elapsed() < Duration::from_secs(9),
                "Alertmanager gives up after 10 s: {:?}",
                asked.elapsed()
            );
            let health = service.request(Method::GET, "/healthz").send().await.unwrap();
            assert_eq!(health.status(), 200);
            refused += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(refused >= 5, "{refused}");
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();

        let taken = || async { service.post(named("Meanwhile").to_string()).await.0 == 202 };
        eventually_async("alerts are taken again", 15, taken).await;
        // One that waited for the lock when its sender was told to come again may be kept after all; its repeat merges.
        let balance = contract::holds_at_least(&service, 6, 60).await;
        assert_eq!((balance.sent, balance.accepted - balance.merged), (6, 6), "{balance:?}");
        for incident in service.incidents().await {
            let incident = service.settled(incident["id"].as_str().unwrap(), 60).await;
            let name = incident["group"]["alerts"][0]["labels"]["alertname"].as_str().unwrap();
            let (sent, told) = (incident["notices"].as_array().unwrap().len(), messages_of(&feishu, name));
            // One whose arrival could not be noted is sent once more.
            assert!((sent..=sent + 1).contains(&told), "{name}: {told} of {sent}");
        }
    })
    .await;
}

/// What one sender sends at most: two cores have to tell it all.
const MOST: usize = 80;

/// Sends until told to stop, with hardly a pause, and tells what was answered 202 and when it was known. What is refused or finds
/// nobody is sent again, as senders do.
async fn send(webhook: reqwest::RequestBuilder, sender: usize, told: mpsc::UnboundedSender<(String, String)>) {
    for number in 0..MOST {
        let name = format!("S{sender}N{number:04}");
        loop {
            if told.is_closed() {
                return;
            }
            let answer = webhook.try_clone().unwrap().json(&named(&name)).send().await;
            if let Ok(answer) = answer
                && answer.status() == 202
                && let Ok(answer) = answer.json::<Value>().await
            {
                let _ = told.send((name, answer["incident"].as_str().unwrap().to_owned()));
                tokio::time::sleep(Duration::from_millis(60)).await;
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

fn burst(service: &Service) -> mpsc::UnboundedReceiver<(String, String)> {
    let (tell, told) = mpsc::unbounded_channel();
    let webhook = service.request(Method::POST, "/webhooks/alertmanager");
    for sender in 0..4 {
        tokio::spawn(send(webhook.try_clone().unwrap(), sender, tell.clone()));
    }
    told
}

fn all_so_far(told: &mut mpsc::UnboundedReceiver<(String, String)>, known: &mut Vec<(String, String)>) {
    while let Ok(one) = told.try_recv() {
        known.push(one);
    }
}

/// The database's files as they are at this moment. The process stands still meanwhile: a copy of files that change would
/// show a state that never was on any disk.
async fn copied(service: &Service, database: &Path, to: &Path) {
    service.signal("-STOP").await;
    for ending in ["", "-wal", "-shm"] {
        let from = format!("{}{ending}", database.display());
        std::fs::copy(from, to.join(format!("firstlook.db{ending}"))).unwrap();
    }
    service.signal("-CONT").await;
}

/// What a loss of power does beyond that: shared memory is gone, and the write under way is torn.
fn torn(to: &Path) {
    std::fs::remove_file(to.join("firstlook.db-shm")).unwrap();
    let log = to.join("firstlook.db-wal");
    let mut torn = std::fs::read(&log).unwrap();
    torn.extend((0..2_000_u32).map(|number| (number % 251) as u8));
    std::fs::write(log, torn).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_a_copy_of_the_files_under_load_has_every_delivery_that_was_answered_202() {
    const COPIES: usize = 4;
    let feishu = Feishu::start().await.without_rate_limit();
    let home = Home::new(&parts(None, &feishu));
    let service = home.serve().await;
    let mut told = burst(&service);
    let (mut known, mut copies) = (Vec::new(), Vec::new());
    for number in 0..COPIES {
        let random = Duration::from_nanos(u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()));
        tokio::time::sleep(Duration::from_millis(300) + random).await;
        all_so_far(&mut told, &mut known);
        let folder = tempfile::tempdir().unwrap();
        copied(&service, &home.config().with_file_name("firstlook.db"), folder.path()).await;
        if number % 2 == 1 {
            torn(folder.path());
        }
        copies.push((folder, known.clone()));
    }
    drop(told);
    service.kill_9().await;

    for (number, (folder, known)) in copies.iter().enumerate() {
        assert!(number == 0 || known.len() > 5, "copy {number}: {}", known.len());
        let feishu = Feishu::start().await.without_rate_limit();
        let store = format!("sqlite:{}", folder.path().join("firstlook.db").display());
        let home = Home::new(&parts(Some(&store), &feishu));
        let service = home.serve().await;
        let balance = contract::balance(&service).await;
        assert!(
            balance.accepted >= known.len() as u64,
            "copy {number}: {} were answered 202: {balance:?}",
            known.len()
        );
        for (name, id) in known {
            let incident = service.incident(id).await;
            assert_eq!(incident["group"]["alerts"][0]["labels"]["alertname"], name.as_str(), "copy {number}");
        }
        service.accept(&named("AfterIt")).await;
    }
}

/// The server itself dies between one instruction and the next, and recovers from its log: ours goes on without a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_a_postgresql_server_that_is_killed_has_every_delivery_that_was_answered_202() {
    let Some(server) = Postgres::start().await else { return };
    let feishu = Feishu::start().await.without_rate_limit();
    let home = Home::new(&parts(Some(&server.database("killed", "").await), &feishu));
    let service = home.serve().await;
    let mut told = burst(&service);
    let mut known = Vec::new();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        server.kill_9();
        all_so_far(&mut told, &mut known);
        let (status, answer) = service.post(in_group(PENDING, "while it is away").to_string()).await;
        assert_eq!(status, 503, "{answer}");
        server.up();
        assert!(server.log().contains("automatic recovery in progress"), "{}", server.log());
        let answers = || async { service.post(named("Recovered").to_string()).await.0 == 202 };
        eventually_async("alerts are taken again", 20, answers).await;
        for (name, id) in &known {
            let incident = service.incident(id).await;
            assert_eq!(incident["group"]["alerts"][0]["labels"]["alertname"], name.as_str());
        }
    }
    assert!(known.len() > 20, "{}", known.len());
    drop(told);
    contract::holds_at_least(&service, known.len() as u64 + 2, 150).await;
    for (name, _) in &known {
        assert!(messages_of(&feishu, name) >= 1, "nobody heard of {name}");
    }
}
