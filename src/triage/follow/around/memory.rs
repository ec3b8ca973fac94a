//! Nodes that ran short of memory: whose Pods they threw out, which may lead to who filled them.

use serde_json::Value;

use super::{PODS_PER_SELECTOR, array, runs_on, text};
use crate::alert::ObjectRef;
use crate::triage::rows::{self, cell};
use crate::triage::seen::Seen;
use crate::triage::want::Want;

/// Who may have filled a Node that ran short of memory, where it is asked about or threw out a Pod that is: what else it threw
/// out. Each leads on to its workload, and so to what other Nodes threw out of that.
pub(super) fn thrown_out(seen: &Seen, node: &ObjectRef, value: &Value) -> Vec<Want> {
    let is_asked = seen.targets.contains(node);
    let pressed = array(value, "/status/conditions")
        .any(|it| text(it, "/type") == "MemoryPressure" && text(it, "/status") == "True");
    let threw_out = |pod: &ObjectRef| {
        let value = seen.facts.raw(pod).map(|(value, _)| value).filter(|_| runs_on(seen, pod, &node.name));
        value.is_some_and(|value| text(value, "/status/message").contains("low on resource: memory"))
    };
    let is_meant = (is_asked && pressed) || seen.relevant.iter().any(threw_out);
    if !is_meant {
        return Vec::new();
    }
    let ended = |pod: &ObjectRef| {
        let cells = seen.rows.get(pod).filter(|cells| cell(cells, "NODE") == node.name);
        cells.is_some_and(|cells| {
            ["Error", "Evicted", "Failed", "ContainerStatusUnknown"].contains(&cell(cells, "STATUS"))
        })
    };
    let gone = rows::unwell(seen, "Pod", "").into_iter().filter(ended).collect();
    let mut wants = vec![Want::PodsOn { node: node.name.clone() }];
    wants.extend(rows::youngest(seen, gone).into_iter().take(PODS_PER_SELECTOR).map(Want::Object));
    wants
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    /// The Pods that are read for a Node, of three that stand on it or elsewhere.
    fn read_for(target: ObjectRef, pressure: &str, victim: Option<&str>) -> Vec<String> {
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&target));
        for (pod, node, status) in [("hog-1", "n1", "Error"), ("web-1", "n1", "Running"), ("hog-2", "n2", "Evicted")] {
            let cells = [("READY", "1/1"), ("STATUS", status), ("NODE", node), ("AGE", "5m")];
            seen.rows.insert(
                ObjectRef::new("Pod", "a", pod),
                cells.map(|(key, cell)| (key.to_owned(), cell.to_owned())).into(),
            );
        }
        if let Some(message) = victim {
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "cart-1", "namespace": "a"},
                "spec": {"nodeName": "n1"}, "status": {"message": message}});
            seen.facts.add_object(pod, "E1");
        }
        let node = json!({"status": {"conditions": [{"type": "MemoryPressure", "status": pressure}]}});
        let wants = thrown_out(&seen, &ObjectRef::new("Node", "", "n1"), &node);
        let pods = wants.into_iter().filter_map(|want| match want {
            Want::Object(object) => Some(object.name),
            _ => None,
        });
        pods.collect()
    }

    #[test]
    fn what_a_node_short_of_memory_threw_out_is_read_where_the_node_or_a_victim_is_asked_about() {
        let node = || ObjectRef::new("Node", "", "n1");
        let victim = || ObjectRef::new("Pod", "a", "cart-1");
        assert_eq!(read_for(node(), "True", None), ["hog-1"]);
        assert_eq!(read_for(victim(), "False", Some("The node was low on resource: memory. ")), ["hog-1"]);
        assert!(read_for(node(), "False", None).is_empty(), "it is short of nothing");
        assert!(read_for(victim(), "True", Some("The node was low on resource: ephemeral-storage. ")).is_empty());
        assert!(read_for(victim(), "True", None).is_empty(), "nobody who is asked about was thrown out");
    }
}
