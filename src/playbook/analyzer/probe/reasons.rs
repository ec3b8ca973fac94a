//! Why a probe fails, once it is known that it does.

use super::{Failing, Kind};
use crate::playbook::analyzer::crash;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::scene::Scene;
use crate::playbook::{logs, reach};
use crate::report::{Confidence, Step};

pub(super) fn wrong_port(
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
    let listening = log.first().and_then(|(port, reference)| {
        scene
            .quote_line(reference, &["isten", &port.to_string()])
            .or_else(|| scene.quote_line(reference, &[&port.to_string()]))
    });
    failing
        .finding(scene, misconfigured(failing.kind), Depth::Root, headline)
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
            if failing.view.restarts() > 0 {
                scene.text(
                    "发布后确认重启次数不再增加、Pod Ready",
                    "Then see that restarts stop and the Pod turns Ready",
                )
            } else {
                scene.text("发布后确认 Pod Ready", "Then see that the Pod turns Ready")
            },
            edit_template(&failing.workload),
        )])
}

pub(super) fn misconfigured(kind: Kind) -> &'static str {
    match kind {
        Kind::Liveness => "liveness_probe_misconfigured",
        Kind::Readiness => "readiness_probe_misconfigured",
        Kind::Startup => "startup_probe_misconfigured",
    }
}

/// The application answers, but the probe asks in a way it cannot: without credentials, with a command the image does
/// not have.
pub(super) fn wrong_question(scene: &Scene<'_>, failing: &Failing<'_>) -> Option<Finding> {
    const SIGNS: [(&str, &str, &str); 4] = [
        ("statuscode: 401", "探针路径需要认证（401）", "its path asks for credentials (401)"),
        ("statuscode: 403", "探针路径拒绝访问（403）", "its path refuses access (403)"),
        ("executable file not found", "探针执行的命令在镜像中不存在", "it runs a command the image does not have"),
        ("statuscode: 405", "探针路径不接受 GET 请求（405）", "its path accepts no GET (405)"),
    ];
    let (_, zh, en) = SIGNS.iter().find(|(sign, ..)| failing.event.message.contains(sign))?;
    let command = failing.probe.exec.as_ref().and_then(|it| it.command.as_ref()?.first().cloned());
    let command =
        command.map(|command| scene.text(format!("（{command}）"), format!(" ({command})"))).unwrap_or_default();
    let (zh, en) = (format!("{zh}{command}"), format!("{en}{command}"));
    let (word, workload, effect) = (failing.kind.word(), &failing.workload, failing.consequence(scene));
    let headline = scene.text(
        format!("{workload} 的 {word} 探针配置错误：{zh}，{effect}"),
        format!("{workload} has a misconfigured {word} probe: {en}, {effect}"),
    );
    Some(failing.finding(scene, misconfigured(failing.kind), Depth::Root, headline).steps([change(
        scene.text(format!("修正 {word} 探针"), format!("Correct the {word} probe")),
        scene.text(zh, en),
        edit_template(&failing.workload),
    )]))
}

/// The application answers too slowly for the probe, and its log reports nothing else.
pub(super) fn too_slow(scene: &Scene<'_>, failing: &Failing<'_>) -> Option<Finding> {
    let quiet = scene.culprit(&failing.name, failing.view.name()).is_none();
    if !quiet || !super::is_unanswered(&failing.event.message) {
        return None;
    }
    let seconds = failing.probe.timeout_seconds.unwrap_or(1);
    let (word, workload, effect) = (failing.kind.word(), &failing.workload, failing.consequence(scene));
    let headline = scene.text(
        format!("{workload} 的 {word} 探针超时：应用没有在 timeoutSeconds {seconds} 秒内应答，{effect}"),
        format!("{workload}: the {word} probe times out, no answer within its timeoutSeconds of {seconds}, {effect}"),
    );
    let (code, depth) = match failing.kind {
        Kind::Liveness => ("liveness_probe_timeout", Depth::Mechanism),
        Kind::Startup => ("startup_probe_timeout", Depth::Mechanism),
        Kind::Readiness => ("readiness_probe_timeout", Depth::Effect),
    };
    Some(
        failing
            .finding(scene, code, depth, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&failing.pod.reference, &format!("timeoutSeconds: {seconds}"))])
            .unresolved(scene.text(
                "应用为何应答缓慢：CPU 限流、GC、依赖缓慢，还是负载过高？",
                "Why is it slow: CPU throttling, garbage collection, a slow dependency, or load?",
            ))
            .steps([
                look(
                    scene.text("查看 CPU 与内存用量", "See what CPU and memory it uses"),
                    kubectl(&failing.name.namespace, &format!("top pod {} --containers", failing.name.name)),
                ),
                change(
                    scene.text(
                        format!("查明缓慢的原因；必要时增大 {word} 探针的 timeoutSeconds"),
                        format!("Find why it is slow; raise the {word} probe's timeoutSeconds if that is normal"),
                    ),
                    scene.text(format!("目前为 {seconds} 秒"), format!("It is {seconds} s now")),
                    edit_template(&failing.workload),
                ),
            ]),
    )
}

pub(super) fn wrong_path(scene: &Scene<'_>, failing: &Failing<'_>) -> Finding {
    let word = failing.kind.word();
    let path = failing.probe.http_get.as_ref().and_then(|action| action.path.clone()).unwrap_or_default();
    let workload = &failing.workload;
    let effect = failing.consequence(scene);
    let headline = scene.text(
        format!("{workload} 的 {word} 探针路径 {path} 返回 404，{effect}"),
        format!("{workload}: the {word} probe's path {path} answers 404, {effect}"),
    );
    // Whatever serves the Pod may have lost what it served: then the path is right.
    let told = reach::repeated(scene, &failing.pod.object, logs::is_error);
    let summary = match told {
        Some((_, line, _)) => {
            let said = logs::said(line);
            scene.text(
                format!("{headline}；同时它的日志反复报错：{said}"),
                format!("{headline}; its log keeps saying: {said}"),
            )
        }
        None => headline.clone(),
    };
    failing
        .finding(scene, misconfigured(failing.kind), Depth::Root, headline)
        .summary(summary)
        .confidence(if told.is_some() { Confidence::Medium } else { Confidence::High })
        .cite([
            scene.quote(&failing.pod.reference, &format!("path: {path}")),
            told.and_then(|(log, line, _)| scene.quote(&log.reference, line)),
        ])
        .steps([change(
            scene.text(
                format!("把 {word} 探针的路径改为应用真正提供的健康检查路径"),
                format!("Point the {word} probe at a path the application serves"),
            ),
            scene.text(format!("当前路径：{path}"), format!("Now: {path}")),
            edit_template(&failing.workload),
        )])
}

pub(super) fn too_early(scene: &Scene<'_>, failing: &Failing<'_>) -> Finding {
    let word = failing.kind.word();
    let workload = &failing.workload;
    let delay = failing.probe.initial_delay_seconds.unwrap_or(0);
    let (period, threshold) =
        (failing.probe.period_seconds.unwrap_or(10), failing.probe.failure_threshold.unwrap_or(3));
    let patience = delay + period * threshold;
    let (code, remedy) = match failing.kind {
        Kind::Startup => (
            "startup_probe_too_early",
            scene.text("增大 startup 探针的 failureThreshold", "Raise the startup probe's failureThreshold"),
        ),
        _ => (
            "liveness_probe_too_early",
            scene.text(
                "增加 startupProbe，或增大 initialDelaySeconds/failureThreshold",
                "Add a startupProbe, or raise initialDelaySeconds or failureThreshold",
            ),
        ),
    };
    let headline = scene.text(
        format!("{workload} 的 {word} 探针过早：容器启动约 {patience} 秒后仍未监听就被重启，从未启动完成"),
        format!("{workload}: the {word} probe gives up too early: the container is restarted about {patience} s after its start, before it listens"),
    );
    failing
        .finding(scene, code, Depth::Mechanism, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&failing.pod.reference, &format!("failureThreshold: {threshold}"))])
        .steps([change(
            remedy,
            scene.text(
                format!("当前容忍时间：{delay} + {period} × {threshold} = {patience} 秒"),
                format!("Patience now: {delay} + {period} x {threshold} = {patience} s"),
            ),
            edit_template(&failing.workload),
        )])
}

pub(super) fn unhealthy(scene: &Scene<'_>, failing: &Failing<'_>) -> Finding {
    let word = failing.kind.word();
    let workload = &failing.workload;
    let culprit = scene.culprit(&failing.name, failing.view.name());
    let known = culprit.is_some();
    let culprit = culprit.or_else(|| scene.warning(&failing.name, failing.view.name()));
    let said = culprit.as_ref().map(|(line, _)| logs::said(line));
    let answer = logs::shorten(failing.event.message.split_once(": ").map_or("", |(_, rest)| rest), 120);
    let why_zh = said.as_ref().map_or_else(String::new, |said| format!("，日志：{said}"));
    let why_en = said.as_ref().map_or_else(String::new, |said| format!("; its log: {said}"));
    let headline = scene.text(
        format!("{workload} 的 {word} 探针失败（{answer}）{why_zh}"),
        format!("{workload} fails its {word} probe ({answer}){why_en}"),
    );
    let (times, effect) = (scene.times(failing.event.count), failing.consequence(scene));
    let summary = scene.text(
        format!("{} 的 {word} 探针失败（{answer}）{times}，{effect}{why_zh}。", failing.name),
        format!("{} fails its {word} probe ({answer}){times}, {effect}{why_en}.", failing.name),
    );
    let expired = culprit.as_ref().is_some_and(|(line, _)| crash::tells_of_expiry(line));
    let (code, depth) = match failing.kind {
        _ if expired => ("certificate_expired", Depth::Mechanism),
        Kind::Liveness => ("liveness_probe_failing", Depth::Mechanism),
        Kind::Startup => ("startup_probe_failing", Depth::Mechanism),
        Kind::Readiness => ("readiness_probe_failing", Depth::Effect),
    };
    let told = culprit.is_some();
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
            if expired { crash::renew(scene) } else { repair(scene) },
        ]);
    let finding = match failing.seconds_to_start() {
        Some(seconds) => finding.steps([change(
            scene.text(
                "若应用启动本来就慢，增大 startup 探针的 failureThreshold",
                "If it starts slowly by nature, raise the startup probe's failureThreshold",
            ),
            scene.text(format!("目前只给 {seconds} 秒"), format!("It has {seconds} seconds now")),
            edit_template(&failing.workload),
        )]),
        None => finding,
    };
    if told {
        return finding;
    }
    finding.gap(crash::missing_log(scene, &failing.name, failing.view.name()))
}

fn repair(scene: &Scene<'_>) -> Step {
    change(
        scene.text("按日志修复应用，使健康检查恢复", "Fix what the log names so that the check passes again"),
        "",
        None,
    )
}
