//! Opening: what is created, what is refused, and that a refusal says what to do.

use std::path::Path;
use std::time::Instant;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqliteConnection};
use uuid::Uuid;

use super::fixtures::*;
use crate::alert::Source;
use crate::store::columns::Columns;
use crate::store::{Engine, NewIncident, Store, StoreError};

fn url(file: &Path) -> String {
    format!("sqlite:{}", file.display())
}

async fn refusal(url: &str) -> String {
    Store::open(url).await.expect_err("it must be refused").to_string()
}

async fn sql(file: &Path, statement: &str) {
    let mut connection = SqliteConnection::connect(&format!("{}?mode=rwc", url(file))).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_missing_file_is_created_and_what_was_committed_is_there_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("第一眼 100% #1.db");
    let store = Store::open(&url(&file)).await.unwrap();
    let id = opened(&store, "k").await;
    store.ping().await.unwrap();
    store.close().await;
    drop(store);
    assert!(file.exists(), "the name is taken as it is written");
    let store = Store::open(&format!("sqlite://{}", file.display())).await.unwrap();
    assert!(store.incident(id).await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_in_use_is_refused_by_whatever_path_and_free_again_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let store = Store::open(&url(&file)).await.unwrap();
    let alias = directory.path().join("alias.db");
    std::os::unix::fs::symlink(&file, &alias).unwrap();
    for path in [file.clone(), directory.path().join(".").join("a.db"), alias] {
        let error = Store::open(&url(&path)).await.expect_err("it must be refused");
        assert!(matches!(error, StoreError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("Stop that one first"), "{error}");
        assert!(store.is_file(&url(&path)), "this process may go on with it");
    }
    assert!(!store.is_file(&url(&directory.path().join("b.db"))) && !store.is_file("postgres://host/a.db"));
    drop(store);
    Store::open(&url(&file)).await.unwrap();
}

#[tokio::test]
async fn every_commit_is_synced_to_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&url(&directory.path().join("a.db"))).await.unwrap();
    for (pragma, expected) in [("synchronous", "2"), ("journal_mode", "wal"), ("foreign_keys", "1")] {
        let statement = format!("SELECT CAST({pragma} AS TEXT) AS value FROM pragma_{pragma}");
        let mut tx = store.begin().await.unwrap();
        let row = sqlx::query(AssertSqlSafe(statement)).fetch_one(&mut *tx.inner).await.unwrap();
        assert_eq!(Columns(&row).text("value").unwrap(), expected, "{pragma}");
    }
}

#[tokio::test]
async fn f15_what_is_not_our_database_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.db");
    std::fs::write(&text, "dear diary, ".repeat(1000)).unwrap();
    assert!(refusal(&url(&text)).await.contains("not an SQLite database"));
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("dear diary"));

    let foreign = directory.path().join("grafana.db");
    sql(&foreign, "CREATE TABLE dashboard (id INTEGER)").await;
    assert!(refusal(&url(&foreign)).await.contains("belongs to another program"));

    assert!(refusal(&url(directory.path())).await.contains("cannot be opened"));
}

#[tokio::test]
async fn f15_a_damaged_file_is_refused_instead_of_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let store = Store::open(&url(&file)).await.unwrap();
    opened(&store, "k").await;
    store.close().await;
    drop(store);
    let whole = std::fs::read(&file).unwrap();

    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    assert!(refusal(&url(&file)).await.contains("damaged"), "cut off");
    // One page of 4 KiB that opening the file has no need to read.
    let mut holed = whole.clone();
    let last_page = whole.len() - 4096;
    holed[last_page..].fill(0xA5);
    std::fs::write(&file, &holed).unwrap();
    let text = refusal(&url(&file)).await;
    assert!(text.contains("damaged") && text.contains("Restore it from a backup"), "overwritten: {text}");
}

#[tokio::test]
async fn f15_a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    Store::open(&url(&file)).await.unwrap().close().await;
    sql(&file, "INSERT INTO _sqlx_migrations VALUES (9999, 'later', CURRENT_TIMESTAMP, TRUE, x'00', 1)").await;
    assert!(refusal(&url(&file)).await.contains("written by a newer firstlook"));
}

#[tokio::test]
async fn a_log_without_its_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    std::fs::write(directory.path().join("a.db-wal"), "commits").unwrap();
    assert!(refusal(&url(&file)).await.contains("Put the file back"));
    assert!(!file.exists());
}

#[tokio::test]
async fn wrong_addresses_are_told_what_is_right() {
    let missing = refusal("sqlite:/no/such/directory/a.db").await;
    assert!(missing.contains("/no/such/directory") && missing.contains("Create the directory"), "{missing}");
    for wrong in ["sqlite:", "sqlite::memory:", "mysql://host/db", "firstlook.db"] {
        assert!(refusal(wrong).await.contains("Write sqlite:PATH or postgres://"), "{wrong}");
    }
    assert!(refusal("sqlite:a.db?mode=ro").await.contains("no parameters"));
}

#[tokio::test]
async fn an_unreachable_server_is_named_without_its_password() {
    let text = refusal("postgres://app:hunter2@127.0.0.1:1/db?application_name=hunter2").await;
    assert!(text.contains("postgres://app@127.0.0.1:1/db") && text.contains("Check that the server runs"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn f12_a_database_locked_from_outside_is_busy_after_five_seconds_and_works_again_after() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.db");
    let store = Store::open(&url(&file)).await.unwrap();
    let mut shell = SqliteConnection::connect(&url(&file)).await.unwrap();
    let lock = shell.begin_with("BEGIN EXCLUSIVE").await.unwrap();
    let started = Instant::now();
    let error = store.ping().await.expect_err("the file is locked");
    assert!(error.is_busy(), "{error}");
    assert!((4.5..9.0).contains(&started.elapsed().as_secs_f64()), "{:?}", started.elapsed());
    lock.rollback().await.unwrap();
    store.ping().await.unwrap();
}

#[tokio::test]
async fn f16_a_commit_is_on_disk_before_it_returns() {
    on_every_engine(async |store| {
        let said = async |asked: &'static str| {
            let row = store.0.writer.fetch_one(sqlx::raw_sql(asked)).await.unwrap();
            row.try_get::<String, _>(0).unwrap_or_else(|_| row.get::<i64, _>(0).to_string())
        };
        match store.0.engine {
            Engine::Sqlite => {
                assert_eq!(said("PRAGMA journal_mode").await, "wal");
                assert_eq!(said("PRAGMA synchronous").await, "2", "FULL");
            }
            Engine::Postgres => assert_eq!(said("SHOW synchronous_commit").await, "on"),
        }
    })
    .await;
    // A server whose default is to answer first.
    let Ok(server) = std::env::var("TEST_DATABASE_URL") else { return };
    let schema = format!("firstlook_{}", Uuid::now_v7().simple());
    let mut admin = PgConnection::connect(&server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(&mut admin).await.unwrap();
    let lax = format!("{server}?options=-csearch_path%3D{schema}%20-csynchronous_commit%3Doff");
    let store = Store::open(&lax).await.unwrap();
    let row = store.0.writer.fetch_one(sqlx::raw_sql("SHOW synchronous_commit")).await.unwrap();
    assert_eq!(row.get::<String, _>(0), "on");
    store.close().await;
    sqlx::raw_sql(AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"))).execute(&mut admin).await.unwrap();
}

#[tokio::test]
async fn f13_a_full_disk_refuses_new_alerts_and_keeps_the_old_until_there_is_space_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&url(&directory.path().join("a.db"))).await.unwrap();
    let limit = |pages: u32| {
        let statement = AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::raw_sql(statement).execute(&store.0.writer)
    };
    limit(1).await.unwrap();
    let mut kept = Vec::new();
    let error = loop {
        let mut tx = store.begin().await.unwrap();
        let id = Uuid::now_v7();
        let group = group(&["api-1"; 50]);
        let key = id.to_string();
        let (source, opened_at) = (Source::Alertmanager, at(0));
        let new = NewIncident { id, source, group_key_hash: &key, opened_at, group: &group };
        match tx.insert_incident(&new).await {
            Ok(()) => tx.commit().await.unwrap(),
            Err(error) => break error,
        }
        kept.push(id);
        assert!(kept.len() < 1000, "the file must not grow");
    };
    assert!(error.to_string().contains("full") && !error.is_busy(), "{error}");
    assert_eq!(store.incidents(1000, None, None).await.unwrap().len(), kept.len());
    limit(1_000_000).await.unwrap();
    opened(&store, "k").await;
}

#[tokio::test]
async fn a_server_that_drops_every_connection_is_used_again_by_the_next_call() {
    on_every_engine(async |store| {
        if store.0.engine == Engine::Sqlite {
            return;
        }
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(store.begin().await.unwrap());
        }
        let mut last = store.begin().await.unwrap();
        drop(others);
        let query = last.query(
            "SELECT CAST(COUNT(pg_terminate_backend(pid)) AS BIGINT) AS n FROM pg_stat_activity
             WHERE application_name = current_setting('application_name') AND pid <> pg_backend_pid()",
        );
        let row = last.row("drop connections", query).await.unwrap().unwrap();
        assert!(Columns(&row).count("n").unwrap() >= 4);
        drop(last);
        for key in 0..8 {
            opened(&store, &key.to_string()).await;
        }
    })
    .await;
}
