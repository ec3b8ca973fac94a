//! What happens to the database under a loaded service: it is locked for a minute, the machine loses its power, its server
//! is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::sync::mpsc;

use crate::support::alerts::{PENDING, builtin, in_group, one_alert};
use crate::support::database::{Database, on_every_engine};
use crate::support::feishu::Feishu;
use crate::support::gate::Gate;
use crate::support::postgres::Postgres;
use crate::support::service::{Home, Service};
use crate::support::{contract, eventually, eventually_async};

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

/// A line to the database that can go silent: what is connected then hears nothing for ever, as when the machine behind it is
/// gone; what connects later is carried again.
struct Silenceable {
    address: std::net::SocketAddr,
    silent: tokio::sync::watch::Sender<bool>,
}

impl Silenceable {
    async fn before(behind: std::net::SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (silent, heard) = tokio::sync::watch::channel(false);
        let line = Self { address: listener.local_addr().unwrap(), silent };
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut heard = heard.clone();
                tokio::spawn(async move {
                    let carried = async {
                        let mut far = tokio::net::TcpStream::connect(behind).await?;
                        tokio::io::copy_bidirectional(&mut near, &mut far).await
                    };
                    let silenced = async { drop(heard.wait_for(|silent| *silent).await) };
                    tokio::select! {
                        _ = carried => return,
                        () = silenced => {}
                    }
                    std::future::pending::<()>().await;
                });
            }
        });
        line
    }
}

/// No packet comes back, not even a reset: nothing waits for ever, the next alerts are told, and the process can end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f16_a_postgresql_server_that_falls_silent_holds_nobody_for_ever() {
    let Some(database) = Database::postgres().await else { return };
    let mut store: url::Url = database.address().unwrap().parse().unwrap();
    let behind = format!("{}:{}", store.host_str().unwrap(), store.port().unwrap_or(5432));
    let line = Silenceable::before(tokio::net::lookup_host(behind).await.unwrap().next().unwrap()).await;
    store.set_host(Some("127.0.0.1")).unwrap();
    store.set_port(Some(line.address.port())).unwrap();
    let feishu = Feishu::start().await.without_rate_limit();
    let home = Home::new(&parts(Some(store.as_str()), &feishu));
    let mut service = home.serve().await;
    service.accept(&named("BeforeIt")).await;
    line.silent.send_replace(true);
    let (status, answer) = service.post(named("InTheSilence").to_string()).await;
    assert!([503, 408].contains(&status), "{status} {answer}");
    line.silent.send_replace(false);
    let tries = std::sync::atomic::AtomicU64::new(0);
    let taken = || async {
        tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        service.post(named("AfterIt").to_string()).await.0 == 202
    };
    eventually_async("alerts are taken again", 60, taken).await;
    let told = || async { messages_of(&feishu, "AfterIt") >= 1 && messages_of(&feishu, "BeforeIt") >= 1 };
    eventually_async("people hear again", 60, told).await;
    line.silent.send_replace(true);
    service.signal("-TERM").await;
    assert!(service.is_gone_within(60).await, "it waits for who will never answer: {}", service.log());
    drop(service);
    line.silent.send_replace(false);
    let service = home.serve().await;
    let balance = contract::holds_at_least(&service, 2, 60).await;
    // What was not answered may be there all the same: the silence may have come after the commit.
    let tries = tries.load(std::sync::atomic::Ordering::SeqCst);
    assert!(balance.accepted <= 2 + tries, "{tries} tries: {balance:?}");
    assert_eq!((balance.suppressed, balance.dead), (0, 0), "{balance:?}");
    drop(service);
    database.remove().await;
}

/// Every answer takes a second: what is claimed is old when its turn comes, and is sent all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_a_second_for_everything_silences_no_channel() {
    let Some(database) = Database::postgres().await else { return };
    let mut store: url::Url = database.address().unwrap().parse().unwrap();
    let gate = Gate::before(store.socket_addrs(|| None).unwrap()[0]).await;
    store.set_host(Some("127.0.0.1")).unwrap();
    store.set_port(Some(gate.address.port())).unwrap();
    let feishu = Feishu::start().await.without_rate_limit();
    let home = Home::new(&parts(Some(store.as_str()), &feishu));
    let service = home.serve().await;
    service.accept(&named("FromAfar")).await;
    gate.is_far(Duration::from_secs(1));
    eventually("people hear of it", 40, || (messages_of(&feishu, "FromAfar") >= 1).then_some(())).await;
    gate.is_far(Duration::ZERO);
    contract::holds(&service, 1, 60).await;
    assert!(messages_of(&feishu, "FromAfar") <= 2, "the first message and the diagnosis");
    drop(service);
    database.remove().await;
}

/// The chat answers while the store is locked: the process knows that the message arrived, and does not send it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f12_what_was_sent_while_the_store_was_locked_is_not_sent_again() {
    on_every_engine(async || {
        let feishu = Feishu::start().await.without_rate_limit();
        let mut chat: url::Url = feishu.url().parse().unwrap();
        let gate = Gate::before(chat.socket_addrs(|| None).unwrap()[0]).await;
        chat.set_port(Some(gate.address.port())).unwrap();
        let home = Home::new(&json!({"channels": [{"name": "oncall", "type": "feishu-bot", "url": chat.as_str()}]}));
        let service = home.serve().await;
        sqlx::any::install_default_drivers();
        let mut other = sqlx::AnyConnection::connect(home.store()).await.unwrap();
        gate.shut();
        service.accept(&named("OnItsWay")).await;
        tokio::time::timeout(Duration::from_secs(10), gate.something_waits()).await.expect("it is being sent");
        let lock = match home.store().starts_with("sqlite:") {
            true => "BEGIN EXCLUSIVE",
            false => "BEGIN; LOCK TABLE outbox, delivery IN ACCESS EXCLUSIVE MODE",
        };
        sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
        gate.open();
        eventually("it arrived", 10, || (messages_of(&feishu, "OnItsWay") == 1).then_some(())).await;
        let said = || service.log().contains("could not keep what became of a message").then_some(());
        eventually("that cannot be kept", 30, said).await;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        contract::holds(&service, 1, 40).await;
        assert_eq!(messages_of(&feishu, "OnItsWay"), 1, "people read it once");
    })
    .await;
}
