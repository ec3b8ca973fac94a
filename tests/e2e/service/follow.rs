//! A page that is open while something goes on: it is told what, and when to read itself again.

use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::alerts::{PENDING, builtin, webhook};
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, ModelServer};
use crate::support::pending;
use crate::support::service::{Home, Service};

/// The names of the events of a stream, in order, each once, until it ends or this one came.
async fn events(service: &Service, path: &str, last: &str) -> Vec<String> {
    let answer = service.request(Method::GET, path).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let (mut stream, mut text, begun) = (answer.bytes_stream(), String::new(), Instant::now());
    while begun.elapsed() < Duration::from_secs(40) {
        let Ok(Some(Ok(chunk))) = tokio::time::timeout(Duration::from_secs(20), stream.next()).await else { break };
        text.push_str(&String::from_utf8_lossy(&chunk));
        if text.contains(&format!("event: {last}\n")) {
            break;
        }
    }
    let mut names: Vec<String> =
        text.lines().filter_map(|line| line.strip_prefix("event: ")).map(str::to_owned).collect();
    names.dedup();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_page_hears_each_step_and_that_it_is_out_of_date() {
    on_every_engine(async || {
        let model =
            ModelServer::scripted(|asked| Answer::After(Duration::from_secs(3), Box::new(pending::investigate(asked))))
                .await;
        let feishu = Feishu::start().await;
        let channel = json!({"name": "oncall", "type": "feishu-bot", "url": feishu.url()});
        let home =
            Home::new(&json!({"mcp": builtin(PENDING), "models": pending::models(&model), "channels": [channel]}));
        let service = home.serve().await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let names = events(&service, &format!("/incidents/{id}/events?version="), "done").await;
        assert!(names.iter().any(|name| name == "step"), "{names:?}");
        assert!(names.iter().any(|name| name == "changed"), "{names:?}");
        service.settled(&id, 30).await;
        let over = events(&service, &format!("/incidents/{id}/events?version=0"), "done").await;
        assert!(over.contains(&"changed".to_owned()) && !over.contains(&"step".to_owned()), "{over:?}");
    })
    .await;
}

/// What the message tells at once its page does not keep back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_model_works_the_page_shows_what_the_first_message_told() {
    on_every_engine(async || {
        let model =
            ModelServer::scripted(|asked| Answer::After(Duration::from_secs(6), Box::new(pending::investigate(asked))))
                .await;
        let home = Home::new(&json!({"mcp": builtin(PENDING), "models": pending::models(&model)}));
        let service = home.serve().await;
        let (id, _) = service.accept(&webhook(PENDING)).await;
        let begun = Instant::now();
        let page = loop {
            let answer = service.request(Method::GET, &format!("/incidents/{id}?lang=en")).send().await.unwrap();
            let page = answer.text().await.unwrap();
            if page.contains("what the playbook found so far") {
                break page;
            }
            assert!(begun.elapsed() < Duration::from_secs(5), "{page}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        for part in ["class=\"causes\"", "id=\"steps\"", "<mark id=\"E"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        let over = |incident: &Value| incident["investigation"]["state"] == "done";
        service.incident_when("the model is done", &id, 60, over).await;
        let page = service.request(Method::GET, &format!("/incidents/{id}?lang=en")).send().await.unwrap();
        let page = page.text().await.unwrap();
        assert!(!page.contains("so far") && page.contains("class=\"causes\""), "{page}");
    })
    .await;
}
