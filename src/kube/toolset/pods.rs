//! The tools for Pods: list, get, log.

use serde_json::Value;

use super::Toolset;
use super::answer::{Answer, Success};
use super::arguments::Arguments;
use super::cluster::{Query, ReadError};
use super::kinds::{object_name, path_segment};

/// Lines of a log when the caller does not say; 0 means the same.
const TAIL: i64 = 100;
/// The most of a log that is read, whatever was asked: 2 MiB is already far more than a diagnosis can use.
const MOST_LOG_BYTES: &str = "2097152";
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

impl Toolset {
    pub(super) async fn pods_list(&self, arguments: &Arguments) -> Answer {
        let failed = |why: String| format!("failed to list pods in all namespaces: {why}");
        let query = selectors(arguments).map_err(failed)?;
        self.table_of("v1", "Pod", "", &query).await.map_err(|error| failed(error.to_string()))
    }

    pub(super) async fn pods_list_in_namespace(&self, arguments: &Arguments) -> Answer {
        let failed = |why: String| format!("failed to list pods in namespace: {why}");
        let namespace = arguments.required("namespace").map_err(failed)?;
        let query = selectors(arguments).map_err(failed)?;
        let listed = self.table_of("v1", "Pod", namespace, &query).await;
        listed.map_err(|error| format!("failed to list pods in namespace {namespace}: {error}"))
    }

    pub(super) async fn pods_get(&self, arguments: &Arguments) -> Answer {
        let failed = |why: String| format!("failed to get pod: {why}");
        let namespace = arguments.text("namespace").map_err(failed)?;
        let name = arguments.required("name").map_err(failed)?;
        let got = self.object_of("v1", "Pod", namespace, name).await;
        got.map_err(|error| format!("failed to get pod {name} in namespace {namespace}: {error}"))
    }

    pub(super) async fn pods_log(&self, arguments: &Arguments) -> Answer {
        let failed = |why: String| format!("failed to get pod log: {why}");
        let namespace = arguments.text("namespace").map_err(failed)?;
        let name = arguments.required("name").map_err(failed)?;
        let container = arguments.text("container").map_err(failed)?;
        let previous = arguments.flag("previous", false).map_err(failed)?;
        let tail = Some(arguments.number("tail").map_err(failed)?).filter(|tail| *tail > 0).unwrap_or(TAIL);
        let log = self.log(namespace, name, container, previous, tail).await;
        let log = log.map_err(|error| format!("failed to get pod {name} log in namespace {namespace}: {error}"))?;
        if log.is_empty() {
            let nothing = format!("The pod {name} in namespace {namespace} has not logged any message yet");
            return Ok(Success::text(nothing));
        }
        Ok(Success::text(log))
    }

    async fn log(
        &self,
        namespace: &str,
        name: &str,
        container: &str,
        previous: bool,
        tail: i64,
    ) -> Result<String, ReadError> {
        let namespace = path_segment(self.cluster.namespace_or_default(namespace))?;
        let path = format!("/api/v1/namespaces/{namespace}/pods/{}", object_name(name)?);
        let default = match container {
            "" => default_container(&self.cluster.document(&path).await?),
            _ => String::new(),
        };
        let parameters = [
            ("container", if container.is_empty() { &default } else { container }),
            ("previous", if previous { "true" } else { "" }),
            ("tailLines", &tail.to_string()),
            ("limitBytes", MOST_LOG_BYTES),
        ];
        self.cluster.text(&format!("{path}/log"), &parameters).await
    }
}

/// The selectors of a call, with the argument names every list tool shares.
pub(super) fn selectors(arguments: &Arguments) -> Result<Query<'_>, String> {
    Ok(Query { labels: arguments.text("labelSelector")?, fields: arguments.text("fieldSelector")? })
}

/// The container kubectl would choose: the one the Pod declares as its main one, else the first.
fn default_container(pod: &Value) -> String {
    let declared = pod["metadata"]["annotations"][DEFAULT_CONTAINER].as_str().filter(|name| !name.is_empty());
    let containers = pod["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
    let first = containers.first().and_then(|container| container["name"].as_str());
    let chosen = if containers.len() == 1 { first } else { declared.or(first) };
    chosen.unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_main_container_is_the_declared_one() {
        let mut pod = json!({"spec": {"containers": [{"name": "proxy"}, {"name": "app"}]}});
        assert_eq!(default_container(&pod), "proxy");
        pod["metadata"] = json!({"annotations": {DEFAULT_CONTAINER: "app"}});
        assert_eq!(default_container(&pod), "app");
    }
}
