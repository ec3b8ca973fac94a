//! Shared memory that is used up: `/dev/shm` holds 64 MiB unless the Pod mounts a larger one, and its errors read like
//! those of a full disk.

use k8s_openapi::api::core::v1::Pod;

use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::relay;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// How databases, browsers and machine learning run-times say it.
static SAYS: Pattern = Pattern::new(
    r"(?i)shared memory (?:segment|object|file)?.*(?:no space left|cannot allocate|too small)|/dev/shm\S*.*(?:no space left|cannot allocate|is full|bus error)|insufficient shared memory|out of shared memory \(shm\)",
);
/// Where containers find it.
const PLACE: &str = "/dev/shm";

/// Whether a line of a log says that shared memory, not a disk, is used up.
#[must_use]
pub fn says(line: &str) -> bool {
    SAYS.hits(line)
}

/// Findings about Pods whose own log says so; a client that merely passes it on is not blamed.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| used_up(scene, pod)).collect()
}

fn used_up(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let name = named(&pod.object);
    let told = |line: &&str| says(line) && !relay::is_passed_on(line) && !logs::instructs(line);
    let (log, line) = reach::present_logs(scene, &pod.object)
        .into_iter()
        .find_map(|(log, text)| Some((log, text.lines().rev().find(told)?)))?;
    if !relay::sources(scene, &pod.object).is_empty() {
        return None;
    }
    let workload = scene.workload(&pod.object);
    let size = size(&pod.object, &log.container);
    let size = size.unwrap_or_else(|| scene.text("默认 64 MiB", "64 MiB, the default"));
    let headline = scene.text(
        format!("{workload} 的共享内存（/dev/shm，{size}）不够用：{}", logs::said(line)),
        format!("{workload} runs out of shared memory (/dev/shm, {size}): {}", logs::said(line)),
    );
    Some(
        Finding::new("shared_memory_full", Depth::Mechanism, &name, &workload, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&log.reference, line)])
            .ruled_out(
                scene.text("磁盘或 PVC 写满", "a full disk or claim"),
                scene.text(
                    "报错的是共享内存段，不是文件系统上的文件",
                    "the error is about a segment of shared memory, not a file on a disk",
                ),
            )
            .steps([
                look(
                    scene.text("查看 /dev/shm 的挂载", "See what is mounted at /dev/shm"),
                    kubectl(&name.namespace, &format!("get pod {} -o yaml", name.name)),
                ),
                change(
                    scene.text(
                        "在 /dev/shm 挂载 medium 为 Memory 的 emptyDir，并设置足够的 sizeLimit",
                        "Mount an emptyDir of medium Memory at /dev/shm, with a sizeLimit that is enough",
                    ),
                    scene.text("它计入容器的内存 limit", "It counts towards the container's memory limit"),
                    edit_template(&workload),
                ),
            ]),
    )
}

/// The limit of what the container mounts there; `None` where it has only what every container gets.
fn size(pod: &Pod, container: &str) -> Option<String> {
    let views = pods::containers(pod);
    let view = views.iter().find(|view| view.name() == container)?;
    let mount = view.spec.volume_mounts.iter().flatten().find(|it| it.mount_path.trim_end_matches('/') == PLACE)?;
    let volumes = pod.spec.as_ref()?.volumes.as_ref()?;
    let volume = volumes.iter().find(|volume| volume.name == mount.name)?;
    Some(volume.empty_dir.as_ref()?.size_limit.as_ref()?.0.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, pod};

    const LINE: &str = "ERROR:  could not resize shared memory segment \"/PostgreSQL.21876\" to 67128672 bytes: No space left on device";

    fn with_claim() -> serde_json::Value {
        pod(json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "containers": [{"name": "web", "image": "reg/web:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}}))
    }

    #[test]
    fn a_segment_that_cannot_grow_is_no_full_volume() {
        let world = World::asking("Pod", "web-1-a").with(with_claim()).log("web-1-a", LINE);
        assert_eq!(world.cause(), "shared_memory_full Deployment/web");
        assert!(!world.codes().contains(&"volume_full"));
        assert!(world.diagnosis().headline.contains("64 MiB"));
    }

    #[test]
    fn a_larger_one_that_is_mounted_is_named_with_its_size() {
        let mounted = json!({"spec": {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}}],
            "containers": [{"name": "web", "image": "reg/web:1", "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}]}});
        let world = World::asking("Pod", "web-1-a").with(pod(mounted)).log("web-1-a", LINE);
        assert!(world.diagnosis().headline.contains("1Gi"));
    }

    #[test]
    fn a_disk_that_is_full_is_another_story_and_a_client_passes_it_on() {
        let full = "ERROR: could not write /data/base/1: No space left on device";
        let world = World::asking("Pod", "web-1-a").with(with_claim()).log("web-1-a", full);
        assert_eq!(world.cause(), "volume_full PersistentVolumeClaim/data");
        let passed_on = LINE.replace("ERROR: ", "ERROR pq:");
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &passed_on);
        assert!(!world.codes().contains(&"shared_memory_full"));
        World::asking("Pod", "web-1-a")
            .with(pod(json!({})))
            .log("web-1-a", "LOG: 64 MB of shared memory in use")
            .is_calm();
    }
}
