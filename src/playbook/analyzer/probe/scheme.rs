//! Scheme: a probe that asks with another protocol than the port speaks. Something answers there, so neither the port nor the
//! application is at fault.

use super::{Failing, reasons};
use crate::playbook::finding::{Depth, Finding, change, edit_template};
use crate::playbook::protocol::{self, Mismatch};
use crate::playbook::scene::Scene;
use crate::report::Citation;

/// The first bytes of HTTP/2 as Go prints them: a frame of settings.
const SETTINGS: &str = r#"malformed HTTP response "\x00\x00"#;

/// What the probe speaks, and what the port does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoken {
    TlsToPlain,
    PlainToTls,
    ToHttp2,
}

impl Spoken {
    /// Each side in words: the probe's, the port's, and the scheme that fits.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::TlsToPlain => ("HTTPS", "HTTP", "HTTP"),
            Self::PlainToTls => ("HTTP", "HTTPS", "HTTPS"),
            Self::ToHttp2 => ("HTTP/1.1", "HTTP/2", ""),
        }
    }
}

/// The finding for a probe whose scheme is not the port's.
pub(super) fn run(scene: &Scene<'_>, failing: &Failing<'_>) -> Option<Finding> {
    let (spoken, proof) = told(scene, failing)?;
    let (word, workload, container) = (failing.kind.word(), &failing.workload, failing.view.name());
    let (asks, speaks, scheme) = spoken.words();
    let port = failing.probe_port().map(|port| port.to_string()).or_else(|| failing.probe_port_name());
    let port = port.unwrap_or_default();
    let effect = failing.consequence(scene);
    let headline = scene.text(
        format!("{workload} 的 {word} 探针配置错误：它用 {asks} 探测端口 {port}，而容器 {container} 在该端口提供的是 {speaks}（scheme 不符），{effect}"),
        format!("{workload} has a misconfigured {word} probe: it asks port {port} with {asks} while container {container} speaks {speaks} there (scheme), {effect}"),
    );
    let found = failing
        .finding(scene, reasons::misconfigured(failing.kind), Depth::Root, headline)
        .cite([scene.quote(&failing.pod.reference, &format!("scheme: {asks}")), proof]);
    Some(found.steps([if spoken == Spoken::ToHttp2 {
        change(
            scene.text(
                format!("把 {word} 探针改为 grpc 探针，或探测一个提供 HTTP/1.1 的端口"),
                format!("Make it a grpc probe, or point the {word} probe at a port that speaks HTTP/1.1"),
            ),
            scene.text(
                "kubelet 的 httpGet 探针在明文上只使用 HTTP/1.1",
                "Without TLS the kubelet's httpGet asks with HTTP/1.1 alone",
            ),
            edit_template(workload),
        )
    } else {
        change(
            scene.text(
                format!("把容器 {container} 的 {word}Probe.httpGet.scheme 改为 {scheme}"),
                format!("Set {word}Probe.httpGet.scheme of container {container} to {scheme}"),
            ),
            scene.text(
                format!("当前为 {asks}；若 TLS 的开关是应用最近改的，也可改回应用的设置"),
                format!("It is {asks} now; if the application switched TLS by mistake, correct that instead"),
            ),
            edit_template(workload),
        )
    }]))
}

/// What the kubelet says of the answer it got; where it only tells a status of 400, what the server says of plain text that
/// came to its port for TLS.
fn told(scene: &Scene<'_>, failing: &Failing<'_>) -> Option<(Spoken, Option<Citation>)> {
    let message = &failing.event.message;
    if message.contains(SETTINGS) {
        return Some((Spoken::ToHttp2, None));
    }
    let by_kubelet = match protocol::told(message) {
        Some(Mismatch::TlsToPlain) => Some(Spoken::TlsToPlain),
        Some(Mismatch::PlainToTls) => Some(Spoken::PlainToTls),
        _ => None,
    };
    if let Some(spoken) = by_kubelet {
        return Some((spoken, None));
    }
    let is_plain = failing.probe.http_get.as_ref()?.scheme.as_deref().is_none_or(|scheme| scheme != "HTTPS");
    if failing.status() != Some(400) || !is_plain {
        return None;
    }
    scene.logs(&failing.name, failing.view.name()).into_iter().find_map(|log| {
        let heard = protocol::heard(log.lines.as_deref().ok()?);
        let heard = heard.iter().find(|heard| heard.mismatch == Mismatch::PlainToTls)?;
        Some((Spoken::PlainToTls, scene.quote(&log.reference, heard.line)))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, patched, pod, unready};

    fn asked(scheme: Option<&str>, message: &str, log: &str) -> World {
        let probe = json!({"httpGet": {"path": "/ready", "port": 8443, "scheme": scheme}});
        let state = json!({"running": {"startedAt": "2026-11-23T02:50:00Z"}});
        let spec = json!({"spec": {"containers": [container(json!({"readinessProbe": probe}))]}});
        let unready: Value = patched(unready(state, json!({}), 0), spec);
        World::asking("Pod", "web-1-a")
            .with(pod(unready))
            .event("Pod", "web-1-a", "Unhealthy", &format!("Readiness probe failed: {message}"))
            .log("web-1-a", log)
    }

    fn step(world: &World) -> String {
        assert_eq!(world.cause(), "readiness_probe_misconfigured Deployment/web");
        let steps = world.diagnosis().steps;
        steps.into_iter().find(|step| step.effect == crate::report::Effect::Changes).unwrap().title
    }

    #[test]
    fn a_probe_with_tls_at_a_plain_port_names_the_field_whatever_the_log_listens_on() {
        let message = "Get \"https://10.244.1.5:8443/ready\": http: server gave HTTP response to HTTPS client";
        let world = asked(Some("HTTPS"), message, "INFO metrics listening on :9100\n");
        assert_eq!(step(&world), "Set readinessProbe.httpGet.scheme of container web to HTTP");
        let headline = world.diagnosis().headline;
        assert!(headline.contains("asks port 8443 with HTTPS") && headline.contains("speaks HTTP there"), "{headline}");
    }

    #[test]
    fn a_plain_probe_at_a_port_for_tls_is_told_by_the_answer_or_by_the_servers_log() {
        let answer = r#"Get "http://10.244.1.5:8443/ready": net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x15\x03\x01\x00\x02\x02""#;
        assert_eq!(
            step(&asked(Some("HTTP"), answer, "")),
            "Set readinessProbe.httpGet.scheme of container web to HTTPS"
        );
        for line in [
            "2026/11/23 02:59:00 http: TLS handshake error from 10.244.1.1:51544: client sent an HTTP request to an HTTPS server\n",
            "2026/11/23 02:59:00 [info] 29#29: *4 client sent plain HTTP request to HTTPS port while reading client request headers, client: 10.244.1.1, server: _, request: \"GET /ready HTTP/1.1\"\n",
        ] {
            let world = asked(None, "HTTP probe failed with statuscode: 400", line);
            assert_eq!(step(&world), "Set readinessProbe.httpGet.scheme of container web to HTTPS");
            let quoted = world.diagnosis().causes[0].evidence.iter().any(|it| it.quote.contains("client sent"));
            assert!(quoted, "{:?}", world.diagnosis().causes[0].evidence);
        }
    }

    #[test]
    fn a_bad_request_without_such_a_line_and_another_broken_answer_are_no_matter_of_tls() {
        let bad = asked(None, "HTTP probe failed with statuscode: 400", "ERROR missing host header\n");
        assert_eq!(bad.cause(), "readiness_probe_failing Deployment/web");
        let tls = asked(
            Some("HTTPS"),
            "HTTP probe failed with statuscode: 400",
            "http: TLS handshake error from 10.9.9.9:5: client sent an HTTP request to an HTTPS server\n",
        );
        assert_ne!(tls.cause(), "readiness_probe_misconfigured Deployment/web", "it asks with TLS already");
        let frames = r#"Get "http://10.244.1.5:8443/ready": net/http: HTTP/1.x transport connection broken: malformed HTTP response "\x00\x00\x06\x04""#;
        assert!(step(&asked(None, frames, "")).contains("grpc probe"));
    }
}
