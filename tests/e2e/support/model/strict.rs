//! What real providers refuse, the strictest of each rule: OpenAI, DeepSeek, Kimi, MiniMax, GLM, vLLM.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// Parameters that every provider knows.
const KNOWN: [&str; 8] =
    ["model", "messages", "tools", "stream", "stream_options", "max_tokens", "temperature", "tool_choice"];

/// The request, if it is acceptable.
pub fn check(body: &[u8]) -> Result<Value, String> {
    let body: Value = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    check_known(&body, &KNOWN)?;
    Ok(body)
}

/// The same where other parameters are known.
pub fn check_known(body: &Value, known: &[&str]) -> Result<(), String> {
    let object = body.as_object().ok_or("the body is not an object")?;
    if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("unknown parameter: {key}"));
    }
    require(text(object, "model").is_some_and(|model| !model.is_empty()), "model is required")?;
    require(!object.contains_key("stream_options") || body["stream"] == true, "stream_options only with stream")?;
    let temperature = object.get("temperature").map(|value| value.as_f64().is_some_and(|t| (0.0..=2.0).contains(&t)));
    require(temperature.unwrap_or(true), "temperature must be between 0 and 2")?;
    require(object.get("max_tokens").is_none_or(|value| value.as_u64().is_some_and(|n| n > 0)), "invalid max_tokens")?;
    check_messages(object.get("messages").and_then(Value::as_array).ok_or("messages is required")?)?;
    if let Some(tools) = object.get("tools") {
        check_tools(tools.as_array().ok_or("tools must be an array")?)?;
    }
    object.get("response_format").map_or(Ok(()), |format| check_format(format, &body["messages"]))
}

/// OpenAI's rules: a schema has a name, and "any object" needs the word in the conversation.
fn check_format(format: &Value, messages: &Value) -> Result<(), String> {
    match format["type"].as_str() {
        Some("text") => Ok(()),
        Some("json_object") => require(
            messages.to_string().to_lowercase().contains("json"),
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
        ),
        Some("json_schema") => {
            let asked = &format["json_schema"];
            require(asked["name"].is_string(), "Missing required parameter: 'response_format.json_schema.name'.")?;
            let schema = &asked["schema"];
            require(schema["type"] == "object", "Invalid schema for response_format: it must be of type object")?;
            let invalid = |error| format!("Invalid schema for response_format: {error}");
            jsonschema::validator_for(schema).map(drop).map_err(invalid)
        }
        other => {
            Err(format!("Invalid value: {other:?}. Supported values are: 'json_object', 'json_schema', and 'text'."))
        }
    }
}

fn require(holds: bool, reason: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(reason.to_owned()) }
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    object.get(key).and_then(Value::as_str)
}

pub fn check_messages(messages: &[Value]) -> Result<(), String> {
    require(!messages.is_empty(), "messages must not be empty")?;
    let mut open: Vec<String> = Vec::new();
    let mut previous = "";
    for (index, message) in messages.iter().enumerate() {
        let object = message.as_object().ok_or_else(|| format!("messages[{index}] is not an object"))?;
        let role = text(object, "role").unwrap_or_default();
        let outcome = match role {
            "system" => require(index == 0, "system must come first").and_then(|()| check_content(object)),
            "user" => require(previous != "user", "does not support successive user messages")
                .and_then(|()| check_content(object)),
            "assistant" => require(previous != "assistant", "does not support successive assistant messages")
                .and_then(|()| check_assistant(object)),
            "tool" => check_result(object, &mut open),
            other => Err(format!("unknown role: {other:?}")),
        };
        outcome.map_err(|reason| format!("messages[{index}]: {reason}"))?;
        if role != "tool" {
            require(open.is_empty(), &format!("tool_calls without an answer before messages[{index}]: {open:?}"))?;
        }
        if role == "assistant" {
            open = ids_of(object)?;
        }
        previous = role;
    }
    require(open.is_empty(), &format!("tool_calls without an answer: {open:?}"))?;
    require(matches!(previous, "user" | "tool"), "the last message must be from user or tool")
}

fn check_content(message: &Map<String, Value>) -> Result<(), String> {
    require(
        text(message, "content").is_some_and(|content| !content.trim().is_empty()),
        "content must be a non-empty string",
    )
}

fn check_assistant(message: &Map<String, Value>) -> Result<(), String> {
    let content = message.get("content").unwrap_or(&Value::Null);
    require(content.is_null() || content.is_string(), "content must be a string or null")?;
    let has_text = content.as_str().is_some_and(|content| !content.is_empty());
    let calls = message.get("tool_calls");
    require(
        calls.is_none_or(|calls| calls.as_array().is_some_and(|calls| !calls.is_empty())),
        "tool_calls must not be empty",
    )?;
    require(has_text || calls.is_some(), "content or tool_calls must be set")?;
    calls.and_then(Value::as_array).into_iter().flatten().try_for_each(check_call)
}

fn check_call(call: &Value) -> Result<(), String> {
    require(call["id"].as_str().is_some_and(|id| !id.is_empty()), "a tool call needs an id")?;
    require(call["type"] == "function", "a tool call needs type=function")?;
    check_name(&call["function"]["name"])?;
    let arguments = call["function"]["arguments"].as_str().ok_or("arguments must be a string")?;
    let object = serde_json::from_str::<Map<String, Value>>(arguments);
    object.map(drop).map_err(|_| format!("invalid function arguments json string: {arguments}"))
}

fn check_name(name: &Value) -> Result<(), String> {
    let name = name.as_str().unwrap_or_default();
    let is_fine = (1..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    require(is_fine, &format!("function name {name:?} does not match ^[a-zA-Z0-9_-]{{1,64}}$"))
}

fn ids_of(message: &Map<String, Value>) -> Result<Vec<String>, String> {
    let calls = message.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let ids: Vec<_> = calls.iter().filter_map(|call| call["id"].as_str().map(str::to_owned)).collect();
    let unique: HashSet<_> = ids.iter().collect();
    require(unique.len() == ids.len(), "duplicate tool call ids")?;
    Ok(ids)
}

fn check_result(message: &Map<String, Value>, open: &mut Vec<String>) -> Result<(), String> {
    let id = text(message, "tool_call_id").unwrap_or_default();
    let position = open.iter().position(|known| known == id);
    let position = position.ok_or_else(|| format!("tool result's tool id not found: {id:?}"))?;
    require(position == 0, "tool results must come in the order of their calls")?;
    open.remove(position);
    check_content(message)
}

fn check_tools(tools: &[Value]) -> Result<(), String> {
    require(!tools.is_empty(), "tools must not be empty")?;
    let mut names = HashSet::new();
    for tool in tools {
        require(tool["type"] == "function", "a tool needs type=function")?;
        let function = &tool["function"];
        check_name(&function["name"])?;
        let name = function["name"].as_str().unwrap_or_default();
        require(names.insert(name), &format!("tool {name} is offered twice"))?;
        require(function["description"].as_str().is_some_and(|text| !text.is_empty()), "a tool needs a description")?;
        let parameters = &function["parameters"];
        require(parameters["type"] == "object", &format!("{name}: parameters must have type object"))?;
        check_schema(parameters).map_err(|reason| format!("{name}: {reason}"))?;
        jsonschema::validator_for(parameters).map_err(|error| format!("{name}: invalid JSON schema: {error}"))?;
    }
    Ok(())
}

/// The flavour of JSON schema that Kimi and Gemini accept.
pub fn check_schema(schema: &Value) -> Result<(), String> {
    let object = schema.as_object().ok_or("a schema must be an object")?;
    for refused in ["$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "$schema"] {
        require(!object.contains_key(refused), &format!("{refused} is not supported"))?;
    }
    let kind = text(object, "type").ok_or_else(|| format!("a schema without one type: {schema}"))?;
    if kind == "object" {
        let properties = object.get("properties").and_then(Value::as_object).ok_or("an object needs properties")?;
        properties.values().try_for_each(check_schema)?;
        let required = object.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let unknown = required.iter().filter_map(Value::as_str).find(|key| !properties.contains_key(*key));
        require(unknown.is_none(), &format!("required names no property: {unknown:?}"))?;
    }
    if kind == "array" {
        check_schema(object.get("items").ok_or("an array needs items")?)?;
    }
    Ok(())
}
