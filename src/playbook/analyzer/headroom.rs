//! Headroom: what a process was told to take for itself, a heap or a buffer pool, where that leaves too little of its
//! container's memory limit for everything else.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod};

use crate::alert::ObjectRef;
use crate::playbook::finding::{change, edit_template, kubectl, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::ContainerView;
use crate::playbook::quantity;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Step};

const MI: f64 = 1_048_576.0;
/// Share of the limit at which a heap leaves no room whatever the limit.
const FULL: f64 = 0.9;
/// Share of the limit up to which a heap is usual; above it, it depends on what is left.
const USUAL: f64 = 0.75;
/// What a runtime takes beside its heap (metaspace, code, threads, buffers): a JVM with a web framework 200 to 400 MiB.
const REST: f64 = 300.0 * MI;
/// The same when a limit is proposed: with something to spare.
const SPARE: f64 = 384.0 * MI;
/// Proposed sizes are whole multiples of this.
const ROUND: f64 = 64.0 * MI;
/// Marks of lines in mounted files that set nothing.
const COMMENTS: [&str; 3] = ["#", ";", "//"];

/// A JVM's largest heap as a size; the last on a command line counts.
static JVM_SIZE: Pattern = Pattern::new(r"(-Xmx|-XX:MaxHeapSize=)(\d+)([kKmMgG]?)\b");
/// The same as a share of the limit; it counts only where no size is given.
static JVM_SHARE: Pattern = Pattern::new(r"(-XX:MaxRAMPercentage=)(\d+(?:\.\d+)?)");
/// Node's, in MiB.
static NODE_SIZE: Pattern = Pattern::new(r"(--max[-_]old[-_]space[-_]size[= ])(\d+)\b");
/// MySQL's and MariaDB's buffer pool.
static POOL_SIZE: Pattern = Pattern::new(r"(?i)(innodb[-_]buffer[-_]pool[-_]size\s*=\s*)(\d+)([kmg]?)\b");
/// Redis' data.
static DATA_SIZE: Pattern = Pattern::new(r"(?im)((?:^\s*|--)maxmemory\s+)(\d+)([kmg]?)b?\s*$");
/// A heap size a process wrote into its own first log lines.
static LOGGED: Pattern = Pattern::new(
    r"(?i)(?:-Xmx|heap[ _-]?(?:max|size|limit)\s*[=:]?\s*|max[ _-]?heap\s*[=:]?\s*|--max-old-space-size=)(\d+)\s*([kmg]?)i?b?\b",
);

/// What a process may take of its own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Heap,
    Pool,
    Data,
}

/// One text by which a container is told something: its arguments, a variable, a mounted file.
struct Text {
    /// `args`, a variable's or a file's name.
    at: String,
    value: String,
    /// The ConfigMap it comes from, and the evidence it stands in.
    map: Option<(ObjectRef, String)>,
}

/// What a process was told to take, that does not fit into its limit.
pub(super) struct Claim {
    what: What,
    bytes: f64,
    limit: f64,
    /// The option as it is written, for example `-Xmx768m`; the words of a log otherwise.
    setting: String,
    /// Whether it is a share of the limit, and grows with it.
    share: bool,
    /// Where it is set; nowhere that was read where only the log tells it.
    at: Option<(String, Option<ObjectRef>)>,
    /// The words that prove it.
    pub proof: Option<Citation>,
}

/// What leaves a container's process no room in its limit: by its settings, or where none was read by its log.
pub(super) fn claim(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, limit: &str) -> Option<Claim> {
    let limit = crate::quantity::amount(limit)?;
    by_settings(scene, pod, view.spec, limit).or_else(|| by_log(scene, pod, view, limit))
}

/// The most that fits into a limit for the heap alone, in bytes.
pub(super) fn fits(limit: f64) -> f64 {
    let most = (limit * USUAL).min(limit - SPARE).max(limit / 2.0);
    if most > 2.0 * ROUND { (most / ROUND).floor() * ROUND } else { most }
}

fn by_settings(scene: &Scene<'_>, pod: &Pod, container: &Container, limit: f64) -> Option<Claim> {
    let texts = texts(scene, pod, container);
    let mut found: Vec<(What, f64, String, &Text)> = Vec::new();
    for (what, pattern) in
        [(What::Heap, &JVM_SIZE), (What::Heap, &NODE_SIZE), (What::Pool, &POOL_SIZE), (What::Data, &DATA_SIZE)]
    {
        let told = texts.iter().filter(|text| text.map.is_none() || serves(container, what));
        found.extend(told.filter_map(|text| {
            let last = pattern.all(&text.value).into_iter().next_back()?;
            let unit = last.get(3).map_or("m", |unit| unit.as_str());
            Some((what, size(&last[2], unit)?, last[0].trim().to_owned(), text))
        }));
    }
    found.extend(texts.iter().filter_map(|text| Some((What::Heap, hexadecimal(text)?, text.value.clone(), text))));
    // Which of several counts is the start script's secret: all of them have to leave too little.
    let least = found.into_iter().min_by(|left, right| left.1.total_cmp(&right.1));
    let (what, bytes, setting, text, share) = match least {
        Some((what, bytes, setting, text)) => (what, bytes, setting, text, false),
        None => {
            let shares = texts.iter().filter_map(|text| {
                let last = JVM_SHARE.all(&text.value).into_iter().next_back()?;
                Some((last[2].parse::<f64>().ok()? / 100.0 * limit, last[0].to_owned(), text))
            });
            let (bytes, setting, text) = shares.min_by(|left, right| left.0.total_cmp(&right.0))?;
            (What::Heap, bytes, setting, text, true)
        }
    };
    let reference = match &text.map {
        Some((_, reference)) => reference.clone(),
        None => scene.pod(&named(pod))?.reference.clone(),
    };
    let proof = scene.quote_line(&reference, &[&setting]).or_else(|| scene.quote_any(&reference, &[&setting]));
    let at = Some((text.at.clone(), text.map.as_ref().map(|(map, _)| map.clone())));
    is_tight(bytes, limit).then_some(Claim { what, bytes, limit, setting, share, at, proof })
}

/// Whether a container runs the server that reads such a setting from a file: others of its Pod may mount the same file.
fn serves(container: &Container, what: What) -> bool {
    let (servers, beside) = match what {
        What::Heap => return true,
        What::Pool => (["mysql", "mariadb", "percona-server"], ["backup", "exporter", "router"]),
        What::Data => (["redis", "valkey", "keydb"], ["sentinel", "exporter", "insight"]),
    };
    let (command, args) = (&container.command, &container.args);
    let all = format!("{} {:?} {command:?} {args:?}", container.name, container.image).to_ascii_lowercase();
    servers.iter().any(|word| all.contains(word)) && !beside.iter().any(|word| all.contains(word))
}

/// Whether what is left of a limit is too little for what a process needs besides.
fn is_tight(bytes: f64, limit: f64) -> bool {
    bytes >= FULL * limit || (bytes > USUAL * limit && limit - bytes < REST)
}

/// A number with a unit; `None` for what is no size of memory (less than a MiB).
fn size(digits: &str, unit: &str) -> Option<f64> {
    let factor = match unit.to_ascii_lowercase().as_str() {
        "k" => 1024.0,
        "m" => MI,
        "g" => 1024.0 * MI,
        _ => 1.0,
    };
    digits.parse::<f64>().ok().map(|number| number * factor).filter(|bytes| *bytes >= MI)
}

/// .NET's limit of its heap, which the variable gives in hexadecimal.
fn hexadecimal(text: &Text) -> Option<f64> {
    let is_limit = ["DOTNET_GCHeapHardLimit", "COMPlus_GCHeapHardLimit"].contains(&text.at.as_str());
    let bytes = i64::from_str_radix(text.value.trim().trim_start_matches("0x"), 16).ok().filter(|_| is_limit)?;
    Some(bytes as f64).filter(|bytes| *bytes >= MI)
}

/// All that tells a container something and was read: arguments, variables as they count, and files of mounted ConfigMaps.
fn texts(scene: &Scene<'_>, pod: &Pod, container: &Container) -> Vec<Text> {
    let words: Vec<&str> = container.command.iter().chain(&container.args).flatten().map(String::as_str).collect();
    let mut texts = vec![Text { at: "args".to_owned(), value: words.join(" "), map: None }];
    let mut variables: BTreeMap<String, Text> = BTreeMap::new();
    for source in container.env_from.iter().flatten() {
        let Some(from) = &source.config_map_ref else { continue };
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, text) in of_map(scene, pod, &from.name) {
            let at = format!("{prefix}{key}");
            variables.insert(at.clone(), Text { at, ..text });
        }
    }
    for variable in container.env.iter().flatten() {
        let key = variable.value_from.as_ref().and_then(|from| from.config_map_key_ref.as_ref());
        let of_key = key.and_then(|key| {
            of_map(scene, pod, &key.name).into_iter().find(|(known, _)| *known == key.key).map(|(_, text)| text)
        });
        let value = variable.value.clone().unwrap_or_default();
        let text = of_key.unwrap_or_else(|| Text { at: String::new(), value, map: None });
        variables.insert(variable.name.clone(), Text { at: variable.name.clone(), ..text });
    }
    texts.extend(variables.into_values());
    texts.extend(mounted(scene, pod, container));
    texts
}

fn mounted(scene: &Scene<'_>, pod: &Pod, container: &Container) -> Vec<Text> {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let mounts = container.volume_mounts.iter().flatten().filter_map(|mount| {
        let volume = volumes.iter().find(|volume| volume.name == mount.name)?;
        Some((mount.sub_path.as_deref(), volume.config_map.as_ref()?.name.as_str()))
    });
    let files = mounts.flat_map(|(only, map)| {
        let of_map = of_map(scene, pod, map).into_iter();
        of_map.filter(move |(key, _)| only.is_none_or(|only| only.ends_with(key.as_str()))).map(|(_, text)| text)
    });
    let sets = |line: &&str| !COMMENTS.iter().any(|mark| line.trim_start().starts_with(mark));
    files.map(|text| Text { value: text.value.lines().filter(sets).collect::<Vec<_>>().join("\n"), ..text }).collect()
}

/// The keys of a ConfigMap of the Pod's Namespace, where it was read.
fn of_map(scene: &Scene<'_>, pod: &Pod, name: &str) -> Vec<(String, Text)> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let Some(read) = scene.facts.get::<ConfigMap>(namespace, name) else { return Vec::new() };
    let map = (ObjectRef::new("ConfigMap", namespace, name), read.reference);
    let data = read.object.data.unwrap_or_default().into_iter();
    data.map(|(key, value)| (key.clone(), Text { at: key, value, map: Some(map.clone()) })).collect()
}

/// A heap larger than the limit, as the process itself tells it.
fn by_log(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, limit: f64) -> Option<Claim> {
    let logs = scene.logs(&named(pod), view.name());
    let texts = logs.iter().filter_map(|log| Some((log.lines.as_deref().ok()?, log.reference.as_str())));
    texts.flat_map(|(text, reference)| LOGGED.all(text).into_iter().map(move |found| (found, reference))).find_map(
        |(found, reference)| {
            let bytes = size(&found[1], &found[2]).filter(|bytes| *bytes > limit)?;
            let proof = scene.quote(reference, &found[0]);
            Some(Claim { what: What::Heap, bytes, limit, setting: found[0].to_owned(), share: false, at: None, proof })
        },
    )
}

/// A size as it is written into a manifest: whole MiB, or GiB where it is a whole number of them.
pub(super) fn written(bytes: f64) -> String {
    let mebibytes = (bytes / MI).round();
    if mebibytes % 1024.0 == 0.0 { format!("{:.0}Gi", mebibytes / 1024.0) } else { format!("{mebibytes:.0}Mi") }
}

impl Claim {
    fn noun(&self, scene: &Scene<'_>) -> String {
        match self.what {
            What::Heap => scene.text("堆", "the heap"),
            What::Pool => scene.text("缓冲池", "the buffer pool"),
            What::Data => scene.text("数据", "its data"),
        }
    }

    /// Where the setting stands, in words.
    fn place(&self, scene: &Scene<'_>) -> String {
        match &self.at {
            Some((at, Some(map))) => scene.text(format!("{map} 的 {at}"), format!("{at} of {map}")),
            Some((at, None)) => at.clone(),
            None => scene.text("日志", "its log"),
        }
    }

    /// The half of a headline that says what does not fit, with both numbers.
    pub(super) fn told(&self, scene: &Scene<'_>) -> String {
        let Self { setting, bytes, limit, .. } = self;
        let (noun, place, size) = (self.noun(scene), self.place(scene), quantity::show("memory", *bytes));
        if self.at.is_none() {
            return scene.text(
                format!("；日志显示应用的堆上限为 {size}，高于 limit"),
                format!("; its log says the heap may grow to {size}, more than the limit"),
            );
        }
        if bytes > limit {
            return scene.text(
                format!("；{place} 中的 {setting} 允许仅{noun}就用到 {size}，高于 limit"),
                format!("; {setting} in {place} lets {noun} alone grow to {size}, more than the limit"),
            );
        }
        let left = quantity::show("memory", limit - bytes);
        if bytes == limit {
            return scene.text(
                format!("；{place} 中的 {setting} 把整个 limit 都给了{noun}，没有给其余部分留下内存"),
                format!("; {setting} in {place} gives {noun} all of the limit and leaves nothing for the rest"),
            );
        }
        scene.text(
            format!("；{place} 中的 {setting} 允许{noun}用到 {size}，只给其余部分留下 {left}"),
            format!("; {setting} in {place} lets {noun} grow to {size} and leaves {left} for everything else"),
        )
    }

    /// The limit that holds all of it.
    pub(super) fn needed(&self) -> f64 {
        ((self.bytes + (self.bytes / 4.0).max(SPARE)) / ROUND).ceil() * ROUND
    }

    /// Whether a limit holds all of it.
    pub(super) fn fits_into(&self, limit: &str) -> bool {
        crate::quantity::amount(limit).is_some_and(|limit| !is_tight(self.bytes, limit))
    }

    /// What to do: give it the room, or take less. A share of the limit grows with it, so that is lowered first.
    pub(super) fn steps(&self, scene: &Scene<'_>, workload: &ObjectRef, container: &str) -> Vec<Step> {
        let (noun, needed, size) = (self.noun(scene), written(self.needed()), quantity::show("memory", self.bytes));
        let fixed = matches!(workload.kind.as_str(), "Pod" | "Job");
        let raise = change(
            scene.text(
                format!("把内存 limit 提高到至少 {needed}：{noun} {size}，其余给 metaspace、线程与缓冲区等"),
                format!("Raise the memory limit to {needed} at least: {size} for {noun}, the rest for threads, buffers and what else the process needs"),
            ),
            scene.text(
                "修改后观察是否还有 OOMKilled；节点要放得下新的 limit",
                "Then watch for further OOMKilled; a Node must have room for it",
            ),
            (!fixed).then(|| {
                let limits = format!("set resources {} -c {container} --limits=memory={needed}", slash(workload));
                kubectl(&workload.namespace, &limits)
            }),
        );
        let lower = self.lower(scene, workload);
        if self.share { vec![lower] } else { vec![raise, lower] }
    }

    fn lower(&self, scene: &Scene<'_>, workload: &ObjectRef) -> Step {
        let (setting, place, most) = (&self.setting, self.place(scene), fits(self.limit));
        let map = self.at.as_ref().and_then(|(_, map)| map.as_ref());
        let command = match map {
            Some(map) => Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
            None => edit_template(workload),
        };
        let restart = map.is_some().then(|| {
            scene.text(
                format!("；ConfigMap 改完后需重启 {workload} 才生效"),
                format!("; {workload} takes it only after a restart"),
            )
        });
        let restart = restart.unwrap_or_default();
        if self.share {
            let percent = (most / self.limit * 100.0).floor();
            return change(
                scene.text(
                    format!("把 {setting}（在 {place}）降到 {percent:.0} 以下"),
                    format!("Lower {setting} (in {place}) to {percent:.0} or less"),
                ),
                scene.text(
                    format!("按百分比设定的堆会随 limit 一起变大，只提高 limit 仍然不够{restart}"),
                    format!("A heap that is a share of the limit grows with it: raising the limit alone leaves as little{restart}"),
                ),
                command,
            );
        }
        let most = written(most);
        change(
            scene.text(
                format!("或者把 {setting}（在 {place}）降到 {most} 以下"),
                format!("Or lower {setting} (in {place}) to {most} or less"),
            ),
            scene.text(
                format!("只有应用用得了更小的{}时才这样做{restart}", self.noun(scene)),
                format!("Only where the application can do with less{restart}"),
            ),
            command,
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{MI, fits, is_tight, written};
    use crate::playbook::world::{World, container, crashed, patched, pod};
    use crate::report::Diagnosis;

    fn killed(limit: &str, settings: Value) -> World {
        let spec = patched(json!({"resources": {"limits": {"memory": limit}}}), settings);
        let spec = json!({"spec": {"containers": [container(spec)],
            "volumes": [{"name": "conf", "configMap": {"name": "conf"}}]}});
        World::asking("Pod", "web-1-a").with(pod(patched(crashed(137, "OOMKilled"), spec)))
    }

    fn map(data: Value) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "shop"}, "data": data})
    }

    fn commands(told: &Diagnosis) -> String {
        told.steps.iter().filter_map(|step| step.command.as_deref()).collect::<Vec<_>>().join("\n")
    }

    fn env(name: &str, value: &str) -> Value {
        json!({"env": [{"name": name, "value": value}]})
    }

    #[test]
    fn a_heap_that_leaves_no_room_is_told_with_both_numbers_and_what_would_fit() {
        let told = killed("1Gi", env("JAVA_OPTS", "-Xms256m -Xmx1g")).diagnosis();
        assert!(told.headline.contains("-Xmx1g in JAVA_OPTS gives the heap all of the limit"), "{}", told.headline);
        assert!(commands(&told).contains("--limits=memory=1408Mi"), "{}", commands(&told));
        assert!(told.steps.iter().any(|step| step.title.contains("to 640Mi or less")), "{:?}", told.steps);
        let over = killed("384Mi", env("JAVA_TOOL_OPTIONS", "-Xmx768m")).diagnosis();
        assert!(over.headline.contains("384Mi") && over.headline.contains("grow to 768Mi, more than the limit"));
        let node = killed("2Gi", json!({"args": ["--max-old-space-size=1990", "a.js"]})).diagnosis();
        assert!(node.headline.contains("--max-old-space-size=1990 in args"), "{}", node.headline);
        assert!(node.headline.contains("leaves 58Mi"), "{}", node.headline);
        let dotnet = killed("512Mi", env("DOTNET_GCHeapHardLimit", "0x1F400000")).diagnosis();
        assert!(dotnet.headline.contains("grow to 500Mi and leaves 12Mi"), "{}", dotnet.headline);
    }

    #[test]
    fn a_share_of_the_limit_is_lowered_and_the_limit_left_alone() {
        let told = killed("2Gi", env("JAVA_TOOL_OPTIONS", "-XX:MaxRAMPercentage=95.0")).diagnosis();
        assert!(told.headline.contains("-XX:MaxRAMPercentage=95.0"), "{}", told.headline);
        assert!(told.steps.iter().any(|step| step.title.contains("to 75 or less")), "{:?}", told.steps);
        assert!(!commands(&told).contains("--limits"), "{}", commands(&told));
    }

    #[test]
    fn what_a_config_map_sets_is_changed_there() {
        let from = json!({"envFrom": [{"configMapRef": {"name": "conf"}}]});
        let told = killed("1Gi", from).with(map(json!({"JAVA_TOOL_OPTIONS": "-Xmx1000m"}))).diagnosis();
        assert!(told.headline.contains("JAVA_TOOL_OPTIONS of ConfigMap shop/conf"), "{}", told.headline);
        assert!(commands(&told).contains("kubectl -n shop edit configmap conf"), "{}", commands(&told));
        let mounts =
            |image: &str| json!({"image": image, "volumeMounts": [{"name": "conf", "mountPath": "/etc/mysql/conf.d"}]});
        let file = |text: &str| killed("512Mi", mounts("reg/mysql:8.4")).with(map(json!({"my.cnf": text}))).diagnosis();
        let told = file("[mysqld]\ninnodb_buffer_pool_size = 1G\n");
        assert!(told.headline.contains("lets the buffer pool alone grow to 1Gi"), "{}", told.headline);
        let beside =
            killed("512Mi", mounts("reg/xtrabackup:8.4")).with(map(json!({"my.cnf": "innodb_buffer_pool_size = 1G"})));
        assert!(!beside.diagnosis().headline.contains("buffer pool"), "another container's setting");
        assert!(!file("[mysqld]\n# innodb_buffer_pool_size = 1G\n").headline.contains("buffer pool"));
        assert!(!file("# --max-old-space-size=512\n").headline.contains("heap"));
    }

    #[test]
    fn a_heap_that_fits_is_not_the_reason() {
        let quiet = |limit: &str, settings: Value| {
            let told = killed(limit, settings).diagnosis();
            assert!(!told.headline.contains("heap") && !told.headline.contains("setting"), "{}", told.headline);
            assert!(told.steps.iter().any(|step| step.title.contains("Raise the memory limit, or")));
        };
        quiet("2Gi", env("JAVA_OPTS", "-Xmx1g"));
        quiet("4Gi", env("JAVA_OPTS", "-XX:MaxRAMPercentage=75"));
        quiet("2Gi", env("JAVA_OPTS", "-Xmx2g -Xmx1g"));
        quiet("2Gi", json!({"args": ["-Xmx512m"], "env": [{"name": "JAVA_TOOL_OPTIONS", "value": "-Xmx2g"}]}));
        quiet(
            "2Gi",
            json!({"args": ["-Xmx1g"], "env": [{"name": "JAVA_TOOL_OPTIONS", "value": "-XX:MaxRAMPercentage=95"}]}),
        );
        quiet("512Mi", env("DOTNET_GCHeapCount", "0x1F400000"));
        quiet("512Mi", json!({"args": ["redis-server", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]}));
    }

    #[test]
    fn how_much_fits_depends_on_the_limit() {
        assert!(is_tight(900.0 * MI, 1024.0 * MI) && !is_tight(700.0 * MI, 1024.0 * MI));
        assert!(!is_tight(3200.0 * MI, 4096.0 * MI) && is_tight(3700.0 * MI, 4096.0 * MI));
        assert_eq!([256.0, 1024.0, 4096.0].map(|limit| written(fits(limit * MI))), ["128Mi", "640Mi", "3Gi"]);
    }

    #[test]
    fn a_container_is_not_blamed_for_what_the_server_beside_it_reads_from_the_same_file() {
        let blamed = |image: &str, server: &str, file: &str| {
            let mounts = json!({"volumeMounts": [{"name": "conf", "mountPath": "/etc/conf"}]});
            let limits = json!({"image": image, "resources": {"limits": {"memory": "512Mi"}}});
            let server = patched(json!({"name": "server", "image": server}), mounts.clone());
            let spec = json!({"spec": {"containers": [container(patched(limits, mounts)), server],
                "volumes": [{"name": "conf", "configMap": {"name": "conf"}}]}});
            let told = World::asking("Pod", "web-1-a").with(pod(patched(crashed(137, "OOMKilled"), spec)));
            let headline = told.with(map(json!({"server.conf": file}))).diagnosis().headline;
            headline.contains("more than the limit")
        };
        let pool = "[mysqld]\ninnodb_buffer_pool_size = 1G\n";
        for beside in ["reg/proxysql:2", "reg/mysqld-exporter:0.15", "reg/mysql-router:8.4", "reg/xtrabackup:8.4"] {
            assert!(!blamed(beside, "reg/mysql:8.4", pool), "{beside}");
        }
        assert!(blamed("reg/mysql:8.4", "reg/mysqld-exporter:0.15", pool));
        let data = "port 6379\nmaxmemory 1gb\n";
        for beside in ["reg/redis_exporter:1", "reg/redis-sentinel:7", "reg/fluent-bit:3"] {
            assert!(!blamed(beside, "reg/redis:7", data), "{beside}");
        }
        assert!(blamed("reg/redis:7", "reg/redis_exporter:1", data) && blamed("reg/valkey:8", "reg/metrics:1", data));
    }
}
