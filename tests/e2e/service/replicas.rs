//! Replicas over one PostgreSQL database: some die, one freezes, and the rest go on.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use serde_json::{Value, json};

use crate::support::alertmanager::Alertmanager;
use crate::support::alerts::{PENDING, builtin, one_alert, resolved, webhook};
use crate::support::database::Database;
use crate::support::feishu::Feishu;
use crate::support::feishu_app::FeishuApp;
use crate::support::model::{Answer, ModelServer};
use crate::support::service::{Home, Service, TOKEN, client};
use crate::support::{contract, eventually, eventually_async, pending};

const INCIDENTS: usize = 200;
const SENDERS: usize = 8;
/// A bot takes 100 messages a minute: what all of them are told passes through these side by side.
const BOTS: usize = 6;

/// What one replica found holds for all: another that hears of the same alert within the cooldown does not look again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_share_a_cooldown() {
    let Some(database) = Database::postgres().await else { return };
    let feishu = Feishu::start().await;
    let model = ModelServer::scripted(pending::investigate).await;
    let home = Home::new(&json!({
        "store": database.address().unwrap(), "mcp": builtin(PENDING), "models": pending::models(&model),
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
    }));
    let (here, there) = (home.serve().await, home.serve().await);
    let alert = webhook(PENDING);
    let (id, _) = here.accept(&alert).await;
    let first = here.settled(&id, 40).await;
    assert_eq!(first["report"]["usage"]["source"], "model", "{first:#}");
    let asked = model.asked().len();
    there.accept(&resolved(&alert)).await;
    there.settled(&id, 20).await;
    let (again, decision) = there.accept(&alert).await;
    assert_eq!((decision.as_str(), again == id), ("opened", false));
    there.settled(&again, 20).await;
    assert_eq!(model.asked().len(), asked, "nothing is asked again");
    assert_eq!(there.metric("firstlook_rules_total{rule=\"cooldown\"}").await, Some(1.0));
    drop((here, there));
    database.remove().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f47_four_replicas_lose_nothing_when_two_die_and_one_freezes() {
    let Some(database) = Database::postgres().await else { return };
    let mut bots = Vec::new();
    for _ in 0..BOTS {
        bots.push(Feishu::start().await.without_rate_limit());
    }
    // Slow enough that investigations are under way whenever one dies, and each incident has one of its own.
    let model = ModelServer::scripted(|asked| {
        Answer::After(std::time::Duration::from_millis(300), Box::new(pending::investigate(asked)))
    })
    .await;
    let channels = bots.iter().enumerate().map(|(number, bot)| {
        let name = format!("bot{number}");
        json!({"name": name, "type": "feishu-bot", "url": bot.url(), "delivery": {"merge_above": 1000}})
    });
    let routes =
        (0..BOTS).map(|number| json!({"match": {"bot": number.to_string()}, "channels": [format!("bot{number}")]}));
    let home = Home::new(&json!({
        "store": database.address().unwrap(),
        "mcp": builtin(PENDING), "models": pending::models(&model), "triage": {"cooldown": "0s"},
        "channels": channels.collect::<Vec<_>>(), "routes": routes.collect::<Vec<_>>(),
    }));
    let mut replicas = Vec::new();
    for _ in 0..4 {
        replicas.push(home.serve().await);
    }
    let known = Known::default();
    replicas.iter().for_each(|replica| known.add(replica));
    let name = |number: usize| format!("Replica{number:03}");
    let alert = |number: usize| {
        let bot = (number % BOTS).to_string();
        one_alert(&name(number), &json!({"alertname": name(number), "namespace": "aiops", "bot": bot}))
    };
    let (next, answered) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let sender = async || {
        loop {
            let number = next.fetch_add(1, SeqCst);
            if number >= INCIDENTS {
                return;
            }
            known.deliver(&alert(number)).await;
            answered.fetch_add(1, SeqCst);
        }
    };
    // The balancer in front learns it from what is not answered.
    let trouble = async {
        let after = async |share: usize| {
            let enough = || (answered.load(SeqCst) >= INCIDENTS * share / 8).then_some(());
            eventually("alerts are taken", 60, enough).await;
        };
        after(2).await;
        let killed = replicas.remove(3);
        let base = killed.base().to_owned();
        killed.kill_9().await;
        known.forget(&base);
        after(3).await;
        replicas[2].signal("-STOP").await;
        known.remove(&replicas[2]);
        after(4).await;
        let killed = replicas.remove(1);
        let base = killed.base().to_owned();
        killed.kill_9().await;
        known.forget(&base);
        assert!(next.load(SeqCst) < INCIDENTS, "they came under load");
    };
    tokio::join!(futures::future::join_all((0..SENDERS).map(|_| sender())), trouble);
    let first = &replicas[0];
    let mut before = Vec::new();
    for incident in first.incidents().await {
        before.push(first.settled(incident["id"].as_str().unwrap(), 120).await);
    }
    assert_eq!(before.len(), INCIDENTS);
    let taken_over = before.iter().filter(|incident| incident["investigation"]["attempts"] != 1).count();
    assert!(taken_over > 0, "some were under way when their replica died or froze");
    // It wakes, and finds that others did its work: nothing of what they wrote changes.
    replicas[1].signal("-CONT").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    for known in &before {
        let now = first.incident(known["id"].as_str().unwrap()).await;
        for part in ["report", "notices", "investigation", "evidence"] {
            assert_eq!(now[part], known[part], "{part}");
        }
        // It may find a delivery in its hands that somebody else took meanwhile: a repeat.
        let log = |incident: &Value| incident["delivery_log"].as_array().unwrap().clone();
        let (now, known_log) = (log(&now), log(known));
        assert_eq!(now[..known_log.len()], known_log);
        assert!(now[known_log.len()..].iter().all(|one| one["decision"] == "merged"), "{now:#?}");
        assert_eq!(known["report"]["usage"]["source"], "model", "{known:#}");
        assert_eq!(known["investigation"]["state"], "done", "{known:#}");
    }
    // Those that were not answered came again, and are merged.
    let balance = contract::holds_at_least(first, INCIDENTS as u64, 10).await;
    assert_eq!((balance.sent, contract::balance(&replicas[1]).await), (INCIDENTS as u64, balance));
    let messages: Vec<String> = bots.iter().flat_map(|bot| bot.accepted()).map(|message| message.to_string()).collect();
    let told = told_of_each(&before, &messages);
    // A message whose sender died or froze between its arrival and its mark may come twice, no other; that is counted.
    let again: usize = told.iter().map(|(notices, messages)| messages - notices).sum();
    let notices: usize = told.iter().map(|(notices, _)| notices).sum();
    println!(
        "{INCIDENTS} incidents over four replicas: {notices} notices, {} messages, {taken_over} taken over",
        messages.len()
    );
    assert_eq!(messages.len(), notices + again, "every message is of one incident");
    let mut counted = 0.0;
    for (replica, bot) in replicas.iter().flat_map(|replica| (0..BOTS).map(move |bot| (replica, bot))) {
        let metric = format!("firstlook_notices_perhaps_twice_total{{channel=\"bot{bot}\"}}");
        counted += replica.metric(&metric).await.unwrap_or_default();
    }
    assert!(again <= 3 * BOTS && again as f64 <= counted, "{again} came twice, {counted} were counted");
    drop(replicas);
    database.remove().await;
}

/// Of each incident, how many messages it has by the store and how many arrived. None has fewer or more than one first
/// one, and none arrived less often than it was sent or more than once more.
fn told_of_each(incidents: &[Value], messages: &[String]) -> Vec<(usize, usize)> {
    let told = |incident: &Value| {
        let name = incident["group"]["alerts"][0]["labels"]["alertname"].as_str().unwrap();
        let notices = incident["notices"].as_array().unwrap();
        let firsts = notices.iter().filter(|notice| notice["role"] == "first").count();
        let arrived = messages.iter().filter(|message| message.contains(name)).count();
        assert_eq!(firsts, 1, "{incident:#}");
        assert!(notices.iter().all(|notice| notice["state"] == "sent"), "{incident:#}");
        assert!((notices.len()..=notices.len() + 1).contains(&arrived), "{name}: {arrived} of {}", notices.len());
        (notices.len(), arrived)
    };
    incidents.iter().map(told).collect()
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

/// The replicas a balancer sends to. What one of them does not take another one gets, as senders and balancers do it.
#[derive(Default)]
struct Known(std::sync::Mutex<Vec<String>>);

impl Known {
    fn add(&self, replica: &Service) {
        self.0.lock().unwrap().push(replica.base().to_owned());
    }

    fn remove(&self, replica: &Service) {
        self.forget(replica.base());
    }

    fn forget(&self, gone: &str) {
        self.0.lock().unwrap().retain(|base| base != gone);
    }

    /// Delivers until somebody answers 202; the decision.
    async fn deliver(&self, alert: &Value) -> String {
        let client = client();
        for turn in 0..200 {
            let base = {
                let known = self.0.lock().unwrap();
                known[turn % known.len()].clone()
            };
            let request = client.post(format!("{base}/webhooks/alertmanager")).bearer_auth(TOKEN).json(alert);
            if let Ok(answer) = request.send().await
                && answer.status() == 202
            {
                let answer: Value = answer.json().await.unwrap();
                return answer["decision"].as_str().unwrap_or_default().to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("nobody takes {alert}");
    }
}

/// A new version replaces the old one replica by replica while three senders deliver: nothing is lost, and nothing comes twice,
/// because those that leave finish what they hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f47_a_rolling_update_under_load_loses_and_doubles_nothing() {
    /// More than come in while two cores update; a bot takes 100 messages a minute.
    const MOST: usize = 80;
    let Some(database) = Database::postgres().await else { return };
    let feishu = Feishu::start().await.without_rate_limit();
    let home = Home::new(&json!({
        "store": database.address().unwrap(), "mcp": builtin(PENDING),
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 1000}}],
    }));
    // Both begin on an empty database at the same moment: one makes the tables, the other waits for it.
    let (first, second) = tokio::join!(home.serve(), home.serve());
    let known = Known::default();
    known.add(&first);
    known.add(&second);
    let mut replicas = std::collections::VecDeque::from([first, second]);
    let name = |number: usize| format!("Rolling{number:03}");
    let alert = |number: usize| one_alert(&name(number), &json!({"alertname": name(number), "namespace": "aiops"}));
    let (next, updated) = (AtomicUsize::new(0), AtomicBool::new(false));
    let sender = async || {
        let mut decisions = Vec::new();
        loop {
            if updated.load(SeqCst) {
                return decisions;
            }
            let number = next.fetch_add(1, SeqCst);
            if number >= MOST {
                return decisions;
            }
            decisions.push(known.deliver(&alert(number)).await);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    let update = async {
        for _ in 0..4 {
            // The next one is there before the oldest leaves, and the balancer learns of that only when it has left.
            let newest = home.serve().await;
            known.add(&newest);
            replicas.push_back(newest);
            let mut oldest = replicas.pop_front().unwrap();
            assert_eq!(oldest.ask_to_end().await.code(), Some(0));
            known.remove(&oldest);
        }
        updated.store(true, SeqCst);
    };
    let ((), a, b, c) = tokio::join!(update, sender(), sender(), sender());
    let sent = next.into_inner().min(MOST);
    assert!(sent > 8, "alerts came in meanwhile: {sent}");
    let decisions = [a, b, c].concat();
    // Where a connection broke before its answer, the same comes again and is merged with what was kept.
    let again = decisions.iter().filter(|decision| *decision == "merged").count();
    assert!(again <= 2 && decisions.iter().all(|one| one == "opened" || one == "merged"), "{decisions:?}");
    let last = &replicas[1];
    let mut notices = 0;
    for incident in last.incidents().await {
        let settled = last.settled(incident["id"].as_str().unwrap(), 60).await;
        notices += settled["notices"].as_array().unwrap().len();
    }
    let balance = contract::holds(last, sent + again, 10).await;
    assert_eq!((balance.sent, balance.merged), (sent as u64, again as u64), "{balance:?}");
    let messages: Vec<String> = feishu.accepted().iter().map(Value::to_string).collect();
    let silent: Vec<usize> =
        (0..sent).filter(|number| !messages.iter().any(|message| message.contains(&name(*number)))).collect();
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

/// The same before it sends: a card that its successor made, and that tells the diagnosis since, is not turned back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f47_a_replica_that_froze_before_it_sent_leaves_its_successor_s_card_alone() {
    let Some(database) = Database::postgres().await else { return };
    let (app, model) = (FeishuApp::start().await, pending::model().await);
    let home = Home::new(&json!({
        "store": database.address().unwrap(), "mcp": builtin(PENDING), "models": pending::models(&model),
        "channels": [app.channel()],
    }));
    let frozen = home.serve_with(&[("FIRSTLOOK_FREEZE_AT", "before-send")]).await;
    let (id, _) = frozen.accept(&webhook(PENDING)).await;
    // It holds the first message by the time the other one looks for work.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert!(app.cards().is_empty(), "nothing is sent yet");
    let successor = home.serve().await;
    successor.settled(&id, 60).await;
    let [card] = <[_; 1]>::try_from(app.cards()).unwrap();
    assert!(card.content.to_string().contains("com.tencent.cloud.csi.cbs"), "{}", card.content);
    tokio::time::sleep(std::time::Duration::from_secs(14)).await;
    let [after] = <[_; 1]>::try_from(app.cards()).unwrap();
    assert_eq!(after.history(), card.history(), "the one that woke changed the card");
    let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
    contract::holds(&successor, alerts, 10).await;
    drop((frozen, successor));
    database.remove().await;
}

/// The same before a daily summary: it is sent by the one that took it over, and not again by the one that wakes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f47_a_replica_that_froze_before_its_daily_summary_leaves_it_to_its_successor() {
    let Some(database) = Database::postgres().await else { return };
    let feishu = Feishu::start().await;
    let due = jiff::Timestamp::now().strftime("%H:%M").to_string();
    let home = Home::new(&json!({
        "store": database.address().unwrap(),
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "digest": due}],
    }));
    let frozen = home.serve_with(&[("FIRSTLOOK_FREEZE_AT", "before-send")]).await;
    let taken = || async { home.count("SELECT COUNT(*) FROM digest").await == 1 };
    eventually_async("it has taken the summary", 10, taken).await;
    let (id, _) = frozen.accept(&webhook(PENDING)).await;
    // Its lease is over by then, and the other one takes the summary as it starts.
    tokio::time::sleep(std::time::Duration::from_millis(15_500)).await;
    assert!(feishu.accepted().is_empty(), "nothing is sent yet");
    let successor = home.serve().await;
    let summaries = || {
        let messages = feishu.accepted().into_iter().map(|message| message.to_string());
        messages.filter(|message| message.contains("incidents opened")).count()
    };
    eventually("the summary is sent", 8, || (summaries() == 1).then_some(())).await;
    let counted = successor.metric("firstlook_notices_perhaps_twice_total{channel=\"oncall\"}").await;
    assert_eq!(counted, Some(1.0), "the first one may have sent it, for all that the second knows");
    let woke = || async { frozen.log().contains("left to the next") };
    eventually_async("the first one wakes and leaves it", 20, woke).await;
    successor.settled(&id, 20).await;
    assert_eq!((summaries(), home.count("SELECT COUNT(*) FROM digest WHERE state = 'sent'").await), (1, 1));
    let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
    assert_eq!(contract::holds(&frozen, alerts, 5).await, contract::holds(&successor, alerts, 5).await);
    drop((frozen, successor));
    database.remove().await;
}

/// Two processes are one service: a burst over both of them spends one day's budget, sends one daily summary, and both tell
/// the same sum.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f47_two_replicas_under_load_share_the_day_s_budget_and_its_summary() {
    // As many as one bot takes in a minute, each with its diagnosis.
    const INCIDENTS: usize = 48;
    const BUDGET: i64 = 60_000;
    const CONCURRENCY: i64 = 2;
    let Some(database) = Database::postgres().await else { return };
    let feishu = Feishu::start().await.without_rate_limit();
    let model = ModelServer::scripted(|asked| {
        Answer::After(std::time::Duration::from_millis(200), Box::new(pending::investigate(asked)))
    })
    .await;
    let due = jiff::Timestamp::now().strftime("%H:%M").to_string();
    let home = Home::new(&json!({
        "store": database.address().unwrap(), "mcp": builtin(PENDING), "models": pending::models(&model),
        "triage": {"cooldown": "0s", "concurrency": CONCURRENCY, "daily": {"tokens": BUDGET}},
        "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "digest": due,
                      "delivery": {"merge_above": 1000}}],
    }));
    let (first, second) = tokio::join!(home.serve(), home.serve());
    let replicas = [first, second];
    let name = |number: usize| format!("Shared{number:03}");
    let alerts: Vec<Value> =
        (0..INCIDENTS).map(|number| one_alert(&name(number), &json!({"alertname": name(number)}))).collect();
    let posts = alerts.iter().enumerate().map(|(number, alert)| replicas[number % 2].accept(alert));
    let receipts = futures::future::join_all(posts).await;
    let (mut by_model, mut by_playbook, mut largest, mut notices) = (0, 0, 0, 0);
    for (number, (id, _)) in receipts.iter().enumerate() {
        let incident = replicas[number % 2].settled(id, 90).await;
        notices += incident["notices"].as_array().unwrap().len();
        let usage = &incident["report"]["usage"];
        let tokens = ["prompt_tokens", "completion_tokens"].map(|key| usage[key].as_i64().unwrap_or(0));
        largest = largest.max(tokens.iter().sum());
        match usage["source"].as_str() {
            Some("model") => by_model += 1,
            _ => by_playbook += usize::from(usage["stopped_by"] == "daily_limit"),
        }
    }
    assert_eq!(by_model + by_playbook, INCIDENTS, "each by a model while the money lasts, then by the playbook");
    assert!(by_model > 0 && by_playbook > 0, "{by_model} by the model, {by_playbook} by the playbook");
    // What was under way on both when the day was spent may end; nothing begins after it on either.
    let spent = home.tokens_spent().await;
    let most = BUDGET + 2 * CONCURRENCY * largest;
    assert!((BUDGET..=most).contains(&spent), "{spent} tokens of {BUDGET}, a run takes {largest}");
    for replica in &replicas {
        let worked = replica.metric("firstlook_investigations_total").await;
        assert!(worked.is_some_and(|count| count > 0.0), "both work: {worked:?}");
    }
    let messages: Vec<String> = feishu.accepted().iter().map(Value::to_string).collect();
    let (summaries, others): (Vec<_>, Vec<_>) =
        messages.iter().partition(|message| message.contains("incidents opened"));
    assert_eq!(summaries.len(), 1, "{summaries:#?}");
    assert_eq!(others.len(), notices, "each message once");
    let silent: Vec<usize> =
        (0..INCIDENTS).filter(|number| !others.iter().any(|message| message.contains(&name(*number)))).collect();
    assert!(silent.is_empty(), "nobody was told of {silent:?}");
    let balance = contract::holds(&replicas[0], INCIDENTS, 10).await;
    assert_eq!((balance.sent, contract::holds(&replicas[1], INCIDENTS, 10).await), (INCIDENTS as u64, balance));
    drop(replicas);
    database.remove().await;
}
