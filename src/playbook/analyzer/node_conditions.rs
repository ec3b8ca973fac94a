//! Conditions that add-ons such as the node-problem-detector set on Nodes: what they tell is named as a lead, and made a cause
//! only where the Pods on that Node alone complain of the same thing. So far that is the clock.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};

use crate::alert::ObjectRef;
use crate::playbook::complaint;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;
use crate::report::{Confidence, Step};
use crate::times;

/// Conditions that kubelets and cloud controllers set themselves; `node` judges them.
const STANDARD: [&str; 5] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable"];

/// Minutes for which a condition holds that nobody has confirmed since: whoever set it may be gone.
const CONFIRMED: i64 = 60;

/// Nodes named in one report.
const LEADS: usize = 2;

/// Names of conditions that are bad when true: those of the node-problem-detector, and what others call alike.
static PROBLEM: Pattern = Pattern::new(
    r"(?i)(?:problem|pressure|deadlock|unhealthy|restarts?|failures?|failed|errors?|faults?|down|unavailable|shutdown|stuck|hung|lost|degraded|unregisternetdevice|outofsync|skew(?:ed)?)$|^(?:frequent|corrupt|readonly|broken)",
);
/// Words of a condition that is about a Node's clock.
static CLOCK: Pattern = Pattern::new(r"(?i)\bntp|ntp(?:problem|isdown)|\bclock|chrony|time ?sync|timesync|\btime is\b");
/// Words by which applications say that two clocks differ: of tokens, certificates, signed requests, tickets.
static SKEW: Pattern = Pattern::new(
    r"(?i)used before (?:it was )?issued|before (?:its|it was) issued|(?:not|isn't) (?:yet )?(?:valid|active) yet|not yet (?:valid|active|current)|not valid (?:before|until)|issued in the future|\biat\b.{0,40}future|\bnbf\b.{0,40}(?:future|not|before)|(?:clock|time)[ _-]?(?:skew|drift)|too ?skewed|KRB5KRB_AP_ERR_SKEW|signature not yet current|timestamps? .{0,30}in the future|clocks? (?:is|are|may be) (?:off|behind|ahead|out of)",
);

/// What add-ons say is wrong with a Node.
#[must_use]
pub fn odd(node: &Node) -> Vec<&NodeCondition> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or(&[]);
    let bad = |it: &&NodeCondition| {
        let own = STANDARD.contains(&it.type_.as_str());
        let unready = it.type_.ends_with("Ready") && it.status == "False";
        !own && (unready || (it.status == "True" && PROBLEM.hits(&it.type_)))
    };
    conditions.iter().filter(bad).collect()
}

/// The odd conditions of the Nodes on which the Pods in question run: leads, told where nothing else was found.
#[must_use]
pub fn leads(scene: &Scene<'_>, scope: &Scope) -> Vec<String> {
    let mut told: BTreeMap<String, String> = BTreeMap::new();
    for pod in scope.pods(scene) {
        let Some(node) = pods::node_name(&pod.object).and_then(|name| scene.node(name)) else { continue };
        let (name, pod) = (named(&node.object).name, named(&pod.object).name);
        if let Some(condition) = odd(&node.object).first() {
            let said = in_words(scene, condition);
            let lead = scene.text(
                format!("Pod {pod} 所在的 Node {name} 报告 {said}；是线索，不是证据"),
                format!("Node {name}, on which Pod {pod} runs, reports {said}: a lead, not a proof"),
            );
            told.entry(name).or_insert(lead);
        }
    }
    told.into_values().take(LEADS).collect()
}

/// A condition with its message and since when.
fn in_words(scene: &Scene<'_>, condition: &NodeCondition) -> String {
    let message = logs::shorten(condition.message.as_deref().unwrap_or_default().trim_end_matches('.'), 120);
    let since = condition.last_transition_time.as_ref().map(|at| scene.facts.now.as_second() - at.0.as_second());
    let since = since.map(|seconds| times::duration(scene.lang, seconds));
    let since_zh = since.as_ref().map(|since| format!("，已持续 {since}")).unwrap_or_default();
    let since_en = since.map(|since| format!(", for {since}")).unwrap_or_default();
    let (kind, status) = (&condition.type_, &condition.status);
    scene.text(format!("{kind}={status}（{message}{since_zh}）"), format!("{kind}={status} ({message}{since_en})"))
}

/// Findings about Nodes whose clock is off, as an add-on and the Pods on them say.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.nodes.iter().filter_map(|node| astray(scene, node)).collect()
}

fn astray(scene: &Scene<'_>, node: &Seen<Node>) -> Option<Finding> {
    let about_clock = |it: &&NodeCondition| {
        [it.type_.as_str(), it.reason.as_deref().unwrap_or_default(), it.message.as_deref().unwrap_or_default()]
            .iter()
            .any(|words| CLOCK.hits(words))
    };
    let is_stale = |it: &NodeCondition| {
        scene.minutes_since(it.last_heartbeat_time.as_ref()).is_some_and(|minutes| minutes > CONFIRMED)
    };
    let condition = odd(&node.object).into_iter().filter(|it| !is_stale(it)).find(about_clock)?;
    let name = named(&node.object);
    let is_here = |pod: &&Seen<Pod>| pods::node_name(&pod.object) == Some(name.name.as_str());
    let (pod, (log, line, count)) =
        scene.pods.iter().filter(is_here).find_map(|pod| Some((pod, complains(scene, &pod.object)?)))?;
    let workload = scene.workload(&pod.object);
    let elsewhere: Vec<&Seen<Pod>> = scene.pods_of(&workload).into_iter().filter(|pod| !is_here(pod)).collect();
    // What Pods on other Nodes complain of as well is not this Node's clock.
    if elsewhere.iter().any(|pod| complains(scene, &pod.object).is_some()) {
        return None;
    }
    let heard = |pod: &&&Seen<Pod>| !reach::present_logs(scene, &pod.object).is_empty();
    let calm = elsewhere.iter().filter(heard).count();
    let (pod, said, told) = (named(&pod.object), logs::said(line), in_words(scene, condition));
    let headline = scene.text(
        format!("Node {} 的时钟不同步：{told}；只有该节点上的 {pod} 报错：{said}", name.name),
        format!("The clock of Node {} is off: {told}; only {pod}, which runs on it, complains: {said}", name.name),
    );
    let summary = scene.text(
        format!("{headline}（{count} 行）；{workload} 在其他节点上读到日志的 {calm} 个 Pod 没有这种报错。"),
        format!("{headline} ({count} lines); {calm} Pods of {workload} on other Nodes, whose logs were read, do not."),
    );
    let message = condition.message.as_deref().unwrap_or_default();
    let reason = format!("reason: {}", condition.reason.as_deref().unwrap_or_default());
    Some(
        Finding::new("node_clock_out_of_sync", Depth::Root, &pod, &name, headline)
            .summary(summary)
            // An add-on's word, and words that an issuer's clock would explain as well.
            .confidence(Confidence::Medium)
            .cite([
                scene.quote_any(&node.reference, &[message, &reason, &format!("type: {}", condition.type_)]),
                scene.quote(&log.reference, line),
            ])
            .touches([workload])
            .steps(steps(scene, &name)),
    )
}

/// The log of a Pod that says again and again that clocks differ.
fn complains<'a>(scene: &Scene<'a>, pod: &Pod) -> Option<(&'a SeenLog, &'a str, usize)> {
    let says = |line: &str| SKEW.hits(line) && (logs::is_error(line) || complaint::warns_of_an_error(line));
    reach::repeated(scene, pod, says)
}

fn steps(scene: &Scene<'_>, node: &ObjectRef) -> Vec<Step> {
    let name = &node.name;
    vec![
        look(
            scene.text("查看节点条件", "Read the Node's conditions"),
            format!("kubectl describe node {name}"),
        ),
        look(
            scene.text("列出该节点上的 Pod", "List the Pods on it"),
            format!("kubectl get pods -A -o wide --field-selector spec.nodeName={name}"),
        ),
        change(
            scene.text("先让该节点不再接收新的 Pod", "Let the Node take no new Pods meanwhile"),
            scene.text(
                "随后登录节点，用 timedatectl 与 chronyc tracking 核对时间，并恢复 chronyd 或 ntpd",
                "Then log in to it, compare its time by timedatectl and chronyc tracking, and start chronyd or ntpd again",
            ),
            Some(format!("kubectl cordon {name}")),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, deployment, node, patched, pod};
    use crate::report::Verdict;

    const SKEWED: &str =
        "{\"level\":\"WARN\",\"msg\":\"token rejected\",\"err\":\"token used before issued: iat=03:00 now=02:10\"}\n";

    fn with_condition(kind: &str, status: &str) -> Value {
        node(json!({"status": {"conditions": [{"type": "Ready", "status": "True"},
            {"type": kind, "status": status, "reason": "NTPIsDown", "message": "NTP service is not running"}]}}))
    }

    /// Two Pods of one workload on two Nodes, the first with this condition, and what the Pods log.
    fn world(condition: Value, here: &str, there: &str) -> World {
        let other = patched(node(json!({})), json!({"metadata": {"name": "n2"}}));
        let second = pod(json!({"metadata": {"name": "web-1-b"}, "spec": {"nodeName": "n2"}}));
        World::asking("Deployment", "web")
            .alert("HighErrorRate")
            .listed("Ingress")
            .with(deployment(2, 2))
            .with(condition)
            .with(other)
            .with(pod(json!({})))
            .with(second)
            .log("web-1-a", here)
            .log("web-1-b", there)
    }

    #[test]
    fn every_pattern_compiles() {
        assert!([&PROBLEM, &CLOCK, &SKEW].iter().all(|pattern| pattern.compiles()));
    }

    #[test]
    fn a_clock_that_is_off_explains_what_only_the_pods_on_its_node_complain_of() {
        let world = world(with_condition("NTPProblem", "True"), &SKEWED.repeat(5), "INFO ok\n");
        assert_eq!(world.cause(), "node_clock_out_of_sync Node/n1");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium);
        assert!(diagnosis.headline.contains("NTP service is not running"), "{}", diagnosis.headline);
    }

    #[test]
    fn what_pods_on_other_nodes_complain_of_as_well_is_not_this_nodes_clock() {
        let world = world(with_condition("NTPProblem", "True"), &SKEWED.repeat(5), &SKEWED.repeat(5));
        assert!(!world.codes().contains(&"node_clock_out_of_sync"));
        assert_eq!(world.diagnosis().verdict, Verdict::Inconclusive);
    }

    #[test]
    fn a_condition_that_nobody_confirms_any_more_blames_no_clock() {
        let beats = |at: &str| {
            let mut node = with_condition("NTPProblem", "True");
            node["status"]["conditions"][1]["lastHeartbeatTime"] = json!(at);
            world(node, &SKEWED.repeat(5), "INFO ok\n").codes().contains(&"node_clock_out_of_sync")
        };
        assert!(beats("2026-11-23T02:20:00Z") && !beats("2026-11-20T02:20:00Z"));
    }

    #[test]
    fn without_such_a_condition_or_such_words_no_clock_is_blamed() {
        let calm = world(with_condition("NTPProblem", "False"), &SKEWED.repeat(5), "INFO ok\n");
        assert!(!calm.codes().contains(&"node_clock_out_of_sync"));
        let other = "{\"level\":\"WARN\",\"msg\":\"rejected\",\"err\":\"bad signature\"}\n".repeat(5);
        let other = world(with_condition("NTPProblem", "True"), &other, "INFO ok\n");
        assert!(!other.codes().contains(&"node_clock_out_of_sync"));
        let told = other.diagnosis();
        assert!(told.primary.findings.iter().any(|it| it.contains("NTPProblem=True")), "{:?}", told.primary.findings);
        assert!(!told.ruled_out.iter().any(|it| it.hypothesis.contains("Node")), "{:?}", told.ruled_out);
    }

    #[test]
    fn a_condition_that_is_good_when_true_is_no_lead() {
        let node = |kind: &str, status: &str| serde_json::from_value(with_condition(kind, status)).unwrap();
        for (kind, status) in [("EtcdIsVoter", "True"), ("NTPProblem", "False"), ("NetworkingReady", "True")] {
            assert!(odd(&node(kind, status)).is_empty(), "{kind}={status}");
        }
        for (kind, status) in [("KernelDeadlock", "True"), ("ReadonlyFilesystem", "True"), ("NetworkingReady", "False")]
        {
            assert_eq!(odd(&node(kind, status)).len(), 1, "{kind}={status}");
        }
    }
}
