//! A program that listens on another port than everybody expects: probe, containerPort and Service agree, and it is the one
//! that moved. To move the probe alone would make the Pod Ready while its Service sends to a port nobody listens on.

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::Failing;
use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::back;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::scene::{Scene, named, service_selector};
use crate::playbook::selector;
use crate::report::{Confidence, Step};

/// Who expects the program where it was, and where it listens now.
struct Moved<'s> {
    asked: i32,
    now: i32,
    /// Whether the container declares the port that is asked.
    declared: bool,
    /// Services that send to it.
    services: Vec<&'s Seen<Service>>,
    /// The image of the revision before, and whether Pods of it serve.
    before: Option<(String, bool)>,
}

/// The finding for a program that listens elsewhere than its probe, its containerPort or its Services say.
pub(super) fn run(scene: &Scene<'_>, failing: &Failing<'_>, asked: i32, log: &[(i32, String)]) -> Option<Finding> {
    let (now, reference) = log.first()?;
    let moved = moved(scene, failing, asked, *now)?;
    let (workload, container, effect) = (&failing.workload, failing.view.name(), failing.consequence(scene));
    let who = moved.who(scene, failing);
    let headline = scene.text(
        format!("{workload} 的容器 {container} 监听的是 {now}，而{who}都是 {asked}，{effect}"),
        format!("{workload}: container {container} listens on {now}, while {who} say {asked}, {effect}"),
    );
    let serves = moved.before.as_ref().is_some_and(|(_, serves)| *serves);
    let summary = match &moved.before {
        Some((image, true)) => scene.text(
            format!("{headline}；上一版本 {image} 以同样的设置仍在服务，改变的是程序的监听端口"),
            format!("{headline}; the version before ({image}) serves with the same settings, so it is the program that moved"),
        ),
        _ => headline.clone(),
    };
    let listening = scene.quote_line(reference, &["isten", &now.to_string()]);
    let targets = moved.services.iter().map(|service| {
        scene.quote_any(&service.reference, &[&format!("targetPort: {asked}"), &format!("port: {asked}")])
    });
    Some(
        failing
            .finding(scene, "application_listens_elsewhere", Depth::Root, headline)
            .summary(summary)
            .confidence(if serves { Confidence::High } else { Confidence::Medium })
            .cite([
                listening.or_else(|| scene.quote_line(reference, &[&now.to_string()])),
                scene.quote(&failing.pod.reference, &format!("containerPort: {asked}")).filter(|_| moved.declared),
            ])
            .cite(targets)
            .steps(moved.steps(scene, workload)),
    )
}

fn moved<'s>(scene: &'s Scene<'_>, failing: &Failing<'_>, asked: i32, now: i32) -> Option<Moved<'s>> {
    let declared = failing.declared_ports();
    let own = scene.services.iter().filter(|service| selects(failing, service));
    let all: Vec<(&Seen<Service>, Vec<i32>)> =
        own.map(|service| (service, targets(failing, &service.object))).collect();
    // Where somebody sends to the port it listens on, the probe is the one that is wrong.
    if all.iter().any(|(_, targets)| targets.contains(&now)) || declared.contains(&now) {
        return None;
    }
    let services: Vec<_> =
        all.into_iter().filter(|(_, targets)| targets.contains(&asked)).map(|(service, _)| service).collect();
    let declared = declared.contains(&asked);
    (declared || !services.is_empty()).then(|| {
        let before = before(scene, &failing.workload, failing.view.name());
        Moved { asked, now, declared, services, before }
    })
}

fn selects(failing: &Failing<'_>, service: &Seen<Service>) -> bool {
    let labels = failing.pod.object.metadata.labels.as_ref();
    let here = named(&service.object).namespace == failing.name.namespace;
    here && service_selector(&service.object).is_some_and(|wanted| selector::covers(wanted, labels))
}

/// The container's ports that a Service sends to.
fn targets(failing: &Failing<'_>, service: &Service) -> Vec<i32> {
    let of_port = |port: &ServicePort| match &port.target_port {
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let own = failing.view.spec.ports.iter().flatten();
            own.filter(|port| port.name.as_ref() == Some(name)).map(|port| port.container_port).next()
        }
        None => Some(port.port),
    };
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or(&[]);
    ports.iter().filter_map(of_port).collect()
}

/// The image of the revision before, and whether Pods of an older one are ready.
fn before(scene: &Scene<'_>, workload: &ObjectRef, container: &str) -> Option<(String, bool)> {
    let image = rollout::image_before(scene, workload, container)?;
    let older = rollout::revisions(scene, workload).into_iter().skip(1);
    let ready = older.filter_map(|set| set.object.status.as_ref()?.ready_replicas).sum::<i32>();
    Some((image, ready > 0))
}

impl Moved<'_> {
    fn service_names(&self) -> String {
        self.services.iter().map(|service| named(&service.object).to_string()).collect::<Vec<_>>().join(", ")
    }

    /// All that expect the program on the port that is asked, as the subject of a sentence.
    fn who(&self, scene: &Scene<'_>, failing: &Failing<'_>) -> String {
        let word = failing.kind.word();
        let mut who = vec![scene.text(format!("{word} 探针"), format!("its {word} probe"))];
        if self.declared {
            who.push(scene.text("containerPort", "its containerPort"));
        }
        if !self.services.is_empty() {
            let names = self.service_names();
            who.push(scene.text(format!(" {names} 的 targetPort "), format!("{names} (targetPort)")));
        }
        let last = who.pop().unwrap_or_default();
        if who.is_empty() {
            return last;
        }
        scene.text(format!("{}与{last}", who.join("、")), format!("{} and {last}", who.join(", ")))
    }

    fn steps(&self, scene: &Scene<'_>, workload: &ObjectRef) -> Vec<Step> {
        let (asked, now) = (self.asked, self.now);
        let mut steps: Vec<Step> =
            self.services.iter().take(1).map(|service| self.read(scene, &named(&service.object))).collect();
        if let Some((image, serves)) = self.before.as_ref().filter(|_| workload.kind == "Deployment") {
            let (serves_zh, serves_en) =
                if *serves { ("，它仍在服务", ", which still serves") } else { ("", "") };
            steps.push(change(
                scene.text(
                    format!("先回滚到上一版本 {image}{serves_zh}"),
                    format!("First go back to {image}{serves_en}"),
                ),
                "",
                Some(back::undo(workload)),
            ));
        }
        steps.push(change(
            scene.text(
                format!("让程序重新监听 {asked}（设置它的监听端口变量或参数）"),
                format!("Have the program listen on {asked} again, by the variable or flag that sets its port"),
            ),
            scene.text("镜像的默认端口可能随版本改变", "An image's default port may change with its version"),
            edit_template(workload),
        ));
        steps.push(self.together(scene, workload, now));
        steps
    }

    fn read(&self, scene: &Scene<'_>, service: &ObjectRef) -> Step {
        look(
            scene.text("查看 Service 的端口", "Read the Service's ports"),
            kubectl(&service.namespace, &format!("get service {} -o yaml", service.name)),
        )
    }

    /// Whoever moves one of them has to move all.
    fn together(&self, scene: &Scene<'_>, workload: &ObjectRef, now: i32) -> Step {
        let names = if self.services.is_empty() {
            scene.text("选中它的 Service", "the Services that select it")
        } else {
            self.service_names()
        };
        change(
            scene.text(
                format!("或者把探针、containerPort 与 {names} 的 targetPort 一起改为 {now}"),
                format!("Or move the probe, containerPort and the targetPort of {names} to {now} together"),
            ),
            scene.text(
                format!("只改探针会让 Pod 变为 Ready，而流量仍发往 {}，造成中断", self.asked),
                format!(
                    "With the probe alone the Pod turns Ready while traffic still goes to {}: an outage",
                    self.asked
                ),
            ),
            edit_template(workload),
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, deployment, patched, pod, replica_set, service, unready};
    use crate::report::Confidence;

    fn probed(declared: i32) -> Value {
        let probe = json!({"ports": [{"name": "http", "containerPort": declared}],
            "readinessProbe": {"httpGet": {"path": "/healthz", "port": 80}}});
        let owner =
            json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-2", "uid": "u", "controller": true}]);
        let new =
            json!({"metadata": {"name": "web-2-a", "labels": {"pod-template-hash": "2"}, "ownerReferences": owner}});
        let spec = json!({"spec": {"containers": [container(probe)]}});
        let state = json!({"running": {"startedAt": "2026-11-23T02:30:00Z"}});
        pod(patched(unready(state, json!({}), 0), patched(spec, new)))
    }

    fn world(declared: i32) -> World {
        World::asking("Pod", "web-2-a")
            .with(probed(declared))
            .event("Pod", "web-2-a", "Unhealthy", "Readiness probe failed: Get \"http://10.244.1.5:80/healthz\": dial tcp 10.244.1.5:80: connect: connection refused")
            .log("web-2-a", "info: Microsoft.Hosting.Lifetime[14]\n      Now listening on: http://[::]:8080\n")
    }

    fn sending(target: Value) -> Value {
        patched(service(json!({"app": "web"})), json!({"spec": {"ports": [{"port": 80, "targetPort": target}]}}))
    }

    #[test]
    fn the_program_that_moved_is_told_from_a_probe_that_is_wrong() {
        let moved = world(80)
            .with(sending(json!("http")))
            .with(deployment(3, 3))
            .with(replica_set(2, "reg/web:2", 1, 0))
            .with(replica_set(1, "reg/web:1", 3, 3));
        assert_eq!(moved.cause(), "application_listens_elsewhere Deployment/web");
        let diagnosis = moved.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
        assert!(
            diagnosis.headline.contains("its containerPort and Service shop/web (targetPort) say 80"),
            "{}",
            diagnosis.headline
        );
        let changes: Vec<&str> = diagnosis.steps.iter().filter_map(|step| step.command.as_deref()).collect();
        assert!(changes.contains(&"kubectl -n shop rollout undo deployment/web"), "{changes:?}");
        let titles: Vec<&str> = diagnosis.steps.iter().map(|step| step.title.as_str()).collect();
        assert!(
            titles.iter().any(|title| title.contains("targetPort of Service shop/web to 8080 together")),
            "{titles:?}"
        );
        assert!(!diagnosis.steps.iter().any(|step| step.detail.contains("restarts stop")));
    }

    #[test]
    fn a_service_that_sends_where_it_listens_leaves_the_probe_at_fault() {
        assert_eq!(world(8080).cause(), "readiness_probe_misconfigured Deployment/web");
        let sent = world(80).with(sending(json!(8080)));
        assert_eq!(sent.cause(), "readiness_probe_misconfigured Deployment/web");
        assert!(!sent.diagnosis().steps.iter().any(|step| step.detail.contains("restarts stop")), "it has none");
    }

    #[test]
    fn a_program_that_only_serves_its_metrics_yet_has_not_moved() {
        let refused = "Readiness probe failed: dial tcp 10.244.1.5:80: connect: connection refused";
        let starting = World::asking("Pod", "web-2-a")
            .with(probed(80))
            .event("Pod", "web-2-a", "Unhealthy", refused)
            .log("web-2-a", "INFO metrics server listening on :9090\nINFO loading the catalogue\n");
        let codes = starting.codes();
        assert!(!codes.contains(&"application_listens_elsewhere"), "{codes:?}");
        assert!(!codes.contains(&"readiness_probe_misconfigured"), "{codes:?}");
    }

    #[test]
    fn without_a_version_before_nothing_is_undone() {
        let first = world(80).diagnosis();
        assert_eq!(first.causes[0].code.as_deref(), Some("application_listens_elsewhere"));
        assert_eq!(first.causes[0].confidence, Confidence::Medium);
        assert!(!first.steps.iter().any(|step| step.command.as_deref().is_some_and(|it| it.contains("undo"))));
        assert!(first.steps.iter().any(|step| step.title.contains("the Services that select it")));
    }
}
