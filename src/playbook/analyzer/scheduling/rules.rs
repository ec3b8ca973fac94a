//! What the scheduler's words alone say: the rule that leaves no Node, and what rules out the others.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};

use super::reasons::{Reasons, rest};
use super::{Waiting, apart, choices, finding, full, ports, spread};
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::scene::{Scene, named};
use crate::playbook::{logs, pods};
use crate::report::{Confidence, Step};

/// The access mode of a claim that one Pod at a time may use.
const FOR_ONE_POD: &str = "ReadWriteOncePod";

/// A rule: the scheduler's words, its code, and what it does to the Nodes named by `{}`.
type Rule = (&'static str, &'static str, &'static str, &'static str);

const RULES: [Rule; 8] = [
    (
        "exceed max volume count",
        "node_volume_limit",
        "{}可挂载的卷数量已达上限（max volume count）",
        "the limit of attached volumes is reached on {} (max volume count)",
    ),
    (
        "enough free storage",
        "storage_capacity_exhausted",
        "存储后端剩余容量不足（not enough free storage）",
        "the storage behind its class has not enough free space",
    ),
    (
        FOR_ONE_POD,
        "volume_in_use_by_other_pod",
        "它的 ReadWriteOncePod 卷正被另一个 Pod 使用",
        "its ReadWriteOncePod volume is in use by another Pod",
    ),
    (
        "anti-affinity",
        "anti_affinity_unsatisfied",
        "Pod 反亲和性（anti-affinity）规则无法满足",
        "its anti-affinity rules leave no Node",
    ),
    (
        "topology spread",
        "topology_spread_unsatisfied",
        "拓扑分布（topology spread）约束无法满足",
        "its topology spread constraints leave no Node",
    ),
    ("free ports", "host_port_conflict", "它的 hostPort 在{}上已被占用", "its hostPort is taken on {}"),
    (
        "Too many pods",
        "node_pod_limit",
        "{}的 Pod 数量已达上限（Too many pods）",
        "the limit of Pods is reached on {} (Too many pods)",
    ),
    (
        "pod affinity",
        "pod_affinity_unsatisfied",
        "Pod 亲和性（affinity）规则无法满足",
        "its affinity rules leave no Node",
    ),
];

/// The finding for a Pod that a rule of the scheduler keeps waiting.
pub(super) fn run(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let Some(rule) = RULES.iter().find(|(words, ..)| waiting.message.contains(words)) else {
        return unknown(scene, waiting);
    };
    match rule.1 {
        "volume_in_use_by_other_pod" => in_use(scene, waiting),
        "node_pod_limit" => full::run(scene, waiting).unwrap_or_else(|| ruled(scene, waiting, rule)),
        _ => ruled(scene, waiting, rule),
    }
}

fn unknown(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let (workload, said) = (&waiting.workload, logs::shorten(super::essence(&waiting.message), 160));
    let headline =
        scene.text(format!("{workload} 的 Pod 无法调度：{said}"), format!("{workload} cannot be scheduled: {said}"));
    finding("pod_unschedulable", Depth::Effect, waiting, workload, headline)
        .confidence(Confidence::Medium)
        .steps(steps(scene, waiting))
}

fn ruled(scene: &Scene<'_>, waiting: &Waiting<'_>, (words, code, zh, en): &Rule) -> Finding {
    let workload = &waiting.workload;
    let (which_zh, which_en) = which(&waiting.message, words);
    let why = scene.text(zh.replace("{}", &which_zh), en.replace("{}", &which_en));
    let others = rest(scene, &waiting.message, words);
    let headline = scene.text(
        format!("{workload} 的 Pod 无法调度：{why}{others}"),
        format!("{workload} cannot be scheduled: {why}{others}"),
    );
    let rules = match *code {
        "topology_spread_unsatisfied" => spread::told(scene, waiting.pod),
        "host_port_conflict" => ports::told(scene, waiting.pod),
        "anti_affinity_unsatisfied" => apart::told(scene, waiting),
        _ => None,
    };
    let summary = rules.map_or_else(
        || headline.clone(),
        |rules| scene.text(format!("{headline}（{rules}）"), format!("{headline} ({rules})")),
    );
    let own_steps = match *code {
        "topology_spread_unsatisfied" => choices::spread(scene, waiting),
        "host_port_conflict" => choices::ports(scene, waiting),
        "anti_affinity_unsatisfied" => choices::apart(scene, waiting),
        _ => None,
    };
    let steps = own_steps.unwrap_or_else(|| steps(scene, waiting).into());
    finding(code, Depth::Root, waiting, workload, headline).summary(summary).steps(steps)
}

/// The Nodes that a reason rules out, in Chinese and in English: never more than the scheduler counted.
fn which(message: &str, words: &str) -> (String, String) {
    match Reasons::of(message) {
        Some(reasons) if reasons.is_of_all(words) => ("所有节点".to_owned(), "every Node".to_owned()),
        Some(reasons) => {
            let (count, total) = (reasons.count(words), reasons.total);
            (format!(" {total} 个节点中的 {count} 个"), format!("{count} of {total} Nodes"))
        }
        None => ("节点".to_owned(), "its Nodes".to_owned()),
    }
}

fn steps(scene: &Scene<'_>, waiting: &Waiting<'_>) -> [Step; 2] {
    [
        events(scene, waiting),
        change(
            scene.text("调整工作负载的调度约束或增加节点", "Adjust the workload's constraints or add Nodes"),
            "",
            None,
        ),
    ]
}

pub(super) fn events(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Step {
    look(
        scene.text("查看 Pod 的调度事件", "Read the Pod's scheduling events"),
        kubectl(&waiting.name.namespace, &format!("describe pod {}", waiting.name.name)),
    )
}

/// A claim that one Pod at a time may use: which it is, who holds it, and how they make way for each other.
fn in_use(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Finding {
    let workload = &waiting.workload;
    let claim = claim_for_one(scene, waiting);
    let holder = claim.as_ref().and_then(|claim| holder(scene, waiting, claim));
    let (claim_zh, claim_en) = match &claim {
        Some(claim) => {
            let claim = named(&claim.object).name;
            (format!("PVC {claim}（{FOR_ONE_POD}）"), format!("its {FOR_ONE_POD} claim {claim}"))
        }
        None => (format!("它的 {FOR_ONE_POD} 卷"), format!("its {FOR_ONE_POD} volume")),
    };
    let (by_zh, by_en) = match &holder {
        Some((pod, _)) => (format!(" {pod} "), pod.to_string()),
        None => ("另一个 Pod ".to_owned(), "another Pod".to_owned()),
    };
    let headline = scene.text(
        format!("{workload} 的 Pod 无法调度：{claim_zh} 正被{by_zh}使用，同一时刻只允许一个 Pod 使用"),
        format!("{workload} cannot be scheduled: {claim_en} is in use by {by_en}, and one Pod at a time may use it"),
    );
    let read = claim.as_ref().and_then(|claim| scene.quote(&claim.reference, &format!("- {FOR_ONE_POD}")));
    let held = claim.as_ref().zip(holder.as_ref()).and_then(|(claim, (_, pod))| {
        scene.quote(&pod.reference, &format!("claimName: {}", named(&claim.object).name))
    });
    finding("volume_in_use_by_other_pod", Depth::Root, waiting, workload, headline)
        .cite([read, held])
        .touches(claim.iter().map(|claim| named(&claim.object)))
        .touches(holder.iter().map(|(pod, _)| pod.clone()))
        .steps([events(scene, waiting), make_way(scene, waiting, holder.map(|(pod, _)| pod))])
}

fn claim_for_one<'s>(scene: &'s Scene<'_>, waiting: &Waiting<'_>) -> Option<&'s Seen<PersistentVolumeClaim>> {
    let names = pods::claims(waiting.pod);
    scene.claims.iter().find(|claim| {
        let name = named(&claim.object);
        let modes = claim.object.spec.as_ref().and_then(|spec| spec.access_modes.as_deref()).unwrap_or(&[]);
        let own = name.namespace == waiting.name.namespace && names.contains(&name.name);
        own && modes.iter().any(|mode| mode == FOR_ONE_POD)
    })
}

fn holder<'s>(
    scene: &'s Scene<'_>,
    waiting: &Waiting<'_>,
    claim: &Seen<PersistentVolumeClaim>,
) -> Option<(ObjectRef, &'s Seen<Pod>)> {
    let claim = named(&claim.object);
    let holds = |pod: &&Seen<Pod>| {
        let name = named(&pod.object);
        name.namespace == claim.namespace
            && name != waiting.name
            && pods::node_name(&pod.object).is_some()
            && !pods::is_finished(&pod.object)
            && pods::claims(&pod.object).contains(&claim.name)
    };
    scene.pods.iter().find(holds).map(|pod| (named(&pod.object), pod))
}

/// A single writer can never run beside its successor; of two workloads one has to give the claim up.
fn make_way(scene: &Scene<'_>, waiting: &Waiting<'_>, holder: Option<ObjectRef>) -> Step {
    let workload = &waiting.workload;
    let of = holder.as_ref().and_then(|pod| scene.pod(pod)).map(|pod| scene.workload(&pod.object));
    match of {
        Some(other) if other != *workload => change(
            scene.text(
                format!("让 {other} 让出该 PVC，或给 {workload} 另一个 PVC"),
                format!("Have {other} give the claim up, or give {workload} one of its own"),
            ),
            "",
            None,
        ),
        _ => change(
            scene.text(
                "把发布策略改为 Recreate：单写者无法与接替它的 Pod 同时运行",
                "Set its strategy to Recreate: a single writer can never run beside its successor",
            ),
            scene.text(
                "旧 Pod 先停，新 Pod 才启动，期间服务中断；增加节点无济于事",
                "The old Pod then stops before the new one starts, with a gap between; more Nodes do not help",
            ),
            (workload.kind == "Deployment").then(|| {
                let patch = r#"{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}"#;
                kubectl(&workload.namespace, &format!("patch deployment {} -p '{patch}'", workload.name))
            }),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, deployment, node, patched, pod, replica_set, unschedulable};

    const HELD: &str = "0/2 nodes are available: 1 node(s) were unschedulable, 1 node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode.";

    fn claim(mode: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
            "spec": {"accessModes": [mode], "volumeName": "pv-1"}, "status": {"phase": "Bound"}})
    }

    fn mounting() -> Value {
        json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}})
    }

    fn held_by(holder: Value) -> World {
        let waits = patched(unschedulable(HELD), patched(mounting(), json!({"metadata": {"name": "web-2-b"}})));
        World::asking("Pod", "web-2-b")
            .with(pod(waits))
            .with(pod(patched(mounting(), holder)))
            .with(claim("ReadWriteOncePod"))
            .with(deployment(1, 1))
            .with(replica_set(2, "reg/web:2", 1, 0))
            .with(replica_set(1, "reg/web:1", 1, 1))
    }

    #[test]
    fn the_claim_for_one_pod_and_who_holds_it_are_named() {
        let world = held_by(json!({}));
        assert_eq!(world.cause(), "volume_in_use_by_other_pod Deployment/web");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("claim data is in use by Pod shop/web-1-a"), "{}", diagnosis.headline);
        let steps: Vec<&str> = diagnosis.steps.iter().map(|step| step.title.as_str()).collect();
        assert!(steps.iter().any(|title| title.contains("Recreate")), "{steps:?}");
        assert!(!steps.iter().any(|title| title.contains("add Nodes") || title.contains("maxSurge")), "{steps:?}");
    }

    #[test]
    fn a_holder_of_another_workload_is_asked_to_give_the_claim_up() {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "s", "controller": true}]);
        let steps = held_by(json!({"metadata": {"name": "db-0", "ownerReferences": owner}})).diagnosis().steps;
        assert!(steps.iter().any(|step| step.title.contains("Have StatefulSet shop/db give")), "{steps:?}");
        assert!(!steps.iter().any(|step| step.title.contains("Recreate")), "{steps:?}");
    }

    #[test]
    fn every_node_is_only_said_where_the_scheduler_counts_every_node() {
        let told = |message: &str| {
            let world = World::asking("Pod", "web-1-a").with(pod(unschedulable(message))).with(node(json!({})));
            world.diagnosis().headline
        };
        let volumes = told("0/1 nodes are available: 1 node(s) exceed max volume count.");
        assert!(volumes.contains("attached volumes is reached on every Node"), "{volumes}");
        let some = told("0/6 nodes are available: 2 node(s) exceed max volume count, 4 node(s) were unschedulable.");
        assert!(some.contains("is reached on 2 of 6 Nodes"), "{some}");
        assert!(some.contains("ruled out otherwise: 4 node(s) were unschedulable"), "{some}");
        let ports = told(
            "0/3 nodes are available: 1 node(s) didn't have free ports for the requested pod ports, 2 node(s) were unschedulable.",
        );
        assert!(ports.contains("taken on 1 of 3 Nodes"), "{ports}");
    }
}
