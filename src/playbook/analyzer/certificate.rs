//! cert-manager's Certificates that are not ready or have expired. The Secrets behind them are never read.

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::Ingress;
use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::scene::{Scene, named};

/// Findings about Certificates.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let certificates = scene.facts.raw_all("Certificate");
    certificates.filter_map(|(name, value, reference)| broken(scene, name, value, reference)).collect()
}

/// The `Ready` condition of a custom resource that is not true.
fn not_ready(value: &Value) -> Option<&Value> {
    let conditions = value.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Ready" && condition["status"] != "True")
}

/// Whether a Certificate is ready; one that says nothing may be.
#[must_use]
pub fn is_ready(value: &Value) -> bool {
    not_ready(value).is_none()
}

fn broken(scene: &Scene<'_>, name: &ObjectRef, value: &Value, reference: &str) -> Option<Finding> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let ends = text("/status/notAfter");
    let expired = ends.parse::<Timestamp>().is_ok_and(|ends| ends < scene.facts.now);
    let condition = not_ready(value);
    let message = condition.and_then(|it| it["message"].as_str()).unwrap_or_default();
    let said = logs::shorten(message, 160);
    let secret = text("/spec/secretName");
    let (code, headline) = if expired {
        (
            "certificate_expired",
            scene.text(
                format!("{name} 已于 {ends} 过期，Secret {secret} 中的证书未能续签：{said}"),
                format!("{name} expired at {ends} and was not renewed into Secret {secret}: {said}"),
            ),
        )
    } else {
        condition?;
        (
            "certificate_not_ready",
            scene.text(
                format!("{name} 未就绪，Secret {secret} 中没有可用的证书：{said}"),
                format!("{name} is not ready, so Secret {secret} holds no good certificate: {said}"),
            ),
        )
    };
    Some(
        Finding::new(code, Depth::Root, name, name, headline)
            .cite([scene.quote(reference, message), scene.quote_line(reference, &["notAfter"])])
            .touches(users(scene, &name.namespace, secret))
            .steps([
                look(
                    scene.text("查看 Certificate 与签发请求", "Look at the Certificate and its requests"),
                    kubectl(&name.namespace, &format!("describe certificate {}", name.name)),
                ),
                look(
                    scene.text("查看签发过程", "Follow its issuing"),
                    kubectl(&name.namespace, "get certificaterequests,orders,challenges"),
                ),
                change(
                    scene.text("按提示修复 Issuer、DNS 或 HTTP 校验", "Repair the issuer, DNS or HTTP check it names"),
                    scene.text("修复后 cert-manager 会自动重试", "cert-manager then tries again by itself"),
                    None,
                ),
            ]),
    )
}

/// Ingresses that serve the Secret.
fn users(scene: &Scene<'_>, namespace: &str, secret: &str) -> Vec<ObjectRef> {
    let serves = |ingress: &Ingress| {
        let tls = ingress.spec.as_ref().and_then(|spec| spec.tls.as_deref()).unwrap_or(&[]);
        tls.iter().any(|tls| tls.secret_name.as_deref() == Some(secret))
    };
    let ingresses = scene.facts.all::<Ingress>();
    let names = ingresses.iter().filter(|ingress| serves(&ingress.object)).map(|ingress| named(&ingress.object));
    names.filter(|name| name.namespace == namespace).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::World;

    fn certificate(ready: &str, ends: &str) -> serde_json::Value {
        json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "tls", "namespace": "shop"},
            "spec": {"secretName": "tls"}, "status": {"notAfter": ends, "conditions": [{"type": "Ready", "status": ready,
                "reason": "DoesNotExist", "message": "Issuing certificate as Secret does not exist"}]}})
    }

    #[test]
    fn a_certificate_that_is_not_issued_or_has_expired_is_named() {
        let waiting = World::asking("Certificate", "tls").with(certificate("False", "2027-01-01T00:00:00Z"));
        assert_eq!(waiting.cause(), "certificate_not_ready Certificate/tls");
        let old = World::asking("Certificate", "tls").with(certificate("False", "2026-11-01T00:00:00Z"));
        assert_eq!(old.cause(), "certificate_expired Certificate/tls");
        assert!(old.diagnosis().headline.contains("2026-11-01"));
    }

    #[test]
    fn one_that_is_being_renewed_in_time_and_one_that_ends_soon_stay_quiet() {
        let soon = certificate("True", "2026-11-25T00:00:00Z");
        World::asking("Certificate", "tls").with(soon.clone()).is_calm();
        let mut renewing = soon;
        renewing["status"]["conditions"].as_array_mut().unwrap().insert(
            0,
            json!({"type": "Issuing", "status": "True", "reason": "Renewing",
                "message": "Renewing certificate as renewal was scheduled"}),
        );
        World::asking("Certificate", "tls").with(renewing).is_calm();
    }

    #[test]
    fn a_certificate_in_force_stays_quiet() {
        assert!(
            World::asking("Certificate", "tls").with(certificate("True", "2027-01-01T00:00:00Z")).codes().is_empty()
        );
    }
}
