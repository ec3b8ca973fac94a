//! A model examined for a check: what it can do on one line, and below it what would make it work better.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::{Fact, LIMIT, with_advice};
use crate::alert::Lang;
use crate::model::{Capabilities, Client, ModelConfig, ModelError, probe};
use crate::store::Beside;
use crate::times;

/// Examines one model, now, and keeps what it finds where the service looks. A model that does not answer is told with
/// what was known of it.
pub(super) async fn examine(
    config: ModelConfig,
    store: SecretString,
    zone: String,
    lang: Lang,
) -> Result<Fact, String> {
    let about = config.model.clone();
    // Ends before the clock around it does, so that the reason is told instead of the time.
    let deadline = Instant::now() + LIMIT - Duration::from_millis(500);
    let client = Client::new(config).map_err(|error| refusal(&error, lang))?;
    let key = client.identity();
    let found = match probe::examine(&client, deadline).await {
        Ok(examined) => examined.found,
        Err(error) => {
            let known = known(&store, &key).await;
            let known = known.map(|found| last_time(&found, &zone, lang)).unwrap_or_default();
            return Err(refusal(&error, lang) + &known);
        }
    };
    let kept = match keep(&store, &key, &found).await {
        true => lang.pick("，已记入存储", ", kept in the store"),
        false => "",
    };
    let at = times::moment(found.probed_at, &zone).unwrap_or_default();
    let examined = lang.pick(format!("，探测于 {at}"), format!(", examined {at}"));
    Ok(Fact {
        detail: format!("{about}, {}{examined}{kept}", summary(&found, lang)),
        notes: notes(&found, lang).into_iter().map(str::to_owned).collect(),
        capabilities: Some(found),
    })
}

/// What the store knows of it.
async fn known(store: &SecretString, key: &str) -> Option<Capabilities> {
    let mut beside = Beside::open(store.expose_secret()).await.ok()??;
    let json = beside.capabilities(key).await.ok().flatten();
    beside.close().await;
    serde_json::from_str(&json?).ok()
}

/// Whether it is in the store now. One that is not there yet, or cannot be written, has a line of its own.
async fn keep(store: &SecretString, key: &str, found: &Capabilities) -> bool {
    let (Ok(Some(mut beside)), Ok(json)) = (Beside::open(store.expose_secret()).await, serde_json::to_string(found))
    else {
        return false;
    };
    let kept = beside.put_capabilities(key, &json, found.probed_at).await.is_ok();
    beside.close().await;
    kept
}

fn last_time(found: &Capabilities, zone: &str, lang: Lang) -> String {
    let at = times::moment(found.probed_at, zone).unwrap_or_default();
    let summary = summary(found, lang);
    lang.pick(format!("；上次探测于 {at}：{summary}"), format!("; last examined {at}: {summary}"))
}

fn refusal(error: &ModelError, lang: Lang) -> String {
    let status = error.status.map(|code| format!(", HTTP {code}")).unwrap_or_default();
    with_advice(format!("{} ({}{status})", error.detail, error.class.label()), error.class.advice(lang), lang)
}

/// What it can do, in the words of configuration and protocol.
fn summary(found: &Capabilities, lang: Lang) -> String {
    let tools = match found {
        _ if found.native_tools == Some(true) => "tools: native",
        _ if found.text_calls == Some(true) => "tools: text",
        _ if found.prompt_calls == Some(true) => "tools: prompt",
        _ => "tools: none",
    };
    let parallel = match found.parallel_calls {
        Some(true) => lang.pick("，一次可调用多个", ", several at once"),
        Some(false) => lang.pick("，一次只调用一个", ", one at a time"),
        None => "",
    };
    let thinking = match found.thinking_leaks {
        Some(true) => lang.pick("，思考过程混在正文里", ", thinking in its text"),
        _ => "",
    };
    let usage = match found.reports_usage {
        Some(false) => lang.pick("，不报告用量", ", tokens not counted"),
        _ => "",
    };
    let front = match found.front_truncated {
        Some(true) => lang.pick("，长提示的开头会丢失", ", loses the front of long prompts"),
        _ => "",
    };
    format!("{tools}{parallel}{thinking}{usage}{front}")
}

/// What to do about what it cannot do. Thinking in the text needs nothing: it is taken out.
fn notes(found: &Capabilities, lang: Lang) -> Vec<&'static str> {
    let mut notes = Vec::new();
    if found.native_tools == Some(false) && found.text_calls == Some(true) {
        notes.push(lang.pick(
            "它把函数调用写进正文，这些调用会被识别；若是 vLLM 或 SGLang，配置 --tool-call-parser 更可靠",
            "it writes calls into its text, where they are read; on vLLM or SGLang a --tool-call-parser is more reliable",
        ));
    }
    if found.needs_prompt_tools() && found.prompt_calls == Some(true) {
        notes.push(lang.pick(
            "它不支持函数调用，函数改写在提示里；在该模型上写明 tools: prompt 可省去试探",
            "it does not call functions by the protocol, so they go into the prompt; tools: prompt for this model saves the attempt",
        ));
    }
    if found.prompt_calls == Some(false) {
        notes.push(lang.pick(
            "它只用文字作答，没有调用函数；研判中若一直如此，将以规则库的结论为准",
            "it answered in words instead of calling; when it does so in an investigation, the playbook's answer stands",
        ));
    }
    if found.front_truncated == Some(true) {
        notes.push(lang.pick(
            "服务端悄悄丢掉长提示的开头，目前按 4096 个 token 使用；Ollama 请设置 OLLAMA_CONTEXT_LENGTH=32768，并把 context_tokens 设为同样的值",
            "the server drops the beginning of long prompts without a word, so 4096 tokens are used; on Ollama set OLLAMA_CONTEXT_LENGTH=32768 and context_tokens to the same",
        ));
    }
    if found.reports_usage == Some(false) {
        notes.push(lang.pick(
            "它不报告 token 用量，限额与费用按字节估算",
            "it does not count tokens; limits and costs are estimated from bytes",
        ));
    }
    notes
}
