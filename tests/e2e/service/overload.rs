//! More different alerts at once than models, money and hands: bounded work, and everybody hears of everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, one_alert};
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, ModelServer};
use crate::support::service::Home;
use crate::support::{contract, pending};

/// A tenth of the flood in A46; all 5 000 of it with `FIRSTLOOK_FLOOD=5000`, which `scripts/soak.sh` sets.
fn flood() -> usize {
    std::env::var("FIRSTLOOK_FLOOD").map_or(500, |text| text.parse().unwrap())
}

/// Of so many it is seen who investigated them: their turn comes first.
const LOOKED_AT: usize = 120;
/// Groups that Alertmanager has under way at once.
const SENDERS: usize = 50;
const CONCURRENCY: usize = 4;

/// Counts questions under way.
#[derive(Clone, Default)]
struct Load(Arc<(AtomicUsize, AtomicUsize)>);

impl Load {
    fn begin(&self) {
        let now = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(now, Ordering::SeqCst);
        let load = self.clone();
        tokio::spawn(async move {
            // A little less than it takes, so that no answer is counted beside the question it makes way for.
            tokio::time::sleep(THINKS / 2).await;
            load.0.0.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

const THINKS: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a46_a_flood_of_different_alerts_costs_what_was_allowed_and_no_alert_is_lost() {
    on_every_engine(async || {
        let (feishu, load) = (Feishu::start().await, Load::default());
        let seen = load.clone();
        let model = ModelServer::scripted(move |asked| {
            seen.begin();
            Answer::After(THINKS, Box::new(pending::investigate(asked)))
        })
        .await;
        let home = Home::new(&json!({
            "mcp": builtin(PENDING), "models": pending::models(&model),
            // Without a cooldown every incident wants a model; the day's tokens are enough for some of them.
            "triage": {"cooldown": "0s", "concurrency": CONCURRENCY, "daily": {"tokens": 60_000}},
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 5}}],
        }));
        let service = home.serve().await;
        let name = |number: usize| format!("Flood{number:04}");
        let flood = flood();
        let accept = async |number| {
            let alert = one_alert(&name(number), &json!({"alertname": name(number)}));
            service.accept(&alert).await.0
        };
        let ids: Vec<String> = futures::stream::iter((0..flood).map(accept)).buffered(SENDERS).collect().await;
        let balance = contract::holds(&service, flood, 300 + flood as u64 / 10).await;
        assert_eq!(balance.sent, flood as u64, "{balance:?}");
        let (mut by_model, mut by_playbook) = (0, 0);
        for id in &ids[..LOOKED_AT] {
            let over = |incident: &Value| incident["investigation"]["state"] == "done";
            let incident = service.incident_when("it is investigated", id, 120, over).await;
            let usage = &incident["report"]["usage"];
            match usage["source"].as_str() {
                Some("model") => by_model += 1,
                _ => by_playbook += usize::from(usage["stopped_by"] == "daily_limit"),
            }
        }
        assert_eq!(by_model + by_playbook, LOOKED_AT, "each by a model while the money lasts, then by the playbook");
        assert!(by_model > 0 && by_playbook > LOOKED_AT / 2, "{by_model} by the model, {by_playbook} by the playbook");
        println!("{flood} alerts: {by_model} by the model, {} messages", feishu.accepted().len());
        assert!(load.most() <= CONCURRENCY, "{} at once", load.most());
        let all: String = feishu.accepted().iter().map(Value::to_string).collect();
        let silent: Vec<usize> = (0..flood).filter(|number| !all.contains(&name(*number))).collect();
        assert!(silent.is_empty(), "nobody heard of {silent:?}");
        assert!(feishu.refused().is_empty(), "{:?}", feishu.refused());
    })
    .await;
}
