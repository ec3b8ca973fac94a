//! The configured models with what all runs know of them: who rests after failing, and what was spent today.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::absence::{Absence, Passed};
use super::breaker::Breaker;
use super::error::{Class, ModelError};
use super::ledger::{DailyLimits, Ledger};
use super::wire::{Reply, TokenUsage};
use super::{Model, Request};
use crate::alert::Lang;
use crate::telemetry::Metrics;

/// A model that was given less than this has not shown that it is slow: the run's time was over.
const FAIR_SHARE: Duration = Duration::from_secs(15);

/// Bytes of JSON for a token, where a provider does not count them.
const BYTES_PER_TOKEN: usize = 4;

/// Models in the order they are tried. One for the whole process; each run takes a [`super::Fallback`] over it.
pub struct Roster<M> {
    seats: Vec<Seat<M>>,
    ledger: Ledger,
    daily: DailyLimits,
    metrics: Arc<Metrics>,
}

struct Seat<M> {
    model: M,
    breaker: Breaker,
    limits: DailyLimits,
}

/// What keeps a model from being asked at a moment, for health and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// What it rests for, and how long until it is tried again.
    pub resting: Option<(Class, Duration)>,
    /// Whether a daily limit is used up.
    pub capped: bool,
}

impl<M: Model> Roster<M> {
    /// Models with their daily limits; `daily` holds for all of them together.
    pub fn new(
        models: impl IntoIterator<Item = (M, DailyLimits)>,
        ledger: Ledger,
        daily: DailyLimits,
        metrics: Arc<Metrics>,
    ) -> Self {
        let seat = |(model, limits)| Seat { model, breaker: Breaker::default(), limits };
        Self { seats: models.into_iter().map(seat).collect(), ledger, daily, metrics }
    }

    /// The models, in order.
    pub fn models(&self) -> impl Iterator<Item = &M> {
        self.seats.iter().map(|seat| &seat.model)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Whether any daily limit is set.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.daily != DailyLimits::default() || self.seats.iter().any(|seat| seat.limits != DailyLimits::default())
    }

    /// The currency of all prices; none when they differ, because then no sum over several models is money.
    pub(super) fn currency(&self) -> Option<&str> {
        let mut all = self.models().filter_map(M::currency);
        let first = all.next()?;
        all.all(|other| other == first).then_some(first)
    }

    /// What was spent today.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// How each model stands now, in order.
    pub fn standings(&self) -> impl Iterator<Item = (&M, Standing)> {
        self.seats.iter().map(|seat| {
            let resting = seat.breaker.resting().map(|resting| (resting.why, resting.left));
            (&seat.model, Standing { resting, capped: self.limit_of(seat).is_some() })
        })
    }

    pub(super) fn len(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn model(&self, index: usize) -> &M {
        &self.seats[index].model
    }

    #[cfg(test)]
    pub(super) fn breaker(&self, index: usize) -> &Breaker {
        &self.seats[index].breaker
    }

    /// Why a model cannot be asked by a run that comes to it now. Limits are looked at here and not at every turn: what
    /// a run has spent would be lost without its answer, and its own budget bounds it.
    pub(super) fn absence(&self, index: usize) -> Option<Absence> {
        let seat = &self.seats[index];
        self.limit_of(seat).or_else(|| seat.breaker.refusal().map(|resting| Absence::Resting(resting.why)))
    }

    /// Notes that a run goes on without a model.
    pub(super) fn pass(&self, index: usize, why: Absence) -> Passed {
        let model = self.model(index).name().to_owned();
        tracing::warn!(%model, why = why.label(), detail = %why.brief(Lang::En), "model passed over");
        self.metrics.model_passed_over(&model, why.label());
        Passed { model, why }
    }

    /// Asks one model until `until` at the latest. A later answer is never read: the call is dropped.
    pub(super) async fn ask(&self, index: usize, request: &Request, until: Instant) -> Result<Reply, Unanswered> {
        let seat = &self.seats[index];
        let pass = seat.breaker.enter().map_err(|resting| Unanswered {
            error: ModelError::new(seat.model.name(), resting.why, "it failed before and rests now"),
            why: Absence::Resting(resting.why),
        })?;
        let started = Instant::now();
        let late =
            |_| Err(ModelError::new(seat.model.name(), Class::Timeout, "no whole answer in its share of the time"));
        let outcome = tokio::time::timeout_at(until, seat.model.complete(request, until)).await.unwrap_or_else(late);
        let label = outcome.as_ref().map_or_else(|error| error.class.label(), |_| "ok");
        self.metrics.model_call(seat.model.name(), label);
        match outcome {
            Ok(reply) => {
                pass.succeeded();
                self.count(seat, request, &reply);
                Ok(reply)
            }
            Err(error) => {
                if matches!(error.class, Class::Timeout | Class::BadAnswer | Class::ContentFilter) {
                    // It was read and worked on, though nobody counts for us what came of it.
                    self.book(seat, estimate(request, None));
                }
                let hurried = Instant::now() >= until && started.elapsed() < FAIR_SHARE;
                if error.class != Class::Timeout || !hurried {
                    pass.failed(&error);
                }
                Err(Unanswered { why: Absence::of(&error), error })
            }
        }
    }

    fn count(&self, seat: &Seat<M>, request: &Request, reply: &Reply) {
        self.book(seat, reply.usage.unwrap_or_else(|| estimate(request, Some(reply))));
    }

    fn book(&self, seat: &Seat<M>, usage: TokenUsage) {
        let cost = seat.model.cost(usage);
        self.ledger.add(seat.model.name(), usage, cost);
        self.metrics.model_tokens(seat.model.name(), usage.prompt, usage.completion);
        self.metrics.model_cost(seat.model.name(), cost);
    }

    fn limit_of(&self, seat: &Seat<M>) -> Option<Absence> {
        let own = self.ledger.reached(seat.model.name(), seat.limits).map(Absence::Spent);
        own.or_else(|| self.ledger.all_reached(self.daily).map(Absence::AllSpent))
    }
}

/// A call without an answer.
pub(super) struct Unanswered {
    pub(super) error: ModelError,
    pub(super) why: Absence,
}

/// Tokens of a call whose provider does not count them.
fn estimate(request: &Request, reply: Option<&Reply>) -> TokenUsage {
    let tokens = |json: serde_json::Result<String>| (json.unwrap_or_default().len() / BYTES_PER_TOKEN) as u64;
    TokenUsage {
        prompt: tokens(serde_json::to_string(&request.messages)) + tokens(serde_json::to_string(&request.tools)),
        completion: reply.map_or(0, |reply| tokens(serde_json::to_string(&reply.message))),
    }
}
