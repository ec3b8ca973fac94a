//! Elasticsearch and OpenSearch past the flood-stage watermark of their disk: they take no writes until there is room, and
//! all their Pods stay Ready.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::environment;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{logs, reach};
use crate::report::Confidence;

/// How a node says that it went read-only, and how it answers whoever writes to it then:
/// <https://www.elastic.co/docs/troubleshoot/elasticsearch/fix-watermark-errors>.
static FLOODED: Pattern =
    Pattern::new(r"(?i)flood[- ]stage (?:disk )?watermark|disk usage exceeded flood[- ]stage|read-only-allow-delete");

/// Whether a line tells of a flooded disk.
#[must_use]
pub fn tells_of_flood(line: &str) -> bool {
    FLOODED.hits(line)
}

/// Findings about search nodes whose own log says it.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| flooded(scene, pod)).collect()
}

fn flooded(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    // Clients repeat it as what a request came to: an error of theirs, or of their container.
    let own = |line: &str| FLOODED.hits(line) && line.contains("watermark") && line.contains(" exceeded on ");
    let (log, line, _) = reach::repeated(scene, &pod.object, own)?;
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let claims = pods::claims(&pod.object);
    let disk = claims
        .first()
        .map_or_else(String::new, |claim| scene.text(format!("（PVC {claim}）"), format!(" (claim {claim})")));
    let headline = scene.text(
        format!("{workload} 的磁盘{disk}超过 flood stage 水位，索引已变为只读，拒绝写入：{}", logs::said(line)),
        format!("{workload} is past its disk's flood-stage watermark{disk}, so its indices are read-only and refuse writes: {}", logs::said(line)),
    );
    let place = claims.iter().map(|claim| ObjectRef::new("PersistentVolumeClaim", &name.namespace, claim));
    Some(
        Finding::new("search_disk_flood_stage", Depth::Root, &name, &workload, headline)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&log.reference, line)])
            .touches(suffering(scene, pod))
            .touches(place)
            .steps([
                look(
                    scene.text("查看它的 PVC 与容量", "Look at its claims and their size"),
                    kubectl(&name.namespace, "get pvc"),
                ),
                change(
                    scene.text("删除过期索引，或扩容 PVC", "Delete indices nobody needs, or grow the claim"),
                    scene.text(
                        "用量回落到 high 水位以下后，新版本会自动解除只读；7.4 之前需手动清除 index.blocks.read_only_allow_delete",
                        "Below the high watermark the block is lifted by itself (before 7.4: reset index.blocks.read_only_allow_delete)",
                    ),
                    None,
                ),
            ]),
    )
}

/// The workloads whose logs repeat what it answers, and whose variables name a Service before it.
fn suffering(scene: &Scene<'_>, node: &Seen<Pod>) -> Vec<ObjectRef> {
    let before = |name: &ObjectRef| {
        let service = scene.service(&name.namespace, &name.name);
        service.is_some_and(|it| scene.backends(&it.object).iter().any(|pod| named(&pod.object) == named(&node.object)))
    };
    let calls = |pod: &Pod| {
        let namespace = pod.metadata.namespace.clone().unwrap_or_default();
        let hosts = environment::variables(pod).into_iter().filter_map(|variable| environment::host_in(variable.value));
        hosts.into_iter().any(|host| {
            let mut labels = host.split('.');
            let name = labels.next().unwrap_or_default().to_owned();
            before(&ObjectRef::new("Service", labels.next().unwrap_or(&namespace), name))
        })
    };
    let complains =
        |pod: &&Seen<Pod>| reach::repeated(scene, &pod.object, tells_of_flood).is_some() && calls(&pod.object);
    scene.current_pods().filter(complains).map(|pod| scene.workload(&pod.object)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::FLOODED;
    use crate::playbook::world::{World, container, patched, pod, service};

    const OWN: &str = "{\"log.level\":\"WARN\",\"message\":\"flood stage disk watermark [95%] exceeded on [x][es-0][/data] free: 2gb[4.4%], all indices on this node will be marked read-only\"}\n";
    const ANSWER: &str = "{\"level\":\"error\",\"msg\":\"bulk failed\",\"error\":\"cluster_block_exception: blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];\"}\n";

    fn client(own: &str, value: &str) -> World {
        let env = json!([{"name": "ES_URL", "value": value}]);
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "spec": {"containers": [container(json!({"env": env}))]}});
        World::asking("Pod", "cart-1-a")
            .with(patched(pod(json!({})), cart))
            .log("cart-1-a", &ANSWER.repeat(8))
            .with(service(json!({"app": "web"})))
            .with(pod(json!({})))
            .log("web-1-a", own)
    }

    #[test]
    fn the_node_whose_disk_is_full_is_blamed_and_not_its_client() {
        assert!(FLOODED.compiles());
        assert_eq!(client(&OWN.repeat(4), "http://web:9200").cause(), "search_disk_flood_stage Deployment/web");
    }

    #[test]
    fn one_that_is_below_its_watermark_again_stays_quiet() {
        let calm = format!("{OWN}{}", "INFO indexed a batch\n".repeat(30));
        assert!(!client(&calm, "http://web:9200").codes().contains(&"search_disk_flood_stage"));
        let low = OWN.replace("flood stage disk watermark [95%] exceeded on", "low disk watermark [85%] exceeded on");
        assert!(!client(&low.repeat(4), "http://web:9200").codes().contains(&"search_disk_flood_stage"));
    }

    #[test]
    fn without_its_own_words_or_a_client_that_calls_it_nobody_is() {
        assert_eq!(client("INFO started\n", "http://web:9200").cause(), "application_errors Deployment/cart");
        assert_eq!(client(&OWN.repeat(4), "http://other:9200").cause(), "application_errors Deployment/cart");
    }
}
