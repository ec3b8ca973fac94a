//! Cordoned Nodes: since when, why, and how they come back.

use k8s_openapi::api::core::v1::Node;

use crate::playbook::analyzer::node;
use crate::playbook::finding::change;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::Scene;
use crate::report::Step;

/// That a Node is cordoned: since when, and why, where the Node itself says so.
pub(super) fn cordoned(scene: &Scene<'_>, node: &Node) -> String {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let since = taints.filter(|taint| taint.key == "node.kubernetes.io/unschedulable").find_map(|taint| {
        let at = taint.time_added.as_ref()?.0;
        Some(at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string())
    });
    let since = since.map_or_else(Default::default, |at| (format!("（自 {at} 起）"), format!(" since {at}")));
    let why = reason_given(node).map_or_else(String::new, |(key, words)| {
        let words = logs::shorten(words, 120);
        scene.text(format!("，注解 {key}：{words}"), format!("; annotation {key}: {words}"))
    });
    format!("{}{why}", scene.text(format!("已被 cordon{}", since.0), format!("cordoned{}", since.1)))
}

/// What an annotation of a Node says of why it was taken out of service.
pub(super) fn reason_given(node: &Node) -> Option<(&str, &str)> {
    static TELLS: Pattern = Pattern::new(r"(?i)cordon|drain|maintenance|维护|停机");
    let annotations = node.metadata.annotations.iter().flatten();
    let mut told = annotations.filter(|(key, words)| TELLS.hits(key) || TELLS.hits(words));
    told.find(|(_, words)| words.contains(' ') && !logs::instructs(words))
        .map(|(key, words)| (key.as_str(), words.as_str()))
}

/// The step that brings a Node back: of one that is well and only cordoned there is a command for it.
pub(super) fn bring_back(scene: &Scene<'_>, node: &Node) -> Step {
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if node::is_cordoned(node) && node::troubles(node).is_empty() {
        return change(
            scene.text(
                format!("维护结束后，取消 Node {name} 的 cordon"),
                format!("Uncordon Node {name} once its maintenance is over"),
            ),
            scene.text(
                "不能等时，放宽工作负载的节点约束",
                "If that cannot be waited for, relax the workload's node constraint",
            ),
            Some(format!("kubectl uncordon {name}")),
        );
    }
    change(
        scene.text(
            format!("恢复 Node {name}，或放宽工作负载的节点约束"),
            format!("Bring Node {name} back, or relax the workload's node constraint"),
        ),
        "",
        None,
    )
}
