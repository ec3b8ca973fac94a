//! Stores to test on, and the smallest alerts, notices and reports that are real.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::alert::{Alert, AlertGroup, AlertStatus, Labels, Lang, Source};
use crate::notify::notice::{Notice, NoticeBody};
use crate::report::Report;
use crate::store::{Changes, Decision, Delivery, NewIncident, NewNotice, NoticeRole, Outcome, Store, Tx};
use crate::toolbox::evidence::Evidence;

pub const LEASE: Duration = Duration::from_secs(15);
pub const EXPIRED: Duration = Duration::ZERO;

/// Runs a test on an empty SQLite file, and in an empty PostgreSQL schema when there is a server.
pub async fn on_every_engine(test: impl AsyncFn(Store)) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&format!("sqlite:{}/test.db", directory.path().display())).await.unwrap();
    test(store.clone()).await;
    store.close().await;

    let Ok(server) = std::env::var("TEST_DATABASE_URL") else {
        let required = std::env::var_os("FIRSTLOOK_REQUIRE_POSTGRES").is_some();
        assert!(!required, "FIRSTLOOK_REQUIRE_POSTGRES is set and TEST_DATABASE_URL names no server");
        return;
    };
    let schema = format!("firstlook_{}", Uuid::now_v7().simple());
    let mut admin = PgConnection::connect(&server).await.unwrap();
    run(&mut admin, format!("CREATE SCHEMA {schema}")).await;
    let store =
        Store::open(&format!("{server}?options=-csearch_path%3D{schema}&application_name={schema}")).await.unwrap();
    test(store.clone()).await;
    store.close().await;
    run(&mut admin, format!("DROP SCHEMA {schema} CASCADE")).await;
}

async fn run(admin: &mut PgConnection, statement: String) {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(admin).await.unwrap();
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// A moment that has passed whenever the test runs.
pub fn past() -> Timestamp {
    at(-1_000_000_000)
}

pub fn in_an_hour() -> Timestamp {
    Timestamp::now() + Duration::from_secs(3600)
}

pub fn group(pods: &[&str]) -> AlertGroup {
    let labels = |pod: &str| {
        Labels::from([
            ("alertname".into(), "KubePodCrashLooping".into()),
            ("namespace".into(), "payments".into()),
            ("severity".into(), "critical".into()),
            ("pod".into(), pod.to_owned()),
        ])
    };
    let alert = |pod: &&str| Alert {
        status: AlertStatus::Firing,
        labels: labels(pod),
        annotations: Labels::from([("summary".into(), "支付服务反复重启".into())]),
        starts_at: at(0),
        ends_at: None,
        generator_url: None,
        fingerprint: format!("f-{pod}"),
    };
    AlertGroup {
        source: Source::Alertmanager,
        receiver: "firstlook".into(),
        group_key: "{}:{alertname=\"KubePodCrashLooping\"}".into(),
        status: AlertStatus::Firing,
        group_labels: Labels::new(),
        common_labels: Labels::new(),
        common_annotations: Labels::new(),
        external_url: None,
        truncated_alerts: 0,
        notification_reason: None,
        alerts: pods.iter().map(alert).collect(),
    }
}

/// Three alerts, two of which somebody has to be told, for no incident and without a message yet.
pub fn delivery_of_three() -> Delivery {
    Delivery {
        id: Uuid::now_v7(),
        incident: None,
        received_at: at(0),
        status: AlertStatus::Firing,
        alerts: 3,
        decision: Decision::Joined,
        reason: String::new(),
        rules: Vec::new(),
        changes: Changes::default(),
        told: 2,
        outcome: Outcome::Pending,
        telling: None,
    }
}

pub fn notice(incident: Uuid) -> Notice {
    Notice {
        incident,
        opened_at: at(0),
        group: group(&["api-1"]),
        body: NoticeBody::Alert { report: None, investigating: true, missing: Vec::new() },
        lang: Lang::Zh,
        timezone: "Asia/Shanghai".into(),
        opened_with: None,
        last_time: None,
        meanwhile: Default::default(),
        undelivered: Vec::new(),
        alertmanager_url: None,
        page_url: None,
    }
}

pub fn report() -> Report {
    Report { headline: "api 因缺少 DATABASE_URL 启动失败".into(), ..Report::default() }
}

/// One piece that was cut to size, and one with the NUL bytes a crashed program leaves in its log.
pub fn evidence() -> Vec<Evidence> {
    let piece = |reference: &str, text: &str, full: &str| Evidence {
        reference: reference.into(),
        tool: "pods_log".into(),
        arguments: json!({"namespace": "payments", "name": "api-1"}),
        text: text.into(),
        full: full.into(),
        taken_at: at(3),
    };
    vec![piece("E1", "start", "start and a long rest"), piece("E2", "panic\0\0", "panic\0\0")]
}

/// Makes the database refuse a second incident of this name, whatever its group.
pub async fn only_one_named(store: &Store, alertname: &str) {
    let index = format!("CREATE UNIQUE INDEX only_one ON incident (alertname) WHERE alertname = '{alertname}'");
    store.write("make an index", sqlx::query(AssertSqlSafe(index))).await.unwrap();
}

/// Opens an incident of its own group and returns its id.
pub async fn opened(store: &Store, group_key_hash: &str) -> Uuid {
    let mut tx = store.begin().await.unwrap();
    let id = insert(&mut tx, group_key_hash).await;
    tx.commit().await.unwrap();
    id
}

/// Opens an incident in a transaction that goes on.
pub async fn insert(tx: &mut Tx<'_>, group_key_hash: &str) -> Uuid {
    let (id, source, group) = (Uuid::now_v7(), Source::Alertmanager, group(&["api-1"]));
    let new = NewIncident { id, source, group_key_hash, opened_at: at(0), group: &group };
    tx.insert_incident(&new).await.unwrap();
    id
}

/// Ends an incident.
pub async fn resolved(store: &Store, incident: Uuid, end: Timestamp) {
    let mut tx = store.begin().await.unwrap();
    tx.resolve_incident(incident, &group(&["api-1"]), end).await.unwrap();
    tx.commit().await.unwrap();
}

/// A message of its own that is due since long ago.
pub fn new_notice<'a>(incident: Uuid, channel: &'a str, role: NoticeRole, notice: &'a Notice) -> NewNotice<'a> {
    NewNotice { incident, channel, role, telling: Uuid::now_v7(), notice, due: past() }
}

/// Puts a message into the outbox and returns its id.
pub async fn queued(store: &Store, incident: Uuid, channel: &str, role: NoticeRole, due: Timestamp) -> Uuid {
    let mut tx = store.begin().await.unwrap();
    let notice = notice(incident);
    let new = NewNotice { due, ..new_notice(incident, channel, role, &notice) };
    let id = tx.enqueue_notice(&new).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// Records a delivery of three alerts, two of which one message on these channels is the first to name.
pub async fn told_on(store: &Store, channels: &[&str]) -> Uuid {
    let incident = opened(store, &Uuid::now_v7().to_string()).await;
    let (mut tx, telling, notice) = (store.begin().await.unwrap(), Uuid::now_v7(), notice(incident));
    for channel in channels {
        let new = NewNotice { telling, ..new_notice(incident, channel, NoticeRole::First, &notice) };
        tx.enqueue_notice(&new).await.unwrap();
    }
    let delivery = Delivery { incident: Some(incident), telling: Some(telling.to_string()), ..delivery_of_three() };
    tx.record_delivery(&delivery).await.unwrap();
    tx.commit().await.unwrap();
    incident
}

/// Opens an incident whose investigation waits since long ago.
pub async fn investigable(store: &Store, group_key_hash: &str) -> Uuid {
    let id = opened(store, group_key_hash).await;
    let mut tx = store.begin().await.unwrap();
    assert!(tx.enqueue_investigation(id, past()).await.unwrap());
    tx.commit().await.unwrap();
    id
}
