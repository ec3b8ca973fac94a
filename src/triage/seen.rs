//! Seen: what gather has read so far, and how each kind of answer becomes facts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::gap::Gap;
use super::want::Want;
use crate::alert::ObjectRef;
use crate::playbook::alerts;
use crate::playbook::facts::{Facts, SeenEvent, SeenLog};
use crate::playbook::outside::Outside;
use crate::playbook::{self, Question};
use crate::report::Citation;
use crate::toolbox::table::{self, Row};
use crate::toolbox::{Recorded, events};

/// How both MCP servers say that the API server serves no such kind, as where cert-manager or KEDA is not installed.
const UNKNOWN_KIND: &str = "no matches for kind";

/// What was read, and what is worth following.
pub struct Seen {
    /// The facts for the analyzers.
    pub facts: Facts,
    /// Rows of listed objects: names, labels and states, also where the server gives no objects.
    pub rows: BTreeMap<ObjectRef, Row>,
    /// The alert's own objects.
    pub targets: Vec<ObjectRef>,
    /// The objects of the incident: the alert's own and those their references lead to.
    pub relevant: Vec<ObjectRef>,
    /// What the alerts are about where their labels name no object.
    pub outside: Vec<Outside>,
    /// Kinds that the analyzers asked by the alerts want listed.
    pub wanted: Vec<&'static str>,
    /// Whether an alert asks for what ran out of memory, of a Node for which of its Pods.
    pub about_memory: bool,
    /// Whether an alert asks for what was evicted, of a Node for which of its Pods.
    pub about_evictions: bool,
    /// The Namespace of a Prometheus that does not reach its target.
    pub scraped_from: Option<String>,
    /// Hosts that the alerts speak of.
    pub hosts: Vec<String>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

#[cfg(test)]
impl Seen {
    /// A present log of a Pod's container `web`, as if it had been read.
    pub fn heard(&mut self, pod: &ObjectRef, text: &str) {
        self.facts.add_log(SeenLog {
            namespace: pod.namespace.clone(),
            pod: pod.name.clone(),
            container: "web".into(),
            previous: false,
            lines: Ok(text.into()),
            reference: "E1".into(),
        });
    }
}

impl Seen {
    /// Nothing read yet; the alert's objects are relevant.
    #[must_use]
    pub fn new(now: Timestamp, targets: &[ObjectRef]) -> Self {
        Self {
            facts: Facts::at(now),
            rows: BTreeMap::new(),
            targets: targets.to_vec(),
            relevant: targets.to_vec(),
            outside: Vec::new(),
            wanted: Vec::new(),
            about_memory: false,
            about_evictions: false,
            scraped_from: None,
            hosts: Vec::new(),
            gaps: Vec::new(),
        }
    }

    /// Nothing read yet of what a question is about.
    #[must_use]
    pub fn of(now: Timestamp, question: &Question) -> Self {
        let wanted = playbook::wanted(question);
        let scraped_from = question.scraped_from.clone();
        let asks = |analyzer: &str| question.alert_names.iter().any(|name| alerts::asks(name).contains(&analyzer));
        let (about_memory, about_evictions) = (asks("memory"), asks("eviction"));
        Self {
            outside: question.outside.clone(),
            wanted,
            scraped_from,
            about_memory,
            about_evictions,
            hosts: question.hosts.clone(),
            ..Self::new(now, &question.targets)
        }
    }

    /// Takes objects that turned out to be what the alerts are about.
    pub fn aim_at(&mut self, objects: Vec<ObjectRef>) {
        for object in objects {
            if !self.targets.contains(&object) {
                self.targets.push(object.clone());
                self.relevant.push(object);
            }
        }
    }

    /// Takes in one answer, or why there is none.
    pub fn take(&mut self, want: &Want, answer: Result<&Recorded, &str>) {
        let recorded = match answer {
            Ok(recorded) => recorded,
            Err(why) => return self.gap(want, why),
        };
        self.facts.add_evidence(&recorded.evidence);
        match want {
            Want::Object(object) | Want::Aside(object) => self.take_object(want, object, recorded),
            Want::Log { .. } => self.take_log(want, recorded),
            _ if recorded.is_error => self.gap(want, &recorded.evidence.text),
            Want::List { kind, namespace } => {
                self.facts.add_listing(kind, namespace, &recorded.evidence.reference);
                self.take_rows(kind, recorded);
            }
            // The pods of one Node are not all there are: no listing that others could be missing from.
            Want::PodsOn { node } => {
                let rows = table::parse(&recorded.evidence.full);
                let ended = |row: &&Row| {
                    let state = row.get("STATUS").map(String::as_str).unwrap_or_default();
                    ["Completed", "Succeeded", "Failed", "Error", "Evicted"].contains(&state)
                };
                let staying = rows.iter().filter(|row| !ended(row)).map(pod_of).collect();
                self.facts.add_crowd(node, staying);
                self.take_rows("Pod", recorded);
            }
            Want::PodsAt { address } => {
                let there = table::parse(&recorded.evidence.full).iter().map(pod_of).collect();
                self.facts.add_address(address, there, &recorded.evidence.reference);
                self.take_rows("Pod", recorded);
            }
            Want::PodsNamed { .. } | Want::PodsLabelled { .. } | Want::PodsFailed => self.take_rows("Pod", recorded),
            Want::Events { .. } | Want::EventsAbout { .. } => self.take_events(recorded),
        }
    }

    fn gap(&mut self, want: &Want, why: &str) {
        // A cluster that does not know a kind has no object of it: nothing stays unread.
        if why.contains(UNKNOWN_KIND) {
            return;
        }
        let what = match want {
            Want::Object(object) | Want::Aside(object) => object.to_string(),
            Want::List { kind, namespace } => format!("{kind} list {namespace}"),
            Want::Events { namespace } => format!("events {namespace}"),
            Want::EventsAbout { name } => format!("events {name}"),
            Want::PodsOn { node } => format!("pods on {node}"),
            Want::PodsAt { address } => format!("pods at {address}"),
            Want::PodsNamed { name } => format!("pods named {name}"),
            Want::PodsFailed => "failed pods".to_owned(),
            Want::PodsLabelled { selector } => format!("pods with {selector}"),
            Want::Log { namespace, pod, container, .. } => format!("log {namespace}/{pod}/{container}"),
        };
        let why = why.lines().next().unwrap_or_default().to_owned();
        self.gaps.push(Gap::Unread { what: what.trim_end().to_owned(), why });
    }

    fn take_object(&mut self, want: &Want, object: &ObjectRef, recorded: &Recorded) {
        let evidence = &recorded.evidence;
        if recorded.is_error && !recorded.is_absence() {
            return self.gap(want, &evidence.text);
        }
        if recorded.is_absence() {
            let quote = evidence.text.lines().next().unwrap_or_default().trim().to_owned();
            return self.facts.add_absent(object.clone(), Citation { reference: evidence.reference.clone(), quote });
        }
        let structured = recorded.structured.clone().filter(|value| value.get("metadata").is_some());
        let Some(value) = structured.or_else(|| yaml_serde::from_str(&evidence.full).ok()) else {
            return self.gap(want, "the answer is not an object");
        };
        self.facts.add_object(value, &evidence.reference);
    }

    fn take_rows(&mut self, kind: &str, recorded: &Recorded) {
        let reference = &recorded.evidence.reference;
        for row in table::parse(&recorded.evidence.full) {
            let cell = |heading: &str| row.get(heading).map(String::as_str).unwrap_or_default();
            let object = ObjectRef::new(kind, cell("NAMESPACE"), cell("NAME"));
            if !object.name.is_empty() {
                self.facts.add_name(object.clone());
                self.rows.insert(object, row);
            }
        }
        for mut item in items(recorded) {
            if item.get("metadata").is_some() {
                item["kind"] = Value::from(kind);
                self.facts.add_listed_object(item, reference);
            }
        }
    }

    fn take_events(&mut self, recorded: &Recorded) {
        let reference = &recorded.evidence.reference;
        let structured: Vec<SeenEvent> = items(recorded).filter_map(|item| event_of(&item, reference)).collect();
        let seen = if structured.is_empty() {
            events::parse(&recorded.evidence.full)
                .unwrap_or_default()
                .into_iter()
                .map(|event| printed(event, reference))
                .collect()
        } else {
            structured
        };
        for event in seen {
            self.facts.add_event(event);
        }
    }

    fn take_log(&mut self, want: &Want, recorded: &Recorded) {
        let Want::Log { namespace, pod, container, previous } = want else { return };
        let text = recorded.evidence.full.clone();
        self.facts.add_log(SeenLog {
            namespace: namespace.clone(),
            pod: pod.clone(),
            container: container.clone(),
            previous: *previous,
            lines: if recorded.is_error { Err(text) } else { Ok(without_notice(text)) },
            reference: recorded.evidence.reference.clone(),
        });
    }
}

/// The Pod of a row.
fn pod_of(row: &Row) -> ObjectRef {
    let cell = |heading: &str| row.get(heading).map(String::as_str).unwrap_or_default();
    ObjectRef::new("Pod", cell("NAMESPACE"), cell("NAME"))
}

/// What a server says in place of a log that holds nothing is no line of that log.
fn without_notice(text: String) -> String {
    let says = text.starts_with("The pod ") && text.trim_end().ends_with(" has not logged any message yet");
    if says && text.trim_end().lines().count() == 1 { String::new() } else { text }
}

fn items(recorded: &Recorded) -> impl Iterator<Item = Value> + '_ {
    recorded
        .structured
        .as_ref()
        .and_then(|value| value.get("items"))
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .cloned()
}

/// An event object of the API server (`v1` or `events.k8s.io/v1` fields).
fn event_of(item: &Value, reference: &str) -> Option<SeenEvent> {
    let text = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let time = |pointer: &str| item.pointer(pointer).and_then(Value::as_str).and_then(|text| text.parse().ok());
    item.get("involvedObject")?;
    let count = item.get("count").or_else(|| item.pointer("/series/count")).and_then(Value::as_i64);
    Some(SeenEvent {
        about: ObjectRef::new(
            text("/involvedObject/kind"),
            match text("/involvedObject/namespace") {
                namespace if namespace.is_empty() => text("/metadata/namespace"),
                namespace => namespace,
            },
            text("/involvedObject/name"),
        ),
        kind: text("/type"),
        reason: text("/reason"),
        message: text("/message"),
        count: count.unwrap_or(1).max(1),
        last_seen: time("/lastTimestamp")
            .or_else(|| time("/series/lastObservedTime"))
            .or_else(|| time("/eventTime"))
            .or_else(|| time("/metadata/creationTimestamp")),
        reference: reference.to_owned(),
    })
}

fn printed(event: events::PrintedEvent, reference: &str) -> SeenEvent {
    SeenEvent {
        about: ObjectRef::new(event.involved_object.kind, event.namespace, event.involved_object.name),
        kind: event.kind,
        reason: event.reason,
        message: event.message,
        count: event.count,
        last_seen: go_time(&event.timestamp),
        reference: reference.to_owned(),
    }
}

/// Go's `2026-11-23 02:33:29.123 +0000 UTC`.
fn go_time(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    jiff::fmt::strtime::parse("%Y-%m-%d %H:%M:%S%.f %z", text).ok()?.to_timestamp().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_place_of_an_empty_log_is_no_line_of_it() {
        let of = |text: &str| without_notice(text.to_owned());
        assert_eq!(of("The pod web-0 in namespace shop has not logged any message yet"), "");
        let logged = "INFO The pod web-0 in namespace shop has not logged any message yet";
        assert_eq!(of(logged), logged);
    }

    #[test]
    fn gos_times_are_read() {
        assert_eq!(go_time("2026-11-23 02:33:29 +0000 UTC"), "2026-11-23T02:33:29Z".parse().ok());
        assert_eq!(go_time("2026-11-23 02:27:23.633978 +0000 UTC"), "2026-11-23T02:27:23.633978Z".parse().ok());
        assert_eq!(go_time("0001"), None);
    }
}
