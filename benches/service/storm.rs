//! A storm: 5 000 different groups of alerts a minute, spread over 50 chats; for a minute, or as many as
//! `FIRSTLOOK_STORM_MINUTES` says.

use std::time::{Duration, Instant};

use reqwest::Client;

use crate::alert;
use crate::figures::Durations;
use crate::process::{Firstlook, Setup};
use crate::sender;
use crate::stand_ins::StandIns;
use crate::stand_ins::model::Script;
use crate::table::Table;

const GROUPS: usize = 5_000;
const MINUTE: Duration = Duration::from_secs(60);
/// How long the last first messages may take after the minute is over.
const PATIENCE: Duration = Duration::from_secs(90);

/// Sends at an even pace, whatever the answers take, and waits for all first messages.
pub async fn storm(world: &StandIns, table: &mut Table) {
    let setup = Setup { script: Some(Script::OneTurn), thinks: 2_000, concurrency: 8 };
    let firstlook = Firstlook::serving(world, setup).await;
    let (client, webhook) = (Client::new(), firstlook.webhook());
    let mut pace = tokio::time::interval(MINUTE / GROUPS as u32);
    let minutes = std::env::var("FIRSTLOOK_STORM_MINUTES").map_or(1, |text| text.parse().expect("a number of minutes"));
    let groups = GROUPS * minutes;
    let (mut posts, mut resident) = (Vec::with_capacity(groups), Vec::new());
    for number in 0..groups {
        pace.tick().await;
        if number % GROUPS == GROUPS - 1 {
            resident.push(format!("{:.0}", firstlook.rss()));
        }
        let (client, webhook) = (client.clone(), webhook.clone());
        posts.push(tokio::spawn(async move {
            let (body, started) = (alert::body(number), Instant::now());
            sender::post(&client, &webhook, body).await;
            (started, started.elapsed())
        }));
    }
    let answers = futures::future::join_all(posts).await;
    let (starts, answers): (Vec<Instant>, Vec<Duration>) = answers.into_iter().map(Result::unwrap).unzip();
    let answers = Durations(answers);
    let three = format!("{} / {:.1}", answers.median_and_p95(), answers.at(0.99));
    table.row(["answer to the webhook, median / p95 / p99, ms", &three]);
    table.row(["groups, all of them accepted", &groups.to_string()]);
    table.row(["first messages out when the last had come", &world.chat().told(0..groups).to_string()]);
    let over = Instant::now();
    while world.chat().told(0..groups) < groups && over.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let late = format!("{} after {:.0} s more", world.chat().told(0..groups), over.elapsed().as_secs_f64());
    table.row(["first messages out", &late]);
    let waits =
        starts.iter().enumerate().filter_map(|(number, started)| world.chat().first(number).map(|at| at - *started));
    let waits = Durations(waits.collect());
    let three = format!("{} / {:.0}", waits.median_and_p95(), waits.at(0.99));
    table.row(["webhook to first message, median / p95 / p99, ms", &three]);
    table.row(["CPU over all, s", &format!("{:.1}", firstlook.cpu_seconds())]);
    table.row(["resident memory at the end of each minute, MB", &resident.join(" ")]);
    table.row(["resident memory, peak, MB", &format!("{:.0}", firstlook.peak_rss())]);
    firstlook.stop().await;
}
