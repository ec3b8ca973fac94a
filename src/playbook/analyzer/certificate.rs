//! cert-manager's Certificates that are not ready or have expired. The Secrets behind them are never read.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::networking::v1::Ingress;
use serde_json::Value;

use super::{creation, solver_class};
use crate::alert::ObjectRef;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::{Scene, named};
use crate::report::{Citation, Confidence, Step};

/// How long a renewal that is due may take, in minutes: an ACME order is done in some, and is tried again within the hour.
const RENEWAL: i64 = 60;

/// Findings about Certificates.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let certificates = scene.facts.raw_all("Certificate");
    certificates
        .filter_map(|(name, value, reference)| {
            broken(scene, name, value, reference).or_else(|| overdue(scene, name, value, reference))
        })
        .collect()
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

/// The issuer that a Certificate names.
#[must_use]
pub fn issuer(certificate: &ObjectRef, value: &Value) -> Option<ObjectRef> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (kind, name) = (text("/spec/issuerRef/kind"), text("/spec/issuerRef/name"));
    let namespace = if kind == "ClusterIssuer" { "" } else { certificate.namespace.as_str() };
    (!name.is_empty()).then(|| ObjectRef::new(if kind.is_empty() { "Issuer" } else { kind }, namespace, name))
}

/// The issuer that is not ready itself, in its own words: nothing it is asked for is signed.
fn issuer_not_ready(scene: &Scene<'_>, certificate: &ObjectRef, value: &Value) -> Option<HeldUp> {
    let at = issuer(certificate, value)?;
    let (issuer, reference) = scene.facts.raw(&at)?;
    let why = not_ready(issuer)?["message"].as_str().filter(|why| !why.is_empty() && !logs::instructs(why))?;
    Some(HeldUp { proof: scene.quote(reference, why), why: why.to_owned(), at })
}

/// The issuer that a Certificate names and that does not exist: nobody is asked for anything.
fn issuer_missing(scene: &Scene<'_>, certificate: &ObjectRef, value: &Value) -> Option<HeldUp> {
    let at = issuer(certificate, value)?;
    let mut events = scene.facts.events().iter().filter(|event| event.about.namespace == certificate.namespace);
    let told = events.find(|event| {
        event.reason == "IssuerNotFound"
            && is_of(certificate, &event.about)
            && event.message.contains(&format!("\"{}\" not found", at.name))
    });
    if told.is_none() && !scene.facts.is_missing(&at) {
        return None;
    }
    let proof = told.and_then(|event| scene.quote_event(event)).or_else(|| scene.facts.absent(&at).cloned());
    let why = scene.text(format!("它引用的 {at} 不存在"), format!("{at}, which it names, does not exist"));
    Some(HeldUp { at, why, proof })
}

/// Whether an object was made for a Certificate: cert-manager numbers them, and another Certificate may bear its name and
/// more.
fn is_of(certificate: &ObjectRef, object: &ObjectRef) -> bool {
    let numbered = |rest: &str| rest.chars().all(|char| char.is_ascii_digit() || char == '-');
    let rest = object.name.strip_prefix(&certificate.name).and_then(|rest| rest.strip_prefix('-'));
    object.namespace == certificate.namespace && rest.is_some_and(numbered)
}

/// How a Certificate is got, as far as that was seen.
enum Way {
    /// An ACME order whose challenge is answered in DNS.
    Dns,
    /// Another ACME order.
    Acme,
    /// A CA, Vault, or whoever else signs at once; or nobody knows.
    Signed,
}

fn way(scene: &Scene<'_>, name: &ObjectRef, value: &Value) -> Way {
    let challenge = scene.facts.raw_all("Challenge").find(|(other, ..)| is_of(name, other)).map(|(_, value, _)| value);
    let issuer = issuer(name, value).and_then(|at| scene.facts.raw(&at)).map(|(value, _)| value);
    let solvers = issuer.and_then(|issuer| issuer.pointer("/spec/acme/solvers")?.as_array());
    let all_dns = solvers.is_some_and(|all| !all.is_empty() && all.iter().all(|it| it.get("dns01").is_some()));
    let asks_dns = challenge.map(|it| it.pointer("/spec/type").and_then(Value::as_str) == Some("DNS-01"));
    let ordered = scene
        .facts
        .events()
        .iter()
        .any(|event| matches!(event.about.kind.as_str(), "Challenge" | "Order") && is_of(name, &event.about));
    match asks_dns {
        Some(true) => Way::Dns,
        None if all_dns => Way::Dns,
        Some(false) => Way::Acme,
        None if ordered || issuer.is_some_and(|it| it.pointer("/spec/acme").is_some()) => Way::Acme,
        None => Way::Signed,
    }
}

/// What to do about a Certificate that something holds up: the issuer or the Secret that is not there comes first.
fn remedies(scene: &Scene<'_>, name: &ObjectRef, value: &Value, why: &str) -> Vec<Step> {
    let way = way(scene, name, value);
    let again = scene.text("修复后 cert-manager 会自动重试", "cert-manager then tries again by itself");
    let follow = look(
        scene.text("查看签发过程", "Follow its issuing"),
        kubectl(
            &name.namespace,
            match way {
                Way::Signed => "get certificaterequests",
                _ => "get certificaterequests,orders,challenges",
            },
        ),
    );
    if let Some(missing) = issuer_missing(scene, name, value) {
        let at = missing.at;
        return vec![
            look(
                scene.text("查看现有的签发者", "See which issuers there are"),
                kubectl(&at.namespace, &format!("get {}s", at.kind.to_lowercase())),
            ),
            follow,
            change(
                scene.text(
                    format!("把 {name} 的 issuerRef 改为存在的签发者，或恢复 {at}"),
                    format!("Name an issuer that exists in the issuerRef of {name}, or bring {at} back"),
                ),
                again.clone(),
                Some(kubectl(&name.namespace, &format!("edit certificate {}", name.name))),
            ),
        ];
    }
    let fix = |title: String| change(title, again.clone(), None);
    if let Some(secret) = secret_missing(name, value, why) {
        let shown = look(
            scene.text(format!("确认 {secret} 是否存在"), format!("See whether {secret} exists")),
            kubectl(&secret.namespace, &format!("get secret {}", secret.name)),
        );
        let title =
            scene.text(format!("补上 {secret}，它不存在"), format!("Bring back {secret}, which does not exist"));
        let known = Some(shown).filter(|_| !secret.namespace.is_empty());
        return known.into_iter().chain([follow, fix(title)]).collect();
    }
    let (zh, en) = match way {
        Way::Dns => ("按提示修复 Issuer 或 DNS 校验（DNS-01）", "Repair the issuer or the DNS check (DNS-01) it names"),
        Way::Acme => ("按提示修复 Issuer、DNS 或 HTTP 校验", "Repair the issuer, DNS or HTTP check it names"),
        Way::Signed => ("按提示修复签发者", "Repair the issuer it names"),
    };
    vec![follow, fix(scene.text(zh, en))]
}

/// The Secret that cert-manager says it does not find.
fn secret_missing(certificate: &ObjectRef, value: &Value, why: &str) -> Option<ObjectRef> {
    static MISSING: Pattern = Pattern::new(r#"secret "(?:[a-z0-9.-]+/)?([a-z0-9.-]+)" not found"#);
    static WHOLE: Pattern = Pattern::new(r#"secret "([a-z0-9.-]+)/([a-z0-9.-]+)""#);
    let name = MISSING.group(why, 1)?;
    let whole = WHOLE.groups(why).filter(|found| found[2] == name).map(|found| found[1].to_owned());
    // What a ClusterIssuer needs stands in cert-manager's own Namespace, whose name is its installer's choice.
    let beside = issuer(certificate, value).filter(|at| at.kind == "Issuer").map(|at| at.namespace);
    Some(ObjectRef::new("Secret", whole.or(beside).unwrap_or_default(), name))
}

/// What keeps a Certificate's order from being filled: a challenge's own words, or the latest warning about one.
struct HeldUp {
    at: ObjectRef,
    why: String,
    proof: Option<Citation>,
}

fn held_up(scene: &Scene<'_>, certificate: &ObjectRef) -> Option<HeldUp> {
    let of_its = |name: &ObjectRef| is_of(certificate, name);
    let challenge =
        scene.facts.raw_all("Challenge").filter(|(name, ..)| of_its(name)).find_map(|(name, value, reference)| {
            let why =
                value.pointer("/status/reason")?.as_str().filter(|why| !why.is_empty() && !logs::instructs(why))?;
            if let (Some((class, said)), Some(at)) = (solver_class::missing(scene, value), issuer(name, value)) {
                let why = scene.text(format!("{said}（{why}）"), format!("{said} ({why})"));
                return Some(HeldUp { at, why, proof: scene.quote(reference, &class.name) });
            }
            Some(HeldUp { at: name.clone(), why: why.to_owned(), proof: scene.quote(reference, why) })
        });
    challenge.or_else(|| {
        let kinds = ["Challenge", "Order", "CertificateRequest"];
        let warnings = scene.facts.events().iter().filter(|event| event.kind == "Warning");
        let own = warnings.filter(|event| kinds.contains(&event.about.kind.as_str()) && of_its(&event.about));
        let last = own.filter(|event| !logs::instructs(&event.message)).max_by_key(|event| event.last_seen)?;
        Some(HeldUp { at: last.about.clone(), why: last.message.clone(), proof: scene.quote_event(last) })
    })
}

/// Still in force, but its renewal is long due: what holds it up will one day end it.
fn overdue(scene: &Scene<'_>, name: &ObjectRef, value: &Value, reference: &str) -> Option<Finding> {
    let moment = |pointer: &str| value.pointer(pointer)?.as_str()?.parse::<Timestamp>().ok();
    let due = moment("/status/renewalTime")?;
    if (scene.facts.now.as_second() - due.as_second()) / 60 < RENEWAL {
        return None;
    }
    let ends = value.pointer("/status/notAfter").and_then(Value::as_str).unwrap_or_default();
    let missing = issuer_missing(scene, name, value);
    let lacking = missing.is_some();
    let held = missing.or_else(|| held_up(scene, name));
    let quota = held
        .as_ref()
        .and_then(|held| creation::refusing_quota(&held.why))
        .map(|quota| ObjectRef::new("ResourceQuota", &name.namespace, quota));
    let holds = held.as_ref().filter(|_| !lacking).map(|held| held.at.clone());
    let blame = quota.or(holds).unwrap_or_else(|| name.clone());
    let semicolon = scene.lang.pick("；", "; ");
    let why = held.as_ref().map_or_else(String::new, |held| {
        if lacking {
            format!("{semicolon}{}", held.why)
        } else {
            scene.colon(format!("{semicolon}{}", held.at), logs::said(&held.why))
        }
    });
    let told = held.as_ref().map(|held| held.why.clone()).unwrap_or_default();
    let absent = lacking || secret_missing(name, value, &told).is_some();
    let headline = scene.text(
        format!("{name} 的续签自 {due} 起就没有完成（证书 {ends} 到期）{why}"),
        format!("{name} should have been renewed at {due} and was not (it ends at {ends}){why}"),
    );
    let finding = Finding::new("certificate_renewal_stuck", Depth::Root, name, &blame, headline)
        .confidence(if held.is_some() { Confidence::High } else { Confidence::Medium })
        .cite([held.and_then(|held| held.proof), scene.quote_line(reference, &["renewalTime"])])
        .touches(users(
            scene,
            &name.namespace,
            value.pointer("/spec/secretName").and_then(Value::as_str).unwrap_or_default(),
        ));
    if absent {
        return Some(finding.steps(remedies(scene, name, value, &told)));
    }
    let follow = remedies(scene, name, value, &told).into_iter().take(1);
    Some(finding.steps(follow).steps([
        look(
            scene.text("查看卡住的对象", "Look at what holds it up"),
            kubectl(&blame.namespace, &format!("describe {} {}", blame.kind.to_lowercase(), blame.name)),
        ),
        change(
            scene.text("解除阻碍；cert-manager 会自动重试", "Remove the obstacle; cert-manager tries again by itself"),
            scene.text("在证书到期之前完成即可避免中断", "Done before the certificate ends, nobody notices"),
            None,
        ),
    ]))
}

fn broken(scene: &Scene<'_>, name: &ObjectRef, value: &Value, reference: &str) -> Option<Finding> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let ends = text("/status/notAfter");
    let expired = ends.parse::<Timestamp>().is_ok_and(|ends| ends < scene.facts.now);
    let condition = not_ready(value);
    let message = condition.and_then(|it| it["message"].as_str()).unwrap_or_default();
    let issuer = issuer_not_ready(scene, name, value);
    let blame = issuer.as_ref().map_or_else(|| name.clone(), |held| held.at.clone());
    let held = issuer.or_else(|| issuer_missing(scene, name, value)).or_else(|| held_up(scene, name));
    let why = held.as_ref().map(|held| held.why.clone()).unwrap_or_default();
    let said = held.as_ref().map_or_else(|| logs::shorten(message, 160), |held| logs::shorten(&held.why, 160));
    let secret = text("/spec/secretName");
    let (code, headline) = if blame != *name {
        condition?;
        (
            "certificate_issuer_not_ready",
            scene.text(
                format!("{blame} 未就绪，{name} 因此没有签发或续签（证书到期 {ends}）：{said}"),
                format!("{blame} is not ready, so {name} is neither issued nor renewed (it ends {ends}): {said}"),
            ),
        )
    } else if expired {
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
                format!("{name} 未就绪（证书应在 Secret {secret} 中）：{said}"),
                format!("{name} is not ready (its certificate belongs into Secret {secret}): {said}"),
            ),
        )
    };
    let own = look(
        scene.text("查看 Certificate 与签发请求", "Look at the Certificate and its requests"),
        kubectl(&name.namespace, &format!("describe certificate {}", name.name)),
    );
    let mut steps = remedies(scene, name, value, &why);
    // What is not there is looked for first.
    let absent = issuer_missing(scene, name, value).is_some() || secret_missing(name, value, &why).is_some();
    steps.insert(usize::from(absent), own);
    Some(
        Finding::new(code, Depth::Root, name, &blame, headline)
            .cite([held.and_then(|held| held.proof)])
            .cite([scene.quote(reference, message), scene.quote_line(reference, &["notAfter"])])
            .touches(users(scene, &name.namespace, secret))
            .steps(steps),
    )
}

/// What serves the Secret: Ingresses, Pods that mount it, and the Services in front of these.
fn users(scene: &Scene<'_>, namespace: &str, secret: &str) -> Vec<ObjectRef> {
    let mounts = |pod: &Pod| {
        let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or(&[]);
        volumes.iter().any(|it| it.secret.as_ref().and_then(|it| it.secret_name.as_deref()) == Some(secret))
    };
    let is_here = |pod: &Pod| pod.metadata.namespace.as_deref() == Some(namespace) && mounts(pod);
    let pods: Vec<_> = scene.current_pods().filter(|pod| is_here(&pod.object)).collect();
    let before = |service: &&Seen<Service>| {
        let behind = scene.backends(&service.object);
        behind.iter().any(|it| pods.iter().any(|pod| named(&pod.object) == named(&it.object)))
    };
    let mut users: BTreeSet<ObjectRef> = pods.iter().map(|pod| scene.workload(&pod.object)).collect();
    users.extend(scene.services.iter().filter(before).map(|service| named(&service.object)));
    users.extend(ingresses(scene, namespace, secret));
    users.into_iter().collect()
}

fn ingresses(scene: &Scene<'_>, namespace: &str, secret: &str) -> Vec<ObjectRef> {
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

    use crate::playbook::world::{World, container, deployment, patched, pod, service};

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

    fn steps(world: &World) -> String {
        let steps = world.diagnosis().steps.into_iter();
        steps.map(|step| format!("{} {}\n", step.title, step.command.unwrap_or_default())).collect()
    }

    #[test]
    fn an_issuer_or_a_secret_that_is_not_there_comes_first_and_nobody_is_sent_to_an_order_there_is_not() {
        let asking = |issuer: &str| {
            let mut old = certificate("False", "2026-11-01T00:00:00Z");
            old["spec"]["issuerRef"] = json!({"kind": "Issuer", "name": issuer});
            World::asking("Certificate", "tls").with(old)
        };
        let lacking = asking("ca").event(
            "CertificateRequest",
            "tls-2",
            "IssuerNotFound",
            "Referenced \"Issuer\" not found: issuer.cert-manager.io \"ca\" not found",
        );
        assert_eq!(lacking.cause(), "certificate_expired Certificate/tls");
        assert!(lacking.diagnosis().headline.contains("Issuer shop/ca, which it names, does not exist"));
        let told = steps(&lacking);
        assert!(told.contains("get issuers") && told.contains("edit certificate tls"), "{told}");
        assert!(!told.contains("challenges") && !told.contains("HTTP"), "{told}");
        let dns = asking("acme").event(
            "Challenge",
            "tls-2-1-1",
            "PresentError",
            "Error presenting challenge: failed to load secret \"dns/token\": secret \"token\" not found",
        );
        let told = steps(&dns);
        assert!(told.contains("Secret dns/token") && !told.contains("HTTP"), "{told}");
    }

    #[test]
    fn one_whose_issuer_signs_is_not_told_of_another_that_is_missing() {
        let ca = json!({"apiVersion": "cert-manager.io/v1", "kind": "Issuer", "metadata": {"name": "ca", "namespace": "shop"},
            "spec": {"ca": {"secretName": "ca"}}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let mut old = certificate("False", "2026-11-01T00:00:00Z");
        old["spec"]["issuerRef"] = json!({"kind": "Issuer", "name": "ca"});
        let world = World::asking("Certificate", "tls").with(old).with(ca).event(
            "CertificateRequest",
            "tls-admin-1",
            "IssuerNotFound",
            "Referenced \"Issuer\" not found: issuer.cert-manager.io \"ca2\" not found",
        );
        assert!(!world.diagnosis().headline.contains("which it names"));
        assert!(!steps(&world).contains("HTTP"));
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
    fn a_renewal_that_is_long_due_is_blamed_on_what_holds_it_up() {
        let due = |at: &str| {
            let mut due = certificate("True", "2026-11-30T00:00:00Z");
            due["status"]["renewalTime"] = at.into();
            World::asking("Certificate", "tls").with(due)
        };
        let said = "Error presenting challenge: pods \"cm-acme-http-solver-b5x9d\" is forbidden: exceeded quota: web, requested: pods=1, used: pods=8, limited: pods=8";
        let stuck = due("2026-10-31T00:00:00Z").event("Challenge", "tls-3-17602", "PresentError", said);
        assert_eq!(stuck.cause(), "certificate_renewal_stuck ResourceQuota/web");
        assert_eq!(due("2026-10-31T00:00:00Z").cause(), "certificate_renewal_stuck Certificate/tls");
        let others = due("2026-10-31T00:00:00Z").event("Challenge", "tls-admin-3-17602", "PresentError", said);
        assert_eq!(others.cause(), "certificate_renewal_stuck Certificate/tls", "that is another Certificate's");
        due("2026-11-23T02:50:00Z").is_calm();
    }

    #[test]
    fn a_solver_of_a_class_that_does_not_exist_is_the_issuers() {
        let challenge = json!({"apiVersion": "acme.cert-manager.io/v1", "kind": "Challenge", "metadata": {"name": "tls-3-17602", "namespace": "shop"},
            "spec": {"issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt"}, "solver": {"http01": {"ingress": {"ingressClassName": "public"}}}},
            "status": {"state": "pending", "reason": "Waiting for HTTP-01 challenge propagation: wrong status code '404', expected '200'"}});
        let asked = || {
            let mut due = certificate("True", "2026-11-30T00:00:00Z");
            due["status"]["renewalTime"] = "2026-10-31T00:00:00Z".into();
            World::asking("Certificate", "tls").with(due).with(challenge.clone())
        };
        let told = asked().listed("IngressClass");
        assert_eq!(told.cause(), "certificate_renewal_stuck ClusterIssuer/letsencrypt");
        assert!(told.diagnosis().headline.contains("ingress class public"), "{}", told.diagnosis().headline);
        assert_eq!(asked().cause(), "certificate_renewal_stuck Challenge/tls-3-17602", "nobody knows which there are");
    }

    #[test]
    fn an_issuer_that_is_not_ready_is_blamed_for_what_its_certificate_breaks() {
        let issuer = |ready: &str| {
            json!({"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": "internal-ca"},
                "status": {"conditions": [{"type": "Ready", "status": ready, "reason": "ErrGetKeyPair",
                    "message": "Error getting keypair for CA issuer: secret \"ca-keypair\" not found"}]}})
        };
        let mut expired = certificate("False", "2026-11-01T00:00:00Z");
        expired["spec"]["issuerRef"] = json!({"kind": "ClusterIssuer", "name": "internal-ca"});
        let mounted = json!({"spec": {"volumes": [{"name": "tls", "secret": {"secretName": "tls"}}], "containers": [container(json!({}))]}});
        let served = |issuer| {
            World::asking("Service", "web")
                .with(service(json!({"app": "web"})))
                .with(deployment(1, 1))
                .with(patched(pod(json!({})), mounted.clone()))
                .with(expired.clone())
                .with(issuer)
        };
        let world = served(issuer("False"));
        assert_eq!(world.cause(), "certificate_issuer_not_ready ClusterIssuer/internal-ca");
        assert!(world.diagnosis().headline.contains("ca-keypair"));
        assert_eq!(served(issuer("True")).cause(), "certificate_expired Certificate/tls");
    }

    #[test]
    fn a_certificate_in_force_stays_quiet() {
        assert!(
            World::asking("Certificate", "tls").with(certificate("True", "2027-01-01T00:00:00Z")).codes().is_empty()
        );
    }
}
