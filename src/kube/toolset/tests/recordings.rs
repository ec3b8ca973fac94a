//! What the original said in 18 real incidents, and what the toolset says over their snapshots.
//!
//! The recordings were taken some minutes before the snapshots: ages, restarts, event times and the progress of
//! rollouts moved on in between. Those are masked; layout, columns, names, statuses and wording must be the same.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::Session;

#[derive(Deserialize)]
struct Recording {
    tool: String,
    arguments: Value,
    is_error: bool,
    text: String,
}

/// Why a recorded call has no counterpart.
const NO_COUNTERPART: &[(&str, &str, &str)] = &[
    ("", "nodes_log", "left out of the built-in toolset: it needs rights to the kubelet"),
    ("", "nodes_stats_summary", "left out of the built-in toolset: it needs rights to the kubelet"),
    ("", "nodes_top", "snapshots hold no metrics; the text is compared in top.rs"),
    ("", "pods_top", "snapshots hold no metrics; the text is compared in top.rs"),
    ("\"Secret\"", "resources_list", "the built-in toolset never reads Secrets"),
    (
        "\"PersistentVolume\"",
        "resources_list",
        "the only volume belonged to another scenario and is not in the snapshot",
    ),
    ("\"EndpointSlice\"", "resources_list", "EndpointSlices are not in the snapshot"),
    ("involvedObject.name=worker-3", "events_list", "events of Nodes are not in the snapshot"),
    ("{\"namespace\":\"default\"}", "events_list", "events of Nodes are not in the snapshot"),
    ("\"Lease\"", "resources_get", "Leases are not in the snapshot"),
];

/// Objects whose status moved on between recording and snapshot: only what stands above `status:` is compared.
const MOVED_ON: &[&str] = &["\"Deployment\"", "query-api-56c6989ffc-ltr9f"];

/// Lists with a row that moved on: the crash loop of 08 is seen in another phase. Only the header is compared.
const OTHER_PHASE: &[&str] =
    &["{\"namespace\":\"search\"", "{\"namespace\":\"search\",\"labelSelector\":\"app=query-api\""];

/// Where a scenario's recording is kept. Those written by hand have none.
fn recording_of(scenario: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/mcp-recordings/{scenario}.json"))
}

fn recordings(scenario: &str) -> Vec<Recording> {
    let bytes = std::fs::read(recording_of(scenario)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn mask(pattern: &str, text: &str, by: &str) -> String {
    Regex::new(pattern).unwrap().replace_all(text, by).into_owned()
}

fn masked_yaml(text: &str) -> String {
    let text = mask(r#""?\d{4}-\d\d-\d\dT[\d:.]+Z"?"#, text, "<time>");
    let text = mask(r"(?m)^( *- )?( *)(resourceVersion|restartCount): .*$", &text, "$1$2$3: <n>");
    let text = mask(r"containerd://[0-9a-f]+", &text, "<id>");
    let text = mask(r"(?m)^ +kubectl\.kubernetes\.io/last-applied-configuration: \|\n.*\n", &text, "");
    mask(r"(?m)^  annotations:\n(  [a-z])", &text, "$1")
}

fn masked_table(text: &str) -> String {
    let text = mask(r"\d+ \((\d+[smhd]){1,2} ago\)", text, "<restarts>");
    let text = mask(r"(\s)(\d+[smhdy]){1,2}(\s)", &text, "$1<age>$3");
    mask(" +", &text, " ")
}

fn masked_log(text: &str) -> String {
    mask(r"\d{4}-\d\d-\d\dT[\d:.]+Z", text, "<time>").replace("?tailLines=100", "")
}

fn event_entries(text: &str) -> BTreeSet<String> {
    let text = mask(r"(?m)^  Timestamp: [\d-]+ [\d:.]+ \+0000 UTC$", text, "  Timestamp: <time>");
    // A combined event is rewritten by every attempt, with the name of the Pod that was to be.
    let text = mask(r#"(combined from similar events\): Error creating: pods ")[^"]+"#, &text, "$1<pod>");
    text.split("\n- ").map(|entry| entry.trim_end().to_owned()).collect()
}

fn compare(scenario: &str, recording: &Recording, ours: &str) {
    let arguments = recording.arguments.to_string();
    let theirs = recording.text.as_str();
    let context = format!("{scenario} {} {arguments}", recording.tool);
    match recording.tool.as_str() {
        _ if recording.is_error => assert_eq!(masked_log(ours), masked_log(theirs), "{context}"),
        "pods_log" => {
            let lines = |text: &str| masked_log(text).lines().map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(lines(ours), lines(theirs), "{context}");
        }
        "events_list" => {
            let (ours, theirs) = (event_entries(ours), event_entries(theirs));
            let missing: Vec<_> = theirs.difference(&ours).collect();
            assert!(missing.is_empty(), "{context}: {missing:#?} are not among {ours:#?}");
        }
        "pods_get" | "resources_get" => {
            let above_status = |text: String| text.split("\nstatus:").next().unwrap_or_default().to_owned();
            let (ours, theirs) = (masked_yaml(ours), masked_yaml(theirs));
            if MOVED_ON.iter().any(|moved| arguments.contains(moved)) {
                assert_eq!(above_status(ours), above_status(theirs), "{context}");
            } else {
                assert_eq!(ours, theirs, "{context}");
            }
        }
        _ => {
            let (ours, theirs) = (masked_table(ours), masked_table(theirs));
            let other_phase = OTHER_PHASE.iter().any(|list| arguments == format!("{list}}}"));
            if other_phase && recording.tool == "pods_list_in_namespace" {
                assert_eq!(ours.lines().next(), theirs.lines().next(), "{context}");
            } else {
                assert_eq!(ours, theirs, "{context}");
            }
        }
    }
}

#[tokio::test]
async fn the_toolset_says_what_the_original_said() {
    let scenarios = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")).unwrap();
    let names = scenarios.map(|scenario| scenario.unwrap().file_name().into_string().unwrap());
    let mut compared = 0;
    for scenario in names.filter(|name| recording_of(name).is_file()) {
        let session = Session::scenario(&scenario).await;
        for recording in recordings(&scenario) {
            let arguments = recording.arguments.to_string();
            let none = |(mark, tool, _): &&(&str, &str, &str)| *tool == recording.tool && arguments.contains(mark);
            if NO_COUNTERPART.iter().any(|case| none(&case)) {
                continue;
            }
            let ours = session.call(&recording.tool, recording.arguments.clone()).await;
            assert_eq!(ours.is_error, recording.is_error, "{scenario} {arguments}: {}", ours.text);
            compare(&scenario, &recording, &ours.text);
            compared += 1;
        }
    }
    assert!(compared > 150, "only {compared} recordings were compared");
}
