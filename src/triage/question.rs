//! The question: which objects the alerts of a group are about, read from their labels.

use crate::alert::{Alert, AlertGroup, ObjectRef};
use crate::playbook::Question;

/// At most this many objects are looked at for one group; the rest are members, not subjects.
const TARGET_LIMIT: usize = 6;

/// Labels that name an object, the most specific first, and the object's kind.
/// `job_name` is kube-state-metrics' label for a Job; `job` is Prometheus' own scrape job and names nothing.
const NAMING_LABELS: &[(&str, &str)] = &[
    ("pod", "Pod"),
    ("persistentvolumeclaim", "PersistentVolumeClaim"),
    ("horizontalpodautoscaler", "HorizontalPodAutoscaler"),
    ("hpa", "HorizontalPodAutoscaler"),
    ("deployment", "Deployment"),
    ("statefulset", "StatefulSet"),
    ("daemonset", "DaemonSet"),
    ("replicaset", "ReplicaSet"),
    ("job_name", "Job"),
    ("cronjob", "CronJob"),
    ("ingress", "Ingress"),
    ("resourcequota", "ResourceQuota"),
    ("poddisruptionbudget", "PodDisruptionBudget"),
    ("service", "Service"),
    ("node", "Node"),
];

/// Exporters whose own pod, container, instance and service stand in the labels of what they report about others.
const EXPORTERS: &[&str] = &["kube-state-metrics", "node-exporter", "blackbox-exporter", "cadvisor"];

/// What a group of alerts asks.
#[must_use]
pub fn question(group: &AlertGroup) -> Question {
    let mut targets: Vec<ObjectRef> = Vec::new();
    let mut alert_names: Vec<String> = Vec::new();
    let firing: Vec<&Alert> = group.firing().collect();
    let asked = if firing.is_empty() { group.alerts.iter().collect() } else { firing };
    for alert in asked {
        for target in targets_of(alert) {
            if !targets.contains(&target) && targets.len() < TARGET_LIMIT {
                targets.push(target);
            }
        }
        if !alert_names.iter().any(|name| name == alert.name()) {
            alert_names.push(alert.name().to_owned());
        }
    }
    // A namespace is a subject only when nothing more specific is.
    if targets.iter().any(|target| target.kind != "Namespace") {
        targets.retain(|target| target.kind != "Namespace");
    }
    Question { targets, alert_names }
}

/// The objects one alert names; its namespace when it names none.
#[must_use]
pub fn targets_of(alert: &Alert) -> Vec<ObjectRef> {
    let namespace = alert.label("exported_namespace").or_else(|| alert.label("namespace")).unwrap_or_default();
    let mut targets: Vec<ObjectRef> = NAMING_LABELS
        .iter()
        .filter_map(|(label, kind)| Some((*kind, name_in(alert, label)?)))
        .filter(|(kind, _)| *kind == "Node" || !namespace.is_empty())
        .map(|(kind, name)| ObjectRef::new(kind, if kind == "Node" { "" } else { namespace }, name))
        .collect();
    targets.extend(workload(alert, namespace));
    targets.extend(node_of_instance(alert));
    // A pod names its node as where it runs; the node is a subject only on its own.
    if targets.iter().any(|target| target.kind == "Pod") {
        targets.retain(|target| target.kind != "Node");
    }
    if targets.is_empty() && !namespace.is_empty() {
        targets.push(ObjectRef::new("Namespace", "", namespace));
    }
    targets
}

/// A label's value unless it is the exporter's own; Prometheus keeps the workload's as `exported_…` then.
fn name_in<'a>(alert: &'a Alert, label: &str) -> Option<&'a str> {
    if let Some(exported) = alert.label(&format!("exported_{label}")) {
        return Some(exported);
    }
    let value = alert.label(label)?;
    let is_exporter = matches!(label, "pod" | "service" | "daemonset" | "deployment")
        && EXPORTERS.iter().any(|name| value.contains(name));
    (!is_exporter || about_an_exporter(alert)).then_some(value)
}

/// Alerts such as `TargetDown` for kube-state-metrics are about the exporter itself.
fn about_an_exporter(alert: &Alert) -> bool {
    matches!(alert.name(), "TargetDown" | "KubeStateMetricsListErrors" | "KubeStateMetricsWatchErrors")
}

/// kube-prometheus' `workload` and `workload_type` labels.
fn workload(alert: &Alert, namespace: &str) -> Option<ObjectRef> {
    let kind = match alert.label("workload_type")?.to_ascii_lowercase().as_str() {
        "deployment" => "Deployment",
        "statefulset" => "StatefulSet",
        "daemonset" => "DaemonSet",
        "job" => "Job",
        "cronjob" => "CronJob",
        _ => return None,
    };
    (!namespace.is_empty()).then_some(())?;
    Some(ObjectRef::new(kind, namespace, alert.label("workload")?))
}

/// node-exporter names its machine only by `instance`; a name is taken, an address says nothing about which node it is.
fn node_of_instance(alert: &Alert) -> Option<ObjectRef> {
    if !alert.label("job")?.contains("node-exporter") || alert.label("node").is_some() {
        return None;
    }
    let instance = alert.label("instance")?;
    let host = instance.rsplit_once(':').map_or(instance, |(host, _)| host);
    let is_address = host.parse::<std::net::IpAddr>().is_ok() || host.contains(':');
    (!is_address).then(|| ObjectRef::new("Node", "", host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::AlertStatus;
    use jiff::Timestamp;

    fn alert(labels: &[(&str, &str)]) -> Alert {
        Alert {
            status: AlertStatus::Firing,
            labels: labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            annotations: Default::default(),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: None,
            generator_url: None,
            fingerprint: String::new(),
        }
    }

    fn named(labels: &[(&str, &str)]) -> Vec<String> {
        targets_of(&alert(labels)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_exporters_own_labels_are_not_the_workload() {
        let labels = [
            ("alertname", "KubeDeploymentReplicasMismatch"),
            ("namespace", "aiops"),
            ("deployment", "web"),
            ("pod", "kube-state-metrics-6b8d8f9c5d-xk2vz"),
            ("service", "kube-state-metrics"),
            ("instance", "10.244.1.7:8443"),
        ];
        assert_eq!(named(&labels), ["Deployment aiops/web"]);
    }

    #[test]
    fn every_naming_label_leads_to_its_kind() {
        for (label, expected) in [
            ("pod", "Pod a/x"),
            ("job_name", "Job a/x"),
            ("persistentvolumeclaim", "PersistentVolumeClaim a/x"),
            ("horizontalpodautoscaler", "HorizontalPodAutoscaler a/x"),
            ("node", "Node/x"),
            ("exported_pod", "Pod a/x"),
        ] {
            assert_eq!(named(&[("namespace", "a"), (label, "x")]), [expected]);
        }
        assert_eq!(named(&[("namespace", "a"), ("job", "x")]), ["Namespace/a"], "a scrape job names no object");
        assert_eq!(named(&[("job", "node-exporter"), ("instance", "worker-3:9100")]), ["Node/worker-3"]);
        assert_eq!(named(&[("job", "node-exporter"), ("instance", "10.0.0.3:9100")]), Vec::<String>::new());
    }

    #[test]
    fn a_pods_node_is_where_it_runs_not_the_subject() {
        assert_eq!(named(&[("namespace", "a"), ("pod", "web-0"), ("node", "worker-1")]), ["Pod a/web-0"]);
    }
}
