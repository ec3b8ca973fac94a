//! Every scenario of the repository, diagnosed without a model in both languages, under the rule of its truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use jiff::Timestamp;
use serde_json::Value;

use crate::alert::{Lang, ObjectRef};
use crate::intake::{Limits, alertmanager};
use crate::kube::snapshot::newest_timestamp;
use crate::playbook::facts::{Facts, SeenEvent, SeenLog, object_ref};
use crate::playbook::world::can_be_copied;
use crate::playbook::{Question, diagnose, findings, unserved};
use crate::report::{Confidence, Diagnosis, Verdict};
use crate::toolbox::evidence::EvidenceLog;
use crate::triage::question;

/// Kinds a perfect gather would have listed, so that what is not among the objects is known to be absent.
const LISTED: [&str; 20] = [
    "Pod",
    "Deployment",
    "ReplicaSet",
    "StatefulSet",
    "DaemonSet",
    "Job",
    "CronJob",
    "Service",
    "Endpoints",
    "ConfigMap",
    "Secret",
    "PersistentVolumeClaim",
    "PersistentVolume",
    "StorageClass",
    "CSIDriver",
    "Node",
    "NetworkPolicy",
    "ServiceAccount",
    "ResourceQuota",
    "Ingress",
];

struct Scenario {
    name: String,
    facts: Facts,
    question: Question,
    truth: Value,
    owners: Vec<(ObjectRef, ObjectRef)>,
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut folders: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    // A probed address or a database is found by gather alone; `firstlook eval` holds those.
    folders.retain(|folder| folder.join("truth.json").exists() && !question(folder).targets.is_empty());
    folders.sort();
    folders
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// A scenario's objects, each as it is and as a tool prints it.
struct Source<'f> {
    folder: &'f Path,
    now: Timestamp,
    items: Vec<(Value, String)>,
}

fn read(folder: &Path) -> Source<'_> {
    let objects = json(&folder.join("objects.json"));
    let now = newest_timestamp(&objects).max(newest_timestamp(&json(&folder.join("alert.json")))).unwrap();
    let printed = |item: &Value| {
        let mut item = item.clone();
        item["metadata"].as_object_mut().unwrap().remove("managedFields");
        let text = if item["kind"] == "Event" { event_text(&item) } else { yaml_serde::to_string(&item).unwrap() };
        (item, text)
    };
    Source { folder, now, items: objects["items"].as_array().unwrap().iter().map(printed).collect() }
}

/// What runs on each Node, as the list of a Node's Pods tells.
fn add_crowds(items: &[(Value, String)], facts: &mut Facts) {
    let mut crowds: BTreeMap<String, Vec<ObjectRef>> = BTreeMap::new();
    for (pod, _) in items.iter().filter(|(item, _)| item["kind"] == "Pod") {
        let stays = !["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default());
        if let (true, Some(node)) = (stays, pod["spec"]["nodeName"].as_str()) {
            crowds.entry(node.to_owned()).or_default().push(object_ref(pod).unwrap());
        }
    }
    crowds.into_iter().for_each(|(node, pods)| facts.add_crowd(&node, pods));
}

fn load(folder: &Path) -> Scenario {
    taken(&read(folder), true)
}

/// Takes a scenario as a gather would, with or without complete listings of the kinds.
fn taken(source: &Source<'_>, listed: bool) -> Scenario {
    let Source { folder, now, items } = source;
    let mut facts = Facts::at(*now);
    let log = EvidenceLog::default();
    let mut owners = Vec::new();
    let mut events = "# The following events (YAML format) were found:\n".to_owned();
    for (item, text) in items {
        if item["kind"] == "Event" {
            events.push_str(text);
            continue;
        }
        let key = object_ref(item).unwrap();
        for owner in item["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
            let owner =
                ObjectRef::new(owner["kind"].as_str().unwrap(), &key.namespace, owner["name"].as_str().unwrap());
            owners.push((key.clone(), owner));
        }
        let recorded = log.record(log.reserve(), "resources_get", &Value::Null, text.clone(), 1 << 20, facts.now);
        facts.add_evidence(&recorded);
        facts.add_object(item.clone(), &recorded.reference);
    }
    let recorded = log.record(log.reserve(), "events_list", &Value::Null, events, 1 << 20, facts.now);
    facts.add_evidence(&recorded);
    for (item, _) in items.iter().filter(|(item, _)| item["kind"] == "Event") {
        facts.add_event(event(item, &recorded.reference));
    }
    for kind in LISTED.into_iter().filter(|_| listed) {
        let rows: String = items
            .iter()
            .filter(|(item, _)| item["kind"] == kind)
            .map(|(item, _)| format!("{} {}\n", kind, item["metadata"]["name"]))
            .collect();
        let recorded = log.record(log.reserve(), "resources_list", &Value::Null, rows, 1 << 20, facts.now);
        facts.add_evidence(&recorded);
        facts.add_listing(kind, "", &recorded.reference);
    }
    if listed {
        add_crowds(items, &mut facts);
    }
    add_logs(folder, &log, &mut facts);
    let name = folder.file_name().unwrap().to_string_lossy().into_owned();
    Scenario { name, facts, question: question(folder), truth: json(&folder.join("truth.json")), owners }
}

fn event_text(item: &Value) -> String {
    let about = &item["involvedObject"];
    let shown = serde_json::json!([{
        "InvolvedObject": {"Kind": about["kind"], "Name": about["name"], "apiVersion": about["apiVersion"]},
        "Message": item["message"], "Namespace": item["metadata"]["namespace"], "Reason": item["reason"], "Type": item["type"],
    }]);
    yaml_serde::to_string(&shown).unwrap()
}

fn event(item: &Value, reference: &str) -> SeenEvent {
    let about = &item["involvedObject"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let seen = [&item["lastTimestamp"], &item["series"]["lastObservedTime"], &item["eventTime"]];
    SeenEvent {
        about: ObjectRef::new(text(&about["kind"]), text(&item["metadata"]["namespace"]), text(&about["name"])),
        kind: text(&item["type"]),
        reason: text(&item["reason"]),
        message: text(&item["message"]),
        count: item["count"].as_i64().or_else(|| item["series"]["count"].as_i64()).unwrap_or(1),
        last_seen: seen.iter().find_map(|time| time.as_str()?.parse().ok()),
        reference: reference.to_owned(),
    }
}

fn add_logs(folder: &Path, log: &EvidenceLog, facts: &mut Facts) {
    let Ok(files) = fs::read_dir(folder.join("logs")) else { return };
    for file in files {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let failed = name.ends_with(".error");
        let stem = name.trim_end_matches(".error").trim_end_matches(".log");
        let previous = stem.ends_with(".previous");
        let mut parts = stem.trim_end_matches(".previous").splitn(3, '_').map(str::to_owned);
        let recorded = log.record(log.reserve(), "pods_log", &Value::Null, text.clone(), 1 << 20, facts.now);
        facts.add_evidence(&recorded);
        facts.add_log(SeenLog {
            namespace: parts.next().unwrap(),
            pod: parts.next().unwrap(),
            container: parts.next().unwrap(),
            previous,
            lines: if failed { Err(text) } else { Ok(text) },
            reference: recorded.reference,
        });
    }
}

/// What the alerts ask, as triage reads it from their labels.
fn question(folder: &Path) -> Question {
    let body = fs::read(folder.join("alert.json")).unwrap();
    question::question(&alertmanager::parse(&body, &Limits::default()).unwrap())
}

fn plain(text: &str) -> String {
    text.to_lowercase().chars().filter(|letter| letter.is_alphanumeric()).collect()
}

fn says(text: &str, alternatives: &str) -> bool {
    alternatives.split('|').any(|words| plain(text).contains(&plain(words)))
}

/// What speaks against a diagnosis under the scenario's truth; empty when it is right.
fn objections(scenario: &Scenario, diagnosis: &Diagnosis) -> Vec<String> {
    let truth = &scenario.truth;
    let whole = serde_json::to_string(diagnosis).unwrap();
    let strings = |key: &str| -> Vec<String> {
        truth[key].as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut objections: Vec<String> = strings("must_mention")
        .into_iter()
        .filter(|words| !says(&whole, words))
        .map(|words| format!("does not say {words}"))
        .collect();
    let acted = serde_json::to_string(&(&diagnosis.headline, &diagnosis.causes, &diagnosis.steps)).unwrap();
    objections.extend(
        strings("must_not").into_iter().filter(|words| says(&acted, words)).map(|words| format!("says {words}")),
    );
    let (kind, name) = (truth["root_cause_kind"].as_str().unwrap(), truth["root_cause_name"].as_str().unwrap());
    if kind == "none" {
        if diagnosis.verdict != Verdict::NoFault {
            objections.push(format!("false alarm: {:?}", diagnosis.headline));
        }
        return objections;
    }
    let Some(first) = diagnosis.causes.first() else {
        objections.push("names no cause".to_owned());
        return objections;
    };
    let accepted = |object: &ObjectRef| {
        let also = truth["also_accept"].as_array().into_iter().flatten();
        also.into_iter().any(|one| one["kind"] == object.kind && one["name"] == object.name)
    };
    let right = |object: &ObjectRef| (object.kind == kind && object.name == name) || accepted(object);
    let kin = |(child, owner): &(ObjectRef, ObjectRef)| {
        (child == &first.resource && right(owner)) || (owner == &first.resource && right(child))
    };
    if !right(&first.resource) && !scenario.owners.iter().any(kin) {
        objections.push(format!("blames {} ({:?})", first.resource, first.code));
    }
    if diagnosis.verdict != Verdict::Fault {
        objections.push("gives no verdict of a fault".to_owned());
    }
    objections
}

#[test]
fn every_scenario_is_right_in_both_languages_without_a_model() {
    let mut wrong = Vec::new();
    let folders = folders();
    assert!(folders.len() >= 18, "the scenarios are missing");
    for folder in &folders {
        let scenario = load(folder);
        assert_eq!(unserved(&scenario.facts, &scenario.question), Vec::<String>::new(), "{}", scenario.name);
        for lang in [Lang::Zh, Lang::En] {
            let diagnosis = diagnose(&scenario.facts, &scenario.question, lang);
            if std::env::var_os("SHOW").is_some() {
                println!("## {} {}\n{}", scenario.name, lang.tag(), serde_json::to_string_pretty(&diagnosis).unwrap());
            }
            let objections = objections(&scenario, &diagnosis);
            if !objections.is_empty() {
                wrong.push(format!("{} {}: {objections:?}", scenario.name, lang.tag()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_cause_names_the_code_of_its_truth() {
    let mut other = Vec::new();
    for folder in folders() {
        let scenario = load(&folder);
        let code = scenario.truth["cause_code"].as_str().unwrap();
        let found = diagnose(&scenario.facts, &scenario.question, Lang::En);
        let first = found.causes.first().and_then(|cause| cause.code.as_deref()).unwrap_or("no_fault_found");
        if first != code {
            other.push(format!("{}: {first} instead of {code}", scenario.name));
        }
    }
    assert!(other.is_empty(), "{}", other.join("\n"));
}

#[test]
fn every_cause_has_evidence_and_every_step_is_filled_in() {
    for folder in folders() {
        let scenario = load(&folder);
        for lang in [Lang::Zh, Lang::En] {
            let diagnosis = diagnose(&scenario.facts, &scenario.question, lang);
            for cause in &diagnosis.causes {
                assert!(!cause.evidence.is_empty(), "{}: {} has no evidence", scenario.name, cause.summary);
                let is_log = |it: &str| scenario.facts.logs().iter().any(|log| log.reference == it);
                let sure = cause.confidence == Confidence::High;
                let logs_only = cause.evidence.iter().all(|citation| is_log(&citation.reference));
                assert!(!(sure && logs_only), "{}: {} is sure by logs alone", scenario.name, cause.summary);
            }
            assert!(!diagnosis.headline.is_empty() && !diagnosis.steps.is_empty(), "{}", scenario.name);
            assert!(!diagnosis.impact.is_empty(), "{}", scenario.name);
            can_be_copied(&diagnosis.steps);
            for step in &diagnosis.steps {
                assert!(!step.title.is_empty(), "{}", scenario.name);
                assert!(!step.command.as_deref().is_some_and(str::is_empty), "{}", scenario.name);
            }
        }
    }
}

#[test]
fn the_table_of_scenarios_has_a_row_for_each() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/scenarios.md")).unwrap();
    let folders = fs::read_dir(root.join("scenarios")).unwrap().map(|entry| entry.unwrap().file_name());
    let missing: Vec<_> = folders.filter(|name| !table.contains(&format!("| {} |", name.display()))).collect();
    assert!(missing.is_empty(), "run `firstlook eval --lang en --output markdown scenarios`: {missing:?}");
}

#[test]
fn findings_are_numbered_lines_with_their_evidence() {
    let scenario = load(&folders()[0]);
    let found = findings(&scenario.facts, &scenario.question, Lang::En);
    let line = found.first().unwrap().line(1);
    assert!(line.starts_with("F1 [E"), "{line}");
    let codes: BTreeSet<&str> = found.iter().map(|finding| finding.code).collect();
    assert!(codes.contains("pvc_unbound_provisioner_missing"));
}

#[test]
fn what_could_not_be_read_makes_nothing_healthy_and_no_one_else_guilty() {
    let folders = folders();
    let next = AtomicUsize::new(0);
    let apart = if std::env::var_os("FIRSTLOOK_EVERY_OBJECT").is_some() { 1 } else { 4 };
    // Thousands of diagnoses: every core takes the next folder.
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let Some(folder) = folders.get(turn) else { break };
                    hold_without_an_object(folder, turn % apart, apart);
                }
            });
        }
    });
}

/// What every namespace has and no analyzer reads.
fn is_furniture(object: &ObjectRef) -> bool {
    object.kind == "PriorityClass" || ["kube-root-ca.crt", "openshift-service-ca.crt"].contains(&object.name.as_str())
}

/// Without each of a scenario's objects in turn; every fourth is enough to show it, and another one in each scenario. A gather
/// that could not read an object has listed nothing either.
fn hold_without_an_object(folder: &Path, first: usize, apart: usize) {
    let Scenario { name, facts, question, truth, .. } = taken(&read(folder), false);
    let objects = facts.names().into_iter().filter(|object| !is_furniture(object));
    for hidden in objects.skip(first).step_by(apart) {
        let diagnosis = diagnose(&facts.without(&hidden), &question, Lang::En);
        let (faulty, told) = (truth["root_cause_kind"] != "none", &diagnosis.headline);
        let healthy = diagnosis.verdict == Verdict::NoFault;
        assert!(!(faulty && healthy), "{name} without {hidden}: {told}");
        assert!(faulty || diagnosis.verdict != Verdict::Fault, "{name} without {hidden}: {told}");
    }
}
