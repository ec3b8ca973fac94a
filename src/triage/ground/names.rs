//! Names: an object that is blamed must be one that the cluster or the alert speaks of, one that a command is about must at
//! least occur somewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::alert::{AlertGroup, ObjectRef};
use crate::playbook::facts::Facts;
use crate::toolbox::evidence::EvidenceLog;

/// The names that occur in what was read.
#[derive(Debug, Default)]
pub struct Names {
    /// Words of everything: tool results, what was asked of tools, alerts.
    all: BTreeSet<String>,
    /// Words of what the API server answered, and of the alerts. A log's words may be an outsider's, and what a model asked
    /// for may be its own guess.
    told: BTreeSet<String>,
    /// What the API server answered, in lower case: here a name stands behind the word for its kind.
    answers: Vec<String>,
    /// The objects that are known, by namespace and name.
    kinds: BTreeMap<(String, String), BTreeSet<String>>,
}

/// How far before a name, in bytes, the word for its kind may stand: `secretKeyRef:` and a key between, an owner reference.
const NEAR: usize = 80;

impl Names {
    /// All names of a run.
    #[must_use]
    pub fn of(log: &EvidenceLog, facts: &Facts, group: &AlertGroup) -> Self {
        let mut names = Self::default();
        for object in facts.names() {
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
                names.answers.push(told.to_lowercase());
            }
        }
        let alerts = group.alerts.iter().flat_map(|alert| alert.labels.values().chain(alert.annotations.values()));
        for text in alerts.chain(group.group_labels.values()).chain(group.common_labels.values()) {
            read(&mut names.all, text);
            read(&mut names.told, text);
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

    /// Whether the cluster or an alert speaks of an object: of its name, of its namespace if it has one, and not of objects
    /// of other kinds alone that bear the name.
    #[must_use]
    pub fn know_object(&self, object: &ObjectRef) -> bool {
        self.told.contains(&object.name)
            && (object.namespace.is_empty() || self.told.contains(&object.namespace))
            && (!self.is_another_kind(object) || self.is_spoken_of(object))
    }

    /// Whether the name was read, but only as that of objects of other kinds.
    fn is_another_kind(&self, object: &ObjectRef) -> bool {
        let known = self.kinds.get(&(object.namespace.clone(), object.name.clone()));
        known.is_some_and(|kinds| !kinds.contains(&object.kind))
    }

    /// Whether the word for the object's kind stands shortly before its name in some answer: `serviceAccountName: web`,
    /// `"kind": "StatefulSet", "name": "web"`, `secret "web" not found`.
    fn is_spoken_of(&self, object: &ObjectRef) -> bool {
        let kind = object.kind.to_lowercase();
        // Pods name their claims `claimName`.
        let word = kind.strip_prefix("persistentvolume").filter(|rest| !rest.is_empty()).unwrap_or(&kind);
        let name = object.name.to_lowercase();
        self.answers.iter().any(|answer| {
            answer.match_indices(&name).any(|(at, _)| {
                let start = answer.floor_char_boundary(at.saturating_sub(NEAR));
                let is_whole =
                    |char: Option<char>| !char.is_some_and(|char| char.is_ascii_alphanumeric() || char == '-');
                is_whole(answer[..at].chars().next_back())
                    && is_whole(answer[at + name.len()..].chars().next())
                    && answer[start..at].contains(word)
            })
        })
    }
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

    #[test]
    fn an_object_needs_its_namespace_too() {
        let names = names("shop/web-0");
        assert!(names.know_object(&ObjectRef::new("Pod", "shop", "web-0")));
        assert!(!names.know_object(&ObjectRef::new("Pod", "pay", "web-0")));
        assert!(names.know_object(&ObjectRef::new("Node", "", "web-0")));
    }

    #[test]
    fn a_name_read_as_that_of_a_deployment_is_no_statefulset_unless_an_answer_says_so() {
        let mut names = names("shop/web");
        names.kinds.insert(("shop".into(), "web".into()), BTreeSet::from(["Deployment".into()]));
        names
            .answers
            .push("serviceaccountname: web\nclaimname: web\n\"kind\": \"statefulset\", \"name\": \"web-0\"".into());
        let knows = |kind: &str| names.know_object(&ObjectRef::new(kind, "shop", "web"));
        assert!(knows("Deployment") && knows("ServiceAccount") && knows("PersistentVolumeClaim"));
        assert!(!knows("StatefulSet"), "web-0 is another name");
    }
}
