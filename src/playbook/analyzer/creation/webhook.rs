//! Pods an admission webhook keeps out: it denies them, or it cannot be asked.

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};

use super::{Refusal, spec_fault};
use crate::alert::ObjectRef;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::{Scene, named};

static WEBHOOK: Pattern = Pattern::new(r#"failed calling webhook "([\w.-]+)""#);

static WEBHOOK_URL: Pattern = Pattern::new(r"https://([a-z0-9-]+)\.([a-z0-9-]+)\.svc");

/// A webhook's refusal, or a ValidatingAdmissionPolicy's.
static DENIED: Pattern =
    Pattern::new(r#"(?:admission webhook "|ValidatingAdmissionPolicy ')([\w.-]+)["'].*?denied (?:the )?request: (.+)"#);

pub(super) fn down(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = WEBHOOK.groups(&refusal.message)?;
    let hook = &found[1];
    let service = WEBHOOK_URL.groups(&refusal.message).map(|url| ObjectRef::new("Service", &url[2], &url[1]));
    let config = configuration(scene, hook);
    let blame = config.clone().or_else(|| service.clone()).unwrap_or_else(|| refusal.workload.clone());
    let service_name =
        service.as_ref().map_or_else(|| hook.to_owned(), |service| format!("{}/{}", service.namespace, service.name));
    let why = trouble(scene, &refusal.message);
    let workload = &refusal.workload;
    let headline = scene.text(
        format!(
            "{workload} 无法创建 Pod：准入 webhook 不可用，{} 调用 Service {service_name} 失败（{why}）",
            blame.name
        ),
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
    Some(finding.steps(steps(scene, config.as_ref())))
}

fn trouble(scene: &Scene<'_>, message: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["not found"]) {
        return scene.text("不存在（not found）", "service not found");
    }
    if has(&["no endpoints available"]) {
        return scene.text("没有可用的 endpoints", "no endpoints available");
    }
    if has(&["certificate has expired"]) {
        return scene
            .text("服务端证书已过期或尚未生效（x509）", "its certificate has expired or is not valid yet (x509)");
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

fn steps(scene: &Scene<'_>, config: Option<&ObjectRef>) -> Vec<crate::report::Step> {
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

fn configuration(scene: &Scene<'_>, hook: &str) -> Option<ObjectRef> {
    let validating = scene.facts.all::<ValidatingWebhookConfiguration>();
    let found = validating.iter().find(|it| it.object.webhooks.iter().flatten().any(|known| known.name == hook));
    if let Some(found) = found {
        return Some(named(&found.object));
    }
    let mutating = scene.facts.all::<MutatingWebhookConfiguration>();
    let found = mutating.iter().find(|it| it.object.webhooks.iter().flatten().any(|known| known.name == hook));
    found.map(|found| named(&found.object))
}

pub(super) fn denies(scene: &Scene<'_>, refusal: &Refusal) -> Option<Finding> {
    let found = DENIED.groups(&refusal.message)?;
    let said = logs::shorten(&found[2], 160);
    let workload = &refusal.workload;
    let headline = scene.text(
        format!("{workload} 无法创建 Pod：被准入策略 {} 拒绝：{said}", &found[1]),
        format!("{workload} cannot create Pods: admission policy {} denies them: {said}", &found[1]),
    );
    Some(spec_fault(scene, "admission_denied", refusal, headline))
}
