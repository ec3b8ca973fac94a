//! A client whose newest version raised its connection pool, so that its replicas together ask for more than the server has.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::Crowd;
use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::back;
use crate::playbook::callees;
use crate::playbook::change::is_young;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, controller, named};
use crate::report::{Confidence, Step};

/// Names of variables that say how many connections a pool may hold: `DB_POOL_SIZE`, `PG_POOL_MAX`, `DB_MAX_OPEN_CONNS`,
/// `SPRING_DATASOURCE_HIKARI_MAXIMUM_POOL_SIZE`.
static SIZE: Pattern = Pattern::new(
    r"(?i)(?:^|[_.])(?:pool(?:_?(?:size|max(?:_?size)?|limit))?|max(?:imum)?_?pool(?:_?size)?|max_?(?:open_?|active_?)?conn(?:ection)?s?|connection_?limit)$",
);
/// Names that say something else of a pool, or of a pool of something else.
static OTHER: Pattern = Pattern::new(
    r"(?i)min|idle|time|life|wait|queue|thread|worker|executor|task|http|grpc|(?:^|_)server_|redis|valkey|cache|mongo|kafka|rabbit|amqp|nats|s3|elastic|search|ldap|smtp|mail",
);
/// Words of which one has to stand in such a name: a server's own limit of connections is none of a pool's.
static OF_DATABASE: Pattern = Pattern::new(r"(?i)pool|db|database|datasource|sql|pg|postgres|maria|jdbc|hikari");
/// The same in a connection string: `?connection_limit=40`, `;Maximum Pool Size=100`.
static IN_URL: Pattern = Pattern::new(
    r"(?i)[?&;]\s*(pool_?size|connection_?limit|max_?connections|pool_max_conns|max(?:imum)?[ _]?pool(?:[ _]?size)?)=(\d+)",
);
/// How a server is told its limit: PostgreSQL's and MySQL's own word, as an argument, a line of a file or an image's variable.
static LIMIT: Pattern =
    Pattern::new(r"(?i)(?:^|[\s-]|(?:postgres(?:ql)?|mysql|mariadb|pg|db)_)max[_-]connections[\s=:]+'?(\d+)");
/// Images and names of containers that are the database itself.
static SERVER: Pattern =
    Pattern::new(r"(?i)postgres|mysql|mariadb|percona-server|timescale|pgvector|^(?:db|pg|database)$");
/// So many times as large a pool is raised far where nobody knows the limit.
const FAR: i64 = 2;
/// Connections that PostgreSQL keeps for its superusers unless told otherwise.
const RESERVED: i64 = 3;

/// One setting of a pool, by the container and the variable that hold it.
struct Size {
    container: String,
    variable: String,
    /// The parameter where it stands in a connection string.
    parameter: Option<String>,
    value: i64,
}

impl Size {
    fn is_of(&self, other: &Self) -> bool {
        (&self.container, &self.variable, &self.parameter) == (&other.container, &other.variable, &other.parameter)
    }

    fn name(&self) -> &str {
        self.parameter.as_deref().unwrap_or(&self.variable)
    }
}

/// A client whose newest version has a larger pool than the one before.
struct Raise<'s> {
    workload: ObjectRef,
    replicas: i64,
    before: i64,
    now: Size,
    new: &'s Seen<ReplicaSet>,
    old: &'s Seen<ReplicaSet>,
}

impl Raise<'_> {
    const fn asks(&self) -> i64 {
        self.replicas * self.now.value
    }
}

/// Whether the Pods of a ReplicaSet are told the size of a pool.
#[must_use]
pub fn sets_pool(set: &ReplicaSet) -> bool {
    pods::template(set).is_some_and(|spec| !sizes(spec).is_empty())
}

/// The client that asks for more connections than the server has since its newest version raised its pool.
pub(super) fn explain(scene: &Scene<'_>, crowd: &Crowd<'_>) -> Option<Finding> {
    let mut workloads: Vec<ObjectRef> = crowd.clients.iter().map(|pod| scene.workload(&pod.object)).collect();
    workloads.sort();
    workloads.dedup();
    let raises = workloads.iter().filter_map(|workload| raise(scene, workload));
    let raise = raises.max_by_key(|raise| raise.replicas * (raise.now.value - raise.before))?;
    let beside: i64 = workloads.iter().filter(|it| **it != raise.workload).filter_map(|it| asked(scene, it)).sum();
    let limit = limit(scene, &crowd.server.object);
    let sure = sureness(&raise, beside, limit)?;
    let (headline, own) = (headline(scene, crowd, &raise, beside, limit), &crowd.own);
    let (workload, said) = (&raise.workload, logs::said(crowd.line));
    let summary = scene.text(format!("{headline}。日志：{said}。"), format!("{headline}; the log says: {said}."));
    let unknown = limit.is_none().then(|| {
        scene.text(format!("{own} 的 max_connections 是多少？"), format!("What is max_connections of {own}?"))
    });
    let found =
        Finding::new("dependency_connections_exhausted", Depth::Root, &named(&crowd.server.object), workload, headline)
            .summary(summary)
            .confidence(sure)
            .cite([
                scene.quote(&crowd.log.reference, crowd.line),
                scene.quote(&raise.new.reference, &raise.now.variable),
                scene.quote(&raise.old.reference, &raise.now.variable),
            ])
            .touches(workloads.iter().cloned())
            .touches(crowd.services.iter().cloned().chain([own.clone()]))
            .steps(steps(scene, &raise, own));
    Some(unknown.into_iter().fold(found, Finding::unresolved))
}

/// How sure it is that the raise took the connections: surely where the client alone asks for more than there are; not at all
/// where all clients together leave room.
fn sureness(raise: &Raise<'_>, beside: i64, limit: Option<i64>) -> Option<Confidence> {
    let Some(limit) = limit else {
        return (raise.now.value >= raise.before * FAR && raise.replicas > 0).then_some(Confidence::Medium);
    };
    let free = limit - RESERVED;
    match (raise.asks() > free, raise.asks() + beside > free) {
        (true, _) => Some(Confidence::High),
        (false, true) => Some(Confidence::Medium),
        (false, false) => None,
    }
}

fn headline(scene: &Scene<'_>, crowd: &Crowd<'_>, raise: &Raise<'_>, beside: i64, limit: Option<i64>) -> String {
    let (own, workload, name) = (&crowd.own, &raise.workload, raise.now.name());
    let (replicas, before, now, asks) = (raise.replicas, raise.before, raise.now.value, raise.asks());
    let head = scene.text(
        format!("{workload} 的新版本把 {name} 从 {before} 调大到 {now}，{own} 的连接数（connections）用尽，拒绝新连接：{replicas} 个副本 × {now} = {asks}"),
        format!("{own} is out of connections and refuses new ones, since the newest version of {workload} raised {name} from {before} to {now}: {replicas} replicas x {now} = {asks}"),
    );
    let all = asks + beside;
    let tail = match limit {
        None => String::new(),
        Some(limit) if asks > limit - RESERVED => {
            scene.text(format!("，超过 max_connections {limit}"), format!(", max_connections is {limit}"))
        }
        Some(limit) => scene.text(
            format!("，与其他客户端的 {beside} 合计 {all}，max_connections 为 {limit}"),
            format!(", together with the {beside} of other clients {all}; max_connections is {limit}"),
        ),
    };
    format!("{head}{tail}")
}

fn raise<'s>(scene: &'s Scene<'_>, workload: &ObjectRef) -> Option<Raise<'s>> {
    let sets = rollout::revisions(scene, workload);
    let (new, old) = (*sets.first()?, *sets.get(1)?);
    if !is_young(scene, workload) {
        return None;
    }
    let before = sizes(pods::template(&old.object)?);
    let grown = sizes(pods::template(&new.object)?).into_iter().filter_map(|now| {
        let before = before.iter().find(|before| before.is_of(&now))?.value;
        (before > 0 && now.value > before).then_some((before, now))
    });
    let (before, now) = grown.max_by_key(|(_, now)| now.value)?;
    Some(Raise { workload: workload.clone(), replicas: running(scene, workload, new)?, before, now, new, old })
}

/// How many connections a client may ask for with all its replicas, where its pool's size is known.
fn asked(scene: &Scene<'_>, workload: &ObjectRef) -> Option<i64> {
    let pod = scene.pods_of(workload).into_iter().find(|pod| !pods::is_finished(&pod.object))?;
    let size = sizes(pod.object.spec.as_ref()?).into_iter().map(|size| size.value).max()?;
    Some(size * replicas(scene, workload)?)
}

/// The Pods that run the newest version: one that never started holds no connection.
fn running(scene: &Scene<'_>, workload: &ObjectRef, new: &Seen<ReplicaSet>) -> Option<i64> {
    let made = new.object.status.as_ref().map(|status| i64::from(status.replicas));
    let wanted = replicas(scene, workload)?;
    let of_new = |pod: &&Seen<Pod>| {
        controller(&pod.object.metadata).is_some_and(|owner| Some(&owner.name) == new.object.metadata.name.as_ref())
    };
    let started = |pod: &Seen<Pod>| {
        pods::phase(&pod.object) == "Running"
            && pods::containers(&pod.object).iter().any(|view| view.restarts() > 0 || view.waiting_reason().is_empty())
    };
    let pods = scene.pods_of(workload);
    let mut of_new = pods.into_iter().filter(of_new).peekable();
    // Where none of its Pods was read, what its ReplicaSet says has to do.
    let has_started = of_new.peek().is_none() || of_new.any(started);
    has_started.then(|| made.filter(|made| *made > 0).unwrap_or(wanted).min(wanted))
}

fn replicas(scene: &Scene<'_>, workload: &ObjectRef) -> Option<i64> {
    let newest = || rollout::revisions(scene, workload).first()?.object.spec.as_ref()?.replicas;
    scene.replicas(workload).map(|(_, wanted)| wanted).or_else(newest).map(i64::from)
}

/// The sizes of pools that containers are told, by variables of their own or within a connection string.
fn sizes(spec: &PodSpec) -> Vec<Size> {
    let mut found = Vec::new();
    for container in &spec.containers {
        for variable in container.env.iter().flatten() {
            let (name, value) = (&variable.name, variable.value.as_deref().unwrap_or_default());
            let size = |parameter: Option<String>, value: &str| {
                let value = value.trim().parse().ok().filter(|value| *value > 0)?;
                Some(Size { container: container.name.clone(), variable: name.clone(), parameter, value })
            };
            if SIZE.hits(name) && OF_DATABASE.hits(name) && !OTHER.hits(name) {
                found.extend(size(None, value));
            }
            let told = IN_URL.groups(value).and_then(|told| Some((told.get(1)?.as_str(), told.get(2)?.as_str())));
            found.extend(told.and_then(|(parameter, value)| size(Some(parameter.to_owned()), value)));
        }
    }
    found
}

/// How many connections the server takes, by its arguments, its variables or the files it is given.
fn limit(scene: &Scene<'_>, server: &Pod) -> Option<i64> {
    let views = pods::containers(server);
    // What a sidecar is told of connections is its own limit.
    let is_own = |view: &&ContainerView<'_>| views.len() == 1 || SERVER.hits(view.image()) || SERVER.hits(view.name());
    let (own, beside): (Vec<&ContainerView<'_>>, Vec<_>) = views.iter().partition(is_own);
    let words = own.iter().flat_map(|view| view.spec.command.iter().chain(&view.spec.args).flatten().cloned());
    let is_of_sidecar = |name: &String, value: &String| {
        let mut variables = beside.iter().flat_map(|view| view.spec.env.iter().flatten());
        !own.is_empty() && variables.any(|it| it.name == *name && it.value.as_ref() == Some(value))
    };
    // A file of one line alone is the value of its key.
    let sets = |text: &str| !text.trim_start().starts_with(['#', ';']);
    let settings = callees::settings(scene.facts, server).into_iter();
    let settings = settings
        .filter(|(name, value)| sets(name) && sets(value) && !is_of_sidecar(name, value))
        .map(|(name, value)| format!("{name}={value}"));
    let told = |text: String| LIMIT.group(&text, 1)?.parse().ok().filter(|limit| *limit > 0);
    // An argument wins over a file, and of a file's lines the last one counts.
    words.filter_map(told).next_back().or_else(|| settings.filter_map(told).next_back())
}

fn steps(scene: &Scene<'_>, raise: &Raise<'_>, own: &ObjectRef) -> Vec<Step> {
    let (workload, name, before) = (&raise.workload, &raise.now.variable, raise.before);
    let set = format!("set env {} -c {} {name}={before}", slash(workload), raise.now.container);
    let command = match raise.now.parameter {
        Some(_) => edit_template(workload),
        None => Some(kubectl(&workload.namespace, &set)),
    };
    let mut steps = vec![
        look(
            scene.text("查看这次发布改动了什么", "See what the release changed"),
            kubectl(&workload.namespace, &format!("rollout history {}", slash(workload))),
        ),
        change(
            scene.text(
                format!("把 {workload} 的 {} 恢复为 {before}，或减小到副本数 × 连接池低于 {own} 的上限", raise.now.name()),
                format!("Set {} of {workload} back to {before}, or so low that replicas x pool stay below what {own} takes", raise.now.name()),
            ),
            scene.text(
                "调大 max_connections 会占用数据库更多内存，且需要重启它；也可在前面加连接池代理（如 PgBouncer）",
                "A larger max_connections costs the database memory and a restart; a pooler such as PgBouncer before it is another way",
            ),
            command,
        ),
    ];
    steps.extend(back::step(scene, workload));
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, crashed, patched, pod, service, waiting};

    const CODE: &str = "dependency_connections_exhausted";
    const REFUSED: &str = "2026-11-23 02:58:59 UTC [71] FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute\n";

    /// Variables that name the server, unless they are among these settings.
    fn env(settings: &[(&str, &str)]) -> Value {
        let mut all = std::collections::BTreeMap::from([("DATABASE_URL", "postgres://web:5432/x")]);
        all.extend(settings.iter().copied());
        all.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
    }

    fn set(app: &str, revision: i32, made: &str, settings: &[(&str, &str)]) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": format!("{app}-{revision}"), "namespace": "shop", "creationTimestamp": made,
                "annotations": {"deployment.kubernetes.io/revision": revision.to_string()},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": app, "uid": "d", "controller": true}]},
            "spec": {"replicas": if revision == 2 { 6 } else { 0 }, "selector": {},
                "template": {"spec": {"containers": [container(json!({"env": env(settings), "image": format!("reg/{app}:{revision}")}))]}}}})
    }

    fn client(app: &str, settings: &[(&str, &str)]) -> Value {
        pod(json!({"metadata": {"name": format!("{app}-2-a"), "labels": {"app": app, "pod-template-hash": "2"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{app}-2"), "uid": "c", "controller": true}]},
            "spec": {"containers": [container(json!({"env": env(settings)}))]}}))
    }

    /// The server `web` with such arguments, and `sync` whose newest of six replicas has other settings than before.
    fn world(args: Value, before: &[(&str, &str)], now: &[(&str, &str)], made: &str) -> World {
        World::asking("Service", "web")
            .with(service(json!({"app": "web"})))
            .with(patched(pod(json!({})), json!({"spec": {"containers": [container(json!({"args": args}))]}})))
            .with(set("sync", 1, "2026-11-01T00:00:00Z", before))
            .with(set("sync", 2, made, now))
            .with(client("sync", now))
    }

    const LATELY: &str = "2026-11-23T02:40:00Z";

    fn pools(args: Value, before: &str, now: &str) -> World {
        world(args, &[("DB_POOL_SIZE", before)], &[("DB_POOL_SIZE", now)], LATELY).log("web-1-a", &REFUSED.repeat(5))
    }

    #[test]
    fn a_client_that_raised_its_pool_beyond_the_limit_is_the_cause() {
        for args in [json!(["-c", "max_connections=200"]), json!(["--max-connections=200"])] {
            let world = pools(args, "5", "40");
            assert_eq!(world.cause(), format!("{CODE} Deployment/sync"));
            let told = world.diagnosis();
            for part in ["from 5 to 40", "6 replicas x 40 = 240", "max_connections is 200"] {
                assert!(told.headline.contains(part), "{}", told.headline);
            }
            let steps: Vec<&str> = told.steps.iter().filter_map(|step| step.command.as_deref()).collect();
            assert!(steps.iter().any(|step| step.contains("DB_POOL_SIZE=5")), "{steps:?}");
        }
    }

    #[test]
    fn a_pool_within_a_connection_string_and_a_limit_within_a_file_are_read() {
        let url = |size: &str| format!("postgres://web:5432/x?connection_limit={size}");
        let (before, now) = (url("5"), url("40"));
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "shop"},
            "data": {"postgresql.conf": "listen_addresses = '*'\nmax_connections = 200\n"}});
        let world = world(json!([]), &[("DATABASE_URL", &before)], &[("DATABASE_URL", &now)], LATELY)
            .with(patched(
                pod(json!({})),
                json!({"spec": {"volumes": [{"name": "conf", "configMap": {"name": "conf"}}]}}),
            ))
            .with(map)
            .log("web-1-a", &REFUSED.repeat(5));
        assert_eq!(world.cause(), format!("{CODE} Deployment/sync"));
        let headline = world.diagnosis().headline;
        assert!(headline.contains("connection_limit from 5 to 40") && headline.contains("200"), "{headline}");
    }

    #[test]
    fn a_client_that_complains_of_it_is_a_victim_of_the_one_that_raised_its_pool() {
        let shop = client("shop", &[("DB_POOL_SIZE", "5")]);
        let world =
            world(json!(["-c", "max_connections=200"]), &[("DB_POOL_SIZE", "5")], &[("DB_POOL_SIZE", "40")], LATELY)
                .with(shop)
                .also("Deployment", "shop")
                .log("shop-2-a", &format!("ERROR pq: {}", &REFUSED[29..]).repeat(5));
        assert_eq!(world.cause(), format!("{CODE} Deployment/sync"));
    }

    #[test]
    fn a_pool_that_was_raised_well_below_the_limit_is_not_blamed() {
        let world = pools(json!(["-c", "max_connections=500"]), "5", "40");
        assert!(!world.codes().contains(&CODE), "{:?}", world.codes());
        let quiet = world_without_complaint();
        assert!(!quiet.codes().contains(&CODE), "nobody is refused");
    }

    fn world_without_complaint() -> World {
        world(json!(["-c", "max_connections=200"]), &[("DB_POOL_SIZE", "5")], &[("DB_POOL_SIZE", "40")], LATELY)
    }

    #[test]
    fn a_release_that_changed_something_else_or_long_ago_is_not_blamed() {
        let blamed = |before: (&str, &str), now: (&str, &str), made: &str| {
            let world = world(json!(["-c", "max_connections=200"]), &[before], &[now], made);
            world.log("web-1-a", &REFUSED.repeat(5)).codes().contains(&CODE)
        };
        assert!(!blamed(("DB_POOL_SIZE", "40"), ("DB_POOL_SIZE", "40"), LATELY), "another image alone");
        assert!(!blamed(("DB_POOL_SIZE", "40"), ("DB_POOL_SIZE", "5"), LATELY), "lowered");
        assert!(!blamed(("WORKER_POOL_SIZE", "5"), ("WORKER_POOL_SIZE", "40"), LATELY), "a pool of threads");
        assert!(!blamed(("DB_POOL_MIN", "5"), ("DB_POOL_MIN", "40"), LATELY), "not its most");
        assert!(!blamed(("DB_POOL_SIZE", "5"), ("DB_POOL_SIZE", "40"), "2026-11-10T00:00:00Z"), "two weeks ago");
        assert!(blamed(("DB_POOL_SIZE", "5"), ("DB_POOL_SIZE", "40"), LATELY));
    }

    #[test]
    fn where_the_limit_is_not_known_only_a_pool_raised_far_is_blamed_and_not_surely() {
        let far = pools(json!([]), "5", "40");
        assert_eq!(far.cause(), format!("{CODE} Deployment/sync"));
        let cause = far.diagnosis().causes.remove(0);
        assert_eq!(cause.confidence, crate::report::Confidence::Medium);
        assert!(!pools(json!([]), "30", "40").codes().contains(&CODE));
    }

    #[test]
    fn what_the_other_clients_ask_for_counts_too() {
        let beside = |size: &str| {
            pools(json!(["-c", "max_connections=200"]), "5", "30")
                .with(client("shop", &[("DB_POOL_SIZE", size)]))
                .with(set("shop", 2, "2026-11-01T00:00:00Z", &[("DB_POOL_SIZE", size)]))
        };
        assert!(beside("10").codes().contains(&CODE), "180 and 60 of 200");
        assert!(!beside("2").codes().contains(&CODE), "180 and 12 of 200");
    }

    const LIMITED: [&str; 2] = ["-c", "max_connections=200"];

    /// Whether a client is blamed whose newest version raised a variable from 5 to 40, of six replicas against 200.
    fn raises(variable: &str) -> bool {
        let world = world(json!(LIMITED), &[(variable, "5")], &[(variable, "40")], LATELY);
        world.log("web-1-a", &REFUSED.repeat(5)).codes().contains(&CODE)
    }

    #[test]
    fn a_pool_of_another_kind_of_server_took_none_of_the_databases_connections() {
        for variable in ["REDIS_POOL_SIZE", "CACHE_MAX_CONNECTIONS", "MONGO_MAX_POOL_SIZE", "KAFKA_POOL_SIZE"] {
            assert!(!raises(variable), "{variable}");
        }
        assert!(raises("PG_POOL_MAX") && raises("POOL_SIZE"));
    }

    #[test]
    fn how_many_connections_a_client_takes_itself_is_no_pool_of_a_databases() {
        assert!(!raises("MAX_CONNECTIONS") && !raises("LISTENER_MAX_CONNS"));
        assert!(raises("DB_MAX_CONNECTIONS"));
    }

    #[test]
    fn a_version_of_which_no_pod_ever_started_holds_no_connection() {
        let blamed = |state: Value| {
            let newest = patched(client("sync", &[("DB_POOL_SIZE", "40")]), state);
            pools(json!(LIMITED), "5", "40").with(newest).codes().contains(&CODE)
        };
        assert!(!blamed(waiting("ContainerCreating", "")));
        let unready = json!({"status": {"phase": "Running"}});
        assert!(!blamed(patched(waiting("CreateContainerConfigError", "secret \"db\" not found"), unready)));
        assert!(blamed(crashed(1, "Error")), "it held some each time it ran");
    }

    #[test]
    fn of_a_release_under_way_only_the_pods_that_were_made_count() {
        let made = |replicas: i32| {
            let newest = set("sync", 2, LATELY, &[("DB_POOL_SIZE", "40")]);
            pools(json!(LIMITED), "5", "40").with(patched(newest, json!({"status": {"replicas": replicas}})))
        };
        assert!(!made(1).codes().contains(&CODE), "40 of 200");
        assert!(made(5).diagnosis().headline.contains("5 replicas x 40 = 200"), "{}", made(5).diagnosis().headline);
    }

    /// The server with files from a ConfigMap, and what is said of its limit.
    fn told_by_file(text: &str) -> World {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "shop"},
            "data": {"postgresql.conf": text}});
        let volumes = json!({"spec": {"volumes": [{"name": "conf", "configMap": {"name": "conf"}}]}});
        pools(json!([]), "5", "40").with(patched(pod(json!({})), volumes)).with(map)
    }

    #[test]
    fn what_stands_in_a_comment_of_a_file_is_no_limit() {
        for text in ["port = 5432\n# max_connections = 200\n", "port = 5432\n; max_connections = 200\n"] {
            let told = told_by_file(text).diagnosis();
            assert!(!told.headline.contains("200"), "{}", told.headline);
            assert_eq!(told.causes[0].confidence, crate::report::Confidence::Medium);
        }
        let alone = told_by_file("# max_connections = 200\n").diagnosis().headline;
        assert!(!alone.contains("200"), "a file of nothing else: {alone}");
    }

    #[test]
    fn of_a_files_lines_the_last_one_is_the_limit() {
        let world = told_by_file("max_connections = 100\nport = 5432\nmax_connections = 500\n");
        assert!(!world.codes().contains(&CODE), "{:?}", world.codes());
        let world = told_by_file("max_connections = 500\nport = 5432\nmax_connections = 100\n");
        assert!(world.diagnosis().headline.contains("max_connections is 100"));
    }

    #[test]
    fn what_a_container_beside_the_server_is_told_is_not_the_servers_limit() {
        let blamed = |beside: Value| {
            let server = container(json!({"image": "reg/postgres:16", "args": ["-c", "max_connections=500"]}));
            let beside = patched(json!({"name": "pooler", "image": "reg/pooler:1"}), beside);
            let both = json!({"spec": {"containers": [beside, server]}});
            pools(json!([]), "5", "40").with(patched(pod(json!({})), both)).codes().contains(&CODE)
        };
        assert!(!blamed(json!({"args": ["--max-connections=100"]})), "500 are enough");
    }

    #[test]
    fn a_variable_about_other_connections_is_not_the_servers_limit() {
        let limited = |container: Value, variable: &str| {
            let env = json!({"env": [{"name": variable, "value": "200"}]});
            let spec =
                json!({"spec": {"containers": [patched(container, env), {"name": "db", "image": "reg/postgres:16"}]}});
            let told = pools(json!([]), "5", "40").with(patched(pod(json!({})), spec)).diagnosis().headline;
            told.contains("max_connections is 200")
        };
        let server = || container(json!({"image": "reg/postgres:16"}));
        assert!(limited(server(), "POSTGRESQL_MAX_CONNECTIONS") && limited(server(), "MAX_CONNECTIONS"));
        assert!(!limited(server(), "HTTP_MAX_CONNECTIONS"));
        assert!(!limited(container(json!({"image": "reg/pooler:1"})), "MAX_CONNECTIONS"), "a sidecar's own");
    }
}
