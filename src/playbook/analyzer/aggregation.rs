//! APIs that another server answers (metrics, custom metrics): when it does not, autoscalers stand still and Namespaces do not go.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceCondition};

use crate::alert::ObjectRef;
use crate::playbook::back;
use crate::playbook::change;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::report::{Confidence, Step};

/// How a server of metrics says that it does not get at what it should measure: kubelets, Prometheus, a broker.
static CANNOT_READ: Pattern = Pattern::new(
    r"(?i)x509|\btls\b|certificate|\b40[13]\b|forbidden|unauthori[sz]ed|no route to host|connection refused|i/o timeout|timed? ?out|deadline exceeded|no such host",
);
/// An address of a kubelet that its serving certificate does not carry.
static NO_ADDRESS: Pattern = Pattern::new(r"doesn't contain any IP SANs|certificate is valid for .+, not ");

/// Findings about APIServices that are not available, and about servers of metrics that have none to give.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let apis = scene.facts.all::<APIService>();
    let blind = apis.iter().filter_map(|api| blind(scene, api));
    apis.iter().filter_map(|api| unavailable(scene, api)).chain(blind).collect()
}

/// The Pods that answer for an API.
fn servers<'s>(scene: &'s Scene<'_>, api: &APIService) -> Vec<&'s Seen<Pod>> {
    let service = service_of(api).and_then(|it| scene.service(&it.namespace, &it.name));
    service.map(|service| scene.backends(&service.object)).unwrap_or_default()
}

/// Of a metrics API by the name of its group: who answers for it and how many of its Pods are ready, where Pods of it were
/// read.
#[must_use]
pub fn answering(scene: &Scene<'_>, group: &str) -> Option<(ObjectRef, usize, usize)> {
    let apis = scene.facts.all::<APIService>();
    let api = apis.iter().find(|api| api.object.spec.as_ref().and_then(|it| it.group.as_deref()) == Some(group))?;
    let servers = servers(scene, &api.object);
    let workload = scene.workload(&servers.first()?.object);
    Some((workload, servers.iter().filter(|pod| pods::is_ready(&pod.object)).count(), servers.len()))
}

/// A server of metrics that runs, and whose log says again and again that it does not get at what it measures: the API
/// has nothing to give, and whoever scales by it stands still.
fn blind(scene: &Scene<'_>, api: &Seen<APIService>) -> Option<Finding> {
    let spec = api.object.spec.as_ref()?;
    let group = spec.group.as_deref().filter(|group| group.ends_with("metrics.k8s.io"))?;
    let victims = suffering(scene, &api.object);
    if failing(&api.object).is_none() && victims.is_empty() {
        return None;
    }
    let servers = servers(scene, &api.object);
    let (pod, log, line) = servers.into_iter().find_map(|pod| complaint(scene, pod))?;
    let (about, workload, said) = (named(&api.object), scene.workload(&pod.object), logs::said(line));
    let hpa = victims.iter().find(|it| it.kind == "HorizontalPodAutoscaler");
    let (so_zh, so_en) = hpa.map_or_else(
        || (format!("{group} 没有数据"), format!("{group} gives nothing")),
        |hpa| {
            (
                format!("HPA {}/{} 取不到指标，无法扩缩容", hpa.namespace, hpa.name),
                format!("HPA {}/{} gets no metrics and cannot scale", hpa.namespace, hpa.name),
            )
        },
    );
    let headline = scene.text(
        format!("{workload} 在运行，但读不到它要采集的指标（{said}），因此{so_zh}"),
        format!("{workload} runs, but cannot read what it measures ({said}), so {so_en}"),
    );
    let newest = change::revision(scene, &workload);
    let changed = newest.as_ref().and_then(|newest| newest.findings.first());
    let summary = match changed {
        Some(changed) => scene.text(
            format!("{headline}。它的新版本改动：{changed}。"),
            format!("{headline}. Its newest version changed: {changed}."),
        ),
        None => scene.text(format!("{headline}。"), format!("{headline}.")),
    };
    let told = failing(&api.object).and_then(|it| it.message.clone()).unwrap_or_default();
    let touched = victims.iter().filter_map(|hpa| scale_target(scene, hpa));
    let mut finding = Finding::new("metrics_source_unreadable", Depth::Root, &about, &workload, headline)
        .summary(summary)
        .confidence(if pods::is_ready(&pod.object) { Confidence::Medium } else { Confidence::High })
        .cite([scene.quote(&log.reference, line), scene.quote(&api.reference, &told)])
        .touches([named(&pod.object)])
        .touches(service_of(&api.object))
        .touches(touched.collect::<Vec<_>>())
        .touches(victims.iter().cloned())
        .steps([look(
            scene.text(format!("查看 {workload} 的日志"), format!("Read the log of {workload}")),
            kubectl(&workload.namespace, &format!("logs {} --tail=50", slash(&workload))),
        )]);
    if changed.is_some() && workload.kind == "Deployment" {
        finding = finding.steps(back(scene, &workload));
    }
    if NO_ADDRESS.hits(line) {
        finding = finding.steps([change(
            scene.text(
                "让 kubelet 的服务证书包含节点地址，或为它加回 --kubelet-insecure-tls",
                "Give the kubelets serving certificates with their addresses, or this server --kubelet-insecure-tls",
            ),
            scene.text(
                "前者：在 kubelet 配置中设 serverTLSBootstrap: true 并批准 CSR",
                "The former: serverTLSBootstrap: true in the kubelets' configuration, and approve the CSRs",
            ),
            edit_template(&workload),
        )]);
    }
    Some(finding)
}

/// What a server of metrics says again and again about what it cannot read. One that cannot run is another story.
fn complaint<'a, 's>(scene: &Scene<'a>, pod: &'s Seen<Pod>) -> Option<(&'s Seen<Pod>, &'a SeenLog, &'a str)> {
    let runs = pods::containers(&pod.object).iter().any(|view| view.running() && !view.failing(scene.facts.now));
    if !runs || pods::is_leaving(&pod.object) {
        return None;
    }
    let tells = |line: &str| logs::is_error(line) && CANNOT_READ.hits(line) && !logs::instructs(line);
    let (log, line, _) = reach::repeated(scene, &pod.object, tells)?;
    // Of one Node among many that cannot be read the others are told still.
    let noisy = log.lines.as_deref().is_ok_and(|text| logs::is_noisy(logs::error_share(scene.present(log, text))));
    (noisy || !pods::is_ready(&pod.object)).then_some((pod, log, line))
}

/// What an autoscaler scales.
fn scale_target(scene: &Scene<'_>, hpa: &ObjectRef) -> Option<ObjectRef> {
    let found: Seen<HorizontalPodAutoscaler> = scene.facts.get(&hpa.namespace, &hpa.name)?;
    let target = found.object.spec.scale_target_ref;
    Some(ObjectRef::new(&target.kind, &hpa.namespace, &target.name))
}

/// The version before, which is a step where the newest one changed something.
fn back(scene: &Scene<'_>, workload: &ObjectRef) -> [Step; 2] {
    [
        look(
            scene.text("对比两个版本", "Compare the revisions"),
            kubectl(&workload.namespace, &format!("rollout history {}", slash(workload))),
        ),
        change(
            scene.text(format!("把 {workload} 回滚到上一版本"), format!("Go back to the version before of {workload}")),
            scene.text("或者在新版本中补回被改掉的设置", "Or put back in the new version what it lost"),
            Some(back::undo(workload)),
        ),
    ]
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

    use super::*;
    use crate::playbook::world::{World, container, crashed, deployment, patched, pod, replica_set, service, unready};

    #[test]
    fn every_pattern_compiles() {
        assert!(CANNOT_READ.compiles() && NO_ADDRESS.compiles());
    }

    const NO_SANS: &str = "E1123 02:59:11.291246       1 scraper.go:149] \"Failed to scrape node\" err=\"Get \\\"https://10.0.0.1:10250/metrics/resource\\\": tls: failed to verify certificate: x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs\" node=\"n1\"\n";

    /// A metrics-server that runs, its state patched, with two versions and a log.
    fn serving(state: serde_json::Value, log: &str, api: &str) -> World {
        let there =
            |object, name: &str| patched(object, json!({"metadata": {"namespace": "kube-system", "name": name}}));
        let owner = |kind: &str, name: &str| json!({"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "m", "controller": true}]}});
        let version = |number: i32, args: &[&str]| {
            let made = format!("2026-11-23T0{number}:30:00Z");
            let spec = json!({"metadata": {"creationTimestamp": made},
                "spec": {"template": {"spec": {"containers": [container(json!({"args": args}))]}}}});
            let set = there(replica_set(number, "reg/web:1", i32::from(number == 2), 0), &format!("ms-{number}"));
            patched(patched(set, spec), owner("Deployment", "metrics-server"))
        };
        starved()
            .with(metrics(api))
            .with(there(service(json!({"app": "web"})), "metrics-server"))
            .with(there(deployment(1, 0), "metrics-server"))
            .with(version(1, &["--secure-port=4443", "--kubelet-insecure-tls"]))
            .with(version(2, &["--secure-port=4443"]))
            .with(patched(there(pod(state), "ms-2-a"), owner("ReplicaSet", "ms-2")))
            .log_in("kube-system", "ms-2-a", log)
    }

    fn not_ready() -> serde_json::Value {
        unready(json!({"running": {"startedAt": "2026-11-23T02:30:00Z"}}), json!({}), 0)
    }

    #[test]
    fn a_metrics_server_that_cannot_read_the_kubelets_is_why_nothing_scales() {
        let world = serving(not_ready(), &NO_SANS.repeat(9), "False");
        assert_eq!(world.cause(), "metrics_source_unreadable Deployment/metrics-server");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("IP SANs") && diagnosis.headline.contains("HPA shop/web"));
        assert!(diagnosis.causes[0].summary.contains("--kubelet-insecure-tls"), "{}", diagnosis.causes[0].summary);
        assert!(diagnosis.steps.iter().any(|step| {
            step.command.as_deref() == Some("kubectl -n kube-system rollout undo deployment/metrics-server")
        }));
    }

    #[test]
    fn one_that_reads_all_but_one_of_them_or_says_nothing_is_not_blamed() {
        let calm = serving(not_ready(), "I1123 02:59:12 1 server.go:192] up\n", "False");
        assert!(!calm.codes().contains(&"metrics_source_unreadable"));
        let told = calm.diagnosis();
        assert!(!told.headline.contains("missing"), "{}", told.headline);
        let mostly = format!("{}{}", NO_SANS.repeat(4), "I1123 02:59:12 1 scraper.go:80] scraped\n".repeat(40));
        assert!(!serving(json!({}), &mostly, "True").codes().contains(&"metrics_source_unreadable"));
    }

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
