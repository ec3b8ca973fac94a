//! Places: the line of a file that a process could not read, where the file is a key of a mounted ConfigMap.

use k8s_openapi::api::core::v1::{ConfigMap, Pod};

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{change, kubectl};
use crate::playbook::latent;
use crate::playbook::logs;
use crate::playbook::parsed;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Step};

/// How programs say that a file does not read as one of its kind.
static UNREADABLE: Pattern = Pattern::new(
    r"(?i)\b(?:syntax error|pars(?:e|er|ing) (?:error|fail\w*)|error (?:while |during )?parsing|(?:cannot|could not|failed to|unable to) (?:parse|unmarshal|decode)|invalid|malformed|unknown (?:directive|parameter|property|option|key|setting|keyword)|unexpected|bad directive)\b|语法错误|解析失败",
);
/// A file with the number of a line: `/etc/app/a.ini:9`, `/etc/app/a.yaml, line 9`, `line 9 of /etc/app/a.cnf`.
static PLACE: Pattern = Pattern::new(
    r#"(?i)(/[\w./-]*[\w-])["']?(?::|,? (?:at |on )?line:? )(\d{1,5})\b|\bline (\d{1,5}) (?:of|in) (?:file )?["']?(/[\w./-]*[\w-])"#,
);

/// The line of a ConfigMap's key that a process stumbled over.
pub(super) struct Place {
    map: ObjectRef,
    key: String,
    number: usize,
    citation: Option<Citation>,
    others: bool,
}

/// The place that a line of a container's log names, when it lies in a mounted ConfigMap that was read.
pub(super) fn of(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, line: &str) -> Option<Place> {
    by_path(scene, pod, view, line).or_else(|| by_words(scene, pod, view, line))
}

/// The line of a mounted YAML that a reader could not read, where it tells the line and not the file: it is known by its
/// words, or by the TAB in it that the reader complains about.
fn by_words(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, line: &str) -> Option<Place> {
    if !parsed::tells(line) {
        return None;
    }
    let logs = scene.logs(&named(pod), view.name()).into_iter().filter_map(|log| log.lines.as_deref().ok());
    let (told, shown) = logs.into_iter().find_map(|log| parsed::place(log, line))?;
    let is_meant = |content: &str| match shown {
        Some(shown) => content.trim() == shown,
        None => content.contains('\t') && line.contains("cannot start any token"),
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    latent::maps(pod).into_iter().find_map(|map| {
        let read: Seen<ConfigMap> = scene.facts.get(namespace, &map.name)?;
        // Where no line is shown, go-yaml tells the one before at times.
        let numbers = told..=told + usize::from(shown.is_none());
        let data = read.object.data?;
        let (key, number, content) = data.iter().filter(|(key, _)| key.contains('.')).find_map(|(key, text)| {
            let mut lines = text.lines().enumerate().map(|(at, content)| (at + 1, content));
            let found = lines.find(|(number, content)| numbers.contains(number) && is_meant(content))?;
            Some((key.clone(), found.0, found.1.trim().to_owned()))
        })?;
        let citation = scene.quote(&read.reference, &content);
        let others = serves_with(scene, pod, &map);
        Some(Place { map, key, number, citation, others })
    })
}

fn by_path(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, line: &str) -> Option<Place> {
    if !UNREADABLE.hits(line) || logs::instructs(line) {
        return None;
    }
    let found = PLACE.groups(line)?;
    let text = |first: usize, other: usize| found.get(first).or(found.get(other)).map(|part| part.as_str());
    let (path, number) = (text(1, 4)?, text(2, 3)?.parse::<usize>().ok()?);
    let mounts = view.spec.volume_mounts.iter().flatten();
    let below = mounts.filter_map(|mount| {
        let rest = path.strip_prefix(mount.mount_path.trim_end_matches('/'))?;
        let file = match &mount.sub_path {
            Some(file) => rest.is_empty().then_some(file.as_str())?,
            None => rest.strip_prefix('/')?,
        };
        Some((mount, file))
    });
    // Of mounts within one another the innermost holds the file.
    let (mount, file) = below.max_by_key(|(mount, _)| mount.mount_path.len())?;
    let volumes = pod.spec.as_ref()?.volumes.as_deref()?;
    let source = volumes.iter().find(|volume| volume.name == mount.name)?.config_map.as_ref()?;
    let item = source.items.iter().flatten().find(|item| item.path == file);
    let key = item.map_or(file, |item| item.key.as_str());
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let read: Seen<ConfigMap> = scene.facts.get(namespace, &source.name)?;
    let content = read.object.data?.get(key)?.lines().nth(number.checked_sub(1)?).map(|line| line.trim().to_owned());
    let citation = content.filter(|line| !line.is_empty()).and_then(|line| scene.quote(&read.reference, &line));
    let map = ObjectRef::new("ConfigMap", namespace, &source.name);
    let others = serves_with(scene, pod, &map);
    Some(Place { map, key: key.to_owned(), number, citation, others })
}

/// Whether Pods of the same workload serve that read the same ConfigMap when they began.
fn serves_with(scene: &Scene<'_>, pod: &Pod, map: &ObjectRef) -> bool {
    scene.pods_of(&scene.workload(pod)).iter().any(|other| {
        pods::is_ready(&other.object) && !pods::is_leaving(&other.object) && latent::maps(&other.object).contains(map)
    })
}

impl Place {
    /// The map, where the line it names was found in it.
    pub(super) fn blamed(&self) -> Option<&ObjectRef> {
        self.citation.as_ref().map(|_| &self.map)
    }

    /// Adds to why a container crashed which line that is.
    pub(super) fn with(&self, scene: &Scene<'_>, why: &str) -> String {
        let Self { map, key, number, .. } = self;
        let said = self.citation.as_ref().map(|it| logs::shorten(&it.quote, 80));
        let zh = said.as_ref().map_or_else(String::new, |said| format!("：{said}"));
        let en = said.as_ref().map_or_else(String::new, |said| format!(": {said}"));
        scene.text(
            format!("{why}（该文件来自 {map} 的 {key}，第 {number} 行{zh}）"),
            format!("{why} (the file is {key} of {map}, line {number}{en})"),
        )
    }

    /// The line, as the map's text shows it.
    pub(super) fn proof(&self) -> Option<Citation> {
        self.citation.clone()
    }

    /// What corrects it.
    pub(super) fn step(&self, scene: &Scene<'_>) -> Step {
        let Self { map, key, number, .. } = self;
        let detail = if self.others {
            scene.text(
                "仍在运行的旧 Pod 是更早读取它的，下次重启时同样会失败；回滚版本不会改变该 ConfigMap",
                "Pods that still serve read it earlier and would fail the same way at their next restart; going back a version does not change it",
            )
        } else {
            scene.text("修改后需要重建 Pod", "Then restart the Pods")
        };
        change(
            scene.text(
                format!("修正 {map} 中 {key} 的第 {number} 行"),
                format!("Correct line {number} of {key} in {map}"),
            ),
            detail,
            Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, container, crashed, patched, pod};

    const SAID: &str = "2026-11-23 02:59:52.234 UTC [1] ERROR syntax error in configuration (/etc/pooler/pooler.ini:3), stopping loading file\n2026-11-23 02:59:52.234 UTC [1] FATAL cannot load config file";

    fn world(mount: &str, log: &str) -> World {
        let mounts = json!({"volumeMounts": [{"name": "c", "mountPath": mount}]});
        let spec = json!({"spec": {"containers": [container(mounts)], "volumes": [{"name": "c", "configMap": {"name": "ini"}}]}});
        let map: Value = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ini", "namespace": "shop"},
            "data": {"pooler.ini": "[pooler]\nport = 6432\nidle_timeout 600\nsize = 4\n"}});
        let ready = patched(pod(spec.clone()), json!({"metadata": {"name": "web-1-b"}}));
        World::asking("Pod", "web-1-a")
            .with(pod(patched(crashed(1, "Error"), spec)))
            .with(ready)
            .with(map)
            .log("web-1-a", log)
    }

    #[test]
    fn the_line_of_a_mounted_config_map_is_named_and_no_older_version_is_offered() {
        assert_eq!(world("/etc/pooler", SAID).cause(), "crashloop_app_config_error ConfigMap/ini");
        let told = world("/etc/pooler", SAID).diagnosis();
        assert!(told.headline.contains("syntax error"), "{}", told.headline);
        assert!(told.headline.contains("ConfigMap shop/ini, line 3: idle_timeout 600"), "{}", told.headline);
        assert!(told.steps.iter().any(|step| step.detail.contains("at their next restart")), "{:?}", told.steps);
        let undoes = |command: &String| command.contains("rollout undo");
        assert!(!told.steps.iter().filter_map(|step| step.command.as_ref()).any(undoes));
    }

    /// SnakeYAML tells the line and shows it; which file it read, only its words say.
    #[test]
    fn a_line_that_is_shown_without_its_file_is_found_in_the_map_by_its_words() {
        let log = "ERROR SpringApplication -- Application run failed\norg.yaml.snakeyaml.scanner.ScannerException: while scanning for the next token\nfound character '\\t(TAB)' that cannot start any token\n in 'reader', line 3, column 1:\n    \tidle_timeout 600\n    ^\n\n\tat a.B(B.java:1)\n";
        let told = world("/config", log);
        assert_eq!(told.cause(), "crashloop_app_config_error ConfigMap/ini");
        let headline = told.diagnosis().headline;
        assert!(headline.contains("TAB") && headline.contains("line 3: idle_timeout 600"), "{headline}");
        let elsewhere = log.replace("line 3", "line 2");
        assert!(!world("/config", &elsewhere).diagnosis().headline.contains("ConfigMap"), "not that line");
        let another = log.replace("idle_timeout 600", "ttl: 45");
        assert!(!world("/config", &another).diagnosis().headline.contains("ConfigMap"), "not these words");
    }

    #[test]
    fn a_file_of_the_image_and_another_complaint_lead_to_no_map() {
        assert!(!world("/etc/other", SAID).diagnosis().headline.contains("ConfigMap"));
        let other = "ERROR reading /etc/pooler/pooler.ini:3 took long\nFATAL database: connection limit reached";
        assert!(!world("/etc/pooler", other).diagnosis().headline.contains("line 3"));
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(UNREADABLE.compiles() && PLACE.compiles());
    }
}
