//! Missing: a Service that a failing call names and that does not exist.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::{claim, misconfigured};
use crate::playbook::awaited;
use crate::playbook::environment::{self, Variable};
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::renamed;
use crate::playbook::scene::{Scene, named};
use crate::report::{Confidence, Step};

/// What a call to a name that no Service bears comes from.
pub(super) fn no_such_service(scene: &Scene<'_>, pod: &Seen<Pod>, call: &Call<'_>) -> Option<Finding> {
    let name = named(&pod.object);
    let is_namespace = |name: &str| scene.facts.raw(&ObjectRef::new("Namespace", "", name)).is_some();
    let meant = reach::unresolved_service(&pod.object, call.line, is_namespace);
    let hosts = call.hosts.iter().filter(|host| !awaited::is_mere_word(&pod.object, call.line, host));
    let told = || hosts.clone().find_map(|host| reach::service_meant(&pod.object, host, is_namespace));
    let missing = meant.or_else(told).filter(|service| scene.facts.is_missing(service))?;
    let workload = scene.workload(&pod.object);
    let through = environment::naming(&pod.object, &missing.name);
    if let Some(finding) =
        through.as_ref().and_then(|variable| misconfigured::given_twice(scene, pod, call, &missing, variable))
    {
        return Some(finding);
    }
    let mut near = scene.near_misses(&missing);
    for akin in misconfigured::akin(scene, &missing) {
        if !near.contains(&akin) {
            near.push(akin);
        }
    }
    let misnamed = misconfigured::by_map(scene, pod, call, &missing, &near)
        .or_else(|| misconfigured::misspelt(scene, pod, call, &missing, &near));
    if misnamed.is_some() {
        return misnamed;
    }
    let namesake = namesake(scene, &missing).filter(|_| near.is_empty() && !is_meant(scene, &missing));
    let hint = match &namesake {
        Some(other) => {
            let (zh, en) = if missing.namespace == name.namespace {
                ("名称可能缺少 Namespace", "the name may lack its Namespace")
            } else {
                ("写的 Namespace 可能有误", "the Namespace in the name may be wrong")
            };
            scene.text(
                format!("；Namespace {} 中有同名的 Service，{zh}", other.namespace),
                format!("; Namespace {} has a Service of that name, so {en}", other.namespace),
            )
        }
        None => {
            let renamed = renamed::to(scene, &missing).filter(|_| near.is_empty());
            renamed.map_or_else(|| claim::near_hint(scene, &near), |service| renamed::hint(scene, &missing, &service))
        }
    };
    let giver = namesake.as_ref().and_then(|_| giver(scene, pod, &missing, &workload));
    let (blame, whence) = giver.unwrap_or_else(|| (missing.clone(), None));
    let hint = match &whence {
        Some(key) => scene.text(
            format!("（名称来自 {blame} 的 {key}）{hint}"),
            format!(" (the name comes from {key} in {blame}){hint}"),
        ),
        None => hint,
    };
    let headline = scene.text(
        format!("{workload} 依赖的 Service {}/{} 不存在，域名无法解析{hint}", missing.namespace, missing.name),
        format!(
            "{workload} calls Service {}/{}, which does not exist, so its name does not resolve{hint}",
            missing.namespace, missing.name
        ),
    );
    let summary = through.as_ref().map_or_else(
        || headline.clone(),
        |variable| {
            scene.text(
                format!("{headline}；该名称来自容器 {} 的环境变量 {}", variable.container, variable.name),
                format!(
                    "{headline}; the name comes from variable {} of container {}",
                    variable.name, variable.container
                ),
            )
        },
    );
    let (depth, confidence) = standing(pod, call, &missing, !near.is_empty());
    Some(
        Finding::new("dependency_service_missing", depth, &name, &blame, headline)
            .summary(summary)
            .confidence(confidence)
            .cite([scene.quote(&call.log.reference, call.line), scene.quote_line(&pod.reference, &[&missing.name])])
            .cite([scene.facts.absent(&missing).cloned()])
            .touches([workload.clone(), missing.clone()])
            .steps([look(
                scene.text("查看该 Namespace 中的 Service", "List the Services of that namespace"),
                kubectl(&missing.namespace, "get services"),
            )])
            .steps([match namesake {
                Some(other) => change(
                    scene.text(
                        format!("如果要访问的是它，把名称改为 {}.{}", other.name, other.namespace),
                        format!("If that one is meant, call {}.{}", other.name, other.namespace),
                    ),
                    "",
                    match &whence {
                        Some(_) => Some(kubectl(&blame.namespace, &format!("edit configmap {}", blame.name))),
                        None => edit_template(&workload),
                    },
                ),
                None => supply(scene, &missing, &workload, through.as_ref()),
            }]),
    )
}

/// Either the name is wrong, or the Service is yet to be made: only its owners know which.
fn supply(scene: &Scene<'_>, missing: &ObjectRef, workload: &ObjectRef, told: Option<&Variable<'_>>) -> Step {
    let (zh, en) = told.map_or_else(Default::default, |variable| {
        (format!("（变量 {}）", variable.name), format!(" (variable {})", variable.name))
    });
    change(
        scene.text(
            format!("如果名称写错了，在 {workload} 中改正{zh}；如果名称没错，创建 {missing}"),
            format!("Correct the name in {workload}{en} if it is wrong; create {missing} if it is right"),
        ),
        scene.text(
            "Service 的 selector 要与提供服务的 Pod 的标签一致；名称可解析后调用方会自行重试",
            "Its selector must match the labels of the Pods that serve it; callers try again by themselves once the name resolves",
        ),
        edit_template(workload),
    )
}

/// Whether a missing Service is the one that was meant, and gone: what it served is still there.
fn is_meant(scene: &Scene<'_>, missing: &ObjectRef) -> bool {
    let served = |it: &ObjectRef| it.name == missing.name && it.namespace == missing.namespace;
    let kinds = ["Deployment", "StatefulSet", "DaemonSet"];
    scene.pods.iter().any(|pod| served(&scene.workload(&pod.object)))
        || scene.facts.names().iter().any(|it| kinds.contains(&it.kind.as_str()) && served(it))
}

/// Who gives a Pod the name, where it is the name that is wrong: a ConfigMap, with the key, or the workload's own template.
fn giver(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    missing: &ObjectRef,
    workload: &ObjectRef,
) -> Option<(ObjectRef, Option<String>)> {
    let spelt = if missing.namespace == workload.namespace {
        missing.name.clone()
    } else {
        format!("{}.{}", missing.name, missing.namespace)
    };
    let map = misconfigured::told_by(scene, &pod.object, |text| environment::has_word(text, &spelt));
    let own = || environment::naming(&pod.object, &spelt).map(|_| (workload.clone(), None));
    map.map(|(map, key, _)| (map, Some(key))).or_else(own)
}

/// The Service of that name in another namespace, where there is one.
fn namesake(scene: &Scene<'_>, missing: &ObjectRef) -> Option<ObjectRef> {
    let alike = |other: &ObjectRef| {
        other.kind == "Service" && other.name == missing.name && other.namespace != missing.namespace
    };
    scene.facts.names().into_iter().find(alike)
}

/// How far a missing name carries: anybody may write one into a log. One that the Pod was told and that the line speaks of is
/// the cause; one that only the log says, or only the Pod was told, is likely the cause where it is a letter away from one that
/// exists, or where the process ended over it, else less.
fn standing(pod: &Seen<Pod>, call: &Call<'_>, missing: &ObjectRef, is_near: bool) -> (Depth, Confidence) {
    let is_told =
        environment::naming(&pod.object, &missing.name).is_some() || environment::commanded(&pod.object, &missing.name);
    let hosts = reach::hosts(call.line);
    let says = hosts
        .iter()
        .chain(&environment::spoken_of(&pod.object, call.line))
        .any(|host| host.split('.').any(|label| label == missing.name));
    let decides = call.log.lines.as_deref().is_ok_and(|text| logs::culprit(text) == Some(call.line));
    match (
        is_told && (says || call.failure == Failure::Awaited),
        is_near || decides || call.failure == Failure::Awaited,
    ) {
        // Sure is that it does not exist; whether it should, or another name was meant, is not.
        (true, _) | (false, true) => (Depth::Root, Confidence::Medium),
        (false, false) => (Depth::Mechanism, Confidence::Medium),
    }
}
