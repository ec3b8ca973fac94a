//! PodDisruptionBudgets that allow no eviction at all, so that a drain never ends.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::{job, memory, node};
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::ContainerView;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{logs, pods, reach, selector};
use crate::report::Confidence;

/// What `kubectl drain` says of a Pod whose eviction is refused, again every five seconds.
static REFUSED: Pattern =
    Pattern::new(r#"evict\w* pods?/"?([a-z0-9][a-z0-9.-]*)"? -n "?([a-z0-9][a-z0-9-]*)"?.*disruption budget"#);

/// Parts of names of alerts about evictions: the budget answers them even where they name only a Pod.
const EVICTIONS: [&str; 4] = ["drain", "evict", "disruption", "pdb"];
/// Parts of names of alerts that say themselves that an eviction is wanted.
const WAITING: [&str; 2] = ["drain", "evict"];

/// The Pods whose eviction a log tells was refused.
#[must_use]
pub fn refused(log: &str) -> BTreeSet<ObjectRef> {
    let told = log.lines().filter(|line| !logs::instructs(line));
    let named = told.filter_map(|line| Some((REFUSED.group(line, 1)?, REFUSED.group(line, 2)?)));
    named.map(|(pod, namespace)| ObjectRef::new("Pod", namespace, pod)).collect()
}

/// Findings about budgets that block evictions of healthy Pods.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let budgets = scene.facts.all::<PodDisruptionBudget>();
    let blocking = budgets.iter().filter_map(|budget| blocks(scene, budget));
    blocking.chain(overlapping(scene, &budgets)).collect()
}

/// Two budgets for one Pod: the API server then refuses every eviction of it, whatever they allow.
fn overlapping(scene: &Scene<'_>, budgets: &[Seen<PodDisruptionBudget>]) -> Option<Finding> {
    let cordoned = |pod: &ObjectRef| {
        let node = scene.pod(pod).and_then(|pod| scene.node(pods::node_name(&pod.object)?));
        node.is_some_and(|node| node::is_cordoned(&node.object))
    };
    let pods: Vec<Vec<ObjectRef>> = budgets
        .iter()
        .map(|it| {
            let mut pods = covered(scene, it, &named(&it.object));
            // The one that a drain waits for is the one to name.
            pods.sort_by_key(|pod| !cordoned(pod));
            pods
        })
        .collect();
    let (first, second, pod) = budgets.iter().enumerate().find_map(|(at, budget)| {
        let other = (at + 1..budgets.len()).find_map(|other| {
            let shared = pods[at].iter().find(|pod| pods[other].contains(pod))?;
            Some((other, shared.clone()))
        })?;
        Some((budget, &budgets[other.0], other.1))
    })?;
    let (name, other) = (named(&first.object), named(&second.object));
    let nodes = waiting_nodes(scene, first, &name);
    let asked = scene.question.targets.contains(&name) || scene.question.targets.contains(&other);
    if nodes.is_empty() && !(asked && names_any(scene, &WAITING)) {
        return None;
    }
    let headline = scene.text(
        format!("{pod} 同时被两个 PDB（{}、{}）覆盖，API server 会拒绝对它的任何驱逐", name.name, other.name),
        format!(
            "{pod} is covered by two budgets ({}, {}), so the API server refuses every eviction of it",
            name.name, other.name
        ),
    );
    Some(
        Finding::new("pdb_overlap", Depth::Mechanism, &name, &name, headline)
            .cite([scene.quote_any(&second.reference, &[&other.name])])
            .touches(nodes)
            .touches([other])
            .steps([
                look(scene.text("查看 PDB", "List the budgets"), kubectl(&name.namespace, "get pdb -o wide")),
                change(
                    scene.text("让每个 Pod 只被一个 PDB 选中", "Let one budget alone select each Pod"),
                    "",
                    Some(kubectl(&name.namespace, &format!("edit pdb {}", name.name))),
                ),
            ]),
    )
}

/// The Pods a budget counts; none when it was not read.
#[must_use]
pub fn covered_by(scene: &Scene<'_>, budget: &ObjectRef) -> Vec<ObjectRef> {
    let found = scene.facts.get::<PodDisruptionBudget>(&budget.namespace, &budget.name);
    found.map_or_else(Vec::new, |found| covered(scene, &found, budget))
}

fn blocks(scene: &Scene<'_>, budget: &Seen<PodDisruptionBudget>) -> Option<Finding> {
    let status = budget.object.status.as_ref()?;
    let (current, desired) = (status.current_healthy?, status.desired_healthy?);
    // With unhealthy Pods the budget does its work; the Pods are the story then.
    if status.disruptions_allowed? > 0 || status.expected_pods == Some(0) || current < desired {
        return None;
    }
    let name = named(&budget.object);
    let nodes = waiting_nodes(scene, budget, &name);
    let drains = refused_by(scene, &covered(scene, budget, &name));
    let asked = scene.question.targets.contains(&name);
    let waits = !nodes.is_empty() || !drains.is_empty() || (asked && names_any(scene, &WAITING));
    // A budget at its limit that nobody runs into is as it should be; an alert that fires on just that is repeated.
    let repeated = asked && names_any(scene, &["limit"]);
    if !waits && !repeated {
        return None;
    }
    // Whoever says that its evictions are refused fails over the budget, and not over itself.
    let depth = match (waits, drains.iter().all(|drain| was_killed(scene, drain))) {
        (true, false) => Depth::Root,
        (true, true) => Depth::Mechanism,
        (false, _) => Depth::Symptom,
    };
    let headline = scene.text(
        format!("{name} 不允许驱逐任何 Pod（disruptionsAllowed 0，健康 {current}，要求 {desired}），节点 drain 会一直被阻塞"),
        format!("{name} allows no eviction (disruptionsAllowed 0, {current} healthy, {desired} required), so a drain never ends"),
    );
    Some(
        Finding::new("pdb_blocks_eviction", depth, &name, &name, headline)
            .confidence(Confidence::High)
            .cite([
                scene.quote(&budget.reference, "disruptionsAllowed: 0"),
                scene.quote(&budget.reference, &format!("desiredHealthy: {desired}")),
            ])
            .touches(nodes)
            .touches(drains)
            .touches(if names_any(scene, &EVICTIONS) { covered(scene, budget, &name) } else { Vec::new() })
            .steps([
                look(
                    scene.text("查看 PDB", "Look at the budget"),
                    kubectl(&name.namespace, &format!("describe pdb {}", name.name)),
                ),
                change(
                    scene.text(
                        "放宽 minAvailable/maxUnavailable，或增加副本数",
                        "Relax minAvailable or maxUnavailable, or run more replicas",
                    ),
                    scene.text("至少要允许 1 个 Pod 被驱逐", "At least one Pod must be allowed to go"),
                    Some(kubectl(&name.namespace, &format!("edit pdb {}", name.name))),
                ),
            ]),
    )
}

fn names_any(scene: &Scene<'_>, words: &[&str]) -> bool {
    let asks = |name: &String| words.iter().any(|word| name.to_ascii_lowercase().contains(word));
    scene.question.alert_names.iter().any(asks)
}

fn covered(scene: &Scene<'_>, budget: &Seen<PodDisruptionBudget>, name: &ObjectRef) -> Vec<ObjectRef> {
    let wanted = budget.object.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
    let pods = scene.pods.iter().map(|pod| (named(&pod.object), pod.object.metadata.labels.as_ref()));
    let inside = pods.filter(|(pod, labels)| pod.namespace == name.namespace && selector::selects(&wanted, *labels));
    inside.map(|(pod, _)| pod).collect()
}

/// The workloads whose logs tell that the eviction of one of these Pods was refused.
fn refused_by(scene: &Scene<'_>, pods: &[ObjectRef]) -> BTreeSet<ObjectRef> {
    let tells = |pod: &&Seen<Pod>| {
        let logs = reach::present_logs(scene, &pod.object);
        logs.iter().any(|(_, text)| refused(text).iter().any(|refused| pods.contains(refused)))
    };
    scene.pods.iter().filter(tells).map(|pod| scene.workload(&pod.object)).collect()
}

/// Whether a workload's Pods were ended by a signal, out of memory above all: what their log complained of did not do that.
/// One that was ended at its deadline had waited until then, for just that.
fn was_killed(scene: &Scene<'_>, workload: &ObjectRef) -> bool {
    let is_late = scene.jobs.iter().any(|it| named(&it.object) == *workload && job::is_over(&it.object));
    let had_its_time = |pod: &Pod| {
        is_late || pod.status.as_ref().and_then(|status| status.reason.as_deref()) == Some("DeadlineExceeded")
    };
    let signalled = |view: &ContainerView<'_>| view.ended().is_some_and(|ended| ended.exit_code > 128);
    scene
        .pods_of(workload)
        .iter()
        .map(|pod| &pod.object)
        .any(|pod| memory::is_killed(pod) || (!had_its_time(pod) && pods::containers(pod).iter().any(signalled)))
}

/// The cordoned Nodes on which Pods of the budget still run.
fn waiting_nodes(scene: &Scene<'_>, budget: &Seen<PodDisruptionBudget>, name: &ObjectRef) -> Vec<ObjectRef> {
    let inside = covered(scene, budget, name);
    let pods = scene.pods.iter().filter(|pod| inside.contains(&named(&pod.object)));
    let places = pods.filter_map(|pod| scene.node(pods::node_name(&pod.object)?));
    places.filter(|node| node::is_cordoned(&node.object)).map(|node| named(&node.object)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, node, pod};
    use crate::report::Verdict;

    fn budget(allowed: i32, current: i32) -> serde_json::Value {
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
            "status": {"disruptionsAllowed": allowed, "currentHealthy": current, "desiredHealthy": 1, "expectedPods": 1}})
    }

    fn draining() -> World {
        World::asking("Node", "n1").with(node(json!({"spec": {"unschedulable": true}}))).with(pod(json!({})))
    }

    #[test]
    fn a_budget_without_room_blocks_the_drain_of_its_node() {
        assert_eq!(draining().with(budget(0, 1)).cause(), "pdb_blocks_eviction PodDisruptionBudget/web");
    }

    #[test]
    fn a_drain_that_tells_of_refused_evictions_leads_to_the_budget() {
        let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "drain", "uid": "c", "controller": true}]);
        let drain = json!({"metadata": {"name": "drain-a", "labels": {"app": "drain"}, "ownerReferences": owner}});
        let told = |evicted: &str| {
            let line = format!(
                "error when evicting pods/\"{evicted}\" -n \"shop\" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.\n"
            );
            World::asking("Job", "drain")
                .with(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "drain", "namespace": "shop"}, "status": {"active": 1}}))
                .with(pod(drain.clone()))
                .log("drain-a", &line.repeat(6))
                .with(pod(json!({})))
                .with(budget(0, 1))
        };
        assert_eq!(told("web-1-a").cause(), "pdb_blocks_eviction PodDisruptionBudget/web");
        assert_eq!(told("cart-1-a").cause(), "application_errors Job/drain", "of another budget");
    }

    #[test]
    fn a_drain_that_gave_up_over_refused_evictions_is_the_budgets_doing() {
        let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "drain", "uid": "c", "controller": true}]);
        let drain = json!({"metadata": {"name": "drain-a", "labels": {"app": "drain"}, "ownerReferences": owner},
            "status": {"phase": "Failed", "conditions": [], "containerStatuses": [{"name": "app", "ready": false, "restartCount": 0,
                "image": "i", "imageID": "i", "state": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-23T02:50:00Z"}}}]}});
        let told = |evicted: &str| {
            let line = format!(
                "error when evicting pods/\"{evicted}\" -n \"shop\" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.\n"
            );
            World::asking("Job", "drain")
                .with(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "drain", "namespace": "shop"}, "spec": {"backoffLimit": 0},
                    "status": {"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}}))
                .with(pod(drain.clone()))
                .log("drain-a", &format!("{}There are pending pods in node \"n1\" when an error occurred: global timeout reached: 25m0s\n", line.repeat(6)))
                .with(pod(json!({})))
                .with(budget(0, 1))
        };
        assert_eq!(told("web-1-a").cause(), "pdb_blocks_eviction PodDisruptionBudget/web");
        assert_eq!(told("cart-1-a").cause(), "job_backoff_limit_exceeded Job/drain", "of another budget");
    }

    #[test]
    fn a_budget_with_room_or_with_unhealthy_pods_does_not() {
        assert_eq!(draining().with(budget(1, 2)).cause(), "node_cordoned Node/n1");
        assert_eq!(draining().with(budget(0, 0)).cause(), "node_cordoned Node/n1");
    }

    #[test]
    fn two_budgets_for_one_pod_block_every_eviction() {
        let second = crate::playbook::world::patched(budget(1, 2), json!({"metadata": {"name": "all"}}));
        let world = draining().with(budget(1, 2)).with(second);
        assert!(world.codes().contains(&"pdb_overlap"), "{:?}", world.codes());
        let apart = json!({"metadata": {"name": "all"}, "spec": {"selector": {"matchLabels": {"app": "cart"}}}});
        let world = draining().with(budget(1, 2)).with(crate::playbook::world::patched(budget(1, 2), apart));
        assert!(!world.codes().contains(&"pdb_overlap"));
    }

    #[test]
    fn a_budget_that_misses_healthy_pods_is_explained_by_its_pods() {
        let broken = pod(crate::playbook::world::crashed(1, "Error"));
        let world = World::asking("PodDisruptionBudget", "web")
            .with(budget(0, 0))
            .with(broken)
            .log("web-1-a", "ERROR cannot parse rules.yaml");
        assert_eq!(world.cause(), "crashloop_app_error Deployment/web");
    }

    #[test]
    fn without_a_drain_nobody_is_blocked() {
        World::asking("Pod", "web-1-a").with(node(json!({}))).with(pod(json!({}))).with(budget(0, 1)).is_calm();
    }

    #[test]
    fn a_budget_that_is_asked_about_blocks_only_what_somebody_wants_to_evict() {
        let asked = |alert: &str| {
            World::asking("PodDisruptionBudget", "web")
                .alert(alert)
                .with(node(json!({})))
                .with(pod(json!({})))
                .with(budget(0, 1))
        };
        asked("KubePdbNotEnoughHealthyPods").is_calm();
        assert_eq!(asked("NodeDrainStuck").cause(), "pdb_blocks_eviction PodDisruptionBudget/web");
        let limit = asked("KubePdbAtLimit").diagnosis();
        assert_eq!(limit.verdict, Verdict::Inconclusive, "what the alert says is repeated, and no fault");
        let twice = crate::playbook::world::patched(budget(1, 2), json!({"metadata": {"name": "all"}}));
        asked("KubePdbNotEnoughHealthyPods").with(twice).is_calm();
    }

    /// A drain whose evictions were refused until its container ended so, and its Job and its Pod for these reasons.
    fn drained((exit, reason): (i32, &str), of_job: &str, of_pod: Option<&str>) -> World {
        let owner = json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "drain", "uid": "c", "controller": true}]);
        let line = "error when evicting pods/\"web-1-a\" -n \"shop\" (will retry after 5s): Cannot evict pod as it would violate the pod's disruption budget.\n";
        let drain = json!({"metadata": {"name": "drain-a", "labels": {"app": "drain"}, "ownerReferences": owner},
            "status": {"phase": "Failed", "reason": of_pod, "conditions": [], "containerStatuses": [{"name": "web", "ready": false, "restartCount": 0,
                "image": "i", "imageID": "i", "state": {"terminated": {"exitCode": exit, "reason": reason, "finishedAt": "2026-11-23T02:50:00Z"}}}]}});
        World::asking("Job", "drain")
            .with(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "drain", "namespace": "shop"}, "spec": {"backoffLimit": 0},
                "status": {"failed": 1, "conditions": [{"type": "Failed", "status": "True", "reason": of_job}]}}))
            .with(pod(drain))
            .log("drain-a", &line.repeat(6))
            .with(pod(json!({})))
            .with(budget(0, 1))
    }

    #[test]
    fn a_drain_that_was_killed_did_not_end_over_the_budget() {
        let gave_up = drained((1, "Error"), "BackoffLimitExceeded", None);
        assert_eq!(gave_up.cause(), "pdb_blocks_eviction PodDisruptionBudget/web");
        for (end, of_job) in [
            ((137, "OOMKilled"), "BackoffLimitExceeded"),
            ((137, "OOMKilled"), "DeadlineExceeded"),
            ((139, "Error"), "BackoffLimitExceeded"),
        ] {
            let killed = drained(end, of_job, None);
            assert!(killed.cause().ends_with("Job/drain"), "{end:?} {of_job}: {}", killed.cause());
            assert!(killed.codes().contains(&"pdb_blocks_eviction"), "that it was refused is told");
        }
    }

    #[test]
    fn a_drain_that_was_ended_at_its_deadline_had_waited_for_the_budget() {
        for late in [
            drained((143, "Error"), "DeadlineExceeded", None),
            drained((137, "Error"), "DeadlineExceeded", None),
            drained((137, "Error"), "BackoffLimitExceeded", Some("DeadlineExceeded")),
        ] {
            assert_eq!(late.cause(), "pdb_blocks_eviction PodDisruptionBudget/web");
        }
    }
}
