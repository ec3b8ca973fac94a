//! Stand-ins and foreign servers. A stand-in refuses what the real one refuses.

pub mod cluster;
pub mod model;
pub mod original;
pub mod tools;
