//! How fast deliveries are made durable, how soon a killed process goes on, and what replicas add, on both engines.
//! PostgreSQL is measured where `TEST_DATABASE_URL` names a server.

use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use url::Url;

use crate::alert;
use crate::process::{Firstlook, Setup};
use crate::sender::{self, Sent, Until, send};
use crate::stand_ins::StandIns;
use crate::stand_ins::model::Script;
use crate::table::Table;

const ALONE: Setup = Setup { script: None, thinks: 0, concurrency: 1 };
const NOT_HERE: &str = "—";
/// Nothing here takes so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The engines: a file, and a database of its own where there is a server.
async fn stores() -> [Option<String>; 2] {
    let folder = tempfile::tempdir().unwrap().keep();
    let sqlite = format!("sqlite:{}", folder.join("firstlook.db").display());
    let postgres = match std::env::var("TEST_DATABASE_URL") {
        Err(_) => None,
        Ok(server) => {
            let name = format!("bench_{}", uuid::Uuid::now_v7().simple());
            let mut admin = PgConnection::connect(&server).await.unwrap();
            sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut admin).await.unwrap();
            let mut address: Url = server.parse().unwrap();
            address.set_path(&name);
            Some(address.to_string())
        }
    };
    [Some(sqlite), postgres]
}

/// One row of what each engine gave, by its label.
fn row(table: &mut Table, label: &str, figures: [Option<String>; 2]) {
    let [sqlite, postgres] = figures.map(|figure| figure.unwrap_or_else(|| NOT_HERE.to_owned()));
    table.row([label, &sqlite, &postgres]);
}

/// Closed loops of 1, 50 and 500 senders, each of a group of its own.
pub async fn accepted(world: &StandIns, table: &mut Table) {
    let mut next = 100_000;
    for senders in [1, 50, 500] {
        let mut figures = [None, None];
        for (figure, store) in figures.iter_mut().zip(stores().await) {
            let Some(store) = store else { continue };
            let firstlook = Firstlook::serving_on(world, ALONE, &store).await;
            let alerts = if senders == 1 { 500 } else { 3_000 };
            let sent: Sent = send(world, &firstlook.webhook(), next..next + alerts, senders, Until::Answered).await;
            next += alerts;
            *figure = Some(format!("{:.0} ({})", sent.per_second(), sent.answers.median_and_p95()));
            firstlook.kill();
        }
        let label = format!("{senders} sender(s): accepted durably per second (answer, median / p95, ms)");
        row(table, &label, figures);
    }
}

/// Twenty in flight, `kill -9`, another process: until it accepts, and until all first messages are out.
pub async fn recovery(world: &StandIns, table: &mut Table) {
    let (mut serves, mut told) = ([None, None], [None, None]);
    for (at, store) in stores().await.into_iter().enumerate() {
        let Some(store) = store else { continue };
        let setup = Setup { script: Some(Script::OneTurn), thinks: 2_000, concurrency: 8 };
        let firstlook = Firstlook::serving_on(world, setup, &store).await;
        let alerts = 200_000 + at * 1_000..200_020 + at * 1_000;
        send(world, &firstlook.webhook(), alerts.clone(), 20, Until::Answered).await;
        firstlook.kill();
        let begun = Instant::now();
        let again = Firstlook::serving_on(world, setup, &store).await;
        serves[at] = Some(format!("{:.2}", begun.elapsed().as_secs_f64()));
        while world.chat().told(alerts.clone()) < alerts.len() {
            assert!(begun.elapsed() < PATIENCE, "{} told", world.chat().told(alerts.clone()));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        told[at] = Some(format!("{:.2}", begun.elapsed().as_secs_f64()));
        again.kill();
    }
    row(table, "killed with 20 in flight: until the next process serves, s", serves);
    row(table, "the same: until all 20 first messages are out, s", told);
}

/// 1, 2 and 4 replicas with two hands each, and a model that thinks 200 ms.
pub async fn replicas(world: &StandIns, table: &mut Table) {
    let setup = Setup { script: Some(Script::OneTurn), thinks: 200, concurrency: 2 };
    for count in [1, 2, 4] {
        let [_, Some(store)] = stores().await else { return };
        let mut replicas = Vec::new();
        for _ in 0..count {
            replicas.push(Firstlook::serving_on(world, setup, &store).await);
        }
        let alerts = 120;
        let begun = Instant::now();
        let sent = replicas.iter().enumerate().map(|(number, replica)| {
            let share = alerts / count;
            let start = 300_000 + count * 1_000 + number * share;
            let webhook = replica.webhook();
            async move { send(world, &webhook, start..start + share, 40 / count, Until::Diagnosed).await }
        });
        futures::future::join_all(sent).await;
        let rate = alerts as f64 / begun.elapsed().as_secs_f64();
        let label = format!("{count} replica(s), concurrency 2, model 200 ms: diagnoses per second");
        row(table, &label, [None, Some(format!("{rate:.1}"))]);
        replicas.into_iter().for_each(Firstlook::kill);
    }
}

/// Memory before and after 100 000 alerts, which come as 2 000 groups of 50 and each twice.
pub async fn hundred_thousand(world: &StandIns, table: &mut Table) {
    let mut figures = [None, None];
    for (figure, store) in figures.iter_mut().zip(stores().await) {
        let Some(store) = store else { continue };
        let firstlook = Firstlook::serving_on(world, ALONE, &store).await;
        let (client, before) = (Client::new(), firstlook.rss());
        for number in 0..1_000 {
            for _ in 0..2 {
                sender::post(&client, &firstlook.webhook(), group_of_fifty(number)).await;
            }
        }
        *figure = Some(format!("{before:.0} → {:.0}", firstlook.rss()));
        firstlook.kill();
    }
    row(table, "resident memory before and after 100 000 alerts in 2 000 deliveries, MB", figures);
}

fn group_of_fifty(number: usize) -> Vec<u8> {
    let mut body: Value = serde_json::from_slice(&alert::body(400_000 + number)).unwrap();
    let alert = body["alerts"][0].clone();
    let alerts = (0..50).map(|index| {
        let mut alert = alert.clone();
        alert["labels"]["pod"] = format!("pod-{index}").into();
        alert["fingerprint"] = format!("{number:012x}{index:04x}").into();
        alert
    });
    body["alerts"] = alerts.collect();
    serde_json::to_vec(&body).unwrap()
}
