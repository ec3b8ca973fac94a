//! Stand-ins and fixtures. A stand-in refuses what the real one refuses.

pub mod model;
//! What several end-to-end tests need: served snapshots, foreign servers.

pub mod cluster;
pub mod original;
