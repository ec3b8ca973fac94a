//! An autoscaler that computes nothing, for a container requests nothing: what it lacks, and what helps until it has it.

use crate::alert::ObjectRef;
use crate::playbook::back;
use crate::playbook::finding::{change, edit_template, kubectl, slash};
use crate::playbook::scene::Scene;
use crate::report::Step;

/// What an HPA says is requested by nobody: `missing request for cpu in container app of Pod app-1`; older clusters name no
/// container.
pub(super) struct Unrequested<'m> {
    resource: &'m str,
    container: Option<&'m str>,
}

impl<'m> Unrequested<'m> {
    /// What the message names, where it says so.
    pub(super) fn told(message: &'m str) -> Option<Self> {
        let (_, rest) = message.split_once("missing request for ")?;
        let word = |text: &'m str| text.split([' ', ',', ')', ';']).next().filter(|word| !word.is_empty());
        let container = rest.split_once(" in container ").and_then(|(_, rest)| word(rest));
        Some(Self { resource: word(rest).unwrap_or("cpu"), container })
    }

    /// In Chinese and English.
    pub(super) fn said(&self) -> (String, String) {
        let Self { resource, .. } = self;
        match self.container {
            Some(container) => (
                format!("容器 {container} 没有声明 {resource} 的 requests，无法计算利用率"),
                format!("container {container} sets no request for {resource}, so no utilisation can be computed"),
            ),
            None => (
                format!("有容器没有声明 {resource} 的 requests，无法计算利用率"),
                format!("a container sets no request for {resource}, so no utilisation can be computed"),
            ),
        }
    }

    /// The request first; then what helps until it is out, and the way back where a release brought the container.
    pub(super) fn steps(&self, scene: &Scene<'_>, workload: &ObjectRef) -> Vec<Step> {
        let by_hand = by_hand(scene, workload);
        std::iter::once(self.step(scene, workload)).chain(by_hand).chain(back::step(scene, workload)).collect()
    }

    fn step(&self, scene: &Scene<'_>, workload: &ObjectRef) -> Step {
        let (resource, container) = (self.resource, self.container.unwrap_or_default());
        let (zh, en) = match self.container {
            Some(_) => (
                format!("为容器 {container} 补上 {resource} 的 resources.requests"),
                format!("Give container {container} a request for {resource}"),
            ),
            None => (
                format!("为每个容器补上 {resource} 的 resources.requests"),
                format!("Give every container a request for {resource}"),
            ),
        };
        change(scene.text(zh, en), "", edit_template(workload))
    }
}

/// More replicas by hand, which an autoscaler without metrics leaves alone.
fn by_hand(scene: &Scene<'_>, workload: &ObjectRef) -> Option<Step> {
    let (_, wanted) = scene.replicas(workload)?;
    let most = scene.autoscaler(workload)?.object.spec.max_replicas;
    let more = wanted.saturating_mul(2).min(most);
    (more > wanted).then(|| {
        change(
            scene.text("负载过高时，先手工增加副本", "Until then, add replicas by hand if the load asks for it"),
            scene.text(
                format!("现在 {wanted} 个，HPA 允许至多 {most} 个；取不到指标的 HPA 不会改回去"),
                format!("{wanted} now, {most} at most by the HPA, which leaves them alone while it has no metric"),
            ),
            Some(kubectl(&workload.namespace, &format!("scale {} --replicas={more}", slash(workload)))),
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, patched, pod, replica_set};

    fn world(most: i32) -> World {
        let message = "the HPA was unable to compute the replica count: failed to get cpu utilization: missing request for cpu in container shipper of Pod web-1-a";
        let hpa = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"maxReplicas": most, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}},
            "status": {"currentReplicas": 2, "desiredReplicas": 2, "conditions": [
                {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": message}]}});
        let made = |revision: i32, at: &str| {
            let set = replica_set(revision, "reg/web:1", revision * 2, revision * 2);
            patched(set, json!({"metadata": {"creationTimestamp": at}}))
        };
        let with_shipper = json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "reg/web:1"}, {"name": "shipper", "image": "reg/shipper:2"}]}}}});
        World::asking("HorizontalPodAutoscaler", "web")
            .with(deployment(2, 2))
            .with(made(0, "2026-11-01T00:00:00Z"))
            .with(patched(made(1, "2026-11-23T00:30:00Z"), with_shipper))
            .with(pod(json!({})))
            .with(hpa)
    }

    #[test]
    fn replicas_by_hand_and_the_way_back_stand_behind_the_request() {
        let told = world(8).diagnosis();
        let changes: Vec<_> = told.steps.iter().filter_map(|step| step.command.clone()).collect();
        let at =
            |words: &str| changes.iter().position(|it| it.contains(words)).unwrap_or_else(|| panic!("{changes:?}"));
        assert!(at("edit deployment/web") < at("scale deployment/web --replicas=4"), "{changes:?}");
        assert!(at("--replicas=4") < at("rollout undo deployment/web"), "{changes:?}");
        assert!(
            told.related.iter().any(|lead| lead.findings.join("").contains("+ container shipper")),
            "{:?}",
            told.related
        );
    }

    #[test]
    fn no_more_replicas_than_the_autoscaler_allows() {
        let scales = |most: i32| {
            let steps = world(most).diagnosis().steps;
            steps.into_iter().find_map(|step| step.command.filter(|it| it.contains(" scale ")))
        };
        assert_eq!(scales(3).as_deref(), Some("kubectl -n shop scale deployment/web --replicas=3"));
        assert_eq!(scales(2), None);
    }
}
