//! Label and field selectors, read and refused as the API server reads and refuses them.

use serde_json::Value;

use super::kinds::Kind;

/// What a list asks for; empty selects everything.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Selector {
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
}

#[derive(Debug, PartialEq)]
struct LabelTerm {
    key: String,
    test: LabelTest,
}

#[derive(Debug, PartialEq)]
enum LabelTest {
    Exists,
    Missing,
    In(Vec<String>),
    NotIn(Vec<String>),
    Above(i64),
    Below(i64),
}

#[derive(Debug, PartialEq)]
struct FieldTerm {
    path: Vec<String>,
    value: String,
    negated: bool,
}

impl Selector {
    /// Reads both selectors of a request; the error is the API server's wording.
    pub fn parse(kind: &Kind, labels: &str, fields: &str) -> Result<Self, String> {
        Ok(Self { labels: parse_labels(labels)?, fields: parse_fields(kind, fields)? })
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Value) -> bool {
        self.labels.iter().all(|term| term.matches(object)) && self.fields.iter().all(|term| term.matches(object))
    }
}

impl LabelTerm {
    fn matches(&self, object: &Value) -> bool {
        let value = object["metadata"]["labels"].get(&self.key).and_then(Value::as_str);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            LabelTest::Exists => value.is_some(),
            LabelTest::Missing => value.is_none(),
            LabelTest::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            LabelTest::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            LabelTest::Above(bound) => number().is_some_and(|number| number > *bound),
            LabelTest::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

impl FieldTerm {
    fn matches(&self, object: &Value) -> bool {
        let found = self.path.iter().try_fold(object, |at, key| at.get(key));
        let text = match found {
            Some(Value::String(text)) => text.clone(),
            // An Event's source is an object; its selector compares the component.
            Some(Value::Object(source)) => {
                source.get("component").and_then(Value::as_str).unwrap_or_default().to_owned()
            }
            None | Some(Value::Null) => String::new(),
            Some(other) => other.to_string(),
        };
        // Absent booleans select as false, which is what they mean.
        let equal = text == self.value || (text.is_empty() && self.value == "false");
        equal != self.negated
    }
}

/// The labels of each kind that the API server can select fields by, besides name and namespace.
fn supported_fields(kind: &Kind) -> &'static [&'static str] {
    match (&*kind.group, &*kind.kind) {
        ("", "Pod") => &[
            "spec.hostNetwork",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.nominatedNodeName",
            "status.phase",
            "status.podIP",
            "status.podIPs",
        ],
        ("" | "events.k8s.io", "Event") => &[
            "involvedObject.apiVersion",
            "involvedObject.fieldPath",
            "involvedObject.kind",
            "involvedObject.name",
            "involvedObject.namespace",
            "involvedObject.resourceVersion",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        ("", "Namespace") => &["status.phase"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Secret") => &["type"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("" | "apps", "ReplicationController" | "ReplicaSet") => &["status.replicas"],
        ("batch", "Job") => &["status.successful"],
        _ => &[],
    }
}

fn parse_fields(kind: &Kind, text: &str) -> Result<Vec<FieldTerm>, String> {
    text.split(',').filter(|term| !term.is_empty()).map(|term| parse_field(kind, term)).collect()
}

fn parse_field(kind: &Kind, term: &str) -> Result<FieldTerm, String> {
    let split = ["!=", "==", "="].iter().find_map(|sign| term.split_once(sign).map(|parts| (*sign, parts)));
    let Some((sign, (field, value))) = split else {
        return Err(format!("invalid selector: '{term}'; can't understand '{term}'"));
    };
    let metadata = field == "metadata.name" || (field == "metadata.namespace" && kind.namespaced);
    if !metadata && !supported_fields(kind).contains(&field) {
        return Err(if supported_fields(kind).is_empty() {
            format!("\"{field}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
        } else {
            format!("field label not supported: {field}")
        });
    }
    let path = field.split('.').map(str::to_owned).collect();
    Ok(FieldTerm { path, value: value.to_owned(), negated: sign == "!=" })
}

fn parse_labels(text: &str) -> Result<Vec<LabelTerm>, String> {
    split_outside_parentheses(text)
        .into_iter()
        .map(str::trim)
        .filter(|term| !term.is_empty())
        .map(parse_label)
        .collect()
}

/// Commas separate requirements, except inside the list of a set requirement.
fn split_outside_parentheses(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    text.split(|c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .collect()
}

fn parse_label(term: &str) -> Result<LabelTerm, String> {
    if let Some(key) = term.strip_prefix('!') {
        return Ok(LabelTerm { key: key.trim().to_owned(), test: LabelTest::Missing });
    }
    let end = term.find(|c: char| c.is_whitespace() || "=!<>(".contains(c)).unwrap_or(term.len());
    let (key, rest) = term.split_at(end);
    if key.is_empty() {
        return Err(format!(
            "unable to parse requirement: found '{term}', expected: !, identifier, or 'end of string'"
        ));
    }
    Ok(LabelTerm { key: key.to_owned(), test: parse_label_test(rest.trim())? })
}

fn parse_label_test(rest: &str) -> Result<LabelTest, String> {
    if rest.is_empty() {
        return Ok(LabelTest::Exists);
    }
    for (sign, negated) in [("!=", true), ("==", false), ("=", false)] {
        if let Some(value) = rest.strip_prefix(sign) {
            let values = vec![value.trim().to_owned()];
            return Ok(if negated { LabelTest::NotIn(values) } else { LabelTest::In(values) });
        }
    }
    for (sign, test) in [(">", LabelTest::Above as fn(i64) -> LabelTest), ("<", LabelTest::Below)] {
        if let Some(value) = rest.strip_prefix(sign) {
            let bound = value.trim().parse();
            return bound.map(test).map_err(|_| "for 'Gt', 'Lt' operators, the value must be an integer".to_owned());
        }
    }
    parse_set(rest)
}

fn parse_set(rest: &str) -> Result<LabelTest, String> {
    let word = rest.split(|c: char| c.is_whitespace() || c == '(').next().unwrap_or_default();
    if word != "in" && word != "notin" {
        return Err(format!("unable to parse requirement: found '{word}', expected: in, notin, =, ==, !=, gt, lt"));
    }
    let list = rest[word.len()..].trim().strip_prefix('(').and_then(|list| list.strip_suffix(')'));
    let list = list.ok_or_else(|| "unable to parse requirement: found '', expected: '('".to_owned())?;
    let values = list.split(',').map(|value| value.trim().to_owned()).collect();
    Ok(if word == "in" { LabelTest::In(values) } else { LabelTest::NotIn(values) })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kube::snapshot::kinds;

    fn pod() -> Kind {
        kinds::built_in().into_iter().find(|kind| kind.kind == "Pod").unwrap()
    }

    fn selects(labels: &str, fields: &str) -> bool {
        let object = json!({
            "metadata": {"name": "a-1", "namespace": "web", "labels": {"app": "a", "rank": "7"}},
            "spec": {"nodeName": "worker-1"},
            "status": {"phase": "Running"},
        });
        Selector::parse(&pod(), labels, fields).unwrap().matches(&object)
    }

    #[test]
    fn labels_select_by_equality_and_by_set() {
        for yes in
            ["", "app=a", "app==a,rank", "app in (a, b)", "app notin (b,c)", "!tier", "tier!=x", "rank>6", "rank < 8"]
        {
            assert!(selects(yes, ""), "{yes}");
        }
        for no in ["app=b", "app!=a", "app in (b)", "app notin (a)", "!app", "tier", "rank>7", "app in (a),tier"] {
            assert!(!selects(no, ""), "{no}");
        }
    }

    #[test]
    fn fields_select_by_path() {
        for yes in ["metadata.name=a-1", "status.phase!=Failed,spec.nodeName==worker-1", "spec.hostNetwork=false"] {
            assert!(selects("", yes), "{yes}");
        }
        assert!(!selects("", "spec.nodeName=worker-2"));
    }

    #[test]
    fn mistakes_are_refused_in_the_servers_words() {
        let refused = |labels, fields| Selector::parse(&pod(), labels, fields).unwrap_err();
        assert_eq!(
            refused("a b", ""),
            "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"
        );
        assert_eq!(refused("", "spec.foo=x"), "field label not supported: spec.foo");
    }
}
