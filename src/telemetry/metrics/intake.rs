//! Figures of deliveries: what was decided, by which rules, and what they lost on the way in.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::Metrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Decision {
    decision: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct What {
    what: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Rule {
    rule: &'static str,
}

/// Counters of deliveries.
#[derive(Debug, Default)]
pub(super) struct IntakeFigures {
    deliveries: Family<Decision, Counter>,
    rules: Family<Rule, Counter>,
    shortened: Family<What, Counter>,
}

impl IntakeFigures {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Deliveries by what was decided about them";
        registry.register("deliveries", help, self.deliveries.clone());
        let help = "What was merged, held back, not told or not investigated, by the rule that decided so";
        registry.register("rules", help, self.rules.clone());
        let help = "What accepted deliveries lost: texts longer than 16 KiB cut here, alerts that the sender left out";
        registry.register("shortened", help, self.shortened.clone());
    }
}

impl Metrics {
    /// It was decided what a delivery means: `opened`, `merged`, `joined`, `resolved`, `suppressed`.
    pub fn delivery(&self, decision: &'static str) {
        self.intake.deliveries.get_or_create(&Decision { decision }).inc();
    }

    /// A rule merged something, held it back, or kept it from being told or investigated.
    pub fn rule(&self, rule: &'static str) {
        self.intake.rules.get_or_create(&Rule { rule }).inc();
    }

    /// A delivery was taken in which so many texts were cut here, and from which its sender had left out so many alerts.
    pub fn shortened(&self, texts: usize, alerts: u64) {
        for (what, count) in [("text", texts as u64), ("alert", alerts)] {
            self.intake.shortened.get_or_create(&What { what }).inc_by(count);
        }
    }

    /// Rules that have not decided anything yet are there at zero, so that their rate can be asked for.
    pub fn rules(&self, words: impl IntoIterator<Item = &'static str>) {
        for rule in words {
            let _ = self.intake.rules.get_or_create(&Rule { rule });
        }
    }
}
