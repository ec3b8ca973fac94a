//! The cluster without a foreign process: a built-in Kubernetes toolset, and the snapshot it can be pointed at.

pub mod snapshot;
pub mod toolset;
