//! The life of an incident: what a delivery means, what people are told when, and who investigates.
//!
//! The first message is written into the outbox in the same transaction that accepts the delivery, due within two
//! seconds. Whatever happens afterwards (no model, no cluster, a crash), it goes out; an investigation that is quick
//! enough only adds to it. That is how an alert is never worse off than without us.

mod again;
mod backlog;
mod books;
mod cause;
pub mod clock;
pub mod decide;
pub mod desk;
mod entry;
pub mod hold;
mod join;
mod line;
pub mod orphans;
pub mod press;
mod progress;
pub mod retention;
pub mod routes;
mod settings;
mod silence;
mod telling;
pub mod wake;
pub mod worker;

pub use desk::{Desk, Receipt};
pub use settings::DeskSettings;
pub use wake::Wake;
pub use worker::Worker;
