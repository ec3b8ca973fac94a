//! Processes that listen on loopback alone: whoever asks from outside the Pod, a probe or a Service, is refused.

use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::traffic;
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::playbook::{environment, latent, logs, loopback};
use crate::report::{Citation, Confidence};

/// The longest line of a log that is repeated as it is, in characters.
const WORDS: usize = 160;

/// What shows that a container listens inwards: who says so, in which words, how surely, and what has to change.
pub(super) struct Proof {
    words: String,
    citations: Vec<Option<Citation>>,
    confidence: Confidence,
    blame: ObjectRef,
}

/// Findings about Services whose Ready Pods refuse calls because their process listens on loopback alone.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.services.iter().filter_map(|service| behind(scene, service)).collect()
}

fn behind(scene: &Scene<'_>, service: &Seen<Service>) -> Option<Finding> {
    let name = named(&service.object);
    let asked = scene.question.targets.contains(&name);
    let refused = (asked && scene.question.scraped_from.is_some()) || traffic::refused(scene, &name);
    if !asked && !refused {
        return None;
    }
    let ready = |pod: &&Seen<Pod>| pods::is_ready(&pod.object) && !pods::is_leaving(&pod.object);
    let backends: Vec<&Seen<Pod>> = scene.backends(&service.object).into_iter().filter(ready).collect();
    let (pod, view, port, proof) = backends.iter().find_map(|pod| {
        let targets = targets(&service.object, &pod.object);
        targets.into_iter().find_map(|(view, port)| Some((*pod, view, port, proof(scene, pod, &view, port)?)))
    })?;
    // Where nobody was seen to be refused, only plain words of the process say so, and a mesh may hand calls inwards.
    if !refused && (proof.confidence < Confidence::High || is_meshed(&pod.object)) {
        return None;
    }
    let sureness = if refused { proof.confidence } else { Confidence::Medium };
    let (workload, words) = (scene.workload(&pod.object), said(&proof.words));
    let container = view.name();
    let (by_zh, by_en) = match proof.blame.kind.as_str() {
        "ConfigMap" => (format!("，由 {} 设定", proof.blame), format!(", as {} tells it", proof.blame)),
        _ => Default::default(),
    };
    let headline = scene.text(
        format!("{workload} 的容器 {container} 只在回环地址上监听（{words}）{by_zh}：经 {name} 访问端口 {port} 会被拒绝"),
        format!("{workload}: container {container} listens on loopback alone ({words}){by_en}, so whoever calls port {port} through {name} is refused"),
    );
    Some(finding(scene, &named(&pod.object), &workload, headline, proof).confidence(sureness).touches([name]))
}

/// Whether a proxy of a service mesh stands before the containers.
fn is_meshed(pod: &Pod) -> bool {
    pods::containers(pod).iter().any(|view| ["istio-proxy", "linkerd-proxy", "envoy"].contains(&view.name()))
}

/// The containers a Service's ports lead to, with the port of each; one that declares none counts where it is alone.
fn targets<'p>(service: &Service, pod: &'p Pod) -> Vec<(ContainerView<'p>, i32)> {
    let views: Vec<ContainerView<'p>> = pods::containers(pod).into_iter().filter(|view| !view.init).collect();
    let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
    let mut found = Vec::new();
    for port in ports {
        let target = port.target_port.clone().unwrap_or(IntOrString::Int(port.port));
        for view in &views {
            let mut declared = view.spec.ports.iter().flatten();
            let number = match &target {
                IntOrString::String(name) => {
                    declared.find(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port)
                }
                IntOrString::Int(number) => {
                    let offers = declared.any(|port| port.container_port == *number) || views.len() == 1;
                    offers.then_some(*number)
                }
            };
            found.extend(number.map(|number| (*view, number)));
        }
    }
    found
}

/// What shows that a container listens on a port inwards: its log before what it is told.
pub(super) fn proof(scene: &Scene<'_>, pod: &Seen<Pod>, view: &ContainerView<'_>, port: i32) -> Option<Proof> {
    let workload = scene.workload(&pod.object);
    let logs = scene.logs(&named(&pod.object), view.name());
    let texts: Vec<_> = logs.iter().filter_map(|log| Some((log.lines.as_deref().ok()?, &log.reference))).collect();
    let said = texts.iter().find_map(|(text, reference)| Some((loopback::told(text, port)?, *reference)));
    // What the process says of itself outweighs what it was told.
    let outward = said.is_none() && texts.iter().any(|(text, _)| logs::listening_ports(text).contains(&port));
    let set = if outward { None } else { setting(scene, pod, view, port) };
    let Some((said, reference)) = said else { return set };
    let blame = set.as_ref().map_or(workload, |set| set.blame.clone());
    let mut citations = vec![scene.quote(reference, said.words)];
    citations.extend(set.into_iter().flat_map(|set| set.citations));
    let confidence = if said.is_exact { Confidence::High } else { Confidence::Medium };
    Some(Proof { words: said.words.to_owned(), citations, confidence, blame })
}

/// The argument, the variable or the line of a ConfigMap that tells the process so.
fn setting(scene: &Scene<'_>, pod: &Seen<Pod>, view: &ContainerView<'_>, port: i32) -> Option<Proof> {
    let workload = scene.workload(&pod.object);
    let command: Vec<&str> = view.spec.command.iter().chain(&view.spec.args).flatten().map(String::as_str).collect();
    if let Some((words, _)) = loopback::in_arguments(&command.join(" "), port) {
        let last = words.rsplit([' ', '=']).next().unwrap_or_default();
        let citations = vec![scene.quote_line(&pod.reference, &[last])];
        return Some(Proof { words, citations, confidence: Confidence::High, blame: workload });
    }
    let variables = environment::variables(&pod.object);
    let own = variables.iter().filter(|variable| variable.container == view.name());
    if let Some((variable, set)) = own.into_iter().find_map(|it| Some((it, loopback::in_variable(it, port)?))) {
        let citations = vec![scene.quote_any(&pod.reference, &[&format!("value: {}", set.words), set.words])];
        let words = format!("{}={}", variable.name, set.words);
        return Some(Proof { words, citations, confidence: Confidence::Medium, blame: workload });
    }
    latent::maps(&pod.object).into_iter().find_map(|map| in_map(scene, &map, port))
}

fn in_map(scene: &Scene<'_>, map: &ObjectRef, port: i32) -> Option<Proof> {
    let (value, reference) = scene.facts.raw(map)?;
    let data = value.get("data")?.as_object()?;
    let (key, words) = data.iter().find_map(|(key, text)| {
        let text = text.as_str()?;
        let set = loopback::named_value(key, text, port).or_else(|| loopback::in_file(text, port))?;
        Some((key, set.words.to_owned()))
    })?;
    let citations = vec![scene.quote_line(reference, &[&words])];
    Some(Proof { words: format!("{key}: {words}"), citations, confidence: Confidence::Medium, blame: map.clone() })
}

/// A probe that is refused by a container which listens inwards.
pub(super) fn refused_probe(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    view: &ContainerView<'_>,
    (word, port, effect): (&str, i32, &str),
) -> Option<Finding> {
    let proof = proof(scene, pod, view, port)?;
    let (workload, container) = (scene.workload(&pod.object), view.name());
    let words = said(&proof.words);
    let headline = scene.text(
        format!("{workload} 的容器 {container} 只在回环地址上监听（{words}），Pod 的地址上没有人应答端口 {port}：{word} 探针连接被拒绝（connection refused），{effect}"),
        format!("{workload}: container {container} listens on loopback alone ({words}), so nobody answers on the Pod's own address: the {word} probe of port {port} gets connection refused, {effect}"),
    );
    Some(finding(scene, &named(&pod.object), &workload, headline, proof))
}

/// The words without what a logger adds, unless the address is among that.
fn said(words: &str) -> String {
    let said = logs::said(words);
    let has_address = |text: &str| ["127.0.0.1", "::1", "localhost"].iter().any(|address| text.contains(address));
    if has_address(&said) { said } else { logs::shorten(words, WORDS) }
}

fn finding(
    scene: &Scene<'_>,
    about: &ObjectRef,
    workload: &ObjectRef,
    headline: String,
    Proof { words, citations, confidence, blame }: Proof,
) -> Finding {
    let command = if blame.kind == "ConfigMap" {
        Some(kubectl(&blame.namespace, &format!("edit configmap {}", blame.name)))
    } else {
        edit_template(workload)
    };
    let said = said(&words);
    Finding::new("app_listens_on_loopback", Depth::Root, about, &blame, headline)
        .confidence(confidence)
        .cite(citations)
        .touches([workload.clone()])
        .steps([
            look(
                scene.text("查看应用在哪个地址上监听", "See on which address it listens"),
                kubectl(&about.namespace, &format!("logs {} --tail=100", about.name)),
            ),
            change(
                scene.text(
                    "让应用监听 0.0.0.0（所有地址），而不是 127.0.0.1/localhost",
                    "Make it listen on 0.0.0.0 (all addresses), not on 127.0.0.1 or localhost",
                ),
                scene.text(format!("目前：{said}"), format!("Now: {said}")),
                command,
            ),
        ])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, ended, patched, pod, service, unready};
    use crate::report::Confidence;

    const REFUSED: &str = "Readiness probe failed: Get \"http://10.244.1.5:8080/healthz\": dial tcp 10.244.1.5:8080: connect: connection refused";
    const INWARD: &str = "[1] [INFO] Listening at: http://127.0.0.1:8080 (1)";

    fn probed(patch: Value) -> Value {
        let probe = json!({"readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}}});
        let spec = json!({"spec": {"containers": [container(patched(probe, patch))]}});
        let running = json!({"running": {"startedAt": "2026-11-23T02:30:00Z"}});
        pod(patched(unready(running, json!({}), 0), spec))
    }

    fn asked(patch: Value, log: &str) -> World {
        World::asking("Pod", "web-1-a")
            .with(probed(patch))
            .event("Pod", "web-1-a", "Unhealthy", REFUSED)
            .log("web-1-a", log)
    }

    #[test]
    fn a_probe_is_refused_by_what_listens_inwards() {
        let world = asked(json!({}), INWARD);
        assert_eq!(world.cause(), "app_listens_on_loopback Deployment/web");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("127.0.0.1:8080") && diagnosis.headline.contains("refused"));
        assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
        let by_argument = asked(json!({"args": ["--host", "127.0.0.1"]}), "INFO starting");
        assert_eq!(by_argument.cause(), "app_listens_on_loopback Deployment/web");
        let by_variable = asked(json!({"env": [{"name": "HOST", "value": "localhost"}]}), "INFO starting");
        assert_eq!(by_variable.cause(), "app_listens_on_loopback Deployment/web");
        assert_eq!(by_variable.diagnosis().causes[0].confidence, Confidence::Medium);
    }

    #[test]
    fn the_line_of_a_config_map_is_blamed_where_one_says_it() {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"},
            "data": {"app.conf": "workers 2\nbind 127.0.0.1\n"}});
        let world = asked(json!({"envFrom": [{"configMapRef": {"name": "settings"}}]}), INWARD).with(map);
        assert_eq!(world.cause(), "app_listens_on_loopback ConfigMap/settings");
    }

    #[test]
    fn what_kills_a_container_that_listens_inwards_is_no_impatience() {
        let probe = json!({"livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}}});
        let running = json!({"running": {"startedAt": "2026-11-23T02:59:10Z"}});
        let last = ended(137, "Error", "2026-11-23T02:59:00Z");
        let spec = json!({"spec": {"containers": [container(probe)]}});
        let world = World::asking("Pod", "web-1-a")
            .with(pod(patched(unready(running, last, 6), spec)))
            .event("Pod", "web-1-a", "Unhealthy", &REFUSED.replace("Readiness", "Liveness"))
            .event("Pod", "web-1-a", "Killing", "Container web failed liveness probe, will be restarted")
            .log("web-1-a", INWARD);
        assert_eq!(world.cause(), "app_listens_on_loopback Deployment/web");
    }

    #[test]
    fn what_listens_on_all_addresses_or_fails_otherwise_is_not_meant() {
        let outward = asked(json!({"args": ["--host", "127.0.0.1"]}), "INFO listening on 0.0.0.0:8080");
        assert!(!outward.codes().contains(&"app_listens_on_loopback"));
        let slow = World::asking("Pod", "web-1-a")
            .with(probed(json!({})))
            .event("Pod", "web-1-a", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500")
            .log("web-1-a", INWARD);
        assert!(!slow.codes().contains(&"app_listens_on_loopback"));
    }

    #[test]
    fn without_a_probe_the_callers_are_refused() {
        let caller = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}});
        let asked = |log: &str, line: &str| {
            World::asking("Pod", "cart-1-a")
                .with(pod(caller.clone()))
                .with(service(json!({"app": "web"})))
                .with(pod(json!({})))
                .log("web-1-a", log)
                .log("cart-1-a", &format!("{line}\n").repeat(4))
        };
        let refused = "ERROR GET http://web/api: connect ECONNREFUSED 10.96.0.7:80";
        assert_eq!(asked(INWARD, refused).cause(), "app_listens_on_loopback Deployment/web");
        let by_alert = World::asking("Service", "web").with(service(json!({"app": "web"}))).with(pod(json!({})));
        let by_alert = by_alert.log("web-1-a", INWARD);
        assert_eq!(by_alert.cause(), "app_listens_on_loopback Deployment/web");
        assert_eq!(by_alert.diagnosis().causes[0].confidence, Confidence::Medium, "nobody was seen to be refused");
        assert!(!asked("INFO listening on :8080", refused).codes().contains(&"app_listens_on_loopback"));
        let late = "ERROR GET http://web/api: i/o timeout";
        assert!(!asked(INWARD, late).codes().contains(&"app_listens_on_loopback"));
    }

    #[test]
    fn a_metrics_port_that_a_config_map_binds_inwards_is_why_it_cannot_be_scraped() {
        let scraped = |conf: &str, log: &str| {
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"},
                "data": {"app.yaml": conf}});
            let ports = json!([{"name": "http", "containerPort": 8080}, {"name": "metrics", "containerPort": 9102}]);
            let spec = json!({"spec": {"containers": [container(json!({"ports": ports}))],
                "volumes": [{"name": "conf", "configMap": {"name": "settings"}}]}});
            let service = patched(
                service(json!({"app": "web"})),
                json!({"spec": {"ports": [{"name": "metrics", "port": 9102, "targetPort": "metrics"}]}}),
            );
            World::asking("Service", "web")
                .scraped_from("monitoring")
                .with(service)
                .with(pod(spec))
                .with(map)
                .log("web-1-a", log)
                .listed("NetworkPolicy")
        };
        let inward = "server:\n  listen: 0.0.0.0:8080\nmetrics:\n  address: 127.0.0.1:9102\n";
        let by_map = scraped(inward, "INFO up");
        assert_eq!(by_map.cause(), "app_listens_on_loopback ConfigMap/settings");
        assert_eq!(by_map.diagnosis().causes[0].confidence, Confidence::Medium, "only the file says so");
        let log = "INFO listener up name=metrics addr=127.0.0.1:9102\nINFO listener up name=http addr=[::]:8080";
        let both = scraped(inward, log);
        assert_eq!(both.cause(), "app_listens_on_loopback ConfigMap/settings");
        assert_eq!(both.diagnosis().causes[0].confidence, Confidence::High);
        let json = r#"{"level":"info","msg":"listener up","addr":"127.0.0.1:9102"}"#;
        assert!(scraped(inward, json).diagnosis().headline.contains("127.0.0.1:9102"), "its message has no address");
        scraped(&inward.replace("127.0.0.1", "0.0.0.0"), "INFO up").is_calm();
        let other =
            "server:\n  listen: 0.0.0.0:8080\nmetrics:\n  address: 0.0.0.0:9102\ndebug:\n  address: 127.0.0.1:6060\n";
        scraped(other, "INFO up").is_calm();
    }

    #[test]
    fn an_inner_port_behind_a_proxy_of_the_same_pod_is_as_it_should_be() {
        let proxy = json!({"name": "proxy", "image": "reg/nginx:1", "ports": [{"containerPort": 8080}]});
        let inner = json!({"name": "web", "image": "reg/web:1", "args": ["--host", "127.0.0.1"]});
        World::asking("Service", "web")
            .scraped_from("monitoring")
            .with(service(json!({"app": "web"})))
            .with(pod(json!({"spec": {"containers": [proxy, inner]}})))
            .log_of("web-1-a", "web", "listening on 127.0.0.1:9000")
            .listed("NetworkPolicy")
            .is_calm();
    }
}
