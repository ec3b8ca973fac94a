//! What a workload can use up of the Node it runs on, and in which words each is told.

use k8s_openapi::api::core::v1::{Node, Pod};

use crate::playbook::pods;
use crate::playbook::quantity;
use crate::playbook::scene::Scene;

/// What kubelets evict Pods for that these use more of than they asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `memory`, under `MemoryPressure`.
    Memory,
    /// `ephemeral-storage`, under `DiskPressure`.
    Disk,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Memory, Self::Disk];

    /// Its name in requests, in a Node's capacity and in the kubelet's words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "ephemeral-storage",
        }
    }

    /// The one of such a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The condition of a Node that is short of it.
    #[must_use]
    pub const fn pressure(self) -> &'static str {
        match self {
            Self::Memory => "MemoryPressure",
            Self::Disk => "DiskPressure",
        }
    }

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Memory => "node_memory_used_up",
            Self::Disk => "node_disk_used_up",
        }
    }

    /// In words.
    #[must_use]
    pub fn word(self, scene: &Scene<'_>) -> &'static str {
        match self {
            Self::Memory => scene.lang.pick("内存", "memory"),
            Self::Disk => scene.lang.pick("磁盘", "disk"),
        }
    }

    /// What a Node has of it; of one that was not read, what the largest has that was.
    pub(super) fn of_node(self, scene: &Scene<'_>, node: &str) -> f64 {
        let of = |node: &Node| {
            let status = node.status.as_ref();
            let has = quantity::of(status.and_then(|status| status.capacity.as_ref()), self.name());
            if has > 0.0 {
                has
            } else {
                quantity::of(status.and_then(|status| status.allocatable.as_ref()), self.name())
            }
        };
        let largest = || scene.nodes.iter().map(|node| of(&node.object)).fold(0.0, f64::max);
        scene.node(node).map_or_else(largest, |node| of(&node.object))
    }

    /// The limit that was set for a container.
    pub(super) fn limit(self, pod: &Pod, container: &str) -> Option<String> {
        let views = pods::containers(pod);
        let view = views.iter().find(|view| view.name() == container)?;
        Some(view.spec.resources.as_ref()?.limits.as_ref()?.get(self.name())?.0.clone())
    }
}

/// The volumes a container writes to that may grow until the Node's disk is full: emptyDirs on it without a `sizeLimit`.
pub(super) fn unbounded(pod: &Pod, container: &str) -> Vec<String> {
    let views = pods::containers(pod);
    let Some(view) = views.iter().find(|view| view.name() == container) else { return Vec::new() };
    let mounted = |name: &str| view.spec.volume_mounts.iter().flatten().any(|mount| mount.name == name);
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let grows = volumes.filter(|volume| {
        let on_disk = |it: &&k8s_openapi::api::core::v1::EmptyDirVolumeSource| it.medium.as_deref() != Some("Memory");
        volume.empty_dir.as_ref().filter(on_disk).is_some_and(|it| it.size_limit.is_none()) && mounted(&volume.name)
    });
    grows.map(|volume| volume.name.clone()).collect()
}
