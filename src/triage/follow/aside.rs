//! What is looked at beside the incident: lists and objects that say who is at fault, and lead no further themselves.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};

use super::{PODS_PER_SELECTOR, owners};
use crate::alert::ObjectRef;
use crate::playbook::analyzer::{
    by_hand, certificate_name, dns_hosts, job, limit_default, memory, node_certificate, node_lacks, readiness_gate,
    scheduling,
};
use crate::playbook::facts::{SeenEvent, SeenLog};
use crate::playbook::{latent, logs, reach};
use crate::toolbox::table::Row;
use crate::triage::rows::{self, cell};
use crate::triage::seen::Seen;
use crate::triage::want::Want;

/// Objects of a list read for one question.
const READ: usize = 2;
/// Runs of a CronJob that are compared.
const RUNS: usize = 4;
/// Addresses written by hand that are looked for among the Pods.
const ADDRESSES: usize = 2;

/// What the incident's objects make worth a look.
pub(super) fn next(seen: &Seen) -> Vec<Want> {
    let mut wants = Vec::new();
    for object in &seen.relevant {
        match object.kind.as_str() {
            "Pod" => wants.extend(from_pod(seen, object)),
            "Service" => wants.extend(from_service(seen, object)),
            "ReplicaSet" | "StatefulSet" | "DaemonSet" => wants.extend(runtime_classes(seen, object)),
            "Job" => {
                wants.extend(runtime_classes(seen, object));
                wants.extend(runs_before(seen, object));
            }
            _ => {}
        }
    }
    wants
}

fn from_pod(seen: &Seen, name: &ObjectRef) -> Vec<Want> {
    let Some(pod) = seen.facts.get::<Pod>(&name.namespace, &name.name).map(|read| read.object) else {
        return Vec::new();
    };
    let mut wants = openers(seen, &pod);
    wants.extend(bringers(seen, &pod));
    wants.extend(sitting(seen, name, &pod));
    wants.extend(expecting(seen, name));
    wants.extend(certificates(seen, name));
    wants.extend(settings(&pod));
    wants.extend(corefiles(seen, name, &pod));
    wants.extend(defaults(seen, name, &pod));
    wants
}

/// The LimitRanges of a Pod that got a limit from one, where it is asked about or does not look well.
fn defaults(seen: &Seen, name: &ObjectRef, pod: &Pod) -> Vec<Want> {
    let is_well = seen.rows.get(name).is_some_and(rows::is_well_pod);
    if !limit_default::is_given(pod) || (is_well && !seen.targets.contains(name)) {
        return Vec::new();
    }
    let ranges = rows::matching(seen, "LimitRange", &name.namespace, |_, _| true);
    let ranges = ranges.into_iter().take(READ).map(Want::Aside);
    Want::list("LimitRange", &name.namespace).into_iter().chain(ranges).collect()
}

/// What the cluster's DNS is told to answer, where somebody's log says that it answers without an answer.
fn corefiles(seen: &Seen, name: &ObjectRef, pod: &Pod) -> Vec<Want> {
    let of_incident = |log: &&SeenLog| seen.relevant.contains(&ObjectRef::new("Pod", &log.namespace, &log.pod));
    let mut logs = seen.facts.logs().iter().filter(of_incident).filter_map(|log| log.lines.as_deref().ok());
    if !reach::is_dns(name) || !logs.any(|text| text.lines().any(dns_hosts::tells)) {
        return Vec::new();
    }
    latent::maps(pod).into_iter().take(READ).map(Want::Aside).collect()
}

/// The ConfigMaps that tell a process which ran out of memory how much it may take, the ones behind its variables first.
fn settings(pod: &Pod) -> Vec<Want> {
    if !memory::is_killed(pod) {
        return Vec::new();
    }
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let sources = containers.flat_map(|container| container.env_from.iter().flatten());
    let whole: Vec<&str> = sources.filter_map(|from| Some(from.config_map_ref.as_ref()?.name.as_str())).collect();
    let mut maps = latent::maps(pod);
    maps.sort_by_key(|map| !whole.contains(&map.name.as_str()));
    maps.into_iter().take(READ).map(Want::Aside).collect()
}

/// The runs of a CronJob before one that was ended at its deadline: how long they took says whether the work grows. Its Jobs
/// are listed with the CronJob.
fn runs_before(seen: &Seen, name: &ObjectRef) -> Vec<Want> {
    let read = seen.facts.get::<Job>(&name.namespace, &name.name);
    let raw = seen.facts.raw(name).filter(|_| read.is_some_and(|read| job::is_over(&read.object)));
    let cron = raw.and_then(|(value, _)| owners(name, value).find(|owner| owner.kind == "CronJob"));
    let Some(cron) = cron else { return Vec::new() };
    let prefix = format!("{}-", cron.name);
    let is_done = |cells: &Row| matches!(cell(cells, "COMPLETIONS").split_once('/'), Some((done, all)) if done == all);
    let runs = seen.rows.iter().rev().filter(|(row, cells)| {
        row.kind == "Job" && row.namespace == name.namespace && row.name.starts_with(&prefix) && is_done(cells)
    });
    runs.take(RUNS).map(|(row, _)| Want::Aside(row.clone())).collect()
}

/// Whoever opens the readiness gate that a Pod waits at: where it runs nothing says, so the cluster's Deployments are listed,
/// and those whose names suit the gate are looked at, the ones without Pods first.
fn openers(seen: &Seen, pod: &Pod) -> Vec<Want> {
    let Some(gate) = readiness_gate::shut(pod).into_iter().next() else { return Vec::new() };
    let deployments = seen.rows.iter().filter(|(row, _)| row.kind == "Deployment");
    let mut suited: Vec<(usize, bool, &ObjectRef)> = deployments
        .filter_map(|(row, cells)| {
            Some((readiness_gate::likeness(&row.name, &gate)?, !cell(cells, "READY").starts_with("0/"), row))
        })
        .collect();
    suited.sort();
    let suited = suited.into_iter().take(READ).map(|(_, _, row)| Want::Aside(row.clone()));
    Want::list("Deployment", "").into_iter().chain(suited).collect()
}

/// The DaemonSet that brings, by its name, what a Pod's Node lacks.
fn bringers(seen: &Seen, pod: &Pod) -> Vec<Want> {
    if !node_lacks::waits(&seen.facts, pod) {
        return Vec::new();
    }
    let sets = seen.rows.keys().filter(|row| row.kind == "DaemonSet");
    let brings = sets.filter(|row| node_lacks::may_bring(&seen.facts, pod, &row.name));
    let brings = brings.take(1).map(|row| Want::Aside(row.clone()));
    Want::list("DaemonSet", "").into_iter().chain(brings).collect()
}

/// The Pods on the only Node that a Pod may use, where that takes no more.
fn sitting(seen: &Seen, name: &ObjectRef, pod: &Pod) -> Option<Want> {
    let said = seen.facts.events_about(name).filter(|event| event.reason == "FailedScheduling");
    let node = said.last().and_then(|event| scheduling::crowded_node(&seen.facts, pod, &event.message))?;
    Some(Want::PodsOn { node })
}

/// The Services that send to a Pod whose log says that it listens on another port than its probe asks.
fn expecting(seen: &Seen, pod: &ObjectRef) -> Vec<Want> {
    let refused = |event: &&SeenEvent| event.reason == "Unhealthy" && event.message.contains("connection refused");
    let Some(event) = seen.facts.events_about(pod).find(refused) else { return Vec::new() };
    let logs = seen.facts.logs_of(&pod.namespace, &pod.name).filter_map(|log| log.lines.as_deref().ok());
    let listening: Vec<i32> = logs.flat_map(logs::listening_ports).collect();
    let is_asked = |port: &i32| event.message.contains(&format!(":{port}"));
    if listening.is_empty() || listening.iter().any(is_asked) {
        return Vec::new();
    }
    let services = rows::selecting(seen, pod).into_iter().take(READ).map(Want::Aside);
    Want::list("Service", &pod.namespace).into_iter().chain(services).collect()
}

/// The Service whose certificate lacks the name that a Pod calls, and the Certificates beside it: those that bear its name
/// first, and what happened to them.
fn certificates(seen: &Seen, pod: &ObjectRef) -> Vec<Want> {
    let logs = seen.facts.logs_of(&pod.namespace, &pod.name).filter_map(|log| log.lines.as_deref().ok());
    let told = logs.flat_map(str::lines).find_map(certificate_name::mismatch);
    let Some(service) = told.and_then(|told| service_of(seen, &told.name, &pod.namespace)) else { return Vec::new() };
    let mut certificates = rows::matching(seen, "Certificate", &service.namespace, |_, _| true);
    certificates.sort_by_key(|certificate| !certificate.name.contains(&service.name));
    let mut wants: Vec<Want> = Want::list("Certificate", &service.namespace).into_iter().collect();
    wants.push(Want::Events { namespace: service.namespace.clone() });
    wants.push(Want::Aside(service));
    wants.extend(certificates.into_iter().take(READ).map(Want::Aside));
    wants
}

/// The Service that a host of the cluster names.
fn service_of(seen: &Seen, host: &str, namespace: &str) -> Option<ObjectRef> {
    let is_known = |namespace: &str| seen.rows.keys().any(|row| row.namespace == namespace);
    match host.split('.').collect::<Vec<_>>().as_slice() {
        [name] => Some(ObjectRef::new("Service", namespace, *name)),
        [name, other, "svc", ..] => Some(ObjectRef::new("Service", *other, *name)),
        [name, other] if is_known(other) => Some(ObjectRef::new("Service", *other, *name)),
        _ => None,
    }
}

/// The Pods that have the addresses somebody wrote down for a Service, and one that bears its name.
fn from_service(seen: &Seen, name: &ObjectRef) -> Vec<Want> {
    let read = seen.facts.get::<Service>(&name.namespace, &name.name);
    let endpoints = ObjectRef::new("Endpoints", name.namespace.as_str(), name.name.as_str());
    let by_hand = read.filter(|read| by_hand::is_by_hand(&read.object));
    if by_hand.is_none() {
        return Vec::new();
    }
    let mut wants = Vec::new();
    if seen.facts.absent(&endpoints).is_some() {
        wants.extend(Want::list("EndpointSlice", &name.namespace));
    }
    let named_so =
        |kind| rows::matching(seen, kind, &name.namespace, |row, _| rows::is_named_after(&row.name, &name.name));
    let slices = named_so("EndpointSlice").into_iter().take(READ);
    wants.extend(slices.clone().map(Want::Aside));
    let written = std::iter::once(endpoints).chain(slices).find_map(|it| seen.facts.raw(&it).map(|(value, _)| value));
    let Some(value) = written else { return wants };
    if seen.targets.contains(name) && !node_certificate::nodes_behind(value).is_empty() {
        return signing_requests(seen);
    }
    let addresses = by_hand::addresses(value);
    wants.extend(addresses.iter().take(ADDRESSES).map(|address| Want::PodsAt { address: address.clone() }));
    if !addresses.is_empty() {
        wants.extend(named_so("Pod").into_iter().take(PODS_PER_SELECTOR - READ).map(Want::Aside));
    }
    wants
}

/// The requests for certificates that were not granted, the youngest first; all where the list does not tell.
fn signing_requests(seen: &Seen) -> Vec<Want> {
    let granted = |cells: &Row| cell(cells, "CONDITION").contains("Approved");
    let open = rows::matching(seen, "CertificateSigningRequest", "", |_, cells| !granted(cells));
    let youngest = rows::youngest(seen, open).into_iter().take(READ).map(Want::Aside);
    Want::list("CertificateSigningRequest", "").into_iter().chain(youngest).collect()
}

/// The RuntimeClasses there are, where Pods name one that is not.
fn runtime_classes(seen: &Seen, maker: &ObjectRef) -> Option<Want> {
    let refused = |event: &SeenEvent| event.reason == "FailedCreate" && event.message.contains("RuntimeClass");
    seen.facts.events_about(maker).any(refused).then(|| Want::list("RuntimeClass", "")).flatten()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn seen(objects: Vec<Value>) -> Seen {
        let pod = ObjectRef::new("Pod", "a", "web-0");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&pod));
        for object in objects {
            seen.facts.add_object(object, "E1");
        }
        seen
    }

    fn row(seen: &mut Seen, kind: &str, namespace: &str, name: &str, cells: &[(&str, &str)]) {
        let row = cells.iter().map(|(heading, cell)| ((*heading).to_owned(), (*cell).to_owned())).collect();
        seen.rows.insert(ObjectRef::new(kind, namespace, name), row);
    }

    fn pod(patch: Value) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "a"},
            "spec": {"containers": [{"name": "web"}]}, "status": {}});
        for (part, fields) in patch.as_object().into_iter().flatten() {
            for (field, value) in fields.as_object().into_iter().flatten() {
                pod[part][field] = value.clone();
            }
        }
        pod
    }

    fn happened(seen: &mut Seen, reason: &str, message: &str) {
        seen.facts.add_event(SeenEvent {
            about: ObjectRef::new("Pod", "a", "web-0"),
            kind: "Warning".into(),
            reason: reason.into(),
            message: message.into(),
            count: 1,
            last_seen: None,
            reference: "E1".into(),
        });
    }

    fn logged(seen: &mut Seen, text: &str) {
        seen.heard(&ObjectRef::new("Pod", "a", "web-0"), text);
    }

    #[test]
    fn what_ran_out_of_memory_leads_to_the_maps_that_size_it() {
        let of = |reason: &str| {
            let status = json!([{"name": "web", "image": "", "imageID": "", "ready": false, "restartCount": 3,
                "lastState": {"terminated": {"exitCode": 137, "reason": reason}}}]);
            let containers = json!([{"name": "web", "envFrom": [{"configMapRef": {"name": "jvm"}}]}]);
            let volumes = ["app", "ca", "conf"].map(|name| json!({"name": name, "configMap": {"name": name}}));
            let spec = json!({"containers": containers, "volumes": volumes});
            next(&seen(vec![pod(json!({"spec": spec, "status": {"containerStatuses": status}}))]))
        };
        let map = |name: &str| Want::Aside(ObjectRef::new("ConfigMap", "a", name));
        assert_eq!(of("OOMKilled"), [map("jvm"), map("app")], "variables first, and a few");
        assert!(of("Error").is_empty());
    }

    #[test]
    fn a_limit_that_a_range_gave_leads_to_the_ranges_where_its_pod_does_not_do_well() {
        let of = |note: &str, ready: &str, name: &str| {
            let notes =
                json!({"kubernetes.io/limit-ranger": format!("LimitRanger plugin set: {note} for container web")});
            let mut object = pod(json!({"metadata": {"annotations": notes}}));
            object["metadata"]["name"] = json!(name);
            let mut seen = seen(vec![object]);
            seen.relevant.push(ObjectRef::new("Pod", "a", name));
            row(&mut seen, "Pod", "a", name, &[("READY", ready), ("STATUS", "Running")]);
            row(&mut seen, "LimitRange", "a", "defaults", &[]);
            next(&seen)
        };
        let list = Want::List { kind: "LimitRange", namespace: "a".into() };
        let read = [list, Want::Aside(ObjectRef::new("LimitRange", "a", "defaults"))];
        assert_eq!(of("cpu limit", "0/1", "web-1"), read);
        assert_eq!(of("cpu limit", "1/1", "web-0")[..2], read, "it is asked about");
        assert!(of("cpu limit", "1/1", "web-1").is_empty() && of("cpu request", "0/1", "web-1").is_empty());
    }

    #[test]
    fn an_answer_without_an_answer_leads_to_what_the_clusters_dns_is_told() {
        let of = |line: &str| {
            let mut seen = seen(vec![]);
            let volumes = json!([{"name": "c", "configMap": {"name": "coredns"}}]);
            seen.facts.add_object(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "coredns-1-a", "namespace": "kube-system"},
                "spec": {"containers": [{"name": "coredns"}], "volumes": volumes}}), "E2");
            seen.relevant.push(ObjectRef::new("Pod", "kube-system", "coredns-1-a"));
            logged(&mut seen, line);
            next(&seen)
        };
        let map = Want::Aside(ObjectRef::new("ConfigMap", "kube-system", "coredns"));
        assert_eq!(of("ERROR lookup db on 10.96.0.10:53: server misbehaving"), [map]);
        assert!(of("ERROR lookup db on 10.96.0.10:53: no such host").is_empty());
    }

    #[test]
    fn a_run_out_of_time_leads_to_the_runs_before() {
        let asked = |reason: &str| {
            let job = ObjectRef::new("Job", "a", "nightly-9");
            let object = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "nightly-9", "namespace": "a",
                "ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob", "name": "nightly", "uid": "n", "controller": true}]},
                "spec": {"template": {}}, "status": {"conditions": [{"type": "Failed", "status": "True", "reason": reason}]}});
            let mut seen = seen(vec![object]);
            seen.relevant.push(job);
            for (name, done) in [("nightly-9", "0/1"), ("nightly-8", "1/1"), ("nightly-7", "0/1"), ("weekly-1", "1/1")]
            {
                row(&mut seen, "Job", "a", name, &[("COMPLETIONS", done)]);
            }
            next(&seen)
        };
        assert_eq!(asked("DeadlineExceeded"), [Want::Aside(ObjectRef::new("Job", "a", "nightly-8"))]);
        assert!(asked("BackoffLimitExceeded").is_empty());
    }

    #[test]
    fn a_shut_gate_leads_to_the_deployments_whose_names_suit_it() {
        let gate = |open: &str| {
            let conditions = json!([{"type": "ContainersReady", "status": "True"}, {"type": "Ready", "status": open}]);
            seen(vec![pod(
                json!({"spec": {"readinessGates": [{"conditionType": "example.com/clb-ready"}]}, "status": {"conditions": conditions}}),
            )])
        };
        let mut shut = gate("False");
        row(&mut shut, "Deployment", "lb", "clb-controller", &[("READY", "0/0")]);
        row(&mut shut, "Deployment", "lb", "coredns", &[("READY", "2/2")]);
        let list = Want::List { kind: "Deployment", namespace: String::new() };
        assert_eq!(next(&shut), [list, Want::Aside(ObjectRef::new("Deployment", "lb", "clb-controller"))]);
        assert!(next(&gate("True")).is_empty());
    }

    #[test]
    fn a_program_that_listens_elsewhere_leads_to_the_services_that_send_to_it() {
        let asks = |text: &str| {
            let mut seen = seen(vec![pod(json!({}))]);
            happened(
                &mut seen,
                "Unhealthy",
                "Readiness probe failed: dial tcp 10.0.0.1:80: connect: connection refused",
            );
            row(&mut seen, "Pod", "a", "web-0", &[("LABELS", "app=web")]);
            row(&mut seen, "Service", "a", "web", &[("SELECTOR", "app=web")]);
            logged(&mut seen, text);
            next(&seen)
        };
        assert!(asks("listening on :8080").contains(&Want::Aside(ObjectRef::new("Service", "a", "web"))));
        assert!(asks("listening on :80").is_empty() && asks("starting").is_empty());
    }

    #[test]
    fn a_name_that_a_certificate_lacks_leads_to_the_certificates_of_its_service() {
        let mut seen = seen(vec![pod(json!({}))]);
        row(&mut seen, "Certificate", "data", "api-tls", &[]);
        logged(&mut seen, "x509: certificate is valid for api, not api.data.svc");
        let wants = next(&seen);
        assert!(wants.contains(&Want::Aside(ObjectRef::new("Certificate", "data", "api-tls"))), "{wants:?}");
        assert!(wants.contains(&Want::Aside(ObjectRef::new("Service", "data", "api"))), "{wants:?}");
        assert_eq!(service_of(&seen, "pay.example.com", "a"), None);
        assert_eq!(service_of(&seen, "example.com", "a"), None);
        assert!(service_of(&seen, "api.data", "a").is_some());
    }

    #[test]
    fn addresses_written_by_hand_are_looked_for_among_the_pods() {
        let name = ObjectRef::new("Service", "a", "rates");
        let asked = |selector: Value| {
            let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "rates", "namespace": "a"}, "spec": {"selector": selector}});
            let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "rates", "namespace": "a"},
                "subsets": [{"addresses": [{"ip": "10.2.0.7"}]}]});
            let mut seen = seen(vec![service, endpoints]);
            row(&mut seen, "Pod", "a", "rates-engine-1", &[]);
            seen.relevant.push(name.clone());
            next(&seen)
        };
        let pod = Want::Aside(ObjectRef::new("Pod", "a", "rates-engine-1"));
        assert_eq!(asked(json!(null)), [Want::PodsAt { address: "10.2.0.7".into() }, pod]);
        assert!(asked(json!({"app": "rates"})).is_empty(), "its selector keeps them");
    }
}
