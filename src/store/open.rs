//! Opening a store: address, single-process guard, connection settings, checks and migrations.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, ConnectOptions, Connection, Row};
use url::Url;

use super::{Engine, Guard, Inner, Store, StoreError};

/// How long a write waits for another one, and a caller for a connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// Alerts are few and small; this leaves room for the workers beside the webhooks and the pages.
const POSTGRES_CONNECTIONS: u32 = 10;
const SQLITE_READERS: u32 = 4;
/// Files up to this size are read through at start (well under a second); damage in larger ones shows when it is read.
const CHECKED_BYTES: u64 = 256 << 20;

/// How long SQLite waits for another writer, in its own words.
pub(super) const PATIENT: &str = "PRAGMA busy_timeout = 5000";

/// WAL with synchronous FULL syncs every commit to disk: a 202 outlives a loss of power.
const SQLITE_SETTINGS: &str = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA foreign_keys = ON; PRAGMA journal_size_limit = 67108864";
const SQLITE_READER_SETTINGS: &str =
    "PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA query_only = ON";
/// A process that freezes within a transaction gives up its locks after a lease's time; no transaction here waits for anything.
///
/// A server that answers commits before they are on disk would lose what was answered 202; one that is stricter stays so.
const POSTGRES_SETTINGS: &str = "SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '15s';
     SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

pub(super) async fn open(url: &str) -> Result<Store, StoreError> {
    sqlx::any::install_default_drivers();
    match url.split_once(':') {
        Some(("sqlite", path)) => open_sqlite(path).await,
        Some(("postgres" | "postgresql", _)) => open_postgres(url).await,
        Some((scheme, _)) => Err(unusable(scheme, "this kind of store is not known", SHAPES)),
        None => Err(unusable(url, "a store is an address, not a bare name", SHAPES)),
    }
}

pub(super) const SHAPES: &str = "Write sqlite:PATH or postgres://user:password@host/database";

async fn open_postgres(url: &str) -> Result<Store, StoreError> {
    let address: Url = url.parse().map_err(|error| unusable("postgres", error, SHAPES))?;
    let store = without_secrets(&address);
    let options = postgres_options(&address)?;
    let mut first = dial_postgres(&address).await?;
    migrate(&mut first, &store).await?;
    first.close().await.map_err(|error| unusable(&store, error, "Try again"))?;

    let pool = settings(POSTGRES_CONNECTIONS, POSTGRES_SETTINGS)
        .after_release(|connection, _| Box::pin(still_answers(connection)))
        .connect_lazy_with(options);
    let (writer, reader) = (pool.clone(), pool);
    Ok(Store(Arc::new(Inner { writer, reader, engine: Engine::Postgres, guard: None })))
}

fn postgres_options(address: &Url) -> Result<AnyConnectOptions, StoreError> {
    AnyConnectOptions::from_url(address).map_err(|error| unusable(without_secrets(address), error, SHAPES))
}

pub(super) async fn dial_postgres(address: &Url) -> Result<AnyConnection, StoreError> {
    Engine::Postgres.limited(postgres_options(address)?.connect()).await.map_err(|error| {
        unusable(
            without_secrets(address),
            error,
            "Check that the server runs and is reachable from here, and the user, password and database name",
        )
    })
}

async fn open_sqlite(path: &str) -> Result<Store, StoreError> {
    let file = resolve(path)?;
    let store = file.display().to_string();
    let guard = Guard { path: file.clone(), _lock: lock(&file)? };
    refuse_orphaned_log(&file)?;
    let options = sqlite_options(&file)?;
    let mut first = options.connect().await.map_err(|error| unreadable(&store, &error))?;
    check(&mut first, &file).await?;
    migrate(&mut first, &store).await?;
    first.close().await.map_err(|error| unreadable(&store, &error))?;

    // An SQLite connection never goes stale, so none is replaced or tried before use.
    let lasting = |pool: AnyPoolOptions| pool.idle_timeout(None).max_lifetime(None).test_before_acquire(false);
    let writer = lasting(settings(1, SQLITE_SETTINGS))
        .after_release(|connection, _| Box::pin(is_usable(connection)))
        .connect_lazy_with(options.clone());
    let reader = lasting(settings(SQLITE_READERS, SQLITE_READER_SETTINGS)).connect_lazy_with(options);
    Ok(Store(Arc::new(Inner { writer, reader, engine: Engine::Sqlite, guard: Some(guard) })))
}

fn settings(connections: u32, statements: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE).after_connect(move |connection, _| {
        Box::pin(async move { sqlx::raw_sql(statements).execute(connection).await.map(drop) })
    })
}

/// A line that went silent, as when the database's machine is gone, answers nothing for ever: such a connection is given up
/// when it comes back, or it would keep its place in the pool and, at the end, the process.
async fn still_answers(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    match tokio::time::timeout(PATIENCE, connection.ping()).await {
        Ok(answered) => answered.map(|()| true),
        Err(_) => Err(sqlx::Error::PoolTimedOut),
    }
}

/// A full disk makes SQLite end the transaction by itself. The driver then believes for ever that it goes on, and refuses
/// to begin another one: such a connection is replaced, or no alert could be taken even after there is space again.
async fn is_usable(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    if !connection.is_in_transaction() {
        return Ok(true);
    }
    // The rollback of a dropped transaction may be on its way; the answer to a ping comes after it.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

/// The file's real path, whatever route leads to it: two routes to one file must meet at one lock.
pub(super) fn resolve(path: &str) -> Result<PathBuf, StoreError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path == ":memory:" {
        return Err(unusable(format!("sqlite:{path}"), "alerts must survive a restart, so a file is needed", SHAPES));
    }
    if path.contains('?') {
        return Err(unusable(format!("sqlite:{path}"), "a path takes no parameters", "Remove everything from the ?"));
    }
    let given = Path::new(path);
    if let Ok(real) = given.canonicalize() {
        return Ok(real);
    }
    let parent = match given.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = parent.canonicalize().map_err(|error| {
        let problem = format!("its directory {} cannot be used ({error})", parent.display());
        unusable(path, problem, "Create the directory, or correct the path")
    })?;
    let name = given.file_name().ok_or_else(|| unusable(path, "it names no file", SHAPES))?;
    Ok(directory.join(name))
}

/// Held as long as the store is open. The kernel lets go of it when the process ends, however it ends.
pub(super) fn lock(file: &Path) -> Result<File, StoreError> {
    let beside = with_suffix(file, ".lock");
    let cannot = |error: std::io::Error| {
        let problem = format!("{} cannot be locked ({error})", beside.display());
        unusable(file.display(), problem, "firstlook needs to write in this directory, on a file system that can lock")
    };
    let guard = File::options().write(true).create(true).truncate(false).open(&beside).map_err(cannot)?;
    match guard.try_lock() {
        Ok(()) => Ok(guard),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { file: file.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(cannot(error)),
    }
}

/// A write-ahead log without its database means that the database was moved away: a new one would hide the loss.
pub(super) fn refuse_orphaned_log(file: &Path) -> Result<(), StoreError> {
    let log = with_suffix(file, "-wal");
    if file.exists() || !log.exists() {
        return Ok(());
    }
    let problem = format!("the file is missing, but its log {} is there", log.display());
    Err(unusable(file.display(), problem, "Put the file back beside its log, or remove the log to start empty"))
}

pub(super) fn sqlite_options(file: &Path) -> Result<AnyConnectOptions, StoreError> {
    let not_an_address = || unusable(file.display(), "the path cannot be written as an address", SHAPES);
    let encoded = Url::from_file_path(file).map_err(|()| not_an_address())?;
    let url = format!("sqlite://{}?mode=rwc", encoded.path());
    url.parse().map_err(|_| not_an_address())
}

/// Sets the connection up and makes sure that what it opened is whole and ours.
pub(super) async fn check(connection: &mut AnyConnection, file: &Path) -> Result<(), StoreError> {
    let store = file.display().to_string();
    let refused = |error: sqlx::Error| unreadable(&store, &error);
    sqlx::raw_sql(SQLITE_SETTINGS).execute(&mut *connection).await.map_err(refused)?;
    let tables = "SELECT COUNT(*) AS n, COALESCE(SUM(name = '_sqlx_migrations'), 0) AS ours FROM sqlite_master";
    let row = sqlx::query(tables).fetch_one(&mut *connection).await.map_err(refused)?;
    let (all, ours): (i64, i64) = (row.try_get("n").map_err(refused)?, row.try_get("ours").map_err(refused)?);
    if all > 0 && ours == 0 {
        return Err(unusable(&store, "this database belongs to another program", "Choose another path"));
    }
    if file.metadata().is_ok_and(|metadata| metadata.len() <= CHECKED_BYTES) {
        let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(connection).await.map_err(refused)?;
        let verdict: String = row.try_get(0).map_err(refused)?;
        if verdict != "ok" {
            return Err(unusable(&store, format!("the file is damaged ({verdict})"), RESTORE));
        }
    }
    Ok(())
}

const RESTORE: &str = "Restore it from a backup, or move it and its -wal away to start with an empty one";

async fn migrate(connection: &mut AnyConnection, store: &str) -> Result<(), StoreError> {
    MIGRATIONS.run(connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => unusable(
            store,
            format!("it was written by a newer firstlook (its tables have version {version})"),
            "Run that version or a newer one, or use another store",
        ),
        MigrateError::VersionMismatch(version) => unusable(
            store,
            format!("its tables of version {version} were made by a different build"),
            "Run the build that made them, or use another store",
        ),
        other => unusable(store, other, "Check that the user may create tables, then start again"),
    })
}

pub(super) fn unreadable(store: &str, error: &sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|error| error.code()).and_then(|code| code.parse::<i64>().ok());
    // Primary result codes of SQLite: 5 busy, 8 read-only, 10 I/O, 11 corrupt, 13 full, 14 cannot open, 26 no database.
    let (problem, advice) = match code.map(|code| code & 0xff) {
        Some(5) => ("it is locked by another program", "Close that program (a database shell, a backup)"),
        Some(8 | 14) => {
            ("it cannot be opened for writing", "Give firstlook the right to write the file and its directory")
        }
        Some(11) => ("the file is damaged", RESTORE),
        Some(13) => ("the disk is full", "Free some space"),
        Some(26) => ("this file is not an SQLite database", "Choose another path, or move the file away"),
        _ => ("it cannot be opened", "Check the file and the disk it is on"),
    };
    unusable(store, format!("{problem} ({error})"), advice)
}

pub(super) fn unusable(store: impl ToString, problem: impl ToString, advice: &str) -> StoreError {
    StoreError::Unusable { store: store.to_string(), problem: problem.to_string(), advice: advice.to_owned() }
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Password and parameters (which may hold one) stay out of messages.
pub(super) fn without_secrets(address: &Url) -> String {
    let mut shown = address.clone();
    shown.set_query(None);
    // Refused for addresses that cannot have a password, which then have none to hide.
    let _ = shown.set_password(None);
    shown.to_string()
}
