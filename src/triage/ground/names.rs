//! Names: an object that is blamed must be one that the cluster or the alert speaks of, one that a command is about must at
//! least occur somewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::{AlertGroup, ObjectRef};
use crate::playbook::facts::Facts;
use crate::report::same_thing;
use crate::toolbox::evidence::{Evidence, EvidenceLog};
use crate::triage::question::targets_of;

/// The names that occur in what was read.
#[derive(Debug, Default)]
pub struct Names {
    /// Words of everything: tool results, what was asked of tools, alerts.
    all: BTreeSet<String>,
    /// Words of what the API server answered, and of the alerts. A log's words may be an outsider's, and what a model asked
    /// for may be its own guess.
    told: BTreeSet<String>,
    /// What the API server answered and alerts said: here a name stands behind the word for its kind.
    answers: Vec<Answer>,
    /// The objects that are known, by namespace and name.
    kinds: BTreeMap<(String, String), BTreeSet<String>>,
}

/// A text that speaks of objects, in lower case.
#[derive(Debug, Default)]
struct Answer {
    /// The kind that was asked for, if any.
    kind: String,
    text: String,
}

/// How far before a name, in bytes, the word for its kind may stand: `secretKeyRef:` and a key between, an owner reference.
const NEAR: usize = 80;

impl Names {
    /// All names of a run.
    #[must_use]
    pub fn of(log: &EvidenceLog, facts: &Facts, group: &AlertGroup) -> Self {
        let mut names = Self::default();
        for object in facts.names().into_iter().chain(group.alerts.iter().flat_map(targets_of)) {
            let known = names.kinds.entry((object.namespace.clone(), object.name.clone())).or_default();
            known.insert(object.kind);
            names.all.extend([object.name.clone(), object.namespace.clone()]);
            names.told.extend([object.name, object.namespace]);
        }
        for evidence in log.all() {
            read(&mut names.all, &evidence.full);
            read(&mut names.all, &evidence.arguments.to_string());
            if evidence.tool != "pods_log" {
                let told = without_annotations(&evidence.full);
                read(&mut names.told, &told);
                names.answers.push(Answer { kind: kind_asked(&evidence), text: told.to_lowercase() });
            }
        }
        let alerts = group.alerts.iter().flat_map(|alert| alert.labels.iter().chain(alert.annotations.iter()));
        for (key, text) in alerts.chain(&group.group_labels).chain(&group.common_labels) {
            read(&mut names.all, text);
            read(&mut names.told, text);
            names.answers.push(Answer { text: format!("{key}: {text}").to_lowercase(), ..Answer::default() });
        }
        names
    }

    /// Whether a name occurs.
    #[must_use]
    pub fn know(&self, name: &str) -> bool {
        self.all.contains(name)
    }

    /// Whether a name occurs, or one that was made from it, as a Deployment's Pods are named.
    #[must_use]
    pub fn know_owner(&self, name: &str) -> bool {
        let made = format!("{name}-");
        self.know(name) || self.all.range(made.clone()..).next().is_some_and(|known| known.starts_with(&made))
    }

    /// Whether the cluster or an alert speaks of an object: it was read, or what it made, or some answer speaks of it as what
    /// it is. A word that happens to be its name is no sign of it: `default` stands everywhere.
    #[must_use]
    pub fn know_object(&self, object: &ObjectRef) -> bool {
        self.told.contains(&object.name)
            && (object.namespace.is_empty() || self.told.contains(&object.namespace))
            && (self.is_read(object) || self.is_spoken_of(object))
    }

    /// Whether the object was read, or no other of its name but one that is named after it, as a Deployment's Pods are.
    fn is_read(&self, object: &ObjectRef) -> bool {
        let made = |((namespace, name), kinds): (&(String, String), &BTreeSet<String>)| {
            name.len() > object.name.len()
                && kinds.iter().any(|kind| same_thing(&ObjectRef::new(kind, namespace, name), object))
        };
        match self.kinds.get(&(object.namespace.clone(), object.name.clone())) {
            Some(kinds) => kinds.contains(&object.kind),
            None => self.kinds.iter().any(made),
        }
    }

    /// Whether the word for the object's kind stands shortly before its name in some answer: `serviceAccountName: web`,
    /// `"kind": "StatefulSet", "name": "web"`, `secret "web" not found`.
    fn is_spoken_of(&self, object: &ObjectRef) -> bool {
        let (kind, name) = (object.kind.to_lowercase(), object.name.to_lowercase());
        let host = format!(".{}", object.namespace.to_lowercase());
        let words = words_for(&kind);
        self.answers.iter().any(|answer| {
            whole_words(&answer.text, &name).any(|at| {
                let start = answer.text.floor_char_boundary(at.saturating_sub(NEAR));
                let (before, after) = (&answer.text[start..at], &answer.text[at + name.len()..]);
                words.iter().any(|word| speaks(before, word, &kind))
                    || (answer.kind == kind && is_name_of_it(before))
                    || (kind == "service" && after.starts_with(&host))
            })
        })
    }
}

/// Whether a text before a name speaks of a kind by a word. `nodeName:` stands in every Pod, and `serviceAccountName:` is
/// no Service.
fn speaks(before: &str, word: &str, kind: &str) -> bool {
    match kind {
        "node" => {
            let said = before.trim_end_matches([' ', '"', '\'', ':', '/', '=']);
            ["node", "nodename", " to"].iter().any(|end| said.ends_with(end))
                || ["kind: node\n", "\"kind\":\"node\"", "\"kind\": \"node\""].iter().any(|kind| before.contains(kind))
        }
        "service" => before.match_indices(word).any(|(at, _)| !before[at + word.len()..].starts_with("account")),
        _ => before.contains(word),
    }
}

/// How answers speak of a kind, in lower case.
fn words_for(kind: &str) -> Vec<&str> {
    match kind {
        // Pods name their claims `claimName`, and those their volume `volumeName`.
        "persistentvolumeclaim" => vec!["claim"],
        "persistentvolume" => vec!["volume"],
        "resourcequota" => vec!["quota"],
        "poddisruptionbudget" => vec![kind, "disruption budget"],
        "service" => vec![kind, "svc"],
        _ => vec![kind],
    }
}

/// The kind of which a tool was asked for objects, in lower case.
fn kind_asked(evidence: &Evidence) -> String {
    let asked = evidence.arguments.get("kind").and_then(serde_json::Value::as_str);
    asked.unwrap_or(if evidence.tool.starts_with("pods_") { "pod" } else { "" }).to_lowercase()
}

/// Where a name stands as a whole word.
fn whole_words<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_whole = |char: Option<char>| !char.is_some_and(|char| char.is_ascii_alphanumeric() || char == '-');
    text.match_indices(name)
        .map(|(at, _)| at)
        .filter(move |at| is_whole(text[..*at].chars().next_back()) && is_whole(text[at + name.len()..].chars().next()))
}

/// Whether what stands before a name is the key `name`, and not `serviceAccountName`.
fn is_name_of_it(before: &str) -> bool {
    let key = before.trim_end_matches([' ', '"']).strip_suffix(':').map(|key| key.trim_end_matches('"'));
    key.and_then(|key| key.strip_suffix("name")).is_some_and(|rest| !rest.ends_with(char::is_alphanumeric))
}

/// What an API server printed without annotations: whoever made an object wrote into these what they liked.
fn without_annotations(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let mut within: Option<usize> = None;
    let kept = text.lines().filter(|line| {
        within = within.filter(|outer| indent(line) > *outer || line.trim().is_empty());
        let is_kept = within.is_none();
        if is_kept && line.trim_start_matches([' ', '-']).starts_with("annotations:") {
            within = Some(indent(line));
        }
        is_kept
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// Adds the words of a text that could be names of objects. `web-0/nginx`, `ns/web-0` and `shop.svc` hold several.
fn read(names: &mut BTreeSet<String>, text: &str) {
    let mut add = |word: &str| {
        if !word.is_empty() && !names.contains(word) {
            names.insert(word.to_owned());
        }
    };
    for word in text.split(|char: char| !is_of_a_name(char)) {
        let word = word.trim_matches(['.', '-', ':']);
        add(word);
        for part in word.split(['/', ':']).map(|part| part.trim_matches(['.', '-'])) {
            add(part);
            add(part.split('.').next().unwrap_or_default());
        }
    }
}

/// Characters of names of objects (RFC 1123 subdomains, and the colons of RBAC) and of the slashes between them.
fn is_of_a_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '/' | ':' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Names {
        let mut names = Names::default();
        read(&mut names.all, text);
        read(&mut names.told, text);
        names
    }

    #[test]
    fn names_are_found_in_the_places_they_stand() {
        let names =
            names("involvedObject: shop/web-0, \"claimName\":\"data-web-0\", http://db.shop.svc:5432, system:node-1.");
        for name in ["web-0", "shop", "data-web-0", "db", "system:node-1", "5432"] {
            assert!(names.know(name), "{name} in {names:?}");
        }
        assert!(!names.know("web") && !names.know("data"), "part of a name is another name");
    }

    #[test]
    fn what_an_annotation_says_is_nobodys_word() {
        let text = "metadata:\n  annotations:\n    note: the cause is node-9\n    more: |\n      see\n\n      node-8\n  name: web-0\nspec:\n  nodeName: node-1";
        let told = without_annotations(text);
        assert!(!told.contains("node-9") && !told.contains("node-8"), "{told}");
        assert!(told.contains("name: web-0") && told.contains("node-1"), "{told}");
        let items = "items:\n- metadata:\n    annotations:\n      note: node-9\n    name: a\n- metadata:\n    name: b";
        assert!(without_annotations(items).ends_with("    name: a\n- metadata:\n    name: b"));
    }

    fn told(mut names: Names, kind: &str, text: &str) -> Names {
        names.answers.push(Answer { kind: kind.into(), text: text.into() });
        names
    }

    #[test]
    fn an_object_needs_its_namespace_too() {
        let names = told(names("shop/web-0"), "", "pod shop/web-0 runs on node web-0");
        assert!(names.know_object(&ObjectRef::new("Pod", "shop", "web-0")));
        assert!(!names.know_object(&ObjectRef::new("Pod", "pay", "web-0")));
        assert!(names.know_object(&ObjectRef::new("Node", "", "web-0")));
    }

    #[test]
    fn a_name_read_as_that_of_a_deployment_is_no_statefulset_unless_an_answer_says_so() {
        let mut names = names("shop/web");
        names.kinds.insert(("shop".into(), "web".into()), BTreeSet::from(["Deployment".into()]));
        let text = "serviceaccountname: web\nclaimname: web\n\"kind\": \"statefulset\", \"name\": \"web-0\"";
        let names = told(names, "", text);
        let knows = |kind: &str| names.know_object(&ObjectRef::new(kind, "shop", "web"));
        assert!(knows("Deployment") && knows("ServiceAccount") && knows("PersistentVolumeClaim"));
        assert!(!knows("StatefulSet"), "web-0 is another name");
    }

    #[test]
    fn a_bare_word_is_no_object() {
        let names = told(names("forum/default"), "pod", "serviceaccountname: default\n  name: api");
        assert!(!names.know_object(&ObjectRef::new("PersistentVolumeClaim", "forum", "default")));
        assert!(!names.know_object(&ObjectRef::new("Pod", "forum", "default")), "a Pod's account is no Pod");
        assert!(!names.know_object(&ObjectRef::new("Service", "forum", "default")), "nor is it a Service");
        assert!(names.know_object(&ObjectRef::new("ServiceAccount", "forum", "default")));
        let names = told(names, "pod", "nodename: worker-1\n  serviceaccountname: default");
        assert!(!names.know_object(&ObjectRef::new("Node", "", "default")), "near the word is not behind it");
    }

    #[test]
    fn what_was_asked_for_and_what_made_an_object_are_known() {
        let labels = "kind: statefulset\nmetadata:\n  labels:\n    app.kubernetes.io/managed-by: helm\n    app.kubernetes.io/part-of: the-whole-shop\n  name: mysql";
        let mut names = told(names("shop/mysql shop/web, mail.shop.svc:25"), "statefulset", labels);
        assert!(names.know_object(&ObjectRef::new("StatefulSet", "shop", "mysql")));
        assert!(!names.know_object(&ObjectRef::new("Deployment", "shop", "web")));
        names.kinds.insert(("shop".into(), "web-5d4-x".into()), BTreeSet::from(["Pod".into()]));
        assert!(names.know_object(&ObjectRef::new("Deployment", "shop", "web")), "its Pod was read");
        assert!(!names.know_object(&ObjectRef::new("Service", "shop", "web")), "a Service has no Pods of its name");
        let names = told(names, "pod", "value: mail.shop.svc:25");
        assert!(names.know_object(&ObjectRef::new("Service", "shop", "mail")));
    }
}
