//! Pods that are never created: quota, admission webhook, Pod Security, ServiceAccount and the other gates.

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};

use crate::alert::ObjectRef;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::{Scene, named};
use crate::report::Citation;

static QUOTA: Pattern =
    Pattern::new(r"exceeded quota: ([\w.-]+), requested: (.+?), used: (.+?), limited: ([^\s;]+(?:,[^\s;]+)*)");
static QUOTA_DEMANDS: Pattern = Pattern::new(r"failed quota: ([\w.-]+): must specify (.+)");
static WEBHOOK: Pattern = Pattern::new(r#"failed calling webhook "([\w.-]+)""#);
static WEBHOOK_URL: Pattern = Pattern::new(r"https://([a-z0-9-]+)\.([a-z0-9-]+)\.svc");
static DENIED: Pattern = Pattern::new(r#"admission webhook "([\w.-]+)" denied the request"#);
static POD_SECURITY: Pattern = Pattern::new(r#"violates PodSecurity "([\w:.-]+)": (.+)"#);
static SERVICE_ACCOUNT: Pattern = Pattern::new(r#"serviceaccount "([a-z0-9.-]+)" not found"#);
static PRIORITY: Pattern = Pattern::new(r"no PriorityClass with name ([a-z0-9.-]+) was found");
static LIMIT: Pattern = Pattern::new(r"((?:maximum|minimum) [\w./-]+ usage per (?:Container|Pod) is [^.;,]+)");

/// A refusal to create Pods, in the words of the API server.
struct Refusal {
    about: ObjectRef,
    workload: ObjectRef,
    message: String,
    proof: Vec<Option<Citation>>,
    count: i64,
}

/// Findings about workloads whose Pods the API server refuses now.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    refusals(scene).iter().map(|refusal| explain(scene, refusal)).collect()
}

fn explain(scene: &Scene<'_>, refusal: &Refusal) -> Finding {
    let kinds: [fn(&Scene<'_>, &Refusal) -> Option<Finding>; 8] = [
        quota,
        quota_demands,
        webhook_down,
        webhook_denies,
        pod_security,
        service_account,
        priority_class,
        limit_range,
    ];
    let finding = kinds.iter().find_map(|kind| kind(scene, refusal)).unwrap_or_else(|| other(scene, refusal));
    finding.cite(refusal.proof.iter().cloned()).touches([refusal.workload.clone()])
}

/// Workloads that want more Pods than they have, and what the API server last answered.
fn refusals(scene: &Scene<'_>) -> Vec<Refusal> {
    let sets = scene.replica_sets.iter().filter_map(|set| {
        let status = set.object.status.as_ref()?;
        let wanted = set.object.spec.as_ref()?.replicas.unwrap_or(1);
        let conditions = status.conditions.as_deref().unwrap_or(&[]);
        let failed =
            conditions.iter().find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True");
        let name = named(&set.object);
        let workload = scene.owner(&set.object.metadata).unwrap_or_else(|| name.clone());
        (status.replicas < wanted)
            .then(|| refusal(scene, name, workload, &set.reference, failed.and_then(|it| it.message.clone())))?
    });
    let stateful = scene.stateful_sets.iter().filter_map(|set| {
        let wanted = set.object.spec.as_ref()?.replicas.unwrap_or(1);
        let name = named(&set.object);
        (set.object.status.as_ref()?.replicas < wanted)
            .then(|| refusal(scene, name.clone(), name, &set.reference, None))?
    });
    let daemons = scene.daemon_sets.iter().filter_map(|set| {
        let status = set.object.status.as_ref()?;
        let name = named(&set.object);
        (status.current_number_scheduled < status.desired_number_scheduled)
            .then(|| refusal(scene, name.clone(), name, &set.reference, None))?
    });
    let jobs = scene.jobs.iter().filter_map(|job| {
        let status = job.object.status.as_ref()?;
        let idle =
            status.active.unwrap_or(0) == 0 && status.succeeded.unwrap_or(0) == 0 && status.failed.unwrap_or(0) == 0;
        let name = named(&job.object);
        idle.then(|| refusal(scene, name.clone(), name, &job.reference, None))?
    });
    let found: Vec<Refusal> = sets.chain(stateful).chain(daemons).chain(jobs).collect();
    if !found.is_empty() {
        return found;
    }
    // ReplicaSets may not have been read one by one; their Deployment repeats what they were told.
    scene
        .deployments
        .iter()
        .filter_map(|deployment| {
            let status = deployment.object.status.as_ref()?;
            let failed =
                status.conditions.iter().flatten().find(|it| it.type_ == "ReplicaFailure" && it.status == "True")?;
            let name = named(&deployment.object);
            refusal(scene, name.clone(), name, &deployment.reference, failed.message.clone())
        })
        .collect()
}

fn refusal(
    scene: &Scene<'_>,
    about: ObjectRef,
    workload: ObjectRef,
    reference: &str,
    condition: Option<String>,
) -> Option<Refusal> {
    let events = scene.events(&about, &["FailedCreate"]);
    let event = events.iter().max_by_key(|event| event.last_seen);
    let told = event
        .map(|event| event.message.split_once("Error creating: ").map_or(event.message.as_str(), |(_, rest)| rest));
    let message = told.map(str::to_owned).or_else(|| condition.clone())?;
    // The Pod's random name differs from try to try; what follows it is the reason.
    let reason = message.split_once(" is forbidden: ").map_or(message.as_str(), |(_, rest)| rest).to_owned();
    let mut proof = vec![event.and_then(|event| scene.quote(&event.reference, &reason))];
    if condition.is_some() {
        proof.push(scene.quote(reference, &reason));
    }
    Some(Refusal { about, workload, count: events.iter().map(|event| event.count).sum(), message, proof })
}

fn quota(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = QUOTA.groups(&refusal.message)?;
    let quota = ObjectRef::new("ResourceQuota", &refusal.workload.namespace, &found[1]);
    let (requested, used, limited) = (&found[2], &found[3], &found[4]);
    let resources: Vec<&str> = limited.split(',').filter_map(|pair| pair.split('=').next()).collect();
    let resources = resources.join(", ");
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建新的 Pod：ResourceQuota {} 的 {resources} 已用尽（used {used}，limit {limited}）", quota.name),
        format!("{workload} cannot create Pods: ResourceQuota {} is exhausted for {resources} (used {used}, limit {limited})", quota.name),
    );
    let summary = scene.text(
        format!(
            "{quota} 限制 {limited}，已用 {used}，再申请 {requested} 被拒绝（exceeded quota），已被拒 {} 次。",
            refusal.count.max(1)
        ),
        format!(
            "{quota} allows {limited}, {used} is used, and {requested} more was refused (exceeded quota) {} times.",
            refusal.count.max(1)
        ),
    );
    let seen = scene.facts.get::<ResourceQuota>(&quota.namespace, &quota.name);
    let hard = seen.as_ref().and_then(|seen| {
        let (name, value) = limited.split(',').next()?.split_once('=')?;
        scene.quote_any(
            &seen.reference,
            &[&format!("{name}: \"{value}\""), &format!("{name}: {value}"), &format!("{name}: '{value}'")],
        )
    });
    Some(
        Finding::new("quota_exceeded", Depth::Root, &refusal.about, &quota, headline)
            .summary(summary)
            .cite([hard])
            .steps([
                look(
                    scene.text("查看配额用量", "See what the quota allows and uses"),
                    kubectl(&quota.namespace, &format!("describe resourcequota {}", quota.name)),
                ),
                look(
                    scene.text("查看哪些 Pod 占用配额", "See which Pods use it"),
                    kubectl(&quota.namespace, "get pods"),
                ),
                change(
                    scene.text(
                        format!("提高 {} 的 {resources}，或减少副本", quota.name),
                        format!("Raise {resources} of {}, or run fewer replicas", quota.name),
                    ),
                    scene.text(
                        "调整后 ReplicaSet 会自动补齐副本",
                        "The ReplicaSet then creates the missing Pods by itself",
                    ),
                    Some(kubectl(&quota.namespace, &format!("edit resourcequota {}", quota.name))),
                ),
            ]),
    )
}

fn quota_demands(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = QUOTA_DEMANDS.groups(&refusal.message)?;
    let (quota, demands) =
        (ObjectRef::new("ResourceQuota", &refusal.workload.namespace, &found[1]), logs::shorten(&found[2], 120));
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：ResourceQuota {} 要求声明 {demands}，而 Pod 没有声明", quota.name),
        format!(
            "{workload} cannot create Pods: ResourceQuota {} demands {demands}, which its Pods do not set",
            quota.name
        ),
    );
    Some(spec_fault(scene, "quota_requires_resources", refusal, headline).touches([quota]))
}

fn webhook_down(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = WEBHOOK.groups(&refusal.message)?;
    let hook = &found[1];
    let service = WEBHOOK_URL.groups(&refusal.message).map(|url| ObjectRef::new("Service", &url[2], &url[1]));
    let config = webhook_configuration(scene, hook);
    let blame = config.clone().or_else(|| service.clone()).unwrap_or_else(|| refusal.workload.clone());
    let service_name =
        service.as_ref().map_or_else(|| hook.to_owned(), |service| format!("{}/{}", service.namespace, service.name));
    let why = webhook_trouble(scene, &refusal.message);
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：准入 webhook 不可用，{} 调用 Service {service_name} 失败（{why}）", blame.name),
        format!(
            "{workload} cannot create Pods: admission webhook {} cannot reach Service {service_name} ({why})",
            blame.name
        ),
    );
    let summary = scene.text(
        format!("{blame} 中的 webhook {hook} 设为失败即拒绝（failurePolicy Fail），而它的后端 Service {service_name} {why}，因此匹配的 Pod 全部无法创建。"),
        format!("Webhook {hook} of {blame} refuses what it cannot check (failurePolicy Fail), and its Service {service_name} cannot answer ({why}), so no matching Pod can be created."),
    );
    let mut finding =
        Finding::new("admission_webhook_unavailable", Depth::Root, &refusal.about, &blame, headline).summary(summary);
    if let Some((reference, _)) =
        config.as_ref().and_then(|config| scene.facts.raw(config)).map(|(_, reference)| (reference, ()))
    {
        finding = finding.cite([scene.quote(reference, "failurePolicy: Fail")]);
    }
    if let Some(service) = service {
        let state = if scene.facts.is_missing(&service) {
            scene.text("不存在", "does not exist")
        } else {
            logs::shorten(&why, 120)
        };
        finding = finding
            .related(service.clone(), scene.text("webhook 的后端 Service", "the Service behind the webhook"), state)
            .steps([look(
                scene.text("检查 webhook 的后端", "Check what stands behind the webhook"),
                kubectl(&service.namespace, "get svc,endpoints,pods"),
            )]);
    }
    Some(finding.steps(webhook_steps(scene, config.as_ref())))
}

fn webhook_trouble(scene: &Scene<'_>, message: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["not found"]) {
        return scene.text("不存在（not found）", "service not found");
    }
    if has(&["no endpoints available"]) {
        return scene.text("没有可用的 endpoints", "no endpoints available");
    }
    if has(&["x509", "certificate"]) {
        return scene.text("证书校验失败（x509）", "its certificate is not trusted (x509)");
    }
    if has(&["deadline exceeded", "timeout", "timed out"]) {
        return scene.text("调用超时", "the call times out");
    }
    if has(&["connection refused"]) {
        return scene.text("连接被拒绝（connection refused）", "connection refused");
    }
    logs::shorten(message.rsplit(": ").next().unwrap_or_default(), 100)
}

fn webhook_steps(scene: &Scene<'_>, config: Option<&ObjectRef>) -> Vec<crate::report::Step> {
    let mut steps = vec![change(
        scene.text("恢复 webhook 的后端服务", "Bring back the service behind the webhook"),
        scene.text("恢复后控制器会自动重试创建 Pod", "Controllers then create the Pods by themselves"),
        None,
    )];
    if let Some(config) = config {
        let kind = config.kind.to_lowercase();
        steps.insert(
            0,
            look(
                scene.text("查看 webhook 配置", "Read the webhook's configuration"),
                format!("kubectl get {kind} {} -o yaml", config.name),
            ),
        );
        steps.push(change(
            scene.text(
                "若策略允许，临时把 failurePolicy 改为 Ignore",
                "If your policy allows it, set failurePolicy to Ignore for now",
            ),
            scene.text("这会跳过该检查，后端恢复后要改回 Fail", "This skips the check; set it back to Fail afterwards"),
            Some(format!("kubectl edit {kind} {}", config.name)),
        ));
    }
    steps
}

fn webhook_configuration(scene: &Scene<'_>, hook: &str) -> Option<ObjectRef> {
    let validating = scene.facts.all::<ValidatingWebhookConfiguration>();
    let found = validating.iter().find(|it| it.object.webhooks.iter().flatten().any(|known| known.name == hook));
    if let Some(found) = found {
        return Some(named(&found.object));
    }
    let mutating = scene.facts.all::<MutatingWebhookConfiguration>();
    let found = mutating.iter().find(|it| it.object.webhooks.iter().flatten().any(|known| known.name == hook));
    found.map(|found| named(&found.object))
}

fn webhook_denies(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = DENIED.groups(&refusal.message)?;
    let said = logs::shorten(refusal.message.split_once("denied the request: ").map_or("", |(_, rest)| rest), 160);
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：被准入策略 {} 拒绝：{said}", &found[1]),
        format!("{workload} cannot create Pods: admission policy {} denies them: {said}", &found[1]),
    );
    Some(spec_fault(scene, "admission_denied", refusal, headline))
}

fn pod_security(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = POD_SECURITY.groups(&refusal.message)?;
    let (level, rules) = (found[1].to_owned(), logs::shorten(&found[2], 180));
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：违反 Namespace {} 的 PodSecurity \"{level}\"：{rules}", workload.namespace),
        format!(
            "{workload} cannot create Pods: they violate PodSecurity \"{level}\" of Namespace {}: {rules}",
            workload.namespace
        ),
    );
    let namespace = ObjectRef::new("Namespace", "", &workload.namespace);
    Some(spec_fault(scene, "pod_security_violation", refusal, headline).related(
        namespace,
        scene.text("PodSecurity 由该 Namespace 的标签决定", "its labels set PodSecurity"),
        format!("enforce {level}"),
    ))
}

fn service_account(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = SERVICE_ACCOUNT.groups(&refusal.message)?;
    let account = ObjectRef::new("ServiceAccount", &refusal.workload.namespace, &found[1]);
    let hint = super::claim::near_hint(scene, &scene.near_misses(&account));
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：ServiceAccount {} 不存在（not found）{hint}", account.name),
        format!("{workload} cannot create Pods: ServiceAccount {} does not exist (not found){hint}", account.name),
    );
    Some(Finding::new("service_account_missing", Depth::Root, &refusal.about, &account, headline).steps([
        look(
            scene.text("查看 Namespace 中的 ServiceAccount", "List the ServiceAccounts"),
            kubectl(&account.namespace, "get serviceaccount"),
        ),
        change(
            scene.text("创建该 ServiceAccount，或修正 serviceAccountName", "Create it, or correct serviceAccountName"),
            scene.text("记得同时绑定它需要的 Role", "Bind the Roles it needs as well"),
            Some(kubectl(&account.namespace, &format!("create serviceaccount {}", account.name))),
        ),
    ]))
}

fn priority_class(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = PRIORITY.groups(&refusal.message)?;
    let class = ObjectRef::new("PriorityClass", "", &found[1]);
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：PriorityClass {} 不存在", class.name),
        format!("{workload} cannot create Pods: PriorityClass {} does not exist", class.name),
    );
    Some(Finding::new("priority_class_missing", Depth::Root, &refusal.about, &class, headline).steps([
        look(scene.text("查看 PriorityClass", "List the PriorityClasses"), "kubectl get priorityclass"),
        change(
            scene.text("创建该 PriorityClass，或修正 priorityClassName", "Create it, or correct priorityClassName"),
            "",
            None,
        ),
    ]))
}

fn limit_range(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = LIMIT.groups(&refusal.message)?;
    let rule = logs::shorten(&found[1], 160);
    let ranges = scene.facts.all::<LimitRange>();
    let mut local =
        ranges.iter().map(|range| named(&range.object)).filter(|range| range.namespace == refusal.workload.namespace);
    let range = local.next().filter(|_| local.next().is_none());
    let workload = &refusal.workload;
    let name = range.as_ref().map_or_else(|| "LimitRange".to_owned(), |range| format!("LimitRange {}", range.name));
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：超出 {name} 的限制：{rule}"),
        format!("{workload} cannot create Pods: they break {name}: {rule}"),
    );
    let mut finding = spec_fault(scene, "limit_range_violation", refusal, headline);
    finding.blame = range.unwrap_or(finding.blame);
    Some(finding)
}

fn other(scene: &Scene<'_>, refusal: &Refusal) -> Finding {
    let said = logs::said(&refusal.message);
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 Pod（FailedCreate）：{said}"),
        format!("{workload} cannot create Pods (FailedCreate): {said}"),
    );
    spec_fault(scene, "pod_creation_refused", refusal, headline)
}

/// The workload asks for what the cluster's rules do not allow.
fn spec_fault(scene: &Scene<'_>, code: &'static str, refusal: &Refusal, headline: String) -> Finding {
    let workload = &refusal.workload;
    Finding::new(code, Depth::Root, &refusal.about, workload, headline).steps([
        look(
            scene.text("查看被拒绝的原因", "Read why it is refused"),
            kubectl(&refusal.about.namespace, &format!("describe {}", slash(&refusal.about))),
        ),
        change(
            scene.text(
                "按拒绝原因修正工作负载的 Pod 模板，或由管理员调整规则",
                "Correct the workload's Pod template as the refusal says, or have the rule changed",
            ),
            logs::said(&refusal.message),
            Some(kubectl(&workload.namespace, &format!("edit {}", slash(workload)))),
        ),
    ])
}
