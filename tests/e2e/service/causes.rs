//! A storm with one cause: investigated once, told everywhere.

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, in_group, one_alert, resolved, scenario, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::eventually;
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, Asked, ModelServer};
use crate::support::original::{ServerProcess, UNTHROTTLED};
use crate::support::service::{Home, Service};
use crate::support::{cluster, pending, tools};

/// A Node whose kubelet stopped, with Pods of two Deployments on it.
const NODE: &str = "94-one-dead-node-three-alerts";

async fn stage(triage: Value) -> (Feishu, ModelServer, Home, Service) {
    let (feishu, model) = (Feishu::start().await, pending::model().await);
    let channels = json!([{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}]);
    let home = Home::new(&json!({
        "mcp": builtin(PENDING), "models": pending::models(&model), "channels": channels, "triage": triage,
    }));
    let service = home.serve().await;
    (feishu, model, home, service)
}

fn same_cause(incident: &Value) -> &Value {
    &incident["report"]["same_cause"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_groups_of_one_cause_are_one_investigation_and_each_is_told() {
    on_every_engine(async || {
        let (feishu, model, _home, service) = stage(json!({})).await;
        let groups: Vec<Value> = (0..12).map(|number| in_group(PENDING, &number.to_string())).collect();
        let receipts = futures::future::join_all(groups.iter().map(|body| service.accept(body))).await;
        let mut incidents = Vec::new();
        for (id, _) in &receipts {
            incidents.push(service.settled(id, 60).await);
        }
        assert_eq!(model.asked().len(), 2, "a look and an answer, once");
        let (followers, leaders): (Vec<&Value>, Vec<&Value>) =
            incidents.iter().partition(|incident| same_cause(incident)["led_by"].is_object());
        let [leader] = leaders.as_slice() else { panic!("one leads: {leaders:#?}") };
        assert_eq!((&leader["report"]["usage"]["source"], followers.len()), (&json!("model"), 11));
        for follower in &followers {
            assert_eq!(same_cause(follower)["led_by"]["incident"], leader["id"]);
            assert_eq!(follower["report"]["usage"]["stopped_by"], "same_cause");
            assert_eq!(
                follower["report"]["causes"][0]["code"], "pvc_unbound_provisioner_missing",
                "it knows the cause"
            );
        }
        let cards: Vec<String> = feishu.accepted().iter().map(Value::to_string).collect();
        let follow = cards.iter().filter(|card| card.contains("which is investigated for both")).count();
        // Where a look took longer than the first message waits, a second one says the same.
        assert!((12..=24).contains(&cards.len()) && follow >= 11, "each says whom it follows: {cards:#?}");
        let alerts = groups[0]["alerts"].as_array().unwrap().len();
        let balance = contract::holds(&service, 12 * alerts, 60).await;
        assert_eq!(balance.sent, 12 * alerts as u64, "every alert is told: {balance:?}");

        let path = format!("/incidents/{}", leader["id"].as_str().unwrap());
        let page = service.request(reqwest::Method::GET, &path).send().await.unwrap().text().await.unwrap();
        assert_eq!(page.matches("KubePodNotReady · Pod aiops&#x2f;test-deployment").count(), 11, "the page names all");
        assert!(feishu.refused().is_empty(), "{:?}", feishu.refused());

        // At its end it says for how many it was the one, and names each of them.
        let before = feishu.accepted().len();
        let is_leader = |(id, _): &&(String, String)| Some(id.as_str()) == leader["id"].as_str();
        let place = receipts.iter().position(|receipt| is_leader(&receipt)).unwrap();
        service.accept(&resolved(&groups[place])).await;
        let end = eventually("its end is told", 20, || feishu.accepted().get(before).map(Value::to_string)).await;
        assert!(end.contains("Investigated here as well") && end.contains("KubePodNotReady × 11"), "{end}");
        let named = end.matches("Pod aiops/test-deployment").count();
        assert!(named >= 11, "all of them, {named}: {end}");
    })
    .await;
}

/// Who comes when the first one is over leads; without a cooldown nobody follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incident_that_is_over_leads_nobody() {
    on_every_engine(async || {
        let (_feishu, model, _home, service) = stage(json!({})).await;
        let first = in_group(PENDING, "first");
        let (id, _) = service.accept(&first).await;
        service.settled(&id, 30).await;
        service.accept(&resolved(&first)).await;
        let (id, _) = service.accept(&in_group(PENDING, "second")).await;
        let second = service.settled(&id, 30).await;
        assert!(same_cause(&second).is_null() && second["report"]["usage"]["source"] == "model", "{second:#}");
        assert_eq!(model.asked().len(), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_cooldown_each_is_investigated() {
    on_every_engine(async || {
        let (_feishu, model, _home, service) = stage(json!({"cooldown": "0s"})).await;
        for group in ["first", "second"] {
            let (id, _) = service.accept(&in_group(PENDING, group)).await;
            assert!(same_cause(&service.settled(&id, 30).await).is_null());
        }
        assert_eq!(model.asked().len(), 4);
    })
    .await;
}

/// A dead Node with a Deployment in each of so many Namespaces, as a snapshot: scenario 94 with its workload repeated.
fn one_dead_node(namespaces: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let read =
        |file: &str| -> Value { serde_json::from_slice(&std::fs::read(scenario(NODE).join(file)).unwrap()).unwrap() };
    let mut objects = read("objects.json");
    let all = objects["items"].as_array_mut().unwrap();
    let mine = |object: &Value| {
        let of_cart = object["metadata"]["name"].as_str().unwrap().starts_with("cart");
        object["metadata"]["namespace"] == "retail" && of_cart
    };
    let cart: Vec<Value> = all.iter().filter(|object| mine(object)).cloned().collect();
    let space = all.iter().find(|object| object["kind"] == "Namespace").unwrap().clone();
    all.retain(|object| object["metadata"]["namespace"] != "retail" && object["kind"] != "Namespace");
    for number in 0..namespaces {
        for object in cart.iter().chain([&space]) {
            // Names of Namespaces stand in metadata, in what an event is about, and in nothing else of these.
            let text = object.to_string().replace("\"retail\"", &format!("\"team-{number:02}\""));
            all.push(serde_json::from_str(&text).unwrap());
        }
    }
    std::fs::write(folder.path().join("objects.json"), objects.to_string()).unwrap();
    std::fs::write(folder.path().join("alert.json"), read("alert.json").to_string()).unwrap();
    folder
}

/// One group for the Node, and one for each Deployment.
fn forty(namespaces: usize) -> Vec<Value> {
    let body = webhook(NODE);
    let alone = |group: String, alert: Value| {
        let mut body = body.clone();
        (body["groupKey"], body["alerts"]) = (group.into(), json!([alert]));
        body
    };
    let (node, deployment) = (body["alerts"][0].clone(), body["alerts"][1].clone());
    let mut groups = vec![alone("{}:{node}".to_owned(), node)];
    groups.extend((0..namespaces).map(|number| {
        let mut alert = deployment.clone();
        alert["labels"]["namespace"] = format!("team-{number:02}").into();
        alert["fingerprint"] = format!("{number:016x}").into();
        alone(format!("{{}}:{{team-{number:02}}}"), alert)
    }));
    groups
}

/// It says what the playbook showed it, with nothing of its own.
fn agree(_: &Asked) -> Answer {
    let node = json!({"kind": "Node", "namespace": "", "name": "worker-3"});
    submit(&node, "node_not_ready_kubelet_stopped", "the kubelet of worker-3 stopped posting node status")
}

fn submit(blamed: &Value, code: &str, said: &str) -> Answer {
    Answer::call(
        "submit_diagnosis",
        json!({
            "verdict": "fault", "headline": said,
            "causes": [{"summary": said, "code": code, "resource": blamed, "confidence": "medium", "evidence": []}],
            "primary": {"resource": blamed, "findings": []}, "related": [], "impact": "", "steps": [], "ruled_out": [],
            "unresolved": [], "data_gaps": [],
        }),
    )
}

fn investigations(model: &ModelServer) -> usize {
    model.asked().iter().filter(|asked| !asked.messages().iter().any(|message| message["role"] == "assistant")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f44_one_node_dies_and_forty_alerts_come_one_investigation_and_every_member_is_told() {
    const NAMESPACES: usize = 39;
    on_every_engine(async || {
        let (feishu, model) = (Feishu::start().await, ModelServer::scripted(agree).await);
        let cluster = one_dead_node(NAMESPACES);
        let home = Home::new(&json!({
            "mcp": [{"name": "kubernetes", "transport": "builtin", "snapshot": cluster.path()}],
            "models": pending::models(&model),
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 5}}],
        }));
        let service = home.serve().await;
        let groups = forty(NAMESPACES);
        let (last, first) = groups.split_last().unwrap();
        let taken = futures::future::join_all(first.iter().map(|body| service.accept(body))).await;
        let mut incidents = Vec::new();
        for (id, _) in &taken {
            incidents.push(service.settled(id, 90).await);
        }
        assert_eq!(investigations(&model), 1, "one for the cause");
        let leaders: Vec<&Value> = incidents.iter().filter(|one| !same_cause(one)["led_by"].is_object()).collect();
        let [leader] = leaders.as_slice() else { panic!("one leads: {leaders:#?}") };
        for incident in &incidents {
            let cause = &incident["report"]["causes"][0];
            assert_eq!(
                (&cause["code"], &cause["resource"]["name"]),
                (&json!("node_not_ready_kubelet_stopped"), &json!("worker-3"))
            );
        }

        // One that comes when the leader is long diagnosed follows as well.
        let (late, _) = service.accept(last).await;
        let follower = service.settled(&late, 60).await;
        assert_eq!(same_cause(&follower)["led_by"]["incident"], leader["id"], "{follower:#}");
        assert_eq!(
            (investigations(&model), service.metric("firstlook_rules_total{rule=\"same_cause\"}").await),
            (1, Some(39.0))
        );
        let balance = contract::holds(&service, NAMESPACES + 1, 60).await;
        assert_eq!(balance.sent, NAMESPACES as u64 + 1, "{balance:?}");

        let told: String = feishu.accepted().iter().map(Value::to_string).collect();
        let silent: Vec<String> =
            (0..NAMESPACES).map(|number| format!("team-{number:02}")).filter(|name| !told.contains(name)).collect();
        assert!(silent.is_empty() && told.contains("worker-3"), "nobody heard of {silent:?}");
        let path = format!("/incidents/{}", leader["id"].as_str().unwrap());
        let page = service.request(reqwest::Method::GET, &path).send().await.unwrap().text().await.unwrap();
        let named = (0..NAMESPACES).filter(|number| page.contains(&format!("team-{number:02}"))).count();
        assert!(named >= NAMESPACES - 1, "the leader's page names the others: {named}");

        // The end of the leader names those that came after its diagnosis, too.
        let at = incidents.iter().position(|one| one["id"] == leader["id"]).unwrap();
        let before = feishu.accepted().len();
        service.accept(&resolved(&groups[at])).await;
        eventually("the end is told", 20, || (feishu.accepted().len() > before).then_some(())).await;
        let end = feishu.accepted().pop().unwrap().to_string();
        assert!(end.contains("Investigated here as well (39)"), "{end}");
        let listed = (0..NAMESPACES).filter(|number| end.contains(&format!("team-{number:02}"))).count();
        assert!(listed >= NAMESPACES - 1, "the card lists every member but the one it is of: {listed} in {end}");
        assert!(feishu.refused().is_empty(), "{:?}", feishu.refused());
    })
    .await;
}

/// A Namespace whose quota is used up, with so many Deployments that it stops, as a snapshot and an alert for each and for
/// the quota: scenario 13 with its workload repeated.
fn one_full_namespace(workloads: usize) -> (tempfile::TempDir, Vec<Value>) {
    const QUOTA: &str = "13-quota-exceeded";
    let folder = tempfile::tempdir().unwrap();
    let read = |file: &str| -> String { std::fs::read_to_string(scenario(QUOTA).join(file)).unwrap() };
    let mut objects: Value = serde_json::from_str(&read("objects.json")).unwrap();
    let all = objects["items"].as_array_mut().unwrap();
    let (mine, mut rest): (Vec<Value>, Vec<Value>) =
        all.drain(..).partition(|object| object["metadata"]["name"].as_str().unwrap().starts_with("ledger"));
    let body = webhook(QUOTA);
    let alone = |group: String, alert: Value| {
        let mut body = body.clone();
        (body["groupKey"], body["alerts"]) = (group.into(), json!([alert]));
        body
    };
    let mut groups = vec![alone("{}:{quota}".to_owned(), body["alerts"][1].clone())];
    for number in 0..workloads {
        let named = |object: &Value| {
            let mut text = object.to_string().replace("ledger", &format!("app-{number:02}"));
            for of in &mine {
                let uid = of["metadata"]["uid"].as_str().unwrap();
                text = text.replace(uid, &format!("{}{number:02}", &uid[..uid.len() - 2]));
            }
            serde_json::from_str::<Value>(&text).unwrap()
        };
        rest.extend(mine.iter().map(named));
        let mut alert = named(&body["alerts"][0]);
        alert["fingerprint"] = format!("{number:016x}").into();
        groups.push(alone(format!("{{}}:{{app-{number:02}}}"), alert));
    }
    *all = rest;
    std::fs::write(folder.path().join("objects.json"), objects.to_string()).unwrap();
    std::fs::write(folder.path().join("alert.json"), read("alert.json")).unwrap();
    (folder, groups)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f44_one_namespace_is_full_and_every_workload_in_it_alerts_one_investigation() {
    const WORKLOADS: usize = 20;
    on_every_engine(async || {
        let agree = |_: &Asked| {
            let quota = json!({"kind": "ResourceQuota", "namespace": "team-red", "name": "team-red-quota"});
            submit(&quota, "quota_exceeded", "team-red-quota leaves no room for further pods")
        };
        let (feishu, model) = (Feishu::start().await, ModelServer::scripted(agree).await);
        let (cluster, groups) = one_full_namespace(WORKLOADS);
        let home = Home::new(&json!({
            "mcp": [{"name": "kubernetes", "transport": "builtin", "snapshot": cluster.path()}],
            "models": pending::models(&model),
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url(), "delivery": {"merge_above": 5}}],
        }));
        let service = home.serve().await;
        let taken = futures::future::join_all(groups.iter().map(|body| service.accept(body))).await;
        let mut led = 0;
        for (id, _) in &taken {
            let incident = service.settled(id, 90).await;
            let cause = &incident["report"]["causes"][0];
            assert_eq!(
                (&cause["code"], &cause["resource"]["name"]),
                (&json!("quota_exceeded"), &json!("team-red-quota")),
                "{incident:#}"
            );
            led += usize::from(same_cause(&incident)["led_by"].is_object());
        }
        assert_eq!((investigations(&model), led), (1, WORKLOADS), "one for the cause");
        assert_eq!(contract::holds(&service, WORKLOADS + 1, 60).await.sent, WORKLOADS as u64 + 1);
        let told: String = feishu.accepted().iter().map(Value::to_string).collect();
        let silent: Vec<String> =
            (0..WORKLOADS).map(|number| format!("app-{number:02}")).filter(|name| !told.contains(name)).collect();
        assert!(silent.is_empty(), "nobody heard of {silent:?}");
        assert!(feishu.refused().is_empty(), "{:?}", feishu.refused());
    })
    .await;
}

/// Nothing is found, but it is the same alert about Pods of one Deployment: said so, and investigated once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alerts_of_one_name_on_one_workload_are_one_investigation_also_when_nothing_is_blamed() {
    on_every_engine(async || {
        let (feishu, model) = (
            Feishu::start().await,
            ModelServer::scripted(|_| {
                Answer::call(
                    "submit_diagnosis",
                    json!({
                        "verdict": "inconclusive", "headline": "nothing stands out", "causes": [], "related": [],
                        "primary": {"resource": {"kind": "Pod", "namespace": "status-page", "name": "status-web-8bfb59cfd-6jlps"}, "findings": []},
                        "impact": "", "steps": [], "ruled_out": [], "unresolved": ["what changed"], "data_gaps": [],
                    }),
                )
            })
            .await,
        );
        let home = Home::new(&json!({
            "mcp": builtin("30-healthy-flap"), "models": pending::models(&model),
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
        }));
        let service = home.serve().await;
        let about = |name: &str, pod: &str| {
            let mut body = webhook(NODE);
            let mut alert = body["alerts"][1].clone();
            alert["labels"] = json!({"alertname": name, "namespace": "status-page", "pod": pod, "severity": "warning"});
            alert["fingerprint"] = format!("{name} {pod}").into();
            (body["groupKey"], body["alerts"]) = (format!("{name} {pod}").into(), json!([alert]));
            body
        };
        // Two healthy Pods of one Deployment.
        let (first, _) = service.accept(&about("BasketsOdd", "status-web-8bfb59cfd-6jlps")).await;
        let first = service.settled(&first, 30).await;
        assert_eq!(first["report"]["causes"], json!([]), "{first:#}");
        let (second, _) = service.accept(&about("BasketsOdd", "status-web-8bfb59cfd-frnm6")).await;
        let second = service.settled(&second, 30).await;
        let (third, _) = service.accept(&about("OrdersOdd", "status-web-8bfb59cfd-frnm6")).await;
        let third = service.settled(&third, 30).await;
        assert_eq!(same_cause(&second)["led_by"]["incident"], first["id"], "{second:#}");
        assert_eq!(same_cause(&second)["unproven"], true);
        assert!(same_cause(&third).is_null(), "another alert may have another cause: {third:#}");
        assert_eq!(investigations(&model), 2);
        let told: String = feishu.accepted().iter().map(Value::to_string).collect();
        assert!(told.contains("Same alert, same object") && !told.contains("Same cause"), "{told}");
    })
    .await;
}

/// The API server is gone, and so is what reads it: of all the alerts that come now one is put before the model, and each
/// is told. When the cluster can be read again, the next one is looked at by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_alerts_of_a_cluster_that_cannot_be_read_ask_the_model_once_and_the_next_is_looked_at_when_it_can() {
    on_every_engine(async || {
        let feishu = Feishu::start().await.without_rate_limit();
        let model = ModelServer::scripted(pending::investigate_what_answers).await;
        let cluster = cluster::serve(&scenario(PENDING)).await;
        let program = tools::kubernetes_mcp_server();
        let mut server = ServerProcess::start(program, cluster.address, &[], &UNTHROTTLED).await;
        server.kill().await;
        let url = server.url("/mcp");
        let home = Home::new(&json!({
            "mcp": [{"name": "kubernetes", "url": url, "transport": "http"}], "models": pending::models(&model),
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
        }));
        let service = home.serve().await;
        let about = |number: usize| {
            one_alert(
                &format!("{number}"),
                &json!({"alertname": format!("Alert{number}"), "namespace": format!("team-{number}")}),
            )
        };
        let mut incidents = Vec::new();
        for number in 0..5 {
            let (id, _) = service.accept(&about(number)).await;
            incidents.push(service.settled(&id, 30).await);
        }
        for follower in &incidents[1..] {
            assert_eq!(same_cause(follower)["led_by"]["incident"], incidents[0]["id"], "{follower:#}");
            assert_eq!(same_cause(follower)["unread"], true, "{follower:#}");
        }
        assert_eq!(investigations(&model), 1);
        let told: String = feishu.accepted().iter().map(Value::to_string).collect();
        for number in 0..5 {
            assert!(told.contains(&format!("Alert{number}")), "{told}");
        }
        assert!(told.contains("Cluster that cannot be read"), "{told}");

        server.start_again();
        server.listens().await;
        // That nobody answered is remembered for five seconds.
        tokio::time::sleep(std::time::Duration::from_secs(5)).await;
        let after = webhook(PENDING);
        let (id, _) = service.accept(&after).await;
        let incident = service.settled(&id, 30).await;
        assert!(same_cause(&incident).is_null(), "it is looked at by itself: {incident:#}");
        let cause = &incident["report"]["causes"][0];
        assert_eq!(cause["resource"]["name"], "test-data", "{incident:#}");
        assert!(cause["evidence"].as_array().is_some_and(|cited| !cited.is_empty()), "{incident:#}");
        assert_eq!(investigations(&model), 2);
        contract::holds(&service, 5 + after["alerts"].as_array().unwrap().len(), 5).await;
    })
    .await;
}
