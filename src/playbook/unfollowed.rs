//! Unfollowed: a process that gave up over a connection, where the place it calls was not looked at, or looks well. Whose
//! fault that is nobody knows yet; it is said what is open, and how to close it.

use k8s_openapi::api::core::v1::Pod;

use crate::alert::ObjectRef;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, kubectl, look};
use crate::playbook::reach::{self, Call, Failure};
use crate::playbook::scene::{Scene, named, service_selector};
use crate::playbook::{alias, awaited, callees, environment};
use crate::report::Step;

/// Places named in one sentence.
const NAMED: usize = 3;

/// Where a connection failed to, as far as it was followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An object that was read. What is wrong with it, if anything is, its own findings say.
    Read(ObjectRef),
    /// A host that no object stands for that was read, with the Service that leads there.
    Beyond {
        /// The host, and the port where it is known.
        host: String,
        /// The Service it would be, or the one that is only a name for it.
        service: Option<ObjectRef>,
    },
    /// Nobody says which it is; these are what the Pod is told to call.
    Unnamed(Vec<String>),
}

/// What is open about a cause.
#[derive(Debug)]
pub struct Open {
    /// What was not looked at.
    pub gap: Option<String>,
    /// What only a person can answer.
    pub question: String,
    /// What tells.
    pub step: Step,
}

/// The place that a finding's own log line could not connect to, where it blames the caller for that. What was reasoned out
/// about a call (its port, its name) is no mere blame.
#[must_use]
pub fn place(scene: &Scene<'_>, finding: &Finding) -> Option<Place> {
    let pod = scene.pod(&finding.about).filter(|_| finding.depth <= Depth::Mechanism)?;
    if finding.blame != finding.about && finding.blame != scene.workload(&pod.object) {
        return None;
    }
    let (log, text, line) = cited_line(scene, finding)?;
    let failure = reach::failure(line)?;
    let mut hosts = reach::hosts(line);
    let own_name = named(&pod.object).name;
    hosts.retain(|host| *host != own_name && !awaited::is_mere_word(&pod.object, line, host));
    if hosts.is_empty() {
        hosts = environment::spoken_of(&pod.object, line);
    }
    if hosts.is_empty() && reach::tells_of_no_connection(line) {
        let beside = reach::named_beside(text).map(|(_, hosts)| hosts);
        hosts = beside.unwrap_or_else(|| callees::fitting(scene.facts, &pod.object, line));
        if hosts.len() != 1 && reach::named_beside(text).is_none() {
            return Some(Place::Unnamed(hosts));
        }
    }
    let own = pod.object.status.as_ref().and_then(|status| status.pod_ip.as_ref());
    hosts.retain(|host| !reach::is_local(host) && Some(host) != own);
    (!hosts.is_empty()).then(|| of_call(scene, pod, &Call { line, log, failure, hosts }))?
}

/// The first log line a finding cites, in full, and the log it stands in.
fn cited_line<'a>(scene: &Scene<'a>, finding: &Finding) -> Option<(&'a SeenLog, &'a str, &'a str)> {
    finding.evidence.iter().find_map(|citation| {
        let log = scene.facts.logs().iter().find(|log| log.reference == citation.reference)?;
        let text = log.lines.as_deref().ok()?;
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        // A line is cited by its beginning, one that announces others together with them.
        let meant = |line: &&str| {
            let line = words(line);
            !line.is_empty() && (line.contains(&citation.quote) || citation.quote.starts_with(&line))
        };
        Some((log, text, text.lines().find(meant)?))
    })
}

fn of_call(scene: &Scene<'_>, pod: &Seen<Pod>, call: &Call<'_>) -> Option<Place> {
    let port = reach::port_of(call);
    let shown = |host: &str| port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    if reach::resolver_is_silent(call) {
        let dns = reach::dns_service(scene).map(|service| named(&service.object));
        return dns.map(Place::Read);
    }
    let first = call.hosts.first().map_or("", String::as_str);
    if let Some(service) = reach::service_of(scene, &pod.object, call) {
        let name = named(&service.object);
        return Some(match alias::name(&service.object) {
            Some(external) => {
                if alias::target(external).is_some_and(|target| scene.facts.is_missing(&target)) {
                    return None;
                }
                Place::Beyond { host: shown(external), service: Some(name) }
            }
            None if service_selector(&service.object).is_none() => {
                Place::Beyond { host: shown(first), service: Some(name) }
            }
            None => Place::Read(name),
        });
    }
    if let Some(called) = reach::pod_of(scene, &pod.object, call) {
        return Some(Place::Read(named(&called.object)));
    }
    let is_namespace = |name: &str| scene.facts.raw(&ObjectRef::new("Namespace", "", name)).is_some();
    let meant = call.hosts.iter().find_map(|host| reach::service_meant(&pod.object, host, is_namespace));
    let by_name = matches!(call.failure, Failure::Unresolved | Failure::Awaited | Failure::Unconnected);
    // That there is no such Service is known, and a finding of its own.
    if by_name && meant.as_ref().is_some_and(|service| scene.facts.is_missing(service)) {
        return None;
    }
    Some(Place::Beyond { host: shown(first), service: meant })
}

/// What is open about the cause that is told first.
#[must_use]
pub fn open(scene: &Scene<'_>, top: &Finding) -> Option<Open> {
    let workload = &top.blame;
    Some(match place(scene, top)? {
        Place::Read(object) => well(scene, workload, &object),
        Place::Beyond { host, service } => beyond(scene, workload, &host, service.as_ref()),
        Place::Unnamed(hosts) => unnamed(scene, workload, &hosts),
    })
}

fn well(scene: &Scene<'_>, workload: &ObjectRef, object: &ObjectRef) -> Open {
    Open {
        gap: None,
        question: scene.text(
            format!("{workload} 连不上 {object}，而在 {object} 上没有发现能解释它的异常：当时它是否可用，两者之间有什么（网络策略、网格、TLS）拦住了连接？"),
            format!("{workload} could not connect to {object}, and nothing was found there that explains it: was it away at the time, or does something between the two (a policy, a mesh, TLS) stop the connection?"),
        ),
        step: look(
            scene.text(format!("检查 {object} 及其后端"), format!("Check {object} and its backends")),
            kubectl(&object.namespace, &format!("describe {} {}", object.kind.to_lowercase(), object.name)),
        ),
    }
}

fn beyond(scene: &Scene<'_>, workload: &ObjectRef, host: &str, service: Option<&ObjectRef>) -> Open {
    let title = scene.text(
        format!("确认 {host} 是否可用，以及能否从 {workload} 的 Pod 连通"),
        format!("Check that {host} is up and can be reached from the Pods of {workload}"),
    );
    let bare = host.split(':').next().unwrap_or_default();
    let where_it_is = if is_of_services(scene, bare) {
        scene.text(
            "（它在 Service 的地址段内，是集群中的 Service）",
            " (its address is one of the range of this cluster's Services)",
        )
    } else {
        scene.text("（可能在集群之外）", " (it may be outside the cluster)")
    };
    let step = match service {
        Some(service) => look(title, kubectl(&service.namespace, &format!("describe service {}", service.name))),
        None if reach::is_address(bare) => look(title, "kubectl get services -A -o wide"),
        None => Step { title, ..Step::default() },
    };
    Open {
        gap: Some(scene.text(
            format!("未查看 {host}：{workload} 连接它失败，而已读到的对象中没有它的后端{where_it_is}"),
            format!("{host}, to which {workload} could not connect, was not looked at: nothing that was read stands behind it{where_it_is}"),
        )),
        question: scene.text(
            format!("{host} 当前是否可用？在确认之前，不能断定问题出在 {workload} 自身"),
            format!("Is {host} up? Until that is known, {workload} itself may not be at fault"),
        ),
        step,
    }
}

/// Whether an address lies beside those of the Services that were read, and is no Pod's.
fn is_of_services(scene: &Scene<'_>, address: &str) -> bool {
    let block = |address: &str| {
        let parts: std::net::Ipv4Addr = address.parse().ok()?;
        Some([parts.octets()[0], parts.octets()[1]])
    };
    let Some(own) = block(address) else { return false };
    let beside = |address: &String| block(address) == Some(own);
    let services = scene.services.iter().filter_map(|service| service.object.spec.as_ref()?.cluster_ip.as_ref());
    let pods = scene.pods.iter().filter_map(|pod| pod.object.status.as_ref());
    let mut others = pods.flat_map(|status| status.pod_ip.iter().chain(&status.host_ip));
    services.into_iter().any(beside) && !others.any(beside)
}

fn unnamed(scene: &Scene<'_>, workload: &ObjectRef, hosts: &[String]) -> Open {
    let told = hosts.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let among = if told.is_empty() {
        String::new()
    } else {
        scene.text(format!("（配置中可能的地址：{told}）"), format!(" (it is told of {told})"))
    };
    Open {
        gap: Some(scene.text(
            format!("未查看 {workload} 连接失败的对端：日志没有写明是谁{among}"),
            format!("whom {workload} could not connect to was not looked at: its log does not say who that is{among}"),
        )),
        question: scene.text(
            format!("{workload} 连接的是哪个依赖，它当前是否可用？在确认之前，不能断定问题出在 {workload} 自身"),
            format!("Which dependency does {workload} call here, and is it up? Until that is known, {workload} itself may not be at fault"),
        ),
        step: Step {
            title: scene.text(
                format!("在 {workload} 的配置中找出它连接的地址，并确认对端可用"),
                format!("Find in the configuration of {workload} whom it connects to, and check that it is up"),
            ),
            ..Step::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::playbook::world::{World, container, crashed, patched, pod, service};
    use crate::report::{Confidence, Diagnosis};

    fn crashing(env: Value, log: &str) -> World {
        let spec = json!({"spec": {"containers": [container(json!({"env": env}))]}});
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "status": {"podIP": "10.244.1.9"}});
        World::asking("Pod", "cart-1-a")
            .with(pod(patched(patched(crashed(1, "Error"), spec), cart)))
            .log("cart-1-a", log)
            .listed("Service")
    }

    /// How sure the first cause is, and all that is said to be open.
    fn told(diagnosis: &Diagnosis) -> (Confidence, String) {
        let open = format!("{:?} {:?} {:?}", diagnosis.data_gaps, diagnosis.unresolved, diagnosis.steps);
        (diagnosis.causes[0].confidence, open)
    }

    #[test]
    fn a_place_outside_that_was_not_followed_leaves_the_callers_fault_open() {
        for (place, line) in [
            (
                "orders.eu-1.rds.example.com:5432",
                "FATAL dial tcp: connect to orders.eu-1.rds.example.com:5432: i/o timeout",
            ),
            ("10.96.44.4:8080", "Error: connect ECONNREFUSED 10.96.44.4:8080"),
            ("api.example.com", "Error: getaddrinfo ENOTFOUND api.example.com"),
            ("api.example.com:443", "HttpRequestException: No such host is known. (api.example.com:443)"),
        ] {
            let world = crashing(json!([]), line);
            let (confidence, open) = told(&world.diagnosis());
            assert_eq!(confidence, Confidence::Medium, "{line}");
            assert!(open.matches(place).count() >= 3, "gap, question and step: {line}: {open}");
        }
    }

    #[test]
    fn what_the_process_calls_on_its_own_machine_is_its_own() {
        let world = crashing(json!([]), "FATAL dial tcp 127.0.0.1:8081: connect: connection refused");
        assert!(!told(&world.diagnosis()).1.contains("127.0.0.1:8081, to which"));
        let own = crashing(json!([]), "FATAL config: TOKEN is not set").diagnosis();
        assert_eq!(own.causes[0].confidence, Confidence::High, "no connection failed");
    }

    #[test]
    fn a_connection_to_nobody_named_is_told_with_what_it_may_be() {
        let line = "com.mysql.cj.jdbc.exceptions.CommunicationsException: Communications link failure";
        let env = json!([{"name": "DB_PRIMARY_URL", "value": "jdbc:mysql://db-a.example.com:3306/x"},
            {"name": "DB_REPLICA_URL", "value": "jdbc:mysql://db-b.example.com:3306/x"}]);
        let (confidence, open) = told(&crashing(env, line).diagnosis());
        assert_eq!(confidence, Confidence::Medium);
        assert!(open.contains("db-a.example.com, db-b.example.com"), "{open}");
        let (confidence, open) = told(&crashing(json!([]), line).diagnosis());
        assert!(confidence == Confidence::Medium && open.contains("does not say who"), "{open}");
    }

    #[test]
    fn a_dependency_that_was_followed_and_is_well_leaves_it_open_too() {
        let line = "FATAL GET http://web/rates: dial tcp 10.96.0.7:80: connect: connection refused";
        let world = crashing(json!([]), line).with(service(json!({"app": "web"}))).with(pod(json!({})));
        let (confidence, open) = told(&world.diagnosis());
        assert_eq!(confidence, Confidence::Medium);
        assert!(open.contains("could not connect to Service shop/web") || open.contains("Service/web"), "{open}");
    }

    #[test]
    fn whom_the_variables_name_is_followed_where_the_log_names_nobody() {
        let env = json!([{"name": "SPRING_DATASOURCE_URL", "value": "jdbc:mysql://web:3306/shop"}, {"name": "LEVEL", "value": "info"}]);
        let line = "Caused by: com.mysql.cj.exceptions.CJCommunicationsException: Communications link failure";
        let world = crashing(env, line).with(service(json!({"app": "web"}))).with(pod(crashed(137, "OOMKilled")));
        assert_eq!(world.cause(), "oom_killed_no_limit Deployment/web");
        let env = json!([{"name": "DB_URL", "value": "jdbc:mysql://web:3306/shop"}]);
        let ended_for_memory = crashing(env, line)
            .with(service(json!({"app": "web"})))
            .with(pod(crashed(1, "Error")))
            .log("web-1-a", "FATAL cannot open /data/index: permission denied")
            .with(pod(patched(crashed(137, "OOMKilled"), json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"},
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}}))));
        assert_eq!(ended_for_memory.cause(), "oom_killed_no_limit Deployment/cart", "memory ended it");
        let kafka = json!([{"name": "KAFKA_BOOTSTRAP_SERVERS", "value": "kafak:9092"}]);
        let line = "Caused by: org.apache.kafka.common.config.ConfigException: No resolvable bootstrap urls given in bootstrap.servers";
        assert_eq!(crashing(kafka, line).cause(), "dependency_service_missing Service/kafak");
    }

    #[test]
    fn a_warning_that_names_the_place_explains_last_words_that_do_not() {
        let log = "WARN [Producer clientId=p] Connection to node -1 (web/10.96.0.7:9092) could not be established. Node may not be available.\nException in thread \"main\" org.apache.kafka.common.errors.TimeoutException: Topic orders not present in metadata after 60000 ms.";
        let world = crashing(json!([]), log).with(service(json!({"app": "web"}))).with(pod(crashed(137, "OOMKilled")));
        assert_eq!(world.cause(), "oom_killed_no_limit Deployment/web");
    }

    #[test]
    fn a_stateful_sets_pod_whose_service_does_not_exist_leads_to_that_service() {
        let line = "pymongo.errors.ServerSelectionTimeoutError: mongo-0.mongo.data.svc.cluster.local:27017: [Errno -2] Name or service not known, Timeout: 30s";
        assert_eq!(crashing(json!([]), line).cause(), "dependency_service_missing Service/mongo");
    }
}
