//! Programs of another architecture than their Node's.

use k8s_openapi::api::core::v1::Pod;

use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::Scene;

/// What the kernel answers for a program of another architecture (ENOEXEC); also for a script without its first line.
pub(super) const OTHER_ARCHITECTURE: &str = "exec format error";

/// The code and the reason of such an end.
pub(super) fn other_architecture(scene: &Scene<'_>, said: &str) -> (&'static str, String) {
    let why = scene.text(
        format!("镜像与节点的 CPU 架构不符：{said}"),
        format!("its image is built for another CPU architecture: {said}"),
    );
    ("image_platform_mismatch", why)
}

/// Adds which image it is, whose tag often tells what it was built for, and what the Pod's Node is, where that was read.
pub(super) fn with_architecture(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, why: String) -> String {
    let image = view.spec.image.as_deref().unwrap_or_default();
    let why = scene.text(format!("{why}（镜像 {image}）"), format!("{why} (image {image})"));
    let node = pods::node_name(pod).and_then(|name| scene.node(name));
    let info = node.and_then(|node| node.object.status.as_ref()?.node_info.as_ref());
    let Some((name, info)) = pods::node_name(pod).zip(info) else { return why };
    scene.text(
        format!("{why}（Node {name} 为 {}）", info.architecture),
        format!("{why} (Node {name} is {})", info.architecture),
    )
}
