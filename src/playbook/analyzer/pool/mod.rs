//! Connection pools that are used up: the application's requests wait in vain for a connection of its own.

mod sharing;

use k8s_openapi::api::core::v1::Pod;

use crate::playbook::facts::Seen;
use crate::playbook::finding::{Depth, Finding, change, edit_template, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// How pools say it: HikariCP, Tomcat and DBCP (Java), SQLAlchemy (Python), Knex and Sequelize (Node), ADO.NET, ActiveRecord
/// (Ruby), r2d2 and sqlx (Rust), and those that say it in plain words.
static SAYS: Pattern = Pattern::new(
    r"(?i)pool[\w-]* - connection is not available, request timed out|queuepool limit of size \d+|timeout acquiring a connection|prior to obtaining a connection from the pool|pool timed out while waiting for an open connection|timed out waiting for connection from pool|cannot get a connection, pool error|resourcerequest timed out|could not obtain a (?:database )?connection (?:from the pool )?within|all pooled connections were in use|\bconnection ?pool (?:is )?(?:exhausted|full)|pool exhausted",
);
/// How drivers and databases say that a statement, or a connection that was there, waits too long, whom for they do not say.
static SLOW: Pattern = Pattern::new(
    r"(?i)communications link failure|lock wait timeout exceeded|canceling statement due to (?:statement|lock) timeout|(?:statement|query)(?: execution)? (?:was )?timed? ?out|could not (?:get|open) jdbc connection",
);
/// Signs that no connection was ever made: then it is the database that is not reached.
static UNREACHED: Pattern =
    Pattern::new(r"(?i)\btotal=0\b|\bactive=0, idle=0\b|connection (?:to \S+ )?refused|unknown ?host|no such host");

/// How pools say that a connection was not given back in time: HikariCP's and DBCP's watch, which print who took it.
static LEAK: Pattern = Pattern::new(
    r"(?i)connection leak detection triggered|(?:apparent|possible) connection leak|connection has been abandoned",
);
/// A frame of the pool itself and of the runtime, above that of who took the connection.
static OF_THE_POOL: Pattern =
    Pattern::new(r"^\s+at (?:com\.zaxxer|org\.apache\.(?:commons\.dbcp|tomcat)|java|javax|jdk|sun)\.");

/// Whether a line says that the database keeps its client waiting, be it by the client's own pool.
#[must_use]
pub fn tells(line: &str) -> bool {
    (SAYS.hits(line) || SLOW.hits(line)) && !UNREACHED.hits(line)
}

/// Findings about Pods whose log says so again and again.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| used_up(scene, pod)).collect()
}

fn used_up(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let says = |line: &str| SAYS.hits(line) && !UNREACHED.hits(line);
    let (log, line, count) = reach::repeated(scene, &pod.object, says)?;
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let said = logs::said(line);
    let headline = scene.text(
        format!("{workload} 的连接池（connection pool）用尽，请求在等待连接：{said}"),
        format!("{workload} has used up its connection pool, so its requests wait for a connection: {said}"),
    );
    let view = pods::containers(&pod.object).into_iter().find(|view| view.name() == log.container);
    let shared = view.as_ref().and_then(|view| sharing::of(view.spec));
    let (headline, sure) = match &shared {
        Some(shared) => {
            let told = shared.told(scene);
            (scene.text(format!("{headline}（{told}）"), format!("{headline} ({told})")), Confidence::High)
        }
        None => (headline, Confidence::Medium),
    };
    let leak = log.lines.as_deref().ok().and_then(leak);
    let (leak_zh, leak_en) = leak.map_or_else(Default::default, |(_, taker)| {
        (
            format!("同一日志报告连接泄漏（connection leak），取走连接的是 {taker}。"),
            format!(" The same log tells of a connection leak: {taker} took connections that did not come back."),
        )
    });
    let summary = scene.text(
        format!("{headline}（日志中出现 {count} 次）。{leak_zh}"),
        format!("{headline} ({count} times in the log).{leak_en}"),
    );
    let container = view.map(|view| format!(" -c {}", view.name())).unwrap_or_default();
    Some(
        Finding::new("connection_pool_exhausted", Depth::Mechanism, &name, &workload, headline)
            .summary(summary)
            .confidence(sure)
            .cite([scene.quote(&log.reference, line)])
            .cite(shared.iter().flat_map(|shared| shared.proofs()).map(|said| scene.quote(&pod.reference, said)))
            .cite(leak.map(|(line, _)| scene.quote(&log.reference, line)))
            .unresolved(scene.text(
                "是池子太小、查询变慢、连接没有归还，还是数据库不再接受新连接？",
                "Is the pool too small, are its queries slow, are connections not given back, or does the database take no more?",
            ))
            .steps([
                look(
                    scene.text("查看应用日志中连接池的大小与等待数", "See the pool's size and who waits in the log"),
                    kubectl(&name.namespace, &format!("logs {}{container} --tail=200", name.name)),
                ),
                look(
                    scene.text("查看最近的版本与配置变更", "See what was changed lately"),
                    kubectl(
                        &workload.namespace,
                        &format!("rollout history {}", slash(&workload)),
                    ),
                ),
                change(
                    scene.text(
                        "恢复或调大连接池配置；确认数据库能承受总连接数",
                        "Restore or raise the pool's size; the database must bear the sum of all pools",
                    ),
                    "",
                    edit_template(&workload),
                ),
            ]),
    )
}

/// The first line that tells of a connection that was not given back, and who took it: the first frame below that is not the
/// pool's own.
fn leak(text: &str) -> Option<(&str, &str)> {
    const FRAMES: usize = 15;
    let mut lines = text.lines().skip_while(|line| !LEAK.hits(line) || logs::instructs(line));
    let line = lines.next()?;
    let mut frames = lines.take(FRAMES).filter(|line| line.trim_start().starts_with("at "));
    let taker = frames.find(|frame| !OF_THE_POOL.hits(frame))?.trim_start().trim_start_matches("at ");
    Some((line, taker.split('(').next().unwrap_or(taker)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, pod};

    const WAITS: &str = "ERROR 1 --- [web] [nio-1] o.h.SqlExceptionHelper : HikariPool-1 - Connection is not available, request timed out after 30000ms (total=2, active=2, idle=0, waiting=43)\n";

    fn logged(log: &str) -> World {
        World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", log)
    }

    #[test]
    fn who_took_connections_that_did_not_come_back_is_told() {
        let leak = "WARN [l-1 housekeeper] ProxyLeakTask : Connection leak detection triggered for Connection@1 on thread exec-1, stack trace follows\njava.lang.Exception: Apparent connection leak detected\n\tat com.zaxxer.hikari.HikariDataSource.getConnection(HikariDataSource.java:128)\n\tat shop.export.Exporter.open(Exporter.java:77)\n";
        let told = |log: &str| logged(log).diagnosis().causes.remove(0).summary;
        let leaking = told(&format!("{leak}INFO order 7\n{}", WAITS.repeat(4)));
        assert!(leaking.contains("leak: shop.export.Exporter.open took"), "{leaking}");
        assert!(!told(&WAITS.repeat(4)).contains("leak"), "the pool may be small");
    }

    #[test]
    fn a_pool_that_is_used_up_again_and_again_is_the_cause() {
        let calm = "INFO GET /products took 29232 ms\n".repeat(3);
        let world = logged(&format!("{WAITS}{calm}{WAITS}{calm}{WAITS}"));
        assert_eq!(world.cause(), "connection_pool_exhausted Deployment/web");
        assert!(world.diagnosis().headline.contains("total=2"), "{}", world.diagnosis().headline);
    }

    #[test]
    fn a_pool_that_never_had_a_connection_is_not_used_up() {
        let empty = WAITS.replace("total=2, active=2, idle=0", "total=0, active=0, idle=0").repeat(6);
        assert!(!logged(&empty).codes().contains(&"connection_pool_exhausted"));
    }

    #[test]
    fn a_single_hiccup_is_none() {
        let world = logged(&format!("{WAITS}{}", "INFO GET /products took 20 ms\n".repeat(20)));
        assert!(!world.codes().contains(&"connection_pool_exhausted"));
    }

    #[test]
    fn words_about_a_pool_are_no_complaint() {
        logged(&"INFO HikariPool-1 - Start completed. connection pool of 24 is ready\n".repeat(4)).is_calm();
    }
}
