//! Names: an object that is blamed, or that a command is about, must be one that was read or mentioned.

use std::collections::BTreeSet;

use crate::alert::{AlertGroup, ObjectRef};
use crate::playbook::facts::Facts;
use crate::toolbox::evidence::EvidenceLog;

/// Every name that occurs in what was read: objects, and words of the tool results and of the alerts.
#[derive(Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// All names of a run.
    #[must_use]
    pub fn of(log: &EvidenceLog, facts: &Facts, group: &AlertGroup) -> Self {
        let mut names = Self::default();
        for object in facts.names() {
            names.0.extend([object.name, object.namespace]);
        }
        for evidence in log.all() {
            names.read(&evidence.full);
            names.read(&evidence.arguments.to_string());
        }
        for alert in &group.alerts {
            alert.labels.values().chain(alert.annotations.values()).for_each(|text| names.read(text));
        }
        group.group_labels.values().chain(group.common_labels.values()).for_each(|text| names.read(text));
        names
    }

    /// Adds the words of a text that could be names of objects. `web-0/nginx`, `ns/web-0` and `shop.svc` hold several.
    fn read(&mut self, text: &str) {
        for word in text.split(|char: char| !is_of_a_name(char)) {
            let word = word.trim_matches(['.', '-', ':']);
            self.add(word);
            for part in word.split(['/', ':']).map(|part| part.trim_matches(['.', '-'])) {
                self.add(part);
                self.add(part.split('.').next().unwrap_or_default());
            }
        }
    }

    fn add(&mut self, word: &str) {
        if !word.is_empty() && !self.0.contains(word) {
            self.0.insert(word.to_owned());
        }
    }

    /// Whether a name occurs.
    #[must_use]
    pub fn know(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Whether an object could have been seen: its name occurs, and its namespace if it has one.
    #[must_use]
    pub fn know_object(&self, object: &ObjectRef) -> bool {
        self.know(&object.name) && (object.namespace.is_empty() || self.know(&object.namespace))
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
        names.read(text);
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
    fn an_object_needs_its_namespace_too() {
        let names = names("shop/web-0");
        assert!(names.know_object(&ObjectRef::new("Pod", "shop", "web-0")));
        assert!(!names.know_object(&ObjectRef::new("Pod", "pay", "web-0")));
        assert!(names.know_object(&ObjectRef::new("Node", "", "web-0")));
    }
}
