//! PersistentVolumeClaims that stay unbound: from the claim to its StorageClass to the provisioner that is not there.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::provisioner::{unprovisioned, waits_for_volume};
use crate::playbook::analyzer::volume;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::quantity;

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// Findings about claims that are missing, lost, or wait for a volume nobody makes.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let pending = scene.claims.iter().filter_map(|claim| unbound(scene, claim));
    missing(scene).into_iter().chain(pending).collect()
}

fn unbound(scene: &Scene<'_>, claim: &Seen<PersistentVolumeClaim>) -> Option<Finding> {
    let phase = claim.object.status.as_ref()?.phase.as_deref()?;
    if phase == "Lost" {
        return Some(lost(scene, claim));
    }
    if phase != "Pending" {
        return None;
    }
    // One that names its volume gets no other, whatever its class could make.
    if claim.object.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).is_some_and(|name| !name.is_empty())
        && let Some(finding) = volume::released_for(scene, claim)
    {
        return Some(finding);
    }
    let class_name = claim.object.spec.as_ref().and_then(|spec| spec.storage_class_name.clone());
    match class_name.as_deref() {
        None => no_class(scene, claim),
        Some("") => volume::released_for(scene, claim).or_else(|| Some(static_binding(scene, claim, ""))),
        Some(name) => match scene.facts.get::<StorageClass>("", name) {
            Some(class) if class.object.provisioner == "kubernetes.io/no-provisioner" => {
                volume::released_for(scene, claim).or_else(|| {
                    let due = waits_for_volume(scene, claim, &class) || found_none(scene, claim);
                    due.then(|| static_binding(scene, claim, name))
                })
            }
            Some(class) => unprovisioned(scene, claim, &class),
            None => class_missing(scene, claim, name),
        },
    }
}

/// The scheduler's words for a claim that binds late and for which no Node has a volume.
const FOUND_NONE: &str = "didn't find available persistent volumes";

/// Whether a Pod of the claim waits because the scheduler found no volume for it.
fn found_none(scene: &Scene<'_>, claim: &Seen<PersistentVolumeClaim>) -> bool {
    let users = consumers(scene, &named(&claim.object));
    scene.pods.iter().filter(|pod| users.contains(&named(&pod.object))).any(|pod| {
        let placed = pods::condition(&pod.object, "PodScheduled");
        placed.and_then(|condition| condition.message.as_deref()).is_some_and(|message| message.contains(FOUND_NONE))
    })
}

fn class_missing(scene: &Scene<'_>, claim: &Seen<PersistentVolumeClaim>, class: &str) -> Option<Finding> {
    let name = named(&claim.object);
    let wanted = ObjectRef::new("StorageClass", "", class);
    let events = scene.events(&name, &["ProvisioningFailed"]);
    if !scene.facts.is_missing(&wanted) && events.is_empty() {
        return None;
    }
    let near = scene.near_misses(&wanted);
    let hint = near_hint(scene, &near);
    let headline = scene.text(
        format!("{name} 一直 Pending：它引用的 StorageClass {class} 不存在（not found）{hint}"),
        format!("{name} stays Pending: StorageClass {class} does not exist (not found){hint}"),
    );
    let finding = Finding::new("pvc_storage_class_missing", Depth::Root, &name, &name, headline)
        .cite(events.iter().map(|event| scene.quote_event(event)))
        .cite([scene.quote(&claim.reference, &format!("storageClassName: {class}"))])
        .touches(consumers(scene, &name))
        .touches([wanted.clone()])
        .related(
            wanted,
            scene.text("PVC 引用的 StorageClass", "the StorageClass the claim names"),
            scene.text("不存在", "does not exist"),
        )
        .steps([
            look(scene.text("查看可用的 StorageClass", "List the StorageClasses"), "kubectl get storageclass"),
            change(
                scene.text(
                    format!("创建 StorageClass {class}，或以存在的 StorageClass 重建 PVC"),
                    format!("Create StorageClass {class}, or create the claim again with an existing one"),
                ),
                scene.text("storageClassName 创建后不可修改", "storageClassName cannot be changed later"),
                None,
            ),
        ]);
    Some(finding)
}

fn no_class(scene: &Scene<'_>, claim: &Seen<PersistentVolumeClaim>) -> Option<Finding> {
    scene.facts.listing("StorageClass", "")?;
    let classes = scene.facts.all::<StorageClass>();
    let is_default = |class: &Seen<StorageClass>| {
        class.object.metadata.annotations.as_ref().and_then(|all| all.get(DEFAULT_CLASS)).is_some_and(|it| it == "true")
    };
    if classes.iter().any(is_default) {
        return None;
    }
    let name = named(&claim.object);
    let headline = scene.text(
        format!("{name} 一直 Pending：未指定 storageClassName，集群也没有默认 StorageClass"),
        format!("{name} stays Pending: it names no StorageClass and the cluster has no default one"),
    );
    let finding = Finding::new("pvc_no_storage_class", Depth::Root, &name, &name, headline)
        .cite(scene.events(&name, &["FailedBinding"]).iter().map(|event| scene.quote_event(event)))
        .cite([scene.quote(&claim.reference, "phase: Pending")])
        .touches(consumers(scene, &name))
        .steps([
            look(scene.text("查看可用的 StorageClass", "List the StorageClasses"), "kubectl get storageclass"),
            change(
                scene.text(
                    "设置默认 StorageClass，或以明确的 storageClassName 重建 PVC",
                    "Make one class the default, or create the claim again with a class",
                ),
                "",
                None,
            ),
        ]);
    Some(finding)
}

fn static_binding(scene: &Scene<'_>, claim: &Seen<PersistentVolumeClaim>, class: &str) -> Finding {
    let name = named(&claim.object);
    let volumes = scene.facts.all::<PersistentVolume>();
    let mut of_class: Vec<&Seen<PersistentVolume>> = volumes
        .iter()
        .filter(|volume| {
            volume.object.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or("") == class
        })
        .collect();
    // What keeps a free one from being taken says more than whose the others are.
    let phase = |volume: &PersistentVolume| volume.status.as_ref().and_then(|status| status.phase.clone());
    of_class.sort_by_key(|volume| phase(&volume.object).as_deref() == Some("Bound"));
    let count = of_class.len();
    let misfit = of_class.iter().find_map(|volume| misfit(scene, &claim.object, &volume.object)).unwrap_or_default();
    let class_zh = if class.is_empty() {
        "无 StorageClass（静态绑定）".to_owned()
    } else {
        format!("StorageClass {class} 不会自动创建卷")
    };
    let class_en = if class.is_empty() {
        "it binds statically".to_owned()
    } else {
        format!("StorageClass {class} makes no volumes")
    };
    let headline = scene.text(
        format!("{name} 一直 Pending：{class_zh}，也没有可用且匹配的 PersistentVolume{misfit}"),
        format!("{name} stays Pending: {class_en} and no free PersistentVolume fits{misfit}"),
    );
    let summary = scene.text(
        format!("{headline}；同类 PersistentVolume 共 {count} 个，均不可用或不匹配容量、访问模式。"),
        format!("{headline}; {count} PersistentVolumes of that class were seen, none free and fitting in size and access mode."),
    );
    Finding::new("pvc_no_matching_volume", Depth::Root, &name, &name, headline)
        .summary(summary)
        .cite(scene.events(&name, &["FailedBinding"]).iter().map(|event| scene.quote_event(event)))
        .cite([scene.quote(&claim.reference, "phase: Pending")])
        .touches(consumers(scene, &name))
        .steps([
            look(scene.text("查看 PersistentVolume", "List the volumes"), "kubectl get pv"),
            change(
                scene.text(
                    "创建匹配的 PersistentVolume，或改用能自动创建卷的 StorageClass",
                    "Create a fitting PersistentVolume, or use a class that makes volumes",
                ),
                "",
                None,
            ),
        ])
}

/// Why a volume of the right class does not fit, with both figures.
fn misfit(scene: &Scene<'_>, claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Option<String> {
    let (asked, offered) = (claim.spec.as_ref()?, volume.spec.as_ref()?);
    let name = volume.metadata.name.as_deref()?;
    let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default();
    let wants = asked.resources.as_ref()?.requests.as_ref()?.get("storage")?.0.clone();
    let has = offered.capacity.as_ref()?.get("storage")?.0.clone();
    let modes = asked.access_modes.as_deref().unwrap_or(&[]);
    let gives = offered.access_modes.as_deref().unwrap_or(&[]);
    let why = if phase == "Bound" {
        let owner = offered.claim_ref.as_ref().and_then(|claim| claim.name.clone()).unwrap_or_default();
        scene.text(format!("已绑定给 {owner}"), format!("is bound to {owner}"))
    } else if quantity::amount(&has)? < quantity::amount(&wants)? {
        scene.text(format!("容量 {has} 小于申请的 {wants}"), format!("has {has}, less than the {wants} asked for"))
    } else if let Some(mode) = modes.iter().find(|mode| !gives.contains(mode)) {
        scene.text(format!("不支持访问模式 {mode}"), format!("does not offer access mode {mode}"))
    } else {
        return None;
    };
    Some(scene.text(format!("（{name} {why}）"), format!(" ({name} {why})")))
}

fn lost(scene: &Scene<'_>, claim: &Seen<PersistentVolumeClaim>) -> Finding {
    let name = named(&claim.object);
    let volume = claim.object.spec.as_ref().and_then(|spec| spec.volume_name.clone()).unwrap_or_default();
    let headline = scene.text(
        format!("{name} 状态为 Lost：它绑定的 PersistentVolume {volume} 已不存在"),
        format!("{name} is Lost: its PersistentVolume {volume} is gone"),
    );
    Finding::new("pvc_lost", Depth::Root, &name, &name, headline)
        .cite([scene.quote(&claim.reference, "phase: Lost")])
        .touches(consumers(scene, &name))
        .steps([look(
            scene.text("确认 PersistentVolume 与底层存储", "Check the volume and the storage behind it"),
            format!("kubectl get pv {volume}"),
        )])
}

fn missing(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pod in scene.pods.iter().filter(|pod| pods::is_unscheduled(&pod.object)) {
        let name = named(&pod.object);
        for claim in pods::claims(&pod.object) {
            let wanted = ObjectRef::new("PersistentVolumeClaim", &name.namespace, claim);
            let quoted = format!("persistentvolumeclaim \"{}\" not found", wanted.name);
            let said = pods::condition(&pod.object, "PodScheduled").and_then(|condition| condition.message.as_deref());
            let told = said.is_some_and(|message| message.contains(&quoted));
            let known = scene.facts.raw(&wanted).is_some();
            if known || !(told || scene.facts.is_missing(&wanted)) {
                continue;
            }
            findings.push(claim_missing(scene, &pod.reference, &name, &wanted));
        }
    }
    findings
}

fn claim_missing(scene: &Scene<'_>, reference: &str, pod: &ObjectRef, wanted: &ObjectRef) -> Finding {
    let hint = near_hint(scene, &scene.near_misses(wanted));
    let headline = scene.text(
        format!("{pod} 无法调度：它引用的 PVC {} 不存在（not found）{hint}", wanted.name),
        format!(
            "{pod} cannot be scheduled: its PersistentVolumeClaim {} does not exist (not found){hint}",
            wanted.name
        ),
    );
    let events = scene.events(pod, &["FailedScheduling"]);
    Finding::new("pvc_missing", Depth::Root, pod, wanted, headline)
        .cite(
            events
                .iter()
                .filter(|event| event.message.contains("not found"))
                .take(1)
                .map(|event| scene.quote_event(event)),
        )
        .cite([scene.quote(reference, &format!("claimName: {}", wanted.name))])
        .steps([
            look(
                scene.text("查看 Namespace 中的 PVC", "List the claims of the namespace"),
                kubectl(&wanted.namespace, "get pvc"),
            ),
            change(
                scene.text(
                    format!("创建 PVC {}，或修正工作负载中的 claimName", wanted.name),
                    format!("Create claim {}, or correct claimName in the workload", wanted.name),
                ),
                "",
                None,
            ),
        ])
}

/// A hint at the name that was probably meant.
#[must_use]
pub fn near_hint(scene: &Scene<'_>, near: &[String]) -> String {
    near.first().map_or_else(String::new, |name| {
        scene.text(
            format!("；存在名称相近的 {name}，可能是拼写错误"),
            format!("; {name} exists, so the name may be misspelt"),
        )
    })
}

/// The Pods that use a claim.
#[must_use]
pub fn consumers(scene: &Scene<'_>, claim: &ObjectRef) -> Vec<ObjectRef> {
    let uses = |pod: &&Seen<k8s_openapi::api::core::v1::Pod>| {
        named(&pod.object).namespace == claim.namespace && pods::claims(&pod.object).contains(&claim.name)
    };
    scene.pods.iter().filter(uses).map(|pod| named(&pod.object)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, patched, pod, unschedulable};

    fn claim(class: Option<&str>, phase: &str) -> serde_json::Value {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
            "spec": {"storageClassName": class}, "status": {"phase": phase}})
    }

    fn class(name: &str, mode: &str) -> serde_json::Value {
        json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name},
            "provisioner": "disk.csi.example.com", "volumeBindingMode": mode})
    }

    fn waiting_pod() -> serde_json::Value {
        let waits =
            unschedulable("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found");
        let volumes = json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}});
        pod(crate::playbook::world::patched(waits, volumes))
    }

    fn asked() -> World {
        World::asking("Pod", "web-1-a").with(waiting_pod())
    }

    #[test]
    fn a_claim_whose_provisioner_is_not_there_is_to_blame() {
        let world = asked()
            .with(claim(Some("fast"), "Pending"))
            .with(class("fast", "Immediate"))
            .event("PersistentVolumeClaim", "data", "ExternalProvisioning", "Waiting for a volume to be created")
            .listed("CSIDriver");
        assert_eq!(world.cause(), "pvc_unbound_provisioner_missing PersistentVolumeClaim/data");
    }

    #[test]
    fn a_provisioner_that_is_there_under_its_name_is_not_called_absent() {
        let maker = crate::playbook::world::patched(
            crate::playbook::world::deployment(1, 0),
            json!({"metadata": {"name": "disk-csi-controller", "namespace": "storage"}}),
        );
        let world = asked()
            .with(claim(Some("fast"), "Pending"))
            .with(class("fast", "Immediate"))
            .with(maker)
            .event("PersistentVolumeClaim", "data", "ExternalProvisioning", "Waiting for a volume to be created")
            .listed("CSIDriver");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("is not ready"), "{}", diagnosis.headline);
        assert_eq!(diagnosis.causes[0].confidence, crate::report::Confidence::Medium);
        assert!(
            diagnosis.related.iter().any(|one| one.resource.name == "disk-csi-controller"),
            "{:?}",
            diagnosis.related
        );
    }

    #[test]
    fn the_provisioner_of_a_drivers_namespace_is_known_by_that_and_blamed_when_it_is_down() {
        let world = |name: &str, ready: i32| {
            let maker = crate::playbook::world::patched(
                crate::playbook::world::deployment(1, ready),
                json!({"metadata": {"name": name, "namespace": "disk-system"}}),
            );
            let driver = json!({"apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": "disk.csi.example.com"}});
            asked()
                .with(claim(Some("fast"), "Pending"))
                .with(class("fast", "Immediate"))
                .with(driver)
                .with(maker)
                .event("PersistentVolumeClaim", "data", "ExternalProvisioning", "Waiting for a volume to be created")
                .listed("CSIDriver")
        };
        let down = world("csi-provisioner", 0);
        assert_eq!(down.cause(), "pvc_unbound_provisioner_missing Deployment/csi-provisioner");
        let told = down.diagnosis();
        assert!(told.headline.contains("Deployment disk-system/csi-provisioner"), "{}", told.headline);
        assert!(told.data_gaps.is_empty(), "the driver was listed: {:?}", told.data_gaps);
        assert_ne!(world("csi-provisioner", 1).cause(), down.cause(), "one that runs is not blamed for being down");
        let other = world("csi-snapshotter", 0);
        assert_eq!(other.cause(), "pvc_unbound_provisioner_missing PersistentVolumeClaim/data");
    }

    #[test]
    fn a_provisioner_that_answers_with_an_error_is_quoted() {
        let world = asked().with(claim(Some("fast"), "Pending")).with(class("fast", "Immediate")).event(
            "PersistentVolumeClaim",
            "data",
            "ProvisioningFailed",
            "failed to provision volume: rpc error: quota of disks exceeded in zone a",
        );
        assert_eq!(world.cause(), "pvc_provisioning_failed PersistentVolumeClaim/data");
        assert!(world.diagnosis().headline.contains("quota of disks exceeded"));
    }

    #[test]
    fn a_class_that_does_not_exist_is_named_with_its_near_miss() {
        let world = asked()
            .with(claim(Some("fast-sdd"), "Pending"))
            .with(class("fast-ssd", "Immediate"))
            .listed("StorageClass");
        assert_eq!(world.cause(), "pvc_storage_class_missing PersistentVolumeClaim/data");
        assert!(world.diagnosis().headline.contains("fast-ssd exists"));
    }

    #[test]
    fn no_class_at_all_needs_a_default() {
        let world = asked().with(claim(None, "Pending")).with(class("fast", "Immediate")).listed("StorageClass");
        assert_eq!(world.cause(), "pvc_no_storage_class PersistentVolumeClaim/data");
    }

    #[test]
    fn a_claim_that_does_not_exist_is_missing() {
        let told = unschedulable("0/1 nodes are available: persistentvolumeclaim \"data\" not found.");
        let volumes = json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}});
        let world = World::asking("Pod", "web-1-a").with(pod(crate::playbook::world::patched(told, volumes)));
        assert_eq!(world.cause(), "pvc_missing PersistentVolumeClaim/data");
    }

    #[test]
    fn a_claim_that_binds_late_misses_its_volume_once_the_scheduler_looked_for_one() {
        let local = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "local"},
            "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": "WaitForFirstConsumer"});
        let told =
            unschedulable("0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind.");
        let volumes = json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}});
        let world = World::asking("Pod", "web-1-a")
            .with(pod(crate::playbook::world::patched(told, volumes)))
            .with(claim(Some("local"), "Pending"))
            .with(local.clone());
        assert_eq!(world.cause(), "pvc_no_matching_volume PersistentVolumeClaim/data");
        World::asking("PersistentVolumeClaim", "data").with(claim(Some("local"), "Pending")).with(local).is_calm();
    }

    #[test]
    fn a_volume_that_does_not_fit_says_by_which_figure() {
        let asked = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
            "spec": {"storageClassName": "", "accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "20Gi"}}},
            "status": {"phase": "Pending"}});
        let volume = |size: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-7"},
                "spec": {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Available"}})
        };
        let told = |size: &str| {
            let world = World::asking("PersistentVolumeClaim", "data").with(asked.clone()).with(volume(size));
            assert_eq!(world.cause(), "pvc_no_matching_volume PersistentVolumeClaim/data");
            world.diagnosis().headline
        };
        assert!(told("10Gi").contains("10Gi, less than the 20Gi"), "{}", told("10Gi"));
        assert!(told("50Gi").contains("access mode ReadWriteMany"), "{}", told("50Gi"));
    }

    #[test]
    fn bound_claims_and_claims_that_rightly_wait_stay_quiet() {
        let bound = World::asking("PersistentVolumeClaim", "data").with(claim(Some("fast"), "Bound"));
        bound.is_calm();
        let late = World::asking("PersistentVolumeClaim", "data")
            .with(claim(Some("fast"), "Pending"))
            .with(class("fast", "WaitForFirstConsumer"));
        late.is_calm();
    }

    #[test]
    fn a_claim_that_names_a_volume_of_its_predecessor_waits_for_that_and_not_for_a_provisioner() {
        let named = patched(claim(Some("fast"), "Pending"), json!({"spec": {"volumeName": "pv-1"}}));
        let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-1"},
            "spec": {"claimRef": {"namespace": "shop", "name": "data", "uid": "before"}}, "status": {"phase": "Released"}});
        let world = asked().with(named).with(class("fast", "Immediate")).with(volume);
        assert_eq!(world.cause(), "pv_released_not_reusable PersistentVolume/pv-1");
    }

    #[test]
    fn a_claim_whose_volume_is_gone_is_lost() {
        let world = World::asking("PersistentVolumeClaim", "data").with(claim(Some("fast"), "Lost"));
        assert_eq!(world.cause(), "pvc_lost PersistentVolumeClaim/data");
    }
}
