//! Claims whose StorageClass should make their volume: the provisioner that is not there, or that fails.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::claim::consumers;
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::{Confidence, Step};

/// Words in a provisioner's name that many drivers share; they do not identify one.
const COMMON: [&str; 12] =
    ["com", "org", "net", "dev", "csi", "k8s", "sigs", "kubernetes", "storage", "driver", "cloud", "cluster"];

/// The finding for a claim whose class names a provisioner that makes no volume.
#[must_use]
pub fn unprovisioned(
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
    let workload = workload_of(scene, provisioner);
    let runs = scene.pods.iter().any(|pod| looks_like(&pod.object, provisioner)) || workload.is_some();
    let waiting = scene.events(&name, &["ExternalProvisioning"]);
    let down = workload.as_ref().and_then(|maker| scene.replicas(maker)).is_some_and(|(ready, wanted)| ready < wanted);
    let confidence = match (no_driver, runs, waiting.is_empty()) {
        (true, false, false) => Confidence::High,
        (_, false, _) => Confidence::Medium,
        _ if down => Confidence::Medium,
        _ => Confidence::Low,
    };
    let class_name = named(&class.object);
    let fallen = workload.as_ref().filter(|_| down);
    let state = if runs && !down { State::Silent } else { fallen.map_or(State::Absent, State::Down) };
    let (headline, summary) = unanswered(scene, &name, &class_name.name, provisioner, no_driver, &state);
    let blame = fallen.unwrap_or(&name);
    let finding = Finding::new("pvc_unbound_provisioner_missing", Depth::Root, &name, blame, headline)
        .summary(summary)
        .confidence(confidence)
        .cite(waiting.iter().rev().take(1).map(|event| scene.quote_event(event)))
        .cite([
            scene.quote(&claim.reference, "phase: Pending"),
            scene.quote_any(&class.reference, &[&format!("provisioner: {provisioner}"), provisioner]),
        ])
        .cite(fallen.map(|maker| {
            let (_, reference) = scene.facts.raw(maker)?;
            scene.quote_any(reference, &["unavailableReplicas:", "MinimumReplicasUnavailable", "replicas:"])
        }))
        .touches(consumers(scene, &name))
        .related(
            class_name.clone(),
            scene.text("PVC 引用的 StorageClass", "the StorageClass the claim names"),
            format!("provisioner: {provisioner}"),
        )
        .steps(provisioner_steps(scene, &name, &class_name.name, provisioner));
    let finding = match workload {
        Some(maker) => {
            let state = crate::playbook::describe::state(scene, &maker).unwrap_or_default();
            let why = scene.text("看起来是该 provisioner 的工作负载", "looks like the provisioner's workload");
            finding.related(maker, why, state)
        }
        None => finding,
    };
    let registered = scene.facts.listing("CSIDriver", "").is_some();
    Some(if no_driver || registered {
        finding
    } else {
        finding.gap(scene.text("未能确认 CSIDriver 列表", "the list of CSIDrivers could not be confirmed"))
    })
}

/// What is seen of a provisioner that makes no volume.
enum State<'s> {
    /// Nothing of it.
    Absent,
    /// Its workload, which lacks replicas.
    Down(&'s ObjectRef),
    /// Something of it that runs and does not answer.
    Silent,
}

fn unanswered(
    scene: &Scene<'_>,
    claim: &ObjectRef,
    class: &str,
    provisioner: &str,
    no_driver: bool,
    state: &State<'_>,
) -> (String, String) {
    let (state_zh, state_en) = match state {
        State::Down(maker) => (format!("的工作负载 {maker} 未就绪"), format!("is not ready ({maker})")),
        State::Silent => ("有 Pod 在运行但没有响应".to_owned(), "runs but does not answer".to_owned()),
        State::Absent => ("未在集群中运行".to_owned(), "does not run".to_owned()),
    };
    let headline = scene.text(
        format!("{claim} 一直 Pending：StorageClass {class} 的 provisioner {provisioner} {state_zh}，卷无法创建"),
        format!(
            "{claim} stays Pending: provisioner {provisioner} of StorageClass {class} {state_en}, so no volume is made"
        ),
    );
    let (seen_zh, seen_en) = match (no_driver, !matches!(state, State::Absent)) {
        (true, false) => (
            "，集群中没有注册名为该 provisioner 的 CSIDriver，也没有看到它的 Pod",
            "; no CSIDriver of that name is registered and no Pod of it was seen",
        ),
        (true, true) => {
            ("，集群中没有注册名为该 provisioner 的 CSIDriver", "; no CSIDriver of that name is registered")
        }
        _ => ("", ""),
    };
    let (silent_zh, silent_en) = match state {
        State::Down(maker) => (format!("{maker} 未就绪"), format!("{maker} is not ready")),
        _ => ("没有任何组件响应".to_owned(), "nothing answers".to_owned()),
    };
    let summary = scene.text(
        format!("{claim} 使用 StorageClass {class}，卷应由 {provisioner} 创建，但{silent_zh}{seen_zh}。"),
        format!("{claim} uses StorageClass {class}; {provisioner} should make its volume, but {silent_en}{seen_en}."),
    );
    (headline, summary)
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

/// Whether a volume should exist by now; a class that waits for its first Pod waits rightly until one is placed.
#[must_use]
pub fn waits_for_volume(scene: &Scene<'_>, claim: &Seen<PersistentVolumeClaim>, class: &Seen<StorageClass>) -> bool {
    let late_binding = class.object.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer");
    let placed = claim.object.metadata.annotations.iter().flatten().any(|(key, _)| key.ends_with("selected-node"));
    !late_binding || placed || !scene.events(&named(&claim.object), &["ExternalProvisioning"]).is_empty()
}

/// The part of a provisioner's name that tells it from others.
fn telling(provisioner: &str) -> Option<&str> {
    let parts: Vec<&str> = provisioner.split(['.', '/', '-']).collect();
    let tells = |part: &&&str| part.len() >= 3 && !COMMON.contains(*part);
    // `ebs.csi.aws.com` and `com.tencent.cloud.csi.cbs`: the vendor stands behind, or before all.
    let before_csi = parts.windows(2).find(|pair| pair[1] == "csi").map(|pair| &pair[0]).filter(tells);
    before_csi.or_else(|| parts.iter().rfind(tells)).copied()
}

/// A Deployment or StatefulSet, in whatever Namespace, that looks like the provisioner's.
fn workload_of(scene: &Scene<'_>, provisioner: &str) -> Option<ObjectRef> {
    let deployments = scene.deployments.iter().map(|seen| named(&seen.object));
    let sets = scene.stateful_sets.iter().map(|seen| named(&seen.object));
    maker(deployments.chain(sets), provisioner)
}

/// The workload that likeliest makes a provisioner's volumes. It bears the telling part of its name, as
/// `nfs-client-provisioner` does, or it is the `csi-provisioner` of a Namespace that does, as `longhorn-system`.
#[must_use]
pub fn maker(workloads: impl Iterator<Item = ObjectRef>, provisioner: &str) -> Option<ObjectRef> {
    let part = telling(provisioner)?;
    let is = |workload: &ObjectRef, words: &[&str]| words.iter().any(|word| workload.name.contains(word));
    let fits = |workload: &ObjectRef| {
        let own =
            workload.name.contains(part) && is(workload, &["provisioner", "csi", "controller", "driver", "storage"]);
        own || (workload.namespace.contains(part) && is(workload, &["provisioner"]))
    };
    workloads.filter(fits).min_by_key(|workload| (!is(workload, &["provisioner"]), workload.clone()))
}

/// Whether a Pod looks like a provisioner: a telling part of the provisioner's name stands in its name or an image.
fn looks_like(pod: &k8s_openapi::api::core::v1::Pod, provisioner: &str) -> bool {
    let Some(last) = telling(provisioner) else { return false };
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let images = pods::containers(pod).into_iter().any(|view| view.image().contains(last));
    pods::is_ready(pod) && (name.contains(last) || images)
}
