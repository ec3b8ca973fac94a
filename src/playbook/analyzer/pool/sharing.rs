//! Sharing: how many workers of a container share a pool of how many connections, as its own template says.

use k8s_openapi::api::core::v1::Container;

use crate::playbook::pattern::Pattern;
use crate::playbook::scene::Scene;

/// Options by which servers of work are told how much they do at once: Sidekiq, Celery, and what calls it by its name.
static OPTION: Pattern = Pattern::new(r"^(?:-c|--concurrency)(?:=(\d{1,5}))?$");
/// Variables for the same.
static WORKERS: Pattern =
    Pattern::new(r"^(?:SIDEKIQ_CONCURRENCY|\w*WORKER_CONCURRENCY|CELERYD_CONCURRENCY|JOB_CONCURRENCY)$");
/// Variables for the size of a pool of connections; Rails sizes its own by the threads of its web server.
static POOL: Pattern = Pattern::new(
    r"^(?:RAILS_MAX_THREADS|(?:\w*_)?(?:DB|DATABASE|PG|SQL|HIKARI)\w*POOL\w*|\w*POOL_(?:SIZE|MAX)\w*|\w*MAX(?:IMUM)?_POOL_SIZE)$",
);

/// Workers that share too few connections.
pub(super) struct Shared {
    workers: (u32, String),
    pool: (u32, String),
}

/// What a container is told of both, where its workers are more than the connections.
pub(super) fn of(container: &Container) -> Option<Shared> {
    let workers = by_option(container).or_else(|| by_variable(container, &WORKERS))?;
    let pool = by_variable(container, &POOL)?;
    (workers.0 > pool.0).then_some(Shared { workers, pool })
}

fn by_option(container: &Container) -> Option<(u32, String)> {
    let words: Vec<&str> = container.command.iter().chain(&container.args).flatten().map(String::as_str).collect();
    words.iter().enumerate().find_map(|(at, word)| {
        let found = OPTION.groups(word)?;
        match found.get(1) {
            Some(number) => Some((number.as_str().parse().ok()?, (*word).to_owned())),
            None => {
                let number: u32 = words.get(at + 1)?.parse().ok()?;
                Some((number, format!("{word} {number}")))
            }
        }
    })
}

fn by_variable(container: &Container, names: &Pattern) -> Option<(u32, String)> {
    let mut variables = container.env.iter().flatten().filter(|variable| names.hits(&variable.name));
    variables.find_map(|variable| {
        let number: u32 = variable.value.as_deref()?.trim().parse().ok()?;
        Some((number, format!("{}={number}", variable.name)))
    })
}

impl Shared {
    /// Both in half a sentence.
    pub(super) fn told(&self, scene: &Scene<'_>) -> String {
        let ((workers, by), (pool, size)) = (&self.workers, &self.pool);
        scene.text(
            format!("{workers} 个并发（{by}）共用 {pool} 个连接（{size}）"),
            format!("{workers} workers, by {by}, share a pool of {pool} connections, by {size}"),
        )
    }

    /// The texts of the template that say so.
    pub(super) fn proofs(&self) -> impl Iterator<Item = &str> {
        let name = self.pool.1.split('=').next().unwrap_or_default();
        let option = self.workers.1.split([' ', '=']).next().unwrap_or_default();
        [name, option].into_iter()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(container: serde_json::Value) -> Option<(u32, u32)> {
        let container: Container = serde_json::from_value(container).unwrap();
        of(&container).map(|shared| (shared.workers.0, shared.pool.0))
    }

    #[test]
    fn every_pattern_compiles() {
        assert!(OPTION.compiles() && WORKERS.compiles() && POOL.compiles());
    }

    #[test]
    fn workers_beyond_their_pool_are_counted_by_option_or_variable() {
        let env = json!([{"name": "RAILS_MAX_THREADS", "value": "5"}]);
        assert_eq!(told(json!({"name": "s", "args": ["-C", "config.yml", "-c", "25"], "env": env})), Some((25, 5)));
        assert_eq!(
            told(
                json!({"name": "s", "command": ["celery", "--concurrency=8"], "env": [{"name": "DB_POOL_SIZE", "value": "4"}]})
            ),
            Some((8, 4))
        );
        let both = json!([{"name": "SIDEKIQ_CONCURRENCY", "value": "10"}, {"name": "DB_POOL", "value": "5"}]);
        assert_eq!(told(json!({"name": "s", "env": both})), Some((10, 5)));
    }

    #[test]
    fn a_pool_that_is_large_enough_or_unknown_is_not_told() {
        let env = json!([{"name": "RAILS_MAX_THREADS", "value": "25"}]);
        assert_eq!(told(json!({"name": "s", "args": ["-c", "25"], "env": env})), None);
        assert_eq!(told(json!({"name": "s", "args": ["-c", "25"]})), None);
        assert_eq!(told(json!({"name": "s", "args": ["-c", "app.conf"], "env": env})), None);
    }
}
