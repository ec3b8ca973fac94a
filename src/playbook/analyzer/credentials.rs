//! Servers that refuse whom a client claims to be: the client's log says so, and most servers note it in their own.

use k8s_openapi::api::core::v1::{Pod, Service};

use crate::alert::ObjectRef;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::pattern::Pattern;
use crate::playbook::scene::{Scene, named};
use crate::playbook::{environment, logs, pods, present, reach, tries};
use crate::report::{Citation, Confidence};

/// How servers refuse a login, as they and the clients that pass it on write it, with the user where they name one:
/// PostgreSQL and MySQL (`errmsg.txt` of each), MongoDB since 4.4 (`"msg":"Authentication failed"`, before and since 6.0
/// `Failed to authenticate`), RabbitMQ (`PLAIN login refused: user 'x'`; its clients `ACCESS_REFUSED`), Redis (`WRONGPASS`, `NOAUTH`).
static REFUSAL: Pattern = Pattern::new(concat!(
    r#"(?i)(?:password|SCRAM|PAM|LDAP|MD5) authentication failed for user \\?["'`]([^"'`\\]{1,63})"#,
    r#"|Access denied for user '([^']{1,63})'@'[^']*' \(using password: (?:YES|NO)\)"#,
    r#"|login refused: user '([^']{1,63})'|ACCESS_REFUSED - Login was refused"#,
    r#"|"msg":"(?:Authentication failed|Failed to authenticate)".*"(?:principalName|user)":"([^"]{1,63})""#,
    r"|MongoServerError: Authentication failed|\(AuthenticationFailed\)|AuthenticationFailed: |error authenticating:? .*Authentication failed|auth error: .*Authentication ?failed",
    r"|\bWRONGPASS\b|\bNOAUTH Authentication required",
));
/// The groups of [`REFUSAL`] that name a user.
const USERS: [usize; 4] = [1, 2, 3, 4];
/// Replies of Redis, which does not log that it gave them.
static UNLOGGED: Pattern = Pattern::new(r"\bWRONGPASS\b|\bNOAUTH\b");
/// Variables that hold a password, by their names.
static SECRET: Pattern = Pattern::new(r"(?i)pass|pwd|secret|token|auth|credential|url|uri|dsn");
/// Variables whose whole value is a host, by their names.
static PLACE: Pattern = Pattern::new(r"(?i)(?:host(?:name)?|addr(?:ess)?|server|endpoint|broker|ur[il])s?$");
/// How long ago, in seconds, the last refusal may have been written down that still stands for the present; of a time that
/// names no zone the clock may be hours off, and then it proves nothing.
const PRESENT: i64 = 1_800;
/// Lines after the last refusal, and the times that the longest pause between refusals goes into them, which say that it was
/// the last: what names no time is as old as the calm after it is long.
const CALM: usize = 10;
const PAUSES: usize = 3;
/// Secrets that are named in one sentence.
const NAMED: usize = 3;

/// Whether a line passes on such a refusal: then it is worth reading whom its Pod calls.
#[must_use]
pub fn tells(line: &str) -> bool {
    REFUSAL.hits(line) && !logs::instructs(line)
}

/// The user a refusal names.
fn user(line: &str) -> Option<&str> {
    let found = REFUSAL.groups(line)?;
    USERS.iter().find_map(|group| found.get(*group)).map(|found| found.as_str())
}

/// Findings about clients that a server of the cluster refuses.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| refused(scene, pod)).collect()
}

/// Whether the errors of a server's log are the refusals that a client's log tells of as well: those are the client's fault.
#[must_use]
pub fn is_refusing(scene: &Scene<'_>, server: &Pod, line: &str) -> bool {
    let name = named(server);
    tells(line) && scene.current_pods().filter_map(|pod| confirmed(scene, pod)).any(|it| named(it.server) == name)
}

/// A client's complaint: where it stands, and who it came as.
struct Complaint<'a> {
    log: &'a SeenLog,
    line: &'a str,
    user: Option<&'a str>,
}

fn complaint<'a>(scene: &Scene<'a>, pod: &Pod) -> Option<Complaint<'a>> {
    let (log, line, _) = reach::repeated(scene, pod, |line| tells(line) && logs::is_error(line))?;
    let text = log.lines.as_deref().ok()?;
    let is_over = tries::made_up_for(text).contains(&line) || tries::came_about(text, line);
    let is_old = !is_recent(scene, line) || (present::time(line).is_none() && is_calm(text));
    (!is_over && !is_old && !present::is_over(pod, text, line)).then(|| Complaint { log, line, user: user(line) })
}

/// Whether a line was written lately, as far as it says when.
fn is_recent(scene: &Scene<'_>, line: &str) -> bool {
    present::time(line).is_none_or(|at| (scene.facts.now.as_second() - at.as_second()).abs() <= PRESENT)
}

/// Whether so much follows the last refusal of a log that it was the last.
fn is_calm(text: &str) -> bool {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let told: Vec<usize> = (0..lines.len()).filter(|at| tells(lines[*at])).collect();
    let pause = told.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default();
    told.last().is_some_and(|last| lines.len() - 1 - last >= CALM.max(PAUSES * pause))
}

/// What both ends tell: the server, and the line of its log.
struct Confirmed<'s, 'a> {
    complaint: Complaint<'a>,
    server: &'s Pod,
    log: &'a SeenLog,
    line: &'a str,
    is_only: bool,
}

fn confirmed<'s, 'a>(scene: &'s Scene<'a>, pod: &Seen<Pod>) -> Option<Confirmed<'s, 'a>> {
    let complaint = complaint(scene, &pod.object)?;
    let own = scene.workload(&pod.object);
    let address = pod.object.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    let backends = called(scene, &pod.object, complaint.line).into_iter();
    let backends = backends.flat_map(|service| scene.backends(&service.object)).map(|it| &it.object);
    let others = backends.filter(|it| scene.workload(it) != own);
    let mut noted = others.filter_map(|it| Some((it, note(scene, it, &complaint, address)?)));
    let (server, (log, line)) = noted.next()?;
    let is_only = noted.all(|(it, _)| scene.workload(it) == scene.workload(server));
    Some(Confirmed { complaint, server, log, line, is_only })
}

/// The Services that a client may mean: where its line names a host, those of that host alone, else those its variables name.
fn called<'s>(scene: &'s Scene<'_>, pod: &Pod, line: &str) -> Vec<&'s Seen<Service>> {
    let said = reach::hosts(line);
    let hosts = if said.is_empty() { told_to_call(pod) } else { said };
    let mut services: Vec<&Seen<Service>> =
        hosts.iter().filter_map(|host| reach::service_at(scene, pod, host)).collect();
    services.sort_by_key(|service| named(&service.object));
    services.dedup_by_key(|service| named(&service.object));
    services
}

/// The hosts of a Pod's variables. A word of a value is none: a user, a database and a scheme may have a Service's name.
fn told_to_call(pod: &Pod) -> Vec<String> {
    let hosts = environment::variables(pod).into_iter().flat_map(|variable| {
        let whole = PLACE.hits(variable.name).then(|| variable.value.to_owned());
        reach::hosts(variable.value).into_iter().chain(whole)
    });
    hosts.collect()
}

/// The server's own note of refusing this client lately: the same user, or the client's address.
fn note<'a>(
    scene: &Scene<'a>,
    server: &Pod,
    told: &Complaint<'_>,
    address: Option<&str>,
) -> Option<(&'a SeenLog, &'a str)> {
    for (log, text) in reach::present_logs(scene, server) {
        let mut before = "";
        let mut last = None;
        for line in text.lines() {
            let is_same = match (told.user, user(line)) {
                (Some(one), Some(other)) => one == other,
                // RabbitMQ names the address in the line before, MongoDB in the same.
                _ => address.is_some_and(|address| {
                    environment::has_word(line, address) || environment::has_word(before, address)
                }),
            };
            if tells(line) && is_same {
                last = Some(line);
            }
            before = line;
        }
        if let Some(line) = last.filter(|line| is_recent(scene, line)) {
            return Some((log, line));
        }
    }
    None
}

fn refused(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    if let Some(found) = confirmed(scene, pod) {
        let sure = if found.is_only { Confidence::High } else { Confidence::Medium };
        let server = scene.workload(found.server);
        let own = scene.quote(&found.log.reference, found.line);
        let both = scene.text("，服务端自己的日志也这样记录", ", and the server's own log says the same");
        let user = found.complaint.user.or_else(|| user(found.line));
        return Some(told(scene, pod, &found.complaint, user, &server, &both).cite([own]).confidence(sure));
    }
    // Of what a server does not log the client alone can tell; it has to name whom it calls, and to run.
    let complaint = complaint(scene, &pod.object).filter(|it| UNLOGGED.hits(it.line))?;
    let is_meant = |service: &Service| {
        scene
            .backends(service)
            .iter()
            .any(|it| pods::containers(&it.object).iter().any(|view| keeps_keys(view.image())))
    };
    let mut servers =
        called(scene, &pod.object, complaint.line).into_iter().filter(|service| is_meant(&service.object));
    let service = servers.next()?;
    if servers.next().is_some() || !pods::is_ready(&pod.object) {
        return None;
    }
    let behind = scene.backends(&service.object).into_iter().next().map(|it| scene.workload(&it.object))?;
    let alone = scene.text("（Redis 不记录它）", " (Redis keeps no log of that)");
    Some(told(scene, pod, &complaint, complaint.user, &behind, &alone).confidence(Confidence::Medium))
}

/// Whether an image is a server that speaks the protocol of Redis.
fn keeps_keys(image: &str) -> bool {
    ["redis", "valkey", "keydb", "dragonfly"].iter().any(|name| image.contains(name))
}

fn told(
    scene: &Scene<'_>,
    pod: &Seen<Pod>,
    complaint: &Complaint<'_>,
    user: Option<&str>,
    server: &ObjectRef,
    beside: &str,
) -> Finding {
    let workload = scene.workload(&pod.object);
    let (as_zh, as_en) =
        user.map_or_else(Default::default, |user| (format!("用户 {user} 的"), format!(" of user {user}")));
    let secrets = secrets(&pod.object, &complaint.log.container);
    let (from_zh, from_en) = if secrets.is_empty() {
        Default::default()
    } else {
        let secrets = secrets.join(", ");
        (format!("（来自 Secret {secrets}）"), format!(", from Secret {secrets},"))
    };
    let said = logs::said(complaint.line);
    let headline = scene.text(
        format!("{server} 拒绝 {workload} 登录：{as_zh}账号或密码{from_zh}不被接受：{said}"),
        format!("{server} refuses {workload}: the credentials{as_en}{from_en} are not accepted: {said}"),
    );
    let summary = format!("{headline}{beside}");
    Finding::new("dependency_credentials_refused", Depth::Root, &named(&pod.object), &workload, headline)
        .summary(summary)
        .cite(proof(scene, pod, complaint, &secrets))
        .touches([server.clone()])
        .steps([
            look(
                scene.text("查看客户端最近换过的版本或重启", "See what versions the client had lately, and when it was restarted"),
                kubectl(&workload.namespace, &format!("rollout history {}", slash(&workload))),
            ),
            look(
                scene.text("查看服务端日志", "Read the server's log"),
                kubectl(&server.namespace, &format!("logs {} --tail=100", slash(server))),
            ),
            change(
                scene.text(
                    "让 Secret 中的账号密码与服务端一致：改正其中一边；改的是 Secret 时，之后重启客户端",
                    "Make the Secret and the server agree on user and password: correct one of them, and restart the client if it is the Secret",
                ),
                scene.text(
                    "常见原因：只轮换了一边的密码",
                    "Often the password was changed on one side only",
                ),
                None,
            ),
        ])
}

fn proof(scene: &Scene<'_>, pod: &Seen<Pod>, complaint: &Complaint<'_>, secrets: &[String]) -> Vec<Option<Citation>> {
    let named = secrets.first().and_then(|secret| scene.quote(&pod.reference, &format!("name: {secret}")));
    vec![scene.quote(&complaint.log.reference, complaint.line), named]
}

/// The Secrets a container takes variables from: those of variables that hold a password, else all.
fn secrets(pod: &Pod, container: &str) -> Vec<String> {
    let views = pods::containers(pod);
    let Some(view) = views.iter().find(|view| view.name() == container) else { return Vec::new() };
    let refers = view.spec.env.iter().flatten().filter_map(|variable| {
        let source = variable.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some((SECRET.hits(&variable.name) || SECRET.hits(&source.key), source.name.clone()))
    });
    let whole =
        view.spec.env_from.iter().flatten().filter_map(|it| Some((false, it.secret_ref.as_ref()?.name.clone())));
    let all: Vec<(bool, String)> = refers.chain(whole).filter(|(_, name)| !name.is_empty()).collect();
    let any = all.iter().any(|(holds, _)| *holds);
    let mut names: Vec<String> = all.into_iter().filter(|(holds, _)| *holds || !any).map(|(_, name)| name).collect();
    names.sort();
    names.dedup();
    names.truncate(NAMED);
    names
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::playbook::world::{World, container, patched, pod, service};
    use crate::report::Verdict;

    const CODE: &str = "dependency_credentials_refused";
    const POSTGRES: &str = "FATAL:  password authentication failed for user \"shop\"\n";

    fn client(log: &str) -> World {
        let env = json!([{"name": "DB_HOST", "value": "web"},
            {"name": "DB_USER", "valueFrom": {"secretKeyRef": {"name": "other", "key": "name"}}},
            {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop-db", "key": "password"}}}]);
        let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
            "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]}, "status": {"podIP": "10.244.1.9"},
            "spec": {"containers": [container(json!({"env": env}))]}});
        World::asking("Pod", "cart-1-a")
            .with(patched(pod(json!({})), cart))
            .log("cart-1-a", &log.repeat(4))
            .with(service(json!({"app": "web"})))
            .with(pod(json!({})))
    }

    fn redis(image: &str) -> Value {
        let runs = json!([{"name": "web", "image": image}]);
        pod(json!({"spec": {"containers": runs}}))
    }

    #[test]
    fn what_both_ends_tell_is_the_clients_fault_and_names_the_secret() {
        assert!([&REFUSAL, &UNLOGGED, &SECRET, &PLACE].iter().all(|pattern| pattern.compiles()));
        let cases = [
            (
                "psycopg2.OperationalError: connection to server at \"web\" (10.96.0.7), port 5432 failed: FATAL:  password authentication failed for user \"shop\"\n",
                POSTGRES,
            ),
            (
                "ERROR (1045, \"Access denied for user 'shop'@'10.244.1.9' (using password: YES)\")\n",
                "2026-11-23T02:59:40Z 9 [Note] [MY-010926] [Server] Access denied for user 'shop'@'10.244.1.9' (using password: YES)\n",
            ),
            (
                "ERROR MongoServerError: Authentication failed.\n",
                "{\"t\":{\"$date\":\"2026-11-23T02:59:40.000+00:00\"},\"s\":\"I\",\"c\":\"ACCESS\",\"id\":5286307,\"msg\":\"Failed to authenticate\",\"attr\":{\"client\":\"10.244.1.9:51234\",\"user\":\"shop\",\"db\":\"admin\"}}\n",
            ),
            (
                "ERROR Exception (403) Reason: \"ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN\"\n",
                "2026-11-23 02:59:40.000000+00:00 [error] <0.9.0> Error on AMQP connection <0.9.0> (10.244.1.9:51234 -> 10.244.1.5:5672, state: starting):\n2026-11-23 02:59:40.000000+00:00 [error] <0.9.0> PLAIN login refused: user 'shop' - invalid credentials\n",
            ),
        ];
        for (told, noted) in cases {
            let world = client(told).log("web-1-a", noted);
            assert_eq!(world.cause(), format!("{CODE} Deployment/cart"), "{told}");
            let diagnosis = world.diagnosis();
            assert_eq!(diagnosis.causes[0].confidence, Confidence::High);
            let headline = diagnosis.headline;
            assert!(headline.contains("user shop") && headline.contains("Secret shop-db,"), "{headline}");
        }
    }

    #[test]
    fn one_end_alone_is_no_proof() {
        let told = format!("ERROR {POSTGRES}");
        assert!(!client(&told).codes().contains(&CODE), "the server is silent");
        let other = POSTGRES.replace("shop", "admin");
        assert!(!client(&told).log("web-1-a", &other).codes().contains(&CODE), "an outsider tries another user");
        assert!(!client("INFO order stored\n").log("web-1-a", &POSTGRES.repeat(9)).codes().contains(&CODE));
        let old = format!("2026-11-22 02:00:00.000 UTC [9] {POSTGRES}");
        assert!(!client(&told).log("web-1-a", &old).codes().contains(&CODE), "that was yesterday");
    }

    #[test]
    fn what_was_followed_by_success_is_over() {
        let told = format!("ERROR connection to server at \"web\", port 5432 failed: {POSTGRES}");
        let world = client(&told).log("web-1-a", POSTGRES);
        assert_eq!(world.cause(), format!("{CODE} Deployment/cart"));
        let text = format!("{}INFO connected to web:5432\n", told.repeat(4));
        let world = client("").log("cart-1-a", &text).log("web-1-a", POSTGRES);
        assert!(!world.codes().contains(&CODE));
    }

    #[test]
    fn a_line_without_a_time_is_as_old_as_the_calm_after_it() {
        let told = format!("ERROR connection to server at \"web\", port 5432 failed: {POSTGRES}");
        let after = |lines: usize| {
            let text = told.repeat(4) + &"INFO: \"POST /v1/orders HTTP/1.1\" 201 Created\n".repeat(lines);
            client("").log("cart-1-a", &text).log("web-1-a", POSTGRES)
        };
        assert!(!after(60).codes().contains(&CODE), "orders are stored since");
        assert_eq!(after(3).cause(), format!("{CODE} Deployment/cart"));
        let rare = format!("{told}{}", "INFO: \"GET /health HTTP/1.1\" 200 OK\n".repeat(20)).repeat(4);
        let rare = client("").log("cart-1-a", &rare).log("web-1-a", POSTGRES);
        assert_eq!(rare.cause(), format!("{CODE} Deployment/cart"), "it pauses that long each time");
    }

    #[test]
    fn the_host_a_line_names_is_the_one_that_refuses() {
        let of = |host: &str| {
            let told = format!("ERROR connection to server at \"{host}\" (10.0.31.7), port 5432 failed: {POSTGRES}");
            client(&told).log("web-1-a", POSTGRES)
        };
        assert_eq!(of("web.shop.svc").cause(), format!("{CODE} Deployment/cart"));
        assert!(!of("shop.c9x1.eu-central-1.rds.amazonaws.com").codes().contains(&CODE), "it is outside");
        assert!(
            !of("web.c9x1.eu-central-1.rds.amazonaws.com").codes().contains(&CODE),
            "only its first label is alike"
        );
        assert!(!of("users-pg").codes().contains(&CODE), "it is another server");
    }

    #[test]
    fn a_word_of_a_variable_is_no_host() {
        let told = format!("ERROR {POSTGRES}");
        let of = |name: &str, value: &str| {
            let env = json!([{"name": name, "value": value}]);
            let cart = json!({"metadata": {"name": "cart-1-a", "labels": {"app": "cart"}, "ownerReferences": [{"apiVersion": "apps/v1",
                "kind": "ReplicaSet", "name": "cart-1", "uid": "c", "controller": true}]},
                "spec": {"containers": [container(json!({"env": env}))]}});
            client(&told).with(patched(pod(json!({})), cart)).log("web-1-a", POSTGRES).codes().contains(&CODE)
        };
        assert!(of("DATABASE_URL", "postgres://shop@web:5432/shop") && of("PG_DSN", "host=web user=shop"));
        assert!(of("PGHOST", "web"));
        assert!(!of("DB_USER", "web"), "a user");
        assert!(!of("DATABASE_URL", "web://shop@db.example.com/shop"), "a scheme");
        assert!(!of("DATABASE_URL", "postgres://shop@db.example.com:5432/web"), "a database");
    }

    #[test]
    fn a_server_that_keeps_no_log_of_it_is_believed_from_its_client_and_not_surely() {
        let told = "ERROR WRONGPASS invalid username-password pair or user is disabled.\n";
        let world = client(told).with(redis("redis:7"));
        assert_eq!(world.cause(), format!("{CODE} Deployment/cart"));
        assert_eq!(world.diagnosis().causes[0].confidence, Confidence::Medium);
        assert!(!client(told).with(redis("reg/web:1")).codes().contains(&CODE), "that is no Redis");
        assert!(!client("INFO WRONGPASS is what the guide says\n").with(redis("redis:7")).codes().contains(&CODE));
    }

    #[test]
    fn the_servers_errors_are_not_another_fault() {
        let told = format!("ERROR {POSTGRES}");
        let noted = format!("FATAL:  {}", POSTGRES.repeat(20));
        let diagnosis = client(&told).log("web-1-a", &noted).diagnosis();
        assert_eq!(diagnosis.verdict, Verdict::Fault);
        assert!(
            diagnosis.related.iter().all(|related| !related.why.contains("another fault")),
            "{:?}",
            diagnosis.related
        );
    }
}
