//! Senders: closed loops of so many alerts in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};

use crate::alert;
use crate::figures::Durations;
use crate::stand_ins::{Stage, StandIns};

/// Nothing measured here takes that long; a lost alert must not hang the run.
const LOST_AFTER: Duration = Duration::from_secs(120);

/// What one loop measured.
#[derive(Debug, Default)]
pub struct Sent {
    /// From the request to its 202.
    pub answers: Durations,
    /// From the request to the first card in the chat.
    pub firsts: Durations,
    /// From the request to the card with the model's diagnosis.
    pub wholes: Durations,
    /// Time the loop took.
    pub took: Duration,
}

impl Sent {
    pub fn per_second(&self) -> f64 {
        self.answers.0.len() as f64 / self.took.as_secs_f64()
    }
}

/// What ends an alert's flight.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// The webhook's answer.
    Answered,
    /// The card with the model's diagnosis.
    Diagnosed,
}

/// Sends the alerts of a range, so many in flight at a time, and waits for each as told.
pub async fn send(
    world: &StandIns,
    webhook: &str,
    alerts: std::ops::Range<usize>,
    in_flight: usize,
    until: Until,
) -> Sent {
    let (client, next) = (Client::new(), Arc::new(AtomicUsize::new(alerts.start)));
    let started = Instant::now();
    let senders = (0..in_flight).map(|_| {
        let (client, next, world, webhook) = (client.clone(), next.clone(), world.clone(), webhook.to_owned());
        tokio::spawn(async move {
            let mut sent = Sent::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= alerts.end {
                    return sent;
                }
                one(&world, &client, &webhook, number, until, &mut sent).await;
            }
        })
    });
    let parts = futures::future::join_all(senders.collect::<Vec<_>>()).await;
    let mut sent = Sent { took: started.elapsed(), ..Sent::default() };
    for part in parts.into_iter().map(Result::unwrap) {
        sent.answers.0.extend(part.answers.0);
        sent.firsts.0.extend(part.firsts.0);
        sent.wholes.0.extend(part.wholes.0);
    }
    sent
}

async fn one(world: &StandIns, client: &Client, webhook: &str, number: usize, until: Until, sent: &mut Sent) {
    let body = alert::body(number);
    let started = Instant::now();
    post(client, webhook, body).await;
    sent.answers.0.push(started.elapsed());
    if until == Until::Answered {
        return;
    }
    let waited = tokio::time::timeout(LOST_AFTER, world.chat().wait(number, Stage::Diagnosis)).await;
    let seen = waited.unwrap_or_else(|_| panic!("no diagnosis of alert {number} arrived"));
    sent.firsts.0.push(seen.first - started);
    sent.wholes.0.push(seen.last - started);
}

/// Posts one webhook. Anything but 202 ends the measurement: it would be an alert refused.
pub async fn post(client: &Client, webhook: &str, body: Vec<u8>) {
    let request = client.post(webhook).header("content-type", "application/json").body(body);
    let answer = request.send().await.expect("the webhook answers");
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    answer.bytes().await.expect("the whole answer");
}
