//! Mentions: objects, namespaces and evidence as people and models name them in sentences.

use std::sync::LazyLock;

use regex::Regex;

use crate::report::Citation;

/// Kinds as they are written, short forms and Chinese ones included, with the kind's own name.
const KINDS: &[(&str, &str)] = &[
    ("PersistentVolumeClaim", "PersistentVolumeClaim"),
    ("PVC", "PersistentVolumeClaim"),
    ("PersistentVolume", "PersistentVolume"),
    ("PV", "PersistentVolume"),
    ("StorageClass", "StorageClass"),
    ("Deployment", "Deployment"),
    ("StatefulSet", "StatefulSet"),
    ("DaemonSet", "DaemonSet"),
    ("ReplicaSet", "ReplicaSet"),
    ("CronJob", "CronJob"),
    ("Job", "Job"),
    ("Pod", "Pod"),
    ("Node", "Node"),
    ("节点", "Node"),
    ("Service", "Service"),
    ("Ingress", "Ingress"),
    ("ConfigMap", "ConfigMap"),
    ("Secret", "Secret"),
    ("Namespace", "Namespace"),
    ("HorizontalPodAutoscaler", "HorizontalPodAutoscaler"),
    ("HPA", "HorizontalPodAutoscaler"),
    ("NetworkPolicy", "NetworkPolicy"),
    ("ResourceQuota", "ResourceQuota"),
];

/// Words that follow a kind in a sentence and are no name.
const NO_NAMES: &[&str] = &[
    "a", "an", "and", "are", "at", "be", "but", "by", "can", "cannot", "could", "did", "does", "for", "from", "had",
    "has", "have", "in", "is", "it", "not", "of", "on", "or", "spec", "status", "that", "the", "to", "was", "were",
    "which", "will", "with",
];

static MENTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let kinds = KINDS.iter().map(|(written, _)| *written).collect::<Vec<_>>().join("|");
    let pattern = format!(
        r#"(?:^|[^A-Za-z])({kinds})(?:[ \t]*[:：/(（<`"“'][ \t`"“']*|[ \t]+)([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?)"#
    );
    Regex::new(&pattern).ok()
});

static NAMESPACE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)(?:namespace|命名空间)[*` \t]*(?:[:：=][*` \t]*|[ \t])([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)").ok()
});

static REFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\bE(\d{1,3})\b").ok());

static QUOTED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"“([^”]{4,300})”|"([^"]{4,300})"|`([^`]{4,300})`"#).ok());

/// The first object that a text names: its kind and its name.
pub(super) fn mention(text: &str) -> Option<(&'static str, String)> {
    MENTION.as_ref()?.captures_iter(text).find_map(|found| {
        let kind = KINDS.iter().find(|(written, _)| *written == &found[1])?.1;
        let name = &found[2];
        (!NO_NAMES.contains(&name)).then(|| (kind, name.to_owned()))
    })
}

/// The first namespace that a text names, or nothing.
pub(super) fn namespace_in(text: &str) -> String {
    let names = NAMESPACE.as_ref().into_iter().flat_map(|pattern| pattern.captures_iter(text));
    let named = names.map(|found| found[1].to_owned()).find(|name| !NO_NAMES.contains(&name.as_str()));
    named.unwrap_or_default()
}

/// Whether objects of a kind belong to no namespace.
pub(super) fn cluster_scoped(kind: &str) -> bool {
    matches!(kind, "Node" | "PersistentVolume" | "StorageClass" | "Namespace")
}

/// What a text quotes, each under the evidence it names before the quotation; without a quotation there is none.
pub(super) fn citations(text: &str) -> Vec<Citation> {
    let (Some(references), Some(quoted)) = (REFERENCE.as_ref(), QUOTED.as_ref()) else { return Vec::new() };
    let quotes = quoted.captures_iter(text).filter_map(|found| found.iter().skip(1).flatten().next());
    let cited = quotes.filter_map(|quote| {
        let reference = references.find_iter(&text[..quote.start()]).last()?;
        Some(Citation { reference: reference.as_str().to_owned(), quote: quote.as_str().to_owned() })
    });
    cited.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_found_as_people_write_them() {
        for (text, expected) in [
            ("PVC test-data 未绑定", Some(("PersistentVolumeClaim", "test-data"))),
            ("Pod(web-0) 状态", Some(("Pod", "web-0"))),
            ("<Pod: web-0>", Some(("Pod", "web-0"))),
            ("the Deployment `web` is short", Some(("Deployment", "web"))),
            ("Node is down, see node Node/worker-1.", Some(("Node", "worker-1"))),
            ("the CronJob nightly.", Some(("CronJob", "nightly"))),
            ("the pod is fine", None),
            ("PVC 没有绑定", None),
        ] {
            let found = mention(text);
            assert_eq!(found.as_ref().map(|(kind, name)| (*kind, name.as_str())), expected, "{text}");
        }
    }

    #[test]
    fn namespaces_are_found_as_people_write_them() {
        assert_eq!(namespace_in("* **命名空间**: aiops\n"), "aiops");
        assert_eq!(namespace_in("in namespace shop-1, the"), "shop-1");
        assert_eq!(namespace_in("the namespace is full"), "");
    }

    #[test]
    fn a_citation_is_a_quotation_after_a_reference() {
        let found = citations("E3 says \"no nodes available\", and (E12) `exit code 137`; “nothing cited” by E4");
        let found: Vec<_> = found.iter().map(|one| (one.reference.as_str(), one.quote.as_str())).collect();
        assert_eq!(found, [("E3", "no nodes available"), ("E12", "exit code 137"), ("E12", "nothing cited")]);
        assert!(citations("“no reference before it”").is_empty());
    }
}
