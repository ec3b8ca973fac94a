//! Replicas over one PostgreSQL database: some die, one freezes, and the rest go on.

use serde_json::{Value, json};

use crate::support::alertmanager::Alertmanager;
use crate::support::alerts::{PENDING, builtin, one_alert, webhook};
use crate::support::database::Database;
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, ModelServer};
use crate::support::service::Home;
use crate::support::{contract, eventually, eventually_async, pending};

const INCIDENTS: usize = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f47_four_replicas_lose_nothing_when_two_die_and_one_freezes() {
    let Some(database) = Database::postgres().await else { return };
    let feishu = Feishu::with(None, None).await.without_rate_limit();
    let home = Home::new(&json!({
        "store": database.address().unwrap(),
        "mcp": builtin(PENDING),
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 1000}}],
    }));
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(home.serve().await);
    }
    let name = |number: usize| format!("Replica{number:03}");
    let alert = |number: usize| one_alert(&name(number), &json!({"alertname": name(number), "namespace": "aiops"}));
    for number in 0..INCIDENTS {
        match number {
            16 => replicas.pop().unwrap().kill_9().await,
            24 => replicas[2].signal("-STOP").await,
            32 => replicas.remove(1).kill_9().await,
            _ => {}
        }
        // The balancer in front knows who is well.
        let well = if number < 16 {
            4
        } else if number < 24 {
            3
        } else if number < 32 {
            2
        } else {
            1
        };
        let (_, decision) = replicas[number % well].accept(&alert(number)).await;
        assert_eq!(decision, "opened");
    }
    let first = &replicas[0];
    for incident in first.incidents().await {
        first.settled(incident["id"].as_str().unwrap(), 90).await;
    }
    // It wakes, and finds that others did its work.
    replicas[1].signal("-CONT").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let balance = contract::holds(first, INCIDENTS, 10).await;
    assert_eq!(balance.sent, INCIDENTS as u64, "{balance:?}");
    let messages: Vec<String> = feishu.accepted().iter().map(Value::to_string).collect();
    let told = |number: usize| messages.iter().filter(|message| message.contains(&name(number))).count();
    let silent: Vec<usize> = (0..INCIDENTS).filter(|number| told(*number) == 0).collect();
    assert!(silent.is_empty(), "nobody was told of {silent:?}");
    // A message whose sender died or froze between its arrival and its mark may come twice, no other.
    let mut notices = 0;
    for incident in first.incidents().await {
        let detail = first.incident(incident["id"].as_str().unwrap()).await;
        notices += detail["notices"].as_array().unwrap().len();
    }
    println!("{INCIDENTS} incidents over four replicas: {notices} notices, {} messages", messages.len());
    assert!((notices..=notices + 3).contains(&messages.len()), "{notices} notices became {} messages", messages.len());
    drop(replicas);
    database.remove().await;
}

/// Alertmanager in its HA mode before two replicas: both members deliver, people hear once, of the beginning and of the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f41_a_pair_of_alertmanagers_before_two_replicas_is_one_incident_and_one_card() {
    let Some(database) = Database::postgres().await else { return };
    let feishu = Feishu::start().await;
    let home = Home::new(&json!({
        "store": database.address().unwrap(), "mcp": builtin(PENDING),
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
    }));
    let (first, second) = (home.serve().await, home.serve().await);
    let pair = Alertmanager::pair_before([&first, &second]).await;
    let alert = webhook(PENDING);
    let both_put = async |fires: bool| {
        tokio::join!(pair[0].put(&alert, fires), pair[1].put(&alert, fires));
    };
    both_put(true).await;
    let deliveries = async || {
        let incidents = first.incidents().await;
        assert!(incidents.len() <= 1, "{incidents:#?}");
        incidents.first().and_then(|incident| incident["deliveries"].as_u64()).unwrap_or(0)
    };
    eventually_async("both members deliver", 30, || async { deliveries().await >= 2 }).await;
    let id = first.incidents().await[0]["id"].as_str().unwrap().to_owned();
    let incident = second.settled(&id, 30).await;
    assert_eq!(incident["notices"].as_array().unwrap().len(), feishu.accepted().len(), "{incident:#}");
    assert_eq!(
        feishu.accepted().len(),
        1,
        "the playbook's findings were in the first message, and nothing adds to them"
    );

    both_put(false).await;
    let over = async || first.incident(&id).await["state"] == "resolved" && feishu.accepted().len() == 2;
    eventually_async("the end is told", 30, || async { over().await }).await;
    // The other member's word of the end, and whatever else is under way.
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!((feishu.accepted().len(), first.incidents().await.len()), (2, 1));
    // How often the pair delivers is its own affair; what was told is the beginning and the end of each alert.
    let alerts = alert["alerts"].as_array().unwrap().len() as u64;
    let balance = contract::holds_at_least(&second, 2 * alerts, 10).await;
    assert_eq!(balance.sent, 2 * alerts, "{balance:?}");
    drop((first, second));
    database.remove().await;
}

/// A new version replaces the old one replica by replica while alerts come in: nothing is lost, and nothing comes twice,
/// because those that leave finish what they hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f47_a_rolling_update_under_load_loses_and_doubles_nothing() {
    let Some(database) = Database::postgres().await else { return };
    let feishu = Feishu::start().await.without_rate_limit();
    let home = Home::new(&json!({
        "store": database.address().unwrap(), "mcp": builtin(PENDING),
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 1000}}],
    }));
    // Both begin on an empty database at the same moment: one makes the tables, the other waits for it.
    let (first, second) = tokio::join!(home.serve(), home.serve());
    let mut replicas = std::collections::VecDeque::from([first, second]);
    let name = |number: usize| format!("Rolling{number:03}");
    for number in 0..INCIDENTS {
        if number % 12 == 6 {
            // The next one is there before the oldest leaves.
            replicas.push_back(home.serve().await);
            assert_eq!(replicas.pop_front().unwrap().terminate().await.code(), Some(0));
        }
        let alert = one_alert(&name(number), &json!({"alertname": name(number), "namespace": "aiops"}));
        assert_eq!(replicas[number % 2].accept(&alert).await.1, "opened");
    }
    let last = &replicas[1];
    let mut notices = 0;
    for incident in last.incidents().await {
        let settled = last.settled(incident["id"].as_str().unwrap(), 60).await;
        notices += settled["notices"].as_array().unwrap().len();
    }
    let balance = contract::holds(last, INCIDENTS, 10).await;
    assert_eq!(balance.sent, INCIDENTS as u64, "{balance:?}");
    let messages: Vec<String> = feishu.accepted().iter().map(Value::to_string).collect();
    let silent: Vec<usize> =
        (0..INCIDENTS).filter(|number| !messages.iter().any(|message| message.contains(&name(*number)))).collect();
    assert!(silent.is_empty(), "nobody was told of {silent:?}");
    assert_eq!(messages.len(), notices, "each message once");
    drop(replicas);
    database.remove().await;
}

/// A replica freezes in the middle of an investigation, another one takes it over and ends it; what the first one then
/// finds when it wakes changes nothing and is told to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f47_a_frozen_replica_that_wakes_writes_nothing_over_its_successor() {
    let Some(database) = Database::postgres().await else { return };
    let feishu = Feishu::start().await;
    let mut asked = 0;
    let model = ModelServer::scripted(move |question| {
        asked += 1;
        match asked {
            // Its answer lies in the frozen process' socket when that wakes.
            1 => Answer::After(std::time::Duration::from_secs(2), Box::new(Answer::Calls(pending::reads()))),
            _ => pending::investigate(question),
        }
    })
    .await;
    let mut models = pending::models(&model);
    models[0]["timeout"] = "60s".into();
    let home = Home::new(&json!({
        "store": database.address().unwrap(), "mcp": builtin(PENDING), "models": models,
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
    }));
    let frozen = home.serve().await;
    let (id, _) = frozen.accept(&webhook(PENDING)).await;
    eventually("the model is asked", 10, || (!model.asked().is_empty()).then_some(())).await;
    let told = || async { feishu.accepted().len() == 1 };
    eventually_async("the first message is out", 10, told).await;
    frozen.signal("-STOP").await;

    let successor = home.serve().await;
    let before = successor.settled(&id, 60).await;
    assert_eq!(
        (&before["investigation"]["attempts"], &before["report"]["usage"]["source"]),
        (&json!(2), &json!("model"))
    );
    let messages = feishu.accepted().len();
    frozen.signal("-CONT").await;
    let yields = || async { frozen.log().contains("taken over by another process") };
    eventually_async("the first one learns that it was replaced", 20, yields).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let after = successor.incident(&id).await;
    for part in ["report", "notices", "investigation", "evidence"] {
        assert_eq!(after[part], before[part], "{part}");
    }
    assert_eq!(feishu.accepted().len(), messages);
    let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
    assert_eq!(contract::holds(&frozen, alerts, 5).await, contract::holds(&successor, alerts, 5).await);
    drop((frozen, successor));
    database.remove().await;
}
