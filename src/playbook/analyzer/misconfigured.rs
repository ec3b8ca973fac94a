//! Callers that are told the name of a Service nobody has: by a ConfigMap that misspells it, or by a variable given twice.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::environment::{self, Variable};
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::near::abbreviates;
use crate::playbook::reach::Call;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{drift, latent, logs, protocol};
use crate::report::Confidence;

/// A ConfigMap of the caller that names the missing Service, and was changed to it since it was applied, or is a letter away
/// from one that exists.
pub(super) fn by_map(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    call: &Call<'_>,
    missing: &ObjectRef,
    near: &[String],
) -> Option<Finding> {
    let (map, key, reference) = told_by(scene, &pod.object, |text| environment::has_word(text, &missing.name))?;
    let changed = drift::changes(scene, &map).into_iter().find(|change| change.path == format!("data.{key}"));
    let hint = match (&changed, near.first()) {
        (Some(change), _) => {
            let told = drift::told(scene.lang, change);
            scene.text(format!("（apply 之后被改过：{told}）"), format!(" (changed since it was applied: {told})"))
        }
        (None, Some(near)) => {
            scene.text(format!("，而存在的是 {near}"), format!(", while the one that exists is {near}"))
        }
        (None, None) => return None,
    };
    let (workload, wrong) = (scene.workload(&pod.object), &missing.name);
    let headline = scene.text(
        format!("{map} 的 {key} 写的是 {wrong}，该 Service 不存在{hint}；{workload} 因此解析不到它"),
        format!("{map} names {wrong} in {key}, a Service that does not exist{hint}; so {workload} cannot resolve it"),
    );
    Some(
        Finding::new("configmap_names_missing_service", Depth::Root, &named(&pod.object), &map, headline)
            .confidence(if changed.is_some() || is_misspelt(scene, missing, near) {
                Confidence::High
            } else {
                Confidence::Medium
            })
            .cite([scene.quote(&call.log.reference, call.line), scene.quote_line(&reference, &[wrong])])
            .touches([workload.clone(), missing.clone()])
            .steps([
                look(
                    scene.text("查看该 ConfigMap", "Read the ConfigMap"),
                    kubectl(&map.namespace, &format!("get configmap {} -o yaml", map.name)),
                ),
                change(
                    scene.text(format!("更正 {map} 中的 {key}"), format!("Correct {key} in {map}")),
                    scene.text(
                        "环境变量只在 Pod 启动时读取：更正后重启使用它的工作负载",
                        "Variables are read when a Pod starts: restart what uses it afterwards",
                    ),
                    Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
                ),
            ]),
    )
}

/// The ConfigMap from which a Pod takes a text that says something, with its key and its evidence.
pub(super) fn told_by(
    scene: &Scene<'_>,
    pod: &Pod,
    says: impl Fn(&str) -> bool,
) -> Option<(ObjectRef, String, String)> {
    latent::maps(pod).into_iter().find_map(|map| {
        let (value, reference) = scene.facts.raw(&map)?;
        let data = value.get("data")?.as_object()?;
        let key = data.iter().find(|(_, text)| text.as_str().is_some_and(&says))?.0.clone();
        Some((map, key, reference.to_owned()))
    })
}

/// The ConfigMap that tells a Pod to call a port of one of these hosts, in one value or in two, with the key that has the
/// port and its evidence.
pub(super) fn calling(
    scene: &Scene<'_>,
    pod: &Pod,
    hosts: &[String],
    port: i32,
) -> Option<(ObjectRef, String, String)> {
    let together = |text: &str| hosts.iter().any(|host| protocol::names(text, host, port));
    told_by(scene, pod, together).or_else(|| {
        let alone = told_by(scene, pod, |text| text.trim() == port.to_string())?;
        let beside = told_by(scene, pod, |text| hosts.iter().any(|host| environment::has_word(text, host)))?;
        Some(alone).filter(|(map, ..)| *map == beside.0)
    })
}

/// Whether a missing Service's name is a slip of the pen for one that exists, and that has somebody to answer as far as is
/// known.
fn is_misspelt(scene: &Scene<'_>, missing: &ObjectRef, near: &[String]) -> bool {
    let meant = near.iter().find(|name| is_slip(&missing.name, name));
    meant.is_some_and(|name| scene.backends_ready(&ObjectRef::new("Service", &missing.namespace, name)) != Some(0))
}

/// A variable that is given twice names what does not exist, while the value it hides may be the one that is meant.
pub(super) fn given_twice(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    call: &Call<'_>,
    missing: &ObjectRef,
    variable: &Variable<'_>,
) -> Option<Finding> {
    let hidden = variable.hidden.iter().find(|value| !value.is_empty() && **value != variable.value)?;
    let workload = scene.workload(&pod.object);
    let (name, container) = (variable.name, variable.container);
    let (value, hidden) = (logs::shorten(variable.value, 60), logs::shorten(hidden, 60));
    let headline = scene.text(
        format!("{workload} 的容器 {container} 两次设置环境变量 {name}，后者 {value} 生效并遮住了 {hidden}；{value} 指向的 Service 不存在"),
        format!("{workload} sets variable {name} of container {container} twice: {value} wins and hides {hidden}, and there is no such Service"),
    );
    Some(
        Finding::new("env_name_repeated", Depth::Root, &named(&pod.object), &workload, headline)
            .cite([
                scene.quote(&call.log.reference, call.line),
                scene.quote_any(&pod.reference, &[&format!("value: {}", variable.value), &format!("name: {name}")]),
            ])
            .touches([missing.clone()])
            .steps([
                look(
                    scene.text("查看容器的环境变量", "Read the container's variables"),
                    kubectl(&workload.namespace, &format!("get {} -o yaml", slash(&workload))),
                ),
                change(
                    scene.text(
                        format!("只保留一个 {name}，取值为真正存在的 Service"),
                        format!("Keep one {name}, with a Service that exists"),
                    ),
                    "",
                    edit_template(&workload),
                ),
            ]),
    )
}

/// How many letters a slip of the pen changes, and the shortest name in which two are one.
const SLIP: (usize, usize) = (2, 6);

/// The caller's own template writes the name of a Service that exists wrongly: the template has to change, not the Service.
pub(super) fn misspelt(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    call: &Call<'_>,
    missing: &ObjectRef,
    near: &[String],
) -> Option<Finding> {
    let wrong = &missing.name;
    let variable = environment::naming(&pod.object, wrong);
    if variable.is_none() && !environment::commanded(&pod.object, wrong) {
        return None;
    }
    let slip = near.iter().find(|name| is_slip(wrong, name)).cloned();
    let like = |name: &&String| is_akin(wrong, name) || is_shortened(wrong, name);
    let beside = variable.as_ref().and_then(|variable| beside(scene, &pod.object, variable, wrong));
    let is_slip = slip.is_some();
    let meant = slip.or(beside).or_else(|| near.iter().find(like).cloned())?;
    let meant = ObjectRef::new("Service", &missing.namespace, meant);
    let ready = scene.backends_ready(&meant);
    // Of a name that is merely like another the Service may be what is missing.
    let is_sure = is_slip && ready != Some(0);
    let workload = scene.workload(&pod.object);
    let place = match &variable {
        Some(Variable { name, container, .. }) => scene
            .text(format!("容器 {container} 的环境变量 {name}"), format!("variable {name} of container {container}")),
        None => scene.text("容器的启动命令", "its command"),
    };
    let headline = scene.text(
        format!("{workload} 在{place}中把 Service 名写成了 {wrong}，该 Service 不存在，而存在的是 {}；域名无法解析", meant.name),
        format!("{workload} names {wrong} in {place}, a Service that does not exist (the one that does is {}), so the name does not resolve", meant.name),
    );
    Some(
        Finding::new("dependency_host_misspelt", Depth::Root, &named(&pod.object), &workload, headline)
            .confidence(if is_sure { Confidence::High } else { Confidence::Medium })
            .cite([scene.quote(&call.log.reference, call.line), scene.quote_line(&pod.reference, &[wrong])])
            .cite([scene.facts.absent(missing).cloned()])
            .touches([missing.clone(), meant.clone()])
            .steps([
                look(
                    scene.text("查看该 Namespace 中的 Service", "List the Services of that namespace"),
                    kubectl(&missing.namespace, "get services"),
                ),
                change(
                    scene.text(
                        format!("把{place}中的 {wrong} 改为 {}", meant.name),
                        format!("Change {wrong} to {} in {place}", meant.name),
                    ),
                    "",
                    edit_template(&workload),
                ),
            ]),
    )
}

/// The Service that another container of the Pod is told by a variable of the same name, that exists, and whose name begins
/// with the same word: another database is none that was meant.
fn beside(scene: &Scene<'_>, pod: &Pod, variable: &Variable<'_>, wrong: &str) -> Option<String> {
    let of_sibling = |other: &Variable<'_>| other.name == variable.name && other.container != variable.container;
    let told: Vec<&str> = environment::variables(pod).into_iter().filter(of_sibling).map(|other| other.value).collect();
    let alike = |name: &String| name.split('-').next() == wrong.split('-').next();
    let is_told = |name: &String| told.iter().any(|value| environment::has_word(value, name));
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    services(scene, namespace).filter(|name| alike(name) && is_told(name)).max_by_key(String::len)
}

/// The names of a namespace's Services that were read or listed.
fn services(scene: &Scene<'_>, namespace: &str) -> impl Iterator<Item = String> {
    let names = scene.facts.names().into_iter();
    names.filter(move |it| it.kind == "Service" && it.namespace == namespace).map(|it| it.name)
}

/// The Services of the namespace whose names are made of the same words as a missing one's, in whatever order: the wrong name
/// says more (`orders-db-primary` for `orders-db`, or for `db-orders`).
pub(super) fn akin(scene: &Scene<'_>, missing: &ObjectRef) -> Vec<String> {
    services(scene, &missing.namespace).filter(|name| is_akin(&missing.name, name)).collect()
}

/// Whether a name has all the words of another, two or more, and what it has beside them is no version.
fn is_akin(wrong: &str, right: &str) -> bool {
    let words = |name: &'_ str| name.split('-').map(str::to_owned).collect::<Vec<_>>();
    let (wrong, right) = (words(wrong), words(right));
    let is_version = |word: &String| word.trim_start_matches('v').chars().all(|letter| letter.is_ascii_digit());
    let more: Vec<&String> = wrong.iter().filter(|word| !right.contains(word)).collect();
    right.len() > 1
        && wrong != right
        && right.iter().all(|word| wrong.contains(word))
        && !more.into_iter().any(is_version)
}

/// Whether two names are made of the same words, of which one has some cut short (`shop-pg`, `shop-postgres`).
fn is_shortened(wrong: &str, right: &str) -> bool {
    let words = wrong.split('-').count();
    let alike = |(one, other): (&str, &str)| one == other || abbreviates(one, other) || abbreviates(other, one);
    words > 1 && words == right.split('-').count() && wrong.split('-').zip(right.split('-')).all(alike)
}

/// Whether a name is another written wrongly: a letter or two apart, and not by a number, which tells versions apart.
fn is_slip(wrong: &str, right: &str) -> bool {
    let apart = strsim::osa_distance(wrong, right);
    let bare = |name: &str| name.trim_end_matches(|end: char| end.is_ascii_digit() || "-v".contains(end)).to_owned();
    let (most, long) = SLIP;
    let likely = apart == 1 || (apart == most && wrong.len() >= long);
    likely && bare(wrong) != bare(right)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, crashed, patched, pod, service};
    use crate::report::Confidence;

    const UNKNOWN: &str = "ERROR could not translate host name \"webb\" to address: Name or service not known";

    fn told(map: Value) -> World {
        told_of(map, UNKNOWN)
    }

    /// A caller that takes a ConfigMap, and whose log has a line.
    fn told_of(map: Value, line: &str) -> World {
        let env = json!([{"configMapRef": {"name": "shared"}}]);
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "spec": {"containers": [container(json!({"envFrom": env}))]}});
        let shared =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared", "namespace": "shop"}});
        World::asking("Pod", "cart-1-a")
            .with(pod(cart))
            .with(patched(shared, map))
            .log("cart-1-a", line)
            .listed("Service")
    }

    fn edited() -> Value {
        let copy = json!({"data": {"DB_HOST": "web"}}).to_string();
        json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": copy}}, "data": {"DB_HOST": "webb"}})
    }

    #[test]
    fn a_map_that_was_changed_to_the_name_is_blamed() {
        let world = told(edited());
        assert_eq!(world.cause(), "configmap_names_missing_service ConfigMap/shared");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("data.DB_HOST web -> webb"), "{headline}");
    }

    #[test]
    fn a_map_a_letter_away_from_a_service_that_exists_is_too() {
        let world = told(json!({"data": {"DB_HOST": "webb"}})).with(service(json!({"app": "web"})));
        assert_eq!(world.cause(), "configmap_names_missing_service ConfigMap/shared");
    }

    #[test]
    fn the_map_is_found_behind_warnings_that_the_process_gave_up_over() {
        let gone =
            "database not reachable attempt=1/3 error=\"lookup pg-mian.shop.svc on 10.96.0.10:53: no such host\"";
        let asked = |data: Value, log: &str| {
            let spec = json!({"spec": {"containers": [container(json!({"envFrom": [{"configMapRef": {"name": "shared"}}]}))]}});
            let shared = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared", "namespace": "shop"}, "data": data});
            let main = json!({"metadata": {"name": "pg-main"}, "spec": {"selector": null}});
            World::asking("Pod", "web-1-a")
                .with(pod(patched(crashed(1, "Error"), spec)))
                .with(patched(service(json!({})), main))
                .with(shared)
                .log("web-1-a", log)
                .listed("Service")
        };
        let log = format!("INFO boot\nWARN {gone}\nWARN {gone}\nFATAL giving up: database unavailable");
        let world = asked(json!({"DB_HOST": "pg-mian.shop.svc"}), &log);
        assert_eq!(world.cause(), "configmap_names_missing_service ConfigMap/shared");
        assert!(world.diagnosis().headline.contains("pg-mian"), "{}", world.diagnosis().headline);
        let right = asked(json!({"DB_HOST": "pg-main.shop.svc"}), "INFO boot\nFATAL giving up: database unavailable");
        assert_eq!(right.cause(), "crashloop_app_error Deployment/web");
        assert_eq!(right.diagnosis().causes[0].confidence, Confidence::Medium, "it says nothing of why");
        let other =
            asked(json!({"DB_HOST": "pg-mian.shop.svc"}), &format!("WARN {gone}\nFATAL /data/lock: permission denied"));
        assert_eq!(other.cause(), "crashloop_permission_denied Deployment/web");
    }

    #[test]
    fn a_name_longer_than_the_service_that_exists_is_the_maps_too() {
        let url = json!({"data": {"SPRING_DATASOURCE_URL": "jdbc:mysql://webb-db-primary:3306/shop?useSSL=false"}});
        let webb = patched(service(json!({"app": "webb"})), json!({"metadata": {"name": "db-webb"}}));
        let line = "Caused by: java.net.UnknownHostException: webb-db-primary: Name or service not known";
        let world = told_of(url, line).with(webb);
        assert_eq!(world.cause(), "configmap_names_missing_service ConfigMap/shared");
        assert_eq!(world.diagnosis().causes[0].confidence, Confidence::Medium);
    }

    /// A caller whose own variable says `webb`, which its log cannot resolve.
    fn misspelt() -> World {
        let env = json!([{"name": "API_HOST", "value": "webb:80"}]);
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "spec": {"containers": [container(json!({"env": env}))]}});
        World::asking("Pod", "cart-1-a").with(pod(cart)).log("cart-1-a", UNKNOWN).listed("Service")
    }

    #[test]
    fn a_template_that_misspells_a_service_is_blamed_and_not_the_service() {
        let world = misspelt().with(service(json!({"app": "web"}))).with(pod(json!({})));
        assert_eq!(world.cause(), "dependency_host_misspelt Deployment/cart");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("API_HOST") && headline.contains("does is web"), "{headline}");
    }

    #[test]
    fn a_word_cut_short_in_the_template_is_the_templates() {
        let env = json!([{"name": "DB_HOST", "value": "shop-pg:5432"}]);
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "spec": {"containers": [container(json!({"env": env}))]}});
        let told = |name: &str| {
            World::asking("Pod", "cart-1-a")
                .with(pod(cart.clone()))
                .log("cart-1-a", &UNKNOWN.replace("webb", "shop-pg"))
                .listed("Service")
                .with(patched(service(json!({"app": "web"})), json!({"metadata": {"name": name}})))
                .cause()
        };
        assert_eq!(told("shop-postgres"), "dependency_host_misspelt Deployment/cart");
        assert_eq!(told("shop-cache"), "dependency_service_missing Service/shop-pg");
    }

    #[test]
    fn what_another_container_is_told_by_the_same_variable_is_meant() {
        let told = |sibling: &str| {
            let env = |host: &str| json!({"env": [{"name": "API_HOST", "value": host}]});
            let containers =
                json!([container(env("web-rw:80")), patched(container(env(sibling)), json!({"name": "other"}))]);
            let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
                "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "spec": {"containers": containers}});
            World::asking("Pod", "cart-1-a")
                .with(pod(cart))
                .log("cart-1-a", &UNKNOWN.replace("webb", "web-rw"))
                .listed("Service")
                .with(service(json!({"app": "web"})))
                .with(pod(json!({})))
        };
        assert_eq!(told("web.shop.svc:80").cause(), "dependency_host_misspelt Deployment/cart");
        assert_eq!(told("api.example.com").cause(), "dependency_service_missing Service/web-rw");
    }

    #[test]
    fn a_name_with_no_like_one_and_another_version_are_the_missing_services() {
        assert_eq!(misspelt().cause(), "dependency_service_missing Service/webb");
        let other = patched(service(json!({"app": "webbing"})), json!({"metadata": {"name": "webbing"}}));
        assert_eq!(misspelt().with(other).cause(), "dependency_service_missing Service/webb");
        assert!(super::is_slip("pg-mian", "pg-main") && super::is_slip("orders", "order"));
        assert!(super::is_akin("pg-orders-primary", "orders-pg") && super::is_akin("pg-orders-ro", "pg-orders"));
        assert!(!super::is_akin("orders-api-v2", "orders-api") && !super::is_akin("orders-db", "orders"));
        assert!(!super::is_akin("orders-db", "orders-db") && !super::is_akin("cart-db", "orders-db"));
        assert!(!super::is_slip("ledger-v2", "ledger") && !super::is_slip("redis-1", "redis-2"));
    }

    #[test]
    fn a_map_that_says_nothing_of_it_and_one_nobody_changed_are_not() {
        assert_eq!(told(json!({"data": {"LEVEL": "info"}})).cause(), "dependency_service_missing Service/webb");
        assert_eq!(told(json!({"data": {"DB_HOST": "webb"}})).cause(), "dependency_service_missing Service/webb");
    }

    /// A caller that is told a host which does not exist, beside a container that is told another by the same variable.
    fn told_beside(wrong: &str, sibling: &str) -> World {
        let env = |host: &str| json!({"env": [{"name": "DB_HOST", "value": host}]});
        let containers = json!([container(env(wrong)), patched(container(env(sibling)), json!({"name": "other"}))]);
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "spec": {"containers": containers}});
        World::asking("Pod", "cart-1-a")
            .with(pod(cart))
            .log("cart-1-a", &UNKNOWN.replace("webb", wrong))
            .listed("Service")
            .with(patched(service(json!({"app": "web"})), json!({"metadata": {"name": sibling}})))
            .with(pod(json!({})))
    }

    #[test]
    fn another_database_that_another_container_is_told_is_not_the_one_that_was_meant() {
        assert_eq!(told_beside("ledger-db", "accounts-rw").cause(), "dependency_service_missing Service/ledger-db");
        assert_eq!(told_beside("ledger-db", "ledger-rw").cause(), "dependency_host_misspelt Deployment/cart");
    }

    #[test]
    fn what_another_container_is_told_is_no_sure_word_of_what_was_meant() {
        let confidence = |world: World| world.diagnosis().causes.remove(0).confidence;
        assert_eq!(confidence(told_beside("web-ledger", "web")), Confidence::Medium);
        let slip = misspelt().with(service(json!({"app": "web"}))).with(pod(json!({})));
        assert_eq!(confidence(slip), Confidence::High);
    }
}
