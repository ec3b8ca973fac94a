//! Servers out of connections, and the client that was scaled up and now holds them.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::environment;
use crate::playbook::facts::{Seen, SeenEvent};
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
static GROWN: Pattern = Pattern::new(r"^Scaled up replica set \S+ (?:from (\d+) to (\d+)|to (\d+) from (\d+))$");
/// By how much replicas must have grown, to one of so many before: less is an ordinary step.
const GROWTH: i64 = 2;

/// Whether a line says that a server takes no more clients.
#[must_use]
pub fn tells_of_refusal(line: &str) -> bool {
    REFUSAL.hits(line) && logs::is_error(line)
}

/// The Deployments that events say were scaled up to a multiple of what they were.
pub fn scaled_up(events: &[SeenEvent]) -> impl Iterator<Item = ObjectRef> + '_ {
    events.iter().filter(|event| growth(event).is_some()).map(|event| event.about.clone())
}

/// How many replicas there were and came to be, where the one is a multiple of the other.
fn growth(event: &SeenEvent) -> Option<(i64, i64)> {
    let groups = GROWN.groups(&event.message).filter(|_| event.reason == "ScalingReplicaSet")?;
    let figure = |one: usize, other: usize| groups.get(one).or_else(|| groups.get(other))?.as_str().parse::<i64>().ok();
    let (before, now) = (figure(1, 4)?, figure(2, 3)?);
    (before > 0 && now >= before * GROWTH).then_some((before, now))
}

/// Findings about clients that were scaled up, where the server they call refuses further connections.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|server| crowded(scene, server)).collect()
}

fn crowded(scene: &Scene<'_>, server: &Seen<Pod>) -> Option<Finding> {
    let (log, line, _) = reach::repeated(scene, &server.object, tells_of_refusal)?;
    // The words of a client that passes them on are no server's.
    let services: Vec<ObjectRef> = scene
        .services
        .iter()
        .filter(|service| scene.backends(&service.object).iter().any(|pod| named(&pod.object) == named(&server.object)))
        .map(|service| named(&service.object))
        .collect();
    let calls = |pod: &&Seen<Pod>| services.iter().any(|it| environment::naming(&pod.object, &it.name).is_some());
    let own = scene.workload(&server.object);
    let mut clients: Vec<&Seen<Pod>> = scene.current_pods().filter(calls).collect();
    clients.retain(|pod| scene.workload(&pod.object) != own);
    let (event, client, (before, now)) = scene.facts.events().iter().find_map(|event| {
        let client = clients.iter().find(|pod| scene.workload(&pod.object) == event.about)?;
        Some((event, *client, growth(event)?))
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
    fn one_refusal_is_no_crowd() {
        let world = world("Scaled up replica set importer-1 from 2 to 12", 1);
        assert!(!world.codes().contains(&"dependency_connections_exhausted"));
    }
}
