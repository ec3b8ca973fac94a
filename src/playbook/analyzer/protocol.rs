//! Clients that reach their server and are not understood: they speak plain text, TLS or no SASL to a port that expects
//! something else.

use k8s_openapi::api::core::v1::{Pod, Service};

use super::misconfigured;
use crate::alert::ObjectRef;
use crate::playbook::environment;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::protocol::{self, Heard, Mismatch};
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence};

/// How often a server says it before it is no scan, and no hiccup.
const OFTEN: usize = 3;

/// What is known of a client that is not understood.
struct Case<'a> {
    mismatch: Mismatch,
    /// What the client calls, as far as it is known.
    service: Option<ObjectRef>,
    hosts: Vec<String>,
    port: Option<i32>,
    citations: Vec<Option<Citation>>,
    /// Who serves the port, where its own log says so.
    server: Option<ObjectRef>,
    /// Whether both sides were heard.
    is_sure: bool,
    log: &'a SeenLog,
}

/// Findings about Pods whose server, or whose own log, says that they speak another protocol than it does.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let heard: Vec<(&SeenLog, Heard<'_>)> = heard(scene);
    let one = |pod| Some(finding(scene, pod, by_server(scene, pod, &heard).or_else(|| by_client(scene, pod))?));
    scene.current_pods().filter_map(one).collect()
}

/// What all servers' logs say, in the order of their names: which was read first is chance.
fn heard<'a>(scene: &Scene<'a>) -> Vec<(&'a SeenLog, Heard<'a>)> {
    let logs = scene.facts.logs().iter().filter_map(|log| Some((log, log.lines.as_deref().ok()?)));
    let mut logs: Vec<(&SeenLog, &str)> = logs.collect();
    logs.sort_by_key(|(log, _)| (&log.namespace, &log.pod, &log.container, !log.previous));
    logs.into_iter().flat_map(|(log, text)| protocol::heard(text).into_iter().map(move |heard| (log, heard))).collect()
}

/// A client whose address a server's log names again and again.
fn by_server<'a>(scene: &Scene<'a>, pod: &Seen<Pod>, heard: &[(&'a SeenLog, Heard<'a>)]) -> Option<Case<'a>> {
    let own = address(&pod.object)?;
    let about: Vec<_> = heard.iter().filter(|(_, heard)| heard.client == own).collect();
    let (log, last) = about.last().filter(|_| about.len() >= OFTEN)?;
    let texts =
        scene.logs(&named(&pod.object), "").into_iter().filter_map(|log| Some((log, log.lines.as_deref().ok()?)));
    let texts: Vec<(&SeenLog, &str)> = texts.collect();
    let mut spoken = None;
    for (log, text) in &texts {
        // That a handshake fails is said of a certificate, too.
        let fails = last.mismatch == Mismatch::PlainToTls && last.line.contains("handshake failed");
        if fails && protocol::speaks_tls(text) {
            return None;
        }
        spoken = spoken.or_else(|| scene.quote(&log.reference, protocol::plain(text)?));
    }
    let hung = texts.iter().find_map(|(log, text)| Some((*log, text.lines().rfind(|line| protocol::asks(line))?)));
    let server = scene.pod(&ObjectRef::new("Pod", &log.namespace, &log.pod))?;
    let called = hung.map(|(log, line)| call(log, line));
    let service = called.as_ref().and_then(|call| reach::service_of(scene, &pod.object, call));
    let service = service.or_else(|| before(scene, server)).map(|service| named(&service.object));
    let hosts = service.iter().map(|service| service.name.clone());
    let is_sure = spoken.is_some() || (hung.is_some() && last.mismatch != Mismatch::PlainToTls);
    Some(Case {
        mismatch: last.mismatch,
        hosts: hosts.chain(called.iter().flat_map(|call| call.hosts.clone())).collect(),
        port: called.as_ref().and_then(reach::port_of).or(last.port),
        service,
        citations: vec![
            scene.quote(&log.reference, last.line),
            hung.and_then(|(log, line)| scene.quote(&log.reference, line)),
            spoken,
        ],
        server: Some(scene.workload(&server.object)),
        is_sure,
        log,
    })
}

/// A client whose own log says it: again and again, or as why it ended.
fn by_client<'a>(scene: &Scene<'a>, pod: &Seen<Pod>) -> Option<Case<'a>> {
    let (log, line, mismatch) = reach::present_logs(scene, &pod.object).into_iter().find_map(|(log, text)| {
        let told: Vec<&str> = text.lines().filter(|line| protocol::told(line).is_some()).collect();
        let ends = |last: &str| !pods::is_ready(&pod.object) && logs::culprit(text) == Some(last);
        let last = *told.last().filter(|last| told.len() >= OFTEN || ends(last))?;
        Some((log, last, protocol::told(last)?))
    })?;
    let call = call(log, line);
    let service = reach::service_of(scene, &pod.object, &call).map(|service| named(&service.object));
    Some(Case {
        mismatch,
        port: reach::port_of(&call),
        hosts: service.iter().map(|service| service.name.clone()).chain(call.hosts.clone()).collect(),
        service,
        citations: vec![scene.quote(&log.reference, line)],
        server: None,
        is_sure: false,
        log,
    })
}

fn call<'a>(log: &'a SeenLog, line: &'a str) -> Call<'a> {
    Call { line, log, failure: Failure::Refused, hosts: reach::hosts(line) }
}

fn address(pod: &Pod) -> Option<&str> {
    let shares = pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true));
    pod.status.as_ref()?.pod_ip.as_deref().filter(|_| !shares)
}

/// A Service that leads to a Pod.
fn before<'s>(scene: &'s Scene<'_>, server: &Seen<Pod>) -> Option<&'s Seen<Service>> {
    let leads =
        |service: &&Seen<Service>| scene.backends(&service.object).iter().any(|pod| pod.reference == server.reference);
    scene.services.iter().find(leads)
}

/// Who tells the client where to call: a ConfigMap, or its own template.
fn source(scene: &Scene<'_>, pod: &Seen<Pod>, case: &Case<'_>) -> Option<(ObjectRef, String, Option<Citation>)> {
    let port = case.port?;
    if let Some((map, key, reference)) = misconfigured::calling(scene, &pod.object, &case.hosts, port) {
        let figure = port.to_string();
        let line = case.hosts.iter().find_map(|host| scene.quote_line(&reference, &[host, &figure]));
        let line = line.or_else(|| scene.quote_line(&reference, &[&key, &figure]));
        return Some((map, key, line));
    }
    let says = |text: &str| case.hosts.iter().any(|host| protocol::names(text, host, port));
    let variables = environment::variables(&pod.object);
    let variable = variables.iter().find(|variable| says(variable.value))?;
    let line = scene.quote_any(&pod.reference, &[&format!("value: {}", variable.value), variable.value]);
    Some((scene.workload(&pod.object), variable.name.to_owned(), line))
}

/// The other ports of a Service: one of them may be the one that is meant.
fn others(scene: &Scene<'_>, case: &Case<'_>) -> Vec<String> {
    let Some((name, port)) = case.service.as_ref().zip(case.port) else { return Vec::new() };
    let service = scene.service(&name.namespace, &name.name);
    let ports = service.and_then(|found| found.object.spec.as_ref()?.ports.as_ref()).into_iter().flatten();
    let shown = |other: &k8s_openapi::api::core::v1::ServicePort| match &other.name {
        Some(name) => format!("{} ({name})", other.port),
        None => other.port.to_string(),
    };
    ports.filter(|other| other.port != port).map(shown).collect()
}

fn finding(scene: &Scene<'_>, pod: &Seen<Pod>, case: Case<'_>) -> Finding {
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let source = source(scene, pod, &case);
    let blame = source.as_ref().map_or_else(|| workload.clone(), |(blame, ..)| blame.clone());
    let headline = headline(scene, &workload, &case, source.as_ref());
    let is_sure = case.is_sure && source.as_ref().is_some_and(|(.., line)| line.is_some());
    let to_change = match blame.kind.as_str() {
        "ConfigMap" => Some(kubectl(&blame.namespace, &format!("edit configmap {}", blame.name))),
        _ => edit_template(&workload),
    };
    let asked = case.service.clone().unwrap_or_else(|| workload.clone());
    Finding::new("protocol_mismatch", Depth::Root, &name, &blame, headline)
        .confidence(if is_sure { Confidence::High } else { Confidence::Medium })
        .cite(case.citations)
        .cite([source.and_then(|(_, _, line)| line)])
        .touches([workload].into_iter().chain(case.service).chain(case.server))
        .steps([
            look(
                scene.text("核对该端口使用的协议", "See which protocol the port speaks"),
                kubectl(&asked.namespace, &format!("get {} -o yaml", slash(&asked))),
            ),
            look(
                scene.text("查看双方的日志", "Read what both sides log"),
                kubectl(&case.log.namespace, &format!("logs {} --tail=100", case.log.pod)),
            ),
            change(
                scene.text(
                    "把客户端改到与其协议相符的端口，或让它使用该端口要求的协议",
                    "Give the client the port that speaks its protocol, or make it speak the protocol of this one",
                ),
                "",
                to_change,
            ),
        ])
}

fn headline(
    scene: &Scene<'_>,
    workload: &ObjectRef,
    case: &Case<'_>,
    source: Option<&(ObjectRef, String, Option<Citation>)>,
) -> String {
    let [(speaks_zh, speaks), (expects_zh, expects)] = case.mismatch.words();
    let called = case.service.as_ref().map(ToString::to_string).or_else(|| case.hosts.first().cloned());
    let called = called.unwrap_or_else(|| scene.text("它调用的服务", "what it calls"));
    let port = case.port.map(|port| port.to_string());
    let (port_zh, port_en) = port.map_or_else(
        || ("该端口".to_owned(), "the port".to_owned()),
        |port| (format!("端口 {port} "), format!("port {port}")),
    );
    let others = others(scene, case).join(", ");
    let (others_zh, others_en) = if others.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("（另有端口 {others}）"), format!(" (it also has {others})"))
    };
    let (told_zh, told_en) = source.map_or_else(Default::default, |(by, key, _)| {
        (format!("；地址来自 {by} 的 {key}"), format!("; {by} gives it the address in {key}"))
    });
    scene.text(
        format!("{workload} 以{speaks_zh}访问 {called} 的{port_zh}，而该端口要求 {expects_zh}{others_zh}，连接随即被断开{told_zh}"),
        format!("{workload} speaks {speaks} to {port_en} of {called}, which expects {expects}{others_en}, so no connection comes about{told_en}"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, crashed, patched, pod, service};
    use crate::report::Confidence;

    const HUNG_UP: &str = "WARN [Consumer] Bootstrap broker web:9094 (id: -1 rack: null) disconnected\n";
    const HEARD: &str = "INFO [SocketServer] Failed authentication with /10.244.1.9 (channelId=10.244.1.5:9094-10.244.1.9:36986-2) (SSL handshake failed)\n";

    fn client(patch: Value) -> Value {
        let base = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "status": {"podIP": "10.244.1.9"}});
        pod(patched(patch, base))
    }

    /// A client that is told an address by a ConfigMap, and the server behind Service `web`, with what both log.
    fn asked(address: &str, said: &str, heard: &str) -> World {
        let env = json!({"envFrom": [{"configMapRef": {"name": "settings"}}]});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"},
            "data": {"app.yaml": format!("bootstrap-servers: {address}\n")}});
        let ports = json!([{"name": "plain", "port": 9092}, {"name": "ssl", "port": 9094}]);
        World::asking("Pod", "cart-1-a")
            .with(client(json!({"spec": {"containers": [container(env)]}})))
            .with(map)
            .with(patched(service(json!({"app": "web"})), json!({"spec": {"ports": ports}})))
            .with(pod(json!({})))
            .log("cart-1-a", said)
            .log("web-1-a", heard)
    }

    #[test]
    fn plain_text_to_a_port_of_tls_is_the_fault_of_what_names_the_port() {
        let said = format!("INFO security.protocol = PLAINTEXT\n{}", HUNG_UP.repeat(4));
        let world = asked("web:9094", &said, &HEARD.repeat(4));
        assert_eq!(world.cause(), "protocol_mismatch ConfigMap/settings");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
        assert!(
            diagnosis.headline.contains("9094") && diagnosis.headline.contains("9092 (plain)"),
            "{}",
            diagnosis.headline
        );
        let unsaid = asked("web:9094", &HUNG_UP.repeat(4), &HEARD.repeat(4));
        assert_eq!(unsaid.cause(), "protocol_mismatch ConfigMap/settings");
        assert_eq!(unsaid.diagnosis().causes[0].confidence, Confidence::Medium, "it was not heard to speak plain text");
    }

    #[test]
    fn what_the_servers_say_of_others_or_of_certificates_is_not_meant() {
        let said = HUNG_UP.repeat(4);
        let of_another = HEARD.replace("10.244.1.9", "10.244.1.8").repeat(4);
        assert!(!asked("web:9094", &said, &of_another).codes().contains(&"protocol_mismatch"));
        assert!(!asked("web:9094", &said, HEARD).codes().contains(&"protocol_mismatch"), "once is a hiccup");
        let distrust = format!("{said}ERROR SSL handshake failed: PKIX path building failed\n");
        assert!(!asked("web:9094", &distrust, &HEARD.repeat(4)).codes().contains(&"protocol_mismatch"));
        asked("web:9092", "INFO Node 2 disconnected.\n", "INFO started\n").is_calm();
    }

    #[test]
    fn a_port_in_a_value_of_its_own_counts_beside_its_host() {
        let split = |host: &str| {
            let env = json!({"envFrom": [{"configMapRef": {"name": "settings"}}]});
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"},
                "data": {"KAFKA_HOST": host, "KAFKA_PORT": "9094"}});
            World::asking("Pod", "cart-1-a")
                .with(client(json!({"spec": {"containers": [container(env)]}})))
                .with(map)
                .with(service(json!({"app": "web"})))
                .with(pod(json!({})))
                .log("cart-1-a", &HUNG_UP.repeat(4))
                .log("web-1-a", &HEARD.repeat(4))
                .cause()
        };
        assert_eq!(split("web"), "protocol_mismatch ConfigMap/settings");
        assert_eq!(split("other"), "protocol_mismatch Deployment/cart", "a port of its own, or of another's");
    }

    #[test]
    fn sasl_that_is_asked_for_and_tls_to_a_plain_broker_are_told_apart() {
        let sasl =
            HEARD.replace("SSL handshake failed", "Unexpected Kafka request of type METADATA during SASL handshake.");
        let world = asked("web:9094", &HUNG_UP.repeat(4), &sasl.repeat(4));
        assert_eq!(world.cause(), "protocol_mismatch ConfigMap/settings");
        assert!(world.diagnosis().headline.contains("no SASL"));
    }

    #[test]
    fn a_client_that_says_it_itself_names_the_address() {
        let https = "ERROR Get \"https://web:9092/v1\": http: server gave HTTP response to HTTPS client\n";
        let world = asked("https://web:9092", &https.repeat(4), "INFO started\n");
        assert_eq!(world.cause(), "protocol_mismatch ConfigMap/settings");
        assert_eq!(world.diagnosis().causes[0].confidence, Confidence::Medium, "only a log says it");
        let once = asked("https://web:9092", &format!("{https}INFO served\n"), "INFO started\n");
        assert!(!once.codes().contains(&"protocol_mismatch"));
        let told = json!([{"name": "API", "value": "http://web:9094"}]);
        let crashing =
            client(patched(crashed(1, "Error"), json!({"spec": {"containers": [container(json!({"env": told}))]}})));
        let http = "FATAL http://web:9094/v1: 400: Client sent an HTTP request to an HTTPS server.";
        let world =
            World::asking("Pod", "cart-1-a").with(crashing).with(service(json!({"app": "web"}))).log("cart-1-a", http);
        assert_eq!(world.cause(), "protocol_mismatch Deployment/cart");
        let beside = client(crashed(1, "Error"));
        let other = format!("{https}INFO served\n{}FATAL /data/lock: permission denied\n", "INFO served\n".repeat(10));
        let world =
            World::asking("Pod", "cart-1-a").with(beside).with(service(json!({"app": "web"}))).log("cart-1-a", &other);
        assert_eq!(world.cause(), "crashloop_permission_denied Deployment/cart", "it ended over something else");
    }
}
