//! What an endpoint can do, found out by a few cheap questions: whether it calls functions by the protocol, several at
//! once, or in its text; whether thinking stands in its text; whether it loses the beginning of a long prompt.

use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::recover::{recover, without_thinking};
use super::{Capabilities, Class, Client, Function, Message, Model, ModelError, Reply, Request, TokenUsage};

/// How every question of an examination begins, so that logs of a provider and stand-ins in tests can tell them.
pub const GREETING: &str = "Firstlook finds out what this endpoint can do.";

/// Providers whose window is not what it seems: Ollama cuts at 4096 tokens unless told otherwise, and an unknown server
/// may be one. The others refuse what does not fit.
const MAY_CUT: [&str; 2] = [OLLAMA, "generic"];
const OLLAMA: &str = "ollama";

/// Lines of the long prompt, and tokens each is at least. Together they are more than Ollama's window of 4096, and
/// less than the smallest window anybody configures on purpose.
const LINES: u64 = 600;
const TOKENS_PER_LINE: u64 = 8;

/// What is left of a prompt after a cut: half of the smallest window of Ollama's, 2048 tokens.
const LEAST_LEFT: u64 = 1024;

/// A window smaller than this is configured as small: nothing is lost from it without being expected.
const LONG_PROMPT_FITS: usize = 8192;

const SECRET: &str = "heron";
const NAME: &str = "report_ready";

/// Asks one endpoint two to four questions of some 100 tokens, and where it may cut prompts one of about 6000.
///
/// # Errors
/// When it does not answer at all: not reached, key refused, model not known, no answer in time. That it refuses
/// functions is no error but what was found.
pub async fn examine(client: &Client, deadline: Instant) -> Result<Examined, ModelError> {
    let mut asking = Asking { client, deadline, used: TokenUsage::default() };
    let found = asking.find_out().await?;
    Ok(Examined { found, used: asking.used })
}

/// What was found out, and what it took.
#[derive(Debug)]
pub struct Examined {
    /// What the endpoint can do.
    pub found: Capabilities,
    /// Tokens of all questions and answers, where the endpoint counts them.
    pub used: TokenUsage,
}

/// One examination under way.
struct Asking<'a> {
    client: &'a Client,
    deadline: Instant,
    used: TokenUsage,
}

impl Asking<'_> {
    async fn raw(&mut self, question: &Request) -> Result<Reply, ModelError> {
        let reply = self.client.raw(question, self.deadline).await;
        self.counted(reply)
    }

    async fn complete(&mut self, question: &Request) -> Result<Reply, ModelError> {
        let reply = self.client.complete(question, self.deadline).await;
        self.counted(reply)
    }

    fn counted(&mut self, reply: Result<Reply, ModelError>) -> Result<Reply, ModelError> {
        if let Ok(Reply { usage: Some(usage), .. }) = &reply {
            self.used.prompt += usage.prompt;
            self.used.completion += usage.completion;
        }
        reply
    }

    async fn find_out(&mut self) -> Result<Capabilities, ModelError> {
        let client = self.client;
        let mut found = Capabilities::nothing_yet(Timestamp::now());
        let mut refuses = false;
        match self.raw(&question(Asked::Twice)).await {
            Ok(reply) => {
                note_calls(&mut found, client, &reply)?;
                if found.needs_prompt_tools() {
                    // One answer in words may be an accident; what is kept for a month should not be.
                    note_calls(&mut found, client, &self.raw(&question(Asked::Once)).await?)?;
                }
            }
            Err(error) if error.class == Class::ToolsUnsupported => {
                refuses = true;
                found.native_tools = Some(false);
            }
            Err(error) => return Err(error),
        }
        if found.needs_prompt_tools() {
            client.learn(&found);
            let reply = self.complete(&question(Asked::Once)).await?;
            let calls = reply.message.tool_calls.iter().any(|call| call.name == NAME);
            found.prompt_calls = Some(calls);
            if !calls && !refuses {
                // It talks either way: nothing shows that functions in the prompt would do better.
                found.native_tools = None;
            }
            found.reports_usage = Some(reply.usage.is_some());
        }
        found.front_truncated = self.loses_the_front().await;
        Ok(found)
    }
    /// Whether a word at the front of a long prompt is lost; `None` where that was not asked or not seen clearly. What the
    /// provider counts decides together with the answer: a model may also just have forgotten the word.
    async fn loses_the_front(&mut self) -> Option<bool> {
        let profile = self.client.profile();
        let is_small = profile.context_tokens.is_some_and(|tokens| tokens < LONG_PROMPT_FITS);
        if is_small || !MAY_CUT.contains(&profile.provider.as_str()) {
            return None;
        }
        let reply = match self.raw(&long_question()).await {
            Ok(reply) => reply,
            // It says that it does not fit, which is the opposite of losing it without a word.
            Err(error) if error.class == Class::ContextLength => return Some(false),
            Err(_) => return None,
        };
        let said = [reply.message.content.as_deref(), reply.message.reasoning()];
        let knows = said.into_iter().flatten().any(|text| text.to_lowercase().contains(SECRET));
        // Of an unknown server a count must say so too, and one that is far too low for what is left after a cut is no count.
        let was_cut = match reply.usage {
            Some(usage) => (LEAST_LEFT..LINES * TOKENS_PER_LINE).contains(&usage.prompt),
            None => profile.provider == OLLAMA,
        };
        match (knows, was_cut) {
            (true, _) => Some(false),
            (false, true) => Some(true),
            (false, false) => None,
        }
    }
}

/// Takes down what one answer shows.
fn note_calls(found: &mut Capabilities, client: &Client, reply: &Reply) -> Result<(), ModelError> {
    let calls = reply.message.tool_calls.iter().filter(|call| call.name == NAME).count();
    let text = reply.message.content.as_deref().unwrap_or_default().trim();
    if calls == 0 && text.is_empty() && reply.message.reasoning().is_none() {
        return Err(ModelError::new(client.name(), Class::BadAnswer, "it answered with nothing"));
    }
    let family = client.profile().text_format;
    let in_text = recover(family, text, reply.truncated, &question(Asked::Once).tools).calls.len();
    // Calling another function than the one offered is no virtue, but it is calling.
    found.native_tools = Some(!reply.message.tool_calls.is_empty());
    found.text_calls = Some(reply.message.tool_calls.is_empty() && in_text > 0);
    found.parallel_calls = Some(found.parallel_calls == Some(true) || calls.max(in_text) > 1);
    found.thinking_leaks = Some(found.thinking_leaks == Some(true) || without_thinking(text, family) != text);
    found.reports_usage = Some(reply.usage.is_some());
    Ok(())
}

fn long_question() -> Request {
    let lines: String = (1..=LINES).map(|line| format!("Line {line}: all is quiet here.\n")).collect();
    let content = format!(
        "{GREETING} The password is {SECRET}.\n{lines}What is the password at the very beginning? Answer with that word alone; say unknown if you do not see it."
    );
    Request { messages: vec![Message::User { content }], tools: Vec::new() }
}

/// How many calls a question asks for.
#[derive(Clone, Copy)]
enum Asked {
    Once,
    Twice,
}

fn question(asked: Asked) -> Request {
    let function = Function {
        name: NAME.to_owned(),
        description: "Reports that one part is ready.".to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {"part": {"type": "string", "description": "first or second"}},
            "required": ["part"],
        }),
        read_only: true,
    };
    let wish = match asked {
        Asked::Once => "once with part=\"first\"",
        Asked::Twice => "twice in this one turn: with part=\"first\" and with part=\"second\"",
    };
    let content = format!("{GREETING} Call the function {NAME} {wish}. Say nothing else.");
    Request { messages: vec![Message::User { content }], tools: vec![function] }
}
