//! A request's path and query, read into what it asks for.

use std::collections::HashMap;

use super::logs::LogQuery;

/// What a path asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Target<'a> {
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group(&'a str),
    /// `/api/v1`, `/apis/GROUP/VERSION`
    Version { group: &'a str, version: &'a str },
    /// Objects of one resource.
    Objects(ObjectPath<'a>),
    /// `/version`
    Build,
    /// `/healthz`, `/readyz`, `/livez`
    Health,
    /// Anything else.
    Unknown,
}

/// Where objects live.
#[derive(Debug, PartialEq, Clone, Copy)]
pub(super) struct ObjectPath<'a> {
    pub group: &'a str,
    pub version: &'a str,
    pub plural: &'a str,
    pub namespace: Option<&'a str>,
    pub name: Option<&'a str>,
    pub subresource: Option<&'a str>,
}

/// Reads a path.
pub(super) fn target(path: &str) -> Target<'_> {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments[..] {
        ["api"] => Target::CoreVersions,
        ["apis"] => Target::Groups,
        ["apis", group] => Target::Group(group),
        ["api", version] => Target::Version { group: "", version },
        ["apis", group, version] => Target::Version { group, version },
        ["api", version, ref rest @ ..] => objects("", version, rest),
        ["apis", group, version, ref rest @ ..] => objects(group, version, rest),
        ["version"] => Target::Build,
        ["healthz" | "readyz" | "livez", ..] => Target::Health,
        _ => Target::Unknown,
    }
}

fn objects<'a>(group: &'a str, version: &'a str, rest: &[&'a str]) -> Target<'a> {
    let at = |namespace, plural, name, subresource| {
        Target::Objects(ObjectPath { group, version, plural, namespace, name, subresource })
    };
    match *rest {
        // A namespace is an object itself, and its parts are subresources, before it is a place for others.
        ["namespaces", name, part @ ("status" | "finalize")] => at(None, "namespaces", Some(name), Some(part)),
        ["namespaces", namespace, plural] => at(Some(namespace), plural, None, None),
        ["namespaces", namespace, plural, name] => at(Some(namespace), plural, Some(name), None),
        ["namespaces", namespace, plural, name, part, ..] => at(Some(namespace), plural, Some(name), Some(part)),
        [plural] => at(None, plural, None, None),
        [plural, name] => at(None, plural, Some(name), None),
        [plural, name, part, ..] => at(None, plural, Some(name), Some(part)),
        [] => Target::Version { group, version },
    }
}

/// A request's query parameters.
#[derive(Debug)]
pub(super) struct Query(HashMap<String, String>);

impl Query {
    /// Decodes a query string.
    pub fn parse(query: Option<&str>) -> Self {
        Self(url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// A parameter, empty when absent.
    pub fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A parameter the way Go reads booleans.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), "1" | "t" | "T" | "true" | "TRUE" | "True")
    }

    /// The part of a log that is asked for.
    pub fn log(&self) -> LogQuery {
        LogQuery {
            container: self.0.get("container").cloned(),
            previous: self.flag("previous"),
            tail_lines: self.text("tailLines").parse().ok(),
            limit_bytes: self.text("limitBytes").parse().ok(),
            timestamps: self.flag("timestamps"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_both_an_object_and_a_place() {
        let path = ObjectPath {
            group: "",
            version: "v1",
            plural: "namespaces",
            namespace: None,
            name: Some("web"),
            subresource: None,
        };
        assert_eq!(target("/api/v1/namespaces/web"), Target::Objects(path));
        let pods = ObjectPath { plural: "pods", namespace: Some("web"), name: None, ..path };
        assert_eq!(target("/api/v1/namespaces/web/pods"), Target::Objects(pods));
        let log = ObjectPath { name: Some("a"), subresource: Some("log"), ..pods };
        assert_eq!(target("/api/v1/namespaces/web/pods/a/log"), Target::Objects(log));
        let deployments = ObjectPath { group: "apps", plural: "deployments", name: None, ..path };
        assert_eq!(target("/apis/apps/v1/deployments"), Target::Objects(deployments));
    }
}
