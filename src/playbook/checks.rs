//! Checks: what a healthy verdict rests on.

use k8s_openapi::api::core::v1::Pod;

use crate::playbook::analyzer::{self, node_conditions};
use crate::playbook::facts::Seen;
use crate::playbook::finding::counted;
use crate::playbook::hearing;
use crate::playbook::pods;
use crate::playbook::scene::Scene;
use crate::playbook::scope::Scope;
use crate::report::RuledOut;

/// What a healthy verdict rests on, each only when it was seen.
#[must_use]
pub fn of(scene: &Scene<'_>, scope: &Scope) -> Vec<RuledOut> {
    // What has run to its good end is not Ready, and nothing is wrong with that; nor with a try of a Job that another made up for.
    let is_over = |pod: &Pod| {
        pods::phase(pod) == "Succeeded"
            || (pods::is_finished(pod) && matches!(scene.workload(pod).kind.as_str(), "Job" | "CronJob"))
    };
    let goes_on = |pod: &&Seen<Pod>| !pods::is_leaving(&pod.object) && !is_over(&pod.object);
    let pods: Vec<_> = scope.pods(scene).filter(goes_on).collect();
    let mut checks: Vec<RuledOut> = Vec::new();
    if !pods.is_empty() {
        let ready = pods.iter().filter(|pod| pods::is_ready(&pod.object)).count();
        let restarts: i32 = pods.iter().flat_map(|pod| pods::containers(&pod.object)).map(|view| view.restarts()).sum();
        let total = pods.len();
        let (pods_en, again) = (counted(total, "Pod"), counted(restarts, "restart"));
        checks.push(RuledOut {
            hypothesis: scene.text(
                "当前存在容器崩溃、镜像拉取失败或探针失败",
                "crashing containers, failing image pulls or probes, as of now",
            ),
            because: scene.text(
                format!("{total} 个 Pod 中 {ready} 个 Ready，累计重启 {restarts} 次，没有容器处于等待状态"),
                format!("{ready} of {pods_en} Ready, {again} in all, no container is waiting"),
            ),
        });
    }
    checks.extend(nodes(scene, scope));
    checks.extend(hearing::no_error(scene, scope));
    checks
}

/// The Nodes the Pods run on, where all of them were seen to be well. A Pod that runs on none may wait for one that is not.
#[must_use]
pub fn nodes(scene: &Scene<'_>, scope: &Scope) -> Option<RuledOut> {
    if scope.pods(scene).any(|pod| pods::is_unscheduled(&pod.object)) {
        return None;
    }
    let mut names: Vec<&str> = scope.pods(scene).filter_map(|pod| pods::node_name(&pod.object)).collect();
    names.sort_unstable();
    names.dedup();
    let healthy = |name: &&str| {
        scene.node(name).is_some_and(|node| {
            analyzer::node::troubles(&node.object).is_empty() && node_conditions::odd(&node.object).is_empty()
        })
    };
    if names.is_empty() || !names.iter().all(healthy) {
        return None;
    }
    let list = names.join(", ");
    Some(RuledOut {
        hypothesis: scene.text("Node 故障", "a failing Node"),
        because: scene.text(
            format!("相关 Pod 所在的 Node {list} 为 Ready，且没有资源压力"),
            format!("the Pods run on {list}, Ready and without pressure"),
        ),
    })
}
