//! Requests that the ingress controller refuses before they reach a Pod because their body is larger than it takes: only its own
//! log tells of them, and the Ingress says how much is allowed.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::Ingress;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::{entrance, ingress};
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::playbook::way_in;
use crate::report::{Confidence, Step};

/// What ingress-nginx reads the limit from; 1m where it is not set
/// (<https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/#custom-max-body-size>).
const LIMIT: &str = "nginx.ingress.kubernetes.io/proxy-body-size";
/// How many refusals are no single odd client.
const OFTEN: usize = 3;
/// Limits people set, in MiB. What would need more is no upload that a web server should take without anybody's thought.
const ROUND: [u64; 5] = [8, 16, 32, 64, 100];
/// Clients from which one tells that it is not one of them that is odd.
const CLIENTS: usize = 2;

static REFUSED: Pattern = Pattern::new(
    r#"client intended to send too large (?:chunked )?body(?:: (\d+) bytes)?(?:, client: ([^,\s]+))?.*\bhost: "([^":]+)"#,
);

/// What was refused for one Ingress.
struct Refused<'a> {
    log: &'a SeenLog,
    line: &'a str,
    count: usize,
    largest: u64,
    clients: BTreeSet<String>,
}

/// Findings about Ingresses whose controller refuses bodies, where an alert counts errors.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    if !(way_in::counts_errors(scene) || scene.question.at_entrance) {
        return Vec::new();
    }
    let ingresses = scene.facts.all::<Ingress>();
    let is_asked = |it: &Ingress| scene.question.targets.contains(&named(it));
    let asked = ingresses.iter().filter(|it| is_asked(&it.object) || way_in::leads_to_target(scene, &it.object));
    asked.filter_map(|ingress| Some(explain(scene, ingress, &refused(scene, &ingress.object)?, &ingresses))).collect()
}

/// Whether a Pod is one of an ingress controller.
#[must_use]
pub fn is_controller(scene: &Scene<'_>, pod: &Pod) -> bool {
    entrance::is_controller(&scene.workload(pod).name) || entrance::is_controller(&named(pod).name)
}

fn refused<'a>(scene: &Scene<'a>, ingress: &Ingress) -> Option<Refused<'a>> {
    let controllers = scene.pods.iter().filter(|pod| is_controller(scene, &pod.object));
    let mut all: Option<Refused<'a>> = None;
    for (log, text) in controllers.flat_map(|pod| reach::present_logs(scene, &pod.object)) {
        for line in text.lines().filter(|line| !logs::instructs(line)) {
            let Some(found) = REFUSED.groups(line) else { continue };
            let host = found.get(3).map_or("", |host| host.as_str());
            if !way_in::hosts(ingress).any(|known| way_in::serves(known, host)) {
                continue;
            }
            let size = found.get(1).and_then(|size| size.as_str().parse().ok()).unwrap_or(0);
            let known = all.get_or_insert(Refused { log, line, count: 0, largest: 0, clients: BTreeSet::new() });
            known.clients.extend(found.get(2).map(|client| client.as_str().to_owned()));
            (known.count, known.largest) = (known.count + 1, known.largest.max(size));
        }
    }
    all.filter(|refused| refused.count >= OFTEN)
}

/// Whether alerts count what a server failed at: a 413 is none of these.
fn counts_5xx(scene: &Scene<'_>) -> bool {
    static SERVERS: Pattern = Pattern::new(r"(?i)5xx|50[0-4]|server_?errors?|internal_?errors?");
    scene.question.alert_names.iter().any(|name| SERVERS.hits(name))
}

/// Whether what was refused need not be what the alerts count: one client's bodies, or no failure of a server.
fn is_lead(scene: &Scene<'_>, refused: &Refused<'_>) -> bool {
    counts_5xx(scene) || refused.clients.len() < CLIENTS
}

fn limit(ingress: &Ingress) -> Option<&str> {
    ingress.metadata.annotations.as_ref()?.get(LIMIT).map(String::as_str)
}

fn explain(scene: &Scene<'_>, ingress: &Seen<Ingress>, refused: &Refused<'_>, all: &[Seen<Ingress>]) -> Finding {
    let name = named(&ingress.object);
    let (own, count) = (limit(&ingress.object), refused.count);
    let largest = if refused.largest > 0 { megabytes(refused.largest) } else { String::new() };
    let of_zh = if largest.is_empty() { String::new() } else { format!("，最大 {largest}") };
    let of_en = if largest.is_empty() { String::new() } else { format!(", the largest of {largest}") };
    let beside = all.iter().find(|other| named(&other.object) != name && limit(&other.object).is_some());
    let beside = beside.and_then(|other| Some((named(&other.object).name, limit(&other.object)?)));
    let (set_zh, set_en) = match (own, &beside) {
        (Some(own), _) => (format!("它的 proxy-body-size 是 {own}"), format!("its proxy-body-size is {own}")),
        (None, Some((other, value))) => (
            format!("它没有设置 proxy-body-size（默认 1m），而 Ingress {other} 设为 {value}"),
            format!("it sets no proxy-body-size (1m by default), while Ingress {other} sets {value}"),
        ),
        (None, None) => (
            "它没有设置 proxy-body-size（默认 1m）".to_owned(),
            "it sets no proxy-body-size (1m by default)".to_owned(),
        ),
    };
    let headline = scene.text(
        format!("ingress controller 以 413 拒绝了发往 {name} 的过大请求体（client intended to send too large body，{count} 次{of_zh}）：{set_zh}"),
        format!("The ingress controller refuses requests to {name} with 413, as too large a body ({count} times{of_en}): {set_en}"),
    );
    let services = ingress::services(&ingress.object);
    let lead = is_lead(scene, refused);
    Finding::new("ingress_body_too_large", Depth::Root, &name, &name, headline)
        .confidence(if lead { Confidence::Low } else { Confidence::Medium })
        .cite([
            scene.quote(&refused.log.reference, refused.line),
            scene.quote_any(&ingress.reference, &[LIMIT, &format!("name: {}", name.name)]),
        ])
        .touches(services)
        .unresolved(scene.text(
            "应用本身接受多大的请求体？限制不应大于它",
            "How large a body does the application itself take? The limit should not be above that",
        ))
        .steps(steps(scene, ingress, refused, beside.map(|(_, value)| value)))
}

fn steps(scene: &Scene<'_>, ingress: &Seen<Ingress>, refused: &Refused<'_>, beside: Option<&str>) -> Vec<Step> {
    let name = named(&ingress.object);
    let log = refused.log;
    // A sibling's limit is what the people here take for enough.
    let wanted = match beside {
        Some(value) => bytes(value).is_some_and(|limit| limit >= refused.largest).then(|| value.to_owned()),
        None => rounded(refused.largest),
    };
    let wanted = wanted.filter(|_| !is_lead(scene, refused));
    vec![
        look(
            scene.text("查看 ingress controller 的日志", "Read the ingress controller's log"),
            kubectl(&log.namespace, &format!("logs {} --tail=100", log.pod)),
        ),
        raise(scene, &name, wanted),
    ]
}

/// What lets the bodies through; where nobody has such limits here, a question first and no command.
fn raise(scene: &Scene<'_>, name: &ObjectRef, wanted: Option<String>) -> Step {
    let Some(wanted) = wanted else {
        return change(
            scene.text(
                format!("先确认这些请求是否正当，再决定 {name} 的 proxy-body-size"),
                format!("See whether these requests are meant before proxy-body-size of {name} is changed"),
            ),
            scene.text(
                "可能只是异常的客户端；没有依据建议一个限制",
                "It may be a client that is odd; nothing here tells what limit would be right",
            ),
            None,
        );
    };
    change(
        scene.text(
            format!("把 {name} 的 proxy-body-size 提高到 {wanted}"),
            format!("Raise proxy-body-size of {name} to {wanted}"),
        ),
        scene.text(
            "只适用于 ingress-nginx；由 Helm 或 GitOps 管理的 Ingress 请在来源处修改",
            "It works for ingress-nginx; change an Ingress that Helm or GitOps keeps at its source",
        ),
        Some(kubectl(&name.namespace, &format!("annotate ingress {} {LIMIT}={wanted} --overwrite", name.name))),
    )
}

/// Bytes as people say them.
fn megabytes(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// The least usual limit that lets this many bytes through, where there is one.
fn rounded(bytes: u64) -> Option<String> {
    let wanted = bytes.div_ceil(1 << 20);
    ROUND.iter().find(|size| **size >= wanted).map(|size| format!("{size}m"))
}

/// nginx' sizes: `25m`, `1g`, `512k`, bytes.
fn bytes(size: &str) -> Option<u64> {
    let size = size.trim().to_ascii_lowercase();
    let digits = size.trim_end_matches(|letter: char| !letter.is_ascii_digit());
    let unit = match &size[digits.len()..] {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, deployment, patched, pod, service};
    use crate::report::Verdict;

    fn ingress(name: &str, host: &str, limit: Option<&str>) -> Value {
        let notes = limit.map_or(json!({}), |limit| json!({ (LIMIT): limit }));
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": name, "namespace": "shop", "annotations": notes},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}})
    }

    fn refusals(host: &str, times: usize) -> String {
        sized(host, times, 18_701_070, times)
    }

    fn sized(host: &str, times: usize, size: u64, clients: usize) -> String {
        let line = |at: usize| {
            let client = at % clients;
            format!(
                "2026/11/23 02:58:36 [error] 35#35: *8 client intended to send too large body: {size} bytes, client: 203.0.113.{client}, server: {host}, request: \"POST /api HTTP/1.1\", host: \"{host}\"\n"
            )
        };
        (0..times).map(line).collect()
    }

    fn world(alert: &str, log: &str) -> World {
        let owner = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "ingress-nginx-controller", "uid": "c", "controller": true}]);
        let controller = json!({"metadata": {"name": "ingress-nginx-controller-a", "namespace": "edge", "labels": {}, "ownerReferences": owner}});
        World::asking("Service", "web")
            .alert(alert)
            .with(service(json!({"app": "web"})))
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .log("web-1-a", "INFO ok\n")
            .with(pod(patched(json!({}), controller)))
            .log_in("edge", "ingress-nginx-controller-a", log)
            .with(ingress("front", "a.example.com", None))
    }

    #[test]
    fn the_pattern_compiles() {
        assert!(REFUSED.compiles());
    }

    #[test]
    fn an_ingress_that_takes_no_large_bodies_is_blamed_and_its_sibling_says_how_much() {
        let refused = refusals("a.example.com", 4);
        let world = world("UploadFailureRate", &refused).with(ingress("admin", "b.example.com", Some("25m")));
        assert_eq!(world.cause(), "ingress_body_too_large Ingress/front");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("Ingress admin sets 25m"), "{}", diagnosis.headline);
        let commands: Vec<_> = diagnosis.steps.iter().filter_map(|step| step.command.as_deref()).collect();
        assert!(commands.iter().any(|it| it.contains("proxy-body-size=25m --overwrite")), "{commands:?}");
    }

    #[test]
    fn bodies_refused_for_another_host_or_once_are_not_this_ones() {
        for log in [refusals("b.example.com", 9), refusals("a.example.com", 1)] {
            assert!(!world("UploadFailureRate", &log).codes().contains(&"ingress_body_too_large"));
        }
    }

    #[test]
    fn one_client_or_an_alert_that_counts_what_servers_fail_at_makes_it_a_lead() {
        let verdict = |alert: &str, clients| {
            let log = sized("a.example.com", 4, 18_701_070, clients);
            world(alert, &log).diagnosis().verdict
        };
        assert_eq!(verdict("UploadFailureRate", 4), Verdict::Fault);
        assert_eq!(verdict("UploadFailureRate", 1), Verdict::Inconclusive);
        assert_eq!(verdict("High5xxRate", 4), Verdict::Inconclusive);
    }

    #[test]
    fn no_limit_is_proposed_beyond_what_is_usual_here() {
        let raised = |size: u64, sibling: Option<&str>| {
            let world = world("UploadFailureRate", &sized("a.example.com", 4, size, 4));
            let world = sibling
                .into_iter()
                .fold(world, |world, limit| world.with(ingress("admin", "b.example.com", Some(limit))));
            let steps = world.diagnosis().steps;
            steps.iter().any(|step| step.command.as_deref().is_some_and(|it| it.contains("annotate")))
        };
        assert!(raised(18_701_070, None) && raised(18_701_070, Some("25m")));
        assert!(!raised(99_999_999_999, None) && !raised(18_701_070, Some("10m")));
    }

    #[test]
    fn an_alert_about_a_state_is_not_explained_by_it() {
        let world = world("KubePodNotReady", &refusals("a.example.com", 9));
        assert!(!world.codes().contains(&"ingress_body_too_large"));
        assert_eq!(world.diagnosis().verdict, Verdict::NoFault);
    }

    #[test]
    fn sizes_are_read_and_rounded_as_nginx_has_them() {
        assert_eq!((bytes("25m"), bytes("1g"), bytes("x")), (Some(25 << 20), Some(1 << 30), None));
        assert_eq!((rounded(18_701_070), megabytes(18_701_070)), (Some("32m".to_owned()), "18 MiB".to_owned()));
        assert_eq!(rounded(99_999_999_999), None);
    }
}
