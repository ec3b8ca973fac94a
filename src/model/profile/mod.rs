//! What a provider makes of the protocol, as data: files under `config/providers` instead of branches in the code.

mod catalogue;
mod facts;

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

pub use catalogue::{Catalogue, CatalogueError};
pub use facts::Facts;

use super::{Family, TokenUsage};

/// How functions are offered to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolSetting {
    /// As the protocol says, until the endpoint refuses it or was found unable; then in the prompt.
    #[default]
    Auto,
    /// As the protocol says, always.
    Native,
    /// In the prompt, as text, always: for models and servers without function calling.
    Prompt,
}

/// Whether a model's thinking goes back to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayReasoning {
    /// Never: the provider refuses it, or drops it anyway.
    Never,
    /// With the turns that call functions: refused where it is missing there.
    #[default]
    ToolTurns,
    /// With every turn.
    Always,
}

/// Whether a model thinks before it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Thinking {
    /// As the provider has it.
    #[default]
    Default,
    /// Not: faster, and enough for most alerts.
    Off,
    /// Yes.
    On,
}

impl<'de> Deserialize<'de> for Thinking {
    /// `on` and `off` are truth values to many YAML readers, so those are taken too.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Wish;
        impl Visitor<'_> for Wish {
            type Value = Thinking;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("default, off or on")
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Thinking, E> {
                Ok(if on { Thinking::On } else { Thinking::Off })
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Thinking, E> {
                match word {
                    "default" => Ok(Thinking::Default),
                    "off" => Ok(Thinking::Off),
                    "on" => Ok(Thinking::On),
                    other => Err(E::unknown_variant(other, &["default", "off", "on"])),
                }
            }
        }
        deserializer.deserialize_any(Wish)
    }
}

/// Fields of the request body that switch thinking; empty where it cannot be switched.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThinkingSwitch {
    /// What switches it off.
    #[serde(default)]
    pub off: Map<String, Value>,
    /// What switches it on.
    #[serde(default)]
    pub on: Map<String, Value>,
}

/// Values of `tool_choice` an endpoint takes beside leaving it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// `auto`, which is what leaving it out means.
    Auto,
    /// `none`.
    None,
    /// `required`: the answer is a call.
    Required,
}

/// Forms of `response_format` an endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseFormat {
    /// None.
    #[default]
    None,
    /// `json_object`; the prompt must contain the word "json".
    JsonObject,
    /// `json_schema` too.
    JsonSchema,
}

/// What the limit of an answer is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxTokensField {
    /// `max_tokens`.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`.
    MaxCompletionTokens,
}

/// Which JSON schemas of arguments an endpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Any object schema.
    #[default]
    Plain,
    /// Kimi's: a type everywhere, none beside `anyOf`, no references.
    Moonshot,
}

/// Whether a sampling temperature may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Temperature {
    /// It may.
    #[default]
    Allowed,
    /// The model has its own and refuses others.
    Fixed,
}

/// How the tokens of a streamed answer are learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageOption {
    /// Asked for by `stream_options.include_usage`.
    #[default]
    StreamOptions,
    /// They come unasked, or not at all.
    Unasked,
}

/// Which ids of calls an endpoint takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallIds {
    /// Any.
    #[default]
    Any,
    /// At most 40 characters.
    Short,
    /// `functions.NAME:INDEX`, the index counted over the conversation.
    Kimi,
    /// Nine letters and digits.
    Nine,
}

/// How the key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// `Authorization: Bearer KEY`.
    #[default]
    Bearer,
    /// `api-key: KEY`.
    ApiKeyHeader,
}

/// What tokens cost.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// A million tokens of questions.
    pub input: f64,
    /// A million tokens of answers.
    pub output: f64,
    /// The currency, for example `CNY`.
    pub currency: String,
}

impl Prices {
    /// What a call cost.
    #[must_use]
    pub fn of(&self, usage: TokenUsage) -> f64 {
        const MILLION: f64 = 1_000_000.0;
        (usage.prompt as f64).mul_add(self.input, usage.completion as f64 * self.output) / MILLION
    }
}

/// All that is known of how one model at one provider wants to be spoken to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profile {
    /// The provider's name in the catalogue.
    pub provider: String,
    /// How functions are offered.
    pub tools: ToolSetting,
    /// How the model writes calls when it writes them as text; looked for in a fixed order when unknown.
    pub text_format: Family,
    /// Whether thinking goes back.
    pub replay_reasoning: ReplayReasoning,
    /// How thinking is switched.
    pub thinking: ThinkingSwitch,
    /// Values of `tool_choice` it takes.
    pub tool_choice: Vec<ToolChoice>,
    /// Forms of `response_format` it takes.
    pub response_format: ResponseFormat,
    /// What the limit of an answer is called.
    pub max_tokens_field: MaxTokensField,
    /// Which schemas it takes.
    pub schema: Dialect,
    /// Tokens that fit, question and answer together; unknown where the provider does not say.
    pub context_tokens: Option<usize>,
    /// What tokens cost, where it is known.
    pub prices: Option<Prices>,
    /// Further fields of the request body.
    pub extra_body: Map<String, Value>,
    /// Whether a temperature may be sent.
    pub temperature: Temperature,
    /// How tokens are learnt.
    pub usage: UsageOption,
    /// Whether several calls in one turn must be asked for by `parallel_tool_calls`.
    pub parallel_calls: bool,
    /// Which ids it takes back.
    pub call_ids: CallIds,
    /// How the key is sent.
    pub auth: Auth,
    /// Parameters in the address.
    pub query: BTreeMap<String, String>,
}

impl Profile {
    /// The fields that bring thinking into the wished state; `None` when it cannot be switched.
    #[must_use]
    pub fn thinking_fields(&self, wish: Thinking) -> Option<Map<String, Value>> {
        let fields = match wish {
            Thinking::Default => return Some(Map::new()),
            Thinking::Off => &self.thinking.off,
            Thinking::On => &self.thinking.on,
        };
        (!fields.is_empty()).then(|| fields.clone())
    }
}
