//! Telemetry: what the service says about itself, to logs and to Prometheus. It uses no other room.

mod health;
mod logging;
mod metrics;
pub mod progress;

pub use health::{Advice, Health, Seen, State};
pub use logging::{LogFormat, LoggingError, Occasion, init_logging};
pub use metrics::{CONTENT_TYPE, Metrics};
