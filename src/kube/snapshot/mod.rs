//! A recorded cluster, served as a read-only Kubernetes API whose clock stands still.

mod discovery;
mod kinds;
mod logs;
mod request;
mod review;
mod selector;
mod serve;
mod status;
mod table;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;

use self::kinds::Kind;
use self::logs::PodLogs;

/// Why a scenario directory cannot be served.
#[derive(Debug, Error)]
pub enum SnapshotError {
    /// A file is missing or unreadable.
    #[error("cannot read {}: {source}; a scenario directory needs an objects.json with a v1 List", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file is not JSON.
    #[error("{} is not valid JSON: {source}; take it anew with `kubectl get … -o json`", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// `objects.json` is JSON of another shape.
    #[error("{} {what}; it must be a v1 List as `kubectl get … -o json` prints it", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing in the snapshot says when it was taken.
    #[error("{} holds no timestamp, so its time is unknown; take the objects with their metadata", path.display())]
    Timeless {
        /// The file.
        path: PathBuf,
    },
}

impl SnapshotError {
    fn read(path: &Path, source: io::Error) -> Self {
        Self::Read { path: path.to_owned(), source }
    }

    fn shape(path: &Path, what: impl Into<String>) -> Self {
        Self::Shape { path: path.to_owned(), what: what.into() }
    }
}

/// Objects by API version and kind, each list in the order of the API server's keys, `NAMESPACE/NAME`.
type Objects = BTreeMap<(String, String), Vec<Value>>;

/// A scenario directory in memory.
#[derive(Debug)]
pub struct Snapshot {
    kinds: Vec<Kind>,
    objects: Objects,
    logs: PodLogs,
    now: Timestamp,
}

impl Snapshot {
    /// Reads `objects.json`, `logs/` and, for the clock, `alert.json`.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or is not what it should be; the error names the file and what to do.
    pub fn load(directory: impl AsRef<Path>) -> Result<Self, SnapshotError> {
        let directory = directory.as_ref();
        let path = directory.join("objects.json");
        let list = read_json(&path)?;
        let mut now = newest_timestamp(&list);
        let alert = directory.join("alert.json");
        if alert.is_file() {
            now = now.max(newest_timestamp(&read_json(&alert)?));
        }
        let (kinds, objects) = sort_out(&path, list)?;
        let now = now.ok_or(SnapshotError::Timeless { path })?;
        let mut snapshot = Self { kinds, objects, logs: PodLogs::default(), now };
        snapshot.logs = PodLogs::load(&directory.join("logs"), snapshot.stored("v1", "Pod"))?;
        Ok(snapshot)
    }

    /// The moment the clock stands at: the newest timestamp in the objects and the alert.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    fn stored(&self, api_version: &str, kind: &str) -> &[Value] {
        let key = (api_version.to_owned(), kind.to_owned());
        self.objects.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// The objects of a List by kind, and every kind that is served for them.
fn sort_out(path: &Path, mut list: Value) -> Result<(Vec<Kind>, Objects), SnapshotError> {
    let (mut kinds, mut objects) = (kinds::built_in(), Objects::new());
    let Some(Value::Array(items)) = list.get_mut("items").map(Value::take) else {
        return Err(SnapshotError::shape(path, "has no array \"items\""));
    };
    for object in items {
        let word = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (Some(api_version), Some(kind), Some(name)) = (word("/apiVersion"), word("/kind"), word("/metadata/name"))
        else {
            return Err(SnapshotError::shape(path, "has an item without apiVersion, kind or metadata.name"));
        };
        if kind == "Secret" {
            // The identity a snapshot stands for may not read Secrets, so nothing is missing without it.
            tracing::warn!(file = %path.display(), secret.name = name, "the snapshot holds a Secret, which is left out");
            continue;
        }
        if !kinds.iter().any(|known| known.api_version() == api_version && known.kind == kind) {
            kinds.push(kinds::custom(&api_version, &kind, &object));
        }
        objects.entry((api_version, kind)).or_default().push(object);
    }
    let key = |object: &Value| {
        let word = |field| object["metadata"][field].as_str().unwrap_or_default();
        format!("{}/{}", word("namespace"), word("name"))
    };
    objects.values_mut().for_each(|objects| objects.sort_by_cached_key(key));
    Ok((kinds, objects))
}

/// A kubeconfig that points real clients (kubectl, kubernetes-mcp-server) at a served snapshot.
#[must_use]
pub fn kubeconfig(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: snapshot\nclusters:\n- name: snapshot\n  cluster:\n    \
         server: http://{address}\ncontexts:\n- name: snapshot\n  context:\n    cluster: snapshot\n    \
         user: snapshot-viewer\nusers:\n- name: snapshot-viewer\n  user: {{}}\n"
    )
}

fn read_json(path: &Path) -> Result<Value, SnapshotError> {
    let bytes = std::fs::read(path).map_err(|source| SnapshotError::read(path, source))?;
    serde_json::from_slice(&bytes).map_err(|source| SnapshotError::Json { path: path.to_owned(), source })
}

/// Fields that speak of what is still to come: the end of a certificate, of a grace period, of an alert.
const AHEAD: [&str; 8] = [
    "notAfter",
    "renewalTime",
    "deletionTimestamp",
    "expirationTimestamp",
    "expires",
    "nextScheduleTime",
    "endsAt",
    "annotations",
];

/// The newest timestamp in objects or alerts that says when something was.
#[must_use]
pub fn newest_timestamp(value: &Value) -> Option<Timestamp> {
    match value {
        Value::String(text) if text.starts_with(|c: char| c.is_ascii_digit()) => text.parse().ok(),
        Value::Array(items) => items.iter().filter_map(newest_timestamp).max(),
        Value::Object(fields) => {
            let past = fields.iter().filter(|(name, _)| !AHEAD.contains(&name.as_str()));
            past.filter_map(|(_, value)| newest_timestamp(value)).max()
        }
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod loading {
    use super::*;

    fn directory(objects: &str) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("objects.json"), objects).unwrap();
        directory
    }

    const POD: &str = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "n",
        "creationTimestamp": "2026-01-02T03:04:05Z"}, "spec": {"containers": [{"name": "c"}]}}"#;

    #[test]
    fn the_clock_stands_at_the_newest_timestamp_of_objects_and_alert() {
        let directory = directory(&format!("{{\"items\": [{POD}]}}"));
        assert_eq!(Snapshot::load(directory.path()).unwrap().now().to_string(), "2026-01-02T03:04:05Z");
        let alert = r#"{"alerts": [{"startsAt": "2026-01-02T05:04:05.5+01:00", "endsAt": "0001-01-01T00:00:00Z"}]}"#;
        std::fs::write(directory.path().join("alert.json"), alert).unwrap();
        assert_eq!(Snapshot::load(directory.path()).unwrap().now().to_string(), "2026-01-02T04:04:05.5Z");
    }

    #[test]
    fn what_is_still_to_come_does_not_move_the_clock() {
        let certificate = r#"{"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "c", "namespace": "n",
            "annotations": {"seen": "2028-01-01T00:00:00Z"}}, "status": {"notAfter": "2027-01-02T03:04:05Z"}}"#;
        let directory = directory(&format!("{{\"items\": [{POD}, {certificate}]}}"));
        assert_eq!(Snapshot::load(directory.path()).unwrap().now().to_string(), "2026-01-02T03:04:05Z");
    }

    #[test]
    fn errors_name_the_file_and_what_to_do() {
        let said = |objects: &str| Snapshot::load(directory(objects).path()).unwrap_err().to_string();
        assert!(said("[").contains("objects.json is not valid JSON"));
        assert!(said("{}").contains("must be a v1 List"));
        assert!(said(r#"{"items": [{"kind": "Pod"}]}"#).contains("without apiVersion"));
        assert!(said(r#"{"items": []}"#).contains("holds no timestamp"));
        let missing = Snapshot::load("/nonexistent").unwrap_err().to_string();
        assert!(missing.contains("/nonexistent/objects.json"), "{missing}");
    }

    #[test]
    fn secrets_and_logs_of_nobody_are_left_out() {
        let directory = directory(&format!("{{\"items\": [{POD}, {}]}}", POD.replace("Pod", "Secret")));
        std::fs::create_dir(directory.path().join("logs")).unwrap();
        std::fs::write(directory.path().join("logs/n_p_other.log"), "x").unwrap();
        let snapshot = Snapshot::load(directory.path()).unwrap();
        assert!(snapshot.stored("v1", "Secret").is_empty());
        assert_eq!(snapshot.stored("v1", "Pod").len(), 1);
    }
}
