//! Pods that are never created: quota, admission webhook, Pod Security, ServiceAccount and the other gates.

mod rules;
pub use rules::{leaving_claim, refusing_quota};
mod security;
mod webhook;
pub use webhook::untrusted_service;

use crate::alert::ObjectRef;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::scene::{Scene, named};
use crate::report::Citation;

/// A refusal to create Pods, in the words of the API server.
struct Refusal {
    about: ObjectRef,
    workload: ObjectRef,
    message: String,
    proof: Vec<Option<Citation>>,
    count: i64,
}

/// Findings about workloads whose Pods the API server refuses now.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    refusals(scene).iter().map(|refusal| explain(scene, refusal)).collect()
}

fn explain(scene: &Scene<'_>, refusal: &Refusal) -> Finding {
    let kinds: [fn(&Scene<'_>, &Refusal) -> Option<Finding>; 12] = [
        rules::namespace_leaving,
        rules::claim_leaving,
        rules::quota,
        rules::quota_demands,
        webhook::down,
        webhook::denies,
        security::violated,
        rules::service_account,
        rules::priority_class,
        rules::limit_range,
        rules::default_classes,
        rules::runtime_class,
    ];
    let finding = kinds.iter().find_map(|kind| kind(scene, refusal)).unwrap_or_else(|| other(scene, refusal));
    finding.cite(refusal.proof.iter().cloned()).touches([refusal.workload.clone()])
}

/// Workloads that want more Pods than they have, and what the API server last answered.
fn refusals(scene: &Scene<'_>) -> Vec<Refusal> {
    let sets = scene.replica_sets.iter().filter_map(|set| {
        let status = set.object.status.as_ref()?;
        let wanted = set.object.spec.as_ref()?.replicas.unwrap_or(1);
        let conditions = status.conditions.as_deref().unwrap_or(&[]);
        let failed =
            conditions.iter().find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
        let name = named(&set.object);
        let workload = scene.owner(&set.object.metadata).unwrap_or_else(|| name.clone());
        (status.replicas < wanted)
            .then(|| refusal(scene, name, workload, &set.reference, failed.and_then(|it| it.message.clone())))?
    });
    let stateful = scene.stateful_sets.iter().filter_map(|set| {
        let wanted = set.object.spec.as_ref()?.replicas.unwrap_or(1);
        let name = named(&set.object);
        (set.object.status.as_ref()?.replicas < wanted)
            .then(|| refusal(scene, name.clone(), name, &set.reference, None))?
    });
    let daemons = scene.daemon_sets.iter().filter_map(|set| {
        let status = set.object.status.as_ref()?;
        let name = named(&set.object);
        (status.current_number_scheduled < status.desired_number_scheduled)
            .then(|| refusal(scene, name.clone(), name, &set.reference, None))?
    });
    let jobs = scene.jobs.iter().filter_map(|job| {
        let status = job.object.status.as_ref()?;
        let idle =
            status.active.unwrap_or(0) == 0 && status.succeeded.unwrap_or(0) == 0 && status.failed.unwrap_or(0) == 0;
        let name = named(&job.object);
        idle.then(|| refusal(scene, name.clone(), name, &job.reference, None))?
    });
    let found: Vec<Refusal> = sets.chain(stateful).chain(daemons).chain(jobs).collect();
    if !found.is_empty() {
        return found;
    }
    // ReplicaSets may not have been read one by one; their Deployment repeats what they were told.
    scene
        .deployments
        .iter()
        .filter_map(|deployment| {
            let status = deployment.object.status.as_ref()?;
            let failed =
                status.conditions.iter().flatten().find(|it| it.type_ == "ReplicaFailure" && it.status == "True")?;
            let name = named(&deployment.object);
            refusal(scene, name.clone(), name, &deployment.reference, failed.message.clone())
        })
        .collect()
}

fn refusal(
    scene: &Scene<'_>,
    about: ObjectRef,
    workload: ObjectRef,
    reference: &str,
    condition: Option<String>,
) -> Option<Refusal> {
    let events = scene.events(&about, &["FailedCreate"]);
    let event = events.iter().max_by_key(|event| event.last_seen);
    let told = event
        .map(|event| event.message.split_once("Error creating: ").map_or(event.message.as_str(), |(_, rest)| rest));
    let message = told.map(str::to_owned).or_else(|| condition.clone())?;
    // The Pod's random name differs from try to try; what follows it is the reason.
    let reason = message.split_once(" is forbidden: ").map_or(message.as_str(), |(_, rest)| rest).to_owned();
    let cite = |reference: &str, reason: &str| match webhook::is_unasked(reason) {
        true => scene.quote_end(reference, reason),
        false => scene.quote_whole(reference, reason),
    };
    let mut proof = vec![event.and_then(|event| cite(&event.reference, &reason))];
    // The time of each try differs.
    proof.extend(condition.as_deref().map(|told| cite(reference, &reason).or_else(|| cite(reference, told))));
    Some(Refusal { about, workload, count: events.iter().map(|event| event.count).sum(), message, proof })
}

fn other(scene: &Scene<'_>, refusal: &Refusal) -> Finding {
    let said = logs::said(&refusal.message);
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 Pod（FailedCreate）：{said}"),
        format!("{workload} cannot create Pods (FailedCreate): {said}"),
    );
    spec_fault(scene, "pod_creation_refused", refusal, headline)
}

/// The workload asks for what the cluster's rules do not allow.
fn spec_fault(scene: &Scene<'_>, code: &'static str, refusal: &Refusal, headline: String) -> Finding {
    let workload = &refusal.workload;
    Finding::new(code, Depth::Root, &refusal.about, workload, headline).steps([
        look(
            scene.text("查看被拒绝的原因", "Read why it is refused"),
            kubectl(&refusal.about.namespace, &format!("describe {}", slash(&refusal.about))),
        ),
        change(
            scene.text(
                "按拒绝原因修正工作负载的 Pod 模板，或由管理员调整规则",
                "Correct the workload's Pod template as the refusal says, or have the rule changed",
            ),
            logs::said(&refusal.message),
            edit_template(workload),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, deployment, patched, pod, replica_set, service};

    fn refused(message: &str) -> World {
        let missing = patched(replica_set(1, "reg/web:1", 2, 0), json!({"status": {"replicas": 0}}));
        World::asking("Deployment", "web").with(deployment(2, 0)).with(missing).event(
            "ReplicaSet",
            "web-1",
            "FailedCreate",
            &format!("Error creating: {message}"),
        )
    }

    #[test]
    fn an_exhausted_quota_is_blamed_by_name() {
        let world = refused(
            "pods \"web-1-x\" is forbidden: exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2",
        );
        assert_eq!(world.cause(), "quota_exceeded ResourceQuota/team");
        assert!(world.diagnosis().headline.contains("exhausted for pods"));
    }

    #[test]
    fn a_quota_that_demands_limits_is_the_workloads_fault() {
        let world = refused("pods \"web-1-x\" is forbidden: failed quota: team: must specify limits.memory for: web");
        assert_eq!(world.cause(), "quota_requires_resources Deployment/web");
    }

    #[test]
    fn a_webhook_that_cannot_be_asked_is_blamed_by_its_configuration() {
        let hook = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "image-policy"}, "webhooks": [{"name": "images.example.com", "failurePolicy": "Fail"}]});
        let message = "Internal error occurred: failed calling webhook \"images.example.com\": failed to call webhook: Post \"https://policy.sec.svc:443/validate?timeout=5s\": service \"policy\" not found";
        let world = refused(message).with(hook);
        assert_eq!(world.cause(), "admission_webhook_unavailable ValidatingWebhookConfiguration/image-policy");
        assert!(world.diagnosis().headline.contains("sec/policy"));
        assert_eq!(refused(message).cause(), "admission_webhook_unavailable Service/policy");
    }

    #[test]
    fn a_webhook_that_answers_with_an_old_certificate_is_reached() {
        let message = "Internal error occurred: failed calling webhook \"defaults.example.com\": failed to call webhook: Post \"https://hook.platform.svc:443/mutate-what-there-is-to-mutate?timeout=10s\": tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026-11-23T02:41:59Z is after 2026-11-23T02:31:00Z";
        let place = json!({"metadata": {"namespace": "platform", "name": "hook-1-a", "labels": {"app": "hook"}},
            "spec": {"volumes": [{"name": "tls", "secret": {"secretName": "hook-tls"}}]}});
        let service =
            patched(service(json!({"app": "hook"})), json!({"metadata": {"namespace": "platform", "name": "hook"}}));
        let diagnosis = refused(message).with(service).with(pod(place)).diagnosis();
        let headline = &diagnosis.headline;
        assert!(headline.contains("does not accept the certificate") && !headline.contains("reach"), "{headline}");
        assert!(headline.contains("valid until 2026-11-23T02:31:00Z"), "{headline}");
        let titles: Vec<&str> = diagnosis.steps.iter().map(|step| step.title.as_str()).collect();
        assert!(titles.iter().any(|title| title.starts_with("Renew") && title.contains("hook-tls")), "{titles:?}");
        assert!(!titles.iter().any(|title| title.contains("Bring back")), "{titles:?}");
        let quotes: Vec<&str> = diagnosis.causes[0].evidence.iter().map(|it| it.quote.as_str()).collect();
        assert!(quotes.iter().any(|quote| quote.contains("is after 2026-11-23T02:31:00Z")), "{quotes:?}");
        assert_eq!(super::untrusted_service(message).unwrap().to_string(), "Service platform/hook");
        assert_eq!(super::untrusted_service(&message.replace("tls: failed to verify certificate: x509: ", "")), None);
    }

    #[test]
    fn a_webhook_whose_certificate_is_over_is_told_from_one_nobody_trusts() {
        let calling = |why: &str| {
            refused(&format!(
                "Internal error occurred: failed calling webhook \"images.example.com\": failed to call webhook: Post \"https://policy.sec.svc:443/validate?timeout=5s\": tls: failed to verify certificate: x509: certificate {why}"
            ))
        };
        let over =
            calling("has expired or is not yet valid: current time 2026-11-23T02:50:11Z is after 2026-11-23T00:00:00Z");
        assert!(over.diagnosis().headline.contains("has expired"));
        let unknown = calling("signed by unknown authority");
        assert!(unknown.diagnosis().headline.contains("not trusted"));
    }

    #[test]
    fn the_other_gates_are_told_apart() {
        let security = "pods \"web-1-x\" is forbidden: violates PodSecurity \"restricted:latest\": allowPrivilegeEscalation != false";
        assert_eq!(refused(security).cause(), "pod_security_violation Deployment/web");
        let account =
            "pods \"web-1-\" is forbidden: error looking up service account shop/bot: serviceaccount \"bot\" not found";
        assert_eq!(refused(account).cause(), "service_account_missing ServiceAccount/bot");
        let denied =
            "admission webhook \"policy.example.com\" denied the request: image must come from reg.example.com";
        assert_eq!(refused(denied).cause(), "admission_denied Deployment/web");
        let priority = "pods \"web-1-x\" is forbidden: no PriorityClass with name urgent was found";
        assert_eq!(refused(priority).cause(), "priority_class_missing PriorityClass/urgent");
        let leaving = "pods \"web-1-x\" is forbidden: unable to create new content in namespace shop because it is being terminated";
        assert_eq!(refused(leaving).cause(), "namespace_terminating Namespace/shop");
        let claim = "create Pod web-0 in StatefulSet web failed error: pvc data-web-0 is being deleted";
        assert_eq!(refused(claim).cause(), "claim_being_deleted PersistentVolumeClaim/data-web-0");
        let storage = "failed to create PVC data-web-0: persistentvolumeclaims \"data-web-0\" is forbidden: maximum storage usage per PersistentVolumeClaim is 20Gi, but request is 50Gi";
        assert_eq!(refused(storage).cause(), "limit_range_violation Deployment/web");
        let policy = "pods \"web-1-x\" is forbidden: ValidatingAdmissionPolicy 'require-label' with binding 'prod' denied request: pods must carry the label cost-center";
        assert_eq!(refused(policy).cause(), "admission_denied Deployment/web");
        let limit = "pods \"web-1-x\" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi";
        assert_eq!(refused(limit).cause(), "limit_range_violation Deployment/web");
    }

    #[test]
    fn a_runtime_class_that_is_missing_is_named_with_the_one_that_was_meant() {
        let class = |name: &str| json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": "runsc"});
        let message = "pods \"web-1-\" is forbidden: pod rejected: RuntimeClass \"gvisor\" not found";
        let world = refused(message).with(class("gvisor-2026")).with(class("kata"));
        assert_eq!(world.cause(), "runtime_class_missing Deployment/web");
        let diagnosis = world.diagnosis();
        assert!(
            diagnosis.headline.contains("gvisor-2026 exists and may have taken its place"),
            "{}",
            diagnosis.headline
        );
        assert!(diagnosis.causes[0].summary.contains("also has kata"), "{}", diagnosis.causes[0].summary);
        assert!(diagnosis.steps.iter().any(|step| step.command.as_deref() == Some("kubectl get runtimeclass")));
        assert!(!refused(message).diagnosis().headline.contains("exists"), "nobody listed them");
    }

    #[test]
    fn a_refusal_that_is_over_stays_quiet() {
        let world = World::asking("Deployment", "web")
            .with(deployment(2, 2))
            .with(replica_set(1, "reg/web:1", 2, 2))
            .event("ReplicaSet", "web-1", "FailedCreate", "Error creating: pods \"x\" is forbidden: exceeded quota: team, requested: pods=1, used: pods=2, limited: pods=2");
        world.is_calm();
    }

    #[test]
    fn a_refusal_in_words_nobody_knows_is_quoted() {
        let world = refused("pods \"web-1-x\" is forbidden: the moon is in the wrong phase");
        assert_eq!(world.cause(), "pod_creation_refused Deployment/web");
        assert!(world.diagnosis().headline.contains("wrong phase"));
    }

    #[test]
    fn two_default_classes_keep_a_claim_without_a_class_from_being_made() {
        let set = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"replicas": 1, "selector": {}, "serviceName": "db", "template": {}}, "status": {"replicas": 0}});
        let refused = |why: &str| {
            let message = format!(
                "create Claim data-db-0 for Pod db-0 in StatefulSet db failed error: persistentvolumeclaims \"data-db-0\" is forbidden: {why}"
            );
            World::asking("StatefulSet", "db")
                .with(set.clone())
                .event("StatefulSet", "db", "FailedCreate", &message)
                .cause()
        };
        let several = "Internal error occurred: 2 default StorageClasses were found";
        assert_eq!(refused(several), "storage_class_default_ambiguous StatefulSet/db");
        assert_eq!(
            refused(
                "exceeded quota: team, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=2, limited: persistentvolumeclaims=2"
            ),
            "quota_exceeded ResourceQuota/team"
        );
    }
}
