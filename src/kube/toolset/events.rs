//! `events_list`: what happened, oldest first, in the words and layout of kubernetes-mcp-server.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Toolset;
use super::answer::{Answer, Success, strip};
use super::arguments::Arguments;
use super::cluster::Query;
use super::kinds::path_segment;
use super::yaml::to_yaml;

impl Toolset {
    pub(super) async fn events_list(&self, arguments: &Arguments) -> Answer {
        let failed = |why: String| format!("failed to list events in all namespaces: {why}");
        let namespace = arguments.text("namespace").map_err(failed)?;
        let fields = arguments.text("fieldSelector").map_err(failed)?;
        let namespace = path_segment(namespace).map_err(|error| failed(error.to_string()))?;
        let path = match namespace {
            "" => "/api/v1/events".to_owned(),
            namespace => format!("/api/v1/namespaces/{namespace}/events"),
        };
        let query = Query { fields, ..Query::default() };
        let mut found = self.cluster.list(&path, &query).await.map_err(|error| failed(error.to_string()))?;
        let left_out = found.left_out();
        if found.entries.is_empty() {
            return Ok(Success::items("# No events found", found.entries));
        }
        found.entries.iter_mut().for_each(strip);
        found.entries.sort_by_cached_key(|event| moment(event).unwrap_or(Timestamp::MIN));
        let yaml = to_yaml(&found.entries.iter().map(shown).collect());
        let text = format!("# The following events (YAML format) were found:\n{yaml}{left_out}");
        Ok(Success::items(text, found.entries))
    }
}

/// When an event happened: the scheduler's events carry only `eventTime`, repeated ones when they were seen last.
fn moment(event: &Value) -> Option<Timestamp> {
    let time = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).and_then(|text| text.parse().ok());
    if let Some(at) = time("/eventTime") {
        return Some(at);
    }
    if event["series"].is_object() {
        return time("/series/lastObservedTime");
    }
    let repeated = event["count"].as_i64().unwrap_or(0) > 1;
    time(if repeated { "/lastTimestamp" } else { "/firstTimestamp" })
}

fn shown(event: &Value) -> Value {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    json!({
        "Namespace": text("/metadata/namespace"),
        "Timestamp": moment(event).map_or_else(|| "0001-01-01 00:00:00 +0000 UTC".to_owned(), go_time),
        "Type": text("/type"),
        "Reason": text("/reason"),
        "InvolvedObject": {
            "apiVersion": text("/involvedObject/apiVersion"),
            "Kind": text("/involvedObject/kind"),
            "Name": text("/involvedObject/name"),
        },
        "Message": text("/message").trim(),
    })
}

/// A point in time as Go prints it: `2026-11-23 02:27:23.633978 +0000 UTC`.
fn go_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_events_moment_is_when_it_was_last_seen() {
        let at = |event: Value| moment(&event).map(go_time);
        let scheduler = json!({"eventTime": "2026-11-23T02:27:23.633978Z", "firstTimestamp": null});
        assert_eq!(at(scheduler).unwrap(), "2026-11-23 02:27:23.633978 +0000 UTC");
        let (first, last) = ("2026-11-23T02:00:00Z", "2026-11-23T03:00:00Z");
        let seen =
            |count: i64| json!({"eventTime": null, "firstTimestamp": first, "lastTimestamp": last, "count": count});
        assert_eq!(at(seen(3)).unwrap(), "2026-11-23 03:00:00 +0000 UTC");
        assert_eq!(at(seen(1)).unwrap(), "2026-11-23 02:00:00 +0000 UTC");
        assert_eq!(at(json!({})), None);
    }
}
