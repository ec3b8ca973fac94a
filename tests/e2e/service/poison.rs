//! A message over which whoever sends it ends each time: it is put aside where people see it, and the others go on.

use serde_json::json;

use crate::support::alerts::{PENDING, in_group};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::eventually;
use crate::support::feishu::Feishu;
use crate::support::service::{Home, Service};
use crate::support::wecom::Wecom;

/// Ends of the process that one message may cause; the next start finds it put aside.
const MOST_ENDS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f45_a_message_that_ends_every_process_is_put_aside_and_the_next_one_is_told() {
    on_every_engine(async || {
        let feishu = Feishu::start().await;
        let home = Home::new(&json!({"channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}]}));
        let mut service = home.serve_with(&[("FIRSTLOOK_FAIL_AT", "before-send")]).await;
        let (id, _) = service.accept(&in_group(PENDING, "deadly")).await;
        service.dies(20).await;
        let mut ends = 1;
        let service = loop {
            assert!(ends <= MOST_ENDS, "it dies for ever");
            let Some(mut alive) = home.serve_until("before-send").await else {
                ends += 1;
                continue;
            };
            if !alive.is_gone_within(25).await {
                break alive;
            }
            ends += 1;
        };
        assert_eq!(ends, MOST_ENDS);
        is_put_aside(&service, &id).await;
        service.kill_9().await;

        let service = home.serve().await;
        service.settled(&service.accept(&in_group(PENDING, "harmless")).await.0, 20).await;
        let balance = contract::holds(&service, 2 * alerts(), 10).await;
        assert_eq!((balance.sent, balance.dead), (alerts() as u64, alerts() as u64), "{balance:?}");
        assert_eq!(feishu.accepted().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f45_a_message_that_breaks_its_sender_is_told_on_the_fallback_and_its_channel_goes_on() {
    on_every_engine(async || {
        let (feishu, wecom) = (Feishu::start().await, Wecom::start().await);
        let home = Home::new(&json!({
            "channels": [
                {"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"fallback": "ops"}},
                {"name": "ops", "type": "wecom-bot", "url": wecom.url()},
            ],
            "routes": [{"channels": ["oncall"]}],
        }));
        let service = home.serve_with(&[("FIRSTLOOK_PANIC_AT", "before-send")]).await;
        let (id, _) = service.accept(&in_group(PENDING, "breaking")).await;
        eventually("it is told on the fallback", 90, || (wecom.accepted().len() == 1).then_some(())).await;
        is_put_aside(&service, &id).await;
        service.settled(&service.accept(&in_group(PENDING, "harmless")).await.0, 20).await;
        assert_eq!((feishu.accepted().len(), wecom.accepted().len()), (1, 1), "each is told once");
        assert_eq!(contract::holds(&service, 2 * alerts(), 10).await.sent, 2 * alerts() as u64);
    })
    .await;
}

async fn is_put_aside(service: &Service, id: &str) {
    let incident = service.settled(id, 20).await;
    let notice = &incident["notices"][0];
    assert_eq!((&notice["state"], &notice["attempts"]), (&json!("dead"), &json!(MOST_ENDS + 1)), "{incident:#}");
    assert!(notice["last_error"].as_str().unwrap().contains("cut off"), "{incident:#}");
}

fn alerts() -> usize {
    in_group(PENDING, "any")["alerts"].as_array().unwrap().len()
}
