//! The next ring: where an alert counts what no object shows and nothing was found at what it names, a few reads more before
//! that is said: the ingress controller's log, and the Pods beside it, those first that its own logs speak of.

use serde_json::Value;

use super::follow;
use super::rows::{self, cell};
use super::seen::Seen;
use super::want::Want;
use crate::alert::{Lang, ObjectRef, stem};
use crate::playbook::alerts::{self, Answer};
use crate::playbook::{self, Question, logs, tie};
use crate::report::Verdict;
use crate::toolbox::table::Row;

/// Pods read beside what is asked about.
const BESIDE: usize = 2;
/// Pods of the ingress controller read.
const CONTROLLERS: usize = 2;
/// Logs read of one Pod.
const LOGS: usize = 2;
/// Reads that what was found in the ring may ask for.
pub const FOLLOWED: usize = 10;
/// Pods of the usual ingress controllers, by the label their charts give them.
const LABELS: &str =
    "app.kubernetes.io/name in (ingress-nginx,nginx-ingress,traefik,haproxy-ingress,kubernetes-ingress,kong,contour)";

/// Whether it is worth looking further: no alert is answered by objects, something in a namespace is named, and what was read
/// blames nothing. Errors that are counted where requests come in are looked for there in any case.
#[must_use]
pub fn is_worth_it(seen: &Seen, question: &Question) -> bool {
    let counts = |name: &String| !alerts::names_a_state(name) && !matches!(alerts::answer(name), Answer::Nothing(_));
    let names = &question.alert_names;
    let named = seen.targets.iter().any(|target| !target.namespace.is_empty());
    if names.is_empty() || !names.iter().all(counts) || !named {
        return false;
    }
    let question = Question { targets: seen.targets.clone(), ..question.clone() };
    let diagnosis = playbook::examine(&seen.facts, &question, Lang::En).diagnosis;
    let open = diagnosis.verdict == Verdict::Inconclusive || counts_errors_at_entrance(seen, &question);
    diagnosis.causes.is_empty() && open
}

/// Whether errors are counted that the ingress controller may have given: an Ingress of the namespace was read.
fn counts_errors_at_entrance(seen: &Seen, question: &Question) -> bool {
    let errors = question.alert_names.iter().any(|name| alerts::answer(name) == Answer::Errors);
    let of_target = |name: &ObjectRef| seen.targets.iter().any(|target| target.namespace == name.namespace);
    (errors || question.at_entrance) && seen.facts.raw_all("Ingress").any(|(name, ..)| of_target(name))
}

/// The lists that are wanted first.
#[must_use]
pub fn lists(seen: &Seen, question: &Question) -> Vec<Want> {
    let at_entrance = counts_errors_at_entrance(seen, question);
    at_entrance.then(|| Want::PodsLabelled { selector: LABELS.to_owned() }).into_iter().collect()
}

/// The Pods to read: of the controller where it was asked for, and those beside the targets.
#[must_use]
pub fn pods(seen: &Seen, question: &Question) -> Vec<ObjectRef> {
    let mut pods = Vec::new();
    if counts_errors_at_entrance(seen, question) {
        let serves = |row: &ObjectRef, _: &Row| playbook::analyzer::entrance::is_controller(&row.name);
        let running = |pod: &ObjectRef| seen.rows.get(pod).is_some_and(|cells| cell(cells, "STATUS") == "Running");
        let found = rows::matching(seen, "Pod", "", serves).into_iter().filter(running);
        pods.extend(found.take(CONTROLLERS));
    }
    pods.extend(beside(seen).into_iter().take(BESIDE));
    pods.retain(|pod| !seen.relevant.contains(pod));
    pods
}

/// Pods of the targets' namespaces that were not read: those the logs speak of, then those that are not well; one of each
/// workload.
fn beside(seen: &Seen) -> Vec<ObjectRef> {
    let mut found: Vec<ObjectRef> = Vec::new();
    let mut namespaces: Vec<&str> = seen.targets.iter().map(|target| target.namespace.as_str()).collect();
    namespaces.retain(|namespace| !namespace.is_empty());
    namespaces.dedup();
    for namespace in namespaces {
        let others = rows::matching(seen, "Pod", namespace, |row, _| !seen.relevant.contains(row));
        let unwell = |pod: &ObjectRef| seen.rows.get(pod).is_some_and(|cells| !rows::is_well_pod(cells));
        let (spoken, rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|pod| is_spoken_of(seen, pod));
        let worth = spoken.into_iter().chain(rest.into_iter().filter(unwell));
        for pod in worth {
            if !found.iter().any(|known| stem(&known.name) == stem(&pod.name)) {
                found.push(pod);
            }
        }
    }
    found
}

/// Whether a log of what was read speaks of a Pod's workload as missed.
fn is_spoken_of(seen: &Seen, pod: &ObjectRef) -> bool {
    let texts = seen.facts.logs().iter().filter(|log| log.namespace == pod.namespace && log.pod != pod.name);
    texts
        .filter_map(|log| Some((log, log.lines.as_deref().ok()?)))
        .any(|(log, text)| tie::line(text, stem(&pod.name), &[stem(&log.pod)]).is_some())
}

/// The logs of the Pods that were read for the ring.
#[must_use]
pub fn log_wants(seen: &Seen, pods: &[ObjectRef]) -> Vec<Want> {
    let of_pod = |pod: &ObjectRef| {
        let statuses = seen.facts.raw(pod).and_then(|(value, _)| value.pointer("/status/containerStatuses"));
        let statuses = statuses.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        statuses.iter().flat_map(|status| follow::logs(pod, status)).take(LOGS).collect::<Vec<_>>()
    };
    pods.iter().flat_map(of_pod).collect()
}

/// Of the Pods in the ring those that complain and that the logs in question speak of: what explains them is worth a few
/// reads more.
#[must_use]
pub fn telling(seen: &Seen, pods: &[ObjectRef]) -> Vec<ObjectRef> {
    let complains = |pod: &&ObjectRef| {
        let mut logs_of = seen.facts.logs_of(&pod.namespace, &pod.name);
        logs_of.any(|log| log.lines.as_deref().is_ok_and(|text| logs::culprit(text).is_some()))
    };
    pods.iter().filter(complains).filter(|pod| is_spoken_of(seen, pod)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn seen(log: &str) -> Seen {
        let target = ObjectRef::new("Pod", "ci", "build-queue-7d9f8c6b5d-x2k9p");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&target));
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": target.name, "namespace": "ci"}});
        seen.facts.add_object(object, "E1");
        seen.heard(&target, log);
        for name in ["build-queue-7d9f8c6b5d-x2k9p", "runner-controller-6b5c9d7f4-lfm84", "artifact-store-0"] {
            let cells = [("READY", "1/1"), ("STATUS", "Running")];
            let row = cells.map(|(heading, cell)| (heading.to_owned(), cell.to_owned())).into();
            seen.rows.insert(ObjectRef::new("Pod", "ci", name), row);
        }
        seen
    }

    fn asked(alert: &str) -> Question {
        Question { alert_names: vec![alert.to_owned()], ..Question::default() }
    }

    #[test]
    fn the_pods_that_the_logs_speak_of_are_read_and_others_that_are_well_are_not() {
        let names = |log: &str| {
            let pods = pods(&seen(log), &asked("BuildsWaitTooLong"));
            pods.into_iter().map(|pod| pod.name).collect::<Vec<_>>()
        };
        assert_eq!(names("INFO queue depth=9 runners_registered=0\n"), ["runner-controller-6b5c9d7f4-lfm84"]);
        assert!(names("INFO queue depth=0 runners_registered=4\n").is_empty());
    }

    #[test]
    fn only_an_alert_that_no_object_answers_is_worth_it() {
        let log = "INFO runners_registered=0\nERROR scm: 403\n";
        assert!(is_worth_it(&seen(log), &asked("BuildsWaitTooLong")));
        assert!(!is_worth_it(&seen(log), &asked("KubePodNotReady")));
        assert!(!is_worth_it(&seen("INFO idle\n"), &asked("BuildsWaitTooLong")), "its log is calm");
    }

    #[test]
    fn where_errors_are_counted_behind_an_ingress_its_controller_is_looked_for() {
        let mut seen = seen("INFO idle\n");
        assert!(lists(&seen, &asked("HighErrorRate")).is_empty(), "there is no Ingress");
        let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "front", "namespace": "ci"}});
        seen.facts.add_object(ingress, "E3");
        assert!(matches!(lists(&seen, &asked("HighErrorRate")).as_slice(), [Want::PodsLabelled { .. }]));
        assert!(lists(&seen, &asked("BuildsWaitTooLong")).is_empty());
    }

    #[test]
    fn a_pods_name_is_cut_to_its_workloads() {
        let names = ["runner-controller-6b5c9d7f4-lfm84", "app-mysql-0", "web"].map(stem);
        assert_eq!(names, ["runner-controller", "app-mysql", "web"]);
    }
}
