//! A port that is taken already: which other container of the Pod, or other process on the host's network, holds it.

use k8s_openapi::api::core::v1::{ConfigMap, Pod};

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::kubectl;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::report::Citation;

/// The port that a line says is taken.
static TAKEN: Pattern = Pattern::new(
    r"(?i)(?:\d{1,3}(?:\.\d{1,3}){3}|::\]?|\*|localhost|\btcp[46]? )(?::|', )(\d{2,5})\b|\bport:? (\d{2,5})\b",
);

/// Who holds a port that a container could not have.
pub(super) struct Holder {
    port: u16,
    /// Another container of the same Pod; none for another Pod on the host's network.
    container: Option<String>,
    pod: ObjectRef,
    /// The ConfigMap that tells it to.
    map: Option<ObjectRef>,
    proof: Option<Citation>,
}

/// Who holds the port that a line says is taken, as far as what was read shows it.
pub(super) fn holder(scene: &Scene<'_>, pod: &Pod, view: &ContainerView<'_>, line: &str) -> Option<Holder> {
    let port = taken(line)?;
    let beside = pods::containers(pod).into_iter().filter(|other| other.name() != view.name() && other.running());
    let own = beside.into_iter().find_map(|other| by_container(scene, pod, (view, &other), port));
    own.or_else(|| on_host(scene, pod, port))
}

fn taken(line: &str) -> Option<u16> {
    let found = TAKEN.groups(line)?;
    found.get(1).or_else(|| found.get(2))?.as_str().parse().ok()
}

/// What a container declares, says that it listens on, or is told by a ConfigMap it mounts.
fn by_container(
    scene: &Scene<'_>,
    pod: &Pod,
    (view, other): (&ContainerView<'_>, &ContainerView<'_>),
    port: u16,
) -> Option<Holder> {
    let name = named(pod);
    let found = |map: Option<ObjectRef>, proof: Option<Citation>| Holder {
        port,
        container: Some(other.name().to_owned()),
        pod: name.clone(),
        map,
        proof,
    };
    let number = i32::from(port);
    if let Some((map, line, reference)) = told(scene, pod, (view, other), port) {
        return Some(found(Some(map), scene.quote(&reference, &line)));
    }
    let declares = other.spec.ports.iter().flatten().any(|it| it.container_port == number);
    let says = scene.logs(&name, other.name()).into_iter().find_map(|log| {
        let (_, line) = logs::listening(log.lines.as_deref().ok()?).find(|(it, _)| *it == number)?;
        scene.quote(&log.reference, line)
    });
    (declares || says.is_some()).then(|| found(None, says))
}

/// The ConfigMap mounted by the other container and not by the crashed one that writes the port down, and the line where it does.
fn told(
    scene: &Scene<'_>,
    pod: &Pod,
    (view, other): (&ContainerView<'_>, &ContainerView<'_>),
    port: u16,
) -> Option<(ObjectRef, String, String)> {
    let namespace = named(pod).namespace;
    // What both mount may as well be where the crashed one has its port from.
    let own = mounted(pod, view);
    mounted(pod, other).into_iter().filter(|map| !own.contains(map)).find_map(|map| {
        let read: Seen<ConfigMap> = scene.facts.get(&namespace, &map)?;
        let line = read.object.data.iter().flat_map(|data| data.values()).find_map(|text| listens(text, port))?;
        Some((ObjectRef::new("ConfigMap", namespace.as_str(), map), line.to_owned(), read.reference))
    })
}

/// The names of the ConfigMaps that a container mounts.
fn mounted(pod: &Pod, view: &ContainerView<'_>) -> Vec<String> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mounts = |name: &str| view.spec.volume_mounts.iter().flatten().any(|mount| mount.name == name);
    volumes.filter(|it| mounts(&it.name)).filter_map(|it| Some(it.config_map.as_ref()?.name.clone())).collect()
}

/// The line of a configuration that listens on a port; one that calls it, or stands below what is called, does not.
fn listens(text: &str, port: u16) -> Option<&str> {
    let lines: Vec<&str> = text.lines().collect();
    // An item of a list may stand no further in than the key it belongs to.
    let indent = |line: &str| {
        let text = line.trim_start();
        line.len() - text.len() + usize::from(text.starts_with("- "))
    };
    let is_below_calls = |at: usize| {
        let mut least = indent(lines[at]);
        let mut above = lines[..at].iter().rev().filter(|line| !line.trim().is_empty());
        above.any(|line| {
            let is_parent = indent(line) < least;
            least = least.min(indent(line));
            is_parent && CALLS.hits(line)
        })
    };
    let at = (0..lines.len()).find(|at| names_port(lines[*at], port) && !is_below_calls(*at))?;
    Some(lines[at].trim())
}

/// How lines begin that tell of what is called, in the words of the usual proxies and collectors.
static CALLS: Pattern = Pattern::new(
    r#"(?i)^\s*(?:-\s+)?["']?(?:\w+[_.-])?(?:pass|upstreams?|targets?|backends?|clusters?|remote\w*|peers?|forward\w*|dest\w*|lb_endpoints|static_configs|scrape_configs|ur[li]s?)\b"#,
);

/// Whether a line of a configuration listens on a port: at the end of an address of this host, or as a port's value.
fn names_port(line: &str, port: u16) -> bool {
    static LISTENS: Pattern = Pattern::new(
        r#"(?i)(?:(?:0\.0\.0\.0|127\.0\.0\.1|localhost|\[::\]|\*|["'\s=]):|(?:port|listen)\w*["']?\s*[:=]?\s*["']?)(\d{2,5})\b"#,
    );
    // `server 127.0.0.1:8080;` stands in an upstream, `server.port: 8080` does not.
    static SERVER: Pattern = Pattern::new(r"(?i)^\s*(?:-\s+)?servers?:?\s+\S+");
    let is_other = line.trim_start().starts_with(['#', ';']) || CALLS.hits(line) || SERVER.hits(line);
    let has_scheme = |start: usize| line[..start].ends_with("://");
    !is_other
        && LISTENS.all(line).iter().any(|found| {
            let start = found.get(0).map_or(0, |all| all.start());
            !has_scheme(start) && found.get(1).is_some_and(|it| it.as_str() == port.to_string())
        })
}

/// Another Pod on the same Node and on the host's network, as this one is, that declares the port.
fn on_host(scene: &Scene<'_>, pod: &Pod, port: u16) -> Option<Holder> {
    let on_host = |pod: &Pod| pod.spec.as_ref().and_then(|spec| spec.host_network) == Some(true);
    if !on_host(pod) {
        return None;
    }
    let here = pods::node_name(pod)?;
    let declares = |other: &Pod| {
        let views = pods::containers(other);
        views.iter().any(|view| {
            view.running() && view.spec.ports.iter().flatten().any(|it| it.container_port == i32::from(port))
        })
    };
    let holds = |other: &&Seen<Pod>| {
        let beside = named(&other.object) != named(pod) && pods::node_name(&other.object) == Some(here);
        beside && on_host(&other.object) && declares(&other.object)
    };
    let found = scene.pods.iter().find(holds)?;
    let proof = scene.quote(&found.reference, &format!("containerPort: {port}"));
    Some(Holder { port, container: None, pod: named(&found.object), map: None, proof })
}

impl Holder {
    /// What proves it.
    pub(super) fn proof(&self) -> Option<Citation> {
        self.proof.clone()
    }

    /// Why, with who holds the port.
    pub(super) fn with(&self, scene: &Scene<'_>, why: &str) -> String {
        let Self { port, pod, .. } = self;
        match (&self.container, &self.map) {
            (Some(container), Some(map)) => scene.text(
                format!("{why}（端口 {port} 已被同一 Pod 的容器 {container} 占用，由 {map} 配置）"),
                format!("{why} (container {container} of the same Pod holds port {port}, as {map} tells it)"),
            ),
            (Some(container), None) => scene.text(
                format!("{why}（端口 {port} 已被同一 Pod 的容器 {container} 占用）"),
                format!("{why} (container {container} of the same Pod holds port {port})"),
            ),
            (None, _) => scene.text(
                format!("{why}（同一节点上使用 hostNetwork 的 {pod} 占用端口 {port}）"),
                format!("{why} ({pod} holds port {port} on the same Node's network)"),
            ),
        }
    }

    /// The command that opens what tells the holder its port.
    pub(super) fn edit(&self) -> Option<String> {
        let map = self.map.as_ref()?;
        Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name)))
    }

    /// What to change, in place of a step that names nobody.
    pub(super) fn remedy(&self, scene: &Scene<'_>) -> String {
        let port = self.port;
        match (&self.map, &self.container) {
            (Some(map), _) => scene.text(
                format!("在 {map} 中为占用者换一个端口，不再使用 {port}；或让应用监听别的端口"),
                format!(
                    "Give whoever holds port {port} another one in {map}, or have the application listen elsewhere"
                ),
            ),
            (None, Some(container)) => scene.text(
                format!("给容器 {container} 换一个端口，不再使用 {port}，或让应用监听别的端口"),
                format!(
                    "Give container {container} another port than {port}, or have the application listen elsewhere"
                ),
            ),
            (None, None) => scene.text(
                format!("让 {} 或该工作负载改用 {port} 以外的端口", self.pod),
                format!("Have {} or this workload use another port than {port}", self.pod),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{CALLS, listens, names_port, taken};
    use crate::playbook::world::{World, container, crashed, patched, pod};

    fn two(agent: Value) -> Value {
        let spec = json!({"spec": {"containers": [container(json!({})), agent],
            "volumes": [{"name": "conf", "configMap": {"name": "agent"}}]}});
        let mut pod = pod(patched(crashed(1, "Error"), spec));
        let runs = json!({"name": "agent", "image": "reg/agent:1", "imageID": "", "ready": true, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-11-23T01:00:00Z"}}});
        pod["status"]["containerStatuses"].as_array_mut().unwrap().push(runs);
        pod
    }

    fn map(text: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "agent", "namespace": "shop"}, "data": {"config.yaml": text}})
    }

    fn world(agent: Value, text: &str) -> World {
        World::asking("Pod", "web-1-a")
            .with(two(agent))
            .with(map(text))
            .log_before("web-1-a", "Error: listen EADDRINUSE: address already in use 0.0.0.0:9464\n")
    }

    #[test]
    fn the_container_that_holds_the_port_and_its_configuration_are_named() {
        let agent = || json!({"name": "agent", "image": "reg/agent:1", "volumeMounts": [{"name": "conf", "mountPath": "/etc/agent"}]});
        let told = world(agent(), "exporters:\n  prometheus:\n    endpoint: 0.0.0.0:9464\n");
        assert_eq!(told.cause(), "crashloop_port_in_use Deployment/web");
        let diagnosis = told.diagnosis();
        assert!(
            diagnosis.headline.contains("container agent of the same Pod holds port 9464, as ConfigMap shop/agent"),
            "{}",
            diagnosis.headline
        );
        assert!(diagnosis.steps.iter().any(|step| step.title.contains("in ConfigMap shop/agent")));
        let other = world(agent(), "endpoint: 0.0.0.0:4317\n").diagnosis();
        assert!(!other.headline.contains("holds port"), "{}", other.headline);
    }

    #[test]
    fn what_calls_a_port_does_not_hold_it() {
        assert!(CALLS.compiles());
        for text in [
            "location / {\n  proxy_pass http://127.0.0.1:9464;\n}",
            "upstream app {\n  server 127.0.0.1:9464;\n}",
            "scrape_configs:\n  - job_name: web\n    static_configs:\n      - targets: ['localhost:9464']",
            "clusters:\n  - name: app\n    address: 127.0.0.1\n    port_value: 9464",
            "clusters:\n- name: app\n  port_value: 9464",
            "receivers:\n  zipkin:\n    url: localhost:9464",
            "# listen 9464;",
        ] {
            assert_eq!(listens(text, 9464), None, "{text}");
        }
        for text in [
            "server {\n  listen 9464;\n}",
            "listeners:\n  - address: 0.0.0.0\n    port_value: 9464\nclusters: []",
            "exporters:\n  prometheus:\n    endpoint: 0.0.0.0:9464",
            "upstream app {\n  server 127.0.0.1:8080;\n}\nserver {\n  listen 9464;\n}",
            "server.port: 9464",
        ] {
            assert!(listens(text, 9464).is_some(), "{text}");
        }
    }

    #[test]
    fn a_map_that_both_mount_blames_neither() {
        let mounts = json!([{"name": "conf", "mountPath": "/etc/agent"}]);
        let agent = json!({"name": "agent", "image": "reg/agent:1", "volumeMounts": mounts});
        let mut both = two(agent);
        both["spec"]["containers"][0]["volumeMounts"] = mounts.clone();
        let world = World::asking("Pod", "web-1-a")
            .with(both)
            .with(map("port: 9464\n"))
            .log_before("web-1-a", "Error: listen EADDRINUSE: address already in use 0.0.0.0:9464\n");
        assert!(!world.diagnosis().headline.contains("holds port"));
    }

    #[test]
    fn a_declared_port_names_its_container() {
        let agent = json!({"name": "agent", "image": "reg/agent:1", "ports": [{"containerPort": 9464}]});
        assert!(world(agent, "").diagnosis().headline.contains("container agent of the same Pod holds port 9464"));
    }

    #[test]
    fn a_pod_beside_it_holds_a_port_only_on_the_hosts_network() {
        let beside = |host: bool| {
            let mine = json!({"spec": {"hostNetwork": host, "containers": [container(json!({}))]}});
            let owner = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "exporter", "uid": "e", "controller": true}]);
            let other = json!({"metadata": {"name": "exporter-x", "ownerReferences": owner},
                "spec": {"hostNetwork": host, "containers": [container(json!({"ports": [{"containerPort": 9464}]}))]}});
            let world = World::asking("Pod", "web-1-a").with(pod(patched(crashed(1, "Error"), mine))).with(pod(other));
            let world = world.log_before("web-1-a", "listen tcp :9464: bind: address already in use\n");
            world.diagnosis().headline.contains("Pod shop/exporter-x holds port 9464")
        };
        assert!(beside(true) && !beside(false));
    }

    #[test]
    fn the_port_is_read_from_the_usual_words() {
        for line in [
            "Error: listen EADDRINUSE: address already in use 0.0.0.0:9464",
            "Error: listen EADDRINUSE: address already in use :::9464",
            "listen tcp :9464: bind: address already in use",
            "OSError: [Errno 98] error while attempting to bind on address ('0.0.0.0', 9464): address already in use",
            "Web server failed to start. Port 9464 was already in use.",
            "nginx: [emerg] bind() to 0.0.0.0:9464 failed (98: Address already in use)",
        ] {
            assert_eq!(taken(line), Some(9464), "{line}");
        }
        assert_eq!(taken("address already in use"), None);
        assert!(
            names_port("    endpoint: 0.0.0.0:9464", 9464)
                && names_port("listen 9464;", 9464)
                && names_port("port: 9464", 9464)
        );
        assert!(!names_port("upstream: http://collector:9464/v1", 9464) && !names_port("limit: 9464", 9464));
    }
}
