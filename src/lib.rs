//! Firstlook: a true first look at every alert, before it reaches the group chat.

pub mod agent;
pub mod alert;
pub mod config;
pub mod intake;
pub mod notify;
pub mod playbook;
pub mod redact;
pub mod report;
pub mod telemetry;
pub mod toolbox;
