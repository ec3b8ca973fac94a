//! Upstreams: requests that a proxy's access log shows to be answered with a server's error by whoever stands behind it. The
//! log names that one as the proxy knows it; its configuration says who it is.

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};

use crate::playbook::callees;
use crate::playbook::environment;
use crate::playbook::facts::{Facts, Seen};
use crate::playbook::latent;
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};

/// How many such requests are more than chance.
const OFTEN: usize = 3;

/// The request of an access log's line and the status it was answered with: `"GET /a HTTP/1.1" 500`.
static ANSWERED: Pattern = Pattern::new(r#""([A-Z]+ [^" ]+)(?: HTTP/[\d.]+)?" (5\d\d)\b"#);
/// Whom a proxy passed a request to, as nginx, Envoy and others write it.
static PASSED_TO: Pattern = Pattern::new(
    r#"(?i)\b(?:upstream(?:_cluster|_host|_addr|_name)?|backend(?:_name)?|proxy_pass)\\?"?\s*[=:]?\s*\\?"?(?:https?://)?(?:outbound\|\d+\|[^|]*\|)?([a-z0-9][a-z0-9.-]*[a-z0-9])"#,
);
/// A group of servers in the configuration of nginx, and the servers in it.
static GROUP: Pattern = Pattern::new(r"(?s)\bupstream\s+([A-Za-z0-9_.-]+)\s*\{([^}]*)\}");
static SERVER: Pattern = Pattern::new(r"\bserver\s+(?:https?://)?([a-z0-9][a-z0-9.-]*)");
/// Where all requests of a path go.
static PASSES: Pattern = Pattern::new(r"\bproxy_pass\s+https?://([a-z0-9][a-z0-9.-]*)");

/// A request that was answered with a server's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed<'a> {
    /// Its method and path.
    pub request: &'a str,
    /// The status.
    pub status: &'a str,
    /// Who answered, by the name the proxy has for it.
    pub upstream: Option<&'a str>,
}

/// What a line of an access log tells of a request that failed.
#[must_use]
pub fn failed(line: &str) -> Option<Failed<'_>> {
    let found = ANSWERED.groups(line).filter(|_| !logs::instructs(line))?;
    let (request, status) = (found.get(1)?.as_str(), found.get(2)?);
    let (status, rest) = (status.as_str(), &line[status.end()..]);
    let upstream = PASSED_TO.groups(rest).and_then(|found| found.get(1)).map(|name| name.as_str());
    Some(Failed { request, status, upstream: upstream.filter(|name| *name != "-") })
}

/// The hosts of those who answered a Pod's requests with errors again and again, as its log and its configuration name them.
#[must_use]
pub fn hosts(facts: &Facts, pod: &Pod, text: &str) -> Vec<String> {
    let failed: Vec<Failed<'_>> = text.lines().filter_map(failed).collect();
    if failed.len() < OFTEN {
        return Vec::new();
    }
    let mut names: Vec<&str> = failed.iter().filter_map(|it| it.upstream).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| failed.iter().filter(|it| it.upstream == Some(name)).count() >= OFTEN);
    let maps = latent::maps(pod).into_iter().filter_map(|map| facts.get::<ConfigMap>(&map.namespace, &map.name));
    let files: Vec<String> = maps.flat_map(|map| map.object.data.unwrap_or_default().into_values()).collect();
    let mut hosts: Vec<String> = names.iter().flat_map(|name| meant(pod, &files, name)).collect();
    if names.is_empty() && failed.iter().all(|it| it.upstream.is_none()) {
        // A log that names nobody means the only one that all is passed to.
        let mut passed: Vec<String> = files.iter().flat_map(|file| all(&PASSES, file)).collect();
        passed.sort();
        passed.dedup();
        if let [only] = passed.as_slice() {
            hosts = meant(pod, &files, only);
        }
    }
    hosts.retain(|host| !reach::is_local(host));
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Who a name of a proxy's is: the servers of its group, what a variable says, or itself.
fn meant(pod: &Pod, files: &[String], name: &str) -> Vec<String> {
    let groups = files.iter().flat_map(|file| GROUP.all(file));
    let of_group = groups.filter(|found| &found[1] == name).flat_map(|found| all(&SERVER, &found[2]));
    let servers: Vec<String> = of_group.collect();
    if !servers.is_empty() {
        return servers;
    }
    let told = environment::spoken_of(pod, name);
    if !told.is_empty() && !name.contains('.') { told } else { vec![name.to_owned()] }
}

fn all(pattern: &Pattern, text: &str) -> Vec<String> {
    // What is commented out is not in force.
    let in_force: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let found = in_force.join("\n");
    pattern.all(&found).into_iter().filter_map(|it| Some(it.get(1)?.as_str().to_owned())).collect()
}

/// The Services that answered a Pod's requests with errors.
#[must_use]
pub fn services<'s>(scene: &'s Scene<'_>, pod: &Pod) -> Vec<&'s Seen<Service>> {
    let from = pod.metadata.namespace.as_deref().unwrap_or_default();
    let texts = reach::present_logs(scene, pod).into_iter().map(|(_, text)| text);
    let hosts: Vec<String> = texts.flat_map(|text| hosts(scene.facts, pod, text)).collect();
    let is_it = |service: &&Seen<Service>| {
        let name = named(&service.object);
        let has = |host: &String| {
            let address = service.object.spec.as_ref().and_then(|spec| spec.cluster_ip.as_ref());
            let behind = || scene.backends(&service.object).into_iter().any(|pod| has_address(&pod.object, host));
            callees::means(host, (&name.namespace, &name.name), from)
                || (reach::is_address(host) && (address == Some(host) || behind()))
        };
        hosts.iter().any(has)
    };
    scene.services.iter().filter(is_it).collect()
}

fn has_address(pod: &Pod, address: &str) -> bool {
    pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()) == Some(address)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::world::{World, container, patched, pod, service};

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&ANSWERED, &PASSED_TO, &GROUP, &SERVER, &PASSES] {
            assert!(pattern.compiles());
        }
    }

    #[test]
    fn who_answered_is_read_from_the_lines_of_several_proxies() {
        let upstream = |line| failed(line).and_then(|it| it.upstream.map(str::to_owned));
        let line = "10.0.0.1 - [27/Nov/2026:09:10:00 +0000] \"GET /a HTTP/1.1\" 500 12 upstream=catalog rt=0.1";
        assert_eq!(failed(line).map(|it| (it.request, it.status)), Some(("GET /a", "500")));
        assert_eq!(upstream(line).as_deref(), Some("catalog"));
        let quoted = "\"GET /a HTTP/1.1\" 502 0 upstream: \"http://10.244.1.5:8080/a\"";
        assert_eq!(upstream(quoted).as_deref(), Some("10.244.1.5"));
        let mesh = "[x] \"GET /a HTTP/1.1\" 503 UF upstream_cluster=outbound|8080||web.shop.svc.cluster.local";
        assert_eq!(upstream(mesh).as_deref(), Some("web.shop.svc.cluster.local"));
        assert_eq!(upstream("\"GET /a HTTP/1.1\" 500 12 \"-\" \"curl/8\""), None);
        assert_eq!(failed(&line.replace(" 500 ", " 200 ")), None);
    }

    /// A proxy before Service `web`, its configuration and its log; what the server behind says.
    fn proxied(file: &str, line: &str, said: &str) -> World {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "gw", "namespace": "shop"},
            "data": {"default.conf": file}});
        let own = json!({"metadata": {"name": "gw-1-a", "labels": {"app": "gw"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "gw-1", "uid": "c", "controller": true}]},
            "spec": {"volumes": [{"name": "conf", "configMap": {"name": "gw"}}], "containers": [container(json!({}))]}});
        World::asking("Pod", "gw-1-a")
            .with(map)
            .with(patched(pod(json!({})), own))
            .log("gw-1-a", &format!("{line}\n").repeat(8))
            .with(service(json!({"app": "web"})))
            .with(pod(json!({})))
            .log("web-1-a", &format!("{said}\n").repeat(8))
    }

    const FILE: &str =
        "upstream api { server web.shop.svc.cluster.local:8080; }\nserver { location / { proxy_pass http://api/; } }\n";
    const LINE: &str = "10.0.0.1 - [23/Nov/2026:02:59:00 +0000] \"GET /a HTTP/1.1\" 500 12 upstream=api rt=0.1";
    const ERROR: &str = "ERROR GET /a: index out of range";

    #[test]
    fn the_errors_of_who_stands_behind_a_proxy_are_the_cause() {
        assert_eq!(proxied(FILE, LINE, ERROR).cause(), "application_errors Deployment/web");
        let unnamed = LINE.replace("upstream=api", "");
        assert_eq!(proxied(FILE, &unnamed, ERROR).cause(), "application_errors Deployment/web");
        let itself = LINE.replace("upstream=api", "upstream=web");
        assert_eq!(proxied("", &itself, ERROR).cause(), "application_errors Deployment/web");
        let address = LINE.replace("upstream=api", "upstream: \"http://10.244.1.5:8080/a\"");
        assert_eq!(proxied("", &address, ERROR).cause(), "application_errors Deployment/web");
    }

    #[test]
    fn a_proxy_whose_upstream_is_well_or_another_is_told_for_itself() {
        let calm = proxied(FILE, LINE, "INFO ready");
        assert_eq!(calm.cause(), "application_errors Deployment/gw");
        let headline = calm.diagnosis().headline;
        assert!(
            headline.contains("answers 500 to GET /a, upstream api") && !headline.contains("10.0.0.1"),
            "{headline}"
        );
        let other = FILE.replace("server web.", "server other.");
        assert_eq!(proxied(&other, LINE, ERROR).cause(), "application_errors Deployment/gw");
        let fine = LINE.replace(" 500 ", " 200 ");
        assert!(proxied(FILE, &fine, ERROR).diagnosis().causes.is_empty());
    }
}
