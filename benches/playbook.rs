//! Measures how long the playbook thinks about a namespace of 5 000 Pods, one of which crashes.
#![allow(clippy::unwrap_used, reason = "a measurement that cannot be taken has to stop loudly")]

use std::time::Instant;

use firstlook::alert::{Lang, ObjectRef};
use firstlook::playbook::facts::Facts;
use firstlook::playbook::{Question, examine};
use jiff::Timestamp;
use serde_json::{Value, json};

fn main() {
    println!("| Pods in the namespace | Analyzers, ms (best of 5) |\n| ---: | ---: |");
    for pods in [1, 100, 1_000, 5_000] {
        let facts = facts(pods);
        let targets = vec![ObjectRef::new("Pod", "shop", "web-0")];
        let question = Question { targets, ..Question::default() };
        let best = (0..5)
            .map(|_| {
                let started = Instant::now();
                let examined = examine(&facts, &question, Lang::En);
                assert!(!examined.findings.is_empty(), "the crash is found");
                started.elapsed()
            })
            .min()
            .unwrap();
        println!("| {pods} | {:.1} |", best.as_secs_f64() * 1e3);
    }
}

/// A Deployment's Pods as the API server lists them; the first one is in CrashLoopBackOff.
fn facts(pods: usize) -> Facts {
    let mut facts = Facts::at("2026-11-25T08:00:00Z".parse::<Timestamp>().unwrap());
    let labels = json!({"app": "web", "pod-template-hash": "7d9f"});
    let owner = |kind: &str, name: &str| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "u", "controller": true}]);
    facts.add_object(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
               "spec": {"replicas": pods, "selector": {"matchLabels": {"app": "web"}}, "template": template(&labels)},
               "status": {"replicas": pods, "readyReplicas": pods - 1}}),
        "E1",
    );
    facts.add_object(
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
               "metadata": {"name": "web-7d9f", "namespace": "shop", "ownerReferences": owner("Deployment", "web")},
               "spec": {"replicas": pods, "selector": {"matchLabels": labels}, "template": template(&labels)},
               "status": {"replicas": pods, "readyReplicas": pods - 1}}),
        "E2",
    );
    for number in 0..pods {
        let broken = number == 0;
        let state = if broken {
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}})
        } else {
            json!({"running": {"startedAt": "2026-11-25T06:00:00Z"}})
        };
        let last = if broken {
            json!({"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-25T07:59:00Z"}})
        } else {
            json!({})
        };
        let ready = if broken { "False" } else { "True" };
        facts.add_object(
            json!({"apiVersion": "v1", "kind": "Pod",
                   "metadata": {"name": format!("web-{number}"), "namespace": "shop", "labels": labels,
                                "creationTimestamp": "2026-11-25T06:00:00Z", "ownerReferences": owner("ReplicaSet", "web-7d9f")},
                   "spec": {"nodeName": format!("node-{}", number % 50),
                            "containers": [{"name": "web", "image": "registry.example.com/web:1", "resources": {}}]},
                   "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
                              "containerStatuses": [{"name": "web", "image": "registry.example.com/web:1", "imageID": "",
                                                     "ready": !broken, "restartCount": if broken { 9 } else { 0 },
                                                     "state": state, "lastState": last}]}}),
            "E3",
        );
    }
    facts.add_listing("Pod", "shop", "E3");
    facts
}

fn template(labels: &Value) -> Value {
    json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "registry.example.com/web:1"}]}})
}
