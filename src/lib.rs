//! Firstlook: a true first look at every alert, before it reaches the group chat.
//!
//! One alert walks through the rooms in this order; a room may use those below it, never those above.
//!
//! 1. [`cli`] turns arguments into calls; [`config`] reads the file and assembles the settings the rooms define.
//! 2. [`http`] takes the webhook and answers only after the commit; [`intake`] makes an [`alert::AlertGroup`] of it.
//! 3. [`incident`] decides what the delivery means, once, and writes all that follows from it in one transaction: the
//!    incident, the investigation, and the first message, due within two seconds whatever happens next.
//! 4. [`triage`] gathers, analyzes, reasons, grounds: [`playbook`] knows Kubernetes, [`agent`] runs a [`model`] in a bounded
//!    loop, [`toolbox`] is the only way to a tool, [`kube`] is the toolset that needs no second deployment,
//!    [`prometheus`] measures.
//! 5. [`notify`] takes messages from the outbox and gives them the form of each channel.
//! 6. [`store`] keeps it all; [`report`], [`series`], [`redact`], [`telemetry`], [`times`], [`quantity`], [`applied`], [`markdown`],
//!    [`trust`] and [`unreached`] serve every room.
//!
//! Architecture invariants:
//!
//! - Only [`store`] contains SQL.
//! - Only `model/wire` and `notify/*/wire.rs` know foreign JSON.
//! - [`agent`] knows no HTTP and no database.
//! - [`toolbox`] is the only way to a tool, and redaction sits in its way out.
//! - The diagnosing loop holds no tool that changes something.
//! - Nothing is sent to a person except through the outbox.
//! - Secrets live in `SecretString` only.

pub mod agent;
pub mod alert;
pub mod applied;
pub mod cli;
pub mod config;
pub mod failpoint;
#[cfg(test)]
mod house;
pub mod http;
pub mod incident;
pub mod intake;
pub mod kube;
pub mod markdown;
pub mod model;
pub mod notify;
pub mod playbook;
pub mod prometheus;
pub mod quantity;
pub mod redact;
pub mod report;
pub mod series;
pub mod store;
pub mod telemetry;
pub mod times;
pub mod toolbox;
pub mod triage;
pub mod trust;
pub mod unreached;
