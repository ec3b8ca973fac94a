//! Redis that refuses to write: its clients say so in its own words, and its own log is silent about it.

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};

use crate::alert::ObjectRef;
use crate::playbook::environment;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{latent, logs, pods, reach};
use crate::report::{Citation, Confidence, Step};

/// The beginnings of Redis' own error replies and what they mean, in both languages.
/// Source: <https://redis.io/docs/latest/operate/oss_and_stack/management/optimization/memory-optimization/> and `redis.conf`.
const REPLIES: [(&str, &str, &str, &str); 3] = [
    (
        "OOM command not allowed when used memory",
        "redis_memory_full",
        "已用到 maxmemory，且淘汰策略腾不出空间，因此拒绝写入",
        "has reached its maxmemory and its policy frees nothing, so it refuses writes",
    ),
    (
        "MISCONF Redis is configured to save RDB snapshots",
        "redis_persistence_failing",
        "无法保存 RDB 快照，因此停止接受写入（MISCONF）",
        "cannot save its RDB snapshots and therefore takes no writes (MISCONF)",
    ),
    (
        "READONLY You can't write against a read only replica",
        "redis_replica_written",
        "是只读副本，客户端却向它写入（READONLY）：主从已切换或客户端连错了节点",
        "is a read-only replica that its client writes to (READONLY): it lost its role, or the client has the wrong address",
    ),
];

/// What Redis itself logs when a snapshot cannot be written (`rdb.c`): why stands behind it.
static NOT_SAVED: Pattern = Pattern::new(
    r"(?i)failed opening the (?:temp )?rdb file|write error saving db|can't save in background|error moving temp db file",
);

/// Findings about the Redis behind Pods whose logs repeat such a reply.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| refused(scene, pod)).collect()
}

/// Whether a line passes on such a reply: then it is worth reading whom its Pod calls.
#[must_use]
pub fn replies(line: &str) -> bool {
    REPLIES.iter().any(|(words, ..)| line.contains(words))
}

fn refused(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let (log, line, _) = reach::repeated(scene, &pod.object, replies)?;
    let reply = REPLIES.iter().find(|(words, ..)| line.contains(words))?;
    let service = service_of(scene, &pod.object)?;
    Some(told(scene, pod, log, line, service, reply))
}

/// The Service that the Pod's variables name as its Redis.
fn service_of<'s>(scene: &'s Scene<'_>, pod: &Pod) -> Option<&'s Seen<Service>> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let is_redis = |variable: &environment::Variable<'_>| {
        let value = variable.value.to_ascii_lowercase();
        value.contains("redis") || value.contains(":6379") || variable.name.to_ascii_lowercase().contains("redis")
    };
    let variables = environment::variables(pod).into_iter().filter(is_redis);
    let hosts = variables.filter_map(|variable| environment::host_in(variable.value));
    let mut found = hosts.filter_map(|host| {
        let mut labels = host.split('.');
        let (name, other) = (labels.next()?.to_owned(), labels.next().map(str::to_owned));
        scene.service(other.as_deref().unwrap_or(namespace), &name)
    });
    // Of several nobody can say which of them refused.
    let first = found.next()?;
    found.all(|other| named(&other.object) == named(&first.object)).then_some(first)
}

fn told(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    log: &SeenLog,
    line: &str,
    service: &Seen<Service>,
    (_, code, zh, en): &(&str, &'static str, &str, &str),
) -> Finding {
    let (caller, name) = (scene.workload(&pod.object), named(&service.object));
    let behind: Vec<ObjectRef> =
        scene.backends(&service.object).iter().map(|pod| scene.workload(&pod.object)).collect();
    let redis = behind.first().cloned().unwrap_or_else(|| name.clone());
    let settings = if *code == "redis_memory_full" { settings(scene, &service.object) } else { Vec::new() };
    let set: Vec<&str> = settings.iter().map(|(setting, _)| setting.as_str()).collect();
    let set = if set.is_empty() {
        String::new()
    } else {
        scene.text(format!("（{}）", set.join("，")), format!(" ({})", set.join(", ")))
    };
    let own = (*code == "redis_persistence_failing").then(|| unsaved(scene, &service.object)).flatten();
    let said = own.map(|(_, line)| logs::said(line));
    let (said_zh, said_en) = said
        .map_or_else(Default::default, |said| (format!("，它自己的日志：{said}"), format!(", its own log: {said}")));
    let headline = scene.text(
        format!("{redis}（Redis）{zh}{set}{said_zh}；受影响的是 {caller}"),
        format!("{redis} (Redis) {en}{set}{said_en}; {caller} suffers from it"),
    );
    Finding::new(code, Depth::Root, &named(&pod.object), &redis, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&log.reference, line), own.and_then(|(reference, line)| scene.quote(reference, line))])
        .cite(settings.into_iter().map(|(_, citation)| citation))
        .touches([caller, name])
        .ruled_out(
            scene.text("容器内存不足（OOMKilled）", "a container out of memory (OOMKilled)"),
            scene.text(
                "这是 Redis 对客户端的应答，不是内核终止容器",
                "it is a reply of Redis to its client; no kernel ended a container",
            ),
        )
        .steps([
            look(
                scene.text(
                    "查看 Redis 的启动参数与配置（maxmemory、maxmemory-policy）",
                    "Read the arguments and configuration of Redis (maxmemory, maxmemory-policy)",
                ),
                kubectl(&redis.namespace, &format!("get {} -o yaml", slash(&redis))),
            ),
            remedy(scene, code, &redis),
        ])
}

/// What to do about a reply, each about its own.
fn remedy(scene: &Scene<'_>, code: &str, redis: &ObjectRef) -> Step {
    let (title, detail) = match code {
        "redis_memory_full" => (
            scene.text(
                "调大 maxmemory，或改用会淘汰的 maxmemory-policy，或清理没有过期时间的键",
                "Raise maxmemory, choose a maxmemory-policy that evicts, or remove keys that never expire",
            ),
            scene.text(
                "maxmemory 要低于容器的内存 limit；若这里存的不是缓存而是数据，改淘汰策略会丢数据",
                "Keep maxmemory below the container's memory limit; where it holds data and is no cache, a policy that evicts loses some",
            ),
        ),
        "redis_persistence_failing" => (
            scene.text(
                "让它能写快照：数据目录的空间与属主，以及 fork 所需的内存",
                "Let it write its snapshot: room in its data directory, who owns that, and memory for the fork",
            ),
            scene.text(
                "一次 BGSAVE 成功后即恢复写入；关闭 stop-writes-on-bgsave-error 只是掩盖，重启会丢掉上次快照之后的数据",
                "It takes writes again after one BGSAVE that succeeds; without stop-writes-on-bgsave-error a restart loses all since the last snapshot",
            ),
        ),
        _ => (
            scene.text(
                "让客户端连接主节点（通过 Sentinel，或指向主节点的 Service）",
                "Let its clients reach the primary (through Sentinel, or a Service that selects the primary)",
            ),
            scene.text(
                "先看 INFO replication 中 role 与 master_host：主从可能刚刚切换",
                "See role and master_host in INFO replication first: the roles may just have changed",
            ),
        ),
    };
    change(title, detail, edit_template(redis).filter(|_| code != "redis_replica_written"))
}

/// What its command or its mounted configuration says of memory, as `maxmemory 512mb`, each with where that stands.
fn settings(scene: &Scene<'_>, service: &Service) -> Vec<(String, Option<Citation>)> {
    let Some(pod) = scene.backends(service).into_iter().next() else { return Vec::new() };
    let views = pods::containers(&pod.object);
    let words: Vec<&str> = views
        .iter()
        .flat_map(|view| view.spec.command.iter().flatten().chain(view.spec.args.iter().flatten()))
        .flat_map(|argument| argument.split_whitespace())
        .collect();
    let mut found = Vec::new();
    for key in ["maxmemory", "maxmemory-policy"] {
        let said = words.windows(2).find(|pair| pair[0].strip_prefix("--") == Some(key));
        if let Some([_, value]) = said {
            let value = value.trim_matches(['"', '\'']);
            found.push((format!("{key} {value}"), scene.quote_line(&pod.reference, &[value])));
        } else if let Some((reference, line)) = written(scene, &pod.object, key) {
            found.push((line.clone(), scene.quote(&reference, &line)));
        }
    }
    found
}

/// A line of a mounted ConfigMap that was read.
fn written(scene: &Scene<'_>, pod: &Pod, key: &str) -> Option<(String, String)> {
    latent::maps(pod).into_iter().find_map(|map| {
        let read: Seen<ConfigMap> = scene.facts.get(&map.namespace, &map.name)?;
        let data = read.object.data?;
        let says = |line: &&str| line.split_whitespace().next() == Some(key);
        let line = data.values().find_map(|text| text.lines().find(says).map(|line| line.trim().to_owned()))?;
        Some((read.reference.clone(), line))
    })
}

/// Why it cannot save, in the words of its own log.
fn unsaved<'a>(scene: &Scene<'a>, service: &Service) -> Option<(&'a str, &'a str)> {
    scene.backends(service).into_iter().flat_map(|pod| reach::present_logs(scene, &pod.object)).find_map(
        |(log, text)| {
            let line = text.lines().rev().find(|line| NOT_SAVED.hits(line) && !logs::instructs(line))?;
            Some((log.reference.as_str(), line))
        },
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, container, patched, pod, service};

    const FULL: &str = "{\"level\":50,\"msg\":\"write failed\",\"err\":{\"type\":\"ReplyError\",\"message\":\"OOM command not allowed when used memory > 'maxmemory'.\"}}\n";

    fn client(log: &str, value: &str) -> World {
        let env = json!([{"name": "REDIS_URL", "value": value}]);
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "spec": {"containers": [container(json!({"env": env}))]}});
        World::asking("Pod", "cart-1-a")
            .with(patched(pod(json!({})), cart))
            .log("cart-1-a", log)
            .with(service(json!({"app": "web"})))
            .with(pod(json!({})))
    }

    #[test]
    fn a_redis_that_is_full_is_blamed_and_not_its_client() {
        let world = client(&FULL.repeat(8), "redis://web:6379/0");
        assert_eq!(world.cause(), "redis_memory_full Deployment/web");
        assert!(world.diagnosis().ruled_out.iter().any(|out| out.hypothesis.contains("OOMKilled")));
        let stopped =
            client(&"ERROR MISCONF Redis is configured to save RDB snapshots, but is unable\n".repeat(8), "web:6379");
        assert_eq!(stopped.cause(), "redis_persistence_failing Deployment/web");
        let told = stopped.log("web-1-a", "263:C # Failed opening the temp RDB file temp-263.rdb (in server root dir /data) for saving: Permission denied\n1:M # Background saving error\n");
        assert!(told.diagnosis().headline.contains("for saving: Permission denied"), "{}", told.diagnosis().headline);
        let replica = client(&"ERROR READONLY You can't write against a read only replica.\n".repeat(8), "web:6379");
        assert_eq!(replica.cause(), "redis_replica_written Deployment/web");
        let last = |world: &World| world.diagnosis().steps.pop().unwrap().title;
        assert!(last(&world).starts_with("Raise maxmemory"), "{}", last(&world));
        assert!(last(&replica).contains("reach the primary"), "{}", last(&replica));
    }

    #[test]
    fn its_limit_and_its_policy_are_told_from_its_arguments_or_its_configuration() {
        let args = json!({"spec": {"containers": [container(json!({"args": ["redis-server", "--maxmemory", "512mb", "--maxmemory-policy", "noeviction"]}))]}});
        let told = client(&FULL.repeat(8), "redis://web:6379/0").with(pod(args)).diagnosis();
        assert!(told.headline.contains("(maxmemory 512mb, maxmemory-policy noeviction)"), "{}", told.headline);
        assert!(told.steps.iter().any(|step| step.title.contains("Raise maxmemory")), "{:?}", told.steps);
        let mounted = json!({"spec": {"volumes": [{"name": "conf", "configMap": {"name": "conf"}}]}});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "shop"},
            "data": {"redis.conf": "port 6379\nmaxmemory 2gb\n"}});
        let told = client(&FULL.repeat(8), "redis://web:6379/0").with(pod(mounted)).with(map).diagnosis().headline;
        assert!(told.contains("(maxmemory 2gb)"), "{told}");
    }

    #[test]
    fn one_reply_is_a_hiccup_and_an_unknown_redis_is_nobody() {
        let once = client(&format!("{FULL}{}", "{\"level\":30,\"msg\":\"ok\"}\n".repeat(30)), "redis://web:6379/0");
        assert!(!once.codes().contains(&"redis_memory_full"));
        let elsewhere = client(&FULL.repeat(8), "redis://cache.example.com:6379/0");
        assert!(!elsewhere.codes().contains(&"redis_memory_full"));
    }

    #[test]
    fn a_container_that_was_killed_for_memory_is_another_story() {
        let world = client("ERROR container was OOMKilled\n", "redis://web:6379/0");
        assert!(!world.codes().iter().any(|code| code.starts_with("redis_")));
    }
}
