//! Health of one thing the service depends on, as its own work met it: nothing is dialled to find out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

/// The last success and the last failure. Holds fixed words only, so that it may be shown to anybody.
#[derive(Debug, Default)]
pub struct Health(Mutex<Seen>);

/// What is known at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// How it went last.
    pub state: State,
    /// When it last answered.
    pub last_success: Option<Timestamp>,
    /// How long that answer took, in milliseconds.
    pub latency_ms: Option<u64>,
    /// When it last failed.
    pub last_failure: Option<Timestamp>,
    /// A fixed word for that failure.
    pub failure: Option<&'static str>,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

/// How it went last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not needed since the service started.
    #[default]
    Unused,
    /// The last use succeeded.
    Ok,
    /// The last use failed.
    Failing,
}

impl Health {
    /// It answered, after so long.
    pub fn succeeded(&self, took: Duration) {
        self.note(|seen| {
            seen.state = State::Ok;
            seen.last_success = Some(Timestamp::now());
            seen.latency_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        });
    }

    /// It did not.
    pub fn failed(&self, failure: &'static str, advice: &'static str) {
        self.note(|seen| {
            seen.state = State::Failing;
            seen.last_failure = Some(Timestamp::now());
            seen.failure = Some(failure);
            seen.advice = Some(advice);
        });
    }

    /// What is known now. A failure that is over stays visible beside the success after it.
    #[must_use]
    pub fn seen(&self) -> Seen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_decides_and_both_ends_stay_known() {
        let health = Health::default();
        assert_eq!(health.seen(), Seen::default());
        health.failed("auth", "check api_key");
        assert_eq!((health.seen().state, health.seen().last_success), (State::Failing, None));
        health.succeeded(Duration::from_millis(12));
        let seen = health.seen();
        assert_eq!((seen.state, seen.latency_ms, seen.failure), (State::Ok, Some(12), Some("auth")));
        assert!(seen.last_success >= seen.last_failure);
    }
}
