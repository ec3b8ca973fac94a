//! Reach: which Service a failing call in a log was meant for.

mod failure;
mod host;

use std::cell::LazyCell;

use k8s_openapi::api::core::v1::{Pod, Service};

pub use self::failure::{Failure, failure, is_reset, tells_of_no_connection};
use self::failure::{REFUSED, TIMEOUT, is_of_other_names};
use self::host::is_word;
pub use self::host::{hosts, is_address, is_local, is_source_file};
use crate::alert::ObjectRef;
use crate::playbook::alias;
use crate::playbook::analyzer::{job, memory};
use crate::playbook::awaited;
use crate::playbook::callees;
use crate::playbook::environment;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::present;
use crate::playbook::scene::Scene;
use crate::playbook::tries;

/// A failing call found in a log.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    /// The log line.
    pub line: &'a str,
    /// The log it stands in.
    pub log: &'a SeenLog,
    /// How it failed.
    pub failure: Failure,
    /// The hosts the line names, the likeliest destination first.
    pub hosts: Vec<String>,
}

static AWAITED: Pattern =
    Pattern::new(r"(?i)\b(?:still )?waiting (?:for|on)\b|\bis (?:not ready|unavailable)\b.*\b(?:sleep|wait|retry)");
static SILENT: Pattern = Pattern::new(r"(?i)server misbehaving|eai_again|temporary failure in name resolution");
/// What a resolver answers to a name it does not know: a timeout that is told beside it is the client's.
static UNKNOWN: Pattern = Pattern::new(r"(?i)name or service not known|no such host|nxdomain|enotfound");
/// A port that stands apart from its host.
static PORT: Pattern = Pattern::new(r"(?i)\bport[ :=]+(\d{1,5})\b");
/// The name a resolver did not find.
static NAME: Pattern = Pattern::new(
    r#"(?i)\b(?:lookup|enotfound|eai_again|host name|unknownhostexception:(?: failed to resolve)?|unknown mysql server host|not found in upstream|getaddrinfo for|can't find|bad address|resolve(?: remote)?(?: host(?:name)?| server| name)?(?: address)?:?)\s+["'‘]?([a-z0-9][a-z0-9.-]*[a-z0-9])"#,
);

/// The logs that tell of a Pod's present, and what they tell of it: of a container that is well again neither the run
/// before nor errors that are over.
#[must_use]
pub fn present_logs<'a>(scene: &Scene<'a>, pod: &Pod) -> Vec<(&'a SeenLog, &'a str)> {
    let views = pods::containers(pod);
    let well = |log: &SeenLog| {
        let view = views.iter().find(|view| view.name() == log.container);
        view.is_some_and(|view| view.ready() && !view.failing(scene.facts.now))
    };
    // What a run of a CronJob said that later runs made up for is history.
    if job::may_be_history(scene, &scene.workload(pod)) {
        return Vec::new();
    }
    let mut logs = scene.logs(&crate::playbook::scene::named(pod), "");
    // In the Pod's own order, not in the one the answers came in.
    logs.sort_by_key(|log| (!log.previous, views.iter().position(|view| view.name() == log.container)));
    let present = logs.into_iter().filter_map(|log| {
        let text = log.lines.as_deref().ok()?;
        match (well(log), log.previous) {
            (true, true) => None,
            (true, false) => Some((log, scene.present(log, text))),
            (false, _) => Some((log, text)),
        }
    });
    present.collect()
}

/// How often a log says something before it is no single hiccup.
const OFTEN: usize = 3;

/// What a Pod's present logs say again and again: the log, the last of the lines and how many there are.
#[must_use]
pub fn repeated<'a>(
    scene: &Scene<'a>,
    pod: &Pod,
    says: impl Fn(&str) -> bool,
) -> Option<(&'a SeenLog, &'a str, usize)> {
    present_logs(scene, pod).into_iter().find_map(|(log, text)| {
        let told: Vec<&str> = text.lines().filter(|line| says(line) && !logs::instructs(line)).collect();
        Some((log, *told.last()?, told.len())).filter(|(.., count)| *count >= OFTEN)
    })
}

/// The failing calls of a Pod's logs, one for each destination and way of failing.
#[must_use]
pub fn failing_calls<'a>(scene: &Scene<'a>, pod: &Pod) -> Vec<Call<'a>> {
    scene.calls(pod, || calls_told(scene, pod))
}

fn calls_told<'a>(scene: &Scene<'a>, pod: &Pod) -> Vec<Call<'a>> {
    // Only what runs before the others can be said to wait in vain; anything else may wait for work.
    let views = pods::containers(pod);
    let waiting: Vec<&str> = views.iter().filter(|view| view.init && view.running()).map(|view| view.name()).collect();
    let unready: Vec<&str> =
        views.iter().filter(|view| !view.init && view.running() && !view.ready()).map(|view| view.name()).collect();
    let mut calls: Vec<Call<'a>> = Vec::new();
    for (log, text) in present_logs(scene, pod) {
        let waits = |line: &str| waiting.contains(&log.container.as_str()) && AWAITED.hits(line);
        // A warning is a complaint where the process gave up over it.
        let why = LazyCell::new(|| logs::culprit(text));
        // What a health check finds wrong is a warning to most, and the very thing that keeps a container that runs unready.
        let warns = |line: &str| unready.contains(&log.container.as_str()) && logs::is_warning(line);
        let given_up = |line: &str| failure(line).is_some() && *why == Some(line);
        // A client that only warns, and does nothing else any more, does not get on.
        let lasts = tries::ends_in(text, |line| logs::is_warning(line) && failure(line).is_some());
        let stuck = |line: &str| lasts && logs::is_warning(line) && failure(line).is_some();
        let tells = |line: &str| logs::is_error(line) || warns(line) || waits(line) || given_up(line) || stuck(line);
        // What a later try made up for is no trouble of a container that is well; nor did that give up over anything.
        let is_well = views.iter().any(|view| view.name() == log.container && view.ready() && view.restarts() == 0);
        let made_up = if is_well { tries::made_up_for(text) } else { Vec::new() };
        // What a server was up against on its way up is over once it is up and its container ready.
        let is_ready = views.iter().any(|view| view.name() == log.container && view.ready());
        let is_over = |line: &str| (is_ready && present::is_over(pod, text, line)) || tries::came_about(text, line);
        let (mut somebody, mut nobody) = (false, false);
        let lines = text.lines().filter(|line| !logs::instructs(line) && tells(line));
        for line in lines.filter(|line| !made_up.contains(line)) {
            let Some(failure) = failure(line).or_else(|| waits(line).then_some(Failure::Awaited)) else { continue };
            let mut hosts = hosts(line);
            if hosts.is_empty() {
                hosts = host::of_record(text, line);
            }
            // An address says where, and the name of a variable's host beside it whom that stands for.
            if hosts.iter().all(|host| is_address(host) && !is_local(host)) {
                hosts.extend(environment::spoken_of(pod, line));
            }
            let is_known = calls.iter().any(|call| call.failure == failure && call.hosts == hosts);
            // To look at a whole log for each of its lines takes long: one that is there already is not over.
            if !is_known && is_over(line) {
                continue;
            }
            let names_somebody = hosts.iter().any(|host| !awaited::is_mere_word(pod, line, host));
            somebody |= names_somebody;
            nobody |= !names_somebody && tells_of_no_connection(line);
            if !hosts.is_empty() && !is_known {
                calls.push(Call { line, log, failure, hosts });
            }
        }
        let unnamed =
            (*why).filter(|_| nobody && !somebody && !is_well).and_then(|line| unnamed(scene, pod, (log, text), line));
        calls.extend(unnamed);
    }
    calls
}

/// The call behind a line that tells of a failed connection and of nobody: what a line near it names, at whatever level, or
/// the one place of that kind that the Pod is told to call.
fn unnamed<'a>(scene: &Scene<'a>, pod: &Pod, (log, text): (&'a SeenLog, &'a str), line: &'a str) -> Option<Call<'a>> {
    if !tells_of_no_connection(line) || ended_otherwise(pod) {
        return None;
    }
    if let Some((line, hosts)) = named_beside(text) {
        return Some(Call { line, log, failure: failure(line)?, hosts });
    }
    let hosts = callees::fitting(scene.facts, pod, line);
    // What a Secret tells it may be meant as well.
    (hosts.len() == 1 && !callees::is_told_by_secret(pod)).then_some(Call { line, log, failure: failure(line)?, hosts })
}

/// Whether memory ended a Pod's process: then it did not give up over what its log complains of last.
#[must_use]
pub fn ended_otherwise(pod: &Pod) -> bool {
    pods::containers(pod).iter().any(memory::ran_out)
}

/// The last line of a text, of whatever level, that tells of a failed connection to a host it names, and its hosts.
#[must_use]
pub fn named_beside(text: &str) -> Option<(&str, Vec<String>)> {
    let told = text.lines().rev().filter(|line| tells_of_no_connection(line) && !logs::instructs(line));
    told.map(|line| (line, hosts(line))).find(|(_, hosts)| !hosts.is_empty())
}

/// Whether a log complains of failed connections, and nowhere says to whom.
#[must_use]
pub fn names_nobody(text: &str) -> bool {
    text.lines().any(|line| logs::is_error(line) && tells_of_no_connection(line)) && named_beside(text).is_none()
}

/// Whether a line tells of a call that failed.
#[must_use]
pub fn tells_of_failure(line: &str) -> bool {
    logs::is_error(line) && failure(line).is_some()
}

/// The Service a call was meant for, when one of its hosts names one.
#[must_use]
pub fn service_of<'s>(scene: &'s Scene<'_>, caller: &Pod, call: &Call<'_>) -> Option<&'s Seen<Service>> {
    call.hosts.iter().find_map(|host| service_at(scene, caller, host))
}

/// The Service that a host means to a Pod: by its name, by that of a Pod it governs, or by its address.
#[must_use]
pub fn service_at<'s>(scene: &'s Scene<'_>, caller: &Pod, host: &str) -> Option<&'s Seen<Service>> {
    let namespace = caller.metadata.namespace.as_deref().unwrap_or_default();
    let mut labels = host.split('.');
    let (name, rest): (&str, Vec<&str>) = (labels.next()?, labels.collect());
    let by_name = match rest.as_slice() {
        [] => scene.service(namespace, name),
        [other] | [other, "svc", ..] => scene.service(other, name),
        _ => None,
    };
    let by_name = by_name.or_else(|| governing(scene, namespace, name, &rest));
    let found = by_name.or_else(|| scene.services.iter().find(|service| has_address(&service.object, host)))?;
    // What is only another name for a Service stands for that.
    let other = alias::name(&found.object).and_then(alias::target);
    Some(other.and_then(|other| scene.service(&other.namespace, &other.name)).unwrap_or(found))
}

/// The Service that governs the Pod a host means: `db-0.db`, `db-0.db.data`, `db-0.db.data.svc.cluster.local`.
fn governing<'s>(scene: &'s Scene<'_>, namespace: &str, pod: &str, rest: &[&str]) -> Option<&'s Seen<Service>> {
    let (service, namespace) = match rest {
        [service] => (service, namespace),
        [service, other] | [service, other, "svc", ..] => (service, *other),
        _ => return None,
    };
    is_ordinal(pod).then(|| scene.service(namespace, service))?
}

/// Whether a name is that of a StatefulSet's Pod, which ends in its number.
#[must_use]
pub fn is_ordinal(pod: &str) -> bool {
    let number = pod.rsplit_once('-').map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.chars().all(|digit| digit.is_ascii_digit()))
}

/// The Pod a call was meant for by its own address, as behind a Service without one.
#[must_use]
pub fn pod_of<'s>(scene: &'s Scene<'_>, caller: &Pod, call: &Call<'_>) -> Option<&'s Seen<Pod>> {
    let address = |pod: &Pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone());
    let own = address(caller);
    call.hosts.iter().filter(|host| own.as_ref() != Some(host)).find_map(|host| {
        // A Pod that shares its Node's address is not known by it.
        let at = |pod: &&Seen<Pod>| {
            address(&pod.object).as_ref() == Some(host)
                && pod.object.spec.as_ref().is_none_or(|spec| spec.host_network != Some(true))
        };
        scene.pods.iter().find(at)
    })
}

/// The port a call names behind one of its hosts, for example 8081 in `http://web:8081/`.
#[must_use]
pub fn port_of(call: &Call<'_>) -> Option<i32> {
    let line = call.line.to_ascii_lowercase();
    let beside = call.hosts.iter().find_map(|host| {
        line.match_indices(host.as_str()).find_map(|(at, _)| {
            let rest = line[at + host.len()..].trim_start_matches('`').strip_prefix(':')?.trim_start_matches('`');
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok().filter(|port| (1..=65_535).contains(port))
        })
    });
    beside.or_else(|| PORT.group(&line, 1)?.parse().ok().filter(|port| (1..=65_535).contains(port)))
}

/// The Service a name means that did not resolve, when it can only mean one inside the cluster: of two labels the second
/// may be a Namespace there is, or the end of any name in the world.
#[must_use]
pub fn unresolved_service(caller: &Pod, line: &str, is_namespace: impl Fn(&str) -> bool) -> Option<ObjectRef> {
    if is_of_other_names(line) {
        return None;
    }
    let named = NAME.group(line, 1).map(|host| host.to_ascii_lowercase()).filter(|host| !is_word(host));
    let host = named.or_else(|| hosts(line).into_iter().find(|host| !is_address(host)))?;
    if awaited::is_mere_word(caller, line, &host) {
        return None;
    }
    service_meant(caller, &host, is_namespace)
}

/// The Service that a host means to a Pod, when it can only mean one inside the cluster. The host of a StatefulSet's Pod means
/// the Service that governs it.
#[must_use]
pub fn service_meant(caller: &Pod, host: &str, is_namespace: impl Fn(&str) -> bool) -> Option<ObjectRef> {
    let labels: Vec<&str> = host.split('.').collect();
    let valid = |label: &&str| label.len() <= 63 && label.starts_with(|c: char| c.is_ascii_lowercase());
    if is_word(host) || is_local(host) || !labels.iter().all(valid) {
        return None;
    }
    let own = || caller.metadata.namespace.clone().unwrap_or_default();
    match labels.as_slice() {
        [name] => Some(ObjectRef::new("Service", own(), *name)),
        [name, namespace, "svc", ..] => Some(ObjectRef::new("Service", *namespace, *name)),
        [name, namespace] if is_namespace(namespace) => Some(ObjectRef::new("Service", *namespace, *name)),
        [pod, name, namespace, "svc", ..] if is_ordinal(pod) => Some(ObjectRef::new("Service", *namespace, *name)),
        [pod, name, namespace] if is_ordinal(pod) && is_namespace(namespace) => {
            Some(ObjectRef::new("Service", *namespace, *name))
        }
        _ => None,
    }
}

/// Whether the resolver itself gave no answer, which is another fault than a name it does not know.
#[must_use]
pub fn resolver_is_silent(call: &Call<'_>) -> bool {
    let in_vain = || TIMEOUT.hits(call.line) || REFUSED.hits(call.line);
    call.failure == Failure::Unresolved && (SILENT.hits(call.line) || (in_vain() && !UNKNOWN.hits(call.line)))
}

/// Whether a Pod makes the network of its Node: Service addresses, or the Pods' own.
#[must_use]
pub fn is_network(pod: &ObjectRef) -> bool {
    const AGENTS: [&str; 9] = [
        "kube-proxy",
        "cilium",
        "calico-node",
        "kube-flannel",
        "canal",
        "weave-net",
        "aws-node",
        "terway",
        "antrea-agent",
    ];
    pod.kind == "Pod" && AGENTS.iter().any(|name| pod.name.starts_with(name))
}

/// Whether a Pod answers for the cluster's DNS: CoreDNS, or the cache that runs on each Node (`node-local-dns`).
#[must_use]
pub fn is_dns(pod: &ObjectRef) -> bool {
    pod.kind == "Pod"
        && pod.namespace == "kube-system"
        && ["coredns", "kube-dns", "node-local-dns", "nodelocaldns"].iter().any(|name| pod.name.starts_with(name))
}

/// The cluster's DNS Service, where it was read.
#[must_use]
pub fn dns_service<'s>(scene: &'s Scene<'_>) -> Option<&'s Seen<Service>> {
    ["kube-dns", "coredns"].iter().find_map(|name| scene.service("kube-system", name))
}

fn has_address(service: &Service, host: &str) -> bool {
    let Some(spec) = &service.spec else { return false };
    let addresses = spec.cluster_ips.iter().flatten().chain(spec.cluster_ip.as_ref());
    addresses.chain(spec.external_ips.iter().flatten()).any(|address| address == host && address != "None")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_in_the_usual_error_sentences() {
        let first = |line: &str| hosts(line).into_iter().next();
        assert_eq!(
            first("ERROR GET http://feature-store/v1: dial tcp 10.96.71.20:80: i/o timeout").as_deref(),
            Some("feature-store")
        );
        assert_eq!(first("dial tcp: lookup pg-main on 10.96.0.10:53: no such host").as_deref(), Some("pg-main"));
        assert!(
            hosts("getaddrinfo ENOTFOUND redis.cache.svc.cluster.local")
                .contains(&"redis.cache.svc.cluster.local".into())
        );
        assert!(hosts("could not translate host name \"db\" to address").contains(&"db".into()));
        assert!(hosts("connect ECONNREFUSED 10.96.3.4:6379").contains(&"10.96.3.4".into()));
        assert!(hosts("postgres://app@orders-db:5432/orders: connection refused").contains(&"orders-db".into()));
    }

    #[test]
    fn a_service_is_known_by_its_full_name_and_its_port_may_stand_apart() {
        let line = "ERROR Server check fail, please check server nacos.middleware.svc.cluster.local ,port 9848 is available , error ={}";
        assert_eq!(hosts(line), ["nacos.middleware.svc.cluster.local"]);
        assert_eq!(failure(line), Some(Failure::Refused));
    }

    #[test]
    fn what_is_resolved_and_no_host_is_none() {
        let placeholder = "IllegalArgumentException: Could not resolve placeholder 'mq.topic.refund' in value";
        assert!(hosts(placeholder).is_empty());
        assert_eq!(unresolved_service(&Pod::default(), placeholder, |_| true), None);
    }

    #[test]
    fn the_time_of_a_line_is_no_host() {
        for time in ["2026-11-24T09:20:00Z", "2026-11-24 09:20:00", "09:20:00", "[09:20:00]"] {
            let line =
                format!("{time} ERROR GET http://web/v1: dial tcp 10.96.161.126:80: connect: connection refused");
            assert_eq!(hosts(&line), ["web", "10.96.161.126"], "{time}");
        }
        assert_eq!(hosts("09:20:00 dial tcp 10.0.0.7:80: connection refused"), ["10.0.0.7"]);
        let caller = r#"{"level":"error","caller":"producer/kafka.go:91","error":"dial tcp 10.96.238.28:9092: connect: connection refused"}"#;
        assert_eq!(hosts(caller), ["10.96.238.28"]);
    }

    #[test]
    fn only_names_inside_the_cluster_mean_a_service() {
        let caller: Pod = serde_json::from_value(serde_json::json!({"metadata": {"name": "p", "namespace": "shop"}}))
            .unwrap_or_default();
        let meant = |line: &str| unresolved_service(&caller, line, |name| name == "cache");
        assert_eq!(
            meant("lookup pg-main on 10.96.0.10:53: no such host"),
            Some(ObjectRef::new("Service", "shop", "pg-main"))
        );
        assert_eq!(
            meant("getaddrinfo ENOTFOUND redis.cache.svc.cluster.local"),
            Some(ObjectRef::new("Service", "cache", "redis"))
        );
        assert_eq!(meant("lookup api.example.com: no such host"), None, "a name outside the cluster");
        assert_eq!(meant("lookup redis.cache: no such host"), Some(ObjectRef::new("Service", "cache", "redis")));
        assert_eq!(meant("lookup example.com: no such host"), None);
        assert_eq!(meant("dial tcp: no such host"), None);
        assert_eq!(meant("nslookup: can't resolve 'orders-db'"), Some(ObjectRef::new("Service", "shop", "orders-db")));
        for line in [
            "Caused by: java.net.UnknownHostException: orders-db",
            "java.net.UnknownHostException: Failed to resolve 'orders-db' [A(1)]",
            "(2005, \"Unknown MySQL server host 'orders-db' (-2)\")",
            "[emerg] host not found in upstream \"orders-db\" in /etc/nginx/conf.d/a.conf:3",
            "php_network_getaddresses: getaddrinfo for orders-db failed: Name or service not known",
            "Could not connect to Redis at orders-db:6379: Name or service not known",
        ] {
            assert_eq!(meant(line), Some(ObjectRef::new("Service", "shop", "orders-db")), "{line}");
            assert!(failure(line) == Some(Failure::Unresolved) && !hosts(line).is_empty(), "{line}");
        }
        assert_eq!(meant("nc: bad address 'orders-db'"), Some(ObjectRef::new("Service", "shop", "orders-db")));
        assert_eq!(
            meant("** server can't find orders-db.shop.svc.cluster.local: NXDOMAIN"),
            Some(ObjectRef::new("Service", "shop", "orders-db"))
        );
    }

    #[test]
    fn the_host_of_a_stateful_sets_pod_ends_in_its_number() {
        assert!(is_ordinal("db-0") && is_ordinal("redis-ha-12"));
        assert!(!is_ordinal("db") && !is_ordinal("db-main") && !is_ordinal("db-") && !is_ordinal("db-0a"));
    }
}
