//! Ties: a fault of another workload of the namespace that the logs in question speak of. Where an alert counts what no object
//! shows and nothing is wrong with what it names, who it waits for may be a word in a log: `runners_registered=0`.

use crate::playbook::alerts;
use crate::playbook::conclude::workload_of;
use crate::playbook::finding::{Depth, Finding};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::rank::Ranked;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::{Relevance, Scope};
use crate::report::Confidence;

/// The shortest part of a name that says which of several workloads is meant.
const STEM: usize = 5;
/// Parts of names that many workloads bear.
const COMMON: [&str; 24] = [
    "controller",
    "server",
    "service",
    "worker",
    "manager",
    "operator",
    "agent",
    "proxy",
    "queue",
    "cache",
    "database",
    "primary",
    "replica",
    "backend",
    "frontend",
    "internal",
    "public",
    "gateway",
    "client",
    "consumer",
    "producer",
    "process",
    "error",
    "errors",
];

/// Something that is counted and of which there is none.
static NONE: Pattern = Pattern::new(r#"([A-Za-z][\w.-]*)"?\s*[=:]\s*"?0(?:\.0+)?(?:["\s,;})\]]|$)"#);
/// Something that is missed in words.
static MISSED: Pattern =
    Pattern::new(r"(?i)\b(?:no|zero|without|waiting (?:for|on)|missing|lost)\s+((?:[\w-]+\s+){0,2}[\w-]+)");

/// The first line of a log that misses something named after a workload, or complains of it. `own` are names of those who
/// wrote the log: what they share with the workload says nothing.
#[must_use]
pub fn line<'a>(text: &'a str, workload: &str, own: &[&str]) -> Option<&'a str> {
    let mine: Vec<String> = own.iter().flat_map(|name| stems(name)).collect();
    let stems: Vec<String> = stems(workload).into_iter().filter(|stem| !mine.contains(stem)).collect();
    if stems.is_empty() {
        return None;
    }
    let speaks = |words: &str| words_of(words).any(|word| stems.iter().any(|stem| is_same(&word, stem)));
    let missed = |line: &str| {
        let told = NONE.all(line).into_iter().chain(MISSED.all(line));
        told.filter_map(|found| found.get(1)).any(|found| speaks(found.as_str()))
    };
    let complains = |line: &str| (logs::is_error(line) || logs::is_warning(line)) && speaks(line);
    text.lines().find(|line| !logs::instructs(line) && (missed(line) || complains(line)))
}

/// The parts of a name that are words of their own.
fn stems(name: &str) -> Vec<String> {
    let word =
        |part: &&str| part.len() >= STEM && part.chars().all(|it| it.is_ascii_lowercase()) && !COMMON.contains(part);
    name.split('-').filter(word).map(str::to_owned).collect()
}

fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|it| !it.is_empty()).map(str::to_ascii_lowercase)
}

/// Whether two words are one, in the singular or the plural.
fn is_same(word: &str, stem: &str) -> bool {
    word == stem || word.strip_suffix('s') == Some(stem) || stem.strip_suffix('s') == Some(word)
}

/// The faults beside what is asked about that the logs in question speak of, for where an alert counts what no object shows.
#[must_use]
pub(super) fn findings(scene: &Scene<'_>, scope: &Scope, ranked: &[Ranked]) -> Vec<Finding> {
    let counts = |name: &String| !alerts::names_a_state(name);
    if scene.question.alert_names.is_empty() || !scene.question.alert_names.iter().all(counts) {
        return Vec::new();
    }
    let decides = |entry: &&Ranked| {
        entry.relevance == Relevance::Neighbour
            && entry.finding.depth >= Depth::Mechanism
            && entry.finding.confidence > Confidence::Low
    };
    ranked.iter().filter(decides).filter_map(|entry| tied(scene, scope, &entry.finding)).collect()
}

fn tied(scene: &Scene<'_>, scope: &Scope, finding: &Finding) -> Option<Finding> {
    let workload = workload_of(scene, &finding.about);
    let (pod, reference, line) = scope.pods(scene).find_map(|pod| {
        let (own, name) = (scene.workload(&pod.object), named(&pod.object));
        reach::present_logs(scene, &pod.object).into_iter().find_map(|(log, text)| {
            let line = line(text, &workload.name, &[&own.name, &name.name])?;
            Some((name.clone(), log.reference.clone(), line))
        })
    })?;
    let said = logs::shorten(&logs::said(line), 120);
    let headline = scene.text(
        format!("{}；{} 的日志提到了它：{said}", finding.headline, pod.name),
        format!("{}; the log of {} speaks of it: {said}", finding.headline, pod.name),
    );
    let asked = scene.text(
        format!("{} 是否正在等待 {workload}？", workload_of(scene, &pod)),
        format!("Does {} wait for {workload}?", workload_of(scene, &pod)),
    );
    let mut found = finding.clone().confidence(finding.confidence.min(Confidence::Medium));
    found.headline = headline;
    Some(found.cite([scene.quote(&reference, line)]).unresolved(asked))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::world::{World, deployment, patched, pod};
    use crate::report::Verdict;

    const FORBIDDEN: &str = "E1123 02:59:00.1 1 reflector.go:1] failed to list: pods is forbidden: User \"system:serviceaccount:shop:default\" cannot list resource \"pods\" in API group \"\" in the namespace \"shop\"\n";

    fn world(alert: &str, log: &str) -> World {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "runner-controller-1", "uid": "c", "controller": true}]);
        let other = json!({"metadata": {"name": "runner-controller-1-a", "labels": {"app": "runner"}, "ownerReferences": owner}});
        World::asking("Deployment", "web")
            .alert(alert)
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .with(pod(patched(json!({}), other)))
            .log("web-1-a", log)
            .log("runner-controller-1-a", FORBIDDEN)
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(NONE.compiles() && MISSED.compiles());
    }

    #[test]
    fn a_fault_of_a_workload_that_the_log_misses_is_likely_the_cause() {
        let world = world("BuildsWaitTooLong", "INFO queue depth=148 runners_registered=0\n");
        assert!(world.cause().starts_with("rbac_forbidden"), "{}", world.cause());
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium);
        assert!(diagnosis.headline.contains("runners_registered=0"), "{}", diagnosis.headline);
        assert!(diagnosis.unresolved.iter().any(|it| it.contains("wait for Deployment shop/runner-controller")));
    }

    #[test]
    fn a_fault_that_no_log_speaks_of_or_that_an_alert_about_a_state_is_beside_is_a_neighbour() {
        let calm = world("BuildsWaitTooLong", "INFO queue depth=0 runners_registered=12\n").diagnosis();
        assert!(calm.causes.is_empty() && calm.verdict == Verdict::NoFault, "{calm:?}");
        let of_state = world("KubePodNotReady", "INFO queue depth=148 runners_registered=0\n").diagnosis();
        assert!(of_state.causes.is_empty());
    }

    #[test]
    fn only_words_of_its_own_name_a_workload() {
        let own = ["build-queue"];
        let tells = |text: &str, workload: &str| line(text, workload, &own).is_some();
        assert!(tells("INFO runners_registered=0", "runner-controller"));
        assert!(tells("WARN no runner is free", "runner-controller"));
        assert!(tells("ERROR runner pool: gave up", "runner-controller"));
        assert!(!tells("INFO runners_registered=10", "runner-controller"));
        assert!(!tells("INFO runner 7 took build 12", "runner-controller"), "nothing is missed");
        assert!(!tells("INFO build=0", "build-cache"), "it is the writer's own name");
        assert!(!tells("ERROR controller: gave up", "runner-controller"), "a common word");
    }
}
