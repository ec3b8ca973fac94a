//! Databases whose schema lacks what the running version asks for: its migration did not run, or another one did.

use k8s_openapi::api::core::v1::Pod;

use crate::playbook::back;
use crate::playbook::facts::{Seen, SeenLog};
use crate::playbook::finding::{Depth, Finding, change, kubectl, look, slash};
use crate::playbook::logs;
use crate::playbook::pattern::Pattern;
use crate::playbook::pods;
use crate::playbook::reach;
use crate::playbook::relay;
use crate::playbook::scene::{Scene, named};
use crate::report::Confidence;

/// A table or column that is not there, in the words of PostgreSQL, MySQL, SQLite, SQL Server and Oracle, with its name.
static LACKS: Pattern = Pattern::new(
    r#"(?i)\b(?:column|relation) \\?"?([\w.]+)\\?"? (?:of relation \\?"?[\w.]+\\?"? )?does not exist|unknown column '([\w.]+)'|table '([\w.]+)' doesn't exist|no such (?:table|column): ([\w.]+)|invalid (?:column|object) name '([\w.]+)'|ora-0094[02][^\n]*"#,
);
/// A server's own log of what was asked of it: the client is the one whose version matters.
static SERVER: Pattern = Pattern::new(r"\bat character \d+\s*$");

/// Findings about Pods that ask for what their database does not have.
#[must_use]
pub fn run(scene: &Scene<'_>) -> Vec<Finding> {
    scene.current_pods().filter_map(|pod| behind(scene, pod)).collect()
}

fn behind(scene: &Scene<'_>, pod: &Seen<Pod>) -> Option<Finding> {
    let asks = |line: &str| LACKS.hits(line) && !SERVER.hits(line);
    // A process that ends over it says so once for each run.
    let crashed = pods::containers(&pod.object).iter().any(|view| view.failing(scene.facts.now));
    let (log, line) = if crashed { said_once(scene, pod, asks)? } else { repeated(scene, pod, asks)? };
    let lacking = (1..=5).find_map(|group| LACKS.group(line, group)).unwrap_or_default();
    let (name, workload) = (named(&pod.object), scene.workload(&pod.object));
    let lacks = if lacking.is_empty() { String::new() } else { format!(" {lacking}") };
    let headline = scene.text(
        format!("{workload} 需要的表或列{lacks} 在数据库中不存在：数据库结构（schema）与该版本不符，迁移（migration）可能没有执行"),
        format!("{workload} asks its database for{lacks}, which its schema does not have: the migration of this version may not have run"),
    );
    let summary = scene.text(
        format!("{headline}，日志：{}。", logs::said(line)),
        format!("{headline}; its log: {}.", logs::said(line)),
    );
    Some(
        Finding::new("database_schema_behind", Depth::Root, &name, &workload, headline)
            .summary(summary)
            .confidence(Confidence::Medium)
            .cite([scene.quote(&log.reference, line)])
            .unresolved(scene.text(
                "该版本的迁移是否执行过？还是连错了库、或迁移先于版本发布？",
                "Did this version's migration run? Or is it the wrong database, or a migration ahead of the release?",
            ))
            .steps([
                look(
                    scene.text("查看迁移 Job 及其结果", "See the migration Jobs and how they ended"),
                    kubectl(&workload.namespace, "get jobs --sort-by=.metadata.creationTimestamp"),
                ),
                look(
                    scene.text("查看最近的版本", "See what was released lately"),
                    kubectl(&workload.namespace, &format!("rollout history {}", slash(&workload))),
                ),
                change(
                    scene.text(
                        "若迁移没有执行，由应用负责人执行该版本的迁移",
                        "If it did not run, have the application's owners run this version's migration",
                    ),
                    "",
                    None,
                ),
            ])
            .steps(back::step(scene, &workload)),
    )
}

fn said_once<'s>(scene: &Scene<'s>, pod: &Seen<Pod>, asks: impl Fn(&str) -> bool) -> Option<(&'s SeenLog, &'s str)> {
    let (log, text) = reach::present_logs(scene, &pod.object).into_iter().find(|(_, text)| text.lines().any(&asks))?;
    // What the process died of, not something it met on its way.
    let line = logs::culprit(text).filter(|line| asks(line) || relay::is_passed_on(line))?;
    Some((log, text.lines().rfind(|line| asks(line)).unwrap_or(line)))
}

fn repeated<'s>(scene: &Scene<'s>, pod: &Seen<Pod>, asks: impl Fn(&str) -> bool) -> Option<(&'s SeenLog, &'s str)> {
    reach::repeated(scene, &pod.object, asks).map(|(log, line, _)| (log, line))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::playbook::world::{World, crashed, pod};

    const LACKING: [&str; 4] = [
        "ERROR sqlalchemy.exc.ProgrammingError: (psycopg.errors.UndefinedColumn) column orders.gift_note does not exist",
        "ERROR java.sql.SQLSyntaxErrorException: Unknown column 'orders.gift_note' in 'field list'",
        "ERROR sqlite3.OperationalError: no such table: orders.gift_note",
        "ERROR pq: relation \"orders.gift_note\" does not exist",
    ];

    #[test]
    fn a_column_that_is_not_there_is_a_migration_that_did_not_run() {
        for line in LACKING {
            let world =
                World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &format!("{line}\n").repeat(6));
            assert_eq!(world.cause(), "database_schema_behind Deployment/web", "{line}");
            let headline = world.diagnosis().headline;
            assert!(headline.contains("orders.gift_note") && headline.contains("migration"), "{headline}");
        }
    }

    #[test]
    fn one_that_ends_over_it_needs_to_say_it_once() {
        let world = World::asking("Pod", "web-1-a").with(pod(crashed(1, "Error"))).log("web-1-a", LACKING[3]);
        assert_eq!(world.cause(), "database_schema_behind Deployment/web");
    }

    #[test]
    fn the_servers_own_log_and_a_single_query_are_not_blamed() {
        let server = "ERROR:  column orders.gift_note does not exist at character 51\n".repeat(6);
        let world = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", &server);
        assert!(!world.codes().contains(&"database_schema_behind"));
        let once = World::asking("Pod", "web-1-a").with(pod(json!({}))).log("web-1-a", LACKING[0]);
        assert!(!once.codes().contains(&"database_schema_behind"));
    }
}
