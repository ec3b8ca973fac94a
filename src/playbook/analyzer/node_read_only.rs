//! Nodes whose own file system is read-only: the kernel remounts a disk that fails, and no Pod can be set up there any more.

use crate::alert::ObjectRef;
use crate::playbook::analyzer::node_conditions;
use crate::playbook::facts::SeenEvent;
use crate::playbook::finding::{Depth, Finding, change, look};
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::Scene;
use crate::report::Confidence;

/// How the kubelet and the runtime say that they cannot write where the Node keeps its Pods.
static READ_ONLY: Pattern = Pattern::new(
    r"(?i)/(?:var|run|opt)/[\w./-]*(?:kubelet|containerd|docker|crio|containers)\b.*: read-only file system",
);

/// What a warning about a Pod tells of its Node's disk; a volume of the Pod's own that is read-only is another matter.
pub(super) fn told_by(scene: &Scene<'_>, pod: &ObjectRef, node: &str, event: &SeenEvent) -> Option<Finding> {
    if !READ_ONLY.hits(&event.message) || node.is_empty() {
        return None;
    }
    let object = ObjectRef::new("Node", "", node);
    let read = scene.node(node);
    let conditions = read.map(|node| node_conditions::odd(&node.object)).unwrap_or_default();
    let told = conditions.into_iter().find(|it| it.type_.to_ascii_lowercase().contains("readonly"));
    let kernel = scene.events(&object, &["Ext4Error", "XfsHasShutDown", "IOError", "FilesystemIsReadOnly"]);
    let headline = scene.text(
        format!("Node {node} 的文件系统只读（read-only file system），{pod} 无法在其上创建"),
        format!("Node {node} has a read-only file system, so {pod} cannot be set up on it"),
    );
    let why =
        told.and_then(|condition| condition.message.clone()).or_else(|| kernel.last().map(|it| it.message.clone()));
    let summary = match why {
        Some(why) => scene.colon(&headline, why),
        None => headline.clone(),
    };
    let proof = told
        .zip(read)
        .and_then(|(condition, node)| scene.quote(&node.reference, &format!("type: {}", condition.type_)));
    Some(
        Finding::new("node_filesystem_read_only", Depth::Root, pod, &object, headline)
            .summary(summary)
            .confidence(Confidence::High)
            .cite([scene.quote_event(event), proof, kernel.last().and_then(|event| scene.quote_event(event))])
            .steps([
                look(
                    scene.text("查看节点的条件与事件", "Read the Node's conditions and events"),
                    format!("kubectl describe node {node}"),
                ),
                change(
                    scene.text("停止向该节点调度，再迁走其上的 Pod", "Keep new Pods off the Node, then move those on it"),
                    scene.text(
                        "内核在磁盘出错时把文件系统改为只读：检查磁盘与内核日志（dmesg），修复或更换后再放开节点",
                        "The kernel makes a file system read-only when its disk fails: check the disk and the kernel's log (dmesg), and let Pods back only once it is repaired or replaced",
                    ),
                    Some(format!("kubectl cordon {node}")),
                ),
            ]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, node, pod};

    const DIRECTORIES: &str = "MountVolume.SetUp failed for volume \"kube-api-access-g\" : mkdir /var/lib/kubelet/pods/44ec: read-only file system";

    fn waiting(message: &str) -> World {
        let creating = json!({"status": {"phase": "Pending", "containerStatuses": [{"name": "web", "image": "reg/web:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ContainerCreating"}}}], "conditions": [{"type": "Ready", "status": "False"}]}});
        World::asking("Pod", "web-1-a").with(pod(creating)).event("Pod", "web-1-a", "FailedMount", message)
    }

    #[test]
    fn a_disk_that_the_kernel_made_read_only_is_the_nodes() {
        let condition = json!({"status": {"conditions": [{"type": "Ready", "status": "True"},
            {"type": "ReadonlyFilesystem", "status": "True", "reason": "FilesystemIsReadOnly", "message": "Filesystem is read-only"}]}});
        let world = waiting(DIRECTORIES).with(node(condition));
        assert_eq!(world.cause(), "node_filesystem_read_only Node/n1");
        assert!(world.diagnosis().causes[0].summary.contains("Filesystem is read-only"));
        assert_eq!(waiting(DIRECTORIES).cause(), "node_filesystem_read_only Node/n1", "the kubelet says enough");
    }

    #[test]
    fn a_volume_that_is_read_only_is_no_nodes() {
        let own = waiting("MountVolume.SetUp failed for volume \"data\" : mkdir /mnt/nfs/data: read-only file system");
        assert!(!own.codes().contains(&"node_filesystem_read_only"));
        assert!(
            !waiting("MountVolume.SetUp failed for volume \"data\" : no such device")
                .codes()
                .contains(&"node_filesystem_read_only")
        );
    }
}
