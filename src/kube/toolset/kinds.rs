//! From `apiVersion` and `kind` to a path, asking the cluster what it serves and remembering the answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde_json::Value;

use super::cluster::{Cluster, ReadError};

/// How long an answer is trusted when it lacks the kind asked for: a definition may have been added since.
const TRUST_ABSENCE: Duration = Duration::from_secs(10);
/// API versions asked for at once when a kind must be searched for everywhere.
const PARALLEL: usize = 8;
/// Two names closer than this are taken for a slip of the pen (Jaro-Winkler, 0 to 1).
const NEAR: f64 = 0.85;

/// A kind as the cluster serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServedKind {
    pub api_version: String,
    pub kind: String,
    plural: String,
    namespaced: bool,
}

impl ServedKind {
    /// The path of the collection; a namespace is ignored for cluster-scoped kinds, and empty means all.
    pub fn collection(&self, namespace: &str) -> String {
        let root = root(&self.api_version);
        if self.namespaced && !namespace.is_empty() {
            format!("{root}/namespaces/{namespace}/{}", self.plural)
        } else {
            format!("{root}/{}", self.plural)
        }
    }

    /// The path of one object, in the default namespace when the kind has namespaces and none is given.
    pub fn object(&self, cluster: &Cluster, namespace: &str, name: &str) -> Result<String, ReadError> {
        let namespace = if self.namespaced { cluster.namespace_or_default(namespace) } else { "" };
        Ok(format!("{}/{}", self.collection(path_segment(namespace)?), object_name(name)?))
    }
}

/// What Kubernetes accepts as one segment of a path.
pub(super) fn path_segment(segment: &str) -> Result<&str, ReadError> {
    let odd = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':'));
    if segment == "." || segment == ".." || segment.contains(odd) {
        return Err(ReadError::NotAsked(format!("\"{segment}\" cannot be a name in Kubernetes")));
    }
    Ok(segment)
}

/// The name of an object, which must not be empty.
pub(super) fn object_name(name: &str) -> Result<&str, ReadError> {
    if name.is_empty() {
        return Err(ReadError::NotAsked("name is required".to_owned()));
    }
    path_segment(name)
}

struct Remembered {
    kinds: Arc<Vec<ServedKind>>,
    at: Instant,
}

/// The kinds of every API version asked for so far.
#[derive(Default)]
pub(super) struct Kinds(Mutex<HashMap<String, Remembered>>);

impl Kinds {
    /// Finds a kind, or says which one was probably meant.
    pub async fn resolve(&self, cluster: &Cluster, api_version: &str, kind: &str) -> Result<ServedKind, ReadError> {
        if let Some(found) = self.recall(api_version, Duration::MAX).and_then(|kinds| named(&kinds, kind)) {
            return Ok(found);
        }
        let served = match self.recall(api_version, TRUST_ABSENCE) {
            Some(kinds) => kinds,
            None => self.ask(cluster, api_version).await?,
        };
        if let Some(found) = named(&served, kind) {
            return Ok(found);
        }
        let mut message = format!("no matches for kind \"{kind}\" in version \"{api_version}\"");
        if let Some(near) = self.nearest(cluster, &served, kind).await {
            message.push_str(&format!("; did you mean kind \"{}\" in version \"{}\"?", near.kind, near.api_version));
        }
        Err(ReadError::NotAsked(message))
    }

    fn recall(&self, api_version: &str, within: Duration) -> Option<Arc<Vec<ServedKind>>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(api_version).filter(|known| known.at.elapsed() < within).map(|known| Arc::clone(&known.kinds))
    }

    /// Asks what an API version serves; one that does not exist serves nothing.
    async fn ask(&self, cluster: &Cluster, api_version: &str) -> Result<Arc<Vec<ServedKind>>, ReadError> {
        path_segment(&api_version.replacen('/', "", 1))?;
        let kinds = match cluster.document(&root(api_version)).await {
            Ok(list) => list["resources"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|entry| served(api_version, entry))
                .collect(),
            Err(ReadError::Refused { code: 404, .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let kinds = Arc::new(kinds);
        let remembered = Remembered { kinds: Arc::clone(&kinds), at: Instant::now() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(api_version.to_owned(), remembered);
        Ok(kinds)
    }

    /// The kind that was probably meant: a near name in the same version, else the same or a near name anywhere.
    async fn nearest(&self, cluster: &Cluster, same_version: &[ServedKind], kind: &str) -> Option<ServedKind> {
        if let Some(near) = near(same_version, kind) {
            return Some(near);
        }
        let groups = cluster.document("/apis").await.ok()?;
        let preferred = groups["groups"].as_array().into_iter().flatten();
        let preferred = preferred.filter_map(|group| group["preferredVersion"]["groupVersion"].as_str());
        let versions: Vec<String> = std::iter::once("v1").chain(preferred).map(str::to_owned).collect();
        let asked = versions.into_iter().map(|version| async move {
            match self.recall(&version, Duration::MAX) {
                Some(kinds) => Some(kinds),
                None => self.ask(cluster, &version).await.ok(),
            }
        });
        let answers: Vec<_> = futures::stream::iter(asked).buffered(PARALLEL).collect().await;
        let all: Vec<ServedKind> = answers.into_iter().flatten().flat_map(|kinds| kinds.to_vec()).collect();
        near(&all, kind)
    }
}

fn root(api_version: &str) -> String {
    if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") }
}

fn served(api_version: &str, entry: &Value) -> Option<ServedKind> {
    let plural = entry["name"].as_str().filter(|name| !name.contains('/'))?;
    let reads = entry["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|verb| verb == "get" || verb == "list"));
    reads.then_some(ServedKind {
        api_version: api_version.to_owned(),
        kind: entry["kind"].as_str()?.to_owned(),
        plural: plural.to_owned(),
        namespaced: entry["namespaced"] == true,
    })
}

fn named(kinds: &[ServedKind], kind: &str) -> Option<ServedKind> {
    kinds.iter().find(|served| served.kind == kind).cloned()
}

/// The most similar kind, by its name or its plural, whatever the case.
fn near(kinds: &[ServedKind], kind: &str) -> Option<ServedKind> {
    let asked = kind.to_lowercase();
    let likeness = |served: &ServedKind| {
        strsim::jaro_winkler(&served.kind.to_lowercase(), &asked).max(strsim::jaro_winkler(&served.plural, &asked))
    };
    let scored = kinds.iter().map(|served| (likeness(served), served)).filter(|(likeness, _)| *likeness >= NEAR);
    // Of equals the first wins: core kinds come before their namesakes in other groups.
    let best = scored.reduce(|best, next| if next.0 > best.0 { next } else { best });
    best.map(|(_, served)| served.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_their_path_are_not_asked_for() {
        for name in ["..", "a/b", "x?watch=true", "a b", "%2e%2e"] {
            assert!(object_name(name).is_err(), "{name}");
        }
        for name in ["web-1", "system:node:a", "10.0.0.1", "kube-root-ca.crt"] {
            assert!(object_name(name).is_ok(), "{name}");
        }
    }
}
