//! Never worse than no AI: whatever is away or broken, the alert is heard of in time and what is missing is said.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::alerts::{PENDING, builtin, in_group, scenario, webhook};
use crate::support::database::on_every_engine;
use crate::support::mcp::{McpServer, Unknown};
use crate::support::model::{Answer, Asked, KEY, ModelServer};
use crate::support::original::Original;
use crate::support::pending;
use crate::support::service::{Home, Service};
use crate::support::team::{Heard, Team, assert_in_time};
use crate::support::{cluster, contract};

/// A model with so little patience that a test can wait for its end.
fn impatient(url: &str) -> Value {
    json!([{"name": "fast", "base_url": url, "api_key": KEY, "model": "m", "timeout": "4s"}])
}

/// An address that nobody listens at.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// An address where connections are accepted and nothing is ever answered.
async fn silence() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    url
}

async fn serve(team: &Team, mcp: Value, models: Value) -> (Home, Service) {
    let triage = json!({"deadline": "8s"});
    let home = Home::new(&json!({"mcp": mcp, "models": models, "triage": triage, "channels": team.channels()}));
    let service = home.serve().await;
    assert_eq!(service.get("/readyz").await["ready"], true);
    (home, service)
}

/// Sends the alert; the settled incident and what was heard, which came in time.
async fn alert(team: &Team, service: &Service) -> (Value, [Vec<Heard>; 3]) {
    let (id, decision) = service.accept(&webhook(PENDING)).await;
    assert_eq!(decision, "opened");
    let incident = service.settled(&id, 40).await;
    let heard = team.each_has(1, 5).await;
    assert_in_time(&heard, &incident);
    for channel in &heard {
        assert!(channel[0].text.contains("KubePodNotReady"), "{}", channel[0].text);
        assert!(channel.len() <= 2, "{channel:#?}");
    }
    team.refused_nothing();
    let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
    let balance = contract::holds(service, alerts, 5).await;
    assert_eq!(balance.sent, alerts as u64, "whatever is away, people hear of each: {balance:?}");
    (incident, heard)
}

fn gaps(incident: &Value) -> String {
    incident["report"]["data_gaps"].to_string()
}

/// The playbook's report stands, and says of the model what `says`.
async fn without_a_model(models: Value, says: &str) {
    let team = Team::start().await;
    let (_home, service) = serve(&team, builtin(PENDING), models).await;
    let (incident, heard) = alert(&team, &service).await;
    let report = &incident["report"];
    assert_eq!(report["usage"]["source"], "playbook", "{report:#}");
    assert_eq!(report["causes"][0]["resource"]["name"], "test-data");
    assert!(gaps(&incident).contains(says), "{} does not say {says:?}", gaps(&incident));
    for channel in &heard {
        let told: String = channel.iter().map(|message| message.text.as_str()).collect();
        assert!(told.contains("com.tencent.cloud.csi.cbs"), "the playbook's findings are told: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_hangs() {
    let model = ModelServer::scripted(|_| Answer::Hang).await;
    without_a_model(impatient(&model.url()), "model").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_a_model_that_keeps_the_line_open_without_a_word() {
    on_every_engine(async || {
        let model = ModelServer::scripted(|_| Answer::KeepAlive).await;
        without_a_model(impatient(&model.url()), "model").await;
    })
    .await;
}

/// With one slot for investigations, what comes after a model that says nothing still has its turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_a_model_that_says_nothing_holds_its_slot_no_longer_than_its_time() {
    on_every_engine(async || {
        let mut silent = true;
        let model = ModelServer::scripted(move |asked| match std::mem::take(&mut silent) {
            true => Answer::KeepAlive,
            false => pending::investigate(asked),
        })
        .await;
        let team = Team::start().await;
        let home = Home::new(&json!({
            "mcp": builtin(PENDING), "models": impatient(&model.url()), "channels": team.channels(),
            "triage": {"deadline": "8s", "concurrency": 1, "cooldown": "0s"},
        }));
        let service = home.serve().await;
        let (first, _) = service.accept(&in_group(PENDING, "silent")).await;
        let (second, _) = service.accept(&in_group(PENDING, "answered")).await;
        let out = |incident: &Value| incident["notices"].as_array().unwrap().iter().all(|one| one["state"] == "sent");
        let waits = service.incident_when("its first card is out", &second, 4, out).await;
        let runs = service.incident(&first).await;
        assert_eq!(
            (&waits["investigation"]["state"], &runs["investigation"]["state"]),
            (&json!("ready"), &json!("running")),
            "it is told while it waits for the slot: {waits:#}"
        );
        assert!(waits["notices"].as_array().is_some_and(|notices| notices.len() == 3), "{waits:#}");
        for id in [first, second] {
            assert_eq!(service.settled(&id, 40).await["investigation"]["state"], "done");
        }
        assert_eq!(service.metric("firstlook_queue_length{queue=\"investigations\"}").await, Some(0.0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f19_a_model_that_fails_for_ever() {
    on_every_engine(async || {
        let fails = |_: &Asked| Answer::error(500, &json!({"error": {"message": "cuda ran away"}}));
        let model = ModelServer::scripted(fails).await;
        without_a_model(impatient(&model.url()), "500").await;
        assert_eq!(model.asked().len(), 3, "one retry layer");
    })
    .await;
}

/// It does what a log tells it: call me again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a49_a_model_that_makes_the_same_call_for_ever_is_stopped_and_the_report_names_it() {
    on_every_engine(async || {
        let model = ModelServer::scripted(|_| Answer::Calls(pending::reads()[..1].to_vec())).await;
        without_a_model(impatient(&model.url()), "repetition").await;
        let turns = model.asked().len();
        assert!((2..8).contains(&turns), "it ends long before its budget: {turns} turns");
    })
    .await;
}

/// Its answer never fits the form, however often it is given back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f25_a_model_whose_answer_never_fits_the_form() {
    on_every_engine(async || {
        let bad = |_: &Asked| Answer::call("submit_diagnosis", json!({"verdict": "perhaps"}));
        let model = ModelServer::scripted(bad).await;
        without_a_model(impatient(&model.url()), "invalid_answer").await;
        assert_eq!(model.asked().len(), 3, "given back twice");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_does_not_know_the_key() {
    let wrong = |url: String| json!([{"name": "fast", "base_url": url, "api_key": "sk-wrong", "model": "m"}]);
    let model = ModelServer::start([]).await;
    without_a_model(wrong(model.url()), "401").await;
    assert_eq!(model.take_refusals(), ["invalid api key"], "a wrong key is not tried twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_talks_nonsense() {
    let model = ModelServer::scripted(|_| Answer::Text("我觉得应该是网络问题。".to_owned())).await;
    without_a_model(impatient(&model.url()), "model").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_whose_answer_is_no_json() {
    let page = || Answer::Raw(200, vec![("content-type", "text/html".to_owned())], "<html>login</html>".to_owned());
    let model = ModelServer::scripted(move |_| page()).await;
    without_a_model(impatient(&model.url()), "model").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_a_model_that_is_not_there() {
    on_every_engine(async || {
        without_a_model(impatient(&format!("{}/v1", nobody().await)), "model").await;
    })
    .await;
    on_every_engine(async || {
        without_a_model(impatient("http://model.invalid/v1"), "model").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_where_one_model_is_not_there_the_next_one_answers() {
    for away in [format!("{}/v1", nobody().await), "http://model.invalid/v1".to_owned()] {
        on_every_engine(async || {
            let (team, there) = (Team::start().await, ModelServer::scripted(pending::investigate).await);
            let mut models = impatient(&away);
            let mut next = pending::models(&there)[0].clone();
            next["name"] = "next".into();
            models.as_array_mut().unwrap().push(next);
            let (_home, service) = serve(&team, builtin(PENDING), models).await;
            let (incident, _) = alert(&team, &service).await;
            assert_eq!(incident["report"]["usage"]["source"], "model", "{away}: {incident:#}");
            assert!(!there.asked().is_empty());
        })
        .await;
    }
}

/// Nobody saw the cluster: the alert goes out by itself, a second message says why there is nothing more.
async fn without_mcp(url: &str, says: &str) {
    let team = Team::start().await;
    let mcp = json!([{"name": "kubernetes", "url": format!("{url}/mcp")}]);
    let (_home, service) = serve(&team, mcp, json!([])).await;
    let (incident, heard) = alert(&team, &service).await;
    assert_eq!(incident["report"]["verdict"], "inconclusive", "{incident:#}");
    assert!(gaps(&incident).contains(says) && gaps(&incident).contains("kubernetes"), "{}", gaps(&incident));
    for channel in &heard {
        let told: String = channel.iter().map(|message| message.text.as_str()).collect();
        assert!(told.contains(says), "people are told what is missing ({says}): {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_an_mcp_server_that_is_not_there() {
    on_every_engine(async || {
        without_mcp(&nobody().await, "unreachable").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f29_an_mcp_server_that_never_answers() {
    on_every_engine(async || {
        without_mcp(&silence().await, "did not answer").await;
    })
    .await;
}

/// The model asks for what hangs: it is told so, the server hears that nobody waits, and the run goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f29_a_model_is_told_of_a_tool_that_does_not_answer_and_goes_on() {
    on_every_engine(async || {
        let team = Team::start().await;
        let hangs = McpServer::start(Unknown::Text(404, "no session")).await.offering(&["pods_get", "events_list"]);
        let model = ModelServer::scripted(|asked| match asked.results().is_empty() {
            true => Answer::call("events_list", json!({"namespace": "elsewhere"})),
            false => pending::submit(asked),
        })
        .await;
        let mcp = json!([{"name": "kubernetes", "url": hangs.url, "transport": "http"}]);
        let home = Home::new(&json!({
            "mcp": mcp, "models": pending::models(&model), "channels": team.channels(),
            "triage": {"deadline": "60s"},
        }));
        let service = home.serve().await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let incident = service.settled(&id, 60).await;
        assert_eq!(incident["investigation"]["state"], "done", "{incident:#}");
        let asked = model.asked();
        let told = asked.iter().flat_map(|asked| asked.results()).collect::<Vec<_>>().join("\n");
        assert!(told.contains("did not answer"), "{told}");
        assert!(hangs.cancelled() > 0, "the server is told that nobody waits");
    })
    .await;
}

/// The model asks for a log of 50 MB: it is refused, and what is kept of the call is why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f31_a_flood_that_was_refused_stands_in_the_evidence_as_that() {
    on_every_engine(async || {
        let team = Team::start().await;
        let floods = McpServer::start(Unknown::Text(404, "no session")).await.offering(&["pods_get", "pods_log"]);
        let model = ModelServer::scripted(|asked| match asked.results().is_empty() {
            true => Answer::call("pods_log", json!({"namespace": "elsewhere", "name": "loud"})),
            false => pending::investigate_what_answers(asked),
        })
        .await;
        let mcp = json!([{"name": "kubernetes", "url": floods.url, "transport": "http"}]);
        let (home, service) = serve(&team, mcp, pending::models(&model)).await;
        alert(&team, &service).await;
        let told = model.asked().iter().flat_map(|asked| asked.results().join("\n").into_bytes()).collect();
        assert!(String::from_utf8(told).unwrap().contains("larger than 8 MiB"));
        let kept = "SELECT COUNT(*) FROM evidence WHERE tool = 'pods_log' AND arguments LIKE '%loud%'
                    AND text LIKE '%larger than 8 MiB%'";
        assert_eq!(home.count(kept).await, 1);
    })
    .await;
}

/// A server that answers and offers nothing of use, or less than usual: what can be read is, the rest is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f30_an_mcp_server_without_the_tools_it_should_have() {
    on_every_engine(async || {
        let team = Team::start().await;
        let useless = McpServer::start(Unknown::Text(404, "no session")).await.offering(&["make_coffee"]);
        let mcp = json!([{"name": "kubernetes", "url": useless.url, "transport": "http"}]);
        let (_home, service) = serve(&team, mcp, json!([])).await;
        let (incident, _) = alert(&team, &service).await;
        let gaps = incident["report"]["data_gaps"].to_string();
        assert!(gaps.contains("kubernetes offers none of the tools"), "{gaps}");
        assert_eq!(
            (&incident["report"]["verdict"], useless.calls().len()),
            (&json!("inconclusive"), 0),
            "{incident:#}"
        );
        let ready = service.get("/readyz?verbose").await;
        assert_eq!(ready["mcp"][0]["failure"], "no_tools", "readiness shows it: {ready:#}");
    })
    .await;
}

/// An empty list is the same; a known tool that is missing is done without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f30_an_mcp_server_with_no_tools_or_few() {
    on_every_engine(async || {
        let team = Team::start().await;
        let empty = McpServer::start(Unknown::Text(404, "no session")).await.offering(&[]);
        let mcp = json!([{"name": "kubernetes", "url": empty.url, "transport": "http"}]);
        let (_home, service) = serve(&team, mcp, json!([])).await;
        let (incident, _) = alert(&team, &service).await;
        assert!(gaps(&incident).contains("kubernetes offers none of the tools"), "{}", gaps(&incident));
    })
    .await;
    on_every_engine(async || {
        let team = Team::start().await;
        let few = McpServer::start(Unknown::Text(404, "no session")).await.offering(&["pods_get"]);
        let mcp = json!([{"name": "kubernetes", "url": few.url, "transport": "http"}]);
        let (_home, service) = serve(&team, mcp, json!([])).await;
        let (incident, _) = alert(&team, &service).await;
        assert!(few.calls().iter().all(|call| call == "pods_get") && !few.calls().is_empty(), "{:?}", few.calls());
        assert!(!gaps(&incident).contains("none of the tools"), "{}", gaps(&incident));
    })
    .await;
}

/// The server goes away between the model's calls: what was seen before stands, what was not is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_mcp_server_that_dies_in_the_middle() {
    let team = Team::start().await;
    let cluster = cluster::serve(&scenario(PENDING)).await;
    let server = Original::with(cluster.address, &[("KUBE_CLIENT_QPS", "1000"), ("KUBE_CLIENT_BURST", "2000")]).await;
    let url = server.url.clone();
    let mut running = Some(server);
    let model = ModelServer::scripted(move |asked| {
        drop(running.take());
        if asked.results().is_empty() {
            let unseen = json!({"apiVersion": "v1", "kind": "ConfigMap", "namespace": "aiops"});
            return Answer::call("resources_list", unseen);
        }
        let turns = asked.messages().iter().filter(|message| message["role"] == "assistant").count();
        if turns == 1 { pending::look() } else { pending::submit(asked) }
    })
    .await;
    let mcp = json!([{"name": "kubernetes", "url": url}]);
    let (_home, service) = serve(&team, mcp, impatient(&model.url())).await;
    let (incident, _) = alert(&team, &service).await;
    assert_eq!(incident["report"]["causes"][0]["resource"]["name"], "test-data", "{incident:#}");
    assert_eq!(incident["report"]["usage"]["source"], "model", "{incident:#}");
    let failed = model.asked()[1].results()[0].to_owned();
    assert!(failed.contains("unreachable") || failed.contains("did not answer"), "{failed}");
}

/// Neither a model nor an MCP server is configured: the alert goes out at once and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_channels() {
    let team = Team::start().await;
    let (_home, service) = serve(&team, json!([]), json!([])).await;
    let (incident, heard) = alert(&team, &service).await;
    assert!(incident["investigation"].is_null(), "{incident:#}");
    for channel in &heard {
        assert_eq!(channel.len(), 1);
        assert!(channel[0].text.contains("No MCP server is configured"), "{}", channel[0].text);
    }
    assert_eq!(service.incidents().await.len(), 1);
}

/// An alert that comes while another one's look hangs is not held up by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_look_holds_nobody_up() {
    let team = Team::start().await;
    let mcp = json!([{"name": "kubernetes", "url": format!("{}/mcp", silence().await)}]);
    let (_home, service) = serve(&team, mcp, json!([])).await;
    let groups = ["a", "b", "c"].map(|group| crate::support::alerts::in_group(PENDING, group));
    let mut ids = Vec::new();
    for group in &groups {
        ids.push(service.accept(group).await.0);
    }
    let heard = tokio::time::timeout(Duration::from_secs(5), team.each_has(3, 5)).await.unwrap();
    for (index, id) in ids.iter().enumerate() {
        let opened: jiff::Timestamp = service.incident(id).await["opened_at"].as_str().unwrap().parse().unwrap();
        for channel in &heard {
            let after = channel[index].at.duration_since(opened).as_secs_f64();
            assert!(after < 2.0, "message {index} came after {after} s\n{}", service.log());
        }
    }
    let alerts = groups.iter().map(|group| group["alerts"].as_array().unwrap().len()).sum();
    contract::holds(&service, alerts, 5).await;
}
