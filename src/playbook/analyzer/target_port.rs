//! A Service's target port that no container offers: by name, or by number where more than a missing declaration says so.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ContainerPort, Pod, Probe, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{rollout, traffic};
use crate::alert::ObjectRef;
use crate::playbook::alerts;
use crate::playbook::back;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence};

/// What a listener beside the application's own is for, as its line or its port's name says.
static PURPOSE: Pattern = Pattern::new(
    r"(?i)(?:^|[^a-z])(admin|metrics|prometheus|debug|pprof|health|healthz|liveness|readiness|probes?|management|actuator|telemetry|monitoring)(?:[^a-z]|$)",
);
/// A request that was answered, as access logs write it, and its path.
static ANSWERED: Pattern =
    Pattern::new(r#"\b(?:GET|POST|PUT|PATCH|DELETE)["\s]+(/\S*)(?:\s+HTTP/\d(?:\.\d)?)?"?\s+[23]\d\d\b"#);
/// Paths that the kubelet and Prometheus ask for, each at the Pod itself.
static ASIDE: Pattern = Pattern::new(r"(?i)/(?:\w*health\w*|ready\w*|live\w*|ping|metrics|status)\b");

/// What is known of the ports a Service's Pod listens on.
struct Backend<'s> {
    declared: Vec<&'s ContainerPort>,
    /// Ports of probes; its containers are ready, so they answer there.
    probed: Vec<IntOrString>,
    /// Ports its log says it listens on: the line, and the log's evidence.
    listening: Vec<(i32, &'s str, &'s str)>,
    /// Whether its log shows requests that were answered, other than probes.
    answers: bool,
}

/// Whether a line tells of a listener beside the application's own, such as one for metrics.
pub(super) fn is_aside(line: &str) -> bool {
    PURPOSE.hits(line)
}

/// A port that does not fit, and what speaks against it.
struct Wrong {
    target: String,
    confidence: Confidence,
    told: Vec<(i32, Option<Citation>)>,
}

/// The finding for a Service that has Ready Pods but sends to a port they do not listen on.
#[must_use]
pub fn wrong(scene: &Scene<'_>, service: &Seen<Service>, name: &ObjectRef, live: &[&&Seen<Pod>]) -> Option<Finding> {
    let ports = service.object.spec.as_ref()?.ports.as_deref()?;
    let pod = live.iter().find(|pod| pods::is_ready(&pod.object))?;
    let backend = Backend::of(scene, &pod.object);
    let wrong = ports.iter().find_map(|port| backend.lacks(scene, name, ports, port))?;
    let target = &wrong.target;
    let offered = backend.in_words(&wrong);
    let headline = match (wrong.told.is_empty(), offered.is_empty()) {
        (false, _) => scene.text(
            format!("{name} 的 targetPort 是 {target}，而后端容器的日志说它监听的是 {offered}"),
            format!("{name} sends to targetPort {target}, but the container's log says that it listens on {offered}"),
        ),
        (true, false) => scene.text(
            format!("{name} 的 targetPort {target} 与后端容器端口（{offered}）不一致"),
            format!("{name} sends to targetPort {target}, but its containers offer {offered}"),
        ),
        (true, true) => scene.text(
            format!("{name} 的 targetPort {target} 按名称引用端口，而后端容器没有声明任何端口"),
            format!("{name} sends to targetPort {target} by name, but its containers declare no port"),
        ),
    };
    let said = wrong.told.iter().map(|(_, line)| line.clone());
    let workload = scene.workload(&pod.object);
    let moved = moved(scene, &workload, target);
    let summary = moved.as_ref().map_or_else(|| headline.clone(), |moved| format!("{headline}{moved}"));
    let finding = Finding::new("service_port_mismatch", Depth::Root, name, name, headline)
        .summary(summary)
        .confidence(wrong.confidence)
        .cite([cite_target(scene, service, target)].into_iter().chain(said))
        .touches([workload.clone()])
        .steps([
            look(
                scene.text("查看 Service 端口", "Read the Service's ports"),
                kubectl(&name.namespace, &format!("get service {} -o yaml", name.name)),
            ),
            change(set_to(scene, &offered), "", Some(kubectl(&name.namespace, &format!("edit service {}", name.name)))),
        ])
        .steps(moved.and_then(|_| back::step(scene, &workload)));
    Some(finding)
}

/// That the version before declared the port which the Service sends to, and the present one does not: since when.
fn moved(scene: &Scene<'_>, workload: &ObjectRef, target: &str) -> Option<String> {
    let sets = rollout::revisions(scene, workload);
    let (new, old) = (sets.first()?, sets.get(1)?);
    let declares = |set: &ReplicaSet| {
        let spec = pods::template(set);
        let mut ports = spec.into_iter().flat_map(|spec| &spec.containers).flat_map(|it| it.ports.iter().flatten());
        ports.any(|port| port.container_port.to_string() == target || port.name.as_deref() == Some(target))
    };
    let at = new.object.metadata.creation_timestamp.as_ref()?.0.strftime("%Y-%m-%d %H:%M:%S UTC");
    (declares(&old.object) && !declares(&new.object)).then(|| {
        scene.text(
            format!("；上一个版本的容器端口是 {target}，{at} 发布的新版本改掉了它"),
            format!("; the version before offered {target}, and the one released at {at} does not"),
        )
    })
}

/// The target where it is written, or the port that stands for it.
fn cite_target(scene: &Scene<'_>, service: &Seen<Service>, target: &str) -> Option<Citation> {
    scene.quote_any(&service.reference, &[&format!("targetPort: {target}"), &format!("port: {target}")])
}

fn set_to(scene: &Scene<'_>, offered: &str) -> String {
    if offered.is_empty() {
        return scene
            .text("让容器声明这个名称的端口，或改用端口号", "Declare a port of that name, or use the port's number");
    }
    scene.text(
        format!("把 targetPort 改为容器实际监听的端口（{offered}）"),
        format!("Set targetPort to the port the container listens on ({offered})"),
    )
}

impl<'s> Backend<'s> {
    fn of(scene: &Scene<'s>, pod: &'s Pod) -> Self {
        let views = pods::containers(pod);
        let own = || views.iter().filter(|view| !view.init);
        let probes = own().flat_map(|view| [&view.spec.readiness_probe, &view.spec.liveness_probe]).flatten();
        let asked: Vec<String> = probes.clone().filter_map(|probe| probe.http_get.as_ref()?.path.clone()).collect();
        let logs: Vec<(&str, &str)> = scene
            .logs(&named(pod), "")
            .into_iter()
            .filter_map(|log| Some((log.lines.as_deref().ok()?, log.reference.as_str())))
            .collect();
        Self {
            declared: own().flat_map(|view| view.spec.ports.iter().flatten()).collect(),
            probed: probes.filter_map(port_of).collect(),
            answers: logs.iter().any(|(text, _)| answers(text, &asked)),
            listening: logs
                .into_iter()
                .flat_map(|(text, log)| logs::listening(text).map(move |(port, line)| (port, line, log)))
                .collect(),
        }
    }

    /// A named port must be declared. A number need not be, since a container listens where it likes: that it is not
    /// declared says something only together with more.
    fn lacks(&self, scene: &Scene<'_>, name: &ObjectRef, all: &[ServicePort], port: &ServicePort) -> Option<Wrong> {
        let number = match &port.target_port {
            Some(IntOrString::String(wanted)) => {
                let known = self.declared.iter().any(|declared| declared.name.as_deref() == Some(wanted));
                let wrong = || Wrong { target: wanted.clone(), confidence: Confidence::High, told: Vec::new() };
                return (!known).then(wrong);
            }
            Some(IntOrString::Int(number)) => *number,
            None => port.port,
        };
        if self.offers(number) {
            return None;
        }
        let told = self.told_instead(scene, name, all, port);
        let confidence = self.doubt(scene, name, all, port, !told.is_empty())?;
        Some(Wrong { target: number.to_string(), confidence, told })
    }

    fn offers(&self, number: i32) -> bool {
        self.probed.contains(&IntOrString::Int(number))
            || self.listening.iter().any(|(port, ..)| *port == number)
            || self.declared.iter().any(|declared| declared.container_port == number)
    }

    /// How much speaks against a number that is declared nowhere; `None` where nothing does.
    fn doubt(
        &self,
        scene: &Scene<'_>,
        name: &ObjectRef,
        all: &[ServicePort],
        port: &ServicePort,
        told: bool,
    ) -> Option<Confidence> {
        let refused = traffic::refused(scene, name);
        if told && refused {
            return Some(Confidence::High);
        }
        let fails = refused || (all.len() == 1 && is_down(scene, name));
        if !fails && self.answers {
            return None;
        }
        let namesake = port.name.is_some() && self.declared.iter().any(|declared| declared.name == port.name);
        if told || namesake || (fails && !self.declared.is_empty()) {
            return Some(Confidence::Medium);
        }
        // One port here, one there, and nobody says that they are different things.
        let unnamed = |declared: &ContainerPort| port.name.is_none() || declared.name.is_none();
        let [declared] = self.declared.as_slice() else { return None };
        (all.len() == 1 && unnamed(declared)).then_some(Confidence::Low)
    }

    /// The other ports that the log names for the same purpose, and that the Service sends nothing else to.
    fn told_instead(
        &self,
        scene: &Scene<'_>,
        name: &ObjectRef,
        all: &[ServicePort],
        port: &ServicePort,
    ) -> Vec<(i32, Option<Citation>)> {
        let purpose = purpose(port.name.as_deref().unwrap_or_default()).or_else(|| purpose(&name.name));
        let free = |listens: i32| !all.iter().any(|other| self.target(other) == Some(listens));
        let mut told: Vec<(i32, Option<Citation>)> = Vec::new();
        for (listens, line, log) in &self.listening {
            let known = told.iter().any(|(port, _)| port == listens);
            if !known && free(*listens) && self::purpose(line) == purpose {
                told.push((*listens, scene.quote(log, line)));
            }
        }
        told
    }

    fn target(&self, port: &ServicePort) -> Option<i32> {
        match &port.target_port {
            Some(IntOrString::Int(number)) => Some(*number),
            Some(IntOrString::String(wanted)) => {
                let found = self.declared.iter().find(|declared| declared.name.as_ref() == Some(wanted));
                found.map(|declared| declared.container_port)
            }
            None => Some(port.port),
        }
    }

    /// The ports there are: those of the log where it tells, otherwise those that are declared.
    fn in_words(&self, wrong: &Wrong) -> String {
        let one = |port: &&ContainerPort| match &port.name {
            Some(name) => format!("{name}={}", port.container_port),
            None => port.container_port.to_string(),
        };
        let words: Vec<String> = match wrong.told.as_slice() {
            [] => self.declared.iter().map(one).collect(),
            told => told.iter().map(|(port, _)| port.to_string()).collect(),
        };
        words.join(", ")
    }
}

/// Whether an alert says of the Service that nobody answers when its metrics are fetched.
fn is_down(scene: &Scene<'_>, name: &ObjectRef) -> bool {
    let asks = scene.question.alert_names.iter().any(|alert| alerts::asks(alert).contains(&"scrape"));
    asks && scene.question.targets.contains(name)
}

fn purpose(words: &str) -> Option<String> {
    PURPOSE.group(words, 1).map(|found| found.to_ascii_lowercase())
}

fn port_of(probe: &Probe) -> Option<IntOrString> {
    let http = probe.http_get.as_ref().map(|it| it.port.clone());
    let socket = || probe.tcp_socket.as_ref().map(|it| it.port.clone());
    http.or_else(socket).or_else(|| probe.grpc.as_ref().map(|it| IntOrString::Int(it.port)))
}

/// Whether a log shows a request that was answered, other than those of probes.
fn answers(text: &str, probed: &[String]) -> bool {
    let own = |path: &String| !probed.contains(path) && !ASIDE.hits(path);
    let told = text.lines().filter(|line| !line.contains("kube-probe") && !logs::instructs(line));
    told.filter_map(|line| ANSWERED.group(line, 1)).any(|path| own(&path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, container, patched, pod, service};
    use crate::report::{Confidence, Verdict};

    fn sending_to(port: serde_json::Value) -> World {
        offering(json!({"port": 80, "targetPort": port}), json!([{"name": "http", "containerPort": 8080}]))
    }

    fn offering(port: serde_json::Value, declared: serde_json::Value) -> World {
        let containers = json!({"spec": {"containers": [container(json!({"ports": declared}))]}});
        World::asking("Service", "web")
            .with(patched(service(json!({"app": "web"})), json!({"spec": {"ports": [port]}})))
            .with(pod(containers))
    }

    #[test]
    fn a_name_no_container_declares_is_wrong() {
        assert_eq!(sending_to(json!("grpc")).cause(), "service_port_mismatch Service/web");
        sending_to(json!("http")).is_calm();
        let bare = offering(json!({"port": 80, "targetPort": "http"}), json!(null)).diagnosis().headline;
        assert!(bare.ends_with("its containers declare no port"), "{bare}");
    }

    #[test]
    fn a_number_is_doubted_by_declarations_and_settled_by_the_log() {
        assert_eq!(sending_to(json!(9090)).cause(), "service_port_mismatch Service/web");
        assert_eq!(sending_to(json!(9090)).diagnosis().verdict, Verdict::Inconclusive, "one may listen undeclared");
        sending_to(json!(9090)).log("web-1-a", "INFO metrics server listening on :9090").is_calm();
        sending_to(json!(8080)).is_calm();
    }

    #[test]
    fn the_port_that_the_log_names_is_said_and_quoted() {
        let world = offering(json!({"port": 80, "targetPort": 8080}), json!(null))
            .log("web-1-a", "Server listening at http://0.0.0.0:3000");
        let told = world.diagnosis();
        assert!(told.headline.ends_with("the container's log says that it listens on 3000"), "{}", told.headline);
        assert_eq!(told.causes[0].confidence, Confidence::Medium);
        assert!(told.causes[0].evidence.iter().any(|it| it.quote.contains("0.0.0.0:3000")));
    }

    #[test]
    fn a_number_that_nobody_declares_is_no_fault_where_the_pods_answer() {
        let apart = json!([{"name": "metrics", "containerPort": 9102}]);
        offering(json!({"name": "http", "port": 80, "targetPort": 8080}), apart).log("web-1-a", "INFO ready").is_calm();
        sending_to(json!(9090)).log("web-1-a", "GET / 200\nGET / 200").is_calm();
        offering(json!({"port": 80, "targetPort": 8080}), json!(null))
            .log("web-1-a", "INFO admin server listening on :9901\nINFO ready")
            .is_calm();
        let probed = json!({"spec": {"containers": [container(json!({"ports": null,
            "readinessProbe": {"tcpSocket": {"port": 8080}}}))]}});
        World::asking("Service", "web")
            .with(service(json!({"app": "web"})))
            .with(pod(probed))
            .log("web-1-a", "INFO listening on :3000")
            .is_calm();
    }

    #[test]
    fn one_port_more_than_the_log_tells_of_is_no_fault() {
        let two = json!([{"name": "http", "port": 80, "targetPort": "http"}, {"name": "grpc", "port": 9102, "targetPort": 9102}]);
        World::asking("Service", "web")
            .with(patched(service(json!({"app": "web"})), json!({"spec": {"ports": two}})))
            .with(pod(json!({})))
            .log("web-1-a", "INFO http listening on :8080")
            .is_calm();
    }

    #[test]
    fn calls_that_are_refused_make_an_undeclared_number_the_cause() {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]);
        let caller = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": owner}});
        let world = sending_to(json!(9090))
            .log("web-1-a", "GET /items 200")
            .with(pod(caller))
            .log("cart-1-a", "ERROR GET http://web/rates: dial tcp 10.96.0.7:80: connect: connection refused");
        let told = world.diagnosis();
        assert_eq!((told.verdict, told.causes[0].confidence), (Verdict::Fault, Confidence::Medium));
        assert_eq!(world.cause(), "service_port_mismatch Service/web");
    }
}
