//! What was found out about an endpoint by asking it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What a model showed of itself; what was not tried, or not seen clearly, is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// When it was asked.
    pub probed_at: Timestamp,
    /// It calls functions by the protocol.
    #[serde(default)]
    pub native_tools: Option<bool>,
    /// It writes calls into its text instead, in a form that is read.
    #[serde(default)]
    pub text_calls: Option<bool>,
    /// It calls functions that are described in the prompt; only tried where nothing else works.
    #[serde(default)]
    pub prompt_calls: Option<bool>,
    /// It calls several in one turn.
    #[serde(default)]
    pub parallel_calls: Option<bool>,
    /// Its thinking stands in its text.
    #[serde(default)]
    pub thinking_leaks: Option<bool>,
    /// It loses the beginning of a long prompt without a word, as Ollama does with its window of 4 096 tokens.
    #[serde(default)]
    pub front_truncated: Option<bool>,
    /// It says how many tokens a call took.
    #[serde(default)]
    pub reports_usage: Option<bool>,
}

impl Capabilities {
    /// Nothing found out yet.
    #[must_use]
    pub fn nothing_yet(probed_at: Timestamp) -> Self {
        Self {
            probed_at,
            native_tools: None,
            text_calls: None,
            prompt_calls: None,
            parallel_calls: None,
            thinking_leaks: None,
            front_truncated: None,
            reports_usage: None,
        }
    }

    /// Whether calls can be had only by describing functions in the prompt.
    #[must_use]
    pub fn needs_prompt_tools(&self) -> bool {
        self.native_tools == Some(false) && self.text_calls != Some(true)
    }
}

/// How functions are offered now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolMode {
    /// As the protocol says.
    Native,
    /// In the prompt, as text.
    Prompt,
}
