//! Volumes that cannot be mounted and sandboxes that cannot be made: Pods that hang before any container starts.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::{config, multi_attach, node_read_only};
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// How a mount command names a file system that a server holds.
static OVER_THE_NETWORK: Pattern = Pattern::new(r"-t (?:nfs4?|cifs|smb3|ceph|glusterfs)\b|\bmount\.(?:nfs4?|cifs)\b");
static VOLUME: Pattern = Pattern::new(r#"for volume "([^"]+)""#);
/// What stands before the reason: `… failed to setup network for sandbox "9fd2…": `.
static SANDBOX: Pattern =
    Pattern::new(r#"(?i)\bsandbox:? (?:container )?"[0-9a-f]{8,}"(?: network for pod "[^"]*")?:"#);
/// How plugins say that a Node's range of Pod addresses is used up: host-local, Calico, Cilium and those of clouds.
static NO_ADDRESS: Pattern = Pattern::new(
    r"(?i)\bno (?:more )?(?:available )?ip(?:v4|v6)? address(?:es)? (?:is |are )?(?:available|left)|\bno available ip|ip address(?:es)? (?:pool )?(?:is |are )?exhausted|no more ips|range is full|failed to assign an ip address",
);
static MISSING_KEY: Pattern = Pattern::new(r"references non-existent (?:config|secret) key: ?(\S+)");

/// Findings about Pods that wait for their volumes or their sandbox.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.pods.iter().filter(|pod| hangs(&pod.object)).filter_map(|pod| stuck(scene, pod)).collect()
}

/// Placed, but no container has come further than being created.
fn hangs(pod: &Pod) -> bool {
    let before_start =
        |view: &pods::ContainerView<'_>| matches!(view.waiting_reason(), "ContainerCreating" | "PodInitializing");
    let views = pods::containers(pod);
    let begun = views.iter().any(|view| view.running() || view.ended().is_some());
    let unreported = views.iter().all(|view| view.status.is_none());
    pods::phase(pod) == "Pending"
        && pods::node_name(pod).is_some()
        && !pods::is_leaving(pod)
        && !begun
        && (unreported || views.iter().any(before_start))
}

fn stuck(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let name = named(&pod.object);
    let events = scene.events(&name, &["FailedMount", "FailedAttachVolume", "FailedMapVolume"]);
    // A message that names the reason says more than one that only says "timed out waiting".
    // The disk of its Node says more than what could not be put there.
    let node = pods::node_name(&pod.object).unwrap_or_default();
    if let Some(found) = events.iter().find_map(|event| node_read_only::told_by(scene, &name, node, event)) {
        return Some(found.touches([scene.workload(&pod.object)]));
    }
    let vague = |event: &&&SeenEvent| {
        event.message.contains("timed out waiting") || event.message.contains("unmounted volumes")
    };
    let event = events.iter().find(|event| !vague(event)).or_else(|| events.last()).copied();
    if let Some(event) = event {
        return Some(mount_failed(scene, pod, &name, event));
    }
    let sandbox = scene.events(&name, &["FailedCreatePodSandBox"]).into_iter().next_back();
    sandbox.map(|event| no_sandbox(scene, pod, &name, event)).or_else(|| reference_missing(scene, pod, &name))
}

fn mount_failed(scene: &Scene<'_>, pod: &Seen<Pod>, name: &ObjectRef, event: &SeenEvent) -> Finding {
    let volume = VOLUME.group(&event.message, 1);
    let volume = volume.unwrap_or_default();
    let times = scene.times(event.count);
    let finding = if let Some(missing) = config::named_missing(&event.message, &name.namespace) {
        let code = if missing.kind == "Secret" { "volume_secret_missing" } else { "volume_configmap_missing" };
        let how = scene.text(
            format!(" volume {volume} 要挂载它，{}{times}", event.reason),
            format!("volume {volume} has to mount it, {}{times}", event.reason),
        );
        config::absent(scene, code, name, &missing, &how)
    } else if let Some(finding) = missing_key(scene, pod, name, &event.message, &volume) {
        finding
    } else if multi_attach::is_told(event) {
        multi_attach::finding(scene, pod, name, event)
    } else {
        other_mount(scene, pod, name, event, &volume)
    };
    finding
        .cite([scene.quote_event(event), scene.quote(&pod.reference, "reason: ContainerCreating")])
        .touches([scene.workload(&pod.object)])
}

fn missing_key(scene: &Scene<'_>, pod: &Seen<Pod>, name: &ObjectRef, message: &str, volume: &str) -> Option<Finding> {
    let found = MISSING_KEY.groups(message)?;
    let source = volumes(&pod.object).iter().find(|source| source.name == volume)?;
    let holder = match (&source.config_map, &source.secret) {
        (Some(map), _) => ObjectRef::new("ConfigMap", &name.namespace, &map.name),
        (_, Some(secret)) => ObjectRef::new("Secret", &name.namespace, secret.secret_name.clone()?),
        _ => return None,
    };
    let key = found[1].trim_end_matches(['.', ',', ';']);
    Some(config::absent_key(scene, name, &holder, key, volume))
}

fn other_mount(scene: &Scene<'_>, pod: &Seen<Pod>, name: &ObjectRef, event: &SeenEvent, volume: &str) -> Finding {
    let workload = scene.workload(&pod.object);
    let told = output(&event.message);
    let said = logs::said(told);
    let no_driver = event.message.contains("not found in the list of registered CSI drivers");
    let (code, zh, en) = if no_driver {
        (
            "csi_driver_missing_on_node",
            "节点上没有注册所需的 CSI 驱动",
            "the CSI driver it needs is not registered on the Node",
        )
    } else {
        ("volume_mount_failed", "卷挂载失败", "a volume cannot be mounted")
    };
    let headline = scene.text(
        format!("{name} 无法启动：{zh}（{}）：{said}", event.reason),
        format!("{name} cannot start: {en} ({}): {said}", event.reason),
    );
    Finding::new(code, Depth::Mechanism, name, &workload, headline)
        .confidence(if no_driver { Confidence::High } else { Confidence::Medium })
        .cite([(told.len() < event.message.len()).then(|| scene.quote(&event.reference, told)).flatten()])
        .steps([look(
            scene.text("查看 Pod 事件", "Read the Pod's events"),
            kubectl(&name.namespace, &format!("describe pod {}", name.name)),
        )])
        // What a Node mounts from a server over the network was never attached to it.
        .steps((!OVER_THE_NETWORK.hits(&event.message)).then(|| {
            look(scene.text("查看卷的挂载情况", "See where volumes are attached"), "kubectl get volumeattachments")
        }))
        .steps([change(
            scene.text(format!("修复 volume {volume} 的挂载"), format!("Repair the mount of volume {volume}")),
            said.clone(),
            None,
        )])
}

/// What the mount command said, which the kubelet puts behind the command and its long paths.
fn output(message: &str) -> &str {
    message.rsplit_once("Output: ").map_or(message, |(_, output)| output.trim()).trim_start_matches("mount: ")
}

fn no_sandbox(scene: &Scene<'_>, pod: &Seen<Pod>, name: &ObjectRef, event: &SeenEvent) -> Finding {
    let node = pods::node_name(&pod.object).unwrap_or_default();
    let blame = ObjectRef::new("Node", "", node);
    let told = essence(&event.message);
    let said = logs::said(told);
    let headline = if NO_ADDRESS.hits(told) {
        scene.text(
            format!("{name} 无法启动：Node {node} 上已没有可分配的 Pod IP 地址（FailedCreatePodSandBox）：{said}"),
            format!("{name} cannot start: Node {node} has no Pod IP address left (FailedCreatePodSandBox): {said}"),
        )
    } else {
        scene.text(
            format!("{name} 无法启动：Node {node} 上无法创建 Pod 沙箱（FailedCreatePodSandBox）：{said}"),
            format!("{name} cannot start: its sandbox cannot be made on Node {node} (FailedCreatePodSandBox): {said}"),
        )
    };
    Finding::new("pod_sandbox_failed", Depth::Root, name, &blame, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&event.reference, told).or_else(|| scene.quote_event(event))])
        .touches([scene.workload(&pod.object)])
        .steps([
            look(
                scene.text("查看该节点的网络插件 Pod", "Look at the network plugin's Pod on that Node"),
                format!("kubectl get pods -n kube-system -o wide --field-selector spec.nodeName={node}"),
            ),
            change(
                scene.text(
                    "修复该节点的 CNI 网络插件或 IP 地址池",
                    "Repair the Node's network plugin or its address pool",
                ),
                "",
                None,
            ),
        ])
}

/// What the kubelet could not do, without what it says before every such failure and the sandbox's number.
fn essence(message: &str) -> &str {
    let number = SANDBOX.groups(message).and_then(|found| found.get(0));
    let rest = number.map_or(message, |found| message[found.end()..].trim_start());
    if rest.is_empty() { message } else { rest }
}

/// Before the kubelet has said anything: a volume that names a ConfigMap or Secret known not to exist.
fn reference_missing(scene: &Scene<'_>, pod: &Seen<Pod>, name: &ObjectRef) -> Option<Finding> {
    let needed = |volume: &k8s_openapi::api::core::v1::Volume| {
        let map = volume.config_map.as_ref().filter(|source| source.optional != Some(true));
        let secret = volume.secret.as_ref().filter(|source| source.optional != Some(true));
        let map = map.map(|source| ObjectRef::new("ConfigMap", &name.namespace, &source.name));
        map.or_else(|| Some(ObjectRef::new("Secret", &name.namespace, secret?.secret_name.clone()?)))
    };
    let missing = volumes(&pod.object).iter().filter_map(needed).find(|object| scene.facts.is_missing(object))?;
    let code = if missing.kind == "Secret" { "volume_secret_missing" } else { "volume_configmap_missing" };
    let how = scene.text(" volume 要挂载它（mount）", "a volume has to mount it");
    Some(
        config::absent(scene, code, name, &missing, &how)
            .confidence(Confidence::Medium)
            .cite([scene.quote_any(
                &pod.reference,
                &[&format!("secretName: {}", missing.name), &format!("name: {}", missing.name)],
            )])
            .touches([scene.workload(&pod.object)])
            .steps([look(
                scene.text("查看 Pod 事件", "Read the Pod's events"),
                kubectl(&name.namespace, &format!("describe {}", slash(name))),
            )]),
    )
}

fn volumes(pod: &Pod) -> &[k8s_openapi::api::core::v1::Volume] {
    pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, patched, pod, waiting};

    fn hanging(volume: serde_json::Value) -> World {
        let volumes = json!({"spec": {"volumes": [patched(json!({"name": "certs"}), volume)]}});
        World::asking("Pod", "web-1-a").with(pod(patched(waiting("ContainerCreating", ""), volumes)))
    }

    #[test]
    fn a_secret_that_cannot_be_mounted_is_missing() {
        let world = hanging(json!({"secret": {"secretName": "tls"}}))
            .event(
                "Pod",
                "web-1-a",
                "FailedMount",
                "Unable to attach or mount volumes: timed out waiting for the condition",
            )
            .event(
                "Pod",
                "web-1-a",
                "FailedMount",
                "MountVolume.SetUp failed for volume \"certs\" : secret \"tls\" not found",
            );
        assert_eq!(world.cause(), "volume_secret_missing Secret/tls");
    }

    #[test]
    fn a_key_that_is_not_in_the_mounted_map_is_named() {
        let world = hanging(json!({"configMap": {"name": "rules"}})).event(
            "Pod",
            "web-1-a",
            "FailedMount",
            "MountVolume.SetUp failed for volume \"certs\" : configmap references non-existent config key: rules.yaml",
        );
        assert_eq!(world.cause(), "configmap_key_missing ConfigMap/rules");
    }

    #[test]
    fn a_volume_still_attached_elsewhere_is_the_claims_story() {
        let world = hanging(json!({"persistentVolumeClaim": {"claimName": "data"}})).event(
            "Pod",
            "web-1-a",
            "FailedAttachVolume",
            "Multi-Attach error for volume \"pvc-1\" Volume is already exclusively attached to one node and can't be attached to another",
        );
        assert_eq!(world.cause(), "volume_multi_attach PersistentVolumeClaim/data");
    }

    #[test]
    fn a_sandbox_that_cannot_be_made_points_at_the_node() {
        let world = hanging(json!({"emptyDir": {}})).event(
            "Pod",
            "web-1-a",
            "FailedCreatePodSandBox",
            "Failed to create pod sandbox: plugin type=\"calico\" failed (add): no IP addresses available in pool",
        );
        assert_eq!(world.cause(), "pod_sandbox_failed Node/n1");
    }

    #[test]
    fn why_a_sandbox_cannot_be_made_is_told_and_not_what_the_kubelet_says_before() {
        let sandbox = |why: &str| {
            let number = "9fd29f59a99518f1d48cb8c237c98dc5926e018bb7f684592a91516458d077a5";
            let told = format!(
                "(combined from similar events): Failed to create pod sandbox: rpc error: code = Unknown desc = failed to setup network for sandbox \"{number}\": plugin type=\"bridge\" failed (add): {why}"
            );
            hanging(json!({"emptyDir": {}})).event("Pod", "web-1-a", "FailedCreatePodSandBox", &told)
        };
        let full =
            sandbox("failed to allocate for range 0: no IP addresses available in range set: 192.0.2.1-192.0.2.62");
        assert_eq!(full.cause(), "pod_sandbox_failed Node/n1");
        let told = full.diagnosis().headline;
        assert!(told.contains("no Pod IP address left") && told.contains("192.0.2.1-192.0.2.62"), "{told}");
        let other = sandbox("stat /run/flannel/subnet.env: no such file or directory").diagnosis();
        assert!(other.headline.contains("subnet.env") && !other.headline.contains("address left"), "{other:?}");
        assert!(other.causes[0].evidence[0].quote.contains("subnet.env"), "{other:?}");
    }

    #[test]
    fn a_reference_known_to_dangle_is_enough_without_events() {
        let world = hanging(json!({"secret": {"secretName": "tls"}})).listed("Secret");
        assert_eq!(world.cause(), "volume_secret_missing Secret/tls");
        let optional = hanging(json!({"secret": {"secretName": "tls", "optional": true}})).listed("Secret");
        assert!(!optional.codes().contains(&"volume_secret_missing"));
    }

    #[test]
    fn a_pod_that_runs_since_stays_quiet() {
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).event(
            "Pod",
            "web-1-a",
            "FailedMount",
            "MountVolume.SetUp failed for volume \"certs\" : secret \"tls\" not found",
        );
        world.is_calm();
    }

    #[test]
    fn a_driver_the_node_does_not_have_is_told_from_another_failing_mount() {
        let mounting = |message: &str| {
            hanging(json!({"persistentVolumeClaim": {"claimName": "data"}}))
                .event(
                    "Pod",
                    "web-1-a",
                    "FailedMount",
                    &format!("MountVolume.MountDevice failed for volume \"pvc-1\" : {message}"),
                )
                .cause()
        };
        let driver = "kubernetes.io/csi: attacher.MountDevice failed to create newCsiDriverClient: driver name disk.csi.example.com not found in the list of registered CSI drivers";
        assert_eq!(mounting(driver), "csi_driver_missing_on_node Deployment/web");
        assert_eq!(mounting("rpc error: mount: wrong fs type"), "volume_mount_failed Deployment/web");
    }

    #[test]
    fn what_the_mount_command_said_is_told_and_not_how_it_was_called() {
        let called = "mount failed: exit status 32\nMounting command: mount\nMounting arguments: -t nfs -o nfsvers=4.1 10.0.12.40:/exports/media /var/lib/kubelet/pods/dc8d4dd1-3a3b-4bc4-a3c3-a60757504760/volumes/kubernetes.io~nfs/media";
        let said = "mount.nfs: access denied by server while mounting 10.0.12.40:/exports/media";
        let message = format!("MountVolume.SetUp failed for volume \"media\" : {called}\nOutput: {said}\n");
        let world = hanging(json!({"persistentVolumeClaim": {"claimName": "media"}})).event(
            "Pod",
            "web-1-a",
            "FailedMount",
            &message,
        );
        let diagnosis = world.diagnosis();
        assert!(diagnosis.causes[0].summary.contains(said), "{}", diagnosis.causes[0].summary);
        let commands = format!("{:?}", diagnosis.steps);
        assert!(!commands.contains("volumeattachments"), "nothing is attached: {commands}");
    }

    #[test]
    fn a_mounted_map_that_is_not_there_is_a_map() {
        let world = hanging(json!({"configMap": {"name": "rules"}})).event(
            "Pod",
            "web-1-a",
            "FailedMount",
            "MountVolume.SetUp failed for volume \"certs\" : configmap \"rules\" not found",
        );
        assert_eq!(world.cause(), "volume_configmap_missing ConfigMap/rules");
    }
}
