//! Init containers that wait for an object of the cluster: a Job that does not end, what does not exist. Secrets are never read.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::claim;
use crate::playbook::awaited::{self, Wait};
use crate::playbook::environment;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// Findings about what init containers wait for by name.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| of_pod(scene, pod)).collect()
}

fn of_pod(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let Some(wait) = awaited::of_pod(scene, &pod.object) else { return by_work(scene, pod) };
    let object = &wait.named.object;
    if let Some(job) = scene.jobs.iter().find(|job| named(&job.object) == *object) {
        // One that failed or was suspended tells of itself, and is reached by this Pod's wait.
        let is_told = awaited::has_failed(&job.object) || is_suspended(&job.object);
        return (!is_told && !awaited::is_complete(&job.object))
            .then(|| unfinished(scene, pod, wait.line, &wait.log.reference, job, true));
    }
    match object.kind.as_str() {
        "Secret" => wait.named.sure.then(|| unread_secret(scene, pod, &wait)),
        _ if scene.facts.is_missing(object) && wait.named.sure => Some(missing(scene, pod, &wait)),
        _ => by_work(scene, pod),
    }
}

fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
}

/// The line speaks of work, and one Job alone is called after it: likely meant, and not named.
fn by_work(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let (line, log, job) = awaited::worker(scene, &pod.object)?;
    Some(unfinished(scene, pod, line, &log.reference, job, false))
}

fn unfinished(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    line: &str,
    reference: &str,
    job: &Seen<Job>,
    is_named: bool,
) -> Finding {
    let (name, blame, workload) = (named(&pod.object), named(&job.object), scene.workload(&pod.object));
    let (state_zh, state_en, quote) = if awaited::has_failed(&job.object) {
        ("已经失败", "has failed", "type: Failed")
    } else if is_suspended(&job.object) {
        ("已被暂停（suspend）", "is suspended", "suspend: true")
    } else {
        ("仍未完成", "has not finished", "active:")
    };
    let said = logs::said(line);
    let headline = scene.text(
        format!("{workload} 无法启动：init 容器在等待 {blame}，而它{state_zh}（日志：{said}）"),
        format!("{workload} cannot start: its init container waits for {blame}, which {state_en}; its log: {said}"),
    );
    let finding = Finding::new("awaited_job_unfinished", Depth::Root, &name, &blame, headline)
        .confidence(Confidence::Medium)
        .cite([
            scene.quote(reference, line),
            scene.quote_any(&job.reference, &[quote, &format!("name: {}", blame.name)]),
        ])
        .touches([workload])
        .steps([
            look(
                scene.text("查看该 Job 与它的 Pod", "Look at the Job and its Pods"),
                kubectl(&blame.namespace, &format!("describe job {}", blame.name)),
            ),
            look(
                scene.text("查看 Job 的日志", "Read the Job's log"),
                kubectl(&blame.namespace, &format!("logs job/{} --tail=100", blame.name)),
            ),
        ]);
    if is_named {
        return finding.unresolved(scene.text(
            format!("{blame} 是否仍有进展，还是已经停住？"),
            format!("Does {blame} still make progress, or does it hang?"),
        ));
    }
    finding.unresolved(scene.text(
        format!("日志没有写明等待哪个 Job：按名称推断为 {blame}，是否正确？"),
        format!("The log names no Job; {blame} is taken by its name. Is it the one?"),
    ))
}

/// What is awaited by name is not there. One that the Pod was told is surely meant; of one that only a log says, less.
fn missing(scene: &Scene<'_>, pod: &Seen<Pod>, wait: &Wait<'_>) -> Finding {
    let (name, workload, object) = (named(&pod.object), scene.workload(&pod.object), &wait.named.object);
    let is_told = wait.named.not_found || environment::commanded(&pod.object, &object.name);
    let hint = claim::near_hint(scene, &scene.near_misses(object));
    let headline = scene.text(
        format!("{workload} 无法启动：init 容器 {} 在等待 {object}，而它不存在{hint}", wait.container),
        format!(
            "{workload} cannot start: init container {} waits for {object}, which does not exist{hint}",
            wait.container
        ),
    );
    Finding::new("awaited_object_missing", Depth::Root, &name, object, headline)
        .confidence(if is_told { Confidence::High } else { Confidence::Medium })
        .cite([scene.quote(&wait.log.reference, wait.line), scene.quote_line(&pod.reference, &[&object.name])])
        .cite([scene.facts.absent(object).cloned()])
        .touches([workload])
        .unresolved(scene.text(
            format!("{object} 由谁创建，为什么没有创建（或被删除）？"),
            format!("Who creates {object}, and why was it not created, or deleted?"),
        ))
        .steps([
            look(
                scene.text("查看该 Namespace 中现有的同类对象", "List what there is of that kind"),
                kubectl(&object.namespace, &format!("get {}", object.kind.to_ascii_lowercase())),
            ),
            change(
                scene.text(
                    format!("创建 {object}，或修正 init 容器等待的名称"),
                    format!("Create {object}, or correct the name the init container waits for"),
                ),
                "",
                None,
            ),
        ])
}

/// Secrets are never read: that the wait does not end is all there is to say that this one is not there, or lacks a key.
fn unread_secret(scene: &Scene<'_>, pod: &Seen<Pod>, wait: &Wait<'_>) -> Finding {
    let (name, workload, secret) = (named(&pod.object), scene.workload(&pod.object), &wait.named.object);
    let (said_zh, said_en) = match wait.named.not_found {
        true => ("日志称它不存在", "which does not exist by its log"),
        false => ("它可能不存在", "which may not exist"),
    };
    let headline = scene.text(
        format!("{workload} 无法启动：init 容器 {} 一直在等待 {secret}，{said_zh}（Secret 从不读取）", wait.container),
        format!(
            "{workload} cannot start: init container {} still waits for {secret}, {said_en} (Secrets are never read)",
            wait.container
        ),
    );
    Finding::new("awaited_secret_unseen", Depth::Root, &name, secret, headline)
        .confidence(Confidence::Medium)
        .cite([scene.quote(&wait.log.reference, wait.line), scene.quote_line(&pod.reference, &[&secret.name])])
        .touches([workload.clone()])
        .unresolved(scene.text(
            format!("{secret} 是否存在，由谁创建？请由有权限的人核对"),
            format!("Does {secret} exist, and who creates it? Have it checked by somebody who may read it"),
        ))
        .steps([look(
            scene.text("查看该工作负载的事件与 init 容器", "Look at the workload's events and init container"),
            kubectl(&workload.namespace, &format!("describe {}", slash(&workload))),
        )])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, patched, pod, waiting};
    use crate::report::Confidence;

    fn hanging(command: &str, log: &str) -> World {
        let init = json!({"name": "wait", "image": "reg/wait:1", "command": ["sh", "-c", command]});
        let status = json!({"name": "wait", "image": "", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"running": {"startedAt": "2026-11-23T02:30:00Z"}}});
        let patch = json!({"spec": {"initContainers": [init]}, "status": {"initContainerStatuses": [status]}});
        World::asking("Pod", "web-1-a")
            .with(pod(patched(waiting("PodInitializing", ""), patch)))
            .log_of("web-1-a", "wait", &format!("{log}\n{log}"))
            .listed("Service")
    }

    fn job(name: &str, patch: Value) -> Value {
        let base = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"backoffLimit": 2, "template": {}}, "status": {"active": 1}});
        patched(base, patch)
    }

    fn failed() -> Value {
        json!({"status": {"active": null, "failed": 3, "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded",
            "lastTransitionTime": "2026-11-23T02:00:00Z"}]}})
    }

    #[test]
    fn an_awaited_job_that_failed_is_suspended_or_never_ends_is_the_cause() {
        let waits = || hanging("wait-for", "waiting for job db-migrate to complete");
        assert_eq!(waits().with(job("db-migrate", failed())).cause(), "job_backoff_limit_exceeded Job/db-migrate");
        let suspended = json!({"spec": {"suspend": true}, "status": {"active": null}});
        assert_eq!(waits().with(job("db-migrate", suspended)).cause(), "job_suspended Job/db-migrate");
        let runs = waits().with(job("db-migrate", json!({})));
        assert_eq!(runs.cause(), "awaited_job_unfinished Job/db-migrate");
        assert_eq!(runs.diagnosis().causes[0].confidence, Confidence::Medium);
        let done =
            json!({"status": {"active": null, "succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]}});
        assert_eq!(waits().with(job("db-migrate", done)).cause(), "init_container_hangs Deployment/web");
    }

    #[test]
    fn an_awaited_object_that_does_not_exist_is_named_with_one_that_nearly_does() {
        let map = |name: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}});
        let waits = || hanging("wait-for", "waiting for configmap app-config").listed("ConfigMap");
        let near = waits().with(map("app-configs"));
        assert_eq!(near.cause(), "awaited_object_missing ConfigMap/app-config");
        let diagnosis = near.diagnosis();
        assert!(diagnosis.headline.contains("app-configs exists"), "{}", diagnosis.headline);
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium, "only the log says so");
        assert_eq!(waits().with(map("app-config")).cause(), "init_container_hangs Deployment/web");
        let unlisted = hanging("wait-for", "waiting for configmap app-config");
        assert_eq!(unlisted.cause(), "init_container_hangs Deployment/web", "nobody looked");
        let command = "until kubectl get configmap app-config; do echo waiting for configmap app-config; done";
        let told = hanging(command, "waiting for configmap app-config").listed("ConfigMap").diagnosis();
        assert_eq!(told.causes[0].confidence, Confidence::High);
    }

    #[test]
    fn an_awaited_secret_is_asked_about_and_never_said_to_be_missing_for_sure() {
        let world = hanging("wait-for", "waiting for secret db-credentials");
        assert_eq!(world.cause(), "awaited_secret_unseen Secret/db-credentials");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium);
        assert!(diagnosis.unresolved.iter().any(|asked| asked.contains("Secret shop/db-credentials exist")));
        assert_eq!(hanging("wait-for", "waiting for secret rotation").cause(), "init_container_hangs Deployment/web");
    }

    #[test]
    fn awaited_work_leads_to_the_one_job_that_is_called_after_it() {
        let waits = || hanging("wait-for", "waiting for migrations to finish");
        let found = waits().with(job("db-migrate", failed())).diagnosis();
        assert_eq!(found.causes[0].code.as_deref(), Some("awaited_job_unfinished"));
        assert_eq!(found.causes[0].confidence, Confidence::Medium, "taken by its name alone");
        assert_eq!(waits().with(job("report", failed())).cause(), "init_container_hangs Deployment/web");
        let two = waits().with(job("db-migrate", failed())).with(job("seed-schema", failed()));
        assert_eq!(two.cause(), "init_container_hangs Deployment/web");
    }

    #[test]
    fn what_was_awaited_and_came_is_no_trouble() {
        let done = |log: &str| {
            let init = json!({"name": "wait", "image": "reg/wait:1"});
            let status = json!({"name": "wait", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": {"terminated": {"exitCode": 0, "reason": "Completed", "finishedAt": "2026-11-23T01:00:00Z"}}});
            let patch = json!({"spec": {"initContainers": [init]}, "status": {"initContainerStatuses": [status]}});
            World::asking("Pod", "web-1-a").with(pod(patch)).log_of("web-1-a", "wait", log).listed("Service")
        };
        done("waiting for job db-migrate to complete").with(job("db-migrate", json!({}))).is_calm();
        done("waiting for configmap app-config").listed("ConfigMap").is_calm();
        done("waiting for secret db-credentials").is_calm();
    }

    #[test]
    fn words_are_no_services_that_do_not_exist() {
        for line in [
            "waiting for migration",
            "waiting for lock",
            "waiting for leader election",
            "waiting for file /shared/ready",
            "waiting for database schema",
            "waiting for postgres",
            "waiting for the job to be done",
            "waiting for CRD widgets.example.com",
            "waiting for cache-warmup",
        ] {
            assert_eq!(hanging("/wait.sh", line).cause(), "init_container_hangs Deployment/web", "{line}");
        }
        let told = hanging("until nc -z orders 5432; do echo waiting for orders; done", "waiting for orders");
        assert_eq!(told.cause(), "dependency_service_missing Service/orders");
    }
}
