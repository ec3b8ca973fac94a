//! A `hosts` block of the cluster's DNS that passes no question on: every name that it does not list gets no answer
//! (SERVFAIL), though the DNS Pods are Ready.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};

use crate::alert::ObjectRef;
use crate::playbook::corefile::{self, Plugin, ServerBlock};
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::latent;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach::{self, Call};
use crate::playbook::scene::{Scene, named};
use crate::report::{Confidence, Step};

/// Words for a resolver that answers that it has no answer, in Go, C, Node.js and nslookup.
static UNANSWERED: Pattern =
    Pattern::new(r"(?i)server misbehaving|eai_again|temporary failure in name resolution|\bservfail\b");
/// Words for one that does not answer at all, which is another fault.
static SILENT: Pattern = Pattern::new(r"(?i)time(?:d )?-?out|refused|unreachable");
/// Names told in one sentence.
const NAMED: usize = 2;

/// Whether a line says that the resolver answered, and had no answer.
#[must_use]
pub fn tells(line: &str) -> bool {
    UNANSWERED.hits(line) && !SILENT.hits(line)
}

/// A call that failed over a name.
struct Missed<'s> {
    call: Call<'s>,
    name: String,
    caller: ObjectRef,
    workload: ObjectRef,
}

/// Findings about ConfigMaps of the cluster's DNS whose `hosts` block stops names that somebody asks for in vain.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut servers: BTreeMap<ObjectRef, &Seen<Pod>> = BTreeMap::new();
    for pod in scene.current_pods().filter(|pod| reach::is_dns(&named(&pod.object)) && pods::is_ready(&pod.object)) {
        for map in latent::maps(&pod.object) {
            servers.entry(map).or_insert(pod);
        }
    }
    servers.into_iter().filter_map(|(map, pod)| stopped(scene, &map, pod)).collect()
}

fn stopped(scene: &Scene<'_>, map: &ObjectRef, server: &Seen<Pod>) -> Option<Finding> {
    let read: Seen<ConfigMap> = scene.facts.get(&map.namespace, &map.name)?;
    let blocks = corefile::blocks(read.object.data?.get("Corefile")?);
    let mut missed = missed(scene, &corefile::domain(&blocks));
    let (block, plugin) = missed.iter().find_map(|missed| {
        let block = corefile::serving(&blocks, &missed.name)?;
        Some((block, block.stopping(&missed.name)?))
    })?;
    missed.retain(|missed| {
        let serving = corefile::serving(&blocks, &missed.name);
        serving.is_some_and(|it| std::ptr::eq(it, block) && it.stopping(&missed.name).is_some())
    });
    Some(told(scene, (map, &read.reference), server, (block, plugin), &missed))
}

/// The names that are asked for and get no answer, as the cluster's DNS is asked for them.
fn missed<'s>(scene: &Scene<'s>, domain: &str) -> Vec<Missed<'s>> {
    let mut missed = Vec::new();
    for pod in scene.current_pods().filter(|pod| !reach::is_dns(&named(&pod.object))) {
        let calls = reach::failing_calls(scene, &pod.object).into_iter().filter(|call| tells(call.line));
        for call in calls {
            // What asks the Node's own resolver asks somebody else.
            let policy = pod.object.spec.as_ref().and_then(|spec| spec.dns_policy.as_deref());
            let host = call.hosts.iter().find(|host| !reach::is_address(host) && !reach::is_local(host));
            let Some(host) = host.filter(|_| !matches!(policy, Some("Default" | "None"))) else { continue };
            let (caller, workload) = (named(&pod.object), scene.workload(&pod.object));
            missed.push(Missed { name: in_full(host, &caller.namespace, domain), call, caller, workload });
        }
    }
    missed
}

/// A name as it is asked for, with the search path behind what can only be a Service of the cluster.
fn in_full(host: &str, namespace: &str, domain: &str) -> String {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    match host.split('.').collect::<Vec<_>>().as_slice() {
        [_] => format!("{host}.{namespace}.svc.{domain}"),
        [.., "svc"] => format!("{host}.{domain}"),
        _ => host,
    }
}

fn told(
    scene: &Scene<'_>,
    (map, reference): (&ObjectRef, &str),
    server: &Seen<Pod>,
    (block, plugin): (&ServerBlock, &Plugin),
    missed: &[Missed<'_>],
) -> Finding {
    let (name, workload) = (named(&server.object), scene.workload(&server.object));
    let mut names: Vec<&str> = Vec::new();
    for missed in missed {
        if !names.contains(&missed.name.as_str()) {
            names.push(&missed.name);
        }
    }
    let shown = names.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    let zones = block.told();
    let headline = scene.text(
        format!("集群 DNS（{workload}）只解析 hosts 里列出的名字：{map} 的 Corefile 在区域 {zones} 中有 hosts 而没有 fallthrough，其余名字都得不到应答（SERVFAIL），如 {shown}"),
        format!("The cluster's DNS ({workload}) resolves nothing but what its hosts block lists: in the Corefile of {map}, zone {zones} has `hosts` without `fallthrough`, so every other name gets no answer (SERVFAIL), such as {shown}"),
    );
    // What else a file lists is not known here, though it will hardly list the cluster's own Services.
    let sure = if plugin.file().is_some() { Confidence::Medium } else { Confidence::High };
    // Of a Corefile that YAML prints as one escaped line only what stands on one line can be quoted.
    let whole = scene.quote(reference, &plugin.whole());
    let listed = plugin.first().filter(|_| whole.is_none()).and_then(|line| scene.quote(reference, line));
    let lines = missed.iter().take(NAMED).map(|missed| scene.quote(&missed.call.log.reference, missed.call.line));
    Finding::new("dns_hosts_without_fallthrough", Depth::Root, &name, map, headline)
        .confidence(sure)
        .cite([whole.or_else(|| scene.quote(reference, &plugin.head())), listed])
        .cite(lines)
        .touches(missed.iter().flat_map(|missed| [missed.caller.clone(), missed.workload.clone()]))
        .touches([workload.clone()])
        .ruled_out(
            scene.text("集群 DNS 的 Pod 不可用", "DNS Pods that are down"),
            scene.text(format!("{name} 已 Ready，并且有应答"), format!("{name} is Ready and does answer")),
        )
        .steps(steps(scene, map, &workload, block))
}

fn steps(scene: &Scene<'_>, map: &ObjectRef, workload: &ObjectRef, block: &ServerBlock) -> Vec<Step> {
    let reloads = block.has("reload");
    let detail = if reloads {
        scene.text(
            "Corefile 启用了 reload：CoreDNS 会在约一分钟内自动加载修改，无需重启",
            "Its Corefile has reload: CoreDNS takes the change up by itself within about a minute",
        )
    } else {
        scene.text(
            "Corefile 没有 reload 插件：修改后需要重启 CoreDNS",
            "Its Corefile has no reload plugin: restart CoreDNS afterwards",
        )
    };
    let mut steps = vec![
        look(
            scene.text("查看 Corefile", "Read the Corefile"),
            kubectl(&map.namespace, &format!("get configmap {} -o yaml", map.name)),
        ),
        change(
            scene.text(
                "在 hosts 块的末尾加上一行 fallthrough",
                "Add a line `fallthrough` at the end of the hosts block",
            ),
            detail,
            Some(kubectl(&map.namespace, &format!("edit configmap {}", map.name))),
        ),
    ];
    if !reloads && matches!(workload.kind.as_str(), "Deployment" | "DaemonSet") {
        steps.push(change(
            scene.text("重启 CoreDNS", "Restart CoreDNS"),
            "",
            Some(kubectl(&workload.namespace, &format!("rollout restart {}", slash(workload)))),
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::world::{World, pod};

    const GO: &str = "ERROR redis: dial failed: dial tcp: lookup cache.shop.svc.cluster.local on 10.96.0.10:53: server misbehaving\n";

    fn world(corefile: &str, line: &str) -> World {
        let volumes = json!([{"name": "c", "configMap": {"name": "coredns"}}]);
        let owner = json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "coredns-1", "uid": "d", "controller": true}]);
        let dns = json!({"metadata": {"name": "coredns-1-a", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"},
            "ownerReferences": owner}, "spec": {"volumes": volumes}});
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"Corefile": corefile},
            "metadata": {"name": "coredns", "namespace": "kube-system"}});
        World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &line.repeat(4)).with(pod(dns)).with(map)
    }

    fn corefile(hosts: &str) -> String {
        format!(
            ".:53 {{\n    errors\n    ready\n{hosts}    kubernetes cluster.local in-addr.arpa\n    forward . /etc/resolv.conf\n    reload\n}}\n"
        )
    }

    const STOPS: &str = "    hosts {\n       10.40.8.21 oracle.corp.internal\n       ttl 60\n    }\n";

    #[test]
    fn every_pattern_compiles() {
        assert!(UNANSWERED.compiles() && SILENT.compiles());
    }

    #[test]
    fn a_hosts_block_without_fallthrough_is_why_no_other_name_is_answered() {
        let told = world(&corefile(STOPS), GO);
        assert_eq!(told.cause(), "dns_hosts_without_fallthrough ConfigMap/coredns");
        let diagnosis = told.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
        assert!(diagnosis.headline.contains("cache.shop.svc.cluster.local"), "{}", diagnosis.headline);
        let quotes: Vec<_> = diagnosis.causes[0].evidence.iter().map(|it| it.quote.as_str()).collect();
        assert!(quotes.iter().any(|quote| quote.starts_with("hosts")), "{quotes:?}");
        assert!(diagnosis.steps.iter().any(|step| step.title.contains("fallthrough")));
        assert!(!diagnosis.steps.iter().any(|step| step.title.contains("Restart CoreDNS")), "it reloads");
        let node = "Error: getaddrinfo EAI_AGAIN cache\n";
        assert_eq!(world(&corefile(STOPS), node).cause(), "dns_hosts_without_fallthrough ConfigMap/coredns");
        let still = corefile(STOPS).replace("    reload\n", "");
        assert!(world(&still, GO).diagnosis().steps.iter().any(|step| step.title.contains("Restart CoreDNS")));
    }

    #[test]
    fn a_block_that_passes_on_lists_the_name_or_serves_another_zone_is_not_to_blame() {
        let blames =
            |corefile: &str, line: &str| world(corefile, line).codes().contains(&"dns_hosts_without_fallthrough");
        assert!(!blames(&corefile(&STOPS.replace("ttl 60", "fallthrough")), GO));
        assert!(!blames(&corefile(&STOPS.replace("oracle.corp.internal", "cache.shop.svc.cluster.local")), GO));
        assert!(!blames(&format!("{}corp.internal:53 {{\n{STOPS}}}\n", corefile("")), GO));
        assert!(!blames(&corefile(""), GO), "its healthy twin");
    }

    #[test]
    fn a_name_that_is_unknown_and_a_server_that_is_silent_are_another_matter() {
        let blames = |line: &str| world(&corefile(STOPS), line).codes().contains(&"dns_hosts_without_fallthrough");
        assert!(!blames(&GO.replace("server misbehaving", "no such host")));
        assert!(!blames(&GO.replace("server misbehaving", "read udp 10.0.0.1:9->10.96.0.10:53: i/o timeout")));
        assert!(!blames("INFO all is well\n"));
    }
}
