//! Rows of what owns Pods: Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs, autoscalers, budgets.

use jiff::Timestamp;
use serde_json::Value;

use super::format::{age, containers, count, duration, list, name, pairs, selector, since, text, text_or, time};
use super::{Column, Printer, column, number, wide};

const REPLICA_COLUMNS: &[Column] = &[
    column("Name"),
    number("Desired"),
    number("Current"),
    number("Ready"),
    column("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

pub(super) fn printer(kind: &str) -> Option<Printer> {
    Some(match kind {
        "Deployment" => Printer::new(DEPLOYMENT, deployment),
        "ReplicaSet" => Printer::new(REPLICA_COLUMNS, replica_set),
        "StatefulSet" => Printer::new(STATEFUL_SET, stateful_set),
        "DaemonSet" => Printer::new(DAEMON_SET, daemon_set),
        "ControllerRevision" => Printer::new(CONTROLLER_REVISION, controller_revision),
        "Job" => Printer::new(JOB, job),
        "CronJob" => Printer::new(CRON_JOB, cron_job),
        "HorizontalPodAutoscaler" => Printer::new(AUTOSCALER, autoscaler),
        "PodDisruptionBudget" => Printer::new(BUDGET, budget),
        _ => return None,
    })
}

/// The wide cells every workload ends with.
fn template(object: &Value, cells: &mut Vec<Value>) {
    let spec = &object["spec"]["template"]["spec"];
    cells.extend([containers(spec, "name"), containers(spec, "image")]);
}

const DEPLOYMENT: &[Column] = &[
    column("Name"),
    column("Ready"),
    number("Up-to-date"),
    number("Available"),
    column("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

fn deployment(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        name(object),
        ready_of_wanted(object),
        count(object, "/status/updatedReplicas").into(),
        count(object, "/status/availableReplicas").into(),
        age(object, now),
    ];
    template(object, &mut cells);
    cells.push(selector(&object["spec"]["selector"]).into());
    cells
}

fn ready_of_wanted(object: &Value) -> Value {
    format!("{}/{}", count(object, "/status/readyReplicas"), count(object, "/spec/replicas")).into()
}

fn replica_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        name(object),
        count(object, "/spec/replicas").into(),
        count(object, "/status/replicas").into(),
        count(object, "/status/readyReplicas").into(),
        age(object, now),
    ];
    template(object, &mut cells);
    cells.push(selector(&object["spec"]["selector"]).into());
    cells
}

const STATEFUL_SET: &[Column] = &[column("Name"), column("Ready"), column("Age"), wide("Containers"), wide("Images")];

fn stateful_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![name(object), ready_of_wanted(object), age(object, now)];
    template(object, &mut cells);
    cells
}

const DAEMON_SET: &[Column] = &[
    column("Name"),
    number("Desired"),
    number("Current"),
    number("Ready"),
    number("Up-to-date"),
    number("Available"),
    column("Node Selector"),
    column("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

fn daemon_set(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        name(object),
        count(object, "/status/desiredNumberScheduled").into(),
        count(object, "/status/currentNumberScheduled").into(),
        count(object, "/status/numberReady").into(),
        count(object, "/status/updatedNumberScheduled").into(),
        count(object, "/status/numberAvailable").into(),
        pairs(&object["spec"]["template"]["spec"]["nodeSelector"]).into(),
        age(object, now),
    ];
    template(object, &mut cells);
    cells.push(selector(&object["spec"]["selector"]).into());
    cells
}

const CONTROLLER_REVISION: &[Column] = &[column("Name"), column("Controller"), number("Revision"), column("Age")];

fn controller_revision(object: &Value, now: Timestamp) -> Vec<Value> {
    let owner = list(object, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true);
    let group = |owner: &Value| {
        text(owner, "/apiVersion").split_once('/').map_or(String::new(), |(group, _)| format!(".{group}"))
    };
    let controller = owner.map_or_else(
        || "<none>".to_owned(),
        |owner| format!("{}{}/{}", text(owner, "/kind").to_lowercase(), group(owner), text(owner, "/name")),
    );
    vec![name(object), controller.into(), count(object, "/revision").into(), age(object, now)]
}

const JOB: &[Column] = &[
    column("Name"),
    column("Status"),
    column("Completions"),
    column("Duration"),
    column("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

fn job(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![
        name(object),
        job_status(object).into(),
        completions(object).into(),
        job_duration(object, now).into(),
        age(object, now),
    ];
    template(object, &mut cells);
    cells.push(selector(&object["spec"]["selector"]).into());
    cells
}

fn job_status(job: &Value) -> &'static str {
    let has = |kind: &str| {
        let conditions = list(job, "/status/conditions");
        conditions.iter().any(|condition| condition["type"] == kind && condition["status"] == "True")
    };
    for done in ["Complete", "Failed"] {
        if has(done) {
            return done;
        }
    }
    if job["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating";
    }
    ["Suspended", "FailureTarget", "SuccessCriteriaMet"].into_iter().find(|kind| has(kind)).unwrap_or("Running")
}

fn completions(job: &Value) -> String {
    let succeeded = count(job, "/status/succeeded");
    let parallelism = count(job, "/spec/parallelism");
    match job.pointer("/spec/completions").and_then(Value::as_i64) {
        Some(wanted) => format!("{succeeded}/{wanted}"),
        None if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        None => format!("{succeeded}/1"),
    }
}

fn job_duration(job: &Value, now: Timestamp) -> String {
    let Some(started) = time(job, "/status/startTime") else { return String::new() };
    let ended = time(job, "/status/completionTime").unwrap_or(now);
    duration(ended.duration_since(started).as_secs())
}

const CRON_JOB: &[Column] = &[
    column("Name"),
    column("Schedule"),
    column("Timezone"),
    column("Suspend"),
    number("Active"),
    column("Last Schedule"),
    column("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

fn cron_job(object: &Value, now: Timestamp) -> Vec<Value> {
    let last = time(object, "/status/lastScheduleTime");
    let job = &object["spec"]["jobTemplate"];
    let mut cells = vec![
        name(object),
        text(object, "/spec/schedule").into(),
        text_or(object, "/spec/timeZone", "<none>").into(),
        if object["spec"]["suspend"] == true { "True" } else { "False" }.into(),
        list(object, "/status/active").len().into(),
        last.map_or_else(|| "<none>".to_owned(), |last| since(Some(last), now)).into(),
        age(object, now),
    ];
    template(job, &mut cells);
    cells.push(selector(&job["spec"]["selector"]).into());
    cells
}

const AUTOSCALER: &[Column] = &[
    column("Name"),
    column("Reference"),
    column("Targets"),
    column("MinPods"),
    number("MaxPods"),
    number("Replicas"),
    column("Age"),
];

fn autoscaler(object: &Value, now: Timestamp) -> Vec<Value> {
    let target = &object["spec"]["scaleTargetRef"];
    let least = object.pointer("/spec/minReplicas").map_or_else(|| "<unset>".to_owned(), Value::to_string);
    vec![
        name(object),
        format!("{}/{}", text(target, "/kind"), text(target, "/name")).into(),
        targets(object).into(),
        least.into(),
        count(object, "/spec/maxReplicas").into(),
        count(object, "/status/currentReplicas").into(),
        age(object, now),
    ]
}

/// `cpu: 97%/50%` for every metric; past two the rest is only counted.
fn targets(autoscaler: &Value) -> String {
    let current = list(autoscaler, "/status/currentMetrics");
    let metrics = list(autoscaler, "/spec/metrics");
    let shown = metrics.iter().enumerate().map(|(index, metric)| target(metric, current.get(index)));
    let shown: Vec<String> = shown.take(2).collect();
    match metrics.len() {
        0 => "<none>".to_owned(),
        1 | 2 => shown.join(", "),
        all => format!("{} + {} more...", shown.join(", "), all - 2),
    }
}

fn target(metric: &Value, current: Option<&Value>) -> String {
    const SOURCES: &[(&str, &str)] = &[
        ("Resource", "resource"),
        ("ContainerResource", "containerResource"),
        ("Pods", "pods"),
        ("Object", "object"),
        ("External", "external"),
    ];
    let kind = text(metric, "/type");
    let Some((_, field)) = SOURCES.iter().find(|(name, _)| *name == kind) else { return "<unknown type>".to_owned() };
    let wanted = &metric[field]["target"];
    let actual = current.map(|current| &current[field]["current"]);
    let (part, unit) = if wanted["averageUtilization"].is_number() {
        ("averageUtilization", "%")
    } else if wanted["averageValue"].is_string() {
        ("averageValue", "")
    } else {
        ("value", "")
    };
    let show = |value: &Value| match &value[part] {
        Value::String(text) => text.clone(),
        Value::Number(number) => format!("{number}{unit}"),
        _ => "<unknown>".to_owned(),
    };
    let averaged = if kind != "Pods" && kind != "Resource" && part == "averageValue" { " (avg)" } else { "" };
    let pair = format!("{}/{}{averaged}", actual.map_or_else(|| "<unknown>".to_owned(), show), show(wanted));
    match kind {
        "Resource" | "ContainerResource" => format!("{}: {pair}", text(&metric[field], "/name")),
        _ => pair,
    }
}

const BUDGET: &[Column] =
    &[column("Name"), column("Min Available"), column("Max Unavailable"), number("Allowed Disruptions"), column("Age")];

fn budget(object: &Value, now: Timestamp) -> Vec<Value> {
    let bound = |field: &str| match &object["spec"][field] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => "N/A".to_owned(),
    };
    vec![
        name(object),
        bound("minAvailable").into(),
        bound("maxUnavailable").into(),
        count(object, "/status/disruptionsAllowed").into(),
        age(object, now),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_autoscaler_shows_what_it_sees_against_what_it_wants() {
        let metrics = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"averageUtilization": 50}}},
            {"type": "Pods", "pods": {"target": {"averageValue": "10"}}},
            {"type": "External", "external": {"target": {"value": "3"}}}]);
        let current = json!([{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 97}}}]);
        let mut hpa = json!({"spec": {"metrics": metrics}, "status": {"currentMetrics": current}});
        assert_eq!(targets(&hpa), "cpu: 97%/50%, <unknown>/10 + 1 more...");
        hpa["spec"]["metrics"] = json!([]);
        assert_eq!(targets(&hpa), "<none>");
    }

    #[test]
    fn a_job_without_completions_needs_one_success() {
        assert_eq!(completions(&json!({"spec": {"parallelism": 3}, "status": {"succeeded": 1}})), "1/1 of 3");
        assert_eq!(completions(&json!({"spec": {"completions": 5}})), "0/5");
    }
}
