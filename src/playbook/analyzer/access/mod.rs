//! Applications the API server refuses: the ServiceAccount, and the RoleBinding that does not reach it.

mod meant;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding, Subject};

use crate::alert::ObjectRef;
use crate::playbook::back;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::report::{Confidence, Step};

static FORBIDDEN: Pattern = Pattern::new(
    r#"forbidden: User \\?"system:serviceaccount:([a-z0-9-]+):([a-z0-9.-]+)\\?" cannot (\w+) resource \\?"([a-z/]+)\\?"(?: in API group \\?"([\w.-]*)\\?")?"#,
);

/// Where something was refused: a RoleBinding grants in its own Namespace alone.
static WHERE: Pattern = Pattern::new(r#"in the namespace \\?"([a-z0-9-]+)\\?""#);

/// What a Pod's account was refused.
struct Denied<'a> {
    account: ObjectRef,
    /// The Namespace it was refused in, the account's own where the line names none.
    namespace: String,
    verb: String,
    resource: String,
    /// The API group, empty for the core one.
    group: String,
    /// Refused for the whole cluster, not for a namespace.
    everywhere: bool,
    line: &'a str,
    log: &'a SeenLog,
}

/// How client libraries say that an informer asks: it lists once and watches from there.
static INFORMER: Pattern = Pattern::new(r"(?i)reflector|informer|failed to (?:list|watch) \*");

/// Findings about Pods whose log shows that the API server refuses them.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.pods.iter().filter_map(|pod| explain(scene, pod, &denied(scene, &pod.object)?)).collect()
}

fn denied<'a>(scene: &Scene<'a>, pod: &Pod) -> Option<Denied<'a>> {
    reach::present_logs(scene, pod).into_iter().find_map(|(log, text)| {
        // What an outsider sent and the application merely wrote down is no refusal of its own.
        text.lines().filter(|line| !logs::instructs(line) && logs::is_error(line)).find_map(|line| {
            let found = FORBIDDEN.groups(line)?;
            let account = ObjectRef::new("ServiceAccount", &found[1], &found[2]);
            let group = found.get(5).map_or("", |group| group.as_str()).to_owned();
            let (verb, resource) = (found[3].to_owned(), found[4].to_owned());
            let namespace = WHERE.group(line, 1).unwrap_or_else(|| account.namespace.clone());
            Some(Denied {
                account,
                namespace,
                verb,
                resource,
                group,
                everywhere: line.contains("at the cluster scope"),
                line,
                log,
            })
        })
    })
}

/// Whether a Pod runs under an account: a log may tell of others' refusals.
fn is_own(pod: &Pod, account: &ObjectRef) -> bool {
    let own = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()).unwrap_or("default");
    own == account.name && named(pod).namespace == account.namespace
}

/// The Namespaces in which a log says that an account was refused something.
pub fn namespaces(log: &str) -> impl Iterator<Item = String> {
    log.lines().filter(|line| FORBIDDEN.hits(line)).filter_map(|line| WHERE.group(line, 1))
}

fn explain(scene: &Scene<'_>, pod: &Seen<Pod>, denied: &Denied<'_>) -> Option<Finding> {
    let workload = scene.workload(&pod.object);
    let mut bindings = scene.facts.all::<RoleBinding>();
    bindings.retain(|binding| named(&binding.object).namespace == denied.namespace);
    let meant = |subject: &Subject| {
        subject.kind == "ServiceAccount"
            && subject.name == denied.account.name
            && subject.namespace.as_deref().unwrap_or(&denied.account.namespace) == denied.account.namespace
    };
    // What is refused for the whole cluster no RoleBinding can grant.
    let bound: Vec<&Seen<RoleBinding>> = bindings
        .iter()
        .filter(|binding| !denied.everywhere && binding.object.subjects.iter().flatten().any(meant))
        .collect();
    let roles: Vec<Seen<Role>> = bound.iter().filter_map(|binding| role_of(scene, &binding.object)).collect();
    if roles.iter().any(|role| grants(&role.object, denied)) {
        // Granted since: the line is older than the Role.
        return None;
    }
    if bound.is_empty()
        && let Some(found) = wrong_account(scene, pod, denied, &bindings)
    {
        return Some(found);
    }
    let all_read = !bound.is_empty() && roles.len() == bound.len();
    let verbs = if all_read { lacking(&roles, denied) } else { vec![denied.verb.clone()] };
    let role = roles.into_iter().next();
    let (blame, why) = match bound.first() {
        _ if denied.everywhere => (
            denied.account.clone(),
            scene.text(
                "该操作作用于整个集群，需要 ClusterRole 与 ClusterRoleBinding",
                "which takes a ClusterRole and a ClusterRoleBinding, for it is about the whole cluster",
            ),
        ),
        Some(binding) => {
            let role = &binding.object.role_ref;
            let namespace = if role.kind == "Role" { named(&binding.object).namespace } else { String::new() };
            (
                ObjectRef::new(&role.kind, namespace, &role.name),
                if verbs.len() > 1 {
                    let (zh, en) = (verbs.join("、"), verbs.join(" nor "));
                    scene.text(
                        format!("它绑定的 {} {} 不含 {zh}，而 informer 两者都需要", role.kind, role.name),
                        format!("its {} {} allows neither {en}, and an informer needs both", role.kind, role.name),
                    )
                } else {
                    scene.text(
                        format!("它绑定的 {} {} 不含该权限", role.kind, role.name),
                        format!("its {} {} does not allow that", role.kind, role.name),
                    )
                },
            )
        }
        None => match meant::nearly_bound(&bindings, &denied.account)
            .or_else(|| meant::left_behind(scene, &workload, &bindings, denied))
        {
            Some((binding, subject)) => (
                named(&binding.object),
                scene.text(
                    format!("RoleBinding {} 绑定的却是 {subject}", named(&binding.object).name),
                    format!("RoleBinding {} binds {subject} instead", named(&binding.object).name),
                ),
            ),
            None => (
                denied.account.clone(),
                scene.text(
                    format!("Namespace {} 中没有 RoleBinding 授予它该权限", denied.namespace),
                    format!("no RoleBinding in Namespace {} grants it", denied.namespace),
                ),
            ),
        },
    };
    let (account, verb, resource) = (&denied.account, &denied.verb, &denied.resource);
    let headline = scene.text(
        format!(
            "{workload} 缺少 RBAC 权限：ServiceAccount {} 不能 {verb} {resource}（forbidden），{why}",
            account.name
        ),
        format!(
            "{workload} lacks an RBAC permission: ServiceAccount {} cannot {verb} {resource} (forbidden), {why}",
            account.name
        ),
    );
    // Sure where the Role itself was read and does not hold what the line says is missing; anybody can write a line.
    let found = Finding::new("rbac_forbidden", Depth::Root, &named(&pod.object), &blame, headline)
        .confidence(if all_read && is_own(&pod.object, &denied.account) {
            Confidence::High
        } else {
            Confidence::Medium
        })
        .cite([
            scene.quote(&denied.log.reference, denied.line),
            role.and_then(|role| scene.quote(&role.reference, "rules:")),
        ])
        .touches([workload.clone(), account.clone()])
        .steps([
            look(scene.text("确认该账号的权限", "Check what the account may do"), can_i(denied, &account.name)),
            grant(scene, denied, &blame, &verbs.join(", ")),
        ])
        .steps(back::step(scene, &workload));
    let unread = (!all_read).then(|| {
        scene.text(
            "未读取 ClusterRole 与 ClusterRoleBinding，该账号可能另有授权",
            "ClusterRoles and ClusterRoleBindings were not read; the account may have rights from there",
        )
    });
    Some(match unread {
        Some(gap) => found.gap(gap),
        None => found,
    })
}

/// A Pod that runs under an account nobody bound, while a binding named after its workload, or for an account of that name,
/// grants just that to another one: the workload names no account.
fn wrong_account(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    denied: &Denied<'_>,
    bindings: &[Seen<RoleBinding>],
) -> Option<Finding> {
    let (workload, account) = (scene.workload(&pod.object), &denied.account);
    // Whoever names an account wants that one: then it is the binding that is wrong.
    if account.name != "default" || !is_own(&pod.object, account) {
        return None;
    }
    let meant = |binding: &Seen<RoleBinding>| {
        let role = role_of(scene, &binding.object).filter(|role| grants(&role.object, denied))?;
        let local = |it: &&Subject| {
            it.kind == "ServiceAccount"
                && it.namespace.as_deref().unwrap_or(&account.namespace) == account.namespace
                && (it.name == workload.name || named(&binding.object).name == workload.name)
        };
        Some((binding.object.subjects.iter().flatten().find(local)?.name.clone(), role))
    };
    let mut here = bindings.iter().filter(|_| !denied.everywhere);
    let (binding, (other, role)) = here.find_map(|binding| Some((binding, meant(binding)?)))?;
    let (verb, resource, given) = (&denied.verb, &denied.resource, named(&binding.object).name);
    let headline = scene.text(
        format!("{workload} 用错了 ServiceAccount：它以 {} 运行，不能 {verb} {resource}（forbidden）；RoleBinding {given} 把该权限给了 ServiceAccount {other}", account.name),
        format!("{workload} runs as the wrong ServiceAccount: {} cannot {verb} {resource} (forbidden), while RoleBinding {given} allows it to ServiceAccount {other}", account.name),
    );
    let change_it = ["Deployment", "StatefulSet", "DaemonSet"]
        .contains(&workload.kind.as_str())
        .then(|| kubectl(&workload.namespace, &format!("set serviceaccount {} {other}", slash(&workload))));
    Some(
        Finding::new("rbac_wrong_service_account", Depth::Root, &named(&pod.object), &workload, headline)
            .cite([
                scene.quote(&denied.log.reference, denied.line),
                scene.quote_any(&binding.reference, &[&format!("name: {other}")]),
                scene.quote(&role.reference, "rules:"),
            ])
            .touches([workload.clone(), account.clone()])
            .steps([
                look(scene.text("确认该账号的权限", "Check what that account may do"), can_i(denied, &other)),
                change(
                    scene.text(
                        format!("让 {workload} 以 ServiceAccount {other} 运行"),
                        format!("Let {workload} run as ServiceAccount {other}"),
                    ),
                    scene.text("Pod 会随之滚动更新", "Its Pods are replaced one after the other"),
                    change_it,
                ),
            ]),
    )
}

/// Asks whether an account beside the refused one, or that one, may do what was refused, where it was.
fn can_i(denied: &Denied<'_>, account: &str) -> String {
    let Denied { verb, resource, .. } = denied;
    let who = format!("--as=system:serviceaccount:{}:{account}", denied.account.namespace);
    if denied.everywhere {
        return format!("kubectl auth can-i {verb} {resource} {who}");
    }
    kubectl(&denied.namespace, &format!("auth can-i {verb} {resource} {who}"))
}

/// Gives the account what it lacks: by the binding that was meant for it, the Role it has, or a new one.
fn grant(scene: &Scene<'_>, denied: &Denied<'_>, blame: &ObjectRef, verb: &str) -> Step {
    let (account, resource) = (&denied.account, &denied.resource);
    let careful = scene.text("只授予应用真正需要的权限", "Grant no more than the application needs");
    if blame.kind == "RoleBinding" {
        let title = scene.text(
            format!(
                "把 RoleBinding {} 的 subject 改为 ServiceAccount {}/{}",
                blame.name, account.namespace, account.name
            ),
            format!("Make {}/{} the subject of RoleBinding {}", account.namespace, account.name, blame.name),
        );
        let edit = kubectl(&blame.namespace, &format!("edit rolebinding {}", blame.name));
        return change(title, careful, Some(edit));
    }
    let title = if denied.everywhere {
        scene.text(
            format!(
                "用 ClusterRole 授予 {resource} 的 {verb} 权限，并以 ClusterRoleBinding 绑定到 {}/{}",
                account.namespace, account.name
            ),
            format!(
                "Allow {verb} on {resource} in a ClusterRole, bound to {}/{} by a ClusterRoleBinding",
                account.namespace, account.name
            ),
        )
    } else {
        scene.text(
            format!(
                "在 Namespace {} 的 Role 中加入 {resource} 的 {verb} 权限，并绑定到 {}/{}",
                denied.namespace, account.namespace, account.name
            ),
            format!(
                "Allow {verb} on {resource} in a Role of Namespace {}, bound to {}/{}",
                denied.namespace, account.namespace, account.name
            ),
        )
    };
    let edit = (blame.kind == "Role").then(|| kubectl(&blame.namespace, &format!("edit role {}", blame.name)));
    change(title, careful, edit)
}

/// The Role a binding refers to, where it was read.
fn role_of(scene: &Scene<'_>, binding: &RoleBinding) -> Option<Seen<Role>> {
    let namespace = binding.metadata.namespace.as_deref().unwrap_or_default();
    scene.facts.get::<Role>(namespace, &binding.role_ref.name).filter(|_| binding.role_ref.kind == "Role")
}

/// The verbs that no Role grants of those the client needs: an informer that may not list will want to watch next.
fn lacking(roles: &[Seen<Role>], denied: &Denied<'_>) -> Vec<String> {
    let needed = match denied.verb.as_str() {
        "list" | "watch" if INFORMER.hits(denied.line) => vec!["list", "watch"],
        verb => vec![verb],
    };
    let missing = needed.into_iter().filter(|verb| !roles.iter().any(|role| grants_verb(&role.object, denied, verb)));
    missing.map(str::to_owned).collect()
}

/// Whether a rule of a Role grants what was refused; rules for single objects by name are taken for grants.
fn grants(role: &Role, denied: &Denied<'_>) -> bool {
    grants_verb(role, denied, &denied.verb)
}

fn grants_verb(role: &Role, denied: &Denied<'_>, verb: &str) -> bool {
    let has = |all: Option<&Vec<String>>, wanted: &str| all.into_iter().flatten().any(|it| it == "*" || it == wanted);
    role.rules.iter().flatten().any(|rule| {
        has(Some(&rule.verbs), verb)
            && has(rule.resources.as_ref(), &denied.resource)
            && has(rule.api_groups.as_ref(), &denied.group)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, deployment, patched, pod, replica_set};
    use crate::report::Confidence;

    const FORBIDDEN: &str = "ERROR list failed: secrets is forbidden: User \"system:serviceaccount:shop:bot\" cannot list resource \"secrets\" in API group \"\" in the namespace \"shop\"";

    fn binding(subject: &str) -> serde_json::Value {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "bot", "namespace": "shop"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": subject, "namespace": "shop"}]})
    }

    #[test]
    fn an_account_nobody_bound_is_blamed() {
        let world =
            World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", FORBIDDEN).with(binding("other"));
        assert_eq!(world.cause(), "rbac_forbidden ServiceAccount/bot");
        assert!(world.diagnosis().headline.contains("cannot list secrets"));
    }

    #[test]
    fn a_binding_counts_in_the_namespace_that_refuses() {
        let there = |subject: &str| {
            let patch = json!({"metadata": {"namespace": "data"}, "subjects": [{"kind": "ServiceAccount", "name": "bot", "namespace": subject}]});
            crate::playbook::world::patched(binding("bot"), patch)
        };
        let line = FORBIDDEN.replace("in the namespace \"shop\"", "in the namespace \"data\"");
        let world = || World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &line);
        let moved = world().with(there("old-shop"));
        assert_eq!(moved.cause(), "rbac_forbidden RoleBinding/bot");
        let diagnosis = moved.diagnosis();
        assert!(diagnosis.headline.contains("binds ServiceAccount old-shop/bot instead"), "{}", diagnosis.headline);
        let asks = |step: &crate::report::Step| {
            step.command.as_deref()
                == Some("kubectl -n data auth can-i list secrets --as=system:serviceaccount:shop:bot")
        };
        assert!(diagnosis.steps.iter().any(asks), "{:?}", diagnosis.steps);
        assert_eq!(
            world().with(binding("bot")).cause(),
            "rbac_forbidden ServiceAccount/bot",
            "that one is for its own"
        );
        assert_eq!(world().with(there("shop")).cause(), "rbac_forbidden Role/reader");
    }

    #[test]
    fn a_binding_to_the_account_of_the_version_before_is_blamed() {
        let of = |number: i32, account: &str| {
            let patch = json!({"spec": {"template": {"spec": {"serviceAccountName": account}}}});
            patched(replica_set(number, &format!("reg/web:{number}"), 1, 1), patch)
        };
        let told = |before: &str| {
            World::asking("Pod", "web-2-a")
                .with(deployment(1, 0))
                .with(of(1, before))
                .with(of(2, "bot"))
                .with(pod(json!({"metadata": {"name": "web-2-a"}, "spec": {"serviceAccountName": "bot"}})))
                .log("web-2-a", FORBIDDEN)
                .with(binding("controller"))
        };
        let world = told("controller");
        assert_eq!(world.cause(), "rbac_forbidden RoleBinding/bot");
        assert!(world.diagnosis().headline.contains("binds ServiceAccount shop/controller instead"));
        assert_eq!(told("other").cause(), "rbac_forbidden ServiceAccount/bot");
    }

    #[test]
    fn a_binding_to_an_account_of_nearly_the_name_is_blamed() {
        let world = World::asking("Pod", "web-1-a")
            .with(pod(json!({})))
            .log("web-1-a", &FORBIDDEN.replace("shop:bot", "shop:order-bot"))
            .with(binding("orders-bot"));
        assert_eq!(world.cause(), "rbac_forbidden RoleBinding/bot");
        let diagnosis = world.diagnosis();
        assert!(diagnosis.headline.contains("shop/orders-bot instead"));
        let grants = |step: &crate::report::Step| {
            step.command.as_deref() == Some("kubectl -n shop edit rolebinding bot")
                && step.title.contains("Make shop/order-bot the subject of RoleBinding bot")
        };
        assert!(diagnosis.steps.iter().any(grants), "{:?}", diagnosis.steps);
    }

    #[test]
    fn a_workload_that_does_not_run_as_the_account_made_for_it_is_blamed() {
        let role = |verb: &str| {
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader", "namespace": "shop"},
                "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": [verb]}]})
        };
        let world = |binding: serde_json::Value, verb: &str| {
            let line = FORBIDDEN.replace("shop:bot", "shop:default");
            let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &line);
            world.with(binding).with(role(verb))
        };
        let wrong = world(binding("web"), "list");
        assert_eq!(wrong.cause(), "rbac_wrong_service_account Deployment/web");
        let told = wrong.diagnosis();
        let sets = |step: &crate::report::Step| {
            step.command.as_deref().is_some_and(|it| it.contains("set serviceaccount deployment/web web"))
        };
        assert!(told.steps.iter().any(sets), "{:?}", told.steps);
        assert_eq!(
            world(binding("web"), "get").cause(),
            "rbac_forbidden ServiceAccount/default",
            "that one lacks it too"
        );
        assert_eq!(world(binding("cart"), "list").cause(), "rbac_forbidden ServiceAccount/default", "it is another's");
    }

    #[test]
    fn a_role_that_does_not_allow_it_is_blamed() {
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", FORBIDDEN).with(binding("bot"));
        assert_eq!(world.cause(), "rbac_forbidden Role/reader");
        assert_eq!(world.diagnosis().causes[0].confidence, Confidence::Medium, "nobody read the Role");
    }

    #[test]
    fn an_informer_needs_to_watch_what_it_lists() {
        let line = "E1127 15:26:02 1 reflector.go:205] \"Failed to watch\" err=\"failed to list *v1.Secret: secrets is forbidden: User \\\"system:serviceaccount:shop:bot\\\" cannot list resource \\\"secrets\\\" in API group \\\"\\\" in the namespace \\\"shop\\\"\"";
        let role = |verbs: &[&str]| {
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader", "namespace": "shop"},
                "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": verbs}]})
        };
        let told = |line: &str, verbs: &[&str]| {
            let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", line);
            let told = world.with(binding("bot")).with(role(verbs)).diagnosis();
            let grant = told.steps.iter().find(|step| step.title.starts_with("Allow")).unwrap().title.clone();
            (told.headline, grant)
        };
        let (headline, grant) = told(line, &["get"]);
        assert!(
            headline.contains("neither list nor watch") && grant.contains("Allow list, watch on"),
            "{headline} {grant}"
        );
        assert!(told(line, &["get", "watch"]).1.contains("Allow list on"), "it may watch");
        assert!(told(FORBIDDEN, &["get"]).1.contains("Allow list on"), "one list is no informer");
    }

    #[test]
    fn a_role_that_was_read_makes_it_sure_or_takes_it_back() {
        let role = |resource: &str| {
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader", "namespace": "shop"},
                "rules": [{"apiGroups": [""], "resources": [resource], "verbs": ["get", "list"]}]})
        };
        let world = |resource: &str| {
            let own = pod(json!({"spec": {"serviceAccountName": "bot"}}));
            let world = World::asking("Pod", "web-1-a").with(own).log("web-1-a", FORBIDDEN);
            world.with(binding("bot")).with(role(resource))
        };
        assert_eq!(world("pods").diagnosis().causes[0].confidence, Confidence::High);
        assert!(world("secrets").codes().is_empty(), "granted since");
    }

    #[test]
    fn every_binding_of_an_account_counts() {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "second", "namespace": "shop"},
            "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["list"]}]});
        let second = crate::playbook::world::patched(
            binding("bot"),
            json!({"metadata": {"name": "second"}, "roleRef": {"name": "second"}}),
        );
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", FORBIDDEN);
        let world = world.with(binding("bot")).with(second).with(role);
        assert!(world.codes().is_empty(), "the second grants it");
    }

    #[test]
    fn what_is_refused_for_the_whole_cluster_no_role_binding_grants() {
        let line = FORBIDDEN.replace("in the namespace \"shop\"", "at the cluster scope");
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &line).with(binding("bot"));
        let diagnosis = world.diagnosis();
        assert_eq!(world.cause(), "rbac_forbidden ServiceAccount/bot");
        assert!(diagnosis.headline.contains("ClusterRoleBinding"), "{}", diagnosis.headline);
        assert_eq!(diagnosis.causes[0].confidence, Confidence::Medium);
        assert!(diagnosis.data_gaps[0].contains("ClusterRoles"), "{:?}", diagnosis.data_gaps);
    }

    #[test]
    fn words_an_outsider_sent_are_no_refusal() {
        let quoted = format!("INFO ticket 9911 subject=\"{}\"", FORBIDDEN.trim_start_matches("ERROR "));
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &quoted);
        assert!(world.codes().is_empty(), "{:?}", world.codes());
    }

    #[test]
    fn what_the_api_server_proves_comes_before_a_line_that_claims_a_refusal() {
        let world = World::asking("Pod", "web-1-a").with(pod(crashed(137, "OOMKilled"))).log("web-1-a", FORBIDDEN);
        assert_eq!(world.cause(), "oom_killed_no_limit Deployment/web");
    }

    #[test]
    fn other_forbidden_things_are_not_rbac() {
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", "GET /admin 403 forbidden");
        assert!(world.codes().is_empty());
    }
}
