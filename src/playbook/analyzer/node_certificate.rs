//! Kubelets without a serving certificate: the request for one was refused, or nobody has decided on it, so whoever reads the
//! kubelet over TLS fails.

use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::finding::{Depth, Finding, change, look};
use crate::playbook::logs;
use crate::playbook::scene::Scene;
use crate::report::{Confidence, Step};

/// Who signs what kubelets serve with.
const SIGNER: &str = "kubernetes.io/kubelet-serving";
/// How a kubelet's account begins.
const ACCOUNT: &str = "system:node:";
/// Minutes within which a request is decided as a rule.
const DECIDING: i64 = 5;

/// The Node whose kubelet asked for a serving certificate.
#[must_use]
pub fn asking(request: &Value) -> Option<&str> {
    let text = |pointer: &str| request.pointer(pointer).and_then(Value::as_str);
    text("/spec/username")?.strip_prefix(ACCOUNT).filter(|_| text("/spec/signerName") == Some(SIGNER))
}

/// The Nodes that Endpoints consist of, where every address is one's.
#[must_use]
pub fn nodes_behind(endpoints: &Value) -> Vec<String> {
    let subsets = endpoints.pointer("/subsets").and_then(Value::as_array).into_iter().flatten();
    let each = subsets.flat_map(|subset| subset.get("addresses").and_then(Value::as_array).into_iter().flatten());
    let nodes: Vec<Option<String>> = each
        .map(|address| {
            let of = |field: &str| address.pointer(&format!("/targetRef/{field}")).and_then(Value::as_str);
            (of("kind") == Some("Node")).then(|| of("name").map(str::to_owned)).flatten()
        })
        .collect();
    nodes.into_iter().collect::<Option<Vec<String>>>().unwrap_or_default()
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Issued,
    Denied,
    Failed,
    Waiting,
}

/// A kubelet's request for a serving certificate.
struct Request<'s> {
    name: &'s str,
    node: &'s str,
    made: &'s str,
    fate: Fate,
    said: &'s str,
    reference: &'s str,
}

/// Findings about the Nodes behind a Service that an alert names, whose last request came to nothing.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let services = scene.question.targets.iter().filter(|target| target.kind == "Service");
    services.flat_map(|service| behind(scene, service)).collect()
}

fn behind(scene: &Scene<'_>, service: &ObjectRef) -> Vec<Finding> {
    let endpoints = ObjectRef::new("Endpoints", service.namespace.as_str(), service.name.as_str());
    let Some((value, _)) = scene.facts.raw(&endpoints) else { return Vec::new() };
    let nodes = nodes_behind(value);
    nodes.iter().filter_map(|node| refused(scene, service, node)).collect()
}

fn refused(scene: &Scene<'_>, service: &ObjectRef, node: &str) -> Option<Finding> {
    let all: Vec<Request<'_>> = requests(scene).filter(|request| request.node == node).collect();
    let last = all.iter().max_by_key(|request| request.made)?;
    // Requests are swept away within a day: one that was granted means a certificate to serve with, and a renewal can wait.
    if all.iter().any(|request| request.fate == Fate::Issued) {
        return None;
    }
    let (zh, en) = match last.fate {
        Fate::Issued => return None,
        Fate::Denied => ("被拒绝（Denied）", "was denied"),
        Fate::Failed => ("签发失败（Failed）", "failed"),
        Fate::Waiting if waits_long(scene, last) => ("无人审批（Pending）", "has not been decided on (Pending)"),
        Fate::Waiting => return None,
    };
    let blame = ObjectRef::new("Node", "", node);
    let said = logs::shorten(last.said, 160);
    let why = if said.is_empty() { String::new() } else { scene.text(format!("：{said}"), format!(": {said}")) };
    let headline = scene.text(
        format!("Node {node} 的 kubelet 没有得到服务端证书：它的 CertificateSigningRequest {} {zh}{why}", last.name),
        format!(
            "The kubelet of Node {node} was given no serving certificate: its CertificateSigningRequest {} {en}{why}",
            last.name
        ),
    );
    let summary = scene.text(
        format!("{headline}；{service} 的抓取目标都是 Node，经 TLS 抓取该节点可能因此失败（共读到它的 {} 个请求）", all.len()),
        format!("{headline}; the targets of {service} are Nodes, and scraping this one over TLS may fail over it ({} of its requests were read)", all.len()),
    );
    Some(
        Finding::new("kubelet_serving_certificate_refused", Depth::Root, service, &blame, headline)
            .summary(summary)
            // Which of its targets is down, the alert need not say.
            .confidence(Confidence::Medium)
            .cite([
                scene.quote(last.reference, &format!("username: {ACCOUNT}{node}")),
                scene.quote_any(last.reference, &[last.said, "type: Denied", &format!("signerName: {SIGNER}")]),
            ])
            .unresolved(scene.text(
                format!("不可达的抓取目标是 Node {node} 吗？由谁审批 {SIGNER} 的请求，它为何如此决定？"),
                format!(
                    "Is Node {node} the target that is down, and who decides on requests to {SIGNER}, by which rule?"
                ),
            ))
            .steps(steps(scene, last)),
    )
}

fn requests<'s>(scene: &'s Scene<'_>) -> impl Iterator<Item = Request<'s>> {
    let all = scene.facts.raw_all("CertificateSigningRequest");
    all.filter_map(|(name, value, reference)| {
        let (fate, said) = fate(value);
        let made = value.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or_default();
        Some(Request { name: &name.name, node: asking(value)?, made, fate, said, reference })
    })
}

fn fate(request: &Value) -> (Fate, &str) {
    let conditions = request.pointer("/status/conditions").and_then(Value::as_array);
    let of = |kind: &str| {
        let mut all = conditions.into_iter().flatten();
        let found = all.find(|it| it.get("type").and_then(Value::as_str) == Some(kind))?;
        Some(found.get("message").and_then(Value::as_str).unwrap_or_default())
    };
    match (of("Denied"), of("Failed"), of("Approved")) {
        (Some(said), ..) => (Fate::Denied, said),
        (_, Some(said), _) => (Fate::Failed, said),
        (.., Some(said)) => (Fate::Issued, said),
        _ => (Fate::Waiting, ""),
    }
}

fn waits_long(scene: &Scene<'_>, request: &Request<'_>) -> bool {
    let made = request.made.parse::<jiff::Timestamp>();
    made.is_ok_and(|made| scene.facts.now.as_second() - made.as_second() > DECIDING * 60)
}

fn steps(scene: &Scene<'_>, request: &Request<'_>) -> [Step; 3] {
    [
        look(
            scene.text("查看该节点的证书请求", "Read the request"),
            format!("kubectl describe certificatesigningrequest {}", request.name),
        ),
        look(scene.text("列出所有证书请求", "List the requests"), "kubectl get certificatesigningrequests"),
        change(
            scene.text(
                "让审批者接受该节点的请求（修正它的规则或节点名）；kubelet 会自动重新申请",
                "Have whoever decides accept the Node's requests (its rule, or the Node's name); the kubelet asks again by itself",
            ),
            scene.text(
                "先核实请求确实来自该节点，再批准",
                "See that a request is really the Node's before it is approved",
            ),
            None,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::nodes_behind;
    use crate::playbook::world::{World, patched, service};

    fn endpoints(kind: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "kubelet", "namespace": "shop"},
            "subsets": [{"addresses": [{"ip": "10.0.0.1", "targetRef": {"kind": kind, "name": "n1"}},
                {"ip": "10.0.0.2", "targetRef": {"kind": kind, "name": "n2"}}], "ports": [{"port": 10250}]}]})
    }

    fn request(name: &str, node: &str, made: &str, conditions: Value) -> Value {
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"name": name, "creationTimestamp": made},
            "spec": {"signerName": "kubernetes.io/kubelet-serving", "username": format!("system:node:{node}")},
            "status": {"conditions": conditions}})
    }

    fn denied() -> Value {
        json!([{"type": "Denied", "reason": "NodeNameNotAllowed", "message": "node name does not match ^w-"}])
    }

    fn asked(kind: &str, requests: Vec<Value>) -> World {
        let kubelet =
            patched(service(json!(null)), json!({"metadata": {"name": "kubelet"}, "spec": {"clusterIP": "None"}}));
        let world = World::asking("Service", "kubelet").alert("TargetDown").with(kubelet).with(endpoints(kind));
        requests.into_iter().fold(world, World::with)
    }

    #[test]
    fn the_node_whose_request_was_denied_is_named() {
        let world = asked("Node", vec![request("csr-1", "n2", "2026-11-23T02:40:00Z", denied())]);
        assert_eq!(world.cause(), "kubelet_serving_certificate_refused Node/n2");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("csr-1 was denied: node name does not match"), "{headline}");
        let waits = asked("Node", vec![request("csr-1", "n1", "2026-11-23T02:00:00Z", json!([]))]);
        assert_eq!(waits.cause(), "kubelet_serving_certificate_refused Node/n1");
    }

    #[test]
    fn a_request_that_was_granted_since_or_was_only_just_made_is_quiet() {
        let told = |requests| asked("Node", requests).codes().contains(&"kubelet_serving_certificate_refused");
        let issued = request("csr-2", "n2", "2026-11-23T02:50:00Z", json!([{"type": "Approved", "message": "ok"}]));
        assert!(!told(vec![request("csr-1", "n2", "2026-11-23T02:40:00Z", denied()), issued]));
        let before = request("csr-0", "n2", "2026-11-23T01:00:00Z", json!([{"type": "Approved", "message": "ok"}]));
        let renewal = request("csr-1", "n2", "2026-11-23T02:40:00Z", json!([]));
        assert!(!told(vec![before, renewal]), "it has a certificate");
        assert!(!told(vec![request("csr-1", "n2", "2026-11-23T02:58:00Z", json!([]))]));
        assert!(!told(vec![request("csr-1", "elsewhere", "2026-11-23T02:40:00Z", denied())]));
    }

    #[test]
    fn a_service_of_pods_has_nothing_to_do_with_kubelets() {
        let world = asked("Pod", vec![request("csr-1", "n2", "2026-11-23T02:40:00Z", denied())]);
        assert!(!world.codes().contains(&"kubelet_serving_certificate_refused"));
        assert_eq!(nodes_behind(&endpoints("Node")), ["n1", "n2"]);
        assert!(nodes_behind(&endpoints("Pod")).is_empty());
    }
}
