//! Health: what may be said when nothing was found, and what was checked on the way to a cause.

use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::storage::v1::StorageClass;

use crate::alert::ObjectRef;
use crate::playbook::alerts::{self, Answer};
use crate::playbook::analyzer::{self, node_conditions};
use crate::playbook::answers;
use crate::playbook::checks;
use crate::playbook::complaint;
use crate::playbook::describe;
use crate::playbook::finding::Finding;
use crate::playbook::hearing;
use crate::playbook::mended::{self, Mended};
use crate::playbook::onward;
use crate::playbook::outside;
use crate::playbook::over;
use crate::playbook::passed;
use crate::playbook::purpose;
use crate::playbook::recently;
use crate::playbook::returned;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;
use crate::playbook::standby;
use crate::playbook::tries;
use crate::playbook::way_in;
use crate::report::{Diagnosis, Primary, Related, RuledOut, Verdict};

/// The diagnosis when no finding is relevant: healthy when that was really seen, otherwise undecided.
#[must_use]
pub fn without_findings(scene: &Scene<'_>, scope: &Scope, nearby: &[&Finding]) -> Diagnosis {
    if let (Some(outside), []) = (scene.question.outside.first(), scene.question.targets.as_slice()) {
        return outside::undecided(scene, outside, nearby);
    }
    let resource = scene.question.targets.first().cloned().unwrap_or_default();
    let seen = seen_targets(scene, scope);
    let measured = scene.question.alert_names.iter().any(|name| is_measured(scene, scope, name))
        || analyzer::scrape::is_undecided(scene);
    let mended = mended::since(scene, scope).filter(|_| measured);
    let measured = measured && mended.is_none();
    let unread = unread_targets(scene);
    let unbound = |object: &ObjectRef| is_pending_claim(scene, object) && !waits_for_consumer(scene, object);
    let led = standby::without_leader(scene, scope).is_none();
    let decided = unread.is_empty() && !seen.is_empty() && !measured && led && !seen.iter().any(unbound);
    let verdict = if decided { Verdict::NoFault } else { Verdict::Inconclusive };
    let mut findings: Vec<String> = Vec::new();
    for object in &seen {
        if let Some(state) = describe::state(scene, object) {
            findings.push(scene.colon(object, state));
        }
    }
    findings.truncate(4);
    findings.extend(passed::trouble(scene, scope));
    if verdict == Verdict::NoFault {
        findings.extend(recently::told(scene, scope));
    }
    findings.extend(tries::told(scene, scope));
    findings.extend(standby::told(scene, scope));
    findings.extend(told_by_logs(scene, scope, verdict));
    findings.extend(answers::told(scene).filter(|_| way_in::counts_errors(scene)));
    findings.extend(node_conditions::leads(scene, scope));
    let mut diagnosis = Diagnosis {
        verdict,
        headline: match &mended {
            Some(mended) if verdict == Verdict::NoFault => answered(scene, mended),
            _ => with_clients(scene, scope, verdict, headline(scene, scope, verdict, &resource, &seen)),
        },
        primary: Primary { resource: resource.clone(), findings },
        related: nearby.iter().take(3).map(|finding| neighbour(scene, finding)).collect(),
        impact: calm_impact(scene, verdict),
        ruled_out: checks::of(scene, scope),
        ..Diagnosis::default()
    };
    if !resource.name.is_empty() {
        diagnosis.steps.extend(onward::steps(scene, scope, &resource, verdict));
    }
    diagnosis.data_gaps.extend(certificates_unread(scene));
    for object in &unread {
        let gap = scene.text(format!("未能读取 {object}"), format!("{object} could not be read"));
        diagnosis.data_gaps.push(gap);
    }
    explain_verdict(scene, &mut diagnosis, &resource, measured);
    diagnosis
}

/// What the logs complain of, where that may be what the alert counts.
fn told_by_logs(scene: &Scene<'_>, scope: &Scope, verdict: Verdict) -> Option<String> {
    let complaint = complaint::of(scene, scope).filter(|_| verdict == Verdict::Inconclusive)?;
    Some(complaint::finding(scene, &complaint))
}

/// What is healthy and only refuses its clients' requests may be what an alert counts: that is said with it.
fn with_clients(scene: &Scene<'_>, scope: &Scope, verdict: Verdict, headline: String) -> String {
    let counts_errors = scene.question.alert_names.iter().any(|name| matches!(alerts::answer(name), Answer::Errors));
    let refused = hearing::clients_at_fault(scene, scope).filter(|_| counts_errors && verdict == Verdict::NoFault);
    let Some(refused) = refused else { return headline };
    scene.text(
        format!("{headline}；日志里只有针对客户端请求的 4xx 应答（{refused}），没有服务端错误"),
        format!("{headline}; its logs hold answers that blame the clients alone (4xx: {refused}), and no server error"),
    )
}

/// What set the alert off was mended meanwhile.
fn answered(scene: &Scene<'_>, mended: &Mended) -> String {
    let Mended { object, how } = mended;
    scene.text(
        format!("未发现故障：告警触发之后，{object} {how}，当前健康（healthy）；触发告警的情况应已过去"),
        format!("No fault found: since the alert fired {object} was seen to recover: {how}, and it is healthy now; what set the alert off should have passed"),
    )
}

/// Targets of which it is not known whether they exist, and Services that a target Ingress sends to: they may be the fault.
fn unread_targets(scene: &Scene<'_>) -> Vec<ObjectRef> {
    let unread = |target: &ObjectRef| scene.facts.raw(target).is_none() && !scene.facts.is_missing(target);
    let ingresses = scene.question.targets.iter().filter(|target| target.kind == "Ingress");
    let behind = ingresses
        .filter_map(|target| scene.facts.get::<Ingress>(&target.namespace, &target.name))
        .flat_map(|ingress| analyzer::ingress::services(&ingress.object));
    let unseen = scene.question.targets.iter().filter_map(|target| unseen_pods(scene, target));
    scene.question.targets.iter().cloned().chain(behind).filter(unread).chain(unseen).collect()
}

/// The Pods of a Job that runs, where none was read: how it runs only they show.
fn unseen_pods(scene: &Scene<'_>, job: &ObjectRef) -> Option<ObjectRef> {
    let seen = scene.jobs.iter().find(|seen| named(&seen.object) == *job)?;
    let active = seen.object.status.as_ref().and_then(|status| status.active).unwrap_or(0);
    let unseen = active > 0 && scene.pods_of(job).is_empty();
    unseen.then(|| ObjectRef::new("Pod", &job.namespace, format!("{}-*", job.name)))
}

/// Certificates of Ingresses that were asked about: they stand in Secrets, which are never read.
fn certificates_unread(scene: &Scene<'_>) -> Option<String> {
    let ingresses = scene.question.targets.iter().filter(|target| target.kind == "Ingress");
    let secrets: Vec<String> = ingresses
        .filter_map(|target| scene.facts.get::<Ingress>(&target.namespace, &target.name))
        .flat_map(|ingress| analyzer::ingress::tls_secrets(&ingress.object).collect::<Vec<_>>())
        .collect();
    (!secrets.is_empty()).then(|| {
        let secrets = secrets.join(", ");
        scene.text(
            format!("未检查 TLS Secret（{secrets}）：Secret 从不读取，证书缺失或过期只能从控制器日志看出"),
            format!("the TLS Secret ({secrets}) was not checked: Secrets are never read, so a certificate that is missing or over shows in the controller's log alone"),
        )
    })
}

/// What was checked besides the cause: the Nodes of the affected Pods.
#[must_use]
pub fn ruled_out(scene: &Scene<'_>, scope: &Scope, top: &Finding) -> Vec<RuledOut> {
    if top.blame.kind == "Node" {
        return Vec::new();
    }
    checks::nodes(scene, scope).into_iter().collect()
}

/// Whether objects that are well leave an alert unanswered. One that counts errors is answered by logs that hold none.
fn is_measured(scene: &Scene<'_>, scope: &Scope, alert: &str) -> bool {
    match alerts::answer(alert) {
        Answer::Nothing(_) => false,
        // What names no object may count what none of them shows: then a log that complains leaves it open.
        Answer::State => !alerts::names_a_state(alert) && complaint::of(scene, scope).is_some(),
        Answer::Errors => {
            // Errors may be counted where requests come in: an Ingress nobody saw may be the one that answers them.
            let seen = hearing::entrance_was_seen(scene) && hearing::every_log_was_read(scene, scope);
            // What the ingress controller counted itself, only its own log can answer.
            let unheard = scene.question.at_entrance && answers::told(scene).is_none();
            !seen || unheard || hearing::no_error(scene, scope).is_none() || answers::fail(scene)
        }
        Answer::Measurement => true,
    }
}

/// Workloads, Nodes, Services and so on that were asked about and read; Pods stand behind their workload.
fn seen_targets(scene: &Scene<'_>, scope: &Scope) -> Vec<ObjectRef> {
    let names = scene.facts.names();
    let mut seen: Vec<ObjectRef> =
        names.into_iter().filter(|object| scope.has(object) && describe::state(scene, object).is_some()).collect();
    // By name as well: in which order a server lists must not choose whom the headline names.
    seen.sort_by_key(|object| {
        let asked = scene.question.targets.contains(object);
        (rank(object), !asked, object.namespace.clone(), object.name.clone())
    });
    seen
}

/// The kinds people ask about first.
fn rank(object: &ObjectRef) -> u8 {
    match object.kind.as_str() {
        "Deployment" | "StatefulSet" | "DaemonSet" | "Job" | "CronJob" | "Node" | "HorizontalPodAutoscaler" => 0,
        "Service" | "PersistentVolumeClaim" => 1,
        _ => 2,
    }
}

fn headline(scene: &Scene<'_>, scope: &Scope, verdict: Verdict, resource: &ObjectRef, seen: &[ObjectRef]) -> String {
    if verdict == Verdict::Inconclusive && scene.facts.is_missing(resource) {
        let resource = &onward::missing_root(scene, resource);
        return scene.text(
            format!("{resource} 不存在（not found）：可能已被删除，或告警标签有误；没有可供诊断的对象"),
            format!("{resource} does not exist (not found): deleted since, or the alert's labels are wrong; there is nothing to diagnose"),
        );
    }
    let best = seen.first().unwrap_or(resource);
    if verdict == Verdict::Inconclusive {
        return complaint::undecided(scene, scope, resource, best);
    }
    if waits_for_consumer(scene, best) {
        return scene.text(
            format!("未发现故障：{best} 处于 Pending 是因为还没有 Pod 使用它（WaitForFirstConsumer）"),
            format!("No fault found: {best} is Pending because no Pod uses it yet (WaitForFirstConsumer)"),
        );
    }
    if let Some(told) = purpose::on_purpose(scene, best) {
        return told;
    }
    if let Some(told) = returned::headline(scene, best) {
        return told;
    }
    let passed = over::told(scene, scope)
        .unwrap_or_else(|| scene.text("触发告警的情况可能已经过去", "what set the alert off may have passed"));
    let workloads = seen.iter().filter(|object| scene.replicas(object).is_some()).count();
    if resource.kind == "Namespace" && workloads > 1 {
        return scene.text(
            format!("未发现故障：{resource} 中查看过的 {workloads} 个工作负载当前都健康（healthy）；{passed}"),
            format!("No fault found: the {workloads} workloads looked at in {resource} are healthy now; {passed}"),
        );
    }
    let state = describe::state(scene, best).unwrap_or_default();
    scene.text(
        format!("未发现故障：{best} 当前健康（healthy），{state}；{passed}"),
        format!("No fault found: {best} is healthy now ({state}); {passed}"),
    )
}

fn is_pending_claim(scene: &Scene<'_>, object: &ObjectRef) -> bool {
    object.kind == "PersistentVolumeClaim"
        && scene.claims.iter().any(|claim| {
            let phase = claim.object.status.as_ref().and_then(|status| status.phase.as_deref());
            named(&claim.object) == *object && phase == Some("Pending")
        })
}

/// Whether a claim is unbound by design: its controller or its StorageClass says so.
fn waits_for_consumer(scene: &Scene<'_>, object: &ObjectRef) -> bool {
    let late = |class: &str| {
        let found = scene.facts.get::<StorageClass>("", class);
        found.is_some_and(|found| found.object.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"))
    };
    let claim = scene.claims.iter().find(|claim| named(&claim.object) == *object);
    let class = claim.and_then(|claim| claim.object.spec.as_ref()?.storage_class_name.as_deref());
    // A Pod that uses it and finds no Node is another story.
    let awaited = !scene.events(object, &["WaitForPodScheduled"]).is_empty();
    is_pending_claim(scene, object)
        && !awaited
        && (class.is_some_and(late) || !scene.events(object, &["WaitForFirstConsumer"]).is_empty())
}

fn calm_impact(scene: &Scene<'_>, verdict: Verdict) -> String {
    match verdict {
        Verdict::NoFault => scene.text("目前没有看到影响。", "No impact is visible now."),
        _ => scene.text("影响范围尚不清楚。", "The impact is not known."),
    }
}

fn neighbour(scene: &Scene<'_>, finding: &Finding) -> Related {
    Related {
        resource: finding.about.clone(),
        why: scene.text(
            "同一 Namespace 中的其他异常，与本告警无直接关联",
            "another fault in the namespace, not tied to this alert",
        ),
        findings: vec![finding.summary.clone()],
    }
}

fn explain_verdict(scene: &Scene<'_>, diagnosis: &mut Diagnosis, resource: &ObjectRef, measured: bool) {
    if scene.facts.is_missing(resource) {
        diagnosis.unresolved.push(if onward::existed(scene, resource) {
            scene.text(
                format!("{resource} 已不存在，是否已被有意删除或替换？"),
                format!("{resource} does not exist any more: was it deleted or replaced on purpose?"),
            )
        } else {
            scene.text(
                format!("没有名为 {resource} 的对象：告警标签指的是什么？"),
                format!("There is no {resource}: what does the alert's label mean?"),
            )
        });
    }
    if measured {
        outside::add_what_is_known(scene, diagnosis);
        diagnosis.data_gaps.push(scene.text(
            "该告警基于监控指标，而指标不在可读取的数据之内；请查看告警规则对应的曲线",
            "The alert fires on a measurement, and metrics are not among what could be read; look at the rule's graph",
        ));
    }
    if diagnosis.verdict == Verdict::NoFault {
        diagnosis.unresolved.extend(returned::question(scene, resource));
        diagnosis.unresolved.push(scene.text(
            "如果告警在下一个评估周期后仍未恢复，请核对告警规则与监控采集是否正常",
            "If the alert does not clear after the next evaluation, check its rule and the scrape behind it",
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, deployment, patched, pod};
    use crate::report::Verdict;

    #[test]
    fn a_pod_that_was_replaced_is_no_fault_while_its_workload_is_well() {
        let world = World::asking("Pod", "web-0-gone").with(deployment(1, 1)).with(pod(json!({}))).listed("Pod");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.verdict, Verdict::NoFault);
        assert!(diagnosis.headline.contains("Deployment shop/web is healthy"));
        assert!(diagnosis.unresolved.iter().any(|question| question.contains("does not exist any more")));
    }

    #[test]
    fn a_workload_scaled_to_zero_is_said_to_be_so() {
        let diagnosis = World::asking("Deployment", "web").with(deployment(0, 0)).diagnosis();
        assert_eq!(diagnosis.verdict, Verdict::NoFault);
        assert!(diagnosis.headline.contains("scaled to 0"), "{}", diagnosis.headline);
    }

    #[test]
    fn what_does_not_exist_is_said_not_to() {
        let diagnosis = World::asking("Deployment", "web").listed("Deployment").diagnosis();
        assert_eq!(diagnosis.verdict, Verdict::Inconclusive);
        assert!(diagnosis.headline.contains("Deployment shop/web does not exist"), "{}", diagnosis.headline);
        let nowhere = World::asking("Deployment", "web").listed("Deployment").listed("Namespace").diagnosis();
        assert!(nowhere.headline.contains("Namespace/shop does not exist"), "{}", nowhere.headline);
    }

    #[test]
    fn a_claim_nobody_uses_yet_is_pending_not_healthy() {
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "scratch", "namespace": "shop"},
            "spec": {"storageClassName": "late"}, "status": {"phase": "Pending"}});
        let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "late"},
            "provisioner": "disk.csi.example.com", "volumeBindingMode": "WaitForFirstConsumer"});
        let asked = || World::asking("PersistentVolumeClaim", "scratch").with(claim.clone());
        assert_eq!(asked().diagnosis().verdict, Verdict::Inconclusive);
        let told = asked().with(class.clone()).diagnosis();
        assert_eq!(told.verdict, Verdict::NoFault);
        assert!(told.headline.contains("no Pod uses it yet"), "{}", told.headline);
        let said = "waiting for pod web-1-a to be scheduled";
        let used =
            asked().with(class).event("PersistentVolumeClaim", "scratch", "WaitForPodScheduled", said).diagnosis();
        assert_eq!(used.verdict, Verdict::Inconclusive, "a Pod uses it and finds no Node");
    }

    #[test]
    fn a_target_that_could_not_be_read_is_never_called_healthy() {
        let diagnosis = World::asking("Service", "web").with(deployment(1, 1)).with(pod(json!({}))).diagnosis();
        assert_eq!(diagnosis.verdict, Verdict::Inconclusive);
        assert!(diagnosis.data_gaps.iter().any(|gap| gap.contains("Service shop/web could not be read")));
    }

    #[test]
    fn a_try_that_a_later_one_made_up_for_is_seen_and_no_fault() {
        let log = |end: &str| {
            format!(
                "INFO up\nERROR attempt 1/3 failed: GET http://cart/x: dial tcp 10.96.0.9:80: connect: connection refused, retrying in 2s\n{end}\nINFO order 7 stored\n"
            )
        };
        let cart = patched(
            crate::playbook::world::service(json!({"app": "cart"})),
            json!({"metadata": {"name": "cart"}, "spec": {"clusterIP": "10.96.0.9"}}),
        );
        let asked = |end: &str| {
            World::asking("Deployment", "web")
                .with(deployment(1, 1))
                .with(pod(json!({})))
                .with(cart.clone())
                .log("web-1-a", &log(end))
        };
        let overcome = asked("INFO attempt 2/3 succeeded").diagnosis();
        assert_eq!(overcome.verdict, Verdict::NoFault);
        let told = overcome.primary.findings.iter().any(|it| it.contains("attempt 1/3 failed"));
        assert!(told, "{:?}", overcome.primary.findings);
        assert!(asked("INFO waiting").codes().contains(&"dependency_unreachable"));
        assert!(
            asked("INFO connected\nERROR giving up on http://cart/x: connection refused")
                .codes()
                .contains(&"dependency_unreachable")
        );
    }

    #[test]
    fn alerts_on_measurements_are_not_answered_by_healthy_objects() {
        let healthy = || World::asking("Deployment", "web").with(deployment(1, 1)).with(pod(json!({})));
        assert_eq!(healthy().alert("CPUThrottlingHigh").diagnosis().verdict, Verdict::Inconclusive);
        assert_eq!(healthy().alert("KubeDeploymentReplicasMismatch").diagnosis().verdict, Verdict::NoFault);
    }

    #[test]
    fn a_broken_neighbour_is_mentioned_and_not_blamed() {
        let other = json!({"metadata": {"name": "job-1-a", "labels": {"app": "job"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "job-1", "uid": "o", "controller": true}]}});
        let world = World::asking("Deployment", "web")
            .with(deployment(1, 1))
            .with(pod(json!({})))
            .with(pod(patched(crashed(1, "Error"), other)))
            .log("job-1-a", "ERROR cannot parse the plan");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.verdict, Verdict::NoFault);
        assert!(diagnosis.causes.is_empty());
        assert!(diagnosis.related.iter().any(|related| related.findings[0].contains("cannot parse the plan")));
    }
}
