//! ConfigMaps that were changed in place, and logs that complain about just what was changed.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::applied::{self, Change};
use crate::playbook::environment::has_word;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{drift, latent, logs, reach};
use crate::report::Confidence;

/// Words too short or too common to link a change with a complaint, in bytes.
const TELLING: usize = 6;
/// How often a Pod that runs must complain.
const OFTEN: usize = 3;

/// The name of a setting at the beginning of a line: `max_discount = 0.3`, `"pool.size": 4`, `- name: x`.
static SETTING: Pattern = Pattern::new(r#"^\s*-?\s*"?([A-Za-z][\w.\-]*)"?\s*[:=]"#);
/// A certificate whose issuer is not trusted, as Go, OpenSSL, Java, Node, Python and .NET say it.
static UNTRUSTED: Pattern = Pattern::new(
    r"(?i)signed by unknown authority|certificate verify failed|pkix path building failed|unable to (?:get local issuer certificate|verify the first certificate)|self[- ]signed certificate in|partialchain|unable to find valid certification path",
);

/// Whether a line says that a certificate's issuer is not trusted.
#[must_use]
pub fn tells_of_distrust(line: &str) -> bool {
    UNTRUSTED.hits(line)
}

/// Findings about Pods whose errors are about what was changed in a ConfigMap they use.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| of_pod(scene, pod)).collect()
}

fn of_pod(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    latent::maps(&pod.object).into_iter().find_map(|map| {
        let (log, line, change) = drift::changes(scene, &map).into_iter().find_map(|change| {
            let (log, line) = complaint(scene, &pod.object, &change)?;
            Some((log, line, change))
        })?;
        Some(told(scene, pod, &map, (log, line), &change))
    })
}

/// The last line of a Pod's log that complains about what was changed: once where the Pod fails, again and again where it runs.
fn complaint<'s>(scene: &Scene<'s>, pod: &Pod, change: &Change) -> Option<(&'s SeenLog, &'s str)> {
    let words = words_of(change);
    let is_trust = applied::plain(&change.applied).contains("BEGIN CERTIFICATE");
    let complains = |line: &str| {
        logs::is_error(line) && (words.iter().any(|word| has_word(line, word)) || (is_trust && tells_of_distrust(line)))
    };
    let fails = pods::containers(pod).iter().any(|view| !view.ready() || view.failing(scene.facts.now));
    reach::present_logs(scene, pod).into_iter().find_map(|(log, text)| {
        let lines: Vec<&str> = text.lines().filter(|line| complains(line) && !logs::instructs(line)).collect();
        (fails || lines.len() >= OFTEN).then_some(())?;
        Some((log, *lines.last()?))
    })
}

/// The names of the settings that were changed, and what was put in their place.
fn words_of(change: &Change) -> BTreeSet<String> {
    let (before, now) = (applied::plain(&change.applied), applied::plain(&change.live));
    let mut words: BTreeSet<String> = BTreeSet::new();
    let old: BTreeSet<&str> = before.lines().map(str::trim).collect();
    let new: BTreeSet<&str> = now.lines().map(str::trim).collect();
    if before.contains('\n') || now.contains('\n') {
        words.extend(old.symmetric_difference(&new).filter_map(|line| SETTING.group(line, 1)));
    } else {
        words.extend(change.path.rsplit('.').next().map(str::to_owned));
        words.insert(now.trim().to_owned());
    }
    words.retain(|word| word.len() >= TELLING && !word.contains(char::is_whitespace));
    words
}

fn told(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    map: &ObjectRef,
    (log, line): (&SeenLog, &str),
    changed: &Change,
) -> Finding {
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let what = drift::told(scene.lang, changed);
    let said = logs::said(line);
    let headline = scene.text(
        format!("{map} 在 apply 之后被直接改过（{what}），{workload} 报的正是这一项：{said}"),
        format!("{map} was changed since it was applied ({what}), and that is what {workload} complains about: {said}"),
    );
    let reference = scene.facts.raw(map).map(|(_, reference)| reference.to_owned()).unwrap_or_default();
    let key = changed.path.split('.').nth(1).unwrap_or_default().to_owned();
    Finding::new("configmap_changed_in_place", Depth::Root, &name, map, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&log.reference, line), scene.quote_line(&reference, &[&key])])
        .touches([workload])
        .steps([
            look(
                scene.text("对照现在的内容与 apply 时的内容", "Compare what it holds with what was applied"),
                kubectl(&map.namespace, &format!("get configmap {} -o yaml", map.name)),
            ),
            change(
                scene.text(format!("恢复 {map} 的内容"), format!("Put back the contents of {map}")),
                scene.text(
                    "之后重启只在启动时读取配置的工作负载",
                    "Then restart what reads its configuration at the start alone",
                ),
                Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
            ),
        ])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, crashed, patched, pod};

    fn map(before: &str, now: &str) -> Value {
        let copy = json!({"data": {"rules.toml": before}}).to_string();
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "shop",
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": copy}}, "data": {"rules.toml": now}})
    }

    fn using(state: Value) -> Value {
        let spec = json!({"spec": {"containers": [container(json!({}))], "volumes": [{"name": "c", "configMap": {"name": "conf"}}]}});
        pod(patched(state, spec))
    }

    const RULES: (&str, &str) = ("rate = 1\nmax_discount = 0.30\n", "rate = 1\nmax_discount = 0.3O\n");

    #[test]
    fn a_change_that_the_log_complains_about_is_the_cause() {
        let world = World::asking("Pod", "web-1-a")
            .with(using(crashed(1, "Error")))
            .with(map(RULES.0, RULES.1))
            .log("web-1-a", "ERROR invalid value for max_discount: expected a number");
        assert_eq!(world.cause(), "configmap_changed_in_place ConfigMap/conf");
        assert!(world.diagnosis().headline.contains("0.30 -> max_discount = 0.3O"), "{}", world.diagnosis().headline);
    }

    #[test]
    fn a_bundle_that_lost_an_issuer_explains_distrust() {
        let pem = "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n";
        let world = World::asking("Pod", "web-1-a")
            .with(using(json!({})))
            .with(map(&pem.repeat(2).replacen("MII", "MIIB", 1), pem))
            .log("web-1-a", &"ERROR Get https://x: tls: x509: certificate signed by unknown authority\n".repeat(6));
        assert_eq!(world.cause(), "configmap_changed_in_place ConfigMap/conf");
    }

    #[test]
    fn another_complaint_and_a_map_as_it_was_applied_are_not_linked() {
        let other = World::asking("Pod", "web-1-a")
            .with(using(crashed(1, "Error")))
            .with(map(RULES.0, RULES.1))
            .log("web-1-a", "ERROR cannot open ledger.db: database disk image is malformed");
        assert!(!other.codes().contains(&"configmap_changed_in_place"));
        let same = World::asking("Pod", "web-1-a")
            .with(using(crashed(1, "Error")))
            .with(map(RULES.0, RULES.0))
            .log("web-1-a", "ERROR invalid value for max_discount: expected a number");
        assert!(!same.codes().contains(&"configmap_changed_in_place"));
    }
}
