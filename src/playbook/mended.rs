//! Mended: what was done after an alert fired and answers it, as the cluster's own components say. Healthy objects do not
//! answer an alert about a measurement; a volume that was grown since, or a certificate that was renewed, does.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::networking::v1::Ingress;
use serde_json::Value;

use crate::alert::ObjectRef;
use crate::playbook::alerts::{self, Subject};
use crate::playbook::analyzer::{certificate, ingress};
use crate::playbook::pods;
use crate::playbook::quantity;
use crate::playbook::scene::{Scene, named};
use crate::playbook::scope::Scope;
use crate::playbook::worked_off;

/// How far before its issuing a certificate may say it begins. Let's Encrypt, for one, sets it back by an hour against
/// clocks that are behind: <https://letsencrypt.org/docs/faq/>.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// How kubelets say that a volume was enlarged: with its file system, and without one (block devices).
const RESIZED: [&str; 2] = ["FileSystemResizeSuccessful", "VolumeResizeSuccessful"];

/// What was mended and how, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mended {
    /// The object it was done to.
    pub object: ObjectRef,
    /// A sentence's second half: what happened to it, and when.
    pub how: String,
}

/// What answers the alerts since they fired; nothing where one of them is of another sort or its start is not known.
#[must_use]
pub fn since(scene: &Scene<'_>, scope: &Scope) -> Option<Mended> {
    let fired = scene.question.since?;
    let names: Vec<String> = scene.question.alert_names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let all =
        |words: &[&str]| !names.is_empty() && names.iter().all(|name| words.iter().any(|word| name.contains(word)));
    if all(&["volume", "fillingup", "filesystem", "diskspace", "outofspace"]) {
        return grown(scene, scope, fired);
    }
    if all(&["cert", "ssl", "tls"]) {
        return renewed(scene, fired);
    }
    if let Some((object, how)) = worked_off::since(scene, scope, fired) {
        return Some(Mended { object, how });
    }
    // Only of a component is it known that the Pods in question are the thing that was down.
    let component =
        |name: &String| alerts::known(name).is_some_and(|known| matches!(known.subject, Subject::Component(_)));
    let down = |name: &String| ["Down", "Unreachable", "Absent"].iter().any(|end| name.ends_with(end));
    let asked = &scene.question.alert_names;
    (!asked.is_empty() && asked.iter().all(|name| component(name) && down(name)))
        .then(|| restarted(scene, scope, fired))?
}

/// Claims that were enlarged, all that the alerts name: the kubelet says so at the claim or at the Pod that mounts it, after
/// the alert fired, and the claim has what it asks for. The last of them is told.
fn grown(scene: &Scene<'_>, scope: &Scope, fired: Timestamp) -> Option<Mended> {
    let named: Vec<&ObjectRef> =
        scene.question.targets.iter().filter(|target| target.kind == "PersistentVolumeClaim").collect();
    let (at, claim) = match named.as_slice() {
        [] => latest_growth(scene, fired, |claim| scope.has(claim))?,
        named => {
            let all: Option<Vec<_>> =
                named.iter().map(|claim| latest_growth(scene, fired, |other| *other == **claim)).collect();
            all?.into_iter().max_by_key(|(at, _)| *at)?
        }
    };
    let size = size(scene, &claim);
    let (zh, en) = match &size {
        Some(size) => (format!("文件系统已扩容到 {size}"), format!("its file system was grown to {size}")),
        None => ("文件系统已扩容".to_owned(), "its file system was grown".to_owned()),
    };
    let how = self::at(scene, Some(at), (&zh, &en));
    let how = scene.text(format!("{how}，无需再处理"), format!("{how}, so nothing is left to do"));
    Some(Mended { object: claim, how })
}

/// The latest end of a resize since the alert fired, of claims that are meant and wait for no other one.
fn latest_growth(
    scene: &Scene<'_>,
    fired: Timestamp,
    is_meant: impl Fn(&ObjectRef) -> bool,
) -> Option<(Timestamp, ObjectRef)> {
    let done = scene.facts.events().iter().filter(|event| RESIZED.contains(&event.reason.as_str()));
    let done =
        done.filter_map(|event| Some((event.last_seen.filter(|at| *at > fired)?, claim_of(scene, &event.about)?)));
    let done = done.filter(|(at, claim)| is_meant(claim) && !is_unfinished(scene, claim, *at));
    done.max_by_key(|(at, _)| *at)
}

/// The claim that an event about a resize speaks of: its own object, or the only claim of the Pod that it is noted at.
fn claim_of(scene: &Scene<'_>, about: &ObjectRef) -> Option<ObjectRef> {
    if about.kind == "PersistentVolumeClaim" {
        return Some(about.clone());
    }
    let pod = scene.pod(about)?;
    match pods::claims(&pod.object).as_slice() {
        [only] => Some(ObjectRef::new("PersistentVolumeClaim", &about.namespace, only)),
        _ => None,
    }
}

/// Whether a claim asks for more than it has, waits for its file system, or failed to grow once more.
fn is_unfinished(scene: &Scene<'_>, claim: &ObjectRef, done: Timestamp) -> bool {
    let failed = scene.events(claim, &["VolumeResizeFailed", "FileSystemResizeFailed"]);
    let failed_since = failed.iter().any(|event| event.last_seen.is_some_and(|at| at > done));
    let found = scene.claims.iter().find(|found| named(&found.object) == *claim);
    let lacks = found.is_some_and(|found| {
        let status = found.object.status.as_ref();
        let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or(&[]);
        let under_way = conditions
            .iter()
            .any(|it| it.status == "True" && ["Resizing", "FileSystemResizePending"].contains(&it.type_.as_str()));
        let asked = found.object.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
        let has = status.and_then(|status| status.capacity.as_ref());
        under_way || (has.is_some() && quantity::of(asked, "storage") > quantity::of(has, "storage"))
    });
    failed_since || lacks
}

/// What a claim has of storage.
fn size(scene: &Scene<'_>, claim: &ObjectRef) -> Option<String> {
    let found = scene.claims.iter().find(|found| named(&found.object) == *claim)?;
    Some(found.object.status.as_ref()?.capacity.as_ref()?.get("storage")?.0.clone())
}

/// A Certificate that is ready and valid only since.
fn renewed(scene: &Scene<'_>, fired: Timestamp) -> Option<Mended> {
    let moment = |value: &Value, pointer: &str| value.pointer(pointer)?.as_str()?.parse::<Timestamp>().ok();
    let served = served_secrets(scene);
    let asked = |name: &ObjectRef, value: &Value| {
        let secret = value.pointer("/spec/secretName").and_then(Value::as_str).unwrap_or_default();
        let serves = served.iter().any(|(namespace, served)| *namespace == name.namespace && served == secret);
        serves || scene.question.targets.contains(name)
    };
    scene.facts.raw_all("Certificate").filter(|(name, value, _)| asked(name, value)).find_map(|(name, value, _)| {
        let issued = moment(value, "/status/notBefore").filter(|issued| *issued + BACKDATED > fired)?;
        let valid = moment(value, "/status/notAfter").is_some_and(|ends| ends > scene.facts.now);
        let ready = certificate::is_ready(value);
        (valid && ready).then(|| Mended {
            object: name.clone(),
            how: at(scene, Some(issued), ("证书已续签并就绪", "it was renewed and is ready")),
        })
    })
}

/// The Secrets, by Namespace and name, that Ingresses in question take their certificates from.
fn served_secrets(scene: &Scene<'_>) -> Vec<(String, String)> {
    let ingresses = scene.question.targets.iter().filter(|target| target.kind == "Ingress");
    let read = ingresses.filter_map(|target| scene.facts.get::<Ingress>(&target.namespace, &target.name));
    let served = read.flat_map(|ingress| {
        let secrets: Vec<String> = ingress::tls_secrets(&ingress.object).collect();
        let namespace = ingress.object.metadata.namespace.unwrap_or_default();
        secrets.into_iter().map(move |secret| (namespace.clone(), secret))
    });
    served.collect()
}

/// A Pod that came up again after the alert fired, and is ready.
fn restarted(scene: &Scene<'_>, scope: &Scope, fired: Timestamp) -> Option<Mended> {
    let pods: Vec<_> = scope.pods(scene).collect();
    if pods.is_empty() || !pods.iter().all(|pod| pods::is_ready(&pod.object)) {
        return None;
    }
    let up = pods.iter().flat_map(|pod| {
        let name = named(&pod.object);
        pods::containers(&pod.object).into_iter().filter_map(move |view| {
            let running = view.status?.state.as_ref()?.running.as_ref()?;
            let again = view.restarts() > 0;
            Some((name.clone(), again.then_some(running.started_at.as_ref()?.0)?))
        })
    });
    let (object, started) = up.filter(|(_, started)| *started > fired).max_by_key(|(_, started)| *started)?;
    Some(Mended {
        object, how: at(scene, Some(started), ("已重新启动并就绪", "it was started again and is ready"))
    })
}

fn at(scene: &Scene<'_>, when: Option<Timestamp>, (zh, en): (&str, &str)) -> String {
    let when = when.map(|when| when.strftime("%H:%M:%S UTC").to_string()).unwrap_or_default();
    scene.text(format!("{zh}（{when}）"), format!("{en} ({when})"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, patched, pod};
    use crate::report::Verdict;

    const FIRED: &str = "2026-11-23T02:30:00Z";

    #[test]
    fn a_certificate_that_was_renewed_since_answers_the_alert_about_its_end() {
        let certificate = |issued: &str| {
            json!({"apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": {"name": "tls", "namespace": "shop"},
                "status": {"notBefore": issued, "notAfter": "2027-02-01T00:00:00Z", "conditions": [{"type": "Ready", "status": "True"}]}})
        };
        let told = |issued: &str| {
            World::asking("Certificate", "tls")
                .alert("SSLCertExpiringSoon")
                .fired(FIRED)
                .with(certificate(issued))
                .diagnosis()
        };
        let renewed = told("2026-11-23T02:45:00Z");
        assert_eq!(renewed.verdict, Verdict::NoFault);
        assert!(renewed.headline.contains("renewed and is ready (02:45:00 UTC)"), "{}", renewed.headline);
        assert_eq!(told("2026-11-01T00:00:00Z").verdict, Verdict::Inconclusive, "that was before");
    }

    #[test]
    fn a_component_that_came_up_again_answers_the_alert_that_it_is_down_and_no_other() {
        let started = |at: &str| -> Value {
            pod(patched(
                json!({"metadata": {"name": "web-1-a"}}),
                json!({"status": {"containerStatuses": [{"name": "web", "image": "",
                "imageID": "", "ready": true, "restartCount": 1, "state": {"running": {"startedAt": at}}}]}}),
            ))
        };
        let told = |alert: &str, at: &str| {
            World::asking("Pod", "web-1-a").alert(alert).fired(FIRED).with(started(at)).diagnosis().verdict
        };
        assert_eq!(told("KubeSchedulerDown", "2026-11-23T02:40:00Z"), Verdict::NoFault);
        assert_eq!(told("KubeSchedulerDown", "2026-11-23T02:10:00Z"), Verdict::Inconclusive);
        assert_eq!(told("CPUThrottlingHigh", "2026-11-23T02:40:00Z"), Verdict::Inconclusive);
    }

    #[test]
    fn a_volume_that_was_grown_since_answers_the_alert_that_it_fills_up() {
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop"},
            "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}});
        let asked = || {
            World::asking("PersistentVolumeClaim", "data")
                .alert("KubePersistentVolumeFillingUp")
                .fired(FIRED)
                .with(claim.clone())
        };
        let grown = asked().event("PersistentVolumeClaim", "data", "FileSystemResizeSuccessful", "succeeded");
        assert_eq!(grown.diagnosis().verdict, Verdict::NoFault);
        assert_eq!(asked().diagnosis().verdict, Verdict::Inconclusive);
    }

    /// Two claims that are asked about, the first of this size, and the Pod that mounts only that one.
    fn claims(wants: &str, has: &str) -> World {
        let claim = |name: &str, wants: &str, has: &str| {
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "shop"},
                "spec": {"volumeName": "pv", "resources": {"requests": {"storage": wants}}},
                "status": {"phase": "Bound", "capacity": {"storage": has}}})
        };
        let mounting = json!({"spec": {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}});
        World::asking("PersistentVolumeClaim", "data")
            .alert("KubePersistentVolumeFillingUp")
            .fired(FIRED)
            .with(claim("data", wants, has))
            .with(claim("wal", "5Gi", "5Gi"))
            .with(pod(mounting))
    }

    #[test]
    fn what_it_was_grown_to_is_told_and_that_nothing_is_left_to_do() {
        let told =
            claims("40Gi", "40Gi").event("Pod", "web-1-a", "FileSystemResizeSuccessful", "succeeded").diagnosis();
        assert_eq!(told.verdict, Verdict::NoFault);
        for words in ["PersistentVolumeClaim shop/data", "grown to 40Gi", "nothing is left to do"] {
            assert!(told.headline.contains(words), "{}", told.headline);
        }
    }

    #[test]
    fn a_resize_that_is_not_through_or_of_another_claim_answers_nothing() {
        let grown =
            |world: World| world.event("PersistentVolumeClaim", "data", "FileSystemResizeSuccessful", "succeeded");
        assert_ne!(grown(claims("80Gi", "40Gi")).diagnosis().verdict, Verdict::NoFault, "another one is under way");
        let both = grown(claims("40Gi", "40Gi")).also("PersistentVolumeClaim", "wal").diagnosis();
        assert_eq!(both.verdict, Verdict::Inconclusive, "of two one was grown");
        let other =
            claims("40Gi", "40Gi").event("PersistentVolumeClaim", "wal", "FileSystemResizeSuccessful", "succeeded");
        assert_eq!(other.diagnosis().verdict, Verdict::Inconclusive);
    }
}
