//! What stands around Pods and leads on: claims and volumes, Ingresses, autoscalers, quotas, Nodes, Namespaces.

mod thrown_out;

use serde_json::Value;

use super::{PODS_PER_SELECTOR, array, named, selector, text};
use crate::alert::ObjectRef;
use crate::playbook::analyzer::{certificate, entrance, gateway, leaving, provisioner, solver_class};
use crate::playbook::reach;
use crate::toolbox::table::Row;
use crate::triage::rows::{self, cell, listed};
use crate::triage::seen::Seen;
use crate::triage::want::{Want, kind_info};

/// Pods read in search of the one that mounts a claim: each brings its owner and its logs along.
const PODS_TRIED: usize = 6;

pub(super) fn from_claim(seen: &Seen, object: &ObjectRef, value: &Value) -> Vec<Want> {
    let mut wants = Vec::new();
    if seen.targets.contains(object) {
        // What mounts a claim stands in the Pods alone: those that are not well are the likeliest.
        let unwell = rows::unwell(seen, "Pod", &object.namespace);
        wants.extend(unwell.into_iter().take(PODS_PER_SELECTOR).map(Want::Object));
        if text(value, "/status/phase") == "Bound" {
            wants.extend(mounting(seen, object, value));
        }
    }
    if value.pointer("/metadata/deletionTimestamp").is_some() {
        // It goes once no Pod uses it, and which do stands in the Pods alone.
        wants.extend(listed(seen, "Pod", &object.namespace));
    }
    if let Some(class) = value.pointer("/spec/storageClassName").and_then(Value::as_str).filter(|name| !name.is_empty())
    {
        wants.push(Want::Object(ObjectRef::new("StorageClass", "", class)));
    }
    if let Some(volume) = value.pointer("/spec/volumeName").and_then(Value::as_str).filter(|name| !name.is_empty()) {
        wants.push(Want::Object(ObjectRef::new("PersistentVolume", "", volume)));
    }
    if text(value, "/status/phase") != "Bound" {
        wants.extend(["StorageClass", "CSIDriver", "PersistentVolume"].iter().filter_map(|kind| Want::list(kind, "")));
        wants.extend(maker(seen, value));
        wants.extend(offered(seen, value));
    }
    wants
}

/// The Pods that mount a claim: only they say what it fills with. Where the list of Pods does not tell, those that may well
/// do, a few at a time until one is found: a StatefulSet's Pod ends its claim's name; else labels both carry, then a like
/// name speak for one.
fn mounting(seen: &Seen, claim: &ObjectRef, value: &Value) -> Vec<Want> {
    let mut pods = rows::matching(seen, "Pod", &claim.namespace, |_, _| true);
    let mounts = |pod: &Value| {
        array(pod, "/spec/volumes").any(|volume| text(volume, "/persistentVolumeClaim/claimName") == claim.name)
    };
    let known = pods.iter().filter(|pod| seen.facts.raw(pod).is_some_and(|(pod, _)| mounts(pod)));
    let known: Vec<Want> = known.take(PODS_PER_SELECTOR).cloned().map(Want::Object).collect();
    let read = pods.iter().filter(|pod| seen.facts.raw(pod).is_some()).count();
    if !known.is_empty() || read >= PODS_TRIED {
        return known;
    }
    let labels = selector(value, "/metadata/labels");
    let labelled = |pod: &ObjectRef| {
        !labels.is_empty() && seen.rows.get(pod).is_some_and(|cells| rows::has_labels(cells, &labels))
    };
    let own = |pod: &ObjectRef| claim.name.ends_with(&format!("-{}", pod.name));
    pods.retain(|pod| seen.facts.raw(pod).is_none());
    pods.sort_by_key(|pod| (!own(pod), !labelled(pod), !rows::is_named_after(&pod.name, &claim.name)));
    let few = if pods.first().is_some_and(own) { 1 } else { PODS_PER_SELECTOR };
    pods.into_iter().take(few).map(Want::Object).collect()
}

/// Volumes of the claim's class, where nobody makes any: their figures say why none fits.
fn offered(seen: &Seen, claim: &Value) -> Vec<Want> {
    let name = text(claim, "/spec/storageClassName");
    let class = seen.facts.raw(&ObjectRef::new("StorageClass", "", name));
    let made = class.is_none_or(|(class, _)| text(class, "/provisioner") != "kubernetes.io/no-provisioner");
    if made && !name.is_empty() {
        return Vec::new();
    }
    let of_class = seen.rows.iter().filter(|(row, cells)| {
        row.kind == "PersistentVolume" && cell(cells, "STORAGECLASS") == name && cell(cells, "STATUS") != "Bound"
    });
    of_class.take(PODS_PER_SELECTOR).map(|(row, _)| Want::Object(row.clone())).collect()
}

/// The workload that should make a claim's volume. Where it runs nothing says, so the cluster's Deployments are listed,
/// and the one that bears the provisioner's name is read.
fn maker(seen: &Seen, claim: &Value) -> Vec<Want> {
    let class = ObjectRef::new("StorageClass", "", text(claim, "/spec/storageClassName"));
    let Some((class, _)) = seen.facts.raw(&class) else { return Vec::new() };
    let provisioner = text(class, "/provisioner");
    let mut wants: Vec<Want> = Want::list("Deployment", "").into_iter().collect();
    let deployments = seen.rows.keys().filter(|row| row.kind == "Deployment").cloned();
    wants.extend(provisioner::maker(deployments, provisioner).map(Want::Object));
    wants
}

/// The workload, and the API its metrics come from where they do not come.
pub(super) fn from_autoscaler(object: &ObjectRef, value: &Value) -> Vec<Want> {
    let mut wants = named(value, "/spec/scaleTargetRef/kind", "/spec/scaleTargetRef/name", &object.namespace);
    let starved = array(value, "/status/conditions").any(|it| {
        text(it, "/type") == "ScalingActive"
            && text(it, "/status") == "False"
            && text(it, "/message").contains("metrics API")
    });
    if starved {
        wants.push(Want::Object(ObjectRef::new("APIService", "", "v1beta1.metrics.k8s.io")));
    }
    wants
}

/// The claim a volume is bound to, and its class.
pub(super) fn from_volume(value: &Value) -> Vec<Want> {
    let (namespace, claim) = (text(value, "/spec/claimRef/namespace"), text(value, "/spec/claimRef/name"));
    let class = text(value, "/spec/storageClassName");
    let claim = (!claim.is_empty()).then(|| ObjectRef::new("PersistentVolumeClaim", namespace, claim));
    let class = (!class.is_empty()).then(|| ObjectRef::new("StorageClass", "", class));
    claim.into_iter().chain(class).map(Want::Object).collect()
}

pub(super) fn from_api(value: &Value) -> Vec<Want> {
    let (namespace, name) = (text(value, "/spec/service/namespace"), text(value, "/spec/service/name"));
    if name.is_empty() { Vec::new() } else { vec![Want::Object(ObjectRef::new("Service", namespace, name))] }
}

/// The objects whose Pods a quota refused, as their events say.
pub(super) fn refused_by(seen: &Seen, quota: &ObjectRef) -> Vec<Want> {
    let words = format!("exceeded quota: {},", quota.name);
    let refused = seen.facts.events().iter().filter(|event| {
        event.about.namespace == quota.namespace
            && event.message.contains(&words)
            && kind_info(&event.about.kind).is_some()
    });
    let mut wants: Vec<Want> = refused.map(|event| Want::Object(event.about.clone())).collect();
    wants.dedup();
    wants.truncate(PODS_PER_SELECTOR);
    wants
}

/// A Namespace on its way out: an API that cannot be discovered, or the Pods that remain.
pub(super) fn from_leaving_namespace(seen: &Seen, value: &Value) -> Vec<Want> {
    let held = |kind: &str| {
        array(value, "/status/conditions").any(|it| text(it, "/type") == kind && text(it, "/status") == "True")
    };
    let mut wants = Vec::new();
    if held("NamespaceDeletionDiscoveryFailure") {
        wants.extend(Want::list("APIService", ""));
        wants.extend(rows::unwell(seen, "APIService", "").into_iter().take(PODS_PER_SELECTOR).map(Want::Object));
    }
    let namespace = text(value, "/metadata/name");
    for kind in kinds_remaining(value) {
        wants.extend(Want::list(kind, namespace));
        wants.extend(listed(seen, kind, namespace).into_iter().take(PODS_PER_SELECTOR));
    }
    wants.extend(keepers(seen, value));
    wants
}

/// Workloads without Pods that look like the controller behind a finalizer the Namespace waits for. Where it should run
/// nothing says, so the cluster's Deployments and StatefulSets are listed.
fn keepers(seen: &Seen, namespace: &Value) -> Vec<Want> {
    let said = array(namespace, "/status/conditions").map(|it| text(it, "/message"));
    let finalizers: Vec<&str> = said.flat_map(leaving::finalizers_named).collect();
    if finalizers.is_empty() {
        return Vec::new();
    }
    let keeps = |row: &ObjectRef| finalizers.iter().any(|finalizer| leaving::is_keeper(&row.name, finalizer));
    let kinds = ["Deployment", "StatefulSet"];
    let idle = kinds.iter().flat_map(|kind| rows::without_pods(seen, kind, "")).filter(keeps);
    let idle = idle.take(PODS_PER_SELECTOR).map(Want::Object);
    kinds.iter().filter_map(|kind| Want::list(kind, "")).chain(idle).collect()
}

/// The kinds a Namespace's conditions say remain in it, of those gather reads, for example `persistentvolumeclaims. has 1`.
fn kinds_remaining(namespace: &Value) -> Vec<&'static str> {
    let said: Vec<&str> = array(namespace, "/status/conditions").map(|it| text(it, "/message")).collect();
    let remains = |kind: &&str| {
        let plural = format!("{}s.", kind.to_lowercase());
        said.iter().any(|message| message.contains(&plural))
    };
    ["Pod", "PersistentVolumeClaim", "Service", "Deployment", "StatefulSet", "Job"]
        .into_iter()
        .filter(remains)
        .collect()
}

pub(super) fn from_ingress(seen: &Seen, object: &ObjectRef, value: &Value) -> Vec<Want> {
    let backends = array(value, "/spec/rules").flat_map(|rule| array(rule, "/http/paths"));
    let names = backends
        .map(|path| text(path, "/backend/service/name"))
        .chain([text(value, "/spec/defaultBackend/service/name")]);
    let mut wants: Vec<Want> =
        Want::list("IngressClass", "").into_iter().chain(Want::list("Service", &object.namespace)).collect();
    if text(value, "/spec/ingressClassName").is_empty() {
        wants.extend(
            seen.rows
                .keys()
                .filter(|row| row.kind == "IngressClass")
                .take(PODS_PER_SELECTOR)
                .cloned()
                .map(Want::Object),
        );
    }
    let managed = value.pointer("/metadata/annotations").and_then(Value::as_object);
    if managed.is_some_and(|all| all.keys().any(|key| key.starts_with("cert-manager.io/"))) {
        let secrets = array(value, "/spec/tls").map(|tls| text(tls, "/secretName"));
        wants.extend(
            secrets.map(|secret| Want::Object(ObjectRef::new("Certificate", object.namespace.as_str(), secret))),
        );
    }
    wants.extend(of_the_same_host(seen, object, value));
    wants.extend(controller(seen, object, value));
    wants.extend(
        names
            .filter(|name| !name.is_empty())
            .map(|name| Want::Object(ObjectRef::new("Service", object.namespace.as_str(), name))),
    );
    wants
}

/// The ingress controller, where policies stand before the Pods of an Ingress that is asked about (its Namespace decides
/// whether it is let in), or where it serves a certificate (its log alone says which it cannot use). Where it runs nothing
/// says, so the cluster's workloads are listed.
fn controller(seen: &Seen, ingress: &ObjectRef, value: &Value) -> Vec<Want> {
    let guarded = seen.rows.keys().any(|row| row.kind == "NetworkPolicy" && row.namespace == ingress.namespace);
    let certified = array(value, "/spec/tls").next().is_some() && !seen.outside.is_empty();
    if !(guarded || certified) || !seen.relevant.contains(ingress) {
        return Vec::new();
    }
    let mut wants: Vec<Want> = ["Deployment", "DaemonSet"].iter().filter_map(|kind| Want::list(kind, "")).collect();
    let runs = seen.rows.iter().filter(|(row, cells)| {
        matches!(row.kind.as_str(), "Deployment" | "DaemonSet")
            && entrance::is_controller(&row.name)
            && !cell(cells, "READY").starts_with('0')
    });
    for (row, _) in runs.take(1) {
        wants.push(Want::Object(row.clone()));
        wants.push(Want::Object(ObjectRef::new("Namespace", "", row.namespace.as_str())));
    }
    wants
}

/// Other Ingresses with one of its hosts, of whatever Namespace, where they were listed.
fn of_the_same_host(seen: &Seen, ingress: &ObjectRef, value: &Value) -> Vec<Want> {
    let hosts: Vec<&str> =
        array(value, "/spec/rules").map(|rule| text(rule, "/host")).filter(|it| !it.is_empty()).collect();
    let shares = |cells: &Row| cell(cells, "HOSTS").split(',').any(|host| hosts.contains(&host.trim()));
    let others = seen.rows.iter().filter(|(row, cells)| row.kind == "Ingress" && *row != ingress && shares(cells));
    others.take(PODS_PER_SELECTOR).map(|(row, _)| Want::Object(row.clone())).collect()
}

/// The issuer, and what one of ACME still waits for, where a Certificate is not ready or being renewed.
pub(super) fn from_certificate(seen: &Seen, object: &ObjectRef, value: &Value) -> Vec<Want> {
    let is = |kind: &str, status: &str| {
        array(value, "/status/conditions").any(|it| text(it, "/type") == kind && text(it, "/status") == status)
    };
    if !is("Ready", "False") && !is("Issuing", "True") {
        return Vec::new();
    }
    let mut wants: Vec<Want> = Want::list("Challenge", &object.namespace).into_iter().collect();
    let classes = seen.facts.raw_all("Challenge").filter_map(|(_, value, _)| solver_class::of(value));
    wants.extend(classes.map(Want::Object));
    wants.extend(certificate::issuer(object, value).map(Want::Object));
    let prefix = format!("{}-", object.name);
    let own = listed(seen, "Challenge", &object.namespace).into_iter();
    wants.extend(own.filter(|want| matches!(want, Want::Object(challenge) if challenge.name.starts_with(&prefix))));
    wants
}

/// The Pods on a Node whose containers were restarted: one of them may be what the kernel ended there.
fn restarted(seen: &Seen, node: &str) -> impl Iterator<Item = ObjectRef> {
    let restarts =
        |cells: &Row| cell(cells, "RESTARTS").split_whitespace().next().and_then(|it| it.parse::<u32>().ok());
    let on_it = rows::matching(seen, "Pod", "", |_, cells| {
        cell(cells, "NODE") == node && restarts(cells).is_some_and(|restarts| restarts > 0)
    });
    on_it.into_iter().take(PODS_PER_SELECTOR)
}

/// Events about a Node are worth a read where it is asked about or where it is unwell and a pod of the incident runs on it;
/// a Node that merely exists is not. A Node that is asked about and cordoned may wait for a drain that a budget blocks.
pub(super) fn from_node(seen: &Seen, object: &ObjectRef, value: &Value) -> Vec<Want> {
    let mut wants = Vec::new();
    let name = || object.name.clone();
    if seen.targets.contains(object) {
        wants.extend([Want::EventsAbout { name: name() }, Want::PodsOn { node: name() }]);
        if seen.about_memory {
            wants.extend(restarted(seen, &object.name).map(Want::Object));
        } else if was_rebooted(seen, object) {
            wants.extend(restarted(seen, &object.name).map(Want::Aside));
        }
        if is_cordoned(value) {
            wants.extend(Want::list("PodDisruptionBudget", ""));
            wants.extend(listed(seen, "PodDisruptionBudget", ""));
        }
        // What makes its network says why there is none.
        let on_it = |pod: &ObjectRef| seen.rows.get(pod).is_some_and(|cells| cell(cells, "NODE") == object.name);
        if !is_well_node(value) {
            let network = rows::unwell(seen, "Pod", "").into_iter().filter(|pod| reach::is_network(pod) && on_it(pod));
            wants.extend(network.take(PODS_PER_SELECTOR).map(Want::Object));
        }
    } else if !is_well_node(value) && seen.relevant.iter().any(|pod| runs_on(seen, pod, &object.name)) {
        wants.push(Want::EventsAbout { name: name() });
    }
    wants.extend(thrown_out::thrown_out(seen, object, value));
    wants
}

/// Whether events say that a Node was rebooted: what was started again with it is worth a word.
fn was_rebooted(seen: &Seen, node: &ObjectRef) -> bool {
    seen.facts
        .events()
        .iter()
        .any(|event| event.reason == "Rebooted" && event.about.kind == "Node" && event.about.name == node.name)
}

pub(super) fn is_cordoned(node: &Value) -> bool {
    node.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true)
}

fn is_well_node(node: &Value) -> bool {
    array(node, "/status/conditions").all(|condition| {
        let good = if text(condition, "/type") == "Ready" { "True" } else { "False" };
        text(condition, "/status") == good
    })
}

fn runs_on(seen: &Seen, pod: &ObjectRef, node: &str) -> bool {
    pod.kind == "Pod" && seen.facts.raw(pod).is_some_and(|(value, _)| text(value, "/spec/nodeName") == node)
}

/// The class of a Gateway: its controller is the one that has to take it.
pub(super) fn from_gateway(value: &Value) -> Vec<Want> {
    let class = text(value, "/spec/gatewayClassName");
    if class.is_empty() { Vec::new() } else { vec![Want::Object(ObjectRef::new("GatewayClass", "", class))] }
}

/// The Gateways a route hangs on and the Services it sends to.
pub(super) fn from_route(object: &ObjectRef, value: &Value) -> Vec<Want> {
    let parents = array(value, "/spec/parentRefs").map(|parent| {
        let namespace = Some(text(parent, "/namespace")).filter(|name| !name.is_empty()).unwrap_or(&object.namespace);
        ObjectRef::new("Gateway", namespace, text(parent, "/name"))
    });
    let services = gateway::backends(value).map(|name| ObjectRef::new("Service", object.namespace.as_str(), name));
    parents.chain(services).map(Want::Object).collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn claim(name: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "a", "labels": {"app": "store"}}, "status": {"phase": "Bound"}})
    }

    /// The Pods that are read for a claim which is asked about, where these run and one of them was read.
    fn tried(name: &str, pods: &[(&str, &str)], read: Option<Value>) -> Vec<String> {
        let target = ObjectRef::new("PersistentVolumeClaim", "a", name);
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&target));
        for (pod, labels) in pods {
            let cells = [("READY", "1/1"), ("STATUS", "Running"), ("LABELS", labels)];
            let row = cells.map(|(heading, cell)| (heading.to_owned(), cell.to_owned())).into();
            seen.rows.insert(ObjectRef::new("Pod", "a", *pod), row);
        }
        read.into_iter().for_each(|pod| seen.facts.add_object(pod, "E1"));
        let wants = from_claim(&seen, &target, &claim(name));
        let pods = wants.into_iter().filter_map(|want| match want {
            Want::Object(object) if object.kind == "Pod" => Some(object.name),
            _ => None,
        });
        pods.collect()
    }

    #[test]
    fn a_claim_that_is_asked_about_leads_to_the_pod_that_mounts_it() {
        let pods =
            [("a-0", "app=a"), ("b-0", "app=b"), ("c-0", "app=c"), ("db-0", "app=db"), ("store-1-x", "app=store")];
        assert_eq!(tried("data-db-0", &pods, None), ["db-0"]);
        assert_eq!(tried("blobs", &pods, None)[0], "store-1-x", "the one that carries its labels");
    }

    #[test]
    fn the_search_ends_with_the_pod_that_mounts_it() {
        let pods = [("a-0", "app=a"), ("b-0", "app=b")];
        let volume = |claim: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a-0", "namespace": "a"},
                "spec": {"volumes": [{"name": "x", "persistentVolumeClaim": {"claimName": claim}}]}})
        };
        assert_eq!(tried("blobs", &pods, Some(volume("blobs"))), ["a-0"], "with what it logs");
        assert_eq!(tried("blobs", &pods, Some(volume("other"))), ["b-0"]);
    }
}
