//! Environment: what a Pod's containers are told in plain variables, above all whom to call.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::playbook::pods;

/// A variable as the process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable<'a> {
    /// The container that is given it.
    pub container: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its value; empty where it is taken from somewhere else.
    pub value: &'a str,
    /// Values given under the same name before it, which the process never sees.
    pub hidden: Vec<&'a str>,
}

/// The variables of all containers, each name once for a container: of several with one name the last counts.
#[must_use]
pub fn variables(pod: &Pod) -> Vec<Variable<'_>> {
    pods::containers(pod).into_iter().flat_map(|view| of_container(view.spec)).collect()
}

fn of_container(container: &Container) -> Vec<Variable<'_>> {
    let mut found: Vec<Variable<'_>> = Vec::new();
    for given in container.env.iter().flatten() {
        let value = given.value.as_deref().unwrap_or_default();
        match found.iter_mut().find(|known| known.name == given.name) {
            Some(known) => {
                known.hidden.push(known.value);
                known.value = value;
            }
            None => found.push(Variable { container: &container.name, name: &given.name, value, hidden: Vec::new() }),
        }
    }
    found
}

/// The variable whose value names a host as a whole word.
#[must_use]
pub fn naming<'a>(pod: &'a Pod, host: &str) -> Option<Variable<'a>> {
    variables(pod).into_iter().find(|variable| has_word(variable.value, host))
}

/// Whether a container's command or arguments name a host as a whole word.
#[must_use]
pub fn commanded(pod: &Pod, host: &str) -> bool {
    let views = pods::containers(pod);
    let mut words = views.iter().flat_map(|view| view.spec.command.iter().chain(&view.spec.args).flatten());
    words.any(|word| has_word(word, host))
}

/// The hosts in a Pod's variables whose first label a line speaks of: `inventory.stock.svc` for "for service inventory.v1".
#[must_use]
pub fn spoken_of(pod: &Pod, line: &str) -> Vec<String> {
    let line = line.to_ascii_lowercase();
    let hosts = variables(pod).into_iter().flat_map(|variable| host_in(variable.value));
    let mut spoken: Vec<String> =
        hosts.filter(|host| has_word(&line, host.split('.').next().unwrap_or_default())).collect();
    spoken.sort();
    spoken.dedup();
    spoken
}

/// The host of a value that is an address: `db:5432`, `http://web/api`, `inventory.stock.svc.cluster.local:9000`.
#[must_use]
pub fn host_in(value: &str) -> Option<String> {
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    let rest = rest.split(['/', '?']).next()?;
    let rest = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let (host, port) = rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port)));
    let addressed =
        value.contains("://") || host.contains(".svc") || port.is_some_and(|port| port.parse::<u16>().is_ok());
    let valid = host.len() > 2 && host.starts_with(|first: char| first.is_ascii_lowercase());
    let letters =
        host.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter));
    (addressed && valid && letters).then(|| host.to_owned())
}

/// Whether a text has a host's name as a whole: `db` in `postgres://shop@db:5432`, not in `db-old` or `my.db`.
#[must_use]
pub fn has_word(text: &str, host: &str) -> bool {
    let part = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    !host.is_empty()
        && text.match_indices(host).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            !before.is_some_and(|letter| part(letter) || letter == '.') && !text[at + host.len()..].starts_with(part)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::world::{container, pod};

    #[test]
    fn of_variables_with_one_name_the_last_counts() {
        let env = json!([{"name": "DB", "value": "db"}, {"name": "LEVEL", "value": "info"}, {"name": "DB", "value": "db-old:5432"}]);
        let pod: Pod =
            serde_json::from_value(pod(json!({"spec": {"containers": [container(json!({"env": env}))]}}))).unwrap();
        let found = naming(&pod, "db-old").unwrap();
        assert_eq!((found.name, found.value, found.hidden), ("DB", "db-old:5432", vec!["db"]));
        assert_eq!(naming(&pod, "db"), None, "hidden values are not seen");
    }

    #[test]
    fn a_line_speaks_of_a_host_by_its_first_label() {
        let env = json!([{"name": "INVENTORY_ADDR", "value": "inventory.stock.svc.cluster.local:9000"},
            {"name": "DB", "value": "postgres://shop@db-main:5432/x"}, {"name": "LEVEL", "value": "info"}, {"name": "PORT", "value": "9000"}]);
        let pod: Pod =
            serde_json::from_value(pod(json!({"spec": {"containers": [container(json!({"env": env}))]}}))).unwrap();
        let line = "rpc error: code = Unimplemented desc = unknown method ReserveV2 for service inventory.v1.Inventory";
        assert_eq!(spoken_of(&pod, line), ["inventory.stock.svc.cluster.local"]);
        assert_eq!(spoken_of(&pod, "ERROR db-main says no"), ["db-main"]);
        assert!(spoken_of(&pod, "ERROR info about my-inventory-cache").is_empty());
    }

    #[test]
    fn a_host_is_named_as_a_whole() {
        assert!(has_word("postgres://shop@db:5432/shop", "db") && has_word("db.data.svc", "db"));
        assert!(!has_word("db-old:5432", "db") && !has_word("my.db", "db") && !has_word("", "db"));
    }
}
