//! Drift: what was changed past the copy that `kubectl apply` keeps. A lead for people, never a proof.

use serde_json::Value;

use crate::alert::{Lang, ObjectRef};
use crate::applied::{self, Change};
use crate::playbook::logs;
use crate::playbook::scene::Scene;
use crate::report::Related;

/// Changes that are named; more is read with `kubectl diff`.
const NAMED: usize = 4;
/// The longest value that is repeated, in characters.
const SAID: usize = 60;

/// What an object that was read differs in from the copy of it that was applied.
#[must_use]
pub fn changes(scene: &Scene<'_>, object: &ObjectRef) -> Vec<Change> {
    let Some((value, _)) = scene.facts.raw(object) else { return Vec::new() };
    // The number of replicas is an autoscaler's to change.
    let is_its = |change: &Change| change.path == "spec.replicas" && scene.autoscaler(object).is_some();
    applied::changes(value).into_iter().filter(|change| !is_its(change)).collect()
}

/// The same as a lead beside a cause.
#[must_use]
pub fn lead(scene: &Scene<'_>, object: &ObjectRef) -> Option<Related> {
    let all = changes(scene, object);
    if all.is_empty() {
        return None;
    }
    let mut findings: Vec<String> = all.iter().take(NAMED).map(|change| told(scene.lang, change)).collect();
    if all.len() > NAMED {
        let more = all.len() - NAMED;
        findings.push(scene.text(format!("另有 {more} 处"), format!("{more} more")));
    }
    let why = scene.text(
        "与 kubectl apply 时不同，之后被直接改过：可能相关的线索，不是证据",
        "changed in place since it was applied: a lead, not a proof",
    );
    Some(Related { resource: object.clone(), why, findings })
}

/// When and by what a field was last written, where the object shows its managed fields.
#[must_use]
pub fn written(scene: &Scene<'_>, object: &ObjectRef, field: &str) -> Option<(String, String)> {
    let (value, _) = scene.facts.raw(object)?;
    let writers = value.pointer("/metadata/managedFields").and_then(Value::as_array)?;
    let field = format!("/fieldsV1{field}");
    let text = |it: &Value, key: &str| it.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let writer = writers.iter().filter(|it| it.pointer(&field).is_some()).max_by_key(|it| text(it, "time"))?;
    Some((text(writer, "time"), text(writer, "manager")))
}

/// A change as a sentence: of texts of many lines the first line that differs. Values of the environment are not repeated:
/// some are secret.
#[must_use]
pub fn told(lang: Lang, change: &Change) -> String {
    let Change { path, applied, live } = change;
    if path.contains(".env[") {
        return path.clone();
    }
    let (before, now) = (applied::plain(applied), applied::plain(live));
    let value = |text: &str| match text.trim() {
        "null" | "" => "-".to_owned(),
        text => logs::shorten(text, SAID),
    };
    let pairs = before.lines().zip(now.lines()).enumerate();
    match pairs.filter(|_| before.contains('\n')).find(|(_, (old, new))| old != new) {
        Some((at, (old, new))) => {
            let line = at + 1;
            lang.pick(
                format!("{path} 第 {line} 行：{} -> {}", value(old), value(new)),
                format!("{path}, line {line}: {} -> {}", value(old), value(new)),
            )
        }
        None => format!("{path} {} -> {}", value(&before), value(&now)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Change, Lang};
    use crate::playbook::world::{World, crashed, deployment, patched, pod};

    /// A Deployment of one replica whose applied copy says otherwise.
    fn kept(copy: &Value) -> Value {
        let annotations = json!({"kubectl.kubernetes.io/last-applied-configuration": copy.to_string()});
        patched(deployment(1, 0), json!({"metadata": {"annotations": annotations}}))
    }

    fn leads(world: &World) -> Vec<String> {
        let all = world.diagnosis().related.into_iter().filter(|it| it.why.contains("since it was applied"));
        all.flat_map(|related| related.findings).collect()
    }

    fn crashing(copy: &Value) -> World {
        World::asking("Deployment", "web")
            .with(kept(copy))
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", "ERROR cannot go on")
    }

    #[test]
    fn what_was_changed_by_hand_is_a_lead_beside_the_cause() {
        assert_eq!(leads(&crashing(&json!({"spec": {"replicas": 3}}))), ["spec.replicas 3 -> 1"]);
        assert!(leads(&crashing(&json!({"spec": {"replicas": 1}}))).is_empty());
    }

    #[test]
    fn replicas_that_an_autoscaler_sets_are_none() {
        let autoscaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "web", "namespace": "shop"}, "status": {"desiredReplicas": 1},
            "spec": {"maxReplicas": 5, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
        assert!(leads(&crashing(&json!({"spec": {"replicas": 3}})).with(autoscaler)).is_empty());
    }

    #[test]
    fn of_a_file_the_line_is_told_and_of_the_environment_no_value() {
        let said = |before: &str, now: &str, path: &str| {
            super::told(Lang::En, &Change { path: path.into(), applied: before.into(), live: now.into() })
        };
        let file = said("a = 1\nrate = 0.30\n", "a = 1\nrate = 0.3O\n", "data.rules.toml");
        assert_eq!(file, "data.rules.toml, line 2: rate = 0.30 -> rate = 0.3O");
        let env = "spec.template.spec.containers[web].env[TOKEN].value";
        assert_eq!(said("a", "b", env), env);
    }
}
