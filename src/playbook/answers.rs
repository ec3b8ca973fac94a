//! Answers: what the ingress controller's log says of the requests for what is asked about. A Pod that is well and logs no error
//! says nothing of requests that never came to it.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::Ingress;

use crate::playbook::analyzer::{body_limit, ingress};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::reach;
use crate::playbook::scene::Scene;
use crate::playbook::way_in;

/// How many answers with a server's error are no single one.
const FEW: usize = 3;
/// One in so many answers that fail is what people are called for.
const SHARE: usize = 20;

/// An access line of ingress-nginx: the status, and `[NAMESPACE-SERVICE-PORT]`
/// (<https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/log-format/>).
static ANSWERED: Pattern = Pattern::new(r#"" (\d{3}) \d+ ".*? \[([a-z0-9][\w.-]*)\] "#);

/// Statuses of the answers to requests for what is asked about, and how many there were of each.
type Answers = BTreeMap<String, usize>;

fn answers(scene: &Scene<'_>) -> Answers {
    let ingresses = scene.facts.all::<Ingress>();
    let asked = ingresses.iter().filter(|it| way_in::leads_to_target(scene, &it.object));
    let upstreams: Vec<String> = asked
        .flat_map(|it| ingress::services(&it.object))
        .map(|service| format!("{}-{}-", service.namespace, service.name))
        .collect();
    let controllers = scene.pods.iter().filter(|pod| body_limit::is_controller(scene, &pod.object));
    let mut answers = Answers::new();
    for (_, text) in controllers.flat_map(|pod| reach::present_logs(scene, &pod.object)) {
        for found in text.lines().filter(|line| !logs::instructs(line)).filter_map(|line| ANSWERED.groups(line)) {
            if upstreams.iter().any(|upstream| found[2].starts_with(upstream.as_str())) {
                *answers.entry(found[1].to_owned()).or_default() += 1;
            }
        }
    }
    answers
}

/// How the requests were answered, where the controller's log was read: `201 ×40, 413 ×13`.
#[must_use]
pub fn told(scene: &Scene<'_>) -> Option<String> {
    let answers = answers(scene);
    let mut counts: Vec<(&String, &usize)> = answers.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let told: Vec<String> = counts.into_iter().map(|(status, count)| format!("{status} ×{count}")).collect();
    (!told.is_empty()).then(|| {
        let told = told.join(", ");
        scene.text(
            format!("ingress controller 日志中这些请求的应答：{told}"),
            format!("the ingress controller's log has these answers to such requests: {told}"),
        )
    })
}

/// Whether the controller's log shows requests that still fail, more than a few and a fair share of all.
#[must_use]
pub fn fail(scene: &Scene<'_>) -> bool {
    let answers = answers(scene);
    let failed: usize = answers.iter().filter(|(status, _)| status.starts_with('5')).map(|(_, count)| count).sum();
    failed >= FEW && failed * SHARE >= answers.values().sum::<usize>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::world::{World, deployment, patched, pod, service};
    use crate::report::Verdict;

    fn asked(answered: &[(&str, usize)]) -> World {
        let line = |status: &str| {
            format!(
                "203.0.113.9 - - [23/Nov/2026:02:58:00 +0000] \"GET /x HTTP/1.1\" {status} 12 \"-\" \"curl\" 420 0.012 [shop-web-http] [] 10.244.4.7:8080 12 0.012 {status} bd9a\n"
            )
        };
        let log: String = answered.iter().map(|(status, times)| line(status).repeat(*times)).collect();
        let owner = json!([{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "ingress-nginx-controller", "uid": "c", "controller": true}]);
        let controller = json!({"metadata": {"name": "ingress-nginx-controller-a", "namespace": "edge", "labels": {}, "ownerReferences": owner}});
        World::asking("Service", "web")
            .alert("HighErrorRate")
            .listed("Ingress")
            .with(service(json!({"app": "web"})))
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .log("web-1-a", "INFO ok\n")
            .with(json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "front", "namespace": "shop"},
                "spec": {"ingressClassName": "nginx", "rules": [{"host": "a.example.com", "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}}]}}))
            .with(pod(patched(json!({}), controller)))
            .log_in("edge", "ingress-nginx-controller-a", &log)
    }

    #[test]
    fn requests_that_still_fail_at_the_entrance_are_no_all_clear() {
        assert!(ANSWERED.compiles());
        let failing = asked(&[("200", 20), ("502", 9)]).diagnosis();
        assert_eq!(failing.verdict, Verdict::Inconclusive);
        assert!(failing.primary.findings.iter().any(|it| it.contains("502 ×9")), "{:?}", failing.primary.findings);
        assert_eq!(asked(&[("200", 90), ("502", 1)]).diagnosis().verdict, Verdict::NoFault);
    }
}
