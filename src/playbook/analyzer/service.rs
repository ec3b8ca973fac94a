//! Services nobody answers: selectors that match nothing, Pods that are not ready, ports that do not exist.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, Service};

use super::{asleep, astray};
use crate::alert::ObjectRef;
use crate::playbook::analyzer::target_port;
use crate::playbook::callees;
use crate::playbook::describe;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named, service_selector};
use crate::playbook::selector::LabelMap;
use crate::report::{Confidence, Step};

/// Findings about Services.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.services.iter().filter_map(|service| unanswered(scene, service)).collect()
}

fn unanswered(scene: &Scene<'_>, service: &Seen<Service>) -> Option<Finding> {
    let wanted = service_selector(&service.object)?;
    let name = named(&service.object);
    let backends = scene.backends(&service.object);
    let live: Vec<&&Seen<Pod>> = backends.iter().filter(|pod| !pods::is_finished(&pod.object)).collect();
    if live.is_empty() {
        return match asleep::behind(scene, &name, wanted) {
            Some(sleeper) => asleep::scaled_to_zero(scene, service, &name, &sleeper),
            None => selects_nothing(scene, service, &name, wanted),
        };
    }
    if live.iter().any(|pod| pods::may_serve(&pod.object)) {
        let astray = astray::wrong(scene, service, &name, &live);
        return astray.or_else(|| target_port::wrong(scene, service, &name, &live));
    }
    Some(none_ready(scene, service, &name, &live))
}

/// Whether a log that was read shows a failing call to the Service.
pub(super) fn called_in_vain(scene: &Scene<'_>, name: &ObjectRef) -> bool {
    scene.pods.iter().any(|pod| calls_in_vain(scene, pod, name))
}

fn calls_in_vain(scene: &Scene<'_>, pod: &Seen<Pod>, name: &ObjectRef) -> bool {
    let calls = reach::failing_calls(scene, &pod.object);
    let called = calls.iter().filter_map(|call| reach::service_of(scene, &pod.object, call));
    let mut reached = called.chain(callees::complained_of(scene, &pod.object));
    reached.any(|service| named(&service.object) == *name)
}

/// The workloads whose calls to a Service fail, of those whose logs were read.
pub(super) fn callers(scene: &Scene<'_>, name: &ObjectRef) -> Vec<ObjectRef> {
    let pods = scene.pods.iter().filter(|pod| calls_in_vain(scene, pod, name));
    let mut callers: Vec<ObjectRef> = pods.map(|pod| scene.workload(&pod.object)).collect();
    callers.sort();
    callers.dedup();
    callers
}

fn selects_nothing(scene: &Scene<'_>, service: &Seen<Service>, name: &ObjectRef, wanted: &LabelMap) -> Option<Finding> {
    let known = scene.pods.iter().any(|pod| named(&pod.object).namespace == name.namespace)
        || scene.facts.listing("Pod", &name.namespace).is_some();
    if !known {
        return None;
    }
    if let Some(workload) = made_for(scene, &name.namespace, wanted) {
        return Some(without_pods(scene, service, name, &workload));
    }
    Some(match nearest(scene, name, wanted) {
        Some((pod, differing)) => mislabelled(scene, service, &Mislabelled::new(scene, name, wanted, pod, &differing)),
        None => nobody(scene, service, name, wanted),
    })
}

/// The workload whose Pods a selector means, where it has none at present: the selector is right then.
#[must_use]
pub fn made_for(scene: &Scene<'_>, namespace: &str, wanted: &LabelMap) -> Option<ObjectRef> {
    let means = |template: &PodTemplateSpec| {
        let labels = template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref());
        crate::playbook::selector::covers(wanted, labels)
    };
    let deployments =
        scene.deployments.iter().map(|it| (named(&it.object), it.object.spec.as_ref().map(|it| &it.template)));
    let sets = scene.stateful_sets.iter().map(|it| (named(&it.object), it.object.spec.as_ref().map(|it| &it.template)));
    let daemons =
        scene.daemon_sets.iter().map(|it| (named(&it.object), it.object.spec.as_ref().map(|it| &it.template)));
    let mut all = deployments.chain(sets).chain(daemons);
    let meant = all.find(|(workload, template)| workload.namespace == namespace && template.is_some_and(means));
    meant.map(|(workload, _)| workload)
}

fn without_pods(scene: &Scene<'_>, service: &Seen<Service>, name: &ObjectRef, workload: &ObjectRef) -> Finding {
    let headline = scene.text(
        format!("{name} 没有后端：它对应的 {workload} 目前没有 Pod"),
        format!("{name} has no backend: {workload}, whose Pods it selects, has none at present"),
    );
    Finding::new("service_backends_not_ready", Depth::Symptom, name, name, headline)
        .cite([endpoints_line(scene, service)])
        .touches([workload.clone()])
        .steps([look(
            scene.text("查看为何没有 Pod", "See why there are none"),
            kubectl(&name.namespace, &format!("describe {}", slash(workload))),
        )])
}

fn nobody(scene: &Scene<'_>, service: &Seen<Service>, name: &ObjectRef, wanted: &LabelMap) -> Finding {
    let selector = in_words(wanted);
    let headline = scene.text(
        format!("{name} 没有后端：selector（{selector}）没有匹配到任何 Pod"),
        format!("{name} has no backend: its selector ({selector}) matches no Pod"),
    );
    // One at zero replicas would explain it, and may be meant.
    let listed = ["Deployment", "StatefulSet"].iter().all(|kind| scene.facts.listing(kind, &name.namespace).is_some());
    Finding::new("service_without_endpoints", Depth::Mechanism, name, name, headline)
        .confidence(if listed { Confidence::Medium } else { Confidence::Low })
        .cite([scene.quote_any(&service.reference, &[&first_pair(wanted)])])
        .steps([look(
            scene.text("查看 Pod 标签", "Read the Pods' labels"),
            kubectl(&name.namespace, "get pods --show-labels"),
        )])
}

/// A Service and the Pods it was probably meant for, in words: what it asks and what they carry.
struct Mislabelled<'s> {
    name: &'s ObjectRef,
    selector: String,
    pod: &'s Seen<Pod>,
    workload: ObjectRef,
    ready: usize,
    asked: String,
    carried: String,
    /// The selector's new pairs, as JSON.
    patch: String,
}

impl<'s> Mislabelled<'s> {
    fn new(
        scene: &Scene<'_>,
        name: &'s ObjectRef,
        wanted: &LabelMap,
        pod: &'s Seen<Pod>,
        differing: &[(&String, &String)],
    ) -> Self {
        let carried = |key: &String| pod.object.metadata.labels.as_ref().and_then(|labels| labels.get(key)).cloned();
        let join = |words: Vec<String>, by: &str| words.join(by);
        let workload = scene.workload(&pod.object);
        let shown = |key: &String| carried(key).map_or_else(|| format!("{key} -"), |value| format!("{key}={value}"));
        let json = |key: &String| serde_json::json!(carried(key));
        Self {
            name,
            selector: in_words(wanted),
            pod,
            ready: scene.pods_of(&workload).iter().filter(|pod| pods::is_ready(&pod.object)).count(),
            workload,
            asked: join(differing.iter().map(|(key, value)| format!("{key}={value}")).collect(), ", "),
            carried: join(differing.iter().map(|(key, _)| shown(key)).collect(), ", "),
            patch: join(differing.iter().map(|(key, _)| format!("\"{key}\":{}", json(key))).collect(), ","),
        }
    }

    fn steps(&self, scene: &Scene<'_>) -> [Step; 3] {
        let Self { name, asked, carried, patch, .. } = self;
        [
            look(
                scene.text("对比 selector 与 Pod 标签", "Compare selector and labels"),
                kubectl(&name.namespace, "get pods --show-labels"),
            ),
            look(
                scene.text("确认 endpoints 为空", "See that it has no endpoints"),
                kubectl(&name.namespace, &format!("get endpoints {}", name.name)),
            ),
            change(
                scene.text(
                    format!("把 Service 的 selector 从 {asked} 改为 {carried}"),
                    format!("Change the selector from {asked} to {carried}"),
                ),
                scene.text(
                    "或者修正 Pod 模板的标签；改后 endpoints 会立即出现",
                    "Or correct the Pod template's labels; the endpoints appear at once",
                ),
                Some(kubectl(
                    &name.namespace,
                    &format!("patch service {} -p '{{\"spec\":{{\"selector\":{{{patch}}}}}}}'", name.name),
                )),
            ),
        ]
    }
}

fn mislabelled(scene: &Scene<'_>, service: &Seen<Service>, found: &Mislabelled<'_>) -> Finding {
    let Mislabelled { name, selector, pod, workload, ready, asked, carried, .. } = found;
    let headline = scene.text(
        format!("{name} 没有后端：selector 要求 {asked}，而 {workload} 的 Pod 标签是 {carried}"),
        format!("{name} has no backend: its selector asks for {asked}, but the Pods of {workload} carry {carried}"),
    );
    let summary = scene.text(
        format!("{name} 的 selector（{selector}）没有匹配到 Pod，endpoints 为空；{workload} 有 {ready} 个 Ready 的 Pod，只是标签 {carried} 与 {asked} 不一致。"),
        format!("The selector of {name} ({selector}) matches no Pod, so it has no endpoints; {workload} has {ready} Ready Pods whose label {carried} differs from {asked}."),
    );
    let first = |words: &str| words.split(", ").next().unwrap_or_default().to_owned();
    let label = first(carried);
    let why = scene.text("本应作为后端的工作负载", "the workload that should answer");
    let finding = Finding::new("service_selector_mismatch", Depth::Root, name, name, headline)
        .summary(summary)
        .cite([
            scene.quote(&service.reference, &first(asked).replace('=', ": ")),
            scene.quote_any(&pod.reference, &[&label.replace('=', ": "), &label]),
            endpoints_line(scene, service),
        ])
        .touches([workload.clone()])
        .related(workload.clone(), why, describe::state(scene, workload).unwrap_or_else(|| carried.clone()))
        .steps(found.steps(scene));
    if *ready == 0 {
        return finding;
    }
    finding.ruled_out(
        scene.text("后端 Pod 未就绪", "Pods that are not ready"),
        scene.text(format!("{workload} 有 {ready} 个 Ready 的 Pod"), format!("{workload} has {ready} Ready Pods")),
    )
}

/// A Pod and the pairs of a selector it does not carry.
type Near<'s> = (&'s Seen<Pod>, Vec<(&'s String, &'s String)>);

/// The Pod that comes closest to a selector: most pairs right, at least one, and what differs.
fn nearest<'s>(scene: &'s Scene<'_>, service: &ObjectRef, wanted: &'s LabelMap) -> Option<Near<'s>> {
    let candidates = scene.pods.iter().filter(|pod| named(&pod.object).namespace == service.namespace);
    let scored = candidates.filter_map(|pod| {
        let labels = pod.object.metadata.labels.as_ref()?;
        let differing: Vec<(&String, &String)> =
            wanted.iter().filter(|(key, value)| labels.get(*key) != Some(value)).collect();
        let right = wanted.len() - differing.len();
        let same_name = scene.workload(&pod.object).name == service.name;
        // Pods that answer for another Service are no mistake of this one for bearing a like name.
        let alike = !serves_another(scene, service, &pod.object)
            && differing
                .iter()
                .any(|(key, value)| labels.get(*key).is_some_and(|actual| strsim::jaro_winkler(actual, value) > 0.8));
        (right > 0 || same_name || alike).then_some(((right, same_name, alike), pod, differing))
    });
    scored.max_by_key(|(score, ..)| *score).map(|(_, pod, differing)| (pod, differing))
}

fn serves_another(scene: &Scene<'_>, service: &ObjectRef, pod: &Pod) -> bool {
    let others = scene.services.iter().filter(|other| {
        let other = named(&other.object);
        other.namespace == service.namespace && other.name != service.name
    });
    let labels = pod.metadata.labels.as_ref();
    let mut chosen = others.filter_map(|other| service_selector(&other.object));
    chosen.any(|wanted| crate::playbook::selector::covers(wanted, labels))
}

fn none_ready(scene: &Scene<'_>, service: &Seen<Service>, name: &ObjectRef, live: &[&&Seen<Pod>]) -> Finding {
    let total = live.len();
    let headline = scene.text(
        format!("{name} 没有可用后端：selector 匹配的 {total} 个 Pod 都未 Ready"),
        format!("{name} has no ready backend: none of the {total} Pods it selects is Ready"),
    );
    Finding::new("service_backends_not_ready", Depth::Symptom, name, name, headline)
        .cite([endpoints_line(scene, service)])
        .touches(live.iter().map(|pod| named(&pod.object)))
        .steps([look(
            scene.text("查看后端 Pod", "Look at its Pods"),
            kubectl(&name.namespace, &format!("get endpoints {}", name.name)),
        )])
}

pub(super) fn endpoints_line(scene: &Scene<'_>, service: &Seen<Service>) -> Option<crate::report::Citation> {
    let name = named(&service.object);
    let reference = scene.facts.listing("Endpoints", &name.namespace)?;
    scene.quote_line(reference, &[&name.name, "<none>"])
}

fn in_words(selector: &LabelMap) -> String {
    selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

fn first_pair(selector: &LabelMap) -> String {
    selector.iter().next().map(|(key, value)| format!("{key}: {value}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, deployment, patched, pod, service};

    #[test]
    fn a_selector_that_misses_its_pods_names_both_values() {
        let labelled = pod(json!({"metadata": {"labels": {"version": "v4"}}}));
        let world = World::asking("Service", "web")
            .with(service(json!({"app": "web", "version": "v3"})))
            .with(labelled)
            .with(deployment(1, 1));
        assert_eq!(world.cause(), "service_selector_mismatch Service/web");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("version=v3") && headline.contains("version=v4"), "{headline}");
    }

    #[test]
    fn pods_that_are_not_ready_are_the_pods_story() {
        let world = World::asking("Service", "web")
            .with(service(json!({"app": "web"})))
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", "ERROR disk is on fire");
        assert_eq!(world.cause(), "crashloop_app_error Deployment/web");
        assert!(world.codes().contains(&"service_backends_not_ready"));
    }

    #[test]
    fn a_workload_at_zero_explains_its_service_only_when_that_is_asked_about() {
        let asked =
            World::asking("Service", "web").with(service(json!({"app": "web"}))).with(deployment(0, 0)).listed("Pod");
        assert_eq!(asked.cause(), "scaled_to_zero Deployment/web");
        let unasked = World::asking("Deployment", "web")
            .with(service(json!({"app": "web"})))
            .with(deployment(0, 0))
            .listed("Pod");
        assert!(!unasked.codes().contains(&"scaled_to_zero"));
    }

    #[test]
    fn a_like_name_is_no_mistake_where_the_pods_answer_for_another_service() {
        let beside = |name: &str, app: &str| patched(service(json!({"app": app})), json!({"metadata": {"name": name}}));
        let world = |first: serde_json::Value| {
            World::asking("Deployment", "web")
                .with(first)
                .with(beside("web-preview", "web-preview"))
                .with(pod(json!({})))
                .with(deployment(1, 1))
        };
        world(beside("web", "web")).is_calm();
        assert!(world(beside("other", "other")).codes().contains(&"service_selector_mismatch"));
    }

    #[test]
    fn a_preview_that_sleeps_on_purpose_is_no_mistake_either() {
        let named = |name: &str| json!({"metadata": {"name": name}, "spec": {"selector": {"app": name}}});
        let sleeping = json!({"metadata": {"name": "web-preview"},
            "spec": {"template": {"metadata": {"labels": {"app": "web-preview"}}}}});
        World::asking("Deployment", "web")
            .with(patched(service(json!({})), named("web-preview")))
            .with(patched(deployment(0, 0), sleeping))
            .with(pod(json!({})))
            .with(deployment(1, 1))
            .is_calm();
    }

    #[test]
    fn a_service_whose_workload_has_no_pods_just_now_is_not_misled_by_a_neighbours_label() {
        let labels = json!({"metadata": {"name": "web-export-1-a", "labels": {"app": "web-export"}}});
        let world = World::asking("Service", "web")
            .with(service(json!({"app": "web"})))
            .with(pod(labels))
            .with(deployment(1, 0))
            .event("Deployment", "web", "FailedCreate", "pods \"web-1-x\" is forbidden: exceeded quota: small")
            .listed("Pod");
        assert!(!world.codes().contains(&"service_selector_mismatch"), "{:?}", world.codes());
        assert!(world.codes().contains(&"service_backends_not_ready"));
    }

    #[test]
    fn a_service_with_a_ready_pod_stays_quiet() {
        World::asking("Service", "web").with(service(json!({"app": "web"}))).with(pod(json!({}))).is_calm();
    }

    #[test]
    fn pods_known_only_by_a_table_row_are_not_called_unready() {
        let row = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1-a", "namespace": "shop", "labels": {"app": "web"}}});
        World::asking("Service", "web").with(service(json!({"app": "web"}))).with(row).is_calm();
    }

    #[test]
    fn a_selector_that_comes_close_to_nothing_is_only_said_to_match_nothing() {
        let other = pod(json!({"metadata": {"labels": {"app": "ledger", "pod-template-hash": null}}, "spec": {}}));
        let named = patched(service(json!({"tier": "cache"})), json!({"metadata": {"name": "cache"}}));
        let world = World::asking("Service", "cache").with(named).with(other).listed("Pod");
        assert_eq!(world.cause(), "service_without_endpoints Service/cache");
    }
}
