//! The store: everything that must survive a crash, and the only place that speaks SQL.
//!
//! One SQL text serves SQLite and PostgreSQL; the clauses that lock rows are the only difference.
//!
//! Architecture invariant: whoever locks several rows locks the incident first, then its investigation, then its
//! outbox rows in their order, then its deliveries. And nobody outside sees a row: callers get typed values and typed errors.

mod beside;
mod calls;
mod cards;
mod causes;
mod clock;
mod columns;
mod counts;
mod dead;
mod deliveries;
mod digests;
mod error;
mod evidence;
mod gist;
mod held;
mod incidents;
mod investigations;
mod joined;
mod listing;
mod looks;
mod meanwhile;
mod models;
mod open;
mod outbox;
mod outcomes;
mod paces;
mod presses;
mod probe;
mod prune;
mod read_so_far;
mod reading;
mod secrets;
mod sending;
mod signatures;
mod silences;
mod size;
#[cfg(test)]
pub(crate) mod tests;

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use sqlx::any::{Any, AnyArguments, AnyRow};
use sqlx::{AnyPool, AssertSqlSafe, Transaction};

pub use beside::Beside;
pub use cards::{Card, Shown};
pub use causes::Sharing;
pub use counts::{ChannelCounts, Counts};
pub use dead::Revival;
pub use deliveries::{Changes, Decision, Delivery, Named};
pub use digests::{ClaimedDigest, UndeliveredDigest};
pub use error::StoreError;
pub use incidents::{Incident, IncidentState, LastTime, NewIncident};
pub use investigations::{Again, Claim, MAX_ATTEMPTS, Retry};
pub use joined::Firsts;
pub use listing::{ByState, Choices, Listed, Narrowed, Pulse};
pub use looks::PastLook;
pub use models::Spending;
pub use outbox::{NewNotice, NoticeRole};
pub use outcomes::{Balance, Outcome};
pub use paces::{Taken, next_turn};
pub use presses::{PressEntry, PressState};
pub use probe::Found;
pub use reading::{IncidentDetail, IncidentSummary, Investigation, InvestigationState, NoticeState, OutboxEntry};
pub use sending::Outgoing;
pub use signatures::Hold;
pub use silences::SilencedBy;

use error::Doing;

type Query<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

/// The two databases, and the words that only one of them knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// Completes a statement: `{locked}` makes PostgreSQL wait for the rows it reads, `{unclaimed}` makes it skip
    /// those somebody else holds. SQLite has one writer at a time and needs neither. `{clock}` is the time of leases in
    /// milliseconds: the database's, which all replicas share however wrong their own clocks are; on SQLite, which has one
    /// process, that of a clock nobody sets. `{now}` is the same for what outlives a process: on SQLite the time of day.
    fn sql(self, text: &'static str) -> AssertSqlSafe<String> {
        let (locked, unclaimed) = match self {
            Self::Sqlite => ("", ""),
            Self::Postgres => ("FOR UPDATE", "FOR UPDATE SKIP LOCKED"),
        };
        let mut text = text.replace("{locked}", locked).replace("{unclaimed}", unclaimed);
        if text.contains("{clock}") {
            let clock = match self {
                Self::Sqlite => steady().to_string(),
                Self::Postgres => POSTGRES_CLOCK.to_owned(),
            };
            text = text.replace("{clock}", &clock);
        }
        if text.contains("{now}") {
            let now = match self {
                Self::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
                Self::Postgres => POSTGRES_CLOCK,
            };
            text = text.replace("{now}", now);
        }
        AssertSqlSafe(text)
    }

    /// Waits for PostgreSQL no longer than any statement here takes: what a line that went silent will never answer would
    /// otherwise hold its worker for ever. SQLite limits its own waiting, and is not to be left in the middle.
    async fn limited<T>(self, asked: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        match self {
            Self::Sqlite => asked.await,
            Self::Postgres => {
                let silent = || sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut));
                tokio::time::timeout(SILENT, asked).await.unwrap_or_else(|_| Err(silent()))
            }
        }
    }
}

/// The clock all replicas share, in milliseconds since 1970.
const POSTGRES_CLOCK: &str = "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)";

/// Milliseconds since 1970 as they were when this process began, and as many more as went by since: a clock that is set
/// in between takes no lease from who holds it.
fn steady() -> i64 {
    static BEGAN: LazyLock<(Instant, i64)> = LazyLock::new(|| (Instant::now(), columns::now()));
    let (began, at) = *BEGAN;
    at.saturating_add(columns::millis(began.elapsed()))
}

/// How long PostgreSQL may take to answer: three times as long as a statement waits for a lock.
const SILENT: Duration = Duration::from_secs(15);

/// An open store. Cloning shares the connections.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// On SQLite a single connection: writers queue here in order of arrival instead of polling for the file's lock.
    writer: AnyPool,
    reader: AnyPool,
    engine: Engine,
    /// SQLite's file. Declared last, so that the connections go before the guard does.
    guard: Option<Guard>,
}

/// A file that no other process may use meanwhile.
#[derive(Debug)]
struct Guard {
    path: PathBuf,
    _lock: File,
}

impl Store {
    /// Opens `sqlite:PATH` (created when missing, its directory must exist) or `postgres://…`, and brings its tables
    /// up to date.
    ///
    /// # Errors
    /// When the file is in use by another process, corrupt, of a newer version or not ours, and when the server
    /// cannot be reached. Nothing is ever replaced by an empty store.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        open::open(url).await
    }

    /// Whether an address leads to the file of this store, however it is spelled. PostgreSQL serves whoever comes.
    #[must_use]
    pub fn is_file(&self, url: &str) -> bool {
        let file = url.strip_prefix("sqlite:").and_then(|path| open::resolve(path).ok());
        file.is_some_and(|file| self.0.guard.as_ref().is_some_and(|guard| guard.path == file))
    }

    /// Whether both are one open store.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Looks at what an address names, without creating or changing anything.
    ///
    /// # Errors
    /// When a service could not run on it.
    pub async fn probe(url: &str) -> Result<Found, StoreError> {
        probe::probe(url).await
    }

    /// Makes sure that a delivery could be written now.
    ///
    /// # Errors
    /// When the database is locked, full of waiting writers or gone.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        if self.0.engine == Engine::Postgres {
            // Waits for whom the next delivery would wait. SQLite's writer waited when it began.
            let query = tx.query("LOCK TABLE incident, delivery, outbox IN ROW EXCLUSIVE MODE");
            tx.write("reach the tables", query).await?;
        }
        self.0.engine.limited(tx.inner.rollback()).await.doing("end a transaction")
    }

    /// Whether all writers wait for each other, so that those who wait together had better share a commit: SQLite.
    #[must_use]
    pub fn has_one_writer(&self) -> bool {
        self.0.engine == Engine::Sqlite
    }

    /// Starts a transaction. On SQLite it is the only one: until it ends, every other write waits, up to 5 s.
    ///
    /// # Errors
    /// When the database is busy for longer than that, or gone.
    pub async fn begin(&self) -> Result<Tx<'_>, StoreError> {
        let begun = match self.0.engine {
            // A transaction that reads before it writes is refused at once, busy timeout or not, unless it says so here.
            Engine::Sqlite => self.0.writer.begin_with("BEGIN IMMEDIATE").await,
            Engine::Postgres => self.0.engine.limited(self.0.writer.begin()).await,
        };
        Ok(Tx { store: self, inner: begun.doing("begin a transaction")?, failed: false })
    }

    /// Closes the connections, so that SQLite folds its write-ahead log into the file. Unfinished transactions go first;
    /// PostgreSQL rolls back by itself what a line that went silent has open.
    pub async fn close(&self) {
        let closed = async {
            self.0.reader.close().await;
            self.0.writer.close().await;
            Ok(())
        };
        if let Err(error) = self.0.engine.limited(closed).await {
            tracing::warn!(%error, "the store's connections could not be closed; the server notices by itself");
        }
    }

    fn query<'q>(&self, text: &'static str) -> Query<'q> {
        sqlx::query(self.0.engine.sql(text))
    }

    async fn write(&self, doing: &'static str, query: Query<'_>) -> Result<u64, StoreError> {
        Ok(self.0.engine.limited(query.execute(&self.0.writer)).await.doing(doing)?.rows_affected())
    }

    /// Runs a writing statement with `RETURNING`. It is read to its end: SQLite commits there, not at the first row.
    async fn returning(&self, doing: &'static str, query: Query<'_>) -> Result<Option<AnyRow>, StoreError> {
        Ok(self.0.engine.limited(query.fetch_all(&self.0.writer)).await.doing(doing)?.pop())
    }

    async fn rows(&self, doing: &'static str, query: Query<'_>) -> Result<Vec<AnyRow>, StoreError> {
        self.0.engine.limited(query.fetch_all(&self.0.reader)).await.doing(doing)
    }

    async fn row(&self, doing: &'static str, query: Query<'_>) -> Result<Option<AnyRow>, StoreError> {
        self.0.engine.limited(query.fetch_optional(&self.0.reader)).await.doing(doing)
    }
}

/// A transaction: all of it is kept by [`Tx::commit`], or nothing. Dropping it keeps nothing.
pub struct Tx<'a> {
    store: &'a Store,
    inner: Transaction<'static, Any>,
    failed: bool,
}

impl Tx<'_> {
    /// Makes the transaction durable: after this returns, a crash or a loss of power does not undo it.
    ///
    /// # Errors
    /// When the database cannot, or when a statement had failed before: PostgreSQL would answer such a commit with
    /// success and keep nothing.
    pub async fn commit(self) -> Result<(), StoreError> {
        if self.failed {
            return Err(StoreError::Overlooked);
        }
        self.store.0.engine.limited(self.inner.commit()).await.doing("commit a transaction")
    }

    fn query<'q>(&self, text: &'static str) -> Query<'q> {
        self.store.query(text)
    }

    async fn write(&mut self, doing: &'static str, query: Query<'_>) -> Result<u64, StoreError> {
        let done = self.store.0.engine.limited(query.execute(&mut *self.inner)).await;
        self.failed |= done.is_err();
        Ok(done.doing(doing)?.rows_affected())
    }

    async fn rows(&mut self, doing: &'static str, query: Query<'_>) -> Result<Vec<AnyRow>, StoreError> {
        let rows = self.store.0.engine.limited(query.fetch_all(&mut *self.inner)).await;
        self.failed |= rows.is_err();
        rows.doing(doing)
    }

    async fn row(&mut self, doing: &'static str, query: Query<'_>) -> Result<Option<AnyRow>, StoreError> {
        Ok(self.rows(doing, query).await?.pop())
    }
}

/// A unique index that refuses a row means that somebody else was first.
fn conflict_or(error: StoreError) -> StoreError {
    match &error {
        StoreError::Database { source: sqlx::Error::Database(refused), .. } if refused.is_unique_violation() => {
            StoreError::Conflict
        }
        _ => error,
    }
}
