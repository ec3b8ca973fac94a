//! Clocks that step while work is under way: nothing is lost, doubled, or left until the old time comes again.

use std::time::Duration;

use serde_json::json;

use crate::support::alerts::{PENDING, builtin, in_group};
use crate::support::database::on_every_engine;
use crate::support::feishu::Feishu;
use crate::support::model::{Answer, ModelServer};
use crate::support::service::{Home, Service};
use crate::support::{Fault, contract, eventually, pending, tools};

/// A wall clock for one process, set through a file; what measures spans goes on as it does.
struct Clock(tempfile::TempDir);

impl Clock {
    fn new() -> Self {
        let clock = Self(tempfile::tempdir().unwrap());
        clock.set("+0");
        clock
    }

    fn file(&self) -> String {
        self.0.path().join("clock").display().to_string()
    }

    fn set(&self, offset: &str) {
        std::fs::write(self.file(), offset).unwrap();
    }

    async fn serve(&self, home: &Home) -> Service {
        home.serve_with(&[
            ("LD_PRELOAD", &tools::faketime()),
            ("FAKETIME_TIMESTAMP_FILE", &self.file()),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ])
        .await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f39_a_clock_that_steps_an_hour_in_either_direction_delays_and_doubles_nothing() {
    on_every_engine(async || {
        let (feishu, clock) = (Feishu::start().await, Clock::new());
        let model =
            ModelServer::scripted(|asked| Answer::After(Duration::from_secs(4), Box::new(pending::investigate(asked))))
                .await;
        let mut models = pending::models(&model);
        models[0]["timeout"] = "20s".into();
        let home = Home::new(&json!({
            "mcp": builtin(PENDING), "models": models, "triage": {"cooldown": "0s"},
            "channels": [{"name": "oncall", "type": "feishu-bot", "url": feishu.url()}],
        }));
        let service = clock.serve(&home).await;

        let (id, _) = service.accept(&in_group(PENDING, "forward")).await;
        eventually("the model is asked", 10, || (!model.asked().is_empty()).then_some(())).await;
        clock.set("+3600");
        let incident = service.settled(&id, 60).await;
        assert_eq!(incident["report"]["usage"]["source"], "model", "{incident:#}");
        assert_eq!(feishu.accepted().len(), incident["notices"].as_array().unwrap().len(), "{incident:#}");

        feishu.fail([Fault::Status(502)]);
        let told = feishu.accepted().len();
        let (id, _) = service.accept(&in_group(PENDING, "back")).await;
        let failed = |incident: &serde_json::Value| incident["notices"][0]["attempts"] == 1;
        service.incident_when("the first try failed", &id, 10, failed).await;
        clock.set("+0");
        eventually("the message comes although its time is an hour away", 20, || {
            (feishu.accepted().len() > told).then_some(())
        })
        .await;
        let incident = service.settled(&id, 60).await;
        assert_eq!(feishu.accepted().len() - told, incident["notices"].as_array().unwrap().len(), "{incident:#}");
        let alerts = 2 * in_group(PENDING, "any")["alerts"].as_array().unwrap().len();
        contract::holds(&service, alerts, 20).await;
    })
    .await;
}
