//! Images that cannot be pulled: not there, not allowed, not reachable and rate-limited are four different repairs.

mod words;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::rollout;
use crate::playbook::back;
use crate::playbook::facts::SeenEvent;
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::report::{Confidence, Step};

const WAITING: [&str; 7] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// Why a pull fails, as the registry's or the runtime's words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    RateLimited,
    NoPlatform,
    NoSpace,
    InvalidName,
    NeverPulled,
    Unsigned,
    Untrusted,
    Hidden,
    Denied,
    NotFound,
    Failing,
    Unreachable,
    Unknown,
}

const SIGNS: [(Why, &[&str]); 12] = [
    (Why::RateLimited, &["toomanyrequests", "too many requests", "rate limit", "429"]),
    (Why::NoPlatform, &["no match for platform", "no matching manifest", "does not match the specified platform"]),
    (Why::NoSpace, &["no space left"]),
    (
        Why::InvalidName,
        &["couldn't parse image", "invalid reference format", "invalidimagename", "failed to apply default image tag"],
    ),
    (Why::NeverPulled, &["errimageneverpull", "imagepullpolicy never", "pull policy of never"]),
    (Why::Unsigned, &["signaturevalidationfailed", "source image rejected", "signature was required"]),
    (
        Why::Untrusted,
        &[
            "x509",
            "tls: failed to verify",
            "certificate signed by unknown",
            "http response to https client",
            "tls handshake failure",
        ],
    ),
    // Docker Hub and others do not say whether a repository is private or not there.
    (Why::Hidden, &["repository does not exist or may require", "insufficient_scope"]),
    (
        Why::Denied,
        &[
            "unauthorized",
            "authentication required",
            "forbidden",
            "access denied",
            "no basic auth",
            "authorization failed",
            "denied",
            "401",
            "403",
        ],
    ),
    (Why::NotFound, &["not found", "manifest unknown", "does not exist", "notfound"]),
    (
        Why::Failing,
        &[
            "500 internal server error",
            "502 bad gateway",
            "503 service",
            "504 gateway",
            "unknown: unknown error",
            "internal error",
        ],
    ),
    (
        Why::Unreachable,
        &[
            "no such host",
            "i/o timeout",
            "connection refused",
            "dial tcp",
            "tls handshake",
            "deadline exceeded",
            "no route",
            "server misbehaving",
            "eof",
            "connection reset",
        ],
    ),
];

/// Findings about containers that wait for their image.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pod in scene.current_pods() {
        let name = named(&pod.object);
        for view in pods::containers(&pod.object) {
            if WAITING.contains(&view.waiting_reason()) {
                findings.push(failing_pull(scene, pod, &name, &view));
            }
        }
    }
    findings
}

fn failing_pull(
    scene: &Scene<'_>,
    pod: &crate::playbook::facts::Seen<k8s_openapi::api::core::v1::Pod>,
    name: &ObjectRef,
    view: &ContainerView<'_>,
) -> Finding {
    let image = view.image();
    let failed = scene.events(name, &["Failed", "InspectFailed", "ErrImageNeverPull"]);
    let event = failed.iter().rev().copied().find(|event| event.message.contains(image) && !image.is_empty());
    let reason = view.waiting_reason();
    let waiting = view.waiting().and_then(|waiting| waiting.message.clone()).unwrap_or_default();
    let words = format!("{reason} {waiting} {}", event.map(|event| event.message.as_str()).unwrap_or_default());
    // The image's own name says nothing about why it fails, even when it contains "403" or "denied".
    let why = classify(&words.replace(image, ""));
    let workload = scene.workload(&pod.object);
    let lost_secret = pull_secret_missing(scene, pod, name)
        .filter(|_| matches!(why, Why::Denied | Why::Hidden | Why::Unknown | Why::NotFound));
    let blame = lost_secret.clone().unwrap_or_else(|| workload.clone());
    let (code, cause) = words::in_words(scene, why, image, lost_secret.as_ref());
    let headline = scene.text(
        format!("{workload} 无法启动：{cause}（{reason}）"),
        format!("{workload} cannot start: {cause} ({reason})"),
    );
    let said = decisive(event, &waiting);
    let said_text = crate::playbook::logs::shorten(&said, 160);
    let summary = scene.text(
        format!("{name} 的容器 {} 处于 {reason}：{cause}。{}", view.name(), reported(scene, &said_text)),
        format!("Container {} of {name} is in {reason}: {cause}. {}", view.name(), reported(scene, &said_text)),
    );
    Finding::new(code, Depth::Mechanism, name, &blame, headline)
        .confidence(if matches!(why, Why::Unknown | Why::Failing) { Confidence::Medium } else { Confidence::High })
        .summary(summary.trim_end())
        .cite([
            event.and_then(|event| scene.quote(&event.reference, &said)),
            // What a registry answered stands at the end of a long chain.
            event.and_then(|event| scene.quote_end(&event.reference, &said)),
            scene.quote(&pod.reference, &format!("reason: {reason}")),
            scene.quote_any(&pod.reference, &[&format!("image: {image}")]),
            lost_secret.as_ref().and_then(|secret| secret_event(scene, name, secret)),
        ])
        .touches([workload.clone()])
        .steps(repair(scene, why, &workload, name, view, lost_secret.as_ref()))
}

fn reported(scene: &Scene<'_>, said: &str) -> String {
    if said.is_empty() {
        return String::new();
    }
    scene.text(format!("报错：{said}"), format!("It says: {said}"))
}

fn classify(words: &str) -> Why {
    let words = words.to_ascii_lowercase();
    SIGNS.iter().find(|(_, signs)| signs.iter().any(|sign| words.contains(sign))).map_or(Why::Unknown, |(why, _)| *why)
}

/// The part of the message that decides: what follows the last repeat of the image's name, with the name.
fn decisive(event: Option<&SeenEvent>, waiting: &str) -> String {
    let message = event.map_or(waiting, |event| event.message.as_str());
    let after = message.split_once("\": ").map_or(message, |(_, rest)| rest);
    match after.rfind("desc = ") {
        Some(at) => after[at..].trim_start_matches("desc = ").rsplit("\": ").next().unwrap_or(after).to_owned(),
        // What comes before the last "reference: " only repeats the image's name.
        None => after
            .rsplit_once("failed to resolve reference \"")
            .and_then(|(_, rest)| rest.split_once("\": "))
            .map_or(after, |(_, rest)| rest)
            .to_owned(),
    }
}

fn repair(
    scene: &Scene<'_>,
    why: Why,
    workload: &ObjectRef,
    pod: &ObjectRef,
    view: &ContainerView<'_>,
    secret: Option<&ObjectRef>,
) -> Vec<Step> {
    let mut steps = vec![look(
        scene.text("查看拉取镜像的完整报错", "Read the whole error of the pull"),
        kubectl(&pod.namespace, &format!("describe pod {}", pod.name)),
    )];
    if let Some(secret) = secret {
        steps.push(change(
            scene.text(format!("创建 imagePullSecret {}", secret.name), format!("Create imagePullSecret {}", secret.name)),
            scene.text("类型为 docker-registry，填入该仓库的账号", "Of type docker-registry, with an account of that registry"),
            Some(kubectl(&secret.namespace, &format!("create secret docker-registry {} --docker-server=<REGISTRY> --docker-username=<USER> --docker-password=<PASSWORD>", secret.name))),
        ));
        return steps;
    }
    let image = view.image();
    let (title, detail) = words::advice(scene, why, image);
    // A Job's template cannot be changed; a Pod's image can.
    let set = (workload.kind != "Job"
        && matches!(why, Why::NotFound | Why::Hidden | Why::InvalidName | Why::NoPlatform))
    .then(|| kubectl(&workload.namespace, &format!("set image {} {}=<IMAGE:TAG>", slash(workload), view.name())));
    steps.push(change(title, detail, set));
    if let Some(last_good) = rollout::image_before(scene, workload, view.name()).filter(|last| last != image) {
        steps.push(change(
            scene.text(
                format!("或回滚到上一个版本 {last_good}"),
                format!("Or go back to the version before, {last_good}"),
            ),
            "",
            Some(back::undo(workload)),
        ));
    }
    steps
}

/// The kubelet's warning that it did not find the Secret.
fn secret_event(scene: &Scene<'_>, pod: &ObjectRef, secret: &ObjectRef) -> Option<crate::report::Citation> {
    let told = scene.events(pod, &["FailedToRetrieveImagePullSecret"]);
    told.into_iter().find(|event| event.message.contains(&secret.name)).and_then(|event| scene.quote_event(event))
}

/// The first pull secret the Pod names that is known not to exist.
fn pull_secret_missing(
    scene: &Scene<'_>,
    pod: &crate::playbook::facts::Seen<k8s_openapi::api::core::v1::Pod>,
    name: &ObjectRef,
) -> Option<ObjectRef> {
    let told = scene.events(name, &["FailedToRetrieveImagePullSecret"]);
    let secrets = pod.object.spec.as_ref()?.image_pull_secrets.as_deref().unwrap_or(&[]);
    secrets.iter().map(|secret| ObjectRef::new("Secret", &name.namespace, &secret.name)).find(|secret| {
        let said = told.iter().any(|event| event.message.contains(&secret.name));
        scene.facts.raw(secret).is_none() && (said || scene.facts.is_missing(secret))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Why, classify};
    use crate::playbook::world::{World, patched, pod, replica_set, waiting};

    fn failing(words: &str) -> World {
        let message = format!("Failed to pull image \"reg/web:1\": {words}");
        World::asking("Pod", "web-1-a")
            .with(pod(waiting("ImagePullBackOff", "Back-off pulling image \"reg/web:1\"")))
            .event("Pod", "web-1-a", "Failed", &message)
    }

    #[test]
    fn the_repairs_are_told_apart() {
        let of = classify;
        assert_eq!(of("rpc error: code = NotFound desc = failed to resolve reference: not found"), Why::NotFound);
        assert_eq!(of("failed to authorize: failed to fetch oauth token: 401 Unauthorized"), Why::Denied);
        assert_eq!(of("toomanyrequests: You have reached your unauthenticated pull rate limit"), Why::RateLimited);
        assert_eq!(of("dial tcp: lookup registry.lab on 10.96.0.10:53: no such host"), Why::Unreachable);
        assert_eq!(of("no match for platform in manifest: not found"), Why::NoPlatform);
        assert_eq!(
            of("unexpected status from HEAD request to https://reg/v2/web/manifests/1: 500 Internal Server Error"),
            Why::Failing
        );
        assert_eq!(of("ErrImagePull"), Why::Unknown);
        assert_eq!(
            of("tls: failed to verify certificate: x509: certificate signed by unknown authority"),
            Why::Untrusted
        );
        assert_eq!(of("http: server gave HTTP response to HTTPS client"), Why::Untrusted);
        let hub = "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed";
        assert_eq!(of(hub), Why::Hidden);
    }

    #[test]
    fn a_tag_that_does_not_exist_is_the_workloads_fault() {
        let world = failing(
            "rpc error: code = NotFound desc = failed to resolve reference \"reg/web:1\": reg/web:1: not found",
        );
        assert_eq!(world.cause(), "image_not_found Deployment/web");
    }

    #[test]
    fn a_registry_that_fails_itself_is_told_from_a_wrong_image() {
        let world =
            failing("unexpected status from HEAD request to https://reg/v2/web/manifests/1: 500 Internal Server Error");
        assert_eq!(world.cause(), "image_registry_failing Deployment/web");
        assert!(world.diagnosis().headline.contains("the registry itself"));
    }

    #[test]
    fn an_image_that_is_still_being_pulled_and_a_pull_that_failed_before_are_no_fault() {
        let pulling = World::asking("Pod", "web-1-a").with(pod(waiting("ContainerCreating", "")));
        assert!(!pulling.codes().iter().any(|code| code.starts_with("image_")), "{:?}", pulling.codes());
        let failed = "Failed to pull image \"reg/web:1\": rpc error: code = NotFound desc = reg/web:1: not found";
        World::asking("Pod", "web-1-a").with(pod(json!({}))).event("Pod", "web-1-a", "Failed", failed).is_calm();
    }

    #[test]
    fn the_version_before_is_offered_for_a_rollback() {
        let world = failing("rpc error: code = NotFound desc = reg/web:1: not found")
            .with(replica_set(1, "reg/web:1", 1, 0))
            .with(replica_set(0, "reg/web:0", 2, 2));
        let steps = world.diagnosis().steps;
        assert!(steps.iter().any(|step| {
            step.command.as_deref().is_some_and(|command| command.contains("rollout undo deployment/web"))
        }));
    }

    #[test]
    fn a_pull_secret_that_is_not_there_comes_before_a_refused_pull() {
        let with_secret =
            patched(waiting("ImagePullBackOff", ""), json!({"spec": {"imagePullSecrets": [{"name": "regcred"}]}}));
        let world = World::asking("Pod", "web-1-a")
            .with(pod(with_secret))
            .event(
                "Pod",
                "web-1-a",
                "Failed",
                "Failed to pull image \"reg/web:1\": unauthorized: authentication required",
            )
            .event(
                "Pod",
                "web-1-a",
                "FailedToRetrieveImagePullSecret",
                "Unable to retrieve some image pull secrets (regcred)",
            );
        assert_eq!(world.cause(), "image_pull_secret_missing Secret/regcred");
        let refused = failing("unauthorized: authentication required");
        assert_eq!(refused.cause(), "image_pull_unauthorized Deployment/web");
    }

    #[test]
    fn a_registry_out_of_reach_is_not_a_missing_tag() {
        let world = failing("dial tcp 10.0.0.9:443: i/o timeout");
        assert!(world.cause().starts_with("image_registry_unreachable"));
    }

    #[test]
    fn a_pull_that_succeeded_in_the_end_stays_quiet() {
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).event(
            "Pod",
            "web-1-a",
            "Failed",
            "Failed to pull image \"reg/web:1\": i/o timeout",
        );
        world.is_calm();
    }

    #[test]
    fn every_reason_of_a_failing_pull_has_a_code_of_its_own() {
        let cause = |words: &str| failing(words).cause();
        let hub = "pull access denied, repository does not exist or may require authorization";
        assert_eq!(cause(hub), "image_missing_or_private Deployment/web");
        let full = "write /var/lib/containerd/tmp/1: no space left on device";
        assert_eq!(cause(full), "image_pull_no_space Deployment/web");
        let untrusted = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        assert_eq!(cause(untrusted), "image_registry_tls_failed Deployment/web");
        assert_eq!(cause("rpc error: code = Unknown desc = something else"), "image_pull_failed Deployment/web");
    }

    #[test]
    fn an_image_the_kubelet_does_not_even_pull_says_why_by_its_state() {
        let waits = |reason: &str, message: &str| World::asking("Pod", "web-1-a").with(pod(waiting(reason, message)));
        let name = "Failed to apply default image tag \"reg/Web:1\": couldn't parse image name";
        assert_eq!(waits("InvalidImageName", name).cause(), "image_name_invalid Deployment/web");
        let never = "Container image \"reg/web:1\" is not present with pull policy of Never";
        assert_eq!(waits("ErrImageNeverPull", never).cause(), "image_never_pulled Deployment/web");
        let unsigned = "image signature validation failed: Source image rejected";
        assert_eq!(waits("SignatureValidationFailed", unsigned).cause(), "image_signature_invalid Deployment/web");
        let creating = waits("ContainerCreating", "").codes();
        assert!(creating.iter().all(|code| !code.starts_with("image_")), "an image still to be pulled is no fault");
    }

    #[test]
    fn what_the_registry_answered_is_quoted_from_the_end_of_a_long_chain() {
        let layer = "a1b2c3d4".repeat(24);
        let chain = format!(
            "rpc error: code = Unknown desc = failed to pull and unpack image \"reg/web:1\": failed to copy: httpReadSeeker: failed open: unexpected status code https://reg/v2/web/blobs/sha256:{layer}: 403 Forbidden - Server message: denied: quota of pulls used up"
        );
        let cause = failing(&chain).diagnosis().causes.remove(0);
        assert!(cause.evidence.iter().any(|it| it.quote.ends_with("quota of pulls used up")), "{:?}", cause.evidence);
        assert!(cause.evidence.iter().any(|it| it.quote.starts_with("failed to copy")), "{:?}", cause.evidence);
    }
}
