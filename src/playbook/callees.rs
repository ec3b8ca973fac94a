//! Callees: whom a Pod is told to call, by its variables and the ConfigMaps behind them. Where its log complains without
//! naming anybody, it is one of these.

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};

use crate::playbook::analyzer::{pool, retained};
use crate::playbook::environment;
use crate::playbook::facts::{Facts, Seen};
use crate::playbook::latent;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::playbook::upstream;

/// Ports that databases are called at: PostgreSQL, MySQL, SQL Server, Oracle, MongoDB, Redis, Cassandra, CockroachDB, TiDB,
/// ClickHouse, Dameng, OceanBase.
const DATABASES: [i32; 12] = [5432, 3306, 1433, 1521, 27017, 6379, 9042, 26257, 4000, 8123, 5236, 2881];

/// The hosts that a Pod is told to call.
#[must_use]
pub fn hosts(facts: &Facts, pod: &Pod) -> Vec<String> {
    let mut hosts: Vec<String> = told(facts, pod).iter().flat_map(|value| hosts_in(value)).collect();
    hosts.sort();
    hosts.dedup();
    hosts
}

/// What a Pod is told: the values of its variables, and the lines of the ConfigMaps behind them.
#[must_use]
pub fn values(facts: &Facts, pod: &Pod) -> Vec<String> {
    told(facts, pod).iter().flat_map(|value| value.lines().map(str::to_owned)).collect()
}

fn told(facts: &Facts, pod: &Pod) -> Vec<String> {
    let maps = latent::maps(pod).into_iter().filter_map(|map| facts.get::<ConfigMap>(&map.namespace, &map.name));
    let told = maps.flat_map(|map| map.object.data.unwrap_or_default().into_values());
    let own = environment::variables(pod).into_iter().map(|variable| variable.value.to_owned());
    own.chain(told).collect()
}

/// What a client of some kind calls itself, and what the variables it is told its server by speak of.
static KINDS: [(Pattern, Pattern); 6] = [
    (
        Pattern::new(
            r"(?i)communications link|jdbc|hikari|datasource|psycopg|postgres|psql|pgx|mysql|mariadb|sql|ora-|tns:|database",
        ),
        Pattern::new(
            r"(?i)jdbc|postgres|mysql|mariadb|sql|oracle|database|datasource|(?:^|[_.-])(?:db|pg)(?:[_.-]|\d|$)|:(?:5432|3306|1433|1521)\b",
        ),
    ),
    (Pattern::new(r"(?i)redis|lettuce|jedis"), Pattern::new(r"(?i)redis|:6379\b|:26379\b")),
    (Pattern::new(r"(?i)amqp|rabbit"), Pattern::new(r"(?i)amqp|rabbit|:5672\b")),
    (
        Pattern::new(r"(?i)kafka|bootstrap|brokers?\b|node assignment|present in metadata"),
        Pattern::new(r"(?i)kafka|bootstrap|brokers|:909\d\b"),
    ),
    (Pattern::new(r"(?i)mongo|server selection"), Pattern::new(r"(?i)mongo|:27017\b")),
    (Pattern::new(r"(?i)elastic|opensearch"), Pattern::new(r"(?i)elastic|opensearch|:9200\b")),
];
/// Names of settings that hold nothing but a host.
static HOLDS_HOST: Pattern =
    Pattern::new(r"(?i)(?:host(?:name)?s?|addr(?:ess)?|servers?|ur[li]|dsn|endpoint|brokers?|nodes?)$");

/// Whether a Pod is told a host by a Secret, which nobody reads.
#[must_use]
pub fn is_told_by_secret(pod: &Pod) -> bool {
    let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    let mut variables = containers.flat_map(|container| container.env.iter().flatten());
    variables.any(|variable| {
        HOLDS_HOST.hits(&variable.name)
            && variable.value_from.as_ref().is_some_and(|from| from.secret_key_ref.is_some())
    })
}

/// The places a Pod is told to call that a line may mean which tells of a failed connection and of nobody: those of its kind,
/// or all where it does not even say of which kind.
#[must_use]
pub fn fitting(facts: &Facts, pod: &Pod, line: &str) -> Vec<String> {
    let speaks: Vec<&Pattern> = KINDS.iter().filter(|(client, _)| client.hits(line)).map(|(_, told)| told).collect();
    let mut found: Vec<String> = Vec::new();
    for (name, value) in settings(facts, pod) {
        let setting = format!("{name}={value}");
        if !speaks.is_empty() && !speaks.iter().any(|told| told.hits(&name) || told.hits(&setting)) {
            continue;
        }
        let addressed = environment::host_in(value.trim()).into_iter().chain(reach::hosts(&value));
        let alone = HOLDS_HOST.hits(&name).then(|| hosts_in(&value)).into_iter().flatten();
        found.extend(addressed.chain(alone).filter(|host| !reach::is_local(host)));
    }
    found.sort();
    found.dedup();
    found
}

/// What a Pod is told, line by line: its variables, and what stands in its ConfigMaps, as name and value.
#[must_use]
pub fn settings(facts: &Facts, pod: &Pod) -> Vec<(String, String)> {
    let own = environment::variables(pod).into_iter().map(|it| (it.name.to_owned(), it.value.to_owned()));
    let maps = latent::maps(pod).into_iter().filter_map(|map| facts.get::<ConfigMap>(&map.namespace, &map.name));
    let told = maps.flat_map(|map| map.object.data.unwrap_or_default()).flat_map(|(key, text)| {
        let split = |line: &str| {
            let parts = line.split_once(['=', ':']).filter(|(_, value)| !value.starts_with('/'));
            parts.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        };
        match text.trim().contains('\n') {
            true => text.lines().filter_map(split).collect(),
            false => vec![(key, text)],
        }
    });
    own.chain(told).collect()
}

/// The hosts of a value: all that its lines name, or itself where it is nothing but a name.
fn hosts_in(value: &str) -> Vec<String> {
    let is_name = |value: &str| {
        value.starts_with(|first: char| first.is_ascii_lowercase())
            && value
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter))
    };
    let alone = Some(value.trim()).filter(|value| is_name(value)).map(str::to_owned);
    value.lines().flat_map(reach::hosts).chain(alone).collect()
}

/// Whether a host means a Service, as a Pod of that Namespace calls it.
#[must_use]
pub fn means(host: &str, service: (&str, &str), from: &str) -> bool {
    let (namespace, name) = service;
    let labels: Vec<&str> = host.split('.').collect();
    match labels.as_slice() {
        [own] => *own == name && namespace == from,
        [first, other] | [first, other, "svc", ..] if *first == name => *other == namespace,
        [pod, governing] => reach::is_ordinal(pod) && *governing == name && namespace == from,
        [pod, governing, other, ..] => reach::is_ordinal(pod) && *governing == name && *other == namespace,
        _ => false,
    }
}

/// The Services that a Pod is told to call.
#[must_use]
pub fn services<'s>(scene: &'s Scene<'_>, pod: &Pod) -> Vec<&'s Seen<Service>> {
    let hosts = hosts(scene.facts, pod);
    let from = pod.metadata.namespace.as_deref().unwrap_or_default();
    let is_told = |service: &&Seen<Service>| {
        let name = named(&service.object);
        hosts.iter().any(|host| means(host, (&name.namespace, &name.name), from))
    };
    scene.services.iter().filter(is_told).collect()
}

/// The Services that a Pod complains of without naming them: the databases that its pool of connections or its statements
/// wait for, whoever should take what its archiver or shipper cannot get rid of, whom it found no connection to, and who
/// answered what it passed on with errors.
#[must_use]
pub fn complained_of<'s>(scene: &'s Scene<'_>, pod: &Pod) -> Vec<&'s Seen<Service>> {
    let waits = reach::repeated(scene, pod, pool::tells).is_some();
    let keeps = reach::repeated(scene, pod, retained::tells).is_some() && reach::failing_calls(scene, pod).is_empty();
    let sought = sought(scene, pod);
    let behind = upstream::services(scene, pod);
    if !waits && !keeps && sought.is_empty() {
        return behind;
    }
    let from = pod.metadata.namespace.as_deref().unwrap_or_default();
    let is_sought = |service: &Service| {
        let name = named(service);
        sought.iter().any(|host| means(host, (&name.namespace, &name.name), from))
    };
    let meant =
        |service: &&Seen<Service>| (waits && is_database(&service.object)) || keeps || is_sought(&service.object);
    services(scene, pod).into_iter().filter(meant).chain(behind).collect()
}

/// The places a Pod may have failed to connect to, where its log names none of them.
fn sought(scene: &Scene<'_>, pod: &Pod) -> Vec<String> {
    if reach::ended_otherwise(pod) {
        return Vec::new();
    }
    let logs = reach::present_logs(scene, pod).into_iter();
    let nameless = logs.filter(|(_, text)| reach::names_nobody(text)).filter_map(|(_, text)| logs::culprit(text));
    nameless
        .filter(|line| reach::tells_of_no_connection(line))
        .flat_map(|line| fitting(scene.facts, pod, line))
        .collect()
}

fn is_database(service: &Service) -> bool {
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or(&[]);
    ports.iter().any(|port| DATABASES.contains(&port.port))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, container, patched, pod, service};

    #[test]
    fn a_host_means_a_service_by_its_name_and_by_its_pods() {
        let means = |host: &str| means(host, ("shop", "db"), "shop");
        assert!(means("db") && means("db.shop") && means("db.shop.svc.cluster.local"));
        assert!(means("db-0.db") && means("db-0.db.shop.svc"));
        assert!(!means("db.pay") && !means("db-0.db.pay.svc") && !means("my.db") && !means("db.shop.example.com"));
        assert!(!super::means("db", ("shop", "db"), "pay"), "another Namespace's");
    }

    #[test]
    fn a_line_that_names_nobody_may_mean_what_of_its_kind_the_pod_is_told() {
        assert!(KINDS.iter().all(|(client, told)| client.compiles() && told.compiles()) && HOLDS_HOST.compiles());
        let env = json!([{"name": "DB_HOST", "value": "orders-db"}, {"name": "DB_USER", "value": "app"},
            {"name": "REDIS_ADDR", "value": "cache.mq:6379"}, {"name": "BILLING_URL", "value": "http://billing/v1"},
            {"name": "LEVEL", "value": "info"}, {"name": "SELF", "value": "http://localhost:8080"}]);
        let told: Pod =
            serde_json::from_value(pod(json!({"spec": {"containers": [container(json!({"env": env}))]}}))).unwrap();
        let fits = |line: &str| fitting(&Facts::default(), &told, line);
        assert_eq!(fits("CommunicationsException: Communications link failure"), ["orders-db"]);
        assert_eq!(fits("JedisConnectionException: Failed to create socket."), ["cache.mq"]);
        assert_eq!(fits("java.net.ConnectException: Connection refused"), ["billing", "cache.mq", "orders-db"]);
        assert!(fits("kafka.errors.NoBrokersAvailable: NoBrokersAvailable").is_empty());
    }

    #[test]
    fn hosts_stand_in_addresses_or_alone() {
        assert_eq!(hosts_in("jdbc:mysql://db-main:3306/shop?useSSL=false"), ["db-main"]);
        assert_eq!(hosts_in("session-store"), ["session-store"]);
        assert_eq!(hosts_in("a: 1\nspring.redis.host: cache\n"), ["cache"]);
        assert!(hosts_in("-XX:MaxRAMPercentage=70 -XX:+UseG1GC").is_empty());
    }

    const WAITS: &str = "ERROR o.h.SqlExceptionHelper : HikariPool-1 - Connection is not available, request timed out after 30000ms (total=20, active=20, idle=0, waiting=43)\n";

    /// A Pod whose pool waits for connections, told by a ConfigMap to call a database that logs something.
    fn waiting(complaint: &str, address: &str, said: &str) -> World {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cart", "namespace": "shop"},
            "data": {"SPRING_DATASOURCE_URL": address}});
        let from = json!([{"configMapRef": {"name": "cart"}}]);
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]},
            "spec": {"containers": [container(json!({"envFrom": from}))]}});
        let stored: Value = json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "containers": [container(json!({"volumeMounts": [{"name": "data", "mountPath": "/var/lib/mysql"}]}))]}});
        let ports = json!({"spec": {"ports": [{"port": 3306, "targetPort": 8080}]}});
        World::asking("Deployment", "cart")
            .with(map)
            .with(pod(cart))
            .log("cart-1-a", &complaint.repeat(5))
            .with(patched(service(json!({"app": "web"})), ports))
            .with(pod(stored))
            .log("web-1-a", said)
    }

    const FULL: &str = "2026-11-23T02:57:51Z 4391022 [ERROR] [MY-000035] [Server] Disk is full writing './binlog.000731' (OS errno 28 - No space left on device). Waiting for someone to free space...";

    #[test]
    fn what_keeps_the_database_from_answering_explains_a_pool_that_is_used_up() {
        let cause = |complaint: &str| waiting(complaint, "jdbc:mysql://web:3306/shop", FULL).cause();
        assert_eq!(cause(WAITS), "volume_full PersistentVolumeClaim/data");
        let slow = "ERROR SQL Error: 1205, Lock wait timeout exceeded; try restarting transaction\n";
        assert_eq!(cause(slow), "volume_full PersistentVolumeClaim/data");
    }

    #[test]
    fn a_database_that_is_well_or_somebody_elses_leaves_the_pool_to_blame() {
        let pool = "connection_pool_exhausted Deployment/cart";
        assert_eq!(waiting(WAITS, "jdbc:mysql://web:3306/shop", "[System] ready for connections.").cause(), pool);
        assert_eq!(waiting(WAITS, "jdbc:mysql://other:3306/shop", FULL).cause(), pool);
    }
}
