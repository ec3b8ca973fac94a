//! ResourceQuotas that are used up or nearly so, when an alert asks about them: nothing is refused yet, but soon.

use k8s_openapi::api::core::v1::ResourceQuota;

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::scene::{Scene, named};
use crate::quantity;
use crate::report::Confidence;

/// The share of a quota from which on it is nearly full, as KubeQuotaAlmostFull has it.
const NEARLY: f64 = 0.9;

/// Findings about quotas that are asked about. A full quota that nobody runs into is somebody's decision.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let alerted = scene.question.alert_names.iter().any(|name| name.contains("Quota"));
    let quotas = scene.facts.all::<ResourceQuota>();
    let asked = quotas.iter().filter(|quota| alerted || scene.question.targets.contains(&named(&quota.object)));
    asked.filter_map(|quota| full(scene, quota)).collect()
}

/// One resource of a quota.
struct Use {
    resource: String,
    used: String,
    hard: String,
    share: f64,
}

fn fullest(quota: &ResourceQuota) -> Option<Use> {
    let status = quota.status.as_ref()?;
    let uses = status.hard.iter().flatten().filter_map(|(resource, hard)| {
        let used = status.used.as_ref()?.get(resource)?;
        let (limit, now) = (quantity::amount(&hard.0)?, quantity::amount(&used.0)?);
        (limit > 0.0).then(|| Use {
            resource: resource.clone(),
            used: used.0.clone(),
            hard: hard.0.clone(),
            share: now / limit,
        })
    });
    uses.max_by(|left, right| left.share.total_cmp(&right.share))
}

/// The resource of a quota that is used most, in one sentence; `None` when it was not read.
#[must_use]
pub fn state(scene: &Scene<'_>, object: &ObjectRef) -> Option<String> {
    let quota = scene.facts.get::<ResourceQuota>(&object.namespace, &object.name)?;
    let Use { resource, used, hard, .. } = fullest(&quota.object)?;
    Some(format!("{resource}: used {used}, hard {hard}"))
}

/// What the quotas that were read allow, one sentence each: what an alert about their sum adds up.
#[must_use]
pub fn allowed(scene: &Scene<'_>) -> Vec<String> {
    let one = |quota: &Seen<ResourceQuota>| {
        let hard = quota.object.status.as_ref()?.hard.as_ref()?;
        let counts = |resource: &str| resource.ends_with("cpu") || resource.ends_with("memory");
        let amounts = hard.iter().filter(|(resource, _)| counts(resource));
        let amounts: Vec<String> = amounts.map(|(resource, amount)| format!("{resource} {}", amount.0)).collect();
        (!amounts.is_empty()).then(|| scene.colon(named(&quota.object), amounts.join(", ")))
    };
    scene.facts.all::<ResourceQuota>().iter().filter_map(one).collect()
}

fn full(scene: &Scene<'_>, quota: &Seen<ResourceQuota>) -> Option<Finding> {
    let Use { resource, used, hard, share } = fullest(&quota.object).filter(|found| found.share >= NEARLY)?;
    let name = named(&quota.object);
    let percent = (share * 100.0).floor();
    let is_full = share >= 1.0;
    let headline = if is_full {
        scene.text(
            format!("{name} 的 {resource} 已用满（used {used}，hard {hard}），新的 Pod 会被拒绝"),
            format!("{name} is used up for {resource} (used {used}, hard {hard}): what needs more is refused"),
        )
    } else {
        scene.text(
            format!("{name} 的 {resource} 已用 {percent}%（used {used}，hard {hard}），即将用满"),
            format!("{name} is {percent}% used for {resource} (used {used}, hard {hard}) and will soon be full"),
        )
    };
    let code = if is_full { "quota_fully_used" } else { "quota_almost_full" };
    Some(
        Finding::new(code, Depth::Effect, &name, &name, headline)
            .confidence(Confidence::High)
            .cite([quoted(scene, quota, &resource, &hard), quoted(scene, quota, &resource, &used)])
            .unresolved(scene.text("这些用量是否合理？", "Is what uses it meant to?"))
            .steps(steps(scene, &name, &resource)),
    )
}

fn quoted(
    scene: &Scene<'_>,
    quota: &Seen<ResourceQuota>,
    resource: &str,
    amount: &str,
) -> Option<crate::report::Citation> {
    let wordings =
        [format!("{resource}: {amount}"), format!("{resource}: \"{amount}\""), format!("{resource}: '{amount}'")];
    let wordings: Vec<&str> = wordings.iter().map(String::as_str).collect();
    scene.quote_any(&quota.reference, &wordings)
}

fn steps(scene: &Scene<'_>, name: &ObjectRef, resource: &str) -> [crate::report::Step; 3] {
    [
        look(
            scene.text("查看配额用量", "See what the quota allows and uses"),
            kubectl(&name.namespace, &format!("describe resourcequota {}", name.name)),
        ),
        look(scene.text("查看哪些 Pod 占用配额", "See which Pods use it"), kubectl(&name.namespace, "get pods")),
        change(
            scene.text(
                format!("提高 {} 的 {resource}，或清理不再需要的工作负载", name.name),
                format!("Raise {resource} of {}, or remove workloads nobody needs", name.name),
            ),
            "",
            Some(kubectl(&name.namespace, &format!("edit resourcequota {}", name.name))),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::World;

    fn asked(used: &str) -> World {
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": "shop"},
            "status": {"hard": {"requests.cpu": "4", "pods": "100"}, "used": {"requests.cpu": used, "pods": "3"}}});
        World::asking("ResourceQuota", "team").with(quota)
    }

    #[test]
    fn a_quota_that_is_full_or_nearly_so_names_the_resource_and_its_figures() {
        let full = asked("4");
        assert_eq!(full.cause(), "quota_fully_used ResourceQuota/team");
        let nearly = asked("3700m");
        assert_eq!(nearly.cause(), "quota_almost_full ResourceQuota/team");
        let headline = nearly.diagnosis().headline;
        assert!(headline.contains("92%") && headline.contains("3700m") && headline.contains("hard 4"), "{headline}");
    }

    #[test]
    fn a_quota_with_room_stays_quiet() {
        assert!(asked("3").codes().is_empty());
    }

    #[test]
    fn a_full_quota_nobody_asks_about_stays_quiet() {
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "team", "namespace": "shop"},
            "status": {"hard": {"pods": "1"}, "used": {"pods": "1"}}});
        let world = World::asking("Deployment", "web").with(crate::playbook::world::deployment(1, 1)).with(quota);
        world.is_calm();
    }
}
