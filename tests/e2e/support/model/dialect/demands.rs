//! What each provider insists on beyond what all do, with the words of its refusal and where they were seen.

use serde_json::{Map, Value, json};

use super::{Inquiry, Refusal};
use crate::support::model::{KEY, strict};

type Judgement = Result<(), Refusal>;

fn refuse_if(is_wrong: bool, code: &'static str, words: impl Into<String>) -> Judgement {
    if is_wrong { Err(Refusal::bad(code, words)) } else { Ok(()) }
}

/// The place of the first message that is so.
fn place(inquiry: &Inquiry, is: impl Fn(&Value) -> bool) -> Option<usize> {
    inquiry.messages().iter().position(is)
}

fn has_calls(message: &Value) -> bool {
    message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty())
}

fn thinking(message: &Value) -> &str {
    message["reasoning_content"].as_str().unwrap_or_default()
}

fn thinking_is_off(inquiry: &Inquiry) -> bool {
    inquiry.body["thinking"]["type"] == "disabled"
}

fn forces_a_call(inquiry: &Inquiry) -> bool {
    inquiry.body.get("tool_choice").is_some_and(|choice| choice != "auto" && choice != "none")
}

fn pairing(inquiry: &Inquiry) -> Result<(), String> {
    strict::check_messages(inquiry.messages())
}

/// Errors as OpenAI words them; DeepSeek, DashScope, Moonshot, Ollama and Azure do likewise.
pub fn in_an_error(refusal: &Refusal) -> Value {
    json!({ "error": { "message": refusal.words, "type": "invalid_request_error", "param": null, "code": refusal.code } })
}

/// vLLM's and SGLang's: no `error` around it.
pub fn bare(refusal: &Refusal) -> Value {
    json!({ "object": "error", "message": refusal.words, "type": "BadRequestError", "param": null, "code": refusal.status })
}

/// SiliconFlow's: a number and words.
pub fn numbered(refusal: &Refusal) -> Value {
    json!({ "code": refusal.code.parse::<u32>().ok(), "message": refusal.words, "data": null })
}

/// Zhipu's: the number is a text.
pub fn zhipu_error(refusal: &Refusal) -> Value {
    json!({ "error": { "code": refusal.code, "message": refusal.words } })
}

/// MiniMax's: the number stands in the words.
pub fn minimax_error(refusal: &Refusal) -> Value {
    let words = format!("invalid params, {} ({})", refusal.words, refusal.code);
    json!({ "type": "error", "error": { "type": "bad_request_error", "message": words, "http_code": "400" } })
}

pub fn bearer(inquiry: &Inquiry) -> Judgement {
    let key = inquiry.headers.get("authorization").and_then(|value| value.to_str().ok());
    let is_known = key == Some(&format!("Bearer {KEY}"));
    let words = "Incorrect API key provided".to_owned();
    if is_known { Ok(()) } else { Err(Refusal { status: 401, code: "invalid_api_key", words }) }
}

/// Azure's key has a header of its own, and the version stands in the address.
pub fn azure_address(inquiry: &Inquiry) -> Judgement {
    let has_key = inquiry.headers.get("api-key").is_some_and(|value| value == KEY);
    let denied = "Access denied due to invalid subscription key or wrong API endpoint.".to_owned();
    if !has_key || inquiry.headers.contains_key("authorization") {
        return Err(Refusal { status: 401, code: "401", words: denied });
    }
    let has_version = inquiry.query.split('&').any(|pair| pair.strip_prefix("api-version=").is_some_and(is_version));
    let words = "Resource not found".to_owned();
    if has_version { Ok(()) } else { Err(Refusal { status: 404, code: "404", words }) }
}

fn is_version(text: &str) -> bool {
    text.len() >= 10 && text.starts_with("202")
}

/// vercel/ai#4727, BerriAI/litellm#10574.
pub fn r1_has_no_functions(inquiry: &Inquiry) -> Judgement {
    refuse_if(inquiry.has_tools(), "invalid_request_error", "deepseek-reasoner does not support Function Calling")
}

/// The old reasoner: strict turns (Aider-AI/aider#2933), no thinking in the input (its first guide), plain texts only
/// (litellm#7972).
pub fn r1_conversation(inquiry: &Inquiry) -> Judgement {
    let messages = inquiry.messages();
    let same = messages
        .windows(2)
        .position(|pair| pair[0]["role"] == pair[1]["role"] || pair.iter().any(|message| message["role"] == "tool"));
    if let Some(at) = same {
        let next = at + 1;
        let words = format!(
            "deepseek-reasoner does not support successive user or assistant messages (messages[{at}] and messages[{next}] in your input). You should interleave the user/assistant messages in the message sequence."
        );
        return Err(Refusal::bad("invalid_request_error", words));
    }
    let has_thinking = place(inquiry, |message| message.get("reasoning_content").is_some()).is_some();
    refuse_if(has_thinking, "invalid_request_error", "reasoning_content is not allowed in the input messages")?;
    let is_list = place(inquiry, |message| !message["content"].is_string());
    refuse_if(is_list.is_some(), "invalid_request_error", "content must be a string")
}

/// Nor JSON on demand; the words are those of BerriAI/litellm#31466.
pub fn r1_has_no_format(inquiry: &Inquiry) -> Judgement {
    let is_asked = inquiry.body.get("response_format").is_some();
    refuse_if(is_asked, "invalid_request_error", "This response_format type is unavailable now")
}

/// https://api-docs.deepseek.com/guides/thinking_mode, charmbracelet/crush#2696.
pub fn deepseek_wants_thinking_back(inquiry: &Inquiry) -> Judgement {
    let lost = place(inquiry, |message| has_calls(message) && thinking(message).trim().is_empty());
    match lost.filter(|_| !thinking_is_off(inquiry)) {
        Some(at) => {
            let words = format!("Missing `reasoning_content` field in the assistant message at message index {at}");
            Err(Refusal::bad("invalid_request_error", words))
        }
        None => Ok(()),
    }
}

/// What comes back is what it thought.
pub fn thinking_is_unchanged(inquiry: &Inquiry) -> Judgement {
    let other = place(inquiry, |message| !thinking(message).is_empty() && thinking(message) != super::THOUGHT);
    refuse_if(other.is_some(), "invalid_request_error", "the `reasoning_content` is not what was said")
}

/// pydantic-ai profiles/deepseek.py, profiles/qwen.py: no forced calls while it thinks.
pub fn no_forced_calls(inquiry: &Inquiry) -> Judgement {
    refuse_if(forces_a_call(inquiry), "invalid_request_error", "this model does not support this tool_choice")
}

/// labring/FastGPT#4031.
pub fn siliconflow_has_no_functions(inquiry: &Inquiry) -> Judgement {
    refuse_if(inquiry.has_tools(), "20015", "Function call is not supported for this model.")
}

/// oai-compatible-copilot#12.
pub fn siliconflow_has_no_switch(inquiry: &Inquiry) -> Judgement {
    let has_switch = inquiry.body.get("enable_thinking").is_some();
    refuse_if(has_switch, "20015", "Value error, current model does not support parameter `enable_thinking`.")
}

/// FoundationAgents/OpenManus#123.
pub fn ark_has_no_functions(inquiry: &Inquiry) -> Judgement {
    let words = "The parameter `tools` specified in the request are not valid: the requested model does not support function calling.";
    refuse_if(inquiry.has_tools(), "InvalidParameter", words)
}

/// langchain4j#3974, new-api#1109: a model that thinks is only streamed.
pub fn dashscope_streams_thinking(inquiry: &Inquiry) -> Judgement {
    let words = "parameter.enable_thinking must be set to false for non-streaming calls";
    let thinks = inquiry.body["enable_thinking"] != false;
    refuse_if(thinks && inquiry.body["stream"] != true, "invalid_parameter_error", words)
}

/// The same behind a gateway that asks for whole answers whatever it is asked for.
pub fn a_gateway_does_not_stream(inquiry: &Inquiry) -> Judgement {
    let words = "parameter.enable_thinking must be set to false for non-streaming calls";
    refuse_if(inquiry.body["enable_thinking"] != false, "invalid_parameter_error", words)
}

/// QwenLM/qwen-code#2360.
pub fn dashscope_pairing(inquiry: &Inquiry) -> Judgement {
    let words =
        "messages with role \"tool\" must be a response to a preceeding message with \"tool_calls\".".to_owned();
    pairing(inquiry).map_err(|reason| Refusal::bad("invalid_parameter_error", format!("{words} {reason}")))
}

/// vectorize-io/hindsight#4246.
pub fn zhipu_choice(inquiry: &Inquiry) -> Judgement {
    let is_other = inquiry.body.get("tool_choice").is_some_and(|choice| choice != "auto");
    refuse_if(is_other, "1210", "Tool choice must be auto")
}

/// lobehub/lobe-chat#11408.
pub fn zhipu_order(inquiry: &Inquiry) -> Judgement {
    pairing(inquiry).map_err(|_| Refusal::bad("1214", "messages 参数非法。请检查文档。"))
}

/// jiuwenswarm#3942, command-code#594.
pub fn moonshot_schemas(inquiry: &Inquiry) -> Judgement {
    let tools = inquiry.body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wrong = tools.iter().find_map(|tool| strict::check_schema(&tool["function"]["parameters"]).err());
    match wrong {
        Some(reason) => {
            let words = format!("tools.function.parameters is not a valid moonshot flavored json schema: {reason}");
            Err(Refusal::bad("invalid_request_error", words))
        }
        None => Ok(()),
    }
}

/// MoonshotAI/Kimi-K2:docs/tool_call_guidance.md: its own ids back.
pub fn kimi_ids(inquiry: &Inquiry) -> Judgement {
    let calls = inquiry.messages().iter().flat_map(|message| message["tool_calls"].as_array().into_iter().flatten());
    let foreign = calls.filter(|call| !call["id"].as_str().is_some_and(|id| id.starts_with("functions."))).count();
    refuse_if(foreign > 0, "invalid_request_error", "tool_call_id is not found")
}

/// promptfoo#9672.
pub fn kimi_temperature(inquiry: &Inquiry) -> Judgement {
    let is_set = inquiry.body.get("temperature").is_some_and(|value| value.as_f64() != Some(1.0));
    refuse_if(is_set, "invalid_request_error", "invalid temperature: only 1 is allowed for this model")
}

/// QuantumNous/new-api#3121.
pub fn kimi_wants_thinking_back(inquiry: &Inquiry) -> Judgement {
    let lost = place(inquiry, |message| has_calls(message) && thinking(message).trim().is_empty());
    match lost.filter(|_| !thinking_is_off(inquiry)) {
        Some(at) => {
            let words = format!(
                "thinking is enabled but reasoning_content is missing in assistant tool call message at index {at}"
            );
            Err(Refusal::bad("invalid_request_error", words))
        }
        None => Ok(()),
    }
}

/// MiniMax-AI/MiniMax-M2#69 and #76, opencode#32609, qwen-code#11905.
pub fn minimax_params(inquiry: &Inquiry) -> Judgement {
    let tools = inquiry.body["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_empty = |tool: &Value| tool["function"]["parameters"]["properties"].as_object().is_none();
    refuse_if(tools.iter().any(is_empty), "2013", "function parameters is empty")?;
    refuse_if(arguments_are_broken(inquiry), "2013", "invalid function arguments json string")?;
    pairing(inquiry).map_err(|reason| Refusal::bad("2013", format!("tool result's tool id not found: {reason}")))
}

fn arguments_are_broken(inquiry: &Inquiry) -> bool {
    let calls = inquiry.messages().iter().flat_map(|message| message["tool_calls"].as_array().into_iter().flatten());
    let object =
        |call: &Value| serde_json::from_str::<Map<String, Value>>(call["function"]["arguments"].as_str()?).ok();
    calls.map(object).any(|arguments| arguments.is_none())
}

/// The API reference: the limit's old name is refused by models that reason, and so is any temperature.
pub fn openai_reasoning_model(inquiry: &Inquiry) -> Judgement {
    let words =
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
    refuse_if(inquiry.body.get("max_tokens").is_some(), "unsupported_parameter", words)?;
    let words = "Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.";
    refuse_if(inquiry.body.get("temperature").is_some(), "unsupported_value", words)
}

/// Models before gpt-4o-2024-08-06 know objects and no schemas.
pub fn openai_has_no_schemas(inquiry: &Inquiry) -> Judgement {
    let is_asked = inquiry.body["response_format"]["type"] == "json_schema";
    let words = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.";
    refuse_if(is_asked, "invalid_request_error", words)
}

/// Answers are kept to a shape as long as functions stand in the prompt.
pub fn keeps_to_a_shape(inquiry: &Inquiry) -> Judgement {
    let is_free = inquiry.has_prompt_tools() && inquiry.body.get("response_format").is_none();
    refuse_if(is_free, "", "the answer is free although it could be kept to a shape")
}

/// Ids of at most 40 characters, and no fields in messages that the reference does not have.
pub fn openai_messages(inquiry: &Inquiry) -> Judgement {
    let long = |id: &Value| id.as_str().is_some_and(|id| id.len() > 40);
    let calls = |message: &Value| message["tool_calls"].as_array().into_iter().flatten().any(|call| long(&call["id"]));
    let at = place(inquiry, |message| calls(message) || long(&message["tool_call_id"]));
    let words = "Invalid 'messages.tool_calls.id': string too long. Expected a string with maximum length 40.";
    refuse_if(at.is_some(), "string_above_max_length", words)?;
    let known = ["role", "content", "tool_calls", "tool_call_id"];
    let foreign =
        |message: &Value| message.as_object().is_some_and(|m| m.keys().any(|key| !known.contains(&key.as_str())));
    refuse_if(place(inquiry, foreign).is_some(), "unknown_parameter", "Additional properties are not allowed")
}

/// Models without a template for functions (ollama:openai/openai.go).
pub fn ollama_has_no_functions(inquiry: &Inquiry) -> Judgement {
    refuse_if(inquiry.has_tools(), "", "registry.ollama.ai/library/gemma3:4b does not support tools")
}

/// ollama:openai/openai.go.
pub fn ollama_arguments(inquiry: &Inquiry) -> Judgement {
    refuse_if(arguments_are_broken(inquiry), "", "invalid tool call arguments")
}

/// Started without a parser.
pub fn vllm_has_no_parser(inquiry: &Inquiry) -> Judgement {
    let words = "\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set";
    refuse_if(inquiry.has_tools(), "", words)
}

/// vllm-project/vllm#19419, sgl-project/sglang#28035: the template reads arguments as an object.
pub fn template_reads_arguments(inquiry: &Inquiry) -> Judgement {
    refuse_if(arguments_are_broken(inquiry), "", "Can only get item pairs from a mapping.")
}

/// mistral-common's check, as vLLM passes it on.
pub fn mistral_ids(inquiry: &Inquiry) -> Judgement {
    let calls = inquiry.messages().iter().flat_map(|message| message["tool_calls"].as_array().into_iter().flatten());
    let is_nine = |id: &str| id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let wrong = calls.filter(|call| !call["id"].as_str().is_some_and(is_nine)).count();
    refuse_if(wrong > 0, "", "Tool call id has to be defined in mistral format: 9 alphanumeric characters")
}
