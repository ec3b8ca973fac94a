//! Memory limits that a mutating webhook wrote into Pods, and the containers that run out of memory by them.

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;

use super::memory;
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Findings about Pods that were given less memory than their template asks for, by a webhook that signed the change.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let of_pod = |pod: &Seen<Pod>| {
        let views = pods::containers(&pod.object);
        views.into_iter().find_map(|view| shrunk(scene, pod, &view))
    };
    scene.current_pods().filter_map(of_pod).collect()
}

fn shrunk(scene: &Scene<'_>, pod: &Seen<Pod>, view: &ContainerView<'_>) -> Option<Finding> {
    let how = memory::rewritten(scene, &pod.object, view).filter(|_| memory::ran_out(view))?;
    let (webhook, domain) = signed(scene, &pod.object)?;
    let (name, workload, blame) = (named(&pod.object), scene.workload(&pod.object), named(&webhook.object));
    let headline = scene.text(
        format!("{blame} 在创建时改写了 {workload} 的内存 limit，容器 {} 因此被 OOMKilled：{how}", view.name()),
        format!(
            "{blame} rewrites the memory limit of {workload} at admission, so container {} is OOMKilled: {how}",
            view.name()
        ),
    );
    Some(
        Finding::new("admission_rewrites_resources", Depth::Root, &name, &blame, headline)
            .confidence(Confidence::Medium)
            .cite([
                scene.quote(&pod.reference, "reason: OOMKilled"),
                scene.quote_line(&pod.reference, &[&domain]),
                scene.quote_line(&webhook.reference, &[&domain]),
            ])
            .touches([workload.clone()])
            .steps([
                look(
                    scene.text("查看该 webhook 的规则", "Read the webhook's rules"),
                    format!("kubectl get mutatingwebhookconfiguration {} -o yaml", blame.name),
                ),
                look(
                    scene.text("对比 Pod 与模板的资源设置", "Compare the Pod's resources with the template's"),
                    kubectl(&name.namespace, &format!("get pod {} -o yaml", name.name)),
                ),
                change(
                    scene.text(format!("让 {blame} 不再改写该 Namespace"), format!("Keep {blame} from this Namespace")),
                    scene.text(
                        format!("用 namespaceSelector 或它认得的标签把 Namespace {} 排除在外", name.namespace),
                        format!(
                            "Exclude Namespace {} by its namespaceSelector, or by a label it heeds",
                            name.namespace
                        ),
                    ),
                    Some(kubectl("", &format!("edit mutatingwebhookconfiguration {}", blame.name))),
                ),
                change(scene.text("然后重建 Pod", "Then make the Pods anew"), "", restart(&workload)),
            ]),
    )
}

/// Makes a workload's Pods anew; none where nobody would.
fn restart(workload: &ObjectRef) -> Option<String> {
    let restarts = matches!(workload.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet");
    restarts.then(|| kubectl(&workload.namespace, &format!("rollout restart {}", slash(workload))))
}

/// The webhook whose name is the domain of one of the Pod's annotations.
fn signed(scene: &Scene<'_>, pod: &Pod) -> Option<(Seen<MutatingWebhookConfiguration>, String)> {
    let domains: Vec<&str> =
        pod.metadata.annotations.iter().flatten().filter_map(|(key, _)| Some(key.split_once('/')?.0)).collect();
    scene.facts.all::<MutatingWebhookConfiguration>().into_iter().find_map(|configuration| {
        let named =
            |domain: &&&str| configuration.object.webhooks.iter().flatten().any(|webhook| webhook.name == **domain);
        let domain = (*domains.iter().find(named)?).to_owned();
        Some((configuration, domain))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, crashed, deployment, patched, pod, replica_set};

    fn limited(memory: &str) -> Value {
        container(json!({"resources": {"limits": {"memory": memory}}}))
    }

    fn world(given: &str, webhook: &str) -> World {
        let template = json!({"spec": {"template": {"spec": {"containers": [limited("512Mi")]}}}});
        let own = json!({"metadata": {"annotations": {"rightsize.example.com/applied": "memory: 512Mi -> 48Mi"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "u", "controller": true}]},
            "spec": {"containers": [limited(given)]}});
        let configuration = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "rightsizer"}, "webhooks": [{"name": webhook, "clientConfig": {}, "admissionReviewVersions": ["v1"], "sideEffects": "None"}]});
        World::asking("Pod", "web-1-a")
            .with(patched(deployment(1, 0), template.clone()))
            .with(patched(replica_set(1, "", 1, 0), template))
            .with(pod(patched(crashed(137, "OOMKilled"), own)))
            .with(configuration)
    }

    #[test]
    fn a_webhook_that_signed_a_smaller_limit_is_blamed() {
        let world = world("48Mi", "rightsize.example.com");
        assert_eq!(world.cause(), "admission_rewrites_resources MutatingWebhookConfiguration/rightsizer");
        assert!(world.diagnosis().headline.contains("512Mi"), "{}", world.diagnosis().headline);
    }

    #[test]
    fn one_that_signed_nothing_is_not() {
        let world = world("48Mi", "sidecar.example.com");
        assert!(world.cause().starts_with("oom_killed_limit_too_low Deployment"));
        assert!(!world.codes().contains(&"admission_rewrites_resources"));
    }

    #[test]
    fn a_limit_as_it_was_asked_for_is_nobody_elses_doing() {
        assert!(!world("512Mi", "rightsize.example.com").codes().contains(&"admission_rewrites_resources"));
        assert!(world("512Mi", "rightsize.example.com").cause().starts_with("oom_killed_limit_too_low"));
    }
}
