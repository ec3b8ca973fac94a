//! Volumes that were bound and are in trouble now: full, half resized, failed, or held by a deletion that cannot end.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};

use crate::alert::ObjectRef;
use crate::playbook::analyzer::claim::consumers;
use crate::playbook::analyzer::shared_memory;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::quantity;
use crate::report::Confidence;

/// How a full file system is worded by kernels, databases and runtimes.
static FULL: Pattern = Pattern::new(
    r"(?i)no space left on device|\benospc\b|\b(?:os )?err(?:no|or)(?: number)?:? 28\b|disk quota exceeded|disk (?:is )?full|the table '[^']*' is full|cannot reserve [\d.]+ \w+, not enough space|磁盘(?:空间)?(?:已满|不足)",
);
/// A path in a log line.
static PATH: Pattern = Pattern::new(r#"(?:^|[\s"'`=(:])(/[\w.-]+(?:/[\w.@+-]+)*)"#);
/// Resizes under way longer than this, in minutes, are stuck.
const PATIENCE: i64 = 10;

/// Findings about bound claims and their volumes.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let volumes = scene.facts.all::<PersistentVolume>();
    let failed = volumes.iter().filter_map(|volume| volume_failed(scene, volume));
    let resizing = scene.claims.iter().filter_map(|claim| resize(scene, claim));
    let full = scene.pods.iter().filter_map(|pod| full(scene, pod));
    failed.chain(resizing).chain(full).collect()
}

fn volume_failed(scene: &Scene<'_>, volume: &Seen<PersistentVolume>) -> Option<Finding> {
    let status = volume.object.status.as_ref()?;
    if status.phase.as_deref() != Some("Failed") {
        return None;
    }
    let name = named(&volume.object);
    let events = scene.events(&name, &["VolumeFailedDelete", "VolumeFailedRecycle"]);
    let event = events.last().copied();
    let message = status.message.clone().or_else(|| event.map(|event| event.message.clone())).unwrap_or_default();
    let said = logs::shorten(&message, 160);
    let claim = claim_of(&volume.object);
    let headline = scene.text(
        format!("{name} 状态为 Failed，回收（reclaim）失败：{said}"),
        format!("{name} is Failed: reclaiming it did not work: {said}"),
    );
    Some(
        Finding::new("pv_failed", Depth::Root, &name, &name, headline)
            .cite([
                scene.quote(&volume.reference, &message),
                event.and_then(|event| scene.quote_event(event)),
                scene.quote(&volume.reference, "phase: Failed"),
            ])
            .touches(claim)
            .steps([
                look(scene.text("查看卷", "Look at the volume"), format!("kubectl describe pv {}", name.name)),
                change(
                    scene.text("按报错修复底层存储后删除该卷", "Repair the storage as it says, then delete the volume"),
                    scene.text("删除前确认数据已不需要", "First make sure that nobody needs its data"),
                    None,
                ),
            ]),
    )
}

/// The claim a volume is bound to.
fn claim_of(volume: &PersistentVolume) -> Option<ObjectRef> {
    let claim = volume.spec.as_ref()?.claim_ref.as_ref()?;
    Some(ObjectRef::new("PersistentVolumeClaim", claim.namespace.clone()?, claim.name.clone()?))
}

/// The volume that was a claim's before and still names its predecessor: Released, so that nobody gets it.
#[must_use]
pub fn released_for(scene: &Scene<'_>, claim: &Seen<PersistentVolumeClaim>) -> Option<Finding> {
    let name = named(&claim.object);
    let asked = claim.object.spec.as_ref().and_then(|spec| spec.volume_name.clone()).filter(|name| !name.is_empty());
    let volumes = scene.facts.all::<PersistentVolume>();
    let volume = volumes.iter().find(|volume| {
        let phase = volume.object.status.as_ref().and_then(|status| status.phase.as_deref());
        let was_its_own = claim_of(&volume.object).as_ref() == Some(&name);
        phase == Some("Released") && (was_its_own || asked == volume.object.metadata.name)
    })?;
    let held = named(&volume.object);
    let headline = scene.text(
        format!("{name} 一直 Pending：{held} 仍处于 Released，claimRef 还指向已删除的旧 PVC，不会再被绑定"),
        format!("{name} stays Pending: {held} is Released and its claimRef still names the claim before, so it is not bound again"),
    );
    Some(
        Finding::new("pv_released_not_reusable", Depth::Root, &name, &held, headline)
            .cite([scene.quote(&volume.reference, "phase: Released"), scene.quote(&claim.reference, "phase: Pending")])
            .touches(consumers(scene, &name))
            .steps([
                look(scene.text("查看卷", "Look at the volume"), format!("kubectl get pv {} -o yaml", held.name)),
                change(
                    scene.text("确认数据可复用后，清除 claimRef", "If its data may be used again, clear its claimRef"),
                    scene.text("清除后卷变为 Available，PVC 会自动绑定", "It becomes Available, and the claim binds"),
                    Some(format!(
                        "kubectl patch pv {} --type=merge -p '{{\"spec\":{{\"claimRef\":null}}}}'",
                        held.name
                    )),
                ),
            ]),
    )
}

fn resize(scene: &Scene<'_>, claim: &Seen<PersistentVolumeClaim>) -> Option<Finding> {
    let status = claim.object.status.as_ref()?;
    let amount = |text: &str| quantity::amount(text).unwrap_or(0.0);
    let wanted = claim.object.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?.get("storage")?.0.clone();
    let has = status.capacity.as_ref()?.get("storage")?.0.clone();
    if amount(&wanted) <= amount(&has) {
        return None;
    }
    let name = named(&claim.object);
    let failed = scene.events(&name, &["VolumeResizeFailed", "FileSystemResizeFailed"]).last().copied();
    let conditions = status.conditions.as_deref().unwrap_or(&[]);
    let of = |kinds: &[&str]| conditions.iter().find(|it| kinds.contains(&it.type_.as_str()) && it.status == "True");
    let pending = of(&["FileSystemResizePending"]);
    let since = pending.or_else(|| of(&["Resizing"])).and_then(|it| it.last_transition_time.as_ref());
    let minutes = scene.minutes_since(since).unwrap_or(0);
    if failed.is_none() && minutes < PATIENCE && !scene.question.targets.contains(&name) {
        return None;
    }
    let why = match (failed, pending) {
        (Some(event), _) => scene.colon(scene.text("扩容失败", "resizing failed"), logs::said(&event.message)),
        (None, Some(_)) => scene.text(
            "文件系统要等 Pod 重新挂载后才会扩容（FileSystemResizePending）",
            "its file system grows when a Pod mounts it again (FileSystemResizePending)",
        ),
        _ => scene.text("存储还没有完成扩容", "the storage has not finished"),
    };
    let code = if failed.is_some() { "pvc_resize_failed" } else { "pvc_resize_pending" };
    let headline = scene.text(
        format!("{name} 的扩容没有完成：申请 {wanted}，实际仍为 {has}；{why}"),
        format!("{name} has not been resized: it asks for {wanted} and has {has}; {why}"),
    );
    let depth = if failed.is_some() { Depth::Root } else { Depth::Effect };
    Some(
        Finding::new(code, depth, &name, &name, headline)
            .confidence(if failed.is_some() { Confidence::High } else { Confidence::Medium })
            .cite([
                failed.and_then(|event| scene.quote_event(event)),
                pending.and_then(|_| scene.quote(&claim.reference, "FileSystemResizePending")),
                scene.quote(&claim.reference, &format!("storage: {has}")),
            ])
            .touches(if failed.is_some() { consumers(scene, &name) } else { Vec::new() })
            .steps([
                look(
                    scene.text("查看 PVC 的条件与事件", "Read the claim's conditions and events"),
                    kubectl(&name.namespace, &format!("describe pvc {}", name.name)),
                ),
                change(
                    scene.text("按提示完成扩容", "Let the resize finish as it says"),
                    scene.text(
                        "FileSystemResizePending：重启使用它的 Pod；失败：修正存储配额或后端",
                        "FileSystemResizePending: restart the Pod that uses it; failed: fix the quota or the backend",
                    ),
                    None,
                ),
            ]),
    )
}

/// A log that says the disk is full, and the claim whose mount the path lies in.
fn full(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let name = named(&pod.object);
    let (log, line) =
        reach::present_logs(scene, &pod.object).into_iter().find_map(|(log, text)| Some((log, full_line(text)?)))?;
    let mounts = mounts(&pod.object);
    let path =
        PATH.all(line).into_iter().filter_map(|found| Some(found.get(1)?.as_str().to_owned())).find_map(|path| {
            let inside = |mount: &&Mount| path == mount.path || path.starts_with(&format!("{}/", mount.path));
            mounts.iter().filter(inside).max_by_key(|mount| mount.path.len())
        });
    let only = match mounts.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    let (mount, confidence) = path.map(|it| (it, Confidence::High)).or(only.map(|it| (it, Confidence::Medium)))?;
    let claim = ObjectRef::new("PersistentVolumeClaim", &name.namespace, &mount.claim);
    let size = scene
        .claims
        .iter()
        .find(|known| named(&known.object) == claim)
        .and_then(|known| Some(known.object.status.as_ref()?.capacity.as_ref()?.get("storage")?.0.clone()));
    let size = size.map(|size| scene.text(format!("（容量 {size}）"), format!(" ({size})"))).unwrap_or_default();
    let headline = scene.text(
        format!("{claim}{size} 已写满，{name} 无法写入 {}：{}", mount.path, logs::said(line)),
        format!("{claim}{size} is full, so {name} cannot write to {}: {}", mount.path, logs::said(line)),
    );
    Some(
        Finding::new("volume_full", Depth::Root, &name, &claim, headline)
            .confidence(confidence)
            .cite([
                scene.quote(&log.reference, line),
                scene.quote(&pod.reference, &format!("claimName: {}", mount.claim)),
            ])
            .touches([scene.workload(&pod.object), claim.clone()])
            .steps([
                look(
                    scene.text("查看 PVC 的容量", "Read the claim's capacity"),
                    kubectl(&name.namespace, &format!("describe pvc {}", mount.claim)),
                ),
                change(
                    scene.text("清理卷中的数据，或扩容 PVC", "Free space in the volume, or enlarge the claim"),
                    scene.text(
                        "扩容需要 StorageClass 的 allowVolumeExpansion 为 true",
                        "Enlarging needs a StorageClass with allowVolumeExpansion true",
                    ),
                    Some(kubectl(&name.namespace, &format!("edit pvc {}", mount.claim))),
                ),
            ]),
    )
}

fn full_line(text: &str) -> Option<&str> {
    text.lines().rev().find(|line| FULL.hits(line) && !shared_memory::says(line) && !logs::instructs(line))
}

/// Where a claim is mounted.
struct Mount {
    claim: String,
    path: String,
}

fn mounts(pod: &Pod) -> Vec<Mount> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or(&[]);
    let claim = |volume: &str| {
        let found = volumes.iter().find(|known| known.name == volume)?;
        Some(found.persistent_volume_claim.as_ref()?.claim_name.clone())
    };
    let views = pods::containers(pod);
    let mounted = views.iter().flat_map(|view| view.spec.volume_mounts.iter().flatten());
    let found = mounted.filter_map(|mount| {
        let path = mount.mount_path.trim_end_matches('/').to_owned();
        Some(Mount { claim: claim(&mount.name)?, path })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, patched, pod};

    fn with_data(patch: serde_json::Value) -> serde_json::Value {
        let mounted = json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "containers": [{"name": "web", "image": "reg/web:1", "volumeMounts": [{"name": "data", "mountPath": "/var/lib/db"}]}]}});
        pod(patched(patch, mounted))
    }

    fn claim(wanted: &str, conditions: serde_json::Value) -> serde_json::Value {
        json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
            "spec": {"resources": {"requests": {"storage": wanted}}},
            "status": {"phase": "Bound", "capacity": {"storage": "10Gi"}, "conditions": conditions}})
    }

    #[test]
    fn a_full_volume_is_the_claims_fault_not_the_applications() {
        let world = World::asking("Pod", "web-1-a")
            .with(with_data(crashed(1, "Error")))
            .with(claim("10Gi", json!([])))
            .log("web-1-a", "FATAL could not write /var/lib/db/wal/0001: No space left on device");
        assert_eq!(world.cause(), "volume_full PersistentVolumeClaim/data");
        assert!(world.diagnosis().headline.contains("10Gi"));
    }

    #[test]
    fn a_path_below_the_working_directory_means_the_only_claim_there_is() {
        let world = World::asking("Pod", "web-1-a")
            .with(with_data(crashed(1, "Error")))
            .with(claim("10Gi", json!([])))
            .log("web-1-a", "[29] FATAL:  could not write to file \"pg_wal/xlogtemp.29\": No space left on device");
        assert_eq!(world.cause(), "volume_full PersistentVolumeClaim/data");
    }

    #[test]
    fn a_full_disk_without_a_claim_stays_the_applications_story() {
        let world = World::asking("Pod", "web-1-a")
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", "FATAL could not write /tmp/x: No space left on device");
        assert!(!world.codes().contains(&"volume_full"));
    }

    #[test]
    fn a_resize_that_failed_or_waits_is_told_with_both_sizes() {
        let pending = json!([{"type": "FileSystemResizePending", "status": "True", "lastTransitionTime": "2026-11-23T02:00:00Z"}]);
        let asked = |claim| World::asking("PersistentVolumeClaim", "data").with(claim);
        assert_eq!(asked(claim("20Gi", pending)).cause(), "pvc_resize_pending PersistentVolumeClaim/data");
        let failed = asked(claim("20Gi", json!([]))).event(
            "PersistentVolumeClaim",
            "data",
            "VolumeResizeFailed",
            "resize volume failed: rpc error: quota exceeded",
        );
        assert_eq!(failed.cause(), "pvc_resize_failed PersistentVolumeClaim/data");
        assert!(failed.diagnosis().headline.contains("20Gi") && failed.diagnosis().headline.contains("10Gi"));
        asked(claim("10Gi", json!([]))).is_calm();
    }

    #[test]
    fn a_volume_that_failed_or_still_names_the_claim_before_is_blamed() {
        let volume = |phase: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-7"},
                "spec": {"storageClassName": "", "claimRef": {"namespace": "shop", "name": "data", "uid": "old"}},
                "status": {"phase": phase, "message": "error deleting volume: disk is attached"}})
        };
        assert_eq!(
            World::asking("PersistentVolume", "pv-7").with(volume("Failed")).cause(),
            "pv_failed PersistentVolume/pv-7"
        );
        let waiting = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
            "spec": {"storageClassName": ""}, "status": {"phase": "Pending"}});
        let world = World::asking("PersistentVolumeClaim", "data").with(waiting).with(volume("Released"));
        assert_eq!(world.cause(), "pv_released_not_reusable PersistentVolume/pv-7");
        assert!(World::asking("PersistentVolume", "pv-7").with(volume("Bound")).codes().is_empty());
    }
}
