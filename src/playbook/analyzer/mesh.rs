//! Meshes that let nobody in without mutual TLS: a caller without the mesh's proxy is cut off before it has said anything.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named, service_selector};
use crate::report::{Confidence, Step};

/// The proxy that Istio adds to a Pod, as a container or as an init container that stays.
const PROXY: &str = "istio-proxy";
/// Where Istio's rules for the whole mesh stand, unless it was told otherwise.
pub const ROOT: &str = "istio-system";
/// The kind of the rules.
pub const RULE: &str = "PeerAuthentication";
/// How Envoy notes a connection that comes in no form it takes (<https://istio.io/latest/docs/ops/common-problems/network-issues/>).
const TURNED_AWAY: &str = "filter_chain_not_found";

/// Whether a proxy's log tells of connections that it turned away: then it is worth reading what it demands.
#[must_use]
pub fn turns_away(log: &str) -> bool {
    log.contains(TURNED_AWAY)
}

/// Findings about calls that a mesh's proxy cuts off because they come without mutual TLS.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let callers = scene.current_pods().filter(|pod| !has_proxy(&pod.object));
    callers.filter_map(|pod| of_caller(scene, pod)).collect()
}

fn has_proxy(pod: &Pod) -> bool {
    pods::containers(pod).iter().any(|view| view.name() == PROXY)
}

/// Whether some ports of a Pod are kept from its proxy.
fn has_ways_around(pod: &Pod) -> bool {
    const AROUND: [&str; 2] =
        ["traffic.sidecar.istio.io/excludeInboundPorts", "traffic.sidecar.istio.io/includeInboundPorts"];
    pod.metadata.annotations.iter().flatten().any(|(key, _)| AROUND.contains(&key.as_str()))
}

fn of_caller(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let calls = reach::failing_calls(scene, &pod.object);
    let cut_off = |call: &&Call<'_>| call.failure == Failure::Refused && reach::is_reset(call.line);
    calls.iter().filter(cut_off).find_map(|call| {
        let service = reach::service_of(scene, &pod.object, call)?;
        service_selector(&service.object)?;
        let guarded = |backend: &&Seen<Pod>| has_proxy(&backend.object) && !has_ways_around(&backend.object);
        let backend = scene.backends(&service.object).into_iter().find(guarded)?;
        let (name, proxy) = (named(&service.object), turned_away(scene, pod, &named(&backend.object)));
        let rule = rule(scene, &backend.object);
        match (rule, proxy) {
            (Some((rule, reference)), _) if is_strict(scene, &rule) => {
                Some(demanded(scene, (pod, call), &name, (&rule, &reference), proxy))
            }
            // A rule that was read and lets plain text in is none of it.
            (Some(_), _) | (None, None) => None,
            (None, Some(proxy)) => Some(suspected(scene, (pod, call), (&name, &named(&backend.object)), proxy)),
        }
    })
}

/// The line of a backend's proxy that turned this caller away, known by its address.
fn turned_away<'s>(scene: &Scene<'s>, caller: &Seen<Pod>, backend: &ObjectRef) -> Option<(&'s SeenLog, &'s str)> {
    let address = caller.object.status.as_ref()?.pod_ip.as_deref()?;
    let from = format!("{address}:");
    scene.logs(backend, PROXY).into_iter().find_map(|log| {
        let text = log.lines.as_deref().ok()?;
        let told = |line: &&str| line.contains(TURNED_AWAY) && line.split_whitespace().any(|it| it.starts_with(&from));
        Some((log, text.lines().rev().find(told)?))
    })
}

/// The rule that holds for a Pod, of those that were read: the one that selects it, its Namespace's, the mesh's.
fn rule(scene: &Scene<'_>, pod: &Pod) -> Option<(ObjectRef, String)> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let rank = |object: &ObjectRef, value: &Value| {
        let wanted = value.pointer("/spec/selector/matchLabels").and_then(Value::as_object).filter(|it| !it.is_empty());
        let label = |key: &String| pod.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
        match (wanted, object.namespace.as_str()) {
            (Some(wanted), own) if own == namespace => {
                wanted.iter().all(|(key, value)| label(key) == value.as_str()).then_some(2)
            }
            (None, own) if own == namespace => Some(1),
            (None, ROOT) => Some(0),
            _ => None,
        }
    };
    let rules = scene.facts.raw_all(RULE).filter(|(_, value, _)| mode(value) != "UNSET");
    let ranked = rules.filter_map(|(object, value, reference)| Some((rank(object, value)?, object, reference)));
    let (_, object, reference) = ranked.max_by_key(|(rank, ..)| *rank)?;
    Some((object.clone(), reference.to_owned()))
}

fn mode(rule: &Value) -> &str {
    rule.pointer("/spec/mtls/mode").and_then(Value::as_str).unwrap_or("UNSET")
}

/// Whether a rule takes mutual TLS alone, on every port: where one port is an exception, it may be the one that is called.
fn is_strict(scene: &Scene<'_>, rule: &ObjectRef) -> bool {
    scene.facts.raw(rule).is_some_and(|(value, _)| {
        mode(value) == "STRICT" && value.pointer("/spec/portLevelMtls").is_none_or(Value::is_null)
    })
}

fn demanded(
    scene: &Scene<'_>,
    (pod, call): (&Seen<Pod>, &Call<'_>),
    service: &ObjectRef,
    (rule, reference): (&ObjectRef, &str),
    proxy: Option<(&SeenLog, &str)>,
) -> Finding {
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let headline = scene.text(
        format!("{rule} 要求双向 TLS（mTLS STRICT），而 {workload} 的 Pod 没有 {PROXY}，以明文访问 {service} 被网格断开"),
        format!("{rule} demands mutual TLS (STRICT), and the Pods of {workload} have no {PROXY}: the mesh cuts their plain calls to {service} off"),
    );
    let summary = scene.text(
        format!("{headline}；日志：{}。", logs::said(call.line)),
        format!("{headline}; its log: {}.", logs::said(call.line)),
    );
    Finding::new("mesh_demands_mtls", Depth::Root, &name, rule, headline)
        .summary(summary)
        // That the proxy was heard to turn it away makes it sure.
        .confidence(if proxy.is_some() { Confidence::High } else { Confidence::Medium })
        .cite([scene.quote(reference, "mode: STRICT"), scene.quote(&call.log.reference, call.line)])
        .cite([proxy.and_then(|(log, line)| scene.quote(&log.reference, line))])
        .touches([workload.clone(), service.clone()])
        .steps(steps(scene, &workload, service, Some(rule)))
}

/// The proxy turned the caller away, and what it demands was not read.
fn suspected(
    scene: &Scene<'_>,
    (pod, call): (&Seen<Pod>, &Call<'_>),
    (service, backend): (&ObjectRef, &ObjectRef),
    (log, line): (&SeenLog, &str),
) -> Finding {
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let headline = scene.text(
        format!("{service} 的网格代理拒绝 {workload} 的连接（{TURNED_AWAY}）：{workload} 的 Pod 没有 {PROXY}，对方可能要求双向 TLS（mTLS）"),
        format!("The mesh's proxy of {service} turns {workload} away ({TURNED_AWAY}): its Pods have no {PROXY}, and mutual TLS may be demanded there"),
    );
    Finding::new("mesh_turns_caller_away", Depth::Mechanism, &name, &workload, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&log.reference, line), scene.quote(&call.log.reference, call.line)])
        .touches([service.clone(), backend.clone()])
        .unresolved(scene.text(
            format!("{} 中是否有要求 STRICT 的 {RULE}？", service.namespace),
            format!("Does a {RULE} in {} demand STRICT?", service.namespace),
        ))
        .steps(steps(scene, &workload, service, None))
}

fn steps(scene: &Scene<'_>, workload: &ObjectRef, service: &ObjectRef, rule: Option<&ObjectRef>) -> Vec<Step> {
    let namespace = rule.map_or(service.namespace.as_str(), |rule| rule.namespace.as_str());
    let mut steps = vec![
        look(
            scene.text("查看网格要求的 mTLS 模式", "Read which mode of mTLS the mesh demands"),
            kubectl(namespace, "get peerauthentication -o yaml"),
        ),
        change(
            scene.text(
                format!("让 {workload} 加入网格：给 Namespace {} 打上注入标签并重启它", workload.namespace),
                format!(
                    "Bring {workload} into the mesh: label Namespace {} for injection and restart it",
                    workload.namespace
                ),
            ),
            scene.text(
                "标签之后还需 rollout restart；若网格按 revision 注入，使用 istio.io/rev 标签",
                "Then restart it; where the mesh injects by revision, the label is istio.io/rev",
            ),
            Some(format!("kubectl label namespace {} istio-injection=enabled", workload.namespace)),
        ),
    ];
    if let Some(rule) = rule {
        steps.push(change(
            scene.text(
                format!("或者在迁移期间把 {rule} 改回 PERMISSIVE"),
                format!("Or set {rule} back to PERMISSIVE until it is there"),
            ),
            scene.text("会重新接受明文，须由网格负责人决定", "It takes plain text again: for the mesh's owners to decide"),
            Some(kubectl(
                &rule.namespace,
                &format!("patch peerauthentication {} --type merge -p '{{\"spec\":{{\"mtls\":{{\"mode\":\"PERMISSIVE\"}}}}}}'", rule.name),
            )),
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, pod, service};

    const RESET: &str = "ERROR GET http://web:80/entries failed: ('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))";
    const AWAY: &str = "[2026-11-23T02:57:00Z] \"- - -\" 0 NR filter_chain_not_found - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - 10.244.1.5:8080 10.244.2.8:50301 - -";

    fn rule(namespace: &str, spec: Value) -> Value {
        json!({"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
            "metadata": {"name": "default", "namespace": namespace}, "spec": spec})
    }

    fn strict() -> Value {
        json!({"mtls": {"mode": "STRICT"}})
    }

    fn caller(containers: Value) -> Value {
        pod(
            json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "status": {"podIP": "10.244.2.8"},
            "spec": {"containers": containers}}),
        )
    }

    fn proxied() -> Value {
        json!([container(json!({})), {"name": "istio-proxy", "image": "reg/proxyv2:1"}])
    }

    fn world(containers: Value) -> World {
        World::asking("Pod", "cart-1-a")
            .with(caller(containers))
            .log("cart-1-a", &format!("{RESET}\n").repeat(4))
            .with(service(json!({"app": "web"})))
            .with(pod(json!({"spec": {"containers": proxied()}})))
    }

    fn plain() -> World {
        world(json!([container(json!({}))]))
    }

    #[test]
    fn a_caller_without_a_proxy_is_cut_off_where_mutual_tls_is_demanded() {
        let found = plain().with(rule("shop", strict()));
        assert_eq!(found.cause(), "mesh_demands_mtls PeerAuthentication/default");
        assert!(found.diagnosis().headline.contains("Deployment shop/cart"), "{}", found.diagnosis().headline);
        let of_mesh = plain().with(rule("istio-system", strict()));
        assert_eq!(of_mesh.cause(), "mesh_demands_mtls PeerAuthentication/default");
    }

    #[test]
    fn a_rule_that_is_nearer_or_lets_plain_text_in_is_no_cause() {
        let has = |world: World| world.codes().iter().any(|code| code.starts_with("mesh_"));
        assert!(!has(plain().with(rule("shop", json!({"mtls": {"mode": "PERMISSIVE"}})))));
        let nearer =
            plain().with(rule("istio-system", strict())).with(rule("shop", json!({"mtls": {"mode": "PERMISSIVE"}})));
        assert!(!has(nearer));
        let other = json!({"selector": {"matchLabels": {"app": "ledger"}}, "mtls": {"mode": "STRICT"}});
        assert!(!has(plain().with(rule("shop", other))), "of other Pods");
        let port = json!({"mtls": {"mode": "STRICT"}, "portLevelMtls": {"8080": {"mode": "DISABLE"}}});
        assert!(!has(plain().with(rule("shop", port))), "the port may be the exception");
        let around = pod(json!({"metadata": {"annotations": {"traffic.sidecar.istio.io/excludeInboundPorts": "8080"}},
            "spec": {"containers": proxied()}}));
        assert!(!has(plain().with(around).with(rule("shop", strict()))), "the proxy does not see that port");
    }

    #[test]
    fn a_caller_in_the_mesh_and_a_mesh_nobody_read_say_nothing() {
        let has = |world: World| world.codes().iter().any(|code| code.starts_with("mesh_"));
        assert!(!has(world(proxied()).with(rule("shop", strict()))));
        assert!(!has(plain()), "the server may have cut it off itself");
    }

    #[test]
    fn what_the_proxy_says_is_told_without_the_rule_as_a_question() {
        let told = plain().log_of("web-1-a", "istio-proxy", AWAY);
        assert!(told.codes().contains(&"mesh_turns_caller_away"), "{:?}", told.codes());
        let other = plain().log_of("web-1-a", "istio-proxy", &AWAY.replace("10.244.2.8", "10.244.9.9"));
        assert!(!other.codes().contains(&"mesh_turns_caller_away"), "somebody else");
    }
}
