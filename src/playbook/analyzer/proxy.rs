//! Calls inside the cluster that go through a proxy, which knows nobody there: `NO_PROXY` does not except them.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::alert::ObjectRef;
use crate::playbook::environment::host_in;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach::{self, Call};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// What proxies add to the answers they make themselves, and how clients speak of one that refuses: Squid's headers and
/// codes (<https://wiki.squid-cache.org/Features/CustomErrors>), Go's, curl's and Python's words.
static BY_PROXY: Pattern = Pattern::new(
    r"(?i)x-squid-error|\(squid|\berr_(?:dns_fail|connect_fail|cannot_forward|access_denied)\b|\bproxyconnect\b|from proxy\b|proxy (?:error|connect)|cannot connect to proxy|tunnel connection failed|\bvia: ",
);

/// Whether a line tells of an answer that a proxy made itself.
#[must_use]
pub fn answers(line: &str) -> bool {
    BY_PROXY.hits(line)
}

/// Findings about Pods whose calls to Services meet the proxy they are told to use.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| of_pod(scene, pod)).collect()
}

fn of_pod(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let calls = reach::failing_calls(scene, &pod.object);
    calls.iter().find_map(|call| {
        let view = pods::containers(&pod.object).into_iter().find(|view| view.name() == call.log.container)?;
        let set = ["HTTP_PROXY", "HTTPS_PROXY"].iter().find_map(|name| given(scene, &pod.object, view.spec, name))?;
        let proxy = host_in(&set.value)?;
        let met = answers(call.line) || call.line.to_ascii_lowercase().contains(&proxy);
        let host = call.hosts.iter().find(|host| **host != proxy && is_inside(scene, &pod.object, host))?;
        let excepted = given(scene, &pod.object, view.spec, "NO_PROXY");
        if excepted.is_none() && may_be_told_elsewhere(scene, &pod.object, view.spec) {
            return None;
        }
        let list = excepted.as_ref().map(|given| given.value.clone()).unwrap_or_default();
        let caught = met && !excepts(&list, host);
        caught
            .then(|| told(scene, pod, call, (host, &proxy), &excepted.unwrap_or(Given { value: String::new(), ..set })))
    })
}

/// A variable's value and where it comes from; only plain values and ConfigMaps are known.
struct Given {
    value: String,
    map: Option<(ObjectRef, String)>,
}

/// A variable as a container is given it, in capitals or small letters; what `env` says goes before `envFrom`.
fn given(scene: &Scene<'_>, pod: &Pod, container: &Container, name: &str) -> Option<Given> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let of_map = |map: &str, key: &str| {
        let map = ObjectRef::new("ConfigMap", namespace, map);
        let (object, reference) = scene.facts.raw(&map)?;
        let value = object.get("data")?.get(key)?.as_str()?.to_owned();
        Some(Given { value, map: Some((map, reference.to_owned())) })
    };
    let own = container.env.iter().flatten().rev().find(|variable| variable.name.eq_ignore_ascii_case(name));
    if let Some(own) = own {
        let key = own.value_from.as_ref().and_then(|from| from.config_map_key_ref.as_ref());
        let plain = own.value.clone().map(|value| Given { value, map: None });
        return plain.or_else(|| key.and_then(|key| of_map(&key.name, &key.key)));
    }
    container.env_from.iter().flatten().rev().find_map(|source| {
        let map = &source.config_map_ref.as_ref()?.name;
        let prefix = source.prefix.as_deref().unwrap_or_default();
        [name.to_owned(), name.to_ascii_lowercase()].iter().find_map(|name| of_map(map, name.strip_prefix(prefix)?))
    })
}

/// Whether `NO_PROXY` may stand where it is not read: in a Secret, or in a ConfigMap nobody has read.
fn may_be_told_elsewhere(scene: &Scene<'_>, pod: &Pod, container: &Container) -> bool {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let unread = |map: &str| scene.facts.raw(&ObjectRef::new("ConfigMap", namespace, map)).is_none();
    let named = container.env.iter().flatten().any(|variable| variable.name.eq_ignore_ascii_case("NO_PROXY"));
    let mut sources = container.env_from.iter().flatten();
    named
        || sources.any(|source| {
            source.secret_ref.is_some() || source.config_map_ref.as_ref().is_some_and(|map| unread(&map.name))
        })
}

/// Whether a host is a Service of the cluster, by its name or because there is one.
fn is_inside(scene: &Scene<'_>, caller: &Pod, host: &str) -> bool {
    let labels: Vec<&str> = host.split('.').collect();
    let namespace = caller.metadata.namespace.as_deref().unwrap_or_default();
    match labels.as_slice() {
        [name] => scene.service(namespace, name).is_some(),
        [_, _, "svc", ..] => true,
        [name, namespace] => scene.service(namespace, name).is_some(),
        _ => false,
    }
}

/// Whether `NO_PROXY` excepts a name: itself, a domain it lies under, with or without the dot before it, or everything
/// (<https://pkg.go.dev/golang.org/x/net/http/httpproxy>).
fn excepts(list: &str, host: &str) -> bool {
    let entries = list.split([',', ' ', '|']).map(|entry| entry.trim().to_ascii_lowercase());
    let mut domains = entries.map(|entry| entry.trim_start_matches('*').trim_start_matches('.').to_owned());
    let all = list.split(',').any(|entry| entry.trim() == "*");
    all || domains.any(|domain| {
        let domain = domain.split(':').next().unwrap_or_default();
        let under = host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        !domain.is_empty() && under
    })
}

fn told(scene: &Scene<'_>, pod: &Seen<Pod>, call: &Call<'_>, (host, proxy): (&str, &str), excepted: &Given) -> Finding {
    let workload = scene.workload(&pod.object);
    let blame = excepted.map.as_ref().map_or_else(|| workload.clone(), |(map, _)| map.clone());
    let list = match excepted.value.as_str() {
        "" => scene.text("未设置 NO_PROXY", "NO_PROXY is not set"),
        list => {
            let list = logs::shorten(list, 100);
            scene.text(format!("NO_PROXY（{list}）不包含它"), format!("NO_PROXY ({list}) does not except it"))
        }
    };
    let at =
        if blame == workload { String::new() } else { scene.text(format!("，见 {blame}"), format!(", in {blame}")) };
    let headline = scene.text(
        format!("{workload} 对集群内 {host} 的访问被发往代理 {proxy}：{list}{at}"),
        format!("{workload} sends its calls to {host} inside the cluster to the proxy {proxy}: {list}{at}"),
    );
    let summary = scene.text(
        format!("{headline}。日志：{}。", logs::said(call.line)),
        format!("{headline}. Its log: {}.", logs::said(call.line)),
    );
    let reference = excepted.map.as_ref().map_or(pod.reference.as_str(), |(_, reference)| reference);
    let edit = if blame == workload {
        edit_template(&workload)
    } else {
        Some(kubectl(&blame.namespace, &format!("edit configmap {}", blame.name)))
    };
    let shown = if blame == workload { "get pod" } else { "get configmap" };
    let object = if blame == workload { &named(&pod.object).name } else { &blame.name };
    Finding::new("proxy_catches_cluster_traffic", Depth::Root, &named(&pod.object), &blame, headline)
        .summary(summary)
        .confidence(Confidence::Medium)
        .cite([
            scene.quote(&call.log.reference, call.line),
            scene.quote_line(reference, &["NO_PROXY"]).or_else(|| scene.quote_line(reference, &["HTTP_PROXY"])),
        ])
        .touches([workload.clone()])
        .steps([
            look(
                scene.text("查看代理相关的变量", "Read the variables about the proxy"),
                kubectl(&blame.namespace, &format!("{shown} {object} -o yaml")),
            ),
            change(
                scene.text(
                    "在 NO_PROXY 中加入 .svc、.cluster.local 与集群的 Service 网段",
                    "Add .svc, .cluster.local and the Services' range of addresses to NO_PROXY",
                ),
                scene.text(
                    "环境变量只在 Pod 启动时读取：更正后重启使用它的工作负载",
                    "Variables are read when a Pod starts: restart what uses it afterwards",
                ),
                edit,
            ),
        ])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, container, pod, service};

    const LINE: &str = "ERROR price lookup failed: GET http://web.shop.svc.cluster.local/v1: 503 Service Unavailable (Via: 1.1 proxy.corp.example (squid/5.7); X-Squid-Error: ERR_DNS_FAIL 0)";

    fn asked(env: Value, no_proxy: &str, line: &str) -> World {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]);
        let caller = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": owner},
            "spec": {"containers": [container(env)]}});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "egress", "namespace": "shop"},
            "data": {"HTTP_PROXY": "http://proxy.corp.example:3128", "NO_PROXY": no_proxy}});
        World::asking("Pod", "cart-1-a")
            .with(pod(caller))
            .with(service(json!({"app": "web"})))
            .with(pod(json!({})))
            .with(map)
            .log("cart-1-a", &format!("{line}\n").repeat(6))
    }

    fn from_map() -> Value {
        json!({"envFrom": [{"configMapRef": {"name": "egress"}}]})
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(BY_PROXY.compiles());
    }

    #[test]
    fn a_list_without_the_clusters_domain_sends_its_calls_to_the_proxy() {
        let world = asked(from_map(), "localhost,127.0.0.1,.corp.example", LINE);
        assert_eq!(world.cause(), "proxy_catches_cluster_traffic ConfigMap/egress");
        assert!(world.diagnosis().headline.contains("NO_PROXY (localhost,127.0.0.1,.corp.example)"));
        let own = json!({"env": [{"name": "http_proxy", "value": "http://proxy.corp.example:3128"}]});
        let alone = asked(own, "", LINE);
        assert_eq!(alone.cause(), "proxy_catches_cluster_traffic Deployment/cart");
        assert!(alone.diagnosis().headline.contains("NO_PROXY is not set"));
    }

    #[test]
    fn an_excepted_host_an_answer_of_the_service_and_a_host_outside_are_other_matters() {
        let code = "proxy_catches_cluster_traffic";
        assert!(!asked(from_map(), "localhost,.svc,.cluster.local", LINE).codes().contains(&code));
        let of_service = "ERROR GET http://web.shop.svc.cluster.local/v1: 503 Service Unavailable";
        assert!(!asked(from_map(), "localhost", of_service).codes().contains(&code));
        let outside = LINE.replace("web.shop.svc.cluster.local", "api.example.com");
        assert!(!asked(from_map(), "localhost", &outside).codes().contains(&code));
        assert!(!asked(json!({}), "localhost", LINE).codes().contains(&code), "nobody told it of a proxy");
        let secret = json!({"env": [{"name": "HTTP_PROXY", "value": "http://proxy.corp.example:3128"}], "envFrom": [{"secretRef": {"name": "egress"}}]});
        assert!(!asked(secret, "", LINE).codes().contains(&code), "what stands in a Secret nobody knows");
        asked(from_map(), "localhost", "INFO GET http://web.shop.svc.cluster.local/v1 200").is_calm();
    }

    #[test]
    fn a_list_excepts_names_and_what_lies_under_a_domain() {
        let host = "web.shop.svc.cluster.local";
        for list in [
            "*",
            ".cluster.local",
            "cluster.local",
            "*.svc.cluster.local",
            "web.shop.svc.cluster.local:80",
            "a, .local",
        ] {
            assert!(excepts(list, host), "{list}");
        }
        for list in ["", ".svc", "luster.local", "web", ",", "10.0.0.0/8"] {
            assert!(!excepts(list, host), "{list}");
        }
    }
}
