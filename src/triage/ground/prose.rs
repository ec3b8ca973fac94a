//! Prose: the objects a sentence speaks of by kind and name must be objects that something read speaks of.

use std::sync::LazyLock;

use regex::Regex;

/// A word for a kind and what stands behind it: `Service ghost-x`, `PVC shop/data-0`, 节点 `node-9`.
static SPOKEN_OF: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let kinds = "pods?|deployments?|statefulsets?|daemonsets?|replicasets?|cronjobs?|jobs?|services?|ingress(?:es)?\
                 |configmaps?|secrets?|persistentvolumeclaims?|pvcs?|persistentvolumes?|pvs?|storageclass(?:es)?|nodes?\
                 |namespaces?|serviceaccounts?|(?:cluster)?role(?:binding)?s?|horizontalpodautoscalers?|hpas?\
                 |poddisruptionbudgets?|pdbs?|networkpolic(?:y|ies)|resourcequotas?|limitranges?|priorityclass(?:es)?";
    let words = "节点|服务|命名空间|密钥|存储卷|工作负载";
    Regex::new(&format!(r"(?i)(?:\b(?:{kinds})|{words})\s*[:：]?\s*([`'‘“「]?)([a-z0-9][-a-z0-9./:]*)([*…]?)")).ok()
});

/// How an English word begins that is joined to the next by a hyphen and names nothing.
const JOINED: [&str; 16] = [
    "anti-", "back-", "end-", "in-", "multi-", "non-", "not-", "off-", "on-", "out-", "over-", "pre-", "re-", "read-",
    "self-", "up-",
];

/// The names of objects in a sentence, without their namespaces. Where a name is not quoted, only what no other word looks
/// like counts: a hyphen, a slash or a digit in it.
pub fn names_in(text: &str) -> Vec<&str> {
    let Some(pattern) = SPOKEN_OF.as_ref() else { return Vec::new() };
    let found = pattern.captures_iter(text).filter_map(|groups| {
        let name = groups.get(2)?.as_str();
        let (quoted, is_part) = (!groups[1].is_empty(), !groups[3].is_empty());
        (!is_part && is_name(name, quoted)).then(|| bare(name))
    });
    found.collect()
}

fn is_name(name: &str, quoted: bool) -> bool {
    let letters = |part: &str| part.chars().all(|char| char.is_ascii_alphabetic() || char == '-');
    let is_joined = JOINED.iter().any(|start| name.strip_prefix(start).is_some_and(letters));
    let looks_so = name.chars().any(|char| char == '-' || char == '/' || char.is_ascii_digit());
    let is_figure = name.chars().all(|char| !char.is_ascii_alphabetic());
    quoted || (looks_so && !is_joined && !is_figure)
}

/// `shop/web-0` is the Pod web-0, `db.shop.svc:5432` the Service db.
fn bare(name: &str) -> &str {
    let name = name.trim_end_matches(['.', ':', '/', '-']);
    let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
    name.split_once(':').map_or(name, |(host, _)| host).split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::names_in;

    #[test]
    fn names_stand_behind_the_word_for_their_kind() {
        let text =
            "Service ghost-x is down, so Pod shop/web-0 and the PVC `data` wait; ConfigMap: 'web-env', nodes node-9.";
        assert_eq!(names_in(text), ["ghost-x", "web-0", "data", "web-env", "node-9"]);
        assert_eq!(names_in("Service db.shop.svc:5432 refuses"), ["db"]);
        assert_eq!(
            names_in("服务 ghost-x 不可用，节点node-9 未就绪，Deployment“web”异常"),
            ["ghost-x", "node-9", "web"]
        );
    }

    #[test]
    fn other_words_behind_a_kind_are_no_names() {
        for text in [
            "the Service is down and its Pods are re-created",
            "Pod anti-affinity, node not-ready, Job back-off, service end-to-end",
            "Pods web-* and Pod web-5d4… restart",
            "2 of 3 Pods 5 minutes ago; Service 8080",
            "the deployment fails; secret missing",
        ] {
            assert_eq!(names_in(text), Vec::<&str>::new(), "{text}");
        }
    }
}
