//! Hearing: whether everybody who is asked about was heard, and nobody complains.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::networking::v1::Ingress;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::ingress;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;
use crate::playbook::{complaint, logs, reach, scan};
use crate::report::RuledOut;

/// Whether no Pod of the workloads in question is left that may complain unheard.
#[must_use]
pub fn every_log_was_read(scene: &Scene<'_>, scope: &Scope) -> bool {
    let heard = |pod: &ObjectRef| scene.facts.logs_of(&pod.namespace, &pod.name).any(|log| log.lines.is_ok());
    let workloads: BTreeSet<ObjectRef> = scope.pods(scene).map(|pod| scene.workload(&pod.object)).collect();
    workloads.iter().all(|workload| {
        let read = scene.pods_of(workload).iter().filter(|pod| heard(&named(&pod.object))).count();
        scene.replicas(workload).is_none_or(|(_, wanted)| i32::try_from(read).is_ok_and(|read| read >= wanted))
    })
}

/// Whether what answers requests before the Pods was seen: all Ingresses, or the one that is asked about, with Pods ready
/// behind all it sends to.
#[must_use]
pub fn entrance_was_seen(scene: &Scene<'_>) -> bool {
    let mut targets = scene.question.targets.iter().filter(|target| target.kind == "Ingress");
    let answers = |service: &ObjectRef| scene.backends_ready(service).is_some_and(|ready| ready > 0);
    let asked = targets.any(|target| {
        let found = scene.facts.get::<Ingress>(&target.namespace, &target.name);
        found.is_some_and(|found| ingress::services(&found.object).iter().all(answers))
    });
    asked || scene.facts.listing("Ingress", "").is_some()
}

/// The fewest answers that show what a count of errors counts.
const TELLING: usize = 5;

/// The answers that blame the clients, as the workloads' logs hold them: `404 ×9, 401 ×2`. Nothing where they are few.
#[must_use]
pub fn clients_at_fault(scene: &Scene<'_>, scope: &Scope) -> Option<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for pod in scope.pods(scene) {
        for (_, text) in reach::present_logs(scene, &pod.object) {
            for status in text.lines().filter(|line| !logs::instructs(line)).filter_map(logs::refused_status) {
                *counts.entry(status).or_default() += 1;
            }
        }
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let told: Vec<String> = counts.iter().map(|(status, count)| format!("{status} ×{count}")).collect();
    (counts.iter().map(|(_, count)| count).sum::<usize>() >= TELLING).then(|| told.join(", "))
}

/// What calm logs rule out; nothing where none was read or one holds an error.
#[must_use]
pub fn no_error(scene: &Scene<'_>, scope: &Scope) -> Option<RuledOut> {
    let read = scope.pods(scene).any(|pod| !reach::present_logs(scene, &pod.object).is_empty());
    (read && complaint::of(scene, scope).is_none()).then(|| RuledOut {
        hypothesis: scene.text("应用自身报错", "errors of the application"),
        because: match before(scene, scope) {
            Some((true, said)) => scene.text(
                format!("重启之前的日志有报错（{said}），此后的日志中没有错误"),
                format!("the run before the last restart tells of an error ({said}); the logs hold none since"),
            ),
            Some((false, said)) => scene.text(
                format!("此前有过报错（{said}），近期的日志中没有错误"),
                format!("there was an error before ({said}); the logs hold none lately"),
            ),
            None => match scans(scene, scope) {
                0 => scene.text("已读取的日志中没有错误", "the logs that were read hold no error"),
                scans => scene.text(
                    format!("已读取的日志中没有应用自身的错误；{scans} 行是扫描器在找不存在的文件，已被拒绝"),
                    format!("the logs that were read hold no error of its own: {scans} lines are of scanners that were turned away"),
                ),
            },
        },
    })
}

/// How many lines tell of scanners that were turned away.
fn scans(scene: &Scene<'_>, scope: &Scope) -> usize {
    let logs = scope.pods(scene).flat_map(|pod| reach::present_logs(scene, &pod.object));
    logs.map(|(_, text)| text.lines().filter(|line| scan::is_turned_away(line)).count()).sum()
}

/// What the logs tell of a time that is over, and whether that is the run before a restart.
#[must_use]
pub fn before(scene: &Scene<'_>, scope: &Scope) -> Option<(bool, String)> {
    scope.pods(scene).find_map(|pod| {
        let name = named(&pod.object);
        let logs = scene.facts.logs_of(&name.namespace, &name.name);
        let told = logs.filter_map(|log| Some((log.previous, logs::culprit(log.lines.as_deref().ok()?)?)));
        let (previous, line) = told.max_by_key(|(previous, _)| *previous)?;
        Some((previous, logs::said(line)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, pod};

    fn because(before: &str) -> String {
        let world = World::asking("Deployment", "web").with(deployment(1, 1)).with(pod(json!({})));
        let diagnosis = world.log_before("web-1-a", before).log("web-1-a", "INFO serving\n").diagnosis();
        let told = diagnosis.ruled_out.into_iter().find(|it| it.hypothesis == "errors of the application");
        told.map(|it| it.because).unwrap_or_default()
    }

    #[test]
    fn an_error_of_the_run_before_is_not_denied() {
        let told = because("INFO starting\nFATAL db: no route to host");
        assert!(told.contains("before the last restart") && told.contains("db: no route to host"), "{told}");
        assert_eq!(because("INFO starting\nINFO stopping"), "the logs that were read hold no error");
    }
}
