//! The question: which objects the alerts of a group are about, read from their labels.

use super::entrance;
use crate::alert::{Alert, AlertGroup, ObjectRef, severity_rank};
use crate::playbook::Question;
use crate::playbook::alerts::{self, Answer, Subject};
use crate::playbook::outside::{Outside, Place};

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
    ("httproute", "HTTPRoute"),
    ("networkpolicy", "NetworkPolicy"),
    ("persistentvolume", "PersistentVolume"),
    ("storageclass", "StorageClass"),
    ("service", "Service"),
    ("node", "Node"),
];

/// Labels by which applications name themselves in their own metrics. They name a Service, which a workload of that name
/// answers for; they count only where no object is named.
const NAMING_APPLICATIONS: [&str; 6] =
    ["app", "app_kubernetes_io_name", "app.kubernetes.io/name", "app_name", "application", "service_name"];

/// Kinds without a namespace among them.
const CLUSTER_KINDS: [&str; 3] = ["Node", "PersistentVolume", "StorageClass"];

/// Families of databases and queues, as their exporters' jobs and their alerts are named, and the word in their Pods' names.
const DATABASES: &[(&str, &str)] = &[
    ("mysql", "mysql"),
    ("mariadb", "mariadb"),
    ("postgres", "postgres"),
    ("redis", "redis"),
    ("mongo", "mongo"),
    ("kafka", "kafka"),
    ("rabbitmq", "rabbitmq"),
    ("elasticsearch", "elasticsearch"),
    ("clickhouse", "clickhouse"),
    ("memcached", "memcached"),
    ("zookeeper", "zookeeper"),
];

/// Exporters whose own pod, container, instance and service stand in the labels of what they report about others.
const EXPORTERS: &[&str] = &["kube-state-metrics", "node-exporter", "blackbox-exporter", "cadvisor"];

/// What a group of alerts asks.
#[must_use]
pub fn question(group: &AlertGroup) -> Question {
    let mut targets: Vec<ObjectRef> = Vec::new();
    let mut alert_names: Vec<String> = Vec::new();
    let mut outside: Vec<Outside> = Vec::new();
    let mut expressions: Vec<String> = Vec::new();
    let asked = asked(group);
    let decides = |alert: &Alert| !is_minor(alert) || asked.iter().all(|alert| is_minor(alert));
    for alert in &asked {
        let named = targets_of(alert);
        if named.is_empty() && outside.len() < TARGET_LIMIT {
            outside.push(outside_of(alert));
        }
        for target in named {
            if !targets.contains(&target) && targets.len() < TARGET_LIMIT {
                targets.push(target);
            }
        }
        if decides(alert) && !alert_names.iter().any(|name| name == alert.name()) {
            alert_names.push(alert.name().to_owned());
        }
        expressions.extend(alert.expression().filter(|expression| !expressions.contains(expression)));
    }
    let specific: Vec<ObjectRef> = targets.iter().filter(|target| target.kind != "Namespace").cloned().collect();
    // A namespace is a subject only when nothing more specific is: in it, or in the cluster as a whole.
    targets.retain(|target| {
        target.kind != "Namespace"
            || !specific.iter().any(|other| other.namespace.is_empty() || other.namespace == target.name)
    });
    let scraped_from = group.alerts.iter().find_map(scraped_from);
    let since = asked.iter().map(|alert| alert.starts_at).filter(|at| at.as_second() > 0).min();
    let mut hosts: Vec<String> = asked.iter().flat_map(|alert| entrance::hosts(alert)).collect();
    hosts.sort();
    hosts.dedup();
    let at_entrance = asked.iter().any(|alert| entrance::is_at_entrance(alert));
    Question { targets, alert_names, outside, expressions, since, scraped_from, hosts, at_entrance }
}

/// The alerts that are asked about, those for information after the others: what fires, without what always fires beside it.
fn asked(group: &AlertGroup) -> Vec<&Alert> {
    let firing: Vec<&Alert> = group.firing().collect();
    let all: Vec<&Alert> = if firing.is_empty() { group.alerts.iter().collect() } else { firing };
    let incidents: Vec<&Alert> =
        all.iter().copied().filter(|alert| alerts::no_incident(alert.name()).is_none()).collect();
    let mut asked = if incidents.is_empty() { all } else { incidents };
    asked.sort_by_key(|alert| is_info(alert));
    asked
}

fn is_info(alert: &Alert) -> bool {
    severity_rank(alert.label("severity")) > severity_rank(None)
}

/// Whether an alert tells a measurement for information: beside a graver one its name decides neither whom to ask nor whether
/// all is well.
fn is_minor(alert: &Alert) -> bool {
    is_info(alert) && alerts::answer(alert.name()) == Answer::Measurement
}

/// The Namespace of the Prometheus that misses a target: its operator labels every alert with `prometheus: NAMESPACE/NAME`.
fn scraped_from(alert: &Alert) -> Option<String> {
    let (namespace, _) = alert.label("prometheus")?.split_once('/')?;
    (alert.name() == "TargetDown").then(|| namespace.to_owned())
}

/// The objects one alert names; its namespace when it names none.
#[must_use]
pub fn targets_of(alert: &Alert) -> Vec<ObjectRef> {
    match subject(alert) {
        Subject::Labels => named_by_labels(alert),
        Subject::Host => host_node(alert).into_iter().collect(),
        Subject::Component(_) | Subject::Deployment(_) | Subject::Job | Subject::Cluster => Vec::new(),
    }
}

/// What an alert is about; one that is not known may say by its labels that it is about a machine.
fn subject(alert: &Alert) -> Subject {
    match alerts::known(alert.name()) {
        Some(known) if known.subject == Subject::Job => of_job(alert),
        Some(known) => known.subject,
        None if is_of_host(alert) => Subject::Host,
        None => Subject::Labels,
    }
}

/// Whom an alert means that is about whoever is scraped: kube-prometheus' jobs for the kubelet and the control plane, or an
/// application by its own labels.
fn of_job(alert: &Alert) -> Subject {
    const PARTS: [(&str, &str); 7] = [
        ("apiserver", "kube-apiserver"),
        ("kubernetes-apiservers", "kube-apiserver"),
        ("controller-manager", "kube-controller-manager"),
        ("scheduler", "kube-scheduler"),
        ("proxy", "kube-proxy"),
        ("coredns", "coredns"),
        ("dns", "coredns"),
    ];
    let Some(job) = alert.label("job") else { return Subject::Cluster };
    if job.contains("kubelet") || job == "kubernetes-nodes" {
        return Subject::Host;
    }
    let bare = job.trim_start_matches("kube-");
    PARTS.iter().find(|(part, _)| *part == bare).map_or(Subject::Labels, |(_, pods)| Subject::Component(pods))
}

fn is_of_host(alert: &Alert) -> bool {
    let of_exporter = |job: &str| job.contains("node-exporter") || job.contains("node_exporter") || job == "node";
    alert.label("job").is_some_and(of_exporter) || is_of_agent(alert)
}

/// Nightingale's agents name the machine they run on `ident`, on all that they collect: it is what an alert is about only
/// where nothing else is named.
fn is_of_agent(alert: &Alert) -> bool {
    let Some(machine) = alert.label("ident") else { return false };
    let mut better =
        NAMING_LABELS.iter().map(|(label, _)| *label).chain(["workload", "namespace", "exported_namespace"]);
    let itself = alert.label("instance").is_none_or(|instance| host_of(instance) == machine);
    itself && place_of(alert).is_none() && better.all(|label| alert.label(label).is_none())
}

fn named_by_labels(alert: &Alert) -> Vec<ObjectRef> {
    let place = place_of(alert);
    if let Some((Place::Url, host)) = &place {
        return service_of_host(host).into_iter().collect();
    }
    if alerts::asks(alert.name()).contains(&"aggregation")
        && let Some(name) = alert.label("name")
    {
        return vec![ObjectRef::new("APIService", "", name)];
    }
    let namespace = alert.label("exported_namespace").or_else(|| alert.label("namespace")).unwrap_or_default();
    if alerts::asks(alert.name()).contains(&"certificate")
        && let Some(name) = alert.label("name").filter(|_| !namespace.is_empty())
    {
        return vec![ObjectRef::new("Certificate", namespace, name)];
    }
    let mut targets: Vec<ObjectRef> = NAMING_LABELS
        .iter()
        .filter_map(|(label, kind)| Some((*kind, name_in(alert, label)?)))
        .filter(|(kind, _)| CLUSTER_KINDS.contains(kind) || !namespace.is_empty())
        .map(|(kind, name)| ObjectRef::new(kind, if CLUSTER_KINDS.contains(&kind) { "" } else { namespace }, name))
        .collect();
    targets.extend(workload(alert, namespace));
    if place.is_some() {
        // An exporter's own Pod and Service say nothing about the database behind it.
        targets.retain(|target| !target.name.contains("exporter"));
        return targets;
    }
    // A pod names its node as where it runs; the node is a subject only on its own.
    if targets.iter().any(|target| target.kind == "Pod") {
        targets.retain(|target| target.kind != "Node");
    }
    if targets.is_empty() && !namespace.is_empty() {
        let application = NAMING_APPLICATIONS.iter().find_map(|label| name_in(alert, label));
        let could_be =
            |name: &&str| name.chars().all(|letter| letter.is_ascii_lowercase() || "-0123456789".contains(letter));
        targets.push(match application.filter(could_be) {
            Some(name) => ObjectRef::new("Service", namespace, name),
            None if is_about_its_job(alert) => {
                ObjectRef::new("Service", namespace, alert.label("job").unwrap_or_default())
            }
            None => ObjectRef::new("Namespace", "", namespace),
        });
    }
    targets
}

/// Whether an alert is about what is scraped under its `job`, which Prometheus' operator names after the Service.
fn is_about_its_job(alert: &Alert) -> bool {
    alerts::known(alert.name()).is_some_and(|known| known.subject == Subject::Job)
        && alert.label("job").is_some_and(|job| !job.contains(['/', ' ']))
}

/// A label's value unless it is the exporter's own; Prometheus keeps the workload's as `exported_…` then.
fn name_in<'a>(alert: &'a Alert, label: &str) -> Option<&'a str> {
    if let Some(exported) = alert.label(&format!("exported_{label}")) {
        return Some(exported);
    }
    let value = alert.label(label)?;
    let is_exporter = (matches!(label, "pod" | "service" | "daemonset" | "deployment")
        || NAMING_APPLICATIONS.contains(&label))
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

/// The Node of an alert about a machine: its `node` or `nodename`, or the name in `instance`. An address alone says
/// nothing about which Node it is; gather looks that up.
fn host_node(alert: &Alert) -> Option<ObjectRef> {
    let named = alert.label("node").or_else(|| alert.label("nodename"));
    let is_address = |host: &str| host.parse::<std::net::IpAddr>().is_ok();
    let machine = alert.label("ident").filter(|machine| !is_address(machine));
    let named = named.or_else(|| alert.label("exported_node")).or(machine);
    let host = named.map(str::to_owned).or_else(|| {
        let host = host_of(alert.label("instance")?).to_owned();
        (!is_address(&host) && host != "localhost").then_some(host)
    })?;
    Some(ObjectRef::new("Node", "", host))
}

/// The alert as one about something that is no object.
fn outside_of(alert: &Alert) -> Outside {
    let (place, name) = match subject(alert) {
        Subject::Component(pods) => (Place::Component, pods.to_owned()),
        Subject::Deployment(name) => (Place::Somewhere("Deployment"), name.to_owned()),
        Subject::Cluster | Subject::Job => (Place::Cluster, String::new()),
        Subject::Host => {
            let machine = alert.label("instance").or_else(|| alert.label("ident"));
            (Place::Host, host_of(machine.unwrap_or_default()).to_owned())
        }
        Subject::Labels => place_of(alert).or_else(|| somewhere(alert)).unwrap_or((Place::Unknown, String::new())),
    };
    Outside {
        place,
        name,
        namespace: alert.label("namespace").unwrap_or_default().to_owned(),
        alert: alert.name().to_owned(),
        labels: alert.labels.clone(),
        summary: alert.summary().map(str::to_owned),
    }
}

/// The most specific object that the labels name without saying in which Namespace it is.
fn somewhere(alert: &Alert) -> Option<(Place, String)> {
    let mut named = NAMING_LABELS.iter().filter(|(_, kind)| !CLUSTER_KINDS.contains(kind));
    named.find_map(|(label, kind)| Some((Place::Somewhere(kind), name_in(alert, label)?.to_owned())))
}

/// A probed URL's host or a database's family, where the labels or the alert's name speak of one.
fn place_of(alert: &Alert) -> Option<(Place, String)> {
    let addresses = ["target", "url", "instance"].iter().filter_map(|label| alert.label(label));
    let urls = addresses.filter(|address| address.starts_with("http://") || address.starts_with("https://"));
    let hosts = urls.filter_map(|address| url::Url::parse(address).ok()?.host_str().map(str::to_owned));
    if let Some(host) = hosts.into_iter().next() {
        return Some((Place::Url, host));
    }
    let job = alert.label("job").unwrap_or_default().to_ascii_lowercase();
    if job.contains("blackbox") || job.starts_with("probe") {
        return Some((Place::Url, host_of(alert.label("target").or(alert.label("instance"))?).to_owned()));
    }
    let name = alert.name().to_ascii_lowercase();
    let meant = |family: &str| name.starts_with(family) || (job.contains(family) && job.contains("exporter"));
    let family = DATABASES.iter().find(|(family, _)| meant(family))?;
    Some((Place::Database, family.1.to_owned()))
}

/// The Service of an address inside the cluster, for example `web.shop.svc`.
fn service_of_host(host: &str) -> Option<ObjectRef> {
    let mut labels = host.split('.');
    let (name, namespace, svc) = (labels.next()?, labels.next()?, labels.next()?);
    (svc == "svc").then(|| ObjectRef::new("Service", namespace, name))
}

/// An address without its port.
fn host_of(instance: &str) -> &str {
    let bare = instance.rsplit_once(':').filter(|(_, port)| port.chars().all(|digit| digit.is_ascii_digit()));
    bare.map_or(instance, |(host, _)| host).trim_start_matches('[').trim_end_matches(']')
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

    fn outside(labels: &[(&str, &str)]) -> (Place, String) {
        let found = outside_of(&alert(labels));
        (found.place, found.name)
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
        assert_eq!(named(&[("namespace", "a"), ("app", "cart")]), ["Service a/cart"]);
        assert_eq!(named(&[("namespace", "a"), ("app", "cart"), ("pod", "cart-1")]), ["Pod a/cart-1"]);
        assert_eq!(named(&[("namespace", "a"), ("app", "kube-state-metrics")]), ["Namespace/a"]);
        assert_eq!(named(&[("namespace", "a"), ("application", "Shop Front")]), ["Namespace/a"]);
        assert_eq!(named(&[("job", "node-exporter"), ("instance", "worker-3:9100")]), ["Node/worker-3"]);
        assert_eq!(named(&[("job", "node"), ("instance", "worker-3:9100")]), ["Node/worker-3"]);
        assert_eq!(named(&[("ident", "worker-3")]), ["Node/worker-3"]);
        assert_eq!(named(&[("ident", "10.0.0.3")]), Vec::<String>::new());
        let collected = [("ident", "collector-1"), ("namespace", "shop"), ("deployment", "cart")];
        assert_eq!(named(&collected), ["Deployment shop/cart"]);
        assert_eq!(
            named(&[("ident", "collector-1"), ("instance", "10.0.0.5:3306"), ("job", "mysql")]),
            Vec::<String>::new()
        );
        assert_eq!(named(&[("job", "node-exporter"), ("instance", "10.0.0.3:9100")]), Vec::<String>::new());
    }

    fn asking(alerts: &[&[(&str, &str)]]) -> Question {
        question(&AlertGroup::unsent(alerts.iter().map(|labels| alert(labels)).collect()))
    }

    #[test]
    fn an_alert_that_is_over_began_when_it_fired_and_one_that_still_fires_comes_before_it() {
        let at = |status: AlertStatus, at: &str| {
            let labels = [("alertname", "KubePersistentVolumeFillingUp"), ("namespace", "a"), ("pod", "x")];
            Alert { status, starts_at: at.parse().unwrap(), ..alert(&labels) }
        };
        let (over, firing) = ("2026-11-23T02:30:00Z", "2026-11-23T02:40:00Z");
        let since = |alerts: Vec<Alert>| question(&AlertGroup::unsent(alerts)).since.map(|at| at.to_string());
        assert_eq!(since(vec![at(AlertStatus::Resolved, over)]).as_deref(), Some(over));
        let both = vec![at(AlertStatus::Resolved, over), at(AlertStatus::Firing, firing)];
        assert_eq!(since(both).as_deref(), Some(firing));
    }

    #[test]
    fn a_namespace_stays_a_subject_beside_an_object_of_another() {
        let stuck = [("alertname", "NamespaceStuck"), ("severity", "warning"), ("namespace", "preview")];
        let throttled =
            [("alertname", "CPUThrottlingHigh"), ("severity", "info"), ("namespace", "web"), ("pod", "web-0")];
        let targets = |question: Question| question.targets.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(targets(asking(&[&throttled, &stuck])), ["Namespace/preview", "Pod web/web-0"], "the graver leads");
        let inside = [("alertname", "PodBad"), ("severity", "warning"), ("namespace", "preview"), ("pod", "x")];
        assert_eq!(targets(asking(&[&stuck, &inside])), ["Pod preview/x"]);
    }

    #[test]
    fn what_always_fires_and_what_is_measured_for_information_decide_nothing_beside_a_graver_alert() {
        let unready =
            [("alertname", "KubePodNotReady"), ("severity", "warning"), ("namespace", "web"), ("pod", "web-0")];
        let throttled =
            [("alertname", "CPUThrottlingHigh"), ("severity", "info"), ("namespace", "web"), ("pod", "web-0")];
        let heartbeat = [("alertname", "Watchdog"), ("severity", "none")];
        assert_eq!(asking(&[&throttled, &heartbeat, &unready]).alert_names, ["KubePodNotReady"]);
        assert_eq!(asking(&[&throttled]).alert_names, ["CPUThrottlingHigh"]);
        assert_eq!(asking(&[&heartbeat]).alert_names, ["Watchdog"]);
        let quota = [("alertname", "KubeQuotaFullyUsed"), ("severity", "info"), ("namespace", "web")];
        assert!(asking(&[&unready, &quota]).alert_names.contains(&"KubePodNotReady".to_owned()));
    }

    #[test]
    fn a_pods_node_is_where_it_runs_not_the_subject() {
        assert_eq!(named(&[("namespace", "a"), ("pod", "web-0"), ("node", "worker-1")]), ["Pod a/web-0"]);
    }

    #[test]
    fn an_alert_about_a_machine_is_not_about_the_exporter_on_it() {
        let disk = |instance: &'static str| {
            [
                ("alertname", "NodeFilesystemAlmostOutOfSpace"),
                ("namespace", "monitoring"),
                ("pod", "node-exporter-x7k2p"),
                ("job", "node-exporter"),
                ("instance", instance),
            ]
        };
        assert_eq!(named(&disk("worker-3:9100")), ["Node/worker-3"]);
        assert_eq!(named(&disk("10.0.0.3:9100")), Vec::<String>::new());
        assert_eq!(outside(&disk("10.0.0.3:9100")), (Place::Host, "10.0.0.3".into()));
        assert_eq!(outside(&disk("[fd00::3]:9100")), (Place::Host, "fd00::3".into()));
    }

    #[test]
    fn a_probed_address_is_its_service_or_its_host() {
        let probe = |target: &'static str| [("alertname", "ProbeFailed"), ("job", "blackbox"), ("instance", target)];
        assert_eq!(named(&probe("http://web.shop.svc:8080/healthz")), ["Service shop/web"]);
        assert_eq!(named(&probe("https://shop.example.com/")), Vec::<String>::new());
        assert_eq!(outside(&probe("https://shop.example.com/")), (Place::Url, "shop.example.com".into()));
    }

    #[test]
    fn an_alert_about_a_database_is_not_about_its_exporter() {
        let labels = [
            ("alertname", "MysqlDown"),
            ("namespace", "data"),
            ("pod", "mysql-exporter-5d-x"),
            ("job", "mysql-exporter"),
        ];
        assert_eq!(named(&labels), Vec::<String>::new());
        assert_eq!(outside(&labels), (Place::Database, "mysql".into()));
    }

    #[test]
    fn what_is_told_of_a_client_is_told_of_whoever_is_scraped() {
        let client = |job: &'static str, namespace: &'static str| {
            [("alertname", "KubeClientErrors"), ("job", job), ("namespace", namespace), ("instance", "10.0.0.3:10250")]
        };
        assert_eq!(outside(&client("kubelet", "kube-system")), (Place::Host, "10.0.0.3".into()));
        assert_eq!(named(&client("kubelet", "kube-system")), Vec::<String>::new());
        let part = outside(&client("kube-controller-manager", "kube-system"));
        assert_eq!(part, (Place::Component, "kube-controller-manager".into()));
        assert_eq!(outside(&client("apiserver", "default")), (Place::Component, "kube-apiserver".into()));
        assert_eq!(named(&client("prometheus-k8s", "monitoring")), ["Service monitoring/prometheus-k8s"]);
        assert_eq!(outside(&[("alertname", "KubeClientErrors")]).0, Place::Cluster);
        let expiry = [("alertname", "KubeClientCertificateExpiration"), ("job", "apiserver"), ("namespace", "default")];
        assert_eq!(outside(&expiry), (Place::Component, "kube-apiserver".into()));
        let kubelet = [
            ("alertname", "KubeletClientCertificateExpiration"),
            ("namespace", "kube-system"),
            ("instance", "10.0.0.3:10250"),
        ];
        assert_eq!(outside(&kubelet), (Place::Host, "10.0.0.3".into()), "not the Namespace of the scrape");
    }

    #[test]
    fn the_control_plane_and_the_cluster_are_named_by_their_alerts() {
        assert_eq!(outside(&[("alertname", "KubeSchedulerDown")]), (Place::Component, "kube-scheduler".into()));
        assert_eq!(outside(&[("alertname", "KubeCPUOvercommit"), ("namespace", "monitoring")]).0, Place::Cluster);
        assert_eq!(outside(&[("alertname", "Mystery")]).0, Place::Unknown);
        assert_eq!(
            outside(&[("alertname", "Restarts"), ("pod", "web-0"), ("service", "web")]),
            (Place::Somewhere("Pod"), "web-0".to_owned())
        );
        let api =
            [("alertname", "KubeAggregatedAPIDown"), ("name", "v1beta1.metrics.k8s.io"), ("namespace", "default")];
        assert_eq!(named(&api), ["APIService/v1beta1.metrics.k8s.io"]);
    }
}
