//! Labels that no Node carries with the value a Pod asks for: which values there are, or that nobody has the label at all.

use std::collections::BTreeMap;

use super::Waiting;
use crate::playbook::scene::Scene;
use crate::playbook::selector;

/// Values of one label that are named.
const NAMED: usize = 4;
/// How alike two keys are where one is likely a slip of the pen for the other.
const ALIKE: f64 = 0.9;

/// What the Nodes that were read carry instead of what the Pod asks for; `None` where each value it asks for is on some Node,
/// so that only their combination is not.
pub(super) fn instead(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Option<String> {
    let told: Vec<String> = selector::wanted_labels(waiting.pod)
        .into_iter()
        .filter_map(|(key, values)| {
            let there = values_of(scene, &key);
            let is_there = values.iter().any(|value| there.contains_key(value.as_str()));
            (!is_there).then(|| in_words(scene, &key, &there))
        })
        .collect();
    (!told.is_empty()).then(|| told.join(scene.lang.pick("；", "; ")))
}

/// The values that Nodes carry of a label, each with how many do.
fn values_of<'s>(scene: &'s Scene<'_>, key: &str) -> BTreeMap<&'s str, usize> {
    let mut values = BTreeMap::new();
    for node in &scene.nodes {
        if let Some(value) = node.object.metadata.labels.as_ref().and_then(|labels| labels.get(key)) {
            *values.entry(value.as_str()).or_default() += 1;
        }
    }
    values
}

fn in_words(scene: &Scene<'_>, key: &str, there: &BTreeMap<&str, usize>) -> String {
    if there.is_empty() {
        let near = near_key(scene, key);
        let (zh, en) =
            near.map_or_else(Default::default, |near| (format!("，相近的有 {near}"), format!("; {near} comes close")));
        return scene.text(format!("没有 Node 带有标签 {key}{zh}"), format!("no Node has a label {key}{en}"));
    }
    let mut values: Vec<(&str, usize)> = there.iter().map(|(value, count)| (*value, *count)).collect();
    values.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let more = values.len().saturating_sub(NAMED);
    let shown = values.iter().take(NAMED).map(|(value, count)| format!("{value} ({count})"));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    scene.text(format!("Node 上的取值为 {key}={shown}{more}"), format!("the Nodes carry {key}={shown}{more}"))
}

/// The key on Nodes that is most like one that none of them has.
fn near_key(scene: &Scene<'_>, key: &str) -> Option<String> {
    let keys = scene.nodes.iter().flat_map(|node| node.object.metadata.labels.iter().flat_map(|labels| labels.keys()));
    let alike = keys.map(|other| (strsim::jaro_winkler(other, key), other)).filter(|(likeness, _)| *likeness > ALIKE);
    alike.max_by(|left, right| left.0.total_cmp(&right.0)).map(|(_, other)| other.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, node, patched, pod, unschedulable};

    const MESSAGE: &str = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.";

    fn wants(spec: Value) -> World {
        let carrying = |name: &str| {
            let labels = json!({"disktype": "nvme", "pool": "a", "kubernetes.io/hostname": name});
            node(json!({"metadata": {"name": name, "labels": labels}}))
        };
        World::asking("Pod", "web-1-a")
            .with(pod(patched(unschedulable(MESSAGE), json!({"spec": spec}))))
            .with(carrying("n1"))
            .with(patched(carrying("n2"), json!({"metadata": {"labels": {"pool": "b"}}})))
    }

    #[test]
    fn the_values_that_nodes_carry_of_the_label_are_told() {
        let told = wants(json!({"nodeSelector": {"disktype": "ssd"}})).diagnosis();
        assert!(told.headline.contains("disktype=ssd"), "{}", told.headline);
        assert!(told.headline.contains("the Nodes carry disktype=nvme (2)"), "{}", told.headline);
        let terms = json!([{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["c", "d"]}]}]);
        let affinity = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}});
        let told = wants(affinity).diagnosis().headline;
        assert!(told.contains("the Nodes carry pool=a (1), b (1)"), "{told}");
    }

    #[test]
    fn a_label_that_nobody_has_is_told_with_one_that_comes_close() {
        let told = wants(json!({"nodeSelector": {"disk-type": "nvme"}})).diagnosis().headline;
        assert!(told.contains("no Node has a label disk-type; disktype comes close"), "{told}");
        let other = wants(json!({"nodeSelector": {"accelerator": "gpu"}})).diagnosis().headline;
        assert!(other.contains("no Node has a label accelerator") && !other.contains("close"), "{other}");
    }

    #[test]
    fn values_that_are_there_and_only_not_together_are_no_near_miss() {
        let apart = wants(json!({"nodeSelector": {"pool": "a", "kubernetes.io/hostname": "n2"}})).diagnosis();
        assert_eq!(apart.causes[0].code.as_deref(), Some("node_selector_mismatch"));
        assert!(!apart.headline.contains("carry") && !apart.headline.contains("no Node has"), "{}", apart.headline);
    }
}
