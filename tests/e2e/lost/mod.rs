//! No incident ends without a message or a visible dead letter, whatever the product behind a channel does: each stand-in
//! fails in each way its documentation names, and in the ways networks fail.

mod rows;

use std::time::Duration;

use serde_json::{Value, json};

use self::rows::{End, Row};
use crate::support::alerts::one_alert;
use crate::support::contract;
use crate::support::service::{Home, Service, is_settled};
use crate::support::webhook::Receiver;

/// Seconds for everything that waits no longer than for a server that never answers.
const PATIENCE: u64 = 60;

/// A row twice: by itself, and with a channel to fall back to where it ends as given up.
struct Case {
    name: String,
    row: Row,
    falls_back: bool,
    incident: String,
}

impl Case {
    fn channel(&self) -> Value {
        let mut channel = self.row.channel.clone();
        channel["name"] = self.name.clone().into();
        if self.falls_back {
            channel["delivery"] = json!({"fallback": "catch"});
        }
        channel
    }

    fn route(&self) -> Value {
        json!({"match": {"row": self.name}, "channels": [self.name], "triage": "never"})
    }

    /// Waits for the server's word about a message: it may come a moment after the message was taken.
    async fn is_heard(&self) -> bool {
        for _ in 0..100 {
            if self.row.heard() > 0 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    /// Says what is wrong with how the incident ended; nothing when it is as it must be.
    async fn judge(&self, service: &Service) -> Option<String> {
        let incident = service.incident(&self.incident).await;
        let notices = incident["notices"].as_array().cloned().unwrap_or_default();
        let Some(own) = notices.iter().find(|notice| notice["channel"] == self.name) else {
            return Some(format!("{}: there is no message", self.name));
        };
        let elsewhere =
            notices.iter().filter(|notice| notice["channel"] == "catch" && notice["state"] == "sent").count();
        let (state, form) = (own["state"].as_str().unwrap_or_default(), own["form"].as_str().unwrap_or_default());
        let said = own["last_error"].as_str().unwrap_or_default();
        let as_expected = match self.row.end {
            End::Sent(expected) => state == "sent" && form == expected && self.is_heard().await,
            End::Dead => state == "dead" && !said.is_empty() && elsewhere == usize::from(self.falls_back),
        };
        (!as_expected)
            .then(|| format!("{}: {:?}, but {state} {form} {said} ({elsewhere} elsewhere)", self.name, self.row.end))
    }
}

/// Each row, and those that end as given up once more with a fallback.
async fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for falls_back in [false, true] {
        for row in rows::all().await {
            if !falls_back || matches!(row.end, End::Dead) {
                let name = format!("{}{}", row.name, if falls_back { "-falls-back" } else { "" });
                cases.push(Case { name, row, falls_back, incident: String::new() });
            }
        }
    }
    cases
}

async fn all_settled(service: &Service, cases: &[Case], seconds: u64) {
    for case in cases {
        service.settled(&case.incident, seconds).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_incident_ends_without_a_message_or_a_visible_dead_letter() {
    let catch = Receiver::start("s3cret").await;
    let mut cases = cases().await;
    let mut channels: Vec<Value> = cases.iter().map(Case::channel).collect();
    channels.push(json!({"name": "catch", "type": "webhook", "url": catch.url(), "secret": "s3cret", "headers": {"X-Team": "sre"}}));
    let routes: Vec<Value> = cases.iter().map(Case::route).collect();
    let home = Home::new(&json!({"channels": channels, "routes": routes}));
    let service = home.serve().await;
    let alerts: Vec<Value> = cases.iter().map(|case| one_alert(&case.name, &json!({"row": case.name}))).collect();
    let taken = futures::future::join_all(alerts.iter().map(|alert| service.accept(alert))).await;
    for (case, (incident, decision)) in cases.iter_mut().zip(taken) {
        assert_eq!(decision, "opened", "{}", case.name);
        case.incident = incident;
    }
    let (patient, prompt): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.row.waits_a_minute);
    all_settled(&service, &prompt, PATIENCE).await;
    for case in &patient {
        let incident = service.incident(&case.incident).await;
        let notice = &incident["notices"][0];
        assert!(
            !is_settled(&incident) && !notice["last_error"].is_null(),
            "{} waits and says why: {notice}",
            case.name
        );
    }
    home.everything_is_due().await;
    all_settled(&service, &patient, PATIENCE).await;

    let cases: Vec<Case> = prompt.into_iter().chain(patient).collect();
    let mut wrong = Vec::new();
    for case in &cases {
        wrong.extend(case.judge(&service).await);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));

    let dead = |falls_back: bool| {
        cases.iter().filter(|case| case.row.end == End::Dead && case.falls_back == falls_back).count()
    };
    let balance = contract::holds(&service, cases.len(), 5).await;
    assert_eq!((balance.dead, balance.sent), (dead(false) as u64, (cases.len() - dead(false)) as u64), "{balance:?}");
    let metric = service.metric("firstlook_queue_length{queue=\"outbox_dead\"}").await;
    assert_eq!(metric.map(|letters| letters as usize), Some(dead(false) + dead(true)), "every dead letter is counted");
    println!("{} incidents, {} told elsewhere, {} dead letters", cases.len(), dead(true), dead(false));
}
