//! The runs of the table, one function for each service that is started. Figures of n8n are of the same work on the same
//! kind of machine; docs/benchmarks.md says how they were taken.

use std::time::{Duration, Instant};

use reqwest::Client;

use crate::alert;
use crate::figures::Durations;
use crate::process::{Firstlook, Setup, program_megabytes};
use crate::sender::{Sent, Until, send};
use crate::stand_ins::model::Script;
use crate::stand_ins::{Stage, StandIns};
use crate::table::Table;

/// Alerts before the measured ones: connections are made, caches filled.
const WARM_UP: usize = 5;
/// The model's thinking time where it is not zero, in milliseconds.
const THINKS: u64 = 500;

const FIVE_TURNS: Setup = Setup { script: Some(Script::FiveTurns), thinks: 0, concurrency: 8 };

/// Cold start, the program's size, and what it costs to do nothing.
pub async fn start_and_idle(world: &StandIns, table: &mut Table) {
    let mut starts = Durations::default();
    for _ in 0..7 {
        starts.0.push(cold_start(world).await);
    }
    table.row([
        "cold start to the first accepted webhook (median of 7), s",
        "14.9",
        &format!("{:.3}", starts.at(0.5) / 1e3),
    ]);
    table.row(["program on disk, MB", "2 875", &format!("{:.0}", program_megabytes())]);
    let firstlook = Firstlook::serving(world, FIVE_TURNS).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (cpu, since) = (firstlook.cpu_seconds(), Instant::now());
    tokio::time::sleep(Duration::from_secs(8)).await;
    let share = (firstlook.cpu_seconds() - cpu) / since.elapsed().as_secs_f64() * 100.0;
    table.row(["resident memory, idle after start, MB", "537", &format!("{:.0}", firstlook.rss())]);
    table.row(["CPU, idle (50 channels), %", "0.3–1", &format!("{share:.1}")]);
    firstlook.stop().await;
}

async fn cold_start(world: &StandIns) -> Duration {
    let firstlook = Firstlook::spawn(world, Setup { script: None, ..FIVE_TURNS });
    let (client, body) = (Client::new(), alert::body(0));
    loop {
        let request = client.post(firstlook.webhook()).body(body.clone()).header("content-type", "application/json");
        if request.send().await.is_ok_and(|answer| answer.status() == reqwest::StatusCode::ACCEPTED) {
            let took = firstlook.age();
            world.chat().wait(0, Stage::First).await;
            firstlook.stop().await;
            return took;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Five turns, four calls, no thinking time: what the service itself needs.
pub async fn one_at_a_time(world: &StandIns, table: &mut Table) {
    let firstlook = Firstlook::serving(world, FIVE_TURNS).await;
    let webhook = firstlook.webhook();
    send(world, &webhook, 100..100 + WARM_UP, 1, Until::Diagnosed).await;
    world.model().take_counts();
    let (cpu, alerts) = (firstlook.cpu_seconds(), 200);
    let sent = send(world, &webhook, 200..200 + alerts, 1, Until::Diagnosed).await;
    let cpu = (firstlook.cpu_seconds() - cpu) / alerts as f64;
    table.row(["**one alert at a time**: CPU per alert, s", "0.34", &format!("{cpu:.4}")]);
    table.row(["answer to the webhook, median / p95, ms", "25 / 45", &sent.answers.median_and_p95()]);
    table.row(["webhook to first card, median / p95, ms", "—", &sent.firsts.median_and_p95()]);
    table.row(["webhook to diagnosis (model 0 ms), median / p95, ms", "305 / 379", &sent.wholes.median_and_p95()]);
    let counts = world.model().take_counts();
    let per_alert = |bytes: usize| format!("{:.0}", bytes as f64 / alerts as f64);
    let prompt = format!("{} ({})", per_alert(counts.prompt_bytes), per_alert(counts.tool_bytes));
    table.row(["prompt per alert over 5 turns (tool descriptions in it), bytes", "187 237 (93 910)", &prompt]);
    table.row(["turns of the model per alert", "5", &format!("{:.1}", counts.turns as f64 / alerts as f64)]);
    let stored = firstlook.stop().await as f64 / (alerts + WARM_UP) as f64 / 1e3;
    table.row(["store on disk per alert, kB", "121", &format!("{stored:.0}")]);
}

/// The same, with a model that takes its time: what is added to it.
pub async fn beside_a_slow_model(world: &StandIns, table: &mut Table) {
    let firstlook = Firstlook::serving(world, Setup { thinks: THINKS, ..FIVE_TURNS }).await;
    let webhook = firstlook.webhook();
    send(world, &webhook, 500..500 + WARM_UP, 5, Until::Diagnosed).await;
    let sent = send(world, &webhook, 510..530, 1, Until::Diagnosed).await;
    let own = (THINKS * 5) as f64;
    let added = format!("{:.0} / {:.0}", sent.wholes.at(0.5) - own, sent.wholes.at(0.95) - own);
    table.row(["latency added to a model of 5 × 500 ms, median / p95, ms", "512 / 1175", &added]);
    firstlook.stop().await;
}

/// A model that finds what it needs in the first prompt.
pub async fn submitted_at_once(world: &StandIns, table: &mut Table) {
    let firstlook = Firstlook::serving(world, Setup { script: Some(Script::OneTurn), ..FIVE_TURNS }).await;
    world.model().take_counts();
    let alerts = 50;
    send(world, &firstlook.webhook(), 600..600 + alerts, 1, Until::Diagnosed).await;
    let counts = world.model().take_counts();
    let per_alert = |bytes: usize| bytes as f64 / alerts as f64;
    let said = format!("{:.0} ({:.0} turn)", per_alert(counts.prompt_bytes), per_alert(counts.turns));
    table.row(["prompt when the model submits from the evidence it is given, bytes", "—", &said]);
    firstlook.stop().await;
}

/// Closed loops of 10 and of 50 alerts in flight, each until its diagnosis is in the chat.
pub async fn many_in_flight(world: &StandIns, table: &mut Table) {
    let firstlook = Firstlook::serving(world, FIVE_TURNS).await;
    let webhook = firstlook.webhook();
    send(world, &webhook, 1_000..1_000 + WARM_UP, 5, Until::Diagnosed).await;
    let cpu = firstlook.cpu_seconds();
    let sent = send(world, &webhook, 2_000..2_300, 10, Until::Diagnosed).await;
    in_flight(table, 10, &sent, (firstlook.cpu_seconds() - cpu) / 300.0, ["3.65", "0.33", "1 900 / —"]);
    let cpu = firstlook.cpu_seconds();
    let sent = send(world, &webhook, 3_000..4_000, 50, Until::Diagnosed).await;
    in_flight(table, 50, &sent, (firstlook.cpu_seconds() - cpu) / 1e3, ["3.86", "0.32", "10 600 / 11 600"]);
    table.row(["resident memory, peak with 50 in flight, MB", "2 100", &format!("{:.0}", firstlook.peak_rss())]);
    firstlook.stop().await;
    let firstlook = Firstlook::serving(world, Setup { thinks: THINKS, concurrency: 50, ..FIVE_TURNS }).await;
    let sent = send(world, &firstlook.webhook(), 5_000..5_300, 50, Until::Diagnosed).await;
    let rate = format!("{:.1}", sent.per_second());
    table.row(["50 in flight, model 5 × 500 ms (concurrency: 50): diagnoses per second", "3.10", &rate]);
    firstlook.stop().await;
}

fn in_flight(table: &mut Table, count: usize, sent: &Sent, cpu: f64, n8n: [&str; 3]) {
    table.row([&format!("**{count} in flight**: diagnoses per second"), n8n[0], &format!("{:.1}", sent.per_second())]);
    table.row(["CPU per alert, s", n8n[1], &format!("{cpu:.4}")]);
    table.row(["answer to the webhook, median / p95, ms", n8n[2], &sent.answers.median_and_p95()]);
}

/// 50 senders that post again as soon as they are answered, while investigations wait their turn.
pub async fn answers_only(world: &StandIns, table: &mut Table) {
    let firstlook = Firstlook::serving(world, FIVE_TURNS).await;
    let sent = send(world, &firstlook.webhook(), 10_000..12_000, 50, Until::Answered).await;
    let rate = format!("{:.0}", sent.per_second());
    table.row(["**50 senders without pause**: alerts accepted durably per second", "—", &rate]);
    table.row(["answer to the webhook, median / p95, ms", "—", &sent.answers.median_and_p95()]);
    firstlook.stop().await;
}
