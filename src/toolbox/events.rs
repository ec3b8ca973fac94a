//! Events as kubernetes-mcp-server prints them: a YAML list in no order, one entry a repeat. Read, grouped, sorted.

use serde::{Deserialize, Serialize};

/// First line of a non-empty `events_list` answer (kubernetes-mcp-server 0.0.67).
const HEADER: &str = "# The following events (YAML format) were found:";

/// One entry of `events_list`, with our count of equal entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PrintedEvent {
    /// The object it is about.
    pub involved_object: Involved,
    /// The message, whole.
    #[serde(default)]
    pub message: String,
    /// The event's namespace.
    #[serde(default)]
    pub namespace: String,
    /// CamelCase reason.
    #[serde(default)]
    pub reason: String,
    /// Go's printed time, for example `2026-11-23 02:33:29 +0000 UTC`.
    #[serde(default)]
    pub timestamp: String,
    /// `Normal` or `Warning`.
    #[serde(rename = "Type", default)]
    pub kind: String,
    /// How many equal entries were printed.
    #[serde(default = "once")]
    pub count: i64,
}

/// The object an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Involved {
    /// Kind of the object.
    #[serde(default)]
    pub kind: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

fn once() -> i64 {
    1
}

/// Reads an answer of `events_list`; `None` when it is not one (an error, or no events).
#[must_use]
pub fn parse(text: &str) -> Option<Vec<PrintedEvent>> {
    let list = text.trim_start().strip_prefix(HEADER)?;
    yaml_serde::from_str(list).ok()
}

/// Equal events become one with a count, and all of them stand in order of time. `None` when the text is no event list.
#[must_use]
pub fn grouped(text: &str) -> Option<String> {
    let mut groups: Vec<PrintedEvent> = Vec::new();
    for event in parse(text)? {
        let same = |group: &&mut PrintedEvent| {
            group.involved_object == event.involved_object
                && group.reason == event.reason
                && group.message == event.message
        };
        match groups.iter_mut().find(same) {
            Some(group) => {
                group.count += event.count;
                if group.timestamp < event.timestamp {
                    group.timestamp = event.timestamp;
                }
            }
            None => groups.push(event),
        }
    }
    groups.sort_by(|a, b| a.timestamp.cmp(&b.timestamp));
    Some(format!("{HEADER}\n{}", yaml_serde::to_string(&groups).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = "# The following events (YAML format) were found:\n\
        - InvolvedObject:\n    Kind: Pod\n    Name: web-0\n    apiVersion: v1\n  Message: later\n  Namespace: a\n  Reason: Late\n  Timestamp: 2026-11-23 02:33:29 +0000 UTC\n  Type: Normal\n\
        - InvolvedObject:\n    Kind: Pod\n    Name: web-0\n    apiVersion: v1\n  Message: 'no\n    nodes'\n  Namespace: a\n  Reason: FailedScheduling\n  Timestamp: 2026-11-23 02:27:23.6 +0000 UTC\n  Type: Warning\n\
        - InvolvedObject:\n    Kind: Pod\n    Name: web-0\n    apiVersion: v1\n  Message: 'no\n    nodes'\n  Namespace: a\n  Reason: FailedScheduling\n  Timestamp: 2026-11-23 02:27:29.7 +0000 UTC\n  Type: Warning\n";

    #[test]
    fn repeats_are_counted_and_time_orders_them() {
        let text = grouped(TWO).unwrap();
        let events = parse(&text).unwrap();
        assert_eq!(
            events.iter().map(|event| (event.reason.as_str(), event.count)).collect::<Vec<_>>(),
            [("FailedScheduling", 2), ("Late", 1)]
        );
        assert_eq!(events[0].message, "no nodes");
    }

    #[test]
    fn what_is_no_event_list_is_left_alone() {
        assert_eq!(grouped("# No events found"), None);
        assert_eq!(grouped("failed to list events"), None);
    }
}
