//! DNS that policies shut out: left out as a whole, by its port, by its protocol, or by the place where it runs.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer};

use super::{Port, Rule, Way, applies, denying_over, in_block, means_pod, peers, port_allowed};
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pattern::Pattern;
use crate::playbook::reach::{self, Call};
use crate::playbook::scene::{Scene, named};

/// The port of DNS: without it no name resolves.
const DNS: i32 = 53;
/// What resolvers ask over, as long as no answer is too long for it.
const UDP: &str = "UDP";

/// The resolver a line says was asked: `lookup web on 10.96.0.10:53`.
static ASKED: Pattern = Pattern::new(r"(?i)(?:\bon |->|\[/)\[?([0-9a-f.:]+?)\]?:53\b");
/// A question that was put over TCP after all.
static OVER_TCP: Pattern = Pattern::new(r"(?i)\b(?:read|write|dial) tcp \S*:53\b|\bvia tcp\b");

/// A question to the resolver: over what, and to whom, as far as that is known.
struct Question<'s> {
    protocol: &'static str,
    /// The cluster's DNS server, where it is the one that was asked and its Pods were read.
    server: Option<&'s Seen<Pod>>,
    /// The address that was asked.
    address: Option<String>,
}

/// The policy that keeps a Pod from the resolver that does not answer it.
pub(super) fn shut(
    scene: &Scene<'_>,
    policies: &[Seen<NetworkPolicy>],
    caller: &Seen<Pod>,
    call: &Call<'_>,
) -> Option<Finding> {
    let question = question(scene, call);
    let applying: Vec<&Seen<NetworkPolicy>> =
        policies.iter().filter(|policy| applies(&policy.object, Way::Out, &caller.object)).collect();
    let opens =
        |policy: &NetworkPolicy| peers(policy, Way::Out).iter().any(|rule| opens(scene, policy, rule, &question));
    if applying.is_empty() || applying.iter().any(|policy| opens(&policy.object)) {
        return let_in_nowhere(scene, policies, caller, call, &question);
    }
    let reasons = applying.iter().map(|policy| (why(scene, &policy.object, &question), *policy));
    // Of several, the one that speaks of DNS was meant to open it.
    let (why, policy) = reasons.max_by_key(|(why, policy)| (*why, !peers(&policy.object, Way::Out).is_empty()))?;
    Some(finding(scene, policy, caller, call, &words(scene, why, &question), why.is_told_by()))
}

/// Why a policy's rules do not cover the question, the nearer miss the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    LeftOut,
    OtherPlace,
    OtherProtocol,
}

impl Why {
    /// What of the policy shows it.
    fn is_told_by(self) -> &'static [&'static str] {
        match self {
            Self::LeftOut => &["- Egress"],
            Self::OtherPlace | Self::OtherProtocol => {
                &["port: 53 protocol: TCP", "port: 53 protocol: UDP", "port: 53", "- Egress"]
            }
        }
    }
}

fn why(scene: &Scene<'_>, policy: &NetworkPolicy, question: &Question<'_>) -> Why {
    let rules = peers(policy, Way::Out);
    let names_dns = |(_, ports): &Rule<'_>, protocol| {
        ports.is_some_and(|ports| !ports.is_empty()) && port_allowed(*ports, (Some(DNS), protocol), &Pod::default())
    };
    let other = if question.protocol == UDP { super::TCP } else { UDP };
    if rules.iter().any(|rule| leads_there(scene, policy, rule, question) && names_dns(rule, other)) {
        return Why::OtherProtocol;
    }
    if rules.iter().any(|rule| names_dns(rule, question.protocol)) { Why::OtherPlace } else { Why::LeftOut }
}

/// In Chinese and English, what the policy does to DNS.
fn words(scene: &Scene<'_>, why: Why, question: &Question<'_>) -> String {
    let protocol = question.protocol;
    let other = if protocol == UDP { super::TCP } else { UDP };
    let place = question.server.map(|server| named(&server.object).namespace).unwrap_or_default();
    match why {
        Why::LeftOut => scene.text("未放行 DNS（端口 53）", "does not allow DNS (port 53)"),
        Why::OtherPlace => scene.text(
            format!("放行的 DNS（端口 53）不包括集群 DNS 所在之处（{place}）"),
            format!("allows DNS (port 53) to others than the cluster's DNS servers (in {place})"),
        ),
        Why::OtherProtocol => scene.text(
            format!("只放行了 DNS 端口 53 的 {other}，未放行域名查询所用的 {protocol}"),
            format!("allows DNS (port 53) over {other} only and not over {protocol}, which names are asked for over"),
        ),
    }
}

fn question<'s>(scene: &'s Scene<'_>, call: &Call<'_>) -> Question<'s> {
    let address = ASKED.group(call.line, 1);
    let service = reach::dns_service(scene);
    let spec = service.and_then(|service| service.object.spec.as_ref());
    let own: Vec<&String> =
        spec.into_iter().flat_map(|it| it.cluster_ips.iter().flatten().chain(&it.cluster_ip)).collect();
    // A cache on the Node, or a resolver of the Pod's own, stands somewhere else.
    let is_asked = address.as_ref().is_none_or(|asked| own.contains(&asked));
    let server = service.filter(|_| is_asked).and_then(|it| scene.backends(&it.object).into_iter().next());
    let protocol = if OVER_TCP.hits(call.line) { super::TCP } else { UDP };
    Question { protocol, server, address }
}

fn opens(scene: &Scene<'_>, policy: &NetworkPolicy, rule: &Rule<'_>, question: &Question<'_>) -> bool {
    leads_there(scene, policy, rule, question)
        && ports(question).any(|port| port_allowed(rule.1, port, &Pod::default()))
}

/// The ports by which policies know DNS: the one that is asked, and the one the server really listens on.
fn ports(question: &Question<'_>) -> impl Iterator<Item = Port> {
    let views = question.server.map(|server| crate::playbook::pods::containers(&server.object)).unwrap_or_default();
    let listens = views.iter().flat_map(|view| view.spec.ports.iter().flatten());
    let named = listens.filter(|port| port.name.as_deref().is_some_and(|name| name.starts_with("dns")));
    let own: Vec<i32> = named.map(|port| port.container_port).collect();
    let protocol = question.protocol;
    std::iter::once(DNS).chain(own).map(move |port| (Some(port), protocol))
}

fn leads_there(scene: &Scene<'_>, policy: &NetworkPolicy, (to, _): &Rule<'_>, question: &Question<'_>) -> bool {
    let Some(peers) = to.filter(|peers| !peers.is_empty()) else { return true };
    let means = |peer: &NetworkPolicyPeer| match (&peer.ip_block, question.server) {
        // Whether an address is judged as that of the Service or of the Pod behind it is the network plugin's choice.
        (Some(block), Some(server)) => {
            question.address.as_ref().is_some_and(|asked| in_block(&block.cidr, asked))
                || means_pod(scene, policy, peer, &server.object)
        }
        (_, Some(server)) => means_pod(scene, policy, peer, &server.object),
        // Peers without a namespaceSelector are the policy's own Namespace, where DNS does not run.
        (block, None) => block.is_some() || peer.namespace_selector.is_some(),
    };
    peers.iter().any(means)
}

/// A policy before the DNS servers themselves that does not let the caller in.
fn let_in_nowhere(
    scene: &Scene<'_>,
    policies: &[Seen<NetworkPolicy>],
    caller: &Seen<Pod>,
    call: &Call<'_>,
    question: &Question<'_>,
) -> Option<Finding> {
    let server = question.server?;
    let denying = |port| denying_over(scene, policies, Way::In, &server.object, &caller.object, port);
    let policy = denying(ports(question).next()?)?;
    if ports(question).any(|port| denying(port).is_none()) {
        return None;
    }
    let from = named(&caller.object).namespace;
    let words = scene.text(
        format!("挡住了 Namespace {from} 到集群 DNS 的查询"),
        format!("keeps Namespace {from} from the cluster's DNS servers"),
    );
    Some(finding(scene, policy, caller, call, &words, &["- Ingress"]))
}

fn finding(
    scene: &Scene<'_>,
    policy: &Seen<NetworkPolicy>,
    caller: &Seen<Pod>,
    call: &Call<'_>,
    words: &str,
    told_by: &[&str],
) -> Finding {
    let (name, workload) = (named(&policy.object), scene.workload(&caller.object));
    let headline = scene.text(
        format!("NetworkPolicy {} {words}，{workload} 无法解析域名", name.name),
        format!("NetworkPolicy {} {words}, so {workload} resolves no name", name.name),
    );
    let wordings: Vec<&str> = told_by.iter().copied().chain([name.name.as_str()]).collect();
    Finding::new("network_policy_blocks_dns", Depth::Root, &named(&caller.object), &name, headline)
        .cite([scene.quote(&call.log.reference, call.line), scene.quote_any(&policy.reference, &wordings)])
        .touches([workload])
        .steps(steps(scene, &name))
}

fn steps(scene: &Scene<'_>, policy: &ObjectRef) -> [crate::report::Step; 2] {
    [
        look(
            scene.text("查看该 NetworkPolicy", "Read the policy"),
            kubectl(&policy.namespace, &format!("describe networkpolicy {}", policy.name)),
        ),
        change(
            scene.text(
                "放行到集群 DNS 的 53 端口（UDP 与 TCP）",
                "Allow port 53 (UDP and TCP) to the cluster's DNS servers",
            ),
            "",
            Some(kubectl(&policy.namespace, &format!("edit networkpolicy {}", policy.name))),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{ASKED, OVER_TCP};
    use crate::playbook::world::{World, container, patched, pod, service};

    const SILENT: &str = "ERROR lookup web on 10.96.0.10:53: read udp 10.244.1.5:4444->10.96.0.10:53: i/o timeout";

    fn egress(rules: Value) -> Value {
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "shut", "namespace": "shop"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": rules}})
    }

    fn to_dns(ports: Value) -> Value {
        json!([{"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
            "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": ports}])
    }

    #[test]
    fn what_is_kept_from_asking_says_nothing_of_the_servers() {
        let world = asking(SILENT, egress(json!([])));
        assert_eq!(world.codes()[0], "network_policy_blocks_dns");
        assert!(!world.codes().contains(&"dns_not_answering"), "{:?}", world.codes());
        let open = asking(SILENT, egress(json!([{}])));
        assert!(open.codes().contains(&"dns_not_answering"), "{:?}", open.codes());
    }

    fn asking(line: &str, policy: Value) -> World {
        let labels = json!({"app": null, "k8s-app": "kube-dns"});
        let server = json!({"metadata": {"name": "coredns-1-a", "namespace": "kube-system", "labels": labels, "ownerReferences": null},
            "spec": {"containers": [container(json!({"ports": [{"name": "dns", "containerPort": 53, "protocol": "UDP"}]}))]}});
        let dns = json!({"metadata": {"name": "kube-dns", "namespace": "kube-system"}, "spec": {"clusterIP": "10.96.0.10",
            "selector": labels, "ports": [{"port": 53, "targetPort": 53, "protocol": "UDP"}]}});
        World::asking("Pod", "web-1-a")
            .with(pod(json!({})))
            .log("web-1-a", line)
            .with(pod(server))
            .with(patched(service(json!({})), dns))
            .with(policy)
    }

    fn cause(rules: Value) -> String {
        asking(SILENT, egress(rules)).cause()
    }

    const SHUT: &str = "network_policy_blocks_dns NetworkPolicy/shut";
    const SILENT_ALONE: &str = "dns_not_answering Service/kube-dns";

    #[test]
    fn every_pattern_compiles() {
        assert!(ASKED.compiles() && OVER_TCP.compiles());
        assert_eq!(ASKED.group(SILENT, 1).as_deref(), Some("10.96.0.10"));
    }

    #[test]
    fn a_policy_that_shuts_out_dns_is_blamed_for_names_that_do_not_resolve() {
        assert_eq!(cause(json!([{"ports": [{"port": 443}]}])), SHUT);
        assert_eq!(cause(json!([{"to": [{"podSelector": {}}]}])), SHUT);
        assert_eq!(cause(json!([])), SHUT);
    }

    #[test]
    fn a_policy_that_opens_dns_over_tcp_alone_is_blamed_and_one_over_udp_is_not() {
        let over_tcp = asking(SILENT, egress(to_dns(json!([{"port": 53, "protocol": "TCP"}]))));
        assert_eq!(over_tcp.cause(), SHUT);
        let headline = over_tcp.diagnosis().headline;
        assert!(headline.contains("over TCP only and not over UDP"), "{headline}");
        assert_eq!(cause(to_dns(json!([{"port": 53}]))), SHUT, "a rule without a protocol means TCP");
        assert_eq!(cause(to_dns(json!([{"port": 53, "protocol": "UDP"}]))), SILENT_ALONE);
        assert_eq!(cause(to_dns(json!([{"port": 1, "endPort": 1000, "protocol": "UDP"}]))), SILENT_ALONE);
        assert_eq!(cause(to_dns(json!(null))), SILENT_ALONE);
        let retried = "ERROR lookup web on 10.96.0.10:53: read tcp 10.244.1.5:4444->10.96.0.10:53: i/o timeout";
        assert_eq!(asking(retried, egress(to_dns(json!([{"port": 53, "protocol": "UDP"}])))).cause(), SHUT);
    }

    #[test]
    fn a_policy_that_opens_dns_somewhere_else_is_blamed() {
        let udp = json!([{"port": 53, "protocol": "UDP"}]);
        let to = |peer: Value| json!([{"to": [peer], "ports": udp}]);
        let by_name = |name: &str| json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}});
        assert_eq!(cause(to(by_name("dns"))), SHUT);
        assert_eq!(
            cause(to(json!({"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}))),
            SHUT,
            "in its own Namespace"
        );
        assert_eq!(cause(to(by_name("kube-system"))), SILENT_ALONE);
        assert_eq!(cause(to(json!({"namespaceSelector": {}}))), SILENT_ALONE);
        assert_eq!(cause(to(json!({"ipBlock": {"cidr": "10.96.0.0/12"}}))), SILENT_ALONE);
        assert_eq!(cause(to(json!({"ipBlock": {"cidr": "192.168.0.0/16"}}))), SHUT);
        let labelled = to(json!({"namespaceSelector": {"matchLabels": {"name": "kube-system"}}}));
        assert_eq!(cause(labelled.clone()), SILENT_ALONE, "nobody read that Namespace's labels");
        let without =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "labels": {}}});
        assert_eq!(asking(SILENT, egress(labelled)).with(without).cause(), SHUT);
    }

    #[test]
    fn of_a_cache_on_the_node_nothing_is_said_but_the_port() {
        let cached = SILENT.replace("10.96.0.10", "169.254.20.10");
        let to = |ports: Value| asking(&cached, egress(to_dns(ports))).cause();
        assert_eq!(to(json!([{"port": 53, "protocol": "UDP"}])), SILENT_ALONE);
        assert_eq!(to(json!([{"port": 53, "protocol": "TCP"}])), SHUT);
    }

    #[test]
    fn a_policy_before_the_servers_that_lets_in_others_alone_is_blamed() {
        let guard = |from: &str| {
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "guard", "namespace": "kube-system"},
                "spec": {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}, "policyTypes": ["Ingress"], "ingress": [
                    {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": from}}}], "ports": [{"port": 53, "protocol": "UDP"}]}]}})
        };
        assert_eq!(asking(SILENT, guard("pay")).cause(), "network_policy_blocks_dns NetworkPolicy/guard");
        assert_eq!(asking(SILENT, guard("shop")).cause(), SILENT_ALONE);
    }

    #[test]
    fn names_the_resolver_does_not_know_are_no_policys_fault() {
        let unknown = asking("ERROR lookup web on 10.96.0.10:53: no such host", egress(json!([])));
        assert!(!unknown.codes().contains(&"network_policy_blocks_dns"));
    }
}
