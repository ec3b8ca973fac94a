//! Both engines: a SQLite file, and a PostgreSQL database of a test's own when `TEST_DATABASE_URL` names a server.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;
use futures::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

tokio::task_local! {
    /// What the home of a test that runs on every engine keeps its alerts in.
    static HERE: Here;
}

struct Here {
    address: Option<String>,
    taken: Cell<bool>,
}

/// What belongs under `store:` of a home made now; nothing for SQLite, where the home's own file serves.
pub fn address_here() -> Option<String> {
    let address = |here: &Here| {
        let address = here.address.clone()?;
        assert!(!here.taken.replace(true), "a test on every engine has one home: two would share a database");
        Some(address)
    };
    HERE.try_with(address).ok().flatten()
}

/// Runs a test on every engine that can be had here, on all at the same time. The home it makes is on that engine.
pub async fn on_every_engine(test: impl AsyncFn()) {
    let test = &test;
    let runs = Database::every().await.into_iter().map(|(engine, database)| async move {
        let here = Here { address: database.address(), taken: Cell::new(false) };
        let ended = AssertUnwindSafe(HERE.scope(here, test())).catch_unwind().await;
        ended.unwrap_or_else(|panic| {
            eprintln!("it failed on {engine}");
            resume_unwind(panic)
        });
        database.remove().await;
    });
    join_all(runs).await;
}

/// A database that is there as long as a test needs it.
pub struct Database {
    admin: Option<(Url, String)>,
}

impl Database {
    /// Every engine that can be had here, by name.
    ///
    /// # Panics
    /// When `FIRSTLOOK_REQUIRE_POSTGRES` says that there is a server and there is none: a test that tests half of what
    /// it says must not pass where everything is to be tested.
    pub async fn every() -> Vec<(&'static str, Self)> {
        let mut every = vec![("sqlite", Self { admin: None })];
        match std::env::var("TEST_DATABASE_URL") {
            Ok(server) => every.push(("postgres", Self::create(server.parse().unwrap()).await)),
            Err(_) => {
                let required = std::env::var_os("FIRSTLOOK_REQUIRE_POSTGRES").is_some();
                assert!(!required, "FIRSTLOOK_REQUIRE_POSTGRES is set and TEST_DATABASE_URL names no server");
                eprintln!("TEST_DATABASE_URL names no PostgreSQL server: SQLite alone is tested");
            }
        }
        every
    }

    /// A PostgreSQL database, where one can be had: SQLite has no replicas.
    pub async fn postgres() -> Option<Self> {
        Self::every().await.into_iter().find_map(|(engine, database)| (engine == "postgres").then_some(database))
    }

    async fn create(server: Url) -> Self {
        let name = format!("firstlook_{}", uuid::Uuid::now_v7().simple());
        run(&server, format!("CREATE DATABASE {name}")).await;
        Self { admin: Some((server, name)) }
    }

    /// What belongs under `store:`; nothing for SQLite, where the home's own file serves.
    pub fn address(&self) -> Option<String> {
        let (server, name) = self.admin.as_ref()?;
        let mut address = server.clone();
        address.set_path(name);
        Some(address.to_string())
    }

    /// Removes it; a test that failed leaves it for a look.
    pub async fn remove(self) {
        if let Some((server, name)) = self.admin {
            run(&server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

async fn run(server: &Url, statement: String) {
    let mut admin = PgConnection::connect(server.as_str()).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut admin).await.unwrap();
}
