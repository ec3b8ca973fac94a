//! Cordoned Nodes: since when, why, and how they come back.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;

use crate::playbook::analyzer::{full_disk, node};
use crate::playbook::finding::change;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::Scene;
use crate::report::Step;

/// That a Node is cordoned: since when, and why, where the Node itself says so.
pub(super) fn cordoned(scene: &Scene<'_>, node: &Node) -> String {
    let since = since(node).map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    let since = since.map_or_else(Default::default, |at| (format!("（自 {at} 起）"), format!(" since {at}")));
    let why = reason_given(node).map_or_else(String::new, |(key, words)| {
        let words = logs::shorten(words, 120);
        scene.text(format!("，注解 {key}：{words}"), format!("; annotation {key}: {words}"))
    });
    format!("{}{why}", scene.text(format!("已被 cordon{}", since.0), format!("cordoned{}", since.1)))
}

/// When a Node was cordoned, where its taint says so.
pub(super) fn since(node: &Node) -> Option<Timestamp> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let mut cordons = taints.filter(|taint| taint.key == "node.kubernetes.io/unschedulable");
    cordons.find_map(|taint| Some(taint.time_added.as_ref()?.0))
}

/// What an annotation of a Node says of why it was taken out of service.
pub(super) fn reason_given(node: &Node) -> Option<(&str, &str)> {
    static TELLS: Pattern = Pattern::new(r"(?i)cordon|drain|maintenance|维护|停机");
    let annotations = node.metadata.annotations.iter().flatten();
    let mut told = annotations.filter(|(key, words)| TELLS.hits(key) || TELLS.hits(words));
    told.find(|(_, words)| words.contains(' ') && !logs::instructs(words))
        .map(|(key, words)| (key.as_str(), words.as_str()))
}

/// The steps that bring a Node back: of one that is well and only cordoned there is a command for it; of one whose disk is full
/// it is to be found what fills it.
pub(super) fn bring_back(scene: &Scene<'_>, node: &Node) -> Vec<Step> {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if full_disk::is_full(node) {
        return full_disk::steps(scene, name);
    }
    let otherwise = scene.text(
        "不能等、且工作负载不依赖该节点的本地数据时，放宽它的调度约束",
        "If that cannot be waited for, and the workload needs nothing that lies on that Node, relax its scheduling constraints",
    );
    if node::is_cordoned(node) && node::troubles(node).is_empty() {
        return vec![change(
            scene.text(
                format!("维护结束后，取消 Node {name} 的 cordon"),
                format!("Uncordon Node {name} once its maintenance is over"),
            ),
            otherwise,
            Some(format!("kubectl uncordon {name}")),
        )];
    }
    vec![change(scene.text(format!("恢复 Node {name}"), format!("Bring Node {name} back")), otherwise, None)]
}
