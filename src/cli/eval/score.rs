//! Scoring: a report against the truth of its scenario.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::facts::object_ref;
use crate::report::{Confidence, Report, Verdict};

/// `truth.json`: what is really wrong in a scenario.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Truth {
    root_cause_kind: String,
    #[serde(default)]
    root_cause_name: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    must_mention: Vec<String>,
    #[serde(default)]
    must_not: Vec<String>,
    #[serde(default)]
    also_accept: Vec<Accepted>,
}

/// Another object that may be named: `{"kind", "name"}` or `"Kind/name"`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Accepted {
    Object {
        kind: String,
        name: String,
        #[serde(default)]
        namespace: Option<String>,
    },
    Text(String),
}

/// How a report did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Score {
    /// The right object, and everything that must be said.
    Right,
    /// Not right, and it does not claim to be sure.
    Wrong,
    /// Not right, and sure of it: worse than silence.
    ConfidentlyWrong,
    /// A fault where there is none.
    FalseAlarm,
    /// The run is not the recorded one: nothing is said about the model.
    Unplayed,
}

impl Score {
    /// All of them, the best first.
    pub(super) const ALL: [Self; 5] =
        [Self::Right, Self::Wrong, Self::ConfidentlyWrong, Self::FalseAlarm, Self::Unplayed];

    /// Its one character in the matrix.
    pub(super) fn mark(self) -> char {
        match self {
            Self::Right => '✓',
            Self::Wrong => '✗',
            Self::ConfidentlyWrong => '‼',
            Self::FalseAlarm => '!',
            Self::Unplayed => '?',
        }
    }

    /// The word in tables.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Wrong => "wrong",
            Self::ConfidentlyWrong => "confidently wrong",
            Self::FalseAlarm => "false alarm",
            Self::Unplayed => "does not fit its recording",
        }
    }
}

/// Scores a report and says what kept it from being right.
pub(super) fn score(truth: &Truth, report: &Report, objects: &[Value]) -> (Score, Vec<String>) {
    let mut reasons = Vec::new();
    if truth.root_cause_kind == "none" {
        if report.verdict == Verdict::Fault {
            return (Score::FalseAlarm, vec!["nothing is wrong here".to_owned()]);
        }
        if report.verdict != Verdict::NoFault {
            reasons.push("the verdict is not no_fault".to_owned());
        }
    } else if !names_the_cause(truth, report, objects) {
        let named = report.causes.first().map_or_else(|| "nothing".to_owned(), |cause| cause.resource.to_string());
        reasons.push(format!("blames {named}, not {}/{}", truth.root_cause_kind, truth.root_cause_name));
    }
    let said = plain(&said(report));
    for mention in &truth.must_mention {
        if !mention.split('|').any(|one| said.contains(&plain(one))) {
            reasons.push(format!("does not say `{mention}`"));
        }
    }
    let claimed = plain(&claims(report));
    reasons
        .extend(truth.must_not.iter().filter(|one| claimed.contains(&plain(one))).map(|one| format!("says `{one}`")));
    if reasons.is_empty() {
        return (Score::Right, reasons);
    }
    let sure = report.causes.first().is_some_and(|cause| cause.confidence == Confidence::High);
    (if sure { Score::ConfidentlyWrong } else { Score::Wrong }, reasons)
}

/// Whether the first cause names the right object, one it owns, one that owns it, or an accepted one.
fn names_the_cause(truth: &Truth, report: &Report, objects: &[Value]) -> bool {
    let Some(cause) = report.causes.first() else { return false };
    let named = &cause.resource;
    if named.kind.is_empty() || named.name.is_empty() {
        return false;
    }
    let right =
        ObjectRef::new(truth.root_cause_kind.as_str(), truth.namespace.as_str(), truth.root_cause_name.as_str());
    let matches =
        |object: &ObjectRef| same(named, object) || owns(named, object, objects) || owns(object, named, objects);
    matches(&right)
        || truth.also_accept.iter().any(|accepted| {
            let object = match accepted {
                Accepted::Object { kind, name, namespace } => {
                    ObjectRef::new(kind.as_str(), namespace.as_deref().unwrap_or(&truth.namespace), name.as_str())
                }
                Accepted::Text(text) => {
                    let (kind, name) = text.split_once('/').unwrap_or(("", text));
                    ObjectRef::new(kind, truth.namespace.as_str(), name)
                }
            };
            matches(&object)
        })
}

/// The same kind and name. Namespaces differ only by being left out: scenarios hold one object of a kind and name.
fn same(a: &ObjectRef, b: &ObjectRef) -> bool {
    (a.kind.eq_ignore_ascii_case(&b.kind) || a.kind.is_empty() || b.kind.is_empty())
        && a.name == b.name
        && (a.namespace == b.namespace || a.namespace.is_empty() || b.namespace.is_empty())
}

/// Whether `owner` owns `object`, directly or through others.
fn owns(owner: &ObjectRef, object: &ObjectRef, objects: &[Value]) -> bool {
    let mut current = vec![object.clone()];
    // Owner chains are short (CronJob → Job → Pod); the bound keeps a circle in a scenario from hanging.
    for _ in 0..5 {
        current = objects
            .iter()
            .filter(|value| object_ref(value).is_some_and(|found| current.iter().any(|one| same(one, &found))))
            .flat_map(|value| {
                let namespace = value.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
                let owners = value.pointer("/metadata/ownerReferences").and_then(Value::as_array).into_iter().flatten();
                owners.map(move |owner| {
                    let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
                    ObjectRef::new(text("kind"), namespace, text("name"))
                })
            })
            .collect();
        if current.iter().any(|one| same(one, owner)) {
            return true;
        }
    }
    false
}

/// What a report says to a reader. The arguments of its tool calls are not said, and neither is who answered.
fn said(report: &Report) -> String {
    let mut report = serde_json::to_value(report).unwrap_or_default();
    if let Some(report) = report.as_object_mut() {
        report.retain(|key, _| !matches!(key.as_str(), "evidence" | "usage"));
    }
    words(&report)
}

/// What a report asserts: headline, causes with what they quote, and steps.
fn claims(report: &Report) -> String {
    words(&serde_json::json!([report.headline, report.causes, report.steps]))
}

/// All texts of a value, its keys aside.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join("\n"),
        Value::Object(map) => map.values().map(words).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// Case, spaces and punctuation do not count.
fn plain(text: &str) -> String {
    text.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Reads `truth.json` and the objects of a scenario.
pub(super) fn load(dir: &Path) -> Result<(Truth, Vec<Value>), String> {
    let read = |name: &str| {
        let path = dir.join(name);
        std::fs::read(&path).map_err(|error| {
            format!("{}: {error}; a scenario directory holds objects.json, alert.json and truth.json", path.display())
        })
    };
    let truth = serde_json::from_slice(&read("truth.json")?)
        .map_err(|error| format!("{}: {error}", dir.join("truth.json").display()))?;
    let list: Value = serde_json::from_slice(&read("objects.json")?)
        .map_err(|error| format!("{}: {error}", dir.join("objects.json").display()))?;
    Ok((truth, list.get("items").and_then(Value::as_array).cloned().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Cause;
    use serde_json::json;

    fn truth(value: Value) -> Truth {
        serde_json::from_value(value).unwrap()
    }

    fn blaming(kind: &str, name: &str) -> Report {
        let cause =
            Cause { resource: ObjectRef::new(kind, "a", name), confidence: Confidence::High, ..Cause::default() };
        Report {
            verdict: Verdict::Fault,
            headline: "OOM-Killed at 256Mi".into(),
            causes: vec![cause],
            ..Report::default()
        }
    }

    fn owned() -> Vec<Value> {
        let object = |kind: &str, name: &str, owner: Option<(&str, &str)>| {
            let owners: Vec<Value> = owner.iter().map(|(kind, name)| json!({"kind": kind, "name": name})).collect();
            json!({"kind": kind, "metadata": {"name": name, "namespace": "a", "ownerReferences": owners}})
        };
        vec![
            object("Pod", "web-1-x", Some(("ReplicaSet", "web-1"))),
            object("ReplicaSet", "web-1", Some(("Deployment", "web"))),
            object("Deployment", "web", None),
        ]
    }

    #[test]
    fn owners_and_owned_count_as_the_object() {
        let truth = truth(
            json!({"root_cause_kind": "Deployment", "root_cause_name": "web", "namespace": "a", "must_mention": ["oomkilled", "x|256Mi"]}),
        );
        assert_eq!(score(&truth, &blaming("Pod", "web-1-x"), &owned()).0, Score::Right);
        assert_eq!(score(&truth, &blaming("Deployment", "web"), &owned()).0, Score::Right);
        assert_eq!(score(&truth, &blaming("Deployment", "other"), &owned()).0, Score::ConfidentlyWrong);
    }

    fn pod_truth(key: &str, value: Value) -> Truth {
        let mut base = json!({"root_cause_kind": "Pod", "root_cause_name": "p", "namespace": "a"});
        base[key] = value;
        truth(base)
    }

    #[test]
    fn what_must_and_must_not_be_said_counts() {
        let with = |key: &str, value: Value| score(&pod_truth(key, value), &blaming("Pod", "p"), &[]).0;
        assert_eq!(with("must_mention", json!(["elsewhere"])), Score::ConfidentlyWrong);
        assert_eq!(with("must_mention", json!(["elsewhere|oom killed"])), Score::Right);
        assert_eq!(with("must_not", json!(["256 mi"])), Score::ConfidentlyWrong);
        assert_eq!(with("must_not", json!(["some"])), Score::Right, "no word of ours is taken for the report's");
    }

    #[test]
    fn one_of_the_accepted_objects_will_do_and_so_will_what_it_owns() {
        let with = |accepted: Value, kind: &str, name: &str| {
            score(&pod_truth("also_accept", accepted), &blaming(kind, name), &owned()).0
        };
        assert_eq!(with(json!(["Pod/q"]), "Pod", "q"), Score::Right);
        assert_eq!(with(json!([{"kind": "Deployment", "name": "web"}]), "Pod", "web-1-x"), Score::Right);
        assert_eq!(with(json!([{"kind": "Pod", "name": "q", "namespace": "b"}]), "Pod", "q"), Score::ConfidentlyWrong);
        assert_eq!(with(json!(["Pod/q"]), "Service", "q"), Score::ConfidentlyWrong);
    }

    #[test]
    fn what_is_only_said_in_a_quotation_is_said_and_claimed() {
        let mut report = blaming("Pod", "p");
        let quote = "exit code 137".to_owned();
        report.causes[0].evidence.push(crate::report::Citation { reference: "E1".into(), quote });
        assert_eq!(score(&pod_truth("must_mention", json!(["137"])), &report, &[]).0, Score::Right);
        assert_eq!(score(&pod_truth("must_not", json!(["137"])), &report, &[]).0, Score::ConfidentlyWrong);
    }

    #[test]
    fn what_was_only_asked_of_a_tool_is_not_said() {
        let mut report = blaming("Pod", "p");
        report.evidence.push(crate::report::EvidenceEntry {
            reference: "E1".into(),
            tool: "resources_get".into(),
            arguments: json!({"name": "test-data"}),
            bytes: 1,
            taken_at: jiff::Timestamp::UNIX_EPOCH,
        });
        assert_eq!(score(&pod_truth("must_mention", json!(["test-data"])), &report, &[]).0, Score::ConfidentlyWrong);
    }

    #[test]
    fn a_cause_without_a_kind_or_a_name_names_nothing() {
        let truth = pod_truth("must_mention", json!([]));
        assert_eq!(score(&truth, &blaming("", "p"), &[]).0, Score::ConfidentlyWrong);
        assert_eq!(score(&truth, &blaming("Pod", ""), &[]).0, Score::ConfidentlyWrong);
        assert_eq!(score(&truth, &blaming("pod", "p"), &[]).0, Score::Right);
    }

    #[test]
    fn only_the_first_cause_counts_and_its_confidence_says_how_bad_an_error_is() {
        let truth = pod_truth("must_mention", json!([]));
        let mut report = blaming("Pod", "q");
        report.causes.push(blaming("Pod", "p").causes.remove(0));
        assert_eq!(score(&truth, &report, &[]).0, Score::ConfidentlyWrong);
        report.causes[0].confidence = Confidence::Medium;
        assert_eq!(score(&truth, &report, &[]).0, Score::Wrong);
        assert_eq!(score(&truth, &Report::default(), &[]).0, Score::Wrong);
    }

    #[test]
    fn a_fault_where_there_is_none_is_a_false_alarm() {
        let truth = truth(json!({"root_cause_kind": "none"}));
        assert_eq!(score(&truth, &blaming("Pod", "p"), &[]).0, Score::FalseAlarm);
        assert_eq!(score(&truth, &Report { verdict: Verdict::NoFault, ..Report::default() }, &[]).0, Score::Right);
        assert_eq!(score(&truth, &Report::default(), &[]).0, Score::Wrong);
    }
}
