//! A circuit breaker: a provider that is down costs one question now and then, not seconds on each alert.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::{Class, ModelError};

/// Failures in a row of a kind that may pass before the model rests. Each of them was already tried three times.
const PATIENCE: u32 = 2;

/// The first rest; each one after a failed trial is twice as long.
const FIRST_REST: Duration = Duration::from_secs(30);

/// The longest rest of our own choosing: a provider that is back is found within this.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// The longest rest a provider can ask for by `Retry-After`. A plan's window is hours, but a typo must not be days.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// Whether a model is asked at all. Shared by all runs.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    rest: Option<Rest>,
    /// Somebody is finding out whether it is back.
    on_trial: bool,
}

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    length: Duration,
    why: Class,
}

/// The model rests: it is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resting {
    /// What it failed with.
    pub why: Class,
    /// How long until somebody may try it again; zero while somebody does.
    pub left: Duration,
}

/// Leave to ask once. Dropped without an outcome, as when a run is cancelled, it says nothing about the model.
#[derive(Debug)]
pub struct Pass<'a> {
    breaker: &'a Breaker,
    on_trial: bool,
}

impl Breaker {
    /// Leave to ask now: always while the model works, once at a time after a rest.
    ///
    /// # Errors
    /// When it rests.
    pub fn enter(&self) -> Result<Pass<'_>, Resting> {
        let mut state = self.state();
        if let Some(resting) = state.refusal() {
            return Err(resting);
        }
        let on_trial = state.rest.is_some();
        state.on_trial |= on_trial;
        Ok(Pass { breaker: self, on_trial })
    }

    /// Why leave would be refused now; takes no place.
    #[must_use]
    pub fn refusal(&self) -> Option<Resting> {
        self.state().refusal()
    }

    /// Why and for how long it rests, if it does.
    #[must_use]
    pub fn resting(&self) -> Option<Resting> {
        self.state().rest.map(Rest::now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn refusal(&self) -> Option<Resting> {
        self.rest.map(Rest::now).filter(|resting| self.on_trial || !resting.left.is_zero())
    }
}

impl Rest {
    fn now(self) -> Resting {
        Resting { why: self.why, left: self.until.saturating_duration_since(Instant::now()) }
    }
}

impl Pass<'_> {
    /// It answered.
    pub fn succeeded(self) {
        let mut state = self.breaker.state();
        state.failures = 0;
        state.rest = None;
    }

    /// It failed; it may rest now.
    pub fn failed(self, error: &ModelError) {
        if says_nothing_of_the_provider(error.class) {
            return;
        }
        let mut state = self.breaker.state();
        state.failures += 1;
        if !self.on_trial && state.failures < PATIENCE && error.class.is_retryable() && error.retry_after.is_none() {
            return;
        }
        let own = match state.rest {
            Some(rest) if self.on_trial => (rest.length * 2).min(LONGEST_REST),
            Some(rest) => rest.length,
            None => FIRST_REST,
        };
        let asked = error.retry_after.unwrap_or_default().min(LONGEST_ASKED);
        state.rest = Some(Rest { until: Instant::now() + own.max(asked), length: own, why: error.class });
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.on_trial {
            self.breaker.state().on_trial = false;
        }
    }
}

/// Failures that are about what was asked, not about who was asked.
fn says_nothing_of_the_provider(class: Class) -> bool {
    matches!(class, Class::ContextLength | Class::ContentFilter | Class::Rejected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(class: Class) -> ModelError {
        ModelError::new("m", class, "no")
    }

    fn fail(breaker: &Breaker, class: Class) {
        breaker.enter().unwrap().failed(&error(class));
    }

    async fn pass_seconds(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn one_hiccup_is_forgiven_two_in_a_row_are_a_rest() {
        let breaker = Breaker::default();
        fail(&breaker, Class::Server);
        breaker.enter().unwrap().succeeded();
        fail(&breaker, Class::Server);
        assert_eq!(breaker.resting(), None, "the success between them counts");
        fail(&breaker, Class::Timeout);
        let resting = breaker.enter().unwrap_err();
        assert_eq!((resting.why, resting.left), (Class::Timeout, FIRST_REST));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_key_is_not_tried_twice() {
        let breaker = Breaker::default();
        fail(&breaker, Class::Auth);
        assert_eq!(breaker.enter().unwrap_err().why, Class::Auth);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_rest_one_finds_out_for_all() {
        let breaker = Breaker::default();
        fail(&breaker, Class::Auth);
        pass_seconds(30).await;
        let trial = breaker.enter().unwrap();
        assert!(breaker.enter().is_err(), "a second one does not wait for the same dead provider");
        trial.failed(&error(Class::Auth));
        assert_eq!(breaker.enter().unwrap_err().left, FIRST_REST * 2);
        pass_seconds(60).await;
        breaker.enter().unwrap().succeeded();
        assert!(breaker.enter().is_ok() && breaker.resting().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_trial_leaves_the_place_to_the_next() {
        let breaker = Breaker::default();
        fail(&breaker, Class::Auth);
        pass_seconds(30).await;
        drop(breaker.enter().unwrap());
        assert!(breaker.enter().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_provider_asks_for_is_kept_within_reason() {
        let breaker = Breaker::default();
        let asked = |hours: u64| ModelError {
            retry_after: Some(Duration::from_secs(hours * 3600 / 2)),
            ..error(Class::RateLimited)
        };
        breaker.enter().unwrap().failed(&asked(1));
        assert_eq!(breaker.resting().unwrap().left, Duration::from_secs(1800));
        pass_seconds(1800).await;
        breaker.enter().unwrap().failed(&asked(48));
        assert_eq!(breaker.resting().unwrap().left, LONGEST_ASKED);
    }

    #[tokio::test(start_paused = true)]
    async fn rests_grow_to_their_longest_and_no_further() {
        let breaker = Breaker::default();
        fail(&breaker, Class::Quota);
        for _ in 0..8 {
            pass_seconds(300).await;
            fail(&breaker, Class::Quota);
        }
        assert_eq!(breaker.resting().unwrap().left, LONGEST_REST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_censored_or_overlong_question_is_no_fault_of_the_provider() {
        let breaker = Breaker::default();
        for _ in 0..5 {
            fail(&breaker, Class::ContentFilter);
            fail(&breaker, Class::ContextLength);
        }
        assert_eq!(breaker.resting(), None);
    }
}
