//! Reach: which Service a failing call in a log was meant for.

use std::cell::LazyCell;

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::alert::ObjectRef;
use crate::playbook::analyzer::{crash, job};
use crate::playbook::awaited;
use crate::playbook::environment;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::Scene;
use crate::playbook::tries;

/// How a call failed, as far as its log line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No answer in time: packets are dropped somewhere.
    Timeout,
    /// The other side refuses or resets the connection: nothing listens there.
    Refused,
    /// The name does not resolve.
    Unresolved,
    /// The other side answers with a server error: a status of HTTP, or one of gRPC.
    ServerError,
    /// An init container says that it still waits for the other side.
    Awaited,
    /// The other side's certificate has expired.
    Expired,
}

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

static TIMEOUT: Pattern = Pattern::new(
    r"(?i)i/o timeout|timed? ?out|deadline exceeded|etimedout|no route to host|unreachable|连接超时|请求超时|超时",
);
static REFUSED: Pattern = Pattern::new(
    r"(?i)connection refused|connection to \S+ refused|server check fail|econnrefused|connection reset|econnreset|拒绝连接|连接被拒|连接被重置",
);
static UNRESOLVED: Pattern = Pattern::new(
    r"(?i)no such host|enotfound|unknownhost|name or service not known|could not translate host|name resolution|nxdomain|server misbehaving|eai_again|could not resolve|can't resolve|can't find|bad address|getaddrinfo|lookup \S+ on \S+:53: .*(?:timeout|refused)|(?:域名|主机名?)解析失败|无法解析(?:主机|域名)|unknown (?:mysql server )?host\b|host not found|dns resolution failed|couldn't resolve server|failed to resolve '|dnsnameresolvertimeout|resolving timed out",
);
static SERVER_ERROR: Pattern = Pattern::new(r"(?i)\b(50[0234])\b|bad gateway|service unavailable|gateway time");
/// How gRPC clients print a status that the server itself gave (<https://grpc.io/docs/guides/status-codes/>), and how
/// callers say in words what the other side answered with: "pricing returned 503", "上游 pricing 返回 503".
static STATUS: Pattern = Pattern::new(
    r"(?i)\bcode ?= ?(?:unimplemented|internal|unknown|unavailable|aborted|dataloss|resourceexhausted)\b|\b(?:returned|responded(?: with)?|answered(?: with)?|replied(?: with)?)(?: http| status(?: code)?)? ?5\d\d\b|(?:返回|响应|状态码)[ :：]*5\d\d",
);
static AWAITED: Pattern =
    Pattern::new(r"(?i)\b(?:still )?waiting (?:for|on)\b|\bis (?:not ready|unavailable)\b.*\b(?:sleep|wait|retry)");
static SILENT: Pattern = Pattern::new(r"(?i)server misbehaving|eai_again|temporary failure in name resolution");
/// A host stands in a URL, before a port, or after a word that announces it.
static HOST: Pattern = Pattern::new(
    r#"(?i)://(?:[^/\s@"']*@)?([a-z0-9][a-z0-9.-]*[a-z0-9])|(?:^|["'\s=(@/])([a-z0-9][a-z0-9.-]*[a-z0-9]):\d{1,5}\b|\b(?:lookup|host name|host|enotfound|eai_again|resolve|can't find|bad address|connect to|(?:unknownhost)?exception:(?: failed to resolve)?|found in upstream|getaddrinfo for|server at)[:\s]+["']?([a-z0-9][a-z0-9.-]*[a-z0-9])"#,
);
/// A Service by its name inside the cluster, wherever it stands.
static INSIDE: Pattern = Pattern::new(r"(?i)\b([a-z][a-z0-9-]*\.[a-z][a-z0-9-]*\.svc(?:\.cluster\.local)?)\b");
/// A port that stands apart from its host.
static PORT: Pattern = Pattern::new(r"(?i)\bport[ :=]+(\d{1,5})\b");
/// The beginning of a time up to its hours, which a colon follows as it follows a host: `2026-11-23T02`, `02`.
static TIME: Pattern = Pattern::new(r"^(?:\d{4}-\d\d-\d\dt)?\d\d$");
/// The name a resolver did not find.
static NAME: Pattern = Pattern::new(
    r#"(?i)\b(?:lookup|enotfound|eai_again|host name|unknownhostexception:(?: failed to resolve)?|unknown mysql server host|not found in upstream|getaddrinfo for|can't find|bad address|resolve(?: host| server)?:?)\s+["']?([a-z0-9][a-z0-9.-]*[a-z0-9])"#,
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
    let logs = scene.logs(&crate::playbook::scene::named(pod), "").into_iter();
    logs.filter_map(|log| {
        let text = log.lines.as_deref().ok()?;
        match (well(log), log.previous) {
            (true, true) => None,
            (true, false) => Some((log, scene.present(log, text))),
            (false, _) => Some((log, text)),
        }
    })
    .collect()
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
        let tells = |line: &str| logs::is_error(line) || warns(line) || waits(line) || given_up(line);
        // What a later try made up for is no trouble of a container that is well.
        let is_well = views.iter().any(|view| view.name() == log.container && view.ready() && view.restarts() == 0);
        let made_up = if is_well { tries::made_up_for(text) } else { Vec::new() };
        let lines = text.lines().filter(|line| !logs::instructs(line) && tells(line));
        for line in lines.filter(|line| !made_up.contains(line)) {
            let Some(failure) = failure(line).or_else(|| waits(line).then_some(Failure::Awaited)) else { continue };
            let mut hosts = hosts(line);
            if hosts.is_empty() {
                hosts = environment::spoken_of(pod, line);
            }
            if !hosts.is_empty() && !calls.iter().any(|call| call.failure == failure && call.hosts == hosts) {
                calls.push(Call { line, log, failure, hosts });
            }
        }
    }
    calls
}

/// Whether a line tells of a call that failed.
#[must_use]
pub fn tells_of_failure(line: &str) -> bool {
    logs::is_error(line) && failure(line).is_some()
}

/// The Service a call was meant for, when one of its hosts names one.
#[must_use]
pub fn service_of<'s>(scene: &'s Scene<'_>, caller: &Pod, call: &Call<'_>) -> Option<&'s Seen<Service>> {
    let namespace = caller.metadata.namespace.as_deref().unwrap_or_default();
    call.hosts.iter().find_map(|host| {
        let mut labels = host.split('.');
        let (name, rest): (&str, Vec<&str>) = (labels.next()?, labels.collect());
        let by_name = match rest.as_slice() {
            [] => scene.service(namespace, name),
            [other] | [other, "svc", ..] => scene.service(other, name),
            _ => None,
        };
        let by_name = by_name.or_else(|| governing(scene, namespace, name, &rest));
        by_name.or_else(|| scene.services.iter().find(|service| has_address(&service.object, host)))
    })
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
            let rest = line[at + host.len()..].strip_prefix(':')?;
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
    let named = NAME.group(line, 1).map(|host| host.to_ascii_lowercase());
    let host = named.or_else(|| hosts(line).into_iter().find(|host| host.parse::<std::net::IpAddr>().is_err()))?;
    if NO_HOSTS.contains(&host.as_str()) {
        return None;
    }
    if awaited::is_only_said(line, &host) && !awaited::is_told(caller, &host) {
        return None;
    }
    let labels: Vec<&str> = host.split('.').collect();
    let valid = |label: &&str| label.len() <= 63 && label.starts_with(|c: char| c.is_ascii_lowercase());
    if !labels.iter().all(valid) {
        return None;
    }
    match labels.as_slice() {
        [name] => Some(ObjectRef::new("Service", caller.metadata.namespace.clone().unwrap_or_default(), *name)),
        [name, namespace, "svc", ..] => Some(ObjectRef::new("Service", *namespace, *name)),
        [name, namespace] if is_namespace(namespace) => Some(ObjectRef::new("Service", *namespace, *name)),
        _ => None,
    }
}

/// Whether the resolver itself gave no answer, which is another fault than a name it does not know.
#[must_use]
pub fn resolver_is_silent(call: &Call<'_>) -> bool {
    call.failure == Failure::Unresolved
        && (TIMEOUT.hits(call.line) || REFUSED.hits(call.line) || SILENT.hits(call.line))
}

/// Words after "could not resolve" that are no names of hosts: build tools and frameworks resolve other things.
const NO_HOSTS: [&str; 9] =
    ["placeholder", "all", "dependency", "dependencies", "module", "import", "reference", "the", "type"];

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

fn failure(line: &str) -> Option<Failure> {
    if UNRESOLVED.hits(line) {
        return Some(Failure::Unresolved);
    }
    if REFUSED.hits(line) {
        return Some(Failure::Refused);
    }
    if TIMEOUT.hits(line) {
        return Some(Failure::Timeout);
    }
    if crash::tells_of_expiry(line) {
        return Some(Failure::Expired);
    }
    (STATUS.hits(line) || (SERVER_ERROR.hits(line) && line.contains("://"))).then_some(Failure::ServerError)
}

/// Whether a word is the name of a source file, which loggers print with a line's number behind it.
#[must_use]
pub fn is_source_file(word: &str) -> bool {
    const ENDINGS: [&str; 14] =
        ["go", "py", "js", "ts", "rs", "rb", "php", "java", "kt", "cs", "cc", "cpp", "scala", "sh"];
    word.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending))
}

/// The hosts a line names: those of URLs first, then those with a port, then those a word announces.
#[must_use]
pub fn hosts(line: &str) -> Vec<String> {
    let mut hosts: Vec<(usize, String)> = Vec::new();
    for found in HOST.all(line) {
        let way = (1..=3).find_map(|group| Some((group, found.get(group)?.as_str().to_ascii_lowercase())));
        // The resolver that was asked is not the destination.
        let way =
            way.filter(|(_, host)| !line.contains(&format!("{host}:53:")) && !line.ends_with(&format!("{host}:53")));
        let way = way.filter(|(_, host)| !TIME.hits(host) && !NO_HOSTS.contains(&host.as_str()));
        // `kafka.go:91` is where a line was logged.
        let way = way.filter(|(group, host)| *group != 2 || !is_source_file(host));
        hosts.extend(way.filter(|(_, host)| !hosts.iter().any(|(_, known)| known == host)));
    }
    // What is awaited may be no host at all: it comes after those that surely are.
    hosts
        .extend(awaited::host(line).filter(|host| !hosts.iter().any(|(_, known)| known == host)).map(|host| (3, host)));
    if hosts.is_empty() {
        hosts
            .extend(INSIDE.all(line).iter().filter_map(|found| Some((1, found.get(1)?.as_str().to_ascii_lowercase()))));
    }
    hosts.sort_by_key(|(group, _)| *group);
    hosts.into_iter().map(|(_, host)| host).collect()
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

    #[test]
    fn ways_of_failing_are_told_apart() {
        assert_eq!(failure("dial tcp 10.0.0.1:80: i/o timeout"), Some(Failure::Timeout));
        assert_eq!(failure("dial tcp 10.0.0.1:80: connect: connection refused"), Some(Failure::Refused));
        assert_eq!(failure("lookup db: no such host"), Some(Failure::Unresolved));
        assert_eq!(failure("GET http://a/x returned 503"), Some(Failure::ServerError));
        assert_eq!(failure("key 503 not found"), None);
    }
}
