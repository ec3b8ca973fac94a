//! What the API offers: the documents clients read before they ask for anything.

use serde_json::{Value, json};

use super::Snapshot;
use super::kinds::Kind;

impl Snapshot {
    /// `/api`: the versions of the core group.
    pub(super) fn core_versions(&self) -> Value {
        json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
    }

    /// `/apis`: every other group.
    pub(super) fn groups(&self) -> Value {
        let mut names: Vec<&str> =
            self.kinds.iter().map(|kind| &*kind.group).filter(|group| !group.is_empty()).collect();
        names.sort_unstable();
        names.dedup();
        let groups: Vec<Value> = names.into_iter().filter_map(|group| self.group(group)).collect();
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    }

    /// `/apis/GROUP`.
    pub(super) fn group(&self, group: &str) -> Option<Value> {
        let of_group = self.kinds.iter().filter(|kind| kind.group == group && !group.is_empty());
        let mut versions: Vec<&str> = of_group.map(|kind| &*kind.version).collect();
        versions.sort_unstable();
        versions.dedup();
        let version = |version: &&str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
        let preferred = version(versions.last()?);
        let versions: Vec<Value> = versions.iter().map(version).collect();
        Some(json!({
            "kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": versions,
            "preferredVersion": preferred,
        }))
    }

    /// `/api/v1` or `/apis/GROUP/VERSION`: the kinds of one version.
    pub(super) fn resources(&self, group: &str, version: &str) -> Option<Value> {
        let served = self.kinds.iter().filter(|kind| kind.group == group && kind.version == version);
        let resources: Vec<Value> = served.flat_map(resource_entries).collect();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        (!resources.is_empty()).then(|| {
            json!({
                "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources,
            })
        })
    }

    /// The kind a path names.
    pub(super) fn kind_at(&self, group: &str, version: &str, plural: &str) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
    }
}

fn resource_entries(kind: &Kind) -> Vec<Value> {
    let verbs: &[&str] = if kind.review { &["create"] } else { &["get", "list", "watch"] };
    let mut entry = json!({
        "name": kind.plural, "singularName": kind.kind.to_lowercase(), "namespaced": kind.namespaced,
        "kind": kind.kind, "verbs": verbs,
    });
    if !kind.short.is_empty() {
        entry["shortNames"] = json!(kind.short);
    }
    let mut entries = vec![entry];
    if kind.group.is_empty() && kind.kind == "Pod" {
        entries.push(json!({
            "name": "pods/log", "singularName": "", "namespaced": true, "kind": "Pod", "verbs": ["get"],
        }));
    }
    entries
}
