//! Every provider the program knows, played strictly: one alert goes in, and what reaches the group is a diagnosis. Calls by
//! the protocol, calls written into the text, and functions in the prompt, as each provider and model has it.

use std::collections::BTreeMap;

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, webhook};
use crate::support::eventually_async;
use crate::support::feishu::Feishu;
use crate::support::model::dialect::shape::{Arguments, Ids, Index, Shape, USUAL, Usage};
use crate::support::model::dialect::{Dialect, FINDING, Provider, THOUGHT, Voice, demands, markup};
use crate::support::service::{Home, Service, program, run};

/// What is left in a text when a call, a thought or a special token was not taken out.
const MARKUP: [&str; 14] = [
    "tool_call",
    "tool▁",
    "<｜",
    "｜>",
    "<|",
    "|>",
    "<think",
    "</think",
    "<invoke",
    "<parameter",
    "<arg_",
    "<function",
    "[TOOL_CALLS]",
    "submit_diagnosis",
];

/// An endpoint that takes everything and is streamed as usual.
const PLAIN: Dialect = Dialect {
    provider: "generic",
    model: "stand-in",
    base: "/v1",
    voice: Voice::Native,
    thinks: false,
    shape: USUAL,
    demands: &[demands::bearer],
    parameters: &[],
    error: demands::in_an_error,
    window: None,
    settings: &[],
    hiccups: &[],
};

/// A way to fail that is a provider's own: its words, and how often they may be heard.
type Refusals<'a> = &'a [(&'a str, usize)];

async fn serve(provider: &Provider, feishu: &Feishu) -> (Home, Service) {
    let home = Home::new(&json!({
        "mcp": builtin(PENDING), "models": [provider.config()], "triage": {"deadline": "30s"},
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
    }));
    let service = home.serve().await;
    let is_examined = || async { service.get("/readyz?verbose").await["models"][0]["capabilities"].is_object() };
    eventually_async("the model is examined", 20, is_examined).await;
    (home, service)
}

/// One alert, with this provider alone: the model's own diagnosis reaches the group, and nothing else does.
async fn diagnoses(dialect: Dialect, refusals: Refusals<'_>) {
    let what = format!("{} {}", dialect.provider, dialect.model);
    let (provider, feishu) = (dialect.play().await, Feishu::start().await);
    let (_home, service) = serve(&provider, &feishu).await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    let incident = service.settled(&id, 40).await;
    let log = || format!("{what}\n{:#?}\n{incident:#}\n{}", provider.refused(), service.log());

    let usage = &incident["report"]["usage"];
    assert_eq!((&usage["source"], &usage["stopped_by"]), (&json!("model"), &json!("submitted")), "{}", log());
    assert_eq!(usage["passed_over"], json!([]), "{}", log());
    assert_eq!(incident["report"]["causes"][0]["resource"]["name"], "test-data", "{}", log());
    assert_eq!(incident["report"]["data_gaps"], json!([]), "every quotation was found: {}", log());
    // Whoever is not understood is asked in the prompt, and answers there: that is for those who refuse functions.
    let in_prompt = !refusals.is_empty() || dialect.settings.contains(&("tools", "prompt"));
    assert!(in_prompt || provider.asked().iter().all(|asked| asked["tools"].is_array()), "{}", log());
    assert_eq!(provider.asked().len(), 2, "one turn looks, one submits: {}", log());
    let messages = assert_heard(&feishu, &log());
    assert!(messages.last().is_some_and(|message| message.contains(FINDING)), "{messages:?} {}", log());
    assert_refused(&provider, refusals, &log());
}

/// What the group heard: the cause, and nothing that was only meant for machines.
fn assert_heard(feishu: &Feishu, log: &str) -> Vec<String> {
    assert_eq!(feishu.refused(), [], "{log}");
    let messages: Vec<String> = feishu.accepted().iter().map(Value::to_string).collect();
    assert!((1..=2).contains(&messages.len()), "{log}");
    let told = messages.concat();
    for word in ["test-data", "com.tencent.cloud.csi.cbs"] {
        assert!(told.contains(word), "{word} is missing in {told}\n{log}");
    }
    for mark in MARKUP.iter().chain([&THOUGHT]) {
        assert!(!told.contains(mark), "{mark} is told to people: {told}");
    }
    messages
}

/// Nothing was refused but what was expected, and that as often as it takes to learn of it: not on every call.
fn assert_refused(provider: &Provider, expected: Refusals<'_>, log: &str) {
    let mut heard: BTreeMap<&str, usize> = BTreeMap::new();
    let refused = provider.refused();
    for words in &refused {
        let known = expected.iter().find(|(part, _)| words.contains(part));
        let (part, _) = known.unwrap_or_else(|| panic!("refused: {words}\n{log}"));
        *heard.entry(part).or_default() += 1;
    }
    let expected: BTreeMap<&str, usize> = expected.iter().copied().collect();
    assert_eq!(heard, expected, "{log}");
}

async fn all<const N: usize>(cases: [(Dialect, Refusals<'_>); N]) {
    join_all(cases.map(|(dialect, refusals)| diagnoses(dialect, refusals))).await;
}

const DEEPSEEK: Dialect = Dialect {
    provider: "deepseek",
    model: "deepseek-chat",
    base: "",
    shape: Shape { keep_alive: ": keep-alive\n\n", ..USUAL },
    demands: &[demands::bearer, demands::no_forced_calls],
    parameters: &["thinking", "response_format", "tool_choice"],
    ..PLAIN
};

/// V3.2 by the protocol, thinking and not; its calls as text; the first R1, which knows no functions at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deepseek() {
    let thinking = &[
        demands::bearer,
        demands::no_forced_calls,
        demands::deepseek_wants_thinking_back,
        demands::thinking_is_unchanged,
    ];
    let thinks = Dialect { thinks: true, demands: thinking, settings: &[("thinking", "on")], ..DEEPSEEK };
    let r1 = &[demands::bearer, demands::r1_has_no_functions, demands::r1_conversation, demands::r1_has_no_format];
    let r1 = Dialect { model: "deepseek-reasoner", thinks: true, demands: r1, ..DEEPSEEK };
    all([
        (Dialect { settings: &[("thinking", "off")], ..DEEPSEEK }, &[]),
        (thinks, &[]),
        (Dialect { voice: Voice::Text(markup::deepseek_v32), ..DEEPSEEK }, &[]),
        (r1, &[("does not support Function Calling", 1), ("response_format", 1)]),
    ])
    .await;
}

const SILICONFLOW: Dialect = Dialect {
    provider: "siliconflow",
    model: "Qwen/Qwen3-30B-A3B",
    parameters: &["enable_thinking", "response_format"],
    error: demands::numbered,
    ..PLAIN
};

/// The models of the article: V3 writes its calls into the text, R1 refuses functions, Qwen3 calls them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn siliconflow() {
    let v3 = Dialect { model: "deepseek-ai/DeepSeek-V3", voice: Voice::Text(markup::deepseek_v3), ..SILICONFLOW };
    let r1 = &[demands::bearer, demands::siliconflow_has_no_functions];
    let r1 = Dialect { model: "deepseek-ai/DeepSeek-R1", thinks: true, demands: r1, ..SILICONFLOW };
    let no_switch = &[demands::bearer, demands::siliconflow_has_no_switch];
    let no_switch = Dialect { demands: no_switch, settings: &[("thinking", "off")], ..SILICONFLOW };
    let noisy = &[(400, "20015", "The parameter is invalid. Please check again.")];
    all([
        (Dialect { thinks: true, settings: &[("thinking", "on")], ..SILICONFLOW }, &[]),
        (Dialect { voice: Voice::Text(markup::hermes), ..SILICONFLOW }, &[]),
        (v3, &[]),
        (r1, &[("Function call is not supported", 1)]),
        // What is found out is asked in the plain way each time, so it is heard once there and once for the alert.
        (no_switch, &[("enable_thinking", 2)]),
        (Dialect { hiccups: noisy, ..SILICONFLOW }, &[("The parameter is invalid", 1)]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volcengine() {
    let ark = Dialect {
        provider: "volcengine",
        model: "doubao-seed-1-6-250615",
        base: "/api/v3",
        parameters: &["thinking", "response_format"],
        ..PLAIN
    };
    let r1 = &[demands::bearer, demands::ark_has_no_functions];
    let r1 = Dialect { model: "deepseek-r1-250120", thinks: true, demands: r1, ..ark };
    all([
        (Dialect { thinks: true, settings: &[("thinking", "on")], ..ark }, &[]),
        (Dialect { model: "deepseek-v3-1-250821", voice: Voice::Text(markup::deepseek_v31), ..ark }, &[]),
        (r1, &[("does not support function calling", 1)]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashscope() {
    let qwen = Dialect {
        provider: "dashscope",
        model: "qwen3-32b",
        base: "/compatible-mode/v1",
        shape: Shape { ids: Ids::ThenEmpty, ..USUAL },
        demands: &[
            demands::bearer,
            demands::dashscope_streams_thinking,
            demands::dashscope_pairing,
            demands::no_forced_calls,
        ],
        parameters: &["enable_thinking", "parallel_tool_calls", "response_format", "tool_choice"],
        ..PLAIN
    };
    let gateway = &[demands::bearer, demands::a_gateway_does_not_stream, demands::dashscope_pairing];
    let gateway = Dialect { demands: gateway, ..qwen };
    let coder = Dialect { model: "qwen3-coder-plus", voice: Voice::Text(markup::qwen3_coder), ..qwen };
    all([
        (Dialect { settings: &[("thinking", "off")], ..qwen }, &[]),
        (Dialect { model: "qwq-plus", thinks: true, ..qwen }, &[]),
        (coder, &[]),
        // Once while it is examined, where nothing is learnt, and once for the alert.
        (gateway, &[("must be set to false", 2)]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn zhipu() {
    let glm = Dialect {
        provider: "zhipu",
        model: "glm-4.6",
        base: "/api/paas/v4",
        shape: Shape { ids: Ids::Fresh, arguments: Arguments::Pieces, ..USUAL },
        demands: &[demands::bearer, demands::zhipu_choice, demands::zhipu_order],
        parameters: &["thinking", "response_format", "tool_choice"],
        error: demands::zhipu_error,
        ..PLAIN
    };
    all([
        (Dialect { thinks: true, settings: &[("thinking", "on")], ..glm }, &[]),
        (Dialect { voice: Voice::Text(markup::glm45), ..glm }, &[]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moonshot() {
    let k2 = Dialect {
        provider: "moonshot",
        model: "kimi-k2-0905-preview",
        shape: Shape { ids: Ids::Kimi, usage: Usage::InChoice, ..USUAL },
        demands: &[demands::bearer, demands::moonshot_schemas, demands::kimi_ids, demands::no_forced_calls],
        parameters: &["thinking", "response_format", "tool_choice"],
        ..PLAIN
    };
    let thinking = &[
        demands::bearer,
        demands::moonshot_schemas,
        demands::kimi_ids,
        demands::kimi_temperature,
        demands::kimi_wants_thinking_back,
        demands::thinking_is_unchanged,
    ];
    let thinks = Dialect { thinks: true, demands: thinking, ..k2 };
    let overloaded = &[(429, "engine_overloaded_error", "The engine is currently overloaded, please try again later")];
    all([
        (k2, &[]),
        (Dialect { model: "kimi-k2-thinking", ..thinks }, &[]),
        (Dialect { model: "kimi-k2.5", settings: &[("thinking", "on")], ..thinks }, &[]),
        (Dialect { voice: Voice::Text(markup::kimi_k2), ..k2 }, &[]),
        (Dialect { hiccups: overloaded, ..k2 }, &[("overloaded", 1)]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minimax() {
    let m2 = Dialect {
        provider: "minimax",
        model: "MiniMax-M2",
        thinks: true,
        shape: Shape { arguments: Arguments::Whole, ..USUAL },
        demands: &[demands::bearer, demands::minimax_params, demands::thinking_is_unchanged],
        parameters: &["reasoning_split"],
        error: demands::minimax_error,
        ..PLAIN
    };
    all([(m2, &[]), (Dialect { voice: Voice::Text(markup::minimax_m2), ..m2 }, &[])]).await;
}

const OPENAI: Dialect = Dialect {
    provider: "openai",
    model: "gpt-5",
    demands: &[demands::bearer, demands::openai_reasoning_model, demands::openai_messages],
    parameters: &["max_completion_tokens", "reasoning_effort", "tool_choice", "response_format"],
    ..PLAIN
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openai() {
    let older = &[demands::bearer, demands::openai_messages];
    let older = Dialect { model: "gpt-4.1-mini", demands: older, ..OPENAI };
    let shaped = &[demands::bearer, demands::openai_messages, demands::keeps_to_a_shape];
    let in_the_prompt = Dialect { settings: &[("tools", "prompt")], demands: shaped, ..older };
    let no_schemas =
        &[demands::bearer, demands::openai_messages, demands::openai_has_no_schemas, demands::keeps_to_a_shape];
    let no_schemas = Dialect { model: "gpt-4o-2024-05-13", demands: no_schemas, ..in_the_prompt };
    all([
        (Dialect { settings: &[("thinking", "off")], ..OPENAI }, &[]),
        (older, &[]),
        (in_the_prompt, &[]),
        // The schema gives way to any object, and that is kept.
        (no_schemas, &[("'json_schema' is not supported", 1)]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure() {
    let azure = Dialect {
        provider: "azure",
        model: "gpt-4o",
        base: "/openai/deployments/gpt-4o",
        shape: Shape { empty_first: true, ..USUAL },
        demands: &[demands::azure_address, demands::openai_messages],
        ..OPENAI
    };
    let reasons = &[demands::azure_address, demands::openai_reasoning_model, demands::openai_messages];
    let reasons = Dialect { model: "gpt-5", base: "/openai/deployments/gpt-5", demands: reasons, ..azure };
    // A deployment's name may say nothing of its model; then the limit's other name is learnt from the refusal.
    let named = Dialect { model: "prod", base: "/openai/deployments/prod", ..reasons };
    all([(azure, &[]), (reasons, &[]), (named, &[("max_completion_tokens", 2), ("'temperature'", 2)])]).await;
}

const OLLAMA: Dialect = Dialect {
    provider: "ollama",
    model: "qwen3:8b",
    shape: Shape {
        index: Index::Zero,
        arguments: Arguments::Object,
        usage: Usage::Missing,
        finish: "stop",
        thinking: "reasoning",
        ..USUAL
    },
    demands: &[demands::bearer, demands::ollama_arguments],
    parameters: &["reasoning_effort", "response_format"],
    ..PLAIN
};

/// With a window that was set up; without one see the test below.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ollama() {
    let gemma = &[demands::bearer, demands::ollama_has_no_functions];
    all([
        (Dialect { thinks: true, settings: &[("thinking", "on")], ..OLLAMA }, &[]),
        (Dialect { voice: Voice::Text(markup::hermes), ..OLLAMA }, &[]),
        (Dialect { model: "gemma3:4b", demands: gemma, ..OLLAMA }, &[("does not support tools", 1)]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vllm() {
    let qwen = Dialect {
        provider: "vllm",
        model: "qwen3-32b",
        shape: Shape { line_end: "\r\n", thinking: "reasoning", ..USUAL },
        demands: &[demands::bearer, demands::template_reads_arguments],
        parameters: &["chat_template_kwargs", "tool_choice", "response_format"],
        error: demands::bare,
        ..PLAIN
    };
    let no_parser = &[demands::bearer, demands::vllm_has_no_parser];
    let mistral = Dialect {
        model: "mistralai/Mistral-Small-3.2",
        shape: Shape { ids: Ids::Nine, ..qwen.shape },
        demands: &[demands::bearer, demands::template_reads_arguments, demands::mistral_ids],
        ..qwen
    };
    all([
        (Dialect { thinks: true, settings: &[("thinking", "on")], ..qwen }, &[]),
        (Dialect { voice: Voice::Text(markup::hermes), ..qwen }, &[]),
        (Dialect { demands: no_parser, ..qwen }, &[("--enable-auto-tool-choice", 1)]),
        (mistral, &[]),
        (Dialect { voice: Voice::Text(markup::mistral), ..mistral }, &[]),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sglang() {
    let deepseek = Dialect {
        provider: "sglang",
        model: "deepseek-ai/DeepSeek-V3.1",
        shape: Shape { index: Index::Missing, finish: "stop", done: false, ..USUAL },
        demands: &[demands::bearer, demands::template_reads_arguments],
        parameters: &["chat_template_kwargs", "tool_choice", "response_format"],
        error: demands::bare,
        ..PLAIN
    };
    all([
        (Dialect { thinks: true, settings: &[("thinking", "on")], ..deepseek }, &[]),
        (Dialect { voice: Voice::Text(markup::deepseek_v31), ..deepseek }, &[]),
    ])
    .await;
}

/// An endpoint nobody wrote a file about: no ids, no counts, and whatever markup the model has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn generic() {
    let bare = Shape { ids: Ids::Missing, usage: Usage::Missing, arguments: Arguments::Whole, ..USUAL };
    all([
        (PLAIN, &[]),
        (Dialect { shape: bare, ..PLAIN }, &[]),
        (Dialect { voice: Voice::Text(markup::minimax_m2), ..PLAIN }, &[]),
        (Dialect { settings: &[("tools", "prompt")], ..PLAIN }, &[]),
    ])
    .await;
}

/// Nobody set up the window: it is found out, no question is longer than it from then on, and people get a diagnosis, the
/// playbook's when the model has no room for its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ollama_that_nobody_set_up_never_loses_the_front_of_a_question() {
    const WINDOW: usize = 4096;
    let (provider, feishu) = (Dialect { window: Some(WINDOW), ..OLLAMA }.play().await, Feishu::start().await);
    let (_home, service) = serve(&provider, &feishu).await;
    let found = service.get("/readyz?verbose").await["models"][0]["capabilities"]["front_truncated"].clone();
    let (id, _) = service.accept(&webhook(PENDING)).await;
    let incident = service.settled(&id, 40).await;
    let report = &incident["report"];
    assert_eq!(report["causes"][0]["resource"]["name"], "test-data", "{incident:#}");
    assert_heard(&feishu, &format!("{incident:#}"));
    let lengths: Vec<usize> = provider.asked().iter().map(|asked| asked["messages"].to_string().len() / 4).collect();
    assert!(lengths.iter().all(|tokens| *tokens <= WINDOW), "{lengths:?}");
    assert_eq!(found, json!(true));
    let stopped_by = report["usage"]["stopped_by"].as_str().unwrap();
    assert!(["submitted", "context"].contains(&stopped_by), "{report:#}");
}

/// What `check` tells a person of providers that differ as much as they can: one line each, what to do where there is
/// something, and the words of nobody's markup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_a_person_what_each_provider_can_do() {
    let small = Dialect { window: Some(4096), ..OLLAMA };
    let in_words = Dialect { voice: Voice::Text(markup::hermes), ..PLAIN };
    let dialects = [DEEPSEEK, SILICONFLOW, OPENAI, small, in_words];
    let providers = join_all(dialects.map(Dialect::play)).await;
    let names = ["deepseek", "siliconflow", "openai", "ollama", "vllm"];
    let models: Vec<Value> = providers
        .iter()
        .zip(names)
        .map(|(provider, name)| {
            let mut entry = provider.config();
            entry["name"] = name.into();
            entry
        })
        .collect();
    let home = Home::new(&json!({"models": models, "channels": []}));
    let mut command = program();
    command.args(["check", "--lang", "en", "--config"]).arg(home.config());
    let ended = run(command).await;
    let said = &ended.stdout;
    assert_eq!(ended.code, Some(0), "{said}\n{}", ended.stderr);
    for (dialect, name) in dialects.iter().zip(names) {
        let line =
            said.lines().find(|line| line.contains(&format!(" {name} "))).unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(line.contains(dialect.model) && line.contains("tools: ") && line.contains("examined 20"), "{line}");
        assert!(!line.contains("tools: none"), "{line}");
    }
    // Ollama as it is when nobody set it up.
    assert!(said.contains("loses the front of long prompts") && said.contains("OLLAMA_CONTEXT_LENGTH"), "{said}");
    for mark in MARKUP.iter().filter(|mark| **mark != "tool_call") {
        assert!(!said.contains(mark), "{mark} is told to people: {said}");
    }
}
