//! One cheap question to a model, for people who set it up: does it answer, and can it call a function?

use serde_json::json;
use tokio::time::Instant;

use super::{Class, Function, Message, Model, ModelError, Request};

/// What a model showed of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probed {
    /// It called the function it was offered.
    CallsTools,
    /// It answered in words although it was asked to call.
    OnlyTalks,
}

/// Asks a model to call a harmless function. What is sent is what an investigation sends, only shorter: a limit of
/// tokens is left out where the configuration has none, because some models refuse it.
///
/// # Errors
/// When it does not answer, or refuses functions: an investigation cannot do without them.
pub async fn probe(model: &impl Model, deadline: Instant) -> Result<Probed, ModelError> {
    let reply = model.complete(&question(), deadline).await?;
    if reply.message.tool_calls.iter().any(|call| call.name == NAME) {
        return Ok(Probed::CallsTools);
    }
    let said_nothing = reply.message.content.as_deref().unwrap_or_default().trim().is_empty();
    if said_nothing && reply.message.reasoning().is_none() {
        return Err(ModelError::new(model.name(), Class::BadAnswer, "it answered with nothing"));
    }
    Ok(Probed::OnlyTalks)
}

const NAME: &str = "report_ready";

fn question() -> Request {
    let function = Function {
        name: NAME.to_owned(),
        description: "Reports that you are ready.".to_owned(),
        parameters: json!({
            "type": "object",
            "properties": {"ready": {"type": "boolean", "description": "true"}},
            "required": ["ready"],
        }),
        read_only: true,
    };
    let content = format!("Call the function {NAME} once with ready=true. Say nothing else.");
    Request { messages: vec![Message::User { content }], tools: vec![function] }
}
