//! Alert knowledge: what the alerts everybody runs are about, whether healthy objects answer them, and which analyzers to ask.
//!
//! The names are those of kube-prometheus, kubernetes-mixin, node-exporter's mixin and the mixins of Prometheus, Alertmanager,
//! etcd, CoreDNS and cert-manager. An alert that is not among them is judged by its labels and by words in its name.

mod cluster;
mod platform;
mod workloads;

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The objects its labels name.
    Labels,
    /// A machine. Namespace, Pod and Service in its labels are those of the exporter on it.
    Host,
    /// A part of the control plane or an add-on: the Pods in `kube-system` that bear this name.
    Component(&'static str),
    /// A Deployment of whatever Namespace that bears this name, alone or after its release's.
    Deployment(&'static str),
    /// Whoever is scraped under its `job`: a kubelet by its Node, a part of the control plane, or an application.
    Job,
    /// The cluster as a whole; its labels name at most an exporter.
    Cluster,
}

/// What it takes to answer an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It fires on the state of objects: when these are well, what set it off has passed.
    State,
    /// It fires on errors a workload reports: a log that holds none speaks against it.
    Errors,
    /// It fires on a measurement, which objects that are well do not contradict.
    Measurement,
    /// It says nothing about the cluster, and why.
    Nothing(&'static str),
}

/// What is known of one alert.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The `alertname`.
    pub name: &'static str,
    /// What it is about.
    pub subject: Subject,
    /// What answers it.
    pub answer: Answer,
    /// The analyzers to ask, the best first: their findings go first among equals, and gather lists what they want.
    pub asks: &'static [&'static str],
}

const fn state(name: &'static str, asks: &'static [&'static str]) -> Known {
    Known { name, subject: Subject::Labels, answer: Answer::State, asks }
}

const fn measured(name: &'static str, asks: &'static [&'static str]) -> Known {
    Known { name, subject: Subject::Labels, answer: Answer::Measurement, asks }
}

/// What a kubelet tells of itself: its Node is named, or the address it is scraped at.
const fn kubelet(name: &'static str, answer: Answer, asks: &'static [&'static str]) -> Known {
    Known { name, subject: Subject::Host, answer, asks }
}

const fn host(name: &'static str) -> Known {
    Known { name, subject: Subject::Host, answer: Answer::Measurement, asks: &["node"] }
}

const fn component(name: &'static str, pods: &'static str) -> Known {
    Known { name, subject: Subject::Component(pods), answer: Answer::Measurement, asks: &["crash", "probe", "node"] }
}

const fn cluster(name: &'static str, asks: &'static [&'static str]) -> Known {
    Known { name, subject: Subject::Cluster, answer: Answer::Measurement, asks }
}

const fn heartbeat(name: &'static str, why: &'static str) -> Known {
    Known { name, subject: Subject::Cluster, answer: Answer::Nothing(why), asks: &[] }
}

/// All alerts that are known, one table a source.
const TABLES: [&[Known]; 3] = [workloads::ALERTS, cluster::ALERTS, platform::ALERTS];

/// Parts of names of alerts that fire on measurements: healthy objects do not answer them.
const MEASURED: [&str; 38] = [
    "fillingup",
    "throttl",
    "latency",
    "burn",
    "filesystem",
    "overcommit",
    "clock",
    "certificate",
    "expir",
    "slow",
    "usage",
    "utilization",
    "utilisation",
    "saturation",
    "inode",
    "highcpu",
    "highmemory",
    "load",
    "replicationlag",
    "connections",
    "queue",
    "backup",
    "backlog",
    "growing",
    "consumerlag",
    "throughput",
    "stale",
    "duration",
    "延迟",
    "耗时",
    "超时",
    "积压",
    "堆积",
    "队列",
    "使用率",
    "水位",
    "连接数",
    "过期",
];

/// Beginnings of names of alerts about what objects do not show: a database's inner state, an address that is probed.
const INNER: [&str; 12] = [
    "mysql",
    "mariadb",
    "postgres",
    "redis",
    "mongo",
    "kafka",
    "rabbitmq",
    "elasticsearch",
    "clickhouse",
    "probe",
    "blackbox",
    "host",
];

/// Parts of names of alerts that count errors.
const ERRORS: [&str; 14] = [
    "errorrate",
    "errorratio",
    "errorbudget",
    "5xx",
    "4xx",
    "errorshigh",
    "higherror",
    "failurerate",
    "failureratio",
    "requestsfailing",
    "successrate",
    "错误率",
    "失败率",
    "异常率",
];

/// Parts of names of alerts about the state of objects, which answer them by being well: the objects themselves, and what
/// becomes of them.
const STATES: [&str; 44] = [
    "pod",
    "container",
    "replica",
    "deployment",
    "statefulset",
    "daemonset",
    "workload",
    "rollout",
    "node",
    "job",
    "hpa",
    "autoscal",
    "pdb",
    "disruption",
    "endpoint",
    "backend",
    "service",
    "ingress",
    "target",
    "scrape",
    "volume",
    "pvc",
    "claim",
    "quota",
    "namespace",
    "certificate",
    "crash",
    "restart",
    "oom",
    "evict",
    "notready",
    "unready",
    "unavailable",
    "down",
    "absent",
    "missing",
    "pending",
    "terminating",
    "副本",
    "容器",
    "节点",
    "就绪",
    "重启",
    "不可用",
];

/// What is known of an alert by that name.
#[must_use]
pub fn known(name: &str) -> Option<&'static Known> {
    TABLES.iter().flat_map(|table| table.iter()).find(|known| known.name == name)
}

/// What it takes to answer an alert; for one that is not known its name decides.
#[must_use]
pub fn answer(name: &str) -> Answer {
    if let Some(known) = known(name) {
        return known.answer;
    }
    let name = name.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    match (has(&ERRORS), has(&MEASURED)) {
        (true, _) => Answer::Errors,
        (_, true) => Answer::Measurement,
        _ if INNER.iter().any(|start| name.starts_with(start)) => Answer::Measurement,
        _ => Answer::State,
    }
}

/// Whether an alert is known, or says by its name, to be about the state of objects. Any other may count what no object shows.
#[must_use]
pub fn names_a_state(name: &str) -> bool {
    if let Some(known) = known(name) {
        return known.answer == Answer::State;
    }
    let lower = name.to_ascii_lowercase();
    answer(name) == Answer::State && STATES.iter().any(|part| lower.contains(part))
}

/// Why an alert by that name is no incident; `None` for all that may be one.
#[must_use]
pub fn no_incident(name: &str) -> Option<&'static str> {
    match known(name)?.answer {
        Answer::Nothing(why) => Some(why),
        _ => None,
    }
}

/// The analyzers to ask when an alert fires, the best first. One that is not known asks what its name says it counts.
#[must_use]
pub fn asks(name: &str) -> &'static [&'static str] {
    match known(name) {
        Some(known) => known.asks,
        None if answer(name) == Answer::Errors => workloads::CALLS,
        None if is_slow(name) => workloads::SLOW,
        None => &[],
    }
}

/// Whether an alert says by its name that something takes too long.
fn is_slow(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["latency", "slow", "duration", "responsetime", "apdex"].iter().any(|part| name.contains(part))
}

/// All alerts that are known, in the order of the tables.
#[cfg(test)]
pub fn all() -> impl Iterator<Item = &'static Known> {
    TABLES.iter().flat_map(|table| table.iter())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::playbook::analyzer::ANALYZERS;

    #[test]
    fn every_alert_stands_once_and_asks_analyzers_there_are() {
        let names: BTreeSet<&str> = all().map(|known| known.name).collect();
        assert_eq!(names.len(), all().count(), "an alert stands twice");
        for known in all() {
            for asked in known.asks {
                assert!(ANALYZERS.iter().any(|analyzer| analyzer.name == *asked), "{} asks {asked}", known.name);
            }
        }
    }

    #[test]
    fn the_alerts_kube_prometheus_ships_are_known() {
        assert!(all().count() > 150, "{}", all().count());
        for name in
            ["KubePodCrashLooping", "NodeFilesystemAlmostOutOfSpace", "etcdNoLeader", "CoreDNSDown", "TargetDown"]
        {
            assert!(known(name).is_some(), "{name}");
        }
    }

    #[test]
    fn every_alert_that_may_be_an_incident_asks_something() {
        let mute = all().filter(|known| known.asks.is_empty() && no_incident(known.name).is_none());
        assert_eq!(mute.map(|known| known.name).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn only_heartbeats_are_no_incidents() {
        let quiet: Vec<&str> = all().map(|known| known.name).filter(|name| no_incident(name).is_some()).collect();
        assert_eq!(quiet, ["Watchdog", "InfoInhibitor"]);
        assert_eq!(no_incident("CheckoutFailing"), None);
    }

    #[test]
    fn an_alert_that_names_no_object_may_count_what_none_shows() {
        for name in ["KubePodNotReady", "CheckoutPodsMissing", "PreviewServiceWithoutEndpoints", "支付容器重启"] {
            assert!(names_a_state(name), "{name}");
        }
        for name in ["BuildsWaitTooLong", "ApiLatencyHigh", "HighErrorRate", "OrdersNotShipped"] {
            assert!(!names_a_state(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_known_is_judged_by_its_name() {
        assert_eq!(answer("ShopHighErrorRate"), Answer::Errors);
        assert_eq!(answer("ApiLatencyHigh"), Answer::Measurement);
        assert_eq!(answer("支付接口错误率过高"), Answer::Errors);
        assert_eq!(answer("订单队列积压"), Answer::Measurement);
        assert_eq!(answer("UploadFailureRate"), Answer::Errors);
        assert_eq!(answer("CheckoutPodsMissing"), Answer::State);
        assert_eq!(answer("KubeDeploymentReplicasMismatch"), Answer::State);
    }
}
