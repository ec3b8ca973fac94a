//! Pods an admission webhook keeps out: it denies them, or it cannot be asked.

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};

use super::{Refusal, spec_fault};
use crate::alert::ObjectRef;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Step};

static WEBHOOK: Pattern = Pattern::new(r#"failed calling webhook "([\w.-]+)""#);

static WEBHOOK_URL: Pattern = Pattern::new(r"https://([a-z0-9-]+)\.([a-z0-9-]+)\.svc");

/// When a certificate ends or begins to be valid, as Go says it.
static VALIDITY: Pattern =
    Pattern::new(r"x509: certificate has expired or is not yet valid: current time \S+ is (after|before) ([\dTZ:+-]+)");

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
    let (headline, summary) = words(scene, refusal, &blame, hook, (&service_name, &why));
    let mut finding =
        Finding::new("admission_webhook_unavailable", Depth::Root, &refusal.about, &blame, headline).summary(summary);
    if let Some((reference, _)) =
        config.as_ref().and_then(|config| scene.facts.raw(config)).map(|(_, reference)| (reference, ()))
    {
        finding = finding.cite([scene.quote(reference, "failurePolicy: Fail")]);
    }
    if let Some(service) = &service {
        let state = if scene.facts.is_missing(service) {
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
    let repair = if answers_untrusted(&refusal.message) {
        let secrets = service.iter().flat_map(|service| certificates(scene, service)).collect::<Vec<_>>();
        finding = finding.cite(secrets.iter().map(|(_, proof)| proof.clone()));
        renew(scene, &refusal.message, &secrets)
    } else {
        change(
            scene.text("恢复 webhook 的后端服务", "Bring back the service behind the webhook"),
            scene.text("恢复后控制器会自动重试创建 Pod", "Controllers then create the Pods by themselves"),
            None,
        )
    };
    Some(finding.steps(steps(scene, config.as_ref(), repair)))
}

/// Whether the API server refuses because a webhook could not be asked.
pub(super) fn is_unasked(message: &str) -> bool {
    WEBHOOK.hits(message)
}

/// Whether the webhook was reached, and its certificate rejected.
fn answers_untrusted(message: &str) -> bool {
    message.contains("x509: ") || message.contains("failed to verify certificate")
}

/// The Service of a webhook whose certificate is not accepted: the Pods behind it show where that comes from.
#[must_use]
pub fn untrusted_service(message: &str) -> Option<ObjectRef> {
    let url = WEBHOOK_URL.groups(message).filter(|_| is_unasked(message) && answers_untrusted(message))?;
    Some(ObjectRef::new("Service", &url[2], &url[1]))
}

/// Headline and summary of a webhook that is not reached, or not trusted.
fn words(
    scene: &Scene<'_>,
    refusal: &Refusal,
    blame: &ObjectRef,
    hook: &str,
    (service, why): (&str, &str),
) -> (String, String) {
    let (workload, name) = (&refusal.workload, &blame.name);
    let untrusted = answers_untrusted(&refusal.message);
    let (head_zh, head_en, state_zh, state_en) = if untrusted {
        (
            format!("准入 webhook 不可用，{name} 的 Service {service} 可以访问，但 API server 不接受其证书（{why}）"),
            format!(
                "the API server does not accept the certificate of Service {service} behind admission webhook {name} ({why})"
            ),
            format!("可以访问，但 API server 不接受它（{why}）"),
            format!("is reached but not accepted ({why})"),
        )
    } else {
        (
            format!("准入 webhook 不可用，{name} 调用 Service {service} 失败（{why}）"),
            format!("admission webhook {name} cannot reach Service {service} ({why})"),
            why.to_owned(),
            format!("cannot answer ({why})"),
        )
    };
    let headline =
        scene.text(format!("{workload} 无法创建 Pod：{head_zh}"), format!("{workload} cannot create Pods: {head_en}"));
    let summary = scene.text(
        format!("{blame} 中的 webhook {hook} 设为失败即拒绝（failurePolicy Fail），而它的后端 Service {service} {state_zh}，因此匹配的 Pod 全部无法创建。"),
        format!("Webhook {hook} of {blame} refuses what it cannot check (failurePolicy Fail), and its Service {service} {state_en}, so no matching Pod can be created."),
    );
    (headline, summary)
}

/// The Secrets that the Pods behind a webhook's Service mount, which hold its certificate as a rule; none is read.
fn certificates(scene: &Scene<'_>, service: &ObjectRef) -> Vec<(String, Option<Citation>)> {
    const NAMED: usize = 2;
    let found = scene.service(&service.namespace, &service.name);
    let Some(pod) = found.and_then(|found| scene.backends(&found.object).into_iter().next()) else { return Vec::new() };
    let volumes = pod.object.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let secrets = volumes.filter_map(|volume| volume.secret.as_ref()?.secret_name.clone());
    let cited = |name: String| {
        let proof = scene.quote(&pod.reference, &format!("secretName: {name}"));
        (name, proof)
    };
    secrets.take(NAMED).map(cited).collect()
}

/// What is done about a certificate that is not accepted.
fn renew(scene: &Scene<'_>, message: &str, secrets: &[(String, Option<Citation>)]) -> Step {
    let names: Vec<&str> = secrets.iter().map(|(name, _)| name.as_str()).collect();
    let (where_zh, where_en) = if names.is_empty() {
        (String::new(), String::new())
    } else {
        (
            format!("（其 Pod 挂载 Secret {}）", names.join("、")),
            format!(" (its Pods mount Secret {})", names.join(", ")),
        )
    };
    let title = if message.contains("certificate has expired") {
        scene.text(
            format!("更换 webhook 的服务端证书{where_zh}"),
            format!("Renew the serving certificate of the webhook{where_en}"),
        )
    } else {
        scene.text(
            format!("让 webhook 的服务端证书{where_zh}与其配置中的 caBundle 及 Service 名称一致"),
            format!("Make the serving certificate of the webhook{where_en} agree with the caBundle of its configuration and the Service's name"),
        )
    };
    change(
        title,
        scene.text(
            "Secret 从不读取，请有权限的人核对有效期；签发者变化时要同时更新 caBundle，webhook 不会自动重新加载证书时要重启它",
            "Secrets are never read here: have its dates checked by somebody who may. Where the issuer changed, update caBundle too, and restart a webhook that does not load it again by itself",
        ),
        None,
    )
}

fn trouble(scene: &Scene<'_>, message: &str) -> String {
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["not found"]) {
        return scene.text("不存在（not found）", "service not found");
    }
    if has(&["no endpoints available"]) {
        return scene.text("没有可用的 endpoints", "no endpoints available");
    }
    if let Some(found) = VALIDITY.groups(message) {
        let time = found[2].to_owned();
        return match &found[1] {
            "after" => scene.text(
                format!("服务端证书已过期：有效期至 {time}（x509）"),
                format!("its certificate has expired, it was valid until {time} (x509)"),
            ),
            _ => scene.text(
                format!("服务端证书尚未生效：{time} 起有效（x509）"),
                format!("its certificate is not valid before {time} (x509)"),
            ),
        };
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

fn steps(scene: &Scene<'_>, config: Option<&ObjectRef>, repair: Step) -> Vec<Step> {
    let mut steps = vec![repair];
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
