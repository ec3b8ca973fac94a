//! Ranking: causes before the symptoms they explain, what is asked before what merely lies nearby.

use crate::alert::ObjectRef;
use crate::playbook::alerts;
use crate::playbook::analyzer::Analyzer;
use crate::playbook::finding::{Depth, Finding};
use crate::playbook::pods;
use crate::playbook::scene::Scene;
use crate::playbook::scope::{Relevance, Scope};
use crate::report::Confidence;

/// The most citations a merged finding keeps.
const CITATIONS: usize = 6;

/// A finding with its place in the order.
#[derive(Debug, Clone)]
pub struct Ranked {
    /// The finding.
    pub finding: Finding,
    /// How close it is to what is asked.
    pub relevance: Relevance,
    weight: Weight,
}

/// Compared field by field, the greatest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Weight {
    asked: Relevance,
    depth: i32,
    serves_alert: bool,
    direct: bool,
    confidence: Confidence,
}

/// Merges what several Pods of one workload say alike, then orders: the first finding is the likeliest cause.
#[must_use]
pub fn rank(scene: &Scene<'_>, scope: &Scope, found: Vec<(&'static Analyzer, Finding)>) -> Vec<Ranked> {
    let mut ranked: Vec<Ranked> = Vec::new();
    let proven: Vec<(ObjectRef, i32)> = found
        .iter()
        .filter(|(_, finding)| is_proven(scene, finding))
        .map(|(_, finding)| (finding.about.clone(), depth(scope, finding)))
        .collect();
    // A Pod that never started, and is asked about, has a reason of its own.
    let unstarted = proven.iter().filter(|(about, _)| never_started(scene, about)).map(|(_, depth)| depth - 1).max();
    for (analyzer, finding) in found {
        let relevance = scope.relevance(&finding);
        let mut weight = weigh(scene, scope, analyzer, &finding, relevance);
        if rests_on_logs(scene, &finding) {
            let above = proven.iter().filter(|(about, _)| *about == finding.about).map(|(_, depth)| depth - 1);
            weight.depth = above.max().map_or(weight.depth, |highest| weight.depth.min(highest));
        }
        if let Some(highest) = unstarted.filter(|_| is_of_the_well(scene, &finding)) {
            weight.depth = weight.depth.min(highest);
        }
        let same = ranked.iter_mut().find(|known| {
            known.finding.code == finding.code && known.finding.blame == finding.blame && known.relevance == relevance
        });
        match same {
            Some(known) => merge(&mut known.finding, finding),
            None => ranked.push(Ranked { finding, relevance, weight }),
        }
    }
    ranked.sort_by_key(|entry| std::cmp::Reverse(entry.weight));
    ranked
}

/// Whether all that speaks for a finding are lines of logs, and the object it blames is not known to be missing.
#[must_use]
pub fn rests_on_logs(scene: &Scene<'_>, finding: &Finding) -> bool {
    let is_log = |reference: &String| scene.facts.logs().iter().any(|log| log.reference == *reference);
    !finding.evidence.is_empty()
        && finding.evidence.iter().all(|citation| is_log(&citation.reference))
        && !scene.facts.is_missing(&finding.blame)
}

/// Whether a Pod that the alert names has no container that ever ran.
fn never_started(scene: &Scene<'_>, about: &ObjectRef) -> bool {
    let pod = scene.pod(about).filter(|_| scene.question.targets.contains(about));
    pod.is_some_and(|pod| {
        pods::phase(&pod.object) == "Pending"
            && pods::containers(&pod.object).iter().all(|view| !view.running() && view.ended().is_none())
    })
}

/// Whether a finding rests on what the log of a Pod says that is Ready.
fn is_of_the_well(scene: &Scene<'_>, finding: &Finding) -> bool {
    let is_log = |reference: &String| scene.facts.logs().iter().any(|log| log.reference == *reference);
    let is_ready = scene.pod(&finding.about).is_some_and(|pod| pods::is_ready(&pod.object));
    is_ready && finding.evidence.first().is_some_and(|citation| is_log(&citation.reference))
}

/// Whether the API server's own objects say why something broke, without a line of a log: no log outranks that.
fn is_proven(scene: &Scene<'_>, finding: &Finding) -> bool {
    let from_log = |reference: &String| scene.facts.logs().iter().any(|log| log.reference == *reference);
    finding.confidence == Confidence::High
        && finding.depth >= Depth::Mechanism
        && !finding.evidence.is_empty()
        && !finding.evidence.iter().any(|citation| from_log(&citation.reference))
}

fn weigh(scene: &Scene<'_>, scope: &Scope, analyzer: &Analyzer, finding: &Finding, relevance: Relevance) -> Weight {
    Weight {
        asked: if relevance >= Relevance::Touching { Relevance::Touching } else { relevance },
        depth: depth(scope, finding),
        serves_alert: scene.question.alert_names.iter().any(|name| alerts::asks(name).contains(&analyzer.name)),
        direct: relevance == Relevance::Direct,
        confidence: finding.confidence,
    }
}

/// How far down the chain a finding stands, as a figure.
fn depth(scope: &Scope, finding: &Finding) -> i32 {
    // Confidence counts for half a level of depth; a mere hypothesis stands below any sure finding of its depth.
    let sureness = match finding.confidence {
        Confidence::High => 2,
        Confidence::Medium => 1,
        Confidence::Low => -2,
    };
    // What a target calls in vain explains the target's own errors, however deep these look; the further, the more.
    let behind = match scope.calls_away(finding) {
        0 => 0,
        calls => 3 + calls,
    };
    finding.depth as i32 * 2 + sureness + behind
}

fn merge(known: &mut Finding, other: Finding) {
    if other.about != known.about && !known.touches.contains(&other.about) {
        known.touches.push(other.about);
    }
    for object in other.touches {
        if !known.touches.contains(&object) {
            known.touches.push(object);
        }
    }
    for citation in other.evidence {
        if known.evidence.len() < CITATIONS && !known.evidence.contains(&citation) {
            known.evidence.push(citation);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, deployment, patched, pod, service};

    #[test]
    fn the_cause_comes_before_the_symptoms_it_explains() {
        let world = World::asking("Service", "web")
            .with(service(json!({"app": "web"})))
            .with(deployment(1, 0))
            .with(pod(crashed(137, "OOMKilled")));
        assert_eq!(world.codes()[0], "oom_killed_no_limit");
        assert!(world.codes().contains(&"service_backends_not_ready"));
        assert!(world.codes().contains(&"deployment_unavailable"));
    }

    #[test]
    fn what_ends_a_chain_of_failing_calls_comes_first() {
        let named = |name: &str| {
            let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-1"), "uid": "c", "controller": true}]);
            json!({"metadata": {"name": format!("{name}-1-a"), "labels": {"app": name}, "ownerReferences": owner}})
        };
        let port = |name: &str| patched(service(json!({"app": name})), json!({"metadata": {"name": name}}));
        let world = World::asking("Pod", "front-1-a")
            .with(pod(named("front")))
            .log("front-1-a", "ERROR GET http://cart/: connect: connection refused")
            .with(port("cart"))
            .with(pod(patched(crashed(1, "Error"), named("cart"))))
            .log("cart-1-a", "FATAL connect to http://stock/: connect: connection refused")
            .with(port("stock"))
            .with(pod(patched(crashed(137, "OOMKilled"), named("stock"))));
        assert_eq!(world.cause(), "oom_killed_no_limit Deployment/stock");
    }

    #[test]
    fn what_two_pods_say_alike_is_one_finding() {
        let second = patched(crashed(137, "OOMKilled"), json!({"metadata": {"name": "web-1-b"}}));
        let world = World::asking("Deployment", "web").with(pod(crashed(137, "OOMKilled"))).with(pod(second));
        assert_eq!(world.codes().iter().filter(|code| **code == "oom_killed_no_limit").count(), 1);
    }

    #[test]
    fn a_caller_that_crashes_for_its_dependency_is_explained_by_the_dependency() {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]);
        let caller = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": owner}});
        let world = World::asking("Pod", "cart-1-a")
            .with(pod(patched(crashed(1, "Error"), caller)))
            .log("cart-1-a", "FATAL GET http://web/rates: dial tcp 10.96.0.7:80: connect: connection refused")
            .with(service(json!({"app": "web"})))
            .with(pod(crashed(137, "OOMKilled")));
        assert_eq!(world.cause(), "oom_killed_no_limit Deployment/web");
        assert!(world.codes().contains(&"crashloop_app_error"));
    }

    #[test]
    fn a_log_of_a_pod_that_is_well_does_not_explain_one_that_never_started() {
        use crate::playbook::world::waiting;
        let stuck = |phase: serde_json::Value| {
            World::asking("Pod", "web-1-b")
                .with(pod(json!({})))
                .with(pod(patched(phase, json!({"metadata": {"name": "web-1-b"}}))))
                .event(
                    "Pod",
                    "web-1-b",
                    "FailedAttachVolume",
                    "Multi-Attach error for volume \"v1\" Volume is already used by pod(s) web-1-a",
                )
                .log("web-1-a", &"ERROR sync failed: GET http://stock/: lookup stock: no such host\n".repeat(4))
                .listed("Service")
        };
        let creating = stuck(waiting("ContainerCreating", "")).diagnosis();
        assert_eq!(creating.causes[0].code.as_deref(), Some("volume_multi_attach"), "{}", creating.headline);
        let started = stuck(crashed(1, "Error")).diagnosis();
        assert_eq!(started.causes[0].code.as_deref(), Some("dependency_service_missing"), "{}", started.headline);
    }
}
