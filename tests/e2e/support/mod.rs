//! What several end-to-end tests need: served snapshots, foreign servers.

pub mod cluster;
pub mod original;
