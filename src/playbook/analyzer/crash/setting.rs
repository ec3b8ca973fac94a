//! Settings that a crashed container was told and does not take: which variable brings the word that its log complains about,
//! and from which ConfigMap that comes.

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod};

use crate::alert::ObjectRef;
use crate::playbook::environment::has_word;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{change, kubectl};
use crate::playbook::latent;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::ContainerView;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Step};

/// How programs say that they do not take what they were told.
static REJECTS: Pattern = Pattern::new(
    r"(?i)\b(?:un(?:recogni[sz]ed|known|supported|expected)|invalid|illegal|malformed|not (?:recogni[sz]ed|supported|a valid|defined)|(?:cannot|could not|failed to|unable to) (?:parse|convert))\b|无效|无法识别|不支持",
);
/// Words that a line quotes, and options as they stand on a command line.
static WORD: Pattern = Pattern::new(r#"['"`‘“]([^'"`’”\s]+)['"`’”]|(?:^|\s)(--?[A-Za-z][\w:.+=/-]+)"#);
/// A variable that a line names as the one it complains about.
static OWN: Pattern = Pattern::new(
    r#"\b(?:for|of|in|variable|env|environment|setting|option|key|parameter)\s+["'`$]?\{?([A-Z][A-Z0-9]*_[A-Z0-9_]+)\b|(?:^|[\s"'`])([A-Z][A-Z0-9]*_[A-Z0-9_]+)["'`]?\s*[:=]"#,
);
/// How programs say that a file of theirs names what they do not know.
static OF_A_FILE: Pattern = Pattern::new(
    r"(?i)\b(?:config(?:uration)?|section|directive|plugin)\b.*(?:doesn't exist|does not exist|not found|un(?:known|recogni[sz]ed|supported)|invalid)|(?:un(?:known|recogni[sz]ed|supported)|invalid)\b.*\b(?:config(?:uration)?|section|directive|plugin)\b",
);
/// Where Spring Boot's analysis of a value that does not bind says it comes from, and what it is, above the reason.
static ORIGIN: Pattern = Pattern::new(r#"^\s*Origin: System Environment Property "(\w+)""#);
static VALUE: Pattern = Pattern::new(r#"^\s*Value: "([^"]+)""#);
/// Lines above the reason in which they stand.
const ABOVE: usize = 6;
/// The shortest word that is looked for in values, in letters: shorter ones stand anywhere.
const TELLING: usize = 5;

/// Where a word that a log complains about comes from.
pub(super) struct Setting {
    map: ObjectRef,
    key: String,
    word: String,
    reference: String,
}

/// The ConfigMaps whose values a container takes as variables, where a line complains of a word that one of them may bring.
#[must_use]
pub fn maps(pod: &Pod, line: &str) -> Vec<ObjectRef> {
    if words(line).is_empty() && !OF_A_FILE.hits(line) && !line.trim_start().starts_with("Reason: ") {
        return Vec::new();
    }
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    let names = containers.flat_map(|container| sources(container).into_iter().map(|(name, _)| name.to_owned()));
    let mounted = latent::maps(pod).into_iter().filter(|_| OF_A_FILE.hits(line));
    let mut maps: Vec<ObjectRef> =
        names.map(|name| ObjectRef::new("ConfigMap", namespace, name)).chain(mounted).collect();
    maps.sort();
    maps.dedup();
    maps
}

/// The names of the ConfigMaps behind a container's variables, each with the key that is taken, or all of them.
fn sources(container: &Container) -> Vec<(&str, Option<&str>)> {
    let whole = container
        .env_from
        .iter()
        .flatten()
        .filter_map(|from| Some((from.config_map_ref.as_ref()?.name.as_str(), None)));
    let one = container.env.iter().flatten().filter_map(|variable| {
        let from = variable.value_from.as_ref()?.config_map_key_ref.as_ref()?;
        Some((from.name.as_str(), Some(from.key.as_str())))
    });
    whole.chain(one).collect()
}

/// The words of a complaint that may be values.
fn words(line: &str) -> Vec<String> {
    if !REJECTS.hits(line) || logs::instructs(line) {
        return Vec::new();
    }
    let found = WORD.all(line).into_iter().filter_map(|found| found.get(1).or(found.get(2)));
    let bare = found.map(|word| word.as_str().trim_start_matches('-').trim_end_matches([',', '.', ':']).to_owned());
    bare.filter(|word| word.chars().count() >= TELLING).collect()
}

/// The key of a ConfigMap that brings a word which a line complains about; nothing where it was not read.
pub(super) fn of(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, line: &str) -> Option<Setting> {
    let by_file = || by_file(scene, pod, view, line);
    by_origin(scene, pod, view, line).or_else(|| by_word(scene, pod, view, line)).or_else(by_file)
}

/// The variable that Spring Boot names as the origin of a value which it cannot use, above the reason it gives.
fn by_origin(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, line: &str) -> Option<Setting> {
    let logs = scene.logs(&named(pod), view.name()).into_iter().filter_map(|log| log.lines.as_deref().ok());
    let (variable, value) = logs.into_iter().find_map(|text| {
        let lines: Vec<&str> = text.lines().collect();
        let at = lines.iter().rposition(|known| *known == line)?;
        let above = &lines[at.saturating_sub(ABOVE)..at];
        let variable = above.iter().rev().find_map(|line| ORIGIN.group(line, 1))?;
        let value = above.iter().rev().find_map(|line| VALUE.group(line, 1))?;
        Some((variable, value))
    })?;
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    sources(view.spec).into_iter().find_map(|(name, _)| {
        let read: Seen<ConfigMap> = scene.facts.get(namespace, name)?;
        read.object.data?.get(&variable).filter(|known| **known == value)?;
        let map = ObjectRef::new("ConfigMap", namespace, name);
        Some(Setting { map, key: variable.clone(), word: value.clone(), reference: read.reference })
    })
}

fn by_word(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, line: &str) -> Option<Setting> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let mut words = words(line);
    words.retain(|word| !is_literal(view.spec, word));
    let variable = variable(view.spec, line);
    sources(view.spec).into_iter().filter(|_| !words.is_empty()).find_map(|(name, only)| {
        let read: Seen<ConfigMap> = scene.facts.get(namespace, name)?;
        let data = read.object.data?;
        let mut values = data.iter().filter(|(key, _)| only.is_none_or(|only| only == key.as_str()));
        // What the line names comes first: another variable that happens to have the same value is not meant.
        let is_meant = |key: &str| variable.as_deref().is_none_or(|own| own == key);
        let (key, word) = values.find_map(|(key, value)| {
            is_meant(key).then_some(())?;
            words.iter().find(|word| has_word(value, word)).map(|word| (key.clone(), word.clone()))
        })?;
        let map = ObjectRef::new("ConfigMap", namespace, name);
        Some(Setting { map, key, word, reference: read.reference })
    })
}

/// A file of a mounted ConfigMap with a word in it that a complaint about a configuration quotes: in one line of it alone.
fn by_file(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, line: &str) -> Option<Setting> {
    if !OF_A_FILE.hits(line) || logs::instructs(line) {
        return None;
    }
    let found = WORD.all(line).into_iter().filter_map(|found| found.get(1));
    let words: Vec<String> = found.map(|word| word.as_str().to_owned()).collect();
    let words = || words.iter().filter(|word| word.chars().count() >= TELLING && !is_literal(view.spec, word));
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    latent::maps(pod).into_iter().find_map(|map| {
        let read: Seen<ConfigMap> = scene.facts.get(namespace, &map.name)?;
        let data = read.object.data?;
        let (key, word) = data.iter().filter(|(key, _)| key.contains('.')).find_map(|(key, text)| {
            let once = |word: &&String| text.lines().filter(|line| has_word(line, word)).count() == 1;
            words().find(once).map(|word| (key.clone(), word.clone()))
        })?;
        Some(Setting { map, key, word, reference: read.reference })
    })
}

/// Whether a word stands in the container's own template: in a variable's value there, or on its command line.
fn is_literal(container: &Container, word: &str) -> bool {
    let values = container.env.iter().flatten().filter_map(|variable| variable.value.as_ref());
    values.chain(container.args.iter().chain(&container.command).flatten()).any(|value| has_word(value, word))
}

/// The key behind the variable that a line complains about, or the variable's own name where the template gives none.
fn variable(container: &Container, line: &str) -> Option<String> {
    let env = || container.env.iter().flatten();
    let found = env().find(|variable| has_word(line, &variable.name)).map(|variable| variable.name.clone());
    let named = found.or_else(|| OWN.group(line, 1).or_else(|| OWN.group(line, 2)))?;
    let from = env().find(|variable| variable.name == named).and_then(|variable| variable.value_from.as_ref());
    let key = from.and_then(|from| Some(from.config_map_key_ref.as_ref()?.key.clone()));
    Some(key.unwrap_or(named))
}

impl Setting {
    /// Where it is said.
    pub(super) fn map(&self) -> &ObjectRef {
        &self.map
    }

    /// Adds to why a container crashed where the word comes from.
    pub(super) fn with(&self, scene: &Scene<'_>, why: &str) -> String {
        let Self { map, key, .. } = self;
        scene.text(format!("{why}（来自 {map} 的 {key}）"), format!("{why} (it comes from {key} in {map})"))
    }

    /// The key, as the map's text shows it.
    pub(super) fn proof(&self, scene: &Scene<'_>) -> Option<Citation> {
        scene
            .quote_line(&self.reference, &[&self.key, &self.word])
            .or_else(|| scene.quote_line(&self.reference, &[&self.word]))
    }

    /// What corrects it.
    pub(super) fn step(&self, scene: &Scene<'_>) -> Step {
        let Self { map, key, word, .. } = self;
        change(
            scene.text(format!("修正 {map} 中 {key} 的 {word}"), format!("Correct {word} in {key} of {map}")),
            scene.text(
                "其他使用该 ConfigMap 的工作负载也会受影响；变量在 Pod 重建后才生效",
                "Whatever else uses that ConfigMap is changed with it; variables are read when a Pod starts",
            ),
            Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, container, crashed, deployment, patched, pod, replica_set};
    use crate::report::Confidence;

    const LINE: &str =
        "Unrecognized VM option 'UseConcMarkSweepGC'\nError: Could not create the Java Virtual Machine.\n";

    fn map(options: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "jvm", "namespace": "shop"},
            "data": {"JAVA_OPTS": options, "THREADS": "4"}})
    }

    fn world(from: Value, map: Value, line: &str) -> World {
        let spec = json!({"spec": {"containers": [container(from)]}});
        World::asking("Pod", "web-1-a").with(pod(patched(crashed(1, "Error"), spec))).log("web-1-a", line).with(map)
    }

    fn whole() -> Value {
        json!({"envFrom": [{"configMapRef": {"name": "jvm"}}]})
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(
            REJECTS.compiles()
                && WORD.compiles()
                && OWN.compiles()
                && ORIGIN.compiles()
                && VALUE.compiles()
                && OF_A_FILE.compiles()
        );
    }

    #[test]
    fn the_key_that_brings_what_is_not_taken_is_named() {
        let options = "-Xmx512m -XX:+UseConcMarkSweepGC";
        let key =
            json!({"env": [{"name": "OPTS", "valueFrom": {"configMapKeyRef": {"name": "jvm", "key": "JAVA_OPTS"}}}]});
        for from in [whole(), key] {
            let told = world(from.clone(), map(options), LINE);
            assert_eq!(told.cause(), "crashloop_app_config_error ConfigMap/jvm");
            let released = world(from, map(options), LINE)
                .with(deployment(1, 1))
                .with(replica_set(1, "reg/web:1", 1, 0))
                .with(replica_set(2, "reg/web:2", 1, 1));
            assert_eq!(
                released.cause(),
                "crashloop_app_config_error Deployment/web",
                "a new image took the option away"
            );
            let diagnosis = told.diagnosis();
            assert!(diagnosis.headline.contains("JAVA_OPTS in ConfigMap shop/jvm"), "{}", diagnosis.headline);
            assert!(
                diagnosis.steps.iter().any(|step| step.title.contains("UseConcMarkSweepGC")),
                "{:?}",
                diagnosis.steps
            );
        }
    }

    #[test]
    fn a_map_without_the_word_or_a_key_that_is_not_taken_is_not_named() {
        let told = |from, options: &str| world(from, map(options), LINE).diagnosis().headline;
        assert!(!told(whole(), "-XX:+UseG1GC").contains("ConfigMap"));
        let other =
            json!({"env": [{"name": "N", "valueFrom": {"configMapKeyRef": {"name": "jvm", "key": "THREADS"}}}]});
        assert!(!told(other, "-XX:+UseConcMarkSweepGC").contains("ConfigMap"));
        let elsewhere = world(whole(), map("sale"), "ERROR table 'prices' is gone\n").diagnosis().headline;
        assert!(!elsewhere.contains("ConfigMap"));
    }

    #[test]
    fn the_variable_that_a_line_names_comes_before_one_of_the_same_value() {
        let told = |env: Value, line: &str| {
            let from = json!({"env": env, "envFrom": [{"configMapRef": {"name": "app"}}]});
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app", "namespace": "shop"},
                "data": {"APP_ENV": "production", "LOG_LEVEL": "production"}});
            world(from, map, line).diagnosis().headline
        };
        let line = "FATAL config error: invalid value \"production\" for LOG_MODE\n";
        assert!(!told(json!([{"name": "LOG_MODE", "value": "production"}]), line).contains("ConfigMap"));
        assert!(!told(json!([]), line).contains("ConfigMap"), "a default of the image");
        let other = told(json!([]), &line.replace("LOG_MODE", "LOG_LEVEL"));
        assert!(other.contains("LOG_LEVEL in ConfigMap shop/app"), "{other}");
    }

    #[test]
    fn maps_are_asked_for_where_a_line_rejects_a_word() {
        let object: Pod = serde_json::from_value(pod(json!({"spec": {"containers": [container(whole())]}}))).unwrap();
        assert_eq!(maps(&object, "Unrecognized VM option 'UseConcMarkSweepGC'").len(), 1);
        assert_eq!(maps(&object, "flag provided but not defined: -cache.size").len(), 1);
        assert!(maps(&object, "ERROR dial tcp db:5432: connection refused").is_empty());
    }

    #[test]
    fn a_map_is_surely_to_blame_only_where_all_known_versions_run_one_image() {
        let sure = |images: &[&str]| {
            let world = world(whole(), map("-XX:+UseConcMarkSweepGC"), LINE).with(deployment(1, 1));
            let sets = images.iter().zip(1..).map(|(image, revision)| replica_set(revision, image, 1, 0));
            let world = sets.fold(world, World::with);
            assert_eq!(world.cause(), "crashloop_app_config_error ConfigMap/jvm");
            world.diagnosis().causes[0].confidence == Confidence::High
        };
        assert!(sure(&["reg/web:1", "reg/web:1"]));
        assert!(!sure(&["reg/web:0", "reg/web:1", "reg/web:1"]), "an older release may have taken the option away");
        assert!(!sure(&["reg/web:1"]) && !sure(&[]), "nobody knows what ran before");
    }

    /// Spring Boot's analysis of a variable that does not bind.
    const BOUND: &str = "ERROR 1 --- [main] o.s.b.d.LoggingFailureAnalysisReporter   : \n\n***************************\nAPPLICATION FAILED TO START\n***************************\n\nDescription:\n\nFailed to bind properties under 'spring.datasource.hikari.connection-timeout' to long:\n\n    Property: spring.datasource.hikari.connection-timeout\n    Value: \"30s\"\n    Origin: System Environment Property \"HIKARI_CONNECTIONTIMEOUT\"\n    Reason: failed to convert java.lang.String to long (caused by java.lang.NumberFormatException: For input string: \"30s\")\n\nAction:\n\nUpdate your application's configuration\n";

    #[test]
    fn a_value_that_does_not_bind_is_the_maps_that_is_its_origin() {
        let world = |value: &str| {
            let spec = json!({"spec": {"containers": [container(json!({"envFrom": [{"configMapRef": {"name": "web-env"}}]}))]}});
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web-env", "namespace": "shop"},
                "data": {"HIKARI_CONNECTIONTIMEOUT": value}});
            World::asking("Pod", "web-1-a")
                .with(pod(patched(crashed(1, "Error"), spec)))
                .with(map)
                .log("web-1-a", BOUND)
        };
        assert_eq!(world("30s").cause(), "crashloop_app_config_error ConfigMap/web-env");
        let headline = world("30s").diagnosis().headline;
        assert!(headline.contains("\"30s\"") && headline.contains("HIKARI_CONNECTIONTIMEOUT"), "{headline}");
        assert!(!world("30000").cause().contains("ConfigMap"), "it was corrected meanwhile");
    }

    #[test]
    fn a_word_of_a_mounted_file_that_a_complaint_quotes_is_the_maps() {
        let world = |line: &str, text: &str| {
            let mounts = json!({"volumeMounts": [{"name": "c", "mountPath": "/fluent-bit/etc"}]});
            let spec = json!({"spec": {"containers": [container(mounts)], "volumes": [{"name": "c", "configMap": {"name": "conf"}}]}});
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "shop"}, "data": {"fluent-bit.conf": text}});
            World::asking("Pod", "web-1-a")
                .with(pod(patched(crashed(255, "Error"), spec)))
                .with(map)
                .log("web-1-a", line)
        };
        let line = "[2026/11/23 02:59:13] [error] [config] section 'lokki' tried to instance a plugin name that doesn't exist\n[2026/11/23 02:59:13] [error] configuration file contains errors, aborting.\n";
        let text = "[OUTPUT]\n    Name    lokki\n    Match   kube.*\n";
        assert_eq!(world(line, text).cause(), "crashloop_app_config_error ConfigMap/conf");
        assert!(world(line, text).diagnosis().headline.contains("fluent-bit.conf"));
        assert!(!world(line, "[OUTPUT]\n    Name    loki\n").cause().contains("ConfigMap"), "it is not in it any more");
        let table = "ERROR relation 'lokki' does not exist\n";
        assert!(!world(table, text).cause().contains("ConfigMap"), "no configuration is complained about");
    }
}
