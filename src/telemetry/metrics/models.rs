//! The figures of models: questions, tokens, money, and what keeps a model from being asked.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tokens {
    model: String,
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelCall {
    model: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failover {
    model: String,
    reason: &'static str,
}

/// What is counted about models.
#[derive(Debug, Default)]
pub(super) struct ModelFigures {
    calls: Family<ModelCall, Counter>,
    recovered_calls: Family<Model, Counter>,
    tokens: Family<Tokens, Counter>,
    cost: Family<Model, Counter<f64, AtomicU64>>,
    failovers: Family<Failover, Counter>,
    resting: Family<Model, Gauge>,
    capped: Family<Model, Gauge>,
}

impl ModelFigures {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("model_calls", "Questions to models by outcome, retries not counted", self.calls.clone());
        let help = "Calls that models wrote into their text and that were carried out";
        registry.register("model_recovered_calls", help, self.recovered_calls.clone());
        registry.register("model_tokens", "Tokens that models read and wrote", self.tokens.clone());
        let help = "Money models cost, in the currency of their prices";
        registry.register("model_cost", help, self.cost.clone());
        let help = "Times a run went on without a model: it failed, rests, or its daily limit is used up";
        registry.register("model_failovers", help, self.failovers.clone());
        let help = "1 while a model rests after failing, when nobody waits for it";
        registry.register("model_resting", help, self.resting.clone());
        let help = "1 while a daily limit keeps a model from being asked";
        registry.register("model_capped", help, self.capped.clone());
    }
}

impl Metrics {
    /// A model was asked; `outcome` is `ok` or the class of its failure.
    pub fn model_call(&self, model: &str, outcome: &'static str) {
        let model = self.names.keep("model", model);
        self.models.calls.get_or_create(&ModelCall { model, outcome }).inc();
    }

    /// Calls were found in a model's text; none is no event.
    pub fn recovered_calls(&self, model: &str, calls: u64) {
        if calls > 0 {
            let model = self.names.keep("model", model);
            self.models.recovered_calls.get_or_create(&Model { model }).inc_by(calls);
        }
    }

    /// A model answered.
    pub fn model_tokens(&self, model: &str, prompt: u64, completion: u64) {
        let model = self.names.keep("model", model);
        self.models.tokens.get_or_create(&Tokens { model: model.clone(), kind: "prompt" }).inc_by(prompt);
        self.models.tokens.get_or_create(&Tokens { model, kind: "completion" }).inc_by(completion);
    }

    /// An answer cost money; nothing is noted of a price that is not known, or is none.
    pub fn model_cost(&self, model: &str, cost: f64) {
        if cost > 0.0 {
            let model = self.names.keep("model", model);
            self.models.cost.get_or_create(&Model { model }).inc_by(cost);
        }
    }

    /// A run goes on without a model; `reason` is `failed`, `resting` or `daily_limit`.
    pub fn model_passed_over(&self, model: &str, reason: &'static str) {
        let model = self.names.keep("model", model);
        self.models.failovers.get_or_create(&Failover { model, reason }).inc();
    }

    /// How a model stands now.
    pub fn model_standing(&self, model: &str, resting: bool, capped: bool) {
        let model = Model { model: self.names.keep("model", model) };
        self.models.resting.get_or_create(&model).set(i64::from(resting));
        self.models.capped.get_or_create(&model).set(i64::from(capped));
    }
}
