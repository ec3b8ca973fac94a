//! Clients that are shown an expired certificate: whose it is, and which Secret it comes from. Secrets are never read.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service, Volume};

mod loaded;
mod unnamed;

use super::{certificate, crash};
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, kubectl, look, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// What the other side says of the client's own certificate: an alert of TLS that it sent.
static TOLD_BY_SERVER: Pattern =
    Pattern::new(r"(?i)remote error: tls|\balert\b.{0,30}\bcertificate|received fatal alert");
/// When it ended, as Go's x509 says it.
static ENDED: Pattern = Pattern::new(
    r"is after (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)|NotAfter: (\w{3} \w{3} +\d{1,2} \d\d:\d\d:\d\d \w+ \d{4})",
);
/// Names of volumes, Secrets and paths under which a server's certificate is mounted.
static FOR_TLS: Pattern = Pattern::new(r"(?i)tls|cert|ssl|https|x509");

/// Findings about the servers of calls that fail because a certificate has expired.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let of_pod = |pod| shown(scene, pod).or_else(|| unnamed::run(scene, pod));
    scene.current_pods().filter_map(of_pod).collect()
}

fn shown(scene: &Scene<'_>, caller: &Seen<Pod>) -> Option<Finding> {
    let calls = reach::failing_calls(scene, &caller.object);
    let expired = calls.iter().filter(|call| call.failure == Failure::Expired && !TOLD_BY_SERVER.hits(call.line));
    let (call, service) =
        expired.into_iter().find_map(|call| Some((call, reach::service_of(scene, &caller.object, call)?)))?;
    let backends = scene.backends(&service.object);
    let server = backends.first().copied();
    let secret = server.and_then(secret_of);
    let issued = secret.as_ref().and_then(|secret| issued_as(scene, secret));
    match issued {
        // Why it was not renewed, its own analyzer says.
        Some((_, false)) => None,
        Some((certificate, true)) => {
            Some(of_server(scene, caller, call, service, server, Source::Renewed(certificate)))
        }
        None => Some(of_server(scene, caller, call, service, server, secret.map_or(Source::Unknown, Source::Secret))),
    }
}

/// Where the server's certificate comes from, as far as its Pods say.
enum Source {
    /// The Secret they mount for it.
    Secret(ObjectRef),
    /// A Certificate that is in force again: the server has not loaded it.
    Renewed(ObjectRef),
    /// They mount none that is surely meant, or several.
    Unknown,
}

fn of_server(
    scene: &Scene<'_>,
    caller: &Seen<Pod>,
    call: &Call<'_>,
    service: &Seen<Service>,
    server: Option<&Seen<Pod>>,
    source: Source,
) -> Finding {
    let (client, name) = (scene.workload(&caller.object), named(&service.object));
    let workload = server.map(|pod| scene.workload(&pod.object));
    let when = ended(scene, call.line);
    let (blame, whence) = match &source {
        Source::Secret(secret) => {
            (secret.clone(), scene.text(format!("，证书来自 {secret}"), format!(", which comes from {secret}")))
        }
        Source::Renewed(certificate) => (
            workload.clone().unwrap_or_else(|| name.clone()),
            scene.text(
                format!("；{certificate} 已经续签，但服务端仍未加载新证书"),
                format!("; {certificate} was renewed, and the server has not loaded it"),
            ),
        ),
        Source::Unknown => (workload.clone().unwrap_or_else(|| name.clone()), String::new()),
    };
    let headline = scene.text(
        format!("{name} 的服务端证书已过期（certificate has expired）{when}{whence}；{client} 因此拒绝与它连接"),
        format!("{name} serves a certificate that has expired{when}{whence}; {client} refuses to talk to it"),
    );
    let proof = match &source {
        Source::Secret(secret) => {
            server.and_then(|pod| scene.quote(&pod.reference, &format!("secretName: {}", secret.name)))
        }
        _ => None,
    };
    let subject = workload.clone().unwrap_or_else(|| name.clone());
    Finding::new("serving_certificate_expired", Depth::Root, &named(&caller.object), &blame, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&call.log.reference, call.line), proof])
        .touches([client, name].into_iter().chain(workload))
        .steps([
            look(
                scene.text("查看服务端使用的证书从哪里挂载", "See where the server takes its certificate from"),
                kubectl(&subject.namespace, &format!("describe {}", slash(&subject))),
            ),
            crash::renew(scene),
        ])
}

/// When a certificate ended, in brackets, where the line says it.
fn ended(scene: &Scene<'_>, line: &str) -> String {
    let ended = ENDED.group(line, 1).or_else(|| ENDED.group(line, 2));
    ended.map_or_else(String::new, |ended| scene.text(format!("（{ended} 到期）"), format!(" (it ended at {ended})")))
}

/// The question that a line leaves open of an expired certificate: whose it is.
pub(super) fn whose(scene: &Scene<'_>, line: &str) -> String {
    if TOLD_BY_SERVER.hits(line) {
        return scene.text(
            "对端拒绝的是该 Pod 自己出示的证书：它来自哪个 Secret 或文件，何时到期？",
            "The other side refused the certificate that this Pod shows: which Secret or file does it come from, and when did it end?",
        );
    }
    scene.text(
        "日志没有写明是哪个服务端的证书过期：该 Pod 连接的是谁？",
        "The log does not say whose certificate has expired: which server does this Pod connect to?",
    )
}

/// The one Secret a server mounts for TLS; none where it mounts several, for one of them may be what it trusts.
fn secret_of(pod: &Seen<Pod>) -> Option<ObjectRef> {
    let spec = pod.object.spec.as_ref()?;
    let secrets: BTreeSet<String> =
        spec.volumes.iter().flatten().filter(|volume| is_for_tls(&pod.object, volume)).flat_map(secrets).collect();
    let name = secrets.first().filter(|_| secrets.len() == 1)?;
    Some(ObjectRef::new("Secret", named(&pod.object).namespace, name.as_str()))
}

fn secrets(volume: &Volume) -> Vec<String> {
    let own = volume.secret.as_ref().and_then(|secret| secret.secret_name.clone());
    let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    own.into_iter().chain(projected.filter_map(|source| Some(source.secret.as_ref()?.name.clone()))).collect()
}

/// Whether the volume's name, its Secret's or the path it is mounted at speaks of TLS.
fn is_for_tls(pod: &Pod, volume: &Volume) -> bool {
    let views = pods::containers(pod);
    let mounts = views.iter().flat_map(|view| view.spec.volume_mounts.iter().flatten());
    let paths = mounts.filter(|mount| mount.name == volume.name).map(|mount| mount.mount_path.clone());
    paths.chain([volume.name.clone()]).chain(secrets(volume)).any(|word| FOR_TLS.hits(&word))
}

/// The Certificate that fills a Secret, where cert-manager does, and whether it is in force now.
fn issued_as(scene: &Scene<'_>, secret: &ObjectRef) -> Option<(ObjectRef, bool)> {
    let fills = |name: &ObjectRef, value: &serde_json::Value| {
        name.namespace == secret.namespace
            && value.pointer("/spec/secretName").and_then(serde_json::Value::as_str) == Some(secret.name.as_str())
    };
    let (name, value, _) = scene.facts.raw_all("Certificate").find(|(name, value, _)| fills(name, value))?;
    let ends = value.pointer("/status/notAfter").and_then(serde_json::Value::as_str).unwrap_or_default();
    let over = ends.parse::<Timestamp>().is_ok_and(|ends| ends < scene.facts.now);
    Some((name.clone(), certificate::is_ready(value) && !over))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, patched, pod, service};

    const EXPIRED: &str = "ERROR Post \"https://web.shop.svc:8443/score\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-23T02:42:08Z is after 2026-11-23T02:30:00Z";

    fn server(volumes: Value) -> Value {
        pod(json!({"spec": {"volumes": volumes}}))
    }

    fn asked(volumes: Value, log: &str) -> World {
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]);
        let caller = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": owner}});
        World::asking("Pod", "cart-1-a")
            .with(pod(caller))
            .with(patched(
                service(json!({"app": "web"})),
                json!({"spec": {"ports": [{"port": 8443, "targetPort": 8080}]}}),
            ))
            .with(server(volumes))
            .log("cart-1-a", &format!("{log}\n").repeat(6))
    }

    fn mounted() -> Value {
        json!([{"name": "tls", "secret": {"secretName": "web-tls"}}])
    }

    #[test]
    fn every_pattern_compiles() {
        assert!([&super::TOLD_BY_SERVER, &super::ENDED, &super::FOR_TLS].iter().all(|pattern| pattern.compiles()));
    }

    #[test]
    fn an_expired_certificate_is_its_servers_and_not_the_clients_who_sees_it() {
        let world = asked(mounted(), EXPIRED);
        assert_eq!(world.cause(), "serving_certificate_expired Secret/web-tls");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("it ended at 2026-11-23T02:30:00Z"), "{}", diagnosis.headline);
        let several = json!([{"name": "tls", "secret": {"secretName": "web-tls"}}, {"name": "client-ca-cert", "secret": {"secretName": "ca"}}]);
        assert_eq!(asked(several, EXPIRED).cause(), "serving_certificate_expired Deployment/web");
        assert_eq!(asked(json!([]), EXPIRED).cause(), "serving_certificate_expired Deployment/web");
    }

    #[test]
    fn one_that_was_renewed_is_the_server_that_has_not_loaded_it() {
        let certificate = |ends: &str| {
            json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "web", "namespace": "shop"},
                "spec": {"secretName": "web-tls"}, "status": {"notAfter": ends, "conditions": [{"type": "Ready", "status": "True"}]}})
        };
        let renewed = asked(mounted(), EXPIRED).with(certificate("2027-02-01T00:00:00Z"));
        assert_eq!(renewed.cause(), "serving_certificate_expired Deployment/web");
        let over = asked(mounted(), EXPIRED).with(certificate("2026-11-23T02:30:00Z"));
        assert_eq!(over.cause(), "certificate_expired Certificate/web");
    }

    #[test]
    fn what_the_server_says_of_the_clients_certificate_and_other_refusals_blame_no_server() {
        let code = "serving_certificate_expired";
        let own = "ERROR GET https://web.shop.svc:8443/: SSL routines: sslv3 alert certificate expired";
        assert!(!asked(mounted(), own).codes().contains(&code));
        let unknown = "ERROR GET https://web.shop.svc:8443/: x509: certificate signed by unknown authority";
        assert!(!asked(mounted(), unknown).codes().contains(&code));
        asked(mounted(), "INFO POST https://web.shop.svc:8443/score 200").is_calm();
    }
}
