//! What the loop needs of tools: their descriptions, and a way to call one that never fails the loop.

use std::future::Future;

use serde_json::Value;

/// A tool as it is described to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolSpec {
    /// Name the model calls it by.
    pub name: String,
    /// One or two sentences of our own.
    pub description: String,
    /// JSON schema of the arguments, always an object with `type` and `properties`.
    pub parameters: Value,
    /// Whether calling it changes nothing.
    pub read_only: bool,
}

/// What a call gave: always text for the model, even when it failed or was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolAnswer {
    /// The text handed to the model.
    pub text: String,
    /// The evidence it was recorded as, for example `E4`; none for refusals and failures without a result.
    pub reference: Option<String>,
    /// Whether the call failed or was refused.
    pub is_error: bool,
}

/// The tools of one run. The toolbox implements it; tests script it.
pub trait Tools: Send + Sync {
    /// The tools offered in this run, in a stable order.
    fn specs(&self) -> Vec<ToolSpec>;

    /// The most of one answer a model is shown, in bytes. Answers keep to it; what disarming adds to them must too.
    fn shown_bytes(&self) -> usize;

    /// Calls a tool. Unknown names, wrong arguments, refusals and time-outs are answers, not errors.
    fn call(&self, name: &str, arguments: Value) -> impl Future<Output = ToolAnswer> + Send;
}
