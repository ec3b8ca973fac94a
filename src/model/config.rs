//! What an operator says about a model: where it is, what it is called there, and what it can carry.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::ledger::DailyLimits;
use super::profile::{Catalogue, CatalogueError, Facts, Prices, Profile, ReplayReasoning, Thinking, ToolSetting};

/// Tokens assumed to fit when nothing is said; every model that can call tools today carries at least these.
pub const DEFAULT_CONTEXT_TOKENS: usize = 32_768;

/// How long one call may take when nothing is said; a slower model belongs to inspections, not to alerts.
pub const DEFAULT_TIMEOUT: SignedDuration = SignedDuration::from_secs(120);

/// One entry of `models:`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// How reports, logs and metrics call it.
    pub name: String,
    /// Root of the OpenAI-compatible interface, usually ending in `/v1`.
    pub base_url: String,
    /// Who serves it: a name from `config/providers`. Left out: recognised by `base_url`, else by the name of the model.
    #[serde(default)]
    pub provider: Option<String>,
    /// Sent as a bearer token, or as the provider wants it; local servers often need none.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub api_key: Option<SecretString>,
    /// The provider's name for the model.
    pub model: String,
    /// Upper bound of one answer in tokens; the provider's own when absent.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Sampling temperature; left out when absent, because some models refuse every value but their own.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// Tokens that fit, question and answer together. Left out: what is known of the model, else 32768.
    #[serde(default)]
    pub context_tokens: Option<usize>,
    /// How functions are offered. Left out: as is known of the model, for most `auto`.
    #[serde(default)]
    pub tools: Option<ToolSetting>,
    /// Whether it thinks before it answers, where the provider has a switch. `off` is much faster.
    #[serde(default)]
    pub thinking: Thinking,
    /// Whether its thinking goes back to it. Left out: as is known of the model.
    #[serde(default)]
    pub replay_reasoning: Option<ReplayReasoning>,
    /// What tokens cost, for reports and limits. Left out: the public prices, where they are known.
    #[serde(default)]
    pub prices: Option<Prices>,
    /// Further fields of the request body, sent as they are.
    #[serde(default)]
    pub extra_body: Map<String, Value>,
    /// Headers sent with every request.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: BTreeMap<String, SecretString>,
    /// Parameters put into the address, for example Azure's `api-version`.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// What it may use up in a day, by all replicas together; then the next model is asked.
    #[serde(default)]
    pub daily: DailyLimits,
    /// Longest one call may take, for example `120s`. Half of it is how long the provider may stay silent.
    #[serde(default = "default_timeout")]
    pub timeout: SignedDuration,
    /// What was found for it among an operator's own providers; the built-in ones are asked when absent.
    #[serde(skip)]
    pub profile: Option<Arc<Profile>>,
}

impl ModelConfig {
    /// How it wants to be spoken to.
    ///
    /// # Errors
    /// When it names a provider that is not known.
    pub fn profile(&self) -> Result<Arc<Profile>, CatalogueError> {
        match &self.profile {
            Some(profile) => Ok(Arc::clone(profile)),
            None => Catalogue::built_in()?.profile(self).map(Arc::new),
        }
    }

    /// What the operator says about it, as the topmost layer of its profile.
    pub(super) fn said(&self) -> Facts {
        Facts {
            tools: self.tools,
            replay_reasoning: self.replay_reasoning,
            context_tokens: self.context_tokens,
            prices: self.prices.clone(),
            extra_body: self.extra_body.clone(),
            query: self.query.clone(),
            ..Facts::default()
        }
    }

    /// The longest one call may take.
    #[must_use]
    pub fn total_timeout(&self) -> Duration {
        Duration::try_from(self.timeout).unwrap_or_default()
    }

    /// The longest silence within a call: not one byte, not even a keep-alive comment.
    #[must_use]
    pub fn idle_timeout(&self) -> Duration {
        self.total_timeout() / 2
    }
}

fn default_timeout() -> SignedDuration {
    DEFAULT_TIMEOUT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_enough_and_the_key_does_not_print() {
        let config: ModelConfig = yaml_serde::from_str(
            "{ name: fast, base_url: https://api.example.com/v1, api_key: sk-secret, model: Qwen/Qwen3-30B-A3B, timeout: 1m 30s }",
        )
        .unwrap();
        assert_eq!(config.total_timeout(), Duration::from_secs(90));
        assert_eq!(config.profile().unwrap().provider, "generic");
        assert!(!format!("{config:?}").contains("sk-secret"));
    }

    #[test]
    fn a_misspelt_key_is_an_error_that_names_it() {
        let error =
            yaml_serde::from_str::<ModelConfig>("{ name: a, base_url: b, model: c, max_token: 5 }").unwrap_err();
        assert!(error.to_string().contains("max_token"), "{error}");
    }
}
