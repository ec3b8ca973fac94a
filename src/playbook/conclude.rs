//! From ranked findings to a diagnosis: verdict, headline, causes and everything a card shows around them.

use std::collections::BTreeSet;

use crate::alert::ObjectRef;
use crate::playbook::alerts;
use crate::playbook::analyzer::unready;
use crate::playbook::consequence;
use crate::playbook::describe;
use crate::playbook::drift;
use crate::playbook::finding::{Depth, Finding};
use crate::playbook::health;
use crate::playbook::impact;
use crate::playbook::lately;
use crate::playbook::latent;
use crate::playbook::onward;
use crate::playbook::origin;
use crate::playbook::rank::Ranked;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::{Relevance, Scope};
use crate::playbook::tie;
use crate::playbook::unfollowed;
use crate::playbook::unread;
use crate::playbook::way_in;
use crate::report::{Cause, Confidence, Diagnosis, Effect, Primary, Related, Verdict};

/// How many causes, related objects and steps a report lists: more is not read at night.
const CAUSES: usize = 3;
const RELATED: usize = 6;
const STEPS: usize = 6;

/// Builds the diagnosis; what is not relevant to the question stays out of it.
#[must_use]
pub fn conclude(scene: &Scene<'_>, scope: &Scope, ranked: &[Ranked]) -> Diagnosis {
    let asked: Vec<&Finding> =
        ranked.iter().filter(|entry| entry.relevance >= Relevance::Touching).map(|entry| &entry.finding).collect();
    let asked = without_echoes(scene, &asked);
    let nearby: Vec<&Finding> =
        ranked.iter().filter(|entry| entry.relevance == Relevance::Neighbour).map(|entry| &entry.finding).collect();
    match asked.split_first() {
        Some((top, rest)) => fault(scene, scope, top, rest, &nearby),
        None => {
            let mut on_the_way = way_in::findings(scene, ranked);
            if on_the_way.is_empty() {
                on_the_way = tie::findings(scene, scope, ranked);
            }
            match on_the_way.iter().collect::<Vec<_>>().split_first() {
                Some((top, rest)) => fault(scene, scope, top, rest, &[]),
                None => health::without_findings(scene, scope, &nearby),
            }
        }
    }
}

/// Drops "the Pod is not Ready" where another finding already says why.
fn without_echoes<'f>(scene: &Scene<'_>, asked: &[&'f Finding]) -> Vec<&'f Finding> {
    let told =
        |echo: &Finding| asked.iter().any(|finding| finding.code != unready::ECHO && same_story(scene, echo, finding));
    asked.iter().copied().filter(|finding| finding.code != unready::ECHO || !told(finding)).collect()
}

fn fault(scene: &Scene<'_>, scope: &Scope, top: &Finding, rest: &[&Finding], nearby: &[&Finding]) -> Diagnosis {
    // What repeats the alert, and what is a guess, decides nothing.
    let decided = top.depth > Depth::Symptom && top.confidence > Confidence::Low;
    let verdict = if decided { Verdict::Fault } else { Verdict::Inconclusive };
    let (causes, explained): (Vec<&Finding>, Vec<&Finding>) = rest.iter().copied().partition(|finding| {
        finding.depth >= Depth::Mechanism
            && finding.blame != top.blame
            && !same_story(scene, top, finding)
            && !consequence::follows_from(scene, finding, top)
    });
    let (causes, explained) = without_states(scene, causes, explained);
    let open = may_mean_another(scene, scope, &causes);
    let listed: Vec<&Finding> = std::iter::once(top).chain(causes.into_iter().take(CAUSES - 1)).collect();
    let mut diagnosis = Diagnosis {
        verdict,
        headline: top.headline.clone(),
        causes: listed.iter().map(|finding| cause(finding)).collect(),
        primary: primary(scene, scope, &listed, &explained),
        related: Vec::new(),
        impact: impact::of(scene, scope, top),
        steps: top.steps.clone(),
        ruled_out: top.ruled_out.clone(),
        unresolved: top.unresolved.clone(),
        data_gaps: top.gaps.iter().cloned().chain(unread::credentials(scene, top)).collect(),
    };
    diagnosis.related = related(scene, &diagnosis.primary.resource, top, &explained, nearby);
    for finding in listed.iter().skip(1) {
        let next: Vec<_> =
            finding.steps.iter().filter(|step| !diagnosis.steps.contains(step)).take(2).cloned().collect();
        diagnosis.steps.extend(next);
    }
    for finding in listed.iter().skip(1).chain(&explained) {
        diagnosis.unresolved.extend(finding.unresolved.iter().cloned());
    }
    let before = diagnosis.unresolved.iter().position(|told| !top.unresolved.contains(told));
    let at = before.unwrap_or(diagnosis.unresolved.len());
    diagnosis.unresolved.splice(at..at, latent::next(scene, top));
    if let Some(place) = unfollowed::open(scene, top) {
        diagnosis.data_gaps.extend(place.gap);
        diagnosis.unresolved.insert(0, place.question);
        diagnosis.steps.insert(diagnosis.steps.len().min(1), place.step);
    }
    diagnosis.steps.truncate(STEPS);
    // Whatever a second cause wants looked at comes before anything is changed for the first.
    diagnosis.steps.sort_by_key(|step| step.effect == Effect::Changes);
    diagnosis.ruled_out.extend(health::ruled_out(scene, scope, top));
    if open {
        for cause in &mut diagnosis.causes {
            cause.confidence = cause.confidence.min(Confidence::Medium);
        }
        diagnosis.unresolved.insert(0, scene.text(
            "告警只指明了 Namespace，其中不止一处异常：它指的是哪一处？",
            "The alert names a Namespace alone, and more than one thing is wrong there: which of them does it mean?",
        ));
    }
    diagnosis.unresolved.dedup();
    diagnosis
}

/// Takes from the causes what only tells the state of a workload whose own Pods were explained: that it has too few of them,
/// or that its rollout does not get on.
fn without_states<'f>(
    scene: &Scene<'_>,
    causes: Vec<&'f Finding>,
    mut explained: Vec<&'f Finding>,
) -> (Vec<&'f Finding>, Vec<&'f Finding>) {
    let of_pods: BTreeSet<ObjectRef> =
        explained.iter().filter(|it| it.about.kind == "Pod").map(|it| workload_of(scene, &it.about)).collect();
    let is_state = |it: &&Finding| it.about == it.blame && it.about.kind == "Deployment" && of_pods.contains(&it.about);
    let (states, causes): (Vec<&Finding>, Vec<&Finding>) = causes.into_iter().partition(is_state);
    explained.extend(states);
    (causes, explained)
}

/// Whether an alert that names no object of a Namespace may mean another of the faults in it: each is sure, and not that it
/// is the one.
fn may_mean_another(scene: &Scene<'_>, scope: &Scope, others: &[&Finding]) -> bool {
    let says_what = scene.question.alert_names.iter().any(|name| !alerts::asks(name).is_empty());
    scope.is_wide() && !says_what && others.iter().any(|other| other.confidence == Confidence::High)
}

/// Whether two findings tell one story: they show at the same workload, so that the deeper explains the other.
fn same_story(scene: &Scene<'_>, top: &Finding, other: &Finding) -> bool {
    let own = |object: &ObjectRef| workload_of(scene, object);
    let objects = |finding: &Finding| -> BTreeSet<ObjectRef> {
        [&finding.about, &finding.blame].into_iter().chain(&finding.touches).map(own).collect()
    };
    !objects(top).is_disjoint(&objects(other))
}

fn cause(finding: &Finding) -> Cause {
    Cause {
        summary: finding.summary.clone(),
        code: Some(finding.code.to_owned()),
        resource: finding.blame.clone(),
        confidence: finding.confidence,
        evidence: finding.evidence.clone(),
    }
}

/// The object the alert names first, or the one the first cause shows at.
fn primary(scene: &Scene<'_>, scope: &Scope, listed: &[&Finding], explained: &[&Finding]) -> Primary {
    let shown = listed.first().map(|finding| finding.about.clone()).unwrap_or_default();
    let resource = scene.question.targets.first().cloned().unwrap_or(shown);
    let mut findings: Vec<String> = describe::state(scene, &resource).into_iter().collect();
    if scene.facts.is_missing(&resource) {
        findings.push(if onward::existed(scene, &resource) {
            scene.text(
                format!("{resource} 已不存在（not found），以下是与它相关的现有对象"),
                format!("{resource} does not exist any more (not found); this is about what there is now"),
            )
        } else {
            scene.text(
                format!("没有名为 {resource} 的对象（not found），也看不出曾经有过：标签里的可能只是采集任务的名字；以下是同名的现有对象"),
                format!("there is no {resource} (not found), and nothing shows that there ever was: the label may be the name of a scrape job; this is about what bears that name"),
            )
        });
    }
    let at_target = |finding: &&&Finding| scope.has(&finding.about) || scope.has(&finding.blame);
    findings.extend(listed.iter().chain(explained).filter(at_target).map(|finding| finding.summary.clone()));
    findings.truncate(6);
    Primary { resource, findings }
}

/// Objects beside the primary one; what shows at the primary one is said there.
fn related(
    scene: &Scene<'_>,
    primary: &ObjectRef,
    top: &Finding,
    explained: &[&Finding],
    nearby: &[&Finding],
) -> Vec<Related> {
    let mut related = top.related.clone();
    related.extend(origin::leads(scene, top));
    related.extend(lately::leads(scene, &released(scene, top)));
    let edited = drift::lead(scene, &top.blame);
    related.extend(
        edited
            .filter(|lead| !related.iter().any(|known| known.resource == lead.resource))
            .into_iter()
            .collect::<Vec<_>>(),
    );
    let follows = scene.text("与根本原因属于同一故障", "part of the same fault");
    let beside = scene.text(
        "同一 Namespace 中的其他异常，与本告警无直接关联",
        "another fault in the namespace, not tied to this alert",
    );
    // What shows at the first cause itself is no other fault.
    let near = nearby.iter().map(|finding| (finding, if same_story(scene, top, finding) { &follows } else { &beside }));
    let entries = explained.iter().map(|finding| (finding, &follows)).chain(near);
    for (finding, why) in entries.filter(|(finding, _)| finding.about != *primary) {
        let resource = finding.about.clone();
        match related.iter_mut().find(|known| known.resource == resource) {
            Some(known) if !known.findings.contains(&finding.summary) => known.findings.push(finding.summary.clone()),
            Some(_) => {}
            None => related.push(Related { resource, why: why.clone(), findings: vec![finding.summary.clone()] }),
        }
    }
    related.truncate(RELATED);
    related
}

/// The workload whose releases may have brought a fault: the one at which it shows, of an autoscaler the one it blames, of a
/// Service the one behind it.
fn released(scene: &Scene<'_>, top: &Finding) -> ObjectRef {
    let about = workload_of(scene, &top.about);
    match about.kind.as_str() {
        "HorizontalPodAutoscaler" => workload_of(scene, &top.blame),
        "Service" => {
            let service = scene.service(&about.namespace, &about.name);
            let behind = service.and_then(|service| scene.backends(&service.object).into_iter().next());
            behind.map_or(about, |pod| scene.workload(&pod.object))
        }
        _ => about,
    }
}

/// The workload of a Pod or a ReplicaSet; every other object stands for itself.
pub(super) fn workload_of(scene: &Scene<'_>, object: &ObjectRef) -> ObjectRef {
    match object.kind.as_str() {
        "Pod" => {
            let pod = scene.pod(object);
            pod.map_or_else(|| object.clone(), |pod| scene.workload(&pod.object))
        }
        "ReplicaSet" => {
            let set = scene.replica_sets.iter().find(|set| named(&set.object) == *object);
            set.and_then(|set| scene.owner(&set.object.metadata)).unwrap_or_else(|| object.clone())
        }
        _ => object.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, patched, pod, waiting};
    use crate::report::Confidence;

    fn two_faults(world: World) -> World {
        let other = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}});
        let missing = patched(waiting("CreateContainerConfigError", "configmap \"cart-env\" not found"), other);
        world.with(pod(crashed(137, "OOMKilled"))).with(pod(missing)).listed("ConfigMap")
    }

    #[test]
    fn an_alert_that_names_a_namespace_alone_may_mean_any_fault_in_it() {
        let wide = two_faults(World::asking("Namespace", "shop")).diagnosis();
        assert!(wide.causes.len() > 1 && wide.causes.iter().all(|cause| cause.confidence == Confidence::Medium));
        assert!(wide.unresolved[0].contains("more than one"), "{:?}", wide.unresolved);
        let exact = two_faults(World::asking("Pod", "web-1-a")).diagnosis();
        assert_eq!(exact.causes[0].confidence, Confidence::High);
    }

    #[test]
    fn the_one_fault_of_a_namespace_is_meant() {
        let alone = World::asking("Namespace", "shop").with(pod(crashed(137, "OOMKilled"))).diagnosis();
        assert_eq!(alone.causes[0].confidence, Confidence::High);
    }
}
