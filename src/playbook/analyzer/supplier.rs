//! Suppliers: work that failed because what another workload makes was not there, where the log's decisive error names that
//! workload, and it is switched off.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::report::{Confidence, Step};

/// A workload by its kind: `CronJob orders-export`, `deployment/shop/ledger`, `cronjob.batch "orders-export"`.
static BY_KIND: Pattern = Pattern::new(
    r#"(?i)\b(cronjob|deployment|statefulset)(?:\.(?:batch|apps))?([ /:]+["'`]?)(?:([a-z0-9][a-z0-9-]*)/)?([a-z0-9][a-z0-9-]*[a-z0-9])\b"#,
);
/// A name with its namespace, standing alone: no part of a path, an image or a topic.
static BY_NAMESPACE: Pattern = Pattern::new(
    r#"(?:^|[\s("'`=\[])([a-z0-9][a-z0-9-]*)/([a-z0-9][a-z0-9-]*[a-z0-9])(?:$|[\s)"'`;,\]]|[.:](?:\s|$))"#,
);
/// Words of something that was expected and is not there: who is merely named in an error supplies nothing.
static LACKS: Pattern = Pattern::new(
    r"(?i)\b(?:never|nothing|missing|absent|without|stale|outdated|late|old(?:er)?|expect(?:s|ed)|await(?:s|ing)?|waiting|produce[dr]s?|upstream|supplie[dr]|depend(?:s|ency)|requires?|unavailable)\b|\bno (?:\S+ ){1,3}(?:from|of|by|in|for)\b|\bnot (?:been )?(?:yet|found|there|available|ready|done|complet\w+|finished|produced|deliver\w+|received|publish\w+|arrived|written|updated|fresh|present)\b|没有|缺|未(?:收到|找到|完成|生成|产出|就绪|到)|不存在|过期|上游|依赖",
);
/// Names that a line is looked through for.
const NAMES: usize = 6;
/// The kinds that make something for others.
pub const KINDS: [&str; 3] = ["CronJob", "Deployment", "StatefulSet"];

/// The workloads of a namespace that a line may name: each by its kind, or by a name alone.
#[must_use]
pub fn named_in(line: &str, namespace: &str) -> Vec<(Option<&'static str>, String)> {
    if logs::instructs(line) || !LACKS.hits(line) {
        return Vec::new();
    }
    let kind_of = |word: &str| KINDS.into_iter().find(|kind| kind.eq_ignore_ascii_case(word));
    let by_kind = BY_KIND.all(line).into_iter().filter_map(|found| {
        let (other, name) = (found.get(3).map(|other| other.as_str()), &found[4]);
        // "Deployment failed" names none.
        let is_name = other.is_some() || name.contains('-') || found[2].contains(['/', '"', '\'', '`']);
        (is_name && other.is_none_or(|other| other == namespace)).then(|| (kind_of(&found[1]), name.to_owned()))
    });
    let by_namespace = BY_NAMESPACE.all(line).into_iter().filter(|found| &found[1] == namespace);
    by_kind.chain(by_namespace.map(|found| (None, found[2].to_owned()))).take(NAMES).collect()
}

/// Findings about Pods that ended, or cannot go on, over what a workload that is switched off should have made.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| of_pod(scene, pod)).collect()
}

fn of_pod(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let name = named(&pod.object);
    let failed = |container: &str| {
        let views = pods::containers(&pod.object);
        views.iter().any(|view| {
            view.name() == container
                && (view.failing(scene.facts.now) || view.ended().is_some_and(|ended| ended.exit_code != 0))
        })
    };
    reach::present_logs(scene, &pod.object).into_iter().filter(|(log, _)| failed(&log.container)).find_map(
        |(log, text)| {
            let line = logs::culprit(text)?;
            let mut meant = named_in(line, &name.namespace).into_iter();
            meant.find_map(|(kind, supplier)| {
                let off = KINDS
                    .into_iter()
                    .filter(|it| kind.is_none_or(|kind| kind == *it))
                    .find_map(|kind| switched_off(scene, &ObjectRef::new(kind, &name.namespace, &supplier)))?;
                (off.object != scene.workload(&pod.object)).then(|| told(scene, pod, (log, line), &off))
            })
        },
    )
}

/// A workload that somebody switched off, and where that stands.
struct Off {
    object: ObjectRef,
    reference: String,
    setting: &'static str,
}

fn switched_off(scene: &Scene<'_>, object: &ObjectRef) -> Option<Off> {
    let (namespace, name) = (object.namespace.as_str(), object.name.as_str());
    let (reference, setting, is_off) = match object.kind.as_str() {
        "CronJob" => {
            let read: Seen<CronJob> = scene.facts.get(namespace, name)?;
            (read.reference, "suspend: true", read.object.spec.suspend == Some(true))
        }
        "Deployment" => {
            let read: Seen<Deployment> = scene.facts.get(namespace, name)?;
            (read.reference, "replicas: 0", read.object.spec?.replicas == Some(0))
        }
        _ => {
            let read: Seen<StatefulSet> = scene.facts.get(namespace, name)?;
            (read.reference, "replicas: 0", read.object.spec?.replicas == Some(0))
        }
    };
    is_off.then(|| Off { object: object.clone(), reference, setting })
}

fn told(scene: &Scene<'_>, pod: &Seen<Pod>, (log, line): (&SeenLog, &str), off: &Off) -> Finding {
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let Off { object, reference, setting } = off;
    let said = logs::said(line);
    let (off_zh, off_en) = match object.kind.as_str() {
        "CronJob" => ("已被暂停（spec.suspend=true）", "is suspended (spec.suspend=true)"),
        _ => ("已被缩容到 0 个副本", "is scaled to 0 replicas"),
    };
    let headline = scene.text(
        format!("{object} {off_zh}，而 {workload} 报告缺少它的产物：{said}"),
        format!("{object} {off_en}, and {workload} fails for want of what it makes: {said}"),
    );
    // Of a Job the Job is what failed.
    let about = if workload.kind == "Job" { &workload } else { &name };
    Finding::new("supplier_switched_off", Depth::Root, about, object, headline.clone())
        .summary(scene.text(format!("{headline}。"), format!("{headline}.")))
        .confidence(Confidence::Medium)
        .cite([scene.quote(&log.reference, line), scene.quote(reference, setting)])
        .touches([name, workload.clone()])
        .unresolved(scene.text(
            format!("{object} 是谁、为什么停用的？恢复之前先确认"),
            format!("Who switched {object} off, and why? Find out before it runs again"),
        ))
        .steps(steps(scene, object, &workload))
}

fn steps(scene: &Scene<'_>, object: &ObjectRef, workload: &ObjectRef) -> Vec<Step> {
    let ObjectRef { namespace, name, .. } = object;
    let again = scene.text(format!("之后重新运行 {workload}"), format!("Then run {workload} again"));
    let read = look(
        scene.text(format!("查看 {object}"), format!("Look at {object}")),
        kubectl(namespace, &format!("describe {} {name}", object.kind.to_lowercase())),
    );
    let mut steps = vec![read];
    if object.kind == "CronJob" {
        steps.push(change(
            scene.text("如果不是有意暂停，恢复调度", "If it was not meant to stop, let it run again"),
            "",
            Some(kubectl(namespace, &format!("patch cronjob {name} -p '{{\"spec\":{{\"suspend\":false}}}}'"))),
        ));
        steps.push(change(
            scene.text("立即补跑缺失的那一次", "Make up for the run that is missing"),
            again,
            Some(kubectl(namespace, &format!("create job {name}-again --from=cronjob/{name}"))),
        ));
    } else {
        steps.push(change(
            scene.text("如果不是有意停用，恢复副本", "If it was not meant to stop, give it replicas again"),
            again,
            Some(kubectl(namespace, &format!("scale {} --replicas=1", slash(object)))),
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, crashed, pod};

    fn cron(suspended: bool) -> Value {
        json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "orders-export", "namespace": "shop"},
            "spec": {"schedule": "15 0 * * *", "suspend": suspended, "jobTemplate": {}}})
    }

    const MISSING: &str = "ERROR lake: partition orders was never completed by its producer (shop/orders-export); newest is old\nINFO exit 42\n";

    fn loading(line: &str, cron: Value) -> World {
        World::asking("Pod", "web-1-a").with(pod(crashed(42, "Error"))).log("web-1-a", line).with(cron)
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(BY_KIND.compiles() && BY_NAMESPACE.compiles() && LACKS.compiles());
    }

    #[test]
    fn a_supplier_that_is_suspended_explains_who_waits_for_it() {
        let world = loading(MISSING, cron(true));
        assert_eq!(world.cause(), "supplier_switched_off CronJob/orders-export");
        assert!(world.diagnosis().headline.contains("suspended"));
        let by_kind = "ERROR no export from CronJob orders-export since Monday\n";
        assert_eq!(loading(by_kind, cron(true)).cause(), "supplier_switched_off CronJob/orders-export");
        let off = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ledger", "namespace": "shop"},
            "spec": {"replicas": 0, "selector": {}, "template": {}}});
        let line = "ERROR no rates from shop/ledger: 3 days old\n";
        assert_eq!(loading(line, off).cause(), "supplier_switched_off Deployment/ledger");
    }

    #[test]
    fn a_supplier_that_runs_or_that_the_error_does_not_name_is_not_blamed() {
        assert!(!loading(MISSING, cron(false)).codes().contains(&"supplier_switched_off"));
        let other = MISSING.replace("shop/orders-export", "shop/orders-import");
        assert!(!loading(&other, cron(true)).codes().contains(&"supplier_switched_off"));
        let merely = "ERROR cannot lock the zone: held by shop/orders-export\n";
        assert!(!loading(merely, cron(true)).codes().contains(&"supplier_switched_off"), "it supplies nothing");
        let owned = "ERROR cannot write: the partition is owned by shop/orders-export, not by shop/web\n";
        assert!(!loading(owned, cron(true)).codes().contains(&"supplier_switched_off"), "it lacks nothing");
        let survived = "ERROR lake: nothing of shop/orders-export yet\nINFO waiting\nINFO found\nFATAL disk is full\n";
        let apart = survived.replace("INFO waiting\n", &"INFO waiting\n".repeat(20));
        assert!(!loading(&apart, cron(true)).codes().contains(&"supplier_switched_off"), "it was survived");
    }

    #[test]
    fn a_pod_that_is_well_has_no_supplier_in_fault() {
        let calm = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", MISSING).with(cron(true));
        assert!(!calm.codes().contains(&"supplier_switched_off"));
    }

    #[test]
    fn only_what_stands_alone_is_a_name() {
        let alone = |line: &str| named_in(line, "etl").into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(alone("never completed by its producer (etl/orders-export); newest"), ["orders-export"]);
        assert!(alone("pull registry.lab/etl/orders-export:4: not found").is_empty());
        assert!(alone("open /data/etl/orders-export: no such file").is_empty());
        assert!(alone("s3://etl/orders-export/part-1 not found").is_empty());
        assert!(alone("the Deployment is not done").is_empty());
        assert_eq!(alone("cronjob/nightly is missing, Deployment etl/shop too"), ["nightly", "shop", "shop"]);
    }
}
