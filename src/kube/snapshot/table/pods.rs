//! The most read row of all: a Pod's readiness, status and restarts, as the API server sums them up.

use jiff::Timestamp;
use serde_json::Value;

use super::format::{age, count, list, name, since, text, text_or, time};
use super::{Column, Printer, column, wide};

const COLUMNS: &[Column] = &[
    column("Name"),
    column("Ready"),
    column("Status"),
    column("Restarts"),
    column("Age"),
    wide("IP"),
    wide("Node"),
    wide("Nominated Node"),
    wide("Readiness Gates"),
];

pub(super) fn core(kind: &str) -> Option<Printer> {
    (kind == "Pod").then_some(Printer::new(COLUMNS, cells))
}

fn cells(pod: &Value, now: Timestamp) -> Vec<Value> {
    let summary = Summary::of(pod);
    vec![
        name(pod),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.status.into(),
        restarts(summary.restarts, summary.last_restart, now).into(),
        age(pod, now),
        text_or(pod, "/status/podIP", "<none>").into(),
        text_or(pod, "/spec/nodeName", "<none>").into(),
        text_or(pod, "/status/nominatedNodeName", "<none>").into(),
        readiness_gates(pod).into(),
    ]
}

#[derive(Default)]
struct Summary {
    status: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Timestamp>,
}

impl Summary {
    fn of(pod: &Value) -> Self {
        let mut summary = Self {
            status: text_or(pod, "/status/reason", text(pod, "/status/phase")).to_owned(),
            total: list(pod, "/spec/containers").len() + sidecars(pod).count(),
            ..Self::default()
        };
        if condition(pod, "PodScheduled", "reason") == "SchedulingGated" {
            summary.status = "SchedulingGated".to_owned();
        }
        let initializing = summary.add_init_containers(pod);
        if !initializing || condition(pod, "Initialized", "status") == "True" {
            summary.add_containers(pod);
        }
        let finished = matches!(text(pod, "/status/phase"), "Succeeded" | "Failed");
        if pod["metadata"]["deletionTimestamp"].is_string() && !finished {
            let lost = text(pod, "/status/reason") == "NodeLost";
            summary.status = if lost { "Unknown" } else { "Terminating" }.to_owned();
        }
        summary
    }

    /// Counts init containers up to the first that still has work to do, and says whether there is one.
    fn add_init_containers(&mut self, pod: &Value) -> bool {
        let total = list(pod, "/spec/initContainers").len();
        for (index, status) in list(pod, "/status/initContainerStatuses").iter().enumerate() {
            self.count_restarts(status);
            let terminated = &status["state"]["terminated"];
            let waiting = text(status, "/state/waiting/reason");
            let sidecar = sidecars(pod).any(|sidecar| sidecar["name"] == status["name"]);
            if terminated.is_object() && count(terminated, "/exitCode") == 0 {
                continue;
            }
            if sidecar && status["started"] == true {
                self.ready += usize::from(status["ready"] == true);
                continue;
            }
            self.status = if terminated.is_object() {
                format!("Init:{}", exit(terminated))
            } else if waiting.is_empty() || waiting == "PodInitializing" {
                format!("Init:{index}/{total}")
            } else {
                format!("Init:{waiting}")
            };
            return true;
        }
        false
    }

    fn add_containers(&mut self, pod: &Value) {
        // Once the Pod has come so far, restarts of plain init containers are no news; those of sidecars are.
        (self.restarts, self.last_restart) = (0, None);
        for status in list(pod, "/status/initContainerStatuses") {
            if sidecars(pod).any(|sidecar| sidecar["name"] == status["name"]) {
                self.count_restarts(status);
            }
        }
        let mut running = false;
        for status in list(pod, "/status/containerStatuses").iter().rev() {
            self.count_restarts(status);
            let state = &status["state"];
            let waiting = text(state, "/waiting/reason");
            if !waiting.is_empty() {
                self.status = waiting.to_owned();
            } else if state["terminated"].is_object() {
                self.status = exit(&state["terminated"]);
            } else if status["ready"] == true && state["running"].is_object() {
                running = true;
                self.ready += 1;
            }
        }
        if self.status == "Completed" && running {
            let ready = condition(pod, "Ready", "status") == "True";
            self.status = if ready { "Running" } else { "NotReady" }.to_owned();
        }
    }

    fn count_restarts(&mut self, status: &Value) {
        self.restarts += count(status, "/restartCount");
        self.last_restart = self.last_restart.max(time(status, "/lastState/terminated/finishedAt"));
    }
}

/// Init containers that keep running beside the others.
fn sidecars(pod: &Value) -> impl Iterator<Item = &Value> {
    list(pod, "/spec/initContainers").iter().filter(|container| container["restartPolicy"] == "Always")
}

fn exit(terminated: &Value) -> String {
    let (reason, signal) = (text(terminated, "/reason"), count(terminated, "/signal"));
    if !reason.is_empty() {
        return reason.to_owned();
    }
    if signal != 0 { format!("Signal:{signal}") } else { format!("ExitCode:{}", count(terminated, "/exitCode")) }
}

fn condition<'a>(pod: &'a Value, kind: &str, field: &str) -> &'a str {
    let found = list(pod, "/status/conditions").iter().find(|condition| condition["type"] == kind);
    found.and_then(|condition| condition[field].as_str()).unwrap_or_default()
}

fn restarts(count: i64, last: Option<Timestamp>, now: Timestamp) -> String {
    match last {
        Some(last) if count != 0 => format!("{count} ({} ago)", since(Some(last), now)),
        _ => count.to_string(),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let met = gates.iter().filter(|gate| condition(pod, text(gate, "/conditionType"), "status") == "True");
    format!("{}/{}", met.count(), gates.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(spec: Value, status: Value) -> String {
        let pod = json!({"metadata": {"name": "p"}, "spec": spec, "status": status});
        let cells = cells(&pod, "2026-01-01T00:10:00Z".parse().unwrap_or(Timestamp::UNIX_EPOCH));
        let cells: Vec<&str> = cells[1..4].iter().filter_map(Value::as_str).collect();
        cells.join(" ")
    }

    #[test]
    fn the_status_is_the_reason_that_matters_most() {
        let one = json!({"containers": [{"name": "a"}]});
        let waiting = json!({"phase": "Running", "containerStatuses": [{"name": "a", "restartCount": 8,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}},
            "lastState": {"terminated": {"finishedAt": "2026-01-01T00:07:13Z"}}}]});
        assert_eq!(row(one.clone(), waiting), "0/1 CrashLoopBackOff 8 (2m47s ago)");
        let killed = json!({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"signal": 9}}}]});
        assert_eq!(row(one.clone(), killed), "0/1 Signal:9 0");
        let evicted = json!({"phase": "Failed", "reason": "Evicted"});
        assert_eq!(row(one, evicted), "0/1 Evicted 0");
    }

    #[test]
    fn init_containers_come_first_and_sidecars_count() {
        let spec = json!({"initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}],
            "containers": [{"name": "a"}]});
        let failing = json!({"phase": "Pending", "initContainerStatuses": [{"name": "i", "restartCount": 2,
            "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]});
        assert_eq!(row(spec.clone(), failing), "0/2 Init:CrashLoopBackOff 2");
        let running = json!({"phase": "Running", "initContainerStatuses": [
                {"name": "i", "restartCount": 2, "state": {"terminated": {"exitCode": 0}}},
                {"name": "s", "started": true, "ready": true, "state": {"running": {}}}],
            "containerStatuses": [{"name": "a", "ready": true, "state": {"running": {}}}]});
        assert_eq!(row(spec, running), "2/2 Running 0");
    }
}
