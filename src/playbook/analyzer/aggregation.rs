//! APIs that another server answers (metrics, custom metrics): when it does not, autoscalers stand still and Namespaces do not go.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceCondition};

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};

/// Findings about APIServices that are not available.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.facts.all::<APIService>().iter().filter_map(|api| unavailable(scene, api)).collect()
}

/// Whether the API server says that nobody answers for an API.
#[must_use]
pub fn is_down(api: &APIService) -> bool {
    failing(api).is_some()
}

fn failing(api: &APIService) -> Option<&APIServiceCondition> {
    let conditions = api.status.as_ref()?.conditions.as_deref().unwrap_or(&[]);
    conditions.iter().find(|condition| condition.type_ == "Available" && condition.status == "False")
}

fn unavailable(scene: &Scene<'_>, api: &Seen<APIService>) -> Option<Finding> {
    let condition = failing(&api.object)?;
    let name = named(&api.object);
    let reason = condition.reason.as_deref().unwrap_or_default();
    let message = condition.message.as_deref().unwrap_or_default();
    let said = logs::shorten(message, 160);
    let headline =
        scene.text(format!("{name} 不可用（{reason}）：{said}"), format!("{name} is not available ({reason}): {said}"));
    let served = service_of(&api.object).and_then(|it| scene.service(&it.namespace, &it.name));
    let sick =
        served.is_some_and(|service| scene.backends(&service.object).iter().any(|pod| !pods::may_serve(&pod.object)));
    // Where the Pods behind it do not serve, they are the story, and this is what follows from it.
    let depth = if sick { Depth::Effect } else { Depth::Root };
    let mut finding = Finding::new("apiservice_unavailable", depth, &name, &name, headline)
        .cite([scene.quote(&api.reference, message), scene.quote(&api.reference, &format!("reason: {reason}"))])
        .touches(suffering(scene, &api.object))
        .steps([look(
            scene.text("查看 APIService 的条件", "Read the APIService's conditions"),
            format!("kubectl describe apiservice {}", name.name),
        )]);
    if let Some(service) = service_of(&api.object) {
        let state = crate::playbook::describe::state(scene, &service).unwrap_or_else(|| said.clone());
        finding = finding
            .touches([service.clone()])
            .related(service.clone(), scene.text("提供该 API 的 Service", "the Service that answers for it"), state)
            .steps([look(
                scene.text("检查提供该 API 的 Service 与 Pod", "Check its Service and Pods"),
                kubectl(&service.namespace, "get svc,endpoints,pods"),
            )]);
    }
    Some(finding.steps([change(
        scene.text("恢复提供该 API 的服务", "Bring back the server that answers for it"),
        scene.text(
            "如果该组件已不再使用，删除这个 APIService，否则 Namespace 无法删除",
            "If it is gone for good, delete the APIService: Namespaces cannot be deleted before",
        ),
        None,
    )]))
}

/// The Service that answers for an API.
#[must_use]
pub fn service_of(api: &APIService) -> Option<ObjectRef> {
    let service = api.spec.as_ref()?.service.as_ref()?;
    Some(ObjectRef::new("Service", service.namespace.clone()?, service.name.clone()?))
}

/// Autoscalers without metrics and Namespaces whose deletion could not discover all APIs.
#[must_use]
pub fn suffering(scene: &Scene<'_>, api: &APIService) -> Vec<ObjectRef> {
    let group = api.spec.as_ref().and_then(|spec| spec.group.clone()).unwrap_or_default();
    let mut objects = Vec::new();
    if group.ends_with("metrics.k8s.io") {
        let starved = |hpa: &&Seen<HorizontalPodAutoscaler>| {
            let conditions = hpa.object.status.as_ref().and_then(|status| status.conditions.as_deref());
            let mut inactive = conditions.into_iter().flatten();
            inactive.any(|it| it.type_ == "ScalingActive" && it.status == "False")
        };
        objects.extend(scene.facts.all().iter().filter(starved).map(|hpa| named(&hpa.object)));
    }
    let held = |namespace: &&Seen<Namespace>| {
        let conditions = namespace.object.status.as_ref().and_then(|status| status.conditions.as_deref());
        let mut failed = conditions.into_iter().flatten();
        failed.any(|it| it.type_ == "NamespaceDeletionDiscoveryFailure" && it.status == "True")
    };
    objects.extend(scene.facts.all().iter().filter(held).map(|namespace| named(&namespace.object)));
    objects
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, deployment, patched, pod, service};

    fn metrics(status: &str) -> serde_json::Value {
        json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.metrics.k8s.io"},
            "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
                "service": {"namespace": "kube-system", "name": "metrics-server"}},
            "status": {"conditions": [{"type": "Available", "status": status, "reason": "MissingEndpoints",
                "message": "endpoints for service/metrics-server in \"kube-system\" have no addresses"}]}})
    }

    fn starved() -> World {
        let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
            "status": {"desiredReplicas": 0, "conditions": [{"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric",
                "message": "the HPA was unable to compute the replica count: unable to fetch metrics from resource metrics API"}]}});
        World::asking("HorizontalPodAutoscaler", "web").with(hpa).with(deployment(1, 1))
    }

    #[test]
    fn an_api_nobody_answers_explains_an_autoscaler_without_metrics() {
        let world = starved().with(metrics("False"));
        assert_eq!(world.cause(), "apiservice_unavailable APIService/v1beta1.metrics.k8s.io");
        assert!(world.diagnosis().headline.contains("MissingEndpoints"));
    }

    #[test]
    fn an_api_that_answers_stays_quiet() {
        World::asking("APIService", "v1beta1.metrics.k8s.io").with(metrics("True")).is_calm();
        assert!(starved().with(metrics("True")).cause().starts_with("hpa_metrics_unavailable"));
    }

    #[test]
    fn one_that_fails_elsewhere_is_no_cause_for_a_workload() {
        World::asking("Deployment", "web").with(deployment(1, 1)).with(metrics("False")).is_calm();
    }

    #[test]
    fn the_pod_behind_the_api_explains_it_and_the_autoscaler() {
        let elsewhere = |kind: &str| json!({"metadata": {"namespace": "kube-system", "name": kind}});
        let server = patched(service(json!({"app": "web"})), elsewhere("metrics-server"));
        let crashing = patched(pod(crashed(1, "Error")), json!({"metadata": {"namespace": "kube-system"}}));
        let world = starved().with(metrics("False")).with(server.clone()).with(crashing.clone());
        assert!(world.cause().starts_with("crashloop_unknown"), "{}", world.cause());
        let asked =
            World::asking("APIService", "v1beta1.metrics.k8s.io").with(metrics("False")).with(server).with(crashing);
        assert!(asked.cause().starts_with("crashloop_unknown"), "{}", asked.cause());
    }
}
