//! What a report cost, who answered, and why its investigation ended.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who answered: a model, or the playbook alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnsweredBy {
    /// A model, checked against the evidence.
    Model,
    /// The analyzers alone.
    #[default]
    Playbook,
}

/// A model that an earlier place in the configuration would have let answer, and why it did not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct PassedOver {
    /// Its name in the configuration.
    pub model: String,
    /// A few fixed words in the report's language, such as `429 rate limited`.
    pub why: String,
}

/// What the triage cost, and why it ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// Model or playbook.
    pub source: AnsweredBy,
    /// The configured model's name, when one answered or was tried.
    pub model: Option<String>,
    /// Model turns.
    pub turns: u32,
    /// Tool calls, those of gather included.
    pub tool_calls: u32,
    /// Prompt tokens over all turns.
    pub prompt_tokens: u64,
    /// Completion tokens over all turns.
    pub completion_tokens: u64,
    /// Money over all turns, in the currency of the models' prices; 0 where they are not known.
    #[serde(default)]
    pub cost: f64,
    /// The currency of `cost`, for example `CNY`; left out where prices are not known or stand in several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Models that were to answer before the one that did, or that failed when none did.
    #[serde(default)]
    pub passed_over: Vec<PassedOver>,
    /// Wall-clock seconds of the whole triage.
    pub seconds: f64,
    /// Why the loop ended: `submitted`, `deadline`, `no_model`, …
    pub stopped_by: String,
}

impl Usage {
    /// Whether a model gave its conclusion, and the playbook's had the better evidence.
    #[must_use]
    pub fn is_outweighed(&self) -> bool {
        self.source == AnsweredBy::Playbook && self.model.is_some() && self.stopped_by == "submitted"
    }

    /// The cost for people, in the digits that matter: `0.0123 CNY`. None when nothing was paid, or no price is known.
    #[must_use]
    pub fn money(&self) -> Option<String> {
        let amount = match self.cost {
            cost if cost.is_nan() || cost <= 0.0 => return None,
            ..0.0001 => "< 0.0001".to_owned(),
            0.0001..1.0 => format!("{:.4}", self.cost),
            _ => format!("{:.2}", self.cost),
        };
        Some(match &self.currency {
            Some(currency) => format!("{amount} {currency}"),
            None => amount,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_says_what_is_known_of_it() {
        let money = |cost, currency: Option<&str>| {
            Usage { cost, currency: currency.map(str::to_owned), ..Usage::default() }.money()
        };
        assert_eq!(money(0.01234, Some("CNY")).as_deref(), Some("0.0123 CNY"));
        assert_eq!(money(1.5, Some("USD")).as_deref(), Some("1.50 USD"));
        assert_eq!(money(0.000_004, Some("CNY")).as_deref(), Some("< 0.0001 CNY"));
        assert_eq!(money(2.0, None).as_deref(), Some("2.00"));
        assert_eq!([money(0.0, Some("CNY")), money(f64::NAN, None)], [None, None]);
    }
}
