//! Where alerts were counted and for which hosts, as their labels, their rule and their author's words say.

use crate::alert::Alert;
use crate::playbook::analyzer::entrance::is_controller;

/// Labels by which metrics name the place they come from.
const PLACES: [&str; 5] = ["job", "service", "pod", "container", "app"];
/// Beginnings of the metrics of ingress controllers: ingress-nginx, Traefik, HAProxy, Kong.
const METRICS: [&str; 4] = ["nginx_ingress_controller_", "traefik_", "haproxy_", "kong_"];
/// Hosts taken from one alert.
const HOSTS: usize = 8;

/// Whether an alert was counted at an ingress controller.
#[must_use]
pub fn is_at_entrance(alert: &Alert) -> bool {
    let placed = PLACES.iter().filter_map(|label| alert.label(label)).any(is_controller);
    let expression = alert.expression().unwrap_or_default();
    placed || METRICS.iter().any(|metric| expression.contains(metric))
}

/// What looks like a host in an alert's labels, its rule and its author's words; links lead to runbooks and graphs.
#[must_use]
pub fn hosts(alert: &Alert) -> Vec<String> {
    let link = |key: &str| key.to_ascii_lowercase().ends_with("url");
    let words = alert.annotations.iter().filter(|(key, _)| !link(key)).map(|(_, text)| text.as_str());
    let rule = alert.expression().unwrap_or_default();
    let mut hosts: Vec<String> = Vec::new();
    for text in alert.labels.values().map(String::as_str).chain(words).chain([rule.as_str()]) {
        let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || "-.".contains(letter)));
        for host in words.map(|word| word.trim_matches('.')).filter(|word| is_host(word)) {
            if hosts.len() < HOSTS && !hosts.iter().any(|known| known == host) {
                hosts.push(host.to_owned());
            }
        }
    }
    hosts
}

/// Whether a word may be a host: of several labels, the last of letters alone, which no figure and no address has.
fn is_host(word: &str) -> bool {
    let labels: Vec<&str> = word.split('.').collect();
    let ends = labels.last().is_some_and(|last| last.len() > 1 && last.chars().all(|it| it.is_ascii_lowercase()));
    ends && labels.len() > 1 && labels.iter().all(|label| !label.is_empty())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::alert::AlertStatus;

    fn alert(labels: &[(&str, &str)], description: &str) -> Alert {
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        Alert {
            status: AlertStatus::Firing,
            labels: pairs(labels),
            annotations: pairs(&[("description", description), ("runbook_url", "https://runbooks.example.org/x")]),
            starts_at: Timestamp::UNIX_EPOCH,
            ends_at: None,
            generator_url: None,
            fingerprint: String::new(),
        }
    }

    #[test]
    fn hosts_stand_in_labels_and_words_and_not_in_links() {
        let told =
            alert(&[("host", "a.example.com")], "58.2% of requests to www.example.com answered 5xx (2.374 free).");
        assert_eq!(hosts(&told), ["a.example.com", "www.example.com"]);
        assert!(hosts(&alert(&[("service", "web")], "3 of 10 requests fail.")).is_empty());
    }

    #[test]
    fn an_alert_counted_at_a_controller_is_known_by_its_job_or_its_rule() {
        assert!(is_at_entrance(&alert(&[("job", "ingress-nginx")], "")));
        assert!(!is_at_entrance(&alert(&[("job", "web")], "")));
        let mut ruled = alert(&[("service", "web")], "");
        ruled.generator_url =
            Some("http://p/graph?g0.expr=sum(rate(nginx_ingress_controller_requests%5B5m%5D))".into());
        assert!(is_at_entrance(&ruled));
    }
}
