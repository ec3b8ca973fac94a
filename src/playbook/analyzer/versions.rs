//! Nodes whose kubelets run different versions of Kubernetes, where an alert asks for that.

use k8s_openapi::api::core::v1::Node;

use crate::playbook::alerts;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, look};
use crate::playbook::scene::{Scene, named};

/// The finding for the Node that stands apart; gather aims at one Node of each version, that of the fewest Nodes first.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let asks = scene.question.alert_names.iter().any(|name| alerts::asks(name).contains(&"versions"));
    let aimed = scene.question.targets.iter().filter(|target| target.kind == "Node");
    let nodes: Vec<&Seen<Node>> = aimed.filter_map(|target| scene.node(&target.name)).filter(|_| asks).collect();
    apart(scene, &nodes).into_iter().collect()
}

fn apart(scene: &Scene<'_>, nodes: &[&Seen<Node>]) -> Option<Finding> {
    let (first, rest) = nodes.split_first()?;
    let own = version(&first.object)?;
    let others: Vec<(&&Seen<Node>, &str)> =
        rest.iter().filter_map(|node| Some((node, version(&node.object)?))).collect();
    if !others.iter().any(|(_, version)| minor(version) != minor(own)) {
        return None;
    }
    let name = named(&first.object);
    let shown = others.iter().map(|(node, version)| format!("{}: {version}", named(&node.object)));
    let shown = shown.collect::<Vec<_>>().join(", ");
    let headline = scene.text(
        format!("集群中的 kubelet 版本不一致：{name} 是 {own}，其他节点是另一个版本（{shown}）"),
        format!("The kubelets run different versions: {name} has {own}, others have another ({shown})"),
    );
    let said = |node: &Seen<Node>, version: &str| scene.quote(&node.reference, &format!("kubeletVersion: {version}"));
    let cited = others.iter().map(|(node, version)| said(node, version));
    Some(
        Finding::new("node_version_mismatch", Depth::Root, &name, &name, headline)
            .cite([said(first, own)].into_iter().chain(cited))
            .touches(others.iter().map(|(node, _)| named(&node.object)))
            .unresolved(scene.text(
                "集群是否正在升级？升级中出现该告警属正常，结束后应消失",
                "Is the cluster being upgraded? Then this is to be expected, and over when that is done",
            ))
            .steps([
                look(scene.text("查看各节点的版本", "See the version of each Node"), "kubectl get nodes -o wide"),
                look(scene.text("对比 API server 的版本", "Compare that of the API server"), "kubectl version"),
            ]),
    )
}

fn version(node: &Node) -> Option<&str> {
    let info = node.status.as_ref()?.node_info.as_ref()?;
    Some(info.kubelet_version.as_str()).filter(|version| !version.is_empty())
}

/// The part of a version that the alert compares: `v1.29` of `v1.29.1-eks-1`.
#[must_use]
pub fn minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::minor;
    use crate::playbook::world::{World, node};

    fn world(alert: &str, versions: [&str; 2]) -> World {
        let [first, second] = versions.map(|version| {
            json!({"status": {"nodeInfo": {"architecture": "", "bootID": "", "containerRuntimeVersion": "",
                "kernelVersion": "", "kubeProxyVersion": "", "kubeletVersion": version, "machineID": "",
                "operatingSystem": "", "osImage": "", "systemUUID": ""}}})
        });
        let second = crate::playbook::world::patched(second, json!({"metadata": {"name": "n2"}}));
        World::asking("Node", "n1").also("Node", "n2").alert(alert).with(node(first)).with(node(second))
    }

    #[test]
    fn the_versions_that_differ_are_told() {
        let world = world("KubeVersionMismatch", ["v1.29.1", "v1.32.2"]);
        assert_eq!(world.cause(), "node_version_mismatch Node/n1");
        let told = world.diagnosis().headline;
        assert!(told.contains("n1 has v1.29.1") && told.contains("n2: v1.32.2"), "{told}");
    }

    #[test]
    fn a_patch_more_is_no_other_version() {
        assert!(world("KubeVersionMismatch", ["v1.32.1", "v1.32.2"]).codes().is_empty());
        assert_eq!(minor("v1.29.1-eks-a18cd3a"), Some((1, 29)));
        assert_eq!(minor("unknown"), None);
    }

    #[test]
    fn an_alert_about_something_else_is_not_answered_with_versions() {
        assert!(world("KubeNodeNotReady", ["v1.29.1", "v1.32.2"]).codes().is_empty());
    }
}
