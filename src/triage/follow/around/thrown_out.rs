//! Nodes that ran short of memory or disk: whose Pods they threw out, which may lead to who filled them.

use serde_json::Value;

use super::{PODS_PER_SELECTOR, array, runs_on, text};
use crate::alert::ObjectRef;
use crate::playbook::analyzer::eviction::Resource;
use crate::toolbox::table::Row;
use crate::triage::rows::{self, cell};
use crate::triage::seen::Seen;
use crate::triage::want::Want;

/// Who may have filled a Node that ran short of something, where it is asked about or threw out a Pod that is: what else it
/// threw out, and who writes there as its like did that other Nodes threw out. Each leads on to its workload, and so to what
/// other Nodes threw out of that.
pub(super) fn thrown_out(seen: &Seen, node: &ObjectRef, value: &Value) -> Vec<Want> {
    let is_asked = seen.targets.contains(node);
    let pressed = |resource: Resource| {
        array(value, "/status/conditions")
            .any(|it| text(it, "/type") == resource.pressure() && text(it, "/status") == "True")
    };
    let threw_out = |pod: &ObjectRef| {
        let value = seen.facts.raw(pod).map(|(value, _)| value).filter(|_| runs_on(seen, pod, &node.name));
        let said = |value| text(value, "/status/message");
        let short_of =
            |said: &str| Resource::ALL.into_iter().any(|it| said.contains(&format!("low on resource: {}", it.name())));
        value.is_some_and(|value| short_of(said(value)))
    };
    let is_meant = is_asked && (seen.about_evictions || Resource::ALL.into_iter().any(pressed));
    if !is_meant && !seen.relevant.iter().any(threw_out) {
        return Vec::new();
    }
    let gone: Vec<ObjectRef> = rows::matching(seen, "Pod", "", |_, cells| is_ended(cells));
    let (own, elsewhere): (Vec<_>, Vec<_>) = gone.into_iter().partition(|pod| is_on(seen, pod, node));
    let mut wants = vec![Want::PodsOn { node: node.name.clone() }];
    wants.extend(rows::youngest(seen, own).into_iter().take(PODS_PER_SELECTOR).map(Want::Object));
    if is_asked && pressed(Resource::Disk) {
        wants.push(Want::PodsFailed);
        wants.extend(alike(seen, node, elsewhere).into_iter().map(Want::Object));
    }
    wants
}

/// The youngest Pod that ended on another Node and whose like runs on this one, with that.
fn alike(seen: &Seen, node: &ObjectRef, elsewhere: Vec<ObjectRef>) -> Vec<ObjectRef> {
    let pair = rows::youngest(seen, elsewhere).into_iter().find_map(|pod| {
        let labels = cell(seen.rows.get(&pod)?, "LABELS");
        let like = |row: &ObjectRef, cells: &Row| {
            row.namespace == pod.namespace && cell(cells, "LABELS") == labels && cell(cells, "NODE") == node.name
        };
        let runs = rows::matching(seen, "Pod", "", |row, cells| like(row, cells) && !is_ended(cells));
        let runs = runs.into_iter().next().filter(|_| !matches!(labels, "" | "<none>"))?;
        Some(vec![runs, pod])
    });
    pair.unwrap_or_default()
}

/// Whether a Pod's row says that it was thrown out, or ended so that it may have been: the list shows how its containers ended
/// where these say it, and a Pod of a Deployment does not end by itself.
fn is_ended(cells: &Row) -> bool {
    match cell(cells, "STATUS") {
        "Error" | "Evicted" | "Failed" | "ContainerStatusUnknown" => true,
        "Completed" => cell(cells, "LABELS").contains("pod-template-hash="),
        _ => false,
    }
}

fn is_on(seen: &Seen, pod: &ObjectRef, node: &ObjectRef) -> bool {
    seen.rows.get(pod).is_some_and(|cells| cell(cells, "NODE") == node.name)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    /// The Pods that are read for a Node under such a pressure, of some that stand on it or elsewhere.
    fn read_for(target: ObjectRef, (kind, pressure): (&str, &str), victim: Option<&str>) -> Vec<String> {
        reads(target, json!([{"type": kind, "status": pressure}]), victim, false)
    }

    fn reads(target: ObjectRef, conditions: Value, victim: Option<&str>, about_evictions: bool) -> Vec<String> {
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&target));
        seen.about_evictions = about_evictions;
        let rows = [
            ("hog-1", "n1", "Error", "app=hog"),
            ("web-1", "n1", "Running", "app=web"),
            ("hog-2", "n2", "Evicted", "app=hog"),
            ("etl-1", "n1", "Running", "app=etl"),
            ("etl-2", "n2", "Evicted", "app=etl"),
        ];
        for (pod, node, status, labels) in rows {
            let cells = [("READY", "1/1"), ("STATUS", status), ("NODE", node), ("AGE", "5m"), ("LABELS", labels)];
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
        let node = json!({"status": {"conditions": conditions}});
        let wants = thrown_out(&seen, &ObjectRef::new("Node", "", "n1"), &node);
        let pods = wants.into_iter().filter_map(|want| match want {
            Want::Object(object) => Some(object.name),
            _ => None,
        });
        pods.collect()
    }

    #[test]
    fn what_a_node_short_of_something_threw_out_is_read_where_the_node_or_a_victim_is_asked_about() {
        let node = || ObjectRef::new("Node", "", "n1");
        let victim = || ObjectRef::new("Pod", "a", "cart-1");
        let memory = |status| ("MemoryPressure", status);
        assert_eq!(read_for(node(), memory("True"), None), ["hog-1"]);
        for resource in ["memory", "ephemeral-storage"] {
            let said = format!("The node was low on resource: {resource}. ");
            assert_eq!(read_for(victim(), memory("False"), Some(&said)), ["hog-1"]);
        }
        assert!(read_for(node(), memory("False"), None).is_empty(), "it is short of nothing");
        assert!(read_for(victim(), memory("True"), Some("The node was low on resource: inodes. ")).is_empty());
        assert!(read_for(victim(), memory("True"), None).is_empty(), "nobody who is asked about was thrown out");
        assert_eq!(reads(node(), json!([]), None, true), ["hog-1"], "the alert counts evictions");
    }

    #[test]
    fn who_writes_to_a_full_disk_as_its_like_did_elsewhere_is_read_with_that() {
        let node = ObjectRef::new("Node", "", "n1");
        assert_eq!(read_for(node, ("DiskPressure", "True"), None), ["hog-1", "etl-1", "etl-2"]);
    }
}
