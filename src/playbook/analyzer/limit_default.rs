//! Limits that no template asks for: a LimitRange gives them to each container that is made without one, and what ran well
//! before starts too slowly, is throttled or runs out of memory under them.

use k8s_openapi::api::core::v1::{LimitRange, Pod};

use super::{cpu_limit, memory, throttled};
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::quantity;
use crate::report::{Citation, Confidence, Step};

/// Where the API server notes what its LimitRanger set, as in `LimitRanger plugin set: cpu, memory limit for container web`.
const NOTE: &str = "kubernetes.io/limit-ranger";

/// A limit that a container was given when its Pod was made.
struct Given<'s> {
    view: ContainerView<'s>,
    resource: String,
    limit: String,
}

/// What the limit does to the container.
struct Harm {
    zh: String,
    en: String,
    proof: Option<Citation>,
}

/// Whether a LimitRange gave a container of a Pod a limit.
#[must_use]
pub fn is_given(pod: &Pod) -> bool {
    noted(pod).next().is_some()
}

/// Findings about containers that fail under a limit which a LimitRange gave them.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let found = scene.current_pods().filter(|pod| is_given(&pod.object));
    found.filter_map(|pod| given(&pod.object).iter().find_map(|given| too_low(scene, pod, given))).collect()
}

/// The resources and containers of a Pod whose limits the LimitRanger notes that it set.
fn noted(pod: &Pod) -> impl Iterator<Item = (&str, &str)> {
    let note = pod.metadata.annotations.as_ref().and_then(|notes| notes.get(NOTE)).map_or("", String::as_str);
    let set = note.strip_prefix("LimitRanger plugin set: ").unwrap_or_default().split("; ");
    set.filter_map(|part| part.split_once(" limit for container "))
        .flat_map(|(resources, container)| resources.split(", ").map(move |resource| (resource, container)))
}

fn given(pod: &Pod) -> Vec<Given<'_>> {
    let of = |(resource, container): (&str, &str)| {
        let view = pods::containers(pod).into_iter().find(|view| !view.init && view.name() == container)?;
        let limit = limit_of(&view, resource)?;
        Some(Given { view, resource: resource.to_owned(), limit })
    };
    noted(pod).filter_map(of).collect()
}

fn limit_of(view: &ContainerView<'_>, resource: &str) -> Option<String> {
    Some(view.spec.resources.as_ref()?.limits.as_ref()?.get(resource)?.0.clone())
}

fn too_low(scene: &Scene<'_>, pod: &Seen<Pod>, given: &Given<'_>) -> Option<Finding> {
    let harm = harm(scene, pod, given)?;
    let (name, workload, container) = (named(&pod.object), scene.workload(&pod.object), given.view.name());
    let former = former(scene, &workload, pod, given);
    // A start may be slow for many reasons, and memory run out of any limit: what went well without it says that it is the limit.
    if former.is_none() && !throttled::is_asked(scene, pod) {
        return None;
    }
    let range = range(scene, &name.namespace, given);
    let made = |pod: &Seen<Pod>| pod.object.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let younger = range.as_ref().zip(former).is_some_and(|(range, former)| {
        let since = range.object.metadata.creation_timestamp.as_ref().map(|time| time.0);
        since.zip(made(former)).is_some_and(|(since, made)| since > made)
    });
    let (resource, limit) = (&given.resource, &given.limit);
    let (of_zh, of_en) = match resource.as_str() {
        "memory" => ("内存", "memory"),
        _ => (" CPU", "CPU"),
    };
    let by = range.as_ref().map_or_else(|| "LimitRange".to_owned(), |range| named(&range.object).to_string());
    let without = former.map(|former| named(&former.object).name);
    let (before_zh, before_en) = without.map_or_else(Default::default, |former| {
        (
            format!("；此前创建的 Pod（如 {former}）没有这个 limit，同一镜像运行正常"),
            format!("; Pods made before, such as {former}, have no such limit and run well with the same image"),
        )
    });
    let headline = scene.text(
        format!("{workload} 的模板没有{of_zh} limit，{by} 给新建的容器 {container} 加上了默认的 {limit}：{}{before_zh}", harm.zh),
        format!("{by} gives container {container} of {workload}, whose template asks for none, a {of_en} limit of {limit}: {}{before_en}", harm.en),
    );
    let blame = range.as_ref().filter(|_| younger).map_or_else(|| workload.clone(), |range| named(&range.object));
    let steps = steps(scene, &workload, given, range.as_ref().map(|range| named(&range.object)));
    Some(
        Finding::new("limit_range_default_too_low", Depth::Root, &name, &blame, headline)
            .confidence(if younger { Confidence::High } else { Confidence::Medium })
            .cite([
                harm.proof,
                scene.quote(&pod.reference, &format!("limit for container {container}")),
                scene.quote(&pod.reference, &format!("{resource}: {limit}")),
                range.as_ref().and_then(|range| scene.quote(&range.reference, &format!("{resource}: {limit}"))),
            ])
            .touches([workload])
            .steps(steps),
    )
}

/// What a container suffers that its limit may be the reason of.
fn harm(scene: &Scene<'_>, pod: &Seen<Pod>, given: &Given<'_>) -> Option<Harm> {
    let (name, view) = (named(&pod.object), &given.view);
    let of = |zh: &str, en: &str, proof| Some(Harm { zh: zh.to_owned(), en: en.to_owned(), proof });
    match given.resource.as_str() {
        "memory" if memory::ran_out(view) => {
            of("容器因此被 OOMKilled", "it is OOMKilled at that", scene.quote(&pod.reference, "reason: OOMKilled"))
        }
        "cpu" if !view.ready() && view.restarts() > 0 && scene.culprit(&name, view.name()).is_none() => {
            let refused = cpu_limit::refused(scene, &name);
            let event = refused.or_else(|| cpu_limit::unanswered(scene, &name))?;
            let (zh, en) = match refused {
                Some(_) => (
                    "它启动过慢，来不及监听就被探针重启",
                    "it starts so slowly that its probe ends it before it listens",
                ),
                None => ("它应答过慢，探针超时后被重启", "it is too slow for its probe, which ends it"),
            };
            of(zh, en, scene.quote_event(event))
        }
        "cpu" if throttled::is_asked(scene, pod) => {
            of("告警测得它被限流（throttled）", "the alert measures that it is throttled", None)
        }
        _ => None,
    }
}

/// A Pod of the same workload that was made before, serves, and has no such limit, though it is told to do the same.
fn former<'s>(scene: &'s Scene<'_>, workload: &ObjectRef, pod: &Seen<Pod>, given: &Given<'_>) -> Option<&'s Seen<Pod>> {
    let made = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let without = |other: &Pod| {
        let views = pods::containers(other);
        let same = views.iter().find(|view| !view.init && is_alike(view, &given.view));
        same.is_some_and(|view| limit_of(view, &given.resource).is_none())
    };
    scene.pods_of(workload).into_iter().find(|other| {
        let earlier = made(&other.object).zip(made(&pod.object)).is_some_and(|(other, own)| other < own);
        earlier && pods::is_ready(&other.object) && without(&other.object)
    })
}

/// Whether two containers run the same under the same probes.
fn is_alike(one: &ContainerView<'_>, other: &ContainerView<'_>) -> bool {
    let told = |view: &ContainerView<'_>| {
        let spec = view.spec;
        (spec.name.clone(), spec.image.clone(), spec.command.clone(), spec.args.clone(), spec.env.clone())
    };
    told(one) == told(other)
        && one.spec.liveness_probe == other.spec.liveness_probe
        && one.spec.startup_probe == other.spec.startup_probe
}

/// The LimitRange whose default for containers the limit is; none where more than one could be.
fn range(scene: &Scene<'_>, namespace: &str, given: &Given<'_>) -> Option<Seen<LimitRange>> {
    let amount = quantity::amount(&given.limit);
    let defaults = |range: &LimitRange| {
        let limits = range.spec.iter().flat_map(|spec| &spec.limits).filter(|limit| limit.type_ == "Container");
        let mut defaults = limits.filter_map(|limit| limit.default.as_ref()?.get(&given.resource));
        defaults.any(|default| amount.is_some() && quantity::amount(&default.0) == amount)
    };
    let all = scene.facts.all::<LimitRange>().into_iter();
    let mut found = all.filter(|range| named(&range.object).namespace == namespace && defaults(&range.object));
    found.next().filter(|_| found.next().is_none())
}

fn steps(scene: &Scene<'_>, workload: &ObjectRef, given: &Given<'_>, range: Option<ObjectRef>) -> Vec<Step> {
    let (namespace, resource, limit) = (&workload.namespace, &given.resource, &given.limit);
    let read = range
        .as_ref()
        .map_or_else(|| "get limitranges -o yaml".to_owned(), |it| format!("describe limitrange {}", it.name));
    let mut steps = vec![look(
        scene.text("查看该 Namespace 的 LimitRange", "Read the namespace's LimitRange"),
        kubectl(namespace, &read),
    )];
    let own = edit_template(workload).map(|_| {
        let words = format!("set resources {} -c {} --limits={resource}=<VALUE>", slash(workload), given.view.name());
        kubectl(namespace, &words)
    });
    steps.push(change(
        scene.text(
            format!("在模板中给容器 {} 写明足够的 limits.{resource}：写明的值优先于默认值", given.view.name()),
            format!("Give container {} a sufficient limits.{resource} in the template: what is written there goes before a default", given.view.name()),
        ),
        "",
        own,
    ));
    if let Some(range) = range {
        steps.push(change(
            scene.text(
                format!("或者提高或去掉 {range} 中的默认值 {resource} {limit}，然后重建 Pod"),
                format!("Or raise or drop the default of {resource} {limit} in {range}, then make the Pods anew"),
            ),
            scene.text("已创建的 Pod 不会随之改变", "Pods keep the limit they were made with"),
            Some(kubectl(namespace, &format!("edit limitrange {}", range.name))),
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, deployment, ended, patched, pod, unready};
    use crate::report::Confidence;

    const REFUSED: &str =
        "Liveness probe failed: Get \"http://10.0.0.1:8080/live\": dial tcp 10.0.0.1:8080: connect: connection refused";

    fn limited(limits: Value) -> Value {
        let probe = json!({"httpGet": {"path": "/live", "port": 8080}, "initialDelaySeconds": 60});
        container(json!({"livenessProbe": probe, "resources": {"limits": limits}}))
    }

    fn range(made: &str, cpu: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "defaults", "namespace": "shop", "creationTimestamp": made},
            "spec": {"limits": [{"type": "Container", "default": {"cpu": cpu, "memory": "64Mi"}}]}})
    }

    fn made(name: &str, at: &str, note: Value, limits: Value) -> Value {
        json!({"metadata": {"name": name, "creationTimestamp": at, "annotations": {"kubernetes.io/limit-ranger": note}},
            "spec": {"containers": [limited(limits)]}})
    }

    fn note() -> Value {
        json!("LimitRanger plugin set: cpu, memory request for container web; cpu, memory limit for container web")
    }

    /// A Pod that a LimitRange limits and that fails in some way, beside one that was made before.
    fn world(reason: &str, note: Value, former: Value, range: Value) -> World {
        let running = json!({"running": {"startedAt": "2026-11-23T02:59:10Z"}});
        let given = json!({"cpu": "100m", "memory": "64Mi"});
        let failing = patched(
            unready(running, ended(137, reason, "2026-11-23T02:59:00Z"), 7),
            made("web-2-a", "2026-11-23T02:30:00Z", note, given),
        );
        World::asking("Deployment", "web")
            .with(deployment(1, 1))
            .with(pod(made("web-1-a", "2026-11-20T02:00:00Z", json!(""), former)))
            .with(pod(failing))
            .with(range)
            .log("web-2-a", "INFO starting")
    }

    fn slow(note: Value, former: Value, range: Value) -> World {
        world("Error", note, former, range).event("Pod", "web-2-a", "Unhealthy", REFUSED).event(
            "Pod",
            "web-2-a",
            "Killing",
            "Container web failed liveness probe, will be restarted",
        )
    }

    const LATELY: &str = "2026-11-23T02:00:00Z";
    const EVER: &str = "2026-01-23T02:00:00Z";

    #[test]
    fn a_default_younger_than_the_pods_that_run_without_it_is_blamed_for_a_slow_start() {
        let told = slow(note(), json!({"memory": "1Gi"}), range(LATELY, "100m"));
        assert_eq!(told.cause(), "limit_range_default_too_low LimitRange/defaults");
        let diagnosis = told.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
        assert!(
            diagnosis.headline.contains("100m") && diagnosis.headline.contains("web-1-a"),
            "{}",
            diagnosis.headline
        );
    }

    #[test]
    fn an_old_limit_range_leaves_it_to_the_workload() {
        let told = slow(note(), json!({}), range(EVER, "100m"));
        assert_eq!(told.cause(), "limit_range_default_too_low Deployment/web");
        assert!(told.diagnosis().headline.contains("LimitRange shop/defaults"), "{}", told.diagnosis().headline);
        let another = slow(note(), json!({}), range(LATELY, "2"));
        assert_eq!(another.cause(), "limit_range_default_too_low Deployment/web", "its default is another");
    }

    #[test]
    fn a_limit_of_the_template_and_one_that_the_others_have_too_are_not_to_blame() {
        let codes = |world: World| world.codes().contains(&"limit_range_default_too_low");
        assert!(!codes(slow(json!(""), json!({}), range(LATELY, "100m"))), "the template's own");
        assert!(!codes(slow(note(), json!({"cpu": "100m"}), range(LATELY, "100m"))), "it starts elsewhere under it");
        let request = json!("LimitRanger plugin set: cpu request for container web");
        assert!(!codes(slow(request, json!({}), range(LATELY, "100m"))));
        assert!(!codes(slow(note(), json!({}), range(LATELY, "100m")).log("web-2-a", "ERROR cannot load the model")));
    }

    #[test]
    fn a_version_that_was_told_otherwise_proves_nothing() {
        let beside = slow(note(), json!({"cpu": "100m"}), range(LATELY, "100m"));
        let probe = json!({"httpGet": {"path": "/live", "port": 8080}, "initialDelaySeconds": 600});
        let patient = container(json!({"livenessProbe": probe, "resources": {"limits": {}}}));
        let other = patched(
            made("web-1-b", "2026-11-20T02:00:00Z", json!(""), json!({})),
            json!({"spec": {"containers": [patient]}}),
        );
        assert!(!beside.with(pod(other)).codes().contains(&"limit_range_default_too_low"), "its probe waited longer");
    }

    #[test]
    fn memory_that_runs_out_at_a_default_blames_it_too() {
        let told = world("OOMKilled", note(), json!({}), range(LATELY, "100m"));
        assert_eq!(told.cause(), "limit_range_default_too_low LimitRange/defaults");
        assert!(told.diagnosis().headline.contains("64Mi"));
        let same = world("OOMKilled", note(), json!({"memory": "64Mi"}), range(LATELY, "100m"));
        assert_eq!(same.cause(), "oom_killed_limit_too_low Deployment/web");
    }

    #[test]
    fn a_container_that_is_throttled_hears_who_limits_it() {
        let pod = pod(made("web-1-a", "2026-11-20T02:00:00Z", note(), json!({"cpu": "100m"})));
        let asked =
            |alert: &str| World::asking("Pod", "web-1-a").alert(alert).with(pod.clone()).with(range(EVER, "100m"));
        assert_eq!(asked("CPUThrottlingHigh").cause(), "limit_range_default_too_low Deployment/web");
        asked("KubePodNotReady").is_calm();
    }
}
