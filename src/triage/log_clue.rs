//! What a log's own words ask for, whatever else is wrong: the ConfigMap it complains about, the Certificate that has expired,
//! the budget that refuses an eviction, the Deployment that holds all connections.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use super::follow;
use super::rows::{self, listed};
use super::seen::Seen;
use super::want::Want;
use crate::alert::ObjectRef;
use crate::playbook::analyzer::{connections, crash, disruption, mesh, supplier};
use crate::playbook::{awaited, latent, logs, origin, reach};

/// ConfigMaps, and Certificates, read for one log.
const MAPS_READ: usize = 2;

/// Last lines of a log in which an awaited object is looked for.
const LINES_AWAITED: usize = 20;

/// Pods read that could not be evicted.
const PODS_EVICTED: usize = 2;

/// Suppliers followed from one line, and kinds among which one is looked for.
const SUPPLIERS: usize = 2;

/// Rules of a mesh read for one proxy.
const RULES_READ: usize = 3;

/// Deployments read because they were scaled up lately, or because a version of theirs that is told the size of a pool is new.
const SCALED_READ: usize = 2;

/// New versions looked at for such a size.
const RELEASES_READ: usize = 4;

/// The objects that a Pod's log asks for.
#[must_use]
pub fn wants(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let mut wants = configured(seen, pod, lines);
    wants.extend(crowding(seen, pod, lines));
    wants.extend(certificates(seen, pod, lines));
    wants.extend(budgets(seen, lines));
    wants.extend(awaited_objects(seen, pod, lines));
    wants.extend(suppliers(seen, pod, lines));
    wants.extend(mesh_rules(seen, pod, lines));
    wants
}

/// The workloads that a log's decisive error names: what they should have made may be missing. They are listed where only a
/// name says which they are.
fn suppliers(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let Some(line) = logs::culprit(lines) else { return Vec::new() };
    let named = supplier::named_in(line, &pod.namespace).into_iter();
    named.take(SUPPLIERS).flat_map(|(kind, name)| look_for(seen, &pod.namespace, kind, &name)).collect()
}

fn look_for(seen: &Seen, namespace: &str, kind: Option<&str>, name: &str) -> Vec<Want> {
    let found = |kind: &&&str| seen.rows.contains_key(&ObjectRef::new(**kind, namespace, name));
    let kinds: Vec<&str> = supplier::KINDS.into_iter().filter(|it| kind.is_none_or(|kind| kind == *it)).collect();
    match kinds.iter().find(found) {
        Some(kind) => vec![Want::Object(ObjectRef::new(*kind, namespace, name))],
        None => kinds.iter().take(SUPPLIERS).filter_map(|kind| Want::list(kind, namespace)).collect(),
    }
}

/// What a mesh demands of who calls a Pod, where its proxy turns somebody away: the rules of the whole cluster are listed once.
fn mesh_rules(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    if !mesh::turns_away(lines) {
        return Vec::new();
    }
    let near = |row: &ObjectRef| row.namespace == pod.namespace || row.namespace == mesh::ROOT;
    let rules = rows::matching(seen, mesh::RULE, "", |row, _| near(row)).into_iter();
    Want::list(mesh::RULE, "").into_iter().chain(rules.take(RULES_READ).map(Want::Object)).collect()
}

/// The ConfigMaps whose contents a log complains about, a few: how they were changed past their applied copy stands in them.
fn configured(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let Some(read) = seen.facts.get::<Pod>(&pod.namespace, &pod.name) else { return Vec::new() };
    let maps = origin::maps_in_question(&read.object, lines).into_iter();
    maps.take(MAPS_READ).map(Want::Object).collect()
}

/// The Certificates beside a Service whose certificate a call found expired, where one is not ready.
fn certificates(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let expired = lines.lines().filter(|line| crash::tells_of_expiry(line));
    let namespace_of = |host: String| match host.split('.').collect::<Vec<_>>().as_slice() {
        [_] => Some(pod.namespace.clone()),
        [_, namespace, "svc", ..] => Some((*namespace).to_owned()),
        _ => None,
    };
    let Some(namespace) = expired.flat_map(reach::hosts).find_map(namespace_of) else { return Vec::new() };
    let unwell = rows::unwell(seen, "Certificate", &namespace).into_iter();
    Want::list("Certificate", &namespace).into_iter().chain(unwell.take(MAPS_READ).map(Want::Object)).collect()
}

/// What a log's last words of waiting name: the kind is listed, what is of that name is read, and of work that is awaited
/// without a name the Jobs called after such that have not done it. Secrets are never asked for.
fn awaited_objects(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    let told = lines.lines().rev().take(LINES_AWAITED);
    let read = seen.facts.get::<Pod>(&pod.namespace, &pod.name);
    let namespace = read.map_or_else(|| pod.namespace.clone(), |read| awaited::namespace_asked(&read.object));
    let named =
        told.clone().find_map(|line| awaited::object(line, &namespace)).filter(|named| named.object.kind != "Secret");
    let mut wants = Vec::new();
    if let Some(object) = named.map(|named| named.object) {
        wants.extend(Want::list(&object.kind, &object.namespace));
        wants.extend(seen.rows.contains_key(&object).then_some(Want::Object(object)));
    }
    if told.clone().any(awaited::awaits_work) {
        wants.extend(Want::list("Job", &pod.namespace));
        let jobs = rows::unfinished_jobs(seen, &pod.namespace).into_iter().filter(|job| awaited::is_worker(&job.name));
        wants.extend(jobs.take(MAPS_READ).map(Want::Object));
    }
    wants
}

/// The budgets that may have refused the evictions a log tells of, and the Pods concerned.
fn budgets(seen: &Seen, lines: &str) -> Vec<Want> {
    let of_pod = |pod: ObjectRef| {
        let list = Want::list("PodDisruptionBudget", &pod.namespace);
        let budgets = listed(seen, "PodDisruptionBudget", &pod.namespace);
        list.into_iter().chain(budgets).chain([Want::Object(pod)]).collect::<Vec<_>>()
    };
    disruption::refused(lines).into_iter().take(PODS_EVICTED).flat_map(of_pod).collect()
}

/// Who may hold the connections of a server that refuses further ones: the Deployments of the namespace that were scaled up
/// lately, and those whose new version is told the size of a pool. What the server is told of its limit may stand in a ConfigMap.
fn crowding(seen: &Seen, pod: &ObjectRef, lines: &str) -> Vec<Want> {
    if !lines.lines().any(connections::tells_of_refusal) {
        return Vec::new();
    }
    let grown = connections::scaled_up(seen.facts.events()).filter(|grown| grown.namespace == pod.namespace);
    let mut wants: Vec<Want> = grown.take(SCALED_READ).map(Want::Object).collect();
    wants.extend(Want::list("ReplicaSet", &pod.namespace));
    let released: Vec<ObjectRef> = rows::released(seen, &pod.namespace).into_iter().take(RELEASES_READ).collect();
    let pooled = released.iter().filter(|set| {
        let read = seen.facts.get::<ReplicaSet>(&set.namespace, &set.name);
        read.is_some_and(|read| connections::sets_pool(&read.object))
    });
    let owners = pooled.filter_map(|set| Some((set, seen.facts.raw(set)?.0)));
    let owners = owners.flat_map(|(set, value)| follow::owners(set, value).collect::<Vec<_>>());
    wants.extend(owners.take(SCALED_READ).map(Want::Object));
    wants.extend(released.iter().cloned().map(Want::Aside));
    let read = seen.facts.get::<Pod>(&pod.namespace, &pod.name);
    let maps = read.map(|read| latent::maps(&read.object)).unwrap_or_default();
    wants.extend(maps.into_iter().take(MAPS_READ).map(Want::Object));
    wants
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    /// What a line of a Pod with such a command asks for, where these objects are listed.
    fn asked(command: &str, line: &str, listed: &[(&str, &str, &str)]) -> Vec<Want> {
        let pod = ObjectRef::new("Pod", "a", "web-0");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&pod));
        let init = json!([{"name": "wait", "image": "kubectl", "command": ["sh", "-c", command]}]);
        let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "a"},
            "spec": {"initContainers": init, "containers": [{"name": "web"}]}});
        seen.facts.add_object(object, "E1");
        for (kind, name, done) in listed {
            let row = [("COMPLETIONS".to_owned(), (*done).to_owned())];
            seen.rows.insert(ObjectRef::new(*kind, "a", *name), row.into_iter().collect());
        }
        wants(&seen, &pod, line)
    }

    fn list(kind: &'static str, namespace: &str) -> Want {
        Want::List { kind, namespace: namespace.into() }
    }

    #[test]
    fn an_awaited_object_is_listed_and_then_read() {
        let line = "waiting for job/db-migrate to complete";
        let job = Want::Object(ObjectRef::new("Job", "a", "db-migrate"));
        let first = asked("kubectl wait job/db-migrate", line, &[]);
        assert!(first.contains(&list("Job", "a")) && !first.contains(&job), "{first:?}");
        let then = asked("kubectl wait job/db-migrate", line, &[("Job", "db-migrate", "0/1")]);
        assert!(then.contains(&job), "{then:?}");
    }

    #[test]
    fn it_is_looked_for_where_the_command_asks() {
        let wants = asked("kubectl -n platform get configmap flags", "waiting for configmap/flags", &[]);
        assert!(wants.contains(&list("ConfigMap", "platform")), "{wants:?}");
    }

    #[test]
    fn a_workload_that_the_decisive_error_names_is_listed_and_then_read() {
        let line = "ERROR lake: partition was never completed by its producer (a/orders-export)";
        let first = asked("true", line, &[]);
        assert!(first.contains(&list("CronJob", "a")), "{first:?}");
        let then = asked("true", line, &[("CronJob", "orders-export", "")]);
        assert_eq!(then, [Want::Object(ObjectRef::new("CronJob", "a", "orders-export"))]);
        assert!(asked("true", "INFO a/orders-export is done", &[]).is_empty(), "no error");
        assert!(asked("true", "ERROR b/orders-export is late", &[]).is_empty(), "of another namespace");
    }

    #[test]
    fn what_a_mesh_demands_is_read_where_its_proxy_turns_somebody_away() {
        let line = "\"- - -\" 0 NR filter_chain_not_found - 10.244.1.9:8080 10.244.2.8:50301";
        assert!(asked("true", line, &[]).contains(&list("PeerAuthentication", "")));
        let rule = Want::Object(ObjectRef::new("PeerAuthentication", "a", "default"));
        assert!(asked("true", line, &[("PeerAuthentication", "default", "")]).contains(&rule));
        assert!(asked("true", "\"GET / HTTP/1.1\" 200 - via_upstream", &[]).is_empty());
    }

    #[test]
    fn secrets_are_not_asked_for() {
        let wants = asked("kubectl get secret db", "waiting for secret/db", &[("Secret", "db", "")]);
        assert!(wants.is_empty(), "{wants:?}");
    }

    #[test]
    fn work_that_is_awaited_leads_to_the_jobs_that_do_such_and_have_not_done_it() {
        let jobs =
            [("Job", "orders-migrate", "Failed"), ("Job", "nightly-report", "Failed"), ("Job", "old-migrate", "1/1")];
        let wants = asked("until check; do sleep 2; done", "schema is at 41, need 42: waiting for migration", &jobs);
        let job = |name: &str| Want::Object(ObjectRef::new("Job", "a", name));
        assert!(wants.contains(&job("orders-migrate")), "{wants:?}");
        assert!(!wants.contains(&job("nightly-report")) && !wants.contains(&job("old-migrate")), "{wants:?}");
        assert!(asked("true", "INFO listening", &jobs).is_empty(), "nobody waits");
    }

    #[test]
    fn who_was_released_lately_with_a_pool_is_read_where_a_server_refuses_connections() {
        let pod = ObjectRef::new("Pod", "a", "web-0");
        let mut seen = Seen::new(Timestamp::UNIX_EPOCH, std::slice::from_ref(&pod));
        for (name, age, desired) in
            [("sync-2", "40m", "6"), ("mail-2", "50m", "2"), ("old-2", "9d", "2"), ("sync-1", "3d", "0")]
        {
            let cells = [("AGE", age), ("DESIRED", desired)];
            let row = cells.map(|(heading, cell)| (heading.to_owned(), cell.to_owned())).into_iter().collect();
            seen.rows.insert(ObjectRef::new("ReplicaSet", "a", name), row);
        }
        let refused = "FATAL:  sorry, too many clients already";
        let set = |name: &str| Want::Aside(ObjectRef::new("ReplicaSet", "a", name));
        assert_eq!(wants(&seen, &pod, refused), [list("ReplicaSet", "a"), set("sync-2"), set("mail-2")]);
        assert!(wants(&seen, &pod, "INFO ready").is_empty());
        for (app, variable) in [("sync", "DB_POOL_SIZE"), ("mail", "SMTP_PORT")] {
            let containers = json!([{"name": app, "env": [{"name": variable, "value": "40"}]}]);
            let owner =
                json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": app, "uid": "d", "controller": true}]);
            let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": format!("{app}-2"), "namespace": "a", "ownerReferences": owner},
                "spec": {"selector": {}, "template": {"spec": {"containers": containers}}}});
            seen.facts.add_object(set, "E1");
        }
        let deployment = |name: &str| Want::Object(ObjectRef::new("Deployment", "a", name));
        let then = wants(&seen, &pod, refused);
        assert!(then.contains(&deployment("sync")) && !then.contains(&deployment("mail")), "{then:?}");
    }
}
