//! Why a model did not answer, in words an operator can act on and a loop can decide by.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::absence::Absence;
use super::reaction::{Reaction, judge};
use crate::alert::Lang;

/// The most that is kept of what a provider said, in characters.
const DETAIL_CHARS: usize = 500;

/// What kind of failure it is; decides who reacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The provider was not reached, or the connection broke.
    Network,
    /// It was reached and did not answer in time.
    Timeout,
    /// It asks to slow down.
    RateLimited,
    /// It failed on its side.
    Server,
    /// It answered 200 with something that is no answer.
    BadAnswer,
    /// It refuses the key.
    Auth,
    /// The account has nothing left.
    Quota,
    /// It does not know the model or the address.
    NotFound,
    /// The model cannot call functions.
    ToolsUnsupported,
    /// The conversation does not fit.
    ContextLength,
    /// Its censor refuses the conversation or the answer.
    ContentFilter,
    /// It refuses the request for another reason.
    Rejected,
    /// The model's settings cannot be used.
    Config,
}

impl Class {
    /// A fixed word for metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::BadAnswer => "bad_answer",
            Self::Auth => "auth",
            Self::Quota => "quota",
            Self::NotFound => "not_found",
            Self::ToolsUnsupported => "tools_unsupported",
            Self::ContextLength => "context_length",
            Self::ContentFilter => "content_filter",
            Self::Rejected => "rejected",
            Self::Config => "config",
        }
    }

    /// Whether the same request can succeed a moment later.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Network | Self::Timeout | Self::RateLimited | Self::Server | Self::BadAnswer)
    }

    /// What is done about it when nothing more is known.
    fn reaction(self) -> Reaction {
        match self {
            Self::ContextLength => Reaction::ShrinkOnce,
            Self::ContentFilter => Reaction::WithholdNewest,
            Self::RateLimited => Reaction::WaitRetryAfter,
            _ if self.is_retryable() => Reaction::RetryBackoff,
            _ => Reaction::NextModel,
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn advice(self, lang: Lang) -> &'static str {
        let (zh, en) = match self {
            Self::Network => (
                "检查 base_url、DNS、出口网络和代理设置（HTTPS_PROXY、NO_PROXY）",
                "check base_url, DNS, egress and the proxy settings (HTTPS_PROXY, NO_PROXY)",
            ),
            Self::Timeout => {
                ("换更快的模型，或调大该模型的 timeout", "use a faster model, or raise this model's timeout")
            }
            Self::RateLimited => (
                "降低 triage.concurrency，或向服务商申请更高的限额",
                "lower triage.concurrency, or ask the provider for a higher limit",
            ),
            Self::Server => (
                "查看服务商的状态页，或在 models 里再配一个备用模型",
                "see the provider's status page, or configure a second model",
            ),
            Self::BadAnswer => (
                "确认 base_url 指向 OpenAI 兼容接口（通常以 /v1 结尾），而不是网页或网关",
                "make sure base_url is an OpenAI-compatible interface (usually ending in /v1), not a web page or a gateway",
            ),
            Self::Auth => ("检查 api_key 及其权限", "check api_key and what it may do"),
            Self::Quota => ("给账户充值，或换一个 api_key", "top up the account, or use another api_key"),
            Self::NotFound => {
                ("检查 model 的名称和 base_url 的路径", "check the name under model and the path of base_url")
            }
            Self::ToolsUnsupported => {
                ("给该模型配置 tools: auto 或 prompt", "say tools: auto or tools: prompt for this model")
            }
            Self::ContextLength => (
                "调小 context_tokens，或换上下文更大的模型",
                "lower context_tokens, or use a model with a larger window",
            ),
            Self::ContentFilter => (
                "服务商的内容审查拒绝了这段日志或回答；换一家服务商作为备用",
                "the provider's content filter refuses these logs or this answer; configure another provider as second model",
            ),
            Self::Rejected => {
                ("按服务商的说明调整该模型的配置", "adjust this model's settings to what the provider says")
            }
            Self::Config => ("修改该模型的配置", "correct this model's settings"),
        };
        lang.pick(zh, en)
    }
}

/// A call that gave no usable answer. Its text never holds the key and at most 500 characters of the provider's words.
#[derive(Debug, Clone, PartialEq, Error, Serialize, Deserialize)]
#[error("model {model}: {detail} ({}{}); {}", class.label(), status.map(|code| format!(", HTTP {code}")).unwrap_or_default(), class.advice(Lang::En))]
pub struct ModelError {
    /// The configured name of the model.
    pub model: String,
    /// What kind of failure it is.
    pub class: Class,
    /// HTTP status, when there was one.
    pub status: Option<u16>,
    /// What the provider, or the network, said.
    pub detail: String,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// What can be done about it; follows from the rest, so it is not kept with it.
    #[serde(skip)]
    pub reaction: Reaction,
}

impl ModelError {
    /// The sentence in this language. What the provider said is its own, and stands in the log.
    #[must_use]
    pub fn told(&self, lang: Lang) -> String {
        let what =
            || format!("模型 {}：{}；{}", self.model, Absence::of(self).brief(Lang::Zh), self.class.advice(Lang::Zh));
        match lang {
            Lang::Zh => what(),
            Lang::En => self.to_string(),
        }
    }

    /// A failure without an HTTP status.
    pub fn new(model: &str, class: Class, detail: impl AsRef<str>) -> Self {
        let (model, detail) = (model.to_owned(), shorten(detail.as_ref()));
        Self { model, class, status: None, detail, retry_after: None, reaction: class.reaction() }
    }

    /// What a provider's refusal means, and what can be done about it. There is no status when the error came in place
    /// of an answer.
    #[must_use]
    pub fn refused(model: &str, status: Option<u16>, retry_after: Option<Duration>, body: &str) -> Self {
        let said = shorten(&words_of(body));
        let (class, reaction) = judge(status, &code_of(body), &said);
        let detail = if said.is_empty() { "no explanation was given".to_owned() } else { said };
        Self { model: model.to_owned(), class, status, detail, retry_after, reaction }
    }

    /// A failure that was kept, with the reaction to it.
    pub(super) fn judged(mut self) -> Self {
        self.reaction = match self.status {
            Some(_) => judge(self.status, "", &self.detail).1,
            None => self.class.reaction(),
        };
        self
    }

    /// The same failure with a secret taken out of its text; providers like to repeat the key they refuse.
    #[must_use]
    pub fn without(mut self, secret: &str) -> Self {
        if !secret.is_empty() {
            self.detail = self.detail.replace(secret, "[api_key]");
        }
        self
    }
}

/// The sentence in an error body, whatever its shape; pages are named, never quoted.
fn words_of(body: &str) -> String {
    let body = body.trim();
    match serde_json::from_str::<Value>(body) {
        Ok(Value::Null) => String::new(),
        Ok(Value::Object(object)) if object.is_empty() => String::new(),
        Ok(value) => sentence_in(&value).unwrap_or_else(|| value.to_string()),
        Err(_) if body.starts_with('<') => "an HTML page instead of an answer".to_owned(),
        Err(_) => body.to_owned(),
    }
}

fn sentence_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => items.iter().find_map(sentence_in),
        Value::Object(object) => ["error", "message", "detail", "msg", "error_msg", "errors", "error_message"]
            .iter()
            .find_map(|key| object.get(*key).and_then(sentence_in)),
        _ => None,
    }
}

/// The provider's own code or type; it often says more than its sentence.
fn code_of(body: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(body) else { return String::new() };
    let places = ["/code", "/error/code", "/error/type", "/type"];
    let found = places.iter().filter_map(|place| value.pointer(place)).map(|code| match code {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    found.collect::<Vec<_>>().join(" ")
}

fn shorten(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match one_line.char_indices().nth(DETAIL_CHARS) {
        Some((cut, _)) => format!("{}…", &one_line[..cut]),
        None => one_line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, body: &str) -> Class {
        ModelError::refused("m", Some(status), None, body).class
    }

    #[test]
    fn words_decide_before_the_status() {
        let cases = [
            (
                400,
                r#"{"error":{"message":"deepseek-reasoner does not support Function Calling"}}"#,
                Class::ToolsUnsupported,
            ),
            (
                400,
                r#"{"code":20015,"message":"Function call is not supported for this model.","data":null}"#,
                Class::ToolsUnsupported,
            ),
            (
                400,
                r#"{"error":{"code":"InvalidParameter","message":"the requested model does not support function calling"}}"#,
                Class::ToolsUnsupported,
            ),
            (400, r#"{"error":"registry.ollama.ai/library/gemma:2b does not support tools"}"#, Class::ToolsUnsupported),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 8192 tokens.","code":400}"#,
                Class::ContextLength,
            ),
            (
                400,
                r#"{"error":{"message":"Content Exists Risk","type":"invalid_request_error"}}"#,
                Class::ContentFilter,
            ),
            (
                400,
                r#"{"code":"data_inspection_failed","message":"Input data may contain inappropriate content."}"#,
                Class::ContentFilter,
            ),
            (
                400,
                r#"{"code":20015,"message":"The parameter is invalid. Please check again.","data":null}"#,
                Class::Server,
            ),
            (400, r#"{"code":20015,"message":"does not support parameter enable_thinking"}"#, Class::Rejected),
            (403, r#"{"code":30001,"message":"Sorry, your account balance is insufficient"}"#, Class::Quota),
            (
                429,
                r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
                Class::Quota,
            ),
            (
                429,
                r#"{"message":"Request was rejected due to rate limiting. Details: TPM limit reached."}"#,
                Class::RateLimited,
            ),
            (429, "{}", Class::RateLimited),
            (401, r#""Invalid token""#, Class::Auth),
            (402, r#"{"error":{"message":"Insufficient Balance"}}"#, Class::Quota),
            (404, "404 page not found", Class::NotFound),
            (503, "<html>upstream</html>", Class::Server),
            (500, r#"{"error":"context deadline exceeded while rate limit"}"#, Class::Server),
            (400, r#"{"error":{"code":"1210","message":"Tool choice must be auto"}}"#, Class::Rejected),
        ];
        for (status, body, expected) in cases {
            assert_eq!(class(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn what_is_shown_is_one_short_line_without_pages_or_keys() {
        let page = ModelError::refused("m", Some(502), None, "<html><body>secret page</body></html>");
        assert!(!page.to_string().contains("secret page"));
        let long = ModelError::refused("m", Some(400), None, &"好".repeat(5_000));
        assert_eq!(long.detail.chars().count(), DETAIL_CHARS + 1);
        let echoed =
            ModelError::refused("m", Some(401), None, r#"{"error":{"message":"Incorrect API key provided: sk-abc"}}"#);
        assert!(!echoed.without("sk-abc").to_string().contains("sk-abc"));
    }
}
