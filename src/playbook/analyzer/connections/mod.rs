//! Servers out of connections, and the client that holds them: one that was scaled up, or whose newest version has a larger pool.

mod raised;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;

pub use self::raised::sets_pool;

use crate::alert::ObjectRef;
use crate::playbook::callees;
use crate::playbook::environment;
use crate::playbook::facts::{Seen, SeenEvent, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// How servers refuse further clients: PostgreSQL, PgBouncer, MySQL, Redis, MongoDB.
static REFUSAL: Pattern = Pattern::new(
    r"(?i)too many (?:clients|connections)|connection slots are reserved|no more connections allowed|max number of clients reached|max_client_conn|connection refused because too many open connections",
);
/// The Deployment controller's word for more replicas: `Scaled up replica set web-5c9d from 2 to 12`, before 1.30
/// `Scaled up replica set web-5c9d to 12 from 2`.
static GROWN: Pattern = Pattern::new(r"^Scaled up replica set (\S+) (?:from (\d+) to (\d+)|to (\d+) from (\d+))$");
/// Its word for fewer of them, likewise; very old ones do not say how many there were.
static SHRUNK: Pattern =
    Pattern::new(r"^Scaled down replica set (\S+) (?:from (\d+) to \d+|to \d+ from (\d+)|to (\d+))$");
/// What makes two steps of a Deployment parts of one rollout: that they are no further apart.
const ONE_ROLLOUT: SignedDuration = SignedDuration::from_mins(15);
const SCALING: &str = "ScalingReplicaSet";
/// By how much replicas must have grown, to one of so many before: less is an ordinary step.
const GROWTH: i64 = 2;

/// Whether a line says that a server takes no more clients.
#[must_use]
pub fn tells_of_refusal(line: &str) -> bool {
    REFUSAL.hits(line) && logs::is_error(line)
}

/// The Deployments that events say were scaled up to a multiple of what they were.
pub fn scaled_up(events: &[SeenEvent]) -> impl Iterator<Item = ObjectRef> + '_ {
    events.iter().filter(|event| growth(events, event).is_some()).map(|event| event.about.clone())
}

/// How many replicas there were and came to be, where the one is a multiple of the other. What a rollout gives its new
/// ReplicaSet it takes from the old ones: that is growth only where it is far more than these had.
fn growth(events: &[SeenEvent], event: &SeenEvent) -> Option<(i64, i64)> {
    let (set, before, now) = step_up(event)?;
    let rollout = |other: &&SeenEvent| {
        let apart = event.last_seen.zip(other.last_seen).map(|(one, other)| one.duration_since(other).abs());
        other.about == event.about && apart.is_none_or(|apart| apart <= ONE_ROLLOUT)
    };
    let beside = || events.iter().filter(rollout);
    let replaced = beside().filter_map(step_down).filter(|(other, _)| *other != set).map(|(_, from)| from).max();
    let is_new = beside().filter_map(step_up).any(|(other, from, _)| other == set && from == 0);
    if is_new && replaced.is_none() {
        return None;
    }
    let before = before.max(replaced.unwrap_or(0));
    (before > 0 && now >= before * GROWTH).then_some((before, now))
}

/// The ReplicaSet that got more replicas, from how many to how many.
fn step_up(event: &SeenEvent) -> Option<(String, i64, i64)> {
    let groups = GROWN.groups(&event.message).filter(|_| event.reason == SCALING)?;
    let figure = |one: usize, other: usize| groups.get(one).or_else(|| groups.get(other))?.as_str().parse::<i64>().ok();
    Some((groups.get(1)?.as_str().to_owned(), figure(2, 5)?, figure(3, 4)?))
}

/// The ReplicaSet that got fewer replicas, and how many it had.
fn step_down(event: &SeenEvent) -> Option<(String, i64)> {
    let groups = SHRUNK.groups(&event.message).filter(|_| event.reason == SCALING)?;
    let figure = |at: usize| groups.get(at)?.as_str().parse::<i64>().ok();
    let had = figure(2).or_else(|| figure(3)).or_else(|| Some(figure(4)? + 1))?;
    Some((groups.get(1)?.as_str().to_owned(), had))
}

/// A server that refuses connections, who says so, and who calls it.
struct Crowd<'s> {
    server: &'s Seen<Pod>,
    own: ObjectRef,
    services: Vec<ObjectRef>,
    clients: Vec<&'s Seen<Pod>>,
    log: &'s SeenLog,
    line: &'s str,
}

/// Findings about clients that hold the connections of a server which refuses further ones.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut told = scene.current_pods().map(|pod| reach::repeated(scene, &pod.object, tells_of_refusal));
    if !told.any(|told| told.is_some()) {
        return Vec::new();
    }
    scene.current_pods().filter_map(|server| crowded(scene, server)).collect()
}

fn crowded(scene: &Scene<'_>, server: &Seen<Pod>) -> Option<Finding> {
    let own = scene.workload(&server.object);
    let services: Vec<ObjectRef> = scene
        .services
        .iter()
        .filter(|service| scene.backends(&service.object).iter().any(|pod| named(&pod.object) == named(&server.object)))
        .map(|service| named(&service.object))
        .collect();
    let mut clients: Vec<&Seen<Pod>> = scene.current_pods().filter(|pod| calls(scene, pod, &services)).collect();
    clients.retain(|pod| scene.workload(&pod.object) != own);
    let says = |pod: &Seen<Pod>| reach::repeated(scene, &pod.object, tells_of_refusal);
    let told = says(server);
    // What a client passes on of another server is no word about this one: it leads to a pool that was raised, no further.
    let passed_on = || clients.iter().filter(|client| means(scene, client, &services)).find_map(|client| says(client));
    let is_own = told.is_some();
    let (log, line, _) = told.or_else(passed_on)?;
    let crowd = Crowd { server, own, services, clients, log, line };
    raised::explain(scene, &crowd).or_else(|| is_own.then(|| grown(scene, &crowd))?)
}

/// Whether a Pod is told to call one of these Services.
fn calls(scene: &Scene<'_>, pod: &Seen<Pod>, services: &[ObjectRef]) -> bool {
    let named_by = |it: &ObjectRef| environment::naming(&pod.object, &it.name).is_some();
    services.iter().any(named_by)
        || callees::services(scene, &pod.object).iter().any(|it| services.contains(&named(&it.object)))
}

/// Whether the refusals a client tells of can only be those of these Services: it is told to call no other server of that kind.
fn means(scene: &Scene<'_>, client: &Seen<Pod>, services: &[ObjectRef]) -> bool {
    let Some((_, line, _)) = reach::repeated(scene, &client.object, tells_of_refusal) else { return false };
    let namespace = client.object.metadata.namespace.as_deref().unwrap_or_default();
    let hosts = callees::fitting(scene.facts, &client.object, line);
    let is_one = |host: &String| services.iter().any(|it| callees::means(host, (&it.namespace, &it.name), namespace));
    !hosts.is_empty() && hosts.iter().all(is_one)
}

fn grown(scene: &Scene<'_>, crowd: &Crowd<'_>) -> Option<Finding> {
    let Crowd { server, own, services, clients, log, line } = crowd;
    let events = scene.facts.events();
    let (event, client, (before, now)) = events.iter().find_map(|event| {
        let client = clients.iter().find(|pod| scene.workload(&pod.object) == event.about)?;
        Some((event, *client, growth(events, event)?))
    })?;
    let workload = scene.workload(&client.object);
    let service = services.first()?;
    let headline = scene.text(
        format!("{workload} 从 {before} 个副本扩容到 {now} 个后，{own} 的连接数（connections）用尽，拒绝新连接"),
        format!("{own} is out of connections and refuses new ones, since {workload} was scaled from {before} to {now} replicas"),
    );
    let summary = scene.text(
        format!("{headline}，日志：{}。", logs::said(line)),
        format!("{headline}; its log: {}.", logs::said(line)),
    );
    Some(
        Finding::new("dependency_connections_exhausted", Depth::Root, &named(&server.object), &workload, headline)
            .summary(summary)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&log.reference, line), scene.quote_event(event)])
            .touches(clients.iter().map(|pod| scene.workload(&pod.object)))
            .touches([own.clone(), service.clone()])
            .unresolved(scene.text(
                format!("{workload} 每个副本的连接池有多大？"),
                format!("How large is the connection pool of each replica of {workload}?"),
            ))
            .steps([
                look(
                    scene.text("查看客户端的副本数与连接池配置", "See the client's replicas and its pool's size"),
                    kubectl(&workload.namespace, &format!("describe {}", slash(&workload))),
                ),
                change(
                    scene.text(
                        format!("把 {workload} 缩回 {before} 个副本，或减小它的连接池"),
                        format!("Scale {workload} back to {before} replicas, or make its pool smaller"),
                    ),
                    "",
                    Some(kubectl(&workload.namespace, &format!("scale {} --replicas={before}", slash(&workload)))),
                ),
            ]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, pod, service};

    const REFUSED: &str = "FATAL:  sorry, too many clients already\n";

    fn client(name: &str, env: Value) -> Value {
        pod(
            json!({"metadata": {"name": format!("{name}-1-a"), "labels": {"app": name}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": format!("{name}-1"), "uid": "c", "controller": true}]},
            "spec": {"containers": [container(json!({"env": env}))]}}),
        )
    }

    fn world(scaled: &str, lines: usize) -> World {
        World::asking("Service", "web")
            .with(service(json!({"app": "web"})))
            .with(pod(json!({})))
            .log("web-1-a", &REFUSED.repeat(lines))
            .with(client("importer", json!([{"name": "DATABASE_URL", "value": "postgres://web:5432/x"}])))
            .event("Deployment", "importer", "ScalingReplicaSet", scaled)
    }

    #[test]
    fn a_client_that_was_scaled_up_holds_the_connections() {
        for scaled in ["Scaled up replica set importer-1 from 2 to 12", "Scaled up replica set importer-1 to 12 from 2"]
        {
            assert_eq!(world(scaled, 6).cause(), "dependency_connections_exhausted Deployment/importer");
        }
    }

    #[test]
    fn an_ordinary_step_a_first_rollout_and_one_who_does_not_call_it_are_not_blamed() {
        for scaled in ["Scaled up replica set importer-1 from 3 to 4", "Scaled up replica set importer-1 from 0 to 2"] {
            assert!(!world(scaled, 6).codes().contains(&"dependency_connections_exhausted"), "{scaled}");
        }
        let other = world("Scaled down replica set importer-1 from 4 to 2", 6)
            .with(client("mailer", json!([{"name": "SMTP", "value": "mail:25"}])))
            .event("Deployment", "mailer", "ScalingReplicaSet", "Scaled up replica set mailer-1 from 2 to 12");
        assert!(!other.codes().contains(&"dependency_connections_exhausted"));
    }

    #[test]
    fn the_surge_of_a_rollout_is_no_growth_and_a_release_with_many_more_replicas_is() {
        let up = |from: u32, to: u32| format!("Scaled up replica set importer-2 from {from} to {to}");
        let down = |from: u32, to: u32| format!("Scaled down replica set importer-1 from {from} to {to}");
        let rolled = |steps: &[String]| {
            let told = |world: World, step: &String| world.event("Deployment", "importer", "ScalingReplicaSet", step);
            let world = steps.iter().fold(world("Scaled up replica set importer-1 from 0 to 1", 6), told);
            world.codes().contains(&"dependency_connections_exhausted")
        };
        assert!(!rolled(&[up(0, 1), down(2, 1), up(1, 2), down(1, 0)]));
        assert!(!rolled(&[up(0, 1), up(1, 2)]), "the old ones wait");
        assert!(
            !rolled(&[up(1, 2), "Scaled down replica set importer-1 to 1".to_owned()]),
            "as old controllers say it"
        );
        assert!(rolled(&[up(0, 1), down(2, 1), up(1, 12), down(1, 0)]));
    }

    #[test]
    fn one_refusal_is_no_crowd() {
        let world = world("Scaled up replica set importer-1 from 2 to 12", 1);
        assert!(!world.codes().contains(&"dependency_connections_exhausted"));
    }
}
