//! A small world for tests: objects, events and logs as a gather would have read them, and a question about them.

use serde_json::{Value, json};

use crate::alert::{Lang, ObjectRef};
use crate::playbook::facts::{Facts, SeenEvent, SeenLog, object_ref};
use crate::playbook::{Question, diagnose, findings, unserved};
use crate::report::{Diagnosis, Step, Verdict};
use crate::toolbox::evidence::EvidenceLog;
use crate::triage::command::{self, Fate};

/// The present in every test.
pub const NOW: &str = "2026-11-23T03:00:00Z";

/// What was read, and what is asked.
pub struct World {
    facts: Facts,
    recorded: EvidenceLog,
    question: Question,
}

impl World {
    /// An empty world in which somebody asks about an object.
    pub fn asking(kind: &str, name: &str) -> Self {
        let namespace =
            if matches!(kind, "Node" | "Namespace" | "PersistentVolume" | "APIService") { "" } else { "shop" };
        let question = Question { targets: vec![ObjectRef::new(kind, namespace, name)], ..Question::default() };
        Self { facts: Facts::at(NOW.parse().unwrap()), recorded: EvidenceLog::default(), question }
    }

    /// Names the alert.
    pub fn alert(mut self, name: &str) -> Self {
        self.question.alert_names.push(name.to_owned());
        self
    }

    /// Asks about one more object.
    pub fn also(mut self, kind: &str, name: &str) -> Self {
        self.question.targets.extend(Self::asking(kind, name).question.targets);
        self
    }

    /// Says when the alert began.
    pub fn fired(mut self, at: &str) -> Self {
        self.question.since = Some(at.parse().unwrap());
        self
    }

    /// Says that a Prometheus of this Namespace does not reach its target.
    pub fn scraped_from(mut self, namespace: &str) -> Self {
        self.question.scraped_from = Some(namespace.to_owned());
        self
    }

    /// Says that the errors were counted at the ingress controller.
    pub fn at_entrance(mut self) -> Self {
        self.question.at_entrance = true;
        self
    }

    /// Says that the alert speaks of a host.
    pub fn about_host(mut self, host: &str) -> Self {
        self.question.hosts.push(host.to_owned());
        self
    }

    /// Adds an object with its YAML as evidence.
    pub fn with(mut self, object: Value) -> Self {
        assert!(object_ref(&object).is_some(), "not an object: {object}");
        let recorded = self.recorded.record(
            self.recorded.reserve(),
            "resources_get",
            &Value::Null,
            yaml_serde::to_string(&object).unwrap(),
            1 << 20,
            self.facts.now,
        );
        self.facts.add_evidence(&recorded);
        self.facts.add_object(object, &recorded.reference);
        self
    }

    /// Adds a warning about an object of the namespace (or of the cluster, for Nodes), one minute old.
    pub fn event(mut self, kind: &str, name: &str, reason: &str, message: &str) -> Self {
        let shown = yaml_serde::to_string(&json!([{"Message": message, "Reason": reason}])).unwrap();
        let recorded =
            self.recorded.record(self.recorded.reserve(), "events_list", &Value::Null, shown, 1 << 20, self.facts.now);
        self.facts.add_evidence(&recorded);
        self.facts.add_event(SeenEvent {
            about: ObjectRef::new(kind, "shop", name),
            kind: "Warning".into(),
            reason: reason.into(),
            message: message.into(),
            count: 3,
            last_seen: Some("2026-11-23T02:59:00Z".parse().unwrap()),
            reference: recorded.reference,
        });
        self
    }

    /// Adds the present log of the container `web` of a Pod.
    pub fn log(self, pod: &str, text: &str) -> Self {
        self.log_of(pod, "web", text)
    }

    /// Adds the present log of a container of a Pod.
    pub fn log_of(self, pod: &str, container: &str, text: &str) -> Self {
        self.add_log(("shop", pod), container, text, false)
    }

    /// Adds the present log of the container `web` of a Pod of another namespace.
    pub fn log_in(self, namespace: &str, pod: &str, text: &str) -> Self {
        self.add_log((namespace, pod), "web", text, false)
    }

    /// Adds the log of the container `web` of a Pod before its last restart.
    pub fn log_before(self, pod: &str, text: &str) -> Self {
        self.add_log(("shop", pod), "web", text, true)
    }

    fn add_log(mut self, (namespace, pod): (&str, &str), container: &str, text: &str, previous: bool) -> Self {
        let recorded = self.recorded.record(
            self.recorded.reserve(),
            "pods_log",
            &Value::Null,
            text.to_owned(),
            1 << 20,
            self.facts.now,
        );
        self.facts.add_evidence(&recorded);
        self.facts.add_log(SeenLog {
            namespace: namespace.into(),
            pod: pod.into(),
            container: container.into(),
            previous,
            lines: Ok(text.into()),
            reference: recorded.reference,
        });
        self
    }

    /// Says that a kind was listed completely.
    pub fn listed(mut self, kind: &str) -> Self {
        self.facts.add_listing(kind, "", "E0");
        self
    }

    /// Says that the cluster's Pods were asked for an address, and none has it.
    pub fn nobody_at(mut self, address: &str) -> Self {
        self.facts.add_address(address, Vec::new(), "E0");
        self
    }

    /// Says which Pods a Node runs.
    pub fn crowd(mut self, node: &str, pods: &[&str]) -> Self {
        let pods = pods.iter().map(|pod| ObjectRef::new("Pod", "shop", *pod)).collect();
        self.facts.add_crowd(node, pods);
        self
    }

    /// The first cause's code and the object it blames, as `code kind/name`.
    pub fn cause(&self) -> String {
        let diagnosis = self.diagnosis();
        diagnosis.causes.first().map_or_else(
            || format!("{:?}", diagnosis.verdict),
            |cause| format!("{} {}/{}", cause.code.clone().unwrap(), cause.resource.kind, cause.resource.name),
        )
    }

    /// The codes of all findings that bear on the question.
    pub fn codes(&self) -> Vec<&'static str> {
        findings(&self.facts, &self.question, Lang::En).iter().map(|finding| finding.code).collect()
    }

    /// The diagnosis in English, after the same in Chinese was seen to blame the same object with the same evidence.
    pub fn diagnosis(&self) -> Diagnosis {
        let english = diagnose(&self.facts, &self.question, Lang::En);
        let chinese = diagnose(&self.facts, &self.question, Lang::Zh);
        assert_eq!(english.verdict, chinese.verdict);
        let told = |diagnosis: &Diagnosis| {
            let causes = diagnosis.causes.iter();
            causes.map(|cause| (cause.code.clone(), cause.resource.clone(), cause.evidence.clone())).collect::<Vec<_>>()
        };
        assert_eq!(told(&english), told(&chinese));
        for cause in &english.causes {
            assert!(!cause.evidence.is_empty(), "no evidence for {}", cause.summary);
        }
        assert_eq!(unserved(&self.facts, &self.question), Vec::<String>::new());
        for finding in findings(&self.facts, &self.question, Lang::En) {
            can_be_copied(&finding.steps);
        }
        english
    }

    /// Asserts that nothing is found and the target counts as healthy.
    pub fn is_calm(&self) {
        let diagnosis = self.diagnosis();
        assert_eq!(diagnosis.verdict, Verdict::NoFault, "{:?}", self.codes());
    }
}

/// Asserts that every command passes the check that a model's commands pass, as what it says it is.
pub fn can_be_copied(steps: &[Step]) {
    for step in steps {
        let Some(command) = &step.command else { continue };
        assert_eq!(command::fate(command), Fate::Shown(step.effect), "{command}");
    }
}

/// Changes a value as a JSON merge patch does.
pub fn patched(mut base: Value, patch: Value) -> Value {
    match (&mut base, patch) {
        (Value::Object(target), Value::Object(changes)) => {
            for (key, change) in changes {
                let before = target.remove(&key).unwrap_or(Value::Null);
                if !change.is_null() {
                    target.insert(key, patched(before, change));
                }
            }
            base
        }
        (_, patch) => patch,
    }
}

/// A Pod `web-1-a` of Deployment `web`, Ready on Node `n1`, changed by a patch.
pub fn pod(patch: Value) -> Value {
    let base = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web-1-a", "namespace": "shop", "labels": {"app": "web", "pod-template-hash": "1"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u", "controller": true}]},
        "spec": {"nodeName": "n1", "containers": [container(json!({}))]},
        "status": {"phase": "Running", "podIP": "10.244.1.5",
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
            "containerStatuses": [{"name": "web", "image": "reg/web:1", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"running": {"startedAt": "2026-11-23T01:00:00Z"}}}]},
    });
    patched(base, patch)
}

/// The container `web`, listening on 8080.
pub fn container(patch: Value) -> Value {
    patched(json!({"name": "web", "image": "reg/web:1", "ports": [{"name": "http", "containerPort": 8080}]}), patch)
}

/// The patch that makes the Pod unready, with its container in a state and a number of restarts.
pub fn unready(state: Value, last: Value, restarts: i32) -> Value {
    json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "web", "image": "reg/web:1", "imageID": "", "ready": false,
            "restartCount": restarts, "state": state, "lastState": last}]}})
}

/// The patch that makes the Pod wait before its container ever ran.
pub fn waiting(reason: &str, message: &str) -> Value {
    patched(
        unready(json!({"waiting": {"reason": reason, "message": message}}), json!({}), 0),
        json!({"status": {"phase": "Pending"}}),
    )
}

/// A container that crashed with an exit code a minute ago and waits to be restarted.
pub fn crashed(exit: i32, reason: &str) -> Value {
    unready(
        json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}),
        ended(exit, reason, "2026-11-23T02:59:00Z"),
        7,
    )
}

/// A finished run that took 40 seconds.
pub fn ended(exit: i32, reason: &str, at: &str) -> Value {
    let end: jiff::Timestamp = at.parse().unwrap();
    let start = end - jiff::SignedDuration::from_secs(40);
    json!({"terminated": {"exitCode": exit, "reason": reason, "startedAt": start.to_string(), "finishedAt": at}})
}

/// The patch that makes the Pod unschedulable with the scheduler's words.
pub fn unschedulable(message: &str) -> Value {
    json!({"spec": {"nodeName": null}, "status": {"phase": "Pending", "containerStatuses": null, "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]}})
}

/// Deployment `web` with wanted and ready replicas.
pub fn deployment(wanted: i32, ready: i32) -> Value {
    let available = if ready >= wanted { "True" } else { "False" };
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": wanted, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container(json!({}))]}}},
        "status": {"replicas": wanted, "updatedReplicas": wanted, "readyReplicas": ready, "availableReplicas": ready,
            "conditions": [{"type": "Available", "status": available, "reason": "MinimumReplicasUnavailable"}]}})
}

/// ReplicaSet `web-REVISION` of Deployment `web` with an image and replicas.
pub fn replica_set(revision: i32, image: &str, wanted: i32, ready: i32) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": format!("web-{revision}"), "namespace": "shop",
            "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]},
        "spec": {"replicas": wanted, "selector": {}, "template": {"spec": {"containers": [container(json!({"image": image}))]}}},
        "status": {"replicas": wanted, "readyReplicas": ready}})
}

/// Node `n1`, Ready, with 4 cores and 8 GiB, changed by a patch.
pub fn node(patch: Value) -> Value {
    let base = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1", "zone": "a"}}, "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}, "conditions": [
            {"type": "MemoryPressure", "status": "False"}, {"type": "DiskPressure", "status": "False"},
            {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is posting ready status"}]}});
    patched(base, patch)
}

/// Service `web`, port 80 to `http`, with a selector.
pub fn service(selector: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.7", "selector": selector, "ports": [{"port": 80, "targetPort": 8080}]}})
}
