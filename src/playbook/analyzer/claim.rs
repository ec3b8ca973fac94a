//! PersistentVolumeClaims that stay unbound: from the claim to its StorageClass to the provisioner that is not there.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::alert::ObjectRef;
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::{Confidence, Step};

const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// Words in a provisioner's name that many drivers share; they do not identify one.
const COMMON: [&str; 12] =
    ["com", "org", "net", "dev", "csi", "k8s", "sigs", "kubernetes", "storage", "driver", "cloud", "cluster"];

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
    let class_name = claim.object.spec.as_ref().and_then(|spec| spec.storage_class_name.clone());
    match class_name.as_deref() {
        None => no_class(scene, claim),
        Some("") => Some(static_binding(scene, claim, "")),
        Some(name) => match scene.facts.get::<StorageClass>("", name) {
            Some(class) if class.object.provisioner == "kubernetes.io/no-provisioner" => {
                waits_for_volume(scene, claim, &class).then(|| static_binding(scene, claim, name))
            }
            Some(class) => unprovisioned(scene, claim, &class),
            None => class_missing(scene, claim, name),
        },
    }
}

fn unprovisioned(
    scene: &Scene<'_>,
    claim: &Seen<PersistentVolumeClaim>,
    class: &Seen<StorageClass>,
) -> Option<Finding> {
    let name = named(&claim.object);
    if let Some(event) = scene.events(&name, &["ProvisioningFailed"]).last() {
        return Some(provisioning_failed(scene, claim, class, event));
    }
    if !waits_for_volume(scene, claim, class) {
        return None;
    }
    let provisioner = &class.object.provisioner;
    let no_driver = scene.facts.is_missing(&ObjectRef::new("CSIDriver", "", provisioner));
    let runs = scene.pods.iter().any(|pod| looks_like(&pod.object, provisioner));
    let waiting = scene.events(&name, &["ExternalProvisioning"]);
    let confidence = match (no_driver, runs, waiting.is_empty()) {
        (true, false, false) => Confidence::High,
        (_, false, _) => Confidence::Medium,
        _ => Confidence::Low,
    };
    let class_name = named(&class.object);
    let driver_zh = if no_driver {
        "，集群中没有注册名为该 provisioner 的 CSIDriver，也没有看到它的 Pod"
    } else {
        ""
    };
    let driver_en = if no_driver { "; no CSIDriver of that name is registered and no Pod of it was seen" } else { "" };
    let headline = scene.text(
        format!(
            "{name} 一直 Pending：StorageClass {} 的 provisioner {provisioner} 未在集群中运行，卷无法创建",
            class_name.name
        ),
        format!(
            "{name} stays Pending: provisioner {provisioner} of StorageClass {} does not run, so no volume is made",
            class_name.name
        ),
    );
    let summary = scene.text(
        format!(
            "{name} 使用 StorageClass {}，卷应由 {provisioner} 创建，但没有任何组件响应{driver_zh}。",
            class_name.name
        ),
        format!(
            "{name} uses StorageClass {}; {provisioner} should make its volume, but nothing answers{driver_en}.",
            class_name.name
        ),
    );
    let finding = Finding::new("pvc_unbound_provisioner_missing", Depth::Root, &name, &name, headline)
        .summary(summary)
        .confidence(confidence)
        .cite(waiting.iter().rev().take(1).map(|event| scene.quote_event(event)))
        .cite([
            scene.quote(&claim.reference, "phase: Pending"),
            scene.quote_any(&class.reference, &[&format!("provisioner: {provisioner}"), provisioner]),
        ])
        .touches(consumers(scene, &name))
        .related(
            class_name.clone(),
            scene.text("PVC 引用的 StorageClass", "the StorageClass the claim names"),
            format!("provisioner: {provisioner}"),
        )
        .steps(provisioner_steps(scene, &name, &class_name.name, provisioner));
    Some(if no_driver {
        finding
    } else {
        finding.gap(scene.text("未能确认 CSIDriver 列表", "the list of CSIDrivers could not be confirmed"))
    })
}

fn provisioner_steps(scene: &Scene<'_>, claim: &ObjectRef, class: &str, provisioner: &str) -> Vec<Step> {
    vec![
        look(
            scene.text("确认 provisioner 是否注册", "Check whether the provisioner is registered"),
            "kubectl get csidrivers",
        ),
        look(
            scene.text("查看 PVC 事件", "Read the claim's events"),
            kubectl(&claim.namespace, &format!("describe pvc {}", claim.name)),
        ),
        change(
            scene.text(
                format!("安装或恢复 {provisioner} 的 CSI 驱动"),
                format!("Install or restore the CSI driver {provisioner}"),
            ),
            scene.text(
                format!("驱动的 controller 正常后，PVC {} 会自动绑定，Pod 随即被调度", claim.name),
                format!("Once its controller runs, {} binds by itself and the Pod is scheduled", claim.name),
            ),
            None,
        ),
        change(
            scene.text("或者改用可用的 StorageClass", "Or use a StorageClass that works"),
            scene.text(
                format!(
                    "storageClassName 不可修改：需删除 PVC {} 并以可用的 StorageClass 重建（当前为 {class}）",
                    claim.name
                ),
                format!(
                    "storageClassName cannot be changed: delete {} and create it with another class (now {class})",
                    claim.name
                ),
            ),
            None,
        ),
    ]
}

fn provisioning_failed(
    scene: &Scene<'_>,
    claim: &Seen<PersistentVolumeClaim>,
    class: &Seen<StorageClass>,
    event: &SeenEvent,
) -> Finding {
    let name = named(&claim.object);
    let said = crate::playbook::logs::said(&event.message);
    let headline = scene.text(
        format!("{name} 无法绑定：{} 创建卷失败：{said}", class.object.provisioner),
        format!("{name} cannot bind: {} fails to make its volume: {said}", class.object.provisioner),
    );
    Finding::new("pvc_provisioning_failed", Depth::Root, &name, &name, headline)
        .cite([scene.quote_event(event), scene.quote(&claim.reference, "phase: Pending")])
        .touches(consumers(scene, &name))
        .steps([
            look(
                scene.text("查看 PVC 事件", "Read the claim's events"),
                kubectl(&name.namespace, &format!("describe pvc {}", name.name)),
            ),
            change(
                scene.text(
                    "按 provisioner 的报错修正 StorageClass 参数、配额或权限",
                    "Fix the class's parameters, the quota or the permission the provisioner names",
                ),
                scene.text("修正后会自动重试", "It tries again by itself"),
                None,
            ),
        ])
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
    let of_class: Vec<&Seen<PersistentVolume>> = volumes
        .iter()
        .filter(|volume| {
            volume.object.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()).unwrap_or("") == class
        })
        .collect();
    let count = of_class.len();
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
        format!("{name} 一直 Pending：{class_zh}，也没有可用且匹配的 PersistentVolume"),
        format!("{name} stays Pending: {class_en} and no free PersistentVolume fits"),
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

fn consumers(scene: &Scene<'_>, claim: &ObjectRef) -> Vec<ObjectRef> {
    let uses = |pod: &&Seen<k8s_openapi::api::core::v1::Pod>| {
        named(&pod.object).namespace == claim.namespace && pods::claims(&pod.object).contains(&claim.name)
    };
    scene.pods.iter().filter(uses).map(|pod| named(&pod.object)).collect()
}

/// Whether a volume should exist by now; a class that waits for its first Pod waits rightly until one is placed.
fn waits_for_volume(scene: &Scene<'_>, claim: &Seen<PersistentVolumeClaim>, class: &Seen<StorageClass>) -> bool {
    let late_binding = class.object.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
    let placed = claim.object.metadata.annotations.iter().flatten().any(|(key, _)| key.ends_with("selected-node"));
    !late_binding || placed || !scene.events(&named(&claim.object), &["ExternalProvisioning"]).is_empty()
}

/// Whether a Pod looks like a provisioner: a telling part of the provisioner's name stands in its name or an image.
fn looks_like(pod: &k8s_openapi::api::core::v1::Pod, provisioner: &str) -> bool {
    let telling: Vec<&str> =
        provisioner.split(['.', '/', '-']).filter(|part| part.len() >= 3 && !COMMON.contains(part)).collect();
    let Some(last) = telling.last() else { return false };
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let images = pods::containers(pod).into_iter().any(|view| view.image().contains(last));
    pods::is_ready(pod) && (name.contains(last) || images)
}
