//! Nodes that lack what a container needs of them: its template is right, for it runs on other Nodes.

mod kind;

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};

use self::kind::{Kind, brings, kind};
use crate::alert::ObjectRef;
use crate::playbook::facts::{Facts, Seen};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::playbook::selector::{LabelMap, covers};
use crate::report::{Confidence, Step};

/// Labels that tell one Node from another by design.
const OWN: [&str; 3] = ["kubernetes.io/hostname", "topology.", "failure-domain."];
/// Labels that are named.
const NAMED: usize = 3;

/// Findings about Nodes on which a container cannot be created while its siblings run elsewhere.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| told(scene, pod)).collect()
}

/// Whether a Node is at fault for a Pod that cannot start there.
#[must_use]
pub fn explains(scene: &Scene<'_>, pod: &Seen<Pod>) -> bool {
    lack(scene.facts, &pod.object).is_some_and(|_| Siblings::of(scene, pod).is_some())
}

/// Whether a message says that a Node lacks something.
#[must_use]
pub fn is_local(message: &str) -> bool {
    kind(message).is_some()
}

/// Whether a DaemonSet may be what brings to the Nodes that which a Pod misses on its own, by their names.
#[must_use]
pub fn may_bring(facts: &Facts, pod: &Pod, daemon_set: &str) -> bool {
    lack(facts, pod).is_some_and(|(kind, message)| brings(kind, &message, daemon_set).is_some())
}

/// Whether a Pod waits for something its Node lacks.
#[must_use]
pub fn waits(facts: &Facts, pod: &Pod) -> bool {
    lack(facts, pod).is_some()
}

/// What a Pod that has not started misses on its Node, and the words that say so.
fn lack(facts: &Facts, pod: &Pod) -> Option<(&'static Kind, String)> {
    const WAITS: [&str; 5] = [
        "CreateContainerError",
        "CreateContainerConfigError",
        "RunContainerError",
        "ContainerCreating",
        "PodInitializing",
    ];
    const REASONS: [&str; 3] = ["Failed", "FailedCreatePodSandBox", "FailedMount"];
    pods::node_name(pod)?;
    let views = pods::containers(pod);
    let view = views.iter().find(|view| WAITS.contains(&view.waiting_reason()))?;
    let own = view.waiting().and_then(|waiting| waiting.message.clone());
    let name = named(pod);
    let events = facts.events_about(&name).filter(|event| REASONS.contains(&event.reason.as_str()));
    let mut said = own.into_iter().chain(events.map(|event| event.message.clone()));
    said.find_map(|message| Some((kind(&message)?, message)))
}

/// The Pods of the same template, by how they fare on their Nodes.
struct Siblings<'s> {
    /// Nodes on which one of them runs.
    good: Vec<String>,
    /// The Nodes among them that were read, and the one at fault.
    read: Vec<&'s Node>,
    bad: Option<&'s Seen<Node>>,
}

impl<'s> Siblings<'s> {
    /// `None` where none runs elsewhere, or one does on the same Node: then nothing speaks against the Node.
    fn of(scene: &'s Scene<'_>, pod: &Seen<Pod>) -> Option<Self> {
        let here = pods::node_name(&pod.object)?;
        let of_template = |other: &&&Seen<Pod>| revision(&other.object) == revision(&pod.object);
        let runs = |other: &&&Seen<Pod>| {
            let views = pods::containers(&other.object);
            !pods::is_leaving(&other.object) && views.iter().any(|view| !view.init && view.running())
        };
        let siblings = scene.pods_of(&scene.workload(&pod.object));
        let running = siblings.iter().filter(of_template).filter(runs);
        let good: BTreeSet<String> =
            running.filter_map(|other| pods::node_name(&other.object)).map(str::to_owned).collect();
        if good.is_empty() || good.contains(here) {
            return None;
        }
        let read = good.iter().filter_map(|name| scene.node(name)).map(|node| &node.object).collect();
        Some(Self { good: good.into_iter().collect(), read, bad: scene.node(here) })
    }

    /// Labels that all the good Nodes carry alike and the bad one does not.
    fn lacking(&self) -> Vec<(&'s String, &'s String)> {
        let own = |key: &str| OWN.iter().any(|part| key.starts_with(part)) || key.contains("instance-type");
        let labels = |node: &'s Node| node.metadata.labels.as_ref();
        let Some((first, rest)) = self.read.split_first() else { return Vec::new() };
        let Some(bad) = self.bad else { return Vec::new() };
        let carried = |node: &'s Node, key: &String| labels(node).and_then(|all| all.get(key));
        let mut pairs: Vec<_> = labels(first).into_iter().flatten().collect();
        pairs.retain(|(key, value)| {
            let alike = rest.iter().all(|node| carried(node, key) == Some(*value));
            let here = bad.object.metadata.labels.as_ref().and_then(|all| all.get(*key));
            !own(key) && alike && here != Some(*value)
        });
        pairs
    }

    /// Hours since the bad Node joined, where every good one is older.
    fn younger(&self, scene: &Scene<'_>) -> Option<i64> {
        let made = |node: &Node| node.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let bad = self.bad?;
        let (age, at) =
            (scene.minutes_since(bad.object.metadata.creation_timestamp.as_ref())? / 60, made(&bad.object)?);
        let older = |node: &&Node| made(node).is_some_and(|other| other < at);
        (!self.read.is_empty() && self.read.iter().all(older)).then_some(age)
    }
}

/// What two Pods of one template have in common.
fn revision(pod: &Pod) -> (Option<&String>, Option<&String>) {
    let labels = pod.metadata.labels.as_ref();
    let label = |key: &str| labels.and_then(|labels| labels.get(key));
    (label("pod-template-hash"), label("controller-revision-hash"))
}

/// A DaemonSet that brings, by its name, what the Node lacks, and the labels it asks for.
struct Bringer {
    name: ObjectRef,
    reference: String,
    /// Its name tells of what is missing, not only of its kind.
    is_telling: bool,
    /// Labels it asks for that the Node lacks and the good Nodes carry; empty where these do not explain it.
    asks: LabelMap,
}

fn bringer(scene: &Scene<'_>, (kind, message): (&Kind, &str), siblings: &Siblings<'_>) -> Option<Bringer> {
    let sets = || scene.daemon_sets.iter().filter(|set| set.object.spec.is_some());
    let by_name =
        |set: &Seen<DaemonSet>| brings(kind, message, set.object.metadata.name.as_deref().unwrap_or_default());
    let of = |telling: bool| sets().find(|set| by_name(set) == Some(telling)).map(|set| (set, telling));
    let (found, is_telling) = of(true).or_else(|| of(false))?;
    let spec = found.object.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let asked = spec.and_then(|spec| spec.node_selector.clone()).unwrap_or_default();
    let here = siblings.bad.and_then(|node| node.object.metadata.labels.as_ref());
    let fits =
        !siblings.read.is_empty() && siblings.read.iter().all(|node| covers(&asked, node.metadata.labels.as_ref()));
    let kept = |(key, value): &(String, String)| here.is_some_and(|labels| labels.get(key) != Some(value));
    let asks = if fits && is_telling { asked.into_iter().filter(kept).collect() } else { LabelMap::new() };
    Some(Bringer { name: named(&found.object), reference: found.reference.clone(), is_telling, asks })
}

fn told(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let (kind, message) = lack(scene.facts, &pod.object)?;
    let siblings = Siblings::of(scene, pod)?;
    let node = ObjectRef::new("Node", "", pods::node_name(&pod.object)?);
    let bringer = bringer(scene, (kind, &message), &siblings);
    let (name, workload, good) = (named(&pod.object), scene.workload(&pod.object), siblings.good.join(", "));
    let why = because(scene, &node, bringer.as_ref());
    let headline = scene.text(
        format!("Node {} 上缺少 {workload} 所需的{}：同一模板的 Pod 在 {good} 上正常运行{why}", node.name, kind.zh),
        format!(
            "Node {} lacks {} that {workload} needs: Pods of the same template run on {good}{why}",
            node.name, kind.en
        ),
    );
    let said = logs::said(message.trim_start_matches("Error: "));
    let apart = apart(scene, &node, &siblings, !why.is_empty());
    let summary = scene.text(
        format!("{headline}。{name} 在该节点上无法启动：{said}{apart}。"),
        format!("{headline}. {name} cannot start there: {said}{apart}."),
    );
    let proven = bringer.as_ref().is_some_and(|bringer| !bringer.asks.is_empty());
    let events = scene.events(&name, &["Failed", "FailedCreatePodSandBox", "FailedMount"]);
    let event = events.into_iter().rfind(|event| is_local(&event.message));
    Some(
        Finding::new("node_lacks_prerequisite", Depth::Root, &name, &node, headline)
            .summary(summary)
            .confidence(if proven { Confidence::High } else { Confidence::Medium })
            .cite([event.and_then(|event| scene.quote_event(event)), scene.quote(&pod.reference, &message)])
            .cite(
                bringer.iter().flat_map(|it| {
                    it.asks.keys().map(|key| scene.quote_line(&it.reference, &[key])).collect::<Vec<_>>()
                }),
            )
            .touches([workload])
            .touches(bringer.iter().filter(|bringer| bringer.is_telling).map(|bringer| bringer.name.clone()))
            .steps(steps(scene, &name, &node, &siblings, bringer.as_ref())),
    )
}

/// Why it is missing there, as far as the one who brings it says.
fn because(scene: &Scene<'_>, node: &ObjectRef, bringer: Option<&Bringer>) -> String {
    let Some(bringer) = bringer.filter(|bringer| !bringer.asks.is_empty()) else { return String::new() };
    let pairs = bringer.asks.iter().map(|(key, value)| format!("{key}={value}"));
    let (name, asks) = (&bringer.name, pairs.collect::<Vec<_>>().join(", "));
    scene.text(
        format!("；按名称负责安装它的 {name} 只在带有 {asks} 的节点上运行，而 {} 没有这个标签", node.name),
        format!(
            "; {name}, which by its name installs it, runs only on Nodes with {asks}, a label that {} lacks",
            node.name
        ),
    )
}

/// What sets the Node apart from those where it works; its labels are left out where one of them explained it.
fn apart(scene: &Scene<'_>, node: &ObjectRef, siblings: &Siblings<'_>, explained: bool) -> String {
    let mut told = String::new();
    if let Some(hours) = siblings.younger(scene) {
        told += &scene.text(
            format!("；{} 是其中最新加入的节点（{hours} 小时前）", node.name),
            format!("; {} joined last of these Nodes, {hours} hours ago", node.name),
        );
    }
    let lacking = siblings.lacking();
    let pairs = lacking.iter().take(NAMED).map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
    if !pairs.is_empty() && !explained {
        told += &scene.text(
            format!("；其余节点都带有的标签 {pairs}，它没有"),
            format!("; it does not carry {pairs}, as the others do"),
        );
    }
    told
}

fn steps(
    scene: &Scene<'_>,
    pod: &ObjectRef,
    node: &ObjectRef,
    siblings: &Siblings<'_>,
    bringer: Option<&Bringer>,
) -> Vec<Step> {
    let mut steps = vec![look(
        scene.text("对比该节点与正常节点的标签", "Compare the Node's labels with those where it works"),
        format!("kubectl get nodes {} {} --show-labels", node.name, siblings.good.join(" ")),
    )];
    if let Some(bringer) = bringer {
        let (namespace, set) = (&bringer.name.namespace, slash(&bringer.name));
        steps.push(look(
            if bringer.is_telling {
                scene.text("查看负责安装它的 DaemonSet", "Look at the DaemonSet that brings it")
            } else {
                scene.text("确认是否由这个 DaemonSet 安装它", "See whether this DaemonSet brings it")
            },
            kubectl(namespace, &format!("get {set} -o wide")),
        ));
        steps.extend(bringer.asks.iter().take(1).map(|(key, value)| {
            change(
                scene.text(
                    format!("若该节点本应具备，给它打上标签，让 {} 在其上运行", bringer.name),
                    format!("If the Node is meant to have it, label it, so that {} runs there", bringer.name),
                ),
                scene.text(
                    "之后 kubelet 会自动重试；工作负载自身的设置是对的，不要去掉",
                    "The kubelet then tries again by itself; the workload's own setting is right and stays",
                ),
                Some(format!("kubectl label node {} {key}={value}", node.name)),
            )
        }));
    }
    steps.push(until_then(scene, pod, node));
    steps
}

/// What to do until the Node has it. A daemon's Pod is meant for that Node, and a cordon does not keep it off.
fn until_then(scene: &Scene<'_>, pod: &ObjectRef, node: &ObjectRef) -> Step {
    let workload = scene.pod(pod).map(|pod| scene.workload(&pod.object));
    if let Some(daemon) = workload.filter(|workload| workload.kind == "DaemonSet") {
        return change(
            scene.text(
                format!("让 Node {} 像其他节点一样具备它，或用 nodeSelector 让 {daemon} 不在该节点上运行", node.name),
                format!(
                    "Bring it to Node {} as the others have it, or keep {daemon} off that Node by a nodeSelector",
                    node.name
                ),
            ),
            "",
            None,
        );
    }
    change(
        scene.text(
            format!("在 Node {} 具备它之前，不让 Pod 调度到那里", node.name),
            format!("Keep Pods off Node {} until it has it", node.name),
        ),
        scene.text(
            format!("之后删除 {pod}，由控制器在其他节点上重建；不要修改工作负载的模板"),
            format!("Then delete {pod}, so that it is made anew elsewhere; leave the workload's template as it is"),
        ),
        Some(format!("kubectl cordon {}", node.name)),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::kind::{MISSING, brings, kind};
    use crate::playbook::world::{World, node, patched, pod, waiting};
    use crate::report::Confidence;

    const SAID: &str = "failed to create containerd container: cannot load seccomp profile \"/var/lib/kubelet/seccomp/web.json\": open /var/lib/kubelet/seccomp/web.json: no such file or directory";

    fn on(name: &str, node: &str, state: Value) -> Value {
        pod(patched(state, json!({"metadata": {"name": name}, "spec": {"nodeName": node}})))
    }

    fn machine(name: &str, made: &str, hardened: bool) -> Value {
        let label = if hardened { json!("true") } else { Value::Null };
        node(json!({"metadata": {"name": name, "creationTimestamp": made, "labels": {"example.com/hardened": label}}}))
    }

    fn installer() -> Value {
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "seccomp-installer", "namespace": "sec"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [], "nodeSelector": {"example.com/hardened": "true"}}}},
            "status": {"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": 1}})
    }

    fn world(good_on: &str, message: &str) -> World {
        World::asking("Pod", "web-1-b")
            .with(on("web-1-a", good_on, json!({})))
            .with(on("web-1-b", "n2", waiting("CreateContainerError", message)))
            .with(machine("n1", "2026-01-01T00:00:00Z", true))
            .with(machine("n2", "2026-11-22T03:00:00Z", false))
    }

    #[test]
    fn the_node_is_blamed_where_the_same_template_runs_on_others() {
        let alone = world("n1", SAID);
        assert_eq!(alone.cause(), "node_lacks_prerequisite Node/n2");
        assert_eq!(alone.diagnosis().causes[0].confidence, Confidence::Medium);
        let summary = alone.diagnosis().causes[0].summary.clone();
        assert!(summary.contains("joined last of these Nodes, 24 hours ago"), "{summary}");
        assert!(summary.contains("example.com/hardened=true"), "{summary}");
        let told = world("n1", SAID).with(installer()).diagnosis();
        assert_eq!(told.causes[0].confidence, Confidence::High);
        assert!(told.headline.contains("DaemonSet sec/seccomp-installer"), "{}", told.headline);
        let commands: Vec<&str> = told.steps.iter().filter_map(|step| step.command.as_deref()).collect();
        assert!(commands.contains(&"kubectl label node n2 example.com/hardened=true"), "{commands:?}");
        assert!(!commands.iter().any(|command| command.contains("edit")), "{commands:?}");
    }

    #[test]
    fn what_runs_nowhere_or_on_the_same_node_does_not_blame_the_node() {
        let nowhere = World::asking("Pod", "web-1-b").with(on("web-1-b", "n2", waiting("CreateContainerError", SAID)));
        assert_eq!(nowhere.cause(), "container_cannot_be_created Deployment/web");
        assert_eq!(world("n2", SAID).cause(), "container_cannot_be_created Deployment/web");
    }

    #[test]
    fn who_brings_another_device_is_not_who_brings_this_one() {
        let message =
            "error gathering device information while adding custom device \"/dev/fuse\": no such file or directory";
        let told = |name: &str| {
            let set = patched(installer(), json!({"metadata": {"name": name}}));
            world("n1", message).with(set).diagnosis()
        };
        let labels = |diagnosis: &crate::report::Diagnosis| {
            diagnosis.steps.iter().any(|step| step.command.as_deref().is_some_and(|it| it.contains("label node")))
        };
        let own = told("fuse-device-plugin");
        assert!(labels(&own) && own.causes[0].confidence == Confidence::High);
        for other in ["nvidia-device-plugin", "confuser", "node-exporter"] {
            let other = told(other);
            assert!(!labels(&other) && other.causes[0].confidence == Confidence::Medium, "{}", other.headline);
        }
    }

    #[test]
    fn who_brings_something_is_known_by_its_name() {
        let by = |message: &str, name: &str| brings(kind(message).unwrap(), message, name);
        let handler = "no runtime for \"runsc\" is configured";
        assert_eq!((by(handler, "gvisor-installer"), by(handler, "runtime-setup")), (Some(true), Some(false)));
        assert_eq!(by(handler, "kata-deploy"), None);
        assert_eq!(by("no runtime for \"kata-qemu\" is configured", "kata-deploy"), Some(true));
        let device = "error gathering device information while adding custom device \"/dev/nvidia0\": no such file";
        assert_eq!((by(device, "nvidia-device-plugin"), by(device, "fuse-device-plugin")), (Some(true), Some(false)));
        assert!(MISSING.compiles());
    }

    #[test]
    fn another_template_that_runs_elsewhere_says_nothing_of_this_one() {
        let old = json!({"metadata": {"labels": {"pod-template-hash": "0"}}});
        let world = World::asking("Pod", "web-1-b").with(patched(on("web-0-a", "n1", json!({})), old)).with(on(
            "web-1-b",
            "n2",
            waiting("CreateContainerError", SAID),
        ));
        assert_ne!(world.cause(), "node_lacks_prerequisite Node/n2");
    }

    #[test]
    fn a_daemons_pod_is_not_kept_off_by_a_cordon() {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "uid": "d", "controller": true}]);
        let of = |name: &str, node: &str, state: Value| {
            patched(on(name, node, state), json!({"metadata": {"ownerReferences": owner}}))
        };
        let world = World::asking("Pod", "agent-b").with(of("agent-a", "n1", json!({}))).with(of(
            "agent-b",
            "n2",
            waiting("CreateContainerError", SAID),
        ));
        assert_eq!(world.cause(), "node_lacks_prerequisite Node/n2");
        let steps = world.diagnosis().steps;
        assert!(!steps.iter().any(|step| step.command.as_deref().is_some_and(|it| it.contains("cordon"))), "{steps:?}");
    }

    #[test]
    fn words_that_are_not_of_the_node_stay_the_workloads() {
        let world = world("n1", "failed to reserve container name \"web\": name is reserved for \"77ab\"");
        assert_eq!(world.cause(), "container_cannot_be_created Deployment/web");
    }

    #[test]
    fn a_runtime_handler_and_a_host_path_are_of_the_node_too() {
        let told = |reason: &str, message: &str| {
            World::asking("Pod", "web-1-b")
                .with(on("web-1-a", "n1", json!({})))
                .with(on("web-1-b", "n2", waiting("ContainerCreating", "")))
                .event("Pod", "web-1-b", reason, message)
                .cause()
        };
        let handler = "Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for \"runsc\" is configured";
        assert_eq!(told("FailedCreatePodSandBox", handler), "node_lacks_prerequisite Node/n2");
        let path = "MountVolume.SetUp failed for volume \"dev\" : hostPath type check failed: /dev/fuse is not a character device";
        assert_eq!(told("FailedMount", path), "node_lacks_prerequisite Node/n2");
    }
}
