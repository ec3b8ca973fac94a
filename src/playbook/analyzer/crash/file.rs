//! Files that a crashed container looked for in vain where a ConfigMap is mounted: the map has no key of that name.

use k8s_openapi::api::core::v1::{ConfigMap, ConfigMapVolumeSource, Pod, VolumeMount};

use crate::alert::ObjectRef;
use crate::playbook::analyzer::config;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{change, kubectl};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::ContainerView;
use crate::playbook::scene::Scene;
use crate::report::{Citation, Step};

static NO_FILE: Pattern = Pattern::new(
    r"(?i)no such file|\benoent\b|FileNotFound|file not found|cannot find the file|(?:文件|路径)不存在|找不到文件",
);

/// A file that a ConfigMap was expected to hold, and what it holds instead.
pub(super) struct Missing {
    map: ObjectRef,
    mount: String,
    file: String,
    keys: Vec<String>,
    reference: String,
}

/// The file that a line of a container's log misses, when it is one of a mounted ConfigMap that was read and has it not.
pub(super) fn missing(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, line: &str) -> Option<Missing> {
    let mounts = view.spec.volume_mounts.iter().flatten().filter(|_| NO_FILE.hits(line));
    let below = mounts.filter_map(|mount| Some((mount, file_below(line, &mount.mount_path)?)));
    // Of mounts within one another the innermost holds the file.
    let (mount, file) = below.max_by_key(|(mount, _)| mount.mount_path.trim_end_matches('/').len())?;
    if mount.sub_path.is_some() || mount.sub_path_expr.is_some() {
        return None;
    }
    let map = map_of(pod, mount)?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let read: Seen<ConfigMap> = scene.facts.get(namespace, &map.name)?;
    let object = ObjectRef::new("ConfigMap", namespace, &map.name);
    let keys = config::keys(scene, &object);
    // Chosen keys are mounted under names of the Pod's own.
    let shown: Vec<String> = match &map.items {
        Some(items) => items.iter().map(|item| item.path.clone()).collect(),
        None => keys,
    };
    if shown.contains(&file) {
        return None;
    }
    let mount = mount.mount_path.trim_end_matches('/').to_owned();
    Some(Missing { map: object, mount, file, keys: shown, reference: read.reference })
}

/// The path below a mount that a line names: `rules.yaml` of `open /etc/app/rules.yaml: no such file` for `/etc/app`.
fn file_below(line: &str, mount: &str) -> Option<String> {
    const PATH: usize = 120;
    let begin = format!("{}/", mount.trim_end_matches('/'));
    let before = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    let at = line.match_indices(&begin).find(|(at, _)| !line[..*at].ends_with(before))?.0;
    let of_path = |letter: &char| letter.is_ascii_alphanumeric() || "/._-".contains(*letter);
    let path: String = line[at + begin.len()..].chars().take_while(of_path).take(PATH).collect();
    Some(path.trim_end_matches(['.', '-']).to_owned()).filter(|path| !path.is_empty())
}

fn map_of<'p>(pod: &'p Pod, mount: &VolumeMount) -> Option<&'p ConfigMapVolumeSource> {
    let volumes = pod.spec.as_ref()?.volumes.as_deref()?;
    volumes.iter().find(|volume| volume.name == mount.name)?.config_map.as_ref()
}

impl Missing {
    /// Adds to why a container crashed that its ConfigMap lacks the file.
    pub(super) fn with(&self, scene: &Scene<'_>, why: &str) -> String {
        let Self { map, mount, file, keys, .. } = self;
        let keys = config::listed(keys);
        scene.text(
            format!("{why}（挂载在 {mount} 的 {map} 中没有 {file}，只有 {keys}）"),
            format!("{why} ({map}, which is mounted at {mount}, has no {file}, only {keys})"),
        )
    }

    /// The key that the map has instead, as its text shows it.
    pub(super) fn proof(&self, scene: &Scene<'_>) -> Option<Citation> {
        let key = self.keys.first()?;
        scene.quote(&self.reference, &format!("{key}:")).or_else(|| scene.quote(&self.reference, key))
    }

    /// How the two are brought together.
    pub(super) fn step(&self, scene: &Scene<'_>) -> Step {
        let Self { map, file, .. } = self;
        change(
            scene.text(
                format!("让两者一致：在 {map} 中以 {file} 为 key，或修正应用使用的路径"),
                format!("Make the two agree: give {map} the key {file}, or correct the path the application is given"),
            ),
            scene.text("修改后需要重建 Pod", "Then restart the Pods"),
            Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::file_below;
    use crate::playbook::world::{World, crashed, patched, pod};

    fn told(key: &str, line: &str, mount: &Value) -> String {
        let container = json!({"name": "web", "image": "reg/web:1", "volumeMounts": [mount]});
        let spec = json!({"spec": {"containers": [container], "volumes": [{"name": "conf", "configMap": {"name": "web-conf"}}]}});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web-conf", "namespace": "shop"}, "data": {key: "x"}});
        let world = World::asking("Pod", "web-1-a").with(pod(patched(crashed(1, "Error"), spec))).with(map);
        let diagnosis = world.log("web-1-a", line).diagnosis();
        let steps: Vec<&str> = diagnosis.steps.iter().map(|step| step.title.as_str()).collect();
        format!("{} {} {}", diagnosis.headline, diagnosis.causes[0].summary, steps.join(" "))
    }

    #[test]
    fn a_key_of_another_name_is_told_with_the_file_that_was_wanted() {
        let mount = json!({"name": "conf", "mountPath": "/etc/web"});
        let line = "ERROR open /etc/web/rules.yaml: no such file or directory";
        let said = told("rules.yml", line, &mount);
        assert!(said.contains("has no rules.yaml, only rules.yml") && said.contains("the key rules.yaml"), "{said}");
        assert!(!told("rules.yaml", line, &mount).contains("has no"), "the key is there");
        let elsewhere = "ERROR open /etc/webapp/rules.yaml: no such file or directory";
        assert!(!told("rules.yml", elsewhere, &mount).contains("has no"));
        assert!(!told("rules.yml", "ERROR /etc/web/rules.yaml: line 3: bad mapping", &mount).contains("has no"));
        let one = json!({"name": "conf", "mountPath": "/etc/web", "subPath": "rules.yml"});
        assert!(!told("rules.yml", line, &one).contains("has no"), "a single key is mounted there");
    }

    #[test]
    fn paths_are_read_below_their_mount() {
        assert_eq!(file_below("open '/etc/web/a/b.toml'.", "/etc/web/").as_deref(), Some("a/b.toml"));
        assert_eq!(file_below("open /srv/etc/web/b.toml", "/etc/web"), None);
    }
}
