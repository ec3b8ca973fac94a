//! The tools for objects of any kind, and what the other tools build on: a table of many, the YAML of one.

use serde_json::Value;

use super::Toolset;
use super::answer::{Answer, Success, strip};
use super::arguments::Arguments;
use super::cluster::{Query, ReadError};
use super::kinds::{ServedKind, path_segment};
use super::pods::selectors;
use super::text_table;
use super::yaml::to_yaml;

impl Toolset {
    pub(super) async fn namespaces_list(&self, arguments: &Arguments) -> Answer {
        let failed = |why: String| format!("failed to list namespaces: {why}");
        let query = Query { fields: arguments.text("fieldSelector").map_err(failed)?, ..Query::default() };
        self.table_of("v1", "Namespace", "", &query).await.map_err(|error| failed(error.to_string()))
    }

    pub(super) async fn resources_list(&self, arguments: &Arguments) -> Answer {
        let failed = |why: String| format!("failed to list resources, {why}");
        let (api_version, kind) = version_and_kind(arguments).map_err(failed)?;
        let namespace = arguments.text("namespace").map_err(failed)?;
        let query = selectors(arguments).map_err(failed)?;
        let listed = self.table_of(api_version, kind, namespace, &query).await;
        listed.map_err(|error| format!("failed to list resources: {error}"))
    }

    pub(super) async fn resources_get(&self, arguments: &Arguments) -> Answer {
        let failed = |why: String| format!("failed to get resource, {why}");
        let (api_version, kind) = version_and_kind(arguments).map_err(failed)?;
        let namespace = arguments.text("namespace").map_err(failed)?;
        let name = arguments.required("name").map_err(|_| failed("missing argument name".to_owned()))?;
        let got = self.object_of(api_version, kind, namespace, name).await;
        got.map_err(|error| format!("failed to get resource: {error}"))
    }

    /// The objects of a kind as a table, and themselves.
    pub(super) async fn table_of(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        query: &Query<'_>,
    ) -> Result<Success, ReadError> {
        let kind = self.readable(api_version, kind).await?;
        let table = self.cluster.table(&kind.collection(path_segment(namespace)?), query).await?;
        let text = text_table::print(&table, &kind.api_version, &kind.kind) + &table.left_out();
        let objects = table.entries.into_iter().map(|mut row| {
            let mut object = row["object"].take();
            strip(&mut object);
            object
        });
        Ok(Success::items(text, objects.collect()))
    }

    /// One object as YAML, and itself.
    pub(super) async fn object_of(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Success, ReadError> {
        let kind = self.readable(api_version, kind).await?;
        let mut object: Value = self.cluster.document(&kind.object(&self.cluster, namespace, name)?).await?;
        strip(&mut object);
        Ok(Success::object(to_yaml(&object), object))
    }

    /// A kind that may be read at all: Secrets are refused here, before the cluster is asked.
    async fn readable(&self, api_version: &str, kind: &str) -> Result<ServedKind, ReadError> {
        if api_version == "v1" && kind == "Secret" {
            let refused =
                "resource not allowed: /v1, Kind=Secret (Secrets are never read; look at what refers to them)";
            return Err(ReadError::NotAsked(refused.to_owned()));
        }
        self.kinds.resolve(&self.cluster, api_version, kind).await
    }
}

fn version_and_kind(arguments: &Arguments) -> Result<(&str, &str), String> {
    let given = |name: &str| match arguments.text(name) {
        Err(_) => Err(format!("{name} is not a string")),
        Ok("") => Err(format!("missing argument {name}")),
        Ok(text) => Ok(text),
    };
    Ok((given("apiVersion")?, given("kind")?))
}
