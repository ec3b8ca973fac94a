//! The cluster's DNS that gets no answer from the servers to which it forwards names outside the cluster: what is inside
//! still resolves, and everything that calls out fails.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};

use crate::alert::ObjectRef;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pattern::Pattern;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::playbook::{drift, latent, logs, pods};
use crate::report::{Confidence, Step};

/// What CoreDNS' plugins say of a question that they passed on in vain: the name, and who was asked.
static IN_VAIN: Pattern = Pattern::new(
    r"plugin/errors: \d+ ([\w.-]+?)\.? [A-Z]+: .*?(?:->|dial (?:udp|tcp) )\[?([0-9a-fA-F.:]+?)\]?:(\d+): .*?(?:i/o timeout|connection refused|no route to host|network is unreachable)",
);
/// Where a Corefile forwards to, and for which zone.
static FORWARD: Pattern = Pattern::new(r"^\s*(?:forward|proxy)\s+(\S+)\s+(.+?)\s*\{?\s*$");
/// How often one server leaves questions unanswered before it is no hiccup.
const OFTEN: usize = 5;
/// Domains from which on it is the server that is silent, and not those who answer for one domain.
const DOMAINS: usize = 2;
/// Names told in one sentence.
const NAMED: usize = 2;
/// The longest comment of a Corefile that is repeated, in characters.
const SAID: usize = 80;

/// Questions that one server left unanswered.
struct Silence<'s> {
    log: &'s SeenLog,
    line: &'s str,
    server: String,
    names: Vec<String>,
    /// The domains that these names are of.
    domains: BTreeSet<String>,
}

/// Where a Corefile says that such questions go.
struct Forward {
    map: ObjectRef,
    reference: String,
    line: String,
    zone: String,
    comment: Option<String>,
}

/// Findings about DNS servers of the cluster whose own servers do not answer.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let servers = scene.current_pods().filter(|pod| reach::is_dns(&named(&pod.object)));
    servers.filter_map(|pod| Some(told(scene, pod, &silence(scene, &pod.object)?))).collect()
}

/// The server outside the cluster that leaves most questions unanswered now.
fn silence<'s>(scene: &Scene<'s>, pod: &Pod) -> Option<Silence<'s>> {
    if !pods::is_ready(pod) {
        return None;
    }
    reach::present_logs(scene, pod).into_iter().filter(|(log, _)| !log.previous).find_map(|(log, text)| {
        let mut asked: BTreeMap<String, Vec<(&str, String)>> = BTreeMap::new();
        for line in text.lines().filter(|line| !logs::instructs(line)) {
            let Some(found) = IN_VAIN.groups(line) else { continue };
            let (name, server) = (found[1].to_ascii_lowercase(), found[2].to_owned());
            if !name.ends_with("cluster.local") && !is_of_cluster(scene, &server) {
                asked.entry(server).or_default().push((line, name));
            }
        }
        let (server, told) = asked.into_iter().max_by_key(|(_, told)| told.len())?;
        let line = told.last().filter(|_| told.len() >= OFTEN)?.0;
        let mut names: Vec<String> = Vec::new();
        for (_, name) in told {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let domains = domains(&names);
        Some(Silence { log, line, server, names, domains })
    })
}

/// The domains of names, where one that merely has a search path behind it is the same name.
fn domains(names: &[String]) -> BTreeSet<String> {
    let longer =
        |name: &String| names.iter().any(|other| name.strip_prefix(other).is_some_and(|it| it.starts_with('.')));
    names.iter().filter(|name| !longer(name)).map(|name| domain(name)).collect()
}

/// What somebody registered of a name: its last two labels, or three below such as `co.uk` and `com.cn`.
fn domain(name: &str) -> String {
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    let is_below = matches!(labels[..], [.., second, first] if first.len() == 2 && second.len() <= 3);
    labels[labels.len().saturating_sub(if is_below { 3 } else { 2 })..].join(".")
}

/// Whether an address is one of the cluster's own: then something nearer is at fault.
fn is_of_cluster(scene: &Scene<'_>, address: &str) -> bool {
    let is_pods =
        |pod: &Seen<Pod>| pod.object.status.as_ref().is_some_and(|status| status.pod_ip.as_deref() == Some(address));
    let service = scene
        .services
        .iter()
        .any(|service| service.object.spec.as_ref().is_some_and(|spec| spec.cluster_ip.as_deref() == Some(address)));
    service || scene.pods.iter().any(is_pods)
}

/// The line of a Corefile that forwards to a server, with the comment above it.
fn forward(scene: &Scene<'_>, pod: &Pod, server: &str) -> Option<Forward> {
    latent::maps(pod).into_iter().find_map(|map| {
        let read: Seen<ConfigMap> = scene.facts.get(&map.namespace, &map.name)?;
        let data = read.object.data?;
        data.values().find_map(|text| {
            let lines: Vec<&str> = text.lines().collect();
            let forwards = |line: &str| Some((FORWARD.group(line, 1)?, FORWARD.group(line, 2)?));
            let at = lines.iter().position(|line| {
                forwards(line).is_some_and(|(_, to)| to.split_whitespace().any(|to| is_server(to, server)))
            })?;
            let above = at.checked_sub(1).map(|above| lines[above].trim());
            let comment = above.and_then(|line| line.strip_prefix('#')).map(|said| logs::shorten(said.trim(), SAID));
            Some(Forward {
                map: map.clone(),
                reference: read.reference.clone(),
                line: lines[at].trim().trim_end_matches('{').trim().to_owned(),
                zone: forwards(lines[at])?.0,
                comment: comment.filter(|said| !said.is_empty() && said != "…"),
            })
        })
    })
}

/// Whether a destination of a Corefile is a server: `10.0.0.53`, `10.0.0.53:5353`, `tls://10.0.0.53`, `[fd00::53]:53`.
fn is_server(destination: &str, server: &str) -> bool {
    let bare = destination.split_once("://").map_or(destination, |(_, rest)| rest);
    let host = bare.strip_prefix('[').and_then(|rest| rest.split(']').next());
    let host = host.unwrap_or_else(|| {
        bare.rsplit_once(':').filter(|(host, _)| !host.contains(':')).map_or(bare, |(host, _)| host)
    });
    host == server
}

fn told(scene: &Scene<'_>, pod: &Seen<Pod>, silence: &Silence<'_>) -> Finding {
    if silence.domains.len() < DOMAINS {
        return of_one_domain(scene, pod, silence);
    }
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let server = &silence.server;
    let forward = forward(scene, &pod.object, server);
    let (victims, missed) = victims(scene, silence);
    // What a caller misses is told before what nobody who was looked at asked for.
    let names = if missed.is_empty() { &silence.names } else { &missed };
    let shown = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let headline = match &forward {
        Some(Forward { map, .. }) => scene.text(
            format!("集群 DNS（{workload}）得不到上游 {server} 的应答（{map} 把集群外的域名转发（forward）到那里），{shown} 等域名解析失败"),
            format!("The cluster's DNS ({workload}) gets no answer from its upstream {server}, where {map} forwards what is outside the cluster: {shown} does not resolve"),
        ),
        None => scene.text(
            format!("集群 DNS（{workload}）得不到上游 {server} 的应答，{shown} 等集群外域名解析失败"),
            format!("The cluster's DNS ({workload}) gets no answer from its upstream {server}: {shown} does not resolve"),
        ),
    };
    let blame = forward.as_ref().map_or_else(|| workload.clone(), |forward| forward.map.clone());
    let finding = Finding::new("dns_upstream_silent", Depth::Root, &name, &blame, headline.clone())
        .summary(scene.text(
            format!("{headline}；集群内的域名不会转发到那里。"),
            format!("{headline}; names inside the cluster are not forwarded there."),
        ))
        .confidence(Confidence::Medium)
        .cite([scene.quote(&silence.log.reference, silence.line)])
        .touches(victims)
        .touches([workload])
        .unresolved(scene.text(
            format!("{server} 是否应当可用：是它停机或被防火墙拦截，还是转发地址写错了？"),
            format!("Should {server} answer: is it down or shut off by a firewall, or is it the wrong address?"),
        ));
    let finding = match &forward {
        Some(forward) => finding.cite([scene.quote(&forward.reference, &forward.line)]),
        None => finding,
    };
    finding.steps(steps(scene, &name, server, forward.as_ref()))
}

/// Where all that is unanswered is of one domain: that domain's own servers may be silent, and the upstream waits for them.
fn of_one_domain(scene: &Scene<'_>, pod: &Seen<Pod>, silence: &Silence<'_>) -> Finding {
    let (name, workload, server) = (named(&pod.object), scene.workload(&pod.object), &silence.server);
    let domain = silence.domains.iter().next().map_or("", String::as_str);
    let headline = scene.text(
        format!("经上游 {server} 查询域名 {domain} 得不到应答；没有看到其他域名超时，可能是该域名自己的 DNS 服务器不应答"),
        format!("Names of {domain} get no answer by way of the upstream {server}; no other domain was seen to time out, so the domain's own servers may be silent"),
    );
    Finding::new("dns_upstream_silent", Depth::Root, &name, &workload, headline)
        .confidence(Confidence::Low)
        .cite([scene.quote(&silence.log.reference, silence.line)])
        .touches(victims(scene, silence).0)
        .unresolved(scene.text(
            format!("{domain} 的 DNS 服务器是否应答？别的集群外域名能否解析？"),
            format!("Do the servers of {domain} answer, and do other names outside the cluster resolve?"),
        ))
        .steps([look(
            scene.text("查看集群 DNS 的报错", "Read what the cluster's DNS complains of"),
            kubectl(&name.namespace, &format!("logs {} --tail=50", name.name)),
        )])
}

fn steps(scene: &Scene<'_>, pod: &ObjectRef, server: &str, forward: Option<&Forward>) -> Vec<Step> {
    let log = look(
        scene.text("查看集群 DNS 的报错", "Read what the cluster's DNS complains of"),
        kubectl(&pod.namespace, &format!("logs {} --tail=50", pod.name)),
    );
    let Some(Forward { map, line, zone, comment, .. }) = forward else {
        return vec![log];
    };
    let before =
        drift::lead(scene, map).and_then(|lead| lead.findings.into_iter().find(|told| told.contains("forward")));
    let told = before.or_else(|| comment.clone());
    let hint =
        told.map_or_else(String::new, |told| scene.text(format!("（原先：{told}）"), format!(" (before: {told})")));
    let of_zone = if zone == "." {
        String::new()
    } else {
        scene.text(format!("（区域 {zone}）"), format!(" for zone {zone}"))
    };
    vec![
        log,
        look(
            scene.text(format!("查看 {map} 中的转发设置：{line}"), format!("Read where {map} forwards to: {line}")),
            kubectl(&map.namespace, &format!("get configmap {} -o yaml", map.name)),
        ),
        change(
            scene.text(
                format!("让 {server} 恢复应答；若不该用它，把 forward{of_zone} 改回可用的上游{hint}"),
                format!("Have {server} answer again; if it is not the one, set forward{of_zone} back to an upstream that does{hint}"),
            ),
            scene.text(
                "启用 reload 插件时，CoreDNS 会在约一分钟内自动加载修改",
                "With its reload plugin CoreDNS takes the change up by itself within about a minute",
            ),
            Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
        ),
    ]
}

/// The workloads whose calls fail over a name that was asked for in vain, and these names.
fn victims(scene: &Scene<'_>, silence: &Silence<'_>) -> (Vec<ObjectRef>, Vec<String>) {
    let (mut workloads, mut names) = (Vec::new(), Vec::<String>::new());
    for pod in scene.current_pods().filter(|pod| !reach::is_dns(&named(&pod.object))) {
        let calls = reach::failing_calls(scene, &pod.object);
        let unresolved = calls.iter().filter(|call| call.failure == Failure::Unresolved);
        let missed: Vec<String> = unresolved.flat_map(|call| asked_for(call, &silence.names)).collect();
        if missed.is_empty() {
            continue;
        }
        workloads.extend([named(&pod.object), scene.workload(&pod.object)]);
        let new: Vec<String> = missed.into_iter().filter(|name| !names.contains(name)).collect();
        names.extend(new);
    }
    (workloads, names)
}

/// The hosts of a call among names, which may be written with the search path behind them.
fn asked_for(call: &Call<'_>, names: &[String]) -> Vec<String> {
    let asked = |host: &&String| names.iter().any(|name| name == *host);
    call.hosts.iter().filter(asked).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, pod};

    fn dns(volumes: Value) -> Value {
        pod(json!({"metadata": {"name": "coredns-1-a", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "coredns-1", "uid": "d", "controller": true}]},
            "spec": {"volumes": volumes}, "status": {"podIP": "10.244.3.2"}}))
    }

    fn corefile(forward: &str) -> Value {
        let text = format!(
            ".:53 {{\n    errors\n    kubernetes cluster.local\n    # CHG-7: was /etc/resolv.conf\n    forward . {forward} {{\n       max_concurrent 1000\n    }}\n}}\n"
        );
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "coredns", "namespace": "kube-system"}, "data": {"Corefile": text}})
    }

    fn world(map: Value, error: &str, times: usize) -> World {
        let volumes = json!([{"name": "c", "configMap": {"name": "coredns"}}]);
        let call =
            "ERROR request to https://api.pay.example/v1 failed, reason: getaddrinfo EAI_AGAIN api.pay.example\n";
        World::asking("Pod", "web-1-a")
            .with(pod(json!({})))
            .log("web-1-a", &call.repeat(3))
            .with(dns(volumes))
            .with(map)
            .log_in("kube-system", "coredns-1-a", &format!("{error}\n{}\n", second(error)).repeat(times))
    }

    fn second(error: &str) -> String {
        error.replace("api.pay.example", "push.mobile.test")
    }

    const TIMEOUT: &str =
        "[ERROR] plugin/errors: 2 api.pay.example. A: read udp 10.244.3.2:56316->10.0.0.53:53: i/o timeout";

    #[test]
    fn every_pattern_compiles() {
        assert!(IN_VAIN.compiles() && FORWARD.compiles());
    }

    #[test]
    fn an_upstream_without_an_answer_is_named_with_what_forwards_to_it() {
        let told = world(corefile("10.0.0.53"), TIMEOUT, 6);
        assert_eq!(told.cause(), "dns_upstream_silent ConfigMap/coredns");
        let diagnosis = told.diagnosis();
        assert!(diagnosis.headline.contains("10.0.0.53") && diagnosis.headline.contains("api.pay.example"));
        assert!(
            diagnosis.steps.iter().any(|step| step.title.contains("was /etc/resolv.conf")),
            "{:?}",
            diagnosis.steps
        );
        let refused =
            "[ERROR] plugin/errors: 2 api.pay.example. AAAA: dial tcp 10.0.0.53:53: connect: connection refused";
        assert_eq!(world(corefile("10.0.0.53:53"), refused, 6).cause(), "dns_upstream_silent ConfigMap/coredns");
    }

    #[test]
    fn one_domain_without_an_answer_blames_no_upstream() {
        let alone = TIMEOUT.replace("api.pay.example", "api.partner.example");
        let world = world(corefile("10.0.0.53"), &alone, 6);
        let diagnosis = world.diagnosis();
        assert_ne!(diagnosis.verdict, crate::report::Verdict::Fault, "{}", diagnosis.headline);
        assert!(!diagnosis.causes.iter().any(|cause| cause.resource.kind == "ConfigMap"));
        let names = |all: &[&str]| domains(&all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()).len();
        assert_eq!(names(&["a.pay.example", "b.pay.example", "a.pay.example.ec2.internal"]), 1);
        assert_eq!(names(&["a.pay.co.uk", "a.ship.co.uk"]), 2);
    }

    #[test]
    fn where_the_nodes_resolver_is_asked_no_configmap_is_blamed() {
        assert!(world(corefile("/etc/resolv.conf"), TIMEOUT, 6).cause().ends_with("/coredns"));
        let blamed = world(corefile("/etc/resolv.conf"), TIMEOUT, 6).diagnosis().causes.remove(0).resource.kind;
        assert_ne!(blamed, "ConfigMap");
    }

    #[test]
    fn a_hiccup_and_a_question_inside_the_cluster_are_another_matter() {
        let codes = |error: &str, times| world(corefile("10.0.0.53"), error, times).codes();
        assert!(!codes(TIMEOUT, 2).contains(&"dns_upstream_silent"));
        assert!(
            !codes(&TIMEOUT.replace("api.pay.example", "db.shop.svc.cluster.local"), 6)
                .contains(&"dns_upstream_silent")
        );
        assert!(!codes("[ERROR] plugin/errors: 2 api.pay.example. A: NXDOMAIN", 6).contains(&"dns_upstream_silent"));
        assert!(
            !codes(&TIMEOUT.replace("10.0.0.53", "10.244.3.2"), 6).contains(&"dns_upstream_silent"),
            "the cluster's own"
        );
    }

    #[test]
    fn destinations_are_told_apart() {
        assert!(is_server("10.0.0.53:5353", "10.0.0.53") && is_server("tls://10.0.0.53", "10.0.0.53"));
        assert!(is_server("[fd00::53]:53", "fd00::53") && is_server("fd00::53", "fd00::53"));
        assert!(!is_server("10.0.0.5", "10.0.0.53"));
    }
}
