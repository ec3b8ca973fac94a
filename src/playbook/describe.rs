//! An object's state in one sentence, for the findings of primary and related resources.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::{PersistentVolume, Pod};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;

use crate::alert::ObjectRef;
use crate::playbook::finding::counted;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};

/// What is seen of an object at a glance; `None` when it was not read or its kind has no such sentence.
#[must_use]
pub fn state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    match object.kind.as_str() {
        "Pod" => scene.pods.iter().find(|pod| named(&pod.object) == *object).map(|pod| pod_state(scene, &pod.object)),
        "Deployment" | "StatefulSet" if scene.replicas(object).is_some_and(|(_, wanted)| wanted == 0) => {
            Some(scene.text("副本数已设为 0（scaled to 0）", "scaled to 0 replicas"))
        }
        "Deployment" | "StatefulSet" | "DaemonSet" => scene.replicas(object).map(|(ready, wanted)| {
            scene.text(
                format!("期望副本 {wanted}，就绪 {ready}"),
                format!("{ready} of {wanted} wanted replicas are ready"),
            )
        }),
        "Job" => job_state(scene, object),
        "CronJob" => cron_state(scene, object),
        "Node" => node_state(scene, object),
        "Service" => service_state(scene, object),
        "PersistentVolumeClaim" => claim_state(scene, object),
        "HorizontalPodAutoscaler" => autoscaler_state(scene, object),
        "Ingress" => ingress_state(scene, object),
        "PersistentVolume" => volume_state(scene, object),
        "PodDisruptionBudget" => budget_state(scene, object),
        "APIService" => api_state(scene, object),
        "ResourceQuota" => crate::playbook::analyzer::quota::state(scene, object),
        "Certificate" => certificate_state(scene, object),
        _ => None,
    }
}

fn pod_state(scene: &Scene<'_>, pod: &Pod) -> String {
    let views = pods::containers(pod);
    let main: Vec<_> = views.iter().filter(|view| !view.init).collect();
    let ready = main.iter().filter(|view| view.ready()).count();
    let restarts: i32 = views.iter().map(pods::ContainerView::restarts).sum();
    let phase = pods::phase(pod);
    let waiting = views.iter().map(pods::ContainerView::waiting_reason).find(|reason| !reason.is_empty());
    let waiting = waiting.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let node = pods::node_name(pod);
    let node_zh = node.map_or_else(|| "，尚未调度到 Node".to_owned(), |node| format!("，位于 Node {node}"));
    let node_en = node.map_or_else(|| ", on no Node yet".to_owned(), |node| format!(", on Node {node}"));
    let total = main.len();
    scene.text(
        format!("phase {phase}{waiting}，{ready}/{total} 个容器就绪，重启 {restarts} 次{node_zh}"),
        format!("phase {phase}{waiting}, {ready}/{total} containers ready, {}{node_en}", counted(restarts, "restart")),
    )
}

fn job_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let job = scene.jobs.iter().find(|job| named(&job.object) == *object)?;
    let status = job.object.status.as_ref()?;
    let (succeeded, failed) = (status.succeeded.unwrap_or(0), status.failed.unwrap_or(0));
    Some(scene.text(
        format!("成功 {succeeded} 个 Pod，失败 {failed} 个 Pod"),
        format!("{} succeeded, {failed} failed", counted(succeeded, "Pod")),
    ))
}

/// A CronJob's last run, where it succeeded: of any other the Job tells.
fn cron_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let cron = scene.facts.get::<CronJob>(&object.namespace, &object.name)?.object;
    let status = cron.status?;
    let (started, succeeded) = (status.last_schedule_time?, status.last_successful_time?);
    let (schedule, ended) = (cron.spec.schedule, succeeded.0.to_string());
    (succeeded >= started && status.active.is_none_or(|active| active.is_empty())).then(|| {
        scene.text(
            format!("schedule \"{schedule}\"，最近一次于 {} 启动，{ended} 成功", started.0),
            format!("schedule \"{schedule}\", last started at {} and succeeded at {ended}", started.0),
        )
    })
}

fn node_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let node = scene.node(&object.name)?;
    let conditions = node.object.status.as_ref()?.conditions.as_deref().unwrap_or(&[]);
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    let cordoned = node.object.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    let cordon = if cordoned { scene.text("，已 cordon", ", cordoned") } else { String::new() };
    Some(format!("Ready={}{cordon}", ready.status))
}

fn service_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let service = scene.service(&object.namespace, &object.name)?;
    crate::playbook::scene::service_selector(&service.object)?;
    let backends = scene.backends(&service.object);
    let ready = backends.iter().filter(|pod| pods::is_ready(&pod.object)).count();
    let total = backends.len();
    Some(scene.text(
        format!("selector 匹配 {total} 个 Pod，其中就绪 {ready} 个"),
        format!("its selector matches {}, {ready} of them ready", counted(total, "Pod")),
    ))
}

fn ingress_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let ingress = scene.facts.get::<Ingress>(&object.namespace, &object.name)?.object;
    let hosts: Vec<String> = ingress.spec?.rules?.into_iter().filter_map(|rule| rule.host).collect();
    let hosts = if hosts.is_empty() { "*".to_owned() } else { hosts.join(scene.lang.pick("、", ", ")) };
    Some(scene.text(format!("对外提供 {hosts}"), format!("serves {hosts}")))
}

fn claim_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let claim = scene.claims.iter().find(|claim| named(&claim.object) == *object)?;
    let phase = claim.object.status.as_ref()?.phase.clone()?;
    let class = claim.object.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()).unwrap_or_default();
    Some(format!("phase {phase}, StorageClass {}", if class.is_empty() { "-" } else { &class }))
}

fn volume_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let volume = scene.facts.get::<PersistentVolume>("", &object.name)?.object;
    let phase = volume.status?.phase?;
    let claim = volume.spec?.claim_ref.and_then(|claim| Some(format!(" ({}/{})", claim.namespace?, claim.name?)));
    Some(format!("phase {phase}{}", claim.unwrap_or_default()))
}

fn budget_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let status = scene.facts.get::<PodDisruptionBudget>(&object.namespace, &object.name)?.object.status?;
    let (healthy, desired, allowed) = (status.current_healthy?, status.desired_healthy?, status.disruptions_allowed?);
    Some(format!("currentHealthy {healthy}, desiredHealthy {desired}, disruptionsAllowed {allowed}"))
}

fn api_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let conditions = scene.facts.get::<APIService>("", &object.name)?.object.status?.conditions?;
    let available = conditions.into_iter().find(|condition| condition.type_ == "Available")?;
    Some(format!("Available={}", available.status))
}

fn certificate_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let (value, _) = scene.facts.raw(object)?;
    let ends = value.pointer("/status/notAfter").and_then(serde_json::Value::as_str).unwrap_or("-");
    let ready = crate::playbook::analyzer::certificate::is_ready(value);
    Some(format!("Ready={}, notAfter {ends}", if ready { "True" } else { "False" }))
}

fn autoscaler_state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let found = scene.facts.get::<HorizontalPodAutoscaler>(&object.namespace, &object.name)?;
    let spec = &found.object.spec;
    let status = found.object.status.as_ref()?;
    let (current, desired) = (status.current_replicas.unwrap_or(0), status.desired_replicas);
    Some(format!(
        "minReplicas {}, maxReplicas {}, current {current}, desired {desired}",
        spec.min_replicas.unwrap_or(1),
        spec.max_replicas
    ))
}
