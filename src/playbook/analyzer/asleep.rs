//! Workloads at zero replicas, and the Services that miss them: a mistake, or somebody's decision.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PodTemplateSpec, Service};

use super::service::{callers, endpoints_line};
use crate::alert::ObjectRef;
use crate::playbook::drift;
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector::LabelMap;
use crate::report::{Citation, Confidence};

/// Beginnings and parts of annotations by which tools put workloads to sleep (kube-downscaler, py-kube-downscaler,
/// kube-green, Snorlax, and KEDA's pause), or people say that they did.
const SCHEDULES: [&str; 9] = [
    "downscaler/",
    "downtime",
    "kube-green",
    "sleep",
    "paused-replicas",
    "scaled-to-zero",
    "scale-to-zero",
    "decommission",
    "offline",
];

/// What `kubectl` and people record as the reason of a change:
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#change-cause>.
const CHANGE_CAUSE: &str = "kubernetes.io/change-cause";

/// Reasons that mean that nobody shall run there.
static RETIRED: Pattern = Pattern::new(
    r"(?i)\b(?:retir(?:e|ed|ing)|decommission|deprecat|sunset|park(?:ed|ing)?\b|hibernat|sleep|maintenance|turn(?:ed)? off|switch(?:ed)? off|cut-?over|scaled? (?:it )?(?:down )?to (?:0|zero))|退役|下线|停用|停机|缩容|迁移|维护",
);

/// As the Deployment controller writes it; before Kubernetes 1.27 the other way round.
static TO_NONE: Pattern = Pattern::new(r"^Scaled down replica set \S+ (?:from (\d+) to 0|to 0 from (\d+))$");
/// Callers that are named.
const CALLERS: usize = 3;
/// Seconds within which a Deployment scales down what it has of several versions at once.
const AT_ONCE: i64 = 5;

/// A workload that wants no Pods.
pub(super) struct Sleeper {
    pub workload: ObjectRef,
    reference: String,
    /// Whether an annotation says that a tool put it to sleep, or why somebody did.
    on_purpose: bool,
}

/// A workload whose Pods would match, but that is scaled to zero.
pub(super) fn behind(scene: &Scene<'_>, name: &ObjectRef, wanted: &LabelMap) -> Option<Sleeper> {
    let matches = |template: &PodTemplateSpec| {
        crate::playbook::selector::covers(
            wanted,
            template.metadata.as_ref().and_then(|metadata| metadata.labels.as_ref()),
        )
    };
    let deployments = scene.deployments.iter().filter_map(|seen| {
        seen.object.spec.as_ref().filter(|spec| spec.replicas == Some(0) && matches(&spec.template))?;
        Some(sleeper(scene, named(&seen.object), &seen.reference, seen.object.metadata.annotations.as_ref()))
    });
    let sets = scene.stateful_sets.iter().filter_map(|seen| {
        seen.object.spec.as_ref().filter(|spec| spec.replicas == Some(0) && matches(&spec.template))?;
        Some(sleeper(scene, named(&seen.object), &seen.reference, seen.object.metadata.annotations.as_ref()))
    });
    deployments.chain(sets).find(|sleeper| sleeper.workload.namespace == name.namespace)
}

fn sleeper(
    scene: &Scene<'_>,
    workload: ObjectRef,
    reference: &str,
    annotations: Option<&BTreeMap<String, String>>,
) -> Sleeper {
    let tells = |key: &String| SCHEDULES.iter().any(|schedule| key.contains(schedule));
    // A reason stays when somebody scales past it by hand.
    let by_hand = || drift::changes(scene, &workload).iter().any(|change| change.path == "spec.replicas");
    let recorded = |all: &BTreeMap<String, String>| all.get(CHANGE_CAUSE).is_some_and(|why| RETIRED.hits(why));
    let on_purpose = annotations.is_some_and(|all| all.keys().any(tells) || (recorded(all) && !by_hand()));
    Sleeper { workload, reference: reference.to_owned(), on_purpose }
}

/// A Service whose workload sleeps. Where nobody misses it, that is somebody's decision.
pub(super) fn scaled_to_zero(
    scene: &Scene<'_>,
    service: &Seen<Service>,
    name: &ObjectRef,
    sleeper: &Sleeper,
) -> Option<Finding> {
    let callers = callers(scene, name);
    let missed = !callers.is_empty();
    if !missed && (!scene.question.targets.contains(name) || sleeper.on_purpose) {
        return None;
    }
    let workload = sleeper.workload.clone();
    let before = Before::of(scene, &workload);
    let (zh, en) = before.as_ref().map(Before::told).unwrap_or_default();
    let (by_zh, by_en) = writer(scene, &workload, before.as_ref()).unwrap_or_default();
    let (zh, en) = (zh + &by_zh, en + &by_en);
    let headline = scene.text(
        format!("{name} 没有后端：{workload} 的副本数为 0（scaled to 0）{zh}"),
        format!("{name} has no backend: {workload} is scaled to 0 replicas{en}"),
    );
    let replicas = before.as_ref().and_then(Before::wanted).map_or_else(|| "<N>".to_owned(), |it| it.to_string());
    Some(
        Finding::new("scaled_to_zero", if missed { Depth::Root } else { Depth::Mechanism }, name, &workload, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&sleeper.reference, "replicas: 0"), endpoints_line(scene, service)])
            .cite(before.map(|before| before.proof).unwrap_or_default())
            .unresolved(
                scene.text(
                    format!("{workload} 是否被有意缩容到 0？"),
                    format!("Was {workload} scaled to 0 on purpose?"),
                ),
            )
            .steps([
                look(
                    scene.text("查看工作负载", "Look at the workload"),
                    kubectl(&workload.namespace, &format!("describe {}", slash(&workload))),
                ),
                change(
                    scene.text("如果不是有意为之，恢复副本数", "If not on purpose, scale it up again"),
                    afterwards(scene, &callers),
                    Some(kubectl(&workload.namespace, &format!("scale {} --replicas={replicas}", slash(&workload)))),
                ),
            ]),
    )
}

/// Who scaled it, where the object shows its managed fields, and when, where no event says that.
fn writer(scene: &Scene<'_>, workload: &ObjectRef, before: Option<&Before>) -> Option<(String, String)> {
    let (at, by) = drift::written(scene, workload, "/f:spec/f:replicas").filter(|(_, by)| !by.is_empty())?;
    let written = at.parse::<Timestamp>().ok()?;
    match before.and_then(|before| before.at) {
        // Events come with a moment's delay; what was written at another time wrote another number.
        Some(told) if (told.as_second() - written.as_second()).abs() > 60 => None,
        Some(_) => Some((format!("，由 {by} 修改"), format!(", by {by}"))),
        None => {
            let at = written.strftime("%Y-%m-%d %H:%M:%S UTC");
            Some((format!("，最近由 {by} 于 {at} 写入"), format!(", last written by {by} at {at}")))
        }
    }
}

/// What becomes of those who call it once it is back, and what if it shall not come back.
fn afterwards(scene: &Scene<'_>, callers: &[ObjectRef]) -> String {
    let on_purpose = scene.text("如果是有意为之，请静默该告警", "If on purpose, silence the alert");
    if callers.is_empty() {
        return on_purpose;
    }
    let named: Vec<String> = callers.iter().take(CALLERS).map(ToString::to_string).collect();
    let named = named.join(&scene.text("、", ", "));
    scene.text(
        format!("它就绪后 {named} 通常会自行重连；几分钟后日志仍报同样的错，再重启它。{on_purpose}，并让调用方不再访问它"),
        format!("Once it is Ready, {named} should reach it again by itself; restart it only if its log still says so some minutes later. {on_purpose}, and have its callers stop calling it"),
    )
}

/// How many replicas a workload had before it was given none.
struct Before {
    replicas: i64,
    /// The versions they were of. In the middle of a rollout there are more Pods than are wanted.
    versions: usize,
    at: Option<Timestamp>,
    proof: Vec<Option<Citation>>,
}

impl Before {
    /// By the last events of its scaling, or else by the copy that was applied.
    fn of(scene: &Scene<'_>, workload: &ObjectRef) -> Option<Self> {
        let applied = || {
            let change = drift::changes(scene, workload).into_iter().find(|change| change.path == "spec.replicas")?;
            Some(Self { replicas: change.applied.as_i64()?, versions: 1, at: None, proof: Vec::new() })
        };
        Self::by_events(scene, workload).or_else(applied).filter(|before| before.replicas > 0)
    }

    fn by_events(scene: &Scene<'_>, workload: &ObjectRef) -> Option<Self> {
        let events = scene.events(workload, &["ScalingReplicaSet"]);
        let at = events.iter().map(|event| event.last_seen).max()?;
        let is_last = |event: &&&SeenEvent| {
            let seconds = at.zip(event.last_seen).map(|(at, seen)| at.as_second() - seen.as_second());
            seconds.map_or(at == event.last_seen, |seconds| seconds <= AT_ONCE)
        };
        let last: Vec<_> = events.iter().filter(is_last).collect();
        let counts: Option<Vec<i64>> = last.iter().map(|event| left(&event.message)).collect();
        let counts = counts?;
        let proof = last.iter().map(|event| scene.quote_event(event)).collect();
        Some(Self { replicas: counts.iter().sum(), versions: counts.len(), at, proof })
    }

    /// How many were wanted, where that is told.
    fn wanted(&self) -> Option<i64> {
        (self.versions == 1).then_some(self.replicas)
    }

    fn told(&self) -> (String, String) {
        let (replicas, versions) = (self.replicas, self.versions);
        let (of_zh, of_en) = if versions == 1 {
            Default::default()
        } else {
            (format!("（发布途中，{versions} 个版本合计）"), format!(" of {versions} versions, amid a rollout"))
        };
        match self.at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC")) {
            Some(at) => (format!("，{at} 由 {replicas}{of_zh} 缩为 0"), format!(" (from {replicas}{of_en}, at {at})")),
            None => (format!("，此前为 {replicas}{of_zh}"), format!(" ({replicas}{of_en} before)")),
        }
    }
}

/// How many Pods of a version an event says there were before there were none.
fn left(message: &str) -> Option<i64> {
    let groups = TO_NONE.groups(message)?;
    groups.get(1).or_else(|| groups.get(2))?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, deployment, patched, pod, service};

    fn sleeping(annotations: Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web", "namespace": "shop", "annotations": annotations},
            "spec": {"replicas": 0, "serviceName": "web", "selector": {}, "template": {"metadata": {"labels": {"app": "web"}}}},
            "status": {"replicas": 0, "readyReplicas": 0}})
    }

    fn asked(annotations: Value) -> World {
        World::asking("Service", "web").with(service(json!({"app": "web"}))).with(sleeping(annotations))
    }

    #[test]
    fn a_set_at_zero_explains_its_service() {
        assert_eq!(asked(json!({})).cause(), "scaled_to_zero StatefulSet/web");
    }

    #[test]
    fn one_that_a_schedule_put_to_sleep_is_as_it_should_be_unless_somebody_calls_it() {
        let by_person = asked(json!({"ops.example.cn/scaled-to-zero": "campaign over, CHG-044"}));
        assert!(by_person.codes().is_empty(), "{:?}", by_person.codes());
        let by_schedule = json!({"downscaler/uptime": "Mon-Fri 07:00-23:00 Asia/Shanghai"});
        let world = asked(by_schedule.clone());
        assert!(world.codes().is_empty(), "{:?}", world.codes());
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]);
        let caller =
            pod(json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": owner}}));
        let missed = asked(by_schedule)
            .with(caller)
            .log("cart-1-a", "ERROR GET http://web/api: dial tcp 10.96.0.7:80: connect: connection refused");
        assert_eq!(missed.cause(), "scaled_to_zero StatefulSet/web");
        let detail = missed.diagnosis().steps.into_iter().map(|step| step.detail).collect::<String>();
        assert!(
            detail.contains("shop/cart should reach it again") && detail.contains("restart it only if"),
            "{detail}"
        );
    }

    #[test]
    fn who_scaled_it_is_told_where_the_object_says_so() {
        let told = |at: &str, event: bool| {
            let fields = json!([{"manager": "kubectl", "subresource": "scale", "time": at, "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
            let off = patched(deployment(0, 0), json!({"metadata": {"managedFields": fields}}));
            let world = World::asking("Service", "web").with(service(json!({"app": "web"}))).with(off);
            let said = "Scaled down replica set web-1 from 3 to 0";
            let world = if event { world.event("Deployment", "web", "ScalingReplicaSet", said) } else { world };
            world.diagnosis().headline
        };
        assert!(told("2026-11-23T02:58:58Z", true).contains(", by kubectl"), "{}", told("2026-11-23T02:58:58Z", true));
        assert!(!told("2026-11-20T02:58:58Z", true).contains("kubectl"), "another change");
        assert!(told("2026-11-20T02:58:58Z", false).contains("last written by kubectl at 2026-11-20 02:58:58 UTC"));
    }

    #[test]
    fn what_it_had_before_is_what_it_is_scaled_to_again() {
        let asleep = |event: &str| {
            let world = World::asking("Service", "web").with(service(json!({"app": "web"})));
            world.with(deployment(0, 0)).event("Deployment", "web", "ScalingReplicaSet", event)
        };
        let scaled = |world: &World| {
            let told = world.diagnosis();
            let command = told.steps.iter().find_map(|step| step.command.clone().filter(|it| it.contains(" scale ")));
            (told.headline, command.unwrap())
        };
        let (headline, command) = scaled(&asleep("Scaled down replica set web-1 from 3 to 0"));
        assert!(headline.contains("from 3, at 2026-11-23 02:59:00 UTC"), "{headline}");
        assert!(command.ends_with("--replicas=3"), "{command}");
        let (headline, command) = scaled(&asleep("Scaled down replica set web-1 to 0 from 3"));
        assert!(headline.contains("from 3") && command.ends_with("--replicas=3"), "{headline} {command}");
        for other in ["Scaled up replica set web-1 from 0 to 3", "Scaled down replica set web-1 from 3 to 1"] {
            let (headline, command) = scaled(&asleep(other));
            assert!(!headline.contains("from") && command.ends_with("--replicas=<N>"), "{headline} {command}");
        }
    }

    #[test]
    fn what_was_scaled_down_amid_a_rollout_is_counted_over_its_versions_and_no_number_is_proposed() {
        let world = World::asking("Service", "web").with(service(json!({"app": "web"}))).with(deployment(0, 0));
        let amid = ["Scaled down replica set web-1 from 3 to 0", "Scaled down replica set web-2 from 1 to 0"];
        let world = amid.iter().fold(world, |it, told| it.event("Deployment", "web", "ScalingReplicaSet", told));
        let told = world.diagnosis();
        assert!(told.headline.contains("from 4 of 2 versions"), "{}", told.headline);
        assert!(told.steps.iter().any(|step| step.command.as_deref().is_some_and(|it| it.ends_with("--replicas=<N>"))));
        let up = world.event("Deployment", "web", "ScalingReplicaSet", "Scaled up replica set web-2 from 0 to 1");
        assert!(!up.diagnosis().headline.contains("from"), "{}", up.diagnosis().headline);
    }

    #[test]
    fn a_workload_with_replicas_sleeps_not() {
        let world = World::asking("Service", "web")
            .with(service(json!({"app": "web"})))
            .with(patched(deployment(1, 1), json!({})))
            .with(pod(json!({})));
        world.is_calm();
    }
}
