//! Pods that Pod Security keeps out: each rule they break, and each field that has to change, so that one release is enough.

use k8s_openapi::api::core::v1::Container;

use super::{Refusal, spec_fault};
use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::back;
use crate::playbook::finding::{Finding, change, counted, edit_template};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::Scene;
use crate::report::Step;

/// As `k8s.io/pod-security-admission` writes it: `violates PodSecurity "LEVEL:VERSION": RULE (WHAT), RULE (WHAT)`.
static VIOLATES: Pattern = Pattern::new(r#"violates PodSecurity "([\w:.-]+)": (.+)"#);
/// What is to be set, and in which containers.
static MUST_SET: Pattern = Pattern::new(r#"^(?:pod or )?containers? ("[^"]+"(?:, "[^"]+")*) must set (.+)$"#);

/// The longest list of rules in a headline, and of fields in a step, in characters.
const RULES: usize = 180;
const FIELDS: usize = 500;

/// A refusal by the Pod Security of a Namespace.
pub(super) fn violated(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = VIOLATES.groups(&refusal.message)?;
    let (level, told) = (&found[1], &found[2]);
    let violations = violations(told);
    let rules: Vec<&str> = violations.iter().map(|(rule, _)| rule.split(" != ").next().unwrap_or(rule)).collect();
    let workload = &refusal.workload;
    let sentence = |rules: &str| {
        scene.text(
            format!(
                "{workload} 无法创建 Pod：违反 Namespace {} 的 PodSecurity \"{level}\"：{rules}",
                workload.namespace
            ),
            format!(
                "{workload} cannot create Pods: they violate PodSecurity \"{level}\" of Namespace {}: {rules}",
                workload.namespace
            ),
        )
    };
    let headline = sentence(&logs::shorten(&rules.join(", "), RULES));
    let mut finding = spec_fault(scene, "pod_security_violation", refusal, headline)
        .summary(sentence(&logs::shorten(told, FIELDS)))
        .related(
            ObjectRef::new("Namespace", "", &workload.namespace),
            scene.text("PodSecurity 由该 Namespace 的标签决定", "its labels set PodSecurity"),
            format!("enforce {level}"),
        );
    finding.steps.truncate(1);
    Some(finding.steps([correct(scene, workload, &violations)]).steps(back(scene, refusal)))
}

/// The broken rules, each with what is said of it in brackets.
fn violations(told: &str) -> Vec<(&str, &str)> {
    let (mut depth, mut from, mut parts) = (0_u32, 0, Vec::new());
    for (at, letter) in told.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&told[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&told[from..]);
    let split = |part: &'_ str| -> Option<(usize, usize)> { Some((part.find(" (")?, part.rfind(')')?)) };
    let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty());
    parts
        .map(|part| {
            split(part)
                .map_or((part, ""), |(open, close)| (&part[..open], part.get(open + 2..close).unwrap_or_default()))
        })
        .collect()
}

/// All fields to change, those of the same containers behind their names.
fn fields(violations: &[(&str, &str)]) -> String {
    let mut said: Vec<(String, Vec<String>)> = Vec::new();
    for (rule, what) in violations {
        let (of, field) = match MUST_SET.groups(what) {
            Some(found) => (found[1].replace('"', ""), found[2].replace("securityContext.", "")),
            None => (String::new(), if what.is_empty() { (*rule).to_owned() } else { format!("{rule} ({what})") }),
        };
        match said.last_mut().filter(|(known, _)| *known == of) {
            Some((_, all)) => all.push(field),
            None => said.push((of, vec![field])),
        }
    }
    let told = said.into_iter().map(|(of, all)| {
        let all = all.join("; ");
        if of.is_empty() { all } else { format!("{of}: {all}") }
    });
    told.collect::<Vec<_>>().join("; ")
}

fn correct(scene: &Scene<'_>, workload: &ObjectRef, violations: &[(&str, &str)]) -> Step {
    change(
        scene.text(
            format!("在 Pod 模板中一次改完全部 {} 处", violations.len()),
            format!("Correct all of it in the Pod template at once ({})", counted(violations.len(), "rule")),
        ),
        logs::shorten(&fields(violations), FIELDS),
        edit_template(workload),
    )
}

/// The way back while the version before serves and does not break the same rules by the same fields.
fn back(scene: &Scene<'_>, refusal: &Refusal) -> Option<Step> {
    let workload = &refusal.workload;
    let serves = rollout::serving_before(scene, workload);
    (serves && differs(scene, workload)).then(|| {
        change(
            scene.text("或先回滚：上一个版本仍在服务", "Or go back first: the version before still serves"),
            "",
            Some(back::undo(workload)),
        )
    })
}

/// Whether the newest version and the one before differ in what Pod Security judges: then the older is not refused alike.
fn differs(scene: &Scene<'_>, workload: &ObjectRef) -> bool {
    let sets = rollout::revisions(scene, workload);
    let judged = |at: usize| {
        let spec = pods::template(&sets.get(at)?.object)?;
        let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let own = containers.map(|it| (it.name.clone(), it.security_context.clone(), host_ports(it)));
        let hosts = [spec.host_network, spec.host_pid, spec.host_ipc].map(Option::unwrap_or_default);
        Some((spec.security_context.clone(), hosts, spec.volumes.clone(), own.collect::<Vec<_>>()))
    };
    judged(0).zip(judged(1)).is_some_and(|(new, old)| new != old)
}

fn host_ports(container: &Container) -> Vec<i32> {
    container.ports.iter().flatten().filter_map(|port| port.host_port).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{fields, violations};
    use crate::playbook::world::{World, container, deployment, patched, replica_set};

    const ALL: &str = r#"allowPrivilegeEscalation != false (container "web" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "web" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "web" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "web" must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")"#;

    fn refused(before: i32) -> World {
        let strict = json!({"allowPrivilegeEscalation": false, "runAsNonRoot": true});
        refused_after(before, strict)
    }

    /// A new version without a securityContext, after one that had it and whose Pods serve.
    fn refused_after(before: i32, had: serde_json::Value) -> World {
        let own = json!({"image": "reg/web:1", "securityContext": had});
        let template = json!({"spec": {"template": {"spec": {"containers": [container(own)]}}}});
        let told = format!("pods \"web-2-x\" is forbidden: violates PodSecurity \"restricted:latest\": {ALL}");
        let missing = patched(replica_set(2, "reg/web:2", 1, 0), json!({"status": {"replicas": 0}}));
        World::asking("Deployment", "web")
            .with(deployment(1, before))
            .with(patched(replica_set(1, "reg/web:1", before, before), template))
            .with(missing)
            .event("ReplicaSet", "web-2", "FailedCreate", &format!("Error creating: {told}"))
    }

    #[test]
    fn every_rule_and_every_field_is_told() {
        let told = refused(0).diagnosis();
        for field in ["allowPrivilegeEscalation", "capabilities", "runAsNonRoot", "seccompProfile"] {
            assert!(told.headline.contains(field), "{}", told.headline);
        }
        let quotes: Vec<_> = told.causes[0].evidence.iter().map(|it| it.quote.clone()).collect();
        assert!(quotes.iter().any(|quote| quote.ends_with("or \"Localhost\")")), "{quotes:?}");
        let step = told.steps.iter().find(|step| step.title.contains("(4 rules)")).unwrap();
        assert_eq!(
            step.detail,
            r#"web: allowPrivilegeEscalation=false; capabilities.drop=["ALL"]; runAsNonRoot=true; seccompProfile.type to "RuntimeDefault" or "Localhost""#
        );
    }

    #[test]
    fn the_way_back_is_shown_while_the_version_before_serves() {
        let undoes = |before: i32| {
            let steps = refused(before).diagnosis().steps;
            steps.iter().any(|step| step.command.as_deref() == Some("kubectl -n shop rollout undo deployment/web"))
        };
        assert!(undoes(1));
        assert!(!undoes(0));
        let alike = refused_after(1, json!(null)).diagnosis().steps;
        let back = alike.iter().any(|step| step.command.as_deref().is_some_and(|it| it.contains("undo")));
        assert!(!back, "the version before breaks the same rules: {alike:?}");
    }

    #[test]
    fn what_must_not_be_there_is_told_as_it_stands() {
        let told = r#"host namespaces (hostNetwork=true), hostPath volumes (volumes "a", "b"), privileged (container "x" must not set securityContext.privileged=true)"#;
        assert_eq!(violations(told).len(), 3);
        assert_eq!(fields(&violations(told)), told.replace("), ", "); "));
    }
}
