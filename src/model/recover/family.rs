//! The families of text formats by the names profiles use, and which grammar reads which.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attempt, Found, Marked, bare, harmony, json, pythonic, reasoning, sections, tagged};
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

    /// Every family but the unknown one, in the order they are tried: those whose markers nothing else uses first.
    #[cfg(test)]
    pub(super) const ALL: [Self; 21] = [
        Self::DeepseekV4,
        Self::DeepseekV32,
        Self::DeepseekV31,
        Self::DeepseekV3,
        Self::KimiK2,
        Self::KimiK3,
        Self::GptOss,
        Self::Hermes,
        Self::Qwen3Coder,
        Self::SeedOss,
        Self::Step3,
        Self::MinimaxM2,
        Self::MinimaxM1,
        Self::HunyuanA13b,
        Self::Glm47,
        Self::Glm45,
        Self::Internlm,
        Self::Mistral,
        Self::Llama3,
        Self::Pythonic,
        Self::Json,
    ];

    /// Those of [`Self::ALL`] whose grammars differ, in the same order.
    pub(super) const DISTINCT: [Self; 15] = [
        Self::DeepseekV4,
        Self::DeepseekV3,
        Self::KimiK2,
        Self::KimiK3,
        Self::GptOss,
        Self::Hermes,
        Self::Qwen3Coder,
        Self::Step3,
        Self::MinimaxM2,
        Self::MinimaxM1,
        Self::Glm45,
        Self::Internlm,
        Self::Mistral,
        Self::Llama3,
        Self::Pythonic,
    ];

    /// Reads a text without reasoning by this family's grammar.
    pub(super) fn read(self, text: &str, tools: &[Function]) -> Found {
        let found = self.grammar(text, tools);
        if found.marked == Marked::Nothing { bare::remains(found, tools) } else { found }
    }

    fn grammar(self, text: &str, tools: &[Function]) -> Found {
        match self {
            Self::DeepseekV3 | Self::DeepseekV31 => sections::deepseek(text),
            Self::DeepseekV32 | Self::DeepseekV4 => tagged::read(text, &tagged::DSML, tools),
            Self::Hermes => json::hermes(text),
            Self::Qwen3Coder | Self::SeedOss => tagged::read(text, &tagged::FUNCTION, tools),
            Self::Glm45 | Self::Glm47 => tagged::read(text, &tagged::GLM, tools),
            Self::KimiK2 => sections::kimi(text),
            Self::KimiK3 => tagged::read(&reasoning::without_channels(text), &tagged::KIMI_K3, tools),
            Self::MinimaxM1 | Self::HunyuanA13b => json::listed(text),
            Self::MinimaxM2 => tagged::read(text, &tagged::MINIMAX_M2, tools),
            Self::Mistral => json::mistral(text),
            Self::Llama3 => Some(json::llama(text)).filter(Found::is_marked).unwrap_or_else(|| bare::json(text)),
            Self::Pythonic => pythonic::read(text, tools),
            Self::GptOss => harmony::read(text),
            Self::Step3 => tagged::read(text, &tagged::STEP3, tools),
            Self::Internlm => json::internlm(text),
            Self::Json => bare::json(text),
            Self::Unknown => sniffed(text, tools),
        }
    }
}

/// The family that makes most of a text; of equals the first. Without markers, only calls of offered functions count.
fn sniffed(text: &str, tools: &[Function]) -> Found {
    let mut best: Option<(u8, Found)> = None;
    for family in Family::DISTINCT {
        let found = family.grammar(text, tools);
        let worth = worth(family, &found, tools);
        if worth > best.as_ref().map_or(0, |(best, _)| *best) {
            best = Some((worth, found));
        }
    }
    best.map_or_else(|| Found::plain(text), |(_, found)| found)
}

fn worth(family: Family, found: &Found, tools: &[Function]) -> u8 {
    let offered = |attempt: &Attempt| match attempt {
        Attempt::Call(call) => tools.iter().any(|tool| tool.name == call.name),
        Attempt::Broken { .. } => false,
    };
    let is_call = |attempt: &Attempt| matches!(attempt, Attempt::Call(_));
    let markerless = matches!(family, Family::Llama3 | Family::Pythonic);
    let all = !found.attempts.is_empty() && found.attempts.iter().all(offered);
    match found.marked {
        _ if all => 6,
        _ if markerless => 0,
        Marked::Opened if found.attempts.iter().any(offered) => 5,
        Marked::Opened if found.attempts.iter().any(is_call) => 4,
        Marked::Opened => 3,
        Marked::Remains => 2,
        // Channels of people's text without any call are still markup.
        Marked::Nothing => u8::from(found.shown.trim() != "" && matches!(family, Family::KimiK3 | Family::GptOss)),
    }
}
