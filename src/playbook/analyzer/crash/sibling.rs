//! Siblings: a container that is refused on its own machine, at a port that another container of its Pod serves and does not
//! come up.

use k8s_openapi::api::core::v1::Pod;

use crate::playbook::facts::Seen;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};

/// A port of the machine itself.
static LOCAL: Pattern = Pattern::new(r"(?i)(?:^|[^\w.-])(?:127\.0\.0\.1|localhost|\[?::1\]?):(\d{2,5})\b");

/// What common companions listen on where nothing declares it.
const KNOWN: [(&str, i32); 9] = [
    ("pgbouncer", 6432),
    ("postgres", 5432),
    ("mysql", 3306),
    ("redis", 6379),
    ("memcached", 11211),
    ("rabbitmq", 5672),
    ("nginx", 80),
    ("vault-agent", 8200),
    ("opa", 8181),
];

/// A container that another one waits for.
pub(super) struct Sibling {
    /// Its name.
    pub name: String,
    /// The port it should serve.
    pub port: i32,
}

/// The container of a Pod on which a failing one depends: it ended over a connection to a port of the Pod that this one, which
/// fails itself, should serve.
pub(super) fn behind(scene: &Scene<'_>, pod: &Seen<Pod>, view: &ContainerView<'_>) -> Option<Sibling> {
    let port = refused_at(scene, pod, view)?;
    let views = pods::containers(&pod.object);
    let others: Vec<&ContainerView<'_>> =
        views.iter().filter(|other| !other.init && other.name() != view.name()).collect();
    let declares = |view: &ContainerView<'_>| view.spec.ports.iter().flatten().any(|it| it.container_port == port);
    let own = views.iter().filter(|it| it.name() == view.name()).any(declares);
    let knows = |view: &ContainerView<'_>| {
        KNOWN
            .iter()
            .any(|(program, known)| *known == port && (view.name().contains(program) || view.image().contains(program)))
    };
    let only = || others.first().filter(|it| others.len() == 1 && it.spec.ports.iter().flatten().next().is_none());
    let found = others.iter().find(|it| declares(it)).or_else(|| others.iter().find(|it| knows(it)));
    let found = found.or_else(only).filter(|_| !own)?;
    let fails = found.failing(scene.facts.now)
        || matches!(found.waiting_reason(), "ErrImagePull" | "ImagePullBackOff" | "CreateContainerConfigError");
    // Two that wait for one another explain nothing.
    (fails && refused_at(scene, pod, found).is_none()).then(|| Sibling { name: found.name().to_owned(), port })
}

/// The port of its own machine that a container gave up over.
fn refused_at(scene: &Scene<'_>, pod: &Seen<Pod>, view: &ContainerView<'_>) -> Option<i32> {
    scene.logs(&named(&pod.object), view.name()).into_iter().find_map(|log| {
        let text = log.lines.as_deref().ok()?;
        let line = logs::culprit(text).filter(|line| reach::tells_of_no_connection(line))?;
        let local = |line: &str| LOCAL.group(line, 1)?.parse().ok();
        // A line that names another place is about that.
        local(line).or_else(|| {
            reach::hosts(line).is_empty().then(|| reach::named_beside(text))?.and_then(|(line, _)| local(line))
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, container, pod};

    const APP: &str = "2026-11-23T02:59:27Z ERROR HikariPool-1 - Exception during pool initialization.\norg.postgresql.util.PSQLException: Connection to 127.0.0.1:6432 refused. Check that the hostname and port are correct.\n\tat org.postgresql.core.v3.ConnectionFactoryImpl.openConnectionImpl(ConnectionFactoryImpl.java:352)\nCaused by: java.net.ConnectException: Connection refused\n\t... 52 common frames omitted";
    const POOLER: &str = "ERROR syntax error in configuration (/etc/pgbouncer/pgbouncer.ini:9), stopping loading file\nFATAL cannot load config file";

    fn pair(app: &str, port: i32, fails: bool) -> World {
        let ended = json!({"terminated": {"exitCode": 1, "reason": "Error", "startedAt": "2026-11-23T02:58:20Z", "finishedAt": "2026-11-23T02:59:00Z"}});
        let crashing = |name: &str| {
            json!({"name": name, "image": "x", "imageID": "", "ready": false, "restartCount": 7,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}, "lastState": ended})
        };
        let well: Value = json!({"name": "pool", "image": "x", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-11-23T01:00:00Z"}}});
        let pool = json!({"name": "pool", "image": "reg/pooler:1", "ports": [{"containerPort": port}]});
        let world =
            World::asking("Pod", "web-1-a").with(pod(json!({"spec": {"containers": [container(json!({})), pool]},
            "status": {"conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [crashing("web"), if fails { crashing("pool") } else { well }]}})));
        world.log("web-1-a", app).log_of("web-1-a", "pool", if fails { POOLER } else { "LOG process up" })
    }

    #[test]
    fn the_container_that_serves_the_port_is_the_cause_and_its_caller_the_consequence() {
        let told = pair(APP, 6432, true).diagnosis();
        assert!(
            told.headline.contains("container pool") && told.headline.contains("syntax error"),
            "{}",
            told.headline
        );
        assert_eq!(told.causes.len(), 1, "{:?}", told.causes);
        let effect = told.primary.findings.iter().any(|it| it.contains("container pool of the same Pod"));
        assert!(effect, "{:?}", told.primary.findings);
    }

    #[test]
    fn a_companion_that_is_well_and_one_with_another_port_are_not_blamed() {
        for world in [pair(APP, 6432, false), pair(APP, 9090, true)] {
            let told = format!("{:?}", world.diagnosis());
            assert!(!told.contains("container pool of the same Pod"), "{told}");
        }
        let elsewhere = APP.replace("127.0.0.1", "db.data.svc");
        assert!(!format!("{:?}", pair(&elsewhere, 6432, true).diagnosis()).contains("container pool of the same Pod"));
    }

    #[test]
    fn an_exception_alone_is_no_headline_where_a_line_names_the_address() {
        let told = pair(APP, 6432, false).diagnosis();
        assert!(told.headline.contains("127.0.0.1:6432"), "{}", told.headline);
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(LOCAL.compiles());
    }
}
