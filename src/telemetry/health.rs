//! Health of one thing the service depends on, as its own work met it: nothing is dialled to find out.

use std::fmt::Display;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::alert::Lang;

/// The last success and the last failure. What is data of it are fixed words only, so that it may be shown to anybody.
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
    pub advice: Option<Advice>,
    /// The failure in the words of its error, which never hold a secret: for whoever is logged in, and no part of the data.
    #[serde(skip)]
    pub said: String,
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

/// A sentence in both languages: who reads it is known only later. Where it is data it is English, as all of that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    zh: &'static str,
    en: &'static str,
}

impl Advice {
    /// The sentence in this language.
    #[must_use]
    pub fn told(self, lang: Lang) -> &'static str {
        lang.pick(self.zh, self.en)
    }
}

impl Serialize for Advice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.en)
    }
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
    pub fn failed(&self, failure: &'static str, said: impl Display, advice: impl Fn(Lang) -> &'static str) {
        self.note(|seen| {
            seen.state = State::Failing;
            seen.last_failure = Some(Timestamp::now());
            seen.failure = Some(failure);
            seen.said = said.to_string();
            seen.advice = Some(Advice { zh: advice(Lang::Zh), en: advice(Lang::En) });
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
        health.failed("auth", "no such key", |lang| lang.pick("检查 api_key", "check api_key"));
        assert_eq!((health.seen().state, health.seen().last_success), (State::Failing, None));
        health.succeeded(Duration::from_millis(12));
        let seen = health.seen();
        assert_eq!((seen.state, seen.latency_ms, seen.failure), (State::Ok, Some(12), Some("auth")));
        assert_eq!(seen.advice.map(|advice| advice.told(Lang::Zh)), Some("检查 api_key"));
        assert_eq!(serde_json::to_value(seen.advice).unwrap(), "check api_key");
        assert!(seen.last_success >= seen.last_failure);
        assert_eq!(seen.said, "no such key");
        assert!(!serde_json::to_string(&seen).unwrap().contains("no such key"), "its data is shown to anybody");
    }
}
