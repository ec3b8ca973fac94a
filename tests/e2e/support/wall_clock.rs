//! A clock that can be set, for one process.

use super::service::{Home, Service};
use super::tools;

/// A wall clock for one process, set through a file; what measures spans goes on as it does.
pub struct Clock(tempfile::TempDir);

impl Clock {
    /// One that shows our time.
    pub fn new() -> Self {
        let clock = Self(tempfile::tempdir().unwrap());
        clock.set("+0");
        clock
    }

    fn file(&self) -> String {
        self.0.path().join("clock").display().to_string()
    }

    /// So far it is from now on ahead of ours (`+3600`), or behind (`-3600`); seen within a second.
    pub fn set(&self, offset: &str) {
        std::fs::write(self.file(), offset).unwrap();
    }

    /// Starts a service that lives by it.
    pub async fn serve(&self, home: &Home) -> Service {
        home.serve_with(&[
            ("LD_PRELOAD", &tools::faketime()),
            ("FAKETIME_TIMESTAMP_FILE", &self.file()),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ])
        .await
    }
}
