//! Who a selector means: labels for Services, policies and workloads; Nodes and taints for Pods.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// Labels as objects carry them.
pub type LabelMap = BTreeMap<String, String>;

/// Whether labels carry every pair of a selector map.
#[must_use]
pub fn covers(selector: &LabelMap, labels: Option<&LabelMap>) -> bool {
    selector.iter().all(|(key, value)| labels.and_then(|all| all.get(key)) == Some(value))
}

/// Whether a label selector means an object; an empty one means all.
#[must_use]
pub fn selects(selector: &LabelSelector, labels: Option<&LabelMap>) -> bool {
    let pairs = selector.match_labels.as_ref().is_none_or(|pairs| covers(pairs, labels));
    let mut expressions = selector.match_expressions.iter().flatten();
    pairs && expressions.all(|rule| holds(&rule.key, &rule.operator, rule.values.as_deref().unwrap_or(&[]), labels))
}

/// Whether a Node satisfies the Pod's `nodeSelector` and its required node affinity.
#[must_use]
pub fn node_matches(pod: &Pod, node: &Node) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let labels = node.metadata.labels.as_ref();
    if !spec.node_selector.as_ref().is_none_or(|wanted| covers(wanted, labels)) {
        return false;
    }
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|required| any_term(&required.node_selector_terms, node))
}

/// Whether a Node satisfies at least one term (a volume's topology reads the same way).
#[must_use]
pub fn any_term(terms: &[NodeSelectorTerm], node: &Node) -> bool {
    terms.iter().any(|term| {
        let labels =
            term.match_expressions.iter().flatten().all(|rule| rule_holds(rule, node.metadata.labels.as_ref()));
        let name: LabelMap =
            [("metadata.name".to_owned(), node.metadata.name.clone().unwrap_or_default())].into_iter().collect();
        labels && term.match_fields.iter().flatten().all(|rule| rule_holds(rule, Some(&name)))
    })
}

/// What a Pod asks of a Node's labels, in words such as `disk=ssd`.
#[must_use]
pub fn node_wishes(pod: &Pod) -> Vec<String> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let pairs = spec.node_selector.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    pairs.chain(terms_in_words(required_terms(pod))).collect()
}

/// The labels a Pod asks of a Node by value, each with the values that would do.
#[must_use]
pub fn wanted_labels(pod: &Pod) -> Vec<(String, Vec<String>)> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let pairs = spec.node_selector.iter().flatten().map(|(key, value)| (key.clone(), vec![value.clone()]));
    let rules = required_terms(pod).iter().flat_map(|term| term.match_expressions.iter().flatten());
    let rules = rules.filter(|rule| rule.operator == "In");
    pairs.chain(rules.map(|rule| (rule.key.clone(), rule.values.clone().unwrap_or_default()))).collect()
}

/// The terms of a Pod's node affinity of which one must hold.
fn required_terms(pod: &Pod) -> &[NodeSelectorTerm] {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()?.node_affinity.as_ref());
    let required = affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    required.map(|required| required.node_selector_terms.as_slice()).unwrap_or_default()
}

/// What node selector terms ask for, in words such as `zone=a`.
#[must_use]
pub fn terms_in_words(terms: &[NodeSelectorTerm]) -> Vec<String> {
    terms.iter().flat_map(|term| term.match_expressions.iter().flatten()).map(in_words).collect()
}

/// The taints that keep a Pod off a Node (`NoSchedule` and `NoExecute`, not tolerated).
#[must_use]
pub fn untolerated<'a>(pod: &Pod, node: &'a Node) -> Vec<&'a Taint> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or(&[]);
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or(&[]);
    taints
        .iter()
        .filter(|taint| taint.effect != "PreferNoSchedule")
        .filter(|taint| !tolerations.iter().any(|toleration| tolerates(toleration, taint)))
        .collect()
}

/// Whether the control plane put a taint there because of the Node's condition or a cordon.
#[must_use]
pub fn is_condition_taint(taint: &Taint) -> bool {
    taint.key.starts_with("node.kubernetes.io/") || taint.key.starts_with("node.cloudprovider.kubernetes.io/")
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().is_none_or(|effect| effect.is_empty() || effect == taint.effect);
    let key = toleration.key.as_deref().unwrap_or_default();
    if !effect || (!key.is_empty() && key != taint.key) {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        _ => !key.is_empty() && toleration.value.as_deref().unwrap_or("") == taint.value.as_deref().unwrap_or(""),
    }
}

fn rule_holds(rule: &NodeSelectorRequirement, labels: Option<&LabelMap>) -> bool {
    holds(&rule.key, &rule.operator, rule.values.as_deref().unwrap_or(&[]), labels)
}

fn holds(key: &str, operator: &str, values: &[String], labels: Option<&LabelMap>) -> bool {
    let value = labels.and_then(|all| all.get(key));
    let number = |text: &String| text.parse::<i64>().ok();
    let against = |compare: fn(i64, i64) -> bool| {
        value.and_then(number).zip(values.first().and_then(number)).is_some_and(|(left, right)| compare(left, right))
    };
    match operator {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => value.is_none_or(|value| !values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => against(|left, right| left > right),
        "Lt" => against(|left, right| left < right),
        _ => false,
    }
}

fn in_words(rule: &NodeSelectorRequirement) -> String {
    let values = rule.values.as_deref().unwrap_or(&[]);
    match (rule.operator.as_str(), values) {
        ("In", [one]) => format!("{}={one}", rule.key),
        (operator, []) => format!("{} {operator}", rule.key),
        (operator, values) => format!("{} {operator} ({})", rule.key, values.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node() -> Node {
        serde_json::from_value(json!({"metadata": {"name": "n1", "labels": {"zone": "a", "gen": "3"}}, "spec": {"taints": [
            {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}, {"key": "soft", "effect": "PreferNoSchedule"}]}}))
        .unwrap()
    }

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).unwrap()
    }

    #[test]
    fn expressions_and_pairs_must_all_hold() {
        let selector: LabelSelector = serde_json::from_value(
            json!({"matchLabels": {"app": "a"}, "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["db"]}]}),
        )
        .unwrap();
        let labels = |pairs: serde_json::Value| serde_json::from_value::<LabelMap>(pairs).unwrap();
        assert!(selects(&selector, Some(&labels(json!({"app": "a"})))));
        assert!(!selects(&selector, Some(&labels(json!({"app": "a", "tier": "db"})))));
        assert!(!selects(&selector, None));
        assert!(selects(&LabelSelector::default(), None), "an empty selector means everything");
    }

    #[test]
    fn required_affinity_and_node_selector_are_both_asked() {
        let required = |rule: serde_json::Value| {
            pod(json!({"containers": [], "affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}}}}))
        };
        assert!(node_matches(&required(json!({"key": "gen", "operator": "Gt", "values": ["2"]})), &node()));
        assert!(!node_matches(&required(json!({"key": "gen", "operator": "Gt", "values": ["3"]})), &node()));
        assert!(!node_matches(&pod(json!({"containers": [], "nodeSelector": {"zone": "b"}})), &node()));
        assert_eq!(
            node_wishes(&required(json!({"key": "zone", "operator": "In", "values": ["a", "b"]}))),
            ["zone In (a, b)"]
        );
    }

    #[test]
    fn tolerations_match_by_key_value_and_effect() {
        let tolerating = |toleration: serde_json::Value| pod(json!({"containers": [], "tolerations": [toleration]}));
        assert_eq!(untolerated(&pod(json!({"containers": []})), &node()).len(), 1);
        assert!(untolerated(&tolerating(json!({"key": "dedicated", "value": "gpu"})), &node()).is_empty());
        assert!(untolerated(&tolerating(json!({"operator": "Exists"})), &node()).is_empty());
        assert_eq!(untolerated(&tolerating(json!({"key": "dedicated", "value": "cpu"})), &node()).len(), 1);
        let other_effect = json!({"key": "dedicated", "operator": "Exists", "effect": "NoExecute"});
        assert_eq!(untolerated(&tolerating(other_effect), &node()).len(), 1);
    }
}
