//! Stand-ins and fixtures. A stand-in refuses what the real one refuses.

pub mod model;
