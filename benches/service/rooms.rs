//! What people in a chat notice: how soon an incident is there, how soon its diagnosis, in how many messages of how many
//! bytes, and how long 1 000 incidents in a minute keep one bot of each product busy.

use std::time::{Duration, Instant};

use reqwest::Client;

use crate::alert;
use crate::figures::Durations;
use crate::process::{Firstlook, Setup};
use crate::sender;
use crate::stand_ins::StandIns;
use crate::stand_ins::model::Script;
use crate::stand_ins::rooms::{Room, Shown};
use crate::table::Table;

/// Incidents whose whole life is watched, one after the other.
const WATCHED: usize = 20;
/// Between two of them: WeCom takes 20 messages a minute, and an incident takes three.
const REST: Duration = Duration::from_secs(10);
/// Incidents of the storm, in a minute.
const STORM: usize = 1_000;
const MINUTE: Duration = Duration::from_secs(60);
/// Nothing measured here takes that long.
const PATIENCE: Duration = Duration::from_secs(900);

const ROOMS: [(Room, &str); 3] =
    [(Room::FeishuApp, "Feishu app"), (Room::FeishuBot, "Feishu bot"), (Room::Wecom, "WeCom bot")];

/// The life of single incidents, on all three at once: first message, diagnosis of the model, end.
pub async fn one_life(world: &StandIns, table: &mut Table) {
    let setup = Setup { script: Some(Script::OneTurn), thinks: 1_000, concurrency: 8 };
    let firstlook = Firstlook::in_rooms(world, setup, true).await;
    let client = Client::new();
    let (mut firsts, mut diagnoses) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
    for number in 0..WATCHED {
        let begun = Instant::now();
        sender::post(&client, &firstlook.webhook(), alert::body(number)).await;
        for (index, (room, _)) in ROOMS.into_iter().enumerate() {
            let shown = until(world, room, number, |shown| shown.diagnosed).await;
            let answered = world.model().answered().expect("the model has answered");
            let first = world.rooms().shown(room).into_iter().find(|one| one.alerts.contains(&number)).unwrap();
            firsts[index].push(first.at - begun);
            diagnoses[index].push(shown.at.saturating_duration_since(answered));
        }
        let ended = Instant::now();
        sender::post(&client, &firstlook.webhook(), alert::over(number)).await;
        for (room, _) in ROOMS {
            until(world, room, number, |shown| shown.at >= ended).await;
        }
        tokio::time::sleep(REST.saturating_sub(begun.elapsed())).await;
    }
    for (index, (room, name)) in ROOMS.into_iter().enumerate() {
        let shown = world.rooms().shown(room);
        let (changes, messages): (Vec<&Shown>, Vec<&Shown>) = shown.iter().partition(|one| one.is_change);
        let of = |durations: &[Duration]| Durations(durations.to_vec()).median_and_p95();
        table.row([&format!("**{name}**: webhook to first message, median / p95, ms"), &of(&firsts[index])]);
        table.row(["the model's answer to the diagnosis in the chat, median / p95, ms", &of(&diagnoses[index])]);
        let per = |count: usize| format!("{:.1}", count as f64 / WATCHED as f64);
        table.row([
            "messages per incident, changes of its card",
            &format!("{}, {}", per(messages.len()), per(changes.len())),
        ]);
        table.row(["bytes of a message, mean / largest", &bytes(&shown)]);
    }
    firstlook.stop().await;
}

/// 1 000 different incidents in a minute, all of them for one bot of each product, which keep to their limits.
pub async fn storm(world: &StandIns, table: &mut Table) {
    world.rooms().clear();
    let firstlook = Firstlook::in_rooms(world, Setup { script: None, thinks: 0, concurrency: 8 }, false).await;
    let (client, webhook, begun) = (Client::new(), firstlook.webhook(), Instant::now());
    let mut pace = tokio::time::interval(MINUTE / STORM as u32);
    let mut starts = Vec::with_capacity(STORM);
    let mut posts = Vec::with_capacity(STORM);
    for number in 0..STORM {
        pace.tick().await;
        starts.push(Instant::now());
        let (client, webhook) = (client.clone(), webhook.clone());
        posts.push(tokio::spawn(async move { sender::post(&client, &webhook, alert::body(10_000 + number)).await }));
    }
    for post in posts {
        post.await.unwrap();
    }
    for (room, name) in ROOMS.into_iter().filter(|(room, _)| *room != Room::FeishuApp) {
        while world.rooms().named(room).len() < STORM && begun.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (named, shown) = (world.rooms().named(room), world.rooms().shown(room));
        let told = (0..STORM).filter(|number| named.contains_key(&(10_000 + number))).count();
        let last = named.values().max().copied().unwrap_or(begun);
        let waits = (0..STORM).filter_map(|number| Some(*named.get(&(10_000 + number))? - starts[number]));
        let waits = Durations(waits.collect());
        table.row([&format!("**{name}**: incidents named in the group, of 1 000"), &told.to_string()]);
        table.row(["messages that took", &shown.len().to_string()]);
        table.row([
            "everyone knows of the last one, s after the first alert",
            &format!("{:.0}", (last - begun).as_secs_f64()),
        ]);
        let (median, late) = (waits.at(0.5) / 1e3, waits.at(0.95) / 1e3);
        table.row(["webhook to the message that names it, median / p95, s", &format!("{median:.0} / {late:.0}")]);
        table.row(["refused as too fast", &world.rooms().too_fast(room).to_string()]);
        table.row(["bytes of a message, mean / largest", &bytes(&shown)]);
    }
    firstlook.stop().await;
}

/// Waits for something about an alert in a group.
async fn until(world: &StandIns, room: Room, number: usize, is: impl Fn(&Shown) -> bool) -> Shown {
    let begun = Instant::now();
    loop {
        let shown = world.rooms().shown(room).into_iter().find(|one| one.alerts.contains(&number) && is(one));
        if let Some(shown) = shown {
            return shown;
        }
        assert!(begun.elapsed() < PATIENCE, "nothing of alert {number} in {room:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn bytes(shown: &[Shown]) -> String {
    let all: usize = shown.iter().map(|one| one.bytes).sum();
    let largest = shown.iter().map(|one| one.bytes).max().unwrap_or_default();
    format!("{} / {largest}", all / shown.len().max(1))
}
