//! Consequences: what fails over a call to where another finding shows is explained by that one.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::callees;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding};
use crate::playbook::pods;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope;
use crate::report::Confidence;

/// Whether the line that a finding rests on tells of a call to what another one, which is no guess, is about. What was
/// reasoned out about a call, its port or its name, is a cause of its own.
pub(super) fn follows_from(scene: &Scene<'_>, other: &Finding, top: &Finding) -> bool {
    let may = top.confidence > Confidence::Low && other.depth < Depth::Root;
    let Some(pod) = scene.pod(&other.about).filter(|_| may) else { return false };
    let mut calls = reach::failing_calls(scene, &pod.object);
    calls.retain(|call| rests_on(scene, other, call) || drained(scene, pod, other, top, call));
    calls.extend(awaited(scene, pod, other));
    calls.iter().any(|call| {
        let reached = beyond(scene, pod, call);
        let waiting = |object| {
            scene.pods.iter().any(|behind| reached.contains(&named(&behind.object)) && lies_on(behind, object))
        };
        [&top.about, &top.blame]
            .into_iter()
            .chain(&top.touches)
            .any(|object| reached.contains(object) || waiting(object))
    })
}

/// Whether a pool of connections is used up over the very calls that fail: to the place it is for, or to whatever has a name
/// while the cluster's DNS is away.
fn drained(scene: &Scene<'_>, pod: &Seen<Pod>, other: &Finding, top: &Finding, call: &Call<'_>) -> bool {
    if other.code != "connection_pool_exhausted" {
        return false;
    }
    let line = other.evidence.first().map_or("", |citation| citation.quote.as_str());
    let fitting = callees::fitting(scene.facts, &pod.object, line);
    (reach::is_dns(&top.about) && reach::resolver_is_silent(call))
        || call.hosts.iter().any(|host| fitting.contains(host))
}

/// The call that an init container waits for in words of its own: `db.data:5432 - no response`.
fn awaited<'a>(scene: &Scene<'a>, pod: &Seen<Pod>, other: &'a Finding) -> Option<Call<'a>> {
    let citation = other.evidence.first().filter(|_| other.code == "init_container_hangs")?;
    let log = scene.facts.logs().iter().find(|log| log.reference == citation.reference)?;
    let hosts = reach::hosts(&citation.quote);
    let call = Call { line: &citation.quote, log, failure: Failure::Awaited, hosts };
    reach::service_of(scene, &pod.object, &call).is_some().then_some(call)
}

/// What a failing call leads to, and what that calls in vain itself.
fn beyond(scene: &Scene<'_>, caller: &Seen<Pod>, call: &Call<'_>) -> BTreeSet<ObjectRef> {
    let mut reached = scope::of_call(scene, &caller.object, call);
    let mut callers: Vec<ObjectRef> = reached.iter().cloned().collect();
    for _ in 1..scope::CALLS {
        let found = callers.iter().flat_map(|caller| scope::called_by(scene, caller)).collect::<BTreeSet<_>>();
        callers = found.into_iter().filter(|object| reached.insert(object.clone())).collect();
    }
    reached
}

/// Whether a Pod that is not Ready runs on a Node, or uses a claim.
fn lies_on(pod: &Seen<Pod>, object: &ObjectRef) -> bool {
    let name = object.name.as_str();
    !pods::is_ready(&pod.object)
        && match object.kind.as_str() {
            "Node" => pods::node_name(&pod.object) == Some(name),
            "PersistentVolumeClaim" => {
                named(&pod.object).namespace == object.namespace
                    && pods::claims(&pod.object).iter().any(|it| it == name)
            }
            _ => false,
        }
}

/// Whether the first line of a log that a finding quotes is that of a call, or of another try of it.
fn rests_on(scene: &Scene<'_>, finding: &Finding, call: &Call<'_>) -> bool {
    let is_log = |reference: &str| scene.facts.logs().iter().any(|log| log.reference == reference);
    let hosts = |quote: &str| Some(reach::hosts(quote)).filter(|hosts| !hosts.is_empty());
    finding.evidence.iter().find(|citation| is_log(&citation.reference)).is_some_and(|citation| {
        let line = citation.quote.as_str();
        !line.is_empty()
            && (call.line.contains(line)
                || (reach::tells_of_failure(line) && hosts(line).is_some_and(|hosts| hosts == call.hosts)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, patched, pod, service};

    const REFUSED: &str = "2026-11-23T02:38:08Z ERROR db: dial tcp db:80: connect: connection refused";

    fn calling(line: &str) -> Vec<String> {
        let behind = json!({"metadata": {"name": "db-1-a", "labels": {"app": "db"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "db-1", "uid": "c", "controller": true}]}});
        let world = World::asking("Pod", "web-1-a")
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", line)
            .with(patched(service(json!({"app": "db"})), json!({"metadata": {"name": "db"}})))
            .with(pod(patched(crashed(137, "OOMKilled"), behind)));
        world.diagnosis().causes.into_iter().filter_map(|cause| cause.code).collect()
    }

    #[test]
    fn a_crash_over_a_call_to_what_is_broken_is_no_second_cause() {
        assert_eq!(calling(REFUSED), ["oom_killed_no_limit"]);
    }

    #[test]
    fn a_call_to_a_port_that_is_not_there_is_a_cause_of_its_own() {
        let wrong = calling(&REFUSED.replace(":80", ":5432"));
        assert_eq!(wrong, ["oom_killed_no_limit", "dependency_wrong_port"]);
    }

    #[test]
    fn a_crash_over_something_else_stays_one() {
        let own = calling(&format!("{REFUSED}\n{}FATAL config: TOKEN is not set", "INFO serving\n".repeat(12)));
        assert!(own.iter().any(|code| code == "crashloop_app_config_error"), "{own:?}");
    }
}
