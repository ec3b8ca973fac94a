//! A model that follows a script, behind an interface as strict as the strictest provider's. Counts what it is sent.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::strict;

/// The only key that is accepted.
pub const KEY: &str = "sk-bench-0123456789";
/// Its name, by which the card with its diagnosis is known: whatever is made of what the model says, the card names it.
pub const NAME: &str = "scripted";

/// What the model does.
#[derive(Clone, Copy)]
pub enum Script {
    /// Four calls, one a turn, and the diagnosis in the fifth.
    FiveTurns,
    /// The diagnosis in the first turn: what is offered there suffices.
    OneTurn,
    /// What a competent engineer does: reads what the conversation does not show yet, one a turn, then the diagnosis.
    Competent,
}

impl Script {
    pub fn word(self) -> &'static str {
        match self {
            Self::FiveTurns => "five-turns",
            Self::OneTurn => "one-turn",
            Self::Competent => "competent",
        }
    }
}

/// What was asked since the counts were last taken.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Requests.
    pub turns: usize,
    /// Bytes of the requests' bodies.
    pub prompt_bytes: usize,
    /// Bytes of the tools' descriptions in them.
    pub tool_bytes: usize,
}

#[derive(Default)]
pub struct Model {
    counts: Mutex<Counts>,
    refused: Mutex<Vec<String>>,
    answered: Mutex<Option<Instant>>,
}

impl Model {
    /// Takes the counts and begins anew.
    pub fn take_counts(&self) -> Counts {
        std::mem::take(&mut self.counts.lock().unwrap())
    }

    /// When it last submitted a diagnosis.
    pub fn answered(&self) -> Option<Instant> {
        *self.answered.lock().unwrap()
    }

    /// What was refused, and why.
    pub fn refused(&self) -> Vec<String> {
        self.refused.lock().unwrap().clone()
    }

    fn refuse(&self, status: StatusCode, reason: String) -> Response {
        self.refused.lock().unwrap().push(reason.clone());
        (status, axum::Json(json!({ "error": { "message": reason } }))).into_response()
    }

    /// Counts a turn of an investigation. What finds out at start what the model can do offers no diagnosis.
    fn count(&self, body: &[u8], request: &Value) {
        let mut tools = request["tools"].as_array().into_iter().flatten();
        if !tools.any(|tool| tool["function"]["name"] == "submit_diagnosis") {
            return;
        }
        let mut counts = self.counts.lock().unwrap();
        counts.turns += 1;
        counts.prompt_bytes += body.len();
        counts.tool_bytes += request["tools"].to_string().len();
    }
}

pub fn router(model: Arc<Model>) -> Router {
    Router::new().route("/{script}/{thinks}/v1/chat/completions", post(complete)).with_state(model)
}

async fn complete(
    State(model): State<Arc<Model>>,
    Path((script, thinks)): Path<(String, u64)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if headers.get("authorization").is_none_or(|value| value != format!("Bearer {KEY}").as_str()) {
        return model.refuse(StatusCode::UNAUTHORIZED, "invalid api key".to_owned());
    }
    let request = match strict::check(&body) {
        Ok(request) => request,
        Err(reason) => return model.refuse(StatusCode::BAD_REQUEST, reason),
    };
    model.count(&body, &request);
    tokio::time::sleep(Duration::from_millis(thinks)).await;
    let (name, arguments) = act(&script, &request);
    if name == "submit_diagnosis" {
        *model.answered.lock().unwrap() = Some(Instant::now());
    }
    ([(header::CONTENT_TYPE, "text/event-stream")], packets(name, &arguments, body.len())).into_response()
}

/// The next call of the script, by the turns already in the conversation.
fn act(script: &str, request: &Value) -> (&'static str, Value) {
    let messages = request["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let turns = messages.iter().filter(|message| message["role"] == "assistant").count();
    let read = match script {
        "five-turns" => reads().into_iter().nth(turns),
        "competent" => reads().into_iter().find(|read| !shows(messages, read)),
        _ => None,
    };
    match read {
        Some(Read { tool, arguments, .. }) => (tool, arguments),
        None => ("submit_diagnosis", diagnosis(messages)),
    }
}

/// A call, and what stands in a conversation that shows its result and in no other result: the claim names the
/// provisioner too, in an annotation.
struct Read {
    tool: &'static str,
    arguments: Value,
    sign: &'static str,
}

/// What leads to the cause of the scenario, each following from the one before.
fn reads() -> [Read; 4] {
    let of = |tool, arguments, sign| Read { tool, arguments, sign };
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "aiops", "name": "test-data"});
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "name": "cbs"});
    [
        of(
            "pods_get",
            json!({"namespace": "aiops", "name": "test-deployment-d49fc6fff-v8f86"}),
            "claimName: test-data",
        ),
        of("events_list", json!({"namespace": "aiops"}), "FailedScheduling"),
        of("resources_get", claim, "storageClassName: cbs"),
        of("resources_get", class, "\nprovisioner: com.tencent.cloud.csi.cbs"),
    ]
}

fn shows(messages: &[Value], read: &Read) -> bool {
    messages.iter().filter_map(|message| message["content"].as_str()).any(|content| content.contains(read.sign))
}

/// As long as a model's usual answer, with evidence that stands the check; it blames one more object than the playbook.
fn diagnosis(messages: &[Value]) -> Value {
    let prompt =
        messages.iter().find(|message| message["role"] == "user").and_then(|message| message["content"].as_str());
    // Where the prompt holds no evidence, the calls of the script do, in its order.
    let evidence = |name: &str, call: &str| evidence_of(prompt.unwrap_or_default(), name).unwrap_or(call.to_owned());
    json!({
        "verdict": "fault",
        "headline": "Pod test-deployment-d49fc6fff-v8f86 cannot be scheduled: nobody provides StorageClass cbs, which its claim needs",
        "causes": [
            {
                "summary": "StorageClass cbs names a provisioner that does not run in this cluster.",
                "resource": {"kind": "StorageClass", "namespace": "", "name": "cbs"},
                "confidence": "high",
                "evidence": [{"ref": evidence("cbs", "E4"), "quote": "provisioner: com.tencent.cloud.csi.cbs"}],
            },
            {
                "summary": "PersistentVolumeClaim test-data therefore stays Pending, and the Pod with it.",
                "code": "pvc_unbound_provisioner_missing",
                "resource": {"kind": "PersistentVolumeClaim", "namespace": "aiops", "name": "test-data"},
                "confidence": "high",
                "evidence": [{"ref": evidence("test-data", "E3"), "quote": "phase: Pending"}],
            },
        ],
        "impact": "Deployment test-deployment in aiops has no ready replica.",
        "steps": [
            {"title": "See which drivers are registered", "detail": "com.tencent.cloud.csi.cbs is missing there", "command": "kubectl get csidrivers", "effect": "reads"},
            {"title": "Install the CSI driver", "detail": "the claim binds by itself afterwards", "effect": "changes"},
        ],
        "ruled_out": [{"hypothesis": "The nodes are full", "because": "the events speak of the unbound claim only"}],
        "unresolved": ["Was the driver removed on purpose?"],
    })
}

/// The evidence whose arguments name an object, as the prompt lists it.
fn evidence_of(prompt: &str, name: &str) -> Option<String> {
    let at = prompt.find(&format!("\"name\":\"{name}\""))?;
    let (_, heading) = prompt[..at].rsplit_once("### ")?;
    heading.split_whitespace().next().map(str::to_owned)
}

/// The call as a stream: a beginning, arguments in pieces, the end, usage.
fn packets(name: &str, arguments: &Value, prompt_bytes: usize) -> String {
    let arguments = arguments.to_string();
    let id = format!("call_{}", uuid::Uuid::new_v4().simple());
    let call = json!({"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": ""}});
    let mut deltas = vec![json!({"role": "assistant"}), json!({"tool_calls": [call]})];
    let pieces = arguments.as_bytes().chunks(120).map(|piece| String::from_utf8_lossy(piece).into_owned());
    deltas.extend(pieces.map(|piece| json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})));
    let chunk = |delta: Value, finish: Value| json!({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let mut chunks: Vec<Value> = deltas.into_iter().map(|delta| chunk(delta, Value::Null)).collect();
    chunks.push(chunk(json!({}), "tool_calls".into()));
    let tokens = prompt_bytes / 4;
    chunks.push(json!({"object": "chat.completion.chunk", "choices": [], "usage": {"prompt_tokens": tokens, "completion_tokens": arguments.len() / 4, "total_tokens": tokens + arguments.len() / 4}}));
    chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).chain(["data: [DONE]\n\n".to_owned()]).collect()
}
