//! The same conversation as every provider gets it.

use serde_json::{Map, Value, json};

use super::Sending;
use crate::model::form::{Change, Form};
use crate::model::{
    Arguments, AssistantMessage, Catalogue, Function, Message, ModelConfig, Request, ToolCall, ToolMode,
};

fn call(id: &str, name: &str) -> ToolCall {
    let arguments = Map::from_iter([("name".to_owned(), "web-0".into())]);
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: Arguments::Object(arguments), extra: Map::new() }
}

fn said(content: Option<&str>, tool_calls: Vec<ToolCall>) -> Message {
    let extra = Map::from_iter([("reasoning_content".to_owned(), "thought".into())]);
    Message::Assistant(AssistantMessage { content: content.map(str::to_owned), tool_calls, extra })
}

fn result(id: &str, content: &str) -> Message {
    Message::Tool { tool_call_id: id.to_owned(), content: content.to_owned() }
}

fn user(content: &str) -> Message {
    Message::User { content: content.to_owned() }
}

fn function(name: &str) -> Function {
    let parameters =
        json!({ "type": "object", "properties": { "since": { "anyOf": [{ "enum": ["1h"] }], "type": "string" } } });
    Function { name: name.to_owned(), description: "Reads.".to_owned(), parameters, read_only: true }
}

/// System, user, two calls with thinking, their results, a note, words with thinking, a note.
fn conversation() -> Request {
    let messages = vec![
        Message::System { content: "be brief".to_owned() },
        user("why?"),
        said(
            Some("looking"),
            vec![call("a-very-long-id-of-some-other-provider-0123456789", "pods_get"), call("b", "pods_log")],
        ),
        result("a-very-long-id-of-some-other-provider-0123456789", "web-0 Pending"),
        result("b", "no log"),
        user("one more turn"),
        said(Some("the disk"), vec![]),
        user("use the tool"),
    ];
    Request { messages, tools: vec![function("pods_get"), function("submit")] }
}

fn body_in(rest: &str, form: &Form, mode: ToolMode, request: &Request) -> Value {
    let config: ModelConfig =
        yaml_serde::from_str(&format!("{{ name: m, max_tokens: 9000, temperature: 0.5, {rest} }}")).unwrap();
    let profile = Catalogue::built_in().unwrap().profile(&config).unwrap();
    Sending { config: &config, profile: &profile, form, mode }.body(request)
}

fn body(rest: &str) -> Value {
    body_in(rest, &Form::default(), ToolMode::Native, &conversation())
}

const GENERIC: &str = "base_url: http://x/v1, model: m";

#[test]
fn every_provider_gets_the_conversation_in_its_own_form() {
    let models = [
        ("deepseek", "deepseek-chat"),
        ("siliconflow", "Qwen/Qwen3-30B-A3B"),
        ("volcengine", "doubao-seed"),
        ("dashscope", "qwen3-32b"),
        ("zhipu", "glm-4.6"),
        ("moonshot", "kimi-k2.5"),
        ("minimax", "MiniMax-M2"),
        ("openai", "gpt-5"),
        ("azure", "gpt-4o"),
        ("ollama", "qwen3"),
        ("vllm", "qwen3"),
        ("sglang", "deepseek-v3.1"),
        ("generic", "anything"),
    ];
    let generic = body(GENERIC);
    let told = models.map(|(provider, model)| {
        let thinking = if ["minimax", "azure", "generic"].contains(&provider) { "default" } else { "off" };
        let body = body(&format!("base_url: http://x/v1, provider: {provider}, model: {model}, thinking: {thinking}"));
        let Value::Object(body) = body else { panic!("no object") };
        // What is the same for all is told once, by the generic one.
        let differs = |(key, value): &(String, Value)| provider == "generic" || generic[key] != *value;
        (provider, Value::Object(body.into_iter().filter(differs).collect()))
    });
    insta::assert_json_snapshot!(serde_json::to_value(told.into_iter().collect::<Vec<_>>()).unwrap());
}

#[test]
fn in_the_prompt_functions_are_text_and_roles_alternate() {
    let body = body_in(GENERIC, &Form::default(), ToolMode::Prompt, &conversation());
    assert_eq!(body.get("tools"), None);
    let messages = body["messages"].as_array().unwrap();
    let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "user", "assistant", "user"]);
    assert!(messages.iter().all(|message| message["content"].is_string() && message.get("tool_calls").is_none()));
    assert!(messages.iter().all(|message| message.get("reasoning_content").is_none()), "it belongs to native turns");
    let system = messages[0]["content"].as_str().unwrap();
    assert!(system.starts_with("be brief") && system.contains("\"tool_calls\"") && system.contains("## submit"));
    let asked = messages[2]["content"].as_str().unwrap();
    let calls = super::prompted::read(asked, &[function("pods_get"), function("pods_log")]).calls;
    assert_eq!(
        calls.iter().map(|call| call.name.as_str()).collect::<Vec<_>>(),
        ["pods_get", "pods_log"],
        "as it would be read"
    );
    let results = messages[3]["content"].as_str().unwrap();
    assert!(results.contains("Result of pods_get:\nweb-0 Pending") && results.ends_with("one more turn"), "{results}");
}

#[test]
fn json_is_asked_for_in_prompt_mode_where_the_provider_can() {
    let deepseek = "base_url: https://api.deepseek.com, model: deepseek-reasoner";
    let body = body_in(deepseek, &Form::default(), ToolMode::Prompt, &conversation());
    assert_eq!(body["response_format"]["type"], "json_object");
    assert!(body["messages"][0]["content"].as_str().unwrap().to_lowercase().contains("json"), "or it is refused");
}

#[test]
fn an_answer_is_forced_only_where_that_is_understood() {
    let request = Request { tools: vec![function("submit")], ..conversation() };
    let choice = |rest: &str| body_in(rest, &Form::default(), ToolMode::Native, &request).get("tool_choice").cloned();
    assert_eq!(choice("base_url: https://api.openai.com/v1, model: gpt-4o"), Some("required".into()));
    assert_eq!(choice("base_url: https://open.bigmodel.cn/api/paas/v4, model: glm-4.6"), None);
    assert_eq!(choice(GENERIC), None);
}

#[test]
fn each_change_changes_just_what_was_refused() {
    let with = |change| body_in(GENERIC, &Form::default().with(change).unwrap(), ToolMode::Native, &conversation());
    let plain = body(GENERIC);
    assert_eq!(plain["messages"][2]["reasoning_content"], "thought", "a turn with calls");
    assert_eq!(plain["messages"][6].get("reasoning_content"), None, "a turn of words");
    assert_eq!(with(Change::StripReasoning)["messages"][2].get("reasoning_content"), None);
    assert_eq!(with(Change::DropParameter("temperature")).get("temperature"), None);
    let renamed = with(Change::RenameMaxTokens);
    assert_eq!((renamed.get("max_tokens"), &renamed["max_completion_tokens"]), (None, &json!(9000)));
    assert_eq!(with(Change::LowerMaxTokens)["max_tokens"], 4096);
    assert_eq!(with(Change::DisableThinking)["enable_thinking"], false);
    let folded = with(Change::MergeMessages);
    assert_eq!(folded["messages"][4]["content"], "no log\n\none more turn");
    let schema = &with(Change::NormaliseSchemas)["tools"][0]["function"]["parameters"]["properties"]["since"];
    assert_eq!(*schema, json!({ "anyOf": [{ "enum": ["1h"], "type": "string" }] }));
    let plainest = with(Change::Plainest);
    let keys: Vec<_> = plainest.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["model", "messages", "tools", "stream", "max_tokens"]);
}

#[test]
fn thinking_that_was_lost_is_made_up_for_where_it_must_be_there() {
    let bare =
        Message::Assistant(AssistantMessage { tool_calls: vec![call("a", "pods_get")], ..AssistantMessage::default() });
    let request = Request { messages: vec![user("why?"), bare, result("a", "x")], tools: vec![] };
    let form = Form::default().with(Change::RestoreReasoning).unwrap();
    assert_eq!(body_in(GENERIC, &form, ToolMode::Native, &request)["messages"][1]["reasoning_content"], " ");
}

#[test]
fn pairs_are_put_right_and_neighbours_joined() {
    let messages = vec![
        user("a"),
        user("b"),
        result("lost", "nobody asked"),
        said(None, vec![]),
        said(Some("x"), vec![]),
        said(Some("y"), vec![call("1", "pods_get"), call("2", "pods_log")]),
        result("2", "second"),
        result("3", "nobody asked"),
        user("go on"),
    ];
    let body = body_in(GENERIC, &Form::default(), ToolMode::Native, &Request { messages, tools: vec![] });
    let told: Vec<String> = body["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| {
            format!(
                "{} {} {}",
                message["role"].as_str().unwrap(),
                message["content"].as_str().unwrap_or("-"),
                message["tool_call_id"].as_str().unwrap_or("")
            )
        })
        .collect();
    assert_eq!(told, ["user a\n\nb ", "assistant x\n\ny ", "tool (no result) 1", "tool second 2", "user go on "]);
}
