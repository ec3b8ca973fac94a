//! A model that investigates the claim without a provisioner: it looks twice, then submits what it saw, with quotes.

use regex::Regex;
use serde_json::{Value, json};

use super::model::{Answer, Asked, KEY, ModelServer};

/// A stand-in with that script.
pub async fn model() -> ModelServer {
    ModelServer::scripted(investigate).await
}

/// The model, for `models:`.
pub fn models(server: &ModelServer) -> Value {
    json!([{"name": "fast", "base_url": server.url(), "api_key": KEY, "model": "m", "timeout": "10s"}])
}

/// What the model says next.
pub fn investigate(asked: &Asked) -> Answer {
    if asked.results().is_empty() { look() } else { submit(asked) }
}

/// It reads the claim and its class.
pub fn look() -> Answer {
    Answer::Calls(reads())
}

/// The calls by which it reads.
pub fn reads() -> Vec<(String, Value)> {
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "aiops", "name": "test-data"});
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "name": "cbs"});
    vec![("resources_get".to_owned(), claim), ("resources_get".to_owned(), class)]
}

/// It submits what it read.
pub fn submit(asked: &Asked) -> Answer {
    Answer::call("submit_diagnosis", diagnosis(&asked.results()))
}

/// The same where reads may fail: it submits what it could read, and quotes no more than that.
pub fn investigate_what_answers(asked: &Asked) -> Answer {
    let results = asked.results();
    if results.is_empty() {
        return look();
    }
    Answer::call("submit_diagnosis", report(QUOTES.iter().filter_map(|quote| cite(&results, quote)).collect()))
}

/// What proves the diagnosis, each a line of its own.
const QUOTES: [&str; 2] = ["phase: Pending", "provisioner: com.tencent.cloud.csi.cbs"];

/// A quote under the result that says it; the claim has the second too, but inside the name of an annotation.
fn cite(results: &[&str], quote: &str) -> Option<Value> {
    let is_line = |result: &&&str| result.lines().any(|line| line.trim_start().starts_with(quote));
    let result = results.iter().find(is_line)?;
    let reference = Regex::new(r"(?m)^(E\d+)$").unwrap().captures(result).expect("a reference")[1].to_owned();
    Some(json!({"ref": reference, "quote": quote}))
}

/// What the results say, with quotes.
pub fn diagnosis(results: &[&str]) -> Value {
    let found = |quote: &&str| cite(results, quote).unwrap_or_else(|| panic!("no result says {quote}: {results:#?}"));
    report(QUOTES.iter().map(found).collect())
}

fn report(evidence: Vec<Value>) -> Value {
    let claim = json!({"kind": "PersistentVolumeClaim", "namespace": "aiops", "name": "test-data"});
    json!({
        "verdict": "fault",
        "headline": "PVC test-data cannot bind: the provisioner com.tencent.cloud.csi.cbs is not installed",
        "causes": [{
            "summary": "StorageClass cbs asks com.tencent.cloud.csi.cbs for volumes, which is not installed",
            "code": "pvc_unbound_provisioner_missing", "resource": claim, "confidence": "high",
            "evidence": evidence,
        }],
        "primary": {"resource": claim, "findings": ["the claim is Pending"]},
        "related": [], "impact": "the Deployment has no ready replica",
        "steps": [{"title": "Look for the driver", "detail": "", "command": "kubectl get csidrivers", "effect": "reads"}],
        "ruled_out": [], "unresolved": [], "data_gaps": [],
    })
}
