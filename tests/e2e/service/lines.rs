//! Lines to chats and mail that are cut, slow, or answered by something else: every message arrives, and none of the others
//! waits for it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::alerts::{PENDING, webhook};
use crate::support::contract;
use crate::support::database::on_every_engine;
use crate::support::faulty::{Fate, Faulty};
use crate::support::service::Home;
use crate::support::team::{CHANNELS, Team};

/// A proxy that asks people to log in, with a success.
const PORTAL: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\nConnection: close\r\n\r\n<html>log in</html>\n";
/// A success without an answer.
const NOTHING: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// Another kind of server where mail was taken before.
const NO_MAIL: &str = "HTTP/1.1 400 Bad Request\r\n\r\n";

/// A team whose lines have these fates, in the order of [`CHANNELS`].
async fn behind(team: &Team, fates: [Vec<Fate>; 3]) -> (Value, Vec<Faulty>) {
    let mut channels = team.channels();
    let mut lines = Vec::new();
    for (channel, fates) in channels.as_array_mut().unwrap().iter_mut().zip(fates) {
        let key = if channel["type"] == "email" { "smtp" } else { "url" };
        let url: url::Url = channel[key].as_str().unwrap().parse().unwrap();
        let server = format!("127.0.0.1:{}", url.port().unwrap());
        let line = Faulty::before(&server, fates).await;
        channel[key] = channel[key].as_str().unwrap().replace(&server, &line.address.to_string()).into();
        lines.push(line);
    }
    (channels, lines)
}

/// The alert is told everywhere, after as many failed attempts as there were fates, and twice only where an answer was lost.
async fn arrives(fates: [Vec<Fate>; 3], failures: usize, doubled: [usize; 3]) {
    let team = Team::start().await;
    let (channels, lines) = behind(&team, fates).await;
    let home = Home::new(&json!({"channels": channels}));
    let service = home.serve().await;
    let (id, _) = service.accept(&webhook(PENDING)).await;
    let incident = service.settled(&id, 60).await;
    for notice in incident["notices"].as_array().unwrap() {
        assert_eq!(notice["state"], "sent", "{notice:#}");
        assert_eq!(notice["attempts"], failures + 1, "{notice:#}");
        assert_eq!(notice["form"], "full", "a bad line is no reason to say less: {notice:#}");
    }
    assert!(lines.iter().all(|line| line.met() >= failures), "each line failed");
    team.each_has_just(doubled.map(|more| 1 + more)).await;
    // What may come twice is counted where people look; a mail server's answer can be lost before it took anything.
    for (channel, more) in CHANNELS.iter().zip(doubled) {
        let counted = service.metric(&format!("firstlook_notices_perhaps_twice_total{{channel=\"{channel}\"}}")).await;
        assert!(counted.unwrap_or(0.0) >= more as f64, "{channel}: {more} twice, {counted:?} counted");
        assert!(counted.is_none() || failures > 0, "{channel}: nothing failed, {counted:?} counted");
    }
    for (name, channel) in CHANNELS.iter().zip(team.heard()) {
        assert!(channel.iter().all(|message| message.text.contains("KubePodNotReady")), "{name}: {channel:#?}");
    }
    let alerts = webhook(PENDING)["alerts"].as_array().unwrap().len();
    let balance = contract::holds(&service, alerts, 5).await;
    assert_eq!(balance.sent, alerts as u64, "{balance:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_a_line_that_is_closed_or_answered_by_something_else_delivers_nothing_and_is_tried_again() {
    on_every_engine(async || {
        let chat = vec![Fate::Refused, Fate::Other(PORTAL), Fate::Other(NOTHING)];
        let mail = vec![Fate::Refused, Fate::Other(NO_MAIL), Fate::Refused];
        arrives([chat.clone(), chat, mail], 3, [0, 0, 0]).await;
    })
    .await;
}

/// The product has it and its answer is lost: at least once is what a webhook can do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f36_an_answer_of_which_half_comes_may_be_told_twice_and_never_not_at_all() {
    on_every_engine(async || {
        // Of a mail server's words: in its greeting nothing was sent yet.
        arrives([vec![Fate::Half(20)], vec![Fate::Half(20)], vec![Fate::Half(4)]], 1, [1, 1, 0]).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f36_a_slow_answer_is_waited_for_and_nothing_comes_twice() {
    on_every_engine(async || {
        let slow = vec![Fate::Slow(Duration::from_secs(4))];
        arrives([slow.clone(), slow.clone(), slow], 0, [0, 0, 0]).await;
    })
    .await;
}
