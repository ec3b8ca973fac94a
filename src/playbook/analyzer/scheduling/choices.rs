//! Choices: what can be changed where a rule of its own keeps a Pod from every Node, by the fields' names, and what to read
//! before one is made.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{Waiting, apart, ports, rules, spread};
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{change, counted, edit_template, kubectl, look, slash};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector;
use crate::report::Step;

/// Steps for anti-affinity that must hold; `None` where its term was not read.
pub(super) fn apart(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Option<Vec<Step>> {
    let term = apart::hard(waiting.pod).first()?;
    let key = &term.topology_key;
    let counts = apart::counts(scene, waiting, term);
    let shared = scene.text(
        format!("之后多个副本可能落在同一个 {key} 取值上；不能接受时改为增加 Node"),
        format!("Replicas may then share one {key}; add Nodes instead where that must not be"),
    );
    let relax = change(
        scene.text(
            format!("把 podAntiAffinity 中 topologyKey {key} 的 requiredDuringSchedulingIgnoredDuringExecution 改为 preferredDuringSchedulingIgnoredDuringExecution"),
            format!("Turn podAntiAffinity's requiredDuringSchedulingIgnoredDuringExecution for topologyKey {key} into preferredDuringSchedulingIgnoredDuringExecution"),
        ),
        shared,
        edit_template(&waiting.workload),
    );
    let mut steps = readings(scene, waiting, term.label_selector.as_ref(), key);
    steps.extend(counts.and_then(|(wanted, places)| fewer(scene, waiting, wanted, places)));
    steps.push(relax);
    Some(steps)
}

/// Steps for a topology spread constraint that must hold; `None` where it was not read.
pub(super) fn spread(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Option<Vec<Step>> {
    let rule = spread::hard(waiting.pod).next()?;
    let (key, skew) = (&rule.topology_key, rule.max_skew);
    let closed = spread::empty_domains(scene, waiting.pod, key).join(", ");
    let mut steps = readings(scene, waiting, rule.label_selector.as_ref(), key);
    if !closed.is_empty() {
        steps.push(change(
            scene.text(
                format!("恢复或增加 {key} 为 {closed} 的 Node"),
                format!("Bring back or add a Node with {key} {closed}"),
            ),
            scene.text(
                "只要那里没有可用的 Node，其余取值上就不能再多放副本",
                "While none is in service there, the others may not take more replicas",
            ),
            None,
        ));
    }
    steps.push(change(
        scene.text(
            format!("把 topologySpreadConstraints 中 topologyKey {key} 的 whenUnsatisfiable 由 DoNotSchedule 改为 ScheduleAnyway，或增大 maxSkew（当前 {skew}）"),
            format!("Set whenUnsatisfiable of the topologySpreadConstraints for topologyKey {key} from DoNotSchedule to ScheduleAnyway, or raise its maxSkew of {skew}"),
        ),
        scene.text(
            "之后副本可能分布不均，恢复后可重新调度",
            "Replicas may then be spread unevenly until they are made anew",
        ),
        edit_template(&waiting.workload),
    ));
    Some(steps)
}

/// Steps for a port of the Node that is taken; `None` where the Pod's ports were not read.
pub(super) fn ports(scene: &Scene<'_>, waiting: &Waiting<'_>) -> Option<Vec<Step>> {
    let wanted = ports::of(waiting.pod);
    if wanted.is_empty() {
        return None;
    }
    let port = wanted.iter().map(|(port, _)| port.to_string()).collect::<Vec<_>>().join(", ");
    let workload = &waiting.workload;
    let holders = ports::holders(scene, waiting.pod);
    let mut steps = vec![rules::events(scene, waiting)];
    match holders.iter().find(|holder| *holder != workload) {
        Some(holder) => steps.extend([
            look(
                scene.text(
                    format!("查看占用 hostPort {port} 的 {holder}"),
                    format!("Look at {holder}, which holds hostPort {port}"),
                ),
                kubectl(&holder.namespace, &format!("describe {}", slash(holder))),
            ),
            change(
                scene.text(
                    format!("让两者之一使用别的端口：修改 {workload} 或 {holder} 的 ports[].hostPort（{port}）"),
                    format!("Give one of the two another port: change ports[].hostPort {port} of {workload} or of {holder}"),
                ),
                "",
                edit_template(workload),
            ),
        ]),
        // Its own replicas hold it: there is room for one on each Node.
        None if holders.contains(workload) => {
            steps.push(where_they_are(scene, waiting, None));
            let places = (super::unread(scene, &waiting.message).is_none() && !scene.nodes.is_empty())
                .then(|| apart::usable(scene, waiting).count());
            let wanted = scene.replicas(workload).map(|(_, wanted)| wanted);
            steps.extend(wanted.zip(places).and_then(|(wanted, places)| fewer(scene, waiting, wanted, places)));
        }
        None => steps.extend([
            who_stands_there(scene, waiting, &port),
            change(
                scene.text(
                    format!("改用节点上空闲的端口（ports[].hostPort，当前 {port}），或让占用它的 Pod 让出"),
                    format!("Choose a port that is free on the Nodes (ports[].hostPort, now {port}), or have whoever holds it give it up"),
                ),
                "",
                edit_template(workload),
            ),
        ]),
    }
    steps.push(change(
        scene.text(
            format!("或去掉 hostPort {port}，改用 Service 访问"),
            format!("Or take hostPort {port} away and reach it by a Service"),
        ),
        scene.text("hostPort 使每个 Node 最多容纳一个副本", "With a hostPort a Node takes one replica at most"),
        edit_template(workload),
    ));
    Some(steps)
}

/// Who holds a port was not read: it runs on the Node that the Pod may use, if that is one alone.
fn who_stands_there(scene: &Scene<'_>, waiting: &Waiting<'_>, port: &str) -> Step {
    let names: Vec<&str> = scene
        .nodes
        .iter()
        .filter(|node| selector::node_matches(waiting.pod, &node.object))
        .filter_map(|node| node.object.metadata.name.as_deref())
        .collect();
    let on = match names.as_slice() {
        [only] => format!(" --field-selector spec.nodeName={only}"),
        _ => String::new(),
    };
    look(
        scene.text(
            format!("找出占用 hostPort {port} 的 Pod（也可能是节点上的进程）"),
            format!("Find the Pod that holds hostPort {port}, if it is not a process of the Node itself"),
        ),
        format!("kubectl get pods -A -o wide{on}"),
    )
}

/// What is read first: the scheduler's words, where the Pods stand that count, and what the Nodes say of the key.
fn readings(scene: &Scene<'_>, waiting: &Waiting<'_>, pods: Option<&LabelSelector>, key: &str) -> Vec<Step> {
    vec![
        rules::events(scene, waiting),
        where_they_are(scene, waiting, pods),
        look(
            scene.text(format!("查看各 Node 的 {key}"), format!("See each Node's {key}")),
            format!("kubectl get nodes -L {key}"),
        ),
    ]
}

fn where_they_are(scene: &Scene<'_>, waiting: &Waiting<'_>, pods: Option<&LabelSelector>) -> Step {
    let by_labels = |labels: &BTreeMap<String, String>| {
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    };
    let labels = pods.and_then(|pods| pods.match_labels.as_ref()).filter(|labels| !labels.is_empty()).map(by_labels);
    let of = labels.map(|labels| format!(" -l {labels}")).unwrap_or_default();
    look(
        scene.text("查看现有副本各在哪个 Node", "See on which Nodes its replicas stand"),
        kubectl(&waiting.name.namespace, &format!("get pods -o wide{of}")),
    )
}

/// More replicas than there are places for: as many as there are, or more Nodes. One that stands where no further may go keeps
/// its place, and what wants one for each Node is never told to want fewer.
fn fewer(scene: &Scene<'_>, waiting: &Waiting<'_>, wanted: i32, places: usize) -> Option<Step> {
    if waiting.workload.kind == "DaemonSet" {
        return None;
    }
    let places = places.max(standing(scene, &waiting.workload).count());
    let places = i32::try_from(places).ok().filter(|places| *places > 0 && *places < wanted)?;
    let workload = &waiting.workload;
    let missing = wanted - places;
    let nodes = counted(missing, "Node");
    let title = scene.text(
        format!("增加 {missing} 个可用的 Node，或把副本数从 {wanted} 降到 {places}"),
        format!("Add {nodes} it may use, or lower its replicas from {wanted} to {places}"),
    );
    // What an autoscaler sets is not scaled by hand.
    if let Some(scaler) = scene.autoscaler(workload) {
        let scaler = named(&scaler.object);
        let detail = scene.text(
            format!("副本数由 {scaler} 决定：调低它的 maxReplicas"),
            format!("{scaler} sets its replicas: lower its maxReplicas"),
        );
        return Some(change(title, detail, Some(kubectl(&scaler.namespace, &format!("edit {}", slash(&scaler))))));
    }
    if workload.kind == "StatefulSet" && gives_up_running(scene, waiting, places) {
        let title = scene.text(format!("增加 {missing} 个可用的 Node"), format!("Add {nodes} it may use"));
        let detail = scene.text(
            "不要缩容：StatefulSet 先删除序号最大的 Pod，即正在运行的副本",
            "Do not scale it down: a StatefulSet gives up the Pods of its highest ordinals, which run",
        );
        return Some(change(title, detail, None));
    }
    let scalable = matches!(workload.kind.as_str(), "Deployment" | "StatefulSet");
    let scale = format!("scale {} --replicas={places}", slash(workload));
    Some(change(title, "", scalable.then(|| kubectl(&workload.namespace, &scale))))
}

/// The Pods of a workload that have a place.
fn standing<'s>(scene: &'s Scene<'_>, workload: &ObjectRef) -> impl Iterator<Item = &'s Seen<Pod>> {
    let stands = |pod: &&Seen<Pod>| pods::node_name(&pod.object).is_some() && !pods::is_finished(&pod.object);
    scene.pods_of(workload).into_iter().filter(stands)
}

/// Whether a StatefulSet of so many replicas would give up one that runs: it gives up its highest ordinals, whichever of its
/// Pods waits.
fn gives_up_running(scene: &Scene<'_>, waiting: &Waiting<'_>, places: i32) -> bool {
    let set = scene.stateful_sets.iter().find(|set| named(&set.object) == waiting.workload);
    let first = set.and_then(|set| set.object.spec.as_ref()?.ordinals.as_ref()?.start).unwrap_or(0);
    let goes = |pod: &ObjectRef| {
        let ordinal = pod.name.rsplit('-').next().and_then(|end| end.parse::<i32>().ok());
        ordinal.is_some_and(|ordinal| ordinal.saturating_sub(first) >= places)
    };
    !goes(&waiting.name) || standing(scene, &waiting.workload).any(|pod| goes(&named(&pod.object)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, deployment, node, patched, pod, unschedulable};
    use crate::report::{Effect, Step};

    const APART: &str = "0/1 nodes are available: 1 node(s) didn't match pod anti-affinity rules.";
    const SPREAD: &str = "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints.";
    const PORTS: &str = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";

    fn steps(message: &str, spec: Value, wanted: i32) -> Vec<Step> {
        let placed = json!({"metadata": {"name": "web-1-b"}, "spec": {"nodeName": "n1"}});
        let steps = World::asking("Pod", "web-1-a")
            .with(pod(patched(unschedulable(message), spec.clone())))
            .with(pod(patched(placed, spec)))
            .with(deployment(wanted, 1))
            .with(node(json!({})))
            .diagnosis()
            .steps;
        let first_change = steps.iter().position(|step| step.effect == Effect::Changes).unwrap();
        assert!(steps[first_change..].iter().all(|step| step.effect == Effect::Changes), "{steps:?}");
        steps
    }

    fn has(steps: &[Step], words: &str) -> bool {
        steps
            .iter()
            .any(|step| step.title.contains(words) || step.command.as_deref().is_some_and(|it| it.contains(words)))
    }

    fn apart() -> Value {
        let term = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "web"}}});
        json!({"spec": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}})
    }

    #[test]
    fn anti_affinity_names_the_field_the_replicas_and_where_they_stand() {
        let steps = steps(APART, apart(), 3);
        for words in [
            "get pods -o wide -l app=web",
            "get nodes -L kubernetes.io/hostname",
            "into preferredDuringSchedulingIgnoredDuringExecution",
            "lower its replicas from 3 to 1",
            "scale deployment/web --replicas=1",
        ] {
            assert!(has(&steps, words), "{words}: {steps:?}");
        }
    }

    #[test]
    fn as_many_replicas_as_there_are_places_are_not_told_to_become_fewer() {
        let steps = steps(APART, apart(), 1);
        assert!(!has(&steps, "--replicas="), "{steps:?}");
    }

    #[test]
    fn a_spread_constraint_names_what_to_set_it_to() {
        let rule = json!({"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": "web"}}});
        let steps = steps(SPREAD, json!({"spec": {"topologySpreadConstraints": [rule]}}), 2);
        for words in ["get nodes -L zone", "to ScheduleAnyway, or raise its maxSkew of 1"] {
            assert!(has(&steps, words), "{words}: {steps:?}");
        }
    }

    #[test]
    fn a_host_port_of_its_own_replicas_is_told_from_anothers() {
        let ports =
            json!({"spec": {"containers": [container(json!({"ports": [{"containerPort": 80, "hostPort": 9100}]}))]}});
        let own = steps(PORTS, ports.clone(), 2);
        assert!(has(&own, "lower its replicas from 2 to 1") && has(&own, "take hostPort 9100 away"), "{own:?}");
        let holder = json!({"metadata": {"name": "exporter-x", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "exporter", "uid": "e", "controller": true}]}});
        let other = World::asking("Pod", "web-1-a")
            .with(pod(patched(unschedulable(PORTS), ports.clone())))
            .with(pod(patched(ports, holder)))
            .diagnosis()
            .steps;
        assert!(
            has(&other, "describe daemonset/exporter")
                && has(&other, "of Deployment shop/web or of DaemonSet shop/exporter"),
            "{other:?}"
        );
        assert!(!has(&other, "--replicas="), "{other:?}");
    }

    #[test]
    fn a_port_that_nobody_who_was_read_holds_is_looked_for_and_no_daemon_becomes_fewer() {
        let ports = json!({"spec": {"containers": [container(json!({"ports": [{"containerPort": 80, "hostPort": 9100}]}))]},
            "metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "web", "uid": "d", "controller": true}]}});
        let steps = World::asking("Pod", "web-1-a")
            .with(pod(patched(unschedulable(PORTS), ports)))
            .with(
                json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"selector": {}, "template": {}}, "status": {"numberReady": 1, "desiredNumberScheduled": 5,
                "currentNumberScheduled": 5, "numberMisscheduled": 0}}),
            )
            .with(node(json!({})))
            .diagnosis()
            .steps;
        assert!(has(&steps, "--field-selector spec.nodeName=n1") && has(&steps, "a port that is free"), "{steps:?}");
        assert!(!has(&steps, "lower its replicas"), "{steps:?}");
    }

    #[test]
    fn a_replica_on_a_node_that_takes_no_further_keeps_its_place() {
        let cordoned = json!({"metadata": {"name": "n2"}, "spec": {"unschedulable": true}});
        let placed = |name: &str, node: &str| {
            pod(patched(json!({"metadata": {"name": name}, "spec": {"nodeName": node}}), apart()))
        };
        let steps = World::asking("Pod", "web-1-a")
            .with(pod(patched(unschedulable("0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) didn't match pod anti-affinity rules."), apart())))
            .with(placed("web-1-b", "n1"))
            .with(placed("web-1-c", "n2"))
            .with(deployment(3, 2))
            .with(node(json!({})))
            .with(node(cordoned))
            .diagnosis()
            .steps;
        assert!(has(&steps, "lower its replicas from 3 to 2"), "{steps:?}");
    }

    #[test]
    fn what_an_autoscaler_sets_is_lowered_there() {
        let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"minReplicas": 1, "maxReplicas": 4, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
        let world = World::asking("Pod", "web-1-a")
            .with(pod(patched(unschedulable(APART), apart())))
            .with(deployment(3, 1))
            .with(node(json!({})))
            .with(scaler);
        let steps = world.diagnosis().steps;
        assert!(has(&steps, "edit horizontalpodautoscaler/web") && !has(&steps, "--replicas="), "{steps:?}");
    }

    /// A StatefulSet's Pod that waits for the last place, of two or three, beside others that wait or stand.
    fn member(waits: &str, others: &[(&str, bool)], start: i32) -> Vec<Step> {
        let own = |name: &str| {
            let owner = json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "s", "controller": true}]);
            patched(apart(), json!({"metadata": {"name": name, "ownerReferences": owner}}))
        };
        let waiting = |name: &str| pod(patched(unschedulable(APART), own(name)));
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"replicas": others.len() + 1, "serviceName": "web", "selector": {}, "template": {}, "ordinals": {"start": start}},
            "status": {"replicas": others.len() + 1, "readyReplicas": 1}});
        let world = World::asking("Pod", waits).with(set).with(node(json!({}))).with(waiting(waits));
        let with = |world: World, (name, stands): &(&str, bool)| {
            world.with(if *stands { pod(own(name)) } else { waiting(name) })
        };
        others.iter().fold(world, with).diagnosis().steps
    }

    #[test]
    fn a_stateful_set_is_not_told_to_give_up_a_member_that_runs() {
        let warned = |steps: &[Step]| steps.iter().any(|step| step.detail.contains("Do not scale it down"));
        let first = member("web-0", &[("web-1", true)], 0);
        assert!(!has(&first, "--replicas=") && warned(&first), "{first:?}");
        let last = member("web-1", &[("web-0", true)], 0);
        assert!(has(&last, "scale statefulset/web --replicas=1") && !warned(&last), "{last:?}");
        let between = member("web-2", &[("web-0", false), ("web-1", true)], 0);
        assert!(!has(&between, "--replicas=") && warned(&between), "the first one waits too: {between:?}");
        let names: Vec<String> = (0..10).map(|ordinal| format!("web-{ordinal}")).collect();
        let others: Vec<(&str, bool)> = names.iter().map(|name| (name.as_str(), name != "web-2")).collect();
        let many = member("web-10", &others, 0);
        assert!(!has(&many, "--replicas=") && warned(&many), "web-9 would go with it: {many:?}");
    }

    #[test]
    fn members_that_are_counted_from_another_number_are_told_apart_as_well() {
        let first = member("web-5", &[("web-6", true)], 5);
        assert!(!has(&first, "--replicas="), "{first:?}");
        let last = member("web-6", &[("web-5", true)], 5);
        assert!(has(&last, "scale statefulset/web --replicas=1"), "{last:?}");
    }
}
