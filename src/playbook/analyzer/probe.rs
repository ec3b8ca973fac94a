//! Probes that fail: aimed at the wrong port, asked too early, or right about a sick application.

use k8s_openapi::api::core::v1::{Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::alert::ObjectRef;
use crate::playbook::facts::{Seen, SeenEvent};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence};

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

/// Findings about probes that fail now; a Pod that is Ready again has recovered.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let unwell = |pod: &&Seen<Pod>| {
        !pods::is_ready(&pod.object) && !pods::is_leaving(&pod.object) && !pods::is_finished(&pod.object)
    };
    for pod in scene.pods.iter().filter(unwell) {
        for view in pods::containers(&pod.object).into_iter().filter(|view| !view.ready()) {
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
    let harmless = kind.kills() && view.restarts() == 0 && view.waiting_reason().is_empty();
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
    let port = failing.probe_port();
    let declared = failing.declared_ports();
    let log = failing.log_ports(scene);
    let status = failing.status();
    let wrong_port = port.as_ref().is_none_or(|port| {
        let unknown = !declared.is_empty() && !declared.contains(port);
        let listens_elsewhere = !log.is_empty() && !log.iter().any(|(listening, _)| listening == port);
        status.is_none() && (listens_elsewhere || (unknown && log.is_empty()))
    });
    if failing.probe_port_name().is_some() && port.is_none() || (port.is_some() && wrong_port) {
        return wrong_port_finding(scene, failing, port, &declared, &log);
    }
    if status == Some(404) {
        return wrong_path(scene, failing);
    }
    if failing.kind.kills() && failing.too_early() {
        return too_early(scene, failing);
    }
    unhealthy(scene, failing)
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

    fn status(&self) -> Option<u16> {
        STATUS.group(&self.event.message, 1)?.parse().ok()
    }

    /// Whether the container was ended within the time the probe gives it to start, without a startup probe.
    fn too_early(&self) -> bool {
        let patience = i64::from(
            self.probe.initial_delay_seconds.unwrap_or(0)
                + self.probe.period_seconds.unwrap_or(10) * self.probe.failure_threshold.unwrap_or(3),
        );
        let lived = self.view.ended().and_then(|ended| {
            Some(ended.finished_at.as_ref()?.0.as_second() - ended.started_at.as_ref()?.0.as_second())
        });
        let refused = self.event.message.contains("connection refused");
        self.view.spec.startup_probe.is_none() && refused && lived.is_some_and(|lived| lived <= patience + 40)
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

    fn edit(&self) -> Option<String> {
        (self.workload.kind != "Pod")
            .then(|| kubectl(&self.workload.namespace, &format!("edit {}", slash(&self.workload))))
    }
}

fn wrong_port_finding(
    scene: &Scene<'_>,
    failing: &Failing<'_>,
    port: Option<i32>,
    declared: &[i32],
    log: &[(i32, String)],
) -> Finding {
    let word = failing.kind.word();
    let asked = port.map(|port| port.to_string()).or_else(|| failing.probe_port_name()).unwrap_or_default();
    let right = log.first().map(|(port, _)| *port).or_else(|| declared.first().copied());
    let right = right.map(|port| port.to_string()).unwrap_or_default();
    let (workload, container) = (&failing.workload, failing.view.name());
    let headline = scene.text(
        format!("{workload} 的 {word} 探针配置错误：探测端口 {asked}，而容器 {container} 监听的是 {right}"),
        format!("{workload} has a misconfigured {word} probe: it asks port {asked}, but container {container} listens on {right}"),
    );
    let source_zh = if log.is_empty() { "containerPort 声明" } else { "日志" };
    let source_en = if log.is_empty() { "by its containerPort" } else { "by its log" };
    let effect = failing.consequence(scene);
    let summary = scene.text(
        format!("{word} 探针访问端口 {asked}，应用实际使用端口 {right}（依据{source_zh}），{effect}。"),
        format!("The {word} probe asks port {asked} while the application uses {right} ({source_en}), {effect}."),
    );
    let code = match failing.kind {
        Kind::Liveness => "liveness_probe_misconfigured",
        Kind::Readiness => "readiness_probe_misconfigured",
        Kind::Startup => "startup_probe_misconfigured",
    };
    let listening = log.first().and_then(|(port, reference)| {
        scene
            .quote_line(reference, &["isten", &port.to_string()])
            .or_else(|| scene.quote_line(reference, &[&port.to_string()]))
    });
    failing
        .finding(scene, code, Depth::Root, headline)
        .summary(summary)
        .confidence(if log.is_empty() { Confidence::Medium } else { Confidence::High })
        .cite([
            listening,
            scene.quote(&failing.pod.reference, &format!("port: {asked}")),
            scene.quote(&failing.pod.reference, &format!("containerPort: {right}")),
        ])
        .ruled_out(
            scene.text("应用自身崩溃", "a crash of the application"),
            scene.text(
                "日志显示应用已正常启动，是 kubelet 因探针失败而处置它",
                "its log shows a normal start; the kubelet acts because of the probe",
            ),
        )
        .steps([change(
            scene.text(
                format!("把 {word} 探针的端口从 {asked} 改为 {right}"),
                format!("Change the {word} probe's port from {asked} to {right}"),
            ),
            scene.text("发布后确认重启次数不再增加、Pod Ready", "Then see that restarts stop and the Pod turns Ready"),
            failing.edit(),
        )])
}

fn wrong_path(scene: &Scene<'_>, failing: &Failing<'_>) -> Finding {
    let word = failing.kind.word();
    let path = failing.probe.http_get.as_ref().and_then(|action| action.path.clone()).unwrap_or_default();
    let workload = &failing.workload;
    let effect = failing.consequence(scene);
    let headline = scene.text(
        format!("{workload} 的 {word} 探针路径 {path} 返回 404，{effect}"),
        format!("{workload}: the {word} probe's path {path} answers 404, {effect}"),
    );
    failing
        .finding(
            scene,
            if failing.kind == Kind::Liveness {
                "liveness_probe_misconfigured"
            } else {
                "readiness_probe_misconfigured"
            },
            Depth::Root,
            headline,
        )
        .cite([scene.quote(&failing.pod.reference, &format!("path: {path}"))])
        .steps([change(
            scene.text(
                format!("把 {word} 探针的路径改为应用真正提供的健康检查路径"),
                format!("Point the {word} probe at a path the application serves"),
            ),
            scene.text(format!("当前路径：{path}"), format!("Now: {path}")),
            failing.edit(),
        )])
}

fn too_early(scene: &Scene<'_>, failing: &Failing<'_>) -> Finding {
    let word = failing.kind.word();
    let workload = &failing.workload;
    let delay = failing.probe.initial_delay_seconds.unwrap_or(0);
    let (period, threshold) =
        (failing.probe.period_seconds.unwrap_or(10), failing.probe.failure_threshold.unwrap_or(3));
    let patience = delay + period * threshold;
    let headline = scene.text(
        format!("{workload} 的 {word} 探针过早：容器启动约 {patience} 秒后仍未监听就被重启，从未启动完成"),
        format!("{workload}: the {word} probe gives up too early: the container is restarted about {patience} s after its start, before it listens"),
    );
    failing
        .finding(scene, "liveness_probe_too_early", Depth::Mechanism, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&failing.pod.reference, &format!("failureThreshold: {threshold}"))])
        .steps([change(
            scene.text(
                "增加 startupProbe，或增大 initialDelaySeconds/failureThreshold",
                "Add a startupProbe, or raise initialDelaySeconds or failureThreshold",
            ),
            scene.text(
                format!("当前容忍时间：{delay} + {period} × {threshold} = {patience} 秒"),
                format!("Patience now: {delay} + {period} x {threshold} = {patience} s"),
            ),
            failing.edit(),
        )])
}

fn unhealthy(scene: &Scene<'_>, failing: &Failing<'_>) -> Finding {
    let word = failing.kind.word();
    let workload = &failing.workload;
    let culprit = scene.culprit(&failing.name, failing.view.name());
    let said = culprit.as_ref().map(|(line, _)| logs::said(line));
    let answer = logs::shorten(failing.event.message.split_once(": ").map_or("", |(_, rest)| rest), 120);
    let why_zh = said.as_ref().map_or_else(String::new, |said| format!("，日志：{said}"));
    let why_en = said.as_ref().map_or_else(String::new, |said| format!("; its log: {said}"));
    let headline = scene.text(
        format!("{workload} 的 {word} 探针失败（{answer}）{why_zh}"),
        format!("{workload} fails its {word} probe ({answer}){why_en}"),
    );
    let (count, effect) = (failing.event.count, failing.consequence(scene));
    let summary = scene.text(
        format!("{} 的 {word} 探针已失败 {count} 次（{answer}），{effect}{why_zh}。", failing.name),
        format!("{} failed its {word} probe {count} times ({answer}), {effect}{why_en}.", failing.name),
    );
    let code = if failing.kind.kills() { "liveness_probe_failing" } else { "readiness_probe_failing" };
    let depth = if failing.kind.kills() { Depth::Mechanism } else { Depth::Effect };
    let known = culprit.is_some();
    let finding = failing
        .finding(scene, code, depth, headline)
        .summary(summary)
        .confidence(if known { Confidence::High } else { Confidence::Medium })
        .cite([culprit.and_then(|(_, citation)| citation)])
        .steps([
            look(
                scene.text("查看应用日志", "Read the application's log"),
                kubectl(
                    &failing.name.namespace,
                    &format!("logs {} -c {} --tail=100", failing.name.name, failing.view.name()),
                ),
            ),
            change(
                scene.text("按日志修复应用，使健康检查恢复", "Fix what the log names so that the check passes again"),
                "",
                None,
            ),
        ]);
    if known {
        return finding;
    }
    finding.gap(super::crash::missing_log(scene, &failing.name, failing.view.name()))
}
