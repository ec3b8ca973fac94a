//! Callers that are told the name of a Service nobody has: by a ConfigMap that misspells it, or by a variable given twice.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::environment::{self, Variable};
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::reach::Call;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{drift, latent, logs};
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
    let (map, key, reference) = latent::maps(&pod.object).into_iter().find_map(|map| {
        let (value, reference) = scene.facts.raw(&map)?;
        let data = value.get("data")?.as_object()?;
        let naming =
            |text: &serde_json::Value| text.as_str().is_some_and(|text| environment::has_word(text, &missing.name));
        let key = data.iter().find(|(_, text)| naming(text))?.0.clone();
        Some((map, key, reference.to_owned()))
    })?;
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
            .confidence(if changed.is_some() { Confidence::High } else { Confidence::Medium })
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, patched, pod, service};

    const UNKNOWN: &str = "ERROR could not translate host name \"webb\" to address: Name or service not known";

    fn told(map: Value) -> World {
        let env = json!([{"configMapRef": {"name": "shared"}}]);
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "spec": {"containers": [container(json!({"envFrom": env}))]}});
        let shared =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared", "namespace": "shop"}});
        World::asking("Pod", "cart-1-a")
            .with(pod(cart))
            .with(patched(shared, map))
            .log("cart-1-a", UNKNOWN)
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
    fn a_map_that_says_nothing_of_it_and_one_nobody_changed_are_not() {
        assert_eq!(told(json!({"data": {"LEVEL": "info"}})).cause(), "dependency_service_missing Service/webb");
        assert_eq!(told(json!({"data": {"DB_HOST": "webb"}})).cause(), "dependency_service_missing Service/webb");
    }
}
