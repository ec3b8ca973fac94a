//! Calls that fail because of what they call: the name does not exist, or the Service has nobody to answer.

mod member;
mod missing;

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Service};

use self::missing::no_such_service;
use super::{credentials, policy};
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named};
use crate::playbook::upstream;
use crate::report::Confidence;

/// Findings about failing calls, and about running applications whose log is full of errors.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.pods.iter().filter(|pod| !pods::is_leaving(&pod.object)).filter_map(|pod| of_pod(scene, pod)).collect()
}

fn of_pod(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let calls = reach::failing_calls(scene, &pod.object);
    // Tried along the search path, a name that does not exist may look for a moment as if nobody answered.
    let is_unknown = |other: &Call<'_>, call: &Call<'_>| {
        other.failure == Failure::Unresolved && !reach::resolver_is_silent(other) && other.hosts == call.hosts
    };
    let silent =
        |call: &&Call<'_>| reach::resolver_is_silent(call) && !calls.iter().any(|other| is_unknown(other, call));
    if let Some(call) = calls.iter().find(silent) {
        // What is kept from asking says nothing about who would answer.
        if policy::shuts_out(scene, pod, call) {
            return None;
        }
        let names =
            calls.iter().filter(silent).flat_map(|call| call.hosts.iter()).filter(|host| !reach::is_address(host));
        return Some(no_answer_from_dns(scene, pod, call, &names.cloned().collect()));
    }
    let named_failure = calls.iter().find_map(|call| {
        let found = reach::service_of(scene, &pod.object, call);
        match (found, call.failure) {
            // Whose certificate it is, and why it was not renewed, its own analyzer says.
            (_, Failure::Expired) => None,
            (Some(service), _) => Some(
                wrong_port(scene, pod, call, service)
                    .or_else(|| own_resolver(scene, pod, call, service))
                    .or_else(|| member::unnamed(scene, pod, call, service))
                    .unwrap_or_else(|| unreachable(scene, pod, call, &named(&service.object))),
            ),
            (None, Failure::Unresolved | Failure::Awaited | Failure::Unconnected) => no_such_service(scene, pod, call),
            _ => None,
        }
    });
    named_failure.or_else(|| errors_while_running(scene, pod))
}

/// The Service exists; whatever is wrong with it is found by its own analyzer and ranks before this symptom.
fn unreachable(scene: &Scene<'_>, pod: &Seen<Pod>, call: &Call<'_>, service: &ObjectRef) -> Finding {
    let name = named(&pod.object);
    let workload = scene.workload(&pod.object);
    let how = match call.failure {
        Failure::Timeout => scene.text("访问超时", "times out"),
        Failure::Refused if reach::is_reset(call.line) => scene.text("连接被重置", "cuts the connection off"),
        Failure::Refused => scene.text("连接被拒绝", "is refused"),
        Failure::Unresolved => scene.text("域名解析失败", "does not resolve"),
        Failure::Unconnected => scene.text("无法建立连接", "lets no connection come about"),
        Failure::ServerError => scene.text("返回服务端错误", "answers with a server error"),
        Failure::Awaited => scene.text("init 容器一直在等待它", "is still awaited by its init container"),
        Failure::Expired => scene.text("证书已过期", "has an expired certificate"),
    };
    let headline = scene.text(
        format!("{workload} 访问依赖 {service} 失败（{how}）"),
        format!("{workload} fails to call {service} (it {how})"),
    );
    let summary = scene.text(
        format!("{headline}，日志：{}。", logs::said(call.line)),
        format!("{headline}; its log: {}.", logs::said(call.line)),
    );
    Finding::new("dependency_unreachable", Depth::Effect, &name, service, headline)
        .summary(summary)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&call.log.reference, call.line)])
        .touches([workload])
        .steps([look(
            scene.text(format!("检查 {service} 及其后端"), format!("Check {service} and its backends")),
            kubectl(&service.namespace, &format!("describe service {}", service.name)),
        )])
}

/// The caller asks for a port the Service does not have.
fn wrong_port(scene: &Scene<'_>, pod: &Seen<Pod>, call: &Call<'_>, service: &Seen<Service>) -> Option<Finding> {
    let spec = service.object.spec.as_ref()?;
    let headless = spec.cluster_ip.as_deref() == Some("None") || spec.type_.as_deref() == Some("ExternalName");
    let offered: Vec<i32> = spec.ports.iter().flatten().map(|port| port.port).collect();
    let port = reach::port_of(call).filter(|port| !offered.contains(port))?;
    if headless
        || offered.is_empty()
        || !matches!(call.failure, Failure::Timeout | Failure::Refused | Failure::Unconnected)
    {
        return None;
    }
    let workload = scene.workload(&pod.object);
    let name = named(&service.object);
    let offered = offered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if let Some(backend) = serving(scene, service, port) {
        return Some(lacking(scene, pod, call, service, (port, &offered), backend));
    }
    let headline = scene.text(
        format!("{workload} 访问 {name} 的端口 {port}，而该 Service 只有端口 {offered}"),
        format!("{workload} calls port {port} of {name}, which only has {offered}"),
    );
    Some(
        Finding::new("dependency_wrong_port", Depth::Root, &named(&pod.object), &workload, headline)
            .cite([scene.quote(&call.log.reference, call.line), scene.quote(&service.reference, "port:")])
            .touches([name.clone()])
            .steps([
                look(
                    scene.text("查看 Service 端口", "Read the Service's ports"),
                    kubectl(&name.namespace, &format!("get service {}", name.name)),
                ),
                change(
                    scene.text(
                        format!("把调用方配置中的端口改为 {offered}，或在 Service 上增加 {port}"),
                        format!("Set the caller's port to {offered}, or add {port} to the Service"),
                    ),
                    "",
                    edit_template(&workload),
                ),
            ]),
    )
}

/// A Pod behind the Service whose container declares the port.
fn serving<'s>(scene: &'s Scene<'_>, service: &Seen<Service>, port: i32) -> Option<&'s Seen<Pod>> {
    let declares = |pod: &Pod| {
        let views = pods::containers(pod);
        views.iter().any(|view| view.spec.ports.iter().flatten().any(|declared| declared.container_port == port))
    };
    scene.backends(&service.object).into_iter().find(|pod| declares(&pod.object))
}

/// The Pods serve the port that is called, and the Service does not pass it on.
fn lacking(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    call: &Call<'_>,
    service: &Seen<Service>,
    (port, offered): (i32, &str),
    backend: &Seen<Pod>,
) -> Finding {
    let (workload, name, behind) = (scene.workload(&pod.object), named(&service.object), named(&backend.object));
    let headline = scene.text(
        format!("{name} 缺少端口 {port}（现有 {offered}）：{workload} 要访问它，而后端 {behind} 提供该端口"),
        format!("{name} lacks port {port} (it has {offered}): {workload} calls it, and {behind} behind it serves it"),
    );
    Finding::new("service_port_missing", Depth::Root, &named(&pod.object), &name, headline)
        .cite([
            scene.quote(&call.log.reference, call.line),
            scene.quote(&service.reference, "port:"),
            scene.quote(&backend.reference, &format!("containerPort: {port}")),
        ])
        .touches([workload])
        .steps([
            look(
                scene.text("查看 Service 端口", "Read the Service's ports"),
                kubectl(&name.namespace, &format!("get service {} -o yaml", name.name)),
            ),
            change(
                scene.text(format!("在 {name} 上增加端口 {port}"), format!("Add port {port} to {name}")),
                "",
                Some(kubectl(&name.namespace, &format!("edit service {}", name.name))),
            ),
        ])
}

/// The Service exists, but the Pod asks a resolver that does not know the cluster's names.
fn own_resolver(scene: &Scene<'_>, pod: &Seen<Pod>, call: &Call<'_>, service: &Seen<Service>) -> Option<Finding> {
    let spec = pod.object.spec.as_ref()?;
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let on_host = spec.host_network == Some(true) && policy == "ClusterFirst";
    if call.failure != Failure::Unresolved || !(matches!(policy, "Default" | "None") || on_host) {
        return None;
    }
    let workload = scene.workload(&pod.object);
    let name = named(&service.object);
    let host = if on_host { "（hostNetwork）" } else { "" };
    let host_en = if on_host { " (with hostNetwork)" } else { "" };
    let headline = scene.text(
        format!("{workload} 的 dnsPolicy 为 {policy}{host}，不使用集群 DNS，因此解析不到 {name}"),
        format!(
            "{workload} has dnsPolicy {policy}{host_en}, so it does not ask the cluster's DNS and cannot resolve {name}"
        ),
    );
    Some(
        Finding::new("dns_policy_bypasses_cluster", Depth::Root, &named(&pod.object), &workload, headline)
            .cite([
                scene.quote(&call.log.reference, call.line),
                scene.quote(&pod.reference, &format!("dnsPolicy: {policy}")),
            ])
            .steps([look(
                scene.text("查看容器实际使用的 DNS 设置", "Read dnsPolicy, dnsConfig and hostNetwork of the Pod"),
                kubectl(&workload.namespace, &format!("get pod {} -o yaml", named(&pod.object).name)),
            )])
            .steps([change(
                scene.text(
                    "把 dnsPolicy 改为 ClusterFirst（hostNetwork 时为 ClusterFirstWithHostNet）",
                    "Set dnsPolicy to ClusterFirst (with hostNetwork: ClusterFirstWithHostNet)",
                ),
                "",
                edit_template(&workload),
            )]),
    )
}

/// The cluster's DNS gave no answer; its own Pods' findings rank before this where they were read.
fn no_answer_from_dns(scene: &Scene<'_>, pod: &Seen<Pod>, call: &Call<'_>, names: &BTreeSet<String>) -> Finding {
    let workload = scene.workload(&pod.object);
    let dns = reach::dns_service(scene).map(|service| named(&service.object));
    let blame = dns.unwrap_or_else(|| ObjectRef::new("Service", "kube-system", "kube-dns"));
    // Other names may resolve all the while: only those it was heard to miss are told.
    let told = names.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(", ");
    let names = if told.is_empty() { scene.text("（日志未写明）", "names") } else { told };
    let headline = scene.text(
        format!("{workload} 无法解析域名 {names}：没有得到集群 DNS（{}）的应答", blame.name),
        format!("{workload} cannot resolve {names}: it gets no answer from the cluster's DNS ({})", blame.name),
    );
    Finding::new("dns_not_answering", Depth::Effect, &named(&pod.object), &blame, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&call.log.reference, call.line)])
        .touches([workload])
        .steps([look(
            scene.text("查看 CoreDNS 的 Pod", "Look at the CoreDNS Pods"),
            "kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide",
        )])
}

/// A Ready Pod whose log keeps reporting errors: no object is broken, but the application says it is.
fn errors_while_running(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    if !pods::is_ready(&pod.object) {
        return None;
    }
    let name = named(&pod.object);
    let mut present = reach::present_logs(scene, &pod.object).into_iter().filter(|(log, _)| !log.previous);
    let (log, text) = present.find(|(_, text)| logs::is_noisy(logs::error_share(text)))?;
    let (errors, total) = logs::error_share(text);
    // What a server refuses is its client's fault, and told there.
    let line = logs::culprit(text).filter(|line| !credentials::is_refusing(scene, &pod.object, line))?;
    let workload = scene.workload(&pod.object);
    // Of a request the client's address says nothing: what was answered, and by whom, does.
    let headline = match upstream::failed(line) {
        Some(upstream::Failed { request, status, upstream }) => {
            let by = upstream.map_or_else(Default::default, |name| {
                (format!("，上游（upstream）为 {name}"), format!(", upstream {name}"))
            });
            let request = logs::shorten(request, 80);
            scene.text(
                format!("{workload} 在运行，但日志显示它对请求持续返回 {status}：{request}{}", by.0),
                format!("{workload} runs, but its log shows that it keeps failing requests: it answers {status} to {request}{}", by.1),
            )
        }
        None => {
            let said = logs::said(line);
            scene.text(
                format!("{workload} 在运行，但日志持续报错：{said}"),
                format!("{workload} runs, but its log keeps reporting: {said}"),
            )
        }
    };
    let summary = scene.text(
        format!("{headline}（最近 {total} 行中有 {errors} 行报错）。"),
        format!("{headline} ({errors} of the last {total} lines are errors)."),
    );
    Some(
        Finding::new("application_errors", Depth::Effect, &name, &workload, headline)
            .summary(summary)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&log.reference, line)])
            .steps([look(
                scene.text("查看应用日志", "Read the application's log"),
                kubectl(&name.namespace, &format!("logs {} --tail=100", name.name)),
            )]),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, container, crashed, deployment, ended, patched, pod, service};

    fn caller() -> serde_json::Value {
        pod(
            json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}}),
        )
    }

    const REFUSED: &str = "ERROR GET http://web/api: dial tcp 10.96.0.7:80: connect: connection refused";

    #[test]
    fn what_is_called_in_vain_explains_the_callers_errors() {
        let world = World::asking("Pod", "cart-1-a")
            .with(caller())
            .log("cart-1-a", REFUSED)
            .with(service(json!({"app": "web"})))
            .with(pod(crashed(1, "Error")))
            .with(deployment(1, 0))
            .log("web-1-a", "ERROR cannot open ledger.db: database disk image is malformed");
        assert_eq!(world.cause(), "crashloop_app_error Deployment/web");
        assert!(world.codes().contains(&"dependency_unreachable"));
    }

    #[test]
    fn a_service_that_does_not_exist_is_named_with_the_one_that_does() {
        let world = World::asking("Pod", "cart-1-a")
            .with(caller())
            .with(service(json!({"app": "web"})))
            .log("cart-1-a", "ERROR dial tcp: lookup webb on 10.96.0.10:53: no such host")
            .listed("Service");
        assert_eq!(world.cause(), "dependency_service_missing Service/webb");
        assert!(world.diagnosis().headline.contains("web exists"));
        assert!(
            world.diagnosis().steps.iter().any(|step| step.title.contains("create Service shop/webb if it is right"))
        );
        let cause = world.diagnosis().causes.remove(0);
        assert_eq!(cause.confidence, crate::report::Confidence::Medium, "anybody may have written that line");
        let told = patched(
            caller(),
            json!({"spec": {"containers": [container(json!({"env": [{"name": "WEB", "value": "webb"}]}))]}}),
        );
        let world = World::asking("Pod", "cart-1-a")
            .with(told)
            .log("cart-1-a", "ERROR dial tcp: lookup webb on 10.96.0.10:53: no such host")
            .listed("Service");
        let cause = world.diagnosis().causes.remove(0);
        assert_eq!(
            cause.confidence,
            crate::report::Confidence::Medium,
            "the name may be wrong, or the Service be missing"
        );
        assert!(cause.evidence.iter().any(|it| it.quote.contains("value: webb")), "{:?}", cause.evidence);
    }

    #[test]
    fn a_service_of_that_name_in_another_namespace_is_offered() {
        let called = |elsewhere: &str| {
            let other =
                patched(service(json!({"app": "audit"})), json!({"metadata": {"name": elsewhere, "namespace": "ops"}}));
            let world = World::asking("Pod", "cart-1-a").with(caller()).with(other).listed("Service");
            world.log("cart-1-a", "FATAL dial tcp: lookup audit on 10.96.0.10:53: no such host").diagnosis()
        };
        let diagnosis = called("audit");
        assert_eq!(diagnosis.causes[0].code.as_deref(), Some("dependency_service_missing"));
        assert!(diagnosis.headline.contains("Namespace ops has a Service of that name"), "{}", diagnosis.headline);
        assert!(diagnosis.steps.iter().any(|step| step.title.contains("call audit.ops")), "{:?}", diagnosis.steps);
        assert!(!called("ledger").headline.contains("of that name"));
    }

    #[test]
    fn one_whose_pods_still_run_is_gone_and_no_other_is_offered() {
        let elsewhere =
            patched(service(json!({"app": "audit"})), json!({"metadata": {"name": "audit", "namespace": "staging"}}));
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "audit", "uid": "a", "controller": true}]);
        let runs = pod(json!({"metadata": {"name": "audit-0", "labels": {"app": "audit"}, "ownerReferences": owner}}));
        let world = World::asking("Pod", "cart-1-a").with(caller()).with(elsewhere).with(runs).listed("Service");
        let told = world.log("cart-1-a", "FATAL dial tcp: lookup audit on 10.96.0.10:53: no such host");
        assert_eq!(told.cause(), "dependency_service_missing Service/audit");
        assert!(!told.diagnosis().headline.contains("staging"), "{}", told.diagnosis().headline);
    }

    #[test]
    fn the_caller_of_a_service_that_was_deleted_is_not_blamed_for_the_name_it_was_given() {
        let elsewhere =
            patched(service(json!({"app": "audit"})), json!({"metadata": {"name": "audit", "namespace": "staging"}}));
        let env =
            json!({"spec": {"containers": [container(json!({"env": [{"name": "AUDIT", "value": "audit:80"}]}))]}});
        let called = || {
            World::asking("Pod", "cart-1-a")
                .with(patched(caller(), env.clone()))
                .with(elsewhere.clone())
                .listed("Service")
                .log("cart-1-a", "FATAL dial tcp: lookup audit on 10.96.0.10:53: no such host")
        };
        assert_eq!(called().cause(), "dependency_service_missing Deployment/cart", "no such thing was ever here");
        let asleep = patched(deployment(0, 0), json!({"metadata": {"name": "audit"}}));
        let told = called().with(asleep);
        assert_eq!(told.cause(), "dependency_service_missing Service/audit", "what it served is there, without Pods");
        assert!(!told.diagnosis().headline.contains("staging"), "{}", told.diagnosis().headline);
    }

    #[test]
    fn a_name_that_only_a_log_says_and_nothing_ended_over_is_no_sure_cause() {
        let planted = "ERROR cannot parse comment \"x: dial tcp: lookup audit-db on 10.96.0.10:53: no such host\"";
        let world = World::asking("Pod", "web-1-a")
            .with(pod(crashed(1, "Error")))
            .log(
                "web-1-a",
                &format!("{planted}\n{}FATAL cannot open /data/index: permission denied", "INFO ok\n".repeat(12)),
            )
            .listed("Service");
        assert!(world.cause().ends_with("Deployment/web"), "{}", world.cause());
        let told = json!([{"name": "DB", "value": "audit-db:5432"}]);
        let ended =
            pod(patched(crashed(1, "Error"), json!({"spec": {"containers": [container(json!({"env": told}))]}})));
        let line = "FATAL dial tcp: lookup audit-db on 10.96.0.10:53: no such host";
        let world = World::asking("Pod", "web-1-a").with(ended).log("web-1-a", line).listed("Service");
        assert_eq!(world.cause(), "dependency_service_missing Service/audit-db");
    }

    #[test]
    fn a_port_that_the_pods_serve_and_the_service_lacks_is_the_services_mistake() {
        let called = |port: i32| {
            World::asking("Pod", "cart-1-a")
                .with(caller())
                .with(service(json!({"app": "web"})))
                .with(pod(json!({"spec": {"containers": [container(json!({"ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9848}]}))]}})))
                .log("cart-1-a", &format!("ERROR dial tcp web:{port}: connect: connection refused"))
        };
        assert_eq!(called(9848).cause(), "service_port_missing Service/web");
        assert_eq!(called(9849).cause(), "dependency_wrong_port Deployment/cart");
    }

    #[test]
    fn a_variable_given_twice_is_the_callers_mistake_and_given_once_it_is_only_named() {
        let told = |env: serde_json::Value| {
            World::asking("Pod", "cart-1-a")
                .with(patched(caller(), json!({"spec": {"containers": [container(json!({"env": env}))]}})))
                .with(service(json!({"app": "web"})))
                .log("cart-1-a", "ERROR dial tcp: lookup web-staging on 10.96.0.10:53: no such host")
                .listed("Service")
        };
        let twice = told(json!([{"name": "API", "value": "web"}, {"name": "API", "value": "web-staging"}]));
        assert_eq!(twice.cause(), "env_name_repeated Deployment/cart");
        assert!(twice.diagnosis().headline.contains("hides web"));
        let once = told(json!([{"name": "API", "value": "web-staging:80"}]));
        assert_eq!(once.cause(), "dependency_service_missing Service/web-staging");
        assert!(once.diagnosis().causes[0].summary.contains("variable API"));
        let same = told(json!([{"name": "API", "value": "web-staging"}, {"name": "API", "value": "web-staging"}]));
        assert_eq!(same.cause(), "dependency_service_missing Service/web-staging");
    }

    #[test]
    fn a_name_with_a_namespace_behind_it_means_a_service_there() {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "data"}});
        let calling = || {
            World::asking("Pod", "cart-1-a")
                .with(caller())
                .log("cart-1-a", "ERROR dial tcp: lookup db.data on 10.96.0.10:53: no such host")
                .listed("Service")
        };
        assert_eq!(calling().with(namespace).cause(), "dependency_service_missing Service/db");
        assert!(!calling().codes().contains(&"dependency_service_missing"), "a name outside the cluster");
    }

    #[test]
    fn what_the_run_before_complained_of_is_over_once_the_container_is_well() {
        let calls = |ready: bool| {
            let status = json!({"status": {"containerStatuses": [{"name": "web", "image": "reg/web:1", "imageID": "",
                "ready": ready, "restartCount": 1, "state": {"running": {"startedAt": "2026-11-23T01:00:00Z"}},
                "lastState": ended(1, "Error", "2026-11-23T01:00:00Z")}]}});
            World::asking("Pod", "cart-1-a")
                .with(patched(caller(), status))
                .with(service(json!({"app": "web"})))
                .with(pod(json!({})))
                .log("cart-1-a", "INFO serving")
                .log_before("cart-1-a", REFUSED)
                .codes()
                .contains(&"dependency_unreachable")
        };
        assert!(calls(false) && !calls(true));
    }

    #[test]
    fn a_log_full_of_errors_is_a_finding_and_one_error_is_not() {
        let noisy =
            World::asking("Pod", "cart-1-a").with(caller()).log("cart-1-a", &"ERROR ledger is read-only\n".repeat(8));
        assert_eq!(noisy.cause(), "application_errors Deployment/cart");
        let calm = format!("{}ERROR one slow query\n", "GET / 200\n".repeat(30));
        assert!(World::asking("Pod", "cart-1-a").with(caller()).log("cart-1-a", &calm).codes().is_empty());
    }

    #[test]
    fn what_a_server_was_up_against_before_it_was_up_is_no_call_in_vain() {
        let error = "2026-11-23 02:45:12,114 ERROR Connection to node 1 (web:80) could not be established";
        let up = "2026-11-23 02:50:24,448 INFO [KafkaRaftServer nodeId=2] Kafka Server started";
        let fails = |log: &str| {
            let world = World::asking("Pod", "cart-1-a").with(caller()).with(service(json!({"app": "web"})));
            world.log("cart-1-a", log).codes().contains(&"dependency_unreachable")
        };
        assert!(!fails(&format!("{error}\n{up}\n")));
        assert!(fails(&format!("{up}\n{error}\n")), "it fails since");
        assert!(!fails("ERROR web: connect ETIMEDOUT web:80 (attempt 1)\nINFO  web: connected (attempt 2)\n"));
        assert!(fails("ERROR web: connect ETIMEDOUT web:80 (attempt 1)\nINFO  web: retrying\n"));
    }

    #[test]
    fn a_resolver_that_does_not_answer_is_the_clusters_dns() {
        let world = World::asking("Pod", "cart-1-a")
            .with(caller())
            .log("cart-1-a", "ERROR dial tcp: lookup web on 10.96.0.10:53: read udp 10.244.1.5:4444->10.96.0.10:53: i/o timeout: server misbehaving");
        assert_eq!(world.cause(), "dns_not_answering Service/kube-dns");
    }

    #[test]
    fn a_port_the_service_does_not_have_is_the_callers_mistake() {
        let calling = |line: &str| {
            World::asking("Pod", "cart-1-a")
                .with(caller())
                .with(service(json!({"app": "web"})))
                .with(pod(json!({})))
                .log("cart-1-a", line)
        };
        let wrong = calling("ERROR Get \"http://web:8081/\": dial tcp 10.96.0.7:8081: i/o timeout");
        assert_eq!(wrong.cause(), "dependency_wrong_port Deployment/cart");
        assert!(wrong.diagnosis().headline.contains("8081"));
        let right = calling("ERROR Get \"http://web:80/\": dial tcp 10.96.0.7:80: i/o timeout");
        assert_eq!(right.cause(), "dependency_unreachable Service/web");
    }

    #[test]
    fn a_pod_that_does_not_ask_the_clusters_dns_cannot_find_its_service() {
        let asking = |policy: &str| {
            World::asking("Pod", "cart-1-a")
                .with(crate::playbook::world::patched(caller(), json!({"spec": {"dnsPolicy": policy}})))
                .with(service(json!({"app": "web"})))
                .with(pod(json!({})))
                .log("cart-1-a", "ERROR dial tcp: lookup web on 192.168.1.1:53: no such host")
        };
        assert_eq!(asking("Default").cause(), "dns_policy_bypasses_cluster Deployment/cart");
        assert_eq!(asking("ClusterFirst").cause(), "dependency_unreachable Service/web");
    }

    #[test]
    fn a_pod_that_is_called_by_its_address_explains_its_caller() {
        let calling = |address: &str| {
            let line = format!("ERROR cannot get offsets: dial tcp {address}:9092: connect: connection refused\n");
            World::asking("Pod", "cart-1-a")
                .with(patched(caller(), json!({"status": {"podIP": "10.244.1.9"}})))
                .log("cart-1-a", &line.repeat(8))
                .with(pod(crashed(139, "Error")))
                .cause()
        };
        assert_eq!(calling("10.244.1.5"), "crashloop_segfault Deployment/web");
        assert_eq!(calling("10.244.1.6"), "application_errors Deployment/cart", "nobody known is there");
        assert_eq!(calling("10.244.1.9"), "application_errors Deployment/cart", "its own address");
    }
}
