//! More than one model, slow ones, and days that are spent: who answers, and what people are told of the others.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, in_group, webhook};
use crate::support::database::on_every_engine;
use crate::support::model::{Answer, KEY, ModelServer, capable};
use crate::support::pending;
use crate::support::service::{Home, Service};
use crate::support::team::Team;
use crate::support::wall_clock::Clock;
use crate::support::{contract, eventually_async};

fn model(name: &str, server: &ModelServer) -> Value {
    json!({"name": name, "base_url": server.url(), "api_key": KEY, "model": "m", "timeout": "20s"})
}

fn home(team: &Team, deadline: &str, models: &Value) -> Home {
    // Two groups of one scenario have one cause; without a cooldown each asks the models.
    let triage = json!({"deadline": deadline, "cooldown": "0s"});
    Home::new(&json!({"mcp": builtin(PENDING), "models": models, "triage": triage, "channels": team.channels()}))
}

/// Every alert of so many deliveries was told.
async fn all_told(service: &Service, deliveries: usize) {
    let alerts = deliveries * webhook(PENDING)["alerts"].as_array().unwrap().len();
    let balance = contract::holds(service, alerts, 10).await;
    assert_eq!(balance.sent, alerts as u64, "{balance:?}");
}

fn gaps(incident: &Value) -> String {
    incident["report"]["data_gaps"].to_string()
}

/// The card is out at the deadline; the whole answer that comes seconds later changes nothing and is told to nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f24_an_answer_after_the_deadline_does_no_harm() {
    on_every_engine(async || {
        let late = Duration::from_secs(9);
        let provider = ModelServer::scripted(move |_| {
            let answer = Answer::call("submit_diagnosis", json!({"verdict": "no_fault", "headline": "all is well"}));
            Answer::After(late, Box::new(answer))
        })
        .await;
        let team = Team::start().await;
        let home = home(&team, "5s", &json!([model("slow", &provider)]));
        let service = home.serve().await;
        let begun = std::time::Instant::now();
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let incident = service.settled(&id, 8).await;
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        let usage = &incident["report"]["usage"];
        assert_eq!((&usage["source"], &usage["stopped_by"]), (&json!("playbook"), &json!("deadline")), "{usage:#}");
        assert_eq!(usage["passed_over"], json!([{"model": "slow", "why": "timed out"}]));
        let (heard, asked) = (team.counts(), provider.asked().len());

        tokio::time::sleep(late).await;
        let after = service.incident(&id).await;
        assert_eq!(after["report"], incident["report"]);
        assert_eq!((team.counts(), provider.asked().len()), (heard, asked));
        team.refused_nothing();
        all_told(&service, 1).await;
    })
    .await;
}

/// A refused key is paid for once, the second model answers, and the message says who and why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_model_is_asked_once_and_the_next_one_answers_for_it() {
    let dead = ModelServer::scripted(|_| Answer::error(401, &json!({"error": {"message": "Invalid token"}}))).await;
    let (alive, team) = (pending::model().await, Team::start().await);
    let models = json!([model("fast", &dead), model("second", &alive)]);
    let home = home(&team, "30s", &models);
    let service = home.serve().await;
    for (group, why) in [("a", "401 key refused"), ("b", "resting (key refused)")] {
        let (id, _) = service.accept(&in_group(PENDING, group)).await;
        let incident = service.settled(&id, 30).await;
        let usage = &incident["report"]["usage"];
        assert_eq!((&usage["source"], &usage["model"]), (&json!("model"), &json!("second")), "{usage:#}");
        assert_eq!(usage["passed_over"], json!([{"model": "fast", "why": why}]));
    }
    assert_eq!(dead.asked().len(), 1);
    let health = service.get("/readyz?verbose").await;
    let entries = health["models"].as_array().unwrap();
    assert_eq!((&entries[0]["why"], entries[0]["resting_s"].is_u64()), (&json!("auth"), true), "{health:#}");
    assert_eq!((entries[1].get("why"), entries[1].get("resting_s")), (None, None), "{health:#}");
    for (metric, value) in [
        ("firstlook_model_resting{model=\"fast\"}", 1.0),
        ("firstlook_model_resting{model=\"second\"}", 0.0),
        ("firstlook_model_calls_total{model=\"fast\",outcome=\"auth\"}", 1.0),
        ("firstlook_model_failovers_total{model=\"fast\",reason=\"failed\"}", 1.0),
        ("firstlook_model_failovers_total{model=\"fast\",reason=\"resting\"}", 1.0),
    ] {
        assert_eq!(service.metric(metric).await, Some(value), "{metric}");
    }
    let page = service.request(reqwest::Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    assert!(page.contains("firstlook_model_tokens_total{model=\"second\",kind=\"prompt\"}"), "{page}");
    all_told(&service, 2).await;
}

/// All of it rests: the playbook's report is the whole of the first message, at once, and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_all_models_resting_the_playbook_answers_at_once_and_says_why() {
    let dead =
        ModelServer::scripted(|_| Answer::error(402, &json!({"error": {"message": "Insufficient Balance"}}))).await;
    let team = Team::start().await;
    let home = home(&team, "30s", &json!([model("fast", &dead)]));
    let service = home.serve().await;
    let (first, _) = service.accept(&in_group(PENDING, "a")).await;
    service.settled(&first, 20).await;
    let before = team.counts();
    let (id, _) = service.accept(&in_group(PENDING, "b")).await;
    let incident = service.settled(&id, 10).await;
    assert_eq!(incident["report"]["usage"]["stopped_by"], "models_resting", "{incident:#}");
    assert_eq!(incident["report"]["causes"][0]["resource"]["name"], "test-data");
    let why = "The models failed before and were not asked: fast resting (no quota left).";
    assert!(gaps(&incident).contains(why), "{}", gaps(&incident));
    assert_eq!(dead.asked().len(), 1);
    let told = team.heard()[1][before[1]].text.clone();
    assert!(told.contains("fast: resting (no quota left)"), "{told}");
    all_told(&service, 2).await;
    team.each_has_just(before.map(|count| count + 1)).await;
}

/// A spent day is known to the next process as well; the playbook answers, and one line says so.
async fn a_spent_day(model: Value, all: Value, provider: &ModelServer, said: &str, restarts: bool) {
    let team = Team::start().await;
    let home = Home::new(&json!({
        "mcp": builtin(PENDING), "models": [model], "triage": {"deadline": "30s", "cooldown": "0s", "daily": all}, "channels": team.channels(),
    }));
    let clock = Clock::new();
    let mut service = clock.serve(&home).await;
    let (id, _) = service.accept(&in_group(PENDING, "a")).await;
    let incident = service.settled(&id, 30).await;
    assert_eq!(incident["report"]["usage"]["source"], "model", "a run that began may end");
    let asked = provider.asked().len();
    if restarts {
        assert!(service.terminate().await.success());
        service = clock.serve(&home).await;
    }

    let before = team.counts();
    let (id, _) = service.accept(&in_group(PENDING, "b")).await;
    let incident = service.settled(&id, 10).await;
    assert_eq!(incident["report"]["usage"]["stopped_by"], "daily_limit", "{incident:#}");
    assert_eq!(gaps(&incident).matches(said).count(), 1, "{}", gaps(&incident));
    assert_eq!(provider.asked().len(), asked);
    assert_eq!(service.metric("firstlook_model_capped{model=\"fast\"}").await, Some(1.0));
    assert_eq!(service.get("/readyz?verbose").await["models"][0]["why"], "daily_limit");
    team.each_has_just(before.map(|count| count + 1)).await;
    // Each channel has its own way to write an apostrophe and a bracket.
    let part = said.split('\'').next().unwrap();
    for told in team.heard() {
        assert!(told.last().unwrap().text.contains(part), "{}", told.last().unwrap().text);
    }
    all_told(&service, 2).await;

    clock.set("+86400");
    let capped = || async { service.metric("firstlook_model_capped{model=\"fast\"}").await == Some(0.0) };
    eventually_async("a new day has a limit of its own", 10, capped).await;
    let (id, _) = service.accept(&in_group(PENDING, "c")).await;
    let incident = service.settled(&id, 30).await;
    assert_eq!(incident["report"]["usage"]["source"], "model", "{incident:#}");
    assert!(provider.asked().len() > asked);
}

/// More than the questions at the start take (5 400), less than they and a run.
const DAY_OF_TOKENS: u32 = 8000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a48_a_spent_day_turns_the_model_off_until_midnight_over_restarts_too() {
    on_every_engine(async || {
        let provider = pending::model().await;
        let mut capped = model("fast", &provider);
        capped["daily"] = json!({"tokens": DAY_OF_TOKENS});
        let said = "Model fast used up today's limit (8000 tokens)";
        a_spent_day(capped, Value::Null, &provider, said, true).await;
    })
    .await;
}

/// The same by money, and for all models together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a48_a_day_s_money_turns_all_models_off() {
    on_every_engine(async || {
        let provider = pending::model().await;
        let mut priced = model("fast", &provider);
        priced["prices"] = json!({"input": 1000, "output": 1000, "currency": "CNY"});
        let all = json!({"cost": f64::from(DAY_OF_TOKENS) / 1000.0});
        a_spent_day(priced, all, &provider, "All models together used up today's limit (cost 8)", false).await;
    })
    .await;
}

/// The questions to a model so far.
fn questions(server: &ModelServer) -> usize {
    server.asked().len()
}

/// Asked at the first start, kept for the second, asked again of another model; the page shows what was found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_start_asks_a_model_nothing_it_knows() {
    let server = ModelServer::examined(|asked| capable(&asked.body)).await;
    let parts = |model: &str| {
        let models = json!([{"name": "fast", "base_url": server.url(), "api_key": KEY, "model": model}]);
        json!({"models": models, "channels": [], "language": "en"})
    };
    let home = Home::new(&parts("first"));
    let known = async |service: &Service| {
        let found = || async { service.get("/readyz?verbose").await["models"][0]["capabilities"].is_object() };
        eventually_async("the model is examined", 20, found).await;
    };
    let service = home.serve().await;
    known(&service).await;
    let asked = questions(&server);
    assert!(asked > 0);
    let page = service.request(reqwest::Method::GET, "/status").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    let page = page.text().await.unwrap();
    assert!(policy.starts_with("default-src 'none'") && !page.contains("<script"), "{policy}");
    for shown in ["fast", "native function calls", "examined 20"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let asked_in = |path: &str, accepts: &str| {
        service.request(reqwest::Method::GET, path).header("accept-language", accepts).send()
    };
    for (path, accepts, shown) in [
        ("/status", "zh-CN,zh;q=0.9", "函数调用"),
        ("/status?lang=en", "zh-CN", "native function calls"),
        ("/status", "fr", "native function calls"),
    ] {
        let page = asked_in(path, accepts).await.unwrap().text().await.unwrap();
        assert!(page.contains(shown), "{path} for {accepts}: {page}");
    }
    let stranger = reqwest::get(format!("{}/status", service.base())).await.unwrap();
    assert_eq!(stranger.status(), 401);
    assert!(service.terminate().await.success());

    let service = home.serve().await;
    known(&service).await;
    assert_eq!(questions(&server), asked, "a second start asks nothing");
    assert!(service.terminate().await.success());

    home.write(&parts("second"));
    let service = home.serve().await;
    known(&service).await;
    assert!(questions(&server) > asked, "another model is another question");
    assert!(service.terminate().await.success());
}
