//! What is said of a policy that keeps two Pods apart: whom it leaves out, and what to change.

use k8s_openapi::api::core::v1::Pod;

use super::Way;
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{kubectl, look};
use crate::playbook::logs;
use crate::playbook::reach::{self, Call};
use crate::playbook::scene::Scene;
use crate::report::Step;

/// What the rules of a policy at the called side leave out.
pub(super) fn inward(
    scene: &Scene<'_>,
    caller: &Seen<Pod>,
    call: &Call<'_>,
    (name, workload, allowed): (&ObjectRef, &ObjectRef, &str),
) -> String {
    let (labels, said) = (own_labels(&caller.object), logs::said(call.line));
    let (zh, en) =
        if labels.is_empty() { Default::default() } else { (format!("（{labels}）"), format!(" ({labels})")) };
    scene.text(
        format!("{name} 的 ingress 规则只允许 {allowed}，不包括 {workload} 的 Pod{zh}；日志显示访问失败：{said}。"),
        format!("The ingress rules of {name} allow {allowed}, which leaves out the Pods of {workload}{en}; the log shows the failing call: {said}."),
    )
}

/// What the rules of a policy at the caller's side leave out.
pub(super) fn outward(
    scene: &Scene<'_>,
    call: &Call<'_>,
    (name, workload, allowed): (&ObjectRef, &ObjectRef, &str),
    service: &ObjectRef,
) -> String {
    let (port, said) = (reach::port_of(call), logs::said(call.line));
    let (zh, en) = port.map_or_else(Default::default, |it| (format!("（端口 {it}）"), format!(" (port {it})")));
    scene.text(
        format!("{name} 的 egress 规则只允许 {workload} 访问 {allowed}，不包括 {service}{zh}；日志显示访问失败：{said}。"),
        format!("The egress rules of {name} let {workload} out to {allowed}, which leaves out {service}{en}; the log shows the failing call: {said}."),
    )
}

/// Reads the labels that the policy's rules would have to name.
pub(super) fn labels_of(scene: &Scene<'_>, way: Way, workload: &ObjectRef, service: &ObjectRef) -> Step {
    let (zh, en, of) = match way {
        Way::In => ("查看调用方 Pod 的标签", "Read the caller's labels", workload),
        Way::Out => ("查看被访问的 Pod 的标签", "Read the labels of the Pods that are called", service),
    };
    look(scene.text(zh, en), kubectl(&of.namespace, "get pods --show-labels"))
}

/// What to change in the policy.
pub(super) fn remedy(
    scene: &Scene<'_>,
    way: Way,
    (name, workload, service): (&ObjectRef, &ObjectRef, &ObjectRef),
) -> String {
    let name = &name.name;
    match way {
        Way::In => scene.text(
            format!("在 {name} 中放行 {workload}，或给它的 Pod 加上被允许的标签"),
            format!("Allow {workload} in {name}, or give its Pods a label that is allowed"),
        ),
        Way::Out => scene.text(
            format!("在 {name} 的 egress 规则中放行 {service} 的 Pod 及其端口"),
            format!("Allow the Pods and the port of {service} in the egress rules of {name}"),
        ),
    }
}

fn own_labels(pod: &Pod) -> String {
    let labels = pod.metadata.labels.iter().flatten();
    let own = labels.filter(|(key, _)| !key.contains("hash") && !key.contains('/'));
    own.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}
