//! Reduction: what every reader of an object skips is taken out before a model pays for it.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::events;
use crate::applied;

/// Stands in for an empty answer, which kubernetes-mcp-server gives both for "none" and for "no such namespace".
pub const NOTHING: &str = "No objects found (the server answers the same when the namespace does not exist).";

/// Larger texts are no object: an API server keeps none of more than 1.5 MiB (etcd's limit on a request).
const OBJECT_BYTES: usize = 3 << 19;

/// The text of a tool result without noise: grouped events, objects without bookkeeping, terminal colours removed.
#[must_use]
pub fn reduce(tool: &str, text: &str) -> String {
    let text = strip_ansi(text);
    if text.trim().is_empty() {
        return NOTHING.to_owned();
    }
    let reduced = match tool {
        "events_list" => events::grouped(&text),
        "pods_get" | "resources_get" if text.len() <= OBJECT_BYTES => reduced_yaml(&text),
        _ => None,
    };
    reduced.unwrap_or_else(|| text.into_owned())
}

fn reduced_yaml(text: &str) -> Option<String> {
    let mut object: Value = yaml_serde::from_str(text).ok()?;
    object.get("kind")?;
    reduce_object(&mut object);
    yaml_serde::to_string(&object).ok()
}

/// Takes bookkeeping out of an object: managed fields, the last applied copy that agrees, default tolerations, token volumes.
pub fn reduce_object(object: &mut Value) {
    applied::forget_agreeing(object);
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in ["managedFields", "resourceVersion", "selfLink", "generateName", "uid"] {
            metadata.remove(key);
        }
        for owner in metadata.get_mut("ownerReferences").and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(owner) = owner.as_object_mut() else { continue };
            owner.retain(|key, _| !matches!(key.as_str(), "uid" | "blockOwnerDeletion"));
        }
    }
    for path in ["/spec", "/spec/template/spec", "/spec/jobTemplate/spec/template/spec"] {
        if let Some(spec) = object.pointer_mut(path).and_then(Value::as_object_mut) {
            reduce_pod_spec(spec);
        }
    }
}

fn reduce_pod_spec(spec: &mut Map<String, Value>) {
    let default_toleration = |toleration: &Value| {
        toleration.get("tolerationSeconds").and_then(Value::as_i64) == Some(300)
            && toleration.get("key").and_then(Value::as_str).is_some_and(|key| key.starts_with("node.kubernetes.io/"))
    };
    spec.retain(|key, value| !is_default(key, value));
    retain(spec, "tolerations", |item| !default_toleration(item));
    retain(spec, "volumes", |volume| !is_token_volume(volume));
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(container) = container.as_object_mut() else { continue };
            retain(container, "volumeMounts", |mount| !is_token_volume(mount));
            container.remove("terminationMessagePath");
            container.remove("terminationMessagePolicy");
        }
    }
}

/// What the API server writes into every pod that says nothing about it, and explains no fault.
fn is_default(key: &str, value: &Value) -> bool {
    match key {
        "dnsPolicy" => value == "ClusterFirst",
        "schedulerName" => value == "default-scheduler",
        "preemptionPolicy" => value == "PreemptLowerPriority",
        "enableServiceLinks" => value == true,
        "terminationGracePeriodSeconds" => value == 30,
        "securityContext" => value.as_object().is_some_and(Map::is_empty),
        // The old name of `serviceAccountName`, which stands beside it.
        "serviceAccount" => true,
        _ => false,
    }
}

/// The projected service account volume every pod has (`kube-api-access-xxxxx`).
fn is_token_volume(item: &Value) -> bool {
    item.get("name").and_then(Value::as_str).is_some_and(|name| name.starts_with("kube-api-access-"))
}

fn retain(map: &mut Map<String, Value>, key: &str, keep: impl Fn(&Value) -> bool) {
    let Some(items) = map.get_mut(key).and_then(Value::as_array_mut) else { return };
    items.retain(keep);
    if items.is_empty() {
        map.remove(key);
    }
}

/// Removes terminal escape sequences (colours, links) and other control characters; keeps line ends and tabs.
fn strip_ansi(text: &str) -> Cow<'_, str> {
    // The second byte of a control character beyond ASCII follows 0xc2, as that of much else does.
    let may_be_control = |byte: u8| (byte < 0x20 && !matches!(byte, b'\n' | b'\t')) || matches!(byte, 0x7f | 0xc2);
    if !text.bytes().any(may_be_control) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(char) = rest.next() {
        match char {
            '\u{1b}' => skip_escape(&mut rest),
            '\n' | '\t' => out.push(char),
            _ if char.is_control() => {}
            _ => out.push(char),
        }
    }
    Cow::Owned(out)
}

/// Skips what follows ESC: a CSI sequence up to its final letter, an OSC one up to BEL or ESC, else one character.
fn skip_escape(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match rest.next() {
        Some('[') => while rest.next().is_some_and(|char| !char.is_ascii_alphabetic() && char != '~') {},
        Some(']') => {
            while let Some(char) = rest.next() {
                match char {
                    '\u{7}' => return,
                    '\u{1b}' => {
                        rest.next_if_eq(&'\\');
                        return;
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_loses_its_bookkeeping_and_keeps_its_meaning() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: |\n      {}\n  name: web-0\n  uid: x\nspec:\n  dnsPolicy: ClusterFirst\n  schedulerName: special\n  containers:\n  - image: noimage\n    name: web\n    terminationMessagePath: /dev/termination-log\n    volumeMounts:\n    - mountPath: /var/run/secrets\n      name: kube-api-access-f7hlc\n  tolerations:\n  - key: node.kubernetes.io/not-ready\n    operator: Exists\n    tolerationSeconds: 300\n  volumes:\n  - name: kube-api-access-f7hlc\nstatus:\n  phase: Pending\n";
        let text = reduce("pods_get", pod);
        assert_eq!(
            text,
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web-0\nspec:\n  schedulerName: special\n  containers:\n  - image: noimage\n    name: web\nstatus:\n  phase: Pending\n"
        );
    }

    #[test]
    fn an_empty_answer_says_so() {
        assert_eq!(reduce("resources_list", "\n"), NOTHING);
    }

    #[test]
    fn a07_colours_and_terminal_links_go() {
        assert_eq!(
            reduce("pods_log", "\u{1b}[31mERROR\u{1b}[0m \u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{7}\r\nok"),
            "ERROR link\nok"
        );
    }

    #[test]
    fn an_error_text_is_no_yaml_object() {
        let text = "failed to get pod: pods \"x\" not found";
        assert_eq!(reduce("pods_get", text), text);
    }
}
