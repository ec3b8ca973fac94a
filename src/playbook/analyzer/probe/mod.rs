//! Probes that fail: aimed at the wrong port, asked too early, or right about a sick application.

mod moved;
mod reasons;
mod scheme;

use k8s_openapi::api::core::v1::{Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{loopback, target_port};
use crate::alert::ObjectRef;
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::{Depth, Finding, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::report::Citation;

static STATUS: Pattern = Pattern::new(r"statuscode: (\d{3})");

/// Which of a container's probes fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Liveness,
    Readiness,
    Startup,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Liveness, Self::Startup, Self::Readiness];

    fn word(self) -> &'static str {
        match self {
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::Startup => "startup",
        }
    }

    fn of(self, view: &ContainerView<'_>) -> Option<Probe> {
        match self {
            Self::Liveness => view.spec.liveness_probe.clone(),
            Self::Readiness => view.spec.readiness_probe.clone(),
            Self::Startup => view.spec.startup_probe.clone(),
        }
    }

    /// Whether failing it ends the container.
    fn kills(self) -> bool {
        self != Self::Readiness
    }
}

/// A failing probe and everything that was seen of it.
struct Failing<'s> {
    pod: &'s Seen<Pod>,
    name: ObjectRef,
    workload: ObjectRef,
    view: ContainerView<'s>,
    kind: Kind,
    probe: Probe,
    event: &'s SeenEvent,
}

/// Whether a failed probe got no answer in time, by the kubelet's words.
pub(super) fn is_unanswered(message: &str) -> bool {
    ["context deadline exceeded", "Client.Timeout", "timed out after"].iter().any(|sign| message.contains(sign))
}

/// Findings about probes that fail now; a Pod that is Ready again has recovered.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // Without a readiness probe a container counts as ready between two kills.
    let unwell = |view: &ContainerView<'_>| !view.ready() || view.failing(scene.facts.now);
    let alive = |pod: &&Seen<Pod>| !pods::is_leaving(&pod.object) && !pods::is_finished(&pod.object);
    for pod in scene.pods.iter().filter(alive) {
        for view in pods::containers(&pod.object).into_iter().filter(unwell) {
            findings.extend(
                Kind::ALL.into_iter().find_map(|kind| failing(scene, pod, view, kind)).map(|it| explain(scene, &it)),
            );
        }
    }
    findings
}

fn failing<'s>(scene: &'s Scene<'_>, pod: &'s Seen<Pod>, view: ContainerView<'s>, kind: Kind) -> Option<Failing<'s>> {
    let probe = kind.of(&view)?;
    let name = named(&pod.object);
    let begins = format!("{} probe", kind.word());
    let told = |event: &&SeenEvent| event.message.to_ascii_lowercase().starts_with(&begins);
    let event = scene
        .events(&name, &["Unhealthy", "ProbeWarning"])
        .into_iter()
        .filter(told)
        .max_by_key(|event| event.last_seen)?;
    let waits_elsewhere = !matches!(view.waiting_reason(), "" | "CrashLoopBackOff");
    // A probe that ends its container shows in restarts; one that never did is not what keeps the Pod down.
    let recovered = !kind.kills() && view.ready();
    let harmless = recovered || (kind.kills() && view.restarts() == 0 && view.waiting_reason().is_empty());
    if waits_elsewhere || harmless || (kind.kills() && !killed(scene, &name, &view)) {
        return None;
    }
    let workload = scene.workload(&pod.object);
    Some(Failing { pod, name, workload, view, kind, probe, event })
}

fn killed(scene: &Scene<'_>, pod: &ObjectRef, view: &ContainerView<'_>) -> bool {
    let told = scene.events(pod, &["Killing"]).iter().any(|event| event.message.contains("probe"));
    let signalled = view.ended().is_some_and(|ended| matches!(ended.exit_code, 137 | 143));
    told || (signalled && view.ended().and_then(|ended| ended.reason.as_deref()) != Some("OOMKilled"))
}

fn explain(scene: &Scene<'_>, failing: &Failing<'_>) -> Finding {
    if let Some(finding) = scheme::run(scene, failing) {
        return finding;
    }
    let port = failing.probe_port();
    let declared = failing.declared_ports();
    let log = failing.log_ports(scene);
    let status = failing.status();
    let wrong_port = port.as_ref().is_none_or(|port| {
        let unknown = !declared.is_empty() && !declared.contains(port);
        let listens_elsewhere = !log.is_empty() && !log.iter().any(|(listening, _)| listening == port);
        // One that serves its metrics already may be about to serve the rest.
        let listens_elsewhere = listens_elsewhere && !(declared.contains(port) && failing.listens_aside(scene));
        status.is_none() && (listens_elsewhere || (unknown && log.is_empty()))
    });
    if failing.probe_port_name().is_some() && port.is_none() || (port.is_some() && wrong_port) {
        let moved = port.and_then(|port| moved::run(scene, failing, port, &log));
        return moved.unwrap_or_else(|| reasons::wrong_port(scene, failing, port, &declared, &log));
    }
    if status == Some(404) {
        return reasons::wrong_path(scene, failing);
    }
    if let Some(finding) = reasons::wrong_question(scene, failing).or_else(|| inward(scene, failing, port)) {
        return finding;
    }
    if failing.kind.kills() && failing.too_early(scene) {
        return reasons::too_early(scene, failing);
    }
    reasons::too_slow(scene, failing).unwrap_or_else(|| reasons::unhealthy(scene, failing))
}

/// The probe is refused though the process listens: inwards alone. One that ended by itself refuses whoever asks.
fn inward(scene: &Scene<'_>, failing: &Failing<'_>, port: Option<i32>) -> Option<Finding> {
    let alive = failing.kind.kills() || (failing.view.running() && !failing.view.failing(scene.facts.now));
    let refused = failing.event.message.contains("connection refused");
    let port = port.filter(|_| alive && refused)?;
    let effect = failing.consequence(scene);
    let told = (failing.kind.word(), port, effect.as_str());
    loopback::refused_probe(scene, failing.pod, &failing.view, told).map(|found| found.cite(failing.proof(scene)))
}

impl Failing<'_> {
    fn probe_target(&self) -> Option<IntOrString> {
        let http = self.probe.http_get.as_ref().map(|action| action.port.clone());
        let tcp = self.probe.tcp_socket.as_ref().map(|action| action.port.clone());
        http.or(tcp).or_else(|| self.probe.grpc.as_ref().map(|action| IntOrString::Int(action.port)))
    }

    fn probe_port_name(&self) -> Option<String> {
        match self.probe_target() {
            Some(IntOrString::String(name)) => Some(name),
            _ => None,
        }
    }

    fn probe_port(&self) -> Option<i32> {
        match self.probe_target()? {
            IntOrString::Int(port) => Some(port),
            IntOrString::String(name) => name.parse().ok().or_else(|| {
                let ports = self.view.spec.ports.as_deref().unwrap_or(&[]);
                ports.iter().find(|port| port.name.as_deref() == Some(&name)).map(|port| port.container_port)
            }),
        }
    }

    fn declared_ports(&self) -> Vec<i32> {
        self.view.spec.ports.iter().flatten().map(|port| port.container_port).collect()
    }

    fn log_ports(&self, scene: &Scene<'_>) -> Vec<(i32, String)> {
        let logs = scene.logs(&self.name, self.view.name());
        let texts = logs.iter().filter_map(|log| Some((log.lines.as_deref().ok()?, &log.reference)));
        texts
            .flat_map(|(text, reference)| {
                logs::listening_ports(text).into_iter().map(|port| (port, reference.clone())).collect::<Vec<_>>()
            })
            .collect()
    }

    /// Whether all that its log says it listens on is beside the application's own: metrics, administration.
    fn listens_aside(&self, scene: &Scene<'_>) -> bool {
        let logs = scene.logs(&self.name, self.view.name());
        let texts = logs.iter().filter_map(|log| log.lines.as_deref().ok());
        texts.flat_map(logs::listening).all(|(_, line)| target_port::is_aside(line))
    }

    fn status(&self) -> Option<u16> {
        STATUS.group(&self.event.message, 1)?.parse().ok()
    }

    /// Whether the container was ended within the time the probe gives it to start, before it listened. A liveness probe
    /// only begins after a startup probe has succeeded; a start that reports an error is no slow one.
    fn too_early(&self, scene: &Scene<'_>) -> bool {
        let patience = i64::from(
            self.probe.initial_delay_seconds.unwrap_or(0)
                + self.probe.period_seconds.unwrap_or(10) * self.probe.failure_threshold.unwrap_or(3),
        );
        let lived = self.view.ended().and_then(|ended| {
            Some(ended.finished_at.as_ref()?.0.as_second() - ended.started_at.as_ref()?.0.as_second())
        });
        let refused = self.event.message.contains("connection refused");
        let starting = match self.kind {
            Kind::Startup => scene.culprit(&self.name, self.view.name()).is_none(),
            _ => self.view.spec.startup_probe.is_none(),
        };
        starting && refused && lived.is_some_and(|lived| lived <= patience + 40)
    }

    /// The seconds a startup probe leaves a container to start; `None` for other probes.
    fn seconds_to_start(&self) -> Option<i32> {
        matches!(self.kind, Kind::Startup).then(|| {
            self.probe.initial_delay_seconds.unwrap_or(0)
                + self.probe.period_seconds.unwrap_or(10) * self.probe.failure_threshold.unwrap_or(3)
        })
    }

    fn proof(&self, scene: &Scene<'_>) -> Vec<Option<Citation>> {
        let words = self.event.message.split(['\n']).next().unwrap_or_default();
        vec![scene.quote(&self.event.reference, words)]
    }

    fn finding(&self, scene: &Scene<'_>, code: &'static str, depth: Depth, headline: String) -> Finding {
        Finding::new(code, depth, &self.name, &self.workload, headline).cite(self.proof(scene)).steps([look(
            scene.text("查看探针配置与失败事件", "Read the probe and its failures"),
            kubectl(&self.name.namespace, &format!("describe pod {}", self.name.name)),
        )])
    }

    fn consequence(&self, scene: &Scene<'_>) -> String {
        let restarts = self.view.restarts();
        if self.kind.kills() {
            return scene.text(
                format!("容器被反复重启（已 {restarts} 次）"),
                format!("so the container is restarted again and again ({restarts} times)"),
            );
        }
        scene.text("Pod 不会 Ready，不接收流量", "so the Pod is not Ready and gets no traffic")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, container, ended, patched, pod, unready};

    fn probed(kind: &str, probe: serde_json::Value, restarts: i32) -> serde_json::Value {
        let last = if restarts > 0 { ended(137, "Error", "2026-11-23T02:59:00Z") } else { json!({}) };
        let state = json!({"running": {"startedAt": "2026-11-23T02:59:10Z"}});
        let spec = json!({"spec": {"containers": [container(json!({kind: probe}))]}});
        pod(patched(unready(state, last, restarts), spec))
    }

    const REFUSED: &str = "Liveness probe failed: Get \"http://10.244.1.5:8081/healthz\": dial tcp 10.244.1.5:8081: connect: connection refused";

    #[test]
    fn a_liveness_probe_at_the_wrong_port_is_the_workloads_fault() {
        let world = World::asking("Pod", "web-1-a")
            .with(probed("livenessProbe", json!({"httpGet": {"path": "/healthz", "port": 8081}}), 9))
            .event("Pod", "web-1-a", "Unhealthy", REFUSED)
            .event("Pod", "web-1-a", "Killing", "Container web failed liveness probe, will be restarted")
            .log("web-1-a", "INFO http server listening on 0.0.0.0:8080\nINFO received SIGTERM, draining");
        assert_eq!(world.cause(), "liveness_probe_misconfigured Deployment/web");
        assert!(world.diagnosis().headline.contains("8081"));
    }

    #[test]
    fn a_container_killed_before_it_listens_is_asked_too_early() {
        let probe = json!({"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5, "failureThreshold": 3});
        let world = World::asking("Pod", "web-1-a")
            .with(probed("livenessProbe", probe, 6))
            .event("Pod", "web-1-a", "Unhealthy", &REFUSED.replace("8081", "8080"))
            .event("Pod", "web-1-a", "Killing", "Container web failed liveness probe, will be restarted")
            .log("web-1-a", "INFO loading model, 40% done");
        assert_eq!(world.cause(), "liveness_probe_too_early Deployment/web");
    }

    #[test]
    fn a_startup_probe_shorter_than_the_start_is_told_from_a_start_that_fails() {
        let starting = |log: &str| {
            let probe = json!({"httpGet": {"path": "/up", "port": 8080}, "periodSeconds": 5, "failureThreshold": 6});
            World::asking("Pod", "web-1-a")
                .with(probed("startupProbe", probe, 12))
                .event("Pod", "web-1-a", "Unhealthy", &REFUSED.replace("8081", "8080").replace("Liveness", "Startup"))
                .event("Pod", "web-1-a", "Killing", "Container web failed startup probe, will be restarted")
                .log("web-1-a", log)
        };
        let slow = starting("INFO loading model, 40% done");
        assert_eq!(slow.cause(), "startup_probe_too_early Deployment/web");
        assert!(slow.diagnosis().headline.contains("30 s"));
        let failing = starting("INFO up\nERROR cannot load the model: unexpected end of file");
        assert_eq!(failing.cause(), "startup_probe_failing Deployment/web");
    }

    #[test]
    fn an_application_that_answers_500_is_sick_itself() {
        let world = World::asking("Pod", "web-1-a")
            .with(probed("readinessProbe", json!({"httpGet": {"path": "/ready", "port": 8080}}), 0))
            .event("Pod", "web-1-a", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 500")
            .log("web-1-a", "ERROR jwks: cannot load signing keys: no such file");
        assert_eq!(world.cause(), "readiness_probe_failing Deployment/web");
        assert!(world.diagnosis().headline.contains("cannot load signing keys"));
    }

    #[test]
    fn an_application_that_is_not_ready_for_an_expired_certificate_says_so() {
        let world = World::asking("Pod", "web-1-a")
            .with(probed("readinessProbe", json!({"httpGet": {"path": "/ready", "port": 8080}}), 0))
            .event("Pod", "web-1-a", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
            .log(
                "web-1-a",
                "ERROR upstream: tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
            );
        assert_eq!(world.cause(), "certificate_expired Deployment/web");
        assert!(world.diagnosis().steps.iter().any(|step| step.title.contains("Renew")));
    }

    #[test]
    fn a_path_that_is_not_served_is_the_probes_fault() {
        let world = World::asking("Pod", "web-1-a")
            .with(probed("readinessProbe", json!({"httpGet": {"path": "/redy", "port": 8080}}), 0))
            .event("Pod", "web-1-a", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404");
        assert_eq!(world.cause(), "readiness_probe_misconfigured Deployment/web");
        assert!(world.diagnosis().headline.contains("/redy"));
    }

    #[test]
    fn a_probe_that_asks_the_wrong_way_is_told_from_a_sick_application() {
        let asked = |message: &str, log: &str| {
            World::asking("Pod", "web-1-a")
                .with(probed("readinessProbe", json!({"httpGet": {"path": "/ready", "port": 8080}}), 0))
                .event("Pod", "web-1-a", "Unhealthy", message)
                .log("web-1-a", log)
        };
        let scheme = "Readiness probe failed: Get \"https://10.244.1.5:8080/ready\": http: server gave HTTP response to HTTPS client";
        assert_eq!(asked(scheme, "INFO up").cause(), "readiness_probe_misconfigured Deployment/web");
        let slow = "Readiness probe failed: Get \"http://10.244.1.5:8080/ready\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
        assert_eq!(asked(slow, "INFO up").cause(), "readiness_probe_timeout Deployment/web");
        assert_eq!(asked(slow, "ERROR pool exhausted: 100/100").cause(), "readiness_probe_failing Deployment/web");
    }

    #[test]
    fn a_pod_that_is_ready_again_stays_quiet() {
        let probe = json!({"livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}}});
        let world = World::asking("Pod", "web-1-a")
            .with(pod(json!({"spec": {"containers": [container(probe)]}})))
            .event("Pod", "web-1-a", "Unhealthy", &REFUSED.replace("8081", "8080"));
        world.is_calm();
    }

    #[test]
    fn between_two_kills_a_container_without_readiness_probe_counts_as_ready() {
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let mut looping =
            patched(probed("livenessProbe", json!({"httpGet": {"path": "/healthz", "port": 8081}}), 9), ready);
        looping["status"]["containerStatuses"][0]["ready"] = json!(true);
        let world = World::asking("Pod", "web-1-a")
            .with(looping)
            .event("Pod", "web-1-a", "Unhealthy", REFUSED)
            .event("Pod", "web-1-a", "Killing", "Container web failed liveness probe, will be restarted")
            .log("web-1-a", "INFO http server listening on 0.0.0.0:8080");
        assert_eq!(world.cause(), "liveness_probe_misconfigured Deployment/web");
    }

    /// A container that a probe of this kind kills, with what the kubelet says of the probe.
    fn killed(kind: &str, message: &str, log: &str) -> World {
        let word = kind.trim_end_matches("Probe");
        let (first, rest) = word.split_at(1);
        World::asking("Pod", "web-1-a")
            .with(probed(kind, json!({"httpGet": {"path": "/up", "port": 8080}}), 6))
            .event("Pod", "web-1-a", "Unhealthy", &format!("{}{rest} probe failed: {message}", first.to_uppercase()))
            .event("Pod", "web-1-a", "Killing", &format!("Container web failed {word} probe, will be restarted"))
            .log("web-1-a", log)
    }

    const SLOW: &str =
        "Get \"http://10.244.1.5:8080/up\": context deadline exceeded (Client.Timeout exceeded while awaiting headers)";

    #[test]
    fn an_answer_too_late_and_an_answer_of_sickness_are_told_apart() {
        let status = "HTTP probe failed with statuscode: 500";
        assert_eq!(killed("livenessProbe", SLOW, "INFO up").cause(), "liveness_probe_timeout Deployment/web");
        assert_eq!(killed("startupProbe", SLOW, "INFO up").cause(), "startup_probe_timeout Deployment/web");
        let sick = killed("livenessProbe", status, "ERROR deadlock detected in worker pool");
        assert_eq!(sick.cause(), "liveness_probe_failing Deployment/web");
        assert!(sick.diagnosis().headline.contains("deadlock detected"));
    }

    #[test]
    fn a_startup_probe_at_a_path_nobody_serves_is_the_probes_fault() {
        let world = killed("startupProbe", "HTTP probe failed with statuscode: 404", "INFO up");
        assert_eq!(world.cause(), "startup_probe_misconfigured Deployment/web");
    }

    #[test]
    fn a_start_that_took_some_tries_of_its_probe_is_no_fault() {
        let probe = json!({"startupProbe": {"httpGet": {"path": "/up", "port": 8080}}});
        World::asking("Pod", "web-1-a")
            .with(pod(json!({"spec": {"containers": [container(probe)]}})))
            .event("Pod", "web-1-a", "Unhealthy", &format!("Startup probe failed: {SLOW}"))
            .is_calm();
    }

    #[test]
    fn a_command_the_image_does_not_have_is_named() {
        let words = "Readiness probe errored and resulted in unknown state: OCI runtime exec failed: exec: \"curl\": executable file not found in $PATH";
        let world = World::asking("Pod", "web-1-a")
            .with(probed("readinessProbe", json!({"exec": {"command": ["curl", "-f", "http://localhost:8080"]}}), 0))
            .event("Pod", "web-1-a", "Unhealthy", words);
        assert_eq!(world.cause(), "readiness_probe_misconfigured Deployment/web");
        assert!(world.diagnosis().headline.contains("does not have (curl)"));
    }
}
