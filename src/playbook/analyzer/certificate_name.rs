//! Certificates that do not carry the name a client calls: which name it is, and the Certificate that lacks it.

use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::line;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence, Step};

/// How often a Pod that is Ready says it before it is no single hiccup.
const OFTEN: usize = 3;

/// How clients say it, each with the name they asked for: Go, Node.js, Python, Java and its HTTP clients, curl and OpenSSL,
/// Rust. Where they say which names the certificate has, those stand in the group `has`.
static SAYINGS: [Pattern; 9] = [
    Pattern::new(r#"certificate is valid for (?P<has>[^"]+?), not (?P<name>[A-Za-z0-9][\w.-]*)"#),
    Pattern::new(r"certificate is not valid for any names, but wanted to match (?P<name>[A-Za-z0-9][\w.-]*)"),
    Pattern::new(
        r"altnames: Host: (?P<name>[A-Za-z0-9][\w.-]*?)\.? is not in the cert's altnames: (?P<has>[\w.*:, -]+)",
    ),
    Pattern::new(r"certificate is not valid for '(?P<name>[^']+)'"),
    Pattern::new(r"hostname '(?P<name>[^']+)' doesn't match (?:either of )?(?P<has>'[^']+'(?:, '[^']+')*)"),
    Pattern::new(r"No (?:subject alternative DNS )?name matching (?P<name>[A-Za-z0-9][\w.-]*) found"),
    Pattern::new(
        r"[Cc]ertificate for <(?P<name>[^>]+)> doesn't match any of the subject alternative names: \[(?P<has>[^\]]*)\]",
    ),
    Pattern::new(
        r"certificate subject name (?:'[^']*' )?(?:matches|does not match) target host ?name '(?P<name>[^']+)'",
    ),
    Pattern::new(r#"certificate not valid for name \\?"(?P<name>[^"\\]+)"#),
];

/// A name that a certificate lacks, and those it has, where the client says so.
#[derive(Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The host that was called.
    pub name: String,
    /// The certificate's names.
    pub has: Vec<String>,
}

/// What a line says of a certificate that lacks the name that was called.
#[must_use]
pub fn mismatch(line: &str) -> Option<Mismatch> {
    let found = SAYINGS.iter().find_map(|saying| saying.groups(line))?;
    let has = found.name("has").map(|has| has.as_str()).unwrap_or_default();
    let names = has.split([',', ' ']).map(|part| part.trim().trim_start_matches("DNS:").trim_matches('\''));
    let name = found.name("name")?.as_str().trim_end_matches('.').to_ascii_lowercase();
    Some(Mismatch {
        name,
        has: names.filter(|part| part.contains(|it: char| it.is_ascii_alphanumeric())).map(str::to_owned).collect(),
    })
}

/// Findings about clients that are shown a certificate without the name they call.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| told(scene, pod)).collect()
}

/// What is known of one such call.
struct Refused<'s> {
    pod: &'s Seen<Pod>,
    line: &'s str,
    log: &'s SeenLog,
    mismatch: Mismatch,
}

/// A Certificate of cert-manager and the evidence it stands in.
struct Issued<'s> {
    name: &'s ObjectRef,
    names: Vec<String>,
    reference: &'s str,
    /// How many names it shares with the certificate that was shown, without those that anybody has.
    shared: usize,
    /// Whether those are just its names.
    is_shown: bool,
}

fn told(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let least = if pods::is_ready(&pod.object) { OFTEN } else { 1 };
    let (log, line) = reach::present_logs(scene, &pod.object).into_iter().find_map(|(log, text)| {
        let fails = |line: &str| logs::is_error(line) || line::carries_error(line);
        let tells =
            |line: &&str| mismatch(line).is_some() && fails(line) && !logs::instructs(line) && !logs::is_request(line);
        let lines: Vec<&str> = text.lines().filter(tells).collect();
        Some((log, *lines.last()?)).filter(|_| lines.len() >= least)
    })?;
    let refused = Refused { pod, line, log, mismatch: mismatch(line)? };
    let call = Call { line, log, failure: Failure::Expired, hosts: vec![refused.mismatch.name.clone()] };
    Some(match reach::service_of(scene, &pod.object, &call) {
        Some(service) => of_service(scene, &refused, service),
        None => of_nobody(scene, &refused),
    })
}

fn of_service(scene: &Scene<'_>, refused: &Refused<'_>, service: &Seen<Service>) -> Finding {
    let name = named(&service.object);
    match issued(scene, &name, &refused.mismatch) {
        Some(issued) if !covers(&issued.names, &refused.mismatch.name) => lacks_name(scene, refused, &name, &issued),
        Some(issued) => not_loaded(scene, refused, service, &issued),
        None => shown_by(scene, refused, service),
    }
}

/// The Certificate beside a Service that was shown: one that has a name of it, or else bears the Service's.
fn issued<'s>(scene: &'s Scene<'_>, service: &ObjectRef, mismatch: &Mismatch) -> Option<Issued<'s>> {
    let beside = scene.facts.raw_all("Certificate").filter(|(name, ..)| name.namespace == service.namespace);
    let all = beside.map(|(name, value, reference)| {
        let names = names(value);
        // A name that every certificate may have tells none apart.
        let shared = names.iter().filter(|own| *own != "localhost" && mismatch.has.contains(own)).count();
        let is_shown =
            shared > 0 && names.len() == mismatch.has.len() && names.iter().all(|own| mismatch.has.contains(own));
        Issued { name, names, reference, shared, is_shown }
    });
    // One that was only listed, or that names no host, says nothing.
    let fits = |issued: &Issued<'_>| {
        !issued.names.is_empty() && (issued.shared > 0 || issued.name.name.contains(&service.name))
    };
    all.filter(fits).max_by_key(|issued| (issued.is_shown, issued.shared))
}

fn names(certificate: &Value) -> Vec<String> {
    let list = certificate.pointer("/spec/dnsNames").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_ascii_lowercase).collect()
}

/// Whether names hold a host, one of them perhaps for all of a domain.
fn covers(names: &[String], host: &str) -> bool {
    let domain = host.split_once('.').map(|(_, domain)| domain);
    names.iter().any(|name| name == host || (name.strip_prefix("*.").is_some_and(|of| Some(of) == domain)))
}

fn lacks_name(scene: &Scene<'_>, refused: &Refused<'_>, service: &ObjectRef, issued: &Issued<'_>) -> Finding {
    let (certificate, wanted) = (issued.name, &refused.mismatch.name);
    let client = scene.workload(&refused.pod.object);
    let has = issued.names.join(", ");
    let headline = scene.text(
        format!("{certificate} 的 spec.dnsNames 中没有 {wanted}（现有：{has}）：{client} 以这个名称调用 {service}，校验证书失败"),
        format!("{certificate} does not carry the name {wanted} (its spec.dnsNames: {has}), by which {client} calls {service}, so the call fails at the certificate"),
    );
    let change_of = changed(scene, certificate);
    let summary = match &change_of {
        Some(said) => scene.text(
            format!("{headline}；证书因 dnsNames 变更重新签发过：{said}"),
            format!("{headline}; it was issued anew over changed dnsNames: {said}"),
        ),
        None => headline.clone(),
    };
    Finding::new("certificate_name_mismatch", Depth::Root, &named(&refused.pod.object), certificate, headline)
        .summary(summary)
        .confidence(if issued.is_shown { Confidence::High } else { Confidence::Medium })
        .cite([
            refused.proof(scene),
            scene.quote_any(
                issued.reference,
                &[&format!("- {}", issued.names.first().map_or("", String::as_str)), "dnsNames:"],
            ),
        ])
        .touches([client, service.clone()])
        .unresolved(scene.text(
            format!("{wanted} 是应当使用的名称，还是调用方该改用证书中已有的名称？"),
            format!("Is {wanted} the name to be used, or should the caller use one that the certificate has?"),
        ))
        .steps([
            look(
                scene.text("查看 Certificate 的 dnsNames 与事件", "Read the Certificate's dnsNames and events"),
                kubectl(&certificate.namespace, &format!("describe certificate {}", certificate.name)),
            ),
            change(
                scene.text(
                    format!("把 {wanted} 加入 {certificate} 的 spec.dnsNames"),
                    format!("Add {wanted} to spec.dnsNames of {certificate}"),
                ),
                scene.text(
                    "cert-manager 会重新签发；确认服务端加载了新证书，报错消失",
                    "cert-manager issues it anew; see that the server loads it and that the error is gone",
                ),
                Some(kubectl(&certificate.namespace, &format!("edit certificate {}", certificate.name))),
            ),
        ])
}

/// What an event says of a Certificate that was issued anew since its names had changed.
fn changed(scene: &Scene<'_>, certificate: &ObjectRef) -> Option<String> {
    let events = scene.events(certificate, &["Issuing", "Reissuing"]);
    let of_names = events.into_iter().filter(|event| event.message.contains("dnsNames"));
    let event = of_names.max_by_key(|event| event.last_seen)?;
    let at = event.last_seen.map(|at| format!(" ({at})")).unwrap_or_default();
    Some(format!("{}{at}", logs::shorten(&event.message, 140)))
}

/// The Certificate has the name by now: who serves it has not loaded it.
fn not_loaded(scene: &Scene<'_>, refused: &Refused<'_>, service: &Seen<Service>, issued: &Issued<'_>) -> Finding {
    let (server, wanted) = (server(scene, service), &refused.mismatch.name);
    let client = scene.workload(&refused.pod.object);
    let certificate = issued.name;
    let headline = scene.text(
        format!("{server} 出示的证书不含 {client} 所用的名称 {wanted}，而 {certificate} 已经含有它：服务端可能没有加载新证书"),
        format!("{server} shows a certificate without {wanted}, the name {client} calls, although {certificate} carries it: the server may not have loaded it"),
    );
    refused
        .finding(scene, &server, headline)
        .cite([scene.quote(issued.reference, &format!("- {wanted}"))])
        .touches([client, named(&service.object)])
        .steps([
            read_server(scene, &server),
            change(
                scene.text(
                    "让服务端重新加载证书（通常重启即可）",
                    "Have the server load its certificate again; a restart does",
                ),
                "",
                (server.kind == "Deployment")
                    .then(|| kubectl(&server.namespace, &format!("rollout restart {}", slash(&server)))),
            ),
        ])
}

/// Whoever issued the certificate was not seen.
fn shown_by(scene: &Scene<'_>, refused: &Refused<'_>, service: &Seen<Service>) -> Finding {
    let (server, wanted) = (server(scene, service), &refused.mismatch.name);
    let client = scene.workload(&refused.pod.object);
    let headline = scene.text(
        format!("{server} 出示的证书不含 {client} 所用的名称 {wanted}{}", refused.has(scene)),
        format!("{server} shows a certificate without {wanted}, the name {client} calls{}", refused.has(scene)),
    );
    refused
        .finding(scene, &server, headline)
        .touches([client, named(&service.object)])
        .unresolved(refused.question(scene))
        .steps([read_server(scene, &server), reissue(scene, wanted)])
}

/// No Service of the cluster bears the name.
fn of_nobody(scene: &Scene<'_>, refused: &Refused<'_>) -> Finding {
    let (client, wanted) = (scene.workload(&refused.pod.object), &refused.mismatch.name);
    let headline = scene.text(
        format!("{client} 以名称 {wanted} 调用的服务端出示了不含该名称的证书{}", refused.has(scene)),
        format!("{client} calls {wanted} and is shown a certificate without that name{}", refused.has(scene)),
    );
    refused.finding(scene, &client, headline).unresolved(refused.question(scene)).steps([
        look(
            scene.text("查看该应用调用的地址", "See which address the application is told to call"),
            kubectl(&client.namespace, &format!("describe {}", slash(&client))),
        ),
        reissue(scene, wanted),
    ])
}

fn server(scene: &Scene<'_>, service: &Seen<Service>) -> ObjectRef {
    let backend = scene.backends(&service.object).first().map(|pod| scene.workload(&pod.object));
    backend.unwrap_or_else(|| named(&service.object))
}

fn read_server(scene: &Scene<'_>, server: &ObjectRef) -> Step {
    look(
        scene.text("查看服务端使用的证书从哪里挂载", "See where the server takes its certificate from"),
        kubectl(&server.namespace, &format!("describe {}", slash(server))),
    )
}

fn reissue(scene: &Scene<'_>, wanted: &str) -> Step {
    change(
        scene.text(
            format!("签发含有 {wanted} 的证书，或让调用方使用证书中已有的名称"),
            format!("Issue a certificate that carries {wanted}, or have the caller use a name it has"),
        ),
        "",
        None,
    )
}

impl Refused<'_> {
    fn proof(&self, scene: &Scene<'_>) -> Option<Citation> {
        scene.quote(&self.log.reference, self.line)
    }

    fn finding(&self, scene: &Scene<'_>, blame: &ObjectRef, headline: String) -> Finding {
        Finding::new("certificate_name_mismatch", Depth::Root, &named(&self.pod.object), blame, headline)
            .confidence(Confidence::Medium)
            .cite([self.proof(scene)])
    }

    /// The names that the certificate has, in brackets.
    fn has(&self, scene: &Scene<'_>) -> String {
        if self.mismatch.has.is_empty() {
            return String::new();
        }
        let has = logs::shorten(&self.mismatch.has.join(", "), 160);
        scene.text(format!("（它含有：{has}）"), format!(" (it has: {has})"))
    }

    fn question(&self, scene: &Scene<'_>) -> String {
        let wanted = &self.mismatch.name;
        scene.text(
            format!("{wanted} 是应当使用的名称吗？它的证书由谁签发？"),
            format!("Is {wanted} the name to be used, and who issues the certificate for it?"),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{covers, mismatch};
    use crate::playbook::world::{World, patched, pod, service};
    use crate::report::Confidence;

    const SAID: &str = "ERROR fetch failed error=\"Get \\\"https://api.data.svc:8443/v1\\\": tls: failed to verify certificate: x509: certificate is valid for api, api.old.svc, not api.data.svc\"\n";

    fn certificate(names: Value) -> Value {
        json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "serving", "namespace": "data"},
            "spec": {"dnsNames": names, "secretName": "serving"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    }

    fn called(times: usize) -> World {
        let elsewhere = json!({"metadata": {"name": "api", "namespace": "data"}});
        World::asking("Pod", "web-1-a")
            .with(pod(json!({})))
            .log("web-1-a", &SAID.repeat(times))
            .with(patched(service(json!({"app": "api"})), elsewhere))
    }

    #[test]
    fn the_certificate_that_lacks_the_name_is_blamed() {
        let world = called(4).with(certificate(json!(["api", "api.old.svc"])));
        assert_eq!(world.cause(), "certificate_name_mismatch Certificate/serving");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
        assert!(diagnosis.headline.contains("the name api.data.svc"), "{}", diagnosis.headline);
        assert!(
            diagnosis
                .steps
                .iter()
                .any(|step| step.title == "Add api.data.svc to spec.dnsNames of Certificate data/serving")
        );
    }

    #[test]
    fn one_that_has_the_name_by_now_was_not_loaded_and_an_unknown_one_is_the_servers() {
        let renewed = called(4).with(certificate(json!(["api", "api.data.svc"])));
        assert_eq!(renewed.cause(), "certificate_name_mismatch Service/api");
        assert!(renewed.diagnosis().headline.contains("may not have loaded it"));
        let unknown = called(4);
        assert_eq!(unknown.cause(), "certificate_name_mismatch Service/api");
        assert_eq!(unknown.diagnosis().causes[0].confidence, Confidence::Medium);
    }

    #[test]
    fn another_certificate_and_a_single_hiccup_are_not_blamed() {
        let other = called(4).with(certificate(json!(["mail", "mail.data.svc"])));
        assert_ne!(other.cause(), "certificate_name_mismatch Certificate/serving");
        assert!(!called(1).codes().contains(&"certificate_name_mismatch"));
    }

    #[test]
    fn a_name_outside_the_cluster_is_the_callers_question() {
        let said = "ERROR javax.net.ssl.SSLHandshakeException: No subject alternative DNS name matching pay.example.com found.\n";
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &said.repeat(4));
        assert_eq!(world.cause(), "certificate_name_mismatch Deployment/web");
        assert!(!world.diagnosis().unresolved.is_empty());
    }

    #[test]
    fn the_words_of_each_client_name_the_host() {
        for line in [
            "x509: certificate is valid for a.b, c.d, not api.x",
            "Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames: Host: api.x. is not in the cert's altnames: DNS:a.b, DNS:c.d",
            "ssl.SSLCertVerificationError: certificate verify failed: Hostname mismatch, certificate is not valid for 'api.x'. (_ssl.c:1007)",
            "requests: hostname 'api.x' doesn't match either of 'a.b', 'c.d'",
            "java.security.cert.CertificateException: No name matching api.x found",
            "SSLPeerUnverifiedException: Certificate for <api.x> doesn't match any of the subject alternative names: [a.b, c.d]",
            "curl: (60) SSL: no alternative certificate subject name matches target host name 'api.x'",
            "invalid peer certificate: certificate not valid for name \"api.x\"; certificate is only valid for DnsName(\"a.b\")",
        ] {
            assert_eq!(mismatch(line).map(|it| it.name).as_deref(), Some("api.x"), "{line}");
        }
        let has = mismatch("x509: certificate is valid for a.b, c.d, not api.x").map(|it| it.has);
        assert_eq!(has, Some(vec!["a.b".to_owned(), "c.d".to_owned()]));
        assert_eq!(mismatch("x509: certificate has expired or is not yet valid"), None);
        let names = ["*.data.svc".to_owned()];
        assert!(covers(&names, "api.data.svc") && !covers(&names, "a.api.data.svc"));
    }
}
