//! Firstlook: a true first look at every alert, before it reaches the group chat.

pub mod agent;
pub mod alert;
pub mod cli;
pub mod config;
pub mod http;
pub mod incident;
pub mod intake;
pub mod kube;
pub mod markdown;
pub mod model;
pub mod notify;
pub mod playbook;
pub mod redact;
pub mod report;
pub mod store;
pub mod telemetry;
pub mod toolbox;
pub mod triage;
