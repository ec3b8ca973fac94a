//! Names of single Pods: behind a Service without an address a Pod has a name of its own while it is Ready, and only then.

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// The name of a Pod that is not Ready does not resolve: that says nothing of its Service, and is the Pod's own trouble.
pub(super) fn unnamed(
    scene: &Scene<'_>,
    caller: &Seen<Pod>,
    call: &Call<'_>,
    service: &Seen<Service>,
) -> Option<Finding> {
    let namespace = named(&service.object).namespace;
    let (host, member) = call.hosts.iter().find_map(|host| {
        let pod = ObjectRef::new("Pod", &namespace, host.split('.').next().filter(|pod| reach::is_ordinal(pod))?);
        let seen = scene.pod(&pod).filter(|pod| !pods::is_ready(&pod.object))?;
        Some((host, named(&seen.object)))
    })?;
    if call.failure != Failure::Unresolved {
        return None;
    }
    let workload = scene.workload(&caller.object);
    let headline = scene.text(
        format!("{workload} 解析不到 {host}：这是 {member} 自己的域名，它未就绪，因此没有域名"),
        format!(
            "{workload} cannot resolve {host}: that is the name of {member} itself, which is not Ready and so has none"
        ),
    );
    let summary = scene.text(
        format!("{headline}，日志：{}。", logs::said(call.line)),
        format!("{headline}; its log: {}.", logs::said(call.line)),
    );
    Some(
        Finding::new("dependency_unreachable", Depth::Effect, &named(&caller.object), &member, headline)
            .summary(summary)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&call.log.reference, call.line)])
            .touches([workload])
            .steps([look(
                scene.text("查看该 Pod 为何未就绪", "See why that Pod is not Ready"),
                kubectl(&member.namespace, &format!("describe pod {}", member.name)),
            )]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, patched, pod, service, unschedulable};

    #[test]
    fn the_name_of_a_pod_that_waits_is_that_pods_trouble() {
        let world = |host: &str| {
            let own = |name: &str| json!({"metadata": {"name": name, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "s", "controller": true}]}});
            World::asking("Pod", "web-2")
                .with(patched(pod(unschedulable("0/1 nodes are available: 1 Insufficient cpu.")), own("web-2")))
                .with(patched(pod(json!({})), own("web-0")))
                .with(service(json!({"app": "web"})))
                .log("web-0", &format!("ERROR lookup {host} on 10.96.0.10:53: no such host\n").repeat(4))
                .diagnosis()
        };
        let all = |diagnosis: crate::report::Diagnosis| {
            let related = diagnosis.related.into_iter().flat_map(|related| related.findings);
            diagnosis.primary.findings.into_iter().chain(related).collect::<Vec<_>>().join("\n")
        };
        let told = all(world("web-2.web"));
        assert!(told.contains("cannot resolve web-2.web: that is the name of Pod shop/web-2 itself"), "{told}");
        assert!(!told.contains("fails to call Service"), "{told}");
        let told = all(world("web"));
        assert!(told.contains("fails to call Service shop/web"), "{told}");
    }
}
