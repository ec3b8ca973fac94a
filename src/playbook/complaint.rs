//! Complaints: what the logs in question say of the present that no analyzer made a cause of. They prove nothing, but whoever
//! reads a report that found nothing has to see them, and over them nobody is told that all is well.

use crate::alert::ObjectRef;
use crate::playbook::hearing;
use crate::playbook::line;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;
use crate::playbook::tries;

/// How often a log warns of the same before it is no single hiccup.
const OFTEN: usize = 3;

/// What a log complains of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint<'a> {
    /// The Pod that says so.
    pub pod: ObjectRef,
    /// The line that says why.
    pub line: &'a str,
    /// How many lines complain.
    pub count: usize,
}

impl Complaint<'_> {
    /// The complaint as half a sentence: the line, and how many there are.
    #[must_use]
    pub fn told(&self, scene: &Scene<'_>) -> String {
        let said = logs::said(self.line);
        match self.count {
            0 | 1 => said,
            count => scene.text(format!("{said}（共 {count} 行报错）"), format!("{said} ({count} such lines)")),
        }
    }
}

/// What the logs of the Pods in question complain of lately, that log first which complains most: errors, and warnings that
/// carry an error again and again. A try that others follow is none.
#[must_use]
pub fn of<'a>(scene: &Scene<'a>, scope: &Scope) -> Option<Complaint<'a>> {
    let told = scope.pods(scene).flat_map(|pod| {
        let name = named(&pod.object);
        let logs = reach::present_logs(scene, &pod.object).into_iter();
        logs.filter_map(move |(_, text)| in_log(text).map(|(line, count)| Complaint { pod: name.clone(), line, count }))
    });
    // Of equals the first, so that the order of reading decides nothing.
    told.reduce(|most, next| if next.count > most.count { next } else { most })
}

/// The line of a log that complains, and how many do.
fn in_log(text: &str) -> Option<(&str, usize)> {
    let lasting: Vec<&str> = text
        .lines()
        .filter(|line| !tries::is_one_of_several_tries(line) && !logs::instructs(line) && !line.trim().is_empty())
        .collect();
    let errors = lasting.iter().filter(|line| logs::is_error(line)).count();
    if errors > 0 {
        let line = logs::culprit(text).filter(|line| !tries::is_one_of_several_tries(line));
        let line = line.or_else(|| lasting.iter().rev().copied().find(|line| logs::is_error(line)))?;
        return Some((line, errors));
    }
    let warned: Vec<&str> = lasting.into_iter().filter(|line| warns_of_an_error(line)).collect();
    Some((*warned.last()?, warned.len())).filter(|(_, count)| *count >= OFTEN)
}

/// Whether a line is a warning with an error in it: what the process goes on after may still be what an alert counts.
#[must_use]
pub fn warns_of_an_error(line: &str) -> bool {
    static EXCEPTION: Pattern = Pattern::new(r"\b(?:[A-Z]\w*(?:::|\.))*[A-Z]\w*(?:Error|Exception): \S");
    logs::is_warning(line) && (line::carries_error(line) || EXCEPTION.hits(line))
}

/// The headline of a report that blames nothing, with the line of a log that complains, or did so before.
#[must_use]
pub fn undecided(scene: &Scene<'_>, scope: &Scope, resource: &ObjectRef, best: &ObjectRef) -> String {
    if let Some(complaint) = of(scene, scope) {
        return lately(scene, best, &complaint);
    }
    let before = hearing::before(scene, scope).map(|(_, said)| said);
    let before_zh = before.as_ref().map(|said| format!("；更早的日志中有报错：{said}")).unwrap_or_default();
    let before_en = before.map(|said| format!("; its log told of an error before: {said}")).unwrap_or_default();
    scene.text(
        format!("现有数据无法判定原因：已读取的对象中没有发现与 {resource} 有关的故障{before_zh}"),
        format!("Undecided: nothing that could be read of {resource} shows a fault{before_en}"),
    )
}

fn lately(scene: &Scene<'_>, best: &ObjectRef, complaint: &Complaint<'_>) -> String {
    let (pod, said) = (&complaint.pod.name, logs::said(complaint.line));
    match scene.replicas(best).filter(|(ready, wanted)| *wanted > 0 && ready >= wanted) {
        Some((ready, wanted)) => scene.text(
            format!("现有数据无法判定原因：{best} 的副本都就绪（{ready}/{wanted}），但 Pod {pod} 的日志近期在报错：{said}"),
            format!("Undecided: {best} has all its replicas ready ({ready} of {wanted}), but the log of Pod {pod} tells of errors lately: {said}"),
        ),
        None => scene.text(
            format!("现有数据无法判定原因：{best} 没有发现故障，但 Pod {pod} 的日志近期在报错：{said}"),
            format!("Undecided: no fault shows at {best}, but the log of Pod {pod} tells of errors lately: {said}"),
        ),
    }
}

/// The complaint among what is known of an object, with the number of lines.
#[must_use]
pub fn finding(scene: &Scene<'_>, complaint: &Complaint<'_>) -> String {
    let (pod, told) = (&complaint.pod, complaint.told(scene));
    scene.text(
        format!("{pod} 的日志近期在报错，是线索而非证据：{told}"),
        format!("the log of {pod} tells of errors lately, a lead and no proof: {told}"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, pod};
    use crate::report::Verdict;

    fn asked(alert: &str, log: &str) -> World {
        World::asking("Deployment", "web").alert(alert).with(deployment(1, 1)).with(pod(json!({}))).log("web-1-a", log)
    }

    #[test]
    fn an_alert_that_names_no_state_is_not_answered_over_a_log_that_complains() {
        let complaining = asked("BuildsWaitTooLong", "INFO depth=9\nERROR scm status: 403 rate limit\n").diagnosis();
        assert_eq!(complaining.verdict, Verdict::Inconclusive);
        assert!(complaining.headline.contains("scm status: 403 rate limit"), "{}", complaining.headline);
        assert!(complaining.causes.is_empty());
        assert_eq!(asked("BuildsWaitTooLong", "INFO depth=0\n").diagnosis().verdict, Verdict::NoFault);
        let of_state = asked("KubePodNotReady", "INFO depth=9\nERROR scm status: 403 rate limit\n").diagnosis();
        assert_eq!(of_state.verdict, Verdict::NoFault, "the Pod is Ready, which answers it");
    }

    #[test]
    fn warnings_that_carry_an_error_again_and_again_are_no_calm_log() {
        let warned = |times: usize| {
            let line = "{\"level\":\"WARN\",\"msg\":\"token rejected\",\"err\":\"token used before issued\"}\n";
            asked("HighErrorRate", &line.repeat(times)).listed("Ingress").diagnosis()
        };
        let often = warned(5);
        assert_eq!(often.verdict, Verdict::Inconclusive);
        assert!(often.headline.contains("token used before issued"), "{}", often.headline);
        assert!(often.primary.findings.iter().any(|it| it.contains("5 such lines")), "{:?}", often.primary.findings);
        assert!(!often.ruled_out.iter().any(|it| it.because.contains("hold no error")), "{:?}", often.ruled_out);
        assert_eq!(warned(1).verdict, Verdict::NoFault, "once is a hiccup");
    }

    #[test]
    fn a_warning_without_an_error_is_no_complaint() {
        let calm = "{\"level\":\"WARN\",\"msg\":\"slow query\",\"err\":null,\"reason\":\"cold\"}\nWARN cache miss error=<nil>\n";
        assert_eq!(asked("HighErrorRate", &calm.repeat(6)).listed("Ingress").diagnosis().verdict, Verdict::NoFault);
    }
}
