//! Aboutness: whether a tool result tells something of the object that is blamed. A line that only names it, in a result
//! about something else, says that it exists: that a Pod runs on a Node is no fault of the Node.

use serde_json::Value;

use super::quote::{entries_with, entry_with, plain};
use crate::alert::ObjectRef;
use crate::report::{Cause, same_thing};
use crate::toolbox::evidence::{Evidence, EvidenceLog};

/// Whether any quotation of a cause tells something of its object, out of a result about it.
#[must_use]
pub fn rests_on_its_object(cause: &Cause, log: &EvidenceLog) -> bool {
    cause.evidence.iter().any(|citation| {
        let evidence = log.get(&citation.reference);
        evidence.is_some_and(|evidence| {
            !only_names(&citation.quote, &cause.resource) && is_about(&evidence, &citation.quote, &cause.resource)
        })
    })
}

/// Whether a quotation says no more than what an object is called: `nodeName: worker-1`, `name: worker-1`.
#[must_use]
pub fn only_names(quote: &str, object: &ObjectRef) -> bool {
    let names = |word: &str| {
        let key = word.strip_suffix(':').map(str::to_lowercase);
        key.is_some_and(|key| key.ends_with("name") || key.ends_with("namespace") || key == "kind")
            || [&object.kind, &object.namespace, &object.name].into_iter().any(|known| known == word)
    };
    plain(quote).replace('…', " ").split_whitespace().all(names)
}

/// Whether a result was asked for an object, for the objects of its kind, or is an event of it.
#[must_use]
pub fn is_about(evidence: &Evidence, quote: &str, object: &ObjectRef) -> bool {
    if evidence.tool == "events_list" {
        return involved(&evidence.full, quote).is_some_and(|involved| is_one(&involved, object));
    }
    let asked = |key: &str| evidence.arguments.get(key).and_then(Value::as_str).filter(|value| !value.is_empty());
    let Some(kind) = asked("kind").or_else(|| kind_of(&evidence.tool)) else {
        // A tool of another server, of which only the arguments are known.
        return !object.name.is_empty() && evidence.arguments.to_string().contains(&object.name);
    };
    let namespace = asked("namespace").filter(|_| !object.namespace.is_empty()).unwrap_or(&object.namespace);
    let read = |name: &str| is_one(&ObjectRef::new(kind, namespace, name), object);
    match asked("name") {
        Some(name) => read(name),
        // Of a list, the entry that was quoted.
        None => entries_with(&evidence.full, quote).iter().any(|entry| words(entry).any(read)),
    }
}

/// Whether a quotation, or the entry it stands in, speaks of an object: an event of a Pod that names the ConfigMap it lacks.
#[must_use]
pub fn mentions(evidence: &Evidence, quote: &str, object: &ObjectRef) -> bool {
    let names = |text: &str| words(text).any(|word| word == object.name);
    object.name.is_empty() || names(quote) || entries_with(&evidence.full, quote).iter().any(|entry| names(entry))
}

/// What of a text may be a name.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '-' | '.')))
        .filter(|word| !word.is_empty())
}

fn kind_of(tool: &str) -> Option<&'static str> {
    [("pods_", "Pod"), ("nodes_", "Node"), ("namespaces_", "Namespace")]
        .into_iter()
        .find_map(|(prefix, kind)| tool.starts_with(prefix).then_some(kind))
}

/// The object that the quoted event is about.
fn involved(events: &str, quote: &str) -> Option<ObjectRef> {
    let entry = entry_with(events, quote)?;
    let value = |key: &str| entry.iter().find_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key));
    let bare = |key: &str| value(key).map(|value| value.trim().trim_matches(['"', '\'']));
    Some(ObjectRef::new(bare("Kind: ")?, bare("Namespace: ").unwrap_or_default(), bare("Name: ")?))
}

/// Whether what was read is the object, or so close to it that it speaks for it: its Pods, the addresses of a Service.
fn is_one(read: &ObjectRef, object: &ObjectRef) -> bool {
    let namespace = if object.namespace.is_empty() { "" } else { &read.namespace };
    let read = ObjectRef::new(&read.kind, namespace, &read.name);
    let addresses = matches!(read.kind.as_str(), "Endpoints" | "EndpointSlice") && object.kind == "Service";
    same_thing(&read, object)
        || (addresses && read.namespace == object.namespace && read.name.starts_with(&object.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use serde_json::json;

    fn evidence(tool: &str, arguments: &Value, text: &str) -> Evidence {
        let log = EvidenceLog::default();
        log.record(log.reserve(), tool, arguments, text.to_owned(), 9_999, Timestamp::UNIX_EPOCH)
    }

    fn node() -> ObjectRef {
        ObjectRef::new("Node", "", "worker-1")
    }

    #[test]
    fn what_only_names_an_object_is_told_from_what_says_something_of_it() {
        assert!(only_names("nodeName: worker-1", &node()) && only_names("kind: Node … name: \"worker-1\"", &node()));
        assert!(!only_names("reason: KubeletHasDiskPressure", &node()) && !only_names("nodeName: worker-2", &node()));
    }

    #[test]
    fn a_result_is_about_what_was_asked_for() {
        let pod = evidence("pods_get", &json!({"namespace": "shop", "name": "web-5d4-x"}), "nodeName: worker-1");
        assert!(!is_about(&pod, "nodeName: worker-1", &node()));
        assert!(is_about(&pod, "phase: Failed", &ObjectRef::new("Deployment", "shop", "web")), "its Pod");
        assert!(!is_about(&pod, "phase: Failed", &ObjectRef::new("Deployment", "pay", "web")));
        let one = evidence("resources_get", &json!({"kind": "Node", "name": "worker-1"}), "type: Ready");
        let all = evidence("resources_list", &json!({"kind": "Node"}), "worker-1 Ready");
        assert!(is_about(&one, "type: Ready", &node()) && is_about(&all, "worker-1 Ready", &node()));
        assert!(!is_about(&all, "worker-1 Ready", &ObjectRef::new("Node", "", "worker-2")), "another's row");
        let other = evidence("resources_get", &json!({"kind": "Node", "name": "worker-2"}), "type: Ready");
        assert!(!is_about(&other, "type: Ready", &node()));
    }

    #[test]
    fn a_row_of_a_list_is_about_the_object_it_names() {
        let table = "NAMESPACE  NAME         READY  STATUS\nshop       web-5d4b-x   0/1    Error\nshop       pg-0         1/1    Running\n";
        let list = evidence("pods_list_in_namespace", &json!({"namespace": "shop"}), table);
        let (web, pg) = (ObjectRef::new("Deployment", "shop", "web"), ObjectRef::new("Pod", "shop", "pg-0"));
        assert!(is_about(&list, "0/1    Error", &web) && !is_about(&list, "0/1    Error", &pg));
        assert!(
            is_about(&list, "1/1 Running", &pg) && mentions(&list, "Running", &pg) && !mentions(&list, "Error", &pg)
        );
        let objects = "- kind: Pod\n  metadata:\n    name: pg-0\n  status: {phase: Running}\n- kind: Pod\n  metadata:\n    name: pg-1\n  status: {phase: Failed}\n";
        let list = evidence("pods_list", &json!({}), objects);
        assert!(is_about(&list, "phase: Running", &pg) && !is_about(&list, "phase: Failed", &pg));
    }

    #[test]
    fn an_event_is_about_the_object_it_involves() {
        let text = "- InvolvedObject:\n    Kind: Pod\n    Name: web-0\n  Message: assigned to worker-1\n  Namespace: shop\n\
            - InvolvedObject:\n    Kind: Node\n    Name: worker-1\n  Message: disk is full\n  Namespace: default\n";
        let events = evidence("events_list", &Value::Null, text);
        assert!(!is_about(&events, "assigned to worker-1", &node()) && is_about(&events, "disk is full", &node()));
        assert!(is_about(&events, "assigned to worker-1", &ObjectRef::new("StatefulSet", "shop", "web")));
    }
}
