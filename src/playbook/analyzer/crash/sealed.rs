//! A file system that may not be written: the container's own root is sealed, or the path is on a volume that is.

use crate::playbook::pattern::Pattern;
use crate::playbook::pods::ContainerView;
use crate::playbook::scene::Scene;

/// How the kernel's refusal to write to a file system reads (EROFS).
static READ_ONLY: Pattern = Pattern::new(r"(?i)read-only file ?system|\berofs\b");

/// Whether a line tells of a file system that may not be written, in a container whose own root is sealed.
pub(super) fn refuses(view: &ContainerView<'_>, line: &str) -> bool {
    READ_ONLY.hits(line) && root_is_read_only(view)
}

fn root_is_read_only(view: &ContainerView<'_>) -> bool {
    view.spec.security_context.as_ref().and_then(|context| context.read_only_root_filesystem) == Some(true)
}

/// The volume on which the path lies that a text names; none for a path of the container's own root.
pub(super) fn volume_in<'v>(view: &ContainerView<'v>, text: &str) -> Option<&'v str> {
    let mounts = view.spec.volume_mounts.iter().flatten();
    let named = mounts.filter(|mount| mount.mount_path != "/" && text.contains(&mount.mount_path));
    named.max_by_key(|mount| mount.mount_path.len()).map(|mount| mount.name.as_str())
}

/// Adds why the file system may not be written: the container's own root is sealed; of a path on a volume, that it is.
pub(super) fn explained(scene: &Scene<'_>, view: &ContainerView<'_>, why: String) -> String {
    match volume_in(view, &why) {
        Some(volume) => scene
            .text(format!("{why}（该路径在 volume {volume} 上）"), format!("{why} (that path is on volume {volume})")),
        None => scene.text(
            format!("{why}（容器设置了 readOnlyRootFilesystem: true，该路径也未挂载可写的卷）"),
            format!("{why} (the container sets readOnlyRootFilesystem: true, and no volume is mounted there)"),
        ),
    }
}
