//! Onward: the reads that help a person go on from a report that blames nothing, for this alert and this object.

use crate::alert::ObjectRef;
use crate::playbook::finding::{kubectl, look, slash};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named, service_selector};
use crate::playbook::scope::Scope;
use crate::report::{Step, Verdict};

/// Where to look next: in the logs behind the object, at what happened around it, and at what leads to it.
#[must_use]
pub fn steps(scene: &Scene<'_>, scope: &Scope, resource: &ObjectRef, verdict: Verdict) -> Vec<Step> {
    if scene.facts.is_missing(resource) {
        return vec![instead(scene, resource)];
    }
    let mut steps: Vec<Step> = logs(scene, scope, resource).into_iter().collect();
    if verdict != Verdict::NoFault {
        steps.extend(leading_there(scene, resource));
        steps.extend(history(scene, scope, resource));
    }
    if steps.is_empty()
        || matches!(resource.kind.as_str(), "Node" | "PersistentVolumeClaim" | "HorizontalPodAutoscaler")
    {
        steps.insert(0, look_at(scene, resource));
    }
    steps.extend(events(scene, resource));
    steps
}

/// The step that looks at an object.
fn look_at(scene: &Scene<'_>, object: &ObjectRef) -> Step {
    look(
        scene.text(format!("查看 {object}"), format!("Look at {object}")),
        kubectl(&object.namespace, &format!("describe {}", slash(object))),
    )
}

/// What there is instead of an object that is gone.
fn instead(scene: &Scene<'_>, resource: &ObjectRef) -> Step {
    if missing_root(scene, resource).kind == "Namespace" {
        return look(scene.text("查看现有的 Namespace", "See which Namespaces there are"), "kubectl get namespaces");
    }
    look(
        scene.text("查看该 Namespace 中现有的工作负载与 Pod", "See which workloads and Pods there are"),
        kubectl(&resource.namespace, "get deployments,statefulsets,daemonsets,jobs,pods"),
    )
}

/// The Namespace of an object that is not there, when that is not there either.
#[must_use]
pub fn missing_root(scene: &Scene<'_>, object: &ObjectRef) -> ObjectRef {
    let namespace = ObjectRef::new("Namespace", "", &object.namespace);
    if scene.facts.is_missing(&namespace) { namespace } else { object.clone() }
}

/// Whether an object that is not there is known to have been. What a label calls a Service may be the name of a scrape job.
#[must_use]
pub fn existed(scene: &Scene<'_>, object: &ObjectRef) -> bool {
    let endpoints = ObjectRef::new("Endpoints", &object.namespace, &object.name);
    object.kind != "Service"
        || scene.facts.events_about(object).next().is_some()
        || scene.facts.raw(&endpoints).is_some()
}

/// The logs of the Pods behind an object: of all of them by the Service's or the workload's name, of a Pod by its own.
fn logs(scene: &Scene<'_>, scope: &Scope, resource: &ObjectRef) -> Option<Step> {
    let pod = scope.pods(scene).find(|pod| !pods::is_finished(&pod.object))?;
    let (pod, workload) = (named(&pod.object), scene.workload(&pod.object));
    let of = match resource.kind.as_str() {
        "Pod" if scene.pod(resource).is_some() => resource.clone(),
        "Node" | "Namespace" | "PersistentVolume" | "PersistentVolumeClaim" => return None,
        _ if matches!(workload.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet" | "Job") => workload,
        _ => pod,
    };
    let whose = selector(scene, &of).map_or_else(|| slash(&of), |labels| format!("-l {labels} --prefix"));
    Some(look(
        scene.text(format!("查看 {of} 近一小时的日志"), format!("Read the last hour of the logs of {of}")),
        kubectl(&of.namespace, &format!("logs {whose} --all-containers --since=1h --tail=200")),
    ))
}

/// The labels by which a workload that was read knows its Pods: by its name `kubectl logs` reads but one of them.
fn selector(scene: &Scene<'_>, workload: &ObjectRef) -> Option<String> {
    let (value, _) = scene.facts.raw(workload)?;
    let labels = value.pointer("/spec/selector/matchLabels")?.as_object()?;
    let pairs: Option<Vec<String>> =
        labels.iter().map(|(key, value)| Some(format!("{key}={}", value.as_str()?))).collect();
    pairs.filter(|pairs| !pairs.is_empty()).map(|pairs| pairs.join(","))
}

/// Who is behind a Service, and whether they are ready.
fn leading_there(scene: &Scene<'_>, resource: &ObjectRef) -> Option<Step> {
    let service = scene.service(&resource.namespace, &resource.name).filter(|_| resource.kind == "Service")?;
    service_selector(&service.object)?;
    let name = &resource.name;
    Some(look(
        scene.text("查看该 Service 的后端地址", "See the addresses behind the Service"),
        kubectl(&resource.namespace, &format!("get endpointslices -l kubernetes.io/service-name={name} -o wide")),
    ))
}

/// Which versions there were, and when.
fn history(scene: &Scene<'_>, scope: &Scope, resource: &ObjectRef) -> Option<Step> {
    let mut workloads = scope.pods(scene).map(|pod| scene.workload(&pod.object));
    let rolls = |it: &ObjectRef| matches!(it.kind.as_str(), "Deployment" | "StatefulSet" | "DaemonSet");
    let workload = Some(resource.clone()).filter(rolls).or_else(|| workloads.find(rolls))?;
    Some(look(
        scene.text(format!("查看 {workload} 的版本历史"), format!("See the versions of {workload}")),
        kubectl(&workload.namespace, &format!("rollout history {}", slash(&workload))),
    ))
}

/// What happened around it, the latest last.
fn events(scene: &Scene<'_>, resource: &ObjectRef) -> Option<Step> {
    let title = scene.text("按时间查看事件", "See the events in the order of time");
    match resource.kind.as_str() {
        "Node" => Some(look(
            title,
            format!(
                "kubectl get events -A --field-selector involvedObject.name={} --sort-by=.lastTimestamp",
                resource.name
            ),
        )),
        _ if resource.namespace.is_empty() => None,
        _ => Some(look(title, kubectl(&resource.namespace, "get events --sort-by=.lastTimestamp"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, can_be_copied, deployment, node, pod, service};

    fn commands(world: World) -> Vec<String> {
        let steps = world.diagnosis().steps;
        can_be_copied(&steps);
        steps.into_iter().filter_map(|step| step.command).collect()
    }

    #[test]
    fn a_report_that_blames_nothing_says_where_to_look_next() {
        let world = World::asking("Service", "web")
            .alert("ApiLatencyHigh")
            .with(service(json!({"app": "web"})))
            .with(deployment(1, 1))
            .with(pod(json!({})));
        let commands = commands(world);
        for words in [
            "logs -l app=web --prefix --all-containers",
            "get endpointslices -l kubernetes.io/service-name=web",
            "rollout history deployment/web",
            "get events --sort-by=.lastTimestamp",
        ] {
            assert!(commands.iter().any(|command| command.contains(words)), "{words}: {commands:?}");
        }
    }

    #[test]
    fn of_a_node_and_of_what_is_gone_there_are_no_logs() {
        let of_node = commands(World::asking("Node", "n1").with(node(json!({}))));
        assert!(of_node[0].contains("describe node/n1") && of_node.len() == 2, "{of_node:?}");
        let gone = commands(World::asking("Deployment", "web").listed("Deployment"));
        assert!(gone.len() == 1 && gone[0].contains("get deployments"), "{gone:?}");
    }
}
