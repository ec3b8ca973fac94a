//! What to do about a refusal: one table of what providers say, one function from their words to a reaction.

use super::error::Class;
use super::form::Change;

/// What is done about a failed call, by the layer that can do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Reaction {
    /// The same again after a pause of our own.
    RetryBackoff,
    /// The same again after the pause the provider names, or one of our own where it names none.
    WaitRetryAfter,
    /// The same again in the next minute: a limit of tokens per minute was reached.
    WaitMinute,
    /// The same question in another form, at once; the form is remembered when it works.
    Resend(Change),
    /// The loop makes the conversation shorter, once.
    ShrinkOnce,
    /// The loop takes the newest results back, once.
    WithholdNewest,
    /// Nothing helps here; another model may answer.
    #[default]
    NextModel,
}

/// The reaction to a refusal: its status (none when an error came in place of an answer), the provider's own code or
/// type, and its words. A wait that does not fit before the deadline, and a form that was tried or changes nothing,
/// become [`Reaction::NextModel`] where they are carried out.
#[must_use]
pub fn reaction(status: Option<u16>, code: &str, message: &str) -> Reaction {
    judge(status, code, message).1
}

/// Kind of failure and reaction. The words decide before the status, because providers disagree on statuses; what a
/// server says about its own failure is not about the request.
pub(super) fn judge(status: Option<u16>, code: &str, message: &str) -> (Class, Reaction) {
    let said = format!("{message} {code}").to_lowercase();
    if status.is_none_or(|status| status < 500) {
        // "Too many tokens" with a 429 are too many in a minute, not in the window.
        let fits = |rule: &&Rule| !(status == Some(429) && rule.class == Class::ContextLength);
        let rule = RULES
            .iter()
            .filter(fits)
            .find(|rule| rule.says.iter().any(|all| all.iter().all(|part| said.contains(part))));
        if let Some(rule) = rule {
            return (rule.class, rule.reaction);
        }
        if matches!(status, Some(400 | 422) | None)
            && let Some(name) = refused_parameter(&said)
        {
            return (Class::Rejected, Reaction::Resend(Change::DropParameter(name)));
        }
    }
    by_status(status, said.trim().is_empty())
}

fn by_status(status: Option<u16>, is_silent: bool) -> (Class, Reaction) {
    match status {
        Some(401 | 403) => (Class::Auth, Reaction::NextModel),
        Some(402) => (Class::Quota, Reaction::NextModel),
        Some(404 | 405 | 300..=399) => (Class::NotFound, Reaction::NextModel),
        Some(408) => (Class::Timeout, Reaction::RetryBackoff),
        Some(413) => (Class::ContextLength, Reaction::ShrinkOnce),
        Some(425 | 429) => (Class::RateLimited, Reaction::WaitRetryAfter),
        Some(409 | 500..) | None => (Class::Server, Reaction::RetryBackoff),
        // A thinking model whose limit is too high may say nothing at all (Cebian#54).
        Some(_) if is_silent => (Class::Rejected, Reaction::Resend(Change::LowerMaxTokens)),
        Some(_) => (Class::Rejected, Reaction::Resend(Change::Plainest)),
    }
}

/// Phrases by which providers say the same thing, in lower case: one of the lists, every part of it.
struct Rule {
    says: &'static [&'static [&'static str]],
    class: Class,
    reaction: Reaction,
}

const fn rule(class: Class, reaction: Reaction, says: &'static [&'static [&'static str]]) -> Rule {
    Rule { says, class, reaction }
}

/// The first that fits counts. Each row's origin is in the tests.
const RULES: &[Rule] = &[
    rule(
        Class::ToolsUnsupported,
        Reaction::Resend(Change::SwitchToPromptTools),
        &[
            &["support function call"],
            &["function call is not supported"],
            &["function calling is not supported"],
            &["tool call is not supported"],
            &["tool calling is not supported"],
            &["does not support tools"],
            &["support tool use"],
            &["tools is not supported"],
            &["requires --enable-auto-tool-choice"],
        ],
    ),
    rule(
        Class::ContentFilter,
        Reaction::WithholdNewest,
        &[
            &["content exists risk"],
            &["content_filter"],
            &["data_inspection_failed"],
            &["datainspectionfailed"],
            &["敏感内容"],
        ],
    ),
    rule(
        Class::Quota,
        Reaction::NextModel,
        &[
            &["insufficient_quota"],
            &["insufficient balance"],
            &["balance is insufficient"],
            &["exceeded your current quota"],
            &["arrearage"],
            &["欠费"],
            &["余额不足"],
        ],
    ),
    rule(
        Class::Rejected,
        Reaction::Resend(Change::RestoreReasoning),
        &[&["reasoning_content", "missing"], &["reasoning_content", "must be passed back"]],
    ),
    rule(Class::Rejected, Reaction::Resend(Change::StripReasoning), &[&["reasoning_content"]]),
    rule(
        Class::Rejected,
        Reaction::Resend(Change::MergeMessages),
        &[&["successive user or assistant"], &["successive user"], &["roles must alternate"]],
    ),
    rule(
        Class::Rejected,
        Reaction::Resend(Change::DisableThinking),
        &[&["enable_thinking", "non-streaming"], &["enable thinking", "stream=false"]],
    ),
    rule(Class::Rejected, Reaction::Resend(Change::NormaliseSchemas), &[&["moonshot flavored json schema"]]),
    rule(Class::Rejected, Reaction::Resend(Change::DropParameter("tool_choice")), &[&["tool choice must be auto"]]),
    rule(
        Class::Rejected,
        Reaction::Resend(Change::RenameMaxTokens),
        &[&["max_tokens", "unsupported", "max_completion_tokens"], &["max_tokens", "use 'max_completion_tokens'"]],
    ),
    rule(
        Class::Rejected,
        Reaction::Resend(Change::LowerMaxTokens),
        &[&["max_tokens", "too large"], &["range of max_tokens"], &["invalid max_tokens"], &["max_tokens must be"]],
    ),
    rule(
        Class::ContextLength,
        Reaction::ShrinkOnce,
        &[
            &["context length"],
            &["context_length_exceeded"],
            &["context limit"],
            &["context window"],
            &["context size"],
            &["exceed_context"],
            &["prompt is too long"],
            &["input is too long"],
            &["range of input length"],
            &["maximum prompt length"],
            &["too many tokens"],
        ],
    ),
    // Gateway noise of SiliconFlow: the same request succeeds a moment later.
    rule(Class::Server, Reaction::RetryBackoff, &[&["the parameter is invalid"]]),
    rule(Class::RateLimited, Reaction::WaitMinute, &[&["tpm limit"], &["tokens per minute"]]),
    // Kimi names no time, and load is not a limit of ours.
    rule(Class::RateLimited, Reaction::RetryBackoff, &[&["engine_overloaded"], &["engine is currently overloaded"]]),
    rule(Class::RateLimited, Reaction::WaitRetryAfter, &[&["rpm limit"], &["rate limit"], &["too many requests"]]),
];

/// Parameters that some endpoints do not know, longer names first.
const PARAMETERS: &[&str] = &[
    "chat_template_kwargs",
    "parallel_tool_calls",
    "response_format",
    "reasoning_effort",
    "reasoning_split",
    "thinking_budget",
    "enable_thinking",
    "stream_options",
    "temperature",
    "tool_choice",
    "thinking",
];

/// Words by which a parameter, or its value, is refused.
const REFUSALS: &[&str] = &[
    "not support",
    "unsupported",
    "unrecognized",
    "unknown",
    "unavailable",
    "not permitted",
    "not allowed",
    "unexpected",
    "must be",
    "only",
    "invalid",
    "not valid",
    "cannot",
];

fn refused_parameter(said: &str) -> Option<&'static str> {
    let refuses = REFUSALS.iter().any(|word| said.contains(word));
    PARAMETERS.iter().copied().find(|name| refuses && said.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every row of what is known, with the words as they came.
    #[test]
    fn every_known_refusal_has_its_reaction() {
        use Change::*;
        let cases: &[(u16, &str, &str, Reaction)] = &[
            // vercel/ai#4727, litellm#10574
            (400, "", "deepseek-reasoner does not support Function Calling", Reaction::Resend(SwitchToPromptTools)),
            // FoundationAgents/OpenManus#123
            (
                400,
                "InvalidParameter",
                "The parameter `tools` is not valid: the requested model does not support function calling",
                Reaction::Resend(SwitchToPromptTools),
            ),
            // labring/FastGPT#4031
            (400, "20015", "Function call is not supported for this model.", Reaction::Resend(SwitchToPromptTools)),
            // songquanpeng/one-api#2214
            (400, "", "The tool call is not supported", Reaction::Resend(SwitchToPromptTools)),
            (
                400,
                "",
                "registry.ollama.ai/library/gemma:2b does not support tools",
                Reaction::Resend(SwitchToPromptTools),
            ),
            (
                400,
                "",
                "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set",
                Reaction::Resend(SwitchToPromptTools),
            ),
            // Aider-AI/aider#2933
            (
                400,
                "invalid_request_error",
                "deepseek-reasoner does not support successive user or assistant messages (messages[1] and messages[2] \
                 in your input). You should interleave the user/assistant messages in the message sequence.",
                Reaction::Resend(MergeMessages),
            ),
            // litellm#7972: it is always a string here, so only the plainest form is left.
            (400, "", "messages[0].content must be a string", Reaction::Resend(Plainest)),
            // The first reasoner guide of DeepSeek.
            (400, "", "reasoning_content is not allowed in the input messages", Reaction::Resend(StripReasoning)),
            // charmbracelet/crush#2696
            (
                400,
                "invalid_request_error",
                "Missing `reasoning_content` field in the assistant message at message index 3",
                Reaction::Resend(RestoreReasoning),
            ),
            (
                400,
                "",
                "The `reasoning_content` in the thinking mode must be passed back to the API.",
                Reaction::Resend(RestoreReasoning),
            ),
            // QuantumNous/new-api#3121
            (
                400,
                "",
                "thinking is enabled but reasoning_content is missing in assistant tool call message at index 7",
                Reaction::Resend(RestoreReasoning),
            ),
            // langchain4j#3974, new-api#1109
            (
                400,
                "invalid_parameter_error",
                "parameter.enable_thinking must be set to false for non-streaming calls",
                Reaction::Resend(DisableThinking),
            ),
            (400, "", "enable thinking can not be support when stream=False", Reaction::Resend(DisableThinking)),
            // oai-compatible-copilot#12
            (
                400,
                "20015",
                "Value error, current model does not support parameter enable_thinking.",
                Reaction::Resend(DropParameter("enable_thinking")),
            ),
            // zotero-AI-Butler#48
            (400, "20015", "The parameter is invalid. Please check again.", Reaction::RetryBackoff),
            // Cebian#54
            (400, "", "", Reaction::Resend(LowerMaxTokens)),
            // litellm#31466
            (
                400,
                "invalid_request_error",
                "This response_format type is unavailable now",
                Reaction::Resend(DropParameter("response_format")),
            ),
            // vectorize-io/hindsight#4246
            (400, "1210", "Tool choice must be auto", Reaction::Resend(DropParameter("tool_choice"))),
            // lobehub/lobe-chat#11408: pairs are always strict here, so only the plainest form is left.
            (400, "1214", "messages 参数非法。请检查文档。", Reaction::Resend(Plainest)),
            // MiniMax-AI/MiniMax-M2#69
            (400, "2013", "invalid params, tool result's tool id not found", Reaction::Resend(Plainest)),
            (400, "2013", "invalid params, function parameters is empty", Reaction::Resend(Plainest)),
            // QwenLM/qwen-code#2360
            (
                400,
                "",
                "messages with role \"tool\" must be a response to a preceeding message with \"tool_calls\".",
                Reaction::Resend(Plainest),
            ),
            // jiuwenswarm#3942
            (
                400,
                "",
                "tools.function.parameters is not a valid moonshot flavored json schema",
                Reaction::Resend(NormaliseSchemas),
            ),
            // promptfoo#9672
            (
                400,
                "",
                "invalid temperature: only 1 is allowed for this model",
                Reaction::Resend(DropParameter("temperature")),
            ),
            // agents-exe#336
            (
                429,
                "engine_overloaded_error",
                "The engine is currently overloaded, please try again later",
                Reaction::RetryBackoff,
            ),
            // OpenDeepWiki#269
            (429, "", "Request was rejected due to rate limiting. Details: TPM limit reached.", Reaction::WaitMinute),
            // BettaFish#108
            (400, "invalid_request_error", "Content Exists Risk", Reaction::WithholdNewest),
            // vLLM's own words
            (
                400,
                "",
                "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.",
                Reaction::ShrinkOnce,
            ),
            (
                400,
                "",
                "input length and `max_tokens` exceed context limit: 190000 + 8192 > 200000",
                Reaction::ShrinkOnce,
            ),
            (
                400,
                "",
                "'max_tokens' or 'max_completion_tokens' is too large: 99999. This model's maximum context length is 4096",
                Reaction::Resend(LowerMaxTokens),
            ),
            (
                400,
                "unsupported_parameter",
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                Reaction::Resend(RenameMaxTokens),
            ),
            // ollama:openai/openai.go, vllm-project/vllm#19419: arguments always go back as objects, so this is the rest.
            (400, "", "invalid tool call arguments", Reaction::Resend(Plainest)),
            (
                400,
                "",
                "Unrecognized request argument supplied: stream_options",
                Reaction::Resend(DropParameter("stream_options")),
            ),
            (401, "", "Invalid token", Reaction::NextModel),
            (402, "", "Insufficient Balance", Reaction::NextModel),
            (404, "", "404 page not found", Reaction::NextModel),
            (429, "insufficient_quota", "You exceeded your current quota", Reaction::NextModel),
            (429, "", "", Reaction::WaitRetryAfter),
            (503, "", "an HTML page instead of an answer", Reaction::RetryBackoff),
            (500, "", "context deadline exceeded while rate limit", Reaction::RetryBackoff),
            (413, "", "", Reaction::ShrinkOnce),
        ];
        for (status, code, message, expected) in cases {
            assert_eq!(reaction(Some(*status), code, message), *expected, "{status} {code} {message}");
        }
    }

    #[test]
    fn an_error_without_a_status_is_judged_by_its_words() {
        assert_eq!(judge(None, "20012", "Model does not exist.").0, Class::Server);
        assert_eq!(reaction(None, "", "Content Exists Risk"), Reaction::WithholdNewest);
        assert_eq!(reaction(None, "", "busy"), Reaction::RetryBackoff);
    }
}
