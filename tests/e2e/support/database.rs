//! Both engines: a SQLite file, and a PostgreSQL database of a test's own when `TEST_DATABASE_URL` names a server.

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

/// A database that is there as long as a test needs it.
pub struct Database {
    admin: Option<(Url, String)>,
}

impl Database {
    /// Every engine that can be had here, by name.
    pub async fn every() -> Vec<(&'static str, Self)> {
        let mut every = vec![("sqlite", Self { admin: None })];
        match std::env::var("TEST_DATABASE_URL") {
            Ok(server) => every.push(("postgres", Self::create(server.parse().unwrap()).await)),
            Err(_) => eprintln!("TEST_DATABASE_URL names no PostgreSQL server: SQLite alone is tested"),
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
