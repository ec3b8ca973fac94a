//! Events as kubernetes-mcp-server prints them: a YAML list in no order, one entry a repeat. Read, grouped, sorted.

use std::collections::HashMap;

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
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// Lists up to this length are read as YAML, at about 10 MB a second; longer ones are grouped as text first.
const READ_BYTES: usize = 1 << 20;

/// Equal events become one with a count, and all of them stand in order of time. `None` when the text is no event list.
#[must_use]
pub fn grouped(text: &str) -> Option<String> {
    if text.len() <= READ_BYTES {
        return grouped_as_yaml(text);
    }
    let squashed = squashed(text)?;
    if squashed.len() > READ_BYTES { Some(squashed) } else { grouped_as_yaml(&squashed) }
}

fn grouped_as_yaml(text: &str) -> Option<String> {
    let mut places = HashMap::new();
    let mut groups: Vec<PrintedEvent> = Vec::new();
    for event in parse(text)? {
        let key = (event.involved_object.clone(), event.reason.clone(), event.message.clone());
        let place = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(place) {
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

/// The same for lists too long to be read: entries that differ in nothing but their time become one with a count.
fn squashed(text: &str) -> Option<String> {
    const TIME: &str = "  Timestamp: ";
    let list = text.trim_start().strip_prefix(HEADER)?.trim_start_matches('\n');
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<(&str, String, i64)> = Vec::new();
    for entry in list.split("\n- ").map(|entry| entry.strip_prefix("- ").unwrap_or(entry)) {
        let (times, rest): (Vec<&str>, Vec<&str>) = entry.lines().partition(|line| line.starts_with(TIME));
        let time = times.first().map_or("", |line| &line[TIME.len()..]);
        let rest = rest.join("\n");
        match places.get(&rest).and_then(|place| groups.get_mut(*place)) {
            Some((newest, _, count)) => {
                *count += 1;
                *newest = time.max(newest);
            }
            None => {
                places.insert(rest.clone(), groups.len());
                groups.push((time, rest, 1));
            }
        }
    }
    groups.sort_by_key(|(time, ..)| *time);
    let entries = groups.iter().map(|(time, rest, count)| format!("- {rest}\n{TIME}{time}\n  Count: {count}\n"));
    Some(format!("{HEADER}\n{}", entries.collect::<String>()))
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

    #[test]
    fn a_list_too_long_to_be_read_is_grouped_as_text() {
        let repeats = |count: usize| {
            let entry = |n: usize| {
                format!(
                    "- InvolvedObject:\n    Kind: Pod\n    Name: web-0\n    apiVersion: v1\n  Message: back-off {}\n  Namespace: a\n  Reason: BackOff\n  Timestamp: 2026-11-23 02:{:02}:00 +0000 UTC\n  Type: Warning\n",
                    n % 3,
                    n % 60
                )
            };
            format!("{HEADER}\n{}", (0..count).map(entry).collect::<String>())
        };
        let text = repeats(12_000);
        assert!(text.len() > READ_BYTES);
        let events = parse(&grouped(&text).unwrap()).unwrap();
        assert_eq!(events.iter().map(|event| event.count).collect::<Vec<_>>(), [4_000; 3]);
        assert_eq!(parse(&squashed(&repeats(60)).unwrap()).unwrap(), parse(&grouped(&repeats(60)).unwrap()).unwrap());
    }

    #[test]
    fn many_different_events_take_no_more_than_their_length() {
        let text: String = (0..40_000)
            .map(|n| {
                format!(
                    "- InvolvedObject:\n    Kind: Pod\n    Name: web-{n}\n  Message: m\n  Reason: R\n  Timestamp: t\n"
                )
            })
            .collect();
        let start = std::time::Instant::now();
        assert!(grouped(&format!("{HEADER}\n{text}")).unwrap().len() > text.len());
        assert!(start.elapsed().as_secs() < 5, "{:?} for {} bytes in a debug build", start.elapsed(), text.len());
    }
}
