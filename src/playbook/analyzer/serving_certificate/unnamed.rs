//! Expired certificates in logs that name no Service: the Pod's own, as the other side says, or that of a server to be found
//! in the lines around or in what the Pod was told. Whoever merely sees it is not its owner.

use k8s_openapi::api::core::v1::{Pod, Service};

use super::{Source, TOLD_BY_SERVER, ended, issued_as, loaded, of_server, secret_of, whose};
use crate::playbook::analyzer::crash;
use crate::playbook::callees;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Lines around the one that tells of the end in which the server may be named: one trace.
const AROUND: usize = 30;
/// How often a Pod that is Ready says it before it is no single hiccup.
const OFTEN: usize = 3;

/// A server tells whose handshake failed.
static AS_SERVER: Pattern = Pattern::new(
    r"(?i)handshake (?:error|failed|failure) (?:from|for|with client)|accept(?:ing|ed)? connection|client \S+:\d+",
);
/// An address with its port, or that of a URL.
static ADDRESS: Pattern = Pattern::new(
    r#"(?i)://(?:[^/\s@"']*@)?([a-z0-9][a-z0-9.-]*[a-z0-9])|(?:^|["'\s=(@\[])([a-z0-9-]*[a-z][a-z0-9.-]*[a-z0-9]):\d{2,5}\b"#,
);
/// A trace of a directory's client.
static DIRECTORY: Pattern = Pattern::new(r"(?i)ldap|javax\.naming|simple bind failed");
/// A value that is an address at which TLS is spoken.
static OVER_TLS: Pattern = Pattern::new(
    r#"(?i)\b(https|ldaps|amqps|rediss|mqtts|wss|smtps|imaps|grpcs|kafka\+ssl|postgresqls?|mongodb)://|:(?:443|636|8443|9443|6443|5671|8883|465|993)\b"#,
);

/// What a Pod says of an expired certificate without a Service that it names.
pub(super) fn run(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let (log, text, line) = told(scene, &pod.object)?;
    if TOLD_BY_SERVER.hits(line) {
        return Some(own(scene, pod, log, text, line));
    }
    match host(scene, &pod.object, text, line) {
        Some(host) => of_host(scene, pod, log, line, &host),
        // What ends over it is told by its end.
        None if pods::containers(&pod.object).iter().any(|view| view.failing(scene.facts.now)) => None,
        None => Some(of_nobody(scene, pod, log, line)),
    }
}

/// The last line that tells of an expired certificate, where it is no single hiccup of a Pod that is well.
fn told<'a>(scene: &Scene<'a>, pod: &Pod) -> Option<(&'a SeenLog, &'a str, &'a str)> {
    let least = if pods::is_ready(pod) { OFTEN } else { 1 };
    reach::present_logs(scene, pod).into_iter().find_map(|(log, text)| {
        let tells = |line: &&str| crash::tells_of_expiry(line) && logs::is_error(line) && !logs::instructs(line);
        let lines: Vec<&str> = text.lines().filter(tells).collect();
        Some((log, text, *lines.last()?)).filter(|_| lines.len() >= least)
    })
}

/// The other side refused what this Pod shows.
fn own(scene: &Scene<'_>, pod: &Seen<Pod>, log: &SeenLog, text: &str, line: &str) -> Finding {
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let loaded = loaded::over(&pod.object, text, scene.facts.now);
    let secret = loaded.as_ref().map(|(secret, _)| secret.clone()).or_else(|| secret_of(pod));
    let blame = secret.clone().unwrap_or_else(|| workload.clone());
    let from = secret.as_ref().map_or_else(String::new, |secret| {
        scene.text(format!("，它来自 {secret}"), format!(", which comes from {secret}"))
    });
    let (code, headline) = if AS_SERVER.hits(line) {
        (
            "serving_certificate_expired",
            scene.text(
                format!("{workload} 的服务端证书已过期{from}：客户端拒绝了它（remote error 是对端发来的）"),
                format!(
                    "{workload} serves a certificate that has expired{from}: its clients refuse it, as they tell it"
                ),
            ),
        )
    } else {
        (
            "client_certificate_expired",
            scene.text(
                format!("{workload} 的客户端证书已过期{from}：对端拒绝了它（remote error 是对端发来的）"),
                format!("{workload} shows a client certificate that has expired{from}: the other side refuses it"),
            ),
        )
    };
    let proof = secret.and_then(|secret| scene.quote(&pod.reference, &format!("secretName: {}", secret.name)));
    let loading = loaded.and_then(|(_, line)| scene.quote(&log.reference, line));
    let question = loading.is_none().then(|| whose(scene, line));
    let finding = Finding::new(code, Depth::Root, &name, &blame, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&log.reference, line), loading, proof])
        .touches([workload.clone()])
        .steps([
            look(
                scene.text("查看该 Pod 的证书从哪里挂载", "See where the Pod takes its certificate from"),
                kubectl(&workload.namespace, &format!("describe {}", slash(&workload))),
            ),
            crash::renew(scene),
        ]);
    question.into_iter().fold(finding, Finding::unresolved)
}

/// The server's host: the line's own, that of the lines around it, or the only one the Pod was told to speak TLS to.
fn host(scene: &Scene<'_>, pod: &Pod, text: &str, line: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().rposition(|known| std::ptr::eq(*known, line))?;
    let before = lines[at.saturating_sub(AROUND)..at].iter().rev();
    let near =
        std::iter::once(line).chain(before.copied().filter(|line| logs::is_error(line) && !logs::instructs(line)));
    let directory = lines[at.saturating_sub(AROUND)..=at].iter().any(|line| DIRECTORY.hits(line));
    near.into_iter().find_map(address).or_else(|| told_host(scene, pod, directory))
}

/// The first address of a line that is a host's name: neither a place in a source file nor a time.
fn address(line: &str) -> Option<String> {
    let is_name =
        |host: &String| host.starts_with(|first: char| first.is_ascii_alphabetic()) && !reach::is_source_file(host);
    let found = ADDRESS.all(line);
    let mut hosts = found.iter().filter_map(|found| found.get(1).or_else(|| found.get(2)));
    hosts.find_map(|host| Some(host.as_str().to_ascii_lowercase()).filter(is_name))
}

fn told_host(scene: &Scene<'_>, pod: &Pod, directory: bool) -> Option<String> {
    let means = |value: &&String| if directory { DIRECTORY.hits(value) } else { OVER_TLS.hits(value) };
    let values = callees::values(scene.facts, pod);
    let lines = values.iter().filter(means).filter_map(|value| address(value));
    let mut hosts: Vec<String> = lines.collect();
    hosts.sort();
    hosts.dedup();
    // Of several nobody can say which is meant.
    hosts.pop().filter(|_| hosts.is_empty())
}

fn of_host(scene: &Scene<'_>, pod: &Seen<Pod>, log: &SeenLog, line: &str, host: &str) -> Option<Finding> {
    let call = Call { line, log, failure: Failure::Expired, hosts: vec![host.to_owned()] };
    if let Some(service) = reach::service_of(scene, &pod.object, &call) {
        return inside(scene, pod, &call, service);
    }
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let when = ended(scene, line);
    let headline = scene.text(
        format!("{host} 的服务端证书已过期{when}；{workload} 因此拒绝与它连接"),
        format!("{host} serves a certificate that has expired{when}; {workload} refuses to talk to it"),
    );
    let near =
        log.lines.as_deref().ok().and_then(|text| text.lines().rfind(|line| line.to_ascii_lowercase().contains(host)));
    Some(
        // No object of the cluster has the certificate: it shows at whoever calls.
        Finding::new("certificate_expired", Depth::Root, &name, &workload, headline)
            .confidence(Confidence::Medium)
            .cite([
                scene.quote(&log.reference, line),
                near.and_then(|line| scene.quote(&log.reference, line)),
                scene.quote_line(&pod.reference, &[host]),
            ])
            .unresolved(scene.text(
                format!("{host} 由谁维护？请确认其证书的到期时间"),
                format!("Who runs {host}? Have the end of its certificate confirmed"),
            ))
            .steps([
                look(
                    scene.text("查看调用方的配置", "Look at how the caller is configured"),
                    kubectl(&workload.namespace, &format!("describe {}", slash(&workload))),
                ),
                crash::renew(scene),
            ]),
    )
}

fn inside(scene: &Scene<'_>, pod: &Seen<Pod>, call: &Call<'_>, service: &Seen<Service>) -> Option<Finding> {
    let server = scene.backends(&service.object).first().copied();
    let secret = server.and_then(secret_of);
    let source = match secret.as_ref().and_then(|secret| issued_as(scene, secret)) {
        Some((_, false)) => return None,
        Some((certificate, true)) => Source::Renewed(certificate),
        None => secret.map_or(Source::Unknown, Source::Secret),
    };
    Some(of_server(scene, pod, call, service, server, source))
}

/// A certificate has expired, and nobody says whose.
fn of_nobody(scene: &Scene<'_>, pod: &Seen<Pod>, log: &SeenLog, line: &str) -> Finding {
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let when = ended(scene, line);
    let headline = scene.text(
        format!("{workload} 连接的某个服务端证书已过期{when}，日志没有写明是谁"),
        format!("{workload} meets a server whose certificate has expired{when}; its log does not say which"),
    );
    Finding::new("certificate_expired", Depth::Mechanism, &name, &workload, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&log.reference, line)])
        .unresolved(whose(scene, line))
        .steps([look(
            scene.text("查看该工作负载连接哪些服务", "See which servers the workload is told to call"),
            kubectl(&workload.namespace, &format!("describe {}", slash(&workload))),
        )])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, crashed, patched, pod, service};
    use crate::report::Confidence;

    const TRACE: &str = "2026-11-23T02:50:00Z ERROR auth: login failed\njavax.naming.CommunicationException: simple bind failed: ldap.corp:636\n\tat com.sun.jndi.ldap.LdapClient.authenticate(LdapClient.java:218)\nCaused by: javax.net.ssl.SSLHandshakeException: PKIX path validation failed: java.security.cert.CertPathValidatorException: validity check failed\n\tat a.B(B.java:1)\nCaused by: java.security.cert.CertificateExpiredException: NotAfter: Sun Nov 22 08:00:00 UTC 2026\n\tat c.D(D.java:1)\n";

    fn asked(env: Value, log: &str) -> World {
        let told = pod(json!({"spec": {"containers": [container(json!({"env": env}))]}}));
        World::asking("Pod", "web-1-a").with(told).log("web-1-a", log)
    }

    fn without_host() -> String {
        TRACE.replace("simple bind failed: ldap.corp:636", "simple bind failed").repeat(3)
    }

    #[test]
    fn every_pattern_compiles() {
        let patterns = [&super::AS_SERVER, &super::ADDRESS, &super::DIRECTORY, &super::OVER_TLS];
        assert!(patterns.iter().all(|pattern| pattern.compiles()));
    }

    #[test]
    fn a_server_that_the_trace_or_the_environment_names_has_the_certificate() {
        let named = asked(json!([]), &TRACE.repeat(3));
        assert_eq!(named.cause(), "certificate_expired Deployment/web");
        let diagnosis = named.diagnosis();
        assert!(diagnosis.headline.starts_with("ldap.corp serves a certificate"), "{}", diagnosis.headline);
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium);
        assert!(diagnosis.headline.contains("it ended at Sun Nov 22 08:00:00 UTC 2026"), "{}", diagnosis.headline);
        let told = json!([{"name": "LDAP_URL", "value": "ldaps://directory.corp.example:636"}, {"name": "API", "value": "https://pay.example.com"}]);
        let headline = asked(told, &without_host()).diagnosis().headline;
        assert!(headline.starts_with("directory.corp.example serves"), "{headline}");
        let directory =
            json!({"metadata": {"name": "directory-0", "labels": {"app": "directory"}, "ownerReferences": null}});
        let inside = asked(json!([{"name": "LDAP_URL", "value": "ldaps://web:636"}]), &without_host())
            .with(service(json!({"app": "directory"})))
            .with(pod(directory));
        assert_eq!(inside.cause(), "serving_certificate_expired Pod/directory-0");
    }

    #[test]
    fn where_nobody_names_the_server_it_is_asked_and_the_client_is_not_blamed_for_sure() {
        let open = asked(json!([]), &without_host());
        assert_eq!(open.cause(), "certificate_expired Deployment/web");
        let diagnosis = open.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium);
        assert!(diagnosis.unresolved.iter().any(|asked| asked.contains("which server")), "{:?}", diagnosis.unresolved);
        let two = json!([{"name": "LDAP_URL", "value": "ldaps://a.corp:636"}, {"name": "LDAP_FALLBACK", "value": "ldaps://b.corp:636"}]);
        assert_eq!(asked(two, &without_host()).cause(), "certificate_expired Deployment/web");
        let ended = World::asking("Pod", "web-1-a").with(pod(crashed(1, "Error"))).log("web-1-a", &without_host());
        assert!(ended.diagnosis().causes.iter().all(|cause| cause.confidence < Confidence::High));
        asked(json!([]), &format!("INFO up\n{TRACE}{}", "INFO served\n".repeat(20))).is_calm();
    }

    #[test]
    fn what_the_other_side_refuses_is_the_pods_own_certificate() {
        let line = "ERROR GET https://bank.example.com/v1: remote error: tls: expired certificate\n";
        let secrets = json!({"spec": {"volumes": [{"name": "client-tls", "secret": {"secretName": "bank-client"}}]}});
        let client = World::asking("Pod", "web-1-a").with(pod(secrets.clone())).log("web-1-a", &line.repeat(4));
        assert_eq!(client.cause(), "client_certificate_expired Secret/bank-client");
        assert!(client.diagnosis().headline.contains("client certificate"), "{}", client.diagnosis().headline);
        let bare = asked(json!([]), &line.repeat(4));
        assert_eq!(bare.cause(), "client_certificate_expired Deployment/web");
        let seen = "ERROR http: TLS handshake error from 10.244.0.9:41234: remote error: tls: expired certificate\n";
        let server = World::asking("Pod", "web-1-a").with(pod(secrets)).log("web-1-a", &seen.repeat(4));
        assert_eq!(server.cause(), "serving_certificate_expired Secret/bank-client");
        let other = "ERROR GET https://bank.example.com/v1: remote error: tls: bad certificate\n";
        let codes = asked(json!([]), &other.repeat(4)).codes();
        assert!(!codes.contains(&"client_certificate_expired"), "{codes:?}");
        let crash =
            World::asking("Pod", "web-1-a").with(pod(patched(crashed(1, "Error"), json!({})))).log("web-1-a", line);
        assert_eq!(crash.cause(), "client_certificate_expired Deployment/web");
    }
}
