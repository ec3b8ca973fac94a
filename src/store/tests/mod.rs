//! The store as its callers use it, on SQLite always and on PostgreSQL when `TEST_DATABASE_URL` is set.

mod cards;
mod causes;
mod clock;
mod dead;
mod digests;
pub(crate) mod fixtures;
mod held;
mod incidents;
mod investigations;
mod listing;
mod meanwhile;
mod models;
mod opening;
mod outbox;
mod outcomes;
mod paces;
mod prune;
mod secrets;
mod signatures;
