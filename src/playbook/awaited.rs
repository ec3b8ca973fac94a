//! Awaited: what an init container says it waits for, where that is an object of the cluster and no host to call.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::environment;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::scene::{Scene, named};

/// What stands behind the words of waiting.
static AWAITS: Pattern =
    Pattern::new(r"(?i)(?:\bwaiting (?:for|on)\b[:\s]*(?:the )?(?:condition on )?|(?:正在|继续|仍在)?等待)\s*(\S.*)");
/// A kind and a name: `job/db-migrate`, `Job "shop/db-migrate"`, `secret db-credentials`, `job.batch/x`.
static KIND_FIRST: Pattern = Pattern::new(
    r#"(?i)^(jobs?|pods?|deployments?|statefulsets?|daemonsets?|config ?maps?|cm|secrets?|crds?|custom ?resource ?definitions?|pvc|persistentvolumeclaims?|services?|svc|host|namespaces?|serviceaccounts?)(?:\.[a-z0-9.]+)?(\s*[/:]\s*|\s+(?:named |called )?)(["'`]?)(?:([a-z0-9][a-z0-9-]*)/)?([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)"#,
);
/// A name and a kind: `the db-migrate job to complete`.
static NAME_FIRST: Pattern = Pattern::new(
    r#"(?i)^(["'`]?)([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)["'`]?\s+(jobs?|pods?|deployments?|statefulsets?|daemonsets?|config ?maps?|secrets?|crds?|pvc|services?)\b"#,
);
/// How kubectl passes on that the API server knows no such object: `jobs.batch "db-migrate" not found`.
static NOT_FOUND: Pattern = Pattern::new(
    r#"(?i)\b(jobs|pods|deployments|statefulsets|daemonsets|configmaps|secrets|customresourcedefinitions|persistentvolumeclaims)(?:\.[a-z0-9.]+)? "([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)" not found"#,
);
/// A word alone, before whatever follows: `orders-db:5432`, `orders-db...`, `postgres to start`.
static WORD: Pattern = Pattern::new(r#"(?i)^["'`]?([a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)"#);
/// Work that a Job usually does.
static WORK: Pattern = Pattern::new(r"(?i)\b(migrat|schema|seed)|迁移|建表");
/// How names of Jobs speak of it.
static WORKER: Pattern = Pattern::new(r"(?i)migrat|schema|seed|flyway|liquibase|alembic|initdb|init-db|db-init");
/// How a command names a host that it asks.
static ASKED: Pattern = Pattern::new(
    r#"(?i)\b(?:nslookup|dig|getent hosts|host|telnet|ping|nc|ncat|netcat|curl|wget|pg_isready|mysqladmin|redis-cli|mysql|psql)\b[^;|&\n]*?\s["']?([a-z0-9][a-z0-9.-]*[a-z0-9])["']?(?:\s|:\d|;|$|/)|--?h(?:ost)?[= ]\s*["']?([a-z0-9][a-z0-9.-]*[a-z0-9])"#,
);

/// The kinds by their words in logs.
const KINDS: [(&str, &str); 12] = [
    ("job", "Job"),
    ("pod", "Pod"),
    ("deployment", "Deployment"),
    ("statefulset", "StatefulSet"),
    ("daemonset", "DaemonSet"),
    ("configmap", "ConfigMap"),
    ("cm", "ConfigMap"),
    ("secret", "Secret"),
    ("crd", "CustomResourceDefinition"),
    ("customresourcedefinition", "CustomResourceDefinition"),
    ("pvc", "PersistentVolumeClaim"),
    ("persistentvolumeclaim", "PersistentVolumeClaim"),
];

/// Words that name no object and no host, whatever they stand behind.
const WORDS: [&str; 40] = [
    "all",
    "any",
    "be",
    "cache",
    "caches",
    "change",
    "changes",
    "completion",
    "condition",
    "connection",
    "connections",
    "data",
    "database",
    "dependencies",
    "dependency",
    "election",
    "file",
    "files",
    "in",
    "initialization",
    "is",
    "leader",
    "leadership",
    "lock",
    "migration",
    "migrations",
    "mount",
    "network",
    "readiness",
    "ready",
    "requests",
    "schema",
    "signal",
    "startup",
    "sync",
    "tables",
    "that",
    "to",
    "volume",
    "with",
];

/// A command that asks in a namespace it names.
static ELSEWHERE: Pattern = Pattern::new(r#"\bkubectl\b[^;|&\n]*?\s(?:-n|--namespace)[= ]+['"]?([a-z0-9-]+)"#);

/// The namespace that a Pod's commands ask in; its own where they name none.
#[must_use]
pub fn namespace_asked(pod: &Pod) -> String {
    let command = words(pod).map(String::as_str).collect::<Vec<_>>().join(" ");
    ELSEWHERE.group(&command, 1).unwrap_or_else(|| named(pod).namespace)
}

/// An object that a log line says is awaited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The object; without a Namespace where the line gives none, or where its kind lives in none.
    pub object: ObjectRef,
    /// Whether the words can mean nothing else: a slash, quotes, or a name that is no plain word.
    pub sure: bool,
    /// Whether the API server itself said that it is not there.
    pub not_found: bool,
}

/// The object that a line says is awaited, where it names a kind; in a Namespace where the line gives none.
#[must_use]
pub fn object(line: &str, namespace: &str) -> Option<Named> {
    if let Some(found) = NOT_FOUND.groups(line) {
        let kind = kind_of(found.get(1)?.as_str())?;
        return Some(Named { object: placed(kind, namespace, found.get(2)?.as_str()), sure: true, not_found: true });
    }
    let rest = AWAITS.group(line, 1)?;
    let rest = rest.trim_start();
    if let Some(found) = KIND_FIRST.groups(rest) {
        let text = |group: usize| found.get(group).map(|part| part.as_str()).unwrap_or_default();
        let kind = kind_of(text(1))?;
        let (name, quoted) = (text(5), !text(3).is_empty() || !text(2).trim().is_empty());
        let own = if text(4).is_empty() { namespace } else { text(4) };
        return is_name(name).then(|| Named {
            object: placed(kind, own, name),
            sure: quoted || !is_plain(name),
            not_found: false,
        });
    }
    let found = NAME_FIRST.groups(rest)?;
    let (name, kind) = (found.get(2)?.as_str(), kind_of(found.get(3)?.as_str())?);
    let quoted = found.get(1).is_some_and(|quote| !quote.as_str().is_empty());
    is_name(name).then(|| Named {
        object: placed(kind, namespace, name),
        sure: quoted || !is_plain(name),
        not_found: false,
    })
}

/// The host that a line says is awaited: a word that names no kind of object and no piece of work.
#[must_use]
pub fn host(line: &str) -> Option<String> {
    let rest = AWAITS.group(line, 1)?;
    let rest = rest.trim_start();
    let called = KIND_FIRST.groups(rest).and_then(|found| {
        let is_host = is_service(found.get(1)?.as_str());
        Some(is_host.then(|| found.get(5).map(|name| name.as_str().to_owned())).flatten())
    });
    let word = match called {
        Some(name) => name,
        None if NAME_FIRST
            .groups(rest)
            .is_some_and(|found| !found.get(3).is_some_and(|kind| is_service(kind.as_str()))) =>
        {
            None
        }
        None => WORD.group(rest, 1),
    };
    word.map(|word| word.to_ascii_lowercase()).filter(|word| is_name(word) && !word.contains("..") && word.len() > 1)
}

/// Whether a line says of a host that it is awaited in words alone: nothing in it shows that it is a host at all.
fn is_only_said(line: &str, host: &str) -> bool {
    self::host(line).as_deref() == Some(host) && {
        let line = line.to_ascii_lowercase();
        let rest = line.split_once(host).map(|(_, rest)| rest).unwrap_or_default();
        let has_port =
            rest.strip_prefix(':').is_some_and(|rest| rest.starts_with(|digit: char| digit.is_ascii_digit()));
        let called = AWAITS.group(&line, 1).and_then(|rest| KIND_FIRST.group(rest.trim_start(), 1));
        let is_called = called.is_some_and(|kind| is_service(&kind)) && !is_plain(host);
        !has_port && !is_called && !host.contains(".svc") && !line.contains(&format!("://{host}"))
    }
}

/// Whether what a line says is awaited may be anything: neither the line nor the Pod's own settings show that it is a host.
#[must_use]
pub fn is_mere_word(pod: &Pod, line: &str, host: &str) -> bool {
    is_only_said(line, host) && !is_told(pod, host)
}

/// Whether a Pod's variables or commands name a host as one to call, and not in what they only print.
#[must_use]
pub fn is_told(pod: &Pod, host: &str) -> bool {
    let first = |found: &str| found == host || found.split('.').next() == Some(host);
    let speaks = |name: &str| {
        let name = name.to_ascii_uppercase();
        ["HOST", "ADDR", "URL", "URI", "SERVER", "ENDPOINT", "SERVICE", "BROKER"].iter().any(|word| name.contains(word))
    };
    let variables = environment::variables(pod);
    let by_variable = variables.iter().any(|variable| {
        environment::host_in(variable.value).is_some_and(|found| first(&found))
            || (speaks(variable.name) && variable.value == host)
    });
    by_variable
        || words(pod).any(|command| {
            let asked = ASKED.all(command);
            let mut hosts = asked.iter().filter_map(|found| found.get(1).or_else(|| found.get(2)));
            hosts.any(|found| first(found.as_str())) || command.contains(&format!("://{host}"))
        })
}

/// What an init container that does not end waits for.
#[derive(Debug)]
pub struct Wait<'a> {
    /// The line that says so.
    pub line: &'a str,
    /// The log it stands in.
    pub log: &'a SeenLog,
    /// The init container.
    pub container: String,
    /// What is awaited.
    pub named: Named,
}

/// What a Pod's unfinished init container waits for, where its log names an object.
#[must_use]
pub fn of_pod<'a>(scene: &Scene<'a>, pod: &Pod) -> Option<Wait<'a>> {
    let namespace = namespace_asked(pod);
    lines(scene, pod)
        .into_iter()
        .find_map(|(line, log, container)| Some(Wait { line, log, container, named: object(line, &namespace)? }))
}

/// The Job that an init container waits for without naming it: it waits for work such as a migration, and one Job alone is
/// called after such and has not completed.
#[must_use]
pub fn worker<'a, 's>(scene: &'s Scene<'a>, pod: &Pod) -> Option<(&'a str, &'a SeenLog, &'s Seen<Job>)> {
    let (line, log, _) = lines(scene, pod).into_iter().find(|(line, ..)| {
        let rest = AWAITS.group(line, 1);
        rest.is_some_and(|rest| WORK.hits(&rest)) && object(line, "").is_none_or(|named| !named.sure)
    })?;
    let fits = |job: &&Seen<Job>| {
        job.object.metadata.namespace == pod.metadata.namespace
            && WORKER.hits(&named(&job.object).name)
            && !is_complete(&job.object)
    };
    let mut found = scene.jobs.iter().filter(fits);
    let job = found.next()?;
    found.next().is_none().then_some((line, log, job))
}

/// Whether the init container of some Pod waits for an object by its name.
#[must_use]
pub fn by_someone(scene: &Scene<'_>, object: &ObjectRef) -> bool {
    scene.current_pods().any(|pod| of_pod(scene, &pod.object).is_some_and(|wait| wait.named.object == *object))
}

/// Whether a name of a Job speaks of work that others wait for.
#[must_use]
pub fn is_worker(name: &str) -> bool {
    WORKER.hits(name)
}

/// Whether a line says that work is awaited which a Job usually does.
#[must_use]
pub fn awaits_work(line: &str) -> bool {
    AWAITS.group(line, 1).is_some_and(|rest| WORK.hits(&rest))
}

/// Whether a Job has done its work.
#[must_use]
pub fn is_complete(job: &Job) -> bool {
    has(job, "Complete")
}

/// Whether a Job gave up.
#[must_use]
pub fn has_failed(job: &Job) -> bool {
    has(job, "Failed")
}

fn has(job: &Job, kind: &str) -> bool {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or(&[]);
    conditions.iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// The last line of each unfinished init container that says what is awaited.
fn lines<'a>(scene: &Scene<'a>, pod: &Pod) -> Vec<(&'a str, &'a SeenLog, String)> {
    let views = pods::containers(pod);
    let unfinished = views.iter().filter(|view| view.init && (view.running() || view.failing(scene.facts.now)));
    let told = |line: &&str| !logs::instructs(line) && (AWAITS.hits(line) || NOT_FOUND.hits(line));
    unfinished
        .flat_map(|view| {
            let found = scene.logs(&named(pod), view.name()).into_iter();
            found.filter_map(|log| {
                Some((log.lines.as_deref().ok()?.lines().rev().take(50).find(told)?, log, view.name().to_owned()))
            })
        })
        .collect()
}

fn words(pod: &Pod) -> impl Iterator<Item = &String> {
    let containers = pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
    containers.flat_map(|container| container.command.iter().chain(&container.args).flatten())
}

fn kind_of(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase().replace(' ', "");
    let one = |known: &str| word == known || word.strip_suffix('s') == Some(known);
    KINDS.iter().find(|(known, _)| one(known)).map(|(_, kind)| *kind)
}

fn is_service(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "service" | "services" | "svc" | "host")
}

fn placed(kind: &str, namespace: &str, name: &str) -> ObjectRef {
    let namespace = if kind == "CustomResourceDefinition" { "" } else { namespace };
    ObjectRef::new(kind, namespace, name.to_ascii_lowercase())
}

fn is_name(word: &str) -> bool {
    !WORDS.contains(&word.to_ascii_lowercase().as_str())
}

/// Whether a word may be one of the language: letters alone.
fn is_plain(word: &str) -> bool {
    word.chars().all(|letter| letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::playbook::world::pod;

    fn of(line: &str) -> Option<(String, bool)> {
        object(line, "shop").map(|named| (named.object.to_string(), named.sure))
    }

    #[test]
    fn every_pattern_compiles() {
        for pattern in [&AWAITS, &KIND_FIRST, &NAME_FIRST, &NOT_FOUND, &WORD, &WORK, &WORKER, &ASKED, &ELSEWHERE] {
            assert!(pattern.compiles());
        }
    }

    #[test]
    fn a_kind_before_or_behind_a_name_is_an_object() {
        for line in [
            "waiting for job/db-migrate",
            "Waiting for Job db-migrate to complete...",
            "[02:40:11] waiting for the job \"db-migrate\"",
            "waiting for job.batch/db-migrate to be complete",
            "still waiting for the db-migrate job to finish",
            "error: timed out waiting for the condition on jobs/db-migrate",
            "Error from server (NotFound): jobs.batch \"db-migrate\" not found",
            "正在等待 Job db-migrate 完成",
        ] {
            assert_eq!(of(line), Some(("Job shop/db-migrate".into(), true)), "{line}");
        }
        assert_eq!(of("waiting for job data/db-migrate"), Some(("Job data/db-migrate".into(), true)));
        assert_eq!(of("waiting for config map app-config"), Some(("ConfigMap shop/app-config".into(), true)));
        assert_eq!(of("waiting for secret 'tls' to exist"), Some(("Secret shop/tls".into(), true)));
        assert_eq!(
            of("waiting for CRD widgets.example.com"),
            Some(("CustomResourceDefinition/widgets.example.com".into(), true))
        );
    }

    #[test]
    fn plain_words_are_no_sure_objects_and_no_hosts_that_must_exist() {
        assert_eq!(of("waiting for secret rotation"), Some(("Secret shop/rotation".into(), false)));
        assert_eq!(of("waiting for job completion"), None);
        for line in [
            "waiting for migration to finish",
            "waiting for lock",
            "waiting for leader election",
            "waiting for file /shared/ready",
            "waiting for the database schema",
            "waiting for job db-migrate",
        ] {
            assert_eq!(host(line), None, "{line}");
        }
        assert_eq!(host("waiting for orders-db:5432...").as_deref(), Some("orders-db"));
        assert_eq!(host("waiting for service orders-db").as_deref(), Some("orders-db"));
        assert!(is_only_said("waiting for postgres", "postgres") && is_only_said("waiting for orders-db", "orders-db"));
        assert!(is_only_said("waiting for service discovery", "discovery"));
        assert!(!is_only_said("waiting for orders-db:5432", "orders-db"));
        assert!(!is_only_said("waiting for service orders-db", "orders-db"));
    }

    #[test]
    fn a_command_asks_in_the_namespace_it_names() {
        let asked = |script: &str| {
            let init = json!({"name": "wait", "image": "kubectl", "command": ["sh", "-c", script]});
            namespace_asked(&serde_json::from_value(pod(json!({"spec": {"initContainers": [init]}}))).unwrap())
        };
        assert_eq!(asked("until kubectl -n platform get configmap app-config; do sleep 2; done"), "platform");
        assert_eq!(asked("kubectl wait --namespace=data job/db-migrate"), "data");
        assert_eq!(asked("kubectl wait job/db-migrate; nc -n data"), "shop");
    }

    #[test]
    fn a_command_tells_of_a_host_where_it_asks_it_and_not_where_it_prints() {
        let told = |script: &str, host: &str| {
            let init = json!({"name": "wait", "image": "busybox", "command": ["sh", "-c", script]});
            is_told(&serde_json::from_value(pod(json!({"spec": {"initContainers": [init]}}))).unwrap(), host)
        };
        assert!(told("until nc -z -w 2 orders 5432; do echo waiting for orders; sleep 2; done", "orders"));
        assert!(told("until nslookup orders; do sleep 2; done", "orders"));
        assert!(told("until pg_isready -h orders; do sleep 2; done", "orders"));
        assert!(told("until wget -q http://orders/healthz; do sleep 2; done", "orders"));
        assert!(!told("until test -f /x; do echo waiting for orders; sleep 2; done", "orders"));
        assert!(!told("until kubectl get job orders; do echo waiting for orders; done", "orders"));
        let env = json!([{"name": "DB_HOST", "value": "orders"}, {"name": "MODE", "value": "standby"}]);
        let init = json!({"name": "wait", "image": "busybox", "env": env});
        let read: Pod = serde_json::from_value(pod(json!({"spec": {"initContainers": [init]}}))).unwrap();
        assert!(is_told(&read, "orders") && !is_told(&read, "standby"));
    }
}
