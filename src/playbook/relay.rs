//! Relay: errors that a client passes on in the words of the server it calls. The same words in the server's own log say
//! where they come from.

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::playbook::environment;
use crate::playbook::facts::Seen;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};

/// The shortest words that two logs share by more than chance, in bytes.
const SHARED: usize = 24;

/// A server's own trouble, as it tells its clients. What it refuses for their sake (a password, a table that does not
/// exist) is theirs and not among it.
static TROUBLE: Pattern = Pattern::new(
    r"(?i)no space left on device|shared memory|too many (?:clients|connections)|connection slots are reserved|oom command not allowed|misconf redis|read-only (?:transaction|replica|file ?system)|could not (?:write|extend|fsync|open) file|database system is (?:starting up|in recovery|shutting down)|clusterdown|no (?:elected )?leader|not enough (?:in-sync )?replicas|disk (?:is )?full|out of memory",
);
/// How drivers mark what the server said.
static DRIVER: Pattern = Pattern::new(
    r"(?i)\bpq: |\bpsycopg|\bsqlstate\b|org\.postgresql|\bPG::|\bpgx?: |replyerror|mysql2?::|\bsqlalchemy|com\.mysql",
);

/// Whether a line tells of a server's own trouble.
#[must_use]
pub fn tells_of_trouble(line: &str) -> bool {
    TROUBLE.hits(line)
}

/// Whether a line is marked as what another side said.
#[must_use]
pub fn is_passed_on(line: &str) -> bool {
    DRIVER.hits(line)
}

/// The Services that a Pod's variables name and whose Pods log the very words it complains in.
#[must_use]
pub fn sources<'s>(scene: &'s Scene<'_>, pod: &Pod) -> Vec<&'s Seen<Service>> {
    let complaints: Vec<&str> = lines(scene, pod).into_iter().filter(|line| tells_of_trouble(line)).collect();
    if complaints.is_empty() {
        return Vec::new();
    }
    let namespace = pod.metadata.namespace.as_deref();
    let named_by = |service: &&Seen<Service>| {
        let name = named(&service.object);
        let host = if namespace == Some(name.namespace.as_str()) {
            name.name
        } else {
            format!("{}.{}", name.name, name.namespace)
        };
        environment::naming(pod, &host).is_some()
    };
    let says_it = |service: &&Seen<Service>| {
        let behind = scene.backends(&service.object);
        let others = behind.into_iter().filter(|other| named(&other.object) != named(pod));
        others
            .flat_map(|other| lines(scene, &other.object))
            .any(|said| complaints.iter().any(|line| shares(line, said)))
    };
    scene.services.iter().filter(named_by).filter(says_it).collect()
}

fn lines<'a>(scene: &Scene<'a>, pod: &Pod) -> Vec<&'a str> {
    let logs = reach::present_logs(scene, pod).into_iter();
    logs.flat_map(|(_, text)| text.lines()).filter(|line| logs::is_error(line) && !logs::instructs(line)).collect()
}

/// Whether one line holds what another says after some colon of its own.
fn shares(complaint: &str, said: &str) -> bool {
    let ends = said.match_indices(": ").map(|(at, mark)| said[at + mark.len()..].trim());
    tells_of_trouble(said) && ends.filter(|end| end.len() >= SHARED).any(|end| complaint.contains(end))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::world::{World, container, patched, pod, service};

    #[test]
    fn every_pattern_compiles() {
        assert!(TROUBLE.compiles() && DRIVER.compiles());
    }

    fn calling(complaint: &str, said: &str) -> World {
        let env = json!([{"name": "PGHOST", "value": "web"}]);
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "spec": {"containers": [container(json!({"env": env}))]}});
        World::asking("Pod", "cart-1-a")
            .with(patched(pod(json!({})), cart))
            .log("cart-1-a", &format!("{complaint}\n").repeat(8))
            .with(service(json!({"app": "web"})))
            .with(pod(json!({})))
            .log("web-1-a", &format!("{said}\n").repeat(8))
    }

    const TROUBLED: &str = "FATAL:  sorry, too many clients already for this server";

    #[test]
    fn the_server_whose_words_are_passed_on_is_blamed() {
        let world = calling("ERROR GET /cart: pq: sorry, too many clients already for this server", TROUBLED);
        assert_eq!(world.cause(), "application_errors Deployment/web");
    }

    #[test]
    fn a_server_of_another_namespace_is_found_by_its_whole_name() {
        let server = |host: &str| {
            let env = json!([{"name": "DATABASE_URL", "value": format!("postgres://{host}:5432/shop")}]);
            let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": null},
                "spec": {"containers": [container(json!({"env": env}))]}});
            let there = |object| patched(object, json!({"metadata": {"namespace": "data", "ownerReferences": null}}));
            World::asking("Pod", "cart-1-a")
                .with(patched(pod(json!({})), cart))
                .log("cart-1-a", &"ERROR GET /cart: pq: sorry, too many clients already for this server\n".repeat(8))
                .with(there(service(json!({"app": "web"}))))
                .with(there(pod(json!({}))))
                .log_in("data", "web-1-a", &format!("{TROUBLED}\n").repeat(8))
        };
        assert_eq!(server("web.data.svc").diagnosis().causes[0].resource.namespace, "data");
        assert_eq!(server("web").diagnosis().causes[0].resource.namespace, "shop", "that is one of its own namespace");
    }

    #[test]
    fn other_words_and_what_is_the_clients_own_blame_nobody_else() {
        let other = calling("ERROR GET /cart: pq: sorry, too many clients already for this server", "LOG:  ready");
        assert_eq!(other.cause(), "application_errors Deployment/cart");
        let own = calling(
            "ERROR pool: pq: password authentication failed for user \"shop\"",
            "FATAL:  password authentication failed for user \"shop\"",
        );
        assert_eq!(own.cause(), "dependency_credentials_refused Deployment/cart");
    }
}
