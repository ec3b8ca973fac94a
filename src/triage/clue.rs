//! Clues: what warnings and log lines ask to be read. Their words are only ever compared with names the API server listed.

use k8s_openapi::api::core::v1::Pod;

use super::call_clue;
use super::follow::SYSTEM;
use super::log_clue;
use super::rows::{self, cell, listed};
use super::seen::Seen;
use super::want::{Want, kind_info};
use crate::alert::ObjectRef;
use crate::playbook::analyzer::{access, broker, crash, creation, credentials, pool, redis, retained, search_disk};
use crate::playbook::callees;
use crate::playbook::environment::naming;
use crate::playbook::facts::SeenEvent;
use crate::playbook::{protocol, reach, relay, upstream};

/// Words of a warning (or its reason) and the kind of object that explains it.
const HINTS: &[(&str, &str)] = &[
    ("exceeded quota", "ResourceQuota"),
    ("failed quota", "ResourceQuota"),
    ("limitrange", "LimitRange"),
    ("per container is", "LimitRange"),
    ("per pod is", "LimitRange"),
    ("per persistentvolumeclaim is", "LimitRange"),
    ("failed calling webhook", "ValidatingWebhookConfiguration"),
    ("failed calling webhook", "MutatingWebhookConfiguration"),
    ("denied the request", "ValidatingWebhookConfiguration"),
    ("serviceaccount", "ServiceAccount"),
    ("configmap", "ConfigMap"),
    ("FailedScheduling", "Node"),
];

/// A claim without a volume ends scheduling before any Node is looked at: six reads that would say nothing.
const UNBOUND: &str = "unbound immediate persistentvolumeclaims";

/// Words of a log that make the namespace's Services and policies interesting.
pub(super) const NETWORK_WORDS: &[&str] = &[
    "timeout",
    "timed out",
    "connection refused",
    "no route to host",
    "connection reset",
    "no such host",
    "unreachable",
    "econnrefused",
    "econnreset",
    "etimedout",
    "enotfound",
    "unknownhost",
    "name or service not known",
    "could not translate host",
    "could not resolve",
    "can't resolve",
    "can't find",
    "bad address",
    "nxdomain",
    "waiting for",
    "waiting on",
    "rpc error: code =",
    "server check fail",
    "502",
    "503",
    "504",
];

/// Words of a log line that say the resolver itself gave no answer.
const DNS_WORDS: &[&str] = &["server misbehaving", "eai_again", "temporary failure in name resolution"];

/// Services of other namespaces followed from one log.
pub(super) const SERVICES_ELSEWHERE: usize = 2;

/// Pods read to find the one that took another's place.
const PREEMPTORS_READ: usize = 2;

/// Namespaces in which a log's refusals are looked into.
const REFUSED_IN: usize = 2;

/// The names clusters give their DNS Service.
const DNS_SERVICES: [&str; 2] = ["kube-dns", "coredns"];

/// What warnings about relevant objects ask for: the rule that refused, the nodes that did not fit.
#[must_use]
pub fn from_events(seen: &Seen) -> Vec<Want> {
    let mut wants = preemptors(seen);
    for object in &seen.relevant {
        for event in seen.facts.events_about(object).filter(|event| event.kind == "Warning") {
            let message = event.message.to_ascii_lowercase();
            if message.contains("is being terminated") {
                wants.push(Want::Object(ObjectRef::new("Namespace", "", object.namespace.as_str())));
            }
            if let Some(claim) = creation::leaving_claim(&event.message) {
                wants.push(Want::Object(ObjectRef::new("PersistentVolumeClaim", object.namespace.as_str(), claim)));
            }
            wants.extend(creation::untrusted_service(&event.message).map(Want::Object));
            wants.extend(key_missed(seen, &message, &object.namespace));
            wants.extend(mounted_key_missed(seen, object, &message));
            for (words, kind) in HINTS {
                let asks = message.contains(words) || event.reason == *words;
                if asks && !(*kind == "Node" && message.contains(UNBOUND)) {
                    wants.extend(Want::list(kind, &object.namespace));
                    let namespaced = kind_info(kind).is_some_and(|(.., namespaced)| namespaced);
                    wants.extend(listed(seen, kind, if namespaced { &object.namespace } else { "" }));
                }
            }
        }
    }
    wants
}

/// The Pods of other namespaces that came last to a Node on which a Pod was preempted: the scheduler names the one that took
/// its place by a uid alone.
fn preemptors(seen: &Seen) -> Vec<Want> {
    let of_relevant = |event: &&SeenEvent| {
        let owns = |object: &ObjectRef| {
            object.namespace == event.about.namespace && event.about.name.starts_with(&object.name)
        };
        event.reason == "Preempted" && seen.relevant.iter().any(owns)
    };
    let Some(event) = seen.facts.events().iter().find(of_relevant) else { return Vec::new() };
    let Some((_, node)) = event.message.rsplit_once(" on node ") else { return Vec::new() };
    let on_it = rows::matching(seen, "Pod", "", |row, cells| {
        cell(cells, "NODE") == node && row.namespace != event.about.namespace
    });
    let youngest = rows::youngest(seen, on_it).into_iter().take(PREEMPTORS_READ);
    std::iter::once(Want::PodsOn { node: node.to_owned() }).chain(youngest.map(Want::Object)).collect()
}

/// The ConfigMap that the kubelet read and did not find a key in: its other keys may hold the one that is meant.
fn key_missed(seen: &Seen, message: &str, namespace: &str) -> Option<Want> {
    let (_, named) = message.split_once("couldn't find key ")?.1.split_once(" in configmap ")?;
    let name = named.strip_prefix(namespace)?.strip_prefix('/')?;
    let name = name.split(|char: char| !(char.is_ascii_alphanumeric() || "-.".contains(char))).next()?;
    let map = ObjectRef::new("ConfigMap", namespace, name.trim_end_matches('.'));
    seen.rows.contains_key(&map).then_some(Want::Object(map))
}

/// The same of a ConfigMap that is mounted: the kubelet names the Pod's volume, and the Pod what is behind that.
fn mounted_key_missed(seen: &Seen, pod: &ObjectRef, message: &str) -> Option<Want> {
    let (head, _) = message.split_once("references non-existent config key")?;
    let volume = head.split_once("for volume \"")?.1.split_once('"')?.0;
    let pod: Pod = seen.facts.get(&pod.namespace, &pod.name).filter(|_| pod.kind == "Pod")?.object;
    let volumes = pod.spec?.volumes?;
    let source = volumes.into_iter().find(|known| known.name == volume)?.config_map?;
    Some(Want::Object(ObjectRef::new("ConfigMap", pod.metadata.namespace?, source.name)))
}

/// Who may do what where a Pod's account was refused: in the Namespace that the API server names, in its own where it names none.
fn refused(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let mut namespaces: Vec<String> = access::namespaces(lines).collect();
    namespaces.sort();
    namespaces.dedup();
    namespaces.truncate(REFUSED_IN);
    if namespaces.is_empty() {
        namespaces.push(pod.namespace.clone());
    }
    let kinds = ["RoleBinding", "Role"];
    let lists = namespaces.iter().flat_map(|namespace| kinds.map(|kind| Want::list(kind, namespace))).flatten();
    let rows = namespaces.iter().flat_map(|namespace| kinds.map(|kind| listed(seen, kind, namespace))).flatten();
    lists.chain(rows).collect()
}

/// What logs of relevant pods ask for: a network error makes the namespace's Services and policies interesting, a Service the
/// log names is followed, a resolver without an answer leads to the cluster's DNS, a refused call to who may do what.
#[must_use]
pub fn from_logs(seen: &Seen) -> Vec<Want> {
    let mut wants = Vec::new();
    for pod in seen.relevant.iter().filter(|object| object.kind == "Pod") {
        for lines in seen.facts.logs_of(&pod.namespace, &pod.name).filter_map(|log| log.lines.as_ref().ok()) {
            let lower = lines.to_ascii_lowercase();
            wants.extend(log_clue::wants(seen, pod, lines));
            if lower.contains("forbidden: user") {
                wants.extend(refused(seen, pod, lines));
            }
            if lower.lines().any(resolver_is_silent) {
                wants.extend(DNS_SERVICES.map(|name| Want::Object(ObjectRef::new("Service", SYSTEM, name))));
                let helps =
                    |other: &ObjectRef| reach::is_dns(other) || (reach::is_network(other) && beside(seen, other, pod));
                let unwell = rows::unwell(seen, "Pod", SYSTEM).into_iter().filter(helps);
                wants.extend(unwell.take(SERVICES_ELSEWHERE).map(Want::Object));
                wants.extend(labels_asked(seen, SYSTEM));
            } else if !asks(lines, &lower) && !answers_errors(lines) {
                continue;
            }
            wants.extend(Want::list("Service", &pod.namespace));
            wants.extend(Want::list("NetworkPolicy", &pod.namespace));
            wants.extend(listed(seen, "NetworkPolicy", &pod.namespace));
            let services = seen.rows.keys().filter(|row| row.kind == "Service" && row.namespace == pod.namespace);
            let told = (passes_on(lines) || reach::names_nobody(lines))
                .then(|| seen.facts.get::<Pod>(&pod.namespace, &pod.name))
                .flatten();
            let mut hosts = told.as_ref().map(|pod| callees::hosts(&seen.facts, &pod.object)).unwrap_or_default();
            hosts.extend(upstreams(seen, pod, lines));
            let told_of = |row: &ObjectRef| {
                told.as_ref().is_some_and(|pod| naming(&pod.object, &row.name).is_some())
                    || hosts.iter().any(|host| callees::means(host, (&row.namespace, &row.name), &pod.namespace))
            };
            let services = services
                .filter(|row| contains_word(lines, &row.name) || names_address(seen, row, lines) || told_of(row));
            wants.extend(services.map(|row| Want::Object(row.clone())));
            wants.extend(call_clue::wants(seen, pod, lines));
            wants.extend(labels_asked(seen, &pod.namespace));
        }
    }
    wants
}

/// Whether a log passes on a server's own trouble, without naming the server: whom the Pod calls stands in its variables.
pub(super) fn passes_on(lines: &str) -> bool {
    let tells = |line: &str| {
        relay::tells_of_trouble(line)
            || redis::replies(line)
            || credentials::tells(line)
            || broker::tells_of_block(line)
            || search_disk::tells_of_flood(line)
            || protocol::asks(line)
            || pool::tells(line)
            || retained::tells(line)
            || crash::tells_of_expiry(line)
    };
    lines.lines().any(tells)
}

/// The Namespace of a side of a call, where a policy asks for a Namespace's labels: without them nobody can say whom it lets
/// in or out to.
pub(super) fn labels_asked(seen: &Seen, namespace: &str) -> Option<Want> {
    let asks = |policy: &serde_json::Value| policy.to_string().contains("namespaceSelector");
    let asked = seen.facts.raw_all("NetworkPolicy").any(|(_, policy, _)| asks(policy));
    asked.then(|| Want::Object(ObjectRef::new("Namespace", "", namespace)))
}

/// Whether a log makes the Services around its Pod interesting.
fn asks(lines: &str, lower: &str) -> bool {
    NETWORK_WORDS.iter().any(|words| lower.contains(words))
        || passes_on(lines)
        || is_linked(lower)
        || lines.lines().any(reach::tells_of_failure)
}

/// Whether a proxy's access log tells of requests that whoever stands behind it answered with errors.
fn answers_errors(lines: &str) -> bool {
    lines.lines().any(|line| upstream::failed(line).is_some_and(|failed| failed.upstream.is_some()))
}

/// Who answered a proxy's requests with errors, by the names its configuration has for them.
fn upstreams(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<String> {
    let read = seen.facts.get::<Pod>(&pod.namespace, &pod.name);
    read.map(|read| upstream::hosts(&seen.facts, &read.object, lines)).unwrap_or_default()
}

/// Whether two Pods run on one Node.
fn beside(seen: &Seen, pod: &ObjectRef, other: &ObjectRef) -> bool {
    let node = |pod: &ObjectRef| {
        seen.rows.get(pod).map(|cells| cell(cells, "NODE").to_owned()).filter(|node| !node.is_empty())
    };
    node(pod).is_some() && node(pod) == node(other)
}

/// Whether a log may complain of a variable that a Service brought: its value is that Service's address.
fn is_linked(lines: &str) -> bool {
    (lines.contains("_port") && lines.contains("tcp://")) || lines.contains("port is deprecated. please use kafka_")
}

fn resolver_is_silent(line: &str) -> bool {
    let asked_in_vain =
        line.contains("lookup ") && line.contains(":53") && (line.contains("timeout") || line.contains("refused"));
    asked_in_vain || DNS_WORDS.iter().any(|words| line.contains(words))
}

/// Whether a log names a Service by its address, as "connect ECONNREFUSED 10.96.3.4:6379" does.
fn names_address(seen: &Seen, service: &ObjectRef, lines: &str) -> bool {
    let address = seen.rows.get(service).map(|cells| cell(cells, "CLUSTER-IP")).unwrap_or_default();
    address.contains(['.', ':']) && contains_word(lines, address)
}

pub(super) fn contains_word(text: &str, word: &str) -> bool {
    let part = |char: char| char.is_ascii_alphanumeric() || char == '-';
    text.match_indices(word).any(|(at, _)| {
        !text[..at].chars().next_back().is_some_and(part) && !text[at + word.len()..].chars().next().is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn logged(text: &str) -> Vec<Want> {
        let pod = ObjectRef::new("Pod", "a", "web-0");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&pod));
        seen.heard(&pod, text);
        from_logs(&seen)
    }

    #[test]
    fn a_silent_resolver_leads_to_the_clusters_dns_and_an_unknown_name_does_not() {
        let dns = Want::Object(ObjectRef::new("Service", "kube-system", "kube-dns"));
        assert!(
            logged("ERROR lookup db on 10.96.0.10:53: read udp 10.0.0.1:9->10.96.0.10:53: i/o timeout").contains(&dns)
        );
        assert!(!logged("ERROR lookup db on 10.96.0.10:53: no such host").contains(&dns));
        assert!(logged("INFO all is well").is_empty());
    }

    #[test]
    fn a_call_into_another_namespace_leads_to_its_service() {
        let wants = logged("ERROR dial tcp: http://db.data.svc.cluster.local:5432: i/o timeout");
        assert!(wants.contains(&Want::Object(ObjectRef::new("Service", "data", "db"))), "{wants:?}");
        let calm = logged("INFO connected to db.data.svc\nERROR http://web/: i/o timeout");
        assert!(!calm.contains(&Want::Object(ObjectRef::new("Service", "data", "db"))), "only failing calls");
    }

    #[test]
    fn a_short_name_of_another_namespace_is_tried_and_an_address_or_a_file_is_not() {
        let service = |namespace: &str, name: &str| Want::Object(ObjectRef::new("Service", namespace, name));
        let wants = logged("ERROR Put \"http://vault.platform:8200/v1\": dial tcp 10.96.1.1:8200: connection refused");
        assert!(wants.contains(&service("platform", "vault")), "{wants:?}");
        let wants =
            logged("ERROR main.go:12: GET https://github.com:443/x: dial tcp 10.96.1.1:8200: i/o timeout, see a.b:3");
        assert!(!wants.iter().any(|want| matches!(want, Want::Object(it) if it.kind == "Service")), "{wants:?}");
    }

    /// What a log line of a Pod with such variables asks for.
    fn told(env: serde_json::Value, line: &str) -> Vec<Want> {
        let pod = ObjectRef::new("Pod", "a", "web-0");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&pod));
        let object = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "a"},
            "spec": {"containers": [{"name": "web", "env": env}]}});
        seen.facts.add_object(object, "E1");
        seen.rows.insert(ObjectRef::new("Service", "a", "db"), Default::default());
        seen.rows.insert(ObjectRef::new("Service", "a", "other"), Default::default());
        seen.heard(&pod, line);
        from_logs(&seen)
    }

    #[test]
    fn a_servers_trouble_that_is_passed_on_leads_to_the_services_of_the_pods_variables() {
        let read = |line: &str| told(serde_json::json!([{"name": "PGHOST", "value": "db"}]), line);
        let service = |name: &str| Want::Object(ObjectRef::new("Service", "a", name));
        let wants = read("ERROR pq: sorry, too many clients already");
        assert!(wants.contains(&service("db")) && !wants.contains(&service("other")), "{wants:?}");
        assert!(read("ERROR pq: relation \"cart\" does not exist").is_empty());
    }

    #[test]
    fn a_server_that_hangs_up_and_a_port_of_another_protocol_lead_to_their_service() {
        let read = |line: &str| told(serde_json::json!([]), line);
        let db = Want::Object(ObjectRef::new("Service", "a", "db"));
        assert!(read("WARN Bootstrap broker db:9094 (id: -1 rack: null) disconnected").contains(&db));
        assert!(read("ERROR Get \"https://db:80/\": http: server gave HTTP response to HTTPS client").contains(&db));
        assert!(!read("INFO Node 2 disconnected from db").contains(&db));
    }

    #[test]
    fn a_call_that_names_an_address_alone_leads_to_the_services_of_the_pods_variables() {
        let env = serde_json::json!([{"name": "CACHE", "value": "redis://cache.platform.svc.cluster.local:6379/0"},
            {"name": "PAGE", "value": "https://example.com"}]);
        let cache = Want::Object(ObjectRef::new("Service", "platform", "cache"));
        let leads = |line: &str| told(env.clone(), line).contains(&cache);
        assert!(leads("Error: connect ECONNREFUSED 10.96.251.147:6379"));
        assert!(leads("ERROR FATAL: sorry, too many clients already"));
        assert!(!leads("ERROR dial tcp: lookup search: i/o timeout"), "it names another");
        assert!(told(env.clone(), "INFO ready").is_empty());
    }

    #[test]
    fn an_expired_certificate_of_a_service_leads_to_the_certificates_beside_it() {
        let wants =
            logged("ERROR Post \"https://ledger.pay.svc:8443/v1\": x509: certificate has expired or is not yet valid");
        assert!(wants.contains(&Want::List { kind: "Certificate", namespace: "pay".into() }), "{wants:?}");
        let outside = logged("ERROR Post \"https://api.example.com/v1\": x509: certificate has expired");
        assert!(!outside.iter().any(|want| matches!(want, Want::List { kind: "Certificate", .. })));
    }

    #[test]
    fn a_refused_account_leads_to_its_bindings() {
        let wants = logged("pods is forbidden: User \"system:serviceaccount:a:web\" cannot list resource \"pods\"");
        let bindings = |namespace: &str| Want::List { kind: "RoleBinding", namespace: namespace.into() };
        assert!(wants.contains(&bindings("a")), "{wants:?}");
        let elsewhere = logged(
            r#"pods is forbidden: User "system:serviceaccount:a:web" cannot list resource "pods" in API group "" in the namespace "data""#,
        );
        assert!(elsewhere.contains(&bindings("data")) && !elsewhere.contains(&bindings("a")), "{elsewhere:?}");
    }

    #[test]
    fn nodes_are_listed_for_what_does_not_fit_and_not_for_a_claim_without_a_volume() {
        let listed = |message: &str| {
            let pod = ObjectRef::new("Pod", "a", "web-0");
            let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&pod));
            seen.facts.add_event(SeenEvent {
                about: pod,
                kind: "Warning".into(),
                reason: "FailedScheduling".into(),
                message: message.into(),
                count: 1,
                last_seen: None,
                reference: "E1".into(),
            });
            from_events(&seen).iter().any(|want| matches!(want, Want::List { kind: "Node", .. }))
        };
        assert!(listed("0/5 nodes are available: 5 Insufficient cpu."));
        assert!(!listed("0/5 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"));
    }

    #[test]
    fn who_took_a_preempted_pods_place_is_looked_for_among_the_youngest_on_its_node() {
        let owner = ObjectRef::new("Deployment", "a", "web");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&owner));
        let row =
            |age: &str, node: &str| [("AGE", age), ("NODE", node)].map(|(key, cell)| (key.to_owned(), cell.to_owned()));
        for (namespace, name, age, node) in [
            ("b", "old", "9d", "n1"),
            ("b", "new", "2m", "n1"),
            ("b", "next", "5m", "n1"),
            ("a", "web-1-b", "1m", "n1"),
            ("b", "far", "1m", "n2"),
        ] {
            seen.rows.insert(ObjectRef::new("Pod", namespace, name), row(age, node).into_iter().collect());
        }
        assert!(from_events(&seen).is_empty());
        seen.facts.add_event(SeenEvent {
            about: ObjectRef::new("Pod", "a", "web-1-gone"),
            kind: "Normal".into(),
            reason: "Preempted".into(),
            message: "Preempted by pod 5b1c on node n1".into(),
            count: 1,
            last_seen: None,
            reference: "E1".into(),
        });
        let pod = |name: &str| Want::Object(ObjectRef::new("Pod", "b", name));
        assert_eq!(from_events(&seen), [Want::PodsOn { node: "n1".into() }, pod("new"), pod("next")]);
    }

    #[test]
    fn only_the_config_map_that_lacks_a_key_is_read() {
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, &[]);
        for name in ["env", "env.v2", "other"] {
            seen.rows.insert(ObjectRef::new("ConfigMap", "a", name), Default::default());
        }
        let read = |message: &str| key_missed(&seen, &message.to_ascii_lowercase(), "a");
        let map = |name| Some(Want::Object(ObjectRef::new("ConfigMap", "a", name)));
        assert_eq!(read("Error: couldn't find key URL in ConfigMap a/env"), map("env"));
        assert_eq!(read("Error: couldn't find key URL in ConfigMap a/env.v2, and more"), map("env.v2"));
        assert_eq!(read("Error: couldn't find key URL in ConfigMap b/env"), None, "another namespace");
        assert_eq!(read("Error: couldn't find key URL in ConfigMap a/not-listed"), None);
        assert_eq!(read("Error: couldn't find key URL in Secret a/env"), None);
        assert_eq!(read("Error: configmap \"env\" not found"), None);
    }

    #[test]
    fn the_map_behind_the_volume_that_lacks_a_key_is_read() {
        let pod = ObjectRef::new("Pod", "a", "web-0");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&pod));
        let volumes =
            serde_json::json!([{"name": "conf", "configMap": {"name": "env"}}, {"name": "tmp", "emptyDir": {}}]);
        let object = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "a"},
            "spec": {"containers": [], "volumes": volumes}});
        seen.facts.add_object(object, "E1");
        let read = |volume: &str, words: &str| {
            mounted_key_missed(&seen, &pod, &format!("setup failed for volume \"{volume}\" : configmap {words}: url"))
        };
        let missed = "references non-existent config key";
        assert_eq!(read("conf", missed), Some(Want::Object(ObjectRef::new("ConfigMap", "a", "env"))));
        assert_eq!(read("tmp", missed), None);
        assert_eq!(read("conf", "is not registered"), None);
    }

    #[test]
    fn a_namespace_that_is_leaving_is_read() {
        let set = ObjectRef::new("ReplicaSet", "a", "web-1");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&set));
        seen.facts.add_event(SeenEvent {
            about: set,
            kind: "Warning".into(),
            reason: "FailedCreate".into(),
            message: "unable to create new content in namespace a because it is being terminated".into(),
            count: 1,
            last_seen: None,
            reference: "E1".into(),
        });
        assert_eq!(from_events(&seen), [Want::Object(ObjectRef::new("Namespace", "", "a"))]);
    }
}
