//! Readiness gates: a Pod whose containers are ready, and that waits for somebody else to say so too.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};
use crate::report::{Confidence, Step};

/// Minutes that whoever opens a gate may take: a load balancer registers and checks a target first.
const OPENING: i64 = 3;
/// The fewest letters of a word by which a controller's name and a gate are seen to belong together.
const WORD: usize = 3;
/// The longest reason that is repeated, in characters.
const SAID: usize = 160;
/// Words of gates and of controllers that say nothing of whose they are.
const COMMON: [&str; 14] = [
    "ready",
    "readiness",
    "gate",
    "health",
    "target",
    "registered",
    "controller",
    "manager",
    "operator",
    "internal",
    "local",
    "com",
    "k8s",
    "kubernetes",
];
/// Words in the names of workloads that set conditions of other Pods.
const KEEPERS: [&str; 6] = ["controller", "operator", "manager", "agent", "registrar", "webhook"];
/// Controllers whose gates do not bear their name: a part of the gate's type, and what the workload is called.
const KNOWN: [(&str, &str); 3] = [
    ("elbv2.k8s.aws", "aws-load-balancer-controller"),
    ("alb.ingress.k8s.aws", "alb-ingress-controller"),
    ("service.alibabacloud.com", "cloud-controller-manager"),
];

/// Findings about Pods that wait for a readiness gate alone.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| waits(scene, pod)).collect()
}

/// The gates of a Pod that nobody has opened, where its containers are all ready.
#[must_use]
pub fn shut(pod: &Pod) -> Vec<String> {
    let is = |kind: &str| pods::condition(pod, kind).is_some_and(|it| it.status == "True");
    if !is("ContainersReady") || is("Ready") || pods::is_leaving(pod) {
        return Vec::new();
    }
    let gates = pod.spec.iter().flat_map(|spec| spec.readiness_gates.iter().flatten());
    gates.map(|gate| gate.condition_type.clone()).filter(|kind| !is(kind)).collect()
}

/// How well a workload's name suits a gate, the best first; `None` where nothing of it does.
#[must_use]
pub fn likeness(workload: &str, gate: &str) -> Option<usize> {
    if KNOWN.iter().any(|(part, name)| gate.contains(part) && workload.contains(name)) {
        return Some(0);
    }
    let words = |text: &str| -> Vec<String> {
        let parts = text.split(|letter: char| !letter.is_ascii_alphanumeric());
        let telling = parts.filter(|part| part.len() >= WORD && !COMMON.contains(part));
        telling.map(str::to_ascii_lowercase).collect()
    };
    // A domain is a company's, and so is many a workload.
    let kind = gate.split_once('/').map_or(gate, |(_, kind)| kind);
    let keeps = KEEPERS.iter().any(|word| workload.contains(word));
    let shares = words(kind).iter().any(|word| words(workload).contains(word));
    (keeps && shares).then_some(1)
}

/// Who opens a gate, and how that is known.
struct Opener<'s> {
    found: &'s Seen<Deployment>,
    /// Its containers are told the gate's type; otherwise only its name suits.
    is_told: bool,
    /// No other is told it.
    is_sole: bool,
}

/// What somebody wrote who keeps a gate shut.
struct Verdict {
    reason: String,
    message: String,
}

impl Verdict {
    /// `None` where the Pod has no such condition, or where it gives no reason.
    fn of(pod: &Pod, gate: &str) -> Option<Self> {
        let condition = pods::condition(pod, gate).filter(|it| it.status == "False")?;
        let (reason, message) = (condition.reason.clone(), condition.message.clone());
        let told = Self { reason: reason.unwrap_or_default(), message: message.unwrap_or_default() };
        (!told.reason.is_empty() || !told.message.is_empty()).then_some(told)
    }

    fn said(&self) -> String {
        let parts = [self.reason.as_str(), self.message.as_str()];
        let parts = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        logs::shorten(&parts.join(": "), SAID)
    }
}

fn waits(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let gate = shut(&pod.object).into_iter().next()?;
    let ready = pods::condition(&pod.object, "ContainersReady").and_then(|it| it.last_transition_time.as_ref());
    if scene.minutes_since(ready).is_some_and(|minutes| minutes < OPENING) {
        return None;
    }
    let opener = opener(scene, &gate);
    if let Some(verdict) = Verdict::of(&pod.object, &gate) {
        return Some(refused(scene, pod, &gate, (&verdict, opener.as_ref())));
    }
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let who = opener.as_ref().filter(|opener| !works(&opener.found.object));
    let blame = who.map_or_else(|| workload.clone(), |opener| named(&opener.found.object));
    let headline = scene.text(
        format!(
            "{workload} 的容器都已就绪，但 Pod 不会 Ready：readinessGate {gate} 没有被打开{}",
            told(scene, opener.as_ref())
        ),
        format!(
            "{workload}: the containers are ready, but the Pod is not: nobody has opened its readiness gate {gate}{}",
            told(scene, opener.as_ref())
        ),
    );
    let sure = who.is_some_and(|opener| opener.is_sole);
    let finding = Finding::new("readiness_gate_not_opened", Depth::Root, &name, &blame, headline)
        .summary(summary(scene, pod, &gate, opener.as_ref()))
        .confidence(if sure { Confidence::High } else { Confidence::Medium })
        .cite([
            scene.quote(&pod.reference, "reason: ReadinessGatesNotReady"),
            scene.quote(&pod.reference, &format!("conditionType: {gate}")),
        ])
        .cite(opener.iter().flat_map(|opener| proof(scene, opener, &gate)))
        .touches([workload])
        .ruled_out(
            scene.text("新版本的程序有问题", "a fault of the version"),
            scene.text(
                "它的容器都通过了自己的探针（ContainersReady）",
                "its containers pass their own probes (ContainersReady)",
            ),
        )
        .steps(steps(scene, &name, opener.as_ref()));
    Some(if who.is_some() {
        finding
    } else {
        finding.unresolved(scene.text(
            format!("谁负责设置 Pod 的 condition {gate}，它为什么没有设置？"),
            format!("Who sets the Pod's condition {gate}, and why did it not?"),
        ))
    })
}

/// A gate whose keeper looked, and keeps it shut for a reason: the version may well be at fault. A keeper that runs no more
/// does not look again.
fn refused(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    gate: &str,
    (verdict, opener): (&Verdict, Option<&Opener<'_>>),
) -> Finding {
    let (name, workload, said) = (named(&pod.object), scene.workload(&pod.object), verdict.said());
    let gone = opener.filter(|opener| opener.is_sole && !works(&opener.found.object));
    let blame = gone.map_or_else(|| workload.clone(), |opener| named(&opener.found.object));
    let end = told(scene, gone);
    let headline = scene.text(
        format!("{workload} 的容器都已就绪，但 Pod 不会 Ready：readinessGate {gate} 被置为 False（{said}）{end}"),
        format!("{workload}: the containers are ready, but the Pod is not: its readiness gate {gate} is kept False ({said}){end}"),
    );
    Finding::new("readiness_gate_not_opened", Depth::Root, &name, &blame, headline.clone())
        .summary(scene.text(
            format!("{headline}。{name} 自己的探针都通过了，但设置该 condition 的一方认为它不可用。"),
            format!("{headline}. {name} passes its own probes, yet whoever sets the condition finds it unfit."),
        ))
        .confidence(Confidence::Medium)
        .cite([
            scene.quote_any(&pod.reference, &[&verdict.message, &format!("reason: {}", verdict.reason)]),
            scene.quote(&pod.reference, &format!("conditionType: {gate}")),
        ])
        .cite(gone.iter().flat_map(|opener| proof(scene, opener, gate)))
        .touches([workload.clone()])
        .unresolved(scene.text(
            format!("是 {workload} 的程序或配置不满足 {gate} 的检查，还是检查本身设置有误？"),
            format!("Does {workload} not meet what {gate} checks, or is the check set up wrongly?"),
        ))
        .steps([
            look(
                scene.text("查看 Pod 的 condition 与 readinessGates", "Read the Pod's conditions and readiness gates"),
                kubectl(&name.namespace, &format!("describe pod {}", name.name)),
            ),
            look(
                scene.text(
                    "在 Pod 的日志中查找该检查得到的应答",
                    "Look in the Pod's log for what the check was answered",
                ),
                kubectl(&name.namespace, &format!("logs {} --all-containers --tail=100", name.name)),
            ),
        ])
}

/// The Deployment that is told the gate's type, or else the one whose name suits it best.
fn opener<'s>(scene: &'s Scene<'_>, gate: &str) -> Option<Opener<'s>> {
    let told = || scene.deployments.iter().filter(|it| template(&it.object).is_some_and(|spec| is_told(spec, gate)));
    // Of several that are told, one that runs is the likelier: another may be of an environment that sleeps.
    if let Some(found) = told().find(|it| works(&it.object)).or_else(|| told().next()) {
        return Some(Opener { found, is_told: true, is_sole: told().count() == 1 });
    }
    let named_so =
        scene.deployments.iter().filter_map(|it| Some((likeness(it.object.metadata.name.as_deref()?, gate)?, it)));
    // What waits at the gate itself does not open it.
    let others = named_so.filter(|(_, it)| template(&it.object).is_some_and(|spec| spec.readiness_gates.is_none()));
    others.min_by_key(|(rank, it)| (*rank, works(&it.object))).map(|(_, found)| Opener {
        found,
        is_told: false,
        is_sole: false,
    })
}

fn template(deployment: &Deployment) -> Option<&PodSpec> {
    deployment.spec.as_ref()?.template.spec.as_ref()
}

/// Whether a container is started with the gate's type: among its arguments or its variables.
fn is_told(spec: &PodSpec, gate: &str) -> bool {
    spec.containers.iter().any(|container| {
        let words = container.args.iter().chain(&container.command).flatten();
        let values = container.env.iter().flatten().filter_map(|variable| variable.value.as_ref());
        words.chain(values).any(|word| word.contains(gate))
    })
}

fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn works(deployment: &Deployment) -> bool {
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    wanted(deployment) > 0 && ready > 0
}

/// Who should have opened the gate and its state, as the end of a sentence.
fn told(scene: &Scene<'_>, opener: Option<&Opener<'_>>) -> String {
    let Some(opener) = opener else { return String::new() };
    let (name, count) = (named(&opener.found.object), wanted(&opener.found.object));
    let (by_zh, by_en) = if opener.is_told { ("", "") } else { ("（按名称推断）", " (by its name)") };
    if works(&opener.found.object) {
        return scene
            .text(format!("；设置它的 {name}{by_zh}在运行"), format!("; {name}, which sets it{by_en}, is running"));
    }
    if count == 0 {
        return scene.text(
            format!("；设置它的 {name}{by_zh}副本数为 0"),
            format!("; {name}, which sets it{by_en}, is scaled to 0 replicas"),
        );
    }
    scene.text(
        format!("；设置它的 {name}{by_zh}没有就绪的 Pod（期望 {count}）"),
        format!("; {name}, which sets it{by_en}, has no ready Pod ({count} wanted)"),
    )
}

fn summary(scene: &Scene<'_>, pod: &Seen<Pod>, gate: &str, opener: Option<&Opener<'_>>) -> String {
    let (name, end) = (named(&pod.object), told(scene, opener));
    let before = opened(scene, pod, gate).map_or_else(String::new, |(sibling, since)| {
        scene.text(
            format!("同一工作负载较早的 {sibling} 在 {since} 通过了它。"),
            format!(" It was opened for {sibling} of the same workload at {since}."),
        )
    });
    scene.text(
        format!("{name} 的 ContainersReady 为 True、Ready 为 False（ReadinessGatesNotReady），等待 condition {gate}{end}。{before}"),
        format!("{name} has ContainersReady True and Ready False (ReadinessGatesNotReady): it waits for condition {gate}{end}.{before}"),
    )
}

/// The Pod of the same workload for which the gate was opened last, and when.
fn opened(scene: &Scene<'_>, pod: &Seen<Pod>, gate: &str) -> Option<(ObjectRef, String)> {
    let siblings = scene.pods_of(&scene.workload(&pod.object)).into_iter();
    let opened = siblings.filter_map(|sibling| {
        let condition = pods::condition(&sibling.object, gate).filter(|it| it.status == "True")?;
        Some((condition.last_transition_time.as_ref()?.0, named(&sibling.object)))
    });
    opened.max().map(|(since, sibling)| (sibling, since.to_string()))
}

fn proof(scene: &Scene<'_>, opener: &Opener<'_>, gate: &str) -> Vec<Option<crate::report::Citation>> {
    let reference = &opener.found.reference;
    let idle = wanted(&opener.found.object) == 0;
    vec![
        scene.quote(reference, "replicas: 0").filter(|_| idle),
        scene.quote_line(reference, &[gate]).filter(|_| opener.is_told),
        scene.quote(reference, &format!("name: {}", named(&opener.found.object).name)),
    ]
}

fn steps(scene: &Scene<'_>, pod: &ObjectRef, opener: Option<&Opener<'_>>) -> Vec<Step> {
    let mut steps = vec![look(
        scene.text("查看 Pod 的 condition 与 readinessGates", "Read the Pod's conditions and readiness gates"),
        kubectl(&pod.namespace, &format!("describe pod {}", pod.name)),
    )];
    let Some(opener) = opener else {
        steps.push(look(
            scene.text("查找负责设置该 condition 的控制器", "Find the controller that sets the condition"),
            "kubectl get deployments -A",
        ));
        return steps;
    };
    let name = named(&opener.found.object);
    steps.push(look(
        scene.text("查看设置它的控制器，以及为何如此", "Look at the controller that sets it, and why it is so"),
        kubectl(&name.namespace, &format!("describe {}", slash(&name))),
    ));
    if wanted(&opener.found.object) == 0 {
        steps.push(change(
            scene.text(format!("恢复 {name} 的副本"), format!("Scale {name} up again")),
            scene.text(
                "先确认它不是有意停用；它运行后会打开等待中的 gate，无需回滚或重建 Pod",
                "First see that it was not stopped on purpose; once it runs it opens the gates that wait, without any Pod made anew",
            ),
            Some(kubectl(&name.namespace, &format!("scale {} --replicas=1", slash(&name)))),
        ));
    } else if works(&opener.found.object) {
        steps.push(look(
            scene.text("查看它的日志", "Read its log"),
            kubectl(&name.namespace, &format!("logs {} --tail=100", slash(&name))),
        ));
    }
    steps
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::likeness;
    use crate::playbook::world::{World, deployment, patched, pod};
    use crate::report::Confidence;

    const GATE: &str = "net.example.com/lb-attached";

    fn gated(gate_open: bool, since: &str) -> Value {
        let state = if gate_open { "True" } else { "False" };
        let mut conditions = vec![
            json!({"type": "PodScheduled", "status": "True"}),
            json!({"type": "ContainersReady", "status": "True", "lastTransitionTime": since}),
            json!({"type": "Ready", "status": state, "reason": "ReadinessGatesNotReady",
                "message": format!("corresponding condition of pod readiness gate \"{GATE}\" does not exist.")}),
        ];
        if gate_open {
            conditions.push(json!({"type": GATE, "status": "True", "lastTransitionTime": since}));
        }
        pod(json!({"spec": {"readinessGates": [{"conditionType": GATE}]}, "status": {"conditions": conditions}}))
    }

    fn controller(name: &str, replicas: i32, args: Value) -> Value {
        let containers = json!([{"name": "c", "image": "reg/c:1", "args": args}]);
        patched(
            deployment(replicas, replicas),
            json!({"metadata": {"name": name, "namespace": "lb"}, "spec": {"template": {"spec": {"containers": containers}}}}),
        )
    }

    #[test]
    fn a_gate_whose_controller_is_scaled_to_nothing_is_blamed_on_it() {
        let world = World::asking("Pod", "web-1-a").with(gated(false, "2026-11-23T02:10:00Z")).with(controller(
            "attacher",
            0,
            json!([format!("--gate={GATE}")]),
        ));
        assert_eq!(world.cause(), "readiness_gate_not_opened Deployment/attacher");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
        assert!(diagnosis.headline.contains("scaled to 0") && diagnosis.headline.contains(GATE));
        assert!(!diagnosis.steps.iter().any(|step| step.command.as_deref().is_some_and(|it| it.contains("undo"))));
    }

    #[test]
    fn one_that_only_bears_a_like_name_is_less_sure_and_one_that_runs_is_not_blamed() {
        let world = |replicas: i32| {
            World::asking("Pod", "web-1-a").with(gated(false, "2026-11-23T02:10:00Z")).with(controller(
                "lb-attached-agent",
                replicas,
                json!([]),
            ))
        };
        assert_eq!(world(0).cause(), "readiness_gate_not_opened Deployment/lb-attached-agent");
        assert_eq!(world(0).diagnosis().causes[0].confidence, Confidence::Medium);
        assert_eq!(world(1).cause(), "readiness_gate_not_opened Deployment/web");
        assert!(world(1).diagnosis().unresolved.iter().any(|question| question.contains(GATE)));
    }

    #[test]
    fn of_two_that_are_told_the_one_that_runs_is_meant_and_nobody_is_sure() {
        let told = || json!([format!("--gate={GATE}")]);
        let world = |other: i32| {
            World::asking("Pod", "web-1-a")
                .with(gated(false, "2026-11-23T02:10:00Z"))
                .with(controller("attacher-staging", 0, told()))
                .with(controller("attacher", other, told()))
        };
        assert_eq!(world(1).cause(), "readiness_gate_not_opened Deployment/web");
        assert!(world(1).diagnosis().headline.contains("Deployment lb/attacher, which sets it, is running"));
        assert_eq!(world(0).diagnosis().causes[0].confidence, Confidence::Medium);
    }

    #[test]
    fn what_the_keeper_of_a_gate_says_is_repeated_and_clears_no_version() {
        let mut shut = gated(false, "2026-11-23T02:10:00Z");
        let says = json!({"type": GATE, "status": "False", "reason": "HealthCheckFailed", "message": "target answers 500 on /healthz"});
        shut["status"]["conditions"].as_array_mut().unwrap().push(says);
        let world = World::asking("Pod", "web-1-a").with(shut).with(controller(
            "attacher",
            1,
            json!([format!("--gate={GATE}")]),
        ));
        assert_eq!(world.cause(), "readiness_gate_not_opened Deployment/web");
        let diagnosis = world.diagnosis();
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium);
        assert!(diagnosis.headline.contains("HealthCheckFailed: target answers 500 on /healthz"));
        assert!(!diagnosis.headline.contains("nobody"), "{}", diagnosis.headline);
        assert!(!diagnosis.ruled_out.iter().any(|it| it.hypothesis.contains("version")), "{:?}", diagnosis.ruled_out);
    }

    #[test]
    fn a_gate_that_is_open_or_opens_just_now_is_quiet() {
        World::asking("Pod", "web-1-a").with(gated(true, "2026-11-23T02:10:00Z")).is_calm();
        let fresh = World::asking("Pod", "web-1-a").with(gated(false, "2026-11-23T02:59:00Z"));
        assert!(!fresh.codes().contains(&"readiness_gate_not_opened"));
    }

    #[test]
    fn containers_that_are_not_ready_are_another_story() {
        let unready = json!([{"type": "ContainersReady", "status": "False"}, {"type": "Ready", "status": "False"}]);
        let waits = patched(gated(false, "2026-11-23T02:10:00Z"), json!({"status": {"conditions": unready}}));
        assert!(!World::asking("Pod", "web-1-a").with(waits).codes().contains(&"readiness_gate_not_opened"));
    }

    #[test]
    fn controllers_are_known_by_the_words_of_the_gate() {
        assert_eq!(likeness("clb-controller", "networking.lab.internal/clb-registered"), Some(1));
        assert_eq!(likeness("aws-load-balancer-controller", "target-health.elbv2.k8s.aws/k8s-web"), Some(0));
        assert_eq!(likeness("coredns", "networking.lab.internal/clb-registered"), None);
        assert_eq!(likeness("ingress-controller", "networking.lab.internal/clb-ready"), None);
        assert_eq!(likeness("clb-console", "networking.lab.internal/clb-ready"), None, "an application");
    }
}
