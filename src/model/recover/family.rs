//! The families of text formats by the names profiles use, and which grammar reads which.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Found, Marked, bare, json};
use crate::model::Function;

/// How a model writes calls when it writes them into its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Not known: every family is tried in a fixed order, and the first whose calls are all good wins.
    #[default]
    #[serde(alias = "auto")]
    Unknown,
    /// DeepSeek V3, V3-0324 and R1: a type, a separator, the name, fenced JSON.
    #[serde(alias = "deepseek_r1")]
    DeepseekV3,
    /// DeepSeek V3.1: the name, a separator, JSON.
    DeepseekV31,
    /// DeepSeek V3.2: tags named DSML under `function_calls`.
    DeepseekV32,
    /// DeepSeek V4: tags named DSML under `tool_calls`.
    DeepseekV4,
    /// Hermes, Qwen2.5 and Qwen3: JSON in `<tool_call>`.
    #[serde(alias = "qwen25", alias = "qwen3")]
    Hermes,
    /// Qwen3-Coder, Qwen3.5 and later, `MiMo`, Step-3.5: `<function=…>` and `<parameter=…>`.
    #[serde(alias = "mimo", alias = "qwen35", alias = "step35")]
    Qwen3Coder,
    /// GLM-4.5: keys and values in tags of their own. Older GLM-4 wrote no markers at all.
    #[serde(alias = "glm4", alias = "glm46")]
    Glm45,
    /// GLM-4.7: the same without line breaks.
    Glm47,
    /// Kimi K2: a section of numbered calls with JSON.
    KimiK2,
    /// Kimi K3: open and close tokens around typed arguments.
    KimiK3,
    /// `MiniMax` M1: lines of JSON in `<tool_calls>`.
    MinimaxM1,
    /// `MiniMax` M2 and M3: `<invoke>` and `<parameter>`.
    #[serde(alias = "minimax_m3")]
    MinimaxM2,
    /// Hunyuan-A13B: a JSON list in `<tool_calls>`.
    HunyuanA13b,
    /// Mistral: `[TOOL_CALLS]` and JSON, or a name and `[ARGS]`.
    Mistral,
    /// Llama 3: JSON after `<|python_tag|>`, or nothing but JSON.
    Llama3,
    /// A list of calls as Python would write them.
    Pythonic,
    /// gpt-oss: channels of the harmony format.
    #[serde(alias = "harmony")]
    GptOss,
    /// Seed-OSS: Qwen3-Coder's tags under its own wrapper.
    SeedOss,
    /// Step3: DeepSeek's section around `<steptml:invoke>`.
    Step3,
    /// `InternLM`: JSON between action tokens.
    #[serde(alias = "internlm2")]
    Internlm,
    /// No markers: an answer that is one JSON call, or one fence with it, and nothing else.
    Json,
}

impl Family {
    /// The family of a name; one that is not known is looked for in the text.
    #[must_use]
    pub fn named(name: &str) -> Self {
        serde_json::from_value(name.into()).unwrap_or_default()
    }

    /// Reads a text without reasoning by this family's grammar.
    pub(super) fn read(self, text: &str, tools: &[Function]) -> Found {
        let found = match self {
            Self::Hermes => json::hermes(text),
            Self::MinimaxM1 | Self::HunyuanA13b => json::listed(text),
            Self::Mistral => json::mistral(text),
            Self::Llama3 => json::llama(text),
            Self::Internlm => json::internlm(text),
            _ => bare::json(text),
        };
        if found.marked == Marked::Nothing { bare::remains(found, tools) } else { found }
    }
}
