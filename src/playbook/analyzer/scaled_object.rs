//! KEDA's ScaledObjects: they make and own autoscalers, so that what ails the one stops the other.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::scene::{Scene, named};
use crate::playbook::{self, logs};
use crate::report::Confidence;

/// Findings about ScaledObjects that their operator does not call ready.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene
        .facts
        .raw_all("ScaledObject")
        .filter_map(|(name, value, quoted)| not_ready(scene, name, value, quoted))
        .collect()
}

/// The ScaledObject that owns an autoscaler: its operator takes back whatever is changed at the autoscaler itself.
#[must_use]
pub fn owner(scene: &Scene<'_>, autoscaler: &HorizontalPodAutoscaler) -> Option<ObjectRef> {
    scene.owner(&autoscaler.metadata).filter(|owner| owner.kind == "ScaledObject")
}

fn not_ready(scene: &Scene<'_>, name: &ObjectRef, value: &Value, quoted: &str) -> Option<Finding> {
    let mut conditions = value.pointer("/status/conditions")?.as_array()?.iter();
    let condition = conditions.find(|it| it["type"] == "Ready" && it["status"] == "False")?;
    let word = |key: &str| condition[key].as_str().unwrap_or_default();
    let (reason, message) = (word("reason"), word("message"));
    // The operator says of a trigger only here what is wrong with it.
    let event = scene.events(name, &["KEDAScalerFailed"]).into_iter().next_back();
    let said = logs::shorten(event.map_or(message, |event| event.message.as_str()), 160);
    let headline = scene.text(
        format!("{name} 未就绪（{reason}），不再按它的触发器扩缩容：{said}"),
        format!("{name} is not ready ({reason}), so its triggers scale nothing: {said}"),
    );
    let served = served(scene, name);
    let autoscalers = scene.facts.all::<HorizontalPodAutoscaler>();
    let owned = autoscalers.iter().filter(|it| owner(scene, &it.object).as_ref() == Some(name));
    let target = value.pointer("/spec/scaleTargetRef").and_then(|target| {
        let kind = target["kind"].as_str().unwrap_or("Deployment");
        Some(ObjectRef::new(kind, &name.namespace, target["name"].as_str()?))
    });
    Some(
        Finding::new("scaled_object_not_ready", Depth::Root, name, name, headline)
            .cite([
                event.and_then(|event| scene.quote_event(event)),
                scene.quote(quoted, message),
                scene.quote(quoted, &format!("reason: {reason}")),
            ])
            .touches(owned.map(|it| named(&it.object)))
            .touches(target)
            .touches(served.clone())
            .confidence(if served.is_empty() { Confidence::High } else { Confidence::Medium })
            .steps([
                look(
                    scene.text("查看 ScaledObject 的条件与事件", "Read its conditions and events"),
                    kubectl(&name.namespace, &format!("describe scaledobject {}", name.name)),
                ),
                change(
                    scene.text("按条件中的原因修正目标或触发器", "Correct the target or the trigger it names"),
                    said,
                    Some(kubectl(&name.namespace, &format!("edit scaledobject {}", name.name))),
                ),
            ]),
    )
}

/// What an alert is about that tells of work piling up: what works it off in the same namespace bears on it.
fn served(scene: &Scene<'_>, name: &ObjectRef) -> Vec<ObjectRef> {
    let piles = scene.question.alert_names.iter().any(|alert| playbook::piles_up(alert));
    let beside = scene.question.targets.iter().filter(|target| target.namespace == name.namespace);
    beside.filter(|_| piles).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::World;

    fn scaled(ready: &str) -> serde_json::Value {
        json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"scaleTargetRef": {"name": "web"}}, "status": {"conditions": [
                {"type": "Ready", "status": ready, "reason": "ScaledObjectCheckFailed", "message": "error parsing kafka metadata: no topic given"},
                {"type": "Active", "status": "False"}]}})
    }

    fn owned(limited: &str) -> serde_json::Value {
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "keda-hpa-web", "namespace": "shop",
            "ownerReferences": [{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "web", "uid": "s", "controller": true}]},
            "spec": {"maxReplicas": 4, "scaleTargetRef": {"kind": "Deployment", "name": "web"}},
            "status": {"currentReplicas": 4, "desiredReplicas": 4, "conditions": [{"type": "ScalingLimited", "status": limited,
                "reason": "TooManyReplicas", "message": "the desired replica count is more than the maximum replica count"}]}})
    }

    #[test]
    fn one_that_is_not_ready_explains_its_autoscaler() {
        let world = World::asking("HorizontalPodAutoscaler", "keda-hpa-web").with(scaled("False")).with(owned("False"));
        assert_eq!(world.cause(), "scaled_object_not_ready ScaledObject/web");
        assert!(world.diagnosis().headline.contains("no topic given"));
    }

    #[test]
    fn work_that_piles_up_beside_it_is_its_doing_and_the_trigger_is_told() {
        let asked = |alert: &str| {
            let world = World::asking("Service", "rabbitmq").alert(alert).with(scaled("False")).with(owned("False"));
            world.event(
                "ScaledObject",
                "web",
                "KEDAScalerFailed",
                "error inspecting rabbitMQ: NOT_FOUND - no queue 'thumbs' in vhost '/'",
            )
        };
        let told = asked("RabbitmqQueueBacklog");
        assert_eq!(told.cause(), "scaled_object_not_ready ScaledObject/web");
        assert!(told.diagnosis().headline.contains("no queue 'thumbs'"), "{}", told.diagnosis().headline);
        assert_eq!(told.diagnosis().causes[0].confidence, crate::report::Confidence::Medium, "another may work it off");
    }

    #[test]
    fn one_that_is_ready_stays_quiet_though_nothing_is_to_be_done() {
        let asked = World::asking("HorizontalPodAutoscaler", "keda-hpa-web").with(owned("False"));
        assert!(asked.with(scaled("True")).codes().is_empty());
    }

    #[test]
    fn the_limit_of_an_autoscaler_it_owns_is_raised_at_its_owner() {
        let world = World::asking("HorizontalPodAutoscaler", "keda-hpa-web").with(scaled("True")).with(owned("True"));
        assert_eq!(world.cause(), "hpa_at_max_replicas HorizontalPodAutoscaler/keda-hpa-web");
        let commands: Vec<String> = world.diagnosis().steps.into_iter().filter_map(|step| step.command).collect();
        assert!(commands.iter().any(|it| it.contains("scaledobject web")), "{commands:?}");
        assert!(!commands.iter().any(|it| it.contains("patch hpa")), "{commands:?}");
    }
}
