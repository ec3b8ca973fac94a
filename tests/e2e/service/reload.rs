//! A configuration that changes under the running service: a right one is used, a wrong one is said and left.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::Connection;
use tokio::process::Command;

use crate::support::alerts::{PENDING, in_group, webhook};
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::gate::Gate;
use crate::support::service::{Home, Service, TOKEN, client};
use crate::support::wecom::Wecom;
use crate::support::{contract, eventually, eventually_async};

fn parts(url: &str) -> Value {
    json!({"channels": [{"name": "oncall", "type": "feishu-bot", "url": url}]})
}

async fn hang_up(service: &Service) {
    let sent = Command::new("kill").args(["-HUP", &service.pid().to_string()]).status().await.unwrap();
    assert!(sent.success());
}

async fn read(service: &Service, outcome: &str, times: u32) {
    let line = format!("firstlook_configurations_total{{outcome=\"{outcome}\"}} {times}");
    // A connection that is kept alive is closed when the configuration changes: each question has one of its own.
    let is_read = || async {
        let asked = client().get(format!("{}/metrics", service.base())).bearer_auth(TOKEN).send().await;
        let Ok(answer) = asked else { return false };
        answer.text().await.is_ok_and(|metrics| metrics.contains(&line))
    };
    eventually_async("the configuration is read", 20, is_read).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_a_right_configuration_is_followed_and_a_wrong_one_is_not() {
    on_every_engine(async || {
        let (before, after) = (Feishu::with(None, None).await, Feishu::with(None, None).await);
        let home = Home::new(&parts(&before.url()));
        let service = home.serve().await;
        let (first, _) = service.accept(&webhook(PENDING)).await;
        service.settled(&first, 20).await;
        assert_eq!(before.arrivals().len(), 1);

        std::fs::write(home.config(), "channels: [{ name: oncall, type: carrier-pigeon }]").unwrap();
        hang_up(&service).await;
        read(&service, "rejected", 1).await;
        assert!(service.log().contains("carrier-pigeon") && service.log().contains("feishu-bot"), "{}", service.log());
        let (second, _) = service.accept(&in_group(PENDING, "second")).await;
        service.settled(&second, 20).await;
        assert_eq!(before.arrivals().len(), 2, "the one before goes on");

        home.write(&parts(&after.url()));
        // Another spelling of the same file is the same store.
        let written = std::fs::read_to_string(home.config()).unwrap();
        std::fs::write(home.config(), written.replace("sqlite:/", "sqlite:///")).unwrap();
        hang_up(&service).await;
        read(&service, "used", 2).await;
        let (third, _) = service.accept(&in_group(PENDING, "third")).await;
        service.settled(&third, 20).await;
        assert_eq!((before.arrivals().len(), after.arrivals().len()), (2, 1));
        assert_eq!(service.incidents().await.len(), 3, "the store goes on");
        assert_eq!(contract::holds(&service, 6, 5).await.sent, 6);
        assert_eq!(service.terminate().await.code(), Some(0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_a_secret_that_is_rotated_is_used_without_a_word() {
    on_every_engine(async || {
        let home = Home::new(&json!({"channels": []}));
        let mut config: Value = serde_json::from_slice(&std::fs::read(home.config()).unwrap()).unwrap();
        config["server"]["tokens"] = json!([TOKEN, "${file:token}"]);
        let secret = home.config().with_file_name("token");
        std::fs::write(&secret, "the-first-token-of-all\n").unwrap();
        home.write(&config);
        let service = home.serve().await;
        let opens = async |token: &str| {
            let asked = client().get(format!("{}/api/v1/incidents", service.base())).bearer_auth(token).send().await;
            asked.is_ok_and(|answer| answer.status() == 200)
        };
        assert!(opens("the-first-token-of-all").await);
        std::fs::write(&secret, "the-second-token-of-all\n").unwrap();
        eventually_async("the new token opens", 20, || opens("the-second-token-of-all")).await;
        assert!(!opens("the-first-token-of-all").await, "the old one does not");
    })
    .await;
}

/// Deliveries that come while the configuration changes wait a moment; none is refused or lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_refused_or_lost_while_the_configuration_changes() {
    on_every_engine(async || {
        let feishu = Feishu::with(None, None).await.without_rate_limit();
        let home = Home::new(&parts(&feishu.url()));
        let service = home.serve().await;
        let sending = async {
            for number in 0..60 {
                let body = in_group(PENDING, &format!("g{number}")).to_string();
                // A connection that comes at that very moment may break; its sender tries again, as Alertmanager does.
                loop {
                    let post = client().post(format!("{}/webhooks/alertmanager", service.base())).bearer_auth(TOKEN);
                    if let Ok(answer) = post.body(body.clone()).send().await {
                        assert_eq!(answer.status(), 202);
                        break;
                    }
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        let reloading = async {
            for _ in 0..3 {
                tokio::time::sleep(std::time::Duration::from_millis(700)).await;
                hang_up(&service).await;
            }
        };
        tokio::join!(sending, reloading);
        let listed =
            client().get(format!("{}/api/v1/incidents?limit=100", service.base())).bearer_auth(TOKEN).send().await;
        let listed: Value = listed.unwrap().json().await.unwrap();
        assert_eq!(listed["incidents"].as_array().unwrap().len(), 60);
        contract::holds_at_least(&service, 120, 60).await;
    })
    .await;
}

/// A message that hangs at its product holds up neither the next configuration nor an alert that comes meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_a_chat_that_hangs_holds_up_no_alert_while_the_configuration_changes() {
    on_every_engine(async || {
        let (feishu, wecom) = (Feishu::start().await.without_rate_limit(), Wecom::start().await.without_rate_limit());
        let mut behind: url::Url = feishu.url().parse().unwrap();
        let gate = Gate::before(behind.socket_addrs(|| None).unwrap()[0]).await;
        behind.set_port(Some(gate.address.port())).unwrap();
        let home = Home::new(&json!({"channels": [
            {"name": "oncall", "type": "feishu-bot", "url": behind.as_str()},
            {"name": "ops", "type": "wecom-bot", "url": wecom.url()},
        ]}));
        let service = home.serve().await;
        gate.shut();
        service.accept(&in_group(PENDING, "before")).await;
        eventually("the other chat has it", 10, || (wecom.accepted().len() == 1).then_some(())).await;
        hang_up(&service).await;
        read(&service, "used", 2).await;
        let asked = Instant::now();
        service.accept(&in_group(PENDING, "after")).await;
        // An attempt may take twelve seconds; the reload waited for all of it once.
        assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
        eventually("the other chat has that too", 6, || (wecom.accepted().len() == 2).then_some(())).await;
        gate.open();
        assert_eq!(contract::holds(&service, 4, 60).await.sent, 4);
        assert_eq!(service.terminate().await.code(), Some(0));
    })
    .await;
}

/// A secret is rotated while the database fails over: the process goes on, and follows when it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f48_a_configuration_that_cannot_be_served_for_its_store_is_followed_later() {
    on_every_engine(async || {
        let (before, after) = (Feishu::start().await, Feishu::start().await);
        let home = Home::new(&parts(&before.url()));
        let service = home.serve().await;
        sqlx::any::install_default_drivers();
        let mut other = sqlx::AnyConnection::connect(home.store()).await.unwrap();
        let lock = match home.store().starts_with("sqlite:") {
            true => "BEGIN EXCLUSIVE",
            false => "BEGIN; LOCK TABLE secret, incident, outbox IN ACCESS EXCLUSIVE MODE",
        };
        sqlx::raw_sql(lock).execute(&mut other).await.unwrap();
        home.write(&parts(&after.url()));
        hang_up(&service).await;
        eventually("it is said", 30, || service.log().contains("the new configuration is not used").then_some(()))
            .await;
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
        read(&service, "used", 2).await;
        let (id, _) = service.accept(&in_group(PENDING, "after it")).await;
        service.settled(&id, 30).await;
        assert_eq!((before.arrivals().len(), after.arrivals().len()), (0, 1));
        contract::holds(&service, 2, 10).await;
    })
    .await;
}
