//! Settings of `models:`: providers that speak the OpenAI-compatible interface, tried in order.

use jiff::SignedDuration;
use secrecy::SecretString;
use serde::Deserialize;

/// One entry of `models:`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSettings {
    /// How reports, logs and metrics call it.
    pub name: String,
    /// Root of the interface, usually ending in `/v1`.
    pub base_url: String,
    /// Sent as a bearer token; local servers often need none.
    #[serde(default)]
    pub api_key: Option<SecretString>,
    /// The provider's name for the model.
    pub model: String,
    /// Upper bound of one answer in tokens; the provider's own when absent.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Sampling temperature; not sent when absent, because some models refuse every value but their own.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// Tokens that fit, question and answer together.
    #[serde(default)]
    pub context_tokens: Option<usize>,
    /// Longest one call may take, for example `120s`.
    #[serde(default)]
    pub timeout: Option<SignedDuration>,
}
