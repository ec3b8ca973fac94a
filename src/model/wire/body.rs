//! The body of a request: what the profile says, in the form that the endpoint turned out to take.

use serde_json::{Map, Value, json};

use super::{history, prompted, schema};
use crate::model::config::ModelConfig;
use crate::model::form::{Change, Form};
use crate::model::profile::{
    Dialect, MaxTokensField, Profile, ResponseFormat, Temperature, Thinking, ToolChoice, UsageOption,
};
use crate::model::{Function, Request, ToolMode};

/// The limit of an answer when a higher one was refused; a diagnosis needs a fourth of it.
const LOW_MAX_TOKENS: u32 = 4096;

/// All that decides about a body.
#[derive(Clone, Copy)]
pub(in crate::model) struct Sending<'a> {
    pub(in crate::model) config: &'a ModelConfig,
    pub(in crate::model) profile: &'a Profile,
    pub(in crate::model) form: &'a Form,
    pub(in crate::model) mode: ToolMode,
}

impl Sending<'_> {
    /// The request as JSON. It always asks for a stream: some providers refuse to let a thinking model answer whole.
    pub(in crate::model) fn body(self, request: &Request) -> Value {
        let mut body = Map::new();
        body.insert("model".to_owned(), self.config.model.as_str().into());
        body.insert("messages".to_owned(), history::messages(request, self));
        if self.mode == ToolMode::Native && !request.tools.is_empty() {
            body.insert("tools".to_owned(), request.tools.iter().map(|tool| self.declaration(tool)).collect());
        }
        body.insert("stream".to_owned(), true.into());
        if let Some(limit) = self.max_tokens() {
            body.insert(self.max_tokens_field().to_owned(), limit.into());
        }
        if self.form.has(Change::Plainest) {
            body.extend(self.config.extra_body.clone());
        } else {
            self.add_options(&mut body, request);
        }
        self.form.dropped().for_each(|name| {
            body.remove(name);
        });
        Value::Object(body)
    }

    /// The limit of an answer that is sent.
    pub(in crate::model) fn max_tokens(self) -> Option<u32> {
        let low = self.form.has(Change::LowerMaxTokens);
        self.config.max_tokens.map(|limit| if low { limit.min(LOW_MAX_TOKENS) } else { limit })
    }

    fn max_tokens_field(self) -> &'static str {
        let is_new = self.profile.max_tokens_field == MaxTokensField::MaxCompletionTokens;
        if is_new == self.form.has(Change::RenameMaxTokens) { "max_tokens" } else { "max_completion_tokens" }
    }

    /// What not every endpoint understands.
    fn add_options(self, body: &mut Map<String, Value>, request: &Request) {
        let mut add = |key: &str, value: Value| {
            body.insert(key.to_owned(), value);
        };
        if self.profile.usage == UsageOption::StreamOptions {
            add("stream_options", json!({ "include_usage": true }));
        }
        if let (Some(temperature), Temperature::Allowed) = (self.config.temperature, self.profile.temperature) {
            add("temperature", temperature.into());
        }
        match self.mode {
            ToolMode::Native => {
                if self.must_call(request) {
                    add("tool_choice", "required".into());
                }
                if self.profile.parallel_calls && !request.tools.is_empty() {
                    add("parallel_tool_calls", true.into());
                }
            }
            ToolMode::Prompt => {
                if let Some(format) = self.answer_format(&request.tools) {
                    add("response_format", format);
                }
            }
        }
        body.extend(self.thinking());
        body.extend(self.profile.extra_body.clone());
    }

    /// What keeps an answer to the shape of calls where they are described in the prompt.
    fn answer_format(self, tools: &[Function]) -> Option<Value> {
        match self.profile.response_format {
            _ if tools.is_empty() => None,
            ResponseFormat::None => None,
            ResponseFormat::JsonSchema if !self.form.has(Change::AnyJsonObject) => {
                // Not strict: that mode has no room for arguments of several shapes.
                let schema = json!({ "name": "tool_calls", "schema": prompted::shape(tools) });
                Some(json!({ "type": "json_schema", "json_schema": schema }))
            }
            ResponseFormat::JsonSchema | ResponseFormat::JsonObject => Some(json!({ "type": "json_object" })),
        }
    }

    /// A single function is the answer asked for. That the others are left out is what binds; this only helps.
    fn must_call(self, request: &Request) -> bool {
        request.tools.len() == 1
            && self.config.thinking != Thinking::On
            && self.profile.tool_choice.contains(&ToolChoice::Required)
    }

    fn thinking(self) -> Map<String, Value> {
        if !self.form.has(Change::DisableThinking) {
            return self.profile.thinking_fields(self.config.thinking).unwrap_or_default();
        }
        let by_the_words_of_the_refusal = || Map::from_iter([("enable_thinking".to_owned(), Value::Bool(false))]);
        self.profile.thinking_fields(Thinking::Off).unwrap_or_else(by_the_words_of_the_refusal)
    }

    fn declaration(self, function: &Function) -> Value {
        let Function { name, description, parameters, .. } = function;
        let moonshot = self.profile.schema == Dialect::Moonshot || self.form.has(Change::NormaliseSchemas);
        let parameters = if moonshot { schema::moonshot(parameters) } else { schema::plain(parameters) };
        let function = json!({ "name": name, "description": description, "parameters": parameters });
        json!({ "type": "function", "function": function })
    }

    /// The text that offers the functions where the protocol cannot.
    pub(super) fn offer(self, request: &Request) -> Option<String> {
        (self.mode == ToolMode::Prompt && !request.tools.is_empty()).then(|| prompted::offer(&request.tools))
    }
}
