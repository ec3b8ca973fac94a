//! Containers the kubelet cannot even create: a ConfigMap, Secret or key that is not there, a rule they break.

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::analyzer::claim::near_hint;
use crate::playbook::analyzer::{node_lacks, rollout};
use crate::playbook::back;
use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods::{self, ContainerView};
use crate::playbook::scene::{Scene, named};
use crate::report::Step;

static MISSING: Pattern = Pattern::new(r#"(?i)\b(configmap|secret) "([a-z0-9][a-z0-9.-]*)" not found"#);
static MISSING_KEY: Pattern =
    Pattern::new(r"couldn't find key (\S+) in (ConfigMap|Secret) (?:[a-z0-9-]+/)?([a-z0-9][a-z0-9.-]*)");

/// An image whose user is a name: the kubelet cannot tell whether that is root.
static NAMED_USER: Pattern = Pattern::new(r"non-numeric user \(([^)]+)\)");

/// Findings about containers that cannot be created.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pod in scene.current_pods() {
        for view in pods::containers(&pod.object) {
            let reason = view.waiting_reason();
            let cannot = matches!(
                reason,
                "CreateContainerConfigError" | "CreateContainerError" | "PreCreateHookError" | "PreStartHookError"
            );
            // What its Node alone lacks is no fault of the template.
            if cannot && !node_lacks::explains(scene, pod) {
                findings.push(cannot_create(scene, pod, &view));
            }
        }
    }
    findings
}

fn cannot_create(scene: &Scene<'_>, pod: &Seen<Pod>, view: &ContainerView<'_>) -> Finding {
    let name = named(&pod.object);
    let event = scene.events(&name, &["Failed"]).into_iter().next_back();
    let waiting = view.waiting().and_then(|waiting| waiting.message.clone()).unwrap_or_default();
    let told = event.map(|event| event.message.clone()).unwrap_or_default();
    let found = [&waiting, &told].into_iter().find_map(|message| {
        missing_key(scene, &name, view, message).or_else(|| missing_object(scene, &name, view, message))
    });
    let finding = found.unwrap_or_else(|| other(scene, pod, view, if waiting.is_empty() { &told } else { &waiting }));
    finding
        .cite([
            event.and_then(|event| scene.quote_event(event)),
            scene.quote(&pod.reference, &waiting),
            scene.quote(&pod.reference, &format!("reason: {}", view.waiting_reason())),
        ])
        .touches([scene.workload(&pod.object)])
}

fn missing_object(scene: &Scene<'_>, pod: &ObjectRef, view: &ContainerView<'_>, message: &str) -> Option<Finding> {
    let missing = named_missing(message, &pod.namespace)?;
    let code = if missing.kind == "Secret" { "secret_missing" } else { "configmap_missing" };
    let reason = view.waiting_reason();
    Some(absent(
        scene,
        code,
        pod,
        &missing,
        &scene.text(
            format!("容器 {} 引用了它（{reason}）", view.name()),
            format!("container {} refers to it ({reason})", view.name()),
        ),
    ))
}

/// The ConfigMap or Secret a message says is not there.
#[must_use]
pub fn named_missing(message: &str, namespace: &str) -> Option<ObjectRef> {
    let found = MISSING.groups(message)?;
    let kind = if found[1].eq_ignore_ascii_case("secret") { "Secret" } else { "ConfigMap" };
    Some(ObjectRef::new(kind, namespace, &found[2]))
}

/// The finding for a ConfigMap or Secret that a Pod needs and that does not exist.
#[must_use]
pub fn absent(scene: &Scene<'_>, code: &'static str, pod: &ObjectRef, missing: &ObjectRef, how: &str) -> Finding {
    let near = scene.near_misses(missing);
    let hint = near_hint(scene, &near);
    let workload = scene
        .pods
        .iter()
        .find(|seen| named(&seen.object) == *pod)
        .map_or_else(|| pod.clone(), |seen| scene.workload(&seen.object));
    let (kind, name) = (&missing.kind, &missing.name);
    let headline = scene.text(
        format!("{workload} 无法启动：{kind} {name} 不存在（not found）{hint}"),
        format!("{workload} cannot start: {kind} {name} does not exist (not found){hint}"),
    );
    let summary = scene.text(
        format!("{missing} 不存在，而 {pod} 的{how}{hint}。"),
        format!("{missing} does not exist, and {how} in {pod}{hint}."),
    );
    let mut finding = Finding::new(code, Depth::Root, pod, missing, headline).summary(summary).steps([
        look(
            scene.text(format!("查看 Namespace 中的 {kind}"), format!("List the {kind}s of the namespace")),
            kubectl(&missing.namespace, &format!("get {}", kind.to_lowercase())),
        ),
        look(
            scene.text("查看工作负载引用的名称", "See which name the workload refers to"),
            kubectl(&workload.namespace, &format!("get {} -o yaml", slash(&workload))),
        ),
        change(
            scene.text(
                format!("创建 {kind} {name}，或把引用改为正确的名称"),
                format!("Create {kind} {name}, or correct the reference"),
            ),
            scene.text(
                "对象出现后 kubelet 会自动重试，无需重建 Pod",
                "The kubelet tries again by itself once it exists",
            ),
            near.first().and_then(|_| edit_template(&workload)),
        ),
    ]);
    for other in near {
        let seen = ObjectRef::new(kind, &missing.namespace, other);
        finding = finding.related(
            seen,
            scene.text("名称相近的对象", "an object of nearly the same name"),
            scene.text(format!("与所引用的 {name} 只差几个字符"), format!("differs from {name} by a few characters")),
        );
    }
    finding
}

fn missing_key(scene: &Scene<'_>, pod: &ObjectRef, view: &ContainerView<'_>, message: &str) -> Option<Finding> {
    let found = MISSING_KEY.groups(message)?;
    let (key, holder) = (found[1].to_owned(), ObjectRef::new(&found[2], &pod.namespace, &found[3]));
    Some(absent_key(scene, pod, &holder, &key, view.name()))
}

/// The finding for a key that a ConfigMap or Secret lacks.
#[must_use]
pub fn absent_key(scene: &Scene<'_>, pod: &ObjectRef, holder: &ObjectRef, key: &str, container: &str) -> Finding {
    let code = if holder.kind == "Secret" { "secret_key_missing" } else { "configmap_key_missing" };
    let known = keys(scene, holder);
    let near = known.iter().filter(|known| strsim::jaro_winkler(known, key) > 0.85).cloned().collect::<Vec<_>>();
    let hint = near_hint(scene, &near);
    let (kind, name) = (&holder.kind, &holder.name);
    let headline = scene.text(
        format!("{pod} 无法启动：{kind} {name} 中没有 key {key}{hint}"),
        format!("{pod} cannot start: {kind} {name} has no key {key}{hint}"),
    );
    // The keys of a Secret are never read, so nothing is said of them.
    let (has_zh, has_en) = if known.is_empty() {
        (String::new(), String::new())
    } else {
        (format!("（现有：{}）", listed(&known)), format!(" (it has: {})", listed(&known)))
    };
    let summary = scene.text(
        format!("容器 {container} 需要 {kind} {name} 的 key {key}，但其中没有该 key{has_zh}{hint}。"),
        format!("Container {container} needs key {key} of {kind} {name}, which lacks it{has_en}{hint}."),
    );
    let workload = scene.pod(pod).map(|pod| scene.workload(&pod.object)).unwrap_or_default();
    let change_of = asked_otherwise(scene, &workload, holder, key, container);
    let summary =
        change_of.as_ref().map_or(summary.clone(), |it| format!("{summary}{}{}", scene.lang.pick("", " "), it.said));
    let undo = change_of.as_ref().and_then(|it| way_back(scene, &workload, holder, &it.before, &known));
    let proof = change_of.as_ref().and_then(|it| scene.quote(&it.reference, &format!("key: {key}")));
    Finding::new(code, Depth::Root, pod, holder, headline)
        .summary(summary)
        .cite([proof])
        .steps([
            look(
                scene.text(format!("查看 {kind} 中的 key"), format!("See the keys of the {kind}")),
                kubectl(&holder.namespace, &format!("describe {}", slash(holder))),
            ),
            change(
                scene.text(
                    format!("在 {kind} {name} 中补上 key {key}，或修正引用"),
                    format!("Add key {key} to {kind} {name}, or correct the reference"),
                ),
                scene.text("kubelet 会自动重试", "The kubelet tries again by itself"),
                Some(kubectl(&holder.namespace, &format!("edit {}", slash(holder)))),
            ),
        ])
        .steps(undo)
}

/// The version before, unless the key that it asks for is gone as well. The keys of a Secret are never read.
fn way_back(scene: &Scene<'_>, workload: &ObjectRef, from: &ObjectRef, before: &str, known: &[String]) -> Option<Step> {
    if !known.is_empty() && !known.iter().any(|key| key == before) {
        return None;
    }
    let unread = scene.text(
        format!("先确认 {} {} 中仍有 {before}", from.kind, from.name),
        format!("See first that {} {} still has {before}", from.kind, from.name),
    );
    Some(change(
        scene.text(
            format!("或回滚到上一版本，它要的是 key {before}"),
            format!("Or go back to the version before, which asks for key {before}"),
        ),
        if known.is_empty() { unread } else { String::new() },
        Some(back::undo(workload)),
    ))
}

/// The change that made a workload ask for another key.
struct Otherwise {
    before: String,
    said: String,
    reference: String,
}

/// What the version before asked of the same object for the same variable, where that was another key.
fn asked_otherwise(
    scene: &Scene<'_>,
    workload: &ObjectRef,
    holder: &ObjectRef,
    key: &str,
    container: &str,
) -> Option<Otherwise> {
    let sets = rollout::revisions(scene, workload);
    let (new, old) = (sets.first()?, sets.get(1)?);
    let (now, before) = (asked(&new.object, holder, container), asked(&old.object, holder, container));
    let (variable, _) = now.iter().find(|(_, asks)| asks == key)?;
    let (_, before) = before.into_iter().find(|(name, asks)| name == variable && asks != key)?;
    let (name, since) = (named(&new.object).name, scene.minutes_since(new.object.metadata.creation_timestamp.as_ref()));
    let (ago_zh, ago_en) = since.map_or_else(Default::default, |minutes| {
        let lasted = scene.lasted(minutes);
        (format!("（{lasted}前创建）"), format!(", made {lasted} ago,"))
    });
    let said = scene.text(
        format!("是新版本改的：ReplicaSet {name}{ago_zh}的变量 {variable} 要 key {key}，上一版本要的是 {before}。"),
        format!("The new version changed that: variable {variable} of ReplicaSet {name}{ago_en} asks for key {key}, the version before for {before}."),
    );
    Some(Otherwise { before, said, reference: new.reference.clone() })
}

/// The keys of an object that a version's container takes variables from, each with its variable.
fn asked(set: &ReplicaSet, holder: &ObjectRef, container: &str) -> Vec<(String, String)> {
    let spec = pods::template(set);
    let all = spec.into_iter().flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    let variables = all.filter(|it| it.name == container).flat_map(|it| it.env.iter().flatten());
    let asked = variables.filter_map(|variable| {
        let source = variable.value_from.as_ref()?;
        let (name, key) = match (&source.config_map_key_ref, &source.secret_key_ref) {
            (Some(it), _) if holder.kind == "ConfigMap" => (&it.name, &it.key),
            (_, Some(it)) if holder.kind == "Secret" => (&it.name, &it.key),
            _ => return None,
        };
        (*name == holder.name).then(|| (variable.name.clone(), key.clone()))
    });
    asked.collect()
}

/// Keys as they stand in a sentence, the first few.
#[must_use]
pub fn listed(keys: &[String]) -> String {
    if keys.is_empty() { "-".to_owned() } else { keys.iter().take(8).cloned().collect::<Vec<_>>().join(", ") }
}

/// The keys of a ConfigMap that was read.
#[must_use]
pub fn keys(scene: &Scene<'_>, holder: &ObjectRef) -> Vec<String> {
    let raw = scene.facts.raw(holder).map(|(value, _)| value);
    let of = |field: &str| raw.and_then(|value| value.get(field)).and_then(serde_json::Value::as_object);
    ["data", "binaryData", "stringData"].into_iter().filter_map(of).flat_map(|map| map.keys().cloned()).collect()
}

fn other(scene: &Scene<'_>, pod: &Seen<Pod>, view: &ContainerView<'_>, message: &str) -> Finding {
    let name = named(&pod.object);
    let workload = scene.workload(&pod.object);
    let said = logs::said(message.trim_start_matches("Error: "));
    let user = user(scene, message);
    let code = if user.is_some() { "run_as_non_root_violated" } else { "container_cannot_be_created" };
    let (why, remedy) = user.unwrap_or_else(|| (said.clone(), remedy(scene, pod, message)));
    let (zh, en) = beginning(scene, &workload);
    let headline = scene.text(
        format!("{zh}：容器 {} 创建失败：{why}", view.name()),
        format!("{en}: container {} cannot be created: {why}", view.name()),
    );
    Finding::new(code, Depth::Mechanism, &name, &workload, headline).steps([
        look(
            scene.text("查看 Pod 事件", "Read the Pod's events"),
            kubectl(&name.namespace, &format!("describe pod {}", name.name)),
        ),
        change(remedy, said, edit_template(&workload)),
    ])
}

/// Who cannot start, in Chinese and English: where Pods of the workload serve, it is only a new one.
fn beginning(scene: &Scene<'_>, workload: &ObjectRef) -> (String, String) {
    match scene.replicas(workload) {
        Some((ready, wanted)) if ready > 0 => (
            format!("{workload} 的一个 Pod 无法启动（{ready}/{wanted} 个副本仍在服务）"),
            format!("A Pod of {workload} cannot start ({ready} of {wanted} replicas serve)"),
        ),
        _ => (format!("{workload} 无法启动"), format!("{workload} cannot start")),
    }
}

/// Why the kubelet does not let a container run as the user it would, and what to do: root, or a name it cannot judge.
fn user(scene: &Scene<'_>, message: &str) -> Option<(String, String)> {
    if !message.contains("runAsNonRoot") {
        return None;
    }
    let Some(user) = NAMED_USER.group(message, 1) else {
        return Some((
            scene.text(
                "镜像以 root 运行，而 runAsNonRoot 要求非 root 用户",
                "its image runs as root while runAsNonRoot demands another user",
            ),
            scene.text(
                "让镜像以非 root 用户运行，或设置非 0 的 runAsUser",
                "Have the image run as another user than root, or set a runAsUser other than 0",
            ),
        ));
    };
    Some((
        scene.text(
            format!("镜像的用户是名称 {user}，不是数字，kubelet 无法确认它不是 root（runAsNonRoot，non-numeric user）"),
            format!("its image names its user ({user}) instead of giving a number, so the kubelet cannot tell that it is not root (runAsNonRoot, non-numeric user)"),
        ),
        scene.text(
            format!("在 securityContext 中设置 {user} 的数字 runAsUser，或在镜像中用数字声明 USER；保留 runAsNonRoot"),
            format!("Set runAsUser to the number of {user} in the securityContext, or give the image's USER as a number; runAsNonRoot stays"),
        ),
    ))
}

/// What to do about what cannot be created; what a Node lacks is brought there, not taken out of the template.
fn remedy(scene: &Scene<'_>, pod: &Seen<Pod>, message: &str) -> String {
    match pods::node_name(&pod.object).filter(|_| node_lacks::is_local(message)) {
        Some(node) => scene.text(
            format!("确认 Node {node} 是否具备报错所指的内容：补到节点上，或修正对它的引用；不要为此去掉安全设置"),
            format!("See whether Node {node} has what the error names: bring it there, or correct the reference; do not drop a security setting for it"),
        ),
        None => {
            scene.text("按报错修正工作负载的容器配置", "Correct the container in the workload as the error says")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, container, deployment, patched, pod, replica_set, waiting};

    fn map(name: &str) -> serde_json::Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}, "data": {"LOG_LEVEL": "info"}})
    }

    fn refused(message: &str) -> World {
        World::asking("Pod", "web-1-a").with(pod(waiting("CreateContainerConfigError", message)))
    }

    #[test]
    fn a_missing_configmap_is_blamed_with_the_name_that_was_meant() {
        let world = refused("configmap \"web-settings\" not found").with(map("web-setting"));
        assert_eq!(world.cause(), "configmap_missing ConfigMap/web-settings");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("web-setting exists"));
        assert!(diagnosis.related.iter().any(|related| related.resource.name == "web-setting"));
    }

    #[test]
    fn a_missing_secret_is_a_secret() {
        assert_eq!(refused("secret \"db\" not found").cause(), "secret_missing Secret/db");
    }

    #[test]
    fn a_missing_key_blames_the_object_that_lacks_it() {
        let world = refused("couldn't find key LOGLEVEL in ConfigMap shop/web").with(map("web"));
        assert_eq!(world.cause(), "configmap_key_missing ConfigMap/web");
        assert!(world.diagnosis().headline.contains("LOG_LEVEL exists"));
    }

    #[test]
    fn other_refusals_are_the_workloads_fault() {
        let world = refused("container has runAsNonRoot and image will run as root");
        assert_eq!(world.cause(), "run_as_non_root_violated Deployment/web");
    }

    #[test]
    fn a_user_that_is_a_name_is_not_said_to_be_root() {
        let world =
            refused("container has runAsNonRoot and image has non-numeric user (app), cannot verify user is non-root");
        assert_eq!(world.cause(), "run_as_non_root_violated Deployment/web");
        let diagnosis = world.diagnosis();
        assert!(!diagnosis.headline.contains("runs as root") && diagnosis.headline.contains("non-numeric user"));
        assert!(diagnosis.steps.iter().any(|step| step.title.contains("Set runAsUser to the number of app")));
        let root = refused("container has runAsNonRoot and image will run as root").diagnosis();
        assert!(root.headline.contains("runs as root"));
    }

    #[test]
    fn a_new_pod_that_cannot_start_is_not_all_of_its_workload() {
        let beside = |ready: i32| {
            let message = "container has runAsNonRoot and image will run as root";
            refused(message).with(deployment(1, ready)).diagnosis().headline
        };
        assert!(
            beside(1).starts_with("A Pod of Deployment shop/web cannot start (1 of 1 replicas serve)"),
            "{}",
            beside(1)
        );
        assert!(beside(0).starts_with("Deployment shop/web cannot start"), "{}", beside(0));
    }

    #[test]
    fn a_container_that_came_up_since_stays_quiet() {
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).event(
            "Pod",
            "web-1-a",
            "Failed",
            "Error: configmap \"web-settings\" not found",
        );
        world.is_calm();
    }

    #[test]
    fn the_version_that_asks_for_another_key_is_told_and_can_be_taken_back() {
        let asks = |key: &str| {
            let env = json!([{"name": "SIZE", "valueFrom": {"configMapKeyRef": {"name": "app", "key": key}}}]);
            json!({"spec": {"template": {"spec": {"containers": [container(json!({"env": env}))]}}}})
        };
        let told_of = |before: &str, has: &str| {
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app", "namespace": "shop"}, "data": {has: "9"}});
            let waits = waiting("CreateContainerConfigError", "couldn't find key max_size in ConfigMap shop/app");
            World::asking("Pod", "web-2-a")
                .with(patched(pod(waits), json!({"metadata": {"name": "web-2-a", "labels": {"pod-template-hash": "2"}, "ownerReferences": [
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-2", "uid": "u", "controller": true}]}})))
                .with(map)
                .with(patched(replica_set(2, "reg/web:2", 1, 0), asks("max_size")))
                .with(patched(replica_set(1, "reg/web:1", 0, 0), asks(before)))
                .diagnosis()
        };
        let told = |before: &str| told_of(before, "max-size");
        let changed = told("max-size");
        let summary = &changed.causes[0].summary;
        assert!(
            summary
                .contains("variable SIZE of ReplicaSet web-2 asks for key max_size, the version before for max-size"),
            "{summary}"
        );
        assert!(
            changed
                .steps
                .iter()
                .any(|step| step.command.as_deref() == Some("kubectl -n shop rollout undo deployment/web"))
        );
        let gone = told_of("max-size", "size");
        assert!(gone.causes[0].summary.contains("the version before for max-size"), "{}", gone.causes[0].summary);
        let undoes = |it: &crate::report::Step| it.command.as_deref().is_some_and(|it| it.contains("undo"));
        assert!(!gone.steps.iter().any(undoes), "its key is gone too: {:?}", gone.steps);
        let same = told("max_size");
        assert!(!same.causes[0].summary.contains("the version before"), "{}", same.causes[0].summary);
    }

    #[test]
    fn a_secrets_missing_key_is_named_without_a_word_on_its_others() {
        let world = refused("couldn't find key password in Secret shop/db");
        assert_eq!(world.cause(), "secret_key_missing Secret/db");
        assert!(!world.diagnosis().causes[0].summary.contains("it has"));
    }

    #[test]
    fn a_container_the_runtime_cannot_create_quotes_the_runtime() {
        let message = "failed to reserve container name \"web_web-1-a\": name is reserved for \"77ab\"";
        let world = World::asking("Pod", "web-1-a").with(pod(waiting("CreateContainerError", message)));
        assert_eq!(world.cause(), "container_cannot_be_created Deployment/web");
        assert!(world.diagnosis().headline.contains("name is reserved"));
        let creating = World::asking("Pod", "web-1-a").with(pod(waiting("ContainerCreating", message)));
        assert!(!creating.codes().contains(&"container_cannot_be_created"));
    }

    #[test]
    fn a_hook_of_the_kubelet_that_fails_before_the_start_is_quoted() {
        let world =
            World::asking("Pod", "web-1-a").with(pod(waiting("PreStartHookError", "cpu manager: no cpus left")));
        assert_eq!(world.cause(), "container_cannot_be_created Deployment/web");
        assert!(world.diagnosis().headline.contains("no cpus left"));
    }
}
