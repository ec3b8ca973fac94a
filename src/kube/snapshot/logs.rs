//! Container logs of a snapshot, with the kubelet's own refusals where it refused.

use std::collections::HashMap;
use std::path::Path;

use axum::http::StatusCode;
use serde_json::Value;

use super::SnapshotError;
use super::status::Refusal;

/// What the kubelet answered for one container.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LogAnswer {
    /// The log.
    Text(String),
    /// `kubectl`'s rendering of the refusal.
    Refused(String),
}

/// Which container of a pod, and whether the instance before the running one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LogKey {
    namespace: String,
    pod: String,
    container: String,
    previous: bool,
}

/// All logs of a snapshot.
#[derive(Debug, Default)]
pub(super) struct PodLogs(HashMap<LogKey, LogAnswer>);

/// The part of a log that was asked for.
#[derive(Debug, Default)]
pub(super) struct LogQuery {
    /// Container, when named.
    pub container: Option<String>,
    /// The instance before the running one.
    pub previous: bool,
    /// At most this many lines from the end.
    pub tail_lines: Option<usize>,
    /// At most this many bytes from the start of what is left.
    pub limit_bytes: Option<usize>,
    /// Prefix every line with its time.
    pub timestamps: bool,
}

impl PodLogs {
    /// Reads `logs/`, matching names against the pods that exist: every part of a file name may contain dashes.
    pub fn load(directory: &Path, pods: &[Value]) -> Result<Self, SnapshotError> {
        let mut logs = Self::default();
        if !directory.is_dir() {
            return Ok(logs);
        }
        for entry in std::fs::read_dir(directory).map_err(|source| SnapshotError::read(directory, source))? {
            let path = entry.map_err(|source| SnapshotError::read(directory, source))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let Some((stem, refused)) = log_stem(&name) else { continue };
            let Some(key) = pods.iter().find_map(|pod| key_of(stem, pod)) else {
                // Of a pod that was gone when the objects were taken, say: nobody can ask for it.
                tracing::warn!(file = %path.display(), "the log names no container of objects.json and is left out");
                continue;
            };
            let bytes = std::fs::read(&path).map_err(|source| SnapshotError::read(&path, source))?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            logs.0.insert(key, if refused { LogAnswer::Refused(text) } else { LogAnswer::Text(text) });
        }
        Ok(logs)
    }

    /// Answers a log request for a pod that exists.
    pub fn answer(&self, pod: &Value, query: &LogQuery, now: jiff::Timestamp) -> Result<String, Refusal> {
        let name = text(pod, "/metadata/name");
        let container = choose_container(pod, query.container.as_deref())?;
        let key = LogKey {
            namespace: text(pod, "/metadata/namespace").to_owned(),
            pod: name.to_owned(),
            container: container.clone(),
            previous: query.previous,
        };
        match self.0.get(&key) {
            Some(LogAnswer::Text(log)) => Ok(cut(log, query, now)),
            Some(LogAnswer::Refused(said)) => Err(refusal(said)),
            None if query.previous && !has_previous(pod, &container) => Err(Refusal::bad_request(format!(
                "previous terminated container \"{container}\" in pod \"{name}\" not found"
            ))),
            None => Ok(String::new()),
        }
    }
}

/// The name without its extensions, and whether it holds a refusal; none for files that are no logs.
fn log_stem(name: &str) -> Option<(&str, bool)> {
    name.strip_suffix(".log").map(|stem| (stem, false)).or_else(|| name.strip_suffix(".error").map(|stem| (stem, true)))
}

fn key_of(stem: &str, pod: &Value) -> Option<LogKey> {
    let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
    let rest = stem.strip_prefix(&format!("{namespace}_{name}_"))?;
    let (container, previous) = rest.strip_suffix(".previous").map_or((rest, false), |container| (container, true));
    containers(pod).any(|known| known == container).then(|| LogKey {
        namespace: namespace.to_owned(),
        pod: name.to_owned(),
        container: container.to_owned(),
        previous,
    })
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn containers(pod: &Value) -> impl Iterator<Item = &str> {
    ["containers", "initContainers", "ephemeralContainers"].into_iter().flat_map(|field| names(pod, field))
}

fn names<'a>(pod: &'a Value, field: &str) -> impl Iterator<Item = &'a str> {
    pod["spec"][field].as_array().into_iter().flatten().filter_map(|container| container["name"].as_str())
}

fn choose_container(pod: &Value, asked: Option<&str>) -> Result<String, Refusal> {
    let name = text(pod, "/metadata/name");
    if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
        if containers(pod).any(|known| known == asked) {
            return Ok(asked.to_owned());
        }
        return Err(Refusal::bad_request(format!("container {asked} is not valid for pod {name}")));
    }
    let all: Vec<&str> = names(pod, "containers").collect();
    if let [only] = all[..] {
        return Ok(only.to_owned());
    }
    let mut message = format!("a container name must be specified for pod {name}, choose one of: [{}]", all.join(" "));
    let init: Vec<&str> = names(pod, "initContainers").collect();
    if !init.is_empty() {
        message.push_str(&format!(" or one of the init containers: [{}]", init.join(" ")));
    }
    Err(Refusal::bad_request(message))
}

fn has_previous(pod: &Value, container: &str) -> bool {
    let statuses = ["containerStatuses", "initContainerStatuses"].into_iter();
    let mut statuses = statuses.flat_map(|field| pod["status"][field].as_array().into_iter().flatten());
    statuses.any(|status| status["name"] == container && status["lastState"].get("terminated").is_some())
}

/// `Error from server (BadRequest): …` back into the Status kubectl printed it from.
fn refusal(said: &str) -> Refusal {
    let said = said.trim_end();
    let Some(rest) = said.strip_prefix("Error from server") else {
        return Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "", said);
    };
    let (reason, message) = rest
        .strip_prefix(" (")
        .and_then(|rest| rest.split_once("): "))
        .unwrap_or_else(|| ("", rest.trim_start_matches(": ")));
    let (code, reason) = match reason {
        "BadRequest" => (StatusCode::BAD_REQUEST, "BadRequest"),
        "NotFound" => (StatusCode::NOT_FOUND, "NotFound"),
        "Forbidden" => (StatusCode::FORBIDDEN, "Forbidden"),
        "ServiceUnavailable" => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
        "Timeout" => (StatusCode::GATEWAY_TIMEOUT, "Timeout"),
        "InternalError" => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, ""),
    };
    Refusal::new(code, reason, message)
}

fn cut(log: &str, query: &LogQuery, now: jiff::Timestamp) -> String {
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let skip = query.tail_lines.map_or(0, |tail| lines.len().saturating_sub(tail));
    let mut text = String::with_capacity(log.len());
    for line in &lines[skip..] {
        if query.timestamps {
            text.push_str(&format!("{} ", time_of(line).unwrap_or(now)));
        }
        text.push_str(line);
    }
    if let Some(limit) = query.limit_bytes.filter(|limit| *limit < text.len()) {
        text.truncate(text.floor_char_boundary(limit));
    }
    text
}

/// The runtime's own line times are not in a snapshot; a line that opens with one is the best witness of it.
fn time_of(line: &str) -> Option<jiff::Timestamp> {
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(containers: &[&str]) -> Value {
        let containers: Vec<Value> = containers.iter().map(|name| json!({"name": name})).collect();
        json!({"metadata": {"name": "web-1", "namespace": "team-a"}, "spec": {"containers": containers}})
    }

    #[test]
    fn dashes_in_every_part_of_a_file_name_find_their_pod() {
        let pod = pod(&["side-car", "app"]);
        assert_eq!(
            key_of("team-a_web-1_side-car.previous", &pod).map(|key| (key.container, key.previous)),
            Some(("side-car".into(), true))
        );
        assert_eq!(key_of("team-a_web-10_app", &pod), None);
        assert_eq!(key_of("team-a_web-1_other", &pod), None);
    }

    #[test]
    fn the_last_lines_are_kept() {
        let query = LogQuery { tail_lines: Some(2), ..LogQuery::default() };
        assert_eq!(cut("a\nb\nc\n", &query, jiff::Timestamp::UNIX_EPOCH), "b\nc\n");
        let query = LogQuery { limit_bytes: Some(3), timestamps: false, ..LogQuery::default() };
        assert_eq!(cut("a\nb\nc\n", &query, jiff::Timestamp::UNIX_EPOCH), "a\nb");
    }

    #[test]
    fn a_pod_with_several_containers_needs_a_choice() {
        let refused = choose_container(&pod(&["app", "side-car"]), None).unwrap_err();
        assert_eq!(
            refused,
            Refusal::bad_request("a container name must be specified for pod web-1, choose one of: [app side-car]")
        );
    }

    #[test]
    fn a_refusal_keeps_its_code() {
        let refused =
            refusal("Error from server (BadRequest): container \"a\" is waiting to start: ContainerCreating\n");
        assert_eq!(refused, Refusal::bad_request("container \"a\" is waiting to start: ContainerCreating"));
        let refused = refusal("Error from server: Get \"https://node\": connection refused");
        assert_eq!(
            refused,
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "", "Get \"https://node\": connection refused")
        );
    }
}
