//! News: what a later report tells that an earlier one did not, by one rule for every channel.

use super::{Cause, Report};
use crate::alert::ObjectRef;

/// What is new in a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Another verdict, another culprit or another reason leads.
    Another,
    /// The same reason, and surer.
    Surer,
    /// A further culprit, with evidence, behind the one that was known.
    Further(ObjectRef),
}

/// What a later report tells people that an earlier one did not; none when nothing.
#[must_use]
pub fn news(later: &Report, earlier: &Report) -> Option<News> {
    if later.verdict != earlier.verdict {
        return Some(News::Another);
    }
    let (Some(now), Some(before)) = (later.causes.first(), earlier.causes.first()) else {
        return (!later.causes.is_empty()).then_some(News::Another);
    };
    let known = |cause: &Cause| earlier.causes.iter().any(|known| same_thing(&known.resource, &cause.resource));
    let further = || later.causes.iter().find(|cause| !cause.evidence.is_empty() && !known(cause));
    if !same_thing(&now.resource, &before.resource) || is_another_reason(now, before) {
        return Some(News::Another);
    }
    if now.confidence > before.confidence {
        return Some(News::Surer);
    }
    further().map(|cause| News::Further(cause.resource.clone()))
}

/// Whether two causes are known to be different reasons; one without a code may be the other in other words.
fn is_another_reason(now: &Cause, before: &Cause) -> bool {
    now.code.is_some() && before.code.is_some() && now.code != before.code
}

/// Whether two objects are the same or one was made by the other, as a Deployment's Pods are.
#[must_use]
pub fn same_thing(a: &ObjectRef, b: &ObjectRef) -> bool {
    a.namespace == b.namespace && ((a.kind == b.kind && a.name == b.name) || made_by(a, b) || made_by(b, a))
}

/// Whether an object bears the name that a controller gives to what it makes: its own, and so many parts made up. A model
/// may mean the workload of a name by another kind of it.
fn made_by(child: &ObjectRef, parent: &ObjectRef) -> bool {
    let parts = match (parent.kind.as_str(), child.kind.as_str()) {
        ("Deployment", "ReplicaSet") | ("CronJob", "Job") => 1..=1,
        ("Deployment" | "CronJob", "Pod") => 2..=2,
        // An indexed Job puts the index before the rest.
        ("StatefulSet" | "DaemonSet" | "ReplicaSet", "Pod") => 1..=1,
        ("Job", "Pod") => 1..=2,
        (parent, child) if is_workload(parent) && is_workload(child) => 0..=0,
        _ => return false,
    };
    let Some(rest) = child.name.strip_prefix(&parent.name) else { return false };
    let made_up: Vec<&str> = rest.split('-').skip(1).collect();
    (rest.is_empty() || rest.starts_with('-'))
        && parts.contains(&made_up.len())
        && !made_up.iter().any(|it| is_word(it))
}

fn is_workload(kind: &str) -> bool {
    matches!(kind, "Pod" | "ReplicaSet" | "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob")
}

/// Whether a part of a name was chosen by a person: what controllers make up has digits or no vowels.
fn is_word(part: &str) -> bool {
    let letters = part.chars().all(|char| char.is_ascii_alphabetic());
    part.is_empty() || (letters && part.len() > 2 && part.contains(['a', 'e', 'i', 'o', 'u']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Citation, Confidence, Disagreement, Verdict};

    fn cause(name: &str, code: &str, confidence: Confidence) -> Cause {
        let evidence = vec![Citation { reference: "E1".into(), quote: "text".into() }];
        let resource = ObjectRef::new("Deployment", "a", name);
        Cause { resource, code: Some(code.into()), confidence, evidence, ..Cause::default() }
    }

    fn report(causes: &[Cause]) -> Report {
        Report { verdict: Verdict::Fault, causes: causes.to_vec(), ..Report::default() }
    }

    #[test]
    fn what_leads_what_is_surer_and_who_else_is_suspected_is_news() {
        let web = || cause("web", "oom_killed", Confidence::Medium);
        let before = report(&[web()]);
        let told = |causes: &[Cause]| news(&report(causes), &before);
        assert_eq!(told(&[web()]), None);
        assert_eq!(told(&[cause("web", "bad_command", Confidence::Medium)]), Some(News::Another));
        assert_eq!(told(&[cause("db", "oom_killed", Confidence::Medium), web()]), Some(News::Another));
        assert_eq!(told(&[cause("web", "oom_killed", Confidence::High)]), Some(News::Surer));
        let db = cause("db", "oom_killed", Confidence::Low);
        assert_eq!(told(&[web(), db.clone()]), Some(News::Further(db.resource)));
        assert_eq!(news(&Report::default(), &before), Some(News::Another));
        let hypothesis = Cause { evidence: Vec::new(), ..cause("db", "oom_killed", Confidence::Low) };
        assert_eq!(told(&[web(), hypothesis]), None, "a thought is no news");
        let doubted = Report { disagreement: Some(Disagreement::default()), ..report(&[web()]) };
        assert_eq!(news(&doubted, &before), None, "that a model thinks otherwise, without evidence, neither");
    }

    #[test]
    fn a_name_that_begins_like_another_is_another_objects() {
        let same = |a: (&str, &str), b: (&str, &str)| {
            same_thing(&ObjectRef::new(a.0, "a", a.1), &ObjectRef::new(b.0, "a", b.1))
        };
        let web = ("Deployment", "web");
        assert!(same(web, ("ReplicaSet", "web-5d4b9c")) && same(("Pod", "web-5d4b9c-x2x1z"), web));
        assert!(same(("StatefulSet", "db"), ("Pod", "db-0")) && same(("CronJob", "etl"), ("Job", "etl-29929070")));
        assert!(same(("Job", "etl"), ("Pod", "etl-0-x2x1z")) && same(web, ("StatefulSet", "web")), "a kind mistaken");
        assert!(!same(web, ("Deployment", "web-worker")) && !same(web, ("Pod", "web-worker-x2x1z")));
        assert!(
            !same(web, ("Pod", "web-worker-5d4b9c-x2x1z")) && !same(("StatefulSet", "db"), ("Pod", "db-replica-0"))
        );
    }
}
