//! HorizontalPodAutoscalers at their maximum, without metrics, or without a target.

use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerSpec,
    HorizontalPodAutoscalerStatus,
};

use crate::alert::ObjectRef;
use crate::playbook::analyzer::unrequested::Unrequested;
use crate::playbook::analyzer::{aggregation, scaled_object};
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::scene::{Scene, named};
use crate::report::Step;

/// Reasons by which the controller says that the autoscaler itself is wrong, not its metrics.
const MISTAKES: [&str; 5] =
    ["InvalidSelector", "AmbiguousSelector", "InvalidMetricSourceType", "FailedUpdateScale", "MissingSelector"];

/// Findings about autoscalers; one at its minimum or switched off by zero replicas is at rest, not broken.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.facts.all::<HorizontalPodAutoscaler>().iter().filter_map(|found| broken(scene, found)).collect()
}

fn broken(scene: &Scene<'_>, found: &Seen<HorizontalPodAutoscaler>) -> Option<Finding> {
    let spec = &found.object.spec;
    let status = found.object.status.as_ref()?;
    let condition = |kind: &str, value: &str| {
        status.conditions.iter().flatten().find(|condition| condition.type_ == kind && condition.status == value)
    };
    if let Some(unable) = condition("AbleToScale", "False").filter(|it| it.reason.as_deref() == Some("FailedGetScale"))
    {
        // It may also be forbidden to read its target, or the target may not be scalable.
        let gone = scene.facts.is_missing(&scaled(found, spec));
        let said = unable.message.as_deref().unwrap_or_default();
        let missing = gone || said.is_empty() || said.contains("not found");
        return Some(if missing { no_target(scene, found, spec, unable) } else { mistaken(scene, found, unable) });
    }
    let refused = condition("AbleToScale", "False").or_else(|| condition("ScalingActive", "False"));
    if let Some(refused) = refused.filter(|it| MISTAKES.contains(&it.reason.as_deref().unwrap_or_default())) {
        return Some(mistaken(scene, found, refused));
    }
    let limited = condition("ScalingLimited", "True").filter(|it| it.reason.as_deref() == Some("TooManyReplicas"));
    if let Some(limited) = limited {
        return Some(at_maximum(scene, found, spec, status, limited));
    }
    let inactive = condition("ScalingActive", "False").filter(|it| it.reason.as_deref() != Some("ScalingDisabled"))?;
    Some(no_metrics(scene, found, spec, inactive))
}

fn mistaken(
    scene: &Scene<'_>,
    found: &Seen<HorizontalPodAutoscaler>,
    refused: &HorizontalPodAutoscalerCondition,
) -> Finding {
    let name = named(&found.object);
    let reason = refused.reason.as_deref().unwrap_or_default();
    let message = refused.message.as_deref().unwrap_or_default();
    let said = logs::shorten(message, 160);
    let headline = scene.text(
        format!("HPA {}/{} 无法工作（{reason}）：{said}", name.namespace, name.name),
        format!("HPA {}/{} cannot work ({reason}): {said}", name.namespace, name.name),
    );
    Finding::new("hpa_invalid", Depth::Root, &name, &name, headline)
        .cite([scene.quote(&found.reference, message), scene.quote(&found.reference, &format!("reason: {reason}"))])
        .touches([scaled(found, &found.object.spec)])
        .steps([
            look(
                scene.text("查看 HPA 的条件", "Read the HPA's conditions"),
                kubectl(&name.namespace, &format!("describe hpa {}", name.name)),
            ),
            change(
                scene.text(
                    "修正 HPA，并确认没有两个 HPA 控制同一组 Pod",
                    "Correct the HPA, and see that no two of them scale the same Pods",
                ),
                "",
                Some(kubectl(&name.namespace, &format!("edit hpa {}", name.name))),
            ),
        ])
}

fn scaled(found: &Seen<HorizontalPodAutoscaler>, spec: &HorizontalPodAutoscalerSpec) -> ObjectRef {
    ObjectRef::new(&spec.scale_target_ref.kind, named(&found.object).namespace, &spec.scale_target_ref.name)
}

fn at_maximum(
    scene: &Scene<'_>,
    found: &Seen<HorizontalPodAutoscaler>,
    spec: &HorizontalPodAutoscalerSpec,
    status: &HorizontalPodAutoscalerStatus,
    limited: &HorizontalPodAutoscalerCondition,
) -> Finding {
    let name = named(&found.object);
    let workload = scaled(found, spec);
    let max = spec.max_replicas;
    let load = load_in_words(spec, status);
    let load_text =
        if load.is_empty() { String::new() } else { scene.text(format!("，当前 {load}"), format!(", now {load}")) };
    let headline = scene.text(
        format!("HPA {}/{} 已达 maxReplicas {max}，仍需要更多副本{load_text}", name.namespace, name.name),
        format!("HPA {}/{} is at its maxReplicas of {max} and wants more{load_text}", name.namespace, name.name),
    );
    let current = status.current_replicas.unwrap_or(0);
    let summary = scene.text(
        format!("{name} 期望的副本数超过 maxReplicas {max}（TooManyReplicas），{workload} 停在 {current} 个副本{load_text}。"),
        format!("{name} wants more than maxReplicas {max} (TooManyReplicas), so {workload} stays at {current} replicas{load_text}."),
    );
    Finding::new("hpa_at_max_replicas", Depth::Effect, &name, &name, headline)
        .summary(summary)
        .cite([
            scene.quote(&found.reference, limited.message.as_deref().unwrap_or_default()),
            scene.quote(&found.reference, &format!("maxReplicas: {max}")),
            scene.quote(&found.reference, "reason: TooManyReplicas"),
        ])
        .touches([workload.clone()])
        .unresolved(scene.text(
            "负载上涨是正常业务增长，还是由慢依赖、重试或异常流量引起？",
            "Is the load ordinary growth, or caused by a slow dependency, retries or odd traffic?",
        ))
        .steps([
            look(
                scene.text("查看 HPA 的指标与事件", "Read the HPA's metrics and events"),
                kubectl(&name.namespace, &format!("describe hpa {}", name.name)),
            ),
            look(scene.text("查看 Pod 用量", "See what the Pods use"), kubectl(&name.namespace, "top pods")),
            raise(scene, found, max, asked_for(spec, status)),
        ])
}

/// Raises the limit where it is set: at the autoscaler, or at the ScaledObject that owns it and would take it back.
fn raise(scene: &Scene<'_>, found: &Seen<HorizontalPodAutoscaler>, max: i32, asked: Option<i32>) -> Step {
    let name = named(&found.object);
    let room = scene.text("先确认集群与 ResourceQuota 有足够余量", "First make sure that Nodes and quotas have room");
    let asked = asked.filter(|asked| *asked > max);
    let title = match asked {
        Some(asked) => scene.text(
            format!("如果负载合理，把 maxReplicas 从 {max} 提高到 {asked} 或更多（当前负载需要 {asked} 个）"),
            format!("If the load is legitimate, raise maxReplicas from {max} to {asked} or more, which the present load asks for"),
        ),
        None => scene.text(
            format!("如果负载合理，把 maxReplicas 提高到 {max} 以上"),
            format!("If the load is legitimate, raise maxReplicas above {max}"),
        ),
    };
    let number = asked.map_or_else(|| "<N>".to_owned(), |asked| asked.to_string());
    match scaled_object::owner(scene, &found.object) {
        Some(owner) => change(
            scene.text(
                format!("如果负载合理，把 {owner} 的 maxReplicaCount 提高到 {max} 以上"),
                format!("If the load is legitimate, raise maxReplicaCount of {owner} above {max}"),
            ),
            room,
            Some(kubectl(&owner.namespace, &format!("edit scaledobject {}", owner.name))),
        ),
        None => change(
            title,
            room,
            Some(kubectl(
                &name.namespace,
                &format!("patch hpa {} -p '{{\"spec\":{{\"maxReplicas\":{number}}}}}'", name.name),
            )),
        ),
    }
}

/// Current against wanted utilisation of the resource metrics.
fn loads<'h>(
    spec: &'h HorizontalPodAutoscalerSpec,
    status: &'h HorizontalPodAutoscalerStatus,
) -> impl Iterator<Item = (&'h str, i32, i32)> {
    let current = status.current_metrics.iter().flatten().filter_map(|metric| metric.resource.as_ref());
    current.filter_map(|metric| {
        let mut wanted = spec.metrics.iter().flatten().filter_map(|metric| metric.resource.as_ref());
        let wanted = wanted.find(|wanted| wanted.name == metric.name)?;
        Some((metric.name.as_str(), metric.current.average_utilization?, wanted.target.average_utilization?))
    })
}

/// The same in words, for example `cpu 97%/60%`.
fn load_in_words(spec: &HorizontalPodAutoscalerSpec, status: &HorizontalPodAutoscalerStatus) -> String {
    loads(spec, status).map(|(name, now, target)| format!("{name} {now}%/{target}%")).collect::<Vec<_>>().join(", ")
}

/// So many times its maximum is the most an autoscaler is said to need.
const MOST_TIMES: i32 = 4;

/// How many replicas the present load asks for, as the controller counts it:
/// <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#algorithm-details>.
fn asked_for(spec: &HorizontalPodAutoscalerSpec, status: &HorizontalPodAutoscalerStatus) -> Option<i32> {
    let current = status.current_replicas.filter(|current| *current > 0)?;
    let counted = loads(spec, status).filter(|(.., target)| *target > 0);
    let wide = |number: i32| i64::from(number);
    let asked = counted.map(|(_, now, target)| (wide(current) * wide(now) + wide(target) - 1) / wide(target)).max()?;
    // A request far below what the container takes asks for any number: then the request is wrong, not the maximum.
    i32::try_from(asked).ok().filter(|asked| *asked <= spec.max_replicas.saturating_mul(MOST_TIMES))
}

fn no_metrics(
    scene: &Scene<'_>,
    found: &Seen<HorizontalPodAutoscaler>,
    spec: &HorizontalPodAutoscalerSpec,
    inactive: &HorizontalPodAutoscalerCondition,
) -> Finding {
    let name = named(&found.object);
    let workload = scaled(found, spec);
    let message = inactive.message.as_deref().unwrap_or_default();
    let without = Unrequested::told(message);
    let reason = inactive.reason.as_deref().unwrap_or_default();
    let custom = ["FailedGetPodsMetric", "FailedGetObjectMetric", "FailedGetExternalMetric"].contains(&reason);
    let no_api = !custom
        && !message.contains("custom.metrics")
        && !message.contains("external.metrics")
        && (message.contains("could not find the requested resource") || message.contains("unable to fetch metrics"));
    // Of a server that is there nobody says that it is missing.
    let group = match (no_api, reason) {
        (true, _) => Some("metrics.k8s.io"),
        (_, "FailedGetExternalMetric") => Some("external.metrics.k8s.io"),
        _ if custom => Some("custom.metrics.k8s.io"),
        _ => None,
    };
    let answers = group.and_then(|group| aggregation::answering(scene, group)).map(|(server, ready, all)| {
        (
            format!("无法取得指标（提供指标的 {server} 有 {ready}/{all} 个 Pod 就绪）"),
            format!("it gets no metrics ({server}, which should give them, has {ready} of {all} Pods ready)"),
        )
    });
    let (code, blame, zh, en) = if let Some(without) = &without {
        let (zh, en) = without.said();
        ("hpa_missing_requests", workload.clone(), zh, en)
    } else if let Some((zh, en)) = answers {
        ("hpa_metrics_unavailable", name.clone(), zh, en)
    } else if no_api {
        (
            "hpa_metrics_unavailable",
            name.clone(),
            "无法从 metrics API 取得指标（metrics-server 未安装或不可用）".to_owned(),
            "the metrics API gives nothing (metrics-server is missing or down)".to_owned(),
        )
    } else if message.contains("custom.metrics.k8s.io") || message.contains("external.metrics.k8s.io") || custom {
        (
            "hpa_metrics_unavailable",
            name.clone(),
            "无法取得自定义指标（指标适配器未安装、不可用，或没有这个指标）".to_owned(),
            "its custom metric cannot be read (the metrics adapter is missing or down, or knows no such metric)"
                .to_owned(),
        )
    } else {
        ("hpa_metrics_unavailable", name.clone(), "无法取得指标".to_owned(), "its metric cannot be read".to_owned())
    };
    let headline = scene.text(
        format!("HPA {}/{} 无法扩缩容（{reason}）：{zh}", name.namespace, name.name),
        format!("HPA {}/{} cannot scale ({reason}): {en}", name.namespace, name.name),
    );
    let summary = scene.colon(&headline, logs::shorten(message, 200));
    Finding::new(code, Depth::Mechanism, &name, &blame, headline)
        .summary(summary)
        .cite([scene.quote(&found.reference, message), scene.quote(&found.reference, &format!("reason: {reason}"))])
        .touches([workload.clone(), name.clone()])
        .steps([look(
            scene.text("查看 HPA 的条件与事件", "Read the HPA's conditions and events"),
            kubectl(&name.namespace, &format!("describe hpa {}", name.name)),
        )])
        .steps(match &without {
            Some(without) => without.steps(scene, &workload),
            None => source(scene, api(group, message)),
        })
}

/// The API that a metric comes from: each is served by somebody else.
fn api(group: Option<&'static str>, message: &str) -> &'static str {
    let said = ["external.metrics.k8s.io", "custom.metrics.k8s.io"].into_iter().find(|api| message.contains(api));
    said.or(group).unwrap_or("metrics.k8s.io")
}

/// How to bring back whoever serves a metric.
fn source(scene: &Scene<'_>, api: &str) -> Vec<Step> {
    let (check, restore) = if api == "metrics.k8s.io" {
        (
            "kubectl get apiservices v1beta1.metrics.k8s.io".to_owned(),
            scene.text(
                "安装或恢复 metrics-server（或指标适配器）",
                "Install or restore metrics-server (or the metrics adapter)",
            ),
        )
    } else {
        (
            // Adapters register the custom metrics under either version.
            format!("kubectl get apiservices v1beta1.{api}")
                + if api == "custom.metrics.k8s.io" { " v1beta2.custom.metrics.k8s.io" } else { "" },
            scene.text(
                format!("安装或恢复提供 {api} 的指标适配器（prometheus-adapter、KEDA 等），并确认它有这个指标"),
                format!("Install or restore the adapter that serves {api} (prometheus-adapter, KEDA), and see that it knows this metric"),
            ),
        )
    };
    vec![
        look(scene.text(format!("确认 {api} 是否可用"), format!("Check that {api} is served")), check),
        change(restore, "", None),
    ]
}

fn no_target(
    scene: &Scene<'_>,
    found: &Seen<HorizontalPodAutoscaler>,
    spec: &HorizontalPodAutoscalerSpec,
    unable: &HorizontalPodAutoscalerCondition,
) -> Finding {
    let name = named(&found.object);
    let workload = scaled(found, spec);
    let headline = scene.text(
        format!("HPA {}/{} 的目标 {workload} 不存在，无法扩缩容", name.namespace, name.name),
        format!("HPA {}/{} cannot scale: its target {workload} does not exist", name.namespace, name.name),
    );
    Finding::new("hpa_target_missing", Depth::Root, &name, &name, headline)
        .cite([scene.quote(&found.reference, unable.message.as_deref().unwrap_or("reason: FailedGetScale"))])
        .touches(meant(scene, &workload))
        .steps([
            look(
                scene.text("查看 HPA", "Look at the HPA"),
                kubectl(&name.namespace, &format!("describe hpa {}", name.name)),
            ),
            change(
                scene.text("修正 scaleTargetRef 或删除该 HPA", "Correct scaleTargetRef or delete the HPA"),
                "",
                Some(kubectl(&name.namespace, &format!("edit hpa {}", name.name))),
            ),
        ])
}

/// Workloads of the same kind that bear the missing one's name with a suffix: nobody scales them, and they may be meant.
fn meant(scene: &Scene<'_>, missing: &ObjectRef) -> Vec<ObjectRef> {
    let prefix = format!("{}-", missing.name);
    let names = scene.facts.names().into_iter();
    names
        .filter(|it| it.kind == missing.kind && it.namespace == missing.namespace && it.name.starts_with(&prefix))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, patched};

    fn hpa(conditions: serde_json::Value) -> serde_json::Value {
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"minReplicas": 1, "maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web"},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60}}}]},
            "status": {"currentReplicas": 3, "desiredReplicas": 3, "conditions": conditions,
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 97}}}]}})
    }

    fn asked(conditions: serde_json::Value) -> World {
        World::asking("HorizontalPodAutoscaler", "web").with(hpa(conditions)).with(deployment(3, 3))
    }

    #[test]
    fn an_autoscaler_that_wants_more_than_its_maximum_says_so() {
        let world = asked(json!([{"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas",
            "message": "the desired replica count is more than the maximum replica count"}]));
        assert_eq!(world.cause(), "hpa_at_max_replicas HorizontalPodAutoscaler/web");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("maxReplicas of 3") && headline.contains("cpu 97%/60%"), "{headline}");
        let raise = world.diagnosis().steps.pop().unwrap();
        assert!(raise.title.contains("from 3 to 5"), "{}", raise.title);
        assert!(raise.command.is_some_and(|it| it.contains("{\"maxReplicas\":5}")));
    }

    #[test]
    fn missing_metrics_and_missing_requests_are_two_repairs() {
        let inactive = |message: &str| {
            asked(
                json!([{"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": message}]),
            )
        };
        let api = inactive(
            "the HPA was unable to compute the replica count: unable to fetch metrics from resource metrics API",
        );
        assert_eq!(api.cause(), "hpa_metrics_unavailable HorizontalPodAutoscaler/web");
        let request =
            inactive("failed to get cpu utilization: missing request for cpu in container web of Pod web-1-a");
        assert_eq!(request.cause(), "hpa_missing_requests Deployment/web");
        assert!(request.diagnosis().headline.contains("container web sets no request for cpu"));
        let older = inactive("failed to get memory utilization: missing request for memory");
        assert_eq!(older.cause(), "hpa_missing_requests Deployment/web");
        assert!(older.diagnosis().headline.contains("a container sets no request for memory"));
    }

    #[test]
    fn a_target_that_is_gone_is_the_autoscalers_fault() {
        let world = asked(json!([{"type": "AbleToScale", "status": "False", "reason": "FailedGetScale",
            "message": "the HPA controller was unable to get the target's current scale: deployments.apps \"web\" not found"}]));
        assert_eq!(world.cause(), "hpa_target_missing HorizontalPodAutoscaler/web");
        let refused = asked(json!([{"type": "AbleToScale", "status": "False", "reason": "FailedGetScale",
            "message": "deployments.apps \"web\" is forbidden: User cannot get resource \"deployments/scale\""}]));
        assert_eq!(refused.cause(), "hpa_invalid HorizontalPodAutoscaler/web", "it is there");
    }

    #[test]
    fn at_its_minimum_or_switched_off_it_is_at_rest() {
        asked(json!([{"type": "ScalingLimited", "status": "True", "reason": "TooFewReplicas"}])).is_calm();
        asked(json!([{"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}])).is_calm();
    }

    #[test]
    fn a_custom_metric_and_a_mistake_of_the_autoscaler_are_told_apart() {
        let inactive = |reason: &str, message: &str| {
            asked(json!([{"type": "ScalingActive", "status": "False", "reason": reason, "message": message}]))
        };
        let custom = inactive(
            "FailedGetPodsMetric",
            "the HPA was unable to compute the replica count: unable to get metric queue_depth: unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered",
        );
        assert_eq!(custom.cause(), "hpa_metrics_unavailable HorizontalPodAutoscaler/web");
        assert!(custom.diagnosis().headline.contains("custom metric"), "{}", custom.diagnosis().headline);
        let checks = |world: &World| {
            let steps = world.diagnosis().steps.into_iter();
            steps.filter_map(|step| step.command).collect::<Vec<_>>().join(" ")
        };
        assert!(checks(&custom).contains("v1beta1.custom.metrics.k8s.io"), "{}", checks(&custom));
        let external = inactive("FailedGetExternalMetric", "unable to get external metric queue_depth");
        assert!(checks(&external).contains("v1beta1.external.metrics.k8s.io"), "{}", checks(&external));
        let twice = inactive("AmbiguousSelector", "pods by selector app=web are controlled by multiple HPAs");
        assert_eq!(twice.cause(), "hpa_invalid HorizontalPodAutoscaler/web");
    }

    /// The step that raises the maximum of 3, where three replicas take so much of what they request, of so much wanted.
    fn raised(now: i32, target: i32) -> crate::report::Step {
        let limited = json!([{"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas",
            "message": "the desired replica count is more than the maximum replica count"}]);
        let load = |value: serde_json::Value| json!([{"type": "Resource", "resource": value}]);
        let target = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": target}});
        let now = json!({"name": "cpu", "current": {"averageUtilization": now}});
        let object =
            patched(hpa(limited), json!({"spec": {"metrics": load(target)}, "status": {"currentMetrics": load(now)}}));
        let world = World::asking("HorizontalPodAutoscaler", "web").with(object).with(deployment(3, 3));
        assert_eq!(world.cause(), "hpa_at_max_replicas HorizontalPodAutoscaler/web");
        world.diagnosis().steps.pop().unwrap()
    }

    #[test]
    fn a_load_that_asks_for_many_times_the_maximum_names_no_number() {
        assert!(raised(240, 60).title.contains("from 3 to 12"), "{}", raised(240, 60).title);
        let wrong = raised(241, 60);
        assert!(wrong.title.contains("raise maxReplicas above 3"), "{}", wrong.title);
        assert!(wrong.command.is_some_and(|it| it.contains("{\"maxReplicas\":<N>}")));
    }

    #[test]
    fn a_load_beyond_any_number_is_counted_all_the_same() {
        for (now, target) in [(1_000_000_000, 60), (i32::MAX, 1), (i32::MAX, i32::MAX)] {
            assert!(raised(now, target).title.contains("above 3"), "{now} of {target}");
        }
    }
}
