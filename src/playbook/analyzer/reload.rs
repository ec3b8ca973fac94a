//! Configuration that a running server refuses to take: it goes on with the old one, its Pod stays Ready, and a single line
//! says why, however long ago and whatever was logged since.

use k8s_openapi::api::core::v1::{Pod, Volume, VolumeMount};
use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence, Step};

/// Names of alerts that say a configuration was not taken.
static ASKED: Pattern = Pattern::new(
    r"(?i)reload|badconfig|configinconsistent|config\w*(?:error|fail|invalid)|配置.*(?:重载|加载|失败|错误)",
);
/// Words of a server that does not take a configuration: Prometheus and its family, nginx, HAProxy, CoreDNS, Envoy, Fluent Bit.
static REFUSED: Pattern = Pattern::new(
    r"(?i)(?:error|fail\w*|unable|cannot|could ?n[o']t)\b.{0,60}\b(?:re-?load\w*|(?:load|pars)(?:e|ing)? .{0,30}(?:config\w*|ya?ml|file))|\bre-?load\w*.{0,40}\b(?:fail|error|reject)\w*|\bconfig\w*\b.{0,60}\b(?:rejected|invalid|failed)|\[emerg\]|\bRestart failed:|unknown (?:directive|keyword)|(?:re-?load|加载|重载)\S{0,8}配置\S{0,4}(?:失败|错误)|配置\S{0,8}(?:加载|重载)\S{0,4}失败",
);
/// Words of a server that took one.
static TAKEN: Pattern = Pattern::new(
    r"(?i)completed loading of config|\bre-?load(?:ing|ed)? (?:complete|successful|succeeded|triggered)|successfully re-?loaded|config\w* (?:file )?(?:was |has been )?(?:successfully )?re-?loaded|配置(?:加载|重载)(?:成功|完成)",
);
/// The place in a file that a parser names.
static LINE: Pattern = Pattern::new(r"(?i)\blines? (\d{1,5})\b");
/// The same behind a path: `/etc/nginx/nginx.conf:12`.
static AT: Pattern = Pattern::new(r"/[\w./-]+:(\d{1,5})\b");
/// The word that a parser does not accept.
static WORD: Pattern = Pattern::new(
    r#"(?i)\b(?:field|key|option|directive|keyword|receiver|plugin|property|parameter)\b:?\s+\\?["'`]?([\w.-]{3,})|unknown \w+:?\s+\\?["'`]?([\w.-]{3,})"#,
);

/// The longest reason told, in characters.
const WHY: usize = 180;

/// A configuration that was not taken, and where it comes from.
struct Refusal<'a> {
    line: &'a str,
    log: &'a SeenLog,
    source: Option<Source>,
}

/// A file of a ConfigMap.
struct Source {
    map: ObjectRef,
    key: String,
}

/// Findings about Pods that go on with an old configuration, where an alert asks for that.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    if !scene.question.alert_names.iter().any(|name| ASKED.hits(name)) {
        return Vec::new();
    }
    scene.pods.iter().filter_map(|pod| Some(explain(scene, pod, &refusal(scene, &pod.object)?))).collect()
}

/// The last line of a Pod's logs that refuses a configuration, unless one was taken after it in the same log. One that names
/// a file comes before one that only passes the refusal on.
fn refusal<'a>(scene: &Scene<'a>, pod: &Pod) -> Option<Refusal<'a>> {
    let name = named(pod);
    let of_pod = |log: &&SeenLog| log.namespace == name.namespace && log.pod == name.name && !log.previous;
    let told = scene.facts.logs().iter().filter(of_pod).filter_map(|log| {
        let line = last_refused(log.lines.as_deref().ok()?)?;
        Some(Refusal { line, log, source: source(pod, line) })
    });
    told.min_by_key(|refusal| refusal.source.is_none())
}

fn last_refused(text: &str) -> Option<&str> {
    // What a client sent, an agent's name for example, stands in the line of its request.
    let told = text.lines().filter(|line| !logs::instructs(line) && !logs::is_request(line));
    let mut told = told.filter(|line| TAKEN.hits(line) || (REFUSED.hits(line) && is_error(line)));
    told.next_back().filter(|line| !TAKEN.hits(line))
}

/// Whether a line is an error: `[emerg]` and `[ALERT]` are nginx' and HAProxy's worst.
fn is_error(line: &str) -> bool {
    logs::is_error(line) || line.contains("[emerg]") || line.contains("[ALERT]")
}

/// The key of a ConfigMap behind a path that a line names, by the mounts of the Pod's containers.
fn source(pod: &Pod, line: &str) -> Option<Source> {
    let volumes = pod.spec.as_ref()?.volumes.as_deref()?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    pods::containers(pod).into_iter().find_map(|view| {
        view.spec.volume_mounts.iter().flatten().find_map(|mount| {
            let volume = volumes.iter().find(|volume| volume.name == mount.name)?;
            let key = key_in(volume, mount, line)?;
            let map = volume.config_map.as_ref()?;
            Some(Source { map: ObjectRef::new("ConfigMap", namespace, &map.name), key })
        })
    })
}

/// The key of a volume's ConfigMap that stands in a line as a path below its mount.
fn key_in(volume: &Volume, mount: &VolumeMount, line: &str) -> Option<String> {
    let of_path = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let base = mount.mount_path.trim_end_matches('/');
    let (at, _) = line.match_indices(base).find(|(at, _)| !line[..*at].ends_with(of_path))?;
    let rest = &line[at + base.len()..];
    let file = match mount.sub_path.as_deref() {
        Some(path) if !rest.starts_with('/') => path.to_owned(),
        Some(_) => return None,
        None => rest.strip_prefix('/')?.chars().take_while(|letter| of_path(*letter)).collect(),
    };
    let file = file.trim_end_matches('.').to_owned();
    let items = volume.config_map.as_ref()?.items.as_deref().unwrap_or(&[]);
    let item = items.iter().find(|item| item.path == file).map(|item| item.key.clone());
    (!file.is_empty()).then(|| item.unwrap_or(file))
}

fn explain(scene: &Scene<'_>, pod: &Seen<Pod>, refusal: &Refusal<'_>) -> Finding {
    let workload = scene.workload(&pod.object);
    let name = named(&pod.object);
    let written = refusal.source.as_ref().and_then(|source| written(scene, source, refusal.line));
    let why = why(refusal.line);
    let source = refusal.source.as_ref();
    let of_zh = source.map(|it| format!("（{} 的 {}）", it.map, it.key)).unwrap_or_default();
    let of_en = source.map(|it| format!(" ({} of {})", it.key, it.map)).unwrap_or_default();
    let headline = scene.text(
        format!("{name} 没有接受新配置，仍在用旧配置运行{of_zh}：{why}"),
        format!("{name} refuses its new configuration and runs on with the old one{of_en}: {why}"),
    );
    let blame = source.map_or(&workload, |it| &it.map);
    let sure = if written.is_some() { Confidence::High } else { Confidence::Medium };
    let found = Finding::new("config_reload_refused", Depth::Root, &name, blame, headline)
        .confidence(sure)
        .cite([scene.quote_end(&refusal.log.reference, refusal.line), written])
        .touches([workload.clone()])
        .steps(steps(scene, &name, refusal));
    if sure == Confidence::High {
        return found;
    }
    found.unresolved(
        scene.text("配置是否已经改正而尚未重新加载？", "Was the configuration corrected since, and not loaded again?"),
    )
}

/// The line of the ConfigMap that a parser complains of, where it is still written there.
fn written(scene: &Scene<'_>, source: &Source, line: &str) -> Option<Citation> {
    let (value, reference) = scene.facts.raw(&source.map)?;
    let text = value.get("data")?.get(&source.key)?.as_str()?;
    let number = LINE.group(line, 1).or_else(|| AT.group(line, 1))?.parse::<usize>().ok()?;
    let told = text.lines().nth(number.checked_sub(1)?)?.trim();
    // Where a word is named, it has to stand just there still: else the file was changed since.
    let of_word = |letter: char| letter.is_alphanumeric() || "_-.".contains(letter);
    let word = WORD.group(line, 1).or_else(|| WORD.group(line, 2));
    let stands = word.is_none_or(|word| told.split(|letter| !of_word(letter)).any(|other| other == word));
    (!told.is_empty() && stands)
        .then(|| scene.quote_line(reference, &[told]).or_else(|| scene.quote(reference, told)))?
}

/// The end of a chain of errors, from the place in the file on; escapes of the logger are undone.
fn why(line: &str) -> String {
    let plain = line.replace("\\\"", "\"").replace("\\n", " ").replace("\\t", " ");
    let from = LINE.groups(&plain).and_then(|found| found.get(0)).map(|found| found.start());
    let told = match from {
        Some(at) => plain[at..].trim_end_matches('"').to_owned(),
        None => logs::said(&plain),
    };
    logs::shorten(told.trim_end_matches(['.', '。']), WHY)
}

fn steps(scene: &Scene<'_>, pod: &ObjectRef, refusal: &Refusal<'_>) -> Vec<Step> {
    let container = &refusal.log.container;
    let of = if container.is_empty() { String::new() } else { format!(" -c {container}") };
    let log = look(
        scene.text("查看拒绝新配置的日志", "Read the log that refuses it"),
        kubectl(&pod.namespace, &format!("logs {}{of} --tail=200", pod.name)),
    );
    let Some(source) = &refusal.source else { return vec![log] };
    let (map, key) = (&source.map, &source.key);
    let detail = match keeper(scene, map) {
        Some(keeper) => scene.text(
            format!("它由 {keeper} 写入：请在其来源处更正，否则会被改回"),
            format!("{keeper} writes it: correct it at its source, or it comes back"),
        ),
        None => scene.text("更正后确认日志中出现加载成功", "Afterwards see in the log that it was loaded"),
    };
    vec![
        look(
            scene.text("查看该 ConfigMap", "Read the ConfigMap"),
            kubectl(&map.namespace, &format!("get configmap {} -o yaml", map.name)),
        ),
        change(
            scene.text(format!("更正 {map} 中的 {key}"), format!("Correct {key} in {map}")),
            detail,
            Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
        ),
        log,
    ]
}

/// Who keeps an object as a repository has it, by its managers.
fn keeper(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    const KEEPERS: [&str; 4] = ["argocd", "flux", "kustomize-controller", "helm-controller"];
    let (value, _) = scene.facts.raw(object)?;
    let fields = value.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let managers = fields.iter().filter_map(|field| field.get("manager")?.as_str());
    managers.filter(|manager| KEEPERS.iter().any(|known| manager.contains(known))).map(str::to_owned).next()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::World;

    const REFUSAL: &str = "time=2026-11-23T02:05:11Z level=ERROR source=main.go:1540 msg=\"Error reloading config\" err=\"couldn't load configuration (--config.file=\\\"/etc/prom/prom.yml\\\"): parsing YAML file /etc/prom/prom.yml: yaml: unmarshal errors:\\n  line 2: field scrape_intervall not found in type config.ScrapeConfig\"\n";
    const LATER: &str = "time=2026-11-23T02:40:00Z level=WARN component=\"scrape manager\" msg=\"Error on ingesting out-of-order samples\" num_dropped=4\n";

    fn map(line: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prom", "namespace": "shop",
            "managedFields": [{"manager": "argocd-controller"}]},
            "data": {"prom.yml": format!("scrape_configs:\n{line}\n- job_name: b\n")}})
    }

    fn asked(alert: &str, log: &str) -> World {
        let container =
            json!({"name": "web", "image": "reg/web:1", "volumeMounts": [{"name": "conf", "mountPath": "/etc/prom"}]});
        let spec =
            json!({"spec": {"containers": [container], "volumes": [{"name": "conf", "configMap": {"name": "prom"}}]}});
        let pod = crate::playbook::world::pod(spec);
        World::asking("Pod", "web-1-a").alert(alert).with(pod).log("web-1-a", log)
    }

    #[test]
    fn every_pattern_compiles() {
        assert!([&ASKED, &REFUSED, &TAKEN, &LINE, &AT, &WORD].iter().all(|pattern| pattern.compiles()));
    }

    #[test]
    fn a_single_old_refusal_is_the_cause_however_much_was_logged_since() {
        let log = format!("{REFUSAL}{}", LATER.repeat(30));
        let world = asked("PrometheusBadConfig", &log).with(map("  scrape_intervall: 15s"));
        assert_eq!(world.cause(), "config_reload_refused ConfigMap/prom");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
        let headline = &diagnosis.headline;
        assert!(headline.contains("line 2: field scrape_intervall not found"), "{headline}");
        assert!(headline.contains("prom.yml of ConfigMap shop/prom") && !headline.contains('\\'), "{headline}");
        assert!(diagnosis.steps.iter().any(|step| step.detail.contains("argocd-controller writes it")));
    }

    #[test]
    fn what_was_taken_since_is_no_fault_of_the_configuration() {
        let log = format!("{REFUSAL}level=INFO msg=\"Completed loading of configuration file\"\n{LATER}");
        assert!(asked("PrometheusBadConfig", &log).with(map("  scrape_interval: 15s")).codes().is_empty());
    }

    #[test]
    fn without_the_line_in_the_map_it_is_not_sure() {
        let world = asked("PrometheusBadConfig", REFUSAL).with(map("  scrape_interval: 15s"));
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium);
        assert!(diagnosis.unresolved.iter().any(|it| it.contains("corrected since")), "{:?}", diagnosis.unresolved);
    }

    #[test]
    fn an_alert_about_something_else_is_not_explained_by_it() {
        let world = asked("PrometheusRemoteWriteBehind", REFUSAL).with(map("  scrape_intervall: 15s"));
        assert!(!world.codes().contains(&"config_reload_refused"));
    }

    #[test]
    fn the_words_of_other_servers_are_known() {
        for line in [
            "level=error component=configuration msg=\"Loading configuration file failed\" file=/etc/am.yml err=\"undefined receiver\"",
            "2026/11/23 02:05:11 [emerg] 1#1: unknown directive \"proxy_pas\" in /etc/nginx/nginx.conf:12",
            "[ERROR] Restart failed: /etc/coredns/Corefile:12 - Error during parsing: Unknown directive 'forwardd'",
            "[2026/11/23 02:05:11] [error] [reload] reload failed",
            "ERROR 配置重载失败: 未知字段 portt",
        ] {
            assert_eq!(last_refused(line), Some(line));
        }
        let calm = "level=warn msg=\"Failed to send batch, retrying\" err=\"context deadline exceeded\"";
        assert_eq!(last_refused(calm), None);
        assert_eq!(last_refused("[INFO] Reloading complete"), None);
    }
}
