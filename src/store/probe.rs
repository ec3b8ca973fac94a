//! A look at the store before a service runs on it. It changes nothing: no file is made, no table is altered.

use std::path::Path;

use sqlx::{ConnectOptions, Connection};
use url::Url;

use super::StoreError;
use super::open::{self, SHAPES, unusable};

/// What a store is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is there and takes a transaction.
    Ready,
    /// Another firstlook holds it, which is what a running service does.
    InUse,
    /// There is none yet; the service can make it.
    Creatable,
}

/// Looks at the store an address names.
pub(super) async fn probe(url: &str) -> Result<Found, StoreError> {
    sqlx::any::install_default_drivers();
    match url.split_once(':') {
        Some(("sqlite", path)) => probe_sqlite(path).await,
        Some(("postgres" | "postgresql", _)) => probe_postgres(url).await,
        _ => Err(unusable(url, "this kind of store is not known", SHAPES)),
    }
}

async fn probe_sqlite(path: &str) -> Result<Found, StoreError> {
    let file = open::resolve(path)?;
    open::refuse_orphaned_log(&file)?;
    if !file.exists() {
        return writable(&file);
    }
    let _guard = match open::lock(&file) {
        Ok(guard) => guard,
        Err(StoreError::Locked { .. }) => return Ok(Found::InUse),
        Err(error) => return Err(error),
    };
    let store = file.display().to_string();
    let mut connection =
        open::sqlite_options(&file)?.connect().await.map_err(|error| open::unreadable(&store, &error))?;
    open::check(&mut connection, &file).await?;
    let begun = connection.begin_with("BEGIN IMMEDIATE").await.map_err(|error| open::unreadable(&store, &error))?;
    begun.rollback().await.map_err(|error| open::unreadable(&store, &error))?;
    connection.close().await.map_err(|error| open::unreadable(&store, &error))?;
    Ok(Found::Ready)
}

/// A file without a name, gone at once, shows whether the directory takes one.
fn writable(file: &Path) -> Result<Found, StoreError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    tempfile::tempfile_in(folder).map(|_| Found::Creatable).map_err(|error| {
        let problem = format!("no file can be made in {} ({error})", folder.display());
        unusable(file.display(), problem, "Give firstlook the right to write there, or choose another path")
    })
}

async fn probe_postgres(url: &str) -> Result<Found, StoreError> {
    let address: Url = url.parse().map_err(|error| unusable("postgres", error, SHAPES))?;
    let mut connection = open::dial_postgres(&address).await?;
    let store = open::without_secrets(&address);
    let broken = |error: sqlx::Error| unusable(&store, error, "Try again");
    connection.begin().await.map_err(broken)?.rollback().await.map_err(broken)?;
    connection.close().await.map_err(broken)?;
    Ok(Found::Ready)
}
