//! Pods the cluster's own rules keep out: quota, limits, Pod Security, accounts and priorities that do not exist.

use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota};

use super::{Refusal, spec_fault};
use crate::alert::ObjectRef;
use crate::playbook::analyzer::claim::{self, near_hint};
use crate::playbook::analyzer::leaving;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::{Scene, named};

static QUOTA: Pattern =
    Pattern::new(r"exceeded quota: ([\w.-]+), requested: (.+?), used: (.+?), limited: ([^\s;]+(?:,[^\s;]+)*)");
static QUOTA_DEMANDS: Pattern = Pattern::new(r"failed quota: ([\w.-]+): must specify (.+)");

static SERVICE_ACCOUNT: Pattern = Pattern::new(r#"serviceaccount "([a-z0-9.-]+)" not found"#);

static PRIORITY: Pattern = Pattern::new(r"no PriorityClass with name ([a-z0-9.-]+) was found");

static RUNTIME: Pattern = Pattern::new(r#"RuntimeClass "([a-z0-9.-]+)" not found"#);

static LIMIT: Pattern = Pattern::new(
    r"((?:maximum|minimum) [\w./-]+ usage per (?:Container|Pod|PersistentVolumeClaim) is [^.;,]+(?:, but [^.;,]+)?)",
);

static LEAVING: Pattern = Pattern::new(r"\bpvc ([a-z0-9.-]+) is being deleted\b");

/// The claim that a StatefulSet's controller waits to see gone.
#[must_use]
pub fn leaving_claim(message: &str) -> Option<String> {
    LEAVING.group(message, 1).map(|claim| claim.trim_end_matches('.').to_owned())
}

/// The Pod's claim is being deleted, and stays for as long as another Pod uses it.
pub(super) fn claim_leaving(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let claim = ObjectRef::new("PersistentVolumeClaim", &refusal.workload.namespace, leaving_claim(&refusal.message)?);
    let users = claim::consumers(scene, &claim);
    let held = users
        .first()
        .map(|pod| scene.text(format!("，而 {pod} 仍在使用它"), format!(", and {pod} still uses it")))
        .unwrap_or_default();
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：它的 PVC {} 正在删除（Terminating）{held}", claim.name),
        format!("{workload} cannot create its Pod: claim {} is being deleted (Terminating){held}", claim.name),
    );
    let seen = scene.facts.raw(&claim).map(|(_, reference)| reference.to_owned());
    Some(
        Finding::new("claim_being_deleted", Depth::Root, &refusal.about, &claim, headline)
            .cite([seen.and_then(|reference| scene.quote_line(&reference, &["deletionTimestamp"]))])
            .touches(users.clone())
            .unresolved(
                scene.text(format!("{claim} 的数据是否还需要？",), format!("Are the data of {claim} still needed?")),
            )
            .steps([
                look(
                    scene.text("查看哪些 Pod 在使用该 PVC（Used By）", "See which Pods use the claim (Used By)"),
                    kubectl(&claim.namespace, &format!("describe pvc {}", claim.name)),
                ),
                change(
                    scene.text(
                        "确认数据后，停掉仍在使用它的 Pod，让删除完成",
                        "When sure about the data, stop the Pod that uses it, so that the deletion ends",
                    ),
                    scene.text(
                        "之后控制器会创建新的 PVC 与 Pod；不要手工移除 finalizer",
                        "The controller then makes a new claim and Pod; do not take the finalizer away by hand",
                    ),
                    None,
                ),
            ]),
    )
}

/// How API servers before 1.26 refuse a claim that names no class; later ones take the newest default.
static DEFAULT_CLASSES: Pattern = Pattern::new(r"\b(\d+) default StorageClasses were found");

/// A claim of the workload names no StorageClass, and more than one calls itself the default.
pub(super) fn default_classes(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let count = &DEFAULT_CLASSES.groups(&refusal.message)?[1];
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 PVC：集群有 {count} 个默认 StorageClass，而 PVC 没有指定 storageClassName"),
        format!(
            "{workload} cannot create its claims: they name no StorageClass and {count} call themselves the default"
        ),
    );
    Some(Finding::new("storage_class_default_ambiguous", Depth::Root, &refusal.about, workload, headline).steps([
        look(scene.text("查看哪些是默认 StorageClass", "See which are the default"), "kubectl get storageclass"),
        change(
            scene.text(
                "只保留一个默认 StorageClass（去掉其余的 is-default-class 注解）",
                "Keep one default: take the is-default-class annotation off the others",
            ),
            scene.text("控制器会自动重试", "The controller tries again by itself"),
            None,
        ),
    ]))
}

/// The quota that refused something, by the API server's words.
#[must_use]
pub fn refusing_quota(message: &str) -> Option<String> {
    QUOTA.group(message, 1)
}

pub(super) fn quota(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
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
            "{quota} 限制 {limited}，已用 {used}，再申请 {requested} 被拒绝（exceeded quota）{}。",
            scene.times(refusal.count)
        ),
        format!(
            "{quota} allows {limited}, {used} is used, and {requested} more was refused (exceeded quota){}.",
            scene.times(refusal.count)
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
                        format!("调整后 {} 会自动补齐副本", refusal.about.kind),
                        format!("The {} then creates the missing Pods by itself", refusal.about.kind),
                    ),
                    Some(kubectl(&quota.namespace, &format!("edit resourcequota {}", quota.name))),
                ),
            ]),
    )
}

pub(super) fn quota_demands(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
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

/// Nothing can be created in a Namespace that is on its way out; whether it should go is for people to say.
pub(super) fn namespace_leaving(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    refusal.message.contains("is being terminated").then_some(())?;
    let workload = &refusal.workload;
    let namespace = ObjectRef::new("Namespace", "", &workload.namespace);
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：Namespace {} 正在删除（Terminating）", namespace.name),
        format!("{workload} cannot create Pods: Namespace {} is being deleted (Terminating)", namespace.name),
    );
    let finding = Finding::new("namespace_terminating", Depth::Root, &refusal.about, &namespace, headline);
    let read = scene.facts.get::<Namespace>("", &namespace.name);
    let held = read.as_ref().and_then(|read| leaving::held_by(&read.object)?.message.clone());
    let finding = match held {
        Some(said) => finding.related(
            namespace.clone(),
            scene.text("阻止删除完成的内容", "what keeps it from going"),
            logs::shorten(&said, 160),
        ),
        None => finding,
    };
    Some(
        finding
            .unresolved(scene.text(
                format!("Namespace {} 是有意删除的吗？{workload} 是否应当随之停用？", namespace.name),
                format!("Is Namespace {} deleted on purpose, and {workload} to go with it?", namespace.name),
            ))
            .steps([
                look(
                    scene.text("查看 Namespace 的删除状态", "Read how far the deletion is"),
                    format!("kubectl get namespace {} -o yaml", namespace.name),
                ),
                change(
                    scene.text(
                        "若是有意删除，停用该工作负载并静默告警；若是误删，删除完成后重建",
                        "If on purpose, retire the workload and silence the alert; if not, create both again once it is gone",
                    ),
                    scene.text("删除一旦开始便无法撤销", "A deletion that has begun cannot be undone"),
                    None,
                ),
            ]),
    )
}

pub(super) fn service_account(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = SERVICE_ACCOUNT.groups(&refusal.message)?;
    let account = ObjectRef::new("ServiceAccount", &refusal.workload.namespace, &found[1]);
    let hint = near_hint(scene, &scene.near_misses(&account));
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

pub(super) fn priority_class(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
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

pub(super) fn limit_range(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
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

/// The Pods name a RuntimeClass that is not there; of those there are one may be meant.
pub(super) fn runtime_class(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let class = ObjectRef::new("RuntimeClass", "", RUNTIME.group(&refusal.message, 1)?);
    let workload = &refusal.workload;
    let known = scene.facts.names().into_iter().filter(|it| it.kind == class.kind).map(|it| it.name);
    let (renamed, others): (Vec<String>, Vec<String>) = known.partition(|name| name.starts_with(&class.name));
    let near = if renamed.is_empty() { scene.near_misses(&class) } else { Vec::new() };
    let hint = renamed.first().map_or_else(
        || near_hint(scene, &near),
        |name| {
            scene.text(format!("；存在 {name}，可能已取代它"), format!("; {name} exists and may have taken its place"))
        },
    );
    let others: Vec<String> = others.into_iter().filter(|name| !near.contains(name)).collect();
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：RuntimeClass {} 不存在（not found）{hint}", class.name),
        format!("{workload} cannot create Pods: RuntimeClass {} does not exist (not found){hint}", class.name),
    );
    let summary = if others.is_empty() {
        headline.clone()
    } else {
        let others = others.join(", ");
        scene.text(format!("{headline}；集群中另有 {others}"), format!("{headline}; the cluster also has {others}"))
    };
    let finding = Finding::new("runtime_class_missing", Depth::Root, &refusal.about, workload, headline);
    Some(finding.summary(summary).steps([
        look(scene.text("查看现有的 RuntimeClass", "List the RuntimeClasses"), "kubectl get runtimeclass"),
        change(
            scene.text(
                "把 runtimeClassName 改为现有且提供同样隔离的 RuntimeClass，或恢复它",
                "Set runtimeClassName to one there is that isolates alike, or bring this one back",
            ),
            scene.text("不要为了启动而去掉 runtimeClassName", "Do not drop runtimeClassName only to have it start"),
            edit_template(workload),
        ),
    ]))
}
