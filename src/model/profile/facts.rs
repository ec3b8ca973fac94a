//! Facts in layers: what a file says of all models of a provider, of a family, and what an operator says of one model.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Auth, CallIds, Dialect, MaxTokensField, Prices, Profile, ReplayReasoning, ResponseFormat, Temperature,
    ThinkingSwitch, ToolChoice, ToolSetting, UsageOption,
};
use crate::model::Family;

/// What one layer says; what it is silent about is decided by the layer below. The meaning of each is told at
/// [`Profile`].
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each is told at the same field of Profile")]
pub struct Facts {
    pub tools: Option<ToolSetting>,
    pub text_format: Option<Family>,
    pub replay_reasoning: Option<ReplayReasoning>,
    pub thinking: Option<ThinkingSwitch>,
    pub tool_choice: Option<Vec<ToolChoice>>,
    pub response_format: Option<ResponseFormat>,
    pub max_tokens_field: Option<MaxTokensField>,
    pub schema: Option<Dialect>,
    pub context_tokens: Option<usize>,
    pub prices: Option<Prices>,
    pub extra_body: Map<String, Value>,
    pub temperature: Option<Temperature>,
    pub usage: Option<UsageOption>,
    pub parallel_calls: Option<bool>,
    pub call_ids: Option<CallIds>,
    pub auth: Option<Auth>,
    pub query: BTreeMap<String, String>,
}

impl Facts {
    /// Lays this over a profile: what is said here wins, fields of the body and the address are added.
    pub(super) fn apply(&self, profile: &mut Profile) {
        self.apply_conversation(profile);
        self.apply_request(profile);
    }

    fn apply_conversation(&self, profile: &mut Profile) {
        lay(&mut profile.tools, self.tools.as_ref());
        lay(&mut profile.text_format, self.text_format.as_ref());
        lay(&mut profile.replay_reasoning, self.replay_reasoning.as_ref());
        lay(&mut profile.thinking, self.thinking.as_ref());
        lay(&mut profile.tool_choice, self.tool_choice.as_ref());
        lay(&mut profile.schema, self.schema.as_ref());
        lay(&mut profile.call_ids, self.call_ids.as_ref());
        lay(&mut profile.parallel_calls, self.parallel_calls.as_ref());
    }

    fn apply_request(&self, profile: &mut Profile) {
        lay(&mut profile.response_format, self.response_format.as_ref());
        lay(&mut profile.max_tokens_field, self.max_tokens_field.as_ref());
        profile.context_tokens = self.context_tokens.or(profile.context_tokens);
        profile.prices = self.prices.clone().or_else(|| profile.prices.take());
        profile.extra_body.extend(self.extra_body.clone());
        lay(&mut profile.temperature, self.temperature.as_ref());
        lay(&mut profile.usage, self.usage.as_ref());
        lay(&mut profile.auth, self.auth.as_ref());
        profile.query.extend(self.query.clone());
    }
}

fn lay<T: Clone>(below: &mut T, said: Option<&T>) {
    if let Some(said) = said {
        said.clone_into(below);
    }
}
